//! Tests of a guest's life as sequences of events.

mod any;

use super::*;
use crate::launch::Policy;

fn rules(on_reboot: OnEnd, on_crash: OnEnd) -> Rules {
    Rules { policy: Policy { on_reboot, on_crash, stop_timeout: 60 }, settle: 300 }
}

fn restarting() -> Rules {
    rules(OnEnd::Restart, OnEnd::Restart)
}

fn wish(timeout: u64, force: Force) -> Event {
    Event::Stop(Wish { timeout, force, stands: false })
}

/// A life with its clock: passes an event after so many milliseconds, and returns the actions.
struct Story {
    life: Life,
    rules: Rules,
    now: u64,
}

impl Story {
    fn new(rules: Rules) -> Self {
        let (life, first) = Life::begin(0);
        assert_eq!(first, [Do::Prepare]);
        Self { life, rules, now: 0 }
    }

    fn running(rules: Rules) -> Self {
        let mut story = Self::new(rules);
        story.come_up();
        story
    }

    fn come_up(&mut self) {
        assert_eq!(self.tell(1, Event::Prepared(Ok(()))), [Do::Launch]);
        assert_eq!(self.tell(1, Event::Up), []);
        assert_eq!(self.tell(300, Event::Tick), [Do::Announce]);
        assert_eq!(self.life.phase, Phase::Running);
    }

    fn tell(&mut self, after: u64, event: Event) -> Vec<Do> {
        self.now += after;
        let (life, todo) = self.life.clone().step(&self.rules, self.now, event);
        self.life = life;
        todo
    }

    fn over(&mut self) -> Final {
        assert_eq!(self.tell(1, Event::Cleaned), [Do::Finish]);
        match &self.life.phase {
            Phase::Over(end) => end.clone(),
            other => panic!("not over but {other:?}"),
        }
    }
}

#[test]
fn bhyves_exits_mean_what_the_table_says() {
    let end = |status| End::of_bhyve(Exit::Status(status), false);
    assert_eq!(
        [end(0), end(1), end(2), end(3), end(4), end(71)],
        [End::Reboot, End::PowerOff, End::Halt, End::TripleFault, End::Status(4), End::Status(71)]
    );
    assert_eq!(End::of_bhyve(Exit::Status(1), true), End::Status(1));
    assert_eq!(End::of_bhyve(Exit::Signal(6), false), End::Signal(6));
    assert!(End::of_bhyve(Exit::Unseen, false).is_crash());
}

#[test]
fn qemus_reasons_mean_the_same() {
    let end = |reason| End::of_qemu(Some(reason), Exit::Status(0));
    assert_eq!(end("guest-reset"), End::Reboot);
    assert_eq!(end("host-qmp-system-reset"), End::Reboot);
    assert_eq!(end("guest-shutdown"), End::PowerOff);
    assert_eq!(end("guest-panic"), End::Panic);
    assert_eq!(end("host-qmp-quit"), End::Quit);
    assert_eq!(end("host-signal"), End::Signal(15));
    assert_eq!(end("host-error"), End::Reason("host-error".into()));
    assert_eq!(End::of_qemu(None, Exit::Status(0)), End::Quit);
    assert_eq!(End::of_qemu(None, Exit::Status(1)), End::Status(1));
    assert_eq!(End::of_qemu(Some("guest-shutdown"), Exit::Signal(11)), End::Signal(11));
    assert_eq!(End::of_qemu(Some("guest-shutdown"), Exit::Unseen), End::PowerOff);
    assert_eq!(End::of_qemu(None, Exit::Unseen), End::Unseen);
}

#[test]
fn a_pulled_plug_is_told_as_one_whatever_the_hypervisor_says() {
    for end in [End::PowerOff, End::Quit, End::Reboot, End::Signal(15), End::Unseen] {
        let mut s = Story::running(restarting());
        assert_eq!(s.life.meaning(end.clone()), end, "nobody pulled it yet");
        s.tell(1, wish(0, Force::Now));
        assert_eq!(s.life.meaning(end).to_string(), "it was powered off forcibly");
    }
    let mut s = Story::running(restarting());
    s.tell(1, wish(0, Force::Now));
    // Killed by somebody else, or an error: what actually happened takes precedence over the request.
    assert_eq!(s.life.meaning(End::Status(4)), End::Status(4));
    assert_eq!(s.life.meaning(End::Signal(6)), End::Signal(6));
    s.tell(PULL_GRACE, Event::Tick);
    assert_eq!(s.life.meaning(End::Signal(9)).to_string(), "it was powered off forcibly, and its hypervisor had to be killed");
    // A stop that only requests a shutdown never powers off forcibly.
    let mut s = Story::running(restarting());
    s.tell(1, wish(60_000, Force::AtDeadline));
    assert_eq!(s.life.meaning(End::PowerOff), End::PowerOff);
}

