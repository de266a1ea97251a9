//! Importing an image in one pass: the data is hashed, recognised, unpacked and written while the rest is still arriving.
//!
//! ```text
//! source ─ hash as it comes ─►│ layer by layer: gzip, tar … ─►│ holes, file ─ SHA-256 of what is kept
//!   file, standard input,     │   until something plain       │   another disk format: by qemu-img, from a scratch file
//!   a server, and a part of   │   appears                     │
//!   an earlier try            │                               │
//!        thread               │           thread              │        this thread, and one that hashes
//! ```
//!
//! * [`content`], [`foreign`], [`optical`]: detecting the content; [`unpack`], [`members`], [`zstd`], [`archive`],
//!   [`fault`]: layers; [`convert`]: disk formats
//! * [`fetch`], [`http`], [`name`], [`failure`], [`watch`], [`proxy`], [`ftp`], [`part`]: servers, and resuming interrupted transfers
//! * [`open`], [`layout`], [`nbd`]: files that others may own, whether an image is complete, the block device for a converter
//! * [`trust`], [`digest`], [`signature`]: the required hash or signature, and checking it
//! * [`firmware`]: separating code and variables; [`hints`]: hints after a failure
//! * [`mod@write`]: the last stage; [`chunks`]: the channels between the stages
//!
//! Not here: the dataset of the image, and hiding it until it is complete (chyves-core `plan::image`).

mod archive;
mod chunks;
pub(crate) mod content;
pub(crate) mod convert;
pub(crate) mod digest;
mod failure;
mod fault;
mod fetch;
mod firmware;
mod foreign;
mod ftp;
mod hints;
mod http;
mod layout;
mod members;
pub mod name;
mod nbd;
pub(crate) mod open;
mod optical;
mod ova;
mod ovf;
pub mod part;
mod proxy;
pub(crate) mod signature;
pub(crate) mod source;
mod sparse;
pub(crate) mod trust;
mod unpack;
mod watch;
mod write;
mod zstd;

use crate::place::{Event, Place};
use crate::safe::{Access, Folder, Rule};
use chunks::{Feed, channel};
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::image::{ImageKind, Order, Source};
use chyves_core::property::keys;
use chyves_core::value::{Dataset, FilePath, Size, printable};
use chyves_core::zfs::{Dialect, args};
use content::Content;
use digest::compare;
use optical::Extent;
use signature::Detached;
use source::Opened;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use unpack::{Out, Unpacker};
use write::{Meter, Written, write};

/// What is imported, and where.
pub(crate) struct Import<'a> {
    pub(crate) order: &'a Order,
    pub(crate) folder: &'a str,
    pub(crate) dataset: &'a Dataset,
    /// The folder in which a download is kept.
    pub(crate) part: Option<&'a str>,
    pub(crate) now: &'a str,
    pub(crate) dialect: Dialect,
}

/// A failure, and whether the partial download is useful for another try.
pub(crate) struct Failed {
    pub(crate) problem: Problem,
    pub(crate) keep: bool,
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self { problem, keep: false }
    }
}

pub(crate) fn interrupted(what: &str) -> Problem {
    Problem::interrupted().on(printable(what, 300))
}

/// Imports one image; its properties are set on its dataset last.
pub(crate) fn import(import: &Import<'_>, place: &mut Place<'_>) -> Result<(), Failed> {
    attempt(import, place).map_err(|failed| Failed { problem: hints::again(failed.problem, &import.order.source), ..failed })
}

fn attempt(import: &Import<'_>, place: &mut Place<'_>) -> Result<(), Failed> {
    let order = import.order;
    // Before anything was read, the part from an earlier try is still useful.
    let early = |problem| Failed { problem, keep: import.part.is_some_and(part::is_of_use) };
    let wanted = trust::wanted(order, import.folder).map_err(early)?;
    let stop = Arc::new(AtomicBool::new(false));
    let trust::Wanted { hash, signature, mut told, warnings } = wanted;
    for warning in warnings {
        (place.report)(Event::Warning(warning));
    }
    // Whether it is by a trusted key is checked before anything is read.
    let signed = signature.as_ref().map(Detached::begin).transpose().map_err(early)?;
    let opened = source::open(order, import.part, &stop, source::Checks { hash: hash.as_ref().map(|h| h.kind), signed }).map_err(early)?;
    let unchanged = opened.unchanged.clone();
    let direct = opened.direct.clone();
    let (written, format, by) = flow(import, opened, &stop, hash.as_ref(), place)?;
    for by in by {
        told.push_str(if told.is_empty() { "" } else { "; " });
        told.push_str(&by);
    }
    let told = if told.is_empty() { "no" } else { &told };
    finish(import, written, direct.as_deref(), (&format, told), place)?;
    // Another program may have read the source after this one.
    unchanged().map_err(Failed::from)
}

