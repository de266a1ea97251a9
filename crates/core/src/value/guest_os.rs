//! Values of cloud-init settings: host names, user names, addresses of network interfaces. Not here: public keys
//! ([`crate::value::public_key`]).

use crate::value::{BadValue, Cidr, serde_by_text};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

macro_rules! text_type {
    ($type:ty) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }
        serde_by_text!($type);
    };
}

/// A host name: labels of letters, digits and `-`, separated by dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName(String);

impl HostName {
    /// The host name derived from a guest's name; invalid characters become `-`.
    pub fn from_guest(name: &str) -> Self {
        let fits = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let text: String = name.chars().map(fits).collect();
        let text: String = text.trim_matches('-').chars().take(63).collect();
        let text = text.trim_end_matches('-');
        Self(if text.is_empty() { "guest".into() } else { text.to_owned() })
    }
}

impl FromStr for HostName {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let label = |l: &str| {
            (1..=63).contains(&l.len())
                && !l.starts_with('-')
                && !l.ends_with('-')
                && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if text.len() <= 253 && text.split('.').all(label) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(BadValue::new(text, "is not a host name")
            .hint("labels of 1 to 63 letters, digits and `-`, with points between: db01 or db01.example.org"))
    }
}
text_type!(HostName);

/// A user name that every operating system accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserName(String);

impl FromStr for UserName {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let first = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        let rest = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
        if first && rest && text.len() <= 32 {
            return Ok(Self(text.to_owned()));
        }
        Err(BadValue::new(text, "is not a user's name")
            .hint("at most 32 lower-case letters, digits, `_` and `-`, the first of them a letter or `_`"))
    }
}
text_type!(UserName);

/// How a NIC gets its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NicAddress {
    /// No address.
    None,
    /// By DHCP.
    Dhcp,
    /// By router advertisements; IPv6 only.
    Auto,
    /// This address, with its prefix length.
    Fixed(IpAddr, u8),
}

impl NicAddress {
    /// Parses an IPv4 address setting of a NIC: `dhcp`, `none` or `192.0.2.10/24`.
    ///
    /// # Errors
    /// The text is none of these.
    pub fn v4(text: &str) -> Result<Self, BadValue> {
        let bad =
            || BadValue::new(text, "is not an IPv4 address of a NIC").hint("dhcp, none, or an address with its network: 192.0.2.10/24");
        match text {
            "auto" => Err(bad()),
            _ => match Self::read(text, 32, |a| a.is_ipv4() && usable4(a)).ok_or_else(bad)? {
                Self::Fixed(address, prefix) => match (Cidr { address, prefix }).reserved() {
                    Some(why) => Err(BadValue { why: why.to_owned(), ..bad() }),
                    None => Ok(Self::Fixed(address, prefix)),
                },
                other @ (Self::None | Self::Dhcp | Self::Auto) => Ok(other),
            },
        }
    }

    /// Parses an IPv6 address setting of a NIC: `auto`, `dhcp`, `none` or `2001:db8::10/64`.
    ///
    /// # Errors
    /// The text is none of these.
    pub fn v6(text: &str) -> Result<Self, BadValue> {
        Self::read(text, 128, |a| matches!(a, IpAddr::V6(v6) if !v6.is_multicast() && !v6.is_unspecified() && !v6.is_loopback() && !v6.is_unicast_link_local())).ok_or_else(|| {
            BadValue::new(text, "is not an IPv6 address of a NIC").hint("auto, dhcp, none, or an address with its network: 2001:db8::10/64")
        })
    }

    fn read(text: &str, most: u8, usable: impl Fn(&IpAddr) -> bool) -> Option<Self> {
        match text {
            "none" => Some(Self::None),
            "dhcp" => Some(Self::Dhcp),
            "auto" => Some(Self::Auto),
            _ => {
                let (address, prefix) = text.split_once('/')?;
                let address: IpAddr = address.parse().ok().filter(usable)?;
                let digits = prefix.bytes().all(|b| b.is_ascii_digit()) && (prefix == "0" || !prefix.starts_with('0'));
                let prefix = prefix.parse().ok().filter(|n| digits && (1..=most).contains(n))?;
                Some(Self::Fixed(address, prefix))
            }
        }
    }

