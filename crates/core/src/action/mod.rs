//! One thing done to the host. An action is the only source of its words, its commands and what rolls it back: the dry
//! run prints them, the host runs them, and both are this same value.
//!
//! * `words`: one line for people
//! * `commands`: what a person would type
//! * [`undo`]: what rolls it back
//! * `content`: what it reads, writes and changes, and whether that outlives the host
//! * `written`: the content of files that it writes for a hypervisor, as a dry run shows it
//!
//! Not here: running them (chyves-host `apply`), choosing them ([`crate::plan`]).
//! To add one: a variant, its arms in the four modules, and its arm in chyves-host `apply`.

mod commands;
mod content;
mod undo;
mod words;
mod written;

pub use commands::from_qcow2;
pub use undo::Undo;

use crate::cloudinit::SeedDisc;
use crate::guest::trash::Leaving;
use crate::image::Order;
use crate::launch::Launch;
use crate::network::Proof;
use crate::os::Intent;
use crate::value::{Dataset, FilePath, GuestName, ImageName, Size, SnapshotName, SnapshotRef};
use crate::vmm::HostFile;
use crate::world::DiskFormat;
use crate::zfs::sending::Sending;
use crate::zfs::{Dialect, args::Pair, guard};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A file that must be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Its path.
    pub path: FilePath,
    /// What it is, as part of a sentence.
    pub what: String,
    /// Of a disk the size that is recorded, and what records the one that it has.
    pub recorded: Option<(Size, String)>,
}

