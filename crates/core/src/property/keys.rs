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
    /// The key `uuid`, described in the catalogue.
    UUID = "uuid";
    /// The key `cpu`, described in the catalogue.
    CPU = "cpu";
    /// The key `cpu_sockets`, described in the catalogue.
    CPU_SOCKETS = "cpu_sockets";
    /// The key `cpu_threads`, described in the catalogue.
    CPU_THREADS = "cpu_threads";
    /// The key `ram`, described in the catalogue.
    RAM = "ram";
    /// The key `loader`, described in the catalogue.
    LOADER = "loader";
    /// The key `firmware`, described in the catalogue.
    FIRMWARE = "firmware";
    /// The key `grub_root`, described in the catalogue.
    GRUB_ROOT = "grub_root";
    /// The key `loader_timeout`, described in the catalogue.
    LOADER_TIMEOUT = "loader_timeout";
    /// The key `bhyveload_flags`, described in the catalogue.
    BHYVELOAD_FLAGS = "bhyveload_flags";
    /// The key `tpm`, described in the catalogue.
    TPM = "tpm";
    /// The key `os`, described in the catalogue.
    OS = "os";
    /// The key `accel`, described in the catalogue.
    ACCEL = "accel";
    /// The key `confine`, described in the catalogue.
    CONFINE = "confine";
    /// The key `confine_uids`, described in the catalogue.
    CONFINE_UIDS = "confine_uids";
    /// The key `acpi`, described in the catalogue.
    ACPI = "acpi";
    /// The key `vmexit_on_hlt`, described in the catalogue.
    VMEXIT_ON_HLT = "vmexit_on_hlt";
    /// The key `vmexit_on_pause`, described in the catalogue.
    VMEXIT_ON_PAUSE = "vmexit_on_pause";
    /// The key `ignore_bad_msr`, described in the catalogue.
    IGNORE_BAD_MSR = "ignore_bad_msr";
    /// The key `bargs`, described in the catalogue.
    BARGS = "bargs";
    /// The key `qargs`, described in the catalogue.
    QARGS = "qargs";
    /// The key `load_kernel_modules`, described in the catalogue.
    LOAD_MODULES = "load_kernel_modules";
    /// The key `rtc`, described in the catalogue.
    RTC = "rtc";
    /// The key `description`, described in the catalogue.
    DESCRIPTION = "description";
    /// The key `template`, described in the catalogue.
    TEMPLATE = "template";
    /// The key `on_reboot`, described in the catalogue.
    ON_REBOOT = "on_reboot";
    /// The key `on_crash`, described in the catalogue.
    ON_CRASH = "on_crash";
    /// The key `iso_eject_after_reboots`, described in the catalogue.
    EJECT = "iso_eject_after_reboots";
    /// The key `revert_to_snapshot`, described in the catalogue.
    REVERT_TO = "revert_to_snapshot";
    /// The key `revert_to_snapshot_method`, described in the catalogue.
    REVERT_AT = "revert_to_snapshot_method";
    /// The key `stop_timeout`, described in the catalogue.
    STOP_TIMEOUT = "stop_timeout";
    /// The key `console_log_limit`, described in the catalogue.
    CONSOLE_LOG_LIMIT = "console_log_limit";
    /// The key `autostart`, described in the catalogue.
    AUTOSTART = "autostart";
    /// The key `vnc`, described in the catalogue.
    VNC = "vnc";
    /// The key `vnc_address`, described in the catalogue.
    VNC_ADDRESS = "vnc_address";
    /// The key `vnc_port`, described in the catalogue.
    VNC_PORT = "vnc_port";
    /// The key `vnc_resolution`, described in the catalogue.
    VNC_RESOLUTION = "vnc_resolution";
    /// The key `vnc_mouse`, described in the catalogue.
    VNC_MOUSE = "vnc_mouse";
    /// The key `ci.enabled`, described in the catalogue.
    CI_ENABLED = "ci.enabled";
    /// The key `ci.reader`, described in the catalogue.
    CI_READER = "ci.reader";
    /// The key `ci.hostname`, described in the catalogue.
    CI_HOSTNAME = "ci.hostname";
    /// The key `ci.user`, described in the catalogue.
    CI_USER = "ci.user";
    /// The key `ci.password_file`, described in the catalogue.
    CI_PASSWORD_FILE = "ci.password_file";
    /// The key `ci.generation`, described in the catalogue.
    CI_GENERATION = "ci.generation";
    /// The key `owner`, described in the catalogue.
    OWNER = "owner";
    /// The key `epoch`, described in the catalogue.
    EPOCH = "epoch";
    /// The key `trust`, described in the catalogue.
    TRUST = "trust";
    /// The key `created`, described in the catalogue.
    CREATED = "created";
    /// The key `cloned_from`, described in the catalogue.
    CLONED_FROM = "cloned_from";
    /// The key `image`, described in the catalogue.
    IMAGE = "image";
    /// The key `deleted`, described in the catalogue.
    DELETED = "deleted";
    /// The key `name`, described in the catalogue.
    NAME = "name";
    /// The key `group`, described in the catalogue.
    GROUP = "group";
    /// The key `removed_from`, described in the catalogue.
    REMOVED_FROM = "removed_from";
    /// The key `layout`, described in the catalogue.
    LAYOUT = "layout";
    /// The key `role`, described in the catalogue.
    ROLE = "role";
    /// The key `host`, described in the catalogue.
    HOST = "host";
    /// The key `former_host`, described in the catalogue.
    FORMER_HOST = "former_host";
    /// The key `group_levels`, described in the catalogue.
    GROUP_LEVELS = "group_levels";
    /// The key `bridge`, described in the catalogue.
    BRIDGE = "bridge";
    /// The key `network_mode`, described in the catalogue.
    NETWORK_MODE = "network_mode";
    /// The key `image.kind`, described in the catalogue.
    IMAGE_KIND = "image.kind";
    /// The key `image.size`, described in the catalogue.
    IMAGE_SIZE = "image.size";
    /// The key `image.sha256`, described in the catalogue.
    IMAGE_SHA256 = "image.sha256";
    /// The key `image.label`, described in the catalogue.
    IMAGE_LABEL = "image.label";
    /// The key `image.vars`, described in the catalogue.
    IMAGE_VARS = "image.vars";
    /// The key `image.vars_size`, described in the catalogue.
    IMAGE_VARS_SIZE = "image.vars_size";
    /// The key `image.source`, described in the catalogue.
    IMAGE_SOURCE = "image.source";
    /// The key `image.added`, described in the catalogue.
    IMAGE_ADDED = "image.added";
    /// The key `image.name`, described in the catalogue.
    IMAGE_NAME = "image.name";
    /// The key `image.format`, described in the catalogue.
    IMAGE_FORMAT = "image.format";
    /// The key `image.checked`, described in the catalogue.
    IMAGE_CHECKED = "image.checked";
    /// The key `image.partial`, described in the catalogue.
    IMAGE_PARTIAL = "image.partial";
    /// The key `snapshot.taken`, described in the catalogue.
    SNAPSHOT_TAKEN = "snapshot.taken";
    /// The key `snapshot.live`, described in the catalogue.
    SNAPSHOT_LIVE = "snapshot.live";
    /// The key `snapshot.for`, described in the catalogue.
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
