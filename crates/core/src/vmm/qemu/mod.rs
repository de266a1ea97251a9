//! Renders a VM as QEMU's command line: a q35 machine with the same devices at the same PCI addresses as under bhyve.
//!
//! It starts paused (`-S`), so that the supervisor is connected before the first instruction, and exits when the guest
//! reboots (`-no-reboot`), as bhyve does. Not here: QMP (chyves-host).

mod block;
mod descriptors;
mod device;
mod opt;
mod reach;
#[cfg(test)]
mod tests;

use super::Rendered;
use super::machine::{Boot, Machine, Rtc};
use crate::cmd::Cmd;
use crate::device::{BackingKind, FwCfgContent, PciPlace, SerialEnd, Tpm};
use crate::error::{Problem, Result};
use crate::launch::Opened;
use crate::value::printable;
use descriptors::Descriptors;
pub use descriptors::{medium_set, set_of};
use opt::Opt;
pub use reach::{Reach, reach};

/// The properties of a QEMU host, and where a VM's files are on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QemuHost {
    /// The accelerator.
    pub accel: Accel,
    /// The program, by name or path.
    pub program: String,
    /// The path of the QMP socket, which is created for QEMU.
    pub qmp_socket: String,
    /// The path of the console socket, which is created for QEMU.
    pub serial_socket: String,
    /// The file for the VNC password, if there is one. The supervisor passes it to QEMU.
    pub secret_file: String,
    /// Whether QEMU's seccomp sandbox is used.
    pub sandbox: bool,
}

/// How a guest's instructions are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// By the processor, with KVM.
    Kvm,
    /// By emulation.
    Tcg,
}

/// The name of the block node through which a QEMU with that command line opened a disk.
pub fn node_of(machine: &Cmd, path: &str) -> Option<String> {
    block::node_of(&machine.args, path)
}

/// The path of the disk that a QEMU with that command line opened for a block node.
pub fn path_of(machine: &Cmd, node: &str) -> Option<String> {
    block::path_of(&machine.args, node)
}

/// The name of the drive at a PCI address in a VM with that command line, if there is one.
pub fn drive_of(machine: &Cmd, place: PciPlace) -> Option<String> {
    let id = device::drive_id(&device::optical_id(place), 0);
    let has = |arg: &String| arg.starts_with("ide-cd,") && arg.split(',').any(|field| field.strip_prefix("id=") == Some(&id));
    machine.args.iter().any(has).then_some(id)
}

/// The block node of the medium that was in a drive when the VM was started.
pub fn medium_node(drive: &str) -> String {
    block::node_id(drive)
}

/// The maximum length of a UNIX socket's path on Linux.
const SOCKET_PATH: usize = 107;

/// Renders the VM for QEMU.
///
/// # Errors
/// The first thing that QEMU does not support.
pub fn render(machine: &Machine, host: &QemuHost) -> Result<Rendered> {
    let spec = machine.spec();
    let mut args = Args::default();
    let t = spec.topology;
    args.put("-name", Opt::with("guest", &spec.name));
    if host.sandbox {
        args.put("-sandbox", SANDBOX.iter().fold(Opt::new("on"), |all, what| all.set(what, "deny")));
    }
    let mut model = Opt::new("q35");
    let (accel, cpu) = match host.accel {
        Accel::Kvm => ("kvm", "host"),
        Accel::Tcg => ("tcg", "max"),
    };
    let firmware = match &spec.boot {
        Boot::Uefi(firmware) => {
            let parts = [("pflash0", Some(&firmware.code), true), ("pflash1", firmware.vars.as_ref(), false)];
            let parts: Vec<_> = parts.into_iter().filter_map(|(id, path, ro)| path.map(|path| (id, path, ro))).collect();
            for (id, _, _) in &parts {
                model = model.set(id, id);
            }
            parts
        }
        Boot::Bios => Vec::new(),
        Boot::Bhyveload(_) | Boot::GrubBhyve(_) | Boot::UBoot { .. } => return Err(no_loader(&spec.boot)),
    };
    if !spec.pc.acpi {
        model = model.set("acpi", "off");
    }
    args.put("-machine", model);
    args.put("-accel", Opt::new(accel));
    args.put("-cpu", Opt::new(cpu));
    for flag in ["-nodefaults", "-no-user-config", "-no-reboot", "-S"] {
        args.words.push(flag.to_owned());
    }
    args.put("-display", Opt::new("none"));
    args.put("-uuid", Opt::new(&spec.uuid.to_string()));
    args.put("-smp", Opt::with("cpus", t.cpus).set("sockets", t.sockets).set("cores", t.cores).set("threads", t.threads));
    args.put("-m", Opt::with("size", format!("{}M", spec.memory.size.mib_up())));
    if spec.memory.wired {
        args.put("-overcommit", Opt::with("mem-lock", "on"));
    }
    let clock = match spec.rtc {
        Rtc::Utc => "utc",
        Rtc::LocalTime => "localtime",
    };
    args.put("-rtc", Opt::with("base", clock));
    for (id, path, ro) in firmware {
        let file = Opt::with("driver", "raw").set("node-name", id).set("read-only", if ro { "on" } else { "off" });
        let path = args.file(path, !ro, false);
        args.put("-blockdev", file.set("file.driver", "file").set("file.filename", path));
    }
    let qmp = args.socket("qmp", &host.qmp_socket)?;
    args.put("-chardev", qmp);
    args.put("-mon", Opt::with("chardev", "qmp").set("mode", "control"));
    for (n, end) in spec.serial.iter().enumerate() {
        if let Some(end) = end {
            let id = format!("com{}", n + 1);
            let back = chardev(&mut args, &id, end, host)?;
            args.put("-chardev", back);
            args.put("-device", Opt::new("isa-serial").set("chardev", &id).set("index", n));
        }
    }
    let mut files = Vec::new();
    for (place, device) in machine.devices() {
        device::render(&mut device::Room { machine, host, args: &mut args, files: &mut files }, *place, device)
            .map_err(|problem| if problem.object.is_some() { problem } else { problem.on(&spec.name) })?;
    }
    tpm(machine, &mut args)?;
    for item in &spec.fw_cfg {
        let (how, what) = match &item.content {
            FwCfgContent::Text(text) => ("string", text),
            FwCfgContent::File(path) => ("file", path),
        };
        args.put("-fw_cfg", Opt::with("name", &item.name).set(how, what));
    }
    let cmd = Cmd::new(&host.program, args.words).args(spec.extra.clone());
    Ok(Rendered { files, before: Vec::new(), cmd, after: Vec::new(), descriptors: args.descriptors.all })
}

