//! Reading an image: recognised by its content, converted, written sparsely, hashed, described on its dataset.

use super::{Event, Place, command, files};
use crate::run;
use chyves_core::cmd::Cmd;
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::property::keys;
use chyves_core::value::{Dataset, Size, printable};
use chyves_core::world::ImageKind;
use chyves_core::zfs::{Dialect, args};
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::Ordering;

/// What is imported where.
pub(super) struct Import<'a> {
    pub(super) source: &'a str,
    pub(super) folder: &'a str,
    pub(super) dataset: &'a Dataset,
    pub(super) now: &'a str,
    pub(super) dialect: Dialect,
}

/// What a file is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Raw,
    Iso,
    Firmware,
    Qcow2,
}

/// Recognises a file's content; what can't be a disk is refused by name.
pub(super) fn recognise(path: &str) -> Result<Content> {
    let head = files::peek(path, 0, 64)?;
    let starts = |magic: &[u8]| head.starts_with(magic);
    let refuse = |what: &str, hint: &str| {
        Err(Problem::usage(format!("`{}` is {what}, not a disk, an ISO or firmware", printable(path, 300))).on(path).hint(hint))
    };
    if head.is_empty() {
        return refuse("empty", "was it fetched to its end?");
    }
    if starts(b"QFI\xfb") {
        return Ok(Content::Qcow2);
    }
    for (magic, what) in [
        (&b"\x1f\x8b"[..], "gzip-compressed"),
        (b"\xfd7zXZ\0", "xz-compressed"),
        (b"\x28\xb5\x2f\xfd", "zstd-compressed"),
        (b"BZh", "bzip2-compressed"),
        (b"PK\x03\x04", "a zip archive"),
    ] {
        if starts(magic) {
            return refuse(what, "unpack it first");
        }
    }
    let text = String::from_utf8_lossy(&head).trim_start().to_ascii_lowercase();
    if text.starts_with("<!doctype") || text.starts_with("<html") || text.starts_with("<?xml") {
        return refuse("a web page", "the address it came from answered with a page; fetch the file itself");
    }
    // The signature of a UEFI firmware volume stands behind its 40-byte header's reserved part.
    if head.get(40..44) == Some(b"_FVH") {
        return Ok(Content::Firmware);
    }
    if files::peek(path, 32769, 5)? == b"CD001" {
        return Ok(Content::Iso);
    }
    Ok(Content::Raw)
}

/// Imports one image.
pub(super) fn import(import: &Import<'_>, place: &mut Place<'_>) -> Result<()> {
    let meta = fs::metadata(import.source).map_err(|e| {
        Problem::not_found(format!("can't open the image `{}`", printable(import.source, 300))).on(import.source).because(e)
    })?;
    if !meta.is_file() {
        return Err(Problem::usage(format!("`{}` is no file", printable(import.source, 300))).on(import.source));
    }
    let content = recognise(import.source)?;
    let kind = match content {
        Content::Iso => ImageKind::Iso,
        Content::Firmware => ImageKind::Firmware,
        Content::Raw | Content::Qcow2 => ImageKind::Disk,
    };
    let target = format!("{}/{}", import.folder, kind.file());
    if content == Content::Qcow2 {
        convert(import.source, &target, place)?;
    } else {
        copy(import.source, &target, meta.len(), place)?;
    }
    let (sha256, length) = hash(&target, place)?;
    let sectors = length.next_multiple_of(512);
    if kind == ImageKind::Disk && sectors != length {
        // Hypervisors refuse a disk that ends within a sector.
        OpenOptions::new()
            .write(true)
            .open(&target)
            .and_then(|f| f.set_len(sectors))
            .map_err(|e| Problem::failed("can't pad the image").on(&target).because(e))?;
    }
    let own = [
        (keys::IMAGE_SIZE, Size::bytes(sectors).to_string()),
        (keys::IMAGE_SHA256, sha256),
        (keys::IMAGE_SOURCE, printable(import.source, 900)),
        (keys::IMAGE_ADDED, import.now.to_owned()),
        // Last: a dataset is an image once its kind is written.
        (keys::IMAGE_KIND, kind.word().to_owned()),
    ]
    .map(|(k, v)| (k.to_owned(), v));
    for cmd in args::change(import.dialect, import.dataset.as_str(), &own, &[]) {
        command(&cmd, place)?;
    }
    Ok(())
}

