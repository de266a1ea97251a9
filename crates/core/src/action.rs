//! One thing done to the host. An action is the only source of its words, its commands and what takes it back: the dry
//! run prints them, the host runs them, and both are this same value.
//!
//! Not here: running them (chyves-host `apply`), choosing them ([`crate::plan`]).
//! To add one: a variant, its arms below, and its arm in chyves-host `apply`.

use crate::cmd::Cmd;
use crate::launch::Launch;
use crate::os::{Intent, Os};
use crate::value::{Dataset, GuestName, Size, SnapshotName, SnapshotRef};
use crate::world::DiskFormat;
use crate::zfs::stream::{self, Sending};
use crate::zfs::{Dialect, args, args::Pair};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// Makes sure that names still mean the objects that were looked up.
    Verify {
        /// Names of datasets and snapshots, each with its GUID.
        objects: Vec<(String, u64)>,
    },
    /// Makes a file system.
    CreateDataset {
        /// Its name.
        dataset: Dataset,
        /// ZFS' own properties.
        native: Vec<Pair>,
        /// Settings.
        own: Vec<Pair>,
    },
    /// Makes a volume.
    CreateVolume {
        /// Its name.
        dataset: Dataset,
        /// Its size.
        size: Size,
        /// The size of its blocks, where not what ZFS takes by itself.
        block: Option<Size>,
        /// Whether the pool sets its whole size aside.
        reserved: bool,
    },
    /// Makes a volume larger or smaller.
    ResizeVolume {
        /// Its name.
        dataset: Dataset,
        /// Its size now.
        from: Size,
        /// Its size then.
        to: Size,
    },
    /// Makes a clone of a snapshot.
    CloneDataset {
        /// The snapshot.
        from: SnapshotRef,
        /// The clone.
        to: Dataset,
        /// ZFS' own properties.
        native: Vec<Pair>,
        /// Settings.
        own: Vec<Pair>,
    },
    /// Changes settings.
    Change {
        /// The grammar of the host's `zfs`.
        dialect: Dialect,
        /// The dataset.
        on: Dataset,
        /// What to set.
        set: Vec<Pair>,
        /// What to take away.
        clear: Vec<String>,
        /// What the same keys were before; nothing where they were not set there.
        before: Vec<(String, Option<String>)>,
    },
    /// Takes a snapshot of a dataset and all below it.
    Snapshot {
        /// Its name.
        snapshot: SnapshotRef,
        /// What is written on it.
        own: Vec<Pair>,
    },
    /// Writes settings onto a snapshot, to be kept with it.
    MarkSnapshot {
        /// The grammar of the host's `zfs`.
        dialect: Dialect,
        /// The snapshot.
        snapshot: SnapshotRef,
        /// What is written.
        own: Vec<Pair>,
    },
    /// Goes back to a snapshot, which is the newest.
    Rollback {
        /// The snapshot.
        snapshot: SnapshotRef,
    },
    /// Gives a dataset another name.
    Rename {
        /// The grammar of the host's `zfs`.
        dialect: Dialect,
        /// The present name.
        from: Dataset,
        /// The new one.
        to: Dataset,
    },
    /// Destroys a snapshot (and those of its name below), whose GUID was verified.
    DestroySnapshot {
        /// The snapshot.
        snapshot: SnapshotRef,
    },
    /// Lets ZFS itself destroy a snapshot (and those of its name below) together with the last clone of it.
    LeaveToClones {
        /// The snapshot.
        snapshot: SnapshotRef,
    },
    /// Destroys a dataset that has nothing below it, whose GUID was verified.
    DestroyDataset {
        /// The dataset.
        dataset: Dataset,
    },
    /// Destroys a dataset with its snapshots and all below it, having shown what that is and verified its GUID.
    DestroyTree {
        /// The dataset.
        dataset: Dataset,
        /// What goes with it, itself included.
        takes: Vec<String>,
    },
    /// Makes a clone the owner of the snapshots up to its origin.
    Promote {
        /// The clone.
        clone: Dataset,
        /// What it is a clone of, and what will be a clone of it.
        origin: Dataset,
    },
    /// Mounts a file system.
    Mount {
        /// The file system.
        dataset: Dataset,
    },
    /// Mounts a file system that others may use at the same time. It is unmounted when the last of them has gone.
    Borrow {
        /// The file system.
        dataset: Dataset,
    },
    /// Unmounts a file system that others may use, if none of them uses it any more.
    LetGo {
        /// The file system.
        dataset: Dataset,
    },
    /// Removes what a dead machine left in the runtime folder.
    Forget {
        /// Whose.
        guest: String,
        /// Its identity.
        uuid: Uuid,
    },
    /// Unmounts a file system.
    Unmount {
        /// The file system.
        dataset: Dataset,
    },
    /// Lets nobody write into a dataset and those below it, or lets them again.
    SetReadonly {
        /// The dataset.
        dataset: Dataset,
        /// Whether it is read-only.
        on: bool,
    },
    /// Sets ZFS' own properties on a dataset that the same plan made.
    SetNative {
        /// The dataset.
        dataset: Dataset,
        /// The properties.
        native: Vec<Pair>,
    },
    /// Destroys a working snapshot that the same plan made, and those of its name below.
    DropSnapshot {
        /// The snapshot.
        snapshot: SnapshotRef,
    },
    /// Sends a snapshot into a new dataset, which is not mounted; the snapshot comes with it.
    SendReceive {
        /// The snapshot.
        from: SnapshotRef,
        /// The new dataset.
        to: Dataset,
        /// About how much that is.
        size: Size,
    },
    /// Puts the settings of a copy in a file on a dataset; who the guest is and whose stays.
    SettingsFromCopy {
        /// The grammar of the host's `zfs`.
        dialect: Dialect,
        /// The file.
        from: String,
        /// The dataset.
        on: Dataset,
        /// All settings that the dataset has before.
        before: Vec<Pair>,
    },
    /// Writes the copy of the settings that a dataset has by then.
    KeepCopy {
        /// The dataset.
        on: Dataset,
        /// The copy's path.
        path: String,
    },
    /// Makes a folder that root alone may enter.
    MakeFolder {
        /// Its path.
        path: String,
    },
    /// Writes a small file whole, by way of a temporary name.
    WriteFile {
        /// Its path.
        path: String,
        /// Its content.
        text: String,
    },
    /// Makes an empty disk: a sparse file.
    MakeDisk {
        /// Its path.
        path: String,
        /// Its size.
        size: Size,
    },
    /// Makes a disk file larger.
    GrowDisk {
        /// Its path.
        path: String,
        /// Its size now.
        from: Size,
        /// Its size then.
        to: Size,
    },
    /// Makes a disk of a running machine larger, last of all steps: the guest may use the new space at once.
    GrowLive {
        /// The guest.
        guest: GuestName,
        /// Its identity.
        uuid: Uuid,
        /// Where it lives.
        dataset: Dataset,
        /// The disk as its hypervisor opened it.
        path: String,
        /// How it is done.
        by: Growth,
        /// Its size now.
        from: Size,
        /// Its size then.
        to: Size,
    },
    /// Cuts the end of a disk file off, with what lies there.
    ShrinkDisk {
        /// Its path.
        path: String,
        /// Its size now.
        from: Size,
        /// Its size then.
        to: Size,
    },
    /// Writes the content of a file into a new disk file, or into a new volume.
    CopyDisk {
        /// The file.
        from: String,
        /// Its format.
        format: DiskFormat,
        /// The new file, which must not be there, or the volume's device.
        to: String,
        /// The new disk's size, what is behind the content being zeros; where it is none, the content's.
        size: Option<Size>,
    },
    /// Gives a file another name in its folder, which nothing may have.
    RenameFile {
        /// The present path.
        from: String,
        /// The new one.
        to: String,
    },
    /// Removes a file of which a whole copy was made before.
    RemoveFile {
        /// Its path.
        path: String,
        /// Where the copy is.
        copy: String,
    },
    /// Copies a file, holes staying holes; an existing one is kept.
    CopyFile {
        /// The original.
        from: String,
        /// The copy.
        to: String,
    },
    /// Makes the files of a folder what they are in another, block by block where they differ; logs are left alone.
    RestoreFiles {
        /// What they are to be.
        from: String,
        /// Where.
        to: String,
        /// The snapshot that was taken of the file system just before, by which it is taken back.
        before: SnapshotRef,
    },
    /// Makes sure that files are there and can be written.
    CheckFiles {
        /// Their paths, each with what it is.
        files: Vec<(String, String)>,
    },
    /// Reads an image from a file: hashed, recognised by its content, converted, written sparsely, described on its dataset.
    ImportImage {
        /// The file.
        source: String,
        /// The folder it is kept in.
        folder: String,
        /// The dataset that is described.
        dataset: Dataset,
        /// When, as it is recorded.
        now: String,
        /// The grammar of the host's `zfs`.
        dialect: Dialect,
    },
    /// Writes a stream to standard output.
    Send {
        /// What.
        sending: Sending,
    },
    /// Reads a guest as a stream from standard input, makes sure that it is one, and that it has its settings.
    Receive {
        /// The grammar of the host's `zfs`.
        dialect: Dialect,
        /// The dataset.
        into: Dataset,
        /// Whether that comes into being by it.
        new: bool,
        /// The snapshot that must be there then.
        snapshot: Option<SnapshotName>,
        /// Its GUID.
        guid: Option<u64>,
        /// Whether what came is kept if the stream is cut off.
        resumable: bool,
    },
    /// Something wanted of the host's kernel.
    Host(Intent),
    /// Runs a machine under a supervisor of its own.
    Launch(Box<Launch>),
    /// Asks a machine to power off, and waits.
    Stop {
        /// The guest.
        guest: GuestName,
        /// Its identity.
        uuid: Uuid,
        /// Where it lives.
        dataset: Dataset,
        /// Seconds to wait.
        timeout: u32,
        /// Whether to pull the plug when the time is over.
        force: bool,
    },
}

