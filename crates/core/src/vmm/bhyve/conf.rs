//! bhyve's two notations of the same settings: words of the command line, and `key=value` lines of bhyve_config(5).
//!
//! The command line is what people read, so a setting goes there unless it can't: bhyve knows no quoting, so a comma in a
//! path ends it there; and every user of the host sees the arguments, so a secret may not be among them.

/// One setting in both notations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// The words of the command line.
    pub(super) words: Vec<String>,
    /// Whether those words can't carry it.
    pub(super) unfit: Unfit,
    /// Whether bhyve would take a part of a value for a reference to another setting: `%(`.
    pub(super) refers: bool,
    /// The lines of the tree, where the tree's keys are certain.
    pub(super) tree: Option<Vec<(String, String)>>,
}

/// Why a setting can't be on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It can.
    No,
    /// A value has a comma, or in the variables' path a `=`.
    Comma,
    /// A value is a secret.
    Secret,
}

impl Setting {
    /// An option that both notations can always carry.
    pub(super) fn plain(words: &[&str], tree: &[(&str, &str)]) -> Self {
        Self {
            words: words.iter().map(|&w| w.to_owned()).collect(),
            unfit: Unfit::No,
            refers: tree.iter().any(|(_, value)| refers(value)),
            tree: Some(tree.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
        }
    }

    /// The same, unfit for the command line if one of these values has a character that would end it.
    pub(super) fn unfit_if(mut self, comma: bool) -> Self {
        if comma {
            self.unfit = Unfit::Comma;
        }
        self
    }
}

/// What a device's `conf` holds, in both notations.
#[derive(Debug, Clone)]
pub(super) struct Conf {
    /// The emulation's name on the command line.
    emulation: String,
    /// Its name in the tree.
    device: String,
    items: Vec<Item>,
    /// Whether the tree's keys are uncertain, so that only the command line will do.
    words_only: bool,
}

#[derive(Debug, Clone)]
struct Item {
    key: String,
    value: String,
    /// Its text on the command line, where it has one.
    text: Option<String>,
    /// Text that was already split by the user: its commas are meant.
    verbatim: bool,
    secret: bool,
}

/// A value as bhyve reads it. A lone `%` is kept as it is, and the manual's `%%` is no escape; a backslash escapes, but only
/// in a value that has a `%`.
pub(super) fn literal(value: &str) -> String {
    if value.contains('%') { value.replace('\\', "\\\\") } else { value.to_owned() }
}

/// Whether bhyve takes a part of the value for a reference to another setting.
pub(super) fn refers(value: &str) -> bool {
    value.contains("%(")
}

impl Conf {
    /// An emulation of the same name in both notations.
    pub(super) fn new(emulation: &str) -> Self {
        Self::of(emulation, emulation)
    }

    /// An emulation that the tree knows by another name.
    pub(super) fn of(emulation: &str, device: &str) -> Self {
        Self { emulation: emulation.to_owned(), device: device.to_owned(), items: Vec::new(), words_only: false }
    }

    /// The same for an emulation whose keys in the tree are uncertain.
    pub(super) fn words_only(mut self) -> Self {
        self.words_only = true;
        self
    }

    fn push(mut self, key: &str, value: String, text: Option<String>) -> Self {
        self.items.push(Item { key: key.to_owned(), value, text, verbatim: false, secret: false });
        self
    }

    /// A value that stands alone on the command line.
    pub(super) fn bare(self, key: &str, value: &str) -> Self {
        let value = literal(value);
        self.push(key, value.clone(), Some(value))
    }

    /// A value behind a word of its own on the command line.
    pub(super) fn prefixed(self, key: &str, prefix: &str, value: &str) -> Self {
        let value = literal(value);
        self.push(key, value.clone(), Some(format!("{prefix}{value}")))
    }

    /// A value that the command line writes as other text.
    pub(super) fn worded(self, key: &str, value: &str, text: &str) -> Self {
        self.push(key, literal(value), Some(literal(text)))
    }

    /// `key=value` in both notations.
    pub(super) fn pair(self, key: &str, value: impl std::fmt::Display) -> Self {
        let value = value.to_string();
        self.prefixed(key, &format!("{key}="), &value)
    }

    /// `key=value`, if there is a value.
    pub(super) fn maybe(self, key: &str, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.pair(key, value),
            None => self,
        }
    }

    /// `key` alone on the command line, `key=true` in the tree.
    pub(super) fn flag(self, key: &str, on: bool) -> Self {
        if on { self.push(key, "true".to_owned(), Some(key.to_owned())) } else { self }
    }

    /// What only the tree says.
    pub(super) fn tree_only(self, key: &str, value: impl std::fmt::Display) -> Self {
        self.push(key, literal(&value.to_string()), None)
    }

    /// A secret `key=value`.
    pub(super) fn secret(mut self, key: &str, value: &str) -> Self {
        let value = literal(value);
        self.items.push(Item { key: key.to_owned(), value, text: Some(String::new()), verbatim: false, secret: true });
        self
    }

    /// Text that the user wrote for the command line.
    pub(super) fn verbatim(mut self, text: &str) -> Self {
        let text = Some(text.to_owned());
        self.items.push(Item { key: String::new(), value: String::new(), text, verbatim: true, secret: false });
        self.words_only()
    }

    /// The same with every key of the other put below `node` in the tree, its texts unchanged.
    pub(super) fn below(mut self, node: &str, other: Self) -> Self {
        self.items.extend(other.items.into_iter().map(|item| Item { key: format!("{node}.{}", item.key), ..item }));
        self
    }

    /// The device at its place.
    pub(super) fn at(&self, place: crate::device::PciPlace) -> Setting {
        let mut text = format!("{place},{}", self.emulation);
        let mut unfit = Unfit::No;
        for item in &self.items {
            if item.secret {
                unfit = Unfit::Secret;
            } else if let Some(word) = &item.text {
                if word.contains(',') && !item.verbatim && unfit == Unfit::No {
                    unfit = Unfit::Comma;
                }
                text.push(',');
                text.push_str(word);
            }
        }
        let refers = self.items.iter().any(|item| !item.verbatim && refers(&item.value));
        let node = format!("pci.{}.{}.{}", place.bus, place.slot, place.function);
        let tree = (!self.words_only).then(|| {
            let device = (format!("{node}.device"), self.device.clone());
            let rest = self.items.iter().map(|item| (format!("{node}.{}", item.key), item.value.clone()));
            std::iter::once(device).chain(rest).collect()
        });
        Setting { words: vec!["-s".to_owned(), text], unfit, refers, tree }
    }
}
