//! A file system of one folder, spoken to the kernel directly (the FUSE protocol, version 7). It exists for one reason: on
//! FreeBSD, looking up `/dev/nmdm…` makes the terminal, and no folder of files can do that.
//! Not its job: what is in the folder; see `tree`.

use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};

use super::tree::Tree;
use crate::exit::{Done, Or};

const ROOT: u64 = 1;
const FOLDER: u32 = 0o040_755;
const LINK: u32 = 0o120_777;
/// Room for the largest request that we asked for.
const BUFFER: usize = (1 << 16) + 4096;

mod op {
    pub(super) const LOOKUP: u32 = 1;
    pub(super) const FORGET: u32 = 2;
    pub(super) const GETATTR: u32 = 3;
    pub(super) const READLINK: u32 = 5;
    pub(super) const STATFS: u32 = 17;
    pub(super) const INIT: u32 = 26;
    pub(super) const OPENDIR: u32 = 27;
    pub(super) const READDIR: u32 = 28;
    pub(super) const RELEASEDIR: u32 = 29;
    pub(super) const INTERRUPT: u32 = 36;
    pub(super) const DESTROY: u32 = 38;
    pub(super) const BATCH_FORGET: u32 = 42;
}

/// The mounted file system.
pub(super) struct Fuse {
    fd: OwnedFd,
    /// Names by their node; a node is never reused.
    names: Vec<String>,
}

/// A request's fixed part.
struct Header {
    op: u32,
    unique: u64,
    node: u64,
}

/// Bytes in the machine's own order, as the kernel has them.
#[derive(Default)]
struct Out(Vec<u8>);

impl Out {
    fn u16(&mut self, values: &[u16]) -> &mut Out {
        values.iter().for_each(|value| self.0.extend(value.to_ne_bytes()));
        self
    }

    fn u32(&mut self, values: &[u32]) -> &mut Out {
        values.iter().for_each(|value| self.0.extend(value.to_ne_bytes()));
        self
    }

    fn u64(&mut self, values: &[u64]) -> &mut Out {
        values.iter().for_each(|value| self.0.extend(value.to_ne_bytes()));
        self
    }

    fn attributes(&mut self, node: u64, mode: u32) -> &mut Out {
        // Node, size, blocks; three times; their parts of a second, mode, links, owner, group, device, block size, flags.
        self.u64(&[node, 0, 0, 0, 0, 0]).u32(&[0, 0, 0, mode, 1, 0, 0, 0, 4096, 0])
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

impl Fuse {
    pub(super) fn mount(folder: &Path) -> Done<Fuse> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = rustix::fs::open("/dev/fuse", flags, Mode::empty()).or_broken("/dev/fuse")?;
        let raw = std::os::fd::AsRawFd::as_raw_fd(&fd);
        let options = CString::new(format!("fd={raw},rootmode=40000,user_id=0,group_id=0,allow_other")).or_broken("mount options")?;
        let hardening = MountFlags::NOSUID | MountFlags::NOEXEC;
        mount("chyves-lab", folder, "fuse", hardening, Some(options.as_c_str())).or_broken(folder.display())?;
        Ok(Fuse { fd, names: Vec::new() })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Answers all requests that are waiting.
    pub(super) fn serve(&mut self, tree: &mut Tree) -> Done {
        let mut buffer = vec![0; BUFFER];
        loop {
            match rustix::io::read(&self.fd, &mut buffer) {
                Ok(count) => self.answer(&buffer[..count], tree)?,
                // A request that was taken back while it waited.
                Err(Errno::NOENT | Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error).or_broken("the lab's /dev"),
            }
        }
    }

    fn answer(&mut self, request: &[u8], tree: &mut Tree) -> Done {
        let header = (|| {
            let op = u32::from_ne_bytes(number(request, 4)?);
            Some(Header { op, unique: u64::from_ne_bytes(number(request, 8)?), node: u64::from_ne_bytes(number(request, 16)?) })
        })();
        let Some(header) = header else { return Ok(()) };
        let body = request.get(40..).unwrap_or_default();
        let mut out = Out::default();
        let status = match header.op {
            op::FORGET | op::BATCH_FORGET | op::INTERRUPT => return Ok(()),
            op::INIT => {
                // We speak 7.31 and ask for nothing special.
                out.u32(&[7, 31, 0, 0]).u16(&[12, 9]).u32(&[1 << 16, 1]).u16(&[0, 0]).u32(&[0; 8]);
                Ok(())
            }
            op::LOOKUP => self.lookup(&header, body, tree, &mut out),
            op::GETATTR => {
                let mode = if header.node == ROOT { FOLDER } else { LINK };
                // Valid for no time at all: everything is asked anew.
                out.u64(&[0]).u32(&[0, 0]).attributes(header.node, mode);
                Ok(())
            }
            op::READLINK => match self.name(header.node).and_then(|name| tree.lookup(&name)) {
                Some(target) => {
                    out.0.extend(target.as_os_str().as_encoded_bytes());
                    Ok(())
                }
                None => Err(Errno::NOENT),
            },
            op::OPENDIR => {
                out.u64(&[0]).u32(&[0, 0]);
                Ok(())
            }
            op::READDIR => {
                Self::list(body, tree, &mut out);
                Ok(())
            }
            op::STATFS => {
                out.u64(&[0; 5]).u32(&[4096, 255, 4096, 0]).u32(&[0; 6]);
                Ok(())
            }
            op::RELEASEDIR | op::DESTROY => Ok(()),
            _ => Err(Errno::NOSYS),
        };
        let (error, body) = match status {
            Ok(()) => (0, out.0),
            Err(errno) => (-errno.raw_os_error(), Vec::new()),
        };
        let length = u32::try_from(16 + body.len()).or_broken("an answer")?;
        let mut reply = Out::default();
        reply.u32(&[length]).0.extend(error.to_ne_bytes());
        reply.u64(&[header.unique]).0.extend(body);
        match rustix::io::write(&self.fd, &reply.0) {
            // Whoever asked is gone.
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error).or_broken("the lab's /dev"),
        }
    }

    fn lookup(&mut self, header: &Header, body: &[u8], tree: &mut Tree, out: &mut Out) -> Result<(), Errno> {
        let name = body.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = std::str::from_utf8(name).map_err(|_| Errno::NOENT)?;
        if header.node != ROOT || tree.lookup(name).is_none() {
            return Err(Errno::NOENT);
        }
        let at = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        let node = at as u64 + 2;
        out.u64(&[node, 0, 0, 0]).u32(&[0, 0]).attributes(node, LINK);
        Ok(())
    }

    fn name(&self, node: u64) -> Option<String> {
        let at = usize::try_from(node.checked_sub(2)?).ok()?;
        self.names.get(at).cloned()
    }

    /// Entries from the asked offset on, as many as there is room for.
    fn list(body: &[u8], tree: &Tree, out: &mut Out) {
        let offset = number(body, 8).map_or(0, u64::from_ne_bytes);
        let room = number(body, 16).map_or(0, u32::from_ne_bytes) as usize;
        for (at, name) in tree.names().into_iter().enumerate().skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
            let size = (24 + name.len()).next_multiple_of(8);
            if out.0.len() + size > room {
                return;
            }
            let start = out.0.len();
            // A link is type 10.
            out.u64(&[u64::MAX, at as u64 + 1]).u32(&[u32::try_from(name.len()).unwrap_or_default(), 10]);
            out.0.extend(name.as_bytes());
            out.0.resize(start + size, 0);
        }
    }
}
