//! The fault matrix: every step of a command is made to fail, and the command is killed before and after every step, and
//! while a step carries a stream. Of those that were killed after a step the repair is killed too, after each thing it does.
//! Afterwards nothing that the command did not name differs, and what it named is as before or as wished.
//!
//! Each matrix adds what it tried and lost to the file that `CHYVES_TEST_FAULTS` names; scripts/test sums them up.

use super::answer::words;
use super::look::marks;
use super::{Host, PROGRAM, Tree, With};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::process::{Output, Stdio};

/// One command of the matrix. In lines `POOL` and `OTHER` stand for the pools, `< FILE` and `> FILE` at the end for a file,
/// `{PREFIX}` for the snapshots of `web` that begin so; one that begins with `zfs ` is not chyves', and there `DATASET@{PREFIX}`
/// stands for a snapshot of that dataset. In `back` stands `{kept}`
/// for what lay in the trash after the run.
pub struct Case {
    /// What makes the ground, once.
    pub ground: &'static [&'static str],
    /// The command.
    pub line: &'static str,
    /// What brings the ground back after a run that went through; each may fail.
    pub back: &'static [&'static str],
    /// The command that goes on where it ended after a step that nothing takes back, each of them whole.
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
const OTHERS: [&str; 2] = ["web-1", "web01"];

/// What is written only to tell when or by whom, and differs from run to run.
const FLEETING: [&str; 6] = ["uuid", "created", "deleted", "snapshot.taken", "cloned_from", "image.added"];

