//! QEMU's option text: `driver,key=value,…`, in which a comma of a value is written twice.

/// The value of one option.
#[derive(Debug, Clone)]
pub(super) struct Opt(String);

/// A value as QEMU reads it.
pub(super) fn literal(value: &str) -> String {
    value.replace(',', ",,")
}

impl Opt {
    /// Begins with a word that stands alone.
    pub(super) fn new(head: &str) -> Self {
        Self(literal(head))
    }

    /// Begins with a key.
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

    /// Adds `key=value`, if there is one.
    pub(super) fn maybe(self, key: &str, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.set(key, value),
            None => self,
        }
    }

    /// Adds `key=on`, if it is.
    pub(super) fn on(self, key: &str, on: bool) -> Self {
        if on { self.set(key, "on") } else { self }
    }

    /// The text.
    pub(super) fn text(self) -> String {
        self.0
    }
}
