//! A VM being put together: what its devices take from the host, and the QEMU command line that plays it.
//! Not its job: what a device means; see `device/`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::config::{Config, ERROR};
use crate::exit::{Done, Or, exit};
use crate::place::Place;
use crate::release::since;

/// A device's node in the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) bus: u8,
    pub(crate) slot: u8,
    pub(crate) function: u8,
    pub(crate) device: String,
}

impl Node {
    /// `pci.0.3.0.key`.
    pub(crate) fn key(&self, key: &str) -> String {
        format!("pci.{}.{}.{}.{key}", self.bus, self.slot, self.function)
    }

    /// A name for QEMU's objects.
    pub(crate) fn id(&self) -> String {
        format!("p{}-{}-{}", self.bus, self.slot, self.function)
    }
}

/// A disk that a device has opened: QEMU's name of it, and in which order firmware is to try it.
pub(crate) struct Drive {
    pub(crate) id: String,
    pub(crate) boot: Option<u32>,
}

/// How the VM starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Firmware {
    /// A boot ROM that QEMU runs, with or without its variables.
    Rom(PathBuf, Option<PathBuf>),
    /// SeaBIOS: a loader has prepared the VM, or the ROM is the lab's own.
    Seabios,
    /// Nothing has been loaded: the processor runs into a triple fault at once.
    Nothing,
}

/// The VM so far.
pub(crate) struct Build<'a> {
    pub(crate) place: &'a Place,
    pub(crate) config: &'a Config,
    pub(crate) name: &'a str,
    /// QEMU's arguments.
    pub(crate) args: Vec<String>,
    /// A folder for the life of this bhyve.
    pub(crate) scratch: PathBuf,
    pub(crate) taps: Vec<String>,
    pub(crate) passthru: Vec<String>,
    /// Sockets that bhyve leaves behind at its end.
    pub(crate) sockets: Vec<PathBuf>,
    /// The path of the disk that a loader read, which is then the one to boot.
    pub(crate) boot_disk: Option<String>,
    pub(crate) wait_for_viewer: bool,
    pub(crate) frame_buffer: bool,
    pub(crate) lpc: bool,
    pub(crate) usb: bool,
    nodes: Vec<(u8, u8, u8)>,
    stdio: bool,
    buses: Vec<u8>,
    drives: u32,
    extra_slots: Vec<u8>,
}

