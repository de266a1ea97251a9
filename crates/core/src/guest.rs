//! A guest: what its dataset says ([`Guest`]) and what that means ([`Spec`]).
//!
//! To add a setting that planners read: a field of [`Spec`], filled from its key in [`Guest::spec`].

use crate::error::{Problem, Result};
use crate::launch::{OnEnd, Policy};
use crate::property::keys::{self, DiskKey, NetKey};
use crate::property::settings::{OwnValues, Settings, Source};
use crate::value::{Dataset, GuestName, IfName, Mac, Size, SnapshotName};
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use uuid::Uuid;

/// One guest as it was observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Its name.
    pub name: GuestName,
    /// Its dataset.
    pub dataset: Dataset,
    /// The root that it lives below.
    pub root: Dataset,
    /// Its identity.
    pub uuid: Uuid,
    /// Its settings.
    pub settings: Settings,
    /// What it takes on the pool, snapshots and disks included.
    pub used: Size,
    /// The snapshot that its dataset is a clone of.
    pub origin: Option<String>,
    /// Whether its file system is mounted.
    pub mounted: bool,
    /// Where its file system is mounted or would be; not looked at when all guests are read.
    pub mountpoint: Option<String>,
    /// The GUID of its dataset, where it was looked at.
    pub guid: Option<u64>,
    /// Why this host may not start it, if so.
    pub foreign: Option<String>,
    /// What its machine does.
    pub state: RunState,
}

/// What a guest's machine does, observed just now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum RunState {
    /// Nothing runs.
    #[default]
    Stopped,
    /// A supervisor is bringing it up.
    Starting,
    /// It runs under its supervisor.
    Running,
    /// It was asked to power off.
    Stopping,
    /// It runs, and its supervisor is gone.
    Orphaned,
    /// Nothing runs, and the last end was a crash.
    Crashed {
        /// Why.
        reason: String,
    },
}

impl RunState {
    /// The word that lists show.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Orphaned => "orphaned",
            Self::Crashed { .. } => "crashed",
        }
    }

    /// Whether a machine is alive, or may be.
    pub const fn is_alive(&self) -> bool {
        match self {
            Self::Starting | Self::Running | Self::Stopping | Self::Orphaned => true,
            Self::Stopped | Self::Crashed { .. } => false,
        }
    }
}

/// A guest's settings, typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Processors: all, sockets, threads a core.
    pub cpu: (u32, u32, u32),
    /// Memory.
    pub ram: Size,
    /// How it boots.
    pub loader: Loader,
    /// How QEMU runs it.
    pub accel: Accel,
    /// Whether its clock shows UTC.
    pub utc: bool,
    /// More arguments for bhyve, split.
    pub bargs: Vec<String>,
    /// More arguments for QEMU, split.
    pub qargs: Vec<String>,
    /// Disks, by number.
    pub disks: Vec<DiskSpec>,
    /// Network cards, by number.
    pub nets: Vec<NetSpec>,
    /// Other devices of bhyve, by number.
    pub pcidevs: Vec<(u16, String)>,
    /// The screen, if it has one.
    pub screen: Option<ScreenSpec>,
    /// What follows an end.
    pub policy: Policy,
    /// How much console log is kept.
    pub console_log_limit: Size,
    /// The reboot at which media come out of their drives; 0 is never.
    pub eject: u32,
    /// Whether and when it goes back to a snapshot.
    pub revert: Revert,
}

/// A guest's return to a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revert {
    /// The snapshot.
    pub snapshot: Option<SnapshotName>,
    /// When.
    pub at: RevertAt,
}

/// When a guest goes back to its snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevertAt {
    /// Never.
    Off,
    /// Before each start, not at reboots.
    Start,
    /// At each of its reboots, not before a start.
    Reboot,
    /// At both.
    Both,
}

/// How a guest boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loader {
    /// UEFI firmware.
    Uefi,
    /// QEMU's BIOS.
    Bios,
    /// bhyveload(8).
    Bhyveload,
    /// grub-bhyve.
    GrubBhyve,
}

/// How QEMU runs a guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// KVM where it works.
    Auto,
    /// KVM or an error.
    Kvm,
    /// Emulation.
    Tcg,
}

/// One disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskSpec {
    /// Its number.
    pub number: u16,
    /// What it is.
    pub kind: DiskKind,
    /// Where an attached disk stands: an absolute path. None for the others.
    pub source: Option<String>,
    /// Its size, where it is recorded.
    pub size: Option<Size>,
    /// What it is attached to.
    pub bus: String,
    /// Options of the back end.
    pub options: Option<String>,
    /// Its serial number.
    pub serial: String,
    /// Its place, where one is set.
    pub pci: Option<String>,
    /// What it is for.
    pub description: Option<String>,
}

