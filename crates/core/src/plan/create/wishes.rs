//! A new guest's settings: what the user specified, else what the image requires, else the recommendation for the operating
//! system.
//!
//! All of them are stored on the guest, so that `get` shows them and none changes when the image or this table changes.

use super::Request;
use crate::catalogue::profile;
use crate::error::Result;
use crate::guest::trust;
use crate::image::Image;
use crate::os::HostFacts;
use crate::plan::set::checked;
use crate::property::Scope;
use crate::property::keys::{self, DiskKey, NetKey};
use crate::value::Size;
use crate::zfs::args::Pair;

/// The settings, each key once. Remarks about them are added to `notes`.
///
/// # Errors
/// A setting that the user specified is invalid.
pub(super) fn settings(
    request: &Request,
    image: Option<&Image>,
    has_disk: bool,
    host: &HostFacts,
    notes: &mut Vec<String>,
) -> Result<Vec<Pair>> {
    let scopes = [Scope::Guest, Scope::GuestOnly];
    let mut given: Vec<Pair> = Vec::new();
    for (key, value) in &request.set {
        let (key, value) = checked(key, value, &scopes)?;
        given.retain(|(k, _)| *k != key);
        given.push((key, value));
    }
    if asks_for_cloud_init(request, &given) {
        given.insert(0, (keys::CI_ENABLED.into(), "yes".into()));
    }
    let mut all: Vec<Pair> = Vec::new();
    for (key, value) in image.map(|i| i.wants.as_slice()).unwrap_or_default() {
        match checked(key, value, &scopes) {
            Ok((key, _)) if !is_there(&key, request, has_disk) => {}
            Ok((key, value)) if trust::reach_on(host, &key, &value).is_some() => notes.push(format!(
                "the image requests {key}={}, which reaches the host and was not set; `chyves set {} {key}=VALUE` sets it",
                crate::value::printable(&value, 60),
                request.name
            )),
            Ok(pair) => prefer(&mut all, pair),
            Err(_) => notes.push(format!(
                "the image wants {}={}, which this chyves does not know",
                crate::value::printable(key, 60),
                crate::value::printable(value, 60)
            )),
        }
    }
    // A user's setting replaces the recommended one in its position.
    let mut rest = Vec::new();
    for pair in given {
        match all.iter_mut().find(|(k, _)| *k == pair.0) {
            Some(there) => *there = pair,
            None => rest.push(pair),
        }
    }
    all.extend(rest);
    let os = all.iter().find(|(k, _)| k == keys::OS).map(|(_, v)| v.clone());
    if let Some(profile) = os.as_deref().and_then(profile::of) {
        for (key, value) in profile.settings {
            prefer(&mut all, ((*key).to_owned(), (*value).to_owned()));
        }
        if has_disk {
            prefer(&mut all, (keys::disk(0, DiskKey::Bus), profile.bus.to_owned()));
        }
        for n in 0..request.nets {
            prefer(&mut all, (keys::net(n, NetKey::Model), profile.nic.to_owned()));
        }
        let ram = all.iter().find(|(k, _)| k == keys::RAM).and_then(|(_, v)| v.parse::<Size>().ok());
        match ram {
            Some(ram) if ram < profile.least => {
                notes.push(format!("{ram} of memory is little for {}: it usually needs {} or more", profile.name, profile.least));
            }
            Some(_) => {}
            None => all.push((keys::RAM.into(), profile.least.to_string())),
        }
    }
    Ok(all)
}

/// Adds a setting unless its key is set already.
fn prefer(all: &mut Vec<Pair>, pair: Pair) {
    if !all.iter().any(|(k, _)| *k == pair.0) {
        all.push(pair);
    }
}

/// Whether a setting belongs to a device that the guest has, or to no device. A setting of an absent device would create
/// that device.
fn is_there(key: &str, request: &Request, has_disk: bool) -> bool {
    let number = |family: &str| key.strip_prefix(family).and_then(|rest| rest.split_once('.')).and_then(|(n, _)| n.parse::<u16>().ok());
    match (number("disk"), number("net")) {
        (Some(n), _) => has_disk && n == 0,
        (None, Some(n)) => n < request.nets,
        (None, None) => true,
    }
}

/// Setting any cloud-init option enables cloud-init.
fn asks_for_cloud_init(request: &Request, given: &[Pair]) -> bool {
    let says = given.iter().any(|(k, _)| k.starts_with("ci.")) || !request.texts.is_empty();
    says && !given.iter().any(|(k, _)| k == keys::CI_ENABLED)
}
