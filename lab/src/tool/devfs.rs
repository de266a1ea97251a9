//! devfs(8): `rule -s N add [hide|path PATTERN hide|path PATTERN unhide]`, `rule -s N delset`, `rule -s N show`,
//! `rule showsets`.

use crate::exit::{Done, Or, exit};
use crate::jail;
use crate::place::Place;

pub(crate) fn run(place: &Place, args: &[String]) -> Done {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    if words == ["rule", "showsets"] {
        let mut sets: Vec<u32> = std::fs::read_dir(place.path("rulesets"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        sets.sort_unstable();
        sets.iter().for_each(|set| println!("{set}"));
        return Ok(());
    }
    let ["rule", "-s", set, command, rest @ ..] = &words[..] else { return usage() };
    let Some(set) = set.parse::<u32>().ok().filter(|set| (1..=65_535).contains(set)) else { return usage() };
    if place.host.jailed {
        return exit(1, "devfs: ioctl DEVFSIO_SUSE: Operation not permitted");
    }
    let file = format!("rulesets/{set}");
    match (*command, rest) {
        ("add", ["hide" | "unhide"] | ["path", _, "hide" | "unhide"]) => {
            let mut rules = jail::rules(place, set)?;
            rules.push(rest.join(" "));
            std::fs::create_dir_all(place.path("rulesets")).or_broken("rulesets")?;
            place.write(&file, &(rules.join("\n") + "\n"))
        }
        ("delset", []) => {
            // A set that is not there is empty.
            let _ = std::fs::remove_file(place.path(&file));
            Ok(())
        }
        ("show", []) => {
            for (number, rule) in jail::rules(place, set)?.iter().enumerate() {
                println!("{} {rule}", (number + 1) * 100);
            }
            Ok(())
        }
        _ => usage(),
    }
}

fn usage() -> Done {
    exit(1, "usage: devfs rule [-s ruleset] ...")
}
