//! The files that are attacked, and the commands that are run then.
//!
//! A command is in the order verb, guest. `!` before it: it needs the file, so that its outcome is that of [`Use::outcome`]. `#` is
//! a number that no other command has. What follows `; ` undoes the command where it succeeded. Without an attack all of them
//! succeed.

use super::attack::Use;
use std::fs;
use std::path::Path;

/// A file, and the commands that touch it.
pub struct Row {
    pub path: &'static str,
    pub is: Use,
    /// Whether the test makes it, since no command that was run before does.
    pub is_made: bool,
    pub commands: &'static [&'static str],
}

const fn row(path: &'static str, is: Use, commands: &'static [&'static str]) -> Row {
    Row { path, is, is_made: false, commands }
}

const fn made(path: &'static str, is: Use, commands: &'static [&'static str]) -> Row {
    Row { path, is, is_made: true, commands }
}

const SHOW: &str = "!cloud-init show web";

/// Below the guest `web`, which has a disk, UEFI firmware and cloud-init.
pub const GUEST: &[Row] = &[
    row(
        "config.toml",
        Use::Text,
        &[
            "!set web description=x#",
            "!network add web net1.backend=user; network remove web net1",
            "!disk set web disk0 description=x#",
            "repair",
            "info web",
            "cloud-init show web",
        ],
    ),
    row("config.toml.new", Use::Name, &["set web description=x#"]),
    row(
        "disk0.raw",
        Use::Disk,
        &[
            "!start web -n",
            "!start web",
            "!disk resize web disk0 3M; disk resize web disk0 2M --force",
            "disk sync web",
            "disk list web",
            "info web",
            "list -v",
            "doctor",
            "snapshot create web@turn#; snapshot delete web@turn# --yes",
            "snapshot diff web@first",
            "send web@first",
        ],
    ),
    row("disk1.raw", Use::Name, &["disk add web --size 1M --number 1 --kind raw; disk remove web disk1 --yes"]),
    row("uefi-vars.fd", Use::Variables, &["!start web", "firmware reset web"]),
    row("uefi-vars.fd.new", Use::Name, &["firmware reset web"]),
    made("uefi-vars-20260101000000-abcdef.fd", Use::Name, &["firmware reset web", "snapshot diff web@first"]),
    row("logs", Use::Folder, &["!start web", "info web"]),
    row("cloud-init", Use::Folder, &[SHOW, "!start web", "!cloud-init set web --user-data ./user-data", "cloud-init status web"]),
    row("cloud-init/user-data", Use::Text, &[SHOW, "!start web", "!cloud-init set web --user-data ./user-data", "cloud-init status web"]),
    made("cloud-init/vendor-data", Use::Text, &[SHOW, "!cloud-init set web --vendor-data ./user-data"]),
    made("cloud-init/network-config", Use::Text, &[SHOW]),
    row("cloud-init/password", Use::Secret, &[SHOW]),
    row("cloud-init/authorized_keys", Use::Parsed, &[SHOW, "cloud-init reinit web"]),
];

/// Below the image `small`.
pub const IMAGE: &[Row] = &[row("disk0.raw", Use::Image, &["!image verify small", "image info small", "image list"])];

/// Below the firmware `fw`, which the guest `web` boots with; it has no variables yet.
pub const FIRMWARE: &[Row] = &[
    row("image.fd", Use::Image, &["!image verify fw", "image info fw", "!start web"]),
    row("vars.fd", Use::Image, &["!image verify fw", "!start web"]),
];

/// Below the guest `web` that grub-bhyve loads by files of its own.
pub const LOADER: &[Row] =
    &[row("device.map", Use::Parsed, &["!start web", "info web"]), row("grub.cfg", Use::Parsed, &["!start web", "info web"])];

/// What is done to the guest `G` whose files were replaced while it was off, everything for real. `zfs ` begins a line for ZFS,
/// ` > FILE` and ` < FILE` are a stream. At `other` a file is compared that is another name of those.
pub const LIFE: &[&str] = &[
    "disk set G disk0 description=x",
    "disk move G disk0 disk4",
    "disk move G disk4 disk0",
    "disk add G --size 1M",
    "disk resize G disk0 3M",
    "network add G net1.backend=user",
    "network set G net1 model=e1000",
    "network remove G net1",
    "cloud-init set G --user-data ./user-data",
    "cloud-init reinit G",
    "firmware reset G",
    "set G notes=x",
    "unset G notes",
    "get G all",
    "info G",
    "snapshot create G@now",
    "snapshot list G",
    "snapshot diff G@now",
    "clone G@now G-linked",
    "promote G-linked",
    "promote G",
    "clone G@now G-full --independent",
    "rename G-full G-renamed",
    "move G-renamed --pool OTHER",
    "send G@now > G.whole",
    "receive --name G-copy < G.whole",
    "snapshot create G@more",
    "send G@more --from @now > G.more",
    "receive --name G-copy < G.more",
    "adopt G-copy --new-identity --trust",
    "start G -n",
    "start G",
    "stop G --now",
    "zfs inherit chyves:owner G",
    "adopt G --trust",
    "other",
    "disk remove G disk0 --yes",
    "undelete G:disk0",
    "delete G-linked --yes",
    "trash empty G-linked --yes",
    "snapshot delete G@more --yes",
    "snapshot rollback G@first --yes",
    "delete G --now --yes",
    "trash list",
    "undelete G",
    "delete G --yes",
    "trash empty G --yes",
];

/// The same of the image `G` that somebody else has made.
pub const IMAGE_LIFE: &[&str] = &[
    "image list",
    "image info G",
    "image verify G",
    "create G-linked --image G --ram 64M",
    "create G-full --image G --full --ram 64M",
    "set G-linked notes=x",
    "start G-linked",
    "stop G-linked --now",
    "snapshot create G-full@now",
    "image rename G G-other",
    "delete G-linked --yes",
    "delete G-full --yes",
    "trash empty G-linked --yes",
    "trash empty G-full --yes",
    "image delete G-other --yes",
];

/// Below the guest `web01`, which runs: what is written while it does.
pub const LOGS: [&str; 4] = ["logs/console.log", "logs/console.log.1", "logs/hypervisor.log", "logs/hypervisor.log.1"];

/// What is done to it.
pub const RUN: &[&str] = &["start web01", "console web01", "stop web01 --now"];

/// What is done to a running guest with an ISO whose file was replaced.
pub const DRIVE: &[&str] = &["insert web01 disc cd0", "eject web01 cd0"];

/// The files below a guest's folder that no row names: they are attacked by nothing.
pub fn unlisted(root: &Path) -> Vec<String> {
    let mut unlisted = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            }
            // Former variables have the time in their names.
            let is_listed = GUEST.iter().any(|row| row.path == name) || LOGS.contains(&name.as_str()) || name.starts_with("uefi-vars-2");
            if !is_listed {
                unlisted.push(name);
            }
        }
    }
    unlisted
}
