//! The checks of a host: its facts, its pools, and what guests need that is not as recorded.

use crate::Engine;
use chyves_core::catalogue::Catalogue;
use chyves_core::check::{Finding, host, servers, settings};
use chyves_core::error::Problem;
use chyves_core::guest::{Guest, RevertAt, Spec};
use chyves_core::image::{Image, Stored};
use chyves_core::network::compare::{Close, Difference};
use chyves_core::plan::disk::found::{self, Found};
use chyves_core::plan::network::apply;
use chyves_core::plan::{self, firmware, revert};
use chyves_core::property::keys::DiskKey;
use chyves_core::value::Dataset;
use chyves_core::vmm::Vmm;
use chyves_core::world::World;
use chyves_core::zfs::guard::FileSystem;
use chyves_host::apply::recover;
use chyves_host::observe::names::Names;
use chyves_host::observe::{Look, Which, snapshots};
use chyves_host::{accel, catalogue, facts, network, observe};
use std::collections::HashMap;

/// Checks the host, or the facts that were stated for another host.
pub(super) fn look(engine: &Engine) -> Vec<Finding> {
    let (known, unreadable) = match catalogue::in_force().map_err(|problem| (Catalogue::built_in(), problem)) {
        Ok(known) => (Some(known), None),
        Err((known, problem)) => (known.ok(), Some(problem)),
    };
    let advisories = known.as_ref().map(|all| all.advisories.as_slice()).unwrap_or_default();
    let issued = known.as_ref().map(|all| all.issued.as_str()).unwrap_or_default();
    let known = host::Known { advisories, issued, age: known.as_ref().and_then(age) };
    let mut all = of_host(engine, &known);
    all.extend(unreadable.map(|problem| problem.hints.iter().fold(Finding::fails("catalogue", problem.to_string()), Finding::cure)));
    all
}

fn of_host(engine: &Engine, known: &host::Known<'_>) -> Vec<Finding> {
    if let Some(stated) = &engine.facts {
        return host::host(stated, known);
    }
    let mut found = facts::host(engine.runtime.root());
    facts::for_doctor(&engine.runtime, &mut found);
    if found.vmm == Vmm::Qemu {
        let kvm = accel::kvm(&engine.runtime, facts::QEMU);
        found.kvm = if kvm.works { Ok(()) } else { Err(kvm.reason) };
    }
    let mut findings = host::host(&found, known);
    let roots = observe::roots();
    findings.extend(servers::host(&found, &network::design()));
    let left = recover::dead(&engine.runtime, None);
    let dead: Vec<String> = left.iter().flat_map(|found| &found.dead).map(recover::Dead::describe).collect();
    findings.extend(host::journals(left.as_ref().map(|found| (dead.as_slice(), found.unreadable.as_slice()))));
    findings.extend(host::pools(roots.as_ref().map(|(roots, odd)| (roots.as_slice(), odd.as_slice()))));
    let (roots, odd) = match roots {
        Ok((roots, odd)) => {
            findings.extend(settings::host(&roots));
            (roots, odd)
        }
        Err(_) => (Vec::new(), Vec::new()),
    };
    let own: Vec<Dataset> = roots.iter().filter(|root| !root.is_copy()).map(|root| root.dataset.clone()).collect();
    let file_systems = observe::pool::file_systems(&own);
    findings.extend(unguarded(&own, file_systems.as_deref()));
    findings.extend(drifted(engine, &odd, &file_systems.unwrap_or_default()));
    findings
}

