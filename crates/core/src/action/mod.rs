//! One change of the host. An action is the only source of its description, its commands and its undo: the dry run prints
//! them, the host executes them, and both use this same value.
//!
//! * `words`: the description in one line
//! * `commands`: the commands that a user would type
//! * [`undo`]: how it is rolled back
//! * `content`: what it reads, writes and changes, and whether its effect survives a reboot
//! * `written`: the content of files that it writes for a hypervisor, for the dry run
//!
//! Not here: executing actions (chyves-host `apply`), choosing them ([`crate::plan`]). To add one: a variant, its arms in
//! the four modules, and its arm in chyves-host `apply`.

mod commands;
mod content;
mod undo;
mod words;
mod written;

pub use commands::from_qcow2;
pub use undo::Undo;

use crate::cloudinit::SeedDisc;
use crate::guest::DiskFormat;
use crate::guest::trash::Leaving;
use crate::image::Order;
use crate::launch::Launch;
use crate::network::Proof;
use crate::os::Intent;
use crate::value::json::tagged;
use crate::value::{Dataset, FilePath, GuestName, ImageName, Size, SnapshotName, SnapshotRef};
use crate::vmm::HostFile;
use crate::zfs::sending::Sending;
use crate::zfs::{Dialect, args::Pair, guard};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A file that must exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Its path.
    pub path: FilePath,
    /// Its description, as part of a sentence.
    pub what: String,
    /// For a disk: the recorded size, and the command that updates the record.
    pub recorded: Option<(Size, String)>,
    /// For a file that is copied: the largest that is.
    #[serde(default)]
    pub most: Option<Size>,
}

