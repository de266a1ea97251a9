//! A catalogue that was installed beside the one that comes with the program, and which of the two is in force.
//!
//! All of it is one small file, so that whatever happens there is the old state or the new one.
//! Not here: which one may follow (`plan::catalogue`), checking signatures and reading that file (chyves-host `catalogue`).

use super::Catalogue;
use crate::error::Result;
use serde::{Deserialize, Serialize};

/// What is installed on a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The keys, one of which must have signed an update.
    pub pinned: Option<Pinned>,
    /// The catalogue that was installed last, and was not undone.
    pub current: Option<Installed>,
    /// The one before, for `undo`.
    pub previous: Option<Installed>,
}

/// Keys that somebody trusts to sign catalogues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// What tells these keys from others.
    pub identity: String,
    /// The file that they came from.
    pub file: String,
    /// The file's bytes, base64.
    pub keys: String,
}

/// One catalogue, with its history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Installed {
    /// Its text, as it was signed.
    pub text: String,
    /// Where it came from.
    pub from: String,
    /// Who signed it.
    pub signed_by: String,
    /// When it was installed.
    pub at: String,
}

impl Installed {
    /// The catalogue.
    ///
    /// # Errors
    /// This program can't use it: it is of a newer form.
    pub fn catalogue(&self) -> Result<Catalogue> {
        Catalogue::parse(&self.text, &self.from)
            .map_err(|problem| problem.hint("`chyves image catalogue undo` goes back to the one before"))
    }
}

impl State {
    /// The catalogue in force: the newer one of that which comes with the program and that which was installed, which is
    /// given with it where it is that.
    ///
    /// # Errors
    /// The installed one can't be used.
    pub fn in_force(&self) -> Result<(Catalogue, Option<&Installed>)> {
        let built_in = Catalogue::built_in()?;
        let Some(installed) = &self.current else { return Ok((built_in, None)) };
        let found = installed.catalogue()?;
        Ok(if found.serial > built_in.serial { (found, Some(installed)) } else { (built_in, None) })
    }
}
