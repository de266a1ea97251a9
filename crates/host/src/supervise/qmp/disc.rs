//! Changing the medium in a drive. QEMU cannot open any file by itself, so the new one is opened here and passed with the
//! command.

use super::{DISC, LET_GO, Qmp};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use serde_json::{Value, json};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

/// The id of the command that releases a descriptor; an error means that it had been released already.
pub(super) const LET_GO_FD: &str = "disc-let-go-fd";
/// The id of the command that passes the new medium's descriptor.
pub(super) const GIVEN: &str = "disc-given";

/// A change of medium in progress, with what its next steps need.
pub(super) struct Change {
    drive: String,
    /// The node and the descriptor set of the medium at the VM's start.
    former: (String, Option<i32>),
    force: bool,
    /// The descriptor set of the new medium.
    set: Option<i64>,
}

impl Qmp {
    /// Requests another medium in a drive, or none, and the release of the file of the medium at the VM's start (`former`: its
    /// node and its descriptor set); the answer arrives as news. Whether it could be sent.
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
            // The next command is sent when QEMU has answered which set contains the descriptor.
            Some(disc) => self.send_with(&json!({ "execute": "add-fd", "id": GIVEN }), disc),
        }
    }

    /// QEMU has received the new medium's descriptor.
    pub(super) fn insert(&mut self, set: i64) {
        let Some(change) = &mut self.change else { return };
        change.set = Some(set);
        let mut arguments =
            json!({ "id": change.drive, "filename": format!("/dev/fdset/{set}"), "format": "raw", "read-only-mode": "read-only" });
        // An older QEMU knows this argument only where it is required.
        if change.force {
            arguments["force"] = Value::Bool(true);
        }
        self.send(&json!({ "execute": "blockdev-change-medium", "id": DISC, "arguments": arguments }));
    }

    /// Releases what is no longer used, after the change succeeded or failed. Whether the news wait for the answer to the last
    /// command.
    pub(super) fn let_go(&mut self, changed: bool) -> bool {
        let Some(Change { former: (node, set), set: new, .. }) = self.change.take() else { return false };
        let remove =
            |qmp: &mut Self, set: i64| qmp.send(&json!({ "execute": "remove-fd", "id": LET_GO_FD, "arguments": { "fdset-id": set } }));
        // An open file stays open; the set is needed only to open it once.
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

    /// Sends a command with a descriptor. Only if no output is queued, so that the descriptor arrives with this command.
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
