//! How a hypervisor is confined: what is wanted, what this host and this machine allow, and what the process may still reach.
//!
//! The planner decides it and puts it into the launch; chyves-host carries it out just before the hypervisor runs.
//! Not here: what the hypervisor gets as open descriptors ([`crate::launch::Descriptor`]).

pub mod loopback;

use crate::value::{BadValue, printable, serde_by_text};
use crate::vmm::bhyve::jail::Jail;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// How far a hypervisor is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// It runs as root, as if started by hand.
    #[default]
    Off,
    /// It runs as a user of its own without capabilities, and filters its own system calls.
    User,
    /// It also sees nothing of the host but what it needs.
    Full,
}

impl Level {
    /// The words of the property, the default first.
    pub const WORDS: &'static [&'static str] = &["full", "user", "off"];

    /// As it is stored and shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::User => "user",
            Self::Off => "off",
        }
    }
}

impl FromStr for Level {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        [Self::Full, Self::User, Self::Off]
            .into_iter()
            .find(|level| level.word() == text)
            .ok_or_else(|| BadValue::new(text, "is not a level of confinement").hint("one of: full, user, off"))
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

serde_by_text!(Level);

/// The confinement of one hypervisor process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Confinement {
    /// What the property `confine` asks for.
    pub wanted: Level,
    /// What is possible here, and so in force.
    pub level: Level,
    /// Why it is less than wanted, or what is less strict than usual within the level.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// By what means.
    #[serde(default)]
    pub means: Means,
}

/// How a host's system confines a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Means {
    /// By nothing.
    #[default]
    None,
    /// Linux: a user, capabilities, namespaces, Landlock.
    Linux(Sandbox),
    /// FreeBSD: a jail, beside the Capsicum sandbox that bhyve enters by itself.
    Jail(Jail),
}

/// What a confined process on Linux is given besides its descriptors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// The first of the [`UIDS`] user ids; the guest gets one of them for itself.
    pub first_uid: u32,
    /// Whether it needs the host's network, and what of TCP.
    pub network: Network,
    /// What of the host's files and devices it opens by itself, besides its program, libraries and data.
    pub shows: Vec<Show>,
    /// It must be root for the files of others: it keeps the capabilities that concern files, and no others.
    pub owns_files: bool,
    /// It locks its guest's memory.
    pub locks_memory: bool,
    /// It runs its guest by KVM.
    pub kvm: bool,
}

/// The least id of a hypervisor: below are those of people, daemons, `nobody` and containers of 16 bits.
pub const LEAST_UID: u32 = 100_000;
/// How many user ids there are for guests.
pub const UIDS: u32 = 65_536;
/// The first of them where nothing else is set: unused by distributions, containers and systemd.
pub const FIRST_UID: u32 = 1_900_000_000;

/// The network of a confined process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Network {
    /// An empty one of its own; taps are open already.
    Private,
    /// The host's.
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

/// Something of the host that a confined process can open by its path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Show {
    /// The path, the same inside.
    pub path: String,
    /// What is there inside.
    pub how: How,
}

/// What a confined process finds at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// A copy of a small file, which it may read.
    Copy,
    /// A device node of its own for the same device.
    Node,
    /// The nodes of VFIO for this PCI device of /sys, and what of /sys tells about it.
    Passthrough,
    /// The folder, read-only.
    Folder,
    /// The folder, which it may change.
    WritableFolder,
}

impl Confinement {
    /// Whether it is confined and on the host's network, where rules keep it from the loopback.
    pub const fn is_on_hosts_network(&self) -> bool {
        matches!(&self.means, Means::Linux(Sandbox { network: Network::Host { .. }, .. }))
    }

    /// Whether it is confined and connects for a guest on user-mode networking.
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

/// What the host can do to confine a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Possible {
    /// Why a hypervisor can't run as another user; none where it can.
    #[serde(default)]
    pub no_user: Option<String>,
    /// Why it can't have namespaces of its own; none where it can.
    #[serde(default)]
    pub no_namespaces: Option<String>,
    /// Why one that runs as another user, in the host's namespaces, can't use KVM; none where it can.
    #[serde(default)]
    pub no_kvm: Option<String>,
    /// Why guests on user-mode networking can't be kept from the host's loopback; none where they can.
    #[serde(default)]
    pub no_loopback_rules: Option<String>,
    /// Whether Landlock can keep it from TCP ports, abstract sockets and signals that it does not need.
    #[serde(default)]
    pub landlock: bool,
    /// The ids of users and groups of the host, where they could be a hypervisor's.
    #[serde(default)]
    pub taken: Vec<Taken>,
}

/// Ids that belong to somebody of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The first of them.
    pub first: u32,
    /// The last of them.
    pub last: u32,
    /// Whose they are, in words.
    pub who: String,
}

/// The ids that /etc/passwd, /etc/group, /etc/subuid and /etc/subgid name, from [`LEAST_UID`] on. A line that can't be read names
/// nobody.
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
    /// The means of the strongest level, in words.
    pub fn shown(&self) -> String {
        let landlock = if self.landlock { "Landlock for TCP, abstract sockets and signals" } else { "no Landlock for TCP (Linux 6.7)" };
        format!("full: a user per guest, system call filter, namespaces, {landlock}")
    }

    /// Who has one of the ids of a range of [`UIDS`].
    pub fn taken_from(&self, first: u32) -> Option<&str> {
        let last = first.saturating_add(UIDS - 1);
        self.taken.iter().find(|taken| taken.first <= last && first <= taken.last).map(|taken| taken.who.as_str())
    }

    /// The strongest level that is possible, at most the wanted one, and why it is less.
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
