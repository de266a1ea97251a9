//! What ifconfig prints, in FreeBSD's form. Not its job: changing anything.

use std::net::Ipv4Addr;

use super::Kind;
use super::bridge;
use super::net::{self, Interface};
use crate::exit::Done;
use crate::place::Place;
use crate::release::since;
use crate::vm;

/// Which interfaces are shown.
#[derive(Default)]
pub(super) struct Filter {
    pub(super) up: Option<bool>,
    /// `ether`, `inet`, …
    pub(super) family: Option<String>,
}

impl Filter {
    fn fits(&self, interface: &Interface) -> bool {
        let family = match self.family.as_deref() {
            Some("ether" | "link") => interface.kind != Kind::Loopback,
            Some(family) => interface.link.addresses.iter().any(|(known, ..)| known == family),
            None => true,
        };
        family && self.up.is_none_or(|up| up == interface.link.has("UP"))
    }
}

/// How addresses are shown: `-f inet:cidr,ether:dash`.
#[derive(Default)]
pub(super) struct Format {
    cidr: bool,
    dashes: bool,
}

impl Format {
    /// Takes the argument of `-f`; false when it is none.
    pub(super) fn set(&mut self, text: &str) -> bool {
        text.split(',').all(|item| match item {
            "inet:cidr" => {
                self.cidr = true;
                true
            }
            "ether:dash" => {
                self.dashes = true;
                true
            }
            "inet:default" | "inet:hex" | "inet:dotted" | "ether:colon" | "ether:default" | "inet6:cidr" | "inet6:default" => true,
            _ => false,
        })
    }
}

/// `-l`.
pub(super) fn names(place: &Place, filter: &Filter) -> Done {
    let names: Vec<String> =
        net::all(place)?.into_iter().filter(|interface| filter.fits(interface)).map(|interface| interface.name).collect();
    println!("{}", names.join(" "));
    Ok(())
}

/// `-g`: nothing at all for a group that is not there.
pub(super) fn group(place: &Place, group: &str) -> Done {
    net::all(place)?
        .iter()
        .filter(|interface| interface.groups().iter().any(|known| known == group))
        .for_each(|known| println!("{}", known.name));
    Ok(())
}

pub(super) fn all(place: &Place, filter: &Filter, format: &Format) -> Done {
    net::all(place)?.iter().filter(|interface| filter.fits(interface)).try_for_each(|interface| one(place, interface, format))
}

/// Everything of one interface.
pub(super) fn one(place: &Place, interface: &Interface, format: &Format) -> Done {
    println!(
        "{}: {} metric 0 mtu {}",
        interface.name,
        flags(place, interface),
        if interface.kind == Kind::Loopback { 16384 } else { interface.link.mtu }
    );
    if let Some(text) = interface.extra.get("descr") {
        println!("\tdescription: {text}");
    }
    match interface.kind {
        Kind::Loopback => println!("\toptions=680003<RXCSUM,TXCSUM,LINKSTATE,RXCSUM_IPV6,TXCSUM_IPV6>"),
        Kind::Bridge if place.host.release < since(15, 0) => {}
        Kind::Bridge => println!("\toptions=0"),
        Kind::Card => {
            println!("\toptions=48500b9<RXCSUM,VLAN_MTU,VLAN_HWTAGGING,JUMBO_MTU,VLAN_HWCSUM,VLAN_HWFILTER,VLAN_HWTSO,HWSTATS,MEXTPG>");
        }
        _ => println!("\toptions=80000<LINKSTATE>"),
    }
    if interface.kind != Kind::Loopback {
        println!("\tether {}", if format.dashes { interface.link.mac.replace(':', "-") } else { interface.link.mac.clone() });
    }
    interface.link.addresses.iter().for_each(|address| show_address(address, interface, format));
    if interface.kind == Kind::Bridge {
        members(place, interface)?;
    }
    let groups = match interface.kind {
        Kind::Loopback => vec!["lo".to_owned()],
        _ => interface.groups(),
    };
    if !groups.is_empty() {
        println!("\tgroups: {}", groups.join(" "));
    }
    if interface.kind == Kind::Vlan {
        let get = |key: &str, default: &str| interface.extra.get(key).cloned().unwrap_or_else(|| default.to_owned());
        println!("\tvlan: {} vlanproto: 802.1q vlanpcp: 0 parent interface: {}", get("vlan", "0"), get("parent", "<none>"));
    }
    if !matches!(interface.kind, Kind::Loopback | Kind::Bridge) {
        println!("\tmedia: Ethernet autoselect (1000baseT <full-duplex>)");
        println!("\tstatus: {}", if interface.link.has("LOWER_UP") { "active" } else { "no carrier" });
    }
    match interface.kind {
        Kind::Loopback => println!("\tnd6 options=21<PERFORMNUD,AUTO_LINKLOCAL>"),
        Kind::Bridge => println!("\tnd6 options=9<PERFORMNUD,IFDISABLED>"),
        _ => println!("\tnd6 options=29<PERFORMNUD,IFDISABLED,AUTO_LINKLOCAL>"),
    }
    for (_, vm) in vm::all_running(place)? {
        if vm.taps.contains(&interface.name) {
            println!("\tOpened by PID {}", vm.pid);
        }
    }
    Ok(())
}

