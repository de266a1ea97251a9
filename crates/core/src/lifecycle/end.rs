//! Classifies the end of a hypervisor process: bhyve's exit statuses and QEMU's reasons, in common terms.
//!
//! Not here: what follows from it ([`super::Life`]).

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With that exit status.
    Status(i32),
    /// By that signal.
    Signal(i32),
    /// Unknown: it was not a child of the observer.
    Unseen,
}

/// The classification of a VM's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The guest rebooted, or was reset.
    Reboot,
    /// The guest powered off.
    PowerOff,
    /// The guest halted.
    Halt,
    /// Somebody on the host requested the hypervisor to quit.
    Quit,
    /// It was powered off forcibly, on request or because it did not obey a shutdown request in time.
    Pulled {
        /// Whether the hypervisor did not quit on request and was killed.
        killed: bool,
    },
    /// The guest's CPU had a triple fault.
    TripleFault,
    /// The guest's kernel reported a panic.
    Panic,
    /// The hypervisor ended with an error status.
    Status(i32),
    /// The hypervisor was terminated by a signal.
    Signal(i32),
    /// The hypervisor reported a reason that is an error or unknown.
    Reason(String),
    /// The VM is gone, and how it ended is unknown.
    Unseen,
    /// It was never started, or never seen running; with the cause.
    NotStarted(String),
}

/// Whether the last output of bhyve shows that it ran no guest: its usage text or, on arm64, an unreadable boot ROM, after
/// which it exits with the status of a power-off.
pub fn refuses(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    ["usage:", "bootrom"].iter().any(|sign| words.contains(sign))
}

impl End {
    /// Whether it counts as a crash.
    pub const fn is_crash(&self) -> bool {
        match self {
            Self::Reboot | Self::PowerOff | Self::Halt | Self::Quit | Self::Pulled { .. } => false,
            Self::TripleFault | Self::Panic | Self::Status(_) | Self::Signal(_) | Self::Reason(_) | Self::Unseen | Self::NotStarted(_) => {
                true
            }
        }
    }

    /// The classification if the VM was powered off forcibly, and `killed` after that: the hypervisor's status is then
    /// arbitrary, for example bhyve's status of a power-off by the guest. An error stays an error.
    #[must_use]
    pub fn pulled(self, killed: bool) -> Self {
        match self {
            // If the guest ends itself at the same moment, it looks the same.
            Self::Reboot | Self::PowerOff | Self::Quit => Self::Pulled { killed: false },
            // QEMU handles SIGTERM like a quit request; it is used if its monitor is unreachable.
            Self::Signal(15) => Self::Pulled { killed: false },
            Self::Signal(9) if killed => Self::Pulled { killed },
            Self::Unseen => Self::Pulled { killed },
            Self::Halt
            | Self::Pulled { .. }
            | Self::TripleFault
            | Self::Panic
            | Self::Status(_)
            | Self::Signal(_)
            | Self::Reason(_)
            | Self::NotStarted(_) => self,
        }
    }

    /// Classifies the end of bhyve. `refused`: it exited at once, and its last output shows that it ran no guest
    /// ([`refuses`]). Status 1 also means a power-off, and only the output distinguishes them.
    pub const fn of_bhyve(exit: Exit, refused: bool) -> Self {
        match exit {
            Exit::Status(0) => Self::Reboot,
            Exit::Status(1) if refused => Self::Status(1),
            Exit::Status(1) => Self::PowerOff,
            Exit::Status(2) => Self::Halt,
            Exit::Status(3) => Self::TripleFault,
            Exit::Status(other) => Self::Status(other),
            Exit::Signal(signal) => Self::Signal(signal),
            Exit::Unseen => Self::Unseen,
        }
    }

    /// Classifies the end of QEMU with `-no-reboot`. `reason`: the one of its last `SHUTDOWN` event.
    ///
    /// QEMU treats a guest's triple fault as a reset, as real hardware does, so it is reported as [`Self::Reboot`].
    pub fn of_qemu(reason: Option<&str>, exit: Exit) -> Self {
        match (exit, reason) {
            // It announced a shutdown and then died: the exit status takes precedence.
            (Exit::Signal(signal), _) => Self::Signal(signal),
            (Exit::Status(status), _) if status != 0 => Self::Status(status),
            (_, Some("guest-reset" | "host-qmp-system-reset" | "subsystem-reset")) => Self::Reboot,
            (_, Some("guest-shutdown")) => Self::PowerOff,
            (_, Some("guest-panic")) => Self::Panic,
            // No reason and no error: it was requested through QEMU's monitor.
            (_, Some("host-qmp-quit" | "host-ui")) | (Exit::Status(_), None) => Self::Quit,
            // QEMU treats SIGTERM, SIGINT and SIGHUP as requests and exits with 0; here they count as an end by a signal.
            (_, Some("host-signal")) => Self::Signal(15),
            (_, Some(other)) => Self::Reason(other.to_owned()),
            (Exit::Unseen, None) => Self::Unseen,
        }
    }
}

