//! Normalises the two word orders: `chyves web01 start` becomes `chyves start web01`, and a noun without a verb gets its
//! default one. This is unambiguous because no guest may have the name of a command.

mod aliases;
mod guests;
mod nouns;
mod places;
mod table;

use crate::command::verbs;
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::value::printable;
use nouns::{guests_first, nouns};

pub(crate) use table::{Options, is_below};

pub(crate) use aliases::{lacking, meant};
pub(crate) use guests::explained;
pub(crate) use places::meant as meant_by_place;

/// Every word with which a command line may begin.
pub(crate) fn commands() -> impl Iterator<Item = &'static str> {
    verbs::words()
}

/// The verb in a normalised command line.
pub(crate) fn verb(canonical: &[String]) -> Option<&str> {
    position(canonical, 1, &Options::of_all()).map(|at| canonical[at].as_str())
}

/// The words with the verb first.
///
/// # Errors
/// Neither the first word nor a later one is a command.
pub(crate) fn canonical(mut argv: Vec<String>) -> Result<Vec<String>> {
    let options = Options::of_all();
    let Some(first) = position(&argv, 1, &options) else { return Ok(argv) };
    if let Some(command) = aliases::alias(&argv[first], position(&argv, first + 1, &options).is_none()) {
        command.clone_into(&mut argv[first]);
    }
    let word = argv[first].as_str();
    if word.starts_with('_') || commands().any(|c| c == word) {
        return nouns(argv, first);
    }
    // Guests first: everything before the verb is moved behind it.
    let mut at = first;
    while let Some(next) = position(&argv, at + 1, &options) {
        if let Some(command) = aliases::alias(&argv[next], false) {
            command.clone_into(&mut argv[next]);
        }
        if verbs::takes_guests(&argv[next]) {
            return nouns(guests_first(argv, first, next), first);
        }
        if !looks_like_guests(&argv[at]) {
            break;
        }
        at = next;
    }
    Err(unknown(&argv[first..]))
}

/// Whether the verb of a noun was omitted, so that `canonical` contains its default one: a word that was taken for a guest's
/// name may be a misspelt verb.
pub(crate) fn is_implied(typed: &[String], canonical: &[String]) -> bool {
    let noun = position(canonical, 1, &Options::of_all());
    let usual = noun.and_then(|at| verbs::usual(&canonical[at]));
    let (Some(noun), Some(usual)) = (noun, usual) else { return false };
    let is_usual = |word: &String| word == usual || aliases::alias(word, false) == Some(usual);
    // `web01@before` cannot be a verb.
    let could_be_verb = |word: &&String| !word.starts_with('-') && !word.contains('@') && verbs::usual(word).is_none();
    canonical.get(noun + 1).is_some_and(|verb| verb == usual)
        && !typed.iter().skip(1).any(is_usual)
        && typed.iter().skip(1).any(|word| could_be_verb(&word))
}

/// Explains a word beside a noun that was taken for a guest's name and is none.
pub(crate) fn neither(typed: &[String], problem: Problem) -> Problem {
    // An unknown bridge has its own message.
    if problem.code != Kind::NotFound || !problem.message.starts_with("no guest") {
        return problem;
    }
    let Some((noun, verbs)) = typed.iter().skip(1).take(3).find_map(|word| Some((word, table::below(word)?))) else { return problem };
    let guest = |word: &&String| problem.object.as_deref() == Some(word.split(['@', ',']).next().unwrap_or_default());
    match typed.iter().skip(1).find(guest).map(String::as_str) {
        // If a verb was typed, the word is a guest's name, except in the verb's place.
        Some(word)
            if !word.contains(['@', ','])
                && (!typed.iter().skip(1).any(|w| table::is_below(noun, w))
                    || typed.windows(2).any(|two| two[0] == *noun && two[1] == word)) =>
        {
            let shown = printable(word, 40);
            Problem { message: format!("`{shown}` is neither a guest nor a verb of `{noun}`; nothing was done"), ..problem }
                .hint_if(meant(word, &strs(&verbs), false))
                .hint(format!("the verbs of `{noun}`: {}", verbs.join(", ")))
        }
        _ => problem,
    }
}

/// Whether a word in place of a verb of `network` is more likely a bridge or a guest than a misspelt verb.
pub(crate) fn could_be_bridge(word: &str) -> bool {
    word.parse::<chyves_core::value::IfName>().is_ok()
        && !table::below("network").unwrap_or_default().iter().any(|verb| aliases::slipped(word, verb))
}