#[test]
fn a_reboot_plans_anew_and_is_counted() {
    let mut s = Story::running(restarting());
    assert_eq!(s.tell(60_000, Event::Ended(End::Reboot)), [Do::Replan]);
    assert_eq!(s.tell(1, Event::Planned(Ok(()))), [Do::Prepare]);
    s.come_up();
    assert_eq!(s.life.reboots, 1);
}

#[test]
fn a_reboot_may_be_the_end() {
    let mut s = Story::running(rules(OnEnd::Stop, OnEnd::Restart));
    assert_eq!(s.tell(1, Event::Ended(End::Reboot)), [Do::CleanUp]);
    assert_eq!(s.over(), Final::Off(End::Reboot));
}

#[test]
fn a_power_off_cleans_up() {
    for end in [End::PowerOff, End::Halt, End::Quit] {
        let mut s = Story::running(restarting());
        assert_eq!(s.tell(1, Event::Ended(end.clone())), [Do::CleanUp]);
        assert_eq!(s.over(), Final::Off(end));
    }
}

#[test]
fn a_failing_plan_ends_a_reboot_as_a_crash() {
    let mut s = Story::running(restarting());
    s.tell(1, Event::Ended(End::Reboot));
    assert_eq!(s.tell(1, Event::Planned(Err("no such pool".into()))), [Do::CleanUp]);
    assert_eq!(s.over(), Final::Crashed(End::NotStarted("no such pool".into())));
}

#[test]
fn crashes_pause_longer_each_time_and_have_a_limit() {
    let mut s = Story::running(restarting());
    for nth in 1..=CRASH_LIMIT {
        assert_eq!(s.tell(1, Event::Ended(End::Signal(6))), []);
        let until = s.life.wake_at().unwrap();
        assert_eq!(until - s.now, 1000 << (nth - 1));
        assert_eq!(s.tell(until - s.now - 1, Event::Tick), []);
        assert_eq!(s.tell(1, Event::Tick), [Do::Replan]);
        assert_eq!(s.tell(1, Event::Planned(Ok(()))), [Do::Prepare]);
        s.come_up();
    }
    assert_eq!(s.life.given_up(), None);
    assert_eq!(s.tell(1, Event::Ended(End::Signal(6))), [Do::CleanUp]);
    assert_eq!(s.over(), Final::Crashed(End::Signal(6)));
    assert_eq!(s.life.given_up(), Some(CRASH_LIMIT + 1));
}

#[test]
fn a_steady_life_forgets_older_crashes() {
    let mut s = Story::running(restarting());
    for _ in 0..3 * CRASH_LIMIT {
        assert_eq!(s.tell(STEADY, Event::Ended(End::TripleFault)), []);
        assert_eq!(s.life.crashes, 1);
        assert_eq!(s.tell(1000, Event::Tick), [Do::Replan]);
        s.tell(1, Event::Planned(Ok(())));
        s.come_up();
    }
}

#[test]
fn a_crash_may_be_the_end() {
    let mut s = Story::running(rules(OnEnd::Restart, OnEnd::Stop));
    assert_eq!(s.tell(STEADY, Event::Ended(End::TripleFault)), [Do::CleanUp]);
    assert_eq!(s.over(), Final::Crashed(End::TripleFault));
}

#[test]
fn a_machine_that_dies_at_once_is_not_started_again() {
    let mut s = Story::new(restarting());
    s.tell(1, Event::Prepared(Ok(())));
    s.tell(1, Event::Up);
    assert_eq!(s.tell(299, Event::Ended(End::Status(4))), [Do::CleanUp]);
    assert_eq!(s.over(), Final::Crashed(End::Status(4)));

    let mut s = Story::new(restarting());
    assert_eq!(s.tell(1, Event::Prepared(Err("no tap".into()))), [Do::CleanUp]);
    assert_eq!(s.over(), Final::Crashed(End::NotStarted("no tap".into())));
}

#[test]
fn a_machine_that_never_comes_up_is_ended() {
    let mut s = Story::new(restarting());
    s.tell(0, Event::Prepared(Ok(())));
    assert_eq!(s.tell(UP_WITHIN, Event::Tick), [Do::PullPlug]);
    assert_eq!(s.tell(PULL_GRACE, Event::Tick), [Do::Kill]);
    assert_eq!(s.tell(1, Event::Ended(End::Signal(9))), [Do::CleanUp]);
    assert!(matches!(s.over(), Final::Crashed(End::NotStarted(why)) if why.contains("60 seconds")));
}