/// How a disk of a running machine becomes larger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Growth {
    /// The hypervisor is asked to, by way of the guest's supervisor.
    Asked,
    /// The hypervisor sees that its file has grown.
    OfFile,
    /// The hypervisor sees that this volume has grown.
    OfVolume(Dataset),
}

impl Action {
    /// One line for people, beginning with a verb.
    pub fn describe(&self) -> String {
        match self {
            Self::Verify { objects } => {
                let names: Vec<_> = objects.iter().map(|(name, guid)| format!("{name} has the GUID {guid}")).collect();
                format!("make sure that {}", names.join(", "))
            }
            Self::CreateDataset { dataset, .. } => format!("make the file system {dataset}"),
            Self::CreateVolume { dataset, size, reserved, .. } => {
                format!("make the volume {dataset} of {size}{}", if *reserved { ", reserved" } else { "" })
            }
            Self::ResizeVolume { dataset, from, to } => format!("resize the volume {dataset} from {from} to {to}"),
            Self::CloneDataset { from, to, .. } => format!("clone {from} to {to}"),
            Self::Change { on, .. } => format!("change settings of {on}"),
            Self::Snapshot { snapshot, .. } => format!("take the snapshot {snapshot}"),
            Self::MarkSnapshot { snapshot, .. } => format!("write onto {snapshot} what is about to change"),
            Self::Rollback { snapshot } => format!("go back to {snapshot}"),
            Self::Rename { from, to, .. } => format!("rename {from} to {to}"),
            Self::DestroySnapshot { snapshot } => format!("destroy the snapshot {snapshot}"),
            Self::DestroyDataset { dataset } => format!("destroy {dataset}"),
            Self::DestroyTree { dataset, takes } => format!("destroy {dataset}, and with it {}", takes.join(", ")),
            Self::Promote { clone, origin } => format!("make {clone} the owner of the snapshots that it shares with {origin}"),
            Self::Mount { dataset } => format!("mount {dataset}"),
            Self::Borrow { dataset } => format!("mount {dataset} unless it is, for as long as somebody uses it"),
            Self::LetGo { dataset } => format!("unmount {dataset}, which nobody uses"),
            Self::Forget { guest, .. } => format!("forget what the last machine of {guest} left in the runtime folder"),
            Self::Unmount { dataset } => format!("unmount {dataset}"),
            Self::SetReadonly { dataset, on: true } => format!("make {dataset} read-only"),
            Self::SetReadonly { dataset, on: false } => format!("let {dataset} be written again"),
            Self::SetNative { dataset, native } => {
                let each: Vec<String> = native.iter().map(|(k, v)| format!("{k}={v}")).collect();
                format!("give {dataset} {}", each.join(" "))
            }
            Self::LeaveToClones { snapshot } => format!("let the snapshot {snapshot} go with its last clone"),
            Self::DropSnapshot { snapshot } => format!("destroy the working snapshot {snapshot}"),
            Self::SendReceive { from, to, size } => format!("send {from} ({}) into the new {to}", size.human()),
            Self::SettingsFromCopy { from, on, .. } => format!("put the settings of {from} on {on}"),
            Self::KeepCopy { on, path } => format!("write the settings of {on} to {path}"),
            Self::MakeFolder { path } => format!("make the folder {path}"),
            Self::WriteFile { path, text } => format!("write {path} ({} lines)", text.lines().count()),
            Self::MakeDisk { path, size } => format!("make the disk {path} of {size}"),
            Self::GrowDisk { path, from, to } => format!("grow the disk {path} from {from} to {to}"),
            Self::GrowLive { guest, path, from, to, .. } => format!("grow the disk {path} of the running {guest} from {from} to {to}"),
            Self::ShrinkDisk { path, from, to } => format!("cut the disk {path} from {from} to {to}, with what lies behind"),
            Self::CopyDisk { from, format, to, size } => {
                let size = size.map(|s| format!(" of {s}")).unwrap_or_default();
                format!("write {from} ({}) to the disk {to}{size}", format.word())
            }
            Self::RenameFile { from, to } => format!("rename the file {from} to {to}"),
            Self::RemoveFile { path, copy } => format!("remove {path}, which is now {copy}"),
            Self::CopyFile { from, to } => format!("copy {from} to {to} unless it is there"),
            Self::RestoreFiles { from, to, .. } => format!("make the files in {to} what they are in {from}, where they differ"),
            Self::CheckFiles { files } => {
                let names: Vec<_> = files.iter().map(|(path, what)| format!("{what} ({path})")).collect();
                format!("make sure that these are there: {}", names.join(", "))
            }
            Self::ImportImage { source, folder, .. } => format!("read {source} into {folder}: hash, recognise, convert, write"),
            Self::Send { sending } => match sending {
                Sending::Snapshot { snapshot, .. } => format!("send {snapshot} to standard output"),
                Sending::Rest(_) => "send the rest of a stream to standard output".to_owned(),
            },
            Self::Receive { into, .. } => format!("receive {into} from standard input"),
            Self::Host(intent) => intent.describe(),
            Self::Launch(launch) => format!("run {} under a supervisor of its own", launch.guest),
            Self::Stop { guest, timeout, force, .. } => {
                let then = if *force { "pull the plug" } else { "give up" };
                format!("ask {guest} by ACPI to power off, again and again for at most {timeout} s, then {then}")
            }
        }
    }

