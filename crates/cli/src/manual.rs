//! The manual pages of the properties and of the codes of failures, generated from the registry and the enumeration, and the
//! help on one property.

use chyves_core::error::Code;
use chyves_core::property::{self, Access, Property, Scope, Unset, catalog};
use std::fmt::Write as _;

/// Escapes text for mdoc: no line begins with a control character, and backslashes are literal.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

const SECTIONS: &[(Scope, &str, &str)] = &[
    (
        Scope::Guest,
        "SETTINGS OF GUESTS",
        "They may be set on a guest, and as defaults that all guests inherit unless they set another value.",
    ),
    (Scope::GuestOnly, "SETTINGS OF ONE GUEST", "They belong to one guest and are inherited by none."),
    (
        Scope::Global,
        "SETTINGS OF THE HOST",
        "They are stored on the root of chyves on the primary pool; `chyves set global` and `chyves network` change them.",
    ),
    (Scope::Pool, "SETTINGS OF A POOL", "They are stored on the root of chyves on a pool."),
    (Scope::Image, "SETTINGS OF AN IMAGE", "They are stored on an image."),
];

/// The manual page `chyves-properties(7)` in mdoc(7).
pub(crate) fn properties() -> String {
    let mut page = String::from(
        ".\\\" Made by `chyves dev properties` from the registry; a test keeps it true.\n.Dd $Mdocdate$\n.Dt CHYVES-PROPERTIES 7\n.Os\n.Sh NAME\n.Nm chyves-properties\n.Nd settings of guests, pools and images\n.Sh DESCRIPTION\n",
    );
    page.push_str("Every setting of\n.Xr chyves 8\nis kept as a ZFS user property named\n.Li chyves: Ns Ar key .\n");
    page.push_str("A key with\n.Li {n}\nin it stands for one key a device:\n.Li disk0.bus , disk1.bus .\n");
    page.push_str("Keys that begin with\n.Li x.\nare the user's own.\nA value that is not allowed is refused and changes nothing.\n");
    page.push_str("A setting that reaches the host runs a program there, names a path or a device, opens a port, joins a network, lets the guest start by itself or weakens the confinement of its hypervisor.\n");
    page.push_str("Where it came with a guest from elsewhere it is not used until\n.Nm chyves Cm adopt\ntrusts it.\n");
    for (scope, title, text) in SECTIONS {
        let rows: Vec<&Property> = catalog::all().filter(|p| p.scope == *scope).collect();
        let _ = writeln!(page, ".Sh {title}\n{text}\n.Bl -tag -width Ds");
        for row in rows {
            entry(&mut page, row);
        }
        page.push_str(".El\n");
    }
    page.push_str(".Sh SEE ALSO\n.Xr chyves 8 ,\n.Xr zfs 8\n");
    page
}

fn entry(page: &mut String, row: &Property) {
    let _ = writeln!(page, ".It Sy {}", escaped(row.key));
    let mut summary = row.summary.to_owned();
    if let Some(first) = summary.get(..1) {
        summary = first.to_uppercase() + &summary[1..];
    }
    for sentence in format!("{summary}. {}", row.detail).split_inclusive(". ") {
        let _ = writeln!(page, "{}", escaped(sentence.trim_end()));
    }
    let default = match row.unset {
        Unset::Value(value) => format!("Default: {value}."),
        Unset::Nothing => String::new(),
        Unset::Derived(from) => format!("If unset: derived {from}."),
    };
    let _ = writeln!(page, "Values: {}.", escaped(&row.kind.words()));
    if !default.is_empty() {
        let _ = writeln!(page, "{}", escaped(&default));
    }
    if let Some(words) = row.reach.words() {
        let _ = writeln!(page, "Reaches the host: {words}.");
    }
    match row.access {
        Access::Free => {
            let _ = writeln!(page, "Takes effect: {}.", row.effect.words());
        }
        Access::Kept(by) => {
            let _ = writeln!(page, "It is written by {} alone.", escaped(by).replace('`', ""));
        }
    }
    if !row.aliases.is_empty() {
        let _ = writeln!(page, "Also spelled {}.", row.aliases.join(", "));
    }
    if let Some(stored) = stored_otherwise(row.key) {
        let _ = writeln!(page, "Stored on the pool as {stored}.");
    }
}

