//! gzip, bzip2 and xz as readers: member after member, as `cat a.gz b.gz` creates them.
//!
//! What follows a member is checked here, since the decoders handle it differently: nothing, another member, zeros that fill a
//! block of a tape or a disk, or trailing bytes. Not here: Zstandard (`zstd`), whose frames have lengths of their own.

use super::fault::Fault;
use std::io::{self, BufRead, Read};

/// A decoder of one member, which stops after it.
pub(super) trait Member<R>: Read + Sized {
    /// The first bytes of a member.
    const MAGIC: &'static [u8];
    fn begin(from: R) -> Self;
    /// The underlying reader, at the first byte after the member.
    fn end(self) -> R;
    /// Converts the decoder's error; one about an unsupported feature becomes a fault.
    fn fault(error: io::Error) -> io::Error {
        error
    }
}

impl<R: BufRead> Member<R> for flate2::bufread::GzDecoder<R> {
    const MAGIC: &'static [u8] = b"\x1f\x8b";
    fn begin(from: R) -> Self {
        Self::new(from)
    }
    fn end(self) -> R {
        self.into_inner()
    }
}

impl<R: BufRead> Member<R> for bzip2::bufread::BzDecoder<R> {
    const MAGIC: &'static [u8] = b"BZh";
    fn begin(from: R) -> Self {
        Self::new(from)
    }
    fn end(self) -> R {
        self.into_inner()
    }
}

impl<R: BufRead> Member<R> for lzma_rust2::XzReader<R> {
    const MAGIC: &'static [u8] = b"\xfd7zXZ\0";
    fn begin(from: R) -> Self {
        Self::new(from, false)
    }
    fn end(self) -> R {
        self.into_inner()
    }
    fn fault(error: io::Error) -> io::Error {
        let text = error.to_string().to_ascii_lowercase();
        let words = ["unsupported", "not supported"].iter().any(|word| text.contains(word));
        match error.kind() {
            io::ErrorKind::OutOfMemory => Fault::Unsupported("its dictionary is larger than the memory".into()).into(),
            io::ErrorKind::Unsupported => Fault::Unsupported("it has a filter, a checksum or flags that are not known".into()).into(),
            io::ErrorKind::InvalidData if words => {
                Fault::Unsupported("it has a filter, a checksum or flags that are not known".into()).into()
            }
            _ => error,
        }
    }
}

/// All members of a stream.
pub(super) struct Members<R, M> {
    member: Option<M>,
    /// The underlying reader between two members.
    between: Option<Ahead<R>>,
}

impl<R: BufRead, M: Member<Ahead<R>>> Members<R, M> {
    pub(super) fn new(from: R) -> Self {
        Self { member: Some(M::begin(Ahead { bytes: Vec::new(), at: 0, from })), between: None }
    }

    /// Starts the next member, if there is one.
    fn next(&mut self, mut from: Ahead<R>) -> io::Result<()> {
        from.skip_zeros()?;
        let magic = M::MAGIC;
        from.look_ahead(magic.len())?;
        match from.ahead() {
            [] => self.between = Some(from),
            found if found.starts_with(magic) => self.member = Some(M::begin(from)),
            _ => return Err(Fault::Trailing.into()),
        }
        Ok(())
    }
}

impl<R: BufRead, M: Member<Ahead<R>>> Read for Members<R, M> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = self.member.as_mut().filter(|_| !into.is_empty()) {
            let n = member.read(into).map_err(M::fault)?;
            if n > 0 {
                return Ok(n);
            }
            if let Some(member) = self.member.take() {
                self.next(member.end())?;
            }
        }
        Ok(0)
    }
}

/// A reader of which some bytes were read ahead.
pub(super) struct Ahead<R> {
    bytes: Vec<u8>,
    at: usize,
    from: R,
}

impl<R: BufRead> Ahead<R> {
    fn ahead(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// Reads ahead `count` bytes, or all that there are.
    fn look_ahead(&mut self, count: usize) -> io::Result<()> {
        let missing = count.saturating_sub(self.ahead().len());
        (&mut self.from).take(missing as u64).read_to_end(&mut self.bytes).map(drop)
    }

    fn skip_zeros(&mut self) -> io::Result<()> {
        loop {
            let bytes = self.fill_buf()?;
            let zeros = bytes.iter().take_while(|b| **b == 0).count();
            let ends = zeros < bytes.len() || bytes.is_empty();
            self.consume(zeros);
            if ends {
                return Ok(());
            }
        }
    }
}

impl<R: BufRead> BufRead for Ahead<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at < self.bytes.len() {
            return Ok(&self.bytes[self.at..]);
        }
        self.from.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if self.at < self.bytes.len() {
            self.at += amount;
        } else {
            self.from.consume(amount);
        }
    }
}

impl<R: BufRead> Read for Ahead<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?;
        let n = bytes.len().min(into.len());
        into[..n].copy_from_slice(&bytes[..n]);
        self.consume(n);
        Ok(n)
    }
}