/// File systems on a pool of this host that lack properties which protect the host from their files; one finding per pool. A
/// received copy gets them when it is adopted.
fn unguarded(own: &[Dataset], found: Result<&[FileSystem], &Problem>) -> Vec<Finding> {
    const NAMED: usize = 3;
    let what = "file systems";
    let found = match found {
        Ok(found) => found,
        Err(problem) => return vec![Finding::unknown(what, problem.to_string())],
    };
    let mut all = Vec::new();
    for root in own {
        let mine: Vec<_> = found.iter().filter(|fs| !fs.lacks.is_empty() && fs.name.starts_with(&format!("{root}/"))).collect();
        if mine.is_empty() {
            continue;
        }
        let named = mine.iter().take(NAMED).map(|fs| format!("{} ({})", fs.name, fs.lacks.join(", "))).collect::<Vec<_>>().join(", ");
        let more = mine.len().checked_sub(NAMED).filter(|more| *more > 0).map(|more| format!(" and {more} more")).unwrap_or_default();
        all.push(
            Finding::warns(what, format!("what is in them can act on this host, since these are on: {named}{more}"))
                .cure(format!("`chyves pool upgrade {}` switches them off", root.pool())),
        );
    }
    if all.is_empty() && !own.is_empty() {
        all.push(Finding::ok(what, "those of guests and images have setuid=off, devices=off and exec=off"));
    }
    all
}

/// What guests need that is not as recorded. If guests cannot be read, the checks of the pools have reported it, as they have
/// what is `known`.
fn drifted(engine: &Engine, known: &[Problem], file_systems: &[FileSystem]) -> Vec<Finding> {
    let look = Look { guests: Which::All, images: Which::All, ..Look::default() };
    let Ok(mut world) = observe::world(&engine.runtime, &look) else { return Vec::new() };
    // The values that a guest inherits from above its root are not among what was read of all guests.
    let place: HashMap<&str, &FileSystem> = file_systems.iter().map(|fs| (fs.name.as_str(), fs)).collect();
    for guest in &mut world.guests {
        let Some(fs) = place.get(guest.dataset.as_str()) else { continue };
        (guest.readonly, guest.canmount) = (fs.readonly, Some(fs.canmount.clone()));
    }
    let nics = nics(engine, &mut world);
    let guests = || world.guests.iter();
    let mut findings: Vec<Finding> = guests().filter_map(|guest| firmware::missing(&world, guest)).map(|p| of_guest("images", p)).collect();
    // Stored values that their properties do not allow: by `zfs set`, or from another version.
    findings.extend(guests().filter_map(|guest| guest.spec().err()).map(|problem| of_guest("settings", problem)));
    findings.extend(world.oddities.iter().filter(|odd| !known.contains(odd)).cloned().map(|odd| of_guest("datasets", odd)));
    findings.extend(guests().filter_map(|guest| guest.writable().err()).map(|problem| of_guest("datasets", problem)));
    findings.extend(hidden(&world));
    findings.extend(lost_snapshots(&world));
    findings.extend(drifted_images(&world));
    findings.extend(drifted_disks(engine, &world));
    findings.extend(nics);
    findings
}

/// Guests in groups that are not read: no command finds them, nor does a shutdown stop those that run.
fn hidden(world: &World) -> Vec<Finding> {
    let hidden = match Names::read(world).and_then(|names| names.hidden()) {
        Ok(hidden) => hidden,
        Err(problem) => return vec![Finding::unknown("groups", problem.to_string())],
    };
    let Some(levels) = hidden.iter().map(|(_, levels)| *levels).max() else { return Vec::new() };
    let named: Vec<&str> = hidden.iter().map(|(place, _)| place.as_str()).collect();
    let cause = format!("guests in groups that are not read, so that no command finds them: {}", named.join(", "));
    vec![Finding::warns("groups", cause).cure(format!("`chyves set global group_levels={levels}` shows them"))]
}

/// NICs of guests that are not in their bridges, or have none.
fn nics(engine: &Engine, world: &mut World) -> Vec<Finding> {
    // Without a primary pool, which is reported by itself, nothing says which bridges are configured.
    if world.primary().is_err() || observe::global(world).is_err() {
        return Vec::new();
    }
    let one = |difference: Difference| {
        let finding = Finding::warns("network", format!("{}: {}", difference.object, difference.says));
        match difference.close {
            Close::By(_) => finding.cure("`chyves network apply`"),
            Close::Cant(problem) => problem.hints.into_iter().fold(finding, Finding::cure),
        }
    };
    match engine.networks(world, false) {
        Ok(facts) => apply::nics(world, &facts).into_iter().map(one).collect(),
        Err(problem) => vec![Finding::unknown("network", problem.to_string())],
    }
}

