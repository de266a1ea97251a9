//! What an end of a hypervisor means: bhyve's exit statuses and QEMU's reasons, told in the same words.
//!
//! Not here: what follows from it ([`super::Life`]).

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With that status.
    Status(i32),
    /// By that signal.
    Signal(i32),
    /// Nobody could see it: it was not the observer's child.
    Unseen,
}

/// What the end of a machine means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The guest rebooted, or its reset line was pulled.
    Reboot,
    /// The guest powered off.
    PowerOff,
    /// The guest halted.
    Halt,
    /// Somebody on the host told the hypervisor to end it.
    Quit,
    /// It was powered off forcibly, because somebody wanted it off at once, or no longer waited for it to obey.
    Pulled {
        /// Whether the hypervisor did not end by that, and was killed.
        killed: bool,
    },
    /// The guest's processor had a triple fault.
    TripleFault,
    /// The guest's kernel reported a panic.
    Panic,
    /// The hypervisor ended with an error status.
    Status(i32),
    /// The hypervisor was ended by a signal.
    Signal(i32),
    /// The hypervisor gave a reason that is an error or that nobody knows.
    Reason(String),
    /// The machine is gone and nobody saw how.
    Unseen,
    /// It was never started, or never seen running, and why.
    NotStarted(String),
}

/// Whether the last words of a bhyve are those of one that ran no guest: its usage text, or, on arm64, a boot ROM that it
/// cannot read, which ends it with the status of a power-off.
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

    /// What the end of a machine means whose plug was pulled, and which was `killed` after that: a hypervisor ends then as
    /// it likes, bhyve with the status of a guest that powered off. What is an error stays one.
    #[must_use]
    pub fn pulled(self, killed: bool) -> Self {
        match self {
            // A guest's own end at the same moment looks no different.
            Self::Reboot | Self::PowerOff | Self::Quit => Self::Pulled { killed: false },
            // QEMU takes it as the same wish, where its monitor can't be reached.
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

    /// The end of a bhyve. `refused`: it ended at once, and its last words say why it ran nothing ([`refuses`]); status 1
    /// means a power-off as well, and nothing else tells them apart.
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

    /// The end of a QEMU that runs with `-no-reboot`. `reason`: the one of its last `SHUTDOWN` event.
    ///
    /// A guest's triple fault is a reset for QEMU, as it is for a real board, so it comes as [`Self::Reboot`].
    pub fn of_qemu(reason: Option<&str>, exit: Exit) -> Self {
        match (exit, reason) {
            // It said that it was leaving and then died on the way: the words count less than the death.
            (Exit::Signal(signal), _) => Self::Signal(signal),
            (Exit::Status(status), _) if status != 0 => Self::Status(status),
            (_, Some("guest-reset" | "host-qmp-system-reset" | "subsystem-reset")) => Self::Reboot,
            (_, Some("guest-shutdown")) => Self::PowerOff,
            (_, Some("guest-panic")) => Self::Panic,
            // Without a word and without an error: somebody had its monitor.
            (_, Some("host-qmp-quit" | "host-ui")) | (Exit::Status(_), None) => Self::Quit,
            // QEMU takes SIGTERM, SIGINT and SIGHUP as a wish and ends with 0; to the table it is an end by a signal.
            (_, Some("host-signal")) => Self::Signal(15),
            (_, Some(other)) => Self::Reason(other.to_owned()),
            (Exit::Unseen, None) => Self::Unseen,
        }
    }
}

/// Reads on behind "web01 ended: ".
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
