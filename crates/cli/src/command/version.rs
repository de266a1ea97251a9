//! `chyves version`: the version of this program.

use crate::session::Session;
use chyves_core::error::Result;

/// Print the version
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

#[allow(clippy::unnecessary_wraps, reason = "every verb answers alike")]
pub(crate) fn run(session: &Session, _: &Args) -> Result<()> {
    if session.ui.json {
        session.ui.answer_json(serde_json::json!({ "version": env!("CARGO_PKG_VERSION") }));
    } else {
        session.ui.answer(concat!("chyves ", env!("CARGO_PKG_VERSION"), "\n"));
    }
    Ok(())
}
