//! `revert_to_snapshot`: a guest that starts each run, or each boot, from the state of a snapshot.
//!
//! The commands run before the hypervisor's command, at a start and at a reboot alike: if one of them fails, the hypervisor
//! is not started, so the guest never runs in a state that was not reverted. Settings keep their present values. Not here:
//! `snapshot rollback`, which can be undone ([`super::snapshot`]).

use super::snapshot::volumes::{self, Volume};
use super::snapshot::{Facts, Seen, find, settings_change, then};
use super::start::Occasion;
use crate::action::Action;
use crate::cmd::Cmd;
use crate::error::{Problem, Result};
use crate::guest::{Guest, Loader, Revert, RevertAt, Spec, settings_copy};
use crate::launch::guest_files::Order;
use crate::launch::{OWN, Prepare, RESTORE};
use crate::pool::Root;
use crate::property::settings::OwnValues;
use crate::value::{Dataset, Size, SnapshotName, SnapshotRef};
use crate::vmm::HostFile;
use crate::world::World;
use crate::zfs::args;
use uuid::Uuid;

/// Time limit of a ZFS rollback in seconds; it frees everything that was written since the snapshot.
const WITHIN: u32 = 600;

/// Time limit of copying in seconds; every byte of the disks is read.
const COPIED_WITHIN: u32 = 6 * 3600;

/// The steps that bring a guest to the state of its snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Steps {
    /// Runs first: checks that the datasets and snapshots are still the ones that were read.
    pub(super) verify: Option<Action>,
    /// Commands to run before the hypervisor.
    pub(super) before: Vec<Prepare>,
    /// Files that they need.
    pub(super) files: Vec<HostFile>,
    /// A remark for the user.
    pub(super) note: Option<String>,
}

/// Whether this start or reboot reverts the guest, so that its snapshots must be read.
///
/// # Errors
/// It would, but no snapshot is named.
pub fn wanted(guest: &Guest, revert: &Revert, occasion: Occasion) -> Result<bool> {
    let due = match (revert.at, occasion) {
        (RevertAt::Off, _) | (_, Occasion::Crash) => false,
        (RevertAt::Start, Occasion::Start) | (RevertAt::Reboot, Occasion::Reboot(_)) | (RevertAt::Both, _) => true,
        (RevertAt::Start, Occasion::Reboot(_)) | (RevertAt::Reboot, Occasion::Start) => false,
    };
    // Reported at the start already, while a user sees the message.
    if revert.at != RevertAt::Off && revert.snapshot.is_none() {
        let name = &guest.name;
        return Err(Problem::not_now(format!("`{name}` is to roll back to a snapshot, and none is named"))
            .on(name)
            .because("revert_to_snapshot_method is set and revert_to_snapshot is not")
            .hint(format!("name it: `chyves set {name} revert_to_snapshot=SNAPSHOT`; `chyves snapshot list {name}` shows them"))
            .hint(format!("or: `chyves set {name} revert_to_snapshot_method=off`")));
    }
    Ok(due)
}

/// The reason why a guest's next start or reboot cannot revert it, as far as its snapshots show;
/// [`reads`] tells whether those are needed.
pub fn hindered(guest: &Guest, revert: &Revert, there: &[Seen]) -> Option<Problem> {
    if let Err(problem) = wanted(guest, revert, Occasion::Start) {
        return Some(problem);
    }
    let name = revert.snapshot.as_ref().filter(|_| revert.at != RevertAt::Off)?;
    find(guest, name, there).err().map(|problem| problem.within(gone(guest, name)).hint(off(guest)))
}

/// Whether a guest reverts to a snapshot, now or later.
pub fn reads(revert: &Revert) -> bool {
    revert.at != RevertAt::Off && revert.snapshot.is_some()
}

fn gone(guest: &Guest, name: &SnapshotName) -> String {
    format!("cannot revert {} to @{name}, as revert_to_snapshot is set", guest.name)
}

fn off(guest: &Guest) -> String {
    format!("or do not revert: `chyves set {} revert_to_snapshot_method=off`", guest.name)
}

/// The settings at a snapshot, if a guest can revert to it as far as they show.
///
/// # Errors
/// The snapshot records none, or a disk would be lost that was added since.
pub fn permitted<'s>(guest: &Guest, name: &SnapshotName, past: Option<&'s OwnValues>) -> Result<&'s OwnValues> {
    let Some(past) = past else {
        return Err(Problem::not_now(format!("cannot revert {} to @{name}: the snapshot does not record its disks", guest.name))
            .on(format!("{}@{name}", guest.name))
            .because("it holds no settings, and a disk that was added since would be destroyed")
            .hint(format!("take a new one: `chyves snapshot {}@NAME`, and set it: `chyves set {0} revert_to_snapshot=NAME`", guest.name))
            .hint(off(guest)));
    };
    then::has_all_disks(guest, name, past, "revert", "destroyed").map_err(|p| {
        p.hint(format!(
            "or take a new snapshot and revert to that: `chyves snapshot {}@NAME`, `chyves set {0} revert_to_snapshot=NAME`",
            guest.name
        ))
        .hint(off(guest))
    })?;
    Ok(past)
}

