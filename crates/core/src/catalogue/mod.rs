//! Known operating systems: a name yields the URL of an image, the URL of its list of checksums, and the settings that the
//! operating system needs.
//!
//! The table is data, `catalogue.json`; a user's own tables are lists of the same entries and take precedence. Texts of an
//! entry may contain `{version}`, `{digits}` (the version without dots), `{codename}`, `{arch}` and `{folder}`.
//!
//! * [`whole`]: a complete catalogue of one day, with keys and security advisories
//! * [`profile`]: what each operating system needs of its VM
//! * [`installed`]: an installed catalogue, which one is in use, and undoing an update
//!
//! Not here: reading a user's tables and installing a newer catalogue (chyves-host), downloading.

pub mod installed;
pub mod profile;
pub mod whole;

pub use whole::{Advisory, Catalogue};

use crate::error::{Code, Problem, Result, did_you_mean};
use crate::image::{ImageKind, Source};
use crate::property;
use crate::value::json;
use crate::value::{ImageName, printable};
use crate::zfs::args::Pair;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// An operating system, or several versions of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name, such as `debian-{version}`.
    pub name: String,
    /// A title for users.
    pub title: String,
    /// The kind of image.
    pub kind: ImageKind,
    /// Its versions; empty if the name contains no `{version}`.
    #[serde(default)]
    pub versions: Vec<Version>,
    /// Whether versions that are not listed may be requested.
    #[serde(default)]
    pub open: bool,
    /// The vendor's word for each supported architecture; if empty, the image fits all architectures.
    #[serde(default)]
    pub arches: BTreeMap<String, String>,
    /// The word for each architecture in the vendor's folder names, if it differs.
    #[serde(default)]
    pub folders: BTreeMap<String, String>,
    /// The URL; `None` if the vendor provides no permanent one.
    #[serde(default)]
    pub address: Option<String>,
    /// The URL of the list of checksums.
    #[serde(default)]
    pub checksums: Option<String>,
    /// The URL of the signature of that list, if it is a separate file. If there is none although `signed_by` is set, the
    /// list contains its signature.
    #[serde(default)]
    pub signature: Option<String>,
    /// The URL of the signature of the image itself, if the list is not signed.
    #[serde(default)]
    pub image_signature: Option<String>,
    /// The signing keys, by their names in the catalogue; a version may have its own.
    #[serde(default)]
    pub signed_by: Vec<String>,
    /// Why nothing is signed although users would expect a signature.
    #[serde(default)]
    pub unsigned: Option<String>,
    /// A note for users; without a URL, instructions how to get the image.
    #[serde(default)]
    pub note: Option<String>,
    /// Settings that the operating system needs.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

/// One version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// The version as it occurs in the name.
    pub version: String,
    /// Another name of the version that URLs use.
    #[serde(default)]
    pub codename: Option<String>,
    /// Its signing keys, if they differ from the entry's.
    #[serde(default)]
    pub signed_by: Vec<String>,
    /// What could not be verified when the catalogue was made.
    #[serde(default)]
    pub unverified: Option<String>,
}

/// One version for one architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The image's name.
    pub name: ImageName,
    /// A title for users.
    pub title: String,
    /// The kind of image.
    pub kind: ImageKind,
    /// The URL.
    pub address: Option<String>,
    /// The URL of the list of checksums.
    pub checksums: Option<String>,
    /// The URL of the signature of that list, if it is a separate file.
    pub signature: Option<String>,
    /// The URL of the signature of the image itself.
    pub image_signature: Option<String>,
    /// The signing keys, by their names in the catalogue.
    pub signed_by: Vec<String>,
    /// Why nothing is signed.
    pub unsigned: Option<String>,
    /// What could not be verified when the catalogue was made.
    pub unverified: Option<String>,
    /// A note for users.
    pub note: Option<String>,
    /// Settings that the operating system needs.
    pub settings: Vec<Pair>,
}

