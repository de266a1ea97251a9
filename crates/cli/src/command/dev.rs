//! `chyves dev`: commands for developers and for debugging.

use crate::session::Session;
use crate::ui::Volume;
use chyves_core::cmd::Cmd;
use chyves_core::error::{Code, Problem, Result, did_you_mean};
use chyves_core::os::Os;
use chyves_core::value::printable;
use chyves_engine::schema;
use chyves_host::hostfs::named;
use chyves_host::{run, trace};
use serde_json::Value;
use std::io::Write as _;

/// Developer commands
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Print the facts of this host, or of one that --host names, as --facts takes them
    Facts {
        /// The system: freebsd (14.3, amd64); [default: this host]
        #[arg(value_name = "SYSTEM")]
        system: Option<Os>,
    },
    /// Print the manual page of the properties, generated from the registry
    Properties,
    /// Print the manual page of the codes of failures, generated from their enumeration
    Errors,
    /// Print the JSON Schemas of operations: of the request, and of the answer that --json prints
    Schema {
        /// The operation, a noun and a verb: snapshot-list; all if none is given
        #[arg(value_name = "OPERATION")]
        operation: Option<String>,
    },
    /// Run a command of chyves and show each program that it runs: when, how long, how it ended
    ///
    /// The lines go to standard error as the programs end. With --to they are added to a file, where a supervisor that
    /// the command starts goes on with them for as long as it lives.
    Trace {
        /// Add the lines to this file
        #[arg(long, value_name = "FILE")]
        to: Option<String>,
        /// Show the programs' output, too
        #[arg(long)]
        output: bool,
        /// The command, as typed after `chyves`
        #[arg(value_name = "WORD", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Unpack a file as an import would, to nowhere: what its decoder takes
    Unpack {
        /// The file
        file: String,
    },
}

pub(crate) fn run(session: &Session, verb: &Verb) -> Result<()> {
    match verb {
        Verb::Facts { system } => {
            let found = match system {
                None => session.host_facts(),
                Some(Os::FreeBsd) => chyves_core::os::freebsd::release_14_3(),
                Some(Os::Linux) => session.this_host(),
            };
            let value = serde_json::to_value(&found).map_err(|e| Problem::bug("facts are no JSON").because(e))?;
            session.ui.answer_json(value);
        }
        Verb::Errors => session.ui.answer(&crate::manual::errors()),
        Verb::Schema { operation } => session.ui.answer_json(schemas(operation.as_deref())?),
        Verb::Trace { to, output, words } => return Err(traced(session, to.as_deref(), *output, words)),
        Verb::Unpack { file } => {
            let (bytes, format) = chyves_host::import::unpack_alone(file)?;
            session.ui.answer(&format!("{bytes} bytes of {format}\n"));
        }
        Verb::Properties => session.ui.answer(&crate::manual::properties()),
    }
    Ok(())
}

/// The schemas of one operation, or of all.
fn schemas(operation: Option<&str>) -> Result<Value> {
    let Some(name) = operation else { return Ok(schema::all().iter().map(schema::Entry::schema).collect()) };
    let entry = schema::find(name).ok_or_else(|| {
        let shown = printable(name, 60);
        Code::NoSuchOperation
            .problem(format!("no operation is called `{shown}`"))
            .on(&shown)
            .hint_if(did_you_mean(name, schema::all().iter().map(|entry| entry.name)))
            .hint("`chyves dev schema` prints those of all")
    })?;
    Ok(entry.schema())
}

/// Becomes the command that is traced; returns only on failure.
fn traced(session: &Session, to: Option<&str>, output: bool, words: &[String]) -> Problem {
    if session.facts.is_some() {
        return Problem::usage("--host is an option of the command that is traced").hint("put it after that command's verb");
    }
    let place = match to {
        None => {
            eprint!("{}", trace::head());
            trace::SCREEN.to_owned()
        }
        Some(file) => {
            let opened = trace::open(file).and_then(|mut f| f.write_all(trace::head().as_bytes()));
            // A supervisor has another working directory.
            match opened.and_then(|()| named::real(file)) {
                Ok(path) => path.to_string_lossy().into_owned(),
                Err(e) => return Problem::host_cant(format!("cannot write the trace to `{}`", printable(file, 200))).on(file).because(e),
            }
        }
    };
    let program = match std::env::current_exe() {
        Ok(path) => path.to_string_lossy().into_owned(),
        Err(e) => return Problem::host_cant("cannot find this program's file").because(e),
    };
    // The options before `dev` apply to the command as well, in particular --dry-run.
    let volume = session.ui.volume;
    let before = [
        (session.dry_run, "--dry-run"),
        (session.yes, "--yes"),
        (session.ui.json, "--json"),
        (volume == Volume::Quiet, "--quiet"),
        (volume == Volume::Verbose, "--verbose"),
    ];
    let before = before.into_iter().filter(|(said, _)| *said).map(|(_, word)| word.to_owned());
    let mut variables = vec![(trace::VARIABLE, place.as_str())];
    variables.extend(output.then_some((trace::OUTPUT_VARIABLE, "1")));
    run::become_program(&Cmd::new(&program, before.chain(words.iter().cloned())), &variables)
}
