//! grub-bhyve: GRUB, run on the host to put another system's kernel into a new VM object.
//!
//! What it is told differs by operating system; the recipes are a table. Not here: choosing the disk and the medium (the
//! planner), and what follows when it fails (the supervisor): it exits with 0 even where nothing was booted.
//!
//! To add a recipe: a row of [`RECIPES`].

use super::HostFile;
use super::machine::Memory;
use crate::cmd::Cmd;
use crate::error::{Problem, Result};
use crate::launch::Prepare;
use crate::value::{GuestName, printable};

/// How GRUB is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrubBhyve {
    /// Whose recipe.
    pub recipe: &'static Recipe,
    /// The folder of device.map and grub.cfg, the guest's own.
    pub dir: String,
    /// The disk, GRUB's hd0.
    pub disk: Option<String>,
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
    /// By the grub.cfg that is on the device.
    OnDevice {
        /// GRUB's name of the device.
        root: &'static str,
        /// The folder of its grub.cfg, unless it is /boot/grub.
        dir: Option<&'static str>,
    },
    /// By a grub.cfg and a device.map that the user has put into the guest's folder.
    Own,
}

const CD: Way = Way::OnDevice { root: "cd0", dir: None };
const DISK: Way = Way::OnDevice { root: "hd0,msdos1", dir: None };
const fn disk_in(dir: &'static str) -> Way {
    Way::OnDevice { root: "hd0,msdos1", dir: Some(dir) }
}
const ISOLINUX: Way = Way::Lines(&["linux (cd0)/isolinux/vmlinuz", "initrd (cd0)/isolinux/initrd.img", "boot"]);
const OPENBSD_BOOT: Way = Way::Lines(&["kopenbsd -h com0 -r sd0a (hd0,openbsd1)/bsd", "boot"]);

/// The recipes, the fallback first.
pub static RECIPES: &[Recipe] = &[
    Recipe { os: "default", install: CD, boot: DISK },
    Recipe {
        os: "arch",
        install: Way::Lines(&[
            "linux (cd0)/arch/boot/x86_64/vmlinuz archisobasedir=arch archisolabel={label} ro",
            "initrd (cd0)/arch/boot/x86_64/archiso.img",
            "boot",
        ]),
        boot: DISK,
    },
    Recipe { os: "centos6", install: ISOLINUX, boot: disk_in("/grub") },
    Recipe { os: "centos7", install: ISOLINUX, boot: disk_in("/grub2") },
    Recipe {
        os: "coreos",
        install: Way::Lines(&["linux (cd0)/coreos/vmlinuz coreos.autologin", "initrd (cd0)/coreos/cpio.gz", "boot"]),
        boot: Way::Lines(&["linux (hd0,1)/coreos/vmlinuz-a ro root=LABEL=ROOT usr=LABEL=USR-A coreos.autologin", "boot"]),
    },
    Recipe {
        os: "coreossecure",
        install: Way::Lines(&["linux (cd0)/coreos/vmlinuz", "initrd (cd0)/coreos/cpio.gz", "boot"]),
        boot: Way::Lines(&["linux (hd0,1)/coreos/vmlinuz-a ro root=LABEL=ROOT usr=LABEL=USR-A", "boot"]),
    },
    Recipe { os: "custom", install: Way::Own, boot: Way::Own },
    Recipe { os: "d8lvm", install: CD, boot: disk_in("/grub") },
    Recipe { os: "debian", install: CD, boot: DISK },
    Recipe {
        os: "gentoo",
        install: Way::Lines(&[
            "linux (cd0)/isolinux/gentoo root=/dev/ram0 init=/linuxrc dokeymap looptype=squashfs loop=/image.squashfs cdroot",
            "initrd (cd0)/isolinux/gentoo.igz",
            "boot",
        ]),
        boot: DISK,
    },
    Recipe {
        os: "netbsd",
        install: Way::Lines(&["knetbsd -h -r cd0a (cd0)/netbsd", "boot"]),
        boot: Way::Lines(&["knetbsd -h -r wd0a (hd0,msdos1)/netbsd", "boot"]),
    },
    Recipe {
        os: "openbsd",
        install: Way::Lines(&["kopenbsd -h com0 (cd0)/{version}/amd64/bsd.rd", "boot"]),
        boot: OPENBSD_BOOT,
    },
    Recipe {
        os: "vyos",
        install: Way::Lines(&[
            "linux (cd0)/live/vmlinuz console=ttyS0 console=tty0 quiet boot=live nopersistent noautologin nonetworking nouser hostname=vyos",
            "initrd (cd0)/live/initrd.img",
            "boot",
        ]),
        boot: DISK,
    },
];

