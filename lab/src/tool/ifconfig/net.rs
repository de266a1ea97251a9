//! The lab's interfaces: what Linux has of them, and beside it what only FreeBSD has (groups, descriptions, the cloner's unit),
//! which is kept in the lab's folder, one file an interface.
//! Not its job: what a word of ifconfig's means.

use std::collections::BTreeMap;

use crate::exit::{Done, Or};
use crate::ip::{self, Link};
use crate::place::Place;

/// Names that the lab needs for itself begin so, and are not shown.
const HIDDEN: &str = "lab-";

/// What an interface is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bridge,
    Tap,
    Vmnet,
    Vlan,
    Epair,
    Vxlan,
    Loopback,
    Card,
}

impl Kind {
    const CLONERS: [(Kind, &'static str); 6] = [
        (Kind::Bridge, "bridge"),
        (Kind::Tap, "tap"),
        (Kind::Vmnet, "vmnet"),
        (Kind::Vlan, "vlan"),
        (Kind::Epair, "epair"),
        (Kind::Vxlan, "vxlan"),
    ];

    /// The cloner of a word, as in `ifconfig tap create`.
    pub(crate) fn cloner(word: &str) -> Option<Kind> {
        Kind::CLONERS.iter().find(|(_, name)| *name == word).map(|(kind, _)| *kind)
    }

    /// The cloner's name, which is the first group of what it makes, too.
    pub(crate) fn word(self) -> &'static str {
        Kind::CLONERS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// The module that ifconfig loads by itself.
    pub(crate) fn module(self) -> Option<&'static str> {
        match self {
            Kind::Bridge => Some("if_bridge"),
            Kind::Tap | Kind::Vmnet => Some("if_tuntap"),
            Kind::Vlan => Some("if_vlan"),
            Kind::Epair => Some("if_epair"),
            Kind::Vxlan => Some("if_vxlan"),
            Kind::Loopback | Kind::Card => None,
        }
    }
}

/// An interface as FreeBSD would have it.
#[derive(Clone, Debug)]
pub(crate) struct Interface {
    /// FreeBSD's name of it: `lo0` for Linux' `lo`.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) link: Link,
    /// What only FreeBSD has: `was` (the cloner's unit), `groups`, `descr`, `vlan`, `parent`, …
    pub(crate) extra: BTreeMap<String, String>,
}

impl Interface {
    /// Its groups, the cloner's own first.
    pub(crate) fn groups(&self) -> Vec<String> {
        self.extra
            .get("groups")
            .map_or(Vec::new(), |groups| groups.split(' ').filter(|group| !group.is_empty()).map(str::to_owned).collect())
    }

    /// Linux' name of it.
    pub(crate) fn linux(&self) -> &str {
        &self.link.name
    }
}

/// All interfaces that FreeBSD would show, in the order of their making.
pub(crate) fn all(place: &Place) -> Done<Vec<Interface>> {
    let mut interfaces = Vec::new();
    for link in ip::links()?.into_iter().filter(|link| !link.name.starts_with(HIDDEN)) {
        let name = if link.name == "lo" { "lo0".to_owned() } else { link.name.clone() };
        let extra = place.read_pairs(&format!("net/{name}"))?;
        let kind = match (extra.get("kind").and_then(|word| Kind::cloner(word)), link.kind.as_str()) {
            (Some(kind), _) => kind,
            (None, "bridge") => Kind::Bridge,
            (None, "tun") => Kind::Tap,
            (None, _) if link.has("LOOPBACK") => Kind::Loopback,
            (None, _) => Kind::Card,
        };
        interfaces.push(Interface { name, kind, link, extra });
    }
    Ok(interfaces)
}

/// One interface, if it is there.
pub(crate) fn find(place: &Place, name: &str) -> Done<Option<Interface>> {
    Ok(all(place)?.into_iter().find(|interface| interface.name == name))
}

/// Keeps what only FreeBSD has of an interface.
pub(crate) fn keep(place: &Place, name: &str, extra: &BTreeMap<String, String>) -> Done {
    place.write_pairs(&format!("net/{name}"), extra)
}

/// Forgets an interface that is gone.
pub(crate) fn forget(place: &Place, name: &str) {
    let _ = std::fs::remove_file(place.path("net").join(name));
}

/// What is kept moves along with a new name.
pub(crate) fn rename(place: &Place, old: &str, new: &str) -> Done {
    let folder = place.path("net");
    if folder.join(old).exists() {
        std::fs::rename(folder.join(old), folder.join(new)).or_broken(folder.display())?;
    }
    Ok(())
}

/// A name for the other end of something that Linux makes in pairs.
pub(crate) fn hidden_name() -> Done<String> {
    let links = ip::links()?;
    let taken = |name: &str| links.iter().any(|link| link.name == name);
    Ok((0..=u32::MAX).map(|number| format!("{HIDDEN}{number}")).find(|name| !taken(name)).unwrap_or_default())
}

/// The first unit that no interface of a cloner has, under whatever name it goes today.
pub(crate) fn free_unit(place: &Place, kind: Kind) -> Done<u32> {
    let interfaces = all(place)?;
    let word = kind.word();
    let taken = |unit: u32| {
        let names = [format!("{word}{unit}"), format!("{word}{unit}a"), format!("{word}{unit}b")];
        interfaces.iter().any(|known| names.contains(&known.name) || known.extra.get("was").is_some_and(|was| names.contains(was)))
    };
    Ok((0..=u32::MAX).find(|unit| !taken(*unit)).unwrap_or_default())
}
