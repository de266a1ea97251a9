//! What undoes an action.

use super::Action;
use crate::os::Intent;
use crate::value::{Dataset, FilePath, Size, SnapshotRef};
use crate::vmm::HostFile;
use crate::zfs::Dialect;
use crate::zfs::args::Pair;

/// What undoes an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// There is nothing to undo.
    Nothing,
    /// Nothing can undo it.
    Impossible,
    /// Another action.
    Action(Box<Action>),
    /// Change settings back.
    Change {
        /// The grammar of the host's `zfs`.
        dialect: Dialect,
        /// The dataset.
        on: Dataset,
        /// What to set.
        set: Vec<Pair>,
        /// What to take away.
        clear: Vec<String>,
        /// What is to be again as it came with a stream.
        received: Vec<String>,
    },
    /// Destroy this dataset, which the same plan made and which still has the GUID that it was made with.
    Destroy(Dataset),
    /// Destroy this dataset with its snapshots and volumes, which the same plan received.
    DestroyReceived {
        /// The dataset.
        dataset: Dataset,
        /// Keep it if the reception can go on later.
        unless_resumable: bool,
    },
    /// An increment that has arrived nevertheless stays, and what is to follow it is done; of one that has arrived in part
    /// that part is rolled back.
    Increment(Box<Action>),
    /// Destroy this dataset, which the same plan copied, with the one snapshot that came with it.
    DestroyCopy {
        /// The dataset.
        dataset: Dataset,
        /// The snapshot that was sent: the one that came with the dataset has its name and its GUID.
        like: SnapshotRef,
    },
    /// Remove this file, which the same plan made.
    RemoveFile(FilePath),
    /// Remove this folder if it is empty.
    RemoveFolder(FilePath),
    /// Make this folder again, with files of these names and contents.
    RestoreFolder(String, Vec<(String, String)>),
    /// Put back the file that stood there before, or remove it where none stood.
    RestoreFile(FilePath),
    /// Cut this file, which was grown to the first size, off at its former size.
    Shrink(FilePath, Size, Size),
    /// Take an intent back.
    Host(Intent),
}

impl Action {
    /// What rolls it back, done after it was done: actions again, newest effect first. None where nothing was made or
    /// nothing can undo it.
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
            // It says only what holds anyway: chyves takes the snapshot away with its last clone.
            Self::LeaveToClones { .. } => Undo::Nothing,
            // The dataset goes with the step that made it.
            Self::SetNative { .. } | Self::DropSnapshot { .. } => Undo::Nothing,
            // No host is better off with it as it came.
            Self::Tame { .. } => Undo::Nothing,
            Self::WriteFile { path, .. } => Undo::RestoreFile(path.clone()),
            Self::WriteHostFile(HostFile { path, .. }) => Undo::RestoreFile(FilePath::host(path.as_str())),
            // Recreated at each start, and of use to nobody without a machine.
            Self::WriteSeed(disc) => Undo::RemoveFile(FilePath::host(disc.path.as_str())),
            Self::MakeDisk { path, .. } | Self::CopyVariables { to: path, .. } => Undo::RemoveFile(path.clone()),
            // A volume goes with the step that made it.
            Self::CopyDisk { to, .. } if to.is_device() => Undo::Nothing,
            Self::CopyDisk { to, .. } => Undo::RemoveFile(to.clone()),
            Self::RenameFile { from, to } | Self::SetAside { from, to } => {
                Undo::Action(Box::new(Self::RenameFile { from: to.clone(), to: from.clone() }))
            }
            Self::ResizeVolume { dataset, from, to } if from <= to => {
                Undo::Action(Box::new(Self::ResizeVolume { dataset: dataset.clone(), from: *to, to: *from }))
            }
            // Cutting off what was added takes nothing that was there before.
            Self::GrowDisk { path, from, to } => Undo::Shrink(path.clone(), *to, *from),
            // Somebody else may have begun to use it; the command that borrowed it looks when it is over.
            Self::Borrow { .. } => Undo::Nothing,
            // What was removed was of use to nobody.
            Self::LetGo { .. } | Self::Forget { .. } => Undo::Nothing,
            // What was looked at is left as it is.
            Self::ProveNetwork { .. } => Undo::Nothing,
            // What it wrote lies in the dataset that the same plan made.
            Self::ImportImage { .. } | Self::VerifyImage { .. } => Undo::Nothing,
            // It is kept so that another try can go on from there.
            Self::KeepPart { .. } => Undo::Nothing,
            // By then the image is whole.
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
            // It goes with the snapshot, which the same plan took.
            Self::MarkSnapshot { .. } => Undo::Nothing,
            Self::Send { .. } => Undo::Nothing,
            Self::Receive { onto: Some(_), .. } => Undo::Increment(Box::new(self.clone())),
            Self::Receive { into, resumable, .. } => Undo::DestroyReceived { dataset: into.clone(), unless_resumable: *resumable },
            // The machine's own supervisor cleans up when the machine never came to life.
            Self::Launch(_) | Self::Stop { .. } | Self::Reset { .. } | Self::ChangeDisc { .. } => Undo::Nothing,
        }
    }
}
