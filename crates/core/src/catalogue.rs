//! Known systems: a name becomes an address, the list of checksums beside it, and the settings that the system wants.
//!
//! The table is data, `catalogue.json`; a person's own tables have the same form and come before it. An entry's texts may
//! hold `{version}`, `{digits}` (the version without points), `{codename}`, `{arch}` and `{folder}`.
//!
//! Not here: reading a person's tables (chyves-host), fetching.

use crate::error::{Problem, Result, did_you_mean};
use crate::image::Source;
use crate::property;
use crate::value::{ImageName, printable};
use crate::world::ImageKind;
use crate::zfs::args::Pair;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The table that comes with the program.
const BUILT_IN: &str = include_str!("catalogue.json");

/// A system, or several versions of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name, as `debian-{version}`.
    pub name: String,
    /// What it is, for people.
    pub title: String,
    /// What kind of image it makes.
    pub kind: ImageKind,
    /// Its versions; none where the name has no `{version}`.
    #[serde(default)]
    pub versions: Vec<Version>,
    /// Whether other versions than these may be asked for.
    #[serde(default)]
    pub open: bool,
    /// The vendor's word for each architecture that it is there for; where none is said it fits all.
    #[serde(default)]
    pub arches: BTreeMap<String, String>,
    /// Another word for each architecture, where the vendor's folders are called otherwise.
    #[serde(default)]
    pub folders: BTreeMap<String, String>,
    /// Where it is; none where the vendor gives no lasting address.
    #[serde(default)]
    pub address: Option<String>,
    /// The list of checksums.
    #[serde(default)]
    pub checksums: Option<String>,
    /// What a person should know; instead of an address, what to do.
    #[serde(default)]
    pub note: Option<String>,
    /// Settings that the system wants.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// As it stands in the name.
    pub version: String,
    /// Another word for it that addresses need.
    #[serde(default)]
    pub codename: Option<String>,
}

/// One version for one architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Its name.
    pub name: ImageName,
    /// What it is, for people.
    pub title: String,
    /// What kind of image it makes.
    pub kind: ImageKind,
    /// Where it is.
    pub address: Option<String>,
    /// The list of checksums.
    pub checksums: Option<String>,
    /// What a person should know.
    pub note: Option<String>,
    /// Settings that the system wants.
    pub settings: Vec<Pair>,
}

/// Reads a table; `from` is what it is called in errors.
///
/// # Errors
/// It is no table, or an entry of it can't be used.
pub fn parse(text: &str, from: &str) -> Result<Vec<Entry>> {
    let wrong = |why: String| {
        Problem::usage(format!("`{}` is no catalogue of images", printable(from, 200)))
            .on(printable(from, 200))
            .because(why)
            .hint("its form stands in chyves(8); take it out of the way to go on without it")
    };
    let entries: Vec<Entry> = serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?;
    for entry in &entries {
        let shown = printable(&entry.name, 60);
        let about = |why: &str| wrong(format!("the entry `{shown}`: {why}"));
        if entry.address.is_none() && entry.note.is_none() {
            return Err(about("it has neither an address nor a note that says what to do"));
        }
        if entry.name.contains("{version}") != (!entry.versions.is_empty() || entry.open) {
            return Err(about("versions go with `{version}` in the name, and the other way round"));
        }
        if entry.open && entry.versions.iter().any(|v| v.codename.is_some()) {
            return Err(about("other versions than those it lists would have no codename"));
        }
        for (key, value) in &entry.settings {
            let good = property::find(key).and_then(|known| known.property.kind.canonical(value).map_err(Problem::from));
            good.map_err(|p| about(&p.to_string()))?;
        }
        for version in &entry.versions {
            for arch in entry.arches.keys().map(String::as_str).chain(entry.arches.is_empty().then_some("amd64")) {
                let found = entry.at(&version.version, version.codename.as_deref(), arch);
                found.ok_or_else(|| about("its texts don't fit its versions and architectures"))??;
            }
        }
    }
    Ok(entries)
}

/// The table that comes with the program.
///
/// # Errors
/// Never: a test reads it.
pub fn built_in() -> Result<Vec<Entry>> {
    parse(BUILT_IN, "the catalogue that comes with chyves")
}

