//! The rules of the host's packet filter for the guests of a bridge that share the host's address.

use crate::Engine;
use crate::needs::{Needs, Observed, Pools};
use crate::operation::{Operation, Outcome};
use chyves_core::error::{Problem, Result};
use chyves_core::network::{Design, nat};
use chyves_core::os::Os;
use chyves_core::value::IfName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Makes the rules of a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkNat {
    /// The bridge.
    #[schemars(with = "String")]
    pub bridge: IfName,
}

/// The rules of a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NatRules {
    /// The bridge.
    pub bridge: String,
    /// The packet filter that they are for.
    pub filter: PacketFilter,
    /// The rules, in its language.
    pub rules: String,
}

/// A packet filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PacketFilter {
    /// pf of FreeBSD.
    Pf,
    /// nftables of Linux.
    Nftables,
}

impl Operation for NetworkNat {
    const NAME: &'static str = "network-nat";
    type Answer = NatRules;

    fn needs(&self) -> Needs {
        Needs { settings: true, pools: Pools::Primary, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let (design, problem) = Design::to_show(&seen.world.primary()?.own)?;
        if let Some(problem) = problem {
            engine.warn_of(&problem);
        }
        let spec = design.must(self.bridge.as_str())?;
        let (filter, rules) = match seen.world.host.os {
            Os::FreeBsd => (PacketFilter::Pf, nat::pf(spec)),
            Os::Linux => (PacketFilter::Nftables, nat::nftables(spec)),
        };
        let rules = rules.ok_or_else(|| {
            Problem::not_now(format!("`{}` has no NAT", spec.name))
                .on(&spec.name)
                .hint(format!("`chyves network {} set nat=INTERFACE address=10.0.0.1/24`", spec.name))
        })?;
        Ok(NatRules { bridge: spec.name.to_string(), filter, rules }.into())
    }
}
