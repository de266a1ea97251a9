//! Disks: their storage, how they are opened, and what the guest sees of them.
//!
//! Not here: controllers with several ports (`ahci`, `scsi`), and creating a zvol or a file.

use crate::value::BadValue;
use std::str::FromStr;
use uuid::Uuid;

/// One disk on its own device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The emulation.
    pub bus: DiskBus,
    /// Its storage.
    pub backing: Backing,
    /// How it is opened.
    pub options: BlockOptions,
    /// The serial number that the guest sees; derived from the guest's UUID, never from a path.
    pub serial: DiskSerial,
}

/// The emulations with one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskBus {
    /// `virtio-blk`.
    VirtioBlk,
    /// `ahci-hd`: an AHCI controller of one port.
    AhciHd(super::AhciDetails),
    /// `nvme` with one namespace.
    Nvme(super::NvmeDetails),
}

/// The storage of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backing {
    /// Its absolute path.
    pub path: String,
    /// Its kind.
    pub kind: BackingKind,
}

/// The kind of a disk's storage; QEMU uses a different block driver for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackingKind {
    /// A raw file.
    File,
    /// A zvol or another disk device.
    Device,
}

impl Backing {
    /// A raw file.
    pub fn file(path: impl Into<String>) -> Self {
        Self { path: path.into(), kind: BackingKind::File }
    }

    /// A zvol or another disk device.
    pub fn device(path: impl Into<String>) -> Self {
        Self { path: path.into(), kind: BackingKind::Device }
    }

    /// Derives the kind from the path: paths below `/dev` are devices.
    pub fn at(path: impl Into<String>) -> Self {
        let path = path.into();
        if path.starts_with("/dev/") { Self::device(path) } else { Self::file(path) }
    }
}

/// How a disk is opened: bhyve's block options, typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlockOptions {
    /// Bypasses the host's page cache (`O_DIRECT`).
    pub nocache: bool,
    /// Completes each write only after it is on stable storage (`O_SYNC`).
    pub direct: bool,
    /// Read-only.
    pub ro: bool,
    /// The sector sizes that the guest sees.
    pub sectors: Option<SectorSizes>,
    /// The guest's TRIM requests are ignored.
    pub nodelete: bool,
    /// The boot index for the firmware; the lowest boots first.
    pub bootindex: Option<u32>,
}

/// Logical and physical sector sizes in bytes: powers of two of at least 512, logical not larger than physical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SectorSizes {
    logical: u32,
    physical: u32,
}

impl SectorSizes {
    /// The unit in which the guest addresses the disk.
    pub const fn logical(self) -> u32 {
        self.logical
    }

    /// The unit in which the guest should write.
    pub const fn physical(self) -> u32 {
        self.physical
    }
}

impl FromStr for SectorSizes {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let refuse = |why: &str| {
            BadValue::new(text, why).hint("write 512, 4096 or 512/4096: powers of two from 512 to 65536, logical not above physical")
        };
        let number = |part: &str| -> Result<u32, BadValue> {
            let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            let n: u32 = part.parse().ok().filter(|_| digits).ok_or_else(|| refuse("is not a sector size"))?;
            if n.is_power_of_two() && (512..=65_536).contains(&n) { Ok(n) } else { Err(refuse("is not a sector size")) }
        };
        let (logical, physical) = text.split_once('/').unwrap_or((text, text));
        let (logical, physical) = (number(logical)?, number(physical)?);
        if logical > physical {
            return Err(refuse("has a logical size above the physical one"));
        }
        Ok(Self { logical, physical })
    }
}

impl std::fmt::Display for SectorSizes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.logical == self.physical { write!(f, "{}", self.logical) } else { write!(f, "{}/{}", self.logical, self.physical) }
    }
}