    /// The commands that a person would type for it; what chyves does itself is shown as the nearest command.
    pub fn commands(&self, os: Os) -> Vec<Cmd> {
        match self {
            Self::Verify { objects } => {
                let names: Vec<&str> = objects.iter().map(|(name, _)| name.as_str()).collect();
                vec![args::read_guids(&names)]
            }
            Self::CreateDataset { dataset, native, own } => vec![args::create(dataset, &refs(native), own)],
            Self::CreateVolume { dataset, size, block, reserved } => vec![args::create_volume(dataset, *size, *block, *reserved)],
            Self::ResizeVolume { dataset, to, .. } => vec![args::resize_volume(dataset, *to)],
            Self::CloneDataset { from, to, native, own } => vec![args::clone(from, to, &refs(native), own)],
            Self::Change { dialect, on, set, clear, .. } => args::change(*dialect, on.as_str(), set, clear),
            Self::Snapshot { snapshot, own } => vec![args::snapshot(snapshot, own)],
            Self::MarkSnapshot { dialect, snapshot, own } => args::change(*dialect, &snapshot.to_string(), own, &[]),
            Self::Rollback { snapshot } => vec![args::rollback(snapshot)],
            Self::Rename { dialect, from, to } => vec![args::rename(*dialect, from, to)],
            Self::DestroySnapshot { snapshot } | Self::DropSnapshot { snapshot } => vec![args::destroy_snapshot(snapshot)],
            Self::LeaveToClones { snapshot } => vec![args::leave_to_clones(snapshot)],
            Self::DestroyDataset { dataset } => vec![args::destroy(dataset)],
            Self::DestroyTree { dataset, .. } => vec![args::destroy_tree(dataset)],
            Self::Promote { clone, .. } => vec![args::promote(clone)],
            Self::Mount { dataset } | Self::Borrow { dataset } => vec![args::mount(dataset)],
            Self::Unmount { dataset } | Self::LetGo { dataset } => vec![args::unmount(dataset)],
            Self::SetReadonly { dataset, on } => vec![args::set_readonly(dataset, *on)],
            Self::SetNative { dataset, native } => args::set_native(dataset, native),
            Self::SendReceive { from, to, .. } => vec![args::send(from), args::receive(to)],
            Self::MakeFolder { path } => vec![Cmd::new("mkdir", ["-m", "0700", "-p", path])],
            Self::MakeDisk { path, size } => vec![Cmd::new("truncate", ["-s", &size.get().to_string(), path])],
            Self::GrowDisk { path, to, .. } | Self::ShrinkDisk { path, to, .. } => {
                vec![Cmd::new("truncate", ["-s", &to.get().to_string(), path])]
            }
            Self::GrowLive { path, by, to, .. } => match by {
                Growth::Asked => Vec::new(),
                Growth::OfFile => vec![Cmd::new("truncate", ["-s", &to.get().to_string(), path])],
                Growth::OfVolume(volume) => vec![args::resize_volume(volume, *to)],
            },
            Self::CopyDisk { from, format, to, size } => copy_disk(from, *format, to, *size),
            Self::RenameFile { from, to } => vec![Cmd::new("mv", ["-n", from, to])],
            Self::RemoveFile { path, .. } => vec![Cmd::new("rm", [path])],
            Self::CopyFile { from, to } => vec![Cmd::new("cp", ["-n", from, to])],
            Self::CheckFiles { files } => files.iter().map(|(path, _)| Cmd::new("test", ["-w", path])).collect(),
            Self::RestoreFiles { from, to, .. } => {
                vec![Cmd::new(
                    "rsync",
                    ["-rt", "--inplace", "--no-whole-file", "--delete", "--exclude=/logs", &format!("{from}/"), &format!("{to}/")],
                )]
            }
            Self::Send { sending } => vec![sending.cmd()],
            Self::Receive { dialect, into, new, resumable, .. } => {
                let plain = *dialect == Dialect::Fuse;
                let mut cmds = vec![stream::receive(into, plain, *resumable)];
                cmds.extend(new.then(|| stream::tame(into)).into_iter().flatten());
                cmds
            }
            Self::SettingsFromCopy { .. } | Self::KeepCopy { .. } | Self::WriteFile { .. } => Vec::new(),
            Self::ImportImage { .. } | Self::Stop { .. } | Self::Forget { .. } => Vec::new(),
            Self::Host(intent) => intent.commands(os),
            Self::Launch(launch) => launch.before.iter().map(|p| p.cmd.clone()).chain([launch.hypervisor.clone()]).collect(),
        }
    }

