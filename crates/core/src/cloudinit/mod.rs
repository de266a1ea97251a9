//! The cloud-init seed of a guest (NoCloud), generated from settings and from files that the user stores with the guest.
//!
//! * [`settings`]: converts a guest's settings to a [`Seed`]
//! * [`reader`]: the program in the guest that reads the seed
//! * [`documents`]: renders a seed and its files as texts for cloud-init; `nuageinit` and `cloudbase` for other readers
//! * [`mod@format`], [`yaml`]: the format of the user's own texts, and their validation
//! * [`mime`]: combines two texts
//! * [`iso9660`]: writes the texts as an ISO image
//!
//! The same settings always generate the same bytes, so that a restarted guest reads the same seed again. Not here: reading
//! files and writing the image (chyves-host `seed`), the drive that it is in ([`crate::plan`]).

mod cloudbase;
pub mod documents;
pub mod format;
pub mod iso9660;
pub mod mime;
mod nuageinit;
#[cfg(test)]
mod nuageinit_model;
pub mod reader;
pub mod settings;
pub mod yaml;

use crate::value::{FilePath, HostName, Mac, NicAddress, PublicKey, UserName};
use reader::Reader;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The volume label by which cloud-init finds its seed.
pub const LABEL: &str = "CIDATA";

/// The folder with the user's own texts in a guest's file system.
pub const FOLDER: &str = "cloud-init";

/// Maximum size of a user's text in bytes.
pub const TEXT_LIMIT: u64 = 1 << 20;

/// The seed of a guest, without the content of files. It contains no secrets, so that a plan can show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// The program in the guest that reads it. Seeds of older versions of chyves were for cloud-init.
    #[serde(default)]
    pub reader: Reader,
    /// Identifies the instance: if it changes, the guest is initialised again from scratch.
    pub instance_id: String,
    /// Its host name.
    pub hostname: HostName,
    /// The new name of the image's default user.
    pub user: Option<UserName>,
    /// SSH public keys of that user.
    pub keys: Vec<PublicKey>,
    /// The file with the hash of the user's password: an absolute path, or one below [`FOLDER`].
    pub password_file: Option<String>,
    /// Name servers.
    pub dns: Vec<IpAddr>,
    /// DNS search domains.
    pub search: Vec<HostName>,
    /// The NICs.
    pub nics: Vec<Nic>,
}

/// A seed that is about to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedDisc {
    /// The settings.
    pub seed: Seed,
    /// The folder with the user's own texts; it may be missing.
    pub folder: FilePath,
    /// The path of the ISO image.
    pub path: String,
    /// The user's own texts, if a dry run has read them; a start reads them when it writes the image.
    #[serde(skip)]
    pub read: Option<Sources>,
}

impl SeedDisc {
    /// A seed with texts that are read when it is written.
    pub const fn new(seed: Seed, folder: FilePath, path: String) -> Self {
        Self { seed, folder, path, read: None }
    }
}

/// One NIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// Its number.
    pub number: u16,
    /// Its MAC address, by which the guest matches it.
    pub mac: Mac,
    /// The MTU, if not the default.
    pub mtu: Option<u32>,
    /// Its IPv4 address.
    pub v4: NicAddress,
    /// Its IPv6 address.
    pub v6: NicAddress,
    /// The default gateway.
    pub gateway: Option<IpAddr>,
    /// The default gateway of IPv6.
    pub gateway6: Option<IpAddr>,
}

/// The files that a seed is generated from, besides settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources {
    /// Additional SSH keys: those that are too long for a property.
    pub authorized_keys: Option<String>,
    /// The content of the password file.
    pub password: Option<String>,
    /// The user's own user-data.
    pub user_data: Option<String>,
    /// The user's own vendor-data.
    pub vendor_data: Option<String>,
    /// The user's own network configuration, which replaces the generated one.
    pub network_config: Option<String>,
}

/// The kinds of texts that a user can supply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Text {
    /// Additional SSH keys.
    AuthorizedKeys,
    /// User-data.
    UserData,
    /// Vendor-data: like user-data, which takes precedence.
    VendorData,
    /// Network configuration.
    NetworkConfig,
}

impl Text {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::AuthorizedKeys, Self::UserData, Self::VendorData, Self::NetworkConfig];

    /// The name of its file in [`FOLDER`].
    pub const fn file(self) -> &'static str {
        match self {
            Self::AuthorizedKeys => "authorized_keys",
            Self::UserData => "user-data",
            Self::VendorData => "vendor-data",
            Self::NetworkConfig => "network-config",
        }
    }
}

impl Sources {
    /// The field of a text.
    pub fn slot(&mut self, text: Text) -> &mut Option<String> {
        match text {
            Text::AuthorizedKeys => &mut self.authorized_keys,
            Text::UserData => &mut self.user_data,
            Text::VendorData => &mut self.vendor_data,
            Text::NetworkConfig => &mut self.network_config,
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    pub(crate) const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFuhB9oOXbFg6UftLCS7a3FjWd/F+p2iUEAMLuzJQC2O ann@desk";

    /// The seed of a typical guest.
    pub(crate) fn seed() -> Seed {
        Seed {
            reader: Reader::CloudInit,
            instance_id: "8a6e0804-2bd0-4672-b79d-d97027f9071a-1".into(),
            hostname: "db01".parse().unwrap(),
            user: None,
            keys: vec![KEY.parse().unwrap()],
            password_file: None,
            dns: Vec::new(),
            search: Vec::new(),
            nics: vec![Nic {
                number: 0,
                mac: "58:9c:fc:00:00:01".parse().unwrap(),
                mtu: None,
                v4: NicAddress::Dhcp,
                v6: NicAddress::Auto,
                gateway: None,
                gateway6: None,
            }],
        }
    }
}
