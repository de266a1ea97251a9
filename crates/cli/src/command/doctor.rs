//! `chyves doctor`: is this host fit for guests? All that was found, each with its cure.

use super::image;
use crate::session::Session;
use crate::table::{Cell, ListArgs, Table};
use chyves_core::catalogue::Catalogue;
use chyves_core::check::{Finding, Severity, host, servers};
use chyves_core::error::{Problem, Result};
use chyves_core::vmm::Vmm;
use chyves_host::apply::recover;
use chyves_host::{accel, catalogue, facts, network, observe};
use std::fmt::Write as _;

/// Look whether this host is fit for guests
///
/// Processor, memory, kernel modules, hypervisor, firmware, networks, passthrough, ZFS, pools and the runtime folder, a
/// line each, with what to do about what is not well. Changes nothing. The exit status is 5 where something fails.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    list: ListArgs,
}

/// All columns; people see the first three, and what to do below each line.
const COLUMNS: [&str; 4] = ["state", "check", "found", "cure"];

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    for column in args.list.columns.iter().chain(&args.list.ascending).chain(&args.list.descending) {
        if !COLUMNS.contains(&column.as_str()) {
            return Err(Problem::usage(format!("there is no column called `{}`", chyves_core::value::printable(column, 40)))
                .hint(format!("columns are {}", COLUMNS.join(", "))));
        }
    }
    let findings = look(session);
    show(session, &args.list, &findings);
    let failing = findings.iter().filter(|f| f.severity == Severity::Fails).count();
    if failing == 0 {
        return Ok(());
    }
    let what: Vec<&str> = findings.iter().filter(|f| f.severity == Severity::Fails).map(|f| f.what.as_str()).collect();
    Err(Problem::host_cant(format!("{failing} of {} checks fail: {}", findings.len(), what.join(", "))))
}

/// Looks at the host, or at the facts that were stated for another.
fn look(session: &Session) -> Vec<Finding> {
    let (known, unreadable) = match catalogue::in_force().map_err(|problem| (Catalogue::built_in(), problem)) {
        Ok(known) => (Some(known), None),
        Err((known, problem)) => (known.ok(), Some(problem)),
    };
    let advisories = known.as_ref().map(|all| all.advisories.as_slice()).unwrap_or_default();
    let issued = known.as_ref().map(|all| all.issued.as_str()).unwrap_or_default();
    let known = host::Known { advisories, issued, age: known.as_ref().and_then(image::age) };
    let mut all = of_host(session, &known);
    all.extend(unreadable.map(|problem| problem.hints.iter().fold(Finding::fails("catalogue", problem.to_string()), Finding::cure)));
    all
}

fn of_host(session: &Session, known: &host::Known<'_>) -> Vec<Finding> {
    if let Some(stated) = &session.facts {
        return host::host(stated, known);
    }
    let mut found = facts::host(session.runtime.root());
    facts::for_doctor(&session.runtime, &mut found);
    if found.vmm == Vmm::Qemu {
        let kvm = accel::kvm(&session.runtime, facts::QEMU);
        found.kvm = if kvm.works { Ok(()) } else { Err(kvm.reason) };
    }
    let mut findings = host::host(&found, known);
    let roots = observe::roots();
    findings.extend(servers::host(&found, &network::design()));
    let left = recover::dead(&session.runtime, None);
    let dead: Vec<String> = left.iter().flat_map(|found| &found.dead).map(recover::Dead::describe).collect();
    findings.extend(host::journals(left.as_ref().map(|found| (dead.as_slice(), found.unreadable.as_slice()))));
    findings.extend(host::pools(roots.as_ref().map(|(roots, odd)| (roots.as_slice(), odd.as_slice()))));
    findings
}

fn show(session: &Session, args: &ListArgs, findings: &[Finding]) {
    let mut table = Table::new(COLUMNS);
    for finding in findings {
        let cure = (!finding.cure.is_empty()).then(|| finding.cure.join("; "));
        let cells = [Cell::text(finding.severity.word()), Cell::text(&finding.what), Cell::text(&finding.cause), Cell::maybe(cure)];
        table.rows.push(cells.into());
    }
    table.sort(args);
    if session.ui.json {
        if !args.columns.is_empty() {
            table.only(&args.columns);
        }
        session.ui.answer_json(table.json());
        return;
    }
    let whole = args.columns.is_empty() && !args.bare;
    let cures: Vec<Option<String>> = table.rows.iter().map(|row| row[3].exact.as_str().map(str::to_owned)).collect();
    match (&args.columns[..], whole) {
        ([], true) => table.only(&["state", "check", "found"].map(str::to_owned)),
        ([], false) => {}
        (chosen, _) => table.only(chosen),
    }
    let text = table.text(args);
    if !whole {
        session.ui.answer(&text);
        return;
    }
    // What to do stands below what is not well, where it can be copied from.
    let mut lines = text.lines();
    let heading = lines.next().unwrap_or_default();
    let indent = " ".repeat(heading.find("CHECK").unwrap_or(0));
    let mut out = format!("{heading}\n");
    for (line, cure) in lines.zip(&cures) {
        let _ = writeln!(out, "{line}");
        for cure in cure.iter().flat_map(|cures| cures.split("; ")) {
            let _ = writeln!(out, "{indent}→ {}", chyves_core::value::printable(cure, 300));
        }
    }
    session.ui.answer(&out);
}
