//! Native ZFS properties of the datasets of guests and images: those that keep their content from acting on the host, and
//! an allowlist of those that may come from another host. It is an allowlist because each release of ZFS adds properties.
//!
//! Not here: host-reaching settings of chyves (`guest::trust`), checks of the files themselves (chyves-host
//! `apply::inspect`).

use super::Dialect;
use super::args::Pair;
use crate::cmd::Cmd;
use crate::error::{Problem, Result};
use crate::property::settings::key_of;
use crate::value::{Dataset, printable};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Properties that a stream must not set: where and how another host mounts and shares.
pub const FOREIGN: [&str; 3] = ["mountpoint", "sharenfs", "sharesmb"];

/// Properties that keep files in guests' and images' file systems from acting on the host: set-user-ID bits have no effect,
/// device nodes cannot be opened, and nothing can be executed.
pub const GUARDS: [&str; 3] = ["setuid", "devices", "exec"];

/// The same for volumes: the host does not read their partition tables, and their snapshots have no device nodes. zfs-fuse
/// supports neither property.
const VOLUME_GUARDS: [(&str, &str); 2] = [("volmode", "dev"), ("snapdev", "hidden")];

/// Properties that may be received: those that describe how data is stored, and those that ZFS never changes after
/// creation.
const MAY_COME: [&str; 10] = [
    "casesensitivity",
    "encryption",
    "keyformat",
    "normalization",
    "pbkdf2iters",
    "recordsize",
    "utf8only",
    "version",
    "volblocksize",
    "volsize",
];

/// Properties that act on the host wherever they were set, so that even values of the owner of an imported pool are not
/// accepted.
const ACTS: [&str; 10] = ["canmount", "devices", "exec", "jailed", "mountpoint", "setuid", "sharenfs", "sharesmb", "volmode", "zoned"];

/// Properties that `zfs inherit` cannot remove, with the value that they are set to instead.
const SET_ONLY: [(&str, &str); 9] = [
    ("canmount", "noauto"),
    ("filesystem_limit", "none"),
    ("keylocation", "prompt"),
    ("quota", "none"),
    ("readonly", "off"),
    ("refquota", "none"),
    ("refreservation", "none"),
    ("reservation", "none"),
    ("snapshot_limit", "none"),
];

/// The guards as properties to set: all `off`.
pub fn guards() -> impl Iterator<Item = Pair> {
    GUARDS.into_iter().map(|key| (key.to_owned(), "off".to_owned()))
}

/// A file system below a root, by the effective values of its native properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// Its name.
    pub name: String,
    /// The guards that it lacks.
    pub lacks: Vec<&'static str>,
    /// Its `canmount`.
    pub canmount: String,
    /// Whether it is read-only.
    pub readonly: bool,
}

/// Lists the file systems below these datasets with their guards, and with what decides whether a guest can use them.
pub fn list(roots: &[Dataset]) -> Cmd {
    let columns = format!("name,canmount,readonly,{}", GUARDS.join(","));
    Cmd::new("zfs", ["list", "-H", "-r", "-t", "filesystem", "-o", columns.as_str()]).args(roots.iter().map(Dataset::as_str))
}

/// The file systems in the output of [`list`]. The roots themselves contain no files of guests.
pub fn listed(output: &str, roots: &[Dataset]) -> Vec<FileSystem> {
    let row = |line: &str| {
        let mut columns = line.split('\t');
        let name = columns.next().filter(|name| !roots.iter().any(|root| root.as_str() == *name))?.to_owned();
        let (canmount, readonly) = (columns.next()?.to_owned(), columns.next()? == "on");
        let lacks = GUARDS.into_iter().zip(columns).filter(|(_, value)| *value == "on").map(|(key, _)| key).collect();
        Some(FileSystem { name, lacks, canmount, readonly })
    };
    output.lines().filter_map(row).collect()
}

