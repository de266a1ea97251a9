//! What an action reads, writes and changes, and whether that outlives this run of the host.

use super::{Action, Growth};
use crate::value::Dataset;
use crate::zfs::sending::Sending;

impl Action {
    /// Where the files and folders are that it reads, makes, changes or removes in file systems of the pools: who does
    /// it, or rolls it back, has them mounted. A path in the runtime folder may be among them.
    pub fn files(&self) -> Vec<&str> {
        match self {
            Self::DropFolder { path, .. } => vec![path],
            Self::ReadFile { path }
            | Self::MakeFolder { path }
            | Self::WriteFile { path, .. }
            | Self::MakeDisk { path, .. }
            | Self::GrowDisk { path, .. }
            | Self::ShrinkDisk { path, .. }
            | Self::VerifyImage { path, .. } => vec![path.within()],
            Self::WriteSeed(disc) => vec![&disc.path, disc.folder.within()],
            Self::WriteHostFile(file) => vec![&file.path],
            Self::CopyDisk { from, to, .. }
            | Self::RenameFile { from, to }
            | Self::SetAside { from, to }
            | Self::CopyVariables { from, to, .. } => vec![from.within(), to.within()],
            Self::RestoreFiles { from, to, .. } => vec![from, to],
            Self::RemoveFile { path, copy } => vec![path.within(), copy.within()],
            Self::CheckFiles { files } => files.iter().map(|file| file.path.within()).collect(),
            Self::ImportImage { folder, part, .. } => {
                std::iter::once(folder.as_str()).chain(part.iter().map(|(_, folder)| folder.as_str())).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The datasets that it makes, destroys or changes on their pools, be it by a name, a property or a snapshot. What it
    /// does to their files is told by [`Self::files`]; mounting changes nothing on a pool.
    pub fn changes(&self) -> Vec<&Dataset> {
        match self {
            Self::CreateDataset { dataset, .. }
            | Self::CreateVolume { dataset, .. }
            | Self::ResizeVolume { dataset, .. }
            | Self::CloneDataset { to: dataset, .. }
            | Self::Change { on: dataset, .. }
            | Self::DestroyDataset { dataset }
            | Self::DestroyTree { dataset, .. }
            | Self::SetReadonly { dataset, .. }
            | Self::SetNative { dataset, .. }
            | Self::Tame { dataset, .. }
            | Self::SendReceive { to: dataset, .. }
            | Self::KeepPart { part: dataset, .. }
            | Self::DropPart { part: dataset }
            | Self::ImportImage { dataset, .. }
            | Self::Receive { into: dataset, .. } => vec![dataset],
            Self::Snapshot { snapshot, .. }
            | Self::MarkSnapshot { snapshot, .. }
            | Self::Rollback { snapshot }
            | Self::DestroySnapshot { snapshot }
            | Self::LeaveToClones { snapshot }
            | Self::DropSnapshot { snapshot }
            | Self::RestoreFiles { before: snapshot, .. } => vec![&snapshot.dataset],
            Self::Rename { from, to, .. } | Self::RenameVolume { from, to } => vec![from, to],
            Self::Promote { clone, origin } => vec![clone, origin],
            Self::Verify { .. }
            | Self::CheckFiles { .. }
            | Self::VerifyImage { .. }
            | Self::Mount { .. }
            | Self::Borrow { .. }
            | Self::LetGo { .. }
            | Self::Unmount { .. }
            | Self::Send { .. } => Vec::new(),
            Self::MakeFolder { .. }
            | Self::ReadFile { .. }
            | Self::DropFolder { .. }
            | Self::WriteFile { .. }
            | Self::WriteHostFile(_)
            | Self::WriteSeed(_)
            | Self::MakeDisk { .. }
            | Self::GrowDisk { .. }
            | Self::ShrinkDisk { .. }
            | Self::CopyDisk { .. }
            | Self::RenameFile { .. }
            | Self::RemoveFile { .. }
            | Self::CopyVariables { .. }
            | Self::SetAside { .. } => Vec::new(),
            Self::Forget { .. }
            | Self::ChangeDisc { .. }
            | Self::GrowLive { .. }
            | Self::Host(_)
            | Self::ProveNetwork { .. }
            | Self::Launch(_)
            | Self::Stop { .. }
            | Self::Reset { .. } => Vec::new(),
        }
    }

    /// Whether what it does is still so when the host has been down: what it does on the pools and in files is, what it
    /// does to mounts, interfaces and machines is not, and what only looks does nothing. A seed is recreated at each start.
    pub fn outlives_the_host(&self) -> bool {
        match self {
            Self::CheckFiles { .. } | Self::ReadFile { .. } | Self::VerifyImage { .. } | Self::WriteSeed(_) => false,
            _ => !self.changes().is_empty() || !self.files().is_empty(),
        }
    }

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
            | Self::Tame { .. }
            | Self::DropSnapshot { .. }
            | Self::DropPart { .. } => Vec::new(),
            Self::ReadFile { .. }
            | Self::MakeFolder { .. }
            | Self::DropFolder { .. }
            | Self::WriteFile { .. }
            | Self::WriteHostFile(_)
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
            Self::Forget { .. }
            | Self::ChangeDisc { .. }
            | Self::Host(_)
            | Self::ProveNetwork { .. }
            | Self::Stop { .. }
            | Self::Reset { .. } => Vec::new(),
        }
    }
}
