//! Whether KVM works on this host for ordinary guests. The presence of `/dev/kvm` proves nothing: on some hosts it exists and
//! guests hang in their firmware. Cheap checks run first, then a trial with a guest of one boot sector.
//!
//! Not here: which accelerator a guest uses (`accel=auto|kvm|tcg`), which the planner decides.

use crate::confine::{self, Place};
use crate::hostfs::{kernel, own};
use crate::runtime::{self, Runtime};
use crate::spawner::Spawner;
use crate::{facts, proc, run};
use chyves_core::cmd::Cmd;
use chyves_core::confinement::{Confinement, FIRST_UID, Level, Means, Network, Sandbox};
use chyves_core::launch::{Descriptor, Opened};
use chyves_core::value::json;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// Time limit of the trial. Where KVM works it takes a fraction of this.
const TRIAL: Duration = Duration::from_secs(5);
/// The byte that the trial guest writes to the exit port.
const WORD: u8 = 0x2a;
/// QEMU's exit status after the guest wrote `WORD` to the exit port.
pub const STATUS: i32 = ((WORD as i32) << 1) | 1;

/// Whether this host can run guests with KVM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kvm {
    /// Whether KVM works.
    pub works: bool,
    /// The evidence, or the reason why KVM does not work; a sentence fragment.
    pub reason: String,
}

impl Kvm {
    fn no(reason: impl Into<String>) -> Self {
        Self { works: false, reason: reason.into() }
    }
}

/// The result of a trial, cached until the next boot.
#[derive(Serialize, Deserialize)]
struct Kept {
    boot: String,
    qemu: String,
    kvm: Kvm,
}

/// Whether KVM works with this QEMU binary. The trial runs once per boot; its result is cached in the runtime folder.
pub fn kvm(rt: &Runtime, qemu: &str) -> Kvm {
    if let Some(no) = cheap_no(Path::new("/dev/kvm"), Path::new("/proc/cpuinfo")) {
        return no;
    }
    let boot = proc::boot_id().unwrap_or_default();
    remembered(&rt.root().join("accel.json"), &boot, qemu, || match Spawner::this_program() {
        Ok(spawner) => try_it(rt, &spawner, qemu),
        Err(problem) => Kvm::no(problem.to_string()),
    })
}

/// The result cached since this boot, or else that of a new trial.
fn remembered(path: &Path, boot: &str, qemu: &str, trial: impl FnOnce() -> Kvm) -> Kvm {
    let bytes = own::read(path, 1 << 16).ok();
    let kept = bytes.and_then(|bytes| json::from_slice::<Kept>(&bytes).ok());
    if let Some(kept) = kept.filter(|k| !boot.is_empty() && k.boot == boot && k.qemu == qemu) {
        return kept.kvm;
    }
    let kvm = trial();
    let kept = Kept { boot: boot.to_owned(), qemu: qemu.to_owned(), kvm: kvm.clone() };
    if let Ok(bytes) = serde_json::to_vec(&kept) {
        // If the result cannot be stored, the next call repeats the trial.
        drop(own::replace(path, &bytes));
    }
    kvm
}

/// Checks that need no trial.
fn cheap_no(device: &Path, cpuinfo: &Path) -> Option<Kvm> {
    match kernel::device(device) {
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Some(Kvm::no(format!("there is no {}", device.display())));
        }
        Err(e) => return Some(Kvm::no(format!("cannot open {}: {e}", device.display()))),
    }
    // Only x86 processors have these flags; on others the trial decides.
    let text = kernel::text(cpuinfo).unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags")?.split_once(':'))?.1;
    if flags.split_ascii_whitespace().any(|flag| flag == "vmx" || flag == "svm") {
        return None;
    }
    Some(Kvm::no(format!("{} exists, but the processor has neither vmx nor svm", device.display())))
}

fn try_it(rt: &Runtime, spawner: &Spawner, qemu: &str) -> Kvm {
    match trial(rt, spawner, qemu, "kvm", TRIAL) {
        Ok(Some(status)) if status.code() == Some(STATUS) => Kvm { works: true, reason: "a trial guest ran".to_owned() },
        Ok(Some(status)) => Kvm::no(format!("a trial guest did not run: QEMU ended with {status}")),
        Ok(None) => Kvm::no(format!("a trial guest hung for {} seconds", TRIAL.as_secs())),
        Err(why) => Kvm::no(format!("cannot run {qemu} for a trial: {why}")),
    }
}

