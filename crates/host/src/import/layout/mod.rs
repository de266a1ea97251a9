//! Whether a disk image is complete: every block in its tables must be inside the file. `qemu-img` reads zeros where a file
//! ends early, and exits with 0.
//!
//! Read from the format's own structures: qcow2, VMDK, VHDX, VDI and VHD. Of the last block of a disk only the part below the
//! disk's size must exist.
//!
//! * `blocks`: VMDK and VHDX
//!
//! Not here: other damage of an image (`convert` runs `qemu-img check`).

mod blocks;

use super::content::Format;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Size limit in bytes of a table that is read at once.
const TABLE: u64 = 64 << 20;

/// What an image lacks; none if it is complete as far as its format shows.
pub(super) fn missing(file: &File, format: Format) -> io::Result<Option<String>> {
    let length = file.metadata()?.len();
    let image = Image { file, length };
    match format {
        Format::Qcow2 => image.qcow2(),
        Format::Vdi => image.vdi(),
        Format::Vhd => image.vhd(),
        Format::Vmdk => image.vmdk(),
        Format::Vhdx => image.vhdx(),
    }
}

/// The other file that an image needs according to its header: `a backing file` or `a data file`; none if it needs no other
/// file or is too short for a header. `qemu-img` would only report that it cannot open that file.
pub(super) fn needs(file: &File, format: Format) -> io::Result<Option<&'static str>> {
    const EXTERNAL_DATA: u64 = 1 << 2;
    let image = Image { file, length: file.metadata()?.len() };
    let Some(header) = (format == Format::Qcow2).then(|| image.read(0, 80)).transpose()?.flatten() else { return Ok(None) };
    let (version, backing, features) = (big(&header, 4, 4), big(&header, 8, 8), big(&header, 72, 8));
    Ok(match (backing != 0, version >= 3 && features & EXTERNAL_DATA != 0) {
        (_, true) => Some("a data file (data_file): its content is there, not in the image"),
        (true, false) => Some("a backing file: what was not written since is there"),
        (false, false) => None,
    })
}

/// Whether a VHD's size is the one in its footer, instead of its geometry: only Virtual PC uses the geometry.
pub(super) fn vhd_size_is_current(file: &File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    let mut creator = [0; 4];
    file.read_exact_at(&mut creator, length.saturating_sub(512) + 28)?;
    Ok(&creator != b"vpc ")
}

struct Image<'f> {
    file: &'f File,
    length: u64,
}

