//! `chyves trash`: what was deleted and not yet destroyed.

use super::get::show;
use crate::session::Session;
use crate::table::{Cell, ListArgs, Table};
use chyves_core::error::Result;
use chyves_host::observe::Look;

/// Look at deleted guests
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// List deleted guests
    List(ListArgs),
}

pub(crate) fn run(session: &Session, verb: &Verb) -> Result<()> {
    let Verb::List(args) = verb;
    let world = session.look(&Look { trash: true, ..Look::default() })?;
    world.primary()?;
    let mut table = Table::new(["name", "deleted", "used", "identity", "dataset"]);
    for trashed in &world.trash {
        table.rows.push(vec![
            Cell::text(trashed.name.as_str()),
            Cell::text(trashed.deleted.clone()),
            Cell::number(trashed.used.human(), trashed.used.get()),
            Cell::text(trashed.dataset.leaf()),
            Cell::text(trashed.dataset.as_str()),
        ]);
    }
    if table.rows.is_empty() && !session.ui.json && !args.bare {
        session.ui.say("the trash is empty");
    }
    let mut args = args.clone();
    if args.columns.is_empty() && !session.ui.json {
        args.columns = ["name", "deleted", "used", "identity"].map(str::to_owned).to_vec();
    }
    show(session, table, &args)
}
