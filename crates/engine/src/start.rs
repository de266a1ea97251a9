//! Preparing the start of a guest, and of its next run after a reboot: what it needs of the host is observed, claimed and
//! kept mounted.

use crate::Engine;
use chyves_core::action::Action;
use chyves_core::device::{SerialEnd, parse_serial_end};
use chyves_core::error::{Code, Problem, Result};
use chyves_core::guest::{Guest, RunState, Spec};
use chyves_core::image::Image;
use chyves_core::launch::Launch;
use chyves_core::plan::drives::Drive;
use chyves_core::plan::snapshot::Facts;
use chyves_core::plan::start::{Occasion, Ready, Request};
use chyves_core::plan::{self, Plan, machine::Fresh};
use chyves_core::value::{Dataset, ImageName};
use chyves_core::vmm::Vmm;
use chyves_core::world::World;
use chyves_core::zfs::locked::Locked;
use chyves_host::observe::{self, Look, Which};
use chyves_host::runtime::Lock;
use chyves_host::shared_mounts;
use chyves_host::supervise::{self, Spawner};
use chyves_host::{accel, facts, network, ports, rulesets};
use std::net::{IpAddr, SocketAddr};

/// The ISOs of a start: found once for all guests, and kept mounted while they start.
pub struct Media {
    images: Vec<Image>,
    drives: Vec<Drive>,
    datasets: Vec<Dataset>,
    /// The ISOs whose encryption key is not loaded.
    locked: Locked,
}

impl Media {
    /// Finds them.
    ///
    /// # Errors
    /// One does not exist or is no ISO, or there are too many.
    pub fn find(engine: &Engine, isos: &[ImageName]) -> Result<Self> {
        if isos.is_empty() {
            return Ok(Self { images: Vec::new(), drives: Vec::new(), datasets: Vec::new(), locked: Locked::default() });
        }
        if isos.len() > plan::media::MOST {
            return Err(
                Problem::usage(format!("a guest has at most {} drives", plan::media::MOST)).hint("`chyves insert` changes ISOs later")
            );
        }
        let world = engine.look(&Look { images: Which::All, ..Look::default() })?;
        let mut datasets: Vec<Dataset> =
            isos.iter().map(|iso| Ok(plan::drives::disc(&world, iso)?.dataset.clone())).collect::<Result<_>>()?;
        datasets.sort();
        datasets.dedup();
        let drives = isos.iter().cloned().map(Drive::with).collect();
        Ok(Self { images: world.images, drives, datasets, locked: world.locked })
    }

    /// The file systems of the ISOs.
    pub fn datasets(&self) -> &[Dataset] {
        &self.datasets
    }

    /// Plans the start of a guest, in a world with the ISOs and the guest's firmware.
    ///
    /// # Errors
    /// It cannot start.
    pub fn ready(&self, engine: &Engine, world: &World, guest: &Guest) -> Result<Start> {
        // Checked before the host is queried for anything that the guest's settings name.
        plan::start::permitted(world, guest)?;
        let mut world = World { images: self.images.clone(), ..world.clone() };
        world.locked.extend(&self.locked);
        observe::add_images(&mut world, &plan::firmware::needed(guest)?)?;
        let world = with_facts(engine, &world, guest, Occasion::Start, &self.drives)?;
        let (mut request, claims) = request(engine, &world, guest, Occasion::Start, self.drives.clone())?;
        let networks = networks(engine, &world, guest, &mut request)?;
        // A start reads the documents when it writes the seed; a dry run must check them too.
        let is_judged = engine.dry_run && chyves_core::cloudinit::settings::is_wanted(guest)?;
        let world = if is_judged { Engine::with_texts(&world, guest)? } else { world };
        let mut plan = plan::start::start(&world, guest, &request)?;
        if engine.dry_run {
            own_texts(engine, guest, &mut plan);
        }
        Ok(Start { world, plan, networks, claims })
    }
}

