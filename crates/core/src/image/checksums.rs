//! Parses lists of checksums: `HASH  name` and `HASH *name` as GNU tools print them, `SHA256 (name) = HASH` as BSD tools
//! do, a single hash in a separate file, and any of these inside a signed text.
//!
//! Not here: whether the list is trusted (chyves-host `import`).

use super::{Hash, HashKind};
use crate::error::{Problem, Result};
use crate::value::printable;

/// The hash of a file in a list, under any of its names; the strongest one if there are several.
///
/// # Errors
/// The list does not contain it, or contains two different ones of the same kind.
pub fn find(list: &str, names: &[&str]) -> Result<Hash> {
    find_in(list, "", names)
}

/// The same for a list with that file name, which may identify the kind of its hashes if their length does not: BLAKE2b and
/// SHA-512 have the same length.
///
/// # Errors
/// As [`find`].
pub fn find_in(list: &str, list_name: &str, names: &[&str]) -> Result<Hash> {
    let list_name = list_name.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let is_blake2 = ["b2sum", "blake2"].iter().any(|word| list_name.contains(word)) || list_name.rsplit('.').next() == Some("b2");
    let is_sha512 = is_of_sha512(list, &list_name);
    let untagged = |hash: Hash| match hash.kind {
        HashKind::Sha512 if is_blake2 => Said::Unsupported("BLAKE2b".into()),
        HashKind::Sha512 if !is_sha512 => Said::Ambiguous(hash.hex),
        HashKind::Md5 | HashKind::Sha1 | HashKind::Sha256 | HashKind::Sha512 => Said::Hash(hash),
    };
    let shown = printable(names.first().copied().unwrap_or_default(), 120);
    let mut found: Option<Hash> = None;
    let mut entries = 0;
    let mut alone = Vec::new();
    let mut unsupported: Option<String> = None;
    let mut ambiguous: Option<String> = None;
    // Gentoo's DIGESTS files name the kind before each group.
    let mut group: Option<String> = None;
    for line in list.trim_start_matches('\u{feff}').lines().map(|line| line.trim_end_matches('\r').trim()) {
        if let Some(kind) = line.strip_prefix("# ").and_then(|rest| rest.strip_suffix(" HASH")) {
            group = Some(kind.to_owned());
            continue;
        }
        let mut said = manifest(line);
        if said.is_empty() {
            match entry(line) {
                Some((Said::Hash(hash), file)) => said.push(match &group {
                    Some(kind) => (tagged(kind, &hash.hex).unwrap_or_else(|| Said::Unsupported(kind.clone())), file),
                    None if line.contains('(') && line.contains('=') => (Said::Hash(hash), file),
                    None => (untagged(hash), file),
                }),
                Some(other) => said.push(other),
                // A hash without a file name; the list's own name identifies the file.
                None if line.bytes().all(|b| b.is_ascii_hexdigit()) && !line.is_empty() => match (Hash::bare(line), other(line)) {
                    (Some(hash), _) => alone.push(untagged(hash)),
                    (None, Some(kind)) => alone.push(Said::Unsupported(kind.into())),
                    (None, None) => {}
                },
                None => {}
            }
        }
        for (said, file) in said {
            entries += 1;
            // Some lists contain paths: `./name`, `images/name`.
            let is_it = names.iter().any(|name| file == *name || file.rsplit(['/', '\\']).next() == Some(name));
            if !is_it {
                continue;
            }
            let hash = match said {
                Said::Hash(hash) => hash,
                Said::Unsupported(kind) => {
                    unsupported = Some(kind);
                    continue;
                }
                Said::Ambiguous(hex) => {
                    ambiguous = Some(hex);
                    continue;
                }
            };
            match &found {
                Some(before) if before.kind == hash.kind && before.hex != hash.hex => {
                    return Err(Problem::failed(format!("the list of checksums has two different hashes of `{shown}`"))
                        .on(&shown)
                        .because(format!("{before} and {hash}"))
                        .hint("give the right one with --hash"));
                }
                Some(before) if before.kind >= hash.kind => {}
                _ => found = Some(hash),
            }
        }
    }
    // A file beside the image may contain its hash and nothing else.
    if let ([only], 0) = (&alone[..], entries) {
        match only {
            Said::Hash(hash) => return Ok(hash.clone()),
            Said::Unsupported(kind) => unsupported = Some(kind.clone()),
            Said::Ambiguous(hex) => ambiguous = Some(hex.clone()),
        }
    }
    if let (None, Some(hex)) = (&found, ambiguous) {
        return Err(Problem::failed(format!("the list of checksums does not name the kind of hash of `{shown}`"))
            .on(&shown)
            .because("it has 128 digits, as SHA512 and BLAKE2b have, and neither the list nor its name shows which")
            .hint(format!("if it is SHA512: --hash sha512:{hex}, or name the list SHA512SUMS"))
            .hint("if it is BLAKE2b, which is not supported: check the file with `b2sum -c LIST`, and import it without --checksums"));
    }
    if let (None, Some(kind)) = (&found, unsupported) {
        return Err(Problem::failed(format!("the list of checksums has only hashes of `{shown}` that are not supported: {kind}"))
            .on(&shown)
            .because("supported are SHA512, SHA256, SHA1 and MD5")
            .hint("check it yourself, and give its hash with --hash sha256:…: `sha256sum FILE`, `sha256 FILE`"));
    }
    found.ok_or_else(|| {
        let problem = Problem::failed(format!("the list of checksums does not have `{shown}`")).on(&shown);
        match entries {
            0 => problem
                .because("it has no checksums at all")
                .hint("is it the right file? lists are called SHA256SUMS, CHECKSUM, SHA512; --checksums LIST names another"),
            n => problem.because(format!("it has {n} others")).hint("is it the list of this very release? --checksums LIST names another"),
        }
    })
}

