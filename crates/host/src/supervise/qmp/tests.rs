//! Both ends of the protocol in one thread, in turns.

use super::*;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;

/// QEMU's end.
struct Qemu {
    lines: BufReader<UnixStream>,
}

impl Qemu {
    fn say(&mut self, text: &str) {
        self.lines.get_mut().write_all(format!("{text}\n").as_bytes()).unwrap();
    }

    fn hears(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()["execute"].as_str().unwrap().to_owned()
    }
}

fn pair() -> (tempfile::TempDir, Qmp, Qemu) {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("qmp");
    let mut qmp = Qmp::new(path.to_str().unwrap(), Some("s3cret".into()), 0);
    assert!(qmp.turn(0).is_empty());
    assert!(matches!(qmp.interest(), Err(RETRY)), "nobody listens yet");
    let listener = UnixListener::bind(&path).unwrap();
    assert!(qmp.turn(RETRY - 1).is_empty() && qmp.stream.is_none());
    assert!(qmp.turn(RETRY).is_empty() && qmp.stream.is_some());
    let (stream, _) = listener.accept().unwrap();
    (temp, qmp, Qemu { lines: BufReader::new(stream) })
}

const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}"#;

#[test]
fn a_fresh_machine_runs_when_its_serial_port_is_heard() {
    let (_temp, mut qmp, mut qemu) = pair();
    qemu.say(GREETING);
    assert!(qmp.turn(1).is_empty());
    assert_eq!(qemu.hears(), "qmp_capabilities");
    qemu.say(r#"{"return": {}, "id": "qmp_capabilities"}"#);
    assert!(qmp.turn(1).is_empty());
    assert_eq!(qemu.hears(), "query-status");
    qemu.say(r#"{"return": {"status": "prelaunch", "running": false}, "id": "query-status"}"#);
    assert!(qmp.turn(1).is_empty());
    assert_eq!(qmp.stage, Stage::Waiting);
    qmp.let_run();
    // The display's password is set before the guest runs.
    assert_eq!(qemu.hears(), "set_password");
    assert_eq!(qemu.hears(), "cont");
    qemu.say(r#"{"return": {}, "id": "password"}"#);
    qemu.say(r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "RESUME"}"#);
    qemu.say(r#"{"return": {}, "id": "cont"}"#);
    assert_eq!(qmp.turn(1), [News::Resumed]);
    assert_eq!(qemu.hears(), "query-status");
    qemu.say(r#"{"return": {"status": "running", "running": true}, "id": "query-status"}"#);
    assert_eq!(qmp.turn(1), [News::Up]);
    assert!(qmp.resize("disk-4.0-node", 1 << 20));
    assert_eq!(qemu.hears(), "block_resize");
    qemu.say(r#"{"id": "block_resize", "error": {"class": "GenericError", "desc": "in use"}}"#);
    assert_eq!(qmp.turn(1), [News::Resized(Err("in use".into()))]);
    assert!(qmp.resize("disk-4.0-node", 1 << 20));
    assert_eq!(qemu.hears(), "block_resize");
    qemu.say(r#"{"return": {}, "id": "block_resize"}"#);
    assert_eq!(qmp.turn(1), [News::Resized(Ok(()))]);
    assert!(qmp.command("system_powerdown"));
    assert_eq!(qemu.hears(), "system_powerdown");
    qemu.say(r#"{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}"#);
    drop(qemu);
    assert!(qmp.turn(1).is_empty());
    assert_eq!(qmp.reason(), Some("guest-shutdown"));
    assert!(!qmp.is_live() && !qmp.command("quit"));
}

#[test]
fn a_machine_that_runs_already_is_only_listened_to() {
    let (_temp, mut qmp, mut qemu) = pair();
    qmp.let_run();
    qemu.say(GREETING);
    qmp.turn(1);
    qemu.say(r#"{"return": {}, "id": "qmp_capabilities"}"#);
    qmp.turn(1);
    qemu.say(r#"{"return": {"status": "running", "running": true}, "id": "query-status"}"#);
    assert_eq!(qmp.turn(1), [News::Up]);
}

#[test]
fn a_disk_that_can_t_be_written_is_heard_of_then_and_later() {
    let (_temp, mut qmp, mut qemu) = pair();
    qemu.say(GREETING);
    qmp.turn(1);
    qemu.say(r#"{"return": {}, "id": "qmp_capabilities"}"#);
    qmp.turn(1);
    qemu.say(r#"{"return": {"status": "io-error", "running": false}, "id": "query-status"}"#);
    assert_eq!(qmp.turn(1), [News::Stuck, News::Up]);
    qemu.say(
        r#"{"event": "BLOCK_IO_ERROR", "data": {"device": "", "nospace": true, "node-name": "disk-4.0-node",
            "reason": "No space left on device", "operation": "write", "action": "stop"}}"#
            .replace('\n', "")
            .as_str(),
    );
    qemu.say(r#"{"event": "STOP"}"#);
    let (node, why) = ("disk-4.0-node".to_owned(), "No space left on device".to_owned());
    assert_eq!(qmp.turn(1), [News::Failed { node, write: true, paused: true, why }]);
    qemu.say(r#"{"event": "RESUME"}"#);
    assert_eq!(qmp.turn(1), [News::Resumed]);
}

#[test]
fn a_refusal_is_told_in_qemus_words() {
    let (_temp, mut qmp, mut qemu) = pair();
    qmp.let_run();
    qemu.say(GREETING);
    qmp.turn(1);
    qemu.say(r#"{"return": {}, "id": "qmp_capabilities"}"#);
    qmp.turn(1);
    qemu.say(r#"{"return": {"status": "prelaunch"}, "id": "query-status"}"#);
    qmp.turn(1);
    qemu.say(r#"{"id": "cont", "error": {"class": "GenericError", "desc": "Could not reopen qcow2 layer"}}"#);
    assert_eq!(qmp.turn(1), [News::Refused("Could not reopen qcow2 layer".into())]);
}

#[test]
fn an_endless_line_ends_the_connection() {
    let (_temp, mut qmp, mut qemu) = pair();
    let chunk = vec![b'x'; 4096];
    for _ in 0..=LINE_LIMIT / chunk.len() {
        qemu.lines.get_mut().write_all(&chunk).unwrap();
        qmp.turn(1);
    }
    assert!(qmp.stream.is_none());
    assert!(qmp.input.capacity() == 0);
}

#[test]
fn a_changed_disc_s_file_is_let_go_of_before_it_is_told() {
    let (_temp, mut qmp, mut qemu) = pair();
    qmp.stage = Stage::Live;
    let node = || ("node".to_owned(), Some(24));
    assert!(qmp.change_disc("cd-3.0-drive0", node(), None, false));
    assert!(!qmp.change_disc("cd-3.0-drive0", node(), None, false), "one at a time");
    assert_eq!(qemu.hears(), "eject");
    qemu.say(r#"{"return": {}, "id": "disc"}"#);
    assert!(qmp.turn(1).is_empty());
    // The descriptor with which it was opened is released too; otherwise its file system stays busy.
    assert_eq!(qemu.hears(), "remove-fd");
    assert_eq!(qemu.hears(), "blockdev-del");
    qemu.say(r#"{"error": {"class": "GenericError", "desc": "Failed to find node"}, "id": "disc-let-go"}"#);
    assert_eq!(qmp.turn(1), [News::Changed(Ok(()))]);
    let disc = std::fs::File::open("/dev/null").unwrap().into();
    assert!(qmp.change_disc("cd-3.0-drive0", node(), Some(&disc), true));
    assert_eq!(qemu.hears(), "add-fd");
    qemu.say(r#"{"return": {"fd": 9, "fdset-id": 3}, "id": "disc-given"}"#);
    assert!(qmp.turn(1).is_empty());
    assert_eq!(qemu.hears(), "blockdev-change-medium");
    qemu.say(r#"{"error": {"class": "GenericError", "desc": "is locked"}, "id": "disc"}"#);
    assert_eq!(qmp.turn(1), [News::Changed(Err("is locked".into()))]);
}

#[test]
fn endless_events_are_handled_in_turns() {
    let (_temp, mut qmp, mut qemu) = pair();
    qemu.say(&vec![r#"{"event": "RESUME"}"#; 1000].join("\n"));
    assert_eq!(qmp.turn(1).len(), LINES);
    assert!(matches!(qmp.interest(), Err(0)), "what was read needs no event of the socket");
    for left in [LINES, LINES, 1000 - 3 * LINES] {
        assert_eq!(qmp.turn(1).len(), left);
    }
    assert!(qmp.interest().is_ok());
    // Long lines are limited too, and lose nothing.
    let long = format!(r#"{{"event": "RESUME", "data": "{}"}}"#, "x".repeat(40 << 10));
    let (mut heard, mut turns) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| (0..10).for_each(|_| qemu.say(&long)));
        while heard < 10 {
            let news = qmp.turn(1).len();
            assert!(news <= 3, "{news} lines of 40 KiB in one turn");
            (heard, turns) = (heard + news, turns + 1);
            std::thread::yield_now();
        }
    });
    assert!(turns >= 4 && qmp.stream.is_some());
}
