//! The life of a running guest: QEMU from its start to its end, the signals and words that reach bhyve meanwhile, and the
//! exit status in which bhyve says how it ended.
//!
//! | end | status | how it is known |
//! |---|---|---|
//! | reboot | 0 | QEMU's SHUTDOWN event, reason guest-reset (`-no-reboot`) |
//! | power off | 1 | the same, guest-shutdown |
//! | halt | 2 | all processors stand still with interrupts off |
//! | triple fault | 3 | a reset, and the line "Triple fault" in QEMU's log |
//! | error | 4 | QEMU ended otherwise, or the VM was destroyed |

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use signal_hook::consts::{SIGCHLD, SIGTERM};
use signal_hook::low_level;

use super::config::ERROR;
use super::qmp::Qmp;
use super::{ORDER, Order};
use crate::exit::{Done, Or, broken, exit};
use crate::host::Acpi;
use crate::ip;
use crate::place::Place;
use crate::tool::sysctl_value;
use crate::vm::{self, Word};

/// How often the guest's registers are looked at, nanoseconds.
const LOOK: i64 = 200_000_000;

/// How a guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Reboot,
    PowerOff,
    Halt,
    TripleFault,
    Destroyed,
    Error,
    /// Ended by SIGTERM, which is deadly as long as the guest has no ACPI.
    Killed,
}

impl End {
    fn status(self) -> u8 {
        match self {
            End::Reboot => 0,
            End::PowerOff => 1,
            End::Halt => 2,
            End::TripleFault => 3,
            End::Destroyed | End::Error | End::Killed => ERROR,
        }
    }
}

/// bhyve, once it has its title.
pub(crate) fn run_prepared() -> Done {
    let file = std::env::var_os(ORDER).ok_or_else(|| broken("a bhyve without an order"))?;
    let text = fs::read_to_string(&file).or_broken("an order")?;
    let order: Order = serde_json::from_str(&text).or_broken("an order")?;
    let place = Place::from_env()?;
    let end = if order.empty {
        eprintln!("lab: nothing was loaded into the VM: the processor runs into a triple fault");
        Ok(End::TripleFault)
    } else {
        live(&place, &order)
    };
    clean_up(&place, &order, end.as_ref().ok().copied());
    match end? {
        End::Killed => {
            // The default action, by which a parent sees the signal.
            let _ = low_level::emulate_default_handler(SIGTERM);
            exit(ERROR, "")
        }
        End::Reboot => Ok(()),
        end => exit(end.status(), ""),
    }
}

fn live(place: &Place, order: &Order) -> Done<End> {
    let pid = std::process::id();
    let socket = vm::socket(place, pid);
    let words = UnixDatagram::bind(&socket).or_broken(socket.display())?;
    words.set_nonblocking(true).or_broken(socket.display())?;
    let (terms, button) = UnixStream::pair().or_broken("a pipe")?;
    let (children, sender) = UnixStream::pair().or_broken("a pipe")?;
    low_level::pipe::register(SIGCHLD, sender).or_broken("SIGCHLD")?;
    for pipe in [&terms, &children] {
        pipe.set_nonblocking(true).or_broken("a pipe")?;
    }

    let monitor = place.path(&format!("ctl/{pid}.qmp"));
    let listener = UnixListener::bind(&monitor).or_broken(monitor.display())?;
    let mut qemu = spawn(order, &monitor)?;
    if let Ok(mut vm) = vm::open(place, &order.name)? {
        vm.qemu = qemu.id();
        vm::write(place, &order.name, &vm)?;
    }
    let connected = connect(&listener, &children, &mut qemu);
    let _ = fs::remove_file(&monitor);
    // QEMU's own words are all that there is to say about its failing.
    let failed = || {
        let said = fs::read_to_string(order.scratch.join("stderr")).unwrap_or_default();
        exit(ERROR, format!("lab: QEMU failed: {}\nDevice emulation initialization error: Invalid argument", said.trim()))
    };
    let Some(stream) = connected else { return failed() };
    let taps_up = sysctl_value(place, "net.link.tap.up_on_open")?.as_deref() == Some("1");
    for tap in order.taps.iter().filter(|_| taps_up) {
        ip::run(&["link", "set", tap, "up"])?;
    }
    let mut guest =
        Guest { place, order, qmp: Qmp::new(stream), qemu: qemu.id(), wanted: None, halted: 0, button: Button { sender: Some(button) } };
    let end = guest.watch(&terms, &children, &words, &mut qemu);
    let _ = qemu.kill();
    let _ = qemu.wait();
    if let Ok(End::Error) = end { failed() } else { end }
}

