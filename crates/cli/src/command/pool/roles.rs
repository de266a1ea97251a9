//! `chyves pool promote|offline|online|remove`: the role of a pool on this host.

use crate::session::{Report, Session};
use chyves_core::error::Result;
use chyves_core::guest::Guest;
use chyves_core::plan::{Plan, roles};
use chyves_core::pool::{Role, Root};
use chyves_core::world::World;
use chyves_host::observe::{self, Look};
use serde_json::json;

/// All roots and their GUIDs, in a world with all guests and images.
struct Seen {
    world: World,
    guids: Vec<roles::Object>,
    /// The guests of the pool in question, if it is offline, since the world then contains none of them.
    theirs: Vec<Guest>,
}

impl Seen {
    fn at(session: &Session, pool: &str) -> Result<Self> {
        let world = session.look(&Look::at_all())?;
        let root = world.root_on(pool)?;
        let theirs = if root.role == Role::Offline { observe::pool::guests(&session.runtime, root)? } else { Vec::new() };
        let names: Vec<String> = world.roots.iter().map(|r| r.dataset.to_string()).collect();
        let guids = observe::guids(&names)?;
        Ok(Self { world, guids, theirs })
    }

    fn root(&self, pool: &str) -> Result<&Root> {
        self.world.root_on(pool)
    }
}

fn change(session: &Session, pool: &str, plan: impl Fn(&Seen, &Root) -> Result<Plan>) -> Result<()> {
    // Roles concern all pools at once.
    let _lock = session.lock("pool", &["roles"])?;
    let seen = Seen::at(session, pool)?;
    let plan = plan(&seen, seen.root(pool)?)?;
    if session.carry_out(&seen.world, &plan, pool)?.is_some() {
        let after = session.look(&Look::default())?;
        let root = after.root_on(pool)?;
        let said = if plan.steps.is_empty() { "nothing to do".to_owned() } else { format!("is {} now", root.role.word()) };
        session
            .tell(&[Report::new(root.dataset.pool(), said).with(json!({ "dataset": root.dataset, "role": root.role, "host": root.host }))]);
    }
    Ok(())
}

pub(super) fn promote(session: &Session, pool: &str) -> Result<()> {
    change(session, pool, |seen, root| roles::promote(&seen.world, root, &seen.theirs, &seen.guids))
}

pub(super) fn offline(session: &Session, pool: &str) -> Result<()> {
    change(session, pool, |seen, root| roles::offline(&seen.world, root, &seen.guids))
}

pub(super) fn online(session: &Session, pool: &str) -> Result<()> {
    change(session, pool, |seen, root| roles::online(&seen.world, root, &seen.theirs, &seen.guids))
}

pub(super) fn remove(session: &Session, pool: &str) -> Result<()> {
    let _lock = session.lock("pool", &["roles"])?;
    let world = session.look(&Look::default())?;
    let root = world.root_on(pool)?;
    let there = observe::pool::everything(root)?;
    let plan = roles::remove(&world, root, &there)?;
    if !session.dry_run {
        for (name, _) in &there {
            session.ui.say(&format!("{pool}: destroys {name}, which is empty"));
        }
        session.ui.confirm(&format!("remove chyves from the pool {}", root.dataset.pool()), session.yes)?;
    }
    if session.carry_out(&world, &plan, pool).map_err(|p| session.goes_on(p))?.is_some() {
        session.tell(&[Report::new(root.dataset.pool(), "removed from chyves")]);
    }
    Ok(())
}
