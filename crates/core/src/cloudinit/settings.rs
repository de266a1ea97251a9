//! Converts a guest's settings to a [`Seed`].
//!
//! To add a setting: a row in the catalogue, a constant in `keys`, and the field of [`Seed`] that is filled here.

use super::reader::Reader;
use super::{Nic, Seed, documents};
use crate::error::{Problem, Result};
use crate::guest::Guest;
use crate::property::keys::{self, CiNetKey};
use crate::value::{HostName, NicAddress};
use std::str::FromStr;

/// Whether cloud-init is enabled for a guest.
///
/// # Errors
/// The stored value is neither yes nor no.
pub fn is_wanted(guest: &Guest) -> Result<bool> {
    Ok(guest.checked(keys::CI_ENABLED)?.as_deref() == Some("yes"))
}

/// The seed of a guest; `None` if cloud-init is not enabled.
///
/// # Errors
/// A stored value is invalid, or settings contradict each other.
pub fn of(guest: &Guest) -> Result<Option<Seed>> {
    if !is_wanted(guest)? {
        return Ok(None);
    }
    let reader = Reader::of(guest)?;
    let seed = Seed {
        reader,
        instance_id: instance_id(guest)?,
        hostname: hostname(guest)?,
        user: parsed(guest, keys::CI_USER)?,
        keys: numbered(guest, "ci.key", keys::ci_key)?,
        password_file: guest.checked(keys::CI_PASSWORD_FILE)?,
        dns: numbered(guest, "ci.dns", keys::ci_dns)?,
        search: numbered(guest, "ci.search", keys::ci_search)?,
        nics: guest.spec()?.nets.iter().map(|net| nic(guest, net, reader)).collect::<Result<_>>()?,
    };
    if seed.password_file.is_some() && seed.user.is_none() {
        return Err(Problem::usage(format!("`{}` has a password for a user without a name", guest.name))
            .on(&guest.name)
            .because("`ci.password_file` is the password of `ci.user`, which is not set")
            .hint(format!("name the user: `chyves set {} ci.user=NAME`", guest.name)));
    }
    documents::check(&seed).map_err(|problem| {
        let said = format!("cannot set up `{}` by its settings: {}", guest.name, problem.message);
        let object = problem.object.clone().unwrap_or_else(|| guest.name.to_string());
        Problem { message: said, object: Some(object), ..problem }
    })?;
    Ok(Some(seed))
}

/// The instance id: a clone has another UUID, a reinit another generation. Nothing else changes it.
pub fn instance_id(guest: &Guest) -> Result<String> {
    Ok(format!("{}-{}", guest.uuid, generation(guest)?))
}

/// The generation: how often the guest was initialised as a new instance, including the first time.
///
/// # Errors
/// The stored number is invalid.
pub fn generation(guest: &Guest) -> Result<u32> {
    Ok(parsed(guest, keys::CI_GENERATION)?.unwrap_or(1))
}

fn hostname(guest: &Guest) -> Result<HostName> {
    Ok(parsed(guest, keys::CI_HOSTNAME)?.unwrap_or_else(|| HostName::from_guest(guest.name.as_str())))
}

fn parsed<T: FromStr>(guest: &Guest, key: &str) -> Result<Option<T>> {
    let Some(text) = guest.checked(key)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Problem::bug(format!("`{key}` allows `{text}`, which its reader does not")).on(key))
}

/// The effective values of a numbered key, including inherited ones, by number.
fn numbered<T: FromStr>(guest: &Guest, family: &str, key: impl Fn(u16) -> String) -> Result<Vec<T>> {
    let numbers = guest.settings.numbers_that_hold(family);
    numbers.into_iter().filter_map(|n| parsed(guest, &key(n)).transpose()).collect()
}

