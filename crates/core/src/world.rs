//! The facts that a planner can use. They were read just before planning; planners have no other input.

use crate::cloudinit::Text;
use crate::confinement::Possible;
use crate::error::{Problem, Result, did_you_mean};
use crate::guest::{DiskKind, Guest};
use crate::os::{HostState, Os};
use crate::property::keys;
use crate::property::settings::OwnValues;
use crate::value::{Dataset, GuestName, ImageName, Size, SnapshotRef};
use crate::vmm::Vmm;
use crate::zfs::{Dialect, locked::Locked};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// All facts that were read for one command.
#[derive(Debug, Clone)]
pub struct World {
    /// The host itself.
    pub host: HostFacts,
    /// The pools that carry chyves, in name order.
    pub roots: Vec<Root>,
    /// The guests that were read: all of them, or those that the command names.
    pub guests: Vec<Guest>,
    /// Images on the primary pool, if they were read.
    pub images: Vec<Image>,
    /// The content of the trash, if it was read.
    pub trash: Vec<Trashed>,
    /// Invalid objects that were found: shown as warnings, never skipped.
    pub oddities: Vec<Problem>,
    /// Datasets in the place of guests that are not guests, if all guests were read.
    pub strays: Vec<Dataset>,
    /// Encrypted datasets with missing keys, among those that were read.
    pub locked: Locked,
    /// User-supplied cloud-init texts by the guest's dataset, if they were read: they are files, and a change of settings
    /// may select a reader that does not support them.
    pub texts: BTreeMap<Dataset, Vec<(Text, String)>>,
}

/// Facts about the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Its operating system.
    pub os: Os,
    /// Its release, as (14, 3).
    pub release: (u16, u16),
    /// The processor architecture as the operating system names it: `amd64`, `arm64`.
    pub arch: String,
    /// The hypervisor in use.
    pub vmm: Vmm,
    /// The ZFS implementation in use.
    pub dialect: Dialect,
    /// The folder of runtime records.
    pub run_dir: String,
    /// The installed UEFI firmware: the paths of its code and of the template of its variables.
    pub uefi: Option<(String, String)>,
    /// Whether KVM is usable; if not, the reason.
    pub kvm: Result<(), String>,
    /// The path of the hypervisor's program, if found.
    pub hypervisor: Option<String>,
    /// How far a hypervisor process can be confined.
    #[serde(default)]
    pub confinement: Possible,
    /// Facts that only a start and `doctor` read.
    #[serde(default)]
    pub state: HostState,
}

/// The role of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Contains images and global settings, besides guests.
    Primary,
    /// Contains guests.
    Secondary,
    /// Is not used.
    Offline,
}

impl Role {
    /// The word that is stored.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::Offline => "offline",
        }
    }

    /// Parses the stored word.
    pub fn read(word: &str) -> Option<Self> {
        [Self::Primary, Self::Secondary, Self::Offline].into_iter().find(|r| r.word() == word)
    }
}

/// The root of chyves on one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Its dataset.
    pub dataset: Dataset,
    /// The role of the pool.
    pub role: Role,
    /// The host that the pool's guests belong to.
    pub host: Option<Uuid>,
    /// The nesting depth of groups.
    pub group_levels: usize,
    /// Its mount point; `None` if ZFS prints none.
    pub mountpoint: Option<String>,
    /// Its own settings.
    pub own: Arc<OwnValues>,
}

impl Root {
    /// The parent dataset of guests; properties set on it are defaults.
    pub fn guests(&self) -> Dataset {
        self.dataset.child("guests")
    }

    /// The parent dataset of images.
    pub fn images(&self) -> Dataset {
        self.dataset.child("images")
    }

    /// The parent dataset of deleted guests.
    pub fn trash(&self) -> Dataset {
        self.dataset.child("trash")
    }

    /// The root, if its pool is in use.
    ///
    /// # Errors
    /// The pool is offline: commands would not find anything that is created on it.
    pub fn online(&self) -> Result<&Self> {
        match self.role {
            Role::Primary | Role::Secondary => Ok(self),
            Role::Offline => Err(Problem::not_now(format!("the pool `{}` is offline", self.dataset.pool()))
                .on(self.dataset.pool())
                .because("an offline pool is ignored; new objects on it would not be visible")
                .hint(format!("`chyves pool online {}` brings it online", self.dataset.pool()))),
        }
    }

    /// Whether it was received with a stream: such a copy of a root is not used until it gets a role on this host.
    pub fn is_copy(&self) -> bool {
        self.own.get(keys::LAYOUT).is_some_and(|o| o.received)
    }

