//! Two word orders become one: `chyves web01 start` is `chyves start web01`, and a noun without a verb gets its usual
//! one. Both always work because no guest may bear a command's name.

mod aliases;

use chyves_core::error::{Kind, Problem, Result, nearest};
use chyves_core::value::RESERVED;
use chyves_core::value::printable;

pub(crate) use aliases::meant;

/// Commands that stand alone or take other things than guests.
const HOST_VERBS: &[&str] =
    &["doctor", "help", "image", "iso", "list", "pool", "receive", "repair", "trash", "version", "completions", "dev"];

/// Commands that take guests, and so may follow them.
const GUEST_VERBS: &[&str] = &[
    "adopt",
    "clone",
    "cloud-init",
    "console",
    "create",
    "delete",
    "disk",
    "eject",
    "firmware",
    "get",
    "info",
    "insert",
    "move",
    "network",
    "promote",
    "reclaim",
    "rename",
    "reset",
    "send",
    "set",
    "snapshot",
    "start",
    "stop",
    "undelete",
    "unset",
];

/// The verbs below the noun `snapshot`; the first is meant where none is given.
const SNAPSHOT_VERBS: &[&str] = &["create", "list", "delete", "diff", "rollback"];

/// The verbs below the noun `disk`; the first is meant where none is given.
const DISK_VERBS: &[&str] = &["list", "add", "remove", "delete", "resize", "sync", "set", "move"];

/// The verbs below the noun `network`; the first is meant where none is given.
const NETWORK_VERBS: &[&str] = &[
    "list", "check", "plan", "apply", "confirm", "attach", "detach", "private", "default", "delete", "set", "add", "remove", "move",
    "migrate", "join", "unjoin", "nat",
];
/// The verbs below the noun `cloud-init`; the first is meant where none is given.
const CLOUD_INIT_VERBS: &[&str] = &["status", "show", "set", "reinit"];

/// The verbs below the noun `firmware` that are about guests; all others are about images.
const FIRMWARE_VERBS: &[&str] = &["reset"];

/// Options whose value is the next word.
const WITH_VALUE: &[&str] = &[
    "-o",
    "-s",
    "-S",
    "-k",
    "--host",
    "--facts",
    "--pool",
    "--image",
    "--size",
    "--iso",
    "--from",
    "--incremental-for",
    "--name",
    "--hash",
    "--checksums",
    "--key",
    "--signature",
    "--vars",
    "--max-size",
    "--member",
    "--timeout",
    "--retries",
    "--like",
    "--os",
    "--ssh-key",
    "--user",
    "--hostname",
    "--user-data",
    "--vendor-data",
    "--network-config",
    "--password-file",
    "--port",
];

/// Every word that a command line may begin with.
pub(crate) fn commands() -> impl Iterator<Item = &'static str> {
    HOST_VERBS.iter().chain(GUEST_VERBS).copied()
}

/// The verb of words in that order.
pub(crate) fn verb(canonical: &[String]) -> Option<&str> {
    position(canonical, 1).map(|at| canonical[at].as_str())
}

/// The words with the verb first.
///
/// # Errors
/// Neither the first word nor one behind it is a command.
pub(crate) fn canonical(mut argv: Vec<String>) -> Result<Vec<String>> {
    let Some(first) = position(&argv, 1) else { return Ok(argv) };
    if let Some(command) = aliases::alias(&argv[first], position(&argv, first + 1).is_none()) {
        command.clone_into(&mut argv[first]);
    }
    let word = argv[first].as_str();
    if word.starts_with('_') || commands().any(|c| c == word) {
        return nouns(argv, first);
    }
    // Guests first: everything up to the verb goes behind it.
    let mut at = first;
    while let Some(next) = position(&argv, at + 1) {
        if let Some(command) = aliases::alias(&argv[next], false) {
            command.clone_into(&mut argv[next]);
        }
        if GUEST_VERBS.contains(&argv[next].as_str()) {
            return nouns(guests_first(argv, first, next), first);
        }
        if !looks_like_guests(&argv[at]) {
            break;
        }
        at = next;
    }
    Err(unknown(&argv[first..]))
}

