//! A model of nuageinit for tests: what its two known versions do with a seed, derived from their behaviour.
//!
//! Both run at the first boot. The version of 2022 reads meta-data and user-data; that of 2025 also network-config, and the
//! keys `chpasswd`, `write_files`, `runcmd` and `nameservers`. FreeBSD main later added MIME, which is in no release.

use super::documents::Documents;
use super::yaml::{self, Node};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    Of2022,
    Of2025,
}

/// A user of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct User {
    /// The password in master.passwd: a hash, a clear-text password, or one that allows no login.
    pub(super) password: Option<String>,
    pub(super) groups: String,
    pub(super) keys: Vec<String>,
}

/// The state of the guest after its first boot.
#[derive(Debug, Default)]
pub(super) struct Guest {
    pub(super) hostname: Option<String>,
    pub(super) users: BTreeMap<String, User>,
    /// Lines of rc.conf.d; an interface without one uses DHCP and router advertisements, as in the image's rc.conf.
    pub(super) rc: BTreeMap<String, String>,
    pub(super) resolvconf: String,
    pub(super) files: BTreeMap<String, String>,
    pub(super) commands: Vec<String>,
    /// The error that it ended with.
    pub(super) failed: Option<String>,
}

impl Guest {
    fn add(&mut self, name: &str, user: User) {
        // An existing user is not changed; keys are added.
        let there = self.users.entry(name.to_owned()).or_insert_with(|| User { keys: Vec::new(), ..user.clone() });
        there.keys.extend(user.keys);
    }

    fn add_default(&mut self) {
        self.add("freebsd", User { password: Some("freebsd".into()), groups: "wheel".into(), keys: Vec::new() });
    }
}

fn texts(node: Option<&Node>) -> Vec<String> {
    node.and_then(Node::items).unwrap_or_default().iter().filter_map(|n| n.as_text().map(str::to_owned)).collect()
}

/// The first boot of a guest with interfaces of these MAC addresses, named vtnet0 and so on.
pub(super) fn boot(version: Version, seed: &Documents, macs: &[&str]) -> Guest {
    let mut guest = Guest::default();
    let meta = yaml::parse(&seed.meta_data).unwrap().unwrap();
    guest.hostname = meta.get("local-hostname").or(meta.get("hostname")).and_then(Node::as_text).map(str::to_owned);
    let (first, rest) = seed.user_data.split_once('\n').unwrap_or((&seed.user_data, ""));
    if version == Version::Of2025 && (first.trim().is_empty() || rest.trim().is_empty()) {
        guest.add_default();
        return guest;
    }
    if first != "#cloud-config" {
        // Both versions run a script; anything else is ignored, and no user is created.
        if first.starts_with("#!") {
            guest.commands.push(seed.user_data.clone());
        }
        return guest;
    }
    let config = match yaml::parse(&seed.user_data) {
        Ok(Some(config)) => config,
        Ok(None) => {
            guest.failed = Some("nothing in user-data".into());
            return guest;
        }
        Err(bad) => {
            guest.failed = Some(bad.to_string());
            return guest;
        }
    };
    if let Some(name) = config.get("fqdn").or(config.get("hostname")).and_then(Node::as_text) {
        guest.hostname = Some(name.to_owned());
    }
    users(&mut guest, &config);
    let of_file = seed.network_config.as_deref().filter(|_| version == Version::Of2025).and_then(|text| yaml::parse(text).unwrap());
    if let Some(network) = of_file.as_ref().or(config.get("network")) {
        configure(&mut guest, version, network, macs);
    }
    if version == Version::Of2025 {
        files_and_commands(&mut guest, &config);
        for user in config.get("chpasswd").and_then(|c| c.get("users")).and_then(Node::items).unwrap_or_default() {
            let (Some(name), Some(password)) = (user.get("name").and_then(Node::as_text), user.get("password").and_then(Node::as_text))
            else {
                continue;
            };
            if let Some(there) = guest.users.get_mut(name) {
                there.password = Some(password.to_owned());
            }
        }
    }
    guest
}

fn users(guest: &mut Guest, config: &Node) {
    match config.get("users").and_then(Node::items) {
        None => guest.add_default(),
        Some(users) => {
            for user in users {
                if user.as_text() == Some("default") {
                    guest.add_default();
                } else if let Some(name) = user.as_text() {
                    guest.add(name, User::default());
                } else if let Some(name) = user.get("name").and_then(Node::as_text) {
                    let text = |key: &str| user.get(key).and_then(Node::as_text).map(str::to_owned);
                    let password = text("passwd").or_else(|| text("plain_text_passwd"));
                    let groups = text("groups").unwrap_or_else(|| texts(user.get("groups")).join(","));
                    guest.add(name, User { password, groups, keys: texts(user.get("ssh_authorized_keys")) });
                }
            }
        }
    }
    let keys = texts(config.get("ssh_authorized_keys"));
    if !keys.is_empty() {
        // The key at the top level is for its default user, whatever `users` contains.
        guest.add_default();
        guest.users.get_mut("freebsd").unwrap().keys.extend(keys);
    }
}

fn configure(guest: &mut Guest, version: Version, network: &Node, macs: &[&str]) {
    let mut routers = 0;
    for (_, interface) in network.get("ethernets").and_then(Node::pairs).expect("it ends with an error without") {
        let Some(mac) = interface.get("match").and_then(|m| m.get("macaddress")).and_then(Node::as_text) else { continue };
        let name = format!("vtnet{}", macs.iter().position(|there| *there == mac).expect("no interface has that address"));
        let text = |key: &str| interface.get(key).and_then(Node::as_text);
        if text("dhcp4") == Some("true") {
            assert!(text("mtu").is_none(), "the one of 2025 then writes a line that sh does not read");
            guest.rc.insert(format!("ifconfig_{name}"), "DHCP".into());
            continue;
        }
        let mtu = text("mtu").filter(|_| version == Version::Of2025).map(|mtu| format!(" mtu {mtu}")).unwrap_or_default();
        for address in texts(interface.get("addresses")) {
            let (key, family) =
                if address.contains(':') { (format!("ifconfig_{name}_ipv6"), "inet6") } else { (format!("ifconfig_{name}"), "inet") };
            guest.rc.insert(key, format!("{family} {address}{mtu}"));
        }
        for (key, rc) in [("gateway4", "defaultrouter"), ("gateway6", "ipv6_defaultrouter")] {
            if let Some(gateway) = text(key) {
                routers += 1;
                guest.rc.insert(rc.into(), gateway.into());
            }
        }
        if let (Version::Of2025, Some(servers)) = (version, interface.get("nameservers")) {
            guest.resolvconf = format!("{} / {}", texts(servers.get("search")).join(" "), texts(servers.get("addresses")).join(" "));
        }
    }
    assert!(routers <= 2, "the last of several wins, in no order");
}

fn files_and_commands(guest: &mut Guest, config: &Node) {
    for file in config.get("write_files").and_then(Node::items).unwrap_or_default() {
        let text = |key: &str| file.get(key).and_then(Node::as_text).unwrap_or_default().to_owned();
        let content = match text("encoding").as_str() {
            "" => text("content"),
            _ => String::from_utf8(STANDARD.decode(text("content")).unwrap()).unwrap(),
        };
        guest.files.insert(text("path"), content);
    }
    guest.commands.extend(texts(config.get("runcmd")));
}
