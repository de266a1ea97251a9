//! The desired state of bridges: attach, detach, private, default, delete, set, migrate.

use super::apply::Confirm;
use super::assignments;
use crate::session::Session;
use chyves_core::error::Result;
use chyves_core::value::IfName;
use chyves_engine::op::{BridgeChange, BridgeChanged, BridgeWord, NetworkChange};

pub(super) fn attach(session: &Session, bridge: &IfName, uplink: &IfName, settings: &[String], confirm: Confirm) -> Result<()> {
    change(session, bridge, BridgeChange::Attach { uplink: uplink.clone(), set: assignments(settings)? }, confirm)
}

pub(super) fn private(session: &Session, bridge: &IfName, settings: &[String], confirm: Confirm) -> Result<()> {
    change(session, bridge, BridgeChange::Private { set: assignments(settings)? }, confirm)
}

pub(super) fn set(session: &Session, bridge: &str, settings: &[String]) -> Result<()> {
    change(session, &bridge.parse()?, BridgeChange::Set { set: assignments(settings)? }, Confirm::default())
}

/// Changes a bridge.
pub(super) fn change(session: &Session, bridge: &IfName, change: BridgeChange, confirm: Confirm) -> Result<()> {
    let outcome = session.run(&NetworkChange { bridge: bridge.clone(), change, confirm_within: confirm.within })?;
    session.show_all(outcome, |changed| Some((changed.object.clone(), said(changed))))
}

/// What is said of a bridge that was changed.
fn said(changed: &BridgeChanged) -> String {
    let named = |name: &Option<String>| name.clone().unwrap_or_default();
    match (changed.done, changed.vlan) {
        (BridgeWord::Attached, Some(tag)) => format!("uplink: VLAN {tag} of {}", named(&changed.uplink)),
        (BridgeWord::Attached, None) => format!("uplink: {}", named(&changed.uplink)),
        (BridgeWord::Detached, _) => "uplink detached".to_owned(),
        (BridgeWord::Private, _) => match &changed.nat {
            Some(to) => format!("has no uplink; its guests reach other networks through {to} (nat)"),
            None => "is private: its guests reach only each other".to_owned(),
        },
        (BridgeWord::Set, _) => "set".to_owned(),
        (BridgeWord::Default, _) => "the bridge of NICs that name none".to_owned(),
        (BridgeWord::Migrated, _) => format!("migrated to {}", named(&changed.to)),
        (BridgeWord::Deleted, _) => "deleted".to_owned(),
    }
}
