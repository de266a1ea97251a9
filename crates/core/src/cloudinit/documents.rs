//! Renders a seed and its files as the texts of a NoCloud seed, for the program in the guest that reads them.
//!
//! This module contains the common parts, and the texts for cloud-init itself; [`super::nuageinit`] and
//! [`super::cloudbase`] handle the other readers. Every text in the YAML is quoted, so that no value of a setting can be
//! interpreted as another part of the document. Not here: the settings themselves ([`super::settings`]).

use super::format::{self, Format};
use super::mime::{self, Part};
use super::reader::Reader;
use super::yaml::{self, Node};
use super::{Nic, Seed, Sources, Text, cloudbase, iso9660, nuageinit};
use crate::error::{Problem, Result};
use crate::value::{NicAddress, PublicKey};
use std::fmt::Display;
use std::net::IpAddr;

/// The texts, named after the files that readers look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documents {
    /// The guest's identity.
    pub meta_data: String,
    /// The configuration.
    pub user_data: String,
    /// The network configuration; `None` if it is part of user-data.
    pub network_config: Option<String>,
    /// Lower-priority configuration: user-data takes precedence. Only present if the user supplied it.
    pub vendor_data: Option<String>,
}

impl Documents {
    /// Each text with its file name, sorted by name.
    pub fn each(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("meta-data", Some(self.meta_data.as_str())),
            ("network-config", self.network_config.as_deref()),
            ("user-data", Some(self.user_data.as_str())),
            ("vendor-data", self.vendor_data.as_deref()),
        ];
        all.into_iter().filter_map(|(name, text)| text.map(|text| (name, text))).collect()
    }

    /// The ISO image of the seed.
    pub fn image(&self) -> Vec<u8> {
        let files: Vec<(&str, &[u8])> = self.each().into_iter().map(|(name, text)| (name, text.as_bytes())).collect();
        iso9660::image(super::LABEL, &files)
    }
}

/// The validated input of the texts of every reader.
pub(super) struct Parts<'a> {
    /// All SSH keys, without duplicates.
    pub(super) keys: Vec<PublicKey>,
    /// The hash of the user's password.
    pub(super) password: Option<&'a str>,
    /// Whether parts of a MIME message are shown decoded for users.
    pub(super) decoded: bool,
}

/// The replacement for a secret in texts that are only shown.
const HIDDEN: &str = "(from the password file)";

/// Generates the texts.
///
/// # Errors
/// A file has invalid content, or the guest's reader does not support a text; the message names the file.
pub fn documents(seed: &Seed, sources: &Sources) -> Result<Documents> {
    let password = sources.password.as_deref().map(hash).transpose()?;
    rendered(seed, sources, password, false)
}

/// Generates the texts for display, with the secret replaced: as they are written, or with the parts decoded for users.
///
/// # Errors
/// As [`documents`].
pub fn shown(seed: &Seed, sources: &Sources, decoded: bool) -> Result<Documents> {
    documents(seed, sources)?;
    rendered(seed, sources, sources.password.as_ref().map(|_| HIDDEN), decoded)
}

fn rendered(seed: &Seed, sources: &Sources, password: Option<&str>, decoded: bool) -> Result<Documents> {
    let parts = Parts { keys: keys(seed, sources)?, password, decoded };
    match seed.reader {
        Reader::Nuageinit => nuageinit::documents(seed, sources, &parts),
        Reader::CloudbaseInit => cloudbase::documents(seed, sources, &parts),
        Reader::CloudInit => Ok(Documents {
            meta_data: meta_data(seed),
            user_data: user_data(seed, &parts, sources.user_data.as_deref()),
            network_config: Some(sources.network_config.clone().unwrap_or_else(|| network_config(seed, &EVERYWHERE6))),
            vendor_data: sources.vendor_data.as_deref().map(|text| format::content(text).to_owned()),
        }),
    }
}

