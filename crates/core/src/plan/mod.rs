//! Plans what a command does: (world, request) → plan. Pure functions; the dry run prints the same value that is then
//! executed.
//!
//! One file for each verb. To add a verb: add a file here with its request and one function, and the command in crates/cli.

mod absent;
pub mod adopt;
pub mod catalogue;
pub mod clone;
pub mod cloud_init;
pub mod create;
pub mod delete;
pub mod disk;
pub mod drives;
pub mod firmware;
pub mod groups;
pub mod image;
mod listeners;
pub mod locked;
pub mod machine;
pub mod media;
pub mod network;
pub mod owned;
pub mod pool;
mod pool_settings;
pub mod promote;
pub mod receive;
pub mod reclaim;
pub mod rename;
pub mod requirements;
pub mod reset;
pub mod revert;
pub mod roles;
pub mod send;
pub mod set;
pub mod snapshot;
pub mod start;
pub mod stop;
pub mod upgrade;
pub mod whole;

use crate::action::Action;
use crate::error::{Code, Result};
use crate::guest::{Guest, Trashed, settings_copy};
use crate::os::Os;
use crate::property::keys;
use crate::property::settings::{Own, OwnValues};
use crate::value::{Dataset, FilePath, GuestName};
use crate::world::World;
use crate::zfs::args::Pair;
use serde::Serialize;
use std::collections::BTreeMap;

/// Steps in order, and remarks for the user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// What is done, in this order; a failed plan is rolled back in the opposite order.
    pub steps: Vec<Action>,
    /// Remarks: what takes effect later, what is kept.
    pub notes: Vec<String>,
}

impl Plan {
    /// An empty plan, with the reason why there is nothing to do.
    pub fn nothing(note: impl Into<String>) -> Self {
        Self { steps: Vec::new(), notes: vec![note.into()] }
    }

    /// Adds a step.
    pub fn push(&mut self, step: Action) {
        self.steps.push(step);
    }

    /// Whether the written file is made durable by a later unmount: the plan itself created and mounted this file system
    /// and unmounts it next, so that nobody else writes to it in the meantime and the unmount writes all data to disk. A
    /// file system that existed before does not count: it may be rolled back a moment later, and a ZFS that unmounts
    /// asynchronously does not handle that correctly.
    pub fn is_settled_by_unmount(&self, index: usize) -> bool {
        let mount = |step: &Action| {
            if let Action::Mount { dataset } = step {
                return Some((true, dataset.clone()));
            }
            if let Action::Borrow { dataset } | Action::Unmount { dataset } = step { Some((false, dataset.clone())) } else { None }
        };
        let (before, after) = self.steps.split_at(index.min(self.steps.len()));
        let Some((true, mounted)) = before.iter().rev().find_map(mount) else { return false };
        let is_new = before.iter().any(|step| {
            matches!(step, Action::CreateDataset { dataset: made, .. } | Action::CloneDataset { to: made, .. } | Action::SendReceive { to: made, .. } if *made == mounted)
        });
        is_new && matches!(after.iter().find(|s| mount(s).is_some()), Some(Action::Unmount { dataset }) if *dataset == mounted)
    }

    /// The plan as a readable script that can be pasted: each step's description as a comment, followed by its commands.
    pub fn script(&self, os: Os) -> String {
        self.script_with(os, str::to_owned)
    }

    /// The same, with the command lines of a loader and a hypervisor, which are long, in another layout.
    pub fn script_with(&self, os: Os, layout: impl Fn(&str) -> String) -> String {
        let mut text = String::new();
        for note in &self.notes {
            text.push_str(&format!("# note: {note}\n"));
        }
        for step in &self.steps {
            text.push_str(&format!("# {}\n", step.describe()));
            for line in lines(step, os) {
                let line = if matches!(step, Action::Launch(_)) { layout(&line) } else { line };
                text.push_str(&format!("{line}\n"));
            }
            for (path, content) in step.written() {
                text.push_str(&format!("#   {path}:\n"));
                content.lines().for_each(|line| text.push_str(&format!("#     {line}\n")));
            }
        }
        text
    }

