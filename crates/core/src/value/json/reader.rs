//! Types read from a [`Value`]. serde_json has the same, but also reads each struct from an array, which generates its code once
//! more; here a struct is read by the names of its fields only.

use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, MapAccess, SeqAccess, Unexpected, VariantAccess,
    Visitor,
};
use serde_json::{Error, Map, Number, Value};

/// Reads a type from a value.
///
/// # Errors
/// The value is not of that type.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    T::deserialize(Json(value))
}

/// A value that is read.
pub(super) struct Json(Value);

/// The error that a value is not what is expected.
pub(super) fn expected(value: &Value, what: &dyn Expected) -> Error {
    let found = match value {
        Value::Null => Unexpected::Other("null"),
        Value::Bool(is) => Unexpected::Bool(*is),
        Value::Number(number) => return unfit(number, what),
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
    };
    Error::invalid_type(found, what)
}

fn unfit(number: &Number, what: &dyn Expected) -> Error {
    let found = match (number.as_u64(), number.as_i64()) {
        (Some(number), _) => Unexpected::Unsigned(number),
        (None, Some(number)) => Unexpected::Signed(number),
        (None, None) => Unexpected::Float(number.as_f64().unwrap_or(f64::NAN)),
    };
    Error::invalid_type(found, what)
}

/// Methods of a deserializer that do what another one does.
macro_rules! same {
    ($as:ident: $($method:ident($($more:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $(_: $more,)* visitor: V) -> Result<V::Value, Error> {
            self.$as(visitor)
        }
    )*};
}

impl Json {
    /// Any number: the visitor judges whether it fits.
    fn number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Value::Number(number) = &self.0 else { return Err(expected(&self.0, &visitor)) };
        match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => visitor.visit_u64(number),
            (None, Some(number)) => visitor.visit_i64(number),
            (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
        }
    }
}

impl<'de> Deserializer<'de> for Json {
    type Error = Error;

    /// What reads anything, such as [`Value`] itself.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(is) => visitor.visit_bool(is),
            Value::Number(_) => self.number(visitor),
            Value::String(text) => visitor.visit_string(text),
            Value::Array(_) => self.deserialize_seq(visitor),
            Value::Object(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Value::Bool(is) = self.0 else { return Err(expected(&self.0, &visitor)) };
        visitor.visit_bool(is)
    }

    same! { number:
        deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_u128()
        deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64() deserialize_i128()
        deserialize_f32() deserialize_f64()
    }
    same! { deserialize_str:
        deserialize_string() deserialize_char() deserialize_identifier() deserialize_bytes() deserialize_byte_buf()
    }
    same! { deserialize_seq: deserialize_tuple(usize) deserialize_tuple_struct(&'static str, usize) }
    same! { deserialize_map: deserialize_struct(&'static str, &'static [&'static str]) }
    same! { deserialize_unit: deserialize_unit_struct(&'static str) }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Value::String(text) = self.0 else { return Err(expected(&self.0, &visitor)) };
        visitor.visit_string(text)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_unit() } else { Err(expected(&self.0, &visitor)) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Value::Array(items) = self.0 else { return Err(expected(&self.0, &visitor)) };
        let count = items.len();
        let mut items = Items(items.into_iter());
        let value = visitor.visit_seq(&mut items)?;
        // A tuple reads as many as it has.
        if items.0.len() == 0 { Ok(value) } else { Err(Error::invalid_length(count, &"fewer elements")) }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Value::Object(map) = self.0 else { return Err(expected(&self.0, &visitor)) };
        visitor.visit_map(Fields::of(map))
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        let variant = match self.0 {
            Value::String(name) => Variant { name, content: Value::Null, tagged: false },
            Value::Object(map) if map.len() == 1 => {
                let (name, content) = map.into_iter().next().unwrap_or_default();
                Variant { name, content, tagged: false }
            }
            Value::Object(_) => return Err(Error::invalid_value(Unexpected::Map, &"a map with one key")),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => return Err(expected(&self.0, &visitor)),
        };
        visitor.visit_enum(variant)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}

struct Items(std::vec::IntoIter<Value>);

impl<'de> SeqAccess<'de> for &mut Items {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.next().map(|item| seed.deserialize(Json(item))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Fields {
    left: serde_json::map::IntoIter,
    value: Value,
}

impl Fields {
    fn of(map: Map<String, Value>) -> Self {
        Self { left: map.into_iter(), value: Value::Null }
    }
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.left.next() else { return Ok(None) };
        self.value = value;
        seed.deserialize(Key(key)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(Json(std::mem::take(&mut self.value)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left.len())
    }
}

/// A key of a map: a text, also where it is read as a number.
struct Key(String);

impl Key {
    fn number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let number = serde_json::from_str::<Number>(&self.0).map_err(|_| Error::invalid_type(Unexpected::Str(&self.0), &visitor))?;
        Json(Value::Number(number)).number(visitor)
    }
}

impl<'de> Deserializer<'de> for Key {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        visitor.visit_enum(Variant { name: self.0, content: Value::Null, tagged: false })
    }

    same! { number:
        deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_u128()
        deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64() deserialize_i128()
    }

    serde::forward_to_deserialize_any! {
        bool f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A variant of an enumeration: its name, and what it contains.
pub struct Variant {
    name: String,
    content: Value,
    /// Whether the content was read with the field that names the variant: a variant without fields has an empty map.
    tagged: bool,
}

impl Variant {
    pub(super) fn tagged(name: String, fields: Map<String, Value>) -> Self {
        Self { name, content: Value::Object(fields), tagged: true }
    }
}

impl<'de> Deserializer<'de> for Variant {
    type Error = Error;

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        visitor.visit_enum(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_enum(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(mut self, seed: S) -> Result<(S::Value, Self), Error> {
        let name = seed.deserialize(StringDeserializer::<Error>::new(std::mem::take(&mut self.name)))?;
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for Variant {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        if self.tagged || self.content.is_null() { Ok(()) } else { Err(expected(&self.content, &"a variant without content")) }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(Json(self.content))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        Json(self.content).deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        Json(self.content).deserialize_map(visitor)
    }
}
