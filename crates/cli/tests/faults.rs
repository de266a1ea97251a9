//! The fault matrix: every step of every changing command is made to fail, and the command is killed before and after
//! every step. Afterwards nothing that the command did not name differs, and what it named is as before or as wished.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, Tree, With, until};
use std::collections::{BTreeMap, BTreeSet};

/// One command of the matrix.
struct Case {
    /// What makes the ground, once.
    ground: &'static [&'static str],
    /// The command.
    line: &'static str,
    /// What brings the ground back after a run that went through; each may fail.
    back: &'static [&'static str],
    /// Whether the machine of `web` may be left running.
    runs: bool,
}

/// Those that no command of the matrix names. Their names are near.
const OTHERS: [&str; 2] = ["web-1", "web01"];

fn matrix(test: &str, case: &Case) {
    let Some(host) = Host::new(test, With::Image) else { return };
    for other in OTHERS {
        host.ok(&format!("create {other} --image small loader=bios"));
        host.ok(&format!("snapshot {other}@kept"));
    }
    host.ok("create web --image small loader=bios notes=first");
    case.ground.iter().for_each(|line| drop(host.ok(line)));
    let others = bystanders(&host);
    let old = shape(&host.tree(), case);
    let steps = steps(&host, case.line);
    assert!(steps > 0, "`{}` does nothing", case.line);
    host.ok(&format!("{} --yes", case.line));
    settle(&host, case);
    let new = shape(&host.tree(), case);
    restore(&host, case, &old);
    let (mut tried, mut lost) = (0, Vec::new());
    for step in 0..steps {
        for fault in ["fail", "kill", "killed"] {
            tried += 1;
            let output = host
                .command(common::PROGRAM)
                .args(case.line.split(' '))
                .arg("--yes")
                .env("CHYVES_FAULT", format!("{fault}:{step}"))
                .output()
                .unwrap();
            let what = format!("`{}` with {fault}:{step}", case.line);
            if fault == "fail" {
                let code = output.status.code();
                // 7 where something was done before that nothing can take back, such as a destruction.
                assert!(matches!(code, Some(1 | 7)), "{what}: {code:?}: {}", String::from_utf8_lossy(&output.stderr));
            } else {
                assert_eq!(output.status.code(), None, "{what} was not killed: {}", String::from_utf8_lossy(&output.stderr));
                host.ok("repair");
            }
            settle(&host, case);
            if bystanders(&host) != others {
                lost.push(format!("{what}: what it did not name differs"));
            }
            let now = shape(&host.tree(), case);
            if now != old && now != new {
                lost.push(format!("{what}: neither the old nor the new state: {:#?}", difference(&old, &now)));
            }
            let journals =
                host.command("find").args([host.run_dir().join("journal").as_os_str(), "-type".as_ref(), "f".as_ref()]).output().unwrap();
            assert!(journals.stdout.is_empty(), "{what}: a journal is left");
            restore(&host, case, &old);
        }
    }
    println!("faults: `{}`: {tried} cases tried, {} lost", case.line, lost.len());
    assert!(lost.is_empty(), "{}", lost.join("\n"));
    host.nothing_is_left();
}

/// A machine that a case left running is stopped, so that what is on the pool can be compared.
fn settle(host: &Host, case: &Case) {
    if case.runs {
        host.ok("stop web --now");
    }
}

/// How many steps the plan has.
fn steps(host: &Host, line: &str) -> usize {
    let shown = host.ok(&format!("{line} --dry-run --json")).json();
    shown["steps"].as_array().map_or(0, Vec::len)
}

/// Brings the ground back, and makes sure that it is.
fn restore(host: &Host, case: &Case, old: &Shape) {
    if shape(&host.tree(), case) == *old {
        return;
    }
    let kept = host.chyves("trash list -H -o identity").out;
    for line in case.back {
        let listed = host.chyves("snapshot list web -H -o name").out;
        let before: Vec<&str> = listed.lines().filter(|l| l.contains("@before-rollback-")).collect();
        host.chyves(&line.replace("{before}", &before.join(" ")).replace("{kept}", kept.trim()));
    }
    let found = until("the ground to be back", || {
        let now = shape(&host.tree(), case);
        (now == *old).then_some(now)
    });
    assert_eq!(found, *old);
}

