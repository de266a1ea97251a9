//! The facts that a planner may know. What is not here it can't ask for; what is here was observed just now.

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

/// All that was observed for one command.
#[derive(Debug, Clone)]
pub struct World {
    /// The host itself.
    pub host: HostFacts,
    /// The pools that carry chyves, in name order.
    pub roots: Vec<Root>,
    /// The guests that were looked at: all of them, or those that the command names.
    pub guests: Vec<Guest>,
    /// Images on the primary pool, where they were looked at.
    pub images: Vec<Image>,
    /// What lies in the trash, where it was looked at.
    pub trash: Vec<Trashed>,
    /// What was seen and could not be understood: shown as warnings, never skipped.
    pub oddities: Vec<Problem>,
    /// Datasets where guests are that are none, where all guests were looked at.
    pub strays: Vec<Dataset>,
    /// Of what was looked at, what is encrypted and misses its key.
    pub locked: Locked,
    /// The user's own texts for cloud-init, by the guest's dataset, where they were read: they are files, and a change of
    /// settings may name a reader that does not take them.
    pub texts: BTreeMap<Dataset, Vec<(Text, String)>>,
}

/// What is true of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Its operating system.
    pub os: Os,
    /// Its release, as (14, 3).
    pub release: (u16, u16),
    /// The processor's architecture as the system names it: `amd64`, `arm64`.
    pub arch: String,
    /// Which hypervisor runs guests on it.
    pub vmm: Vmm,
    /// Which `zfs` it has.
    pub dialect: Dialect,
    /// The folder of runtime records.
    pub run_dir: String,
    /// The UEFI firmware that was found: code, and the template of its variables.
    pub uefi: Option<(String, String)>,
    /// Whether KVM really runs guests; the reason where not.
    pub kvm: Result<(), String>,
    /// The hypervisor's program, where it was found.
    pub hypervisor: Option<String>,
    /// How far a hypervisor can be confined.
    #[serde(default)]
    pub confinement: Possible,
    /// What only a start and `doctor` look at.
    #[serde(default)]
    pub state: HostState,
}

/// What a pool is to chyves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Holds images and global settings too.
    Primary,
    /// Holds guests.
    Secondary,
    /// Is left alone.
    Offline,
}

impl Role {
    /// As it is stored.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::Offline => "offline",
        }
    }

    /// Reads what is stored.
    pub fn read(word: &str) -> Option<Self> {
        [Self::Primary, Self::Secondary, Self::Offline].into_iter().find(|r| r.word() == word)
    }
}

/// The root of chyves on one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Its dataset.
    pub dataset: Dataset,
    /// What the pool is.
    pub role: Role,
    /// The host that the pool's guests belong to.
    pub host: Option<Uuid>,
    /// How deep groups are nested.
    pub group_levels: usize,
    /// Where it would be mounted; none where ZFS does not tell.
    pub mountpoint: Option<String>,
    /// Its own settings.
    pub own: Arc<OwnValues>,
}

impl Root {
    /// The dataset that guests live below; properties set on it are defaults.
    pub fn guests(&self) -> Dataset {
        self.dataset.child("guests")
    }

    /// The dataset that images live below.
    pub fn images(&self) -> Dataset {
        self.dataset.child("images")
    }

    /// The dataset that deleted guests lie below.
    pub fn trash(&self) -> Dataset {
        self.dataset.child("trash")
    }

    /// The root, where its pool is in use.
    ///
    /// # Errors
    /// The pool is offline: nothing is made on it, since no command would find it there.
    pub fn online(&self) -> Result<&Self> {
        match self.role {
            Role::Primary | Role::Secondary => Ok(self),
            Role::Offline => Err(Problem::not_now(format!("the pool `{}` is offline", self.dataset.pool()))
                .on(self.dataset.pool())
                .because("an offline pool is ignored; new objects on it would not be visible")
                .hint(format!("`chyves pool online {}` brings it online", self.dataset.pool()))),
        }
    }

    /// Whether it came with a stream: the copy of a root, left alone until it is given a role here.
    pub fn is_copy(&self) -> bool {
        self.own.get(keys::LAYOUT).is_some_and(|o| o.received)
    }

    /// The datasets that every root has besides itself.
    pub fn parts(&self) -> [Dataset; 3] {
        [self.guests(), self.images(), self.trash()]
    }
}

/// Who this host is: the host id of its primary pool. Nothing but the pools says so, so that `zpool import` on a bare host
/// is a complete recovery. Where no pool is primary, it is what the others agree on; where they don't, nobody knows.
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