    /// The plan in a machine-readable form.
    pub fn shown(&self, os: Os) -> Shown {
        let step = |a: &Action| ShownStep { describe: a.describe(), commands: lines(a, os), files: a.written().into_iter().collect() };
        Shown { steps: self.steps.iter().map(step).collect(), notes: self.notes.clone() }
    }
}

/// A step's commands as a user would type them.
fn lines(step: &Action, os: Os) -> Vec<String> {
    let each: Vec<String> = step.commands(os).iter().map(ToString::to_string).collect();
    if let Action::SendReceive { .. } = step { vec![each.join(" | ")] } else { each }
}

/// A plan in the form that `--dry-run --json` prints.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// The steps in order.
    pub steps: Vec<ShownStep>,
    /// Remarks.
    pub notes: Vec<String>,
}

/// One step of the plan.
#[derive(Debug, Serialize)]
pub struct ShownStep {
    /// Its description.
    pub describe: String,
    /// Its commands, each as it can be pasted.
    pub commands: Vec<String>,
    /// The files that it writes for a hypervisor, a loader or the guest, by path, with secrets hidden.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
}

/// Values that a plan needs and that only the running system provides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// The time, UTC, as it is recorded: `2026-01-31T12:00:00Z`.
    pub now: String,
    /// Random UUIDs, as many as the request has guests.
    pub uuids: Vec<uuid::Uuid>,
}

/// Refuses a plan that must not run, whichever command made it: it reads or writes locked datasets, or changes a foreign
/// guest. `foreign`: the user explicitly allowed foreign guests.
///
/// # Errors
/// It does; the message names the guest.
pub fn refuse(world: &World, plan: &Plan, foreign: bool) -> Result<()> {
    locked::refuse(world, plan)?;
    if foreign { Ok(()) } else { owned::refuse(world, plan) }
}

/// Refuses a guest that another host owns.
fn own_guest(guest: &Guest) -> Result<()> {
    match &guest.foreign {
        None => Ok(()),
        Some(why) => Err(Code::GuestForeign
            .problem(format!("`{}` is foreign: {why}", guest.name))
            .on(&guest.name)
            .hint(format!("make sure that it runs nowhere else, then `chyves adopt {}`", guest.name))),
    }
}

/// Native properties of file systems that hold disk files: only chyves mounts them, and the record size is half of ZFS'
/// default. A guest writes small blocks, and for each one ZFS reads and writes a whole record; even smaller records would
/// slow down reads more than they save. A file keeps the record size that it was created with, also in clones.
fn of_disks() -> Vec<Pair> {
    vec![("canmount".into(), "noauto".into()), ("recordsize".into(), "64K".into())]
}

/// The same with the user's own values, which take precedence over chyves' choice.
fn with(mut native: Vec<Pair>, set: Option<&Vec<Pair>>) -> Vec<Pair> {
    let set = set.map(Vec::as_slice).unwrap_or_default();
    native.retain(|(key, _)| !set.iter().any(|(k, _)| k == key));
    native.extend(set.iter().cloned());
    native
}

/// Refuses a guest with a VM that is or may be alive.
fn stopped(guest: &Guest, wish: &str) -> Result<()> {
    if guest.state.is_alive() {
        return Err(Code::GuestRunning
            .problem(format!("cannot {wish} `{}` while it is {}", guest.name, guest.state.word()))
            .on(&guest.name)
            .hint(format!("`chyves stop {}` first", guest.name)));
    }
    Ok(())
}

/// The step that makes the file system of a new guest read-only if it is a template.
fn lock_template(dataset: &Dataset, own: &[Pair]) -> Option<Action> {
    let template = own.iter().any(|(k, v)| k == keys::TEMPLATE && v == "yes");
    template.then(|| Action::SetReadonly { dataset: dataset.clone(), on: true })
}

