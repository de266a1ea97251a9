//! Real machines under real supervisors: they start, reboot, stop, crash and are killed.

#![allow(clippy::disallowed_methods)] // the files are the test's own
#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod guest;

use chyves_core::cmd::Cmd;
use chyves_core::error::Kind;
use chyves_core::launch::{ConsoleEnd, OnEnd, Prepare};
use chyves_core::lifecycle::Force;
use chyves_host::control;
use chyves_host::runtime::GuestState;
use chyves_host::supervise::{StopProgress, Stopped};
use guest::{Guest, kill, until};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;

fn prepare(program: &str, args: &[&str], may_fail: bool) -> Prepare {
    Prepare { cmd: Cmd::new(program, args.iter().copied()), may_fail, timeout: 20, loads: false }
}

#[test]
fn a_hypervisor_that_prints_without_end_fills_nothing_and_outlives_its_supervisor() {
    let mut guest = Guest::new();
    // A line for each block of code that the guest executes: two hundred megabytes on the way to its first word.
    guest.launch.hypervisor = guest.launch.hypervisor.clone().args(["-d", "exec,nochain"]);
    guest.tell_spec();
    let started = guest.start().unwrap();
    let mut console = guest.console();
    console.expect("tiny: ready 1");
    let size = |guest: &Guest| ["hypervisor.log", "hypervisor.log.1"].map(|name| guest.log(name).len()).iter().sum::<usize>();
    until("what is not kept", || guest.log("hypervisor.log").contains("prints more than is kept").then_some(()));
    assert!(size(&guest) <= 1 << 20);
    // Nobody reads now. It goes on, and who takes it over reads on.
    let ticks = |pid: u32| -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<u64> = text.rsplit_once(')').unwrap().1.split_ascii_whitespace().skip(1).filter_map(|f| f.parse().ok()).collect();
        fields[10] + fields[11]
    };
    kill(started.supervisor);
    guest.until_state("orphaned");
    console = {
        let before = ticks(started.machine);
        drop(console);
        guest.take_over().unwrap();
        until("its own time to pass", || (ticks(started.machine) > before).then_some(()));
        guest.console()
    };
    console.say("r");
    console.expect("tiny: ready 2");
    assert!(size(&guest) <= 1 << 20);
    drop(console);
    guest.stop(None, Force::Never).unwrap();
    guest.is_gone();
}

#[test]
fn a_guest_starts_reboots_with_its_new_settings_and_stops() {
    let mut guest = Guest::new();
    let marker = guest.temp.path().join("cleaned");
    guest.launch.before = vec![prepare("echo", &["hello world"], false), prepare("false", &[], true)];
    guest.launch.after = vec![
        Cmd::new("chyves-no-such-program", [""; 0]),
        Cmd::new("touch", [marker.to_str().unwrap()]),
        // The last thing may be to unmount the guest's file system, so nothing of it is open any more.
        Cmd::new("sh", ["-c", "! ls -l /proc/$PPID/fd | grep -F \"$0\"", &guest.launch.log_dir.to_string()]),
    ];
    guest.tell_spec();
    let started = guest.start().unwrap();
    assert_eq!(guest.ran, ["echo 'hello world'", "false", &guest.launch.hypervisor.to_string(), "running"]);
    assert_eq!(guest.state(), GuestState::Running);
    assert_eq!(guest.machine(), started.machine);
    let mut console = guest.console();
    console.expect("tiny: ready 1");

    // As if somebody had set properties: the next life has them.
    guest.launch.hypervisor = guest.launch.hypervisor.clone().args(["-name", "renamed"]);
    guest.tell_spec();
    console.say("r");
    console.expect("tiny: ready 2");
    let status = control::status(&guest.rt, guest.launch.uuid).unwrap().unwrap();
    assert_eq!((status.supervisor, status.reboots, status.watching), (started.supervisor, 1, 1));
    assert_ne!(status.machine, Some(started.machine));
    assert!(status.command.ends_with("-name renamed"), "{}", status.command);
    assert!(!marker.exists(), "a reboot is not an end");

    let (stopped, seen) = guest.stop_seen(None, Force::Never).unwrap();
    let complaint = "the program `chyves-no-such-program` is not installed or not on the path";
    let words = format!("the guest powered off; not all could be cleaned up: {complaint}");
    assert_eq!(stopped, Stopped::Gone(words));
    assert!(!seen.is_empty() && seen.iter().all(|p| *p == StopProgress::Asked), "{seen:?}");
    assert!(marker.exists());
    guest.is_gone();
    assert_eq!(console.until_end().matches("tiny: power button").count(), 1);
    let log = guest.log("console.log");
    assert!(log.contains("tiny: ready 1") && log.contains("tiny: ready 2"), "{log:?}");
    assert_eq!(guest.stop(None, Force::Never).unwrap(), Stopped::WasNot);
}