/// The options in the notation of the property `disk0.options`: bhyve's options, separated by commas.
impl FromStr for BlockOptions {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        const WORDS: &str = "nocache, direct, ro, sectorsize=N or N/M, nodelete, bootindex=N";
        let refuse = |why: String| BadValue::new(text, why).hint(format!("the options are {WORDS}, with commas between"));
        let mut options = Self::default();
        for word in text.split(',').filter(|_| !text.is_empty()) {
            match word.split_once('=') {
                None if word == "nocache" => options.nocache = true,
                None if word == "direct" || word == "sync" => options.direct = true,
                None if word == "ro" => options.ro = true,
                None if word == "nodelete" => options.nodelete = true,
                Some(("sectorsize", sizes)) => options.sectors = Some(sizes.parse()?),
                Some(("bootindex", n)) => {
                    let number: u32 = n.parse().map_err(|_| refuse(format!("has a bootindex of `{n}`, which is not a number")))?;
                    // Hypervisors store it in a signed integer.
                    if i32::try_from(number).is_err() {
                        return Err(refuse(format!("has a bootindex of {n}; the largest is {}", i32::MAX)));
                    }
                    options.bootindex = Some(number);
                }
                Some(("ser", _)) => return Err(refuse("has a serial number, which is a property of its own (disk0.serial)".into())),
                _ => return Err(refuse(format!("has the unknown option `{word}`"))),
            }
        }
        Ok(options)
    }
}

impl std::fmt::Display for BlockOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = [
            self.nocache.then(|| "nocache".to_owned()),
            self.direct.then(|| "direct".to_owned()),
            self.ro.then(|| "ro".to_owned()),
            self.sectors.map(|s| format!("sectorsize={s}")),
            self.nodelete.then(|| "nodelete".to_owned()),
            self.bootindex.map(|n| format!("bootindex={n}")),
        ];
        f.write_str(&words.into_iter().flatten().collect::<Vec<_>>().join(","))
    }
}

/// A disk's serial number: 1 to 20 printable ASCII characters without commas, which every emulation of both hypervisors
/// supports.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DiskSerial(String);

impl DiskSerial {
    /// The number as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DiskSerial {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let fine = |b: u8| b.is_ascii_graphic() && b != b',' && b != b'%';
        if (1..=20).contains(&text.len()) && text.bytes().all(fine) {
            return Ok(Self(text.to_owned()));
        }
        Err(BadValue::new(text, "is not a serial number of a disk").hint("1 to 20 letters, digits and signs, without blanks, `,` and `%`"))
    }
}

impl std::fmt::Display for DiskSerial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

/// The default serial number of a guest's disk.
pub fn derived_serial(guest: Uuid, number: u16) -> String {
    let hash = Uuid::new_v5(&guest, format!("disk{number}").as_bytes()).simple().to_string();
    // Every bus supports serial numbers of 20 characters.
    hash[..20].to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_written_in_bhyves_words() {
        let text = "nocache,direct,ro,sectorsize=512/4096,nodelete,bootindex=3";
        let options: BlockOptions = text.parse().unwrap();
        assert_eq!(options.to_string(), text);
        assert_eq!("".parse::<BlockOptions>().unwrap(), BlockOptions::default());
        assert_eq!("sync,sectorsize=4096/4096".parse::<BlockOptions>().unwrap().to_string(), "direct,sectorsize=4096");
    }

    #[test]
    fn each_wrong_option_has_its_own_message() {
        let why = |text: &str| text.parse::<BlockOptions>().unwrap_err().why;
        assert_eq!(why("nocach"), "has the unknown option `nocach`");
        assert_eq!(why("ro,,direct"), "has the unknown option ``");
        assert_eq!(why("ro=1"), "has the unknown option `ro=1`");
        assert_eq!(why("bootindex=x"), "has a bootindex of `x`, which is not a number");
        assert_eq!(why("sectorsize=100"), "is not a sector size");
        assert_eq!(why("sectorsize=4096/512"), "has a logical size above the physical one");
        assert!(why("ser=1").contains("disk0.serial"));
    }

    #[test]
    fn a_serial_number_fits_every_emulation() {
        assert!("WEB1-0".parse::<DiskSerial>().is_ok());
        for bad in ["", "a,b", "a b", "123456789012345678901", "ä", "50%"] {
            assert!(bad.parse::<DiskSerial>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_below_dev_is_a_device() {
        assert_eq!(Backing::at("/dev/zvol/tank/a").kind, BackingKind::Device);
        assert_eq!(Backing::at("/tank/a/disk0.raw").kind, BackingKind::File);
    }
}