/// What a line states about a file.
enum Said {
    Hash(Hash),
    /// A hash of a kind that is not supported.
    Unsupported(String),
    /// The digits of a hash that may be SHA-512 or BLAKE2b.
    Ambiguous(String),
}

/// Whether a list or its name identifies its hashes as SHA-512. The hash algorithm of a signature does not count.
fn is_of_sha512(list: &str, name: &str) -> bool {
    let says = |text: &str| text.contains("sha512") || text.contains("sha-512");
    let digits = |line: &str| line.split([' ', '\t']).next().is_some_and(|word| Hash::bare(word.trim_start_matches('\\')).is_some());
    says(name) || list.lines().filter(|line| !line.starts_with("Hash:") && !digits(line)).any(|line| says(&line.to_ascii_lowercase()))
}

/// Parses one line: a hash and its file.
fn entry(line: &str) -> Option<(Said, String)> {
    // SHA256 (name) = 0123…, as BSD's programs and `--tag` print it; SHA2-256(name)= 0123…, as `openssl dgst` does.
    if let Some((kind, rest)) = line.split_once('(')
        && let Some((name, hex)) = rest.rsplit_once(")= ").or_else(|| rest.rsplit_once(") = "))
        && let Some(said) = tagged(kind.trim(), hex.trim())
    {
        return Some((said, name.to_owned()));
    }
    // A line with an escaped name (containing a backslash or line feed) begins with a backslash.
    let (escaped, line) = line.strip_prefix('\\').map_or((false, line), |line| (true, line));
    let (hex, name) = line.split_once([' ', '\t'])?;
    let name = name.trim_start();
    let name = name.strip_prefix('*').unwrap_or(name);
    if name.is_empty() {
        return None;
    }
    let said = Hash::bare(hex).map(Said::Hash).or_else(|| other(hex).map(|kind| Said::Unsupported(kind.to_owned())))?;
    Some((said, if escaped { unescaped(name) } else { name.to_owned() }))
}

