//! A hidden command of chyves that prepares a guest's files between two runs of its hypervisor: the format of its
//! arguments, shared by the planner that writes them and the command that parses them.
//!
//! Not here: executing it (chyves-host `guest_files`).

use super::OWN;
use crate::cmd::Cmd;

/// The hidden command.
pub const WORD: &str = "_guest-files";

/// The name of the file with the UEFI variables in a guest's folder.
pub const VARIABLES_FILE: &str = "uefi-vars.fd";

/// Size limit of a file for a loader, in bytes.
pub const LOADER_LIMIT: u64 = 1 << 20;

/// What the command does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Adds to a folder that was rolled back to a snapshot what every guest needs: the log folder, the copy of the present
    /// settings, and UEFI variables if there are none.
    Refill {
        /// The guest's folder, a mount point.
        folder: String,
        /// The file with the settings.
        settings: String,
        /// The template of the variables, if the guest needs any.
        variables: Option<String>,
    },
    /// Copies files from the guest's folder to a directory where a loader reads them, so that the loader reads exactly what
    /// was checked.
    Loader {
        /// The guest's folder, a mount point.
        folder: String,
        /// The directory for the copies.
        run: String,
        /// Their names.
        files: Vec<String>,
    },
}

impl Order {
    /// The command.
    pub fn cmd(&self) -> Cmd {
        let cmd = Cmd::new(OWN, [WORD]);
        match self {
            Self::Refill { folder, settings, variables } => cmd.args(["refill", folder, settings]).args(variables.clone()),
            Self::Loader { folder, run, files } => cmd.args(["loader", folder, run]).args(files.clone()),
        }
    }

    /// Parses the arguments after [`WORD`].
    pub fn read(words: &[String]) -> Option<Self> {
        match words {
            [word, folder, settings, variables @ ..] if word == "refill" && variables.len() < 2 => {
                Some(Self::Refill { folder: folder.clone(), settings: settings.clone(), variables: variables.first().cloned() })
            }
            [word, folder, run, files @ ..] if word == "loader" => {
                Some(Self::Loader { folder: folder.clone(), run: run.clone(), files: files.to_vec() })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_as_it_was_written() {
        let text = |text: &str| text.to_owned();
        for variables in [None, Some(text("/fw/VARS.fd"))] {
            for order in [
                Order::Refill { folder: text("/tank/web"), settings: text("/run/c.toml"), variables },
                Order::Loader { folder: text("/tank/web"), run: text("/run/w"), files: vec![text("grub.cfg")] },
            ] {
                let cmd = order.cmd();
                assert_eq!((cmd.program.as_str(), cmd.args[0].as_str()), ("chyves", WORD));
                assert_eq!(Order::read(&cmd.args[1..]), Some(order));
            }
        }
        assert_eq!(Order::read(&[text("refill"), text("/tank/web")]), None);
    }
}
