//! `chyves start`: run guests; and what a supervisor asks for when its guest reboots.

use crate::session::{Report, Session};
use crate::targets::Targets;
use chyves_core::error::{Problem, Result};
use chyves_core::guest::{Guest, RunState};
use chyves_core::plan::{self, machine::Fresh, start::Request};
use chyves_core::value::Dataset;
use chyves_core::vmm::Vmm;
use chyves_core::world::World;
use chyves_host::observe::{self, Look};
use chyves_host::supervise::{self, Spawner};
use chyves_host::{accel, facts, ports};
use serde_json::json;

/// Start guests
///
/// Each gets a supervisor of its own, which brings it back after a reboot and cleans up after its end. The command
/// returns when the machine is seen running, or tells why it is not. With --dry-run it shows every command; with
/// --host freebsd those that a FreeBSD host would run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guests
    #[arg(required = true, value_name = "GUEST")]
    guests: Vec<String>,
    /// Stay with the guest until it ends, for daemon(8), systemd and the like
    #[arg(short, long)]
    foreground: bool,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    let targets = Targets::parse(&args.guests)?;
    if args.foreground {
        return foreground(session, &targets);
    }
    session.each(&targets, true, |world, guest| {
        if guest.state == RunState::Orphaned && !session.dry_run {
            with_supervisor(session, guest, &Spawner::this_program()?)?;
            return Ok(Some(Report::new(&guest.name, "running; its supervisor was gone and it has a new one")));
        }
        let world = with_accel(session, world);
        let plan = plan::start::start(&world, guest, &request(guest)?)?;
        let done = session.carry_out(&world, &plan, guest.name.as_str())?;
        Ok(done.and_then(|d| d.started).map(|(supervisor, machine)| {
            let said = format!("running (pid {machine}); `chyves console {}` shows its console", guest.name);
            Report::new(&guest.name, said).with(json!({ "pid": machine, "supervisor": supervisor, "uuid": guest.uuid }))
        }))
    })
}

/// A guest whose supervisor was killed gets a new one; anything else is left as it is.
pub(super) fn with_supervisor(session: &Session, guest: &Guest, spawner: &Spawner) -> Result<()> {
    if guest.state == RunState::Orphaned {
        supervise::take_over(&session.runtime, guest.uuid, &guest.dataset, spawner, &mut |_| {})?;
        session.ui.say(&format!("{}: its supervisor was gone; it has a new one", guest.name));
    }
    Ok(())
}

/// Whether KVM works costs a trial, and only a start needs to know.
fn with_accel(session: &Session, world: &World) -> World {
    let mut world = world.clone();
    if session.facts.is_none() && world.host.vmm == Vmm::Qemu {
        let kvm = accel::kvm(&session.runtime, facts::QEMU);
        world.host.kvm = if kvm.works { Ok(()) } else { Err(kvm.reason) };
    }
    world
}

/// What only this moment can tell.
fn request(guest: &Guest) -> Result<Request> {
    let secret = chyves_host::identity::new().simple().to_string()[..8].to_owned();
    let screen = guest.spec()?.screen;
    let vnc_port = match screen {
        Some(screen) if screen.port == 0 => ports::free_vnc(screen.address)?,
        Some(_) | None => 0,
    };
    Ok(Request { fresh: Fresh { vnc_port, secret } })
}

fn foreground(session: &Session, targets: &Targets) -> Result<()> {
    let look = session.look(&targets.look())?;
    let names = targets.names(&look)?;
    let [name] = &names[..] else {
        return Err(Problem::usage("--foreground takes one guest").hint("start several without it"));
    };
    let lock = session.lock("guest", &[name])?;
    let world = with_accel(session, &session.look(&Look::at(std::slice::from_ref(name)))?);
    let guest = observe::guest(&world, name)?;
    let mut plan = plan::start::start(&world, guest, &request(guest)?)?;
    if session.dry_run {
        return session.carry_out(&world, &plan, name.as_str()).map(drop);
    }
    let Some(chyves_core::action::Action::Launch(launch)) = plan.steps.pop() else {
        return Err(Problem::not_now(format!("`{name}` is {} already", guest.state.word())).on(name));
    };
    session.carry_out(&world, &plan, name.as_str())?;
    // From here on the supervisor's own locks say that the guest runs; others may ask it to stop.
    drop(lock);
    let ui = &session.ui;
    let outcome = supervise::run_foreground(&session.runtime, *launch, Spawner::this_program()?, &mut |progress| match progress {
        supervise::Progress::Run(line) => ui.command(&line),
        supervise::Progress::Running => ui.say(&format!("{name}: running")),
    })?;
    match outcome {
        supervise::Outcome::Off(how) => {
            session.tell(&[Report::new(name, how)]);
            Ok(())
        }
        supervise::Outcome::Released => {
            session.tell(&[Report::new(name, "left running, as was asked")]);
            Ok(())
        }
        supervise::Outcome::Crashed(why) => Err(Problem::failed(format!("`{name}` crashed")).on(name).because(why)),
    }
}

/// Print how a guest is to be run now (asked by its supervisor at each reboot)
#[derive(Debug, clap::Args)]
pub(crate) struct LaunchSpecArgs {
    /// The guest's dataset
    #[arg(long)]
    dataset: Dataset,
}

pub(crate) fn launch_spec(session: &Session, args: &LaunchSpecArgs) -> Result<()> {
    let name = args.dataset.leaf().parse()?;
    let world = with_accel(session, &session.look(&Look::at(&[name]))?);
    let guest = world
        .guests
        .iter()
        .find(|g| g.dataset == args.dataset)
        .ok_or_else(|| Problem::not_found(format!("`{}` is no guest any more", args.dataset)).on(&args.dataset))?;
    let (launch, files) = plan::start::launch(&world, guest, &request(guest)?)?;
    for file in files {
        chyves_host::apply::write_private(&file.path, &file.text)?;
    }
    let text = serde_json::to_string(&launch).map_err(|e| Problem::bug("a launch is no JSON").because(e))?;
    session.ui.answer(&text);
    Ok(())
}
