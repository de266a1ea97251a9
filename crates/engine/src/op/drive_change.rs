//! Changes the medium in an optical drive of a running guest.

use crate::Engine;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::start::{hold, let_go_of, with_supervisor};
use chyves_core::action::Action;
use chyves_core::error::{Code, Problem, Result};
use chyves_core::plan::{self, media::Request};
use chyves_core::value::{Dataset, GuestName, ImageName};
use chyves_host::observe::{self, Look, Which};
use chyves_host::supervise::Spawner;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Inserts an ISO, or ejects one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DriveChange {
    /// The guest.
    #[schemars(with = "String")]
    pub guest: GuestName,
    /// The ISO; the drive is emptied if it is missing.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub iso: Option<ImageName>,
    /// The number of the drive; the first empty one, or for ejecting the one that is not.
    #[serde(default)]
    pub drive: Option<usize>,
    /// Overrides the guest's lock on the drive.
    #[serde(default)]
    pub force: bool,
}

/// A drive whose medium was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DriveChanged {
    /// The guest.
    pub object: String,
    /// What was done.
    pub done: DriveWord,
    /// The number of the drive.
    pub drive: usize,
    /// Whether it took effect at once; otherwise at the next reboot of the guest.
    pub at_once: bool,
}

/// What was done to a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DriveWord {
    /// An ISO was inserted.
    Inserted,
    /// It was emptied.
    Ejected,
}

impl Operation for DriveChange {
    const NAME: &'static str = "drive-change";
    type Answer = Vec<DriveChanged>;

    fn needs(&self) -> Needs {
        // A new supervisor may have to take over before the guest is observed.
        Needs { locks: vec![("guest", vec![self.guest.to_string()])], nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let (name, disc) = (&self.guest, self.iso.as_ref());
        let images = if disc.is_some() { Which::All } else { Which::None };
        let look = || engine.look(&Look { images: images.clone(), ..Look::at(std::slice::from_ref(name)) });
        let mut world = look()?;
        let guest = observe::guest(&world, name)?;
        if !engine.dry_run {
            with_supervisor(engine, guest, &Spawner::this_program()?)?;
            world = look()?;
        }
        let guest = observe::guest(&world, name)?;
        let record = engine.runtime.observe(guest.uuid, &guest.dataset)?.record;
        let (launch, reboots) = match &record {
            Some(record) if guest.state.is_alive() => (Some(&record.launch), record.reboots),
            Some(_) | None => (None, 0),
        };
        let request = Request { drive: self.drive, disc: disc.cloned(), force: self.force, reboots };
        let Some(launch) = launch else {
            return Err(Code::GuestNotRunning
                .problem(format!("`{name}` is {}: only a running guest has an ISO in a drive", guest.state.word()))
                .on(name)
                .hint(format!("`chyves start {name} --iso {}` starts it with one", disc.map_or("IMAGE", |d| d.as_str()))));
        };
        let plan = plan::media::change(&world, guest, launch, &request)?;
        let dataset = disc.map(|disc| Ok::<Dataset, Problem>(plan::drives::disc(&world, disc)?.dataset.clone())).transpose()?;
        let own: Vec<Dataset> = dataset.into_iter().collect();
        let held = hold(engine, &own)?;
        let done = engine.carry_out(&world, &plan, name.as_str());
        drop(held);
        // Images that the guest no longer uses, or did not get.
        let_go_of(engine, &launch.borrows.iter().chain(&own).cloned().collect::<Vec<_>>());
        match (done?, plan.steps.last()) {
            (None, _) => Ok(Outcome::shown()),
            (Some(_), Some(Action::ChangeDisc { drive, .. })) => {
                let done = if disc.is_some() { DriveWord::Inserted } else { DriveWord::Ejected };
                Ok(vec![DriveChanged { object: name.to_string(), done, drive: *drive, at_once: plan.notes.is_empty() }].into())
            }
            (Some(_), _) => Ok(Vec::new().into()),
        }
    }
}
