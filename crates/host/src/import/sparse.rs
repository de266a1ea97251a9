//! Sparse files in tar archives of the PAX form, as GNU tar writes them: the records `GNU.sparse.*`, of the versions 0.0, 0.1
//! and 1.0. Read as plain files they would be disks without their holes.
//!
//! Not here: the old GNU form, which the tar crate reads.

use std::io::{self, Read};

/// Maximum number of parts of a map.
const PARTS: usize = 1 << 20;

/// The map of a sparse file: offset and length of each part, and the total length.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Map {
    parts: Vec<(u64, u64)>,
    size: u64,
}

impl Map {
    /// The map of an entry; none if it is not sparse. For version 1.0 it is read from the entry's data.
    pub(super) fn of(records: &[(String, String)], data: &mut dyn Read) -> io::Result<Option<Self>> {
        let value = |key: &str| records.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        if !records.iter().any(|(key, _)| key.starts_with("GNU.sparse.")) {
            return Ok(None);
        }
        let size = value("GNU.sparse.realsize").or(value("GNU.sparse.size")).ok_or_else(|| wrong("a sparse file without its size"))?;
        let size = number(size)?;
        let numbers: Vec<u64> = match (value("GNU.sparse.major"), value("GNU.sparse.map")) {
            (Some("1"), _) => inside(data)?,
            (None | Some("0"), Some(map)) => map.split(',').map(number).collect::<io::Result<_>>()?,
            (None | Some("0"), None) => {
                let parts = records.iter().filter(|(key, _)| matches!(key.as_str(), "GNU.sparse.offset" | "GNU.sparse.numbytes"));
                parts.map(|(_, value)| number(value)).collect::<io::Result<_>>()?
            }
            (Some(major), _) => return Err(io::Error::new(io::ErrorKind::Unsupported, format!("sparse files of version {major}"))),
        };
        if !numbers.len().is_multiple_of(2) || numbers.len() > PARTS * 2 {
            return Err(wrong("a truncated map of a sparse file"));
        }
        let parts: Vec<(u64, u64)> = numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        let mut end = 0;
        for (offset, length) in &parts {
            if *offset < end || offset.checked_add(*length).is_none_or(|end| end > size) {
                return Err(wrong("a map of a sparse file that contradicts itself"));
            }
            end = offset + length;
        }
        Ok(Some(Self { parts, size }))
    }
}

/// The map at the beginning of the data: the number of parts, then their numbers, one per line, padded to 512 bytes.
fn inside(data: &mut dyn Read) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    let (mut wanted, mut line) = (None, String::new());
    loop {
        let mut block = [0; 512];
        data.read_exact(&mut block)?;
        for byte in block {
            match byte {
                b'\n' => {
                    let value = number(&std::mem::take(&mut line))?;
                    match wanted {
                        None if value > PARTS as u64 => return Err(wrong("a map of a sparse file that is too large")),
                        None => wanted = Some(value * 2),
                        Some(_) => numbers.push(value),
                    }
                    if wanted == Some(numbers.len() as u64) {
                        return Ok(numbers);
                    }
                }
                b'0'..=b'9' if line.len() < 20 => line.push(char::from(byte)),
                _ => return Err(wrong("a map of a sparse file that is not a list of numbers")),
            }
        }
    }
}

fn number(text: &str) -> io::Result<u64> {
    text.trim().parse().map_err(|_| wrong("a map of a sparse file that is not a list of numbers"))
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it has {what}"))
}

/// The expanded content of a sparse file.
pub(super) struct Sparse<'a> {
    map: Map,
    next: usize,
    at: u64,
    from: &'a mut dyn Read,
}

impl<'a> Sparse<'a> {
    pub(super) fn new(map: Map, from: &'a mut dyn Read) -> Self {
        Self { map, next: 0, at: 0, from }
    }
}

impl Read for Sparse<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.map.parts.get(self.next).is_some_and(|(offset, length)| self.at >= offset + length) {
            self.next += 1;
        }
        let (begins, ends) = match self.map.parts.get(self.next) {
            Some((offset, length)) => (*offset, offset + length),
            None => (self.map.size, self.map.size),
        };
        let most = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let n = if self.at < begins {
            let n = most(begins - self.at);
            into[..n].fill(0);
            n
        } else {
            let n = most(ends - self.at);
            if n == 0 { 0 } else { self.from.read(&mut into[..n])? }
        };
        if n == 0 && self.at < ends && !into.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_versions_give_the_same_file() {
        let records = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
        let mut one = b"2\n2\n3\n9\n1\n".to_vec();
        one.resize(512, 0);
        one.extend(b"abcd");
        for (records, data) in [
            (
                records(&[
                    ("GNU.sparse.size", "12"),
                    ("GNU.sparse.numblocks", "2"),
                    ("GNU.sparse.offset", "2"),
                    ("GNU.sparse.numbytes", "3"),
                    ("GNU.sparse.offset", "9"),
                    ("GNU.sparse.numbytes", "1"),
                ]),
                b"abcd".to_vec(),
            ),
            (records(&[("GNU.sparse.size", "12"), ("GNU.sparse.map", "2,3,9,1")]), b"abcd".to_vec()),
            (records(&[("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "12")]), one),
        ] {
            let mut from = data.as_slice();
            let map = Map::of(&records, &mut from).unwrap().unwrap();
            let mut whole = Vec::new();
            Sparse::new(map, &mut from).read_to_end(&mut whole).unwrap();
            assert_eq!(whole, b"\0\0abc\0\0\0\0d\0\0");
        }
        assert!(Map::of(&records(&[("path", "x")]), &mut io::empty()).unwrap().is_none());
        for wrong in ["9,1,2,3", "2,3,9", "2,3,9,9", "x,1"] {
            assert!(Map::of(&records(&[("GNU.sparse.size", "12"), ("GNU.sparse.map", wrong)]), &mut io::empty()).is_err(), "{wrong}");
        }
        let two = records(&[("GNU.sparse.size", "1"), ("GNU.sparse.major", "2")]);
        assert_eq!(Map::of(&two, &mut io::empty()).unwrap_err().kind(), io::ErrorKind::Unsupported);
    }
}
