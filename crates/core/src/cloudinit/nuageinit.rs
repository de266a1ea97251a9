//! A seed for nuageinit, which FreeBSD's official cloud images run at their first boot.
//!
//! The two known versions, of 2022 and 2025, read one `#cloud-config` whose first line is exactly that, and no MIME. Both
//! support the keys `hostname`, `users` and `network`; the older one does not read network-config, so the network
//! configuration is part of user-data. If an interface uses DHCP, both ignore all its other settings. Only the newer one
//! supports the keys `chpasswd`, `write_files`, `runcmd` and name servers. Interfaces with default settings are left out:
//! the image's rc.conf enables DHCP and router advertisements for each interface without its own line.

use super::documents::{Documents, Parts, meta_data, own_cloud_config};
use super::format::Format;
use super::yaml::{self, Node};
use super::{Nic, Seed, Sources, Text};
use crate::error::{Problem, Result};
use crate::value::NicAddress;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::net::IpAddr;

/// The image's default user.
const USER: &str = "freebsd";
/// The path of the user's own script, which runs at the end of the boot.
const SCRIPT: &str = "/var/db/chyves-user-data";
const RESOLVCONF: &str = "/etc/resolvconf.conf";

/// Checks that nuageinit supports all settings of the seed.
///
/// # Errors
/// The first unsupported setting, with an alternative.
pub(super) fn check(seed: &Seed) -> Result<()> {
    let mut routers: [Option<u16>; 2] = [None, None];
    for nic in &seed.nics {
        let refuse = |what: String, instead: String| {
            Err(Problem::usage(format!("nuageinit cannot configure {what} on net{}", nic.number))
                .on(format!("net{}", nic.number))
                .because(
                    "the guest's seed is read by nuageinit, FreeBSD's own, which knows a part of cloud-init's keys (property ci.reader)",
                )
                .hint(instead))
        };
        let key = |part: &str| format!("ci.net{}.{part}", nic.number);
        let is_fixed = |address| matches!(address, NicAddress::Fixed(..));
        if nic.v6 == NicAddress::Dhcp {
            return refuse("DHCPv6".into(), format!("set {} to auto, none or an address", key("address6")));
        }
        if nic.v4 == NicAddress::Dhcp && is_fixed(nic.v6) {
            return refuse(
                "a fixed IPv6 address beside DHCP".into(),
                format!("set {} to an address or to none, or {} to auto", key("address"), key("address6")),
            );
        }
        if nic.v4 != NicAddress::Dhcp && nic.v6 == NicAddress::Auto {
            return refuse("router advertisements without DHCP".into(), format!("set {} to an address or to none", key("address6")));
        }
        if nic.v4 == NicAddress::None && nic.v6 == NicAddress::None {
            return refuse("no address at all".into(), format!("set {} or {}, or remove the interface", key("address"), key("address6")));
        }
        for (family, own, gateway, part) in [(0, nic.v4, nic.gateway, "gateway"), (1, nic.v6, nic.gateway6, "gateway6")] {
            let Some(gateway) = gateway else { continue };
            if matches!(gateway, IpAddr::V6(a) if a.is_unicast_link_local()) {
                return refuse(
                    format!("the link-local router {gateway}"),
                    format!("set {} to the router's address in the interface's own network", key(part)),
                );
            }
            if !own.reaches(gateway) {
                return refuse(
                    format!("a router outside of the interface's network, {gateway}"),
                    format!("set {} to an address in that network, or use an image with cloud-init and ci.reader=cloud-init", key(part)),
                );
            }
            if let Some(first) = routers[family].replace(nic.number) {
                return refuse(format!("a second default router, beside the one on net{first},"), format!("unset {}", key(part)));
            }
        }
    }
    Ok(())
}

