//! The content of the files that a step writes for a hypervisor, a loader or the guest, for the dry run.
//!
//! Not here: chyves' own files, such as the copy of a guest's settings, because their content is in the steps beside them.

use super::Action;
use crate::cloudinit::{Sources, documents};

impl Action {
    /// Each file's path with its content; secrets are hidden.
    pub fn written(&self) -> Vec<(String, String)> {
        match self {
            Self::WriteHostFile(file) => vec![(file.path.clone(), file.shown())],
            Self::WriteSeed(disc) => {
                // If the user's own texts were not read, only the parts that chyves generates are shown.
                let password = disc.seed.password_file.as_ref().map(|_| "$x$(hidden)$".to_owned());
                let sources = disc.read.clone().unwrap_or_else(|| Sources { password, ..Sources::default() });
                match documents::shown(&disc.seed, &sources, true) {
                    Ok(all) => all.each().into_iter().map(|(name, text)| (format!("{}/{name}", disc.path), text.to_owned())).collect(),
                    Err(why) => vec![(disc.path.clone(), format!("{why}\n"))],
                }
            }
            _ => Vec::new(),
        }
    }
}
