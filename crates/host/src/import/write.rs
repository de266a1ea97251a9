//! The last stage of an import: what comes is written with holes for zeros, hashed, and told of.
//!
//! Not here: what follows once it is written (`import`).

use super::chunks::GLANCE;
use super::content::Content;
use super::digest::Beside;
use super::unpack::Out;
use super::{Import, fetch, interrupted};
use crate::apply::{self, Event, Place};
use crate::safe::Folder;
use crate::sparse_write;
use crate::stream::Flow;
use chyves_core::error::{Problem, Result};
use chyves_core::image::Order;
use chyves_core::world::ImageKind;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// The name of the bytes that are still to be converted.
pub(super) const SCRATCH: &str = "scratch";

/// How often progress is told.
const TELL: Duration = Duration::from_millis(250);

/// What the middle of the pipe made.
pub(super) struct Written {
    pub(super) content: Content,
    /// The file of the bytes that are still to be converted.
    pub(super) scratch: Option<File>,
    pub(super) length: u64,
    /// Of the file, where that is the image already.
    pub(super) sha256: Option<String>,
}

/// What the stage before has next; none where it ended, or a person wants to.
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

/// The last stage: writes what comes, with holes for zeros, and hashes it.
pub(super) fn write(import: &Import<'_>, out: &Receiver<Out>, meter: &mut Meter, place: &mut Place<'_>) -> Result<Written> {
    let shown = import.order.source.shown();
    let Some(Out::Content { content, direct }) = next(out, meter, place) else { return Err(interrupted(&shown)) };
    let content = as_expected(content, import.order, &shown)?;
    let is_image = !matches!(content, Content::Format(_));
    let file = if is_image { content.kind().file() } else { SCRATCH };
    let path = format!("{}/{file}", import.folder);
    let fail = |e: std::io::Error| apply::io_problem("write", &path)(e);
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

/// What it is, where that is what was asked for. Firmware of an unknown sort is firmware where a person says so.
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

/// How far it is, for whoever shows it.
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
        // What is over at once needs no word.
        if self.told > self.began {
            (place.report)(Event::Reading(self.flow(true)));
        }
    }
}
