//! The source of an image: a file, standard input or a URL; how it is shown, and the image name derived from it.

use crate::error::{Problem, Result};
use crate::value::{ImageName, printable};
use serde::{Deserialize, Serialize};

/// The source of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The absolute path of a file on this host.
    File(String),
    /// Standard input.
    Input,
    /// `http:`, `https:` or `ftp:`.
    Address(#[serde(serialize_with = "without_login")] String),
}

impl Source {
    /// Parses what the user typed: `-`, a URL, or a path, which is kept as typed.
    ///
    /// # Errors
    /// A URL with an unsupported scheme.
    pub fn parse(text: &str) -> Result<Self> {
        if text == "-" {
            return Ok(Self::Input);
        }
        let Some((scheme, rest)) = text.split_once(':').filter(|(s, _)| is_scheme(s)) else { return Ok(Self::File(text.to_owned())) };
        let shown = printable(text, 200);
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" | "ftp" if rest.starts_with("//") && rest.len() > 2 => {
                if text.chars().any(char::is_control) {
                    return Err(Problem::usage(format!("`{shown}` is not an address"))
                        .on(&shown)
                        .because("it has a control character")
                        .hint("copy it again"));
                }
                Ok(Self::Address(encoded(text)))
            }
            "file" => {
                let path = rest.strip_prefix("//localhost").or_else(|| rest.strip_prefix("//")).unwrap_or(rest);
                let path = percent_decoded(path).filter(|p| p.starts_with('/') && !p.contains('\0'));
                path.map(Self::File).ok_or_else(|| {
                    Problem::usage(format!("`{shown}` names no file of this host")).on(&shown).hint("write it as file:///path/to/image")
                })
            }
            _ if rest.starts_with("//") || matches!(scheme, "http" | "https" | "ftp") => {
                Err(Problem::usage(format!("`{shown}` is not an address that can be read"))
                    .on(&shown)
                    .hint("addresses begin with http://, https://, ftp:// or file://"))
            }
            _ => Ok(Self::File(text.to_owned())),
        }
    }

    /// The form that is shown and recorded, without passwords and anything that could be one.
    pub fn shown(&self) -> String {
        match self {
            Self::File(path) => printable(path, 900),
            Self::Input => "standard input".into(),
            Self::Address(address) => printable(&public(address), 900),
        }
    }

    /// The last component of its path: the file's name at its source.
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

    /// The location of a file beside it, with another last component.
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

/// A URL without user, password and query, which may contain a token.
pub fn public(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("//") else { return address.to_owned() };
    let rest = rest.split(['?', '#']).next().unwrap_or(rest);
    let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}//{host}{path}")
}

/// A URL with blanks and non-ASCII characters percent-encoded, as browsers do it.
pub fn encoded(address: &str) -> String {
    let mut out = String::with_capacity(address.len());
    for byte in address.bytes() {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'`' | b'{' | b'}' | b'|' | b'\\' | b'^') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A text with user, password and query removed from all URLs.
pub fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, address) = rest.split_at(at + 3);
        let end = address.find(|c: char| c.is_whitespace() || matches!(c, '`' | '\'' | '"' | '<' | '>')).unwrap_or(address.len());
        let (address, behind) = address.split_at(end);
        out.push_str(before);
        // The path of a file may contain a question mark.
        if before.ends_with("file://") {
            out.push_str(address);
        } else {
            let (place, path) = address.find('/').map_or((address, ""), |slash| address.split_at(slash));
            let path = if place.contains('?') { "" } else { path };
            let place = place.split(['?', '#']).next().unwrap_or(place);
            // Hints show the placeholder.
            let login = place.rsplit_once('@').filter(|(login, _)| *login != "USER:PASSWORD");
            out.push_str(login.map_or(place, |(_, host)| host));
            out.push_str(path.split(['?', '#']).next().unwrap_or(path));
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// Whether a URL on a command line contains credentials, which others could read in the list of processes.
pub fn is_secret(word: &str) -> bool {
    let place = word.split_once("://").map(|(_, rest)| rest.split(['/', '?', '#']).next().unwrap_or(rest));
    place.is_some_and(|place| place.contains('@'))
}

/// Serialises a URL without its password for journals, plans and results.
fn without_login<S: serde::Serializer>(address: &str, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&public(address))
}

/// Decodes `%xx` in a text; `None` if the result is not valid text.
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

/// File name extensions of images.
const ENDINGS: &[&str] = &[
    ".gz", ".xz", ".zst", ".bz2", ".zip", ".tar", ".tgz", ".txz", ".img", ".raw", ".qcow2", ".qcow", ".vmdk", ".vdi", ".vhdx", ".vhd",
    ".iso", ".fd", ".fs", ".ova",
];

/// Whether a name is a typical name of an image file; `download` and `get.php` are not.
pub fn is_of_an_image(file: &str) -> bool {
    let lower = file.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| lower.ends_with(ending))
}

/// The image name derived from a file's name, without extensions for compression and format.
///
/// # Errors
/// The name contains nothing usable.
pub fn name_of(file: &str) -> Result<ImageName> {
    let base = file.rsplit('/').next().unwrap_or(file);
    let mut name = base;
    while let Some(shorter) = ENDINGS.iter().find_map(|e| name.strip_suffix(e)).filter(|n| !n.is_empty()) {
        name = shorter;
    }
    name.parse().map_err(|e| {
        Problem::from(e).within(format!("`{}` does not yield a valid name of an image", printable(base, 60))).hint("choose one with --name")
    })
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
        assert_eq!(parse("http://h/a b/ü.img"), Ok(Source::Address("http://h/a%20b/%C3%BC.img".into())));
        for wrong in ["file://other/a", "http:/a", "http://", "gopher://h/a", "http://h/a\r\nx: y", "file:///a%00"] {
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
    fn a_text_shows_no_login() {
        for (text, shown) in [
            ("fetch https://me:word@h/a.img?token=x --name b", "fetch https://h/a.img --name b"),
            ("no `ftp://u:p@h` here", "no `ftp://h` here"),
            ("http://u:p@h?t=1 and http://h/x", "http://h and http://h/x"),
            ("file:///a?b http", "file:///a?b http"),
            ("http://u:p@in@h/x", "http://h/x"),
        ] {
            assert_eq!(masked(text), shown);
        }
        assert!(is_secret("--checksums=https://u:p@h/x") && !is_secret("https://h/x@y") && !is_secret("a@b"));
        let json = serde_json::to_string(&Source::Address("https://me:word@h/a?token=x".into())).unwrap();
        assert_eq!(json, r#"{"address":"https://h/a"}"#);
    }

    #[test]
    fn a_file_names_its_image() {
        assert_eq!(name_of("./a/debian-12.qcow2").unwrap().as_str(), "debian-12");
        assert_eq!(name_of("tiny.img").unwrap().as_str(), "tiny");
        assert_eq!(name_of("freebsd.raw.xz").unwrap().as_str(), "freebsd");
        assert_eq!(name_of("disk.tar.gz").unwrap().as_str(), "disk");
        assert!(name_of("a b.img").is_err());
    }
}
