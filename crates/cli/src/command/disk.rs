//! `chyves disk`: the disks of guests.

use super::get::show;
use crate::session::{Pace, Report, Session};
use crate::table::{Cell, ListArgs, Table};
use crate::targets::Targets;
use chyves_core::error::{Problem, Result};
use chyves_core::guest::{DiskKind, Guest};
use chyves_core::plan::disk::found::{self, Found};
use chyves_core::plan::disk::resize::NewSize;
use chyves_core::plan::{self, disk::add::Origin};
use chyves_core::value::{DiskSize, Size};
use chyves_core::world::World;
use chyves_engine::answer;
use chyves_engine::op::{Disk, DiskList, DiskState};
use chyves_host::apply::disk as files;
use chyves_host::observe::disks::{self, Mount};
use chyves_host::observe::{self, Look};
use serde_json::json;
use std::collections::BTreeSet;

/// Add, remove, resize and list disks of guests
///
/// A disk is called disk0, disk1 and so on. `chyves web01 disk add 8G` is `chyves disk add web01 8G`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Add a disk: an empty one, the content of a file, something attached, or one from the trash
    ///
    /// A running guest sees it after its next start or reboot.
    Add(AddArgs),
    /// Move a disk of a stopped guest to the trash
    ///
    /// Nothing is destroyed: `chyves undelete` restores it. An attached disk is only detached.
    #[command(visible_alias = "delete")]
    Remove {
        /// The guest
        guest: String,
        /// The disk: disk0
        #[arg(value_parser = number)]
        disk: u16,
        /// Its file or volume is lost: only remove it from the settings
        #[arg(long)]
        lost: bool,
    },
    /// Make a disk larger, or with --force smaller
    ///
    /// The size that the disk has decides, not the one that is recorded. A smaller one needs a stopped guest.
    Resize {
        /// The guest
        guest: String,
        /// The disk: disk0
        #[arg(value_parser = number)]
        disk: u16,
        /// The new size, or with + how much larger: +1G
        #[arg(value_name = "SIZE")]
        size: NewSize,
        /// Let it become smaller, losing what is beyond the new end
        #[arg(short, long)]
        force: bool,
    },
    /// Record the sizes that disks have, and touch none of them
    ///
    /// For disks that were resized by other programs, or attached ones that have another size by now: `chyves disk sync web01`
    /// does it for all disks of web01, `chyves disk sync web01 disk1` for one.
    Sync {
        /// The guest
        guest: String,
        /// The disk: disk0; all if none is given
        #[arg(value_parser = number)]
        disk: Option<u16>,
    },
    /// List disks
    List {
        /// The guests; all if none is given
        #[arg(value_name = "GUEST")]
        guests: Vec<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Change settings of one disk: bus, options, serial, pci, description, notes
    Set {
        /// The guest
        guest: String,
        /// The disk: disk0
        #[arg(value_parser = number)]
        disk: u16,
        /// Settings
        #[arg(required = true, value_name = "KEY=VALUE")]
        settings: Vec<String>,
    },
    /// Give a disk of a stopped guest another number; its serial number stays
    Move {
        /// The guest
        guest: String,
        /// The disk: disk1
        #[arg(value_parser = number)]
        disk: u16,
        /// The new number: disk3
        #[arg(value_parser = number)]
        to: u16,
    },
}

/// The properties of a new disk.
#[derive(Debug, clap::Args)]
pub(crate) struct AddArgs {
    /// The guests
    guest: String,
    /// The size, and settings as KEY=VALUE: bus, options, serial, pci, description, notes
    #[arg(value_name = "SIZE|KEY=VALUE")]
    words: Vec<String>,
    /// The size
    #[arg(short = 'z', long)]
    size: Option<DiskSize>,
    /// Its number [default: the next one]
    #[arg(long, value_parser = number)]
    number: Option<u16>,
    /// The kind: a file (raw) or a volume (zvol) [default: a volume where the pool's ZFS has them]
    #[arg(long, value_parser = kind)]
    kind: Option<DiskKind>,
    /// Reserve its whole size on the pool
    #[arg(long)]
    reserved: bool,
    /// The size of a volume's blocks
    #[arg(long, value_name = "SIZE")]
    block_size: Option<Size>,
    /// Fill it from this file: raw or qcow2, detected from its content
    #[arg(long, value_name = "FILE", conflicts_with_all = ["attach", "from_trash"])]
    import: Option<String>,
    /// Use this file, device or volume as it is; it is never destroyed and not part of snapshots
    #[arg(long, value_name = "PATH|VOLUME", conflicts_with = "from_trash")]
    attach: Option<String>,
    /// Restore this disk from the trash, with its settings
    #[arg(long, value_name = "IDENTITY")]
    from_trash: Option<String>,
}

