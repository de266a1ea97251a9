//! A start in the foreground: what is prepared for it is the engine's, the life of the guest is the caller's, which runs it for
//! as long as the guest does.

use crate::start::{Claims, Media, alone, hold, let_go_of};
use crate::{Engine, Targets};
use chyves_core::action::Action;
use chyves_core::error::{Problem, Result};
use chyves_core::launch::Launch;
use chyves_core::value::{Dataset, GuestName, ImageName};
use chyves_host::observe::{self, Look};
use chyves_host::runtime::Lock;
use chyves_host::supervise::{self, Outcome, Progress, Spawner};

/// A guest that is ready to run in this process. Dropping it releases what was kept for the start.
pub struct Foreground<'e> {
    engine: &'e Engine,
    /// The guest.
    pub name: GuestName,
    /// What runs.
    pub launch: Box<Launch>,
    /// Keeps file systems mounted until the guest uses them.
    held: Vec<Lock>,
    /// The claims of the display's port and of the jail's ruleset.
    _claims: Claims,
    /// The file systems of the ISOs.
    media: Vec<Dataset>,
}

impl<'e> Foreground<'e> {
    /// Prepares the start of a guest; none if its plan was only shown.
    ///
    /// # Errors
    /// Not exactly one guest is named, it runs already, or it cannot start.
    pub fn prepare(engine: &'e Engine, guests: &Targets, isos: &[ImageName]) -> Result<Option<Self>> {
        let media = Media::find(engine, isos)?;
        let mut held = hold(engine, media.datasets())?;
        let prepared = Self::launch(engine, guests, &media, &mut held);
        let unused = !matches!(prepared, Ok(Some(_)));
        if unused {
            held.clear();
            let_go_of(engine, media.datasets());
        }
        let media = media.datasets().to_vec();
        Ok(prepared?.map(|(name, launch, claims)| Self { engine, name, launch, held, _claims: claims, media }))
    }

    fn launch(engine: &Engine, guests: &Targets, media: &Media, held: &mut Vec<Lock>) -> Result<Option<(GuestName, Box<Launch>, Claims)>> {
        let names = guests.names(&engine.look(&guests.look())?)?;
        let [name] = &names[..] else {
            return Err(Problem::usage("--foreground takes one guest").hint("start several without it"));
        };
        // Only until it runs: from then on its supervisor's own locks show that, and other commands may ask it to stop.
        let _lock = engine.lock("guest", &[name])?;
        let world = engine.look(&Look::at(std::slice::from_ref(name)))?;
        let guest = observe::guest(&world, name)?;
        alone(engine, guest)?;
        let mut start = media.ready(engine, &world, guest)?;
        if engine.dry_run {
            return engine.carry_out(&start.world, &start.plan, name.as_str()).map(|_| None);
        }
        let borrows = start.borrows(media);
        held.extend(hold(engine, &borrows)?);
        let Some(Action::Launch(launch)) = start.plan.steps.pop() else {
            return Err(Problem::not_now(format!("`{name}` is already {}", guest.state.word())).on(name));
        };
        let result = engine.carry_out_with(&start.world, &start.plan, name.as_str(), start.networks);
        if result.is_err() {
            held.clear();
            let_go_of(engine, &borrows);
        }
        result.map(|_| Some((name.clone(), launch, start.claims)))
    }

    /// Runs the guest in this process until it ends.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn run(mut self, progress: &mut dyn FnMut(Progress)) -> Result<Outcome> {
        let held = &mut self.held;
        let outcome = supervise::run_foreground(&self.engine.runtime, *self.launch, Spawner::this_program()?, &mut |step| {
            if matches!(step, Progress::Running) {
                held.clear();
            }
            progress(step);
        });
        self.held.clear();
        let_go_of(self.engine, &self.media);
        outcome
    }
}
