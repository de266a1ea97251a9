//! What is required of a file: the hash that the user stated or that a list of checksums contains, and a signature of the list
//! or of the file itself.
//!
//! Not here: parsing lists (chyves-core `image::checksums`), hashing (`digest`), checking signatures (`signature`).

use super::fetch::Remote;
use super::signature::{self, Detached, Keys};
use super::{ftp, hints, http};
use crate::hostfs::input::Input;
use chyves_core::error::{Code, Kind, Problem, Result};
use chyves_core::image::{Hash, Order, Source, checksums};
use chyves_core::value::printable;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Size limit of lists, signatures and keys, in bytes.
const SMALL: u64 = 4 << 20;

/// What is required of a file, and how it is reported afterwards.
#[derive(Default)]
pub(super) struct Wanted {
    pub(super) hash: Option<Hash>,
    /// The required signature of the file itself.
    pub(super) signature: Option<Detached>,
    /// How the requirement was found; empty if there is none.
    pub(super) told: String,
    /// Checks that would have been made but were not possible.
    pub(super) warnings: Vec<String>,
}

/// Determines what is required of a file. `scratch` is a folder for temporary files.
pub(super) fn wanted(order: &Order, scratch: &str) -> Result<Wanted> {
    let mut wanted = Wanted::default();
    let keys = keys(order, &mut wanted.warnings)?;
    let source = order.source.shown();
    if let Some(place) = &order.checksums {
        let shown = place.shown();
        let bytes = small(place, order.silence)?;
        // The signature is the list's, unless the order states that it is the image's.
        let (list, signed) = match keys.as_ref().filter(|_| !order.signs_image) {
            None => (bytes, String::new()),
            Some(keys) => {
                let beside = signature_of(place, &bytes, order.signature.as_ref(), keys, order.silence)?;
                let (list, by) = signature::of_text(keys, &bytes, beside.as_deref(), scratch, &shown)?;
                (list, format!(", signed by {by}"))
            }
        };
        let list = checksums::text(&list);
        let own = order.source.file_name();
        // A link is looked up by the name of its file, too.
        let real = if let Source::File(path) = &order.source { crate::hostfs::own::real(Path::new(path)) } else { PathBuf::new() };
        let real = real.file_name().and_then(|name| name.to_str());
        let names: Vec<&str> = [own.as_deref(), real, order.alias.as_deref(), order.named.as_deref()].into_iter().flatten().collect();
        if names.is_empty() {
            return Err(Problem::usage(format!("`{source}` has no name to look up in a list")).hint("give its hash with --hash"));
        }
        let list_name = place.file_name().unwrap_or_default();
        let hash = checksums::find_in(&list, &list_name, &names).or_else(|problem| {
            // The server may use another name for the file, which is also the one in the list.
            let others = super::name::of(&order.source, order.silence).unwrap_or_default();
            let others: Vec<&str> = others.iter().map(String::as_str).collect();
            if others.is_empty() { Err(problem) } else { checksums::find_in(&list, &list_name, &others).map_err(|_| problem) }
        });
        let hash = hash.map_err(|p| p.because(format!("the list is {shown}")))?;
        wanted.told = format!("{hash} in {shown}{signed}");
        wanted.hash = Some(hash);
    } else if let Some(hash) = &order.hash {
        wanted.told = hash.to_string();
        wanted.hash = Some(hash.clone());
    }
    if let Some(keys) = keys.filter(|_| order.signs_image || order.checksums.is_none()) {
        let signature = match &order.signature {
            Some(signature) => small(signature, order.silence)?,
            None => beside(&order.source, &keys, order.silence)?,
        };
        wanted.signature = Some(Detached::new(keys, signature, scratch, &source));
    }
    Ok(wanted)
}

