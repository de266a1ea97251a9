//! Writes a small, reproducible ISO image: ISO 9660 with Joliet, with a few files in the root directory.
//!
//! All times are fixed, and neither program nor host are named. Plain ISO 9660 names cannot contain lower-case letters and
//! `-`; all operating systems that cloud-init runs on read the Joliet names, which can. Not here: the content of the files.

/// The size of a sector in bytes.
const SECTOR: usize = 2048;
/// The sector of the first volume descriptor.
const FIRST: usize = 16;
/// 1980-01-01 00:00:00 UTC in the format of directory records: the earliest time that every operating system supports.
const MOMENT: [u8; 7] = [80, 1, 1, 0, 0, 0, 0];
/// The same time in the format of volume descriptors.
const LONG_MOMENT: &[u8; 17] = b"1980010100000000\0";
/// An unset time in the format of volume descriptors.
const NEVER: &[u8; 17] = b"0000000000000000\0";

// One sector each, after the two volume descriptors and the terminator.
const PATHS: u32 = 19;
const PATHS_BIG: u32 = 20;
const JOLIET_PATHS: u32 = 21;
const JOLIET_PATHS_BIG: u32 = 22;
const ROOT: u32 = 23;
const JOLIET_ROOT: u32 = 24;
const DATA: u32 = 25;

/// The encoding of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// Upper-case letters, digits and `_`, up to eight characters.
    Plain,
    /// UCS-2.
    Joliet,
}

/// A file with its position in the image.
struct Placed<'a> {
    name: &'a str,
    sector: u32,
    length: u32,
}

/// An image with that label and these files. Names are ASCII, at most 64 characters, and unique; there are at most a dozen,
/// so that a directory fits into one sector.
pub fn image(label: &str, files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut sector = DATA;
    let mut placed = Vec::new();
    for (name, content) in files {
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
        placed.push(Placed { name, sector, length });
        sector += sectors(content.len());
    }
    // Zeros after the last file, for readers that read ahead.
    let all = usize::try_from(sector).unwrap_or(0).next_multiple_of(16);
    let total = u32::try_from(all).unwrap_or(u32::MAX);
    let mut disc = vec![0u8; all * SECTOR];
    let mut put = |sector: u32, bytes: &[u8]| {
        let at = usize::try_from(sector).unwrap_or(0) * SECTOR;
        if let Some(room) = disc.get_mut(at..at + bytes.len()) {
            room.copy_from_slice(bytes);
        }
    };
    let first = u32::try_from(FIRST).unwrap_or(0);
    put(first, &descriptor(label, total, Names::Plain));
    put(first + 1, &descriptor(label, total, Names::Joliet));
    put(first + 2, b"\xffCD001\x01");
    for (sector, root, big) in
        [(PATHS, ROOT, false), (PATHS_BIG, ROOT, true), (JOLIET_PATHS, JOLIET_ROOT, false), (JOLIET_PATHS_BIG, JOLIET_ROOT, true)]
    {
        put(sector, &path_table(root, big));
    }
    put(ROOT, &folder(&placed, Names::Plain));
    put(JOLIET_ROOT, &folder(&placed, Names::Joliet));
    for (file, (_, content)) in placed.iter().zip(files) {
        put(file.sector, content);
    }
    disc
}

fn sectors(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(SECTOR)).unwrap_or(u32::MAX)
}

/// A number in both byte orders.
fn both32(n: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&n.to_le_bytes());
    bytes[4..].copy_from_slice(&n.to_be_bytes());
    bytes
}

fn both16(n: u16) -> [u8; 4] {
    let mut bytes = [0; 4];
    bytes[..2].copy_from_slice(&n.to_le_bytes());
    bytes[2..].copy_from_slice(&n.to_be_bytes());
    bytes
}

