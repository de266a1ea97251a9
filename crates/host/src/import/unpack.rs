//! From the source's data to the bytes of an image: layer by layer, until something uncompressed appears.
//!
//! Not here: what archives may contain (`archive`), detecting contents (`content`), writing (`import`).

use super::archive;
use super::chunks::{Feed, PIECE, carried, fill, problem};
use super::content::{Content, Format, HEAD, Packing, Seen, recognise};
use super::digest::stops;
use super::fault::{self, Fault};
use super::foreign;
use super::members::Members;
use super::open::At;
use super::ova::Notes;
use super::zstd::Zstd;
use crate::safe::Folder;
use bzip2::bufread::BzDecoder;
use chyves_core::error::{Problem, Result};
use chyves_core::value::{FilePath, Size, printable};
use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};

/// Maximum number of layers; more indicate malice.
const LAYERS: usize = 4;
/// Number of bytes by which an archive may exceed the image in it.
const SLACK: u64 = 16 << 20;

/// The input of the next stage.
#[derive(Debug)]
pub(super) enum Out {
    /// The type of the content; `direct`: the source's file already contains it unchanged, so no bytes follow.
    Content {
        content: Content,
        direct: bool,
    },
    Data(Vec<u8>),
    End,
}

/// The state of unpacking, with its limits.
pub(super) struct Unpacker {
    pub(super) to: SyncSender<Out>,
    /// The source's name in errors.
    pub(super) name: String,
    /// Maximum size of the image, in bytes.
    pub(super) max: u64,
    /// The file that contains everything once all has been read, if no other user can write to it.
    pub(super) direct: Option<Arc<File>>,
    /// Whether the user states that it is a raw disk, whatever it looks like.
    pub(super) raw: bool,
    /// Whether the user states that it is firmware.
    pub(super) firmware: bool,
    /// The file in an archive that the user names.
    pub(super) member: Option<String>,
    /// What was found in an archive beside the image.
    pub(super) notes: Arc<Mutex<Notes>>,
    /// Whether the source ends as a VHD does; known only if it can be read from its end.
    pub(super) ends_as_vhd: bool,
    /// Whether the source must be read to its end for a check.
    pub(super) to_the_end: bool,
    /// Path of a temporary file for data that cannot be read sequentially.
    pub(super) scratch: String,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) layers: Vec<Packing>,
}

impl Unpacker {
    /// Unpacks everything; returns the layers, such as `raw.tar.gz`.
    pub(super) fn run(mut self, mut feed: Feed) -> Result<String> {
        let name = self.name.clone();
        let content = self.layer(&mut feed, &name)?;
        if self.to_the_end {
            self.drain(&mut feed)?;
        }
        drop(feed);
        let _ = self.to.send(Out::End);
        let words = std::iter::once(content.word()).chain(self.layers.iter().rev().map(|l| l.word()));
        Ok(words.collect::<Vec<_>>().join("."))
    }

    /// Unpacks one layer, and everything in it.
    pub(super) fn layer(&mut self, from: &mut dyn Read, name: &str) -> Result<Content> {
        let mut head = vec![0; HEAD];
        let n = fill(from, &mut head).map_err(|e| self.broken(e))?;
        head.truncate(n);
        let seen = match recognise(&head, name) {
            Ok(Seen::Plain(_)) | Err(_) if self.raw => Seen::Plain(Content::Raw),
            // Old firmware has no signature, so the user's statement counts.
            Ok(Seen::Plain(Content::Raw)) if !self.firmware => match foreign::text(&head) {
                Some((what, hint)) => return Err(not_an_image(name, what, hint)),
                None => Seen::Plain(Content::Raw),
            },
            other => other?,
        };
        let packing = match seen {
            Seen::Packed(packing) => packing,
            Seen::Plain(content) => {
                let footed = content == Content::Raw && self.layers.is_empty() && self.ends_as_vhd && !self.raw;
                let content = if footed { Content::Format(Format::Vhd) } else { content };
                self.plain(content, &head, from)?;
                return Ok(content);
            }
        };
        self.layers.push(packing);
        if self.layers.len() > LAYERS {
            return Err(Problem::usage(format!("`{}` has more than {LAYERS} layers of compression", self.shown()))
                .on(self.shown())
                .hint("unpack it first, check its content, and import that: `chyves image import FILE`"));
        }
        let outermost = self.layers.len() == 1;
        let mut whole = head.as_slice().chain(from);
        let content = match packing {
            Packing::Gzip => self.inside(&mut Members::<_, GzDecoder<_>>::new(BufReader::with_capacity(PIECE, whole)), packing, name),
            Packing::Xz => self.inside(&mut Members::<_, XzReader<_>>::new(BufReader::with_capacity(PIECE, whole)), packing, name),
            Packing::Zstd => self.inside(&mut Zstd::new(BufReader::with_capacity(PIECE, whole)), packing, name),
            Packing::Bzip2 => self.inside(&mut Members::<_, BzDecoder<_>>::new(BufReader::with_capacity(PIECE, whole)), packing, name),
            Packing::Tar => {
                let content = archive::tar(self, &mut whole)?;
                self.zeros_to_the_end(&mut whole)?;
                return Ok(content);
            }
            Packing::Zip => match self.direct.clone().filter(|_| outermost) {
                Some(file) => {
                    if self.to_the_end {
                        self.drain(&mut whole)?;
                    }
                    archive::zip(self, At::start(file))
                }
                None => {
                    let path = self.scratch.clone();
                    let file = self.spool(&mut whole, &path)?;
                    let content = archive::zip(self, At::start(Arc::new(file)));
                    let _ = crate::small_files::remove(&path);
                    content
                }
            },
        }?;
        Ok(content)
    }

