//! An appliance (OVA): a tar archive of a description (OVF), disks, and often a manifest with the hash of each file.
//!
//! One disk becomes the image: the first, or the one that is named. The manifest may precede or follow the disks, so every
//! file is hashed as it is read, and compared at the end. Source: DMTF DSP0243 (OVF 2.1), sections 5.3 and 5.4. Not here: the
//! archive (`archive`), the settings in the description (`ovf`).

use super::digest::Hasher;
use super::ovf;
use chyves_core::error::{Problem, Result};
use chyves_core::image::{HashKind, checksums};
use chyves_core::value::printable;
use std::collections::BTreeMap;
use std::io::{self, Read};

/// The hash algorithms of manifests.
const KINDS: [HashKind; 3] = [HashKind::Sha1, HashKind::Sha256, HashKind::Sha512];
/// Size limit of a manifest, in bytes.
const LIMIT: u64 = 1 << 20;

/// What was found in an archive beside the image.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Settings that its description requests.
    pub(super) asks: Vec<String>,
    /// All its disks, if there are several; the imported one first.
    pub(super) disks: Vec<String>,
    /// Whether the hashes of its manifest were compared.
    pub(super) verified: bool,
}

/// The type of a file in an appliance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Description,
    Manifest,
    Disk,
    /// A certificate, an ISO, variables, a text.
    Other,
}

impl Part {
    pub(super) fn of(path: &str) -> Self {
        match path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "ovf" => Self::Description,
            "mf" => Self::Manifest,
            "cert" | "iso" | "nvram" | "xml" | "txt" => Self::Other,
            _ => Self::Disk,
        }
    }
}

/// An appliance while it is read.
#[derive(Debug, Default)]
pub(super) struct Appliance {
    notes: Notes,
    manifest: Option<String>,
    hashes: BTreeMap<String, Vec<String>>,
    /// A name that several files have.
    twice: Option<String>,
}

impl Appliance {
    /// Reads the description.
    pub(super) fn describe(&mut self, from: &mut dyn Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        from.take(ovf::LIMIT).read_to_end(&mut bytes)?;
        self.notes.asks = ovf::asks(&String::from_utf8_lossy(&bytes));
        Ok(())
    }

    /// Reads the manifest.
    pub(super) fn manifest(&mut self, from: &mut dyn Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        from.take(LIMIT).read_to_end(&mut bytes)?;
        self.manifest = Some(checksums::text(&bytes));
        Ok(())
    }

    /// Records a disk; `taken`: it becomes the image.
    pub(super) fn disk(&mut self, path: &str, taken: bool) {
        let at = if taken { 0 } else { self.notes.disks.len() };
        self.notes.disks.insert(at, path.to_owned());
    }

    /// Records the hashes of a file that was read completely.
    pub(super) fn read(&mut self, path: &str, hashed: Hashed<'_>) {
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        if self.hashes.keys().any(|other| name(other) == name(path)) {
            self.twice = Some(name(path));
        }
        self.hashes.insert(path.to_owned(), hashed.hashers.into_iter().map(Hasher::hex).collect());
    }

    /// Compares everything that was read with the manifest.
    ///
    /// # Errors
    /// A file differs from the manifest, or is missing in one of the two.
    pub(super) fn end(mut self, archive: &str) -> Result<Notes> {
        let Some(manifest) = &self.manifest else { return Ok(self.notes) };
        let bad = |why: String| {
            Problem::failed(format!("`{archive}` does not match its manifest"))
                .on(archive)
                .because(why)
                .hint("it is damaged or was altered: fetch it again, and check it with --hash HASH or --checksums LIST")
        };
        // A manifest has names only, so it does not show which of them it means.
        if let Some(name) = &self.twice {
            return Err(bad(format!("several files in it are called {}", printable(name, 120))));
        }
        for (path, hashes) in &self.hashes {
            let name = path.rsplit('/').next().unwrap_or(path);
            let shown = printable(path, 120);
            let wanted = checksums::find(manifest, &[name]).map_err(|p| bad(format!("{}: {shown}", p.message)))?;
            let is = KINDS.iter().position(|kind| *kind == wanted.kind).and_then(|at| hashes.get(at));
            match is {
                Some(is) if *is == wanted.hex => {}
                Some(is) => return Err(bad(format!("the {} of {shown} is {is}, and must be {}", wanted.kind.word(), wanted.hex))),
                None => return Err(bad(format!("the hash of {shown} in it is of a kind that is not supported: {}", wanted.kind.word()))),
            }
        }
        let has = |name: &str| self.hashes.keys().any(|path| path.rsplit('/').next() == Some(name));
        if let Some(missing) = names(manifest).find(|name| Part::of(name) == Part::Disk && !has(name)) {
            return Err(bad(format!("the manifest lists {}, which is not in the archive", printable(missing, 120))));
        }
        self.notes.verified = true;
        Ok(self.notes)
    }
}

