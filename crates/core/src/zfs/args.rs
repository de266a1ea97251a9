//! Argument vectors of every `zfs` and `zpool` call, for both dialects.
//!
//! Safety rules: `destroy` is never called with `-R`, `receive` never with `-F`, `rollback` never with `-r`.

use super::Dialect;
use crate::cmd::Cmd;
use crate::property::settings::{zfs_name, zfs_pair};
use crate::value::{Dataset, Size, SnapshotName, SnapshotRef};

/// A user property and its value, the key without the prefix `chyves:`.
pub type Pair = (String, String);

fn zfs<S: Into<String>>(args: impl IntoIterator<Item = S>) -> Cmd {
    Cmd::new("zfs", args)
}

const COLUMNS: &str = "name,property,source,value";

/// What a root of chyves is known by.
const OF_ROOTS: &str = "chyves:layout,chyves:role,chyves:host,chyves:group_levels,mountpoint";

/// Finds the roots of chyves in all imported pools: only the pools and the datasets directly below them are read, and
/// searched for the mark of a root. Their mount points, which may be inherited, are read in the same call.
pub fn find_roots() -> Cmd {
    zfs(["get", "-H", "-p", "-d", "1", "-s", "local,received,inherited,default", "-o", COLUMNS]).arg(OF_ROOTS)
}

/// Reads the same of one dataset.
pub fn find_root(name: &str) -> Cmd {
    zfs(["get", "-H", "-p", "-s", "local,received,inherited,default", "-o", COLUMNS]).arg(OF_ROOTS).arg(name)
}

/// The names of all pools, and of the datasets directly below them.
pub fn list_tops() -> Cmd {
    zfs(["list", "-H", "-d", "1", "-o", "name", "-t", "filesystem,volume"])
}

/// Reads roots with all descendants down to `depth`: own settings, and the native properties that describe the dataset
/// itself (type, used, origin). An exact depth excludes disks and snapshots. With `keys`, only these settings are read,
/// which takes `zfs` a third of the time.
pub fn read_tree(roots: &[Dataset], depth: usize, keys: Option<&[String]>) -> Cmd {
    let depth = depth.to_string();
    let what = match keys {
        None => "all".to_owned(),
        // The type comes first, as in the output of `all`, because it marks the beginning of a dataset's rows.
        Some(keys) => {
            std::iter::once("type,used,mounted,origin".to_owned()).chain(keys.iter().map(|k| zfs_name(k))).collect::<Vec<_>>().join(",")
        }
    };
    zfs(["get", "-H", "-p", "-d", depth.as_str(), "-s", "local,received,none", "-o", COLUMNS])
        .arg(what)
        .args(roots.iter().map(Dataset::as_str))
}

/// Reads only these datasets, with every native property, including inherited ones.
pub fn read_exactly<S: AsRef<str>>(names: &[S]) -> Cmd {
    zfs(["get", "-H", "-p", "-o", COLUMNS, "all"]).args(names.iter().map(AsRef::as_ref))
}

/// Reads the GUIDs of these datasets and snapshots.
pub fn read_guids<S: AsRef<str>>(names: &[S]) -> Cmd {
    zfs(["get", "-H", "-p", "-o", COLUMNS, "guid"]).args(names.iter().map(AsRef::as_ref))
}

/// Reads when a dataset or snapshot was created.
pub fn read_creation(name: &str) -> Cmd {
    zfs(["get", "-H", "-p", "-o", COLUMNS, "creation", name])
}

/// Reads the GUIDs of these datasets, their descendants and all their snapshots.
pub fn read_guids_below(of: &[&Dataset]) -> Cmd {
    zfs(["get", "-H", "-p", "-r", "-o", COLUMNS, "guid"]).args(of.iter().map(|d| d.as_str()))
}

/// Reads the settings that are stored on a snapshot itself.
pub fn read_snapshot(snapshot: &SnapshotRef) -> Cmd {
    zfs(["get", "-H", "-p", "-s", "local,received", "-o", COLUMNS, "all"]).arg(snapshot.to_string())
}

/// The names of the file systems and volumes below `above`, down to `depth`.
pub fn list_names(above: &Dataset, depth: usize) -> Cmd {
    zfs(["list", "-H", "-d", depth.to_string().as_str(), "-o", "name", "-t", "filesystem,volume"]).arg(above.as_str())
}