/// What a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskKind {
    /// A file in the guest's file system.
    Raw,
    /// A volume below the guest.
    Zvol,
    /// A file, volume or device that stands elsewhere and that chyves only uses.
    Attached,
}

impl DiskKind {
    /// As it is stored.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Zvol => "zvol",
            Self::Attached => "attached",
        }
    }
}

/// The name of disk `number`'s file, or of its volume. An attached disk has none on the pool; it is called by its number.
pub fn disk_name(number: u16, kind: DiskKind) -> String {
    match kind {
        DiskKind::Raw => format!("disk{number}.raw"),
        DiskKind::Zvol | DiskKind::Attached => format!("disk{number}"),
    }
}

/// The serial number of a guest's disk that has none set.
pub fn derived_serial(guest: Uuid, number: u16) -> String {
    let hash = Uuid::new_v5(&guest, format!("disk{number}").as_bytes()).simple().to_string();
    // 20 characters are what every bus carries.
    hash[..20].to_ascii_uppercase()
}

/// One network card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetSpec {
    /// Its number.
    pub number: u16,
    /// How it reaches the network.
    pub backend: Backend,
    /// Its kind.
    pub model: String,
    /// The bridge it wants, where its back end is one.
    pub bridge: IfName,
    /// Its address.
    pub mac: Mac,
    /// Its MTU, where it is not the bridge's.
    pub mtu: Option<u32>,
    /// Its place, where one is set.
    pub pci: Option<String>,
    /// Its VLAN on the bridge.
    pub vlan: Option<u16>,
    /// The tap that was chosen for it.
    pub tap: Option<IfName>,
    /// Its VALE switch, maybe with a port.
    pub vale: String,
    /// Its netgraph node, maybe with a hook.
    pub netgraph: Option<String>,
    /// Its pairs of queues.
    pub queues: u16,
    /// Whether the guest may start without its network.
    pub optional: bool,
}

/// How a card reaches the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// As the hypervisor does best by itself.
    Auto,
    /// A network of the hypervisor's own.
    User,
    /// A tap on a bridge.
    Bridge,
    /// A port of a VALE switch.
    Vale,
    /// A hook of a netgraph node.
    Netgraph,
}

impl Backend {
    /// As it is stored.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::User => "user",
            Self::Bridge => "bridge",
            Self::Vale => "vale",
            Self::Netgraph => "netgraph",
        }
    }
}

/// The screen of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScreenSpec {
    /// The address VNC listens on.
    pub address: std::net::IpAddr,
    /// The port, or 0 for the first free one.
    pub port: u16,
    /// Width and height.
    pub size: (u16, u16),
    /// Whether there is a tablet.
    pub tablet: bool,
}

impl Guest {
    /// Whether it is only cloned from.
    pub fn is_template(&self) -> bool {
        self.settings.value(keys::TEMPLATE).as_deref() == Some("yes")
    }

    /// The group it is in, as a path below `guests`.
    pub fn group(&self) -> Option<&str> {
        let guests = self.root.child("guests");
        let inner = self.dataset.as_str().strip_prefix(guests.as_str())?.strip_prefix('/')?;
        inner.rsplit_once('/').map(|(group, _)| group)
    }

    /// Where its files are.
    ///
    /// # Errors
    /// Its dataset has no mount point that chyves can use.
    pub fn folder(&self) -> Result<&str> {
        self.mountpoint.as_deref().filter(|p| p.starts_with('/')).ok_or_else(|| {
            Problem::not_now(format!("the file system of `{}` has no mount point", self.name))
                .on(&self.dataset)
                .because(format!("its mountpoint is `{}`", self.mountpoint.as_deref().unwrap_or("none")))
                .hint(format!("give it one: zfs set mountpoint=/path {}", self.root))
        })
    }

