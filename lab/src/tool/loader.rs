//! What the two loaders have in common: the console they talk on, the disks they read and the VM they prepare.
//! Not its job: their own words.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};

use rustix::fs::{Mode, OFlags};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use crate::exit::{Done, Or, exit};
use crate::place::Place;
use crate::vm::{self, Errno, Vm};

/// Where a loader talks: a terminal, or its own standard input and output.
pub(crate) struct Console {
    input: Box<dyn std::io::BufRead>,
    output: Box<dyn std::io::Write>,
}

impl Console {
    /// Opens `stdio` or a terminal, and makes it raw.
    pub(crate) fn open(place: &Place, word: &str) -> Result<Console, String> {
        if word == "stdio" {
            return Ok(Console { input: Box::new(BufReader::new(std::io::stdin())), output: Box::new(std::io::stdout()) });
        }
        let path = place.resolve(word);
        let terminal = rustix::fs::open(&path, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).map_err(|error| format!("{word}: {error}"))?;
        if let Ok(mut settings) = tcgetattr(&terminal) {
            settings.make_raw();
            tcsetattr(&terminal, OptionalActions::Now, &settings).map_err(|error| format!("{word}: {error}"))?;
        }
        let terminal = File::from(terminal);
        let other = terminal.try_clone().map_err(|error| format!("{word}: {error}"))?;
        Ok(Console { input: Box::new(BufReader::new(terminal)), output: Box::new(other) })
    }

    /// Says a text; line ends become those of a terminal.
    pub(crate) fn say(&mut self, text: &str) {
        // Nobody may be listening; the loader goes on all the same.
        let _ = self.output.write_all(text.replace('\n', "\r\n").as_bytes()).and_then(|()| self.output.flush());
    }

    /// The next line that is typed; none at the end.
    pub(crate) fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        loop {
            let piece = self.input.fill_buf().ok()?;
            if piece.is_empty() {
                return (!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned());
            }
            let end = piece.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            line.extend_from_slice(&piece[..end.unwrap_or(piece.len())]);
            let used = end.map_or(piece.len(), |end| end + 1);
            self.input.consume(used);
            if end.is_some() && !line.is_empty() {
                return Some(String::from_utf8_lossy(&line).trim().to_owned());
            }
        }
    }
}

/// Does a disk look as if it could be booted: a boot sector, or a CD's volume descriptor?
pub(crate) fn bootable(mut disk: &File) -> bool {
    let mut read = |at: u64, length: usize| {
        let mut bytes = vec![0; length];
        disk.seek(SeekFrom::Start(at)).and_then(|_| disk.read_exact(&mut bytes)).ok().map(|()| bytes)
    };
    read(510, 2).is_some_and(|bytes| bytes == [0x55, 0xaa]) || read(32769, 5).is_some_and(|bytes| bytes == *b"CD001")
}

/// Does a disk have that partition, as GRUB names it: `msdos1`, `gpt2`, or `1` in any table?
pub(crate) fn has_partition(disk: &File, part: &str) -> bool {
    let mut sectors = vec![0; 1024];
    if rustix::io::pread(disk, sectors.as_mut_slice(), 0).is_err() {
        return false;
    }
    let number: usize = part.trim_start_matches(|c: char| c.is_ascii_lowercase()).parse().unwrap_or(0);
    let mbr = sectors[510..512] == [0x55, 0xaa] && (1..=4).contains(&number) && ![0, 0xee].contains(&sectors[446 + 16 * (number - 1) + 4]);
    let gpt = &sectors[512..520] == b"EFI PART" && number > 0;
    match part.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "msdos" => mbr,
        "gpt" => gpt,
        "" => mbr || gpt,
        // Labels of the BSDs are not read.
        _ => number > 0,
    }
}

/// Does a disk hold a physical volume of LVM, in one of its first sectors or of those behind a first partition's usual start?
pub(crate) fn has_lvm(disk: &File) -> bool {
    [0_u64, 1 << 20].iter().any(|start| {
        let mut sectors = vec![0; 2048];
        rustix::io::pread(disk, sectors.as_mut_slice(), *start).is_ok() && sectors.chunks(512).any(|sector| sector.starts_with(b"LABELONE"))
    })
}

/// Makes the VM, or takes it back to its beginning. The lock is held until the loader is done.
pub(crate) fn prepare(place: &Place, program: &str, name: &str) -> Done<File> {
    if !rustix::process::geteuid().is_root() {
        return exit(1, format!("{program}: vm_create: Operation not permitted"));
    }
    if vm::exists(place, name) {
        let Some(lock) = vm::claim_soon(place, name)? else { return exit(1, format!("{program}: vm_reinit: {}", Errno::Busy.text())) };
        vm::write(place, name, &Vm::default())?;
        return Ok(lock);
    }
    if let Err(errno) = vm::create(place, name)? {
        return exit(1, format!("{program}: vm_create: {}", errno.text()));
    }
    match vm::claim_soon(place, name)? {
        Some(lock) => Ok(lock),
        None => exit(1, format!("{program}: vm_open: {}", Errno::Busy.text())),
    }
}

/// Opens a disk for reading and writing, or for reading alone where it must not be written.
pub(crate) fn open_disk(place: &Place, path: &str) -> Result<File, String> {
    let file = place.resolve(path);
    let opened = fs::File::options().read(true).write(true).open(&file).or_else(|_| fs::File::open(&file));
    let opened = opened.map_err(|error| error.to_string())?;
    match opened.metadata() {
        Ok(metadata) if metadata.is_dir() => Err("Is a directory".to_owned()),
        _ => Ok(opened),
    }
}

/// Keeps what a loader did, for bhyve.
pub(crate) fn finish(place: &Place, name: &str, vm: &Vm) -> Done {
    vm::write(place, name, vm)
}

/// Waits for ever, as a loader does at a prompt where nobody types.
pub(crate) fn hang() -> Done {
    loop {
        std::thread::park();
    }
}

/// Memory that a host of the lab can give.
pub(crate) fn check_memory(place: &Place, program: &str, bytes: u64) -> Done {
    if bytes > place.host.physmem {
        return exit(1, format!("{program}: vm_setup_memory: Cannot allocate memory"));
    }
    Ok(())
}

/// The text of a file of the host.
pub(crate) fn read(path: &std::path::Path) -> Done<String> {
    fs::read_to_string(path).or_broken(path.display())
}
