//! The guests that an operation acts on: `a,b`, `a b`, `all`.

use chyves_core::error::{Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::value::GuestName;
use chyves_core::world::World;
use chyves_host::observe::{self, Look, Which};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The guests that were named.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Targets {
    /// Every guest of this host.
    #[default]
    All,
    /// These, without duplicates, in this order.
    Named(#[schemars(with = "Vec<String>")] Vec<GuestName>),
}

/// The guests that exist, and an error for each that does not.
pub type Found<'w> = (Vec<&'w Guest>, Vec<(GuestName, Problem)>);

impl Targets {
    /// Parses words, each a name, a list with commas, or `all`.
    ///
    /// # Errors
    /// There are none, or a word is not a valid guest name.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self> {
        let mut names: Vec<GuestName> = Vec::new();
        for word in words.iter().flat_map(|w| w.as_ref().split(',')) {
            if word == "all" {
                return Ok(Self::All);
            }
            let name: GuestName = word
                .parse()
                .map_err(|e| Problem::from(e).within(format!("`{}` cannot name a guest", chyves_core::value::printable(word, 63))))?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.is_empty() {
            return Err(Problem::usage("no guest is named").hint("name guests as `a,b` or `a b`, or use `all`; `chyves list` shows them"));
        }
        Ok(Self::Named(names))
    }

    /// The scope of the observation that they need.
    pub fn look(&self) -> Look {
        match self {
            Self::All => Look { guests: Which::All, ..Look::default() },
            Self::Named(names) => Look::at(names),
        }
    }

    /// The guests that exist, and an error for each that does not.
    ///
    /// # Errors
    /// No pool is in use.
    pub fn found<'w>(&self, world: &'w World) -> Result<Found<'w>> {
        let Self::Named(names) = self else { return Ok((self.guests(world)?, Vec::new())) };
        let mut found = Vec::new();
        let mut lost = Vec::new();
        for name in names {
            match observe::guest(world, name) {
                Ok(guest) => found.push(guest),
                Err(problem) => lost.push((name.clone(), problem)),
            }
        }
        Ok((found, lost))
    }

    /// The names of the guests in a world that was observed for them.
    ///
    /// # Errors
    /// One of them does not exist; then no guest must be changed.
    pub fn names(&self, world: &World) -> Result<Vec<GuestName>> {
        Ok(self.guests(world)?.into_iter().map(|g| g.name.clone()).collect())
    }

    /// The guests themselves.
    ///
    /// # Errors
    /// One of them does not exist.
    pub fn guests<'w>(&self, world: &'w World) -> Result<Vec<&'w Guest>> {
        match self {
            Self::All => {
                world.in_use()?;
                Ok(world.guests.iter().collect())
            }
            Self::Named(names) => names.iter().map(|name| observe::guest(world, name)).collect(),
        }
    }
}

impl From<GuestName> for Targets {
    fn from(name: GuestName) -> Self {
        Self::Named(vec![name])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_words_name_guests_once() {
        let named = |w: &[&str]| match Targets::parse(w).unwrap() {
            Targets::All => "all".to_owned(),
            Targets::Named(n) => n.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        };
        assert_eq!(named(&["a,b", "c", "a"]), "a b c");
        assert_eq!(named(&["a", "all"]), "all");
        for bad in [&["a,"][..], &["web*"], &["../x"], &[]] {
            assert!(Targets::parse(bad).is_err(), "{bad:?}");
        }
    }
}
