//! The steps that a VM's supervisor executes: starting, stopping, growing a disk in use.
//!
//! Not here: the protocol ([`crate::control`]) and the supervisor ([`supervise`]).

use super::{Event, Place, disk, files};
use crate::settled::command;
use crate::supervise::{self, Progress, Spawner};
use crate::{control, platform};
use chyves_core::action::{Action, Growth};
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::launch::Launch;
use chyves_core::lifecycle::Force;
use chyves_core::os::freebsd::bhyve;
use std::time::{Duration, Instant};

/// Grows a disk of a running VM. A problem of kind "not now" is a refusal.
pub(super) fn grow_live(step: &Action, place: &mut Place<'_>) -> Result<()> {
    let Action::GrowLive { guest, uuid, dataset, path, by, from, to } = step else { return Ok(()) };
    match by {
        Growth::Asked => {
            // A hypervisor silently drops what is behind the new end.
            disk::no_larger(path, *to)?;
            let target = control::Target { uuid: *uuid, name: guest, dataset };
            control::grow(place.runtime, target, &path.to_string(), *to)?.map_err(|p| Problem { code: Kind::NotNow, ..p })
        }
        Growth::OfFile => files::grow_or_so(path, *from, *to),
        Growth::OfVolume(volume) => {
            disk::volume_has(volume, *from, *to)?;
            step.commands(place.os).iter().try_for_each(|cmd| command(cmd, place))
        }
    }
}

/// How long the node of a VM object may remain after `bhyvectl --destroy` has ended, until the kernel removes it.
const OBJECT_STAYS: Duration = Duration::from_secs(5);

/// Verifies that a VM object is gone. The exit status of bhyvectl does not show it: a failed destruction may end with 0.
pub(super) fn object_is_gone(vm: &str) -> Result<()> {
    let node = bhyve::node(vm);
    let path = platform::here().path(&node);
    let deadline = Instant::now() + OBJECT_STAYS;
    while crate::hostfs::kernel::is_there(&path) {
        if Instant::now() >= deadline {
            return Err(Problem::failed(format!("the VM object {vm} still exists after `{}`", bhyve::destroy(vm)))
                .on(&node)
                .hint(format!("`fstat {node}` shows which process has it open; end that process, then `chyves reclaim`")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Starts a VM under a supervisor; returns the process ids of the supervisor and the hypervisor.
pub(super) fn launch(what: &Launch, place: &mut Place<'_>) -> Result<(u32, u32)> {
    let spawner = Spawner::this_program()?;
    let report = &mut *place.report;
    let started = supervise::spawn(place.runtime, what, &spawner, &mut |progress| match progress {
        Progress::Run(line) if what.is_run_by(&line) => report(Event::Hypervisor(line)),
        Progress::Run(line) => report(Event::Command(line)),
        Progress::Running => {}
    })?;
    Ok((started.supervisor, started.machine))
}

/// Requests a power-off and waits for it; returns how the VM ended.
pub(super) fn stop(target: &control::Target<'_>, timeout: u32, force: bool, place: &mut Place<'_>) -> Result<String> {
    let force = match (force, timeout) {
        (true, 0) => Force::Now,
        (true, _) => Force::AtDeadline,
        (false, _) => Force::Never,
    };
    let how = supervise::How { timeout: Some(timeout), force };
    let spawner = Spawner::this_program()?;
    let report = &mut *place.report;
    // The request is repeated every few seconds, but reported once.
    let mut asked = false;
    let stopped = supervise::stop(place.runtime, *target, how, &spawner, place.interrupted, &mut |progress| {
        if matches!(progress, supervise::StopProgress::Asked) && std::mem::replace(&mut asked, true) {
            return;
        }
        report(Event::Asked(match progress {
            supervise::StopProgress::TakenOver => "its supervisor was not running; a new one has taken over",
            supervise::StopProgress::Asked => "asked to power off",
            supervise::StopProgress::NotYet => {
                "its system has not switched ACPI on yet; waiting, for asking now would power it off forcibly"
            }
            supervise::StopProgress::Forced => "being powered off forcibly",
        }));
    })?;
    Ok(match stopped {
        supervise::Stopped::WasNot => "was off already".to_owned(),
        supervise::Stopped::Gone(how) => how,
    })
}
