//! Refuses changes of foreign guests, that is, guests that another host owns or that were received with a stream. This
//! holds for every command; reading one (`info`, `list`, `send` and `clone` of a snapshot) is allowed.

use super::{Plan, own_guest};
use crate::action::Action;
use crate::error::Result;
use crate::guest::Guest;
use crate::property::keys;
use crate::world::World;

/// Refuses a plan that changes a foreign guest, its snapshots or its files.
///
/// # Errors
/// It does: the message names the guest and the command that adopts it.
pub fn refuse(world: &World, plan: &Plan) -> Result<()> {
    let changed = |guest: &&Guest| guest.foreign.is_some() && !is_meant(plan, guest) && plan.steps.iter().any(|step| changes(step, guest));
    world.guests.iter().find(changed).map_or(Ok(()), own_guest)
}

/// Whether the plan handles the foreign state itself: it adopts the guest, or receives an increment onto it.
fn is_meant(plan: &Plan, guest: &Guest) -> bool {
    let is_adopted = |step: &Action| matches!(step, Action::Change { on, set, .. } if *on == guest.dataset && set.iter().any(|(key, _)| key == keys::OWNER));
    let is_received = |step: &Action| matches!(step, Action::Receive { into, .. } if *into == guest.dataset);
    plan.steps.iter().any(|step| is_adopted(step) || is_received(step))
}

fn changes(step: &Action, guest: &Guest) -> bool {
    // These steps protect the host against the files of any guest.
    let protects = matches!(step, Action::SetNative { .. } | Action::Tame { .. });
    // chyves took this snapshot for clones; it is destroyed with the last of them.
    let is_left = matches!(step, Action::LeaveToClones { .. });
    if protects || is_left || step.only_reads_files() {
        return false;
    }
    let on_pool = step.changes().iter().any(|dataset| dataset.is_within(&guest.dataset));
    let below =
        |path: &&str| guest.mountpoint.as_deref().is_some_and(|folder| path.strip_prefix(folder).is_some_and(|r| r.starts_with('/')));
    on_pool || step.files().iter().any(below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::{self, moment};
    use crate::plan::{adopt, clone, delete, set, snapshot};

    #[test]
    fn no_command_changes_a_guest_of_another_host() {
        let guest =
            Guest { foreign: Some("the host x owns it".into()), ..testing::guest("web01", &[("uuid", "u"), ("disk0.kind", "raw")]) };
        // Datasets that only share a prefix of their names are unrelated.
        let own = testing::guest("web01-b", &[("uuid", "v")]);
        let world = testing::world(vec![guest.clone(), own.clone()]);
        let change = set::Request { set: vec![("notes".into(), "new".into())], unset: Vec::new() };
        let there = snapshot::testing::seen(&["then"]);
        let doomed = snapshot::Chosen { names: vec!["then".parse().unwrap()], used: crate::value::Size::default(), kept: Vec::new() };
        let facts = snapshot::Facts { there: there.clone(), ..snapshot::Facts::default() };
        let linked = clone::Request { names: vec!["web02".parse().unwrap()], ..clone::Request::default() };
        for (what, plan) in [
            ("set", set::guest(&world, &guest, &change)),
            ("delete", delete::delete(&world, &guest, 1, (false, false), "now")),
            ("delete --now", delete::destroy(&guest, &delete::Doomed::default())),
            ("snapshot", snapshot::create(&guest, &"more".parse().unwrap(), &there, "now")),
            ("snapshot delete", snapshot::delete(&guest, &doomed, &facts)),
            ("clone", clone::clone(&world, &guest, &linked, &moment(1))),
        ] {
            let problem = refuse(&world, &plan.expect(what)).expect_err(what);
            assert_eq!((problem.code.exit_code(), problem.object.as_deref()), (4, Some("web01")), "{what}");
            assert!(problem.hints[0].contains("chyves adopt web01"), "{problem:?}");
        }
        let of_snapshot = clone::Request { snapshot: Some("then".parse().unwrap()), snapshot_exists: true, ..linked };
        for (what, plan) in [
            ("clone of a snapshot", clone::clone(&world, &guest, &of_snapshot, &moment(1))),
            ("adopt", adopt::adopt(&world, &guest, &[], &adopt::Request::default())),
            ("another's", delete::delete(&world, &own, 1, (false, false), "now")),
        ] {
            refuse(&world, &plan.expect(what)).expect(what);
        }
    }
}
