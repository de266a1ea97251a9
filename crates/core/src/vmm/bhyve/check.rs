//! Finds everything about a VM that the host's bhyve does not support, before anything is started; each problem with the
//! release that supports it or with an alternative.
//!
//! Not here: rules for VMs of any hypervisor (`vmm::check`), and the state of the host (modules, IOMMU, free ports).

use super::feature::{Arch, Feature};
use super::{BhyveHost, extra};
use crate::console::terminal;
use crate::device::{Device, HostDevice, NetBackend, Nic, ScreenSize, ScsiBehind, SerialEnd, Tpm, VncListen};
use crate::error::{Problem, did_you_mean};
use crate::vmm::machine::{Boot, Machine};

/// Maximum number of disks of bhyveload.
const LOADER_DISKS: usize = 32;

/// Whether the firmware needs QEMU's fw_cfg interface. A host-side loader gets the disks in boot order and needs no boot
/// index.
pub(super) fn needs_fw_cfg(machine: &Machine) -> bool {
    let spec = machine.spec();
    let firmware = matches!(spec.boot, Boot::Uefi(_) | Boot::UBoot { .. });
    !spec.fw_cfg.is_empty() || firmware && machine.devices().values().any(has_bootindex)
}

fn has_bootindex(device: &Device) -> bool {
    // Only QEMU supports a boot index of NICs; here it is left out.
    !matches!(device, Device::Nic(_)) && !device.bootindexes().is_empty()
}

/// Everything about the VM that the host's bhyve does not support.
pub fn check(machine: &Machine, host: &BhyveHost) -> Vec<Problem> {
    let spec = machine.spec();
    let release = host.release;
    let mut found = Vec::new();
    let mut need = |feature: Feature, cure: &str| found.extend(feature.on(release).err().map(|problem| problem.hint(cure)));

    need(Feature::Tree, "upgrade the host");
    if host.arch == Arch::Arm64 {
        need(Feature::Arm64, "upgrade the host");
    }
    let most = host.max_cpus.unwrap_or(u16::MAX);
    if spec.topology.cpus > 16 && most > 16 {
        need(Feature::ManyCpus, "`chyves set GUEST cpu=16` or less, or upgrade the host");
    }
    if needs_fw_cfg(machine) {
        need(
            Feature::FwCfg,
            "take bootindex out of disk{n}.options and unset fw_cfg{n} (`chyves get GUEST all` shows them), or upgrade the host",
        );
    }
    match &spec.tpm {
        Some(Tpm::Passthru { .. }) => need(Feature::Tpm, "`chyves unset GUEST tpm`, or upgrade the host"),
        Some(Tpm::Swtpm { .. }) => need(
            Feature::Swtpm,
            "`chyves set GUEST tpm=passthru,/dev/tpm0` gives it the host's own, `chyves unset GUEST tpm` none; or upgrade the host",
        ),
        None => {}
    }
    for device in machine.devices().values() {
        for (feature, cure) in device_needs(device) {
            need(feature, cure);
        }
    }
    for (number, end) in spec.serial.iter().enumerate().map(|(n, end)| (n + 1, end)) {
        if matches!(end, Some(SerialEnd::Tcp(_))) {
            let device =
                format!("`chyves set GUEST com{number}={}` gives it a terminal device; or upgrade the host", terminal("GUEST", number));
            need(Feature::TcpSerial, &device);
        }
    }
    if spec.topology.cpus > most {
        found.push(
            Problem::host_cant(format!("{} processors are configured, the host allows a VM at most {most}", spec.topology.cpus))
                .hint(format!("`chyves set GUEST cpu={most}` or less, or raise hw.vmm.maxcpu in /boot/loader.conf")),
        );
    }
    found.extend(boot(&spec.boot, host.arch));
    found.extend(super::settings(machine, host).iter().filter(|setting| setting.refers).map(super::no_reference));
    if machine.devices().values().filter(|device| device.word() == "xhci").count() > 1 {
        found.push(
            Problem::usage("bhyve has one USB controller (xhci) in a VM")
                .hint("remove the pcidev_{n} with xhci, or `chyves set GUEST vnc_mouse=ps2` for no USB tablet"),
        );
    }
    // Releases without any user network are reported below.
    let has_it = host.release >= Feature::Slirp.since();
    if has_it && host.release < Feature::SlirpOpen.since() && machine.devices().values().any(is_shut_in) {
        found.push(
            Problem::host_cant(format!("a NIC on the user network reaches nothing on FreeBSD {release}"))
                .because("bhyve's user network lets a guest out since FreeBSD 16.0 only (slirp's `open`)")
                .hint("attach the NIC to a bridge: `chyves set GUEST net0.bridge=bridge0`"),
        );
    }
    found.extend(ends(machine));
    if host.arch == Arch::Arm64 {
        found.extend(arm64(machine));
    }
    if let Some(known) = &host.emulations {
        found.extend(unknown(machine, known, host.arch));
    }
    found.extend(extra::check(machine, host));
    let named = |mut p: Problem| {
        p.hints.iter_mut().for_each(|hint| *hint = hint.replace("GUEST", spec.name.as_str()));
        if p.object.is_some() { p } else { p.on(&spec.name) }
    };
    found.into_iter().map(named).collect()
}

