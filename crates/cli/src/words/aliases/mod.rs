//! Words of other programs: some are aliases of a command of chyves, others only lead to a hint. Also suggestions for unknown
//! words.
//!
//! A suggestion is often accepted without much thought, so it never names a command that does more than another likely
//! candidate: no change instead of a query, and no removal instead of a change ([`Weight`]).

use chyves_core::error::nearest;

/// Aliases of commands.
const ALIASES: &[(&str, &str)] = &[("ls", "list"), ("rm", "delete"), ("del", "delete"), ("show", "info"), ("shutdown", "stop")];

/// How much a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// It only reads.
    Reads,
    /// It changes something.
    Changes,
    /// It stops, removes or overwrites something.
    Ends,
}

/// Words without a single meaning here, with the weight of the first command in the hint, and the hint.
const NAMED: &[(&str, Weight, &str)] = &[
    (
        "restart",
        Weight::Ends,
        "to reboot a guest: `chyves stop GUEST`, then `chyves start GUEST`; `chyves reset GUEST` presses its reset button",
    ),
    (
        "reboot",
        Weight::Ends,
        "to reboot a guest: `chyves stop GUEST`, then `chyves start GUEST`; `chyves reset GUEST` presses its reset button",
    ),
    (
        "restore",
        Weight::Ends,
        "`chyves snapshot rollback GUEST@SNAPSHOT` rolls back to a snapshot, `chyves undelete GUEST` restores a deleted guest",
    ),
    ("poweroff", Weight::Ends, "`chyves stop GUEST` asks a guest to power off, `chyves stop GUEST --now` powers it off forcibly"),
    ("destroy", Weight::Ends, "`chyves stop GUEST --now` powers a guest off forcibly, `chyves delete GUEST` moves it to the trash"),
    ("kill", Weight::Ends, "`chyves stop GUEST --now` powers a guest off forcibly"),
    ("top", Weight::Reads, "`chyves list` shows the guests and their states"),
    ("ps", Weight::Reads, "`chyves list` shows the guests and their states"),
    (
        "log",
        Weight::Reads,
        "`chyves console GUEST` shows the serial console with its log; the files are in the folder that `chyves info GUEST` shows, in logs/",
    ),
    (
        "logs",
        Weight::Reads,
        "`chyves console GUEST` shows the serial console with its log; the files are in the folder that `chyves info GUEST` shows, in logs/",
    ),
    ("halt", Weight::Ends, "`chyves stop GUEST` asks a guest to power off, `chyves stop GUEST --now` powers it off forcibly"),
    ("down", Weight::Ends, "`chyves stop GUEST` asks a guest to power off"),
    ("up", Weight::Changes, "`chyves start GUEST` starts a guest"),
    ("run", Weight::Changes, "`chyves start GUEST` starts a guest, `chyves start GUEST --foreground` stays with it"),
    ("pause", Weight::Ends, "guests are not paused; `chyves stop GUEST` powers one off"),
    ("suspend", Weight::Ends, "guests are not suspended; `chyves stop GUEST` powers one off"),
    ("resume", Weight::Changes, "`chyves start GUEST` starts a guest that is off"),
    ("backup", Weight::Changes, "`chyves snapshot GUEST@NAME` takes a snapshot, `chyves send GUEST@NAME > FILE` writes a guest to a file"),
    ("export", Weight::Changes, "`chyves send GUEST@NAME > FILE` writes a guest to a file, which `chyves receive` reads"),
    ("import", Weight::Changes, "`chyves image import FILE` imports an image, `chyves receive < FILE` a guest"),
    ("fetch", Weight::Changes, "`chyves image fetch NAME` fetches an image"),
    (
        "migrate",
        Weight::Changes,
        "`chyves move GUEST --pool POOL` moves a guest to another pool, `chyves send` and `chyves receive` to another host",
    ),
    ("copy", Weight::Changes, "`chyves clone GUEST NAME` makes a guest from another one"),
    ("cp", Weight::Changes, "`chyves clone GUEST NAME` makes a guest from another one"),
    ("mv", Weight::Changes, "`chyves rename GUEST NAME` renames a guest"),
    (
        "add",
        Weight::Changes,
        "`chyves create GUEST` makes a guest, `chyves disk add GUEST SIZE` a disk, `chyves network add GUEST` a network interface",
    ),
    ("remove", Weight::Ends, "`chyves delete GUEST` moves a guest to the trash, `chyves disk remove GUEST disk1` a disk"),
    ("plan", Weight::Reads, "`chyves network plan` shows what the host's networks lack; any command shows its own plan with `--dry-run`"),
    ("apply", Weight::Ends, "`chyves network apply` makes the host's networks as configured"),
    ("init", Weight::Changes, "`chyves pool init POOL` sets a pool up for chyves; `zpool list` shows the pools"),
    (
        "upgrade",
        Weight::Ends,
        "`chyves pool upgrade POOL` brings a pool to the present layout of its datasets; packages of the host are upgraded by its package manager",
    ),
    (
        "ssh",
        Weight::Reads,
        "chyves has no SSH client; `chyves info GUEST` shows the addresses of a guest as far as they are known, `chyves console GUEST` opens its serial console",
    ),
    ("edit", Weight::Changes, "`chyves set GUEST KEY=VALUE` changes settings, `chyves get GUEST` shows them"),
    ("rollback", Weight::Ends, "`chyves snapshot rollback GUEST@SNAPSHOT` rolls back to a snapshot"),
    (
        "attach",
        Weight::Changes,
        "`chyves disk add GUEST --attach PATH` attaches a disk, `chyves network BRIDGE attach INTERFACE` an uplink",
    ),
];

