//! Settings whose value is one of a few words, as enumerations: their words are the only ones that the catalogue offers.
//!
//! Not here: the rows of the catalogue (`catalog`), kinds of values that are not enumerations (`kind`).
//!
//! To add a value: a row here; the compiler then lists the places that have to handle it.

use crate::value::choices;

choices! {
    /// How a guest boots.
    Loader: "is not a loader" {
        /// UEFI firmware.
        Uefi = "uefi",
        /// QEMU's BIOS.
        Bios = "bios",
        /// bhyveload(8).
        Bhyveload = "bhyveload",
        /// grub-bhyve.
        GrubBhyve = "grub-bhyve",
    }

    /// QEMU's accelerator.
    Accel: "is not an accelerator" {
        /// KVM if it works, otherwise emulation.
        Auto = "auto",
        /// KVM, or an error if it does not work.
        Kvm = "kvm",
        /// Emulation.
        Tcg = "tcg",
    }

    /// When a guest reverts to its snapshot.
    RevertAt: "is not a time to revert" {
        /// Never.
        Off = "off",
        /// Before each start, not at reboots.
        Start = "start",
        /// At each of its reboots, not before a start.
        Reboot = "reboot",
        /// At both.
        Both = "both",
    }

    /// The kind of a disk.
    DiskKind: "is not a kind of disk" {
        /// A file in the guest's file system.
        Raw = "raw",
        /// A volume below the guest.
        Zvol = "zvol",
        /// An existing file, volume or device elsewhere that chyves only uses.
        Attached = "attached",
    }

    /// How a NIC reaches the network.
    Backend: "is not a back end of a NIC" {
        /// The one that the other settings imply, else the hypervisor's default.
        Auto = "auto",
        /// The hypervisor's built-in user network.
        User = "user",
        /// A tap on a bridge.
        Bridge = "bridge",
        /// A port of a VALE switch.
        Vale = "vale",
        /// A hook of a netgraph node.
        Netgraph = "netgraph",
    }

    /// An action that follows the end of a VM.
    OnEnd: "is neither restart nor stop" {
        /// Restart (after a crash with growing pauses and a limit).
        Restart = "restart",
        /// Clean up and stay off.
        Stop = "stop",
    }

    /// The role of a pool.
    Role: "is not a role of a pool" {
        /// Contains images and global settings, besides guests.
        Primary = "primary",
        /// Contains guests.
        Secondary = "secondary",
        /// Is not used.
        Offline = "offline",
    }

    /// The kind of an image.
    ImageKind: "is not a kind of image" {
        /// A disk.
        Disk = "disk",
        /// An ISO.
        Iso = "iso",
        /// UEFI firmware.
        Firmware = "firmware",
    }

    /// The bus or controller of a disk.
    Bus: "is not a bus of a disk" {
        /// virtio-blk.
        VirtioBlk = "virtio-blk",
        /// AHCI.
        AhciHd = "ahci-hd",
        /// NVMe.
        Nvme = "nvme",
    }

    /// The pointing device of a display.
    Mouse: "is not a pointing device" {
        /// A PS/2 mouse.
        Ps2 = "ps2",
        /// A tablet on a USB 3 controller.
        Usb3 = "usb3",
    }

    /// The time that the real-time clock shows.
    Clock: "is not a time that a clock shows" {
        /// UTC.
        Utc = "utc",
        /// The host's local time.
        LocalTime = "localtime",
    }
}
