//! Settings that reach the host are not used before an administrator of this host has trusted them, whichever way they came.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With};
use std::process::Stdio;

/// Another host's pool stands for whoever made a stream: its guest has what the attacker wants.
fn sent(host: &Host, guest: &str, options: &[&str]) -> Vec<u8> {
    let snapshot = format!("{}@sent", host.dataset(guest));
    if host.command("zfs").args(["list", "-H", &snapshot]).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success() {
        host.sh("zfs", &["destroy", &snapshot]);
    }
    host.sh("zfs", &["snapshot", &snapshot]);
    host.command("zfs").arg("send").args(options).arg(&snapshot).output().unwrap().stdout
}

fn received(host: &Host, stream: &[u8], name: &str) {
    let mut child =
        host.command(common::PROGRAM).args(["receive", "--name", name]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let written = std::io::Write::write_all(&mut child.stdin.take().unwrap(), stream);
    assert!(child.wait().unwrap().success() && written.is_ok());
}

/// A program that shows that it ran.
fn canary(host: &Host) -> (String, std::path::PathBuf) {
    let (program, ran) = (host.work().join("canary"), host.work().join("canary-ran"));
    std::fs::write(&program, format!("#!/bin/sh\necho ran >{}\n", ran.display())).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    (program.display().to_string(), ran)
}

fn own(host: &Host, guest: &str, key: &str) -> String {
    host.sh("zfs", &["get", "-H", "-o", "value", &format!("chyves:{key}"), &host.dataset(guest)]).trim().to_owned()
}

/// Each key of the class with a value that reaches the host, and what it is removed together with.
fn attacks(canary: &str) -> Vec<(&'static str, String)> {
    let port = "-netdev user,id=x,guestfwd=tcp:10.0.2.100:80-cmd:";
    [
        ("qargs", format!("{port}{canary}")),
        ("bargs", "-G 0.0.0.0:1234".into()),
        ("bhyveload_flags", format!("-l {canary}")),
        ("pcidev_0", "passthru,2/0/0".into()),
        ("fw_cfg0", "opt/x,file=/etc/shadow".into()),
        ("com2", "tcp=0.0.0.0:5555".into()),
        ("tpm", "passthru,/dev/tpm0".into()),
        ("os", "custom".into()),
        ("vnc_address", "0.0.0.0".into()),
        ("vnc_port", "5999".into()),
        ("ci.password_file", "/etc/shadow".into()),
        ("bridge", "lan".into()),
        ("net0.backend", "bridge".into()),
        ("net0.bridge", "lan".into()),
        ("net0.tap", "tap7".into()),
        ("net0.vlan", "7".into()),
        ("net0.vale", "vale7".into()),
        ("net0.netgraph", "lan:".into()),
        ("autostart", "1".into()),
        ("disk1.source", "/dev/sda".into()),
    ]
    .to_vec()
}

#[test]
fn a_received_guest_reaches_nothing_before_it_is_trusted() {
    let Some(host) = Host::new("trust::received", With::Image) else { return };
    let (program, ran) = canary(&host);
    host.ok("create web --image small loader=bios notes=kept");
    host.sh("zfs", &["set", "chyves:disk1.kind=attached", &host.dataset("web")]);
    let attacks = attacks(&program);
    for (key, value) in &attacks {
        host.sh("zfs", &["set", &chyves_core::property::settings::zfs_pair(key, value), &host.dataset("web")]);
    }
    let stream = host.command(common::PROGRAM).args(["send", "web"]).output().unwrap().stdout;
    host.ok("delete web --yes --now");
    received(&host, &stream, "web");
    let before = host.tree();
    // It is foreign, and what it says is shown; nothing is changed.
    host.chyves("start web").ends(4).says("foreign");
    let refused =
        host.chyves("adopt web").ends(4).says("cannot adopt `web`: it has 20 settings that reach the host").says("--drop-host-settings");
    // The columns are as wide as the longest path.
    let table: Vec<String> =
        refused.out.lines().map(|l| l.split("  ").filter(|c| !c.is_empty()).map(str::trim).collect::<Vec<_>>().join(" | ")).collect();
    let table = table.join("\n").replace(&host.work().display().to_string(), "WORK");
    insta::assert_snapshot!("adopt_table", table);
    host.chyves("adopt web --json").ends(4).says("\"host_settings\"").says("\"runs-program\"").says("\"error\"");
    host.chyves("adopt web --trust=ram").ends(2).says("does not reach the host");
    host.chyves("adopt web --trust=nonsense").ends(2);
    host.ok("adopt web --drop-host-settings --dry-run").says("inherit chyves:qargs").says("removed");
    assert_eq!(host.tree(), before);
    // Trust in one key is trust in no other: the guest is this host's, and does not start.
    host.ok("adopt web --trust=vnc_address").says("does not start before these are trusted or removed");
    host.chyves("start web").ends(4).says("not trusted here").says("qargs=").is_silent_of("vnc_address=");
    host.chyves("cloud-init show web").ends(4);
    host.ok("start --boot").says("its autostart is not trusted here");
    assert!(!ran.exists());
    // Each of them alone is refused, and is trusted by its key alone.
    for (key, _) in &attacks {
        host.chyves(&format!("adopt web --trust={key}")).ends(0);
        host.chyves("start web -n").is_silent_of(&format!("because: {key}="));
    }
    host.chyves("start web -n").is_silent_of("not trusted");
    // What is removed is exactly that.
    host.ok("delete web --yes --now");
    received(&host, &stream, "web");
    host.ok("adopt web --drop-host-settings");
    for (key, _) in &attacks {
        assert_eq!(own(&host, "web", key), "-", "{key}");
    }
    assert_eq!((own(&host, "web", "disk1.kind"), own(&host, "web", "notes")), ("-".into(), "kept".into()));
    host.ok("start web -n");
    assert!(!ran.exists());
}

#[test]
fn a_value_that_came_later_is_not_trusted_either() {
    let Some(host) = Host::new("trust::later", With::Image) else { return };
    host.ok("create web --image small loader=bios qargs=-S");
    // Set here, by chyves or by hand: it is this host's own guest.
    host.ok("start web -n").says(" -S");
    host.sh("zfs", &["set", "chyves:qargs=-T", &host.dataset("web")]);
    host.ok("start web -n").says(" -T");
    // Without properties a stream brings the copy of the settings, which says anything.
    host.in_folder("web", |folder| {
        let copy = std::fs::read_to_string(folder.join("config.toml")).unwrap();
        let forged = copy.replace("\"-S\"", "\"-evil\"") + "\"trust\" = \"listed\"\n\"trusted.qargs\" = \"00\"\n";
        std::fs::write(folder.join("config.toml"), forged).unwrap();
    });
    let stream = sent(&host, "web", &[]);
    received(&host, &stream, "copy");
    host.chyves("adopt copy --new-identity").ends(4).says("qargs").says("-evil");
    host.ok("adopt copy --new-identity --trust");
    host.ok("start copy -n").says(" -evil");
    // On an adopted guest a change by hand has to be confirmed, and one by chyves is trusted.
    host.sh("zfs", &["set", "chyves:qargs=-later", &host.dataset("copy")]);
    host.chyves("start copy -n").ends(4).says("qargs=-later").says("--trust=qargs");
    host.ok("set copy qargs=-later");
    host.ok("start copy -n").says(" -later");
    host.ok("snapshot copy@one");
    host.ok("unset copy qargs");
    assert_eq!(own(&host, "copy", "trusted.qargs"), "-");
    // What came before the adoption, or was trusted no longer, does not come back by a rollback, nor with a clone.
    host.ok("snapshot rollback copy@one --yes");
    host.chyves("start copy -n").ends(4).says("qargs=-later");
    host.ok("clone copy twin");
    host.chyves("start twin -n").ends(4).says("qargs=-later");
    host.ok("adopt twin --drop-host-settings");
    host.ok("start twin -n");
    // Of this host's own guest the file is not believed either.
    host.sh("zfs", &["snapshot", &format!("{}@autosnap_2026-01-01_00:00:00_daily", host.dataset("web"))]);
    host.ok("snapshot rollback web@autosnap_2026-01-01_00:00:00_daily --yes");
    host.chyves("start web -n").ends(4).says("qargs=-evil");
}

#[test]
fn a_guest_that_nobody_owns_is_foreign() {
    let Some(host) = Host::new("trust::nobody", With::Image) else { return };
    host.ok("create web --image small loader=bios");
    host.sh("zfs", &["inherit", "chyves:owner", &host.dataset("web")]);
    host.chyves("start web -n").ends(4).says("no host owns it").says("chyves adopt web");
    host.ok("adopt web");
    host.ok("start web -n");
    // Every way of making a guest writes an owner.
    for (line, guest) in [("clone web two", "two"), ("clone web three --independent", "three"), ("create four --size 1M", "four")] {
        host.ok(line);
        assert_eq!(own(&host, guest, "owner"), own(&host, "web", "owner"), "{line}");
    }
    host.ok("delete two --yes");
    host.ok("undelete two");
    host.ok("start two -n");
    // An owner that came with a stream is nobody's word.
    let stream = sent(&host, "four", &["-p"]);
    host.ok("delete four --yes --now");
    received(&host, &stream, "four");
    let uuid = own(&host, "four", "uuid");
    host.sh("zfs", &["set", &format!("chyves:uuid={uuid}"), &host.dataset("four")]);
    host.chyves("start four -n").ends(4).says("foreign");
    // Nor does an exact clone of it make it this host's.
    host.chyves("clone four five --exact").ends(4).says("foreign");
    host.ok("clone four@sent five --exact");
    host.chyves("start five -n").ends(4).says("foreign");
}

#[test]
fn no_command_changes_a_guest_of_another_host() {
    let Some(host) = Host::new("trust::others", With::Pool) else { return };
    host.ok(&format!("pool init {}", host.pool));
    host.ok("create web --size 1M --disk raw loader=bios");
    host.ok("create own --size 1M --disk raw loader=bios");
    host.ok("snapshot web@then");
    host.sh("zfs", &["set", "chyves:owner=22222222-1111-4111-8111-111111111111", &host.dataset("web")]);
    let before = host.tree();
    for line in [
        "set web notes=x",
        "set all notes=x",
        "unset web loader",
        "snapshot web@more",
        "snapshot delete web@then --yes",
        "snapshot rollback web@then --yes",
        "delete web",
        "delete web --now --yes",
        "rename web other",
        "promote web",
        "clone web copy",
        "disk add web 1M",
        "disk remove web disk0",
        "disk resize web disk0 2M",
        "disk sync web",
        "network add web",
        "cloud-init reinit web",
        "firmware reset web",
        "start web",
    ] {
        let answer = host.chyves(line);
        assert!([4, 6].contains(&answer.code), "{line}: {answer:?}");
        answer.says("the host 22222222-1111-4111-8111-111111111111 owns it").says("chyves adopt web");
        let mut after = host.tree();
        // `all` names a guest of this host too.
        after.insert(host.dataset("own"), before[&host.dataset("own")].clone());
        assert_eq!(after, before, "{line}");
    }
    // What reads it is free, and so is removing it where that is said.
    host.ok("info web");
    host.ok("clone web@then copy");
    host.ok("delete copy");
    host.ok("trash empty --yes");
    host.ok("snapshot delete web@then --yes --foreign");
    host.ok("delete web --foreign");
}

/// By `zfs receive` alone, so that no command of chyves has seen what came: a guest of this host's own, with its owner in it.
#[test]
fn an_own_guest_that_came_by_zfs_receive_is_not_believed() {
    let Some(host) = Host::new("trust::raw", With::Image) else { return };
    let (program, ran) = canary(&host);
    host.ok("create web --size 1M --ram 64M");
    let port = format!("-netdev user,id=x,guestfwd=tcp:10.0.2.100:80-cmd:{program}");
    let output = host.command(common::PROGRAM).args(["set", "web", &format!("qargs={port}"), "confine=off", "net0.backend=user"]).output();
    assert!(output.unwrap().status.success());
    let (twin, stream) = (format!("{}/chyves/guests/twin", host.pool), sent(&host, "web", &["-p"]));
    let mut child = host.command("zfs").args(["receive", "-u", &twin]).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &stream).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!((host.state("twin").as_str(), host.state("web").as_str()), ("foreign", "stopped"));
    for line in ["start twin", "set twin cpu=2", "delete twin --yes", "snapshot twin@now"] {
        host.chyves(line).ends(4).says("foreign");
    }
    // It has the identity of the one that is here, and what reaches the host is asked for all the same.
    host.chyves("adopt twin --trust").ends(4).says("a copy of `web`");
    let refused = host.chyves("adopt twin --new-identity").ends(4);
    for key in ["qargs", "confine", "net0.backend"] {
        assert!(format!("{}{}", refused.out, refused.err).contains(key), "{key}: {}{}", refused.out, refused.err);
    }
    host.ok("adopt twin --new-identity --drop-host-settings");
    for key in ["qargs", "confine", "net0.backend"] {
        assert_eq!(own(&host, "twin", key), "-", "{key}");
    }
    assert_ne!(own(&host, "twin", "uuid"), own(&host, "web", "uuid"));
    host.ok("start -n twin");
    assert!(!ran.exists());
    // The one that was here is what it was.
    assert_eq!((own(&host, "web", "qargs"), host.state("web").as_str()), (port, "stopped"));
}

