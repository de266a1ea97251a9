//! The kinds of property values, each with its parser, its canonical form and its description.

use crate::cmd::split_words;
use crate::device::place::PciPlace;
use crate::device::{BlockOptions, Device, DiskSerial, FwCfg, GraphHook, Owner, Tpm, ValePort, parse_pcidev, parse_serial_end};
use crate::value::{BadValue, Cidr, GuestName, HostName, IfName, ImageName, Mac, NicAddress, PublicKey, Size, SnapshotName, UserName};
use uuid::Uuid;

/// The value for firmware from the host's packages instead of an image.
pub const AUTO: &str = "auto";

/// The highest order of starting with the host.
const LAST_TO_START: u32 = 9999;

/// A kind of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number within inclusive limits.
    Count {
        /// The minimum.
        min: u32,
        /// The maximum.
        max: u32,
    },
    /// Seconds within inclusive limits; the suffixes `m` and `h` are accepted.
    Seconds {
        /// The minimum.
        min: u32,
        /// The maximum.
        max: u32,
    },
    /// Memory: a bare number is in megabytes; less than 32M is refused.
    Memory,
    /// Disk space: a bare number is in bytes.
    Space,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `yes` or `no`; `on`, `off`, `true`, `false`, `1`, `0` are accepted.
    YesNo,
    /// `on` or `off`; the words of [`Kind::YesNo`] are accepted.
    OnOff,
    /// The order of starting with the host, 0 for not at all; `yes` and `no` are accepted for 1 and 0.
    Autostart,
    /// Text of one line.
    Text,
    /// Words for a command line, split by [`crate::cmd::split_words`], never by a shell.
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

