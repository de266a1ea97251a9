//! Enumerations whose variants are named by a field among those of the variant: `{"action": "verify", "objects": []}`.

use super::reader::{Variant, expected};
use serde::de::Error as _;
use serde_json::{Error, Map, Value};

/// Implements serde for an enumeration that derives it with `#[serde(remote = "Self")]`, and names the variant in this field.
#[doc(hidden)]
#[macro_export]
macro_rules! tagged {
    ($type:ty, $tag:literal) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                let plain = <$type>::serialize(self, serde_json::value::Serializer).map_err(serde::ser::Error::custom)?;
                serde::Serialize::serialize(&$crate::value::json::write($tag, plain), s)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let value = <serde_json::Value as serde::Deserialize>::deserialize(d)?;
                $crate::value::json::read($tag, value, |variant| <$type>::deserialize(variant)).map_err(serde::de::Error::custom)
            }
        }
    };
}
pub use tagged;

/// Moves the name of a variant into a field.
pub fn write(tag: &str, plain: Value) -> Value {
    let (name, fields) = match plain {
        Value::Object(map) => map.into_iter().next().unwrap_or_default(),
        Value::String(name) => (name, Value::Null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => return plain,
    };
    let mut map = Map::from_iter([(tag.to_owned(), Value::String(name))]);
    if let Value::Object(fields) = fields {
        map.extend(fields);
    }
    Value::Object(map)
}

/// Reads a variant whose name is in a field.
///
/// # Errors
/// The field is missing, or the fields are not those of the variant.
pub fn read<T>(tag: &'static str, value: Value, variant: impl FnOnce(Variant) -> Result<T, Error>) -> Result<T, Error> {
    let Value::Object(mut map) = value else {
        return Err(expected(&value, &format!("a map with the field `{tag}`").as_str()));
    };
    match map.shift_remove(tag) {
        Some(Value::String(name)) => variant(Variant::tagged(name, map)),
        Some(other) => Err(expected(&other, &"a string")),
        None => Err(Error::missing_field(tag)),
    }
}
