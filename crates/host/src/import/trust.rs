//! What a file must be: the hash that was given, or the one in a list of checksums, whose signature is checked where a
//! key is given: signify's here, OpenPGP's by `gpgv`.
//!
//! Not here: reading lists (chyves-core `image::checksums`), hashing (`digest`).

#![allow(clippy::disallowed_methods)] // the source is an administrator's, the folder that of an image that this command makes

use super::fetch::Remote;
use super::{ftp, hints, http};
use crate::run;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chyves_core::cmd::Cmd;
use chyves_core::error::{Problem, Result};
use chyves_core::image::{Hash, Order, Source, checksums};
use chyves_core::value::printable;
use std::fs::File;
use std::io::Read;

/// Lists, signatures and keys are not larger.
const SMALL: u64 = 4 << 20;

/// What is wanted of a file, and how that is told afterwards.
pub(super) struct Wanted {
    pub(super) hash: Option<Hash>,
    pub(super) told: String,
}

/// Finds out what a file must be. `scratch` is a folder that files may be made in for a while.
pub(super) fn wanted(order: &Order, scratch: &str) -> Result<Wanted> {
    if let Some(hash) = &order.hash {
        return Ok(Wanted { hash: Some(hash.clone()), told: hash.to_string() });
    }
    let Some(place) = &order.checksums else { return Ok(Wanted { hash: None, told: "no".into() }) };
    let shown = place.shown();
    let bytes = small(place, order.silence)?;
    let (list, signed) = match &order.key {
        None => (bytes, String::new()),
        Some(key) => {
            let signature = order.signature.as_ref().map(|s| small(s, order.silence)).transpose()?;
            let (list, by) = verified(&bytes, signature.as_deref(), key, scratch, &shown)?;
            (list, format!(", signed by {by}"))
        }
    };
    let list = checksums::text(&list);
    let name = order.source.file_name().ok_or_else(|| {
        Problem::usage(format!("`{}` has no name to look up in a list", order.source.shown())).hint("give its hash with --hash")
    })?;
    let names: Vec<&str> = std::iter::once(name.as_str()).chain(order.alias.as_deref()).collect();
    let hash = checksums::find(&list, &names).map_err(|p| p.because(format!("the list is {shown}")))?;
    Ok(Wanted { told: format!("{hash} in {shown}{signed}"), hash: Some(hash) })
}

/// Reads a small file from wherever it is.
fn small(place: &Source, silence: u32) -> Result<Vec<u8>> {
    let shown = place.shown();
    let mut bytes = Vec::new();
    let mut from: Box<dyn Read> = match place {
        Source::File(path) => Box::new(File::open(path).map_err(|e| {
            let problem = Problem::not_found(format!("can't open `{}`", printable(path, 300))).on(&shown);
            problem.because(e).hint(hints::folder_of(path))
        })?),
        Source::Input => return Err(Problem::bug("standard input carries the image alone")),
        Source::Address(address) => match scheme(address) {
            "ftp" => ftp::Ftp::new(address, silence)?.open(0, None)?.body,
            _ => http::Http::new(address, silence).open(0, None)?.body,
        },
    };
    from.by_ref()
        .take(SMALL + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| super::chunks::problem(e, |e| Problem::failed(format!("can't read `{shown}`")).on(&shown).because(e)))?;
    if bytes.len() as u64 > SMALL {
        return Err(Problem::failed(format!("`{shown}` is too large for what it should be"))
            .on(&shown)
            .because("lists of checksums, signatures and keys are small")
            .hint("name the right one: --checksums LIST, --signature FILE, --key FILE"));
    }
    Ok(bytes)
}

pub(super) fn scheme(address: &str) -> &'static str {
    match address.split(':').next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "ftp" => "ftp",
        "https" => "https",
        _ => "http",
    }
}

/// The text that a key's owner signed, and whose that key is.
fn verified(list: &[u8], signature: Option<&[u8]>, key: &str, scratch: &str, shown: &str) -> Result<(Vec<u8>, String)> {
    let path = printable(key, 300);
    let key = small(&Source::File(key.to_owned()), 0)?;
    if key.starts_with(b"untrusted comment:") {
        return signify(list, signature, &key, shown).map(|text| (text, format!("the signify key {path}")));
    }
    openpgp(list, signature, &key, scratch, shown).map(|text| (text, format!("the OpenPGP key {path}")))
}

