//! `start`: the host is made ready, then the machine runs under a supervisor of its own.

use super::drives::{self, Drive, Loaded};
use super::firmware::{self, Firmware};
use super::machine::{self, Fresh, backend, disk_path, seed_path};
use super::network::attach;
use super::{Plan, own_guest, revert, snapshot, wants};
use crate::action::Action;
use crate::check::{self, Finding, Severity};
use crate::cloudinit::{self, SeedDisc};
use crate::cmd::Cmd;
use crate::device::{Device, NetBackend, Nic};
use crate::error::{Problem, Result};
use crate::guest::{Accel, Backend, Guest, RunState, Spec, paused};
use crate::launch::{ConsoleEnd, Control, Launch, Prepare};
use crate::os::{Intent, Os, taps};
use crate::value::Dataset;
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
    /// What it is run for.
    pub occasion: Occasion,
    /// Optical drives, as they were so far in this run.
    pub drives: Vec<Drive>,
    /// The guest's snapshots, where [`revert::wanted`] says so.
    pub snapshots: Option<snapshot::Facts>,
    /// The host's networks; where nobody looked, bridges are taken to be there.
    pub network: Option<super::network::Facts>,
}

/// Why a machine is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Occasion {
    /// Somebody starts it.
    #[default]
    Start,
    /// The guest rebooted, for the n-th time since its start.
    Reboot(u32),
    /// It crashed and is to be tried again.
    Crash,
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
    if let RunState::Paused { reason } = &guest.state {
        return Err(paused(&guest.name, &guest.dataset, reason));
    }
    if guest.state.is_alive() {
        return Ok(Plan::nothing(format!("{} is {} already", guest.name, guest.state.word())));
    }
    let spec = guest.spec()?;
    let host = &world.host;
    let folder = guest.folder()?;
    let firmware = firmware::of(world, guest, &spec);
    let wants = wants::of(guest, &spec, host, firmware.as_ref().ok().and_then(Option::as_ref), request.occasion)?;
    let mut findings = check::start(host, &wants);
    if request.network.is_some() {
        // Those who looked closer tell it better.
        findings.retain(|f| f.what != check::network::WHAT);
    }
    let attached = network(world, guest, &spec, request);
    let (made, attached) = unless_refused(guest, &findings, make(world, guest, &spec, folder, firmware, request), attached)?;
    let mut plan = Plan::default();
    plan.steps.extend(made.verify);
    plan.notes.extend(made.note);
    plan.notes.extend(findings.iter().map(Finding::line));
    for module in check::modules::missing(&host.state, &wants.modules) {
        plan.push(Action::Host(Intent::LoadModule { module: module.into() }));
    }
    if !guest.mounted {
        plan.push(Action::Mount { dataset: guest.dataset.clone() });
    }
    // Before the guest's variables, whose template may lie in one of them.
    for dataset in &made.launch.borrows {
        plan.push(Action::Borrow { dataset: dataset.clone() });
    }
    // A disk that is only read need not be writable; whether it is there was looked at.
    let written = spec.disks.iter().filter(|d| !wants::is_read_only(d));
    let disks: Vec<(String, String)> =
        written.map(|d| (disk_path(guest, folder, d), format!("disk {} of `{}`", d.number, guest.name))).collect();
    if !disks.is_empty() {
        plan.push(Action::CheckFiles { files: disks });
    }
    plan.push(Action::MakeFolder { path: log_dir(folder) });
    plan.steps.extend(made.variables);
    if !made.files.is_empty() || made.seed.is_some() {
        plan.push(Action::MakeFolder { path: run_dir(guest, host) });
    }
    plan.steps.extend(made.seed.map(|disc| Action::WriteSeed(Box::new(disc))));
    for file in made.files {
        plan.push(Action::WriteFile { path: file.path, text: file.text });
    }
    plan.notes.extend(attached.notes.iter().cloned());
    plan.steps.extend(attached.steps(&host.run_dir));
    plan.push(Action::Launch(Box::new(made.launch)));
    Ok(plan)
}