    /// What takes it back, done after it was done: actions again, newest effect first. None where nothing was made or
    /// nothing can take it back.
    pub fn undo(&self) -> Undo {
        match self {
            Self::Verify { .. } | Self::CheckFiles { .. } => Undo::Nothing,
            Self::CreateDataset { dataset, .. } | Self::CreateVolume { dataset, .. } | Self::CloneDataset { to: dataset, .. } => {
                Undo::Destroy(dataset.clone())
            }
            Self::Change { dialect, on, before, .. } => {
                let set = before.iter().filter_map(|(k, v)| Some((k.clone(), v.clone()?))).collect();
                let clear = before.iter().filter(|(_, v)| v.is_none()).map(|(k, _)| k.clone()).collect();
                Undo::Action(Box::new(Self::Change { dialect: *dialect, on: on.clone(), set, clear, before: Vec::new() }))
            }
            Self::Snapshot { snapshot, .. } => Undo::Action(Box::new(Self::DestroySnapshot { snapshot: snapshot.clone() })),
            Self::Rename { dialect, from, to } => {
                Undo::Action(Box::new(Self::Rename { dialect: *dialect, from: to.clone(), to: from.clone() }))
            }
            Self::Mount { dataset } => Undo::Action(Box::new(Self::Unmount { dataset: dataset.clone() })),
            Self::Unmount { dataset } => Undo::Action(Box::new(Self::Mount { dataset: dataset.clone() })),
            Self::MakeFolder { path } => Undo::RemoveFolder(path.clone()),
            Self::SetReadonly { dataset, on } => Undo::Action(Box::new(Self::SetReadonly { dataset: dataset.clone(), on: !on })),
            Self::SendReceive { from, to, .. } => Undo::DestroyCopy { dataset: to.clone(), like: from.clone() },
            // It says only what holds anyway: chyves takes the snapshot away with its last clone.
            Self::LeaveToClones { .. } => Undo::Nothing,
            // The dataset goes with the step that made it.
            Self::SetNative { .. } | Self::DropSnapshot { .. } => Undo::Nothing,
            Self::SettingsFromCopy { dialect, on, before, .. } => {
                Undo::Settings { dialect: *dialect, on: on.clone(), values: before.clone() }
            }
            Self::WriteFile { path, .. } | Self::KeepCopy { path, .. } => Undo::RestoreFile(path.clone()),
            Self::MakeDisk { path, .. } | Self::CopyFile { to: path, .. } => Undo::RemoveFile(path.clone()),
            // A volume goes with the step that made it.
            Self::CopyDisk { to, .. } if is_device(to) => Undo::Nothing,
            Self::CopyDisk { to, .. } => Undo::RemoveFile(to.clone()),
            Self::RenameFile { from, to } => Undo::Action(Box::new(Self::RenameFile { from: to.clone(), to: from.clone() })),
            Self::ResizeVolume { dataset, from, to } if from <= to => {
                Undo::Action(Box::new(Self::ResizeVolume { dataset: dataset.clone(), from: *to, to: *from }))
            }
            // Cutting off what was added takes nothing that was there before.
            Self::GrowDisk { path, from, .. } => Undo::Shrink(path.clone(), *from),
            // Somebody else may have begun to use it; the command that borrowed it looks when it is over.
            Self::Borrow { .. } => Undo::Nothing,
            // What was put away was of use to nobody.
            Self::LetGo { .. } | Self::Forget { .. } | Self::Host(Intent::RemoveTap { .. } | Intent::DestroyVm { .. }) => Undo::Nothing,
            // What it wrote lies in the dataset that the same plan made.
            Self::ImportImage { .. } => Undo::Nothing,
            Self::Host(intent) => Undo::Host(intent.clone()),
            Self::Promote { clone, origin } => Undo::Action(Box::new(Self::Promote { clone: origin.clone(), origin: clone.clone() })),
            Self::RestoreFiles { before, .. } => Undo::Action(Box::new(Self::Rollback { snapshot: before.clone() })),
            Self::ResizeVolume { .. } | Self::GrowLive { .. } | Self::ShrinkDisk { .. } | Self::RemoveFile { .. } => Undo::Impossible,
            Self::Rollback { .. } | Self::DestroySnapshot { .. } | Self::DestroyDataset { .. } | Self::DestroyTree { .. } => {
                Undo::Impossible
            }
            // It goes with the snapshot, which the same plan took.
            Self::MarkSnapshot { .. } => Undo::Nothing,
            Self::Send { .. } | Self::Receive { new: false, .. } => Undo::Nothing,
            Self::Receive { into, resumable, .. } => Undo::DestroyReceived { dataset: into.clone(), unless_resumable: *resumable },
            // The machine's own supervisor cleans up when the machine never came to life.
            Self::Launch(_) | Self::Stop { .. } => Undo::Nothing,
        }
    }
}

