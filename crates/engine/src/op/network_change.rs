//! Changes bridges of the host: their uplink, their settings, which one is the default; or deletes one, or moves everything on
//! one to another.

use crate::Engine;
use crate::answer::Assignment;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use chyves_core::error::Result;
use chyves_core::plan::network::bridge::{self, Wish};
use chyves_core::plan::network::migrate;
use chyves_core::pool::{Role, Root};
use chyves_core::property;
use chyves_core::property::settings::OwnValues;
use chyves_core::value::IfName;
use chyves_host::observe::{self, Look, Which};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Changes a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkChange {
    /// The bridge.
    #[schemars(with = "String")]
    pub bridge: IfName,
    /// The change.
    pub change: BridgeChange,
    /// Rolls the change back after so many seconds, unless it is confirmed by then.
    #[serde(default)]
    pub confirm_within: Option<u64>,
}

/// A change of a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BridgeChange {
    /// It gets an uplink; a bridge that does not exist is configured.
    Attach {
        /// The interface by which it reaches other networks.
        #[schemars(with = "String")]
        uplink: IfName,
        /// Settings of the bridge; `vlan` is the VLAN of the uplink.
        #[serde(default)]
        set: Vec<Assignment>,
    },
    /// It loses its uplink.
    Detach {
        /// The uplink, which must be this one.
        #[serde(default)]
        #[schemars(with = "Option<String>")]
        uplink: Option<IfName>,
    },
    /// It has no uplink; a bridge that does not exist is configured.
    Private {
        /// Settings of the bridge.
        #[serde(default)]
        set: Vec<Assignment>,
    },
    /// Its settings are changed.
    Set {
        /// Settings of the bridge.
        set: Vec<Assignment>,
    },
    /// It becomes the bridge of NICs that name none.
    Default,
    /// Its uplink, the NICs on it and its role as the default move to another bridge.
    Migrate {
        /// The other bridge.
        #[schemars(with = "String")]
        to: IfName,
    },
    /// It is removed from the settings, and from the host if chyves created it and nothing uses it.
    Delete,
}

/// A bridge that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BridgeChanged {
    /// The bridge.
    pub object: String,
    /// What was done.
    pub done: BridgeWord,
    /// Its uplink, if that was attached.
    pub uplink: Option<String>,
    /// The VLAN of the uplink.
    pub vlan: Option<u16>,
    /// The interface by which the guests of a private bridge reach other networks.
    pub nat: Option<String>,
    /// The bridge that everything moved to.
    pub to: Option<String>,
    /// The number of seconds after which it is rolled back unless it is confirmed.
    pub confirm_within: Option<u64>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BridgeWord {
    /// It has that uplink.
    Attached,
    /// It has no uplink any more.
    Detached,
    /// It is private.
    Private,
    /// Its settings were changed.
    Set,
    /// It is the bridge of NICs that name none.
    Default,
    /// Everything on it moved.
    Migrated,
    /// It was deleted.
    Deleted,
}

impl Operation for NetworkChange {
    const NAME: &'static str = "network-change";
    type Answer = Vec<BridgeChanged>;

    fn needs(&self) -> Needs {
        // The lock of the networks is released before the plan ends, so the operation takes it itself.
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let changed = self.answer()?;
        let is_changed = match &self.change {
            BridgeChange::Default => self.default(engine)?,
            BridgeChange::Migrate { to } => self.migrate(engine, to)?,
            BridgeChange::Attach { uplink, set } => {
                let settings = pairs(set).filter(|(key, _)| key != "vlan").collect();
                self.wish(engine, &Wish::Attach { uplink: uplink.clone(), vlan: changed.vlan, settings })?
            }
            BridgeChange::Detach { uplink } => self.wish(engine, &Wish::Detach { uplink: uplink.clone() })?,
            BridgeChange::Private { set } => self.wish(engine, &Wish::Private(pairs(set).collect()))?,
            BridgeChange::Set { set } => self.wish(engine, &Wish::Set(pairs(set).collect()))?,
            BridgeChange::Delete => self.wish(engine, &Wish::Delete)?,
        };
        let answer = if is_changed { vec![changed] } else { Vec::new() };
        Ok(Outcome { answer: (!engine.dry_run).then_some(answer), problem: None })
    }
}

