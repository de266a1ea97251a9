//! Netgraph nodes: querying them, and recording which of them chyves created.
//!
//! There is a file for each node that chyves created, with the node's number, and one for each guest that was started on a
//! node. They are in the runtime folder and vanish at boot, as the nodes do; records of an earlier boot are void. Not here: the
//! purpose of the nodes (core's `network::graph`).

use crate::hostfs::own;
use crate::runtime::Runtime;
use crate::{proc, run};
use chyves_core::error::{Problem, Result};
use chyves_core::network::Actual;
use chyves_core::os::freebsd::ngctl;
use chyves_core::os::netgraph::{FOLDER, Graph, Made};
use chyves_core::os::{Intent, Os};
use chyves_core::plan::network::Facts;
use chyves_core::value::GuestName;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;
use uuid::Uuid;

/// Attempts to query the nodes: a node that disappears between listing and showing fails the whole query.
const TRIES: usize = 5;

fn folder(rt: &Runtime) -> PathBuf {
    rt.root().join("network").join(FOLDER)
}

/// What is recorded: the nodes that chyves created, and the guests that were started on nodes.
fn written(rt: &Runtime) -> (BTreeMap<String, Made>, BTreeMap<String, BTreeSet<Uuid>>) {
    let (mut made, mut claims) = (BTreeMap::new(), BTreeMap::<String, BTreeSet<Uuid>>::new());
    for name in super::names_in(&folder(rt)) {
        match name.split_once('+') {
            Some((node, guest)) => {
                if let Ok(guest) = guest.parse() {
                    claims.entry(node.to_owned()).or_default().insert(guest);
                }
            }
            None => {
                let text = own::text(folder(rt).join(&name), super::NOTE_LIMIT).unwrap_or_default();
                made.extend(Made::read(&text).map(|m| (name, m)));
            }
        }
    }
    (made, claims)
}

/// Observes the nodes if any is recorded.
///
/// # Errors
/// They cannot be queried or parsed.
pub(super) fn look_where_written(actual: &mut Actual, os: Os, rt: &Runtime) -> Result<()> {
    let (made, claims) = if os == Os::FreeBsd { written(rt) } else { Default::default() };
    if made.is_empty() && claims.is_empty() { Ok(()) } else { look(actual, rt) }
}

/// Observes the nodes if the host's settings use them or are about to (`soon`), unless that has been done.
///
/// # Errors
/// They cannot be queried or parsed.
pub fn look_where_wanted(facts: &mut Facts, soon: bool, os: Os, rt: &Runtime) -> Result<()> {
    let wanted = os == Os::FreeBsd && facts.actual.graph.is_none() && (soon || facts.design.bridges().any(|b| b.netgraph));
    if wanted { look(&mut facts.actual, rt) } else { Ok(()) }
}

/// Observes the nodes, combined with what is recorded about them.
///
/// # Errors
/// They cannot be queried or parsed.
pub(super) fn look(actual: &mut Actual, rt: &Runtime) -> Result<()> {
    let (made, claims) = written(rt);
    let mut graph = nodes()?;
    if !made.is_empty() {
        let boot = proc::boot_id()?;
        graph.made = made.into_iter().filter(|(_, m)| m.boot == boot).collect();
    }
    graph.claims = claims;
    actual.add_graph(graph);
    Ok(())
}

/// All nodes; empty if the kernel cannot have any.
fn nodes() -> Result<Graph> {
    if run::find_program(ngctl::TOOL).is_none() {
        return Err(Problem::host_cant(format!("`{}` is missing on this host", ngctl::TOOL)).hint("it is part of FreeBSD"));
    }
    if !run::run(&ngctl::possible())?.ok() {
        return Ok(Graph::default());
    }
    let list = ngctl::list();
    for _ in 1..TRIES {
        let answer = run::run(&list)?;
        if answer.ok() {
            return ngctl::read(&answer.stdout);
        }
    }
    ngctl::read(&run::must(&list)?)
}

/// Records the result for a node, after an intent was executed or its opposite was undone.
///
/// # Errors
/// The record cannot be written.
pub(crate) fn note(intent: &Intent, rt: &Runtime) -> Result<()> {
    match intent {
        Intent::MakeNode { node, owner: mark } | Intent::MarkNode { node, to: mark, .. } => {
            let graph = nodes()?;
            let (id, _) =
                graph.named(node.as_str()).ok_or_else(|| Problem::failed(format!("the node `{node}:` that was made is not there")))?;
            let path = folder(rt).join(node.as_str());
            let cant = |e| Problem::host_cant(format!("cannot write `{}`", path.display())).because(e);
            own::make_folder(folder(rt), 0o700).map_err(cant)?;
            crate::small_files::write_private(&path.to_string_lossy(), &Made { mark: mark.clone(), id, boot: proc::boot_id()? }.text())
        }
        Intent::RemoveNode { node, .. } => {
            let _ = own::remove(folder(rt).join(node.as_str()));
            tidy(rt);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Removes the record of the node that a guest was started on; without a guest, those of all guests that neither run nor are
/// being started.
pub(super) fn let_go(rt: &Runtime, guest: Option<Uuid>, command: &str) {
    for (node, guests) in written(rt).1 {
        for uuid in guests {
            let claim = folder(rt).join(format!("{node}+{uuid}"));
            let over = match guest {
                Some(guest) => guest == uuid,
                None => {
                    let name = own::text(&claim, super::NOTE_LIMIT).ok().and_then(|text| text.trim().parse::<GuestName>().ok());
                    let unlocked = |name| rt.lock_named(&format!("guest.{name}"), Duration::ZERO, command).is_ok();
                    name.is_none_or(unlocked) && rt.is_held(uuid).is_ok_and(|held| !held)
                }
            };
            if over {
                let _ = own::remove(claim);
            }
        }
    }
    tidy(rt);
}

/// Removes the folder if it is empty.
fn tidy(rt: &Runtime) {
    let _ = own::remove_folder(folder(rt));
}