/// Checks that the seed's reader supports all its settings.
///
/// # Errors
/// The first unsupported setting, with an alternative.
pub fn check(seed: &Seed) -> Result<()> {
    match seed.reader {
        Reader::CloudInit => Ok(()),
        Reader::Nuageinit => nuageinit::check(seed),
        Reader::CloudbaseInit => cloudbase::check(seed),
    }
}

/// Checks that a reader supports a non-empty text of the user.
///
/// # Errors
/// It does not read such a text.
pub fn check_text(reader: Reader, text: Text, content: &str) -> Result<()> {
    match reader {
        Reader::CloudInit if text != Text::UserData || Format::of(content) != Some(Format::WindowsScript) => Ok(()),
        Reader::CloudInit => Err(Problem::usage("cloud-init does not read a script of Windows")
            .on(text.file())
            .hint("set ci.reader=cloudbase-init, or os=windows, where the guest runs Windows")),
        Reader::Nuageinit => nuageinit::check_text(text, content),
        Reader::CloudbaseInit => cloudbase::check_text(text, content),
    }
}

/// What some version of the guest's reader ignores in a seed of these texts, and what to do; none if every version reads all.
pub fn remark(seed: &Seed, texts: &[(Text, String)]) -> Option<String> {
    let mut sources = Sources::default();
    for (text, content) in texts.iter().filter(|(_, content)| !content.is_empty()) {
        *sources.slot(*text) = Some(content.clone());
    }
    match seed.reader {
        Reader::CloudInit | Reader::CloudbaseInit => None,
        // A text that it does not read is refused elsewhere.
        Reader::Nuageinit => nuageinit::buries_script(seed, &sources).is_ok_and(|is| is).then(|| {
            "nuageinit runs the script in user-data or vendor-data from FreeBSD 14.3 on; an older one ignores it, because the seed also \
             has keys, a user or network settings. For an older image, let the script set these, and unset them here"
                .to_owned()
        }),
    }
}

/// Parses the user's own `#cloud-config` as a mapping.
///
/// # Errors
/// It has another format, is invalid, or is not a mapping.
pub(super) fn own_cloud_config(text: Text, content: &str) -> Result<Node> {
    let refuse =
        |cause: String| Err(Problem::usage(format!("the guest's own {} is no #cloud-config", text.file())).on(text.file()).because(cause));
    if Format::of(content) != Some(Format::CloudConfig) {
        return refuse("it does not begin with #cloud-config".into());
    }
    match yaml::parse(format::content(content)) {
        Ok(None) => Ok(Node::map([])),
        Ok(Some(node)) if node.pairs().is_some() => Ok(node),
        Ok(Some(_)) => refuse("it is not a mapping of keys to values".into()),
        Err(bad) => refuse(bad.to_string()),
    }
}

fn quoted(text: impl Display) -> String {
    yaml::quoted(&text.to_string())
}

pub(super) fn meta_data(seed: &Seed) -> String {
    format!("instance-id: {}\nlocal-hostname: {}\n", quoted(&seed.instance_id), quoted(&seed.hostname))
}

fn user_data(seed: &Seed, parts: &Parts<'_>, own: Option<&str>) -> String {
    let ours = own_data(seed, &parts.keys, parts.password);
    own.map_or_else(
        || ours.clone(),
        |own| mime::message(&[Part::new("chyves", &ours), Part::new("own", own)].map(|part| part.decoded(parts.decoded))),
    )
}

/// All SSH keys, without duplicates: those from settings first.
fn keys(seed: &Seed, sources: &Sources) -> Result<Vec<PublicKey>> {
    let mut keys = Vec::new();
    let more = sources.authorized_keys.as_deref().map(PublicKey::all).transpose().map_err(|bad| {
        Problem::usage("the guest's file of keys is wrong").on(Text::AuthorizedKeys.file()).because(&bad).hint_if(bad.hint.clone())
    })?;
    for key in seed.keys.iter().cloned().chain(more.unwrap_or_default()) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    Ok(keys)
}

