//! The JSON Schemas of all operations: what a request may have, and what an answer has.

use crate::op;
use schemars::Schema;
use serde_json::Value;

/// One operation in the table.
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// The schema of its request.
    request: fn() -> Schema,
    /// The schema of its answer.
    answer: fn() -> Schema,
}

impl Entry {
    /// The entry of an operation.
    pub(crate) const fn of<O: crate::Operation>() -> Self {
        Self { name: O::NAME, request: || schemars::schema_for!(O), answer: || answer_of::<O>() }
    }

    /// Both schemas.
    pub fn schema(&self) -> Value {
        serde_json::json!({ "operation": self.name, "request": (self.request)(), "answer": (self.answer)() })
    }
}

/// Answers are only written, and fields that are always written are always there.
fn answer_of<O: crate::Operation>() -> Schema {
    schemars::generate::SchemaSettings::default().for_serialize().into_generator().into_root_schema_for::<O::Answer>()
}

/// All operations, in alphabetical order.
pub fn all() -> &'static [Entry] {
    op::ALL
}

/// The operation of that name.
pub fn find(name: &str) -> Option<&'static Entry> {
    all().iter().find(|entry| entry.name == name)
}
