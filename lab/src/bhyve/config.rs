//! bhyve's configuration: a tree of `a.b.c` keys with texts, filled from options and files strictly from left to right.
//! Not its job: which keys mean something; unknown ones are kept and never missed.

use std::collections::BTreeMap;

use crate::exit::{Done, exit};

/// bhyve's own end for a value that can't be used.
pub(crate) const ERROR: u8 = 4;

/// The tree.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    keys: BTreeMap<String, String>,
}

impl Config {
    pub(crate) fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.keys.insert(key.into(), value.into());
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// A value with its references resolved.
    #[allow(clippy::unnecessary_wraps, reason = "every reader of the tree ends bhyve where a value is wrong")]
    pub(crate) fn get(&self, key: &str) -> Done<Option<String>> {
        Ok(self.keys.get(key).map(|value| self.expand(value, 0)))
    }

    /// `%(key)` is replaced by that key's value, by nothing where there is none; any other `%` stays as it is, with a warning,
    /// `%%` included. A backslash keeps the character behind it, but only in a value that has a `%`.
    fn expand(&self, value: &str, depth: u8) -> String {
        if !value.contains('%') && depth == 0 {
            return value.to_owned();
        }
        let mut expanded = String::new();
        let mut rest = value;
        while let Some(c) = rest.chars().next() {
            let after = &rest[c.len_utf8()..];
            rest = after;
            match c {
                '%' => {
                    let reference = after.strip_prefix('(').and_then(|after| after.split_once(')')).filter(|_| depth <= 15);
                    let Some((name, behind)) = reference else {
                        eprintln!("bhyve: Invalid reference in configuration value \"{value}\"");
                        expanded.push('%');
                        continue;
                    };
                    rest = behind;
                    match self.keys.get(name) {
                        Some(value) => expanded.push_str(&self.expand(value, depth + 1)),
                        None => eprintln!("bhyve: Failed to fetch referenced configuration variable {name}"),
                    }
                }
                '\\' => {
                    if let Some(kept) = after.chars().next() {
                        expanded.push(kept);
                        rest = &after[kept.len_utf8()..];
                    }
                }
                c => expanded.push(c),
            }
        }
        expanded
    }

    /// true/on/yes/1 or false/off/no/0 in any case; `default` where nothing is said.
    pub(crate) fn is_on(&self, key: &str, default: bool) -> Done<bool> {
        let Some(value) = self.get(key)? else { return Ok(default) };
        match value.to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Ok(true),
            "false" | "off" | "no" | "0" => Ok(false),
            _ => exit(ERROR, format!("Invalid boolean value for {key}: {value}")),
        }
    }

    /// The keys below a node, with their last part alone: `below("pci.0.3.0.")`.
    pub(crate) fn below(&self, prefix: &str) -> Vec<String> {
        self.keys.keys().filter_map(|key| key.strip_prefix(prefix)).map(str::to_owned).collect()
    }

    /// One `a.b.c=value` a line; what the lab keeps here for itself is none of it.
    pub(crate) fn dump(&self) -> String {
        self.keys.iter().filter(|(key, _)| !key.starts_with("lab.")).map(|(key, value)| format!("{key}={value}\n")).collect()
    }

    /// Takes `name=value`; false where it has no value. A variable is no node of the tree, and a node no variable.
    pub(crate) fn assign(&mut self, text: &str) -> Done<bool> {
        let Some((key, value)) = text.split_once('=').filter(|(_, value)| !value.is_empty()) else { return Ok(false) };
        let mut at = key.match_indices('.').map(|(at, _)| at);
        if key.contains('.') && key.split('.').rev().skip(1).any(str::is_empty) {
            return exit(ERROR, format!("Invalid configuration node: {key}"));
        }
        if let Some(variable) = at.find(|at| self.keys.contains_key(&key[..*at])) {
            return exit(ERROR, format!("Configuration node {key} is a child of existing variable {}", &key[..variable]));
        }
        if self.keys.keys().any(|other| other.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))) {
            return exit(ERROR, format!("Attempting to add value {value} to existing node {key}"));
        }
        self.set(key, value);
        Ok(true)
    }

    /// Reads a configuration file. Blanks and carriage returns are part of a value.
    pub(crate) fn read_file(&mut self, path: &str, text: &str) -> Done {
        for (number, line) in text.split('\n').enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if !self.assign(line)? {
                return exit(ERROR, format!("{path} line {}: invalid config option '{line}'", number + 1));
            }
        }
        Ok(())
    }

    /// Takes `name[=value],…` below a node, as most devices do. A name alone is `true`. Nothing can hold a comma.
    pub(crate) fn options(&mut self, prefix: &str, text: &str) {
        for option in text.split(',').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, "true"));
            self.set(format!("{prefix}{name}"), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_refer_to_values() {
        let mut config = Config::default();
        config.read_file("f", "# a comment\n\nname=web01\npath=/dev/zvol/tank/%(name)\nshare=100%%\nbad=%x\\y\nloop=<%(loop)>\n").unwrap();
        assert_eq!(config.get("path").unwrap().unwrap(), "/dev/zvol/tank/web01");
        // The manual calls `%%` an escape, which it is not.
        assert_eq!(config.get("share").unwrap().unwrap(), "100%%");
        assert_eq!(config.get("bad").unwrap().unwrap(), "%xy");
        assert!(config.get("loop").unwrap().unwrap().ends_with("<%(loop)>>>>>>>>>>>>>>>>>"));
        config.set("gone", "a%(nothing)b\\%(name)");
        assert_eq!(config.get("gone").unwrap().unwrap(), "ab%(name)");
        config.set("plain", "a\\b");
        assert_eq!(config.get("plain").unwrap().unwrap(), "a\\b");
        assert_eq!(config.get("nothing").unwrap(), None);
    }

    #[test]
    fn a_file_with_a_bad_line_is_refused() {
        let mut config = Config::default();
        let error = config.read_file("f", "a=1\nb=\n").unwrap_err();
        assert_eq!((error.status, error.text.as_str()), (4, "f line 2: invalid config option 'b='"));
        config.read_file("f", "a= 1 \r\n").unwrap();
        assert_eq!(config.get("a").unwrap().unwrap(), " 1 \r");
    }

    #[test]
    fn a_name_alone_is_true() {
        let mut config = Config::default();
        config.options("pci.0.3.0.", "ro,ser=A=B");
        assert!(config.is_on("pci.0.3.0.ro", false).unwrap());
        assert_eq!(config.get("pci.0.3.0.ser").unwrap().unwrap(), "A=B");
        config.set("pci.0.3.0.ro", "maybe");
        assert_eq!(config.is_on("pci.0.3.0.ro", false).unwrap_err().status, 4);
    }
}
