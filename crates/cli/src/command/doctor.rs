//! `chyves doctor`: checks whether this host is fit for guests; every finding with its remedy.

use crate::session::Session;
use crate::table::{Cell, ListArgs, Table};
use chyves_core::error::{Problem, Result};
use chyves_engine::op::{Doctor, Finding};
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
    let outcome = session.run(&Doctor {})?;
    show(session, &args.list, &outcome.answer.unwrap_or_default());
    outcome.problem.map_or(Ok(()), Err)
}

fn show(session: &Session, args: &ListArgs, findings: &[Finding]) {
    let mut table = Table::of(&COLUMNS, findings, |finding| {
        let cure = (!finding.cure.is_empty()).then(|| finding.cure.join("; "));
        vec![Cell::text(finding.state.word()), Cell::text(&finding.check), Cell::text(&finding.found), Cell::maybe(cure)]
    });
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
