//! Words that should be options of a command: `receive web02`, `move web01 tank`, `image import NAME FILE`.

use super::position;
use super::table::Options;
use chyves_core::value::printable;
use chyves_host::hostfs::named;

/// A hint with the command that was probably meant. `argv` has the verb first.
pub(crate) fn meant(argv: &[String]) -> Option<String> {
    let first = position(argv, 1, &Options::of_all())?;
    let options = Options::of(&argv[first]);
    let next = |at: &usize| position(argv, at + 1, &options);
    let words: Vec<&str> = std::iter::successors(Some(first), next).map(|at| argv[at].as_str()).collect();
    let has = |option: &str| argv.iter().any(|word| word == option || word.starts_with(&format!("{option}=")));
    let shown = |word: &str| printable(word, 120);
    match words[..] {
        ["receive", name] if !has("--name") => Some(format!("`chyves receive --name {} < FILE`", shown(name))),
        ["move", ref guests @ .., pool] if !guests.is_empty() && !has("--pool") => {
            Some(format!("`chyves move {} --pool {}`", shown(&guests.join(" ")), shown(pool)))
        }
        [noun @ ("image" | "iso" | "firmware"), "import", one, other] if !has("--name") => {
            let is_file = |word: &str| word.contains('/') || named::is_there(word);
            let (name, file) = if is_file(one) && !is_file(other) { (other, one) } else { (one, other) };
            Some(format!("`chyves {noun} import {} --name {}`", shown(file), shown(name)))
        }
        ["network", "delete", guest, nic] => Some(format!("`chyves network remove {} {}`", shown(guest), shown(nic))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_in_the_place_of_an_option_is_named_with_it() {
        for (typed, hint) in [
            ("receive web02", Some("`chyves receive --name web02 < FILE`")),
            ("receive --name web02 x", None),
            ("move web01 tank", Some("`chyves move web01 --pool tank`")),
            ("move a b tank -n", Some("`chyves move a b --pool tank`")),
            ("move web01", None),
            ("image import debian /tmp/d.img", Some("`chyves image import /tmp/d.img --name debian`")),
            ("iso import /tmp/d.iso debian", Some("`chyves iso import /tmp/d.iso --name debian`")),
            ("network delete web01 net0", Some("`chyves network remove web01 net0`")),
            ("network delete lan", None),
            ("start web01 web02", None),
        ] {
            let argv: Vec<String> = std::iter::once("chyves").chain(typed.split(' ')).map(str::to_owned).collect();
            assert_eq!(meant(&argv).as_deref(), hint, "{typed}");
        }
    }
}
