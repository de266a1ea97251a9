//! What `$CHYVES_LAB/dev` has in it: symbolic links, made up when they are looked up.
//!
//! | name | leads to |
//! |---|---|
//! | `nmdm…A`, `nmdm…B` | a terminal, made by the look itself when the module is there |
//! | `vmm`, `vmm.io` | the VM objects; not there while there is none |
//! | anything else | the lab's `devfs/NAME`, else the machine's own `/dev/NAME` |

use std::path::{Path, PathBuf};

use super::nmdm::Nmdm;
use crate::exit::Done;
use crate::place::Place;

pub(super) struct Tree {
    place: Place,
    pub(super) nmdm: Nmdm,
}

impl Tree {
    pub(super) fn new(place: &Place) -> Done<Tree> {
        Ok(Tree { place: place.clone(), nmdm: Nmdm::new()? })
    }

    /// Where a name leads, if there is such a name.
    pub(super) fn lookup(&mut self, name: &str) -> Option<PathBuf> {
        if let Some(rest) = name.strip_prefix("nmdm")
            && let Some((pair, side)) = rest.split_at_checked(rest.len().saturating_sub(1))
            && matches!(side, "A" | "B")
            && !pair.is_empty()
        {
            let loaded = self.place.has_module("nmdm").unwrap_or_default();
            return if loaded { self.nmdm.path(pair, side == "A") } else { None };
        }
        match name {
            "vmm" | "vmm.io" => self.has_entries(name).then(|| self.place.path(name)),
            _ => {
                let own = self.place.path("devfs").join(name);
                let machine = Path::new("/dev").join(name);
                [own, machine].into_iter().find(|path| path.symlink_metadata().is_ok())
            }
        }
    }

    /// Is there a VM, or a segment of one? The folders come and go with what is in them.
    fn has_entries(&self, folder: &str) -> bool {
        std::fs::read_dir(self.place.path(folder)).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// What a listing of the folder shows.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = self.nmdm.names();
        for folder in [self.place.path("devfs"), PathBuf::from("/dev")] {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names.extend(["vmm", "vmm.io"].into_iter().filter(|name| self.has_entries(name)).map(str::to_owned));
        names.sort();
        names
    }
}
