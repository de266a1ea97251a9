//! The facts that a planner can use. They were read just before planning; planners have no other input.

pub mod inventory;

use crate::cloudinit::Text;
use crate::error::{Code, Problem, Result, did_you_mean};
use crate::guest::{Guest, Trashed};
use crate::image::Image;
use crate::os::HostFacts;
use crate::pool::{Role, Root, this_host};
use crate::value::{Dataset, GuestName, ImageName};
use crate::zfs::locked::Locked;
use std::collections::BTreeMap;
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

impl World {
    /// The primary pool's root.
    ///
    /// # Errors
    /// No pool carries chyves, none of them is primary, or several are.
    pub fn primary(&self) -> Result<&Root> {
        let mut found = self.roots.iter().filter(|r| r.role == Role::Primary);
        match (found.next(), found.next()) {
            (Some(root), None) => Ok(root),
            (Some(a), Some(b)) => Err(Code::SeveralPrimary
                .problem("two pools are primary")
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
            Code::NoSuchPool
                .problem(format!("no pool with chyves on it is called `{shown}`"))
                .on(&shown)
                .hint_if(did_you_mean(pool, known.iter().copied()))
                .hint(format!("`chyves pool init {shown}` would set it up; `chyves pool list` shows those that are"))
        })
    }

    /// Refuses a pool of another host: guests on it are foreign, whoever owns them.
    ///
    /// # Errors
    /// The pool belongs to another host, or to none.
    pub fn ours(&self, root: &Root) -> Result<()> {
        let Some(host) = self.this_host().filter(|host| root.host != Some(*host)) else { return Ok(()) };
        let pool = root.dataset.pool();
        let whose = root.host.map_or_else(|| "no host".to_owned(), |other| format!("the host {other}"));
        Err(Problem::not_now(format!("the pool `{pool}` belongs to {whose}"))
            .on(pool)
            .because(format!("this host is {host}, and guests on pools of others are foreign"))
            .hint(format!("`chyves pool online {pool}` makes the pool this host's; its guests stay foreign until adopted")))
    }

    /// The root for new objects: that of the named pool, else the primary one.
    ///
    /// # Errors
    /// There is no such pool, or it is offline.
    pub fn place(&self, pool: Option<&str>) -> Result<&Root> {
        match pool {
            Some(pool) => self.root_on(pool)?.online().and_then(|root| self.ours(root).map(|()| root)),
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
            (Some(a), Some(b)) => Err(Code::NameAmbiguous
                .problem(format!("two guests are called `{name}`"))
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
            // An image that exists but cannot be used is not missing.
            if let Some(odd) = self.odd_image(name) {
                return odd.clone();
            }
            Code::NoSuchImage
                .problem(format!("no image is called `{name}`"))
                .on(name)
                .hint_if(did_you_mean(name.as_str(), self.images.iter().map(|i| i.name.as_str())))
                .hint("`chyves image list` shows them all; `chyves image import FILE` adds one")
        })
    }

    /// The problem of a dataset in the place of an image of that name, if it cannot be used as one.
    pub fn odd_image(&self, name: &ImageName) -> Option<&Problem> {
        let dataset = self.primary().ok()?.images().child(name);
        self.oddities.iter().find(|odd| odd.object.as_deref() == Some(dataset.as_str()))
    }
}

/// "No such guest", with the most similar name.
pub fn no_guest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Problem {
    let shown = crate::value::printable(name, 63);
    Code::NoSuchGuest
        .problem(format!("no guest is called `{shown}`"))
        .on(&shown)
        .hint_if(did_you_mean(name, known))
        .hint("`chyves list` shows them all")
}

fn no_primary(roots: &[Root]) -> Problem {
    if roots.is_empty() {
        Code::NoPool
            .problem("no pool is set up for chyves")
            .hint("`chyves pool init POOL` sets one up; `zpool list` shows the pools, `zpool import` those not imported")
    } else {
        let there: Vec<String> = roots.iter().map(|root| format!("{} is {}", root.dataset.pool(), root.role.word())).collect();
        Code::NoPool
            .problem("no pool of chyves is primary")
            .because(there.join(", "))
            .hint("`zpool import` the primary one, or make another one it: `chyves pool promote POOL`")
    }
}
