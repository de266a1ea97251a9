//! Disks and drives in QEMU's words: a node that opens the file or zvol, and a device that shows it.

use super::opt::Opt;
use super::{Args, opener};
use crate::device::{AhciDetails, Backing, BackingKind, BlockOptions, DiskSerial, NvmeDetails};
use crate::error::{Problem, Result};

/// Whether a disk is opened past the host's cache (`O_DIRECT`). A volume that is written to is, always: from its cache Linux
/// writes later, and forgets what it can't write to a full pool, when nobody can be told any more. ZFS has a cache of its own.
/// (What is written to a file of ZFS is refused at once; FreeBSD has no such cache before a device.)
fn is_uncached(backing: &Backing, options: BlockOptions) -> bool {
    options.nocache || (backing.kind == BackingKind::Device && !options.ro)
}

/// The node of a disk. Files are locked, so that no second QEMU opens what this one writes.
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

/// The name of the node that a QEMU of that command line opened a file by.
pub(super) fn node_of(args: &[String], path: &str) -> Option<String> {
    let set = super::set_of(args, path)?;
    let wanted = format!("file.filename={}", super::descriptors::set(set));
    args.iter().find_map(|arg| {
        let fields = fields(arg);
        let name = fields.iter().find_map(|f| f.strip_prefix("node-name="))?;
        fields.iter().any(|f| *f == wanted).then(|| name.to_owned())
    })
}

/// The path that a QEMU of that command line opened a node by.
pub(super) fn path_of(args: &[String], node: &str) -> Option<String> {
    super::descriptors::path_of(args, opened_by(args, node)?)
}

/// The set of descriptors that a QEMU of that command line opened a node by.
pub(super) fn opened_by(args: &[String], node: &str) -> Option<i32> {
    let wanted = format!("node-name={}", super::opt::literal(node));
    args.iter().find_map(|arg| {
        let fields = fields(arg);
        let name = fields.iter().find_map(|f| f.strip_prefix("file.filename="))?;
        fields.iter().any(|f| *f == wanted).then(|| super::descriptors::number(name)).flatten()
    })
}

/// The fields of an option text, between single commas, as they are written.
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

/// The node of a medium, which is only ever read.
pub(super) fn medium(args: &mut Args, id: &str, backing: &Backing) {
    node(args, id, backing, BlockOptions { ro: true, nodelete: true, ..BlockOptions::default() });
}

/// What follows an error of a disk. A write that fails pauses the guest, and nothing is lost until it can be written: on
/// ZFS it fails because the pool is full, a quota is reached or the pool is gone, none of which is an error of the disk,
/// and a guest that was told of it would give up its file system. (QEMU's own choice pauses only where the pool is full.)
/// A read that fails will fail again: the guest is told, and may have a copy.
pub(super) fn errors(device: Opt) -> Opt {
    device.set("werror", "stop").set("rerror", "report")
}

/// What every disk device has.
pub(super) fn disk(device: Opt, id: &str, options: BlockOptions) -> Opt {
    let device = device
        .set("drive", id)
        .maybe("logical_block_size", options.sectors.map(crate::device::SectorSizes::logical))
        .maybe("physical_block_size", options.sectors.map(crate::device::SectorSizes::physical))
        .maybe("bootindex", options.bootindex);
    if options.direct { device.set("write-cache", "off") } else { device }
}

/// A disk on a port of an AHCI controller.
pub(super) fn ahci_disk(bus: &str, id: &str, options: BlockOptions, serial: &DiskSerial, details: &AhciDetails) -> Opt {
    errors(disk(Opt::new("ide-hd").set("bus", bus), id, options))
        .set("serial", serial)
        .maybe("rotation_rate", details.rotation)
        .maybe("ver", details.revision.as_ref())
        .maybe("model", details.model.as_ref())
}

/// The controller and namespace of an NVMe disk. QEMU's has no choice what follows an error: the guest is told.
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

/// The name of a device's node.
pub(super) fn node_id(id: &str) -> String {
    format!("{id}-node")
}
