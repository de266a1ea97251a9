//! Bounded logs. If a log cannot be written, text is lost but the VM continues: the log's pool may be full or gone.
//!
//! A write on a *suspended* pool hangs in the kernel and blocks the supervisor until the pool is back; the guest's disks on the
//! same pool hang then too, and the VM's lock still shows that it runs.

use super::log_backlog::Owed;
use super::ring::Ring;
use crate::hostfs::kernel;
use crate::safe::{Access, Folder, Rule};
use chyves_core::error::{Problem, Result};
use chyves_core::value::FilePath;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Time in milliseconds before the next try after a failure.
const RETRY: u64 = 5_000;
/// Number of bytes of a hypervisor's last output that are kept for the report of its end.
const LAST_WORDS: usize = 4096;
/// The most characters of a note; a command line is the longest.
const NOTE_LIMIT: usize = 64 << 10;

/// Opens a log for appending, only if its folder is on the same file system as at the first call.
pub(super) fn append_on(path: &FilePath, device: &mut Option<u64>) -> Result<File> {
    let (folder, name) = Folder::of(path)?;
    let now = folder.device();
    if *device.get_or_insert(now) != now {
        return Err(Problem::failed(format!("cannot open `{path}`: its file system is not mounted any more")).on(path));
    }
    folder.file(name, Access::Append, Rule::DISK)
}

/// Device number of the file system of a log's folder, if the folder exists.
fn device_of(path: &FilePath) -> Option<u64> {
    Some(Folder::of(path).ok()?.0.device())
}

fn older(path: &FilePath) -> Result<(Folder, PathBuf, PathBuf)> {
    let (folder, name) = Folder::of(path)?;
    let old = name.with_extension("log.1");
    Ok((folder, name, old))
}

fn io(e: &std::io::Error) -> Problem {
    Problem::failed("cannot write a log").because(e)
}

/// The console's log: a file and its predecessor, each at most half of the limit.
pub(super) struct ConsoleLog {
    path: FilePath,
    half: u64,
    file: Option<(File, u64)>,
    retry_at: u64,
    /// Device number of the file system of its folder. After an unmount, a folder at the same path is not the log's folder.
    device: Option<u64>,
}

impl ConsoleLog {
    pub(super) fn new(folder: &FilePath, limit: u64) -> Self {
        Self { path: folder.join("console.log"), half: (limit / 2).max(1), file: None, retry_at: 0, device: None }
    }

    pub(super) fn write(&mut self, now: u64, bytes: &[u8]) {
        if self.file.is_none() && now < self.retry_at {
            return;
        }
        if self.try_write(bytes).is_err() {
            self.file = None;
            self.retry_at = now + RETRY;
        }
    }

    fn try_write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (file, size) = match &mut self.file {
                Some(open) => open,
                none => {
                    let file = append_on(&self.path, &mut self.device)?;
                    let size = file.metadata().map_err(|e| io(&e))?.len();
                    none.insert((file, size))
                }
            };
            let room = self.half.saturating_sub(*size);
            if room == 0 {
                let (folder, name, old) = older(&self.path)?;
                folder.rename_over(name, old)?;
                self.file = None;
                continue;
            }
            let part = &bytes[..bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
            file.write_all(part).map_err(|e| io(&e))?;
            *size += part.len() as u64;
            bytes = &bytes[part.len()..];
        }
        Ok(())
    }

    /// Closes the file permanently: its file system is about to be unmounted.
    pub(super) fn close(&mut self) {
        self.file = None;
        self.retry_at = u64::MAX;
    }

    /// The last bytes that an earlier supervisor wrote.
    pub(super) fn tail(&self, count: u64) -> Vec<u8> {
        let read = || {
            let (folder, name) = Folder::of(&self.path).ok()?;
            let mut file = folder.file(name, Access::Read, Rule::DISK).ok()?;
            let size = file.metadata().ok()?.len();
            file.seek(SeekFrom::Start(size.saturating_sub(count))).ok()?;
            let mut bytes = Vec::new();
            file.take(count).read_to_end(&mut bytes).ok()?;
            Some(bytes)
        };
        read().unwrap_or_default()
    }
}

