//! Detects files that are neither an image nor a supported compression by their first bytes, so that they do not become an
//! unbootable raw disk: formats of other programs, and text in place of an image.
//!
//! Not here: supported contents (`content`).

/// What the file is, and what to do; none if it may be an image.
pub(super) fn known(head: &[u8]) -> Option<(&'static str, &'static str)> {
    const UNPACK: &str = "unpack it, and import what is in it: `chyves image import FILE`";
    const CONVERT: &str = "convert it: `qemu-img convert -O qcow2 IMAGE DISK.qcow2`, and import that";
    const ANDROID: &str = "convert it: `simg2img IMAGE DISK.img`, and import that";
    const CONVERT_ISO: &str = "convert it to an ISO with the program that made it, and import that";
    const OTHER: &str = "the image itself is another file: name that one; `--kind raw` takes this one as a raw disk";
    let formats: &[(&[u8], &str, &str)] = &[
        (b"\x04\x22\x4d\x18", "lz4-compressed", UNPACK),
        (b"\x02\x21\x4c\x18", "lz4-compressed", UNPACK),
        (b"LZIP", "lzip-compressed", UNPACK),
        (b"LRZI", "lrzip-compressed", UNPACK),
        (b"\x89LZO\0", "lzo-compressed", UNPACK),
        (b"\x1f\x9d", "a file of compress(1)", UNPACK),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
        (b"Rar!\x1a\x07", "a rar archive", UNPACK),
        (b"MSCF", "a cabinet archive", UNPACK),
        (b"xar!", "a xar archive", UNPACK),
        (b"070701", "a cpio archive", UNPACK),
        (b"!<arch>\n", "an ar archive or a Debian package", UNPACK),
        (b"\xed\xab\xee\xdb", "an RPM package", UNPACK),
        (b"QED\0", "a QED image", CONVERT),
        (b"WithoutFreeSpace", "a Parallels image", CONVERT),
        (b"WithouFreSpacExt", "a Parallels image", CONVERT),
        (b"QFI\xfb\0\0\0\x01", "a qcow image of version 1", CONVERT),
        (b"COWD", "a COWD image of VMware", CONVERT),
        (b"Bochs Virtual HD Image", "a Bochs image", CONVERT),
        (b"MSWIM\0\0\0", "a WIM image", "it is not a disk; boot the Windows ISO that it comes from"),
        (b"EVF\x09\x0d\x0a\xff", "an EWF image", "convert it with `ewfexport`, and import that"),
        (b"encrcdsa", "an encrypted DMG", "convert it on macOS with `hdiutil convert`, and import that"),
        (b"\x3a\xff\x26\xed", "an Android sparse image", ANDROID),
        (b"\x7fELF", "a program", OTHER),
        (b"\xff\x06\0\0sNaPpY", "snappy-compressed", UNPACK),
        (b"CISO", "a CISO image", CONVERT_ISO),
        (
            RAW_SECTOR,
            "a CD image with raw sectors of 2352 bytes",
            "convert it: `bchunk IMAGE.bin IMAGE.cue NAME`, or `iat IMAGE NAME.iso`, and import that",
        ),
        (b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop", "a cloop image", "unpack it: `extract_compressed_fs IMAGE DISK.img`, and import that"),
        (
            b"\x20\0\0\0SignedImage ",
            "an FFU image of Windows",
            "apply it to a disk on Windows with `dism /apply-ffu`, and import that disk",
        ),
        (b"WLPWM\0\0\0", "a WIM image", "it is not a disk; boot the Windows ISO that it comes from"),
        (b"VMA\0", "a backup of Proxmox VE", "unpack it: `vma extract FILE FOLDER`, and import the disks in it"),
        (b"UBI#", "a UBI image for flash chips", OTHER),
        (b"\x27\x05\x19\x56", "a uImage of U-Boot", OTHER),
        (b"shdw", "an ASIF image of macOS", "convert it on macOS with `diskutil image`, and import that"),
        (b"age-encryption.org/v1\n", "encrypted by age", "decrypt it: `age --decrypt -o DISK FILE`, and import that"),
        (b"Salted__", "encrypted by openssl", "decrypt it: `openssl enc -d …`, and import that"),
        (b"\xff\xd8\xff", "a picture", OTHER),
        (b"SQLite format 3\0", "a database", OTHER),
        (b"%PDF-", "a PDF document", OTHER),
        (b"\x89PNG\r\n", "a picture", OTHER),
        (b"-----BEGIN PGP", "a signature or a key", OTHER),
    ];
    formats
        .iter()
        .find(|(magic, ..)| head.starts_with(magic))
        .map(|(_, what, hint)| (*what, *hint))
        .or_else(|| lzma(head).then_some(("lzma-compressed", UNPACK)))
        .or_else(|| {
            is_zfs_stream(head).then_some(("a ZFS stream", "`chyves receive < FILE` receives a guest; `zfs receive` any other dataset"))
        })
}

/// The synchronisation pattern of a CD sector, which precedes its data where sectors are stored whole.
const RAW_SECTOR: &[u8] = b"\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0";

/// The first record of a ZFS stream has its magic number at offset 8, in the byte order of the sender.
fn is_zfs_stream(head: &[u8]) -> bool {
    let magic = 0x0002_f5ba_cbac_u64;
    head.get(..4) == Some(&[0; 4]) && head.get(8..16).is_some_and(|bytes| bytes == magic.to_le_bytes() || bytes == magic.to_be_bytes())
}

/// Whether it is a program of Windows, DOS or UEFI (PE). A hybrid ISO may begin as one, so an ISO is detected first; a boot
/// sector with a partition table is none.
pub(super) fn is_program(head: &[u8]) -> bool {
    let at = head.get(0x3c..0x40).map_or(0, |at| at.iter().rev().fold(0usize, |n, b| n << 8 | usize::from(*b)));
    head.starts_with(b"MZ") && head.get(at..).is_some_and(|rest| rest.starts_with(b"PE\0\0"))
}

/// Why a qcow2 image must not be imported; none if it may be. `head` begins with its header.
pub(super) fn unusable_qcow2(head: &[u8]) -> Option<(&'static str, &'static str)> {
    let number = |from: usize, to: usize| head.get(from..to).map_or(0, |bytes| bytes.iter().fold(0u64, |n, b| n << 8 | u64::from(*b)));
    if number(32, 36) != 0 {
        return Some((
            "an encrypted qcow2 image",
            "decrypt it: `qemu-img convert --object secret,id=s,file=PASSWORD_FILE --image-opts driver=qcow2,encrypt.key-secret=s,file.filename=IMAGE -O qcow2 DISK.qcow2`, and import that",
        ));
    }
    (number(4, 8) >= 3 && number(72, 80) & 2 != 0).then_some((
        "a qcow2 image that QEMU marked as corrupt",
        "`qemu-img check -r all IMAGE` repairs what can be repaired and removes the mark; check the content afterwards",
    ))
}

/// The old lzma format, which has no signature: its properties, a dictionary of 2^n or 3*2^n bytes, and a length that is
/// unknown or plausible.
fn lzma(head: &[u8]) -> bool {
    let number = |from: usize, to: usize| head.get(from..to).map(|b| b.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b)));
    let (Some(dictionary), Some(length)) = (number(1, 5), number(5, 13)) else { return false };
    let usual =
        dictionary >= 1 << 12 && (dictionary.is_power_of_two() || (dictionary.is_multiple_of(3) && (dictionary / 3).is_power_of_two()));
    head[0] == 0x5d && usual && (length == u64::MAX || (length > 0 && length < 1 << 40))
}