/// The error for an invalid table or catalogue.
fn no_catalogue(from: &str, why: impl std::fmt::Display) -> Problem {
    Problem::usage(format!("`{}` is not a catalogue of images", printable(from, 200))).on(printable(from, 200)).because(why)
}

/// Parses a user's own table; `from` is its name in errors.
///
/// # Errors
/// It is not a table, or an entry is invalid.
pub fn parse(text: &str, from: &str) -> Result<Vec<Entry>> {
    let aside = |problem: Problem| problem.hint("its form stands in chyves-image(8); take it out of the way to go on without it");
    let entries: Vec<Entry> = json::from_str(text).map_err(|e| aside(no_catalogue(from, e)))?;
    sound(&entries, &BTreeSet::new(), from).map_err(aside)?;
    Ok(entries)
}

/// Checks that entries are valid, given the names of the known keys.
fn sound(entries: &[Entry], keys: &BTreeSet<&str>, from: &str) -> Result<()> {
    for entry in entries {
        let shown = printable(&entry.name, 60);
        let about = |why: &str| no_catalogue(from, format!("the entry `{shown}`: {why}"));
        let signers = || entry.versions.iter().flat_map(|version| &version.signed_by).chain(&entry.signed_by);
        if let Some(unknown) = signers().find(|name| !keys.contains(name.as_str())) {
            return Err(about(&format!("there is no key called `{}`", printable(unknown, 60))));
        }
        if (entry.signature.is_some() || entry.image_signature.is_some()) && signers().next().is_none() {
            return Err(about("a signature goes with `signed_by`, the keys that it may be made by"));
        }
        if entry.address.is_none() && entry.note.is_none() {
            return Err(about("it has neither an address nor a note with what to do"));
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
                let found = entry.at(version, arch);
                found.ok_or_else(|| about("its documents do not match its versions and architectures"))??;
            }
        }
    }
    Ok(())
}

impl Entry {
    /// One version for one architecture; `None` if it does not support the architecture.
    fn at(&self, of: &Version, arch: &str) -> Option<Result<Found>> {
        let (version, codename) = (of.version.as_str(), of.codename.as_deref());
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
            Some(if good { Ok(text) } else { Err(Problem::usage(format!("`{}` is not an address", printable(&text, 200)))) })
        };
        let made = || {
            Ok(Found {
                name: fill(&self.name).parse()?,
                title: fill(&self.title),
                kind: self.kind,
                address: address(&self.address).transpose()?,
                checksums: address(&self.checksums).transpose()?,
                signature: address(&self.signature).transpose()?,
                image_signature: address(&self.image_signature).transpose()?,
                signed_by: if of.signed_by.is_empty() { &self.signed_by } else { &of.signed_by }.clone(),
                unsigned: self.unsigned.clone(),
                unverified: of.unverified.clone(),
                note: self.note.as_deref().map(fill),
                settings: self.settings.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            })
        };
        Some(made())
    }

    /// The version that a name requests.
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

/// Everything that is available for an architecture. If two have the same name, the first one takes precedence.
///
/// # Errors
/// An entry is invalid.
pub fn list(entries: &[Entry], arch: &str) -> Result<Vec<Found>> {
    let mut all: Vec<Found> = Vec::new();
    for entry in entries {
        let one = Version::default();
        let versions = if entry.versions.is_empty() && !entry.open { std::slice::from_ref(&one) } else { &entry.versions };
        for version in versions {
            let found = entry.at(version, arch).transpose()?;
            all.extend(found.filter(|f| all.iter().all(|other| other.name != f.name)));
        }
    }
    Ok(all)
}

