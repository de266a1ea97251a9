//! Zstandard as a reader: frame after frame, including skippable ones, each with its checksum verified.
//!
//! The crate decodes one frame and leaves the checksum to its caller.

use super::chunks::carried;
use super::fault::{Fault, carried_beneath};
use ruzstd::decoding::errors::{FrameDecoderError, FrameHeaderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, BufRead, Read};

/// Number of bytes decoded at once.
const AHEAD: usize = 1 << 17;
/// Maximum window size of a frame in bytes: what `zstd --ultra --long=27` needs.
const WINDOW: u64 = 128 << 20;

pub(super) struct Zstd<R> {
    from: R,
    decoder: FrameDecoder,
    in_frame: bool,
    /// Whether a frame has been read completely: trailing data that is not a frame is then reported as such.
    had_frame: bool,
}

impl<R: BufRead> Zstd<R> {
    pub(super) fn new(from: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW);
        Self { from, decoder, in_frame: false, had_frame: false }
    }

    /// Starts the next frame; whether there is one.
    fn next(&mut self) -> io::Result<bool> {
        loop {
            if self.from.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.reset(&mut self.from) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let skipped = io::copy(&mut (&mut self.from).take(u64::from(length)), &mut io::sink())?;
                    if skipped != u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(FrameDecoderError::ReadFrameHeaderError(
                    ReadFrameHeaderError::BadMagicNumber(_) | ReadFrameHeaderError::MagicNumberReadError(_),
                )) if self.had_frame => return Err(Fault::Trailing.into()),
                Err(e) => return Err(wrong(&e)),
            }
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.in_frame && !self.next()? {
                return Ok(0);
            }
            self.in_frame = true;
            if self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder.decode_blocks(&mut self.from, BlockDecodingStrategy::UptoBytes(AHEAD)).map_err(|e| wrong(&e))?;
            }
            let n = self.decoder.read(into)?;
            if n > 0 {
                return Ok(n);
            }
            if self.decoder.is_finished() {
                let wanted = self.decoder.get_checksum_from_data();
                if wanted.is_some() && wanted != self.decoder.get_calculated_checksum() {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "its checksum is wrong"));
                }
                (self.in_frame, self.had_frame) = (false, true);
            }
        }
    }
}

/// Converts the decoder's error; an unexpected end keeps its kind, and a problem of the underlying reader is kept.
fn wrong(error: &FrameDecoderError) -> io::Error {
    if let Some(problem) = carried_beneath(error) {
        return carried(problem);
    }
    let window = |bytes: u64| format!("its window has {} MiB, and at most {} MiB are supported", bytes >> 20, WINDOW >> 20);
    match error {
        FrameDecoderError::WindowSizeTooBig { requested, .. } => return Fault::Unsupported(window(*requested)).into(),
        FrameDecoderError::FrameHeaderError(FrameHeaderError::WindowTooBig { got })
        | FrameDecoderError::FailedToInitialize(FrameHeaderError::WindowTooBig { got }) => return Fault::Unsupported(window(*got)).into(),
        FrameDecoderError::DictNotProvided { .. } => return Fault::Unsupported("it needs a dictionary".into()).into(),
        _ => {}
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = cause {
        if e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::UnexpectedEof) {
            return io::ErrorKind::UnexpectedEof.into();
        }
        cause = e.source();
    }
    io::ErrorKind::InvalidData.into()
}