impl Kind {
    /// The value in its stored form.
    ///
    /// # Errors
    /// The reason why it is not a value of this kind, with a hint about valid ones.
    pub fn canonical(self, text: &str) -> Result<String, BadValue> {
        let refuse = |why: String| BadValue::new(text, why).hint(format!("expected: {}", self.words()));
        match self {
            Self::Count { min, max } => number(text, min, max).map(|n| n.to_string()).ok_or_else(|| refuse(out_of_range(min, max))),
            Self::Seconds { min, max } => {
                seconds(text).filter(|n| (min..=max).contains(n)).map(|n| n.to_string()).ok_or_else(|| refuse(out_of_range(min, max)))
            }
            Self::Memory => match memory(text)? {
                whole if whole.get().is_multiple_of(1 << 20) => Ok(whole.to_string()),
                _ => Err(refuse("is not a whole number of megabytes".into())),
            },
            Self::Space => {
                let size: Size = text.parse()?;
                if size.get() < 512 || !size.get().is_multiple_of(512) {
                    return Err(refuse("is not a multiple of 512 bytes".into()));
                }
                Ok(size.to_string())
            }
            Self::Choice(words) => {
                let lower = text.to_ascii_lowercase();
                words.iter().find(|w| **w == lower).map(|w| (*w).to_owned()).ok_or_else(|| {
                    let near = crate::error::nearest(&lower, words.iter().copied());
                    let near = near.map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
                    BadValue::new(text, "is not one of its values").hint(format!("expected: {}{near}", self.words()))
                })
            }
            Self::YesNo => {
                yes_or_no(text).map(|yes| if yes { "yes" } else { "no" }.into()).ok_or_else(|| refuse("is neither yes nor no".into()))
            }
            Self::OnOff => {
                yes_or_no(text).map(|yes| if yes { "on" } else { "off" }.into()).ok_or_else(|| refuse("is neither on nor off".into()))
            }
            Self::Autostart => {
                let order = yes_or_no(text).map(u32::from).or_else(|| number(text, 0, LAST_TO_START));
                order.map(|n| n.to_string()).ok_or_else(|| refuse(out_of_range(0, LAST_TO_START)))
            }
            Self::Text => line(text),
            Self::Words => match split_words(text) {
                Ok(words) if words.is_empty() => Err(refuse("is empty".into())),
                Ok(_) => Ok(text.to_owned()),
                Err(why) => Err(refuse(format!("cannot be split into words: {why}"))),
            },
            Self::Uuid => match Uuid::try_parse(text) {
                Ok(uuid) if !uuid.is_nil() && text.len() == 36 => Ok(uuid.to_string()),
                _ => Err(refuse("is not a UUID".into())),
            },
            Self::Mac => text.to_ascii_lowercase().parse::<Mac>().map(|m| m.to_string()),
            Self::Guest => text.parse::<GuestName>().map(|n| n.to_string()),
            Self::Firmware if text.eq_ignore_ascii_case(AUTO) => Ok(AUTO.into()),
            Self::GrubDevice if text.eq_ignore_ascii_case(AUTO) => Ok(AUTO.into()),
            Self::GrubDevice if is_grub_device(text) => Ok(text.to_owned()),
            Self::GrubDevice => Err(refuse("is not a device of GRUB".into())),
            Self::Image | Self::Firmware => text.parse::<ImageName>().map(|n| n.to_string()),
            Self::Snapshot => text.trim_start_matches('@').parse::<SnapshotName>().map(|n| n.to_string()),
            Self::Interface => text.parse::<IfName>().map(|n| n.to_string()),
            Self::Place => match text.parse::<PciPlace>() {
                Ok(place) if place.bus == 0 && (1..=30).contains(&place.slot) => Ok(place.to_string()),
                Ok(place) if place.bus == 0 => Err(refuse(format!("is in slot {}, which belongs to the VM itself", place.slot))),
                Ok(_) => Err(refuse("is not on bus 0, the only one that every guest has".into())),
                Err(_) => Err(refuse("is not a slot of a PCI bus".into())),
            },
            Self::Address4 => parsed::<std::net::Ipv4Addr>(text).ok_or_else(|| refuse("is not an IPv4 address".into())),
            Self::Address6 => parsed::<std::net::Ipv6Addr>(text).ok_or_else(|| refuse("is not an IPv6 address".into())),
            Self::Address => parsed::<std::net::IpAddr>(text).ok_or_else(|| refuse("is not an IP address".into())),
            Self::Listen => {
                let address = parsed::<std::net::IpAddr>(text).ok_or_else(|| refuse("is not an IP address".into()))?;
                listens(&address).map_or(Ok(address), |why| Err(refuse(why.into())))
            }
            Self::Resolution => resolution(text).map(|(w, h)| format!("{w}x{h}")).ok_or_else(|| refuse("is not a display size".into())),
            Self::DiskOptions => match text.parse::<BlockOptions>()?.to_string() {
                none if none.is_empty() => Err(refuse("is empty".into()).hint("take a value away with `chyves unset`")),
                options => Ok(options),
            },
            Self::DiskSerial => text.parse::<DiskSerial>().map(|s| s.to_string()),
            Self::Cidr => text.parse::<Cidr>().map(|c| c.to_string()),
            Self::Vale if text.contains(':') => text.parse::<ValePort>().map(|p| p.to_string()),
            // Checked with a port of one letter appended, because a bare switch name has no parser.
            Self::Vale => format!("{text}:0")
                .parse::<ValePort>()
                .map(|_| text.to_owned())
                .map_err(|e| BadValue::new(text, e.why).hint("write vale0, or vale0:web1 with a port")),
            Self::GraphHook => text.parse::<GraphHook>().map(|h| h.to_string()),
            Self::DesignMode => design_mode(text).map(Into::into).ok_or_else(|| refuse("is neither system nor manual".into())),
            Self::HostName => text.parse::<HostName>().map(|n| n.to_string()),
            Self::User => text.parse::<UserName>().map(|n| n.to_string()),
            Self::PublicKey => text.parse::<PublicKey>().map(|k| k.to_string()),
            Self::NicAddress4 => NicAddress::v4(text).map(|a| a.to_string()),
            Self::NicAddress6 => NicAddress::v6(text).map(|a| a.to_string()),
            Self::FilePath if is_file_path(text) => Ok(text.to_owned()),
            Self::FilePath => Err(refuse("is neither a plain name nor an absolute path of a file".into())),
            Self::Device => device(text).map(|()| text.to_owned()),
            Self::SerialEnd => serial_end(text).map(|()| text.to_owned()),
            Self::Tpm => text.parse::<Tpm>().map(|_| text.to_owned()),
            Self::FwCfg => text.parse::<FwCfg>().map(|_| text.to_owned()),
            Self::Hash => {
                let lower = text.to_ascii_lowercase();
                let good = lower.len() >= 32 && lower.bytes().all(|b| b.is_ascii_hexdigit());
                good.then_some(lower).ok_or_else(|| refuse("is not a hash".into()))
            }
        }
    }

