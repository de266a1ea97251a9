//! `start`: the host is made ready, then the machine runs under a supervisor of its own.

use super::machine::{self, Fresh, backend, disk_path, tap_name, vars_path};
use super::{Plan, own_guest};
use crate::action::Action;
use crate::cmd::Cmd;
use crate::error::{Problem, Result};
use crate::guest::{Accel, Backend, Guest, Loader, Spec};
use crate::launch::{ConsoleEnd, Control, Launch, Prepare};
use crate::os::{Intent, Os};
use crate::vmm::bhyve::{self, Arch, BhyveHost};
use crate::vmm::qemu::{self, QemuHost};
use crate::vmm::{HostFile, Rendered, Vmm};
use crate::world::{HostFacts, World};
use crate::zfs::args;

/// What is wanted and what the moment gives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// What only the moment can tell.
    pub fresh: Fresh,
}

/// Plans a start.
///
/// # Errors
/// Whatever keeps the guest from starting: it runs, is a template, is foreign, or the host lacks something.
pub fn start(world: &World, guest: &Guest, request: &Request) -> Result<Plan> {
    own_guest(guest)?;
    if guest.is_template() {
        return Err(Problem::not_now(format!("`{}` is a template", guest.name))
            .on(&guest.name)
            .hint(format!("clone it: `chyves clone {} NAME`; or make it a guest: `chyves set {} template=no`", guest.name, guest.name)));
    }
    if guest.state.is_alive() {
        return Ok(Plan::nothing(format!("{} is {} already", guest.name, guest.state.word())));
    }
    let spec = guest.spec()?;
    let host = &world.host;
    let folder = guest.folder()?;
    let made = make(guest, &spec, host, folder, request)?;
    let mut plan = Plan::default();
    for module in modules(&spec, host) {
        plan.push(Action::Host(Intent::LoadModule { module: module.into() }));
    }
    if !guest.mounted {
        plan.push(Action::Mount { dataset: guest.dataset.clone() });
    }
    let disks: Vec<(String, String)> =
        spec.disks.iter().map(|d| (disk_path(guest, folder, d), format!("disk {} of `{}`", d.number, guest.name))).collect();
    if !disks.is_empty() {
        plan.push(Action::CheckFiles { files: disks });
    }
    plan.push(Action::MakeFolder { path: log_dir(folder) });
    if let (Loader::Uefi, Some((_, vars))) = (spec.loader, &host.uefi) {
        plan.push(Action::CopyFile { from: vars.clone(), to: vars_path(folder) });
    }
    if !made.files.is_empty() {
        plan.push(Action::MakeFolder { path: run_dir(guest, host) });
    }
    for file in made.files {
        plan.push(Action::WriteFile { path: file.path, text: file.text });
    }
    for net in spec.nets.iter().filter(|n| backend(n, host.vmm) == Backend::Bridge) {
        let tap = tap_name(guest.uuid, net.number)?;
        plan.push(Action::Host(Intent::MakeTap { tap: tap.clone(), owner: format!("chyves/{}/net{}", guest.uuid, net.number), mtu: net.mtu }));
        plan.push(Action::Host(Intent::Join { bridge: net.bridge.clone(), member: tap }));
    }
    plan.push(Action::Launch(Box::new(made.launch)));
    Ok(plan)
}

/// The launch alone: what a supervisor asks for at each reboot of its guest.
///
/// # Errors
/// As [`start`], but for the machine being alive.
pub fn launch(world: &World, guest: &Guest, request: &Request) -> Result<(Launch, Vec<HostFile>)> {
    own_guest(guest)?;
    let made = make(guest, &guest.spec()?, &world.host, guest.folder()?, request)?;
    Ok((made.launch, made.files))
}

struct Made {
    launch: Launch,
    files: Vec<HostFile>,
}

fn log_dir(folder: &str) -> String {
    format!("{folder}/logs")
}

fn run_dir(guest: &Guest, host: &HostFacts) -> String {
    format!("{}/{}", host.run_dir, guest.uuid)
}

fn make(guest: &Guest, spec: &Spec, host: &HostFacts, folder: &str, request: &Request) -> Result<Made> {
    let machine = machine::build(guest, spec, host, folder, &request.fresh)?;
    let run = run_dir(guest, host);
    let program = host.hypervisor.clone().ok_or_else(|| {
        let line = match host.vmm {
            Vmm::Bhyve => "bhyve is part of FreeBSD; this system has none",
            Vmm::Qemu => "apt-get install qemu-system-x86 ovmf",
        };
        Problem::host_cant(format!("{} is missing on this host", host.vmm)).on(&guest.name).hint(line)
    })?;
    let (rendered, control, console) = match host.vmm {
        Vmm::Qemu => {
            let qmp = format!("{run}/qmp");
            let serial = format!("{run}/serial");
            let host = QemuHost {
                accel: accel(guest, spec, host)?,
                program,
                qmp_socket: qmp.clone(),
                serial_socket: serial.clone(),
                secret_file: format!("{run}/vnc.secret"),
            };
            (qemu::render(&machine, &host)?, Control::Qmp { socket: qmp }, ConsoleEnd::Socket { path: serial })
        }
        Vmm::Bhyve => {
            let nmdm = format!("/dev/nmdm-{}.1", guest.name);
            let host = bhyve_host(host, format!("{nmdm}A"), format!("{run}/bhyve.conf"))?;
            let problems = bhyve::check(&machine, &host);
            if !problems.is_empty() {
                return Err(machine::together(guest, problems));
            }
            (bhyve::render(&machine, &host)?, Control::Bhyve { vm: guest.name.to_string() }, ConsoleEnd::Device { path: format!("{nmdm}B") })
        }
    };
    let Rendered { files, mut before, cmd, mut after } = rendered;
    for net in spec.nets.iter().filter(|n| backend(n, host.vmm) == Backend::Bridge) {
        let tap = tap_name(guest.uuid, net.number)?;
        // FreeBSD takes a tap down when its last user closes it, which every reboot does.
        if host.os == Os::FreeBsd {
            before.push(Prepare { cmd: Cmd::new("ifconfig", [tap.as_str(), "up"]), may_fail: false, timeout: 10 });
        }
        after.extend(Intent::MakeTap { tap, owner: String::new(), mtu: net.mtu }.undo(host.os));
    }
    // What start mounted the end unmounts: a thousand mounted file systems help nobody.
    after.push(args::unmount(&guest.dataset));
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
    };
    Ok(Made { launch, files })
}

