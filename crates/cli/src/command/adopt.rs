//! `chyves adopt`: makes a foreign guest one of this host, after its settings that reach the host have been decided on.

use crate::session::{Pace, Report, Session};
use crate::table::{Cell, ListArgs, Table};
use crate::targets::Targets;
use chyves_core::check::trust::HostSetting;
use chyves_core::error::Result;
use chyves_core::guest::Guest;
use chyves_core::plan::adopt::{self, Fate, Request, Trust};
use chyves_core::world::World;
use chyves_host::observe::{self, Look};
use serde_json::{Value, json};

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
    fn request(&self) -> Result<Request> {
        let trust = match &self.trust {
            None => Trust::Nothing,
            Some(keys) if *keys == [ALL] => Trust::All,
            Some(keys) => Trust::in_keys(keys)?,
        };
        Ok(Request { trust, drop: self.drop_host_settings, ..Request::default() })
    }
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    let request = args.request()?;
    session.each(&Targets::parse(&args.guests)?, Pace::InTurn, |world, guest| one(session, world, guest, args.new_identity, &request))
}

fn one(session: &Session, world: &World, guest: &Guest, new_identity: bool, request: &Request) -> Result<Option<Report>> {
    // Oddities were already shown when the guest itself was observed.
    let all = observe::world(&session.runtime, &Look::at_keys(Vec::new()))?.guests;
    let tree = observe::tree(&guest.dataset)?;
    let request = Request { identity: new_identity.then(chyves_host::identity::new), tree, ..request.clone() };
    let fates = adopt::fates(world, guest, &request);
    let plan = match adopt::adopt(world, guest, &all, &request) {
        Ok(plan) => plan,
        Err(problem) => {
            show(session, guest, &fates);
            return Err(problem);
        }
    };
    if plan.steps.is_empty() {
        session.carry_out(world, &plan, guest.name.as_str())?;
        return Ok(Some(Report::new(&guest.name, "nothing to do")));
    }
    if session.dry_run || !session.ui.json {
        show(session, guest, &fates);
    }
    let done = session.carry_out(world, &plan, guest.name.as_str())?;
    Ok(done.map(|_| Report::new(&guest.name, "adopted").with(json!({ "host_settings": rows(&fates) }))))
}

/// Shows the settings that reach the host, and what happens to each.
fn show(session: &Session, guest: &Guest, fates: &[(HostSetting, Fate)]) {
    if session.ui.json {
        session.ui.answer_json(json!({ "object": guest.name.as_str(), "host_settings": rows(fates) }));
    } else if !fates.is_empty() {
        session.ui.answer(&table(guest, fates).text(&ListArgs::default()));
    }
}

fn rows(fates: &[(HostSetting, Fate)]) -> Vec<Value> {
    let row = |(setting, fate): &(HostSetting, Fate)| {
        json!({
            "property": setting.property, "value": setting.value, "source": setting.source, "host": setting.reach, "trust": fate,
        })
    };
    fates.iter().map(row).collect()
}

fn table(guest: &Guest, fates: &[(HostSetting, Fate)]) -> Table {
    let mut table = Table::new(["name", "property", "value", "source", "host", "trust"]);
    for (setting, fate) in fates {
        table.rows.push(vec![
            Cell::text(guest.name.as_str()),
            Cell::text(&setting.property),
            Cell::text(&setting.value),
            Cell::text(setting.source.to_string()),
            Cell::text(setting.reach.words()),
            Cell::text(fate.word()),
        ]);
    }
    table
}
