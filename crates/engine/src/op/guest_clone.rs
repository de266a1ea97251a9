//! Makes guests from another one, or from one of its snapshots.

use crate::answer::{Assignment, Each};
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::{Engine, checks, sizes};
use chyves_core::error::Result;
use chyves_core::guest::Guest;
use chyves_core::plan;
use chyves_core::value::{GuestName, SnapshotName};
use chyves_core::world::World;
use chyves_host::observe::names::Names;
use chyves_host::observe::{self, Look, snapshots};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Clones a guest.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestClone {
    /// The guest.
    #[schemars(with = "String")]
    pub source: GuestName,
    /// One of its snapshots; its present state if it is missing.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub snapshot: Option<SnapshotName>,
    /// The names of the clones.
    #[schemars(with = "Vec<String>")]
    pub names: Vec<GuestName>,
    /// Other settings of all of them.
    #[serde(default)]
    pub set: Vec<Assignment>,
    /// Makes full copies that depend on nothing.
    #[serde(default)]
    pub independent: bool,
    /// Keeps the source's identity; then only one of them can run at a time.
    #[serde(default)]
    pub exact: bool,
    /// The pool of independent clones; the source's if it is missing.
    #[serde(default)]
    pub pool: Option<String>,
}

/// A clone that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Cloned {
    /// What was done.
    pub done: ClonedWord,
    /// Its dataset.
    pub dataset: String,
    /// Its UUID.
    pub uuid: String,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClonedWord {
    /// It shares the source's disks until it writes.
    Cloned,
    /// It is a full copy.
    Copied,
}

impl Operation for GuestClone {
    const NAME: &'static str = "guest-clone";
    type Answer = Vec<Each<Cloned>>;

    fn needs(&self) -> Needs {
        // What settings name is looked for before anything is locked.
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let set = Assignment::pairs(&self.set);
        checks::usable_here(engine, &set)?;
        let mut involved = self.names.clone();
        involved.push(self.source.clone());
        let _locks = engine.lock("guest", &involved)?;
        let mut world = engine.look(&Look::at(&involved))?;
        let guest = observe::guest(&world, &self.source)?;
        let others = plan::set::Request { set: set.clone(), unset: Vec::new() };
        // Invalid settings are refused below.
        if plan::set::reads_texts(guest, &others).unwrap_or(false) {
            world = Engine::with_texts(&world, guest)?;
        }
        let guest = observe::guest(&world, &self.source)?;
        let request = self.request(engine, &world, guest, set)?;
        // Each separately: if one cannot be created, the others still are.
        let mut results = Vec::new();
        let mut names: Vec<GuestName> = Vec::new();
        let mut lost = Vec::new();
        let taken = Names::read(&world)?;
        for name in &self.names {
            let alone = plan::clone::Request { names: vec![name.clone()], ..request.clone() };
            match taken.free(name).and_then(|()| plan::clone::clone(&world, guest, &alone, &Engine::moment(1))) {
                Ok(_) => names.push(name.clone()),
                Err(problem) => lost.push((name.to_string(), Err(problem))),
            }
        }
        if !names.is_empty() {
            let request = plan::clone::Request { names: names.clone(), ..request };
            let plan = plan::clone::clone(&world, guest, &request, &Engine::moment(names.len()))?;
            let done = engine.carry_out(&world, &plan, self.source.as_str())?.is_some();
            let made = if done { Some(engine.look(&Look::at(&names))?) } else { None };
            for name in &names {
                results.push((name.to_string(), made.as_ref().map(|made| self.cloned(made, name)).transpose()));
            }
        }
        results.extend(lost);
        Ok(Outcome::each_of(engine, results, "clones could not be created"))
    }
}

impl GuestClone {
    fn cloned(&self, made: &World, name: &GuestName) -> Result<Cloned> {
        let clone = observe::guest(made, name)?;
        let done = if self.independent { ClonedWord::Copied } else { ClonedWord::Cloned };
        Ok(Cloned { done, dataset: clone.dataset.to_string(), uuid: clone.uuid.to_string() })
    }

    /// The request with everything that it needs of the source and its snapshot.
    fn request(&self, engine: &Engine, world: &World, guest: &Guest, set: Vec<(String, String)>) -> Result<plan::clone::Request> {
        let seen = match &self.snapshot {
            Some(name) => snapshots::of(world.host.dialect, guest)?.into_iter().find(|s| s.name == name.as_str()),
            None => {
                self.snapshot_meant(engine, world, guest)?;
                None
            }
        };
        let snapshot_exists = seen.is_some();
        let known = self.snapshot.as_ref().filter(|_| snapshot_exists);
        let carried = match &seen {
            Some(seen) => engine.settings_at(world, guest, seen)?,
            None => None,
        };
        if let (Some(seen), None) = (&seen, &carried) {
            let shown = format!("{}@{}", guest.name, seen.name);
            let (maker, name) = (seen.maker.word(), &guest.name);
            engine.events.warning(&format!("{shown} holds no settings ({maker}); clones get those that {name} has now"));
        }
        let measured = self.independent && (snapshot_exists || self.snapshot.is_none());
        let sizes = if measured { sizes::of_streams(world, guest, known)? } else { BTreeMap::new() };
        let natives = if sizes.is_empty() { BTreeMap::new() } else { observe::natives(sizes.keys())? };
        let volumes = match known {
            Some(name) => snapshots::volumes_with(guest, name)?.into_iter().map(|(s, _)| s.dataset.leaf().to_owned()).collect(),
            None => Vec::new(),
        };
        Ok(plan::clone::Request {
            volumes,
            snapshot: self.snapshot.clone(),
            snapshot_exists,
            carried,
            names: self.names.clone(),
            set,
            independent: self.independent,
            exact: self.exact,
            pool: self.pool.clone(),
            sizes,
            natives,
        })
    }

    /// Points out that a clone's name is that of a snapshot: `clone web01 good web02` may mean `web01@good`.
    fn snapshot_meant(&self, engine: &Engine, world: &World, guest: &Guest) -> Result<()> {
        let [first, .., last] = &self.names[..] else { return Ok(()) };
        if !snapshots::of(world.host.dialect, guest)?.iter().any(|seen| seen.name == first.as_str()) {
            return Ok(());
        }
        let source = &guest.name;
        engine.doubt(
            &format!("make {} clones of the present {source}, one of them called {first}", self.names.len()),
            &format!("{first} is also a snapshot of {source}; clones of that: `chyves clone {source}@{first} {last}`"),
        )
    }
}