#[test]
fn a_serial_port_that_comes_after_the_monitor_does_not_keep_the_guest_from_running() {
    let mut guest = Guest::new();
    let ConsoleEnd::Socket { path: port } = guest.launch.console.clone() else { panic!("a socket") };
    // The monitor waits for the port by the time that the name of its socket appears.
    let real = guest.temp.path().join("port");
    let mut hypervisor = guest.launch.hypervisor.clone();
    for arg in &mut hypervisor.args {
        *arg = arg.replace(&port, real.to_str().unwrap());
    }
    let script = format!("(sleep 1; ln -s {} {port}) >&- 2>&- & exec \"$@\"", real.display());
    guest.launch.hypervisor = Cmd::new("sh", ["-c", &script, "sh", &hypervisor.program]).args(&hypervisor.args);
    guest.tell_spec();
    guest.start().unwrap();
    guest.console().expect("tiny: ready 1");
    guest.stop(None, Force::Never).unwrap();
    guest.is_gone();
}

#[test]
fn a_machine_that_dies_at_once_says_why_and_leaves_nothing() {
    let mut guest = Guest::new();
    let marker = guest.temp.path().join("cleaned");
    guest.launch.after = vec![Cmd::new("touch", [marker.to_str().unwrap()])];
    guest.launch.policy.on_crash = OnEnd::Restart;
    guest.launch.hypervisor = guest.launch.hypervisor.clone().args(["-device", "no-such-device"]);
    let problem = guest.start().unwrap_err();
    assert_eq!(problem.code, Kind::Failed);
    assert_eq!(problem.message, "`tiny` did not start: the hypervisor ended with status 1");
    assert!(problem.causes[0].contains("'no-such-device' is not a valid device model name"), "{problem:?}");
    // Its command line is too long to be read in an error.
    assert_eq!(problem.hints[0], "`chyves start tiny --dry-run` shows the command");
    assert!(marker.exists());
    guest.is_gone();
}

#[test]
fn a_missing_program_and_a_failing_preparation_are_told_apart() {
    let mut guest = Guest::new();
    guest.launch.before = vec![prepare("ls", &["/no/such/path"], false)];
    let problem = guest.start().unwrap_err();
    assert_eq!(problem.code, Kind::Failed);
    assert!(problem.message.starts_with("`tiny` did not start: `ls` ended with status 2: "), "{problem:?}");
    assert_eq!(guest.ran, ["ls /no/such/path"]);
    guest.is_gone();

    guest.launch.before.clear();
    guest.launch.hypervisor.program = "qemu-that-is-not-there".into();
    let problem = guest.start().unwrap_err();
    assert_eq!(problem.code, Kind::HostCant);
    assert!(problem.message.contains("`qemu-that-is-not-there` is not installed"), "{problem:?}");
    guest.is_gone();
}

#[test]
fn a_guest_that_powers_off_at_once_did_not_start() {
    let mut guest = Guest::new();
    // A hypervisor that leaves without a word.
    guest.launch.hypervisor = Cmd::new("true", [""; 0]);
    let problem = guest.start().unwrap_err();
    assert_eq!(problem.message, "`tiny` did not start: it was ended from the host");
    guest.is_gone();
}

