//! Conversion of disk formats to raw by `qemu-img`, which runs confined and accesses the image and the new disk as block
//! devices on its standard input and output: it opens no file, whatever the image contains.
//!
//! An exit status of 0 does not prove that an image was complete: that is checked before, by `qemu-img check` and by the tables
//! of the format (`layout`), and every failed read is an error.
//!
//! Not here: the block device on the socket (`nbd`), the confinement (`confine::tool`).

use super::content::Format;
use super::layout;
use super::nbd::{Export, serve};
use super::unpack::too_large;
use crate::confine::tool;
use crate::run;
use chyves_core::cmd::Cmd;
use chyves_core::error::{Problem, Result};
use chyves_core::value::{Size, printable};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An open image, with its name for messages.
#[derive(Clone, Copy)]
pub(crate) struct Image<'f> {
    pub(crate) file: &'f File,
    pub(crate) format: Format,
    pub(crate) name: &'f str,
}

/// The disk that gets the content.
pub(crate) struct Target<'f> {
    pub(crate) file: &'f File,
    /// Whether it is a new file, in which zeros are left as holes.
    pub(crate) holes: bool,
}

/// A converter without a request for this long counts as hung.
const STALLED: Duration = Duration::from_secs(120);
/// Exit status of `qemu-img check` for a format that it cannot check.
const NO_CHECK: i32 = 63;
/// Exit status if unused clusters are allocated, which loses no data.
const LEAKS: i32 = 3;

