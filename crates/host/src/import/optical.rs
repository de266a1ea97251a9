//! ISO 9660 and UDF: whether bytes are an ISO at all, its label, and its required length.
//!
//! A volume descriptor alone proves nothing: it is 32 KiB behind the start, and remains on a disk to which an ISO was once
//! written. What was written over it shows what the disk is now. Sources: ECMA-119 (ISO 9660), ECMA-167 and OSTA UDF 2.60, UEFI
//! 2.10 (GPT). Not here: other contents (`content`).

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Sector size of an ISO, in bytes.
const SECTOR: u64 = 2048;
/// Sector of the first volume descriptor.
const FIRST: u64 = 16;
/// Number of bytes that an image may have behind its volume: padding, an appended EFI partition, a backup of the partition
/// table.
const SLACK: u64 = 64 << 20;

fn little(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes.get(at..at + length).unwrap_or_default().iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
}

fn is_at(bytes: &[u8], offset: usize, magic: &[u8]) -> bool {
    bytes.get(offset..offset + magic.len()) == Some(magic)
}

/// Whether the first bytes are those of an ISO.
pub(super) fn is_one(head: &[u8]) -> bool {
    (is_at(head, 32_769, b"CD001") && !is_of_a_former_disc(head)) || is_udf(head)
}

/// Whether a volume has only UDF, as Windows media may.
fn is_udf(head: &[u8]) -> bool {
    is_at(head, 32_769, b"BEA01")
        && [34_817, 36_865].into_iter().any(|offset| is_at(head, offset, b"NSR02") || is_at(head, offset, b"NSR03"))
}

/// The reason why the first volume descriptor is none, although it has the signature of one. ECMA-119 8.1: types 0 to 3 and 255,
/// version 1, and 2 for an enhanced one.
fn bad_header(head: &[u8]) -> Option<String> {
    let descriptor = head.get(32_768..32_775).filter(|d| &d[1..6] == b"CD001")?;
    let (kind, version) = (descriptor[0], descriptor[6]);
    (!matches!(kind, 0..=3 | 255) || !matches!(version, 1 | 2)).then(|| format!("type {kind}, version {version}"))
}

/// Whether the volume descriptor is left over from an ISO that was once written to this disk: there is a file system where an
/// ISO has nothing, a boot sector before what is no descriptor, or partitions that end far behind the ISO's volume. Those of an
/// ISO for USB sticks end with it.
fn is_of_a_former_disc(head: &[u8]) -> bool {
    if is_at(head, 510, b"\x55\xaa") && bad_header(head).is_some() {
        return true;
    }
    // ext2 to ext4, XFS, LUKS, LVM, bcachefs and swap: an ISO leaves the places of their signatures empty.
    let file_systems: [(usize, &[u8]); 5] =
        [(1080, b"\x53\xef"), (0, b"XFSB"), (0, b"LUKS\xba\xbe"), (512, b"LABELONE"), (4086, b"SWAPSPACE2")];
    if file_systems.iter().any(|(offset, magic)| is_at(head, *offset, magic)) {
        return true;
    }
    let Some(volume) = volume_size(head) else { return false };
    partitions_end(head).is_some_and(|end| end > volume.saturating_add(SLACK))
}