fn tagged(kind: &str, hex: &str) -> Option<Said> {
    let word = kind.to_ascii_lowercase().replace('-', "");
    let word = word
        .strip_prefix("sha2")
        .filter(|digits| matches!(*digits, "256" | "512" | "384" | "224"))
        .map_or(word.clone(), |d| format!("sha{d}"));
    match HashKind::read(&word) {
        Some(kind) => Hash::new(kind, hex).map(Said::Hash),
        None => (hex.len() >= 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())).then(|| Said::Unsupported(printable(kind, 30))),
    }
}

/// The unsupported kind of hash with that number of digits.
fn other(hex: &str) -> Option<&'static str> {
    let kind = match hex.len() {
        56 => "SHA224",
        96 => "SHA384",
        _ => return None,
    };
    hex.bytes().all(|b| b.is_ascii_hexdigit()).then_some(kind)
}

fn unescaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            (c, false) => out.push(c),
        }
    }
    out
}

/// Parses a line of Gentoo's Manifest: `DIST name size BLAKE2B hex SHA512 hex`.
fn manifest(line: &str) -> Vec<(Said, String)> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, name, _, rest @ ..] = words.as_slice() else { return Vec::new() };
    if !matches!(words[0], "DIST" | "DATA" | "MISC" | "AUX") {
        return Vec::new();
    }
    rest.chunks_exact(2).filter_map(|pair| Some((tagged(pair[0], pair[1])?, (*name).to_owned()))).collect()
}

