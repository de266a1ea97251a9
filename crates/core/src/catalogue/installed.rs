//! A catalogue that was installed in addition to the built-in one, and which of the two is in use.
//!
//! The whole state is one small file, so that a change is atomic. Not here: which catalogue may replace the present one
//! (`plan::catalogue`), verifying signatures and reading the file (chyves-host `catalogue`).

use super::Catalogue;
use crate::error::Result;
use serde::{Deserialize, Serialize};

/// The state of a host's catalogue.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The trusted keys, one of which must have signed an update.
    pub pinned: Option<Pinned>,
    /// The catalogue that was installed last and not undone.
    pub current: Option<Installed>,
    /// The previous one, for `undo`.
    pub previous: Option<Installed>,
}

/// Keys that the user trusts to sign catalogues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// Identifies the set of keys, to detect a change.
    pub identity: String,
    /// The file that they came from.
    pub file: String,
    /// The file's content in base64.
    pub keys: String,
}

/// One installed catalogue, with its origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Installed {
    /// Its text, exactly as it was signed.
    pub text: String,
    /// The URL or file that it came from.
    pub from: String,
    /// Who signed it.
    pub signed_by: String,
    /// When it was installed.
    pub at: String,
}

impl Installed {
    /// Parses the catalogue.
    ///
    /// # Errors
    /// This program does not support its format, which is newer.
    pub fn catalogue(&self) -> Result<Catalogue> {
        Catalogue::parse(&self.text, &self.from)
            .map_err(|problem| problem.hint("`chyves image catalogue undo` goes back to the one before"))
    }
}

impl State {
    /// The catalogue in use: the newer one of the built-in and the installed catalogue. The second value is `Some` if it is
    /// the installed one.
    ///
    /// # Errors
    /// The installed catalogue is invalid.
    pub fn in_force(&self) -> Result<(Catalogue, Option<&Installed>)> {
        let built_in = Catalogue::built_in()?;
        let Some(installed) = &self.current else { return Ok((built_in, None)) };
        let found = installed.catalogue()?;
        Ok(if found.serial > built_in.serial { (found, Some(installed)) } else { (built_in, None) })
    }
}
