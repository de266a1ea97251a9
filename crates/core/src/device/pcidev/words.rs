//! The comma-separated words after an emulation's name, which parsers take one by one. Remaining words are refused,
//! although bhyve would ignore them.

use crate::value::{BadValue, printable};
use std::str::FromStr;

/// The reason for a refusal, one sentence without a full stop.
pub(super) type Why = String;

/// The words of one device.
pub(super) struct Words<'a> {
    emulation: &'a str,
    words: Vec<&'a str>,
}

/// A refusal with a hint.
pub(super) fn bad(value: &BadValue) -> Why {
    match &value.hint {
        Some(hint) => format!("{value}; {hint}"),
        None => value.to_string(),
    }
}

impl<'a> Words<'a> {
    pub(super) fn new(emulation: &'a str, conf: Option<&'a str>) -> Self {
        Self { emulation, words: conf.into_iter().flat_map(|conf| conf.split(',')).collect() }
    }

    pub(super) const fn emulation(&self) -> &'a str {
        self.emulation
    }

    /// The device, if there are no words after its name.
    pub(super) fn nothing<T>(&self, device: T) -> Result<T, Why> {
        if self.words.is_empty() {
            return Ok(device);
        }
        Err(format!("`{}` takes nothing behind it, not `{}`", self.emulation, printable(&self.words.join(","), 40)))
    }

    /// The first word, if it has no `=`.
    pub(super) fn first(&mut self) -> Option<&'a str> {
        let bare = self.words.first().is_some_and(|word| !word.contains('='));
        bare.then(|| self.words.remove(0))
    }

    /// The first word.
    pub(super) fn any(&mut self) -> Option<&'a str> {
        (!self.words.is_empty()).then(|| self.words.remove(0))
    }

    /// The first word, which must be an absolute path.
    pub(super) fn path(&mut self, of: &str) -> Result<String, Why> {
        match self.any() {
            Some(path) if path.starts_with('/') => Ok(path.to_owned()),
            Some(other) => Err(format!("`{}` is not an absolute path of {of}", printable(other, 60))),
            None => Err(format!("`{}` needs the path of {of} behind it", self.emulation)),
        }
    }

    /// Takes the value of `key=`.
    pub(super) fn take(&mut self, key: &str) -> Option<&'a str> {
        let at = self.words.iter().position(|word| word.split_once('=').is_some_and(|(k, _)| k == key))?;
        self.words.remove(at).split_once('=').map(|(_, value)| value)
    }

    /// The same, parsed.
    pub(super) fn parse<T: FromStr>(&mut self, key: &str) -> Result<Option<T>, Why> {
        let Some(text) = self.take(key) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| format!("`{}` is not a valid {key}", printable(text, 40)))
    }

    /// The same for a type with its own error message.
    pub(super) fn value<T: FromStr<Err = BadValue>>(&mut self, key: &str) -> Result<Option<T>, Why> {
        self.take(key).map(|text| text.parse().map_err(|e| bad(&e))).transpose()
    }

    /// The same for an absolute path.
    pub(super) fn path_of(&mut self, key: &str) -> Result<Option<String>, Why> {
        match self.take(key) {
            Some(path) if !path.starts_with('/') => Err(format!("`{}` is not an absolute path", printable(path, 60))),
            other => Ok(other.map(str::to_owned)),
        }
    }

    /// Takes a word without a value.
    pub(super) fn flag(&mut self, word: &str) -> bool {
        let at = self.words.iter().position(|w| *w == word);
        at.is_some_and(|at| self.words.remove(at) == word)
    }

    /// Whether one of these keys is among them.
    pub(super) fn has_any(&self, keys: &[&str]) -> bool {
        self.words.iter().any(|word| keys.contains(&word.split('=').next().unwrap_or_default()))
    }

    /// Takes all remaining words.
    pub(super) fn rest(&mut self) -> Vec<&'a str> {
        std::mem::take(&mut self.words)
    }

    /// Refuses remaining words. `known`: the valid ones, for the hint.
    pub(super) fn end(&self, known: &str) -> Result<(), Why> {
        match self.words.first() {
            None => Ok(()),
            Some(word) => Err(format!("`{}` is not an option of {}: {known}", printable(word, 40), self.emulation)),
        }
    }
}
