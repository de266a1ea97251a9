//! `pcidev_{n}`: a device as bhyve's `-s` writes it behind the place, `emulation[,conf]`.
//!
//! Every emulation of bhyve(8) becomes its type, so that the rules for it hold, a release that does not know it is told,
//! and QEMU has it as well. What bhyve itself would pass over in silence, a misspelt option, is refused. An emulation that
//! chyves does not know is kept as text for bhyve. Not here: where the device sits, which is not part of the text.
//!
//! To add an emulation: an arm of [`parse_pcidev`], and its reader in the file of its family: [`disks`], [`others`].

mod disks;
mod others;
#[cfg(test)]
mod tests;
mod words;

use super::{Device, HostBridge, Raw, SerialEnd};
use crate::error::{Problem, Result};
use crate::guest::derived_serial;
use crate::value::{Mac, printable};
use uuid::Uuid;
use words::Words;

/// Reads the far end of a serial port: `stdio`, a terminal device, `tcp=ADDRESS:PORT`.
///
/// # Errors
/// It is none of these.
pub fn parse_serial_end(text: &str) -> Result<SerialEnd, String> {
    others::serial_end(text)
}

/// Whose device it is: what the guest can see of it follows from that, unless the text says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The guest.
    pub guest: Uuid,
    /// The number of the `pcidev_`.
    pub number: u16,
}

/// Numbers of disks and NICs below it are those of the guest's own.
const BEYOND: u16 = 0x8000;
/// So many drives can be on one device.
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

/// Reads the value of a `pcidev_{n}`.
///
/// # Errors
/// It begins with a place, its emulation is no word, it has control characters, or conf that does not fit its emulation.
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
        // With registers of their own they are bhyve's alone.
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
