//! ip(8) of iproute2 4.13 on (the first with `-j`): which interfaces exist and which of them are bridges.
//!
//! Not here: creating and joining interfaces (the intents of `os`).

use crate::cmd::Cmd;
use crate::error::Result;
use crate::os::state::{InterfaceKind, unreadable};
use crate::value::json;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The program's name.
pub const TOOL: &str = "ip";

/// The command.
pub fn command() -> Cmd {
    Cmd::new(TOOL, ["-j", "-d", "link", "show"])
}

#[derive(Deserialize)]
struct Link {
    ifname: String,
    linkinfo: Option<LinkInfo>,
}

#[derive(Deserialize)]
struct LinkInfo {
    info_kind: Option<String>,
}

/// Parses the output, a list of objects.
///
/// # Errors
/// It is not such a list.
pub fn parse(text: &str) -> Result<BTreeMap<String, InterfaceKind>> {
    let links: Vec<Link> = json::from_str(text).map_err(|e| unreadable(TOOL, text.lines().next().unwrap_or_default()).because(e))?;
    let kind = |link: &Link| match link.linkinfo.as_ref().and_then(|info| info.info_kind.as_deref()) {
        Some("bridge") => InterfaceKind::Bridge,
        Some(_) | None => InterfaceKind::Other,
    };
    Ok(links.iter().map(|link| (link.ifname.clone(), kind(link))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bridges_are_told_by_their_kind() {
        let text = r#"[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK"],"mtu":65536},
            {"ifindex":3,"ifname":"lan","mtu":1500,"linkinfo":{"info_kind":"bridge","info_data":{"stp_state":0}}},
            {"ifindex":4,"ifname":"tap0","linkinfo":{"info_kind":"tun","info_slave_kind":"bridge"}}]"#;
        let found: Vec<_> = parse(text).unwrap().into_iter().filter(|(_, kind)| *kind == InterfaceKind::Bridge).collect();
        assert_eq!(found, [("lan".to_owned(), InterfaceKind::Bridge)]);
        assert!(parse("[]").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_list_is_an_error_that_names_the_tool() {
        for bad in ["", "1: lo: <LOOPBACK>", "{}", r#"[{"ifindex":1}]"#] {
            assert!(parse(bad).unwrap_err().message.contains("`ip`"), "{bad}");
        }
    }
}
