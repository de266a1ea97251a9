//! The schemas of all requests and answers, as files: a change of one is a change of what programs read, and goes into the
//! CHANGELOG.

#![allow(clippy::unwrap_used)] // a panic is the failure report

use chyves_engine::schema;

#[test]
fn every_schema_is_as_it_was() {
    let recorded = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots");
    let mut known: Vec<String> = std::fs::read_dir(recorded)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| Some(name.strip_prefix("schemas__")?.strip_suffix(".snap")?.to_owned()))
        .collect();
    known.sort();
    for entry in schema::all() {
        insta::assert_snapshot!(entry.name, serde_json::to_string_pretty(&entry.schema()).unwrap());
    }
    let names: Vec<&str> = schema::all().iter().map(|entry| entry.name).collect();
    assert_eq!(known, names, "a schema without an operation, or the reverse; the table is in alphabetical order");
}

#[test]
fn operations_are_found_by_name() {
    assert_eq!(schema::find("snapshot-list").unwrap().name, "snapshot-list");
    assert!(schema::find("snapshot-lists").is_none());
}
