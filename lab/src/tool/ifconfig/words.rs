//! What is said of one interface, word by word: `up mtu 9000 group vm-port …`.

use std::collections::BTreeMap;
use std::slice::Iter;

use super::net::{self, Interface};
use super::{Kind, address, bridge, create, missing, refuse};
use crate::exit::Done;
use crate::ip;
use crate::place::Place;
use crate::release::since;

const NAME: usize = 15;
const DESCRIPTION: usize = 63;

/// Flags of a card that only a card has. They are taken and forgotten.
const CAPABILITIES: &[&str] = &[
    "lro",
    "tso",
    "tso4",
    "tso6",
    "rxcsum",
    "txcsum",
    "rxcsum6",
    "txcsum6",
    "vlanhwtag",
    "vlanhwfilter",
    "vlanmtu",
    "vlanhwtso",
    "polling",
    "promisc",
    "link0",
    "link1",
    "link2",
    "debug",
    "arp",
    "monitor",
    "staticarp",
];
/// The same with one argument.
const IGNORED: &[&str] = &["media", "mediaopt", "metric", "fib", "tunnelfib"];

/// Runs `ifconfig NAME words…`.
pub(super) fn run(place: &Place, name: &str, verbs: &[&str], load: bool) -> Done {
    let mut verbs = verbs;
    let mut print = false;
    let mut name = name.to_owned();
    if let Some(("create" | "plumb", rest)) = verbs.split_first().map(|(first, rest)| (*first, rest)) {
        // What makes the interface is taken out of the words; the others are done to the new one.
        let (settings, rest) = create::settings(rest)?;
        let made = create::run(place, &name, &settings, load)?;
        print = made != name;
        name = made;
        return finish(place, name, &rest, print);
    }
    if net::find(place, &name)?.is_none() {
        return missing(&name);
    }
    if let ["destroy" | "unplumb"] = verbs {
        return create::destroy(place, &name);
    }
    // A family may stand before its words.
    if let Some(("ether" | "link" | "inet" | "inet6", rest)) = verbs.split_first().map(|(first, rest)| (*first, rest))
        && rest.is_empty()
    {
        verbs = rest;
    }
    finish(place, std::mem::take(&mut name), verbs, print)
}

fn finish(place: &Place, name: String, verbs: &[&str], print: bool) -> Done {
    let mut session = Session { place, name, print };
    let mut words = verbs.iter();
    let mut done = Ok(());
    while let Some(word) = words.next() {
        done = session.word(word, &mut words);
        if done.is_err() {
            break;
        }
    }
    if session.print && done.is_ok() {
        println!("{}", session.name);
    }
    done
}

struct Session<'a> {
    place: &'a Place,
    name: String,
    /// Is the name said at the end?
    print: bool,
}

