//! Disks and drives for QEMU: a block node that opens the file or zvol, and a device that uses it.

use super::opt::Opt;
use super::{Args, opener};
use crate::device::{AhciDetails, Backing, BackingKind, BlockOptions, DiskSerial, NvmeDetails};
use crate::error::{Problem, Result};

/// Whether a disk is opened with `O_DIRECT`, bypassing the host's page cache. A writable volume always is: Linux writes
/// cached data back later and discards it if the pool is full, when the guest can no longer be informed of the error. ZFS
/// has its own cache. (Writing to a file on a full ZFS fails immediately; FreeBSD has no such cache for devices.)
fn is_uncached(backing: &Backing, options: BlockOptions) -> bool {
    options.nocache || (backing.kind == BackingKind::Device && !options.ro)
}

/// The block node of a disk. Files are locked, so that no second QEMU opens a file that this one writes to.
pub(super) fn node(args: &mut Args, id: &str, backing: &Backing, options: BlockOptions) {
    let driver = opener(backing.kind);
    let uncached = is_uncached(backing, options);
    let discard = if options.nodelete { "ignore" } else { "unmap" };
    let path = args.file(&backing.path, !options.ro, backing.kind == BackingKind::Device);
    let mut text = Opt::with("driver", "raw")
        .set("node-name", id)
        .set("read-only", if options.ro { "on" } else { "off" })
        .set("discard", discard)
        .on("cache.direct", uncached)
        .set("file.driver", driver)
        .set("file.filename", path)
        .set("file.locking", "on")
        .set("file.discard", discard);
    if uncached {
        text = text.set("file.cache.direct", "on");
    }
    args.put("-blockdev", text);
}

/// The name of the block node through which a QEMU with that command line opened a file.
pub(super) fn node_of(args: &[String], path: &str) -> Option<String> {
    let set = super::set_of(args, path)?;
    let wanted = format!("file.filename={}", super::descriptors::set(set));
    args.iter().find_map(|arg| {
        let fields = fields(arg);
        let name = fields.iter().find_map(|f| f.strip_prefix("node-name="))?;
        fields.iter().any(|f| *f == wanted).then(|| name.to_owned())
    })
}

/// The path that a QEMU with that command line opened for a block node.
pub(super) fn path_of(args: &[String], node: &str) -> Option<String> {
    super::descriptors::path_of(args, opened_by(args, node)?)
}

/// The descriptor set that a QEMU with that command line opened for a block node.
pub(super) fn opened_by(args: &[String], node: &str) -> Option<i32> {
    let wanted = format!("node-name={}", super::opt::literal(node));
    args.iter().find_map(|arg| {
        let fields = fields(arg);
        let name = fields.iter().find_map(|f| f.strip_prefix("file.filename="))?;
        fields.iter().any(|f| *f == wanted).then(|| super::descriptors::number(name)).flatten()
    })
}

/// The fields of an option text, separated by single commas, as they are written.
pub(super) fn fields(text: &str) -> Vec<&str> {
    let mut fields = Vec::new();
    let (mut begin, mut at) = (0, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b',', Some(b',')) => at += 2,
            (b',', _) => {
                fields.push(&text[begin..at]);
                at += 1;
                begin = at;
            }
            _ => at += 1,
        }
    }
    fields.push(&text[begin..]);
    fields
}

/// The block node of a medium, which is always read-only.
pub(super) fn medium(args: &mut Args, id: &str, backing: &Backing) {
    node(args, id, backing, BlockOptions { ro: true, nodelete: true, ..BlockOptions::default() });
}

/// What happens on an I/O error of a disk. A failed write pauses the guest, so that nothing is lost and the write can be
/// retried: on ZFS it fails because the pool is full, a quota is reached or the pool is suspended. None of these is a disk
/// error, and a guest that saw an error would stop using its file system. (QEMU's default pauses only if the pool is full.)
/// A failed read would fail again, so the error is reported to the guest, which may have another copy.
pub(super) fn errors(device: Opt) -> Opt {
    device.set("werror", "stop").set("rerror", "report")
}

/// The options of every disk device.
pub(super) fn disk(device: Opt, id: &str, options: BlockOptions) -> Opt {
    let device = device
        .set("drive", id)
        .maybe("logical_block_size", options.sectors.map(crate::device::SectorSizes::logical))
        .maybe("physical_block_size", options.sectors.map(crate::device::SectorSizes::physical))
        .maybe("bootindex", options.bootindex);
    if options.direct { device.set("write-cache", "off") } else { device }
}

/// Bytes of a logical sector of QEMU's `ide-hd`; it refuses to start with another size.
const IDE_SECTOR: u32 = 512;

/// A disk on a port of an AHCI controller.
///
/// # Errors
/// Its logical sectors have another size than those of every IDE disk.
pub(super) fn ahci_disk(bus: &str, id: &str, options: BlockOptions, serial: &DiskSerial, details: &AhciDetails) -> Result<Opt> {
    if let Some(sectors) = options.sectors.filter(|sectors| sectors.logical() != IDE_SECTOR) {
        let physical = sectors.physical();
        return Err(Problem::usage(format!("QEMU's ahci-hd has sectors of {IDE_SECTOR} bytes, not {}", sectors.logical()))
            .hint(format!("write sectorsize={IDE_SECTOR}/{physical}, or attach the disk to virtio-blk or nvme")));
    }
    Ok(errors(disk(Opt::new("ide-hd").set("bus", bus), id, options))
        .set("serial", serial)
        .maybe("rotation_rate", details.rotation)
        .maybe("ver", details.revision.as_ref())
        .maybe("model", details.model.as_ref()))
}

/// The controller and namespace of an NVMe disk. QEMU's NVMe device has no error policy: errors are reported to the guest.
pub(super) fn nvme(args: &mut Args, id: &str, at: Opt, options: BlockOptions, serial: &DiskSerial, details: &NvmeDetails) -> Result<()> {
    for (set, what) in [(details.queue_size.is_some(), "queue size"), (details.io_slots.is_some(), "number of request slots")] {
        if set {
            return Err(
                Problem::host_cant(format!("QEMU's nvme has no setting for its {what}")).hint("unset it: QEMU chooses it by itself")
            );
        }
    }
    let controller = at.set("serial", serial).maybe("max_ioqpairs", details.max_queues);
    args.put("-device", controller);
    let mut options = options;
    let bootindex = options.bootindex.take();
    let sector = options.sectors.is_none().then_some(details.sector).flatten().map(crate::device::NvmeSector::bytes);
    let namespace = disk(Opt::new("nvme-ns").set("bus", id), &node_id(id), options)
        .maybe("logical_block_size", sector)
        .maybe("physical_block_size", sector)
        .maybe("eui64", details.eui64.map(|n| format!("{n:#x}")))
        .maybe("bootindex", bootindex);
    args.put("-device", namespace);
    Ok(())
}

/// The name of a device's block node.
pub(super) fn node_id(id: &str) -> String {
    format!("{id}-node")
}
