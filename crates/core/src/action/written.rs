//! The content of the files that a step writes for a hypervisor, a loader or the guest, for the dry run.
//!
//! Not here: chyves' own files, such as the copy of a guest's settings, because their content is in the steps beside them.

use super::Action;
use crate::cloudinit::{Sources, documents};

impl Action {
    /// Each file's path with its content; secrets are hidden.
    pub fn written(&self) -> Vec<(String, String)> {
        match self {
            Self::WriteHostFile(file) => vec![(file.path.clone(), file.shown())],
            Self::WriteSeed(disc) => {
                // If the user's own texts were not read, only the parts that chyves generates are shown.
                let password = disc.seed.password_file.as_ref().map(|_| "$x$(hidden)$".to_owned());
                let sources = disc.read.clone().unwrap_or_else(|| Sources { password, ..Sources::default() });
                match documents::shown(&disc.seed, &sources, true) {
                    Ok(all) => all.each().into_iter().map(|(name, text)| (format!("{}/{name}", disc.path), text.to_owned())).collect(),
                    Err(why) => vec![(disc.path.clone(), format!("{why}\n"))],
                }
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
            | Self::ReadFile { .. }
            | Self::MakeFolder { .. }
            | Self::DropFolder { .. }
            | Self::WriteFile { .. }
            | Self::ChangeDisc { .. }
            | Self::MakeDisk { .. }
            | Self::GrowDisk { .. }
            | Self::GrowLive { .. }
            | Self::ShrinkDisk { .. }
            | Self::CopyDisk { .. }
            | Self::RenameFile { .. }
            | Self::RemoveFile { .. }
            | Self::CopyVariables { .. }
            | Self::SetAside { .. }
            | Self::RestoreFiles { .. }
            | Self::CheckFiles { .. }
            | Self::KeepPart { .. }
            | Self::DropPart { .. }
            | Self::ImportImage { .. }
            | Self::VerifyImage { .. }
            | Self::Send { .. }
            | Self::Receive { .. }
            | Self::Host(_)
            | Self::ProveNetwork { .. }
            | Self::Launch(_)
            | Self::Stop { .. }
            | Self::Reset { .. } => Vec::new(),
        }
    }
}
