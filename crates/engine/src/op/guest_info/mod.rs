//! Everything about guests: state, devices, identity, and what runs.

mod resolved;
mod run;

pub use run::{Confined, Drive, Loopback, LoopbackState, Run};

use super::disk_list::{DiskState, unrecorded};
use crate::answer::{Change, DiskKind, Failure, State, Time, Value, mirrored};
use crate::needs::{DiskNeeds, Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::runs::{self, Interfaces};
use crate::{Engine, Targets};
use chyves_core::error::{Problem, Result};
use chyves_core::guest::{self, Guest, RunState, Spec, backend};
use chyves_core::network::leases;
use chyves_core::plan::disk::found::{self, Disks, Found};
use chyves_core::plan::firmware;
use chyves_core::plan::{revert, start};
use chyves_core::property::keys;
use chyves_core::value::{Size, printable};
use chyves_core::vmm::Vmm;
use chyves_core::world::World;
use chyves_core::zfs::Dialect;
use chyves_host::network;
use chyves_host::observe::snapshots;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Reads everything about guests.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GuestInfo {
    /// The guests; all if it is missing.
    pub guests: Targets,
}

/// One guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GuestFacts {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Its UUID.
    pub uuid: String,
    /// Its dataset.
    pub dataset: String,
    /// Bytes that it uses in the pool.
    pub used: u64,
    /// Its processors: a number, or a topology. Of a running guest those that it runs with.
    pub cpu: Option<Value>,
    /// Its memory in bytes. Of a running guest what it runs with.
    pub ram: Option<Value>,
    /// Its loader. Of a running guest the one that it runs with.
    pub loader: Option<String>,
    /// Changes that its present run does not use.
    pub pending: Vec<Change>,
    /// Why its settings cannot be used, if they cannot.
    pub invalid: Option<Failure>,
    /// Its UEFI firmware: an image, or a file of the host.
    pub firmware: Option<String>,
    /// The accelerator that it runs with.
    pub accel: Option<String>,
    /// The program that reads its cloud-init seed.
    pub ci_reader: Option<String>,
    /// The fields whose values were chosen automatically.
    pub auto: Vec<String>,
    /// Why its own firmware cannot be used, if it cannot.
    pub missing_firmware: Option<Failure>,
    /// What else keeps it from starting and is seen without inspecting the host: changes of its dataset, a snapshot that is gone, a
    /// running VM with its UUID.
    pub problems: Vec<Failure>,
    /// Why its last run crashed.
    pub crash: Option<String>,
    /// The folder with its logs, if its last run crashed.
    pub logs: Option<String>,
    /// Why its hypervisor has paused it.
    pub paused: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Notes about it.
    pub notes: Option<String>,
    /// Why it does not belong to this host.
    pub foreign: Option<String>,
    /// The dataset whose key is not loaded.
    pub locked: Option<String>,
    /// The snapshot that it is a clone of.
    pub origin: Option<String>,
    /// The guest that it was cloned from.
    pub cloned_from: Option<String>,
    /// The image that it was made from.
    pub image: Option<String>,
    /// Its group, as a path.
    pub group: Option<String>,
    /// When it was created.
    pub created: Option<Time>,
    /// The folder with its files.
    pub files: Option<String>,
    /// Whether that folder is mounted.
    pub mounted: bool,
    /// What runs; missing if nothing does.
    #[serde(flatten)]
    pub run: Option<Run>,
    /// Its disks.
    pub disks: Vec<GuestDisk>,
    /// Its network interfaces; empty if the settings cannot be used.
    pub networks: Vec<Nic>,
}

/// A disk of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GuestDisk {
    /// Its name: `disk0`.
    pub disk: String,
    /// Its kind as recorded.
    pub kind: DiskKind,
    /// Its recorded size in bytes.
    pub size: Option<u64>,
    /// Its actual size in bytes, if there is a disk and it could be read.
    pub actual: Option<u64>,
    /// How it compares with its record.
    pub state: DiskState,
    /// Its actual kind, if that is not the recorded one.
    pub actual_kind: Option<DiskKind>,
    /// What was found under its name if that is not a disk, or why the disk could not be read.
    pub reason: Option<String>,
    /// The bus or controller that it is attached to.
    pub bus: String,
    /// Its serial number.
    pub serial: String,
    /// Its description.
    pub description: Option<String>,
}