fn pairs(set: &[Assignment]) -> impl Iterator<Item = (String, String)> {
    set.iter().map(|one| (one.key.clone(), one.value.clone()))
}

impl NetworkChange {
    /// What is answered if the change is made.
    fn answer(&self) -> Result<BridgeChanged> {
        let value = |set: &[Assignment], key: &str| {
            set.iter().find(|one| one.key.rsplit('.').next() == Some(key)).map(|one| one.value.clone()).filter(|value| !value.is_empty())
        };
        let (mut uplink, mut vlan, mut nat, mut to) = (None, None, None, None);
        let done = match &self.change {
            BridgeChange::Attach { uplink: by, set } => {
                uplink = Some(by.to_string());
                if let Some(typed) = set.iter().find(|one| one.key == "vlan") {
                    vlan = property::check(&property::find("bridge0.vlan")?, &typed.value)?.parse().ok();
                }
                BridgeWord::Attached
            }
            BridgeChange::Detach { .. } => BridgeWord::Detached,
            BridgeChange::Private { set } => {
                nat = value(set, "nat");
                BridgeWord::Private
            }
            BridgeChange::Set { .. } => BridgeWord::Set,
            BridgeChange::Default => BridgeWord::Default,
            BridgeChange::Migrate { to: other } => {
                to = Some(other.to_string());
                BridgeWord::Migrated
            }
            BridgeChange::Delete => BridgeWord::Deleted,
        };
        Ok(BridgeChanged { object: self.bridge.to_string(), done, uplink, vlan, nat, to, confirm_within: self.confirm_within })
    }

    /// Changes the bridge alone; whether something was done.
    fn wish(&self, engine: &Engine, wish: &Wish) -> Result<bool> {
        let (_settings, lock) = engine.lock_networks()?;
        // Only removing a bridge or its uplink requires knowing its guests.
        let guests = match wish {
            Wish::Delete | Wish::Detach { .. } | Wish::Private(_) => Which::All,
            Wish::Attach { .. } | Wish::Set(_) => Look::default().guests,
        };
        let world = engine.look_with_settings(&Look { guests, ..Look::default() })?;
        let facts = engine.networks(&world, wish.is_of_netgraph())?;
        let planned = bridge::change(&world, &facts, &self.bridge, wish)?;
        Ok(engine.change_networks(&world, &planned, self.bridge.as_str(), lock, self.confirm_within)?.is_some())
    }

    /// Makes it the default in every pool; whether something was done.
    fn default(&self, engine: &Engine) -> Result<bool> {
        let (_settings, _lock) = engine.lock_networks()?;
        let world = engine.look_with_settings(&Look::default())?;
        let facts = engine.networks(&world, false)?;
        let mut changed = false;
        for root in world.roots.iter().filter(|root| root.role != Role::Offline) {
            let plan = bridge::default(&world, &facts, root, &inherited(root)?, &self.bridge)?;
            changed |= engine.carry_out(&world, &plan, "defaults")?.is_some() && !plan.steps.is_empty();
        }
        Ok(changed)
    }

    /// Moves everything on it to another bridge; whether something was done.
    fn migrate(&self, engine: &Engine, to: &IfName) -> Result<bool> {
        // All guests that may be attached to it are locked before the networks are.
        let names = engine.look(&Look::at_keys(Vec::new()))?.guests.iter().map(|guest| guest.name.clone()).collect::<Vec<_>>();
        let _guests = engine.lock("guest", &names)?;
        let (_settings, lock) = engine.lock_networks()?;
        // Observed by name: the copies of their settings are written too, and an observation of all guests does not include
        // their folders.
        let world = engine.look_with_settings(&Look::at(&names))?;
        let facts = engine.networks(&world, false)?;
        let planned = migrate::migrate(&world, &facts, &inherited(world.primary()?)?, &self.bridge, to)?;
        Ok(engine.change_networks(&world, &planned, self.bridge.as_str(), lock, self.confirm_within)?.is_some())
    }
}

/// What the guests of a pool inherit.
fn inherited(root: &Root) -> Result<OwnValues> {
    Ok(observe::dataset(&root.guests())?.map(|row| row.own).unwrap_or_default())
}
