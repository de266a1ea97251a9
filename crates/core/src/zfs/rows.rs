//! The parser of `zfs get -H -p -o name,property,source,value`.
//!
//! The value is the last column because it may contain anything: `zfs get -H` prints tabs and newlines in a value
//! unescaped. A row begins with a dataset's name, a property and a source; any other line continues the value of the row
//! before. A value cannot forge a row of another dataset: if native properties are read too, each dataset's block begins
//! with exactly one `type` row, and no dataset has two blocks.

use crate::error::{Problem, Result};
use crate::property::settings::{Own, OwnValues, key_of};
use crate::property::stored;
use std::collections::BTreeMap;

/// The properties of one dataset or snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// Its full name.
    pub name: String,
    /// The properties of chyves, local and received, by key without the prefix.
    pub own: OwnValues,
    /// The native properties that were read.
    pub native: BTreeMap<String, String>,
    /// A property that occurred twice: another property's value contains text that looks like it, and the two cannot be
    /// distinguished.
    pub doubtful: Option<String>,
}

impl Row {
    /// A native property; `None` if ZFS prints `-`.
    pub fn native(&self, property: &str) -> Option<&str> {
        self.native.get(property).map(String::as_str).filter(|v| *v != "-")
    }

    /// A native property with a numeric value.
    pub fn number(&self, property: &str) -> Option<u64> {
        self.native(property)?.parse().ok()
    }
}

/// Whether a text is a source as `zfs get` prints it.
pub(super) fn is_source(text: &str) -> bool {
    matches!(text, "local" | "received" | "default" | "temporary" | "none" | "-") || text.starts_with("inherited from ")
}

/// Splits the first line of a row into its columns.
fn head(line: &str) -> Option<(&str, &str, &str, &str)> {
    let mut parts = line.splitn(4, '\t');
    let (name, property, source, value) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let named = name.starts_with(|c: char| c.is_ascii_alphabetic()) && !name.contains(|c: char| c.is_control());
    let proper = !property.is_empty() && property.bytes().all(|b| b.is_ascii_graphic());
    (named && proper && is_source(source)).then_some((name, property, source, value))
}

/// Parses the whole output. `blocks`: native properties were read, so each dataset's block begins with its type.
///
/// # Errors
/// The first line is not a row, or rows are inconsistent (a value contains a newline and imitates a row).
pub fn parse(output: &str, blocks: bool) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    let mut index: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    // The location of the last value, to which a continuation line is appended.
    let mut last: Option<(String, bool)> = None;
    for line in output.split_terminator('\n') {
        let Some((name, property, source, value)) = head(line) else {
            let (Some(row), Some((property, ours))) = (rows.last_mut(), last.as_ref()) else {
                return Err(unreadable(line));
            };
            let kept = if *ours { row.own.get_mut(property).map(|o| &mut o.value) } else { row.native.get_mut(property) };
            if let Some(kept) = kept {
                kept.push('\n');
                kept.push_str(line);
            }
            continue;
        };
        let same = rows.last().is_some_and(|r| r.name == name);
        if !same {
            if blocks && property != "type" {
                return Err(pretender(name, property));
            }
            if index.insert(name.to_owned(), rows.len()).is_some() {
                return Err(pretender(name, property));
            }
            rows.push(Row { name: name.to_owned(), ..Row::default() });
        }
        let Some(row) = rows.last_mut() else {
            return Err(unreadable(line));
        };
        last = match key_of(property) {
            Some(key) => {
                if source == "local" || source == "received" {
                    let value = stored::shown_value(&key, value).to_owned();
                    let own = Own { value, received: source == "received" };
                    if row.own.insert(key.clone().into_owned(), own).is_some() {
                        return Err(pretender(name, property));
                    }
                    Some((key.into_owned(), true))
                } else {
                    None
                }
            }
            None => {
                if row.native.insert(property.to_owned(), value.to_owned()).is_some() && blocks {
                    return Err(pretender(name, property));
                }
                Some((property.to_owned(), false))
            }
        };
    }
    Ok(rows)
}

/// Parses output about one dataset only: whatever is not a row of this dataset is part of a value. Reading datasets one by
/// one works where [`parse`] of all at once finds a value that imitates a row.
pub fn parse_one(name: &str, output: &str) -> Option<Row> {
    let mut row: Option<Row> = None;
    // The last value; `None` if it is not kept.
    let mut last: Option<&mut String> = None;
    for line in output.split_terminator('\n') {
        let Some((_, property, source, value)) = head(line).filter(|(n, ..)| *n == name) else {
            if let Some(kept) = &mut last {
                kept.push('\n');
                kept.push_str(line);
            }
            continue;
        };
        let row = row.get_or_insert_with(|| Row { name: name.to_owned(), ..Row::default() });
        let known = match key_of(property) {
            Some(key) => row.own.contains_key(key.as_ref()),
            None => row.native.contains_key(property),
        };
        if known {
            row.doubtful = Some(property.to_owned());
        }
        last = match key_of(property) {
            _ if known => None,
            Some(key) if source == "local" || source == "received" => {
                let value = stored::shown_value(&key, value).to_owned();
                let own = Own { value, received: source == "received" };
                Some(&mut row.own.entry(key.into_owned()).or_insert(own).value)
            }
            Some(_) => None,
            None => Some(row.native.entry(property.to_owned()).or_insert(value.to_owned())),
        };
    }
    row
}