/// The type of a text file in place of an image; none if it is not text.
pub(super) fn text(head: &[u8]) -> Option<(&'static str, &'static str)> {
    let text = utf8(head).filter(|text| is_printable(text)).map(str::to_owned).or_else(|| utf16(head)).or_else(|| latin1(head))?;
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let fetched = "the server answered with this instead of the file: is the address right, and does it want a login?";
    Some(match text {
        _ if text.starts_with("version https://git-lfs") => (
            "a pointer of Git LFS",
            "fetch the file that it stands for: `git lfs pull` in its repository, or its address with /media/ or /resolve/",
        ),
        _ if text.starts_with(['{', '[']) => ("JSON text", fetched),
        _ => ("plain text", "name the image itself; `--kind raw` takes this file as a raw disk"),
    })
}

/// The first characters of a text in lower case, without what may come before them; of other files something arbitrary.
pub(super) fn opening(head: &[u8]) -> String {
    let text = utf16(head).unwrap_or_else(|| String::from_utf8_lossy(&head[..head.len().min(512)]).into_owned());
    text.trim_start_matches('\u{feff}').trim_start().chars().take(64).collect::<String>().to_ascii_lowercase()
}

fn is_printable(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\x0c'))
}

/// The bytes as UTF-8, of which the last character may be cut.
fn utf8(head: &[u8]) -> Option<&str> {
    match std::str::from_utf8(head) {
        Ok(text) => Some(text),
        Err(bad) if bad.error_len().is_none() => std::str::from_utf8(&head[..bad.valid_up_to()]).ok(),
        Err(_) => None,
    }
}

/// The bytes as UTF-16: with a byte order mark, or printable ASCII in either byte order.
fn utf16(head: &[u8]) -> Option<String> {
    let decoded = |unit: fn([u8; 2]) -> u16| {
        let mut units: Vec<u16> = head.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        // The last character may be cut.
        units.pop_if(|last| (0xd800..0xdc00).contains(last));
        String::from_utf16(&units).ok().filter(|text| !text.is_empty() && is_printable(text))
    };
    let text = decoded(u16::from_le_bytes).filter(|text| text.starts_with('\u{feff}') || text.is_ascii());
    text.or_else(|| decoded(u16::from_be_bytes).filter(|text| text.starts_with('\u{feff}') || text.is_ascii()))
}

/// The bytes as Latin-1 or a code page of Windows: printable, and mostly ASCII. 40 KiB of a disk never look so.
fn latin1(head: &[u8]) -> Option<String> {
    let text: String = head.iter().map(|b| char::from(*b)).collect();
    let ascii = head.iter().filter(|b| b.is_ascii()).count();
    let is_printable = head.iter().all(|b| !b.is_ascii_control() || matches!(b, b'\n' | b'\r' | b'\t' | b'\x0c'));
    (is_printable && head.len() >= 16 && ascii * 4 >= head.len() * 3).then_some(text)
}

