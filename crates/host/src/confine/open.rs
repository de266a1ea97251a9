//! Opens what a hypervisor gets: each file, socket and tap at exactly the descriptor that its command line names.

use crate::hostfs::own;
use crate::safe::{self, Access, Rule};
use chyves_core::error::Problem;
use chyves_core::launch::{Descriptor, Opened};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Opens all of them.
///
/// # Errors
/// The one that could not be opened, and why.
pub(super) fn all(wanted: &[Descriptor]) -> Result<Vec<OwnedFd>, String> {
    wanted.iter().map(one).collect()
}

fn one(wanted: &Descriptor) -> Result<OwnedFd, String> {
    let opened = open(&wanted.what).map_err(|e| format!("{} cannot be opened: {e}", wanted.what))?;
    let placed = rustix::io::fcntl_dupfd_cloexec(&opened, wanted.number).map_err(|e| format!("no descriptor for {}: {e}", wanted.what))?;
    if std::os::fd::AsRawFd::as_raw_fd(&placed) != wanted.number {
        return Err(format!("descriptor {} for {} is in use", wanted.number, wanted.what));
    }
    Ok(placed)
}

/// Opens one.
pub(crate) fn open(what: &Opened) -> std::io::Result<OwnedFd> {
    match what {
        Opened::File { path, write, device, beneath } => file(Path::new(path), *write, *device, beneath.as_deref()),
        Opened::Listen { path } => listen(Path::new(path)),
        Opened::Connect { path } => Ok(UnixStream::connect(path)?.into()),
        #[cfg(target_os = "linux")]
        Opened::Tap { name, several } => super::tap::open(name, *several),
        #[cfg(not(target_os = "linux"))]
        Opened::Tap { .. } => Err(std::io::Error::other("taps are opened by the hypervisor on this system")),
    }
}

/// Opens a regular file, or a device if a device is expected. Below a mount point no link is followed; elsewhere the path is
/// the administrator's.
fn file(path: &Path, write: bool, device: bool, beneath: Option<&str>) -> std::io::Result<OwnedFd> {
    let refused = |problem: Problem| std::io::Error::other(problem.causes.first().cloned().unwrap_or(problem.message));
    let file = match beneath {
        Some(mount) => {
            let name = path.strip_prefix(mount).map_err(std::io::Error::other)?;
            let access = if write { Access::ReadWrite } else { Access::Read };
            safe::Folder::open(mount).and_then(|folder| folder.file(name, access, Rule::DISK)).map_err(refused)?
        }
        None => safe::attached(path, write).map_err(refused)?,
    };
    if file.metadata()?.is_file() == device {
        return Err(std::io::Error::other(if device { "it is not a device" } else { "it is not a regular file" }));
    }
    Ok(file.into())
}

/// Creates a socket to which only root can connect.
fn listen(path: &Path) -> std::io::Result<OwnedFd> {
    Ok(own::listen(path)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::Mode;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn each_is_opened_at_its_number_and_what_is_no_file_of_the_guest_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let mount = temp.path().join("guest");
        std::fs::create_dir(&mount).unwrap();
        let at = |name: &str| mount.join(name).to_str().unwrap().to_owned();
        std::fs::write(at("disk"), "x").unwrap();
        std::fs::write(temp.path().join("shadow"), "secret").unwrap();
        // Other tests run in this process, and get the lowest descriptors: none that is near the limit.
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 16).min(1 << 16);
        let number = i32::try_from(limit).unwrap() - 8;
        let file = |name: &str, beneath: bool, device: bool| Descriptor {
            number,
            what: Opened::File { path: at(name), write: true, device, beneath: beneath.then(|| mount.to_str().unwrap().to_owned()) },
        };
        let wanted = [file("disk", true, false), Descriptor { number: number + 1, what: Opened::Listen { path: at("s") } }];
        let opened = all(&wanted).unwrap();
        assert_eq!(opened.len(), 2);
        assert_eq!(std::fs::metadata(at("s")).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(all(&wanted[..1]).unwrap_err().contains("in use"));
        drop(opened);
        // A guest's owner can create all of these there.
        std::os::unix::fs::symlink("../shadow", at("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        for name in ["link", "fifo", "folder", "../shadow", "gone"] {
            all(&[file(name, true, false)]).unwrap_err();
        }
        // The administrator's own path may be a link.
        assert!(all(&[file("link", false, false)]).is_ok());
        assert!(all(&[file("disk", false, true)]).is_err());
    }
}
