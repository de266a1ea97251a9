//! Disks, optical drives and their controllers.

use super::Owner;
use super::words::{Why, Words, bad};
use crate::device::{
    Ahci, AhciDetails, AhciPort, Backing, BlockOptions, Device, Disk, DiskBus, DiskSerial, NvmeDetails, NvmeSector, Optical, RamDisk, Scsi,
    ScsiBehind, ScsiTarget,
};
use crate::value::Size;
use std::str::FromStr;

const BLOCK: &str = "nocache, direct, ro, sectorsize=N or N/M, nodelete, bootindex=N and ser=TEXT are";

/// Parses the block options.
fn block(words: &mut Words<'_>) -> Result<BlockOptions, Why> {
    Ok(BlockOptions {
        nocache: words.flag("nocache"),
        direct: words.flag("direct") | words.flag("sync"),
        ro: words.flag("ro"),
        sectors: words.value("sectorsize")?,
        nodelete: words.flag("nodelete"),
        bootindex: words.parse("bootindex")?,
    })
}

/// The serial number: never bhyve's default, which is derived from the path.
fn serial(words: &mut Words<'_>, owner: Owner, port: usize) -> Result<DiskSerial, Why> {
    match words.value("ser")? {
        Some(serial) => Ok(serial),
        None => owner.serial(port).parse().map_err(|e| bad(&e)),
    }
}

pub(super) fn virtio_blk(mut words: Words<'_>, owner: Owner) -> Result<Disk, Why> {
    let backing = Backing::at(words.path("a disk")?);
    let disk = Disk { bus: DiskBus::VirtioBlk, backing, options: block(&mut words)?, serial: serial(&mut words, owner, 0)? };
    words.end(BLOCK).map(|()| disk)
}

fn details(words: &mut Words<'_>) -> Result<AhciDetails, Why> {
    Ok(AhciDetails {
        rotation: words.parse("nmrr")?,
        revision: words.take("rev").map(str::to_owned),
        model: words.take("model").map(str::to_owned),
    })
}

pub(super) fn ahci_hd(mut words: Words<'_>, owner: Owner) -> Result<Disk, Why> {
    let backing = Backing::at(words.path("a disk")?);
    let options = block(&mut words)?;
    let disk = Disk { bus: DiskBus::AhciHd(details(&mut words)?), backing, options, serial: serial(&mut words, owner, 0)? };
    words.end(&format!("nmrr=N, rev=TEXT, model=TEXT, {BLOCK}")).map(|()| disk)
}

/// A disk; with `ram=` one in memory.
pub(super) fn nvme(mut words: Words<'_>, owner: Owner) -> Result<Device, Why> {
    const KNOWN: &str = "ram=MEGABYTES or a path, maxq=N, qsz=N, ioslots=N, sectsz=512|4096|8192, eui64=N, dsm=auto|enable|disable,";
    let memory: Option<u64> = words.parse("ram")?;
    let path = if memory.is_none() { Some(words.path("a disk, or ram=MEGABYTES,")?) } else { None };
    let options = block(&mut words)?;
    let serial = serial(&mut words, owner, 0)?;
    let details = NvmeDetails {
        max_queues: at_least_one(&mut words, "maxq")?,
        queue_size: at_least_one(&mut words, "qsz")?,
        io_slots: at_least_one(&mut words, "ioslots")?,
        sector: match words.take("sectsz") {
            None => None,
            Some("512") => Some(NvmeSector::B512),
            Some("4096") => Some(NvmeSector::B4096),
            Some("8192") => Some(NvmeSector::B8192),
            Some(other) => return Err(format!("`{other}` is not a sectsz: 512, 4096 and 8192 are")),
        },
        eui64: words.take("eui64").map(number).transpose()?,
        dsm: match words.take("dsm") {
            None | Some("auto") => None,
            Some("enable") => Some(true),
            Some("disable") => Some(false),
            Some(other) => return Err(format!("`{other}` is not a dsm: auto, enable and disable are")),
        },
    };
    words.end(&format!("{KNOWN} {BLOCK}"))?;
    Ok(match (path, memory) {
        (Some(path), _) => Device::Disk(Disk { bus: DiskBus::Nvme(details), backing: Backing::at(path), options, serial }),
        (None, Some(mib)) if options == BlockOptions::default() && mib < 1 << 30 => {
            Device::RamDisk(RamDisk { size: Size::mib(mib), serial, details })
        }
        (None, _) => return Err("a disk in memory has no options of a path".into()),
    })
}

