//! Identifies the owner of a tap: the exact token that chyves sets on the taps it creates, and where each operating system
//! shows it.
//!
//! Not here: creating and removing taps (the intents of [`super`]).

use super::{Os, freebsd, linux, state::unreadable};
use crate::cmd::Cmd;
use crate::error::Result;
use crate::value::IfName;
use crate::value::json;
use serde::Deserialize;
use uuid::Uuid;

/// A tap with our token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnTap {
    /// Its name.
    pub tap: IfName,
    /// The guest that it was created for.
    pub guest: Uuid,
    /// The token.
    pub token: String,
    /// Whether another process has it open.
    pub open: bool,
}

/// The token of a guest's NIC.
pub fn token(guest: Uuid, nic: u16) -> String {
    format!("chyves/{guest}/net{nic}")
}

/// The guest of a token; `None` for any other text.
pub(crate) fn owner(text: &str) -> Option<Uuid> {
    let (guest, nic) = text.strip_prefix("chyves/")?.split_once("/net")?;
    let guest = Uuid::try_parse(guest).ok()?;
    // Only the exact form that chyves writes is accepted.
    (token(guest, nic.parse().ok()?) == text).then_some(guest)
}

/// The guest that a tap was created for, from its mark.
pub fn owner_of(mark: &str) -> Option<Uuid> {
    owner(mark)
}

/// The command that lists all interfaces with their descriptions.
pub fn question(os: Os) -> Cmd {
    match os {
        Os::FreeBsd => Cmd::new(freebsd::ifconfig::TOOL, ["-a"]),
        Os::Linux => Cmd::new(linux::ip::TOOL, ["-j", "link", "show"]),
    }
}

/// Parses the output: the taps that are ours.
///
/// # Errors
/// It has an unexpected form.
pub fn read(os: Os, answer: &str) -> Result<Vec<OwnTap>> {
    let named = match os {
        Os::FreeBsd => ifconfig(answer)?,
        Os::Linux => ip(answer)?,
    };
    let own = |seen: Described| {
        let guest = owner(&seen.text)?;
        Some(OwnTap { tap: seen.name.parse().ok()?, guest, token: seen.text, open: seen.open })
    };
    Ok(named.into_iter().filter_map(own).collect())
}

/// An interface and its description.
#[derive(Default)]
struct Described {
    name: String,
    text: String,
    open: bool,
}

/// An interface begins at the start of a line, its details are indented.
fn ifconfig(answer: &str) -> Result<Vec<Described>> {
    let mut found: Vec<Described> = Vec::new();
    for line in answer.lines() {
        let wrong = || unreadable(freebsd::ifconfig::TOOL, line);
        if let Some(told) = line.strip_prefix(['\t', ' ']) {
            let at = found.last_mut().ok_or_else(wrong)?;
            if let Some(text) = told.strip_prefix("description: ") {
                text.clone_into(&mut at.text);
            }
            at.open |= told.starts_with("Opened by PID ");
        } else {
            let (name, _) = line.split_once(": flags=").ok_or_else(wrong)?;
            found.push(Described { name: name.to_owned(), ..Described::default() });
        }
    }
    Ok(found)
}

#[derive(Deserialize)]
struct Link {
    ifname: String,
    ifalias: Option<String>,
    #[serde(default)]
    flags: Vec<String>,
}

/// A tap that no process has open has no carrier.
fn ip(answer: &str) -> Result<Vec<Described>> {
    let links: Vec<Link> =
        json::from_str(answer).map_err(|e| unreadable(linux::ip::TOOL, answer.lines().next().unwrap_or_default()).because(e))?;
    let described = |link: Link| Described {
        name: link.ifname,
        text: link.ifalias.unwrap_or_default(),
        open: link.flags.iter().any(|f| f == "LOWER_UP"),
    };
    Ok(links.into_iter().map(described).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "e7402fa1-6791-5e38-a6ba-6fb88037d7ef";

    #[test]
    fn only_our_own_token_to_the_letter_is_ours() {
        let guest: Uuid = UUID.parse().unwrap();
        assert_eq!(owner(&token(guest, 3)), Some(guest));
        for other in [
            format!("chyves/{UUID}/net"),
            format!("chyves/{UUID}/net03"),
            format!("chyves/{UUID}/net3 "),
            format!("xchyves/{UUID}/net3"),
            format!("chyves/{}/net3", UUID.to_uppercase()),
            format!("chyves/{}/net3", UUID.replace('-', "")),
            "chyves/web1/0/lan".to_owned(),
            String::new(),
        ] {
            assert_eq!(owner(&other), None, "{other}");
        }
    }

    #[test]
    fn both_systems_show_it() {
        let told = format!(
            "em0: flags=8863<UP> metric 0 mtu 1500\n\tdescription: uplink\n\tether 58:9c:fc:10:22:33\n\
             chv1: flags=1008943<UP,LOWER_UP> metric 0 mtu 1500\n\tdescription: chyves/{UUID}/net0\n\tgroups: tap chyves\n\
             bridge0: flags=8843<UP> metric 0 mtu 1500\n\tmember: chv1 flags=143<LEARNING>\n\t        ifmaxaddr 0 port 4\n"
        );
        let found = read(Os::FreeBsd, &told).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].tap.as_str(), found[0].guest.to_string().as_str()), ("chv1", UUID));
        let told = format!(r#"[{{"ifname":"lo"}},{{"ifname":"chv1","ifalias":"chyves/{UUID}/net0"}},{{"ifname":"x","ifalias":"mine"}}]"#);
        assert_eq!(read(Os::Linux, &told).unwrap(), found);
        let used = format!("chv1: flags=8943<UP> metric 0 mtu 1500\n\tdescription: chyves/{UUID}/net0\n\tOpened by PID 4711\n");
        assert!(read(Os::FreeBsd, &used).unwrap()[0].open && !found[0].open);
        let used = format!(r#"[{{"ifname":"chv1","flags":["BROADCAST","UP","LOWER_UP"],"ifalias":"chyves/{UUID}/net0"}}]"#);
        assert!(read(Os::Linux, &used).unwrap()[0].open);
        assert!(read(Os::FreeBsd, "ifconfig: what?\n").is_err());
        assert!(read(Os::FreeBsd, "\tdescription: x\n").is_err());
        assert!(read(Os::Linux, "1: lo: <LOOPBACK>").is_err());
    }
}