/// Names that begin with chyves' own prefix twice must never come out of this program with the prefix once.
#[test]
fn a_name_with_two_prefixes_becomes_no_setting() {
    let Some(host) = Host::new("trust::two-prefixes", With::Image) else { return };
    let (program, _) = canary(&host);
    host.ok("create base --image small loader=bios");
    host.ok("clone -i base web");
    let (web, this_host) = (host.dataset("web"), own(&host, "web", "owner"));
    let attacks = [
        ("owner", this_host),
        ("uuid", "11111111-3110-4221-99ed-4dc624065305".into()),
        ("qargs", format!("-netdev user,id=x,guestfwd=tcp:10.0.2.100:80-cmd:{program}")),
        ("confine", "off".into()),
        ("rcboot", "1".into()),
        ("autostart", "1".into()),
    ];
    let options: Vec<String> = attacks.iter().map(|(key, value)| format!("chyves:chyves:{key}={value}")).collect();
    // As a sender can write them: on the dataset, in a snapshot of chyves, and in the copy that others' snapshots are read from.
    for option in &options {
        host.sh("zfs", &["set", option, &web]);
    }
    let mut snapshot = vec!["snapshot", "-o", "chyves:snapshot.taken=2026-11-30T19:23:50Z"];
    snapshot.extend(options.iter().flat_map(|option| ["-o", option.as_str()]));
    let kept = format!("chyves:uuid={}", own(&host, "web", "uuid"));
    let then = format!("{web}@then");
    snapshot.extend(["-o", kept.as_str(), then.as_str()]);
    host.sh("zfs", &snapshot);
    let stream = host.command("zfs").args(["send", "-R", &then]).output().unwrap().stdout;
    host.ok("delete web --yes --now");
    received(&host, &stream, "evil");
    let evil = host.dataset("evil");
    let local = host.sh("zfs", &["get", "-H", "-s", "local", "-o", "property,value", "all", &evil]);
    for (key, value) in &attacks {
        assert!(!local.contains(&format!("chyves:{key}\t{value}")), "{key}: {local}");
    }
    host.chyves("start evil").ends(4).says("foreign");
    host.ok("adopt evil --new-identity");
    host.ok("clone evil copy");
    for guest in ["evil", "copy"] {
        for key in ["qargs", "confine", "rcboot"] {
            assert_eq!(own(&host, guest, key), "-", "{key} of {guest}");
        }
    }
}
