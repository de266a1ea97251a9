//! Receiving a guest from a stream: `zfs receive`, then verifying that it is a complete guest with its settings.

use super::remedy::destroy_at_last;
use super::{Disarmed, Event, Place, increment, inspect};
use crate::observe::snapshots;
use crate::safe::{Folder, Rule};
use crate::settled::{command, settled};
use crate::{observe, run, stream};
use chyves_core::action::{Action, Onto};
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::guest::trash::{Leaving, volume_number};
use chyves_core::guest::{DiskKind, disk_name, read_settings_copy};
use chyves_core::plan::adopt::Member;
use chyves_core::plan::snapshot::{carried_settings, settings_change};
use chyves_core::property::PREFIX;
use chyves_core::property::keys::{self, DiskKey};
use chyves_core::property::settings::{OwnValues, Settings};
use chyves_core::value::{Dataset, SnapshotName, printable};
use chyves_core::world::inventory::NOBODY;
use chyves_core::zfs::guard::{self, Type};
use chyves_core::zfs::rows::Row;
use chyves_core::zfs::{Dialect, args, stream as streams};

/// Size limit of the copy of the settings, in bytes; chyves writes none that is larger.
const COPY_LIMIT: u64 = 1 << 20;

/// The most settings of a guest: nine for each device that a VM can have.
const MOST_SETTINGS: usize = 27 * 8 * 9;

/// The property with the token by which an interrupted reception can be resumed.
const TOKEN: &str = "receive_resume_token";

/// The parameters of the step.
pub(super) struct Reception<'a> {
    pub(super) dialect: Dialect,
    pub(super) into: &'a Dataset,
    /// The existing guest that receives an increment; none if the guest is new.
    pub(super) onto: Option<&'a Onto>,
    pub(super) snapshot: Option<&'a SnapshotName>,
    pub(super) guid: Option<u64>,
    resumable: bool,
}

impl<'a> Reception<'a> {
    pub(super) fn of(step: &'a Action) -> Result<Self> {
        match step {
            Action::Receive { dialect, into, onto, snapshot, guid, resumable } => {
                Ok(Self { dialect: *dialect, into, onto: onto.as_deref(), snapshot: snapshot.as_ref(), guid: *guid, resumable: *resumable })
            }
            _ => Err(Problem::bug("internal error: this step receives nothing")),
        }
    }
}

/// The result of a reception.
#[derive(Default)]
pub(super) struct Arrived {
    /// Messages to show.
    pub(super) said: Vec<String>,
    /// Received contents that could have affected this host.
    pub(super) disarmed: Vec<Disarmed>,
}

/// Receives a guest. If it fails, what it created is removed, unless it is kept to be resumed.
pub(super) fn receive(step: &Action, place: &mut Place<'_>) -> Result<Arrived> {
    let wanted = &Reception::of(step)?;
    let problem = match flow(wanted, place).and_then(|()| settle(wanted, place)) {
        Ok(arrived) => return Ok(arrived),
        Err(problem) => problem,
    };
    if wanted.onto.is_some() {
        return Err(match increment::back(wanted, place) {
            Ok(()) => problem,
            Err(left) => Problem { code: Kind::Left, ..problem }
                .because(format!("and what came of it could not be rolled back: {left}"))
                .hint("`chyves repair` tries again"),
        });
    }
    if let Some(token) = wanted.resumable.then(|| token(wanted.into)).flatten() {
        return Err(problem
            .because(format!("the part received is kept as {}", wanted.into))
            .hint(format!("go on: chyves send --resume {token} > rest, then chyves receive --resume {} < rest", wanted.into.leaf()))
            .hint(format!("or throw it away: zfs receive -A {}", wanted.into)));
    }
    match discard(wanted.into, place) {
        Ok(()) => Err(problem),
        Err(left) => Err(Problem { code: Kind::Left, ..problem }
            .because(format!("and the part received could not be removed: {left}"))
            .hint(format!("inspect it and remove it: zfs destroy -r {}", wanted.into))),
    }
}

