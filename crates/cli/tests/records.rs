//! A damaged record of a VM: every other guest is shown and worked on as ever, the damage is reported with its cure, and
//! the guest is brought to order. Every kind of damage against every command that meets it.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report
#![allow(clippy::disallowed_methods)] // the files are the test's own

mod common;

use common::{Host, With, until};
use std::path::{Path, PathBuf};

/// What damages the file at a path.
type Damage = fn(&Path);

/// How a record can be damaged that is a file.
const CONTENT: &[(&str, Damage)] = &[
    ("empty", |path| std::fs::write(path, "").unwrap()),
    ("cut", |path| std::fs::write(path, "{\"guest\":\"web\",\"uuid\":\"").unwrap()),
    ("not JSON", |path| std::fs::write(path, b"\x00\xff\x1b[31m").unwrap()),
    ("of another version", |path| std::fs::write(path, "{\"version\":9}").unwrap()),
    ("endless", |path| std::fs::write(path, " ".repeat(2 << 20)).unwrap()),
];

/// What can be in the place of any file.
const NO_FILE: &[(&str, Damage)] = &[
    ("a FIFO", |path| {
        let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    }),
    ("a link", |path| std::os::unix::fs::symlink("/etc/passwd", path).unwrap()),
    ("a folder", |path| std::fs::create_dir_all(path.join("full")).unwrap()),
    ("of another user", |path| {
        std::fs::write(path, "").unwrap();
        std::os::unix::fs::chown(path, Some(12345), None).unwrap();
    }),
];

const RECORD: &str = "record.json";
const LOCKS: [&str; 2] = ["supervisor.lock", "machine.lock"];

/// Every kind of damage: what it is, of which file, and how it is done.
fn damages() -> Vec<(String, &'static str, Damage)> {
    let of = |file: &'static str, rows: &'static [(&'static str, Damage)]| {
        rows.iter().map(move |(what, how)| (format!("{file}: {what}"), file, *how))
    };
    of(RECORD, CONTENT).chain([RECORD, LOCKS[0], LOCKS[1]].into_iter().flat_map(|file| of(file, NO_FILE))).collect()
}

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
    /// Damages a file of the guest; the former one is kept aside.
    fn damage(&self, file: &str, how: Damage) {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).unwrap();
        self.forget_kept();
        let _ = std::fs::rename(self.folder.join(file), self.kept());
        how(&self.folder.join(file));
    }

    fn kept(&self) -> PathBuf {
        self.host.run_dir().join("kept")
    }

    /// Puts the former file back.
    fn restore(&self, file: &str) {
        let path = self.folder.join(file);
        if path.is_dir() && !path.is_symlink() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) }.unwrap();
        std::fs::rename(self.kept(), path).unwrap();
    }

    fn forget_kept(&self) {
        let kept = self.kept();
        let _ = if kept.is_dir() && !kept.is_symlink() { std::fs::remove_dir_all(kept) } else { std::fs::remove_file(kept) };
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

/// Whether a process is gone, or only waits to be reaped by whoever inherited it: it keeps its number until then.
fn has_ended(pid: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with(['Z', 'X'])))
}

#[test]
fn of_a_guest_that_runs() {
    let Some(ground) = ground("records::running") else { return };
    let host = &ground.host;
    host.ok("start web");
    for (what, file, how) in damages() {
        ground.damage(file, how);
        ground.is_shown(&what, "running", "`chyves repair` makes its supervisor write it again");
        host.ok("start web").says("running");
        host.chyves("delete web --yes").ends(4);
        host.ok("reclaim").is_silent_of("killed");
        host.ok("repair --dry-run").says(DAMAGED);
        assert_eq!(host.state("web"), "running", "{what}");
        host.ok("repair").says("its supervisor has written it again");
        ground.forget_kept();
        host.ok("list").is_silent_of("damaged");
        assert!(host.pids("web").0 > 0, "{what}");
    }
    ground.damage(RECORD, CONTENT[1].1);
    ground.forget_kept();
    host.ok("repair");
    for file in LOCKS {
        // Without its lock the record proves that it runs.
        std::fs::remove_file(ground.folder.join(file)).unwrap();
        assert_eq!(host.state("web"), "running", "{file}");
        host.ok("start web").says("running");
        host.chyves("delete web --yes").ends(4);
    }
    host.ok("stop web --now");
    host.nothing_is_left();
    host.ok("start web");
    ground.damage(LOCKS[1], NO_FILE[2].1);
    ground.forget_kept();
    host.ok("stop web --now");
    host.nothing_is_left();
}

