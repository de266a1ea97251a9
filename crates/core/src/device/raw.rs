//! A device that chyves has no type for, kept as text for bhyve.

/// A device that chyves has no type for, in bhyve's notation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    emulation: String,
    conf: Option<String>,
}

/// Emulations that open nothing although they have no type, or options that their type does not have.
const OPEN_NOTHING: &[&str] = &["amd_hostbridge", "dummy", "hostbridge"];

/// What a device opens on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawOpens {
    /// The paths of files, directories and devices.
    pub paths: Vec<String>,
    /// Whether the list is known to be complete.
    pub all: bool,
}

impl Raw {
    /// The emulation's name.
    pub fn emulation(&self) -> &str {
        &self.emulation
    }

    /// The text after the emulation's name.
    pub fn conf(&self) -> Option<&str> {
        self.conf.as_deref()
    }

    /// The absolute paths in it: words that are paths, or whose value is a path.
    pub fn paths(&self) -> Vec<&str> {
        let value = |word: &'_ str| word.find('/').filter(|at| *at == 0 || matches!(word.as_bytes()[at - 1], b'=' | b':'));
        self.words().filter_map(|word| value(word).map(|at| &word[at..])).collect()
    }

    /// What it opens on the host.
    pub fn opens(&self) -> RawOpens {
        let network = ["virtio-net", "e1000"].contains(&self.emulation());
        match self.words().next() {
            _ if OPEN_NOTHING.contains(&self.emulation()) => RawOpens { paths: Vec::new(), all: true },
            // A back end without a type is a device node of that name, such as ng_device(4).
            Some(name) if network && !name.contains(['/', '=', ':']) => {
                RawOpens { paths: vec![format!("/dev/{name}")], all: name.starts_with("ngd") }
            }
            _ => RawOpens { paths: self.paths().into_iter().map(str::to_owned).collect(), all: false },
        }
    }

    /// Whether it contains this word without a value.
    pub fn has_word(&self, word: &str) -> bool {
        self.words().any(|w| w == word)
    }

    /// Whether it opens disks that it writes to.
    pub fn is_disk(&self) -> bool {
        ["virtio-blk", "ahci-hd", "ahci", "nvme"].contains(&self.emulation())
    }

    fn words(&self) -> impl Iterator<Item = &str> {
        self.conf.iter().flat_map(|conf| conf.split(','))
    }
}

impl Raw {
    /// An emulation, with the text after its name.
    pub(super) fn new(emulation: &str, conf: Option<&str>) -> Self {
        Self { emulation: emulation.to_owned(), conf: conf.map(str::to_owned) }
    }
}
