//! kenv(1): the kernel's environment, of which only what loader.conf sets for vmm is kept here.

use crate::exit::{Done, exit};
use crate::getopt::{Met, walk};
use crate::place::Place;

pub(crate) fn run(place: &Place, args: &[String]) -> Done {
    let (options, rest) = walk("qv", &[], args);
    let mut quiet = false;
    for option in options {
        match option {
            Met::Short('q', _) => quiet = true,
            Met::Short(..) | Met::Long(..) => {}
            Met::Unknown(_) => return usage(),
        }
    }
    let [name] = rest else { return usage() };
    let value = match name.as_str() {
        "hw.vmm.maxcpu" => place.host.maxcpu.map(|most| most.to_string()),
        // loader.conf has the line, or has none.
        "hw.vmm.amdvi.enable" => place.host.amdvi.then(|| "1".to_owned()),
        _ => None,
    };
    match value {
        Some(value) => {
            println!("{value}");
            Ok(())
        }
        None => exit(1, if quiet { String::new() } else { format!("kenv: unable to get {name}") }),
    }
}

fn usage() -> Done {
    exit(1, "usage: kenv [-qv] variable")
}
