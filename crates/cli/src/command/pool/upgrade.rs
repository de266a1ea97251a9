//! `chyves pool upgrade`: from an older layout of the datasets to this program's, and back.

use crate::session::{Report, Session};
use chyves_core::error::{Problem, Result};
use chyves_core::plan::upgrade;
use chyves_core::value::printable;
use chyves_core::world::inventory::LAYOUT;
use chyves_host::observe::{self, Look};
use serde_json::json;

pub(super) fn run(session: &Session, pool: &str, undo: bool) -> Result<()> {
    let _lock = session.lock("pool", &["roles"])?;
    // Oddities are what this command resolves, so they are not shown.
    let world = observe::world(&session.runtime, &Look::default())?;
    let (root, was) = observe::pool::layouts()?.into_iter().find(|(d, _)| d.pool() == pool || d.as_str() == pool).ok_or_else(|| {
        let shown = printable(pool, 60);
        Problem::not_found(format!("no pool with chyves on it is called `{shown}`"))
            .on(&shown)
            .hint("`chyves pool list` shows those that are")
    })?;
    let mut layout = was;
    let mut guarded = false;
    // Two rounds set the protective properties of a tree: first its parts, then the datasets below that override them.
    for _ in 0..16 {
        let (tree, snapshot) = observe::pool::tree(&session.runtime, &root, layout, undo)?;
        let plan = if undo {
            upgrade::undo(&tree, snapshot.as_ref(), world.host.dialect)?
        } else {
            upgrade::upgrade(&tree, world.host.dialect, &chyves_engine::now())?
        };
        if session.carry_out(&world, &plan, pool)?.is_none() {
            return Ok(());
        }
        if plan.steps.is_empty() {
            break;
        }
        guarded = layout == LAYOUT && !undo;
        layout = if undo { layout - 1 } else { (layout + 1).min(LAYOUT) };
        // Each layout is a separate plan; a downgrade goes one layout at a time.
        if undo {
            break;
        }
    }
    let said = match (layout == was, guarded) {
        (true, false) => "nothing to do".to_owned(),
        (true, true) => "its file systems have setuid=off, devices=off and exec=off now".to_owned(),
        (false, _) => format!("has layout {layout} now"),
    };
    session.tell(&[Report::new(root.pool(), said).with(json!({ "dataset": root, "layout": layout }))]);
    Ok(())
}