/// Verbs that a noun lacks, by noun: those that do something similar there.
const LACKING: &[(&str, &[&str], &str)] = &[
    (
        "trash",
        &["rm", "del", "delete", "remove", "destroy", "clear", "purge"],
        "`chyves trash empty GUEST` destroys a deleted guest for good, `chyves trash empty` everything in the trash",
    ),
    ("trash", &["restore", "undelete", "recover"], "`chyves undelete GUEST` restores a deleted guest"),
    (
        "network",
        &["add-bridge", "create"],
        "`chyves network BRIDGE attach INTERFACE` creates a bridge, `chyves network BRIDGE private` one without an uplink",
    ),
    ("disk", &["attach"], "`chyves disk add GUEST --attach PATH` attaches a file, a device or a volume"),
];

/// The hint for a verb that a noun lacks.
pub(crate) fn lacking(noun: &str, word: &str) -> Option<&'static str> {
    LACKING.iter().find(|(of, words, _)| *of == noun && words.contains(&word)).map(|(.., hint)| *hint)
}

/// Commands and verbs that only read.
const READING: &[&str] = &[
    "check",
    "completions",
    "console",
    "dev",
    "diff",
    "doctor",
    "errors",
    "facts",
    "get",
    "help",
    "info",
    "list",
    "plan",
    "properties",
    "schema",
    "show",
    "status",
    "verify",
    "version",
];

/// Commands and verbs that stop, remove or overwrite something.
const ENDING: &[&str] = &[
    "apply", "delete", "destroy", "detach", "eject", "empty", "offline", "private", "receive", "reclaim", "reinit", "remove", "reset",
    "rollback", "stop", "unjoin", "unset", "upgrade",
];

/// Commands that only developers of chyves need: nobody who mistypes another word means them.
const UNOFFERED: &[&str] = &["dev"];

/// The command for which a word is an alias. `alone`: no argument follows.
pub(super) fn alias(word: &str, alone: bool) -> Option<&'static str> {
    match word {
        "status" => Some(if alone { "list" } else { "info" }),
        _ => ALIASES.iter().find(|(alias, _)| *alias == word).map(|(_, command)| *command),
    }
}

