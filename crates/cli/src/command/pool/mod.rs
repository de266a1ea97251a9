//! `chyves pool`: the pools that chyves uses.

mod roles;
mod upgrade;

use super::get::show;
use crate::session::Session;
use crate::table::{Cell, ListArgs, Table};
use chyves_core::error::Result;
use chyves_core::value::Dataset;
use chyves_engine::op::{PoolInit, PoolList, RoleChange};

/// Manage pools
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Set a pool up for guests
    ///
    /// The first pool becomes the primary one, which also holds images and global settings. Nothing that is on the pool
    /// is touched.
    Init {
        /// The pool, or a dataset to create directly below it (tank, tank/vm)
        #[arg(value_name = "POOL[/NAME]")]
        place: Dataset,
        /// Mount point of guests' files [default: below the pool's own]
        #[arg(long, value_name = "PATH")]
        mountpoint: Option<String>,
    },
    /// List the pools of chyves
    List(ListArgs),
    /// Make a pool the primary one
    ///
    /// The former primary pool becomes a secondary one. Guests stay where they are and start as before, and the settings of
    /// the host's networks move along. Images stay, and the commands to move them are shown. Of two pools that were primary on two hosts, the promoted one decides
    /// which host this is; then all of its guests are trusted, and it has to be confirmed.
    Promote {
        /// The pool
        pool: String,
        /// Trust its guests without a question, where it decides which host this is
        #[arg(long)]
        trust: bool,
    },
    /// Take a pool offline: commands no longer use it
    ///
    /// No command but `pool` uses it. Refused while a guest of it runs.
    Offline {
        /// The pool
        pool: String,
    },
    /// Use an offline pool again
    ///
    /// Refused while a guest of it has the name of a guest of another pool. A secondary pool of another host becomes this
    /// host's; its guests stay foreign until they are adopted.
    Online {
        /// The pool
        pool: String,
    },
    /// Bring a pool of an older chyves to the present layout of its datasets
    ///
    /// A recursive snapshot is taken first, and what is changed is recorded on it.
    Upgrade {
        /// The pool
        pool: String,
        /// Undo the newest upgrade, for an older chyves; later settings are kept
        #[arg(long)]
        undo: bool,
    },
    /// Remove chyves from a pool that has no guests, images or trash
    ///
    /// Only the listed empty datasets are destroyed. The pool itself stays.
    Remove {
        /// The pool
        pool: String,
    },
}

pub(crate) fn run(session: &Session, verb: &Verb) -> Result<()> {
    match verb {
        Verb::Init { place, mountpoint } => init(session, place, mountpoint.as_ref()),
        Verb::List(args) => list(session, args),
        Verb::Promote { pool, trust } => roles::change(session, pool, RoleChange::Promote, *trust),
        Verb::Offline { pool } => roles::change(session, pool, RoleChange::Offline, false),
        Verb::Online { pool } => roles::change(session, pool, RoleChange::Online, false),
        Verb::Upgrade { pool, undo } => upgrade::run(session, pool, *undo),
        Verb::Remove { pool } => roles::remove(session, pool),
    }
}

fn init(session: &Session, place: &Dataset, mountpoint: Option<&String>) -> Result<()> {
    let outcome = session.run(&PoolInit { place: place.clone(), mountpoint: mountpoint.cloned() })?;
    session.show_all(outcome, |made| {
        let said = format!("set up as {} pool; next: chyves image import FILE, chyves create NAME", made.role.word());
        Some((made.object.clone(), said))
    })
}

const COLUMNS: [&str; 8] = ["pool", "root", "role", "guests", "images", "mountpoint", "host", "owner"];

/// Lists the pools.
pub(super) fn list(session: &Session, args: &ListArgs) -> Result<()> {
    let answer = session.run(&PoolList {})?.answer.unwrap_or_default();
    let table = Table::of(&COLUMNS, &answer, |one| {
        vec![
            Cell::text(&one.pool),
            Cell::text(&one.root),
            Cell::text(one.role.word()),
            Cell::number(one.guests.to_string(), one.guests),
            Cell::number(one.images.to_string(), one.images),
            Cell::maybe(one.mountpoint.clone()),
            Cell::maybe(one.host.clone()),
            Cell::text(one.owner.word()),
        ]
    });
    if table.rows.is_empty() && !session.ui.json && !args.bare {
        session.ui.say("no pool is set up for chyves; `chyves pool init POOL` sets one up");
    }
    show(session, table, &args.or_columns(session, &["pool", "root", "role", "guests", "images", "owner"]))
}
