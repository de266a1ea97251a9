//! Opening what a hypervisor gets: each file, socket and tap at exactly the descriptor that its command line names.

use chyves_core::launch::{Descriptor, Opened};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// Opens all of them.
///
/// # Errors
/// Which could not be opened, and why.
pub(super) fn all(wanted: &[Descriptor]) -> Result<Vec<OwnedFd>, String> {
    wanted.iter().map(one).collect()
}

fn one(wanted: &Descriptor) -> Result<OwnedFd, String> {
    let opened = open(&wanted.what).map_err(|e| format!("{} can't be opened: {e}", wanted.what))?;
    let placed = rustix::io::fcntl_dupfd_cloexec(&opened, wanted.number).map_err(|e| format!("no descriptor for {}: {e}", wanted.what))?;
    if std::os::fd::AsRawFd::as_raw_fd(&placed) != wanted.number {
        return Err(format!("descriptor {} for {} is in use", wanted.number, wanted.what));
    }
    Ok(placed)
}

/// Opens one.
pub(crate) fn open(what: &Opened) -> std::io::Result<OwnedFd> {
    match what {
        Opened::File { path, write, device } => file(Path::new(path), *write, *device),
        Opened::Listen { path } => listen(Path::new(path)),
        Opened::Connect { path } => Ok(UnixStream::connect(path)?.into()),
        #[cfg(target_os = "linux")]
        Opened::Tap { name, several } => super::tap::open(name, *several),
        #[cfg(not(target_os = "linux"))]
        Opened::Tap { .. } => Err(std::io::Error::other("taps are opened by the hypervisor on this system")),
    }
}

/// A regular file, or a device where a device is meant; what else is there is refused before anything is read of it.
fn file(path: &Path, write: bool, device: bool) -> std::io::Result<OwnedFd> {
    let access = if write { OFlags::RDWR } else { OFlags::RDONLY };
    let fd = rustix::fs::open(path, access | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?;
    let file = File::from(fd);
    let kind = file.metadata()?.file_type();
    let fits = if device { kind.is_block_device() || kind.is_char_device() } else { kind.is_file() };
    if !fits {
        return Err(std::io::Error::other(if device { "it is no device" } else { "it is no regular file" }));
    }
    let fd = OwnedFd::from(file);
    // Only the open itself was not to wait.
    let flags = rustix::fs::fcntl_getfl(&fd)? - OFlags::NONBLOCK;
    rustix::fs::fcntl_setfl(&fd, flags)?;
    Ok(fd)
}

/// A socket that only root can connect to.
fn listen(path: &Path) -> std::io::Result<OwnedFd> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let socket = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_opened_at_its_number_and_a_fifo_or_a_folder_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(at("disk"), "x").unwrap();
        let file = |path: String| Opened::File { path, write: true, device: false };
        let wanted =
            [Descriptor { number: 300, what: file(at("disk")) }, Descriptor { number: 301, what: Opened::Listen { path: at("s") } }];
        let opened = all(&wanted).unwrap();
        assert_eq!(opened.len(), 2);
        assert_eq!(std::fs::metadata(at("s")).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(all(&wanted[..1]).unwrap_err().contains("in use"));
        drop(opened);
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, Mode::RWXU, 0).unwrap();
        for odd in [at("fifo"), at("")] {
            let refused = all(&[Descriptor { number: 300, what: file(odd) }]).unwrap_err();
            assert!(refused.contains("no regular file") || refused.contains("directory"), "{refused}");
        }
        assert!(all(&[Descriptor { number: 300, what: Opened::File { path: at("disk"), write: false, device: true } }]).is_err());
    }
}
