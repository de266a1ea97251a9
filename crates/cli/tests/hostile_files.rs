//! A guest's or an image's file system that somebody hostile has written: each file of it replaced in each way, under every
//! command that touches it. No file of the host is read or changed by way of it, no command blocks, what is refused says so, and
//! the lock is free afterwards.
//!
//! To cover a new file or a new command: a row in `hostile/rows.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;
mod hostile;

use common::{Host, With};
use hostile::rows::{FIRMWARE, GUEST, IMAGE, LOADER, Row, unlisted};
use hostile::storm::storm;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Firmware as Debian packs it: code, and the template of its variables.
const CODE: &str = "/usr/share/OVMF/OVMF_CODE.fd";
const VARS: &str = "/usr/share/OVMF/OVMF_VARS.fd";

#[test]
fn every_verb_is_attacked_or_has_a_reason_why_not() {
    let Some(host) = Host::new("hostile_files::verbs", With::Pool) else { return };
    hostile::verbs::check(&host);
}

#[test]
fn no_hostile_file_of_a_guest_reaches_the_host() {
    let Some(host) = Host::new("hostile_files::guest", With::Image) else { return };
    fs::write(host.work().join("user-data"), "#cloud-config\n").unwrap();
    host.ok("create web --disk raw --size 2M --ram 64M --user-data ./user-data ci.user=ann ci.password_file=password");
    host.in_folder("web", |root| {
        fs::write(root.join("cloud-init/password"), "$6$salt$hash\n").unwrap();
        fs::set_permissions(root.join("cloud-init/password"), Permissions::from_mode(0o600)).unwrap();
    });
    host.ok("snapshot create web@first");
    // A guest that has no variables yet gets some at a start that nothing else keeps from starting: UEFI where there is any.
    let has_uefi = host.chyves("set web loader=uefi").code == 0 && host.chyves("firmware reset web").code == 0;
    let rows: Vec<&Row> = GUEST.iter().filter(|row| has_uefi || !row.path.starts_with("uefi")).collect();
    storm(&host, &host.dataset("web"), &rows, "guest.web");
    host.ok("set web description=done");
    assert_eq!(host.state("web"), "stopped");
    assert_eq!(host.in_folder("web", unlisted), Vec::<String>::new(), "files of a guest that no row attacks");
}

#[test]
fn no_hostile_file_of_an_image_reaches_the_host() {
    let Some(host) = Host::new("hostile_files::image", With::Image) else { return };
    storm(&host, &format!("{}/chyves/images/small", host.pool), &IMAGE.iter().collect::<Vec<_>>(), "image.small");
    host.ok("image verify small");
    if [CODE, VARS].iter().any(|file| !Path::new(file).exists()) {
        return Host::lacks("hostile_files::firmware", &format!("there is no {CODE} (scripts/setup installs ovmf)"));
    }
    host.ok(&format!("firmware import {CODE} --vars {VARS} --name fw"));
    host.ok("create web --disk raw --size 2M --ram 64M loader=uefi firmware=fw");
    storm(&host, &format!("{}/chyves/images/fw", host.pool), &FIRMWARE.iter().collect::<Vec<_>>(), "image.fw");
    host.ok("image verify fw");
}

#[test]
fn no_hostile_file_for_a_loader_reaches_the_host() {
    let Some(host) = Host::freebsd("hostile_files::loader", With::Tiny, &["release=14.3"]) else { return };
    host.ok("create web --image tiny --ram 64M loader=grub-bhyve os=custom");
    host.in_folder("web", |root| {
        let disk = host.mount_point().join("chyves/guests/web/disk0.raw");
        fs::write(root.join("device.map"), format!("(hd0) {}\n", disk.display())).unwrap();
        fs::write(root.join("grub.cfg"), "kopenbsd -h com0 -r sd0a (hd0,openbsd1)/bsd\nboot\n").unwrap();
    });
    storm(&host, &host.dataset("web"), &LOADER.iter().collect::<Vec<_>>(), "guest.web");
    assert_eq!(host.state("web"), "stopped");
}
