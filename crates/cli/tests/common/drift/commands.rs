//! The commands that are run where a fact has changed: on a guest that is off, on one that runs, on networks. None of them is asked
//! to lose anything.

use super::Host;

/// On a guest that is off. `OTHER` stands for a second pool.
pub const OFF: [&str; 45] = [
    "info GUEST",
    "list",
    "get GUEST all",
    "disk list GUEST",
    "snapshot list GUEST",
    "cloud-init status GUEST",
    "cloud-init show GUEST",
    "trash list",
    "doctor",
    "repair",
    "reclaim",
    "start GUEST --dry-run",
    "create GUEST --size 1M",
    "undelete GUEST",
    "promote GUEST",
    "stop GUEST",
    "reset GUEST",
    "eject GUEST",
    "insert GUEST small",
    "send GUEST@base",
    "snapshot diff GUEST@base",
    "adopt GUEST",
    "set GUEST notes=x",
    "unset GUEST notes",
    "set GUEST template=yes",
    "disk set GUEST disk1 description=x",
    "network add GUEST",
    "network remove GUEST net0",
    "cloud-init reinit GUEST",
    "disk sync GUEST",
    "disk add GUEST 1M --kind raw",
    "disk resize GUEST disk1 2M",
    "disk resize GUEST disk1 1536K",
    "disk move GUEST disk1 disk7",
    "disk remove GUEST disk1",
    "firmware reset GUEST",
    "snapshot GUEST@more",
    "snapshot rollback GUEST@base",
    "snapshot rollback GUEST@base --keep-settings",
    "snapshot delete GUEST@base",
    "clone GUEST GUEST-c",
    "clone GUEST@base GUEST-c -i",
    "move GUEST --pool OTHER",
    "rename GUEST GUEST-r",
    "delete GUEST",
];

/// On a guest that runs; what ends it comes last.
pub const RUNNING: [&str; 40] = [
    "info GUEST",
    "list",
    "get GUEST all",
    "disk list GUEST",
    "snapshot list GUEST",
    "cloud-init status GUEST",
    "doctor",
    "repair",
    "reclaim",
    "start GUEST",
    "start GUEST --dry-run",
    "eject GUEST",
    "insert GUEST disc",
    "send GUEST@base",
    "snapshot diff GUEST@base",
    "snapshot rollback GUEST@base",
    "adopt GUEST",
    "promote GUEST",
    "rename GUEST GUEST-r",
    "delete GUEST",
    "firmware reset GUEST",
    "disk move GUEST disk1 disk7",
    "disk remove GUEST disk1",
    "network check",
    "network apply",
    "set GUEST notes=x",
    "unset GUEST notes",
    "disk set GUEST disk1 description=x",
    "disk sync GUEST",
    "disk add GUEST 1M --kind raw",
    "disk resize GUEST disk1 1536K",
    "disk resize GUEST disk1 8M",
    "network add GUEST",
    "network remove GUEST net0",
    "cloud-init reinit GUEST",
    "snapshot GUEST@more",
    "snapshot delete GUEST@base",
    "clone GUEST GUEST-c",
    "reset GUEST",
    "stop GUEST --now",
];

/// On networks.
pub const NETWORKS: [&str; 15] = [
    "network list",
    "network check",
    "network plan",
    "network nat",
    "network apply",
    "network confirm",
    "network lan detach",
    "network lan delete",
    "network lan private",
    "network lan set mtu=1400",
    "network lan attach em0",
    "network lan attach em1",
    "network lan migrate other",
    "network default lan",
    "reclaim",
];

/// Verbs that are tried with no changed fact, and why.
const NOT_TRIED: [(&str, &str); 35] = [
    ("completions", "reads nothing of the host"),
    ("version", "reads nothing of the host"),
    ("help", "reads nothing of the host"),
    ("dev", "for developers: reads, and changes nothing"),
    ("console", "attaches to what runs; consoles.rs and hostile_files.rs"),
    ("receive", "makes a guest of a stream, and refuses a name that is taken; volumes_streams.rs"),
    ("cloud-init set", "writes files of the user's own, of which nothing is recorded"),
    ("network move", "of NICs; network_guests.rs"),
    ("network join", "the same by the name of a tap"),
    ("network unjoin", "the same by the name of a tap"),
    ("trash empty", "is asked to destroy"),
    ("iso", "stands for `image`"),
    ("image import", "makes an image"),
    ("image fetch", "makes an image"),
    ("image catalogue", "is about tables of images that can be fetched"),
    ("image list", "is about images; drift_images.rs"),
    ("image info", "is about images; drift_images.rs"),
    ("image verify", "is about images; drift_images.rs"),
    ("image rename", "is about images; drift_images.rs"),
    ("image delete", "is asked to destroy"),
    ("firmware import", "makes an image"),
    ("firmware fetch", "makes an image"),
    ("firmware catalogue", "is about tables of images that can be fetched"),
    ("firmware list", "stands for `image list`"),
    ("firmware info", "stands for `image info`"),
    ("firmware verify", "stands for `image verify`"),
    ("firmware rename", "stands for `image rename`"),
    ("firmware delete", "is asked to destroy"),
    ("pool init", "makes a pool"),
    ("pool list", "pools.rs"),
    ("pool offline", "changes roles of pools; pools.rs"),
    ("pool online", "changes roles of pools; pools.rs"),
    ("pool promote", "changes roles of pools; pools.rs"),
    ("pool upgrade", "changes the layout of pools; pools.rs"),
    ("pool remove", "refuses where there are guests; pools.rs"),
];

/// The words below `Commands:` in a help.
fn listed(host: &Host, noun: &str) -> Vec<String> {
    let help = host.ok(&format!("help {noun}")).out;
    let lines = help.lines().skip_while(|l| !l.starts_with("Commands:")).skip(1).take_while(|l| !l.is_empty());
    // What is indented further goes on with the line before.
    let word = |l: &str| l.strip_prefix("  ").filter(|l| !l.starts_with(' '))?.split(' ').next().map(str::to_owned);
    lines.filter_map(word).filter(|word| noun.is_empty() || word != "help").collect()
}

/// Every verb of the command line, with its noun where it has one, must be tried or have its reason why not.
pub fn are_whole(host: &Host) {
    let lines: Vec<Vec<&str>> = OFF.into_iter().chain(RUNNING).chain(NETWORKS).map(|l| l.split(' ').collect()).collect();
    // The usual verb of these nouns may be left out, and a guest or a bridge stand before it.
    let is_tried = |noun: &str, verb: &str| {
        let usual = [("snapshot", "create")].contains(&(noun, verb));
        lines.iter().any(|l| l[0] == noun && (usual || l[1..].iter().take(2).any(|word| *word == verb)))
    };
    let has_reason = |verb: &str| NOT_TRIED.iter().any(|(known, _)| *known == verb);
    let mut missing = Vec::new();
    for verb in listed(host, "") {
        let below = if has_reason(&verb) { Vec::new() } else { listed(host, &verb) };
        if below.is_empty() && !has_reason(&verb) && !lines.iter().any(|l| l[0] == verb) {
            missing.push(verb.clone());
        }
        let below = below.into_iter().filter(|below| !is_tried(&verb, below)).map(|below| format!("{verb} {below}"));
        missing.extend(below.filter(|both| !has_reason(both)));
    }
    assert!(missing.is_empty(), "no changed fact is tried with {missing:?}: add a row in common/drift/commands.rs, or a reason");
}
