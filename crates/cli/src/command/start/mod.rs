//! `chyves start`: starts guests. Also the plan that a supervisor requests when its guest reboots.

mod boot;

use super::image::let_go_of;
use crate::session::{Pace, Report, Session};
use crate::targets::Targets;
use crate::ui::Volume;
use chyves_core::action::Action;
use chyves_core::error::{Problem, Result};
use chyves_core::guest::{Guest, RunState};
use chyves_core::image::Image;
use chyves_core::launch::{Launch, REFUSED};
use chyves_core::plan::Plan;
use chyves_core::plan::drives::Drive;
use chyves_core::plan::snapshot::Facts;
use chyves_core::plan::start::{Occasion, Ready, Request};
use chyves_core::plan::{self, machine::Fresh};
use chyves_core::value::{Dataset, ImageName};
use chyves_core::vmm::Vmm;
use chyves_core::world::World;
use chyves_core::zfs::locked::Locked;
use chyves_host::observe::{self, Look, Which};
use chyves_host::runtime::Lock;
use chyves_host::shared_mounts;
use chyves_host::supervise::{self, Spawner};
use chyves_host::{accel, facts, network, ports, rulesets};
use serde_json::json;
use std::net::{IpAddr, SocketAddr};

/// Start guests
///
/// Each gets a supervisor of its own, which restarts it after a reboot and cleans up at its end. The command
/// returns when the VM is running, or reports why it is not. With --dry-run it shows every command; with
/// --host freebsd those that a FreeBSD host would run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guests
    #[arg(required_unless_present = "boot", value_name = "GUEST")]
    guests: Vec<String>,
    /// Start the guests with autostart set, higher numbers first
    #[arg(long, conflicts_with_all = ["guests", "foreground", "iso"])]
    boot: bool,
    /// Stay in the foreground until the guest ends, for daemon(8), systemd and the like
    #[arg(short, long)]
    foreground: bool,
    /// Put that ISO into a drive of each, several into several drives; the first one is booted before the disks, and all
    /// are ejected at the reboot set by iso_eject_after_reboots
    #[arg(long, value_name = "IMAGE")]
    iso: Vec<ImageName>,
}

/// The ISOs of a start: found once for all guests, and kept mounted while they start.
struct Media {
    images: Vec<Image>,
    drives: Vec<Drive>,
    datasets: Vec<Dataset>,
    /// The ISOs whose encryption key is not loaded.
    locked: Locked,
}

impl Media {
    fn find(session: &Session, isos: &[ImageName]) -> Result<Self> {
        if isos.is_empty() {
            return Ok(Self { images: Vec::new(), drives: Vec::new(), datasets: Vec::new(), locked: Locked::default() });
        }
        if isos.len() > plan::media::MOST {
            return Err(
                Problem::usage(format!("a guest has at most {} drives", plan::media::MOST)).hint("`chyves insert` changes ISOs later")
            );
        }
        let world = session.look(&Look { images: Which::All, ..Look::default() })?;
        let mut datasets: Vec<Dataset> =
            isos.iter().map(|iso| Ok(plan::drives::disc(&world, iso)?.dataset.clone())).collect::<Result<_>>()?;
        datasets.sort();
        datasets.dedup();
        let drives = isos.iter().cloned().map(Drive::with).collect();
        Ok(Self { images: world.images, drives, datasets, locked: world.locked })
    }

    /// Plans the start of a guest, in a world with the ISOs and the guest's firmware.
    fn ready(&self, session: &Session, world: &World, guest: &Guest) -> Result<Start> {
        // Checked before the host is queried for anything that the guest's settings name.
        plan::start::permitted(world, guest)?;
        let mut world = World { images: self.images.clone(), ..world.clone() };
        world.locked.extend(&self.locked);
        observe::add_images(&mut world, &plan::firmware::needed(guest)?)?;
        let world = with_facts(session, &world, guest, Occasion::Start, &self.drives)?;
        let (mut request, claims) = request(session, &world, guest, Occasion::Start, self.drives.clone())?;
        let networks = networks(session, &world, guest, &mut request)?;
        // A start reads the documents when it writes the seed; a dry run must check them too.
        let is_judged = session.dry_run && chyves_core::cloudinit::settings::is_wanted(guest)?;
        let world = if is_judged { chyves_engine::Engine::with_texts(&world, guest)? } else { world };
        let mut plan = plan::start::start(&world, guest, &request)?;
        if session.dry_run {
            own_texts(session, guest, &mut plan);
        }
        Ok(Start { world, plan, networks, _claims: claims })
    }
}

