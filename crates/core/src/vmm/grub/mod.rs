//! grub-bhyve: GRUB, run on the host to load another operating system's kernel into a new VM object.
//!
//! Its configuration differs by operating system; the recipes are a table. Not here: choosing the disk and the medium (the
//! planner), and handling failures (the supervisor): it exits with 0 even if nothing was booted.
//!
//! To add a recipe: a row of `recipes`.

mod recipes;
#[cfg(test)]
mod tests;

pub use recipes::RECIPES;

use super::HostFile;
use super::machine::Memory;
use crate::cmd::Cmd;
use crate::error::{Problem, Result};
use crate::launch::Prepare;
use crate::launch::guest_files::Order;
use crate::value::{GuestName, printable};

/// How GRUB is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrubBhyve {
    /// The recipe of the guest's operating system.
    pub recipe: &'static Recipe,
    /// The guest's own folder, which contains the user's device.map and grub.cfg if the recipe is the user's.
    pub dir: String,
    /// The folder for the files that chyves writes.
    pub run: String,
    /// GRUB's name of the device with the guest's own grub.cfg, if the user set one: `hd0,gpt2`, `lvm/vg0-root`.
    pub root: Option<String>,
    /// The paths of the disks: GRUB's hd0, hd1 and so on.
    pub disks: Vec<String>,
    /// The installation medium, GRUB's cd0; if there is one, it is booted.
    pub medium: Option<Medium>,
    /// Timeout in seconds, in case it waits at a prompt.
    pub timeout: u32,
}

/// The facts about an installation medium that recipes use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Medium {
    /// The image's path.
    pub path: String,
    /// The label of its file system, if a recipe needs it.
    pub label: Option<String>,
    /// The version of the operating system as it occurs in folder names on the medium (`7.5`), if a recipe needs it.
    pub version: Option<String>,
}

/// How GRUB boots one operating system.
#[derive(Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The value of the property `os`.
    pub os: &'static str,
    /// With an installation medium.
    pub install: Way,
    /// Without one.
    pub boot: Way,
}

/// How a kernel is found.
#[derive(Debug, PartialEq, Eq)]
pub enum Way {
    /// With a grub.cfg of these lines, which chyves writes. `{label}` and `{version}` are replaced by the medium's.
    Lines(&'static [&'static str]),
    /// With the grub.cfg on the medium.
    OnMedium,
    /// With the guest's own grub.cfg, which GRUB searches for on all partitions, logical volumes and unpartitioned disks.
    Search {
        /// The folder that is searched first.
        first: &'static str,
    },
    /// Not at all; with the reason and the value of `loader` that boots it.
    Never(&'static str, &'static str),
    /// With a grub.cfg and a device.map that the user placed in the guest's folder.
    Own,
}

/// The recipe for a value of the property `os`. All OpenBSD releases share one recipe. An operating system without a recipe
/// gets the fallback, which uses the grub.cfg on the medium or on the disks.
pub fn recipe(os: &str) -> &'static Recipe {
    let os = if os.starts_with("openbsd") { "openbsd" } else { os };
    RECIPES.iter().find(|recipe| recipe.os == os).unwrap_or(&RECIPES[0])
}

/// Whether the recipe for a value of the property `os` is the one that the user placed in the guest's folder.
pub fn is_own(os: &str) -> bool {
    recipe(os).boot == Way::Own
}

/// Checks that grub-bhyve can boot a guest with this value of `os` from its disks. This does not depend on the host.
///
/// # Errors
/// It never can.
pub fn check_os(os: &str, name: &GuestName) -> Result<()> {
    let recipe = recipe(os);
    match &recipe.boot {
        Way::Never(why, loader) => Err(never(recipe, why, loader, name)),
        Way::Lines(_) | Way::OnMedium | Way::Search { .. } | Way::Own => Ok(()),
    }
}

fn never(recipe: &Recipe, why: &str, loader: &str, name: &GuestName) -> Problem {
    Problem::usage(format!("grub-bhyve cannot boot os={}: {why}", recipe.os))
        .on(name)
        .hint(format!("`chyves set {name} loader={loader}`"))
        .hint("or set os=custom and put a grub.cfg and a device.map into the guest's folder")
}

/// The version of an OpenBSD medium, as it occurs in its folder names: from `os` (`openbsd60` is 6.0), else from the file's
/// name (`install75.iso` is 7.5).
pub fn version(os: &str, path: &str) -> Option<String> {
    os.strip_prefix("openbsd").and_then(version_in).or_else(|| version_in(path.rsplit('/').next()?))
}

fn version_in(name: &str) -> Option<String> {
    let at = name.find(|c: char| c.is_ascii_digit())?;
    match &name.as_bytes()[at..] {
        [major, minor, rest @ ..] if minor.is_ascii_digit() && !rest.first().is_some_and(u8::is_ascii_digit) => {
            Some(format!("{}.{}", char::from(*major), char::from(*minor)))
        }
        _ => None,
    }
}

/// Timeout in seconds for copying two small files.
const COPY_TIMEOUT: u32 = 30;

impl GrubBhyve {
    /// Its texts with descriptions, for the check of characters.
    pub(super) fn texts(&self) -> Vec<(&'static str, &str)> {
        let medium = self.medium.iter().flat_map(|medium| {
            let words = [Some(&medium.path), medium.label.as_ref(), medium.version.as_ref()];
            words.into_iter().flatten().map(|text| ("the medium", text.as_str()))
        });
        let disks = self.disks.iter().map(|disk| ("the loader's disk", disk.as_str()));
        let root = self.root.iter().map(|root| ("grub_root", root.as_str()));
        medium.chain(disks).chain(root).chain([("the guest's folder", self.dir.as_str())]).collect()
    }

