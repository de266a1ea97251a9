//! How this program is executed for its hidden commands.

use chyves_core::cmd::Cmd;
use chyves_core::error::{Problem, Result};
use std::path::PathBuf;

/// How this program is executed for its hidden commands.
#[derive(Debug, Clone)]
pub struct Spawner {
    /// Path of the program.
    pub exe: PathBuf,
    /// Arguments before the hidden command, usually none.
    pub args: Vec<String>,
}

impl Spawner {
    /// The running program.
    ///
    /// # Errors
    /// The operating system does not report its path.
    pub fn this_program() -> Result<Self> {
        let exe = std::env::current_exe().map_err(|e| Problem::host_cant("cannot find this program's own path").because(e))?;
        // On Linux, the path of a program that was replaced while running has this suffix; the new program has the old path.
        let text = exe.to_string_lossy();
        let exe = text.strip_suffix(" (deleted)").map_or_else(|| exe.clone(), PathBuf::from);
        Ok(Self { exe, args: Vec::new() })
    }

    /// One of its hidden commands.
    pub(crate) fn command(&self, word: &str) -> Cmd {
        Cmd::new(&self.exe.to_string_lossy(), self.args.clone()).arg(word)
    }
}
