//! A `zfs` that hangs, as on a suspended pool, or that prints without end: whoever waits is told, and gets their terminal back.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, PROGRAM, With, until};
use std::process::Stdio;

/// A host with a guest, whose `zfs` hangs at the verb that the file `hangs` names, and says so in the file `hanging`.
fn ground(test: &str) -> Option<Host> {
    let mut host = Host::new(test, With::Image)?;
    host.ok("create web --image small loader=bios");
    let folder = host.dir().display().to_string();
    host.stand_in(
        "zfs",
        &format!(
            "if [ \"$1\" = \"$(cat {folder}/hangs 2>/dev/null)\" ]; then\n\
             [ -e {folder}/deaf ] && trap '' TERM\n: >{folder}/hanging\nwhile :; do sleep 0.2; done\nfi\nexec \"$real\" \"$@\""
        ),
    );
    host.set_variable("CHYVES_WAIT_NOTICE", "0.3");
    Some(host)
}

fn hang_at(host: &Host, verb: &str) {
    std::fs::write(host.dir().join("hangs"), verb).unwrap();
    let _ = std::fs::remove_file(host.dir().join("hanging"));
}

fn goes_on(host: &Host) {
    std::fs::remove_file(host.dir().join("hangs")).unwrap();
}

#[test]
fn a_query_that_hangs_is_reported_and_ended_by_the_first_signal() {
    let Some(host) = ground("hanging_zfs::query") else { return };
    hang_at(&host, "get");
    let mut list = host.terminal("list");
    list.sees("still waiting for `zfs get");
    list.types("\x03");
    list.sees("interrupted while waiting for `zfs get");
    list.sees("zpool status -x");
    list.ends(130);

    // SIGTERM, as a service manager sends it: once.
    let _ = std::fs::remove_file(host.dir().join("hanging"));
    let child = host.command(PROGRAM).args(["--json", "start", "web"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("zfs to hang", || host.dir().join("hanging").exists().then_some(()));
    let mine = host.processes().into_iter().find(|p| p.line.starts_with(PROGRAM) && p.line.ends_with("start web")).unwrap();
    host.sh("kill", &["-TERM", &mine.pid.to_string()]);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("\"interrupted\""), "{said}");
    goes_on(&host);
    host.ok("list");
    host.nothing_is_left();
}

#[test]
fn a_step_that_hangs_is_left_to_the_second_signal_and_repaired() {
    let Some(host) = ground("hanging_zfs::step") else { return };
    let before = host.tree();
    hang_at(&host, "snapshot");
    let mut snapshot = host.terminal("snapshot web@a");
    until("zfs to hang", || host.dir().join("hanging").exists().then_some(()));
    snapshot.types("\x03");
    snapshot.sees("a second Ctrl-C ends it");
    snapshot.types("\x03");
    snapshot.sees("was ended before it had finished");
    snapshot.sees("chyves repair");
    snapshot.ends(7);
    goes_on(&host);
    host.ok("repair").says("rolled back");
    assert_eq!(host.tree(), before);

    // One that does not heed SIGTERM is killed by the third.
    std::fs::write(host.dir().join("deaf"), "").unwrap();
    hang_at(&host, "snapshot");
    let mut snapshot = host.terminal("snapshot web@b");
    until("zfs to hang", || host.dir().join("hanging").exists().then_some(()));
    snapshot.types("\x03");
    snapshot.sees("a second Ctrl-C ends it");
    snapshot.types("\x03");
    snapshot.types("\x03");
    snapshot.sees("was ended before it had finished");
    snapshot.ends(7);
    goes_on(&host);
    // The next command on the same guest puts it right.
    host.ok("snapshot web@c").says("rolling back");
    host.ok("snapshot delete web@c --yes");
    assert_eq!(host.tree(), before);
}

#[test]
fn a_stream_whose_receiver_hangs_can_be_ended() {
    let Some(host) = ground("hanging_zfs::stream") else { return };
    host.ok("snapshot web@a");
    let stream = host.command(PROGRAM).args(["send", "web@a"]).output().unwrap();
    assert!(stream.status.success());
    std::fs::write(host.work().join("stream"), stream.stdout).unwrap();
    hang_at(&host, "receive");
    let mut command = host.command(PROGRAM);
    let input = std::fs::File::open(host.work().join("stream")).unwrap();
    let child = command.args(["receive", "--name", "copy"]).stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("zfs to hang", || host.dir().join("hanging").exists().then_some(()));
    let mine = host.processes().into_iter().find(|p| p.line.starts_with(PROGRAM) && p.line.ends_with("--name copy")).unwrap();
    host.sh("kill", &["-TERM", &mine.pid.to_string()]);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains("was ended before it had finished"), "{said}");
    goes_on(&host);
    host.ok("repair");
    host.ok("list -H -o name").is_silent_of("copy");
}

#[test]
fn a_question_is_left_by_ctrl_c() {
    let Some(host) = Host::new("hanging_zfs::question", With::Image) else { return };
    host.ok("create web --image small loader=bios");
    let mut delete = host.terminal("delete web --now");
    delete.sees("[y/N]");
    delete.types("\x03");
    delete.ends(130);
    host.ok("info web");
}

#[test]
fn endless_output_is_an_error_of_its_own() {
    let Some(mut host) = Host::new("hanging_zfs::endless", With::Image) else { return };
    host.stand_in("zfs", "[ \"$1\" = get ] && exec yes\nexec \"$real\" \"$@\"");
    host.chyves("list").ends(1).says("printed more than 128 MiB").says("stand-ins/zfs");
}
