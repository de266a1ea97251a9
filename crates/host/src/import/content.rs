//! Detects the content of a file by its first bytes: its compression, its disk format, or that it cannot be an image.
//!
//! Not here: unpacking (`unpack`) and converting (`convert`).

use super::{foreign, optical};
use chyves_core::error::{Problem, Result};
use chyves_core::image::ImageKind;
use chyves_core::value::printable;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// Number of bytes needed for detection: the signature of an ISO follows its system area of 32 KiB.
pub(crate) const HEAD: usize = 40_960;

/// The signature of a VHD: at the beginning of a dynamic one, at the end of a fixed one.
const VHD: &[u8] = b"conectix";
/// Size in bytes of a VHD's footer.
const FOOTER: usize = 512;

/// The type of an uncompressed image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Raw,
    Iso,
    Firmware,
    Format(Format),
}

/// A disk format that has to be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Qcow2,
    Vmdk,
    Vdi,
    Vhdx,
    Vhd,
}

impl Format {
    /// The common name.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vdi => "vdi",
            Self::Vhdx => "vhdx",
            Self::Vhd => "vhd",
        }
    }

    /// The driver name in `qemu-img`.
    pub(crate) const fn driver(self) -> &'static str {
        match self {
            Self::Vhd => "vpc",
            Self::Qcow2 | Self::Vmdk | Self::Vdi | Self::Vhdx => self.word(),
        }
    }
}

/// A compression or archive format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    Xz,
    Zstd,
    Bzip2,
    Tar,
    Zip,
}

impl Packing {
    /// The extension of file names.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Gzip => "gz",
            Self::Xz => "xz",
            Self::Zstd => "zst",
            Self::Bzip2 => "bz2",
            Self::Tar => "tar",
            Self::Zip => "zip",
        }
    }
}

/// The result of detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    Packed(Packing),
    Plain(Content),
}

impl Content {
    /// The kind of image it becomes.
    pub(crate) const fn kind(self) -> ImageKind {
        match self {
            Self::Iso => ImageKind::Iso,
            Self::Firmware => ImageKind::Firmware,
            Self::Raw | Self::Format(_) => ImageKind::Disk,
        }
    }

    /// The word in the recorded origin of an image.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Iso => "iso",
            Self::Firmware => "firmware",
            Self::Format(format) => format.word(),
        }
    }
}

/// Detects the content by its first [`HEAD`] bytes, or all bytes of a shorter file. `name` is used in the error for what cannot
/// be an image.
pub(crate) fn recognise(head: &[u8], name: &str) -> Result<Seen> {
    let starts = |magic: &[u8]| head.starts_with(magic);
    let at = |offset: usize, magic: &[u8]| head.get(offset..offset + magic.len()) == Some(magic);
    let refuse = |what: &str, hint: &str| {
        Err(Problem::usage(format!("`{}` is {what}, not a disk, an ISO or firmware", printable(name, 300)))
            .on(printable(name, 300))
            .hint(hint))
    };
    if head.is_empty() {
        return refuse("empty", "was the download complete? `chyves image fetch ADDRESS` resumes a partial download");
    }
    for (magic, packing) in [
        (&b"\x1f\x8b"[..], Packing::Gzip),
        (b"\xfd7zXZ\0", Packing::Xz),
        (b"\x28\xb5\x2f\xfd", Packing::Zstd),
        (b"BZh", Packing::Bzip2),
        (b"PK\x03\x04", Packing::Zip),
        (b"PK\x05\x06", Packing::Zip),
    ] {
        if starts(magic) {
            return Ok(Seen::Packed(packing));
        }
    }
    // A Zstandard skippable frame may come first.
    if head.len() >= 4 && head[1..4] == *b"\x2a\x4d\x18" && head[0] & 0xf0 == 0x50 {
        return Ok(Seen::Packed(Packing::Zstd));
    }
    if at(257, b"ustar") {
        return Ok(Seen::Packed(Packing::Tar));
    }
    if let Some((what, hint)) = foreign::known(head) {
        return refuse(what, hint);
    }
    for (offset, magic, format) in [
        (0, &b"QFI\xfb"[..], Format::Qcow2),
        (0, b"KDMV", Format::Vmdk),
        (0x40, b"\x7f\x10\xda\xbe", Format::Vdi),
        (0, b"vhdxfile", Format::Vhdx),
        (0, VHD, Format::Vhd),
    ] {
        if at(offset, magic) {
            return match foreign::unusable_qcow2(head).filter(|_| format == Format::Qcow2) {
                Some((what, hint)) => refuse(what, hint),
                None => Ok(Seen::Plain(Content::Format(format))),
            };
        }
    }
    if starts(b"# Disk DescriptorFile") {
        return refuse(
            "the description of a VMDK whose content is in other files",
            "convert it to one file: qemu-img convert -O qcow2 IMAGE WHOLE",
        );
    }
    let text = foreign::opening(head);
    if ["<!doctype", "<html", "<head"].iter().any(|tag| text.starts_with(tag)) {
        return refuse(
            "a web page",
            "the address it came from answered with a page; that of the file itself is another: `chyves image fetch ADDRESS`",
        );
    }
    if text.starts_with("<?xml") {
        return refuse("an XML document", "name the image itself; a server may have answered with this: is the address right?");
    }
    // The signature of a UEFI firmware volume, at offset 40 of its header.
    if at(40, b"_FVH") {
        return Ok(Seen::Plain(Content::Firmware));
    }
    if optical::is_one(head) {
        return Ok(Seen::Plain(Content::Iso));
    }
    if foreign::is_program(head) {
        return refuse(
            "a program of Windows or UEFI",
            "the image itself is another file: name that one; `--kind raw` takes this one as a raw disk",
        );
    }
    Ok(Seen::Plain(Content::Raw))
}

