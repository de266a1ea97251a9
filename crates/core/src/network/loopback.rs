//! Blocks guests on user-mode networking from the host's loopback interface, and hypervisors from listening on ports that are not
//! their guests'.
//!
//! QEMU opens connections on behalf of its guest, translates the guest's 10.0.2.2 to the host's 127.0.0.1, and has no
//! option to disable this. But each QEMU process has its own user id, so that packet filter rules can match exactly the
//! packets that these users send through the loopback interface. Connections to the host's other addresses use that
//! interface as well, and would pass any firewall that accepts `lo`, as nearly all do.
//!
//! The rules cover the whole range of user ids, so that they need not change with each guest: the first guest loads them,
//! which takes about 20 ms.
//!
//! A socket that listens without having been bound gets a port of the kernel's choice, which Landlock does not cover. The packet that
//! accepts a connection is dropped on such a port, unless it is one of the guest's own.
//!
//! Not here: loading the rules, and checking that they work (chyves-host).

use super::nat::NFT;
use crate::cmd::Cmd;
use crate::confinement::UIDS;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// The nftables table of these rules. Those of bridges have names that begin with `chyves_`.
const TABLE: &str = "guests_of_chyves";
/// The default runtime folder of chyves.
const USUAL: &str = "/run/chyves";

/// The table for the guests of a runtime folder; two instances of chyves with different folders on one host do not know
/// each other's guests.
pub fn table(run_dir: &str) -> String {
    if run_dir == USUAL {
        return TABLE.to_owned();
    }
    // FNV-1a
    let hash = run_dir.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{TABLE}_{hash:08x}")
}

/// A hypervisor process that is blocked from the host's loopback interface.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Barred {
    /// Its user id.
    pub uid: u32,
    /// The first user id of its range.
    pub first: u32,
    /// The host's UDP ports that it forwards to its guest: replies from these ports are accepted.
    #[serde(default)]
    pub udp: Vec<u16>,
    /// The TCP ports that it listens on, of those that the kernel may also choose by itself.
    #[serde(default)]
    pub tcp: Vec<u16>,
}

impl Barred {
    /// Whether rules have to name its ports.
    pub fn has_ports(&self) -> bool {
        !self.udp.is_empty() || !self.tcp.is_empty()
    }
}

/// The ports from which the kernel chooses one for a socket without a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ephemeral {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

impl Ephemeral {
    /// Reads `net.ipv4.ip_local_port_range`; without it, all ports that need no privilege.
    pub fn read(text: &str) -> Self {
        let mut words = text.split_whitespace().map(str::parse);
        match (words.next(), words.next()) {
            (Some(Ok(first)), Some(Ok(last))) if first <= last => Self { first, last },
            _ => Self { first: 1024, last: u16::MAX },
        }
    }

