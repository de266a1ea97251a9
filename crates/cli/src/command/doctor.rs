//! `chyves doctor`: checks whether this host is fit for guests; every finding with its remedy.

use super::image;
use crate::session::Session;
use crate::table::{Cell, ListArgs, Table};
use chyves_core::catalogue::Catalogue;
use chyves_core::check::{Finding, Severity, host, servers};
use chyves_core::error::{Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::plan::disk::found::{self, Found};
use chyves_core::plan::firmware;
use chyves_core::property::keys::DiskKey;
use chyves_core::value::Dataset;
use chyves_core::vmm::Vmm;
use chyves_core::world::{Root, World};
use chyves_host::apply::recover;
use chyves_host::observe::{Look, Which};
use chyves_host::{accel, catalogue, facts, network, observe};
use std::fmt::Write as _;

/// Check whether this host can run guests
///
/// Processor, memory, kernel modules, hypervisor, firmware, networks, passthrough, ZFS, pools and the runtime folder, one
/// line each, with a command for each problem. Changes nothing. The exit status is 5 if a check fails.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    list: ListArgs,
}

/// All columns; the table shows the first three, and the remedy below each line.
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

/// Checks the host, or the facts that were stated for another host.
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
    if let Ok((roots, _)) = &roots {
        findings.extend(unguarded(roots));
    }
    findings.extend(drifted(session));
    findings
}

/// File systems on a pool of this host that lack properties which protect the host from their files; one finding per pool. A
/// received copy gets them when it is adopted.
fn unguarded(roots: &[Root]) -> Vec<Finding> {
    const NAMED: usize = 3;
    let what = "file systems";
    let own: Vec<Dataset> = roots.iter().filter(|root| !root.is_copy()).map(|root| root.dataset.clone()).collect();
    let found = match observe::pool::without_guards(&own) {
        Ok(found) => found,
        Err(problem) => return vec![Finding::unknown(what, problem.to_string())],
    };
    let mut all = Vec::new();
    for root in &own {
        let mine: Vec<_> = found.iter().filter(|(name, _)| name.starts_with(&format!("{root}/"))).collect();
        if mine.is_empty() {
            continue;
        }
        let named = mine.iter().take(NAMED).map(|(name, lacks)| format!("{name} ({})", lacks.join(", "))).collect::<Vec<_>>().join(", ");
        let more = mine.len().checked_sub(NAMED).filter(|more| *more > 0).map(|more| format!(" and {more} more")).unwrap_or_default();
        all.push(
            Finding::warns(what, format!("what is in them can act on this host, since these are on: {named}{more}"))
                .cure(format!("`chyves pool upgrade {}` switches them off", root.pool())),
        );
    }
    if all.is_empty() && !own.is_empty() {
        all.push(Finding::ok(what, "those of guests and images have setuid=off, devices=off and exec=off"));
    }
    all
}

/// What guests need that is not as recorded. If guests cannot be read, the checks of the pools have reported it.
fn drifted(session: &Session) -> Vec<Finding> {
    let look = Look { guests: Which::All, images: Which::All, ..Look::default() };
    let Ok(world) = observe::world(&session.runtime, &look) else { return Vec::new() };
    let guests = || world.guests.iter();
    let mut findings: Vec<Finding> = guests().filter_map(|guest| firmware::missing(&world, guest)).map(|p| of_guest("images", p)).collect();
    // Stored values that their properties do not allow: by `zfs set`, or from another version.
    findings.extend(guests().filter_map(|guest| guest.spec().err()).map(|problem| of_guest("settings", problem)));
    findings.extend(drifted_disks(session, &world));
    findings
}

/// A problem of one guest, with its cures.
fn of_guest(what: &str, problem: Problem) -> Finding {
    let cause = problem.causes.iter().fold(problem.message, |text, cause| format!("{text}: {cause}"));
    problem.hints.iter().fold(Finding::warns(what, cause), Finding::cure)
}

/// Disks that differ from what is recorded.
fn drifted_disks(session: &Session, world: &World) -> Vec<Finding> {
    let guests: Vec<&Guest> = world.guests.iter().collect();
    let disks = match super::disk::seen_all(session, &guests) {
        Ok(disks) => disks,
        Err(problem) => return vec![Finding::unknown("disks", problem.to_string())],
    };
    let mut all = Vec::new();
    let (mut read, mut unread) = (0, 0);
    for (guest, disks) in guests.iter().zip(&disks) {
        for record in guest.disk_records() {
            // Reported as an invalid setting.
            if record.lacks(DiskKey::Kind) || record.lacks(DiskKey::Size) {
                continue;
            }
            let disk = record.disk;
            let seen = found::of(disks, disk.number);
            if matches!(seen, Found::Unknown(_)) {
                unread += 1;
                continue;
            }
            read += 1;
            let Some(how) = seen.differs(&disk) else { continue };
            let finding = Finding::warns("disks", format!("disk{} of {}: {how}", disk.number, guest.name));
            // The error about a missing disk has its own hints.
            let cures = seen.size(guest, &disk).err().map(|problem| problem.hints).unwrap_or_default();
            let sync = format!("`chyves disk sync {} disk{}` records what it is", guest.name, disk.number);
            all.push(if cures.is_empty() { finding.cure(sync) } else { cures.into_iter().fold(finding, Finding::cure) });
        }
    }
    if all.is_empty() && read + unread > 0 {
        let rest = if unread == 0 { String::new() } else { format!("; {unread} are in file systems that are not mounted") };
        all.push(Finding::ok("disks", format!("{read} are as recorded{rest}")));
    }
    all
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
    // The remedy is below the finding, where it can be copied.
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
