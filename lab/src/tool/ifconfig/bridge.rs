//! Bridges and their members, with the rules of if_bridge.

use super::net::{self, Interface};
use super::{Kind, missing, refuse};
use crate::exit::Done;
use crate::ip;
use crate::place::Place;
use crate::release::since;
use crate::tool::sysctl_value;

/// The members of a bridge.
pub(super) fn members(place: &Place, bridge: &Interface) -> Done<Vec<Interface>> {
    Ok(net::all(place)?.into_iter().filter(|member| member.link.master.as_deref() == Some(bridge.linux())).collect())
}

/// Refuses what is no bridge.
pub(super) fn only(interface: &Interface, word: &str) -> Done {
    if interface.kind == Kind::Bridge { Ok(()) } else { refuse(format!("{word}: Invalid argument")) }
}

/// `addm`.
pub(super) fn add(place: &Place, bridge: &Interface, name: &str) -> Done {
    let fail = |why: &str| refuse(format!("BRDGADD {name}: {why}"));
    if bridge.kind != Kind::Bridge {
        return fail("Invalid argument");
    }
    let Some(member) = net::find(place, name)? else { return fail("No such file or directory") };
    match member.link.master.as_deref() {
        Some(master) if master == bridge.linux() => return fail("File exists"),
        Some(_) => return fail("Device busy"),
        None => {}
    }
    if matches!(member.kind, Kind::Bridge | Kind::Loopback) {
        return fail("Invalid argument");
    }
    if refuses_addresses(place)? && has_address(&member) {
        return fail("Invalid argument");
    }
    // An MTU that was set by hand is left alone by Linux when more members come.
    if members(place, bridge)?.is_empty() {
        // The first member's MTU becomes the bridge's.
        ip::run(&["link", "set", bridge.linux(), "mtu", &member.link.mtu.to_string()])?;
    } else if member.link.mtu != bridge.link.mtu {
        if place.host.release < since(14, 0) {
            return fail("Invalid argument");
        }
        ip::run(&["link", "set", member.linux(), "mtu", &bridge.link.mtu.to_string()])?;
    }
    ip::run(&["link", "set", member.linux(), "master", bridge.linux()])?;
    let mut extra = bridge.extra.clone();
    extra.insert("last".to_owned(), name.to_owned());
    net::keep(place, &bridge.name, &extra)
}

/// Since 15.0 a member has no IP address, unless the host is told otherwise; since 16.0 always.
pub(super) fn refuses_addresses(place: &Place) -> Done<bool> {
    let allowed = sysctl_value(place, "net.link.bridge.member_ifaddrs")?.as_deref() == Some("1");
    Ok(place.host.release >= since(15, 0) && !allowed)
}

fn has_address(interface: &Interface) -> bool {
    // A link-local address that Linux gave by itself does not count.
    interface.link.addresses.iter().any(|(_, address, ..)| !address.to_ascii_lowercase().starts_with("fe80:"))
}

fn member(place: &Place, bridge: &Interface, name: &str, call: &str) -> Done<Interface> {
    match net::find(place, name)? {
        None => refuse(format!("{call} {name}: No such file or directory")),
        Some(member) if member.link.master.as_deref() == Some(bridge.linux()) => Ok(member),
        Some(_) => refuse(format!("{call} {name}: No such file or directory")),
    }
}

/// `deletem`.
pub(super) fn remove(place: &Place, bridge: &Interface, name: &str) -> Done {
    let member = member(place, bridge, name, "BRDGDEL")?;
    ip::run(&["link", "set", member.linux(), "nomaster"])?;
    let mut extra = bridge.extra.clone();
    for word in ["untagged", "tagged"] {
        extra.remove(&format!("{word}.{name}"));
    }
    net::keep(place, &bridge.name, &extra)
}

/// `private` and `-private`: members that hear only those that are not private.
pub(super) fn private(place: &Place, bridge: &Interface, name: &str, on: bool) -> Done {
    let member = member(place, bridge, name, "BRDGGIFFLGS")?;
    ip::run(&["link", "set", "dev", member.linux(), "type", "bridge_slave", "isolated", if on { "on" } else { "off" }])
}

/// Words about a member that change nothing here.
pub(super) fn member_word(place: &Place, bridge: &Interface, name: &str) -> Done {
    only(bridge, "bridge")?;
    member(place, bridge, name, "BRDGGIFFLGS").map(drop)
}

/// `iftagged` and its kin: kept and shown; frames pass as if they were not.
pub(super) fn vlans(place: &Place, bridge: &Interface, word: &str, name: &str, list: &str) -> Done {
    let member = member(place, bridge, name, "BRDGSIFVLANSET")?;
    if !is_vlan_list(list) {
        return refuse(format!("{list}: invalid vlan"));
    }
    let mut extra = bridge.extra.clone();
    let key = format!("{}.{}", if word == "ifuntagged" { "untagged" } else { "tagged" }, member.name);
    let known = extra.get(&key).cloned();
    match (word, known) {
        ("-iftagged", _) => extra.remove(&key),
        ("+iftagged", Some(known)) => extra.insert(key, format!("{known},{list}")),
        _ => extra.insert(key, list.to_owned()),
    };
    net::keep(place, &bridge.name, &extra)
}

/// `addm tap0 untagged 10`: about the member that was added just before.
pub(super) fn vlans_of_last(place: &Place, bridge: &Interface, word: &str, list: &str) -> Done {
    let Some(last) = bridge.extra.get("last").cloned() else { return refuse(format!("{word}: no member was added")) };
    if word == "untagged" && !list.parse::<u16>().is_ok_and(|vlan| (1..=4094).contains(&vlan)) {
        return refuse(format!("{list}: invalid vlan"));
    }
    vlans(place, bridge, if word == "untagged" { "ifuntagged" } else { "iftagged" }, &last, list)
}

fn is_vlan_list(text: &str) -> bool {
    let number = |text: &str| text.parse::<u16>().is_ok_and(|vlan| (1..=4094).contains(&vlan));
    ["all", "none"].contains(&text)
        || text.split(',').all(|part| part.split_once('-').map_or(number(part), |(from, to)| number(from) && number(to)))
}

/// `addr`: what the bridge has learned.
pub(super) fn addresses(bridge: &Interface) -> Done {
    only(bridge, "addr")?;
    let Ok(text) = ip::attempt("bridge", &["-j", "fdb", "show", "br", bridge.linux()])? else { return missing(&bridge.name) };
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap_or_default();
    for row in rows.iter().filter(|row| row["state"].as_str() != Some("permanent") && row["flags"].as_array().is_none_or(Vec::is_empty)) {
        let text = |key: &str| row[key].as_str().unwrap_or_default();
        println!("\t{} Vlan1 {} 1200 flags=0<>", text("mac"), text("ifname"));
    }
    Ok(())
}
