//! Parses the first records of a ZFS stream, and builds the commands that receive streams.
//!
//! Only the beginning is parsed: which snapshot it contains, and whether it is based on another one. Validating the rest is
//! left to `zfs receive`. Layout: records of 312 bytes; a plain stream begins with its own first record, a stream with
//! properties with an envelope (first record, a list, an end record) that contains the plain stream.
//!
//! Not here: running the commands (chyves-host `apply`).

use crate::cmd::Cmd;
use crate::error::{Problem, Result};
use crate::value::{Dataset, SnapshotName, printable};
use crate::zfs::guard;

/// The size of one record in bytes.
const RECORD: usize = 312;
/// The magic number in a first record, in the byte order of the sending host.
const MAGIC: u64 = 0x2_f5ba_cbac;
/// The types of records that are distinguished here.
const BEGIN: u32 = 0;
const END: u32 = 5;
/// Flag: the stream is a clone of a snapshot that it does not contain.
const FLAG_CLONE: u32 = 1;
/// Maximum size of a list of properties; a stream that announces a larger one is damaged.
const ENVELOPE_LIMIT: usize = 64 << 20;

/// The contents of the beginning of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The dataset that it was sent from.
    pub dataset: String,
    /// The snapshot that it contains; the last one if there are several.
    pub snapshot: SnapshotName,
    /// The GUID of that snapshot, if the beginning contains it.
    pub guid: Option<u64>,
    /// The GUID of the base snapshot of an increment, which the receiver must have.
    pub base: Option<u64>,
    /// Whether it contains child datasets: a guest's volumes.
    pub below: bool,
}

/// The result of parsing the bytes that are available.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// At least this many bytes from the start of the stream are needed.
    Needs(usize),
    /// The complete header.
    Done(Header),
}

struct Begin {
    compound: bool,
    list: usize,
    flags: u32,
    guid: u64,
    base: u64,
    name: String,
}

impl Begin {
    /// The length of the envelope with this first record, in bytes.
    fn envelope(&self) -> Result<usize> {
        match self.list {
            list if list > ENVELOPE_LIMIT => Err(damaged("its list of properties has no sensible size")),
            list => Ok(list + 2 * RECORD),
        }
    }
}

fn damaged(why: impl std::fmt::Display) -> Problem {
    Problem::usage("this is not a stream of a guest")
        .because(why)
        .hint("`chyves send GUEST > FILE` creates one; give the whole file, uncompressed")
}

fn begin(record: &[u8]) -> Result<Begin> {
    let array = |at: usize| -> [u8; 8] { std::array::from_fn(|i| record.get(at + i).copied().unwrap_or(0)) };
    let little = match (u64::from_le_bytes(array(8)), u64::from_be_bytes(array(8))) {
        (MAGIC, _) => true,
        (_, MAGIC) => false,
        _ => return Err(damaged("it does not begin as a ZFS stream does")),
    };
    let long = |at| if little { u64::from_le_bytes(array(at)) } else { u64::from_be_bytes(array(at)) };
    let short = |at: usize| {
        let four: [u8; 4] = std::array::from_fn(|i| record.get(at + i).copied().unwrap_or(0));
        if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) }
    };
    if short(0) != BEGIN {
        return Err(damaged("its first record is of another kind"));
    }
    let name: Vec<u8> = record.iter().skip(56).take(256).copied().take_while(|b| *b != 0).collect();
    Ok(Begin {
        compound: match long(16) & 3 {
            1 => false,
            2 => true,
            n => return Err(damaged(format!("it is of the unknown kind {n}"))),
        },
        list: usize::try_from(short(4)).unwrap_or(usize::MAX),
        flags: short(36),
        guid: long(40),
        base: long(48),
        name: String::from_utf8(name).map_err(|_| damaged("its name is not text"))?,
    })
}

fn kind_of(record: &[u8]) -> Option<u32> {
    // The two types that are searched for are distinct in either byte order.
    let four: [u8; 4] = record.get(..4)?.try_into().ok()?;
    Some(u32::from_le_bytes(four).min(u32::from_be_bytes(four)))
}

/// The length of the envelope at the beginning of a stream, in bytes: its first record, its list and its end record. If
/// `bytes` is too short to determine it, the result is the number of bytes needed.
///
/// # Errors
/// It is not a ZFS stream, or has no envelope.
pub fn envelope(bytes: &[u8]) -> Result<usize> {
    if bytes.len() < RECORD {
        return Ok(RECORD);
    }
    let first = begin(&bytes[..RECORD])?;
    if !first.compound {
        return Err(damaged("it has no envelope"));
    }
    first.envelope()
}

/// The record that ends a stream with an envelope.
pub fn conclusion() -> Vec<u8> {
    let mut record = vec![0; RECORD];
    record[..4].copy_from_slice(&END.to_ne_bytes());
    record
}

