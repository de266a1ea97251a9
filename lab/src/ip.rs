//! iproute2, by which the lab's network is real: interfaces are read from `ip -j`, and changed by `ip`.
//! Not its job: what FreeBSD calls these things; see `tool/ifconfig`.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::exit::{Done, Or, broken};

/// An interface as Linux has it.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) index: u64,
    /// `UP`, `LOWER_UP`, `BROADCAST`, …
    pub(crate) flags: Vec<String>,
    pub(crate) mtu: u64,
    pub(crate) mac: String,
    /// `bridge`, `tun`, `veth`, `vlan`, …; empty for a real card.
    pub(crate) kind: String,
    /// The bridge that it is a member of.
    pub(crate) master: Option<String>,
    pub(crate) promiscuous: bool,
    /// Does the bridge keep it from other such members?
    pub(crate) isolated: bool,
    /// (family, address, prefix length, broadcast)
    pub(crate) addresses: Vec<(String, String, u64, Option<String>)>,
}

impl Link {
    /// Is a flag set?
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|known| known == flag)
    }

    fn read(value: &Value) -> Link {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let list = |key: &str| value[key].as_array().cloned().unwrap_or_default();
        let address = |each: &Value| {
            let text = |key: &str| each[key].as_str().map(str::to_owned);
            let prefix = each["prefixlen"].as_u64().unwrap_or_default();
            (text("family").unwrap_or_default(), text("local").unwrap_or_default(), prefix, text("broadcast"))
        };
        Link {
            name: text("ifname"),
            index: value["ifindex"].as_u64().unwrap_or_default(),
            flags: list("flags").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            mtu: value["mtu"].as_u64().unwrap_or_default(),
            mac: text("address"),
            kind: value["linkinfo"]["info_kind"].as_str().unwrap_or_default().to_owned(),
            master: value["master"].as_str().map(str::to_owned),
            promiscuous: value["promiscuity"].as_u64().unwrap_or_default() > 0,
            isolated: value["linkinfo"]["info_slave_data"]["isolated"].as_bool().unwrap_or_default(),
            addresses: list("addr_info").iter().map(address).collect(),
        }
    }
}

/// All interfaces, in the order of their making.
pub(crate) fn links() -> Done<Vec<Link>> {
    let output = Command::new("ip").args(["-j", "-d", "addr", "show"]).stdin(Stdio::null()).output().or_broken("ip")?;
    if !output.status.success() {
        return Err(broken(format_args!("ip addr show: {}", String::from_utf8_lossy(&output.stderr))));
    }
    let value: Value = serde_json::from_slice(&output.stdout).or_broken("what `ip -j` printed")?;
    Ok(value.as_array().into_iter().flatten().map(Link::read).collect())
}

/// Runs `ip` with these words.
pub(crate) fn run(words: &[&str]) -> Done {
    match attempt("ip", words)? {
        Ok(_) => Ok(()),
        Err(error) => Err(broken(format_args!("ip {}: {error}", words.join(" ")))),
    }
}

/// Runs `ip` or `bridge`, and gives what it complained of.
pub(crate) fn attempt(program: &str, words: &[&str]) -> Done<Result<String, String>>
where
{
    let output = Command::new(program).args(words).stdin(Stdio::null()).output().or_broken(program)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    Ok(if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) })
}