impl Image<'_> {
    /// The image options for `qemu-img`: the format is stated, and no other file belongs to it.
    fn options(&self) -> Result<String> {
        let driver = self.format.driver();
        let more = match self.format {
            Format::Vhd if layout::vhd_size_is_current(self.file).map_err(|e| self.unreadable(&e))? => {
                r#","force_size_calc":"current_size""#
            }
            Format::Qcow2 | Format::Vmdk => r#","backing":null"#,
            Format::Vhd | Format::Vdi | Format::Vhdx => "",
        };
        Ok(format!(r#"json:{{"driver":"{driver}"{more},"file":{{"driver":"nbd","server":{{"type":"fd","str":"0"}}}}}}"#))
    }

    fn shown(&self) -> String {
        printable(self.name, 300)
    }

    fn unreadable(&self, error: &std::io::Error) -> Problem {
        Problem::failed(format!("cannot read `{}`", self.shown())).on(self.shown()).because(error)
    }

    fn depends(&self, needs: &str) -> Problem {
        Problem::usage(format!("`{}` is incomplete: it depends on another file", self.shown()))
            .on(self.shown())
            .because(format!("it needs {needs}"))
            .hint("flatten it first: qemu-img convert -O qcow2 IMAGE WHOLE")
    }

    fn damaged(&self, why: impl std::fmt::Display) -> Problem {
        Problem::failed(format!("`{}` is damaged or incomplete ({})", self.shown(), self.format.word()))
            .on(self.shown())
            .because(why)
            .hint("fetch or copy it again, and compare it with its checksum: --hash HASH or --checksums LIST")
    }

    /// Runs `qemu-img` on the image.
    fn run(&self, cmd: &Cmd, target: Option<(&Target<'_>, u64)>, interrupted: &AtomicBool) -> Result<(run::Output, u64)> {
        let pair = || UnixStream::pair().map_err(|e| Problem::host_cant("cannot create a socket pair").because(e));
        let (own, its) = pair()?;
        let (written, requests) = (AtomicU64::new(0), AtomicU64::new(0));
        let mut seen = (0, Instant::now());
        let failed = |what: &str, e: std::io::Error| crate::small_files::io_problem(what, self.name)(e);
        std::thread::scope(|scope| {
            let source = scope.spawn(|| serve(&Export::Source { file: self.file, requests: &requests }, own));
            let (sink, out) = match target {
                None => (None, None),
                Some((target, size)) => {
                    let (own, its) = pair()?;
                    let export = Export::Disk { file: target.file, size, holes: target.holes, written: &written };
                    (Some(scope.spawn(move || serve(&export, own))), Some(OwnedFd::from(its)))
                }
            };
            let mut stop = || {
                if interrupted.load(Ordering::SeqCst) {
                    return Some(Problem::interrupted().on(self.shown()));
                }
                let now = requests.load(Ordering::SeqCst) + written.load(Ordering::SeqCst);
                if now != seen.0 {
                    seen = (now, Instant::now());
                }
                (seen.1.elapsed() > STALLED).then(|| self.damaged(format!("`qemu-img` neither read nor wrote for {} s", STALLED.as_secs())))
            };
            let output = tool::output(cmd, OwnedFd::from(its), out, &mut stop);
            let gone = || Err(std::io::Error::other("the thread that serves it ended early"));
            let read = source.join().unwrap_or_else(|_| gone());
            let wrote = sink.map_or(Ok(()), |sink| sink.join().unwrap_or_else(|_| gone()));
            let output = output?;
            wrote.map_err(|e| failed("write the content of", e))?;
            read.map_err(|e| self.damaged(e))?;
            Ok((output, written.load(Ordering::SeqCst)))
        })
    }

    /// The size of the disk in an image, which must be complete and must not refer to another file.
    pub(crate) fn inspect(&self, interrupted: &AtomicBool) -> Result<Size> {
        if let Some(needs) = layout::needs(self.file, self.format).map_err(|e| self.unreadable(&e))? {
            return Err(self.depends(needs));
        }
        if let Some(why) = layout::missing(self.file, self.format).map_err(|e| self.unreadable(&e))? {
            return Err(self.damaged(why));
        }
        let options = self.options()?;
        let info = Cmd::new("qemu-img", ["info", "--output=json", &options]);
        let (output, _) = self.run(&info, None, interrupted)?;
        if !output.ok() {
            return Err(self.damaged(said(&output)));
        }
        let size = self.stands_alone(&output.stdout)?;
        let check = Cmd::new("qemu-img", ["check", "--output=json", &options]);
        let (output, _) = self.run(&check, None, interrupted)?;
        match output.status {
            Some(0 | LEAKS | NO_CHECK) => Ok(size),
            _ => Err(self.damaged(format!("`qemu-img check` reports: {}", said(&output)))),
        }
    }

    /// The size from the output of `qemu-img info`, for an image that refers to no other file.
    fn stands_alone(&self, info: &str) -> Result<Size> {
        let unreadable = |why: String| Problem::failed("cannot read what `qemu-img info` printed").on(self.shown()).because(why);
        let info: serde_json::Value = serde_json::from_str(info).map_err(|e| unreadable(e.to_string()))?;
        let text = |value: &serde_json::Value, key: &str| value.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
        let own = text(&info, "filename");
        let parts = info.pointer("/format-specific/data/extents").and_then(serde_json::Value::as_array);
        // A VMDK in one file lists itself as its only extent: the device on the socket.
        let elsewhere = parts.is_some_and(|parts| {
            parts.len() != 1
                || parts
                    .iter()
                    .any(|part| text(part, "filename").is_some_and(|file| own.as_deref() != Some(&file) && file.starts_with('/')))
        });
        let data_file = info.pointer("/format-specific/data/data-file").is_some();
        let backing = ["backing-filename", "full-backing-filename"].iter().any(|key| text(&info, key).is_some());
        if backing || data_file || elsewhere {
            return Err(self.depends("another file than its own"));
        }
        let size = info.get("virtual-size").and_then(serde_json::Value::as_u64);
        size.map(Size::bytes).ok_or_else(|| unreadable("it has no virtual size".into()))
    }

    /// Converts the content, which has been inspected, to a new disk.
    pub(crate) fn convert(&self, size: Size, target: &Target<'_>, interrupted: &AtomicBool) -> Result<()> {
        let to = "driver=raw,file.driver=nbd,file.server.type=fd,file.server.str=1";
        let mut args = vec!["convert", "-n"];
        if target.holes {
            args.push("--target-is-zero");
        }
        let options = self.options()?;
        args.extend(["--target-image-opts", &options, to]);
        // Only whole sectors can be written.
        let length = size.get().next_multiple_of(512);
        let (output, written) = self.run(&Cmd::new("qemu-img", args), Some((target, length)), interrupted)?;
        if !output.ok() {
            return Err(self.damaged(said(&output)));
        }
        if written > length {
            return Err(Problem::bug("a converter wrote beyond the end of a disk"));
        }
        Ok(())
    }
}

/// The size of the disk in an image, which must be complete and not larger than `max`.
pub(super) fn bounded(image: &Image<'_>, max: u64, interrupted: &AtomicBool) -> Result<Size> {
    let size = image.inspect(interrupted)?;
    if size.get() > max { Err(too_large(&image.shown(), max)) } else { Ok(size) }
}

/// The first error message of a tool.
fn said(output: &run::Output) -> String {
    let line = output.stderr.lines().chain(output.stdout.lines()).map(str::trim).find(|l| !l.is_empty());
    let line = line.unwrap_or("it failed without a message");
    // The prefix with the image options is not useful to the user.
    let line = line.split_once("}': ").map_or(line, |(_, rest)| rest);
    printable(line.trim_start_matches("qemu-img: "), 200)
}