fn ucs2(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// Text in a field of that many bytes, padded with blanks.
fn field(text: &str, width: usize, names: Names) -> Vec<u8> {
    let (mut bytes, blank) = match names {
        Names::Plain => (text.as_bytes().to_vec(), [0, b' ']),
        Names::Joliet => (ucs2(text), [0, b' ']),
    };
    bytes.truncate(width);
    while bytes.len() < width {
        match names {
            Names::Plain => bytes.push(blank[1]),
            Names::Joliet if width - bytes.len() >= 2 => bytes.extend(blank),
            // The remaining byte of an odd width.
            Names::Joliet => bytes.push(0),
        }
    }
    bytes
}

fn descriptor(label: &str, total: u32, names: Names) -> Vec<u8> {
    let (kind, root, paths, paths_big) = match names {
        Names::Plain => (1, ROOT, PATHS, PATHS_BIG),
        Names::Joliet => (2, JOLIET_ROOT, JOLIET_PATHS, JOLIET_PATHS_BIG),
    };
    let mut d = vec![kind];
    d.extend(b"CD001\x01\0");
    d.extend(field("", 32, names));
    d.extend(field(label, 32, names));
    d.extend([0; 8]);
    d.extend(both32(total));
    // The escape sequence of the character set: UCS-2 level 3.
    let mut escapes = [0; 32];
    if names == Names::Joliet {
        escapes[..3].copy_from_slice(b"%/E");
    }
    d.extend(escapes);
    d.extend(both16(1));
    d.extend(both16(1));
    d.extend(both16(u16::try_from(SECTOR).unwrap_or(0)));
    d.extend(both32(10));
    d.extend(paths.to_le_bytes());
    d.extend([0; 4]);
    d.extend(paths_big.to_be_bytes());
    d.extend([0; 4]);
    d.extend(record(&[0], root, u32::try_from(SECTOR).unwrap_or(0), true));
    // Volume set, publisher, preparer, application; then the copyright, abstract and bibliography files.
    for width in [128, 128, 128, 128, 37, 37, 37] {
        d.extend(field("", width, names));
    }
    d.extend(LONG_MOMENT);
    d.extend(LONG_MOMENT);
    d.extend(NEVER);
    d.extend(NEVER);
    d.push(1);
    d.resize(SECTOR, 0);
    d
}

/// A path table with one directory: the root.
fn path_table(root: u32, big: bool) -> Vec<u8> {
    let mut table = vec![1, 0];
    table.extend(if big { root.to_be_bytes() } else { root.to_le_bytes() });
    table.extend(if big { 1u16.to_be_bytes() } else { 1u16.to_le_bytes() });
    table.extend([0, 0]);
    table
}

fn folder(files: &[Placed<'_>], names: Names) -> Vec<u8> {
    let root = match names {
        Names::Plain => ROOT,
        Names::Joliet => JOLIET_ROOT,
    };
    let size = u32::try_from(SECTOR).unwrap_or(0);
    let mut entries: Vec<(Vec<u8>, &Placed<'_>)> = files.iter().map(|file| (written(file.name, names), file)).collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    let mut bytes = [record(&[0], root, size, true), record(&[1], root, size, true)].concat();
    for (name, file) in entries {
        bytes.extend(record(&name, file.sector, file.length, false));
    }
    bytes
}

fn written(name: &str, names: Names) -> Vec<u8> {
    match names {
        Names::Joliet => ucs2(name),
        Names::Plain => {
            let fit = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
            let short: String = name.chars().map(fit).take(8).collect();
            format!("{short}.;1").into_bytes()
        }
    }
}

fn record(name: &[u8], sector: u32, length: u32, is_folder: bool) -> Vec<u8> {
    let mut r = vec![0, 0];
    r.extend(both32(sector));
    r.extend(both32(length));
    r.extend(MOMENT);
    r.extend([if is_folder { 2 } else { 0 }, 0, 0]);
    r.extend(both16(1));
    r.push(u8::try_from(name.len()).unwrap_or(0));
    r.extend(name);
    if !r.len().is_multiple_of(2) {
        r.push(0);
    }
    r[0] = u8::try_from(r.len()).unwrap_or(0);
    r
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses a directory of the image as the standard defines it: names and contents.
    fn read(disc: &[u8], descriptor: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let le = |at: usize| u32::from_le_bytes(disc[at..at + 4].try_into().unwrap()) as usize;
        let be = |at: usize| u32::from_be_bytes(disc[at..at + 4].try_into().unwrap()) as usize;
        let root = descriptor * SECTOR + 156;
        let mut at = le(root + 2) * SECTOR;
        let end = at + le(root + 10);
        let mut found = Vec::new();
        while at < end && disc[at] != 0 {
            assert_eq!((le(at + 2), le(at + 10)), (be(at + 6), be(at + 14)), "both orders");
            let name = disc[at + 33..at + 33 + usize::from(disc[at + 32])].to_vec();
            let from = le(at + 2) * SECTOR;
            if disc[at + 25] & 2 == 0 {
                found.push((name, disc[from..from + le(at + 10)].to_vec()));
            }
            at += usize::from(disc[at]);
        }
        found
    }

    #[test]
    fn both_trees_hold_the_files() {
        let long = vec![b'x'; 5000];
        let files: [(&str, &[u8]); 3] = [("meta-data", b"m"), ("user-data", &long), ("vendor-data", b"")];
        let disc = image("CIDATA", &files);
        assert!(disc.len().is_multiple_of(16 * SECTOR));
        let joliet = read(&disc, 17);
        for ((name, content), (is, has)) in files.iter().zip(&joliet) {
            assert_eq!((&ucs2(name), *content), (is, has.as_slice()));
        }
        let plain: Vec<Vec<u8>> = read(&disc, 16).into_iter().map(|(name, _)| name).collect();
        assert_eq!(plain, [b"META_DAT.;1", b"USER_DAT.;1", b"VENDOR_D.;1"]);
        assert_eq!(&disc[16 * SECTOR + 40..16 * SECTOR + 48], b"CIDATA  ");
    }

    #[test]
    fn the_same_files_are_the_same_bytes() {
        let files: [(&str, &[u8]); 1] = [("meta-data", b"m")];
        assert_eq!(image("CIDATA", &files), image("CIDATA", &files));
        assert_ne!(image("CIDATA", &files), image("CIDATA", &[("meta-data", b"n")]));
    }
}
