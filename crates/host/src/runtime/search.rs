//! The processes of a VM of which the runtime folder has lost both its locks and its record, found without the folder: a process
//! that lives has its lock open, whether or not the file still has a name.
//!
//! This inspects every process of the host, so it is done only where nothing cheaper is left, and before a command changes a guest
//! that seems to be stopped.

use crate::proc::Proc;
use chyves_core::error::{Problem, Result};
use std::path::Path;
use uuid::Uuid;

/// What a process is for a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Supervisor,
    Machine,
}

/// A process that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) uuid: Uuid,
    pub(super) role: Role,
    pub(super) process: Proc,
}

/// The processes of this host, but for this one, that have a lock in a folder of a guest open, below a runtime folder.
///
/// # Errors
/// The processes of this host cannot be listed.
#[cfg(target_os = "linux")]
pub(super) fn search(root: &Path) -> Result<Vec<Found>> {
    use crate::hostfs::own;
    let cant = |e| Problem::host_cant("cannot list the processes of this host").because(e).hint("mount /proc");
    let listed = numbers("/proc").map_err(cant)?;
    let root = own::real(root);
    let mut all = Vec::new();
    for pid in listed.into_iter().filter(|pid| *pid != std::process::id()) {
        for (uuid, role) in locks_of(pid, &root) {
            // A supervisor hands the other lock on to its hypervisor.
            let is_known = all.iter().any(|found: &Found| found.process.pid == pid && found.uuid == uuid);
            if let (false, Some(process)) = (is_known, Proc::find(pid)?) {
                all.push(Found { uuid, role, process });
            }
        }
    }
    Ok(all)
}

/// The numbers among the names in a folder of /proc.
#[cfg(target_os = "linux")]
fn numbers(folder: &str) -> std::io::Result<Vec<u32>> {
    Ok(crate::hostfs::kernel::names(folder)?.iter().filter_map(|name| name.to_str()?.parse().ok()).collect())
}

/// The locks below a folder that a process has open, those of supervisors first.
#[cfg(target_os = "linux")]
fn locks_of(pid: u32, root: &Path) -> Vec<(Uuid, Role)> {
    use crate::hostfs::kernel;
    use std::os::unix::fs::MetadataExt;
    let of = |folder: String| numbers(&format!("{folder}/fd")).unwrap_or_default().into_iter().map(move |fd| (folder.clone(), fd));
    let mut open: Vec<_> = of(format!("/proc/{pid}")).collect();
    if open.is_empty() {
        // A process whose first thread has ended shows its files at the others only.
        let threads = numbers(&format!("/proc/{pid}/task")).unwrap_or_default();
        open = threads.into_iter().filter(|thread| *thread != pid).flat_map(|thread| of(format!("/proc/{pid}/task/{thread}"))).collect();
    }
    // In a namespace of their own users can have a file at any path, but none of root's.
    let is_own = |meta: std::fs::Metadata| [0, rustix::process::geteuid().as_raw()].contains(&meta.uid());
    let mut found = Vec::new();
    for (folder, fd) in open {
        let path = format!("{folder}/fd/{fd}");
        let lock = || kernel::link(&path).ok().and_then(|link| lock_at(&link, root));
        let Some(lock_now) = lock().filter(|_| kernel::stat(&path).is_ok_and(is_own)) else { continue };
        // Who checks a lock has it open for an instant; a hypervisor that has unlocked its own keeps it open.
        let is_locked = kernel::text(format!("{folder}/fdinfo/{fd}")).is_ok_and(|text| text.contains("\nlock:"));
        let stays = || {
            std::thread::sleep(AN_INSTANT);
            lock() == Some(lock_now)
        };
        if is_locked || stays() {
            found.push(lock_now);
        }
    }
    found.sort_unstable_by_key(|(_, role)| *role == Role::Machine);
    found
}

/// Longer than a check of a lock takes.
#[cfg(target_os = "linux")]
const AN_INSTANT: std::time::Duration = std::time::Duration::from_millis(100);

/// Which lock below a folder a path is, as /proc shows it: a file without a name is marked.
#[cfg(target_os = "linux")]
fn lock_at(link: &Path, root: &Path) -> Option<(Uuid, Role)> {
    let rest = link.strip_prefix(root).ok()?.to_str()?;
    let (uuid, name) = rest.strip_suffix(" (deleted)").unwrap_or(rest).split_once('/')?;
    let role = match name {
        super::SUPERVISOR_LOCK => Role::Supervisor,
        super::MACHINE_LOCK => Role::Machine,
        _ => return None,
    };
    Some((Uuid::try_parse(uuid).ok()?, role))
}

