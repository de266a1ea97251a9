//! Words of other programs: those that mean a command of chyves stand for it, the others name it. And what an unknown word may
//! have meant.
//!
//! A suggestion is typed without much thought, so it never leads from a word that reads to one that changes something, nor to one
//! that ends or removes something unless it is that word with one slip.

use chyves_core::error::nearest;

/// Words that stand for a command.
const ALIASES: &[(&str, &str)] = &[("ls", "list"), ("rm", "delete"), ("show", "info"), ("shutdown", "stop")];

/// Words that have no one meaning here, with what to type.
const NAMED: &[(&str, &str)] = &[
    ("restart", "to reboot a guest: `chyves stop GUEST`, then `chyves start GUEST`; `chyves reset GUEST` presses its reset button"),
    ("reboot", "to reboot a guest: `chyves stop GUEST`, then `chyves start GUEST`; `chyves reset GUEST` presses its reset button"),
    ("restore", "`chyves snapshot rollback GUEST@SNAPSHOT` rolls back to a snapshot, `chyves undelete GUEST` restores a deleted guest"),
    ("poweroff", "`chyves stop GUEST` asks a guest to power off, `chyves stop GUEST --now` powers it off forcibly"),
    ("destroy", "`chyves stop GUEST --now` powers a guest off forcibly, `chyves delete GUEST` moves it to the trash"),
    ("kill", "`chyves stop GUEST --now` powers a guest off forcibly"),
    ("top", "`chyves list` shows the guests and their states"),
    ("ps", "`chyves list` shows the guests and their states"),
    (
        "log",
        "`chyves console GUEST` shows the serial console with its log; the files are in the folder that `chyves info GUEST` shows, in logs/",
    ),
    (
        "logs",
        "`chyves console GUEST` shows the serial console with its log; the files are in the folder that `chyves info GUEST` shows, in logs/",
    ),
    ("halt", "`chyves stop GUEST` asks a guest to power off, `chyves stop GUEST --now` powers it off forcibly"),
    ("down", "`chyves stop GUEST` asks a guest to power off"),
    ("up", "`chyves start GUEST` starts a guest"),
    ("run", "`chyves start GUEST` starts a guest, `chyves start GUEST --foreground` stays with it"),
    ("pause", "guests are not paused; `chyves stop GUEST` powers one off"),
    ("suspend", "guests are not suspended; `chyves stop GUEST` powers one off"),
    ("resume", "`chyves start GUEST` starts a guest that is off"),
    ("backup", "`chyves snapshot GUEST@NAME` takes a snapshot, `chyves send GUEST@NAME > FILE` writes a guest to a file"),
    ("export", "`chyves send GUEST@NAME > FILE` writes a guest to a file, which `chyves receive` reads"),
    ("import", "`chyves image import FILE` imports an image, `chyves receive < FILE` a guest"),
    ("fetch", "`chyves image fetch NAME` fetches an image"),
    ("migrate", "`chyves move GUEST --pool POOL` moves a guest to another pool, `chyves send` and `chyves receive` to another host"),
    ("copy", "`chyves clone GUEST NAME` makes a guest from another one"),
    ("cp", "`chyves clone GUEST NAME` makes a guest from another one"),
    ("mv", "`chyves rename GUEST NAME` renames a guest"),
    ("add", "`chyves create GUEST` makes a guest, `chyves disk add GUEST SIZE` a disk, `chyves network add GUEST` a network interface"),
    ("remove", "`chyves delete GUEST` moves a guest to the trash, `chyves disk remove GUEST disk1` a disk"),
    ("plan", "`chyves network plan` shows what the host's networks lack; any command shows its own plan with `--dry-run`"),
    ("apply", "`chyves network apply` makes the host's networks as configured"),
    ("edit", "`chyves set GUEST KEY=VALUE` changes settings, `chyves get GUEST` shows them"),
    ("rollback", "`chyves snapshot rollback GUEST@SNAPSHOT` rolls back to a snapshot"),
    ("attach", "`chyves disk add GUEST --attach PATH` attaches a disk, `chyves network BRIDGE attach INTERFACE` an uplink"),
];

/// Commands and verbs that read and change nothing.
const READING: &[&str] =
    &["check", "completions", "console", "dev", "diff", "doctor", "get", "help", "info", "list", "plan", "show", "status", "version"];