#[test]
fn of_a_guest_whose_supervisor_is_gone() {
    let Some(ground) = ground("records::orphaned") else { return };
    let host = &ground.host;
    let last = [(RECORD, CONTENT[1].1), (LOCKS[0], NO_FILE[0].1), (LOCKS[1], NO_FILE[2].1)];
    let mut all = damages();
    for (line, (last, how_last)) in ["stop web --force", "stop web --now", "reclaim web --force"].into_iter().zip(last) {
        host.ok("start web");
        let (machine, supervisor) = host.pids("web");
        host.kill(supervisor);
        until("web to be orphaned", || (host.state("web") == "orphaned").then_some(()));
        // How it is ended makes no difference to what is shown before.
        for (what, file, how) in std::mem::take(&mut all) {
            ground.damage(file, how);
            ground.is_shown(&what, "orphaned", "`chyves stop web --now` kills its hypervisor");
            for line in ["start web", "stop web", "repair", "delete web --yes"] {
                host.chyves(line).ends(4);
            }
            host.chyves("stop web").says("chyves stop web --now");
            host.chyves("repair").says("chyves stop web --now");
            host.ok("reclaim");
            assert_eq!(host.state("web"), "orphaned", "{what}");
            ground.restore(file);
        }
        ground.damage(last, how_last);
        ground.forget_kept();
        host.ok(line);
        until("the hypervisor to end", || has_ended(machine).then_some(()));
        host.ok("reclaim");
        host.ok("list").is_silent_of("damaged");
        host.nothing_is_left();
    }
}

#[test]
fn of_a_guest_that_does_not_run() {
    let Some(ground) = ground("records::dead") else { return };
    let host = &ground.host;
    for (what, file, how) in damages() {
        ground.damage(file, how);
        ground.is_shown(&what, "crashed", "`chyves repair` removes what its VM left");
        host.ok("stop web");
        host.ok("repair --dry-run").says(DAMAGED);
        assert!(ground.folder.exists(), "{what}");
        for line in ["repair", "reclaim", "reclaim web"] {
            ground.damage(file, how);
            ground.forget_kept();
            host.ok(line);
            assert!(!ground.folder.exists(), "{what}: {line}");
        }
        host.ok("list").is_silent_of("damaged");
    }
    for (what, file, how) in damages() {
        ground.damage(file, how);
        ground.forget_kept();
        host.ok("start web");
        assert_eq!(host.state("web"), "running", "{what}");
        host.ok("list").is_silent_of("damaged");
        host.ok("stop web --now");
        host.nothing_is_left();
        ground.damage(file, how);
        ground.forget_kept();
        host.ok("delete web --yes");
        host.ok("undelete web");
    }
}

#[test]
fn something_in_the_place_of_the_folder_of_a_guest() {
    let Some(ground) = ground("records::folder") else { return };
    let host = &ground.host;
    // What a link leads to is left alone.
    let elsewhere = host.run_dir().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(elsewhere.join("machine.lock"), "kept").unwrap();
    let link = |path: &Path| std::os::unix::fs::symlink("elsewhere", path).unwrap();
    for (what, how) in [("a FIFO", NO_FILE[0].1), ("a file", CONTENT[0].1), ("a link", link as Damage)] {
        for line in ["repair", "reclaim", "start web"] {
            how(&ground.folder);
            ground.is_shown(what, "crashed", "`chyves repair` removes what its VM left");
            host.ok(line);
            host.ok("list").is_silent_of("damaged");
            assert_eq!(std::fs::read_to_string(elsewhere.join("machine.lock")).unwrap(), "kept", "{what}: {line}");
        }
        host.ok("stop web --now");
        assert!(!ground.folder.exists(), "{what}");
    }
    std::fs::remove_dir_all(&elsewhere).unwrap();
    host.nothing_is_left();
}

/// What is lost, and how.
type Loss = (&'static str, fn(&Path));

/// What is lost of the folder of a VM that runs: the files that show that it runs, all of them, or the folder itself.
const LOSSES: [Loss; 3] = [
    ("the locks and the record", |folder| {
        for file in [RECORD, LOCKS[0], LOCKS[1]] {
            std::fs::remove_file(folder.join(file)).unwrap();
        }
    }),
    ("the files", |folder| {
        for entry in std::fs::read_dir(folder).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }),
    ("the folder", |folder| std::fs::remove_dir_all(folder).unwrap()),
];

#[test]
fn a_vm_that_has_lost_its_folder_is_neither_started_again_nor_deleted_and_gets_it_back() {
    let Some(ground) = ground("records::lost") else { return };
    let host = &ground.host;
    host.ok("start web");
    let pids = host.pids("web");
    for (what, lose) in LOSSES {
        for (line, code) in [("start web", 0), ("delete web --yes", 4), ("reclaim web", 0), ("reclaim", 0)] {
            lose(&ground.folder);
            host.chyves(line).ends(code);
            // It has lost nothing but its files.
            host.ok("repair").says("its supervisor has written it again");
            assert_eq!((host.state("web").as_str(), host.pids("web")), ("running", pids), "{what}: {line}");
        }
    }
    for (what, lose) in LOSSES {
        lose(&ground.folder);
        host.ok("stop web --now");
        until("web to be off", || (host.state("web") == "stopped").then_some(()));
        host.nothing_is_left();
        host.ok("start web");
        let (machine, supervisor) = host.pids("web");
        host.kill(supervisor);
        until("web to be orphaned", || (host.state("web") == "orphaned").then_some(()));
        lose(&ground.folder);
        for line in ["start web", "delete web --yes", "repair"] {
            host.chyves(line).ends(4).says("chyves stop web --now");
        }
        host.ok("stop web --now");
        until("the hypervisor to end", || has_ended(machine).then_some(()));
        host.ok("reclaim");
        assert!(!ground.folder.exists(), "{what}");
        host.ok("start web");
    }
    host.ok("stop web --now");
    host.nothing_is_left();
}
