//! What is true of the host itself: system, release, ZFS, firmware, hypervisor.

use crate::run;
use chyves_core::os::{HostState, Os};
use chyves_core::vmm::Vmm;
use chyves_core::world::HostFacts;
use chyves_core::zfs::Dialect;
use std::path::Path;

/// UEFI firmware of the distributions: code, and the template of its variables, the better ones first.
const UEFI_LINUX: &[(&str, &str)] = &[
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd"),
    ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),
];

/// UEFI firmware of FreeBSD's packages.
const UEFI_FREEBSD: &[(&str, &str)] = &[
    ("/usr/local/share/uefi-firmware/BHYVE_UEFI.fd", "/usr/local/share/uefi-firmware/BHYVE_UEFI_VARS.fd"),
    ("/usr/local/share/edk2-bhyve/BHYVE_UEFI.fd", "/usr/local/share/edk2-bhyve/BHYVE_UEFI_VARS.fd"),
];

/// The program that runs guests under QEMU.
pub const QEMU: &str = "qemu-system-x86_64";

/// The operating system that this program was built for.
pub const fn os() -> Os {
    if cfg!(target_os = "freebsd") { Os::FreeBsd } else { Os::Linux }
}

/// Which grammar the host's `zfs` has, without asking it.
pub fn dialect() -> Dialect {
    // FreeBSD has had OpenZFS 2 since 13.0; on Linux the kernel module says that it is there.
    let kernel = Path::new("/sys/module/zfs").exists() || Path::new("/dev/zfs").exists();
    match os() {
        Os::FreeBsd => Dialect::OpenZfs,
        Os::Linux if kernel => Dialect::OpenZfs,
        Os::Linux => Dialect::Fuse,
    }
}

/// The processor's architecture as the system's own name for it: `amd64`, `arm64`.
pub fn arch() -> String {
    let uname = rustix::system::uname();
    match uname.machine().to_string_lossy().as_ref() {
        "x86_64" => "amd64".into(),
        "aarch64" => "arm64".into(),
        other => other.to_owned(),
    }
}

/// The facts of this host. Whether KVM works is left open; it costs a trial and only a start needs it.
pub fn host(run_dir: &Path) -> HostFacts {
    let os = os();
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    let found = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .find(|(code, vars)| Path::new(code).exists() && Path::new(vars).exists())
            .map(|(c, v)| ((*c).to_owned(), (*v).to_owned()))
    };
    let (vmm, uefi, program) = match os {
        Os::FreeBsd => (Vmm::Bhyve, found(UEFI_FREEBSD), "bhyve"),
        Os::Linux => (Vmm::Qemu, found(UEFI_LINUX), QEMU),
    };
    HostFacts {
        os,
        release: (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)),
        arch: arch(),
        vmm,
        dialect: dialect(),
        run_dir: run_dir.to_string_lossy().into_owned(),
        uefi,
        kvm: Err("it was not tried".into()),
        hypervisor: run::find_program(program).map(|p| p.to_string_lossy().into_owned()),
        state: HostState::default(),
    }
}

/// The facts of a FreeBSD 14.3 amd64 host, for planning on another machine.
pub fn freebsd_14_3() -> HostFacts {
    HostFacts {
        os: Os::FreeBsd,
        release: (14, 3),
        arch: "amd64".into(),
        vmm: Vmm::Bhyve,
        dialect: Dialect::OpenZfs,
        run_dir: "/var/run/chyves".into(),
        uefi: Some((UEFI_FREEBSD[0].0.to_owned(), UEFI_FREEBSD[0].1.to_owned())),
        kvm: Err("bhyve has no KVM".into()),
        hypervisor: Some("bhyve".into()),
        state: HostState::default(),
    }
}