/// Those that end, remove or overwrite something.
const HARD: &[&str] = &[
    "apply", "delete", "destroy", "detach", "eject", "empty", "offline", "receive", "reclaim", "reinit", "remove", "reset", "rollback",
    "stop", "unjoin", "unset", "upgrade",
];

/// The command that a word stands for. `alone`: nothing is named behind it.
pub(super) fn alias(word: &str, alone: bool) -> Option<&'static str> {
    match word {
        "status" => Some(if alone { "list" } else { "info" }),
        _ => ALIASES.iter().find(|(alias, _)| *alias == word).map(|(_, command)| *command),
    }
}

/// Every word that may stand in a command's place, besides the commands.
pub(super) fn all() -> impl Iterator<Item = &'static str> {
    ALIASES.iter().chain(NAMED).map(|(word, _)| *word).chain(["status"])
}

/// What to type instead of a word that means several things here.
pub(super) fn named(word: &str) -> Option<&'static str> {
    NAMED.iter().find(|(known, _)| *known == word).map(|(_, hint)| *hint)
}

/// What an unknown word may have meant, as a hint: one of `candidates`, or at the command's place (`top`) what is [`named`].
pub(crate) fn meant(word: &str, candidates: &[&str], top: bool) -> Option<String> {
    if let (Some(hint), true) = (named(word), top) {
        return Some(hint.to_owned());
    }
    let (read, other): (Vec<&str>, Vec<&str>) = candidates.iter().partition(|c| READING.contains(c));
    let (hard, mut harmless): (Vec<&str>, Vec<&str>) = other.into_iter().partition(|c| HARD.contains(c));
    harmless.extend(NAMED.iter().map(|(word, _)| *word).filter(|_| top));
    let slip = |list: &[&'_ str]| list.iter().position(|c| slipped(word, c));
    let begin = |list: &[&'_ str]| list.iter().position(|c| word.len() >= 3 && c.starts_with(word));
    let near = |list: &[&'_ str]| nearest(word, list.iter().copied()).and_then(|near| list.iter().position(|c| *c == near));
    // What reads comes first, and what ends something is only offered for a slip.
    let found = (slip(&read).or_else(|| begin(&read)).map(|i| read[i]))
        .or_else(|| slip(&harmless).or_else(|| begin(&harmless)).map(|i| harmless[i]))
        .or_else(|| slip(&hard).map(|i| hard[i]))
        .or_else(|| near(&read).map(|i| read[i]))
        .or_else(|| near(&harmless).map(|i| harmless[i]))?;
    Some(named(found).filter(|_| top).map_or_else(|| format!("did you mean `{found}`?"), str::to_owned))
}

/// Whether a word is another with one letter too many, too few, wrong, or two exchanged, behind the same first letter.
pub(super) fn slipped(word: &str, other: &str) -> bool {
    word.len() >= 3 && word.bytes().next() == other.bytes().next() && strsim::osa_distance(word, other) <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suggestion_never_crosses_to_a_harder_verb() {
        let commands: Vec<&str> = super::super::commands().chain(all()).collect();
        let meant = |word: &str| meant(word, &commands, true).unwrap_or_default();
        for (word, hint) in [
            ("restore", "snapshot rollback"),
            ("top", "chyves list"),
            ("stat", "status"),
            ("lst", "list"),
            ("delet", "delete"),
            ("sotp", "stop"),
            ("strat", "start"),
            ("rebot", "chyves reset GUEST"),
            ("destory", "trash"),
            ("snapshto", "snapshot"),
        ] {
            assert!(meant(word).contains(hint), "{word}: {}", meant(word));
        }
        for word in ["rest", "resto", "tops", "stpo", "del", "removed", "recieved", "frobnicate", "rollbacks", "infos", "lists", "gets"] {
            let hint = meant(word);
            let hard = HARD.iter().any(|hard| hint == format!("did you mean `{hard}`?"));
            assert!(!hard || HARD.iter().any(|hard| slipped(word, hard)), "{word}: {hint}");
        }
        // Of every reading word with any one letter gone, none leads to a verb that changes something.
        for word in READING.iter().filter(|w| w.len() > 3) {
            for cut in 1..word.len() {
                let typed = format!("{}{}", &word[..cut], &word[cut + 1..]);
                let hint = meant(&typed);
                let changing = super::super::commands().filter(|c| !READING.contains(c) && *c != typed);
                for command in changing {
                    assert_ne!(hint, format!("did you mean `{command}`?"), "{typed}");
                }
            }
        }
    }
}
