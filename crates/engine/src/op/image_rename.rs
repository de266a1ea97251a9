//! Gives an image another name.

use super::image_uses::{above, not_running};
use crate::Engine;
use crate::answer::ImageKind;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use chyves_core::error::{Problem, Result};
use chyves_core::plan::{self, image::of_kind};
use chyves_core::value::{GuestName, ImageName};
use chyves_core::world::World;
use chyves_host::observe::{self, Look, Which};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Renames an image, and what guests record of it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageRename {
    /// The image.
    #[schemars(with = "String")]
    pub image: ImageName,
    /// Its new name.
    #[schemars(with = "String")]
    pub name: ImageName,
    /// Refuses an image of another kind.
    #[serde(default)]
    pub kind: Option<ImageKind>,
}

/// An image that was renamed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ImageRenamed {
    /// The name that it had.
    pub object: String,
    /// What was done.
    pub done: ImageRenamedWord,
    /// Its new name.
    pub name: String,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImageRenamedWord {
    /// It was renamed.
    Renamed,
}

impl Operation for ImageRename {
    const NAME: &'static str = "image-rename";
    type Answer = Vec<ImageRenamed>;

    fn needs(&self) -> Needs {
        let names = vec![self.image.to_string(), self.name.to_string()];
        Needs { locks: vec![("image", names)], nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let (from, to) = (&self.image, &self.name);
        let all = Look { guests: Which::All, images: Which::All, ..Look::default() };
        let named =
            |world: &World| plan::image::changed_by_name(world, from).into_iter().map(|g| g.name.clone()).collect::<Vec<GuestName>>();
        let guests = named(&engine.look(&all)?);
        let _guests = engine.lock("guest", &guests)?;
        let _settings = engine.lock("pool", &["settings"])?;
        // The state may have changed before the guests were locked.
        let seen = engine.look(&all)?;
        if !named(&seen).iter().all(|name| guests.contains(name)) {
            return Err(Problem::not_now(format!("a guest has begun to use `{from}` meanwhile")).on(from).hint("try again"));
        }
        // An observation of all guests does not include their folders.
        let world = engine.look(&Look { guests: Which::Named(guests), images: Which::All, ..Look::default() })?;
        let image = of_kind(&world, from, self.kind.map(Into::into))?;
        not_running(engine, image)?;
        let guids = observe::guids(&[image.dataset.to_string()])?;
        let above = above(&seen)?;
        let plan = plan::image::rename(&world, &plan::image::Rename { from: from.clone(), to: to.clone(), guids, above })?;
        if engine.carry_out(&world, &plan, from.as_str())?.is_none() {
            return Ok(Outcome::shown());
        }
        Ok(vec![ImageRenamed { object: from.to_string(), done: ImageRenamedWord::Renamed, name: to.to_string() }].into())
    }
}
