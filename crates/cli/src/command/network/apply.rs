//! Bringing the host's networks to the desired state, showing the steps, and reverting unless the change is confirmed.

use crate::session::Session;
use chyves_core::error::Result;
use chyves_core::value::IfName;
use chyves_engine::op::{NetworkApply, NetworkConfirm};
use chyves_host::confirmation;
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
    pub(super) within: Option<u64>,
}

fn named(words: &[String]) -> Result<Vec<IfName>> {
    words.iter().flat_map(|w| w.split(',')).map(|w| Ok(w.parse()?)).collect()
}

pub(super) fn run(session: &Session, args: &Args) -> Result<()> {
    let request = NetworkApply { bridges: named(&args.bridges)?, show: false, confirm_within: args.confirm.within };
    session.show_all(session.run(&request)?, |_| Some(("network".to_owned(), "applied".to_owned())))
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
    let Some(answer) = session.run(&NetworkConfirm {})?.answer else { return Ok(()) };
    if session.ui.json {
        session.ui.answer_json(serde_json::json!(answer));
    }
    session.ui.say(if answer.confirmed { "confirmed" } else { "nothing waits for confirmation" });
    Ok(())
}

pub(super) fn plan(session: &Session, bridges: &[String]) -> Result<()> {
    let request = NetworkApply { bridges: named(bridges)?, show: true, confirm_within: None };
    session.run(&request).map(drop)
}
