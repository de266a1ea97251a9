//! Signatures of a text, which is in memory, and of an image, which is checked as it is read: signify and minisign here,
//! OpenPGP by `gpgv`.
//!
//! * [`ed25519`]: signify and minisign, which share their key format
//! * [`openpgp`]: runs `gpgv` and evaluates its status lines
//!
//! Several keys may be trusted at once; a signature by any of them is sufficient. Not here: obtaining keys and signatures
//! (`trust`).

mod ed25519;
mod openpgp;

use chyves_core::error::{Problem, Result};
use chyves_core::image::VendorKey;
use chyves_core::value::printable;

/// The extensions of a detached signature beside what it signs.
const ED25519_ENDINGS: [&str; 2] = [".minisig", ".sig"];
const OPENPGP_ENDINGS: [&str; 4] = [".asc", ".sig", ".gpg", ".sign"];

/// Trusted public keys, of one type or of several.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    ed25519: Vec<ed25519::Key>,
    /// OpenPGP keys, concatenated, without armour.
    openpgp: Vec<u8>,
    /// If not empty: the signer's primary key must have one of these fingerprints (upper-case hexadecimal).
    fingerprints: Vec<String>,
    /// The keys' origin, for messages.
    shown: String,
}

impl Keys {
    /// The keys in a file: OpenPGP blocks, binary or armoured, or signify and minisign keys; several of a type may follow each
    /// other.
    ///
    /// # Errors
    /// The file contains none.
    pub(crate) fn parse(bytes: &[u8], shown: &str) -> Result<Self> {
        let shown = printable(shown, 300);
        let ed25519 = std::str::from_utf8(bytes).map(ed25519::keys).unwrap_or_default();
        if !ed25519.is_empty() {
            return Ok(Self { ed25519, shown, ..Self::default() });
        }
        match openpgp::binary(bytes) {
            Some(openpgp) => Ok(Self { openpgp, shown, ..Self::default() }),
            None => Err(Problem::usage(format!("`{shown}` holds no public key"))
                .on(&shown)
                .because("known are OpenPGP (binary or armoured), signify and minisign")
                .hint("export an OpenPGP key with `gpg --export KEY > FILE`; a key of signify or minisign is two lines, the second begins with RW")),
        }
    }

    /// The catalogue's keys of a vendor; none if it has only their fingerprints.
    ///
    /// # Errors
    /// A block is not a key.
    pub(crate) fn of_vendor(keys: &[VendorKey]) -> Result<Option<Self>> {
        let mut all = Self { fingerprints: fingerprints(keys), shown: "the catalogue".into(), ..Self::default() };
        for key in keys {
            let Some(block) = &key.block else { continue };
            let found = Self::parse(block.as_bytes(), &format!("the key {} of the catalogue", key.name))?;
            all.ed25519.extend(found.ed25519);
            all.openpgp.extend(found.openpgp);
        }
        Ok(Some(all).filter(|all| !all.ed25519.is_empty() || !all.openpgp.is_empty()))
    }

    /// Restricts the keys to those that are also the vendor's.
    #[must_use]
    pub(crate) fn among(self, keys: &[VendorKey]) -> Self {
        Self { fingerprints: fingerprints(keys), ..self }
    }

    /// The extensions of a detached signature by these keys.
    pub(crate) fn endings(&self) -> &'static [&'static str] {
        if self.openpgp.is_empty() { &ED25519_ENDINGS } else { &OPENPGP_ENDINGS }
    }

    /// Whether `gpgv` is needed, and missing.
    pub(crate) fn lacks_gpgv(&self) -> bool {
        self.ed25519.is_empty() && crate::run::find_program("gpgv").is_none()
    }

    /// An identifier of these keys, to be shown and compared: the ids of signify and minisign keys, the hash of OpenPGP keys.
    pub(crate) fn identity(&self) -> String {
        match self.openpgp.as_slice() {
            [] => self.ed25519.iter().map(ed25519::Key::name).collect::<Vec<_>>().join(" "),
            bytes => format!("sha256:{}", super::digest::sha256(bytes)),
        }
    }
}

fn fingerprints(keys: &[VendorKey]) -> Vec<String> {
    keys.iter().filter_map(|key| key.fingerprint.clone()).collect()
}

/// Whether a text contains its signature.
pub(crate) fn is_inside(text: &[u8]) -> bool {
    text.starts_with(b"-----BEGIN PGP SIGNED MESSAGE-----") || text.starts_with(b"untrusted comment:")
}

/// The text that one of the keys signed, and the signer. `signature`: a detached one. `scratch`: a folder for temporary files.
///
/// # Errors
/// There is no signature, it is by another key, or the text was changed.
pub(crate) fn of_text(keys: &Keys, text: &[u8], signature: Option<&[u8]>, scratch: &str, shown: &str) -> Result<(Vec<u8>, String)> {
    if !keys.ed25519.is_empty() {
        return ed25519::text(&keys.ed25519, text, signature, shown).map(|(text, by)| (text, format!("{by} ({})", keys.shown)));
    }
    openpgp::text(keys, text, signature, scratch, shown).map(|(text, by)| (text, format!("{by} ({})", keys.shown)))
}

/// A detached signature of data that is still to be read.
#[derive(Debug)]
pub(crate) struct Detached {
    keys: Keys,
    signature: Vec<u8>,
    scratch: String,
    shown: String,
}

impl Detached {
    /// The signature of `shown` by one of the keys.
    pub(crate) fn new(keys: Keys, signature: Vec<u8>, scratch: &str, shown: &str) -> Self {
        Self { keys, signature, scratch: scratch.to_owned(), shown: shown.to_owned() }
    }

    /// Starts the check.
    ///
    /// # Errors
    /// It is by none of the keys, or is not a signature.
    pub(crate) fn begin(&self) -> Result<Running> {
        if self.keys.ed25519.is_empty() {
            return openpgp::Running::begin(&self.keys, &self.signature, &self.scratch, &self.shown).map(Running::OpenPgp);
        }
        ed25519::Running::begin(&self.keys.ed25519, &self.signature, &self.shown).map(|running| Running::Ed25519(Box::new(running)))
    }
}

/// A signature check in progress.
pub(crate) enum Running {
    Ed25519(Box<ed25519::Running>),
    OpenPgp(openpgp::Running),
}

impl Running {
    /// Adds data.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Ed25519(running) => running.update(bytes),
            Self::OpenPgp(running) => running.update(bytes),
        }
    }

    /// Ends the check; returns the signer.
    ///
    /// # Errors
    /// The data is not what was signed.
    pub(crate) fn end(self) -> Result<String> {
        match self {
            Self::Ed25519(running) => running.end(),
            Self::OpenPgp(running) => running.end(),
        }
    }
}

fn bad(shown: &str, why: impl std::fmt::Display) -> Problem {
    Problem::failed(format!("the signature of `{shown}` is not valid"))
        .on(shown)
        .because(why)
        .hint("check that --key FILE is the right key; the content may have been altered in transit; nothing was changed")
}
