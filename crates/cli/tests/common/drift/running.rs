//! The same on a guest that runs: beside what holds of one that is off it goes on, unless the command is asked to end it, and
//! its disks are cut by nothing.

use super::commands::RUNNING;
use super::{DISK, Fact, Ground, Host, Tally, Told, clear, judge, mark, marks, run, share, tree};
use std::collections::BTreeSet;

/// Commands that end a run, or begin another.
const ENDING: [&str; 2] = ["reset", "stop"];

/// Commands that change a guest, and nothing about the facts that have changed: it serves the next.
const GENTLE: [&str; 7] = ["set", "unset", "disk set", "network add", "snapshot GUEST@more", "snapshot delete", "clone"];

/// Starts a guest with a second disk, whose ends are marked, on the bridge `lan`.
fn start(host: &Host, name: &str, like: &str) {
    host.ok(&format!("create {name} {like} net0.bridge=lan iso_eject_after_reboots=0"));
    host.ok(&format!("disk add {name} 1M --kind raw"));
    host.in_folder(name, |folder| {
        mark(&folder.join("disk1.raw"), 0, "first-of-disk1");
        mark(&folder.join("disk1.raw"), DISK - 16, "last-of-disk1");
    });
    host.ok(&format!("snapshot {name}@base"));
    host.ok(&format!("start {name}"));
}

/// Ends it, whatever is wrong with it.
fn end(host: &Host, name: &str) {
    let root = format!("{}/chyves/guests", host.pool);
    // A guest of another host is stopped on that host.
    let _ = host.command("zfs").args(["inherit", "chyves:owner", &format!("{root}/{name}")]).output().unwrap();
    let _ = host.chyves(&format!("stop {name} --now"));
    let _ = host.chyves("reclaim --force --yes");
    clear(host, name);
}

/// Runs each command on running guests of which each of these facts has changed. A guest that a command changed is replaced, but
/// for the gentle ones.
///
/// `like` are the options by which a guest of the image `tiny` is made.
pub fn matrix(host: &Host, like: &str, facts: &[Fact]) {
    host.make_iso();
    host.ok("image import ./tiny.iso --name disc");
    host.ok("network lan attach em0");
    host.second("");
    let (which, of) = share();
    let mut tally = Tally::new(facts.iter().map(|fact| fact.name));
    for (number, fact) in facts.iter().enumerate() {
        let mut ground: Option<(Ground, Run)> = None;
        for line in RUNNING.iter().skip(which - 1).step_by(of) {
            let (mut now, before) = ground.take().unwrap_or_else(|| {
                let name = format!("web{number}");
                start(host, &name, like);
                (fact.change)(host, &name);
                let kept = marks(host, &name, &BTreeSet::new());
                let run = seen(host, &name);
                (Ground { tree: tree(host), name, kept }, run)
            });
            let same = judge(host, fact.name, line, &mut now, &mut tally);
            let after = seen(host, &now.name);
            let ends = ENDING.iter().any(|word| line.starts_with(word)) || before.state != "running";
            if !ends && after != before {
                tally.lost(format!("{}: `{line}`: the guest was {before:?} and is {after:?}", fact.name));
            }
            let still = GENTLE.iter().any(|words| line.starts_with(words)) && after == before;
            if still && !same {
                now.tree = tree(host);
            }
            if still || same && after == before {
                ground = Some((now, before));
            } else {
                end(host, &now.name);
            }
        }
        if let Some((ground, _)) = ground {
            end(host, &ground.name);
        }
        start(host, "told", like);
        let (Told::Says(line, _) | Told::AsBefore(line)) = fact.told;
        let before = run(host, line, "told");
        (fact.change)(host, "told");
        tally.told(fact.name, fact.told, &before, &run(host, line, "told"));
        end(host, "told");
    }
    host.nothing_is_left();
    tally.end(RUNNING.len());
}

/// What is seen of a run.
#[derive(Debug, PartialEq)]
struct Run {
    state: String,
    /// The hypervisor's process, as long as there is one.
    pid: Option<u64>,
}

/// Looks at it; of a guest that has another name by now there is nothing to see.
fn seen(host: &Host, guest: &str) -> Run {
    let info = host.chyves(&format!("info {guest} --json"));
    let info = if info.code == 0 { info.json()[0].clone() } else { serde_json::Value::Null };
    Run { state: info["state"].as_str().unwrap_or_default().to_owned(), pid: info["pid"].as_u64() }
}