/// The names of the files in a manifest: `SHA256(name)= hex`.
fn names(manifest: &str) -> impl Iterator<Item = &str> {
    manifest.lines().filter_map(|line| line.split_once('(')?.1.rsplit_once(')').map(|(name, _)| name))
}

/// A file that is hashed as it is read.
pub(super) struct Hashed<'a> {
    from: &'a mut dyn Read,
    hashers: Vec<Hasher>,
}

impl<'a> Hashed<'a> {
    /// `wanted`: whether the hashes are needed.
    pub(super) fn new(from: &'a mut dyn Read, wanted: bool) -> Self {
        Self { from, hashers: KINDS.into_iter().filter(|_| wanted).map(Hasher::new).collect() }
    }
}

impl Read for Hashed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(into)?;
        for hasher in &mut self.hashers {
            hasher.update(&into[..n]);
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &[u8])], manifest: Option<String>) -> Result<Notes> {
        let mut appliance = Appliance { manifest, ..Appliance::default() };
        for (name, bytes) in files {
            let mut from = *bytes;
            let mut hashed = Hashed::new(&mut from, true);
            io::copy(&mut hashed, &mut io::sink()).unwrap();
            appliance.read(name, hashed);
        }
        appliance.end("box.ova")
    }

    #[test]
    fn every_file_is_compared_with_the_manifest() {
        let hex = |kind, bytes: &[u8]| {
            let mut hasher = Hasher::new(kind);
            hasher.update(bytes);
            hasher.hex()
        };
        let files: [(&str, &[u8]); 2] = [("box.ovf", b"<x/>"), ("box-disk1.vmdk", b"disk")];
        for (kind, word) in [(HashKind::Sha1, "SHA1"), (HashKind::Sha256, "SHA256"), (HashKind::Sha512, "SHA512")] {
            let manifest = files.map(|(name, bytes)| format!("{word}({name})= {}\n", hex(kind, bytes))).concat();
            assert!(read(&files, Some(manifest.clone())).unwrap().verified, "{word}");
            let other = read(&[files[0], ("box-disk1.vmdk", b"dusk")], Some(manifest.clone())).unwrap_err();
            assert!(other.causes[0].contains("box-disk1.vmdk is"), "{other:?}");
            assert!(read(&files[..1], Some(manifest.clone())).unwrap_err().causes[0].contains("not in the archive"));
            assert!(read(&[files[0], files[1], ("more.vmdk", b"x")], Some(manifest)).unwrap_err().causes[0].contains("more.vmdk"));
        }
        assert!(!read(&files, None).unwrap().verified);
        let manifest = files.map(|(name, bytes)| format!("SHA256({name})= {}\n", hex(HashKind::Sha256, bytes))).concat();
        for second in ["box-disk1.vmdk", "other/box-disk1.vmdk"] {
            let twice = [files[0], (second, b"dusk".as_slice()), files[1]];
            assert!(read(&twice, Some(manifest.clone())).unwrap_err().causes[0].contains("several files"), "{second}");
        }
        let weak = format!("MD5(box.ovf)= {}\n", "0".repeat(32));
        assert!(read(&files[..1], Some(weak)).unwrap_err().causes[0].contains("not supported: md5"));
    }
}
