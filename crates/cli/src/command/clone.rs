//! `chyves clone` and `chyves promote`: guests made from another one, and reversing which guest depends on which.

use crate::session::Session;
use crate::targets::{Targets, guest_at};
use chyves_core::error::{Problem, Result};
use chyves_engine::answer::Assignment;
use chyves_engine::op::{GuestClone, GuestPromote};

/// Clone guests
///
/// A linked clone shares its source's disks until it writes: it takes no time and no space, and the source's snapshot stays
/// while a clone depends on it. An independent clone is a full copy that depends on nothing. Each clone has an identity of
/// its own (UUID, MAC addresses, disk serials) unless --exact is given, and its source's other settings. The flags of
/// chyves 0.2 are accepted: -cu, -ce, -iu, -ie.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guest, or one of its snapshots
    #[arg(value_name = "GUEST[@SNAPSHOT]")]
    source: String,
    /// The clones' names; KEY=VALUE gives all of them another setting
    #[arg(required = true, value_name = "NAME|KEY=VALUE")]
    names: Vec<String>,
    /// Share the source's disks until they write (the default)
    #[arg(short = 'c', long, conflicts_with = "independent")]
    linked: bool,
    /// Make full copies that depend on nothing
    #[arg(short, long)]
    independent: bool,
    /// Give each an identity of its own (the default)
    #[arg(short, long, conflicts_with = "exact")]
    unique: bool,
    /// Keep the source's identity: UUID, MAC addresses, disk serials. Then only one of them can run at a time
    #[arg(short, long)]
    exact: bool,
    /// The pool of independent clones [default: the source's pool]
    #[arg(long)]
    pool: Option<String>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    let (source, snapshot) = guest_at(&args.source)?;
    let (set, names): (Vec<&String>, Vec<&String>) = args.names.iter().partition(|w| w.contains('='));
    let Targets::Named(names) = Targets::parse(&names)? else {
        return Err(Problem::usage("`all` cannot name new guests").hint("name each clone"));
    };
    let request = GuestClone {
        source,
        snapshot,
        names,
        set: Assignment::of_words(set),
        independent: args.independent,
        exact: args.exact,
        pool: args.pool.clone(),
    };
    let outcome = session.run(&request)?;
    let what = match (args.independent, args.exact) {
        (false, false) => "a clone",
        (true, false) => "a copy",
        (false, true) => "an exact clone",
        (true, true) => "an exact copy",
    };
    session.show_each(outcome, |_| format!("{what} of {}", request.source))
}

/// Make a clone the owner of the snapshots it shares with its origin
///
/// The origin is then a clone of it, and can be destroyed or renamed.
#[derive(Debug, clap::Args)]
pub(crate) struct PromoteArgs {
    /// The clones
    #[arg(required = true, value_name = "GUEST")]
    guests: Vec<String>,
}

pub(crate) fn promote(session: &Session, args: &PromoteArgs) -> Result<()> {
    let outcome = session.run(&GuestPromote { guests: Targets::parse(&args.guests)? })?;
    session.show_each(outcome, |_| "promoted: it owns the snapshots now".to_owned())
}