/// Plans the reversion. `run` is the guest's runtime folder.
///
/// If the snapshot is the newest one, ZFS rolls back to it. Newer snapshots are never destroyed for this: if there are any,
/// the differing blocks are copied from a temporary clone of the snapshot.
///
/// # Errors
/// There is no such snapshot, or a disk would be lost.
pub(super) fn steps(world: &World, guest: &Guest, spec: &Spec, folder: &str, run: &str, facts: &Facts) -> Result<Steps> {
    let host = &world.host;
    let Some(name) = &spec.revert.snapshot else { return Ok(Steps::default()) };
    let off = off(guest);
    let seen = find(guest, name, &facts.there).map_err(|p| p.hint(off.clone()))?;
    let newer: Vec<&str> = facts.there.iter().skip_while(|s| s.name != seen.name).skip(1).map(|s| s.name.as_str()).collect();
    // Checked before anything is reverted: a guest with some disks reverted and others not would be inconsistent.
    let volumes = volumes::all(guest, name, &facts.volumes).map_err(|p| p.hint(off.clone()))?;
    let past = permitted(guest, name, facts.settings.as_ref())?;
    // Settings keep their present values, except the sizes of disks, which are reverted with the disks.
    let settled = then::with_sizes(guest, past)?;
    let mut steps = Steps { verify: Some(Action::Verify { objects: facts.guids.clone() }), ..Steps::default() };
    steps.note = Some(format!("{} goes back to its snapshot {name}: what was written to its disks since is lost", guest.name));
    if newer.is_empty() {
        steps.before.push(must(args::rollback(&guest.dataset.at(name))));
        for volume in volumes {
            steps.before.push(must(args::rollback(&SnapshotRef { dataset: guest.dataset.child(&volume.now), name: name.clone() })));
        }
        // In case the rollback unmounted the file system.
        steps.before.push(may(args::mount(&guest.dataset)));
    } else {
        steps.before = copied(world, guest, name, folder, &volumes, past)?;
        let newer: Vec<String> = newer.iter().map(|newer| format!("@{newer}")).collect();
        let more = if newer.len() > 3 { format!(" and {} more", newer.len() - 3) } else { String::new() };
        let newer = newer.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        let note = format!("what differs is copied, since the newer snapshots {newer}{more} stay");
        steps.note = steps.note.map(|first| format!("{first}; {note}"));
    }
    let resized = settings_change(host.dialect, &guest.dataset, guest.settings.own_values(), &settled);
    for cmd in resized.iter().flat_map(|change| change.commands(host.os)) {
        steps.before.push(must(cmd));
    }
    // The copy of the settings was reverted too and has to be updated to the present settings.
    let copy = format!("{run}/config.toml");
    // A snapshot from before the first start contains no firmware variables and no log folder.
    let variables = host.uefi.as_ref().filter(|_| spec.loader == Loader::Uefi).map(|(_, vars)| vars.clone());
    steps.before.push(must(Order::Refill { folder: folder.to_owned(), settings: copy.clone(), variables }.cmd()));
    steps.files.push(HostFile { path: copy, text: settings_copy(&settled), mode: 0o600, secret: false });
    Ok(steps)
}

fn must(cmd: Cmd) -> Prepare {
    Prepare { cmd, may_fail: false, timeout: WITHIN, loads: false }
}

fn may(cmd: Cmd) -> Prepare {
    Prepare { cmd, may_fail: true, timeout: 30, loads: false }
}

/// The name prefix of the temporary clone that is copied from.
const WORK: &str = "revert-";

/// The temporary clone of a snapshot that a guest is copied from while it reverts.
pub fn work(root: &Root, uuid: Uuid) -> Dataset {
    root.trash().child(format!("{WORK}{uuid}"))
}

/// The guest that such a temporary clone belongs to.
pub fn of_work(dataset: &Dataset) -> Option<Uuid> {
    dataset.leaf().strip_prefix(WORK)?.parse().ok()
}

