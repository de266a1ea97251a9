//! Each recipe as files and commands, with a medium and without.
#![allow(clippy::too_many_lines)] // the golden text is the length

use super::{GrubBhyve, Medium, RECIPES, Way, recipe, version};
use crate::vmm::bhyve::render;
use crate::vmm::bhyveload::Bhyveload;
use crate::vmm::fixture::{bare, built, covered, files, freebsd, told};
use crate::vmm::machine::{Boot, Spec};
use insta::assert_snapshot;

const DISK: &str = "/dev/zvol/tank/chyves/guests/web01/disk0";

fn grub(os: &str, medium: Option<Medium>) -> GrubBhyve {
    let run = "/var/run/chyves/web01".into();
    GrubBhyve { recipe: recipe(os), dir: "/tank/g/web01".into(), run, root: None, disks: vec![DISK.into()], medium, timeout: 300 }
}

fn medium() -> Medium {
    Medium { path: "/tank/i/install75.iso".into(), label: Some("ARCH_202601".into()), version: version("openbsd", "/tank/i/install75.iso") }
}

fn shown(boot: Boot) -> String {
    let machine = built(Spec { boot, ..bare() });
    covered(&machine, &freebsd("14.3"));
    match render(&machine, &freebsd("14.3")) {
        Ok(rendered) => {
            let before: Vec<String> = rendered.before[1..].iter().map(|p| format!("  {}\n", p.cmd)).collect();
            format!("{}{}", before.concat(), files(&rendered.files))
        }
        Err(problem) => told(&[problem]),
    }
}

