//! grub-bhyve(8): GNU GRUB as a loader outside of the guest. The commands are read and checked as far as disks and files of
//! the host go; file systems of the guest are not. A kernel command marks the VM as loaded, and bhyve boots that disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;

use super::loader::{self, Console};
use crate::exit::{Done, exit};
use crate::getopt::{Long, Met, walk};
use crate::memsize;
use crate::place::Place;
use crate::vm::{Loaded, Vm};

const fn long(name: &'static str, argument: bool, letter: char) -> Long {
    Long { name, argument, letter }
}

const OPTIONS: &[Long] = &[
    long("root", true, 'r'),
    long("device-map", true, 'm'),
    long("directory", true, 'd'),
    long("grub-cfg", true, 'g'),
    long("memory", true, 'M'),
    long("cons-dev", true, 'c'),
    long("ncons", false, 'n'),
    long("evga", false, 'e'),
    long("verbose", false, 'v'),
    long("hold", false, 'H'),
];

/// Commands that load a kernel.
const KERNELS: &[&str] = &["linux", "linux16", "kfreebsd", "kopenbsd", "knetbsd", "multiboot", "multiboot2", "chainloader"];

struct Asked<'a> {
    root: &'a str,
    map: Option<&'a str>,
    directory: &'a str,
    config: &'a str,
    memory: u64,
    console: &'a str,
    wired: bool,
    name: &'a str,
}

/// The devices of the map: name, path, and the open file.
type Disks = BTreeMap<String, (String, File)>;

pub(crate) fn run(place: &Place, args: &[String]) -> Done {
    if place.host.arm64() {
        return exit(127, "grub-bhyve: not found (there is none on arm64)");
    }
    let asked = parse(args)?;
    if !place.host.runs_any_mode() {
        return exit(1, "grub-bhyve: unrestricted guest capability not available");
    }
    let mut disks = read_map(place, asked.map)?;
    let _claim = loader::prepare(place, "grub-bhyve", asked.name)?;
    loader::check_memory(place, "grub-bhyve", asked.memory)?;
    let mut console = match Console::open(place, asked.console) {
        Ok(console) => console,
        Err(error) => return exit(1, format!("grub-bhyve: {error}")),
    };
    console.say("GNU GRUB (stand-in of the lab)\n");
    let Some(disk) = boot(place, &asked, &mut disks, &mut console)? else { return Ok(()) };
    let loaded = Loaded { by: "grub-bhyve".to_owned(), disk, memory: asked.memory, wired: asked.wired };
    loader::finish(place, asked.name, &Vm { loaded: Some(loaded), memory: asked.memory, ..Vm::default() })
}

fn parse(args: &[String]) -> Done<Asked<'_>> {
    let mut asked = Asked {
        root: "host",
        map: None,
        directory: "/boot/grub",
        config: "grub.cfg",
        memory: 256 << 20,
        console: "stdio",
        wired: false,
        name: "",
    };
    let mut names = Vec::new();
    let mut rest = args;
    // GNU's argp takes options behind the name as well.
    loop {
        let (options, behind) = walk("r:m:d:g:M:c:neSvH::", OPTIONS, rest);
        for option in options {
            match option {
                Met::Short('r', value) => asked.root = value,
                Met::Short('m', value) => asked.map = Some(value),
                Met::Short('d', value) => asked.directory = value,
                Met::Short('g', value) => asked.config = value,
                Met::Short('c', value) => asked.console = value,
                Met::Short('S', _) => asked.wired = true,
                Met::Short('M', value) => match memsize::parse(value) {
                    Some(bytes) => asked.memory = bytes,
                    None => return usage(&format!("invalid memory size `{value}'")),
                },
                Met::Short(..) | Met::Long(..) => {}
                Met::Unknown(what) => return usage(&what),
            }
        }
        let Some((name, behind)) = behind.split_first() else { break };
        names.push(name.as_str());
        rest = behind;
    }
    match names.as_slice() {
        [name] => asked.name = name,
        [] => return usage("no VM is named"),
        _ => return usage("more than one VM is named"),
    }
    Ok(asked)
}