/// The recipe for a value of the property `os`. The four OpenBSD releases of 2016 have the recipe of all; a system that
/// has no recipe of its own has the fallback's: its own GRUB is looked for on the medium or the first partition.
pub fn recipe(os: &str) -> &'static Recipe {
    let os = if os.starts_with("openbsd") { "openbsd" } else { os };
    RECIPES.iter().find(|recipe| recipe.os == os).unwrap_or(&RECIPES[0])
}

/// The version in the file name of an OpenBSD image: `install75.iso` is 7.5.
pub fn version_in_name(path: &str) -> Option<String> {
    let name = path.rsplit('/').next()?;
    let at = name.find(|c: char| c.is_ascii_digit())?;
    match &name.as_bytes()[at..] {
        [major, minor, rest @ ..] if minor.is_ascii_digit() && !rest.first().is_some_and(u8::is_ascii_digit) => {
            Some(format!("{}.{}", char::from(*major), char::from(*minor)))
        }
        _ => None,
    }
}

impl GrubBhyve {
    /// Seconds that it may take unless set: menus count down.
    pub const TIMEOUT: u32 = 300;

    /// Its texts with what they are, for the check of characters.
    pub(super) fn texts(&self) -> Vec<(&'static str, &str)> {
        let medium = self.medium.iter().flat_map(|medium| {
            let words = [Some(&medium.path), medium.label.as_ref(), medium.version.as_ref()];
            words.into_iter().flatten().map(|text| ("the medium", text.as_str()))
        });
        let disk = self.disk.iter().map(|disk| ("the loader's disk", disk.as_str()));
        medium.chain(disk).chain([("the guest's folder", self.dir.as_str())]).collect()
    }

    /// The files and the command.
    pub(super) fn prepare(&self, name: &GuestName, memory: Memory, console: &str) -> Result<(Vec<HostFile>, Prepare)> {
        let way = if self.medium.is_some() { &self.recipe.install } else { &self.recipe.boot };
        if self.disk.is_none() && self.medium.is_none() {
            return Err(Problem::usage("grub-bhyve has nothing to boot from").on(name).hint("attach a disk, or start with --iso IMAGE"));
        }
        let map = format!("{}/device.map", self.dir);
        let mut files = Vec::new();
        let (root, dir) = match way {
            Way::Own => ("host", Some(self.dir.as_str())),
            Way::OnDevice { root, dir } => (*root, *dir),
            Way::Lines(lines) => {
                files.push(file(format!("{}/grub.cfg", self.dir), self.config(lines, name)?));
                ("host", Some(self.dir.as_str()))
            }
        };
        if *way != Way::Own {
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
        Ok((files, Prepare { cmd: cmd.arg(name.as_str()), may_fail: false, timeout: self.timeout }))
    }

    /// The lines with what the medium says put in.
    fn config(&self, lines: &[&str], name: &GuestName) -> Result<String> {
        let mut text = String::new();
        for line in lines {
            let mut line = (*line).to_owned();
            for (mark, what, value) in [
                ("{label}", "label", self.medium.as_ref().and_then(|m| m.label.as_deref())),
                ("{version}", "version", self.medium.as_ref().and_then(|m| m.version.as_deref())),
            ] {
                if line.contains(mark) {
                    let value = value.ok_or_else(|| {
                        Problem::usage(format!("the recipe for os={} needs the medium's {what}, which is not known", self.recipe.os))
                            .on(name)
                            .hint("name the image as its maker does, as install75.iso")
                            .hint("or set os=custom and put a grub.cfg and a device.map into the guest's folder")
                    })?;
                    if !value.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) {
                        return Err(Problem::usage(format!("`{}` is no {what} that GRUB can be told", printable(value, 40))).on(name));
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
        for (device, path) in [("hd0", self.disk.as_ref()), ("cd0", self.medium.as_ref().map(|m| &m.path))] {
            let Some(path) = path else { continue };
            // GRUB's map ends a path at the first blank, and then skips the line without a word.
            if path.contains(char::is_whitespace) || path.len() > 900 {
                return Err(Problem::usage(format!("grub-bhyve can't be given the path `{}`", printable(path, 120)))
                    .on(name)
                    .because("its device map ends a path at the first blank")
                    .hint("rename it without blanks, or set loader=uefi"));
            }
            lines.push(format!("({device}) {path}\n"));
        }
        Ok(lines.concat())
    }
}

fn file(path: String, text: String) -> HostFile {
    HostFile { path, text, secret: false }
}

