//! `snapshot delete`: destroys one snapshot, or a range of them. Snapshots of other programs are never destroyed.

use super::{Facts, Maker, Seen, find};
use crate::action::Action;
use crate::error::{Code, Problem, Result};
use crate::guest::Guest;
use crate::plan::Plan;
use crate::value::{BadValue, Size, SnapshotName};
use std::str::FromStr;

/// The snapshots to delete, as written after the first `@`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// One snapshot: `a`.
    One(SnapshotName),
    /// A range with both ends included, as `zfs destroy` writes it: `a%b`, `%b` from the oldest, `a%` to the newest.
    Range(Option<SnapshotName>, Option<SnapshotName>),
}

impl FromStr for Choice {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let Some((from, to)) = text.split_once('%') else { return text.parse().map(Self::One) };
        let end = |text: &str| -> Result<Option<SnapshotName>, BadValue> {
            let name = text.strip_prefix('@').unwrap_or(text);
            if name.is_empty() { Ok(None) } else { name.parse().map(Some) }
        };
        match (end(from)?, end(to)?) {
            (None, None) => {
                Err(BadValue::new(text, "names no end of a range").hint("write a range as GUEST@FIRST%LAST, GUEST@%LAST or GUEST@FIRST%"))
            }
            (from, to) => Ok(Self::Range(from, to)),
        }
    }
}

/// The selected snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Those to destroy, oldest first.
    pub names: Vec<SnapshotName>,
    /// The sum of the space that each of them uses alone; space that several of them share is freed in addition.
    pub used: Size,
    /// Selected snapshots of other programs, which are kept.
    pub kept: Vec<(String, Maker)>,
}

/// Finds the selected snapshots.
///
/// # Errors
/// A name does not exist, the range is reversed, or the only selected snapshot belongs to another program.
pub fn choose(guest: &Guest, choice: &Choice, there: &[Seen]) -> Result<Chosen> {
    let place = |name: &SnapshotName| find(guest, name, there).map(|seen| there.iter().position(|s| s.name == seen.name).unwrap_or(0));
    let meant = match choice {
        Choice::One(name) => {
            let seen = find(guest, name, there)?;
            if !seen.is_ours() {
                return Err(Code::SnapshotForeign
                    .problem(format!("`{}@{name}` was not taken by chyves", guest.name))
                    .on(format!("{}@{name}", guest.name))
                    .because(match seen.maker {
                        Maker::Zrepl | Maker::Sanoid => format!("{} keeps it, and may need it to replicate", seen.maker.word()),
                        Maker::Chyves | Maker::Other => "another program or a person took it".to_owned(),
                    })
                    .hint(format!("destroy it with the program that took it, or by hand: zfs destroy -r {}", guest.dataset.at(name))));
            }
            std::slice::from_ref(seen)
        }
        Choice::Range(from, to) => {
            let first = from.as_ref().map(place).transpose()?.unwrap_or(0);
            let last = to.as_ref().map(place).transpose()?.unwrap_or(there.len().saturating_sub(1));
            if first > last {
                return Err(Problem::usage(format!("`{}` is newer than `{}`", there[first].name, there[last].name))
                    .on(&guest.name)
                    .hint("the older one stands first"));
            }
            there.get(first..=last).unwrap_or_default()
        }
    };
    let (ours, others): (Vec<&Seen>, Vec<&Seen>) = meant.iter().partition(|s| s.is_ours());
    Ok(Chosen {
        names: ours.iter().map(|s| s.name.parse()).collect::<Result<_, _>>()?,
        used: Size::bytes(ours.iter().map(|s| s.used.get()).sum()),
        kept: others.iter().map(|s| (s.name.clone(), s.maker)).collect(),
    })
}