/// Refuses a template, which must not change.
fn not_template(guest: &Guest, wish: &str) -> Result<()> {
    if guest.is_template() {
        return Err(Code::GuestTemplate.problem(format!("cannot {wish} `{}`: it is a template", guest.name)).on(&guest.name).hint(
            format!("make it a guest first: `chyves set {} template=no`; or clone it: `chyves clone {} NAME`", guest.name, guest.name),
        ));
    }
    Ok(())
}

/// "1 snapshot", "2 snapshots".
fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("{n} {what}") } else { format!("{n} {what}s") }
}

/// Refuses a name that is used by another guest, or by a deleted one that could not be moved. The world must hold all
/// guests of that name; `own` is the dataset of the guest that gets the name.
fn free(world: &World, name: &GuestName, to: &Dataset, own: Option<&Dataset>) -> Result<()> {
    if let Some(there) = world.guests.iter().find(|g| g.name == *name && Some(&g.dataset) != own) {
        return Err(Code::GuestExists
            .problem(format!("a guest is called `{name}` already"))
            .on(name)
            .because(format!("it is {}", there.dataset))
            .hint("choose another name"));
    }
    // In whichever group it is: its name is the last part of its dataset, and restored under another one it would have to move.
    let keeps = |t: &&Trashed| {
        let in_place = || world.root_on(t.dataset.pool()).is_ok_and(|root| t.dataset.is_within(&root.guests()));
        t.dataset == *to || (t.dataset.pool() == to.pool() && t.dataset.leaf() == name.as_str() && in_place())
    };
    if let Some(there) = world.trash.iter().filter(keeps).find(|t| Some(&t.dataset) != own) {
        return Err(Code::GuestExists
            .problem(format!("a deleted guest keeps the name `{name}`"))
            .on(name)
            .because(format!("it has dependent clones, so this ZFS could not move it: it is at {}", there.dataset))
            .hint(format!("choose another name, or restore it: `chyves undelete {name}`")));
    }
    Ok(())
}

/// The steps that update the copy of the settings in the guest's file system to `values`. The file system is mounted for
/// this, and unmounted again if it was not mounted before.
fn keep_copy(guest: &Guest, values: &OwnValues) -> Result<Vec<Action>> {
    let steps = in_folder(guest, vec![Action::WriteFile { path: copy_path(guest.folder()?), text: settings_copy(values) }]);
    Ok(opened(&guest.dataset, guest.is_template(), says_template(values), steps))
}

/// Whether a dataset's own values make it a template.
fn says_template(values: &OwnValues) -> bool {
    values.get(keys::TEMPLATE).is_some_and(|own| own.value == "yes")
}

/// Wraps `steps` that write to a file system. If the guest was a template, the file system is read-only and is made
/// writable for these steps; it is made read-only afterwards if the guest will be a template.
fn opened(dataset: &Dataset, was: bool, will: bool, mut steps: Vec<Action>) -> Vec<Action> {
    if was {
        steps.insert(0, Action::SetReadonly { dataset: dataset.clone(), on: false });
    }
    if will {
        steps.push(Action::SetReadonly { dataset: dataset.clone(), on: true });
    }
    steps
}

/// The path of the copy of the settings.
fn copy_path(folder: &str) -> FilePath {
    FilePath::below(folder, "config.toml")
}

/// `steps` with the guest's file system mounted around them, and unmounted afterwards if it was not mounted before.
fn in_folder(guest: &Guest, steps: Vec<Action>) -> Vec<Action> {
    if guest.mounted {
        return steps;
    }
    let mut all = vec![Action::Mount { dataset: guest.dataset.clone() }];
    all.extend(steps);
    all.push(Action::Unmount { dataset: guest.dataset.clone() });
    all
}

/// Own values as key-value pairs.
pub(crate) fn pairs(values: &OwnValues) -> Vec<Pair> {
    values.iter().map(|(k, o)| (k.clone(), o.value.clone())).collect()
}

/// Key-value pairs as own values.
fn values(pairs: &[Pair]) -> OwnValues {
    pairs.iter().map(|(k, v)| (k.clone(), Own { value: v.clone(), received: false })).collect()
}

