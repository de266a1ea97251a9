//! Images as they are asked for: where one comes from, what it must be, and what is to be remembered of it.
//!
//! * [`checksums`]: lists of checksums, as vendors keep them beside their files
//!
//! Not here: the images of a pool ([`crate::world::Image`]), reading one (chyves-host `import`), known systems
//! ([`crate::catalogue`]).

pub mod checksums;

use crate::error::{Problem, Result};
use crate::value::{BadValue, ImageName, Size, printable};
use crate::world::ImageKind;
use crate::zfs::args::Pair;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a file may grow to when it is unpacked, where nobody says otherwise.
pub const MAX_SIZE: Size = Size::bytes(256 << 30);
/// How long a server may be silent, where nobody says otherwise, in seconds.
pub const SILENCE: u32 = 60;
/// How often a cut transfer is taken up again without a single new byte, where nobody says otherwise.
pub const RETRIES: u32 = 5;

/// Where an image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A file of this host, its path absolute.
    File(String),
    /// Standard input.
    Input,
    /// `http:`, `https:` or `ftp:`.
    Address(String),
}

impl Source {
    /// Reads what a person typed: `-`, an address, or a path, which is left as it was typed.
    ///
    /// # Errors
    /// An address of a sort that can't be read.
    pub fn parse(text: &str) -> Result<Self> {
        if text == "-" {
            return Ok(Self::Input);
        }
        let Some((scheme, rest)) = text.split_once(':').filter(|(s, _)| is_scheme(s)) else { return Ok(Self::File(text.to_owned())) };
        let shown = printable(text, 200);
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" | "ftp" if rest.starts_with("//") && rest.len() > 2 => {
                if text.chars().any(|c| c.is_control() || c == ' ') {
                    return Err(Problem::usage(format!("`{shown}` is no address"))
                        .on(&shown)
                        .because("it has a blank or a control character"));
                }
                Ok(Self::Address(text.to_owned()))
            }
            "file" => {
                let path = rest.strip_prefix("//localhost").or_else(|| rest.strip_prefix("//")).unwrap_or(rest);
                let path = percent_decoded(path).filter(|p| p.starts_with('/') && !p.contains('\0'));
                path.map(Self::File).ok_or_else(|| {
                    Problem::usage(format!("`{shown}` names no file of this host")).on(&shown).hint("write it as file:///path/to/image")
                })
            }
            _ if rest.starts_with("//") || matches!(scheme, "http" | "https" | "ftp") => {
                Err(Problem::usage(format!("`{shown}` is no address that can be read"))
                    .on(&shown)
                    .hint("addresses begin with http://, https://, ftp:// or file://"))
            }
            _ => Ok(Self::File(text.to_owned())),
        }
    }

    /// As it is shown and recorded: without a password, and without what could be one.
    pub fn shown(&self) -> String {
        match self {
            Self::File(path) => printable(path, 900),
            Self::Input => "standard input".into(),
            Self::Address(address) => printable(&public(address), 900),
        }
    }

    /// The last part of its path: the name that the file has where it comes from.
    pub fn file_name(&self) -> Option<String> {
        let path = match self {
            Self::Input => return None,
            Self::File(path) => path.clone(),
            Self::Address(address) => {
                let path = address.split_once("//")?.1.split(['?', '#']).next()?;
                percent_decoded(path.split_once('/')?.1)?
            }
        };
        path.rsplit('/').next().filter(|n| !n.is_empty()).map(str::to_owned)
    }

    /// The same place with another last part: a file beside it.
    pub fn beside(&self, name: &str) -> Option<Self> {
        let beside = |path: &str| path.rsplit_once('/').map(|(folder, _)| format!("{folder}/{name}"));
        match self {
            Self::Input => None,
            Self::File(path) => beside(path).map(Self::File),
            Self::Address(address) => beside(address.split(['?', '#']).next().unwrap_or(address)).map(Self::Address),
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.len() > 1
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// An address without its user and password, and without its query, which may hold a token.
pub fn public(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("//") else { return address.to_owned() };
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}//{host}{path}")
}

/// Text with its `%xx` read; none where that is no text.
pub fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let pair = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The name that a file gives its image: its own, without the endings that say how it is packed.
///
/// # Errors
/// It gives none.
pub fn name_of(file: &str) -> Result<ImageName> {
    const ENDINGS: &[&str] = &[
        ".gz", ".xz", ".zst", ".bz2", ".zip", ".tar", ".tgz", ".txz", ".img", ".raw", ".qcow2", ".qcow", ".vmdk", ".vdi", ".vhdx", ".vhd",
        ".iso", ".fd", ".fs",
    ];
    let base = file.rsplit('/').next().unwrap_or(file);
    let mut name = base;
    while let Some(shorter) = ENDINGS.iter().find_map(|e| name.strip_suffix(e)).filter(|n| !n.is_empty()) {
        name = shorter;
    }
    name.parse().map_err(|e| {
        Problem::from(e).within(format!("`{}` gives no good name for an image", printable(base, 60))).hint("give one with --name")
    })
}

/// A sort of hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HashKind {
    /// Of old lists; tells an accident, not an attack.
    Md5,
    /// Of old lists; tells an accident, not an attack.
    Sha1,
    /// The usual one.
    Sha256,
    /// The longer one.
    Sha512,
}