/// A number other than 0: bhyve exits on 0 for some of them, and ignores others.
fn at_least_one<T: FromStr + Default + PartialEq>(words: &mut Words<'_>, key: &str) -> Result<Option<T>, Why> {
    match words.parse::<T>(key)? {
        Some(number) if number == T::default() => Err(format!("{key}=0 leaves the controller none; it is 1 at least")),
        number => Ok(number),
    }
}

/// A number in C notation: decimal or with 0x.
fn number(text: &str) -> Result<u64, Why> {
    let read = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    read.map_err(|_| format!("`{text}` is not a number"))
}

/// `hd:PATH[,options]` and `cd:[PATH]`; each begins a new port.
pub(super) fn ahci(mut words: Words<'_>, owner: Owner) -> Result<Ahci, Why> {
    let mut drives: Vec<Vec<&str>> = Vec::new();
    for word in words.rest() {
        if word.starts_with("hd:") || word.starts_with("cd:") {
            drives.push(vec![word]);
        } else if let Some(drive) = drives.last_mut() {
            drive.push(word);
        } else {
            return Err(format!("`{word}` is not a drive: each begins with hd:/PATH or cd:/PATH"));
        }
    }
    let ports = drives.iter().enumerate().map(|(n, drive)| port(&drive.join(","), n, owner)).collect::<Result<Vec<_>, Why>>()?;
    Ahci::new(ports).map_err(|problem| match problem.hints.first() {
        Some(hint) => format!("{problem}; {hint}"),
        None => problem.to_string(),
    })
}

fn port(text: &str, number: usize, owner: Owner) -> Result<AhciPort, Why> {
    let (kind, conf) = text.split_at(3);
    let mut words = Words::new("ahci", (!conf.is_empty()).then_some(conf));
    if kind == "cd:" {
        return optical(words).map(AhciPort::Optical);
    }
    let backing = Backing::at(words.path("a disk")?);
    let options = block(&mut words)?;
    let details = details(&mut words)?;
    let port = AhciPort::Disk { backing, options, serial: serial(&mut words, owner, number)?, details };
    words.end(&format!("nmrr=N, rev=TEXT, model=TEXT, {BLOCK}")).map(|()| port)
}

/// A drive, empty or with a medium.
pub(super) fn optical(mut words: Words<'_>) -> Result<Optical, Why> {
    let medium = match words.first() {
        None => None,
        Some(path) if path.starts_with('/') => Some(Backing::at(path)),
        Some(other) => return Err(format!("`{other}` is not an absolute path of a medium")),
    };
    // A medium is always read-only.
    let _ = words.flag("ro");
    let drive = Optical { medium, bootindex: words.parse("bootindex")? };
    words.end("ro and bootindex=N are").map(|()| drive)
}

/// `None` if it has queue parameters, which are passed to bhyve as they are.
pub(super) fn scsi(mut words: Words<'_>) -> Result<Option<Scsi>, Why> {
    if words.has_any(&["backend", "ctl_ringsz", "evt_ringsz", "req_ringsz", "num_queues", "seg_max", "thr_per_q"]) {
        return Ok(None);
    }
    let bootindex = words.parse("bootindex")?;
    let mut targets = Vec::new();
    while let Some(text) = words.take("target") {
        targets.push(target(text, targets.len())?);
    }
    if targets.is_empty() {
        let device = words.first().map(str::to_owned);
        let behind = ScsiBehind::Ctl { device, initiator: words.parse("iid")? };
        return words.end("/dev/cam/ctlPP.VP, iid=N, target=ID:PATH and bootindex=N are").map(|()| Some(Scsi { behind, bootindex }));
    }
    words.end("target=ID:PATH and bootindex=N are").map(|()| Some(Scsi { behind: ScsiBehind::Targets(targets), bootindex }))
}

fn target(text: &str, number: usize) -> Result<ScsiTarget, Why> {
    let (id, path) = match text.split_once(':') {
        Some((id, path)) => (id.parse().map_err(|_| format!("`{id}` is not a number of a target"))?, path),
        None => (u8::try_from(number).map_err(|_| "there are more than 256 targets".to_owned())?, text),
    };
    Ok(ScsiTarget { id, backing: Backing::at(path) })
}