/// The bhyves in the jails of VMs. One without a jail is known by its title, which every start checks.
///
/// # Errors
/// The processes of this host cannot be listed.
#[cfg(not(target_os = "linux"))]
pub(super) fn search(_: &Path) -> Result<Vec<Found>> {
    use chyves_core::os::freebsd::processes;
    let output = crate::child::command(processes::PS)
        .args(["-axww", "-o", "pid=,jail=,command="])
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|e| Problem::host_cant("cannot run `ps`").because(e))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut all = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(pid), Some(jail), Some("bhyve:")) = (words.next(), words.next(), words.next()) else { continue };
        let uuid = jail.strip_prefix("chyves-").and_then(|uuid| Uuid::try_parse(uuid).ok());
        if let (Ok(pid), Some(uuid)) = (pid.parse(), uuid)
            && let Some(process) = Proc::find(pid)?
        {
            all.push(Found { uuid, role: Role::Machine, process });
        }
    }
    Ok(all)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::super::{Lock, Runtime};
    use super::*;
    use crate::hostfs::own;
    use std::os::fd::AsFd;
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    /// A process with the file open as its standard input.
    fn holder(file: impl AsFd) -> Child {
        let file = file.as_fd().try_clone_to_owned().unwrap();
        Command::new("sleep").arg("1000").stdin(Stdio::from(file)).spawn().unwrap()
    }

    #[test]
    fn who_has_a_lost_lock_open_is_found_and_who_has_another_file_of_that_name_is_not() {
        let temp = tempfile::tempdir().unwrap();
        // Nothing is remembered from one check to the next.
        let rt = || Runtime::at(temp.path().join("run"));
        let (uuid, other) = (Uuid::from_u128(7), Uuid::from_u128(8));
        let dir = rt().guest(uuid);
        dir.create().unwrap();
        rt().guest(other).create().unwrap();
        let found = || {
            let mut all = search(rt().root()).unwrap();
            all.sort_unstable_by_key(|found| found.role == Role::Machine);
            all
        };
        let lives = |uuid| (rt().guest(uuid).is_supervised().unwrap(), rt().guest(uuid).machine_lives().unwrap());
        assert_eq!((found(), lives(uuid)), (Vec::new(), (false, false)));
        let supervisor = Lock::take(&dir.supervisor_lock(), Duration::ZERO).unwrap().unwrap();
        let machine = Lock::hold(&dir.machine_lock(), Duration::ZERO).unwrap().unwrap();
        let mut children = [holder(supervisor.file()), holder(machine.file())];
        // Unlocked, as a hypervisor can do.
        machine.file().unlock().unwrap();
        drop((supervisor, machine));
        let of = |role, child: &Child| Found { uuid, role, process: Proc::find(child.id()).unwrap().unwrap() };
        let expected = vec![of(Role::Supervisor, &children[0]), of(Role::Machine, &children[1])];
        assert_eq!(found(), expected);
        for lock in [dir.supervisor_lock(), dir.machine_lock()] {
            std::fs::remove_file(lock).unwrap();
        }
        assert_eq!((found(), lives(uuid), lives(other)), (expected.clone(), (true, true), (false, false)));
        assert_eq!(rt().guest(uuid).machine_process().unwrap(), Some(expected[1].process.clone()));
        std::fs::remove_dir_all(dir.path()).unwrap();
        assert_eq!((found(), lives(uuid)), (expected, (true, true)), "without the folder");
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!((found(), lives(uuid)), (Vec::new(), (false, false)));
        if rustix::process::geteuid().is_root() {
            dir.create().unwrap();
            let theirs = std::fs::File::create(dir.machine_lock()).unwrap();
            std::os::unix::fs::fchown(&theirs, Some(54_321), None).unwrap();
            let mut child = holder(&theirs);
            assert_eq!(found(), Vec::new(), "a file of another user");
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn who_listens_at_the_control_socket_is_a_supervisor() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Runtime::at(temp.path().join("run")).guest(Uuid::from_u128(7));
        dir.create().unwrap();
        assert!(!dir.listens() && !dir.is_supervised().unwrap());
        let listener = own::listen(dir.control()).unwrap();
        assert!(dir.listens() && dir.is_supervised().unwrap());
        drop(listener);
        assert!(!dir.listens() && !dir.is_supervised().unwrap(), "what is left of a socket");
    }
}
