//! Changed settings of a running guest that its present run does not use yet.
//!
//! The launch records the settings that a run was started with; the next run uses the present ones. If they differ, the
//! change is pending. Not here: settings that take effect immediately, which are never pending.

use super::Guest;
use crate::property::{self, Access, Effect};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// When every pending change takes effect.
pub const WAITS_FOR: &str = "the next start or reboot";

/// Kinds of devices, each with the part of its key whose presence means that the device exists.
const DEVICES: [(&str, &str); 2] = [("disk", "kind"), ("net", "backend")];

/// A change that the present run does not use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// The property, or a device (`disk1`) that was added or removed.
    pub property: String,
    /// The present run's value; `None` if it has no value, or no such device.
    pub running: Option<String>,
    /// The next run's value.
    pub next: Option<String>,
    /// When it takes effect.
    pub waits_for: &'static str,
}

impl Pending {
    /// The change in one line: `ram 256M, 1G after the next start or reboot`.
    pub fn words(&self) -> String {
        let word = |value: &Option<String>| value.clone().unwrap_or_else(|| "unset".to_owned());
        // A whole device is added or removed, not set or unset.
        match (self.is_device(), &self.running, &self.next) {
            (true, None, Some(kind)) => return format!("{} ({kind}) is added at {}", self.property, self.waits_for),
            (true, Some(_), None) => return format!("{} is removed at {}", self.property, self.waits_for),
            _ => {}
        }
        format!("{} {}, {} after {}", self.property, word(&self.running), word(&self.next), self.waits_for)
    }

    fn is_device(&self) -> bool {
        DEVICES.iter().any(|(family, _)| self.property.strip_prefix(family).is_some_and(|n| n.parse::<u16>().is_ok()))
    }

    /// The change in a table column: `ram=1G`; an added or removed device as `+disk1` or `-disk1`.
    pub fn short(&self) -> String {
        match (self.is_device(), &self.running, &self.next) {
            (true, None, Some(_)) => return format!("+{}", self.property),
            (true, Some(_), None) => return format!("-{}", self.property),
            _ => {}
        }
        format!("{}={}", self.property, self.next.as_deref().unwrap_or("-"))
    }
}

/// The settings that a start would use now, by key.
pub fn of_next_start(guest: &Guest) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for setting in guest.settings.all() {
        let Ok(known) = property::find(&setting.property) else { continue };
        if known.property.effect == Effect::Start && known.property.access == Access::Free {
            all.extend(setting.value.map(|value| (setting.property, value)));
        }
    }
    for (family, part) in DEVICES {
        for number in guest.settings.numbers(family) {
            let value = guest.settings.value(&format!("{family}{number}.{part}")).unwrap_or_else(|| "present".to_owned());
            all.insert(format!("{family}{number}"), value);
        }
    }
    all
}

/// The differences from the settings that a run was started with. A run that recorded none was started by an older version,
/// and its differences are unknown.
pub fn pending(started_with: &BTreeMap<String, String>, guest: &Guest) -> Vec<Pending> {
    if started_with.is_empty() {
        return Vec::new();
    }
    let next = of_next_start(guest);
    let keys: BTreeSet<&String> = started_with.keys().chain(next.keys()).collect();
    // Single settings of an added or removed device are left out.
    let changed = |key: &str| started_with.contains_key(key) != next.contains_key(key);
    let device = |key: &str| {
        let (name, _) = key.split_once('.')?;
        let is_device = DEVICES.iter().any(|(family, _)| name.strip_prefix(family).is_some_and(|n| n.parse::<u16>().is_ok()));
        is_device.then(|| name.to_owned())
    };
    keys.into_iter()
        .filter(|key| started_with.get(*key) != next.get(*key))
        .filter(|key| device(key).is_none_or(|name| !changed(&name)))
        // The entry of the device includes this key.
        .filter(|key| !DEVICES.iter().any(|(family, part)| device_key(key, family, part)))
        .map(|key| Pending {
            property: key.clone(),
            running: started_with.get(key).cloned(),
            next: next.get(key).cloned(),
            waits_for: WAITS_FOR,
        })
        .collect()
}

/// Whether a key is the part of a device whose value represents the device.
fn device_key(key: &str, family: &str, part: &str) -> bool {
    key.strip_prefix(family).and_then(|rest| rest.split_once('.')).is_some_and(|(n, p)| n.parse::<u16>().is_ok() && p == part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing;

    #[test]
    fn what_differs_from_the_run_is_pending() {
        let run =
            of_next_start(&testing::guest("web01", &[("ram", "256M"), ("notes", "a"), ("disk0.kind", "raw"), ("net0.backend", "user")]));
        assert!(
            pending(&run, &testing::guest("web01", &[("ram", "256M"), ("notes", "b"), ("disk0.kind", "raw"), ("net0.backend", "user")]))
                .is_empty()
        );
        let later = testing::guest(
            "web01",
            &[
                ("ram", "1G"),
                ("disk0.kind", "raw"),
                ("disk1.kind", "raw"),
                ("disk1.bus", "nvme"),
                ("net0.backend", "bridge"),
                ("vnc_wait", "x"),
            ],
        );
        let words: Vec<String> = pending(&run, &later).iter().map(Pending::words).collect();
        assert_eq!(
            words,
            [
                "disk1 (raw) is added at the next start or reboot",
                "net0 user, bridge after the next start or reboot",
                "ram 256M, 1G after the next start or reboot"
            ]
        );
        assert!(pending(&BTreeMap::new(), &later).is_empty(), "nothing is known of a run of an older version");
        let shorts: Vec<String> =
            pending(&of_next_start(&later), &testing::guest("web01", &[("disk0.kind", "raw")])).iter().map(Pending::short).collect();
        assert_eq!(shorts, ["-disk1", "-net0", "ram=256M"]);
    }
}
