//! The cloud-init settings of a guest.

use super::BASE;
use crate::property::kind::Kind;
use crate::property::reach::{self, Reaches};
use crate::property::{Access, Property, Scope, Unset};

/// The rows.
pub(super) static ROWS: &[Property] = &[
    Property {
        key: "ci.enabled",
        kind: Kind::YesNo,
        unset: Unset::Value("no"),
        summary: "whether the guest is set up by cloud-init",
        detail: "Each start then makes a seed of the settings ci.… (NoCloud, label CIDATA) and attaches it read-only, as the last disk. What a guest does with it is its cloud-init's affair: most of it once, at the first boot of an instance; see ci.generation.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "ci.reader",
        kind: Kind::Choice(&["auto", "cloud-init", "nuageinit", "cloudbase-init"]),
        unset: Unset::Value("auto"),
        summary: "the program in the guest that reads the seed",
        detail: "auto derives it from os: nuageinit for freebsd, cloudbase-init for windows, cloud-init for the rest. nuageinit is that of FreeBSD's own images BASIC-CLOUDINIT; set cloud-init for a FreeBSD that has the package cloud-init. nuageinit and cloudbase-init know a part of cloud-init: a setting that they cannot express is refused. Their user-data is one #cloud-config, own user-data merged into it; for nuageinit the network is a part of it. Where a key or a user is set, FreeBSD's user freebsd is made without its known password. An own script is handed to nuageinit as it is where no key, user or network setting has to be merged with it. nuageinit runs merged scripts, sets name servers and changes the password of a user that the image has from FreeBSD 14.3 on.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "ci.hostname",
        kind: Kind::HostName,
        scope: Scope::GuestOnly,
        unset: Unset::Derived("from the guest's name"),
        summary: "the guest's host name",
        detail: "With or without its domain. A clone has its own.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "ci.user",
        kind: Kind::User,
        unset: Unset::Derived("the image's own, such as debian or freebsd"),
        summary: "the user whose SSH keys are set",
        detail: "The image's own user gets this name and keeps its groups, its shell and its right to become root.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "ci.key{n}",
        kind: Kind::PublicKey,
        summary: "a public SSH key of the user",
        detail: "A line as OpenSSH writes it into files .pub. One that is longer than a property may be is kept in the file cloud-init/authorized_keys of the guest's file system; `chyves create --ssh-key` sees to that.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "ci.password_file",
        kind: Kind::FilePath,
        summary: "the file that holds the hash of the user's password",
        detail: "A path of the host, or a name in the folder cloud-init of the guest's file system. It holds one line as `openssl passwd -6` prints it and may be read by root alone. The password is that of ci.user; the property holds no secret.",
        reach: Reaches::When { words: "names a path, where it is not a plain name", of: reach::path },
        ..BASE
    },
    Property {
        key: "ci.dns{n}",
        kind: Kind::Address,
        summary: "a name server of the guest",
        detail: "In addition to those from DHCP and routers.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "ci.search{n}",
        kind: Kind::HostName,
        summary: "a domain that short names are looked for in",
        detail: "In addition to those from DHCP and routers.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "ci.net{n}.address",
        kind: Kind::NicAddress4,
        scope: Scope::GuestOnly,
        unset: Unset::Value("dhcp"),
        summary: "the IPv4 address of NIC n",
        detail: "dhcp, none, or an address with the length of its network's prefix. The guest finds the NIC by its Ethernet address. A clone does not take it over.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "ci.net{n}.gateway",
        kind: Kind::Address4,
        summary: "the IPv4 router of NIC n",
        detail: "Where the NIC has an address of its own. It may be outside of the NIC's network.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "ci.net{n}.address6",
        kind: Kind::NicAddress6,
        scope: Scope::GuestOnly,
        unset: Unset::Value("auto"),
        summary: "the IPv6 address of NIC n",
        detail: "auto (as routers advertise), dhcp, none, or an address with the length of its network's prefix. A clone does not take it over.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "ci.net{n}.gateway6",
        kind: Kind::Address6,
        summary: "the IPv6 router of NIC n",
        detail: "Where the NIC has an address of its own.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "ci.generation",
        kind: Kind::Count { min: 1, max: u32::MAX },
        scope: Scope::GuestOnly,
        unset: Unset::Value("1"),
        access: Access::Kept("`chyves cloud-init reinit`"),
        summary: "how often the guest was made a new instance for cloud-init",
        detail: "With the uuid it makes the instance id. cloud-init does most of its work once for each id; a clone has another uuid and with it another id.",
        reach: Reaches::Never,
        ..BASE
    },
];
