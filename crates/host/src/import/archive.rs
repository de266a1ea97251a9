//! Archives that contain one image, or of which one file is named. Nothing is ever written under a name from the archive.
//!
//! Not here: the content of the image (`unpack`).

use super::chunks::carried;
use super::content::{Content, Packing};
use super::fault::{self, Fault};
use super::open::At;
use super::ova::{Appliance, Hashed, Part};
use super::sparse;
use super::unpack::Unpacker;
use chyves_core::error::{Problem, Result};
use chyves_core::value::printable;
use std::io::{self, Read};
use tar::EntryType;
use zip::result::ZipError;

/// Unpacks the image in a tar archive.
pub(super) fn tar(unpacker: &mut Unpacker, from: &mut dyn Read) -> Result<Content> {
    let name = unpacker.shown();
    let broken = |e: io::Error| super::chunks::problem(e, |e| fault::of(&name, Packing::Tar, &e));
    let mut archive = tar::Archive::new(from);
    let mut found: Option<(String, Content)> = None;
    // For an appliance (OVA): its description comes first, then the files that it describes.
    let mut appliance: Option<Appliance> = None;
    let mut all = Vec::new();
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
        if appliance.is_none() && found.is_none() && all.is_empty() && Part::of(&path) == Part::Description {
            appliance = Some(Appliance::default());
        }
        let counted = &mut Counted { left: entry.size(), from: &mut entry, name: &name };
        let mut from = Hashed::new(counted, appliance.is_some());
        let part = appliance.as_ref().map_or(Part::Disk, |_| Part::of(&path));
        match (part, &mut appliance) {
            (Part::Description, Some(appliance)) => appliance.describe(&mut from).map_err(broken)?,
            (Part::Manifest, Some(appliance)) => {
                appliance.manifest(&mut from).map_err(broken)?;
                unpacker.drain(&mut from)?;
                // The manifest has no hash of itself.
                continue;
            }
            (Part::Disk, _) => {
                let wanted = unpacker.member.as_deref().map_or(found.is_none(), |member| is_named(&path, member));
                // Without a choice and without a description, a second file makes it unclear which one is meant.
                if unpacker.member.is_none() && appliance.is_none() {
                    only(&name, found.as_ref().map(|(first, _)| first.as_str()), &path)?;
                }
                if let Some(appliance) = &mut appliance {
                    appliance.disk(&path, wanted);
                }
                all.push(path.clone());
                if wanted {
                    only(&name, found.as_ref().map(|(first, _)| first.as_str()), &path)?;
                    let content = match sparse::Map::of(&extensions, &mut from).map_err(broken)? {
                        Some(map) => {
                            let mut whole = sparse::Sparse::new(map, &mut from);
                            let content = unpacker.layer(&mut whole, &path)?;
                            unpacker.drain(&mut whole)?;
                            content
                        }
                        None => unpacker.layer(&mut from, &path)?,
                    };
                    found = Some((path.clone(), content));
                }
            }
            (Part::Other | Part::Description | Part::Manifest, _) => {}
        }
        unpacker.drain(&mut from)?;
        if let Some(appliance) = &mut appliance {
            appliance.read(&path, from);
        }
    }
    let Some((_, content)) = found else { return Err(none(&name, unpacker.member.as_deref(), &all)) };
    if let Some(appliance) = appliance {
        let notes = appliance.end(&name)?;
        if let Ok(mut told) = unpacker.notes.lock() {
            *told = notes;
        }
    }
    Ok(content)
}

/// Whether a file in an archive is the one that the user named: by its path, or by the last component.
fn is_named(path: &str, member: &str) -> bool {
    path == member || path.strip_prefix("./") == Some(member) || path.rsplit('/').next() == Some(member)
}

/// The problem that the archive contains no file, or not the named one.
fn none(name: &str, member: Option<&str>, all: &[String]) -> Problem {
    let Some(member) = member else { return odd(name, "it holds no file") };
    let shown = printable(member, 120);
    let all: Vec<String> = all.iter().map(|path| printable(path, 120)).collect();
    Problem::not_found(format!("there is no `{shown}` in `{name}`"))
        .on(name)
        .because(if all.is_empty() { "it holds no file".to_owned() } else { format!("it holds {}", all.join(", ")) })
        .hint("name one of them: --member FILE")
}

