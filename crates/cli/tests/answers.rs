//! What answers state: what became of each object, by which names it is found afterwards, and what cannot be used.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::networks::{NIC, host as with_networks, members, stop};
use common::{Host, With};
use serde_json::json;

#[test]
fn what_needed_no_change_is_an_answer_too() {
    let Some(host) = Host::new("answers::unchanged", With::Tiny) else { return };
    host.ok("create web --image tiny --ram 32M loader=bios accel=tcg");
    let done = |line: &str| host.ok(&format!("{line} --json")).json()[0]["done"].as_str().unwrap().to_owned();
    for (line, first) in [
        ("set web ram=48M", "set"),
        ("unset web notes", "unchanged"),
        ("set defaults cpu=1", "set"),
        ("unset defaults cpu", "unset"),
        ("disk resize web disk0 64M", "resized"),
        ("start web", "started"),
        ("stop web --now", "stopped"),
    ] {
        assert_eq!(done(line), first, "{line}");
        assert_eq!(done(line), "unchanged", "{line}, again");
        // For people one line says so, not two.
        let again = host.ok(line);
        assert_eq!(again.out.lines().count() + again.err.lines().count(), 1, "{line}: {} {}", again.out, again.err);
    }
    // Each pool has defaults of its own, named as `get` names them.
    assert_eq!(host.ok("set defaults cpu=1 --json").json()[0]["object"], format!("{}:defaults", host.pool));
    let started = host.ok("start web --json").json();
    let again = host.ok("start web --json").json();
    assert_eq!(again[0]["pid"], started[0]["pid"]);
    stop(&host, "web");
}

