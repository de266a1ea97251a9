//! rctl(8): the subjects and the syntax of rules for the kernel's resource accounting.
//!
//! The rules of a jail apply to its bhyve and its loader from their first instruction, and are removed with the jail; a
//! rule of a process applies from the moment it is added. No limits are set yet. Not here: which guest gets which limits.

use crate::confinement::{Confinement, Means};
use std::fmt;

/// The subject of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// All processes of a jail, by its name.
    Jail(String),
    /// One process.
    Process(u32),
}

impl Subject {
    /// The subject for a running bhyve: its jail if it has one, else its process.
    pub fn of(confinement: &Confinement, process: Option<u32>) -> Option<Self> {
        match &confinement.means {
            Means::Jail(jail) => Some(Self::Jail(jail.name.clone())),
            Means::None | Means::Linux(_) => process.map(Self::Process),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Jail(name) => write!(f, "jail:{name}"),
            Self::Process(pid) => write!(f, "process:{pid}"),
        }
    }
}

/// The resources of a VM that can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Resident memory, in bytes.
    MemoryUse,
    /// CPU time, in percent of one processor.
    Pcpu,
    /// Bytes read from file systems per second; zvols are not counted reliably.
    ReadBps,
    /// Bytes written to file systems per second; zvols are not counted reliably.
    WriteBps,
}

impl Resource {
    const fn word(self) -> &'static str {
        match self {
            Self::MemoryUse => "memoryuse",
            Self::Pcpu => "pcpu",
            Self::ReadBps => "readbps",
            Self::WriteBps => "writebps",
        }
    }

    /// The kernel's action at the limit: rates can only be throttled.
    const fn action(self) -> &'static str {
        match self {
            Self::MemoryUse | Self::Pcpu => "deny",
            Self::ReadBps | Self::WriteBps => "throttle",
        }
    }
}

/// A limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The subject.
    pub subject: Subject,
    /// The resource.
    pub resource: Resource,
    /// The limit, in the resource's unit.
    pub amount: u64,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}={}", self.subject, self.resource.word(), self.resource.action(), self.amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmm::bhyve::jail::{Jail, Reach};
    use uuid::Uuid;

    #[test]
    fn a_rule_names_the_jail_or_else_the_process() {
        let jail = Jail::new(Uuid::nil(), "/var/run/chyves", "/var/run/chyves/x", None, Reach::default());
        let jailed = Confinement { means: Means::Jail(jail), ..Confinement::default() };
        let subject = Subject::of(&jailed, Some(4711)).unwrap();
        let rule = Rule { subject, resource: Resource::MemoryUse, amount: 1 << 30 };
        assert_eq!(rule.to_string(), "jail:chyves-00000000-0000-0000-0000-000000000000:memoryuse:deny=1073741824");
        let subject = Subject::of(&Confinement::default(), Some(4711)).unwrap();
        assert_eq!(Rule { subject, resource: Resource::WriteBps, amount: 5 }.to_string(), "process:4711:writebps:throttle=5");
        assert_eq!(Subject::of(&Confinement::default(), None), None);
        assert!(Resource::Pcpu.action() == "deny" && Resource::ReadBps.word() == "readbps");
    }
}
