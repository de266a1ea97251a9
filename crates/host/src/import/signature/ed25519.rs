//! Signify and minisign: keys of both are base64 of `Ed`, eight bytes that identify the key, and 32 bytes. A signify signature
//! is made over the text itself, a minisign signature over its BLAKE2b (or, by old versions, the text), with a comment that is
//! signed as well.

use super::bad;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b512, Digest as _};
use chyves_core::error::Result;
use ed25519_dalek::{Signature, VerifyingKey};

/// A public key.
#[derive(Debug, Clone)]
pub(super) struct Key {
    number: [u8; 8],
    bytes: [u8; 32],
}

impl Key {
    /// The id of the key, as minisign prints it.
    pub(super) fn name(&self) -> String {
        name(self.number)
    }
}

fn name(number: [u8; 8]) -> String {
    format!("{:016X}", u64::from_le_bytes(number))
}

/// The keys in a text, with or without a comment line before each.
pub(super) fn keys(text: &str) -> Vec<Key> {
    let key = |line: &str| {
        let bytes = STANDARD.decode(line).ok()?;
        let (number, rest) = bytes.strip_prefix(b"Ed")?.split_first_chunk::<8>()?;
        Some(Key { number: *number, bytes: rest.try_into().ok()? })
    };
    text.trim_start_matches('\u{feff}').lines().filter_map(|line| key(line.trim())).collect()
}

/// What a signature is made over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// The text: signify, and old versions of minisign.
    Text,
    /// The text's BLAKE2b: minisign.
    Blake2b,
}

/// A parsed signature.
struct Signed<'a> {
    of: Of,
    number: [u8; 8],
    bytes: [u8; 64],
    /// Minisign only: the comment that is signed too, and its signature.
    comment: Option<(&'a [u8], [u8; 64])>,
    /// What follows it: the text, if signify signed inline.
    behind: &'a [u8],
}

/// The first line, and what follows it.
fn line(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|b| *b == b'\n') {
        Some(end) => (text[..end].strip_suffix(b"\r").unwrap_or(&text[..end]), &text[end + 1..]),
        None => (text, &[]),
    }
}

fn read(text: &[u8]) -> Option<Signed<'_>> {
    let (head, rest) = line(text);
    let (code, behind) = line(rest);
    if !head.starts_with(b"untrusted comment:") {
        return None;
    }
    let bytes = STANDARD.decode(code.trim_ascii()).ok()?;
    let (of, rest) = match (bytes.strip_prefix(b"Ed"), bytes.strip_prefix(b"ED")) {
        (Some(rest), _) => (Of::Text, rest),
        (None, Some(rest)) => (Of::Blake2b, rest),
        (None, None) => return None,
    };
    let (number, bytes) = rest.split_first_chunk::<8>()?;
    let bytes: [u8; 64] = bytes.try_into().ok()?;
    let (comment, after) = line(behind);
    let comment = match comment.strip_prefix(b"trusted comment: ") {
        Some(comment) => Some((comment, STANDARD.decode(line(after).0.trim_ascii()).ok()?.try_into().ok()?)),
        None if of == Of::Blake2b => return None,
        None => None,
    };
    Some(Signed { of, number: *number, bytes, comment, behind })
}

/// The key that made a signature, and its name.
fn signer(keys: &[Key], signed: &Signed<'_>, shown: &str) -> Result<(VerifyingKey, String)> {
    let key = keys.iter().find(|key| key.number == signed.number);
    let key = key.ok_or_else(|| {
        let trusted: Vec<String> = keys.iter().map(Key::name).collect();
        bad(shown, format!("signed by key {}, trusted are {}", name(signed.number), trusted.join(", ")))
    })?;
    let program = if signed.comment.is_some() { "minisign" } else { "signify" };
    let by = format!("the {program} key {}", key.name());
    let key =
        VerifyingKey::from_bytes(&key.bytes).ok().filter(|key| !key.is_weak()).ok_or_else(|| bad(shown, "the public key is invalid"))?;
    if let Some((comment, signature)) = &signed.comment {
        let whole = [&signed.bytes[..], comment].concat();
        key.verify_strict(&whole, &Signature::from_bytes(signature)).map_err(|_| bad(shown, "its trusted comment was altered"))?;
    }
    Ok((key, by))
}

/// The text that was signed, and the signer.
pub(super) fn text(keys: &[Key], text: &[u8], signature: Option<&[u8]>, shown: &str) -> Result<(Vec<u8>, String)> {
    let signed = read(signature.unwrap_or(text)).ok_or_else(|| bad(shown, "there is no signature of signify or minisign"))?;
    let message = match (signature, &signed.comment) {
        (Some(_), _) => text,
        (None, None) => signed.behind,
        (None, Some(_)) => return Err(bad(shown, "this is a signature without the text that it signs")),
    };
    let mut running = Running::of(keys, &signed, shown)?;
    running.update(message);
    Ok((message.to_vec(), running.end()?))
}

/// Consumes the data; called with none at the end, it returns whether the signature matches.
type Check = Box<dyn FnMut(Option<&[u8]>) -> bool + Send>;

/// A signature check in progress.
pub(crate) struct Running {
    check: Check,
    by: String,
    shown: String,
}

impl Running {
    /// Starts the check of a detached signature.
    pub(super) fn begin(keys: &[Key], signature: &[u8], shown: &str) -> Result<Self> {
        let signed = read(signature).ok_or_else(|| bad(shown, "there is no signature of signify or minisign"))?;
        Self::of(keys, &signed, shown)
    }

