//! Lists of checksums: `HASH  name` and `HASH *name` as GNU's tools print them, `SHA256 (name) = HASH` as BSD's do, a
//! hash alone in a file of its own, and any of these inside a signed text.
//!
//! Not here: whether the list is to be trusted (chyves-host `import`).

use super::{Hash, HashKind};
use crate::error::{Problem, Result};
use crate::value::printable;

/// The hash of the file `name` in a list; the strongest where there are several.
///
/// # Errors
/// The list does not have it, or has two different ones of one sort.
pub fn find(list: &str, name: &str) -> Result<Hash> {
    let shown = printable(name, 120);
    let mut found: Option<Hash> = None;
    let mut entries = 0;
    let mut alone = Vec::new();
    for line in list.lines().map(str::trim) {
        let Some((hash, file)) = entry(line) else {
            alone.extend(Hash::bare(line));
            continue;
        };
        entries += 1;
        // Some lists name files in folders: `./name`, `images/name`.
        if file.rsplit('/').next() != Some(name) {
            continue;
        }
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
    // A file beside the image may hold its hash and nothing else.
    if let ([only], 0) = (&alone[..], entries) {
        return Ok(only.clone());
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

/// One line: a hash and the file it is of.
fn entry(line: &str) -> Option<(Hash, &str)> {
    // SHA256 (name) = 0123…
    if let Some((kind, rest)) = line.split_once(" (") {
        let kind = HashKind::read(kind)?;
        let (name, hex) = rest.rsplit_once(") = ")?;
        return Some((Hash::new(kind, hex.trim())?, name));
    }
    // 0123…  name, 0123… *name
    let (hex, name) = line.split_once([' ', '\t'])?;
    let name = name.trim_start();
    let name = name.strip_prefix('*').unwrap_or(name);
    Hash::bare(hex).filter(|_| !name.is_empty()).map(|hash| (hash, name))
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
            assert_eq!(find(&list, "disk.img").unwrap().to_string(), format!("sha256:{a}"), "{list}");
        }
        let both = format!("SHA512 (disk.img) = {b}\nSHA256 (disk.img) = {a}\nMD5 (disk.img) = {}\n", "c".repeat(32));
        assert_eq!(find(&both, "disk.img").unwrap().kind, HashKind::Sha512);
        let signed = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n# Fedora\nSHA256 (disk (1).img) = {a}\n-----BEGIN PGP SIGNATURE-----\nabc\n"
        );
        assert_eq!(find(&signed, "disk (1).img").unwrap().hex, a);
    }

    #[test]
    fn a_list_without_it_or_against_itself_is_refused() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        assert!(find("", "x").unwrap_err().causes[0].contains("no checksums"));
        assert!(find("<!doctype html>\n", "x").is_err());
        assert!(find(&format!("{a}  xx\n"), "x").unwrap_err().causes[0].contains("1 others"));
        assert!(find(&format!("{a}  x\n{b}  x\n"), "x").unwrap_err().message.contains("two different"));
        // One hash alone is this file's only where nothing else is said.
        assert!(find(&format!("{a}\n{b}\n"), "x").is_err());
        assert!(find(&format!("{a}  y\n{b}\n"), "x").is_err());
    }
}
