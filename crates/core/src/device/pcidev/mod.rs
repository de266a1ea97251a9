//! `pcidev_{n}`: a device in the notation of bhyve's `-s` without the slot, `emulation[,conf]`.
//!
//! Every emulation of bhyve(8) is converted to its type, so that its rules apply, an unsupported release is reported, and
//! QEMU can emulate it as well. Options that bhyve would silently ignore, such as misspelt ones, are refused. An emulation
//! that chyves does not know is kept as text for bhyve. Not here: the device's PCI address, which is not part of the text.
//!
//! To add an emulation: an arm of [`parse_pcidev`], and its parser in the file of its family: [`disks`], [`others`].

mod disks;
mod others;
#[cfg(test)]
mod tests;
mod words;

use super::{Device, HostBridge, Raw, SerialEnd};
use crate::device::derived_serial;
use crate::error::{Problem, Result};
use crate::value::{Mac, printable};
use uuid::Uuid;
use words::Words;

/// Parses the host end of a serial port: `stdio`, a terminal device, `tcp=ADDRESS:PORT`.
///
/// # Errors
/// The text is none of these.
pub fn parse_serial_end(text: &str) -> Result<SerialEnd, String> {
    others::serial_end(text)
}

/// The owner of a device; identifiers that the text does not state are derived from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The guest.
    pub guest: Uuid,
    /// The number of the `pcidev_`.
    pub number: u16,
}

/// Offset for device numbers in derived identifiers; lower numbers belong to the guest's own disks and NICs.
const BEYOND: u16 = 0x8000;
/// Maximum number of drives on one device.
const DRIVES: u16 = 32;

impl Owner {
    /// The serial number of its drive `port`.
    fn serial(self, port: usize) -> String {
        let port = u16::try_from(port).unwrap_or(0) % DRIVES;
        derived_serial(self.guest, BEYOND.wrapping_add(self.number.wrapping_mul(DRIVES)).wrapping_add(port))
    }

    /// The address of its NIC.
    fn mac(self) -> Mac {
        Mac::derived(self.guest, BEYOND.wrapping_add(self.number))
    }
}

/// Parses the value of a `pcidev_{n}`.
///
/// # Errors
/// It begins with a slot, the emulation is not a word, it contains control characters, or its conf is invalid for its
/// emulation.
pub fn parse_pcidev(text: &str, owner: Owner) -> Result<Device> {
    let refuse = |why: String| {
        Problem::usage(format!("`{}` is not a PCI device", printable(text, 60)))
            .because(why)
            .hint("write it as bhyve(8)'s -s does behind the slot: EMULATION[,CONF], as virtio-rnd or passthru,2/0/0")
    };
    if text.chars().any(char::is_control) {
        return Err(refuse("it has control characters".into()));
    }
    let (emulation, conf) = match text.split_once(',') {
        Some((_, "")) => return Err(refuse("nothing stands behind its last comma".into())),
        Some((emulation, conf)) => (emulation, Some(conf)),
        None => (text, None),
    };
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !emulation.bytes().next().is_some_and(|b| b.is_ascii_alphabetic()) || !emulation.bytes().all(word) {
        let place = emulation.bytes().next().is_some_and(|b| b.is_ascii_digit());
        let why = if place { "it begins with a place, which chyves gives" } else { "it does not begin with an emulation's name" };
        return Err(refuse(why.into()));
    }
    let words = Words::new(emulation, conf);
    let read = match emulation {
        // With custom register values only bhyve supports them.
        "hostbridge" if conf.is_none() => Ok(Device::HostBridge(HostBridge::Intel)),
        "amd_hostbridge" if conf.is_none() => Ok(Device::HostBridge(HostBridge::Amd)),
        "lpc" => words.nothing(Device::Lpc),
        "virtio-rnd" => words.nothing(Device::Rng),
        "virtio-blk" => disks::virtio_blk(words, owner).map(Device::Disk),
        "ahci-hd" => disks::ahci_hd(words, owner).map(Device::Disk),
        "nvme" => disks::nvme(words, owner),
        "ahci" => disks::ahci(words, owner).map(Device::Ahci),
        "ahci-cd" => disks::optical(words).map(Device::Optical),
        "virtio-scsi" => disks::scsi(words).map(|scsi| scsi.map_or_else(|| Device::Raw(Raw::new(emulation, conf)), Device::Scsi)),
        "virtio-net" | "e1000" => {
            others::nic(words, owner).map(|nic| nic.map_or_else(|| Device::Raw(Raw::new(emulation, conf)), Device::Nic))
        }
        "virtio-9p" => others::share(words).map(Device::Share),
        "virtio-console" => others::console(words).map(Device::Console),
        "virtio-input" => others::input(words).map(Device::Input),
        "fbuf" => others::screen(words).map(Device::FrameBuffer),
        "xhci" => others::usb(words),
        "hda" => others::sound(words).map(Device::Hda),
        "passthru" => others::passthru(words).map(Device::Passthru),
        "uart" => others::uart(words).map(Device::Uart),
        _ => Ok(Device::Raw(Raw::new(emulation, conf))),
    };
    read.map_err(refuse)
}