/// The names of file systems down to `depth` below each of these.
pub fn list_file_systems(above: &[Dataset], depth: usize) -> Cmd {
    zfs(["list", "-H", "-d", depth.to_string().as_str(), "-o", "name", "-t", "filesystem"]).args(above.iter().map(Dataset::as_str))
}

/// The file systems and volumes of a tree, the root of the tree first, each with its type.
pub fn list_types(of: &Dataset) -> Cmd {
    zfs(["list", "-H", "-r", "-o", "name,type", "-t", "filesystem,volume"]).arg(of.as_str())
}

/// Which file systems directly below `above` are mounted.
pub fn list_mounted(above: &Dataset) -> Cmd {
    zfs(["get", "-H", "-p", "-d", "1", "-o", COLUMNS, "mounted"]).arg(above.as_str())
}

/// The actual or configured mount points of all file systems. Framed by the name, since a mount point is text ([`super::forged`]).
pub fn list_mounts() -> Cmd {
    zfs(["list", "-H", "-t", "filesystem", "-o", "name,mounted,canmount,mountpoint,name"])
}

/// The names of the snapshots of a dataset, without those of its descendants, oldest first.
pub fn list_snapshots(of: &Dataset) -> Cmd {
    zfs(["list", "-H", "-d", "1", "-t", "snapshot", "-s", "creation", "-o", "name"]).arg(of.as_str())
}

/// The snapshots of these datasets and their descendants, oldest first; with exact numbers if the dialect supports them. Framed by
/// the name, since settings are text ([`super::forged`]).
pub fn list_snapshots_below(dialect: Dialect, of: &[&Dataset]) -> Cmd {
    let cmd = match dialect {
        Dialect::OpenZfs => zfs(["list", "-H", "-p", "-r"]),
        Dialect::Fuse => zfs(["list", "-H", "-r"]),
    };
    cmd.args(["-t", "snapshot", "-s", "creation"])
        .args(["-o", "name,creation,used,referenced,chyves:snapshot.taken,chyves:snapshot.live,name"])
        .args(of.iter().map(|d| d.as_str()))
}

/// Previews the space that is freed by destroying snapshots, including those with the same names on descendants. OpenZFS
/// only.
pub fn preview_snapshots(of: &Dataset, names: &[SnapshotName]) -> Cmd {
    let names: Vec<&str> = names.iter().map(SnapshotName::as_str).collect();
    zfs(["destroy", "-n", "-v", "-p", "-r"]).arg(format!("{of}@{}", names.join(",")))
}

/// The files that differ between a snapshot and another snapshot, or the present state. OpenZFS only.
pub fn diff(from: &SnapshotRef, to: Option<&SnapshotName>) -> Cmd {
    let to = to.map_or_else(|| from.dataset.to_string(), |name| from.dataset.at(name).to_string());
    zfs(["diff", "-H"]).arg(from.to_string()).arg(to)
}

/// Estimates the size of a snapshot's stream. OpenZFS only.
pub fn send_size(from: &SnapshotRef) -> Cmd {
    zfs(["send", "-n", "-v", "-P"]).arg(from.to_string())
}

/// Writes a snapshot to standard output, without properties: the copy gets its own.
pub fn send(from: &SnapshotRef) -> Cmd {
    zfs(["send"]).arg(from.to_string())
}

/// Reads a stream from standard input into a new dataset and leaves it unmounted. Never with `-F`: existing data is not
/// overwritten.
pub fn receive(to: &Dataset) -> Cmd {
    zfs(["receive", "-u"]).arg(to.as_str())
}

/// Sets native properties, one in each call, which every ZFS supports.
pub fn set_native(dataset: &Dataset, native: &[Pair]) -> Vec<Cmd> {
    native.iter().map(|(k, v)| zfs(["set"]).arg(format!("{k}={v}")).arg(dataset.as_str())).collect()
}

/// Native properties that users set on a guest's dataset or volume, and that a replacement of it has to keep.
const PEOPLES: [&str; 12] = [
    "atime",
    "checksum",
    "compression",
    "copies",
    "logbias",
    "primarycache",
    "quota",
    "recordsize",
    "refquota",
    "refreservation",
    "reservation",
    "secondarycache",
];

