//! Facts about what one guest opens: its files and devices, the processes that have them open, and the address of its display.

use super::ask;
use crate::hostfs::named;
use crate::platform;
use crate::run;
use crate::safe::{self, Folder, Rule};
use chyves_core::check::files::NO_TERMINAL;
use chyves_core::check::{Need, WantedNic, Wants};
use chyves_core::guest::Loader;
use chyves_core::os::freebsd::processes;
use chyves_core::os::state::{FileKind, FileSeen, Process};
use chyves_core::os::{HostFacts, HostState, Os, taps};
use chyves_core::value::{FilePath, Size};
use chyves_core::vmm::Vmm;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Reads the facts about everything that a start opens.
pub(super) fn look(host: &mut HostFacts, wants: &Wants) {
    for wanted in &wants.paths {
        let seen = match &wanted.path {
            FilePath::Host(path) => file(&platform::here().path(path)),
            FilePath::Below { mount, path } => below(mount, path).map(|(seen, refused)| {
                host.state.refused.extend(refused.map(|why| (wanted.path.to_string(), why)));
                seen
            }),
        };
        if let (Need::Terminal, FilePath::Host(path), Some(_)) = (wanted.need, &wanted.path, &seen)
            && !is_terminal(path)
        {
            host.state.refused.insert(path.clone(), NO_TERMINAL.to_owned());
        }
        host.state.files.insert(wanted.path.to_string(), seen);
    }
    // Opened as the hypervisor will open them: this finds errors that stat(2) does not show.
    for (path, write) in
        wants.attached.iter().filter(|(path, _)| host.vmm == Vmm::Qemu && matches!(host.state.files.get(path), Some(Some(_))))
    {
        let refused = safe::attached(path, *write).err().map(|problem| problem.causes.first().cloned().unwrap_or(problem.message));
        host.state.refused.extend(refused.map(|why| (path.clone(), why)));
    }
    // The packages' firmware is read even if the guest has its own: its variables may be a copy of theirs.
    if wants.loader == Loader::Uefi {
        super::firmware(host);
    }
    // QEMU locks its disks itself; bhyve locks nothing.
    if host.vmm == Vmm::Bhyve {
        let there = |path: &String| matches!(host.state.files.get(path), Some(Some(_)));
        let written = wants.paths.iter().filter(|wanted| wanted.need == Need::Write).map(|wanted| wanted.path.to_string());
        let written: Vec<String> = written.filter(there).collect();
        let written: Vec<&str> = written.iter().map(String::as_str).collect();
        holders(&mut host.state, &written);
    }
    left_taps(host, wants);
    if let Some(address) = wants.vnc {
        host.state.listens.insert(address.to_string(), refusal(address));
    }
}

/// Reads the facts about files and devices.
pub(super) fn files<'a>(state: &mut HostState, names: impl IntoIterator<Item = &'a str>) {
    for name in names {
        state.files.insert(name.to_owned(), file(&platform::here().path(name)));
    }
}

/// A file in a guest's folder, where links are not followed and devices are not accepted. Also returns why it cannot be
/// written, for a regular file that may not be.
fn below(mount: &str, path: &str) -> Option<(FileSeen, Option<String>)> {
    let folder = Folder::open_if_there(mount).ok().flatten()?;
    let entry = match folder.metadata(path) {
        Ok(entry) => entry?,
        // A parent folder is a symbolic link.
        Err(_) => return Some((FileSeen { kind: FileKind::Link, size: Size::bytes(0), writable: false }, None)),
    };
    let kind = match entry.kind {
        safe::FileKind::File => FileKind::File,
        safe::FileKind::Folder => FileKind::Folder,
        safe::FileKind::Link => FileKind::Link,
        _ => FileKind::Other,
    };
    let refused = if kind == FileKind::File { folder.file(path, safe::Access::ReadWrite, Rule::DISK).err() } else { None };
    let writable = kind == FileKind::File && refused.is_none();
    let of_links = refused.filter(|_| entry.links > 1).map(|_| safe::links_refused(entry.links));
    Some((FileSeen { kind, size: Size::bytes(if kind == FileKind::File { entry.len } else { 0 }), writable }, of_links))
}

