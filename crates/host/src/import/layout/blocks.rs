//! VMDK and VHDX: tables of blocks, whose entries may be in the file or not.

use super::{Image, little};
use std::io;

/// The GUIDs of VHDX as they are stored: of regions, then of items.
const BAT: [u8; 16] = [0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08];
const METADATA: [u8; 16] = [0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e];
const PARAMETERS: [u8; 16] = [0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b];
const DISK_SIZE: [u8; 16] = [0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8];
const SECTOR_SIZE: [u8; 16] = [0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47, 0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f];
/// Offset of the first region table, and its length.
const REGIONS: (u64, u64) = (192 << 10, 64 << 10);
/// Maximum number of entries of a region or item table.
const ENTRIES: u64 = 2047;

/// VMDK counts in sectors.
const SECTOR: u64 = 512;
/// Grains are compressed, each preceded by its address and length.
const COMPRESSED: u64 = 1 << 16;
/// The offset of the directory is in the footer, since it is known only at the end of a stream.
const AT_END: u64 = u64::MAX;
/// The footer is the last sector but one.
const FOOTER: u64 = 1024;

impl Image<'_> {
    /// A sparse VMDK. Text descriptors and other kinds of extents are refused elsewhere or have no tables.
    pub(super) fn vmdk(&self) -> io::Result<Option<String>> {
        let Some(mut header) = self.read(0, SECTOR)? else { return Ok(Some("its header is truncated".into())) };
        if !header.starts_with(b"KDMV") {
            return Ok(None);
        }
        if little(&header, 56, 8) == AT_END {
            let footer = self.length.checked_sub(FOOTER).map(|at| self.read(at, SECTOR)).transpose()?.flatten();
            header = match footer.filter(|footer| footer.starts_with(b"KDMV")) {
                Some(footer) => footer,
                None => return Ok(Some("its footer, which is its last sector but one, is missing".into())),
            };
        }
        let (flags, disk, grain) = (little(&header, 8, 4), little(&header, 12, 8), little(&header, 20, 8));
        let (entries, directory_at) = (little(&header, 44, 4), little(&header, 56, 8));
        let (Some(span), true) = (grain.checked_mul(entries).filter(|span| *span > 0), grain <= 1 << 20) else {
            return Ok(Some("its header has an impossible grain size".into()));
        };
        let at = directory_at.saturating_mul(SECTOR);
        let Some(directory) = self.read(at, disk.div_ceil(span).saturating_mul(4))? else {
            return Ok(Some(self.beyond("its directory", at)));
        };
        for (n, table_at) in (0..).zip(directory.chunks_exact(4)).map(|(n, e)| (n, little(e, 0, 4) * SECTOR)).filter(|(_, at)| *at != 0) {
            let Some(table) = self.read(table_at, entries * 4)? else { return Ok(Some(self.beyond("a table", table_at))) };
            // 0 is not allocated, 1 reads as zeros.
            let grains =
                (0..).zip(table.chunks_exact(4)).map(|(index, e): (u64, _)| (index, little(e, 0, 4))).filter(|(_, sector)| *sector > 1);
            for (index, sector) in grains {
                let at = sector * SECTOR;
                let below = disk.saturating_sub(span.saturating_mul(n).saturating_add(index * grain)).min(grain) * SECTOR;
                let size = match flags & COMPRESSED {
                    0 => Some(below),
                    _ => self.read(at, 12)?.map(|head| 12 + little(&head, 8, 4)),
                };
                if below > 0 && size.is_none_or(|size| at + size > self.length) {
                    return Ok(Some(self.beyond("a grain", at)));
                }
            }
        }
        Ok(None)
    }

    /// Offset and length of an entry of a VHDX table, whose entries all begin with a GUID.
    fn entry(table: &[u8], first: usize, count: u64, wanted: [u8; 16]) -> Option<&[u8]> {
        table.get(first..)?.chunks_exact(32).take(usize::try_from(count.min(ENTRIES)).ok()?).find(|entry| entry.starts_with(&wanted))
    }

    pub(super) fn vhdx(&self) -> io::Result<Option<String>> {
        let broken = |what: &str| Ok(Some(format!("{what} is missing or damaged")));
        let Some(regions) = self.read(REGIONS.0, REGIONS.1)?.filter(|t| t.starts_with(b"regi")) else {
            return broken("its table of regions");
        };
        let region = |wanted| Self::entry(&regions, 16, little(&regions, 8, 4), wanted).map(|e| (little(e, 16, 8), little(e, 24, 4)));
        let (Some(map), Some(about)) = (region(BAT), region(METADATA)) else { return broken("its table of regions") };
        let Some(items) = self.read(about.0, about.1)?.filter(|t| t.starts_with(b"metadata")) else { return broken("its metadata") };
        let item = |wanted, length| {
            let at = usize::try_from(little(Self::entry(&items, 32, little(&items, 10, 2), wanted)?, 16, 4)).ok()?;
            items.get(at..at + length).map(|bytes| little(bytes, 0, length))
        };
        let (Some(block), Some(disk), Some(sector)) = (item(PARAMETERS, 4), item(DISK_SIZE, 8), item(SECTOR_SIZE, 4)) else {
            return broken("its metadata");
        };
        let Some(ratio) = ((sector << 23).checked_div(block)).filter(|ratio| *ratio > 0) else { return broken("its block size") };
        let Some(table) = self.read(map.0, map.1)? else { return Ok(Some(self.beyond("its table", map.0))) };
        for number in 0..disk.div_ceil(block) {
            // After every `ratio` blocks the table has an entry for their sector bitmap.
            let index = usize::try_from((number + number / ratio) * 8).unwrap_or(usize::MAX);
            let Some(entry) = table.get(index..).and_then(|rest| rest.get(..8)).map(|e| little(e, 0, 8)) else {
                return broken("its table");
            };
            let at = entry & !0xf_ffff;
            // No other state has data in the file.
            let present = matches!(entry & 7, 6 | 7);
            let below = (disk - number * block).min(block);
            if present && at.checked_add(below).is_none_or(|end| end > self.length) {
                return Ok(Some(self.beyond("a block", at)));
            }
        }
        Ok(None)
    }
}