/// What the sandbox denies: obsolete system calls, gaining privileges, starting programs, changing priorities.
const SANDBOX: [&str; 4] = ["obsolete", "elevateprivileges", "spawn", "resourcecontrol"];

/// The arguments of the command line, and the descriptors that they refer to.
#[derive(Default)]
struct Args {
    words: Vec<String>,
    descriptors: Descriptors,
}

impl Args {
    fn put(&mut self, option: &str, value: Opt) {
        self.words.push(option.to_owned());
        self.words.push(value.text());
    }

    /// Adds a file that is opened for QEMU, and returns the path for QEMU to open. The option contains the file's real
    /// path.
    fn file(&mut self, path: &str, write: bool, device: bool) -> String {
        let number = self.descriptors.add(Opened::File { path: path.to_owned(), write, device, beneath: None });
        self.put("-add-fd", Opt::with("fd", number).set("set", number).set("opaque", path));
        descriptors::set(number)
    }

    /// Adds a socket that is created for QEMU, which listens on it.
    fn socket(&mut self, id: &str, path: &str) -> Result<Opt> {
        check_socket(path)?;
        let number = self.descriptors.add(Opened::Listen { path: path.to_owned() });
        Ok(Opt::new("socket").set("id", id).set("fd", number).set("server", "on").set("wait", "off"))
    }
}

/// The error for loaders that only run on a bhyve host.
fn no_loader(boot: &Boot) -> Problem {
    let (what, cure) = match boot {
        Boot::Bhyveload(_) => {
            ("bhyveload is a loader of bhyve, which QEMU cannot use", "set loader=uefi, or loader=bios for an older disk")
        }
        Boot::GrubBhyve(_) => {
            ("grub-bhyve is a loader of bhyve, which QEMU cannot use", "set loader=bios: the guest's own GRUB then boots it")
        }
        Boot::UBoot { .. } | Boot::Uefi(_) | Boot::Bios => ("U-Boot is for arm64, and this is a PC", "set loader=uefi"),
    };
    Problem::host_cant(what).hint(cure)
}

/// Refuses a path that is too long for a socket.
fn check_socket(path: &str) -> Result<()> {
    if path.len() > SOCKET_PATH {
        return Err(Problem::host_cant(format!("the path of a UNIX socket is too long: `{}`", printable(path, 200)))
            .because(format!("it has {} bytes, the system takes {SOCKET_PATH}", path.len()))
            .hint("choose a shorter path"));
    }
    Ok(())
}

/// The host end of a serial port.
fn chardev(args: &mut Args, id: &str, end: &SerialEnd, host: &QemuHost) -> Result<Opt> {
    Ok(match end {
        SerialEnd::Console => args.socket(id, &host.serial_socket)?,
        SerialEnd::Socket(path) => args.socket(id, path)?,
        SerialEnd::Device(path) => Opt::new("serial").set("id", id).set("path", path),
        SerialEnd::Tcp(address) => {
            let host = address.ip();
            Opt::new("socket").set("id", id).set("host", host).set("port", address.port()).set("server", "on").set("wait", "off")
        }
        SerialEnd::Stdio => Opt::new("stdio").set("id", id).set("signal", "off"),
    })
}

fn tpm(machine: &Machine, args: &mut Args) -> Result<()> {
    let Some(tpm) = &machine.spec().tpm else { return Ok(()) };
    match tpm {
        Tpm::Passthru { device } => args.put("-tpmdev", Opt::new("passthrough").set("id", "tpm0").set("path", device)),
        Tpm::Swtpm { socket: path } => {
            check_socket(path)?;
            // swtpm listens; QEMU gets a connected descriptor.
            let number = args.descriptors.add(Opened::Connect { path: path.clone() });
            args.put("-chardev", Opt::new("socket").set("id", "tpm").set("fd", number));
            args.put("-tpmdev", Opt::new("emulator").set("id", "tpm0").set("chardev", "tpm"));
        }
    }
    args.put("-device", Opt::new("tpm-crb").set("tpmdev", "tpm0"));
    Ok(())
}

/// A PCI address as QEMU writes it: both numbers in hexadecimal.
fn addr(place: PciPlace) -> String {
    format!("{:02x}.{:x}", place.slot, place.function)
}

/// The block driver for a file or device.
const fn opener(kind: BackingKind) -> &'static str {
    match kind {
        BackingKind::File => "file",
        BackingKind::Device => "host_device",
    }
}