impl Image<'_> {
    fn read(&self, at: u64, length: u64) -> io::Result<Option<Vec<u8>>> {
        if at.checked_add(length).is_none_or(|end| end > self.length) || length > TABLE {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(Some(bytes))
    }

    fn beyond(&self, what: &str, at: u64) -> String {
        format!("{what} at byte {at} is beyond the end of the file ({} bytes)", self.length)
    }

    fn qcow2(&self) -> io::Result<Option<String>> {
        let Some(header) = self.read(0, 72)? else { return Ok(Some("its header is truncated".into())) };
        let (cluster_bits, l1_entries, l1_at) = (big(&header, 20, 4), big(&header, 36, 4), big(&header, 40, 8));
        let disk = big(&header, 24, 8);
        if !(9..=21).contains(&cluster_bits) {
            return Ok(Some("its header has an impossible cluster size".into()));
        }
        let cluster = 1u64 << cluster_bits;
        // Extended L2 entries have a bitmap of subclusters beside each offset.
        let entry = if self.has_extended_entries(&header)? { 16 } else { 8 };
        let Some(l1) = self.read(l1_at, l1_entries * 8)? else { return Ok(Some(self.beyond("its first table", l1_at))) };
        let entries = cluster / entry as u64;
        let tables = (0..).zip(l1.chunks_exact(8)).map(|(n, e)| (n, big(e, 0, 8) & 0x00ff_ffff_ffff_fe00));
        for (table, l2_at) in tables.filter(|(_, at)| *at != 0) {
            let Some(l2) = self.read(l2_at, cluster)? else { return Ok(Some(self.beyond("a table", l2_at))) };
            for (index, item) in (0..).zip(l2.chunks_exact(entry).map(|e| big(e, 0, 8))) {
                // The part of the cluster below the disk's size; the rest need not exist.
                let below = disk.saturating_sub((table * entries + index) * cluster).min(cluster);
                let compressed = item & (1 << 62) != 0;
                let (at, size) = if compressed {
                    let shift = 62 - (cluster_bits - 8);
                    let at = item & ((1 << shift) - 1);
                    let sectors = (item >> shift) & ((1 << (cluster_bits - 8)) - 1);
                    // Only the number of sectors is known: the data ends somewhere in the last one.
                    (at, ((sectors + 1) * 512 - at % 512).saturating_sub(511))
                } else if entry == 8 && item & 1 != 0 {
                    // It reads as zeros.
                    (0, 0)
                } else {
                    (item & 0x00ff_ffff_ffff_fe00, below)
                };
                if at != 0 && below > 0 && at.checked_add(size).is_none_or(|end| end > self.length) {
                    return Ok(Some(self.beyond("a cluster", at)));
                }
            }
        }
        Ok(None)
    }

    fn has_extended_entries(&self, header: &[u8]) -> io::Result<bool> {
        if big(header, 4, 4) < 3 {
            return Ok(false);
        }
        Ok(self.read(72, 8)?.is_some_and(|incompatible| big(&incompatible, 0, 8) & 0x10 != 0))
    }

    fn vdi(&self) -> io::Result<Option<String>> {
        let Some(header) = self.read(0, 0x190)? else { return Ok(Some("its header is truncated".into())) };
        let (map_at, data_at) = (little(&header, 0x154, 4), little(&header, 0x158, 4));
        let (block, blocks) = (little(&header, 0x178, 4), little(&header, 0x180, 4));
        let Some(map) = self.read(map_at, blocks * 4)? else { return Ok(Some(self.beyond("its table", map_at))) };
        // The two largest values mean that a block is not allocated.
        let used = map.chunks_exact(4).map(|e| little(e, 0, 4)).filter(|number| *number < 0xffff_fffe);
        let last = used.max().map_or(0, |number| data_at + number * block);
        let whole = last == 0 || last.checked_add(block).is_some_and(|end| end <= self.length);
        Ok(if whole { None } else { Some(self.beyond("a block", last)) })
    }

    fn vhd(&self) -> io::Result<Option<String>> {
        let Some(footer) = self.length.checked_sub(512).map(|at| self.read(at, 512)).transpose()?.flatten() else {
            return Ok(Some("it is shorter than its footer".into()));
        };
        if !footer.starts_with(b"conectix") {
            return Ok(Some("its footer, which is its last sector, is missing".into()));
        }
        let size = big(&footer, 48, 8);
        match big(&footer, 60, 4) {
            2 => {
                Ok((size > self.length - 512)
                    .then(|| format!("it should have {size} bytes before its footer, and has {}", self.length - 512)))
            }
            3 => {
                let header_at = big(&footer, 16, 8);
                let Some(header) = self.read(header_at, 1024)? else { return Ok(Some(self.beyond("its header", header_at))) };
                let (table_at, entries, block) = (big(&header, 16, 8), big(&header, 28, 4), big(&header, 32, 4));
                let Some(table) = self.read(table_at, entries * 4)? else { return Ok(Some(self.beyond("its table", table_at))) };
                // Each block is preceded by a bitmap of its sectors.
                let bitmap = block.div_ceil(512 * 8).next_multiple_of(512);
                let used = table.chunks_exact(4).map(|e| big(e, 0, 4)).filter(|number| *number != 0xffff_ffff);
                let last = used.max().map_or(0, |number| number * 512);
                let whole = last == 0 || last + bitmap + block <= self.length;
                Ok(if whole { None } else { Some(self.beyond("a block", last)) })
            }
            _ => Ok(Some("it holds only the differences to another file".into())),
        }
    }
}

fn big(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes.get(at..at + length).unwrap_or_default().iter().fold(0, |n, b| n << 8 | u64::from(*b))
}

fn little(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes.get(at..at + length).unwrap_or_default().iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
}