fn flow(wanted: &Reception<'_>, place: &mut Place<'_>) -> Result<()> {
    let cmd = streams::receive(wanted.into, wanted.dialect == Dialect::Fuse, wanted.resumable);
    (place.report)(Event::Command(cmd.to_string()));
    let report = &mut *place.report;
    let (output, more) = stream::take(&cmd, place.interrupted, &mut |flow| report(Event::Flow(flow)))?;
    if more && output.ok() {
        (place.report)(Event::Warning(
            "standard input holds more after the end of the stream, which was not read: receive one stream with each command".into(),
        ));
    }
    // zfs-fuse exits with 1 and without a message after every received increment; what exists decides.
    let silent = wanted.dialect == Dialect::Fuse && wanted.onto.is_some() && output.status == Some(1) && output.stderr.trim().is_empty();
    if output.ok() || (silent && wanted.guid.is_some()) {
        return Ok(());
    }
    let problem = run::failure(&cmd, &output).within("the stream could not be received");
    Err(if output.stderr.contains("has been modified") {
        let listed = run::must(&args::list_snapshots(wanted.into)).unwrap_or_default();
        let newest = listed.lines().last().map_or_else(|| format!("{}@SNAPSHOT", wanted.into), str::to_owned);
        problem.hint(format!("its file system was mounted since; make it what it was: zfs rollback {newest}"))
    } else {
        problem.hint("it may be damaged or cut off: send it again, and compare its checksum")
    })
}

/// The token by which a reception into a dataset can be resumed, if it can.
pub(super) fn token(dataset: &Dataset) -> Option<String> {
    observe::dataset(dataset).ok().flatten()?.native(TOKEN).filter(|t| !t.is_empty()).map(str::to_owned)
}

/// Destroys a received dataset, if it exists, and the clone that was used to read it.
pub(super) fn discard(dataset: &Dataset, place: &mut Place<'_>) -> Result<()> {
    if let Some(clone) = beside(dataset) {
        let row = observe::dataset(&clone)?;
        if row.is_some_and(|r| r.native("origin").is_some_and(|o| o.starts_with(&format!("{dataset}@")))) {
            destroy_at_last(&clone, &args::destroy(&clone), place)?;
        }
    }
    // Its settings are not read: what came may be unreadable on purpose.
    if !observe::exists(dataset.as_str())? {
        return Ok(());
    }
    destroy_at_last(dataset, &args::destroy_tree(dataset), place)
}

fn not_a_guest(why: String) -> Problem {
    Problem::usage("what was received is not a complete guest of chyves")
        .because(why)
        .hint("`chyves send GUEST > FILE` makes streams of guests")
}

/// Verifies what was received, and makes it a guest without an owner.
pub(super) fn settle(wanted: &Reception<'_>, place: &mut Place<'_>) -> Result<Arrived> {
    let gone = || Problem::failed(format!("`{}` is not there after it was received", wanted.into)).on(wanted.into);
    observe::dataset(wanted.into)?.ok_or_else(gone)?;
    let mut disarmed = tamed(wanted, place)?;
    let row = observe::dataset(wanted.into)?.ok_or_else(gone)?;
    if let Some(snapshot) = wanted.snapshot {
        let name = wanted.into.at(snapshot).to_string();
        let guid = observe::guids(std::slice::from_ref(&name))?.first().map(|(_, g)| *g);
        if wanted.guid.is_some() && guid != wanted.guid {
            return Err(Problem::failed(format!("`{name}` is not the snapshot that was sent")).on(&name));
        }
    }
    let own = match of_then(wanted, &row, place)? {
        Some(own) => own,
        None if has_settings(&row) => row.own.clone(),
        None => restore(wanted, &row, place)?,
    };
    if own.get(keys::UUID).is_none_or(|uuid| uuid.value.parse::<uuid::Uuid>().is_err()) {
        return Err(not_a_guest("its uuid is none".into()));
    }
    if own.len() > MOST_SETTINGS {
        return Err(not_a_guest(format!("it has {} settings, and no guest has more than {MOST_SETTINGS}", own.len())));
    }
    let more = whole(wanted.into, &own)?;
    let mut said = Vec::new();
    for volume in more {
        let left = wanted.onto.and_then(|onto| Some((&onto.leaving, volume_number(volume.leaf())?)));
        let Some((leaving, number)) = left else {
            return Err(not_a_guest(format!("{} came with it and is none of its disks", printable(volume.as_str(), 200))));
        };
        put_away(wanted.dialect, &volume, leaving, number, place)?;
        let (guest, to) = (&leaving.guest, leaving.place(number));
        said.push(format!("{guest} has no disk{number} any more; the former one is in the trash as {}", to.leaf()));
    }
    disarmed.extend(in_files(wanted, place)?);
    Ok(Arrived { said, disarmed })
}