/// Guests that are to revert to a snapshot that is gone.
fn lost_snapshots(world: &World) -> Vec<Finding> {
    let reverting: Vec<(&Guest, Spec)> = world.guests.iter().filter_map(|guest| Some((guest, guest.spec().ok()?))).collect();
    let reverting: Vec<_> = reverting.into_iter().filter(|(_, spec)| spec.revert.at != RevertAt::Off).collect();
    let guests: Vec<&Guest> = reverting.iter().map(|(guest, _)| *guest).collect();
    match snapshots::of_guests(world.host.dialect, &guests) {
        Ok(there) => {
            let all = reverting.iter().zip(&there).filter_map(|((guest, spec), there)| revert::hindered(guest, &spec.revert, there));
            all.map(|problem| of_guest("snapshots", problem)).collect()
        }
        Err(problem) => vec![Finding::unknown("snapshots", problem.to_string())],
    }
}

/// Images that are not stored as chyves stores them.
fn drifted_images(world: &World) -> Vec<Finding> {
    let lost = match observe::pool::without_snapshot(world.host.dialect, &world.images) {
        Ok(lost) => lost,
        Err(problem) => return vec![Finding::unknown("images", problem.to_string())],
    };
    let problems = world.images.iter().flat_map(|image| {
        let stored = Stored { ready: Some(!lost.contains(&image)), ..image.stored.clone() };
        plan::image::drifted(&Image { stored, ..image.clone() })
    });
    problems.map(|problem| of_guest("images", problem)).collect()
}

/// A problem of one guest, with its cures.
fn of_guest(what: &str, problem: Problem) -> Finding {
    let cause = problem.causes.iter().fold(problem.message, |text, cause| format!("{text}: {cause}"));
    problem.hints.iter().fold(Finding::warns(what, cause), Finding::cure)
}

/// Disks that differ from what is recorded.
fn drifted_disks(engine: &Engine, world: &World) -> Vec<Finding> {
    let guests: Vec<&Guest> = world.guests.iter().collect();
    let disks = match engine.disks_of_all(&guests) {
        Ok(disks) => disks,
        Err(problem) => return vec![Finding::unknown("disks", problem.to_string())],
    };
    let mut all = Vec::new();
    let (mut read, mut unread) = (0, 0);
    for (guest, disks) in guests.iter().zip(&disks) {
        for stray in found::strays(guest, disks) {
            all.push(Finding::warns("disks", stray.cause()).cure(stray.cure()));
        }
        for record in guest.disk_records() {
            // Reported as an invalid setting.
            if record.lacks(DiskKey::Kind) || record.lacks(DiskKey::Size) {
                continue;
            }
            let disk = record.disk;
            let seen = found::of(disks, disk.number);
            if matches!(seen, Found::Unknown(_)) {
                unread += 1;
                continue;
            }
            read += 1;
            let Some(how) = seen.differs(&disk) else { continue };
            let finding = Finding::warns("disks", format!("disk{} of {}: {how}", disk.number, guest.name));
            // The error about a missing disk has its own hints.
            let cures = seen.size(guest, &disk).err().map(|problem| problem.hints).unwrap_or_default();
            let sync = format!("`chyves disk sync {} disk{}` records what it is", guest.name, disk.number);
            all.push(if cures.is_empty() { finding.cure(sync) } else { cures.into_iter().fold(finding, Finding::cure) });
        }
    }
    if all.is_empty() && read + unread > 0 {
        let rest = if unread == 0 { String::new() } else { format!("; {unread} are in file systems that are not mounted") };
        all.push(Finding::ok("disks", format!("{read} are as recorded{rest}")));
    }
    all
}

/// Age of a catalogue in days.
pub fn age(catalogue: &Catalogue) -> Option<i64> {
    let made: jiff::Timestamp = format!("{}T00:00:00Z", catalogue.issued).parse().ok()?;
    Some((jiff::Timestamp::now().as_second() - made.as_second()) / 86_400)
}