fn fixed(property: &str) -> Option<&'static str> {
    let set = SET_ONLY.iter().chain(&VOLUME_GUARDS).find(|(key, _)| *key == property).map(|(_, value)| *value);
    set.or_else(|| GUARDS.contains(&property).then_some("off"))
}

/// The type of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Type {
    /// A file system.
    FileSystem,
    /// A volume.
    Volume,
}

/// A native property, or another program's user property, that was received with a dataset and must not be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Came {
    /// Its name.
    pub property: String,
    /// Its value.
    pub value: String,
}

impl Came {
    /// Its new state, in words.
    pub fn now(&self) -> String {
        match fixed(&self.property) {
            Some(value) => format!("{value} here"),
            None if self.property.contains(':') => "removed".to_owned(),
            None => "inherited from this host's datasets".to_owned(),
        }
    }

    fn command(&self, dataset: &Dataset) -> Cmd {
        match fixed(&self.property) {
            Some(value) => Cmd::new("zfs", ["set"]).arg(format!("{}={value}", self.property)).arg(dataset.as_str()),
            None => Cmd::new("zfs", ["inherit"]).arg(&self.property).arg(dataset.as_str()),
        }
    }
}

/// Reads every property that is set on the dataset itself.
pub fn read(dataset: &Dataset) -> Cmd {
    Cmd::new("zfs", ["get", "-H", "-s", "local,received", "-o", "property,source,value", "all"]).arg(dataset.as_str())
}

/// The properties that must not be kept, from the output of [`read`].
pub fn came(output: &str) -> Vec<Came> {
    let row = |line: &str| {
        let [property, source, value] = line.splitn(3, '\t').collect::<Vec<_>>().try_into().ok()?;
        // A value may contain a newline; the text after it is only accepted as a property if it is a valid property name.
        let is_name = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b":_@.+-".contains(&b));
        let stays = key_of(property).is_some() || MAY_COME.contains(&property) || fixed(property).is_some_and(|is| is_same(is, value));
        let counts = source == "received" || (source == "local" && ACTS.contains(&property));
        (counts && !stays && is_name(property)).then(|| Came { property: property.to_owned(), value: value.to_owned() })
    };
    let all: BTreeMap<String, Came> = output.lines().filter_map(row).map(|came| (came.property.clone(), came)).collect();
    all.into_values().filter(|came| !(matches!(came.property.as_str(), "sharenfs" | "sharesmb") && came.value == "off")).collect()
}

/// Reads what a stream set of the properties that are overridden when it is received. Their values are words, never free text.
pub fn read_overridden(dataset: &Dataset) -> Cmd {
    let volumes = VOLUME_GUARDS.iter().map(|(key, _)| *key);
    let what: Vec<&str> = GUARDS.into_iter().chain(volumes).chain(["canmount"]).collect();
    Cmd::new("zfs", ["get", "-H", "-o", "property,received"]).arg(what.join(",")).arg(dataset.as_str())
}

/// The values that would have acted here if reception had not overridden them, from the output of [`read_overridden`]. They take
/// effect again where the overriding value is removed by `zfs inherit -S`.
pub fn overridden(output: &str) -> Vec<Came> {
    let row = |line: &str| {
        let (property, value) = line.split_once('\t').filter(|(_, value)| *value != "-")?;
        let acts = fixed(property).is_some_and(|is| !is_same(is, value));
        acts.then(|| Came { property: property.to_owned(), value: value.to_owned() })
    };
    output.lines().filter_map(row).collect()
}

/// Whether two spellings of a value mean the same; only these properties have more than one.
fn is_same(fixed: &str, value: &str) -> bool {
    fixed == value || (fixed == "none" && value == "0") || (fixed == "prompt" && value == "none")
}