impl GuestDisk {
    /// How the disk differs from its record, in a few words; none if it does not, or could not be read.
    pub fn difference(&self) -> Option<String> {
        let noun = |kind: DiskKind| match kind {
            DiskKind::Raw => "file",
            DiskKind::Zvol => "volume",
            DiskKind::Attached => "source",
        };
        let recorded = || self.size.map_or_else(|| "nothing".to_owned(), |size| Size::bytes(size).to_string());
        let actual = Size::bytes(self.actual.unwrap_or(0));
        match self.state {
            DiskState::AsRecorded | DiskState::Unknown => None,
            DiskState::Unrecorded => Some(format!("a {} of {actual} that is not in the settings", noun(self.kind))),
            DiskState::OtherSize => Some(format!("actual size {actual}, recorded {}", recorded())),
            DiskState::Missing => Some(format!("its {} is missing", noun(self.kind))),
            DiskState::OtherKind => {
                let is = noun(self.actual_kind.unwrap_or(self.kind));
                Some(format!("actually a {is} of {actual}, recorded as a {} of {}", noun(self.kind), recorded()))
            }
            DiskState::NoDisk => Some(format!("{} has its name", self.reason.as_deref().unwrap_or("something else"))),
        }
    }
}

mirrored! {
    /// How a network interface reaches the network.
    Backend of guest::Backend {
        /// Not decided: the hypervisor's default.
        Auto = "auto",
        /// The hypervisor's built-in user network.
        User = "user",
        /// A tap on a bridge.
        Bridge = "bridge",
        /// A port of a VALE switch.
        Vale = "vale",
        /// A hook of a netgraph node.
        Netgraph = "netgraph",
    }
}

/// A network interface of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Nic {
    /// Its name: `net0`.
    pub nic: String,
    /// How it reaches the network.
    pub backend: Backend,
    /// Whether that was chosen automatically.
    pub auto: bool,
    /// Its device model.
    pub model: String,
    /// Its MAC address.
    pub mac: String,
    /// Its bridge, if it is on one.
    pub bridge: Option<String>,
    /// Its addresses, as far as they are known.
    pub addresses: Vec<NicAddress>,
}

/// An address of a network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NicAddress {
    /// The address.
    pub address: std::net::IpAddr,
    /// How it is known: `lease`.
    pub source: String,
}

impl Operation for GuestInfo {
    const NAME: &'static str = "guest-info";
    type Answer = Vec<GuestFacts>;

