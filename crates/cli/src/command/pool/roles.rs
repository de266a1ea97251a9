//! `chyves pool promote|offline|online|remove`: the role of a pool on this host.

use crate::session::{Report, Session};
use chyves_core::error::Result;
use chyves_core::plan::roles;
use chyves_engine::op::RoleChange;
use chyves_engine::op::{PoolChange, PoolChangedWord};
use chyves_host::observe::{self, Look};

/// Gives a pool another role.
pub(super) fn change(session: &Session, pool: &str, to: RoleChange) -> Result<()> {
    let outcome = session.run(&PoolChange { pool: pool.to_owned(), to })?;
    session.show_all(outcome, |changed| {
        let said = match changed.done {
            PoolChangedWord::Changed => format!("is {} now", changed.role.word()),
            PoolChangedWord::Unchanged => "nothing to do".to_owned(),
        };
        Some((changed.object.clone(), said))
    })
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
