//! Where a lab keeps what it knows: the folder that `CHYVES_LAB` names.
//!
//! ```text
//! host       the settings                     vmm/NAME     a VM object          net/IF    what Linux can't keep of an interface
//! modules    loaded modules, in order         locks/NAME   held while it runs   pci       the PCI devices and their drivers
//! sysctl     values that were written         ctl/         sockets of running bhyves
//! usr/local/ firmware and libslirp, as FreeBSD's packages put them
//! dev/       the daemon's file system         devfs/       devices that a test puts there
//! jails/     the jails                         rulesets/    rules of their /dev
//! run/       the daemon's pid and network namespace; scratch folders of running bhyves
//! ```
//! Not its job: what is in these files; each has its own owner.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::exit::{Done, Or, broken};
use crate::host::Host;
use crate::jail::{self, Jail};
use crate::module;

/// An open lab.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) dir: PathBuf,
    pub(crate) host: Host,
    /// The jail that this process is in.
    pub(crate) jail: Option<Jail>,
}

impl Place {
    /// The lab that the environment names.
    pub(crate) fn from_env() -> Done<Place> {
        match std::env::var_os("CHYVES_LAB") {
            Some(dir) if !dir.is_empty() => {
                let mut place = Place::open(Path::new(&dir))?;
                if let Some(name) = std::env::var(jail::VARIABLE).ok().filter(|name| !name.is_empty()) {
                    place.jail = jail::find(&place, &name)?;
                    if place.jail.is_none() {
                        return Err(broken(format_args!("the jail {name} is gone")));
                    }
                }
                Ok(place)
            }
            _ => Err(broken("CHYVES_LAB is not set, and this is a stand-in of the lab; see `chyves-lab`")),
        }
    }

    /// The lab in a folder.
    pub(crate) fn open(dir: &Path) -> Done<Place> {
        let file = dir.join("host");
        let text = fs::read_to_string(&file).or_broken(format_args!("{}: no lab is there", file.display()))?;
        let host = Host::parse(&text).map_err(|error| broken(format_args!("{}: {}", file.display(), error.text)))?;
        Ok(Place { dir: dir.to_path_buf(), host, jail: None })
    }

    /// A file of the lab.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// What a file name means on the host that the lab plays: `/dev/X` is the lab's own, and so is what the lab has of
    /// `/usr/local`; all else is what it is.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        match &self.jail {
            Some(jail) => jail.resolve(self, path),
            None => self.outside(path),
        }
    }

    /// Does this process see a node of /dev?
    pub(crate) fn shows(&self, node: &str) -> bool {
        self.jail.as_ref().is_none_or(|jail| jail.shows(node))
    }

    /// Is a file only read, whoever asks, since its mount is?
    pub(crate) fn only_reads(&self, path: &str) -> bool {
        self.jail.as_ref().is_some_and(|jail| jail.only_reads(path))
    }

    /// The same outside of all jails.
    pub(crate) fn outside(&self, path: &str) -> PathBuf {
        let own = self.dir.join(path.trim_start_matches('/'));
        if path.starts_with("/dev/") || path.starts_with("/usr/local/") && own.exists() { own } else { PathBuf::from(path) }
    }

    /// Refuses to act on any network but the lab's own.
    pub(crate) fn need_network(&self) -> Done {
        let own = fs::read_link("/proc/self/ns/net").or_broken("/proc/self/ns/net")?;
        let lab = self.read("run/netns")?;
        if own.to_string_lossy() == lab.trim() {
            return Ok(());
        }
        Err(broken("this process is not in the lab's network; enter it by `chyves-lab exec`"))
    }

    /// The text of a file of the lab; empty when it is not there.
    pub(crate) fn read(&self, name: &str) -> Done<String> {
        match fs::read_to_string(self.path(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
            other => other.or_broken(self.path(name).display()),
        }
    }

    /// Writes a file of the lab, whole or not at all.
    pub(crate) fn write(&self, name: &str, text: &str) -> Done {
        let file = self.path(name);
        let new = file.with_extension(format!("{}.new", std::process::id()));
        let written: io::Result<()> = fs::write(&new, text).and_then(|()| fs::rename(&new, &file));
        written.or_broken(file.display())
    }

    /// A file of `key=value` lines.
    pub(crate) fn read_pairs(&self, name: &str) -> Done<BTreeMap<String, String>> {
        let text = self.read(name)?;
        Ok(text.lines().filter_map(|line| line.split_once('=')).map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    /// Writes a file of `key=value` lines.
    pub(crate) fn write_pairs(&self, name: &str, pairs: &BTreeMap<String, String>) -> Done {
        let text: String = pairs.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        self.write(name, &text)
    }

    /// Is a kernel module there, loaded or built in?
    pub(crate) fn has_module(&self, name: &str) -> Done<bool> {
        Ok(module::built_in(&self.host, name) || self.modules()?.iter().any(|loaded| loaded == name))
    }

    /// The loaded modules, in the order of loading.
    pub(crate) fn modules(&self) -> Done<Vec<String>> {
        Ok(self.read("modules")?.lines().map(str::to_owned).collect())
    }
}
