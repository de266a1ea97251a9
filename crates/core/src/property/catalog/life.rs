//! Rows of a guest's life cycle: start at boot, stop, reboot, crash, media, console.

use super::BASE;
use crate::property::choices::{OnEnd, RevertAt};
use crate::property::kind::Kind;
use crate::property::reach::{self, Reaches};
use crate::property::{Effect, Property, Unset};

/// The rows.
pub(super) static ROWS: &[Property] = &[
    Property {
        key: "autostart",
        kind: Kind::Autostart,
        unset: Unset::Value("0"),
        effect: Effect::Now,
        summary: "whether the guest starts with the host",
        detail: "0 is no; guests with higher numbers start earlier, those with the same side by side. It is `chyves start --boot` that starts them, which the service of this host runs.",
        aliases: &["rcboot", "boot"],
        reach: Reaches::When { words: "starts by itself, where it is not 0", of: reach::boot },
        ..BASE
    },
    Property {
        key: "stop_timeout",
        kind: Kind::Seconds { min: 1, max: 86400 },
        unset: Unset::Value("90"),
        effect: Effect::Now,
        summary: "how long a stop waits for the guest",
        detail: "In seconds. The guest is asked by the ACPI power button repeatedly until it is off; when the time is over, stop fails, or powers the guest off forcibly with `--force`.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "on_reboot",
        kind: Kind::Choice(OnEnd::WORDS),
        unset: Unset::Value("restart"),
        summary: "what follows the guest's own reboot",
        detail: "restart starts it again with its settings as they are then; stop leaves it off.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "on_crash",
        kind: Kind::Choice(&[OnEnd::Stop.word(), OnEnd::Restart.word()]),
        unset: Unset::Value("stop"),
        summary: "what follows a crash",
        detail: "A crash is a triple fault, an error of the hypervisor or its death by a signal. restart tries again with growing pauses and gives up after a few crashes in a row; the state is then crashed.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "iso_eject_after_reboots",
        aliases: &["eject_iso_on_n_reboot"],
        kind: Kind::Count { min: 0, max: 9999 },
        unset: Unset::Value("1"),
        summary: "at which reboot an ISO is taken out of its drive",
        detail: "Counted from when it was put in. Installers reboot once when they are done, so the default is 1; 0 leaves the ISO in until the guest is off. Under QEMU the drive stays, empty; under bhyve, which has no empty drive, its controller stays.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "revert_to_snapshot",
        kind: Kind::Snapshot,
        summary: "the snapshot that the guest goes back to",
        detail: "Its disks, firmware variables and logs become what they were; settings stay as they are. Newer snapshots stay: where there are any, what differs is copied from the snapshot, which reads the disks whole; where there are none, ZFS rolls back at once. The snapshot that a guest reverts to is not deleted, and clones of the guest do not revert.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "revert_to_snapshot_method",
        kind: Kind::Choice(RevertAt::WORDS),
        unset: Unset::Value("off"),
        summary: "when the guest goes back to revert_to_snapshot",
        detail: "start is before each `chyves start` and at no reboot; reboot is after each reboot of the guest. What was written since the snapshot is lost. A guest that cannot go back is not started, or ends as crashed.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "console_log_limit",
        kind: Kind::Space,
        unset: Unset::Value("1M"),
        summary: "how much of the serial console is kept",
        detail: "In the guest's own file system, in logs/console.log and one older part.",
        reach: Reaches::Never,
        ..BASE
    },
];
