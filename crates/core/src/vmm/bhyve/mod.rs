//! Renders a VM as bhyve's command line, for each release of FreeBSD with the options that it supports.
//!
//! Not here: commands that prepare the host (modules, taps), and the meaning of bhyve's exit status.
//!
//! To add an option of bhyve: a `Setting` in `settings`, and a row of [`Feature`] if not every release supports it.

mod check;
mod conf;
mod device;
mod extra;
mod feature;
pub mod jail;
mod opens;
#[cfg(test)]
mod tests;

pub use crate::os::freebsd::Release;
pub use check::check;
pub use extra::{Given, given, judge, replaced};
pub use feature::{Arch, Feature};
pub use opens::of as opens;

use super::machine::{Boot, Machine, Rtc, Uefi};
use super::{HostFile, Rendered};
use crate::cmd::Cmd;
use crate::device::{Device, FwCfgContent, Tpm};
use crate::error::{Problem, Result};
use crate::launch::Prepare;
use crate::os::freebsd::bhyve::destroy;
use conf::{Setting, Unfit, literal};

/// The properties of a bhyve host, and where a VM's files are on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BhyveHost {
    /// The release of FreeBSD.
    pub release: Release,
    /// The processor architecture.
    pub arch: Arch,
    /// The maximum number of virtual CPUs of a VM (`hw.vmm.maxcpu`), if known.
    pub max_cpus: Option<u16>,
    /// The emulations that `bhyve -s help` lists, if they were read.
    pub emulations: Option<Vec<String>>,
    /// The VM's side of the console, such as `/dev/nmdm-web1.1A`.
    pub console: String,
    /// The path of the configuration file with the settings that cannot be on the command line.
    pub config_file: String,
}

/// Size of the arguments in bytes beyond which settings are moved to the file: a quarter of what FreeBSD allows for a new
/// process, which has to hold its environment too.
const LONGEST: usize = 128 * 1024;
/// Timeout in seconds for destroying an old VM object: its memory is freed page by page.
const DESTROY_TIMEOUT: u32 = 60;

/// Renders the VM for bhyve. `before` destroys a leftover VM object and runs the loader; `after` destroys the object of
/// this run.
///
/// # Errors
/// The first thing that the host's bhyve does not support ([`check()`] returns all of them).
pub fn render(machine: &Machine, host: &BhyveHost) -> Result<Rendered> {
    if let Some(problem) = check(machine, host).into_iter().next() {
        return Err(problem);
    }
    let spec = machine.spec();
    let settings = settings(machine, host);
    let length: usize = settings.iter().flat_map(|s| &s.words).chain(&spec.extra).map(|word| word.len() + 1).sum();
    let mut words = Vec::new();
    let mut lines = String::new();
    let mut secret = false;
    for setting in settings {
        let stays = setting.unfit == Unfit::No && length <= LONGEST;
        match setting.tree {
            Some(tree) if !stays => {
                secret |= setting.unfit == Unfit::Secret;
                lines.extend(tree.iter().map(|(key, value)| format!("{key}={value}\n")));
            }
            None if setting.unfit != Unfit::No => return Err(no_comma(&setting)),
            _ => words.extend(setting.words),
        }
    }
    let mut cmd = Cmd::new("bhyve", Vec::<String>::new());
    let mut files = Vec::new();
    if !lines.is_empty() {
        cmd = cmd.args(["-k", &host.config_file]);
        files.push(HostFile { path: host.config_file.clone(), text: lines, mode: 0o600, secret });
    }
    // bhyve applies its arguments from left to right and the last one takes precedence, so the user's own are last.
    let cmd = cmd.args(words).args(spec.extra.clone()).arg(spec.name.as_str());

    let destroy = destroy(spec.name.as_str());
    let mut before = vec![Prepare { cmd: destroy.clone(), may_fail: true, timeout: DESTROY_TIMEOUT, loads: false }];
    match &spec.boot {
        Boot::Bhyveload(loader) => before.push(loader.prepare(&spec.name, spec.memory_with_extra(), &host.console)),
        Boot::GrubBhyve(loader) => {
            let (loader_files, prepares) = loader.prepare(&spec.name, spec.memory_with_extra(), &host.console)?;
            files.extend(loader_files);
            before.extend(prepares);
        }
        Boot::Uefi(_) | Boot::UBoot { .. } | Boot::Bios => {}
    }
    Ok(Rendered { files, before, cmd, after: vec![destroy], descriptors: Vec::new() })
}

