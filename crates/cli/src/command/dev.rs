//! `chyves dev`: for those who look under the hood.

use crate::session::Session;
use chyves_core::error::{Problem, Result};
use chyves_core::os::Os;
use chyves_host::facts;

/// Look under the hood
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Print the facts of this host, or of one that --host names, as --facts takes them
    Facts {
        /// The system: freebsd (14.3, amd64); this host where not given
        #[arg(value_name = "SYSTEM")]
        system: Option<Os>,
    },
    /// Print the manual page of the properties, made from the registry
    Properties,
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
                Some(Os::FreeBsd) => chyves_core::os::freebsd::release_14_3(),
                Some(Os::Linux) | None => facts::host(session.runtime.root()),
            };
            let value = serde_json::to_value(&found).map_err(|e| Problem::bug("facts are no JSON").because(e))?;
            session.ui.answer_json(value);
        }
        Verb::Unpack { file } => {
            let (bytes, format) = chyves_host::import::unpack_alone(file)?;
            session.ui.answer(&format!("{bytes} bytes of {format}\n"));
        }
        Verb::Properties => session.ui.answer(&crate::manual::properties()),
    }
    Ok(())
}
