//! What the NICs of a guest need of the host's networks before it starts.
//!
//! Not here: how a bridge or tap is made ([`crate::plan::network`]).

use super::Request;
use crate::check::Wants;
use crate::error::Result;
use crate::guest::{Backend, Guest, Spec, backend};
use crate::os::{Intent, taps};
use crate::plan::network::attach;
use crate::world::World;

impl Wants {
    /// Leaves out nodes that are in the host's network design: they are inspected in detail, and created if needed,
    /// elsewhere.
    pub(super) fn leave_nodes(&mut self, request: &Request) {
        if let Some(facts) = &request.network {
            self.nodes.retain(|(_, node)| facts.design.node(node).is_none());
        }
    }
}

/// What the guest's NICs need of the host's networks. If the networks were not read, bridges are assumed to exist.
///
/// # Errors
/// What keeps a NIC from its network.
pub(super) fn attached(world: &World, guest: &Guest, spec: &Spec, request: &Request) -> Result<attach::Attached> {
    if let Some(facts) = &request.network {
        return attach::attach(&world.host, facts, &[(guest, spec)]);
    }
    let mut assumed = attach::Attached::default();
    for net in spec.nets.iter().filter(|n| backend(n, world.host.vmm) == Backend::Bridge) {
        let tap = attach::tap(guest, net)?;
        let (owner, mtu) = (taps::token(guest.uuid, net.number), net.mtu.unwrap_or(1500));
        if world.host.state.left_taps.contains(tap.as_str()) {
            assumed.intents.push(Intent::RemoveTap { tap: tap.clone(), owner: owner.clone() });
        }
        assumed.intents.push(Intent::MakeTap { tap: tap.clone(), owner, mtu, queues: net.queues });
        assumed.intents.push(Intent::Join { bridge: net.bridge.clone(), member: tap, vlan: net.vlan });
    }
    Ok(assumed)
}