/// The error for a comma in a setting that only the command line can express.
fn no_comma(setting: &Setting) -> Problem {
    Problem::usage(format!("cannot pass `{}` to bhyve", setting.words.join(" ")))
        .because("a comma in a path or name ends it there")
        .hint("rename it without the comma")
}

/// The error for a value that bhyve would interpret as a reference to another setting.
fn no_reference(setting: &Setting) -> Problem {
    Problem::usage(format!("cannot pass `{}` to bhyve", setting.words.join(" ")))
        .because("one of its values contains `%(`, which bhyve reads as a reference to another setting")
        .hint("choose a path, name or password without `%(`")
}

/// All settings of a VM, in the usual order of a command line.
fn settings(machine: &Machine, host: &BhyveHost) -> Vec<Setting> {
    let spec = machine.spec();
    let amd64 = host.arch == Arch::Amd64;
    let mut all = Vec::new();
    let topology = spec.topology;
    let parts = [("cpus", topology.cpus), ("sockets", topology.sockets), ("cores", topology.cores), ("threads", topology.threads)];
    let text: Vec<String> = parts.iter().map(|(key, n)| format!("{key}={n}")).collect();
    all.push(Setting {
        words: vec!["-c".into(), text.join(",")],
        unfit: Unfit::No,
        refers: false,
        tree: Some(parts.iter().map(|(key, n)| ((*key).to_owned(), n.to_string())).collect()),
    });
    // Always with a unit: bhyve interprets a bare number as megabytes or bytes, depending on its size.
    let memory = format!("{}M", spec.memory.size.mib_up());
    all.push(Setting::plain(&["-m", &memory], &[("memory.size", &memory)]));
    if amd64 {
        // Up to 14.x there are no ACPI tables without it; newer releases build them unless the key disables them.
        match (spec.pc.acpi, host.release < Release::new(15, 0)) {
            (true, true) => all.push(Setting::plain(&["-A"], &[("acpi_tables", "true")])),
            (false, false) => all.push(Setting::plain(&["-o", "acpi_tables=false"], &[("acpi_tables", "false")])),
            (true, false) | (false, true) => {}
        }
        // All three are on by default: without the first, an idle guest keeps the host's processors busy, and Linux and
        // Windows fail on unknown MSRs.
        if spec.pc.exit_on_hlt {
            all.push(Setting::plain(&["-H"], &[("x86.vmexit_on_hlt", "true")]));
        }
        if spec.pc.exit_on_pause {
            all.push(Setting::plain(&["-P"], &[("x86.vmexit_on_pause", "true")]));
        }
        if spec.pc.ignore_bad_msr {
            all.push(Setting::plain(&["-w"], &[("x86.strictmsr", "false")]));
        }
        match spec.rtc {
            Rtc::Utc => all.push(Setting::plain(&["-u"], &[("rtc.use_localtime", "false")])),
            Rtc::LocalTime => {}
        }
    }
    if spec.memory.wired {
        all.push(Setting::plain(&["-S"], &[("memory.wired", "true")]));
    }
    if spec.memory.in_core {
        all.push(Setting::plain(&["-C"], &[("memory.guest_in_core", "true")]));
    }
    let uuid = spec.uuid.to_string();
    all.push(Setting::plain(&["-U", &uuid], &[("uuid", &uuid)]));
    for (place, device) in machine.devices() {
        if amd64 || *device != Device::Lpc {
            all.push(device::conf(device, host).at(*place));
        }
    }
    serial(machine, host, &mut all);
    firmware(machine, host, &mut all);
    all
}

