//! Explains an unknown command line on which guests are named: only this part of the words reads the host, and only after
//! the words alone had no meaning.

use super::{Options, position};
use chyves_core::error::Problem;
use chyves_core::guest::Guest;
use chyves_core::value::printable;
use chyves_host::runtime::Runtime;

/// Maximum number of guests that a hint names.
const NAMED: usize = 5;

/// The problem with an unknown command line, with what the guests of this host add to it.
pub(crate) fn explained(problem: Problem, argv: &[String]) -> Problem {
    let options = Options::of_all();
    let next = |at: &usize| position(argv, at + 1, &options);
    let words: Vec<&str> = std::iter::successors(position(argv, 1, &options), next).map(|at| argv[at].as_str()).take(2).collect();
    match chyves_engine::present::guests(&Runtime::from_env()) {
        Some(guests) => with(problem, &words, &guests),
        // The command line is wrong with or without guests.
        None => problem,
    }
}

fn with(mut problem: Problem, words: &[&str], guests: &[Guest]) -> Problem {
    let named = |word: &str| guests.iter().find(|guest| guest.name.as_str() == word);
    match *words {
        [word] => {
            if let Some(guest) = named(word) {
                let (name, state) = (&guest.name, guest.shown_state());
                let acts = if guest.state.is_alive() {
                    format!("`chyves console {name}` opens its serial console, `chyves stop {name}` asks it to power off")
                } else {
                    format!("`chyves start {name}` starts it")
                };
                let mut all = vec![format!("`chyves info {name}` shows it; {acts}")];
                all.append(&mut problem.hints);
                return Problem {
                    message: format!("`{name}` is a guest ({state}), and there is no command beside it"),
                    hints: all,
                    ..problem
                };
            }
            let begin = |guest: &&Guest| word.len() >= 2 && guest.name.as_str().starts_with(word);
            let found: Vec<&str> = guests.iter().filter(begin).map(|guest| guest.name.as_str()).collect();
            if !found.is_empty() {
                let more = if found.len() > NAMED { format!(" and {} more", found.len() - NAMED) } else { String::new() };
                let listed = found[..found.len().min(NAMED)].join(", ");
                let hint = format!(
                    "guests whose names begin with `{}`: {listed}{more}; `chyves info {}` shows one",
                    printable(word, 40),
                    found[0]
                );
                problem.hints.insert(0, hint);
            }
            problem
        }
        [one, other] => {
            let (guest, command) = match (named(one), named(other)) {
                (Some(guest), None) => (guest, other),
                (None, Some(guest)) => (guest, one),
                _ => return problem,
            };
            let hints = problem.hints.iter().map(|hint| hint.replace("GUEST", guest.name.as_str())).collect();
            Problem { message: format!("unknown command `{}`", printable(command, 40)), hints, ..problem }
        }
        _ => problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chyves_core::error::Kind;
    use chyves_core::guest::RunState;
    use chyves_core::property::settings::{OwnValues, Settings};
    use chyves_core::value::{Dataset, Size};

    fn guest(name: &str) -> Guest {
        let dataset: Dataset = format!("tank/chyves/guests/{name}").parse().unwrap();
        Guest {
            name: name.parse().unwrap(),
            root: "tank/chyves".parse().unwrap(),
            uuid: uuid::Uuid::nil(),
            settings: Settings::new(OwnValues::new(), Vec::new()),
            used: Size::default(),
            origin: None,
            mounted: false,
            mountpoint: None,
            home: None,
            canmount: None,
            readonly: false,
            guid: None,
            foreign: None,
            state: RunState::Stopped,
            dataset,
        }
    }

    fn shown(words: &[&str], hint: &str) -> Problem {
        with(Problem::usage("unknown").hint(hint), words, &[guest("web01"), guest("web02")])
    }

    #[test]
    fn a_guest_is_not_taken_for_an_unknown_command() {
        let alone = shown(&["web01"], "rest");
        assert_eq!(alone.code, Kind::Usage);
        assert!(alone.message.starts_with("`web01` is a guest (stopped)") && alone.hints[0].contains("`chyves start web01`"), "{alone:?}");
        let begun = shown(&["web"], "rest");
        assert!(begun.hints[0].contains("web01, web02") && begun.hints[1] == "rest", "{begun:?}");
        for words in [["web01", "ssh"], ["ssh", "web01"]] {
            let problem = shown(&words, "`chyves info GUEST` shows");
            assert_eq!((problem.message.as_str(), problem.hints[0].as_str()), ("unknown command `ssh`", "`chyves info web01` shows"));
        }
        for words in [&["mail"][..], &["mail", "frob"], &["web01", "web02"]] {
            assert_eq!(shown(words, "rest"), Problem::usage("unknown").hint("rest"), "{words:?}");
        }
    }
}
