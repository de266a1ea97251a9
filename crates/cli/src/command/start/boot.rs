//! `chyves start --boot`: the guests that start with the host, for rc(8), systemd and the like.

use super::{Media, bring_up};
use crate::session::{Pace, Session};
use chyves_core::error::Result;
use chyves_core::value::GuestName;
use chyves_host::observe::Look;
use std::collections::BTreeMap;

/// The setting that says whether and when.
const KEY: &str = "rcboot";

/// Starts them: those with the same number side by side, and before those with a lower one. One that can't be started
/// keeps none of the others from it.
pub(super) fn run(session: &Session) -> Result<()> {
    let world = session.look(&Look::at_keys(vec![KEY.to_owned()]))?;
    let mut groups: BTreeMap<u16, Vec<GuestName>> = BTreeMap::new();
    for guest in &world.guests {
        let number = guest.settings.value(KEY).unwrap_or_default();
        match (number.parse().unwrap_or(0), &guest.foreign) {
            (0, _) => {}
            // What came with a replicated pool runs somewhere else, as far as this host knows.
            (_, Some(_)) => {
                session.ui.warn(&format!(
                    "{0} does not start with this host: it is another's; `chyves adopt {0}` would make it this one's",
                    guest.name
                ));
            }
            (number, None) => groups.entry(number).or_default().push(guest.name.clone()),
        }
    }
    if groups.is_empty() {
        session.ui.say("no guest starts with the host; `chyves set GUEST rcboot=1` lets one");
        return Ok(());
    }
    let groups: Vec<Vec<GuestName>> = groups.into_values().rev().collect();
    let media = Media::find(session, &[])?;
    session.each_in_turn(&groups, Pace::SideBySide, |world, guest| bring_up(session, world, guest, &media))
}
