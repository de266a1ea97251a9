//! Archives with exactly one image in them. What else could be in one is refused: nothing of an archive is ever written
//! under a name that the archive says.
//!
//! Not here: what the image in it is (`unpack`).

use super::chunks::carried;
use super::content::{Content, Packing};
use super::open::At;
use super::unpack::{Unpacker, damaged};
use super::{ovf, sparse};
use chyves_core::error::{Problem, Result};
use chyves_core::value::printable;
use std::io::{self, Read};
use tar::EntryType;

/// The image in a tar archive.
pub(super) fn tar(unpacker: &mut Unpacker, from: &mut dyn Read) -> Result<Content> {
    let name = unpacker.shown();
    let broken = |e: io::Error| super::chunks::problem(e, |e| damaged(&name, Packing::Tar, &e));
    let mut archive = tar::Archive::new(from);
    let mut found: Option<(String, Content)> = None;
    // An appliance: its description comes first, then what it describes.
    let mut is_ova = false;
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        match entry.header().entry_type() {
            EntryType::Directory | EntryType::XGlobalHeader => {
                proper(&name, &path)?;
                continue;
            }
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {}
            _ => return Err(odd(&name, &format!("`{}` in it is a link or a device", printable(&path, 120)))),
        }
        let extensions = extensions(&mut entry).map_err(broken)?;
        let path = extensions.iter().find(|(key, _)| key == "GNU.sparse.name").map_or(path, |(_, name)| name.clone());
        proper(&name, &path)?;
        if is_shadow(&path) {
            continue;
        }
        let mut counted = Counted { left: entry.size(), from: &mut entry, name: &name };
        let ending = path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        if ending == "ovf" && found.is_none() && !is_ova {
            is_ova = true;
            let mut text = String::new();
            (&mut counted).take(ovf::LIMIT).read_to_string(&mut text).map_err(broken)?;
            if let Ok(mut asks) = unpacker.asks.lock() {
                *asks = ovf::asks(&text);
            }
            unpacker.drain(&mut counted)?;
            continue;
        }
        if is_ova && matches!(ending.as_str(), "mf" | "cert" | "iso" | "nvram" | "xml" | "txt") {
            unpacker.drain(&mut counted)?;
            continue;
        }
        only(&name, found.as_ref().map(|(first, _)| first.as_str()), &path)?;
        let content = match sparse::Map::of(&extensions, &mut counted).map_err(broken)? {
            Some(map) => {
                let mut whole = sparse::Sparse::new(map, &mut counted);
                let content = unpacker.layer(&mut whole, &path)?;
                unpacker.drain(&mut whole)?;
                content
            }
            None => unpacker.layer(&mut counted, &path)?,
        };
        unpacker.drain(&mut counted)?;
        found = Some((path, content));
    }
    found.map(|(_, content)| content).ok_or_else(|| odd(&name, "it holds no file"))
}

/// The image in a zip archive, which must be a file: its directory stands at its end.
pub(super) fn zip(unpacker: &mut Unpacker, file: At) -> Result<Content> {
    let name = unpacker.shown();
    let broken = |e: zip::result::ZipError| {
        let error = match e {
            zip::result::ZipError::Io(e) => e,
            other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
        };
        damaged(&name, Packing::Zip, &error)
    };
    let mut archive = zip::ZipArchive::new(io::BufReader::new(file)).map_err(broken)?;
    let mut found: Option<(usize, String)> = None;
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(broken)?;
        let path = entry.name().map_err(broken)?.into_owned();
        if entry.is_symlink() {
            return Err(odd(&name, &format!("`{}` in it is a link", printable(&path, 120))));
        }
        proper(&name, &path)?;
        if entry.is_dir() || is_shadow(&path) {
            continue;
        }
        if entry.encrypted() {
            return Err(odd(&name, &format!("`{}` in it is locked with a password", printable(&path, 120))));
        }
        only(&name, found.as_ref().map(|(_, first)| first.as_str()), &path)?;
        found = Some((index, path));
    }
    let (index, path) = found.ok_or_else(|| odd(&name, "it holds no file"))?;
    let mut entry = archive.by_index(index).map_err(broken)?;
    let mut named = Named { from: &mut entry, name: &name };
    let content = unpacker.layer(&mut named, &path)?;
    unpacker.drain(&mut named)?;
    Ok(content)
}

/// The records that stand before an entry.
fn extensions(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Vec<(String, String)>> {
    let Some(records) = entry.pax_extensions()? else { return Ok(Vec::new()) };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    records.map(|record| record.map(|r| (text(r.key_bytes()), text(r.value_bytes())))).collect()
}

/// Files that desktops put beside others.
fn is_shadow(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    path.starts_with("__MACOSX/") || name.starts_with("._") || matches!(name, ".DS_Store" | "Thumbs.db" | "desktop.ini")
}

/// A path that leads out of its folder says that somebody means harm, though nothing is written by it here.
fn proper(name: &str, path: &str) -> Result<()> {
    let out = path.starts_with(['/', '\\']) || path.split(['/', '\\']).any(|part| part == "..") || path.contains('\0');
    if out { Err(odd(name, &format!("`{}` in it leads out of its folder", printable(path, 120)))) } else { Ok(()) }
}

fn only(name: &str, first: Option<&str>, second: &str) -> Result<()> {
    match first {
        None => Ok(()),
        Some(first) => {
            Err(odd(name, &format!("it holds more than one file: `{}` and `{}`", printable(first, 120), printable(second, 120))))
        }
    }
}

fn odd(name: &str, why: &str) -> Problem {
    Problem::usage(format!("`{name}` is no archive with one image in it"))
        .on(name)
        .because(why)
        .hint("unpack it yourself, and import the file that is meant: `chyves image import FILE`")
}

/// An entry of a tar archive must be as long as it says: the reader ends quietly where the archive does.
struct Counted<'a> {
    from: &'a mut dyn Read,
    left: u64,
    name: &'a str,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(into)?;
        if n == 0 && !into.is_empty() && self.left > 0 {
            return Err(carried(damaged(self.name, Packing::Tar, &io::ErrorKind::UnexpectedEof.into())));
        }
        self.left = self.left.saturating_sub(n as u64);
        Ok(n)
    }
}

/// The reader of a zip entry, whose errors name the archive.
struct Named<'a> {
    from: &'a mut dyn Read,
    name: &'a str,
}

impl Read for Named<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.from.read(into).map_err(|e| match e.kind() {
            io::ErrorKind::Interrupted => e,
            _ => carried(damaged(self.name, Packing::Zip, &e)),
        })
    }
}
