//! Rows that organise guests: description, notes, template.

use super::BASE;
use crate::property::kind::Kind;
use crate::property::reach::Reaches;
use crate::property::{Effect, Property, Scope, Unset};

/// The rows.
pub(super) static ROWS: &[Property] = &[
    Property {
        key: "description",
        effect: Effect::Now,
        scope: Scope::GuestOnly,
        summary: "what the guest is for",
        detail: "One line; lists show it.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "notes",
        effect: Effect::Now,
        scope: Scope::GuestOnly,
        summary: "notes about the guest",
        detail: "One line.",
        reach: Reaches::Never,
        ..BASE
    },
    Property {
        key: "template",
        kind: Kind::YesNo,
        effect: Effect::Now,
        scope: Scope::GuestOnly,
        unset: Unset::Value("no"),
        summary: "whether the guest is only cloned from",
        detail: "A template is never started, its file system and volumes are read-only, and it is neither rolled back nor deleted.",
        reach: Reaches::Never,
        ..BASE
    },
];
