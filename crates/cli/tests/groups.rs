//! Groups of guests: the trash, moves, names and settings of guests in them, and how deep they are read.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::stream::{done, receive, send};
use common::{Host, With, until};

/// Makes a group on a pool; its dataset.
fn group(host: &Host, pool: &str, name: &str) -> String {
    let place = format!("{pool}/chyves/guests/{name}");
    host.sh("zfs", &["create", "-o", "canmount=off", &place]);
    place
}

/// Brings a guest into a group of its pool as soon as ZFS lets go of its file system.
fn join(host: &Host, guest: &str, group: &str) -> String {
    let (from, to) = (host.dataset(guest), format!("{group}/{guest}"));
    until("the guest to be renamed", || host.command("zfs").args(["rename", &from, &to]).output().unwrap().status.success().then_some(()));
    to
}

fn exists(host: &Host, dataset: &str) -> bool {
    host.command("zfs").args(["list", dataset]).output().unwrap().status.success()
}

#[test]
fn a_deleted_guest_that_has_clones_is_found_in_its_group() {
    let Some(host) = Host::new("groups::trash", With::Image) else { return };
    let other = host.second("");
    host.ok("set global group_levels=1");
    let prod = group(&host, &host.pool, "prod");
    host.ok("create b --size 1M loader=bios");
    let place = join(&host, "b", &prod);
    host.ok("clone b bc");
    host.ok("delete b");
    host.ok("trash list").says("b ");
    host.chyves("info b").ends(3).says("the guest `b` is deleted").is_silent_of("group of guests");
    // Where ZFS could not move it, it keeps its name.
    if exists(&host, &place) {
        host.chyves("create b --size 1M").ends(4).says("a deleted guest keeps the name `b`").says("chyves undelete b");
    }
    host.ok("undelete b");
    assert_eq!(host.ok("list b -H -o name,group").out, "b\tprod\n");

    host.ok(&format!("move b --pool {other}"));
    host.ok("info b").is_silent_of("group of guests");
    host.ok("trash list").says("b ");
    if exists(&host, &place) {
        // A group of that name is not there; in the former place the name is kept.
        host.chyves(&format!("move b --pool {}", host.pool)).ends(4).says("a deleted guest keeps the name `b`");
    }
    host.ok("delete bc");
    host.ok("trash empty --yes").says("b: destroyed");
    assert!(!exists(&host, &place));
    host.ok("trash list").says("the trash is empty");
    host.ok(&format!("move b --pool {}", host.pool));
}

#[test]
fn a_guest_is_moved_into_its_group_and_what_it_inherits_is_told() {
    let Some(host) = Host::new("groups::move", With::Image) else { return };
    let other = host.second("");
    host.ok("set global group_levels=1");
    let prod = group(&host, &host.pool, "prod");
    let lone = group(&host, &host.pool, "lone");
    group(&host, &other, "prod");
    host.sh("zfs", &["set", "chyves:ram=99M", &prod]);
    host.sh("zfs", &["set", "chyves:cpu=2", &lone]);
    host.ok("create r --size 1M loader=bios notes=mine");
    host.ok("create s --size 1M loader=bios");
    join(&host, "r", &prod);
    join(&host, "s", &lone);
    // The setting applies to every pool.
    host.ok("list").is_silent_of("is not a guest");

    let told = |line: &str| {
        host.ok(line).says("ram 256M (was 99M)").is_silent_of("was mine").is_silent_of("no group");
    };
    told(&format!("move r --pool {other} --dry-run"));
    told(&format!("move r --pool {other}"));
    assert_eq!(host.ok("list r -H -o name,group,ram,dataset").out, format!("r\tprod\t256M\t{other}/chyves/guests/prod/r\n"));
    host.ok("start r --dry-run");
    host.ok(&format!("move s --pool {other}")).says(&format!("{other} has no group `lone`")).says("cpu 1 (was 2)");
    assert_eq!(host.ok("list s -H -o name,group").out, "s\t-\n");

    // The primary pool's setting goes on with another primary pool.
    host.ok(&format!("pool promote {other}"));
    assert_eq!(host.zfs_get("chyves:group_levels", &format!("{other}/chyves")), "1");
    assert_eq!(host.ok("list r -H -o name,group").out, "r\tprod\n");
}

