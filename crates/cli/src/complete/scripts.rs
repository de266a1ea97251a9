//! What each shell needs, once, to ask for candidates.

use super::shown;
use crate::command::Cli;
use clap::CommandFactory;
use clap_complete::Shell;

/// The text that a shell reads.
pub(crate) fn script(shell: Shell) -> String {
    match shell {
        Shell::Bash => include_str!("scripts/chyves.bash").to_owned(),
        Shell::Zsh => include_str!("scripts/chyves.zsh").to_owned(),
        Shell::Fish => include_str!("scripts/chyves.fish").to_owned(),
        // These know the commands and options, and not what is there.
        other => {
            let mut text = Vec::new();
            clap_complete::generate(other, &mut shown(&Cli::command()), "chyves", &mut text);
            String::from_utf8_lossy(&text).into_owned()
        }
    }
}