/// Everything of those that are not named: GUIDs, properties, snapshots, and the content of their files.
fn bystanders(host: &Host) -> (Tree, Vec<BTreeMap<String, u64>>) {
    let mut tree = host.tree();
    let own = |name: &String| OTHERS.iter().any(|o| name.split(['/', '@']).any(|part| part == *o));
    tree.retain(|name, _| own(name) || name.contains("/images/"));
    for values in tree.values_mut() {
        values.retain(|key, _| key != "mounted" && key != "origin");
    }
    (tree, OTHERS.iter().map(|o| host.files(o)).collect())
}

type Shape = BTreeMap<String, BTreeSet<String>>;

/// Names and settings of what is on the pool, without what differs from run to run.
fn shape(tree: &Tree, _: &Case) -> Shape {
    let fleeting = ["uuid", "created", "deleted", "snapshot.taken", "cloned_from", "image.added"];
    tree.iter()
        .map(|(name, values)| {
            let settings = values
                .iter()
                .filter_map(|(key, value)| key.strip_prefix("chyves:").map(|k| (k, value)))
                .filter(|(_, value)| value.starts_with("local"))
                .map(|(key, value)| if fleeting.contains(&key) { key.to_owned() } else { format!("{key}={value}") })
                .collect();
            (plain(name), settings)
        })
        .collect()
}

/// A name without random words and times.
fn plain(name: &str) -> String {
    let part = |p: &str| {
        let hexes = p.chars().filter(char::is_ascii_hexdigit).count();
        match p.split_once('-') {
            _ if p.len() >= 36 && hexes >= 32 => "IDENTITY".to_owned(),
            Some((front @ ("clone" | "before" | "chyves" | "rollback" | "importing"), _)) => format!("{front}-…"),
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

const BASE: Case = Case { ground: &[], line: "", back: &[], runs: false };

#[test]
fn set() {
    matrix(
        "faults::set",
        &Case { line: "set web cpu=2 notes=second ram=512M", back: &["set web notes=first", "unset web cpu ram"], ..BASE },
    );
}

#[test]
fn create() {
    matrix("faults::create", &Case { line: "create web2 --image small", back: &["delete web2 --now --yes"], ..BASE });
}

#[test]
fn clone() {
    matrix(
        "faults::clone",
        &Case { ground: &["snapshot web@base"], line: "clone web@base web2 web3", back: &["delete web2 web3 --now --yes"], ..BASE },
    );
}

#[test]
fn delete_and_undelete() {
    matrix("faults::delete", &Case { line: "delete web", back: &["undelete web"], ..BASE });
    matrix("faults::undelete", &Case { ground: &["delete web"], line: "undelete web", back: &["delete web"], ..BASE });
}

#[test]
fn snapshots() {
    matrix("faults::snapshot", &Case { line: "snapshot web@one", back: &["snapshot delete web@one --yes"], ..BASE });
    let ground = &["snapshot web@one"];
    matrix("faults::snapshot-delete", &Case { ground, line: "snapshot delete web@one", back: &["snapshot web@one"], ..BASE });
}

#[test]
fn rollback_in_place() {
    let ground = &["snapshot web@one", "set web notes=second"];
    matrix(
        "faults::rollback-in-place",
        &Case { ground, line: "snapshot rollback web@one --in-place", back: &["set web notes=second"], ..BASE },
    );
}

#[test]
fn rollback() {
    let ground = &["snapshot web@one", "set web notes=second", "snapshot web@two"];
    // OpenZFS gives the guest's place to a clone of the snapshot; zfs-fuse, which can't, brings the files back.
    let swaps = std::path::Path::new("/dev/zfs").exists();
    let back: &'static [&'static str] = if swaps {
        &["delete web", "undelete {kept}", "promote web", "trash empty --yes", "snapshot delete {before} --yes"]
    } else {
        &["set web notes=second", "snapshot delete {before} --yes"]
    };
    matrix("faults::rollback", &Case { ground, line: "snapshot rollback web@one", back, ..BASE });
}

#[test]
fn image_import() {
    matrix("faults::import", &Case { line: "image import ./small.img --name other", back: &["image delete other --yes"], ..BASE });
}

#[test]
fn start() {
    matrix("faults::start", &Case { line: "start web", back: &["stop web --now"], runs: true, ..BASE });
}
