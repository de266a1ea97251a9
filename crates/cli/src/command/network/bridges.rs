//! The desired state of bridges: attach, detach, private, default, delete, set, migrate.

use super::apply::Confirm;
use super::{facts, look_at, pairs};
use crate::session::{Report, Session};
use chyves_core::error::{Problem, Result};
use chyves_core::plan::Plan;
use chyves_core::plan::network::bridge::{self, Planned, Wish};
use chyves_core::plan::network::{Facts, migrate as migration};
use chyves_core::value::IfName;
use chyves_core::world::World;
use chyves_host::apply::Applied;
use chyves_host::confirmation;
use chyves_host::observe::{self, Look};
use chyves_host::runtime::Lock;

/// The locks of the host's settings and networks, if no change of them waits for confirmation.
pub(super) fn locks(session: &Session) -> Result<(Vec<Lock>, Option<Lock>)> {
    let settings = session.lock("pool", &["settings"])?;
    let network = session.lock("host", &["network"])?.pop();
    if confirmation::pending(&session.runtime)?.is_some() && !session.dry_run {
        return Err(Problem::not_now("a change of the host's networks waits for confirmation")
            .hint("`chyves network confirm` keeps it; or wait until it has been rolled back"));
    }
    Ok((settings, network))
}

/// Runs a plan, after warning about what others may depend on. None if there was nothing to do, or it was only shown.
pub(super) fn carry_out(
    session: &Session,
    world: &World,
    planned: &Planned,
    who: &str,
    said: &str,
    lock: Option<Lock>,
) -> Result<Option<Applied>> {
    if !planned.touches.is_empty() && !session.dry_run {
        let what = planned.touches.join(", ");
        session.ui.warn(&format!("{what}: a mistake here may cut you off; with `--confirm 60` it is rolled back automatically"));
        session.ui.confirm(&format!("change the host's networks, although {what}"), session.yes)?;
    }
    let done = session.carry_out_with(world, &planned.plan, who, lock)?.filter(|_| !planned.plan.steps.is_empty());
    if done.is_some() {
        session.tell(&[Report::new(who, said)]);
    }
    Ok(done)
}

fn change(session: &Session, bridge: &IfName, wish: &Wish, said: &str, confirm: Confirm) -> Result<()> {
    let (_settings, lock) = locks(session)?;
    // Only removing a bridge or its uplink requires knowing its guests.
    let guests = match wish {
        Wish::Delete | Wish::Detach { .. } | Wish::Private(_) => observe::Which::All,
        Wish::Attach { .. } | Wish::Set(_) => Look::default().guests,
    };
    let look = Look { guests, ..Look::default() };
    let world = look_at(session, &look)?;
    let facts = session.networks(&world, wish.is_of_netgraph())?;
    let planned = bridge::change(&world, &facts, bridge, wish)?;
    let applied = carry_out(session, &world, &planned, bridge.as_str(), said, lock)?;
    confirm.await_it(session, applied.map(|a| (&planned, a)).into_iter().collect())
}

pub(super) fn attach(session: &Session, bridge: &IfName, uplink: &IfName, settings: &[String], confirm: Confirm) -> Result<()> {
    let mut settings = pairs(settings)?;
    let mut vlan = None;
    if let Some(at) = settings.iter().position(|(k, _)| k == "vlan") {
        let (key, value) = settings.remove(at);
        let known = chyves_core::property::find(&format!("bridge0.{key}"))?;
        vlan = chyves_core::property::check(&known, &value)?.parse().ok();
    }
    let said = match vlan {
        Some(tag) => format!("uplink: VLAN {tag} of {uplink}"),
        None => format!("uplink: {uplink}"),
    };
    // All in one plan: the bridge's members and type decide whether the uplink fits.
    let wish = Wish::Attach { uplink: uplink.clone(), vlan, settings };
    change(session, bridge, &wish, &said, confirm)
}

pub(super) fn detach(session: &Session, bridge: &IfName, uplink: Option<&IfName>, confirm: Confirm) -> Result<()> {
    change(session, bridge, &Wish::Detach { uplink: uplink.cloned() }, "uplink detached", confirm)
}

pub(super) fn private(session: &Session, bridge: &IfName, settings: &[String], confirm: Confirm) -> Result<()> {
    let settings = pairs(settings)?;
    let nat = settings.iter().find(|(key, _)| key.rsplit('.').next() == Some("nat")).map(|(_, to)| to.as_str());
    let said = match nat.filter(|to| !to.is_empty()) {
        Some(to) => format!("has no uplink; its guests reach other networks through {to} (nat)"),
        None => "is private: its guests reach only each other".to_owned(),
    };
    change(session, bridge, &Wish::Private(settings), &said, confirm)
}

pub(super) fn delete(session: &Session, bridge: &IfName, confirm: Confirm) -> Result<()> {
    change(session, bridge, &Wish::Delete, "deleted", confirm)
}

pub(super) fn set(session: &Session, bridge: &str, settings: &[String]) -> Result<()> {
    change(session, &bridge.parse()?, &Wish::Set(pairs(settings)?), "set", Confirm::default())
}

pub(super) fn default(session: &Session, bridge: &IfName) -> Result<()> {
    let (_settings, _lock) = locks(session)?;
    let world = look_at(session, &Look::default())?;
    let facts = facts(session, &world)?;
    for root in world.roots.iter().filter(|r| r.role != chyves_core::pool::Role::Offline) {
        let before = observe::dataset(&root.guests())?.map(|r| r.own).unwrap_or_default();
        let plan: Plan = bridge::default(&world, &facts, root, &before, bridge)?;
        let done = session.carry_out(&world, &plan, "defaults")?;
        if done.is_some() && !plan.steps.is_empty() {
            session.tell(&[Report::new(bridge, "the bridge of NICs that name none")]);
        }
    }
    Ok(())
}

pub(super) fn migrate(session: &Session, from: &IfName, to: &IfName, confirm: Confirm) -> Result<()> {
    // All guests that may be attached to it are locked before the networks are.
    let names = session.look(&Look::at_keys(Vec::new()))?.guests.iter().map(|g| g.name.clone()).collect::<Vec<_>>();
    let _guests = session.lock("guest", &names)?;
    let (_settings, lock) = locks(session)?;
    // Observed by name: the copies of their settings are written too, and an observation of all guests does not include their
    // folders.
    let world = look_at(session, &Look::at(&names))?;
    let facts: Facts = facts(session, &world)?;
    let defaults = observe::dataset(&world.primary()?.guests())?.map(|r| r.own).unwrap_or_default();
    let planned = migration::migrate(&world, &facts, &defaults, from, to)?;
    let applied = carry_out(session, &world, &planned, from.as_str(), &format!("migrated to {to}"), lock)?;
    confirm.await_it(session, applied.map(|a| (&planned, a)).into_iter().collect())
}
