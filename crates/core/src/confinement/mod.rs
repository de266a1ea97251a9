//! How a hypervisor process is confined: the requested level, what this host and this VM allow, and what the process can
//! still access.
//!
//! The planner decides the confinement and stores it in the launch; chyves-host applies it just before it starts the
//! hypervisor. Not here: the open descriptors that the hypervisor gets ([`crate::launch::Descriptor`]).

mod jail;

pub use jail::{Jail, Reach};

use crate::value::json::tagged;
use crate::value::{choices, printable};
use serde::{Deserialize, Serialize};

choices! {
    /// How far a hypervisor process is confined.
    #[derive(PartialOrd, Ord, Default)]
    Level: "is not a level of confinement" {
        /// It runs as root, without confinement.
        #[default]
        Off = "off",
        /// It runs as its own user without capabilities, and filters its own system calls.
        User = "user",
        /// In addition, it can access nothing of the host except what it needs.
        Full = "full",
    }
}

impl Level {
    /// The words, the strongest level first, which is the default.
    pub const FROM_STRONGEST: &'static [&'static str] = &[Self::Full.word(), Self::User.word(), Self::Off.word()];
}

/// The confinement of one hypervisor process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Confinement {
    /// The level requested by the property `confine`.
    pub wanted: Level,
    /// The level in effect, limited by what is possible here.
    pub level: Level,
    /// Why it is less than requested, or what is less strict than usual within the level.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// The mechanism.
    #[serde(default)]
    pub means: Means,
}

/// The operating system's mechanism that confines a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(remote = "Self", rename_all = "kebab-case")]
pub enum Means {
    /// None.
    #[default]
    None,
    /// Linux: a user, capabilities, namespaces, Landlock.
    Linux(Sandbox),
    /// FreeBSD: a jail, in addition to the Capsicum sandbox that bhyve enters itself.
    Jail(Jail),
}

tagged!(Means, "by");

/// What a confined process on Linux can access besides its descriptors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// The first of the [`UIDS`] user ids; each guest uses its own.
    pub first_uid: u32,
    /// Its network access.
    pub network: Network,
    /// Files and devices of the host that it opens itself, besides its program, libraries and data.
    pub shows: Vec<Show>,
    /// It has to access files of other users as root: it keeps the capabilities for files, and no others.
    pub owns_files: bool,
    /// It locks its guest's memory.
    pub locks_memory: bool,
    /// It uses KVM.
    pub kvm: bool,
    /// It makes sockets that listen: all others that listen are opened for it.
    #[serde(default = "yes")]
    pub listens: bool,
    /// It uses `io_uring`.
    #[serde(default)]
    pub io_uring: bool,
}

/// What a launch of an earlier version, which does not state it, may have needed.
const fn yes() -> bool {
    true
}

/// The lowest user id of a hypervisor process: lower ones belong to users, daemons, `nobody` and containers with 16-bit
/// ids.
pub const LEAST_UID: u32 = 100_000;
/// The number of user ids that are reserved for guests.
pub const UIDS: u32 = 65_536;
/// The default for the first of them: not used by distributions, containers and systemd.
pub const FIRST_UID: u32 = 1_900_000_000;

/// The network of a confined process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", rename_all = "kebab-case")]
pub enum Network {
    /// An empty network namespace of its own; taps are passed as open descriptors.
    Private,
    /// The host's network.
    Host {
        /// The TCP ports that it listens on.
        listens: Vec<u16>,
        /// Whether it opens connections for its guest.
        connects: bool,
        /// The UDP ports of the host that it forwards to its guest.
        #[serde(default)]
        udp: Vec<u16>,
    },
}

tagged!(Network, "is");

/// A part of the host's file system that a confined process can open by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Show {
    /// The path, the same inside and outside.
    pub path: String,
    /// What the process finds at this path.
    pub how: How,
}

/// What a confined process finds at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// A copy of a small file, which it may read.
    Copy,
    /// Its own device node for the same device.
    Node,
    /// The VFIO nodes for the PCI device at this path in /sys, and the files in /sys that describe it.
    Passthrough,
    /// The folder, read-only.
    Folder,
    /// The folder, writable.
    WritableFolder,
}

impl Confinement {
    /// Whether it is confined but uses the host's network, where packet filter rules block access to the loopback
    /// interface.
    pub const fn is_on_hosts_network(&self) -> bool {
        matches!(&self.means, Means::Linux(Sandbox { network: Network::Host { .. }, .. }))
    }

    /// Whether it is confined and opens connections for a guest on user-mode networking.
    pub const fn uses_user_networking(&self) -> bool {
        matches!(&self.means, Means::Linux(Sandbox { network: Network::Host { connects: true, .. }, .. }))
    }

    /// In words: `full`, or `user (REASON; REASON)`.
    pub fn shown(&self) -> String {
        if let Means::Jail(jail) = &self.means {
            let parts: Vec<&str> = std::iter::once("and Capsicum").chain(self.reasons.iter().map(String::as_str)).collect();
            return format!("{} (the jail {}, {})", self.level, jail.name, parts.join("; "));
        }
        if self.reasons.is_empty() { self.level.to_string() } else { format!("{} ({})", self.level, self.reasons.join("; ")) }
    }
}

