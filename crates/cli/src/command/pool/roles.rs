//! `chyves pool promote|offline|online|remove`: the role of a pool on this host.

use crate::session::Session;
use chyves_core::error::Result;
use chyves_engine::op::{PoolChange, PoolChangedWord, PoolRemove, RoleChange};

/// Gives a pool another role.
pub(super) fn change(session: &Session, pool: &str, to: RoleChange, trust: bool) -> Result<()> {
    let outcome = session.run(&PoolChange { pool: pool.to_owned(), to, trust })?;
    session.show_all(outcome, |changed| {
        let said = match changed.done {
            PoolChangedWord::Changed => format!("is {} now", changed.role.word()),
            PoolChangedWord::Unchanged => "nothing to do".to_owned(),
        };
        Some((changed.object.clone(), said))
    })
}

/// Removes chyves from a pool.
pub(super) fn remove(session: &Session, pool: &str) -> Result<()> {
    let outcome = session.run(&PoolRemove { pool: pool.to_owned() })?;
    session.show_all(outcome, |removed| Some((removed.object.clone(), "removed from chyves".to_owned())))
}
