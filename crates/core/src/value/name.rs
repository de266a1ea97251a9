//! Names that users choose: guests, images, snapshots, interfaces.
//!
//! Each kind of name is its own type, created only by parsing, so that they cannot be confused.

use super::{BadValue, serde_by_text};
use std::str::FromStr;

/// Names that guests must not have, because a command line may begin with them in either word order. A test of the command
/// line checks that every command and subcommand is included.
pub const RESERVED: &[&str] = &[
    "add",
    "adopt",
    "all",
    "apply",
    "attach",
    "bridge",
    "catalogue",
    "check",
    "clone",
    "clones",
    "cloud-init",
    "completions",
    "confirm",
    "console",
    "create",
    "dataset",
    "default",
    "defaults",
    "delete",
    "destroy",
    "detach",
    "dev",
    "diff",
    "disk",
    "disks",
    "doctor",
    "eject",
    "empty",
    "errors",
    "facts",
    "fetch",
    "firmware",
    "force",
    "get",
    "global",
    "group",
    "guest",
    "guests",
    "help",
    "image",
    "images",
    "import",
    "info",
    "init",
    "insert",
    "install",
    "iso",
    "join",
    "key",
    "list",
    "log",
    "ls",
    "man",
    "migrate",
    "move",
    "nat",
    "network",
    "networks",
    "new",
    "none",
    "offline",
    "online",
    "pci",
    "plan",
    "pool",
    "pools",
    "primary",
    "private",
    "processes",
    "promote",
    "properties",
    "property",
    "reboot",
    "receive",
    "reclaim",
    "reinit",
    "remove",
    "rename",
    "repair",
    "reset",
    "resize",
    "restart",
    "rm",
    "rollback",
    "schema",
    "send",
    "set",
    "show",
    "shutdown",
    "snapshot",
    "snapshots",
    "start",
    "status",
    "stop",
    "supervise",
    "sync",
    "template",
    "tmux",
    "trace",
    "trash",
    "undelete",
    "unjoin",
    "unpack",
    "unset",
    "upgrade",
    "verify",
    "version",
    "vnc",
];

/// The rules that all names share, so that they are valid in ZFS datasets, bhyve VM names, file names and command lines.
fn check(text: &str, what: &str, limit: usize) -> Result<(), BadValue> {
    let rule = || format!("{what} begins with a letter or digit and has letters, digits, `.`, `_` and `-`, at most {limit} characters");
    let refuse = |why: String| Err(BadValue::new(text, why).hint(rule()));
    let Some(first) = text.chars().next() else {
        return refuse("is empty".into());
    };
    if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        let shown = super::printable(&bad.to_string(), 8);
        let mut bad = BadValue::new(text, format!("has `{shown}`, which a name cannot have")).hint(rule());
        if what.contains("snapshot") {
            // ZFS and other programs allow blanks and other characters in it.
            let (old, new) = (super::printable(text, limit), text.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
            bad = bad.hint(format!("{}; rename one that is there: zfs rename -r 'DATASET@{old}' 'DATASET@{new}'", rule()));
        }
        return Err(bad);
    }
    if !first.is_ascii_alphanumeric() {
        return refuse(format!("begins with `{first}`"));
    }
    if text.len() > limit {
        return refuse(format!("has {} characters", text.len()));
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        serde_by_text!($type);
    };
}

name_type! {
    /// A guest's name: 1 to 63 characters, never the name of a command.
    GuestName
}
name_type! {
    /// An image's name: 1 to 63 characters.
    ImageName
}
name_type! {
    /// The part of a snapshot's name after `@`: 1 to 100 characters; snapshots of other programs may also contain `:` and
    /// `%`.
    SnapshotName
}
name_type! {
    /// A network interface of the host: 1 to 15 characters, as both kernels allow.
    IfName
}

impl FromStr for GuestName {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        check(text, "a guest's name", 63)?;
        if RESERVED.contains(&text) {
            return Err(BadValue::new(text, "is a word of the command line").hint("choose another name for the guest"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for ImageName {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        check(text, "an image's name", 63)?;
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for SnapshotName {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        // zrepl and sanoid use times with `:` in names, which must be valid here too.
        check(&text.replace(':', "-"), "a snapshot's name", 100).map_err(|e| BadValue { text: super::printable(text, 60), ..e })?;
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for IfName {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        check(text, "an interface's name", 15)?;
        // Linux uses these names for the settings of all interfaces and of new ones.
        if matches!(text, "all" | "default") {
            return Err(BadValue::new(text, "stands for interfaces in general").hint("choose another name: lan, bridge0"));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused_with_the_rule() {
        let long = "x".repeat(300);
        for bad in ["", "../x", "-rf", "web*", "a b", "a\nb", "a\u{1b}b", ".hidden", "a/b", "a@b", "ä", "a,b", "a%b", &long] {
            let refusal = bad.parse::<GuestName>().expect_err(bad);
            assert!(refusal.hint.as_deref().is_some_and(|h| h.contains("letters, digits")), "{bad:?}: {refusal}");
        }
        assert_eq!("300 letters".len(), 11);
        assert_eq!(long.parse::<GuestName>().unwrap_err().why, "has 300 characters");
    }

    #[test]
    fn a_command_is_no_guest() {
        assert_eq!("start".parse::<GuestName>().unwrap_err().to_string(), "`start` is a word of the command line");
        assert!("start1".parse::<GuestName>().is_ok());
    }

    #[test]
    fn reserved_words_are_sorted_and_once() {
        assert!(RESERVED.windows(2).all(|w| w[0] < w[1]), "keep the list sorted, each word once");
    }

    #[test]
    fn foreign_snapshots_can_be_named() {
        assert!("zrepl_20260101_120000_000".parse::<SnapshotName>().is_ok());
        assert!("autosnap_2026-01-01_00:00:00_daily".parse::<SnapshotName>().is_ok());
        assert!("a/b".parse::<SnapshotName>().is_err());
        assert!("-r".parse::<SnapshotName>().is_err());
    }
}
