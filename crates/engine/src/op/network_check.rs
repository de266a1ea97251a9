//! Compares the host's networks with their configuration.

use crate::answer::mirrored;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::{Engine, Targets};
use chyves_core::error::{Code, Result};
use chyves_core::network::compare::{self, Close};
use chyves_core::plan::network::apply;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Compares the host's networks with their configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkCheck {}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Difference {
    /// What differs: a bridge, a network interface.
    pub object: String,
    /// What of it differs.
    pub code: Aspect,
    /// How it differs, for people.
    pub message: String,
    /// Why chyves cannot close it, outermost first.
    pub causes: Vec<String>,
    /// Whether `network apply` closes it.
    pub by_apply: bool,
    /// The commands that `network apply` runs for it, or else what helps.
    pub cure: Vec<String>,
}

mirrored! {
    /// What of an object differs.
    Aspect of compare::Aspect {
        /// A bridge does not exist.
        BridgeMissing = "bridge-missing",
        /// Something else has the name of a bridge.
        NameTaken = "name-taken",
        /// The host cannot have a bridge of this type.
        Unsupported = "unsupported",
        /// The settings of a bridge contradict each other.
        Invalid = "invalid",
        /// A bridge is down.
        Down = "down",
        /// A bridge has another MTU.
        Mtu = "mtu",
        /// A bridge does not filter VLANs.
        VlanFiltering = "vlan-filtering",
        /// An address of a bridge is missing or elsewhere.
        Address = "address",
        /// An uplink does not exist.
        UplinkMissing = "uplink-missing",
        /// An uplink, or its VLAN, is down.
        UplinkDown = "uplink-down",
        /// The VLAN of an uplink does not exist.
        VlanMissing = "vlan-missing",
        /// An interface cannot be an uplink of this bridge.
        UplinkUnfit = "uplink-unfit",
        /// An uplink belongs to another bridge or node.
        UplinkElsewhere = "uplink-elsewhere",
        /// An uplink is not a member of its bridge.
        UplinkApart = "uplink-apart",
        /// A private bridge has an uplink.
        UplinkUnwanted = "uplink-unwanted",
        /// Address translation or a DHCP server of a bridge is not active.
        ServiceMissing = "service-missing",
        /// Address translation or a DHCP server is active for which nothing is configured.
        ServiceUnwanted = "service-unwanted",
        /// The interface of a bridge's address translation does not exist.
        NatInterface = "nat-interface",
        /// The tap of a running guest is gone.
        TapMissing = "tap-missing",
        /// The tap of a running guest is down.
        TapDown = "tap-down",
        /// The tap of a running guest is in another bridge, or in none.
        TapElsewhere = "tap-elsewhere",
        /// The bridge of a guest's NIC neither exists nor is configured.
        NicWithoutBridge = "nic-without-bridge",
    }
}

impl Operation for NetworkCheck {
    const NAME: &'static str = "network-check";
    type Answer = Vec<Difference>;

    fn needs(&self) -> Needs {
        Needs { guests: Some(Targets::All), settings: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, seen: &Observed) -> Result<Outcome<Self::Answer>> {
        let world = &seen.world;
        let facts = engine.networks_to_show(world, false)?;
        let all: Vec<Difference> = apply::differences(world, &facts)
            .iter()
            .map(|difference| {
                let (causes, cure) = match &difference.close {
                    Close::By(intents) => {
                        (Vec::new(), intents.iter().flat_map(|i| i.commands(world.host.os)).map(|c| c.to_string()).collect())
                    }
                    Close::Cant(problem) => (problem.causes.clone(), problem.hints.clone()),
                };
                let by_apply = matches!(difference.close, Close::By(_));
                let (object, message) = (difference.object.clone(), difference.says.clone());
                Difference { object, code: difference.aspect.into(), message, causes, by_apply, cure }
            })
            .collect();
        for spec in apply::waiting(world, &facts) {
            engine.events.note(&format!("{} does not exist, and no running guest uses it; a start creates it", spec.name));
        }
        let words = match all.len() {
            0 => return Ok(all.into()),
            1 => "one difference".to_owned(),
            n => format!("{n} differences"),
        };
        let apply = "`chyves network apply` applies what it can; a start applies what its guest needs";
        let problem = Code::NetworkDiffers
            .problem(format!("the host's networks differ from the configuration: {words}"))
            .hint_if(all.iter().any(|one| one.by_apply).then(|| apply.to_owned()));
        Ok(Outcome { answer: Some(all), problem: Some(problem) })
    }
}