/// The output of `chyves help KEY` for a property; none if the word is a command or not a property.
pub(crate) fn entry_of(word: &str) -> Option<String> {
    if crate::words::commands().any(|command| command == word) {
        return None;
    }
    let row = property::find(word).ok().filter(|known| !known.key.starts_with("x."))?.property;
    let mut text = format!("{}: {}\n\n", row.key, row.summary);
    if !row.detail.is_empty() {
        let _ = writeln!(text, "{}\n", row.detail);
    }
    let _ = writeln!(text, "Values:       {}", row.kind.words());
    let default = match row.unset {
        Unset::Value(value) => value.to_owned(),
        Unset::Nothing => "none".to_owned(),
        Unset::Derived(from) => format!("derived: {from}"),
    };
    let _ = writeln!(text, "Default:      {default}");
    match row.access {
        Access::Free => {
            let _ = writeln!(text, "Takes effect: {}", row.effect.words());
            let (key, whom) = (row.key.replace("{n}", "0"), if row.scope == Scope::Global { "global" } else { "GUEST" });
            let _ = writeln!(text, "\nSet it with `chyves set {whom} {key}=VALUE`, show it with `chyves get {whom} {key}`.");
        }
        Access::Kept(by) => {
            let _ = writeln!(text, "\nIt is written by {by} alone.");
        }
    }
    if !row.aliases.is_empty() {
        let _ = writeln!(text, "Also spelled: {}", row.aliases.join(", "));
    }
    if let Some(stored) = stored_otherwise(row.key) {
        let _ = writeln!(text, "Stored as:    {stored}");
    }
    Some(text)
}

/// The ZFS property of a setting whose name on the pool is another than the one in commands.
fn stored_otherwise(key: &str) -> Option<String> {
    let zfs = property::settings::zfs_name(key);
    (zfs.strip_prefix(property::PREFIX) != Some(key)).then_some(zfs)
}

/// The manual page `chyves-errors(7)` in mdoc(7): the codes of failures, by class.
pub(crate) fn errors() -> String {
    let mut page = String::from(
        ".\\\" Made by `chyves dev errors` from the enumeration; a test keeps it true.\n.Dd $Mdocdate$\n.Dt CHYVES-ERRORS 7\n.Os\n.Sh NAME\n.Nm chyves-errors\n.Nd codes of failures\n.Sh DESCRIPTION\n",
    );
    page.push_str("With\n.Fl -json\na failure of\n.Xr chyves 8\nis an object\n.Li error\nwith the fields\n.Li code ,\n.Li class ,\n.Li message ,\n.Li object ,\n.Li causes\nand\n.Li hint .\n");
    page.push_str("The class determines the exit status and states what became of the host; the code states what failed.\n");
    page.push_str("Codes are never renamed or reused, and new ones may be added: a program that meets an unknown one goes by the class.\n");
    page.push_str("A failure without a code of its own has the word of its class.\n");
    for class in Code::ALL.iter().filter(|code| Code::of_class(code.class()) == **code) {
        let _ = writeln!(page, ".Sh EXIT STATUS {}: {}\n{}", class.class().exit_code(), class.word().to_uppercase(), class.meaning());
        let own: Vec<&Code> = Code::ALL.iter().filter(|code| code.class() == class.class() && *code != class).collect();
        if own.is_empty() {
            continue;
        }
        page.push_str(".Bl -tag -width Ds\n");
        for code in own {
            let _ = writeln!(page, ".It Sy {}\n{}", code.word(), escaped(code.meaning()));
        }
        page.push_str(".El\n");
    }
    page.push_str(".Sh SEE ALSO\n.Xr chyves 8\n");
    page
}

#[cfg(test)]
mod tests {
    fn is_kept(name: &str, made: &str) {
        let path = format!("{}/../../man/{name}", env!("CARGO_MANIFEST_DIR"));
        if std::env::var_os("UPDATE_MANUAL").is_some() {
            std::fs::write(&path, made).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), made, "run the tests with UPDATE_MANUAL=1");
    }

    #[test]
    fn the_manual_page_is_that_of_the_registry() {
        is_kept("chyves-properties.7", &super::properties());
    }

    #[test]
    fn the_manual_page_of_errors_is_that_of_the_enumeration() {
        is_kept("chyves-errors.7", &super::errors());
    }
}
