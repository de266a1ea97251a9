//! Labs come, are apart from each other, and go without leaving anything.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is the report of a failure")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{good, lab, run, until};

const BINARY: &str = env!("CARGO_BIN_EXE_chyves-lab");

fn mounted(dir: &Path) -> bool {
    std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&dir.join("dev").display().to_string())
}

#[test]
fn a_dropped_lab_leaves_nothing() {
    let Some(lab) = lab("a_dropped_lab", &[]) else { return };
    let dir = lab.dir().to_path_buf();
    assert!(mounted(&dir));
    let mut left = lab.command("sleep").arg("600").spawn().unwrap();
    drop(lab);
    assert_eq!(common::code(left.wait().unwrap()), 128 + 9, "what ran in it was ended");
    assert!(!dir.exists() && !mounted(&dir));
}

#[test]
fn a_killed_run_leaves_nothing() {
    if lab("a_killed_run", &[]).is_none() {
        return;
    }
    // It tells its folder, then waits for a word that never comes.
    let mut run = Command::new(BINARY);
    run.args(["run", "--", "sh", "-c", "echo $CHYVES_LAB; exec sleep 600"]).stdout(Stdio::piped());
    let mut run = run.spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(run.stdout.take().unwrap()), &mut line).unwrap();
    let dir = PathBuf::from(line.trim());
    assert!(mounted(&dir), "{line}");
    run.kill().unwrap();
    run.wait().unwrap();
    until("the lab's end", || !dir.exists() && !mounted(&dir));
}

#[test]
fn the_status_is_the_commands() {
    if lab("the_status_is", &[]).is_none() {
        return;
    }
    let status = |words: &[&str]| common::code(Command::new(BINARY).args(words).stderr(Stdio::null()).status().unwrap());
    assert_eq!(status(&["run", "--", "sh", "-c", "exit 7"]), 7);
    assert_eq!(status(&["run", "release=13.5", "--", "sh", "-c", "kill -9 $$"]), 128 + 9);
    assert_eq!(status(&["run", "release=9.0", "--", "true"]), 70);
    assert_eq!(status(&["run", "cpu=arm64", "release=14.3", "--", "true"]), 70);
    assert_eq!(status(&["run", "true"]), 2);
    assert_eq!(status(&["run", "--", "kldload", "vmm"]), 0);
}

#[test]
fn a_lab_that_stays() {
    let Some(other) = lab("a_lab_that_stays", &[]) else { return };
    let dir = other.dir().join("in");
    let tool = |words: &[&str]| {
        let output = Command::new(BINARY).args(words).output().unwrap();
        (common::code(output.status), String::from_utf8(output.stdout).unwrap())
    };
    let text = dir.display().to_string();
    assert_eq!(tool(&["up", &text, "release=13.5", "nics=em0"]), (0, format!("{text}\n")));
    assert_eq!(tool(&["up", &text]).0, 1, "it is there already");
    assert_eq!(tool(&["exec", &text, "sysctl", "-n", "kern.osreldate"]), (0, "1305000\n".to_owned()));
    assert_eq!(tool(&["set", &text, "release=15.0"]).0, 0);
    assert_eq!(tool(&["set", &text, "release=15.9"]).0, 2);
    assert_eq!(tool(&["exec", &text, "sysctl", "-n", "kern.osreldate"]), (0, "1500068\n".to_owned()));
    assert_eq!(tool(&["exec", &text, "ifconfig", "tap", "create"]).1, "tap0\n");
    assert_eq!(tool(&["down", &text]).0, 0);
    assert!(!dir.exists() && !mounted(&dir));
}

#[test]
fn two_labs_do_not_see_each_other() {
    let (Some(one), Some(two)) = (lab("two_labs", &["release=13.5"]), lab("two_labs", &["cpu=amd"])) else { return };
    good(&one, "kldload vmm");
    good(&one, "bhyvectl --vm=web01 --create");
    assert_eq!(good(&one, "ifconfig tap create"), "tap0\n");
    assert_eq!(good(&two, "ifconfig -l"), "lo0\n");
    assert_eq!(run(&two, "kldstat -q -m vmm").status, 1);
    assert!(one.dev("vmm/web01").exists() && !two.dev("vmm").exists());
    // A tool of the one, called outside of its network, does nothing.
    let ran = Command::new(one.dir().join("bin/ifconfig")).arg("-l").env("CHYVES_LAB", one.dir()).output().unwrap();
    assert_eq!(common::code(ran.status), 70);
    let ran = Command::new(one.dir().join("bin/ifconfig")).arg("-l").env_remove("CHYVES_LAB").output().unwrap();
    assert_eq!(common::code(ran.status), 70);
}

#[test]
fn a_lab_has_firmware_and_a_boot_log() {
    let Some(lab) = lab("a_lab_has_firmware", &["cpu=amd"]) else { return };
    for name in ["BHYVE_UEFI.fd", "BHYVE_UEFI_CODE.fd", "BHYVE_UEFI_VARS.fd"] {
        let size = std::fs::metadata(lab.dir().join("usr/local/share/uefi-firmware").join(name)).unwrap().len();
        assert!(size > 0 && size % 4096 == 0, "{name}");
    }
    assert!(std::fs::read_to_string(lab.dir().join("var/run/dmesg.boot")).unwrap().contains("SVM: NP,NRIP"));
}
