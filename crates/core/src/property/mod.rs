//! The registry of all settings. It is the only place with rules about keys: validation at `set`, `get all`, `list
//! properties`, completion, `chyves-properties(7)` and the JSON Schema all use the rows of [`catalog`].
//!
//! * [`kind`]: the kinds of values
//! * [`catalog`]: one row for each property
//! * [`reach`]: which values reach the host
//! * [`settings`]: the settings of a guest's datasets, with the source of each value
//! * [`keys`]: constants for the keys
//!
//! To add a property: one row in its module of [`catalog`], one constant in [`keys`], and the field of `guest::Spec` that
//! reads it.

pub mod catalog;
pub mod choices;
pub mod keys;
pub mod kind;
pub mod reach;
pub mod settings;
pub mod stored;

use crate::error::{Code, Problem, Result, did_you_mean};
use kind::Kind;
use reach::Reaches;

pub use settings::{Setting, Settings, Source};

/// The prefix of the ZFS user properties.
pub const PREFIX: &str = "chyves:";

/// The maximum size of a value in bytes that every version of ZFS can store.
pub const VALUE_LIMIT: usize = 1023;

/// Where a property may be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// On a guest; on `defaults` and on groups, from which guests below inherit it.
    Guest,
    /// Only on a guest: it is the guest's identity or state and must not be inherited.
    GuestOnly,
    /// On a pool's root, for all guests of the host.
    Global,
    /// On an image's dataset.
    Image,
    /// On a pool's root, for that pool.
    Pool,
}

/// When a change of a property takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Immediately.
    Now,
    /// At the guest's next start or reboot.
    Start,
    /// At the next start of a guest that needs it, or by `chyves network apply`.
    Apply,
}

impl Effect {
    /// The text for documentation.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Now => "at once",
            Self::Start => "at the next start or reboot of the guest",
            Self::Apply => "at the next start of a guest on it, or by `chyves network apply`",
        }
    }
}

/// The value of a property that is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unset {
    /// This value.
    Value(&'static str),
    /// Nothing; shown as `-`.
    Nothing,
    /// A derived value; the text describes its source.
    Derived(&'static str),
}

/// Who writes a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Users, by `set` and `unset`.
    Free,
    /// Only chyves; the text names the command.
    Kept(&'static str),
}

/// One row of the registry.
#[derive(Debug)]
pub struct Property {
    /// The key; `{n}` stands for a number from 0.
    pub key: &'static str,
    /// The range of numbers for `{n}`, inclusive.
    pub numbers: (u16, u16),
    /// Where it may be set.
    pub scope: Scope,
    /// The kind of its values.
    pub kind: Kind,
    /// Its value if it is not set.
    pub unset: Unset,
    /// When a change takes effect.
    pub effect: Effect,
    /// Who writes it.
    pub access: Access,
    /// Whether its values reach the host, that is, name or do something outside of the guest.
    pub reach: Reaches,
    /// A summary of one line without a full stop.
    pub summary: &'static str,
    /// A description in full sentences.
    pub detail: &'static str,
    /// The first version that supports it.
    pub since: &'static str,
    /// Older and alternative spellings that are accepted.
    pub aliases: &'static [&'static str],
}

impl Property {
    /// Whether it is a setting of guests, wherever it is stored.
    pub fn of_guests(&self) -> bool {
        matches!(self.scope, Scope::Guest | Scope::GuestOnly)
    }
}

/// The result of looking up a key: the row, and the key in its present spelling with its number.
#[derive(Debug, Clone)]
pub struct Known {
    /// The row.
    pub property: &'static Property,
    /// The key as people see it, with its number; [`stored::key`] has the one on the pool.
    pub key: String,
}

/// If `key` matches `pattern` (which may contain one `{n}`), the number in it or 0.
fn fits(pattern: &str, key: &str) -> Option<u16> {
    // No pattern begins with its number, so that comparing the first byte excludes most patterns quickly: this runs for
    // every setting of every guest.
    if pattern.bytes().next() != key.bytes().next() {
        return None;
    }
    let Some((front, back)) = pattern.split_once("{n}") else {
        return (pattern == key).then_some(0);
    };
    let digits = key.strip_prefix(front)?.strip_suffix(back)?;
    // One spelling for each number: no leading zeros, no sign.
    let canonical = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    if canonical { digits.parse().ok().filter(|n| *n < 1000) } else { None }
}

