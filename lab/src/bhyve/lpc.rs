//! `-l`: what sits on the LPC bridge (serial ports, boot ROM, TPM), and arm64's console and boot ROM, which are settings there.
//! A new LPC device is an arm in `parse` and one in `init`.

use std::path::{Path, PathBuf};

use super::build::{Build, Firmware, device_error};
use super::config::{Config, ERROR};
use crate::exit::{Done, Or, USAGE, exit};
use crate::host::Host;
use crate::place::Place;
use crate::release::{FIRST, Release, since};

/// Devices in the order of `-l help`, each with its first release.
const DEVICES: &[(&str, Release)] =
    &[("bootrom", FIRST), ("com1", FIRST), ("com2", FIRST), ("com3", FIRST), ("com4", FIRST), ("tpm", since(14, 0)), ("pc-testdev", FIRST)];

/// A boot ROM that starts with this is the lab's own: SeaBIOS runs instead of it.
pub(crate) const LAB_ROM: &[u8] = b"chyves-lab: boots by SeaBIOS\n";

/// The package's names: ROM, the same again, variables.
pub(crate) const ROM_FILES: [&str; 3] = ["BHYVE_UEFI.fd", "BHYVE_UEFI_CODE.fd", "BHYVE_UEFI_VARS.fd"];

const PAGE: u64 = 4096;
/// ROM and variables together.
const REGION: u64 = 16 << 20;

/// The names that `-l help` prints.
pub(crate) fn names(host: &Host) -> impl Iterator<Item = &'static str> {
    let release = host.release;
    DEVICES.iter().filter(move |(_, since)| release >= *since).map(|(name, _)| *name)
}

/// Takes the argument of `-l`.
pub(crate) fn parse(place: &Place, config: &mut Config, text: &str) -> Done {
    let bad = || exit(USAGE, format!("invalid lpc device configuration '{text}'"));
    let release = place.host.release;
    let (name, conf) = text.split_once(',').map_or((text, None), |(name, conf)| (name, Some(conf)));
    match (name.to_ascii_lowercase().as_str(), conf.filter(|conf| !conf.is_empty())) {
        (name @ ("com1" | "com2" | "com3" | "com4" | "bootrom"), None) => {
            return exit(ERROR, format!("invalid {name} option \"{text}\""));
        }
        ("tpm", None) if release >= since(14, 0) => return exit(ERROR, format!("invalid tpm option \"{text}\"")),
        (name @ ("com1" | "com2" | "com3" | "com4"), Some(path)) => config.set(format!("lpc.{name}.path"), path),
        ("bootrom", Some(conf)) => {
            // Since 15.0 the two are keys of their own.
            let prefix = if release >= since(15, 0) { "" } else { "lpc." };
            let mut tokens = conf.split(',');
            config.set(format!("{prefix}bootrom"), tokens.next().unwrap_or_default());
            for (place, token) in tokens.enumerate() {
                match token.split_once('=') {
                    None if place == 0 => config.set(format!("{prefix}bootvars"), token),
                    None => return bad(),
                    Some(("fwcfg", value)) if release < since(14, 0) || !["bhyve", "qemu"].contains(&value) => return bad(),
                    Some((key, value)) => config.set(format!("lpc.{key}"), value),
                }
            }
        }
        ("tpm", Some(conf)) if release >= since(14, 0) => {
            let mut tokens = conf.split(',');
            let (Some(kind), Some(path)) = (tokens.next(), tokens.next()) else { return bad() };
            config.set("tpm.type", kind);
            config.set("tpm.path", path);
            config.options("tpm.", &tokens.collect::<Vec<_>>().join(","));
        }
        ("pc-testdev", _) => config.set("lpc.pc-testdev", "true"),
        _ => return bad(),
    }
    Ok(())
}

/// The boot ROM that is configured, and the file of its variables. An older spelling still works since 15.0.
pub(crate) fn bootrom(place: &Place, config: &Config) -> Done<Option<(String, Option<String>)>> {
    let new = place.host.release >= since(15, 0);
    for (rom, vars) in [("bootrom", "bootvars"), ("lpc.bootrom", "lpc.bootvars")] {
        if rom == "bootrom" && !new || rom == "lpc.bootrom" && place.host.arm64() {
            continue;
        }
        if let Some(path) = config.get(rom)? {
            if rom == "lpc.bootrom" && new {
                eprintln!("bhyve: lpc.bootrom is deprecated, use bootrom");
            }
            return Ok(Some((path, config.get(vars)?)));
        }
    }
    Ok(None)
}

