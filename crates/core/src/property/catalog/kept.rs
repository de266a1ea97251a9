//! Rows that chyves records about guests, deleted objects and snapshots.

use super::BASE;
use crate::property::kind::Kind;
use crate::property::reach::Reaches;
use crate::property::{Access, Effect, Property, Scope};

/// A property that chyves records about a guest itself.
const KEPT: Property = Property { reach: Reaches::Never, scope: Scope::GuestOnly, effect: Effect::Now, ..BASE };

/// The rows.
pub(super) static ROWS: &[Property] = &[
    Property {
        key: "owner",
        kind: Kind::Uuid,
        access: Access::Kept("`chyves create`, `chyves clone` and `chyves adopt`"),
        summary: "the host that may start the guest",
        detail: "The host id of a pool's root. A guest that another host owns, or that was received with a stream, is foreign: it is shown and never started until it is adopted.",
        ..KEPT
    },
    Property {
        key: "epoch",
        kind: Kind::Count { min: 1, max: u32::MAX },
        access: Access::Kept("`chyves adopt`"),
        summary: "how often the owner changed",
        detail: "Raised at each change, so that of two copies the later owner's is known.",
        ..KEPT
    },
    Property {
        key: "trust",
        kind: Kind::Choice(&["listed"]),
        access: Access::Kept("`chyves adopt`"),
        summary: "which settings that reach the host are used",
        detail: "listed: only those whose values are recorded as trusted, one record trusted.KEY each. An adopted guest has it. Unset, every value that was set on this host is used.",
        ..KEPT
    },
    Property {
        key: "created",
        kind: Kind::Text,
        access: Access::Kept("`chyves create` and `chyves clone`"),
        summary: "when the guest was created",
        detail: "UTC, in the form 2026-01-31T12:00:00Z.",
        aliases: &["creation"],
        ..KEPT
    },
    Property {
        key: "cloned_from",
        kind: Kind::Text,
        access: Access::Kept("`chyves clone`"),
        summary: "the guest and snapshot that this is a clone of",
        detail: "As it was called when the clone was made.",
        ..KEPT
    },
    Property {
        key: "image",
        kind: Kind::Image,
        access: Access::Kept("`chyves create`"),
        summary: "the image that disk 0 was made from",
        detail: "As it was called when the guest was created.",
        ..KEPT
    },
    Property {
        key: "name",
        kind: Kind::Guest,
        access: Access::Kept("`chyves delete` and `chyves disk remove`"),
        summary: "the name that a deleted guest had",
        detail: "Set while it is in the trash.",
        ..KEPT
    },
    Property {
        key: "group",
        kind: Kind::Text,
        access: Access::Kept("`chyves delete`"),
        summary: "the group that a deleted guest was in",
        detail: "Set while it is in the trash.",
        ..KEPT
    },
    Property {
        key: "removed_from",
        kind: Kind::Uuid,
        access: Access::Kept("`chyves disk remove`"),
        summary: "the guest that a removed disk was taken from",
        detail: "Set on a disk in the trash.",
        ..KEPT
    },
    Property {
        key: "deleted",
        kind: Kind::Text,
        access: Access::Kept("`chyves delete` and `chyves disk remove`"),
        summary: "when the guest was deleted",
        detail: "UTC; set while it is in the trash.",
        ..KEPT
    },
    Property {
        key: "snapshot.taken",
        kind: Kind::Text,
        access: Access::Kept("`chyves snapshot`"),
        summary: "when a snapshot of chyves was taken",
        detail: "UTC; on the snapshot. It also marks the settings on the snapshot as complete.",
        ..KEPT
    },
    Property {
        key: "snapshot.live",
        kind: Kind::YesNo,
        access: Access::Kept("`chyves snapshot`"),
        summary: "whether the guest ran while a snapshot was taken",
        detail: "On the snapshot. The disks are then as after a power cut.",
        ..KEPT
    },
    Property {
        key: "snapshot.for",
        kind: Kind::Choice(&["clone"]),
        access: Access::Kept("`chyves clone`"),
        summary: "what chyves took a snapshot for by itself",
        detail: "On the snapshot. One that was taken for a clone goes with the last dependent clone.",
        ..KEPT
    },
];