    fn of(keys: &[Key], signed: &Signed<'_>, shown: &str) -> Result<Self> {
        let (key, by) = signer(keys, signed, shown)?;
        let signature = Signature::from_bytes(&signed.bytes);
        let check: Check = match signed.of {
            Of::Text => {
                let mut stream = Some(key.verify_stream(&signature).map_err(|_| bad(shown, "it is malformed"))?);
                Box::new(move |bytes| match bytes {
                    Some(bytes) => {
                        if let Some(stream) = &mut stream {
                            stream.update(bytes);
                        }
                        false
                    }
                    None => stream.take().is_some_and(|stream| stream.finalize_and_verify().is_ok()),
                })
            }
            Of::Blake2b => {
                let mut hash = Blake2b512::new();
                Box::new(move |bytes| match bytes {
                    Some(bytes) => {
                        hash.update(bytes);
                        false
                    }
                    None => key.verify_strict(&hash.clone().finalize(), &signature).is_ok(),
                })
            }
        };
        Ok(Self { check, by, shown: shown.to_owned() })
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        (self.check)(Some(bytes));
    }

    pub(super) fn end(mut self) -> Result<String> {
        if (self.check)(None) { Ok(self.by) } else { Err(bad(&self.shown, "it does not match the content")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};

    fn block(comment: &str, kind: [u8; 2], number: u8, bytes: &[u8]) -> Vec<u8> {
        let body = [&kind[..], &[number; 8], bytes].concat();
        format!("untrusted comment: {comment}\n{}\n", STANDARD.encode(body)).into_bytes()
    }

    fn of(key: &[u8]) -> Vec<Key> {
        keys(std::str::from_utf8(key).unwrap())
    }

    #[test]
    fn signify_signs_inside_and_beside() {
        let secret = SigningKey::from_bytes(&[7; 32]);
        let public = block("public key", *b"Ed", 1, secret.verifying_key().as_bytes());
        let list = b"SHA256 (install.img) = 00\n";
        let signature = block("verify with x.pub", *b"Ed", 1, &secret.sign(list).to_bytes());
        let checked = |list: &[u8], signature: Option<&[u8]>, key: &[u8]| text(&of(key), list, signature, "l");
        assert_eq!(checked(list, Some(&signature), &public).unwrap().0, list);
        let inside = [signature.as_slice(), list].concat();
        assert_eq!(checked(&inside, None, &public).unwrap(), (list.to_vec(), "the signify key 0101010101010101".into()));
        let changed = [signature.as_slice(), b"SHA256 (install.img) = 01\n"].concat();
        assert!(checked(&changed, None, &public).unwrap_err().causes[0].contains("does not match"));
        let other = block("public key", *b"Ed", 2, secret.verifying_key().as_bytes());
        assert!(checked(&inside, None, &other).unwrap_err().causes[0].contains("signed by key"));
        // Any of several keys in a file is accepted, but a key with another key's id is not.
        let several = [other.as_slice(), &public].concat();
        assert!(checked(&inside, None, &several).is_ok());
        let posing = block("public key", *b"Ed", 1, SigningKey::from_bytes(&[8; 32]).verifying_key().as_bytes());
        assert!(checked(&inside, None, &posing).unwrap_err().causes[0].contains("does not match"));
        assert!(checked(list, None, &public).is_err());
        assert!(of(b"untrusted comment: x\nnonsense\n").is_empty());
    }

    #[test]
    fn minisign_signs_a_hash_and_a_comment_and_of_old_the_text() {
        let secret = SigningKey::from_bytes(&[9; 32]);
        let public = block("minisign public key", *b"Ed", 3, secret.verifying_key().as_bytes());
        let message = b"a large file ".repeat(9999);
        for (kind, signed) in [(b"ED", Blake2b512::digest(&message).to_vec()), (b"Ed", message.clone())] {
            let bytes = secret.sign(&signed).to_bytes();
            let comment = b"timestamp:1\tfile:disk.img";
            let whole = secret.sign(&[&bytes[..], comment].concat()).to_bytes();
            let beside = |comment: &[u8]| {
                let comment = String::from_utf8_lossy(comment).into_owned();
                let tail = format!("trusted comment: {comment}\n{}\n", STANDARD.encode(whole)).into_bytes();
                [block("signature", *kind, 3, &bytes), tail].concat()
            };
            let good = beside(comment);
            // In pieces, as an image arrives.
            let mut running = Running::begin(&of(&public), &good, "disk.img").unwrap();
            message.chunks(1000).for_each(|piece| running.update(piece));
            assert_eq!(running.end().unwrap(), "the minisign key 0303030303030303");
            assert!(text(&of(&public), &message, Some(&good), "l").is_ok());
            assert!(text(&of(&public), &message[1..], Some(&good), "l").unwrap_err().causes[0].contains("does not match"));
            assert!(Running::begin(&of(&public), &beside(b"timestamp:2"), "l").err().unwrap().causes[0].contains("comment"));
        }
        // No program makes a hashed signature without a signed comment.
        assert!(read(&block("x", *b"ED", 3, &[0; 64])).is_none());
        // Only the second line, as users paste it.
        let bare = String::from_utf8(public.clone()).unwrap().lines().nth(1).unwrap().to_owned();
        assert_eq!(keys(&bare)[0].name(), "0303030303030303");
    }
}