/// Whether what has a valid volume descriptor may as well be a disk that an ISO was once written to: it has a partition table
/// without a partition for the ISO itself. ISOs for USB sticks have one, which begins with the image or with its descriptors,
/// and their partitions end with the volume. FreeBSD's have a partition with boot code in front of the descriptors, where no
/// partition of a disk fits.
pub(crate) fn may_be_disk(disc: &File) -> bool {
    let mut head = vec![0; 32_768 + 2048];
    if disc.read_exact_at(&mut head, 0).is_err() {
        return false;
    }
    let has_gpt = [512, 4096].into_iter().any(|sector| is_at(&head, sector, b"EFI PART"));
    let all = partitions(&head);
    if !has_gpt && all.is_empty() {
        return false;
    }
    let is_boot_code = |(_, end): &(u64, u64)| (1..=FIRST * SECTOR).contains(end);
    // Beside a GPT, the partition at sector 1 is the one that stands for it.
    let begins = |(begin, _): &(u64, u64)| matches!(begin / 512, 0 | 64) || (begin / 512 == 1 && !has_gpt);
    let Some(volume) = volume_size(&head) else { return !all.iter().any(begins) };
    let least = volume.saturating_sub((volume / 4).min(16 << 20));
    let ends = all.iter().any(|(_, end)| (least..=volume.saturating_add(SLACK)).contains(end));
    !(ends && all.iter().any(|partition| begins(partition) || is_boot_code(partition)))
}

/// The end of the last partition of a disk, in bytes.
fn partitions_end(head: &[u8]) -> Option<u64> {
    partitions(head).into_iter().map(|(_, end)| end).max()
}

/// Where the partitions of a disk begin and end, in bytes.
fn partitions(head: &[u8]) -> Vec<(u64, u64)> {
    let mut all = Vec::new();
    if is_at(head, 510, b"\x55\xaa") {
        let used = (0..4).map(|n| 446 + 16 * n).filter(|at| head[at + 4] != 0);
        all.extend(used.map(|at| (little(head, at + 8, 4) * 512, (little(head, at + 8, 4) + little(head, at + 12, 4)) * 512)));
    }
    // A GPT: sectors of 512 or 4096 bytes, entries of a stated size.
    for sector in [512, 4096] {
        let Some(header) = head.get(sector..sector + 92).filter(|header| header.starts_with(b"EFI PART")) else { continue };
        let (table, entries, size) = (little(header, 72, 8), little(header, 80, 4).min(256), little(header, 84, 4));
        for entry in 0..entries {
            let at = table.checked_mul(sector as u64).and_then(|at| at.checked_add(entry * size)).and_then(|at| usize::try_from(at).ok());
            let Some(entry) = at.and_then(|at| head.get(at..at.checked_add(48)?)) else { break };
            if entry[..16].iter().any(|b| *b != 0) {
                let byte = |number: u64| number.saturating_mul(sector as u64);
                all.push((byte(little(entry, 32, 8)), byte(little(entry, 40, 8).saturating_add(1))));
            }
        }
    }
    all
}

/// The required length of an ISO, according to its own structures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Unknown.
    Unknown,
    /// At least that many bytes.
    AtLeast(u64),
    /// The structures are invalid, for that reason.
    Invalid(String),
}

/// The volume of ISO 9660, by its primary descriptor. Each number is recorded in both byte orders; some programs write only
/// one.
fn volume(head: &[u8]) -> Extent {
    if let Some(why) = bad_header(head) {
        return Extent::Invalid(why);
    }
    let Some(descriptor) = head.get(32_768..32_768 + 2048).filter(|d| d[0] == 1 && &d[1..6] == b"CD001") else { return Extent::Unknown };
    let both = |at: usize, length: usize| {
        let swapped = descriptor[at + length..at + 2 * length].iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
        [little(descriptor, at, length), swapped]
    };
    // ECMA-119 6.2.2: a power of two from 512 to the size of a sector.
    let sizes = both(128, 2);
    let Some(block) = sizes.into_iter().find(|size| matches!(*size, 512 | 1024 | SECTOR)) else {
        return Extent::Invalid(format!("logical block size {}", sizes[0]));
    };
    // If the two differ, the smaller one: no complete ISO is refused.
    match both(80, 4).into_iter().filter(|blocks| *blocks > 0).min() {
        Some(blocks) => Extent::AtLeast(blocks * block),
        None => Extent::Invalid("a volume of 0 blocks".into()),
    }
}