/// Generates the texts.
///
/// # Errors
/// nuageinit would not read one of the user's own texts.
pub(super) fn documents(seed: &Seed, sources: &Sources, parts: &Parts<'_>) -> Result<Documents> {
    let vendor = sources.vendor_data.as_deref().map(|text| own(Text::VendorData, text)).transpose()?.unwrap_or_default();
    let own = sources.user_data.as_deref().map(|text| own(Text::UserData, text)).transpose()?.unwrap_or_default();
    let mut all = vendor.config;
    for (key, value) in ours(seed, parts).pairs().unwrap_or_default() {
        merge(&mut all, key.as_text().unwrap_or_default(), value.clone());
    }
    // The user's own user-data takes precedence, as with cloud-init; `default` in its list of users stands for the user in
    // the settings.
    let keys = own.config.get("ssh_authorized_keys").or(all.get("ssh_authorized_keys")).cloned();
    for (key, value) in own.config.pairs().unwrap_or_default() {
        merge(&mut all, key.as_text().unwrap_or_default(), value.clone());
    }
    all.remove("ssh_authorized_keys");
    users(&mut all, seed, keys.or_else(|| key_list(parts)), parts.password);
    let scripts: Vec<&String> = vendor.script.iter().chain(&own.script).collect();
    if let Some(text) = &sources.network_config {
        all.set("network", own_network(text)?);
    }
    if let ([script], true) = (scripts.as_slice(), all == Node::map([("hostname", Node::text(&seed.hostname))])) {
        // Both versions run a script that is all of user-data, and meta-data has the host name too.
        return Ok(Documents { meta_data: meta_data(seed), user_data: (*script).clone(), network_config: None, vendor_data: None });
    }
    for script in scripts {
        run_script(&mut all, script);
    }
    let user_data = format!("#cloud-config\n{}", all.render());
    Ok(Documents { meta_data: meta_data(seed), user_data, network_config: None, vendor_data: None })
}

/// Checks that nuageinit supports a text.
pub(super) fn check_text(text: Text, content: &str) -> Result<()> {
    match text {
        Text::UserData | Text::VendorData => own(text, content).map(drop),
        Text::NetworkConfig => own_network(content).map(drop),
        Text::AuthorizedKeys => Ok(()),
    }
}

/// Whether the seed has an own script inside of its `#cloud-config`, where only the newer version runs it.
pub(super) fn buries_script(seed: &Seed, sources: &Sources) -> Result<bool> {
    let parts = Parts { keys: seed.keys.clone(), password: None, decoded: false };
    let is_script = |text: &Option<String>| text.as_deref().and_then(Format::of) == Some(Format::Script);
    let has_script = is_script(&sources.user_data) || is_script(&sources.vendor_data);
    let has_keys = sources.authorized_keys.is_some();
    Ok(has_script && (has_keys || Format::of(&documents(seed, sources, &parts)?.user_data) != Some(Format::Script)))
}

/// One of the user's own texts: keys and values, or a script.
struct Own {
    config: Node,
    script: Option<String>,
}

impl Default for Own {
    fn default() -> Self {
        Self { config: Node::map([]), script: None }
    }
}

fn own(text: Text, content: &str) -> Result<Own> {
    match Format::of(content) {
        Some(Format::CloudConfig) => Ok(Own { config: own_cloud_config(text, content)?, script: None }),
        Some(Format::Script) => Ok(Own { script: Some(super::format::content(content).to_owned()), ..Own::default() }),
        other => Err(Problem::usage(format!("nuageinit does not read {}", other.map_or("such a text", Format::word)))
            .on(text.file())
            .because("the guest's seed is read by nuageinit, FreeBSD's own, which takes #cloud-config and scripts (property ci.reader)")
            .hint("give a #cloud-config or a script, or use an image with cloud-init and ci.reader=cloud-init")),
    }
}

/// The configuration from the settings, without the user.
fn ours(seed: &Seed, parts: &Parts<'_>) -> Node {
    // The older version fails on an empty document.
    let mut all = Node::map([("hostname", Node::text(&seed.hostname))]);
    if let (Some(user), Some(hash)) = (&seed.user, parts.password) {
        // `users` does not change a user that exists in the image.
        let entry = Node::map([("name", Node::text(user)), ("password", Node::text(hash)), ("type", Node::plain("hash"))]);
        all.set("chpasswd", Node::map([("expire", Node::plain("false")), ("users", Node::list([entry]))]));
    }
    let said: Vec<&Nic> = seed.nics.iter().filter(|nic| needs_words(nic)).collect();
    let mut resolver = Some(nameservers(seed)).filter(|node| node.pairs().is_some_and(|pairs| !pairs.is_empty()));
    if !said.is_empty() {
        let mut ethernets = Node::map([]);
        for nic in said {
            ethernets.set(&format!("net{}", nic.number), ethernet(nic, &mut resolver));
        }
        all.set("network", Node::map([("version", Node::plain(2)), ("ethernets", ethernets)]));
    }
    if resolver.is_some() {
        // With DHCP it ignores name servers: resolvconf(8) adds these to those of the lease.
        all.set("write_files", Node::list([file(RESOLVCONF, &resolvconf(seed), "0644")]));
    }
    all
}

