//! Bringing the host's networks to the desired state, showing the steps, and reverting unless the change is confirmed.

use super::bridges::{carry_out, locks};
use super::{facts, look_at};
use crate::session::Session;
use chyves_core::error::{Problem, Result};
use chyves_core::plan::network::apply;
use chyves_core::plan::network::bridge::Planned;
use chyves_core::value::IfName;
use chyves_host::apply::Applied;
use chyves_host::confirmation;
use chyves_host::confirmation::Pending;
use chyves_host::observe::{Look, Which};
use std::process::Stdio;
use std::time::Duration;
use uuid::Uuid;

/// What is applied, and how surely.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The bridges; all if none is given
    bridges: Vec<String>,
    #[command(flatten)]
    confirm: Confirm,
}

/// How surely a change is made.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct Confirm {
    /// Roll back after so many seconds, unless confirmed by `chyves network confirm`
    #[arg(long = "confirm", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    within: Option<u64>,
}

impl Confirm {
    /// Arranges that what was done is reverted unless it is confirmed.
    pub(super) fn await_it(self, session: &Session, done: Vec<(&Planned, Applied)>) -> Result<()> {
        let (Some(seconds), false) = (self.within, done.is_empty()) else { return Ok(()) };
        let locks = session.held();
        let (command, token) = (session.typed.clone(), chyves_host::identity::new());
        let mut pending = Pending { command, token, steps: Vec::new(), replaced: Vec::new(), locks };
        for (planned, applied) in done {
            pending.add(&planned.plan.steps, applied.replaced);
        }
        confirmation::await_confirmation(&session.runtime, &pending)?;
        wait_apart(pending.token, seconds)?;
        session.ui.say(&format!("it is rolled back in {seconds} s unless confirmed: `chyves network confirm`"));
        Ok(())
    }
}

fn named(words: &[String]) -> Result<Vec<IfName>> {
    words.iter().flat_map(|w| w.split(',')).map(|w| Ok(w.parse()?)).collect()
}

pub(super) fn run(session: &Session, args: &Args) -> Result<()> {
    let only = named(&args.bridges)?;
    let (_settings, lock) = locks(session)?;
    let world = look_at(session, &Look { guests: Which::All, ..Look::default() })?;
    let facts = facts(session, &world)?;
    let planned = apply::apply(&world, &facts, &only)?;
    let applied = carry_out(session, &world, &planned, "network", "applied", lock)?;
    args.confirm.await_it(session, applied.map(|a| (&planned, a)).into_iter().collect())
}

/// Starts a process that waits even if this login is disconnected.
fn wait_apart(token: Uuid, seconds: u64) -> Result<()> {
    let program = std::env::current_exe().map_err(|e| Problem::bug("this program cannot be found").because(e))?;
    let mut command = chyves_host::child::own_command(program);
    command.args(["_go-back", "--token", &token.to_string(), "--after", &seconds.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Reverting must not interrupt the login from which the change was made.
    command.envs(std::env::var_os("SSH_CONNECTION").map(|value| ("SSH_CONNECTION", value)));
    command.spawn().map(drop).map_err(|e| Problem::failed("no process can wait for the confirmation").because(e))
}

/// Roll back unless confirmed (started by `network … --confirm`)
#[derive(Debug, clap::Args)]
pub(crate) struct GoBackArgs {
    /// Which change
    #[arg(long)]
    token: Uuid,
    /// Seconds
    #[arg(long)]
    after: u64,
}

pub(crate) fn go_back(session: &Session, args: &GoBackArgs) -> Result<()> {
    confirmation::revert_unless_confirmed(&session.runtime, args.token, Duration::from_secs(args.after), &session.typed).map(drop)
}

pub(super) fn confirm(session: &Session) -> Result<()> {
    let text = if session.dry_run {
        "nothing is changed in a dry run"
    } else if confirmation::confirm(&session.runtime)? {
        "confirmed"
    } else {
        "nothing waits for confirmation"
    };
    session.ui.say(text);
    Ok(())
}

pub(super) fn plan(session: &Session, bridges: &[String]) -> Result<()> {
    let only = named(bridges)?;
    let world = look_at(session, &Look { guests: Which::All, ..Look::default() })?;
    let facts = facts(session, &world)?;
    let planned = apply::apply(&world, &facts, &only)?;
    if session.ui.json {
        session.ui.answer_json(serde_json::json!(planned.plan.shown(world.host.os)));
    } else {
        session.ui.answer(&planned.plan.script(world.host.os));
    }
    for what in &planned.touches {
        session.ui.warn(&format!("{what}, and would be changed"));
    }
    Ok(())
}