/// Every word that is accepted in place of a command, besides the commands.
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    ALIASES.iter().map(|(word, _)| *word).chain(NAMED.iter().map(|(word, ..)| *word)).chain(["status"])
}

/// The hint for a word that has several meanings here.
pub(super) fn named(word: &str) -> Option<&'static str> {
    NAMED.iter().find(|(known, ..)| *known == word).map(|(.., hint)| *hint)
}

/// How much a candidate does; `top`: in place of a command, where a word may also be one with a hint.
fn weight(word: &str, top: bool) -> Weight {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == word).map_or(word, |(_, command)| *command);
    match NAMED.iter().find(|(known, ..)| *known == word && top) {
        Some((_, weight, _)) => *weight,
        None if READING.contains(&alias) => Weight::Reads,
        None if ENDING.contains(&alias) => Weight::Ends,
        None => Weight::Changes,
    }
}

/// A hint for an unknown word: the nearest of `candidates`, or in place of a command (`top`) also the text of [`named`].
pub(crate) fn meant(word: &str, candidates: &[&str], top: bool) -> Option<String> {
    if let (Some(hint), true) = (named(word), top) {
        return Some(hint.to_owned());
    }
    let found = nearest_of(word, candidates, top)?;
    Some(named(found).filter(|_| top).map_or_else(|| format!("did you mean `{found}`?"), str::to_owned))
}

/// The most likely candidate for an unknown word. Of near candidates those that do least come first, and one that stops or
/// removes something is offered only for a single slip.
fn nearest_of<'a>(word: &str, candidates: &[&'a str], top: bool) -> Option<&'a str> {
    let offerable: Vec<&str> = candidates.iter().copied().filter(|c| !(top && UNOFFERED.contains(c))).collect();
    let candidates = &offerable[..];
    let weight = |c: &str| weight(c, top);
    // The least that any word within that many slips does: nothing that does more is offered.
    let near: Vec<(&str, usize)> = candidates.iter().map(|c| (*c, slips(word, c))).filter(|(_, slips)| *slips <= 2).collect();
    let least =
        |few: fn(&str) -> usize| near.iter().filter(|(c, slips)| *slips <= few(c)).map(|(c, _)| weight(c)).min().unwrap_or(Weight::Ends);
    // In a short word two other letters leave no similarity.
    let (likely, possible) = (least(|c| if c.len() < 5 { 1 } else { 2 }), least(|_| 2));
    let offered = |c: &str, level| level <= likely && weight(c) == level;
    let slip = |level| candidates.iter().copied().find(|c| slipped(word, c) && offered(c, level));
    let begin = |level| candidates.iter().copied().find(|c| word.len() >= 3 && c.starts_with(word) && offered(c, level));
    let alike = |level| if level > possible { None } else { nearest(word, candidates.iter().copied().filter(|c| offered(c, level))) };
    (slip(Weight::Reads).or_else(|| begin(Weight::Reads)))
        .or_else(|| slip(Weight::Changes).or_else(|| begin(Weight::Changes)))
        .or_else(|| slip(Weight::Ends))
        .or_else(|| alike(Weight::Reads))
        .or_else(|| alike(Weight::Changes))
}

/// The number of letters that are superfluous, missing, wrong or exchanged; beyond two it is not counted.
fn slips(word: &str, other: &str) -> usize {
    if word.len().abs_diff(other.len()) > 2 { usize::MAX } else { strsim::osa_distance(word, other) }
}

/// Whether a word differs from another one by a single slip: one letter superfluous, missing or wrong, or two exchanged, after
/// the same first letter.
pub(super) fn slipped(word: &str, other: &str) -> bool {
    word.len() >= 3 && word.bytes().next() == other.bytes().next() && strsim::osa_distance(word, other) <= 1
}

#[cfg(test)]
mod tests;
