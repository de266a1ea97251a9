//! What an action reads, writes and changes, and whether its effect survives a reboot of the host.

use super::{Action, Growth};
use crate::value::Dataset;
use crate::zfs::sending::Sending;

impl Action {
    /// The paths of files and folders that it reads, creates, changes or removes in file systems of the pools: to run it,
    /// or to roll it back, these file systems must be mounted. The list may include paths in the runtime folder.
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
            Self::Verify { .. }
            | Self::CreateDataset { .. }
            | Self::CreateVolume { .. }
            | Self::ResizeVolume { .. }
            | Self::CloneDataset { .. }
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
            | Self::Mount { .. }
            | Self::Borrow { .. }
            | Self::LetGo { .. }
            | Self::Forget { .. }
            | Self::Unmount { .. }
            | Self::SetReadonly { .. }
            | Self::SetNative { .. }
            | Self::Tame { .. }
            | Self::DropSnapshot { .. }
            | Self::SendReceive { .. }
            | Self::ChangeDisc { .. }
            | Self::GrowLive { .. }
            | Self::KeepPart { .. }
            | Self::DropPart { .. }
            | Self::Send { .. }
            | Self::Receive { .. }
            | Self::Host(_)
            | Self::ProveNetwork { .. }
            | Self::Launch(_)
            | Self::Stop { .. }
            | Self::Reset { .. } => Vec::new(),
        }
    }

    /// The datasets that it creates, destroys or changes in their pools: their names, properties or snapshots. Files that
    /// it changes are listed by [`Self::files`]; mounting changes nothing in a pool.
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

    /// Whether its effect survives a reboot of the host: changes of pools and files do; changes of mounts, interfaces and
    /// VMs do not, and read-only actions have no effect. A seed is recreated at each start.
    pub fn outlives_the_host(&self) -> bool {
        let is_seed = matches!(self, Self::WriteSeed(_));
        !is_seed && !self.only_reads_files() && (!self.changes().is_empty() || !self.files().is_empty())
    }

    /// Whether it only reads the files that [`Self::files`] lists.
    pub fn only_reads_files(&self) -> bool {
        matches!(self, Self::CheckFiles { .. } | Self::ReadFile { .. } | Self::VerifyImage { .. })
    }

    /// The datasets with contents that it reads or writes, including those that it creates: encrypted ones need their keys
    /// for this. Names, properties, snapshots and raw streams need no key.
    ///
    /// Actions on files are left out: their file systems are already mounted, and therefore not locked, or are mounted by
    /// an earlier step.
    pub fn opens(&self) -> Vec<&Dataset> {
        match self {
            Self::CreateDataset { dataset, .. }
            | Self::CreateVolume { dataset, .. }
            | Self::ResizeVolume { dataset, .. }
            | Self::Mount { dataset }
            | Self::Borrow { dataset }
            | Self::KeepPart { part: dataset, .. }
            | Self::ImportImage { dataset, .. } => vec![dataset],
            // A clone uses the key of its origin.
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
            // The guest's volumes, which are not mounted.
            Self::Launch(launch) => vec![&launch.dataset],
            // Only ZFS knows the origin of a resume token, and whether a stream contains its own key.
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
