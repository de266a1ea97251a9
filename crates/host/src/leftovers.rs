//! Finds what dead VMs left behind: folders, taps, VM objects, jails, mounted images. Core's `plan::reclaim` decides
//! what is removed.

use crate::hostfs::{kernel, own};
use crate::runtime::{Record, Runtime, lock};
use crate::{platform, rulesets, run};
use chyves_core::confinement::Means;
use chyves_core::error::{Problem, Result};
use chyves_core::launch::Control;
use chyves_core::os::Os;
use chyves_core::os::freebsd::{jail, processes};
use chyves_core::os::taps::{self, OwnTap};
use chyves_core::plan::reclaim::{Left, LeftJail};
use chyves_core::value::{Dataset, GuestName};
use chyves_core::vmm::bhyve::Arch;
use chyves_core::vmm::bhyve::jail::{Jail, Reach};
use chyves_core::zfs::{args, rows};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use uuid::Uuid;

/// The directory of bhyve's VM objects.
const VMM: &str = "/dev/vmm";

/// Everything found, by the UUID of the guest.
///
/// # Errors
/// Something cannot be queried or read.
pub fn look(rt: &Runtime, os: Os) -> Result<BTreeMap<Uuid, Left>> {
    let mut found: BTreeMap<Uuid, Left> = BTreeMap::new();
    let objects = match os {
        Os::FreeBsd => vm_objects()?,
        Os::Linux => BTreeSet::new(),
    };
    let mut records = BTreeMap::new();
    for (uuid, record) in rt.folders()? {
        found.insert(uuid, of_folder(rt, uuid, record.as_ref(), &objects)?);
        records.insert(uuid, record);
    }
    if os == Os::FreeBsd {
        for uuid in rt.jails()? {
            let left = found.entry(uuid).or_default();
            left.alive = rt.is_held(uuid)?;
            left.jail = of_jail(rt, uuid, records.get(&uuid).and_then(Option::as_ref))?;
        }
    }
    for tap in own_taps(os)? {
        found.entry(tap.guest).or_default().taps.push(tap);
    }
    Ok(found)
}

impl Runtime {
    /// Removes the runtime files of a guest without processes, as the next start would do.
    ///
    /// # Errors
    /// A process of it lives, or a file cannot be removed.
    pub fn forget(&self, uuid: Uuid) -> Result<()> {
        self.check()?;
        let dir = self.guest(uuid);
        if !own::is_there(dir.path()) {
            return Ok(());
        }
        let busy = || Problem::not_now("the guest runs").on(uuid);
        if dir.damage().is_some() {
            if dir.is_supervised()? || dir.machine_lives()? {
                return Err(busy());
            }
            dir.clear_damage()?;
            if !own::is_there(dir.path()) {
                return Ok(());
            }
        }
        let Some(_supervisor) = lock::Lock::take(&dir.supervisor_lock(), lock::GLANCE)? else {
            return Err(busy());
        };
        if dir.machine_lives()? {
            return Err(busy());
        }
        #[cfg(target_os = "linux")]
        {
            crate::confine::forget_unused_uids(self.root());
            // Firewall rules for unused uids do no harm; the next start tries again.
            drop(crate::confine::loopback::refresh(self.root()));
        }
        dir.remove().map_err(|e| Problem::failed(format!("cannot remove `{}`", dir.path().display())).on(uuid).because(e))?;
        crate::rulesets::release(self, uuid);
        Ok(())
    }
}

/// Leftovers of guests that keep their files in use after both the supervisor and bhyve were killed: the VM object and the
/// jail. Cheap if there are none: only the runtime folder is read, and no program is run.
///
/// # Errors
/// Something cannot be queried or read.
pub fn dead_jails(rt: &Runtime, names: &dyn Fn(&GuestName) -> bool) -> Result<Vec<(GuestName, Left)>> {
    let rooted: BTreeSet<Uuid> = rt.jails()?.into_iter().collect();
    if rooted.is_empty() {
        return Ok(Vec::new());
    }
    let mut dead = Vec::new();
    for (uuid, record) in rt.folders()? {
        let Some(record) = record.filter(|record| rooted.contains(&uuid) && names(&record.guest)) else { continue };
        if !rt.is_held(uuid)? {
            let left = of_folder(rt, uuid, Some(&record), &vm_objects()?)?;
            dead.push((record.guest.clone(), Left { jail: of_jail(rt, uuid, Some(&record))?, ..left }));
        }
    }
    Ok(dead)
}

