//! Keeping guests on user-mode networking from the host's loopback.
//!
//! QEMU connects for its guest, and takes the guest's 10.0.2.2 for the host's 127.0.0.1 without a switch against it. But each QEMU
//! has a user id of its own, so a rule for packets that these users send by the loopback interface concerns exactly the guests. By
//! that interface go connections to the host's other addresses as well, past a firewall that lets `lo` pass, as nearly all do.
//!
//! Not here: loading the rules, and proving that they hold (chyves-host).

use crate::cmd::Cmd;
use crate::network::nat::NFT;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// The table of these rules. Those of bridges have names that begin with `chyves_`.
const TABLE: &str = "guests_of_chyves";
/// The runtime folder of chyves where no other is named.
const USUAL: &str = "/run/chyves";

/// The table for the guests of a runtime folder: two of them on one host know nothing of each other's guests.
pub fn table(run_dir: &str) -> String {
    if run_dir == USUAL {
        return TABLE.to_owned();
    }
    // FNV-1a
    let hash = run_dir.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{TABLE}_{hash:08x}")
}

/// A hypervisor that is kept from the host's loopback.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Barred {
    /// Its user.
    pub uid: u32,
    /// The UDP ports of the host that it forwards to its guest: answers to those who use them are let pass.
    #[serde(default)]
    pub udp: Vec<u16>,
}

/// The rules for those, which take the place of what was loaded before. For nobody there are none, and the table is removed.
///
/// Only what begins a conversation is rejected: displays and forwarded ports of a guest answer on the loopback. So does the
/// host's resolver, which the guest uses at 10.0.2.3.
pub fn rules(table: &str, barred: &[Barred]) -> String {
    let mut text = format!("table inet {table} {{}}\ndelete table inet {table}\n");
    if barred.is_empty() {
        return text;
    }
    let users: Vec<String> = barred.iter().map(|one| one.uid.to_string()).collect();
    let forwards = barred.iter().flat_map(|one| one.udp.iter().map(move |port| format!("{} . {port}", one.uid)));
    let forwards: Vec<String> = forwards.collect();
    let _ = writeln!(text, "table inet {table} {{\n\tchain output {{\n\t\ttype filter hook output priority 0; policy accept;");
    let _ = writeln!(text, "\t\toifname \"lo\" meta skuid {{ {} }} jump barred\n\t}}\n\tchain barred {{", users.join(", "));
    text.push_str("\t\ttcp flags & (syn | ack) != syn accept\n");
    if !forwards.is_empty() {
        let _ = writeln!(text, "\t\tmeta skuid . udp sport {{ {} }} accept", forwards.join(", "));
    }
    text.push_str("\t\tudp dport 53 accept\n\t\ttcp dport 53 accept\n\t\tmeta l4proto tcp reject with tcp reset\n\t\treject\n\t}\n}\n");
    text
}

/// The command that loads rules from its standard input, all of them or none.
pub fn load(rules: &str) -> Cmd {
    Cmd { lines: rules.lines().map(str::to_owned).collect(), ..Cmd::new(NFT, ["-f", "-"]) }
}

/// The command that shows the rules that are loaded.
pub fn show(table: &str) -> Cmd {
    Cmd::new(NFT, ["--numeric", "list", "table", "inet", table])
}

/// Whether the rules that are loaded, as the tool shows them, concern a user.
pub fn bars(shown: &str, uid: u32) -> bool {
    let uid = uid.to_string();
    let line = shown.lines().find(|line| line.contains("meta skuid") && line.contains("jump barred"));
    line.is_some_and(|line| line.split(|c: char| !c.is_ascii_digit()).any(|number| number == uid)) && shown.contains("reject")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_name_users_and_forwarded_ports_and_are_gone_with_the_last() {
        let two = [Barred { uid: 1_900_000_007, udp: vec![] }, Barred { uid: 1_900_000_009, udp: vec![5353, 69] }];
        insta::assert_snapshot!(rules(&table("/run/chyves"), &two), @r#"
        table inet guests_of_chyves {}
        delete table inet guests_of_chyves
        table inet guests_of_chyves {
        	chain output {
        		type filter hook output priority 0; policy accept;
        		oifname "lo" meta skuid { 1900000007, 1900000009 } jump barred
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
        assert!(!rules(TABLE, &[]).contains("chain"));
        assert!(!rules(TABLE, &two[..1]).contains("udp sport"));
    }

    #[test]
    fn a_user_is_found_among_those_that_are_shown() {
        let shown = "table inet guests_of_chyves {\n\tchain output {\n\t\toifname \"lo\" meta skuid { 1900000007, 70001 } jump barred\n\t}\n\
                     \tchain barred {\n\t\treject with icmpx 1\n\t}\n}\n";
        assert!(bars(shown, 70_001) && bars(shown, 1_900_000_007));
        assert!(!bars(shown, 7000) && !bars("", 70_001) && !bars(&shown.replace("reject", "accept"), 70_001));
    }
}
