//! The lab's bhyve against the real one: every row of `data/bhyve-judged.tsv` has arguments that bhyve's own option parser and
//! device code (about FreeBSD 14.0, amd64) were given, and their verdict. The lab must give the same one.
//!
//! The VM exists and nothing was loaded into it: what is accepted ends with 3 once every device has been initialised.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is the report of a failure")]

mod common;

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};

use common::{good, lab};

const TABLE: &str = include_str!("data/bhyve-judged.tsv");
/// What every row has besides its own arguments.
const REST: [&str; 5] = ["-s", "0,hostbridge", "-s", "31,lpc", "vm1"];
/// Rows of the table: one that is lost would not be missed otherwise.
const ROWS: usize = 79;

/// The verdict of an end, in the table's words.
fn verdict(status: ExitStatus, said: &str) -> String {
    match (status.code(), status.signal()) {
        (Some(3), _) if said.contains("nothing was loaded") => "accepted".to_owned(),
        (Some(code), _) => format!("exit {code}"),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    }
}

#[test]
fn every_row_has_the_verdict_of_the_real_bhyve() {
    let Some(lab) = lab("every_row_has_the_verdict_of_the_real_bhyve", &["release=14.0"]) else { return };
    good(&lab, "kldload vmm nmdm");
    let folder = lab.dir().join("judged");
    std::fs::create_dir(&folder).unwrap();
    for name in ["plain.img", "cd.iso", "per%cent.img", "plain.img%(nope)"] {
        std::fs::File::create(folder.join(name)).unwrap().set_len(1 << 20).unwrap();
    }
    let mut wrong = Vec::new();
    let mut rows = 0;
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let (arguments, expected) = line.split_once('\t').unwrap();
        let arguments = arguments.replace("@DIR@", &folder.display().to_string());
        good(&lab, "bhyvectl --vm=vm1 --create");
        let mut bhyve = lab.command("bhyve");
        let ran = bhyve.args(arguments.split(' ')).args(REST).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        let got = verdict(ran.status, &said);
        if got != expected {
            wrong.push(format!("{arguments}\n    {expected} expected, {got}: {}", said.trim()));
        }
        good(&lab, "bhyvectl --vm=vm1 --destroy");
        rows += 1;
    }
    assert!(wrong.is_empty(), "{} of {rows} rows:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(rows, ROWS);
    // For the summary of the tests.
    if let Some(file) = std::env::var_os("CHYVES_TEST_COVERED") {
        let mut covered = std::fs::File::options().append(true).create(true).open(file).unwrap();
        std::io::Write::write_all(&mut covered, format!("judged rows {rows}\n").as_bytes()).unwrap();
    }
}
