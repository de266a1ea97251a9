//! `chyves completions`: what a shell needs to complete commands.

use crate::session::Session;
use chyves_core::error::Result;
use clap::CommandFactory;
use clap_complete::Shell;

/// Print what a shell needs to complete commands
///
/// For bash: chyves completions bash > /usr/local/share/bash-completion/completions/chyves
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

#[allow(clippy::unnecessary_wraps, reason = "every verb answers alike")]
pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "chyves", &mut text);
    session.ui.answer(&String::from_utf8_lossy(&text));
    Ok(())
}