/// `flags=8843<UP,…>`, from what Linux says.
fn flags(place: &Place, interface: &Interface) -> String {
    let link = &interface.link;
    let up = link.has("UP");
    // A tap runs while somebody has it open, a bridge while it is up.
    let running = up && (!link.has("NO-CARRIER") || interface.kind == Kind::Bridge);
    let lower = place.host.release >= since(14, 0) && link.has("LOWER_UP");
    let known = [
        (up, 0x1, "UP"),
        (link.has("BROADCAST"), 0x2, "BROADCAST"),
        (link.has("LOOPBACK"), 0x8, "LOOPBACK"),
        (running, 0x40, "RUNNING"),
        (link.promiscuous, 0x100, "PROMISC"),
        (!link.has("LOOPBACK"), 0x800, "SIMPLEX"),
        (link.has("MULTICAST") || link.has("LOOPBACK"), 0x8000, "MULTICAST"),
        (lower, 0x100_0000, "LOWER_UP"),
    ];
    let bits: u32 = known.iter().filter(|(set, ..)| *set).map(|(_, bit, _)| bit).sum();
    let words: Vec<&str> = known.iter().filter(|(set, ..)| *set).map(|(.., word)| *word).collect();
    format!("flags={bits:x}<{}>", words.join(","))
}

fn show_address(address: &(String, String, u64, Option<String>), interface: &Interface, format: &Format) {
    let (family, address, prefix, broadcast) = address;
    if family == "inet6" {
        let scope = if address.starts_with("fe80") { format!("%{}", interface.name) } else { String::new() };
        println!("\tinet6 {address}{scope} prefixlen {prefix}");
        return;
    }
    let broadcast = broadcast.as_ref().map_or(String::new(), |broadcast| format!(" broadcast {broadcast}"));
    if format.cidr {
        println!("\tinet {address}/{prefix}{broadcast}");
    } else {
        let width = u32::try_from(*prefix).unwrap_or(32);
        let mask = u32::from(Ipv4Addr::BROADCAST).checked_shl(32 - width.min(32)).unwrap_or(0);
        println!("\tinet {address} netmask {mask:#010x}{broadcast}");
    }
}

fn members(place: &Place, bridge: &Interface) -> Done {
    let release = place.host.release;
    println!("\tid 00:00:00:00:00:00 priority 32768 hellotime 2 fwddelay 15");
    println!("\tmaxage 20 holdcnt 6 proto rstp maxaddr 2000 timeout 1200");
    println!("\troot id 00:00:00:00:00:00 priority 32768 ifcost 0 port 0");
    if release >= since(15, 0) {
        let filter = if bridge.extra.contains_key("vlanfilter") { "1<VLANFILTER>" } else { "0<>" };
        println!("\tbridge flags={filter}");
    }
    for member in bridge::members(place, bridge)? {
        let (bits, private) = if member.link.isolated { (0x943, ",PRIVATE") } else { (0x143, "") };
        println!("\tmember: {} flags={bits:x}<LEARNING,DISCOVER,AUTOEDGE,AUTOPTP{private}>", member.name);
        print!("\t        ifmaxaddr 0 port {} priority 128 path cost 2000000", member.link.index);
        if release >= since(15, 0) {
            print!(" vlan protocol 802.1q");
            for word in ["untagged", "tagged"] {
                if let Some(list) = bridge.extra.get(&format!("{word}.{}", member.name)) {
                    print!(" {word} {list}");
                }
            }
        }
        println!();
    }
    Ok(())
}
