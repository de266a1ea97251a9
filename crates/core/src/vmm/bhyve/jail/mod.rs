//! A dedicated jail for one bhyve process: what it can open, and the commands that create and remove it.
//!
//! Its root is an empty folder into which the programs and libraries of the base system and each file of the guest are
//! mounted, the system read-only; its /dev shows the nodes of this VM only. Paths are the same inside and outside, so that
//! the command line needs no change. Not here: whether a jail is used (the planner), and what a bhyve process opens
//! ([`mod@reach`]).

mod reach;

pub use crate::confinement::{Jail, Reach};
pub use reach::{Found, reach};

use super::{Arch, Release};
use crate::cmd::Cmd;
use crate::launch::Prepare;
use crate::os::freebsd::jail;
use crate::vmm::{HostFile, Rendered};
use std::collections::BTreeSet;
use uuid::Uuid;

/// The first release on which chyves runs bhyve in a jail: nullfs can mount single files since then.
pub const SINCE: Release = Release::new(14, 0);

/// Folders of the base system and of packages that contain the files of bhyve and its loaders.
const SYSTEM: &[&str] = &["/boot", "/lib", "/libexec", "/usr/lib", "/usr/local/lib", "/usr/local/sbin", "/usr/sbin", "/usr/share/bhyve"];
/// The folder of the jails' roots in the runtime folder, one for each guest, named by its UUID.
pub const ROOTS: &str = "jails";
/// The fstab file with a jail's mounts.
const FSTAB: &str = "jail.fstab";
/// Timeout in seconds for creating or removing it.
const TIMEOUT: u32 = 30;
/// The devfs ruleset numbers for jails: the first one and how many. Numbers have 16 bits; those of the base system and of
/// administrators are low.
const SETS: (u32, u32) = (20_000, 40_000);

/// The ruleset numbers that a guest may use, the preferred one first. The host determines which one is free.
pub fn rulesets(uuid: Uuid) -> impl Iterator<Item = u32> {
    let hash = u32::from_be_bytes(uuid.as_bytes()[..4].try_into().unwrap_or_default());
    (0..SETS.1).map(move |n| SETS.0 + (hash % SETS.1 + n) % SETS.1)
}

impl Jail {
    /// The jail of a guest. `run_dir` is the folder of all runtime files, `run` the guest's own folder in it. The root is
    /// not in `run`, because `run` is removed with all its contents. `ruleset` is the number that was reserved for it, if
    /// one was.
    pub fn new(uuid: Uuid, run_dir: &str, run: &str, ruleset: Option<u32>, reach: Reach) -> Self {
        Self {
            name: format!("chyves-{uuid}"),
            root: format!("{run_dir}/{ROOTS}/{uuid}"),
            conf: format!("{run}/jail/jail.conf"),
            ruleset: ruleset.or_else(|| rulesets(uuid).next()).unwrap_or(SETS.0),
            reach,
        }
    }

    /// Wraps the rendered commands: bhyve and its loaders run in the jail, which is created before and removed after them.
    pub fn contain(&self, rendered: &mut Rendered, arch: Arch) {
        let mut all = self.clone();
        for file in &rendered.files {
            all.reach.file(&file.path, false);
        }
        let loader = rendered.before.iter().position(|prepare| prepare.loads).unwrap_or(rendered.before.len());
        for prepare in rendered.before.iter_mut().filter(|prepare| prepare.loads) {
            prepare.cmd = self.inside(&prepare.cmd);
        }
        rendered.cmd = self.inside(&rendered.cmd);
        rendered.before.splice(loader..loader, all.setup(arch));
        rendered.after.extend(self.teardown());
        rendered.files.extend(all.files(arch));
    }

