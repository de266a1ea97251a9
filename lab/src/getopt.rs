//! getopt(3) as FreeBSD's libc does it: options end at the first word that is none. Long options, which grub-bhyve and
//! bhyvectl take, are here too. Not its job: what an option means.

/// One option as it was met.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Met<'a> {
    /// A known letter, with its argument where it takes one.
    Short(char, &'a str),
    /// A known long option, with its argument where it takes one.
    Long(&'static str, &'a str),
    /// A letter or long option that is not known, or that lacks its argument.
    Unknown(String),
}

/// A long option: its name, and whether it takes an argument.
pub(crate) struct Long {
    pub(crate) name: &'static str,
    pub(crate) argument: bool,
    /// The letter it stands for; a NUL when it has none.
    pub(crate) letter: char,
}

/// Walks `args`. `letters` is getopt's string (`:` behind a letter: takes an argument; `::`: only an attached one, if any).
pub(crate) fn walk<'a>(letters: &str, long: &'static [Long], args: &'a [String]) -> (Vec<Met<'a>>, &'a [String]) {
    let mut met = Vec::new();
    let mut rest = args;
    while let Some((word, after)) = rest.split_first() {
        if word == "--" {
            return (met, after);
        }
        if let Some(name) = word.strip_prefix("--").filter(|_| !long.is_empty()) {
            rest = after;
            met.push(one_long(name, long, &mut rest));
            continue;
        }
        let Some(cluster) = word.strip_prefix('-').filter(|cluster| !cluster.is_empty()) else { break };
        rest = after;
        let at = cluster.char_indices();
        for (place, letter) in at {
            let known = letters.find(letter).filter(|_| letter != ':');
            let behind = known.map_or("", |known| &letters[known + letter.len_utf8()..]);
            let (takes, optional) = (behind.starts_with(':'), behind.starts_with("::"));
            match (known, takes) {
                (None, _) => met.push(Met::Unknown(format!("illegal option -- {letter}"))),
                (Some(_), false) => met.push(Met::Short(letter, "")),
                (Some(_), true) => {
                    let attached = &cluster[place + letter.len_utf8()..];
                    if optional || !attached.is_empty() {
                        met.push(Met::Short(letter, attached));
                    } else if let Some((value, after)) = rest.split_first() {
                        rest = after;
                        met.push(Met::Short(letter, value));
                    } else {
                        met.push(Met::Unknown(format!("option requires an argument -- {letter}")));
                    }
                    break;
                }
            }
        }
    }
    (met, rest)
}

fn one_long<'a>(name: &'a str, long: &'static [Long], rest: &mut &'a [String]) -> Met<'a> {
    let (name, value) = name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value)));
    // getopt_long takes a unique beginning of a name as well.
    let mut fits = long.iter().filter(|option| option.name == name).chain(long.iter().filter(|option| option.name.starts_with(name)));
    let Some(option) = fits.next().filter(|_| !name.is_empty()) else { return Met::Unknown(format!("unrecognized option `--{name}'")) };
    if option.name != name && fits.any(|other| other.name != option.name) {
        return Met::Unknown(format!("option `--{name}' is ambiguous"));
    }
    let value = match (option.argument, value) {
        (false, None) => "",
        (false, Some(_)) => return Met::Unknown(format!("option `--{}' doesn't allow an argument", option.name)),
        (true, Some(value)) => value,
        (true, None) => match rest.split_first() {
            Some((value, after)) => {
                *rest = after;
                value
            }
            None => return Met::Unknown(format!("option `--{}' requires an argument", option.name)),
        },
    };
    if option.letter == '\0' { Met::Long(option.name, value) } else { Met::Short(option.letter, value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &[Long] = &[
        Long { name: "memory", argument: true, letter: 'M' },
        Long { name: "destroy", argument: false, letter: '\0' },
        Long { name: "get-all", argument: false, letter: '\0' },
        Long { name: "get-stats", argument: false, letter: '\0' },
    ];

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn letters_may_stand_together_and_carry_their_argument() {
        let args = words("-AH -c2 -m 1G web01 -x");
        let (met, rest) = walk("AHc:m:", &[], &args);
        assert_eq!(met, [Met::Short('A', ""), Met::Short('H', ""), Met::Short('c', "2"), Met::Short('m', "1G")]);
        assert_eq!(rest, words("web01 -x"));
        let args = words("-z -c");
        let unknown = ["illegal option -- z", "option requires an argument -- c"].map(|text| Met::Unknown(text.to_owned()));
        assert_eq!(walk("c:", &[], &args).0, unknown);
    }

    #[test]
    fn long_options_may_be_shortened_where_that_is_clear() {
        let args = words("--mem=1G --memory 2G --des --get");
        let (met, _) = walk("M:", LONG, &args);
        let ambiguous = Met::Unknown("option `--get' is ambiguous".to_owned());
        assert_eq!(met, [Met::Short('M', "1G"), Met::Short('M', "2G"), Met::Long("destroy", ""), ambiguous]);
    }
}
