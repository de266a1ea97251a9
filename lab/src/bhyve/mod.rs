//! bhyve(8): reads its command line as bhyve does, refuses what bhyve refuses, and runs the guest in QEMU.
//!
//! `options` reads, `config` keeps, `slot` and `lpc` know the devices, `build` puts QEMU's command line together, `life` runs
//! it and ends with bhyve's exit status. Not its job: VM objects, which other tools touch, too; see `vm`.

mod build;
mod config;
mod device;
mod life;
mod lpc;
mod options;
mod qmp;
mod slot;
mod topology;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::exit::{Done, Or, USAGE, broken, exit};
use crate::host::{Acpi, Cpu};
use crate::memsize;
use crate::place::Place;
use crate::release::since;
use crate::vm::{self, Errno, Loaded, Vm};
use build::{Build, Firmware, Node};
use config::{Config, ERROR};
use options::Asked;
use topology::Topology;

pub(crate) use device::net::SLIRP;

pub(crate) use life::run_prepared;
pub(crate) use lpc::{ROM_FILES, write_rom};

/// How a running bhyve begins its title: `bhyve: web01 (bhyve)`.
pub(crate) const TITLE: &str = "bhyve: ";
/// The environment of a bhyve that has become its title: the file of its order.
const ORDER: &str = "CHYVES_LAB_ORDER";

/// What is left to do once everything is checked. Handed over the exec by which bhyve gets its title.
#[derive(Serialize, Deserialize)]
struct Order {
    name: String,
    qemu: Vec<String>,
    scratch: PathBuf,
    taps: Vec<String>,
    sockets: Vec<PathBuf>,
    /// Can the guest switch ACPI on at all?
    acpi: bool,
    /// Does a halt of all processors end the VM? Only where HLT leaves the guest.
    halts: bool,
    destroy_on_poweroff: bool,
    wait_for_viewer: bool,
    /// The file of the firmware's variables, which stays mapped.
    variables: Option<PathBuf>,
    /// Nothing was loaded: end at once, as a triple fault does.
    empty: bool,
}

pub(crate) fn run(place: &Place, args: &[String]) -> Done {
    let config = match options::parse(place, args)? {
        Asked::Answered => return Ok(()),
        Asked::Run(config) => config,
    };
    if config.is_on("config.dump", false)? {
        print!("{}", config.dump());
        return exit(1, "");
    }
    if config.is_on("monitor", false)? {
        return Err(broken("there is no monitor mode (-M) in the lab"));
    }
    let name = config.get("name")?.unwrap_or_default();
    let topology = topology::resolve(&config)?;
    let Some(memory) = config.get("memory.size")?.and_then(|size| memsize::parse(&size)) else {
        return exit(USAGE, format!("invalid memsize '{}'", config.get("memory.size")?.unwrap_or_default()));
    };
    let rom = lpc::bootrom(place, &config)?;
    let has_rom = rom.is_some();
    let variables = rom.as_ref().and_then(|(_, variables)| variables.clone());
    let memory = topology::domains(&config, has_rom)?.unwrap_or(memory);
    let (claim, loaded) = open_vm(place, &name, has_rom)?;
    check_cpus(place, topology)?;
    check_memory(place, &config, memory, loaded.as_ref())?;

    let scratch = place.path(&format!("run/bhyve.{}", std::process::id()));
    fs::create_dir_all(&scratch).or_broken(scratch.display())?;
    let nodes = nodes(&config)?;
    let mut build = Build::new(place, &config, &name, scratch, &nodes);
    build.boot_disk = loaded.as_ref().map(|loaded| loaded.disk.clone());
    let made = devices(&mut build, &nodes, rom, loaded.as_ref());
    let firmware = match made {
        Ok(firmware) => firmware,
        Err(error) => {
            let _ = fs::remove_dir_all(&build.scratch);
            return Err(error);
        }
    };
    machine(&mut build, topology, memory, &firmware)?;
    let frame_buffer = build.frame_buffer;

    let acpi = config.is_on("acpi_tables", false)? && place.host.acpi != Acpi::Off && !place.host.arm64();
    let order = Order {
        name: name.clone(),
        acpi,
        halts: config.is_on("x86.vmexit_on_hlt", false)? || place.host.arm64(),
        destroy_on_poweroff: config.is_on("destroy_on_poweroff", false)?,
        wait_for_viewer: build.wait_for_viewer,
        variables: variables.as_deref().map(|path| place.resolve(path)),
        empty: firmware == Firmware::Nothing,
        qemu: build.args,
        scratch: build.scratch,
        taps: build.taps.clone(),
        sockets: build.sockets,
    };
    let Topology { sockets, cores, threads, .. } = topology;
    let pid = std::process::id();
    let vm = Vm { loaded: None, pid, qemu: 0, sockets, cores, threads, memory, taps: build.taps, passthru: build.passthru, jail: None };
    vm::write(place, &name, &vm)?;
    covered(place, &nodes, &config, has_rom, loaded.as_ref());
    if has_rom {
        vm::add_segment(place, &name, "bootrom")?;
    }
    if frame_buffer {
        vm::add_segment(place, &name, "framebuffer")?;
    }
    become_title(place, claim, &order)
}