/// Plans to destroy snapshots.
///
/// # Errors
/// Some of them have dependent clones; then none is destroyed.
pub fn delete(guest: &Guest, chosen: &Chosen, facts: &Facts) -> Result<Plan> {
    crate::plan::revert::keeps(guest, &chosen.names)?;
    if !facts.clones.is_empty() {
        let each: Vec<String> = facts.clones.iter().map(|(snapshot, clone)| format!("{clone} depends on @{snapshot}")).collect();
        let which: Vec<String> =
            chosen.names.iter().map(ToString::to_string).filter(|n| facts.clones.iter().any(|(s, _)| s == n)).collect();
        return Err(Code::HasClones
            .problem(format!("snapshots of `{}` have clones: {}", guest.name, which.join(", ")))
            .on(&guest.name)
            .because(each.join("; "))
            .hint("delete those guests first, or turn the dependency round: `chyves promote CLONE`"));
    }
    let mut plan = Plan::default();
    if chosen.names.is_empty() {
        plan.notes.push(format!("{} has no snapshot of chyves there", guest.name));
    } else {
        plan.push(Action::Verify { objects: facts.guids.clone() });
    }
    for name in &chosen.names {
        plan.push(Action::DestroySnapshot { snapshot: guest.dataset.at(name) });
    }
    if !chosen.kept.is_empty() {
        let each: Vec<String> = chosen.kept.iter().map(|(name, maker)| format!("@{name} ({})", maker.word())).collect();
        plan.notes.push(format!("kept, since chyves did not take them: {}", each.join(", ")));
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::super::testing::seen;
    use super::*;
    use crate::os::Os;
    use crate::plan::testing;

    fn names(choice: &str, there: &[&str]) -> String {
        let guest = testing::guest("web01", &[]);
        match choice.parse::<Choice>().map_err(Problem::from).and_then(|c| choose(&guest, &c, &seen(there))) {
            Ok(chosen) => {
                let names: Vec<_> = chosen.names.iter().map(SnapshotName::as_str).collect();
                format!("{} kept {}", names.join(" "), chosen.kept.len())
            }
            Err(problem) => format!("! {}", problem.message),
        }
    }

    #[test]
    fn ranges_are_read_as_zfs_writes_them() {
        let there = ["a", "b", "zrepl_20260101_0", "c", "other1"];
        for (choice, meant) in [
            ("b", "b kept 0"),
            ("a%b", "a b kept 0"),
            ("a%@c", "a b c kept 1"),
            ("%b", "a b kept 0"),
            ("b%", "b c kept 2"),
            ("zrepl_20260101_0%other1", "c kept 2"),
            ("c%a", "! `c` is newer than `a`"),
            ("a%x", "! `web01` has no snapshot called `x`"),
            ("other1", "! `web01@other1` was not taken by chyves"),
            ("zrepl_20260101_0", "! `web01@zrepl_20260101_0` was not taken by chyves"),
            ("%", "! `%` names no end of a range"),
        ] {
            assert_eq!(names(choice, &there), meant, "{choice}");
        }
        for bad in ["", "a%b%c", "a%../x", "-r%b", "*"] {
            assert!(bad.parse::<Choice>().is_err(), "{bad}");
        }
    }

    #[test]
    fn each_is_destroyed_by_name_or_none_is() {
        let guest = testing::guest("web01", &[]);
        let there = seen(&["a", "b", "other1"]);
        let chosen = choose(&guest, &"a%".parse().unwrap(), &there).unwrap();
        assert_eq!(chosen.used, Size::mib(2));
        let mut facts = Facts { there, guids: vec![("tank/chyves/guests/web01@a".into(), 1)], ..Facts::default() };
        insta::assert_snapshot!(delete(&guest, &chosen, &facts).unwrap().script(Os::Linux), @r"
        # note: kept, since chyves did not take them: @other1 (other)
        # make sure that tank/chyves/guests/web01@a has the GUID 1
        zfs get -H -p -o name,property,source,value guid tank/chyves/guests/web01@a
        # destroy the snapshot tank/chyves/guests/web01@a
        zfs destroy -r tank/chyves/guests/web01@a
        # destroy the snapshot tank/chyves/guests/web01@b
        zfs destroy -r tank/chyves/guests/web01@b
        ");
        facts.clones = vec![("b".into(), "tank/chyves/guests/web02".into())];
        let refused = delete(&guest, &chosen, &facts).unwrap_err();
        assert_eq!(refused.to_string(), "snapshots of `web01` have clones: b: tank/chyves/guests/web02 depends on @b");
    }
}