/// The verbs below a noun that this module knows.
fn verbs_below(noun: &str) -> Option<&'static [&'static str]> {
    match noun {
        "snapshot" => Some(SNAPSHOT_VERBS),
        "disk" => Some(DISK_VERBS),
        "network" => Some(NETWORK_VERBS),
        "cloud-init" => Some(CLOUD_INIT_VERBS),
        _ => None,
    }
}

/// A word behind a noun where a verb or a guest's name may stand, which no guest may bear and which is no verb of it.
fn no_verb(noun: &str, word: &str, verbs: &[&str]) -> Problem {
    let shown = printable(word, 40);
    let attach = "`chyves disk add GUEST --attach PATH` attaches a file, a device or a volume".to_owned();
    let near = if (noun, word) == ("disk", "attach") { Some(attach) } else { meant(word, verbs, false) };
    Problem::usage(format!("`{noun}` has no verb `{shown}`")).on(&shown).hint_if(near).hint(format!("its verbs: {}", verbs.join(", ")))
}

/// Whether the verb of a noun was left out, so that `canonical` has the usual one of it: whatever was taken for a guest's name may
/// be a verb with a slip.
pub(crate) fn is_implied(typed: &[String], canonical: &[String]) -> bool {
    let noun = position(canonical, 1);
    let usual = noun.and_then(|at| verbs_below(&canonical[at])).and_then(|verbs| verbs.first());
    let (Some(noun), Some(usual)) = (noun, usual) else { return false };
    let is_usual = |word: &String| word == usual || aliases::alias(word, false) == Some(usual);
    // `web01@before` is no verb.
    let could_be_verb = |word: &&String| !word.starts_with('-') && !word.contains('@') && verbs_below(word).is_none();
    canonical.get(noun + 1).is_some_and(|verb| verb == usual)
        && !typed.iter().skip(1).any(is_usual)
        && typed.iter().skip(1).any(|word| could_be_verb(&word))
}

/// What is said of a word that was taken for a guest's name beside a noun, and is none.
pub(crate) fn neither(typed: &[String], problem: Problem) -> Problem {
    // What is no bridge has its own words.
    if problem.code != Kind::NotFound || !problem.message.starts_with("no guest") {
        return problem;
    }
    let Some((noun, verbs)) = typed.iter().skip(1).take(3).find_map(|word| Some((word, verbs_below(word)?))) else { return problem };
    let guest = |word: &&String| problem.object.as_deref() == Some(word.split(['@', ',']).next().unwrap_or_default());
    match typed.iter().skip(1).find(guest).map(String::as_str) {
        // Where a verb was typed the word is a guest's name, but for one that stands in the verb's place.
        Some(word)
            if !word.contains(['@', ','])
                && (!typed.iter().skip(1).any(|w| verbs.contains(&w.as_str()))
                    || typed.windows(2).any(|two| two[0] == *noun && two[1] == word)) =>
        {
            let shown = printable(word, 40);
            Problem { message: format!("`{shown}` is neither a guest nor a verb of `{noun}`; nothing was done"), ..problem }
                .hint_if(meant(word, verbs, false))
                .hint(format!("the verbs of `{noun}`: {}", verbs.join(", ")))
        }
        _ => problem,
    }
}

/// Whether a word in the place of a verb of `network` is more likely a bridge or a guest than a verb with a slip.
pub(crate) fn could_be_bridge(word: &str) -> bool {
    word.parse::<chyves_core::value::IfName>().is_ok() && !NETWORK_VERBS.iter().any(|verb| aliases::slipped(word, verb))
}