    /// The child datasets of every root.
    pub fn parts(&self) -> [Dataset; 3] {
        [self.guests(), self.images(), self.trash()]
    }
}

/// The id of this host: the one recorded on its primary pool. It is stored on pools only, so that `zpool import` on a new
/// host is a complete recovery. Without a primary pool, it is the id that the other pools agree on; if they disagree, it is
/// unknown.
pub fn this_host(roots: &[Root]) -> Option<Uuid> {
    let of = |role: Role| roots.iter().filter(move |r| r.role == role && !(role == Role::Offline && r.is_copy()));
    for role in [Role::Primary, Role::Secondary, Role::Offline] {
        let mut hosts = of(role).map(|r| r.host);
        if let Some(first) = hosts.next() {
            return first.filter(|_| hosts.all(|h| h == first));
        }
    }
    None
}

/// The recorded facts about an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// Its name.
    pub name: ImageName,
    /// Its dataset.
    pub dataset: Dataset,
    /// Its kind.
    pub kind: ImageKind,
    /// Its size as a virtual disk.
    pub size: Size,
    /// Space that it uses in the pool.
    pub used: Size,
    /// The SHA-256 of its content.
    pub sha256: Option<String>,
    /// The source that it was imported from.
    pub source: Option<String>,
    /// The time of the import.
    pub added: Option<String>,
    /// The name of the file that it was made from.
    pub original: Option<String>,
    /// The compression or archive format that it was imported from.
    pub format: Option<String>,
    /// What it was verified against at the import.
    pub checked: Option<String>,
    /// The volume label of an ISO, if there is one.
    pub label: Option<String>,
    /// The template of variables of a firmware, if there is one.
    pub vars: Option<Template>,
    /// Settings that guests made from it need, keys and values.
    pub wants: Vec<(String, String)>,
}

/// The template of a firmware's variables, in a file beside the code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Template {
    /// Its size.
    pub size: Size,
    /// The SHA-256 of its content.
    pub sha256: String,
}

/// The name of the snapshot that clones of an image are made from.
pub const IMAGE_SNAPSHOT: &str = "ready";

impl Image {
    /// The snapshot that clones are made from.
    ///
    /// # Errors
    /// Never, as the name is valid; the parser's type requires it.
    pub fn snapshot(&self) -> Result<SnapshotRef> {
        Ok(self.dataset.at(&IMAGE_SNAPSHOT.parse()?))
    }
}

/// The kind of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageKind {
    /// A disk.
    Disk,
    /// An ISO.
    Iso,
    /// UEFI firmware.
    Firmware,
}

impl ImageKind {
    /// The name of the file with the template of variables, beside the firmware's code.
    pub const VARS_FILE: &'static str = "vars.fd";

    /// The word that is stored.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Iso => "iso",
            Self::Firmware => "firmware",
        }
    }

    /// The noun that users see.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Iso => "ISO",
            Self::Firmware => "firmware",
        }
    }

    /// The noun with its article.
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Disk => "a disk",
            Self::Iso => "an ISO",
            Self::Firmware => "firmware",
        }
    }

    /// Parses the stored word.
    pub fn read(word: &str) -> Option<Self> {
        [Self::Disk, Self::Iso, Self::Firmware].into_iter().find(|k| k.word() == word)
    }

    /// The name of the file in the image's dataset. A disk's file has the name of a guest's disk 0, so that a clone of the
    /// image's dataset serves as a guest's file system unchanged.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Disk => "disk0.raw",
            Self::Iso => "image.iso",
            Self::Firmware => "image.fd",
        }
    }
}

/// A deleted guest, or a removed disk of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trashed {
    /// The guest's former name.
    pub name: GuestName,
    /// Its dataset.
    pub dataset: Dataset,
    /// The guest's UUID.
    pub uuid: Option<Uuid>,
    /// When it was deleted.
    pub deleted: String,
    /// Space that it uses in the pool.
    pub used: Size,
    /// The guest's former group.
    pub group: Option<String>,
    /// The removed disk; `None` for a guest.
    pub disk: Option<TrashedDisk>,
}

impl Trashed {
    /// The name in lists: a guest's name, followed by the disk's number for a disk.
    pub fn label(&self) -> String {
        match &self.disk {
            Some(disk) => format!("{}:disk{}", self.name, disk.number),
            None => self.name.to_string(),
        }
    }
}

/// A removed disk of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrashedDisk {
    /// The guest's UUID.
    pub of: Uuid,
    /// The disk's former number.
    pub number: u16,
    /// Its kind: a file in the dataset, or the dataset itself.
    pub kind: DiskKind,
    /// Its settings, by the part of the key after the dot.
    pub settings: Vec<(String, String)>,
}

