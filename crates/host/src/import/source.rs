//! The source of an image, as the first stage: opened before anything else is done, read in a thread, hashed as it is read.
//!
//! Not here: servers (`http`, `ftp`), resuming interrupted transfers (`fetch`).

use super::chunks::{PIECE, Piece, fill, problem};
use super::content::{ends_as_vhd, foreign_by_end};
use super::digest::{Hasher, stops};
use super::fetch::{Fetch, Status};
use super::open::{At, is_private, regular};
use super::part::Part;
use super::signature::Running;
use super::{ftp, http, interrupted, trust};
use crate::hostfs::named;
use chyves_core::error::{Problem, Result};
use chyves_core::image::{HashKind, Order, Source};
use chyves_core::value::printable;
use std::fs::{File, Metadata};
use std::io::Read;
use std::net::Shutdown;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

/// What is computed from all data.
#[derive(Default)]
pub(super) struct Checks {
    pub(super) hash: Option<HashKind>,
    pub(super) signed: Option<Running>,
}

/// The results for all data; empty if not everything was read, or nothing was requested.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The hash.
    pub(super) hex: Option<String>,
    /// The signer.
    pub(super) signed: Option<String>,
}

/// The reading stage.
type Pump = Box<dyn FnOnce(SyncSender<Piece>) -> Result<Found> + Send>;

/// A source, ready to be read.
pub(super) struct Opened {
    /// The file that contains everything once all has been read, if no other user can write to it.
    pub(super) direct: Option<Arc<File>>,
    /// Whether it ends as a VHD does; false if it cannot be read from its end.
    pub(super) ends_as_vhd: bool,
    /// Whether all of it must be read for a check.
    pub(super) checked: bool,
    pub(super) status: Arc<Status>,
    /// Number of bytes read.
    pub(super) counter: Arc<AtomicU64>,
    /// Verifies that the source has not changed since it was opened.
    pub(super) unchanged: Arc<dyn Fn() -> Result<()> + Send + Sync>,
    /// Stops the stage if it waits for a server.
    pub(super) end: Box<dyn Fn() + Send>,
    pub(super) pump: Pump,
}

/// Opens the source.
pub(super) fn open(order: &Order, part: Option<&str>, stop: &Arc<AtomicBool>, checks: Checks) -> Result<Opened> {
    let status = Arc::new(Status::default());
    let counter = Arc::new(AtomicU64::new(0));
    let shown = order.source.shown();
    let mut end: Box<dyn Fn() + Send> = Box::new(|| {});
    let (mut direct, mut vhd) = (None, false);
    let mut unchanged: Arc<dyn Fn() -> Result<()> + Send + Sync> = Arc::new(|| Ok(()));
    let from: Box<dyn FnOnce() -> Result<Box<dyn Read>> + Send> = match &order.source {
        Source::File(path) => {
            let (file, meta, _) = regular(path)?;
            let file = Arc::new(file);
            status.total.store(meta.len(), Ordering::SeqCst);
            vhd = ends_as_vhd(&file);
            if let Some((what, hint)) = foreign_by_end(&file).filter(|_| !order.raw) {
                return Err(Problem::usage(format!("`{shown}` is {what}, not a disk, an ISO or firmware")).on(&shown).hint(hint));
            }
            // If others can write to the file, what was hashed is copied, and the copy is used.
            direct = is_private(&meta).then(|| file.clone());
            let (path, copy) = (path.clone(), file.clone());
            unchanged = Arc::new(move || same(&path, &meta, &copy));
            Box::new(move || Ok(Box::new(At::start(file))))
        }
        Source::Input => Box::new(|| Ok(Box::new(std::io::stdin().lock()))),
        Source::Address(address) => {
            let kept = part.map(|folder| Part::open(folder, address)).transpose()?;
            direct = kept.as_ref().map(Part::reader).transpose()?;
            let remote: Box<dyn super::fetch::Remote> = match trust::scheme(address) {
                "ftp" => {
                    let ftp = ftp::Ftp::new(address, order.silence)?;
                    let sockets = ftp.sockets();
                    end = Box::new(move || {
                        for socket in sockets.lock().iter().flat_map(|s| s.iter()) {
                            let _ = socket.shutdown(Shutdown::Both);
                        }
                    });
                    Box::new(ftp)
                }
                _ => {
                    let http = http::Http::new(address, order.silence).until(stop.clone());
                    let agent = http.agent();
                    end = Box::new(move || {
                        let open = agent.lock().ok().and_then(|mut open| open.take());
                        open.into_iter().for_each(ureq::Agent::shutdown);
                    });
                    Box::new(http)
                }
            };
            let (address, retries, stop, status) = (address.clone(), order.retries, stop.clone(), status.clone());
            Box::new(move || Ok(Box::new(Fetch::begin(&address, remote, kept, retries, stop, status)?)))
        }
    };
    let (count, stop, check) = (counter.clone(), stop.clone(), unchanged.clone());
    let checked = checks.hash.is_some() || checks.signed.is_some();
    let pump: Pump = Box::new(move |to| {
        let mut from = from()?;
        let mut hasher = checks.hash.map(Hasher::new);
        let mut signed = checks.signed;
        loop {
            let mut piece = vec![0; PIECE];
            let n = fill(&mut *from, &mut piece)
                .map_err(|e| problem(e, |e| Problem::failed(format!("cannot read `{shown}`")).on(&shown).because(e)))?;
            if stops(&stop) {
                return Err(interrupted(&shown));
            }
            if n == 0 {
                check()?;
                let _ = to.send(Piece::End);
                return Ok(Found { hex: hasher.map(Hasher::hex), signed: signed.map(Running::end).transpose()? });
            }
            piece.truncate(n);
            count.fetch_add(n as u64, Ordering::SeqCst);
            if let Some(hasher) = &mut hasher {
                hasher.update(&piece);
            }
            if let Some(signed) = &mut signed {
                signed.update(&piece);
            }
            if to.send(Piece::Data(piece)).is_err() {
                // The next stage has finished, or failed and reports the reason.
                check()?;
                return Ok(Found::default());
            }
        }
    });
    Ok(Opened { direct, ends_as_vhd: vhd, checked, status, counter, unchanged, end, pump })
}

