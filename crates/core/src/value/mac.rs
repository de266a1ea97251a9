//! MAC addresses of guests' NICs.

use super::{BadValue, serde_by_text};
use std::str::FromStr;
use uuid::Uuid;

/// A unicast MAC address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

impl Mac {
    /// The default address of NIC `number` of a guest: locally administered and derived only from the guest's UUID, so that
    /// renaming, moving or adding devices never changes it. It contains 46 bits of a hash: with 10,000 NICs on a network,
    /// the probability of a collision is below one in a million.
    pub fn derived(guest: Uuid, number: u16) -> Self {
        let hash = Uuid::new_v5(&guest, format!("net{number}").as_bytes());
        let b = hash.as_bytes();
        // Bytes 6 and 8 are not used: they contain version bits of the UUID format.
        Self([(b[0] & 0xfc) | 0x02, b[1], b[2], b[3], b[4], b[5]])
    }

    /// The six bytes in transmission order.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }
}

impl FromStr for Mac {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let refuse = |why: &str| BadValue::new(text, why).hint("write six pairs of hex digits with colons, as 58:9c:fc:00:12:ab");
        let parts: Vec<&str> = text.split(':').collect();
        let mut bytes = [0u8; 6];
        if parts.len() != 6 {
            return Err(refuse("is not Ethernet address"));
        }
        for (byte, part) in bytes.iter_mut().zip(&parts) {
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(refuse("is not Ethernet address"));
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| refuse("is not Ethernet address"))?;
        }
        if bytes[0] & 1 == 1 {
            return Err(refuse("is a multicast address, which no NIC may have"));
        }
        if bytes == [0; 6] {
            return Err(refuse("is all zeros"));
        }
        Ok(Self(bytes))
    }
}

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        f.pad(&format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"))
    }
}

serde_by_text!(Mac);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_addresses_are_local_unicast_stable_and_differ() {
        let guest = Uuid::from_u128(0x1234_5678);
        let (a, b) = (Mac::derived(guest, 0), Mac::derived(guest, 1));
        assert_ne!(a, b);
        assert_eq!(a.octets()[0] & 3, 2);
        assert_eq!(a, Mac::derived(guest, 0));
        assert_eq!(a.to_string().parse::<Mac>().unwrap(), a);
    }

    #[test]
    fn multicast_zero_and_nonsense_are_refused() {
        for bad in ["01:00:5e:00:00:01", "00:00:00:00:00:00", "58:9c:fc:00:12", "58:9c:fc:00:12:+b", "58-9c-fc-00-12-ab", ""] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }
}
