//! Facts about the host itself. [`host`] runs no process and is read for every command; what a start or `doctor` needs in
//! addition is queried from the host's tools, once, and only where the request needs it.
//!
//! * [`mod@freebsd`], [`mod@linux`]: what that system's tools and files report
//! * [`wanted`]: what one guest opens: files, devices, addresses
//!
//! What cannot be queried stays unknown. Not here: parsing a tool's output (core's `os`), and what follows from it (core's
//! `check`).

mod freebsd;
mod linux;
mod wanted;

pub use wanted::{holders_of, is_terminal};

#[cfg(target_os = "linux")]
use crate::confine;
use crate::platform;
use crate::run;
use crate::runtime::Runtime;
use chyves_core::check::Wants;
use chyves_core::cmd::Cmd;
use chyves_core::confinement::Possible;
use chyves_core::network::nat;
use chyves_core::os::HostFacts;
use chyves_core::os::state::RuntimeSeen;
use chyves_core::os::{HostState, Os, linux::versions};
use chyves_core::vmm::Vmm;
use chyves_core::zfs::Dialect;
use std::path::Path;

/// UEFI firmware of Linux distributions: code, and the template of its variables, in order of preference.
const UEFI_LINUX: &[(&str, &str)] = &[
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd"),
    ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),
];

/// U-Boot of FreeBSD's package, which boots guests on arm64.
const UBOOT: &str = "/usr/local/share/u-boot/u-boot-bhyve-arm64/u-boot.bin";

/// The program that runs guests under QEMU.
pub const QEMU: &str = "qemu-system-x86_64";

/// The operating system of this host.
pub fn os() -> Os {
    platform::here().os()
}

/// The syntax of the host's `zfs`, without running it.
pub fn dialect() -> Dialect {
    platform::here().dialect()
}

fn is_there(name: &str) -> bool {
    crate::hostfs::named::is_there(platform::here().path(name))
}

/// The facts that cost no process. Whether KVM works is left open: it costs a trial, and only a start needs it.
pub fn host(run_dir: &Path) -> HostFacts {
    let platform = platform::here();
    let (release, arch) = name();
    let found = |pairs: &[(&str, &str)]| {
        pairs.iter().find(|(code, vars)| is_there(code) && is_there(vars)).map(|(c, v)| ((*c).to_owned(), (*v).to_owned()))
    };
    let (uefi, program) = match platform.vmm() {
        Vmm::Bhyve => (found(chyves_core::os::freebsd::UEFI), "bhyve"),
        Vmm::Qemu => (found(UEFI_LINUX), QEMU),
    };
    let uboot = (platform.vmm() == Vmm::Bhyve && is_there(UBOOT)).then(|| UBOOT.to_owned());
    HostFacts {
        os: platform.os(),
        release,
        arch,
        vmm: platform.vmm(),
        dialect: platform.dialect(),
        run_dir: run_dir.to_string_lossy().into_owned(),
        uefi,
        kvm: Err("it was not tried".into()),
        hypervisor: run::find_program(program).map(|p| p.to_string_lossy().into_owned()),
        confinement: confinement(),
        state: HostState { uboot, ..HostState::default() },
    }
}

#[cfg(target_os = "linux")]
pub(crate) fn confinement() -> Possible {
    confine::possible()
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn confinement() -> Possible {
    Possible::default()
}

/// The host's release and architecture, as the kernel reports them. In a lab they are not those of the real kernel.
fn name() -> ((u16, u16), String) {
    if platform::here().variable().is_some()
        && let Some(known) = freebsd::name()
    {
        return known;
    }
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    ((numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)), machine(&uname.machine().to_string_lossy()))
}

/// The processor's architecture in FreeBSD's terms.
fn machine(word: &str) -> String {
    match word {
        "x86_64" => "amd64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        other => other.to_owned(),
    }
}

/// The architecture of this host's guests: `amd64`, `arm64`.
pub fn arch() -> String {
    name().1
}

/// Adds the facts that the start of one guest needs. The number of queries does not depend on the number of guests.
pub fn for_start(rt: &Runtime, host: &mut HostFacts, wants: &Wants) {
    host.state.root = Some(rustix::process::geteuid().is_root());
    match host.os {
        Os::FreeBsd => freebsd::for_start(rt, host, wants),
        Os::Linux => linux::for_start(host, wants),
    }
    wanted::look(host, wants);
}

/// Adds the facts about the firmware files of the packages, if they exist.
pub fn firmware(host: &mut HostFacts) {
    if let Some((code, vars)) = host.uefi.clone() {
        wanted::files(&mut host.state, [code.as_str(), vars.as_str()]);
    }
}

/// Adds all facts about the host alone.
pub fn for_doctor(rt: &Runtime, host: &mut HostFacts) {
    host.state.root = Some(rustix::process::geteuid().is_root());
    match host.os {
        Os::FreeBsd => {
            freebsd::for_doctor(host);
            // The kernel's patch level is older if a patch fixed only programs, such as bhyve.
            if let Some(installed) = run::find_program("freebsd-version").and_then(|_| ask(&Cmd::new("freebsd-version", ["-u"]))) {
                host.state.system = Some(installed.trim().to_owned());
            }
        }
        Os::Linux => linux::for_doctor(host),
    }
    for program in ["zfs", "qemu-img", nat::NFT, nat::DNSMASQ] {
        program_there(host, program);
    }
    if host.dialect == Dialect::OpenZfs
        && let Some(version) = ask(&versions::zfs()).and_then(|text| versions::parse_zfs(&text).ok())
    {
        host.state.versions.insert("zfs".to_owned(), version);
    }
    firmware(host);
    host.state.runtime = Some(RuntimeSeen {
        refused: rt.refusal(),
        damaged: rt.damaged().unwrap_or_default().iter().map(|seen| rt.guest_dir(seen.uuid).to_string_lossy().into_owned()).collect(),
    });
}

/// The output of a command; none if its program is missing or it failed.
fn ask(cmd: &Cmd) -> Option<String> {
    run::run(cmd).ok().filter(run::Output::ok).map(|output| output.stdout)
}

/// Records the path of a program, or that it is missing.
fn program_there(host: &mut HostFacts, program: &str) {
    let found = run::find_program(program).map(|path| path.to_string_lossy().into_owned());
    host.state.programs.insert(program.to_owned(), found);
}
