//! `chyves set` and `chyves unset`: settings of guests, of the defaults, of the host.

use crate::session::Session;
use crate::targets::Targets;
use chyves_core::error::{Problem, Result};
use chyves_core::property;
use chyves_engine::answer::Assignment;
use chyves_engine::op::{ChangedWord, GuestSet, HostSet, HostSettings};

/// Change settings of guests, of `defaults`, or of the host (`global`)
///
/// An invalid value changes nothing. `defaults` are what guests inherit unless they set another value.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Guests, `all`, `defaults` or `global`; then settings
    #[arg(required = true, value_name = "GUEST|KEY=VALUE")]
    words: Vec<String>,
}

/// Unset settings, so that the inherited value or the default applies
#[derive(Debug, clap::Args)]
pub(crate) struct UnsetArgs {
    /// Guests, `all`, `defaults` or `global`; then properties
    #[arg(required = true, value_name = "GUEST|PROPERTY")]
    words: Vec<String>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    let (set, guests): (Vec<&String>, Vec<&String>) = args.words.iter().partition(|w| w.contains('='));
    if set.is_empty() {
        return Err(Problem::usage("nothing is to be set").hint("write settings as KEY=VALUE: `chyves set web01 ram=1G`"));
    }
    change(session, &guests, Assignment::of_words(set), Vec::new())
}

pub(crate) fn unset(session: &Session, args: &UnsetArgs) -> Result<()> {
    let (first, rest) = args.words.split_first().ok_or_else(|| Problem::usage("nothing is named"))?;
    let mut guests = vec![first];
    let mut unset = Vec::new();
    for (index, word) in rest.iter().enumerate() {
        // The last word must be a property; before it, a word that is not a property names a guest.
        let all_known = word.split(',').all(|key| property::find(key).is_ok());
        if all_known || index + 1 == rest.len() || !unset.is_empty() {
            for key in word.split(',') {
                // A name that no property has may have come with a stream, and can be removed.
                unset.push(property::find(key).map_or_else(|_| key.to_owned(), |known| known.key));
            }
        } else {
            guests.push(word);
        }
    }
    if unset.is_empty() {
        return Err(Problem::usage("no property is named").hint("write `chyves unset GUEST PROPERTY`; `chyves list properties` shows them"));
    }
    change(session, &guests, Vec::new(), unset)
}

fn change(session: &Session, words: &[&String], set: Vec<Assignment>, unset: Vec<String>) -> Result<()> {
    let of = match words {
        [one] if one.as_str() == "defaults" => Some(HostSettings::Defaults),
        [one] if one.as_str() == "global" => Some(HostSettings::Global),
        _ => None,
    };
    if let Some(of) = of {
        let outcome = session.run(&HostSet { of, set, unset })?;
        // One line, however many pools have the settings.
        let first = outcome.answer.iter().flatten().find(|changed| changed.done != ChangedWord::Unchanged).map(|one| one.object.clone());
        let said = |object: &str| (first.as_deref() == Some(object)).then(|| (of.word().to_owned(), "set".to_owned()));
        return session.show_all(outcome, |changed| said(&changed.object));
    }
    let outcome = session.run(&GuestSet { guests: Targets::parse(words)?, set, unset })?;
    // A note has reported what needed no change.
    session.show_each(outcome, |changed| (changed.done != ChangedWord::Unchanged).then(|| changed.done.word().to_owned()))
}
