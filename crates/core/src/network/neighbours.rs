//! Neighbour entries that somebody set by hand: static ones and proxies. The kernel drops them with the addresses of their
//! interface, so a change that would move these addresses is refused.
//!
//! Not here: routes, which move with the addresses ([`super::routes`]).

use super::{Actual, routes};
use crate::cmd::Cmd;
use crate::error::{Problem, Result};
use crate::os::state::unreadable;
use crate::os::{Intent, Os, linux};
use crate::value::IfName;
use serde::Deserialize;
use std::net::IpAddr;

/// An entry that is not learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Its interface.
    pub interface: String,
    /// Its address.
    pub address: IpAddr,
    /// The MAC address of a static entry; a proxy has none.
    pub mac: Option<String>,
}

/// The commands that list them. Those of FreeBSD do not distinguish them from the entries of the host's own addresses.
pub fn questions(os: Os) -> Vec<Cmd> {
    match os {
        Os::FreeBsd => Vec::new(),
        Os::Linux => ["permanent", "proxy"]
            .map(|which| {
                let state: &[&str] = if which == "proxy" { &["proxy"] } else { &["nud", "permanent"] };
                Cmd::new(linux::ip::TOOL, ["-j", "neighbour", "show"]).args(state.iter().copied())
            })
            .into(),
    }
}

#[derive(Deserialize)]
struct Entry {
    dst: IpAddr,
    dev: Option<String>,
    lladdr: Option<String>,
}

/// Parses the output of one of [`questions`].
///
/// # Errors
/// It has an unexpected form.
pub fn read(answer: &str) -> Result<Vec<Neighbour>> {
    if answer.trim().is_empty() {
        return Ok(Vec::new());
    }
    let entries: Vec<Entry> =
        serde_json::from_str(answer).map_err(|e| unreadable(linux::ip::TOOL, answer.lines().next().unwrap_or_default()).because(e))?;
    let one = |entry: Entry| Some(Neighbour { interface: entry.dev?, address: entry.dst, mac: entry.lladdr });
    Ok(entries.into_iter().filter_map(one).collect())
}

impl Neighbour {
    fn words(&self) -> String {
        match &self.mac {
            Some(mac) => format!("{} lladdr {mac} dev {}", self.address, self.interface),
            None => format!("proxy {} dev {}", self.address, self.interface),
        }
    }

    fn refused(&self, interface: &IfName) -> Problem {
        let what = if self.mac.is_some() { "static neighbour entry" } else { "neighbour proxy entry" };
        let delete = match self.mac {
            Some(_) => format!("{} dev {}", self.address, self.interface),
            None => self.words(),
        };
        Problem::not_now(format!("cannot move the addresses of {interface}: its {what} {} would be lost", self.address))
            .on(interface)
            .because("the kernel removes it with the addresses, and it belongs to one interface")
            .hint(format!("delete it first: `ip neighbour del {delete}`; then repeat the command"))
            .hint(format!("afterwards add it to the interface that has the addresses then: `ip neighbour add {}`", self.words()))
    }
}

impl Actual {
    /// Refuses steps that remove addresses from an interface with a route or a neighbour entry that could not be restored
    /// exactly.
    ///
    /// # Errors
    /// There is such a route or entry.
    pub fn can_move<'a>(&self, os: Os, intents: impl IntoIterator<Item = &'a Intent> + Clone) -> Result<()> {
        routes::can_move(os, intents.clone())?;
        for intent in intents {
            let Intent::SetAddresses { interface, before, after, .. } = intent else { continue };
            let loses = before.iter().any(|a| !after.iter().any(|b| b.address == a.address));
            if let Some(entry) = self.neighbours.iter().find(|entry| loses && entry.interface == interface.as_str()) {
                return Err(entry.refused(interface));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::Assigned;

    #[test]
    fn addresses_with_an_entry_set_by_hand_do_not_move() {
        let text = r#"[{"dst":"192.0.2.1","dev":"em0","lladdr":"02:00:00:00:00:01","state":["PERMANENT"]},{"dst":"192.0.2.99","dev":"em1","proxy":null}]"#;
        let neighbours = read(text).unwrap();
        assert_eq!(read("").unwrap(), []);
        assert!(read("what?").is_err());
        let actual = Actual { neighbours, ..Actual::default() };
        let assigned = |address: &str| Assigned { address: address.parse().unwrap(), detail: crate::os::assigned::Detail::default() };
        let moving = |interface: &str, before: &[&str], after: &[&str]| Intent::SetAddresses {
            interface: interface.parse().unwrap(),
            before: before.iter().map(|a| assigned(a)).collect(),
            after: after.iter().map(|a| assigned(a)).collect(),
            routes_before: Vec::new(),
            routes_after: Vec::new(),
        };
        for (interface, shown) in [("em0", "192.0.2.1 lladdr 02:00:00:00:00:01 dev em0"), ("em1", "proxy 192.0.2.99 dev em1")] {
            let problem = actual.can_move(Os::Linux, &[moving(interface, &["10.0.0.1/24"], &[])]).unwrap_err();
            assert!(problem.hints.join("\n").contains(shown), "{problem} {:?}", problem.hints);
            // An address more loses nothing.
            actual.can_move(Os::Linux, &[moving(interface, &["10.0.0.1/24"], &["10.0.0.1/24", "10.0.0.2/24"])]).unwrap();
        }
        actual.can_move(Os::Linux, &[moving("em2", &["10.0.0.1/24"], &[])]).unwrap();
    }
}