#[test]
fn what_runs_is_not_started_twice() {
    let mut guest = Guest::new();
    let started = guest.start().unwrap();
    let problem = guest.start().unwrap_err();
    assert_eq!((problem.code, problem.message.as_str()), (Kind::NotNow, "`tiny` has a supervisor already"));
    assert_eq!(problem.causes, [format!("process {} is it", started.supervisor)]);
    guest.launch.dataset = "backup/chyves/guests/tiny".parse().unwrap();
    let problem = guest.start().unwrap_err();
    assert!(problem.causes[1].contains("it runs from `tank/chyves/guests/tiny`"), "{problem:?}");
    assert_eq!(guest.state(), GuestState::Stopped, "the copy is not running");
    assert_eq!(guest.stop(Some(0), Force::Now).unwrap(), Stopped::WasNot, "the copy cannot stop the other");
    guest.launch.dataset = "tank/chyves/guests/tiny".parse().unwrap();
    assert_eq!(guest.state(), GuestState::Running);
}

#[test]
fn a_deaf_guest_is_forced_only_when_told() {
    let mut guest = Guest::deaf();
    guest.start().unwrap();
    let mut console = guest.console();
    console.expect("tiny: ready 1");
    let problem = guest.stop(Some(1), Force::Never).unwrap_err();
    assert_eq!(problem.code, Kind::NotNow);
    assert!(problem.causes[0].contains("pressed once"), "{problem:?}");
    assert_eq!(guest.state(), GuestState::Running);
    console.say("i");
    console.expect("tiny: ready 1");
    let (stopped, seen) = guest.stop_seen(Some(1), Force::AtDeadline).unwrap();
    assert_eq!(stopped, Stopped::Gone("it was powered off forcibly".into()));
    assert_eq!(seen, [StopProgress::Asked, StopProgress::Forced]);
    guest.is_gone();
}

#[test]
fn a_killed_machine_is_a_crash_and_the_next_start_cleans_up() {
    let mut guest = Guest::new();
    // What a plan puts into the folder for its machine.
    let secret = guest.rt.guest_dir(guest.launch.uuid).join("secret");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(secret.parent().unwrap()).unwrap();
    std::fs::write(&secret, "x").unwrap();
    guest.start().unwrap();
    assert!(secret.exists());
    kill(guest.machine());
    let state = guest.until_state("crashed");
    assert_eq!(state, GuestState::Crashed { reason: "the hypervisor was ended by signal 9".into() });
    assert_eq!(guest.rt.observe_all().unwrap().len(), 1);
    assert_eq!(guest.stop(None, Force::Never).unwrap(), Stopped::WasNot);
    guest.start().unwrap();
    assert_eq!(guest.state(), GuestState::Running);
    guest.console().expect("tiny: ready");
}

#[test]
fn a_killed_machine_is_started_again_where_so_set() {
    let mut guest = Guest::new();
    guest.launch.policy.on_crash = OnEnd::Restart;
    guest.tell_spec();
    guest.start().unwrap();
    let mut console = guest.console();
    console.expect("tiny: ready 1");
    let first = guest.machine();
    kill(first);
    console.expect("tiny: ready 2");
    let status = control::status(&guest.rt, guest.launch.uuid).unwrap().unwrap();
    assert_eq!((status.crashes, status.reboots), (1, 0));
    assert_ne!(guest.machine(), first);
}

