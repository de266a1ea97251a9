//! Optical drives of one run: what lies in them, what they become at a reboot, and how they are handed on.
//!
//! A medium is state of the run, not a setting: `start --iso` puts it in, the guest's n-th reboot takes it out, and the end
//! forgets it. Not here: the drives as devices ([`super::machine`]).

use super::start::Occasion;
use crate::device::{Backing, Device, DeviceClass, DeviceKey, Optical, PciPlace};
use crate::error::{Problem, Result};
use crate::value::{BadValue, Dataset, ImageName};
use crate::world::{Image, ImageKind, World};

/// One drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drive {
    /// An image lies in it.
    Holds {
        /// The image.
        image: ImageName,
        /// The guest's reboots, counted from its start, when it was put in.
        since: u32,
    },
    /// It is empty.
    Empty,
}

impl Drive {
    /// A drive in which an image lies from the start on.
    pub fn with(image: ImageName) -> Self {
        Self::Holds { image, since: 0 }
    }

    /// What a supervisor hands back when it asks how its guest is to be run again.
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

/// `debian@0`, or `@` for an empty one.
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

/// The drives of a run, as its supervisor keeps them.
pub fn kept(again: &[String]) -> Vec<Drive> {
    again.iter().filter(|word| !word.starts_with("--")).filter_map(|word| word.parse().ok()).collect()
}

/// A drive whose medium was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loaded {
    /// The image's name.
    pub(super) image: ImageName,
    /// The label on it, where it is known.
    pub(super) label: Option<String>,
    /// Its dataset.
    pub(super) dataset: Dataset,
    /// The file.
    pub(super) path: String,
}

/// The drives as they are for this start or reboot: at the guest's `eject`-th reboot since it was put in what lies in one
/// comes out, the drive stays. 0 is never.
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

/// Finds the media.
///
/// # Errors
/// There is no such image, or it is no disc.
pub(super) fn find(world: &World, drives: &[Drive]) -> Result<Vec<Option<Loaded>>> {
    let one = |drive: &Drive| match drive {
        Drive::Empty => Ok(None),
        Drive::Holds { image, .. } => loaded(world, disc(world, image)?).map(Some),
    };
    drives.iter().map(one).collect()
}

/// The disc of that name.
///
/// # Errors
/// There is no such image, or it is none.
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

/// The drives as devices. The first one that holds something is asked before all disks, where the order is ours to say (`numbered`).
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
        // The number was lowered while the guest ran.
        assert_eq!(after(Occasion::Reboot(3), 2), Drive::Empty);
        // One that was put in later stays for as many reboots.
        let later = Drive::Holds { image: "deb".parse().unwrap(), since: 3 };
        assert_eq!(now(std::slice::from_ref(&later), Occasion::Reboot(3), 1), std::slice::from_ref(&later));
        assert_eq!(now(&[later], Occasion::Reboot(4), 1), [Drive::Empty]);
        // What is out stays out, whatever the setting becomes.
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
