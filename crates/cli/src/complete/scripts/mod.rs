//! The scripts with which each shell asks for candidates.

use super::shown;
use crate::command::Cli;
use clap::CommandFactory;
use clap_complete::Shell;

/// The script for a shell.
pub(crate) fn script(shell: Shell) -> String {
    match shell {
        Shell::Bash => include_str!("chyves.bash").to_owned(),
        Shell::Zsh => include_str!("chyves.zsh").to_owned(),
        Shell::Fish => include_str!("chyves.fish").to_owned(),
        // These complete commands and options, but no objects.
        other => {
            let mut text = Vec::new();
            clap_complete::generate(other, &mut shown(&Cli::command()), "chyves", &mut text);
            String::from_utf8_lossy(&text).into_owned()
        }
    }
}
