//! `chyves console`: a guest's serial ports on this terminal, or the consoles of several guests as windows of tmux.

use crate::session::Session;
use crate::targets::Targets;
use chyves_core::cmd::Cmd;
use chyves_core::console::{self as ways, Reach};
use chyves_core::error::{Problem, Result};
use chyves_core::value::GuestName;
use chyves_engine::op::{ConsoleAt, ConsoleEnd, ConsoleOpen};
use chyves_host::console::Left;
use chyves_host::{console, control, run, runtime};
use std::io::IsTerminal;

/// Attach this terminal to a guest's serial console
///
/// Leave with Ctrl-]. Any number of terminals may be attached at once. The end of the console log is shown first, between
/// two marks on standard error; --no-replay omits it. The console
/// stays attached while the guest reboots and ends when the guest is off. Without a terminal, standard input is passed
/// on; the command ends one second after the guest's last output. --port attaches to another serial
/// port, which takes one user at a time. --tmux opens the consoles of several guests as windows of the tmux session `chyves`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guest; with --tmux any number
    #[arg(value_name = "GUEST", required = true)]
    guests: Vec<String>,
    /// Watch only, type nothing
    #[arg(short, long)]
    read_only: bool,
    /// Do not show the end of the console log
    #[arg(long, conflicts_with = "port")]
    no_replay: bool,
    /// Attach to another serial port: com2, com3 or com4
    #[arg(long, value_name = "PORT", value_parser = port, conflicts_with = "tmux")]
    port: Option<u16>,
    /// Use cu(1) for that port; its escape is ~.
    #[arg(long, requires = "port", conflicts_with = "read_only")]
    cu: bool,
    /// Open each console as a window of tmux(1), and attach to it
    #[arg(long)]
    tmux: bool,
}

fn port(text: &str) -> std::result::Result<u16, String> {
    match text.strip_prefix("com").unwrap_or(text) {
        "1" => Err("com1 is the console itself, which needs no --port".to_owned()),
        "2" => Ok(2),
        "3" => Ok(3),
        "4" => Ok(4),
        _ => Err("a port is com2, com3 or com4".to_owned()),
    }
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    let guests = Targets::parse(&args.guests)?;
    if args.tmux {
        return windows(session, args, &guests);
    }
    if args.guests.len() != 1 || !matches!(&guests, Targets::Named(names) if names.len() == 1) {
        return Err(Problem::usage("this terminal can attach to one console only").hint("--tmux opens a window for each"));
    }
    let ends = session.run(&ConsoleOpen { guests, port: args.port })?.answer.unwrap_or_default();
    let Some(end) = ends.first() else { return Ok(()) };
    if let Some(number) = args.port {
        return at_port(session, end, number, args);
    }
    let name = &end.guest;
    if session.dry_run {
        session.ui.answer(&format!("# attach to the console of {name}\n"));
        return Ok(());
    }
    let target = control::Target { uuid: end.uuid, name, dataset: &end.dataset };
    let left = console::attach(&session.runtime, target, console::Options { read_only: args.read_only, no_replay: args.no_replay })?;
    // A user at this terminal did not see the command that stopped the guest. Standard output is the guest's own.
    if let (Some(end), true) = (why(name, &left), std::io::stdin().is_terminal()) {
        session.ui.say(&end);
    }
    Ok(())
}

/// Why the session ended, if the user did not end it.
fn why(name: &GuestName, left: &Left) -> Option<String> {
    match left {
        Left::Escape | Left::InputOver | Left::Interrupted => None,
        Left::Ended(None) => Some(format!("{name} is off.")),
        Left::Ended(Some(reason)) => Some(format!("{name} crashed: {reason}.")),
        Left::Orphaned => Some(format!("The supervisor of {name} is not running; `chyves start {name}` starts a new one.")),
    }
}

