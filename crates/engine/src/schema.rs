//! The JSON Schemas of all operations: what a request may have, and what an answer has.

use crate::op;
use flate2::read::ZlibDecoder;
use serde_json::Value;
use std::io::Read;
use std::sync::OnceLock;

/// All schemas by name, as `build.rs` packs them.
static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/schemas.zz"));

/// One operation in the table.
pub struct Entry {
    /// Its name.
    pub name: &'static str,
}

impl Entry {
    /// The schemas of its request and of its answer.
    pub fn schema(&self) -> Value {
        static ALL: OnceLock<Value> = OnceLock::new();
        let read = || {
            let mut text = String::new();
            // A test ensures that it is what was packed.
            let _ = ZlibDecoder::new(PACKED).read_to_string(&mut text);
            serde_json::from_str(&text).unwrap_or_default()
        };
        ALL.get_or_init(read)[self.name].clone()
    }
}

/// All operations, in alphabetical order.
pub fn all() -> &'static [Entry] {
    op::ALL
}

/// The operation of that name.
pub fn find(name: &str) -> Option<&'static Entry> {
    all().iter().find(|entry| entry.name == name)
}

/// The schemas of an operation as they follow from its types. Answers are only written, and fields that are always written are
/// always there.
#[cfg(test)]
pub(crate) fn generated<O: crate::Operation>() -> Value {
    let written = schemars::generate::SchemaSettings::default().for_serialize();
    let answer = written.into_generator().into_root_schema_for::<O::Answer>();
    serde_json::json!({ "operation": O::NAME, "request": schemars::schema_for!(O), "answer": answer })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A change of a schema is a change of what programs read, and goes into the CHANGELOG.
    #[test]
    fn every_schema_is_that_of_its_types() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
        let generated = op::generated();
        let updates = std::env::var_os("UPDATE_SCHEMAS").is_some();
        if updates {
            for (name, schema) in &generated {
                let text = serde_json::to_string_pretty(schema).unwrap() + "\n";
                std::fs::write(folder.join(format!("{name}.json")), text).unwrap();
            }
        }
        for ((name, schema), entry) in generated.iter().zip(all()) {
            assert_eq!(*name, entry.name, "the table is in alphabetical order, and its names are those of the operations");
            let kept: Value = serde_json::from_str(&std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap()).unwrap();
            assert_eq!(&kept, schema, "{name}: run the tests with UPDATE_SCHEMAS=1");
            // Those that are packed are the ones of the build.
            assert!(updates || entry.schema() == kept, "{name}: what was packed is something else");
        }
        assert!(all().is_sorted_by_key(|entry| entry.name));
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), all().len(), "a schema without an operation");
    }

    /// Two types of one name would make a definition that is a reference to itself, and describe nothing.
    #[test]
    fn every_definition_describes_something() {
        for (name, schema) in op::generated() {
            for part in ["request", "answer"] {
                let definitions = schema[part]["$defs"].as_object().into_iter().flatten();
                for (of, definition) in definitions {
                    assert_ne!(definition["$ref"].as_str(), Some(format!("#/$defs/{of}").as_str()), "{name}: {of}");
                }
            }
        }
    }

    #[test]
    fn operations_are_found_by_name() {
        assert_eq!(find("snapshot-list").unwrap().name, "snapshot-list");
        assert!(find("snapshot-lists").is_none());
    }
}