/// Starts QEMU. It dies with bhyve, whatever ends that.
fn spawn(order: &Order, monitor: &Path) -> Done<Child> {
    let stderr = File::create(order.scratch.join("stderr")).or_broken("QEMU's standard error")?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    command.args(&order.qemu);
    command.arg("-chardev").arg(format!("socket,id=monitor,path={}", monitor.display()));
    command.args(["-mon", "chardev=monitor,mode=control"]);
    // A VNC server needs no display; without one, QEMU must not open any.
    command.stderr(stderr).spawn().or_broken("setpriv qemu-system-x86_64")
}

/// QEMU's connection to our monitor socket; none when it ended before that.
fn connect(listener: &UnixListener, children: &UnixStream, qemu: &mut Child) -> Option<UnixStream> {
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(children, PollFlags::IN)];
        let _ = poll(&mut fds, None);
        if fds[0].revents().contains(PollFlags::IN) {
            return listener.accept().ok().map(|(stream, _)| stream);
        }
        if !matches!(qemu.try_wait(), Ok(None)) {
            return None;
        }
        drain(children);
    }
}

struct Guest<'a> {
    place: &'a Place,
    order: &'a Order,
    qmp: Qmp,
    qemu: u32,
    /// The end that was asked for from outside.
    wanted: Option<End>,
    /// How often all processors were seen standing still.
    halted: u8,
    button: Button,
}

/// SIGTERM as the power button. As with bhyve it is one only once the guest has switched ACPI on; before that it has its
/// default action, which anybody can see of the process.
struct Button {
    sender: Option<UnixStream>,
}

impl Button {
    fn connect(&mut self) -> Done {
        match self.sender.take() {
            Some(sender) => low_level::pipe::register(SIGTERM, sender).map(drop).or_broken("SIGTERM"),
            None => Ok(()),
        }
    }
}