/// The place of the next word at or behind `from` that is no option.
fn position(argv: &[String], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(word) = argv.get(at) {
        if WITH_VALUE.contains(&word.as_str()) {
            at += 2;
        } else if word.starts_with('-') {
            at += 1;
        } else {
            return Some(at);
        }
    }
    None
}

fn looks_like_guests(word: &str) -> bool {
    !word.contains('=')
}

/// `web01 snapshot rollback @a` → `snapshot rollback web01@a`, and so on.
fn guests_first(mut argv: Vec<String>, first: usize, verb: usize) -> Vec<String> {
    let mut guests: Vec<String> = argv.drain(first..verb).collect();
    let mut behind = first + 1;
    if argv[first] == "snapshot" && argv.get(behind).is_some_and(|w| SNAPSHOT_VERBS.contains(&w.as_str())) {
        behind += 1;
    }
    if argv[first] == "disk" && argv.get(behind).is_some_and(|w| DISK_VERBS.contains(&w.as_str())) {
        behind += 1;
    }
    let below: &[(&str, &[&str])] = &[("network", NETWORK_VERBS), ("cloud-init", CLOUD_INIT_VERBS), ("firmware", FIRMWARE_VERBS)];
    let own = below.iter().find(|(noun, _)| *noun == argv[first]).map_or(&[][..], |(_, verbs)| verbs);
    if argv.get(behind).is_some_and(|w| own.contains(&w.as_str())) {
        behind += 1;
    }
    // `web01 snapshot @before`: the guest and the snapshot are one word in the canonical order.
    if matches!(argv[first].as_str(), "snapshot" | "clone" | "send") {
        // `--from @base` names another snapshot.
        let option_s = |at: usize| argv.get(at.wrapping_sub(1)).is_some_and(|w| WITH_VALUE.contains(&w.as_str()));
        let is_name = |(at, w): &(usize, &String)| w.starts_with('@') && !option_s(behind + at);
        let names: Vec<String> = argv[behind..].iter().enumerate().filter(is_name).map(|(_, w)| w.clone()).collect();
        if let ([guest], false) = (&guests[..], names.is_empty()) {
            guests = names.iter().map(|n| format!("{guest}{n}")).collect();
            let tail: Vec<String> = argv.drain(behind..).filter(|w| !names.contains(w)).collect();
            argv.extend(tail);
        }
    }
    argv.splice(behind..behind, guests);
    argv
}

