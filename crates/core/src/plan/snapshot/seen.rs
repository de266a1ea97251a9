//! Snapshots as `zfs list` shows them, and which program took them.

use crate::error::{Problem, Result};
use crate::value::{Dataset, Size};
use serde::Serialize;
use std::collections::HashMap;

/// Which program took a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Maker {
    /// chyves: the snapshot stores the guest's settings.
    Chyves,
    /// zrepl.
    Zrepl,
    /// sanoid or syncoid, which belong together.
    Sanoid,
    /// Another program, or a user with `zfs snapshot`.
    Other,
}

impl Maker {
    /// The program that uses names of this form. Whether chyves took a snapshot is determined by its mark, never by its
    /// name.
    pub fn of(name: &str, marked: bool) -> Self {
        let dated = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
        if marked {
            Self::Chyves
        } else if name.strip_prefix("zrepl_").is_some_and(dated) {
            Self::Zrepl
        } else if name.strip_prefix("autosnap_").is_some_and(dated) || name.starts_with("syncoid_") {
            Self::Sanoid
        } else {
            Self::Other
        }
    }

    /// The word that is shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Chyves => "chyves",
            Self::Zrepl => "zrepl",
            Self::Sanoid => "sanoid",
            Self::Other => "other",
        }
    }
}

/// One snapshot of a guest, including those of its volumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// The part after `@`.
    pub name: String,
    /// Creation time as ZFS prints it: seconds since 1970, or text from a ZFS that cannot print numbers.
    pub creation: String,
    /// Space that only this snapshot uses; rounded if ZFS prints no exact numbers.
    pub used: Size,
    /// Space that it refers to; rounded likewise.
    pub referenced: Size,
    /// Who took it.
    pub maker: Maker,
    /// Whether the guest was running when it was taken.
    pub live: bool,
}

impl Seen {
    /// Whether chyves took it; then it stores the settings.
    pub fn is_ours(&self) -> bool {
        self.maker == Maker::Chyves
    }
}

fn unreadable(line: &str) -> Problem {
    Problem::failed("cannot read what `zfs list` printed of snapshots").because(crate::value::printable(line, 160))
}

/// Parses the output of `zfs list` of snapshots (see `args::list_snapshots_below`): for each of `guests` its own snapshots,
/// in the order of the output. A snapshot of a volume below a guest is merged into the guest's snapshot of the same name.
///
/// # Errors
/// A line has another form.
pub fn read(output: &str, guests: &[&Dataset]) -> Result<Vec<Vec<Seen>>> {
    let places: HashMap<&str, usize> = guests.iter().enumerate().map(|(i, d)| (d.as_str(), i)).collect();
    let mut found: Vec<Vec<Seen>> = vec![Vec::new(); guests.len()];
    let mut at: HashMap<(usize, &str), usize> = HashMap::new();
    let mut volumes = Vec::new();
    for line in output.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, creation, used, referenced, taken, live, _] = fields[..] else { return Err(unreadable(line)) };
        let (dataset, name) = name.split_once('@').ok_or_else(|| unreadable(line))?;
        let size = |text: &str| text.parse::<Size>().map_err(|_| unreadable(line));
        let (used, referenced) = (size(used)?, size(referenced)?);
        match (places.get(dataset), dataset.rsplit_once('/').and_then(|(above, _)| places.get(above))) {
            (Some(guest), _) => {
                at.insert((*guest, name), found[*guest].len());
                found[*guest].push(Seen {
                    name: name.to_owned(),
                    creation: creation.to_owned(),
                    used,
                    referenced,
                    maker: Maker::of(name, taken != "-"),
                    live: live == "yes",
                });
            }
            (None, Some(guest)) => volumes.push((*guest, name, used, referenced)),
            (None, None) => {}
        }
    }
    for (guest, name, used, referenced) in volumes {
        if let Some(seen) = at.get(&(guest, name)).and_then(|i| found[guest].get_mut(*i)) {
            seen.used = Size::bytes(seen.used.get().saturating_add(used.get()));
            seen.referenced = Size::bytes(seen.referenced.get().saturating_add(referenced.get()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makers_are_told_by_their_mark_or_their_names() {
        for (name, marked, maker) in [
            ("zrepl_20260101_120000_000", false, Maker::Zrepl),
            ("zrepl_20260101_120000_000", true, Maker::Chyves),
            ("autosnap_2026-01-01_00:00:00_daily", false, Maker::Sanoid),
            ("syncoid_host_2026-01-01:00:00:00-GMT00:00", false, Maker::Sanoid),
            ("chyves-20260101T000000Z", false, Maker::Other),
            ("zrepl_notes", false, Maker::Other),
            ("before", true, Maker::Chyves),
        ] {
            assert_eq!(Maker::of(name, marked), maker, "{name}");
        }
    }

    #[test]
    fn each_guest_gets_its_own_and_volumes_count_in() {
        let (web, web1): (Dataset, Dataset) = ("t/web".parse().unwrap(), "t/web-1".parse().unwrap());
        let output = "t/web/disk0@a\t1\t1K\t2K\t-\t-\t\nt/web@a\t1\t1K\t1K\t2026\tyes\t\nt/web-1@a\t1\t0\t1M\t-\t-\t\nt/web/disk0@b\t1\t9K\t2K\t-\t-\t\nt@x\t1\t0\t0\t-\t-\t\n";
        let found = read(output, &[&web, &web1]).unwrap();
        assert_eq!(found[0].len(), 1);
        assert_eq!((found[0][0].used, found[0][0].referenced), (Size::bytes(2048), Size::bytes(3072)));
        assert!(found[0][0].live && found[0][0].is_ours());
        assert_eq!((found[1].len(), found[1][0].maker), (1, Maker::Other));
    }

    #[test]
    fn lines_that_are_not_as_asked_for_are_errors() {
        let web: Dataset = "t/web".parse().unwrap();
        for bad in ["t/web@x\tMon\n", "t/web\t1\t0\t0\t-\t-\t\n", "t/web@x\t1\tlots\t0\t-\t-\t\n"] {
            assert!(read(bad, &[&web]).is_err(), "{bad}");
        }
    }
}
