//! `start`: the host is made ready, then the machine runs under a supervisor; and what is to be done before it runs
//! again.
//!
//! * [`nics`]: what its NICs need of the host's networks
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
use crate::error::{Problem, Result};
use crate::guest::{DiskSpec, Guest, Loader, RunState, Spec, paused, trust};
use crate::launch::Launch;
use crate::os::Intent;
use crate::property::keys;
use crate::property::settings::{Own, Settings};
use crate::value::FilePath;
use crate::vmm::{HostFile, grub};
use crate::world::World;
pub use confinement::wants_jail;
pub(super) use launch::run_dir;
use launch::{Made, log_dir, make};

/// What is wanted and what the moment gives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// What only the moment can tell.
    pub fresh: Fresh,
    /// What it is run for.
    pub occasion: Occasion,
    /// Optical drives, as they were so far in this run.
    pub drives: Vec<Drive>,
    /// The guest's snapshots, where [`super::revert::wanted`] says so.
    pub snapshots: Option<snapshot::Facts>,
    /// The host's networks; where nobody looked, bridges are taken to be there.
    pub network: Option<super::network::Facts>,
}

/// Why a machine is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Occasion {
    /// Somebody starts it.
    #[default]
    Start,
    /// The guest rebooted, for the n-th time since its start.
    Reboot(u32),
    /// It crashed and is to be tried again.
    Crash,
}

/// Whether the guest may be started by this host, and its settings be used that name something on the host.
///
/// # Errors
/// It is foreign, or such a setting is not trusted.
pub fn permitted(world: &World, guest: &Guest) -> Result<()> {
    own_guest(guest)?;
    trust::check(world, guest, "start")
}

/// Renders a guest's settings for the hypervisor of the world's host, as a start would, with nothing of the host inspected.
///
/// # Errors
/// What the settings, or this hypervisor and release, do not allow.
pub(super) fn rendered(world: &World, guest: &Guest, spec: &Spec) -> Result<()> {
    let fresh = Fresh { vnc_port: 5900, secret: "rendered".into(), ruleset: None };
    let request = Request { fresh, ..Request::default() };
    make(world, guest, spec, guest.folder().unwrap_or("/guest"), Ok(firmware::any(spec)), &request).map(drop)
}

/// Plans a start.
///
/// # Errors
/// Whatever keeps the guest from starting: it runs, is a template, is foreign, or the host lacks something.
pub fn start(world: &World, guest: &Guest, request: &Request) -> Result<Plan> {
    permitted(world, guest)?;
    if guest.is_template() {
        return Err(Problem::not_now(format!("`{}` is a template", guest.name))
            .on(&guest.name)
            .hint(format!("clone it: `chyves clone {} NAME`; or make it a guest: `chyves set {} template=no`", guest.name, guest.name)));
    }
    if let RunState::Paused { reason } = &guest.state {
        return Err(paused(&guest.name, &guest.dataset, reason));
    }
    if guest.state.is_alive() {
        return Ok(Plan::nothing(format!("{} is already {}", guest.name, guest.state.word())));
    }
    // Without its key there is nothing of it for the host's checks to find.
    locked::guest(world, guest)?;
    let spec = guest.spec()?;
    let host = &world.host;
    let folder = guest.folder()?;
    let firmware = firmware::of(world, guest, &spec);
    let mut wants = requirements::of(guest, &spec, host, firmware.as_ref().ok().and_then(Option::as_ref), request.occasion)?;
    wants.leave_nodes(request);
    wants.boot_from(&request.drives);
    let mut findings = check::start(host, &wants);
    if request.network.is_some() {
        // Those who looked closer tell it better.
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
    // Before the guest's variables, whose template may lie in one of them.
    for dataset in &made.launch.borrows {
        plan.push(Action::Borrow { dataset: dataset.clone() });
    }
    // A disk that is only read need not be writable; whether it is there was looked at.
    let written = spec.disks.iter().filter(|d| !requirements::is_read_only(d));
    let mut files: Vec<Checked> = written.map(|d| checked_disk(guest, folder, d)).collect();
    if spec.loader == Loader::GrubBhyve && grub::is_own(&guest.settings.value(keys::OS).unwrap_or_default()) {
        let own = |file| Checked { path: FilePath::below(folder, file), what: format!("{file} of `{}`", guest.name), recorded: None };
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

/// A disk that must be there for the guest to run, by its file or device.
pub(super) fn checked_disk(guest: &Guest, folder: &str, disk: &DiskSpec) -> Checked {
    let sync = format!("chyves disk sync {} disk{}", guest.name, disk.number);
    Checked {
        path: disk_file(guest, folder, disk),
        what: format!("disk {} of `{}`", disk.number, guest.name),
        recorded: disk.size.map(|size| (size, sync)),
    }
}

/// The launch alone: what a supervisor asks for at each reboot of its guest. The host is checked again, but for what the
/// guest has for itself until the end of its run: its VM object, taps and screen.
///
/// # Errors
/// As [`start`], but for the machine being alive.
pub fn launch(world: &World, guest: &Guest, request: &Request) -> Result<Ready> {
    permitted(world, guest)?;
    again(world, guest, request)
}

/// The guest with the settings that its last launch was made of.
pub fn as_before(guest: &Guest, last: &Launch) -> Guest {
    let own = last.made_of.iter().map(|(key, value)| (key.clone(), Own { value: value.clone(), received: false })).collect();
    Guest { settings: Settings::new(own, Vec::new()), ..guest.clone() }
}

/// The same for a guest with the settings that it was started with, where the present ones can't be used: `guest` is from
/// [`as_before`], and `why` says what is wrong with the present ones. That they were trusted was made sure of then.
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
    // Where nobody looked at the networks, they are as the start left them.
    if request.network.is_some() {
        plan.notes.extend(attached.notes.iter().cloned());
        plan.steps.extend(attached.steps(&world.host.run_dir));
    }
    Ok(Ready { launch: made.launch, plan, files: made.files, seed: made.seed })
}

/// A launch, and what has to be written before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The launch.
    pub launch: Launch,
    /// What a setting may have brought that was changed since the start: modules, firmware with its variables, networks.
    pub plan: Plan,
    /// Files of the hypervisor's.
    pub files: Vec<HostFile>,
    /// The guest's cloud-init seed.
    pub seed: Option<SeedDisc>,
}

/// What was made, unless something keeps the guest from starting: then all of it at once, and nothing is started.
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
