//! An address with its prefix length, such as `10.0.0.1/24`.

use super::{BadValue, serde_by_text};
use std::net::IpAddr;
use std::str::FromStr;

/// An address of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    /// The address.
    pub address: IpAddr,
    /// The length of the network prefix in bits.
    pub prefix: u8,
}

impl Cidr {
    /// The network of the address.
    #[must_use]
    pub fn network(self) -> Self {
        let address = match self.address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                IpAddr::V4((u32::from(v4) & mask).into())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                IpAddr::V6((u128::from(v6) & mask).into())
            }
        };
        Self { address, prefix: self.prefix }
    }

    /// Why no interface can have the address: it stands for its whole network, or for everybody in it.
    pub fn reserved(self) -> Option<&'static str> {
        let IpAddr::V4(address) = self.address else { return None };
        // RFC 3021: networks of 31 bits have two addresses, both for interfaces.
        let hosts = u32::MAX.checked_shr(self.prefix.into()).filter(|_| self.prefix < 31)?;
        match u32::from(address) & hosts {
            0 => Some("is the address of its network"),
            host if host == hosts => Some("is the broadcast address of its network"),
            _ => None,
        }
    }

    /// Whether two networks share addresses.
    pub fn overlaps(self, other: Self) -> bool {
        let prefix = self.prefix.min(other.prefix);
        self.address.is_ipv4() == other.address.is_ipv4()
            && Self { prefix, ..self }.network().address == Self { prefix, ..other }.network().address
    }
}

impl FromStr for Cidr {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let refuse = |why: &str| BadValue::new(text, why).hint("write an address with its prefix, as 10.0.0.1/24 or fd00::1/64");
        let (address, prefix) = text.split_once('/').ok_or_else(|| refuse("has no prefix"))?;
        let address: IpAddr = address.parse().map_err(|_| refuse("is not an address"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let digits = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix = prefix.parse().ok().filter(|p| digits && (1..=most).contains(p)).ok_or_else(|| refuse("has no good prefix"))?;
        if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
            return Err(refuse("is not an address that an interface on a network can have"));
        }
        let cidr = Self { address, prefix };
        cidr.reserved().map_or(Ok(cidr), |why| Err(refuse(why)))
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{}/{}", self.address, self.prefix))
    }
}

serde_by_text!(Cidr);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_prefixes_are_read_printed_and_compared() {
        let cidr = |text: &str| text.parse::<Cidr>().unwrap();
        for text in ["10.0.0.1/24", "fd00::1/64", "192.168.1.1/32"] {
            assert_eq!(cidr(text).to_string(), text);
        }
        assert_eq!(cidr("10.1.2.3/20").network().to_string(), "10.1.0.0/20");
        assert_eq!(cidr("fd00:1::5/32").network().to_string(), "fd00:1::/32");
        assert!(cidr("10.0.0.1/24").overlaps(cidr("10.0.0.200/28")) && !cidr("10.0.0.1/24").overlaps(cidr("10.0.1.1/24")));
        for bad in [
            "",
            "10.0.0.1",
            "10.0.0.1/",
            "10.0.0.1/0",
            "10.0.0.1/33",
            "10.0.0.1/+8",
            "x/8",
            "::1/128",
            "0.0.0.0/8",
            "224.0.0.1/4",
            "10.0.0.0/24",
            "10.0.0.255/24",
        ] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }
}