fn bad_signature(shown: &str, why: &str) -> Problem {
    Problem::failed(format!("the signature of `{shown}` is not good"))
        .on(shown)
        .because(why)
        .hint("nothing was fetched by it; is it the key of this release (--key FILE)? the list may have been changed on its way")
}

/// Signify's files: a comment, then base64 of `Ed`, eight bytes that name the key, and the key or signature.
fn signify_block<const N: usize>(text: &[u8]) -> Option<([u8; 8], [u8; N], &[u8])> {
    let end = text.iter().position(|b| *b == b'\n')?;
    let behind = &text[end + 1..];
    let end = behind.iter().position(|b| *b == b'\n').unwrap_or(behind.len());
    if !text.starts_with(b"untrusted comment:") {
        return None;
    }
    let bytes = STANDARD.decode(behind[..end].trim_ascii()).ok()?;
    let (number, rest) = bytes.strip_prefix(b"Ed")?.split_first_chunk::<8>()?;
    Some((*number, rest.try_into().ok()?, behind.get(end + 1..).unwrap_or_default()))
}

fn signify(list: &[u8], signature: Option<&[u8]>, key: &[u8], shown: &str) -> Result<Vec<u8>> {
    let (number, key, _) = signify_block::<32>(key).ok_or_else(|| {
        Problem::usage("the key is no good signify key").hint("a public key is two lines: a comment, and base64 that begins with RW")
    })?;
    let (signer, bytes, inside) =
        signify_block::<64>(signature.unwrap_or(list)).ok_or_else(|| bad_signature(shown, "there is no signify signature"))?;
    if signer != number {
        return Err(bad_signature(shown, "another key signed it"));
    }
    let message = if signature.is_some() { list } else { inside };
    let key = ed25519_dalek::VerifyingKey::from_bytes(&key).map_err(|_| bad_signature(shown, "the key is none"))?;
    key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&bytes))
        .map_err(|_| bad_signature(shown, "the key does not fit the text and its signature"))?;
    Ok(message.to_vec())
}

fn openpgp(list: &[u8], signature: Option<&[u8]>, key: &[u8], scratch: &str, shown: &str) -> Result<Vec<u8>> {
    let ring =
        binary(key).ok_or_else(|| Problem::usage("the key is no good OpenPGP key").hint("export it with `gpg --export KEY > FILE`"))?;
    let at = |name: &str| format!("{scratch}/{name}");
    let (ring_path, list_path, signature_path) = (at("key.gpg"), at("list"), at("list.sig"));
    let mut made = vec![(&ring_path, ring.as_slice()), (&list_path, list)];
    made.extend(signature.map(|bytes| (&signature_path, bytes)));
    let result = (|| {
        for (path, bytes) in &made {
            crate::apply::write_private_bytes(path, bytes)?;
        }
        let cmd = match signature {
            Some(_) => Cmd::new("gpgv", ["--status-fd", "2", "--homedir", scratch, "--keyring", &ring_path, &signature_path, &list_path]),
            None => Cmd::new("gpgv", ["--status-fd", "2", "--homedir", scratch, "--keyring", &ring_path, "--output", "-", &list_path]),
        };
        let output = run::run(&cmd)?;
        judged(&output.stderr).map_err(|why| bad_signature(shown, &why))?;
        Ok(if signature.is_some() { list.to_vec() } else { output.stdout.into_bytes() })
    })();
    for (path, _) in made {
        let _ = std::fs::remove_file(path);
    }
    result
}