/// Reports what an archive contains beside the image.
fn tell(notes: &ova::Notes, import: &Import<'_>, place: &mut Place<'_>) {
    let shown = import.order.source.shown();
    if !notes.asks.is_empty() {
        (place.report)(Event::Warning(format!("`{shown}` requests these settings, which you may set: {}", notes.asks.join(" "))));
    }
    if let [taken, others @ ..] = notes.disks.as_slice()
        && let [first, ..] = others
    {
        let others: Vec<String> = others.iter().map(|disk| printable(disk, 120)).collect();
        // The name comes from the author of the archive, so it is quoted as one word for the shell.
        let command = hints::import(&import.order.source).arg("--member").arg(first).args(["--name", "NAME"]);
        (place.report)(Event::Warning(format!(
            "`{shown}` has {} disks: {} was imported; each other one is an image of its own: `{command}` (also: {})",
            notes.disks.len(),
            printable(taken, 120),
            others.join(", ")
        )));
    }
}

/// Runs the stages; returns what was written, how it was compressed, and what was verified on the way.
fn flow(
    import: &Import<'_>,
    opened: Opened,
    stop: &Arc<AtomicBool>,
    wanted: Option<&chyves_core::image::Hash>,
    place: &mut Place<'_>,
) -> Result<(Written, String, Vec<String>), Failed> {
    let order = import.order;
    let shown = order.source.shown();
    let notes = Arc::new(Mutex::new(ova::Notes::default()));
    let (pieces_to, pieces) = channel();
    let (out_to, out) = channel();
    let unpacker = Unpacker {
        to: out_to,
        name: shown.clone(),
        max: order.max_size.get(),
        direct: opened.direct.clone(),
        raw: order.raw,
        firmware: order.expect == Some(ImageKind::Firmware),
        member: order.member.clone(),
        notes: notes.clone(),
        ends_as_vhd: opened.ends_as_vhd,
        to_the_end: opened.checked || !matches!(order.source, Source::File(_)),
        scratch: format!("{}/scratch.zip", import.folder),
        stop: stop.clone(),
        layers: Vec::new(),
    };
    let feed = Feed::new(pieces, stop.clone());
    let Opened { status, counter, end, pump, .. } = opened;
    let pump = std::thread::spawn(move || pump(pieces_to));
    let middle = std::thread::spawn(move || unpacker.run(feed));
    let mut meter = Meter::new(counter, status.clone());
    let written = write(import, &out, &mut meter, place);
    // After any failure, the other stages must end now.
    drop(out);
    if written.is_err() {
        stop.store(true, Ordering::SeqCst);
        end();
    }
    let middle = middle.join().unwrap_or_else(|_| Err(Problem::bug("the stage that unpacks broke")));
    if middle.is_err() {
        stop.store(true, Ordering::SeqCst);
        end();
    }
    // A read from standard input cannot be interrupted; such a thread is left until the process ends.
    let waits = matches!(order.source, Source::Input) && (written.is_err() || middle.is_err());
    let pumped = if waits && !pump.is_finished() {
        Ok(source::Found::default())
    } else {
        pump.join().unwrap_or_else(|_| Err(Problem::bug("the stage that reads broke")))
    };
    meter.end(place);
    let keep = status.keep.load(Ordering::SeqCst);
    let is_interrupt = |p: &Problem| p.code == Kind::Interrupted;
    let by_hand = place.interrupted.load(Ordering::SeqCst);
    match (pumped, middle, written) {
        // A refusal or a failure of the last stage is the real cause: the stages before end because of it, with other messages.
        (_, _, Err(problem)) if !is_interrupt(&problem) => Err(problem.into()),
        // The reading stage knows best why it ended, unless it was stopped.
        (Err(problem), middle, _) if !is_interrupt(&problem) || by_hand => {
            let broke = problem.code != Kind::Failed || !middle.is_err_and(|p| !is_interrupt(&p));
            let keep = keep && broke;
            let hint =
                keep.then(|| format!("the partial download is kept: `{}` resumes it, `chyves repair` deletes it", hints::fetch(&shown)));
            Err(Failed { problem: problem.hint_if(hint), keep })
        }
        (_, Err(problem), written) if !is_interrupt(&problem) || written.is_ok() => Err(problem.into()),
        (_, _, Err(problem)) => {
            let keep = keep && is_interrupt(&problem);
            Err(Failed { problem, keep })
        }
        (Err(problem), ..) | (_, Err(problem), _) => Err(problem.into()),
        (Ok(found), Ok(format), Ok(written)) => {
            if let (Some(wanted), Some(hex)) = (wanted, found.hex) {
                compare(wanted, &hex, &shown).map_err(|problem| match status.pieces() {
                    Some(why) => problem.because(why).hint("the next fetch starts from scratch"),
                    None => problem,
                })?;
            }
            let notes = notes.lock().map(|mut notes| std::mem::take(&mut *notes)).unwrap_or_default();
            tell(&notes, import, place);
            let by = notes.verified.then(|| "its files match the manifest in it".to_owned());
            Ok((written, format, by.into_iter().chain(found.signed.map(|by| format!("the image is signed by {by}"))).collect()))
        }
    }
}

