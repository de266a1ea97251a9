//! Making and ending of interfaces: `ifconfig tap create`, `ifconfig tap7 create`, `ifconfig em0.100 create`, `destroy`.

use std::collections::BTreeMap;

use super::net::{self, Interface};
use super::{Kind, bridge, missing, refuse};
use crate::exit::{Done, broken};
use crate::ip;
use crate::place::Place;
use crate::tool::load as load_module;
use crate::vm;

/// Words that belong to the making itself: vlan and vxlan need them before they can be.
const SETTINGS: &[&str] = &["vlan", "vlandev", "vlanproto", "vxlanid", "vxlanlocal", "vxlanremote", "vxlangroup", "vxlandev"];

/// Splits words into those that make the interface and those that are done to it.
pub(super) fn settings<'a>(words: &[&'a str]) -> Done<(BTreeMap<&'a str, &'a str>, Vec<&'a str>)> {
    let mut settings = BTreeMap::new();
    let mut rest = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if SETTINGS.contains(word) {
            let Some(value) = words.next() else { return refuse(format!("'{word}' requires argument")) };
            settings.insert(*word, *value);
        } else {
            rest.push(*word);
        }
    }
    Ok((settings, rest))
}

/// Makes an interface; its name.
pub(super) fn run(place: &Place, asked: &str, settings: &BTreeMap<&str, &str>, load: bool) -> Done<String> {
    let fail = |why: &str| refuse(format!("SIOCIFCREATE2 ({asked}): {why}"));
    let (kind, name) = match (Kind::cloner(asked), asked.split_once('.')) {
        (Some(kind), _) => {
            let unit = net::free_unit(place, kind)?;
            (kind, format!("{}{unit}{}", kind.word(), if kind == Kind::Epair { "a" } else { "" }))
        }
        (None, Some((parent, tag))) if tag.parse::<u16>().is_ok() && net::find(place, parent)?.is_some() => (Kind::Vlan, asked.to_owned()),
        (None, _) => {
            let word = asked.trim_end_matches(|c: char| c.is_ascii_digit());
            match Kind::cloner(word).filter(|_| word != asked) {
                Some(Kind::Epair) => (Kind::Epair, format!("{asked}a")),
                Some(kind) => (kind, asked.to_owned()),
                None => return fail("Invalid argument"),
            }
        }
    };
    if asked.len() > 15 {
        return fail("Invalid argument");
    }
    if net::find(place, &name)?.is_some() || net::all(place)?.iter().any(|known| known.extra.get("was") == Some(&name)) {
        return fail("File exists");
    }
    if let Some(module) = kind.module().filter(|_| load)
        && !place.has_module(module)?
    {
        let _ = load_module(place, module)?;
    }
    if let Some(module) = kind.module()
        && !place.has_module(module)?
    {
        return fail("Invalid argument");
    }
    let mut extra =
        BTreeMap::from([("kind", kind.word()), ("groups", kind.word()), ("was", &name)].map(|(k, v)| (k.to_owned(), v.to_owned())));
    match kind {
        Kind::Bridge => {
            ip::run(&["link", "add", "name", &name, "type", "bridge"])?;
            // An address of its own, which Linux then leaves alone when members come.
            let unit: u32 = name.trim_start_matches("bridge").parse().unwrap_or_default();
            let mac = format!("58:9c:fc:10:{:02x}:{:02x}", unit / 256 % 256, unit % 256);
            ip::run(&["link", "set", &name, "address", &mac])?;
        }
        Kind::Tap | Kind::Vmnet => ip::run(&["tuntap", "add", "dev", &name, "mode", "tap"])?,
        Kind::Epair => {
            let other = format!("{}b", name.trim_end_matches('a'));
            ip::run(&["link", "add", "name", &name, "type", "veth", "peer", "name", &other])?;
            let mut extra = extra.clone();
            extra.insert("was".to_owned(), other.clone());
            net::keep(place, &other, &extra)?;
        }
        Kind::Vlan => vlan(place, &name, asked, settings, &mut extra)?,
        Kind::Vxlan => vxlan(&name, settings)?,
        Kind::Loopback | Kind::Card => return fail("Invalid argument"),
    }
    net::keep(place, &name, &extra)?;
    // `ifconfig epair7 create` says nothing more than it was told.
    Ok(if kind == Kind::Epair && Kind::cloner(asked).is_none() { name.trim_end_matches('a').to_owned() + "a" } else { name })
}

fn vlan(place: &Place, name: &str, asked: &str, settings: &BTreeMap<&str, &str>, extra: &mut BTreeMap<String, String>) -> Done {
    let (parent, tag) = match asked.split_once('.') {
        Some((parent, tag)) => (Some(parent), Some(tag)),
        None => (settings.get("vlandev").copied(), settings.get("vlan").copied()),
    };
    match (parent, tag) {
        (None, None) => make_vlan(place, name, None, extra),
        (Some(parent), Some(tag)) => make_vlan(place, name, Some((parent, tag)), extra),
        _ => refuse("must specify both vlan tag and device"),
    }
}