fn volume_size(head: &[u8]) -> Option<u64> {
    match volume(head) {
        Extent::AtLeast(bytes) => Some(bytes),
        Extent::Unknown | Extent::Invalid(_) => None,
    }
}

/// The required length of an ISO: the volume of ISO 9660, the partition of UDF.
pub(crate) fn extent(file: &File) -> Extent {
    let mut head = vec![0; 32_768 + 2048];
    let iso = file.read_exact_at(&mut head, 0).map_or(Extent::Unknown, |()| volume(&head));
    match (iso, udf(file)) {
        (Extent::Invalid(why), _) => Extent::Invalid(why),
        (Extent::AtLeast(iso), udf) => Extent::AtLeast(iso.max(udf.unwrap_or_default())),
        (Extent::Unknown, udf) => udf.map_or(Extent::Unknown, Extent::AtLeast),
    }
}

/// The end of the UDF partition. Its descriptors are found by the anchor in sector 256, which is mandatory in an image file.
fn udf(file: &File) -> Option<u64> {
    let sector = |number: u64| {
        let mut bytes = vec![0; 2048];
        file.read_exact_at(&mut bytes, number.checked_mul(SECTOR)?).ok().map(|()| bytes)
    };
    // An ISO 9660 beside it has its own descriptors first.
    let is_there = (FIRST..FIRST + 16).map_while(sector).any(|bytes| is_at(&bytes, 1, b"NSR02") || is_at(&bytes, 1, b"NSR03"));
    if !is_there {
        return None;
    }
    let Some(anchor) = sector(256) else { return Some(257 * SECTOR) };
    if little(&anchor, 0, 2) != 2 {
        return None;
    }
    let (length, begins) = (little(&anchor, 16, 4) / SECTOR, little(&anchor, 20, 4));
    let ends = (begins..begins + length.min(64)).map(|number| {
        let Some(descriptor) = sector(number) else { return Some((number + 1) * SECTOR) };
        // A partition descriptor: its first sector, and its number of sectors.
        (little(&descriptor, 0, 2) == 5).then(|| (little(&descriptor, 188, 4) + little(&descriptor, 192, 4)) * SECTOR)
    });
    ends.flatten().max()
}

/// Offset of the volume name in an ISO: 40 bytes behind the start of the first descriptor.
const LABEL: u64 = 32_808;