/// Whether it is a NIC on bhyve's user network without port forwards, so that the host cannot reach the guest through it either.
fn is_shut_in(device: &Device) -> bool {
    matches!(device, Device::Nic(Nic { backend: NetBackend::User(net), .. }) if net.forwards.is_empty())
}

/// Features that a device needs and that not every release has, each with an alternative.
fn device_needs(device: &Device) -> Vec<(Feature, &'static str)> {
    match device {
        Device::Input(_) => vec![(Feature::Input, "unset its pcidev_{n} (`chyves get GUEST all` shows them), or upgrade the host")],
        Device::FrameBuffer(screen) => {
            let ScreenSize { width, height } = screen.size;
            let large =
                (width > 1920 || height > 1200).then_some((Feature::LargeScreen, "`chyves set GUEST vnc_resolution=1920x1200` or less"));
            let socket = matches!(screen.listen, VncListen::Unix(_)).then_some((Feature::VncSocket, "let VNC listen on an address"));
            large.into_iter().chain(socket).collect()
        }
        Device::Nic(nic) => match &nic.backend {
            NetBackend::User(_) => vec![(Feature::Slirp, "attach the NIC to a bridge: chyves set GUEST net0.bridge=bridge0")],
            NetBackend::Tap(_) | NetBackend::Vale(_) | NetBackend::Netmap(_) | NetBackend::Netgraph(_) => Vec::new(),
        },
        Device::Passthru(device) => match device.host {
            HostDevice::Ppt(_) => vec![(Feature::PptName, "name the device by BUS/SLOT/FUNCTION, as pciconf -l shows them")],
            HostDevice::Address(_) => Vec::new(),
        },
        Device::Scsi(controller) => match controller.behind {
            ScsiBehind::Targets(_) => vec![(Feature::ScsiTargets, "put the disks on virtio-blk, nvme or ahci-hd")],
            ScsiBehind::Ctl { .. } => Vec::new(),
        },
        Device::Uart(uart) if matches!(uart.end, SerialEnd::Tcp(_)) => {
            vec![(Feature::TcpSerial, "use a terminal device, or upgrade the host")]
        }
        Device::Uart(_)
        | Device::HostBridge(_)
        | Device::Lpc
        | Device::Disk(_)
        | Device::RamDisk(_)
        | Device::Optical(_)
        | Device::Ahci(_)
        | Device::Rng
        | Device::Share(_)
        | Device::Console(_)
        | Device::Tablet
        | Device::Hda(_)
        | Device::Filler
        | Device::Raw(_) => Vec::new(),
    }
}

