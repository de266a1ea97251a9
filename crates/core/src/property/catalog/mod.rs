//! One row a property, in a room for each thing that has them. The order of [`PARTS`], and of the rows in each, is the
//! order of `get all` and of the manual.
//!
//! * [`machine`]: rows of the machine itself: processors, memory, boot, arguments, devices of no kind of their own
//! * [`life`]: rows of a guest's life: start with the host, stop, reboot, crash, media, console
//! * [`screen`]: rows of the guest's screen
//! * [`disk`]: rows of disks
//! * [`net`]: rows of NICs and of what they are plugged into
//! * [`bridge`]: rows of the host's bridges
//! * [`cloudinit`]: cloud-init settings
//! * [`people`]: rows for people
//! * [`kept`]: rows that chyves keeps about guests, what is deleted, and snapshots
//! * [`pool`]: rows of pools
//! * [`image`]: rows of images
//!
//! To add a row: in the module of the object that has the property.

mod bridge;
mod cloudinit;
mod disk;
mod image;
mod kept;
mod life;
mod machine;
mod net;
mod people;
mod pool;
mod screen;

use super::kind::Kind;
use super::reach::Reaches;
use super::{Access, Effect, Property, Scope, Unset};

/// The modules, in order.
static PARTS: &[&[Property]] = &[
    machine::ROWS,
    life::ROWS,
    screen::ROWS,
    disk::ROWS,
    net::ROWS,
    bridge::ROWS,
    cloudinit::ROWS,
    people::ROWS,
    kept::ROWS,
    pool::ROWS,
    image::ROWS,
];

/// Every property.
pub fn all() -> impl Iterator<Item = &'static Property> {
    PARTS.iter().copied().flatten()
}

/// A row with what most rows have: free to set on guests and defaults, felt at the next start, in the first version.
const BASE: Property = Property {
    key: "",
    numbers: (0, 999),
    scope: Scope::Guest,
    kind: Kind::Text,
    unset: Unset::Nothing,
    effect: Effect::Start,
    access: Access::Free,
    reach: Reaches::Undeclared,
    summary: "",
    detail: "",
    since: "0.3",
    aliases: &[],
};

/// What chyves keeps about a guest itself.
const KEPT: Property = Property { reach: Reaches::Never, scope: Scope::GuestOnly, effect: Effect::Now, ..BASE };

/// The row that stands for the user's own keys, `x.…`.
pub static ANNOTATION: Property = Property {
    key: "x.…",
    effect: Effect::Now,
    reach: Reaches::Never,
    summary: "a note of your own",
    detail: "Any key that begins with `x.` is yours: chyves keeps, shows, copies and restores it and never reads it.",
    ..BASE
};

/// The row that stands for the records of trust, `trusted.KEY`: they are kept by themselves, one a key.
pub static TRUSTED: Property = Property {
    key: "trusted.…",
    access: Access::Kept("`chyves adopt` and `chyves set`"),
    summary: "the digest of a value that this host trusts",
    detail: "One for each setting of an adopted guest that reaches the host. A value with another digest is not used: the guest does not start.",
    ..KEPT
};