impl Checked {
    /// The warning for a disk of this size; `None` if it equals the recorded size.
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
#[serde(remote = "Self", rename_all = "kebab-case")]
pub enum Action {
    /// Verifies that names still refer to the same objects.
    Verify {
        /// Names of datasets and snapshots, each with its expected GUID.
        objects: Vec<(String, u64)>,
    },
    /// Creates a file system.
    CreateDataset {
        /// Its name.
        dataset: Dataset,
        /// Native properties.
        native: Vec<Pair>,
        /// Settings of chyves.
        own: Vec<Pair>,
    },
    /// Creates a volume.
    CreateVolume {
        /// Its name.
        dataset: Dataset,
        /// Its size.
        size: Size,
        /// Its block size [default: chosen by ZFS].
        block: Option<Size>,
        /// Whether space for its whole size is reserved.
        reserved: bool,
    },
    /// Changes the size of a volume.
    ResizeVolume {
        /// Its name.
        dataset: Dataset,
        /// The present size.
        from: Size,
        /// The new size.
        to: Size,
    },
    /// Creates a clone of a snapshot.
    CloneDataset {
        /// The snapshot.
        from: SnapshotRef,
        /// The clone.
        to: Dataset,
        /// Native properties.
        native: Vec<Pair>,
        /// Settings of chyves.
        own: Vec<Pair>,
    },
    /// Changes settings.
    Change {
        /// The ZFS implementation.
        dialect: Dialect,
        /// The dataset.
        on: Dataset,
        /// Settings to set.
        set: Vec<Pair>,
        /// Keys to unset.
        clear: Vec<String>,
        /// The previous values of these keys; `None` for keys that were not set on the dataset.
        before: Vec<(String, Option<String>)>,
        /// Those keys that had received values.
        received: Vec<String>,
    },
    /// Takes a snapshot of a dataset and all its descendants.
    Snapshot {
        /// Its name.
        snapshot: SnapshotRef,
        /// Properties to set on it.
        own: Vec<Pair>,
    },
    /// Sets settings on a snapshot, to be stored with it.
    MarkSnapshot {
        /// The ZFS implementation.
        dialect: Dialect,
        /// The snapshot.
        snapshot: SnapshotRef,
        /// The settings.
        own: Vec<Pair>,
    },
    /// Rolls back to the newest snapshot.
    Rollback {
        /// The snapshot.
        snapshot: SnapshotRef,
    },
    /// Renames a dataset.
    Rename {
        /// The ZFS implementation.
        dialect: Dialect,
        /// The present name.
        from: Dataset,
        /// The new name.
        to: Dataset,
    },
    /// Renames a volume: nothing of it is mounted, and OpenZFS does not accept the option for mounts here.
    RenameVolume {
        /// The present name.
        from: Dataset,
        /// The new name.
        to: Dataset,
    },
    /// Destroys a snapshot (and those with its name on descendants) after its GUID was verified.
    DestroySnapshot {
        /// The snapshot.
        snapshot: SnapshotRef,
    },
    /// Marks a snapshot (and those with its name on descendants) for destruction by ZFS together with its last clone.
    LeaveToClones {
        /// The snapshot.
        snapshot: SnapshotRef,
    },
    /// Destroys a dataset without children after its GUID was verified.
    DestroyDataset {
        /// The dataset.
        dataset: Dataset,
    },
    /// Destroys a dataset with its snapshots and descendants, after these were listed and the GUID was verified.
    DestroyTree {
        /// The dataset.
        dataset: Dataset,
        /// Everything that is destroyed, including the dataset itself.
        takes: Vec<String>,
    },
    /// Moves the snapshots up to a clone's origin to the clone.
    Promote {
        /// The clone.
        clone: Dataset,
        /// The dataset that it is a clone of, which becomes its clone.
        origin: Dataset,
    },
    /// Mounts a file system.
    Mount {
        /// The file system.
        dataset: Dataset,
    },
    /// Mounts a file system that others may use at the same time. It is unmounted when nobody uses it any more.
    Borrow {
        /// The file system.
        dataset: Dataset,
    },
    /// Unmounts a file system that others may use, if nobody uses it any more.
    LetGo {
        /// The file system.
        dataset: Dataset,
    },
    /// Removes what a dead VM left in the runtime folder.
    Forget {
        /// The guest's name.
        guest: String,
        /// Its UUID.
        uuid: Uuid,
    },
    /// Unmounts a file system.
    Unmount {
        /// The file system.
        dataset: Dataset,
    },
    /// Makes a dataset and its descendants read-only, or writable again.
    SetReadonly {
        /// The dataset.
        dataset: Dataset,
        /// Whether it is read-only.
        on: bool,
    },
    /// Sets native properties on a dataset that the same plan created, or properties that protect the host against its
    /// files.
    SetNative {
        /// The dataset.
        dataset: Dataset,
        /// The properties.
        native: Vec<Pair>,
    },
    /// Ensures that a dataset from elsewhere is only mounted by chyves and cannot act on the host.
    Tame {
        /// The ZFS implementation.
        dialect: Dialect,
        /// The dataset.
        dataset: Dataset,
        /// File system or volume.
        is: guard::Type,
        /// Received properties that must not be kept.
        came: Vec<guard::Came>,
    },
    /// Destroys a temporary snapshot that the same plan took, and those with its name on descendants.
    DropSnapshot {
        /// The snapshot.
        snapshot: SnapshotRef,
    },
    /// Sends a snapshot into a new dataset, which is not mounted; the copy includes the snapshot.
    SendReceive {
        /// The snapshot.
        from: SnapshotRef,
        /// The new dataset.
        to: Dataset,
        /// Estimated size of the stream.
        size: Size,
    },
    /// Reads a small file; the plan returns its content.
    ReadFile {
        /// Its path.
        path: FilePath,
    },
    /// Creates a folder that only root can access.
    MakeFolder {
        /// Its path.
        path: FilePath,
    },
    /// Removes a folder in the runtime folder with these files, but no other files that it may contain.
    DropFolder {
        /// Its path.
        path: String,
        /// The files: names and contents.
        files: Vec<(String, String)>,
    },
    /// Writes a small file atomically, through a temporary name.
    WriteFile {
        /// Its path.
        path: FilePath,
        /// Its content.
        text: String,
    },
    /// Writes a complete file for a hypervisor or loader. It may contain a secret.
    WriteHostFile(HostFile),
    /// Creates a guest's cloud-init seed from its settings and the user's own texts.
    WriteSeed(Box<SeedDisc>),
    /// Inserts another ISO into a drive of a running guest, or ejects the present one.
    ChangeDisc {
        /// The guest.
        guest: GuestName,
        /// The guest's UUID.
        uuid: Uuid,
        /// The guest's dataset.
        dataset: Dataset,
        /// The drive's number.
        drive: usize,
        /// The drive's name in the hypervisor; `None` if the change takes effect at the next reboot.
        device: Option<String>,
        /// The ISO; `None` leaves the drive empty.
        disc: Option<ImageName>,
        /// The ISO that was in the drive before.
        before: Option<ImageName>,
        /// The path of the ISO's file.
        path: Option<String>,
        /// Whether to change it without the guest's consent.
        force: bool,
        /// The arguments that the supervisor passes back from then on.
        again: Vec<String>,
        /// The file systems that the guest uses from then on.
        borrows: Vec<Dataset>,
    },
    /// Creates an empty disk: a sparse file.
    MakeDisk {
        /// Its path.
        path: FilePath,
        /// Its size.
        size: Size,
    },
    /// Grows a disk file.
    GrowDisk {
        /// Its path.
        path: FilePath,
        /// The present size.
        from: Size,
        /// The new size.
        to: Size,
    },
    /// Grows a disk of a running VM. This is the last step, because the guest may use the new space at once.
    GrowLive {
        /// The guest.
        guest: GuestName,
        /// The guest's UUID.
        uuid: Uuid,
        /// The guest's dataset.
        dataset: Dataset,
        /// The path of the disk as its hypervisor opened it.
        path: FilePath,
        /// The method.
        by: Growth,
        /// The present size.
        from: Size,
        /// The new size.
        to: Size,
    },
    /// Cuts off the end of a disk file, with the data there.
    ShrinkDisk {
        /// Its path.
        path: FilePath,
        /// The present size.
        from: Size,
        /// The new size.
        to: Size,
    },
    /// Copies the content of a file into a new disk file, or into a new volume.
    CopyDisk {
        /// The file.
        from: FilePath,
        /// Its format.
        format: DiskFormat,
        /// The new file, which must not exist, or the volume's device.
        to: FilePath,
        /// The new disk's size, padded with zeros; `None` for the size of the content.
        size: Option<Size>,
    },
    /// Renames a file in its folder. The new name must be unused.
    RenameFile {
        /// The present path.
        from: FilePath,
        /// The new path.
        to: FilePath,
    },
    /// Removes a file after a complete copy was made.
    RemoveFile {
        /// Its path.
        path: FilePath,
        /// The path of the copy.
        copy: FilePath,
    },
    /// Copies the template of the firmware's variables for a guest. Existing variables are kept if they have the same size;
    /// a different size means that they belong to another firmware.
    CopyVariables {
        /// The guest.
        guest: GuestName,
        /// The template.
        from: FilePath,
        /// The guest's own.
        to: FilePath,
    },
    /// Renames a file in its folder if it exists. The new name must be unused.
    SetAside {
        /// The present path.
        from: FilePath,
        /// The new path.
        to: FilePath,
    },
    /// Makes the files of a folder equal to those of another, writing only blocks that differ; logs are not changed.
    RestoreFiles {
        /// The source folder.
        from: String,
        /// The folder to change.
        to: String,
        /// The snapshot that was taken of the file system just before, for a rollback.
        before: SnapshotRef,
    },
    /// Checks that files exist and are writable. A disk that differs from its recorded size is reported.
    CheckFiles {
        /// The files.
        files: Vec<Checked>,
    },
    /// Creates a dataset for a download, in which a partial file is kept for another attempt if the transfer is
    /// interrupted.
    KeepPart {
        /// The dataset.
        part: Dataset,
        /// Whether it exists from an earlier attempt.
        there: bool,
        /// The URL, as it is shown.
        address: String,
        /// The time, as it is recorded.
        now: String,
    },
    /// Destroys a partial download that is no longer needed.
    DropPart {
        /// The dataset.
        part: Dataset,
    },
    /// Imports an image: computes its checksum, detects its format, decompresses, converts and writes it sparsely, and
    /// records it on its dataset.
    ImportImage {
        /// The source, and what is expected of the image.
        order: Box<Order>,
        /// The folder that it is stored in.
        folder: String,
        /// The dataset that the record is written to.
        dataset: Dataset,
        /// Where a download is stored: the dataset and its folder.
        part: Option<(Dataset, String)>,
        /// The time, as it is recorded.
        now: String,
        /// The ZFS implementation.
        dialect: Dialect,
    },
    /// Reads an image again and checks that it is unchanged since its import.
    VerifyImage {
        /// Its name.
        image: ImageName,
        /// The file.
        path: FilePath,
        /// The expected SHA-256.
        sha256: String,
        /// The expected size.
        size: Size,
    },
    /// Writes a stream to standard output.
    Send {
        /// What is sent.
        sending: Sending,
    },
    /// Receives a guest from a stream on standard input, and checks that it is a guest with its settings.
    Receive {
        /// The ZFS implementation.
        dialect: Dialect,
        /// The dataset.
        into: Dataset,
        /// The existing guest that receives an increment; `None` if the stream creates the guest.
        onto: Option<Box<Onto>>,
        /// The snapshot that must exist afterwards.
        snapshot: Option<SnapshotName>,
        /// Its GUID.
        guid: Option<u64>,
        /// Whether the partial state of an interrupted stream is kept.
        resumable: bool,
    },
    /// A change of the operating system's state.
    Host(Intent),
    /// Reads the host's networks again and checks that the steps before had the intended effect.
    ProveNetwork {
        /// The conditions to check.
        proofs: Vec<Proof>,
    },
    /// Runs a VM under a supervisor.
    Launch(Box<Launch>),
    /// Requests a shutdown of a guest, and waits.
    Stop {
        /// The guest.
        guest: GuestName,
        /// The guest's UUID.
        uuid: Uuid,
        /// The guest's dataset.
        dataset: Dataset,
        /// Seconds to wait.
        timeout: u32,
        /// Whether to power it off forcibly when the time is over.
        force: bool,
    },
    /// Hard-resets a VM: it restarts with its settings at that time.
    Reset {
        /// The guest.
        guest: GuestName,
        /// The guest's UUID.
        uuid: Uuid,
        /// The guest's dataset.
        dataset: Dataset,
    },
}

tagged!(Action, "action");

/// How a disk of a running VM grows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Growth {
    /// The hypervisor is requested to grow it, through the guest's supervisor.
    Asked,
    /// The hypervisor detects the new size of its file.
    OfFile,
    /// The hypervisor detects the new size of this volume.
    OfVolume(Dataset),
}

/// The former state of a guest that receives an increment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Onto {
    /// All its own settings.
    pub before: Vec<Pair>,
    /// Where volumes are moved that the sender no longer has.
    pub leaving: Leaving,
}

/// Whether a path is that of a device, such as a volume.
pub fn is_device(path: &str) -> bool {
    path.starts_with("/dev/")
}
