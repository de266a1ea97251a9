//! Rows of images.

use super::BASE;
use crate::property::choices::ImageKind;
use crate::property::kind::Kind;
use crate::property::reach::Reaches;
use crate::property::{Access, Effect, Property, Scope};

/// A property that chyves records about an image.
const IMAGE: Property =
    Property { reach: Reaches::Never, scope: Scope::Image, access: Access::Kept("`chyves image import`"), effect: Effect::Now, ..BASE };

/// The rows.
pub(super) static ROWS: &[Property] = &[
    Property {
        key: "image.kind",
        kind: Kind::Choice(ImageKind::WORDS),
        summary: "what the image is",
        detail: "Detected from its content at import.",
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
    Property {
        key: "image.label",
        kind: Kind::Text,
        summary: "the label of an ISO",
        detail: "The volume's name on it, by which some systems find their own installer.",
        ..IMAGE
    },
    Property {
        key: "image.vars",
        kind: Kind::Hash,
        summary: "the SHA-256 of the template of a firmware's variables",
        detail: "Of the file beside the code, where the firmware has one.",
        ..IMAGE
    },
    Property {
        key: "image.vars_size",
        kind: Kind::Space,
        summary: "the size of the template of a firmware's variables",
        detail: "Variables of guests that boot with it are as long.",
        ..IMAGE
    },
    Property { key: "image.source", kind: Kind::Text, summary: "where the image came from", detail: "A path or an address.", ..IMAGE },
    Property {
        key: "image.name",
        kind: Kind::Text,
        summary: "the name of the file that the image was made from",
        detail: "Inside an archive, the archive's name.",
        ..IMAGE
    },
    Property {
        key: "image.format",
        kind: Kind::Text,
        summary: "the compression and archive format of the imported file",
        detail: "As `tar.gz`, `xz`, `qcow2.xz` or `raw`, detected from its content.",
        ..IMAGE
    },
    Property {
        key: "image.checked",
        kind: Kind::Text,
        summary: "what the imported file was verified against",
        detail: "The hash that it had to have, and whose signature stood below that; `no` where no hash was given.",
        ..IMAGE
    },
    Property {
        key: "image.partial",
        kind: Kind::Text,
        summary: "the address that this part of a file came from",
        detail: "On the dataset of a transfer that was cut: the next `chyves image fetch` of that address goes on from there. \
                 `chyves repair` destroys it.",
        ..IMAGE
    },
    Property { key: "image.added", kind: Kind::Text, summary: "when the image was imported", detail: "UTC.", ..IMAGE },
];