#[test]
fn guests_are_hidden_by_no_accident_and_their_names_are_not_given_again() {
    let Some(host) = Host::new("groups::levels", With::Tiny) else { return };
    let other = host.second("");
    host.ok("set global group_levels=1");
    let prod = group(&host, &host.pool, "prod");
    host.ok("create t --image tiny loader=bios accel=tcg");
    host.ok("create u --size 1M loader=bios");
    let place = join(&host, "t", &prod);
    host.ok("start t");
    for line in ["set global group_levels=0", "unset global group_levels"] {
        host.chyves(line).ends(4).says("guests that run would be hidden").says("chyves stop t");
    }
    host.ok("stop t --now");
    host.ok("set global group_levels=0").says("t (prod)");
    host.chyves("doctor").says(&place).says("`chyves set global group_levels=1`");

    let taken = "a guest is called `t` already, in a group that is not read";
    host.ok("snapshot u@one");
    done(send(&host, "send u@one", "stream"));
    let streamed = receive(&host, &format!("receive --name t --pool {other}"), "stream");
    assert!(streamed.0 == 4 && streamed.1.contains(taken), "{streamed:?}");
    for line in ["create t --size 1M", "create t --size 1M --dry-run", "clone u t", "rename u t"] {
        host.chyves(line).ends(4).says(taken).says(&place).says("chyves set global group_levels=1");
    }
    host.ok("delete u");
    host.chyves("undelete u --name t").ends(4).says(taken);
    host.ok("undelete u");
    host.ok("set global group_levels=1").is_silent_of("no command finds");
    host.ok("info t");
    host.chyves("doctor").is_silent_of("groups that are not read");
    host.nothing_is_left();
}

#[test]
fn no_command_gives_a_guest_the_name_of_a_group() {
    let Some(host) = Host::new("groups::names", With::Image) else { return };
    let other = host.second("");
    host.ok("set global group_levels=2");
    let prod = group(&host, &host.pool, "prod");
    group(&host, &host.pool, "prod/eu");
    group(&host, &other, "far");
    host.ok("create b --size 1M loader=bios");
    join(&host, "b", &prod);
    host.ok("snapshot b@one");
    done(send(&host, "send b@one", "stream"));
    for name in ["prod", "eu", "far"] {
        let taken = format!("a group of guests is called `{name}`");
        let streamed = receive(&host, &format!("receive --name {name}"), "stream");
        assert!(streamed.0 == 4 && streamed.1.contains(&taken), "{streamed:?}");
        for line in ["create NAME --size 1M", "clone b NAME", "clone b@one NAME --independent", "rename b NAME"] {
            host.chyves(&line.replace("NAME", name)).ends(4).says(&taken);
        }
        host.ok("delete b");
        host.chyves(&format!("undelete b --name {name}")).ends(4).says(&taken);
        host.ok("undelete b");
    }
    // Nor does a guest move to where a group has its name.
    group(&host, &other, "b");
    host.chyves(&format!("move b --pool {other}")).ends(4).says("a group of guests is called `b`");
    assert_eq!(host.ok("list -H -o name,group").out, "b\tprod\n");
}

#[test]
fn the_cure_of_a_group_s_setting_is_at_the_group() {
    let Some(host) = Host::new("groups::cure", With::Image) else { return };
    host.ok("set global group_levels=1");
    let prod = group(&host, &host.pool, "prod");
    host.ok("create b t --size 1M loader=bios");
    join(&host, "b", &prod);
    join(&host, "t", &prod);
    host.sh("zfs", &["set", "chyves:cpu=abc", &prod]);
    host.chyves("doctor").says(&format!("`zfs set chyves:cpu=VALUE {prod}` replaces it")).is_silent_of("`chyves set t cpu=VALUE`");
    host.sh("zfs", &["set", "chyves:cpu=2", &prod]);
    host.chyves("doctor").is_silent_of("cpu=VALUE");
}

#[test]
fn of_two_deleted_guests_of_one_name_one_is_destroyed() {
    let Some(host) = Host::new("groups::twice", With::Image) else { return };
    let other = host.second("");
    host.ok("create a --size 1M loader=bios");
    host.ok(&format!("move a --pool {other}"));
    host.ok("trash list").is_silent_of("DATASET");
    host.ok(&format!("move a --pool {}", host.pool));
    let place = |pool: &str| format!("{pool}/chyves/trash/");
    host.ok("trash list").says("DATASET").says(&place(&host.pool)).says(&place(&other));
    let hint = host.chyves("trash empty a --yes").ends(2).says("`chyves trash empty ").err;
    let typed = hint.split("`chyves ").nth(1).and_then(|rest| rest.split('`').next()).unwrap();
    host.ok(&format!("{typed} --yes")).says("a: destroyed");
    host.ok("trash empty a --yes").says("a: destroyed");
    host.ok("info a");
}
