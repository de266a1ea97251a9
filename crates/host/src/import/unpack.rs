//! From what came to the bytes of an image: layer by layer, whatever the layers are, until something plain appears.
//!
//! Not here: what archives may hold (`archive`), what plain content is (`content`), writing it (`import`).

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

/// More layers than that nobody packs in good faith.
const LAYERS: usize = 4;
/// What an archive may be larger than the image in it.
const SLACK: u64 = 16 << 20;

/// What the next stage gets.
#[derive(Debug)]
pub(super) enum Out {
    /// What it is; `direct` where it stands in a file as it is, so that no bytes follow.
    Content {
        content: Content,
        direct: bool,
    },
    Data(Vec<u8>),
    End,
}

/// What is unpacked, and within which limits.
pub(super) struct Unpacker {
    pub(super) to: SyncSender<Out>,
    /// What it is called in errors.
    pub(super) name: String,
    /// What it may grow to.
    pub(super) max: u64,
    /// The file that has all of it once all was read, and that nobody else can write to.
    pub(super) direct: Option<Arc<File>>,
    /// Whether somebody says that it is a raw disk, whatever it looks like.
    pub(super) raw: bool,
    /// Whether somebody says that it is firmware.
    pub(super) firmware: bool,
    /// The file in an archive that a person names.
    pub(super) member: Option<String>,
    /// What was found in an archive beside the image.
    pub(super) notes: Arc<Mutex<Notes>>,
    /// Whether what comes, which can be read from its end, ends as a VHD does.
    pub(super) ends_as_vhd: bool,
    /// Whether somebody needs what comes to be read to its end.
    pub(super) to_the_end: bool,
    /// A file that may be made for what can't be read from its beginning to its end.
    pub(super) scratch: String,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) layers: Vec<Packing>,
}

impl Unpacker {
    /// Unpacks; how it was packed, as `raw.tar.gz`.
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

    /// One layer, and everything in it.
    pub(super) fn layer(&mut self, from: &mut dyn Read, name: &str) -> Result<Content> {
        let mut head = vec![0; HEAD];
        let n = fill(from, &mut head).map_err(|e| self.broken(e))?;
        head.truncate(n);
        let seen = match recognise(&head, name) {
            Ok(Seen::Plain(_)) | Err(_) if self.raw => Seen::Plain(Content::Raw),
            // Old firmware has no mark at all, and a person says what it is.
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
                    let spooled = self.spool(&mut whole, &path);
                    let content = spooled.and_then(|file| archive::zip(self, At::start(Arc::new(file))));
                    let _ = crate::apply::remove(&path);
                    content
                }
            },
        }?;
        Ok(content)
    }

    /// What a decoder gives, to its end.
    fn inside(&mut self, decoder: &mut dyn Read, packing: Packing, name: &str) -> Result<Content> {
        let left = self.max.saturating_add(SLACK);
        let mut bounded = Bounded { from: decoder, packing, left, max: self.max, name: self.shown() };
        let content = self.layer(&mut bounded, name)?;
        self.drain(&mut bounded)?;
        Ok(content)
    }

    /// The image itself.
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
        // The next stage went away: whoever ended it knows why.
        self.to.send(out).map_err(|_| super::interrupted(&self.shown()))
    }

    /// Reads to the end and keeps nothing.
    pub(super) fn drain(&self, from: &mut dyn Read) -> Result<()> {
        let mut buffer = vec![0; PIECE];
        while fill(from, &mut buffer).map_err(|e| self.broken(e))? > 0 {
            if stops(&self.stop) {
                return Err(super::interrupted(&self.shown()));
            }
        }
        Ok(())
    }

    /// Reads to the end of what a tar archive may be followed by: zeros that fill its last record.
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

    /// Puts a stream into a file of its own, which is open from then on.
    fn spool(&self, from: &mut dyn Read, path: &str) -> Result<File> {
        let fail = |e: io::Error| crate::apply::io_problem("write", path)(e);
        let (folder, name) = Folder::of(&FilePath::host(path))?;
        let mut file = folder.create(name)?;
        let mut buffer = vec![0; PIECE];
        let mut left = self.max;
        loop {
            let n = fill(from, &mut buffer).map_err(|e| self.broken(e))?;
            if n == 0 {
                return Ok(file);
            }
            left = left.checked_sub(n as u64).ok_or_else(|| too_large(&self.shown(), self.max))?;
            file.write_all(&buffer[..n]).map_err(fail)?;
        }
    }

    pub(super) fn shown(&self) -> String {
        printable(&self.name, 300)
    }

    /// What became of a stream that could not be read on.
    pub(super) fn broken(&self, error: io::Error) -> Problem {
        let shown = self.shown();
        problem(error, |e| Problem::failed(format!("cannot read `{shown}`")).on(&shown).because(e))
    }
}

/// Something else is in an image's place.
fn not_an_image(name: &str, what: &str, hint: &str) -> Problem {
    let shown = printable(name, 300);
    Problem::usage(format!("`{shown}` is {what}, not a disk, an ISO or firmware")).on(&shown).hint(hint)
}

/// The limit was passed.
pub(super) fn too_large(name: &str, max: u64) -> Problem {
    let max = Size::bytes(max).human();
    Problem::failed(format!("`{name}` decompresses to more than {max}"))
        .on(name)
        .because("a small file that grows without end could fill the pool, so there is a limit")
        .hint("if it is really that large, allow a larger size: --max-size SIZE")
}

/// A decoder whose errors say which layer is broken, and which can't go on for ever.
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
