//! The guest's life in the lab's bhyve: each end has bhyve's exit status, and the VM object outlives it.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is the report of a failure")]

mod common;

use chyves_lab::Lab;
use common::{Guest, bad, blank, good, guest_disk, lab, rom, run, until};
use rustix::process::Signal;

fn ready(lab: &Lab) {
    good(lab, "kldload vmm nmdm");
}

fn bhyve(lab: &Lab, disk: &str, more: &str) -> String {
    let rom = rom(lab);
    format!("bhyve -c 1 -m 64M -A -H -P -s 0,hostbridge -s 3,virtio-blk,{disk} -s 31,lpc -l com1,stdio -l bootrom,{rom} {more} web01")
}

/// A lab and a guest that has said its first word.
fn booted(test: &str, settings: &[&str], image: &str, more: &str) -> Option<(Lab, Guest)> {
    let lab = lab(test, settings)?;
    ready(&lab);
    let disk = guest_disk(test, &lab, image)?;
    let mut guest = Guest::start(&lab, &bhyve(&lab, &disk, more));
    guest.expect("tiny: ready 1");
    Some((lab, guest))
}

#[test]
fn a_reboot_is_0_and_the_next_run_goes_on_where_the_disk_was() {
    let Some((lab, mut guest)) = booted("a_reboot_is_0", &[], "tiny.img", "") else { return };
    guest.send("r");
    assert_eq!(guest.end(), 0);
    assert!(lab.dev("vmm/web01").exists(), "the VM object outlives bhyve");
    let disk = lab.dir().join("guest.img").display().to_string();
    // FreeBSD's own path of the firmware means the lab's.
    let line = bhyve(&lab, &disk, "").replace(&rom(&lab), "/usr/local/share/uefi-firmware/BHYVE_UEFI.fd");
    let mut guest = Guest::start(&lab, &line);
    guest.expect("tiny: ready 2");
    assert!(lab.dev("vmm.io/web01.bootrom").exists());
    guest.send("p");
    assert_eq!(guest.end(), 1);
    good(&lab, "bhyvectl --vm=web01 --destroy");
    assert!(!lab.dev("vmm").exists() && !lab.dev("vmm.io").exists(), "without a VM there is no /dev/vmm");
}

#[test]
fn a_triple_fault_is_3_and_not_a_reboot() {
    let Some((_lab, mut guest)) = booted("a_triple_fault_is_3", &[], "tiny.img", "") else { return };
    guest.send("t");
    guest.expect("tiny: triple fault");
    assert_eq!(guest.end(), 3);
}

#[test]
fn a_halt_is_2() {
    let Some((_lab, mut guest)) = booted("a_halt_is_2", &[], "tiny.img", "") else { return };
    guest.send("h");
    assert_eq!(guest.end(), 2);
}

#[test]
fn sigterm_presses_the_button_once_the_guest_has_acpi() {
    let Some((_lab, mut guest)) = booted("sigterm_presses_the_button", &[], "tiny.img", "") else { return };
    guest.press();
    guest.expect("tiny: power button");
    assert_eq!(guest.end(), 1);
}

#[test]
fn sigterm_is_deadly_without_acpi() {
    // This guest never looks at the button.
    let Some((lab, guest)) = booted("sigterm_is_deadly", &[], "tiny-deaf.img", "") else { return };
    guest.signal(Signal::TERM);
    assert_eq!(guest.end(), 128 + 15);
    assert!(lab.dev("vmm/web01").exists());
}

#[test]
fn without_its_tables_a_guest_has_no_acpi() {
    let test = "without_its_tables";
    let Some(lab) = lab(test, &["release=14.3"]) else { return };
    ready(&lab);
    let Some(disk) = guest_disk(test, &lab, "tiny.img") else { return };
    let line = bhyve(&lab, &disk, "").replace(" -A ", " ");
    let mut guest = Guest::start(&lab, &line);
    guest.expect("tiny: ready 1");
    guest.signal(Signal::TERM);
    assert_eq!(guest.end(), 128 + 15);
    // Since 15.0 they are always built.
    lab.set(&["release=15.0"]).unwrap();
    let mut guest = Guest::start(&lab, &line);
    guest.expect("tiny: ready 2");
    guest.press();
    assert_eq!(guest.end(), 1);
}

