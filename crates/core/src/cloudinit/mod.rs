//! The cloud-init seed of a guest (NoCloud), made of settings and of files that the user keeps with the guest.
//!
//! * [`settings`]: a guest's settings as a [`Seed`]
//! * [`values`], [`keys`]: host names, users, addresses and public keys, each parsed once
//! * [`reader`]: which program in the guest reads the seed
//! * [`documents`]: a seed and its files as the texts that cloud-init reads; `nuageinit` and `cloudbase` for other readers
//! * [`mod@format`], [`yaml`]: what the user's own texts are, and whether they are whole
//! * [`mime`]: two texts as one
//! * [`iso9660`]: the texts as a disc
//!
//! The same settings always give the same bytes, so that a guest that is started again reads what it has read before.
//! Not here: reading files and writing the disc (chyves-host `seed`), the drive it lies in ([`crate::plan`]).

mod cloudbase;
pub mod documents;
pub mod format;
pub mod iso9660;
pub mod keys;
pub mod mime;
mod nuageinit;
#[cfg(test)]
mod nuageinit_model;
pub mod reader;
pub mod settings;
pub mod values;
pub mod yaml;

use crate::value::{FilePath, Mac};
use keys::PublicKey;
use reader::Reader;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use values::{HostName, NicAddress, UserName};

/// The volume label by which cloud-init finds its seed.
pub const LABEL: &str = "CIDATA";

/// The folder in a guest's file system where the user's own texts lie.
pub const FOLDER: &str = "cloud-init";

/// No text of a user's is longer, in bytes.
pub const TEXT_LIMIT: u64 = 1 << 20;

/// What a guest's cloud-init is to do, without the content of files. Holds no secret, so that a plan may show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// Which program in the guest reads it. One of an older chyves was for cloud-init.
    #[serde(default)]
    pub reader: Reader,
    /// By it a guest recognises whether it is a new instance, to be set up from scratch.
    pub instance_id: String,
    /// Its host name.
    pub hostname: HostName,
    /// The user that the image's own one becomes.
    pub user: Option<UserName>,
    /// Who may log in as that user.
    pub keys: Vec<PublicKey>,
    /// The file that holds the hash of the user's password: an absolute path, or one below [`FOLDER`].
    pub password_file: Option<String>,
    /// Name servers.
    pub dns: Vec<IpAddr>,
    /// The domains that short names are looked for in.
    pub search: Vec<HostName>,
    /// The NICs.
    pub nics: Vec<Nic>,
}

/// A seed that is to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedDisc {
    /// What it says.
    pub seed: Seed,
    /// The folder of the user's own texts, which need not be there.
    pub folder: FilePath,
    /// The disc's path.
    pub path: String,
    /// The user's own texts, where a dry run has read them; a start reads them when it makes the disc.
    #[serde(skip)]
    pub read: Option<Sources>,
}

impl SeedDisc {
    /// One whose texts are read when it is written.
    pub const fn new(seed: Seed, folder: FilePath, path: String) -> Self {
        Self { seed, folder, path, read: None }
    }
}

/// One NIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// Its number.
    pub number: u16,
    /// By which the guest finds it, whatever it calls it.
    pub mac: Mac,
    /// The largest packet, where not the usual one.
    pub mtu: Option<u32>,
    /// Its IPv4 address.
    pub v4: NicAddress,
    /// Its IPv6 address.
    pub v6: NicAddress,
    /// The next hop to everywhere.
    pub gateway: Option<IpAddr>,
    /// The same for IPv6.
    pub gateway6: Option<IpAddr>,
}

/// The files that a seed is made of besides settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources {
    /// More keys: those that are too long for a property.
    pub authorized_keys: Option<String>,
    /// The content of the password file.
    pub password: Option<String>,
    /// The user's own user-data.
    pub user_data: Option<String>,
    /// The user's own vendor-data.
    pub vendor_data: Option<String>,
    /// The user's own network configuration, which replaces ours.
    pub network_config: Option<String>,
}

/// The user's texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Text {
    /// More keys.
    AuthorizedKeys,
    /// What cloud-init is to do.
    UserData,
    /// The same with less weight: user-data wins.
    VendorData,
    /// The network.
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
    /// Where a text is kept.
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

    /// The seed of a usual guest.
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
