//! Files, sockets and taps that are opened for QEMU and passed to it as descriptors.
//!
//! A file is passed as a set of one descriptor (`-add-fd`), with its path in `opaque`; the set and the descriptor have the
//! same number.

use super::block;
use crate::cmd::Cmd;
use crate::launch::{Descriptor, Opened};

/// The first number: lower ones are the standard streams and some of chyves' own.
const FIRST: i32 = 20;

/// Descriptors, numbered in the order in which they are added.
#[derive(Default)]
pub(super) struct Descriptors {
    pub(super) all: Vec<Descriptor>,
}

impl Descriptors {
    /// Adds a descriptor and returns its number.
    pub(super) fn add(&mut self, what: Opened) -> i32 {
        let number = self.all.last().map_or(FIRST, |last| last.number + 1);
        self.all.push(Descriptor { number, what });
        number
    }
}

/// The path that QEMU opens in place of the file.
pub(super) fn set(number: i32) -> String {
    format!("/dev/fdset/{number}")
}

/// The number of a set, from the path that QEMU opens.
pub(super) fn number(name: &str) -> Option<i32> {
    name.strip_prefix("/dev/fdset/")?.parse().ok()
}

/// The descriptor set through which a QEMU with that command line opened a file.
pub fn set_of(args: &[String], path: &str) -> Option<i32> {
    let wanted = format!("opaque={}", super::opt::literal(path));
    args.iter().find_map(|arg| {
        let fields = block::fields(arg);
        let set = fields.iter().find_map(|f| f.strip_prefix("set="))?.parse().ok()?;
        fields.iter().any(|f| *f == wanted).then_some(set)
    })
}

/// The file of a descriptor set.
pub(super) fn path_of(args: &[String], set: i32) -> Option<String> {
    let wanted = format!("set={set}");
    args.iter().find_map(|arg| {
        let fields = block::fields(arg);
        let path = fields.iter().find_map(|f| f.strip_prefix("opaque="))?;
        fields.iter().any(|f| *f == wanted).then(|| path.replace(",,", ","))
    })
}

/// The descriptor set of the medium that was in a drive when a VM with that command line was started.
pub fn medium_set(machine: &Cmd, drive: &str) -> Option<i32> {
    block::opened_by(&machine.args, &block::node_id(drive))
}
