//! IP addresses: `inet 10.0.0.1/24`, `inet 10.0.0.1 netmask 255.255.255.0`, `inet6 2001:db8::1 prefixlen 64`, `alias`, `-alias`,
//! `delete`.

use std::net::{IpAddr, Ipv4Addr};
use std::slice::Iter;

use super::net::Interface;
use super::{bridge, refuse};
use crate::exit::Done;
use crate::ip;
use crate::place::Place;

/// Takes the words of one address. `first` is the family, or the address itself.
pub(super) fn change(place: &Place, interface: &Interface, first: &str, rest: &mut Iter<'_, &str>) -> Done {
    let text = match first {
        "inet" | "inet6" | "alias" => match rest.next() {
            Some(text) => *text,
            None => return refuse(format!("'{first}' requires argument")),
        },
        text => text,
    };
    let (address, mut prefix) = match text.split_once('/') {
        Some((address, prefix)) => match prefix.parse::<u8>() {
            Ok(prefix) => (address, Some(prefix)),
            Err(_) => return refuse(format!("{text}: bad value (width invalid)")),
        },
        None => (text, None),
    };
    // An address of the link may name its interface.
    let bare = address.strip_suffix(&format!("%{}", interface.name)).filter(|bare| bare.starts_with("fe80")).unwrap_or(address);
    let Ok(address) = bare.parse::<IpAddr>() else { return refuse(format!("{text}: bad value")) };
    if first == "inet6" && address.is_ipv4() || matches!(first, "inet" | "alias") && address.is_ipv6() {
        return refuse(format!("{text}: bad value"));
    }
    let widest = if address.is_ipv4() { 32 } else { 128 };
    let mut remove = false;
    // Other words behind the address are the caller's.
    let mut ahead = rest.clone();
    while let Some(word) = ahead.next() {
        match *word {
            "alias" | "add" | "up" if *word != "up" => {}
            "-alias" | "delete" | "remove" => remove = true,
            "netmask" if address.is_ipv4() => match ahead.next().and_then(|mask| mask_width(mask)) {
                Some(width) => prefix = Some(width),
                None => return refuse("netmask: bad value"),
            },
            "prefixlen" => match ahead.next().and_then(|width| width.parse().ok()) {
                Some(width) => prefix = Some(width),
                None => return refuse("prefixlen: bad value"),
            },
            "broadcast" => {
                ahead.next();
            }
            _ => break,
        }
        *rest = ahead.clone();
    }
    let known = interface.link.addresses.iter().find(|known| known.1 == address.to_string());
    if remove {
        let Some(known) = known else { return refuse("ioctl (SIOCDIFADDR): Can't assign requested address") };
        return ip::run(&["addr", "del", &format!("{}/{}", known.1, known.2), "dev", interface.linux()]);
    }
    if interface.link.master.is_some() && bridge::refuses_addresses(place)? {
        return refuse("ioctl (SIOCAIFADDR): Invalid argument");
    }
    let prefix = prefix.unwrap_or(match address {
        IpAddr::V4(address) => class_width(address),
        IpAddr::V6(_) => 64,
    });
    if prefix > widest {
        return refuse(format!("{text}: bad value (width too large)"));
    }
    if known.is_some() {
        return Ok(());
    }
    let full = format!("{address}/{prefix}");
    // IPv6 has no broadcast; without looking for duplicates it is usable at once.
    let more: &[&str] = if address.is_ipv4() { &["broadcast", "+"] } else { &["nodad"] };
    ip::run(&[&["addr", "add", &full], more, &["dev", interface.linux()]].concat())?;
    // Giving an address brings an interface up.
    ip::run(&["link", "set", interface.linux(), "up"])
}

fn mask_width(text: &str) -> Option<u8> {
    let mask = match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => u32::from(text.parse::<Ipv4Addr>().ok()?),
    };
    let width = mask.leading_ones();
    (mask.checked_shl(width).unwrap_or(0) == 0).then(|| u8::try_from(width).unwrap_or(32))
}

/// Without a mask it is the address' class that counts.
fn class_width(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..=127 => 8,
        128..=191 => 16,
        _ => 24,
    }
}
