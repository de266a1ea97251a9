//! What the end of a VM means, what is reported about it, and what is left behind.

use super::engine::Engine;
use super::order::{Outcome, Word};
use super::qmp::Qmp;
use super::ring::last_lines;
use crate::control::Reply;
use crate::runtime::{Phase as Shown, Record, Runtime};
use crate::safe::Folder;
use chyves_core::cmd::Cmd;
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::launch::Control;
use chyves_core::lifecycle::{self, End, Event, Exit, Final, Phase};

/// Whether a command is one of the loaders that run on the host and interact with the console.
fn loads(cmd: &Cmd) -> bool {
    matches!(cmd.tool(), "bhyveload" | "grub-bhyve")
}

/// The longest command line that is shown with an error; that of a VM has thousands of characters.
const LEGIBLE: usize = 400;

/// Time in milliseconds within which a bhyve that rejects its command line has exited, even on a busy host.
const USAGE_WITHIN: u64 = 5_000;

impl Engine<'_> {
    /// The hypervisor has exited: reads its remaining output, then reports the meaning of its end to the state machine.
    pub(super) fn machine_ended(&mut self, exit: Exit) {
        let now = self.now();
        // Everything that it wrote before its end can be read now; the buffer of its socket bounds what it sent to the monitor.
        loop {
            self.look_at_qmp(now);
            if !self.qmp.as_ref().is_some_and(Qmp::has_more) {
                break;
            }
        }
        self.look_at_serial(now);
        self.hear_last_words();
        let words = self.hypervisor_log.last_words();
        let end = match &self.launch.control {
            Control::Qmp { .. } => End::of_qemu(self.qmp.as_ref().and_then(|q| q.reason()), exit),
            Control::Bhyve { .. } => {
                let refused = lifecycle::refuses(&String::from_utf8_lossy(&words));
                End::of_bhyve(exit, refused && now.saturating_sub(self.launched) < USAGE_WITHIN)
            }
        };
        let end = match self.refused.take() {
            Some(why) => End::NotStarted(why),
            None => self.life.meaning(end),
        };
        let lines = last_lines(&words, 5);
        self.last_words = (!lines.is_empty()).then(|| lines.join("; "));
        self.machine = None;
        self.proof = None;
        self.forget_uid();
        self.rebooted = end == End::Reboot;
        self.qmp = None;
        self.discs = None;
        self.hold = None;
        let name = &self.launch.guest;
        let ended = Problem::not_now(format!("the VM of `{name}` ended before it answered"))
            .on(name)
            .because(end.to_string())
            .hint(format!("see what it does now: `chyves info {name}`; then try again"));
        self.peers.tell_unanswered(&Reply::Failed(ended));
        self.serial.machine_gone();
        self.record.end = Some(end.to_string());
        self.hypervisor_log.note(&end.to_string());
        self.events.push_back(Event::Ended(end));
    }

    /// Releases the user id of the hypervisor.
    fn forget_uid(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(uid) = self.record.uid {
            crate::confine::forget_uid(&self.run, uid);
        }
        self.record.uid = None;
    }

    /// A VM that was to be taken over does not answer: it is left as it was found.
    pub(super) fn give_back(&mut self) {
        self.adopting = None;
        self.told = true;
        let name = &self.launch.guest;
        let problem = Problem::not_now(format!("cannot take `{name}` over: its VM does not answer"))
            .on(name)
            .because("its monitor could not be reached in time")
            .hint("see whether somebody else is connected to it, or whether it is frozen");
        (self.report)(Word::Failed(problem));
        self.outcome = Some(Outcome::Released);
    }

    /// The guest has ended: reports how.
    pub(super) fn finish(&mut self) {
        let Phase::Over(end) = self.life.phase.clone() else {
            return;
        };
        let told = |end: &End| {
            let mut text = self.in_full(end);
            if !self.complaints.is_empty() {
                text.push_str("; not all could be cleaned up: ");
                text.push_str(&self.complaints.join("; "));
            }
            text
        };
        let (Final::Off(how) | Final::Crashed(how)) = &end;
        let full = told(how);
        self.record.end = Some(match &self.last_words {
            Some(words) if matches!(end, Final::Crashed(_)) => format!("{}: {words}", self.in_full(how)),
            _ if self.remains => full.clone(),
            _ => self.in_full(how),
        });
        self.outcome = Some(match &end {
            Final::Off(_) => Outcome::Off(full),
            Final::Crashed(_) => Outcome::Crashed(full),
        });
    }

    /// The text of an end, including that it was the last of too many crashes.
    fn in_full(&self, end: &End) -> String {
        match self.life.given_up() {
            Some(crashes) => format!("{end}, after {crashes} crashes in a row it is not started again"),
            None => end.to_string(),
        }
    }

    /// The error that the guest did not start, with everything that helps to find the reason.
    fn failed_start(&self, how: &str) -> Problem {
        let name = &self.launch.guest;
        let kind = if self.missing { Kind::HostCant } else { Kind::Failed };
        let mut problem = Problem::new(kind, format!("`{name}` did not start: {how}")).on(name);
        if let Some(words) = &self.last_words {
            problem = problem.because(format!("the hypervisor's last words: {words}"));
        }
        let console = self.ring.last_lines(5);
        if !console.is_empty() {
            problem = problem.because(format!("the console's last lines: {}", console.join(" | ")));
        }
        let cmd = self.unprepared.as_ref().map_or(&self.launch.hypervisor, |unprepared| &unprepared.cmd);
        let cmd = cmd.to_string();
        let problem = problem.hint(if cmd.len() <= LEGIBLE {
            format!("the command was: {cmd}")
        } else {
            format!("`chyves start {name} --dry-run` shows the command")
        });
        if self.unprepared.as_ref().is_some_and(|unprepared| unprepared.late && loads(&unprepared.cmd)) {
            return problem
                .hint("a loader that finds nothing to boot waits at its prompt: check the disk and the settings loader and os")
                .hint(format!(
                    "`chyves set {name} loader_timeout=10m` gives it more time; `chyves console {name}` attaches to it meanwhile"
                ));
        }
        problem.hint_if((self.last_words.is_some()).then(|| format!("all of its messages: {}", self.where_the_log_is())))
    }

    /// The log's path, with the command that makes it readable if the file system has been unmounted since.
    fn where_the_log_is(&self) -> String {
        let path = self.hypervisor_log.path();
        let there = Folder::of(path).and_then(|(folder, name)| folder.has(name)).unwrap_or(false);
        if there { path.to_string() } else { format!("{path}, after `zfs mount {}`", self.launch.dataset) }
    }

    /// Removes the runtime files, or leaves what documents a crash.
    pub(super) fn leave(mut self) -> Result<Outcome> {
        let outcome = self.outcome.take().unwrap_or(Outcome::Released);
        let (how, crashed) = match &outcome {
            Outcome::Off(how) => (how.clone(), false),
            Outcome::Crashed(how) => (how.clone(), true),
            Outcome::Released => {
                self.peers.say_goodbye();
                return Ok(outcome);
            }
        };
        let failed = (!self.told).then(|| self.failed_start(&how));
        if crashed && failed.is_none() || self.remains {
            // The record remains, to report the crash and to identify the owner of a remaining VM object; everything else is
            // removed.
            let record = Record { phase: Shown::Crashed, ..self.record.clone() };
            drop(self.dir.clean());
            drop(record.write(&self.dir.record()));
        } else {
            drop(self.dir.remove());
        }
        if !self.remains {
            crate::rulesets::release(&Runtime::at(&self.run), self.launch.uuid);
        }
        self.peers.tell_waiting(&Reply::Gone(how), true);
        self.peers.say_goodbye();
        match failed {
            Some(problem) => {
                (self.report)(Word::Failed(problem.clone()));
                Err(problem)
            }
            None => Ok(outcome),
        }
    }
}
