//! bhyve: its program, the programs of loaders, firmware, and existing VM objects of others.

use super::{Finding, FirmwareFile, WantedFirmware, Wants};
use crate::guest::Loader;
use crate::os::HostFacts;
use crate::os::freebsd::pkg;
use crate::os::state::{FileKind, FileSeen};
use crate::value::Size;
use crate::vmm::Vmm;
use crate::vmm::bhyve::{Feature, Release};

const VM: &str = "VM object";
const FIRMWARE: &str = "firmware";

/// Maximum size of firmware code and variables together.
const fn rom(vmm: Vmm) -> Size {
    match vmm {
        Vmm::Bhyve => Size::mib(16),
        Vmm::Qemu => Size::mib(8),
    }
}

/// Firmware is mapped in pages of this size.
const PAGE: u64 = 4096;

/// The command that installs the firmware's package.
pub(super) fn package(host: &HostFacts) -> &'static str {
    if host.arch == "arm64" { "pkg install u-boot-bhyve-arm64" } else { "pkg install edk2-bhyve" }
}

/// bhyve's program and how many features its release has.
pub(super) fn program(host: &HostFacts) -> Finding {
    let what = "bhyve";
    match (&host.hypervisor, &host.state.emulations) {
        (None, _) => Finding::fails(what, "bhyve is missing on this host").cure("it is part of FreeBSD: install the base system's bhyve"),
        (Some(path), Some(all)) => Finding::ok(what, format!("{path}, with {} emulations", all.len())),
        (Some(path), None) => Finding::ok(what, path),
    }
}

/// Loaders other than firmware.
pub(super) fn loaders(host: &HostFacts) -> Option<Finding> {
    let there = |name: &str| host.state.programs.get(name).map(Option::is_some);
    if host.arch == "arm64" {
        return None;
    }
    Some(match (there("bhyveload"), there("grub-bhyve")) {
        (Some(true), Some(true)) => Finding::ok("loaders", "bhyveload, grub-bhyve"),
        (Some(true), Some(false)) => Finding::ok("loaders", "bhyveload; loader=grub-bhyve would want `pkg install grub2-bhyve`"),
        (Some(false), _) => {
            Finding::warns("loaders", "bhyveload is missing, so loader=bhyveload does not work").cure("it is part of FreeBSD's base system")
        }
        (None, _) | (Some(true), None) => Finding::unknown("loaders", "bhyveload and grub-bhyve were not looked for"),
    })
}

/// The host's firmware.
pub(super) fn firmware(host: &HostFacts) -> Finding {
    if host.arch == "arm64" {
        return match &host.state.uboot {
            Some(path) => Finding::ok(FIRMWARE, path),
            None => Finding::fails(FIRMWARE, "there is no U-Boot for guests").cure(package(host)),
        };
    }
    let Some((code, vars)) = &host.uefi else {
        return Finding::fails(FIRMWARE, "there is no UEFI firmware").cure(package(host));
    };
    let file = |path: &String| FirmwareFile { path: path.clone(), size: None };
    let bad = bad_firmware(host, &WantedFirmware { image: None, files: vec![file(code), file(vars)] });
    bad.or_else(|| old_firmware(host)).unwrap_or_else(|| {
        let size = host.state.files.get(code).copied().flatten().map_or_else(String::new, |seen| format!(" ({})", seen.size.human()));
        Finding::ok(FIRMWARE, format!("{code}{size}, variables {vars}"))
    })
}

/// Why a hypervisor does not accept firmware of these sizes.
pub fn unfit(vmm: Vmm, sizes: &[Size]) -> Option<String> {
    if let Some(odd) = sizes.iter().find(|size| size.get() == 0 || !size.get().is_multiple_of(PAGE)) {
        return Some(format!("it has {} bytes, which is not a multiple of the page size", odd.get()));
    }
    let (whole, most) = (sizes.iter().map(|size| size.get()).sum(), rom(vmm));
    (whole > most.get()).then(|| format!("it has {}, and {vmm} takes {}", Size::bytes(whole).human(), most.human()))
}

