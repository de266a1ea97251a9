//! Modules, sysctls, PCI devices and ACPI tables of the lab's host, and bhyvectl's way of failing.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is the report of a failure")]

mod common;

use common::{bad, good, lab, run};

#[test]
fn modules_are_loaded_once() {
    let Some(lab) = lab("modules_are_loaded_once", &[]) else { return };
    assert_eq!(run(&lab, "kldstat -q -m vmm").status, 1);
    good(&lab, "kldload vmm");
    bad(&lab, "kldload vmm", 1, "kldload: can't load vmm: module already loaded or in kernel");
    good(&lab, "kldload -n vmm");
    good(&lab, "kldload -n /boot/kernel/nmdm.ko if_bridge.ko");
    bad(&lab, "kldload nosuch", 1, "kldload: can't load nosuch: No such file or directory");
    bad(&lab, "kldload", 1, "usage: kldload");
    bad(&lab, "kldload -z vmm", 1, "illegal option -- z");
    assert_eq!(run(&lab, "kldstat -q -m vmm").status, 0);
    assert_eq!(run(&lab, "kldstat -q -n vmm.ko").status, 0);
    // Compiled in: a module, and no file.
    assert_eq!(run(&lab, "kldstat -q -m if_tuntap").status, 0);
    assert_eq!(run(&lab, "kldstat -q -n if_tuntap.ko").status, 1);
    bad(&lab, "kldload if_tap", 1, "module already loaded or in kernel");
    bad(&lab, "kldstat -m pf", 1, "can't find module pf");
    let list = good(&lab, "kldstat");
    let names: Vec<&str> = list.lines().map(|line| line.split_whitespace().last().unwrap()).collect();
    assert_eq!(names, ["Name", "kernel", "vmm.ko", "nmdm.ko", "bridgestp.ko", "if_bridge.ko"]);
}

#[test]
fn a_host_that_must_not_or_cannot_load() {
    let Some(lab) = lab("a_host_that_must_not", &["cpu=none"]) else { return };
    bad(&lab, "kldload -n vmm", 1, "an error occurred while loading module vmm. Please check dmesg(8)");
    for setting in ["jailed=on", "securelevel=1"] {
        lab.set(&["cpu=intel", "jailed=off", "securelevel=-1", setting]).unwrap();
        bad(&lab, "kldload -n vmm", 1, "Operation not permitted");
    }
    assert_eq!(good(&lab, "sysctl -n kern.securelevel"), "1\n");
}

#[test]
fn sysctls_follow_release_processor_and_modules() {
    let Some(lab) = lab("sysctls_follow", &["release=14.3"]) else { return };
    assert_eq!(good(&lab, "sysctl -n kern.osreldate kern.osrelease"), "1403000\n14.3-RELEASE-p2\n");
    bad(&lab, "sysctl -n hw.vmm.maxcpu", 1, "sysctl: unknown oid 'hw.vmm.maxcpu'");
    assert_eq!(good(&lab, "sysctl -in hw.vmm.maxcpu"), "");
    bad(&lab, "kenv hw.vmm.maxcpu", 1, "kenv: unable to get hw.vmm.maxcpu");
    good(&lab, "kldload vmm");
    assert_eq!(good(&lab, "sysctl -n hw.vmm.maxcpu hw.vmm.vmx.initialized"), "8\n1\n");
    bad(&lab, "sysctl hw.vmm.maxcpu=32", 1, "is a read only tunable");
    bad(&lab, "sysctl hw.ncpu=2", 1, "sysctl: oid 'hw.ncpu' is read only");
    bad(&lab, "sysctl", 1, "usage: sysctl");
    // A part of the answers, and the failure all the same.
    let ran = run(&lab, "sysctl -n hw.ncpu no.such");
    assert_eq!((ran.status, ran.out.as_str()), (1, "8\n"));
    assert_eq!(good(&lab, "sysctl net.link.tap.up_on_open=1"), "net.link.tap.up_on_open: 0 -> 1\n");
    assert_eq!(good(&lab, "sysctl net.link.tap.up_on_open"), "net.link.tap.up_on_open: 1\n");
    lab.set(&["release=13.1"]).unwrap();
    assert_eq!(run(&lab, "sysctl -n hw.vmm.maxcpu").status, 1);
    lab.set(&["release=15.0", "cpu=amd"]).unwrap();
    assert_eq!(good(&lab, "sysctl -n kern.osreldate hw.vmm.amdvi.enable"), "1500068\n0\n");
    assert_eq!(run(&lab, "sysctl -n hw.vmm.vmx.initialized").status, 1);
    lab.set(&["cpu=arm64"]).unwrap();
    assert_eq!(good(&lab, "sysctl -n hw.machine hw.machine_arch"), "arm64\naarch64\n");
    assert_eq!(run(&lab, "sysctl -n hw.vmm.ppt.devices").status, 1);
}