#[test]
fn a_guest_may_ignore_the_button() {
    let Some((lab, mut guest)) = booted("a_guest_may_ignore", &["acpi=on"], "tiny-deaf.img", "") else { return };
    guest.press();
    // The second answer comes from after the press.
    for _ in 0..2 {
        guest.send("i");
        guest.expect("tiny: ready 1");
    }
    good(&lab, "bhyvectl --vm=web01 --force-poweroff --destroy");
    assert_eq!(guest.end(), 1);
    assert!(!lab.dev("vmm").exists());
}

#[test]
fn bhyvectl_ends_a_guest_each_way() {
    for (word, status) in [("--force-poweroff", 1), ("--force-reset", 0), ("--destroy", 4)] {
        let Some((lab, guest)) = booted("bhyvectl_ends_a_guest", &[], "tiny.img", "") else { return };
        good(&lab, &format!("bhyvectl --vm=web01 {word}"));
        assert_eq!(guest.end(), status, "{word}");
        assert_eq!(lab.dev("vmm/web01").exists(), word != "--destroy");
    }
}

#[test]
fn a_killed_bhyve_takes_its_qemu_along_and_leaves_its_vm() {
    let Some((lab, guest)) = booted("a_killed_bhyve", &[], "tiny.img", "") else { return };
    let qemu = std::fs::read_to_string(lab.dir().join("vmm/web01")).unwrap();
    let qemu = qemu.split("\"qemu\":").nth(1).unwrap().split(',').next().unwrap().to_owned();
    guest.signal(Signal::KILL);
    assert_eq!(guest.end(), 128 + 9);
    until("QEMU's end", || !std::fs::read(format!("/proc/{qemu}/cmdline")).is_ok_and(|line| !line.is_empty()));
    assert!(lab.dev("vmm/web01").exists());
    // What it left does not look like a running machine, once the kernel has closed what QEMU had open, its lock among it.
    until("no CPU to be active", || good(&lab, "bhyvectl --vm=web01 --get-active-cpus") == "active cpus:\t (none)\n");
    good(&lab, "bhyvectl --vm=web01 --destroy");
}

#[test]
fn a_running_bhyve_has_its_title_and_holds_its_vm() {
    let Some((lab, guest)) = booted("a_running_bhyve", &[], "tiny.img", "-s 4,virtio-rnd") else { return };
    let title = std::fs::read_to_string(format!("/proc/{}/cmdline", guest.pid())).unwrap();
    assert_eq!(title.trim_end_matches('\0'), "bhyve: web01 (bhyve)");
    let disk = blank(&lab, "other.img");
    bad(&lab, &bhyve(&lab, &disk, ""), 4, "bhyve: vm_openf: Device busy");
    bad(&lab, &format!("bhyveload -m 64M -d {disk} web01"), 1, "bhyveload: vm_reinit: Device busy");
    let stats = good(&lab, "bhyvectl --vm=web01 --get-stats --cpu=0");
    let resident: u64 = stats.lines().find_map(|line| line.strip_prefix("Resident memory")).unwrap().trim().parse().unwrap();
    assert!(resident > 1 << 20, "{stats}");
    assert_eq!(good(&lab, "bhyvectl --vm=web01 --get-cpu-topology"), "cpu_topology:\tsockets=1, cores=1, threads=1, maxcpus=16\n");
}

#[test]
fn destroy_on_poweroff_destroys() {
    let Some((lab, mut guest)) = booted("destroy_on_poweroff", &[], "tiny.img", "-D") else { return };
    guest.send("p");
    assert_eq!(guest.end(), 1);
    assert!(!lab.dev("vmm").exists());
}

