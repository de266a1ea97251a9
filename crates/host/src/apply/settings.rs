//! The copy of the settings in a snapshot, and the settings of a dataset made what they were.

use super::{Place, command};
use crate::observe::snapshots::own_values;
use chyves_core::error::{Problem, Result};
use chyves_core::plan::snapshot::settings_change;
use chyves_core::property::settings::{Own, OwnValues};
use chyves_core::value::Dataset;
use chyves_core::zfs::{Dialect, args::Pair};
use std::io::{ErrorKind, Read};

/// A copy of settings is no larger: thousands of properties of the largest size.
const LIMIT: u64 = 1 << 20;

fn values(pairs: &[Pair]) -> OwnValues {
    pairs.iter().map(|(k, v)| (k.clone(), Own { value: v.clone(), received: false })).collect()
}

/// The text of the copy of the settings in a snapshot; none where it holds no copy.
pub(super) fn read(path: &str) -> Result<Option<String>> {
    let hint = "go back to it with the settings as they are: `chyves snapshot rollback GUEST@SNAPSHOT --keep-settings`";
    let cant = |why: String| Problem::failed("can't read the copy of the settings in the snapshot").on(path).because(why).hint(hint);
    // What lies on a pool may point anywhere.
    match std::fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(cant(e.to_string())),
        Ok(meta) if !meta.is_file() => return Err(cant("it is no file".into())),
        Ok(_) => {}
    }
    let file = std::fs::File::open(path).map_err(|e| cant(e.to_string()))?;
    let mut text = String::new();
    let length = file.take(LIMIT + 1).read_to_string(&mut text).map_err(|e| cant(e.to_string()))?;
    if length as u64 > LIMIT {
        return Err(cant(format!("it is larger than {LIMIT} bytes")));
    }
    Ok(Some(text))
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