/// Output of a hypervisor as text that a terminal only shows: a person reads the log with any program. Every byte but those of plain
/// text is escaped, since a character may come in two pieces.
fn visible(bytes: &[u8]) -> Vec<u8> {
    let is_text = |byte: u8| matches!(byte, b'\n' | b'\t' | b' '..=b'~');
    if bytes.iter().copied().all(is_text) {
        return bytes.to_vec();
    }
    let mut text = Vec::with_capacity(bytes.len() * 2);
    for byte in bytes.iter().copied() {
        if is_text(byte) {
            text.push(byte);
        } else {
            text.extend(format!("\\x{byte:02x}").into_bytes());
        }
    }
    text
}

/// The log of the hypervisor's messages, as read from its pipe (`messages`), and of the supervisor's notes: a file and its
/// predecessor, each at most half of the limit.
pub(super) struct HypervisorLog {
    path: FilePath,
    file: File,
    half: u64,
    /// The last output of the current hypervisor.
    said: Ring,
    /// Lines that are still to be written to the log itself, while the spare one is used.
    owed: Option<Owed>,
}

impl HypervisorLog {
    /// Opens the log, or the spare one if the log cannot be written.
    pub(super) fn open(folder: &FilePath, spare: &FilePath, limit: u64) -> Result<Self> {
        let path = folder.join("hypervisor.log");
        let limit = limit.clamp(4096, 1 << 20);
        let first = format!("chyves: process {} watches this hypervisor\n", std::process::id());
        // On a full pool a file can be opened and not be written.
        let written = append_on(&path, &mut None).and_then(|mut file| {
            file.write_all(first.as_bytes()).map_err(|e| io(&e))?;
            Ok(file)
        });
        let (path, file, owed) = match written {
            Ok(file) => (path, file, None),
            Err(_) => {
                let device = device_of(&path);
                let mut owed = Owed::new(path, device, usize::try_from(limit / 2).unwrap_or(usize::MAX));
                owed.tell(&first);
                (spare.clone(), append_on(spare, &mut None)?, Some(owed))
            }
        };
        Ok(Self { path, file, half: limit / 2, said: Ring::new(LAST_WORDS), owed })
    }

    pub(super) fn path(&self) -> &FilePath {
        &self.path
    }

    /// Closes the file permanently: its file system is about to be unmounted. Later notes are lost.
    pub(super) fn close(&mut self) {
        if let Ok(null) = kernel::null() {
            self.file = null;
        }
        self.owed = None;
    }

    /// Marks the start of another hypervisor's output.
    pub(super) fn mark(&mut self) {
        self.said = Ring::new(LAST_WORDS);
    }

