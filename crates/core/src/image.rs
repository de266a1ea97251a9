//! Images as they are asked for: where one comes from, what it must be, and what is to be remembered of it.
//!
//! * [`source`]: where it comes from
//! * [`hash`]: what it must be
//! * [`checksums`]: lists of checksums, as vendors keep them beside their files
//!
//! Not here: the images of a pool ([`crate::world::Image`]), reading one (chyves-host `import`), known systems
//! ([`crate::catalogue`]).

pub mod checksums;
pub mod hash;
pub mod source;

pub use hash::{Hash, HashKind};
pub use source::{Source, encoded, is_of_an_image, is_secret, masked, name_of, percent_decoded, public};

use crate::error::{Problem, Result};
use crate::value::Size;
use crate::world::ImageKind;
use crate::zfs::args::Pair;
use serde::{Deserialize, Serialize};

/// What a file may grow to when it is unpacked, where nobody says otherwise.
pub const MAX_SIZE: Size = Size::bytes(256 << 30);
/// How long a server may be silent, where nobody says otherwise, in seconds.
pub const SILENCE: u32 = 60;
/// How often a cut transfer is taken up again without a single new byte, where nobody says otherwise.
pub const RETRIES: u32 = 5;

/// A public key of a vendor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VendorKey {
    /// What the catalogue calls it.
    pub name: String,
    /// The fingerprint of an OpenPGP key, upper-case hexadecimal.
    pub fingerprint: Option<String>,
    /// The key itself, as text; none where the fingerprint alone is known.
    pub block: Option<String>,
    /// Where it is published.
    pub from: String,
}

/// One image to be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Where it comes from.
    pub source: Source,
    /// What it must be, where somebody says.
    pub expect: Option<ImageKind>,
    /// Whether it is a raw disk whatever it looks like, because somebody says so.
    #[serde(default)]
    pub raw: bool,
    /// Which file it is, of an archive with several.
    #[serde(default)]
    pub member: Option<String>,
    /// Another name that it may have in a list of checksums: that of the link it was named by.
    #[serde(default)]
    pub alias: Option<String>,
    /// The name that its server gives it, where its address does not.
    #[serde(default)]
    pub named: Option<String>,
    /// The hash that it must have as it comes.
    pub hash: Option<Hash>,
    /// A list of checksums, in which the hash is looked up.
    pub checksums: Option<Source>,
    /// The signature of that list, or of the image itself, if it is a separate file.
    pub signature: Option<Source>,
    /// Whether the signature is the image's although there is a list.
    #[serde(default)]
    pub signs_image: bool,
    /// The file of keys, one of which must have signed the list, or without one the image itself.
    pub key: Option<String>,
    /// The keys of its vendor, as the catalogue knows them.
    #[serde(default)]
    pub keys: Vec<VendorKey>,
    /// What it may grow to.
    pub max_size: Size,
    /// Timeout of a server in seconds.
    pub silence: u32,
    /// How often a cut transfer is taken up again without a single new byte.
    pub retries: u32,
    /// The file of a firmware's variables, its path absolute.
    pub vars: Option<String>,
    /// Settings that the system in it wants.
    pub wants: Vec<Pair>,
}

impl Order {
    /// An image from there, and nothing more said.
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

    /// Makes sure that what is asked for goes together.
    ///
    /// # Errors
    /// What does not.
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
        // The image's own signature lies beside it.
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