#[test]
fn every_recipe() {
    let mut text = Vec::new();
    for recipe in RECIPES {
        for (what, medium) in [("installs", Some(medium())), ("boots", None)] {
            text.push(format!("{} {what}\n{}\n", recipe.os, shown(Boot::GrubBhyve(grub(recipe.os, medium)))));
        }
    }
    assert_snapshot!(text.concat(), @"
    default installs
      grub-bhyve -r cd0 -m /var/run/chyves/web01/device.map -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0
    (cd0) /tank/i/install75.iso

    default boots
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/grub.cfg 644]
    insmod part_msdos
    insmod part_gpt
    insmod lvm
    insmod ext2
    insmod xfs
    insmod btrfs
    if search --no-floppy --set=root --hint=hd0 --file /boot/grub/grub.cfg; then set prefix=($root)/boot/grub; configfile ($root)/boot/grub/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /boot/grub2/grub.cfg; then set prefix=($root)/boot/grub2; configfile ($root)/boot/grub2/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /grub/grub.cfg; then set prefix=($root)/grub; configfile ($root)/grub/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /grub2/grub.cfg; then set prefix=($root)/grub2; configfile ($root)/grub2/grub.cfg; fi

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0

    arch installs
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/grub.cfg 644]
    linux (cd0)/arch/boot/x86_64/vmlinuz archisobasedir=arch archisolabel=ARCH_202601 ro
    initrd (cd0)/arch/boot/x86_64/archiso.img
    boot

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0
    (cd0) /tank/i/install75.iso

    arch boots
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/grub.cfg 644]
    insmod part_msdos
    insmod part_gpt
    insmod lvm
    insmod ext2
    insmod xfs
    insmod btrfs
    if search --no-floppy --set=root --hint=hd0 --file /boot/grub/grub.cfg; then set prefix=($root)/boot/grub; configfile ($root)/boot/grub/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /boot/grub2/grub.cfg; then set prefix=($root)/boot/grub2; configfile ($root)/boot/grub2/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /grub/grub.cfg; then set prefix=($root)/grub; configfile ($root)/grub/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /grub2/grub.cfg; then set prefix=($root)/grub2; configfile ($root)/grub2/grub.cfg; fi

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0

    centos6 installs
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/grub.cfg 644]
    linux (cd0)/isolinux/vmlinuz
    initrd (cd0)/isolinux/initrd.img
    boot

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0
    (cd0) /tank/i/install75.iso

    centos6 boots
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/grub.cfg 644]
    insmod part_msdos
    insmod part_gpt
    insmod lvm
    insmod ext2
    insmod xfs
    insmod btrfs
    if search --no-floppy --set=root --hint=hd0 --file /grub/grub.cfg; then set prefix=($root)/grub; configfile ($root)/grub/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /boot/grub/grub.cfg; then set prefix=($root)/boot/grub; configfile ($root)/boot/grub/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /boot/grub2/grub.cfg; then set prefix=($root)/boot/grub2; configfile ($root)/boot/grub2/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /grub2/grub.cfg; then set prefix=($root)/grub2; configfile ($root)/grub2/grub.cfg; fi

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0

    centos7 installs
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/grub.cfg 644]
    linux (cd0)/isolinux/vmlinuz
    initrd (cd0)/isolinux/initrd.img
    boot

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0
    (cd0) /tank/i/install75.iso

    centos7 boots
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/grub.cfg 644]
    insmod part_msdos
    insmod part_gpt
    insmod lvm
    insmod ext2
    insmod xfs
    insmod btrfs
    if search --no-floppy --set=root --hint=hd0 --file /grub2/grub.cfg; then set prefix=($root)/grub2; configfile ($root)/grub2/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /boot/grub/grub.cfg; then set prefix=($root)/boot/grub; configfile ($root)/boot/grub/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /boot/grub2/grub.cfg; then set prefix=($root)/boot/grub2; configfile ($root)/boot/grub2/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /grub/grub.cfg; then set prefix=($root)/grub; configfile ($root)/grub/grub.cfg; fi

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0

    coreos installs
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/grub.cfg 644]
    linux (cd0)/coreos/vmlinuz coreos.autologin
    initrd (cd0)/coreos/cpio.gz
    boot

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0
    (cd0) /tank/i/install75.iso

    coreos boots
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/grub.cfg 644]
    linux (hd0,1)/coreos/vmlinuz-a ro root=LABEL=ROOT usr=LABEL=USR-A coreos.autologin
    boot

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0

    coreossecure installs
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/grub.cfg 644]
    linux (cd0)/coreos/vmlinuz
    initrd (cd0)/coreos/cpio.gz
    boot

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0
    (cd0) /tank/i/install75.iso

    coreossecure boots
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/grub.cfg 644]
    linux (hd0,1)/coreos/vmlinuz-a ro root=LABEL=ROOT usr=LABEL=USR-A
    boot

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0

    custom installs
      chyves _guest-files loader /tank/g/web01 /var/run/chyves/web01 grub.cfg device.map
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    custom boots
      chyves _guest-files loader /tank/g/web01 /var/run/chyves/web01 grub.cfg device.map
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    d8lvm installs
      grub-bhyve -r cd0 -m /var/run/chyves/web01/device.map -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0
    (cd0) /tank/i/install75.iso

    d8lvm boots
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/grub.cfg 644]
    insmod part_msdos
    insmod part_gpt
    insmod lvm
    insmod ext2
    insmod xfs
    insmod btrfs
    if search --no-floppy --set=root --hint=hd0 --file /grub/grub.cfg; then set prefix=($root)/grub; configfile ($root)/grub/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /boot/grub/grub.cfg; then set prefix=($root)/boot/grub; configfile ($root)/boot/grub/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /boot/grub2/grub.cfg; then set prefix=($root)/boot/grub2; configfile ($root)/boot/grub2/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /grub2/grub.cfg; then set prefix=($root)/grub2; configfile ($root)/grub2/grub.cfg; fi

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0

    debian installs
      grub-bhyve -r cd0 -m /var/run/chyves/web01/device.map -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0
    (cd0) /tank/i/install75.iso

    debian boots
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/grub.cfg 644]
    insmod part_msdos
    insmod part_gpt
    insmod lvm
    insmod ext2
    insmod xfs
    insmod btrfs
    if search --no-floppy --set=root --hint=hd0 --file /boot/grub/grub.cfg; then set prefix=($root)/boot/grub; configfile ($root)/boot/grub/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /boot/grub2/grub.cfg; then set prefix=($root)/boot/grub2; configfile ($root)/boot/grub2/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /grub/grub.cfg; then set prefix=($root)/grub; configfile ($root)/grub/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /grub2/grub.cfg; then set prefix=($root)/grub2; configfile ($root)/grub2/grub.cfg; fi

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0

    freebsd installs
    grub-bhyve cannot boot os=freebsd: its loader.conf and modules are read by FreeBSD's own loader only
      hint: `chyves set web01 loader=bhyveload`
      hint: or set os=custom and put a grub.cfg and a device.map into the guest's folder

    freebsd boots
    grub-bhyve cannot boot os=freebsd: its loader.conf and modules are read by FreeBSD's own loader only
      hint: `chyves set web01 loader=bhyveload`
      hint: or set os=custom and put a grub.cfg and a device.map into the guest's folder

    gentoo installs
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/grub.cfg 644]
    linux (cd0)/isolinux/gentoo root=/dev/ram0 init=/linuxrc dokeymap looptype=squashfs loop=/image.squashfs cdroot
    initrd (cd0)/isolinux/gentoo.igz
    boot

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0
    (cd0) /tank/i/install75.iso

    gentoo boots
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/grub.cfg 644]
    insmod part_msdos
    insmod part_gpt
    insmod lvm
    insmod ext2
    insmod xfs
    insmod btrfs
    if search --no-floppy --set=root --hint=hd0 --file /boot/grub/grub.cfg; then set prefix=($root)/boot/grub; configfile ($root)/boot/grub/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /boot/grub2/grub.cfg; then set prefix=($root)/boot/grub2; configfile ($root)/boot/grub2/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /grub/grub.cfg; then set prefix=($root)/grub; configfile ($root)/grub/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /grub2/grub.cfg; then set prefix=($root)/grub2; configfile ($root)/grub2/grub.cfg; fi

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0

    netbsd installs
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/grub.cfg 644]
    knetbsd -h -r cd0a (cd0)/netbsd
    boot

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0
    (cd0) /tank/i/install75.iso

    netbsd boots
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/grub.cfg 644]
    knetbsd -h -r wd0a (hd0,msdos1)/netbsd
    boot

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0

    openbsd installs
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/grub.cfg 644]
    kopenbsd -h com0 (cd0)/7.5/amd64/bsd.rd
    boot

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0
    (cd0) /tank/i/install75.iso

    openbsd boots
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/grub.cfg 644]
    kopenbsd -h com0 -r sd0a (hd0,openbsd1)/bsd
    boot

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0

    vyos installs
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/grub.cfg 644]
    linux (cd0)/live/vmlinuz console=ttyS0 console=tty0 quiet boot=live nopersistent noautologin nonetworking nouser hostname=vyos
    initrd (cd0)/live/initrd.img
    boot

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0
    (cd0) /tank/i/install75.iso

    vyos boots
      grub-bhyve -r host -m /var/run/chyves/web01/device.map -d /var/run/chyves/web01 -c /dev/nmdm-web01.1A -M 4096M web01

    [/var/run/chyves/web01/grub.cfg 644]
    insmod part_msdos
    insmod part_gpt
    insmod lvm
    insmod ext2
    insmod xfs
    insmod btrfs
    if search --no-floppy --set=root --hint=hd0 --file /boot/grub/grub.cfg; then set prefix=($root)/boot/grub; configfile ($root)/boot/grub/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /boot/grub2/grub.cfg; then set prefix=($root)/boot/grub2; configfile ($root)/boot/grub2/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /grub/grub.cfg; then set prefix=($root)/grub; configfile ($root)/grub/grub.cfg; fi
    if search --no-floppy --set=root --hint=hd0 --file /grub2/grub.cfg; then set prefix=($root)/grub2; configfile ($root)/grub2/grub.cfg; fi

    [/var/run/chyves/web01/device.map 644]
    (hd0) /dev/zvol/tank/chyves/guests/web01/disk0

    windows installs
    grub-bhyve cannot boot os=windows: Windows starts with UEFI firmware only
      hint: `chyves set web01 loader=uefi`
      hint: or set os=custom and put a grub.cfg and a device.map into the guest's folder

    windows boots
    grub-bhyve cannot boot os=windows: Windows starts with UEFI firmware only
      hint: `chyves set web01 loader=uefi`
      hint: or set os=custom and put a grub.cfg and a device.map into the guest's folder
    ");
}

