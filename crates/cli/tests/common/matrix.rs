//! The fault matrix: every step of a command is made to fail, the command is killed before and after every step, and
//! while a step carries a stream, and the host goes down with it before every step. Of those that were killed after a step
//! the repair is killed too, after each thing it does.
//! Afterwards nothing that the command did not name differs, and what it named is as before or as wished.
//!
//! Each matrix adds what it tried and lost to the file that `CHYVES_TEST_FAULTS` names; scripts/test sums them up. Where a host is
//! slow, `CHYVES_TEST_SHARE=K/N` has only every N-th case of each command tried, beginning with the K-th.

use super::answer::words;
use super::shape::{Look, Shape, difference, look};
use super::{Host, PROGRAM, With};
use std::fs::File;
use std::io::Write;
use std::process::{ExitStatus, Output, Stdio};

/// One command of the matrix. In lines `POOL` and `OTHER` stand for the pools, `< FILE` and `> FILE` at the end for a file,
/// `{PREFIX}` for the snapshots of `web` that begin so; one that begins with `zfs ` is not chyves', and there `DATASET@{PREFIX}`
/// stands for a snapshot of that dataset. In `back` stands `{kept}`
/// for what lay in the trash after the run. `web` has a second disk, `disk1`, a volume where the ZFS has volumes; `write BYTE` fills it.
pub struct Case {
    /// What makes the ground, once.
    pub ground: &'static [&'static str],
    /// The command.
    pub line: &'static str,
    /// What brings the ground back after a run that went through; each may fail.
    pub back: &'static [&'static str],
    /// The command that goes on where it ended after a step that nothing rolls back, each of them whole.
    pub again: Option<&'static str>,
    /// Whether the machine of `web` may be left running.
    pub runs: bool,
    /// Whether there is a second pool.
    pub other: bool,
    /// Whether the host has interfaces of its own.
    pub networks: bool,
}

/// A case to be filled.
pub const BASE: Case = Case { ground: &[], line: "", back: &[], again: None, runs: false, other: false, networks: false };

/// Those that no command of the matrix names. Their names are near.
pub(super) const OTHERS: [&str; 2] = ["web-1", "web01"];

/// The size of second disks, in bytes.
const DISK: usize = 1 << 20;

/// Runs one case.
pub fn matrix(test: &str, case: &Case) {
    let share = share();
    let made = if case.networks { Host::with_networks(test, With::Image) } else { Host::new(test, With::Image) };
    let Some(host) = made else { return };
    ground(&host, case);
    let before = look(&host, case);
    let (steps, flows) = steps(&host, case.line);
    assert!(
        steps > 0,
        "`{}` does nothing: {}",
        case.line,
        String::from_utf8_lossy(&run(&host, &format!("{} --dry-run", case.line), None).stderr)
    );
    let output = run(&host, case.line, None);
    assert!(output.status.success(), "`{}`: {}", case.line, String::from_utf8_lossy(&output.stderr));
    settle(&host, case);
    let after = look(&host, case);
    restore(&host, case, &before.named, &after);
    let (old, new) = (before.named, after.named);
    let faults = (0..steps).flat_map(|step| {
        let streams = flows.contains(&step).then_some("flow");
        ["fail", "kill", "killed", "down"].into_iter().chain(streams).map(move |fault| (fault, step))
    });
    let (mut tried, mut lost) = (0, Vec::new());
    for (fault, step) in faults.skip(share.0 - 1).step_by(share.1) {
        let down = fault == "down";
        let output = run(&host, case.line, Some(&format!("{}:{step}", if down { "kill" } else { fault })));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let what = format!("`{}` with {fault}:{step}", case.line);
        tried += 1;
        if fault == "fail" {
            // 7 where something was done before that nothing can undo, such as a destruction.
            match output.status.code() {
                Some(1 | 7) => {}
                code => panic!("{what}: {code:?}: {said}"),
            }
        } else {
            assert_eq!(output.status.code(), None, "{what} was not killed: {said}");
            if down {
                host.goes_down();
            }
            if fault == "killed" {
                tried += kill_repairs(&host);
            }
            let repaired = host.chyves("repair");
            if repaired.code != 0 {
                lost.push(format!("{what}: repair failed: {}", repaired.err));
            }
        }
        settle(&host, case);
        let mut now = look(&host, case);
        if now.others != before.others {
            lost.push(format!("{what}: what it did not name differs: {:#?}", difference(&before.others, &now.others)));
        }
        if let (Some(again), true) = (case.again, now.named != old && now.named != new) {
            run(&host, again, None);
            now = look(&host, case);
        }
        if now.named != old && now.named != new {
            lost.push(format!("{what}: neither the old nor the new state: {:#?}\n{said}", difference(&old, &now.named)));
        }
        if !host.journals().is_empty() {
            lost.push(format!("{what}: a journal is left"));
        }
        assert!(lost.len() < 5, "{}", lost.join("\n"));
        restore(&host, case, &old, &now);
    }
    tell(case.line, tried, lost.len(), share);
    assert!(lost.is_empty(), "{}", lost.join("\n"));
    host.nothing_is_left();
}