fn needs_words(nic: &Nic) -> bool {
    (nic.v4, nic.v6) != (NicAddress::Dhcp, NicAddress::Auto)
}

fn ethernet(nic: &Nic, resolver: &mut Option<Node>) -> Node {
    // It compares the address with the system's output, which is in lower case.
    let mac = nic.mac.to_string().to_ascii_lowercase();
    let mut node = Node::map([("match", Node::map([("macaddress", Node::text(mac))]))]);
    if nic.v4 == NicAddress::Dhcp {
        node.set("dhcp4", Node::plain("true"));
        return node;
    }
    if let Some(mtu) = nic.mtu {
        node.set("mtu", Node::plain(mtu));
    }
    let fixed = [nic.v4, nic.v6].into_iter().filter(|a| matches!(a, NicAddress::Fixed(..)));
    node.set("addresses", Node::list(fixed.map(Node::text)));
    for (key, gateway) in [("gateway4", nic.gateway), ("gateway6", nic.gateway6)] {
        if let Some(gateway) = gateway {
            node.set(key, Node::text(gateway));
        }
    }
    if let Some(servers) = resolver.take() {
        node.set("nameservers", servers);
    }
    node
}

fn nameservers(seed: &Seed) -> Node {
    let mut node = Node::map([]);
    if !seed.search.is_empty() {
        node.set("search", Node::list(seed.search.iter().map(Node::text)));
    }
    if !seed.dns.is_empty() {
        node.set("addresses", Node::list(seed.dns.iter().map(Node::text)));
    }
    node
}

fn resolvconf(seed: &Seed) -> String {
    let line = |key: &str, items: Vec<String>| if items.is_empty() { String::new() } else { format!("{key}=\"{}\"\n", items.join(" ")) };
    line("search_domains", seed.search.iter().map(ToString::to_string).collect())
        + &line("name_servers", seed.dns.iter().map(ToString::to_string).collect())
}

fn file(path: &str, content: &str, mode: &str) -> Node {
    Node::map([("path", Node::text(path)), ("permissions", Node::text(mode)), ("content", Node::text(content))])
}

fn run_script(all: &mut Node, script: &str) {
    let file = Node::map([
        ("path", Node::text(SCRIPT)),
        ("permissions", Node::text("0700")),
        ("encoding", Node::text("base64")),
        ("content", Node::text(STANDARD.encode(script))),
    ]);
    merge(all, "write_files", Node::list([file]));
    merge(all, "runcmd", Node::list([Node::text(SCRIPT)]));
}

/// Sets the value of a key; lists of actions are appended.
fn merge(all: &mut Node, key: &str, value: Node) {
    let joined = match (key, all.get(key).and_then(Node::items), value.items()) {
        ("write_files" | "runcmd", Some(there), Some(more)) => Node::list(there.iter().chain(more).cloned()),
        _ => value,
    };
    all.set(key, joined);
}

fn key_list(parts: &Parts<'_>) -> Option<Node> {
    (!parts.keys.is_empty()).then(|| Node::list(parts.keys.iter().map(Node::text)))
}

/// Merges the user in the settings with those in the user's own text.
///
/// By default, nuageinit creates the user `freebsd` with the password `freebsd`, and the image allows password logins: if a
/// key or a user is set, that user is created without a password.
fn users(all: &mut Node, seed: &Seed, keys: Option<Node>, password: Option<&str>) {
    if seed.user.is_none() && keys.is_none() {
        return;
    }
    let name = seed.user.as_ref().map_or_else(|| USER.to_owned(), ToString::to_string);
    let gecos = if name == USER { "FreeBSD User".to_owned() } else { format!("{name} User") };
    let mut entry = Node::map([
        ("name", Node::text(name)),
        ("gecos", Node::text(gecos)),
        ("groups", Node::text("wheel")),
        ("shell", Node::text("/bin/sh")),
    ]);
    if let Some(hash) = password {
        entry.set("passwd", Node::text(hash));
    }
    if let Some(keys) = keys {
        entry.set("ssh_authorized_keys", keys);
    }
    let users = match all.get("users").and_then(Node::items) {
        None => Node::list([entry]),
        // As with cloud-init, a list of users without `default` is complete.
        Some(listed) => Node::list(listed.iter().map(|user| if user.as_text() == Some("default") { entry.clone() } else { user.clone() })),
    };
    all.set("users", users);
}