/// Looks up a key by its name or an older spelling, ignoring case.
///
/// # Errors
/// The key is unknown; the hint names the most similar one.
pub fn find(key: &str) -> Result<Known> {
    let lower = key.to_ascii_lowercase();
    for property in catalog::all() {
        for pattern in std::iter::once(&property.key).chain(property.aliases) {
            if let Some(n) = fits(pattern, &lower) {
                return Ok(Known { property, key: property.key.replace("{n}", &n.to_string()) });
            }
        }
    }
    if let Some(own) = lower.strip_prefix("x.") {
        let good = !own.is_empty() && own.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-:+".contains(&b));
        if good && lower.len() <= 200 {
            return Ok(Known { property: &catalog::ANNOTATION, key: lower });
        }
    }
    if let Some(of) = lower.strip_prefix(keys::TRUSTED) {
        let inner = find(of)?;
        return Ok(Known { property: &catalog::TRUSTED, key: format!("{}{}", keys::TRUSTED, inner.key) });
    }
    // The typed number is inserted, so that `net3.modl` is similar to `net3.model`.
    let digits: String = lower.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    let number = if digits.is_empty() { "{n}" } else { &digits };
    let names: Vec<String> = catalog::all().filter(|p| p.access == Access::Free).map(|p| p.key.replace("{n}", number)).collect();
    // `fwcfg_0` is `fw_cfg0` with other separators.
    let bare = |name: &str| name.replace(['_', '-', '.'], "");
    let same = names.iter().find(|name| bare(name) == bare(&lower)).map(|name| format!("did you mean `{name}`?"));
    let shown = crate::value::printable(key, 60);
    let display = matches!(lower.as_str(), "display" | "graphics" | "screen" | "gui" | "fbuf" | "uefi_vnc" | "vga" | "monitor");
    let hint = if display {
        Some("a VNC display is switched on by `vnc=on`".to_owned())
    } else {
        same.or_else(|| did_you_mean(&lower, names.iter().map(String::as_str)))
    };
    Err(Code::UnknownProperty
        .problem(format!("no property is called `{shown}`"))
        .on(&shown)
        .hint_if(hint)
        .hint("`chyves list properties` shows them all; your own notes go under keys that begin with `x.`"))
}

