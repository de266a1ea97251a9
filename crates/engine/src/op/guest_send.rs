//! Sends a guest as a stream to this process's standard output.

use crate::Engine;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use chyves_core::action::Action;
use chyves_core::error::{Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::plan::Plan;
use chyves_core::plan::send::{self, Base, Facts};
use chyves_core::plan::snapshot::Seen;
use chyves_core::property::settings::OwnValues;
use chyves_core::value::{GuestName, SnapshotName, SnapshotRef, printable};
use chyves_core::world::World;
use chyves_core::zfs::sending::Sending;
use chyves_host::apply::Lent;
use chyves_host::hostfs::{self, named};
use chyves_host::observe::{self, Look};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Size limit of a list of snapshots, in bytes.
const LIST_LIMIT: u64 = 64 << 20;

/// Sends a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum GuestSend {
    /// A guest at one snapshot.
    Guest {
        /// The guest.
        #[schemars(with = "String")]
        guest: GuestName,
        /// The snapshot; a new one, which is kept, if it is missing.
        #[serde(default)]
        #[schemars(with = "Option<String>")]
        snapshot: Option<SnapshotName>,
        /// What the receiver has.
        #[serde(default)]
        since: Since,
    },
    /// The rest of an interrupted stream.
    Rest {
        /// The token that the receiver printed.
        token: String,
    },
}

/// What a receiver has already.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Since {
    /// Nothing: the guest is sent whole.
    #[default]
    Nothing,
    /// This snapshot.
    Snapshot(#[schemars(with = "String")] SnapshotName),
    /// The snapshots of this pool of the host, or those that this file lists: the newest common one is the base.
    Place(String),
}

/// A guest that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Sent {
    /// The guest; null for the rest of a stream.
    pub object: Option<String>,
    /// What was done.
    pub done: SentWord,
    /// The snapshot that was taken for it, which is kept for later increments.
    pub taken: Option<String>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SentWord {
    /// The stream is complete.
    Sent,
}

impl Operation for GuestSend {
    const NAME: &'static str = "guest-send";
    type Answer = Vec<Sent>;

    fn needs(&self) -> Needs {
        // The lock of the guest is released while the stream flows, so the operation takes it itself.
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        match self {
            Self::Rest { token } => rest(engine, token),
            Self::Guest { guest, snapshot, since } => give(engine, guest, snapshot.as_ref(), since),
        }
    }
}

fn rest(engine: &Engine, token: &str) -> Result<Outcome<Vec<Sent>>> {
    let world = engine.look(&Look::default())?;
    if !world.host.dialect.can_resume() {
        return Err(Problem::host_cant("the ZFS of this host cannot go on with a stream that was cut off").hint("send it again as a whole"));
    }
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(Problem::usage("this is not a token").hint("`receive --resumable` prints it when the stream is cut off"));
    }
    let plan = Plan { steps: vec![Action::Send { sending: Sending::Rest(token.to_owned()) }], notes: Vec::new() };
    let sent = engine.carry_out(&world, &plan, "send")?;
    Ok(Outcome { answer: sent.map(|_| vec![Sent { object: None, done: SentWord::Sent, taken: None }]), problem: None })
}

fn give(engine: &Engine, name: &GuestName, snapshot: Option<&SnapshotName>, since: &Since) -> Result<Outcome<Vec<Sent>>> {
    // Only a new snapshot changes the guest. A stream may take hours, and it must be possible to stop the guest meanwhile.
    let lock = if snapshot.is_none() { engine.lock("guest", &[name])? } else { Vec::new() };
    let world = engine.look(&Look::at(std::slice::from_ref(name)))?;
    let guest = observe::guest(&world, name)?;
    let base = match since {
        Since::Nothing => Base::Whole,
        Since::Snapshot(from) => Base::Snapshot(from.clone()),
        Since::Place(place) => common(engine, &world, guest, place)?,
    };
    let mut facts = facts(engine, &world, guest, snapshot)?;
    let base = send::base(guest, snapshot, &base, &facts)?;
    if let Some(base) = &base {
        facts.carried_by_base = carried(engine, &world, guest, base, &facts.there)?;
    }
    let plan = send::send(guest, snapshot, base, &facts, &Engine::moment(1))?;
    let taken = plan.steps.iter().find_map(|step| match step {
        Action::Snapshot { snapshot, .. } => Some(snapshot.name.to_string()),
        _ => None,
    });
    let sent = engine.carry_out_with(&world, &plan, name.as_str(), Lent { stream: lock, network: None })?;
    let answer = sent.map(|_| vec![Sent { object: Some(name.to_string()), done: SentWord::Sent, taken }]);
    Ok(Outcome { answer, problem: None })
}

fn facts(engine: &Engine, world: &World, guest: &Guest, named: Option<&SnapshotName>) -> Result<Facts> {
    let there = observe::snapshots::of(chyves_host::facts::dialect(), guest)?;
    let row = observe::dataset(&guest.dataset)?;
    let encryption_root = row.as_ref().and_then(|r| r.native("encryptionroot")).filter(|r| !r.is_empty()).map(str::to_owned);
    let carried = named.map(|name| carried(engine, world, guest, name, &there)).transpose()?.flatten();
    let all = observe::snapshots::guids_of(&[guest])?;
    let guid = all.get(guest.dataset.as_str()).copied().unwrap_or_default();
    let (mut guids, mut below) = (Vec::new(), Vec::new());
    for (snapshot, guid) in all.iter().filter_map(|(name, guid)| Some((name.parse::<SnapshotRef>().ok()?, *guid))) {
        if snapshot.dataset == guest.dataset {
            guids.push((snapshot.name.to_string(), guid));
        } else {
            below.push(snapshot);
        }
    }
    Ok(Facts { there, guid, guids, carried, carried_by_base: None, below, encryption_root })
}

/// The settings that a guest had at a snapshot, if it exists. The stream of a guest without volumes needs none.
fn carried(engine: &Engine, world: &World, guest: &Guest, name: &SnapshotName, there: &[Seen]) -> Result<Option<OwnValues>> {
    let seen = there.iter().find(|s| s.name == name.as_str() && (s.is_ours() || world.host.dialect.has_volumes()));
    seen.map_or(Ok(None), |seen| engine.settings_at(world, guest, seen))
}

/// The snapshots that another place has: a pool of this host, or a list in a file.
fn common(engine: &Engine, world: &World, guest: &Guest, place: &str) -> Result<Base> {
    if let Ok(root) = world.root_on(place) {
        let copies = observe::pool::guests(&engine.runtime, root)?;
        let copy = copies.iter().find(|g| g.uuid == guest.uuid && g.dataset != guest.dataset).ok_or_else(|| {
            Problem::not_found(format!("the pool `{place}` has no copy of `{}`", guest.name))
                .on(place)
                .hint("send it whole: omit --incremental-for")
        })?;
        let guids = observe::pool::snapshot_guids(&copy.dataset)?.into_iter().map(|(_, g)| g).collect();
        return Ok(Base::Common(guids, copy.dataset.to_string()));
    }
    let text = named::text(place, LIST_LIMIT).map_err(|e| {
        hostfs::problem(e, |e| {
            Problem::not_found(format!("`{}` is neither a pool with chyves nor a file that can be read", printable(place, 120)))
                .on(place)
                .because(e)
                .hint(format!("make one where the stream goes: chyves snapshot list {} -H -o name,guid", guest.name))
        })
    })?;
    Ok(Base::Common(send::guids_in(&text)?, format!("the location that `{}` names", printable(place, 120))))
}
