//! Constants for property keys, which code uses to read settings. A test checks that each is a row of the catalogue.

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident = $key:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $key;)*

        /// All of them, for the test against the catalogue.
        #[cfg(test)]
        pub(super) const ALL: &[&str] = &[$($key),*];
    };
}

keys! {
    /// See the catalogue.
    UUID = "uuid";
    /// See the catalogue.
    CPU = "cpu";
    /// See the catalogue.
    CPU_SOCKETS = "cpu_sockets";
    /// See the catalogue.
    CPU_THREADS = "cpu_threads";
    /// See the catalogue.
    RAM = "ram";
    /// See the catalogue.
    LOADER = "loader";
    /// See the catalogue.
    UEFI_FIRMWARE = "uefi_firmware";
    /// See the catalogue.
    GRUB_ROOT = "grub_root";
    /// See the catalogue.
    LOADER_TIMEOUT = "loader_timeout";
    /// See the catalogue.
    BHYVELOAD_FLAGS = "bhyveload_flags";
    /// See the catalogue.
    TPM = "tpm";
    /// See the catalogue.
    OS = "os";
    /// See the catalogue.
    ACCEL = "accel";
    /// See the catalogue.
    CONFINE = "confine";
    /// See the catalogue.
    CONFINE_UIDS = "confine_uids";
    /// See the catalogue.
    ACPI = "acpi";
    /// See the catalogue.
    VMEXIT_ON_HLT = "vmexit_on_hlt";
    /// See the catalogue.
    VMEXIT_ON_PAUSE = "vmexit_on_pause";
    /// See the catalogue.
    IGNORE_BAD_MSR = "ignore_bad_msr";
    /// See the catalogue.
    BARGS = "bargs";
    /// See the catalogue.
    QARGS = "qargs";
    /// See the catalogue.
    AUTO_LOAD_MODULES = "auto_load_kernel_mods";
    /// See the catalogue.
    RTC = "rtc";
    /// See the catalogue.
    DESCRIPTION = "description";
    /// See the catalogue.
    TEMPLATE = "template";
    /// See the catalogue.
    ON_REBOOT = "on_reboot";
    /// See the catalogue.
    ON_CRASH = "on_crash";
    /// See the catalogue.
    EJECT = "eject_iso_on_n_reboot";
    /// See the catalogue.
    REVERT_TO = "revert_to_snapshot";
    /// See the catalogue.
    REVERT_AT = "revert_to_snapshot_method";
    /// See the catalogue.
    STOP_TIMEOUT = "stop_timeout";
    /// See the catalogue.
    CONSOLE_LOG_LIMIT = "console_log_limit";
    /// See the catalogue.
    VNC = "uefi_console_output";
    /// See the catalogue.
    VNC_ADDRESS = "uefi_vnc_ip";
    /// See the catalogue.
    VNC_PORT = "uefi_vnc_port";
    /// See the catalogue.
    VNC_RESOLUTION = "uefi_vnc_res";
    /// See the catalogue.
    VNC_MOUSE = "uefi_vnc_mouse_type";
    /// See the catalogue.
    CI_ENABLED = "ci.enabled";
    /// See the catalogue.
    CI_READER = "ci.reader";
    /// See the catalogue.
    CI_HOSTNAME = "ci.hostname";
    /// See the catalogue.
    CI_USER = "ci.user";
    /// See the catalogue.
    CI_PASSWORD_FILE = "ci.password_file";
    /// See the catalogue.
    CI_GENERATION = "ci.generation";
    /// See the catalogue.
    OWNER = "owner";
    /// See the catalogue.
    EPOCH = "epoch";
    /// See the catalogue.
    TRUST = "trust";
    /// See the catalogue.
    CREATED = "created";
    /// See the catalogue.
    CLONED_FROM = "cloned_from";
    /// See the catalogue.
    IMAGE = "image";
    /// See the catalogue.
    DELETED = "deleted";
    /// See the catalogue.
    NAME = "name";
    /// See the catalogue.
    GROUP = "group";
    /// See the catalogue.
    REMOVED_FROM = "removed_from";
    /// See the catalogue.
    LAYOUT = "layout";
    /// See the catalogue.
    ROLE = "role";
    /// See the catalogue.
    HOST = "host";
    /// See the catalogue.
    GROUP_LEVELS = "group_levels";
    /// See the catalogue.
    BRIDGE = "bridge";
    /// See the catalogue.
    NETWORK_MODE = "network_design_mode";
    /// See the catalogue.
    IMAGE_KIND = "image.kind";
    /// See the catalogue.
    IMAGE_SIZE = "image.size";
    /// See the catalogue.
    IMAGE_SHA256 = "image.sha256";
    /// See the catalogue.
    IMAGE_LABEL = "image.label";
    /// See the catalogue.
    IMAGE_VARS = "image.vars";
    /// See the catalogue.
    IMAGE_VARS_SIZE = "image.vars_size";
    /// See the catalogue.
    IMAGE_SOURCE = "image.source";
    /// See the catalogue.
    IMAGE_ADDED = "image.added";
    /// See the catalogue.
    IMAGE_NAME = "image.name";
    /// See the catalogue.
    IMAGE_FORMAT = "image.format";
    /// See the catalogue.
    IMAGE_CHECKED = "image.checked";
    /// See the catalogue.
    IMAGE_PARTIAL = "image.partial";
    /// See the catalogue.
    SNAPSHOT_TAKEN = "snapshot.taken";
    /// See the catalogue.
    SNAPSHOT_LIVE = "snapshot.live";
    /// See the catalogue.
    SNAPSHOT_FOR = "snapshot.for";
}

