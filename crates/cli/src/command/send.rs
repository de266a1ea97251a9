//! `chyves send`: a guest as a stream on standard output.

use crate::session::Session;
use crate::targets::guest_at;
use chyves_core::action::Action;
use chyves_core::error::{Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::plan::Plan;
use chyves_core::plan::send::{self, Base, Facts};
use chyves_core::plan::snapshot::Seen;
use chyves_core::property::settings::OwnValues;
use chyves_core::value::{SnapshotName, SnapshotRef};
use chyves_core::world::World;
use chyves_core::zfs::sending::Sending;
use chyves_host::apply::Lent;
use chyves_host::hostfs::{self, named};
use chyves_host::observe::{self, Look};
use std::io::IsTerminal;

/// Size limit of a list of snapshots, in bytes.
const LIST_LIMIT: u64 = 64 << 20;

/// Send a guest to standard output
///
/// An ordinary ZFS stream of the guest's disks, firmware variables and settings at one snapshot, for `chyves receive` or `zfs
/// receive`. Without a snapshot a new one is taken and kept.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guest, or one of its snapshots
    #[arg(value_name = "GUEST[@SNAPSHOT]", required_unless_present = "resume")]
    guest: Option<String>,
    /// Only changes since this snapshot, which the receiver must have
    #[arg(long, value_name = "@SNAPSHOT", conflicts_with = "incremental_for")]
    from: Option<String>,
    /// Only changes since the newest snapshot that the receiver has: a pool of this host, or a file with the output
    /// of `chyves snapshot list GUEST -H -o name,guid` there
    #[arg(long, value_name = "POOL|FILE")]
    incremental_for: Option<String>,
    /// The rest of an interrupted stream; `receive --resumable` prints the token
    #[arg(long, value_name = "TOKEN", conflicts_with_all = ["guest", "from", "incremental_for"])]
    resume: Option<String>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    if std::io::stdout().is_terminal() && !session.dry_run {
        return Err(Problem::usage("a stream is not for a terminal")
            .hint("write it to a file (> web01.zfs) or give it to a program (| ssh host chyves receive)"));
    }
    if session.ui.json && !session.dry_run {
        return Err(Problem::usage("standard output is the stream, so there is no place for JSON").hint("omit --json"));
    }
    match (&args.guest, &args.resume) {
        (_, Some(token)) => rest(session, token),
        (Some(word), None) => give(session, args, word),
        (None, None) => Err(Problem::usage("no guest is named").hint("chyves send GUEST > FILE")),
    }
}

fn rest(session: &Session, token: &str) -> Result<()> {
    let world = session.look(&Look::default())?;
    if !world.host.dialect.can_resume() {
        return Err(Problem::host_cant("the ZFS of this host cannot go on with a stream that was cut off").hint("send it again as a whole"));
    }
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Err(Problem::usage("this is not a token").hint("`receive --resumable` prints it when the stream is cut off"));
    }
    let plan = Plan { steps: vec![Action::Send { sending: Sending::Rest(token.to_owned()) }], notes: Vec::new() };
    session.carry_out(&world, &plan, "send").map(|_| ())
}

fn give(session: &Session, args: &Args, word: &str) -> Result<()> {
    let (name, snapshot) = guest_at(word)?;
    let base = match (&args.from, &args.incremental_for) {
        (Some(from), _) => Base::Snapshot(from.strip_prefix('@').unwrap_or(from).parse()?),
        (None, Some(_) | None) => Base::Whole,
    };
    // Only a new snapshot changes the guest. A stream may take hours, and it must be possible to stop the guest meanwhile.
    let lock = if snapshot.is_none() { session.lock("guest", &[&name])? } else { Vec::new() };
    let world = session.look(&Look::at(std::slice::from_ref(&name)))?;
    let guest = observe::guest(&world, &name)?;
    let base = match &args.incremental_for {
        Some(place) => common(session, &world, guest, place)?,
        None => base,
    };
    let mut facts = facts(session, &world, guest, snapshot.as_ref())?;
    let base = send::base(guest, snapshot.as_ref(), &base, &facts)?;
    if let Some(base) = &base {
        facts.carried_by_base = carried(session, &world, guest, base, &facts.there)?;
    }
    let plan = send::send(guest, snapshot.as_ref(), base, &facts, &chyves_engine::Engine::moment(1))?;
    let new = plan.steps.iter().find_map(|s| match s {
        Action::Snapshot { snapshot, .. } => Some(snapshot.name.clone()),
        _ => None,
    });
    let sent = session.carry_out_with(&world, &plan, name.as_str(), Lent { stream: lock, network: None })?;
    if let (Some(_), Some(taken)) = (sent, new) {
        session.ui.say(&format!("{name}: sent as it was at {name}@{taken}, which is kept for later increments"));
    }
    Ok(())
}

fn facts(session: &Session, world: &World, guest: &Guest, named: Option<&SnapshotName>) -> Result<Facts> {
    let there = observe::snapshots::of(chyves_host::facts::dialect(), guest)?;
    let row = observe::dataset(&guest.dataset)?;
    let encryption_root = row.as_ref().and_then(|r| r.native("encryptionroot")).filter(|r| !r.is_empty()).map(str::to_owned);
    let carried = named.map(|name| carried(session, world, guest, name, &there)).transpose()?.flatten();
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
fn carried(session: &Session, world: &World, guest: &Guest, name: &SnapshotName, there: &[Seen]) -> Result<Option<OwnValues>> {
    let seen = there.iter().find(|s| s.name == name.as_str() && (s.is_ours() || world.host.dialect.has_volumes()));
    seen.map_or(Ok(None), |seen| session.settings_at(world, guest, seen))
}

/// The snapshots that another place has: a pool of this host, or a list in a file.
fn common(session: &Session, world: &World, guest: &Guest, place: &str) -> Result<Base> {
    if let Ok(root) = world.root_on(place) {
        let copies = observe::pool::guests(&session.runtime, root)?;
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
            Problem::not_found(format!(
                "`{}` is neither a pool with chyves nor a file that can be read",
                chyves_core::value::printable(place, 120)
            ))
            .on(place)
            .because(e)
            .hint(format!("make one where the stream goes: chyves snapshot list {} -H -o name,guid", guest.name))
        })
    })?;
    Ok(Base::Common(send::guids_in(&text)?, format!("the location that `{}` names", chyves_core::value::printable(place, 120))))
}
