//! Settings of guests, of the defaults or of the host, with the source of each value.

use crate::needs::{DiskNeeds, Needs, Observed, Pools};
use crate::operation::{Operation, Outcome};
use crate::{Engine, Targets, sizes};
use chyves_core::error::{Problem, Result};
use chyves_core::pool::Root;
use chyves_core::property::settings::{Own, OwnValues, Settings};
use chyves_core::property::{self, Scope, catalog};
use chyves_host::observe;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Reads settings.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SettingGet {
    /// What has the settings.
    pub of: Holder,
    /// The properties; all if there are none.
    pub properties: Vec<String>,
}

/// What has settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Holder {
    /// Guests.
    Guests(Targets),
    /// What guests inherit.
    Defaults,
    /// The host.
    Global,
}

impl Default for Holder {
    fn default() -> Self {
        Self::Guests(Targets::All)
    }
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Setting {
    /// The guest, or the pool and what of it: `tank:defaults`.
    pub name: String,
    /// The property.
    pub property: String,
    /// Its value as it is set.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: Source,
    /// The dataset that it is inherited from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inherited_from: Option<String>,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// It is set here.
    Local,
    /// It was received with a stream.
    Received,
    /// It is set on a dataset above.
    Inherited,
    /// It is the default.
    Default,
    /// There is no value.
    None,
}

impl Source {
    /// Where a value comes from, with the dataset that it is inherited from.
    pub(crate) fn of(source: property::Source) -> (Self, Option<String>) {
        match source {
            property::Source::Local => (Self::Local, None),
            property::Source::Received => (Self::Received, None),
            property::Source::Inherited(from) => (Self::Inherited, Some(from.to_string())),
            property::Source::Default => (Self::Default, None),
            property::Source::None => (Self::None, None),
        }
    }
}

impl Setting {
    fn of(name: &str, setting: property::Setting) -> Self {
        let (source, inherited_from) = Source::of(setting.source);
        Self { name: name.to_owned(), property: setting.property, value: setting.value, source, inherited_from }
    }
}

impl SettingGet {
    fn is_all(&self) -> bool {
        self.properties.is_empty()
    }

    fn keys(&self) -> Option<Vec<String>> {
        if self.is_all() { None } else { self.properties.iter().map(|name| property::find(name).ok().map(|known| known.key)).collect() }
    }

    /// The numbers of disks whose sizes are among the properties.
    fn sizes(&self) -> Vec<u16> {
        self.keys().unwrap_or_default().iter().filter_map(|key| sizes::number(key)).collect()
    }

    fn chosen(&self, settings: &Settings) -> Result<Vec<property::Setting>> {
        if self.is_all() {
            return Ok(settings.all());
        }
        self.properties.iter().map(|name| Ok(settings.get(&property::find(name)?))).collect()
    }

    /// The defaults or the local settings of one pool.
    fn of_root(&self, root: &Root) -> Result<Vec<property::Setting>> {
        let (dataset, scopes): (_, &[Scope]) = if self.of == Holder::Defaults {
            (root.guests(), &[Scope::Guest])
        } else {
            (root.dataset.clone(), &[Scope::Global, Scope::Pool])
        };
        let own: OwnValues = observe::dataset(&dataset)?.map(|row| row.own).unwrap_or_default();
        let settings = Settings::new(own.iter().map(|(k, v): (&String, &Own)| (k.clone(), v.clone())).collect(), Vec::new());
        if !self.is_all() {
            return self.chosen(&settings);
        }
        let plain = catalog::all().filter(|p| scopes.contains(&p.scope) && !p.key.contains("{n}"));
        let mut found: Vec<property::Setting> = plain.map(|p| property::find(p.key).map(|k| settings.get(&k))).collect::<Result<_>>()?;
        let numbered = own.keys().filter(|k| !found.iter().any(|s| s.property == **k)).cloned().collect::<Vec<_>>();
        found.extend(numbered.iter().filter_map(|k| property::find(k).ok()).map(|k| settings.get(&k)));
        Ok(found)
    }
}

impl Operation for SettingGet {
    const NAME: &'static str = "setting-get";
    type Answer = Vec<Setting>;

    fn needs(&self) -> Needs {
        match &self.of {
            Holder::Guests(targets) => {
                let disks = if *targets == Targets::All || self.sizes().is_empty() { DiskNeeds::None } else { DiskNeeds::Mounted };
                let keys = if *targets == Targets::All { self.keys() } else { None };
                Needs { guests: Some(targets.clone()), keys, disks, ..Needs::default() }
            }
            Holder::Defaults | Holder::Global => Needs { pools: Pools::Primary, ..Needs::default() },
        }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let mut all = Vec::new();
        let Holder::Guests(targets) = &self.of else {
            let what = if self.of == Holder::Defaults { "defaults" } else { "global" };
            for root in &seen.world.roots {
                let name = format!("{}:{what}", root.dataset.pool());
                all.extend(self.of_root(root)?.into_iter().map(|setting| Setting::of(&name, setting)));
            }
            return Ok(all.into());
        };
        let guests = seen.guests();
        for (index, guest) in guests.iter().enumerate() {
            for number in if *targets == Targets::All { Vec::new() } else { self.sizes() } {
                let disks = seen.disks.get()?.get(index).ok_or_else(|| Problem::bug("a guest was observed without its disks"))?;
                if let Some(why) = sizes::differs(guest, disks, number) {
                    let name = &guest.name;
                    engine.events.note(&format!("disk{number} of {name}: {why}; `chyves disk sync {name} disk{number}` records it"));
                }
            }
            all.extend(self.chosen(&guest.settings)?.into_iter().map(|setting| Setting::of(guest.name.as_str(), setting)));
        }
        Ok(Outcome::without(all, "guests could not be read", guests.len(), seen.lost.clone()))
    }
}
