//! A damaged record of a VM: every other guest is shown and worked on as ever, the damage is reported with its cure, and
//! the guest is brought to order. Every kind of damage against every command that meets it.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report
#![allow(clippy::disallowed_methods)] // the files are the test's own

mod common;

use common::{Host, With, until};
use std::path::{Path, PathBuf};

/// What damages the file at a path.
type Damage = fn(&Path);

/// How a record can be damaged.
const DAMAGE: &[(&str, Damage)] = &[
    ("empty", |path| std::fs::write(path, "").unwrap()),
    ("cut", |path| std::fs::write(path, "{\"guest\":\"web\",\"uuid\":\"").unwrap()),
    ("not JSON", |path| std::fs::write(path, b"\x00\xff\x1b[31m").unwrap()),
    ("of another version", |path| std::fs::write(path, "{\"version\":9}").unwrap()),
    ("endless", |path| std::fs::write(path, " ".repeat(2 << 20)).unwrap()),
    ("a FIFO", |path| {
        let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    }),
    ("a link", |path| std::os::unix::fs::symlink("/etc/passwd", path).unwrap()),
    ("a folder", |path| std::fs::create_dir(path).unwrap()),
];

const DAMAGED: &str = "the record of the VM of `web` is damaged";

struct Ground {
    host: Host,
    folder: PathBuf,
}

/// A guest whose record is damaged, and one that has nothing to do with it.
fn ground(test: &str) -> Option<Ground> {
    let host = Host::new(test, With::Tiny)?;
    host.ok("create web,db --image tiny loader=bios accel=tcg");
    let folder = host.run_dir().join(host.value("web", "uuid"));
    Some(Ground { host, folder })
}

impl Ground {
    fn damage(&self, how: fn(&Path)) {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).unwrap();
        let record = self.folder.join("record.json");
        if record.is_dir() {
            std::fs::remove_dir(&record).unwrap();
        } else {
            let _ = std::fs::remove_file(&record);
        }
        how(&record);
    }

    /// The commands that only read, with the state that they show of the damaged guest.
    fn is_shown(&self, what: &str, state: &str, cure: &str) {
        let host = &self.host;
        let listed = host.ok("list -H -o name,state");
        assert_eq!(listed.out, format!("db\tstopped\nweb\t{state}\n"), "{what}");
        let listed = listed.says(DAMAGED).says(cure);
        assert_eq!(listed.err.matches(DAMAGED).count(), 1, "{what}: {}", listed.err);
        host.ok("info web").says(DAMAGED);
        host.ok("info db").is_silent_of("damaged");
        host.ok("set db notes=x");
        host.chyves("doctor").says("the record of a VM is damaged in").says("chyves repair");
    }
}

#[test]
fn of_a_guest_that_runs() {
    let Some(ground) = ground("records::running") else { return };
    let host = &ground.host;
    host.ok("start web");
    for (what, how) in DAMAGE {
        ground.damage(*how);
        ground.is_shown(what, "running", "`chyves repair` makes its supervisor write it again");
        host.ok("start web").says("running");
        host.chyves("delete web --yes").ends(4);
        host.ok("reclaim").is_silent_of("killed");
        host.ok("repair --dry-run").says(DAMAGED);
        assert_eq!(host.state("web"), "running", "{what}");
        host.ok("repair").says("its supervisor has written it again");
        host.ok("list").is_silent_of("damaged");
        assert!(host.pids("web").0 > 0, "{what}");
    }
    ground.damage(DAMAGE[1].1);
    host.ok("stop web --now");
    host.nothing_is_left();
}

#[test]
fn of_a_guest_whose_supervisor_is_gone() {
    let Some(ground) = ground("records::orphaned") else { return };
    let host = &ground.host;
    for line in ["stop web --force", "stop web --now", "reclaim web --force"] {
        host.ok("start web");
        let (machine, supervisor) = host.pids("web");
        host.kill(supervisor);
        until("web to be orphaned", || (host.state("web") == "orphaned").then_some(()));
        for (what, how) in DAMAGE {
            ground.damage(*how);
            ground.is_shown(what, "orphaned", "`chyves stop web --now` kills its hypervisor");
            for line in ["start web", "stop web", "repair", "delete web --yes"] {
                host.chyves(line).ends(4);
            }
            host.chyves("stop web").says("chyves stop web --now");
            host.chyves("repair").says("chyves stop web --now");
            host.ok("reclaim");
            assert_eq!(host.state("web"), "orphaned", "{what}");
        }
        host.ok(line);
        // A process keeps its number for a moment after its locks went, until it is reaped.
        until("the hypervisor to end", || (!Path::new(&format!("/proc/{machine}")).exists()).then_some(()));
        host.ok("reclaim");
        host.ok("list").is_silent_of("damaged");
        host.nothing_is_left();
    }
}

#[test]
fn of_a_guest_that_does_not_run() {
    let Some(ground) = ground("records::dead") else { return };
    let host = &ground.host;
    for (what, how) in DAMAGE {
        ground.damage(*how);
        ground.is_shown(what, "crashed", "`chyves repair` removes what its VM left");
        host.ok("stop web");
        host.ok("repair --dry-run").says(DAMAGED);
        assert!(ground.folder.exists(), "{what}");
        for line in ["repair", "reclaim", "reclaim web"] {
            ground.damage(*how);
            host.ok(line);
            assert!(!ground.folder.exists(), "{what}: {line}");
        }
        host.ok("list").is_silent_of("damaged");
    }
    for (what, how) in DAMAGE {
        ground.damage(*how);
        host.ok("start web");
        assert_eq!(host.state("web"), "running", "{what}");
        host.ok("list").is_silent_of("damaged");
        host.ok("stop web --now");
        host.nothing_is_left();
        ground.damage(*how);
        host.ok("delete web --yes");
        host.ok("undelete web");
    }
}
