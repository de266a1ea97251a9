//! ifconfig(8): real bridges, taps, vlans and epairs in the lab's network namespace, by iproute2, with FreeBSD's words and output.
//!
//! `words` does what is said of an interface, `create` makes and ends them, `bridge` knows members, `show` prints.
//! A new word is an arm in `words`.

mod address;
mod bridge;
mod create;
mod net;
mod show;
mod words;

use std::fs::File;

use crate::exit::{Done, Or as _, exit};
use crate::place::Place;
pub(crate) use net::{Kind, all as interfaces, hidden_name};

pub(crate) fn run(place: &Place, args: &[String]) -> Done {
    place.need_network()?;
    let mut list = false;
    let mut filter = show::Filter::default();
    let mut format = show::Format::default();
    let mut load = true;
    let mut words = args.iter().map(String::as_str).peekable();
    while let Some(letters) = words.next_if(|word| word.len() > 1 && word.starts_with('-')).map(|word| &word[1..]) {
        for (at, letter) in letters.char_indices() {
            let attached = &letters[at + letter.len_utf8()..];
            match letter {
                'l' => list = true,
                'u' => filter.up = Some(true),
                'd' => filter.up = Some(false),
                'n' => load = false,
                'a' | 'm' | 'v' | 'L' | 'k' => {}
                'C' => {
                    println!("bridge epair tap vlan vmnet vxlan");
                    return Ok(());
                }
                'f' | 'g' => {
                    let Some(value) = Some(attached).filter(|text| !text.is_empty()).or_else(|| words.next()) else {
                        return usage(&format!("option requires an argument -- {letter}"));
                    };
                    if letter == 'g' {
                        return show::group(place, value);
                    }
                    if !format.set(value) {
                        return usage(&format!("-f {value}"));
                    }
                    break;
                }
                _ => return usage(&format!("illegal option -- {letter}")),
            }
        }
    }
    let rest: Vec<&str> = words.collect();
    if list {
        if let [family] | ["-a", family] = rest.as_slice() {
            filter.family = Some((*family).to_owned());
        }
        return show::names(place, &filter);
    }
    match rest.as_slice() {
        [] | ["-a"] => show::all(place, &filter, &format),
        [name] => match net::find(place, name)? {
            Some(interface) => show::one(place, &interface, &format),
            None => missing(name),
        },
        [name, verbs @ ..] => {
            // A kernel gives a number and a name once, whoever asks at the same moment.
            let _turn = turn(place)?;
            words::run(place, name, verbs, load)
        }
    }
}

/// Lets changes of interfaces go one after the other.
fn turn(place: &Place) -> Done<File> {
    let path = place.path("run/ifconfig");
    let file = File::options().create(true).append(true).open(&path).or_broken(path.display())?;
    file.lock().or_broken(path.display())?;
    Ok(file)
}

fn missing<T>(name: &str) -> Done<T> {
    exit(1, format!("ifconfig: interface {name} does not exist"))
}

fn refuse<T>(what: impl std::fmt::Display) -> Done<T> {
    exit(1, format!("ifconfig: {what}"))
}

fn usage(what: &str) -> Done {
    exit(
        1,
        format!(
            "ifconfig: {what}\nusage: ifconfig [-j jail] [-f type:format] [-D] interface address_family\n       ifconfig interface create\n       ifconfig -a [-f type:format] [-d] [-u]\n       ifconfig -l [-d] [-u] [address_family]\n       ifconfig -g groupname"
        ),
    )
}
