//! Changes the cloud-init configuration of guests: SSH keys, the user's own documents, and the instance.

use super::Document;
use crate::answer::Each;
use crate::needs::{Needs, Observed};
use crate::operation::{OnGuests, Operation, Outcome};
use crate::several::Pace;
use crate::{Engine, Targets};
use chyves_core::cloudinit::{Text, settings};
use chyves_core::error::{Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::plan::{self, Plan};
use chyves_core::value::PublicKey;
use chyves_core::world::World;
use chyves_host::apply::Applied;
use chyves_host::observe::{self, Look};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Changes the SSH keys and the documents of guests.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloudInitSet {
    /// The guests.
    pub guests: Targets,
    /// Public SSH keys that are added to those that the guests have, as lines of `authorized_keys`.
    #[serde(default)]
    pub ssh_keys: Vec<String>,
    /// The user's own documents.
    #[serde(default)]
    pub texts: Vec<Document>,
    /// The user's own documents that are removed.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub remove: Vec<Text>,
}

/// A guest whose configuration was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CloudInitChanged {
    /// What was done.
    pub done: CloudInitWord,
    /// Whether SSH keys were added.
    pub keys_added: bool,
    /// The names of the documents that were set or removed.
    pub documents: Vec<String>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CloudInitWord {
    /// Its configuration was changed.
    Set,
}

impl Operation for CloudInitSet {
    const NAME: &'static str = "cloud-init-set";
    type Answer = Vec<Each<CloudInitChanged>>;

    fn needs(&self) -> Needs {
        // Each guest is locked and observed for itself.
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let mut keys = Vec::new();
        for line in &self.ssh_keys {
            keys.extend(PublicKey::all(line).map_err(|bad| Problem::from(bad).within("an SSH key cannot be used"))?);
        }
        let texts = self.all_texts()?;
        if texts.is_empty() && keys.is_empty() {
            return Err(Problem::usage("nothing is to be set").hint(
                "give a file: `chyves cloud-init set web01 --user-data FILE`, `--ssh-key FILE`; settings are changed by `chyves set web01 ci.…`",
            ));
        }
        let results = engine.each(&self.guests, Pace::InTurn, |world, guest| {
            let keys_added = !keys.is_empty() && add_keys(engine, world, guest, &keys)?;
            let documents = match (texts.is_empty(), keys_added) {
                (true, _) => Vec::new(),
                (false, false) => set(engine, world, guest, &texts)?,
                // The keys may have made it a guest of cloud-init.
                (false, true) => {
                    let world = engine.look(&Look::at(std::slice::from_ref(&guest.name)))?;
                    set(engine, &world, observe::guest(&world, &guest.name)?, &texts)?
                }
            };
            let is_changed = keys_added || !documents.is_empty();
            Ok(is_changed.then_some(CloudInitChanged { done: CloudInitWord::Set, keys_added, documents }))
        })?;
        Ok(Outcome::each_of(engine, results, "guests failed"))
    }
}

impl CloudInitSet {
    /// The documents that are set, and empty ones for those that are removed.
    fn all_texts(&self) -> Result<Vec<(Text, String)>> {
        let mut all = Vec::new();
        for document in &self.texts {
            plan::cloud_init::check_text(document.kind, &document.text, document.kind.file())?;
            all.push((document.kind, document.text.clone()));
        }
        all.extend(self.remove.iter().map(|text| (*text, String::new())));
        Ok(all)
    }
}

/// Adds SSH keys to a guest; whether it lacked some.
fn add_keys(engine: &Engine, world: &World, guest: &Guest, keys: &[PublicKey]) -> Result<bool> {
    let world = Engine::with_texts(world, guest)?;
    let plan = plan::cloud_init::add_keys(&world, guest, keys)?;
    Ok(engine.carry_out(&world, &plan, guest.name.as_str())?.is_some() && !plan.steps.is_empty())
}

/// Sets the documents of a guest; their names.
fn set(engine: &Engine, world: &World, guest: &Guest, texts: &[(Text, String)]) -> Result<Vec<String>> {
    let plan = plan::cloud_init::texts(guest, texts)?;
    let done = engine.carry_out(world, &plan, guest.name.as_str())?;
    Ok(done.map(|_| texts.iter().map(|(text, _)| text.file().to_owned()).collect()).unwrap_or_default())
}

/// Makes guests new instances at their next start.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloudInitReinit {
    /// The guests.
    pub guests: Targets,
}

/// A guest whose next start is the first boot of another instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Reinitialized {
    /// What was done.
    pub done: ReinitializedWord,
    /// The instance.
    pub instance_id: String,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReinitializedWord {
    /// Its next start is a first boot.
    Reinitialized,
}

impl OnGuests for CloudInitReinit {
    const NAME: &'static str = "cloud-init-reinit";
    type Shared = ();
    type Done = Reinitialized;

    fn targets(&self) -> &Targets {
        &self.guests
    }

    fn plan(&self, _: &Engine, (): &(), world: &World, guest: &Guest) -> Result<Plan> {
        plan::cloud_init::reinit(world, guest)
    }

    fn done(&self, (): &(), guest: &Guest, _: &Plan, _: &Applied) -> Option<Reinitialized> {
        let next = settings::generation(guest).unwrap_or_default().saturating_add(1);
        Some(Reinitialized { done: ReinitializedWord::Reinitialized, instance_id: format!("{}-{next}", guest.uuid) })
    }
}