impl Session<'_> {
    fn interface(&self) -> Done<Interface> {
        match net::find(self.place, &self.name)? {
            Some(interface) => Ok(interface),
            None => missing(&self.name),
        }
    }

    fn word(&mut self, word: &str, rest: &mut Iter<'_, &str>) -> Done {
        let interface = self.interface()?;
        let mut argument = || match rest.next() {
            Some(argument) => Ok(*argument),
            None => refuse(format!("'{word}' requires argument")),
        };
        match word {
            "up" | "down" => ip::run(&["link", "set", interface.linux(), word]),
            "mtu" => set_mtu(self.place, &interface, argument()?),
            "name" => {
                let new = argument()?;
                self.rename(&interface, new)
            }
            "group" => self.group(interface, argument()?, true),
            "-group" => self.group(interface, argument()?, false),
            "descr" | "description" => self.describe(interface, Some(argument()?)),
            "-descr" | "-description" => self.describe(interface, None),
            "ether" | "lladdr" | "link" => set_mac(&interface, argument()?),
            "addm" => bridge::add(self.place, &interface, argument()?),
            "deletem" => bridge::remove(self.place, &interface, argument()?),
            "private" => bridge::private(self.place, &interface, argument()?, true),
            "-private" => bridge::private(self.place, &interface, argument()?, false),
            "addr" => bridge::addresses(&interface),
            "flush" | "flushall" => Ok(()),
            "stp" | "-stp" | "edge" | "-edge" | "autoedge" | "-autoedge" | "learn" | "-learn" | "discover" | "-discover" | "sticky"
            | "-sticky" | "span" | "-span" => bridge::member_word(self.place, &interface, argument()?),
            "maxaddr" | "timeout" | "priority" | "proto" | "holdcnt" | "maxage" | "hellotime" | "fwddelay" => {
                argument()?;
                bridge::only(&interface, word)
            }
            // VLAN filtering came with 15.0.
            "vlanfilter" | "-vlanfilter" | "qinq" | "-qinq" | "defqinq" | "-defqinq" if self.place.host.release >= since(15, 0) => {
                bridge::only(&interface, word)?;
                self.remember(interface, word.trim_start_matches('-'), (!word.starts_with('-')).then_some("on"))
            }
            "iftagged" | "+iftagged" | "-iftagged" | "ifuntagged" if self.place.host.release >= since(15, 0) => {
                let (member, list) = (argument()?, argument()?);
                bridge::vlans(self.place, &interface, word, member, list)
            }
            "untagged" | "tagged" if self.place.host.release >= since(15, 0) && interface.kind == Kind::Bridge => {
                let list = argument()?;
                bridge::vlans_of_last(self.place, &interface, word, list)
            }
            "vlan" | "vlandev" => {
                let argument = argument()?;
                create::set_vlan(self.place, &interface, word, argument)
            }
            "inet" | "inet6" | "alias" => address::change(self.place, &interface, word, rest),
            _ if CAPABILITIES.contains(&word.trim_start_matches('-')) => Ok(()),
            _ if IGNORED.contains(&word) => argument().map(drop),
            _ if word.contains('.') || word.contains(':') => address::change(self.place, &interface, word, rest),
            // A word that is none is taken for an address.
            _ => refuse(format!("{word}: bad value")),
        }
    }

    fn rename(&mut self, interface: &Interface, new: &str) -> Done {
        if new.is_empty() || new.len() > NAME || new.contains(['/', ' ']) || interface.kind == Kind::Loopback {
            return refuse("ioctl SIOCSIFNAME (set name): Invalid argument");
        }
        if net::find(self.place, new)?.is_some() {
            return refuse("ioctl SIOCSIFNAME (set name): File exists");
        }
        let up = interface.link.has("UP");
        if ip::attempt("ip", &["link", "set", interface.linux(), "name", new])?.is_err() {
            // Older kernels rename only what is down.
            ip::run(&["link", "set", interface.linux(), "down"])?;
            ip::run(&["link", "set", interface.linux(), "name", new])?;
            if up {
                ip::run(&["link", "set", new, "up"])?;
            }
        }
        net::rename(self.place, &self.name, new)?;
        new.clone_into(&mut self.name);
        self.print = true;
        Ok(())
    }

    fn group(&self, interface: Interface, group: &str, join: bool) -> Done {
        if group.ends_with(|c: char| c.is_ascii_digit()) {
            return refuse("setifgroup: group names may not end in a digit");
        }
        if group.is_empty() || group.len() > NAME {
            return refuse("setifgroup: group name too long");
        }
        let mut groups = interface.groups();
        let member = groups.iter().any(|known| known == group);
        match (join, member) {
            (true, true) => return Ok(()),
            (true, false) => groups.push(group.to_owned()),
            (false, true) => groups.retain(|known| known != group),
            (false, false) => return refuse("SIOCDIFGROUP: No such file or directory"),
        }
        self.remember(interface, "groups", Some(&groups.join(" ")))
    }

    fn describe(&self, interface: Interface, text: Option<&str>) -> Done {
        if text.is_some_and(|text| text.len() > DESCRIPTION) {
            return refuse("ioctl (set descr): File name too long");
        }
        // Linux has such a text, too, and `ip link` then shows it.
        ip::run(&["link", "set", interface.linux(), "alias", text.unwrap_or_default()])?;
        self.remember(interface, "descr", text.filter(|text| !text.is_empty()))
    }

    fn remember(&self, interface: Interface, key: &str, value: Option<&str>) -> Done {
        let mut extra: BTreeMap<String, String> = interface.extra;
        match value {
            Some(value) => extra.insert(key.to_owned(), value.to_owned()),
            None => extra.remove(key),
        };
        net::keep(self.place, &self.name, &extra)
    }
}

/// Sets an MTU. A bridge's reaches its members from 14.0 on; before that they must agree.
pub(super) fn set_mtu(place: &Place, interface: &Interface, text: &str) -> Done {
    let bad = || refuse("ioctl SIOCSIFMTU (set mtu): Invalid argument");
    let Some(mtu) = text.parse::<u64>().ok().filter(|mtu| (72..=65521).contains(mtu)) else { return bad() };
    if interface.kind == Kind::Vlan
        && let Some(parent) = interface.extra.get("parent")
        && net::find(place, parent)?.is_some_and(|parent| parent.link.mtu < mtu)
    {
        return bad();
    }
    if interface.kind == Kind::Bridge {
        for member in bridge::members(place, interface)? {
            if member.link.mtu != mtu && place.host.release < since(14, 0) {
                return bad();
            }
            ip::run(&["link", "set", member.linux(), "mtu", text])?;
        }
    }
    ip::run(&["link", "set", interface.linux(), "mtu", text])
}

fn set_mac(interface: &Interface, text: &str) -> Done {
    let bytes: Vec<Option<u8>> = text.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect();
    let mac = match (text, bytes.as_slice()) {
        // Locally administered, and the same for the same interface.
        ("random", _) => format!("58:9c:fc:00:{:02x}:{:02x}", interface.link.index / 256 % 256, interface.link.index % 256),
        (_, [Some(first), Some(_), Some(_), Some(_), Some(_), Some(_)]) if first & 1 == 0 => text.to_owned(),
        _ => return refuse(format!("{text}: bad value")),
    };
    ip::run(&["link", "set", interface.linux(), "address", &mac])
}