/// Index of the next word at or after `from` that is not an option.
pub(crate) fn position(argv: &[String], from: usize, options: &Options) -> Option<usize> {
    let mut at = from;
    while let Some(word) = argv.get(at) {
        if options.take_next(word) {
            at += 2;
        } else if word.starts_with('-') {
            at += 1;
        } else {
            return Some(at);
        }
    }
    None
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

fn looks_like_guests(word: &str) -> bool {
    !word.contains('=')
}

fn unknown(words: &[String]) -> Problem {
    let word = &words[0];
    let shown = printable(word, 40);
    let second = words.get(1).filter(|w| !w.starts_with('-'));
    let known: Vec<&str> = commands().chain(aliases::all()).collect();
    let near = match second.filter(|second| aliases::named(second).is_some() && aliases::named(word).is_none()) {
        Some(second) => meant(second, &known, true),
        None => meant(word, &known, true).or_else(|| meant(second?, &known, true)),
    };
    // If one of the words is known from other programs, or is a misspelt command, the other one is a guest's name.
    let is_meant = |word: &str| aliases::named(word).is_some() || known.iter().any(|command| aliases::slipped(word, command));
    let problem = match second {
        Some(second) if is_meant(second) && !is_meant(word) => Problem::usage(format!("unknown command `{}`", printable(second, 40))),
        Some(second) if !is_meant(word) => {
            Problem::usage(format!("unknown command: neither `{shown}` nor `{}` is one", printable(second, 40)))
        }
        Some(_) | None => Problem::usage(format!("unknown command `{shown}`")),
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
            ("disk -n web01 add 8G", "disk -n add web01 8G"),
            ("disk --json web01", "disk list --json web01"),
            ("network --json lan attach em0", "network --json attach lan em0"),
            ("network --json", "network list --json"),
            ("web01 send @b --incremental-for tank", "send web01@b --incremental-for tank"),
            ("web01 send @b --incr @a", "send web01@b --incr @a"),
            ("web01 send @b --from=@a", "send web01@b --from=@a"),
            ("--host freebsd -n web01 snapshot create @b", "--host freebsd -n snapshot create web01@b"),
            ("get -Ho value web01 ram", "get -Ho value web01 ram"),
            ("-n --fac facts.json --host freebsd web01 start", "-n --fac facts.json --host freebsd start web01"),
            ("clone -i web01 web02", "clone -i web01 web02"),
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
            ("pool rm tank", "pool remove tank"),
            ("pool ls", "pool list"),
            ("trash ls -H", "trash list -H"),
            ("image rm a", "image delete a"),
            ("image del a", "image delete a"),
            ("snapshot rm web01@a", "snapshot delete web01@a"),
            ("disk rm web01 disk1", "disk delete web01 disk1"),
            ("network rm bridge0", "network delete bridge0"),
            ("network rm web01 net1", "network remove web01 net1"),
            ("web01 network rm net1", "network remove web01 net1"),
            ("del web01", "delete web01"),
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
        assert!(order("frobnicate").starts_with("! unknown command `frobnicate`"));
        for (typed, hint) in [
            ("trash rm web01", "`chyves trash empty GUEST`"),
            ("trash del", "`chyves trash empty GUEST`"),
            ("trash purge web01", "`chyves trash empty GUEST`"),
            ("trash restore web01", "`chyves undelete GUEST`"),
        ] {
            let told = order(typed);
            let verb = typed.split(' ').nth(1).unwrap();
            assert!(told.starts_with(&format!("! `trash` has no verb `{verb}`")) && told.contains(hint), "{told}");
        }
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
    fn every_option_with_a_value_takes_the_next_word() {
        for word in commands().filter(|word| *word != "help") {
            let mut whole = verbs::alone(word).unwrap();
            whole.build();
            for command in std::iter::once(&whole).chain(whole.get_subcommands()) {
                for arg in command.get_arguments().filter(|arg| !arg.is_positional()) {
                    let takes = arg.get_action().takes_values() && !arg.is_require_equals_set();
                    let options = Options::of(word);
                    let long = arg.get_long().map(|l| format!("--{l}"));
                    let short = arg.get_short().map(|s| format!("-{s}"));
                    for option in long.into_iter().chain(short) {
                        assert_eq!(options.take_next(&option), takes, "{word}: {option}");
                    }
                }
            }
        }
    }

    #[test]
    fn no_guest_may_bear_a_command_s_word() {
        let below = commands().filter_map(table::below).flatten();
        for word in commands().map(str::to_owned).chain(below) {
            assert!(word.parse::<chyves_core::value::GuestName>().is_err(), "{word} could be a guest");
        }
    }
}
