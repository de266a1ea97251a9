//! Rows of images.

use super::BASE;
use crate::property::kind::Kind;
use crate::property::{Access, Effect, Property, Scope};

/// What chyves keeps about an image.
const IMAGE: Property = Property { scope: Scope::Image, access: Access::Kept("`chyves image import`"), effect: Effect::Now, ..BASE };

/// The rows.
pub(super) static ROWS: &[Property] = &[
    Property {
        key: "image.kind",
        kind: Kind::Choice(&["disk", "iso", "firmware"]),
        summary: "what the image is",
        detail: "Told by its content when it was imported.",
        ..IMAGE
    },
    Property { key: "image.size", kind: Kind::Space, summary: "the image's size", detail: "As a disk, uncompressed.", ..IMAGE },
    Property {
        key: "image.sha256",
        kind: Kind::Hash,
        summary: "the SHA-256 of the image's content",
        detail: "Of the file as it is kept, uncompressed and converted.",
        ..IMAGE
    },
    Property { key: "image.source", kind: Kind::Text, summary: "where the image came from", detail: "A path or an address.", ..IMAGE },
    Property { key: "image.added", kind: Kind::Text, summary: "when the image was imported", detail: "UTC.", ..IMAGE },
];
