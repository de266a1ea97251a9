//! `chyves adopt`: makes a foreign guest one of this host, after its settings that reach the host have been decided on.

use crate::session::Session;
use crate::table::{Cell, ListArgs, Table};
use crate::targets::Targets;
use chyves_core::error::Result;
use chyves_engine::answer::Single;
use chyves_engine::op::{Adopted, AdoptedWord, GuestAdopt, HostSetting, Trusting};

/// The value of `--trust` without an argument; no key looks like it.
const ALL: &str = "*";

/// Take over foreign guests
///
/// A guest that another host owns, or that came with a stream, is never started
/// before it is adopted. Make sure first that it runs nowhere else.
///
/// Some settings reach the host: they run programs, name paths or devices, open
/// ports, join networks, or let the guest start by itself. All that are set are
/// shown, and the guest is adopted only with --trust or --drop-host-settings.
/// A guest does not start with a value that is not trusted. What is changed by
/// `chyves set` afterwards is trusted.
///
/// Examples:
///   chyves adopt web01 --dry-run
///   chyves adopt web01 --trust=net0.bridge,autostart --drop-host-settings
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The guests
    #[arg(required = true, value_name = "GUEST")]
    guests: Vec<String>,
    /// Give each a new identity: a new uuid, network addresses and disk serials. For a copy of a guest that this host also keeps
    #[arg(long)]
    new_identity: bool,
    /// Trust settings that reach the host: those of these keys, or all
    #[arg(long, value_name = "KEY,…", num_args = 0..=1, require_equals = true, value_delimiter = ',', default_missing_value = ALL)]
    trust: Option<Vec<String>>,
    /// Remove settings that reach the host and are not trusted
    #[arg(long)]
    drop_host_settings: bool,
}

impl Args {
    fn request(&self) -> Result<GuestAdopt> {
        let trust = match &self.trust {
            None => Trusting::Nothing,
            Some(keys) if *keys == [ALL] => Trusting::All,
            Some(keys) => Trusting::Keys(keys.clone()),
        };
        let guests = Targets::parse(&self.guests)?;
        Ok(GuestAdopt { guests, new_identity: self.new_identity, trust, drop_host_settings: self.drop_host_settings })
    }
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    let outcome = session.run(&args.request()?)?;
    for each in outcome.answer.iter().flatten().filter(|_| !session.ui.json) {
        if let Single::Done(Adopted { done: AdoptedWord::Adopted, host_settings }) = &each.result {
            session.ui.answer(&table(&each.object, host_settings));
        }
    }
    session.show_each(outcome, |adopted| {
        match adopted.done {
            AdoptedWord::Adopted => "adopted",
            AdoptedWord::Unchanged => "nothing to do",
        }
        .to_owned()
    })
}

/// The settings of a guest that reach the host, and what becomes of each; empty if there are none.
pub(crate) fn table(guest: &str, settings: &[HostSetting]) -> String {
    if settings.is_empty() {
        return String::new();
    }
    let mut table = Table::new(["name", "property", "value", "source", "host", "trust"]);
    for one in settings {
        table.rows.push(vec![
            Cell::text(guest),
            Cell::text(&one.property),
            Cell::text(&one.value),
            Cell::text(super::get::source(one.source, one.inherited_from.as_deref())),
            Cell::text(one.words()),
            Cell::text(one.trust.word()),
        ]);
    }
    table.text(&ListArgs::default())
}
