//! Changing the disc in a drive. QEMU can open no file by itself, so the new one is opened here and goes with the command.

use super::{DISC, LET_GO, Qmp};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use serde_json::{Value, json};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

/// The answer to what lets go of a descriptor; an error says that it was gone.
pub(super) const LET_GO_FD: &str = "disc-let-go-fd";
/// The answer to a new disc's descriptor.
pub(super) const GIVEN: &str = "disc-given";

/// A disc that is being changed, as far as it is known what to do next.
pub(super) struct Change {
    drive: String,
    /// The node and the descriptors of what lay there when the machine was started.
    former: (String, Option<i32>),
    force: bool,
    /// The set of descriptors of the new one.
    set: Option<i64>,
}

impl Qmp {
    /// Asks for another disc in a drive, or for none, and to let go of the file of what lay there at the start (`former`: its node
    /// and its set of descriptors); the answer comes as news. Answers whether it could be sent.
    pub(in crate::supervise) fn change_disc(
        &mut self,
        drive: &str,
        former: (String, Option<i32>),
        disc: Option<&OwnedFd>,
        force: bool,
    ) -> bool {
        if !self.is_live() || self.change.is_some() {
            return false;
        }
        self.change = Some(Change { drive: drive.to_owned(), former, force, set: None });
        match disc {
            None => self.send(&json!({ "execute": "eject", "id": DISC, "arguments": { "id": drive, "force": force } })),
            // The next command goes when QEMU has said which set the descriptor is in.
            Some(disc) => self.send_with(&json!({ "execute": "add-fd", "id": GIVEN }), disc),
        }
    }

    /// QEMU has the descriptor of the new disc.
    pub(super) fn insert(&mut self, set: i64) {
        let Some(change) = &mut self.change else { return };
        change.set = Some(set);
        let mut arguments =
            json!({ "id": change.drive, "filename": format!("/dev/fdset/{set}"), "format": "raw", "read-only-mode": "read-only" });
        // An older QEMU knows the word only where it can't be done without.
        if change.force {
            arguments["force"] = Value::Bool(true);
        }
        self.send(&json!({ "execute": "blockdev-change-medium", "id": DISC, "arguments": arguments }));
    }

    /// The disc is changed, or not: what is not used any more is let go of. News come with the answer to the last command.
    pub(super) fn let_go(&mut self, changed: bool) -> bool {
        let Some(Change { former: (node, set), set: new, .. }) = self.change.take() else { return false };
        let remove =
            |qmp: &mut Self, set: i64| qmp.send(&json!({ "execute": "remove-fd", "id": LET_GO_FD, "arguments": { "fdset-id": set } }));
        // What is open stays open; the set itself is needed to open it once.
        if let Some(set) = new {
            remove(self, set);
        }
        if changed {
            if let Some(set) = set {
                remove(self, i64::from(set));
            }
            self.send(&json!({ "execute": "blockdev-del", "id": LET_GO, "arguments": { "node-name": node } }));
        }
        changed
    }

    /// Sends a command with a descriptor. Only between commands that are sent whole, so that it goes with its own.
    fn send_with(&mut self, command: &Value, fd: &OwnedFd) -> bool {
        let Some(stream) = self.stream.as_ref().filter(|_| self.output.is_empty()) else { return false };
        let line = format!("{command}\n");
        let fds = [fd.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        let sent = rustix::net::sendmsg(stream, &[IoSlice::new(line.as_bytes())], &mut ancillary, SendFlags::NOSIGNAL);
        match sent {
            Ok(n) => {
                self.output.extend_from_slice(&line.as_bytes()[n..]);
                true
            }
            Err(_) => {
                self.change = None;
                false
            }
        }
    }
}