impl Entry {
    /// One version for one architecture; none where there is none for that.
    fn at(&self, version: &str, codename: Option<&str>, arch: &str) -> Option<Result<Found>> {
        let word = match (self.arches.get(arch), self.arches.is_empty()) {
            (Some(word), _) => word.as_str(),
            (None, true) => arch,
            (None, false) => return None,
        };
        let folder = self.folders.get(arch).map_or(word, String::as_str);
        let digits: String = version.chars().filter(char::is_ascii_digit).collect();
        let fill = |text: &str| {
            let pairs = [
                ("{version}", version),
                ("{digits}", &digits),
                ("{codename}", codename.unwrap_or("{codename}")),
                ("{arch}", word),
                ("{folder}", folder),
            ];
            pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
        };
        let address = |text: &Option<String>| {
            let text = text.as_deref().map(fill)?;
            let good = !text.contains(['{', '}']) && matches!(Source::parse(&text), Ok(Source::Address(_)));
            Some(if good { Ok(text) } else { Err(Problem::usage(format!("`{}` is no address", printable(&text, 200)))) })
        };
        let made = || {
            Ok(Found {
                name: fill(&self.name).parse()?,
                title: fill(&self.title),
                kind: self.kind,
                address: address(&self.address).transpose()?,
                checksums: address(&self.checksums).transpose()?,
                note: self.note.as_deref().map(fill),
                settings: self.settings.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            })
        };
        Some(made())
    }

    /// The version that a name asks for.
    fn version<'n>(&self, name: &'n str) -> Option<&'n str> {
        match self.name.split_once("{version}") {
            None => (self.name == name).then_some(""),
            Some((before, behind)) => {
                let version = name.strip_prefix(before)?.strip_suffix(behind)?;
                let sound = version.starts_with(|c: char| c.is_ascii_digit()) && version.chars().all(|c| c.is_ascii_digit() || c == '.');
                (self.versions.iter().any(|v| v.version == version) || (self.open && sound)).then_some(version)
            }
        }
    }
}

/// Everything that is listed for an architecture. Of two of one name the first counts.
///
/// # Errors
/// An entry that can't be used.
pub fn list(entries: &[Entry], arch: &str) -> Result<Vec<Found>> {
    let mut all: Vec<Found> = Vec::new();
    for entry in entries {
        let one = Version { version: String::new(), codename: None };
        let versions = if entry.versions.is_empty() && !entry.open { std::slice::from_ref(&one) } else { &entry.versions };
        for version in versions {
            let found = entry.at(&version.version, version.codename.as_deref(), arch).transpose()?;
            all.extend(found.filter(|f| all.iter().all(|other| other.name != f.name)));
        }
    }
    Ok(all)
}