/// The user's own network configuration, as a part of user-data.
fn own_network(content: &str) -> Result<Node> {
    let refuse = |cause: String| {
        Err(Problem::usage("nuageinit does not read this network configuration")
            .on(Text::NetworkConfig.file())
            .because(cause)
            .hint("write version 2 with ethernets, their match by macaddress, addresses, gateway4 and gateway6"))
    };
    let node = match yaml::parse(content) {
        Ok(Some(node)) => node,
        Ok(None) => return refuse("it is empty".into()),
        Err(bad) => return refuse(bad.to_string()),
    };
    let node = node.get("network").cloned().unwrap_or(node);
    let Some(interfaces) = node.get("ethernets").and_then(Node::pairs) else { return refuse("it has no mapping `ethernets`".into()) };
    if let Some((name, _)) = interfaces.iter().find(|(_, interface)| interface.get("routes").is_some()) {
        return refuse(format!("nuageinit ignores the `routes` of {}", name.as_text().unwrap_or_default()));
    }
    Ok(node)
}

#[cfg(test)]
mod tests {
    use super::super::documents::{check, documents, shown};
    use super::super::nuageinit_model::{Guest, Version, boot};
    use super::*;
    use crate::cloudinit::reader::Reader;
    use crate::cloudinit::testing::{self, KEY};

    const MACS: [&str; 2] = ["58:9c:fc:00:00:01", "58:9c:fc:00:00:02"];
    const BOTH: [Version; 2] = [Version::Of2022, Version::Of2025];

    fn seed() -> Seed {
        let mut seed = Seed { reader: Reader::Nuageinit, ..testing::seed() };
        let second = Nic { number: 1, mac: MACS[1].parse().unwrap(), ..seed.nics[0].clone() };
        seed.nics.push(second);
        seed
    }

    fn own(text: &str) -> Sources {
        Sources { user_data: Some(text.into()), ..Sources::default() }
    }

    fn booted(version: Version, seed: &Seed, sources: &Sources) -> Guest {
        check(seed).unwrap();
        let guest = boot(version, &documents(seed, sources).unwrap(), &MACS);
        assert_eq!(guest.failed, None);
        assert_eq!(guest.hostname.as_deref(), Some("db01"));
        guest
    }

