//! Lists the properties that users can set.

use crate::Engine;
use crate::answer::mirrored;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use chyves_core::error::Result;
use chyves_core::property::kind::Kind;
use chyves_core::property::{self, Access, catalog};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lists properties.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PropertyList {}

/// One property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PropertyRow {
    /// Its key; `{n}` stands for the number of a device.
    pub property: String,
    /// Its allowed values.
    pub values: Values,
    /// Its value where it is not set; null if there is none, or if it is derived.
    pub default: Option<String>,
    /// Where its value comes from where it is not set and derived, for people.
    pub derived_from: Option<String>,
    /// When a change takes effect.
    pub effect: Effect,
    /// What it reaches on the host; null if nothing.
    pub host: Option<String>,
    /// What it is, in one sentence.
    pub summary: String,
}

/// The values that a property allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Values {
    /// What they are.
    pub code: ValueKind,
    /// The smallest number.
    pub min: Option<u32>,
    /// The largest number.
    pub max: Option<u32>,
    /// The words that are values: all values of a `choice`, otherwise some of them.
    pub words: Vec<String>,
    /// All this for people.
    pub message: String,
}

/// The kind of a property's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ValueKind {
    /// A whole number within inclusive limits.
    Count,
    /// Seconds within inclusive limits; the suffixes `m` and `h` are accepted.
    Seconds,
    /// Memory: a bare number is in megabytes; less than 32M is refused.
    Memory,
    /// Disk space: a bare number is in bytes.
    Space,
    /// One of these words.
    Choice,
    /// `yes` or `no`; `on`, `off`, `true`, `false`, `1`, `0` are accepted.
    YesNo,
    /// `on` or `off`; the words of `yes-no` are accepted.
    OnOff,
    /// The order of starting with the host, 0 for not at all; `yes` and `no` are accepted for 1 and 0.
    Autostart,
    /// Text of one line.
    Text,
    /// Words for a command line, split by the rule that chyves-properties(7) states, never by a shell.
    Words,
    /// A UUID.
    Uuid,
    /// A unicast MAC address.
    Mac,
    /// A guest's name.
    Guest,
    /// An image's name.
    Image,
    /// A snapshot's name, without the guest's and the `@`.
    Snapshot,
    /// A network interface of the host.
    Interface,
    /// A PCI address in the guest, `slot:function`.
    Place,
    /// An IPv4 or IPv6 address.
    Address,
    /// An IPv4 or IPv6 address of the host to listen on.
    Listen,
    /// An IPv4 address.
    Address4,
    /// An IPv6 address.
    Address6,
    /// Width and height of a display, `1024x768`.
    Resolution,
    /// A lower-case hexadecimal hash.
    Hash,
    /// How a disk is opened: bhyve's options, separated by commas.
    DiskOptions,
    /// The serial number of a disk.
    DiskSerial,
    /// An address with its prefix length, `10.0.0.1/24`.
    Cidr,
    /// A VALE switch, with or without a port.
    Vale,
    /// A netgraph node, with or without a hook.
    GraphHook,
    /// Who creates networks: `system` or `manual`; `auto` is an older name of the former.
    DesignMode,
    /// A host's name.
    HostName,
    /// A user's name.
    User,
    /// An OpenSSH public key.
    PublicKey,
    /// The absolute path of a file on the host, or a plain name.
    FilePath,
    /// How a NIC gets its IPv4 address.
    NicAddress4,
    /// How a NIC gets its IPv6 address.
    NicAddress6,
    /// A PCI device in bhyve's notation.
    Device,
    /// The host end of a serial port.
    SerialEnd,
    /// A TPM.
    Tpm,
    /// A fw_cfg item for the firmware.
    FwCfg,
    /// The firmware of a guest: `auto` or an image's name.
    Firmware,
    /// The device with a guest's own grub.cfg: `auto` or GRUB's name of the device.
    GrubDevice,
}

/// When a change takes effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Effect {
    /// When.
    pub code: EffectWhen,
    /// The same for people.
    pub message: String,
}

mirrored! {
    /// When a change of a property takes effect.
    EffectWhen of property::Effect {
        /// At once.
        Now = "now",
        /// At the next start or reboot of the guest.
        Start = "next-start-or-reboot",
        /// At the next start of a guest that needs it, or by `network apply`.
        Apply = "next-start-or-apply",
    }
}

impl From<Kind> for ValueKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Count { .. } => Self::Count,
            Kind::Seconds { .. } => Self::Seconds,
            Kind::Memory => Self::Memory,
            Kind::Space => Self::Space,
            Kind::Choice(_) => Self::Choice,
            Kind::YesNo => Self::YesNo,
            Kind::OnOff => Self::OnOff,
            Kind::Autostart => Self::Autostart,
            Kind::Text => Self::Text,
            Kind::Words => Self::Words,
            Kind::Uuid => Self::Uuid,
            Kind::Mac => Self::Mac,
            Kind::Guest => Self::Guest,
            Kind::Image => Self::Image,
            Kind::Snapshot => Self::Snapshot,
            Kind::Interface => Self::Interface,
            Kind::Place => Self::Place,
            Kind::Address => Self::Address,
            Kind::Listen => Self::Listen,
            Kind::Address4 => Self::Address4,
            Kind::Address6 => Self::Address6,
            Kind::Resolution => Self::Resolution,
            Kind::Hash => Self::Hash,
            Kind::DiskOptions => Self::DiskOptions,
            Kind::DiskSerial => Self::DiskSerial,
            Kind::Cidr => Self::Cidr,
            Kind::Vale => Self::Vale,
            Kind::GraphHook => Self::GraphHook,
            Kind::DesignMode => Self::DesignMode,
            Kind::HostName => Self::HostName,
            Kind::User => Self::User,
            Kind::PublicKey => Self::PublicKey,
            Kind::FilePath => Self::FilePath,
            Kind::NicAddress4 => Self::NicAddress4,
            Kind::NicAddress6 => Self::NicAddress6,
            Kind::Device => Self::Device,
            Kind::SerialEnd => Self::SerialEnd,
            Kind::Tpm => Self::Tpm,
            Kind::FwCfg => Self::FwCfg,
            Kind::Firmware => Self::Firmware,
            Kind::GrubDevice => Self::GrubDevice,
        }
    }
}

impl From<Kind> for Values {
    fn from(kind: Kind) -> Self {
        let limits = if let Kind::Count { min, max } | Kind::Seconds { min, max } = kind { Some((min, max)) } else { None };
        let (min, max) = limits.unzip();
        let words = kind.completions().iter().map(|word| (*word).to_owned()).collect();
        Self { code: kind.into(), min, max, words, message: kind.words() }
    }
}

impl Operation for PropertyList {
    const NAME: &'static str = "property-list";
    type Answer = Vec<PropertyRow>;

    fn needs(&self) -> Needs {
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, _: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let shown = catalog::all().filter(|p| p.access == Access::Free || p.reach.words().is_some());
        let row = |p: &property::Property| {
            let (default, derived_from) = match p.unset {
                property::Unset::Value(value) => (Some(value.to_owned()), None),
                property::Unset::Nothing => (None, None),
                property::Unset::Derived(from) => (None, Some(from.to_owned())),
            };
            PropertyRow {
                property: p.key.to_owned(),
                values: p.kind.into(),
                default,
                derived_from,
                effect: Effect { code: p.effect.into(), message: p.effect.words().to_owned() },
                host: p.reach.words().map(str::to_owned),
                summary: p.summary.to_owned(),
            }
        };
        Ok(shown.map(row).collect::<Vec<_>>().into())
    }
}