    /// Whether the kernel may choose this port.
    pub const fn holds(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

/// The rules for all ranges of user ids that begin with one of `firsts`, which replace the loaded ones. If there are no
/// ranges, the table is removed.
///
/// Only packets that open a connection are rejected: displays and forwarded ports of a guest may reply on the loopback
/// interface. Connections to the host's DNS resolver, which the guest uses at 10.0.2.3, are accepted.
pub fn rules(table: &str, firsts: &[u32], barred: &[Barred], ephemeral: Ephemeral) -> String {
    let mut text = format!("table inet {table} {{}}\ndelete table inet {table}\n");
    let users: Vec<String> = ranges(firsts).iter().map(|(first, last)| format!("{first}-{last}")).collect();
    if users.is_empty() {
        return text;
    }
    let ports = |of: fn(&Barred) -> &[u16]| -> Vec<String> {
        barred.iter().flat_map(|one| of(one).iter().map(move |port| format!("{} . {port}", one.uid))).collect()
    };
    let (forwards, listens, users) = (ports(|one| &one.udp), ports(|one| &one.tcp), users.join(", "));
    let Ephemeral { first, last } = ephemeral;
    let _ = writeln!(text, "table inet {table} {{\n\tchain output {{\n\t\ttype filter hook output priority 0; policy accept;");
    let _ = writeln!(text, "\t\tmeta skuid {{ {users} }} tcp flags & (syn | ack) == (syn | ack) tcp sport {first}-{last} jump unbound");
    let _ = writeln!(text, "\t\toifname \"lo\" meta skuid {{ {users} }} jump barred\n\t}}\n\tchain unbound {{");
    if !listens.is_empty() {
        let _ = writeln!(text, "\t\tmeta skuid . tcp sport {{ {} }} return", listens.join(", "));
    }
    text.push_str("\t\tdrop\n\t}\n\tchain barred {\n");
    text.push_str("\t\ttcp flags & (syn | ack) != syn accept\n");
    if !forwards.is_empty() {
        let _ = writeln!(text, "\t\tmeta skuid . udp sport {{ {} }} accept", forwards.join(", "));
    }
    text.push_str("\t\tudp dport 53 accept\n\t\ttcp dport 53 accept\n\t\tmeta l4proto tcp reject with tcp reset\n\t\treject\n\t}\n}\n");
    text
}

/// The ranges, sorted, with overlapping ones merged.
fn ranges(firsts: &[u32]) -> Vec<(u32, u32)> {
    let mut firsts = firsts.to_vec();
    firsts.sort_unstable();
    let mut all: Vec<(u32, u32)> = Vec::new();
    for first in firsts {
        let last = first.saturating_add(UIDS - 1);
        match all.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last,
            _ => all.push((first, last)),
        }
    }
    all
}

/// The command that loads rules from its standard input atomically.
pub fn load(rules: &str) -> Cmd {
    Cmd { lines: rules.lines().map(str::to_owned).collect(), ..Cmd::new(NFT, ["-f", "-"]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::confinement::FIRST_UID;

    #[test]
    fn the_rules_name_users_and_forwarded_ports_and_are_gone_with_the_last() {
        let usual = Ephemeral::read("32768\t60999\n");
        let one = [Barred { uid: 1_900_000_009, first: FIRST_UID, udp: vec![5353, 69], tcp: vec![40_022] }];
        insta::assert_snapshot!(rules(&table("/run/chyves"), &[FIRST_UID, 70_000], &one, usual), @r#"
        table inet guests_of_chyves {}
        delete table inet guests_of_chyves
        table inet guests_of_chyves {
        	chain output {
        		type filter hook output priority 0; policy accept;
        		meta skuid { 70000-135535, 1900000000-1900065535 } tcp flags & (syn | ack) == (syn | ack) tcp sport 32768-60999 jump unbound
        		oifname "lo" meta skuid { 70000-135535, 1900000000-1900065535 } jump barred
        	}
        	chain unbound {
        		meta skuid . tcp sport { 1900000009 . 40022 } return
        		drop
        	}
        	chain barred {
        		tcp flags & (syn | ack) != syn accept
        		meta skuid . udp sport { 1900000009 . 5353, 1900000009 . 69 } accept
        		udp dport 53 accept
        		tcp dport 53 accept
        		meta l4proto tcp reject with tcp reset
        		reject
        	}
        }
        "#);
        assert_ne!(table("/run/chyves"), table("/run/other"));
        assert!(!rules(TABLE, &[], &[], usual).contains("chain"));
        let none = rules(TABLE, &[FIRST_UID], &[], usual);
        assert!(!none.contains("udp sport") && !none.contains("return"), "{none}");
        assert!(usual.holds(32_768) && usual.holds(60_999) && !usual.holds(5901));
        assert_eq!(Ephemeral::read("2 1"), Ephemeral { first: 1024, last: u16::MAX });
    }

    #[test]
    fn ranges_that_meet_are_one() {
        assert_eq!(ranges(&[70_000, 5000, 70_000, 70_001, 135_537, 4_294_967_000]), [(5000, 201_072), (4_294_967_000, u32::MAX)]);
    }
}