fn nic(guest: &Guest, net: &crate::guest::NetSpec, reader: Reader) -> Result<Nic> {
    let key = |part| keys::ci_net(net.number, part);
    let address = |part, unset| Ok::<_, Problem>(parsed(guest, &key(part))?.unwrap_or(unset));
    // Without a fixed address a NIC gets its gateway from the same source as its address.
    let gateway = |part, own| if matches!(own, NicAddress::Fixed(..)) { parsed(guest, &key(part)) } else { Ok(None) };
    let v4 = address(CiNetKey::Address, NicAddress::Dhcp)?;
    // nuageinit cannot combine a fixed IPv4 address with router advertisements: without an explicit IPv6 setting they are
    // disabled.
    let is_asked6 = guest.settings.own(&key(CiNetKey::Address6)).is_some();
    let v6 = if reader == Reader::Nuageinit && v4 != NicAddress::Dhcp && !is_asked6 {
        NicAddress::None
    } else {
        address(CiNetKey::Address6, NicAddress::Auto)?
    };
    let (gateway, gateway6) = (gateway(CiNetKey::Gateway, v4)?, gateway(CiNetKey::Gateway6, v6)?);
    for (own, router, part) in [(v4, gateway, CiNetKey::Gateway), (v6, gateway6, CiNetKey::Gateway6)] {
        if let (NicAddress::Fixed(own, _), Some(router)) = (own, router)
            && own == router
        {
            let key = key(part);
            return Err(Problem::usage(format!("`{key}` of `{}` is the address of net{} itself: {router}", guest.name, net.number))
                .on(&guest.name)
                .hint(format!("set it to the address of the router: `chyves set {} {key}=ADDRESS`", guest.name)));
        }
    }
    Ok(Nic { number: net.number, mac: net.mac, mtu: net.mtu.filter(|mtu| *mtu != 1500), v4, v6, gateway, gateway6 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing;

    const KEY: &str = "ssh-ed25519 AAAA";

    #[test]
    fn a_guest_without_it_has_none() {
        assert_eq!(of(&testing::guest("web01", &[("ci.user", "ann")])).unwrap(), None);
    }

    #[test]
    fn what_is_not_set_follows_from_the_guest() {
        let guest =
            testing::guest("web_01", &[("ci.enabled", "yes"), ("net0.backend", "user"), ("net2.backend", "user"), ("net2.mtu", "9000")]);
        let seed = of(&guest).unwrap().unwrap();
        assert_eq!(seed.instance_id, format!("{}-1", guest.uuid));
        assert_eq!(seed.hostname.to_string(), "web-01");
        let nics: Vec<String> = seed.nics.iter().map(|c| format!("{} {} {} {:?}", c.number, c.v4, c.v6, c.mtu)).collect();
        assert_eq!(nics, ["0 dhcp auto None", "2 dhcp auto Some(9000)"]);
        let routed = [("ci.enabled", "yes"), ("net0.backend", "user"), ("ci.net0.gateway", "192.0.2.1")];
        assert_eq!(of(&testing::guest("web01", &routed)).unwrap().unwrap().nics[0].gateway, None);
        let fixed = [routed.as_slice(), &[("ci.net0.address", "192.0.2.9/24")]].concat();
        assert!(of(&testing::guest("web01", &fixed)).unwrap().unwrap().nics[0].gateway.is_some());
        assert_eq!(seed.nics[1].mac, guest.spec().unwrap().nets[1].mac);
    }

    #[test]
    fn settings_that_do_not_go_together_are_told_with_the_cure() {
        let why = |settings: &[(&str, &str)]| {
            let all = [&[("ci.enabled", "yes"), ("net0.backend", "user")], settings].concat();
            of(&testing::guest("web01", &all)).unwrap_err()
        };
        assert!(why(&[("ci.password_file", "secret")]).hints[0].contains("ci.user"));
        let bsd = [("os", "freebsd"), ("ci.net0.address", "192.0.2.9/24")];
        let asked = [&bsd[..], &[("ci.net0.address6", "auto")]].concat();
        let problem = why(&asked);
        assert!(problem.message.contains("router advertisements") && problem.hints[0].contains("ci.net0.address6"), "{problem:?}");
        let all = [&[("ci.enabled", "yes"), ("net0.backend", "user")], &bsd[..]].concat();
        let seed = of(&testing::guest("web01", &all)).unwrap().unwrap();
        assert_eq!((seed.reader, seed.nics[0].v6), (Reader::Nuageinit, NicAddress::None));
        assert!(why(&[("ci.key0", KEY)]).message.contains("the setting `ci.key0` of `web01` is wrong"));
    }
}