/// Reads the user's own documents into the seed that a dry run shows. Their file system is mounted for that, unless another
/// command holds the guest's lock.
fn own_texts(session: &Session, guest: &Guest, plan: &mut Plan) {
    let seeds = plan.steps.iter_mut().filter_map(|step| if let Action::WriteSeed(disc) = step { Some(disc) } else { None });
    for disc in seeds {
        let lock = session.runtime.lock_named(&format!("guest.{}", guest.name), SEED_WAIT, &session.typed);
        if let Err(problem) = lock.and_then(|_lock| chyves_host::seed::read_texts(guest, disc)) {
            plan.notes.push(format!("the guest's own cloud-init texts are not shown here: {problem}"));
        }
    }
}

/// How long a dry run waits for the lock of a guest.
const SEED_WAIT: std::time::Duration = std::time::Duration::from_secs(2);

/// A start that was planned.
struct Start {
    world: World,
    plan: Plan,
    networks: Option<Lock>,
    /// The claims of the display's port and of the jail's ruleset: held until the guest's supervisor runs.
    _claims: Claims,
}

impl Start {
    /// The address of the VNC display.
    fn screen(&self) -> Option<SocketAddr> {
        match self.plan.steps.last() {
            Some(Action::Launch(launch)) => launch.screen,
            _ => None,
        }
    }

    /// The file systems of images that the guest will use besides its media.
    fn borrows(&self, media: &Media) -> Vec<Dataset> {
        let all = match self.plan.steps.last() {
            Some(Action::Launch(launch)) => launch.borrows.as_slice(),
            _ => &[],
        };
        all.iter().filter(|dataset| !media.datasets.contains(dataset)).cloned().collect()
    }
}

/// Keeps images mounted for guests that are about to use them.
fn hold(session: &Session, datasets: &[Dataset]) -> Result<Vec<Lock>> {
    let all = datasets.iter().filter(|_| !session.dry_run);
    all.map(|dataset| shared_mounts::hold(&session.runtime, dataset, &session.typed)).collect()
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    if args.boot {
        return boot::run(session);
    }
    let targets = Targets::parse(&args.guests)?;
    let media = Media::find(session, &args.iso)?;
    let mut held = hold(session, &media.datasets)?;
    let result = if args.foreground { foreground(session, &targets, &media, &mut held) } else { background(session, &targets, &media) };
    drop(held);
    let_go_of(session, &media.datasets);
    result
}

/// Starts guests as `chyves start` does without options.
pub(super) fn usual(session: &Session, targets: &Targets) -> Result<()> {
    background(session, targets, &Media::find(session, &[])?)
}

fn background(session: &Session, targets: &Targets, media: &Media) -> Result<()> {
    session.each(targets, Pace::SideBySide, |world, guest| bring_up(session, world, guest, media))
}

/// Starts one guest; returns when it runs.
fn bring_up(session: &Session, world: &World, guest: &Guest, media: &Media) -> Result<Option<Report>> {
    if guest.state == RunState::Orphaned && !session.dry_run {
        with_supervisor(session, guest, &Spawner::this_program()?)?;
        return Ok(Some(Report::new(&guest.name, "running")));
    }
    alone(session, guest)?;
    if session.ui.volume == Volume::Quiet && guest.state.is_alive() {
        session.ui.result(&format!("{}: already {}", guest.name, guest.state.word()));
    }
    let start = media.ready(session, world, guest)?;
    let borrows = start.borrows(media);
    let screen = start.screen();
    let held = hold(session, &borrows)?;
    let done = session.carry_out_with(&start.world, &start.plan, guest.name.as_str(), start.networks);
    drop(held);
    if done.is_err() {
        let_go_of(session, &borrows);
    }
    Ok(done?.and_then(|d| d.started).map(|(supervisor, machine)| {
        let brief = format!("running (pid {machine})");
        let said = format!("{brief}; console: `chyves console {}`{}", guest.name, display(session, guest.uuid, screen));
        Report::new(&guest.name, said)
            .briefly(brief)
            .with(json!({ "pid": machine, "supervisor": supervisor, "uuid": guest.uuid, "vnc": screen }))
    }))
}