/// The launch alone: what a supervisor asks for at each reboot of its guest. The host is checked again, but for what the
/// guest has for itself until the end of its run: its VM object, taps and screen.
///
/// # Errors
/// As [`start`], but for the machine being alive.
pub fn launch(world: &World, guest: &Guest, request: &Request) -> Result<Ready> {
    own_guest(guest)?;
    let (spec, folder) = (guest.spec()?, guest.folder()?);
    let firmware = firmware::of(world, guest, &spec);
    let wants = wants::of(guest, &spec, &world.host, firmware.as_ref().ok().and_then(Option::as_ref), request.occasion)?;
    let findings = check::start(&world.host, &wants);
    let attached = network(world, guest, &spec, request);
    let (made, attached) = unless_refused(guest, &findings, make(world, guest, &spec, folder, firmware, request), attached)?;
    let mut plan = Plan { steps: Vec::new(), notes: findings.iter().map(Finding::line).collect() };
    for module in check::modules::missing(&world.host.state, &wants.modules) {
        plan.push(Action::Host(Intent::LoadModule { module: module.into() }));
    }
    plan.steps.extend(made.launch.borrows.iter().map(|dataset| Action::Borrow { dataset: dataset.clone() }));
    plan.steps.extend(made.variables);
    // Where nobody looked at the networks, they are as the start left them.
    if request.network.is_some() {
        plan.notes.extend(attached.notes.iter().cloned());
        plan.steps.extend(attached.steps(&world.host.run_dir));
    }
    Ok(Ready { launch: made.launch, plan, files: made.files, seed: made.seed })
}

/// A launch, and what has to be written before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The launch.
    pub launch: Launch,
    /// What a setting may have brought that was changed since the start: modules, firmware with its variables, networks.
    pub plan: Plan,
    /// Files of the hypervisor's.
    pub files: Vec<HostFile>,
    /// The guest's cloud-init seed.
    pub seed: Option<SeedDisc>,
}

/// What the guest's cards need of the host's networks. Where nobody looked at them, bridges are taken to be there.
///
/// # Errors
/// What keeps a card from its network.
fn network(world: &World, guest: &Guest, spec: &Spec, request: &Request) -> Result<attach::Attached> {
    if let Some(facts) = &request.network {
        return attach::attach(&world.host, facts, &[(guest, spec)]);
    }
    let mut assumed = attach::Attached::default();
    for net in spec.nets.iter().filter(|n| backend(n, world.host.vmm) == Backend::Bridge) {
        let tap = attach::tap(guest, net)?;
        let (owner, mtu) = (taps::token(guest.uuid, net.number), net.mtu.unwrap_or(1500));
        if world.host.state.left_taps.contains(tap.as_str()) {
            assumed.intents.push(Intent::RemoveTap { tap: tap.clone(), owner: owner.clone() });
        }
        assumed.intents.push(Intent::MakeTap { tap: tap.clone(), owner, mtu, queues: net.queues });
        assumed.intents.push(Intent::Join { bridge: net.bridge.clone(), member: tap, vlan: net.vlan });
    }
    Ok(assumed)
}

/// What was made, unless something keeps the guest from starting: then all of it at once, and nothing is started.
fn unless_refused(
    guest: &Guest,
    findings: &[Finding],
    made: Result<Made>,
    attached: Result<attach::Attached>,
) -> Result<(Made, attach::Attached)> {
    let mut refusals: Vec<Problem> = findings.iter().filter(|f| f.severity == Severity::Fails).map(Finding::problem).collect();
    match (made, attached) {
        (Ok(made), Ok(attached)) if refusals.is_empty() => return Ok((made, attached)),
        (made, attached) => {
            refusals.extend(attached.err());
            refusals.extend(made.err());
        }
    }
    Err(machine::together(guest, refusals))
}

struct Made {
    verify: Option<Action>,
    note: Option<String>,
    variables: Option<Action>,
    launch: Launch,
    files: Vec<HostFile>,
    seed: Option<SeedDisc>,
}

fn log_dir(folder: &str) -> String {
    format!("{folder}/logs")
}

fn run_dir(guest: &Guest, host: &HostFacts) -> String {
    format!("{}/{}", host.run_dir, guest.uuid)
}