    /// The valid values, for hints and documentation; can follow "expected: ".
    pub fn words(self) -> String {
        match self {
            Self::Count { min, max } => format!("a whole number from {min} to {max}"),
            Self::Seconds { min, max } => format!("seconds from {min} to {max}, or minutes and hours as 5m and 1h"),
            Self::Memory => "memory from 32M, as 512M or 4G; a bare number is megabytes".into(),
            Self::Space => "a size as 8G or 1.5T, a multiple of 512 bytes".into(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::YesNo => "yes or no".into(),
            Self::OnOff => "on or off".into(),
            Self::Autostart => format!("no, yes, or a whole number up to {LAST_TO_START}"),
            Self::Text => "any text of one line".into(),
            Self::Words => "words parted by blanks; quotes keep blanks, nothing is expanded".into(),
            Self::Uuid => "a UUID, as 8a6e0804-2bd0-4672-b79d-d97027f9071a".into(),
            Self::Mac => "an Ethernet address, as 58:9c:fc:00:12:ab".into(),
            Self::Guest => "a guest's name".into(),
            Self::Image => "an image's name".into(),
            Self::Snapshot => "a snapshot's name".into(),
            Self::Interface => "an interface's name of at most 15 characters".into(),
            Self::Place => "a slot as slot:function, slots 1 to 30, functions 0 to 7".into(),
            Self::Address | Self::Listen => "an IPv4 or IPv6 address".into(),
            Self::Address4 => "an IPv4 address, as 192.0.2.1".into(),
            Self::Address6 => "an IPv6 address, as 2001:db8::1".into(),
            Self::Resolution => "width and height from 640x480 to 3840x2160, as 1024x768".into(),
            Self::Hash => "hexadecimal digits".into(),
            Self::DiskOptions => "ro, nocache, direct, nodelete, sectorsize=512/4096, bootindex=1, with commas between".into(),
            Self::Device => "a device as bhyve(8)'s -s has it behind the slot: EMULATION[,CONF]".into(),
            Self::SerialEnd => "a terminal device, as /dev/nmdm-web01.2A, or tcp=ADDRESS:PORT".into(),
            Self::Tpm => "passthru,/dev/tpm0 or swtpm,/PATH/TO/SOCKET".into(),
            Self::FwCfg => "NAME,string=TEXT or NAME,file=/PATH".into(),
            Self::Firmware => "auto or the name of an imported firmware".into(),
            Self::GrubDevice => "auto, or GRUB's name of a device, as hd0, hd0,gpt2, hd0,msdos1 or lvm/vg0-root".into(),
            Self::DiskSerial => "1 to 20 letters, digits and signs, without blanks and commas".into(),
            Self::Cidr => "an address with its prefix, as 10.0.0.1/24".into(),
            Self::Vale => "a VALE switch as vale0, or a port of one as vale0:web1".into(),
            Self::GraphHook => "a netgraph node as lan:, or a hook of one as lan:link2".into(),
            Self::DesignMode => "one of system, manual".into(),
            Self::HostName => "a host name, as db01 or db01.example.org".into(),
            Self::User => "a user's name".into(),
            Self::PublicKey => "a public key as OpenSSH writes it: ssh-ed25519 AAAA… name@host".into(),
            Self::FilePath => "an absolute path of the host, or a name in the guest's folder cloud-init".into(),
            Self::NicAddress4 => "dhcp, none, or an address with its network, as 192.0.2.10/24".into(),
            Self::NicAddress6 => "auto, dhcp, none, or an address with its network, as 2001:db8::10/64".into(),
        }
    }

    /// The words that completion offers.
    pub fn completions(self) -> &'static [&'static str] {
        match self {
            Self::Choice(words) => words,
            Self::YesNo => &["yes", "no"],
            Self::OnOff => &["on", "off"],
            Self::Autostart => &["yes", "no"],
            Self::DesignMode => &["system", "manual"],
            Self::NicAddress4 => &["dhcp", "none"],
            Self::NicAddress6 => &["auto", "dhcp", "none"],
            Self::Firmware | Self::GrubDevice => &[AUTO],
            Self::Count { .. }
            | Self::Seconds { .. }
            | Self::Memory
            | Self::Space
            | Self::Text
            | Self::Words
            | Self::Uuid
            | Self::Mac
            | Self::Guest
            | Self::Image
            | Self::Snapshot
            | Self::Interface
            | Self::Place
            | Self::Address
            | Self::Listen
            | Self::Address4
            | Self::Address6
            | Self::Resolution
            | Self::Hash
            | Self::DiskOptions
            | Self::DiskSerial
            | Self::Cidr
            | Self::Vale
            | Self::GraphHook
            | Self::HostName
            | Self::User
            | Self::PublicKey
            | Self::FilePath
            | Self::Device
            | Self::SerialEnd
            | Self::Tpm
            | Self::FwCfg => &[],
        }
    }
}

