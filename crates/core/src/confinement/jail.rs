//! The jail of a bhyve process on FreeBSD, as data.
//!
//! Not here: what has to be in it, and the commands that create and remove it (`vmm::bhyve::jail`).

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A jail for one bhyve process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jail {
    /// Its name.
    pub name: String,
    /// The path of its root.
    pub root: String,
    /// Its configuration file for jail(8).
    pub conf: String,
    /// The devfs ruleset of its /dev.
    pub ruleset: u32,
    /// What it contains.
    pub reach: Reach,
}

/// What one bhyve process opens.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Reach {
    /// Files and folders by path, and whether it writes to them.
    pub files: BTreeMap<String, bool>,
    /// Those of them that are folders: a folder has to be mounted over a folder.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub folders: BTreeSet<String>,
    /// Nodes in /dev.
    pub nodes: BTreeSet<String>,
    /// A sentence for each device with files that are not all known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsure: Vec<String>,
}
