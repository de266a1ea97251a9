//! Every command and every long option is in a manual page. What a page describes is the writer's; that nothing is left out is tested.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report
#![allow(clippy::disallowed_methods)] // the files are the project's own

use std::path::Path;
use std::process::Command;

/// Options that no page lists, each with the reason.
const UNLISTED: &[(&str, &str, &str)] = &[];

/// Nouns, verbs and pages: where the commands of a noun are described, if not on the page of the noun itself.
const PAGES: &[(&str, &str)] = &[
    ("cloud-init", "chyves-cloud-init.8"),
    ("console", "chyves-console.8"),
    ("disk", "chyves-disk.8"),
    ("image", "chyves-image.8"),
    ("iso", "chyves-image.8"),
    ("firmware", "chyves-image.8"),
    ("network", "chyves-network.8"),
    ("pool", "chyves-pool.8"),
    ("snapshot", "chyves-snapshot.8"),
    ("send", "chyves-send.8"),
    ("receive", "chyves-send.8"),
    ("start", "chyves-start.8"),
    ("stop", "chyves-start.8"),
    ("reset", "chyves-start.8"),
    ("insert", "chyves-start.8"),
    ("eject", "chyves-start.8"),
    ("reclaim", "chyves-start.8"),
    ("doctor", "chyves.8"),
    ("repair", "chyves.8"),
    ("completions", "chyves.8"),
    ("dev", "chyves.8"),
    ("version", "chyves.8"),
];

/// All other commands are those of guests.
const GUESTS: &str = "chyves-guest.8";

fn page_of(verb: &str) -> &'static str {
    PAGES.iter().find(|(known, _)| *known == verb).map_or(GUESTS, |(_, page)| *page)
}

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../man").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn help(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_chyves")).args(words).arg("--help").output().unwrap();
    assert!(output.status.success(), "{words:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The commands that a help lists below `Commands:`.
fn commands(help: &str) -> Vec<String> {
    let list = help.split_once("\nCommands:\n").map(|(_, rest)| rest.split("\n\n").next().unwrap_or_default()).unwrap_or_default();
    let lines = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    lines.filter_map(|line| line.split_whitespace().next()).filter(|word| *word != "help").map(str::to_owned).collect()
}

/// The long options that a help explains: those that begin a line, behind a short one or none.
fn long_options(help: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in help.lines() {
        let line = line.trim_start();
        let word = line.strip_prefix('-').and_then(|rest| rest.get(1..)).and_then(|rest| rest.strip_prefix(", ")).unwrap_or(line);
        if let Some(option) = word.strip_prefix("--") {
            let end = option.find(|c: char| !c.is_ascii_lowercase() && c != '-').unwrap_or(option.len());
            found.push(option[..end].to_owned());
        }
    }
    found
}

/// A word stands in a page by itself: `from` is not found in `from-trash`.
fn has_word(page: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    page.match_indices(word).any(|(at, _)| {
        let before = &page[..at];
        !part(before.chars().next_back()) && !part(page[at + word.len()..].chars().next())
    })
}

/// An option as mdoc spells it, `Fl -option`, in the text of a literal as `--option`.
fn has_option(page: &str, option: &str) -> bool {
    page.match_indices(&format!("Fl -{option}")).any(|(at, spelled)| {
        let next = page[at + spelled.len()..].chars().next();
        !next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '-')
    }) || page.lines().any(|line| {
        // `.Op Fl -force | -now`: what follows in the same line needs no `Fl`.
        (line.starts_with(".Op") || line.starts_with(".It")) && line.split_whitespace().any(|word| word == format!("-{option}"))
    })
}

#[test]
fn every_command_and_option_is_in_its_page() {
    let top = help(&[]);
    let general = page("chyves.8");
    let everywhere = long_options(&top);
    assert!(everywhere.iter().any(|option| option == "dry-run"), "{everywhere:?}");
    let mut missing = Vec::new();
    let mut check = |words: &[&str], text: &str| {
        let verb = words[0];
        let (name, own) = (page_of(verb), page(page_of(verb)));
        // The last word is the command's own.
        let last = words[words.len() - 1];
        if !has_word(&own, last) {
            missing.push(format!("{name}: no word of `{}`", words.join(" ")));
        }
        for option in long_options(text) {
            let unlisted = UNLISTED.iter().any(|(command, known, _)| *command == words.join(" ") && *known == option);
            if everywhere.contains(&option) || unlisted {
                continue;
            }
            if !has_option(&own, &option) {
                missing.push(format!("{name}: no `--{option}` of `{}`", words.join(" ")));
            }
        }
    };
    for verb in commands(&top) {
        let text = help(&[&verb]);
        for noun in commands(&text) {
            let inner = help(&[&verb, &noun]);
            for word in commands(&inner) {
                check(&[&verb, &noun, &word], &help(&[&verb, &noun, &word]));
            }
            check(&[&verb, &noun], &inner);
        }
        check(&[&verb], &text);
    }
    for option in &everywhere {
        if !has_option(&general, option) && option != "version" {
            missing.push(format!("chyves.8: no `--{option}`"));
        }
    }
    assert!(missing.is_empty(), "{} are missing:\n{}", missing.len(), missing.join("\n"));
}

/// A page that another one names is there, or is one of the system's.
#[test]
fn the_pages_that_pages_name_are_there() {
    let man = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../man");
    let mut missing = Vec::new();
    for entry in std::fs::read_dir(&man).unwrap() {
        let path = entry.unwrap().path();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            for pair in words.windows(3).filter(|pair| pair[0].ends_with("Xr") && pair[1].starts_with("chyves")) {
                if !man.join(format!("{}.{}", pair[1], pair[2])).exists() {
                    missing.push(format!("{}: {}({})", path.display(), pair[1], pair[2]));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn what_is_in_a_help_and_a_page_is_found() {
    let text =
        "Options:\n  -i, --image <IMAGE>\n          Create\n      --trust[=<KEY>]\n  -H\n\nCommands:\n  add  Add\n  help  Print\n\nmore";
    assert_eq!(long_options(text), ["image", "trust"]);
    assert_eq!(commands(text), ["add"]);
    assert!(has_word("disk from-trash add", "add") && !has_word("disk from-trash", "from"));
    assert!(has_option(".Op Fl -force | -now", "now") && has_option(".It Fl f , -foreground", "foreground"));
    assert!(!has_option(".Op Fl -from-trash Ar identity", "from"));
}