/// The address of a guest's display, and the file with its password, as the end of a sentence; empty if it has none.
fn display(session: &Session, uuid: uuid::Uuid, at: Option<SocketAddr>) -> String {
    let Some(at) = at else { return String::new() };
    let secret = session.runtime.screen_secret(uuid).map(|file| format!(" (password in {})", file.display()));
    format!("; VNC display at {at}{}", secret.unwrap_or_default())
}

/// Refuses a guest if a VM with its UUID runs from another dataset: of exact copies only one can run at a time.
fn alone(session: &Session, guest: &Guest) -> Result<()> {
    match session.runtime.observe(guest.uuid, &guest.dataset)?.elsewhere {
        None => Ok(()),
        Some(other) => Err(Problem::not_now(format!("`{}` cannot run while {} does", guest.name, other.leaf()))
            .on(&guest.name)
            .because(format!("both have the UUID {}, and with it the same MAC addresses and disk serials", guest.uuid))
            .hint(format!("`chyves stop {}` first; or clone without --exact", other.leaf()))),
    }
}

/// Starts a new supervisor for a guest whose supervisor was killed; leaves others unchanged.
pub(super) fn with_supervisor(session: &Session, guest: &Guest, spawner: &Spawner) -> Result<()> {
    if guest.state == RunState::Orphaned {
        supervise::take_over(&session.runtime, guest.uuid, &guest.dataset, spawner, &mut |_| {})?;
        session.ui.say(&format!("{}: its supervisor was not running; a new one was started", guest.name));
    }
    Ok(())
}

/// Adds the facts about the host that only a start needs.
fn with_facts(session: &Session, world: &World, guest: &Guest, occasion: Occasion, drives: &[Drive]) -> Result<World> {
    let mut world = with_accel(session, world);
    // The facts of another host are used as stated. For a guest that already runs none are needed.
    if session.facts.is_none() && (!guest.state.is_alive() || occasion != Occasion::Start) {
        // The networks are observed separately, under their lock.
        let mut wants = chyves_core::check::Wants { nics: Vec::new(), ..plan::requirements::wants(&world, guest, occasion)? };
        wants.boot_from(drives);
        facts::for_start(&session.runtime, &mut world.host, &wants);
    }
    Ok(world)
}

/// Adds whether KVM works, which costs a trial.
fn with_accel(session: &Session, world: &World) -> World {
    let mut world = world.clone();
    if session.facts.is_none() && world.host.vmm == Vmm::Qemu {
        let kvm = accel::kvm(&session.runtime, facts::QEMU);
        world.host.kvm = if kvm.works { Ok(()) } else { Err(kvm.reason) };
    }
    world
}

/// The claims of a VNC port and of a ruleset.
type Claims = (Option<Lock>, Option<rulesets::Claim>);

/// The request with what is known only at the start, and the claims of what was chosen.
fn request(session: &Session, world: &World, guest: &Guest, occasion: Occasion, drives: Vec<Drive>) -> Result<(Request, Claims)> {
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
                Some(seen) => session.settings_at(world, guest, seen)?,
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
        Some(screen) if screen.port == 0 => vnc_port(session, guest, screen.address, occasion)?,
        Some(_) | None => (0, None),
    };
    // A guest that already runs is not started, and on another host nothing can be claimed.
    let starts = session.facts.is_none() && (!guest.state.is_alive() || occasion != Occasion::Start);
    let (ruleset, claimed) = match starts && plan::start::wants_jail(&spec, &world.host) {
        true if session.dry_run => (Some(rulesets::free(&session.runtime, guest.uuid)?), None),
        true => rulesets::claim(&session.runtime, guest.uuid).map(|claim| (Some(claim.number()), Some(claim)))?,
        false => (None, None),
    };
    Ok((Request { fresh: Fresh { vnc_port, secret, ruleset }, occasion, drives, snapshots, network: None }, (claim, claimed)))
}

/// Chooses a port for a guest's display. A guest that reboots keeps its port.
fn vnc_port(session: &Session, guest: &Guest, address: IpAddr, occasion: Occasion) -> Result<(u16, Option<Lock>)> {
    if occasion != Occasion::Start {
        let record = session.runtime.observe(guest.uuid, &guest.dataset)?.record;
        let last = record.and_then(|record| record.launch.screen).filter(|screen| screen.ip() == address);
        if let Some(last) = last {
            return Ok((last.port(), None));
        }
    }
    if session.dry_run || session.facts.is_some() {
        return Ok((ports::free_vnc(address)?, None));
    }
    ports::claim_vnc(&session.runtime, address, &session.typed).map(|(port, claim)| (port, Some(claim)))
}

