//! Which catalogue is in force.

use super::catalogue_age;
use crate::Engine;
use crate::answer::Time;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use chyves_core::catalogue::Catalogue;
use chyves_core::catalogue::installed::Pinned;
use chyves_core::error::Result;
use chyves_host::catalogue as host_catalogue;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Reads which catalogue is in force.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogueStatus {}

/// The catalogue in force, and what may replace it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CatalogueState {
    /// Which one it is.
    #[serde(flatten)]
    pub catalogue: CatalogueFacts,
    /// The number of the administrator's own systems, which come before those of the catalogue.
    pub own_systems: usize,
    /// The file or address that it came from; null if it comes with chyves.
    pub from: Option<String>,
    /// Who signed it.
    pub signed_by: Option<String>,
    /// When it was installed.
    pub installed: Option<Time>,
    /// The catalogue before, to which it can be rolled back.
    pub before: Option<CatalogueFacts>,
    /// The key that the next one must be signed with.
    pub key: Option<PinnedKey>,
    /// The file that records all this.
    pub file: String,
}

/// A catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CatalogueFacts {
    /// Its number: a newer one has a higher one.
    pub serial: u64,
    /// The date on which it was issued: `2026-01-31`.
    pub issued: String,
    /// Its age in days.
    pub age_days: Option<i64>,
    /// The number of its systems.
    pub systems: usize,
    /// The number of its security advisories.
    pub advisories: usize,
}

impl From<&Catalogue> for CatalogueFacts {
    fn from(catalogue: &Catalogue) -> Self {
        Self {
            serial: catalogue.serial,
            issued: catalogue.issued.clone(),
            age_days: catalogue_age(catalogue),
            systems: catalogue.systems.len(),
            advisories: catalogue.advisories.len(),
        }
    }
}

/// A key that is trusted to sign catalogues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PinnedKey {
    /// What it is.
    pub identity: String,
    /// The file that it came from.
    pub file: String,
}

impl From<&Pinned> for PinnedKey {
    fn from(pinned: &Pinned) -> Self {
        Self { identity: pinned.identity.clone(), file: pinned.file.clone() }
    }
}

impl Operation for CatalogueStatus {
    const NAME: &'static str = "catalogue-status";
    type Answer = CatalogueState;

    fn needs(&self) -> Needs {
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let state = host_catalogue::state(&engine.runtime)?;
        let (found, installed) = state.in_force()?;
        Ok(CatalogueState {
            catalogue: (&found).into(),
            own_systems: host_catalogue::own()?.len(),
            from: installed.map(|one| one.from.clone()),
            signed_by: installed.map(|one| one.signed_by.clone()),
            installed: installed.and_then(|one| Time::recorded(&one.at)),
            before: state.previous.as_ref().and_then(|before| before.catalogue().ok()).as_ref().map(CatalogueFacts::from),
            key: state.pinned.as_ref().map(PinnedKey::from),
            file: host_catalogue::state_file(&engine.runtime).display().to_string(),
        }
        .into())
    }
}
