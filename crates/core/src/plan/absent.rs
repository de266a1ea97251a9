//! Refuses settings of devices that a guest does not have: `net7.mtu` of a guest without net7.
//!
//! The key that states a device's kind (`disk0.kind`, `net0.backend`) adds it, and is set by the commands that add devices. Any
//! other key of an absent device is most likely a mistyped number: setting it would either add a device that nobody requested
//! or have no effect.

use crate::error::{Problem, Result};
use crate::property::keys::{self, DiskKey, NetKey};
use crate::property::settings::OwnValues;

/// A kind of device that a guest can have several of, identified by number.
struct Family {
    /// The prefix of its keys, before the number.
    prefix: &'static str,
    /// The device's name without its number, as it is shown to users.
    device: &'static str,
    noun: &'static str,
    /// The command that adds such a device, for the hint.
    add: &'static str,
}

const FAMILIES: [Family; 3] = [
    Family { prefix: "disk", device: "disk", noun: "disk", add: "chyves disk add {guest} SIZE" },
    Family { prefix: "net", device: "net", noun: "network interface", add: "chyves network add {guest}" },
    Family { prefix: "ci.net", device: "net", noun: "network interface", add: "chyves network add {guest}" },
];

/// The device number in a key of this family, or `None` if the key belongs to another family.
fn number(family: &Family, key: &str) -> Option<u16> {
    key.strip_prefix(family.prefix)?.split_once('.')?.0.parse().ok()
}

/// Whether a guest with these own settings has the device.
fn has(own: &OwnValues, device: &str, number: u16) -> bool {
    own.contains_key(&if device == "disk" { keys::disk(number, DiskKey::Kind) } else { keys::net(number, NetKey::Backend) })
        || device == "net" && own.keys().any(|key| key.starts_with(&format!("net{number}.")))
}

/// Checks that all keys in `set` belong to devices that the guest called `name` already has or that the same change adds.
/// `before` holds the guest's own settings before the change, `set` the keys to be added.
///
/// # Errors
/// A device is absent; the hint names the command that adds one.
pub(super) fn check(name: &str, before: &OwnValues, set: &[(String, String)]) -> Result<()> {
    for (key, _) in set {
        let Some((family, number)) = FAMILIES.iter().find_map(|family| Some((family, number(family, key)?))) else { continue };
        let (device, noun) = (family.device, family.noun);
        let added = device == "net" && set.iter().any(|(other, _)| *other == keys::net(number, NetKey::Backend));
        if added || has(before, device, number) {
            continue;
        }
        let all: Vec<String> = (0..=u8::MAX.into()).filter(|n| has(before, device, *n)).map(|n| format!("{device}{n}")).collect();
        let has = if all.is_empty() { format!("it has no {noun}") } else { format!("it has {}", all.join(", ")) };
        return Err(Problem::usage(format!("cannot set `{key}`: `{name}` has no {device}{number}"))
            .on(name)
            .because(has)
            .hint(format!("`{}` adds a {noun}", family.add.replace("{guest}", name))));
    }
    Ok(())
}

/// Checks that a change does not remove a network interface by unsetting its last setting.
///
/// # Errors
/// It would; the hints name both commands that the user may have meant.
pub(super) fn kept(name: &str, before: &OwnValues, after: &OwnValues) -> Result<()> {
    let gone = (0..=u16::from(u8::MAX)).find(|n| has(before, "net", *n) && !has(after, "net", *n));
    gone.map_or(Ok(()), |number| {
        Err(Problem::usage(format!("cannot unset all settings of net{number} of `{name}`: that would remove it"))
            .on(name)
            .hint(format!("to keep it with the default: `chyves set {name} net{number}.backend=auto`"))
            .hint(format!("to remove it: `chyves network remove {name} net{number}`")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::property::settings::Own;

    fn own(keys: &[&str]) -> OwnValues {
        keys.iter().map(|key| ((*key).to_owned(), Own { value: "x".into(), received: false })).collect()
    }

    #[test]
    fn a_setting_of_an_absent_device_names_the_command_that_adds_one() {
        let before = own(&["disk0.kind", "net0.backend", "net3.mac"]);
        let set = |keys: &[&str]| check("web", &before, &keys.iter().map(|key| ((*key).to_owned(), "x".to_owned())).collect::<Vec<_>>());
        for good in
            [&["disk0.bus", "net0.mtu", "net3.mtu", "ci.net0.address", "ram", "com2", "bridge7.mtu"][..], &["net7.mtu", "net7.backend"]]
        {
            assert!(set(good).is_ok(), "{good:?}");
        }
        for (bad, says, because, hint) in [
            ("disk7.bus", "has no disk7", "it has disk0", "`chyves disk add web SIZE`"),
            ("net7.mtu", "has no net7", "it has net0, net3", "`chyves network add web`"),
            ("ci.net7.address", "has no net7", "it has net0, net3", "`chyves network add web`"),
        ] {
            let problem = set(&[bad]).unwrap_err();
            assert!(problem.message.contains(says) && problem.message.contains(bad), "{}", problem.message);
            assert_eq!(problem.causes, [because]);
            assert!(problem.hints[0].contains(hint), "{:?}", problem.hints);
        }
    }

    #[test]
    fn no_interface_goes_by_unsetting() {
        let before = own(&["net0.backend", "net1.backend", "net1.mtu"]);
        assert!(kept("web", &before, &own(&["net0.backend", "net1.mtu"])).is_ok());
        assert!(kept("web", &before, &own(&["net0.backend"])).unwrap_err().hints[1].contains("network remove web net1"));
    }
}
