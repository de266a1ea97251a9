//! A guest's launch: its VM description rendered for the hypervisor of this host, and the commands around it.
//!
//! Not here: preparing the host ([`super`]), the VM description itself ([`crate::plan::machine`]).

use super::{Occasion, Request, confinement};
use crate::action::Action;
use crate::cloudinit::{self, SeedDisc};
use crate::cmd::Cmd;
use crate::confinement::{Level, Means};
use crate::device::{Device, FrameBuffer, SerialEnd, VncListen};
use crate::error::{Code, Problem, Result};
use crate::guest::{Accel, Backend, Guest, Spec, backend};
use crate::launch::{ConsoleEnd, Control, Launch, Opened, Prepare, SECRET_FILE};
use crate::os::{HostFacts, Os};
use crate::plan::drives::{self, Drive, Loaded};
use crate::plan::firmware::Firmware;
use crate::plan::machine::{self, seed_path};
use crate::plan::network::attach;
use crate::plan::revert;
use crate::value::{Dataset, FilePath};
use crate::vmm::bhyve::{self, Arch, BhyveHost};
use crate::vmm::qemu::{self, QemuHost};
use crate::vmm::{Boot, HostFile, Machine, Rendered, Vmm};
use crate::world::World;
use crate::zfs::args;
use std::net::SocketAddr;

/// A launch, with everything that it requires.
pub(super) struct Made {
    /// The step that checks that the snapshot to revert to is still the one that was read.
    pub(super) verify: Option<Action>,
    /// Remarks: the snapshot that the guest reverts to, and which of chyves' arguments the user's own replace.
    pub(super) notes: Vec<String>,
    /// The step that creates the guest's firmware variables.
    pub(super) variables: Option<Action>,
    /// The launch.
    pub(super) launch: Launch,
    /// Files for the hypervisor.
    pub(super) files: Vec<HostFile>,
    /// The guest's cloud-init seed.
    pub(super) seed: Option<SeedDisc>,
}

/// The folder of a guest's logs.
pub(super) fn log_dir(folder: &str) -> FilePath {
    FilePath::below(folder, "logs")
}

/// The folder of a guest's runtime files.
pub(in crate::plan) fn run_dir(guest: &Guest, host: &HostFacts) -> String {
    format!("{}/{}", host.run_dir, guest.uuid)
}