fn number(text: &str) -> Result<u16, String> {
    plan::disk::number(text).map_err(|e| e.to_string())
}

fn kind(word: &str) -> Result<DiskKind, String> {
    [DiskKind::Raw, DiskKind::Zvol].into_iter().find(|k| k.word() == word).ok_or_else(|| "one of: raw, zvol".into())
}

pub(crate) fn run(session: &Session, verb: &Verb) -> Result<()> {
    match verb {
        Verb::Add(args) => add(session, args),
        Verb::Remove { guest, disk, lost } => {
            // A single word can remove a disk of several guests.
            if !session.dry_run
                && let several @ (Targets::All | Targets::Named(_)) = Targets::parse(&[guest])?
                && !matches!(&several, Targets::Named(names) if names.len() == 1)
            {
                let whose = if several == Targets::All { "all guests".to_owned() } else { guest.clone() };
                session.ui.confirm(&format!("remove disk{disk} of {whose}"), session.yes)?;
            }
            remove(session, guest, *disk, *lost)
        }
        Verb::Resize { guest, disk, size, force } => {
            let said = match size {
                NewSize::Exactly(size) => format!("resized to {size}"),
                NewSize::More(by) => format!("grown by {by}"),
            };
            one(session, guest, *disk, &said, |world, guest, guids| {
                has_it(session, guest, *disk)?;
                let found = disks::of(guest, Some(&[*disk]), Mount::ForAMoment)?;
                plan::disk::resize::resize(world, guest, *disk, *size, *force, plan::disk::found::of(&found, *disk), guids)
            })
        }
        Verb::Sync { guest, disk } => sync(session, guest, *disk),
        Verb::List { guests, list } => self::list(session, guests, list),
        Verb::Set { guest, disk, settings } => {
            let pairs = pairs(settings)?;
            one(session, guest, *disk, "set", |world, guest, _| plan::disk::set(world, guest, *disk, &pairs, &[]))
        }
        Verb::Move { guest, disk, to } => one(session, guest, *disk, &format!("renumbered to disk{to}"), |world, guest, guids| {
            plan::disk::renumber(world, guest, *disk, *to, guids)
        }),
    }
}

fn pairs(words: &[String]) -> Result<Vec<(String, String)>> {
    let pair = |word: &String| {
        let shown = chyves_core::value::printable(word, 60);
        let wrong = || Problem::usage(format!("`{shown}` is not a setting")).on(&shown).hint("write settings as KEY=VALUE: bus=nvme");
        word.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())).ok_or_else(wrong)
    };
    words.iter().map(pair).collect()
}

/// Refuses a disk that was added to a running guest since its start: its hypervisor does not have the disk.
fn has_it(session: &Session, guest: &Guest, number: u16) -> Result<()> {
    if !guest.state.is_alive() {
        return Ok(());
    }
    let spec = guest.spec()?;
    let disk = spec.disks.iter().find(|d| d.number == number);
    let path = disk.zip(guest.mountpoint.as_deref()).map(|(disk, folder)| plan::machine::disk_path(guest, folder, disk));
    let record = session.runtime.observe(guest.uuid, &guest.dataset)?.record;
    let (Some(path), Some(record)) = (path, record) else { return Ok(()) };
    if record.launch.hypervisor.args.iter().any(|arg| arg.contains(&path)) {
        return Ok(());
    }
    let disk = format!("disk{number}");
    Err(Problem::not_now(format!(
        "cannot resize {disk} of {}: it was added while the guest runs, and the guest has it from its next start on",
        guest.name
    ))
    .on(format!("{}:{disk}", guest.name))
    .hint(format!("`chyves stop {0}`, then `chyves disk resize {0} {disk} SIZE`", guest.name)))
}

/// Moves a disk to the trash, or forgets a lost one.
fn remove(session: &Session, guests: &str, disk: u16, lost: bool) -> Result<()> {
    if lost {
        return forget(session, guests, disk);
    }
    one(session, guests, disk, "removed", |world, guest, guids| {
        // A missing disk cannot be moved to the trash.
        let found = disks::of(guest, Some(&[disk]), Mount::ForAMoment)?;
        let spec = guest.spec()?;
        match (spec.disks.iter().find(|d| d.number == disk), found::of(&found, disk)) {
            (Some(spec), gone @ Found::Missing) if spec.kind != DiskKind::Attached => drop(gone.size(guest, spec)?),
            _ => {}
        }
        plan::disk::remove::remove(world, guest, disk, guids, &chyves_engine::Engine::moment(1))
    })
}