/// Leftovers of the guest that owns this folder in the runtime folder.
fn of_folder(rt: &Runtime, uuid: Uuid, record: Option<&Record>, objects: &BTreeSet<String>) -> Result<Left> {
    let alive = rt.is_held(uuid)?;
    let machine = record.and_then(|r| r.machine.as_ref()).map(|m| m.pid);
    let mut left = Left { alive, folder: !alive, machine, ..Left::default() };
    if let Some(Control::Bhyve { vm }) = record.map(|r| &r.launch.control)
        && objects.contains(vm)
    {
        left.vms.push((vm.clone(), is_worked_on(vm)?));
    }
    Ok(left)
}

/// The jail of a guest, if the jail has a root directory. The jail's contents are known only from the record, the number of its
/// ruleset from the record or the claim; the rest follows from the UUID.
fn of_jail(rt: &Runtime, uuid: Uuid, record: Option<&Record>) -> Result<Option<LeftJail>> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let recorded = match record.map(|r| &r.launch.confinement.means) {
        Some(Means::Jail(jail)) => Some(jail.clone()),
        Some(Means::None | Means::Linux(_)) | None => None,
    };
    let ruleset = match &recorded {
        Some(jail) => Some(jail.ruleset),
        None => rulesets::of(rt, uuid)?,
    };
    let jail = recorded.unwrap_or_else(|| Jail::new(uuid, &text(rt.root()), &text(&rt.guest_dir(uuid)), ruleset, Reach::default()));
    let question = jail::exists(&jail.name);
    let exists = run::find_program(&question.program).is_some() && run::run(&question)?.ok();
    let described = own::is_there(&jail.conf);
    // On arm64 the jails contain no programs of packages.
    let arch = if own::is_there(format!("{}/usr/local/sbin", jail.root)) { Arch::Amd64 } else { Arch::Arm64 };
    Ok(Some(LeftJail { jail, ruleset, exists, described, arch }))
}

/// The taps of this host that carry chyves' token. Without the tool that lists interfaces, chyves cannot have created any.
fn own_taps(os: Os) -> Result<Vec<OwnTap>> {
    let question = taps::question(os);
    if run::find_program(&question.program).is_none() {
        return Ok(Vec::new());
    }
    taps::read(os, &run::must(&question)?)
}

fn vm_objects() -> Result<BTreeSet<String>> {
    let cant = |e: std::io::Error| Problem::host_cant(format!("cannot read `{VMM}`")).on(VMM).because(e);
    match kernel::names(platform::here().path(VMM)) {
        Ok(names) => Ok(names.iter().map(|name| name.to_string_lossy().into_owned()).collect()),
        // The directory does not exist while there is no VM.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(e) => Err(cant(e)),
    }
}

/// Whether a bhyve process runs the VM, or a loader or bhyve is about to: each names the VM last on its command line.
fn is_worked_on(vm: &str) -> Result<bool> {
    let all = processes::parse_list(&run::must(&processes::list())?)?;
    let named = |command: &String| {
        let mut words = command.split_ascii_whitespace();
        let program = words.next().and_then(|p| p.rsplit('/').next()).unwrap_or_default();
        matches!(program, "bhyve" | "bhyveload" | "grub-bhyve") && words.next_back() == Some(vm)
    };
    Ok(processes::bhyves(&all).contains_key(vm) || all.values().any(named))
}

/// The mounted images of the primary pool.
///
/// # Errors
/// Something cannot be queried or read.
pub fn mounted_images(images: &Dataset) -> Result<Vec<Dataset>> {
    let rows = rows::parse(&run::must(&args::list_mounted(images))?, false)?;
    let mounted = rows.iter().filter(|r| r.native("mounted") == Some("yes") && r.name != images.as_str());
    mounted.map(|r| Ok(r.name.parse()?)).collect()
}