#[cfg(test)]
pub(crate) mod testing {
    //! A small world for the tests of planners.

    use crate::guest::{Guest, RunState};
    use crate::image::{Image, ImageKind};
    use crate::os::{HostFacts, HostState, Os};
    use crate::plan::Moment;
    use crate::pool::{Role, Root};
    use crate::property::settings::{Own, OwnValues, Settings};
    use crate::value::{Dataset, Size};
    use crate::vmm::Vmm;
    use crate::world::World;
    use crate::zfs::{Dialect, locked::Locked};
    use std::sync::Arc;
    use uuid::Uuid;

    pub(crate) const HOST: Uuid = Uuid::from_u128(0x1111_1111_1111_4111_8111_1111_1111_1111);

    pub(crate) fn own(pairs: &[(&str, &str)]) -> OwnValues {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), Own { value: (*v).to_owned(), received: false })).collect()
    }

    pub(crate) fn guest(name: &str, pairs: &[(&str, &str)]) -> Guest {
        let dataset: Dataset = format!("tank/chyves/guests/{name}").parse().unwrap();
        Guest {
            name: name.parse().unwrap(),
            root: "tank/chyves".parse().unwrap(),
            uuid: Uuid::new_v5(&HOST, name.as_bytes()),
            settings: Settings::new(own(pairs), vec![("tank/chyves/guests".parse().unwrap(), Arc::new(OwnValues::new()))]),
            used: Size::mib(1),
            origin: None,
            mounted: false,
            mountpoint: Some(format!("/tank/chyves/guests/{name}")),
            canmount: Some("noauto".into()),
            readonly: false,
            guid: Some(4711),
            home: Some(format!("/tank/chyves/guests/{name}")),
            foreign: None,
            state: RunState::Stopped,
            dataset,
        }
    }

    pub(crate) fn world(guests: Vec<Guest>) -> World {
        World {
            host: HostFacts {
                os: Os::Linux,
                release: (6, 1),
                arch: "amd64".into(),
                vmm: Vmm::Qemu,
                dialect: Dialect::Fuse,
                run_dir: "/run/chyves".into(),
                uefi: Some(("/fw/CODE.fd".into(), "/fw/VARS.fd".into())),
                kvm: Err("this host has none".into()),
                hypervisor: Some("qemu-system-x86_64".into()),
                confinement: crate::confinement::Possible::default(),
                state: HostState::default(),
            },
            roots: vec![Root {
                dataset: "tank/chyves".parse().unwrap(),
                role: Role::Primary,
                host: Some(HOST),
                group_levels: 0,
                mountpoint: Some("/tank/chyves".into()),
                own: Arc::new(OwnValues::new()),
            }],
            guests,
            images: vec![Image {
                name: "tiny".parse().unwrap(),
                dataset: "tank/chyves/images/tiny".parse().unwrap(),
                kind: ImageKind::Disk,
                size: Size::mib(64),
                used: Size::mib(10),
                sha256: None,
                source: None,
                added: None,
                original: None,
                format: None,
                checked: None,
                label: None,
                vars: None,
                wants: Vec::new(),
                stored: crate::image::Stored::default(),
            }],
            trash: Vec::new(),
            oddities: Vec::new(),
            strays: Vec::new(),
            locked: Locked::default(),
            texts: std::collections::BTreeMap::new(),
        }
    }

    pub(crate) fn freebsd() -> HostFacts {
        // Paths that differ from the packages' ones, so that no test passes by finding the default.
        let firmware = ("/fw/BHYVE_UEFI.fd".to_owned(), "/fw/BHYVE_UEFI_VARS.fd".to_owned());
        HostFacts { uefi: Some(firmware), ..crate::os::freebsd::release_14_3() }
    }

    pub(crate) fn moment(uuids: u128) -> Moment {
        Moment { now: "2026-01-31T12:00:00Z".into(), uuids: (1..=uuids).map(Uuid::from_u128).collect() }
    }
}