/// Removes the settings of a disk that is lost.
fn forget(session: &Session, guests: &str, disk: u16) -> Result<()> {
    session.each(&Targets::parse(&[guests])?, Pace::InTurn, |world, guest| {
        // The disk itself may not exist any more.
        let guids = observe::guids(&[guest.dataset.to_string()])?;
        let plan = plan::disk::remove::let_go(world, guest, disk, guids, &chyves_engine::Engine::moment(1))?;
        let done = session.carry_out(world, &plan, guest.name.as_str())?;
        Ok(done.map(|_| Report::new(&guest.name, format!("disk{disk} forgotten")).with(json!({ "disk": disk }))))
    })
}

/// Records the actual type and size of disks.
fn sync(session: &Session, guests: &str, disk: Option<u16>) -> Result<()> {
    session.each(&Targets::parse(&[guests])?, Pace::InTurn, |world, guest| {
        let found = disks::of(guest, disk.as_ref().map(std::slice::from_ref), Mount::ForAMoment)?;
        let guids = observe::guids(&[guest.dataset.to_string()])?;
        let plan = plan::disk::sync::sync(world, guest, disk, &found, guids)?;
        let done = session.carry_out(world, &plan, guest.name.as_str())?;
        Ok(done.filter(|_| !plan.steps.is_empty()).map(|_| Report::new(&guest.name, "the settings record its disks as they are")))
    })
}

/// Executes a plan for one disk of each guest.
fn one(
    session: &Session,
    guests: &str,
    disk: u16,
    said: &str,
    plan: impl Fn(&World, &Guest, Vec<(String, u64)>) -> Result<plan::Plan> + Sync,
) -> Result<()> {
    session.each(&Targets::parse(&[guests])?, Pace::InTurn, |world, guest| {
        let guids = observe::guids(&plan::disk::datasets(guest, disk)?)?;
        let plan = plan(world, guest, guids)?;
        let done = session.carry_out(world, &plan, guest.name.as_str())?;
        Ok(done
            .filter(|_| !plan.steps.is_empty())
            .map(|_| Report::new(&guest.name, format!("disk{disk} {said}")).with(json!({ "disk": disk }))))
    })
}

fn add(session: &Session, args: &AddArgs) -> Result<()> {
    let (settings, sizes): (Vec<String>, Vec<String>) = args.words.iter().cloned().partition(|w| w.contains('='));
    let size = match (&sizes[..], args.size) {
        ([], size) => size,
        ([size], None) => Some(size.parse()?),
        _ => return Err(Problem::usage("a disk has one size").hint("write `chyves disk add GUEST 8G`")),
    };
    let set = pairs(&settings)?;
    let found = match (&args.import, &args.attach) {
        (Some(file), _) => Origin::File(files::look(file)?),
        (None, Some(source)) => Origin::Attached(files::look_at_source(source)?),
        (None, None) => Origin::Empty,
    };
    session.each(&Targets::parse(&[&args.guest])?, Pace::InTurn, |world, guest| {
        let _trash = args.from_trash.as_ref().map(|_| session.lock("trash", &["empty"])).transpose()?;
        let mut world = world.clone();
        let more = if matches!(found, Origin::Attached(_)) { Look::at_all() } else { Look { trash: true, ..Look::default() } };
        let seen = observe::world(&session.runtime, &more)?;
        (world.trash, world.roots) = (seen.trash, seen.roots);
        world.guests.extend(seen.guests.into_iter().filter(|g| g.dataset != guest.dataset));
        let origin = match &args.from_trash {
            Some(wanted) => from_trash(&world, wanted)?,
            None => found.clone(),
        };
        let request = plan::disk::add::Request {
            number: args.number,
            origin,
            size: size.map(DiskSize::get),
            kind: args.kind,
            reserved: args.reserved,
            block: args.block_size,
            set: set.clone(),
        };
        carry_out(session, &world, guest, &request)
    })
}

fn from_trash(world: &World, wanted: &str) -> Result<Origin> {
    let trashed = plan::delete::find(world, wanted)?;
    let guid = observe::guids(&[trashed.dataset.to_string()])?.first().map_or(0, |(_, g)| *g);
    Ok(Origin::Trash(trashed.clone(), guid))
}

fn carry_out(session: &Session, world: &World, guest: &Guest, request: &plan::disk::add::Request) -> Result<Option<Report>> {
    let number = plan::disk::add::number(world, guest, request);
    let plan = plan::disk::add::add(world, guest, request)?;
    let done = session.carry_out(world, &plan, guest.name.as_str())?;
    Ok(done.map(|_| Report::new(&guest.name, format!("disk{number} added")).with(json!({ "disk": number }))))
}

