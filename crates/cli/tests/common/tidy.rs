//! What differs from run to run is taken out of a text before it is compared.

use super::Host;

impl Host {
    /// The text without this run's folder, pool, identities, times and processes.
    pub fn tidy(&self, text: &str) -> String {
        let mut text = text.replace(&self.dir().display().to_string(), "/DIR");
        if self.pool != "tank" {
            text = text.replace(&self.pool, "tank");
        }
        let text = replace(&text, uuid, "UUID");
        let text = replace(&text, hash, "HASH");
        let text = replace(&text, time, "TIME");
        let text = replace(&text, stamp, "STAMP");
        let text = replace(&text, |t| like(t, "rollback-xxxxxxxx"), "rollback-TOKEN");
        let text = replace(&text, |t| like(t, "chvxxxxxxxx"), "chvTAP");
        numbers_behind(&numbers_behind(&text, "pid "), "process ")
    }
}

/// Replaces every place where `find` tells a length.
fn replace(text: &str, find: fn(&[u8]) -> Option<usize>, with: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        // Nothing that is replaced begins within a word.
        let within = result.ends_with(|c: char| c.is_ascii_alphanumeric());
        match find(rest.as_bytes()).filter(|_| !within) {
            Some(length) => {
                result.push_str(with);
                rest = &rest[length..];
            }
            None => {
                result.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    result
}

/// Whether `text` begins like this: `x` is a hexadecimal digit, `0` a digit, the rest itself.
fn like(text: &[u8], pattern: &str) -> Option<usize> {
    let fits = |(t, p): (&u8, u8)| match p {
        b'x' => t.is_ascii_hexdigit(),
        b'0' => t.is_ascii_digit(),
        p => *t == p,
    };
    (text.len() >= pattern.len() && text.iter().zip(pattern.bytes()).all(fits)).then_some(pattern.len())
}

fn uuid(text: &[u8]) -> Option<usize> {
    like(text, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")
}

fn hash(text: &[u8]) -> Option<usize> {
    like(text, &"x".repeat(64))
}

fn time(text: &[u8]) -> Option<usize> {
    like(text, "0000-00-00T00:00:00Z")
}

fn stamp(text: &[u8]) -> Option<usize> {
    let length = like(text, "00000000T000000Z")?;
    let random = text[length..].iter().skip(1).take_while(|b| b.is_ascii_hexdigit()).count();
    Some(if text.get(length) == Some(&b'-') && random >= 4 { length + 1 + random } else { length })
}

fn numbers_behind(text: &str, word: &str) -> String {
    let mut parts = text.split(word);
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        result.push_str(word);
        result.push_str(if rest.len() < part.len() { "N" } else { "" });
        result.push_str(rest);
    }
    result
}
