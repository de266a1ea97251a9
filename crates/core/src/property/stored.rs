//! Keys and values as ZFS has them, where those differ from what people read and write.
//!
//! A property can get a better name, but pools, streams and copies of settings keep the name that it had: they stay readable by
//! every version, and nothing has to be rewritten. Names are translated where rows of ZFS are parsed and where arguments of ZFS
//! are rendered, so that the rest of the program knows one name of each property.
//!
//! To rename a property: its row and its constant get the new name, its row the old one as an alias, and a line goes here.

use super::keys;
use std::borrow::Cow;

/// The renamed keys: as shown, as stored.
const KEYS: &[(&str, &str)] = &[
    (keys::VNC, "uefi_console_output"),
    (keys::VNC_ADDRESS, "uefi_vnc_ip"),
    (keys::VNC_PORT, "uefi_vnc_port"),
    (keys::VNC_RESOLUTION, "uefi_vnc_res"),
    (keys::VNC_MOUSE, "uefi_vnc_mouse_type"),
    (keys::AUTOSTART, "rcboot"),
    (keys::EJECT, "eject_iso_on_n_reboot"),
    (keys::FIRMWARE, "uefi_firmware"),
    (keys::LOAD_MODULES, "auto_load_kernel_mods"),
    (keys::NETWORK_MODE, "network_design_mode"),
];

/// The renamed values: the key as shown, the value as shown, as stored.
const VALUES: &[(&str, &str, &str)] = &[(keys::VNC, "on", "vnc"), (keys::VNC, "off", "serial")];

/// Whether a stored name is shown behind the prefix. Names that begin with the prefix are too: each stored name then has a key of
/// its own, and what was read from a dataset is never written back as another property.
fn is_escaped(stored: &str) -> bool {
    stored.starts_with(super::PREFIX) || KEYS.iter().any(|(new, _)| *new == stored)
}

/// The stored name of a key: the inverse of [`shown_key`].
pub fn key(shown: &str) -> Cow<'_, str> {
    if let Some(of) = shown.strip_prefix(keys::TRUSTED) {
        return match key(of) {
            Cow::Borrowed(same) if same == of => Cow::Borrowed(shown),
            stored @ (Cow::Borrowed(_) | Cow::Owned(_)) => Cow::Owned(format!("{}{stored}", keys::TRUSTED)),
        };
    }
    if let Some(stored) = shown.strip_prefix(super::PREFIX).filter(|stored| is_escaped(stored)) {
        return Cow::Borrowed(stored);
    }
    KEYS.iter().find(|(new, _)| *new == shown).map_or(Cow::Borrowed(shown), |(_, old)| Cow::Borrowed(*old))
}

/// The key that people see for a stored name. What is stored by a name that only people use is no setting: it keeps its prefix, so
/// that it is reported as unknown instead of hiding the setting of that name.
pub fn shown_key(stored: &str) -> Cow<'_, str> {
    if let Some(of) = stored.strip_prefix(keys::TRUSTED) {
        return match shown_key(of) {
            Cow::Borrowed(same) if same == of => Cow::Borrowed(stored),
            shown @ (Cow::Borrowed(_) | Cow::Owned(_)) => Cow::Owned(format!("{}{shown}", keys::TRUSTED)),
        };
    }
    if is_escaped(stored) {
        return Cow::Owned(format!("{}{stored}", super::PREFIX));
    }
    KEYS.iter().find(|(_, old)| *old == stored).map_or(Cow::Borrowed(stored), |(new, _)| Cow::Borrowed(*new))
}

/// The stored form of a key's value.
pub fn value<'v>(shown_key: &str, value: &'v str) -> &'v str {
    VALUES.iter().find(|(key, shown, _)| *key == shown_key && *shown == value).map_or(value, |(_, _, stored)| stored)
}

/// The value that people see for a stored one of a key.
pub fn shown_value<'v>(shown_key: &str, value: &'v str) -> &'v str {
    VALUES.iter().find(|(key, _, stored)| *key == shown_key && *stored == value).map_or(value, |(_, shown, _)| shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::property::{check, find};

    #[test]
    fn each_renamed_property_accepts_its_stored_name_and_values() {
        for (new, old) in KEYS {
            assert_eq!(find(old).unwrap().key, *new);
            assert_eq!((key(new), shown_key(old)), (Cow::Borrowed(*old), Cow::Borrowed(*new)));
            let trusted = format!("{}{new}", keys::TRUSTED);
            assert_eq!(key(&trusted), format!("{}{old}", keys::TRUSTED));
            assert_eq!(shown_key(&key(&trusted)), trusted);
        }
        for (of, new, old) in VALUES {
            let known = find(of).unwrap();
            assert_eq!(check(&known, new).as_deref(), Ok(*new));
            assert_eq!(check(&known, old).as_deref(), Ok(*new));
            assert_eq!((value(of, new), shown_value(of, old)), (*old, *new));
        }
        assert_eq!((key("ram"), shown_key("ram")), (Cow::Borrowed("ram"), Cow::Borrowed("ram")));
        assert_eq!((value("ram", "on"), shown_value("ram", "vnc")), ("on", "vnc"));
    }

    #[test]
    fn what_is_stored_by_the_name_that_people_use_is_unknown() {
        assert_eq!(shown_key("vnc"), "chyves:vnc");
        assert_eq!(key("chyves:vnc"), "vnc");
        assert!(find("chyves:vnc").is_err());
    }

    #[test]
    fn each_stored_name_has_a_key_of_its_own() {
        let plain = ["owner", "uuid", "qargs", "vnc", "uefi_console_output", "rcboot", "autostart", "x.a:b", "trusted.vnc", "", "trusted."];
        let mut seen = std::collections::BTreeSet::new();
        for name in plain {
            for prefix in ["", "chyves:", "chyves:chyves:", "trusted.", "trusted.chyves:", "chyves:trusted.", "trusted.trusted."] {
                let stored = format!("{prefix}{name}");
                let shown = shown_key(&stored).into_owned();
                assert_eq!(key(&shown), stored, "{shown}");
                seen.insert((shown, stored));
            }
        }
        let keys: std::collections::BTreeSet<_> = seen.iter().map(|(shown, _)| shown).collect();
        assert_eq!(keys.len(), seen.len(), "two stored names have one key");
    }
}
