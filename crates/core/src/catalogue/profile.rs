//! Recommended settings for each operating system, as data: `create --os windows` sets them.
//!
//! Not here: settings that one image requires, which are stored with the image, and grub-bhyve's recipes (`vmm::grub`). To
//! add an operating system: a row of [`ALL`], its value in the property `os`, and its line in the manual.

use crate::value::Size;

/// One operating system.
#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name, which is a value of the property `os`.
    pub name: &'static str,
    /// Aliases: values of `os` that mean the same operating system.
    pub also: &'static [&'static str],
    /// Settings of the guest, keys and values.
    pub settings: &'static [(&'static str, &'static str)],
    /// The bus that its disks are attached to.
    pub bus: &'static str,
    /// The model of its NICs.
    pub nic: &'static str,
    /// Minimum memory for its usual installation.
    pub least: Size,
}

/// All profiles.
pub static ALL: &[Profile] = &[
    Profile {
        name: "freebsd",
        also: &[],
        settings: &[("loader", "uefi"), ("rtc", "utc")],
        bus: "virtio-blk",
        nic: "virtio-net",
        least: Size::mib(512),
    },
    Profile {
        name: "linux",
        also: &["arch", "centos6", "centos7", "coreos", "coreossecure", "d8lvm", "debian", "gentoo", "vyos"],
        settings: &[("loader", "uefi"), ("rtc", "utc")],
        bus: "virtio-blk",
        nic: "virtio-net",
        least: Size::mib(512),
    },
    // Devices supported by its installer: NVMe and e1000. It requires a display, two processors and local time. The TPM
    // that Windows 11 requires is not set, because a host has to be prepared for it (see the property `tpm`).
    Profile {
        name: "windows",
        also: &[],
        settings: &[("loader", "uefi"), ("rtc", "localtime"), ("cpu", "2"), ("vnc", "on"), ("vnc_mouse", "usb3")],
        bus: "nvme",
        nic: "e1000",
        least: Size::mib(4096),
    },
    Profile {
        name: "openbsd",
        also: &["openbsd57", "openbsd58", "openbsd59", "openbsd60"],
        settings: &[("loader", "uefi"), ("rtc", "utc")],
        bus: "virtio-blk",
        nic: "virtio-net",
        least: Size::mib(256),
    },
    Profile {
        name: "netbsd",
        also: &[],
        settings: &[("loader", "uefi"), ("rtc", "utc")],
        bus: "virtio-blk",
        nic: "virtio-net",
        least: Size::mib(256),
    },
    Profile {
        name: "illumos",
        also: &[],
        settings: &[("loader", "uefi"), ("rtc", "utc")],
        bus: "virtio-blk",
        nic: "virtio-net",
        least: Size::mib(1024),
    },
    // Settings that work with nearly every operating system, for unknown ones.
    Profile {
        name: "other",
        also: &[],
        settings: &[("loader", "uefi"), ("rtc", "utc")],
        bus: "ahci-hd",
        nic: "e1000",
        least: Size::mib(128),
    },
];

/// The profile for a value of `os`; `None` for the default value.
pub fn of(os: &str) -> Option<&'static Profile> {
    ALL.iter().find(|p| p.name == os || p.also.contains(&os))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::property;

    #[test]
    fn every_row_holds_good_settings() {
        for profile in ALL {
            let devices = [("disk0.bus", profile.bus), ("net0.model", profile.nic), ("os", profile.name)];
            let least = profile.least.to_string();
            let all = profile.settings.iter().copied().chain(devices).chain([("ram", least.as_str())]);
            for (key, value) in all.chain(profile.also.iter().map(|os| ("os", *os))) {
                let known = property::find(key).unwrap();
                assert_eq!(property::check(&known, value).unwrap(), value, "{}: {key}", profile.name);
            }
        }
    }

    #[test]
    fn each_value_of_os_has_one_profile_or_is_the_default() {
        let property::kind::Kind::Choice(words) = property::find("os").unwrap().property.kind else { panic!() };
        for word in words {
            let found = ALL.iter().filter(|p| p.name == *word || p.also.contains(word)).count();
            assert_eq!(found, usize::from(!matches!(*word, "default" | "custom")), "{word}");
        }
        assert_eq!(of("debian").unwrap().name, "linux");
    }
}