/// Verifies that a file system with volumes was received, and removes effects on this host from each of them, even for an
/// increment, whose stream may have brought other values. Returns what had been received.
fn tamed(wanted: &Reception<'_>, place: &mut Place<'_>) -> Result<Vec<Disarmed>> {
    let tree = observe::tree(wanted.into)?;
    let mut disarmed = Vec::new();
    for member in &tree {
        for cmd in guard::tame(&member.dataset, member.is, wanted.dialect, &member.came) {
            command(&cmd, place)?;
        }
        disarmed.extend(inspect::properties(wanted.into, member));
    }
    for Member { dataset, is, .. } in &tree {
        match (is, dataset == wanted.into) {
            (Type::FileSystem, true) | (Type::Volume, false) => {}
            (Type::Volume, true) => return Err(not_a_guest("it is a volume".into())),
            (Type::FileSystem, false) => {
                return Err(not_a_guest(format!("{} is a file system: below a guest are volumes alone", printable(dataset.as_str(), 200))));
            }
        }
    }
    Ok(disarmed)
}

/// Moves a volume to the trash that the sender's guest no longer has; without force, ZFS itself removes nothing.
fn put_away(dialect: Dialect, volume: &Dataset, leaving: &Leaving, number: u16, place: &mut Place<'_>) -> Result<()> {
    for cmd in args::change(dialect, volume.as_str(), &leaving.marks(number), &[]) {
        command(&cmd, place)?;
    }
    command(&args::rename_volume(volume, &leaving.place(number)), place)
}

/// The received guest has the state of the snapshot, so it gets the settings stored in the snapshot where they differ from
/// those of its dataset, which are the sender's current ones. None if neither arrived as properties.
fn of_then(wanted: &Reception<'_>, row: &Row, place: &mut Place<'_>) -> Result<Option<OwnValues>> {
    let snapshot = match wanted.snapshot {
        Some(snapshot) => snapshot.clone(),
        None => newest(wanted.into)?,
    };
    if !row.own.contains_key(keys::UUID) {
        return Ok(None);
    }
    let mut carried = snapshots::carried(&wanted.into.at(&snapshot))?;
    if !carried.contains_key(keys::SNAPSHOT_TAKEN) {
        // Another program took the snapshot: the copy of the settings in it has the guest's state.
        let Some(copy) = read_copy(wanted, place).ok().and_then(|text| read_settings_copy(&text).ok()) else { return Ok(None) };
        carried = copy;
    }
    let mut then = carried_settings(&row.own, &carried);
    // What is no setting of chyves but has its prefix stays what it is: received.
    then.retain(|key, _| !key.starts_with(PREFIX) || row.own.contains_key(key));
    if let Some(step) = settings_change(wanted.dialect, wanted.into, &row.own, &then) {
        for cmd in step.commands(place.os) {
            command(&cmd, place)?;
        }
    }
    Ok(Some(then))
}

/// Whether the settings arrived as properties. For a guest whose settings were read from the copy, an increment brings a newer
/// copy.
fn has_settings(row: &Row) -> bool {
    row.own.contains_key(keys::UUID) && row.own.get(keys::OWNER).is_none_or(|o| o.value != NOBODY)
}

/// Verifies that every volume in the settings exists; returns the other datasets below the guest.
fn whole(into: &Dataset, own: &OwnValues) -> Result<Vec<Dataset>> {
    let listed = run::must(&args::list_names(into, 8))?;
    let below: Vec<Dataset> =
        listed.lines().filter(|l| *l != into.as_str()).map(|l| l.parse().map_err(Problem::from)).collect::<Result<_>>()?;
    let volumes = volumes_of(into, own);
    match volumes.iter().find(|v| !below.contains(v)) {
        Some(missing) => Err(not_a_guest(format!("its volume {missing} did not come with it"))),
        None => Ok(below.into_iter().filter(|b| !volumes.contains(b)).collect()),
    }
}

/// The volumes in the settings.
pub(super) fn volumes_of(into: &Dataset, own: &OwnValues) -> Vec<Dataset> {
    let settings = Settings::new(own.clone(), Vec::new());
    let is_volume = |n: &u16| settings.own(&keys::disk(*n, DiskKey::Kind)) == Some(DiskKind::Zvol.word());
    settings.numbers("disk").into_iter().filter(is_volume).map(|n| into.child(disk_name(n, DiskKind::Zvol))).collect()
}