impl HashKind {
    /// All of them, the strongest last.
    pub const ALL: [Self; 4] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha512];

    /// As it is written before a hash.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// How many hexadecimal digits one has.
    pub const fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha1 => 40,
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }

    /// Whether a file can be made to have a wanted one.
    pub const fn is_weak(self) -> bool {
        matches!(self, Self::Md5 | Self::Sha1)
    }

    /// The sort of that word, however it is written: `SHA256`, `sha-256`.
    pub fn read(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase().replace('-', "");
        Self::ALL.into_iter().find(|k| k.word() == word)
    }
}

/// A hash that a file must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hash {
    /// Its sort.
    pub kind: HashKind,
    /// Its digits, lower-case hexadecimal.
    pub hex: String,
}

impl Hash {
    /// A hash of that sort; none where the digits are not as many as it takes.
    pub fn new(kind: HashKind, hex: &str) -> Option<Self> {
        let good = hex.len() == kind.digits() && hex.bytes().all(|b| b.is_ascii_hexdigit());
        good.then(|| Self { kind, hex: hex.to_ascii_lowercase() })
    }

    /// A hash whose sort its length tells.
    pub fn bare(hex: &str) -> Option<Self> {
        HashKind::ALL.into_iter().find_map(|kind| Self::new(kind, hex))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.word(), self.hex)
    }
}

impl FromStr for Hash {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let found = match text.split_once(':') {
            Some((kind, hex)) => HashKind::read(kind).and_then(|kind| Self::new(kind, hex)),
            None => Self::bare(text),
        };
        found.ok_or_else(|| {
            BadValue::new(&printable(text, 140), "is no hash").hint("write it as sha256:… (64 digits); md5, sha1 and sha512 are known too")
        })
    }
}