    fn needs(&self) -> Needs {
        // An operation that only reads mounts nothing: disk files of an unmounted guest are reported as recorded.
        Needs { guests: Some(self.guests.clone()), used_images: true, disks: DiskNeeds::Unmounted, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let guests = seen.guests();
        let interfaces = Interfaces::default();
        let mut all = Vec::new();
        for (guest, disks) in guests.iter().zip(seen.disks.get()?) {
            all.push(facts(engine, guest, disks, &seen.world, &interfaces)?);
        }
        Ok(Outcome::without(all, "guests could not be read", guests.len(), seen.lost.clone()))
    }
}

fn facts(engine: &Engine, guest: &Guest, disks: &Disks, world: &World, interfaces: &Interfaces) -> Result<GuestFacts> {
    // With settings that cannot be read, everything else is reported, and the reason.
    let (spec, invalid) = match guest.spec() {
        Ok(spec) => (Some(spec), None),
        Err(problem) => (None, Some(problem)),
    };
    let record = if guest.state.is_alive() { engine.runtime.observe(guest.uuid, &guest.dataset)?.record } else { None };
    let changes = record.as_ref().map(|record| interfaces.pending(engine, guest, record)).unwrap_or_default();
    let set = |key: &str| guest.settings.value(key);
    // Everything that is shown of a running guest is what it was started with; what differs at its next start is pending.
    let started = record.as_ref().map(|record| runs::started(guest, record));
    let now = started.as_ref().unwrap_or(guest);
    let spec_now = now.spec().ok().or_else(|| spec.clone());
    // The value that the guest runs with.
    let running = |key: &str| {
        let change = changes.iter().find(|change| change.property == key);
        set(key).map(|next| change.and_then(|change| change.running.clone()).unwrap_or(next))
    };
    let launch = record.as_ref().map(|record| &record.launch);
    let (resolved, invalid) = match spec_now.as_ref().map(|spec| resolved::of(now, spec, &world.host, launch)).transpose() {
        Ok(resolved) => (resolved.unwrap_or_default(), invalid),
        Err(problem) => (Vec::new(), invalid.or(Some(problem))),
    };
    let of = |field: &str| resolved.iter().find(|one| one.field == field).map(|one| one.value.clone());
    let mut auto: Vec<String> = resolved.iter().filter(|one| one.auto).map(|one| one.field.to_owned()).collect();
    // Port 0 means any free port.
    let has_display = launch.is_some_and(|launch| launch.screen.is_some());
    auto.extend((has_display && now.settings.value(keys::VNC_PORT).is_none_or(|port| port == "0")).then(|| "vnc".to_owned()));
    let (crash, paused) = match &guest.state {
        RunState::Crashed { reason } => (Some(reason.clone()), None),
        RunState::Paused { reason } => (None, Some(reason.clone())),
        RunState::Stopped | RunState::Starting | RunState::Running | RunState::Stopping | RunState::Orphaned => (None, None),
    };
    Ok(GuestFacts {
        name: guest.name.to_string(),
        state: State::of(guest),
        uuid: guest.uuid.to_string(),
        dataset: guest.dataset.to_string(),
        used: guest.used.get(),
        cpu: running(keys::CPU).map(|text| Value::of(keys::CPU, &text)),
        ram: running(keys::RAM).map(|text| Value::of(keys::RAM, &text)),
        loader: running(keys::LOADER),
        pending: changes.iter().map(Change::from).collect(),
        invalid: invalid.map(Failure),
        firmware: of("firmware"),
        accel: of("accel"),
        ci_reader: of("ci_reader"),
        auto,
        missing_firmware: firmware::missing(world, guest).map(Failure),
        problems: problems(engine, guest, spec.as_ref(), world.host.dialect)?.into_iter().map(Failure).collect(),
        logs: crash.as_ref().and_then(|_| Some(format!("{}/logs", guest.folder().ok()?))),
        crash,
        paused,
        description: set(keys::DESCRIPTION),
        notes: set("notes"),
        foreign: guest.foreign.clone(),
        locked: world.locked.by(&guest.dataset).map(ToString::to_string),
        origin: guest.origin.clone(),
        cloned_from: set(keys::CLONED_FROM),
        image: set(keys::IMAGE),
        group: guest.group().map(str::to_owned),
        created: set(keys::CREATED).as_deref().and_then(Time::recorded),
        files: guest.mountpoint.clone(),
        mounted: guest.mounted,
        run: record.as_ref().map(|record| Run::of(engine, guest, record, world)),
        disks: {
            let mut all: Vec<GuestDisk> = guest.disk_records().iter().map(|record| disk(&record.disk, disks)).collect();
            all.extend(found::strays(guest, disks).map(|stray| GuestDisk {
                state: DiskState::Unrecorded,
                actual_kind: None,
                ..disk(&unrecorded(guest, &stray).disk, disks)
            }));
            all
        },
        networks: spec_now.map(|spec| nics(engine, guest, &spec, (world.host.vmm, interfaces))).unwrap_or_default(),
    })
}

fn problems(engine: &Engine, guest: &Guest, spec: Option<&Spec>, dialect: Dialect) -> Result<Vec<Problem>> {
    let mut all: Vec<Problem> = guest.writable().err().into_iter().collect();
    if let Some(revert) = spec.map(|spec| &spec.revert) {
        let there = if revert::reads(revert) { snapshots::of(dialect, guest)? } else { Vec::new() };
        all.extend(revert::hindered(guest, revert, &there));
    }
    all.extend(engine.runtime.observe(guest.uuid, &guest.dataset)?.elsewhere.map(|other| start::twin_runs(guest, &other)));
    Ok(all)
}

fn disk(disk: &guest::DiskSpec, disks: &Disks) -> GuestDisk {
    let there = found::of(disks, disk.number);
    GuestDisk {
        disk: format!("disk{}", disk.number),
        kind: disk.kind.into(),
        size: disk.size.map(Size::get),
        actual: there.actual().map(Size::get),
        state: DiskState::of(there, disk),
        actual_kind: matches!(there, Found::OtherKind(..)).then(|| there.kind(disk).into()),
        reason: match there {
            Found::NoDisk(what) => Some(printable(what, 120)),
            Found::Unknown(why) => Some(printable(why, 400)),
            Found::Size(_) | Found::OtherKind(..) | Found::Missing => None,
        },
        bus: disk.bus.to_string(),
        serial: disk.serial.clone(),
        description: disk.description.clone(),
    }
}

/// The NICs, with their actual back ends, the bridges that they are on and the known addresses.
fn nics(engine: &Engine, guest: &Guest, spec: &Spec, (vmm, interfaces): (Vmm, &Interfaces)) -> Vec<Nic> {
    // A guest that is off has no address, whatever it once leased.
    let leased = if guest.state.is_alive() { leases::of(&network::leases(&engine.runtime), &spec.nets, vmm) } else { Vec::new() };
    let one = |n: &guest::NetSpec| {
        let backend = backend(n, vmm);
        let nic = format!("net{}", n.number);
        let own = leased.iter().filter(|known| known.nic == nic);
        Nic {
            backend: backend.into(),
            auto: n.backend == guest::Backend::Auto,
            model: n.model.to_string(),
            mac: n.mac.to_string(),
            // Reported only if the NIC is attached to one.
            bridge: runs::is_attached(n, vmm).then(|| interfaces.bridge(engine, guest, n).unwrap_or_else(|| n.bridge.clone()).to_string()),
            addresses: own.map(|known| NicAddress { address: known.address, source: known.source.to_owned() }).collect(),
            nic,
        }
    };
    spec.nets.iter().map(one).collect()
}
