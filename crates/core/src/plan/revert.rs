//! `revert_to_snapshot`: a guest that begins each run, or each boot, as a snapshot has it.
//!
//! The commands stand before the hypervisor's in its launch, at a start and at a reboot alike, so that the machine never
//! runs what was not reverted: where one of them fails, it does not run. Settings stay as they are now.
//! Not here: `snapshot rollback`, which can be taken back ([`super::snapshot`]).

use super::copy_path;
use super::machine::vars_path;
use super::snapshot::{Facts, find, settings_change, then, volumes};
use super::start::Occasion;
use crate::action::Action;
use crate::cmd::Cmd;
use crate::error::{Problem, Result};
use crate::guest::{Guest, Loader, Revert, RevertAt, Spec, settings_copy};
use crate::launch::Prepare;
use crate::value::SnapshotRef;
use crate::vmm::HostFile;
use crate::world::HostFacts;
use crate::zfs::args;

/// Seconds that going back may take: it frees what was written since.
const WITHIN: u32 = 600;

/// What has to be done so that a guest begins as its snapshot has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Steps {
    /// Before everything else: names still mean what was looked at.
    pub(super) verify: Option<Action>,
    /// Commands before the hypervisor.
    pub(super) before: Vec<Prepare>,
    /// Files that they need.
    pub(super) files: Vec<HostFile>,
    /// What a person should know.
    pub(super) note: Option<String>,
}

/// Whether this start or reboot goes back to the snapshot, so that its snapshots must be looked at.
///
/// # Errors
/// It would, and no snapshot is named.
pub fn wanted(guest: &Guest, revert: &Revert, occasion: Occasion) -> Result<bool> {
    let due = match (revert.at, occasion) {
        (RevertAt::Off, _) | (_, Occasion::Crash) => false,
        (RevertAt::Start, Occasion::Start) | (RevertAt::Reboot, Occasion::Reboot(_)) | (RevertAt::Both, _) => true,
        (RevertAt::Start, Occasion::Reboot(_)) | (RevertAt::Reboot, Occasion::Start) => false,
    };
    // Told at the start already, where somebody is there to hear it.
    if revert.at != RevertAt::Off && revert.snapshot.is_none() {
        let name = &guest.name;
        return Err(Problem::not_now(format!("`{name}` is to go back to a snapshot, and none is named"))
            .on(name)
            .because("revert_to_snapshot_method is set and revert_to_snapshot is not")
            .hint(format!("name it: `chyves set {name} revert_to_snapshot=SNAPSHOT`; `chyves snapshot list {name}` shows them"))
            .hint(format!("or: `chyves set {name} revert_to_snapshot_method=off`")));
    }
    Ok(due)
}

