//! The stable code of each failure that programs can tell apart, beside the class that determines the exit status.
//!
//! A failure that has no code of its own has that of its class. To add one: a row here, and `Code::ITS_NAME.problem(…)` where
//! it happens; chyves-errors(7) follows from the rows.

use super::{Kind, Problem};
use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($name:ident = $word:literal, $class:ident, $meaning:literal;)+) => {
        /// What failed, for programs. Words are never changed or reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code {
            $(
                #[doc = $meaning]
                #[serde(rename = $word)]
                $name,
            )+
        }

        impl Code {
            /// All codes: those of classes, then the others by class.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The word in JSON.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word),+ }
            }

            /// The class, which determines the exit status.
            pub const fn class(self) -> Kind {
                match self { $(Self::$name => Kind::$class),+ }
            }

            /// What it means, in one sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning),+ }
            }
        }
    };
}

codes! {
    Failed = "failed", Failed, "A step failed, and what was done has been rolled back.";
    Usage = "usage", Usage, "The command line or a value is wrong.";
    NotFound = "not-found", NotFound, "Something that was named does not exist.";
    NotNow = "not-now", NotNow, "It is not possible in the present state.";
    HostCant = "host-cant", HostCant, "The host lacks something.";
    Partial = "partial", Partial, "Of several objects, some succeeded and some failed.";
    Left = "left", Left, "A step failed and the rollback failed too.";
    Bug = "bug", Bug, "chyves has a bug.";
    Interrupted = "interrupted", Interrupted, "The command was interrupted, and what was done has been rolled back.";

    InvalidValue = "invalid-value", Usage, "A value is not one of those that are allowed.";
    UnknownProperty = "unknown-property", Usage, "No property has this name.";
    NeedsConfirmation = "needs-confirmation", Usage, "A question has to be answered, and nobody can be asked.";

    NoSuchGuest = "no-such-guest", NotFound, "No guest has this name.";
    NoSuchSnapshot = "no-such-snapshot", NotFound, "The guest has no snapshot of this name.";
    NoSuchDisk = "no-such-disk", NotFound, "The guest has no disk of this number.";
    NoSuchNic = "no-such-nic", NotFound, "The guest has no such network interface.";
    NoSuchDrive = "no-such-drive", NotFound, "The guest has no optical drive of this number.";
    NoSuchPort = "no-such-port", NotFound, "The guest has no serial port of this number.";
    NoSuchImage = "no-such-image", NotFound, "No image has this name, or it is of another kind.";
    NoSuchPool = "no-such-pool", NotFound, "No pool of this name is set up for chyves.";
    NoPool = "no-pool", NotFound, "No pool is set up for chyves, or none is primary.";
    NoSuchBridge = "no-such-bridge", NotFound, "No bridge of this name is configured.";
    NoSuchFile = "no-such-file", NotFound, "A file that was named does not exist, or cannot be opened.";
    NoSuchVolume = "no-such-volume", NotFound, "No volume has this name.";
    NotInTrash = "not-in-trash", NotFound, "Nothing of this name or identity is in the trash.";
    NotInCatalogue = "not-in-catalogue", NotFound, "The catalogue has no system of this name, or not for this architecture.";
    NoSuchOperation = "no-such-operation", NotFound, "No operation has this name.";

    GuestRunning = "guest-running", NotNow, "It needs a guest that is not running.";
    GuestNotRunning = "guest-not-running", NotNow, "It needs a guest that is running.";
    GuestForeign = "guest-foreign", NotNow, "The guest belongs to another host, or was received and not adopted.";
    GuestTemplate = "guest-template", NotNow, "The guest is a template, which can only be cloned.";
    KeyNotLoaded = "key-not-loaded", NotNow, "A dataset is encrypted, and its key is not loaded.";
    GuestExists = "guest-exists", NotNow, "A guest of this name exists, or a deleted one keeps the name.";
    NameAmbiguous = "name-ambiguous", NotNow, "Two guests have this name.";
    SnapshotExists = "snapshot-exists", NotNow, "The guest has a snapshot of this name.";
    SnapshotForeign = "snapshot-foreign", NotNow, "The snapshot was not taken by chyves.";
    HasClones = "has-clones", NotNow, "Clones depend on it.";
    DiskExists = "disk-exists", NotNow, "The guest has a disk of this number.";
    DiskUnusable = "disk-unusable", NotNow, "A disk is missing, is not what is recorded, or cannot be read.";
    WouldShrink = "would-shrink", NotNow, "A disk would become smaller, and that was not permitted.";
    ImageExists = "image-exists", NotNow, "An image of this name exists.";
    ImageInUse = "image-in-use", NotNow, "Guests use the image.";
    MacTaken = "mac-taken", NotNow, "Another network interface has this MAC address.";
    PoolExists = "pool-exists", NotNow, "The pool is set up for chyves already.";
    PoolOffline = "pool-offline", NotNow, "The pool is offline.";
    PoolPrimary = "pool-primary", NotNow, "The pool is the primary one, and others need it.";
    SeveralPrimary = "several-primary", NotNow, "Two pools are primary.";
    Busy = "busy", NotNow, "Another command works on the same object.";
    Declined = "declined", NotNow, "A question was answered with no.";

    NoVolumes = "no-volumes", HostCant, "The ZFS of this host has no volumes.";
    NoHypervisor = "no-hypervisor", HostCant, "The hypervisor is not installed.";
    NoKvm = "no-kvm", HostCant, "KVM does not work on this host.";
    NoFirmware = "no-firmware", HostCant, "The firmware is not installed.";
    NoBridge = "no-bridge", HostCant, "A bridge that a guest needs does not exist.";
    NetworkDiffers = "network-differs", HostCant, "The host's networks differ from their configuration.";
    ChecksFail = "checks-fail", HostCant, "The host is not fit for guests.";
}

impl Code {
    /// The code of a failure that has none of its own.
    pub const fn of_class(class: Kind) -> Self {
        match class {
            Kind::Failed => Self::Failed,
            Kind::Usage => Self::Usage,
            Kind::NotFound => Self::NotFound,
            Kind::NotNow => Self::NotNow,
            Kind::HostCant => Self::HostCant,
            Kind::Partial => Self::Partial,
            Kind::Left => Self::Left,
            Kind::Bug => Self::Bug,
            Kind::Interrupted => Self::Interrupted,
        }
    }

    /// A failure with this code, of its class.
    pub fn problem(self, message: impl Into<String>) -> Problem {
        Problem { id: self, ..Problem::new(self.class(), message) }
    }
}

#[allow(clippy::derivable_impls)] // a macro makes the variants, without a mark for one of them
impl Default for Code {
    fn default() -> Self {
        Self::Failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn words_are_unique_and_kebab_case() {
        let words: BTreeSet<&str> = Code::ALL.iter().map(|code| code.word()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.word().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{}", code.word());
            assert_eq!(serde_json::to_value(code).unwrap(), code.word());
            assert!(code.meaning().ends_with('.'), "{}", code.word());
        }
    }

    #[test]
    fn a_class_without_a_code_of_its_own_has_its_word() {
        for class in Code::ALL.iter().map(|code| code.class()) {
            assert_eq!(serde_json::to_value(class).unwrap(), Code::of_class(class).word());
        }
        let problem = Code::NoSuchGuest.problem("no guest is called `x`");
        assert_eq!((problem.code, problem.id), (Kind::NotFound, Code::NoSuchGuest));
        assert_eq!(Problem::not_now("busy").id, Code::NotNow);
    }
}
