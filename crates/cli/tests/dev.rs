//! Looking under the hood: what a traced command runs is shown, and it is the same command.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With, until};
use std::os::unix::fs::PermissionsExt;

/// The lines of a trace behind its head: the process, the exit status and the command.
fn lines(trace: &str) -> Vec<(u64, String, String)> {
    let mut lines = trace.lines();
    assert_eq!(lines.next().unwrap().split_whitespace().next(), Some("process"));
    lines
        .filter(|l| !l.starts_with("  | ") && !l.starts_with("  ! "))
        .map(|line| {
            let (columns, command) = line.split_at(33);
            let columns: Vec<&str> = columns.split_whitespace().collect();
            columns[1].parse::<f64>().unwrap();
            (columns[0].parse().unwrap(), columns.get(3).unwrap_or(&"").to_string(), command.trim_start().to_owned())
        })
        .collect()
}

#[test]
fn a_traced_command_shows_what_it_runs() {
    let Some(host) = Host::new("dev::trace", With::Tiny) else { return };
    host.ok("create web01 --image tiny --ram 64M loader=bios");
    let answer = host.ok("dev trace --output list -H -o name");
    assert_eq!(answer.out, "web01\n", "the answer is the command's own");
    let seen = lines(&answer.err);
    assert_eq!(seen.len(), 2, "{}", answer.err);
    assert!(seen.iter().all(|(_, end, command)| end == "0" && command.starts_with("zfs get ")), "{}", answer.err);
    assert!(answer.err.lines().any(|l| l.starts_with("  | ") && l.contains("/chyves/guests/web01")), "{}", answer.err);
    // What is said before `dev` is meant for the command.
    host.ok("-n dev trace delete web01 --now").says("zfs destroy");
    host.ok("info web01");
    host.chyves("dev trace info nobody").ends(3).says("no guest is called `nobody`");
    host.chyves("dev trace --to /nowhere/trace list").ends(5).says("cannot write the trace");
    host.chyves("-n --host freebsd dev trace start web01").ends(2).says("after that command's verb");
    host.nothing_is_left();
}

#[test]
fn a_supervisor_goes_on_with_a_trace_in_a_file() {
    let Some(host) = Host::new("dev::file", With::Tiny) else { return };
    host.ok("create web01 --image tiny --ram 64M loader=bios");
    let file = host.work().join("trace");
    let answer = host.ok("dev trace --to trace start web01");
    assert!(!answer.err.contains("began ms"), "{}", answer.err);
    let (machine, supervisor) = host.pids("web01");
    let read = || lines(&std::fs::read_to_string(&file).unwrap());
    let of_supervisor = |program: &str| read().into_iter().any(|(process, _, command)| process == supervisor && command.contains(program));
    assert!(of_supervisor("qemu-system-x86_64"), "{:?}", read());
    assert!(read().iter().any(|(process, end, command)| *process != supervisor && end == "0" && command.starts_with("zfs mount")));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_ne!(machine, supervisor);
    host.ok("stop web01 --now");
    until("the supervisor to removed what is left", || of_supervisor("zfs unmount").then_some(()));
    // On a display it would be heard by nobody.
    let screen = host.ok("dev trace start web01").err;
    assert!(!lines_with(&screen, "qemu-system-x86_64 "), "{screen}");
    host.ok("stop web01 --now");
    host.nothing_is_left();
}

/// Whether a line of a trace on the display is of that program.
fn lines_with(screen: &str, program: &str) -> bool {
    screen.lines().any(|l| l.trim_start().starts_with(|c: char| c.is_ascii_digit()) && l.contains(program))
}
