//! Reading a catalogue that is about to be installed, and checking its signature with a pinned key.
//!
//! Not here: whether it may replace the one in force (chyves-core `catalogue::installed`), and recording it.

use crate::import::signature::{self, Keys};
use crate::import::trust;
use crate::runtime::{Runtime, make_private};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chyves_core::catalogue::Catalogue;
use chyves_core::catalogue::installed::{Installed, Pinned, State};
use chyves_core::error::{Problem, Result};
use chyves_core::image::Source;
use chyves_core::value::printable;

/// The request.
#[derive(Debug, Clone)]
pub struct Update {
    /// Location of the catalogue.
    pub from: Source,
    /// Location of its signature, if it is neither inside nor beside the catalogue.
    pub signature: Option<Source>,
    /// Path of the keys to pin; none: those that are pinned already.
    pub key: Option<String>,
    /// Whether these keys may replace pinned ones.
    pub replace_key: bool,
    /// Timeout of a server, in seconds.
    pub silence: u32,
    /// The current time, UTC.
    pub now: String,
}

/// Reads the catalogue and checks its signature.
///
/// # Errors
/// There is no key, it is not the pinned one, the signature is not valid, or the file is not a catalogue.
pub fn read(runtime: &Runtime, state: &State, update: &Update) -> Result<(Installed, Pinned, Catalogue)> {
    let (keys, pinned) = keys(state, update)?;
    let shown = update.from.shown();
    let bytes = trust::small(&update.from, update.silence)?;
    let beside = trust::signature_of(&update.from, &bytes, update.signature.as_ref(), &keys, update.silence)?;
    // The folder in which `gpgv` finds the files to compare.
    runtime.create()?;
    let scratch = runtime.root().join(format!("catalogue.{}", std::process::id()));
    make_private(&scratch)?;
    let checked = signature::of_text(&keys, &bytes, beside.as_deref(), &scratch.display().to_string(), &shown);
    let _ = crate::hostfs::own::remove_folder(&scratch);
    let (text, signed_by) = checked?;
    let text =
        String::from_utf8(text).map_err(|_| Problem::usage(format!("`{shown}` is not text")).on(&shown).because("it is not UTF-8"))?;
    let catalogue =
        Catalogue::parse(&text, &shown).map_err(|problem| problem.hint("its form stands in chyves-image(8); nothing was changed"))?;
    Ok((Installed { text, from: shown, signed_by, at: update.now.clone() }, pinned, catalogue))
}

/// The keys to verify with, and those that are pinned from now on.
fn keys(state: &State, update: &Update) -> Result<(Keys, Pinned)> {
    let Some(path) = &update.key else {
        let pinned = state.pinned.clone().ok_or_else(|| {
            Problem::usage("no key for catalogues is known")
                .because("a catalogue decides what is fetched and trusted, so its maker must sign it")
                .hint("`chyves image catalogue update FILE|ADDRESS --key FILE` pins the key for this and all later updates")
        })?;
        let bytes = STANDARD
            .decode(&pinned.keys)
            .map_err(|e| Problem::failed("the pinned key is damaged").because(e).hint("name it again: --key FILE"))?;
        return Ok((Keys::parse(&bytes, &format!("pinned from {}", pinned.file))?, pinned));
    };
    let bytes = trust::small(&Source::File(path.clone()), 0)?;
    let keys = Keys::parse(&bytes, path)?;
    let identity = keys.identity();
    match &state.pinned {
        Some(pinned) if pinned.identity != identity && !update.replace_key => {
            let shown = printable(path, 300);
            return Err(Problem::not_now(format!("`{shown}` is another key than the one that is pinned"))
                .on(&shown)
                .because(format!("pinned is {} from {}, and this is {identity}", pinned.identity, pinned.file))
                .hint("if you mean it: --replace-key"));
        }
        _ => {}
    }
    Ok((keys, Pinned { identity, file: printable(path, 300), keys: STANDARD.encode(bytes) }))
}
