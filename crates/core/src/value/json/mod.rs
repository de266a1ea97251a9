//! JSON that chyves reads: records, plans, answers of programs. One reader for all types.
//!
//! serde generates the code of a type anew for each format that the type is read from, and twice for enumerations whose variants
//! are named by a field. Here every text becomes a [`Value`] first, and every type is read from that, so there is one copy of
//! the code of each type. This was a third of the executable.
//!
//! Not here: what is written, except the tagged enumerations.

mod reader;
mod tagged;

pub use reader::Variant;
pub use reader::from_value;
pub use tagged::tagged;
#[doc(hidden)]
pub use tagged::{read, write};

use serde::de::DeserializeOwned;
use serde_json::{Error, Value};

/// Reads a type from JSON text.
///
/// # Errors
/// It is not JSON, or not of that type.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    from_value(serde_json::from_str::<Value>(text)?)
}

/// Reads a type from JSON text in bytes.
///
/// # Errors
/// As [`from_str`].
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| serde::de::Error::custom("it is not UTF-8"))?;
    from_str(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};
    use std::collections::{BTreeMap, BTreeSet};

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(remote = "Self", rename_all = "kebab-case")]
    enum Step {
        Stop,
        Make { name: String, size: Option<u64> },
        Other(Inner),
        Empty {},
    }
    tagged!(Step, "step");

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        number: i32,
        #[serde(default)]
        pairs: Vec<(String, u16)>,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Outer {
        id: u64,
        #[serde(flatten)]
        step: Step,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum External {
        Unit,
        New(u8),
        Pair(u8, bool),
        Fields { a: Option<String> },
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct All {
        steps: Vec<Step>,
        outer: Outer,
        external: Vec<External>,
        map: BTreeMap<String, Option<i64>>,
        numbered: BTreeMap<u32, u8>,
        set: BTreeSet<u16>,
        result: Result<u8, String>,
        ratio: f64,
        any: Value,
        nothing: (),
        text: std::borrow::Cow<'static, str>,
        letter: char,
        at: std::net::IpAddr,
    }

    fn all() -> All {
        All {
            steps: vec![
                Step::Stop,
                Step::Make { name: "a".into(), size: None },
                Step::Make { name: "b".into(), size: Some(u64::MAX) },
                Step::Other(Inner { number: -3, pairs: vec![("x".into(), 1)] }),
                Step::Empty {},
            ],
            outer: Outer { id: 7, step: Step::Make { name: "c".into(), size: Some(1) } },
            external: vec![External::Unit, External::New(1), External::Pair(1, true), External::Fields { a: Some("z".into()) }],
            map: [("m".to_owned(), Some(-1)), ("n".to_owned(), None)].into(),
            numbered: [(8, 1), (9, 2)].into(),
            set: [3, 4].into(),
            result: Err("no".into()),
            ratio: 0.5,
            any: serde_json::json!({"a": [1, null, "b"]}),
            nothing: (),
            text: "t".into(),
            letter: 'l',
            at: "192.0.2.1".parse().unwrap(),
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let text = serde_json::to_string(&all()).unwrap();
        assert_eq!(from_str::<All>(&text).unwrap(), all());
        assert_eq!(from_slice::<All>(text.as_bytes()).unwrap(), all());
        // serde_json's own reader agrees, so either may read what the other one wrote.
        assert_eq!(serde_json::from_str::<All>(&text).unwrap(), all());
        assert_eq!(serde_json::from_value::<All>(serde_json::to_value(all()).unwrap()).unwrap(), all());
    }

    #[test]
    fn a_variant_is_named_by_a_field_that_comes_first() {
        assert_eq!(serde_json::to_string(&Step::Stop).unwrap(), r#"{"step":"stop"}"#);
        assert_eq!(serde_json::to_string(&all().steps[1]).unwrap(), r#"{"step":"make","name":"a","size":null}"#);
        assert_eq!(serde_json::to_string(&all().steps[3]).unwrap(), r#"{"step":"other","number":-3,"pairs":[["x",1]]}"#);
        assert_eq!(serde_json::to_string(&all().outer).unwrap(), r#"{"id":7,"step":"make","name":"c","size":1}"#);
        assert_eq!(from_str::<Step>(r#"{"size":2,"name":"a","step":"make"}"#).unwrap(), Step::Make { name: "a".into(), size: Some(2) });
    }

    #[test]
    fn what_does_not_fit_is_an_error_that_names_it() {
        for (text, says) in [
            ("{", "EOF"),
            (r#""make""#, "expected a map with the field `step`"),
            ("{}", "missing field `step`"),
            (r#"{"step":1}"#, "invalid type: integer `1`, expected a string"),
            (r#"{"step":"fly"}"#, "unknown variant `fly`, expected one of `stop`, `make`, `other`, `empty`"),
            (r#"{"step":"make"}"#, "missing field `name`"),
            (r#"{"step":"make","name":1}"#, "invalid type: integer `1`, expected a string"),
            (r#"{"step":"make","name":["a"]}"#, "invalid type: sequence, expected a string"),
            (r#"{"step":"make","name":"a","size":-1}"#, "invalid value: integer `-1`"),
            (r#"{"step":"make","name":"a","size":1.5}"#, "invalid type: floating point `1.5`"),
            (r#"{"step":"other","number":3000000000}"#, "invalid value: integer `3000000000`"),
            (r#"{"step":"other","number":1,"more":1}"#, "unknown field `more`"),
            (r#"{"step":"other","number":1,"pairs":[["x"]]}"#, "invalid length 1"),
            (r#"{"step":"other","number":1,"pairs":[["x",1,2]]}"#, "invalid length 3"),
            (r#"{"step":"other","number":1,"pairs":{}}"#, "invalid type: map, expected a sequence"),
        ] {
            let error = from_str::<Step>(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        for (text, says) in [
            ("[]", "invalid type: sequence"),
            (r#"{"unit":null,"new":1}"#, "a map with one key"),
            (r#"{"pair":[1]}"#, "invalid length 1"),
            (r#"{"unit":1}"#, "invalid type"),
            (r#""new""#, "invalid type: null"),
        ] {
            let error = from_str::<External>(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
        // A struct is read by the names of its fields only.
        assert!(from_str::<Inner>("[1, []]").is_err());
        assert!(from_slice::<Inner>(b"\xff").is_err());
    }
}