/// The system of that name.
///
/// # Errors
/// There is none, or none for the architecture; the nearest ones are named.
pub fn find(entries: &[Entry], name: &str, arch: &str) -> Result<Found> {
    let shown = printable(name, 60);
    let mut elsewhere = false;
    for entry in entries {
        let Some(version) = entry.version(name) else { continue };
        let codename = entry.versions.iter().find(|v| v.version == version).and_then(|v| v.codename.as_deref());
        match entry.at(version, codename, arch) {
            Some(found) => return found,
            None => elsewhere = true,
        }
    }
    if elsewhere {
        return Err(Problem::not_found(format!("there is no `{shown}` for {arch}"))
            .on(&shown)
            .hint("`chyves image catalogue` shows what there is"));
    }
    let all = list(entries, arch)?;
    let begun: Vec<&str> =
        all.iter().map(|f| f.name.as_str()).filter(|n| n.strip_prefix(name).is_some_and(|r| r.starts_with('-'))).collect();
    let near = if begun.is_empty() {
        did_you_mean(name, all.iter().map(|f| f.name.as_str()))
    } else {
        Some(format!("did you mean {}?", begun.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(" or ")))
    };
    Err(Problem::not_found(format!("nothing in the catalogue is called `{shown}`")).on(&shown).hint_if(near).hint(
        "`chyves image catalogue` shows what there is; an address begins with https://, a file is imported: `chyves image import FILE`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_table_is_sound_and_has_every_system_of_the_promise() {
        let entries = built_in().unwrap();
        let all = list(&entries, "amd64").unwrap();
        for system in ["freebsd", "openbsd", "netbsd", "debian", "ubuntu", "alpine", "rocky", "fedora", "arch", "windows"] {
            let found = all.iter().find(|f| f.name.as_str().starts_with(system)).unwrap_or_else(|| panic!("no {system}"));
            assert!(found.settings.iter().any(|(k, _)| k == "os"), "{system}");
            assert!(found.address.is_some() == found.checksums.is_some(), "{system} has no checksums");
        }
        let addresses = all.iter().flat_map(|f| f.address.iter().chain(&f.checksums));
        assert!(addresses.clone().all(|a| a.starts_with("https://")), "{:?}", addresses.collect::<Vec<_>>());
        // The hash is looked up by the file's name, so there must be one.
        assert!(all.iter().filter_map(|f| f.address.clone()).all(|a| Source::Address(a).file_name().is_some_and(|n| n.contains('.'))));
    }

    #[test]
    fn names_become_addresses() {
        let entries = built_in().unwrap();
        let address = |name: &str, arch: &str| find(&entries, name, arch).map(|f| f.address.unwrap_or_default());
        insta::assert_snapshot!(
            [("debian-12", "amd64"), ("debian-13", "arm64"), ("freebsd-14.3", "arm64"), ("openbsd-7.9", "amd64"), ("arch", "amd64")]
                .map(|(name, arch)| address(name, arch).unwrap())
                .join("\n"),
            @r"
        https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2
        https://cloud.debian.org/images/cloud/trixie/latest/debian-13-genericcloud-arm64.qcow2
        https://download.freebsd.org/releases/VM-IMAGES/14.3-RELEASE/aarch64/Latest/FreeBSD-14.3-RELEASE-arm64-aarch64-BASIC-CLOUDINIT-ufs.qcow2.xz
        https://cdn.openbsd.org/pub/OpenBSD/7.9/amd64/install79.iso
        https://geo.mirror.pkgbuild.com/images/latest/Arch-Linux-x86_64-cloudimg.qcow2
        "
        );
        assert!(find(&entries, "windows-11", "amd64").unwrap().note.unwrap().contains("--like windows-11"));
        let said = |name: &str, arch: &str| find(&entries, name, arch).unwrap_err();
        assert!(said("debian", "amd64").hints[0].contains("`debian-13` or `debian-12`"));
        assert!(said("debain-12", "amd64").hints[0].contains("`debian-12`"));
        assert!(said("arch", "arm64").message.contains("for arm64"));
        for wrong in ["freebsd-../x", "freebsd-", "freebsd-14.3/x", "debian-99", "freebsd-x"] {
            assert_eq!(said(wrong, "amd64").code.exit_code(), 3, "{wrong}");
        }
    }

    #[test]
    fn a_table_that_can_t_be_used_is_refused_whole() {
        let entry = |more: &str| format!(r#"[{{"name": "mine", "title": "x", "kind": "disk"{more}}}]"#);
        assert!(parse(&entry(r#", "address": "http://h/x.img""#), "t").is_ok());
        for (more, why) in [
            ("", "neither an address"),
            (r#", "address": "http://h/x", "colour": 1"#, "colour"),
            (r#", "address": "http://h/x", "settings": {"rma": "1G"}"#, "rma"),
            (r#", "address": "http://h/x", "settings": {"ram": "lots"}"#, "lots"),
            (r#", "address": "http://h/x", "versions": [{"version": "1"}]"#, "{version}"),
        ] {
            let problem = parse(&entry(more), "t").unwrap_err();
            assert!(problem.causes[0].contains(why), "{more}: {problem}");
        }
        let versioned = |address: &str| {
            format!(
                r#"[{{"name": "m-{{version}}", "title": "x", "kind": "iso", "versions": [{{"version": "1"}}], "address": "{address}"}}]"#
            )
        };
        assert!(parse(&versioned("http://h/{version}"), "t").is_ok());
        assert!(parse(&versioned("http://h/{codename}"), "t").is_err());
        assert!(parse(&versioned("/etc/passwd"), "t").is_err());
        assert!(parse("{}", "t").is_err());
    }

    #[test]
    fn what_a_person_adds_comes_first() {
        let mine = parse(r#"[{"name": "debian-12", "title": "mine", "kind": "disk", "address": "http://h/d.img"}]"#, "t").unwrap();
        let all = [mine, built_in().unwrap()].concat();
        assert_eq!(find(&all, "debian-12", "amd64").unwrap().title, "mine");
        assert_eq!(list(&all, "amd64").unwrap().iter().filter(|f| f.name.as_str() == "debian-12").count(), 1);
    }
}