    /// Its settings, typed.
    ///
    /// # Errors
    /// A stored value that its property does not allow, naming the dataset and the property.
    pub fn spec(&self) -> Result<Spec> {
        let read = Reader { guest: self };
        let disks = self.settings.numbers("disk").into_iter().map(|n| read.disk(n)).collect::<Result<_>>()?;
        let nets = self.settings.numbers("net").into_iter().map(|n| read.net(n)).collect::<Result<_>>()?;
        let pcidevs = self.settings.numbers("pcidev_");
        Ok(Spec {
            cpu: (read.parsed(keys::CPU)?, read.parsed(keys::CPU_SOCKETS)?, read.parsed(keys::CPU_THREADS)?),
            ram: read.parsed(keys::RAM)?,
            loader: match read.word(keys::LOADER)?.as_str() {
                "bios" => Loader::Bios,
                "bhyveload" => Loader::Bhyveload,
                "grub-bhyve" => Loader::GrubBhyve,
                _ => Loader::Uefi,
            },
            accel: match read.word(keys::ACCEL)?.as_str() {
                "kvm" => Accel::Kvm,
                "tcg" => Accel::Tcg,
                _ => Accel::Auto,
            },
            utc: read.word(keys::RTC)? == "utc",
            bargs: read.words(keys::BARGS)?,
            qargs: read.words(keys::QARGS)?,
            disks,
            nets,
            pcidevs: pcidevs.into_iter().map(|n| Ok((n, read.word(&format!("pcidev_{n}"))?))).collect::<Result<_>>()?,
            screen: read.screen()?,
            policy: Policy {
                on_reboot: read.on_end(keys::ON_REBOOT)?,
                on_crash: read.on_end(keys::ON_CRASH)?,
                stop_timeout: read.parsed(keys::STOP_TIMEOUT)?,
            },
            console_log_limit: read.parsed(keys::CONSOLE_LOG_LIMIT)?,
            eject: read.parsed(keys::EJECT)?,
            revert: Revert {
                snapshot: read.optional(keys::REVERT_TO)?.map(|s| s.parse()).transpose()?,
                at: match read.word(keys::REVERT_AT)?.as_str() {
                    "start" => RevertAt::Start,
                    "reboot" => RevertAt::Reboot,
                    "both" => RevertAt::Both,
                    _ => RevertAt::Off,
                },
            },
        })
    }
}

/// Reads stored values, which somebody may have written by `zfs set`: each is checked again.
struct Reader<'a> {
    guest: &'a Guest,
}

impl Reader<'_> {
    fn optional(&self, key: &str) -> Result<Option<String>> {
        let known = crate::property::find(key)?;
        let setting = self.guest.settings.get(&known);
        let Some(value) = setting.value else { return Ok(None) };
        crate::property::check(&known, &value).map(Some).map_err(|problem| {
            let on = match &setting.source {
                Source::Inherited(from) => from.clone(),
                Source::Local | Source::Received | Source::Default | Source::None => self.guest.dataset.clone(),
            };
            problem
                .within(format!("the setting `{}` of `{}` is wrong", known.key, self.guest.name))
                .on(&on)
                .hint(format!("it is stored on {on}; `chyves set {} {}=…` gives it a good value", self.guest.name, known.key))
        })
    }

    fn word(&self, key: &str) -> Result<String> {
        self.optional(key)?.ok_or_else(|| Problem::not_now(format!("`{}` has no `{key}`", self.guest.name)).on(&self.guest.dataset))
    }

    fn parsed<T: FromStr>(&self, key: &str) -> Result<T> {
        let text = self.word(key)?;
        text.parse().map_err(|_| Problem::bug(format!("`{key}` allows `{text}`, which its reader does not")).on(key))
    }

    fn words(&self, key: &str) -> Result<Vec<String>> {
        let Some(text) = self.optional(key)? else { return Ok(Vec::new()) };
        crate::cmd::split_words(&text).map_err(|why| Problem::usage(format!("`{key}` can't be split: {why}")).on(key))
    }

    fn on_end(&self, key: &str) -> Result<OnEnd> {
        Ok(if self.word(key)? == "restart" { OnEnd::Restart } else { OnEnd::Stop })
    }

    fn disk(&self, number: u16) -> Result<DiskSpec> {
        let key = |part| keys::disk(number, part);
        let kind = match self.word(&key(DiskKey::Kind))?.as_str() {
            "zvol" => DiskKind::Zvol,
            "attached" => DiskKind::Attached,
            _ => DiskKind::Raw,
        };
        Ok(DiskSpec {
            number,
            kind,
            source: if kind == DiskKind::Attached { Some(self.word(&key(DiskKey::Source))?) } else { None },
            size: self.optional(&key(DiskKey::Size))?.and_then(|s| s.parse().ok()),
            bus: self.word(&key(DiskKey::Bus))?,
            options: self.optional(&key(DiskKey::Options))?,
            serial: self.optional(&key(DiskKey::Serial))?.unwrap_or_else(|| derived_serial(self.guest.uuid, number)),
            pci: self.optional(&key(DiskKey::Pci))?,
            description: self.optional(&key(DiskKey::Description))?,
        })
    }

    fn net(&self, number: u16) -> Result<NetSpec> {
        let key = |part| keys::net(number, part);
        let bridge = match self.optional(&key(NetKey::Bridge))? {
            Some(own) => own,
            None => self.word(keys::BRIDGE)?,
        };
        Ok(NetSpec {
            number,
            backend: match self.word(&key(NetKey::Backend))?.as_str() {
                "user" => Backend::User,
                "bridge" => Backend::Bridge,
                "vale" => Backend::Vale,
                "netgraph" => Backend::Netgraph,
                _ => Backend::Auto,
            },
            model: self.word(&key(NetKey::Model))?,
            bridge: bridge.parse()?,
            mac: match self.optional(&key(NetKey::Mac))? {
                Some(mac) => mac.parse()?,
                None => Mac::derived(self.guest.uuid, number),
            },
            mtu: self.optional(&key(NetKey::Mtu))?.and_then(|m| m.parse().ok()),
            pci: self.optional(&key(NetKey::Pci))?,
            vlan: self.optional(&key(NetKey::Vlan))?.and_then(|v| v.parse().ok()),
            tap: self.optional(&key(NetKey::Tap))?.map(|t| t.parse()).transpose()?,
            vale: self.word(&key(NetKey::Vale))?,
            netgraph: self.optional(&key(NetKey::Netgraph))?,
            queues: self.parsed(&key(NetKey::Queues))?,
            optional: self.word(&key(NetKey::Optional))? == "yes",
        })
    }

    fn screen(&self) -> Result<Option<ScreenSpec>> {
        if self.word(keys::VNC)? != "vnc" {
            return Ok(None);
        }
        let size = self.word(keys::VNC_RESOLUTION)?;
        Ok(Some(ScreenSpec {
            address: self.parsed(keys::VNC_ADDRESS)?,
            port: self.parsed(keys::VNC_PORT)?,
            size: crate::property::kind::resolution(&size).unwrap_or((1024, 768)),
            tablet: self.word(keys::VNC_MOUSE)? == "usb3",
        }))
    }
}