fn unreadable(line: &str) -> Problem {
    Problem::failed("cannot read what `zfs get` printed").because(format!("unexpected line: {}", crate::value::printable(line, 120)))
}

/// The error for a dataset with settings that cannot be distinguished from text in a value.
pub fn pretender(name: &str, property: &str) -> Problem {
    let (name, property) = (crate::value::printable(name, 120), crate::value::printable(property, 60));
    Problem::failed(format!("cannot trust what `zfs get` printed about `{name}`"))
        .on(&name)
        .because(format!("a row of `{property}` is at an impossible place; some property's value holds a newline and looks like a row"))
        .hint(format!("look for it with `zfs get -s local,received all {name}` and remove it with `zfs inherit`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "tank/c\ttype\t-\tfilesystem\ntank/c\tused\t-\t344064\ntank/c\tchyves:layout\tlocal\t1\n\
        tank/c/g\ttype\t-\tfilesystem\ntank/c/g\tcanmount\tlocal\tnoauto\ntank/c/g\tchyves:cpu\treceived\t4\ntank/c/g\tchyves:ram\tinherited from tank/c\t1G\n";

    #[test]
    fn rows_become_datasets() {
        let rows = parse(GOOD, true).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].number("used"), Some(344_064));
        assert_eq!(rows[0].own["layout"].value, "1");
        assert!(rows[1].own["cpu"].received);
        // Inherited values are not the dataset's own.
        assert!(!rows[1].own.contains_key("ram"));
    }

    #[test]
    fn tabs_and_newlines_in_a_value_are_survived() {
        let text = "t/a\ttype\t-\tfilesystem\nt/a\tchyves:notes\tlocal\tone\ttwo\nthree\n\nfour\nt/a\tchyves:cpu\tlocal\t2\n";
        let rows = parse(text, true).unwrap();
        assert_eq!(rows[0].own["notes"].value, "one\ttwo\nthree\n\nfour");
        assert_eq!(rows[0].own["cpu"].value, "2");
    }

    #[test]
    fn no_value_can_pretend_to_be_another_dataset() {
        for forged in [
            // a row of another dataset, without its type
            "t/a\ttype\t-\tfilesystem\nt/a\tchyves:notes\tlocal\tx\nt/b\tchyves:cpu\tlocal\t64\nt/b\ttype\t-\tfilesystem\n",
            // a complete block of another dataset, followed by its real one
            "t/a\ttype\t-\tfilesystem\nt/a\tchyves:notes\tlocal\tx\nt/b\ttype\t-\tfilesystem\nt/b\tchyves:cpu\tlocal\t64\nt/b\ttype\t-\tfilesystem\n",
            // the same key twice
            "t/a\ttype\t-\tfilesystem\nt/a\tchyves:cpu\tlocal\t1\nt/a\tchyves:cpu\tlocal\t64\n",
            // a return to an earlier dataset
            "t/a\ttype\t-\tf\nt/b\ttype\t-\tf\nt/a\ttype\t-\tf\n",
        ] {
            let problem = parse(forged, true).unwrap_err();
            assert!(problem.message.contains("cannot trust"), "{problem}");
        }
    }

    #[test]
    fn read_by_itself_a_dataset_can_only_harm_itself() {
        let of_others =
            "t/a\ttype\t-\tf\nt/a\tchyves:notes\tlocal\tx\nt/b\ttype\t-\tf\nt/b\tchyves:cpu\tlocal\t64\nt/a\tchyves:ram\tlocal\t1G\n";
        assert!(parse(of_others, true).is_err());
        let row = parse_one("t/a", of_others).unwrap();
        assert_eq!(row.own["notes"].value, "x\nt/b\ttype\t-\tf\nt/b\tchyves:cpu\tlocal\t64");
        assert_eq!((row.own["ram"].value.as_str(), &row.doubtful), ("1G", &None));
        let of_itself = "t/a\ttype\t-\tf\nt/a\tchyves:notes\tlocal\tx\nt/a\tchyves:cpu\tlocal\t64\nt/a\tchyves:cpu\tlocal\t1\n";
        assert_eq!(parse_one("t/a", of_itself).unwrap().doubtful.as_deref(), Some("chyves:cpu"));
        assert_eq!(parse_one("t/a", GOOD), None);
        let inherited = "t/a\ttype\t-\tf\nt/a\tchyves:cpu\tinherited from t\tx\nmore\n";
        assert!(parse_one("t/a", inherited).unwrap().own.is_empty());
    }

    #[test]
    fn a_renamed_property_is_read_by_the_name_that_people_use() {
        let stored = "t/a\ttype\t-\tfilesystem\nt/a\tchyves:uefi_console_output\tlocal\tvnc\nt/a\tchyves:trusted.rcboot\tlocal\tx\n\
            t/a\tchyves:vnc\tlocal\toff\n";
        for row in [&parse(stored, true).unwrap()[0], &parse_one("t/a", stored).unwrap()] {
            let own: Vec<_> = row.own.iter().map(|(key, own)| (key.as_str(), own.value.as_str())).collect();
            assert_eq!(own, [("chyves:vnc", "off"), ("trusted.autostart", "x"), ("vnc", "on")]);
        }
    }

    #[test]
    fn a_first_line_that_is_no_row_is_an_error() {
        assert!(parse("cannot open\n", true).is_err());
        assert_eq!(parse("", true).unwrap(), []);
    }
}
