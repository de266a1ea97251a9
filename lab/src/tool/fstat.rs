//! fstat(1): `fstat [-m] [-n] -p PID`, the files of one process. For a bhyve they are those that its QEMU has open in its place, but
//! for the boot ROM, which bhyve closes again, and the file of variables, which it has mapped.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::bhyve;
use crate::exit::{Done, exit};
use crate::getopt::{Met, walk};
use crate::place::Place;

pub(crate) fn run(place: &Place, args: &[String]) -> Done {
    let (options, rest) = walk("fmnp:su:vN:M:", &[], args);
    let (mut pid, mut maps) = (None, false);
    for option in options {
        match option {
            Met::Short('p', value) => pid = value.parse::<u32>().ok(),
            Met::Short('m', _) => maps = true,
            Met::Short('n' | 'v', _) => {}
            Met::Short(..) | Met::Long(..) | Met::Unknown(_) => return usage(),
        }
    }
    let (Some(pid), []) = (pid, rest) else { return usage() };
    if !Path::new(&format!("/proc/{pid}")).exists() {
        return exit(1, "fstat: procstat_getprocs()");
    }
    println!("USER     CMD          PID   FD  DEV    INUM       MODE SZ|DV R/W");
    let row = |descriptor: &str, meta: &Metadata, flags: &str| {
        let size = if meta.file_type().is_char_device() || meta.file_type().is_block_device() {
            format!("{:#6x}", meta.rdev())
        } else {
            format!("{:>6}", meta.len())
        };
        let (device, inode, mode) = (meta.dev(), meta.ino(), meta.mode());
        println!("{:<8.8} {:<10} {pid:5} {descriptor:>4} {device:#5x} {inode:6} {mode:>10o} {size} {flags:>2}", "root", "bhyve");
    };
    if let Ok(meta) = fs::metadata(format!("/proc/{pid}/exe")) {
        row("text", &meta, "r");
    }
    let variables = bhyve::variables_of(pid);
    for (number, path, meta, flags) in descriptors(place, pid) {
        if variables.as_deref() != Some(&*path) {
            row(&number.to_string(), &meta, flags);
        }
    }
    if let Some(meta) = variables.filter(|_| maps).and_then(|path| fs::metadata(path).ok()) {
        row("mmap", &meta, "rw");
    }
    for qemu in bhyve::qemus_of(pid) {
        let firmware = firmware_of(qemu);
        for (number, path, meta, flags) in descriptors(place, qemu).into_iter().filter(|(number, ..)| *number > 2) {
            if !firmware.contains(&path) {
                row(&(100 + number).to_string(), &meta, flags);
            }
        }
    }
    Ok(())
}

/// What a process has open by descriptors, but for what only the lab knows of, and for what is no file.
fn descriptors(place: &Place, pid: u32) -> Vec<(u32, PathBuf, Metadata, &'static str)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
        let (Ok(path), Ok(meta)) = (fs::read_link(entry.path()), fs::metadata(entry.path())) else { continue };
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let kind = meta.file_type();
        let shown = kind.is_file() || kind.is_dir() || kind.is_char_device() || kind.is_block_device();
        // An anonymous file of the kernel's, or one of the lab's own.
        if !shown || !path.is_absolute() || path.starts_with("/memfd:") || path.starts_with("/dev/shm") || path.starts_with(&place.dir) {
            continue;
        }
        let flags = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).unwrap_or_default();
        let flags = flags.lines().find_map(|line| line.strip_prefix("flags:")).and_then(|text| u32::from_str_radix(text.trim(), 8).ok());
        let how = match flags.unwrap_or_default() & 3 {
            0 => "r",
            1 => "w",
            _ => "rw",
        };
        all.push((number, path, meta, how));
    }
    all.sort_by_key(|(number, ..)| *number);
    all
}

/// The firmware on the command line of a QEMU.
fn firmware_of(qemu: u32) -> Vec<PathBuf> {
    let line = fs::read_to_string(format!("/proc/{qemu}/cmdline")).unwrap_or_default();
    let drives = line.split('\0').filter(|word| word.starts_with("if=pflash,"));
    drives.filter_map(|word| word.split_once(",file=").map(|(_, path)| PathBuf::from(path.replace(",,", ",")))).collect()
}

fn usage() -> Done {
    exit(1, "usage: fstat [-fmnv] [-M core] [-N system] [-p pid] [-u user] [file ...]")
}