    /// Unpacks a decoder's output to its end.
    fn inside(&mut self, decoder: &mut dyn Read, packing: Packing, name: &str) -> Result<Content> {
        let left = self.max.saturating_add(SLACK);
        let mut bounded = Bounded { from: decoder, packing, left, max: self.max, name: self.shown() };
        let content = self.layer(&mut bounded, name)?;
        self.drain(&mut bounded)?;
        Ok(content)
    }

    /// Passes the image itself on.
    fn plain(&mut self, content: Content, head: &[u8], from: &mut dyn Read) -> Result<()> {
        let direct = matches!(content, Content::Format(_)) && self.layers.is_empty() && self.direct.is_some();
        self.send(Out::Content { content, direct })?;
        if direct {
            return Ok(());
        }
        let mut whole = head.chain(from);
        let mut left = self.max;
        loop {
            let mut piece = vec![0; PIECE];
            let n = fill(&mut whole, &mut piece).map_err(|e| self.broken(e))?;
            if n == 0 {
                return Ok(());
            }
            left = left.checked_sub(n as u64).ok_or_else(|| too_large(&self.shown(), self.max))?;
            piece.truncate(n);
            self.send(Out::Data(piece))?;
        }
    }

    fn send(&self, out: Out) -> Result<()> {
        // The next stage has ended; whoever ended it knows the reason.
        self.to.send(out).map_err(|_| super::interrupted(&self.shown()))
    }

    /// Reads to the end and discards the data.
    pub(super) fn drain(&self, from: &mut dyn Read) -> Result<()> {
        let mut buffer = vec![0; PIECE];
        while fill(from, &mut buffer).map_err(|e| self.broken(e))? > 0 {
            if stops(&self.stop) {
                return Err(super::interrupted(&self.shown()));
            }
        }
        Ok(())
    }

    /// Reads to the end of what may follow a tar archive: zeros that fill its last record.
    fn zeros_to_the_end(&self, from: &mut dyn Read) -> Result<()> {
        let mut buffer = vec![0; PIECE];
        loop {
            let n = fill(from, &mut buffer).map_err(|e| self.broken(e))?;
            if n == 0 {
                return Ok(());
            }
            if buffer[..n].iter().any(|b| *b != 0) {
                return Err(fault::of(&self.shown(), Packing::Tar, &Fault::Trailing.into()));
            }
            if stops(&self.stop) {
                return Err(super::interrupted(&self.shown()));
            }
        }
    }

    /// Writes a stream to a file, and returns the open file.
    fn spool(&self, from: &mut dyn Read, path: &str) -> Result<File> {
        let fail = |e: io::Error| crate::small_files::io_problem("write", path)(e);
        let (folder, name) = Folder::of(&FilePath::host(path))?;
        let mut file = folder.create(name)?;
        let mut write = || {
            let mut buffer = vec![0; PIECE];
            let mut left = self.max;
            loop {
                let n = fill(from, &mut buffer).map_err(|e| self.broken(e))?;
                if n == 0 {
                    return Ok(());
                }
                left = left.checked_sub(n as u64).ok_or_else(|| too_large(&self.shown(), self.max))?;
                file.write_all(&buffer[..n]).map_err(fail)?;
            }
        };
        match write() {
            Ok(()) => Ok(file),
            Err(problem) => {
                // Only what was created here.
                let _ = crate::small_files::remove(path);
                Err(problem)
            }
        }
    }

    pub(super) fn shown(&self) -> String {
        printable(&self.name, 300)
    }

    /// The problem that a stream could not be read further.
    pub(super) fn broken(&self, error: io::Error) -> Problem {
        let shown = self.shown();
        problem(error, |e| Problem::failed(format!("cannot read `{shown}`")).on(&shown).because(e))
    }
}

/// The problem that the file is something other than an image.
fn not_an_image(name: &str, what: &str, hint: &str) -> Problem {
    let shown = printable(name, 300);
    Problem::usage(format!("`{shown}` is {what}, not a disk, an ISO or firmware")).on(&shown).hint(hint)
}

/// The problem that the size limit was exceeded.
pub(super) fn too_large(name: &str, max: u64) -> Problem {
    let max = Size::bytes(max).human();
    Problem::failed(format!("`{name}` decompresses to more than {max}"))
        .on(name)
        .because("a small file that grows without end could fill the pool, so there is a limit")
        .hint("if it is really that large, allow a larger size: --max-size SIZE")
}

/// A decoder whose errors name the damaged layer, and whose output is limited.
struct Bounded<'a> {
    from: &'a mut dyn Read,
    packing: Packing,
    left: u64,
    max: u64,
    name: String,
}

impl Read for Bounded<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(into).map_err(|e| {
            if e.kind() == io::ErrorKind::Interrupted {
                return e;
            }
            carried(problem(e, |e| fault::of(&self.name, self.packing, &e)))
        })?;
        match self.left.checked_sub(n as u64) {
            Some(left) => self.left = left,
            None => return Err(carried(too_large(&self.name, self.max))),
        }
        Ok(n)
    }
}
