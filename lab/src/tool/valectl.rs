//! valectl(8): attaches a card to a VALE switch and lists what is attached. Nothing is switched: no frame passes.

use crate::exit::{Done, exit};
use crate::getopt::{Met, walk};
use crate::ip;
use crate::place::Place;

/// Longest name of a port, the switch included.
const LONGEST: usize = 15;

pub(crate) fn run(place: &Place, args: &[String]) -> Done {
    let (options, rest) = walk("g:h:a:d:n:r:", &[], args);
    if !rest.is_empty() {
        return usage("unexpected words");
    }
    if !place.has_module("netmap")? {
        return exit(1, "valectl: Unable to open /dev/netmap");
    }
    let mut ports: Vec<String> = place.read("vale")?.lines().map(str::to_owned).collect();
    if options.is_empty() {
        ports.iter().for_each(|port| println!("{port}"));
        return Ok(());
    }
    for option in options {
        match option {
            Met::Short('a' | 'h', port) => {
                let Some((_, interface)) = parse_port(port) else { return refuse(port, "Invalid argument") };
                if ports.iter().any(|known| known == port) {
                    return refuse(port, "Device busy");
                }
                place.need_network()?;
                if !ip::links()?.iter().any(|link| link.name == interface) {
                    return refuse(port, "Device not configured");
                }
                ports.push(port.to_owned());
            }
            Met::Short('d', port) => {
                let Some(at) = ports.iter().position(|known| known == port) else { return refuse(port, "No such file or directory") };
                ports.remove(at);
            }
            Met::Short('g', port) => ports.iter().filter(|known| known.starts_with(port)).for_each(|port| println!("{port}")),
            Met::Short(letter, _) => return usage(&format!("the lab has no -{letter}")),
            Met::Long(name, _) => return usage(&format!("the lab has no --{name}")),
            Met::Unknown(what) => return usage(&what),
        }
    }
    place.write("vale", &ports.iter().map(|port| format!("{port}\n")).collect::<String>())
}

/// Switch and port of `vale0:em0`, if it is such a name.
pub(crate) fn parse_port(text: &str) -> Option<(&str, &str)> {
    let (switch, port) = text.split_once(':')?;
    let name = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let good = text.len() <= LONGEST && switch.starts_with("vale") && name(switch) && name(port) && !port.is_empty();
    good.then_some((switch, port))
}

fn refuse(port: &str, why: &str) -> Done {
    exit(1, format!("valectl: {port}: {why}"))
}

fn usage(what: &str) -> Done {
    exit(1, format!("valectl: {what}\nusage: valectl [-a valeS:interface] [-d valeS:interface] [-h valeS:interface] [-g valeS:port]"))
}