/// Runs the trial guest with an accelerator, confined like the QEMU of any guest. Returns its exit status, or none if it did
/// not exit in time.
///
/// # Errors
/// QEMU cannot be run; the text is the reason.
pub fn trial(
    rt: &Runtime,
    spawner: &Spawner,
    qemu: &str,
    accel: &str,
    within: Duration,
) -> std::result::Result<Option<ExitStatus>, String> {
    let program = run::find_program(qemu).ok_or_else(|| format!("the program `{qemu}` is missing"))?;
    let text = |e: &dyn std::fmt::Display| format!("no files for a trial's guest: {e}");
    rt.create().map_err(|e| text(&e))?;
    let folder = rt.root().join(format!("trial-{}", std::process::id()));
    runtime::make_private(&folder).map_err(|e| text(&e))?;
    let sector = folder.join("sector");
    let ended = own::replace(&sector, &boot_sector()).map_err(|e| text(&e)).and_then(|()| {
        let descriptors = vec![Descriptor {
            number: SECTOR,
            what: Opened::File { path: sector.to_string_lossy().into_owned(), write: true, device: false, beneath: None },
        }];
        let place = Place { run: rt.root().to_owned(), guest: folder.clone() };
        let born = confine::try_out(spawner, command(&program, accel), descriptors, confinement(accel == "kvm"), place)?;
        let status = wait(born.child, within).map_err(|e| e.to_string());
        #[cfg(target_os = "linux")]
        if let Some(uid) = born.uid {
            confine::forget_uid(rt.root(), uid);
        }
        status
    });
    drop(own::remove_all(&folder));
    ended
}

/// The strongest confinement that this host supports.
fn confinement(kvm: bool) -> Confinement {
    let (level, _) = facts::confinement().limit(Level::Full);
    let sandbox = Sandbox {
        first_uid: FIRST_UID,
        network: Network::Private,
        shows: Vec::new(),
        owns_files: false,
        locks_memory: false,
        kvm,
        listens: false,
        io_uring: false,
    };
    let means = if level == Level::Off { Means::None } else { Means::Linux(sandbox) };
    Confinement { wanted: Level::Full, level, reasons: Vec::new(), means }
}

/// A boot sector of 512 bytes that writes one byte to the port of `isa-debug-exit` and halts.
fn boot_sector() -> [u8; 512] {
    // mov dx, 0xf4; mov al, WORD; out dx, al; then loop: cli; hlt
    const CODE: [u8; 10] = [0xba, 0xf4, 0x00, 0xb0, WORD, 0xee, 0xfa, 0xf4, 0xeb, 0xfd];
    let mut sector = [0; 512];
    sector[..CODE.len()].copy_from_slice(&CODE);
    sector[510] = 0x55;
    sector[511] = 0xaa;
    sector
}

/// The descriptor number at which QEMU gets the boot sector.
const SECTOR: i32 = 20;

fn command(qemu: &Path, accel: &str) -> Cmd {
    Cmd::new(&qemu.to_string_lossy(), ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "pc", "-m", "16"])
        .args(["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"])
        .args(["-accel", accel])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x01"])
        .args(["-add-fd".to_owned(), format!("fd={SECTOR},set={SECTOR}")])
        .args(["-blockdev".to_owned(), format!("driver=file,node-name=trial,filename=/dev/fdset/{SECTOR}")])
        .args(["-device", "ide-hd,drive=trial"])
}

/// Waits for the child to exit; none if it does not exit within the time.
fn wait(mut child: Child, within: Duration) -> std::io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    child.wait()?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QEMU: &str = "qemu-system-x86_64";

    #[test]
    fn cheap_reasons_come_first() {
        let temp = tempfile::tempdir().unwrap();
        let (device, cpuinfo) = (temp.path().join("kvm"), temp.path().join("cpuinfo"));
        let no = cheap_no(&device, &cpuinfo).unwrap();
        assert!(no.reason.starts_with("there is no "), "{no:?}");
        std::fs::write(&device, "").unwrap();
        std::fs::write(&cpuinfo, "processor\t: 0\nflags\t\t: fpu sse svmx avx\n").unwrap();
        assert!(cheap_no(&device, &cpuinfo).unwrap().reason.ends_with("neither vmx nor svm"));
        for flags in ["fpu vmx", "svm fpu"] {
            std::fs::write(&cpuinfo, format!("flags : {flags}\n")).unwrap();
            assert_eq!(cheap_no(&device, &cpuinfo), None);
        }
        std::fs::write(&cpuinfo, "BogoMIPS : 50\nFeatures : fp asimd\n").unwrap();
        assert_eq!(cheap_no(&device, &cpuinfo), None);
    }

    #[test]
    fn one_trial_is_enough_for_a_boot() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("accel.json");
        let no = |reason: &str| Kvm::no(reason);
        assert_eq!(remembered(&path, "b1", QEMU, || no("first")), no("first"));
        assert_eq!(remembered(&path, "b1", QEMU, || panic!("known")), no("first"));
        assert_eq!(remembered(&path, "b2", QEMU, || no("second")), no("second"));
        assert_eq!(remembered(&path, "b2", "other", || no("third")), no("third"));
        std::fs::write(&path, "half").unwrap();
        assert_eq!(remembered(&path, "b2", "other", || no("fourth")), no("fourth"));
    }

    #[test]
    fn a_missing_program_is_a_no_with_its_name() {
        let temp = tempfile::tempdir().unwrap();
        let rt = Runtime::at(temp.path().join("run"));
        let no = try_it(&rt, &Spawner { exe: "chyves".into(), args: Vec::new() }, "qemu-that-is-not-there");
        assert!(!no.works && no.reason.contains("qemu-that-is-not-there"), "{no:?}");
        assert!(!rt.root().exists(), "nothing to reclaim");
    }
}
