//! `chyves clone`: guests that share a source's disks until they write.

use crate::session::{Report, Session};
use crate::targets::{Targets, guest_at};
use chyves_core::error::{Problem, Result};
use chyves_core::plan;
use chyves_host::observe::{self, Look};
use serde_json::json;

/// Make guests that share another one's disks until they write
///
/// Each clone has an identity of its own (UUID, card addresses, disk serials) and its source's other settings. Cloning
/// takes no time and no space; the source's snapshot stays while a clone stands on it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guest, or one of its snapshots
    #[arg(value_name = "GUEST[@SNAPSHOT]")]
    source: String,
    /// The clones' names; KEY=VALUE gives all of them another setting
    #[arg(required = true, value_name = "NAME|KEY=VALUE")]
    names: Vec<String>,
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    let (source, snapshot) = guest_at(&args.source)?;
    let (set, names): (Vec<&String>, Vec<&String>) = args.names.iter().partition(|w| w.contains('='));
    let Targets::Named(names) = Targets::parse(&names)? else {
        return Err(Problem::usage("`all` can't name new guests").hint("name each clone"));
    };
    let set = set.iter().filter_map(|w| w.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let mut involved = names.clone();
    involved.push(source.clone());
    let _locks = session.lock("guest", &involved)?;
    let world = session.look(&Look::at(&involved))?;
    let guest = observe::guest(&world, &source)?;
    let snapshot_exists = match &snapshot {
        Some(name) => observe::snapshots(guest)?.iter().any(|s| s.name == name.as_str()),
        None => false,
    };
    let request = plan::clone::Request { snapshot, snapshot_exists, names: names.clone(), set };
    let plan = plan::clone::clone(&world, guest, &request, &Session::moment(names.len()))?;
    if session.carry_out(&world, &plan, source.as_str())?.is_some() {
        let made = session.look(&Look::at(&names))?;
        let report = |name| -> Result<Report> {
            let clone = observe::guest(&made, name)?;
            Ok(Report::new(name, format!("a clone of {source}")).with(json!({ "dataset": clone.dataset, "uuid": clone.uuid })))
        };
        session.tell(&names.iter().map(report).collect::<Result<Vec<_>>>()?);
    }
    Ok(())
}