/// The word of a mode of networks, also for its older name.
fn design_mode(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "system" | "auto" => Some("system"),
        "manual" => Some("manual"),
        _ => None,
    }
}

/// The meaning of a word for yes or no.
fn yes_or_no(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "true" | "1" => Some(true),
        "no" | "off" | "false" | "0" => Some(false),
        _ => None,
    }
}

/// Refuses invalid ends of serial ports, and the terminal of whoever starts the guest.
fn serial_end(text: &str) -> Result<(), BadValue> {
    match parse_serial_end(text) {
        Ok(crate::device::SerialEnd::Stdio) => {
            let why = "is not an end that can be reached: a guest has no terminal of its own";
            Err(BadValue::new(text, why).hint(format!("expected: {}", Kind::SerialEnd.words())))
        }
        Ok(_) => Ok(()),
        Err(why) => Err(BadValue::new(text, "is not an end of a serial port").hint(why)),
    }
}

/// Refuses invalid devices, and devices that every guest already has once.
fn device(text: &str) -> Result<(), BadValue> {
    let owner = Owner { guest: Uuid::nil(), number: 0 };
    let device = parse_pcidev(text, owner).map_err(|problem| {
        let why = problem.causes.join("; ");
        BadValue::new(text, "is not a PCI device").hint(match problem.hints.first() {
            Some(hint) if why.is_empty() => hint.clone(),
            Some(hint) => format!("{why}; {hint}"),
            None => why,
        })
    })?;
    if device == Device::Lpc {
        let hint = "its serial ports are com1 to com4; unset this";
        return Err(BadValue::new(text, "is a second LPC bridge: every guest has one, and can have no more").hint(hint));
    }
    Ok(())
}

/// The canonical form of a value of a type; `None` if it is invalid.
fn parsed<T: std::str::FromStr + std::fmt::Display>(text: &str) -> Option<String> {
    text.parse::<T>().ok().map(|value| value.to_string())
}

/// Whether the text is a valid GRUB name of a device with a file system: `hd0`, `hd0,gpt2`, `hd1,msdos5`, `lvm/vg0-root`.
fn is_grub_device(text: &str) -> bool {
    if let Some(volume) = text.strip_prefix("lvm/") {
        let fine = |c: char| c.is_ascii_alphanumeric() || "+_.-".contains(c);
        return volume.contains('-') && volume.len() <= 255 && volume.chars().all(fine);
    }
    let digits = |text: &str| !text.is_empty() && text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
    let part = |text: &str| digits(text.trim_start_matches(|c: char| c.is_ascii_lowercase()));
    let mut parts = text.split(',');
    parts.next().and_then(|disk| disk.strip_prefix("hd")).is_some_and(digits) && parts.all(part)
}

fn out_of_range(min: u32, max: u32) -> String {
    format!("is not a whole number from {min} to {max}")
}

/// More memory than any hypervisor supports.
const MOST_MEMORY: Size = Size::mib(16 << 20);

/// Parses memory; a bare number is in megabytes.
fn memory(text: &str) -> Result<Size, BadValue> {
    let size = Size::parse_with(text, 1 << 20)?;
    if size < Size::mib(32) {
        let bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && size.get() > 0;
        let meant = if bare { format!("did you mean {text}G? a bare number is megabytes, and ") } else { String::new() };
        let hint = format!("{meant}the least is 32M");
        return Err(BadValue::new(text, "is less than 32M").hint(hint));
    }
    if size > MOST_MEMORY {
        let bytes = text.parse::<u64>().ok().map(|n| format!("did you mean {}? a bare number is megabytes", Size::bytes(n)));
        let hint = bytes.unwrap_or_else(|| format!("the most is {MOST_MEMORY}"));
        return Err(BadValue::new(text, format!("is {size}, more than any host has")).hint(hint));
    }
    Ok(size)
}

/// Checks that the text is one line.
fn line(text: &str) -> Result<String, BadValue> {
    let why = match text {
        // Old ZFS does not store an empty value, and an empty one is read as a missing one.
        "" => "is empty",
        "-" => "is how ZFS shows a missing value",
        _ => return Ok(text.to_owned()),
    };
    Err(BadValue::new(text, why).hint("take a value away with `chyves unset`"))
}

