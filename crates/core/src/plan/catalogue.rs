//! `image catalogue update` and `undo`: checks that a new catalogue may replace the current one, and restores the previous
//! one.
//!
//! Not here: checking its signature (chyves-host `catalogue`).

use super::Plan;
use crate::action::Action;
use crate::catalogue::installed::{Installed, Pinned, State};
use crate::error::{Problem, Result};
use crate::value::FilePath;

/// Plans to install a catalogue after its signature was verified. `path` is the file of the catalogue state.
///
/// # Errors
/// It is older than the current one, or differs from it although the serial number is the same.
pub fn install(path: &str, state: &State, new: Installed, pinned: Pinned) -> Result<Plan> {
    let found = new.catalogue()?;
    let (now, installed) = state.in_force()?;
    let older = found.serial < now.serial;
    if older || (found.serial == now.serial && installed.is_none_or(|installed| installed.text != new.text) && found != now) {
        let what = if older { "is older than the one in force" } else { "is another one than that in force, with the same serial" };
        return Err(Problem::not_now(format!("the catalogue of `{}` {what}", new.from))
            .on(&new.from)
            .because(format!("its serial is {} (of {}), and {} (of {}) is in force", found.serial, found.issued, now.serial, now.issued))
            .hint("an old one that is offered again would hide advisories; `chyves image catalogue undo` goes back to the one before"));
    }
    if found.serial == now.serial && state.pinned.as_ref() == Some(&pinned) {
        return Ok(Plan::nothing(format!("the catalogue {} of {} is in force already", now.serial, now.issued)));
    }
    let previous = if found.serial == now.serial { state.previous.clone() } else { state.current.clone() };
    write(path, &State { pinned: Some(pinned), current: Some(new), previous })
}

/// Plans to restore the previous catalogue, which may be the built-in one. A second `undo` reverses the first.
///
/// # Errors
/// No catalogue was ever installed.
pub fn undo(path: &str, state: &State) -> Result<Plan> {
    if state.current.is_none() && state.previous.is_none() {
        return Err(Problem::not_now("no catalogue was installed")
            .because("the one in force comes with chyves")
            .hint("`chyves image catalogue update FILE|ADDRESS --key FILE` installs one"));
    }
    write(path, &State { pinned: state.pinned.clone(), current: state.previous.clone(), previous: state.current.clone() })
}

fn write(path: &str, state: &State) -> Result<Plan> {
    let text = serde_json::to_string(state).map_err(|e| Problem::bug("the state of the catalogue is not JSON").because(e))?;
    let mut plan = Plan::default();
    plan.push(Action::WriteFile { path: FilePath::host(path), text: text + "\n" });
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;

    fn one(serial: u64, more: &str) -> Installed {
        let text = format!(r#"{{"format": 1, "serial": {serial}, "issued": "2027-01-02"{more}}}"#);
        Installed { text, from: "http://h/c.json".into(), signed_by: "the minisign key A".into(), at: "then".into() }
    }

    fn after(plan: &Plan) -> State {
        let [Action::WriteFile { text, .. }] = plan.steps.as_slice() else { panic!("{plan:?}") };
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn only_a_newer_one_follows_and_undo_goes_back_and_forth() {
        let pinned = Pinned { identity: "A".into(), file: "/k".into(), keys: String::new() };
        let new = |state: &State, serial| install("/s", state, one(serial, ""), pinned.clone());
        let base = Catalogue::built_in().unwrap().serial;
        let old = new(&State::default(), base - 1).unwrap_err();
        assert!(old.code.exit_code() == 4 && old.causes[0].contains(&base.to_string()), "{old:?}");
        let first = after(&new(&State::default(), base + 1).unwrap());
        assert_eq!(first.in_force().unwrap().0.serial, base + 1);
        let second = after(&new(&first, base + 2).unwrap());
        assert_eq!(second.previous.as_ref().map(|p| p.catalogue().unwrap().serial), Some(base + 1));
        // Installing the same catalogue again is a no-op; the same serial number with other content is a forgery or a
        // mistake.
        assert!(new(&second, base + 2).unwrap().steps.is_empty());
        assert!(install("/s", &second, one(base + 2, r#", "systems": []"#), pinned.clone()).unwrap().steps.is_empty(), "it says the same");
        let advisory = r#", "advisories": [{"name": "SA", "os": "freebsd", "about": "x", "fixed": ["15.1-p5"]}]"#;
        assert_eq!(install("/s", &second, one(base + 2, advisory), pinned.clone()).unwrap_err().code.exit_code(), 4);
        assert_eq!(new(&second, base + 1).unwrap_err().code.exit_code(), 4);
        let back = after(&undo("/s", &second).unwrap());
        assert_eq!(back.in_force().unwrap().0.serial, base + 1);
        assert_eq!(after(&undo("/s", &back).unwrap()), second);
        // Undoing the first installed catalogue restores the built-in one.
        let none = after(&undo("/s", &first).unwrap());
        assert!(none.in_force().unwrap().1.is_none() && none.pinned.is_some());
        assert_eq!(undo("/s", &State::default()).unwrap_err().code.exit_code(), 4);
        // A newer chyves with a newer built-in catalogue supersedes the installed one.
        assert!(State { current: Some(one(1, "")), ..State::default() }.in_force().unwrap().1.is_none());
    }
}