/// The hash in a password file.
fn hash(text: &str) -> Result<&str> {
    let line = text.trim();
    let graphic = line.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    // `$id$salt$hash`: the present format of crypt(3).
    if graphic && line.starts_with('$') && line.matches('$').count() >= 3 && line.len() <= 512 {
        return Ok(line);
    }
    // The content is a secret and is not repeated.
    Err(Problem::usage("the password file holds no hash")
        .because("it holds one line as crypt(3) writes it, beginning with `$`")
        .hint("`openssl passwd -6` creates one: openssl passwd -6 >FILE; chmod 600 FILE"))
}

fn own_data(seed: &Seed, keys: &[PublicKey], password: Option<&str>) -> String {
    // Without an entry in /etc/hosts, a guest with a name that is unknown to DNS cannot resolve its own name, and sudo
    // prints a warning each time.
    let mut text = String::from("#cloud-config\nmanage_etc_hosts: localhost\n");
    if let Some(user) = &seed.user {
        // The image's default user under another name: it keeps the default shell, groups and rights.
        text.push_str(&format!("user:\n  name: {}\n", quoted(user)));
        if let Some(hash) = password {
            text.push_str(&format!("  passwd: {}\n  lock_passwd: false\n", quoted(hash)));
        }
    }
    if !keys.is_empty() {
        text.push_str("ssh_authorized_keys:\n");
        text.extend(keys.iter().map(|key| format!("  - {}\n", quoted(key))));
    }
    text
}

/// Network configuration of version 2. Interfaces are matched by MAC address, because their names depend on PCI addresses,
/// which cloud-init does not know. `everywhere6`: how the destination of the IPv6 default route is written.
pub(super) fn network_config(seed: &Seed, everywhere6: &[&str]) -> String {
    let mut text = String::from("version: 2\n");
    if seed.nics.is_empty() {
        return text + "ethernets: {}\n";
    }
    text.push_str("ethernets:\n");
    let mut resolver = Some((&seed.dns, &seed.search)).filter(|(dns, search)| !(dns.is_empty() && search.is_empty()));
    for nic in &seed.nics {
        text.push_str(&format!("  net{}:\n    match:\n      macaddress: {}\n", nic.number, quoted(nic.mac)));
        if let Some(mtu) = nic.mtu {
            text.push_str(&format!("    mtu: {mtu}\n"));
        }
        text.push_str(&format!("    dhcp4: {}\n", nic.v4 == NicAddress::Dhcp));
        text.push_str(&format!("    dhcp6: {}\n", nic.v6 == NicAddress::Dhcp));
        if nic.v6 == NicAddress::None {
            text.push_str("    accept-ra: false\n");
        }
        let fixed: Vec<NicAddress> = [nic.v4, nic.v6].into_iter().filter(|a| matches!(a, NicAddress::Fixed(..))).collect();
        if !fixed.is_empty() {
            text.push_str("    addresses:\n");
            text.extend(fixed.iter().map(|a| format!("      - {}\n", quoted(a))));
        }
        text.push_str(&routes(nic, everywhere6));
        if nic.v4 != NicAddress::None || nic.v6 != NicAddress::None {
            text.push_str(&resolver.take().map(|(dns, search)| nameservers(dns, search)).unwrap_or_default());
        }
    }
    text
}

/// The destinations of default routes. Older versions of cloud-init do not support `default`, and those that generate files
/// of another network system turn `::/0` into `::/64`; the two halves have the same effect.
const EVERYWHERE: [&str; 1] = ["0.0.0.0/0"];
const EVERYWHERE6: [&str; 2] = ["::/1", "8000::/1"];

