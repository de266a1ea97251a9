//! Makes foreign guests those of this host, after their settings that reach the host have been decided on.

use super::Source;
use crate::answer::{Each, mirrored};
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::several::Pace;
use crate::{Engine, Targets};
use chyves_core::check::trust;
use chyves_core::error::Result;
use chyves_core::guest::Guest;
use chyves_core::plan::adopt::{self, Fate, Request, Trust};
use chyves_core::property::reach;
use chyves_core::world::World;
use chyves_host::observe::{self, Look};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Adopts guests.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestAdopt {
    /// The guests.
    pub guests: Targets,
    /// Whether each gets a new UUID, new MAC addresses and new disk serials.
    #[serde(default)]
    pub new_identity: bool,
    /// Which settings that reach the host become trusted.
    #[serde(default)]
    pub trust: Trusting,
    /// Whether settings that reach the host and are not trusted are removed.
    #[serde(default)]
    pub drop_host_settings: bool,
}

/// Which settings that reach the host become trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Trusting {
    /// None.
    #[default]
    Nothing,
    /// All.
    All,
    /// Those of these keys.
    Keys(Vec<String>),
}

/// A guest that was adopted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Adopted {
    /// What was done.
    pub done: AdoptedWord,
    /// The settings that reach the host, and what became of each.
    pub host_settings: Vec<HostSetting>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AdoptedWord {
    /// It is this host's.
    Adopted,
    /// It was already, with the same settings.
    Unchanged,
}

/// A setting that reaches the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct HostSetting {
    /// The property.
    pub property: String,
    /// Its value.
    pub value: String,
    /// Where the value comes from.
    pub source: Source,
    /// The dataset that it is inherited from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inherited_from: Option<String>,
    /// How it reaches the host.
    pub host: Reach,
    /// What is done with what it names, if other settings decide that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
    /// What becomes of it.
    pub trust: Trusted,
}

mirrored! {
    /// How a setting reaches the host.
    Reach of reach::Reach {
        /// Its value can make the host run programs or code.
        RunsProgram = "runs-program",
        /// Its value names a file or folder of the host.
        NamesPath = "names-path",
        /// Its value names a device of the host.
        UsesDevice = "uses-device",
        /// Its value makes the host listen on a port that others can connect to.
        OpensPort = "opens-port",
        /// Its value attaches the guest to a network of the host.
        JoinsNetwork = "joins-network",
        /// Its value makes the guest start by itself.
        StartsByItself = "starts-by-itself",
        /// Its value gives the hypervisor more rights on the host.
        WeakensConfinement = "weakens-confinement",
        /// Its value makes the host run a loader as root on the guest's disks.
        RunsLoader = "runs-loader",
    }
}

impl Reach {
    /// The same in the words of tables.
    pub const fn words(self) -> &'static str {
        match self {
            Self::RunsProgram => reach::Reach::RunsProgram.words(),
            Self::NamesPath => reach::Reach::NamesPath.words(),
            Self::UsesDevice => reach::Reach::UsesDevice.words(),
            Self::OpensPort => reach::Reach::OpensPort.words(),
            Self::JoinsNetwork => reach::Reach::JoinsNetwork.words(),
            Self::StartsByItself => reach::Reach::StartsByItself.words(),
            Self::WeakensConfinement => reach::Reach::WeakensConfinement.words(),
            Self::RunsLoader => reach::Reach::RunsLoader.words(),
        }
    }
}

mirrored! {
    /// What is done with a file or device of the host.
    Access of chyves_core::guest::trust::Access {
        /// It is only read.
        Reads = "reads",
        /// It is read and written.
        Writes = "writes",
    }
}

mirrored! {
    /// What becomes of a setting that reaches the host.
    Trusted of Fate {
        /// It is trusted and used.
        Trusted = "trusted",
        /// It stays, and the guest does not start while it is set.
        Untrusted = "untrusted",
        /// It is removed.
        Removed = "removed",
    }
}

impl HostSetting {
    /// How it reaches the host, in the words of tables.
    pub fn words(&self) -> String {
        let host = self.host.words();
        self.access.map_or_else(|| host.to_owned(), |access| format!("{host}, {} it", access.word()))
    }

    fn of((setting, fate): (trust::HostSetting, Fate)) -> Self {
        let (source, inherited_from) = Source::of(setting.source);
        let (host, trust, access) = (setting.reach.into(), fate.into(), setting.access.map(Into::into));
        Self { property: setting.property, value: setting.value, source, inherited_from, host, access, trust }
    }
}

impl Operation for GuestAdopt {
    const NAME: &'static str = "guest-adopt";
    type Answer = Vec<Each<Adopted>>;

    fn needs(&self) -> Needs {
        // Each guest is locked and observed for itself.
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let trust = match &self.trust {
            Trusting::Nothing => Trust::Nothing,
            Trusting::All => Trust::All,
            Trusting::Keys(keys) => Trust::in_keys(keys)?,
        };
        let request = Request { trust, drop: self.drop_host_settings, ..Request::default() };
        let results = engine.each(&self.guests, Pace::InTurn, |world, guest| self.adopt(engine, world, guest, &request))?;
        Ok(Outcome::each_of(engine, results, "guests failed"))
    }
}

impl GuestAdopt {
    fn adopt(&self, engine: &Engine, world: &World, guest: &Guest, request: &Request) -> Result<Option<Adopted>> {
        // Oddities were already reported when the guest itself was observed.
        let all = observe::world(&engine.runtime, &Look::at_keys(Vec::new()))?.guests;
        let tree = observe::tree(&guest.dataset)?;
        let request = Request { identity: self.new_identity.then(chyves_host::identity::new), tree, ..request.clone() };
        let host_settings: Vec<HostSetting> = adopt::fates(world, guest, &request).into_iter().map(HostSetting::of).collect();
        let name = guest.name.as_str();
        let plan = adopt::adopt(world, guest, &all, &request).inspect_err(|_| engine.events.undecided(name, &host_settings))?;
        if plan.steps.is_empty() {
            engine.carry_out(world, &plan, name)?;
            return Ok(Some(Adopted { done: AdoptedWord::Unchanged, host_settings }));
        }
        if engine.dry_run {
            engine.events.undecided(name, &host_settings);
        }
        let done = engine.carry_out(world, &plan, name)?;
        Ok(done.map(|_| Adopted { done: AdoptedWord::Adopted, host_settings }))
    }
}
