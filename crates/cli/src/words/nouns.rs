//! A noun and what follows it: the omitted verb, guests before it, and the forms of the manual of 2016.

use super::table::{Options, below, is_below};
use super::{aliases, meant, position, strs};
use crate::command::verbs;
use chyves_core::error::{Problem, Result, nearest};
use chyves_core::value::{RESERVED, printable};

/// The verbs of `firmware` that act on guests; all others act on images.
const FIRMWARE_VERBS: &[&str] = &["reset"];

/// The problem that a word after a noun is neither one of its verbs nor a possible guest name.
fn no_verb(noun: &str, word: &str, verbs: &[&str]) -> Problem {
    let shown = printable(word, 40);
    let near = aliases::lacking(noun, word).map(str::to_owned).or_else(|| meant(word, verbs, false));
    Problem::usage(format!("`{noun}` has no verb `{shown}`")).on(&shown).hint_if(near).hint(format!("its verbs: {}", verbs.join(", ")))
}

/// The verbs of a noun that has no default verb, as `image`, `pool` and `trash`.
fn verbs_of(noun: &str) -> Option<clap::Command> {
    verbs::alone(noun).filter(|command| command.has_subcommands() && verbs::usual(noun).is_none())
}

/// `web01 snapshot rollback @a` → `snapshot rollback web01@a`, and so on.
pub(super) fn guests_first(mut argv: Vec<String>, first: usize, verb: usize) -> Vec<String> {
    let mut guests: Vec<String> = argv.drain(first..verb).collect();
    let mut behind = first + 1;
    let is_verb = |word: &String| match argv[first].as_str() {
        "firmware" => FIRMWARE_VERBS.contains(&word.as_str()),
        noun => is_below(noun, word) || aliases::alias(word, false).is_some_and(|verb| is_below(noun, verb)),
    };
    if argv.get(behind).is_some_and(is_verb) {
        behind += 1;
    }
    // `web01 snapshot @before`: in the normalised order the guest and the snapshot are one word.
    if matches!(argv[first].as_str(), "snapshot" | "clone" | "send") {
        // `--from @base` names another snapshot.
        let options = Options::of(&argv[first]);
        let is_value = |at: usize| argv.get(at.wrapping_sub(1)).is_some_and(|w| options.take_next(w));
        let is_name = |(at, w): &(usize, &String)| w.starts_with('@') && !is_value(behind + at);
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

/// Inserts the default verb of a noun without a verb.
///
/// # Errors
/// A word after the noun is neither its verb nor a possible guest name.
pub(super) fn nouns(mut argv: Vec<String>, first: usize) -> Result<Vec<String>> {
    let noun = argv[first].clone();
    let options = Options::of(&noun);
    if let (Some(verbs), Some(at)) = (below(&noun), position(&argv, first + 1, &options)) {
        let verbs = strs(&verbs);
        // `snapshot rm web@a`, `disk ls`: aliases that are verbs of the noun.
        let alias = aliases::alias(&argv[at], false).filter(|verb| is_below(&noun, verb));
        // `network rm web01 net0` removes a network interface of a guest, `network rm bridge0` a bridge.
        let of_guest = noun == "network"
            && alias == Some("delete")
            && position(&argv, at + 1, &options).is_some_and(|guest| position(&argv, guest + 1, &options).is_some());
        let alias = if of_guest { Some("remove") } else { alias };
        if let (Some(verb), false) = (alias, is_below(&noun, &argv[at])) {
            verb.clone_into(&mut argv[at]);
        }
        let word = argv[at].as_str();
        let other = position(&argv, at + 1, &options).is_some_and(|next| is_below(&noun, &argv[next]));
        let known = matches!(word, "all" | "help" | "guest" | "default") || is_below(&noun, word);
        if !known && !other && RESERVED.contains(&word) {
            return Err(no_verb(&noun, word, &verbs));
        }
    } else if let (Some(verbs), Some(at)) = (verbs_of(&noun), position(&argv, first + 1, &options)) {
        let has = |word: &str| verbs.find_subcommand(word).is_some();
        let word = argv[at].as_str();
        // `image ls`, `pool rm`: an alias is a verb of the noun, or the noun's own word for it.
        let alias = aliases::alias(word, false).filter(|_| !has(word));
        let own = alias.and_then(|alias| [alias, "remove"].into_iter().find(|verb| has(verb) && (*verb == alias || alias == "delete")));
        if let Some(verb) = own {
            verb.clone_into(&mut argv[at]);
        } else if !has(word) && (alias.is_some() || aliases::lacking(&noun, word).is_some()) {
            let names: Vec<&str> = verbs.get_subcommands().filter(|c| !c.is_hide_set()).map(clap::Command::get_name).collect();
            return Err(no_verb(&noun, word, &names));
        }
    }
    if argv[first] == "snapshot" {
        let next = argv.get(first + 1).map(String::as_str);
        let asks = next.is_none_or(|w| w == "-h" || w == "--help" || w == "help" || is_below("snapshot", w));
        // `snapshot rolback web@a` is a misspelt verb; a guest alone may have any name.
        let slip = next.is_some_and(|w| !w.contains(['@', ',']) && nearest(w, strs(&below("snapshot").unwrap_or_default())).is_some());
        // So is `snapshot revert web@a`: two new snapshots of which only the second is named are unlikely.
        let slip = slip
            || next.is_some_and(|w| !w.contains(['@', ',']))
                && argv.iter().skip(first + 2).any(|w| !w.starts_with(['-', '@']) && w.contains('@'));
        let alone = argv[first + 1..].iter().filter(|w| !w.starts_with('-')).count() < 2;
        if !asks && (alone || !slip) {
            insert_usual(&mut argv, first);
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
        // `snapshot rollback web01 before`: these verbs need a snapshot for every guest.
        if matches!(argv.get(first + 1).map(String::as_str), Some("rollback" | "delete" | "diff"))
            && let Some(guest) = position(&argv, first + 2, &options)
            && let Some(name) = position(&argv, guest + 1, &options)
            && position(&argv, name + 1, &options).is_none()
            && !argv[guest].contains('@')
            && !argv[name].contains(['@', ','])
        {
            let name = argv.remove(name);
            argv[guest] = format!("{}@{name}", argv[guest]);
        }
    }
    // `web01 console tmux` is the form of 2016; `console tmux` alone could name a guest.
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
    if argv[first] == "firmware"
        && let [guest, verb] = next_two(&argv, first)
        && verb.is_some_and(|at| FIRMWARE_VERBS.contains(&argv[at].as_str()))
    {
        // `firmware web01 reset` as well as `firmware reset web01`.
        swap(&mut argv, guest, verb);
    }
    if argv[first] == "cloud-init"
        && let [Some(guest), verb] = next_two(&argv, first)
        && !is_verb(&argv, first, Some(guest))
        && argv[guest] != "help"
    {
        // `cloud-init web01 show` as well as `cloud-init show web01`.
        if is_verb(&argv, first, verb) {
            swap(&mut argv, Some(guest), verb);
        } else {
            insert_usual(&mut argv, first);
        }
    }
    Ok(argv)
}

/// The indices of the next two words after a noun that are not options.
fn next_two(argv: &[String], noun: usize) -> [Option<usize>; 2] {
    let options = Options::of(&argv[noun]);
    let one = position(argv, noun + 1, &options);
    [one, one.and_then(|at| position(argv, at + 1, &options))]
}

/// Whether the word at an index is a verb of the noun.
fn is_verb(argv: &[String], noun: usize, at: Option<usize>) -> bool {
    at.is_some_and(|at| is_below(&argv[noun], &argv[at]))
}

/// Exchanges two words.
fn swap(argv: &mut [String], one: Option<usize>, other: Option<usize>) {
    if let (Some(one), Some(other)) = (one, other) {
        argv.swap(one, other);
    }
}

/// Whether help is requested.
fn asks_for_help(argv: &[String], one: Option<usize>) -> bool {
    argv.iter().any(|w| w == "-h" || w == "--help") || one.is_some_and(|at| argv[at] == "help")
}

/// Inserts the default verb of `network`, whose verb may also follow a bridge or a guest: `network bridge0 attach em0`.
fn network(argv: &mut Vec<String>, first: usize) {
    let [one, two] = next_two(argv, first);
    if is_verb(argv, first, one) || asks_for_help(argv, one) {
        return;
    }
    // `network guest web01 add tap` is the form of the manual of 2016.
    if let Some(at) = one.filter(|at| argv[*at] == "guest") {
        argv.remove(at);
        network(argv, first);
    } else if is_verb(argv, first, two) {
        swap(argv, one, two);
    } else if one.is_none() {
        insert_usual(argv, first);
    }
}

/// Inserts the default verb of `disk`, whose verb may also follow the guest. In 2016 a text could follow the disk's name.
fn disk(argv: &mut Vec<String>, first: usize) {
    let [one, two] = next_two(argv, first);
    if one.is_none() || is_verb(argv, first, one) || asks_for_help(argv, one) {
        return;
    }
    if is_verb(argv, first, two) {
        swap(argv, one, two);
        return;
    }
    let third = two.and_then(|at| position(argv, at + 1, &Options::of(&argv[first])));
    let Some(at) = third.filter(|at| argv[*at] == "description" || argv[*at] == "notes") else {
        insert_usual(argv, first);
        return;
    };
    // `web01 disk disk0 description the first one`
    let key = argv[at].clone();
    let (options, text): (Vec<String>, Vec<String>) = argv.drain(at..).skip(1).partition(|w| w.starts_with('-') && w.len() > 1);
    argv.push(format!("{key}={}", text.join(" ")));
    argv.extend(options);
    argv.insert(first + 1, "set".to_owned());
}

/// Inserts the default verb after its noun.
fn insert_usual(argv: &mut Vec<String>, noun: usize) {
    if let Some(verb) = verbs::usual(&argv[noun]) {
        argv.insert(noun + 1, verb.to_owned());
    }
}