/// Observes the host's networks if the guest's NICs need them, and locks them. Those of another host cannot be observed.
fn networks(session: &Session, world: &World, guest: &Guest, request: &mut Request) -> Result<Option<Lock>> {
    let none = plan::network::bridge::networks(&guest.spec()?, &world.host).next().is_none();
    if none || session.facts.is_some() || guest.state.is_alive() && request.occasion == Occasion::Start {
        return Ok(None);
    }
    let lock = if session.dry_run { None } else { Some(network::lock(&session.runtime, &session.typed)?) };
    let mut world = world.clone();
    observe::global(&mut world)?;
    let mut facts = plan::network::Facts::of(&world, network::look(world.host.os, &session.runtime)?)?;
    if facts.moves_addresses() {
        // A start must not change the interfaces of the default route or the current login.
        facts.actual = network::look_with_care(world.host.os, &session.runtime)?;
    }
    network::graph::look_where_wanted(&mut facts, false, world.host.os, &session.runtime)?;
    request.network = Some(facts);
    Ok(lock)
}

fn foreground(session: &Session, targets: &Targets, media: &Media, held: &mut Vec<Lock>) -> Result<()> {
    let look = session.look(&targets.look())?;
    let names = targets.names(&look)?;
    let [name] = &names[..] else {
        return Err(Problem::usage("--foreground takes one guest").hint("start several without it"));
    };
    let lock = session.lock("guest", &[name])?;
    let world = session.look(&Look::at(std::slice::from_ref(name)))?;
    let guest = observe::guest(&world, name)?;
    alone(session, guest)?;
    let mut start = media.ready(session, &world, guest)?;
    if session.dry_run {
        return session.carry_out(&start.world, &start.plan, name.as_str()).map(drop);
    }
    let borrows = start.borrows(media);
    held.extend(hold(session, &borrows)?);
    let Some(Action::Launch(launch)) = start.plan.steps.pop() else {
        return Err(Problem::not_now(format!("`{name}` is already {}", guest.state.word())).on(name));
    };
    let result = session.carry_out_with(&start.world, &start.plan, name.as_str(), start.networks);
    if result.is_err() {
        held.clear();
        let_go_of(session, &borrows);
    }
    result?;
    // From here on the supervisor's own locks show that the guest runs; other commands may ask it to stop.
    drop(lock);
    let (ui, uuid, screen) = (&session.ui, launch.uuid, launch.screen);
    let outcome = supervise::run_foreground(&session.runtime, *launch, Spawner::this_program()?, &mut |progress| match progress {
        supervise::Progress::Run(line) => ui.hypervisor(&line),
        supervise::Progress::Running => {
            held.clear();
            ui.result(&format!("{name}: running{}", display(session, uuid, screen)));
        }
    })?;
    match outcome {
        supervise::Outcome::Off(how) => {
            session.tell(&[Report::new(name, how)]);
            Ok(())
        }
        supervise::Outcome::Released => {
            session.tell(&[Report::new(name, "left running, as requested")]);
            Ok(())
        }
        supervise::Outcome::Crashed(why) => Err(Problem::failed(format!("`{name}` crashed")).on(name).because(why)),
    }
}

/// Print the launch of a guest (used by its supervisor at each reboot)
#[derive(Debug, clap::Args)]
pub(crate) struct LaunchSpecArgs {
    /// The guest's dataset
    #[arg(long)]
    dataset: Dataset,
    /// What ended: the guest's own reboot or a crash
    #[arg(long, default_value = "reboot")]
    after: After,
    /// How often the guest rebooted since its start
    #[arg(long, default_value_t = 0)]
    reboots: u32,
    /// A drive and its medium
    #[arg(long)]
    drive: Vec<Drive>,
}

/// What ended before a new run is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum After {
    /// The guest rebooted.
    Reboot,
    /// It crashed.
    Crash,
}

/// Unmount a file system that several guests use, if none of them uses it any more (used by supervisors)
#[derive(Debug, clap::Args)]
pub(crate) struct LetGoArgs {
    /// The file system
    #[arg(long)]
    dataset: Dataset,
}

/// Remove what a VM leaves on the host's networks (used by supervisors)
#[derive(Debug, clap::Args)]
pub(crate) struct PutAwayArgs {
    /// The guest's identity
    #[arg(long)]
    guest: uuid::Uuid,
    /// Only the rules that kept it from the host's loopback
    #[arg(long)]
    rules: bool,
}

