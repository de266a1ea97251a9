//! Detects files that are neither an image nor a supported compression by their first bytes, so that they do not become an
//! unbootable raw disk: formats of other programs, and text in place of an image.
//!
//! Not here: supported contents (`content`).

/// What the file is, and what to do; none if it may be an image.
pub(super) fn known(head: &[u8]) -> Option<(&'static str, &'static str)> {
    const UNPACK: &str = "unpack it, and import what is in it: `chyves image import FILE`";
    const CONVERT: &str = "convert it: `qemu-img convert -O qcow2 IMAGE DISK.qcow2`, and import that";
    const ANDROID: &str = "convert it: `simg2img IMAGE DISK.img`, and import that";
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
        (b"%PDF-", "a PDF document", OTHER),
        (b"\x89PNG\r\n", "a picture", OTHER),
        (b"-----BEGIN PGP", "a signature or a key", OTHER),
    ];
    formats
        .iter()
        .find(|(magic, ..)| head.starts_with(magic))
        .map(|(_, what, hint)| (*what, *hint))
        .or_else(|| lzma(head).then_some(("lzma-compressed", UNPACK)))
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
    let text = utf8(head).filter(|text| is_printable(text)).map(str::to_owned).or_else(|| utf16(head))?;
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

/// Whether a file ends as a DMG of macOS does.
pub(super) fn is_dmg(last_sector: &[u8]) -> bool {
    last_sector.starts_with(b"koly\0\0\0\x04")
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
    }
}