/// Converts the image if necessary, and sets its properties on its dataset.
fn finish(import: &Import<'_>, written: Written, direct: Option<&File>, words: (&str, &str), place: &mut Place<'_>) -> Result<()> {
    let (format, checked) = words;
    let order = import.order;
    let shown = order.source.shown();
    let kind = written.content.kind();
    let folder = Folder::open(import.folder)?;
    let (length, sha256) = match (written.content, written.sha256) {
        (Content::Format(disk), _) => {
            let from = written.scratch.as_ref().or(direct).ok_or_else(|| Problem::bug("a stream was taken for a file"))?;
            let image = convert::Image { file: from, format: disk, name: &shown };
            let converted = converted(&image, &folder, kind.file(), order.max_size.get(), place);
            if written.scratch.is_some() {
                folder.remove_file(write::SCRATCH)?;
            }
            converted?
        }
        (_, Some(sha256)) => (written.length, sha256),
        (_, None) => return Err(Problem::bug("an image without a hash")),
    };
    let (length, sha256, template) = match (kind, &order.vars) {
        (ImageKind::Firmware, vars) => {
            let parts = firmware::part(&folder, vars.as_deref(), &shown)?;
            (parts.code, parts.sha256.unwrap_or(sha256), parts.template)
        }
        (ImageKind::Disk | ImageKind::Iso, None) => (length, sha256, None),
        (ImageKind::Disk | ImageKind::Iso, Some(_)) => {
            return Err(Problem::usage(format!("`{shown}` is {}, which has no variables", kind.phrase())).on(&shown).hint("omit --vars"));
        }
    };
    let disc = (kind == ImageKind::Iso).then(|| folder.file(kind.file(), Access::Read, Rule::DISK)).transpose()?;
    match disc.as_ref().map_or(Extent::Unknown, optical::extent) {
        Extent::AtLeast(volume) if volume > length => {
            return Err(Problem::failed(format!("`{shown}` is incomplete"))
                .on(&shown)
                .because(format!("its volume descriptor announces at least {volume} bytes, and it has {length}"))
                .hint("fetch or copy it again, and compare it with its checksum: --hash HASH or --checksums LIST"));
        }
        Extent::Invalid(why) => {
            return Err(Problem::failed(format!("`{shown}` is a damaged ISO"))
                .on(&shown)
                .because(format!("its volume descriptor is invalid: {why}"))
                .hint("fetch or copy it again, and compare it with its checksum: --hash HASH or --checksums LIST")
                .hint("if it is no ISO but a disk: `chyves image import FILE --kind raw`"));
        }
        Extent::AtLeast(_) | Extent::Unknown => {}
    }
    if disc.as_ref().is_some_and(optical::may_be_disk) {
        (place.report)(Event::Warning(format!(
            "`{shown}` is imported as an ISO; it also has a partition table. If it is a disk: `chyves image import FILE --kind raw`"
        )));
    }
    let name = order.named.clone().or_else(|| order.source.file_name()).unwrap_or_else(|| "-".into());
    let mut own: Vec<(String, String)> = order.wants.iter().map(|(k, v)| (format!("{}{k}", keys::WANTS), v.clone())).collect();
    own.extend(disc.as_ref().and_then(optical::label).map(|label| (keys::IMAGE_LABEL.to_owned(), label)));
    own.extend(template.into_iter().flat_map(|template| {
        [(keys::IMAGE_VARS.to_owned(), template.sha256), (keys::IMAGE_VARS_SIZE.to_owned(), template.size.to_string())]
    }));
    own.extend(
        [
            (keys::IMAGE_SIZE, Size::bytes(length).to_string()),
            (keys::IMAGE_SHA256, sha256),
            (keys::IMAGE_SOURCE, shown),
            (keys::IMAGE_NAME, printable(&name, 200)),
            (keys::IMAGE_FORMAT, format.to_owned()),
            (keys::IMAGE_CHECKED, printable(checked, 900)),
            (keys::IMAGE_ADDED, import.now.to_owned()),
            // Last: a dataset counts as an image once its kind is set.
            (keys::IMAGE_KIND, kind.word().to_owned()),
        ]
        .map(|(k, v)| (k.to_owned(), v)),
    );
    for cmd in args::change(import.dialect, import.dataset.as_str(), &own, &[]) {
        crate::settled::command(&cmd, place)?;
    }
    Ok(())
}

