//! bhyve's two notations of the same settings: command-line arguments, and `key=value` lines of bhyve_config(5), called the
//! tree here.
//!
//! Users read the command line, so a setting is placed there if possible. It is not possible if a path contains a comma,
//! because bhyve has no quoting and the comma would end it; or if the value is a secret, because every user of the host can
//! see the arguments.

/// One setting in both notations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// The command-line arguments.
    pub(super) words: Vec<String>,
    /// Whether the command line is unsuitable for it.
    pub(super) unfit: Unfit,
    /// Whether bhyve would interpret part of a value as a reference to another setting: `%(`.
    pub(super) refers: bool,
    /// The lines of the tree, if the keys are known for certain.
    pub(super) tree: Option<Vec<(String, String)>>,
}

/// Why a setting cannot be on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It can.
    No,
    /// A value contains a comma, or the path of the variables contains a `=`.
    Comma,
    /// A value is a secret.
    Secret,
}

impl Setting {
    /// An option that both notations can always express.
    pub(super) fn plain(words: &[&str], tree: &[(&str, &str)]) -> Self {
        Self {
            words: words.iter().map(|&w| w.to_owned()).collect(),
            unfit: Unfit::No,
            refers: tree.iter().any(|(_, value)| refers(value)),
            tree: Some(tree.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
        }
    }

    /// The same, marked as unsuitable for the command line if `comma`: one of its values contains a character that would
    /// end it.
    pub(super) fn unfit_if(mut self, comma: bool) -> Self {
        if comma {
            self.unfit = Unfit::Comma;
        }
        self
    }
}

/// The `conf` part of a device's `-s` argument, in both notations.
#[derive(Debug, Clone)]
pub(super) struct Conf {
    /// The emulation's name on the command line.
    emulation: String,
    /// Its name in the tree.
    device: String,
    items: Vec<Item>,
    /// Whether the keys of the tree are uncertain, so that only the command line can be used.
    words_only: bool,
}

#[derive(Debug, Clone)]
struct Item {
    key: String,
    value: String,
    /// Its text on the command line, if it has one.
    text: Option<String>,
    /// Text that the user wrote for the command line, with commas as separators.
    verbatim: bool,
    secret: bool,
}

/// Escapes a value for bhyve. A lone `%` is kept by bhyve, and the `%%` of the manual is no escape; a backslash escapes,
/// but only in a value that contains a `%`.
pub(super) fn literal(value: &str) -> String {
    if value.contains('%') { value.replace('\\', "\\\\") } else { value.to_owned() }
}

/// Whether bhyve would interpret part of the value as a reference to another setting.
pub(super) fn refers(value: &str) -> bool {
    value.contains("%(")
}

impl Conf {
    /// An emulation with the same name in both notations.
    pub(super) fn new(emulation: &str) -> Self {
        Self::of(emulation, emulation)
    }

    /// An emulation with another name in the tree.
    pub(super) fn of(emulation: &str, device: &str) -> Self {
        Self { emulation: emulation.to_owned(), device: device.to_owned(), items: Vec::new(), words_only: false }
    }

    /// Restricts it to the command line, because its keys in the tree are uncertain.
    pub(super) fn words_only(mut self) -> Self {
        self.words_only = true;
        self
    }

    fn push(mut self, key: &str, value: String, text: Option<String>) -> Self {
        self.items.push(Item { key: key.to_owned(), value, text, verbatim: false, secret: false });
        self
    }

    /// A value without a key on the command line.
    pub(super) fn bare(self, key: &str, value: &str) -> Self {
        let value = literal(value);
        self.push(key, value.clone(), Some(value))
    }

    /// A value with its own prefix on the command line.
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

    /// A key that only the tree has.
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

    /// Adds the items of `other`, with their keys below `node` in the tree and their texts unchanged.
    pub(super) fn below(mut self, node: &str, other: Self) -> Self {
        self.items.extend(other.items.into_iter().map(|item| Item { key: format!("{node}.{}", item.key), ..item }));
        self
    }

    /// The device at its PCI address.
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
