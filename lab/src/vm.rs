//! VM objects, as vmm(4) keeps them: they appear below `/dev/vmm`, and they outlive the bhyve that ran them.
//!
//! A VM is a file `vmm/NAME`. The bhyve that runs it holds a lock on `locks/NAME`, so that a killed one never looks alive.
//! Not its job: running anything.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::exit::{Done, Or, broken};
use crate::host::Destroy;
use crate::place::Place;

/// The longest VM name, from 13.0 on.
const LONGEST: usize = 229;

/// Memory of devices that shows below `/dev/vmm.io`.
const SEGMENTS: &[&str] = &["bootrom", "framebuffer"];

/// What a loader put into a VM's memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Loaded {
    /// `bhyveload` or `grub-bhyve`.
    pub(crate) by: String,
    /// The disk that the loader read its kernel from.
    pub(crate) disk: String,
    /// The guest's memory in bytes: bhyve must say the same.
    pub(crate) memory: u64,
    /// Wired; bhyve must say the same for passthrough.
    pub(crate) wired: bool,
}

/// A VM object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Vm {
    /// A loader's work, until bhyve has run it once.
    pub(crate) loaded: Option<Loaded>,
    /// The bhyve that runs it, or ran it last.
    pub(crate) pid: u32,
    /// The QEMU below that bhyve.
    pub(crate) qemu: u32,
    pub(crate) sockets: u32,
    pub(crate) cores: u32,
    pub(crate) threads: u32,
    /// Bytes.
    pub(crate) memory: u64,
    /// Taps that it has open.
    pub(crate) taps: Vec<String>,
    /// Passed-through devices of the host, as `bus/slot/function`.
    pub(crate) passthru: Vec<String>,
    /// The jail that it was made in: other jails do not see it.
    #[serde(default)]
    pub(crate) jail: Option<String>,
}

/// Why a VM object could not be made or opened, as an errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errno {
    NotThere = 2,
    Busy = 16,
    Exists = 17,
    Invalid = 22,
}

impl Errno {
    /// strerror(3).
    pub(crate) fn text(self) -> &'static str {
        match self {
            Errno::NotThere => "No such file or directory",
            Errno::Busy => "Device busy",
            Errno::Exists => "File exists",
            Errno::Invalid => "Invalid argument",
        }
    }
}

/// Does vmm take this name? (A slash would make a folder below /dev/vmm.)
fn check_name(name: &str) -> Result<(), Errno> {
    let good = !name.is_empty() && name.len() <= LONGEST && name != "." && name != ".." && !name.contains('/');
    if good { Ok(()) } else { Err(Errno::Invalid) }
}

/// Makes an empty VM object. vmm must be loaded.
pub(crate) fn create(place: &Place, name: &str) -> Done<Result<(), Errno>> {
    if !place.has_module("vmm")? {
        return Ok(Err(Errno::NotThere));
    }
    if let Err(errno) = check_name(name) {
        return Ok(Err(errno));
    }
    if exists(place, name) {
        return Ok(Err(Errno::Exists));
    }
    write(place, name, &Vm::default())?;
    Ok(Ok(()))
}

/// Is there such a VM object?
pub(crate) fn exists(place: &Place, name: &str) -> bool {
    check_name(name).is_ok() && file(place, name).exists()
}

/// A VM object, or why it can't be opened.
pub(crate) fn open(place: &Place, name: &str) -> Done<Result<Vm, Errno>> {
    if check_name(name).is_err() {
        return Ok(Err(Errno::Invalid));
    }
    match fs::read_to_string(file(place, name)) {
        Ok(text) => {
            let vm: Vm = serde_json::from_str(&text).or_broken(format_args!("VM {name}"))?;
            let mine = place.jail.as_ref().is_none_or(|jail| vm.jail.as_ref() == Some(&jail.name));
            Ok(if mine { Ok(vm) } else { Err(Errno::NotThere) })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Err(Errno::NotThere)),
        Err(error) => Err(broken(format_args!("VM {name}: {error}"))),
    }
}

/// Keeps a VM object.
pub(crate) fn write(place: &Place, name: &str, vm: &Vm) -> Done {
    let mut vm = vm.clone();
    if let Some(jail) = &place.jail {
        vm.jail = Some(jail.name.clone());
    }
    let text = serde_json::to_string(&vm).or_broken("a VM object as JSON")?;
    // Not beside it: the folder is what /dev/vmm lists.
    let new = place.path(&format!("run/vm.{}.new", std::process::id()));
    fs::write(&new, text).and_then(|()| fs::rename(&new, file(place, name))).or_broken(format_args!("VM {name}"))
}