pub(crate) fn put_away(session: &Session, args: &PutAwayArgs) -> Result<()> {
    if args.rules {
        return loopback(session);
    }
    network::put_away(&session.runtime, Some(args.guest), &session.typed).map(drop)
}

#[cfg(target_os = "linux")]
fn loopback(session: &Session) -> Result<()> {
    let cant = |why: String| Problem::failed("cannot remove the rules for the loopback of a guest that has ended").because(why);
    chyves_host::confine::loopback::refresh(session.runtime.root()).map_err(cant)
}

#[cfg(not(target_os = "linux"))]
#[allow(clippy::unnecessary_wraps)] // the signature of the Linux version, which can fail
fn loopback(_: &Session) -> Result<()> {
    Ok(())
}

pub(crate) fn let_go(session: &Session, args: &LetGoArgs) -> Result<()> {
    shared_mounts::let_go(&session.runtime, &args.dataset, &session.typed).map(drop)
}

/// Prints the launch, or why there is none; both are read by the supervisor.
pub(crate) fn launch_spec(session: &Session, args: &LaunchSpecArgs) -> Result<()> {
    let answer = match again(session, args) {
        Ok(launch) => serde_json::to_value(launch).map_err(|e| Problem::bug("a launch is not JSON").because(e))?,
        Err(problem) => json!({ REFUSED: problem.to_string() }),
    };
    session.ui.answer(&answer.to_string());
    Ok(())
}

/// Plans the next run of a guest; returns the plan with its world and the lock of the networks. Uses the current settings, or,
/// if `why` states that they cannot be used, the previous ones.
fn planned_again(
    session: &Session,
    world: &World,
    guest: &Guest,
    args: &LaunchSpecArgs,
    occasion: Occasion,
    why: Option<&Problem>,
) -> Result<(Ready, World, Option<Lock>)> {
    let mut all = world.clone();
    observe::add_images(&mut all, &plan::firmware::needed(guest)?)?;
    let world = with_facts(session, &all, guest, occasion, &args.drive)?;
    let (mut request, _claims) = request(session, &world, guest, occasion, args.drive.clone())?;
    let lock = networks(session, &world, guest, &mut request)?;
    let ready = match why {
        None => plan::start::launch(&world, guest, &request)?,
        Some(why) => plan::start::launch_as_before(&world, guest, &request, why)?,
    };
    Ok((ready, world, lock))
}

fn again(session: &Session, args: &LaunchSpecArgs) -> Result<Launch> {
    let name = args.dataset.leaf().parse()?;
    let drives: Vec<ImageName> = args.drive.iter().filter_map(Drive::image).cloned().collect();
    let world = session.look(&Look { images: Which::Named(drives), ..Look::at(&[name]) })?;
    let occasion = match args.after {
        After::Reboot => Occasion::Reboot(args.reboots),
        After::Crash => Occasion::Crash,
    };
    let guest = world
        .guests
        .iter()
        .find(|g| g.dataset == args.dataset)
        .ok_or_else(|| Problem::not_found(format!("`{}` is not a guest any more", args.dataset)).on(&args.dataset))?;
    let last = session.runtime.observe(guest.uuid, &guest.dataset)?.record.map(|record| record.launch);
    let (Ready { launch, mut plan, files, seed }, world, lock) = match planned_again(session, &world, guest, args, occasion, None) {
        Ok(planned) => planned,
        Err(problem) => {
            // Invalid settings must not end a guest that only rebooted.
            let Some(last) = last.as_ref().filter(|last| !last.made_of.is_empty()) else { return Err(problem) };
            let before = plan::start::as_before(guest, last);
            planned_again(session, &world, &before, args, occasion, Some(&problem)).map_err(|_| problem)?
        }
    };
    // The guest's shared file systems are mounted already.
    let borrowed = last.map(|launch| launch.borrows).unwrap_or_default();
    plan.steps.retain(|step| !matches!(step, Action::Borrow { dataset } if borrowed.contains(dataset)));
    session.carry_out_with(&world, &plan, guest.name.as_str(), lock)?;
    for file in files {
        chyves_host::apply::write_private(&file.path, &file.text)?;
    }
    if let Some(disc) = seed {
        chyves_host::seed::write(&disc)?;
    }
    Ok(launch)
}
