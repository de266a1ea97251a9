//! Optical drives of one run: what lies in them, what they become at a reboot, and how they are handed on.
//!
//! A medium is state of the run, not a setting: `start --iso` puts it in, the guest's n-th reboot takes it out, and the end
//! forgets it. Not here: the drives as devices ([`super::machine`]).

use super::start::Occasion;
use crate::device::{Backing, Device, DeviceClass, DeviceKey, Optical, PciPlace};
use crate::error::{Problem, Result};
use crate::value::{Dataset, ImageName};
use crate::world::{Image, ImageKind, World};

/// One drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drive {
    /// An image lies in it.
    Holds(ImageName),
    /// It is empty.
    Empty,
}

impl Drive {
    /// What a supervisor hands back when it asks how its guest is to be run again.
    pub fn again(&self) -> Vec<String> {
        match self {
            Self::Holds(image) => vec!["--iso".into(), image.to_string()],
            Self::Empty => vec!["--empty-drive".into()],
        }
    }
}

/// A drive whose medium was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loaded {
    /// The image's name.
    pub(super) image: ImageName,
    /// Its dataset.
    pub(super) dataset: Dataset,
    /// The file.
    pub(super) path: String,
}

/// The drives as they are for this start or reboot: at the guest's `eject`-th reboot what lies in them comes out, the
/// drives stay. 0 is never.
pub(super) fn now(drives: &[Drive], occasion: Occasion, eject: u32) -> Vec<Drive> {
    let out = match occasion {
        Occasion::Start | Occasion::Crash => false,
        Occasion::Reboot(count) => eject != 0 && count >= eject,
    };
    drives.iter().map(|drive| if out { Drive::Empty } else { drive.clone() }).collect()
}

/// Finds the media.
///
/// # Errors
/// There is no such image, or it is no disc.
pub(super) fn find(world: &World, drives: &[Drive]) -> Result<Vec<Option<Loaded>>> {
    let one = |drive: &Drive| match drive {
        Drive::Empty => Ok(None),
        Drive::Holds(name) => loaded(world, disc(world, name)?).map(Some),
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
    Err(Problem::usage(format!("the image `{name}` is no ISO but a {what}"))
        .on(name)
        .hint_if((!discs.is_empty()).then(|| format!("ISOs are {}", discs.join(", "))))
        .hint("`chyves image list` shows the images and what each is"))
}

fn loaded(world: &World, image: &Image) -> Result<Loaded> {
    let root = world.primary()?;
    let folder = root.mountpoint.as_deref().filter(|p| p.starts_with('/')).ok_or_else(|| {
        Problem::not_now(format!("`{}` has no mount point", root.dataset))
            .on(&root.dataset)
            .hint(format!("give it one: zfs set mountpoint=/path {}", root.dataset))
    })?;
    let path = format!("{folder}/images/{}/{}", image.name, image.kind.file());
    Ok(Loaded { image: image.name.clone(), dataset: image.dataset.clone(), path })
}

/// The drives as devices. The first one is asked before all disks, where the order is ours to say (`numbered`).
pub(super) fn devices(drives: &[Option<Loaded>], numbered: bool) -> Vec<(DeviceKey, Option<PciPlace>, Device)> {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let one = |(n, loaded): (usize, &Option<Loaded>)| {
        let medium = loaded.as_ref().map(|l| Backing::file(l.path.clone()));
        let bootindex = (numbered && n == 0 && medium.is_some()).then_some(0);
        (DeviceKey::new(DeviceClass::Optical, number(n)), None, Device::Optical(Optical { medium, bootindex }))
    };
    drives.iter().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_medium_comes_out_at_its_reboot_and_never_by_itself() {
        let iso = Drive::Holds("deb".parse().unwrap());
        let after = |occasion, eject| now(std::slice::from_ref(&iso), occasion, eject).remove(0);
        assert_eq!(after(Occasion::Start, 1), iso);
        assert_eq!(after(Occasion::Crash, 1), iso);
        assert_eq!(after(Occasion::Reboot(1), 0), iso);
        assert_eq!(after(Occasion::Reboot(1), 2), iso);
        assert_eq!(after(Occasion::Reboot(2), 2), Drive::Empty);
        // The number was lowered while the guest ran.
        assert_eq!(after(Occasion::Reboot(3), 2), Drive::Empty);
        // What is out stays out, whatever the setting becomes.
        assert_eq!(now(&[Drive::Empty], Occasion::Reboot(9), 0), [Drive::Empty]);
        assert!(now(&[], Occasion::Reboot(1), 1).is_empty());
    }
}
