//! A host crash in the middle of a command: what was under way is completed or rolled back when it is up again.
//! The fault matrix tries every step of every command; here is what people see of it, and what the pool may have been
//! through meanwhile.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With, until};

/// Runs a command that is killed at that step, and takes the host down with it.
fn dies(host: &Host, line: &str, fault: &str) {
    host.killed(line, fault);
    host.goes_down();
}

#[test]
fn the_next_command_takes_back_what_was_under_way() {
    let Some(host) = Host::new("down::next", With::Image) else { return };
    let before = host.tree();
    dies(&host, "create web --image small loader=bios", "killed:2");
    assert_ne!(host.tree(), before);
    host.ok("repair --dry-run")
        .says("the host crashed or lost power while ")
        .says("create web --image small loader=bios` was at: ")
        .says("rolled back");
    host.ok("create web --image small loader=bios notes=second").says("the host crashed or lost power while").says("rolling back");
    assert_eq!(host.value("web", "notes"), "second");
    host.ok("repair").says("nothing to repair");
    host.nothing_is_left();
}

#[test]
fn a_deletion_under_way_is_finished() {
    let Some(host) = Host::new("down::finished", With::Image) else { return };
    host.ok("create web --image small loader=bios");
    host.ok("create web-1 --image small loader=bios");
    host.ok("delete web-1");
    host.ok("delete web");
    // The first of the two is gone, the second was not come to.
    dies(&host, "trash empty --yes", "killed:1");
    let left = host.ok("trash list -H").out;
    assert_eq!(left.lines().count(), 1);
    host.ok("repair").says("the host crashed or lost power while").says("finished");
    assert_eq!(host.ok("trash list -H").out, left);
    host.nothing_is_left();
}

#[test]
fn what_others_made_meanwhile_is_left() {
    let Some(host) = Host::new("down::others", With::Image) else { return };
    // What the command would have made was made hours after it, where the pool was then.
    dies(&host, "create web --image small loader=bios", "kill:1");
    let journal = host.journals().pop().unwrap();
    let text = std::fs::read_to_string(&journal).unwrap();
    let began: u64 = text.split("\"began\":").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    let earlier = |at: u64| (at - 7200).to_string();
    std::fs::write(&journal, (began..began + 300).fold(text, |text, at| text.replace(&at.to_string(), &earlier(at)))).unwrap();
    let there = host.tree();
    host.ok("repair").says("left as it is").says("was created later, by others");
    assert_eq!(host.tree(), there);
    assert!(host.journals().is_empty());
    host.ok("delete web --now --yes");

    // What it was about is another one by now.
    host.ok("create web --image small loader=bios notes=first");
    dies(&host, "rename web db", "killed:0");
    let web = host.dataset("web");
    until("web to be free", || host.command("zfs").args(["destroy", "-r", &web]).output().unwrap().status.success().then_some(()));
    host.sh("zfs", &["create", "-o", "canmount=noauto", &web]);
    let there = host.tree();
    host.ok("repair").says("left as it is").says("is another one by now");
    assert_eq!(host.tree(), there);
    host.sh("zfs", &["destroy", &web]);
    host.nothing_is_left();
}

#[test]
fn a_folder_without_room_keeps_nothing_from_being_done() {
    let Some(host) = Host::new("down::room", With::Image) else { return };
    let before = host.tree();
    // What is under way is written beside the locks.
    std::fs::remove_dir_all(host.state_dir()).unwrap();
    std::fs::write(host.state_dir(), "no folder").unwrap();
    host.killed("create web --image small loader=bios", "kill:3");
    assert!(host.journals().iter().all(|path| path.starts_with(host.run_dir())) && host.journals().len() == 1);
    host.ok("repair").says("was killed").says("rolled back");
    assert_eq!(host.tree(), before);
    host.nothing_is_left();
}

#[test]
fn what_was_under_way_waits_for_its_pool() {
    let Some(host) = Host::new("down::pool", With::Image) else { return };
    let other = host.second_pool();
    host.ok(&format!("pool init {other}"));
    let before = host.tree();
    host.killed(&format!("create away --pool {other} --size 1M loader=bios"), "killed:2");
    host.killed("create web --image small loader=bios", "killed:2");
    assert_eq!(host.journals().len(), 2);
    host.goes_down();
    host.sh("zpool", &["export", &other]);
    // What can be put right is, whatever becomes of the rest.
    let said = host.chyves("repair").ends(6).says("1 of 2 some remains could not be repaired").says("guest.web: rolled back");
    said.says(&format!("no imported pool is called `{other}`")).says("`zpool import` those not imported");
    host.chyves("repair").ends(3).says("gone for good, remove what is known of it: `rm /");
    assert_eq!(host.journals().len(), 1);
    host.chyves("create away --size 1M loader=bios").ends(3).says("`zpool import`").says("gone for good");
    host.sh("zpool", &["import", "-d", host.dir().to_str().unwrap(), "-o", "cachefile=none", &other]);
    host.ok("repair").says("guest.away: rolled back");
    assert_eq!(host.tree(), before);
    host.nothing_is_left();
}
