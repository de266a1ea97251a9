//! What ZFS itself is told about the datasets of guests and images, so that nothing in them acts on the host, and what of it
//! may come from another host: a list of what may, since each release of ZFS knows more properties than the one before.
//!
//! Not here: settings of chyves that reach the host (`guest::trust`), what is among the files (chyves-host `apply::inspect`).

use super::Dialect;
use super::args::Pair;
use crate::cmd::Cmd;
use crate::error::{Problem, Result};
use crate::property::settings::key_of;
use crate::value::{Dataset, printable};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a stream may not bring: where and how another host mounts and shares.
pub const FOREIGN: [&str; 3] = ["mountpoint", "sharenfs", "sharesmb"];

/// What keeps files in guests' and images' file systems from acting on the host: no set-user-ID bit has an effect there, no
/// device node opens a device, and nothing is executed.
pub const GUARDS: [&str; 3] = ["setuid", "devices", "exec"];

/// The same for volumes: the host reads no partition table in one, and its snapshots are no devices. zfs-fuse knows neither.
const VOLUME_GUARDS: [(&str, &str); 2] = [("volmode", "dev"), ("snapdev", "hidden")];

/// What may come: how the data itself is laid out, and what ZFS never changes again.
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

/// What acts on a host by itself wherever it was set, so that it is not left to the owner of a pool that was imported either.
const ACTS: [&str; 10] = ["canmount", "devices", "exec", "jailed", "mountpoint", "setuid", "sharenfs", "sharesmb", "volmode", "zoned"];

/// What `zfs inherit` does not remove; it is set to this.
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

/// The guards as properties to set.
pub fn guards() -> impl Iterator<Item = Pair> {
    GUARDS.into_iter().map(|key| (key.to_owned(), "off".to_owned()))
}

/// Lists the file systems below some datasets with their guards.
pub fn list(roots: &[Dataset]) -> Cmd {
    let columns = format!("name,{}", GUARDS.join(","));
    Cmd::new("zfs", ["list", "-H", "-r", "-t", "filesystem", "-o", columns.as_str()]).args(roots.iter().map(Dataset::as_str))
}

/// The file systems that lack a guard, from the output of [`list`], each with what it lacks. The roots themselves hold no files of
/// guests.
pub fn unguarded(output: &str, roots: &[Dataset]) -> Vec<(String, Vec<&'static str>)> {
    let row = |line: &str| {
        let mut columns = line.split('\t');
        let name = columns.next().filter(|name| !roots.iter().any(|root| root.as_str() == *name))?;
        let lacks: Vec<&'static str> = GUARDS.into_iter().zip(columns).filter(|(_, value)| *value == "on").map(|(key, _)| key).collect();
        (!lacks.is_empty()).then(|| (name.to_owned(), lacks))
    };
    output.lines().filter_map(row).collect()
}

fn fixed(property: &str) -> Option<&'static str> {
    let set = SET_ONLY.iter().chain(&VOLUME_GUARDS).find(|(key, _)| *key == property).map(|(_, value)| *value);
    set.or_else(|| GUARDS.contains(&property).then_some("off"))
}

/// What a dataset is to ZFS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Type {
    /// A file system.
    FileSystem,
    /// A volume.
    Volume,
}

/// A native property, or another program's user property, that came with a dataset and may not stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Came {
    /// Its name.
    pub property: String,
    /// Its value.
    pub value: String,
}

impl Came {
    /// What it is from now on, in words.
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

/// Reads every property that is set on a dataset itself.
pub fn read(dataset: &Dataset) -> Cmd {
    Cmd::new("zfs", ["get", "-H", "-s", "local,received", "-o", "property,source,value", "all"]).arg(dataset.as_str())
}

/// What of it may not stay, from the output of [`read`].
pub fn came(output: &str) -> Vec<Came> {
    let row = |line: &str| {
        let [property, source, value] = line.splitn(3, '\t').collect::<Vec<_>>().try_into().ok()?;
        // A value may hold a newline; what follows it is taken for a property only where it is a name of one.
        let is_name = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b":_@.+-".contains(&b));
        let stays = key_of(property).is_some() || MAY_COME.contains(&property) || fixed(property).is_some_and(|is| is_same(is, value));
        let counts = source == "received" || (source == "local" && ACTS.contains(&property));
        (counts && !stays && is_name(property)).then(|| Came { property: property.to_owned(), value: value.to_owned() })
    };
    let all: BTreeMap<String, Came> = output.lines().filter_map(row).map(|came| (came.property.clone(), came)).collect();
    all.into_values().filter(|came| !(matches!(came.property.as_str(), "sharenfs" | "sharesmb") && came.value == "off")).collect()
}

/// Nothing has more than one spelling but these.
fn is_same(fixed: &str, value: &str) -> bool {
    fixed == value || (fixed == "none" && value == "0") || (fixed == "prompt" && value == "none")
}

/// Makes sure that a dataset is mounted by chyves alone, below the root, and guarded, and that what came with it and may not
/// stay is gone. Local values, since those of a later stream don't replace them.
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