/// Restores a removed disk to the guest to which it belonged.
pub(super) fn undelete(session: &Session, wanted: &str) -> Result<()> {
    let trash = session.look(&Look { trash: true, ..Look::default() })?;
    let trashed = plan::delete::find(&trash, wanted)?;
    let world = session.look(&Look::at_keys(Vec::new()))?;
    let of = trashed.disk.as_ref().map(|d| d.of);
    let guest = world.guests.iter().find(|g| Some(g.uuid) == of).ok_or_else(|| {
        Problem::not_found(format!("the guest that `{}` was taken from is not there", trashed.label()))
            .on(trashed.label())
            .hint(format!("give the disk to another one: `chyves disk add GUEST --from-trash {}`", trashed.dataset.leaf()))
    })?;
    let args = AddArgs {
        guest: guest.name.to_string(),
        words: Vec::new(),
        size: None,
        number: None,
        kind: None,
        reserved: false,
        block_size: None,
        import: None,
        attach: None,
        from_trash: Some(trashed.dataset.leaf().to_owned()),
    };
    add(session, &args)
}

const COLUMNS: [&str; 12] =
    ["guest", "number", "kind", "size", "used", "bus", "options", "serial", "pci", "description", "source", "actual"];

fn list(session: &Session, guests: &[String], args: &ListArgs) -> Result<()> {
    let guests = if guests.is_empty() { Targets::All } else { Targets::parse(guests)? };
    let one = matches!(&guests, Targets::Named(names) if names.len() == 1);
    let outcome = session.run(&DiskList { guests })?;
    let disks = outcome.answer.unwrap_or_default();
    let table = Table::of(&COLUMNS, &disks, row);
    if table.rows.is_empty() && outcome.problem.is_none() && !session.ui.json && !args.bare {
        session.ui.say("there are no disks; `chyves disk add GUEST SIZE` adds one");
    }
    show(session, table, &args.or_columns(session, &COLUMNS[usize::from(one)..10]))?;
    let unread: BTreeSet<&String> =
        disks.iter().filter(|d| d.actual.is_none() && d.state != DiskState::Missing).map(|d| &d.guest).collect();
    if !unread.is_empty() && !session.ui.json {
        let guests = if unread.len() == 1 { "1 guest".to_owned() } else { format!("{} guests", unread.len()) };
        session.ui.say(&format!(
            "of {guests} the sizes are those that are recorded, since the file systems are not mounted; `chyves disk list GUEST` reads the disks"
        ));
    }
    outcome.problem.map_or(Ok(()), Err)
}

fn row(disk: &Disk) -> Vec<Cell> {
    vec![
        Cell::text(&disk.guest),
        Cell::number(disk.number.to_string(), disk.number.into()),
        match &disk.invalid_kind {
            None => Cell::text(disk.kind.word()),
            Some(was) => Cell { shown: format!("{} (recorded: {})", disk.kind.word(), or_none(was)), exact: json!(disk.kind) },
        },
        size(disk),
        disk.used.map_or_else(Cell::none, Cell::bytes),
        Cell::text(&disk.bus),
        Cell::maybe(disk.options.clone()),
        Cell::text(&disk.serial),
        Cell::maybe(disk.pci.clone()),
        Cell::maybe(disk.description.clone()),
        Cell::maybe(disk.source.clone()),
        disk.actual.map_or_else(Cell::none, Cell::bytes),
    ]
}

/// The recorded size, and the actual state if it differs.
fn size(disk: &Disk) -> Cell {
    let exact = disk.size.unwrap_or(0);
    let human = |bytes| Size::bytes(bytes).human();
    let recorded = match &disk.invalid_size {
        Some(was) => or_none(was).to_owned(),
        None => disk.size.map_or_else(|| "-".to_owned(), human),
    };
    match disk.state {
        DiskState::AsRecorded | DiskState::Unknown => disk.size.map_or_else(Cell::none, Cell::bytes),
        DiskState::OtherSize => Cell::number(format!("{} (recorded: {recorded})", human(disk.actual.unwrap_or(0))), exact),
        DiskState::Missing => Cell::number(format!("missing (recorded: {recorded})"), exact),
        DiskState::OtherKind => {
            let noun = |kind: answer::DiskKind| if kind == answer::DiskKind::Zvol { "volume" } else { "file" };
            let (actual, kind) = (human(disk.actual.unwrap_or(0)), disk.actual_kind.unwrap_or(disk.kind));
            Cell::number(format!("a {} of {actual} (recorded: a {} of {recorded})", noun(kind), noun(disk.kind)), exact)
        }
        DiskState::NoDisk => Cell::number(format!("{} has its name", disk.reason.as_deref().unwrap_or("something else")), exact),
    }
}

/// A recorded text, which may be empty.
fn or_none(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}