/// Detects the content of an open file; `path` is used in errors.
pub(crate) fn of_file(file: &File, path: &str) -> Result<Seen> {
    let mut head = vec![0; HEAD];
    let mut filled = 0;
    while filled < HEAD {
        match file.read_at(&mut head[filled..], filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => {
                let shown = printable(path, 300);
                return Err(Problem::failed(format!("cannot read `{shown}`")).on(&shown).because(e));
            }
        }
    }
    head.truncate(filled);
    match recognise(&head, path)? {
        Seen::Plain(Content::Raw) if ends_as_vhd(file) => Ok(Seen::Plain(Content::Format(Format::Vhd))),
        seen => Ok(seen),
    }
}

/// Whether a file is a fixed VHD: a raw disk followed by a footer, the only difference to a raw file. On a stream, which cannot
/// be read from its end, this is not known in time.
pub(crate) fn ends_as_vhd(file: &File) -> bool {
    let mut footer = [0; FOOTER];
    let Some(start) = file.metadata().ok().filter(std::fs::Metadata::is_file).and_then(|m| m.len().checked_sub(FOOTER as u64)) else {
        return false;
    };
    file.read_exact_at(&mut footer, start).is_ok() && is_fixed_vhd(&footer, start)
}

/// What a file is by its end, and what to do; none if it may be an image.
pub(super) fn foreign_by_end(file: &File) -> Option<(&'static str, &'static str)> {
    let mut trailer = [0; FOOTER];
    let start = file.metadata().ok().filter(std::fs::Metadata::is_file).and_then(|m| m.len().checked_sub(FOOTER as u64));
    start.filter(|start| file.read_exact_at(&mut trailer, *start).is_ok()).and_then(|_| foreign::by_end(&trailer))
}

/// Checks Microsoft's footer of a disk of `length` bytes: signature, type "fixed", size, and checksum.
fn is_fixed_vhd(footer: &[u8; FOOTER], length: u64) -> bool {
    let number = |at: usize, bytes: usize| footer[at..at + bytes].iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let (kind, size, sum) = (number(60, 4), number(48, 8), number(64, 4));
    let all: u32 = footer.iter().enumerate().filter(|(at, _)| !(64..68).contains(at)).map(|(_, b)| u32::from(*b)).sum();
    footer.starts_with(VHD) && kind == 2 && size <= length && sum == u64::from(!all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_footer_must_hold_in_all_it_says() {
        let footer = |kind: u8, size: u64| {
            let mut footer = [0; FOOTER];
            footer[..8].copy_from_slice(VHD);
            footer[48..56].copy_from_slice(&size.to_be_bytes());
            footer[63] = kind;
            let sum = !footer.iter().map(|b| u32::from(*b)).sum::<u32>();
            footer[64..68].copy_from_slice(&sum.to_be_bytes());
            footer
        };
        assert!(is_fixed_vhd(&footer(2, 1 << 20), 1 << 20));
        // A dynamic one; one whose size exceeds the file; a damaged one; none.
        assert!(!is_fixed_vhd(&footer(3, 1 << 20), 1 << 20) && !is_fixed_vhd(&footer(2, 1 << 21), 1 << 20));
        let mut damaged = footer(2, 1 << 20);
        damaged[100] = 1;
        assert!(!is_fixed_vhd(&damaged, 1 << 20) && !is_fixed_vhd(&[0; FOOTER], 1 << 20));
    }

    #[test]
    fn content_decides_not_the_name() {
        let with = |length: usize, offset: usize, magic: &[u8]| {
            let mut bytes = vec![0u8; length];
            bytes[offset..offset + magic.len()].copy_from_slice(magic);
            recognise(&bytes, "x.iso")
        };
        let plain = |content| Ok(Seen::Plain(content));
        assert_eq!(recognise(&[0xeb; 512], "x.qcow2"), plain(Content::Raw));
        assert_eq!(with(40_000, 32_768, b"\x01CD001\x01"), plain(Content::Iso));
        assert_eq!(with(64, 40, b"_FVH"), plain(Content::Firmware));
        assert_eq!(with(8, 0, b"QFI\xfb"), plain(Content::Format(Format::Qcow2)));
        assert_eq!(with(512, 64, b"\x7f\x10\xda\xbe"), plain(Content::Format(Format::Vdi)));
        assert_eq!(with(512, 0, b"KDMV"), plain(Content::Format(Format::Vmdk)));
        assert_eq!(with(512, 0, b"vhdxfile"), plain(Content::Format(Format::Vhdx)));
        assert_eq!(with(512, 257, b"ustar"), Ok(Seen::Packed(Packing::Tar)));
        assert_eq!(with(512, 0, b"\x52\x2a\x4d\x18"), Ok(Seen::Packed(Packing::Zstd)));
        assert_eq!(with(512, 0, b"\x1f\x8b"), Ok(Seen::Packed(Packing::Gzip)));
        for wrong in [
            &b""[..],
            b"  <!DOCTYPE html><html>",
            b"\xef\xbb\xbf<HTML>",
            b"\xff\xfe<\0h\0t\0m\0l\0>\0",
            b"# Disk DescriptorFile\n",
            b"7z\xbc\xaf\x27\x1c",
            b"Rar!\x1a\x07",
        ] {
            assert_eq!(recognise(wrong, "x.img").unwrap_err().code.exit_code(), 2, "{wrong:?}");
        }
    }
}