/// What `gpgv` says of all signatures, in the lines that are made for programs. Of several signers one that the key knows is
/// enough, if none is bad.
fn judged(status: &str) -> std::result::Result<(), String> {
    let lines = || status.lines().filter_map(|line| line.trim().strip_prefix("[GNUPG:] ")).map(|line| line.split(' ').collect::<Vec<_>>());
    let word = |word: &str| lines().find(|line| line.first() == Some(&word));
    let id = |line: &[&str]| printable(line.get(1).copied().unwrap_or("unknown"), 60);
    for (bad, what) in [
        ("BADSIG", "it does not fit the text: the text was changed"),
        ("REVKEYSIG", "its key was revoked"),
        ("EXPKEYSIG", "its key has expired"),
        ("EXPSIG", "it has expired"),
    ] {
        if let Some(line) = word(bad) {
            return Err(format!("{what} (key {})", id(&line)));
        }
    }
    match (word("VALIDSIG"), word("ERRSIG").or_else(|| word("NO_PUBKEY"))) {
        (Some(_), _) => Ok(()),
        (None, Some(line)) => Err(format!("it was made by the key {}, which is not in the key file", id(&line))),
        (None, None) => Err("there is no OpenPGP signature".to_owned()),
    }
}

/// The key as bytes, out of its armour if it wears one.
fn binary(key: &[u8]) -> Option<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(key) else { return Some(key.to_vec()) };
    // There may be several, one after the other.
    let mut all = Vec::new();
    for block in text.split("-----BEGIN PGP PUBLIC KEY BLOCK-----").skip(1) {
        let lines = block.lines().map(str::trim).skip(1);
        let body: String = lines.skip_while(|l| !l.is_empty()).take_while(|l| !l.starts_with("-----END") && !l.starts_with('=')).collect();
        all.extend(STANDARD.decode(body).ok()?);
    }
    Some(all).filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};

    fn block(comment: &str, number: u8, bytes: &[u8]) -> Vec<u8> {
        let body = [&b"Ed"[..], &[number; 8], bytes].concat();
        format!("untrusted comment: {comment}\n{}\n", STANDARD.encode(body)).into_bytes()
    }

    #[test]
    fn signify_signs_inside_and_beside() {
        let secret = SigningKey::from_bytes(&[7; 32]);
        let public = block("public key", 1, secret.verifying_key().as_bytes());
        let list = b"SHA256 (install.img) = 00\n";
        let signature = block("verify with x.pub", 1, &secret.sign(list).to_bytes());
        assert_eq!(signify(list, Some(&signature), &public, "l").unwrap(), list);
        let inside = [signature.as_slice(), list].concat();
        assert_eq!(signify(&inside, None, &public, "l").unwrap(), list);
        let changed = [signature.as_slice(), b"SHA256 (install.img) = 01\n"].concat();
        assert!(signify(&changed, None, &public, "l").unwrap_err().causes[0].contains("does not fit"));
        let other = block("public key", 2, secret.verifying_key().as_bytes());
        assert!(signify(&inside, None, &other, "l").unwrap_err().causes[0].contains("another key"));
        assert!(signify(list, None, &public, "l").is_err());
        assert_eq!(signify(list, None, b"untrusted comment: x\nnonsense\n", "l").unwrap_err().code.exit_code(), 2);
    }

    #[test]
    fn one_good_signer_of_several_is_enough_and_a_bad_one_is_not() {
        let good = "[GNUPG:] GOODSIG 1 x\n[GNUPG:] VALIDSIG ABC 2026-01-01\n";
        assert_eq!(judged(good), Ok(()));
        assert_eq!(judged(&format!("gpgv: x\n[GNUPG:] ERRSIG 77 1 2\n[GNUPG:] NO_PUBKEY 77\n{good}")), Ok(()));
        assert!(judged("[GNUPG:] ERRSIG 77 1 2\n").unwrap_err().contains("77"));
        assert!(judged(&format!("{good}[GNUPG:] BADSIG 9 y\n")).unwrap_err().contains("changed"));
        assert!(judged("[GNUPG:] EXPKEYSIG 9 y\n[GNUPG:] VALIDSIG 9\n").unwrap_err().contains("expired"));
        assert!(judged("gpgv: Good signature\n").is_err());
    }

    #[test]
    fn armour_is_taken_off() {
        let armoured = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: x\n\nAQID\nBA==\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n";
        assert_eq!(binary(armoured).unwrap(), [1, 2, 3, 4]);
        assert_eq!(binary(&[&armoured[..], armoured].concat()).unwrap(), [1, 2, 3, 4, 1, 2, 3, 4]);
        assert_eq!(binary(b"nonsense"), None);
        assert_eq!(binary(&[0x99, 0xff]).unwrap(), [0x99, 0xff]);
    }
}