/// The commands that copy the differing blocks from a clone of the snapshot. If they are killed, the clone remains and the
/// next run removes it.
fn copied(world: &World, guest: &Guest, name: &SnapshotName, folder: &str, volumes: &[Volume], past: &OwnValues) -> Result<Vec<Prepare>> {
    let work = work(world.root_on(guest.root.pool())?, guest.uuid);
    let place = then::work_folder(world, &work)?;
    let own = |more: &[&str]| {
        let below = volumes.iter().flat_map(|v| ["--below", v.then.as_str()]);
        Cmd::new(OWN, [RESTORE, "--work", work.as_str()].into_iter().chain(below).chain(more.iter().copied()))
    };
    let restore = |from: &str, to: &str| Prepare { timeout: COPIED_WITHIN, ..must(own(&["--from", from, "--to", to])) };
    let mut all = vec![may(own(&[]))];
    all.push(must(args::clone(&guest.dataset.at(name), &work, &[("canmount", "noauto"), ("readonly", "on")], &[])));
    for volume in volumes {
        let from = SnapshotRef { dataset: guest.dataset.child(&volume.now), name: name.clone() };
        all.push(must(args::clone(&from, &work.child(&volume.then), &[("volmode", "dev"), ("readonly", "on")], &[])));
    }
    // Some ZFS implementations mount a clone automatically; the commands check that it is mounted before they copy
    // anything.
    all.push(may(args::mount(&work)));
    all.push(may(args::mount(&guest.dataset)));
    all.push(restore(&place, folder));
    for volume in volumes {
        let present = guest.dataset.child(&volume.now);
        let recorded = |own: &OwnValues, disk: &str| own.get(&format!("{disk}.size")).and_then(|own| own.value.parse::<Size>().ok());
        // A volume that was resized since the snapshot is resized back first.
        if let Some(size) = recorded(past, &volume.then).filter(|size| recorded(guest.settings.own_values(), &volume.now) != Some(*size)) {
            all.push(must(args::resize_volume(&present, size)));
        }
        all.push(restore(&format!("/dev/zvol/{}", work.child(&volume.then)), &format!("/dev/zvol/{present}")));
    }
    all.push(may(own(&[])));
    Ok(all)
}