#[test]
fn quick_reboots_are_slowed_down_and_never_given_up() {
    let mut s = Story::running(restarting());
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let todo = s.tell(1, Event::Ended(End::Reboot));
        if todo == [Do::Replan] {
            pauses.push(0);
        } else {
            let until = s.life.wake_at().unwrap();
            pauses.push(until - s.now);
            assert_eq!(s.tell(until - s.now, Event::Tick), [Do::Replan]);
        }
        s.tell(1, Event::Planned(Ok(())));
        s.come_up();
    }
    assert_eq!(pauses, [0, 0, 0, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    assert_eq!(s.tell(QUICK_LIFE, Event::Ended(End::Reboot)), [Do::Replan]);
}

#[test]
fn a_stop_asks_again_and_again_and_then_fails() {
    let mut s = Story::running(restarting());
    assert_eq!(s.tell(1, wish(10_000, Force::Never)), [Do::AskPowerOff]);
    assert!(s.life.is_stopping());
    assert_eq!(s.tell(2999, Event::Tick), []);
    assert_eq!(s.tell(1, Event::Tick), [Do::AskPowerOff]);
    assert_eq!(s.tell(3000, Event::Tick), [Do::AskPowerOff]);
    assert_eq!(s.tell(3000, Event::Tick), [Do::AskPowerOff]);
    assert_eq!(s.tell(1000, Event::Tick), [Do::StopFailed(StopFailure::NotObeyed { asked: 4 })]);
    assert_eq!((s.life.phase.clone(), s.life.is_stopping(), s.life.wake_at()), (Phase::Running, false, None));
    // It continues as if nothing had been requested.
    assert_eq!(s.tell(1, Event::Ended(End::Reboot)), [Do::Replan]);
}

#[test]
fn a_paused_guest_is_not_waited_for() {
    let refused = [Do::StopFailed(StopFailure::Paused)];
    let mut s = Story::running(restarting());
    assert_eq!(s.tell(1, Event::Paused), []);
    assert_eq!(s.tell(1, wish(10_000, Force::Never)), refused);
    assert_eq!((s.life.is_stopping(), s.life.wake_at()), (false, None));
    // A guest that is paused while it shuts down: the waiting client is informed then.
    assert_eq!(s.tell(1, Event::Resumed), []);
    assert_eq!(s.tell(1, wish(10_000, Force::Never)), [Do::AskPowerOff]);
    assert_eq!(s.tell(1, Event::Paused), refused);
    assert!(!s.life.is_stopping());
    // A request by a signal stands: it is sent again if the guest is resumed in time.
    let signal = Event::Stop(Wish { timeout: 10_000, force: Force::Never, stands: true });
    assert_eq!(s.tell(1, signal.clone()), refused);
    assert_eq!(s.tell(1, Event::Resumed), []);
    assert_eq!(s.tell(1, Event::Tick), [Do::AskPowerOff]);
    assert_eq!(s.tell(1, Event::Paused), refused);
    assert_eq!(s.tell(10_000, Event::Tick), refused);
    // Forcing needs no cooperation of the guest, even if another client only requests a shutdown meanwhile.
    s.tell(1, wish(10_000, Force::AtDeadline));
    s.tell(1, wish(10_000, Force::Never));
    assert_eq!(s.tell(10_000, Event::Tick), [Do::PullPlug]);
    // Its next run is not paused.
    let mut s = Story::running(restarting());
    s.tell(1, Event::Paused);
    s.tell(QUICK_LIFE, Event::Ended(End::Reboot));
    s.tell(1, Event::Planned(Ok(())));
    s.come_up();
    assert_eq!(s.tell(1, wish(1000, Force::Never)), [Do::AskPowerOff]);
}

#[test]
fn a_stop_forces_only_when_told() {
    let mut s = Story::running(restarting());
    s.tell(1, wish(1000, Force::AtDeadline));
    assert_eq!(s.tell(1000, Event::Tick), [Do::PullPlug]);
    assert_eq!(s.tell(1, Event::Ended(End::Quit)), [Do::CleanUp]);
    assert_eq!(s.over(), Final::Off(End::Quit));

    let mut s = Story::running(restarting());
    assert_eq!(s.tell(1, wish(1000, Force::Now)), [Do::PullPlug]);
    assert_eq!(s.tell(PULL_GRACE, Event::Tick), [Do::Kill]);
    assert_eq!(s.tell(KILL_GRACE, Event::Tick), [Do::StopFailed(StopFailure::NotKilled)]);
    assert_eq!(s.tell(60_000, Event::Ended(End::Signal(9))), [Do::CleanUp]);
    assert_eq!(s.over(), Final::Off(End::Signal(9)));
}

#[test]
fn a_stop_that_is_withdrawn_neither_asks_again_nor_forces() {
    let mut s = Story::running(restarting());
    s.tell(1, wish(10_000, Force::AtDeadline));
    assert_eq!(s.tell(1, Event::Withdrawn), []);
    assert_eq!((s.life.is_stopping(), s.life.wake_at()), (false, None));
    assert_eq!(s.tell(60_000, Event::Tick), []);
    // It obeys an earlier request late.
    assert_eq!(s.tell(1, Event::Ended(End::PowerOff)), [Do::CleanUp]);
}

#[test]
fn a_signal_s_stop_stands_and_is_not_made_stronger_by_who_left() {
    let mut s = Story::running(restarting());
    s.tell(1, Event::Stop(Wish { timeout: 5000, force: Force::Never, stands: true }));
    s.tell(1, wish(5000, Force::AtDeadline));
    s.tell(1, Event::Withdrawn);
    assert!(s.life.is_stopping());
    assert_eq!(s.tell(5000, Event::Tick), [Do::StopFailed(StopFailure::NotObeyed { asked: 1 })]);
}

#[test]
fn a_plug_that_is_pulled_is_pulled() {
    let mut s = Story::running(restarting());
    assert_eq!(s.tell(1, wish(0, Force::Now)), [Do::PullPlug]);
    assert_eq!(s.tell(1, Event::Withdrawn), []);
    assert_eq!(s.tell(PULL_GRACE, Event::Tick), [Do::Kill]);
}

#[test]
fn a_second_stop_is_never_weaker() {
    let mut s = Story::running(restarting());
    s.tell(1, wish(1000, Force::AtDeadline));
    assert_eq!(s.tell(1, wish(500, Force::Never)), []);
    assert_eq!(s.tell(500, Event::Tick), [Do::PullPlug]);

    let mut s = Story::running(restarting());
    s.tell(1, wish(100_000, Force::Never));
    assert_eq!(s.tell(1, wish(0, Force::Now)), [Do::PullPlug]);
}

#[test]
fn a_stop_ends_whatever_the_guest_is_doing() {
    // A reboot during a stop.
    let mut s = Story::running(restarting());
    s.tell(1, wish(60_000, Force::Never));
    assert_eq!(s.tell(1, Event::Ended(End::Reboot)), [Do::CleanUp]);
    assert_eq!(s.over(), Final::Off(End::Reboot));
    // Between two runs.
    let mut s = Story::running(restarting());
    s.tell(1, Event::Ended(End::Reboot));
    assert_eq!(s.tell(1, wish(60_000, Force::Never)), [Do::Abort, Do::CleanUp]);
    assert_eq!(s.tell(1, Event::Planned(Ok(()))), []);
    assert_eq!(s.over(), Final::Off(End::Quit));
    // In the pause after a crash.
    let mut s = Story::running(restarting());
    s.tell(1, Event::Ended(End::Signal(9)));
    assert_eq!(s.tell(1, wish(60_000, Force::Never)), [Do::CleanUp]);
    assert_eq!(s.over(), Final::Off(End::Quit));
    // Before it runs.
    let mut s = Story::new(restarting());
    s.tell(1, Event::Prepared(Ok(())));
    assert_eq!(s.tell(1, wish(60_000, Force::Never)), [Do::PullPlug]);
    assert_eq!(s.tell(1, Event::Ended(End::Signal(9))), [Do::CleanUp]);
    assert_eq!(s.over(), Final::Off(End::Signal(9)));
}

#[test]
fn an_adopted_machine_lives_by_the_same_rules() {
    let s = Story { life: Life::adopted(5, 7), rules: restarting(), now: 5 };
    let mut s = s;
    assert_eq!(s.tell(1, Event::Ended(End::Reboot)), [Do::Replan]);
    assert_eq!(s.life.reboots, 8);
    let mut s = Story { life: Life::adopted(5, 0), rules: restarting(), now: 5 };
    assert_eq!(s.tell(1, Event::Ended(End::Unseen)), []);
    assert!(matches!(s.life.phase, Phase::Pausing { .. }));
}

#[test]
fn a_reset_is_pulled_only_where_something_runs() {
    let mut s = Story::running(restarting());
    assert_eq!(s.tell(1, Event::Reset), [Do::PullReset]);
    s.tell(1, Event::Ended(End::Reboot));
    assert_eq!(s.tell(1, Event::Reset), []);
}
