//! Destroys images that no guest depends on, each separately.

use super::image_uses::{above, not_running};
use crate::Engine;
use crate::answer::{Each, ImageKind};
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use chyves_core::error::Result;
use chyves_core::plan::{self, image::of_kind};
use chyves_core::value::ImageName;
use chyves_host::observe::snapshots::{self, Origins};
use chyves_host::observe::{Look, Which};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Destroys images; this is confirmed for each.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageDelete {
    /// The images.
    #[schemars(with = "Vec<String>")]
    pub images: Vec<ImageName>,
    /// Refuses images of another kind.
    #[serde(default)]
    pub kind: Option<ImageKind>,
}

/// An image that was destroyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ImageGone {
    /// What was done.
    pub done: ImageGoneWord,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImageGoneWord {
    /// It is gone.
    Destroyed,
}

impl Operation for ImageDelete {
    const NAME: &'static str = "image-delete";
    type Answer = Vec<Each<ImageGone>>;

    fn needs(&self) -> Needs {
        // Each image is locked and observed for itself.
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let results = self.images.iter().map(|name| (name.to_string(), self.delete(engine, name))).collect();
        Ok(Outcome::each_of(engine, results, "images could not be destroyed"))
    }
}

impl ImageDelete {
    fn delete(&self, engine: &Engine, name: &ImageName) -> Result<Option<ImageGone>> {
        let _lock = engine.lock("image", &[name])?;
        let world = engine.look(&Look { guests: Which::All, images: Which::All, ..Look::default() })?;
        let image = of_kind(&world, name, self.kind.map(Into::into))?;
        not_running(engine, image)?;
        let doomed = snapshots::doomed(&image.dataset, &Origins::default())?;
        let plan = plan::image::delete(&world, name, &above(&world)?, &doomed)?;
        if !engine.dry_run {
            for taken in doomed.all(&[]) {
                engine.events.note(&format!("{name}: destroys {taken}"));
            }
            engine.confirm(&format!("destroy the image {name} ({})", image.used.human()))?;
        }
        let done = engine.carry_out(&world, &plan, name.as_str()).map_err(|p| engine.goes_on(p))?;
        Ok(done.map(|_| ImageGone { done: ImageGoneWord::Destroyed }))
    }
}
