//! Invariants for every sequence of events, including unexpected ones.

use super::*;
use proptest::prelude::*;

fn any_end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Reboot),
        Just(End::PowerOff),
        Just(End::Quit),
        Just(End::TripleFault),
        Just(End::Status(4)),
        Just(End::Signal(9)),
        Just(End::Unseen),
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    let result = || any::<bool>().prop_map(|ok| if ok { Ok(()) } else { Err("why".to_owned()) });
    prop_oneof![
        2 => result().prop_map(Event::Planned),
        2 => result().prop_map(Event::Prepared),
        2 => Just(Event::Up),
        3 => any_end().prop_map(Event::Ended),
        1 => (0u64..20_000, prop_oneof![Just(Force::Never), Just(Force::AtDeadline), Just(Force::Now)])
            .prop_map(|(timeout, force)| wish(timeout, force)),
        1 => Just(Event::Withdrawn),
        1 => Just(Event::Reset),
        1 => prop_oneof![Just(Event::Paused), Just(Event::Resumed)],
        1 => Just(Event::Cleaned),
        4 => Just(Event::Tick),
    ]
}

/// The state outside of the life, for any sequence of events, including unexpected ones.
#[derive(Default)]
struct Outside {
    machine: bool,
    prepared: bool,
    finished: bool,
    cleaned: bool,
}

impl Outside {
    fn check(&mut self, todo: &[Do]) {
        for what in todo {
            assert!(!self.finished, "{what:?} after the end");
            match what {
                Do::Prepare => self.prepared = true,
                Do::Launch => {
                    assert!(!self.machine, "two machines at once");
                    assert!(std::mem::take(&mut self.prepared), "not prepared");
                    self.machine = true;
                }
                Do::AskPowerOff | Do::PullReset | Do::PullPlug | Do::Kill | Do::Announce => {
                    assert!(self.machine, "{what:?} without a machine");
                }
                Do::CleanUp => {
                    assert!(!self.machine, "cleaning up under a living machine");
                    assert!(!std::mem::replace(&mut self.cleaned, true), "cleaning up twice");
                }
                Do::Finish => self.finished = true,
                Do::Replan | Do::Abort | Do::StopFailed(_) => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn no_sequence_of_events_breaks_the_house(
        events in proptest::collection::vec((0u64..30_000, any_event()), 0..120),
        on_reboot in prop_oneof![Just(OnEnd::Restart), Just(OnEnd::Stop)],
        on_crash in prop_oneof![Just(OnEnd::Restart), Just(OnEnd::Stop)],
    ) {
        let rules = rules(on_reboot, on_crash);
        let (mut life, first) = Life::begin(0);
        let mut outside = Outside::default();
        outside.check(&first);
        let mut now = 0;
        for (after, event) in events {
            now += after;
            // A VM can only end if there is one.
            if matches!(event, Event::Ended(_)) {
                if !outside.machine {
                    continue;
                }
                outside.machine = false;
            }
            let stop = matches!(event, Event::Stop(_));
            let (next, todo) = life.step(&rules, now, event);
            life = next;
            outside.check(&todo);
            if stop {
                let goes_on = matches!(life.phase, Phase::Planning | Phase::Preparing | Phase::Pausing { .. } | Phase::Launching);
                prop_assert!(!goes_on, "a stop left {:?}", life.phase);
            }
            prop_assert!(life.crashes <= CRASH_LIMIT + 1);
        }
    }

    /// After any sequence of events, a forced stop ends the life if time passes and a killed process dies.
    #[test]
    fn a_forced_stop_always_ends_it(events in proptest::collection::vec((0u64..30_000, any_event()), 0..60)) {
        let mut house = House { story: Story::new(restarting()), machine: false, killed: false };
        for (after, event) in events {
            house.tell(after, event);
        }
        house.tell(0, wish(5_000, Force::AtDeadline));
        for _ in 0..20 {
            match &house.story.life.phase {
                Phase::Over(_) => break,
                Phase::Cleaning(_) => house.tell(0, Event::Cleaned),
                _ if house.machine && house.killed => house.tell(0, Event::Ended(End::Signal(9))),
                _ => {
                    let at = house.story.life.wake_at().expect("something to wait for");
                    house.tell(at.saturating_sub(house.story.now), Event::Tick);
                }
            }
        }
        let phase = &house.story.life.phase;
        prop_assert!(matches!(phase, Phase::Over(_)), "still {:?}", phase);
    }
}

/// A story with a VM that can only end once, and dies when it is killed.
struct House {
    story: Story,
    machine: bool,
    killed: bool,
}

impl House {
    fn tell(&mut self, after: u64, event: Event) {
        if matches!(event, Event::Ended(_)) && !std::mem::take(&mut self.machine) {
            return;
        }
        let todo = self.story.tell(after, event);
        if todo.contains(&Do::Launch) {
            self.machine = true;
            self.killed = false;
        }
        self.killed |= todo.contains(&Do::Kill);
    }
}