/// What is known of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// Its name.
    pub name: ImageName,
    /// Its dataset.
    pub dataset: Dataset,
    /// What it is.
    pub kind: ImageKind,
    /// Its size as a disk.
    pub size: Size,
    /// What it takes on the pool.
    pub used: Size,
    /// The SHA-256 of its content.
    pub sha256: Option<String>,
    /// Where it came from.
    pub source: Option<String>,
    /// When it came.
    pub added: Option<String>,
    /// The name of the file that it was made from.
    pub original: Option<String>,
    /// How it was packed when it came.
    pub format: Option<String>,
    /// What it was checked against when it came.
    pub checked: Option<String>,
    /// The label on it, where it is an ISO that has one.
    pub label: Option<String>,
    /// The template of its variables, where it is firmware that has one.
    pub vars: Option<Template>,
    /// Settings that the system in it wants, keys and values.
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

/// The snapshot that clones of an image are made from.
pub const IMAGE_SNAPSHOT: &str = "ready";

impl Image {
    /// The snapshot that clones are made from.
    ///
    /// # Errors
    /// Never: the name is a good one; the type asks for it.
    pub fn snapshot(&self) -> Result<SnapshotRef> {
        Ok(self.dataset.at(&IMAGE_SNAPSHOT.parse()?))
    }
}

/// What an image is.
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
    /// The name of the file beside firmware's code that is the template of its variables.
    pub const VARS_FILE: &'static str = "vars.fd";

    /// As it is stored.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Iso => "iso",
            Self::Firmware => "firmware",
        }
    }

    /// As people call it.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Iso => "ISO",
            Self::Firmware => "firmware",
        }
    }

    /// The same as part of a sentence.
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Disk => "a disk",
            Self::Iso => "an ISO",
            Self::Firmware => "firmware",
        }
    }

    /// Reads what is stored.
    pub fn read(word: &str) -> Option<Self> {
        [Self::Disk, Self::Iso, Self::Firmware].into_iter().find(|k| k.word() == word)
    }

    /// The name of the file that holds it in its dataset. A disk's is that of a guest's disk 0, so that a clone of the
    /// image's dataset is a guest's file system as it stands.
    pub const fn file(self) -> &'static str {
        match self {
            Self::Disk => "disk0.raw",
            Self::Iso => "image.iso",
            Self::Firmware => "image.fd",
        }
    }
}

/// A deleted guest, or a disk that was taken from one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trashed {
    /// The name it had.
    pub name: GuestName,
    /// Where it lies.
    pub dataset: Dataset,
    /// Its identity.
    pub uuid: Option<Uuid>,
    /// When it was deleted.
    pub deleted: String,
    /// What it takes on the pool.
    pub used: Size,
    /// The group that it was in.
    pub group: Option<String>,
    /// Where it is no guest but a disk that was taken from one: which.
    pub disk: Option<TrashedDisk>,
}

impl Trashed {
    /// What it is called in lists: a guest's name, or that with the disk's number.
    pub fn label(&self) -> String {
        match &self.disk {
            Some(disk) => format!("{}:disk{}", self.name, disk.number),
            None => self.name.to_string(),
        }
    }
}

/// A disk that was taken from a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrashedDisk {
    /// The guest's identity.
    pub of: Uuid,
    /// The number that it had.
    pub number: u16,
    /// What it is: a file in the dataset, or the dataset itself.
    pub kind: DiskKind,
    /// Its settings, by the part of the key behind the point.
    pub settings: Vec<(String, String)>,
}

/// How a file holds a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskFormat {
    /// Byte for byte.
    Raw,
    /// QEMU's own format.
    Qcow2,
}

impl DiskFormat {
    /// As programs call it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
        }
    }
}

/// A file or device that holds a disk, as it was looked at.
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

    /// Makes sure that there is a pool to look at, whichever of them is primary.
    ///
    /// # Errors
    /// No pool carries chyves, or all are offline.
    pub fn in_use(&self) -> Result<()> {
        if self.roots.iter().any(|r| r.role != Role::Offline) { Ok(()) } else { Err(no_primary(&self.roots)) }
    }

    /// Who this host is, by its pools.
    pub fn this_host(&self) -> Option<Uuid> {
        this_host(&self.roots)
    }

    /// The root on a pool, by the pool's name.
    ///
    /// # Errors
    /// The pool carries no chyves; the ones that do are named.
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

    /// The root that something new is made below: that of the pool that was named, else the primary one.
    ///
    /// # Errors
    /// There is no such pool, or it is offline.
    pub fn place(&self, pool: Option<&str>) -> Result<&Root> {
        match pool {
            Some(pool) => self.root_on(pool)?.online(),
            None => self.primary(),
        }
    }

    /// The one guest of that name.
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

/// "No such guest", with the nearest name.
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