/// The PC's serial ports; arm64 has one, which is the console.
fn serial(machine: &Machine, host: &BhyveHost, all: &mut Vec<Setting>) {
    for (n, end) in machine.spec().serial.iter().enumerate() {
        let Some(end) = end else { continue };
        let path = literal(&device::serial_end(end, host));
        let port = format!("com{}", n + 1);
        all.push(match host.arch {
            Arch::Amd64 => {
                // Everything after the port's name is the path, including commas.
                Setting::plain(&["-l", &format!("{port},{path}")], &[(&format!("lpc.{port}.path"), &path)])
            }
            Arch::Arm64 => Setting::plain(&["-o", &format!("console={path}")], &[("console", &path)]),
        });
    }
}

/// Firmware, TPM and fw_cfg items.
fn firmware(machine: &Machine, host: &BhyveHost, all: &mut Vec<Setting>) {
    let spec = machine.spec();
    match &spec.boot {
        Boot::Uefi(firmware) if host.arch == Arch::Amd64 => all.push(bootrom(firmware, host, check::needs_fw_cfg(machine))),
        // On arm64 there is only the image: bhyve has no key for variables there.
        Boot::Uefi(Uefi { code: image, .. }) | Boot::UBoot { image } => {
            let image = literal(image);
            all.push(Setting::plain(&["-o", &format!("bootrom={image}")], &[("bootrom", &image)]));
        }
        Boot::Bhyveload(_) | Boot::GrubBhyve(_) | Boot::Bios => {}
    }
    if let Some(tpm) = &spec.tpm {
        let (kind, path) = match tpm {
            Tpm::Passthru { device } => ("passthru", literal(device)),
            Tpm::Swtpm { socket } => ("swtpm", literal(socket)),
        };
        let words = format!("tpm,{kind},{path}");
        all.push(Setting::plain(&["-l", &words], &[("tpm.type", kind), ("tpm.path", &path)]).unfit_if(path.contains(',')));
    }
    for item in &spec.fw_cfg {
        let (how, what) = match &item.content {
            FwCfgContent::Text(text) => ("string", text),
            FwCfgContent::File(path) => ("file", path),
        };
        // bhyve splits it at the first comma only, and expands no references in it.
        let words = vec!["-f".to_owned(), format!("{},{how}={what}", item.name)];
        all.push(Setting { words, unfit: Unfit::No, refers: false, tree: None }.unfit_if(item.name.contains(',')));
    }
}

/// The boot ROM and the guest's variables; from 15.0 on their keys are at the top level of the tree.
fn bootrom(firmware: &Uefi, host: &BhyveHost, fw_cfg: bool) -> Setting {
    let top = if host.release < Release::new(15, 0) { "lpc." } else { "" };
    let code = literal(&firmware.code);
    let mut words = format!("bootrom,{code}");
    let mut tree = vec![(format!("{top}bootrom"), code)];
    if let Some(vars) = firmware.vars.as_deref().map(literal) {
        words = format!("{words},{vars}");
        tree.push((format!("{top}bootvars"), vars));
    }
    if fw_cfg {
        words.push_str(",fwcfg=qemu");
        tree.push(("lpc.fwcfg".to_owned(), "qemu".to_owned()));
    }
    // The second word is the variables' path unless it contains a `=`.
    let unfit = firmware.code.contains(',') || firmware.vars.as_deref().is_some_and(|vars| vars.contains([',', '=']));
    let refers = tree.iter().any(|(_, value)| conf::refers(value));
    Setting { words: vec!["-l".to_owned(), words], unfit: Unfit::No, refers, tree: Some(tree) }.unfit_if(unfit)
}
