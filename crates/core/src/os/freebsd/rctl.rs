//! rctl(8): what a rule of the kernel's resource accounting is about, and how it is written.
//!
//! The rules of a jail hold for its bhyve and its loader from their first instruction, and die with the jail; one of a process
//! holds from the moment that it is added. No limit is set yet. Not here: which guest gets which.

use crate::confinement::{Confinement, Means};
use std::fmt;

/// What is accounted for, or limited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// All processes of a jail, by its name.
    Jail(String),
    /// One process.
    Process(u32),
}

impl Subject {
    /// That of a running bhyve: its jail where it has one of its own, else its process.
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

/// What can be limited of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Resident memory, in bytes.
    MemoryUse,
    /// Time of processors, in hundredths of one processor.
    Pcpu,
    /// Bytes read from file systems in a second; zvols are not counted reliably.
    ReadBps,
    /// Bytes written to file systems in a second; zvols are not counted reliably.
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

    /// What the kernel can do at the limit: rates can only be slowed down.
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
    /// Whose.
    pub subject: Subject,
    /// Of what.
    pub resource: Resource,
    /// How much, in the resource's unit.
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
