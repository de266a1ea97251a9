//! A FreeBSD host, played by the lab: each bhyve in a jail of its own where the release can, and what is reported where not.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With, until};

fn host(test: &str, settings: &[&str]) -> Option<Host> {
    let host = Host::freebsd(test, With::Tiny, settings)?;
    host.ok("create web01 --image tiny --ram 64M");
    Some(host)
}

fn confinement(host: &Host) -> String {
    host.ok("info web01 --json").json()[0]["confinement"].as_str().unwrap().to_owned()
}

#[test]
fn a_bhyve_sees_its_own_files_and_nodes_only() {
    for settings in [&["release=14.3"][..], &["release=15.0", "cpu=amd"]] {
        let Some(host) = host("lab_jail::full", settings) else { return };
        let jail = format!("chyves-{}", host.value("web01", "uuid"));
        let started = host.ok("-v start web01");
        started.says(&format!("+ jexec {jail} bhyve -c "));
        assert_eq!(host.sh("jls", &[]).trim(), jail);
        assert_eq!(confinement(&host), format!("full (the jail {jail}, and Capsicum)"));
        // A probe in bhyve's place opens another file, node and VM of the host in vain.
        let other = host.work().join("other.raw");
        std::fs::File::create(&other).unwrap().set_len(1 << 20).unwrap();
        let disk = format!("4,virtio-blk,{}", other.display());
        for (options, refusal) in [
            (vec!["-s", disk.as_str()], "No such file or directory"),
            (vec!["-s", "31,lpc", "-l", "com1,/dev/nmdm-other.1A"], "No such file or directory"),
            (vec!["-s", "5,virtio-net,tap7"], "No such file or directory"),
        ] {
            let probe = host.command("jexec").arg(&jail).args(["bhyve", "-s", "0,hostbridge"]).args(options).arg("other").output().unwrap();
            let said = String::from_utf8_lossy(&probe.stderr).into_owned();
            assert!(!probe.status.success() && said.contains(refusal), "{said}");
        }
        let mut console = host.console("web01");
        console.sees("tiny: ready 1");
        console.types("r");
        console.sees("tiny: ready 2");
        console.types("p");
        until("web01 to be off", || (host.state("web01") == "stopped").then_some(()));
        assert_eq!(host.sh("jls", &[]), "");
        host.nothing_is_left();
    }
}

#[test]
fn where_there_is_no_jail_capsicum_is_named_with_the_reason() {
    let Some(host) = host("lab_jail::older", &["release=13.5"]) else { return };
    host.ok("-v start web01").is_silent_of("jexec");
    assert!(confinement(&host).starts_with("user (no jail: FreeBSD 13.5 mounts no single files"), "{}", confinement(&host));
    host.ok("stop web01 --now");
    host.chyves("doctor").says("Capsicum").says("from FreeBSD 14.0 on each bhyve gets a jail");
    host.lab().set(&["release=14.3"]).unwrap();
    host.chyves("doctor").says("a jail for each bhyve");
    // A device whose files are not known, and the administrator's word.
    let socket = host.work().join("port.sock");
    host.chyves_words(&["set", "web01", &format!("pcidev_0=virtio-console,port={}", socket.display())]).ends(0);
    host.ok("-v start web01")
        .says("confinement of web01: user (no jail: bhyve makes the sockets of a virtio-console")
        .is_silent_of("jexec");
    host.ok("stop web01 --now");
    host.ok("unset web01 pcidev_0");
    host.ok("set web01 confine=user");
    host.ok("-v start web01").is_silent_of("jexec").is_silent_of("confinement of");
    host.ok("stop web01 --now");
    host.nothing_is_left();
}
