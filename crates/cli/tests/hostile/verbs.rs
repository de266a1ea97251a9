//! That no verb is missing: each is run for real on hostile files, or it is stated why not.

use super::rows::{DRIVE, FIRMWARE, GUEST, IMAGE, IMAGE_LIFE, LIFE, LOADER, RUN};
use crate::common::Host;
use std::collections::BTreeSet;

/// Verbs that are in no row, and why.
const ABSENT: &[(&str, &str)] = &[
    ("completions", "reads nothing"),
    ("version", "reads nothing"),
    ("dev errors", "reads nothing"),
    ("dev facts", "reads the host"),
    ("dev schema", "reads nothing"),
    ("dev properties", "reads nothing"),
    ("dev trace", "runs another verb"),
    ("dev unpack", "reads a file that an administrator names, with the decoders of an import: images_trust"),
    ("image import", "fills a dataset of its own; what it reads is an administrator's: images_trust"),
    ("image fetch", "as `image import`; the part of an interrupted download is opened as a file of an image is"),
    ("image catalogue", "reads and writes files of the host's own state folder: images_signed"),
    ("network list", "is about the host's interfaces"),
    ("network check", "is about the host's interfaces"),
    ("network plan", "is about the host's interfaces"),
    ("network apply", "is about the host's interfaces"),
    ("network confirm", "is about the host's interfaces"),
    ("network attach", "is about the host's interfaces"),
    ("network detach", "is about the host's interfaces"),
    ("network private", "is about the host's interfaces"),
    ("network default", "is about the host's interfaces"),
    ("network delete", "is about the host's interfaces"),
    ("network nat", "is about the host's interfaces"),
    ("network move", "changes a setting as `network set` does; it needs a bridge"),
    ("network join", "changes a setting as `network set` does; it needs a bridge"),
    ("network unjoin", "changes a setting as `network set` does; it needs a bridge"),
    ("network migrate", "changes a setting as `network set` does; it needs bridges"),
    ("pool init", "opens no file of a guest"),
    ("pool list", "opens no file of a guest"),
    ("pool promote", "opens no file of a guest"),
    ("pool offline", "opens no file of a guest"),
    ("pool online", "opens no file of a guest"),
    ("pool remove", "refuses a pool with guests"),
    ("pool upgrade", "writes the copy of the settings as `set` does; it needs a pool of an older layout"),
    ("reclaim", "opens no file of a guest: it removes what dead VMs left in the runtime folder, and unmounts"),
    ("reset", "opens no file of a guest: it resets the VM"),
    ("_launch-spec", "prints what a supervisor starts next, as `start` plans it"),
    ("_let-go", "unmounts an image; `stop` runs it"),
    ("_put-away", "opens no file of a guest"),
    ("_restore", "`start` with revert_to_snapshot runs it; its copying is that of `snapshot rollback`"),
    ("_go-back", "is about the host's interfaces"),
];

/// The table of verbs in the source, hidden ones included.
const TABLE: &str = include_str!("../../src/command/verbs.rs");

/// Each verb of the first level, and whether verbs are below it.
fn top() -> Vec<(&'static str, bool)> {
    let entry = |line: &'static str| {
        let (word, rest) = line.trim().strip_prefix('"')?.split_once("\" is ")?;
        // Whom it is about, then what it is.
        Some((word, rest.split(' ').nth(1)?.starts_with("noun")))
    };
    TABLE.lines().filter_map(entry).collect()
}

/// Every verb, with its noun where it is below one. `iso` and `firmware` have the verbs of `image`, which they are counted as.
fn all(host: &Host) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for (word, is_noun) in top() {
        if !is_noun {
            all.insert(word.to_owned());
            continue;
        }
        let help = host.ok(&format!("{word} --help")).out;
        let (_, listed) = help.split_once("Commands:\n").unwrap();
        // Lines of a long description are indented further.
        let below = listed.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.strip_prefix("  "));
        let below: Vec<&str> = below.filter(|line| !line.starts_with(' ')).filter_map(|line| line.split(' ').next()).collect();
        assert!(below.len() > 1, "{word}: {help}");
        for verb in below.into_iter().filter(|verb| *verb != "help") {
            let noun = if matches!(word, "iso" | "firmware") && verb != "reset" { "image" } else { word };
            all.insert(format!("{noun} {verb}"));
        }
    }
    all
}

/// The verb of a line; none where it only plans.
fn verb<'a>(line: &str, all: &'a BTreeSet<String>) -> Option<&'a str> {
    let line = line.trim_start_matches('!');
    let words: Vec<&str> = line.split("; ").next()?.split(' ').collect();
    if words.contains(&"-n") {
        return None;
    }
    [2, 1].iter().find_map(|count| all.get(&words.get(..*count)?.join(" "))).map(String::as_str)
}

/// Checks that every verb has a row or a reason, and not both.
pub fn check(host: &Host) {
    let all = all(host);
    let rows = [GUEST, IMAGE, FIRMWARE, LOADER].into_iter().flatten().flat_map(|row| row.commands);
    let lines = rows.chain(LIFE).chain(IMAGE_LIFE).chain(RUN).chain(DRIVE);
    let attacked: BTreeSet<&str> = lines.filter_map(|line| verb(line, &all)).collect();
    let absent: BTreeSet<&str> = ABSENT.iter().map(|(verb, _)| *verb).collect();
    let missing: Vec<_> = all.iter().filter(|verb| !attacked.contains(verb.as_str()) && !absent.contains(verb.as_str())).collect();
    assert!(missing.is_empty(), "no row attacks these, and no reason is stated (tests/hostile): {missing:?}");
    let both: Vec<_> = absent.intersection(&attacked).collect();
    assert!(both.is_empty(), "these have a row, so they need no reason: {both:?}");
    let gone: Vec<_> = absent.iter().filter(|verb| !all.contains(**verb)).collect();
    assert!(gone.is_empty(), "these are no verbs any more: {gone:?}");
}
