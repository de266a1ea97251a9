//! QEMU's option text: `driver,key=value,…`, with commas in values doubled.

/// The value of one option.
#[derive(Debug, Clone)]
pub(super) struct Opt(String);

/// Escapes a value for QEMU.
pub(super) fn literal(value: &str) -> String {
    value.replace(',', ",,")
}

impl Opt {
    /// Starts with a single word.
    pub(super) fn new(head: &str) -> Self {
        Self(literal(head))
    }

    /// Starts with a key and its value.
    pub(super) fn with(key: &str, value: impl std::fmt::Display) -> Self {
        Self(format!("{key}={}", literal(&value.to_string())))
    }

    /// Adds `key=value`.
    pub(super) fn set(mut self, key: &str, value: impl std::fmt::Display) -> Self {
        for part in [",", key, "=", &literal(&value.to_string())] {
            self.0.push_str(part);
        }
        self
    }

    /// Adds `key=value` if there is a value.
    pub(super) fn maybe(self, key: &str, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.set(key, value),
            None => self,
        }
    }

    /// Adds `key=on` if `on` is true.
    pub(super) fn on(self, key: &str, on: bool) -> Self {
        if on { self.set(key, "on") } else { self }
    }

    /// The text.
    pub(super) fn text(self) -> String {
        self.0
    }
}
