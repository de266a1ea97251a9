//! bhyveload(8): puts FreeBSD's loader and kernel into a VM. Here it marks the VM as loaded from its first disk; bhyve boots
//! that disk. A disk without a boot sector leaves it at its prompt, as a disk without a kernel would.

use std::fs::File;

use super::loader::{self, Console};
use crate::exit::{Done, USAGE, exit};
use crate::getopt::{Met, walk};
use crate::memsize;
use crate::place::Place;
use crate::vm::{Loaded, Vm};

const DISKS: usize = 32;
/// 256 MB, as bhyve's own.
const MEMORY: u64 = 256 << 20;

pub(crate) fn run(place: &Place, args: &[String]) -> Done {
    if place.host.arm64() {
        return exit(127, "bhyveload: not found (there is none on arm64)");
    }
    let (options, rest) = walk("CSc:d:e:h:l:m:", &[], args);
    let mut console = "stdio";
    let mut disks: Vec<(&str, File)> = Vec::new();
    let (mut folder, mut memory, mut wired) = (None, MEMORY, false);
    for option in options {
        match option {
            Met::Short('c', word) => console = word,
            Met::Short('d', path) if disks.len() == DISKS => return exit(USAGE, format!("bhyveload: too many disks: {path}")),
            Met::Short('d', path) => match loader::open_disk(place, path) {
                Ok(file) => disks.push((path, file)),
                Err(error) => return exit(USAGE, format!("bhyveload: Could not open '{path}': {error}")),
            },
            Met::Short('h', path) => folder = Some(path),
            Met::Short('l', path) if !known_loader(place, path) => return exit(1, format!("bhyveload: dlopen: cannot open \"{path}\"")),
            Met::Short('m', text) => match memsize::parse(text) {
                Some(bytes) => memory = bytes,
                None => return exit(USAGE, format!("bhyveload: Invalid memsize '{text}'")),
            },
            Met::Short('S', _) => wired = true,
            Met::Short(..) | Met::Long(..) => {}
            Met::Unknown(what) => return usage(&what),
        }
    }
    let [name] = rest else { return usage("one VM is to be named") };
    let _claim = loader::prepare(place, "bhyveload", name)?;
    loader::check_memory(place, "bhyveload", memory)?;
    let mut console = match Console::open(place, console) {
        Ok(console) => console,
        Err(error) => return exit(1, format!("bhyveload: {error}")),
    };
    console.say("Consoles: userboot console\nFreeBSD/amd64 User boot (stand-in of the lab)\n");
    let disk = match (folder, disks.first()) {
        (Some(folder), _) if !place.resolve(folder).is_dir() => {
            return exit(1, format!("bhyveload: open: {folder}: No such file or directory"));
        }
        (Some(_), disk) => Some(disk.map_or(String::new(), |(path, _)| (*path).to_owned())),
        (None, Some((path, file))) if loader::bootable(file) => Some((*path).to_owned()),
        (None, _) => None,
    };
    let Some(disk) = disk else { return prompt(&mut console) };
    console.say("Loading kernel...\nBooting...\n");
    let loaded = Loaded { by: "bhyveload".to_owned(), disk, memory, wired };
    loader::finish(place, name, &Vm { loaded: Some(loaded), memory, ..Vm::default() })
}

fn known_loader(place: &Place, path: &str) -> bool {
    ["/boot/userboot.so", "/boot/userboot_lua.so", "/boot/userboot_4th.so"].contains(&path) || place.resolve(path).exists()
}

/// There is nothing to boot: the loader asks what to do.
fn prompt(console: &mut Console) -> Done {
    console.say("can't load 'kernel'\n\nType '?' for a list of commands, 'help' for more detailed help.\n");
    loop {
        console.say("OK ");
        match console.line().as_deref() {
            Some("quit") => return exit(1, ""),
            Some("reboot") => return exit(2, ""),
            Some("boot") => console.say("can't load 'kernel'\n"),
            Some(other) => console.say(&format!("{other} not found\n")),
            None => return loader::hang(),
        }
    }
}

fn usage(what: &str) -> Done {
    let text = "usage: bhyveload [-S][-c <console-device>] [-d <disk-path>] [-e <name=value>]\n                 [-h <host-path>] [-m memsize[K|k|M|m|G|g|T|t]] <vmname>";
    exit(USAGE, format!("bhyveload: {what}\n{text}"))
}
