//! `chyves completions`: the script with which a shell completes commands.

use crate::complete;
use crate::session::Session;
use chyves_core::error::Result;
use clap_complete::Shell;

/// Print what a shell needs to complete commands
///
/// Guests, snapshots, images and the like are completed as they are at the moment.
///
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  source <(chyves completions bash)   in ~/.bashrc
  source <(chyves completions zsh)    in ~/.zshrc, after compinit
  chyves completions fish | source    in config.fish")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

#[allow(clippy::unnecessary_wraps, reason = "every verb answers alike")]
pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    session.ui.answer(&complete::script(args.shell));
    Ok(())
}