/// The host's capabilities to confine a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Possible {
    /// Why a hypervisor cannot run as another user; `None` if it can.
    #[serde(default)]
    pub no_user: Option<String>,
    /// Why it cannot have its own namespaces; `None` if it can.
    #[serde(default)]
    pub no_namespaces: Option<String>,
    /// Why a process that runs as another user, in the host's namespaces, cannot use KVM; `None` if it can.
    #[serde(default)]
    pub no_kvm: Option<String>,
    /// Why guests on user-mode networking cannot be blocked from the host's loopback interface; `None` if they can.
    #[serde(default)]
    pub no_loopback_rules: Option<String>,
    /// Whether Landlock can block access to TCP ports, abstract sockets and signals.
    #[serde(default)]
    pub landlock: bool,
    /// User and group ids in use on the host that could collide with those of hypervisor processes.
    #[serde(default)]
    pub taken: Vec<Taken>,
}

/// A range of ids that is in use on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The first of them.
    pub first: u32,
    /// The last of them.
    pub last: u32,
    /// The owner, in words.
    pub who: String,
}

/// The ids in /etc/passwd, /etc/group, /etc/subuid and /etc/subgid from [`LEAST_UID`] on. Malformed lines are ignored.
pub fn taken(passwd: &str, group: &str, subuid: &str, subgid: &str) -> Vec<Taken> {
    let single = |kind: &'static str| {
        move |line: &str| {
            let mut fields = line.split(':');
            let (name, id) = (fields.next()?, fields.nth(1)?.parse().ok()?);
            Some(Taken { first: id, last: id, who: format!("the {kind} {} has the id {id}", printable(name, 60)) })
        }
    };
    let several = |kind: &'static str| {
        move |line: &str| {
            let mut fields = line.split(':');
            let (name, first, count) = (fields.next()?, fields.next()?.parse::<u32>().ok()?, fields.next()?.trim().parse::<u32>().ok()?);
            let last = first.saturating_add(count.checked_sub(1)?);
            Some(Taken { first, last, who: format!("{} has the subordinate {kind} ids {first} to {last}", printable(name, 60)) })
        }
    };
    let singles = passwd.lines().filter_map(single("user")).chain(group.lines().filter_map(single("group")));
    let all = singles.chain(subuid.lines().filter_map(several("user"))).chain(subgid.lines().filter_map(several("group")));
    all.filter(|taken| taken.last >= LEAST_UID).collect()
}

impl Possible {
    /// The mechanism of the strongest level, in words.
    pub fn shown(&self) -> String {
        let landlock = if self.landlock { "Landlock for TCP, abstract sockets and signals" } else { "no Landlock for TCP (Linux 6.7)" };
        format!("full: a user per guest, system call filter, namespaces, {landlock}")
    }

    /// The owner of an id in the range of [`UIDS`] ids that begins at `first`.
    pub fn taken_from(&self, first: u32) -> Option<&str> {
        let last = first.saturating_add(UIDS - 1);
        self.taken.iter().find(|taken| taken.first <= last && first <= taken.last).map(|taken| taken.who.as_str())
    }

    /// The strongest possible level up to the requested one, and why it is less.
    pub fn limit(&self, wanted: Level) -> (Level, Option<String>) {
        match wanted {
            Level::Off => (Level::Off, None),
            Level::User | Level::Full if self.no_user.is_some() => (Level::Off, self.no_user.clone()),
            Level::Full if self.no_namespaces.is_some() => (Level::User, self.no_namespaces.clone()),
            Level::User | Level::Full => (wanted, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_possible_level_is_chosen_and_says_why_it_is_less() {
        let all = Possible::default();
        assert_eq!(all.limit(Level::Full), (Level::Full, None));
        let user = Possible { no_namespaces: Some("no namespaces".into()), ..Possible::default() };
        assert_eq!(user.limit(Level::Full), (Level::User, Some("no namespaces".into())));
        assert_eq!(user.limit(Level::User), (Level::User, None));
        let none = Possible { no_user: Some("not root".into()), ..user };
        assert_eq!(none.limit(Level::Full), (Level::Off, Some("not root".into())));
        assert_eq!(none.limit(Level::Off), (Level::Off, None));
    }

    #[test]
    fn ids_of_the_host_are_nobody_elses() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nann:x:200000:200000::/home/ann:/bin/sh\nodd\n";
        let found = taken(passwd, "wheel:x:0:\nlab:x:300000:ann\n", "ann:400000:65536\nbob:100000:0\n", "ann:500000:10\nx:y:z\n");
        assert_eq!(found.len(), 4, "{found:?}");
        let host = Possible { taken: found, ..Possible::default() };
        for (first, who) in [
            (150_000, Some("the user ann has the id 200000")),
            (250_000, Some("the group lab has the id 300000")),
            (200_001, None),
            (465_535, Some("subordinate user")),
            (465_536, Some("subordinate group")),
            (500_010, None),
            (FIRST_UID, None),
        ] {
            assert_eq!(host.taken_from(first).is_some(), who.is_some(), "{first}");
            assert!(who.is_none_or(|who| host.taken_from(first).unwrap().contains(who)), "{first}");
        }
    }

    #[test]
    fn a_level_reads_as_it_is_written() {
        for word in Level::WORDS {
            assert_eq!(word.parse::<Level>().unwrap().to_string(), *word);
        }
        assert!("half".parse::<Level>().is_err());
    }
}