/// The kind of a VM's end, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndKind {
    /// The guest rebooted.
    Rebooted,
    /// The guest powered off.
    PoweredOff,
    /// The guest halted.
    Halted,
    /// The hypervisor was requested to quit.
    Quit,
    /// It was powered off forcibly.
    ForcedOff,
    /// It was powered off forcibly, and the hypervisor was killed.
    Killed,
    /// The guest had a triple fault.
    TripleFault,
    /// The guest's kernel panicked.
    Panicked,
    /// The hypervisor ended with an error, by a signal, or for an unknown reason.
    HypervisorFailed,
    /// How it ended is unknown.
    Unknown,
}

impl EndKind {
    /// All kinds, each with the beginnings of the texts of such ends. The texts are what a supervisor sends, and a supervisor may
    /// be of another version than the program that it sends them to.
    const WORDS: [(Self, &'static str); 12] = [
        (Self::Rebooted, "the guest rebooted"),
        (Self::PoweredOff, "the guest powered off"),
        (Self::Halted, "the guest halted"),
        (Self::Quit, "it was ended from the host"),
        // Before the next one, which begins in the same way.
        (Self::Killed, "it was powered off forcibly, and its hypervisor had to be killed"),
        (Self::ForcedOff, "it was powered off forcibly"),
        (Self::TripleFault, "the guest had a triple fault"),
        (Self::Panicked, "the guest's kernel panicked"),
        (Self::HypervisorFailed, "the hypervisor ended with status"),
        (Self::HypervisorFailed, "the hypervisor was ended by signal"),
        (Self::HypervisorFailed, "the hypervisor ended because of"),
        (Self::Unknown, "the hypervisor is gone; how it ended is not known"),
    ];

    /// The kind of the end that a text describes, whatever follows.
    pub fn of_words(text: &str) -> Self {
        Self::WORDS.iter().find(|(_, begin)| text.starts_with(begin)).map_or(Self::Unknown, |(kind, _)| *kind)
    }
}

/// The text after "web01 ended: ".
impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reboot => f.write_str("the guest rebooted"),
            Self::PowerOff => f.write_str("the guest powered off"),
            Self::Halt => f.write_str("the guest halted"),
            Self::Quit => f.write_str("it was ended from the host"),
            Self::Pulled { killed: false } => f.write_str("it was powered off forcibly"),
            Self::Pulled { killed: true } => f.write_str("it was powered off forcibly, and its hypervisor had to be killed"),
            Self::TripleFault => f.write_str("the guest had a triple fault"),
            Self::Panic => f.write_str("the guest's kernel panicked"),
            Self::Status(status) => write!(f, "the hypervisor ended with status {status}"),
            Self::Signal(signal) => write!(f, "the hypervisor was ended by signal {signal}"),
            Self::Reason(reason) => write!(f, "the hypervisor ended because of `{}`", crate::value::printable(reason, 60)),
            Self::Unseen => f.write_str("the hypervisor is gone; how it ended is not known"),
            Self::NotStarted(why) => f.write_str(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_an_end_tells_its_kind() {
        for (end, kind) in [
            (End::Reboot, EndKind::Rebooted),
            (End::PowerOff, EndKind::PoweredOff),
            (End::Halt, EndKind::Halted),
            (End::Quit, EndKind::Quit),
            (End::Pulled { killed: false }, EndKind::ForcedOff),
            (End::Pulled { killed: true }, EndKind::Killed),
            (End::TripleFault, EndKind::TripleFault),
            (End::Panic, EndKind::Panicked),
            (End::Status(4), EndKind::HypervisorFailed),
            (End::Signal(11), EndKind::HypervisorFailed),
            (End::Reason("internal-error".into()), EndKind::HypervisorFailed),
            (End::Unseen, EndKind::Unknown),
            (End::NotStarted("no".into()), EndKind::Unknown),
        ] {
            assert_eq!(EndKind::of_words(&format!("{end}; not all could be cleaned up: x")), kind, "{end}");
        }
        for (kind, begin) in EndKind::WORDS {
            assert_eq!(EndKind::of_words(begin), kind, "{begin}");
        }
    }
}