/// Puts in the verb that a noun without one means.
///
/// # Errors
/// A word behind the noun is neither its verb nor can it be a guest's name.
fn nouns(mut argv: Vec<String>, first: usize) -> Result<Vec<String>> {
    if let (Some(verbs), Some(at)) = (verbs_below(&argv[first]), position(&argv, first + 1)) {
        // `snapshot rm web@a`, `disk ls`: the verb that the noun has of these.
        let alias = aliases::alias(&argv[at], false).filter(|verb| verbs.contains(verb));
        if let (Some(verb), false) = (alias, verbs.contains(&argv[at].as_str())) {
            verb.clone_into(&mut argv[at]);
        }
        let word = argv[at].as_str();
        let other = position(&argv, at + 1).is_some_and(|next| verbs.contains(&argv[next].as_str()));
        let known = matches!(word, "all" | "help" | "guest" | "default") || verbs.contains(&word);
        if !known && !other && RESERVED.contains(&word) {
            return Err(no_verb(&argv[first], word, verbs));
        }
    } else if matches!(argv[first].as_str(), "image" | "iso" | "firmware" | "pool" | "trash")
        && let Some(verb) =
            argv.get(first + 1).and_then(|word| aliases::alias(word, false)).filter(|verb| matches!(*verb, "list" | "delete"))
    {
        verb.clone_into(&mut argv[first + 1]);
    }
    if argv[first] == "snapshot" {
        let next = argv.get(first + 1).map(String::as_str);
        let asks = next.is_none_or(|w| w == "-h" || w == "--help" || w == "help" || SNAPSHOT_VERBS.contains(&w));
        // `snapshot rolback web@a` means a verb; a guest alone may have any name.
        let slip = next.is_some_and(|w| !w.contains(['@', ',']) && nearest(w, SNAPSHOT_VERBS.iter().copied()).is_some());
        // So does `snapshot revert web@a`: who names a snapshot behind a word without one means more than two new snapshots.
        let slip = slip
            || next.is_some_and(|w| !w.contains(['@', ',']))
                && argv.iter().skip(first + 2).any(|w| !w.starts_with(['-', '@']) && w.contains('@'));
        let alone = argv[first + 1..].iter().filter(|w| !w.starts_with('-')).count() < 2;
        if !asks && (alone || !slip) {
            argv.insert(first + 1, SNAPSHOT_VERBS[0].to_owned());
        }
        // `snapshot rollback web01 @before` as well as `web01@before`.
        if let [.., guest, name] = &argv[first..]
            && name.starts_with('@')
            && !guest.starts_with('-')
            && !guest.contains('@')
        {
            let joined = format!("{guest}{name}");
            argv.truncate(argv.len() - 2);
            argv.push(joined);
        }
        // `snapshot rollback web01 before`: these verbs take no guest without a snapshot.
        if matches!(argv.get(first + 1).map(String::as_str), Some("rollback" | "delete" | "diff"))
            && let Some(guest) = position(&argv, first + 2)
            && let Some(name) = position(&argv, guest + 1)
            && position(&argv, name + 1).is_none()
            && !argv[guest].contains('@')
            && !argv[name].contains(['@', ','])
        {
            let name = argv.remove(name);
            argv[guest] = format!("{}@{name}", argv[guest]);
        }
    }
    // `web01 console tmux` is how it was written in 2016; alone the word could be a guest's name.
    if let [console, _, .., tmux] = &mut argv[first..]
        && console == "console"
        && tmux == "tmux"
    {
        tmux.insert_str(0, "--");
    }
    if argv[first] == "disk" {
        disk(&mut argv, first);
    }
    if argv[first] == "network" {
        network(&mut argv, first);
    }
    if argv[first] == "firmware" && argv.get(first + 2).is_some_and(|w| FIRMWARE_VERBS.contains(&w.as_str())) {
        // `firmware web01 reset` as well as `firmware reset web01`.
        argv.swap(first + 1, first + 2);
    }
    if argv[first] == "cloud-init" {
        let is_verb = |at: usize| argv.get(at).is_some_and(|w| CLOUD_INIT_VERBS.contains(&w.as_str()));
        let asks = argv.get(first + 1).is_none_or(|w| w.starts_with('-') || w == "help");
        if !asks && !is_verb(first + 1) {
            // `cloud-init web01 show` as well as `cloud-init show web01`.
            if is_verb(first + 2) {
                argv.swap(first + 1, first + 2);
            } else {
                argv.insert(first + 1, CLOUD_INIT_VERBS[0].to_owned());
            }
        }
    }
    Ok(argv)
}

/// The same for `network`, whose verb may also stand behind a bridge or a guest: `network bridge0 attach em0`.
fn network(argv: &mut Vec<String>, first: usize) {
    let is_verb = |at: usize| argv.get(at).is_some_and(|w| NETWORK_VERBS.contains(&w.as_str()));
    let asks = |at: usize| argv.get(at).is_some_and(|w| w == "-h" || w == "--help" || w == "help");
    if is_verb(first + 1) || asks(first + 1) {
        return;
    }
    // `network guest web01 add tap` is how the manual of 2016 wrote it.
    if argv.get(first + 1).is_some_and(|w| w == "guest") {
        argv.remove(first + 1);
        network(argv, first);
    } else if is_verb(first + 2) {
        argv.swap(first + 1, first + 2);
    } else if argv.get(first + 1).is_none_or(|w| w.starts_with('-')) {
        argv.insert(first + 1, NETWORK_VERBS[0].to_owned());
    }
}