/// Reads the settings from the copy in the file system and sets them; the guest has no owner until it is adopted.
fn restore(wanted: &Reception<'_>, row: &Row, place: &mut Place<'_>) -> Result<OwnValues> {
    let into = wanted.into;
    let text = read_copy(wanted, place)?;
    let mut own = read_settings_copy(&text)
        .map_err(|p| p.within("the stream carries no properties, and the copy of the settings in it cannot be read"))?;
    if own.get(keys::UUID).is_none_or(|o| o.value.parse::<uuid::Uuid>().is_err()) {
        return Err(not_a_guest("its settings contain no uuid".into()));
    }
    if let Some(owner) = own.get_mut(keys::OWNER) {
        owner.value = NOBODY.into();
    } else {
        own.insert(keys::OWNER.into(), chyves_core::property::settings::Own { value: NOBODY.into(), received: false });
    }
    let set: Vec<_> = own
        .iter()
        .filter(|(k, o)| row.own.get(*k).is_none_or(|is| is.value != o.value))
        .map(|(k, o)| (k.clone(), o.value.clone()))
        .collect();
    let clear: Vec<_> = row.own.keys().filter(|k| !own.contains_key(*k)).cloned().collect();
    for cmd in args::change(wanted.dialect, into.as_str(), &set, &clear) {
        command(&cmd, place)?;
    }
    Ok(own)
}

/// Inspects the received files. The files of a guest whose key is not loaded are not inspected.
fn in_files(wanted: &Reception<'_>, place: &mut Place<'_>) -> Result<Vec<Disarmed>> {
    let inspected = by_clone(wanted, place, &|folder| inspect::files(folder));
    inspected.or_else(|problem| {
        (place.report)(Event::Warning(format!("the files of {} were not inspected: {problem}", wanted.into)));
        Ok(Vec::new())
    })
}

/// The clone through which the files are read: beside the received dataset.
fn beside(into: &Dataset) -> Option<Dataset> {
    Some(into.parent()?.child(format!("{}-reading", into.leaf())))
}

/// The text of the copy of the settings.
fn read_copy(wanted: &Reception<'_>, place: &mut Place<'_>) -> Result<String> {
    let text = by_clone(wanted, place, &|folder| folder.read_text("config.toml", Rule::up_to(COPY_LIMIT)));
    let neither = |why: &str| not_a_guest(format!("it carries neither settings as properties nor a copy of them: config.toml: {why}"));
    text.map_err(|p| neither(&p.to_string()))?.ok_or_else(|| neither("it is missing"))
}

/// Reads something from the received files, through a temporary clone: reading them directly would change the dataset.
fn by_clone<T>(wanted: &Reception<'_>, place: &mut Place<'_>, read: &dyn Fn(&Folder) -> Result<T>) -> Result<T> {
    let snapshot = match wanted.snapshot {
        Some(snapshot) => snapshot.clone(),
        None => newest(wanted.into)?,
    };
    let clone = beside(wanted.into).ok_or_else(|| Problem::bug("a guest lies on no pool"))?;
    let native = [("canmount", "noauto"), ("readonly", "on"), ("setuid", "off"), ("devices", "off"), ("exec", "off")];
    command(&args::clone(&wanted.into.at(&snapshot), &clone, &native, &[]), place)?;
    let result = in_clone(&clone, place, read);
    command(&args::destroy(&clone), place)?;
    result
}

fn newest(dataset: &Dataset) -> Result<SnapshotName> {
    let listed = run::must(&args::list_snapshots(dataset))?;
    let own = format!("{dataset}@");
    let name = listed.lines().filter_map(|l| l.split('\t').next()?.strip_prefix(&own)).next_back();
    Ok(name.ok_or_else(|| not_a_guest("no snapshot came with it".into()))?.parse()?)
}

fn in_clone<T>(clone: &Dataset, place: &mut Place<'_>, read: &dyn Fn(&Folder) -> Result<T>) -> Result<T> {
    let folder = crate::mounts::home(clone)?;
    crate::mounts::mount(clone, place)?;
    let result = Folder::open(folder).and_then(|folder| read(&folder));
    settled(&args::unmount(clone))?;
    result
}
