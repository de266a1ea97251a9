//! The cloud-init documents of a guest's next start, and whether guests have seen their present ones.

use crate::answer::State;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::{Engine, Targets};
use chyves_core::check::trust;
use chyves_core::cloudinit::{FOLDER, settings};
use chyves_core::error::{Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::plan;
use chyves_core::property::keys;
use chyves_core::value::{FilePath, GuestName};
use chyves_core::world::World;
use chyves_host::hostfs::own;
use chyves_host::observe::{self, Look};
use chyves_host::seed;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Size limit of a seed, in bytes.
const SEED_LIMIT: u64 = 64 << 20;

/// Reads the cloud-init documents of a guest's next start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloudInitShow {
    /// The guest.
    #[schemars(with = "String")]
    pub guest: GuestName,
    /// Only this document; all if it is missing.
    #[serde(default)]
    pub document: Option<String>,
    /// Whether parts of user-data that are base64 are decoded.
    #[serde(default)]
    pub decoded: bool,
}

impl Operation for CloudInitShow {
    const NAME: &'static str = "cloud-init-show";
    /// The documents by their names, without secrets.
    type Answer = BTreeMap<String, String>;

    fn needs(&self) -> Needs {
        // Its file system may be mounted for that.
        let locks = vec![("guest", vec![self.guest.to_string()])];
        Needs { locks, guests: Some(self.guest.clone().into()), ..Needs::default() }
    }

    fn run(&self, _: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let world = &seen.world;
        let guest = observe::guest(world, &self.guest)?;
        let seed = settings::of(guest)?.ok_or_else(|| {
            Problem::not_now(format!("`{}` is not set up by cloud-init", guest.name))
                .on(&guest.name)
                .hint(format!("`chyves set {} ci.enabled=yes` enables it", guest.name))
        })?;
        plan::locked::guest(world, guest)?;
        trust::check_key(world, guest, keys::CI_PASSWORD_FILE, "show the seed of")?;
        let documents = seed::visit(guest, |folder| seed::shown(&seed, &FilePath::below(folder, FOLDER), self.decoded))?;
        let all = documents.each();
        let is_chosen = |name: &str| self.document.as_deref().is_none_or(|wanted| wanted == name);
        let chosen: BTreeMap<String, String> =
            all.iter().filter(|(name, _)| is_chosen(name)).map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        if chosen.is_empty() {
            let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
            let wanted = self.document.as_deref().unwrap_or_default();
            return Err(Problem::not_found(format!("the seed of `{}` has no `{wanted}`", guest.name))
                .on(&guest.name)
                .hint(format!("it has {}", names.join(", "))));
        }
        Ok(chosen.into())
    }
}

/// Reads whether guests are set up by cloud-init, and have seen the present settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloudInitStatus {
    /// The guests.
    pub guests: Targets,
}

/// A guest and its seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CloudInitState {
    /// The guest.
    pub guest: String,
    /// Whether it is set up by cloud-init.
    pub enabled: bool,
    /// The instance that its next start is: what is done once an instance is done again for another one.
    pub instance_id: Option<String>,
    /// Its host name.
    pub hostname: Option<String>,
    /// Its state.
    pub state: State,
    /// Whether it runs with the seed of the present settings; null if it does not run, or runs without a seed.
    pub current: Option<bool>,
}

impl Operation for CloudInitStatus {
    const NAME: &'static str = "cloud-init-status";
    type Answer = Vec<CloudInitState>;

    fn needs(&self) -> Needs {
        Needs { guests: Some(self.guests.clone()), ..Needs::default() }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let (mut all, mut lost) = (Vec::new(), seen.lost.clone());
        for name in seen.guests().into_iter().map(|guest| guest.name.clone()) {
            match state_of(engine, &name) {
                Ok(state) => all.push(state),
                Err(problem) => lost.push((name, problem)),
            }
        }
        let found = all.len();
        Ok(Outcome::without(all, "guests could not be read", found, lost))
    }
}

/// The state of one guest, under its lock, since its file system may have to be mounted.
fn state_of(engine: &Engine, name: &GuestName) -> Result<CloudInitState> {
    let _lock = engine.lock("guest", &[name])?;
    let world = engine.look(&Look::at(std::slice::from_ref(name)))?;
    let guest = observe::guest(&world, name)?;
    let seed = settings::of(guest)?;
    let current = seed.as_ref().map(|seed| current(engine, &world, guest, seed)).transpose()?.flatten();
    Ok(CloudInitState {
        guest: guest.name.to_string(),
        enabled: seed.is_some(),
        instance_id: seed.as_ref().map(|seed| seed.instance_id.clone()),
        hostname: seed.as_ref().map(|seed| seed.hostname.to_string()),
        state: State::of(guest),
        current,
    })
}

/// Whether a guest runs with the seed of its present settings.
fn current(engine: &Engine, world: &World, guest: &Guest, seed: &chyves_core::cloudinit::Seed) -> Result<Option<bool>> {
    plan::locked::guest(world, guest)?;
    // The file system of a foreign guest is not mounted to read from it.
    if guest.foreign.is_some() && !guest.mounted {
        return Ok(None);
    }
    let now = seed::visit(guest, |folder| seed::image(seed, &FilePath::below(folder, FOLDER)))?;
    let disc = engine.runtime.guest_dir(guest.uuid).join("cidata.iso");
    let had = if guest.state.is_alive() { own::read(disc, SEED_LIMIT).ok() } else { None };
    Ok(had.map(|had| had == now))
}
