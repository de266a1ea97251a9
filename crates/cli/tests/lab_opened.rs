//! A FreeBSD host, played by the lab: files that are swapped between chyves' check and bhyve's open.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With};

/// A host with web01, and what a script needs to put another file in the place of its disk: what is there is kept as `old`.
fn host(test: &str, settings: &[&str]) -> Option<(Host, String)> {
    let host = Host::freebsd(test, With::Tiny, settings)?;
    host.ok("create web01 --image tiny --ram 64M");
    let disk = format!("{}/disk0.raw", host.zfs_get("mountpoint", &host.dataset("web01")));
    let secret = host.work().join("secret.raw");
    std::fs::write(&secret, vec![0x55; 1 << 20]).unwrap();
    let swap = format!("mv '{disk}' '{disk}.old'; cp '{}' '{disk}'", secret.display());
    Some((host, swap))
}

fn opened(host: &Host) -> String {
    host.ok("info web01 --json").json()[0]["opened_files"].as_str().unwrap().to_owned()
}

#[test]
fn a_guest_whose_disk_was_swapped_before_bhyve_opened_it_is_powered_off() {
    let Some((mut host, swap)) = host("lab_opened::swapped", &["release=13.5"]) else { return };
    host.ok("start web01");
    let words = opened(&host);
    assert!(words.starts_with("2 files compared with what bhyve has open") && words.contains("BHYVE_UEFI"), "{words}");
    host.ok("stop web01 --now");
    host.stand_in("bhyve", &format!("case \"$*\" in *' web01') {swap};; esac\nexec \"$real\" \"$@\""));
    let refused = host.chyves("start web01").ends(1);
    refused.says("bhyve has not opened the file that was checked at").says("disk0.raw").says("(1048576 bytes, read-write)");
    assert_eq!(host.state("web01"), "stopped");
    host.nothing_is_left();
}

#[test]
fn where_what_is_open_cannot_be_asked_for_that_is_said() {
    let Some((mut host, _)) = host("lab_opened::unknown", &["release=14.3"]) else { return };
    host.stand_in("fstat", "echo 'fstat: no kernel'\nexit 1");
    host.ok("start web01");
    assert!(opened(&host).starts_with("not compared: `fstat` ended with status 1"), "{}", opened(&host));
    host.ok("info web01").says("opened-files:");
    host.ok("stop web01 --now");
}

#[test]
fn a_jail_that_shows_another_file_runs_no_bhyve() {
    let Some((mut host, swap)) = host("lab_opened::jail", &["release=14.3"]) else { return };
    host.stand_in("jail", &format!("case \"$*\" in *' -c '*) \"$real\" \"$@\" && {{ {swap}; exit 0; }};; esac\nexec \"$real\" \"$@\""));
    host.chyves("start web01").ends(1).says("the jail of bhyve shows another file than the one that was checked at").says("disk0.raw");
    host.nothing_is_left();
}

#[test]
fn in_a_jail_bhyve_opens_what_was_checked_whatever_has_its_name() {
    let Some((mut host, swap)) = host("lab_opened::pinned", &["release=14.3"]) else { return };
    host.stand_in("jexec", &format!("{swap}\nexec \"$real\" \"$@\""));
    host.ok("start web01");
    // The swapped file boots nothing.
    host.console("web01").sees("tiny: ready");
    let words = opened(&host);
    assert!(words.starts_with("2 files compared with what bhyve has open") && words.contains("compared in its jail"), "{words}");
    host.ok("stop web01 --now");
}