/// Reads which of these are set on the datasets themselves.
pub fn read_natives<S: AsRef<str>>(names: &[S]) -> Cmd {
    zfs(["get", "-H", "-p", "-s", "local,received", "-o", COLUMNS, &PEOPLES.join(",")]).args(names.iter().map(AsRef::as_ref))
}

/// Makes a dataset and its descendants read-only, or writable again.
pub fn set_readonly(dataset: &Dataset, on: bool) -> Cmd {
    if on { zfs(["set", "readonly=on"]).arg(dataset.as_str()) } else { zfs(["inherit", "readonly"]).arg(dataset.as_str()) }
}

/// The origins of all datasets of a pool, from which the clones of snapshots follow.
pub fn list_origins(pool: &str) -> Cmd {
    zfs(["list", "-H", "-r", "-o", "name,origin", "-t", "filesystem,volume"]).arg(pool)
}

fn with_options(cmd: Cmd, native: &[(&str, &str)], own: &[Pair]) -> Cmd {
    let cmd = native.iter().fold(cmd, |cmd, (k, v)| cmd.arg("-o").arg(format!("{k}={v}")));
    own.iter().fold(cmd, |cmd, (k, v)| cmd.arg("-o").arg(zfs_pair(k, v)))
}

/// Creates a file system.
pub fn create(dataset: &Dataset, native: &[(&str, &str)], own: &[Pair]) -> Cmd {
    with_options(zfs(["create"]), native, own).arg(dataset.as_str())
}

/// Creates a volume with its partitions hidden from the host; sparse unless its size is to be reserved.
pub fn create_volume(dataset: &Dataset, size: Size, block: Option<Size>, reserved: bool) -> Cmd {
    let cmd = if reserved { zfs(["create", "-V"]) } else { zfs(["create", "-s", "-V"]) };
    let cmd = cmd.arg(size.get().to_string()).args(["-o", "volmode=dev"]);
    let cmd = match block {
        Some(block) => cmd.arg("-o").arg(format!("volblocksize={}", block.get())),
        None => cmd,
    };
    cmd.arg(dataset.as_str())
}

/// Changes the size of a volume.
pub fn resize_volume(dataset: &Dataset, size: Size) -> Cmd {
    zfs(["set"]).arg(format!("volsize={}", size.get())).arg(dataset.as_str())
}

/// Space that datasets use in the pool, and space that they refer to.
pub fn read_space<S: AsRef<str>>(names: &[S]) -> Cmd {
    zfs(["get", "-H", "-p", "-o", COLUMNS, "used,referenced"]).args(names.iter().map(AsRef::as_ref))
}

/// The types of datasets, and the sizes of volumes.
pub fn read_sizes<S: AsRef<str>>(names: &[S]) -> Cmd {
    zfs(["get", "-H", "-p", "-o", COLUMNS, "type,volsize"]).args(names.iter().map(AsRef::as_ref))
}

/// Reads the same of these datasets and of all directly below them.
pub fn read_sizes_below<S: AsRef<str>>(names: &[S]) -> Cmd {
    zfs(["get", "-H", "-p", "-d", "1", "-t", "filesystem,volume", "-o", COLUMNS, "type,volsize"]).args(names.iter().map(AsRef::as_ref))
}

/// Creates a clone.
pub fn clone(from: &SnapshotRef, to: &Dataset, native: &[(&str, &str)], own: &[Pair]) -> Cmd {
    with_options(zfs(["clone"]), native, own).arg(from.to_string()).arg(to.as_str())
}

/// Sets and clears settings of one dataset, in as few calls as the dialect allows.
pub fn change(dialect: Dialect, on: &str, set: &[Pair], clear: &[String]) -> Vec<Cmd> {
    let pair = |(k, v): &Pair| zfs_pair(k, v);
    let mut cmds = Vec::new();
    if !set.is_empty() {
        match dialect {
            Dialect::OpenZfs => cmds.push(zfs(["set"]).args(set.iter().map(pair)).arg(on)),
            Dialect::Fuse => cmds.extend(set.iter().map(|p| zfs(["set"]).arg(pair(p)).arg(on))),
        }
    }
    cmds.extend(clear.iter().map(|k| zfs(["inherit"]).arg(zfs_name(k)).arg(on)));
    cmds
}