/// The start of the entry that names a dataset in an envelope's list, in the XDR encoding that every `zfs` uses: a pair
/// called `name` with one string, followed by its length and text. Strings contain no zero bytes, so none can imitate it.
const NAMED: &[u8] = b"\0\0\0\x04name\0\0\0\x09\0\0\0\x01";

/// Whether an envelope's list contains descendants of this dataset.
fn has_below(list: &[u8], dataset: &str) -> bool {
    let above = format!("{dataset}/");
    let text = |at: usize| list.get(at + NAMED.len() + 4..).unwrap_or_default();
    list.windows(NAMED.len()).enumerate().any(|(at, bytes)| bytes == NAMED && text(at).starts_with(above.as_bytes()))
}

/// Parses the beginning of a stream.
///
/// # Errors
/// It is not a ZFS stream, or depends on an origin that it does not contain.
pub fn read(bytes: &[u8]) -> Result<Reading> {
    if bytes.len() < RECORD {
        return Ok(Reading::Needs(RECORD));
    }
    let first = begin(&bytes[..RECORD])?;
    let inner = if first.compound {
        let whole = first.envelope()? + RECORD;
        let end = whole - 2 * RECORD;
        if bytes.len() < whole {
            return Ok(Reading::Needs(whole));
        }
        if kind_of(&bytes[end..]) != Some(END) || kind_of(&bytes[end + RECORD..]) != Some(BEGIN) {
            return Err(damaged("nothing is in it, or its beginning is damaged"));
        }
        begin(&bytes[end + RECORD..whole])?
    } else {
        begin(&bytes[..RECORD])?
    };
    if inner.flags & FLAG_CLONE != 0 {
        return Err(Problem::usage("this stream holds a clone without what it is a clone of")
            .because(format!("it is {}", printable(&inner.name, 200)))
            .hint("send the guest with `chyves send`, which makes streams that stand alone"));
    }
    let (dataset, snapshot) = first.name.split_once('@').ok_or_else(|| damaged("it names no snapshot"))?;
    let list = if first.compound { &bytes[RECORD..RECORD + first.list] } else { &[] };
    Ok(Reading::Done(Header {
        below: has_below(list, dataset),
        dataset: dataset.to_owned(),
        snapshot: snapshot.parse().map_err(|e| Problem::from(e).within("the stream's snapshot has a name that cannot be used"))?,
        guid: (inner.name == first.name).then_some(inner.guid),
        base: (inner.base != 0).then_some(inner.base),
    }))
}

/// Receives a stream: never with `-F`, never mounting it, and with guards set from the first moment if `zfs` supports that.
pub fn receive(into: &Dataset, plain: bool, resumable: bool) -> Cmd {
    let mut cmd = Cmd::new("zfs", ["receive", "-u"]);
    if resumable {
        cmd = cmd.arg("-s");
    }
    if !plain {
        cmd = cmd.args(guard::received_with());
    }
    cmd.arg(into.as_str())
}

