//! The recipes: how GRUB boots each operating system, with an installation medium and without. To add one: a row of
//! [`RECIPES`].
//!
//! They originate in the shell implementation of chyves from 2016.

use super::{Recipe, Way};
use crate::property::reach::OWN_RECIPE;

const CD: Way = Way::OnMedium;
const DISK: Way = Way::Search { first: "/boot/grub" };
const fn disk_in(first: &'static str) -> Way {
    Way::Search { first }
}
const FREEBSD: Way = Way::Never("its loader.conf and modules are read by FreeBSD's own loader only", "bhyveload");
const WINDOWS: Way = Way::Never("Windows starts with UEFI firmware only", "uefi");
const ISOLINUX: Way = Way::Lines(&["linux (cd0)/isolinux/vmlinuz", "initrd (cd0)/isolinux/initrd.img", "boot"]);
const OPENBSD_BOOT: Way = Way::Lines(&["kopenbsd -h com0 -r sd0a (hd0,openbsd1)/bsd", "boot"]);

/// The recipes, the fallback first.
pub static RECIPES: &[Recipe] = &[
    Recipe { os: "default", install: CD, boot: DISK },
    Recipe {
        os: "arch",
        install: Way::Lines(&[
            "linux (cd0)/arch/boot/x86_64/vmlinuz archisobasedir=arch archisolabel={label} ro",
            "initrd (cd0)/arch/boot/x86_64/archiso.img",
            "boot",
        ]),
        boot: DISK,
    },
    Recipe { os: "centos6", install: ISOLINUX, boot: disk_in("/grub") },
    Recipe { os: "centos7", install: ISOLINUX, boot: disk_in("/grub2") },
    Recipe {
        os: "coreos",
        install: Way::Lines(&["linux (cd0)/coreos/vmlinuz coreos.autologin", "initrd (cd0)/coreos/cpio.gz", "boot"]),
        boot: Way::Lines(&["linux (hd0,1)/coreos/vmlinuz-a ro root=LABEL=ROOT usr=LABEL=USR-A coreos.autologin", "boot"]),
    },
    Recipe {
        os: "coreossecure",
        install: Way::Lines(&["linux (cd0)/coreos/vmlinuz", "initrd (cd0)/coreos/cpio.gz", "boot"]),
        boot: Way::Lines(&["linux (hd0,1)/coreos/vmlinuz-a ro root=LABEL=ROOT usr=LABEL=USR-A", "boot"]),
    },
    Recipe { os: OWN_RECIPE, install: Way::Own, boot: Way::Own },
    Recipe { os: "d8lvm", install: CD, boot: disk_in("/grub") },
    Recipe { os: "debian", install: CD, boot: DISK },
    Recipe { os: "freebsd", install: FREEBSD, boot: FREEBSD },
    Recipe {
        os: "gentoo",
        install: Way::Lines(&[
            "linux (cd0)/isolinux/gentoo root=/dev/ram0 init=/linuxrc dokeymap looptype=squashfs loop=/image.squashfs cdroot",
            "initrd (cd0)/isolinux/gentoo.igz",
            "boot",
        ]),
        boot: DISK,
    },
    Recipe {
        os: "netbsd",
        install: Way::Lines(&["knetbsd -h -r cd0a (cd0)/netbsd", "boot"]),
        boot: Way::Lines(&["knetbsd -h -r wd0a (hd0,msdos1)/netbsd", "boot"]),
    },
    Recipe { os: "openbsd", install: Way::Lines(&["kopenbsd -h com0 (cd0)/{version}/amd64/bsd.rd", "boot"]), boot: OPENBSD_BOOT },
    Recipe {
        os: "vyos",
        install: Way::Lines(&[
            "linux (cd0)/live/vmlinuz console=ttyS0 console=tty0 quiet boot=live nopersistent noautologin nonetworking nouser hostname=vyos",
            "initrd (cd0)/live/initrd.img",
            "boot",
        ]),
        boot: DISK,
    },
    Recipe { os: "windows", install: WINDOWS, boot: WINDOWS },
];
