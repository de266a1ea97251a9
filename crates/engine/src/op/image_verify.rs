//! Reads images again, and compares them with what was imported.

use crate::Engine;
use crate::answer::ImageKind;
use crate::needs::{Needs, Observed, Pools};
use crate::operation::{Operation, Outcome};
use crate::several::sum_up;
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::image::Image;
use chyves_core::plan::{self, image::of_kind};
use chyves_core::value::ImageName;
use chyves_host::observe::{self, Which};
use chyves_host::shared_mounts;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Verifies images.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ImageVerify {
    /// The images; all if there are none.
    #[schemars(with = "Vec<String>")]
    pub images: Vec<ImageName>,
    /// Only images of this kind.
    pub kind: Option<ImageKind>,
}

/// An image that is what was imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Verified {
    /// The image.
    pub object: String,
    /// What was done.
    pub done: VerifiedWord,
    /// The SHA-256 of its content.
    pub sha256: Option<String>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VerifiedWord {
    /// It is what was imported.
    Verified,
}

impl Operation for ImageVerify {
    const NAME: &'static str = "image-verify";
    type Answer = Vec<Verified>;

    fn needs(&self) -> Needs {
        Needs { images: Which::All, pools: Pools::Primary, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let world = &seen.world;
        let kind = self.kind.map(Into::into);
        let mut failures = Vec::new();
        let images: Vec<&Image> = match &self.images[..] {
            [] => world.images.iter().filter(|image| kind.is_none_or(|kind| kind == image.kind)).collect(),
            names => names.iter().filter_map(|name| of_kind(world, name, kind).map_err(|problem| failures.push(problem)).ok()).collect(),
        };
        if images.is_empty() && failures.is_empty() {
            engine.events.note("there are no images to be read");
        }
        let mut all = Vec::new();
        for image in &images {
            match Self::verify(engine, seen, image) {
                Ok(verified) => all.extend(verified),
                Err(problem) => failures.push(problem),
            }
        }
        let problem = self.problem(failures, !all.is_empty());
        let shown = engine.dry_run && !images.is_empty();
        Ok(Outcome { answer: (!shown).then_some(all), problem })
    }
}

impl ImageVerify {
    fn verify(engine: &Engine, seen: &Observed, image: &Image) -> Result<Option<Verified>> {
        let plan = plan::image::verify(&seen.world, image);
        // Other guests may start with it meanwhile; unmounting it has to wait.
        let hold = if engine.dry_run { None } else { Some(shared_mounts::hold(&engine.runtime, &image.dataset, &engine.typed)?) };
        let result = plan.and_then(|plan| engine.carry_out(&seen.world, &plan, image.name.as_str()));
        drop(hold);
        if !engine.dry_run
            && let Err(problem) = shared_mounts::let_go(&engine.runtime, &image.dataset, &engine.typed)
        {
            engine.events.warning(&format!("{} stays mounted: {problem}", image.dataset));
        }
        let verified = |_| Verified { object: image.name.to_string(), done: VerifiedWord::Verified, sha256: image.sha256.clone() };
        match result {
            Ok(done) => Ok(done.map(verified)),
            // What was written to the file since the import is not in the snapshot.
            Err(problem) if problem.code == Kind::Failed && observe::exists(&image.snapshot()?.to_string())? => Err(problem.hint(format!(
                "if the file was changed and the pool is healthy: `zfs rollback {}` restores what was imported, of which guests are made",
                image.snapshot()?
            ))),
            Err(problem) => Err(problem),
        }
    }

    fn problem(&self, mut failures: Vec<Problem>, some_are_intact: bool) -> Option<Problem> {
        // Some of the named images are intact.
        if self.images.len() > 1 && some_are_intact {
            let lost = failures.into_iter().map(|problem| (problem.object.clone().unwrap_or_default(), problem)).collect();
            return sum_up("images are not there or not what was imported", self.images.len(), lost);
        }
        match failures.len() {
            0 => None,
            1 => Some(failures.remove(0)),
            n => {
                let problem = Problem::failed(format!("{n} images are not what was imported"));
                let all = failures.iter().fold(problem, Problem::because);
                Some(all.hint("`zpool status -v` shows whether the pool is damaged"))
            }
        }
    }
}
