//! How each request of a client is answered.

use super::clients::Said;
use super::engine::{Discs, Engine};
use super::machine::Machine;
use super::order::Outcome;
use crate::confine;
use crate::control::{Reply, Request, Status};
use chyves_core::error::Problem;
use chyves_core::launch::Opened;
use chyves_core::lifecycle::{Event, Phase, Wish};
use chyves_core::vmm::qemu;

impl Engine<'_> {
    pub(super) fn look_at_peers(&mut self, now: u64) {
        self.peers.accept(now);
        for index in 0..self.peers.count() {
            while let Some(said) = self.peers.hear(index, self.serial.room()) {
                match said {
                    Said::Typed(bytes) => self.serial.type_in(&bytes, now),
                    Said::Request(request) => self.answer(index, &request),
                }
            }
        }
        if self.peers.sweep(now) {
            self.events.push_back(Event::Withdrawn);
        }
    }

    fn answer(&mut self, index: usize, request: &Request) {
        match request {
            Request::Status => {
                let status = self.status();
                self.peers.answer(index, &Reply::Status(Box::new(status)));
            }
            Request::Stop { timeout, force } => {
                self.peers.let_wait(index);
                let seconds = timeout.unwrap_or(self.launch.policy.stop_timeout);
                self.events.push_back(Event::Stop(Wish { timeout: u64::from(seconds) * 1000, force: *force, stands: false }));
            }
            Request::Console { .. } if !self.peers.has_place_at_console() => {
                let full = Problem::not_now(format!("too many consoles of `{}` are open", self.launch.guest));
                self.peers.answer(index, &Reply::Failed(full.hint("leave one of them first")));
            }
            Request::Console { read_only, replay } => {
                let before = if *replay == Some(false) { Vec::new() } else { self.ring.copy() };
                let reply = if replay.is_some() { Reply::AttachedAfter { replayed: before.len() } } else { Reply::Attached };
                self.peers.let_watch(index, *read_only, &reply, &before);
            }
            Request::Record => {
                self.restore_files();
                let cant = || Problem::failed(format!("the supervisor of `{}` cannot write its record", self.launch.guest));
                let reply = if self.written.is_some() { Reply::Done } else { Reply::Failed(cant()) };
                self.peers.answer(index, &reply);
            }
            Request::Reset => {
                self.events.push_back(Event::Reset);
                self.peers.answer(index, &Reply::Done);
            }
            Request::Grow { path, size } => {
                if let Err(why) = self.grow(path, *size) {
                    let problem = Problem::not_now(format!("`{path}` cannot grow while `{}` runs", self.launch.guest))
                        .because(why)
                        .hint(format!("`chyves stop {}` first", self.launch.guest));
                    self.peers.answer(index, &Reply::Failed(problem.on(path)));
                } else {
                    self.peers.let_grow(index);
                }
            }
            Request::Disc { drive, path, force, again, borrows } => {
                self.discs = Some(Discs { again: again.clone(), borrows: borrows.clone() });
                match drive {
                    None => {
                        self.keep_discs();
                        self.peers.answer(index, &Reply::Done);
                    }
                    Some(drive) => {
                        if let Err(problem) = self.change_disc(drive, path.as_deref(), *force) {
                            self.peers.answer(index, &Reply::Failed(problem));
                        } else {
                            self.peers.let_change(index);
                        }
                    }
                }
            }
            Request::Release => {
                if self.life.phase == Phase::Running && self.machine.is_some() && !self.life.is_stopping() {
                    self.peers.answer(index, &Reply::Done);
                    self.outcome = Some(Outcome::Released);
                } else {
                    let problem = Problem::not_now(format!("`{}` is not settled", self.launch.guest)).hint("try again in a moment");
                    self.peers.answer(index, &Reply::Failed(problem));
                }
            }
        }
    }

    /// Asks the hypervisor to change a medium. The file is opened here, since QEMU cannot open any.
    fn change_disc(&mut self, drive: &str, path: Option<&str>, force: bool) -> Result<(), Problem> {
        let name = &self.launch.guest;
        let open = |path: &str| {
            let beneath = path.rsplit_once('/').map(|(mount, _)| mount.to_owned());
            let what = Opened::File { path: path.to_owned(), write: false, device: false, beneath };
            confine::open(&what).map_err(|e| Problem::failed(format!("cannot open the ISO for {name}: {path}")).on(name).because(e))
        };
        let disc = path.map(open).transpose()?;
        let former = (qemu::medium_node(drive), qemu::medium_set(&self.launch.hypervisor, drive));
        if self.qmp.as_mut().is_some_and(|qmp| qmp.change_disc(drive, former, disc.as_ref(), force)) {
            return Ok(());
        }
        Err(Problem::not_now(format!("the hypervisor of `{name}` does not answer")).hint("try again in a moment"))
    }

    /// Asks the hypervisor to resize a disk; its answer arrives as news.
    fn grow(&mut self, path: &str, size: u64) -> Result<(), String> {
        let node = qemu::node_of(&self.launch.hypervisor, path).ok_or("the running VM has no such disk: it was added since")?;
        let asked = self.qmp.as_mut().is_some_and(|qmp| qmp.resize(&node, size));
        if asked { Ok(()) } else { Err("its hypervisor does not answer".to_owned()) }
    }

    /// The hypervisor has answered whether a disk was resized.
    pub(super) fn resized(&mut self, result: Result<(), String>) {
        let reply = match result {
            Ok(()) => Reply::Done,
            Err(why) => {
                let name = &self.launch.guest;
                Reply::Failed(
                    Problem::not_now(format!("a disk of `{name}` cannot grow while it runs"))
                        .because(why)
                        .hint(format!("`chyves stop {name}` first")),
                )
            }
        };
        self.peers.tell_growing(&reply);
    }

    /// Records the new state of the drives.
    fn keep_discs(&mut self) {
        let Some(Discs { again, borrows }) = self.discs.take() else { return };
        for launch in [&mut self.launch, &mut self.record.launch] {
            launch.again.clone_from(&again);
            launch.borrows.clone_from(&borrows);
        }
        // Written before any report: its receiver may read the record at once.
        self.write_record();
    }

    /// The hypervisor has answered whether a medium was changed.
    pub(super) fn disc_changed(&mut self, result: Result<(), String>) {
        let reply = match result {
            Ok(()) => {
                self.keep_discs();
                Reply::Done
            }
            Err(why) => {
                self.discs = None;
                let name = &self.launch.guest;
                Reply::Failed(
                    Problem::not_now(format!("the ISO in a drive of `{name}` cannot be changed"))
                        .on(name)
                        .because(why)
                        .hint("a guest that has an ISO mounted locks its drive: unmount it there, or use --force"),
                )
            }
        };
        self.peers.tell_changing(&reply);
    }

    fn status(&self) -> Status {
        Status {
            guest: self.launch.guest.clone(),
            uuid: self.launch.uuid,
            dataset: self.launch.dataset.clone(),
            phase: self.record.phase,
            supervisor: self.record.supervisor.pid,
            machine: self.machine.as_ref().and_then(Machine::process).map(|p| p.pid),
            started: self.record.started,
            since: self.record.since,
            reboots: self.life.reboots,
            crashes: self.life.crashes,
            watching: self.peers.watching(),
            command: self.launch.hypervisor.to_string(),
        }
    }
}
