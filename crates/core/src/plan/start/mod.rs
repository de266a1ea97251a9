//! `start`: prepares the host and runs the VM under a supervisor; also plans what happens before the VM runs again.
//!
//! * [`nics`]: what the guest's NICs need of the host's networks
//! * [`mod@launch`]: how the hypervisor is run

mod confinement;
mod launch;
mod nics;

use super::drives::Drive;
use super::machine::{self, Fresh, disk_file};
use super::network::attach;
use super::{Plan, firmware, locked, own_guest, requirements, snapshot, whole};
use crate::action::{Action, Checked};
use crate::check::files::OWN_GRUB;
use crate::check::{self, Finding, Severity};
use crate::cloudinit::SeedDisc;
use crate::error::{Code, Problem, Result};
use crate::guest::{DiskSpec, Guest, Loader, RunState, Spec, paused};
use crate::launch::Launch;
use crate::launch::guest_files::LOADER_LIMIT;
use crate::os::Intent;
use crate::property::keys;
use crate::property::settings::{Own, Settings};
use crate::value::{Dataset, FilePath, Size};
use crate::vmm::{HostFile, grub};
use crate::world::World;
pub use confinement::wants_jail;
pub(super) use launch::run_dir;
use launch::{Made, log_dir, make};

/// The request of a start, with the facts it needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// Values that are only known at the moment of the start.
    pub fresh: Fresh,
    /// Why the VM is run.
    pub occasion: Occasion,
    /// The state of the optical drives in this run so far.
    pub drives: Vec<Drive>,
    /// The guest's snapshots, if [`super::revert::wanted`] requires them.
    pub snapshots: Option<snapshot::Facts>,
    /// The host's networks; if they were not read, bridges are assumed to exist.
    pub network: Option<super::network::Facts>,
}

/// Why a VM is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Occasion {
    /// A user starts it.
    #[default]
    Start,
    /// The guest rebooted, for the n-th time since its start.
    Reboot(u32),
    /// The VM crashed and is restarted.
    Crash,
}

/// Whether this host may start the guest, and all its host-reaching settings are trusted.
///
/// # Errors
/// It is foreign, or such a setting is not trusted.
pub fn permitted(world: &World, guest: &Guest) -> Result<()> {
    own_guest(guest)?;
    check::trust::check(world, guest, "start")
}

/// Renders a guest's settings for the hypervisor of the world's host as a start would, without inspecting the host.
///
/// # Errors
/// The settings are invalid, or not supported by this hypervisor and release.
pub(super) fn rendered(world: &World, guest: &Guest, spec: &Spec) -> Result<()> {
    let fresh = Fresh { vnc_port: 5900, secret: "rendered".into(), ruleset: None };
    let request = Request { fresh, ..Request::default() };
    make(world, guest, spec, guest.folder().unwrap_or("/guest"), Ok(firmware::any(spec)), &request).map(drop)
}

/// The error for a guest of whose UUID a VM runs from another dataset.
pub fn twin_runs(guest: &Guest, other: &Dataset) -> Problem {
    Problem::not_now(format!("`{}` cannot run while {} does", guest.name, other.leaf()))
        .on(&guest.name)
        .because(format!("both have the UUID {}, and with it the same MAC addresses and disk serials", guest.uuid))
        .hint(format!("`chyves stop {}` first; or clone without --exact", other.leaf()))
}