/// Reads the user's own documents into the seed that a dry run shows. Their file system is mounted for that, unless another
/// command holds the guest's lock.
fn own_texts(engine: &Engine, guest: &Guest, plan: &mut Plan) {
    let seeds = plan.steps.iter_mut().filter_map(|step| if let Action::WriteSeed(disc) = step { Some(disc) } else { None });
    for disc in seeds {
        let lock = engine.runtime.lock_named(&format!("guest.{}", guest.name), SEED_WAIT, &engine.typed);
        if let Err(problem) = lock.and_then(|_lock| chyves_host::seed::read_texts(guest, disc)) {
            plan.notes.push(format!("the guest's own cloud-init texts are not shown here: {problem}"));
        }
    }
}

/// How long a dry run waits for the lock of a guest.
const SEED_WAIT: std::time::Duration = std::time::Duration::from_secs(2);

/// A start that was planned.
pub struct Start {
    /// The world that it was planned in.
    pub world: World,
    /// The plan.
    pub plan: Plan,
    /// The lock of the host's networks, if the plan changes them.
    pub networks: Option<Lock>,
    /// The claims of the display's port and of the jail's ruleset: held until the guest's supervisor runs.
    pub(crate) claims: Claims,
}

impl Start {
    /// The address of the VNC display.
    pub fn screen(&self) -> Option<SocketAddr> {
        match self.plan.steps.last() {
            Some(Action::Launch(launch)) => launch.screen,
            _ => None,
        }
    }

    /// The file systems of images that the guest will use besides its media.
    pub fn borrows(&self, media: &Media) -> Vec<Dataset> {
        let all = match self.plan.steps.last() {
            Some(Action::Launch(launch)) => launch.borrows.as_slice(),
            _ => &[],
        };
        all.iter().filter(|dataset| !media.datasets.contains(dataset)).cloned().collect()
    }
}

/// Keeps images mounted for guests that are about to use them.
///
/// # Errors
/// One cannot be locked.
pub fn hold(engine: &Engine, datasets: &[Dataset]) -> Result<Vec<Lock>> {
    let all = datasets.iter().filter(|_| !engine.dry_run);
    all.map(|dataset| shared_mounts::hold(&engine.runtime, dataset, &engine.typed)).collect()
}

/// Refuses a guest if a VM with its UUID runs from another dataset: of exact copies only one can run at a time.
///
/// # Errors
/// One does.
pub fn alone(engine: &Engine, guest: &Guest) -> Result<()> {
    match engine.runtime.observe(guest.uuid, &guest.dataset)?.elsewhere {
        None => Ok(()),
        Some(other) => Err(plan::start::twin_runs(guest, &other)),
    }
}

/// Starts a new supervisor for a guest whose supervisor was killed; leaves others unchanged.
///
/// # Errors
/// It cannot be started.
pub fn with_supervisor(engine: &Engine, guest: &Guest, spawner: &Spawner) -> Result<()> {
    if guest.state == RunState::Orphaned {
        supervise::take_over(&engine.runtime, guest.uuid, &guest.dataset, spawner, &mut |_| {})?;
        engine.events.note(&format!("{}: its supervisor was not running; a new one was started", guest.name));
    }
    Ok(())
}

/// Adds the facts about the host that only a start needs.
fn with_facts(engine: &Engine, world: &World, guest: &Guest, occasion: Occasion, drives: &[Drive]) -> Result<World> {
    let mut world = with_accel(engine, world);
    // The facts of another host are used as stated. For a guest that already runs none are needed.
    if engine.facts.is_none() && (!guest.state.is_alive() || occasion != Occasion::Start) {
        // The networks are observed separately, under their lock.
        let mut wants = chyves_core::check::Wants { nics: Vec::new(), ..plan::requirements::wants(&world, guest, occasion)? };
        wants.boot_from(drives);
        facts::for_start(&engine.runtime, &mut world.host, &wants);
    }
    Ok(world)
}

/// Adds whether KVM works, which costs a trial.
fn with_accel(engine: &Engine, world: &World) -> World {
    let mut world = world.clone();
    if engine.facts.is_none() && world.host.vmm == Vmm::Qemu {
        let kvm = accel::kvm(&engine.runtime, facts::QEMU);
        world.host.kvm = if kvm.works { Ok(()) } else { Err(kvm.reason) };
    }
    world
}

