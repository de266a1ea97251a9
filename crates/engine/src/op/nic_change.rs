//! Changes NICs of guests: adds one, removes one, changes its settings, or moves it to another bridge.

use crate::answer::{Assignment, Each};
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::several::Pace;
use crate::{Engine, Targets};
use chyves_core::error::{Code, Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::plan::network::nics::{self, What};
use chyves_core::property::keys::{self, NetKey};
use chyves_core::value::{GuestName, IfName, printable};
use chyves_core::world::World;
use chyves_host::network;
use chyves_host::observe::{self, Look, Which};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Changes a NIC of guests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NicChange {
    /// The guests.
    pub of: NicOf,
    /// The change.
    pub change: NicChangeKind,
}

/// The guests that have the NIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NicOf {
    /// These.
    Guests(Targets),
    /// The one whose NIC has this tap; that is then the NIC, too.
    Tap(String),
}

/// A change of a NIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NicChangeKind {
    /// A NIC is added.
    Add {
        /// Its network.
        network: NicNetwork,
        /// Its settings, without `netN.`.
        #[serde(default)]
        set: Vec<Assignment>,
    },
    /// It is removed.
    Remove {
        /// The NIC: `net1`, or its tap or port.
        nic: String,
    },
    /// Its settings are changed.
    Set {
        /// The NIC; if it is missing, the keys contain its number.
        #[serde(default)]
        nic: Option<String>,
        /// The settings.
        set: Vec<Assignment>,
    },
    /// It moves to a bridge, of a running guest at once.
    Move {
        /// The NIC; it may be missing if there is only one, or a tap was named.
        #[serde(default)]
        nic: Option<String>,
        /// The bridge.
        #[schemars(with = "String")]
        bridge: IfName,
    },
    /// It returns from a bridge to the bridge of NICs that name none.
    Return {
        /// The NIC; it may be missing if there is only one, or a tap was named.
        #[serde(default)]
        nic: Option<String>,
        /// The bridge that it is on.
        #[schemars(with = "String")]
        from: IfName,
    },
}

/// The network of a NIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NicNetwork {
    /// A tap on a bridge.
    Tap {
        /// The tap; one is chosen if it is missing.
        #[serde(default)]
        #[schemars(with = "Option<String>")]
        tap: Option<IfName>,
        /// The bridge; the default one if it is missing.
        #[serde(default)]
        #[schemars(with = "Option<String>")]
        bridge: Option<IfName>,
    },
    /// A port of a VALE switch: `vale0:web1`.
    Vale(String),
    /// A netgraph hook: `lan:`.
    Netgraph(String),
    /// User-mode networking of the hypervisor.
    User,
}

impl NicNetwork {
    fn what(&self) -> What {
        match self {
            Self::Tap { tap, bridge } => What::Tap { tap: tap.clone(), bridge: bridge.clone() },
            Self::Vale(port) => What::Vale(port.clone()),
            Self::Netgraph(hook) => What::Netgraph(hook.clone()),
            Self::User => What::User,
        }
    }

    /// Whether it names something that only one NIC can have.
    const fn is_unique(&self) -> bool {
        matches!(self, Self::Tap { tap: Some(_), .. })
    }
}

/// A NIC that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NicChanged {
    /// What was done.
    pub done: NicWord,
    /// Its number; null if settings of several were changed.
    pub nic: Option<u16>,
    /// The bridge that it is on now, if it was moved.
    pub bridge: Option<String>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NicWord {
    /// It was added.
    Added,
    /// It was removed.
    Removed,
    /// Its settings were changed.
    Set,
    /// It was moved.
    Moved,
}

impl Operation for NicChange {
    const NAME: &'static str = "nic-change";
    type Answer = Vec<Each<NicChanged>>;

    fn needs(&self) -> Needs {
        // Each guest is locked and observed for itself.
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let (guests, tap) = match &self.of {
            NicOf::Guests(guests) => (guests.clone(), None),
            NicOf::Tap(tap) => (owner(engine, tap)?.into(), Some(tap.as_str())),
        };
        let results = engine.each(&guests, Pace::InTurn, |world, guest| self.change.of(engine, world, guest, tap))?;
        Ok(Outcome::each_of(engine, results, "guests failed"))
    }
}

