//! The drift matrix: a fact that chyves has recorded is changed behind its back (the size of a disk, its kind, its presence,
//! a mount point, who owns the guest), and then each command is run. Nothing that was on the pool before the command may be
//! lost by it, a command that refuses changes nothing, and the state is reported as it is.
//!
//! Each matrix adds what it tried and lost to the file that `CHYVES_TEST_DRIFT` names; scripts/test sums them up.
//! `CHYVES_TEST_SHARE=K/N` has only every N-th case tried, beginning with the K-th.

pub use super::matrix::share;
use super::{Answer, Host, With, until};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

/// A fact that changes.
pub struct Fact {
    /// What it is.
    pub name: &'static str,
    /// Changes it; the word is the guest's name.
    pub change: fn(&Host, &str),
    /// A command that reports it, and a part of its output; `GUEST` stands for the guest's name. Either stream, whatever its status.
    pub told: (&'static str, &'static str),
}

/// The commands that are run on a guest of which a fact has changed. None of them is asked to lose anything.
pub const COMMANDS: [&str; 21] = [
    "info GUEST",
    "disk list GUEST",
    "set GUEST notes=x",
    "set GUEST template=yes",
    "snapshot GUEST@more",
    "snapshot delete GUEST@base",
    "snapshot diff GUEST@base",
    "snapshot rollback GUEST@base",
    "snapshot rollback GUEST@base --keep-settings",
    "clone GUEST GUEST-c",
    "clone GUEST@base GUEST-c -i",
    "rename GUEST GUEST-r",
    "delete GUEST",
    "disk add GUEST 1M --kind raw",
    "disk remove GUEST disk1",
    "disk resize GUEST disk1 2M",
    "disk resize GUEST disk1 1536K",
    "disk move GUEST disk1 disk7",
    "disk sync GUEST",
    "start GUEST --dry-run",
    "firmware reset GUEST",
];

/// The sizes of disks, in bytes.
const DISK: u64 = 1 << 20;

/// What stands at the ends of disks, and wherever a fact puts it.
const MARKS: [&str; 6] = ["first-of-disk0", "last-of-disk0", "first-of-disk1", "last-of-disk1", "far-behind-disk1", "of-somebody-else"];

/// Writes a mark into a file.
pub fn mark(path: &Path, at: u64, mark: &str) {
    File::options().write(true).create(true).truncate(false).open(path).unwrap().write_all_at(mark.as_bytes(), at).unwrap();
}