/// Makes a launch from a guest's settings.
///
/// # Errors
/// The settings are not allowed, or the host or its hypervisor does not support them.
pub(super) fn make(
    world: &World,
    guest: &Guest,
    spec: &Spec,
    folder: &str,
    firmware: Result<Option<Firmware>>,
    request: &Request,
) -> Result<Made> {
    let host = &world.host;
    let run = run_dir(guest, host);
    let drives = drives::now(&request.drives, request.occasion, spec.eject);
    let loaded = drives::find(world, &drives)?;
    let firmware = firmware?;
    let machine = machine::build(guest, spec, host, folder, &request.fresh, firmware.as_ref(), &loaded)?;
    let back = match &request.snapshots {
        Some(facts) if revert::wanted(guest, &spec.revert, request.occasion)? => revert::steps(world, guest, spec, folder, &run, facts)?,
        _ => revert::Steps::default(),
    };
    let program = host.hypervisor.clone().ok_or_else(|| {
        let line = match host.vmm {
            Vmm::Bhyve => "bhyve is part of FreeBSD; this system has none",
            Vmm::Qemu => "apt-get install qemu-system-x86 ovmf",
        };
        Code::NoHypervisor.problem(format!("{} is missing on this host", host.vmm)).on(&guest.name).hint(line)
    })?;
    let ports = machine.spec().serial.iter().flatten().filter_map(terminal);
    let given = machine.devices().values().filter_map(|device| device.passed().map(ToString::to_string)).chain(ports).collect();
    let mut confinement = confinement::of(guest, spec, &machine, host)?;
    let mut notes: Vec<String> = back.note.into_iter().collect();
    let (rendered, control, console) = match host.vmm {
        Vmm::Qemu => {
            let qmp = format!("{run}/qmp");
            let serial = format!("{run}/serial");
            let host = QemuHost {
                accel: accel(guest, spec, host)?,
                sandbox: confinement.level != Level::Off,
                program,
                qmp_socket: qmp.clone(),
                serial_socket: serial.clone(),
                secret_file: secret_file(&run),
            };
            (qemu::render(&machine, &host)?, Control::Qmp { socket: qmp }, ConsoleEnd::Socket { path: serial })
        }
        Vmm::Bhyve => {
            let console = machine::console_device(guest);
            let nmdm = console.trim_end_matches('A').to_owned();
            let facts = host;
            let host = bhyve_host(host, format!("{nmdm}A"), format!("{run}/bhyve.conf"))?;
            let problems = bhyve::check(&machine, &host);
            if !problems.is_empty() {
                return Err(machine::together(guest, problems));
            }
            let mut rendered = bhyve::render(&machine, &host)?;
            confinement = confinement::freebsd(guest, spec, &machine, &host, facts, request.fresh.ruleset);
            if let Means::Jail(jail) = &confinement.means {
                jail.contain(&mut rendered, host.arch);
            }
            notes.extend(bhyve::replaced(&machine, &host));
            notes.extend(dark_display(&machine));
            // bhyve reads the password from its configuration; this file is where users find it, as under QEMU.
            let secret = machine.devices().values().find_map(password_of);
            let secret = secret.map(|text| HostFile { path: secret_file(&run), text, mode: 0o600, secret: true });
            rendered.files.extend(secret);
            (rendered, Control::Bhyve { vm: guest.name.to_string() }, ConsoleEnd::Device { path: format!("{nmdm}B") })
        }
    };
    let Rendered { mut files, mut before, cmd, mut after, mut descriptors } = rendered;
    let frees_logs = !back.before.is_empty();
    before.splice(0..0, back.before);
    files.extend(back.files);
    remove_sockets(&machine, request.occasion, &mut before, &mut after);
    before.extend(taps_up(guest, spec, &machine, host)?);
    // The end of the run unmounts what the start mounted, to keep the number of mounts low.
    after.push(args::unmount(&guest.dataset));
    let images = loaded.iter().flatten().chain(firmware.iter().filter_map(|f| f.image.as_ref()));
    let mut opens = if host.vmm == Vmm::Bhyve { bhyve::opens(&machine) } else { Vec::new() };
    locate(descriptors.iter_mut().map(|d| &mut d.what).chain(opens.iter_mut().map(|o| &mut o.what)), folder, images);
    let launch = Launch {
        guest: guest.name.clone(),
        uuid: guest.uuid,
        dataset: guest.dataset.clone(),
        vmm: host.vmm,
        before,
        hypervisor: cmd,
        after,
        control,
        console,
        log_dir: log_dir(folder),
        log_limit: spec.console_log_limit,
        policy: spec.policy,
        again: drives.iter().flat_map(Drive::again).collect(),
        borrows: borrowed(loaded.iter().flatten().chain(firmware.iter().filter_map(|f| f.image.as_ref()))),
        networks: spec.nets.iter().any(|n| matches!(backend(n, host.vmm), Backend::Bridge | Backend::Netgraph)),
        given,
        frees_logs,
        screen: machine.devices().values().filter_map(Device::display).find_map(tcp_address),
        descriptors,
        opens,
        confinement,
        settings: crate::guest::pending::of_next_start(guest),
        made_of: guest.settings.that_hold(),
        kept_because: None,
    };
    let seed =
        cloudinit::settings::of(guest)?.map(|seed| SeedDisc::new(seed, FilePath::below(folder, cloudinit::FOLDER), seed_path(guest, host)));
    let variables = firmware.and_then(|firmware| firmware.variables(guest, folder));
    Ok(Made { verify: back.verify, notes, variables, launch, files, seed })
}

/// bhyve creates the sockets of a virtio console but does not remove them, and fails if they exist.
fn remove_sockets(machine: &Machine, occasion: Occasion, before: &mut Vec<Prepare>, after: &mut Vec<Cmd>) {
    for socket in machine.devices().values().flat_map(Device::sockets) {
        let remove = Cmd::new("rm", ["-f", socket]);
        if occasion != Occasion::Start {
            before.push(Prepare { cmd: remove.clone(), may_fail: true, timeout: 10, loads: false });
        }
        after.push(remove);
    }
}