    /// Adds output of the hypervisor.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.said.push(bytes);
        self.write(&visible(bytes));
    }

    /// Writes; on failure the text is lost.
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(usize::try_from(self.half).unwrap_or(usize::MAX).max(1)) {
            self.make_room(part.len() as u64);
            drop(self.file.write_all(part));
        }
    }

    /// Adds a line of the supervisor; it is also queued for the log itself while the spare one is used.
    pub(super) fn note(&mut self, text: &str) {
        // Names and reasons in it may come from the hypervisor.
        let line = format!("chyves: {}\n", chyves_core::value::printable(text, NOTE_LIMIT));
        self.write(line.as_bytes());
        if let Some(owed) = &mut self.owed {
            owed.tell(&line);
        }
    }

    /// Starts a new file and keeps the current one as its predecessor, if it would exceed half of the limit.
    fn make_room(&mut self, more: u64) {
        let size = self.file.metadata().map_or(0, |m| m.len());
        if size == 0 || size + more <= self.half {
            return;
        }
        // Truncated in place: a hypervisor started by an older release still writes to the file itself.
        let mut text = vec![0; usize::try_from(self.half).unwrap_or(0)];
        if let (Ok(count), Ok((folder, _, old))) = (self.file.read_at(&mut text, size.saturating_sub(self.half)), older(&self.path)) {
            drop(folder.replace(old, &text[..count], false));
        }
        drop(self.file.set_len(0));
    }

    /// The last output of the current hypervisor.
    pub(super) fn last_words(&self) -> Vec<u8> {
        self.said.copy()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(temp: &tempfile::TempDir) -> FilePath {
        FilePath::host(temp.path().to_str().unwrap())
    }

    #[test]
    fn a_terminal_only_shows_what_a_hypervisor_printed() {
        assert_eq!(visible(b"one\ttwo\n"), b"one\ttwo\n");
        let text = visible("\u{1b}[2J\u{9b}\u{202e}é\r\n".as_bytes());
        assert_eq!(String::from_utf8(text).unwrap(), r"\x1b[2J\xc2\x9b\xe2\x80\xae\xc3\xa9\x0d".to_owned() + "\n");
    }

    #[test]
    fn the_console_log_never_grows_past_its_limit() {
        let temp = tempfile::tempdir().unwrap();
        let mut log = ConsoleLog::new(&logs(&temp), 100);
        for n in 0..99u8 {
            log.write(0, &[n; 7]);
        }
        let (new, old) = (temp.path().join("console.log"), temp.path().join("console.log.1"));
        let (new, old) = (std::fs::read(new).unwrap(), std::fs::read(old).unwrap());
        assert_eq!(old.len(), 50);
        assert!(new.len() == 43 && new.ends_with(&[98; 7]));
        let mut all = old;
        all.extend(new);
        assert!(all.is_sorted());
        assert_eq!(log.tail(3), [98; 3]);
        // The next supervisor continues the log.
        ConsoleLog::new(&logs(&temp), 100).write(0, b"z");
        assert_eq!(log.tail(2), [98, b'z']);
    }

    #[test]
    fn a_vanished_folder_is_tried_again_later() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("pool");
        let mut log = ConsoleLog::new(&logs(&temp).join("pool"), 100);
        log.write(0, b"lost");
        std::fs::create_dir(&folder).unwrap();
        log.write(RETRY - 1, b"lost too");
        assert!(log.tail(9).is_empty());
        log.write(RETRY, b"kept");
        assert_eq!(log.tail(9), b"kept");
    }

    #[test]
    fn a_link_is_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let victim = temp.path().join("victim");
        std::fs::write(&victim, "").unwrap();
        std::os::unix::fs::symlink(&victim, temp.path().join("console.log")).unwrap();
        ConsoleLog::new(&logs(&temp), 100).write(0, b"x");
        assert_eq!(std::fs::read(victim).unwrap(), b"");
    }

    #[test]
    fn the_hypervisors_log_never_grows_past_its_limit_whatever_it_prints() {
        let temp = tempfile::tempdir().unwrap();
        let spare = logs(&temp).join("spare");
        let mut log = HypervisorLog::open(&logs(&temp), &spare, 4096).unwrap();
        log.mark();
        log.add(b"first\n");
        assert_eq!(log.last_words(), b"first\n");
        let size = |name: &str| std::fs::metadata(temp.path().join(name)).unwrap().len();
        for n in 0..100 {
            log.add(&[b'x'; 3000]);
            log.note(&format!("line {n}"));
            assert!(size("hypervisor.log") <= 2048 && size("hypervisor.log.1") <= 2048);
        }
        log.add(b"last\n");
        assert!(log.last_words().ends_with(b"xlast\n"), "notes are not its own words");
        assert!(std::fs::read_to_string(temp.path().join("hypervisor.log")).unwrap().ends_with("chyves: line 99\nlast\n"));
        log.mark();
        assert!(log.last_words().is_empty(), "that was another hypervisor");
    }

    #[test]
    fn what_the_hypervisors_log_could_not_take_it_gets_later() {
        let temp = tempfile::tempdir().unwrap();
        let (folder, spare) = (temp.path().join("logs"), logs(&temp).join("spare"));
        let mut log = HypervisorLog::open(&logs(&temp).join("logs"), &spare, 4096).unwrap();
        assert_eq!(log.path(), &spare);
        log.note("the guest is paused");
        std::fs::create_dir(&folder).unwrap();
        log.note("the guest goes on");
        log.note("and on");
        let told = std::fs::read_to_string(folder.join("hypervisor.log")).unwrap();
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines[0].ends_with("watches this hypervisor"), "{told}");
        assert_eq!(lines[1..], ["chyves: the guest is paused", "chyves: the guest goes on", "chyves: and on"]);
        log.close();
        std::fs::remove_dir_all(&folder).unwrap();
        log.note("lost");
        assert!(!folder.exists());
    }
}