impl<'a> Build<'a> {
    pub(crate) fn new(place: &'a Place, config: &'a Config, name: &'a str, scratch: PathBuf, nodes: &[Node]) -> Build<'a> {
        Build {
            place,
            config,
            name,
            args: Vec::new(),
            scratch,
            taps: Vec::new(),
            passthru: Vec::new(),
            sockets: Vec::new(),
            boot_disk: None,
            wait_for_viewer: false,
            frame_buffer: false,
            lpc: false,
            usb: false,
            nodes: nodes.iter().map(|node| (node.bus, node.slot, node.function)).collect(),
            stdio: false,
            buses: Vec::new(),
            drives: 0,
            extra_slots: Vec::new(),
        }
    }

    /// A value below a device's node.
    pub(crate) fn get(&self, node: &Node, key: &str) -> Done<Option<String>> {
        self.config.get(&node.key(key))
    }

    /// Adds QEMU's device at the node's own place.
    pub(crate) fn device(&mut self, node: &Node, device: &str, options: &[String]) -> Done {
        let (bus, slot, function) = (node.bus, node.slot, node.function);
        // What q35 has of its own cannot be moved.
        if bus == 0 && [(0, 0), (31, 0)].contains(&(slot, function)) {
            return exit(ERROR, format!("lab: QEMU has a bridge of its own at 0:{slot}:{function}, where {device} would have to be"));
        }
        let root = self.bus(bus)?;
        let several = function == 0 && self.nodes.iter().any(|other| (other.0, other.1) == (bus, slot) && other.2 != 0);
        let several = if several { ",multifunction=on" } else { "" };
        let options: String = options.iter().map(|option| format!(",{option}")).collect();
        self.arg("-device", format!("{device}{options},bus={root},addr={slot:x}.{function:x}{several}"));
        Ok(())
    }

    /// Adds QEMU's device on bus 0 where bhyve's guest has nothing, from above; none when all slots are full.
    pub(crate) fn spare_slot(&mut self) -> Option<u8> {
        let free =
            (1..31).rev().find(|slot| !self.extra_slots.contains(slot) && !self.nodes.iter().any(|at| (at.0, at.1) == (0, *slot)))?;
        self.extra_slots.push(free);
        Some(free)
    }

    /// QEMU's name of a bus. bhyve has 256 of them side by side; here each but the first is behind a bridge, so that its
    /// number in the guest is another.
    fn bus(&mut self, bus: u8) -> Done<String> {
        if bus == 0 {
            return Ok("pcie.0".to_owned());
        }
        if !self.buses.contains(&bus) {
            self.buses.push(bus);
            let Some(slot) = self.spare_slot() else { return exit(ERROR, format!("lab: no slot is free for a bridge to bus {bus}")) };
            self.arg("-device", format!("i82801b11-bridge,id=bus{bus},bus=pcie.0,addr={slot:x}"));
        }
        Ok(format!("bus{bus}"))
    }

    pub(crate) fn arg(&mut self, option: &str, value: impl Into<String>) {
        self.args.extend([option.to_owned(), value.into()]);
    }

    /// Opens a disk or an image as a block device of QEMU, as bhyve opens it: for writing where that works, else for
    /// reading, without a word.
    pub(crate) fn drive(&mut self, prefix: &str, readonly: bool) -> Done<Drive> {
        let get = |key: &str| self.config.get(&format!("{prefix}{key}"));
        let Some(path) = get("path")? else { return device_error("Missing \"path\" for block device") };
        let file = self.place.resolve(&path);
        let open = |write: bool| std::fs::File::options().read(true).write(write).open(&file);
        let readonly = readonly || self.place.only_reads(&path) || self.config.is_on(&format!("{prefix}ro"), false)?;
        let (opened, readonly) = match (open(!readonly), readonly) {
            (Ok(opened), readonly) => (Ok(opened), readonly),
            (Err(_), false) => (open(false), true),
            (Err(error), true) => (Err(error), true),
        };
        let kind =
            opened.and_then(|opened| opened.metadata()).map(|data| FileType::from_raw_mode(std::os::unix::fs::MetadataExt::mode(&data)));
        match kind {
            Ok(FileType::RegularFile | FileType::BlockDevice | FileType::CharacterDevice) => {}
            Ok(_) => return device_error(format!("Could not open backing file: {path}: neither a file nor a disk")),
            Err(error) => return device_error(format!("bhyve: Could not open backing file: {path}: {}", os_text(&error))),
        }
        if let Some(size) = get("sectorsize")? {
            check_sectors(&size)?;
        }
        let boot = match get("bootindex")? {
            None => None,
            Some(_) if self.place.host.release < since(14, 0) || self.place.host.firmware_ignores_order() => None,
            Some(number) => match number.parse::<u32>() {
                Ok(number) => Some(number),
                Err(_) => return device_error(format!("Invalid bootindex {number}")),
            },
        };
        let id = format!("disk{}", self.drives);
        self.drives += 1;
        let boot = if self.boot_disk.as_deref() == Some(path.as_str()) { Some(0) } else { boot };
        let discard = if self.config.is_on(&format!("{prefix}nodelete"), false)? { "ignore" } else { "unmap" };
        let readonly = if readonly { "on" } else { "off" };
        // bhyve locks nothing, so that two VMs can open the same image.
        let file = comma(&file);
        self.arg("-drive", format!("if=none,id={id},format=raw,file.locking=off,readonly={readonly},discard={discard},file={file}"));
        Ok(Drive { id, boot })
    }

    /// The order in which a disk is tried: what was asked for first, then disks in the order of their places.
    pub(crate) fn boot_index(&self, drive: &Drive, cd: bool) -> u32 {
        match drive.boot {
            Some(asked) => asked,
            None => (if cd { 20_000 } else { 10_000 }) + self.drives,
        }
    }

    /// A terminal or network port as a character device of QEMU.
    pub(crate) fn terminal(&mut self, id: &str, path: &str) -> Done {
        let value = match path {
            "stdio" if self.stdio => return device_error("stdio is used by another device"),
            "stdio" => {
                self.stdio = true;
                format!("stdio,id={id},signal=off")
            }
            _ => match path.strip_prefix("tcp=") {
                Some(address) => {
                    if self.place.host.release < since(15, 0) {
                        return device_error(format!("Unable to initialize backend '{path}'"));
                    }
                    let (host, port) = listen(address)?;
                    format!("socket,id={id},server=on,wait=off,host={host},port={port}")
                }
                None => {
                    let file = self.place.resolve(path);
                    check_terminal(path, &file)?;
                    format!("serial,id={id},path={}", comma(&file))
                }
            },
        };
        self.arg("-chardev", value);
        Ok(())
    }
}

/// A path as a value of QEMU's: commas are doubled.
pub(crate) fn comma(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

/// The end of a bhyve whose device does not start.
pub(crate) fn device_error<T>(text: impl std::fmt::Display) -> Done<T> {
    exit(ERROR, format!("{text}\nDevice emulation initialization error: Invalid argument"))
}

/// An error's words without Rust's number behind.
pub(crate) fn os_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Checks that an address can be listened on: `ip:port` or `port`. Host and port, as QEMU takes them.
pub(crate) fn listen(address: &str) -> Done<(String, u16)> {
    let (host, port) = address.rsplit_once(':').unwrap_or(("127.0.0.1", address));
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let Ok(port) = port.parse::<u16>() else { return device_error(format!("Invalid port in \"{address}\"")) };
    let address = if bare.contains(':') { format!("[{bare}]:{port}") } else { format!("{bare}:{port}") };
    match TcpListener::bind(&address) {
        Ok(_) => Ok((bare.to_owned(), port)),
        Err(error) => device_error(format!("bind: {address}: {}", os_text(&error))),
    }
}

/// `L[/P]`: powers of two, at least 512, and the logical one not above the physical one.
fn check_sectors(text: &str) -> Done {
    let (logical, physical) = text.split_once('/').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u32>().ok().filter(|number| number.is_power_of_two());
    match (number(logical), number(physical)) {
        (Some(logical), Some(physical)) if (512..=physical).contains(&logical) => Ok(()),
        _ => device_error(format!("Invalid sector size \"{text}\"")),
    }
}

/// A serial port's other end must be a terminal. An nmdm is not opened here: its close would hang up who is at its other side.
fn check_terminal(path: &str, file: &Path) -> Done {
    let bad = |why: &str| device_error(format!("Unable to initialize backend '{path}': {why}"));
    let Ok(kind) = std::fs::metadata(file).map(|data| FileType::from_raw_mode(std::os::unix::fs::MetadataExt::mode(&data))) else {
        return bad("No such file or directory");
    };
    if kind != FileType::CharacterDevice {
        return bad("Inappropriate ioctl for device");
    }
    if !path.starts_with("/dev/nmdm") {
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::NONBLOCK;
        let opened = rustix::fs::open(file, flags, rustix::fs::Mode::empty()).or_broken(file.display())?;
        if !rustix::termios::isatty(&opened) {
            return bad("Inappropriate ioctl for device");
        }
    }
    Ok(())
}