/// Unpacks the image in a zip archive, which must be a file: its directory is at the end.
pub(super) fn zip(unpacker: &mut Unpacker, file: At) -> Result<Content> {
    let name = unpacker.shown();
    let broken = |e: zip::result::ZipError| {
        let error = match e {
            ZipError::Io(e) => e,
            ZipError::UnsupportedArchive(what) => Fault::Unsupported(what.into()).into(),
            ZipError::CompressionMethodNotSupported(method) => Fault::Unsupported(format!("compression method {method}")).into(),
            _ => io::ErrorKind::InvalidData.into(),
        };
        fault::of(&name, Packing::Zip, &error)
    };
    ends_with_its_directory(&file).map_err(|e| fault::of(&name, Packing::Zip, &e))?;
    let mut archive = zip::ZipArchive::new(io::BufReader::new(file)).map_err(broken)?;
    let mut found: Option<(usize, String)> = None;
    let mut all = Vec::new();
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
            return Err(odd(&name, &format!("`{}` in it is protected by a password", printable(&path, 120))));
        }
        all.push(path.clone());
        if unpacker.member.as_deref().is_some_and(|member| !is_named(&path, member)) {
            continue;
        }
        only(&name, found.as_ref().map(|(_, first)| first.as_str()), &path)?;
        found = Some((index, path));
    }
    let (index, path) = found.ok_or_else(|| none(&name, unpacker.member.as_deref(), &all))?;
    let mut entry = archive.by_index(index).map_err(broken)?;
    let mut named = Named { from: &mut entry, name: &name };
    let content = unpacker.layer(&mut named, &path)?;
    unpacker.drain(&mut named)?;
    Ok(content)
}

/// Checks that a zip archive ends at the offset that the end record of its directory states.
fn ends_with_its_directory(file: &At) -> io::Result<()> {
    /// Size in bytes of that record without its comment, which may have 65,535 bytes.
    const RECORD: usize = 22;
    let length = file.length()?;
    let tail = length.min(RECORD as u64 + 0xffff);
    let mut bytes = vec![0; usize::try_from(tail).unwrap_or_default()];
    file.read_exact_at(&mut bytes, length - tail)?;
    let records = bytes.windows(RECORD).enumerate().filter(|(_, window)| window.starts_with(b"PK\x05\x06"));
    let ends: Vec<usize> = records.map(|(at, w)| at + RECORD + usize::from(u16::from_le_bytes([w[20], w[21]]))).collect();
    if ends.contains(&bytes.len()) {
        return Ok(());
    }
    // Without such a record, or with one that extends beyond the file, the archive is truncated.
    let appended = ends.iter().any(|end| *end < bytes.len());
    Err(if appended { Fault::Trailing.into() } else { io::ErrorKind::UnexpectedEof.into() })
}

/// The PAX records of an entry.
fn extensions(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Vec<(String, String)>> {
    let Some(records) = entry.pax_extensions()? else { return Ok(Vec::new()) };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    records.map(|record| record.map(|r| (text(r.key_bytes()), text(r.value_bytes())))).collect()
}

/// Whether a file is one that desktop systems add beside others.
fn is_shadow(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    path.starts_with("__MACOSX/") || name.starts_with("._") || matches!(name, ".DS_Store" | "Thumbs.db" | "desktop.ini")
}

/// Refuses a path that leads out of its folder: it indicates malice, though nothing is written under it here.
fn proper(name: &str, path: &str) -> Result<()> {
    let out = path.starts_with(['/', '\\']) || path.split(['/', '\\']).any(|part| part == "..") || path.contains('\0');
    if out { Err(odd(name, &format!("`{}` in it points outside of its folder", printable(path, 120)))) } else { Ok(()) }
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
    Problem::usage(format!("`{name}` is not an archive with one image in it"))
        .on(name)
        .because(why)
        .hint("--member FILE names the one that is meant; or unpack it, and import that: `chyves image import FILE`")
}

/// The data of a tar entry, which must have the length in its header: the tar reader reports no error if the archive ends
/// early.
struct Counted<'a> {
    from: &'a mut dyn Read,
    left: u64,
    name: &'a str,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(into)?;
        if n == 0 && !into.is_empty() && self.left > 0 {
            return Err(carried(fault::of(self.name, Packing::Tar, &io::ErrorKind::UnexpectedEof.into())));
        }
        self.left = self.left.saturating_sub(n as u64);
        Ok(n)
    }
}

/// The reader of a zip entry; its errors name the archive.
struct Named<'a> {
    from: &'a mut dyn Read,
    name: &'a str,
}

impl Read for Named<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.from.read(into).map_err(|e| match e.kind() {
            io::ErrorKind::Interrupted => e,
            _ => carried(super::chunks::problem(e, |e| fault::of(self.name, Packing::Zip, &e))),
        })
    }
}
