//! A seed for cloudbase-init, which runs in Windows images.
//!
//! It reads meta-data with public keys, network-config of version 2, and one `#cloud-config` or a MIME message. It supports
//! the cloud-config keys `users`, `write_files`, `runcmd`, `groups`, `ntp`, the time zone and the host name. It creates
//! users with a random password, and does not accept hashed passwords.

use super::documents::{Documents, Parts, meta_data, network_config, own_cloud_config};
use super::format::Format;
use super::mime::{self, Encoding, Part};
use super::yaml::Node;
use super::{Seed, Sources, Text};
use crate::error::{Problem, Result};
use crate::value::NicAddress;

/// The group of Windows administrators.
const GROUP: &str = "Administrators";
/// The destination of a default route: cloudbase-init identifies it by a prefix length of 0.
const EVERYWHERE6: [&str; 1] = ["::/0"];

/// Checks that cloudbase-init supports all settings of the seed.
///
/// # Errors
/// The first unsupported setting, with an alternative.
pub(super) fn check(seed: &Seed) -> Result<()> {
    let refuse = |what: String, on: String, instead: String| {
        Err(Problem::usage(format!("cloudbase-init cannot configure {what}"))
            .on(on)
            .because("the guest's seed is read by cloudbase-init, which knows a part of cloud-init's keys (property ci.reader)")
            .hint(instead))
    };
    if seed.password_file.is_some() {
        return refuse(
            "a hashed password".into(),
            "ci.password_file".into(),
            "unset ci.password_file: it makes the user with a random password; give own user-data with a password in `users`".into(),
        );
    }
    for nic in &seed.nics {
        if nic.v4 == NicAddress::None {
            return refuse(
                format!("an interface without IPv4, net{}", nic.number),
                format!("net{}", nic.number),
                format!("set ci.net{}.address to dhcp or to an address", nic.number),
            );
        }
    }
    let has_fixed = seed.nics.iter().any(|nic| [nic.v4, nic.v6].iter().any(|a| matches!(a, NicAddress::Fixed(..))));
    if !seed.dns.is_empty() && !has_fixed {
        return refuse("name servers beside DHCP".into(), "ci.dns".into(), "give an interface an address, or unset ci.dns0".into());
    }
    Ok(())
}

/// Generates the texts.
///
/// # Errors
/// cloudbase-init would not read one of the user's own texts.
pub(super) fn documents(seed: &Seed, sources: &Sources, parts: &Parts<'_>) -> Result<Documents> {
    let mut meta = meta_data(seed);
    let mut config = match &sources.vendor_data {
        Some(text) => own_cloud_config(Text::VendorData, text)?,
        None => Node::map([]),
    };
    match &seed.user {
        Some(user) => {
            let mut entry = Node::map([("name", Node::text(user)), ("groups", Node::list([Node::text(GROUP)]))]);
            if !parts.keys.is_empty() {
                entry.set("ssh_authorized_keys", Node::list(parts.keys.iter().map(Node::text)));
            }
            config.set("users", Node::list([entry]));
        }
        // The keys for the user that the image's configuration names.
        None if !parts.keys.is_empty() => {
            meta.push_str(&Node::map([("public-keys", Node::list(parts.keys.iter().map(Node::text)))]).render());
        }
        None => {}
    }
    Ok(Documents {
        meta_data: meta,
        user_data: user_data(config, sources.user_data.as_deref(), parts.decoded)?,
        network_config: Some(sources.network_config.clone().unwrap_or_else(|| network_config(seed, &EVERYWHERE6))),
        vendor_data: None,
    })
}

fn user_data(mut config: Node, own: Option<&str>, decoded: bool) -> Result<String> {
    let render = |config: &Node| format!("#cloud-config\n{}", config.render());
    let is_empty = config.pairs().is_none_or(<[_]>::is_empty);
    let Some(own) = own else { return Ok(if is_empty { "#cloud-config\n{}\n".to_owned() } else { render(&config) }) };
    check_text(Text::UserData, own)?;
    if Format::of(own) == Some(Format::CloudConfig) {
        // The user's own user-data takes precedence.
        for (key, value) in own_cloud_config(Text::UserData, own)?.pairs().unwrap_or_default() {
            config.set(key.as_text().unwrap_or_default(), value.clone());
        }
        return Ok(render(&config));
    }
    if is_empty {
        return Ok(super::format::content(own).to_owned());
    }
    let ours = render(&config);
    let ours = Part { encoding: Encoding::Plain, ..Part::new("chyves", &ours) };
    Ok(mime::message(&[ours, Part::new(script_name(own), own)].map(|part| part.decoded(decoded))))
}