fn accel(guest: &Guest, spec: &Spec, host: &HostFacts) -> Result<qemu::Accel> {
    match (spec.accel, &host.kvm) {
        (Accel::Tcg, _) | (Accel::Auto, Err(_)) => Ok(qemu::Accel::Tcg),
        (Accel::Auto | Accel::Kvm, Ok(())) => Ok(qemu::Accel::Kvm),
        (Accel::Kvm, Err(why)) => Err(Problem::host_cant(format!("`{}` wants KVM, which does not work here", guest.name))
            .on(&guest.name)
            .because(why)
            .hint(format!("`chyves set {} accel=auto` takes emulation where KVM is missing", guest.name))),
    }
}

fn bhyve_host(host: &HostFacts, console: String, config_file: String) -> Result<BhyveHost> {
    Ok(BhyveHost {
        release: host.release.into(),
        arch: match host.arch.as_str() {
            "amd64" => Arch::Amd64,
            "arm64" => Arch::Arm64,
            other => return Err(Problem::host_cant(format!("chyves does not know bhyve on `{other}`")).hint("bhyve runs on amd64 and arm64")),
        },
        max_cpus: None,
        emulations: None,
        console,
        config_file,
    })
}

/// The kernel modules that this start needs.
fn modules(spec: &Spec, host: &HostFacts) -> Vec<&'static str> {
    let bridged = spec.nets.iter().any(|n| backend(n, host.vmm) == Backend::Bridge);
    match host.os {
        Os::FreeBsd => {
            let mut all = vec!["vmm", "nmdm"];
            if bridged {
                all.extend(["if_bridge", "if_tuntap"]);
            }
            all
        }
        // Linux loads what is asked for by itself.
        Os::Linux => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::RunState;
    use crate::plan::testing;

    fn request() -> Request {
        Request { fresh: Fresh { vnc_port: 5901, secret: "abcd1234".into() } }
    }

    const USUAL: &[(&str, &str)] =
        &[("disk0.kind", "raw"), ("disk0.size", "64M"), ("net0.backend", "auto"), ("cpu", "2"), ("ram", "256M")];

    #[test]
    fn a_start_on_linux() {
        let g = testing::guest("web01", USUAL);
        let world = testing::world(vec![g.clone()]);
        insta::assert_snapshot!(start(&world, &g, &request()).unwrap().script(Os::Linux));
    }

    #[test]
    fn the_same_guest_on_freebsd() {
        let g = testing::guest("web01", USUAL);
        let mut world = testing::world(vec![g.clone()]);
        world.host = testing::freebsd();
        insta::assert_snapshot!(start(&world, &g, &request()).unwrap().script(Os::FreeBsd));
    }

    #[test]
    fn a_screen_is_on_loopback_with_a_secret_that_no_plan_shows() {
        let mut settings = USUAL.to_vec();
        settings.extend([("uefi_console_output", "vnc"), ("loader", "bios")]);
        let g = testing::guest("web01", &settings);
        let world = testing::world(vec![g.clone()]);
        let text = start(&world, &g, &request()).unwrap().script(Os::Linux);
        assert!(text.contains("127.0.0.1:1") && !text.contains("abcd1234"), "{text}");
    }

    #[test]
    fn what_keeps_a_guest_from_starting_is_told() {
        let refused = |settings: &[(&str, &str)], state: RunState, foreign: Option<&str>| {
            let mut g = testing::guest("web01", settings);
            g.state = state;
            g.foreign = foreign.map(str::to_owned);
            let world = testing::world(vec![g.clone()]);
            start(&world, &g, &request()).unwrap_err().to_string()
        };
        assert!(refused(&[("template", "yes")], RunState::Stopped, None).contains("template"));
        assert!(refused(&[], RunState::Stopped, Some("x owns it")).contains("foreign"));
        assert!(refused(&[("accel", "kvm")], RunState::Stopped, None).contains("KVM"));
        assert!(refused(&[("ram", "3")], RunState::Stopped, None).contains("ram"));
        assert!(refused(&[("loader", "bhyveload")], RunState::Stopped, None).contains("bhyveload"));
        let mut g = testing::guest("web01", &[]);
        g.state = RunState::Running;
        assert!(start(&testing::world(vec![]), &g, &request()).unwrap().steps.is_empty());
    }

    #[test]
    fn taps_are_told_apart_by_identity() {
        let of = |name: &str| tap_name(testing::guest(name, &[]).uuid, 0).unwrap();
        let names: std::collections::BTreeSet<_> = ["web", "web-1", "web01", "web1"].iter().map(|n| of(n)).collect();
        assert_eq!(names.len(), 4);
    }
}