/// The copy of a guest's own settings that is kept in its file system: TOML, sorted, one line a setting. Read only to
/// restore from snapshots that carry no settings themselves.
pub fn settings_copy(own: &OwnValues) -> String {
    let mut text = String::from("# A copy of this guest's settings; the ZFS properties are the truth.\n");
    for (key, value) in own {
        // JSON's strings are TOML's basic strings.
        let quoted = |s: &str| serde_json::Value::from(s).to_string();
        text.push_str(&format!("{} = {}\n", quoted(key), quoted(&value.value)));
    }
    text
}

/// Reads a copy of settings as [`settings_copy`] writes it.
///
/// # Errors
/// A line that it would not have written.
pub fn read_settings_copy(text: &str) -> Result<OwnValues> {
    let own = read_lines(text)?;
    for (key, own) in &own {
        let good = !key.is_empty()
            && key.len() <= 200
            && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-:+".contains(&b));
        let fits = own.value.len() <= crate::property::VALUE_LIMIT && !own.value.contains(char::is_control);
        if !(good && fits) {
            return Err(Problem::failed("the copy of the settings can't be read").because(format!(
                "no setting is so: {} = {}",
                crate::value::printable(key, 60),
                crate::value::printable(&own.value, 60)
            )));
        }
    }
    Ok(own)
}

/// Reads a copy of settings that are to hold: each key must be one that chyves knows, with a value that it allows.
///
/// # Errors
/// As [`read_settings_copy`], and a key or value that is not allowed.
pub fn read_copy(text: &str) -> Result<OwnValues> {
    let own = read_lines(text)?;
    for (key, own) in &own {
        let wrong = |why: &str| {
            Problem::failed("the copy of the settings is wrong").because(format!("`{}`: {why}", crate::value::printable(key, 60)))
        };
        let known = crate::property::find(key).map_err(|_| wrong("chyves does not know the key"))?;
        if known.key != *key {
            return Err(wrong(&format!("the key is written `{}`", known.key)));
        }
        crate::property::check(&known, &own.value).map_err(|p| wrong(&p.to_string()))?;
    }
    Ok(own)
}

/// Comments, and lines of a quoted key and a quoted value, each key once.
fn read_lines(text: &str) -> Result<OwnValues> {
    let mut own = OwnValues::new();
    for (index, line) in text.lines().enumerate().filter(|(_, l)| !l.is_empty() && !l.starts_with('#')) {
        let shown = || crate::value::printable(line, 120);
        let wrong = |why: &str| {
            Problem::failed(format!("line {} of the copy of the settings is wrong", index + 1)).because(format!("{why}: {}", shown()))
        };
        let (key, value) = pair(line).ok_or_else(|| wrong("it is no `\"key\" = \"value\"`"))?;
        if own.insert(key, crate::property::settings::Own { value, received: false }).is_some() {
            return Err(wrong("the key stands twice"));
        }
    }
    Ok(own)
}