impl Checked {
    /// What is to be said of a disk of this size; nothing where it is the recorded one.
    pub fn differs(&self, size: Size) -> Option<String> {
        let (recorded, sync) = self.recorded.as_ref().filter(|(recorded, _)| *recorded != size)?;
        let what = &self.what;
        let lost = if size < *recorded {
            "was cut by another program, and what lay behind its end is lost"
        } else {
            "was grown by another program"
        };
        Some(format!("{what} {lost}: it has {size}, and {recorded} is recorded; `{sync}` records what it has"))
    }
}

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
        /// Whether the pool reserves its whole size.
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
        /// Those of them that had come with a stream.
        received: Vec<String>,
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
    /// Rolls back to a snapshot, which is the newest.
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
    /// Gives a volume another name: nothing of it is mounted, and OpenZFS takes no word about that.
    RenameVolume {
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
    /// Sets ZFS' own properties on a dataset that the same plan made, or that guard the host against its files.
    SetNative {
        /// The dataset.
        dataset: Dataset,
        /// The properties.
        native: Vec<Pair>,
    },
    /// Makes sure that a dataset from elsewhere is mounted by chyves alone and can't act on the host.
    Tame {
        /// The grammar of the host's `zfs`.
        dialect: Dialect,
        /// The dataset.
        dataset: Dataset,
        /// What it is.
        is: guard::Type,
        /// What it says that may not stay.
        came: Vec<guard::Came>,
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
    /// Reads a small file, which the plan hands back.
    ReadFile {
        /// Its path.
        path: FilePath,
    },
    /// Makes a folder that root alone may enter.
    MakeFolder {
        /// Its path.
        path: FilePath,
    },
    /// Removes a folder of the runtime folder with these files of it, and nothing else that may lie there.
    DropFolder {
        /// Its path.
        path: String,
        /// The files: their names and contents.
        files: Vec<(String, String)>,
    },
    /// Writes a small file whole, by way of a temporary name.
    WriteFile {
        /// Its path.
        path: FilePath,
        /// Its content.
        text: String,
    },
    /// Writes a file that a hypervisor or loader reads, whole. It may hold a secret.
    WriteHostFile(HostFile),
    /// Makes a guest's cloud-init seed: reads the user's own texts, writes the disc.
    WriteSeed(Box<SeedDisc>),
    /// Puts another disc into a drive of a running guest, or takes one out.
    ChangeDisc {
        /// The guest.
        guest: GuestName,
        /// Its identity.
        uuid: Uuid,
        /// Where it lives.
        dataset: Dataset,
        /// The drive's number.
        drive: usize,
        /// The drive as its hypervisor knows it; none where the change waits for the next reboot.
        device: Option<String>,
        /// The disc; none leaves the drive empty.
        disc: Option<ImageName>,
        /// The disc that lies in it before.
        before: Option<ImageName>,
        /// The disc's file.
        path: Option<String>,
        /// Whether the guest is not asked.
        force: bool,
        /// What the supervisor hands back from then on.
        again: Vec<String>,
        /// The file systems that the guest uses from then on.
        borrows: Vec<Dataset>,
    },
    /// Makes an empty disk: a sparse file.
    MakeDisk {
        /// Its path.
        path: FilePath,
        /// Its size.
        size: Size,
    },
    /// Makes a disk file larger.
    GrowDisk {
        /// Its path.
        path: FilePath,
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
        path: FilePath,
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
        path: FilePath,
        /// Its size now.
        from: Size,
        /// Its size then.
        to: Size,
    },
    /// Writes the content of a file into a new disk file, or into a new volume.
    CopyDisk {
        /// The file.
        from: FilePath,
        /// Its format.
        format: DiskFormat,
        /// The new file, which must not be there, or the volume's device.
        to: FilePath,
        /// The new disk's size, what is behind the content being zeros; where it is none, the content's.
        size: Option<Size>,
    },
    /// Gives a file another name in its folder, which nothing may have.
    RenameFile {
        /// The present path.
        from: FilePath,
        /// The new one.
        to: FilePath,
    },
    /// Removes a file of which a whole copy was made before.
    RemoveFile {
        /// Its path.
        path: FilePath,
        /// Where the copy is.
        copy: FilePath,
    },
    /// Gives a guest a copy of the template of its firmware's variables. Those that it has are kept, if they are as long;
    /// others belong to another firmware.
    CopyVariables {
        /// The guest.
        guest: GuestName,
        /// The template.
        from: FilePath,
        /// The guest's own.
        to: FilePath,
    },
    /// Gives a file another name in its folder, which nothing may have, if there is such a file.
    SetAside {
        /// The present path.
        from: FilePath,
        /// The new one.
        to: FilePath,
    },
    /// Makes the files of a folder what they are in another, block by block where they differ; logs are left alone.
    RestoreFiles {
        /// What they are to be.
        from: String,
        /// Where.
        to: String,
        /// The snapshot that was taken of the file system just before, by which it is rolled back.
        before: SnapshotRef,
    },
    /// Makes sure that files are there and can be written. A disk that has not its recorded size is reported.
    CheckFiles {
        /// The files.
        files: Vec<Checked>,
    },
    /// Makes room for what comes from an address, where what has come stays for another try if the transfer is cut.
    KeepPart {
        /// The dataset.
        part: Dataset,
        /// Whether it is there from an earlier try.
        there: bool,
        /// The address, as it is shown.
        address: String,
        /// When, as it is recorded.
        now: String,
    },
    /// Destroys what was kept for another try, once it is of no use any more.
    DropPart {
        /// The dataset.
        part: Dataset,
    },
    /// Reads an image: hashed, recognised by its content, unpacked, converted, written sparsely, described on its dataset.
    ImportImage {
        /// From where, and what it must be.
        order: Box<Order>,
        /// The folder it is kept in.
        folder: String,
        /// The dataset that is described.
        dataset: Dataset,
        /// Where what comes from an address is kept: the dataset and its folder.
        part: Option<(Dataset, String)>,
        /// When, as it is recorded.
        now: String,
        /// The grammar of the host's `zfs`.
        dialect: Dialect,
    },
    /// Reads an image again and makes sure that it is what was imported.
    VerifyImage {
        /// Its name.
        image: ImageName,
        /// The file.
        path: FilePath,
        /// The SHA-256 that it must have.
        sha256: String,
        /// The length that it had.
        size: Size,
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
        /// The guest there that takes an increment; none where it comes into being by it.
        onto: Option<Box<Onto>>,
        /// The snapshot that must be there then.
        snapshot: Option<SnapshotName>,
        /// Its GUID.
        guid: Option<u64>,
        /// Whether what came is kept if the stream is cut off.
        resumable: bool,
    },
    /// Something wanted of the host's kernel.
    Host(Intent),
    /// Makes sure, by looking again, that the host's networks are as the steps before left them.
    ProveNetwork {
        /// What has to be so.
        proofs: Vec<Proof>,
    },
    /// Runs a machine under a supervisor.
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
        /// Whether to power off forcibly when the time is over.
        force: bool,
    },
    /// Pulls a machine's reset line: it restarts with the properties as they are then.
    Reset {
        /// The guest.
        guest: GuestName,
        /// Its identity.
        uuid: Uuid,
        /// Where it lives.
        dataset: Dataset,
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

/// A received guest that takes an increment, as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Onto {
    /// All its own settings.
    pub before: Vec<Pair>,
    /// Where its volumes go that are the sender's no more.
    pub leaving: Leaving,
}

/// Whether a disk's path is that of a volume.
pub fn is_device(path: &str) -> bool {
    path.starts_with("/dev/")
}