    /// Whether a host with that address is reachable without a router.
    pub fn reaches(self, other: IpAddr) -> bool {
        match (self, other) {
            (Self::Fixed(IpAddr::V4(own), prefix), IpAddr::V4(other)) => network4(own, prefix) == network4(other, prefix),
            (Self::Fixed(IpAddr::V6(own), prefix), IpAddr::V6(other)) => network6(own, prefix) == network6(other, prefix),
            _ => false,
        }
    }
}

fn usable4(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V4(a) if !a.is_multicast() && !a.is_unspecified() && !a.is_broadcast())
}

fn network4(address: Ipv4Addr, prefix: u8) -> u32 {
    u32::from(address).checked_shr(32 - u32::from(prefix.min(32))).unwrap_or(0)
}

fn network6(address: Ipv6Addr, prefix: u8) -> u128 {
    u128::from(address).checked_shr(128 - u32::from(prefix.min(128))).unwrap_or(0)
}

impl FromStr for NicAddress {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        Self::v4(text).or_else(|_| Self::v6(text))
    }
}

impl std::fmt::Display for NicAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.pad("none"),
            Self::Dhcp => f.pad("dhcp"),
            Self::Auto => f.pad("auto"),
            Self::Fixed(address, prefix) => f.pad(&format!("{address}/{prefix}")),
        }
    }
}
serde_by_text!(NicAddress);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_follow_from_guests_and_are_checked() {
        assert_eq!(HostName::from_guest("web_01.a").to_string(), "web-01-a");
        assert_eq!(HostName::from_guest("__").to_string(), "guest");
        assert_eq!("DB01.Example.org".parse::<HostName>().unwrap().to_string(), "db01.example.org");
        for bad in ["", "-a", "a-", "a..b", "a b", "ä", &"x".repeat(64)] {
            assert!(bad.parse::<HostName>().is_err(), "{bad}");
        }
        assert!("ann".parse::<UserName>().is_ok());
        for bad in ["", "Ann", "1a", "a:b", "-a", "a b", &"a".repeat(33)] {
            assert!(bad.parse::<UserName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_read_in_one_form() {
        assert_eq!(NicAddress::v4("192.0.2.10/24").unwrap().to_string(), "192.0.2.10/24");
        assert_eq!(NicAddress::v6("2001:DB8::0010/64").unwrap().to_string(), "2001:db8::10/64");
        for bad in [
            "192.0.2.10",
            "192.0.2.10/33",
            "192.0.2.10/024",
            "192.0.2.10/0",
            "0.0.0.0/8",
            "224.0.0.1/24",
            "auto",
            "::1/128",
            "192.0.2.0/24",
            "192.0.2.255/24",
            "",
        ] {
            assert!(NicAddress::v4(bad).is_err(), "{bad}");
        }
        for bad in ["192.0.2.10/24", "2001:db8::10", "::/64", "2001:db8::1/129", "fe80::1/64", "::1/128"] {
            assert!(NicAddress::v6(bad).is_err(), "{bad}");
        }
        // Networks of two addresses or one have neither a network nor a broadcast address.
        assert!(NicAddress::v4("192.0.2.0/31").is_ok() && NicAddress::v4("192.0.2.255/32").is_ok());
        let nic = NicAddress::v4("192.0.2.10/24").unwrap();
        assert!(nic.reaches("192.0.2.1".parse().unwrap()) && !nic.reaches("192.0.3.1".parse().unwrap()));
        assert!(NicAddress::v6("fd00::2/64").unwrap().reaches("fd00::1".parse().unwrap()));
    }
}
