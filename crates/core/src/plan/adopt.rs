//! `adopt`: a foreign guest becomes this host's.

use super::{Plan, keep_copy};
use crate::error::{Problem, Result};
use crate::guest::Guest;
use crate::property::keys;
use crate::property::settings::Own;
use crate::world::World;
use uuid::Uuid;

/// Plans an adoption: the owner is this host, the epoch is one higher, the identity is the guest's own again, or a new one
/// where one is given. `others` are all guests of the host.
///
/// # Errors
/// Another guest of this host has the identity, or whose host this is can't be told.
pub fn adopt(world: &World, guest: &Guest, others: &[Guest], identity: Option<Uuid>) -> Result<Plan> {
    if guest.foreign.is_none() {
        return Ok(Plan::nothing(format!("{} is this host's already", guest.name)));
    }
    let root = world.root_on(guest.root.pool())?;
    let host = world.this_host().ok_or_else(|| {
        let problem = Problem::not_now("whose host this is can't be told from its pools").on(&root.dataset);
        match root.host {
            Some(_) => problem.hint(format!("say which pool is this host's: `chyves pool promote {}`", root.dataset.pool())),
            None => problem.hint(format!("give the root a host id: zfs set chyves:host=$(uuidgen) {}", root.dataset)),
        }
    })?;
    let twin = others.iter().find(|o| o.uuid == guest.uuid && o.dataset != guest.dataset && o.foreign.is_none());
    if let (Some(twin), None) = (twin, identity) {
        return Err(Problem::not_now(format!(
            "`{}` is a copy of `{}`, and both would be the same machine on the network",
            guest.name, twin.name
        ))
        .on(&guest.name)
        .because(format!("{} has the uuid {} too", twin.dataset, guest.uuid))
        .hint(format!(
            "make it another machine: `chyves adopt {} --new-identity`; or let it take the other's place: delete `{}` first",
            guest.name, twin.name
        )));
    }
    let before = guest.settings.own_values();
    let epoch: u32 = guest.settings.own(keys::EPOCH).and_then(|e| e.parse().ok()).unwrap_or(0);
    let set = vec![
        (keys::UUID.to_owned(), identity.unwrap_or(guest.uuid).to_string()),
        (keys::OWNER.to_owned(), host.to_string()),
        (keys::EPOCH.to_owned(), epoch.saturating_add(1).to_string()),
    ];
    // Addresses and serials that were set by hand belong to the machine that it was.
    let fixed = |key: &&String| identity.is_some() && super::clone::is_identity(key);
    let clear: Vec<String> = before.keys().filter(fixed).cloned().collect();
    let mut after = before.clone();
    after.retain(|k, _| !clear.contains(k));
    for (k, v) in &set {
        after.insert(k.clone(), Own { value: v.clone(), received: false });
    }
    let mut plan = Plan::default();
    plan.push(super::set::change(world, &guest.dataset, before, set, clear));
    plan.steps.extend(keep_copy(guest, &after)?);
    plan.notes.push(format!("make sure that {} runs on no other host", guest.name));
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::Os;
    use crate::plan::testing;

    #[test]
    fn an_adoption_raises_the_epoch() {
        let mut g = testing::guest("web", &[("owner", "someone"), ("epoch", "3")]);
        let world = testing::world(Vec::new());
        assert!(adopt(&world, &g, &[], None).unwrap().steps.is_empty());
        g.foreign = Some("someone owns it".into());
        let text = adopt(&world, &g, &[], None).unwrap().script(Os::Linux);
        assert!(text.contains("chyves:epoch=4") && text.contains(&format!("chyves:owner={}", testing::HOST)), "{text}");
    }

    #[test]
    fn two_guests_are_never_one_machine() {
        let mut copy = testing::guest("copy", &[("net0.mac", "58:9c:fc:00:00:01"), ("net0.backend", "user")]);
        let own = testing::guest("web", &[]);
        (copy.foreign, copy.uuid) = (Some("received".into()), own.uuid);
        let world = testing::world(Vec::new());
        let all = [copy.clone(), own.clone()];
        assert!(adopt(&world, &copy, &all, None).unwrap_err().hints[0].contains("--new-identity"));
        let text = adopt(&world, &copy, &all, Some(Uuid::from_u128(9))).unwrap().script(Os::Linux);
        assert!(
            text.contains("chyves:uuid=00000000-0000-0000-0000-000000000009") && text.contains("zfs inherit chyves:net0.mac"),
            "{text}"
        );
        assert!(!text.contains("inherit chyves:net0.backend"), "{text}");
        // One that is foreign itself is in nobody's way.
        let foreign = Guest { foreign: Some("received".into()), ..own };
        assert!(adopt(&world, &copy, &[copy.clone(), foreign], None).is_ok());
    }
}
