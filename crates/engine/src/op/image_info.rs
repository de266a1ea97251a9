//! Everything about images, and who uses them.

use super::Image;
use crate::answer::{Failure, ImageKind};
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::{Engine, Targets};
use chyves_core::error::Result;
use chyves_core::guest::Guest;
use chyves_core::image;
use chyves_core::plan;
use chyves_core::plan::image::of_kind;
use chyves_core::value::{GuestName, ImageName};
use chyves_core::world::World;
use chyves_host::observe::{self, Which};
use chyves_host::shared_mounts;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Reads everything about images.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageInfo {
    /// The images.
    #[schemars(with = "Vec<String>")]
    pub images: Vec<ImageName>,
    /// Refuses images of another kind.
    #[serde(default)]
    pub kind: Option<ImageKind>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ImageFacts {
    /// The recorded facts.
    #[serde(flatten)]
    pub image: Image,
    /// Its dataset.
    pub dataset: String,
    /// The volume label of an ISO.
    pub label: Option<String>,
    /// The size in bytes of a firmware's template of variables.
    pub variables: Option<u64>,
    /// How its dataset differs from what chyves stores, such as the lack of the snapshot that guests are made from.
    pub problems: Vec<Failure>,
    /// The settings that guests made from it get.
    pub wants: BTreeMap<String, String>,
    /// The datasets that are clones of it.
    pub clones: Vec<String>,
    /// The guests that run with it, in a drive or as their firmware.
    pub running: Vec<String>,
    /// The guests that boot with it as their firmware.
    pub boots: Vec<String>,
    /// Other guests whose settings record that they were made from it.
    pub named_by: Vec<String>,
}

impl Operation for ImageInfo {
    const NAME: &'static str = "image-info";
    type Answer = Vec<ImageFacts>;

    fn needs(&self) -> Needs {
        Needs { guests: Some(Targets::All), images: Which::All, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let mut all = Vec::new();
        let mut lost = Vec::new();
        for name in &self.images {
            match of_kind(&seen.world, name, self.kind.map(Into::into)) {
                Ok(image) => all.push(facts(engine, &seen.world, image)?),
                Err(problem) => lost.push((name, problem)),
            }
        }
        let found = all.len();
        Ok(Outcome::without(all, "images could not be read", found, lost))
    }
}

fn facts(engine: &Engine, world: &World, image: &image::Image) -> Result<ImageFacts> {
    let snapshot = image.snapshot()?;
    let clones = observe::snapshots::clones(&snapshot)?;
    let is_clone = |guest: &&Guest| clones.iter().any(|clone| clone == guest.dataset.as_str());
    let names = |guests: &[&Guest]| guests.iter().map(|guest| guest.name.to_string()).collect();
    let named: Vec<&Guest> = plan::image::named_by(world, &image.name).into_iter().filter(|guest| !is_clone(guest)).collect();
    let ready = Some(observe::exists(&snapshot.to_string())?);
    let stored = image::Image { stored: image::Stored { ready, ..image.stored.clone() }, ..image.clone() };
    Ok(ImageFacts {
        image: Image::of(image),
        dataset: image.dataset.to_string(),
        label: image.label.clone(),
        variables: image.vars.as_ref().map(|vars| vars.size.get()),
        problems: plan::image::drifted(&stored).into_iter().map(Failure).collect(),
        wants: image.wants.iter().cloned().collect(),
        running: shared_mounts::users(&engine.runtime, &image.dataset)?.iter().map(GuestName::to_string).collect(),
        boots: names(&plan::image::booted_by(world, &image.name)),
        named_by: names(&named),
        clones,
    })
}
