//! `chyves start`: starts guests. Also the plan that a supervisor requests when its guest reboots.

use crate::session::Session;
use crate::targets::Targets;
use crate::ui::Volume;
use chyves_core::error::{Problem, Result};
use chyves_core::launch::REFUSED;
use chyves_core::plan::drives::Drive;
use chyves_core::plan::start::Occasion;
use chyves_core::value::{Dataset, GuestName, ImageName};
use chyves_engine::answer::Single;
use chyves_engine::foreground::Foreground;
use chyves_engine::op::{GuestStart, Started, StartedWord, Starting};
use chyves_engine::start::again;
use chyves_host::network;
use chyves_host::shared_mounts;
use chyves_host::supervise;
use serde_json::json;
use std::net::SocketAddr;

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

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    if args.foreground {
        return foreground(session, args);
    }
    let which = if args.boot { Starting::Boot } else { Starting::Guests(Targets::parse(&args.guests)?) };
    started(session, &GuestStart { which, iso: args.iso.clone() })
}

/// Starts guests as `chyves start` does without options.
pub(super) fn usual(session: &Session, targets: &Targets) -> Result<()> {
    started(session, &GuestStart { which: Starting::Guests(targets.clone()), iso: Vec::new() })
}

fn started(session: &Session, request: &GuestStart) -> Result<()> {
    let outcome = session.run(request)?;
    let quiet = session.ui.volume == Volume::Quiet && !session.ui.json;
    for each in outcome.answer.iter().flatten().filter(|_| quiet) {
        if let Single::Done(Started { done: StartedWord::Started, pid: Some(pid), .. }) = &each.result {
            session.ui.result(&format!("{}: running (pid {pid})", each.object));
        }
    }
    session.show_all(outcome, |each| match &each.result {
        // A note has reported that it runs.
        Single::Done(Started { done: StartedWord::Unchanged, .. }) => None,
        Single::Done(Started { pid: Some(pid), vnc, vnc_secret, .. }) => {
            let display = display(*vnc, vnc_secret.as_deref());
            Some((each.object.clone(), format!("running (pid {pid}); console: `chyves console {}`{display}", each.object)))
        }
        Single::Done(Started { pid: None, .. }) => Some((each.object.clone(), "running".to_owned())),
        Single::Failed { .. } => None,
    })
}

/// The address of a guest's display, and the file with its password, as the end of a sentence; empty if it has none.
fn display(at: Option<SocketAddr>, secret: Option<&str>) -> String {
    let Some(at) = at else { return String::new() };
    let secret = secret.map(|file| format!(" (password in {file})"));
    format!("; VNC display at {at}{}", secret.unwrap_or_default())
}

fn foreground(session: &Session, args: &Args) -> Result<()> {
    let Some(ready) = Foreground::prepare(session, &Targets::parse(&args.guests)?, &args.iso)? else { return Ok(()) };
    let (ui, name, uuid, screen) = (&session.ui, ready.name.clone(), ready.launch.uuid, ready.launch.screen);
    let outcome = ready.run(&mut |progress| match progress {
        supervise::Progress::Run(line) => ui.hypervisor(&line),
        supervise::Progress::Running => {
            let secret = session.runtime.screen_secret(uuid).map(|file| file.display().to_string());
            ui.result(&format!("{name}: running{}", display(screen, secret.as_deref())));
        }
    })?;
    match outcome {
        supervise::Outcome::Off(how) => ended(session, &name, &how),
        supervise::Outcome::Released => ended(session, &name, "left running, as requested"),
        supervise::Outcome::Crashed(why) => Err(Problem::failed(format!("`{name}` crashed")).on(&name).because(why)),
    }
}

/// Prints how a guest left this process.
#[allow(clippy::unnecessary_wraps)] // an arm beside one that fails
fn ended(session: &Session, name: &GuestName, how: &str) -> Result<()> {
    if session.ui.json {
        session.ui.answer_json(json!([{ "object": name, "done": how }]));
    } else {
        session.ui.say(&format!("{name}: {how}"));
    }
    Ok(())
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

impl LaunchSpecArgs {
    fn occasion(&self) -> Occasion {
        match self.after {
            After::Reboot => Occasion::Reboot(self.reboots),
            After::Crash => Occasion::Crash,
        }
    }
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
    let answer = match again(session, &args.dataset, args.occasion(), &args.drive) {
        Ok(launch) => serde_json::to_value(launch).map_err(|e| Problem::bug("a launch is not JSON").because(e))?,
        Err(problem) => json!({ REFUSED: problem.to_string() }),
    };
    session.ui.answer(&answer.to_string());
    Ok(())
}
