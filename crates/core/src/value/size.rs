//! Amounts of memory and disk space, in bytes, written as ZFS and bhyve write them: `1G` is 2³⁰.

use super::{BadValue, serde_by_text};
use std::str::FromStr;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Size(u64);

const UNITS: [(char, u32); 6] = [('K', 10), ('M', 20), ('G', 30), ('T', 40), ('P', 50), ('E', 60)];

impl Size {
    /// That many bytes.
    pub const fn bytes(n: u64) -> Self {
        Self(n)
    }

    /// That many mebibytes (2²⁰ bytes).
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The size in mebibytes, rounded up, for a hypervisor's `-m`.
    pub const fn mib_up(self) -> u64 {
        self.0.div_ceil(1 << 20)
    }

    /// Parses text; the unit of a bare number is `bare` bytes (1 for disks, 2²⁰ for memory).
    ///
    /// Accepts a whole number or a decimal fraction with a suffix `K M G T P E`, each optionally followed by `B` or `iB`,
    /// in either case. All of them are powers of 1024.
    pub fn parse_with(text: &str, bare: u64) -> Result<Self, BadValue> {
        let refuse = |why: &str| BadValue::new(text, why).hint("write a size as 512M, 8G or 1.5T (powers of 1024)");
        let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        if number.is_empty() || number.starts_with('.') || number.ends_with('.') || number.matches('.').count() > 1 {
            return Err(refuse("is not a size"));
        }
        let upper = unit.to_ascii_uppercase();
        let upper = upper.strip_suffix("IB").or_else(|| upper.strip_suffix('B').filter(|rest| !rest.is_empty())).unwrap_or(&upper);
        let factor = match upper {
            "" => bare,
            "B" => 1,
            _ => match UNITS.iter().find(|(letter, _)| upper.len() == 1 && upper.starts_with(*letter)) {
                Some((_, power)) => 1u64 << power,
                None => return Err(refuse("has a unit that is not one of K, M, G, T, P, E")),
            },
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.len() > 9 {
            return Err(refuse("has too many digits behind the point"));
        }
        let whole: u64 = whole.parse().map_err(|_| refuse("is too large"))?;
        let bytes = whole.checked_mul(factor).ok_or_else(|| refuse("is too large"))?;
        let part = if fraction.is_empty() {
            0
        } else {
            let scale = 10u128.pow(u32::try_from(fraction.len()).unwrap_or(9));
            let numerator: u128 = fraction.parse().map_err(|_| refuse("is not a size"))?;
            u64::try_from(numerator * u128::from(factor) / scale).map_err(|_| refuse("is too large"))?
        };
        bytes.checked_add(part).map(Self).ok_or_else(|| refuse("is too large"))
    }

    /// Rounded to three digits for display, as in `zfs list`: `1.50G`, `12.3M`, `512`.
    pub fn human(self) -> String {
        let Some((letter, power)) = UNITS.iter().rev().find(|(_, power)| self.0 >= 1 << power) else {
            return self.0.to_string();
        };
        let unit = 1u64 << power;
        if self.0.is_multiple_of(unit) {
            return format!("{}{letter}", self.0 / unit);
        }
        #[allow(clippy::cast_precision_loss)] // three digits are shown
        let value = self.0 as f64 / unit as f64;
        let places = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        format!("{value:.places$}{letter}")
    }
}

impl FromStr for Size {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        Self::parse_with(text, 1)
    }
}

/// Exact: in the largest unit that divides the size, so that parsing yields the same number.
impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = UNITS.iter().rev().find(|(_, power)| self.0 != 0 && self.0.is_multiple_of(1 << power));
        f.pad(&match unit {
            Some((letter, power)) => format!("{}{letter}", self.0 >> power),
            None => self.0.to_string(),
        })
    }
}

serde_by_text!(Size);

/// The size of a disk as users specify it: whole sectors, and large enough to exclude typing errors (`--size 8` for `8G`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiskSize(Size);

/// The minimum size of a new disk.
const LEAST_DISK: Size = Size::bytes(64 << 10);
/// The unit in bytes that every bus uses for sizes of disks.
const SECTOR: u64 = 512;

impl DiskSize {
    /// The size.
    pub const fn get(self) -> Size {
        self.0
    }
}

impl FromStr for DiskSize {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let size: Size = text.parse()?;
        if size < LEAST_DISK {
            let bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && text != "0";
            let meant =
                if bare { format!("a number without a unit is bytes; did you mean {text}G?") } else { "as 512M, 8G or 1.5T".into() };
            return Err(BadValue::new(text, format!("is too small for a disk; the least is {LEAST_DISK}")).hint(meant));
        }
        if !size.get().is_multiple_of(SECTOR) {
            return Err(BadValue::new(text, format!("is not a multiple of {SECTOR} bytes")).hint("write a size as 512M, 8G or 1.5T"));
        }
        Ok(Self(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_are_powers_of_1024() {
        for (text, bytes) in
            [("1G", 1 << 30), ("1g", 1 << 30), ("1GiB", 1 << 30), ("1GB", 1 << 30), ("1.5K", 1536), ("512", 512), ("7B", 7), ("0", 0)]
        {
            assert_eq!(text.parse::<Size>().unwrap().get(), bytes, "{text}");
        }
        assert_eq!(Size::parse_with("512", 1 << 20).unwrap(), Size::mib(512));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "G", "1X", "-1", "1.", ".5G", "1..2", "1 G", "99999999999999999999", "17E", "0x10", "1GiBB", "1e3", "1KM"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_disk_is_whole_sectors_and_no_slip() {
        let disk = |text: &str| text.parse::<DiskSize>().map(|d| d.get().get());
        assert_eq!(disk("1M"), Ok(1 << 20));
        assert_eq!(disk("65536"), Ok(1 << 16));
        assert_eq!(disk("8").unwrap_err().hint.as_deref(), Some("a number without a unit is bytes; did you mean 8G?"));
        for bad in ["0", "1", "32K", "1B", "0G", "", "65537", "18446744073709551615"] {
            assert!(bad.parse::<DiskSize>().is_err(), "{bad}");
        }
    }

    #[test]
    fn people_see_three_digits() {
        assert_eq!(Size::bytes(1536).human(), "1.50K");
        assert_eq!(Size::mib(256).human(), "256M");
        assert_eq!(Size::bytes(123_456_789).human(), "118M");
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_to_the_same(n: u64) {
            prop_assert_eq!(Size::bytes(n).to_string().parse::<Size>().unwrap().get(), n);
        }
    }
}