/// What a file is by its last sector, and what to do; none if it may be an image.
pub(super) fn by_end(last: &[u8]) -> Option<(&'static str, &'static str)> {
    let from_end =
        |back: usize, magic: &[u8]| last.len().checked_sub(back).and_then(|at| last.get(at..)).is_some_and(|b| b.starts_with(magic));
    if last.starts_with(b"koly\0\0\0\x04") {
        return Some(("a DMG image of macOS", "convert it: `dmg2img IMAGE DISK.img`, and import that"));
    }
    if from_end(12, b"NER5") || from_end(8, b"NERO") {
        return Some(("an NRG image of Nero", "convert it: `nrg2iso IMAGE NAME.iso`, and import that"));
    }
    from_end(64, b"bbis").then_some(("a UIF image", "convert it: `uif2iso IMAGE NAME.iso`, and import that"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_formats_and_text_are_told_from_disks() {
        assert_eq!(known(b"\x04\x22\x4d\x18....").unwrap().0, "lz4-compressed");
        assert_eq!(known(b"QED\0....").unwrap().0, "a QED image");
        assert_eq!(known(b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0").unwrap().0, "lzma-compressed");
        assert!(known(&[0x5d; 32]).is_none() && known(&[0; 512]).is_none() && known(b"\xeb\x63\x90").is_none());
        assert_eq!(text(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n").unwrap().0, "a pointer of Git LFS");
        assert_eq!(text(b"  {\"error\": \"no\"}").unwrap().0, "JSON text");
        assert_eq!(text("nicht gefunden: Prüfung\n".as_bytes()).unwrap().0, "plain text");
        assert_eq!(known(b"LRZI\0\x06").unwrap().0, "lrzip-compressed");
        let wide = |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
        for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
            assert_eq!(text(&wide("\u{feff}Prüfung 😀\r\n", bytes)).unwrap().0, "plain text");
            assert_eq!(text(&wide("no mark", bytes)).unwrap().0, "plain text");
            assert_eq!(text(&wide("{\"error\": 1}", bytes)).unwrap().0, "JSON text");
            assert!(opening(&wide("\u{feff} <!DOCTYPE html>", bytes)).starts_with("<!doctype"));
            assert!(text(&wide("\u{feff}text, and then\0", bytes)).is_none() && text(&wide("ü", bytes)).is_none());
        }
        // The head of a longer text may end within a character.
        assert_eq!(text(&"Prüfung".as_bytes()[..3]).unwrap().0, "plain text");
        assert_eq!(text(&wide("\u{feff}a😀", u16::to_le_bytes)[..6]).unwrap().0, "plain text");
        assert!(text(b"text, and then\0").is_none() && text(&[0xeb, 0xff]).is_none());
        let old: Vec<u8> = "nicht gefunden: Prüfung, Größe\n".chars().map(|c| c as u8).collect();
        assert_eq!(text(&old).unwrap().0, "plain text");
        assert!(text(&[0xe4; 512]).is_none() && text(&[&old[..], &[0]].concat()).is_none());
    }

    #[test]
    fn files_of_other_programs_are_named() {
        for (magic, name) in [
            (&b"\xff\x06\0\0sNaPpY"[..], "snappy-compressed"),
            (RAW_SECTOR, "a CD image with raw sectors of 2352 bytes"),
            (b"CISO\x18\0", "a CISO image"),
            (b"\0\0\0\0\0\0\0\0\xac\xcb\xba\xf5\x02\0\0\0", "a ZFS stream"),
            (b"Salted__", "encrypted by openssl"),
            (b"SQLite format 3\0", "a database"),
        ] {
            assert_eq!(known(magic).unwrap().0, name);
        }
        let mut program = vec![0; 512];
        program[..2].copy_from_slice(b"MZ");
        assert!(!is_program(&program), "a boot sector may begin so");
        program[0x3c] = 0x80;
        program[0x80..0x84].copy_from_slice(b"PE\0\0");
        assert!(is_program(&program));
        let mut qcow2 = vec![0; 512];
        qcow2[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
        assert!(unusable_qcow2(&qcow2).is_none());
        qcow2[79] = 2;
        assert!(unusable_qcow2(&qcow2).unwrap().0.contains("corrupt"));
        qcow2[35] = 2;
        assert!(unusable_qcow2(&qcow2).unwrap().0.contains("encrypted"));
        let end = |back: usize, magic: &[u8]| {
            let mut sector = vec![0; 512];
            sector[512 - back..512 - back + magic.len()].copy_from_slice(magic);
            by_end(&sector).map(|(what, _)| what)
        };
        assert_eq!(end(512, b"koly\0\0\0\x04"), Some("a DMG image of macOS"));
        assert_eq!((end(12, b"NER5"), end(64, b"bbis"), end(100, b"bbis")), (Some("an NRG image of Nero"), Some("a UIF image"), None));
    }
}
