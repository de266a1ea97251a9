//! The copy of a guest's settings in its file system.

use crate::error::{Problem, Result};
use crate::property::settings::OwnValues;
use crate::property::stored;

/// Renders the copy of a guest's own settings: TOML, sorted, one setting on each line. It is only read to restore from
/// snapshots that store no settings themselves.
pub fn settings_copy(own: &OwnValues) -> String {
    let mut text = String::from("# A copy of this guest's settings; the ZFS properties are the truth.\n");
    // Trust records are specific to this host and are not settings.
    for (key, value) in own.iter().filter(|(key, _)| !super::trust::is_record(key)) {
        // JSON strings are valid TOML basic strings.
        let quoted = |s: &str| serde_json::Value::from(s).to_string();
        text.push_str(&format!("{} = {}\n", quoted(&stored::key(key)), quoted(stored::value(key, &value.value))));
    }
    text
}

/// Parses a copy of settings as [`settings_copy`] writes it.
///
/// # Errors
/// A line that [`settings_copy`] would not write.
pub fn read_settings_copy(text: &str) -> Result<OwnValues> {
    let own = read_lines(text)?;
    for (key, own) in &own {
        let good = !key.is_empty()
            && key.len() <= 200
            && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-:+".contains(&b));
        let fits = own.value.len() <= crate::property::VALUE_LIMIT && !own.value.contains(char::is_control);
        if !(good && fits) {
            return Err(Problem::failed("the copy of the settings cannot be read").because(format!(
                "no setting is so: {} = {}",
                crate::value::printable(key, 60),
                crate::value::printable(&own.value, 60)
            )));
        }
    }
    Ok(own)
}

/// Parses a copy of settings that are about to be applied: each key must be known, and each value valid.
///
/// # Errors
/// As [`read_settings_copy`], and an unknown key or invalid value.
pub fn read_copy(text: &str) -> Result<OwnValues> {
    let own = read_lines(text)?;
    for (key, own) in &own {
        let wrong = |why: &str| {
            Problem::failed("the copy of the settings is wrong").because(format!("`{}`: {why}", crate::value::printable(key, 60)))
        };
        let known = crate::property::find(key).map_err(|_| wrong("chyves does not know the key"))?;
        if known.key != *key {
            return Err(wrong(&format!("the key is written `{}`", stored::key(&known.key))));
        }
        crate::property::check(&known, &own.value).map_err(|p| wrong(&p.to_string()))?;
    }
    Ok(own)
}

/// Parses comments, and lines of a quoted key and a quoted value, each key once.
fn read_lines(text: &str) -> Result<OwnValues> {
    let mut own = OwnValues::new();
    for (index, line) in text.lines().enumerate().filter(|(_, l)| !l.is_empty() && !l.starts_with('#')) {
        let shown = || crate::value::printable(line, 120);
        let wrong = |why: &str| {
            Problem::failed(format!("line {} of the copy of the settings is wrong", index + 1)).because(format!("{why}: {}", shown()))
        };
        let (key, value) = pair(line).ok_or_else(|| wrong("it is no `\"key\" = \"value\"`"))?;
        let key = stored::shown_key(&key).into_owned();
        let value = stored::shown_value(&key, &value).to_owned();
        if own.insert(key, crate::property::settings::Own { value, received: false }).is_some() {
            return Err(wrong("the key occurs twice"));
        }
    }
    Ok(own)
}

fn pair(line: &str) -> Option<(String, String)> {
    // JSON would allow surrounding blanks; chyves writes none.
    if !(line.starts_with('"') && line.ends_with('"')) {
        return None;
    }
    let mut key = serde_json::Deserializer::from_str(line).into_iter::<String>();
    let first = key.next()?.ok()?;
    let rest = line.get(key.byte_offset()..)?.strip_prefix(" = ").filter(|rest| rest.starts_with('"'))?;
    Some((first, serde_json::from_str(rest).ok()?))
}