/// The operating system of that name.
///
/// # Errors
/// There is none, or none for the architecture; the message names the most similar ones.
pub fn find(entries: &[Entry], name: &str, arch: &str) -> Result<Found> {
    let shown = printable(name, 60);
    let mut elsewhere = false;
    for entry in entries {
        let Some(version) = entry.version(name) else { continue };
        let listed = entry.versions.iter().find(|v| v.version == version).cloned();
        match entry.at(&listed.unwrap_or_else(|| Version { version: version.to_owned(), ..Version::default() }), arch) {
            Some(found) => return found,
            None => elsewhere = true,
        }
    }
    if elsewhere {
        return Err(Code::NotInCatalogue
            .problem(format!("there is no `{shown}` for {arch}"))
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
    Err(Code::NotInCatalogue.problem(format!("nothing in the catalogue is called `{shown}`")).on(&shown).hint_if(near).hint(
        "`chyves image catalogue` shows what there is; an address begins with https://, a file is imported: `chyves image import FILE`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_table_is_sound_and_has_every_system_of_the_promise() {
        let entries = Catalogue::built_in().unwrap().systems;
        let all = list(&entries, "amd64").unwrap();
        for system in ["freebsd", "openbsd", "netbsd", "debian", "ubuntu", "alpine", "rocky", "fedora", "arch", "windows"] {
            let found = all.iter().find(|f| f.name.as_str().starts_with(system)).unwrap_or_else(|| panic!("no {system}"));
            assert!(found.settings.iter().any(|(k, _)| k == "os"), "{system}");
            assert!(found.address.is_some() == found.checksums.is_some(), "{system} has no checksums");
        }
        let addresses = all.iter().flat_map(|f| f.address.iter().chain(&f.checksums));
        assert!(addresses.clone().all(|a| a.starts_with("https://")), "{:?}", addresses.collect::<Vec<_>>());
        // The checksum is looked up by the file's name, so every URL must contain one.
        assert!(all.iter().filter_map(|f| f.address.clone()).all(|a| Source::Address(a).file_name().is_some_and(|n| n.contains('.'))));
    }

    #[test]
    fn names_become_addresses() {
        let entries = Catalogue::built_in().unwrap().systems;
        let address = |name: &str, arch: &str| find(&entries, name, arch).map(|f| f.address.unwrap_or_default());
        insta::assert_snapshot!(
            [("debian-12", "amd64"), ("debian-13", "arm64"), ("freebsd-14.3", "arm64"), ("openbsd-7.9", "amd64"), ("ubuntu-26.04", "amd64"), ("fedora-43", "arm64"), ("alpine-3.24.1", "amd64"), ("rocky-10", "amd64"), ("arch", "amd64")]
                .map(|(name, arch)| address(name, arch).unwrap())
                .join("\n"),
            @r"
        https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2
        https://cloud.debian.org/images/cloud/trixie/latest/debian-13-genericcloud-arm64.qcow2
        https://download.freebsd.org/releases/VM-IMAGES/14.3-RELEASE/aarch64/Latest/FreeBSD-14.3-RELEASE-arm64-aarch64-BASIC-CLOUDINIT-ufs.qcow2.xz
        https://cdn.openbsd.org/pub/OpenBSD/7.9/amd64/install79.iso
        https://cloud-images.ubuntu.com/releases/resolute/release/ubuntu-26.04-server-cloudimg-amd64.img
        https://download.fedoraproject.org/pub/fedora/linux/releases/43/Cloud/aarch64/images/Fedora-Cloud-Base-Generic-43-1.6.aarch64.qcow2
        https://dl-cdn.alpinelinux.org/alpine/v3.24/releases/x86_64/alpine-virt-3.24.1-x86_64.iso
        https://dl.rockylinux.org/pub/rocky/10/images/x86_64/Rocky-10-GenericCloud-Base.latest.x86_64.qcow2
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
        let all = [mine, Catalogue::built_in().unwrap().systems].concat();
        assert_eq!(find(&all, "debian-12", "amd64").unwrap().title, "mine");
        assert_eq!(list(&all, "amd64").unwrap().iter().filter(|f| f.name.as_str() == "debian-12").count(), 1);
    }
}