/// The snapshots of a dataset and of its children, with their GUIDs.
pub fn snapshot_guids(dataset: &Dataset) -> Cmd {
    Cmd::new("zfs", ["get", "-H", "-p", "-d", "1", "-o", "name,property,source,value", "guid"]).arg(dataset.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u32, list: u32, version: u64, flags: u32, guids: (u64, u64), name: &str, little: bool) -> Vec<u8> {
        let mut bytes = vec![0u8; RECORD];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        let long = |v: u64| if little { v.to_le_bytes() } else { v.to_be_bytes() };
        let short = |v: u32| if little { v.to_le_bytes() } else { v.to_be_bytes() };
        put(0, &short(kind));
        put(4, &short(list));
        if kind == BEGIN {
            put(8, &long(MAGIC));
            put(16, &long(version));
            put(36, &short(flags));
            put(40, &long(guids.0));
            put(48, &long(guids.1));
            put(56, name.as_bytes());
        }
        bytes
    }

    fn envelope(inner: &[u8], name: &str, little: bool) -> Vec<u8> {
        enveloped(&[7; 24], inner, name, little)
    }

    fn enveloped(list: &[u8], inner: &[u8], name: &str, little: bool) -> Vec<u8> {
        let mut bytes = record(BEGIN, u32::try_from(list.len()).unwrap(), 2, 0, (0, 0), name, little);
        bytes.extend(list);
        bytes.extend(record(END, 0, 0, 0, (0, 0), "", little));
        bytes.extend(inner);
        bytes
    }

    #[test]
    fn the_beginning_says_whose_it_is() {
        for little in [true, false] {
            let plain = record(BEGIN, 0, 1, 0, (11, 0), "tank/c/guests/web01@a", little);
            let Reading::Done(header) = read(&plain).unwrap() else { panic!() };
            assert_eq!(
                (header.dataset.as_str(), header.snapshot.as_str(), header.guid, header.base),
                ("tank/c/guests/web01", "a", Some(11), None)
            );
            let inner = record(BEGIN, 0, 1, 0, (12, 11), "tank/c/guests/web01@b", little);
            let whole = envelope(&inner, "tank/c/guests/web01@b", little);
            for cut in 0..whole.len() {
                assert!(matches!(read(&whole[..cut]).unwrap(), Reading::Needs(n) if n > cut), "{cut}");
            }
            let Reading::Done(header) = read(&whole).unwrap() else { panic!() };
            assert_eq!((header.guid, header.base), (Some(12), Some(11)));
            // With earlier snapshots in it, the GUID of the first one is not that of the last one.
            let Reading::Done(header) = read(&envelope(&inner, "tank/c/guests/web01@z", little)).unwrap() else { panic!() };
            assert_eq!((header.snapshot.as_str(), header.guid), ("z", None));
        }
    }

    /// A string in an envelope's list, as `zfs send` encodes it.
    fn pair(key: &str, value: &str) -> Vec<u8> {
        let word = |n: usize| u32::try_from(n).unwrap().to_be_bytes();
        let padded = |text: &str| [text.as_bytes(), &vec![0; text.len().next_multiple_of(4) - text.len()]].concat();
        let (key, text) = ([&word(key.len())[..], &padded(key)].concat(), [&word(value.len())[..], &padded(value)].concat());
        let size = 16 + key.len() + text.len();
        [&word(size)[..], &word(size.next_multiple_of(8)), &key, &word(9), &word(1), &text].concat()
    }

    #[test]
    fn what_lies_below_is_seen_at_the_beginning() {
        let notes = pair("chyves:notes", "name: t/web/disk0");
        let web = [pair("tosnap", "a"), pair("name", "t/web"), notes, pair("mountpoint", "t/web/x")].concat();
        for little in [true, false] {
            let inner = record(BEGIN, 0, 1, 0, (12, 0), "t/web@a", little);
            let below = |list: &[u8]| match read(&enveloped(list, &inner, "t/web@a", little)).unwrap() {
                Reading::Done(header) => header.below,
                Reading::Needs(n) => panic!("{n}"),
            };
            assert!(!below(&web));
            assert!(!below(&[web.clone(), pair("name", "t/web01/disk0")].concat()));
            assert!(below(&[web.clone(), pair("name", "t/web/disk0")].concat()));
            assert!(!below(&[web.clone(), NAMED.to_vec()].concat()), "cut off");
            assert!(matches!(read(&inner).unwrap(), Reading::Done(Header { below: false, .. })));
        }
    }

    #[test]
    fn an_envelope_has_a_length_and_an_end() {
        let inner = record(BEGIN, 0, 1, 0, (12, 0), "t/web@b", true);
        let whole = envelope(&inner, "t/web@b", true);
        assert_eq!(super::envelope(&whole[..RECORD - 1]).unwrap(), RECORD);
        assert_eq!(super::envelope(&whole[..RECORD]).unwrap(), whole.len() - RECORD);
        assert!(super::envelope(&inner).is_err(), "it has none");
        assert_eq!(kind_of(&conclusion()), Some(END));
    }

    #[test]
    fn what_is_no_stream_is_told() {
        let good = record(BEGIN, 0, 1, 0, (11, 0), "t/a@a", true);
        assert!(read(&vec![0x55; 400]).is_err());
        for broken in [
            record(3, 0, 1, 0, (1, 0), "t/a@a", true),
            record(BEGIN, 0, 3, 0, (1, 0), "t/a@a", true),
            record(BEGIN, 0, 1, 0, (1, 0), "t/a", true),
            record(BEGIN, 0, 1, 0, (1, 0), "t/a@\u{7f}", true),
            record(BEGIN, u32::MAX, 2, 0, (1, 0), "t/a@a", true),
            envelope(&record(END, 0, 1, 0, (1, 0), "", true), "t/a@a", true),
        ] {
            assert!(read(&broken).is_err(), "{:?}", &broken[..64]);
        }
        assert!(read(&record(BEGIN, 0, 1, FLAG_CLONE, (1, 9), "t/a@a", true)).unwrap_err().message.contains("clone"));
        assert!(read(&good).is_ok());
    }

    #[test]
    fn streams_are_taken_without_force() {
        assert_eq!(receive(&"t/new".parse().unwrap(), true, false).to_string(), "zfs receive -u t/new");
        assert_eq!(
            receive(&"t/new".parse().unwrap(), false, true).to_string(),
            "zfs receive -u -s -o canmount=noauto -o setuid=off -o devices=off -o exec=off -o volmode=dev -o snapdev=hidden \
             -x mountpoint -x sharenfs -x sharesmb t/new"
        );
    }
}