/// Decodes a list: UTF-8 with or without a BOM, or UTF-16 as Windows writes it.
pub fn text(bytes: &[u8]) -> String {
    let wide = |bytes: &[u8], read: fn([u8; 2]) -> u16| {
        String::from_utf16_lossy(&bytes.chunks_exact(2).map(|pair| read([pair[0], pair[1]])).collect::<Vec<_>>())
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes).trim_start_matches('\u{feff}').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_the_strongest_is_taken() {
        let (a, b) = ("a".repeat(64), "b".repeat(128));
        for list in [
            format!("{a}  disk.img\n{a}  other.img\n"),
            format!("{a} *disk.img\r\n"),
            format!("SHA256 (disk.img) = {a}\n"),
            format!("# a comment\n{a}  ./images/disk.img\n"),
            format!("{a}\n"),
        ] {
            assert_eq!(find(&list, &["disk.img"]).unwrap().to_string(), format!("sha256:{a}"), "{list}");
        }
        let both = format!("SHA512 (disk.img) = {b}\nSHA256 (disk.img) = {a}\nMD5 (disk.img) = {}\n", "c".repeat(32));
        assert_eq!(find(&both, &["disk.img"]).unwrap().kind, HashKind::Sha512);
        let signed = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n# Fedora\nSHA256 (disk (1).img) = {a}\n-----BEGIN PGP SIGNATURE-----\nabc\n"
        );
        assert_eq!(find(&signed, &["disk (1).img"]).unwrap().hex, a);
    }

    #[test]
    fn every_form_of_every_tool_is_read() {
        let (a, b) = ("a".repeat(64), "b".repeat(128));
        let of = |list: &str, name: &str| find(list, &[name]).map(|hash| hash.to_string());
        for (list, name) in [
            (format!("\\{a}  a\\\\b.img\n"), "a\\b.img"),
            (format!("{a}  disk (1).img\n"), "disk (1).img"),
            (format!("{a} *disk (x) = y.img\n"), "disk (x) = y.img"),
            (format!("SHA256(disk.img)= {a}\n"), "disk.img"),
            (format!("SHA2-256(./disk.img)= {a}\n"), "disk.img"),
            (format!("\u{feff}{a}  disk.img\r\n"), "disk.img"),
            (format!("{a}  C:\\images\\disk.img\n"), "disk.img"),
        ] {
            assert_eq!(of(&list, name), Ok(format!("sha256:{a}")), "{list}");
        }
        let digests = format!("# BLAKE2B HASH\n{}  disk.img\n# SHA512 HASH\n{b}  disk.img\n", "c".repeat(128));
        assert_eq!(of(&digests, "disk.img"), Ok(format!("sha512:{b}")));
        assert_eq!(of(&format!("DIST disk.img 12 BLAKE2B {} SHA512 {b}\n", "c".repeat(128)), "disk.img"), Ok(format!("sha512:{b}")));
        for list in [
            format!("SHA384 (disk.img) = {}\n", "d".repeat(96)),
            format!("BLAKE2b (disk.img) = {}\n", "d".repeat(128)),
            format!("{}  disk.img", "d".repeat(96)),
        ] {
            assert!(of(&list, "disk.img").unwrap_err().message.contains("not supported"), "{list}");
        }
        // Hashes without a kind are identified by their length, BLAKE2b by the name of its list.
        let why = |list: &str, from: &str| find_in(list, from, &["disk.img"]).unwrap_err().message;
        assert!(why(&format!("{}  disk.img\n", "d".repeat(96)), "SUMS").ends_with("not supported: SHA384"));
        assert!(why(&format!("{}\n", "d".repeat(56)), "disk.img.sha").ends_with("not supported: SHA224"));
        for from in ["B2SUMS", "disk.img.b2", "disk.img.b2sum", "https://h/blake2b.txt"] {
            assert!(why(&format!("{b} *disk.img\n"), from).ends_with("not supported: BLAKE2b"), "{from}");
            assert!(why(&format!("{b}\n"), from).ends_with("not supported: BLAKE2b"), "{from}");
            assert!(find_in(&format!("SHA512 (disk.img) = {b}\n"), from, &["disk.img"]).is_ok(), "{from}");
        }
        for (list, from) in [
            (format!("{b} *disk.img\n"), "SHA512SUMS"),
            (format!("{b}\n"), "https://h/disk.img.sha512"),
            (format!("# SHA-512 of all files\n{b}  disk.img\n"), "SUMS"),
        ] {
            assert!(find_in(&list, from, &["disk.img"]).is_ok(), "{from}");
        }
        // The kind is not stated, or only for the signature, or only in the name of a file.
        for list in [format!("{b}  disk.img\n"), format!("{b}\n"), format!("Hash: SHA512\n\n{b}  disk.img\n{b}  sha512.img\n")] {
            let problem = find_in(&list, "SUMS", &["disk.img"]).unwrap_err();
            assert!(problem.message.contains("does not name the kind"), "{}", problem.message);
            assert!(problem.hints[0].contains(&format!("--hash sha512:{b}")), "{:?}", problem.hints);
        }
        // A link and its target are the same file.
        assert!(find(&format!("{a}  real.img\n"), &["link.img", "real.img"]).is_ok());
        let wide: Vec<u8> = [0xff, 0xfe].into_iter().chain(format!("{a}  disk.img\n").encode_utf16().flat_map(u16::to_le_bytes)).collect();
        assert!(of(&text(&wide), "disk.img").is_ok());
    }

    #[test]
    fn a_list_without_it_or_against_itself_is_refused() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        assert!(find("", &["x"]).unwrap_err().causes[0].contains("no checksums"));
        assert!(find("<!doctype html>\n", &["x"]).is_err());
        assert!(find(&format!("{a}  xx\n"), &["x"]).unwrap_err().causes[0].contains("1 others"));
        assert!(find(&format!("{a}  x\n{b}  x\n"), &["x"]).unwrap_err().message.contains("two different"));
        // A hash without a name belongs to this file only if the list contains nothing else.
        assert!(find(&format!("{a}\n{b}\n"), &["x"]).is_err());
        assert!(find(&format!("{a}  y\n{b}\n"), &["x"]).is_err());
    }
}