/// The file in which a test counts what its labs have run.
const COVERED: &str = "CHYVES_LAB_COVERED";

/// Tells a test what is run here, where it wants to know.
fn covered(place: &Place, nodes: &[Node], config: &Config, rom: bool, loaded: Option<&Loaded>) {
    let Some(file) = std::env::var_os(COVERED) else { return };
    let loader = match (loaded, rom) {
        (Some(loaded), _) => loaded.by.as_str(),
        (None, true) if place.host.arm64() => "u-boot",
        (None, true) => "uefi",
        (None, false) => "none",
    };
    let mut text: String = nodes.iter().map(|node| format!("lab device {}\n", node.device)).collect();
    for port in (1..=4).map(|n| format!("com{n}")).filter(|port| matches!(config.get(&format!("lpc.{port}.path")), Ok(Some(_)))) {
        text.push_str(&format!("lab device {port}\n"));
    }
    if matches!(config.get("tpm.type"), Ok(Some(_))) {
        text.push_str("lab device tpm\n");
    }
    text.push_str(&format!("lab loader {loader}\nlab release {}\n", place.host.release));
    let open = fs::File::options().append(true).create(true).open(file);
    let _ = open.and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
}

/// Opens the VM, and makes it where there is a boot ROM. Whoever runs it holds its lock.
fn open_vm(place: &Place, name: &str, rom: bool) -> Done<(fs::File, Option<Loaded>)> {
    if !rustix::process::geteuid().is_root() {
        return exit(ERROR, "bhyve: vm_openf: Operation not permitted");
    }
    let fail = |text: &str| exit(ERROR, format!("bhyve: vm_openf: {text}"));
    if let Some(jail) = &place.jail {
        if !jail.vmm {
            return fail("Operation not permitted");
        }
        if !jail.shows(&format!("vmm/{name}")) {
            return fail("No such file or directory");
        }
    }
    if place.host.arm64() && !rom {
        return exit(ERROR, "bhyve: no bootrom specified");
    }
    let loaded = match vm::open(place, name)? {
        // With a boot ROM it is taken back to its beginning, without one it is what the loader left.
        Ok(_) if rom => None,
        Ok(vm) => vm.loaded,
        Err(_) if !rom => return exit(ERROR, "bhyve: no bootrom was configured"),
        Err(_) => match vm::create(place, name)? {
            Ok(()) => None,
            Err(errno) => return fail(errno.text()),
        },
    };
    match vm::claim_soon(place, name)? {
        Some(mut claim) => {
            vm::sign(&mut claim)?;
            Ok((claim, loaded))
        }
        None => fail(Errno::Busy.text()),
    }
}

fn check_cpus(place: &Place, topology: Topology) -> Done {
    let most = if place.host.runs_any_mode() { place.host.max_vcpus() } else { 1 };
    if topology.cpus > most {
        return exit(ERROR, format!("{} vCPUs requested but only {most} available", topology.cpus));
    }
    Ok(())
}

fn check_memory(place: &Place, config: &Config, memory: u64, loaded: Option<&Loaded>) -> Done {
    // What runs has its memory already; what is wired must really be there.
    let taken: u64 = if config.is_on("memory.wired", false)? { vm::all_running(place)?.iter().map(|(_, vm)| vm.memory).sum() } else { 0 };
    if memory + taken > place.host.physmem {
        return exit(ERROR, "Unable to setup memory (12)");
    }
    if loaded.is_some_and(|loaded| loaded.memory != memory) {
        return exit(ERROR, "Unable to setup memory (22)");
    }
    Ok(())
}

/// The devices of the configuration, in the order of their places.
fn nodes(config: &Config) -> Done<Vec<Node>> {
    let mut nodes = Vec::new();
    for key in config.below("pci.") {
        let Some(at) = key.strip_suffix(".device") else { continue };
        let numbers: Vec<Option<u8>> = at.split('.').map(|part| part.parse().ok()).collect();
        // A deeper `device` belongs to something else, as a USB device's.
        if let [Some(bus), Some(slot @ 0..=31), Some(function @ 0..=7)] = numbers[..] {
            let device = config.get(&format!("pci.{key}"))?.unwrap_or_default();
            nodes.push(Node { bus, slot, function, device });
        }
    }
    nodes.sort_by_key(|node| (node.bus, node.slot, node.function));
    Ok(nodes)
}

/// Starts all devices and finds out what the guest starts from.
fn devices(build: &mut Build, nodes: &[Node], rom: Option<(String, Option<String>)>, loaded: Option<&Loaded>) -> Done<Firmware> {
    for node in nodes {
        slot::init(build, node)?;
    }
    lpc::init(build)?;
    if !build.passthru.is_empty() && loaded.is_some_and(|loaded| !loaded.wired) {
        return build::device_error("passthru requires guest memory to be wired, by the loader as well");
    }
    match (rom, loaded) {
        // Up to 14 it is the LPC bridge that loads the ROM.
        (Some(_), _) if !build.lpc && build.place.host.release < since(15, 0) => Ok(Firmware::Nothing),
        (Some(_), _) if build.place.host.cpu == Cpu::Intel && !build.place.host.unrestricted => {
            exit(ERROR, "ROM boot failed: unrestricted guest capability not available")
        }
        (Some((rom, vars)), _) => match lpc::open_rom(build.place, &rom, vars.as_deref())? {
            // The guest of an arm64 host is an x86 one, and U-Boot is none of its.
            Firmware::Rom(..) if build.place.host.arm64() => Ok(Firmware::Seabios),
            firmware => Ok(firmware),
        },
        (None, Some(_)) => Ok(Firmware::Seabios),
        (None, None) => Ok(Firmware::Nothing),
    }
}

