//! kenv(1): the kernel's environment, of which only the limit of vmm is kept here.

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
    match place.host.maxcpu.filter(|_| name == "hw.vmm.maxcpu") {
        Some(most) => {
            println!("{most}");
            Ok(())
        }
        None => exit(1, if quiet { String::new() } else { format!("kenv: unable to get {name}") }),
    }
}

fn usage() -> Done {
    exit(1, "usage: kenv [-qv] variable")
}