#[test]
fn vm_objects_come_and_go() {
    let Some(lab) = lab("vm_objects_come_and_go", &["release=14.3"]) else { return };
    bad(&lab, "bhyvectl --create", 1, "Usage: bhyvectl");
    bad(&lab, "bhyvectl --vm=a --no-such", 1, "Usage: bhyvectl");
    assert_eq!(run(&lab, "bhyvectl --vm=a --create").status, 255, "without vmm");
    good(&lab, "kldload vmm");
    assert!(!lab.dev("vmm").exists());
    good(&lab, "bhyvectl --vm=a --create");
    assert!(lab.dev("vmm/a").exists());
    let ran = run(&lab, "bhyvectl --vm=a --create");
    assert_eq!((ran.status, ran.out.as_str()), (255, "errno = 17\n"));
    good(&lab, "sysctl hw.vmm.create=b");
    bad(&lab, "sysctl hw.vmm.create=b", 1, "File exists");
    assert!(lab.dev("vmm/b").exists());
    good(&lab, "sysctl hw.vmm.destroy=b");
    bad(&lab, "sysctl hw.vmm.destroy=b", 1, "Invalid argument");
    good(&lab, "bhyvectl --vm=a --force-poweroff --destroy");
    bad(&lab, "bhyvectl --vm=a --destroy", 1, "vm_open: a could not be opened: No such file or directory");
    assert!(!lab.dev("vmm").exists());
    bad(&lab, "bhyvectl --vm=a --get-vm-pid", 1, "Usage");
    lab.set(&["release=13.5"]).unwrap();
    bad(&lab, "bhyvectl --vm=a --get-stats", 1, "VM:a is not created.");
    lab.set(&["release=15.0"]).unwrap();
    good(&lab, "bhyvectl --vm=a --create");
    bad(&lab, "bhyvectl --vm=a --create", 1, "vm_open: a could not be opened: File exists");
}

#[test]
fn devices_change_their_driver() {
    let Some(lab) = lab("devices_change_their_driver", &[]) else { return };
    let list = good(&lab, "pciconf -l");
    assert!(
        list.contains("ppt0@pci0:2:0:0:\tclass=0x020000 rev=0x02 hdr=0x00 vendor=0x8086 device=0x1521 subvendor=0x8086 subdevice=0x1521\n")
    );
    assert!(list.contains("none0@pci0:4:0:0:\t"), "{list}");
    assert!(good(&lab, "pciconf -lv em0").contains("    device     = '82574L Gigabit Network Connection'\n"));
    bad(&lab, "pciconf -l em9", 1, "cannot find device");
    bad(&lab, "pciconf -r em0", 1, "usage: pciconf");
    bad(&lab, "devctl set driver -f pci0:3:0:0 ppt", 1, "devctl: Failed to set pci0:3:0:0 driver to ppt");
    good(&lab, "kldload vmm");
    bad(&lab, "devctl set driver pci0:3:0:0 ppt", 1, "devctl: Failed to set pci0:3:0:0 driver to ppt: Device busy");
    good(&lab, "devctl set driver -f pci0:3:0:0 ppt");
    assert!(good(&lab, "pciconf -l").contains("ppt2@pci0:3:0:0:"));
    assert_eq!(good(&lab, "sysctl -n hw.vmm.ppt.devices"), "3\n");
    bad(&lab, "devctl clear driver pci0:3:0:0", 1, "Device busy");
    good(&lab, "devctl clear driver -f pci0:3:0:0");
    good(&lab, "devctl detach em0");
    bad(&lab, "devctl detach pci0:3:0:0", 1, "Device not configured");
    good(&lab, "devctl attach pci0:3:0:0");
    bad(&lab, "devctl attach pci0:3:0:0", 1, "Device busy");
    bad(&lab, "devctl set driver -f pci0:9:0:0 ppt", 1, "Failed to set");
    bad(&lab, "devctl set driver -f pci0:3:0:0 nosuch", 1, "Failed to set");
    assert_eq!(good(&lab, "pciconf -l"), list);
    bad(&lab, "devctl", 1, "usage: devctl");
    bad(&lab, "devctl explode em0", 1, "explode");
}

#[test]
fn an_iommu_shows_in_the_tables() {
    let Some(lab) = lab("an_iommu_shows", &[]) else { return };
    let has = |word: &str| good(&lab, "acpidump -t").contains(word);
    assert!(has("DMAR: Length=") && !has("IVRS"));
    lab.set(&["cpu=amd"]).unwrap();
    assert!(has("IVRS: Length=") && !has("DMAR"));
    lab.set(&["iommu=off"]).unwrap();
    assert!(!has("IVRS") && has("APIC"));
    assert!(!good(&lab, "acpidump").contains("APIC"));
    bad(&lab, "acpidump -q", 1, "usage: acpidump");
}

#[test]
fn vale_needs_netmap() {
    let Some(lab) = lab("vale_needs_netmap", &["nics=em0"]) else { return };
    good(&lab, "valectl -a vale0:em0");
    bad(&lab, "valectl -a vale0:em0", 1, "Device busy");
    bad(&lab, "valectl -a vale0:em9", 1, "Device not configured");
    bad(&lab, "valectl -a bridge0:em0", 1, "Invalid argument");
    assert_eq!(good(&lab, "valectl"), "vale0:em0\n");
    good(&lab, "valectl -d vale0:em0");
    bad(&lab, "valectl -d vale0:em0", 1, "No such file or directory");
    lab.set(&["netmap=off"]).unwrap();
    bad(&lab, "valectl -a vale0:em0", 1, "Unable to open /dev/netmap");
}
