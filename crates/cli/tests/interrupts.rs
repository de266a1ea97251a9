//! Ctrl-C: a command that is interrupted ends soon, says what it left, and withdraws its request.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With, until};

/// A host with `deaf`, which ignores its power button, and `web`, which obeys; both run.
fn ground(test: &str) -> Option<Host> {
    let host = Host::new(test, With::Tiny)?;
    host.ok("image import ./tiny-deaf.img --name deafimage");
    host.ok("create deaf --image deafimage --ram 32M loader=bios accel=tcg");
    host.ok("create web --image tiny --ram 32M loader=bios accel=tcg");
    host.ok("start deaf,web");
    Some(host)
}

#[test]
fn a_stop_that_is_interrupted_asks_no_more_and_forces_nothing() {
    let Some(host) = ground("interrupts::stop") else { return };
    let pids = host.pids("deaf");
    let mut stop = host.terminal("stop deaf --force --timeout 600");
    stop.sees("asked to power off");
    assert_eq!(host.state("deaf"), "stopping");
    stop.types("\x03");
    stop.sees("`deaf` was left as it is");
    stop.sees("may still power off");
    stop.ends(130);
    // Nobody powers it off forcibly any more: it runs on, and can be stopped by who means it.
    until("the wish to be rolled back", || (host.state("deaf") == "running").then_some(()));
    assert_eq!(host.pids("deaf"), pids);
    host.ok("stop deaf --now");
    host.ok("stop web");
    host.nothing_is_left();
}

#[test]
fn of_several_each_is_told_and_who_else_waits_is_not_left_alone() {
    let Some(host) = ground("interrupts::several") else { return };
    let mut other = host.terminal("stop deaf --timeout 600");
    other.sees("asked to power off");
    let mut all = host.terminal("stop all --timeout 600");
    // Both, so that none is interrupted before it has begun.
    all.sees_all(&["web: asked to power off", "deaf: asked to power off"]);
    until("web to be off", || (host.state("web") == "stopped").then_some(()));
    all.types("\x03");
    all.sees("web: the guest powered off");
    all.sees("`deaf` was left as it is");
    all.ends(130);
    assert_eq!(host.state("deaf"), "stopping");
    host.ok("stop deaf --now");
    other.ends(0);
    host.nothing_is_left();
}

#[test]
fn an_interrupted_creation_leaves_nothing_half_made() {
    let Some(host) = Host::new("interrupts::create", With::Image) else { return };
    // An image whose copy takes a while: the second guest lies on another pool, so that its disk is copied.
    let before = host.tree();
    let names: Vec<String> = (0..60).map(|n| format!("g{n}")).collect();
    let mut create = host.terminal(&format!("-v create {} --image small loader=bios", names.join(",")));
    create.sees("clone");
    create.types("\x03");
    create.sees("guests could not be created");
    create.sees("interrupted, and ");
    create.sees("type the command again for what was not done");
    create.ends(130);
    let made: Vec<String> = host.ok("list -H -o name").out.lines().map(str::to_owned).collect();
    assert!(made.len() < names.len(), "{made:?}");
    for name in &made {
        host.ok(&format!("start {name} --dry-run"));
        host.ok(&format!("delete {name} --now --yes"));
    }
    assert_eq!(host.tree(), before);
}

#[test]
fn a_wait_for_what_a_pipe_may_bring_ends_at_once() {
    let Some(host) = Host::new("interrupts::pipes", With::Image) else { return };
    host.ok("create web --size 1M loader=bios");
    host.ok("snapshot web@x");
    let before = host.tree();
    let pipe = host.work().join("interrupts.pipe");
    host.sh("mkfifo", &[pipe.to_str().unwrap()]);
    let is_open = || {
        let of = |entry: std::fs::DirEntry| std::fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
        let all = std::fs::read_dir("/proc").unwrap().flatten().flat_map(of);
        all.filter_map(|fd| std::fs::read_link(fd.path()).ok()).any(|path| path == pipe)
    };
    for line in [
        "cloud-init set web --user-data ./interrupts.pipe",
        "create db --size 1M loader=bios --ssh-key ./interrupts.pipe",
        "send web@x --incremental-for ./interrupts.pipe --dry-run",
        "image import ./small.img --name some --checksums ./interrupts.pipe",
        "--facts ./interrupts.pipe --host linux --dry-run list",
    ] {
        for writes in [false, true] {
            let mut waits = host.terminal(line);
            until("the pipe to be open for reading", || is_open().then_some(()));
            // A writer that never writes, or none at all.
            let writer = writes.then(|| std::fs::File::options().write(true).open(&pipe).unwrap());
            waits.types("\x03");
            waits.ends(130);
            drop(writer);
        }
    }
    // What does arrive is read to its end, in however many pieces.
    let mut waits = host.terminal("send web@x --incremental-for ./interrupts.pipe --dry-run");
    let guid = host.ok("snapshot list web -H -o guid").value().to_owned();
    let mut writer = std::fs::File::options().write(true).open(&pipe).unwrap();
    for piece in ["x", "\t", &guid, "\n"] {
        std::io::Write::write_all(&mut writer, piece.as_bytes()).unwrap();
    }
    drop(writer);
    waits.sees("has this snapshot of `web` already");
    assert_eq!(host.tree(), before);
}
