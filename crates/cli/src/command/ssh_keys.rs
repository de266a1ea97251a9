//! Public SSH keys as options of several commands: a file, standard input, or the key itself.

use chyves_core::error::{Kind, Problem, Result};
use chyves_core::value::PublicKey;
use chyves_host::given_text;
use std::path::Path;

/// The keys in a file, or the key itself.
pub(super) fn keys_in(word: &str) -> Result<Vec<PublicKey>> {
    let (text, from) = if PublicKey::looks_like(word) {
        (word.to_owned(), "the key on the command line".to_owned())
    } else {
        let hinted = |problem: Problem| {
            let hint = (problem.code != Kind::Interrupted).then(|| "`ssh-keygen -t ed25519` creates a key pair".to_owned());
            problem.hint_if(hint)
        };
        (given_text::read(Path::new(word)).map_err(hinted)?, format!("`{word}`"))
    };
    PublicKey::all(&text).map_err(|bad| Problem::from(bad).within(format!("{from} cannot be used as an SSH key")))
}
