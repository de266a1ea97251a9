//! The request of an image: its source, what is expected of it, and what is recorded about it.
//!
//! * [`source`]: where it comes from
//! * [`hash`]: the checksum that it must have
//! * [`checksums`]: lists of checksums, as vendors publish them with their files
//!
//! * `record`: the images of a pool
//!
//! Not here: reading one (chyves-host `import`), known operating systems
//! ([`crate::catalogue`]).

pub mod checksums;
pub mod hash;
mod record;
pub mod source;

pub use hash::{Hash, HashKind};
pub use record::{IMAGE_SNAPSHOT, Image, ImageKind, Stored, Template};
pub use source::{Source, encoded, is_of_an_image, is_secret, masked, name_of, percent_decoded, public};

use crate::error::{Problem, Result};
use crate::value::Size;
use crate::zfs::args::Pair;
use serde::{Deserialize, Serialize};

/// Default limit for the size of a decompressed file.
pub const MAX_SIZE: Size = Size::bytes(256 << 30);
/// Default timeout for a silent server, in seconds.
pub const SILENCE: u32 = 60;
/// Default for how often an interrupted transfer is resumed without receiving a new byte.
pub const RETRIES: u32 = 5;

/// Prefixes of datasets that hold incomplete images.
pub const WORKING: [&str; 2] = ["importing-", "fetching-"];

/// A vendor's public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendorKey {
    /// Its name in the catalogue.
    pub name: String,
    /// The fingerprint of an OpenPGP key, upper-case hexadecimal.
    pub fingerprint: Option<String>,
    /// The armoured key; `None` if only the fingerprint is known.
    pub block: Option<String>,
    /// The URL where it is published.
    pub from: String,
}

/// The request of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Where it comes from.
    pub source: Source,
    /// The kind that it must have, if the user stated one.
    pub expect: Option<ImageKind>,
    /// Whether the user stated that it is a raw disk, which disables format detection.
    #[serde(default)]
    pub raw: bool,
    /// The file to extract from an archive with several.
    #[serde(default)]
    pub member: Option<String>,
    /// Another name that it may have in a list of checksums: that of the link that led to it.
    #[serde(default)]
    pub alias: Option<String>,
    /// The name that the server reports, if the URL contains none.
    #[serde(default)]
    pub named: Option<String>,
    /// The checksum that the file must have as downloaded.
    pub hash: Option<Hash>,
    /// A list of checksums that contains the expected one.
    pub checksums: Option<Source>,
    /// The signature of that list, or of the image itself, if it is in a separate file.
    pub signature: Option<Source>,
    /// Whether the signature is the image's although there is a list of checksums.
    #[serde(default)]
    pub signs_image: bool,
    /// The file with trusted keys. One of them must have signed the list or, without a list, the image itself.
    pub key: Option<String>,
    /// The vendor's keys from the catalogue.
    #[serde(default)]
    pub keys: Vec<VendorKey>,
    /// Limit for its decompressed size.
    pub max_size: Size,
    /// Timeout of a server in seconds.
    pub silence: u32,
    /// How often an interrupted transfer is resumed without receiving a new byte.
    pub retries: u32,
    /// The absolute path of a firmware's template of variables.
    pub vars: Option<String>,
    /// Settings that guests made from it need.
    pub wants: Vec<Pair>,
}

impl Order {
    /// A request with only a source and defaults.
    pub const fn new(source: Source) -> Self {
        Self {
            source,
            expect: None,
            raw: false,
            member: None,
            alias: None,
            named: None,
            hash: None,
            checksums: None,
            signature: None,
            signs_image: false,
            key: None,
            keys: Vec::new(),
            max_size: MAX_SIZE,
            silence: SILENCE,
            retries: RETRIES,
            vars: None,
            wants: Vec::new(),
        }
    }

    /// Checks that the options are consistent.
    ///
    /// # Errors
    /// They contradict each other.
    pub fn check(&self) -> Result<()> {
        let refuse = |what: &str, hint: &str| Err(Problem::usage(what).hint(hint));
        if self.hash.is_some() && self.checksums.is_some() {
            return refuse("a hash and a list of checksums are two answers to one question", "give --hash or --checksums, not both");
        }
        if self.key.is_some() && self.checksums.is_none() && self.signature.is_none() && self.source == Source::Input {
            return refuse("nothing lies beside standard input that could be its signature", "name it with --signature FILE|ADDRESS");
        }
        if self.signature.is_some() && self.key.is_none() && self.keys.is_empty() {
            return refuse("a signature needs a key to verify it with", "give the key with --key FILE");
        }
        if matches!(self.checksums, Some(Source::Input)) || matches!(self.signature, Some(Source::Input)) {
            return refuse("standard input carries the image alone", "name a file or an address for the list");
        }
        if self.checksums.is_some() && self.source == Source::Input {
            return refuse("standard input has no name to look up in a list", "give its hash with --hash");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_go_together_is_refused() {
        let file = |p: &str| Source::File(p.into());
        let base = Order::new(file("/a"));
        assert_eq!(base.check(), Ok(()));
        // The image's own signature is beside it.
        assert_eq!(Order { key: Some("/k".into()), ..base.clone() }.check(), Ok(()));
        let hash = Some(Hash::bare(&"0".repeat(64)).unwrap());
        let list = Some(file("/SUMS"));
        for wrong in [
            Order { hash, checksums: list.clone(), ..base.clone() },
            Order { key: Some("/k".into()), source: Source::Input, ..base.clone() },
            Order { signature: Some(file("/s")), checksums: list.clone(), ..base.clone() },
            Order { source: Source::Input, checksums: list, ..base.clone() },
            Order { checksums: Some(Source::Input), ..base },
        ] {
            assert_eq!(wrong.check().unwrap_err().code.exit_code(), 2, "{wrong:?}");
        }
    }
}