fn boot(boot: &Boot, arch: Arch) -> Option<Problem> {
    let refuse = |what: &str, cure: &str| Some(Problem::host_cant(what.to_owned()).hint(cure));
    match (boot, arch) {
        (Boot::Bios, _) => refuse("bhyve has no PC BIOS", "`chyves set GUEST loader=uefi`, or for FreeBSD guests loader=bhyveload"),
        (Boot::Bhyveload(_), Arch::Arm64) => refuse("bhyveload does not exist on arm64", "`chyves set GUEST loader=uefi`"),
        (Boot::GrubBhyve(_), Arch::Arm64) => refuse("grub-bhyve does not exist on arm64", "`chyves set GUEST loader=uefi`"),
        (Boot::UBoot { .. }, Arch::Amd64) => refuse("U-Boot is for arm64; this host is amd64", "`chyves set GUEST loader=uefi`"),
        (Boot::Bhyveload(loader), Arch::Amd64) if loader.disks.is_empty() => {
            Some(Problem::usage("bhyveload has nothing to boot from").hint("attach a disk, or start with --iso IMAGE"))
        }
        (Boot::Bhyveload(loader), Arch::Amd64) if loader.disks.len() > LOADER_DISKS => Some(
            Problem::usage(format!("bhyveload takes {LOADER_DISKS} disks at most, and this guest has {}", loader.disks.len()))
                .hint("`chyves set GUEST loader=uefi`, or remove disks"),
        ),
        (Boot::Bhyveload(_) | Boot::GrubBhyve(_) | Boot::Uefi(_), Arch::Amd64) | (Boot::Uefi(_) | Boot::UBoot { .. }, Arch::Arm64) => None,
    }
}

/// Connections of serial ports that bhyve does not support.
fn ends(machine: &Machine) -> Vec<Problem> {
    let uarts = machine.devices().values().filter_map(|d| if let Device::Uart(uart) = d { Some(&uart.end) } else { None });
    let sockets = machine.spec().serial.iter().flatten().chain(uarts).filter(|end| matches!(end, SerialEnd::Socket(_)));
    sockets
        .map(|_| {
            Problem::host_cant("bhyve has no serial port on a UNIX socket")
                .hint("use a terminal device, as /dev/nmdm1A, or a virtio-console")
        })
        .collect()
}

/// What bhyve on arm64 does not support.
fn arm64(machine: &Machine) -> Vec<Problem> {
    let spec = machine.spec();
    let mut found = Vec::new();
    let mut refuse = |what: &str, cure: &str| found.push(Problem::host_cant(format!("bhyve on arm64 has no {what}")).hint(cure));
    for device in machine.devices().values() {
        match device {
            Device::FrameBuffer(_) => refuse("frame buffer", "`chyves set GUEST vnc=off`"),
            Device::Tablet => refuse("USB tablet", "`chyves set GUEST vnc_mouse=ps2`"),
            Device::Passthru(_) => refuse("passthrough", "unset its pcidev_{n}: `chyves get GUEST all` shows them"),
            Device::HostBridge(_)
            | Device::Lpc
            | Device::Disk(_)
            | Device::RamDisk(_)
            | Device::Optical(_)
            | Device::Ahci(_)
            | Device::Scsi(_)
            | Device::Nic(_)
            | Device::Rng
            | Device::Share(_)
            | Device::Console(_)
            | Device::Input(_)
            | Device::Hda(_)
            | Device::Uart(_)
            | Device::Filler
            | Device::Raw(_) => {}
        }
    }
    if spec.serial[1..].iter().any(Option::is_some) {
        refuse("second serial port", "`chyves unset GUEST com2 com3 com4`; a virtio-console gives it more");
    }
    if spec.tpm.is_some() {
        refuse("TPM", "`chyves unset GUEST tpm`");
    }
    if !spec.fw_cfg.is_empty() {
        refuse("firmware items", "unset its fw_cfg{n}: `chyves get GUEST all` shows them");
    }
    if matches!(spec.boot, Boot::Uefi(_)) && needs_fw_cfg(machine) && spec.fw_cfg.is_empty() {
        refuse("boot order", "take bootindex out of disk{n}.options");
    }
    found
}

/// Emulations that `bhyve -s help` does not list.
fn unknown(machine: &Machine, known: &[String], arch: Arch) -> Vec<Problem> {
    let mut found: Vec<Problem> = Vec::new();
    for device in machine.devices().values() {
        let word = device.word();
        // Some releases list only one of the names of AHCI.
        let same = |listed: &str| listed == word || (word.starts_with("ahci") && listed.starts_with("ahci"));
        let skipped = *device == Device::Lpc && arch == Arch::Arm64;
        if !skipped && !known.iter().any(|listed| same(listed)) {
            let problem = Problem::host_cant(format!("the host's bhyve has no emulation `{word}`"))
                .hint_if(did_you_mean(word, known.iter().map(String::as_str)))
                .hint("bhyve -s help lists what it has");
            if !found.contains(&problem) {
                found.push(problem);
            }
        }
    }
    found
}
