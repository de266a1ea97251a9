//! Enumerations whose values are words: a value is stored, shown and parsed by the one word that its row states.
//!
//! Not here: the enumerations themselves (`property::choices` and others).

/// Defines enumerations by their words. Each gets `ALL`, `WORDS`, `word`, `Display`, `FromStr` and serde by the word.
macro_rules! choices {
    ($($(#[$meta:meta])* $name:ident: $what:literal { $($(#[$about:meta])* $variant:ident = $word:literal,)+ })+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$about])* $variant,)+ }

        impl $name {
            /// All values, in the order in which they are listed.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The words of all values.
            pub const WORDS: &'static [&'static str] = &[$($word,)+];

            /// The word that is stored and shown.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::value::BadValue;

            fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
                let found = Self::ALL.iter().copied().find(|value| value.word() == text);
                found.ok_or_else(|| $crate::value::BadValue::new(text, $what).hint(format!("one of: {}", Self::WORDS.join(", "))))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }

        $crate::value::serde_by_text!($name);
    )+};
}
pub(crate) use choices;

#[cfg(test)]
#[allow(unreachable_pub)] // the macro makes public enumerations
mod tests {
    choices! {
        /// For the test.
        Side: "is not a side" {
            /// Left.
            Left = "left",
            /// Right.
            Right = "right-hand",
        }
    }

    #[test]
    fn a_value_is_its_word_everywhere() {
        assert_eq!(Side::WORDS, ["left", "right-hand"]);
        for side in Side::ALL {
            assert_eq!(side.to_string().parse::<Side>().unwrap(), *side);
            assert_eq!(serde_json::to_string(side).unwrap(), format!("\"{}\"", side.word()));
        }
        let refusal = "up".parse::<Side>().unwrap_err();
        assert_eq!((refusal.to_string().as_str(), refusal.hint.as_deref()), ("`up` is not a side", Some("one of: left, right-hand")));
    }
}