/// The name under which a script is run; its extension determines the interpreter.
fn script_name(text: &str) -> &'static str {
    let line = super::format::content(text).lines().next().unwrap_or_default().to_ascii_lowercase();
    if line.starts_with("#ps1") || line.starts_with("<powershell>") {
        "own.ps1"
    } else if line.starts_with("#!") && line.contains("python") {
        "own.py"
    } else if line.starts_with("#!") {
        "own.sh"
    } else {
        "own.cmd"
    }
}

/// Checks that cloudbase-init supports a text.
pub(super) fn check_text(text: Text, content: &str) -> Result<()> {
    let format = Format::of(content);
    let reads = match (text, format) {
        (Text::UserData, Some(Format::CloudConfig | Format::Script | Format::WindowsScript | Format::Mime | Format::PartHandler)) => true,
        (Text::VendorData, Some(Format::CloudConfig)) => true,
        (Text::UserData | Text::VendorData, _) => false,
        (Text::NetworkConfig | Text::AuthorizedKeys, _) => true,
    };
    if reads {
        return Ok(());
    }
    Err(Problem::usage(format!("cloudbase-init does not read {} as {}", format.map_or("such a text", Format::word), text.file()))
        .on(text.file())
        .because("the guest's seed is read by cloudbase-init (property ci.reader)")
        .hint("give a #cloud-config, or user-data that begins with #ps1_sysnative, rem cmd or #!"))
}

#[cfg(test)]
mod tests {
    use super::super::documents::{check, documents};
    use super::*;
    use crate::cloudinit::reader::Reader;
    use crate::cloudinit::testing;

    fn seed() -> Seed {
        Seed { reader: Reader::CloudbaseInit, ..testing::seed() }
    }

    fn with_own(text: &str) -> Sources {
        Sources { user_data: Some(text.into()), ..Sources::default() }
    }

    #[test]
    fn keys_go_to_the_image_s_user_by_meta_data_and_to_another_by_users() {
        let image = documents(&seed(), &Sources::default()).unwrap();
        assert!(image.meta_data.contains("public-keys:\n  - \"ssh-ed25519 "), "{}", image.meta_data);
        assert_eq!(image.user_data, "#cloud-config\n{}\n");
        let ann = Seed { user: Some("ann".parse().unwrap()), ..seed() };
        let text = documents(&ann, &with_own("#cloud-config\nset_timezone: UTC\n")).unwrap().user_data;
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_script_of_windows_is_run_by_its_name() {
        let script = "rem cmd\r\necho ü\r\n";
        assert_eq!(documents(&seed(), &with_own(script)).unwrap().user_data, script, "nothing of ours stands beside it");
        let ann = Seed { user: Some("ann".parse().unwrap()), ..seed() };
        let text = documents(&ann, &with_own("\n#ps1_sysnative\nWrite-Host x\n")).unwrap().user_data;
        assert!(text.starts_with("Content-Type: multipart") && text.contains("filename=\"own.ps1\"") && text.contains("7bit"), "{text}");
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        let fixed = |seed: Seed| {
            let mut seed = seed;
            seed.nics[0].v6 = "2001:db8::2/64".parse().unwrap();
            seed.nics[0].gateway6 = Some("fe80::1".parse().unwrap());
            seed
        };
        assert!(check(&fixed(seed())).is_ok());
        assert!(documents(&fixed(seed()), &Sources::default()).unwrap().network_config.unwrap().contains("to: \"::/0\""));
        let dns = Seed { dns: vec!["192.0.2.1".parse().unwrap()], ..seed() };
        assert!(check(&dns).unwrap_err().message.contains("name servers"));
        assert!(check(&fixed(dns)).is_ok());
        let hash = Seed { password_file: Some("hash".into()), user: Some("ann".parse().unwrap()), ..seed() };
        assert!(check(&hash).unwrap_err().message.contains("hashed password"));
        assert!(documents(&seed(), &with_own("#include\nhttps://a.example\n")).is_err());
        assert!(check_text(Text::VendorData, "#!/bin/sh\n").is_err());
    }
}