impl NicChangeKind {
    /// Changes the NIC of one guest, which is locked and observed.
    fn of(&self, engine: &Engine, world: &World, guest: &Guest, tap: Option<&str>) -> Result<Option<NicChanged>> {
        let has_mac = |set: &[Assignment]| set.iter().any(|one| one.key.ends_with("mac"));
        match self {
            Self::Add { network, set } => {
                let unique = network.is_unique() || has_mac(set);
                let world = if unique { with_all(engine, world, guest)? } else { world.clone() };
                let (plan, number) = nics::add(&world, guest, &network.what(), &Assignment::pairs(set))?;
                let done = engine.carry_out(&world, &plan, guest.name.as_str())?;
                Ok(done.map(|_| NicChanged { done: NicWord::Added, nic: Some(number), bridge: None }))
            }
            Self::Remove { nic } => {
                let (plan, number) = nics::remove(world, guest, nic)?;
                let done = engine.carry_out(world, &plan, guest.name.as_str())?;
                Ok(done.map(|_| NicChanged { done: NicWord::Removed, nic: Some(number), bridge: None }))
            }
            Self::Set { nic, set } => {
                let number = nic.as_deref().map(|word| nics::find(guest, Some(word))).transpose()?;
                let world = if has_mac(set) { with_all(engine, world, guest)? } else { world.clone() };
                let plan = nics::change(&world, guest, number.unwrap_or(0), &Assignment::pairs(set))?;
                let done = engine.carry_out(&world, &plan, guest.name.as_str())?.filter(|_| !plan.steps.is_empty());
                Ok(done.map(|_| NicChanged { done: NicWord::Set, nic: number, bridge: None }))
            }
            Self::Move { nic, bridge } => shift(engine, world, guest, nic.as_deref().or(tap), bridge),
            Self::Return { nic, from } => {
                let nic = nic.as_deref().or(tap);
                let usual = returns_to(guest, nic, from)?;
                shift(engine, world, guest, nic, &usual)
            }
        }
    }
}

/// Adds all guests to a world, to check what must be unique.
fn with_all(engine: &Engine, world: &World, guest: &Guest) -> Result<World> {
    let mut world = world.clone();
    let all = observe::world(&engine.runtime, &Look { guests: Which::All, ..Look::default() })?.guests;
    world.guests.extend(all.into_iter().filter(|other| other.dataset != guest.dataset));
    Ok(world)
}

/// Moves one NIC; removes a bridge that a start created and that is then empty.
fn shift(engine: &Engine, world: &World, guest: &Guest, nic: Option<&str>, bridge: &IfName) -> Result<Option<NicChanged>> {
    let lock = if engine.dry_run { None } else { Some(network::lock(&engine.runtime, &engine.typed)?) };
    let mut world = world.clone();
    observe::global(&mut world)?;
    let facts = engine.networks(&world, false)?;
    let (plan, number) = nics::relocate(&world, &facts, guest, nic, bridge)?;
    let done = engine.carry_out_with(&world, &plan, guest.name.as_str(), lock)?;
    if done.is_some() && guest.state.is_alive() {
        network::put_away(&engine.runtime, None, &engine.typed)?;
    }
    let done = done.filter(|_| !plan.steps.is_empty());
    Ok(done.map(|_| NicChanged { done: NicWord::Moved, nic: Some(number), bridge: Some(bridge.to_string()) }))
}

/// The bridge that a NIC returns to from another one.
fn returns_to(guest: &Guest, nic: Option<&str>, from: &IfName) -> Result<IfName> {
    let number = nics::find(guest, nic)?;
    let usual: IfName = guest.settings.value(keys::BRIDGE).unwrap_or_else(|| "bridge0".into()).parse()?;
    let is = guest.settings.value(&keys::net(number, NetKey::Bridge)).unwrap_or_else(|| usual.to_string());
    if is != from.as_str() {
        let nic = nic.map_or_else(|| format!("net{number}"), str::to_owned);
        return Err(Problem::not_now(format!("net{number} of `{}` is on `{is}` and not on `{from}`", guest.name))
            .on(&guest.name)
            .hint(format!("`chyves network {is} unjoin {nic}`")));
    }
    if usual == *from {
        return Err(Problem::not_now(format!("`{from}` is the bridge of NICs that name none")).on(from).hint(format!(
            "move it: `chyves network move {} net{number} BRIDGE`; or remove it: `chyves network remove {} net{number}`",
            guest.name, guest.name
        )));
    }
    Ok(usual)
}

/// The guest that uses a tap.
fn owner(engine: &Engine, tap: &str) -> Result<GuestName> {
    let world = engine.look(&Look { guests: Which::All, ..Look::default() })?;
    let found = world.guests.iter().find(|guest| nics::find(guest, Some(tap)).is_ok() && !tap.starts_with("net"));
    found.map(|guest| guest.name.clone()).ok_or_else(|| {
        let shown = printable(tap, 40);
        Code::NoSuchNic
            .problem(format!("no guest's NIC has the tap `{shown}`"))
            .on(&shown)
            .hint(format!("`chyves network add GUEST {shown} BRIDGE` adds a NIC with it to a guest"))
    })
}
