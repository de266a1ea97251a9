//! `chyves pool upgrade`: from an older layout of the datasets to this program's, and back.

use crate::session::Session;
use chyves_core::error::Result;
use chyves_engine::op::{PoolUpgrade, PoolUpgradedWord};

pub(super) fn run(session: &Session, pool: &str, undo: bool) -> Result<()> {
    let outcome = session.run(&PoolUpgrade { pool: pool.to_owned(), undo })?;
    session.show_all(outcome, |upgraded| {
        let said = match upgraded.done {
            PoolUpgradedWord::Unchanged => "nothing to do".to_owned(),
            PoolUpgradedWord::Guarded => "its file systems have setuid=off, devices=off and exec=off now".to_owned(),
            PoolUpgradedWord::Changed => format!("has layout {} now", upgraded.layout),
        };
        Some((upgraded.object.clone(), said))
    })
}
