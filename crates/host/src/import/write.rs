//! The last stage of an import: writes the data with holes for zeros, hashes it, and reports progress.
//!
//! Not here: what follows once it is written (`import`).

use super::chunks::GLANCE;
use super::content::Content;
use super::digest::Beside;
use super::unpack::Out;
use super::{Import, fetch, interrupted};
use crate::place::{Event, Place};
use crate::safe::Folder;
use crate::sparse_write;
use crate::stream::Flow;
use chyves_core::error::{Problem, Result};
use chyves_core::image::{ImageKind, Order};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Name of the file with data that must be converted.
pub(super) const SCRATCH: &str = "scratch";

/// Interval of progress reports.
const TELL: Duration = Duration::from_millis(250);

/// The result of this stage.
pub(super) struct Written {
    pub(super) content: Content,
    /// The file with data that must be converted.
    pub(super) scratch: Option<File>,
    pub(super) length: u64,
    /// SHA-256 of the file, if that is the final image.
    pub(super) sha256: Option<String>,
}

/// The next input; none if the stage before has ended, or the user interrupts.
fn next(out: &Receiver<Out>, meter: &mut Meter, place: &mut Place<'_>) -> Option<Out> {
    loop {
        match out.recv_timeout(GLANCE) {
            Ok(out) => return Some(out),
            Err(RecvTimeoutError::Timeout) => {
                meter.tell(place);
                if place.interrupted.load(Ordering::SeqCst) {
                    return None;
                }
            }
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// Writes the data with holes for zeros, and hashes it.
pub(super) fn write(import: &Import<'_>, out: &Receiver<Out>, meter: &mut Meter, place: &mut Place<'_>) -> Result<Written> {
    let shown = import.order.source.shown();
    let Some(Out::Content { content, direct }) = next(out, meter, place) else { return Err(interrupted(&shown)) };
    let content = as_expected(content, import.order, &shown)?;
    let is_image = !matches!(content, Content::Format(_));
    let file = if is_image { content.kind().file() } else { SCRATCH };
    let path = format!("{}/{file}", import.folder);
    let fail = |e: std::io::Error| crate::small_files::io_problem("write", &path)(e);
    let target = if direct { None } else { Some(Folder::open(import.folder)?.create(file)?) };
    let hash = is_image.then(Beside::begin);
    let mut at = 0u64;
    loop {
        match next(out, meter, place) {
            Some(Out::Data(piece)) => {
                if let Some(target) = &target {
                    sparse_write::write_sparse(target, &piece, at).map_err(fail)?;
                }
                at += piece.len() as u64;
                if let Some(hash) = &hash {
                    hash.update(Arc::new(piece));
                }
            }
            Some(Out::End) => break,
            Some(Out::Content { .. }) => return Err(Problem::bug("an archive gave two images")),
            None => return Err(interrupted(&shown)),
        }
        meter.tell(place);
        if place.interrupted.load(Ordering::SeqCst) {
            return Err(interrupted(&shown));
        }
    }
    // Hypervisors refuse a disk that ends within a sector.
    let length = if content.kind() == ImageKind::Disk && is_image { at.next_multiple_of(512) } else { at };
    if length != at {
        let warning =
            format!("`{shown}` has {at} bytes, not a multiple of 512: was the download complete? its last sector is filled with zeros");
        (place.report)(Event::Warning(warning));
    }
    if let Some(target) = &target {
        target.set_len(length).and_then(|()| target.sync_all()).map_err(fail)?;
    }
    let sha256 = hash.map(|hash| {
        hash.update(Arc::new(vec![0; usize::try_from(length - at).unwrap_or(0)]));
        hash.end()
    });
    Ok(Written { content, scratch: target.filter(|_| !is_image), length, sha256: sha256.transpose()? })
}

/// The content, if it is of the expected kind. Firmware of an unknown type is accepted if the user states that it is firmware.
fn as_expected(content: Content, order: &Order, shown: &str) -> Result<Content> {
    match (order.expect, content) {
        (Some(ImageKind::Firmware), Content::Raw) => Ok(Content::Firmware),
        (Some(kind), content) if kind != content.kind() => {
            let is = content.kind().phrase();
            Err(Problem::usage(format!("`{shown}` is not {}", kind.phrase()))
                .on(shown)
                .because(format!("by its content it is {is}"))
                .hint("`chyves image import` takes whatever it is"))
        }
        (_, content) => Ok(content),
    }
}

/// Progress of the import, to be shown.
pub(super) struct Meter {
    counter: Arc<std::sync::atomic::AtomicU64>,
    status: Arc<fetch::Status>,
    began: Instant,
    told: Instant,
}

impl Meter {
    pub(super) fn new(counter: Arc<std::sync::atomic::AtomicU64>, status: Arc<fetch::Status>) -> Self {
        let began = Instant::now();
        Self { counter, status, began, told: began }
    }

    fn flow(&self, ended: bool) -> Flow {
        let total = Some(self.status.total.load(Ordering::SeqCst)).filter(|n| *n > 0);
        Flow { done: self.counter.load(Ordering::SeqCst), total, elapsed: self.began.elapsed(), ended }
    }

    fn tell(&mut self, place: &mut Place<'_>) {
        if self.told.elapsed() >= TELL {
            self.told = Instant::now();
            (place.report)(Event::Reading(self.flow(false)));
        }
    }

    pub(super) fn end(&self, place: &mut Place<'_>) {
        // A short import needs no final report.
        if self.told > self.began {
            (place.report)(Event::Reading(self.flow(true)));
        }
    }
}