#[test]
fn a_tap_goes_down_with_its_bhyve_and_stays_a_member() {
    let test = "a_tap_goes_down";
    let Some(lab) = lab(test, &[]) else { return };
    ready(&lab);
    let Some(disk) = guest_disk(test, &lab, "tiny.img") else { return };
    assert_eq!(good(&lab, "ifconfig tap create"), "tap0\n");
    assert_eq!(good(&lab, "ifconfig bridge create addm tap0 up"), "bridge0\n");
    good(&lab, "ifconfig tap0 up");
    let mut guest = Guest::start(&lab, &bhyve(&lab, &disk, "-s 4,virtio-net,tap0,mac=58:9c:fc:00:00:01"));
    guest.expect("tiny: ready 1");
    assert!(good(&lab, "ifconfig tap0").contains(&format!("\tOpened by PID {}\n", guest.pid())));
    bad(&lab, "ifconfig tap0 destroy", 1, "Device busy");
    // In use: another guest can't have it.
    let other = blank(&lab, "other.img");
    let line = bhyve(&lab, &other, "-s 4,e1000,tap0").replace("web01", "web02").replace("com1,stdio", "com1,/dev/nmdm2A");
    bad(&lab, &line, 4, "open of tap device /dev/tap0 failed: Device busy");
    guest.send("p");
    assert_eq!(guest.end(), 1);
    let shown = good(&lab, "ifconfig tap0");
    assert!(!shown.contains("<UP") && !shown.contains("Opened"), "{shown}");
    assert!(good(&lab, "ifconfig bridge0").contains("\tmember: tap0 "));
    // With this the opening brings it up.
    good(&lab, "sysctl net.link.tap.up_on_open=1");
    let mut guest = Guest::start(&lab, &bhyve(&lab, &disk, "-s 4,virtio-net,tap0"));
    guest.expect("tiny: ready 2");
    assert!(good(&lab, "ifconfig tap0").contains("<UP,"));
}

#[test]
fn a_console_port_leaves_its_socket_behind() {
    let test = "a_console_port";
    let Some(lab) = lab(test, &[]) else { return };
    ready(&lab);
    let Some(disk) = guest_disk(test, &lab, "tiny.img") else { return };
    let socket = lab.dir().join("port");
    let line = bhyve(&lab, &disk, &format!("-s 4,virtio-console,org.lab.0={}", socket.display()));
    let mut guest = Guest::start(&lab, &line);
    guest.expect("tiny: ready 1");
    guest.send("p");
    assert_eq!(guest.end(), 1);
    assert!(socket.exists());
    bad(&lab, &line, 4, "Address already in use");
}

#[test]
fn a_guest_waits_for_its_viewer() {
    let test = "a_guest_waits_for_its_viewer";
    let Some(lab) = lab(test, &[]) else { return };
    ready(&lab);
    let Some(disk) = guest_disk(test, &lab, "tiny.img") else { return };
    let line = bhyve(&lab, &disk, "-s 29,fbuf,tcp=127.0.0.1:5907,w=800,h=600,wait");
    let guest = Guest::start(&lab, &line);
    until("bhyve to run", || run(&lab, "bhyvectl --vm=web01 --get-active-cpus").out == "active cpus:\t 0\n");
    // The port is taken, in the lab's own network.
    let other = blank(&lab, "other.img");
    let second = bhyve(&lab, &other, "-s 29,fbuf,tcp=127.0.0.1:5907").replace("web01", "web02").replace("com1,stdio", "com1,/dev/nmdm2A");
    until("VNC to listen", || std::fs::read_to_string(format!("/proc/{}/net/tcp", guest.pid())).unwrap().contains(":1713 "));
    bad(&lab, &second, 4, "bind: 127.0.0.1:5907: Address already in use");
}

