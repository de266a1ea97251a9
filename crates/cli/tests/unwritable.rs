//! What can't be written or read: the output, the runtime folder, a journal, a guest's identity. Each is reported as what it is,
//! and a guest can be stopped all the same.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, PROGRAM, With};
use std::process::Stdio;

#[test]
fn output_that_nobody_wants_is_not_lost() {
    let Some(host) = Host::new("unwritable::output", With::Image) else { return };
    host.ok("create web --image small loader=bios");
    // Every command whose output is lost is in `output.rs`.
    let output = host.command(PROGRAM).arg("list").stdout(Stdio::null()).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"".as_slice()));
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    for line in ["--version", "start web -n --json"] {
        let output = host.command(PROGRAM).args(line.split(' ')).stdout(full.try_clone().unwrap()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}");
    }
    let output = host.command("sh").args(["-c", &format!("exec {PROGRAM} send web >&-")]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    // One that fails anyway keeps its own exit status, and a reader that has read enough is no error.
    let output = host.command(PROGRAM).args(["info", "nosuch", "--json"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let mut child = host.command(PROGRAM).args(["list", "properties"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"".as_slice()));
}

#[test]
fn json_escapes_what_a_terminal_obeys() {
    let Some(host) = Host::new("unwritable::json", With::Image) else { return };
    host.ok("create web --image small loader=bios");
    let text = "a\u{9b}31m\u{202e}b\u{85}";
    host.sh("zfs", &["set", &format!("chyves:description={text}"), &host.dataset("web")]);
    for line in ["list --json -o name,description", "get web description --json", "info web --json"] {
        let said = host.ok(line);
        assert!(!said.out.chars().any(|c| c != '\n' && (c.is_control() || c == '\u{202e}')), "{line}: {:?}", said.out);
        assert!(said.out.contains("\\u009b") && said.out.contains("\\u202e"), "{line}: {:?}", said.out);
        assert!(said.json().to_string().contains(text), "{line}");
    }
}

#[test]
fn a_guest_is_stopped_without_a_runtime_folder_that_can_be_written() {
    let Some(host) = Host::new("unwritable::stop", With::Tiny) else { return };
    let run = host.run_dir().display().to_string();
    host.sh("mount", &["-t", "tmpfs", "-o", "size=2M,mode=700", "tmpfs", &run]);
    host.ok("create web,db --image tiny --ram 32M loader=bios accel=tcg");
    host.ok("start web,db");
    let fill = format!("{run}/fill");
    assert!(!host.command("dd").args(["if=/dev/zero", &format!("of={fill}"), "bs=4k"]).output().unwrap().status.success());
    host.ok("stop web --force");
    assert_eq!(host.state("web"), "stopped");
    host.sh("rm", &[&fill]);
    host.sh("mount", &["--bind", &run, &run]);
    host.sh("mount", &["-o", "remount,bind,ro", &run]);
    host.ok("stop db --now");
    host.sh("umount", &[&run]);
    host.ok("list").says("stopped");
    // Nothing of the locks of all these commands stays.
    assert_eq!(host.sh("find", &[&run, "-path", "*/locks/*"]), "");
}

#[test]
fn a_journal_that_cannot_be_read_is_reported_and_kept() {
    let Some(host) = Host::new("unwritable::journal", With::Image) else { return };
    let folder = host.state_dir().join(".journal");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("0.json");
    let cut = "{\"command\":\"chyves set web cpu=2\",\"locks\":[\"guest.web\"]";
    for text in ["garbage\n", "{\"command\":\"chyves set web cpu=2\"}\n", "\0\0\0\0\0\0", "", "{\"version\":99}", "garbage", cut] {
        std::fs::write(&path, text).unwrap();
        let said = host.chyves("repair").ends(7).says("cannot read the journal").says("rm '");
        said.is_silent_of("nothing to repair");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        let said = host.chyves("doctor").ends(5).says("cannot read the journal").says("rm '");
        said.says("journals");
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    host.chyves("repair").ends(7).says("Is a directory");
    host.ok("create web --image small loader=bios").says("cannot read the journal");
    std::fs::remove_dir(&path).unwrap();
    host.ok("repair").says("nothing to repair");
    assert!(host.chyves("doctor").out.contains("no command was killed"));
    // The file of a lock whose holder was killed goes too.
    let locks = host.run_dir().join("locks");
    std::fs::create_dir_all(&locks).unwrap();
    std::fs::write(locks.join("guest.gone"), "{}").unwrap();
    host.ok("repair");
    assert_eq!(std::fs::read_dir(&locks).unwrap().count(), 0);
}

#[test]
fn a_guest_with_a_bad_identity_is_named_with_its_cure() {
    let Some(host) = Host::new("unwritable::identity", With::Image) else { return };
    host.ok("create sb --image small loader=bios");
    host.sh("zfs", &["set", "chyves:uuid=nonsense", &host.dataset("sb")]);
    for line in ["info sb", "start sb", "set sb cpu=2", "delete sb --yes", "get sb all"] {
        let said = host.chyves(line).ends(4).says("its uuid `nonsense` is none").says("zfs set chyves:uuid=");
        said.is_silent_of("did you mean").is_silent_of("no guest is called");
    }
}
