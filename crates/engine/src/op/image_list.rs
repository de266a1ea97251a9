//! Lists images, of all kinds or of one.

use crate::Engine;
use crate::answer::{ImageKind, Time};
use crate::needs::{Needs, Observed, Pools};
use crate::operation::{Operation, Outcome};
use chyves_core::error::Result;
use chyves_core::image;
use chyves_host::observe::Which;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lists images.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ImageList {
    /// Only those of this kind.
    pub kind: Option<ImageKind>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Image {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: ImageKind,
    /// Its size in bytes, as a disk.
    pub size: u64,
    /// Bytes that it uses in the pool.
    pub used: u64,
    /// When it was imported.
    pub added: Option<Time>,
    /// The SHA-256 of its content.
    pub sha256: Option<String>,
    /// The file or address that it was imported from.
    pub source: Option<String>,
    /// The name of the file that it was made from.
    pub file: Option<String>,
    /// The compression, archive or disk format that it had.
    pub format: Option<String>,
    /// What it was verified against at the import.
    pub checked: Option<String>,
}

impl Image {
    /// The recorded facts about an image.
    pub(crate) fn of(image: &image::Image) -> Self {
        Self {
            name: image.name.to_string(),
            kind: image.kind.into(),
            size: image.size.get(),
            used: image.used.get(),
            added: image.added.as_deref().and_then(Time::recorded),
            sha256: image.sha256.clone(),
            source: image.source.clone(),
            file: image.original.clone(),
            format: image.format.clone(),
            checked: image.checked.clone(),
        }
    }
}

impl Operation for ImageList {
    const NAME: &'static str = "image-list";
    type Answer = Vec<Image>;

    fn needs(&self) -> Needs {
        Needs { images: Which::All, pools: Pools::Primary, ..Needs::default() }
    }

    fn run(&self, _: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let chosen = seen.world.images.iter().filter(|image| self.kind.is_none_or(|kind| kind == image.kind.into()));
        Ok(chosen.map(Image::of).collect::<Vec<_>>().into())
    }
}