/// FreeBSD takes a tap down when its last user closes it, which happens at every reboot. A device that the administrator
/// chose may only be created when it is opened.
fn taps_up(guest: &Guest, spec: &Spec, machine: &Machine, host: &HostFacts) -> Result<Vec<Prepare>> {
    if host.os != Os::FreeBsd {
        return Ok(Vec::new());
    }
    let bridged = spec.nets.iter().filter(|n| backend(n, host.vmm) == Backend::Bridge);
    let made = bridged.map(|net| attach::tap(guest, net)).collect::<Result<Vec<_>>>()?;
    let up = |tap: &str| {
        let may_fail = !made.iter().any(|own| own.as_str() == tap);
        Prepare { cmd: Cmd::new("ifconfig", [tap, "up"]), may_fail, timeout: 10, loads: false }
    };
    Ok(machine.devices().values().filter_map(Device::tap).map(up).collect())
}

/// A warning for a display that stays blank: UEFI firmware sets up bhyve's frame buffer, but this guest boots with a loader
/// that runs on the host.
fn dark_display(machine: &Machine) -> Option<String> {
    let loaded = matches!(machine.spec().boot, Boot::Bhyveload(_) | Boot::GrubBhyve(_));
    let display = machine.devices().values().any(|device| device.word() == "fbuf");
    (loaded && display).then(|| {
        "the VNC display stays black: bhyve's frame buffer needs UEFI firmware (`loader=uefi`); without it use the serial console"
            .to_owned()
    })
}

/// Determines for each file which mount point it is below: the guest's or an image's.
fn locate<'a>(all: impl Iterator<Item = &'a mut Opened>, folder: &str, images: impl Iterator<Item = &'a Loaded>) {
    let mounts: Vec<&str> = images.filter_map(|l| Some(l.path.rsplit_once('/')?.0)).chain([folder]).collect();
    for what in all {
        if let Opened::File { path, device: false, beneath, .. } = what {
            let within = |mount: &&&str| path.strip_prefix(**mount).is_some_and(|rest| rest.starts_with('/'));
            *beneath = mounts.iter().find(within).map(|mount| (*mount).to_owned());
        }
    }
}

/// The datasets of images, each once.
fn borrowed<'a>(images: impl Iterator<Item = &'a Loaded>) -> Vec<Dataset> {
    let all: std::collections::BTreeSet<&Dataset> = images.map(|l| &l.dataset).collect();
    all.into_iter().cloned().collect()
}

/// The file that contains the display's password.
fn secret_file(run: &str) -> String {
    format!("{run}/{SECRET_FILE}")
}

/// The password of a display.
fn password_of(device: &Device) -> Option<String> {
    device.display()?.password.as_ref().map(|password| password.reveal().to_owned())
}

/// The address of a VNC display, if it is not on a UNIX socket.
fn tcp_address(display: &FrameBuffer) -> Option<SocketAddr> {
    match display.listen {
        VncListen::Tcp(at) => Some(at),
        VncListen::Unix(_) => None,
    }
}

/// The terminal device at a serial port other than the console.
fn terminal(end: &SerialEnd) -> Option<String> {
    match end {
        SerialEnd::Device(path) => Some(path.clone()),
        SerialEnd::Console | SerialEnd::Tcp(_) | SerialEnd::Socket(_) | SerialEnd::Stdio => None,
    }
}

fn accel(guest: &Guest, spec: &Spec, host: &HostFacts) -> Result<qemu::Accel> {
    match (spec.accel, &host.kvm) {
        (Accel::Tcg, _) | (Accel::Auto, Err(_)) => Ok(qemu::Accel::Tcg),
        (Accel::Auto | Accel::Kvm, Ok(())) => Ok(qemu::Accel::Kvm),
        (Accel::Kvm, Err(why)) => Err(Code::NoKvm
            .problem(format!("`{}` needs KVM, which does not work here", guest.name))
            .on(&guest.name)
            .because(why)
            .hint(format!("`chyves set {} accel=auto` uses emulation where KVM is missing", guest.name))),
    }
}

fn bhyve_host(host: &HostFacts, console: String, config_file: String) -> Result<BhyveHost> {
    Ok(BhyveHost {
        release: host.release.into(),
        arch: match host.arch.as_str() {
            "amd64" => Arch::Amd64,
            "arm64" => Arch::Arm64,
            other => {
                return Err(Problem::host_cant(format!("chyves does not know bhyve on `{other}`")).hint("bhyve runs on amd64 and arm64"));
            }
        },
        // The host's limit is checked in `check::processor`.
        max_cpus: None,
        emulations: host.state.emulations.clone(),
        console,
        config_file,
    })
}
