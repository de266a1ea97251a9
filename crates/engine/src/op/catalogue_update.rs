//! Installs a newer, signed catalogue, or goes back to the one before.

use super::catalogue_status::CatalogueFacts;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::{Engine, places};
use chyves_core::catalogue::installed::State;
use chyves_core::error::{Problem, Result};
use chyves_core::{image, plan};
use chyves_host::catalogue as host_catalogue;
use chyves_host::catalogue::update::{self, Update};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Changes which catalogue is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum CatalogueUpdate {
    /// Installs a newer one.
    Install {
        /// The file or address of the catalogue.
        from: String,
        /// The file with the public keys to pin; those that are pinned already if it is missing.
        #[serde(default)]
        key: Option<String>,
        /// Whether that key may replace another one that is pinned.
        #[serde(default)]
        replace_key: bool,
        /// The file or address of the signature, where neither in the catalogue nor beside it.
        #[serde(default)]
        signature: Option<String>,
        /// Timeout of a server in seconds.
        #[serde(default = "timeout")]
        timeout: u32,
    },
    /// Goes back to the one before; the same again goes forth.
    Undo,
}

const fn timeout() -> u32 {
    image::SILENCE
}

/// The catalogue that is in force now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CatalogueChanged {
    /// What was changed.
    pub object: CatalogueObject,
    /// What was done.
    pub done: CatalogueWord,
    /// Which one it is.
    #[serde(flatten)]
    pub catalogue: CatalogueFacts,
    /// Who signed the one that was installed.
    pub signed_by: Option<String>,
    /// The key that was pinned, if another one was before.
    pub pinned: Option<String>,
}

/// What was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CatalogueObject {
    /// The catalogue of images.
    Catalogue,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CatalogueWord {
    /// It was installed.
    Installed,
    /// The one before is in force again.
    RolledBack,
}

impl Operation for CatalogueUpdate {
    const NAME: &'static str = "catalogue-update";
    type Answer = Vec<CatalogueChanged>;

    fn needs(&self) -> Needs {
        Needs { nothing: true, locks: vec![("image", vec!["catalogue".to_owned()])], ..Needs::default() }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let state = host_catalogue::state(&engine.runtime)?;
        let (plan, changed) = match self {
            Self::Install { from, key, replace_key, signature, timeout } => {
                let update = Update {
                    from: places::source(from)?,
                    signature: signature.as_deref().map(places::source).transpose()?,
                    key: key.as_deref().map(places::file).transpose()?,
                    replace_key: *replace_key,
                    silence: *timeout,
                    now: crate::now(),
                };
                let (new, pinned, found) = update::read(&engine.runtime, &state, &update)?;
                let is_new = state.pinned.as_ref().is_none_or(|before| before.identity != pinned.identity);
                let changed = CatalogueChanged {
                    object: CatalogueObject::Catalogue,
                    done: CatalogueWord::Installed,
                    catalogue: (&found).into(),
                    signed_by: Some(new.signed_by.clone()),
                    pinned: is_new.then(|| pinned.identity.clone()),
                };
                (plan::catalogue::install(&path(engine)?, &state, new, pinned)?, changed)
            }
            Self::Undo => {
                let plan = plan::catalogue::undo(&path(engine)?, &state)?;
                let after = State { current: state.previous.clone(), previous: state.current.clone(), pinned: state.pinned };
                let (found, _) = after.in_force()?;
                let (object, done) = (CatalogueObject::Catalogue, CatalogueWord::RolledBack);
                (plan, CatalogueChanged { object, done, catalogue: (&found).into(), signed_by: None, pinned: None })
            }
        };
        let is_new = !plan.steps.is_empty();
        let done = engine.carry_out(&seen.world, &plan, "catalogue")?;
        Ok(Outcome { answer: done.map(|_| if is_new { vec![changed] } else { Vec::new() }), problem: None })
    }
}

fn path(engine: &Engine) -> Result<String> {
    let path = host_catalogue::state_file(&engine.runtime);
    path.to_str().map(str::to_owned).ok_or_else(|| Problem::usage("the path of the state folder is not UTF-8 text"))
}
