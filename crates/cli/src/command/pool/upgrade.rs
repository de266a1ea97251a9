//! `chyves pool upgrade`: from an older layout of the datasets to this program's, and back.

use crate::session::{Report, Session};
use chyves_core::error::{Problem, Result};
use chyves_core::plan::upgrade;
use chyves_core::value::printable;
use chyves_core::zfs::inventory::LAYOUT;
use chyves_host::observe::{self, Look};
use serde_json::json;

pub(super) fn run(session: &Session, pool: &str, undo: bool) -> Result<()> {
    let _lock = session.lock("pool", &["roles"])?;
    // What is odd is just what this command is for.
    let world = observe::world(&session.runtime, &Look::default())?;
    let (root, was) = observe::pool::layouts()?.into_iter().find(|(d, _)| d.pool() == pool || d.as_str() == pool).ok_or_else(|| {
        let shown = printable(pool, 60);
        Problem::not_found(format!("no pool with chyves on it is called `{shown}`"))
            .on(&shown)
            .hint("`chyves pool list` shows those that are")
    })?;
    let mut layout = was;
    loop {
        let (tree, snapshot) = observe::pool::tree(&session.runtime, &root, layout, undo)?;
        let plan = if undo {
            upgrade::undo(&tree, snapshot.as_ref(), world.host.dialect)?
        } else {
            upgrade::upgrade(&tree, world.host.dialect, &crate::session::now())?
        };
        if session.carry_out(&world, &plan, pool)?.is_none() {
            return Ok(());
        }
        if plan.steps.is_empty() {
            break;
        }
        layout = if undo { layout - 1 } else { layout + 1 };
        // Each layout is a plan of its own; back goes one at a time.
        if undo || layout >= LAYOUT {
            break;
        }
    }
    let said = if layout == was { "nothing to do".to_owned() } else { format!("has layout {layout} now") };
    session.tell(&[Report::new(root.pool(), said).with(json!({ "dataset": root, "layout": layout }))]);
    Ok(())
}