#[test]
fn a_machine_outlives_its_supervisor_and_is_taken_over() {
    let mut guest = Guest::new();
    let started = guest.start().unwrap();
    guest.console().expect("tiny: ready 1");
    kill(started.supervisor);
    guest.until_state("orphaned");
    let problem = guest.start().unwrap_err();
    assert_eq!(problem.code, Kind::NotNow);
    assert!(problem.message.contains("without its supervisor"), "{problem:?}");

    let again = guest.take_over().unwrap();
    assert_eq!(again.machine, started.machine);
    assert_ne!(again.supervisor, started.supervisor);
    assert_eq!(guest.state(), GuestState::Running);
    let mut console = guest.console();
    console.expect("tiny: ready 1"); // from the log: it was said to the first supervisor
    console.say("i");
    console.expect("tiny: ready 1");
    assert_eq!(guest.take_over().unwrap_err().code, Kind::NotNow);
    // It is no child of this supervisor, and yet its reboot is seen for what it is.
    console.say("r");
    console.expect("tiny: ready 2");
    assert_eq!(control::status(&guest.rt, guest.launch.uuid).unwrap().unwrap().reboots, 1);
    console.say("p");
    guest.until_state("stopped");
    assert!(console.until_end().contains("tiny: bye"));
    guest.is_gone();
}

#[test]
fn a_stop_takes_an_orphan_over_first() {
    let mut guest = Guest::new();
    let started = guest.start().unwrap();
    guest.console().expect("tiny: ready 1");
    kill(started.supervisor);
    guest.until_state("orphaned");
    let (stopped, seen) = guest.stop_seen(None, Force::Never).unwrap();
    assert_eq!(stopped, Stopped::Gone("the guest powered off".into()));
    assert_eq!(seen[..2], [StopProgress::TakenOver, StopProgress::Asked]);
    guest.is_gone();
}

#[test]
fn an_orphan_that_is_killed_leaves_a_crash_that_the_next_start_cleans() {
    let mut guest = Guest::new();
    let started = guest.start().unwrap();
    kill(started.supervisor);
    kill(started.machine);
    let state = guest.until_state("crashed");
    assert!(matches!(state, GuestState::Crashed { reason } if reason.contains("both gone")));
    assert_eq!(guest.take_over().unwrap_err().code, Kind::NotNow);
    guest.start().unwrap();
    guest.console().expect("tiny: ready");
}

#[test]
fn a_machine_killed_under_a_second_supervisor_is_seen_gone() {
    let mut guest = Guest::new();
    let started = guest.start().unwrap();
    kill(started.supervisor);
    guest.until_state("orphaned");
    guest.take_over().unwrap();
    kill(started.machine);
    let state = guest.until_state("crashed");
    assert!(matches!(state, GuestState::Crashed { reason } if reason.contains("how it ended is not known")));
}

#[test]
fn a_frozen_orphan_is_given_back_and_can_be_forced() {
    let mut guest = Guest::new();
    let started = guest.start().unwrap();
    kill(started.supervisor);
    guest.until_state("orphaned");
    let machine = rustix::process::Pid::from_raw(started.machine.cast_signed()).unwrap();
    rustix::process::kill_process(machine, rustix::process::Signal::STOP).unwrap();
    let problem = guest.take_over().unwrap_err();
    assert!(problem.message.contains("its VM does not answer"), "{problem:?}");
    assert_eq!(guest.state(), GuestState::Orphaned);
    let (stopped, seen) = guest.stop_seen(Some(0), Force::Now).unwrap();
    assert!(matches!(stopped, Stopped::Gone(_)));
    assert_eq!(seen, [StopProgress::TakenOver, StopProgress::Forced]);
    guest.is_gone();
}

#[test]
fn a_released_machine_goes_on_without_a_gap() {
    let mut guest = Guest::new();
    let started = guest.start().unwrap();
    control::release(&guest.rt, guest.target()).unwrap();
    assert_eq!(guest.state(), GuestState::Orphaned);
    assert_eq!(guest.take_over().unwrap().machine, started.machine);
}

#[test]
fn a_reset_from_outside_is_a_reboot() {
    let mut guest = Guest::new();
    guest.start().unwrap();
    let mut console = guest.console();
    console.expect("tiny: ready 1");
    control::reset(&guest.rt, guest.target()).unwrap();
    console.expect("tiny: ready 2");
    assert_eq!(guest.record().reboots, 1);
}

#[test]
fn a_triple_fault_looks_like_a_reboot_to_qemu() {
    let mut guest = Guest::new();
    guest.start().unwrap();
    let mut console = guest.console();
    console.expect("tiny: ready 1");
    console.say("t");
    console.expect("tiny: ready 2");
}

