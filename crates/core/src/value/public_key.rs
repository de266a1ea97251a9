//! OpenSSH public keys, as in lines of `authorized_keys`.

use crate::value::{BadValue, serde_by_text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::str::FromStr;

/// The key types of OpenSSH.
const TYPES: [&str; 8] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-dss",
];

/// The suffix of a certificate's type after the type of its key.
const CERTIFICATE: &str = "-cert-v01@openssh.com";

/// A public key: a line of `authorized_keys`, with or without options before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(String);

impl PublicKey {
    /// The line.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a text looks like such a line rather than a file name.
    pub fn looks_like(text: &str) -> bool {
        text.trim_start_matches('\u{feff}').contains(' ')
            && text.split_ascii_whitespace().any(|word| is_type(word.trim_start_matches('\u{feff}')))
    }

    /// All keys in a file in the format of `authorized_keys`.
    ///
    /// # Errors
    /// A line is invalid (the message has its number); the file contains a private key; or it contains no key.
    pub fn all(text: &str) -> Result<Vec<Self>, BadValue> {
        if text.contains("PRIVATE KEY-----") {
            // The text is a secret and is not repeated.
            return Err(BadValue::new("the file", "holds a private key").hint("give the public one, whose name ends with .pub"));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().enumerate().map(|(n, l)| (n + 1, l.trim())).filter(|(_, l)| !l.is_empty() && !l.starts_with('#'));
        let keys: Vec<Self> = lines
            .map(|(n, line)| line.parse().map_err(|bad: BadValue| BadValue { why: format!("(line {n}) {}", bad.why), ..bad }))
            .collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err(BadValue::new("the file", "holds no key").hint("`ssh-keygen -t ed25519` creates a key pair; use its .pub file"));
        }
        Ok(keys)
    }
}

/// Whether a word is the type of a key, or of a certificate.
fn is_type(word: &str) -> bool {
    let name = word.strip_suffix(CERTIFICATE).map_or_else(
        || word.to_owned(),
        |key| {
            // Types of keys on security tokens end with the domain, which a certificate's type contains only once.
            if key.starts_with("sk-") { format!("{key}@openssh.com") } else { key.to_owned() }
        },
    );
    TYPES.contains(&name.as_str())
}

/// Splits the options before a key from the rest; blanks in quotes do not end an option.
fn split_options(line: &str) -> Option<(&str, &str)> {
    if line.split_ascii_whitespace().next().is_some_and(is_type) {
        return Some(("", line));
    }
    let (mut in_quotes, mut escaped) = (false, false);
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_quotes => escaped = true,
            '"' => in_quotes = !in_quotes,
            ' ' | '\t' if !in_quotes => return line.get(..at).zip(line.get(at..).map(str::trim_start)),
            _ => {}
        }
    }
    None
}

impl FromStr for PublicKey {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let refuse = |why: &str| {
            BadValue::new(text, why).hint(
                "a line as OpenSSH writes it into files .pub: ssh-ed25519 AAAA… name@host; `chyves cloud-init set GUEST --ssh-key FILE` \
                 reads keys from a file",
            )
        };
        let line = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return Err(refuse("holds control characters"));
        }
        let (options, rest) = split_options(line).ok_or_else(|| refuse("is not a public key"))?;
        let words: Vec<&str> = rest.split_ascii_whitespace().collect();
        let Some(name) = words.first().filter(|name| is_type(name)) else {
            return Err(refuse("begins with no type of key that OpenSSH knows"));
        };
        let Some(blob) = words.get(1) else { return Err(refuse("is not a public key: nothing follows its type")) };
        // The blob repeats the type after its length, so that truncated or mixed-up keys are detected.
        let bytes = STANDARD.decode(blob).map_err(|_| refuse("is damaged: its blob is not base64"))?;
        let length = u32::try_from(name.len()).unwrap_or(0).to_be_bytes();
        let fields = bytes.strip_prefix(&length).and_then(|b| b.strip_prefix(name.as_bytes()));
        // A certificate also contains numbers, which have no length prefix.
        let is_whole = |rest: &[u8]| if name.ends_with(CERTIFICATE) { rest.len() > 100 } else { are_fields(rest) };
        if !fields.is_some_and(is_whole) {
            return Err(refuse("is damaged: it was truncated, or is of another type than stated"));
        }
        let gap = if options.is_empty() { "" } else { " " };
        Ok(Self(format!("{options}{gap}{}", words.join(" "))))
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}
serde_by_text!(PublicKey);

/// Whether the bytes consist of complete length-prefixed fields, at least one.
fn are_fields(mut rest: &[u8]) -> bool {
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let Some((length, behind)) = rest.split_first_chunk::<4>() else { return false };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        match behind.get(length..) {
            Some(next) => rest = next,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFuhB9oOXbFg6UftLCS7a3FjWd/F+p2iUEAMLuzJQC2O ann@desk";

    #[test]
    fn a_public_key_is_whole_and_of_the_type_it_says() {
        assert_eq!(format!("  {KEY} two  words ").parse::<PublicKey>().unwrap().as_str(), format!("{KEY} two words"));
        let cut = KEY.replace("JQC2O", "");
        let other = KEY.replace("ssh-ed25519", "ssh-rsa");
        for bad in [
            "",
            "ssh-ed25519",
            "ssh-foo AAAA",
            "ssh-ed25519 !!!!",
            &cut,
            &other,
            &format!("{KEY}\u{1b}"),
            "command=\"x",
            "a b c",
            "nonsense",
        ] {
            assert!(bad.parse::<PublicKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn options_certificates_and_a_byte_order_mark_are_read() {
        for options in ["restrict", "command=\"echo \\\"a b\\\" | cat\",no-pty,from=\"10.0.0.0/8,*.example.org\"", "cert-authority"] {
            let line = format!("{options} {KEY}");
            assert_eq!(line.parse::<PublicKey>().unwrap().as_str(), line);
            assert!(PublicKey::looks_like(&line));
        }
        assert_eq!(format!("\u{feff}{KEY}").parse::<PublicKey>().unwrap().as_str(), KEY);
        assert_eq!(PublicKey::all(&format!("\u{feff}{KEY}\r\n{KEY}\r\n")).unwrap().len(), 2);
        let sort = "ssh-ed25519-cert-v01@openssh.com";
        let blob = [&u32::try_from(sort.len()).unwrap().to_be_bytes()[..], sort.as_bytes(), &[7; 200]].concat();
        let line = format!("{sort} {} ann", STANDARD.encode(blob));
        assert_eq!(line.parse::<PublicKey>().unwrap().as_str(), line);
        assert!(is_type("sk-ssh-ed25519-cert-v01@openssh.com") && !is_type("ssh-foo-cert-v01@openssh.com"));
        assert!(!PublicKey::looks_like("my key.pub") && !PublicKey::looks_like("id_ed25519.pub"));
    }

    #[test]
    fn a_file_of_keys_is_read_whole_and_a_private_one_is_not_repeated() {
        let text = format!("# mine\n\n{KEY}\n{KEY} again\n");
        assert_eq!(PublicKey::all(&text).unwrap().len(), 2);
        assert!(PublicKey::all(&format!("{KEY}\nnonsense\n")).unwrap_err().why.contains("line 2"));
        let private = PublicKey::all("-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n").unwrap_err();
        assert!(private.to_string().contains("private key") && !private.to_string().contains("c2VjcmV0"), "{private}");
        assert!(PublicKey::all("\n").is_err());
    }
}
