//! Lists guests that are clones or have clones, those on which others depend before these.

use crate::answer::State;
use crate::needs::{Needs, Observed, Pools};
use crate::operation::{Operation, Outcome};
use crate::{Engine, Targets};
use chyves_core::error::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lists clones.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CloneList {}

/// A guest that is a clone or has clones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CloneRow {
    /// The guest.
    pub name: String,
    /// Its state.
    pub state: State,
    /// Bytes that it uses in the pool.
    pub used: u64,
    /// The snapshot that it is a clone of, below the root of chyves.
    pub origin: Option<String>,
    /// The guest whose snapshot that is.
    pub above: Option<String>,
    /// The lines of its branch in a drawing of the tree.
    #[serde(skip)]
    pub branch: String,
}

impl Operation for CloneList {
    const NAME: &'static str = "clone-list";
    type Answer = Vec<CloneRow>;

    fn needs(&self) -> Needs {
        Needs { guests: Some(Targets::All), keys: Some(Vec::new()), pools: Pools::Primary, ..Needs::default() }
    }

    fn run(&self, _: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let guests = &seen.world.guests;
        let row = |branch: chyves_core::guest::clones::Branch| {
            let guest = &guests[branch.index];
            // Without the root that all have in common.
            let origin = guest.origin.as_deref().map(|o| o.strip_prefix(&format!("{}/", guest.root)).unwrap_or(o));
            CloneRow {
                name: guest.name.to_string(),
                state: State::of(guest),
                used: guest.used.get(),
                origin: origin.map(|o| o.strip_prefix("guests/").unwrap_or(o).to_owned()),
                above: branch.above.map(|above| guests[above].name.to_string()),
                branch: branch.lines,
            }
        };
        Ok(chyves_core::guest::clones::tree(guests).into_iter().map(row).collect::<Vec<_>>().into())
    }
}