/// The claims of a VNC port and of a ruleset.
pub(crate) type Claims = (Option<Lock>, Option<rulesets::Claim>);

/// The request with what is known only at the start, and the claims of what was chosen.
fn request(engine: &Engine, world: &World, guest: &Guest, occasion: Occasion, drives: Vec<Drive>) -> Result<(Request, Claims)> {
    let secret = chyves_host::identity::new().simple().to_string()[..8].to_owned();
    let spec = guest.spec()?;
    let snapshots = match &spec.revert.snapshot {
        Some(name) if plan::revert::wanted(guest, &spec.revert, occasion)? => {
            let there = observe::snapshots::of(facts::dialect(), guest)?;
            // The plan reports a missing snapshot, with similar names.
            let known = there.iter().any(|s| s.name == name.as_str());
            let objects: Vec<String> =
                [guest.dataset.to_string()].into_iter().chain(known.then(|| format!("{}@{name}", guest.dataset))).collect();
            let settings = match there.iter().find(|s| s.name == name.as_str()) {
                Some(seen) => engine.settings_at(world, guest, seen)?,
                None => None,
            };
            let mut facts = Facts { there, guids: observe::guids(&objects)?, settings, ..Facts::default() };
            facts.add_volumes(observe::snapshots::volumes_with(guest, name)?);
            Some(facts)
        }
        Some(_) => None,
        None => plan::revert::wanted(guest, &spec.revert, occasion).map(|_| None)?,
    };
    let (vnc_port, claim) = match &spec.screen {
        Some(screen) if screen.port == 0 => vnc_port(engine, guest, (screen.address, &serial_ports(&spec)), occasion)?,
        Some(_) | None => (0, None),
    };
    // A guest that already runs is not started, and on another host nothing can be claimed.
    let starts = engine.facts.is_none() && (!guest.state.is_alive() || occasion != Occasion::Start);
    let (ruleset, claimed) = match starts && plan::start::wants_jail(&spec, &world.host) {
        true if engine.dry_run => (Some(rulesets::free(&engine.runtime, guest.uuid)?), None),
        true => rulesets::claim(&engine.runtime, guest.uuid).map(|claim| (Some(claim.number()), Some(claim)))?,
        false => (None, None),
    };
    Ok((Request { fresh: Fresh { vnc_port, secret, ruleset }, occasion, drives, snapshots, network: None }, (claim, claimed)))
}

/// The TCP ports that a guest's serial ports listen on, whatever the address: they are not open before the guest runs.
fn serial_ports(spec: &Spec) -> Vec<u16> {
    let port = |(_, text): &(u16, String)| if let Ok(SerialEnd::Tcp(at)) = parse_serial_end(text) { Some(at.port()) } else { None };
    spec.serial.iter().filter_map(port).collect()
}

/// Chooses a port for a guest's display. A guest that reboots keeps its port.
fn vnc_port(engine: &Engine, guest: &Guest, (address, but): (IpAddr, &[u16]), occasion: Occasion) -> Result<(u16, Option<Lock>)> {
    if occasion != Occasion::Start {
        let record = engine.runtime.observe(guest.uuid, &guest.dataset)?.record;
        let last = record.and_then(|record| record.launch.screen).filter(|screen| screen.ip() == address && !but.contains(&screen.port()));
        if let Some(last) = last {
            return Ok((last.port(), None));
        }
    }
    if engine.dry_run || engine.facts.is_some() {
        return Ok((ports::free_vnc(address, but)?, None));
    }
    ports::claim_vnc(&engine.runtime, address, but, &engine.typed).map(|(port, claim)| (port, Some(claim)))
}

