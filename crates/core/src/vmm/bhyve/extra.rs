//! The user's own arguments for bhyve (`bargs`), read as bhyve would read them, so that an option that the release does
//! not know, or a device that collides, is refused before anything is started.
//!
//! Not here: splitting them into words (`cmd::split_words`).

use super::BhyveHost;
use super::release::{Arch, Feature};
use crate::device::PciPlace;
use crate::error::Problem;
use crate::value::printable;
use crate::vmm::machine::Machine;

/// An option of bhyve.
struct Letter {
    name: char,
    /// Whether a value follows.
    value: bool,
    arm64: bool,
    since: Option<Feature>,
}

const fn opt(name: char, value: bool, arm64: bool) -> Letter {
    Letter { name, value, arm64, since: None }
}

const LETTERS: &[Letter] = &[
    opt('a', false, false),
    opt('e', false, false),
    opt('h', false, true),
    opt('u', false, false),
    opt('w', false, false),
    opt('x', false, false),
    opt('A', false, false),
    opt('C', false, true),
    opt('D', false, true),
    opt('H', false, false),
    opt('I', false, false),
    opt('P', false, false),
    opt('S', false, true),
    opt('W', false, true),
    opt('Y', false, false),
    opt('k', true, true),
    opt('o', true, true),
    opt('p', true, true),
    opt('G', true, false),
    opt('c', true, true),
    opt('s', true, true),
    opt('m', true, true),
    opt('l', true, false),
    opt('K', true, false),
    opt('U', true, true),
    Letter { name: 'f', value: true, arm64: true, since: Some(Feature::FwCfg) },
    Letter { name: 'n', value: true, arm64: false, since: Some(Feature::Numa) },
    Letter { name: 'M', value: false, arm64: false, since: Some(Feature::Monitor) },
];

/// Everything about them that the host's bhyve would not take.
pub(super) fn check(machine: &Machine, host: &BhyveHost) -> Vec<Problem> {
    let words = &machine.spec().extra;
    let mut found = Vec::new();
    let mut refuse = |word: &str, why: String, cure: &str| {
        found.push(Problem::usage(format!("bhyve would not take the argument `{}`", printable(word, 60))).because(why).hint(cure));
    };
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty() && *letters != "-") else {
            refuse(word, "it is no option, so bhyve would take it for the machine's name".into(), "check bargs");
            continue;
        };
        let mut chars = letters.chars();
        while let Some(c) = chars.next() {
            let Some(letter) = LETTERS.iter().find(|l| l.name == c && (l.arm64 || host.arch == Arch::Amd64)) else {
                let whose = match host.arch {
                    Arch::Amd64 => "bhyve",
                    Arch::Arm64 => "bhyve on arm64",
                };
                refuse(word, format!("{whose} has no option -{c}"), "check bargs; bhyve -h lists the options");
                break;
            };
            if let Some(problem) = letter.since.and_then(|feature| feature.on(host.release).err()) {
                refuse(word, problem.to_string(), "remove it from bargs, or upgrade the host");
            }
            if !letter.value {
                continue;
            }
            let behind = chars.as_str();
            let value = if behind.is_empty() { rest.next().map(String::as_str) } else { Some(behind) };
            match value {
                None => refuse(word, format!("-{c} needs a value behind it"), "check bargs"),
                Some(value) if c == 's' => slot(machine, value, &mut refuse),
                Some(_) => {}
            }
            break;
        }
    }
    found
}

/// A device of the user's own must not collide with one of the machine's.
fn slot(machine: &Machine, value: &str, refuse: &mut impl FnMut(&str, String, &str)) {
    let (place, rest) = value.split_once(',').unwrap_or((value, ""));
    let emulation = rest.split(',').next().unwrap_or_default();
    let cure = "use pcidev_1 and so on instead: chyves then gives them places";
    match place.parse::<PciPlace>() {
        Err(bad) => refuse(value, bad.to_string(), cure),
        Ok(place) => {
            if let Some(device) = machine.devices().get(&place) {
                refuse(value, format!("{} is at {place} already", device.word()), cure);
            }
            let single = ["lpc", "fbuf"].contains(&emulation);
            if single && machine.devices().values().any(|device| device.word() == emulation) {
                refuse(value, format!("a machine has one {emulation} at most, and this one has it already"), cure);
            }
            if emulation == "passthru" && !machine.spec().memory_with_extra().wired {
                refuse(value, "passthrough needs wired memory".into(), "add -S to bargs");
            }
        }
    }
}