/// What `zfs receive` is told so that there is no moment in which a received dataset is without its guards. zfs-fuse takes no
/// properties there.
pub fn received_with() -> Vec<String> {
    let off = GUARDS.iter().map(|key| format!("{key}=off"));
    let volumes = VOLUME_GUARDS.iter().map(|(key, value)| format!("{key}={value}"));
    let set = ["canmount=noauto".to_owned()].into_iter().chain(off).chain(volumes).flat_map(|pair| ["-o".to_owned(), pair]);
    set.chain(FOREIGN.iter().flat_map(|key| ["-x".to_owned(), (*key).to_owned()])).collect()
}

/// Reads where a file system would be mounted and how, and which of the datasets above it is chyves' root.
pub fn read_place(dataset: &Dataset) -> Cmd {
    let above = std::iter::successors(Some(dataset.clone()), Dataset::parent);
    let names: Vec<String> = above.map(|d| d.to_string()).collect();
    Cmd::new("zfs", ["get", "-H", "-p", "-o", "name,property,source,value", "mountpoint,setuid,devices,exec,chyves:layout"]).args(names)
}

/// Where a file system is mounted, from the output of [`read_place`].
///
/// # Errors
/// It may not be mounted: its mount point is not the one that it inherits from chyves' root, or set-user-ID bits, devices or
/// programs in it would have an effect on the host because whoever sent it said so.
pub fn place(dataset: &Dataset, output: &str) -> Result<String> {
    let mut values: BTreeMap<(&str, &str), (&str, &str)> = BTreeMap::new();
    for line in output.lines() {
        if let [name, property, source, value] = line.splitn(4, '\t').collect::<Vec<_>>()[..] {
            values.entry((name, property)).or_insert((source, value));
        }
    }
    // As roots are found: a pool, or a dataset directly below one.
    let is_root =
        |at: &Dataset| values.get(&(at.as_str(), "chyves:layout")).is_some_and(|(source, _)| matches!(*source, "local" | "received"));
    let above = std::iter::successors(Some(dataset.clone()), Dataset::parent);
    let root = above.filter(|at| at.as_str().matches('/').count() <= 1 && is_root(at)).last();
    let root = root.ok_or_else(|| Problem::not_now(format!("`{dataset}` is not below a root of chyves")).on(dataset))?;
    let of = |name: &str| values.get(&(name, "mountpoint")).map_or("none", |(_, value)| *value);
    let home = home(&root, of(root.as_str()), dataset).ok_or_else(|| {
        Problem::not_now(format!("`{dataset}` has no mount point"))
            .on(dataset)
            .hint(format!("give chyves' root one: zfs set mountpoint=/path {root}"))
    })?;
    let is = of(dataset.as_str());
    if is != home {
        return Err(misplaced(dataset, is, &home).hint(format!("`zfs inherit mountpoint {dataset}` gives it chyves' own place")));
    }
    let open = |key: &&&str| values.get(&(dataset.as_str(), **key)).is_some_and(|(source, value)| *source == "received" && *value == "on");
    if let Some(guard) = GUARDS.iter().find(open) {
        return Err(Problem::not_now(format!("cannot mount `{dataset}`: it came with {guard}=on"))
            .on(dataset)
            .because("files in it could act on this host")
            .hint(format!("`zfs set {guard}=off {dataset}`; of a guest, `chyves adopt` does it")));
    }
    Ok(home)
}

/// Where a dataset below a root is mounted by chyves; none where the root has no mount point.
pub fn home(root: &Dataset, mountpoint: &str, dataset: &Dataset) -> Option<String> {
    let below = dataset.as_str().strip_prefix(root.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
    let mountpoint = Some(mountpoint).filter(|path| path.starts_with('/'))?;
    Some(format!("{}{below}", mountpoint.trim_end_matches('/'))).filter(|path| !path.is_empty())
}

/// A dataset that says by itself where it is to be mounted.
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
        // It came as what it is to be: nothing to remove.
        assert!(super::came("volmode\treceived\tdev\nrefreservation\treceived\t0\nexec\treceived\toff\n").is_empty());
        assert_eq!(super::came("volmode\treceived\tfull\n").len(), 1);
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
        // A host that has set no guards yet.
        assert!(place(&web, &rows("/v/guests/web", "default\ton")).is_ok());
        for (mountpoint, guard) in [
            ("/etc/cron.d", "local\toff"),
            ("/v/guests/web2", "local\toff"),
            ("/v/guests/web/", "local\toff"),
            ("none", "local\toff"),
            ("/v/guests/web", "received\ton"),
        ] {
            assert_eq!(place(&web, &rows(mountpoint, guard)).unwrap_err().code.exit_code(), 4, "{mountpoint} {guard}");
        }
        assert!(place(&web, "").is_err());
        assert_eq!(home(&d("t"), "/", &d("t/guests")).as_deref(), Some("/guests"));
        assert_eq!(home(&d("t/c"), "none", &web), None);
        assert_eq!(home(&d("t/c2"), "/v", &web), None);
    }
}