    /// The files and the commands.
    pub(super) fn prepare(&self, name: &GuestName, memory: Memory, console: &str) -> Result<(Vec<HostFile>, Vec<Prepare>)> {
        let way = if self.medium.is_some() { &self.recipe.install } else { &self.recipe.boot };
        if self.disks.is_empty() && self.medium.is_none() {
            return Err(Problem::usage("grub-bhyve has nothing to boot from").on(name).hint("attach a disk, or start with --iso IMAGE"));
        }
        let mut files = Vec::new();
        let mut config = |text: String| files.push(file(format!("{}/grub.cfg", self.run), text));
        let (root, dir) = match way {
            Way::Own => ("host", Some(self.run.as_str())),
            Way::OnMedium => ("cd0", None),
            Way::Lines(lines) => {
                config(self.config(lines, name)?);
                ("host", Some(self.run.as_str()))
            }
            Way::Search { first } => {
                config(search(first, self.root.as_deref()));
                ("host", Some(self.run.as_str()))
            }
            Way::Never(why, loader) => return Err(never(self.recipe, why, loader, name)),
        };
        let map = format!("{}/device.map", self.run);
        let mut before = Vec::new();
        if *way == Way::Own {
            // The loader accepts paths only, and those in the guest's folder may be symbolic links to files of the host.
            let files = ["grub.cfg", "device.map"].map(str::to_owned).to_vec();
            let cmd = Order::Loader { folder: self.dir.clone(), run: self.run.clone(), files }.cmd();
            before.push(Prepare { cmd, may_fail: false, timeout: COPY_TIMEOUT, loads: false });
        } else {
            files.push(file(map.clone(), self.device_map(name)?));
        }
        let mut cmd = Cmd::new("grub-bhyve", ["-r", root, "-m", &map]);
        if let Some(dir) = dir {
            cmd = cmd.args(["-d", dir]);
        }
        cmd = cmd.args(["-c", console, "-M"]).arg(format!("{}M", memory.size.mib_up()));
        if memory.wired {
            cmd = cmd.arg("-S");
        }
        before.push(Prepare { cmd: cmd.arg(name.as_str()), may_fail: false, timeout: self.timeout, loads: true });
        Ok((files, before))
    }

    /// The lines, with placeholders replaced by the medium's values.
    fn config(&self, lines: &[&str], name: &GuestName) -> Result<String> {
        let mut text = String::new();
        for line in lines {
            let mut line = (*line).to_owned();
            let medium = self.medium.as_ref();
            for (mark, what, value, cure) in [
                (
                    "{label}",
                    "label",
                    medium.and_then(|m| m.label.as_deref()),
                    "import the image again: its label is kept then, if it has one",
                ),
                ("{version}", "version", medium.and_then(|m| m.version.as_deref()), "name the image as its maker does, as install75.iso"),
            ] {
                if line.contains(mark) {
                    let value = value.ok_or_else(|| {
                        Problem::usage(format!("the recipe for os={} needs the medium's {what}, which is not known", self.recipe.os))
                            .on(name)
                            .hint(cure)
                            .hint("or set os=custom and put a grub.cfg and a device.map into the guest's folder")
                    })?;
                    if !value.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
                        return Err(Problem::usage(format!("`{}` is no {what} that can be passed to GRUB", printable(value, 40))).on(name));
                    }
                    line = line.replace(mark, value);
                }
            }
            text.push_str(&line);
            text.push('\n');
        }
        Ok(text)
    }

    /// The device.map with GRUB's names of the disks and the medium.
    fn device_map(&self, name: &GuestName) -> Result<String> {
        let mut lines = Vec::new();
        let disks = self.disks.iter().enumerate().map(|(n, path)| (format!("hd{n}"), path));
        for (device, path) in disks.chain(self.medium.iter().map(|medium| ("cd0".to_owned(), &medium.path))) {
            // GRUB ends a path in its device.map at the first blank, and then silently ignores the line.
            if path.contains(char::is_whitespace) || path.len() > 900 {
                return Err(Problem::usage(format!("grub-bhyve cannot be given the path `{}`", printable(path, 120)))
                    .on(name)
                    .because("its device map ends a path at the first blank")
                    .hint("rename it without blanks, or set loader=uefi"));
            }
            lines.push(format!("({device}) {path}\n"));
        }
        Ok(lines.concat())
    }
}

/// Where distributions store their grub.cfg, relative to the partition that contains it.
const FOLDERS: [&str; 4] = ["/boot/grub", "/boot/grub2", "/grub", "/grub2"];

/// A grub.cfg that loads the guest's own: from `root`, or from the first device that has one.
fn search(first: &str, root: Option<&str>) -> String {
    // Modules that GRUB does not load automatically; it is no error if one is built in already.
    let mut text: String = ["part_msdos", "part_gpt", "lvm", "ext2", "xfs", "btrfs"].map(|module| format!("insmod {module}\n")).concat();
    if let Some(root) = root {
        text.push_str(&format!("set root={root}\n"));
    }
    for folder in std::iter::once(first).chain(FOLDERS.into_iter().filter(|folder| *folder != first)) {
        let found = match root {
            Some(_) => format!("[ -f ($root){folder}/grub.cfg ]"),
            None => format!("search --no-floppy --set=root --hint=hd0 --file {folder}/grub.cfg"),
        };
        text.push_str(&format!("if {found}; then set prefix=($root){folder}; configfile ($root){folder}/grub.cfg; fi\n"));
    }
    text
}

/// World-readable, because GRUB drops root privileges (to `nobody`) before it reads some of them.
fn file(path: String, text: String) -> HostFile {
    HostFile { path, text, mode: 0o644, secret: false }
}
