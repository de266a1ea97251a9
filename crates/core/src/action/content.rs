//! What an action needs to be able to read and write.

use super::{Action, Growth};
use crate::value::Dataset;
use crate::zfs::sending::Sending;

impl Action {
    /// The datasets whose content it reads or writes, those that it makes among them: what is encrypted needs its key for
    /// that. Names, properties, snapshots and raw streams need none.
    ///
    /// Of what works on files nothing is said: files lie in file systems that are mounted, which are not locked, or
    /// that a step before mounts.
    pub fn opens(&self) -> Vec<&Dataset> {
        match self {
            Self::CreateDataset { dataset, .. }
            | Self::CreateVolume { dataset, .. }
            | Self::ResizeVolume { dataset, .. }
            | Self::Mount { dataset }
            | Self::Borrow { dataset }
            | Self::KeepPart { part: dataset, .. }
            | Self::ImportImage { dataset, .. } => vec![dataset],
            // A clone has the key of what it is a clone of.
            Self::CloneDataset { from, .. } => vec![&from.dataset],
            Self::SendReceive { from, to, .. } => vec![&from.dataset, to],
            Self::GrowLive { by: Growth::OfVolume(volume), .. } => vec![volume],
            Self::Send { sending: Sending::Snapshot { snapshot, raw, .. } | Sending::Standalone { snapshot, raw, .. } } => {
                if *raw {
                    Vec::new()
                } else {
                    vec![&snapshot.dataset]
                }
            }
            // Its volumes, which nobody mounts.
            Self::Launch(launch) => vec![&launch.dataset],
            // What its token is of, and whether a stream brings its own key with it, ZFS alone knows.
            Self::Send { sending: Sending::Rest(_) } | Self::Receive { .. } => Vec::new(),
            Self::Verify { .. }
            | Self::Change { .. }
            | Self::Snapshot { .. }
            | Self::MarkSnapshot { .. }
            | Self::Rollback { .. }
            | Self::Rename { .. }
            | Self::RenameVolume { .. }
            | Self::DestroySnapshot { .. }
            | Self::LeaveToClones { .. }
            | Self::DestroyDataset { .. }
            | Self::DestroyTree { .. }
            | Self::Promote { .. }
            | Self::LetGo { .. }
            | Self::Unmount { .. }
            | Self::SetReadonly { .. }
            | Self::SetNative { .. }
            | Self::DropSnapshot { .. }
            | Self::DropPart { .. } => Vec::new(),
            Self::SettingsFromCopy { .. }
            | Self::KeepCopy { .. }
            | Self::MakeFolder { .. }
            | Self::DropFolder { .. }
            | Self::WriteFile { .. }
            | Self::WriteSeed(_)
            | Self::MakeDisk { .. }
            | Self::GrowDisk { .. }
            | Self::GrowLive { by: Growth::Asked | Growth::OfFile, .. }
            | Self::ShrinkDisk { .. }
            | Self::CopyDisk { .. }
            | Self::RenameFile { .. }
            | Self::RemoveFile { .. }
            | Self::CopyVariables { .. }
            | Self::SetAside { .. }
            | Self::RestoreFiles { .. }
            | Self::CheckFiles { .. }
            | Self::VerifyImage { .. } => Vec::new(),
            Self::Forget { .. } | Self::ChangeDisc { .. } | Self::Host(_) | Self::ProveNetwork { .. } | Self::Stop { .. } => Vec::new(),
        }
    }
}