/// Reads a device map. A path that can't be opened is passed over in silence, as the real one does.
fn read_map(place: &Place, map: Option<&str>) -> Done<Disks> {
    let mut disks = Disks::new();
    let Some(map) = map else { return Ok(disks) };
    let Ok(text) = std::fs::read_to_string(place.resolve(map)) else { return exit(1, format!("grub-bhyve: error: cannot open `{map}'")) };
    for (number, line) in text.lines().enumerate() {
        let bad = |what: &str| exit(1, format!("grub-bhyve: error: {map}:{}: {what}", number + 1));
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, path)) = line.strip_prefix('(').and_then(|line| line.split_once(')')) else {
            return bad("no open parenthesis found");
        };
        let digits = name.get(2..).unwrap_or_default();
        let kind = name.get(..2).unwrap_or_default();
        let good =
            ["fd", "hd", "cd"].contains(&kind) && digits.bytes().all(|byte| byte.is_ascii_digit()) && (kind == "cd" || !digits.is_empty());
        if !good {
            return bad(&format!("`{name}' is no name of a device"));
        }
        // The path ends at the first blank.
        let Some(path) = path.split_whitespace().next() else { return bad("no path") };
        if let Ok(file) = loader::open_disk(place, path) {
            disks.insert(name.to_owned(), (path.to_owned(), file));
        }
    }
    Ok(disks)
}

/// Runs the configuration, then what is typed. The disk to boot; none when GRUB was left without booting.
fn boot(place: &Place, asked: &Asked<'_>, disks: &mut Disks, console: &mut Console) -> Done<Option<String>> {
    let mut session = Session { disks, root: asked.root.to_owned(), kernel: None };
    if asked.root == "host" {
        let file = place.resolve(&format!("{}/{}", asked.directory.trim_end_matches('/'), asked.config));
        if file.is_file() {
            let text = loader::read(&file)?;
            // What stands in a menu entry boots by itself when its commands have run.
            let menu = text.lines().any(|line| line.trim_start().starts_with("menuentry"));
            for line in text.lines() {
                match session.script(place, line, console) {
                    Next::Boot => return Ok(session.kernel),
                    Next::Leave => return Ok(None),
                    Next::More => {}
                }
            }
            if menu && session.kernel.is_some() {
                return Ok(session.kernel);
            }
        }
    } else {
        // The configuration lies in the guest's own file system, which the lab does not read.
        match session.own_config(asked.root) {
            Ok(path) => return Ok(Some(path)),
            Err(error) => console.say(&format!("error: {error}.\n")),
        }
    }
    loop {
        console.say("grub> ");
        let Some(line) = console.line() else { return if asked.console == "stdio" { Ok(None) } else { loader::hang().map(|()| None) } };
        match session.obey(place, &line) {
            Ok(Next::Boot) => return Ok(session.kernel),
            Ok(Next::Leave) => return Ok(None),
            Ok(Next::More) => {}
            Err(error) => console.say(&format!("error: {error}.\n")),
        }
    }
}

enum Next {
    More,
    Boot,
    Leave,
}

struct Session<'a> {
    disks: &'a mut Disks,
    root: String,
    /// The disk that the loaded kernel came from.
    kernel: Option<String>,
}

