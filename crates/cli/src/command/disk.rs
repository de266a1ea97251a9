//! `chyves disk`: the disks of guests.

use super::get::show;
use crate::session::Session;
use crate::table::{Cell, ListArgs, Table};
use crate::targets::Targets;
use chyves_core::error::{Problem, Result};
use chyves_core::guest::DiskKind;
use chyves_core::plan;
use chyves_core::plan::disk::found;
use chyves_core::plan::disk::resize::NewSize;
use chyves_core::value::{DiskSize, Size};
use chyves_engine::answer::{self, Assignment};
use chyves_engine::op::{Disk, DiskAdd, DiskChange, DiskChangeKind, DiskFrom, DiskList, DiskState, DiskWord};
use serde_json::json;
use std::cmp::Ordering;
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
    /// does it for all disks of web01, `chyves disk sync web01 disk1` for one. The latter also records the file disk1.raw, or
    /// the volume disk1, of which the settings have nothing: a rollback or revert brings a removed disk back.
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
            change(session, guest, Some(*disk), if *lost { DiskChangeKind::Forget } else { DiskChangeKind::Remove })
        }
        Verb::Resize { guest, disk, size, force } => {
            let how = match size {
                NewSize::Exactly(size) => DiskChangeKind::Resize { to: size.get(), force: *force },
                NewSize::More(by) => DiskChangeKind::Grow { by: by.get() },
            };
            change(session, guest, Some(*disk), how)
        }
        Verb::Sync { guest, disk } => change(session, guest, *disk, DiskChangeKind::Sync),
        Verb::List { guests, list } => self::list(session, guests, list),
        Verb::Set { guest, disk, settings } => change(session, guest, Some(*disk), DiskChangeKind::Set { set: pairs(settings)? }),
        Verb::Move { guest, disk, to } => change(session, guest, Some(*disk), DiskChangeKind::Renumber { to: *to }),
    }
}

fn change(session: &Session, guests: &str, disk: Option<u16>, change: DiskChangeKind) -> Result<()> {
    let request = DiskChange { guests: Targets::parse(&[guests])?, disk, change };
    let outcome = session.run(&request)?;
    session.show_each(outcome, |changed| {
        // A note has reported what needed no change.
        if changed.done == DiskWord::Unchanged {
            return None;
        }
        let said = match &request.change {
            DiskChangeKind::Resize { .. } | DiskChangeKind::Grow { .. } => resized(changed.from.zip(changed.to)),
            DiskChangeKind::Set { .. } => "set".to_owned(),
            DiskChangeKind::Renumber { to } => format!("renumbered to disk{to}"),
            DiskChangeKind::Sync => return Some("the settings record its disks as they are".to_owned()),
            DiskChangeKind::Remove => "removed".to_owned(),
            DiskChangeKind::Forget => "forgotten".to_owned(),
        };
        Some(format!("disk{} {said}", changed.disk.unwrap_or(0)))
    })
}

/// What was done to a disk that was resized, with the sizes before and after.
fn resized(sizes: Option<(u64, u64)>) -> String {
    let Some((from, to)) = sizes else { return "resized".to_owned() };
    let (by, now) = (Size::bytes(from.abs_diff(to)), Size::bytes(to));
    match to.cmp(&from) {
        Ordering::Greater => format!("grown by {by} to {now}"),
        Ordering::Less => format!("shrunk by {by} to {now}"),
        Ordering::Equal => format!("recorded as {now}"),
    }
}

fn pairs(words: &[String]) -> Result<Vec<Assignment>> {
    if let Some(word) = words.iter().find(|word| !word.contains('=')) {
        let shown = chyves_core::value::printable(word, 60);
        return Err(Problem::usage(format!("`{shown}` is not a setting")).on(&shown).hint("write settings as KEY=VALUE: bus=nvme"));
    }
    Ok(Assignment::of_words(words))
}

fn add(session: &Session, args: &AddArgs) -> Result<()> {
    let (settings, sizes): (Vec<String>, Vec<String>) = args.words.iter().cloned().partition(|w| w.contains('='));
    let size = match (&sizes[..], args.size) {
        ([], size) => size,
        ([size], None) => Some(size.parse()?),
        _ => return Err(Problem::usage("a disk has one size").hint("write `chyves disk add GUEST 8G`")),
    };
    let from = match (&args.import, &args.attach, &args.from_trash) {
        (Some(file), _, _) => DiskFrom::File(file.clone()),
        (None, Some(source), _) => DiskFrom::Attached(source.clone()),
        (None, None, Some(wanted)) => DiskFrom::Trash(wanted.clone()),
        (None, None, None) => DiskFrom::Nothing,
    };
    let request = DiskAdd {
        guests: Targets::parse(&[&args.guest])?,
        from,
        size: size.map(|size: DiskSize| size.get().get()),
        number: args.number,
        kind: args.kind.map(Into::into),
        reserved: args.reserved,
        block_size: args.block_size.map(Size::get),
        set: pairs(&settings)?,
    };
    added(session, &request)
}

fn added(session: &Session, request: &DiskAdd) -> Result<()> {
    let outcome = session.run(request)?;
    session.show_each(outcome, |added| format!("disk{} added", added.disk))
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
            "of {guests} the sizes are those that are recorded, since the file systems are not mounted; `chyves disk list GUEST` reads the disks \
             of those that are not foreign"
        ));
    }
    for disk in disks.iter().filter(|d| d.state == DiskState::Missing && !session.ui.json) {
        let kind = if disk.source.is_some() { DiskKind::Attached } else { DiskKind::Raw };
        let cures = found::cures_of_missing(&disk.guest, disk.number, kind).join("; ");
        session.ui.say(&format!("disk{} of {} is missing: {cures}", disk.number, disk.guest));
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
        DiskState::Unrecorded => {
            let actual = disk.actual.map_or_else(|| disk.reason.clone().unwrap_or_else(|| "-".to_owned()), human);
            Cell { shown: format!("{actual} (not recorded)"), exact: serde_json::Value::Null }
        }
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
