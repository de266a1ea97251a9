//! What goes along when another pool becomes the primary one: the settings of the host's networks, and which host this is.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::networks::{self, members, names, shape, stop};
use common::{Host, With};

/// The settings of the host on a root, with the marks of its role.
fn root(host: &Host, dataset: &str) -> Vec<String> {
    let all = host.sh("zfs", &["get", "-H", "-s", "local", "-o", "property,value", "all", dataset]);
    let mut all: Vec<String> = all.lines().filter(|line| line.starts_with("chyves:")).map(str::to_owned).collect();
    all.sort();
    all
}

#[test]
fn the_networks_of_the_host_move_with_the_primary_role() {
    let Some(host) = networks::host("promoted::networks", With::Tiny) else { return };
    let (tank, fast) = (host.pool.clone(), host.second_pool());
    host.ok(&format!("pool init {fast}"));
    let roots = || [&tank, &fast].map(|pool| root(&host, &format!("{pool}/chyves")));
    for words in [&["address", "add", "10.7.0.1/24", "dev", "em0"][..], &["route", "add", "default", "via", "10.7.0.2"]] {
        host.sh("ip", words);
    }
    host.ok("network lan attach em0 address=10.7.0.1/24 --yes");
    host.ok("network lab private");
    host.ok("create web --image tiny --full loader=bios accel=tcg net0.backend=bridge net0.bridge=lan");
    let before = roots();
    host.ok(&format!("pool promote {fast} -n")).says("bridge100.uplink");
    assert_eq!(roots(), before);
    host.ok(&format!("pool promote {fast}")).says("networks move with that role").says("bridge100.uplink");
    assert!(!roots()[0].iter().any(|line| line.contains("bridge")), "{:?}", roots());
    host.ok("network check");
    host.ok("network list -H -o bridge,uplink").says("lan\tem0");
    host.ok("get global").says("bridge100.uplink");
    // As after a boot: nothing of it is there, and a guest brings it.
    host.sh("ip", &["link", "delete", "lan"]);
    host.sh("ip", &["link", "delete", "lab"]);
    host.ok("network apply --yes");
    host.ok("start web");
    assert!(members(&host, "lan").contains(&"em0".to_owned()));
    stop(&host, "web");
    // The way back brings exactly what was there.
    host.ok(&format!("pool promote {tank}"));
    assert_eq!(roots(), before);
    host.ok(&format!("pool promote {fast}"));
    host.ok("delete web --yes --now");
    host.ok("network lan delete --yes");
    assert!(!names(&host).contains(&"lan".to_owned()));
    let back = shape(&host);
    assert!(back.iter().any(|line| line.contains("em0") && line.contains("10.7.0.1")), "{back:?}");
}

#[test]
fn other_networks_of_the_pool_are_not_taken_silently() {
    let Some(host) = Host::new("promoted::others", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    let fast = host.second("");
    host.ok("set global bridge0.private=yes");
    let dataset = format!("{fast}/chyves");
    host.sh("zfs", &["set", "chyves:bridge5.uplink=em9", &dataset]);
    let cure = format!("zfs inherit chyves:bridge5.uplink {dataset}");
    let before = host.tree();
    host.chyves(&format!("pool promote {fast}")).ends(4).says("bridge5.uplink=em9").says(&cure);
    assert_eq!(host.tree(), before);
    host.sh("zfs", &cure.split(' ').skip(1).collect::<Vec<_>>());
    host.ok(&format!("pool promote {fast}"));
    host.ok("get global").says("bridge0.private");
}

#[test]
fn the_wrong_choice_of_a_host_is_undone_by_the_right_one() {
    let Some(host) = Host::new("promoted::identity", With::Image) else { return };
    let other = host.second("");
    let roots = || [&host.pool, &other].map(|pool| root(&host, &format!("{pool}/chyves")));
    host.ok("create mine --image small loader=bios");
    host.ok(&format!("create evil --size 1M --pool {other} loader=bios autostart=1"));
    // The pool of another host, primary there.
    let elsewhere = "33333333-3333-4333-8333-333333333333";
    host.sh("zfs", &["set", &format!("chyves:host={elsewhere}"), &format!("{other}/chyves")]);
    host.sh("zfs", &["set", &format!("chyves:owner={elsewhere}"), &format!("{other}/chyves/guests/evil")]);
    host.sh("zfs", &["set", "chyves:role=primary", &format!("{other}/chyves")]);
    let states = || ["mine", "evil"].map(|guest| host.state(guest));
    assert_eq!(states(), ["foreign", "foreign"]);
    let before = roots();
    let asks = host.chyves(&format!("pool promote {other}"));
    assert!(asks.code != 0 && asks.err.contains("evil: autostart=1 starts by itself"), "{}", asks.err);
    assert_eq!(roots(), before);
    host.ok(&format!("pool promote {other} --yes")).says(&format!("chyves pool promote {}", host.pool));
    assert_eq!(states(), ["foreign", "stopped"]);
    host.chyves(&format!("pool promote {}", host.pool)).says("--yes");
    host.ok(&format!("pool promote {} --trust", host.pool));
    assert_eq!(states(), ["stopped", "foreign"]);
    host.ok("start mine -n");
    host.chyves("start evil -n").ends(4);
    // This host's own pool is what it was.
    assert_eq!(roots()[0], before[0]);
}

#[test]
fn an_offline_pool_still_has_its_guests() {
    let Some(host) = Host::new("promoted::offline", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    let fast = host.second("");
    host.ok(&format!("create web --size 1M --pool {fast}"));
    host.ok(&format!("pool offline {fast}"));
    host.ok("pool list -H -o pool,role,guests").says(&format!("{fast}\toffline\t1\n"));
    // Without the primary pool, what is there is named.
    host.sh("zfs", &["set", "chyves:role=secondary", &format!("{}/chyves", host.pool)]);
    host.chyves("create e1 --size 1M").ends(3).says("no pool of chyves is primary").says(&format!("{fast} is offline"));
}
