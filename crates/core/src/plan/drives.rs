//! Optical drives of one run: which medium is in each, what a reboot changes, and how the state is passed from run to run.
//!
//! A medium is state of the run, not a setting: `start --iso` inserts it, the guest's n-th reboot ejects it, and the end of
//! the run discards it. Not here: the drives as devices ([`super::machine`]).

use super::start::Occasion;
use crate::device::{Backing, Device, DeviceClass, DeviceKey, Optical, PciPlace};
use crate::error::{Problem, Result};
use crate::image::{Image, ImageKind};
use crate::value::{BadValue, Dataset, ImageName};
use crate::world::World;

/// The state of one drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drive {
    /// It holds an image.
    Holds {
        /// The image's name.
        image: ImageName,
        /// The number of reboots since the guest's start at the time the image was inserted.
        since: u32,
    },
    /// It is empty.
    Empty,
}

impl Drive {
    /// A drive that holds an image from the start on.
    pub fn with(image: ImageName) -> Self {
        Self::Holds { image, since: 0 }
    }

    /// The arguments that a supervisor passes back when it requests the next launch of its guest.
    pub fn again(&self) -> Vec<String> {
        vec!["--drive".into(), self.to_string()]
    }

    /// The image in it.
    pub fn image(&self) -> Option<&ImageName> {
        match self {
            Self::Holds { image, .. } => Some(image),
            Self::Empty => None,
        }
    }
}

/// `debian@0`, or `@` for an empty drive.
impl std::fmt::Display for Drive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Holds { image, since } => write!(f, "{image}@{since}"),
            Self::Empty => f.write_str("@"),
        }
    }
}

impl std::str::FromStr for Drive {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        if text == "@" {
            return Ok(Self::Empty);
        }
        let refuse = || BadValue::new(text, "is not a drive");
        let (image, since) = text.split_once('@').ok_or_else(refuse)?;
        Ok(Self::Holds { image: image.parse()?, since: since.parse().map_err(|_| refuse())? })
    }
}

/// The drives of a run, parsed from the arguments that its supervisor keeps.
pub fn kept(again: &[String]) -> Vec<Drive> {
    again.iter().filter(|word| !word.starts_with("--")).filter_map(|word| word.parse().ok()).collect()
}

/// A drive with the medium resolved to a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loaded {
    /// The image's name.
    pub(super) image: ImageName,
    /// The volume label, if known.
    pub(super) label: Option<String>,
    /// The image's dataset.
    pub(super) dataset: Dataset,
    /// The file's path.
    pub(super) path: String,
}

/// The state of the drives for this start or reboot: a medium is ejected at the guest's `eject`-th reboot after it was
/// inserted; the drive stays, empty. 0 means never.
pub(super) fn now(drives: &[Drive], occasion: Occasion, eject: u32) -> Vec<Drive> {
    let out = |since: u32| match occasion {
        Occasion::Start | Occasion::Crash => false,
        Occasion::Reboot(count) => eject != 0 && count >= since.saturating_add(eject),
    };
    let one = |drive: &Drive| match drive {
        Drive::Holds { since, .. } if out(*since) => Drive::Empty,
        Drive::Holds { .. } | Drive::Empty => drive.clone(),
    };
    drives.iter().map(one).collect()
}

/// Resolves the media of the drives.
///
/// # Errors
/// There is no such image, or it is not an ISO.
pub(super) fn find(world: &World, drives: &[Drive]) -> Result<Vec<Option<Loaded>>> {
    let one = |drive: &Drive| match drive {
        Drive::Empty => Ok(None),
        Drive::Holds { image, .. } => loaded(world, disc(world, image)?).map(Some),
    };
    drives.iter().map(one).collect()
}