/// QEMU's arguments that are not a device's.
fn machine(build: &mut Build, topology: Topology, memory: u64, firmware: &Firmware) -> Done {
    let Topology { cpus, sockets, cores, threads } = topology;
    let acpi = if build.config.is_on("acpi_tables", false)? || build.place.host.arm64() { "on" } else { "off" };
    let clock = if build.config.is_on("rtc.use_localtime", true)? { "localtime" } else { "utc" };
    let scratch = build.scratch.clone();
    build.arg("-name", build.name.replace(',', ",,"));
    build.arg("-machine", format!("q35,accel=tcg,sata=off,smbus=off,acpi={acpi}"));
    build.arg("-m", format!("{}k", memory.div_ceil(1 << 10)));
    build.arg("-smp", format!("{cpus},sockets={sockets},cores={cores},threads={threads}"));
    build.arg("-rtc", format!("base={clock}"));
    // The one thing that tells a triple fault from a reset is a line that QEMU writes here.
    build.arg("-d", "cpu_reset");
    build.arg("-D", scratch.join("log").to_string_lossy());
    if let Some(uuid) = build.config.get("uuid")? {
        if !is_uuid(&uuid) {
            return exit(ERROR, format!("bhyve: invalid UUID \"{uuid}\""));
        }
        build.arg("-uuid", uuid);
    }
    if let Some(port) = build.config.get("gdb.port")? {
        let address = build.config.get("gdb.address")?.unwrap_or_default();
        build::listen(&format!("{}:{port}", if address == "localhost" { "127.0.0.1" } else { &address }))?;
        build.arg("-gdb", format!("tcp:{address}:{port}"));
        if build.config.is_on("gdb.wait", false)? {
            build.args.push("-S".to_owned());
        }
    }
    if build.wait_for_viewer {
        build.args.push("-S".to_owned());
    }
    for item in build.config.below("lab.fw_cfg.") {
        let value = build.config.get(&format!("lab.fw_cfg.{item}"))?.unwrap_or_default();
        if item.is_empty() || value == "string=" {
            // bhyve takes it, and no guest can find it; QEMU refuses it.
            continue;
        }
        build.arg("-fw_cfg", format!("name={},{}", item.replace(',', ",,"), value.replace(',', ",,")));
    }
    if let Firmware::Rom(rom, vars) = firmware {
        build.arg("-drive", format!("if=pflash,unit=0,format=raw,readonly=on,file.locking=off,file={}", build::comma(rom)));
        if let Some(vars) = vars {
            build.arg("-drive", format!("if=pflash,unit=1,format=raw,file.locking=off,file={}", build::comma(vars)));
        }
    }
    Ok(())
}

fn is_uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The file of variables that a running bhyve has mapped.
pub(crate) fn variables_of(pid: u32) -> Option<PathBuf> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let file = environment.split(|byte| *byte == 0).find_map(|one| one.strip_prefix(format!("{ORDER}=").as_bytes()))?;
    let order: Order = serde_json::from_str(&fs::read_to_string(std::str::from_utf8(file).ok()?).ok()?).ok()?;
    order.variables
}

/// The QEMU that runs the guest of a bhyve: its children, however many processes are between.
pub(crate) fn qemus_of(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children: Vec<u32> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    children.iter().copied().chain(children.iter().flat_map(|child| qemus_of(*child))).collect()
}

/// Goes on under the title that ps(1) shows for a running bhyve, as the same process.
fn become_title(place: &Place, claim: fs::File, order: &Order) -> Done {
    let file = order.scratch.join("order");
    let text = serde_json::to_string(order).or_broken("an order as JSON")?;
    fs::write(&file, text).or_broken(file.display())?;
    // The lock is the open file's: it goes over the exec with it, and is never closed again.
    rustix::io::fcntl_setfd(&claim, rustix::io::FdFlags::empty()).or_broken("the lock of a VM")?;
    let variables = order.variables.as_ref().map(|path| fs::File::options().read(true).write(true).open(path)).transpose();
    let variables = variables.or_broken("the firmware's variables")?;
    if let Some(file) = &variables {
        rustix::io::fcntl_setfd(file, rustix::io::FdFlags::empty()).or_broken("the firmware's variables")?;
    }
    let error = Command::new(place.path("bin/bhyve")).arg0(format!("{TITLE}{} (bhyve)", order.name)).env(ORDER, &file).exec();
    drop(claim);
    Err(broken(format_args!("{}: {error}", place.path("bin/bhyve").display())))
}