/// Makes a vlan by Linux' own, or, where the kernel has none, by something that carries nothing.
fn make_vlan(place: &Place, name: &str, of: Option<(&str, &str)>, extra: &mut BTreeMap<String, String>) -> Done {
    let mut real = false;
    if let Some((parent, tag)) = of {
        let Some(parent) = net::find(place, parent)? else { return refuse(format!("SIOCIFCREATE2 ({name}): No such file or directory")) };
        if !tag.parse::<u16>().is_ok_and(|tag| (1..=4094).contains(&tag)) {
            return refuse(format!("SIOCIFCREATE2 ({name}): Invalid argument"));
        }
        extra.insert("parent".to_owned(), parent.name.clone());
        extra.insert("vlan".to_owned(), tag.to_owned());
        real = ip::attempt("ip", &["link", "add", "link", parent.linux(), "name", name, "type", "vlan", "id", tag])?.is_ok();
        if !real {
            pair(name)?;
            ip::run(&["link", "set", name, "mtu", &parent.link.mtu.to_string()])?;
        }
    }
    if !real && of.is_none() {
        pair(name)?;
    }
    Ok(())
}

/// Half of a pair whose other half stays hidden.
fn pair(name: &str) -> Done {
    ip::run(&["link", "add", "name", name, "type", "veth", "peer", "name", &net::hidden_name()?])
}

/// `vlan 100 vlandev em0` on a vlan that is there already; both are needed, and one may have been said before.
pub(super) fn set_vlan(place: &Place, interface: &Interface, word: &str, value: &str) -> Done {
    if interface.kind != Kind::Vlan {
        return refuse(format!("{}: not a vlan", interface.name));
    }
    let key = if word == "vlan" { "vlan" } else { "parent" };
    if key == "parent" && net::find(place, value)?.is_none() {
        return missing(value);
    }
    if key == "vlan" && !value.parse::<u16>().is_ok_and(|tag| (1..=4094).contains(&tag)) {
        return refuse(format!("{value}: bad value"));
    }
    let mut extra = interface.extra.clone();
    extra.insert(key.to_owned(), value.to_owned());
    net::keep(place, &interface.name, &extra)
}

fn vxlan(name: &str, settings: &BTreeMap<&str, &str>) -> Done {
    let Some(id) = settings.get("vxlanid") else { return refuse("must specify vxlanid") };
    let mut words = vec!["link", "add", "name", name, "type", "vxlan", "id", id, "dstport", "4789"];
    for (key, option) in [("vxlanlocal", "local"), ("vxlanremote", "remote"), ("vxlangroup", "group"), ("vxlandev", "dev")] {
        if let Some(value) = settings.get(key) {
            words.extend([option, value]);
        }
    }
    match ip::attempt("ip", &words)? {
        Ok(_) => Ok(()),
        Err(_) => refuse(format!("SIOCIFCREATE2 ({name}): Invalid argument")),
    }
}

/// Ends an interface that a cloner made.
pub(super) fn destroy(place: &Place, name: &str) -> Done {
    let Some(interface) = net::find(place, name)? else { return missing(name) };
    if matches!(interface.kind, Kind::Card | Kind::Loopback) {
        return refuse("SIOCIFDESTROY: Invalid argument");
    }
    if vm::all_running(place)?.iter().any(|(_, vm)| vm.taps.iter().any(|tap| tap == name)) {
        return refuse("SIOCIFDESTROY: Device busy");
    }
    if interface.kind == Kind::Bridge {
        for member in bridge::members(place, &interface)? {
            bridge::remove(place, &interface, &member.name)?;
        }
    }
    // One half of an epair takes the other along.
    let was = interface.extra.get("was").cloned().unwrap_or_default();
    let twin = interface.kind == Kind::Epair;
    ip::attempt("ip", &["link", "del", interface.linux()])?.map_err(|error| broken(format_args!("ip link del {name}: {error}")))?;
    net::forget(place, name);
    for entry in std::fs::read_dir(place.path("net")).into_iter().flatten().flatten() {
        let other = entry.file_name().to_string_lossy().into_owned();
        let mut extra = place.read_pairs(&format!("net/{other}"))?;
        let half = |text: &str| text[..text.len().saturating_sub(1)].to_owned();
        if twin && extra.get("was").is_some_and(|known| half(known) == half(&was)) {
            net::forget(place, &other);
        } else if extra.get("parent").is_some_and(|parent| parent == name) {
            // A vlan without its parent stays, and is nothing.
            extra.remove("parent");
            extra.remove("vlan");
            net::keep(place, &other, &extra)?;
        }
    }
    Ok(())
}
