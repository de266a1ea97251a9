//! The guests that start with the host, for rc(8), systemd and the like.

use crate::Engine;
use chyves_core::check::trust;
use chyves_core::error::{Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::property::keys;
use chyves_core::value::GuestName;
use chyves_host::observe::Look;
use std::collections::BTreeMap;

/// Groups of guests that are started one after the other, and guests whose place in them is unknown.
pub(super) type Order = (Vec<Vec<GuestName>>, Vec<(GuestName, Problem)>);

/// The property that determines whether and when a guest starts.
const KEY: &str = "autostart";

/// The order in which they are started: those with the same number concurrently, and before those with a lower number; none
/// if no guest starts with the host.
///
/// A stored value that is not a number was written by `zfs set`, and its meaning is unknown. Such a guest is not started, and
/// counts as failed, so that the exit status of the host's service shows it too.
pub(super) fn order(engine: &Engine) -> Result<Option<Order>> {
    let world = engine.look(&Look::at_keys(vec![KEY.to_owned(), keys::TRUST.to_owned(), keys::trusted(KEY)]))?;
    let mut groups: BTreeMap<u16, Vec<GuestName>> = BTreeMap::new();
    let mut wrong = Vec::new();
    for guest in &world.guests {
        match (number(guest), &guest.foreign) {
            (Ok(0), _) | (Err(_), Some(_)) => {}
            // A guest of a replicated pool presumably runs on another host.
            (Ok(_), Some(_)) => {
                engine.events.warning(&format!(
                    "{0} does not start with this host: it is another's; `chyves adopt {0}` would make it this one's",
                    guest.name
                ));
            }
            (Ok(_), None) if trust::check(&world, guest, "start").is_err() => {
                engine.events.warning(&format!(
                    "{0} does not start with this host: its autostart is not trusted here; `chyves adopt {0} --trust=autostart` trusts it",
                    guest.name
                ));
            }
            (Ok(number), None) => groups.entry(number).or_default().push(guest.name.clone()),
            (Err(problem), None) => wrong.push((guest.name.clone(), problem)),
        }
    }
    if groups.is_empty() && wrong.is_empty() {
        engine.events.note("no guest starts with the host; `chyves set GUEST autostart=yes` enables it");
        return Ok(None);
    }
    Ok(Some((groups.into_values().rev().collect(), wrong)))
}

/// The position of a guest at boot: higher numbers start earlier; 0 does not start.
fn number(guest: &Guest) -> Result<u16> {
    let text = guest.checked(KEY)?.unwrap_or_default();
    text.parse().map_err(|_| Problem::bug(format!("`{KEY}` allows `{text}`, which its reader does not")).on(KEY))
}
