//! What is on the pool and what runs, seen from outside: to show that something changed, or that nothing did.

use super::{Host, until};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

/// Every dataset and snapshot below chyves' root: its properties, but for those that ZFS counts.
pub type Tree = BTreeMap<String, BTreeMap<String, String>>;

/// Natives that change by themselves, or with what others do on the pool.
const VOLATILE: &[&str] =
    &["used", "available", "referenced", "compressratio", "refcompressratio", "written", "logicalused", "logicalreferenced"];

/// A process of this host that belongs to chyves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number, as the host sees it.
    pub pid: u64,
    /// Its command line.
    pub line: String,
}

impl Host {
    /// What is on the pool below chyves' root.
    pub fn tree(&self) -> Tree {
        self.tree_of(&[&self.pool])
    }

    /// The same of another pool.
    pub fn tree_on(&self, pool: &str) -> Tree {
        self.tree_of(&[pool])
    }

    /// The same of several pools, read at once; nothing of one that is not set up.
    pub fn tree_of(&self, pools: &[&str]) -> Tree {
        let roots: Vec<String> = pools.iter().map(|pool| format!("{pool}/chyves")).collect();
        let absent: Vec<String> = roots.iter().map(|root| format!("cannot open '{root}': dataset does not exist")).collect();
        let get = |property: &str| {
            let output = self
                .command("zfs")
                .args(["get", "-r", "-H", "-p", "-o", "name,property,source,value", property])
                .args(&roots)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            let fits = if said.is_empty() { output.status.success() } else { said.lines().all(|l| absent.iter().any(|a| a == l)) };
            assert!(fits, "zfs get {property}: {}: {said}", output.status);
            String::from_utf8(output.stdout).unwrap()
        };
        let mut read = get("all");
        // `all` leaves it out on older ZFS.
        if !read.contains("\tguid\t") {
            read += &get("guid");
        }
        let mut tree = Tree::new();
        // A value of several lines would be cut here; tests that make one don't look this way.
        for line in read.lines() {
            let [name, property, source, value] = line.splitn(4, '\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
            if !VOLATILE.contains(&property) && !property.starts_with("usedby") {
                tree.entry(name.to_owned()).or_default().insert(property.to_owned(), format!("{source}: {value}"));
            }
        }
        tree
    }

    /// A mark of every file in a stopped guest's file system, logs apart.
    pub fn files(&self, guest: &str) -> BTreeMap<String, u64> {
        self.files_of(&self.dataset(guest))
    }

    /// A mark of every file in a file system, logs apart.
    pub fn files_of(&self, dataset: &str) -> BTreeMap<String, u64> {
        self.in_dataset(dataset, marks)
    }

    /// The processes of chyves on this host: those that were told its runtime folder or have a file open there.
    pub fn processes(&self) -> Vec<Process> {
        let run = self.run_dir();
        let told = format!("CHYVES_RUNDIR={}", run.display()).into_bytes();
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.open_path("/proc")).unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            let open = std::fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
            let holds = |fd: std::fs::DirEntry| std::fs::read_link(fd.path()).is_ok_and(|to| to.starts_with(&run));
            if environment.split(|b| *b == 0).any(|v| v == told) || open.into_iter().any(holds) {
                let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).trim_end_matches('\0').replace('\0', " ");
                // One that is about to go has no words any more.
                if !line.is_empty() {
                    found.push(Process { pid, line });
                }
            }
        }
        found
    }

    /// The process of a guest's machine, and of its supervisor.
    pub fn pids(&self, guest: &str) -> (u64, u64) {
        let uuid = self.value(guest, "uuid");
        // Between two machines of one supervisor there is none.
        until("a machine", || {
            let record = std::fs::read_to_string(self.run_dir().join(&uuid).join("record.json")).unwrap();
            let record: serde_json::Value = serde_json::from_str(&record).unwrap();
            Some((record["machine"]["pid"].as_u64()?, record["supervisor"]["pid"].as_u64().unwrap()))
        })
    }

    /// Nothing of stopped guests is left: no process, no socket, no record, no mount.
    #[track_caller]
    pub fn nothing_is_left(&self) {
        // A supervisor answers that its guest is off, and then has its own end before it.
        until("every process of chyves to end", || self.processes().is_empty().then_some(()));
        let left: Vec<_> =
            std::fs::read_dir(self.run_dir()).unwrap().flatten().filter(|e| e.file_type().unwrap().is_dir()).map(|e| e.path()).collect();
        let left: Vec<_> = left.iter().flat_map(|dir| std::fs::read_dir(dir).unwrap().flatten()).map(|e| e.path()).collect();
        // The files of locks stay: removing one that somebody waits for would give two people the same lock.
        let left: Vec<_> = left.into_iter().filter(|p| !p.parent().is_some_and(|d| d.ends_with("locks"))).collect();
        assert_eq!(left, Vec::<std::path::PathBuf>::new(), "left in the runtime folder");
        let mounts = std::fs::read_to_string(self.open_path("/proc/1/mounts")).unwrap();
        let guests = self.mount_point().join("chyves/guests/").display().to_string();
        let left: Vec<_> = mounts.lines().filter(|l| l.contains(&guests)).collect();
        assert!(left.is_empty(), "still mounted: {left:?}");
    }
}

/// A mark of every file in a folder, logs apart.
pub(super) fn marks(folder: &Path) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    mark(folder, folder, &mut found);
    found
}

fn mark(root: &Path, folder: &Path, marks: &mut BTreeMap<String, u64>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        if entry.file_type().unwrap().is_dir() {
            if name != "logs" {
                mark(root, &path, marks);
            }
        } else {
            let mut hasher = DefaultHasher::new();
            std::fs::read(&path).unwrap().hash(&mut hasher);
            marks.insert(name, hasher.finish());
        }
    }
}