/// The label of an ISO; none if it is missing or not printable.
pub(crate) fn label(disc: &File) -> Option<String> {
    let mut bytes = [0; 32];
    disc.read_exact_at(&mut bytes, LABEL).ok()?;
    let text = std::str::from_utf8(&bytes).ok()?.trim_end_matches([' ', '\0']);
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iso_has_its_label_where_the_standard_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.iso");
        let of = |text: &[u8]| {
            let mut bytes = vec![0u8; 40_000];
            bytes[32_808..32_808 + text.len()].copy_from_slice(text);
            std::fs::write(&path, bytes).unwrap();
            label(&File::open(&path).unwrap())
        };
        assert_eq!(of(b"ARCH_202601                     ").as_deref(), Some("ARCH_202601"));
        assert_eq!(of(b"Two words").as_deref(), Some("Two words"));
        for none in [&b""[..], b"                                ", b"a\x1b[2J", b"\xff\xfe"] {
            assert_eq!(of(none), None, "{none:?}");
        }
        std::fs::write(&path, vec![0; 32_820]).unwrap();
        assert_eq!(label(&File::open(&path).unwrap()), None);
    }

    fn iso(blocks: u32) -> Vec<u8> {
        let mut bytes = vec![0u8; 40_960];
        bytes[32_768] = 1;
        bytes[32_769..32_775].copy_from_slice(b"CD001\x01");
        bytes[32_848..32_852].copy_from_slice(&blocks.to_le_bytes());
        bytes[32_852..32_856].copy_from_slice(&blocks.to_be_bytes());
        bytes[32_896..32_898].copy_from_slice(&2048u16.to_le_bytes());
        bytes
    }

    /// Whether an ISO of `blocks` sectors is still recognised after these writes.
    fn over(blocks: u32, writes: &[(usize, &[u8])]) -> bool {
        let mut bytes = iso(blocks);
        for (at, write) in writes {
            bytes[*at..at + write.len()].copy_from_slice(write);
        }
        is_one(&bytes)
    }

    #[test]
    fn an_iso_with_the_partitions_of_a_disk_may_be_a_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.iso");
        let may = |writes: &[(usize, &[u8])]| {
            let mut bytes = iso(300_000);
            for (at, write) in writes {
                bytes[*at..at + write.len()].copy_from_slice(write);
            }
            std::fs::write(&path, bytes).unwrap();
            may_be_disk(&File::open(&path).unwrap())
        };
        let whole = 1_200_000;
        let mbr =
            |kind: u8, first: u32, sectors: u32| [&[0, 0, 0, 0, kind, 0, 0, 0][..], &first.to_le_bytes(), &sectors.to_le_bytes()].concat();
        let signed: (usize, &[u8]) = (510, b"\x55\xaa");
        assert!(!may(&[]) && !may(&[signed]));
        assert!(may(&[(446, &mbr(0x83, 2048, whole)), signed]) && may(&[(512, b"EFI PART")]));
        for first in [0, 1, 64] {
            assert!(!may(&[(446, &mbr(0x17, first, whole)), (462, &mbr(0xef, 5000, 1000)), signed]), "a partition for the ISO at {first}");
            // Another partition follows, and the volume has both.
            let efi = mbr(0xef, whole - 300_000, 300_000);
            assert!(!may(&[(446, &mbr(0x17, first, whole - 300_000)), (462, &efi), signed]), "a partition for the ISO at {first}");
            assert!(may(&[(446, &mbr(0x83, first, 200_000)), signed]), "a disk that ends elsewhere, from {first}");
        }
        assert!(may(&[(446, &mbr(0xee, 1, whole)), (512, b"EFI PART"), signed]), "the protective one is none");
        // As FreeBSD's mkisoimages.sh makes it: boot code in the system area.
        let mut header = [&b"EFI PART"[..], &[0; 84]].concat();
        header[72] = 2;
        (header[80], header[84]) = (128, 128);
        let boot = [&[1; 32][..], &40u64.to_le_bytes(), &59u64.to_le_bytes()].concat();
        assert!(!may(&[(446, &mbr(0xee, 1, whole - 1)), (512, &header), (1024, &boot), signed]));
        let system = [&[1; 32][..], &40u64.to_le_bytes(), &199_999u64.to_le_bytes()].concat();
        assert!(may(&[(446, &mbr(0xee, 1, 199_999)), (512, &header), (1024, &system), signed]), "FreeBSD's own disk");
    }

    #[test]
    fn a_signature_without_a_descriptor_is_no_iso() {
        assert!(over(300, &[(32_768, b"\x00CD001\x01")]), "a boot record may be the first");
        assert!(!over(300, &[(32_768, b"\x00CD001\x00"), (510, b"\x55\xaa")]));
        assert!(!over(300, &[(32_768, b"\x07CD001\x01"), (510, b"\x55\xaa")]));
        // Without a boot sector it is a damaged ISO, which the import refuses.
        let mut bare = vec![0; 40_960];
        bare[32_769..32_774].copy_from_slice(b"CD001");
        assert!(is_one(&bare) && volume(&bare) == Extent::Invalid("type 0, version 0".into()));
    }

    #[test]
    fn a_disk_that_was_an_iso_is_a_disk() {
        let mbr =
            |kind: u8, first: u32, sectors: u32| [&[0, 0, 0, 0, kind, 0, 0, 0][..], &first.to_le_bytes(), &sectors.to_le_bytes()].concat();
        let whole = 300_000u32;
        assert!(over(whole, &[]));
        // A hybrid ISO: its partitions are within the volume.
        assert!(over(whole, &[(446, &mbr(0x17, 0, whole * 4)), (510, b"\x55\xaa")]));
        assert!(!over(whole, &[(446, &mbr(0xa5, 2048, 40_000_000)), (510, b"\x55\xaa")]));
        let gpt = |last: u64| {
            let mut header = vec![0u8; 92];
            header[..8].copy_from_slice(b"EFI PART");
            header[72..80].copy_from_slice(&2u64.to_le_bytes());
            header[80..84].copy_from_slice(&128u32.to_le_bytes());
            header[84..88].copy_from_slice(&128u32.to_le_bytes());
            let mut entry = vec![1u8; 16];
            entry.extend([2u8; 16]);
            entry.extend(2048u64.to_le_bytes());
            entry.extend(last.to_le_bytes());
            (header, entry)
        };
        let (header, entry) = gpt(40_000_000);
        assert!(!over(whole, &[(512, &header), (1024, &entry)]));
        let (header, entry) = gpt(u64::from(whole) * 4 + 100);
        assert!(over(whole, &[(512, &header), (1024, &entry)]));
        for (at, magic) in [(1080, &b"\x53\xef"[..]), (0, b"XFSB"), (512, b"LABELONE"), (0, b"LUKS\xba\xbe")] {
            assert!(!over(whole, &[(at, magic)]), "{magic:?}");
        }
        // A GPT header with invalid values does no harm.
        let mut wild = gpt(1).0;
        wild[72..88].fill(0xff);
        assert!(over(whole, &[(512, &wild)]));
    }

    #[test]
    fn a_disc_says_how_long_it_must_be() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.iso");
        let of = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            extent(&File::open(&path).unwrap())
        };
        assert_eq!(of(&iso(65)), Extent::AtLeast(65 * 2048));
        assert_eq!(of(&vec![0; 40_000]), Extent::Unknown);
        // Only one byte order, other block sizes, and impossible numbers.
        let with = |at: usize, bytes: &[u8]| {
            let mut changed = iso(65);
            changed[32_768 + at..32_768 + at + bytes.len()].copy_from_slice(bytes);
            of(&changed)
        };
        assert_eq!(with(84, &[0; 4]), Extent::AtLeast(65 * 2048));
        assert_eq!(with(80, &[0; 4]), Extent::AtLeast(65 * 2048));
        assert_eq!(with(128, &[0, 2, 2, 0]), Extent::AtLeast(65 * 512));
        for (at, bytes) in [(128, &[0; 4][..]), (128, &[1, 0, 0, 1]), (128, &[0, 16, 16, 0]), (80, &[0; 8])] {
            assert!(matches!(with(at, bytes), Extent::Invalid(_)), "{at} {bytes:?}");
        }
        let mut udf = vec![0u8; 300 * 2048];
        udf[32_769..32_774].copy_from_slice(b"BEA01");
        udf[34_817..34_822].copy_from_slice(b"NSR03");
        let anchor = 256 * 2048;
        udf[anchor] = 2;
        udf[anchor + 16..anchor + 20].copy_from_slice(&(2 * 2048u32).to_le_bytes());
        udf[anchor + 20..anchor + 24].copy_from_slice(&260u32.to_le_bytes());
        let partition = 261 * 2048;
        udf[partition] = 5;
        udf[partition + 188..partition + 192].copy_from_slice(&270u32.to_le_bytes());
        udf[partition + 192..partition + 196].copy_from_slice(&1000u32.to_le_bytes());
        assert!(is_one(&udf));
        assert_eq!(of(&udf), Extent::AtLeast(1270 * 2048));
        // Truncated before its anchor, and before its descriptors.
        assert_eq!(of(&udf[..64 << 10]), Extent::AtLeast(257 * 2048));
        assert_eq!(of(&udf[..258 * 2048]), Extent::AtLeast(262 * 2048));
    }
}