/// The ISO image of that name.
///
/// # Errors
/// There is no such image, or it is not an ISO.
pub fn disc<'w>(world: &'w World, name: &ImageName) -> Result<&'w Image> {
    let image = world.image(name)?;
    if image.kind == ImageKind::Iso {
        return Ok(image);
    }
    let discs: Vec<&str> = world.images.iter().filter(|i| i.kind == ImageKind::Iso).map(|i| i.name.as_str()).collect();
    let what = match image.kind {
        ImageKind::Disk => "disk",
        ImageKind::Iso => "disc",
        ImageKind::Firmware => "firmware",
    };
    Err(Problem::usage(format!("the image `{name}` is not an ISO but a {what}"))
        .on(name)
        .hint_if((!discs.is_empty()).then(|| format!("ISOs are {}", discs.join(", "))))
        .hint("`chyves image list` shows the images and what each is"))
}

pub(super) fn loaded(world: &World, image: &Image) -> Result<Loaded> {
    let root = world.primary()?;
    let folder = root.mountpoint.as_deref().filter(|p| p.starts_with('/')).ok_or_else(|| {
        Problem::not_now(format!("`{}` has no mount point", root.dataset))
            .on(&root.dataset)
            .hint(format!("give it one: zfs set mountpoint=/path {}", root.dataset))
    })?;
    let path = format!("{folder}/images/{}/{}", image.name, image.kind.file());
    Ok(Loaded { image: image.name.clone(), label: image.label.clone(), dataset: image.dataset.clone(), path })
}

/// The drives as devices. The first drive with a medium boots before all disks, if chyves controls the boot order
/// (`numbered`).
pub(super) fn devices(drives: &[Option<Loaded>], numbered: bool) -> Vec<(DeviceKey, Option<PciPlace>, Device)> {
    let first = drives.iter().position(Option::is_some);
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let one = |(n, loaded): (usize, &Option<Loaded>)| {
        let medium = loaded.as_ref().map(|l| Backing::file(l.path.clone()));
        let bootindex = (numbered && first == Some(n)).then_some(0);
        (DeviceKey::new(DeviceClass::Optical, number(n)), None, Device::Optical(Optical { medium, bootindex }))
    };
    drives.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_medium_comes_out_at_its_reboot_and_never_by_itself() {
        let iso = Drive::with("deb".parse().unwrap());
        let after = |occasion, eject| now(std::slice::from_ref(&iso), occasion, eject).remove(0);
        assert_eq!(after(Occasion::Start, 1), iso);
        assert_eq!(after(Occasion::Crash, 1), iso);
        assert_eq!(after(Occasion::Reboot(1), 0), iso);
        assert_eq!(after(Occasion::Reboot(1), 2), iso);
        assert_eq!(after(Occasion::Reboot(2), 2), Drive::Empty);
        // The setting was lowered while the guest ran.
        assert_eq!(after(Occasion::Reboot(3), 2), Drive::Empty);
        // A medium that was inserted later stays for the same number of reboots.
        let later = Drive::Holds { image: "deb".parse().unwrap(), since: 3 };
        assert_eq!(now(std::slice::from_ref(&later), Occasion::Reboot(3), 1), std::slice::from_ref(&later));
        assert_eq!(now(&[later], Occasion::Reboot(4), 1), [Drive::Empty]);
        // An ejected medium stays ejected, whatever the setting becomes.
        assert_eq!(now(&[Drive::Empty], Occasion::Reboot(9), 0), [Drive::Empty]);
        assert!(now(&[], Occasion::Reboot(1), 1).is_empty());
    }

    #[test]
    fn drives_are_handed_on_in_their_order() {
        let drives = [Drive::Empty, Drive::with("deb-12.1".parse().unwrap()), Drive::Holds { image: "drv".parse().unwrap(), since: 7 }];
        let again: Vec<String> = drives.iter().flat_map(Drive::again).collect();
        assert_eq!(again.join(" "), "--drive @ --drive deb-12.1@0 --drive drv@7");
        assert_eq!(kept(&again), drives);
        for bad in ["", "deb", "deb@", "deb@x", "@1", "a b@1"] {
            assert!(bad.parse::<Drive>().is_err(), "{bad}");
        }
    }
}
