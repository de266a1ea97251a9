//! What a command costs, counted: processes, and which datasets are read. Wrappers that stand first on the path write
//! down each call and then do it.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A host whose `zfs` and `zpool` write down how they are called.
struct Counted {
    host: Host,
    log: PathBuf,
}

impl Counted {
    fn new(test: &str, with: With) -> Option<Self> {
        let mut host = Host::new(test, with)?;
        let folder = host.dir().join("wrap");
        let log = host.dir().join("calls");
        std::fs::create_dir(&folder).unwrap();
        for tool in ["zfs", "zpool"] {
            let real = host.sh("sh", &["-c", &format!("command -v {tool}")]);
            let script = format!("#!/bin/sh\necho \"{tool} $*\" >>{}\nexec {} \"$@\"\n", log.display(), real.trim());
            std::fs::write(folder.join(tool), script).unwrap();
            std::fs::set_permissions(folder.join(tool), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        host.first_on_path(&folder);
        Some(Self { host, log })
    }

    /// The calls that a command makes.
    fn calls(&self, line: &str) -> Vec<String> {
        std::fs::write(&self.log, "").unwrap();
        self.host.ok(line);
        std::fs::read_to_string(&self.log).unwrap().lines().map(str::to_owned).collect()
    }

    /// Makes guests by bare zfs: as many datasets as there would be, in a fraction of the time.
    fn fill(&self, from: usize, to: usize) {
        let owner = self.host.zfs_get("chyves:host", &format!("{}/chyves", self.host.pool));
        for n in from..to {
            let uuid = format!("chyves:uuid=00000000-0000-4000-8000-{n:012}");
            let owner = format!("chyves:owner={owner}");
            let dataset = self.host.dataset(&format!("filler{n}"));
            self.host.sh("zfs", &["create", "-o", "canmount=noauto", "-o", &uuid, "-o", &owner, "-o", "chyves:cpu=2", &dataset]);
        }
    }
}

#[test]
fn a_look_is_two_calls_however_many_guests_there_are() {
    let Some(host) = Counted::new("counts::looks", With::Image) else { return };
    host.host.ok("create web --image small");
    let lines = ["list", "list -o name,used,uuid,cpu", "list ram", "get all ram", "get all all", "info web", "get web all", "pool list"];
    for (from, to) in [(0, 3), (3, 60)] {
        host.fill(from, to);
        for line in lines {
            let calls = host.calls(line);
            assert!(calls.len() <= 2, "`{line}` with {to} guests makes {calls:#?}");
        }
    }
}

#[test]
fn a_guest_from_an_image_costs_little_more_than_its_clone() {
    let Some(host) = Counted::new("counts::create", With::Image) else { return };
    let few = host.calls("create web --image small");
    host.fill(0, 40);
    let many = host.calls("create two --image small");
    assert_eq!(few.len(), many.len(), "{few:#?} {many:#?}");
    // Two reads, one of all names, one of what the guest inherits, the clone, one of where it may be mounted, and its unmounting; zfs-fuse has
    // mounted it by itself.
    let by_itself = !many.iter().any(|call| call.starts_with("zfs mount"));
    assert!(many.len() == if by_itself { 7 } else { 8 }, "{many:#?}");
    assert!(by_itself || std::path::Path::new("/dev/zfs").exists(), "{many:#?}");
    // Whether ZFS answers is known also where all that was asked for is missing.
    host.host.chyves("create three --image smal").ends(3).says("did you mean `small`?");
}

#[test]
fn a_command_on_one_guest_reads_that_guest() {
    let Some(host) = Counted::new("counts::one", With::Image) else { return };
    host.host.ok("create web --image small loader=bios");
    host.fill(0, 40);
    let lines = ["get web all", "info web", "set web notes=x", "start web --dry-run", "snapshot web@one", "unset web notes", "stop web"];
    for line in lines {
        let calls = host.calls(line);
        assert!(!calls.is_empty());
        for call in &calls {
            // Below the guest itself are its own disks and snapshots.
            let deep = call.contains(" -r ") && !call.contains("/guests/web");
            assert!(!call.contains("filler") && !deep, "`{line}` reads more than it needs: {call}");
            // The search for roots is the one call that names nothing.
            let finds_roots = call.contains("chyves:layout");
            assert!(finds_roots || call.contains("/chyves"), "`{line}` reads everything: {call}");
        }
    }
}

#[test]
fn a_start_has_as_many_calls_with_many_guests_as_with_few() {
    let Some(host) = Counted::new("counts::start", With::Tiny) else { return };
    host.host.ok("create web --image tiny loader=bios accel=tcg");
    let few = host.calls("start web");
    host.host.ok("stop web --now");
    host.fill(0, 60);
    let many = host.calls("start web");
    host.host.ok("stop web --now");
    assert_eq!(few.len(), many.len(), "{few:#?} {many:#?}");
    // With the supervisor and the hypervisor: far from the 25 that would be too many.
    assert!(many.len() <= 8, "{many:#?}");
    host.host.nothing_is_left();
}

#[test]
fn snapshots_are_listed_by_one_call_however_many_there_are() {
    let Some(host) = Counted::new("counts::snapshots", With::Image) else { return };
    host.host.ok("create web --image small");
    host.fill(0, 3);
    for (from, to) in [(0, 3), (3, 60)] {
        for n in from..to {
            host.host.sh("zfs", &["snapshot", &format!("{}@s{n:05}", host.host.dataset("web"))]);
        }
        for line in ["snapshot list", "snapshot list web"] {
            let calls = host.calls(line);
            let lists = calls.iter().filter(|call| call.contains("-t snapshot")).count();
            assert!(lists == 1 && calls.len() <= 3, "`{line}` with {to} snapshots makes {calls:#?}");
        }
    }
}

#[test]
fn what_is_done_to_many_costs_so_many_times_what_it_costs_for_one() {
    let Some(host) = Counted::new("counts::linear", With::Image) else { return };
    host.host.ok("create web --image small loader=bios");
    let names = |from: usize, to: usize| (from..to).map(|n| format!("c{n:03}")).collect::<Vec<_>>().join(" ");
    // A clone is made, mounted for the copy of its settings, and let go; all else is once for all of them.
    let few = host.calls(&format!("clone web {}", names(0, 2))).len();
    let many = host.calls(&format!("clone web {}", names(2, 32))).len();
    assert!(many <= few + 28 * 3, "2 clones: {few} calls, 30 clones: {many}");
    // Each more costs as much as the one before it, and what is read of the whole pool is read once for all of them. One
    // clone stays: the last takes the snapshot with it that they stand on.
    let whole =
        |calls: &[String]| calls.iter().filter(|c| c.contains(" -r ") && !c.contains("/guests/c") && !c.contains("/trash/")).count();
    for line in ["snapshot ALL", "set ALL notes=x", "stop ALL", "delete ALL", "trash empty ALL --yes"] {
        let made: Vec<(usize, usize)> = [(2, 7), (7, 17), (17, 31)]
            .map(|(from, to)| host.calls(&line.replace("ALL", &names(from, to))))
            .iter()
            .map(|calls| (calls.len(), whole(calls)))
            .collect();
        let [few, more, many] = made[..] else { unreachable!() };
        assert_eq!((more.0 - few.0) * 4, (many.0 - more.0) * 5, "`{line}`: {few:?} calls for 5, {more:?} for 10, {many:?} for 14");
        assert!(few.1 == more.1 && more.1 == many.1, "`{line}` reads the pool ever more often: {few:?} {more:?} {many:?}");
    }
    // So does what destroys at once.
    host.host.ok(&format!("clone web {}", names(40, 56)));
    let few = host.calls(&format!("delete {} --now --yes", names(40, 45)));
    let many = host.calls(&format!("delete {} --now --yes", names(45, 55)));
    assert!(many.len() <= 2 * few.len() && whole(&few) == whole(&many), "{few:#?} {many:#?}");
}
