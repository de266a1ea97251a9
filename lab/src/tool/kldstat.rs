//! kldstat(8): lists kernel modules, or says by its exit status whether one is there.

use crate::exit::{Done, exit};
use crate::getopt::{Met, walk};
use crate::module;
use crate::place::Place;

pub(crate) fn run(place: &Place, args: &[String]) -> Done {
    let (options, rest) = walk("dhvqi:m:n:", &[], args);
    let (mut quiet, mut module, mut file, mut id) = (false, None, None, None);
    for option in options {
        match option {
            Met::Short('q', _) => quiet = true,
            Met::Short('m', name) => module = Some(name),
            Met::Short('n', name) => file = Some(name),
            Met::Short('i', number) => id = Some(number),
            Met::Short(..) | Met::Long(..) => {}
            Met::Unknown(what) => return usage(&what),
        }
    }
    if let Some(word) = rest.first() {
        return usage(&format!("unexpected `{word}`"));
    }
    let loaded = place.modules()?;
    let row = |number: usize, name: &str| {
        println!("{:>2} {:>4} {:#x} {:>8} {name}", number, 1, 0xffff_ffff_8260_0000_u64 + 0x10_0000 * number as u64, "2c000");
    };
    let header = || println!("Id Refs Address                Size Name");
    let position = |name: &str| loaded.iter().position(|known| known == name);
    if let Some(name) = module {
        // A compiled-in module counts, unlike with -n.
        if !place.has_module(name)? {
            return refuse(quiet, format!("kldstat: can't find module {name}: No such file or directory"));
        }
        if !quiet {
            println!("Id  Refs Name\n{:>3} {:>4} {name}", position(name).map_or(1, |place| place + 2), 1);
        }
        return Ok(());
    }
    if let Some(name) = file {
        let known = module::find(name).map_or(name, |module| module.name);
        if name != "kernel" && position(known).is_none() {
            return refuse(quiet, format!("kldstat: can't find file {name}: No such file or directory"));
        }
        if !quiet {
            header();
            row(position(known).map_or(1, |place| place + 2), &format!("{known}.ko"));
        }
        return Ok(());
    }
    if let Some(number) = id {
        let place = number.parse::<usize>().ok().and_then(|number| number.checked_sub(2)).and_then(|number| loaded.get(number));
        return match place {
            Some(_) if quiet => Ok(()),
            Some(name) => {
                header();
                row(number.parse().unwrap_or_default(), &format!("{name}.ko"));
                Ok(())
            }
            None => refuse(quiet, format!("kldstat: can't find file id {number}: No such file or directory")),
        };
    }
    header();
    println!(" 1 {:>4} 0xffffffff80200000  2448f20 kernel", 20 + loaded.len());
    for (number, name) in loaded.iter().enumerate() {
        row(number + 2, &format!("{name}.ko"));
    }
    Ok(())
}

fn refuse(quiet: bool, text: String) -> Done {
    exit(1, if quiet { String::new() } else { text })
}

fn usage(what: &str) -> Done {
    exit(1, format!("kldstat: {what}\nusage: kldstat [-dhqv] [-i id] [-n filename]\n       kldstat [-dhqv] [-m modname]"))
}
