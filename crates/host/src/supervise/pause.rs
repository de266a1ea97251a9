//! A machine that its hypervisor has paused, because a disk could not be written: since when, why, and when it is tried
//! again. QEMU keeps what it could not write and writes it when the guest goes on, so nothing is lost meanwhile; but it
//! never tries by itself.
//!
//! Not here: which errors pause a machine (`core::vmm::qemu`), and what is refused meanwhile (`core::lifecycle`).

use super::engine::Engine;
use chyves_core::lifecycle::Event;
use chyves_core::vmm::qemu;

/// The first wait before the guest is let go on, milliseconds; each next one is twice as long.
const FIRST_WAIT: u64 = 1_000;
/// No wait is longer.
const LONGEST_WAIT: u64 = 10_000;
/// A guest that has gone on for so long without another error is not paused any more: what failed was written first.
const STEADY: u64 = 1_000;

/// A pause that lasts.
#[derive(Debug)]
pub(super) struct Hold {
    why: String,
    wait: u64,
    /// Goes on, and from then on for good; else when it is tried.
    resumed: Option<u64>,
    try_at: u64,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The guest is to be let go on.
    Try,
    /// It goes on.
    Over,
}

impl Hold {
    pub(super) fn new(why: String, now: u64) -> Self {
        Self { why, wait: FIRST_WAIT, resumed: None, try_at: now + FIRST_WAIT }
    }

    pub(super) fn why(&self) -> &str {
        &self.why
    }

    /// It failed again. Answers whether for another reason.
    pub(super) fn again(&mut self, why: String, now: u64) -> bool {
        self.resumed = None;
        self.try_at = now + self.wait;
        std::mem::replace(&mut self.why, why) != self.why
    }

    /// The hypervisor lets the guest run.
    pub(super) const fn resumed(&mut self, now: u64) {
        self.resumed = Some(now + STEADY);
    }

    /// When there is something to do.
    pub(super) fn wake_at(&self) -> u64 {
        self.resumed.unwrap_or(self.try_at)
    }

    /// What there is to do now. A try that nothing comes of is followed by another.
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
            // One sentence says as much as a thousand.
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

    /// A machine that was taken over is paused, and its former supervisor had not seen it; the next try tells why.
    pub(super) fn found_paused(&mut self, now: u64) {
        if self.hold.is_none() {
            self.pause(now, "a disk could not be written".to_owned());
        }
    }

    /// The guest is paused from now on.
    pub(super) fn pause(&mut self, now: u64, why: String) {
        self.hypervisor_log.note(&format!("the guest is paused: {why}"));
        self.hold = Some(Hold::new(why, now));
        self.events.push_back(Event::Paused);
    }

    /// The hypervisor lets the guest run, for now.
    pub(super) fn resumed(&mut self, now: u64) {
        if let Some(hold) = &mut self.hold {
            hold.resumed(now);
        }
    }

    pub(super) fn look_at_hold(&mut self, now: u64) {
        match self.hold.as_mut().and_then(|hold| hold.due(now)) {
            None => {}
            Some(Due::Try) => {
                // One that can't be sent now is sent at the next try.
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
            // It goes on for a moment, until the same write fails.
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