fn copy(source: &str, target: &str, total: u64, place: &mut Place<'_>) -> Result<()> {
    let mut from =
        File::open(source).map_err(|e| Problem::not_found(format!("can't open `{}`", printable(source, 300))).on(source).because(e))?;
    let to = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(target)
        .map_err(|e| Problem::failed(format!("can't make `{target}`")).on(target).because(e))?;
    let mut at = 0;
    let length = files::sparse(&mut from, &to, target, &mut |n| {
        at += n;
        (place.report)(Event::Progress(at, total));
        !place.interrupted.load(Ordering::SeqCst)
    })?;
    if length != total {
        return Err(Problem::failed(format!("`{}` changed while it was read", printable(source, 300)))
            .on(source)
            .because(format!("{length} bytes came of {total}")));
    }
    to.sync_all().map_err(|e| Problem::failed(format!("can't write `{target}`")).on(target).because(e))
}

/// Makes a raw disk of a qcow2 image.
fn convert(source: &str, target: &str, place: &mut Place<'_>) -> Result<()> {
    whole(source)?;
    command(&Cmd::new("qemu-img", ["convert", "-f", "qcow2", "-O", "raw", "-S", "64k", source, target]), place)
}

/// The size of the disk in a qcow2 image, which must be whole in itself: one that names another file would let an image
/// read any file of the host.
pub(super) fn whole(source: &str) -> Result<Size> {
    let info = run::must(&Cmd::new("qemu-img", ["info", "-f", "qcow2", "--output=json", source]))?;
    let info: serde_json::Value =
        serde_json::from_str(&info).map_err(|e| Problem::failed("can't read what `qemu-img info` printed").because(e))?;
    let data_file = info.pointer("/format-specific/data/data-file");
    if info.get("backing-filename").is_some() || data_file.is_some() {
        return Err(Problem::usage(format!("`{}` is not whole: it stands on another file", printable(source, 300)))
            .on(source)
            .hint("flatten it first: qemu-img convert -O qcow2 IMAGE WHOLE"));
    }
    let size = info.get("virtual-size").and_then(serde_json::Value::as_u64);
    size.map(Size::bytes).ok_or_else(|| Problem::failed("can't read what `qemu-img info` printed").because("it tells no virtual size"))
}

/// The SHA-256 of a file and its length.
fn hash(path: &str, place: &mut Place<'_>) -> Result<(String, u64)> {
    let fail = |e: std::io::Error| Problem::failed(format!("can't read `{path}`")).on(path).because(e);
    let mut file = File::open(path).map_err(fail)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; 1 << 20];
    let mut length = 0;
    loop {
        let n = file.read(&mut buffer).map_err(fail)?;
        if n == 0 {
            break;
        }
        if place.interrupted.load(Ordering::SeqCst) {
            return Err(Problem::new(Kind::Interrupted, "interrupted").on(path));
        }
        hasher.update(&buffer[..n]);
        length += n as u64;
    }
    let hex = hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        use std::fmt::Write;
        let _ = write!(text, "{byte:02x}");
        text
    });
    Ok((hex, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_decides_not_the_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name).to_str().unwrap().to_owned();
            fs::write(&path, bytes).unwrap();
            path
        };
        let mut iso = vec![0u8; 40_000];
        iso[32769..32774].copy_from_slice(b"CD001");
        let mut firmware = vec![0u8; 64];
        firmware[40..44].copy_from_slice(b"_FVH");
        assert_eq!(recognise(&file("a.qcow2", &[0xeb; 512])).unwrap(), Content::Raw);
        assert_eq!(recognise(&file("a.img", &iso)).unwrap(), Content::Iso);
        assert_eq!(recognise(&file("b.img", &firmware)).unwrap(), Content::Firmware);
        assert_eq!(recognise(&file("c.img", b"QFI\xfb\0\0\0\x03")).unwrap(), Content::Qcow2);
        for (name, bytes) in
            [("empty", &b""[..]), ("x.img", b"\xfd7zXZ\0\0"), ("page.img", b"  <!DOCTYPE html><html>"), ("z.img", b"PK\x03\x04")]
        {
            assert_eq!(recognise(&file(name, bytes)).unwrap_err().code.exit_code(), 2, "{name}");
        }
    }
}