fn file(path: &Path) -> Option<FileSeen> {
    let meta = named::stat(path).ok()?;
    let kind = match meta.file_type() {
        t if t.is_file() => FileKind::File,
        t if t.is_dir() => FileKind::Folder,
        t if t.is_char_device() || t.is_block_device() => FileKind::Device,
        _ => FileKind::Other,
    };
    let writable = match kind {
        // Root may write despite permissions, but not to a read-only file system or an immutable file: only opening shows that.
        // Opening a device could have effects.
        FileKind::File => named::can_write(path),
        FileKind::Device | FileKind::Folder | FileKind::Link | FileKind::Other => named::may_write(path),
    };
    let size = if kind == FileKind::File { meta.len() } else { 0 };
    Some(FileSeen { kind, size: Size::bytes(size), writable })
}

/// Whether a device is a terminal. It is not opened, because opening a terminal can have effects on what is connected to it;
/// a device of which nothing is known is taken for one.
pub fn is_terminal(path: &str) -> bool {
    /// The numbers of Linux's pseudo-terminals, which the kernel does not list.
    const PTS: std::ops::RangeInclusive<u32> = 136..=143;
    let Ok(own) = named::real(platform::here().path(path)) else { return true };
    let Ok(meta) = named::stat(&own) else { return true };
    if !meta.file_type().is_char_device() {
        return false;
    }
    match super::os() {
        Os::Linux => {
            let (major, minor) = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
            let class = named::real(format!("/sys/dev/char/{major}:{minor}/subsystem"));
            PTS.contains(&major) || class.map_or(true, |class| class.file_name().is_some_and(|name| name == "tty"))
        }
        // nmdm(4), uart(4), syscons and pts(4): FreeBSD shows what a device is only by its name.
        Os::FreeBsd => path.starts_with("/dev/pts/") || ["nmdm", "tty", "cua"].iter().any(|kind| path.starts_with(&format!("/dev/{kind}"))),
    }
}

/// Records the processes that have these open. One query for all; only if there are any, one for each.
fn holders(state: &mut HostState, names: &[&str]) {
    let own: Vec<String> = names.iter().map(|name| platform::here().path(name).to_string_lossy().into_owned()).collect();
    let all: Vec<&str> = own.iter().map(String::as_str).collect();
    if all.is_empty() || pids(state, &all).is_none_or(|pids| pids.is_empty()) {
        return;
    }
    let commands = ask(&processes::list()).and_then(|text| processes::parse_list(&text).ok()).unwrap_or_default();
    for (name, path) in names.iter().zip(&all) {
        let found = pids(state, &[path]).unwrap_or_default();
        let named = found.into_iter().map(|pid| Process { pid, command: commands.get(&pid).cloned().unwrap_or_default() }).collect();
        state.holders.insert((*name).to_owned(), named);
    }
}

