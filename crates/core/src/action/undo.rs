//! How an action is undone.

use super::Action;
use crate::os::Intent;
use crate::value::{Dataset, FilePath, Size, SnapshotRef};
use crate::vmm::HostFile;
use crate::zfs::Dialect;
use crate::zfs::args::Pair;

/// How an action is undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// There is nothing to undo.
    Nothing,
    /// Nothing can undo it.
    Impossible,
    /// Another action.
    Action(Box<Action>),
    /// Restore settings.
    Change {
        /// The ZFS implementation.
        dialect: Dialect,
        /// The dataset.
        on: Dataset,
        /// Settings to set.
        set: Vec<Pair>,
        /// Keys to unset.
        clear: Vec<String>,
        /// Keys to restore to their received values.
        received: Vec<String>,
    },
    /// Destroy this dataset, which the same plan created, if it still has the GUID from its creation.
    Destroy(Dataset),
    /// Destroy this dataset with its snapshots and volumes, which the same plan received.
    DestroyReceived {
        /// The dataset.
        dataset: Dataset,
        /// Keep it if the reception can be resumed.
        unless_resumable: bool,
    },
    /// An increment that arrived completely is kept, and its follow-up action is executed; an increment that arrived in
    /// part is rolled back.
    Increment(Box<Action>),
    /// Destroy this dataset, which the same plan copied, with the single snapshot that it includes.
    DestroyCopy {
        /// The dataset.
        dataset: Dataset,
        /// The snapshot that was sent: the one in the copy has the same name and GUID.
        like: SnapshotRef,
    },
    /// Remove this file, which the same plan created.
    RemoveFile(FilePath),
    /// Remove this folder if it is empty.
    RemoveFolder(FilePath),
    /// Create this folder again, with these files.
    RestoreFolder(String, Vec<(String, String)>),
    /// Restore the file that existed before, or remove it if none existed.
    RestoreFile(FilePath),
    /// Truncate this file, which was grown to the first size, to its former size.
    Shrink(FilePath, Size, Size),
    /// Apply the opposite intent.
    Host(Intent),
}

