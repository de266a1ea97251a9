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

    /// A value with `%(key)` and `%%` resolved.
    pub(crate) fn get(&self, key: &str) -> Done<Option<String>> {
        self.keys.get(key).map(|value| self.expand(value, 0)).transpose()
    }

    fn expand(&self, value: &str, depth: u8) -> Done<String> {
        let mut expanded = String::new();
        let mut rest = value;
        while let Some((before, after)) = rest.split_once('%') {
            expanded.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                expanded.push('%');
                rest = after;
            } else if let Some((name, after)) = after.strip_prefix('(').and_then(|after| after.split_once(')')) {
                let Some(value) = self.keys.get(name).filter(|_| depth < 10) else {
                    return exit(ERROR, format!("Failed to expand \"{value}\": no value for \"{name}\""));
                };
                expanded.push_str(&self.expand(value, depth + 1)?);
                rest = after;
            } else {
                return exit(ERROR, format!("Invalid reference in \"{value}\""));
            }
        }
        expanded.push_str(rest);
        Ok(expanded)
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

    /// Takes `name=value`. The value must not be empty.
    pub(crate) fn assign(&mut self, text: &str) -> bool {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => {
                self.set(key, value);
                true
            }
            _ => false,
        }
    }

    /// Reads a configuration file. Blanks and carriage returns are part of a value.
    pub(crate) fn read_file(&mut self, path: &str, text: &str) -> Done {
        for (number, line) in text.split('\n').enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if !self.assign(line) {
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
        config.read_file("f", "# a comment\n\nname=web01\npath=/dev/zvol/tank/%(name)\nshare=100%%\nbad=%x\nloop=%(loop)\n").unwrap();
        assert_eq!(config.get("path").unwrap().unwrap(), "/dev/zvol/tank/web01");
        assert_eq!(config.get("share").unwrap().unwrap(), "100%");
        assert_eq!(config.get("bad").unwrap_err().status, 4);
        assert_eq!(config.get("loop").unwrap_err().status, 4);
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