/// Plans the return. `run` is the guest's runtime folder.
///
/// # Errors
/// There is no such snapshot, or newer ones would have to be destroyed; those are named.
pub(super) fn steps(guest: &Guest, spec: &Spec, host: &HostFacts, folder: &str, run: &str, facts: &Facts) -> Result<Steps> {
    let Some(name) = &spec.revert.snapshot else { return Ok(Steps::default()) };
    let seen = find(guest, name, &facts.there)?;
    let newer: Vec<String> =
        facts.there.iter().skip_while(|s| s.name != seen.name).skip(1).map(|s| format!("{}@{}", guest.name, s.name)).collect();
    if !newer.is_empty() {
        return Err(Problem::not_now(format!("`{}` can't go back to its snapshot `{name}`: newer ones would be destroyed", guest.name))
            .on(format!("{}@{name}", guest.name))
            .because(newer.join(", "))
            .hint(format!("delete them: chyves snapshot delete {}", newer.join(" ")))
            .hint(format!("or go back to the newest: `chyves set {} revert_to_snapshot={}`", guest.name, newest(&facts.there)))
            .hint(format!("or don't go back: `chyves set {} revert_to_snapshot_method=off`", guest.name)));
    }
    // Looked at before anything goes back: a guest with one half of then and one of now is nothing.
    let off = format!("or don't go back: `chyves set {} revert_to_snapshot_method=off`", guest.name);
    let volumes = volumes::all(guest, name, &facts.volumes).map_err(|p| p.hint(off.clone()))?;
    let Some(past) = &facts.settings else {
        return Err(Problem::not_now(format!("cannot revert {} to @{name}: nothing tells which disks the snapshot holds", guest.name))
            .on(format!("{}@{name}", guest.name))
            .because("it holds no settings, and a disk that was added since would be destroyed")
            .hint(format!("take a new one: `chyves snapshot {}@NAME`, and set it: `chyves set {0} revert_to_snapshot=NAME`", guest.name))
            .hint(off));
    };
    then::has_all_disks(guest, name, past, "revert", "destroyed").map_err(|p| {
        p.hint(format!(
            "or take a new snapshot and revert to that: `chyves snapshot {}@NAME`, `chyves set {0} revert_to_snapshot=NAME`",
            guest.name
        ))
        .hint(off)
    })?;
    // Settings stay as they are, but for the sizes of disks, which go back with the disks.
    let settled = then::with_sizes(guest, past)?;
    let must = |cmd| Prepare { cmd, may_fail: false, timeout: WITHIN, loads: false };
    let may = |cmd| Prepare { cmd, may_fail: true, timeout: 30, loads: false };
    let mut steps = Steps { verify: Some(Action::Verify { objects: facts.guids.clone() }), ..Steps::default() };
    let own = SnapshotRef { dataset: guest.dataset.clone(), name: name.clone() };
    steps.before.push(must(args::rollback(&own)));
    for volume in volumes {
        steps.before.push(must(args::rollback(&SnapshotRef { dataset: guest.dataset.child(&volume.now), name: name.clone() })));
    }
    // Where going back took the mount with it.
    steps.before.push(may(args::mount(&guest.dataset)));
    steps.before.push(must(Cmd::new("mkdir", ["-m", "0700", "-p", &format!("{folder}/logs")])));
    if let (Loader::Uefi, Some((_, vars))) = (spec.loader, &host.uefi) {
        // A snapshot from before the first start has none yet. Some cp(1) call it a failure that the file is there.
        steps.before.push(may(Cmd::new("cp", ["-n", vars, &vars_path(folder).to_string()])));
    }
    let resized = settings_change(host.dialect, &guest.dataset, guest.settings.own_values(), &settled);
    for cmd in resized.iter().flat_map(|change| change.commands(host.os)) {
        steps.before.push(must(cmd));
    }
    // The copy of the settings went back too; it has to say what holds now.
    let copy = format!("{run}/config.toml");
    // The name may be a link to a file of the host in the snapshot: cp(1) would follow it.
    steps.before.push(must(Cmd::new("rm", ["-f", &copy_path(folder).to_string()])));
    steps.before.push(must(Cmd::new("cp", [&copy, &copy_path(folder).to_string()])));
    steps.files.push(HostFile { path: copy, text: settings_copy(&settled), mode: 0o600, secret: false });
    steps.note = Some(format!("{} goes back to its snapshot {name}: what was written to its disks since is lost", guest.name));
    Ok(steps)
}

fn newest(there: &[super::snapshot::Seen]) -> &str {
    there.last().map_or("", |s| s.name.as_str())
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
                "mkdir -m 0700 -p /tank/chyves/guests/web01/logs",
                "-cp -n /fw/VARS.fd /tank/chyves/guests/web01/uefi-vars.fd",
                "rm -f /tank/chyves/guests/web01/config.toml",
                &format!("cp /run/chyves/{}/config.toml /tank/chyves/guests/web01/config.toml", g.uuid),
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
        // Where nothing tells what the snapshot holds, nothing is destroyed either.
        let g = testing::guest("web01", KIOSK);
        let mut unknown = request(&["clean"], Occasion::Start);
        if let Some(facts) = &mut unknown.snapshots {
            facts.settings = None;
        }
        assert!(start::launch(&world, &g, &unknown).unwrap_err().message.contains("nothing tells which disks"));
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
        let why = |there: &[&str]| start::start(&world, &g, &request(there, Occasion::Start)).unwrap_err();
        let mut with_new = KIOSK.to_vec();
        with_new.push(("disk2.kind", "zvol"));
        let new = start::start(&world, &testing::guest("web01", &with_new), &request(&["clean"], Occasion::Start)).unwrap_err();
        assert!(new.message.contains("no disk2") && new.hints.len() == 2, "{new:?}");
        let newer = why(&["clean", "later", "last"]);
        assert_eq!(newer.causes, ["web01@later, web01@last"]);
        assert!(newer.hints[1].contains("revert_to_snapshot=last"), "{newer:?}");
        assert_eq!(why(&["claen"]).code.exit_code(), 3);
        let mut settings = KIOSK.to_vec();
        settings.remove(4);
        let g = testing::guest("web01", &settings);
        assert!(wanted(&g, &g.spec().unwrap().revert, Occasion::Start).unwrap_err().message.contains("none is named"));
    }
}
