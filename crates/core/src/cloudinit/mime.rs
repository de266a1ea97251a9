//! Combines two user-data texts: a MIME message, whose parts cloud-init processes in order, with later ones taking
//! precedence.
//!
//! Parts are base64-encoded: readers decode other encodings as ASCII, and a line break before a boundary belongs to the
//! boundary. Not here: the content of the texts ([`super::documents`]).

use super::format::{self, Format};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// How a part is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Base64, which preserves all bytes.
    Base64,
    /// Unencoded if it is ASCII, because older versions of cloudbase-init do not decode cloud-config.
    Plain,
    /// Decoded for users to read; the result is not valid MIME.
    Decoded,
}

/// One part of a message.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// The file name under which a reader stores it.
    pub name: &'a str,
    /// Its content.
    pub text: &'a str,
    /// How it is encoded.
    pub encoding: Encoding,
}

impl<'a> Part<'a> {
    /// A base64-encoded part.
    pub const fn new(name: &'a str, text: &'a str) -> Self {
        Self { name, text, encoding: Encoding::Base64 }
    }

    /// The part, decoded for users if `decoded` and if it would be encoded.
    #[must_use]
    pub fn decoded(self, decoded: bool) -> Self {
        let encoded = self.encoding == Encoding::Base64 || !self.text.is_ascii();
        if decoded && encoded { Self { encoding: Encoding::Decoded, ..self } } else { self }
    }

    fn is_message(&self) -> bool {
        Format::of(self.text) == Some(Format::Mime)
    }

    fn render(&self) -> String {
        let text = format::content(self.text);
        if self.is_message() {
            // It has its own MIME header; readers process nested messages.
            return if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") };
        }
        let media_type = Format::of(text).map_or("text/plain", Format::media_type);
        let (encoding, body) = match self.encoding {
            Encoding::Plain if text.is_ascii() => ("7bit", text.to_owned()),
            Encoding::Decoded => ("base64 (decoded here)", text.to_owned()),
            Encoding::Plain | Encoding::Base64 => ("base64", lines(&STANDARD.encode(text))),
        };
        let charset = if text.is_ascii() { "us-ascii" } else { "utf-8" };
        let head = format!(
            "Content-Type: {media_type}; charset=\"{charset}\"\nMIME-Version: 1.0\nContent-Transfer-Encoding: {encoding}\n\
             Content-Disposition: attachment; filename=\"{}\"\n\n",
            self.name
        );
        if body.ends_with('\n') { head + &body } else { format!("{head}{body}\n") }
    }
}

/// Base64 in lines of 76 characters, as MIME requires.
fn lines(code: &str) -> String {
    let chunks = code.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned());
    chunks.map(|line| line + "\n").collect()
}

/// Combines the texts; later ones take precedence. The result depends only on the texts.
pub fn message(parts: &[Part<'_>]) -> String {
    // Base64 never contains a boundary; the text of an unencoded part or a nested message may.
    let taken = |boundary: &str| parts.iter().any(|part| part.text.contains(boundary));
    let mut number = 0u32;
    let mut boundary = format!("chyves-part-{number}");
    while taken(&boundary) {
        number += 1;
        boundary = format!("chyves-part-{number}");
    }
    let mut text = format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\nMIME-Version: 1.0\n\n");
    for part in parts {
        text.push_str(&format!("--{boundary}\n{}", part.render()));
    }
    text.push_str(&format!("--{boundary}--\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(first: &str, second: &str) -> String {
        message(&[Part::new("chyves", first), Part::new("own", second)])
    }

    #[test]
    fn each_part_says_what_it_is() {
        insta::assert_snapshot!(both("#cloud-config\na: 1\n", "#!/bin/sh\necho ü"), @r#"
        Content-Type: multipart/mixed; boundary="chyves-part-0"
        MIME-Version: 1.0

        --chyves-part-0
        Content-Type: text/cloud-config; charset="us-ascii"
        MIME-Version: 1.0
        Content-Transfer-Encoding: base64
        Content-Disposition: attachment; filename="chyves"

        I2Nsb3VkLWNvbmZpZwphOiAxCg==
        --chyves-part-0
        Content-Type: text/x-shellscript; charset="utf-8"
        MIME-Version: 1.0
        Content-Transfer-Encoding: base64
        Content-Disposition: attachment; filename="own"

        IyEvYmluL3NoCmVjaG8gw7w=
        --chyves-part-0--
        "#);
    }

    #[test]
    fn no_text_can_end_a_part() {
        let text = both("#cloud-config\n", "#!/bin/sh\necho --chyves-part-0--\necho --chyves-part-1\n");
        assert!(text.starts_with("Content-Type: multipart/mixed; boundary=\"chyves-part-2\""), "{text}");
        assert_eq!(text.matches("--chyves-part-2").count(), 3);
    }

    #[test]
    fn a_message_stays_one() {
        let inner = both("#cloud-config\n", "#!/bin/sh\n");
        let text = both("#cloud-config\n", &inner);
        assert!(text.contains("--chyves-part-1\nContent-Type: multipart/mixed; boundary=\"chyves-part-0\""), "{text}");
        let plain = Part { encoding: Encoding::Plain, ..Part::new("x", "#cloud-config\na: 1\n") };
        assert!(message(&[plain]).contains("7bit\nContent-Disposition: attachment; filename=\"x\"\n\n#cloud-config\na: 1\n--"));
        assert!(!message(&[Part { text: "#cloud-config\na: ü\n", ..plain }]).contains("7bit"));
    }
}
