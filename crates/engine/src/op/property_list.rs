//! Lists the properties that users can set.

use crate::Engine;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use chyves_core::error::Result;
use chyves_core::property::{self, Access, catalog};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lists properties.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PropertyList {}

/// One property.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PropertyRow {
    /// Its key; `{n}` stands for the number of a device.
    pub property: String,
    /// Its allowed values, for people.
    pub values: String,
    /// Its value where it is not set; null if there is none, or if it is derived.
    pub default: Option<String>,
    /// Where its value comes from where it is not set and derived, for people.
    pub derived_from: Option<String>,
    /// When a change takes effect, for people.
    pub effect: String,
    /// What it reaches on the host; null if nothing.
    pub host: Option<String>,
    /// What it is, in one sentence.
    pub summary: String,
}

impl Operation for PropertyList {
    const NAME: &'static str = "property-list";
    type Answer = Vec<PropertyRow>;

    fn needs(&self) -> Needs {
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, _: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let shown = catalog::all().filter(|p| p.access == Access::Free || p.reach.words().is_some());
        let row = |p: &property::Property| {
            let (default, derived_from) = match p.unset {
                property::Unset::Value(value) => (Some(value.to_owned()), None),
                property::Unset::Nothing => (None, None),
                property::Unset::Derived(from) => (None, Some(from.to_owned())),
            };
            PropertyRow {
                property: p.key.to_owned(),
                values: p.kind.words(),
                default,
                derived_from,
                effect: p.effect.words().to_owned(),
                host: p.reach.words().map(str::to_owned),
                summary: p.summary.to_owned(),
            }
        };
        Ok(shown.map(row).collect::<Vec<_>>().into())
    }
}