/// Properties of a snapshot itself, besides the settings that it stores.
pub const OF_SNAPSHOTS: [&str; 3] = [SNAPSHOT_TAKEN, SNAPSHOT_LIVE, SNAPSHOT_FOR];

/// The key prefix on an image for settings that guests made from it get.
pub const WANTS: &str = "wants.";

/// The key prefix of trust records.
pub const TRUSTED: &str = "trusted.";

/// The key of the trust record for a setting's value.
pub fn trusted(key: &str) -> String {
    format!("{TRUSTED}{key}")
}

/// A key of disk `n`.
pub fn disk(n: u16, part: DiskKey) -> String {
    format!("disk{n}.{}", part.word())
}

/// A key of bridge `n` of the host's design.
pub fn bridge(n: u16, part: BridgeKey) -> String {
    format!("bridge{n}.{}", part.word())
}

/// A key of NIC `n`.
pub fn net(n: u16, part: NetKey) -> String {
    format!("net{n}.{}", part.word())
}

/// The key of the guest's SSH public key `n` for cloud-init.
pub fn ci_key(n: u16) -> String {
    format!("ci.key{n}")
}

/// The key of name server `n`.
pub fn ci_dns(n: u16) -> String {
    format!("ci.dns{n}")
}

/// The key of search domain `n`.
pub fn ci_search(n: u16) -> String {
    format!("ci.search{n}")
}

/// A cloud-init key of NIC `n`.
pub fn ci_net(n: u16, part: CiNetKey) -> String {
    format!("ci.net{n}.{}", part.word())
}

macro_rules! parts {
    ($(#[$doc:meta])* $type:ident { $($variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs)] // the catalogue documents each
        pub enum $type { $($variant,)* }

        impl $type {
            /// The part of the key after the dot.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
        }
    };
}

parts! {
    /// The settings of a disk.
    DiskKey { Kind = "kind", Source = "source", Bus = "bus", Size = "size", Options = "options", Serial = "serial", Pci = "pci", Description = "description", Notes = "notes", }
}
parts! {
    /// The settings of a NIC.
    NetKey { Backend = "backend", Model = "model", Bridge = "bridge", Mac = "mac", Mtu = "mtu", Pci = "pci", Vlan = "vlan", Tap = "tap", Vale = "vale", Netgraph = "netgraph", Queues = "queues", Optional = "optional", }
}
parts! {
    /// The settings of a bridge of the host.
    BridgeKey { Name = "name", Type = "type", Uplink = "uplink", Vlan = "vlan", Private = "private", Mtu = "mtu", Address = "address", Address6 = "address6", Filtering = "filtering", Nat = "nat", Dhcp = "dhcp", Description = "description", }
}
parts! {
    /// The cloud-init settings of a NIC.
    CiNetKey { Address = "address", Gateway = "gateway", Address6 = "address6", Gateway6 = "gateway6", }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_the_catalogue() {
        let numbered = DiskKey::ALL.iter().map(|k| disk(0, *k)).chain(NetKey::ALL.iter().map(|k| net(0, *k)));
        let numbered = numbered.chain(BridgeKey::ALL.iter().map(|k| bridge(0, *k)));
        let numbered = numbered.chain([ci_key(0), ci_dns(0), ci_search(0)]).chain(CiNetKey::ALL.iter().map(|k| ci_net(0, *k)));
        for key in ALL.iter().map(|k| (*k).to_owned()).chain(numbered) {
            assert_eq!(crate::property::find(&key).expect(&key).key, key);
        }
    }
}
