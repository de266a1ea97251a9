//! The ways of bhyve, with a stand-in that ends as it is told: exit statuses, the power button by SIGTERM, a VM object to
//! remove before each start, the console on a terminal device.

#![allow(clippy::disallowed_methods)] // the files are the test's own
#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod guest;

use chyves_core::cmd::Cmd;
use chyves_core::launch::{ConsoleEnd, Control, OnEnd, Prepare};
use chyves_core::lifecycle::Force;
use chyves_core::vmm::Vmm;
use chyves_host::control;
use chyves_host::runtime::GuestState;
use chyves_host::supervise::{self, StopProgress, Stopped};
use guest::{Guest, until};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// Counts its lives in a file, then ends with the status that the next line of another file says, or waits for the button.
/// It lives a little before it ends: longer than what counts as dying at once.
const STAND_IN: &str = r#"
echo life >> "$1/lives"
[ ! -e "$1/boots" ] || until [ -e "$1/acpi" ]; do sleep 0.05; done
trap 'echo button >> "$1/lives"; exit 1' TERM
status=$(head -n 1 "$1/ends")
sed -i 1d "$1/ends"
case $status in
usage) echo 'Usage: bhyve [-AaCDeHhPSuWwxY]' >&2; exit 1 ;;
kill) kill -9 $$ ;;
?*) sleep 1.2; exit $status ;;
esac
while :; do sleep 0.05; done
"#;

struct Bhyve {
    guest: Guest,
    /// The machine's side of the console.
    console: File,
}

impl Bhyve {
    fn new(ends: &str) -> Self {
        let mut guest = Guest::new();
        let pair = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&pair).unwrap();
        unlockpt(&pair).unwrap();
        let path = ptsname(&pair, Vec::new()).unwrap().into_string().unwrap();
        let folder = guest.temp.path().to_str().unwrap().to_owned();
        let destroy = Cmd::new("sh", ["-c", &format!("echo destroy >> {folder}/lives")]);
        guest.launch.vmm = Vmm::Bhyve;
        guest.launch.control = Control::Bhyve { vm: "tiny".into() };
        guest.launch.console = ConsoleEnd::Device { path };
        guest.launch.before = vec![Prepare { cmd: destroy.clone(), may_fail: true, timeout: 20, loads: false }];
        guest.launch.after = vec![destroy];
        guest.launch.hypervisor = Cmd::new("sh", ["-c", STAND_IN, "bhyve", &folder]);
        let bhyve = Self { guest, console: File::from(pair) };
        std::fs::write(bhyve.file("ends"), ends).unwrap();
        bhyve.guest.tell_spec();
        bhyve
    }

    fn file(&self, name: &str) -> PathBuf {
        self.guest.temp.path().join(name)
    }

    fn lives(&self) -> String {
        std::fs::read_to_string(self.file("lives")).unwrap_or_default().replace('\n', " ")
    }
}

#[test]
fn each_exit_means_what_the_table_says() {
    let mut bhyve = Bhyve::new("0\n0\n2\n");
    bhyve.guest.start().unwrap();
    bhyve.guest.until_state("stopped");
    assert_eq!(bhyve.lives(), "destroy life destroy life destroy life destroy ");

    let mut bhyve = Bhyve::new("3\n");
    bhyve.guest.start().unwrap();
    assert_eq!(bhyve.guest.until_state("crashed"), GuestState::Crashed { reason: "the guest had a triple fault".into() });
    assert_eq!(bhyve.lives(), "destroy life destroy ");
}

#[test]
fn a_crash_is_followed_by_a_restart_where_so_set() {
    let mut bhyve = Bhyve::new("4\n1\n");
    bhyve.guest.launch.policy.on_crash = OnEnd::Restart;
    bhyve.guest.tell_spec();
    bhyve.guest.start().unwrap();
    bhyve.guest.until_state("stopped");
    assert_eq!(bhyve.lives(), "destroy life destroy life destroy ");
}

#[test]
fn a_wrong_command_line_is_no_power_off() {
    let mut bhyve = Bhyve::new("usage\n");
    bhyve.console.write_all(b"\x1b[2JBooting\r\n\r\n").unwrap();
    let problem = bhyve.guest.start().unwrap_err();
    assert_eq!(problem.message, "`tiny` did not start: the hypervisor ended with status 1");
    assert!(problem.causes[0].contains("Usage: bhyve"), "{problem:?}");
    assert_eq!(problem.causes[1], "the console's last lines: \\u{1b}[2JBooting");
    bhyve.guest.is_gone();
    let mut bhyve = Bhyve::new("kill\n");
    assert!(bhyve.guest.start().unwrap_err().message.ends_with("was ended by signal 9"));
}

#[test]
fn the_button_is_a_signal_and_the_console_a_device() {
    let mut bhyve = Bhyve::new("");
    bhyve.guest.start().unwrap();
    let mut console = bhyve.guest.console();
    bhyve.console.write_all(b"FreeBSD/amd64 (tiny) (ttyu0)\r\n").unwrap();
    console.expect("(ttyu0)");
    console.say("root\r");
    let mut typed = [0; 5];
    bhyve.console.read_exact(&mut typed).unwrap();
    assert_eq!(&typed, b"root\r");
    let (stopped, seen) = bhyve.guest.stop_seen(None, Force::Never).unwrap();
    assert_eq!(stopped, Stopped::Gone("the guest powered off".into()));
    assert_eq!(seen[0], StopProgress::Asked);
    assert_eq!(bhyve.lives(), "destroy life button destroy ");
}

#[test]
fn the_button_is_not_pressed_before_it_is_one() {
    let mut bhyve = Bhyve::new("");
    std::fs::write(bhyve.file("boots"), "").unwrap();
    bhyve.guest.start().unwrap();
    // A SIGTERM would kill it now.
    let refusal = bhyve.guest.stop_seen(Some(4), Force::Never).unwrap_err();
    assert!(refusal.causes[0].contains("has not enabled ACPI"), "{refusal:?}");
    assert_eq!(bhyve.guest.state(), GuestState::Running);
    let at_acpi = bhyve.file("acpi");
    let mut seen = Vec::new();
    let how = supervise::How { timeout: None, force: Force::Never };
    let stopped = supervise::stop(&bhyve.guest.rt, bhyve.guest.target(), how, &bhyve.guest.spawner, &AtomicBool::new(false), &mut |p| {
        seen.push(p);
        std::fs::write(&at_acpi, "").unwrap();
    });
    assert_eq!(stopped.unwrap(), Stopped::Gone("the guest powered off".into()));
    assert_eq!(seen[..2], [StopProgress::NotYet, StopProgress::Asked]);
    assert_eq!(bhyve.lives(), "destroy life button destroy ");
}

#[test]
fn a_stop_in_a_pause_after_a_crash_ends_it() {
    let mut bhyve = Bhyve::new("4\n4\n4\n4\n4\n4\n");
    bhyve.guest.launch.policy.on_crash = OnEnd::Restart;
    bhyve.guest.tell_spec();
    bhyve.guest.start().unwrap();
    until("a second crash", || {
        control::status(&bhyve.guest.rt, bhyve.guest.launch.uuid).unwrap().filter(|s| s.crashes == 2 && s.machine.is_none())
    });
    assert_eq!(bhyve.guest.stop(None, Force::Never).unwrap(), Stopped::Gone("it was ended from the host".into()));
    bhyve.guest.is_gone();
    assert_eq!(bhyve.lives().matches("life").count(), 2);
}