/// Refuses to destroy the snapshot that a guest reverts to.
///
/// # Errors
/// It is among `doomed`.
pub(super) fn keeps(guest: &Guest, doomed: &[SnapshotName]) -> Result<()> {
    // A guest with invalid settings reverts to nothing.
    let Ok(Spec { revert, .. }) = guest.spec() else { return Ok(()) };
    match revert.snapshot.filter(|name| revert.at != RevertAt::Off && doomed.contains(name)) {
        None => Ok(()),
        Some(name) => Err(Problem::not_now(format!("cannot destroy {0}@{name}: {0} reverts to it at its starts or reboots", guest.name))
            .on(format!("{}@{name}", guest.name))
            .hint(format!("choose another snapshot for that: `chyves set {} revert_to_snapshot=NAME`", guest.name))
            .hint(format!("or let it revert no more: `chyves set {} revert_to_snapshot_method=off`", guest.name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::snapshot::testing::seen;
    use crate::plan::start::{self, Request};
    use crate::plan::testing;

    fn request(there: &[&str], occasion: Occasion) -> Request {
        let settings = Some(testing::own(&KIOSK[..4]));
        Request {
            occasion,
            snapshots: Some(Facts { there: seen(there), volumes: vec!["disk1".into()], settings, ..Facts::default() }),
            ..Request::default()
        }
    }

    const KIOSK: &[(&str, &str)] = &[
        ("loader", "uefi"),
        ("disk0.kind", "raw"),
        ("disk1.kind", "zvol"),
        ("disk1.size", "1G"),
        ("revert_to_snapshot", "clean"),
        ("revert_to_snapshot_method", "both"),
    ];

    #[test]
    fn going_back_stands_before_everything_that_runs() {
        let g = testing::guest("web01", KIOSK);
        let world = testing::world(vec![g.clone()]);
        let start::Ready { launch, files, .. } = start::launch(&world, &g, &request(&["old", "clean"], Occasion::Reboot(3))).unwrap();
        assert!(launch.frees_logs);
        let lines: Vec<String> = launch.before.iter().map(|p| format!("{}{}", if p.may_fail { "-" } else { "" }, p.cmd)).collect();
        assert_eq!(
            lines,
            [
                "zfs rollback tank/chyves/guests/web01@clean",
                "zfs rollback tank/chyves/guests/web01/disk1@clean",
                "-zfs mount tank/chyves/guests/web01",
                &format!("chyves _guest-files refill /tank/chyves/guests/web01 /run/chyves/{}/config.toml /fw/VARS.fd", g.uuid),
            ]
        );
        assert!(files.iter().any(|f| f.path.ends_with("/config.toml") && f.text.contains("revert_to_snapshot")));
    }

    #[test]
    fn no_disk_that_came_later_is_destroyed_and_sizes_go_back() {
        let mut more = KIOSK.to_vec();
        more.push(("disk2.kind", "raw"));
        let g = testing::guest("web01", &more);
        let world = testing::world(vec![g.clone()]);
        for occasion in [Occasion::Start, Occasion::Reboot(1)] {
            let problem = start::launch(&world, &g, &request(&["clean"], occasion)).unwrap_err();
            assert!(problem.message.contains("disk2 was added after that snapshot and would be destroyed"), "{problem:?}");
            assert!(problem.hints.iter().any(|h| h.contains("chyves disk remove web01 disk2")), "{problem:?}");
        }
        // If the settings at the snapshot are unknown, nothing is destroyed.
        let g = testing::guest("web01", KIOSK);
        let mut unknown = request(&["clean"], Occasion::Start);
        if let Some(facts) = &mut unknown.snapshots {
            facts.settings = None;
        }
        assert!(start::launch(&world, &g, &unknown).unwrap_err().message.contains("does not record its disks"));
        let mut larger = KIOSK.to_vec();
        larger[3] = ("disk1.size", "2G");
        let g = testing::guest("web01", &larger);
        let ready = start::launch(&world, &g, &request(&["clean"], Occasion::Reboot(1))).unwrap();
        assert!(
            ready.launch.before.iter().any(|p| !p.may_fail && p.cmd.to_string() == "zfs set chyves:disk1.size=1G tank/chyves/guests/web01")
        );
        assert!(ready.files.iter().any(|f| f.text.contains("\"disk1.size\" = \"1G\"")));
    }

    #[test]
    fn each_method_has_its_moments() {
        let at = |method: &str, occasion| {
            let mut settings = KIOSK.to_vec();
            settings[5].1 = method;
            let g = testing::guest("web01", &settings);
            wanted(&g, &g.spec().unwrap().revert, occasion).unwrap()
        };
        let all = |method| [at(method, Occasion::Start), at(method, Occasion::Reboot(1)), at(method, Occasion::Crash)];
        assert_eq!(all("off"), [false, false, false]);
        assert_eq!(all("start"), [true, false, false]);
        assert_eq!(all("reboot"), [false, true, false]);
        assert_eq!(all("both"), [true, true, false]);
    }

    #[test]
    fn nothing_newer_is_destroyed() {
        let g = testing::guest("web01", KIOSK);
        let world = testing::world(vec![g.clone()]);
        let mut with_new = KIOSK.to_vec();
        with_new.push(("disk2.kind", "zvol"));
        let new = start::start(&world, &testing::guest("web01", &with_new), &request(&["clean"], Occasion::Start)).unwrap_err();
        assert!(new.message.contains("no disk2") && new.hints.len() == 2, "{new:?}");
        // Later snapshots of a clone, of sanoid or of a user are kept, and the differing blocks are copied.
        let start::Ready { launch, .. } =
            start::launch(&world, &g, &request(&["clean", "clone-1", "autosnap_2"], Occasion::Reboot(1))).unwrap();
        let lines: Vec<String> = launch.before.iter().map(|p| format!("{}{}", if p.may_fail { "-" } else { "" }, p.cmd)).collect();
        let work = format!("tank/chyves/trash/revert-{}", g.uuid);
        assert_eq!(
            lines[..9],
            [
                format!("-chyves _restore --work {work} --below disk1"),
                format!("zfs clone -o canmount=noauto -o readonly=on tank/chyves/guests/web01@clean {work}"),
                format!("zfs clone -o volmode=dev -o readonly=on tank/chyves/guests/web01/disk1@clean {work}/disk1"),
                format!("-zfs mount {work}"),
                "-zfs mount tank/chyves/guests/web01".to_owned(),
                format!("chyves _restore --work {work} --below disk1 --from /{work} --to /tank/chyves/guests/web01"),
                format!(
                    "chyves _restore --work {work} --below disk1 --from /dev/zvol/{work}/disk1 --to /dev/zvol/tank/chyves/guests/web01/disk1"
                ),
                format!("-chyves _restore --work {work} --below disk1"),
                format!("chyves _guest-files refill /tank/chyves/guests/web01 /run/chyves/{}/config.toml /fw/VARS.fd", g.uuid),
            ]
        );
        let missing = start::start(&world, &g, &request(&["claen"], Occasion::Start)).unwrap_err();
        assert_eq!(missing.code.exit_code(), 3);
        assert!(missing.hints.iter().any(|h| h.contains("revert_to_snapshot_method=off")), "{missing:?}");
        // The snapshot that the guest reverts to is kept.
        assert!(keeps(&g, &["other".parse().unwrap()]).is_ok());
        assert!(keeps(&g, &["clean".parse().unwrap()]).unwrap_err().hints[1].contains("revert_to_snapshot_method=off"));
        let mut settings = KIOSK.to_vec();
        settings.remove(4);
        let g = testing::guest("web01", &settings);
        assert!(wanted(&g, &g.spec().unwrap().revert, Occasion::Start).unwrap_err().message.contains("none is named"));
    }
}
