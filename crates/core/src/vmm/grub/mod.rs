//! grub-bhyve: GRUB, run on the host to put another system's kernel into a new VM object.
//!
//! What it is told differs by operating system; the recipes are a table. Not here: choosing the disk and the medium (the
//! planner), and what follows when it fails (the supervisor): it exits with 0 even where nothing was booted.
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
use crate::guest_files::Order;
use crate::launch::Prepare;
use crate::value::{GuestName, printable};

/// How GRUB is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrubBhyve {
    /// Whose recipe.
    pub recipe: &'static Recipe,
    /// The guest's own folder, in which the user's device.map and grub.cfg are where the recipe is the user's.
    pub dir: String,
    /// The folder of those that chyves writes.
    pub run: String,
    /// GRUB's name of the device with the guest's own grub.cfg, where the user has set one: `hd0,gpt2`, `lvm/vg0-root`.
    pub root: Option<String>,
    /// The disks, GRUB's hd0, hd1 and so on.
    pub disks: Vec<String>,
    /// The medium, GRUB's cd0; if there is one, it is booted.
    pub medium: Option<Medium>,
    /// Seconds after which it counts as hung at a prompt.
    pub timeout: u32,
}

/// An installation medium as a recipe sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Medium {
    /// The image's path.
    pub path: String,
    /// The label of its file system, where a recipe needs it.
    pub label: Option<String>,
    /// The system's version as its folders on the medium are called (`7.5`), where a recipe needs it.
    pub version: Option<String>,
}

/// What GRUB is told for an operating system.
#[derive(Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The value of the property `os`.
    pub os: &'static str,
    /// With a medium.
    pub install: Way,
    /// Without one.
    pub boot: Way,
}

/// A way to find a kernel.
#[derive(Debug, PartialEq, Eq)]
pub enum Way {
    /// By a grub.cfg of these lines, which chyves writes. `{label}` and `{version}` are the medium's.
    Lines(&'static [&'static str]),
    /// By the grub.cfg that is on the medium.
    OnMedium,
    /// By the guest's own grub.cfg, which GRUB searches for: on whatever partition, logical volume or unpartitioned disk it is.
    Search {
        /// The folder in which it is looked for first.
        first: &'static str,
    },
    /// Not at all, with the reason and the value of `loader` that boots it.
    Never(&'static str, &'static str),
    /// By a grub.cfg and a device.map that the user has put into the guest's folder.
    Own,
}

/// The recipe for a value of the property `os`. The four OpenBSD releases of 2016 have the recipe of all; a system that
/// has no recipe of its own has the fallback's: its own grub.cfg is used, on the medium or wherever it is on the disks.
pub fn recipe(os: &str) -> &'static Recipe {
    let os = if os.starts_with("openbsd") { "openbsd" } else { os };
    RECIPES.iter().find(|recipe| recipe.os == os).unwrap_or(&RECIPES[0])
}

/// Whether the recipe for a value of the property `os` is what the user has put into the guest's folder.
pub fn is_own(os: &str) -> bool {
    recipe(os).boot == Way::Own
}

/// Makes sure that grub-bhyve can boot a guest from its disks, by the value of its property `os`. No host is needed to tell.
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

/// The version of an OpenBSD medium, by its folder's name: what `os` says (`openbsd60` is 6.0), else what the file is called
/// (`install75.iso` is 7.5).
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

/// Seconds that the copy of two small files may take.
const COPY_TIMEOUT: u32 = 30;

impl GrubBhyve {
    /// Its texts with what they are, for the check of characters.
    pub(super) fn texts(&self) -> Vec<(&'static str, &str)> {
        let medium = self.medium.iter().flat_map(|medium| {
            let words = [Some(&medium.path), medium.label.as_ref(), medium.version.as_ref()];
            words.into_iter().flatten().map(|text| ("the medium", text.as_str()))
        });
        let disks = self.disks.iter().map(|disk| ("the loader's disk", disk.as_str()));
        let root = self.root.iter().map(|root| ("grub_root", root.as_str()));
        medium.chain(disks).chain(root).chain([("the guest's folder", self.dir.as_str())]).collect()
    }

    /// The files and the command.
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
            // The loader takes paths only, and those in the guest's folder may be links to files of the host.
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

    /// The lines with what the medium says put in.
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

    /// GRUB's names of the disk and the medium.
    fn device_map(&self, name: &GuestName) -> Result<String> {
        let mut lines = Vec::new();
        let disks = self.disks.iter().enumerate().map(|(n, path)| (format!("hd{n}"), path));
        for (device, path) in disks.chain(self.medium.iter().map(|medium| ("cd0".to_owned(), &medium.path))) {
            // GRUB's map ends a path at the first blank, and then skips the line without a word.
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

/// Where distributions have their grub.cfg, as the partition with it shows the path.
const FOLDERS: [&str; 4] = ["/boot/grub", "/boot/grub2", "/grub", "/grub2"];

/// A grub.cfg that goes on with the guest's own: on `root`, or on the first device that has one.
fn search(first: &str, root: Option<&str>) -> String {
    // Modules that GRUB does not load by itself; one that is built in already is no failure.
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

/// Whether it is a name that GRUB may have for a device with a file system: `hd0`, `hd0,gpt2`, `hd1,msdos5`, `lvm/vg0-root`.
pub fn is_device(text: &str) -> bool {
    if let Some(volume) = text.strip_prefix("lvm/") {
        let fine = |c: char| c.is_ascii_alphanumeric() || "+_.-".contains(c);
        return volume.contains('-') && volume.len() <= 255 && volume.chars().all(fine);
    }
    let digits = |text: &str| !text.is_empty() && text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
    let part = |text: &str| digits(text.trim_start_matches(|c: char| c.is_ascii_lowercase()));
    let mut parts = text.split(',');
    parts.next().and_then(|disk| disk.strip_prefix("hd")).is_some_and(digits) && parts.all(part)
}

/// GRUB becomes `nobody` before it reads some of them.
fn file(path: String, text: String) -> HostFile {
    HostFile { path, text, mode: 0o644, secret: false }
}