fn make(world: &World, guest: &Guest, spec: &Spec, folder: &str, firmware: Result<Option<Firmware>>, request: &Request) -> Result<Made> {
    let host = &world.host;
    let run = run_dir(guest, host);
    let drives = drives::now(&request.drives, request.occasion, spec.eject);
    let loaded = drives::find(world, &drives)?;
    let firmware = firmware?;
    let machine = machine::build(guest, spec, host, folder, &request.fresh, firmware.as_ref(), &loaded)?;
    let back = match &request.snapshots {
        Some(facts) if revert::wanted(guest, &spec.revert, request.occasion)? => revert::steps(guest, spec, host, folder, &run, facts)?,
        _ => revert::Steps::default(),
    };
    let program = host.hypervisor.clone().ok_or_else(|| {
        let line = match host.vmm {
            Vmm::Bhyve => "bhyve is part of FreeBSD; this system has none",
            Vmm::Qemu => "apt-get install qemu-system-x86 ovmf",
        };
        Problem::host_cant(format!("{} is missing on this host", host.vmm)).on(&guest.name).hint(line)
    })?;
    let given = machine.devices().values().filter_map(passed).collect();
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
            (
                bhyve::render(&machine, &host)?,
                Control::Bhyve { vm: guest.name.to_string() },
                ConsoleEnd::Device { path: format!("{nmdm}B") },
            )
        }
    };
    let Rendered { mut files, mut before, cmd, mut after } = rendered;
    let frees_logs = !back.before.is_empty();
    before.splice(0..0, back.before);
    files.extend(back.files);
    // bhyve makes the sockets of a virtio console, does not remove them, and fails where they are.
    for socket in machine.devices().values().flat_map(sockets) {
        let remove = Cmd::new("rm", ["-f", socket]);
        if request.occasion != Occasion::Start {
            before.push(Prepare { cmd: remove.clone(), may_fail: true, timeout: 10 });
        }
        after.push(remove);
    }
    // FreeBSD takes a tap down when its last user closes it, which every reboot does. One of the administrator's own
    // device may come into being only when it is opened.
    let cards = spec.nets.iter().filter(|n| backend(n, host.vmm) == Backend::Bridge);
    let made = cards.map(|net| attach::tap(guest, net)).collect::<Result<Vec<_>>>()?;
    for tap in machine.devices().values().filter_map(tap_of).filter(|_| host.os == Os::FreeBsd) {
        let may_fail = !made.iter().any(|own| own.as_str() == tap);
        before.push(Prepare { cmd: Cmd::new("ifconfig", [tap, "up"]), may_fail, timeout: 10 });
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
        again: drives.iter().flat_map(Drive::again).collect(),
        borrows: borrowed(loaded.iter().flatten().chain(firmware.iter().filter_map(|f| f.image.as_ref()))),
        networks: spec.nets.iter().any(|n| backend(n, host.vmm) == Backend::Bridge),
        given,
        frees_logs,
    };
    let seed = cloudinit::settings::of(guest)?.map(|seed| SeedDisc {
        seed,
        folder: format!("{folder}/{}", cloudinit::FOLDER),
        path: seed_path(guest, host),
    });
    let variables = firmware.and_then(|firmware| firmware.variables(guest, folder));
    Ok(Made { verify: back.verify, note: back.note, variables, launch, files, seed })
}

/// The file systems of images, each once.
fn borrowed<'a>(images: impl Iterator<Item = &'a Loaded>) -> Vec<Dataset> {
    let all: std::collections::BTreeSet<&Dataset> = images.map(|l| &l.dataset).collect();
    all.into_iter().cloned().collect()
}

/// The sockets that the hypervisor makes for a device.
fn sockets(device: &Device) -> Vec<&str> {
    match device {
        Device::Console(console) => console.ports.iter().map(|port| port.socket.as_str()).collect(),
        _ => Vec::new(),
    }
}

/// The tap of a device, whoever made it.
fn tap_of(device: &Device) -> Option<&str> {
    match device {
        Device::Nic(Nic { backend: NetBackend::Tap(tap), .. }) => Some(tap.as_str()),
        _ => None,
    }
}