/// The format of a disk file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskFormat {
    /// Byte for byte.
    Raw,
    /// QEMU's own format.
    Qcow2,
}

impl DiskFormat {
    /// The word that programs use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// A file or device that contains a disk, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskFile {
    /// Its path.
    pub path: String,
    /// Its format.
    pub format: DiskFormat,
    /// The size of the disk in it.
    pub size: Size,
}

impl World {
    /// The primary pool's root.
    ///
    /// # Errors
    /// No pool carries chyves, none of them is primary, or several are.
    pub fn primary(&self) -> Result<&Root> {
        let mut found = self.roots.iter().filter(|r| r.role == Role::Primary);
        match (found.next(), found.next()) {
            (Some(root), None) => Ok(root),
            (Some(a), Some(b)) => Err(Problem::not_now("two pools are primary")
                .on(b.dataset.pool())
                .because(format!("{} and {}", a.dataset, b.dataset))
                .hint(format!("choose this host's pool: `chyves pool promote {}`; the other becomes secondary", a.dataset.pool()))),
            (None, _) => Err(no_primary(&self.roots)),
        }
    }

    /// Checks that a pool is in use, whether or not one is primary.
    ///
    /// # Errors
    /// No pool has a root of chyves, or all are offline.
    pub fn in_use(&self) -> Result<()> {
        if self.roots.iter().any(|r| r.role != Role::Offline) { Ok(()) } else { Err(no_primary(&self.roots)) }
    }

    /// The id of this host, from its pools.
    pub fn this_host(&self) -> Option<Uuid> {
        this_host(&self.roots)
    }

    /// The root on a pool, by the pool's name.
    ///
    /// # Errors
    /// The pool has no root of chyves; the message lists those that have.
    pub fn root_on(&self, pool: &str) -> Result<&Root> {
        self.roots.iter().find(|r| r.dataset.pool() == pool || r.dataset.as_str() == pool).ok_or_else(|| {
            let known: Vec<&str> = self.roots.iter().map(|r| r.dataset.pool()).collect();
            let shown = crate::value::printable(pool, 60);
            Problem::not_found(format!("no pool with chyves on it is called `{shown}`"))
                .on(&shown)
                .hint_if(did_you_mean(pool, known.iter().copied()))
                .hint(format!("`chyves pool init {shown}` would set it up; `chyves pool list` shows those that are"))
        })
    }

    /// The root for new objects: that of the named pool, else the primary one.
    ///
    /// # Errors
    /// There is no such pool, or it is offline.
    pub fn place(&self, pool: Option<&str>) -> Result<&Root> {
        match pool {
            Some(pool) => self.root_on(pool)?.online(),
            None => self.primary(),
        }
    }

    /// The guest of that name.
    ///
    /// # Errors
    /// There is none, or several pools have one.
    pub fn guest(&self, name: &GuestName) -> Result<&Guest> {
        let mut found = self.guests.iter().filter(|g| g.name == *name);
        match (found.next(), found.next()) {
            (Some(guest), None) => Ok(guest),
            (Some(a), Some(b)) => Err(Problem::not_now(format!("two guests are called `{name}`"))
                .on(name)
                .because(format!("{} and {}", a.dataset, b.dataset))
                .hint("take one of the pools offline, or rename one of the datasets with `zfs rename`")),
            (None, _) => Err(no_guest(name.as_str(), self.guests.iter().map(|g| g.name.as_str()))),
        }
    }

    /// The image of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn image(&self, name: &ImageName) -> Result<&Image> {
        self.images.iter().find(|i| i.name == *name).ok_or_else(|| {
            Problem::not_found(format!("no image is called `{name}`"))
                .on(name)
                .hint_if(did_you_mean(name.as_str(), self.images.iter().map(|i| i.name.as_str())))
                .hint("`chyves image list` shows them all; `chyves image import FILE` adds one")
        })
    }
}

/// "No such guest", with the most similar name.
pub fn no_guest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Problem {
    let shown = crate::value::printable(name, 63);
    Problem::not_found(format!("no guest is called `{shown}`"))
        .on(&shown)
        .hint_if(did_you_mean(name, known))
        .hint("`chyves list` shows them all")
}

fn no_primary(roots: &[Root]) -> Problem {
    let problem = Problem::not_found("no pool is set up for chyves");
    if roots.is_empty() {
        problem.hint("`chyves pool init POOL` sets one up; `zpool list` shows the pools, `zpool import` those not imported")
    } else {
        problem
            .because("none of the pools with chyves on it is primary")
            .hint("`zpool import` the primary one, or make another one it: `chyves pool promote POOL`")
    }
}
