//! A complete catalogue: known operating systems, the keys that their vendors sign with, and security advisories, as of one
//! day. One is built into the program, and a newer, signed one can be installed.
//!
//! Its format: an object of `format` (1), `serial` (a number that increases with each catalogue), `issued` (the day),
//! `keys`, `systems` and `advisories`. Not here: which signatures are required and where a catalogue is stored (chyves-host
//! `catalogue`).

use super::{Entry, no_catalogue, sound};
use crate::error::Result;
use crate::image::VendorKey;
use crate::os::Os;
use crate::value::json;
use crate::value::printable;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The built-in catalogue.
const BUILT_IN: &str = include_str!("catalogue.json");
/// The format version that this program reads.
const FORMAT: u32 = 1;

/// A complete catalogue as of one day.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// The format version.
    format: u32,
    /// Increases with each catalogue, so that older ones can be recognised.
    pub serial: u64,
    /// The day of its creation, such as `2026-11-30`.
    pub issued: String,
    /// Keys of vendors, by the names that entries use.
    #[serde(default)]
    keys: BTreeMap<String, Key>,
    /// Operating systems that can be fetched by name.
    #[serde(default)]
    pub systems: Vec<Entry>,
    /// Security advisories.
    #[serde(default)]
    pub advisories: Vec<Advisory>,
}

/// A vendor's key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    /// For OpenPGP: the fingerprint of the primary key.
    #[serde(default)]
    fingerprint: Option<String>,
    /// The key as text: armoured OpenPGP, signify or minisign. `None` if only the fingerprint is known.
    #[serde(default)]
    block: Option<String>,
    /// The URL where it is published.
    from: String,
}

/// A security advisory for hosts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Advisory {
    /// Its name, as its publisher writes it.
    pub name: String,
    /// The affected operating system.
    pub os: Os,
    /// The problem, in one clause.
    pub about: String,
    /// The first fixed patch level of each branch, such as `15.1-p5`.
    pub fixed: Vec<String>,
}

impl Catalogue {
    /// The built-in catalogue.
    ///
    /// # Errors
    /// Never; a test parses it.
    pub fn built_in() -> Result<Self> {
        Self::parse(BUILT_IN, "the catalogue that comes with chyves")
    }

    /// Parses a catalogue; `from` is its name in errors.
    ///
    /// # Errors
    /// It is not a catalogue, has another format version, or contains an invalid entry.
    pub fn parse(text: &str, from: &str) -> Result<Self> {
        /// The part that all format versions share.
        #[derive(Deserialize)]
        struct Any {
            format: u32,
        }
        let wrong = |why: String| no_catalogue(from, why);
        let any: Any = json::from_str(text).map_err(|e| wrong(e.to_string()))?;
        if any.format != FORMAT {
            return Err(wrong(format!("it is of form {}, and this chyves reads form {FORMAT}", any.format))
                .hint("a newer chyves reads newer catalogues; `chyves version` shows which this is"));
        }
        let all: Self = json::from_str(text).map_err(|e| wrong(e.to_string()))?;
        if !is_day(&all.issued) {
            return Err(wrong(format!("`{}` is not a day: write it as 2026-11-30", printable(&all.issued, 40))));
        }
        for (name, key) in &all.keys {
            let fine = |print: &String| print.len() >= 40 && print.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
            if key.fingerprint.as_ref().is_some_and(|print| !fine(print)) || (key.fingerprint.is_none() && key.block.is_none()) {
                return Err(wrong(format!(
                    "the key `{}`: it takes a fingerprint (40 upper-case digits), a block, or both",
                    printable(name, 60)
                )));
            }
        }
        sound(&all.systems, &all.keys.keys().map(String::as_str).collect(), from)?;
        let mut names = BTreeSet::new();
        for advisory in &all.advisories {
            let shown = printable(&advisory.name, 60);
            if !names.insert(&advisory.name) {
                return Err(wrong(format!("the advisory `{shown}` is there twice")));
            }
            if advisory.fixed.is_empty() || advisory.fixed.iter().any(|text| level(text).is_none()) {
                return Err(wrong(format!("the advisory `{shown}`: write the levels that have the fix as 15.1-p5")));
            }
        }
        Ok(all)
    }

