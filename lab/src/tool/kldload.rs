//! kldload(8): loads a kernel module. Here that is a line in the lab's file `modules`.

use crate::exit::{Done, exit};
use crate::getopt::{Met, walk};
use crate::module;
use crate::place::Place;

pub(crate) fn run(place: &Place, args: &[String]) -> Done {
    let (options, files) = walk("nqv", &[], args);
    let mut lenient = false;
    let mut verbose = false;
    for option in options {
        match option {
            Met::Short('n', _) => lenient = true,
            Met::Short('v', _) => verbose = true,
            Met::Short(..) | Met::Long(..) => {}
            Met::Unknown(what) => return usage(&what),
        }
    }
    if files.is_empty() {
        return usage("no module is named");
    }
    let mut failed = Vec::new();
    for file in files {
        match load(place, file)? {
            Ok(()) if verbose => println!("Loaded {file}, id={}", place.modules()?.len() + 1),
            Ok(()) => {}
            Err(Refusal::There) if lenient => {}
            Err(refusal) => failed.push(refusal.text(file)),
        }
    }
    if failed.is_empty() { Ok(()) } else { exit(1, failed.join("\n")) }
}

fn usage(what: &str) -> Done {
    exit(1, format!("kldload: {what}\nusage: kldload [-nqv] file ..."))
}

/// Why a module is not loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    There,
    Unknown,
    NotAllowed,
    /// The module's own start failed; the kernel's message says why.
    Failed,
}

impl Refusal {
    fn text(self, file: &str) -> String {
        match self {
            Refusal::There => format!("kldload: can't load {file}: module already loaded or in kernel"),
            Refusal::Unknown => format!("kldload: can't load {file}: No such file or directory"),
            Refusal::NotAllowed => format!("kldload: can't load {file}: Operation not permitted"),
            Refusal::Failed => {
                format!("kldload: an error occurred while loading module {file}. Please check dmesg(8) for more details.")
            }
        }
    }
}

/// Loads a module with what it needs.
pub(crate) fn load(place: &Place, word: &str) -> Done<Result<(), Refusal>> {
    if place.host.jailed || place.host.securelevel > 0 {
        return Ok(Err(Refusal::NotAllowed));
    }
    let Some(module) = module::find(word) else { return Ok(Err(Refusal::Unknown)) };
    if place.has_module(module.name)? {
        return Ok(Err(Refusal::There));
    }
    if module::obstacle(&place.host, module).is_some() {
        return Ok(Err(Refusal::Failed));
    }
    let mut loaded = place.modules()?;
    for name in module.pulls.iter().chain([&module.name]) {
        if !loaded.iter().any(|known| known == name) {
            loaded.push((*name).to_owned());
        }
    }
    place.write("modules", &format!("{}\n", loaded.join("\n")))?;
    Ok(Ok(()))
}
