//! What a case of the fault matrix compares: what is on the pools, named by the command or not, without what differs from run
//! to run; and in words, where two differ.

use super::look::marks;
use super::matrix::{Case, OTHERS};
use super::{Host, Tree};
use std::collections::{BTreeMap, BTreeSet};

/// What is written only to tell when or by whom, and differs from run to run.
const FLEETING: [&str; 6] = ["uuid", "created", "deleted", "snapshot.taken", "cloned_from", "image.added"];

/// Names, and what there is to tell of each.
pub(super) type Shape = BTreeMap<String, BTreeSet<String>>;

/// What is on the pools.
pub(super) struct Look {
    /// Of those that no command names, everything.
    pub(super) others: Shape,
    /// Of the rest, what does not differ from run to run.
    pub(super) named: Shape,
}

/// Looks at everything once.
pub(super) fn look(host: &Host, case: &Case) -> Look {
    let second = format!("{}b", host.pool);
    let pools: &[&str] = if case.other { &[&host.pool, &second] } else { &[&host.pool] };
    let tree = host.tree_of(pools);
    if tree.values().any(is_volume) {
        host.devices_settle();
    }
    Look { others: bystanders(host, &tree), named: shape(host, case, &tree) }
}

type Values = BTreeMap<String, String>;

fn is_bystander(name: &str) -> bool {
    OTHERS.iter().any(|o| name.split(['/', '@']).any(|part| part == *o))
}

fn is_volume(values: &Values) -> bool {
    values["type"].ends_with("volume")
}

/// Whether files can lie in it.
fn has_files(values: &Values) -> bool {
    values["type"].ends_with("filesystem") && values["mountpoint"].contains('/')
}

/// Everything of those that are not named: GUIDs, properties, snapshots, and the content of their disks and files.
fn bystanders(host: &Host, tree: &Tree) -> Shape {
    let mut shape = Shape::new();
    for (name, values) in tree.iter().filter(|(name, _)| is_bystander(name) || name.contains("/images/small")) {
        let mut told: BTreeSet<String> = values
            .iter()
            .filter(|(key, value)| {
                // What the pool itself is told shows in all that is on it.
                let inherited = key.starts_with("chyves:") && value.starts_with("inherited");
                // The clones of an image are read with the image, if the ZFS reports them.
                let of_image = name.contains("/images/") && ["mounted", "origin", "clones"].contains(&key.as_str());
                !inherited && !of_image
            })
            .map(|(key, value)| format!("{key} {value}"))
            .collect();
        if is_bystander(name) && has_files(values) {
            told.extend(in_files(host, name, values, marks).into_iter().map(|(file, mark)| format!("file {file}: {mark:x}")));
        }
        told.extend(content(host, name, values));
        shape.insert(name.clone(), told);
    }
    shape
}

/// Names, settings and contents of what is on the pool, without what differs from run to run.
fn shape(host: &Host, case: &Case, tree: &Tree) -> Shape {
    let mut shape = Shape::new();
    for (name, values) in tree.iter().filter(|(name, _)| !is_bystander(name)) {
        let mut told: BTreeSet<String> = values
            .iter()
            .filter_map(|(key, value)| key.strip_prefix("chyves:").map(|k| (k, value)))
            .filter(|(_, value)| value.starts_with("local") || value.starts_with("received"))
            // That a setting came with a stream matters for whose the guest is, and for nothing else.
            .map(|(key, value)| (key, value.split_once(": ").map_or(value.as_str(), |(_, value)| value)))
            .map(|(key, value)| if FLEETING.contains(&key) { key.to_owned() } else { format!("{key}={}", plain(value)) })
            .collect();
        for native in ["origin", "readonly", "canmount", "mounted", "recordsize", "volsize", "volmode"] {
            let of_image = name.contains("/images/") && native == "mounted";
            told.extend(values.get(native).filter(|_| !of_image).map(|value| format!("{native}: {}", plain(value))));
        }
        // Onto a received guest that was looked into nothing more can be received.
        let received = values.get("chyves:uuid").is_some_and(|v| v.starts_with("received"));
        if has_files(values) && !received && (name.contains("/guests/") || name.contains("/trash/")) {
            told.extend(contents(host, name, values));
        }
        told.extend(content(host, name, values));
        // What lies in the trash has an identity for a name; its disks and snapshots inherit what it was called.
        let label = values.get("chyves:name").filter(|_| name.contains("/trash/")).and_then(|n| n.rsplit_once(": "));
        shape.insert(format!("{} {}", plain(name), label.map_or("", |(_, was)| was)).trim_end().to_owned(), told);
    }
    if case.networks {
        let told = host.sh("ip", &["-br", "link"]);
        shape.insert("interfaces".to_owned(), told.lines().filter_map(|l| l.split(' ').next()).map(str::to_owned).collect());
    }
    shape
}

/// Marks of the files of a guest, and the lines of the copy of its settings.
fn contents(host: &Host, dataset: &str, values: &Values) -> Vec<String> {
    let (marks, copy) =
        in_files(host, dataset, values, |folder| (marks(folder), std::fs::read_to_string(folder.join("config.toml")).unwrap_or_default()));
    let lasting = |line: &&str| !FLEETING.iter().any(|f| line.starts_with(&format!("\"{f}\"")));
    let files = marks.iter().filter(|(name, _)| *name != "config.toml").map(|(name, mark)| format!("file {}: {mark:x}", plain(name)));
    files.chain(copy.lines().filter(lasting).map(|l| format!("copy: {l}"))).collect()
}

/// Runs `work` on the folder of a file system of which these values were read.
fn in_files<T>(host: &Host, dataset: &str, values: &Values, work: impl FnOnce(&std::path::Path) -> T) -> T {
    let value = |key: &str| values[key].split_once(": ").unwrap().1;
    host.in_mounted(dataset, value("mounted") == "yes", value("mountpoint"), work)
}

/// A mark of what stands in a volume.
fn content(host: &Host, name: &str, values: &Values) -> Option<String> {
    let size = is_volume(values).then(|| values["volsize"].split_once(": ").unwrap().1.parse().unwrap())?;
    Some(format!("content: {:x}", host.volume_mark(name, size)))
}

/// A name without random words and times.
fn plain(name: &str) -> String {
    let part = |p: &str| {
        let hexes = p.chars().filter(char::is_ascii_hexdigit).count();
        match p.split_once('-') {
            Some(("uefi", rest)) if rest.starts_with("vars-") => "uefi-vars-…".to_owned(),
            _ if p.len() >= 36 && hexes >= 32 => "IDENTITY".to_owned(),
            Some((
                front @ ("clone" | "before" | "chyves" | "rollback" | "importing" | "send" | "move" | "receiving" | "disk" | "upgrade"),
                _,
            )) => {
                format!("{front}-…")
            }
            _ => p.to_owned(),
        }
    };
    let parts: Vec<String> = name.split('/').map(|p| p.split('@').map(part).collect::<Vec<_>>().join("@")).collect();
    parts.join("/")
}

/// What one has and the other lacks.
pub(super) fn difference(old: &Shape, now: &Shape) -> Vec<String> {
    let lines =
        |s: &Shape| s.iter().flat_map(|(n, v)| v.iter().map(move |v| format!("{n} {v}")).chain([n.clone()])).collect::<BTreeSet<_>>();
    let (old, now) = (lines(old), lines(now));
    old.difference(&now).map(|l| format!("- {l}")).chain(now.difference(&old).map(|l| format!("+ {l}"))).collect()
}