    /// The folder with the files that the present jail was created from.
    pub fn folder(&self) -> &str {
        self.conf.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The files that the next jail is created from.
    fn next(&self) -> [String; 2] {
        let beside = self.folder().rsplit_once('/').map_or("", |(folder, _)| folder);
        [format!("{beside}/jail.conf"), format!("{beside}/{FSTAB}")]
    }

    fn inside(&self, cmd: &Cmd) -> Cmd {
        Cmd::new("jexec", [self.name.as_str(), cmd.program.as_str()]).args(cmd.args.clone())
    }

    /// What is mounted: the source, which is also the path inside, and whether it is writable.
    fn mounts(&self, arch: Arch) -> Vec<(&str, bool)> {
        let system = SYSTEM.iter().filter(|folder| arch == Arch::Amd64 || **folder != "/usr/local/sbin").map(|&folder| (folder, false));
        system.chain(self.reach.files.iter().map(|(path, write)| (path.as_str(), *write))).collect()
    }

    /// jail.conf and the fstab of its mounts, in a folder beside that of the present jail's files: jail(8) unmounts what
    /// those list, and at a reboot the next ones may list other files.
    fn files(&self, arch: Arch) -> Vec<HostFile> {
        let Self { name, root, ruleset, .. } = self;
        let fstab = format!("{}/{FSTAB}", self.folder());
        let text = format!(
            "{name} {{\n    path = \"{root}\";\n    host = \"inherit\";\n    ip4 = \"inherit\";\n    ip6 = \"inherit\";\n    persist;\n    \
             allow.vmm;\n    enforce_statfs = 2;\n    children.max = 0;\n    mount.fstab = \"{fstab}\";\n    mount.devfs;\n    \
             devfs_ruleset = {ruleset};\n}}\n"
        );
        // In fstab(5), a blank is written as \040.
        let escaped = |path: &str| path.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011");
        let line = |(path, write): (&str, bool)| {
            let (path, how) = (escaped(path), if write { "rw" } else { "ro" });
            format!("{path} {root}{path} nullfs {how} 0 0\n")
        };
        let mounts = self.mounts(arch).into_iter().map(line).collect();
        let file = |path: &str, text: String| HostFile { path: path.to_owned(), text, mode: 0o600, secret: false };
        let [conf, fstab] = self.next();
        vec![file(&conf, text), file(&fstab, mounts)]
    }

    /// The commands that create it; a jail of an earlier run is removed first.
    fn setup(&self, arch: Arch) -> Vec<Prepare> {
        let run = |cmd: Cmd, may_fail: bool| Prepare { cmd, may_fail, timeout: TIMEOUT, loads: false };
        let ruleset = self.ruleset.to_string();
        let (folders, points) = self.skeleton(arch);
        let mut all: Vec<Prepare> = self.teardown().into_iter().map(|cmd| run(cmd, true)).collect();
        all.push(run(Cmd::new("mkdir", ["-p", self.folder()]).args(folders), false));
        all.push(run(Cmd::new("cp", self.next()).arg(self.folder()), false));
        if !points.is_empty() {
            all.push(run(Cmd::new("touch", points), false));
        }
        let rule = |words: &[&str]| run(Cmd::new("devfs", ["rule", "-s", &ruleset, "add"]).args(words.iter().copied()), false);
        all.push(rule(&["hide"]));
        // A node is visible only if its parent folders are.
        let mut nodes: BTreeSet<&str> = BTreeSet::new();
        for node in &self.reach.nodes {
            nodes.extend(node.match_indices('/').map(|(at, _)| &node[..at]));
            nodes.insert(node);
        }
        all.extend(nodes.into_iter().map(|node| rule(&["path", node, "unhide"])));
        all.push(run(Cmd::new("jail", ["-q", "-f", &self.conf, "-c", &self.name]), false));
        all
    }

    /// The folders in its root, and the empty files that serve as mount points for files.
    fn skeleton(&self, arch: Arch) -> (BTreeSet<String>, BTreeSet<String>) {
        let mut folders: BTreeSet<String> = BTreeSet::from([format!("{}/dev", self.root)]);
        let mut points: BTreeSet<String> = BTreeSet::new();
        for (path, _) in self.mounts(arch) {
            let inside = format!("{}{path}", self.root);
            if SYSTEM.contains(&path) || self.reach.folders.contains(path) {
                folders.insert(inside);
            } else {
                folders.extend(inside.rsplit_once('/').map(|(folder, _)| folder.to_owned()));
                points.insert(inside);
            }
        }
        (folders, points)
    }

    /// The commands that remove it and its root.
    pub fn teardown(&self) -> Vec<Cmd> {
        let mut all = vec![self.remove()];
        all.extend(jail::clean(Some(self.ruleset), &self.root));
        all
    }

    /// The command that removes the jail itself, which requires its configuration file.
    pub fn remove(&self) -> Cmd {
        jail::remove(&self.conf, &self.name)
    }

    /// The configuration file and the fstab of the present jail, to be restored if they were lost.
    pub fn description(&self, arch: Arch) -> Vec<HostFile> {
        let places = [self.conf.clone(), format!("{}/{FSTAB}", self.folder())];
        self.files(arch).into_iter().zip(places).map(|(file, path)| HostFile { path, ..file }).collect()
    }
}