/// Opens ROM and variables as bhyve does.
pub(crate) fn open_rom(place: &Place, rom: &str, vars: Option<&str>) -> Done<Firmware> {
    let open = |path: &str, write: bool| std::fs::File::options().read(true).write(write).open(place.resolve(path));
    // arm64's ends by err(3) with 1, which elsewhere is a guest's power-off.
    let status = if place.host.arm64() { 1 } else { ERROR };
    let bad = |what: &str, path: &str, error: &std::io::Error| {
        exit(status, format!("Error opening {what} \"{path}\": {}", super::build::os_text(error)))
    };
    let mut file = match open(rom, false) {
        Ok(file) => file,
        Err(error) => return bad("bootrom", rom, &error),
    };
    let size = |file: &std::fs::File| file.metadata().map(|data| data.len()).or_broken("a boot ROM");
    let rom_size = size(&file)?;
    if rom_size == 0 || rom_size % PAGE != 0 {
        return exit(ERROR, format!("ROM size {rom_size} is not a multiple of the page size"));
    }
    let vars_size = match vars {
        None => 0,
        Some(path) => match open(path, true) {
            Ok(file) => size(&file)?.max(1),
            Err(error) => return bad("bootrom variable file", path, &error),
        },
    };
    if vars.is_some() && vars_size < PAGE || rom_size + vars_size > REGION {
        return exit(ERROR, format!("Invalid bootrom and variable aggregate size {}", rom_size + vars_size));
    }
    let mut start = vec![0; LAB_ROM.len()];
    std::io::Read::read_exact(&mut file, &mut start).or_broken("a boot ROM")?;
    if start == LAB_ROM {
        return Ok(Firmware::Seabios);
    }
    Ok(Firmware::Rom(place.resolve(rom), vars.map(|path| place.resolve(path))))
}

/// Starts what is on the bridge. Without a bridge nothing of it takes effect.
pub(crate) fn init(build: &mut Build) -> Done {
    if build.place.host.arm64() {
        if let Some(path) = build.config.get("console")? {
            build.terminal("console", &path)?;
            build.arg("-device", "isa-serial,chardev=console,index=0");
        }
        return Ok(());
    }
    tpm(build)?;
    if !build.lpc {
        return Ok(());
    }
    for (index, port) in ["com1", "com2", "com3", "com4"].iter().enumerate() {
        if let Some(path) = build.config.get(&format!("lpc.{port}.path"))? {
            build.terminal(port, &path)?;
            build.arg("-device", format!("isa-serial,chardev={port},index={index}"));
        }
    }
    Ok(())
}

/// A TPM is checked, and the guest does not get one.
fn tpm(build: &Build) -> Done {
    let Some(kind) = build.config.get("tpm.type")? else { return Ok(()) };
    let Some(path) = build.config.get("tpm.path")? else { return device_error("tpm: no path") };
    let version = build.config.get("tpm.version")?;
    if version.as_deref().is_some_and(|version| version != "2.0") {
        return device_error(format!("tpm: unsupported version {}", version.unwrap_or_default()));
    }
    let file = build.place.resolve(&path);
    match kind.as_str() {
        "passthru" if open_both(&file) => Ok(()),
        "passthru" => device_error(format!("tpm: unable to open {path}")),
        "swtpm" if build.place.host.release < since(15, 0) => device_error("tpm: unknown device type \"swtpm\""),
        "swtpm" => match std::os::unix::net::UnixStream::connect(&file) {
            Ok(_) => Ok(()),
            Err(error) => device_error(format!("tpm: cannot connect to {path}: {}", super::build::os_text(&error))),
        },
        _ => device_error(format!("tpm: unknown device type \"{kind}\"")),
    }
}

fn open_both(file: &Path) -> bool {
    std::fs::File::options().read(true).write(true).open(file).is_ok()
}

/// Writes a ROM of the lab's own and a file of variables, named as the package's.
pub(crate) fn write_rom(folder: &Path) -> Done<PathBuf> {
    std::fs::create_dir_all(folder).or_broken(folder.display())?;
    let mut rom = LAB_ROM.to_vec();
    rom.resize(2 << 20, 0xff);
    let vars = vec![0xff; 540_672];
    let [first, second, third] = ROM_FILES.map(|name| folder.join(name));
    for (file, content) in [(&first, &rom), (&second, &rom), (&third, &vars)] {
        std::fs::write(file, content).or_broken(file.display())?;
    }
    Ok(first)
}
