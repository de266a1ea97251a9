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

/// A command without those below it that are nobody's to type.
fn shown(command: &clap::Command) -> clap::Command {
    let name = command.get_name().to_owned();
    let mut kept = clap::Command::new(name).args(command.get_arguments().cloned());
    if let Some(about) = command.get_about() {
        kept = kept.about(about.clone());
    }
    let aliases: Vec<String> = command.get_visible_aliases().map(str::to_owned).collect();
    kept.visible_aliases(aliases).subcommands(command.get_subcommands().filter(|c| !c.is_hide_set()).map(shown))
}

#[allow(clippy::unnecessary_wraps, reason = "every verb answers alike")]
pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut shown(&super::Cli::command()), "chyves", &mut text);
    session.ui.answer(&String::from_utf8_lossy(&text));
    Ok(())
}
