//! Looking for what dead machines left: folders, taps, VM objects, mounted images. Looking only; what is put away is
//! decided in core's `plan::reclaim`.

#![allow(clippy::disallowed_methods)] // devices, programs and /proc of the host are inspected

use crate::runtime::Runtime;
use crate::{platform, run};
use chyves_core::error::{Problem, Result};
use chyves_core::launch::Control;
use chyves_core::os::Os;
use chyves_core::os::freebsd::processes;
use chyves_core::os::taps::{self, OwnTap};
use chyves_core::plan::reclaim::Left;
use chyves_core::value::Dataset;
use chyves_core::zfs::{args, rows};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Where bhyve's VM objects are.
const VMM: &str = "/dev/vmm";

/// What was found, by the identity of the guest.
///
/// # Errors
/// What can't be asked or read.
pub fn look(rt: &Runtime, os: Os) -> Result<BTreeMap<Uuid, Left>> {
    let mut found: BTreeMap<Uuid, Left> = BTreeMap::new();
    let objects = match os {
        Os::FreeBsd => vm_objects()?,
        Os::Linux => BTreeSet::new(),
    };
    for (uuid, record) in rt.folders()? {
        let left = found.entry(uuid).or_default();
        left.alive = rt.is_held(uuid)?;
        left.folder = !left.alive;
        left.machine = record.as_ref().and_then(|r| r.machine.as_ref()).map(|m| m.pid);
        if let Some(Control::Bhyve { vm }) = record.map(|r| r.launch.control)
            && objects.contains(&vm)
        {
            let busy = is_worked_on(&vm)?;
            left.vms.push((vm, busy));
        }
    }
    for tap in own_taps(os)? {
        found.entry(tap.guest).or_default().taps.push(tap);
    }
    Ok(found)
}

/// The taps of this host that bear our token. A host that can't be asked for its interfaces has none of ours: without the
/// tool none was made.
fn own_taps(os: Os) -> Result<Vec<OwnTap>> {
    let question = taps::question(os);
    if run::find_program(&question.program).is_none() {
        return Ok(Vec::new());
    }
    taps::read(os, &run::must(&question)?)
}

fn vm_objects() -> Result<BTreeSet<String>> {
    let cant = |e: std::io::Error| Problem::host_cant(format!("can't read `{VMM}`")).on(VMM).because(e);
    match std::fs::read_dir(platform::here().path(VMM)) {
        Ok(entries) => entries.map(|e| Ok(e.map_err(cant)?.file_name().to_string_lossy().into_owned())).collect(),
        // It is not there while there is no VM.
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(e) => Err(cant(e)),
    }
}

/// Whether a bhyve runs the VM, or a loader or bhyve is about to: those name it last on their command line.
fn is_worked_on(vm: &str) -> Result<bool> {
    let all = processes::parse_list(&run::must(&processes::list())?)?;
    let named = |command: &String| {
        let mut words = command.split_ascii_whitespace();
        let program = words.next().and_then(|p| p.rsplit('/').next()).unwrap_or_default();
        matches!(program, "bhyve" | "bhyveload" | "grub-bhyve") && words.next_back() == Some(vm)
    };
    Ok(processes::bhyves(&all).contains_key(vm) || all.values().any(named))
}

/// The images of the primary pool that are mounted.
///
/// # Errors
/// What can't be asked or read.
pub fn mounted_images(images: &Dataset) -> Result<Vec<Dataset>> {
    let rows = rows::parse(&run::must(&args::list_mounted(images))?, false)?;
    let mounted = rows.iter().filter(|r| r.native("mounted") == Some("yes") && r.name != images.as_str());
    mounted.map(|r| Ok(r.name.parse()?)).collect()
}

/// Folders of the runtime folder whose record can't be read and in which nothing lives: until they are gone, nothing can
/// be told of any guest.
///
/// # Errors
/// The runtime folder can't be read.
pub fn unreadable(rt: &Runtime) -> Result<Vec<Uuid>> {
    rt.unreadable()?.into_iter().filter_map(|uuid| rt.is_held(uuid).map(|held| (!held).then_some(uuid)).transpose()).collect()
}