impl Guest<'_> {
    /// Waits for the end, doing what is asked meanwhile.
    fn watch(&mut self, terms: &UnixStream, children: &UnixStream, words: &UnixDatagram, qemu: &mut Child) -> Done<End> {
        let mut said = None;
        loop {
            self.drain_events(&mut said);
            // Its events are read to their end before its exit counts.
            if self.qmp.closed() {
                let left = qemu.wait().or_broken("QEMU")?;
                return Ok(self.judge(said.as_deref(), left.success()));
            }
            if self.button.sender.is_some() && self.has_acpi() {
                self.button.connect()?;
            }
            let looks = self.order.halts || self.button.sender.is_some() && self.order.acpi;
            let pause = looks.then_some(Timespec { tv_sec: 0, tv_nsec: LOOK });
            let mut fds = [
                PollFd::from_borrowed_fd(self.qmp.fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(terms.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(words.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(children.as_fd(), PollFlags::IN),
            ];
            let ready = poll(&mut fds, pause.as_ref()).unwrap_or(0);
            let [monitor, term, word, child] = fds.map(|fd| !fd.revents().is_empty());
            if child {
                drain(children);
            }
            if monitor {
                self.qmp.pump();
            }
            if term {
                drain(terms);
                self.power_button();
            }
            if word {
                self.obey(words);
            }
            if ready == 0 && self.order.halts && self.stands_still() {
                self.end(End::Halt);
            }
        }
    }

    /// Keeps the reason of a shutdown, and lets the guest go once its viewer has come.
    fn drain_events(&mut self, said: &mut Option<String>) {
        while let Some(event) = self.qmp.event() {
            match event["event"].as_str().unwrap_or_default() {
                "SHUTDOWN" => *said = event["data"]["reason"].as_str().map(str::to_owned),
                "VNC_INITIALIZED" if self.order.wait_for_viewer => {
                    self.qmp.execute("cont", &json!({}));
                }
                _ => {}
            }
        }
    }

    fn judge(&self, said: Option<&str>, orderly: bool) -> End {
        if let Some(wanted) = self.wanted {
            return wanted;
        }
        match said {
            Some("guest-reset") if self.faulted() => End::TripleFault,
            Some("guest-reset") => End::Reboot,
            Some("guest-shutdown") if orderly => End::PowerOff,
            _ => End::Error,
        }
    }

    /// QEMU reports a triple fault as a reset; only its log tells them apart. The log is whole: QEMU has ended.
    fn faulted(&self) -> bool {
        let log = fs::read(self.order.scratch.join("log")).unwrap_or_default();
        log.split(|byte| *byte == b'\n').any(|line| line == b"Triple fault")
    }

    /// SIGTERM presses the power button where the guest has ACPI, and is deadly where it has switched it off again.
    fn power_button(&mut self) {
        if self.has_acpi() {
            self.qmp.execute("system_powerdown", &json!({}));
        } else {
            self.end(End::Killed);
        }
    }

    fn has_acpi(&mut self) -> bool {
        self.order.acpi && (self.place.host.acpi == Acpi::On || self.acpi_is_on())
    }

    /// Has the guest switched ACPI on, or does it at least look at the button? The ICH9's power management registers are
    /// at 0x600, where both firmwares put them: the button's enable bit in 0x602, SCI_EN in 0x604.
    fn acpi_is_on(&mut self) -> bool {
        let mut bit = |port: &str, bit: u32| {
            let text = self.qmp.text(&format!("i /h {port}"));
            let value = text.rsplit("0x").next().and_then(|hex| u32::from_str_radix(hex.trim(), 16).ok());
            value.is_some_and(|value| value != 0xffff && value & bit != 0)
        };
        bit("0x604", 0x1) || bit("0x602", 0x100)
    }

    fn obey(&mut self, words: &UnixDatagram) {
        let mut bytes = [0; 64];
        while let Ok(count) = words.recv(&mut bytes) {
            match Word::parse(&bytes[..count]) {
                Some(Word::Poweroff) => self.end(End::PowerOff),
                Some(Word::Reset) => self.end(End::Reboot),
                Some(Word::Destroy) => self.end(End::Destroyed),
                Some(Word::Nmi) => {
                    self.qmp.execute("inject-nmi", &json!({}));
                }
                None => {}
            }
        }
    }

    /// Ends QEMU from outside; the first reason counts.
    fn end(&mut self, end: End) {
        if self.wanted.is_none() {
            self.wanted = Some(end);
            if self.qmp.execute("quit", &json!({})).is_none() && !self.qmp.closed() {
                // It hangs.
                let pid = i32::try_from(self.qemu).ok().and_then(Pid::from_raw);
                let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
            }
        }
    }

    /// Do all processors stand still with interrupts off, twice in a row? Nothing wakes them any more.
    fn stands_still(&mut self) -> bool {
        let text = self.qmp.text("info registers -a");
        let mut processors = text.lines().filter(|line| line.contains("HLT=")).peekable();
        let still = processors.peek().is_some() && processors.all(|line| line.contains("HLT=1") && interrupts_off(line));
        self.halted = if still { self.halted + 1 } else { 0 };
        self.halted >= 2
    }
}

/// A line such as `EIP=00007d2c EFL=00000046 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1`.
fn interrupts_off(line: &str) -> bool {
    let flags = line.split("FL=").nth(1).and_then(|rest| rest.split_whitespace().next());
    flags.and_then(|hex| u64::from_str_radix(hex, 16).ok()).is_some_and(|flags| flags & 0x200 == 0)
}

fn drain(mut pipe: &UnixStream) {
    let mut bytes = [0; 64];
    while std::io::Read::read(&mut pipe, &mut bytes).is_ok_and(|count| count > 0) {}
}

/// What bhyve's end does to the host: a tap goes down and loses its addresses, a console's socket stays behind.
fn clean_up(place: &Place, order: &Order, end: Option<End>) {
    for tap in order.taps.iter().filter(|tap| !tap.starts_with("vmnet")) {
        let _ = ip::attempt("ip", &["link", "set", tap, "down"]);
        let _ = ip::attempt("ip", &["addr", "flush", "dev", tap]);
    }
    for socket in &order.sockets {
        let _ = UnixListener::bind(socket);
    }
    if end == Some(End::PowerOff) && order.destroy_on_poweroff {
        let _ = vm::remove(place, &order.name);
    }
    let _ = fs::remove_file(vm::socket(place, std::process::id()));
    let _ = fs::remove_dir_all(&order.scratch);
}

#[cfg(test)]
mod tests {
    use super::interrupts_off;

    #[test]
    fn the_interrupt_flag_of_a_register_dump() {
        assert!(interrupts_off("EIP=00007d2c EFL=00000046 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1"));
        assert!(!interrupts_off("RIP=ffffffff81a0 RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1"));
    }
}