/// The default routes. A router outside of the interface's own network is reachable on the link anyway.
fn routes(nic: &Nic, everywhere6: &[&str]) -> String {
    let mut text = String::new();
    for (own, gateway, all) in [(nic.v4, nic.gateway, &EVERYWHERE[..]), (nic.v6, nic.gateway6, everywhere6)] {
        let Some(gateway) = gateway else { continue };
        let link_local = matches!(gateway, IpAddr::V6(a) if a.is_unicast_link_local());
        let on_link = if own.reaches(gateway) || link_local { "" } else { "        on-link: true\n" };
        for to in all {
            text.push_str(&format!("      - to: {}\n        via: {}\n{on_link}", quoted(to), quoted(gateway)));
        }
    }
    if text.is_empty() { text } else { format!("    routes:\n{text}") }
}

fn nameservers(dns: &[IpAddr], search: &[impl Display]) -> String {
    let list = |key: &str, items: Vec<String>| {
        if items.is_empty() { String::new() } else { format!("      {key}: [{}]\n", items.join(", ")) }
    };
    format!(
        "    nameservers:\n{}{}",
        list("addresses", dns.iter().map(quoted).collect()),
        list("search", search.iter().map(quoted).collect())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::cloudinit::testing::{KEY, seed};

    fn text(documents: &Documents) -> String {
        documents.each().iter().map(|(name, text)| format!("== {name}\n{text}")).collect::<Vec<_>>().concat()
    }

    #[test]
    fn a_usual_seed() {
        insta::assert_snapshot!(text(&documents(&seed(), &Sources::default()).unwrap()));
    }

    #[test]
    fn a_seed_with_everything() {
        let mut seed = seed();
        seed.user = Some("ann".parse().unwrap());
        seed.dns = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        seed.search = vec!["example.org".parse().unwrap()];
        seed.nics[0].v4 = "192.0.2.10/24".parse().unwrap();
        seed.nics[0].v6 = "2001:db8::10/64".parse().unwrap();
        seed.nics[0].gateway = Some("192.0.2.1".parse().unwrap());
        seed.nics[0].gateway6 = Some("fe80::1".parse().unwrap());
        seed.nics[0].mtu = Some(9000);
        // A router outside of the NIC's network, as some hosting providers use it.
        let other = Nic {
            number: 1,
            v4: "198.51.100.7/32".parse().unwrap(),
            v6: NicAddress::None,
            gateway6: None,
            mtu: None,
            ..seed.nics[0].clone()
        };
        seed.nics.push(other);
        let sources = Sources {
            authorized_keys: Some(format!("{KEY}\n{KEY} again\n")),
            password: Some("$6$salt$hash\n".into()),
            user_data: Some("#cloud-config\npackages: [nginx]\n".into()),
            vendor_data: Some("#cloud-config\ntimezone: UTC\n".into()),
            network_config: None,
        };
        insta::assert_snapshot!(text(&documents(&seed, &sources).unwrap()));
        let shown = shown(&seed, &sources, true).unwrap();
        assert!(!shown.user_data.contains("$6$") && shown.user_data.contains(HIDDEN) && shown.user_data.contains("nginx"));
        let own = Sources { network_config: Some("version: 1\n".into()), ..sources };
        assert_eq!(documents(&seed, &own).unwrap().network_config.as_deref(), Some("version: 1\n"));
    }

    #[test]
    fn files_that_hold_something_else_are_named() {
        for bad in ["secret", "", "$6$salt", "$6$salt$hash\n$6$two$lines", "$6$a b$c", "$6$a:b$c"] {
            let problem = documents(&seed(), &Sources { password: Some(bad.into()), ..Sources::default() }).unwrap_err();
            assert!(bad.is_empty() || !format!("{problem:?}").contains(bad), "{bad} is repeated: {problem:?}");
        }
        let keys = Sources { authorized_keys: Some("nonsense".into()), ..Sources::default() };
        assert_eq!(documents(&seed(), &keys).unwrap_err().object.as_deref(), Some("authorized_keys"));
    }
}
