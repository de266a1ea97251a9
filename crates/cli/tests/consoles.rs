//! Other ways to serial ports than the one console on this terminal: windows of tmux, the ports behind the first, cu.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, PROGRAM, With, until};
use std::os::unix::fs::PermissionsExt;

/// A tmux of this test's own.
fn tmux(host: &Host, words: &[&str]) -> String {
    let output = host.command("tmux").env("TMUX_TMPDIR", host.work()).args(words).output().unwrap();
    assert!(output.status.success(), "tmux {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn windows(host: &Host) -> Vec<String> {
    tmux(host, &["list-windows", "-t", "=chyves", "-F", "#{window_name} #{@chyves_guest}"]).lines().map(str::to_owned).collect()
}

#[test]
fn consoles_are_windows_of_tmux() {
    if !Host::has("consoles::tmux", "tmux") {
        return;
    }
    let Some(host) = Host::new("consoles::tmux", With::Tiny) else { return };
    let open = |line: &str| {
        let words = line.split(' ');
        let output = host.command(PROGRAM).env("TMUX_TMPDIR", host.work()).args(words).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    };
    host.ok("create web,web.1 --image tiny --ram 64M loader=bios");
    let (code, says) = open("console web --tmux");
    assert_eq!(code, 4, "{says}");
    assert!(says.contains("`web` is not running"), "{says}");
    host.ok("start web,web.1");
    let (code, says) = open("-n console web,web.1 --tmux");
    assert_eq!(code, 0, "{says}");
    assert_eq!(says.matches("tmux new-session").count(), 1, "{says}");
    assert_eq!(says.matches("tmux new-window").count(), 1, "{says}");
    // As it was written in 2016.
    let (code, says) = open("web.1 console tmux");
    assert_eq!(code, 0, "{says}");
    assert!(says.contains("tmux attach-session -t =chyves"), "{says}");
    assert_eq!(windows(&host), ["web.1 web.1"]);
    // `web` is another guest, whatever stands in a name; who has a window keeps it.
    assert_eq!(open("console all --tmux").0, 0);
    assert_eq!(windows(&host), ["web.1 web.1", "web web"]);
    let shows = |guest: &str, text: &str| {
        until(&format!("the window of {guest} to show {text}"), || {
            let listed = tmux(&host, &["list-windows", "-t", "=chyves", "-F", "#{window_id} #{@chyves_guest}"]);
            let window = listed.lines().find_map(|l| l.split_once(' ').filter(|(_, g)| *g == guest)).unwrap().0.to_owned();
            tmux(&host, &["capture-pane", "-p", "-t", &window]).contains(text).then_some(())
        });
    };
    shows("web", "tiny: ready 1");
    shows("web.1", "tiny: ready 1");
    // The window stays when the console ends, and tells why.
    host.ok("stop web --now");
    shows("web", "web is off.");
    until("the pane of web to be dead", || {
        let listed = tmux(&host, &["list-panes", "-a", "-F", "#{@chyves_guest} #{pane_dead}"]);
        listed.lines().any(|line| line == "web 1").then_some(())
    });
    tmux(&host, &["kill-server"]);
    host.ok("stop web.1 --now");
    host.nothing_is_left();
}

#[test]
fn the_replayed_log_is_marked_and_can_be_left_out() {
    let Some(host) = Host::new("consoles::replay", With::Tiny) else { return };
    host.ok("create web --image tiny --ram 64M loader=bios");
    host.ok("start web");
    let mut console = host.console("web");
    console.sees("tiny: ready 1");
    console.leaves();
    let mut console = host.terminal("console web");
    console.sees("--- the last ");
    console.sees(" bytes of the console log ---\r\n");
    console.sees("tiny: ready 1");
    console.sees("--- live output from here on ---\r\n");
    console.types("i");
    console.sees("tiny: ready 1");
    console.leaves();
    // Without a terminal there are the guest's bytes alone.
    let piped = host.ok("console web");
    assert!(piped.out.contains("tiny: ready 1") && !piped.err.contains("---"), "{} {}", piped.out, piped.err);
    assert_eq!(host.ok("console web --no-replay").out, "");
    let mut console = host.terminal("console web --no-replay");
    console.sees("leave with Ctrl-].\r\n");
    console.types("g");
    console.sees("tiny: data");
    console.leaves();
    host.chyves("console web --port com2 --no-replay").ends(2);
    host.ok("stop web --now");
    host.nothing_is_left();
}

#[test]
fn another_port_is_reached_without_a_supervisor_and_by_cu() {
    let Some(mut host) = Host::freebsd("consoles::ports", With::Files, &["release=15.0", "cpu=intel"]) else { return };
    host.ok(&format!("pool init {}", host.pool));
    host.ok("image import ./linux.img");
    host.ok("create web01 --image linux --ram 192M com2=/dev/nmdm-web01.2A com3=/dev/cuau1");
    host.chyves("console web01 --port com1").ends(2).says("com1 is the console itself");
    host.chyves("console web01 --port com4").ends(3).says("com4=/dev/nmdm-web01.4A");
    host.chyves("console web01 --port com3").ends(2).says("its far end is /dev/cuau1");
    host.chyves("console web01 --port com2").ends(4).says("is not running");
    host.chyves("console web01 web02").ends(2).says("--tmux");
    host.ok("-n console web01 --port com2 --cu").says("cu -l /dev/nmdm-web01.2B -s 115200");
    host.ok("unset web01 com3");
    host.ok("start web01");
    let mut console = host.console("web01");
    console.logs_in();
    let mut port = host.terminal("console web01 --port com2");
    port.sees("At com2 of web01; leave with Ctrl-]");
    // Open for good: what comes while nobody has the port open is lost.
    console.shell("exec 3<>/dev/ttyS1; stty raw -echo <&3; echo to-the-port >&3");
    port.sees("to-the-port");
    console.types("head -n 1 <&3\r");
    port.types("from-the-port\n");
    console.sees("from-the-port");
    port.leaves();
    // cu itself is the administrator's; what it is told is ours.
    let folder = host.work().join("bin");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("cu"), "#!/bin/sh\necho cu \"$@\"\n").unwrap();
    std::fs::set_permissions(folder.join("cu"), std::fs::Permissions::from_mode(0o755)).unwrap();
    host.first_on_path(&folder);
    assert_eq!(host.ok("console web01 --port com2 --cu").out, "cu -l /dev/nmdm-web01.2B -s 115200\n");
    host.ok("stop web01 --now");
    drop(console);
    host.nothing_is_left();
}