/// Removes a VM object. A bhyve that runs it is told, and is gone when this returns.
pub(crate) fn destroy(place: &Place, name: &str) -> Done<Result<(), Errno>> {
    if !exists(place, name) {
        return Ok(Err(Errno::Invalid));
    }
    match place.host.destroy {
        Destroy::Now => remove(place, name)?,
        Destroy::Late => remove_late(place, name)?,
        Destroy::Never => return Ok(Ok(())),
    }
    tell(place, name, Word::Destroy)?;
    let patience = Instant::now() + Duration::from_secs(10);
    while running(place, name)? && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(Ok(()))
}

/// Removes a VM object half a second from now, when the caller has ended.
fn remove_late(place: &Place, name: &str) -> Done {
    let script = "sleep 0.5; exec rm -f -- \"$@\"";
    let segments = SEGMENTS.iter().map(|segment| place.path(&format!("vmm.io/{name}.{segment}")));
    let null = || std::process::Stdio::null();
    let mut later = std::process::Command::new("sh");
    later.args(["-c", script, "sh"]).arg(file(place, name)).args(segments).stdin(null()).stdout(null()).stderr(null());
    later.spawn().map(drop).or_broken("sh")
}

/// Removes a VM object, whoever runs it.
pub(crate) fn remove(place: &Place, name: &str) -> Done {
    fs::remove_file(file(place, name)).or_broken(format_args!("VM {name}"))?;
    for segment in SEGMENTS {
        let _ = fs::remove_file(place.path(&format!("vmm.io/{name}.{segment}")));
    }
    Ok(())
}

/// Shows a segment of device memory of a VM.
pub(crate) fn add_segment(place: &Place, name: &str, segment: &str) -> Done {
    let file = place.path(&format!("vmm.io/{name}.{segment}"));
    fs::write(&file, "").or_broken(file.display())
}

/// The names of all VM objects, in order.
pub(crate) fn all(place: &Place) -> Done<Vec<String>> {
    let folder = place.path("vmm");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).or_broken(folder.display())? {
        names.push(entry.or_broken(folder.display())?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// All VMs that run now.
pub(crate) fn all_running(place: &Place) -> Done<Vec<(String, Vm)>> {
    let mut found = Vec::new();
    for name in all(place)? {
        if let (true, Ok(vm)) = (running(place, &name)?, open(place, &name)?) {
            found.push((name, vm));
        }
    }
    Ok(found)
}

/// Does a bhyve run this VM now?
pub(crate) fn running(place: &Place, name: &str) -> Done<bool> {
    Ok(claim(place, name)?.is_none())
}

/// The right to run a VM: held as long as the file is open. `None` when another process has it.
pub(crate) fn claim(place: &Place, name: &str) -> Done<Option<File>> {
    let path = place.path("locks").join(name);
    let lock = File::options().create(true).append(true).open(&path).or_broken(path.display())?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(broken(format_args!("{}: {error}", path.display()))),
    }
}

/// The same for who is going to run it: what a killed one had open is closed a moment after its end was seen.
pub(crate) fn claim_soon(place: &Place, name: &str) -> Done<Option<File>> {
    for _ in 0..100 {
        if let Some(claim) = claim(place, name)? {
            return Ok(Some(claim));
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    claim(place, name)
}

/// Writes down whose claim it is, so that others can reach its owner.
pub(crate) fn sign(claim: &mut File) -> Done {
    let pid = std::process::id().to_string();
    claim.set_len(0).and_then(|()| claim.write_all(pid.as_bytes())).or_broken("the lock of a VM")
}

/// What a running bhyve can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Poweroff,
    Reset,
    Destroy,
    Nmi,
}

impl Word {
    const ALL: [(Word, &'static str); 4] =
        [(Word::Poweroff, "poweroff"), (Word::Reset, "reset"), (Word::Destroy, "destroy"), (Word::Nmi, "nmi")];

    fn text(self) -> &'static str {
        Word::ALL.iter().find(|(word, _)| *word == self).map_or("", |(_, text)| text)
    }

    /// The word that was received.
    pub(crate) fn parse(text: &[u8]) -> Option<Word> {
        Word::ALL.iter().find(|(_, word)| word.as_bytes() == text).map(|(word, _)| *word)
    }
}

/// Where a running bhyve listens. A socket's path is short (108 bytes) and a VM's name is not, so its file has the pid.
pub(crate) fn socket(place: &Place, pid: u32) -> PathBuf {
    place.path(&format!("ctl/{pid}"))
}

/// Tells the bhyve of a VM something; nothing happens when none runs.
pub(crate) fn tell(place: &Place, name: &str, word: Word) -> Done {
    let owner = place.read(&format!("locks/{name}"))?;
    let Ok(pid) = owner.trim().parse() else { return Ok(()) };
    if !running(place, name)? {
        return Ok(());
    }
    let sender = UnixDatagram::unbound().or_broken("a socket")?;
    // A bhyve that has just ended does not listen any more, which is what was wanted.
    let _ = sender.send_to(word.text().as_bytes(), socket(place, pid));
    Ok(())
}

fn file(place: &Place, name: &str) -> PathBuf {
    place.path("vmm").join(name)
}