/// Plans a start.
///
/// # Errors
/// The guest cannot start: it is running, is a template, is foreign, or the host lacks something.
pub fn start(world: &World, guest: &Guest, request: &Request) -> Result<Plan> {
    permitted(world, guest)?;
    if guest.is_template() {
        return Err(Code::GuestTemplate
            .problem(format!("`{}` is a template", guest.name))
            .on(&guest.name)
            .hint(format!("clone it: `chyves clone {} NAME`; or make it a guest: `chyves set {} template=no`", guest.name, guest.name)));
    }
    if let RunState::Paused { reason } = &guest.state {
        return Err(paused(&guest.name, &guest.dataset, reason));
    }
    if guest.state.is_alive() {
        return Ok(Plan::nothing(format!("{} is already {}", guest.name, guest.state.word())));
    }
    // Without the key of an encrypted guest, the host's checks would find none of its disks.
    locked::guest(world, guest)?;
    let spec = guest.spec()?;
    let host = &world.host;
    let folder = guest.writable()?;
    let firmware = firmware::of(world, guest, &spec);
    let mut wants = requirements::of(guest, &spec, host, firmware.as_ref().ok().and_then(Option::as_ref), request.occasion)?;
    wants.leave_nodes(request);
    wants.boot_from(&request.drives);
    let mut findings = check::start(host, &wants);
    if request.network.is_some() {
        // The detailed inspection reports the same problem more precisely.
        findings.retain(|f| f.what != check::network::WHAT);
    }
    let attached = whole::texts(world, guest).and_then(|()| nics::attached(world, guest, &spec, request));
    let (made, attached) = unless_refused(guest, &findings, make(world, guest, &spec, folder, firmware, request), attached)?;
    let mut plan = Plan::default();
    plan.steps.extend(made.verify);
    plan.notes.extend(made.notes);
    plan.notes.extend(confinement::note(guest, &made.launch.confinement, host));
    plan.notes.extend(findings.iter().map(Finding::line));
    for module in check::modules::missing(&host.state, &wants.modules) {
        plan.push(Action::Host(Intent::LoadModule { module: module.into() }));
    }
    if !guest.mounted {
        plan.push(Action::Mount { dataset: guest.dataset.clone() });
    }
    // Before the guest's variables, because their template may be in one of these images.
    for dataset in &made.launch.borrows {
        plan.push(Action::Borrow { dataset: dataset.clone() });
    }
    // A disk that is opened read-only need not be writable; that it exists was checked before.
    let written = spec.disks.iter().filter(|d| !requirements::is_read_only(d));
    let mut files: Vec<Checked> = written.map(|d| checked_disk(guest, folder, d)).collect();
    if spec.loader == Loader::GrubBhyve && grub::is_own(&guest.settings.value(keys::OS).unwrap_or_default()) {
        let own = |file| Checked {
            path: FilePath::below(folder, file),
            what: format!("{file} of `{}`", guest.name),
            recorded: None,
            most: Some(Size::bytes(LOADER_LIMIT)),
        };
        files.extend(OWN_GRUB.map(own));
    }
    if !files.is_empty() {
        plan.push(Action::CheckFiles { files });
    }
    plan.push(Action::MakeFolder { path: log_dir(folder) });
    plan.steps.extend(made.variables);
    if !made.files.is_empty() || made.seed.is_some() {
        plan.push(Action::MakeFolder { path: run_dir(guest, host).into() });
    }
    plan.steps.extend(made.seed.map(|disc| Action::WriteSeed(Box::new(disc))));
    plan.steps.extend(made.files.into_iter().map(Action::WriteHostFile));
    plan.notes.extend(attached.notes.iter().cloned());
    plan.steps.extend(attached.steps(&host.run_dir));
    plan.push(Action::Launch(Box::new(made.launch)));
    Ok(plan)
}

/// A disk that must be accessible for the guest to run, by its file or device.
pub(super) fn checked_disk(guest: &Guest, folder: &str, disk: &DiskSpec) -> Checked {
    let sync = format!("chyves disk sync {} disk{}", guest.name, disk.number);
    Checked {
        path: disk_file(guest, folder, disk),
        what: format!("disk {} of `{}`", disk.number, guest.name),
        recorded: disk.size.map(|size| (size, sync)),
        most: None,
    }
}