/// Why nothing can listen on an address, whatever host it is.
fn listens(address: &str) -> Option<&'static str> {
    let address: std::net::IpAddr = address.parse().ok()?;
    if address.is_multicast() {
        return Some("is an address of a group");
    }
    match address {
        std::net::IpAddr::V6(v6) => v6.is_unicast_link_local().then_some("is a link-local address, which each interface has of its own"),
        std::net::IpAddr::V4(v4) => v4.is_broadcast().then_some("is the broadcast address"),
    }
}

/// Whether it is a plain name, or the absolute path of a file.
fn is_file_path(text: &str) -> bool {
    let plain = !text.contains('/') && !text.is_empty() && text != "." && text != "..";
    let absolute = text.starts_with('/') && !text.ends_with('/') && !text.split('/').any(|part| part == "..");
    plain || absolute
}

fn number(text: &str, min: u32, max: u32) -> Option<u32> {
    // `u32::from_str` accepts a plus sign, which would allow two spellings of the same number.
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|n| plain && (min..=max).contains(n))
}

fn seconds(text: &str) -> Option<u32> {
    let (digits, factor) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(rest) if text.ends_with('h') => (rest, 3600),
        Some(rest) if text.ends_with('m') => (rest, 60),
        Some(rest) => (rest, 1),
        None => (text, 1),
    };
    number(digits, 0, u32::MAX).and_then(|n| n.checked_mul(factor))
}

/// Parses `WxH` within the limits of both hypervisors.
pub fn resolution(text: &str) -> Option<(u16, u16)> {
    let (w, h) = text.split_once('x')?;
    let (w, h) = (number(w, 640, 3840)?, number(h, 480, 2160)?);
    Some((u16::try_from(w).ok()?, u16::try_from(h).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(kind: Kind, text: &str) -> String {
        kind.canonical(text).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn values_are_stored_in_one_form() {
        assert_eq!(ok(Kind::Memory, "1024"), "1G");
        assert_eq!(ok(Kind::Memory, "256m"), "256M");
        assert_eq!(ok(Kind::Space, "8g"), "8G");
        assert_eq!(ok(Kind::YesNo, "ON"), "yes");
        assert_eq!(ok(Kind::Seconds { min: 1, max: 7200 }, "2m"), "120");
        assert_eq!(ok(Kind::Mac, "58:9C:FC:00:12:AB"), "58:9c:fc:00:12:ab");
        assert_eq!(ok(Kind::Snapshot, "@before"), "before");
        assert_eq!(ok(Kind::Resolution, "1024x768"), "1024x768");
        assert_eq!(ok(Kind::Address, "::1"), "::1");
    }

    #[test]
    fn wrong_values_are_refused_with_the_right_ones() {
        for (kind, bad) in [
            (Kind::Count { min: 1, max: 9 }, "0"),
            (Kind::Count { min: 1, max: 9 }, "+5"),
            (Kind::Count { min: 1, max: 9 }, "x"),
            (Kind::Memory, "31"),
            (Kind::Memory, "100.3M"),
            (Kind::Space, "100"),
            (Kind::Choice(&["uefi", "bios"]), "ufei"),
            (Kind::YesNo, "maybe"),
            (Kind::Listen, "fe80::1"),
            (Kind::Listen, "ff02::1"),
            (Kind::Listen, "web"),
            (Kind::Text, ""),
            (Kind::Text, "-"),
            (Kind::Words, "'open"),
            (Kind::Uuid, "1234"),
            (Kind::Uuid, "00000000-0000-0000-0000-000000000000"),
            (Kind::Resolution, "99999x1"),
            (Kind::Hash, "xyz"),
        ] {
            let refusal = kind.canonical(bad).expect_err(bad);
            assert!(refusal.hint.is_some(), "{bad}: no hint");
        }
        for (small, hint) in [
            ("31", "did you mean 31G? a bare number is megabytes, and the least is 32M"),
            ("31M", "the least is 32M"),
            ("16k", "the least is 32M"),
            ("0", "the least is 32M"),
        ] {
            assert_eq!(Kind::Memory.canonical(small).unwrap_err().hint.as_deref(), Some(hint), "{small}");
        }
        let near = Kind::Choice(&["uefi", "bios"]).canonical("ufei").unwrap_err();
        assert_eq!(near.hint.unwrap(), "expected: one of uefi, bios; did you mean `uefi`?");
    }
}