#[test]
fn thirty_devices_and_two_processors_boot_on_two_releases() {
    let test = "thirty_devices";
    let Some(lab) = lab(test, &["nics=em0"]) else { return };
    good(&lab, "kldload vmm nmdm ng_socket ng_ether");
    good(&lab, "ngctl mkpeer em0: bridge lower link0");
    good(&lab, "ngctl name em0:lower lan");
    let Some(disk) = guest_disk(test, &lab, "tiny.img") else { return };
    let blanks: Vec<String> = (0..16).map(|number| blank(&lab, &format!("{number}.img"))).collect();
    let share = lab.dir().join("var").display().to_string();
    std::fs::create_dir_all(lab.dir().join("devfs/input")).unwrap();
    std::fs::write(lab.dir().join("devfs/input/event0"), "").unwrap();
    std::fs::write(lab.dir().join("devfs/dsp0"), "").unwrap();
    let ports = blanks[..9].join(",ser=A,hd:");
    let mut devices = format!(
        "-S -s 2,fbuf,tcp=127.0.0.1:5901,w=1024,h=768,password=geheim12 -s 4:1,nvme,{},ser=N1 -s 4:2,nvme,ram=16 -s 4,virtio-blk,{},ro \
         -s 5,ahci,hd:{ports},cd: -s 6,ahci -s 7,virtio-net,netmap:em0 -s 8,virtio-rnd -s 9,virtio-9p,share={share},ro \
         -s 10,virtio-input,/dev/input/event0 -s 11,virtio-scsi -s 12,hda,play=/dev/dsp0 -s 13,uart,/dev/nmdm9A -s 14,passthru,2/0/0 \
         -s 14:1,passthru,pci0:2:0:1 -s 1:3:0,virtio-rnd -s 15,virtio-net,vale0:p1 -s 15:1,virtio-net,netgraph,path=lan:,peerhook=link2 \
         -s 30,xhci,tablet -l com2,/dev/nmdm8A -l com3,/dev/nmdm7A",
        blanks[9], blanks[10]
    );
    for (number, path) in blanks[11..16].iter().enumerate() {
        devices += &format!(" -s 16:{number},virtio-blk,{path}");
    }
    for (place, release) in ["13.5", "15.0"].into_iter().enumerate() {
        lab.set(&[&format!("release={release}")]).unwrap();
        let line = bhyve(&lab, &disk, &devices).replace("-c 1 ", "-c sockets=1,cores=2 ");
        let mut guest = Guest::start(&lab, &line);
        guest.expect(&format!("tiny: ready {}", place + 1));
        bad(&lab, "devctl detach pci0:2:0:0", 1, "Device busy");
        guest.send("p");
        assert_eq!(guest.end(), 1, "{release}");
    }
}

#[test]
fn arm64_runs_with_its_own_options() {
    let test = "arm64_runs";
    let Some(lab) = lab(test, &["release=15.0", "cpu=arm64"]) else { return };
    ready(&lab);
    let Some(disk) = guest_disk(test, &lab, "tiny.img") else { return };
    let rom = rom(&lab);
    let line = format!("bhyve -c 2 -m 64M -s 0,hostbridge -s 2,virtio-blk,{disk} -o console=stdio -o bootrom={rom} web01");
    let mut guest = Guest::start(&lab, &line);
    guest.expect("tiny: ready 1");
    guest.send("r");
    assert_eq!(guest.end(), 0);
    let mut guest = Guest::start(&lab, &line);
    guest.expect("tiny: ready 2");
    guest.signal(Signal::TERM);
    assert_eq!(guest.end(), 128 + 15);
}

#[test]
fn a_real_uefi_boots_linux_and_keeps_its_variables() {
    let test = "a_real_uefi";
    let code = "/usr/share/OVMF/OVMF_CODE_4M.fd";
    if !std::path::Path::new(code).exists() {
        common::skip(test, "no OVMF in /usr/share/OVMF");
        return;
    }
    let Some(lab) = lab(test, &["release=14.3", "cpu=amd"]) else { return };
    ready(&lab);
    let Some(disk) = guest_disk(test, &lab, "linux.img") else { return };
    let vars = lab.dir().join("vars.fd");
    std::fs::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", &vars).unwrap();
    let fresh = std::fs::read(&vars).unwrap();
    let line = bhyve(&lab, &disk, "").replace(&rom(&lab), &format!("{code},{}", vars.display())).replace("64M", "512M");
    let mut guest = Guest::start(&lab, &line);
    guest.expect("chyves-guest login:");
    // Linux has switched ACPI on.
    guest.press();
    assert_eq!(guest.end(), 1);
    assert_ne!(std::fs::read(&vars).unwrap(), fresh);
}