/// What takes an action back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// There is nothing to take back.
    Nothing,
    /// Nothing can take it back.
    Impossible,
    /// Another action.
    Action(Box<Action>),
    /// Destroy this dataset, which the same plan made and which still has the GUID that it was made with.
    Destroy(Dataset),
    /// Destroy this dataset with its snapshots and volumes, which the same plan received.
    DestroyReceived {
        /// The dataset.
        dataset: Dataset,
        /// Keep it if the reception can go on later.
        unless_resumable: bool,
    },
    /// Destroy this dataset, which the same plan copied, with the one snapshot that came with it.
    DestroyCopy {
        /// The dataset.
        dataset: Dataset,
        /// The snapshot that was sent: the one that came with the dataset has its name and its GUID.
        like: SnapshotRef,
    },
    /// Make the settings of a dataset exactly these.
    Settings {
        /// The grammar of the host's `zfs`.
        dialect: Dialect,
        /// The dataset.
        on: Dataset,
        /// The settings.
        values: Vec<Pair>,
    },
    /// Remove this file, which the same plan made.
    RemoveFile(String),
    /// Remove this folder if it is empty.
    RemoveFolder(String),
    /// Put back the file that stood there before, or remove it where none stood.
    RestoreFile(String),
    /// Cut this file off at its former size.
    Shrink(String, Size),
    /// Take an intent back.
    Host(Intent),
}

/// Whether a disk's path is that of a volume.
pub fn is_device(path: &str) -> bool {
    path.starts_with("/dev/")
}

fn copy_disk(from: &str, format: DiskFormat, to: &str, size: Option<Size>) -> Vec<Cmd> {
    let mut cmds = vec![match (format, is_device(to)) {
        (DiskFormat::Raw, _) => Cmd::new("dd", [&format!("if={from}"), &format!("of={to}"), "bs=65536", "conv=sparse"]),
        (DiskFormat::Qcow2, false) => Cmd::new("qemu-img", ["convert", "-f", "qcow2", "-O", "raw", "-S", "64k", from, to]),
        (DiskFormat::Qcow2, true) => Cmd::new("qemu-img", ["convert", "-n", "-f", "qcow2", "-O", "raw", from, to]),
    }];
    if let (false, Some(size)) = (is_device(to), size) {
        cmds.push(Cmd::new("truncate", ["-s", &size.get().to_string(), to]));
    }
    cmds
}

fn refs(pairs: &[Pair]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect()
}
