//! `chyves image`, `iso`, `firmware`: what guests are made from. The three nouns share everything; the last two act only on
//! images of their kind.
//!
//! * [`import`]: importing an image
//! * [`catalogue`]: the images that can be fetched by name, and installing a newer catalogue
//! * [`keep`]: showing, verifying, renaming and deleting images
//! * [`reset`]: firmware only: resetting a guest's variables

mod catalogue;
mod import;
mod keep;
mod reset;

use super::get::show;
use crate::session::Session;
use crate::table::{Cell, ListArgs, Table};
use chyves_core::error::Result;
use chyves_core::image::ImageKind;
use chyves_core::value::ImageName;
use chyves_engine::op::ImageList;
use std::collections::BTreeSet;

/// Manage images: disks, ISOs, firmware
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Keep a copy of a file as an image, whatever it is and compressed or archived
    ///
    /// A disk (raw, qcow2, vmdk, vdi, vhdx), an ISO or UEFI firmware; gzip, xz, zstd, bzip2, and a tar or zip archive
    /// with one image in it. The format is detected from the content. The image appears under its name only when
    /// complete.
    Import(import::Args),
    /// Download an image from a URL, or by its name in the catalogue
    ///
    /// From the catalogue (debian-12, freebsd-14.3) the image is verified against its vendor's checksums, and records the
    /// settings that the operating system needs. A partial download is kept and resumed by the next fetch of that URL.
    Fetch(import::Args),
    Catalogue(catalogue::Args),
    /// List images
    List(ListArgs),
    /// Show everything about images, and who uses them
    Info {
        /// The images
        #[arg(required = true, value_name = "IMAGE", value_delimiter = ',')]
        images: Vec<ImageName>,
    },
    /// Read images again, and compare them with what was imported
    Verify {
        /// The images; all if none is given
        #[arg(value_name = "IMAGE", value_delimiter = ',')]
        images: Vec<ImageName>,
    },
    /// Give an image another name
    ///
    /// Guests that were made from it go on as before. Refused while it is in a drive.
    Rename {
        /// The image
        image: ImageName,
        /// Its new name
        #[arg(value_name = "NEW-NAME")]
        to: ImageName,
    },
    /// Destroy images that no guest depends on
    Delete {
        /// The images
        #[arg(required = true, value_name = "IMAGE", value_delimiter = ',')]
        images: Vec<ImageName>,
    },
}

/// `chyves iso`
pub(crate) fn iso(session: &Session, verb: &Verb) -> Result<()> {
    run(session, Some(ImageKind::Iso), verb)
}

/// `chyves image`, for all kinds
pub(crate) fn any(session: &Session, verb: &Verb) -> Result<()> {
    run(session, None, verb)
}

/// Manage images of UEFI firmware
#[derive(Debug, clap::Subcommand)]
pub(crate) enum FirmwareVerb {
    #[command(flatten)]
    Image(Box<Verb>),
    Reset(reset::Args),
}

/// Runs a verb of the noun `firmware`.
pub(crate) fn firmware(session: &Session, verb: &FirmwareVerb) -> Result<()> {
    match verb {
        FirmwareVerb::Image(verb) => run(session, Some(ImageKind::Firmware), verb),
        FirmwareVerb::Reset(args) => reset::run(session, args),
    }
}

/// Runs a verb of the noun for images of `kind`, or of all kinds.
fn run(session: &Session, kind: Option<ImageKind>, verb: &Verb) -> Result<()> {
    match verb {
        Verb::Import(args) | Verb::Fetch(args) => import::run(session, kind, args, matches!(verb, Verb::Fetch(_))),
        Verb::Catalogue(args) => catalogue::run(session, kind, args),
        Verb::List(args) => list(session, kind, args),
        Verb::Info { images } => keep::info(session, kind, &once(images)),
        Verb::Verify { images } => keep::verify(session, kind, &once(images)),
        Verb::Rename { image, to } => keep::rename(session, kind, image, to),
        Verb::Delete { images } => keep::delete(session, kind, &once(images)),
    }
}

/// The names without duplicates, in the order of the command line.
fn once(names: &[ImageName]) -> Vec<ImageName> {
    let mut seen = BTreeSet::new();
    names.iter().filter(|name| seen.insert(*name)).cloned().collect()
}

const COLUMNS: [&str; 10] = ["name", "kind", "size", "used", "added", "sha256", "source", "file", "format", "checked"];

/// Lists images, of one kind if it is specified.
pub(super) fn list(session: &Session, kind: Option<ImageKind>, args: &ListArgs) -> Result<()> {
    let answer = session.run(&ImageList { kind: kind.map(Into::into) })?.answer.unwrap_or_default();
    let table = Table::of(&COLUMNS, &answer, |one| {
        vec![
            Cell::text(&one.name),
            Cell::text(one.kind.word()),
            Cell::bytes(one.size),
            Cell::bytes(one.used),
            Cell::maybe(one.added.map(|time| time.to_string())),
            Cell::maybe(one.sha256.clone()),
            Cell::maybe(one.source.clone()),
            Cell::maybe(one.file.clone()),
            Cell::maybe(one.format.clone()),
            Cell::maybe(one.checked.clone()),
        ]
    });
    if table.rows.is_empty() && !session.ui.json && !args.bare {
        let (what, noun) = match kind {
            None => ("images", "image"),
            Some(ImageKind::Iso) => ("ISOs", "iso"),
            Some(ImageKind::Firmware) => ("images of firmware", "firmware"),
            Some(ImageKind::Disk) => ("images of disks", "image"),
        };
        session.ui.say(&format!("there are no {what}; `chyves {noun} import FILE` adds one"));
    }
    show(session, table, &args.or_columns(session, &COLUMNS[..5]))
}
