//! A program that is not there: the command names it and its package, and leaves nothing half made.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, With};
use std::path::PathBuf;

/// Hides a program of the machine from this host alone, whose mounts are its own; wherever it is on the path.
fn hide(host: &Host, program: &str) -> Vec<PathBuf> {
    let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let found: Vec<PathBuf> = folders.iter().map(|f| PathBuf::from(f).join(program)).filter(|p| p.exists()).collect();
    assert!(!found.is_empty(), "{program} is nowhere to begin with");
    // One of these folders may be another's other name; then what is hidden in one is hidden in both.
    let covers = |path: &PathBuf| host.command("test").arg("-f").arg(path).status().unwrap().success();
    let mut hidden = Vec::new();
    for path in found {
        if covers(&path) {
            host.sh("mount", &["--bind", "/dev/null", path.to_str().unwrap()]);
            hidden.push(path);
        }
    }
    hidden
}

#[test]
fn without_a_hypervisor_all_but_the_start_works() {
    let Some(host) = Host::new("missing::qemu", With::Image) else { return };
    host.ok("create web --image small loader=bios");
    hide(&host, "qemu-system-x86_64");
    let before = host.tree();
    host.chyves("start web").ends(5).says("missing").says("apt-get install qemu-system-x86");
    assert_eq!(host.chyves("start web --json").ends(5).json()["error"]["code"], "no-hypervisor");
    assert_eq!(host.tree(), before);
    assert_eq!(host.state("web"), "stopped");
    host.nothing_is_left();
    host.ok("set web notes=x");
    host.ok("snapshot web@kept");
    // Another host's plan does not need it.
    host.ok("set web loader=uefi");
    host.ok("start web --dry-run --host freebsd").says("bhyve ");
}

#[test]
fn without_qemu_img_a_qcow2_image_is_refused_whole() {
    let Some(host) = Host::new("missing::img", With::Image) else { return };
    host.sh("qemu-img", &["create", "-f", "qcow2", "disk.qcow2", "1M"]);
    hide(&host, "qemu-img");
    let before = host.tree();
    host.chyves("image import ./disk.qcow2").ends(5).says("qemu-img").says("apt-get install qemu-utils");
    assert_eq!(host.tree(), before);
}

#[test]
fn without_zfs_every_command_says_so() {
    let Some(host) = Host::new("missing::zfs", With::Image) else { return };
    host.ok("create web --image small loader=bios");
    let before = host.tree();
    let hidden = hide(&host, "zfs");
    for line in ["list", "get web ram", "set web ram=1G", "start web", "delete web --yes", "create two --size 1M", "snapshot web@x"] {
        host.chyves(line).ends(5).says("the program `zfs` is missing").says("apt-get install");
    }
    // What needs no pool works all the same.
    host.ok("version");
    host.ok("help start");
    for path in &hidden {
        host.sh("umount", &[path.to_str().unwrap()]);
    }
    assert_eq!(host.tree(), before);
}

#[test]
fn without_firmware_a_uefi_guest_says_what_to_install() {
    let Some(host) = Host::new("missing::uefi", With::Image) else { return };
    host.ok("create web --image small");
    host.sh("mount", &["-t", "tmpfs", "tmpfs", "/usr/share/OVMF"]);
    let before = host.tree();
    host.chyves("start web").ends(5).says("firmware").says("ovmf");
    assert_eq!(host.tree(), before);
    host.nothing_is_left();
}
