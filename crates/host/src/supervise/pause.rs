//! A VM that its hypervisor has paused because a disk could not be written: since when, why, and when to try again. QEMU keeps
//! what it could not write and writes it when the guest continues, so nothing is lost; but it never retries by itself.
//!
//! Not here: which errors pause a VM (`core::vmm::qemu`), and what is refused meanwhile (`core::lifecycle`).

use super::engine::Engine;
use chyves_core::lifecycle::Event;
use chyves_core::vmm::qemu;

/// Time in milliseconds before the guest is resumed for the first time; it doubles with each try.
const FIRST_WAIT: u64 = 1_000;
/// Maximum of that time, in milliseconds.
const LONGEST_WAIT: u64 = 10_000;
/// A guest that has run for this many milliseconds without another error counts as resumed: the failed write is repeated first.
const STEADY: u64 = 1_000;

/// A pause in progress.
#[derive(Debug)]
pub(super) struct Hold {
    why: String,
    wait: u64,
    /// Set while the guest runs again: the time at which the pause counts as over.
    resumed: Option<u64>,
    try_at: u64,
}

/// The action that is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Try to resume the guest.
    Try,
    /// The pause is over.
    Over,
}

impl Hold {
    pub(super) fn new(why: String, now: u64) -> Self {
        Self { why, wait: FIRST_WAIT, resumed: None, try_at: now + FIRST_WAIT }
    }

    pub(super) fn why(&self) -> &str {
        &self.why
    }

    /// The write failed again. Whether for another reason.
    pub(super) fn again(&mut self, why: String, now: u64) -> bool {
        self.resumed = None;
        self.try_at = now + self.wait;
        std::mem::replace(&mut self.why, why) != self.why
    }

    /// The hypervisor has resumed the guest.
    pub(super) const fn resumed(&mut self, now: u64) {
        self.resumed = Some(now + STEADY);
    }

    /// The time at which an action is due.
    pub(super) fn wake_at(&self) -> u64 {
        self.resumed.unwrap_or(self.try_at)
    }

    /// The action that is due now. A try without effect is followed by another one.
    pub(super) fn due(&mut self, now: u64) -> Option<Due> {
        if now < self.wake_at() {
            return None;
        }
        if self.resumed.is_some() {
            return Some(Due::Over);
        }
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        self.try_at = now + self.wait;
        Some(Due::Try)
    }
}

impl Engine<'_> {
    /// A disk could not be read or written.
    pub(super) fn disk_failed(&mut self, now: u64, node: &str, write: bool, paused: bool, why: &str) {
        let disk = qemu::path_of(&self.launch.hypervisor, node).unwrap_or_else(|| node.to_owned());
        let why = format!("{} {disk} failed: {why}", if write { "writing" } else { "reading" });
        if !paused {
            // A repeated error is logged once.
            if self.failed.as_deref() != Some(&why) {
                self.hypervisor_log.note(&format!("{why}; the guest was notified"));
                self.failed = Some(why);
            }
            return;
        }
        match &mut self.hold {
            None => self.pause(now, why),
            Some(hold) => {
                if hold.again(why, now) {
                    self.hypervisor_log.note(&format!("the guest stays paused: {}", hold.why));
                }
            }
        }
    }

    /// A VM that was taken over is paused, and its former supervisor had not recorded it; the next try will show the reason.
    pub(super) fn found_paused(&mut self, now: u64) {
        if self.hold.is_none() {
            self.pause(now, "a disk could not be written".to_owned());
        }
    }

    /// The guest has been paused.
    pub(super) fn pause(&mut self, now: u64, why: String) {
        self.hypervisor_log.note(&format!("the guest is paused: {why}"));
        self.hold = Some(Hold::new(why, now));
        self.events.push_back(Event::Paused);
    }

    /// The hypervisor has resumed the guest, possibly not for long.
    pub(super) fn resumed(&mut self, now: u64) {
        if let Some(hold) = &mut self.hold {
            hold.resumed(now);
        }
    }

    pub(super) fn look_at_hold(&mut self, now: u64) {
        match self.hold.as_mut().and_then(|hold| hold.due(now)) {
            None => {}
            Some(Due::Try) => {
                // If it cannot be sent now, the next try sends it.
                if let Some(qmp) = &mut self.qmp {
                    qmp.command("cont");
                }
            }
            Some(Due::Over) => {
                // The pool may have been too full for the first note.
                if let Some(hold) = self.hold.take() {
                    self.hypervisor_log.note(&format!("the guest goes on; it was paused, because {}", hold.why));
                }
                self.events.push_back(Event::Resumed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_ever_more_rarely_until_it_goes_on() {
        let mut hold = Hold::new("full".into(), 0);
        let mut waits = Vec::new();
        let mut now = 0;
        for _ in 0..6 {
            waits.push(hold.wake_at() - now);
            assert_eq!(hold.due(hold.wake_at() - 1), None);
            now = hold.wake_at();
            assert_eq!(hold.due(now), Some(Due::Try));
            // It runs for a moment, until the same write fails.
            hold.resumed(now);
            assert!(!hold.again("full".into(), now));
        }
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
        assert!(hold.again("quota".into(), now) && hold.why() == "quota");
        hold.resumed(now);
        assert_eq!(hold.due(now + STEADY - 1), None);
        assert_eq!(hold.due(now + STEADY), Some(Due::Over));
    }

    #[test]
    fn a_try_without_an_answer_is_followed_by_another() {
        let mut hold = Hold::new("full".into(), 0);
        assert_eq!(hold.due(1_000), Some(Due::Try));
        assert_eq!(hold.due(1_000), None);
        assert_eq!(hold.due(3_000), Some(Due::Try));
    }
}