/// The same for `disk`, whose verb may also stand behind the guest, and which in 2016 had a text behind the disk's name.
fn disk(argv: &mut Vec<String>, first: usize) {
    let is_verb = |at: usize| argv.get(at).is_some_and(|w| DISK_VERBS.contains(&w.as_str()));
    let asks = argv.get(first + 1).is_none_or(|w| w.starts_with('-') || w == "help");
    if asks || is_verb(first + 1) {
        return;
    }
    if is_verb(first + 2) {
        argv.swap(first + 1, first + 2);
        return;
    }
    let Some(key) = argv.get(first + 3).filter(|w| *w == "description" || *w == "notes").cloned() else {
        argv.insert(first + 1, DISK_VERBS[0].to_owned());
        return;
    };
    // `web01 disk disk0 description the first one`
    let (options, text): (Vec<String>, Vec<String>) = argv.drain(first + 3..).skip(1).partition(|w| w.starts_with('-') && w.len() > 1);
    argv.push(format!("{key}={}", text.join(" ")));
    argv.extend(options);
    argv.insert(first + 1, "set".to_owned());
}

fn unknown(words: &[String]) -> Problem {
    let word = &words[0];
    let shown = printable(word, 40);
    let second = words.get(1).filter(|w| !w.starts_with('-'));
    let known: Vec<&str> = commands().chain(aliases::all()).collect();
    let near = meant(word, &known, true).or_else(|| meant(second?, &known, true));
    let problem = match second {
        Some(second) => Problem::usage(format!("neither `{shown}` nor `{}` is a command", printable(second, 40))),
        None => Problem::usage(format!("`{shown}` is not a command")),
    };
    problem.on(&shown).hint_if(near).hint("`chyves help` shows the commands; a guest's name may precede or follow one")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(line: &str) -> String {
        let argv = std::iter::once("chyves").chain(line.split(' ')).map(str::to_owned).collect();
        match canonical(argv) {
            Ok(words) => words[1..].join(" "),
            Err(problem) => format!("! {} | {}", problem.message, problem.hints.join(" | ")),
        }
    }

    #[test]
    fn both_orders_are_one() {
        for (typed, meant) in [
            ("start web01", "start web01"),
            ("web01 start", "start web01"),
            ("web01 send @b --from @a", "send web01@b --from @a"),
            ("web01 send --from @a", "send web01 --from @a"),
            ("web01 web02 start", "start web01 web02"),
            ("a,b stop --force", "stop a,b --force"),
            ("all stop", "stop all"),
            ("-n web01 start", "-n start web01"),
            ("--host freebsd web01 start -n", "--host freebsd start web01 -n"),
            ("web01 get ram -H", "get web01 ram -H"),
            ("web01 set ram=1G", "set web01 ram=1G"),
            ("web01 clone web02,web03", "clone web01 web02,web03"),
            ("web01 clone @before web02", "clone web01@before web02"),
            ("web01 snapshot @before", "snapshot create web01@before"),
            ("web01 snapshot", "snapshot create web01"),
            ("snapshot web01@before", "snapshot create web01@before"),
            ("snapshot web01 @before", "snapshot create web01@before"),
            ("web01 snapshot rollback @before", "snapshot rollback web01@before"),
            ("snapshot rollback web01 @before", "snapshot rollback web01@before"),
            ("snapshot rollback web01@before", "snapshot rollback web01@before"),
            ("web01 snapshot list", "snapshot list web01"),
            ("snapshot rolback web@a", "snapshot rolback web@a"),
            ("snapshot revert web@a", "snapshot revert web@a"),
            ("snapshot rolbak", "snapshot create rolbak"),
            ("snapshot", "snapshot"),
            ("web01 disk add 8G", "disk add web01 8G"),
            ("disk add web01 8G", "disk add web01 8G"),
            ("disk web01 add 8G", "disk add web01 8G"),
            ("web01 disk resize disk0 16G", "disk resize web01 disk0 16G"),
            ("web01 disk delete disk0", "disk delete web01 disk0"),
            ("web01 disk disk0 description the first one", "disk set web01 disk0 description=the first one"),
            ("web01 disk disk0 notes old -n", "disk set web01 disk0 notes=old -n"),
            ("web01 disk", "disk list web01"),
            ("web01 disk list", "disk list web01"),
            ("web01 console", "console web01"),
            ("web01,web02 console tmux", "console web01,web02 --tmux"),
            ("console tmux", "console tmux"),
            ("web01 cloud-init", "cloud-init status web01"),
            ("cloud-init web01 show", "cloud-init show web01"),
            ("web01 cloud-init show user-data", "cloud-init show web01 user-data"),
            ("web01 firmware reset", "firmware reset web01"),
            ("a,b firmware reset -n", "firmware reset a,b -n"),
            ("firmware web01 reset", "firmware reset web01"),
            ("firmware reset web01", "firmware reset web01"),
            ("firmware list -H", "firmware list -H"),
            ("disk", "disk"),
            ("disk list -H", "disk list -H"),
            ("-n web01 disk remove disk1", "-n disk remove web01 disk1"),
            ("network", "network list"),
            ("network list -H", "network list -H"),
            ("network attach bridge0 em0", "network attach bridge0 em0"),
            ("network bridge0 attach em0", "network attach bridge0 em0"),
            ("network bridge0 private", "network private bridge0"),
            ("network bridge0 unjoin tap5", "network unjoin bridge0 tap5"),
            ("network bridge0 migrate bridge1", "network migrate bridge0 bridge1"),
            ("network web01 add tap7 bridge1", "network add web01 tap7 bridge1"),
            ("network guest add web01 tap", "network add web01 tap"),
            ("network guest web01 remove net1", "network remove web01 net1"),
            ("web01 network add vale0:1", "network add web01 vale0:1"),
            ("-n network bridge0 set mtu=9000", "-n network set bridge0 mtu=9000"),
            ("pool init tank", "pool init tank"),
            ("create web01 --image tiny", "create web01 --image tiny"),
            ("web01 create --size 8G", "create web01 --size 8G"),
            ("--version", "--version"),
        ] {
            assert_eq!(order(typed), meant, "{typed}");
        }
    }

    #[test]
    fn unknown_words_get_the_nearest_command() {
        assert!(order("strat web01").contains("did you mean `start`?"), "{}", order("strat web01"));
        assert!(order("web01 strat").contains("did you mean `start`?"), "{}", order("web01 strat"));
        assert!(order("frobnicate").starts_with("! `frobnicate` is not a command"));
    }

    #[test]
    fn a_verb_that_was_left_out_is_known() {
        let words = |line: &str| std::iter::once("chyves").chain(line.split(' ')).map(str::to_owned).collect::<Vec<_>>();
        let implied = |line: &str| is_implied(&words(line), &canonical(words(line)).unwrap());
        for line in ["snapshot frobnicate web01", "web01 snapshot", "disk frobnicate", "web01 disk", "cloud-init web01"] {
            assert!(implied(line), "{line}");
        }
        for line in [
            "snapshot create web01",
            "disk list",
            "disk ls web01",
            "web01 disk list",
            "snapshot web01@x,web02@x",
            "disk",
            "snapshot rollback web01@a",
            "start web01",
        ] {
            assert!(!implied(line), "{line}");
        }
    }

    #[test]
    fn no_guest_may_bear_a_command_s_word() {
        let below = SNAPSHOT_VERBS.iter().chain(DISK_VERBS).chain(NETWORK_VERBS).chain(CLOUD_INIT_VERBS).chain(FIRMWARE_VERBS);
        for word in commands().chain(below.copied()) {
            assert!(word.parse::<chyves_core::value::GuestName>().is_err(), "{word} could be a guest");
        }
    }
}