/// Attaches to one of the ports without a supervisor.
fn at_port(session: &Session, end: &ConsoleEnd, number: u16, args: &Args) -> Result<()> {
    let place = format!("com{number} of {}", end.guest);
    let reach = match &end.at {
        ConsoleAt::Device(device) => Reach::Device(device.clone()),
        ConsoleAt::Tcp(at) => Reach::Tcp(*at),
        ConsoleAt::Supervisor => return Err(Problem::bug(format!("{place} is the console"))),
    };
    let cu = match (&reach, args.cu) {
        (_, false) => None,
        (Reach::Device(device), true) => Some(ways::cu(device)),
        (Reach::Tcp(at), true) => {
            return Err(Problem::usage(format!("cu cannot attach to {place}"))
                .on(&end.guest)
                .because(format!("it is reached at {at}, which is not a terminal device"))
                .hint("without --cu chyves attaches to it itself"));
        }
    };
    if session.dry_run {
        session.ui.answer(&cu.map_or_else(|| format!("# attach to {place}\n"), |cu| format!("{cu}\n")));
        return Ok(());
    }
    end.must_run()?;
    match cu {
        Some(cu) => Err(run::become_program(&cu, &[])),
        None => console::port::attach(&place, &reach, console::Options { read_only: args.read_only, no_replay: true }).map(drop),
    }
}

/// Opens a tmux window for each guest, then attaches this terminal to tmux.
fn windows(session: &Session, args: &Args, guests: &Targets) -> Result<()> {
    let ends = session.run(&ConsoleOpen { guests: guests.clone(), port: None })?.answer.unwrap_or_default();
    if !session.dry_run {
        ends.iter().try_for_each(ConsoleEnd::must_run)?;
    }
    let within = std::env::var_os("TMUX").is_some();
    // tmux fails if there is no session yet.
    let asked = run::own(&ways::windows())?;
    let mut listed = if asked.ok() { Some(asked.stdout) } else { None };
    let mut front = None;
    for name in ends.iter().map(|end| &end.guest) {
        if let Some(window) = listed.as_deref().and_then(|l| ways::window_of(l, name)) {
            front.get_or_insert(window.to_owned());
            continue;
        }
        let open = ways::open(listed.is_none(), name, &console_of(name, args)?);
        if session.dry_run {
            session.ui.answer(&format!("{open}\n"));
            listed.get_or_insert_default();
            continue;
        }
        session.ui.command(&open.to_string());
        let window = run::own_must(&open)?.trim().to_owned();
        run::own_must(&ways::mark(&window, name))?;
        listed.get_or_insert_default();
        front.get_or_insert(window);
    }
    let sit = ways::sit(within);
    if session.dry_run {
        session.ui.answer(&format!("{sit}\n"));
        return Ok(());
    }
    if let Some(window) = &front {
        run::own_must(&ways::select(window))?;
    }
    if within || std::io::stdin().is_terminal() {
        return Err(run::become_program(&sit, &[]));
    }
    session.ui.say(&format!("attach to the consoles with: {sit}"));
    Ok(())
}

/// The command of a window. The tmux server has the environment of the process that started it, so the relevant variables are
/// passed explicitly.
fn console_of(guest: &GuestName, args: &Args) -> Result<Cmd> {
    let program = std::env::current_exe().map_err(|e| Problem::host_cant("cannot find this program's file").because(e))?;
    let mut words: Vec<String> = [runtime::ROOT_VARIABLE, chyves_host::platform::LAB_VARIABLE]
        .into_iter()
        .filter_map(|variable| std::env::var(variable).ok().map(|value| format!("{variable}={value}")))
        .collect();
    words.push(program.to_string_lossy().into_owned());
    words.extend(["console".to_owned(), guest.to_string()]);
    words.extend(args.read_only.then(|| "--read-only".to_owned()));
    words.extend(args.no_replay.then(|| "--no-replay".to_owned()));
    Ok(Cmd::new("env", words))
}