/// Checks a value for a key and returns its stored form.
///
/// # Errors
/// The value is invalid for the kind, contains a newline or tab, or is longer than every ZFS can store.
pub fn check(known: &Known, value: &str) -> Result<String> {
    let refuse = |why: &str| {
        let shown = crate::value::printable(value, 60);
        Problem::usage(format!("`{}` cannot be `{shown}`: {why}", known.key)).on(&known.key)
    };
    let (first, last) = known.property.numbers;
    if fits(known.property.key, &known.key).is_some_and(|n| known.property.key.contains("{n}") && !(first..=last).contains(&n)) {
        let range = format!("{} from {first} to {last}", known.property.key.replace("{n}", "N"));
        return Err(Problem::usage(format!("cannot set `{}`: there is only {range}", known.key))
            .on(&known.key)
            .hint(known.property.detail));
    }
    if value.contains(['\n', '\r', '\t', '\0']) {
        // `zfs get` prints them unescaped, which would mislead programs that read its output by lines.
        return Err(refuse("a value is one line without tabs"));
    }
    if value.len() > VALUE_LIMIT {
        return Err(refuse(&format!("it has {} bytes, and ZFS keeps {VALUE_LIMIT}", value.len())));
    }
    known.property.kind.canonical(stored::shown_value(&known.key, value)).map_err(|bad| {
        let object = known.key.clone();
        refuse(&bad.why).on(object).hint_if(bad.hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_well_formed() {
        let mut keys = std::collections::BTreeSet::new();
        for p in catalog::all() {
            assert!(keys.insert(p.key), "{} stands twice", p.key);
            for alias in p.aliases {
                assert!(keys.insert(alias), "{alias} stands twice");
            }
            assert!(!p.summary.is_empty() && !p.summary.ends_with('.'), "{}: summary", p.key);
            assert!(p.detail.ends_with('.'), "{}: detail is sentences", p.key);
            let ok = p.key.replace("{n}", "0").bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._".contains(&b));
            assert!(ok, "{}: ZFS takes no other characters", p.key);
            if let Unset::Value(v) = p.unset {
                assert_eq!(p.kind.canonical(v).as_deref(), Ok(v), "{}: its default is not a value of its kind", p.key);
            }
        }
    }

    #[test]
    fn every_row_declares_whether_it_reaches_the_host() {
        let undeclared: Vec<&str> = catalog::all().filter(|p| matches!(p.reach, Reaches::Undeclared)).map(|p| p.key).collect();
        assert!(undeclared.is_empty(), "say `reach` of {undeclared:?}: see property::reach");
        // A default value that reached the host would do so on every guest.
        for p in catalog::all() {
            if let (Unset::Value(value), Scope::Guest | Scope::GuestOnly) = (p.unset, p.scope) {
                let always = matches!(p.reach, Reaches::Always(_));
                assert!(always || p.reach.of(value).is_none(), "{}={value}", p.key);
            }
        }
    }

    #[test]
    fn values_decide_where_only_some_reach_the_host() {
        for (key, value, words) in [
            ("qargs", "-device x", Some("runs a program")),
            ("bargs", "-S", Some("runs a program")),
            ("bhyveload_flags", "-l /x", Some("runs a program")),
            ("pcidev_0", "passthru,2/0/0", Some("uses a device")),
            ("fw_cfg1", "opt/a,string=b", None),
            ("fw_cfg1", "opt/a,file=/etc/passwd", Some("names a path")),
            ("fw_cfg1", "nonsense", Some("names a path")),
            ("com2", "tcp=0.0.0.0:5555", Some("opens a port")),
            ("com2", "/dev/nmdm9A", Some("uses a device")),
            ("tpm", "passthru,/dev/tpm0", Some("uses a device")),
            ("tpm", "swtpm,/run/x", Some("names a path")),
            ("vnc_address", "127.0.0.1", None),
            ("vnc_address", "::1", None),
            ("vnc_address", "0.0.0.0", Some("opens a port")),
            ("vnc_port", "0", None),
            ("vnc_port", "5901", Some("opens a port")),
            ("disk1.source", "/dev/sda", Some("names a path")),
            ("ci.password_file", "hash", None),
            ("ci.password_file", "/etc/shadow", Some("names a path")),
            ("os", "linux", None),
            ("os", "custom", Some("names a path")),
            ("loader", "uefi", None),
            ("loader", "bios", None),
            ("loader", "bhyveload", Some("runs a loader as root on the guest's disks")),
            ("loader", "grub-bhyve", Some("runs a loader as root on the guest's disks")),
            ("autostart", "0", None),
            ("autostart", "1", Some("starts by itself")),
            ("net0.backend", "auto", None),
            ("net0.backend", "user", Some("joins a network")),
            ("net0.backend", "bridge", Some("joins a network")),
            ("net0.bridge", "lan", Some("joins a network")),
            ("net0.tap", "tap1", Some("uses a device")),
            ("net0.vlan", "7", Some("joins a network")),
            ("net0.vale", "vale0", Some("joins a network")),
            ("net0.netgraph", "lan:", Some("joins a network")),
            ("bridge", "lan", Some("joins a network")),
            ("ram", "1G", None),
            ("x.ticket", "1", None),
            ("trusted.qargs", "1", None),
        ] {
            let known = find(key).unwrap();
            assert_eq!(known.property.reach.of(value).map(reach::Reach::words), words, "{key}={value}");
        }
    }

    #[test]
    fn keys_and_older_spellings_are_found() {
        assert_eq!(find("ram").unwrap().key, "ram");
        assert_eq!(find("net12.model").unwrap().key, "net12.model");
        assert_eq!(find("memory").unwrap().key, "ram");
        assert_eq!(find("boot").unwrap().key, "autostart");
        assert_eq!(find("x.ticket").unwrap().key, "x.ticket");
        for bad in ["net01.model", "net.model", "net+1.model", "net1000.model", "x.", "x.a b", "", "chyves:ram"] {
            assert!(find(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wrong_key_gets_the_nearest() {
        let hints = |k| find(k).unwrap_err().hints;
        assert!(hints("descripton")[0].contains("`description`"), "{:?}", hints("descripton"));
        assert!(hints("fwcfg_0")[0].contains("`fw_cfg0`"), "{:?}", hints("fwcfg_0"));
        assert!(hints("net0.modle")[0].contains("`net0.model`"), "{:?}", hints("net0.modle"));
    }

    #[test]
    fn values_that_would_fool_a_reader_are_refused() {
        let d = find("description").unwrap();
        assert!(check(&d, "a\nb").is_err());
        assert!(check(&d, "a\tb").is_err());
        assert!(check(&d, &"x".repeat(1024)).is_err());
        assert_eq!(check(&d, "first guest, ünïcode = fine").unwrap(), "first guest, ünïcode = fine");
        let ram = check(&find("ram").unwrap(), "8").unwrap_err();
        assert!(ram.hints.iter().any(|h| h.contains("8G")), "{ram:?}");
    }
}