/// The device of the host behind a device of the guest.
fn passed(device: &Device) -> Option<String> {
    match device {
        Device::Passthru(device) => Some(device.host.to_string()),
        _ => None,
    }
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
            other => {
                return Err(Problem::host_cant(format!("chyves does not know bhyve on `{other}`")).hint("bhyve runs on amd64 and arm64"));
            }
        },
        // The host's limit is one of its checks (`check::processor`).
        max_cpus: None,
        emulations: host.state.emulations.clone(),
        console,
        config_file,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::freebsd::recorded;
    use crate::plan::machine::tap_name;
    use crate::plan::testing;

    fn request() -> Request {
        Request { fresh: Fresh { vnc_port: 5901, secret: "abcd1234".into() }, ..Request::default() }
    }

    const USUAL: &[(&str, &str)] = &[("disk0.kind", "raw"), ("disk0.size", "64M"), ("net0.backend", "auto"), ("cpu", "2"), ("ram", "256M")];

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
    fn a_known_host_loads_only_what_is_missing() {
        let g = testing::guest("web01", USUAL);
        let mut world = testing::world(vec![g.clone()]);
        for (name, loaded) in [("13.5-intel", [""; 0].as_slice()), ("15.0-amd", &["kldload -n vmm", "kldload -n nmdm"]), ("14.3-amd", &[])]
        {
            world.host = recorded::host(name);
            let text = start(&world, &g, &request()).unwrap().script(Os::FreeBsd);
            let modules: Vec<&str> = text.lines().filter(|l| l.starts_with("kldload")).collect();
            assert_eq!(modules, loaded, "{name}");
        }
    }

    #[test]
    fn all_that_keeps_a_guest_from_starting_is_told_at_once() {
        let mut settings = USUAL.to_vec();
        settings.extend([("pcidev_0", "passthru,1/0/0"), ("pcidev_1", "virtio-snd,x=1"), ("net0.bridge", "lan")]);
        let g = testing::guest("web01", &settings);
        let mut world = testing::world(vec![g.clone()]);
        world.host = recorded::host("14.3-intel-restricted");
        let problem = start(&world, &g, &request()).unwrap_err();
        assert_eq!(problem.code, crate::error::Kind::HostCant);
        let told = [vec![problem.message], problem.causes, problem.hints].concat().join("\n");
        insta::assert_snapshot!(told);
    }

    #[test]
    fn a_tap_that_a_killed_run_left_is_made_anew_and_anybody_else_s_is_refused() {
        let g = testing::guest("web01", USUAL);
        let tap = tap_name(g.uuid, 0).unwrap();
        let mut world = testing::world(vec![g.clone()]);
        world.host = recorded::host("13.5-intel");
        world.host.state.interfaces.as_mut().unwrap().insert(tap.to_string(), crate::os::state::InterfaceKind::Other);
        let refused = start(&world, &g, &request()).unwrap_err();
        assert!(refused.message.contains(&format!("the tap {tap}, which net0 wants, is there already")), "{refused}");
        world.host.state.left_taps.insert(tap.to_string());
        let text = start(&world, &g, &request()).unwrap().script(Os::FreeBsd);
        let lines: Vec<&str> = text.lines().filter(|l| l.contains("destroy") || l.contains("tap create")).collect();
        assert_eq!(lines[..2], [format!("ifconfig {tap} destroy"), format!("ifconfig tap create name {tap}")], "{text}");
    }

    #[test]
    fn a_warning_is_a_note_of_the_plan() {
        let g = testing::guest("web01", &[("disk0.kind", "raw"), ("ram", "30G")]);
        let mut world = testing::world(vec![g.clone()]);
        world.host = recorded::host("14.3-intel");
        let plan = start(&world, &g, &request()).unwrap();
        assert_eq!(
            plan.notes,
            ["30G of memory is wanted, and 17G can be had: the host may have to page; `chyves set web01 ram=17408M` or less"]
        );
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

    /// A world with a disc in it.
    fn with_disc(guest: &Guest) -> World {
        let mut world = testing::world(vec![guest.clone()]);
        let disc = crate::world::Image {
            name: "install75".parse().unwrap(),
            dataset: "tank/chyves/images/install75".parse().unwrap(),
            kind: crate::world::ImageKind::Iso,
            ..world.images[0].clone()
        };
        world.images.push(disc);
        world
    }

    fn disc_request(name: &str, occasion: Occasion) -> Request {
        Request { drives: vec![Drive::with(name.parse().unwrap())], occasion, ..request() }
    }

    #[test]
    fn a_disc_is_borrowed_booted_first_and_remembered() {
        let g = testing::guest("web01", &[("loader", "bios"), ("disk0.kind", "raw")]);
        let plan = start(&with_disc(&g), &g, &disc_request("install75", Occasion::Start)).unwrap();
        let Some(Action::Launch(launch)) = plan.steps.last() else { panic!("{plan:?}") };
        assert_eq!(launch.again, ["--drive", "install75@0"]);
        assert_eq!(launch.borrows, ["tank/chyves/images/install75".parse().unwrap()]);
        let borrow = Action::Borrow { dataset: launch.borrows[0].clone() };
        assert!(plan.steps.contains(&borrow) && borrow.undo() == crate::action::Undo::Nothing);
        let line = launch.hypervisor.to_string();
        assert!(line.contains("file.filename=/tank/chyves/images/install75/image.iso"), "{line}");
        assert!(line.contains("drive=cd-3.0-drive0-node,bootindex=0") && line.contains("drive=disk-4.0-node,bootindex=1"), "{line}");
    }

    #[test]
    fn at_its_reboot_the_disc_is_out_and_the_drive_stays() {
        let g = testing::guest("web01", &[("loader", "bios"), ("disk0.kind", "raw"), ("eject_iso_on_n_reboot", "2")]);
        let world = with_disc(&g);
        let at = |n| launch(&world, &g, &disc_request("install75", Occasion::Reboot(n))).unwrap().launch;
        assert_eq!(at(1).again, ["--drive", "install75@0"]);
        let out = at(2);
        assert_eq!((out.again.as_slice(), out.borrows.len()), (&["--drive".to_owned(), "@".to_owned()][..], 0));
        let line = out.hypervisor.to_string();
        assert!(line.contains("ide-cd,bus=cd-3.0.0") && !line.contains("image.iso"), "{line}");
        // Without a drive there is nothing to take out, and none appears.
        let plain = launch(&world, &g, &Request { occasion: Occasion::Reboot(2), ..request() }).unwrap().launch;
        assert!(plain.again.is_empty() && !plain.hypervisor.to_string().contains("ide-cd"));
    }

    #[test]
    fn loaders_of_freebsd_boot_the_disc() {
        let line = |settings: &[(&str, &str)]| {
            let g = testing::guest("web01", settings);
            let mut world = with_disc(&g);
            world.host = testing::freebsd();
            start(&world, &g, &disc_request("install75", Occasion::Start)).unwrap().script(Os::FreeBsd)
        };
        let disc = "/tank/chyves/images/install75/image.iso";
        let uefi = line(USUAL);
        assert!(uefi.contains(&format!("-s 3:0,ahci-cd,{disc}")), "{uefi}");
        let bhyveload = line(&[("loader", "bhyveload"), ("disk0.kind", "raw")]);
        assert!(bhyveload.contains(&format!("-d {disc} -d /tank/chyves/guests/web01/disk0.raw")), "{bhyveload}");
        let g = testing::guest("web01", &[("loader", "grub-bhyve"), ("os", "openbsd"), ("disk0.kind", "raw")]);
        let mut world = with_disc(&g);
        world.host = testing::freebsd();
        let files = launch(&world, &g, &disc_request("install75", Occasion::Start)).unwrap().files;
        let text: String = files.iter().map(|f| f.text.as_str()).collect();
        assert!(text.contains(&format!("(cd0) {disc}")) && text.contains("/7.5/amd64/"), "{text}");
    }

    #[test]
    fn what_is_no_disc_is_refused_with_what_is() {
        let g = testing::guest("web01", &[("loader", "bios")]);
        let world = with_disc(&g);
        let why = |name| start(&world, &g, &disc_request(name, Occasion::Start)).unwrap_err();
        assert_eq!(why("instal75").code.exit_code(), 3);
        assert!(why("instal75").hints[0].contains("`install75`"));
        let disk = why("tiny");
        assert!(disk.message.contains("no ISO but a disk") && disk.hints[0].contains("install75"), "{disk}");
    }

    #[test]
    fn a_seed_is_written_before_the_launch_and_stands_behind_all_disks() {
        let g = testing::guest("web01", &[USUAL, &[("ci.enabled", "yes"), ("ci.user", "ann"), ("ci.password_file", "hash")]].concat());
        let mut world = testing::world(vec![g.clone()]);
        let plan = start(&world, &g, &request()).unwrap();
        let [.., Action::WriteSeed(disc), Action::Launch(launch)] = &plan.steps[..] else { panic!("{plan:?}") };
        assert_eq!(disc.path, format!("{}/{}/cidata.iso", world.host.run_dir, g.uuid));
        assert_eq!(disc.folder, "/tank/chyves/guests/web01/cloud-init");
        let line = launch.hypervisor.to_string();
        assert!(line.contains("addr=1e.0,drive=disk-30.0-node") && line.contains(&disc.path), "{line}");
        assert_eq!(super::launch(&world, &g, &Request { occasion: Occasion::Reboot(1), ..request() }).unwrap().seed.unwrap(), **disc);
        world.host = testing::freebsd();
        let script = start(&world, &g, &request()).unwrap().script(Os::FreeBsd);
        assert!(script.contains("-s 30:0,virtio-blk,") && script.contains("cidata.iso,ro,nodelete,ser=CIDATA"), "{script}");
        // A guest that has no driver for virtio gets a drive that it has one for.
        let ahci = testing::guest("web01", &[("ci.enabled", "yes"), ("disk0.kind", "raw"), ("disk0.bus", "ahci-hd")]);
        let script = start(&world, &ahci, &request()).unwrap().script(Os::FreeBsd);
        assert!(script.contains("-s 30:0,ahci-cd,"), "{script}");
    }

    #[test]
    fn taps_are_told_apart_by_identity() {
        let of = |name: &str| tap_name(testing::guest(name, &[]).uuid, 0).unwrap();
        let names: std::collections::BTreeSet<_> = ["web", "web-1", "web01", "web1"].iter().map(|n| of(n)).collect();
        assert_eq!(names.len(), 4);
    }
}
