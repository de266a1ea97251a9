//! One row for each property, in a module for each kind of object. The order of [`PARTS`], and of the rows in each, is the
//! order of `get all` and of the manual.
//!
//! * [`machine`]: the VM itself: processors, memory, boot, arguments, other devices
//! * [`life`]: a guest's life cycle: start at boot, stop, reboot, crash, media, console
//! * [`screen`]: the guest's display
//! * [`disk`]: rows of disks
//! * [`net`]: NICs and their back ends
//! * [`bridge`]: the host's bridges
//! * [`cloudinit`]: cloud-init settings
//! * [`people`]: description, notes, template
//! * [`kept`]: what chyves records about guests, deleted objects and snapshots
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

/// The defaults of a row: can be set on guests and defaults, takes effect at the next start, since the first version.
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

/// A property that chyves records about a guest itself.
const KEPT: Property = Property { reach: Reaches::Never, scope: Scope::GuestOnly, effect: Effect::Now, ..BASE };

/// The row for the user's own keys, `x.…`.
pub static ANNOTATION: Property = Property {
    key: "x.…",
    effect: Effect::Now,
    reach: Reaches::Never,
    summary: "a note of your own",
    detail: "Any key that begins with `x.` is yours: chyves keeps, shows, copies and restores it and never reads it.",
    ..BASE
};

/// The row for trust records, `trusted.KEY`; chyves writes one for each trusted key.
pub static TRUSTED: Property = Property {
    key: "trusted.…",
    access: Access::Kept("`chyves adopt` and `chyves set`"),
    summary: "the digest of a value that this host trusts",
    detail: "One for each setting of an adopted guest that reaches the host. A value with another digest is not used: the guest does not start.",
    ..KEPT
};