impl Action {
    /// How it is rolled back, after it was executed: with further actions, in reverse order. `None` if it had no effect, or
    /// if it cannot be undone.
    pub fn undo(&self) -> Undo {
        match self {
            Self::Verify { .. } | Self::CheckFiles { .. } | Self::ReadFile { .. } => Undo::Nothing,
            Self::CreateDataset { dataset, .. } | Self::CreateVolume { dataset, .. } | Self::CloneDataset { to: dataset, .. } => {
                Undo::Destroy(dataset.clone())
            }
            Self::Change { dialect, on, before, received, .. } => {
                let local = before.iter().filter(|(k, _)| !received.contains(k));
                Undo::Change {
                    dialect: *dialect,
                    on: on.clone(),
                    set: local.clone().filter_map(|(k, v)| Some((k.clone(), v.clone()?))).collect(),
                    clear: local.filter(|(_, v)| v.is_none()).map(|(k, _)| k.clone()).collect(),
                    received: received.clone(),
                }
            }
            Self::Snapshot { snapshot, .. } => Undo::Action(Box::new(Self::DestroySnapshot { snapshot: snapshot.clone() })),
            Self::Rename { dialect, from, to } => {
                Undo::Action(Box::new(Self::Rename { dialect: *dialect, from: to.clone(), to: from.clone() }))
            }
            Self::RenameVolume { from, to } => Undo::Action(Box::new(Self::RenameVolume { from: to.clone(), to: from.clone() })),
            Self::Mount { dataset } => Undo::Action(Box::new(Self::Unmount { dataset: dataset.clone() })),
            Self::Unmount { dataset } => Undo::Action(Box::new(Self::Mount { dataset: dataset.clone() })),
            Self::DropFolder { path, files } => Undo::RestoreFolder(path.clone(), files.clone()),
            Self::MakeFolder { path } => Undo::RemoveFolder(path.clone()),
            Self::SetReadonly { dataset, on } => Undo::Action(Box::new(Self::SetReadonly { dataset: dataset.clone(), on: !on })),
            Self::SendReceive { from, to, .. } => Undo::DestroyCopy { dataset: to.clone(), like: from.clone() },
            // It has no effect of its own: chyves destroys the snapshot with its last clone in any case.
            Self::LeaveToClones { .. } => Undo::Nothing,
            // The dataset is removed by undoing the step that created it.
            Self::SetNative { .. } | Self::DropSnapshot { .. } => Undo::Nothing,
            // Restoring the received properties would help no host.
            Self::Tame { .. } => Undo::Nothing,
            Self::WriteFile { path, .. } => Undo::RestoreFile(path.clone()),
            Self::WriteHostFile(HostFile { path, .. }) => Undo::RestoreFile(FilePath::host(path.as_str())),
            // Recreated at each start, and of no use without a running VM.
            Self::WriteSeed(disc) => Undo::RemoveFile(FilePath::host(disc.path.as_str())),
            Self::MakeDisk { path, .. } | Self::CopyVariables { to: path, .. } => Undo::RemoveFile(path.clone()),
            // A volume is removed by undoing the step that created it.
            Self::CopyDisk { to, .. } if to.is_device() => Undo::Nothing,
            Self::CopyDisk { to, .. } => Undo::RemoveFile(to.clone()),
            Self::RenameFile { from, to } | Self::SetAside { from, to } => {
                Undo::Action(Box::new(Self::RenameFile { from: to.clone(), to: from.clone() }))
            }
            Self::ResizeVolume { dataset, from, to } if from <= to => {
                Undo::Action(Box::new(Self::ResizeVolume { dataset: dataset.clone(), from: *to, to: *from }))
            }
            // Truncating what was added removes no data that existed before.
            Self::GrowDisk { path, from, to } => Undo::Shrink(path.clone(), *to, *from),
            // Others may have begun to use it; the command that mounted it checks this when it ends.
            Self::Borrow { .. } => Undo::Nothing,
            // What was removed is of no use.
            Self::LetGo { .. } | Self::Forget { .. } => Undo::Nothing,
            // It only reads.
            Self::ProveNetwork { .. } => Undo::Nothing,
            // It wrote to the dataset that the same plan created.
            Self::ImportImage { .. } | Self::VerifyImage { .. } => Undo::Nothing,
            // It is kept so that another attempt can resume it.
            Self::KeepPart { .. } => Undo::Nothing,
            // At that point the image is complete.
            Self::DropPart { .. } => Undo::Impossible,
            Self::Host(intent) => match intent.opposite() {
                Some(_) => Undo::Host(intent.clone()),
                None => Undo::Nothing,
            },
            Self::Promote { clone, origin } => Undo::Action(Box::new(Self::Promote { clone: origin.clone(), origin: clone.clone() })),
            Self::RestoreFiles { before, .. } => Undo::Action(Box::new(Self::Rollback { snapshot: before.clone() })),
            Self::ResizeVolume { .. } | Self::GrowLive { .. } | Self::ShrinkDisk { .. } | Self::RemoveFile { .. } => Undo::Impossible,
            Self::Rollback { .. } | Self::DestroySnapshot { .. } | Self::DestroyDataset { .. } | Self::DestroyTree { .. } => {
                Undo::Impossible
            }
            // It is removed with the snapshot, which the same plan took.
            Self::MarkSnapshot { .. } => Undo::Nothing,
            Self::Send { .. } => Undo::Nothing,
            Self::Receive { onto: Some(_), .. } => Undo::Increment(Box::new(self.clone())),
            Self::Receive { into, resumable, .. } => Undo::DestroyReceived { dataset: into.clone(), unless_resumable: *resumable },
            // If the VM never ran, its own supervisor cleans up.
            Self::Launch(_) | Self::Stop { .. } | Self::Reset { .. } | Self::ChangeDisc { .. } => Undo::Nothing,
        }
    }
}