/// Restores the received values of settings.
pub fn as_received(on: &Dataset, keys: &[String]) -> Vec<Cmd> {
    keys.iter().map(|k| zfs(["inherit", "-S"]).arg(zfs_name(k)).arg(on.as_str())).collect()
}

/// Takes one atomic snapshot of a dataset and all its descendants.
pub fn snapshot(snapshot: &SnapshotRef, own: &[Pair]) -> Cmd {
    with_options(zfs(["snapshot", "-r"]), &[], own).arg(snapshot.to_string())
}

/// Rolls a dataset back to its newest snapshot; ZFS refuses if a newer one exists.
pub fn rollback(snapshot: &SnapshotRef) -> Cmd {
    zfs(["rollback"]).arg(snapshot.to_string())
}

/// Destroys a dataset without children.
pub fn destroy(dataset: &Dataset) -> Cmd {
    zfs(["destroy"]).arg(dataset.as_str())
}

/// Destroys a dataset with its snapshots and descendants; `zfs` refuses if clones outside the tree depend on it.
pub fn destroy_tree(dataset: &Dataset) -> Cmd {
    zfs(["destroy", "-r"]).arg(dataset.as_str())
}

/// Reverses the dependency between a clone and its origin; the snapshots up to the origin are moved to the clone.
pub fn promote(clone: &Dataset) -> Cmd {
    zfs(["promote"]).arg(clone.as_str())
}

/// A dataset, its descendants and all snapshots, which is what a destruction would remove; each with its origin.
pub fn list_everything(dataset: &Dataset) -> Cmd {
    zfs(["list", "-H", "-r", "-o", "name,origin", "-t", "filesystem,volume,snapshot"]).arg(dataset.as_str())
}

/// Destroys a snapshot, and those with its name on descendants.
pub fn destroy_snapshot(snapshot: &SnapshotRef) -> Cmd {
    zfs(["destroy", "-r"]).arg(snapshot.to_string())
}

/// Marks a snapshot, and those with its name on descendants, for deferred destruction: ZFS destroys each with its last
/// clone.
pub fn leave_to_clones(snapshot: &SnapshotRef) -> Cmd {
    zfs(["destroy", "-d", "-r"]).arg(snapshot.to_string())
}

/// Destroys one snapshot, and none on descendants.
pub fn destroy_snapshot_alone(snapshot: &SnapshotRef) -> Cmd {
    zfs(["destroy"]).arg(snapshot.to_string())
}

/// Renames a dataset. It and its clones stay mounted if this ZFS supports that: otherwise a rename unmounts clones too, and
/// fails while one of them is in use.
pub fn rename(dialect: Dialect, from: &Dataset, to: &Dataset) -> Cmd {
    let verb = match dialect {
        Dialect::OpenZfs => zfs(["rename", "-u"]),
        Dialect::Fuse => zfs(["rename"]),
    };
    verb.args([from.as_str(), to.as_str()])
}

/// Renames a volume.
pub fn rename_volume(from: &Dataset, to: &Dataset) -> Cmd {
    zfs(["rename"]).args([from.as_str(), to.as_str()])
}

/// Mounts a file system.
pub fn mount(dataset: &Dataset) -> Cmd {
    zfs(["mount"]).arg(dataset.as_str())
}

/// Unmounts a file system; fails if a file in it is open.
pub fn unmount(dataset: &Dataset) -> Cmd {
    zfs(["unmount"]).arg(dataset.as_str())
}

/// Loads the key of an encrypted dataset.
pub fn load_key(root: &Dataset) -> Cmd {
    zfs(["load-key"]).arg(root.as_str())
}

/// Size, used capacity and health of pools.
pub fn list_pools() -> Cmd {
    Cmd::new("zpool", ["list", "-H", "-o", "name,size,cap,health"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_gets_a_change_it_understands() {
        let set = [("cpu".to_owned(), "2".to_owned()), ("ram".to_owned(), "1G".to_owned())];
        let clear = ["notes".to_owned()];
        let lines = |d| change(d, "t/a", &set, &clear).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(lines(Dialect::OpenZfs), ["zfs set chyves:cpu=2 chyves:ram=1G t/a", "zfs inherit chyves:notes t/a"]);
        assert_eq!(lines(Dialect::Fuse), ["zfs set chyves:cpu=2 t/a", "zfs set chyves:ram=1G t/a", "zfs inherit chyves:notes t/a"]);
    }
}