    /// The keys of these names.
    pub fn keys(&self, names: &[String]) -> Vec<VendorKey> {
        let known = |name: &String| {
            let key = self.keys.get(name)?;
            Some(VendorKey { name: name.clone(), fingerprint: key.fingerprint.clone(), block: key.block.clone(), from: key.from.clone() })
        };
        names.iter().filter_map(known).collect()
    }
}

fn is_day(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let digits = |part: &str, n: usize| part.len() == n && part.bytes().all(|b| b.is_ascii_digit());
    matches!(parts[..], [y, m, d] if digits(y, 4) && digits(m, 2) && digits(d, 2))
}

/// A release with its patch level: 15.1-p5 is (15, 1, 5).
pub type Level = (u16, u16, u16);

/// Parses `15.1-RELEASE-p5`, `15.1-p5` and `15.1-RELEASE`. `None` for other branches, which have no patch levels.
pub fn level(text: &str) -> Option<Level> {
    let mut parts = text.trim().split('-');
    let (major, minor) = parts.next()?.split_once('.')?;
    let mut patch = 0;
    for part in parts {
        match part.strip_prefix('p').map(str::parse) {
            Some(Ok(number)) => patch = number,
            Some(Err(_)) => return None,
            None if part == "RELEASE" => {}
            None => return None,
        }
    }
    Some((major.parse().ok()?, minor.parse().ok()?, patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_one_is_sound() {
        let all = Catalogue::built_in().unwrap();
        assert!(all.advisories.iter().any(|advisory| advisory.name == "FreeBSD-SA-26:72.bhyve"));
        assert!(all.serial > 2_026_100_000 && all.issued.starts_with("20"));
        // A key with a block must be in one of the supported formats.
        for (name, key) in &all.keys {
            let Some(block) = &key.block else { continue };
            let fine = match &key.fingerprint {
                Some(_) => {
                    block.starts_with("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n") && block.ends_with("-----END PGP PUBLIC KEY BLOCK-----\n")
                }
                None => block.lines().nth(1).is_some_and(|line| line.starts_with("RW") && line.len() == 56),
            };
            assert!(fine, "{name}");
        }
    }

    #[test]
    fn one_that_can_t_be_used_is_refused_whole() {
        let whole = |more: &str| format!(r#"{{"format": 1, "serial": 7, "issued": "2026-01-02"{more}}}"#);
        assert_eq!(Catalogue::parse(&whole(""), "t").unwrap().serial, 7);
        let entry = r#""name": "m", "title": "m", "kind": "disk", "address": "http://h/m.img", "checksums": "http://h/S""#;
        for (text, why) in [
            ("[]".to_owned(), "invalid type: sequence"),
            (r#"{"format": 2, "colour": 1}"#.to_owned(), "form 2"),
            (whole(r#", "colour": 1"#), "colour"),
            (r#"{"format": 1, "serial": 7, "issued": "today"}"#.to_owned(), "not a day"),
            (r#"{"format": 1, "serial": -7, "issued": "2026-01-02"}"#.to_owned(), "-7"),
            (whole(r#", "keys": {"k": {"from": "x"}}"#), "`k`"),
            (whole(r#", "keys": {"k": {"from": "x", "fingerprint": "abc"}}"#), "`k`"),
            (whole(&format!(r#", "systems": [{{{entry}, "signed_by": ["k"]}}]"#)), "`k`"),
            (whole(&format!(r#", "systems": [{{{entry}, "signature": "http://h/s"}}]"#)), "signed_by"),
            (whole(r#", "advisories": [{"name": "SA", "os": "freebsd", "about": "x", "fixed": ["soon"]}]"#), "`SA`"),
            (whole(r#", "advisories": [{"name": "SA", "os": "freebsd", "about": "x", "fixed": []}]"#), "`SA`"),
        ] {
            let problem = Catalogue::parse(&text, "t").unwrap_err();
            assert!(problem.causes[0].contains(why), "{text}: {problem:?}");
        }
    }

    #[test]
    fn levels_are_those_of_releases() {
        assert_eq!(level("15.1-RELEASE-p5"), Some((15, 1, 5)));
        assert_eq!(level("15.1-p5"), level("15.1-RELEASE-p5"));
        assert!(level("15.0-STABLE").is_none() && level("16.0-CURRENT").is_none());
    }
}