/// Runs one case.
pub fn matrix(test: &str, case: &Case) {
    let made = if case.networks { Host::with_networks(test, With::Image) } else { Host::new(test, With::Image) };
    let Some(host) = made else { return };
    for other in OTHERS {
        host.ok(&format!("create {other} --image small loader=bios"));
        host.ok(&format!("snapshot {other}@kept"));
    }
    host.ok("create web --image small loader=bios notes=first");
    std::fs::write(host.work().join("a.img"), vec![5; 1 << 20]).unwrap();
    host.sh("qemu-img", &["convert", "-f", "raw", "-O", "qcow2", "a.img", "a.qcow2"]);
    if case.other {
        host.second_pool();
    }
    for line in case.ground {
        let output = run(&host, line, None);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let others = bystanders(&host, case);
    let old = shape(&host, case);
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
    let new = shape(&host, case);
    restore(&host, case, &old);
    let (mut tried, mut lost) = (0, Vec::new());
    for step in 0..steps {
        let streams = flows.contains(&step).then_some("flow");
        for fault in ["fail", "kill", "killed"].into_iter().chain(streams) {
            let output = run(&host, case.line, Some(&format!("{fault}:{step}")));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let what = format!("`{}` with {fault}:{step}", case.line);
            tried += 1;
            if fault == "fail" {
                // 7 where something was done before that nothing can take back, such as a destruction.
                match output.status.code() {
                    Some(1 | 7) => {}
                    code => panic!("{what}: {code:?}: {said}"),
                }
            } else {
                assert_eq!(output.status.code(), None, "{what} was not killed: {said}");
                if fault == "killed" {
                    tried += kill_repairs(&host);
                }
                let repaired = host.chyves("repair");
                if repaired.code != 0 {
                    lost.push(format!("{what}: repair failed: {}", repaired.err));
                }
            }
            settle(&host, case);
            if bystanders(&host, case) != others {
                lost.push(format!("{what}: what it did not name differs"));
            }
            let mut now = shape(&host, case);
            if let (Some(again), true) = (case.again, now != old && now != new) {
                run(&host, again, None);
                now = shape(&host, case);
            }
            if now != old && now != new {
                lost.push(format!("{what}: neither the old nor the new state: {:#?}\n{said}", difference(&old, &now)));
            }
            let journals =
                host.command("find").args([host.run_dir().join("journal").as_os_str(), "-type".as_ref(), "f".as_ref()]).output().unwrap();
            if !journals.stdout.is_empty() {
                lost.push(format!("{what}: a journal is left"));
            }
            assert!(lost.len() < 5, "{}", lost.join("\n"));
            restore(&host, case, &old);
        }
    }
    tell(case.line, tried, lost.len());
    assert!(lost.is_empty(), "{}", lost.join("\n"));
    host.nothing_is_left();
}

/// Kills a repair after the first thing that it does, the next one after its second, and so on, until one ends. How many
/// were killed.
fn kill_repairs(host: &Host) -> usize {
    (0..1000).take_while(|n| run(host, "repair", Some(&format!("repair:{n}"))).status.code().is_none()).count()
}

/// Tells how many cases were tried and lost, where a person and where scripts/test will see it.
fn tell(line: &str, tried: usize, lost: usize) {
    println!("faults: `{line}`: {tried} cases tried, {lost} lost");
    if let Some(path) = std::env::var_os("CHYVES_TEST_FAULTS") {
        let file = File::options().append(true).create(true).open(path);
        file.and_then(|mut f| f.write_all(format!("{line}\t{tried}\t{lost}\n").as_bytes())).expect("what was tried must be told");
    }
}

/// Runs a line, with a fault where one is given.
fn run(host: &Host, line: &str, fault: Option<&str>) -> Output {
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

/// Brings the ground back, and makes sure that it is.
fn restore(host: &Host, case: &Case, old: &Shape) {
    if shape(host, case) == *old {
        return;
    }
    let mut said = String::new();
    let kept = host.chyves("trash list -H -o identity").out;
    for line in case.back {
        let output = run(host, &line.replace("{kept}", kept.trim()), None);
        said.push_str(&format!("{line}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let now = shape(host, case);
    assert!(now == *old, "the ground is not brought back after `{}`: {:#?}\n{said}", case.line, difference(old, &now));
}

fn tree(host: &Host, case: &Case) -> Tree {
    let mut tree = host.tree();
    if case.other {
        tree.extend(host.tree_on(&format!("{}b", host.pool)));
    }
    tree
}

fn is_bystander(name: &str) -> bool {
    OTHERS.iter().any(|o| name.split(['/', '@']).any(|part| part == *o))
}

/// Everything of those that are not named: GUIDs, properties, snapshots, and the content of their files.
fn bystanders(host: &Host, case: &Case) -> (Tree, Vec<BTreeMap<String, u64>>) {
    let mut tree = tree(host, case);
    tree.retain(|name, _| is_bystander(name) || name.contains("/images/small"));
    for (name, values) in &mut tree {
        values.retain(|key, value| {
            // What the pool itself is told shows in all that is on it.
            let inherited = key.starts_with("chyves:") && value.starts_with("inherited");
            let of_image = name.contains("/images/") && (key == "mounted" || key == "origin");
            !inherited && !of_image
        });
    }
    (tree, OTHERS.iter().map(|o| host.files(o)).collect())
}

type Shape = BTreeMap<String, BTreeSet<String>>;

/// Names, settings and contents of what is on the pool, without what differs from run to run.
fn shape(host: &Host, case: &Case) -> Shape {
    let tree = tree(host, case);
    let mut shape = Shape::new();
    for (name, values) in tree.iter().filter(|(name, _)| !is_bystander(name)) {
        let mut told: BTreeSet<String> = values
            .iter()
            .filter_map(|(key, value)| key.strip_prefix("chyves:").map(|k| (k, value)))
            .filter(|(_, value)| value.starts_with("local") || value.starts_with("received"))
            .map(|(key, value)| if FLEETING.contains(&key) { key.to_owned() } else { format!("{key}={}", plain(value)) })
            .collect();
        for native in ["origin", "readonly", "canmount", "mounted", "recordsize"] {
            let of_image = name.contains("/images/") && native == "mounted";
            told.extend(values.get(native).filter(|_| !of_image).map(|value| format!("{native}: {}", plain(value))));
        }
        let is_files = values["type"].ends_with("filesystem") && values["mountpoint"].contains('/');
        // Onto a received guest that was looked into nothing more can be received.
        let received = values.get("chyves:uuid").is_some_and(|v| v.starts_with("received"));
        if is_files && !received && (name.contains("/guests/") || name.contains("/trash/")) {
            told.extend(contents(host, name));
        }
        // What lies in the trash has an identity for a name.
        let label =
            values.get("chyves:name").filter(|_| name.contains("/trash/")).and_then(|n| n.strip_prefix("local: ")).unwrap_or_default();
        shape.insert(format!("{} {label}", plain(name)).trim_end().to_owned(), told);
    }
    if case.networks {
        let told = host.sh("ip", &["-br", "link"]);
        shape.insert("interfaces".to_owned(), told.lines().filter_map(|l| l.split(' ').next()).map(str::to_owned).collect());
    }
    shape
}

/// Marks of the files of a guest, and the lines of the copy of its settings.
fn contents(host: &Host, dataset: &str) -> Vec<String> {
    let (marks, copy) =
        host.in_dataset(dataset, |folder| (marks(folder), std::fs::read_to_string(folder.join("config.toml")).unwrap_or_default()));
    let lasting = |line: &&str| !FLEETING.iter().any(|f| line.starts_with(&format!("\"{f}\"")));
    let files = marks.iter().filter(|(name, _)| *name != "config.toml").map(|(name, mark)| format!("file {}: {mark:x}", plain(name)));
    files.chain(copy.lines().filter(lasting).map(|l| format!("copy: {l}"))).collect()
}

/// A name without random words and times.
fn plain(name: &str) -> String {
    let part = |p: &str| {
        let hexes = p.chars().filter(char::is_ascii_hexdigit).count();
        match p.split_once('-') {
            Some(("uefi", rest)) if rest.starts_with("vars-") => "uefi-vars-…".to_owned(),
            _ if p.len() >= 36 && hexes >= 32 => "IDENTITY".to_owned(),
            Some((
                front @ ("clone" | "before" | "chyves" | "rollback" | "importing" | "send" | "move" | "receiving" | "disk" | "upgrade"),
                _,
            )) => {
                format!("{front}-…")
            }
            _ => p.to_owned(),
        }
    };
    let parts: Vec<String> = name.split('/').map(|p| p.split('@').map(part).collect::<Vec<_>>().join("@")).collect();
    parts.join("/")
}

fn difference(old: &Shape, now: &Shape) -> Vec<String> {
    let lines =
        |s: &Shape| s.iter().flat_map(|(n, v)| v.iter().map(move |v| format!("{n} {v}")).chain([n.clone()])).collect::<BTreeSet<_>>();
    let (old, now) = (lines(old), lines(now));
    old.difference(&now).map(|l| format!("- {l}")).chain(now.difference(&old).map(|l| format!("+ {l}"))).collect()
}