impl Session<'_> {
    /// Does a line of a script: `if COMMAND; then COMMAND; …; fi`, or one command. An error is said, and the script goes on.
    fn script(&mut self, place: &Place, line: &str, console: &mut Console) -> Next {
        let body = line.trim().strip_prefix("if ").and_then(|rest| rest.strip_suffix("; fi")).and_then(|rest| rest.split_once("; then "));
        let commands: Vec<&str> = match body {
            Some((condition, commands)) => match self.obey(place, condition) {
                Ok(_) => commands.split("; ").collect(),
                Err(error) => {
                    console.say(&format!("error: {error}.\n"));
                    Vec::new()
                }
            },
            None => vec![line],
        };
        for command in commands {
            match self.obey(place, command) {
                Ok(Next::More) => {}
                Ok(next) => return next,
                Err(error) => console.say(&format!("error: {error}.\n")),
            }
        }
        Next::More
    }

    /// The disk of a device with the guest's own grub.cfg. The lab reads partition tables and boot sectors, no file systems.
    fn own_config(&self, device: &str) -> Result<String, String> {
        let device = device.trim_matches(|c| "()".contains(c));
        if device.starts_with("lvm/") {
            let volumes = self.disks.values().find(|(_, file)| loader::has_lvm(file));
            return volumes.map(|(path, _)| path.clone()).ok_or_else(|| format!("disk `{device}' not found"));
        }
        let Some((path, file)) = self.disks.get(device_of(device)) else { return Err(format!("no such device: {device}")) };
        if let Some((_, part)) = device.split_once(',')
            && !loader::has_partition(file, part)
        {
            return Err(format!("no such partition: {device}"));
        }
        if loader::bootable(file) { Ok(path.clone()) } else { Err("unknown filesystem".to_owned()) }
    }

    /// The first disk on which a search finds a file: the hinted one before the others.
    fn searched(&self, arguments: &[&str]) -> Result<String, String> {
        let hint = arguments.iter().find_map(|word| word.strip_prefix("--hint="));
        let found = |name: &&str| self.disks.get(*name).is_some_and(|(_, file)| loader::bootable(file));
        let disks = self.disks.keys().map(String::as_str).filter(|name| name.starts_with("hd"));
        hint.into_iter().chain(disks).find(found).map(str::to_owned).ok_or_else(|| "no such device: file not found".to_owned())
    }

    /// Does one line of GRUB's language, as far as the lab knows it; unknown commands do nothing.
    fn obey(&mut self, place: &Place, line: &str) -> Result<Next, String> {
        let words: Vec<&str> = line.split_whitespace().take_while(|word| !word.starts_with('#')).collect();
        match words.as_slice() {
            ["boot", ..] if self.kernel.is_none() => Err("you need to load the kernel first".to_owned()),
            ["boot", ..] => Ok(Next::Boot),
            ["exit" | "halt" | "reboot", ..] => Ok(Next::Leave),
            ["search", arguments @ ..] => {
                self.root = self.searched(arguments)?;
                Ok(Next::More)
            }
            // Whether a file is there cannot be seen; whether its device is, can.
            ["[", "-f", file, "]"] => {
                let device = file.strip_prefix('(').and_then(|file| file.split_once(')')).map_or(self.root.as_str(), |(device, _)| device);
                self.own_config(&device.replace("$root", &self.root)).map(|_| Next::More)
            }
            ["configfile", file] => {
                let device = file.strip_prefix('(').and_then(|file| file.split_once(')')).map_or(self.root.as_str(), |(device, _)| device);
                self.kernel = Some(self.own_config(&device.replace("$root", &self.root))?);
                Ok(Next::Boot)
            }
            ["set", setting] if setting.starts_with("root=") => {
                setting.trim_start_matches("root=").trim_matches(|c| "'\"()".contains(c)).clone_into(&mut self.root);
                Ok(Next::More)
            }
            [command, arguments @ ..] if KERNELS.contains(command) => {
                let Some(file) = arguments.iter().find(|word| word.starts_with(['(', '/'])) else {
                    return Err("filename expected".to_owned());
                };
                let device = file.strip_prefix('(').and_then(|file| file.split_once(')')).map_or(self.root.as_str(), |(device, _)| device);
                let path = file.rsplit(')').next().unwrap_or(file);
                self.kernel = Some(self.disk_of(place, device, path)?);
                Ok(Next::More)
            }
            _ => Ok(Next::More),
        }
    }

    /// The disk that a kernel on this device belongs to. A kernel of the host boots the first disk.
    fn disk_of(&self, place: &Place, device: &str, path: &str) -> Result<String, String> {
        if device == "host" {
            // Since 2020 it has become user nobody by now.
            let readable = std::fs::metadata(place.resolve(path)).is_ok_and(|file| file.permissions().mode() & 0o004 != 0);
            if !readable {
                return Err(format!("file `{path}' not found"));
            }
            return Ok(self.disks.values().next().map_or(String::new(), |(path, _)| path.clone()));
        }
        match self.disks.get(device_of(device)) {
            Some((path, _)) => Ok(path.clone()),
            None => Err(format!("no such disk: {device}")),
        }
    }
}

/// The device of `hd0,msdos1`.
fn device_of(text: &str) -> &str {
    text.split(',').next().unwrap_or(text)
}

fn usage<T>(what: &str) -> Done<T> {
    exit(
        1,
        format!(
            "grub-bhyve: {what}\nUsage: grub-bhyve [OPTION...] <VM_NAME>\nTry `grub-bhyve --help' or `grub-bhyve --usage' for more information."
        ),
    )
}