/// Ensures that a dataset is only mounted by chyves, below the root, with its guards set, and removes the received
/// properties that must not be kept. The values are set locally, so that a later stream cannot replace them.
pub fn tame(dataset: &Dataset, is: Type, dialect: Dialect, came: &[Came]) -> Vec<Cmd> {
    let set = |key: &str, value: &str| Cmd::new("zfs", ["set"]).arg(format!("{key}={value}")).arg(dataset.as_str());
    let mut cmds = Vec::new();
    match (is, dialect) {
        (Type::FileSystem, _) => {
            cmds.push(set("canmount", "noauto"));
            cmds.extend(GUARDS.iter().map(|key| set(key, "off")));
            cmds.extend(FOREIGN.iter().map(|key| Cmd::new("zfs", ["inherit"]).arg(*key).arg(dataset.as_str())));
        }
        (Type::Volume, Dialect::OpenZfs) => cmds.extend(VOLUME_GUARDS.iter().map(|(key, value)| set(key, value))),
        (Type::Volume, Dialect::Fuse) => {}
    }
    let more: Vec<Cmd> = came.iter().map(|came| came.command(dataset)).filter(|cmd| !cmds.contains(cmd)).collect();
    cmds.extend(more);
    cmds
}

/// Options for `zfs receive` that set the guards atomically with the reception. zfs-fuse does not support properties there.
pub fn received_with() -> Vec<String> {
    let off = GUARDS.iter().map(|key| format!("{key}=off"));
    let volumes = VOLUME_GUARDS.iter().map(|(key, value)| format!("{key}={value}"));
    let set = ["canmount=noauto".to_owned()].into_iter().chain(off).chain(volumes).flat_map(|pair| ["-o".to_owned(), pair]);
    set.chain(FOREIGN.iter().flat_map(|key| ["-x".to_owned(), (*key).to_owned()])).collect()
}

/// What decides whether a file system is mounted, and where.
const PLACE: &str = "mountpoint,canmount,setuid,devices,exec,chyves:layout";

/// Reads the mount point and guards of a file system, and which of the datasets above it is the root of chyves.
pub fn read_place(dataset: &Dataset) -> Cmd {
    let above = std::iter::successors(Some(dataset.clone()), Dataset::parent);
    let names: Vec<String> = above.map(|d| d.to_string()).collect();
    Cmd::new("zfs", ["get", "-H", "-p", "-o", "name,property,source,value", PLACE]).args(names)
}

/// The mount point of a file system, from the output of [`read_place`].
///
/// # Errors
/// It must not be mounted: its mount point is not the one inherited from the root of chyves, or properties set by its
/// sender enable set-user-ID bits, devices or execution in it.
pub fn place(dataset: &Dataset, output: &str) -> Result<String> {
    let is_above = |name: &str| std::iter::successors(Some(dataset.clone()), Dataset::parent).any(|at| at.as_str() == name);
    // Text behind a newline is a part of the value: a path may hold one.
    let mut values: BTreeMap<(&str, &str), (&str, String)> = BTreeMap::new();
    let mut last = None;
    for line in output.split_terminator('\n') {
        match line.splitn(4, '\t').collect::<Vec<_>>()[..] {
            [name, property, source, value] if is_above(name) && PLACE.split(',').any(|known| known == property) => {
                // Each property of each dataset is printed once: of two such lines one is part of a value.
                if values.insert((name, property), (source, value.to_owned())).is_some() {
                    return Err(Problem::not_now(format!("cannot trust what `zfs get` printed of `{dataset}`"))
                        .on(dataset)
                        .because(format!("{property} of {} was printed twice: a value contains a line break", printable(name, 200)))
                        .hint(format!("`zfs inherit mountpoint {dataset}` gives it chyves' own place")));
                }
                last = Some((name, property));
            }
            _ => {
                if let Some((_, value)) = last.and_then(|last| values.get_mut(&last)) {
                    value.push('\n');
                    value.push_str(line);
                }
            }
        }
    }
    // As in `find_roots`: a pool, or a dataset directly below one.
    let is_root =
        |at: &Dataset| values.get(&(at.as_str(), "chyves:layout")).is_some_and(|(source, _)| matches!(*source, "local" | "received"));
    let above = std::iter::successors(Some(dataset.clone()), Dataset::parent);
    let root = above.filter(|at| at.as_str().matches('/').count() <= 1 && is_root(at)).last();
    let root = root.ok_or_else(|| Problem::not_now(format!("`{dataset}` is not below a root of chyves")).on(dataset))?;
    let of = |name: &str| values.get(&(name, "mountpoint")).map_or_else(|| "none".to_owned(), |(_, value)| value.clone());
    let home = home(&root, &of(root.as_str()), dataset).ok_or_else(|| {
        Problem::not_now(format!("`{dataset}` has no mount point"))
            .on(dataset)
            .hint(format!("give chyves' root one: zfs set mountpoint=/path {root}"))
    })?;
    let is = of(dataset.as_str());
    if is != home {
        return Err(misplaced(dataset, &is, &home).hint(format!("`zfs inherit mountpoint {dataset}` gives it chyves' own place")));
    }
    if values.get(&(dataset.as_str(), "canmount")).is_some_and(|(_, value)| value == "off") {
        return Err(unmountable(dataset));
    }
    let open = |key: &&&str| values.get(&(dataset.as_str(), **key)).is_some_and(|(source, value)| *source == "received" && value == "on");
    if let Some(guard) = GUARDS.iter().find(open) {
        return Err(Problem::not_now(format!("cannot mount `{dataset}`: it came with {guard}=on"))
            .on(dataset)
            .because("files in it could act on this host")
            .hint(format!("`zfs set {guard}=off {dataset}`; of a guest, `chyves adopt` does it")));
    }
    Ok(home)
}