#[test]
fn what_a_medium_does_not_say_is_asked_for() {
    let unnamed = || Medium { path: "/tank/i/my.iso".into(), label: None, version: version("openbsd", "/tank/i/my.iso") };
    assert_snapshot!(shown(Boot::GrubBhyve(grub("openbsd", Some(unnamed())))), @"
    the recipe for os=openbsd needs the medium's version, which is not known
      hint: name the image as its maker does, as install75.iso
      hint: or set os=custom and put a grub.cfg and a device.map into the guest's folder
    ");
    let hostile = Medium { label: Some("x\" ; reboot".into()), ..unnamed() };
    assert_snapshot!(shown(Boot::GrubBhyve(grub("arch", Some(hostile)))), @r#"`x" ; reboot` is no label that can be passed to GRUB"#);
    assert_snapshot!(shown(Boot::GrubBhyve(GrubBhyve { disks: Vec::new(), ..grub("debian", None) })), @"
    grub-bhyve has nothing to boot from
      hint: attach a disk, or start with --iso IMAGE
    ");
    assert_snapshot!(shown(Boot::GrubBhyve(GrubBhyve { disks: vec!["/tank/a b".into()], ..grub("debian", None) })), @"
    grub-bhyve cannot be given the path `/tank/a b`: its device map ends a path at the first blank
      hint: rename it without blanks, or set loader=uefi
    ");
}

#[test]
fn a_version_is_read_from_the_system_or_the_file() {
    assert_eq!(version("openbsd", "/i/install75.iso").as_deref(), Some("7.5"));
    assert_eq!(version("openbsd60", "/i/my.iso").as_deref(), Some("6.0"));
    for path in ["/i/my.iso", "/i/cd7.iso", "/i/install2024.iso", "/75/my.iso"] {
        assert_eq!(version("openbsd", path), None, "{path}");
    }
}

#[test]
fn every_recipe_can_be_chosen() {
    let os = crate::property::find("os").unwrap();
    for recipe in RECIPES {
        assert_eq!(crate::property::check(&os, recipe.os).unwrap(), recipe.os);
    }
    assert!(crate::property::check(&os, "plan9").is_err());
}

#[test]
fn a_system_without_a_recipe_has_the_fallbacks() {
    assert_eq!(recipe("illumos").os, "default");
    assert_eq!(recipe("openbsd60").os, "openbsd");
    let mut names: Vec<&str> = RECIPES[1..].iter().map(|r| r.os).collect();
    names.dedup();
    assert!(names.is_sorted() && names.len() == RECIPES.len() - 1);
}

#[test]
fn bhyveload_boots_the_disks_in_order() {
    let loader = Bhyveload {
        disks: vec![DISK.into(), "/tank/second.raw".into()],
        flags: vec!["-e".into(), "autoboot_delay=0".into()],
        timeout: 300,
    };
    assert_snapshot!(shown(Boot::Bhyveload(loader.clone())), @"  bhyveload -c /dev/nmdm-web01.1A -m 4096M -d /dev/zvol/tank/chyves/guests/web01/disk0 -d /tank/second.raw -e autoboot_delay=0 web01");
    let mut spec = Spec { boot: Boot::Bhyveload(loader), ..bare() };
    spec.memory.in_core = true;
    // The notation of chyves 2016.
    spec.extra = vec!["-S".into()];
    let machine = built(spec);
    covered(&machine, &freebsd("13.5"));
    let rendered = render(&machine, &freebsd("13.5")).unwrap();
    assert!(rendered.before[1].cmd.to_string().starts_with("bhyveload -c /dev/nmdm-web01.1A -m 4096M -S -C -d "));
    assert!(!rendered.cmd.to_string().contains("bootrom"));
    assert!(rendered.before[0].may_fail && !rendered.before[1].may_fail);
    assert_eq!(rendered.after[0].to_string(), "bhyvectl --vm=web01 --destroy");
    assert_snapshot!(shown(Boot::Bhyveload(Bhyveload { disks: Vec::new(), flags: Vec::new(), timeout: 1 })), @"
    bhyveload has nothing to boot from
      hint: attach a disk, or start with --iso IMAGE
    ");
}

#[test]
fn the_recipe_that_may_name_any_path_is_known_as_such() {
    let os = &crate::property::find("os").unwrap().property.reach;
    for recipe in RECIPES {
        let is_own = [&recipe.install, &recipe.boot].into_iter().any(|way| *way == Way::Own);
        assert_eq!(os.of(recipe.os).is_some(), is_own, "{}", recipe.os);
    }
}