/// Converts an image to a raw disk, which is a multiple of the sector size; returns its length and its SHA-256.
fn converted(image: &convert::Image<'_>, folder: &Folder, name: &str, max: u64, place: &mut Place<'_>) -> Result<(u64, String)> {
    let path = folder.shown(name).to_string_lossy().into_owned();
    let fail = |e: std::io::Error| crate::small_files::io_problem("write", &path)(e);
    let size = convert::bounded(image, max, place.interrupted)?;
    let file = folder.create(name)?;
    (place.report)(Event::Command(format!("qemu-img convert {} {path}", image.name)));
    image.convert(size, &convert::Target { file: &file, holes: true }, place.interrupted)?;
    let length = size.get().next_multiple_of(512);
    file.set_len(length).and_then(|()| file.sync_all()).map_err(fail)?;
    Ok((length, hash_of(file, &path, place)?))
}

/// The SHA-256 of a file, with progress.
pub(crate) fn hash(path: &FilePath, place: &mut Place<'_>) -> Result<String> {
    let (folder, name) = Folder::of(path)?;
    hash_of(folder.file(name, Access::Read, Rule::DISK)?, &path.to_string(), place)
}

fn hash_of(file: File, path: &str, place: &mut Place<'_>) -> Result<String> {
    digest::of_file(file, path, &mut |done, total| {
        (place.report)(Event::Progress(done, total));
        !place.interrupted.load(Ordering::SeqCst)
    })
}

/// Reads an image again and compares it with its recorded hash.
pub(crate) fn verify(image: &str, path: &FilePath, sha256: &str, size: Size, place: &mut Place<'_>) -> Result<()> {
    let (folder, name) = Folder::of(path)?;
    if !folder.has(&name)? {
        return Err(Problem::failed(format!("the image `{image}` has lost its file"))
            .on(image)
            .because(format!("there is no {path}"))
            .hint(format!("import it again under another name, and delete this one: `chyves image delete {image}`")));
    }
    // A file of another length is not the image, and may be endless.
    let length = folder
        .file(&name, Access::Read, Rule::DISK)?
        .metadata()
        .map_err(crate::small_files::io_problem("read the size of", &path.to_string()))?
        .len();
    if length != size.get() {
        return Err(Problem::failed(format!("the image `{image}` is not what was imported"))
            .on(image)
            .because(format!("{path} has {length} bytes, not {}", size.get()))
            .hint("import the image again under another name: `chyves image import`"));
    }
    let is = hash(path, place)?;
    if is == sha256 {
        return Ok(());
    }
    Err(Problem::failed(format!("the image `{image}` is not what was imported"))
        .on(image)
        .because(format!("its SHA-256 was {sha256}"))
        .because(format!("and now is        {is}"))
        .hint("`zpool status -v` shows whether the pool is damaged; import the image again under another name: `chyves image import`"))
}

/// Decompresses a file and discards the result, to measure the decoder. Returns the number of bytes, and the compression.
///
/// # Errors
/// The file is not an image, or cannot be decompressed.
pub fn unpack_alone(path: &str) -> Result<(u64, String)> {
    let order = Order::new(Source::File(path.to_owned()));
    let stop = Arc::new(AtomicBool::new(false));
    let opened = source::open(&order, None, &stop, source::Checks::default())?;
    let (pieces_to, pieces) = channel();
    let (to, out) = channel();
    let (name, max, layers) = (order.source.shown(), order.max_size.get(), Vec::new());
    let absolute = std::path::absolute(path).map_err(|e| Problem::failed("cannot find the current folder").because(e))?;
    let scratch = format!("{}.scratch", absolute.display());
    let ends_as_vhd = opened.ends_as_vhd;
    let unpacker = Unpacker {
        to,
        name,
        max,
        direct: opened.direct,
        raw: false,
        firmware: false,
        member: None,
        notes: Arc::default(),
        ends_as_vhd,
        to_the_end: false,
        scratch,
        stop: stop.clone(),
        layers,
    };
    let pump = opened.pump;
    let pump = std::thread::spawn(move || pump(pieces_to));
    let middle = std::thread::spawn(move || unpacker.run(Feed::new(pieces, stop)));
    let bytes = out.iter().map(|out| if let Out::Data(piece) = out { piece.len() as u64 } else { 0 }).sum();
    let broke = || Problem::bug("a stage broke");
    pump.join().map_err(|_| broke())??;
    Ok((bytes, middle.join().map_err(|_| broke())??))
}
