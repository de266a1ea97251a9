//! Files and devices that a guest opens: they must exist, be of the right kind, be writable, and not be in use by others.
//! bhyve locks no files, and silently opens read-only what it cannot write.

use super::{Finding, Need, WantedPath, Wants};
use crate::console::terminal;
use crate::os::HostFacts;
use crate::os::state::{FileKind, FileSeen};
use crate::value::printable;
use crate::vmm::Vmm;

/// The findings for a start.
pub(super) fn start(host: &HostFacts, wants: &Wants) -> Vec<Finding> {
    wants.paths.iter().filter_map(|wanted| one(host, wanted)).chain(ports(host, wants)).collect()
}

/// Terminal devices that another guest's serial port uses already. The kernel does not report this: any number of processes
/// may open one, and each reads part of the input.
fn ports(host: &HostFacts, wants: &Wants) -> Vec<Finding> {
    let guest = &wants.guest;
    let taken = wants.ports.iter().filter_map(|(key, device)| {
        let user = host.state.given.get(device).filter(|user| user.as_str() != guest.as_str())?;
        let number = key.trim_start_matches("com");
        let finding = Finding::fails(key, format!("{key} of `{guest}` cannot be at {}: `{user}` is there", printable(device, 300)));
        let own = terminal(guest, number);
        Some(finding.cure(format!("`chyves set {guest} {key}={own}` gives it a terminal of its own; or `chyves stop {user}`")))
    });
    taken.collect()
}

/// The hint for a missing file or device, derived from its description: ``disk 1 of `web` ``, ``pcidev_0 of `web` ``.
pub fn gone(what: &str) -> String {
    let Some((thing, guest)) = what.strip_suffix('`').and_then(|what| what.split_once(" of `")) else {
        return "find it in a snapshot: `chyves snapshot list`".to_owned();
    };
    if let Some(number) = thing.strip_prefix("attached disk ") {
        return format!(
            "it is part of no snapshot: connect or mount what it is on; or remove it from the guest: `chyves disk remove {guest} disk{number} --lost`"
        );
    }
    if let Some(number) = thing.strip_prefix("disk ") {
        return format!(
            "`chyves disk sync {guest} disk{number}` records it if it is there as another kind; or find it in a snapshot: \
             `chyves snapshot list {guest}`; or, if it is lost, detach it: `chyves disk remove {guest} disk{number} --lost`"
        );
    }
    if OWN_GRUB.contains(&thing) {
        return format!(
            "with os=custom the guest boots by a device.map and a grub.cfg of your own: mount its file system by `zfs mount` and put \
             them there; or take another recipe: `chyves set {guest} os=OS`"
        );
    }
    format!("put it there; or detach it from the guest: `chyves unset {guest} {thing}`")
}

/// The hint for an existing file that must not be opened.
fn refused(why: &str, shown: &str) -> String {
    if why.contains("hard link") {
        return format!("give the guest a file of its own: cp {shown} {shown}.own, then mv {shown}.own {shown}");
    }
    "end its other use: `mount`, `lsblk` and `zpool status` show it; or attach another disk".to_owned()
}

/// Why a file or device cannot be the far end of a serial port, in [`crate::os::HostState::refused`].
pub const NO_TERMINAL: &str = "it is no terminal";

/// The hint for a serial port whose far end is no terminal.
pub fn no_terminal(what: &str) -> String {
    let unset =
        what.strip_suffix('`').and_then(|what| what.split_once(" of `")).map(|(key, guest)| format!("; or `chyves unset {guest} {key}`"));
    format!("name a terminal device, such as /dev/ttyS0, or an address: tcp=127.0.0.1:5555{}", unset.unwrap_or_default())
}

/// The user's own files with which grub-bhyve boots a guest with os=custom.
pub const OWN_GRUB: [&str; 2] = ["device.map", "grub.cfg"];

fn one(host: &HostFacts, wanted: &WantedPath) -> Option<Finding> {
    let WantedPath { path, what, need } = wanted;
    let path = &path.to_string();
    let shown = printable(path, 300);
    let fails = |why: &str, cure: String| Some(Finding::fails(what, format!("{what} cannot be used: `{shown}` {why}")).cure(cure));
    let seen = host.state.files.get(path)?;
    let sort = match (need, seen) {
        (Need::Absent, None) => return None,
        (Need::Absent, Some(_)) => return fails("already exists, and bhyve creates it itself", format!("if nothing uses it: rm {shown}")),
        (Need::Netmap | Need::Package(_), Some(_)) | (Need::Any, _) => return None,
        (Need::Package(package), None) => {
            let cause = format!("{what} needs {package}, which is not installed (there is no {shown})");
            return Some(Finding::fails(what, cause).cure(format!("pkg install {package}")));
        }
        (Need::Netmap, None) => {
            let cure = "boot a kernel with `device netmap`, as GENERIC is on amd64 and arm64; or attach the NIC to a bridge";
            return Some(Finding::fails(what, format!("{what} needs netmap, and there is no {shown}")).cure(cure));
        }
        (Need::Socket, Some(FileSeen { kind: FileKind::Other, .. })) => return None,
        (Need::Socket, Some(_)) => return fails("is not a socket", "name the socket that swtpm listens on".into()),
        (Need::Socket, None) => {
            let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
            let run = format!("swtpm socket --tpm2 --tpmstate dir={folder} --ctrl type=unixio,path={shown}");
            return fails("is not there, and nobody listens", format!("run it first: {run}"));
        }
        (Need::Read | Need::Content | Need::Terminal | Need::Write | Need::Folder, None) => {
            return fails("is not there", gone(what));
        }
        (Need::Folder, Some(FileSeen { kind: FileKind::Folder, .. })) => return None,
        (Need::Folder, Some(_)) => return fails("is not a folder", "name a folder".into()),
        (Need::Content, Some(seen)) if seen.kind != FileKind::File => return fails("is not a regular file", "name a file".into()),
        (Need::Terminal, Some(_)) if host.state.refused.get(path).is_some_and(|why| why == NO_TERMINAL) => {
            return fails("is no terminal", no_terminal(what));
        }
        (Need::Read | Need::Content | Need::Terminal | Need::Write, Some(seen)) => seen,
    };
    match sort.kind {
        FileKind::File | FileKind::Device => {}
        FileKind::Folder => return fails("is a folder", "name a file or a device".into()),
        FileKind::Link => {
            return fails(
                "is a symbolic link, and links in a guest's folder are not followed",
                "put the file itself there; or remove the disk and attach what the link names: `chyves disk add GUEST --attach PATH`"
                    .into(),
            );
        }
        FileKind::Other => return fails("is neither a file nor a device", "name a file or a device".into()),
    }
    if let Some(why) = host.state.refused.get(path) {
        return fails(&format!("is refused: {why}"), refused(why, &shown));
    }
    if matches!(need, Need::Read | Need::Content | Need::Terminal) {
        return None;
    }
    if !sort.writable {
        return fails(
            match host.vmm {
                Vmm::Bhyve => "cannot be written, and bhyve would silently open it read-only",
                Vmm::Qemu => "cannot be written",
            },
            "make it writable, or set the option `ro`".into(),
        );
    }
    let holders = host.state.holders.get(path).map(Vec::as_slice).unwrap_or_default();
    if holders.is_empty() {
        return None;
    }
    let names: Vec<String> = holders.iter().map(ToString::to_string).collect();
    fails(&format!("is held open by {}", names.join(", ")), "stop that first: two writers destroy a disk".into())
}