/// Firmware that the hypervisor does not accept, as far as the sizes of its files are known.
fn bad_firmware(host: &HostFacts, firmware: &WantedFirmware) -> Option<Finding> {
    let bad = |cause: String| {
        Some(Finding::fails(FIRMWARE, cause).cure(match (&firmware.image, host.vmm) {
            (Some(name), _) => format!(
                "`chyves firmware info {name}` shows where it is from; import another one, or set firmware=auto for that of the packages"
            ),
            (None, Vmm::Bhyve) => format!("{} -f", package(host)),
            (None, Vmm::Qemu) => "apt-get install --reinstall ovmf".to_owned(),
        }))
    };
    let mut whole = 0;
    for FirmwareFile { path, size } in &firmware.files {
        let seen = match size {
            Some(size) => Some(FileSeen { kind: FileKind::File, size: *size, writable: false }),
            None => *host.state.files.get(path)?,
        };
        match seen {
            Some(FileSeen { kind: FileKind::File, size, .. }) if size.get() > 0 && size.get().is_multiple_of(PAGE) => whole += size.get(),
            Some(FileSeen { kind: FileKind::File, size, .. }) => {
                return bad(format!("the firmware `{path}` has {} bytes, which is not a multiple of the page size", size.get()));
            }
            Some(_) => return bad(format!("the firmware `{path}` is not a file")),
            None => return bad(format!("the firmware `{path}` is not there")),
        }
    }
    let most = rom(host.vmm);
    if whole <= most.get() {
        return None;
    }
    let names: Vec<String> = firmware.files.iter().map(|file| format!("`{}`", file.path)).collect();
    bad(format!("the firmware {} has {}, and {} takes {}", names.join(" with "), Size::bytes(whole).human(), host.vmm, most.human()))
}

/// Firmware that is too old to support a boot order.
fn old_firmware(host: &HostFacts) -> Option<Finding> {
    let version = host.state.versions.get(pkg::FIRMWARE).filter(|_| Release::from(host.release) >= Feature::FwCfg.since())?;
    pkg::edk2_release(version).filter(|release| *release < pkg::BOOT_ORDER)?;
    let cause = format!(
        "{} {version} ignores the boot order: a disk that has a boot loader is booted before an ISO (EDK II {} reads it)",
        pkg::FIRMWARE,
        pkg::BOOT_ORDER
    );
    Some(Finding::warns(FIRMWARE, cause).cure(format!("pkg upgrade {}", pkg::FIRMWARE)))
}

/// A release with a bhyve that cannot pass a boot order to the firmware.
fn no_boot_order(host: &HostFacts, wants: &Wants) -> Option<Finding> {
    let known = host.vmm == Vmm::Bhyve && host.arch == "amd64" && Release::from(host.release) < Feature::FwCfg.since();
    let cause = format!(
        "FreeBSD {}.{} cannot pass a boot order to the firmware: a disk that has a boot loader, on NVMe or any other bus, is booted before the ISO",
        host.release.0, host.release.1
    );
    known.then(|| {
        Finding::warns(FIRMWARE, cause).cure(format!(
            "a blank disk is passed over; else press Esc as the guest starts (`chyves console {}`) and choose the drive in the boot manager",
            wants.guest
        ))
    })
}

/// The finding for a guest's firmware.
pub(super) fn firmware_start(host: &HostFacts, wants: &Wants) -> Option<Finding> {
    bad_firmware(host, wants.firmware.as_ref()?)
}

/// The findings for a start. Missing firmware or a missing bhyve is reported by the planner.
pub(super) fn start(host: &HostFacts, wants: &Wants) -> Vec<Finding> {
    let mut all = Vec::new();
    let lacks = |name: &str| matches!(host.state.programs.get(name), Some(None));
    match wants.loader {
        Loader::Uefi => {
            all.extend(firmware_start(host, wants));
            if wants.boot_order {
                all.extend(old_firmware(host).or_else(|| no_boot_order(host, wants)));
            }
        }
        Loader::Bhyveload if lacks("bhyveload") => {
            all.push(Finding::fails("loader", "bhyveload is missing on this host").cure("it is part of FreeBSD's base system"));
        }
        Loader::GrubBhyve if lacks("grub-bhyve") => {
            all.push(Finding::fails("loader", "grub-bhyve is missing on this host").cure("pkg install grub2-bhyve"));
        }
        Loader::Bhyveload | Loader::GrubBhyve | Loader::Bios => {}
    }
    all.extend(taken(host, wants));
    all
}

/// A VM object of the guest's name that no run of this guest left. A start would destroy it, whatever runs in it.
fn taken(host: &HostFacts, wants: &Wants) -> Option<Finding> {
    let name = wants.guest.as_str();
    let running = host.state.bhyves.get(name);
    let there = host.state.vms.as_ref().is_some_and(|vms| vms.contains(name));
    if !there || wants.again || (wants.left_by_crash && running.is_none()) {
        return None;
    }
    let who = running.map_or_else(String::new, |process| format!(", and {process} runs it"));
    let finding = Finding::fails(VM, format!("a VM called `{name}` exists on this host that chyves has not created{who}"));
    Some(if running.is_some() {
        finding.cure("stop it with the program that started it")
    } else {
        finding.cure(format!("if no other program wants it: bhyvectl --vm={name} --destroy"))
    })
}
