//! Names, sizes and addresses: text is converted to one of these types once, at the boundary, and stays typed inside.
//!
//! Not here: the values of properties (`property::kind`), which use these types. To add one: a file with the type,
//! `FromStr`, `Display`, `serde` through its text form, and tests that printing and parsing are inverse.

mod choice;
mod cidr;
mod dataset;
mod file_path;
mod guest_os;
pub mod json;
mod mac;
mod name;
mod public_key;
mod size;
mod vmm;

pub(crate) use choice::choices;
pub use cidr::Cidr;
pub use dataset::{Dataset, SnapshotRef};
pub use file_path::FilePath;
pub use guest_os::{HostName, NicAddress, UserName};
pub use mac::Mac;
pub use name::{GuestName, IfName, ImageName, RESERVED, SnapshotName};
pub use public_key::PublicKey;
pub use size::{DiskSize, Size};
pub use vmm::Vmm;

/// Why a text is not a value of the expected type. Reads as the end of a sentence: "`x` …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadValue {
    /// The original text, truncated and escaped for display.
    pub text: String,
    /// What is wrong with it, as a fragment: "has a blank".
    pub why: String,
    /// What would be valid, as a sentence for the hint.
    pub hint: Option<String>,
}

impl BadValue {
    /// A refusal of `text` because of `why`.
    pub fn new(text: &str, why: impl Into<String>) -> Self {
        Self { text: printable(text, 60), why: why.into(), hint: None }
    }

    /// Adds a hint about what would be valid.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl std::fmt::Display for BadValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` {}", self.text, self.why)
    }
}

impl std::error::Error for BadValue {}

/// Makes text safe for one line of a terminal: control characters are escaped, and text longer than `limit` characters is
/// truncated with an ellipsis. For text from outside.
pub fn printable(text: &str, limit: usize) -> String {
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == limit {
            out.push('…');
            break;
        }
        if c.is_control() || is_deceptive(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether a character can make a line appear different from its content: marks and overrides of the writing direction,
/// line separators, and invisible characters.
pub fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Implements serde through the text form, so that JSON shows what users would type.
macro_rules! serde_by_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_by_text;

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn text_from_outside_cannot_move_the_cursor() {
        assert_eq!(printable("a\x1b[2Jb\n", 60), "a\\u{1b}[2Jb\\n");
        assert_eq!(printable("abcdef", 3), "abc…");
        assert_eq!(printable("x\u{202e}y", 9), "x\\u{202e}y");
    }
}
