//! Files, sockets and taps that are opened for QEMU, by the numbers of their descriptors.
//!
//! A file is a set of one descriptor (`-add-fd`), whose `opaque` says which file it is; both have the same number.

use super::block;
use crate::cmd::Cmd;
use crate::launch::{Descriptor, Opened};

/// The first one: the standard streams and a few of chyves' own lie below.
const FIRST: i32 = 20;

/// Descriptors, numbered as they are added.
#[derive(Default)]
pub(super) struct Descriptors {
    pub(super) all: Vec<Descriptor>,
}

impl Descriptors {
    /// Adds one; its number.
    pub(super) fn add(&mut self, what: Opened) -> i32 {
        let number = self.all.last().map_or(FIRST, |last| last.number + 1);
        self.all.push(Descriptor { number, what });
        number
    }
}

/// What QEMU opens in the place of a file.
pub(super) fn set(number: i32) -> String {
    format!("/dev/fdset/{number}")
}

/// The number of a set by what QEMU opens.
pub(super) fn number(name: &str) -> Option<i32> {
    name.strip_prefix("/dev/fdset/")?.parse().ok()
}

/// The set by which a QEMU of that command line has a file open.
pub fn set_of(args: &[String], path: &str) -> Option<i32> {
    let wanted = format!("opaque={}", super::opt::literal(path));
    args.iter().find_map(|arg| {
        let fields = block::fields(arg);
        let set = fields.iter().find_map(|f| f.strip_prefix("set="))?.parse().ok()?;
        fields.iter().any(|f| *f == wanted).then_some(set)
    })
}

/// The file of a set.
pub(super) fn path_of(args: &[String], set: i32) -> Option<String> {
    let wanted = format!("set={set}");
    args.iter().find_map(|arg| {
        let fields = block::fields(arg);
        let path = fields.iter().find_map(|f| f.strip_prefix("opaque="))?;
        fields.iter().any(|f| *f == wanted).then(|| path.replace(",,", ","))
    })
}

/// The set of what lay in a drive when a machine of that command line was started.
pub fn medium_set(machine: &Cmd, drive: &str) -> Option<i32> {
    block::opened_by(&machine.args, &block::node_id(drive))
}
