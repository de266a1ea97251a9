//! pkg(8): `pkg query %v NAME`, of which the only installed package is the UEFI firmware's.

use crate::exit::{Done, exit};
use crate::place::Place;

pub(crate) fn run(place: &Place, args: &[String]) -> Done {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let [command, format, name] = words[..] else { return usage() };
    match (command, format) {
        ("query", "%v") if name == "edk2-bhyve" && !place.host.edk2.is_empty() => {
            println!("{}", place.host.edk2);
            Ok(())
        }
        // A package that is not installed: nothing is printed.
        ("query", "%v") => exit(1, ""),
        _ => usage(),
    }
}

fn usage() -> Done {
    exit(64, "usage: pkg query %v <pkg-name>")
}
