//! Rows of pools.

use super::BASE;
use crate::property::choices::Role;
use crate::property::kind::Kind;
use crate::property::reach::Reaches;
use crate::property::{Access, Effect, Property, Scope, Unset};

/// A property that chyves records about a pool.
const POOL: Property =
    Property { reach: Reaches::Never, scope: Scope::Pool, access: Access::Kept("`chyves pool`"), effect: Effect::Now, ..BASE };

/// The rows.
pub(super) static ROWS: &[Property] = &[
    Property {
        key: "layout",
        kind: Kind::Count { min: 1, max: 9999 },
        summary: "the version of the datasets' layout",
        detail: "On a pool's root, and what roots are found by.",
        ..POOL
    },
    Property {
        key: "role",
        kind: Kind::Choice(Role::WORDS),
        summary: "what the pool is to chyves",
        detail: "The primary pool also holds images and global settings; an offline one is ignored.",
        ..POOL
    },
    Property {
        key: "host",
        kind: Kind::Uuid,
        summary: "the host that the pool's guests belong to",
        detail: "Made with the pool's root.",
        ..POOL
    },
    Property {
        key: "former_host",
        kind: Kind::Uuid,
        summary: "the host that this one was before another pool was promoted",
        detail: "Set where that changed which host this is. Promoting the pool again makes this host that one again.",
        ..POOL
    },
    Property {
        key: "group_levels",
        kind: Kind::Count { min: 0, max: 8 },
        unset: Unset::Value("0"),
        access: Access::Free,
        summary: "how deep groups of guests are nested",
        detail: "A group is a dataset between guests and its guests. Readers look no deeper than this. What is set on the primary pool \
                 applies to all pools.",
        ..POOL
    },
];