/// One image to be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Where it comes from.
    pub source: Source,
    /// What it must be, where somebody says.
    pub expect: Option<ImageKind>,
    /// The hash that it must have as it comes.
    pub hash: Option<Hash>,
    /// A list of checksums, in which the hash is looked up.
    pub checksums: Option<Source>,
    /// The signature of that list, where it is a file of its own.
    pub signature: Option<Source>,
    /// The file of the key that the list must be signed with.
    pub key: Option<String>,
    /// What it may grow to.
    pub max_size: Size,
    /// How long a server may be silent, in seconds.
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
            hash: None,
            checksums: None,
            signature: None,
            key: None,
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
        if self.key.is_some() && self.checksums.is_none() {
            return refuse("a key checks a list of checksums, and there is none", "give the list with --checksums");
        }
        if self.signature.is_some() && self.key.is_none() {
            return refuse("a signature says nothing without a key to check it with", "give the key with --key FILE");
        }
        if matches!(self.checksums, Some(Source::Input)) || matches!(self.signature, Some(Source::Input)) {
            return refuse("standard input carries the image alone", "name a file or an address for the list");
        }
        if self.checksums.is_some() && self.source == Source::Input {
            return refuse("what comes on standard input has no name to look up in a list", "give its hash with --hash");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_a_file_an_address_or_standard_input() {
        let parse = |text: &str| Source::parse(text).map_err(|p| p.code.exit_code());
        assert_eq!(parse("-"), Ok(Source::Input));
        assert_eq!(parse("./a b.img"), Ok(Source::File("./a b.img".into())));
        assert_eq!(parse("disk:1.img"), Ok(Source::File("disk:1.img".into())));
        assert_eq!(parse("file:///a%20b.img"), Ok(Source::File("/a b.img".into())));
        assert_eq!(parse("file:/a.img"), Ok(Source::File("/a.img".into())));
        assert_eq!(parse("HTTPS://h/a"), Ok(Source::Address("HTTPS://h/a".into())));
        for wrong in ["file://other/a", "http:/a", "http://", "gopher://h/a", "http://h/a b", "http://h/a\r\nx: y", "file:///a%00"] {
            assert_eq!(parse(wrong), Err(2), "{wrong}");
        }
    }

    #[test]
    fn nothing_secret_is_shown_of_an_address() {
        let address = Source::Address("https://me:word@h.example:8443/a/b%2B.img?token=x#y".into());
        assert_eq!(address.shown(), "https://h.example:8443/a/b%2B.img");
        assert_eq!(address.file_name().as_deref(), Some("b+.img"));
        assert_eq!(address.beside("SUMS"), Some(Source::Address("https://me:word@h.example:8443/a/SUMS".into())));
        assert_eq!(Source::Address("http://h".into()).file_name(), None);
    }

    #[test]
    fn hashes_are_known_by_word_or_length() {
        let sha = "0123456789ABCDEF".repeat(4);
        assert_eq!(sha.parse::<Hash>().unwrap().to_string(), format!("sha256:{}", sha.to_lowercase()));
        assert_eq!(format!("SHA-256:{sha}").parse::<Hash>().unwrap().kind, HashKind::Sha256);
        assert_eq!(sha[..32].parse::<Hash>().unwrap().kind, HashKind::Md5);
        for wrong in ["", "sha256:12", "sha3:00", &sha[..63], &format!("md5:{sha}"), &"x".repeat(64)] {
            assert!(wrong.parse::<Hash>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_names_its_image() {
        assert_eq!(name_of("./a/debian-12.qcow2").unwrap().as_str(), "debian-12");
        assert_eq!(name_of("tiny.img").unwrap().as_str(), "tiny");
        assert_eq!(name_of("freebsd.raw.xz").unwrap().as_str(), "freebsd");
        assert_eq!(name_of("disk.tar.gz").unwrap().as_str(), "disk");
        assert!(name_of("a b.img").is_err());
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let file = |p: &str| Source::File(p.into());
        let base = Order::new(file("/a"));
        assert_eq!(base.check(), Ok(()));
        let hash = Some(Hash::bare(&"0".repeat(64)).unwrap());
        let list = Some(file("/SUMS"));
        for wrong in [
            Order { hash, checksums: list.clone(), ..base.clone() },
            Order { key: Some("/k".into()), ..base.clone() },
            Order { signature: Some(file("/s")), checksums: list.clone(), ..base.clone() },
            Order { source: Source::Input, checksums: list, ..base.clone() },
            Order { checksums: Some(Source::Input), ..base },
        ] {
            assert_eq!(wrong.check().unwrap_err().code.exit_code(), 2, "{wrong:?}");
        }
    }
}