/// The times of a file's last change. Its owner can set back the modification time, but not the change time.
fn written(meta: &Metadata) -> [i64; 4] {
    [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()]
}

/// Verifies that a file was not changed or removed while it was read.
pub(crate) fn same(path: &str, before: &Metadata, file: &File) -> Result<()> {
    let shown = printable(path, 300);
    let changed = |why: &str| {
        Err(Problem::failed(format!("`{shown}` changed while it was read"))
            .on(&shown)
            .because(why)
            .hint("try again once nobody writes to it"))
    };
    match named::stat(path) {
        Err(_) => return changed("it is not there any more"),
        Ok(now) if (now.dev(), now.ino()) != (before.dev(), before.ino()) => return changed("another file has its name"),
        Ok(_) => {}
    }
    let now = file.metadata().map_err(|e| Problem::failed(format!("cannot inspect `{shown}`")).because(e))?;
    if now.len() != before.len() {
        return changed(&format!("it had {} bytes and has {}", before.len(), now.len()));
    }
    if written(&now) != written(before) {
        return changed("it was modified");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// Reads a file, calling `happens` after the first piece.
    fn read_while(happens: impl FnOnce(&str)) -> Result<Found> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.img").to_str().unwrap().to_owned();
        std::fs::write(&path, vec![7; PIECE * 4]).unwrap();
        let opened =
            open(&Order::new(Source::File(path.clone())), None, &Arc::default(), Checks { hash: Some(HashKind::Md5), signed: None })
                .unwrap();
        // The second piece is not taken before that call.
        let (to, from) = std::sync::mpsc::sync_channel(0);
        let pump = std::thread::spawn(move || (opened.pump)(to));
        from.recv().unwrap();
        happens(&path);
        for _ in from {}
        pump.join().unwrap()
    }

    #[test]
    fn a_file_that_changes_or_vanishes_while_it_is_read_is_refused() {
        assert!(read_while(|_| ()).unwrap().hex.is_some());
        let why = |problem: Result<Found>| problem.unwrap_err().causes.remove(0);
        assert!(why(read_while(|path| std::fs::remove_file(path).unwrap())).contains("not there any more"));
        assert!(
            why(read_while(|path| {
                std::fs::remove_file(path).unwrap();
                std::fs::write(path, "another").unwrap();
            }))
            .contains("another file")
        );
        let longer = |path: &str| std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"more").unwrap();
        assert!(why(read_while(longer)).contains("has"));
        let hidden = |path: &str| {
            let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            let was = file.metadata().unwrap().modified().unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, b"other", 0).unwrap();
            file.set_modified(was).unwrap();
        };
        assert!(why(read_while(hidden)).contains("was modified"));
        let shorter = |path: &str| std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(9).unwrap();
        assert!(why(read_while(shorter)).contains("has 9"));
    }

    #[test]
    fn what_is_no_file_is_refused_before_anything_is_read() {
        let code = |path: &str| {
            open(&Order::new(Source::File(path.into())), None, &Arc::default(), Checks::default()).err().unwrap().code.exit_code()
        };
        assert_eq!((code("/nowhere/x"), code("/dev/null"), code("/")), (3, 2, 2));
    }
}
