//! The copy of the settings in a snapshot, and resetting a dataset's settings to previous values.

use super::Place;
use crate::observe::snapshots::own_values;
use crate::safe::{Folder, Rule};
use crate::settled::command;
use chyves_core::error::{Problem, Result};
use chyves_core::plan::snapshot::settings_change;
use chyves_core::property::settings::{Own, OwnValues};
use chyves_core::value::{Dataset, FilePath};
use chyves_core::zfs::{Dialect, args::Pair};

/// Size limit of a copy of settings, in bytes: thousands of properties of the largest size.
const LIMIT: u64 = 1 << 20;

fn values(pairs: &[Pair]) -> OwnValues {
    pairs.iter().map(|(k, v)| (k.clone(), Own { value: v.clone(), received: false })).collect()
}

/// The text of the copy of the settings in a snapshot; none if it contains no copy.
pub(super) fn read(path: &FilePath) -> Result<Option<String>> {
    let hint = "roll back to it and keep the present settings: `chyves snapshot rollback GUEST@SNAPSHOT --keep-settings`";
    let within = |p: Problem| p.within("cannot read the copy of the settings in the snapshot").on(path).hint(hint);
    let (folder, name) = Folder::of(path).map_err(within)?;
    folder.read_text(name, Rule::up_to(LIMIT)).map_err(within)
}

fn change(dialect: Dialect, on: &Dataset, before: &OwnValues, after: &OwnValues, place: &mut Place<'_>) -> Result<()> {
    if let Some(step) = settings_change(dialect, on, before, after) {
        for cmd in step.commands(place.os) {
            command(&cmd, place)?;
        }
    }
    Ok(())
}

/// Makes the settings of a dataset exactly these, whatever they are now.
pub(super) fn put_back(dialect: Dialect, on: &Dataset, to: &[Pair], place: &mut Place<'_>) -> Result<()> {
    change(dialect, on, &own_values(on)?, &values(to), place)
}