#[test]
fn a_reboot_that_can_not_be_planned_ends_as_a_crash() {
    let mut guest = Guest::new();
    guest.launch.policy.on_crash = OnEnd::Restart;
    guest.start().unwrap();
    let mut console = guest.console();
    console.expect("tiny: ready 1");
    std::fs::remove_file(guest.spec()).unwrap();
    console.say("r");
    let GuestState::Crashed { reason } = guest.until_state("crashed") else { unreachable!() };
    assert!(reason.contains("cannot be started again") && reason.contains("there is no such guest any more"), "{reason}");
    assert!(guest.log("hypervisor.log").contains("there is no such guest any more"));
}

#[test]
fn a_reboot_may_be_the_end() {
    let mut guest = Guest::new();
    guest.launch.policy.on_reboot = OnEnd::Stop;
    guest.start().unwrap();
    let mut console = guest.console();
    console.expect("tiny: ready 1");
    console.say("r");
    guest.until_state("stopped");
    guest.is_gone();
}

#[test]
fn many_sit_at_the_console_and_a_stuck_one_hurts_nobody() {
    let mut guest = Guest::new();
    guest.start().unwrap();
    let mut one = guest.console();
    let mut watcher = guest.console_as(true);
    let stuck = UnixStream::connect(guest.rt.guest_dir(guest.launch.uuid).join("control")).unwrap();
    (&stuck).write_all(b"{\"ask\":\"console\",\"read_only\":false}\n").unwrap();
    one.expect("tiny: ready 1");
    watcher.expect("tiny: ready 1");
    watcher.say("p");
    for _ in 0..200 {
        one.say("i");
        one.expect("tiny: ready 1");
        watcher.expect("tiny: ready 1");
    }
    drop(one);
    let mut late = guest.console();
    late.expect("tiny: ready 1"); // the scroll-back
    assert_eq!(guest.state(), GuestState::Running, "one who only watches cannot power it off");
    drop(stuck);
}

#[test]
fn a_log_folder_that_vanishes_does_not_end_the_machine() {
    let mut guest = Guest::new();
    guest.start().unwrap();
    let mut console = guest.console();
    console.expect("tiny: ready 1");
    std::fs::remove_dir_all(guest.launch.log_dir.to_string()).unwrap();
    console.say("i");
    console.expect("tiny: ready 1");
    console.say("r");
    console.expect("tiny: ready 2");
    assert_eq!(guest.stop(None, Force::Never).unwrap(), Stopped::Gone("the guest powered off".into()));
}

#[test]
fn a_signal_to_the_supervisor_stops_the_guest_in_order() {
    let mut guest = Guest::new();
    let started = guest.start().unwrap();
    let mut console = guest.console();
    console.expect("tiny: ready 1");
    let pid = rustix::process::Pid::from_raw(started.supervisor.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    console.expect("tiny: power button");
    guest.until_state("stopped");
    until("the folder to go", || (!guest.rt.guest_dir(guest.launch.uuid).exists()).then_some(()));
}

#[test]
fn a_supervisor_is_small() {
    let mut guest = Guest::new();
    let started = guest.start().unwrap();
    let mut console = guest.console();
    console.expect("tiny: ready 1");
    console.say("r");
    console.expect("tiny: ready 2");
    let status = std::fs::read_to_string(format!("/proc/{}/status", started.supervisor)).unwrap();
    let kib: u64 = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap().trim().trim_end_matches(" kB").parse().unwrap();
    let anonymous: u64 = status.lines().find_map(|l| l.strip_prefix("RssAnon:")).unwrap().trim().trim_end_matches(" kB").parse().unwrap();
    eprintln!("VmRSS {kib} KiB, of which anonymous {anonymous} KiB");
    // What is mapped of an unoptimised program is no measure; what it allocates is.
    assert!(anonymous <= 1024, "{anonymous} KiB");
    if !cfg!(debug_assertions) {
        assert!(kib <= 4096, "{kib} KiB");
    }
}