/// The path where chyves mounts a dataset below a root; `None` if the root has no mount point.
pub fn home(root: &Dataset, mountpoint: &str, dataset: &Dataset) -> Option<String> {
    let below = dataset.as_str().strip_prefix(root.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
    let mountpoint = Some(mountpoint).filter(|path| path.starts_with('/'))?;
    Some(format!("{}{below}", mountpoint.trim_end_matches('/'))).filter(|path| !path.is_empty())
}

/// The error for a file system that ZFS does not mount.
pub fn unmountable(dataset: &Dataset) -> Problem {
    Problem::not_now(format!("`{dataset}` cannot be mounted"))
        .on(dataset)
        .because("its property canmount is off")
        .hint(format!("`zfs set canmount=noauto {dataset}` lets chyves mount it when it is needed"))
}

/// The error for a file system that a VM cannot write to.
pub fn read_only(dataset: &Dataset) -> Problem {
    Problem::not_now(format!("`{dataset}` is read-only"))
        .on(dataset)
        .because("its property readonly is on, and a VM writes to its disks and logs")
        .hint(format!("`zfs get readonly {dataset}` shows where it is set; `zfs inherit readonly {dataset}` unsets it there"))
}

/// The error for a dataset that overrides its mount point.
pub fn misplaced(dataset: &Dataset, is: &str, home: &str) -> Problem {
    Problem::not_now(format!("`{dataset}` would be mounted outside of chyves' own folders"))
        .on(dataset)
        .because(format!("its mountpoint is {}, and what it inherits is {home}", printable(is, 200)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(name: &str) -> Dataset {
        name.parse().unwrap()
    }

    #[test]
    fn what_may_come_stays_and_everything_else_is_removed() {
        let output = "recordsize\treceived\t65536\nreadonly\treceived\ton\nchyves:cpu\treceived\t2\ncompression\tlocal\tlz4\n\
            exec\treceived\ton\nsetuid\treceived\toff\ncanmount\tlocal\tnoauto\ndedup\treceived\ton\nquota\treceived\t0\n\
            keylocation\treceived\tfile:///etc/shadow\norg.freebsd:swap\treceived\ton\nmountpoint\tlocal\t/etc/cron.d\n\
            org.x:y\treceived\tone\nzoned\treceived\ton\ninvented\treceived\t1\nsharenfs\treceived\toff\nno name\treceived\tx\n";
        let came = came(output);
        let names: Vec<&str> = came.iter().map(|c| c.property.as_str()).collect();
        assert_eq!(names, ["dedup", "exec", "invented", "keylocation", "mountpoint", "org.freebsd:swap", "org.x:y", "readonly", "zoned"]);
        let cmds: Vec<String> =
            tame(&d("t/c/guests/web"), Type::FileSystem, Dialect::Fuse, &came).iter().map(ToString::to_string).collect();
        for line in [
            "zfs set canmount=noauto t/c/guests/web",
            "zfs inherit mountpoint t/c/guests/web",
            "zfs set keylocation=prompt t/c/guests/web",
            "zfs inherit invented t/c/guests/web",
            "zfs inherit org.freebsd:swap t/c/guests/web",
        ] {
            assert_eq!(cmds.iter().filter(|c| *c == line).count(), 1, "{line}: {cmds:?}");
        }
        let volume = |dialect| tame(&d("t/c/guests/web/disk0"), Type::Volume, dialect, &[]).len();
        assert_eq!((volume(Dialect::OpenZfs), volume(Dialect::Fuse)), (2, 0));
        // The received values equal the required ones: nothing has to be removed.
        assert!(super::came("volmode\treceived\tdev\nrefreservation\treceived\t0\nexec\treceived\toff\n").is_empty());
        assert_eq!(super::came("volmode\treceived\tfull\n").len(), 1);
        // What reception has overridden already is known by its received value alone.
        let hidden = overridden("setuid\ton\ndevices\toff\nexec\t-\nvolmode\tfull\nsnapdev\thidden\ncanmount\ton\n");
        let hidden: Vec<_> = hidden.iter().map(|came| (came.property.as_str(), came.value.as_str())).collect();
        assert_eq!(hidden, [("setuid", "on"), ("volmode", "full"), ("canmount", "on")]);
    }

    #[test]
    fn a_file_system_is_mounted_where_chyves_has_its_place_and_nowhere_else() {
        let rows = |mountpoint: &str, guard: &str| {
            format!(
                "t/c/guests/web\tmountpoint\treceived\t{mountpoint}\nt/c/guests/web\texec\t{guard}\nt/c/guests/web\tchyves:layout\treceived\t1\n\
                 t/c/guests\tmountpoint\tinherited from t/c\t/v/guests\nt/c/guests\tchyves:layout\tinherited from t/c\t1\n\
                 t/c\tmountpoint\tlocal\t/v\nt/c\tchyves:layout\tlocal\t1\nt\tmountpoint\tdefault\t/t\nt\tchyves:layout\t-\t-\n"
            )
        };
        let web = d("t/c/guests/web");
        assert_eq!(place(&web, &rows("/v/guests/web", "inherited from t/c\toff")).unwrap(), "/v/guests/web");
        // A host on which no guards are set yet.
        assert!(place(&web, &rows("/v/guests/web", "default\ton")).is_ok());
        for (mountpoint, guard) in [
            ("/etc/cron.d", "local\toff"),
            ("/v/guests/web2", "local\toff"),
            ("/v/guests/web/", "local\toff"),
            ("none", "local\toff"),
            ("/v/guests/web", "received\ton"),
            // A value with a line break that looks like the row of another property.
            ("/v/guests/web\nt/c/guests/web\texec\tlocal\tx/../../../../etc", "local\toff"),
            ("/v/guests/web\nt/other\texec\tlocal\tx/../../../../etc", "local\toff"),
        ] {
            assert_eq!(place(&web, &rows(mountpoint, guard)).unwrap_err().code.exit_code(), 4, "{mountpoint} {guard}");
        }
        assert!(place(&web, "").is_err());
        assert_eq!(home(&d("t"), "/", &d("t/guests")).as_deref(), Some("/guests"));
        assert_eq!(home(&d("t/c"), "none", &web), None);
        assert_eq!(home(&d("t/c2"), "/v", &web), None);
    }
}