/// The trusted keys: those that the user names, else those of the catalogue.
fn keys(order: &Order, warnings: &mut Vec<String>) -> Result<Option<Keys>> {
    if let Some(path) = &order.key {
        let keys = Keys::parse(&small(&Source::File(path.clone()), 0)?, path)?;
        return Ok(Some(keys.among(&order.keys)));
    }
    if order.keys.is_empty() || order.hash.is_some() {
        return Ok(None);
    }
    let source = order.source.shown();
    let Some(keys) = Keys::of_vendor(&order.keys)? else {
        let names: Vec<&str> = order.keys.iter().map(|key| key.fingerprint.as_deref().unwrap_or(&key.name)).collect();
        let places: std::collections::BTreeSet<&str> = order.keys.iter().map(|key| key.from.as_str()).collect();
        warnings.push(format!(
            "the vendor's signature of `{source}` was not checked: the catalogue has only the fingerprint of its key, {}; the key is at {}, and \
             --key FILE checks with it",
            names.join(" or "),
            places.into_iter().collect::<Vec<_>>().join(" or ")
        ));
        return Ok(None);
    };
    if keys.lacks_gpgv() {
        warnings.push(format!(
            "the vendor's signature of `{source}` was not checked: `gpgv` is not installed (package gnupg on FreeBSD, gpgv on Debian)"
        ));
        return Ok(None);
    }
    Ok(Some(keys))
}

/// The signature of a text: the named one, none if it is inside the text, else the one beside it.
pub(crate) fn signature_of(of: &Source, text: &[u8], named: Option<&Source>, keys: &Keys, silence: u32) -> Result<Option<Vec<u8>>> {
    match (named, signature::is_inside(text)) {
        (Some(named), _) => small(named, silence).map(Some),
        (None, true) => Ok(None),
        (None, false) => beside(of, keys, silence).map(Some),
    }
}

/// The signature beside a file, under one of its possible names.
fn beside(of: &Source, keys: &Keys, silence: u32) -> Result<Vec<u8>> {
    let shown = of.shown();
    let name = of.file_name().unwrap_or_default();
    let names: Vec<String> = keys.endings().iter().map(|ending| format!("{name}{ending}")).collect();
    for name in &names {
        let Some(place) = of.beside(name) else { break };
        match small(&place, silence) {
            Err(problem) if problem.code == Kind::NotFound => {}
            found => return found,
        }
    }
    Err(Problem::not_found(format!("there is no signature of `{shown}`"))
        .on(&shown)
        .because(format!("none of these is beside it: {}", names.join(", ")))
        .hint("name it with --signature FILE|ADDRESS"))
}

/// Reads a small file from any source.
pub(crate) fn small(place: &Source, silence: u32) -> Result<Vec<u8>> {
    let shown = place.shown();
    let mut bytes = Vec::new();
    let mut from: Box<dyn Read> = match place {
        Source::File(path) => Box::new(Input::open(path).map_err(|e| {
            let problem = Code::NoSuchFile.problem(format!("cannot open `{}`", printable(path, 300))).on(&shown);
            problem.because(e).hint(hints::folder_of(path))
        })?),
        Source::Input => return Err(Problem::bug("standard input carries the image alone")),
        Source::Address(address) => match scheme(address) {
            "ftp" => ftp::Ftp::new(address, silence)?.open(0, None)?.body,
            _ => http::Http::new(address, silence).open(0, None)?.body,
        },
    };
    from.by_ref()
        .take(SMALL + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| super::chunks::problem(e, |e| Problem::failed(format!("cannot read `{shown}`")).on(&shown).because(e)))?;
    if bytes.len() as u64 > SMALL {
        return Err(Problem::failed(format!("`{shown}` is too large for what it should be"))
            .on(&shown)
            .because("lists of checksums, signatures and keys are small")
            .hint("name the right one: --checksums LIST, --signature FILE, --key FILE"));
    }
    Ok(bytes)
}

pub(super) fn scheme(address: &str) -> &'static str {
    match address.split(':').next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "ftp" => "ftp",
        "https" => "https",
        _ => "http",
    }
}