/// Only the launch: the supervisor requests it at each reboot of its guest. The host is checked again, except for resources
/// that the guest holds until the end of its run: its VM object, taps and VNC display.
///
/// # Errors
/// As [`start`], except for a VM that is alive.
pub fn launch(world: &World, guest: &Guest, request: &Request) -> Result<Ready> {
    permitted(world, guest)?;
    again(world, guest, request)
}

/// The guest with the settings that its last launch was made from.
pub fn as_before(guest: &Guest, last: &Launch) -> Guest {
    with_settings(guest, &last.made_of)
}

/// The guest with all these settings.
pub(in crate::plan) fn with_settings(guest: &Guest, made_of: &std::collections::BTreeMap<String, String>) -> Guest {
    let own = made_of.iter().map(|(key, value)| (key.clone(), Own { value: value.clone(), received: false })).collect();
    Guest { settings: Settings::new(own, Vec::new()), ..guest.clone() }
}

/// A launch with the settings that the guest was started with, if the present ones cannot be used: `guest` is from
/// [`as_before`], and `why` is the problem with the present settings. Their trust was checked at the start.
///
/// # Errors
/// As [`launch()`].
pub fn launch_as_before(world: &World, guest: &Guest, request: &Request, why: &Problem) -> Result<Ready> {
    own_guest(guest)?;
    let mut ready = again(world, guest, request)?;
    ready.launch.kept_because = Some(why.to_string());
    Ok(ready)
}

fn again(world: &World, guest: &Guest, request: &Request) -> Result<Ready> {
    let (spec, folder) = (guest.spec()?, guest.folder()?);
    let firmware = firmware::of(world, guest, &spec);
    let mut wants = requirements::of(guest, &spec, &world.host, firmware.as_ref().ok().and_then(Option::as_ref), request.occasion)?;
    wants.leave_nodes(request);
    wants.boot_from(&request.drives);
    let findings = check::start(&world.host, &wants);
    let attached = nics::attached(world, guest, &spec, request);
    let (made, attached) = unless_refused(guest, &findings, make(world, guest, &spec, folder, firmware, request), attached)?;
    let mut plan = Plan { steps: Vec::new(), notes: findings.iter().map(Finding::line).collect() };
    for module in check::modules::missing(&world.host.state, &wants.modules) {
        plan.push(Action::Host(Intent::LoadModule { module: module.into() }));
    }
    plan.steps.extend(made.launch.borrows.iter().map(|dataset| Action::Borrow { dataset: dataset.clone() }));
    plan.steps.extend(made.variables);
    // If the networks were not read, they are assumed to be as the start left them.
    if request.network.is_some() {
        plan.notes.extend(attached.notes.iter().cloned());
        plan.steps.extend(attached.steps(&world.host.run_dir));
    }
    Ok(Ready { launch: made.launch, plan, files: made.files, seed: made.seed })
}

/// A launch, and what has to be prepared before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The launch.
    pub launch: Launch,
    /// Preparations that settings changed since the start may require: modules, firmware with its variables, networks.
    pub plan: Plan,
    /// Files for the hypervisor.
    pub files: Vec<HostFile>,
    /// The guest's cloud-init seed.
    pub seed: Option<SeedDisc>,
}

/// Returns the result, unless problems keep the guest from starting: then all of them are reported at once, and nothing is
/// started.
fn unless_refused(
    guest: &Guest,
    findings: &[Finding],
    made: Result<Made>,
    attached: Result<attach::Attached>,
) -> Result<(Made, attach::Attached)> {
    let mut refusals: Vec<Problem> = findings.iter().filter(|f| f.severity == Severity::Fails).map(Finding::problem).collect();
    match (made, attached) {
        (Ok(made), Ok(attached)) if refusals.is_empty() => return Ok((made, attached)),
        (made, attached) => {
            refusals.extend(attached.err());
            refusals.extend(made.err());
        }
    }
    Err(machine::together(guest, refusals))
}

#[cfg(test)]
mod tests;
