//! Checks the suggestions for every word that is similar to a verb.

use super::*;
use clap::CommandFactory;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[test]
fn a_slip_is_offered_the_command_that_was_meant() {
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
    for word in ["de", "deb", "devs", "dex", "dv", "edv"] {
        assert!(!meant(word).contains("`dev`"), "{word}: {}", meant(word));
    }
    for word in ["removed", "recieved", "frobnicate", "rollbacks", "infos", "lists", "gets"] {
        let hint = meant(word);
        let ends = ENDING.iter().any(|ends| hint == format!("did you mean `{ends}`?"));
        assert!(!ends || ENDING.iter().any(|ends| slipped(word, ends)), "{word}: {hint}");
    }
}

/// The candidates at each place: in place of a command, and after each noun.
fn places() -> Vec<(String, Vec<String>, bool)> {
    let mut root = crate::command::Cli::command();
    root.build();
    let visible = |c: &clap::Command| {
        let below = c.get_subcommands().filter(|c| !c.is_hide_set());
        below.map(|c| c.get_name().to_owned()).collect::<Vec<_>>()
    };
    let mut places = vec![(String::new(), super::super::commands().chain(all()).map(str::to_owned).collect(), true)];
    let mut nouns: Vec<&clap::Command> = root.get_subcommands().filter(|c| c.get_name() != "help").collect();
    while let Some(noun) = nouns.pop() {
        places.push((noun.get_name().to_owned(), visible(noun), false));
        nouns.extend(noun.get_subcommands().filter(|c| c.get_name() != "help"));
    }
    places.retain(|(_, words, _)| !words.is_empty());
    places
}

#[test]
fn every_verb_has_its_weight() {
    // The verbs that change something and remove nothing; every verb must be in exactly one of the lists.
    let changing = "add adopt attach catalogue clone cloud-init confirm create default disk fetch firmware image import init insert \
                    iso join migrate move nat network online pool promote rename repair resize send set snapshot start sync trace \
                    trash undelete undo unpack update";
    let changing: Vec<&str> = changing.split_whitespace().collect();
    let lists = |word: &str| [READING, ENDING, &changing[..]].iter().filter(|list| list.contains(&word)).count();
    let all = places().into_iter().flat_map(|(noun, words, top)| words.into_iter().map(move |word| (noun.clone(), word, top)));
    let typed = all.filter(|(_, word, top)| !top || named(word).is_none() && alias(word, true).is_none());
    let odd: Vec<String> = typed.filter(|(_, word, _)| lists(word) != 1).map(|(noun, word, _)| format!("{noun} {word}")).collect();
    assert!(odd.is_empty(), "{odd:?}");
}

/// Every string that differs from a word by one slip.
fn slipped_once(word: &str) -> BTreeSet<String> {
    let letters: Vec<char> = word.chars().collect();
    let mut all = BTreeSet::new();
    for at in 0..=letters.len() {
        let (front, back) = letters.split_at(at);
        let mut add = |parts: &[&[char]]| all.insert(parts.concat().iter().collect::<String>());
        for letter in ('a'..='z').chain(['-']) {
            add(&[front, &[letter], back]);
            add(&[front, &[letter], back.get(1..).unwrap_or_default()]);
        }
        add(&[front, back.get(1..).unwrap_or_default()]);
        if let [first, second, rest @ ..] = back {
            add(&[front, &[*second, *first], rest]);
        }
    }
    all
}

/// Checks that the suggestion for a word does not do more than another likely candidate.
#[track_caller]
fn does_not_cross(typed: &str, words: &[&str], top: bool) {
    if words.contains(&typed) {
        return;
    }
    let Some(offered) = nearest_of(typed, words, top) else { return };
    for meant in words.iter().filter(|meant| !top || !UNOFFERED.contains(meant)) {
        let slips = super::slips(typed, meant);
        // A short word at two slips, which leave no similarity, gives way to one at a single slip.
        let given_way = slips == 2 && meant.len() < 5 && (slipped(typed, offered) || offered.starts_with(typed));
        assert!(
            slips > 2 || weight(offered, top) <= weight(meant, top) || given_way,
            "`{typed}` may have meant `{meant}`, and `{offered}` is offered"
        );
    }
}

#[test]
fn no_slip_of_a_verb_is_offered_one_that_does_more() {
    for (_, words, top) in places() {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        // All words for which a suggestion is made because of a slip or a beginning.
        let begun = words.iter().flat_map(|w| (3..w.len()).map(|to| w[..to].to_owned()));
        for typed in words.iter().flat_map(|w| slipped_once(w)).chain(begun).collect::<BTreeSet<_>>() {
            does_not_cross(&typed, &words, top);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The same for suggestions that are made because of similarity.
    #[test]
    fn nor_are_two_slips(place: prop::sample::Index, word: prop::sample::Index, one: prop::sample::Index, two: prop::sample::Index) {
        static PLACES: std::sync::LazyLock<Vec<(String, Vec<String>, bool)>> = std::sync::LazyLock::new(places);
        let (_, words, top) = place.get(&PLACES);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let word: &&str = word.get(&words);
        let once = slipped_once(word).into_iter().collect::<Vec<_>>();
        let one: &String = one.get(&once);
        let twice = slipped_once(one).into_iter().collect::<Vec<_>>();
        let two: &String = two.get(&twice);
        does_not_cross(two, &words, *top);
    }
}

#[test]
fn words_of_other_programs_lead_to_what_they_mean() {
    for (word, hints) in [
        ("restart", &["chyves stop GUEST`, then"][..]),
        ("restore", &["chyves snapshot rollback", "chyves undelete"]),
        ("poweroff", &["`chyves stop GUEST` asks"]),
        ("destroy", &["chyves stop GUEST --now", "chyves delete GUEST"]),
        ("top", &["chyves list"]),
        ("upgrade", &["`chyves pool upgrade POOL`"]),
        ("init", &["`chyves pool init POOL`"]),
        ("ssh", &["`chyves info GUEST`", "`chyves console GUEST`"]),
    ] {
        let hint = meant(word, &[], true).unwrap_or_default();
        assert!(hints.iter().all(|h| hint.contains(h)), "{word}: {hint}");
    }
    let stands = [("ls", "list"), ("rm", "delete"), ("show", "info"), ("shutdown", "stop"), ("status", "info"), ("del", "delete")];
    assert!(stands.iter().all(|(word, command)| alias(word, false) == Some(command)));
}