    fn rc(guest: &Guest) -> Vec<String> {
        guest.rc.iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    #[test]
    fn both_versions_get_user_password_keys_addresses_and_router() {
        let mut seed = Seed { user: Some("ann".parse().unwrap()), password_file: Some("hash".into()), ..seed() };
        seed.dns = vec!["192.0.2.53".parse().unwrap()];
        seed.search = vec!["example.org".parse().unwrap()];
        seed.nics[0].v4 = "192.0.2.10/24".parse().unwrap();
        seed.nics[0].v6 = "2001:db8::10/64".parse().unwrap();
        seed.nics[0].gateway = Some("192.0.2.1".parse().unwrap());
        seed.nics[0].gateway6 = Some("2001:db8::1".parse().unwrap());
        seed.nics[0].mtu = Some(9000);
        let sources = Sources { password: Some("$6$salt$hash\n".into()), ..Sources::default() };
        for version in BOTH {
            let guest = booted(version, &seed, &sources);
            let mtu = if version == Version::Of2025 { " mtu 9000" } else { "" };
            assert_eq!(
                rc(&guest),
                [
                    "defaultrouter=192.0.2.1".to_owned(),
                    format!("ifconfig_vtnet0=inet 192.0.2.10/24{mtu}"),
                    format!("ifconfig_vtnet0_ipv6=inet6 2001:db8::10/64{mtu}"),
                    "ipv6_defaultrouter=2001:db8::1".to_owned()
                ]
            );
            assert_eq!(guest.users.keys().collect::<Vec<_>>(), ["ann"], "no user with a password that all know");
            let ann = &guest.users["ann"];
            assert_eq!(
                (ann.password.as_deref(), ann.groups.as_str(), ann.keys.as_slice()),
                (Some("$6$salt$hash"), "wheel", &[KEY.to_owned()][..])
            );
        }
        assert_eq!(booted(Version::Of2025, &seed, &sources).resolvconf, "example.org / 192.0.2.53");
        insta::assert_snapshot!(documents(&seed, &sources).unwrap().user_data);
        assert!(!shown(&seed, &sources, true).unwrap().user_data.contains("$6$"));
        assert_eq!(documents(&seed, &sources).unwrap().network_config, None);
    }

    #[test]
    fn a_key_alone_locks_the_known_password_and_dhcp_needs_no_words() {
        for version in BOTH {
            let guest = booted(version, &seed(), &Sources::default());
            assert_eq!(guest.users["freebsd"].password, None);
            assert_eq!(guest.users["freebsd"].keys, [KEY]);
            assert!(guest.rc.is_empty(), "the image's own defaults hold: DHCP and router advertisements");
            let bare = Seed { keys: Vec::new(), ..seed() };
            assert_eq!(booted(version, &bare, &Sources::default()).users["freebsd"].password.as_deref(), Some("freebsd"));
        }
        let mut quiet = Seed { dns: vec!["192.0.2.53".parse().unwrap()], ..seed() };
        quiet.nics[1].v6 = NicAddress::None;
        quiet.nics[1].mtu = Some(9000);
        let guest = booted(Version::Of2025, &quiet, &Sources::default());
        assert_eq!(rc(&guest), ["ifconfig_vtnet1=DHCP"]);
        assert_eq!(guest.files[RESOLVCONF], "name_servers=\"192.0.2.53\"\n");
    }

    #[test]
    fn own_user_data_is_merged_and_wins() {
        let text =
            "\n#cloud-config  \npackages: [nginx]\nusers:\n  - default\n  - name: bob\nssh_authorized_keys: [other]\nruncmd: [date]\n";
        for version in BOTH {
            let guest = booted(version, &seed(), &own(text));
            assert_eq!(guest.users.keys().collect::<Vec<_>>(), ["bob", "freebsd"]);
            assert_eq!(
                (guest.users["freebsd"].password.clone(), guest.users["freebsd"].keys.as_slice()),
                (None, &["other".to_owned()][..])
            );
        }
        let user_data = documents(&seed(), &own(text)).unwrap().user_data;
        assert!(user_data.starts_with("#cloud-config\n") && user_data.contains("packages:\n  - nginx\n"), "{user_data}");
        let alone = booted(Version::Of2025, &seed(), &own("#cloud-config\nusers: [{name: bob}]\n"));
        assert_eq!(alone.users.keys().collect::<Vec<_>>(), ["bob"], "as with cloud-init, a list without default is all of them");
        let vendor = Sources { vendor_data: Some("#cloud-config\npackages: [vim]\nruncmd: [first]\n".into()), ..own(text) };
        let merged = documents(&seed(), &vendor).unwrap().user_data;
        assert!(merged.contains("nginx") && !merged.contains("vim"), "{merged}");
        assert_eq!(booted(Version::Of2025, &seed(), &vendor).commands, ["first", "date"]);
    }

    #[test]
    fn an_own_script_that_is_all_there_is_to_do_is_run_by_both_versions() {
        let script = "#!/bin/sh\necho ü\n";
        let bare = Seed { keys: Vec::new(), ..seed() };
        let vendor = Sources { vendor_data: Some(script.into()), ..Sources::default() };
        for (version, sources) in BOTH.into_iter().flat_map(|version| [(version, own(&format!("\n{script}"))), (version, vendor.clone())]) {
            let guest = booted(version, &bare, &sources);
            assert_eq!(guest.commands, [script], "{version:?}");
            assert!(!buries_script(&bare, &sources).unwrap());
        }
        // A user, an address, name servers, two scripts: one #cloud-config for all, which the older version runs no script of.
        let fixed = |seed: &mut Seed| (seed.nics[0].v4, seed.nics[0].v6) = ("192.0.2.10/24".parse().unwrap(), NicAddress::None);
        let changes: [&dyn Fn(&mut Seed); 3] =
            [&|s| s.user = Some("ann".parse().unwrap()), &fixed, &|s| s.dns = vec!["192.0.2.53".parse().unwrap()]];
        for change in changes {
            let mut seed = bare.clone();
            change(&mut seed);
            assert!(buries_script(&seed, &own(script)).unwrap());
            assert!(booted(Version::Of2022, &seed, &own(script)).commands.is_empty());
            assert_eq!(booted(Version::Of2025, &seed, &own(script)).commands, [SCRIPT]);
        }
        assert!(buries_script(&bare, &Sources { vendor_data: Some(script.into()), ..own(script) }).unwrap());
        assert!(!buries_script(&seed(), &own("#cloud-config\npackages: [vim]\n")).unwrap());
    }

    #[test]
    fn an_own_script_runs_beside_what_the_settings_say() {
        let script = "#!/bin/sh\necho ü\n";
        let guest = booted(Version::Of2025, &seed(), &own(&format!("\n{script}")));
        assert_eq!(guest.files[SCRIPT], script);
        assert_eq!(guest.commands, [SCRIPT]);
        assert_eq!(guest.users["freebsd"].keys, [KEY]);
    }

    #[test]
    fn an_own_network_configuration_reaches_both_versions() {
        let text = "network:\n  version: 2\n  ethernets:\n    a:\n      match: {macaddress: \"58:9c:fc:00:00:02\"}\n      addresses: [198.51.100.7/24]\n      gateway4: 198.51.100.1\n";
        let sources = Sources { network_config: Some(text.into()), ..Sources::default() };
        for version in BOTH {
            assert_eq!(rc(&booted(version, &seed(), &sources)), ["defaultrouter=198.51.100.1", "ifconfig_vtnet1=inet 198.51.100.7/24"]);
        }
        for (bad, why) in [("version: 1\nconfig: []\n", "ethernets"), ("a: [\n", "line"), ("ethernets: {a: {routes: []}}\n", "routes")] {
            let problem = check_text(Text::NetworkConfig, bad).unwrap_err();
            assert!(problem.causes.join(" ").contains(why), "{problem:?}");
        }
    }

    #[test]
    fn what_cannot_be_said_is_refused_with_what_can() {
        let why = |change: &dyn Fn(&mut Seed)| {
            let mut seed = seed();
            change(&mut seed);
            let problem = check(&seed).unwrap_err();
            assert!(!problem.hints.is_empty());
            problem.message
        };
        let fixed = "192.0.2.10/24".parse::<NicAddress>().unwrap();
        let fixed6 = "2001:db8::10/64".parse::<NicAddress>().unwrap();
        assert!(why(&|s| s.nics[0].v6 = NicAddress::Dhcp).contains("DHCPv6"));
        assert!(why(&|s| s.nics[0].v6 = fixed6).contains("beside DHCP"));
        assert!(why(&|s| s.nics[0].v4 = fixed).contains("router advertisements"));
        assert!(why(&|s| (s.nics[0].v4, s.nics[0].v6) = (NicAddress::None, NicAddress::None)).contains("no address"));
        let routed = |s: &mut Seed, n: usize, gateway: &str| {
            (s.nics[n].v4, s.nics[n].v6, s.nics[n].gateway) = (fixed, NicAddress::None, Some(gateway.parse().unwrap()));
        };
        assert!(why(&|s| routed(s, 0, "198.51.100.1")).contains("outside"));
        assert!(why(&|s| (routed(s, 0, "192.0.2.1"), routed(s, 1, "192.0.2.1")).1).contains("second default router"));
        assert!(
            why(&|s| {
                (s.nics[0].v4, s.nics[0].v6) = (NicAddress::None, fixed6);
                s.nics[0].gateway6 = Some("fe80::1".parse().unwrap());
            })
            .contains("link-local")
        );
        for text in [
            "#include\nhttps://a.example\n",
            "## template: jinja\n#cloud-config\n",
            "MIME-Version: 1.0\n\n",
            "hello\n",
            "#cloud-config\n- a\n",
        ] {
            assert!(check_text(Text::UserData, text).is_err(), "{text}");
        }
    }
}