#[test]
fn what_was_deleted_is_found_by_what_the_answer_names() {
    let Some(host) = Host::new("answers::trash", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    host.ok("create web --size 1M loader=bios");
    host.ok("disk add web 2M");
    let gone = host.ok("disk remove web disk1 --json").json();
    let dataset = gone[0]["dataset"].as_str().unwrap().to_owned();
    assert!(dataset.starts_with(&format!("{}/chyves/trash/", host.pool)), "{dataset}");
    host.ok(&format!("undelete {dataset}"));
    assert_eq!(host.ok("disk list web -H -o number").out, "0\n1\n");
    let uuid = host.ok("get web uuid -H -o value").value().to_owned();
    for key in ["dataset", "uuid"] {
        let gone = host.ok("delete web --json").json();
        assert_eq!((&gone[0]["done"], &gone[0]["uuid"]), (&json!("in-the-trash"), &json!(uuid)));
        host.ok(&format!("undelete {}", gone[0][key].as_str().unwrap()));
    }
    assert_eq!(host.ok("delete web --now --yes --json").json()[0]["dataset"], json!(null));
}

#[test]
fn a_guest_that_cannot_be_used_is_listed_with_the_reason() {
    let Some(host) = Host::new("answers::unusable", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    host.ok("create web,db --size 1M loader=bios");
    let all = || host.ok("list --json").json();
    assert!(all().as_array().unwrap().iter().all(|row| row["invalid"].is_null()));
    assert!(!host.ok("list").out.contains("INVALID"));
    host.sh("zfs", &["set", "chyves:uuid=broken", &host.dataset("db")]);
    host.sh("zfs", &["set", "chyves:cpu=abc", &host.dataset("web")]);
    let rows = all();
    let row = |name: &str| rows.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone();
    assert_eq!(row("db")["state"], "unusable");
    assert!(row("db")["invalid"].to_string().contains("its uuid `broken` is none"), "{rows}");
    assert_eq!((&row("web")["state"], &row("web")["cpu"]), (&json!("stopped"), &json!("abc")));
    assert!(row("web")["invalid"].to_string().contains("`cpu` cannot be `abc`"), "{rows}");
    host.ok("list").says("unusable").says("INVALID");
    // Names that no property has can be removed; they set nothing of the property that they resemble.
    host.ok("set web cpu=1");
    for name in ["com01", "frob"] {
        host.sh("zfs", &["set", &format!("chyves:{name}=socket"), &host.dataset("web")]);
        host.ok(&format!("unset web {name}"));
        assert_eq!(host.zfs_get(&format!("chyves:{name}"), &host.dataset("web")), "-");
    }
    host.chyves("unset web com02").ends(2).says("no property is called `com02`");
}

#[test]
fn a_running_guest_is_shown_as_it_was_started_and_where_it_is() {
    let Some(host) = with_networks("answers::running", With::Tiny) else { return };
    for bridge in ["lan", "dmz"] {
        host.ok(&format!("network {bridge} private"));
    }
    host.ok(&format!("create web {NIC} net0.bridge=lan vnc=off"));
    host.ok("start web");
    let info = || host.ok("info web --json").json()[0].clone();
    let pending = || info()["pending"].as_array().unwrap().iter().map(|c| c["property"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    host.ok("set web net0.bridge=dmz net1.backend=user");
    assert_eq!((&info()["networks"][0]["bridge"], info()["networks"].as_array().unwrap().len()), (&json!("lan"), 1));
    assert_eq!(pending(), ["net0.bridge", "net1"]);
    host.ok("list").says("net0.bridge=dmz");
    // A NIC that was moved while its guest runs is there already.
    host.ok("network move web net0 dmz");
    assert_eq!(members(&host, "dmz").len(), 1);
    assert_eq!((&info()["networks"][0]["bridge"], pending()), (&json!("dmz"), vec!["net1".to_owned()]));
    host.ok("list").is_silent_of("net0.bridge");
    stop(&host, "web");
    assert_eq!(info()["networks"].as_array().unwrap().len(), 2);
}

#[test]
fn a_display_takes_no_port_that_a_serial_port_of_its_guest_has() {
    let Some(host) = Host::new("answers::ports", With::Tiny) else { return };
    host.ok("create web --image tiny --ram 32M loader=bios accel=tcg vnc=on");
    let shown = || {
        let plan = host.ok("start web --dry-run").out;
        let at = plan.split_once("vnc ").map(|(_, rest)| rest.split([',', ' ', '\n']).next().unwrap().to_owned());
        let display = at.unwrap_or_else(|| panic!("{plan}"));
        5900 + display.rsplit_once(':').unwrap().1.parse::<u16>().unwrap()
    };
    let first = shown();
    host.ok(&format!("set web com2=tcp=127.0.0.1:{first}"));
    assert_ne!(shown(), first);
}

#[test]
fn an_offline_pool_is_not_brought_online_by_a_promotion() {
    let Some(host) = Host::new("answers::offline", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    let other = host.second_pool();
    host.ok(&format!("pool init {other}"));
    host.ok(&format!("pool offline {other}"));
    let roles = || host.ok("pool list -H -o pool,role").out;
    let before = roles();
    host.chyves(&format!("pool promote {other}")).ends(4).says("is offline").says(&format!("`chyves pool online {other}`"));
    assert_eq!(roles(), before);
    host.ok(&format!("pool online {other}"));
    host.ok(&format!("pool promote {other}"));
}

#[test]
fn a_snapshot_that_a_start_would_refuse_is_reported_where_it_is_set() {
    let Some(host) = Host::new("answers::revert", With::Tiny) else { return };
    host.ok("create web --image tiny --ram 32M loader=bios accel=tcg");
    host.ok("snapshot web@before");
    let set = "set web revert_to_snapshot=before revert_to_snapshot_method=start";
    host.ok(set).is_silent_of("will not start");
    host.ok("unset web revert_to_snapshot revert_to_snapshot_method");
    host.ok("disk add web 1M");
    host.ok(set).says("web will not start with this").says("disk1");
    host.chyves("start web").ends(4).says("disk1");
}

#[test]
fn a_rollback_to_a_snapshot_without_a_disk_says_so() {
    let Some(host) = Host::new("answers::rollback", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    host.ok("create web --size 1M loader=bios");
    host.sh("zfs", &["mount", &host.dataset("web")]);
    let file = |name: &str| host.mount_point().join("chyves/guests/web").join(name).display().to_string();
    host.sh("mv", &[&file("disk0.raw"), &file("keep")]);
    host.ok("snapshot web@without");
    host.sh("mv", &[&file("keep"), &file("disk0.raw")]);
    host.ok("snapshot web@with");
    host.sh("zfs", &["unmount", &host.dataset("web")]);
    host.ok("snapshot rollback web@with").is_silent_of("has no disk0");
    host.ok("snapshot rollback web@without").says("web has no disk0 now: @without does not hold it");
}