/// Observes the host's networks if the guest's NICs need them, and locks them. Those of another host cannot be observed.
fn networks(engine: &Engine, world: &World, guest: &Guest, request: &mut Request) -> Result<Option<Lock>> {
    let none = plan::network::bridge::networks(&guest.spec()?, &world.host).next().is_none();
    if none || engine.facts.is_some() || guest.state.is_alive() && request.occasion == Occasion::Start {
        return Ok(None);
    }
    let lock = if engine.dry_run { None } else { Some(network::lock(&engine.runtime, &engine.typed)?) };
    let mut world = world.clone();
    observe::global(&mut world)?;
    let mut facts = plan::network::Facts::of(&world, network::look(world.host.os, &engine.runtime)?)?;
    if facts.moves_addresses() {
        // A start must not change the interfaces of the default route or the current login.
        facts.actual = network::look_with_care(world.host.os, &engine.runtime)?;
    }
    network::graph::look_where_wanted(&mut facts, false, world.host.os, &engine.runtime)?;
    request.network = Some(facts);
    Ok(lock)
}

/// Plans the next run of a guest; returns the plan with its world and the lock of the networks. Uses the current settings, or,
/// if `why` states that they cannot be used, the previous ones.
fn planned_again(
    engine: &Engine,
    world: &World,
    guest: &Guest,
    drives: &[Drive],
    occasion: Occasion,
    why: Option<&Problem>,
) -> Result<(Ready, World, Option<Lock>)> {
    let mut all = world.clone();
    observe::add_images(&mut all, &plan::firmware::needed(guest)?)?;
    let world = with_facts(engine, &all, guest, occasion, drives)?;
    let (mut request, _claims) = request(engine, &world, guest, occasion, drives.to_vec())?;
    let lock = networks(engine, &world, guest, &mut request)?;
    let ready = match why {
        None => plan::start::launch(&world, guest, &request)?,
        Some(why) => plan::start::launch_as_before(&world, guest, &request, why)?,
    };
    Ok((ready, world, lock))
}

/// The launch of a guest's next run, after a reboot or a crash, as its supervisor requests it.
///
/// # Errors
/// The guest is gone, or cannot start, neither with its present settings nor with the previous ones.
pub fn again(engine: &Engine, dataset: &Dataset, occasion: Occasion, drives: &[Drive]) -> Result<Launch> {
    let name = dataset.leaf().parse()?;
    let images: Vec<ImageName> = drives.iter().filter_map(Drive::image).cloned().collect();
    let world = engine.look(&Look { images: Which::Named(images), ..Look::at(&[name]) })?;
    let guest = world
        .guests
        .iter()
        .find(|g| g.dataset == *dataset)
        .ok_or_else(|| Code::NoSuchGuest.problem(format!("`{dataset}` is not a guest any more")).on(dataset))?;
    let last = engine.runtime.observe(guest.uuid, &guest.dataset)?.record.map(|record| record.launch);
    let (Ready { launch, mut plan, files, seed }, world, lock) = match planned_again(engine, &world, guest, drives, occasion, None) {
        Ok(planned) => planned,
        Err(problem) => {
            // Invalid settings must not end a guest that only rebooted.
            let Some(last) = last.as_ref().filter(|last| !last.made_of.is_empty()) else { return Err(problem) };
            let before = plan::start::as_before(guest, last);
            planned_again(engine, &world, &before, drives, occasion, Some(&problem)).map_err(|_| problem)?
        }
    };
    // The guest's shared file systems are mounted already.
    let borrowed = last.map(|launch| launch.borrows).unwrap_or_default();
    plan.steps.retain(|step| !matches!(step, Action::Borrow { dataset } if borrowed.contains(dataset)));
    engine.carry_out_with(&world, &plan, guest.name.as_str(), lock)?;
    for file in files {
        chyves_host::apply::write_private(&file.path, &file.text)?;
    }
    if let Some(disc) = seed {
        chyves_host::seed::write(&disc)?;
    }
    Ok(launch)
}

/// Unmounts images that were needed only temporarily, unless other processes use them.
pub fn let_go_of(engine: &Engine, datasets: &[Dataset]) {
    for dataset in datasets.iter().filter(|_| !engine.dry_run) {
        if let Err(problem) = shared_mounts::let_go(&engine.runtime, dataset, &engine.typed) {
            engine.events.warning(&format!("{dataset} stays mounted: {problem}"));
        }
    }
}