/// The processes that have a file or device open, this process included.
#[cfg(target_os = "linux")]
pub fn holders_of(path: &Path) -> Vec<Process> {
    use crate::hostfs::kernel;
    use std::ffi::OsString;
    use std::os::unix::fs::MetadataExt;
    use std::path::PathBuf;
    // A device may have several names, all with the same device number.
    let id = |m: &std::fs::Metadata| if m.file_type().is_block_device() { (0, m.rdev()) } else { (m.dev(), m.ino()) };
    let Ok(wanted) = named::stat(path).map(|m| id(&m)) else { return Vec::new() };
    // Inspecting a file of a hung file system would hang too, so it is done only if what the kernel reports matches.
    let device = wanted.0 == 0;
    let may_be = |pid: u32, fd: &OsString| {
        let fd = fd.to_string_lossy();
        if device {
            return kernel::link(format!("/proc/{pid}/fd/{fd}")).is_ok_and(|name| name.starts_with("/dev"));
        }
        let info = kernel::text(format!("/proc/{pid}/fdinfo/{fd}")).unwrap_or_default();
        // Kernels before 5.14 do not show it.
        info.lines().find_map(|line| line.strip_prefix("ino:")).is_none_or(|inode| inode.trim() == wanted.1.to_string())
    };
    let names = |folder: &Path| kernel::names(folder).unwrap_or_default();
    let holds = |pid: &u32| {
        let folder = PathBuf::from(format!("/proc/{pid}/fd"));
        names(&folder).iter().any(|fd| may_be(*pid, fd) && kernel::stat(folder.join(fd)).is_ok_and(|m| id(&m) == wanted))
    };
    let pids = names(Path::new("/proc")).into_iter().filter_map(|name| name.to_str()?.parse().ok()).filter(holds);
    pids.map(|pid| Process { pid, command: kernel::text(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned() }).collect()
}

/// The processes that have a file or device open.
#[cfg(not(target_os = "linux"))]
pub fn holders_of(path: &Path) -> Vec<Process> {
    let mut state = HostState::default();
    let name = path.to_string_lossy();
    holders(&mut state, &[&name]);
    state.holders.remove(name.as_ref()).unwrap_or_default()
}

/// The processes that have any of these open; none if that cannot be queried.
fn pids(state: &mut HostState, paths: &[&str]) -> Option<Vec<u32>> {
    // Its exit status is ignored: some releases report an error if no process is found.
    let output = run::run(&processes::holders(paths)).ok()?;
    processes::parse_holders(&output.stdout).map_err(|fault| state.faults.push(fault)).ok()
}

/// Records unused taps that an earlier run of the same guest left.
fn left_taps(host: &mut HostFacts, wants: &Wants) {
    let there = |nic: &&WantedNic| host.state.interfaces.as_ref().is_some_and(|all| all.contains_key(nic.tap.as_str()));
    let nics: Vec<&WantedNic> = wants.nics.iter().filter(there).collect();
    if nics.is_empty() {
        return;
    }
    let Some(answer) = ask(&taps::question(host.os)) else { return };
    match taps::read(host.os, &answer) {
        Ok(own) => {
            let left = own.iter().filter(|tap| !tap.open && nics.iter().any(|nic| nic.tap == tap.tap && nic.owner == tap.token));
            host.state.left_taps = left.map(|tap| tap.tap.to_string()).collect();
        }
        Err(fault) => host.state.faults.push(fault),
    }
}

/// Why no socket can listen there; none if one can.
fn refusal(address: SocketAddr) -> Option<String> {
    TcpListener::bind(address).err().map(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_seen_as_what_it_is() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("disk");
        assert_eq!(file(&path), None);
        std::fs::write(&path, [0; 4096]).unwrap();
        assert_eq!(file(&path), Some(FileSeen { kind: FileKind::File, size: Size::bytes(4096), writable: true }));
        assert_eq!(file(temp.path()).unwrap().kind, FileKind::Folder);
        assert_eq!(file(Path::new("/dev/null")).unwrap().kind, FileKind::Device);
        if !rustix::process::geteuid().is_root() {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).unwrap();
            assert!(!file(&path).unwrap().writable);
        }
    }

    #[test]
    fn who_holds_a_file_is_named() {
        if run::find_program(processes::FUSER).is_none() {
            return;
        }
        let temp = tempfile::tempdir().unwrap();
        let (held, free) = (temp.path().join("held"), temp.path().join("free"));
        std::fs::write(&free, "").unwrap();
        let _open = std::fs::File::create(&held).unwrap();
        let mut state = HostState::default();
        let names = [held.to_str().unwrap(), free.to_str().unwrap()];
        holders(&mut state, &names);
        assert_eq!(state.holders[names[0]].iter().map(|p| p.pid).collect::<Vec<_>>(), [std::process::id()]);
        assert!(!state.holders[names[0]][0].command.is_empty() && state.holders[names[1]].is_empty());
        assert!(state.faults.is_empty());
    }

    #[test]
    fn an_address_in_use_is_told() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(refusal(taken.local_addr().unwrap()).is_some());
        assert_eq!(refusal("127.0.0.1:0".parse().unwrap()), None);
        assert!(refusal("192.0.2.1:0".parse().unwrap()).is_some());
    }
}
