//! `adopt`: a foreign guest becomes this host's.

use super::{Plan, keep_copy};
use crate::action::Action;
use crate::error::{Problem, Result};
use crate::guest::Guest;
use crate::property::keys;
use crate::property::settings::Own;
use crate::world::World;

/// Plans an adoption: the owner is this host, the epoch is one higher, the identity is the guest's own again.
///
/// # Errors
/// The pool has no host id.
pub fn adopt(world: &World, guest: &Guest) -> Result<Plan> {
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
    let before = guest.settings.own_values();
    let epoch: u32 = guest.settings.own(keys::EPOCH).and_then(|e| e.parse().ok()).unwrap_or(0);
    let set = vec![
        (keys::UUID.to_owned(), guest.uuid.to_string()),
        (keys::OWNER.to_owned(), host.to_string()),
        (keys::EPOCH.to_owned(), epoch.saturating_add(1).to_string()),
    ];
    let mut after = before.clone();
    for (k, v) in &set {
        after.insert(k.clone(), Own { value: v.clone(), received: false });
    }
    let was = set.iter().map(|(k, _)| (k.clone(), before.get(k).map(|o| o.value.clone()))).collect();
    let mut plan = Plan::default();
    plan.push(Action::Change { dialect: world.host.dialect, on: guest.dataset.clone(), set, clear: Vec::new(), before: was });
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
        assert!(adopt(&world, &g).unwrap().steps.is_empty());
        g.foreign = Some("someone owns it".into());
        let text = adopt(&world, &g).unwrap().script(Os::Linux);
        assert!(text.contains("chyves:epoch=4") && text.contains(&format!("chyves:owner={}", testing::HOST)), "{text}");
    }
}