/// Runs each command on guests of which each of these facts has changed.
pub fn matrix(test: &str, facts: &[Fact]) {
    let Some(host) = Host::new(test, With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    guest(&host, "other");
    let others = (bystander(&host), host.files("other"));
    let (which, of) = share();
    let (mut tried, mut lost) = (0, Vec::new());
    let cases = facts.iter().flat_map(|fact| COMMANDS.iter().map(move |line| (fact, *line)));
    for (number, (fact, line)) in cases.enumerate().skip(which - 1).step_by(of) {
        let name = format!("web{number}");
        guest(&host, &name);
        (fact.change)(&host, &name);
        let kept = marks(&host, &name, &BTreeSet::new());
        let before = host.tree();
        let answer = run(&host, line, &name);
        tried += 1;
        let what = format!("{}: `{}`", fact.name, answer.line);
        let now = marks(&host, &name, &kept);
        let gone: Vec<&str> = kept.difference(&now).copied().collect();
        if !gone.is_empty() {
            lost.push(format!("{what}: {} gone (status {}): {}{}", gone.join(", "), answer.code, answer.out, answer.err));
        }
        if !(0..=5).contains(&answer.code) {
            lost.push(format!("{what}: ends with {}: {}", answer.code, answer.err));
        }
        if answer.code != 0 {
            let after = host.tree();
            if after != before {
                let differs = |n: &&String| before.get(*n) != after.get(*n);
                let names: BTreeSet<&String> = before.keys().chain(after.keys()).filter(differs).collect();
                lost.push(format!("{what}: refused, and changed {names:?}: {}", answer.err));
            }
            if !answer.err.contains("hint:") && !answer.err.contains("because:") {
                lost.push(format!("{what}: refused without a reason: {}", answer.err));
            }
        }
        clear(&host, &name);
        assert!(lost.len() < 8, "{}", lost.join("\n"));
    }
    for fact in facts {
        guest(&host, "told");
        (fact.change)(&host, "told");
        let (line, words) = fact.told;
        let answer = run(&host, line, "told");
        if !answer.out.contains(words) && !answer.err.contains(words) {
            lost.push(format!("{}: `{}` does not tell `{words}`: {}{}", fact.name, answer.line, answer.out, answer.err));
        }
        clear(&host, "told");
    }
    if (bystander(&host), host.files("other")) != others {
        lost.push("a guest that no command named is another one".to_owned());
    }
    for fact in facts {
        tell(fact.name, COMMANDS.len(), tried / facts.len(), lost.iter().filter(|l| l.starts_with(fact.name)).count());
    }
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}

fn run(host: &Host, line: &str, guest: &str) -> Answer {
    host.chyves(&format!("{} --yes", line.replace("GUEST", guest)))
}

/// Makes a guest with two disks, whose ends are marked, and the snapshot `base`.
fn guest(host: &Host, name: &str) {
    host.ok(&format!("create {name} --disk raw --size 1M loader=bios"));
    host.ok(&format!("disk add {name} 1M --kind raw"));
    host.in_folder(name, |folder| {
        for disk in 0..2 {
            let path = folder.join(format!("disk{disk}.raw"));
            mark(&path, 0, &format!("first-of-disk{disk}"));
            mark(&path, DISK - 16, &format!("last-of-disk{disk}"));
        }
    });
    host.ok(&format!("snapshot {name}@base"));
}

/// What is on the pool of the guest that no command names.
fn bystander(host: &Host) -> Vec<(String, String)> {
    let tree = host.tree();
    let own = tree.iter().filter(|(name, _)| name.contains("/guests/other"));
    own.map(|(name, values)| (name.clone(), format!("{values:?}"))).collect()
}

/// Every dataset that a case has made or changed: all but the bystander's and chyves' own.
fn datasets(host: &Host, snapshots: bool) -> Vec<String> {
    let kind = if snapshots { "snapshot" } else { "filesystem" };
    let listed = host.sh("zfs", &["list", "-H", "-r", "-o", "name", "-t", kind, &format!("{}/chyves", host.pool)]);
    let inner = |n: &&str| (n.contains("/guests/") || n.contains("/trash/") || n.contains("-aside")) && !n.contains("/guests/other");
    listed.lines().filter(inner).map(str::to_owned).collect()
}

/// The marks that can be found: in the files of all guests and of the trash, and beside the pool; where one of the wanted is
/// not there, in snapshots too.
fn marks(host: &Host, name: &str, wanted: &BTreeSet<&'static str>) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    search(&host.work(), &mut found);
    for dataset in datasets(host, false) {
        // One that cannot be mounted where it is looked at through a clone of a snapshot of it.
        let mounted = host.zfs_get("mounted", &dataset) == "yes";
        if mounted || host.command("zfs").args(["mount", &dataset]).output().unwrap().status.success() {
            search(&host.open_path(host.zfs_get("mountpoint", &dataset)), &mut found);
            if !mounted {
                host.sh("zfs", &["unmount", &dataset]);
            }
        }
    }
    if wanted.is_subset(&found) {
        return found;
    }
    for snapshot in datasets(host, true) {
        let clone = format!("{}/look-{name}", host.pool);
        if host.command("zfs").args(["clone", &snapshot, &clone]).output().unwrap().status.success() {
            search(&host.open_path(host.zfs_get("mountpoint", &clone)), &mut found);
            until("the clone to be let go", || {
                host.command("zfs").args(["destroy", &clone]).output().unwrap().status.success().then_some(())
            });
        }
    }
    found
}

fn search(folder: &Path, found: &mut BTreeSet<&'static str>) {
    let wanted = MARKS.iter().flat_map(|m| ["-e", m]);
    let told = Command::new("grep").args(["-r", "-a", "-o", "-h", "-F"]).args(wanted).arg(folder).output().unwrap().stdout;
    let told = String::from_utf8_lossy(&told);
    found.extend(MARKS.iter().copied().filter(|m| told.lines().any(|l| l == *m)));
}

/// Takes away what a case has left.
fn clear(host: &Host, name: &str) {
    let _ = host.chyves("repair --yes");
    for dataset in [datasets(host, false), vec![format!("{}/{name}-aside", host.pool)]].concat().iter().rev() {
        let _ = host.command("zfs").args(["destroy", "-r", dataset]).output().unwrap();
    }
    for entry in std::fs::read_dir(host.work()).unwrap().flatten() {
        let _ = std::fs::remove_file(entry.path());
    }
}

/// Tells what was tried and lost, where a person and where scripts/test will see it.
pub fn tell(fact: &str, commands: usize, tried: usize, lost: usize) {
    println!("drift: {fact}: {tried} cases tried, {lost} lost");
    if let Some(path) = std::env::var_os("CHYVES_TEST_DRIFT") {
        let file = File::options().append(true).create(true).open(path);
        file.and_then(|mut f| f.write_all(format!("{fact}\t{commands}\t{tried}\t{lost}\n").as_bytes()))
            .expect("what was tried must be told");
    }
}
