//! `zfs send` into `zfs receive`: both started without a shell, the bytes moved and counted by chyves itself. Nothing is
//! forced, and nothing is received onto an existing dataset.

use super::{Event, Place, fault};
use crate::run::wait::Patience;
use crate::settled::settled_at_last;
use crate::{detached_stream, facts, observe, run, trace};
use chyves_core::cmd::Cmd;
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::value::{Dataset, Size, SnapshotRef, printable};
use chyves_core::zfs::{Dialect, args};
use rustix::event::PollFlags;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

/// Bytes moved at once.
const CHUNK: usize = 1 << 20;

/// One of the two processes, and its standard error.
struct End {
    cmd: Cmd,
    child: Child,
    patience: Patience,
    /// The process that keeps a sender from being interrupted ([`detached_stream`]).
    between: Option<Child>,
    said: JoinHandle<String>,
}

impl End {
    fn start(cmd: Cmd, stdin: Stdio, stdout: Stdio, place: &mut Place<'_>) -> Result<Self> {
        (place.report)(Event::Command(cmd.to_string()));
        trace::started(&cmd);
        let mut child = run::prepare(&cmd)?
            .stdin(stdin)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| Problem::host_cant(format!("cannot start `{}`", cmd.program)).on(&cmd.program).because(e))?;
        let patience = Patience::with(&cmd, &child, true);
        let stderr = child.stderr.take();
        let said = std::thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(stderr) = stderr {
                let _ = stderr.take(1 << 16).read_to_end(&mut text);
            }
            String::from_utf8_lossy(&text).into_owned()
        });
        Ok(Self { cmd, child, patience, between: None, said })
    }

    /// Kills a sender without a reader, unless its stream must run to its end.
    fn give_up(&mut self) {
        if self.between.is_none() {
            let _ = self.child.kill();
        }
    }

    /// Waits for its end; the error if it failed.
    fn end(mut self) -> Option<Problem> {
        self.patience.goes_on();
        let status = match self.patience.end(&mut self.child) {
            Ok(status) => status,
            // What it holds open may never be closed.
            Err(problem) => return Some(problem),
        };
        if let Some(mut between) = self.between {
            let _ = between.wait();
        }
        let stderr = self.said.join().unwrap_or_default();
        let output = run::Output { status: status.code(), stdout: String::new(), stderr };
        (!status.success()).then(|| run::failure(&self.cmd, &output))
    }
}

/// Makes sure that the target of a reception does not exist.
pub(super) fn is_free(to: &Dataset) -> Result<()> {
    if observe::exists(to.as_str())? {
        return Err(Problem::not_now(format!("`{to}` is there already")).on(to).hint("nothing is received onto what is there"));
    }
    Ok(())
}

/// Sends a snapshot into a new dataset, and verifies the copy: ZFS gives a received snapshot the GUID of the original only when
/// every block was received with a correct checksum.
pub(super) fn copy(from: &SnapshotRef, to: &Dataset, size: Size, place: &mut Place<'_>) -> Result<()> {
    let mut sender = End::start(args::send(from), Stdio::null(), Stdio::piped(), place)?;
    if facts::dialect() == Dialect::Fuse {
        sender.between = Some(detached_stream::behind(&mut sender.child)?);
        sender.patience.is_endless();
    }
    let mut receiver = match End::start(args::receive(to), Stdio::piped(), Stdio::null(), place) {
        Ok(receiver) => receiver,
        Err(problem) => {
            sender.give_up();
            sender.end();
            return Err(problem);
        }
    };
    let source = sender.between.as_mut().unwrap_or(&mut sender.child).stdout.take();
    let carried = carry(source, receiver.child.stdin.take(), size, [&mut sender.patience, &mut receiver.patience], place);
    if carried.is_err() {
        // Nobody reads any more, but the sender may not have noticed yet.
        sender.give_up();
    }
    // Both pipes are closed now: each process ends by itself, and the receiver discards a partial dataset.
    let (sent, received) = (sender.end(), receiver.end());
    // If one had to be abandoned, the state of the copy is unknown.
    if let Some(ended) = [&received, &sent].into_iter().flatten().find(|p| p.code == Kind::Left) {
        return Err(ended.clone());
    }
    carried?;
    // A failing receiver makes the sender fail too; the first cause is the receiver's.
    if let Some(problem) = received.or(sent) {
        return Err(problem.within(format!("cannot copy {from} to {to}")));
    }
    same(from, to)
}

fn carry(
    source: Option<ChildStdout>,
    sink: Option<ChildStdin>,
    size: Size,
    patience: [&mut Patience; 2],
    place: &mut Place<'_>,
) -> Result<()> {
    let broken = || Problem::bug("a pipe to `zfs` was not made");
    let (mut source, sink) = (source.ok_or_else(broken)?, sink.ok_or_else(broken)?);
    let mut sink = File::from(OwnedFd::from(sink));
    // A hung receiver stops reading; that must not keep this process from noticing an interrupt.
    rustix::io::ioctl_fionbio(&sink, true).map_err(|e| Problem::failed("cannot use a pipe").because(e))?;
    let [sending, receiving] = patience;
    let mut buffer = vec![0u8; CHUNK];
    let mut done = 0u64;
    loop {
        if place.interrupted.load(Ordering::SeqCst) {
            return Err(Problem::interrupted());
        }
        sending.until_or(source.as_fd(), PollFlags::IN, place.interrupted)?;
        let filled = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(Problem::failed("cannot read what `zfs send` writes").because(e)),
        };
        let mut rest = &buffer[..filled];
        while !rest.is_empty() {
            receiving.until_or(sink.as_fd(), PollFlags::OUT, place.interrupted)?;
            match sink.write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                // The receiver's exit shows why it accepts no more.
                Err(_) => return Ok(()),
            }
        }
        [&mut *sending, &mut *receiving].into_iter().for_each(Patience::goes_on);
        done += filled as u64;
        fault::flowing();
        (place.report)(Event::Progress(done, done.max(size.get())));
    }
    (place.report)(Event::Progress(done, done));
    Ok(())
}

fn same(from: &SnapshotRef, to: &Dataset) -> Result<()> {
    let names = [from.to_string(), to.at(&from.name).to_string()];
    let guids: Vec<u64> = observe::guids(&names)?.into_iter().map(|(_, guid)| guid).collect();
    if guids[0] != guids[1] {
        return Err(Problem::failed(format!("the copy `{to}` is not what was sent"))
            .on(to)
            .because(format!("{} has the GUID {}, and {} has {}", names[0], guids[0], names[1], guids[1])));
    }
    Ok(())
}

/// Destroys a received dataset with its snapshot, if that is still the copy of the original.
pub(super) fn destroy(to: &Dataset, like: &SnapshotRef, place: &mut Place<'_>) -> Result<()> {
    let copy = to.at(&like.name);
    if observe::exists(&copy.to_string())? {
        same(like, to).map_err(|p| p.within(format!("`{}` stays", printable(to.as_str(), 120))))?;
        let cmd = args::destroy_snapshot_alone(&copy);
        (place.report)(Event::Command(cmd.to_string()));
        settled_at_last(&cmd)?;
    }
    Ok(())
}