fn pair(line: &str) -> Option<(String, String)> {
    // JSON lets blanks stand around; chyves writes none.
    if !(line.starts_with('"') && line.ends_with('"')) {
        return None;
    }
    let mut key = serde_json::Deserializer::from_str(line).into_iter::<String>();
    let first = key.next()?.ok()?;
    let rest = line.get(key.byte_offset()..)?.strip_prefix(" = ").filter(|rest| rest.starts_with('"'))?;
    Some((first, serde_json::from_str(rest).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::property::settings::Own;

    fn own(pairs: &[(&str, &str)]) -> OwnValues {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), Own { value: (*v).to_owned(), received: false })).collect()
    }

    fn guest(pairs: &[(&str, &str)]) -> Guest {
        Guest {
            name: "web01".parse().unwrap(),
            dataset: "tank/chyves/guests/web01".parse().unwrap(),
            root: "tank/chyves".parse().unwrap(),
            uuid: Uuid::from_u128(7),
            settings: Settings::new(own(pairs), Vec::new()),
            used: Size::default(),
            origin: None,
            mounted: false,
            mountpoint: None,
            guid: None,
            foreign: None,
            state: RunState::Stopped,
        }
    }

    #[test]
    fn a_copy_of_settings_is_read_as_it_was_written() {
        let settings = own(&[("uuid", "u"), ("description", "it's \"a\" = \\ ünïcode #"), ("x.a-b", "")]);
        assert_eq!(read_settings_copy(&settings_copy(&settings)).unwrap(), settings);
        for bad in
            ["x", "\"a\" \"b\"", "\"a\" = b", "\"a\" = \"1\"\n\"a\" = \"2\"", "\"-O x\" = \"1\"", "\"a\" = \"x\\ny\"", "\"a\" = \"1\" x"]
        {
            assert!(read_settings_copy(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn identity_follows_from_the_uuid_alone() {
        let spec = guest(&[("disk0.kind", "raw"), ("net0.backend", "user")]).spec().unwrap();
        let mut other = guest(&[("disk0.kind", "raw"), ("net0.backend", "user"), ("disk1.kind", "zvol"), ("net1.backend", "auto")]);
        other.name = "renamed".parse().unwrap();
        let other = other.spec().unwrap();
        assert_eq!(spec.disks[0].serial, other.disks[0].serial);
        assert_eq!(spec.nets[0].mac, other.nets[0].mac);
        assert_eq!(spec.disks[0].serial.len(), 20);
        assert_ne!(other.nets[0].mac, other.nets[1].mac);
    }

    #[test]
    fn a_stored_value_that_is_wrong_names_where_it_stands() {
        let problem = guest(&[("ram", "lots")]).spec().unwrap_err();
        assert_eq!(problem.object.as_deref(), Some("tank/chyves/guests/web01"));
        assert!(problem.to_string().contains("the setting `ram` of `web01` is wrong"), "{problem}");
    }

    #[test]
    fn the_copy_is_toml_whatever_the_values_hold() {
        insta::assert_snapshot!(settings_copy(&own(&[("cpu", "2"), ("notes", "say \"hi\"\nand \\ more"), ("x.a", "ü")])), @r#"
        # A copy of this guest's settings; the ZFS properties are the truth.
        "cpu" = "2"
        "notes" = "say \"hi\"\nand \\ more"
        "x.a" = "ü"
        "#);
    }

    #[test]
    fn a_copy_is_read_back_as_it_was_written() {
        let values = own(&[("cpu", "2"), ("notes", "say \"hi\" and \\ \u{1} more"), ("x.a", "ü = \"1\""), ("disk0.kind", "raw")]);
        assert_eq!(read_copy(&settings_copy(&values)).unwrap(), values);
        assert_eq!(read_copy("").unwrap(), OwnValues::new());
    }

    #[test]
    fn a_copy_that_chyves_did_not_write_is_refused() {
        for bad in [
            "cpu = 2",
            "\"cpu\" = 2",
            "\"cpu\"=\"2\"",
            "\"cpu\" = \"2\" # two",
            "\"cpu\" = \"many\"",
            "\"nonsense\" = \"2\"",
            "\"cpu\" = \"2\"\n\"cpu\" = \"4\"",
            "[guest]",
            " \"cpu\" = \"2\"",
            "\"cpu\" = \"2",
        ] {
            let problem = read_copy(bad).unwrap_err();
            assert!(problem.message.contains("the copy of the settings is wrong"), "{bad}: {problem}");
        }
    }
}
