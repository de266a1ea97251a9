//! Settings that are known only while a plan runs: those of a copy in a file, and the copy of those that hold by then.

use super::{Done, Place, command, files};
use crate::observe::snapshots::own_values;
use chyves_core::action::Action;
use chyves_core::error::{Problem, Result};
use chyves_core::guest::settings_copy;
use chyves_core::plan::snapshot::{after_copy, settings_change};
use chyves_core::property::settings::{Own, OwnValues};
use chyves_core::value::Dataset;
use chyves_core::zfs::{Dialect, args::Pair};
use std::io::{ErrorKind, Read};

/// A copy of settings is no larger: thousands of properties of the largest size.
const LIMIT: u64 = 1 << 20;

fn values(pairs: &[Pair]) -> OwnValues {
    pairs.iter().map(|(k, v)| (k.clone(), Own { value: v.clone(), received: false })).collect()
}

fn read(path: &str) -> Result<String> {
    let hint = "go back to it with the settings as they are: `chyves snapshot rollback GUEST@SNAPSHOT --keep-settings`";
    let cant = |why: String| Problem::failed("can't read the copy of the settings in the snapshot").on(path).because(why).hint(hint);
    let failed = |e: std::io::Error| match e.kind() {
        ErrorKind::NotFound => cant("it holds none".into()),
        _ => cant(e.to_string()),
    };
    // What lies on a pool may point anywhere.
    if !std::fs::symlink_metadata(path).map_err(failed)?.is_file() {
        return Err(cant("it is no file".into()));
    }
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    let length = file.take(LIMIT + 1).read_to_string(&mut text).map_err(|e| cant(e.to_string()))?;
    if length as u64 > LIMIT {
        return Err(cant(format!("it is larger than {LIMIT} bytes")));
    }
    Ok(text)
}

/// Puts the settings of a copy on a dataset. Every line is read and checked before the first is set.
pub(super) fn from_copy(step: &Action, place: &mut Place<'_>, done: &mut Vec<Done>) -> Result<()> {
    let Action::SettingsFromCopy { dialect, from, on, before } = step else {
        return Err(Problem::bug("another step was taken for one of settings"));
    };
    let before = values(before);
    let after = after_copy(&read(from)?, &before)
        .map_err(|p| p.on(from).hint("the settings stay as they are with `chyves snapshot rollback GUEST@SNAPSHOT --keep-settings`"))?;
    // From the first command on something is done.
    done.push(Done { undo: step.undo(), before: None, words: step.describe() });
    change(*dialect, on, &before, &after, place)
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

/// Writes the copy of the settings that a dataset has now; what stood there before.
pub(super) fn keep(on: &Dataset, path: &str) -> Result<Option<Vec<u8>>> {
    files::write(path, &settings_copy(&own_values(on)?), true)
}