/// Makes what a case begins with: `web`, those that no command names, and what the case wants besides.
fn ground(host: &Host, case: &Case) {
    let write = |file: &str, byte: u8| std::fs::write(host.work().join(file), vec![byte; DISK]).unwrap();
    write("second.img", 3);
    write("a.img", 5);
    host.sh("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", "a.img", "a.qcow2"]);
    let second = |guest: &str| host.ok(&format!("disk add {guest} --import ./second.img"));
    for other in OTHERS {
        host.ok(&format!("create {other} --image small loader=bios"));
        second(other);
        host.ok(&format!("snapshot {other}@kept"));
    }
    host.ok("create web --image small loader=bios notes=first");
    second("web");
    if case.other {
        host.second_pool();
    }
    for line in case.ground {
        let output = run(host, line, None);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Which cases of a command are tried: of so many the first, the second, and so on, as `K/N` in `CHYVES_TEST_SHARE` says.
pub fn share() -> (usize, usize) {
    let Ok(told) = std::env::var("CHYVES_TEST_SHARE") else { return (1, 1) };
    let share = told.split_once('/').and_then(|(which, of)| Some((which.parse().ok()?, of.parse().ok()?)));
    share
        .filter(|(which, of)| (1..=*of).contains(which))
        .unwrap_or_else(|| panic!("CHYVES_TEST_SHARE={told} is not K/N with K from 1 to N"))
}

/// Kills a repair after the first thing that it does, the next one after its second, and so on, until one ends. How many
/// were killed.
fn kill_repairs(host: &Host) -> usize {
    (0..1000).take_while(|n| run(host, "repair", Some(&format!("repair:{n}"))).status.code().is_none()).count()
}

/// Tells how many cases were tried and lost, where a person and where scripts/test will see it.
fn tell(line: &str, tried: usize, lost: usize, (which, of): (usize, usize)) {
    let share = if of > 1 { format!(" (share {which}/{of})") } else { String::new() };
    println!("faults: `{line}`: {tried} cases tried, {lost} lost{share}");
    if let Some(path) = std::env::var_os("CHYVES_TEST_FAULTS") {
        let file = File::options().append(true).create(true).open(path);
        file.and_then(|mut f| f.write_all(format!("{line}\t{tried}\t{lost}\n").as_bytes())).expect("what was tried must be told");
    }
}

/// Runs a line, with a fault where one is given.
fn run(host: &Host, line: &str, fault: Option<&str>) -> Output {
    if let Some(byte) = line.strip_prefix("write ") {
        write_disk(host, byte.parse().unwrap());
        return Output { status: ExitStatus::default(), stdout: Vec::new(), stderr: Vec::new() };
    }
    let line = expand(host, line);
    let (line, from) = line.split_once(" < ").map_or((line.as_str(), None), |(l, f)| (l, Some(f)));
    let (line, to) = line.split_once(" > ").map_or((line, None), |(l, f)| (l, Some(f)));
    let mut command = match line.strip_prefix("zfs ") {
        Some(rest) => {
            let mut command = host.command("zfs");
            command.args(words(rest));
            command
        }
        None => {
            let mut command = host.command(PROGRAM);
            command.args(words(line)).arg("--yes");
            command
        }
    };
    command.stdin(from.map_or_else(Stdio::null, |f| Stdio::from(File::open(host.work().join(f)).unwrap())));
    command.stdout(to.map_or_else(Stdio::piped, |f| Stdio::from(File::create(host.work().join(f)).unwrap()))).stderr(Stdio::piped());
    command.envs(fault.map(|f| ("CHYVES_FAULT", f)));
    command.spawn().unwrap().wait_with_output().unwrap()
}

/// Fills the second disk of `web` with a byte, as its machine would.
fn write_disk(host: &Host, byte: u8) {
    let volume = format!("{}/disk1", host.dataset("web"));
    if host.command("zfs").args(["list", &volume]).output().unwrap().status.success() {
        host.devices_settle();
        host.write_volume(&volume, 0, &vec![byte; DISK]);
    } else {
        host.in_folder("web", |folder| std::fs::write(folder.join("disk1.raw"), vec![byte; DISK]).unwrap());
    }
}

/// A line with what stands for something in it.
fn expand(host: &Host, line: &str) -> String {
    let mut line = line.replace("POOL", &host.pool).replace("OTHER", &format!("{}b", host.pool));
    if let (Some(from), Some(to), true) = (line.find('{'), line.find('}'), line.starts_with("zfs ")) {
        let of = line[..from].rsplit(' ').next().unwrap().trim_end_matches('@');
        let listed = host.sh("zfs", &["list", "-H", "-o", "name", "-t", "snapshot", "-r", of]);
        let prefix = format!("{of}@{}", &line[from + 1..to]);
        let found = listed.lines().find(|l| l.starts_with(&prefix)).and_then(|l| l.split_once('@')).map_or("none", |(_, name)| name);
        line.replace_range(from..=to, found);
    } else if let (Some(from), Some(to)) = (line.find('{'), line.find('}')) {
        let listed = host.chyves("snapshot list web -H -o name").out;
        let prefix = format!("web@{}", &line[from + 1..to]);
        let found: Vec<&str> = listed.lines().filter(|l| l.starts_with(&prefix)).collect();
        line.replace_range(from..=to, &found.join(" "));
    }
    line
}

/// A machine that a case left running is stopped, so that what is on the pool can be compared.
fn settle(host: &Host, case: &Case) {
    if case.runs {
        host.ok("stop web --now");
    }
}

/// How many steps the plan has, the longest of several; and which of them carry a stream.
fn steps(host: &Host, line: &str) -> (usize, Vec<usize>) {
    let (words, file) = match line.split_once(" < ") {
        Some((words, file)) => (words, format!(" < {file}")),
        None => (line.split_once(" > ").map_or(line, |(words, _)| words), String::new()),
    };
    let output = run(host, &format!("{words} --dry-run --json{file}"), None);
    let shown: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{line}: {e}: {}", String::from_utf8_lossy(&output.stderr)));
    let carries = |step: &serde_json::Value| {
        let commands = step["commands"].to_string();
        ["zfs send", "zfs receive"].iter().any(|c| commands.contains(c))
    };
    let of = |plan: &serde_json::Value| {
        let steps = plan["steps"].as_array().cloned().unwrap_or_default();
        (steps.len(), (0..steps.len()).filter(|n| carries(&steps[*n])).collect())
    };
    shown.as_array().map_or_else(|| of(&shown), |plans| plans.iter().map(of).max_by_key(|(steps, _)| *steps).unwrap_or_default())
}

/// Brings the ground back, where it is not as it was, and makes sure that it is.
fn restore(host: &Host, case: &Case, old: &Shape, is: &Look) {
    if is.named == *old {
        return;
    }
    let mut said = String::new();
    let kept = host.chyves("trash list -H -o identity").out;
    for line in case.back {
        let output = run(host, &line.replace("{kept}", kept.trim()), None);
        said.push_str(&format!("{line}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let now = look(host, case).named;
    assert!(now == *old, "the ground is not brought back after `{}`: {:#?}\n{said}", case.line, difference(old, &now));
}
