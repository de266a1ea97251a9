//! The description of an action.

use super::Action;
use crate::guest::DiskFormat;
use crate::network::Proof;
use crate::vmm::HostFile;
use crate::zfs::sending::Sending;

impl Action {
    /// One line that describes the action, beginning with a verb.
    pub fn describe(&self) -> String {
        match self {
            Self::Verify { objects } => {
                let names: Vec<_> = objects.iter().map(|(name, guid)| format!("{name} has the GUID {guid}")).collect();
                format!("make sure that {}", names.join(", "))
            }
            Self::CreateDataset { dataset, .. } => format!("create the file system {dataset}"),
            Self::CreateVolume { dataset, size, reserved, .. } => {
                format!("create the volume {dataset} of {size}{}", if *reserved { ", reserved" } else { "" })
            }
            Self::ResizeVolume { dataset, from, to } => format!("resize the volume {dataset} from {from} to {to}"),
            Self::CloneDataset { from, to, .. } => format!("clone {from} to {to}"),
            Self::Change { on, .. } => format!("change settings of {on}"),
            Self::Snapshot { snapshot, .. } => format!("take the snapshot {snapshot}"),
            Self::MarkSnapshot { snapshot, .. } => format!("record on {snapshot} what is about to change"),
            Self::Rollback { snapshot } => format!("roll back to {snapshot}"),
            Self::Rename { from, to, .. } | Self::RenameVolume { from, to } => format!("rename {from} to {to}"),
            Self::DestroySnapshot { snapshot } => format!("destroy the snapshot {snapshot}"),
            Self::DestroyDataset { dataset } => format!("destroy {dataset}"),
            Self::DestroyTree { dataset, takes } => format!("destroy {dataset}, and with it {}", takes.join(", ")),
            Self::Promote { clone, origin } => format!("make {clone} the owner of the snapshots that it shares with {origin}"),
            Self::Mount { dataset } => format!("mount {dataset}"),
            Self::Borrow { dataset } => format!("mount {dataset} if it is not mounted, for as long as it is used"),
            Self::LetGo { dataset } => format!("unmount {dataset}, which is no longer used"),
            Self::Forget { guest, .. } => format!("remove what the last VM of {guest} left in the runtime folder"),
            Self::Unmount { dataset } => format!("unmount {dataset}"),
            Self::SetReadonly { dataset, on: true } => format!("make {dataset} read-only"),
            Self::SetReadonly { dataset, on: false } => format!("make {dataset} writable again"),
            Self::Tame { dataset, .. } => format!("keep {dataset} from acting on this host by its properties"),
            Self::SetNative { dataset, native } => {
                let each: Vec<String> = native.iter().map(|(k, v)| format!("{k}={v}")).collect();
                format!("give {dataset} {}", each.join(" "))
            }
            Self::LeaveToClones { snapshot } => format!("let the snapshot {snapshot} be destroyed with its last clone"),
            Self::DropSnapshot { snapshot } => format!("destroy the working snapshot {snapshot}"),
            Self::SendReceive { from, to, size } => format!("send {from} ({}) into the new {to}", size.human()),
            Self::ReadFile { path } => format!("read {path}"),
            Self::DropFolder { path, .. } => format!("remove the folder {path}"),
            Self::MakeFolder { path } => format!("create the folder {path}"),
            Self::WriteFile { path, text } => format!("write {path} ({} lines)", text.lines().count()),
            Self::WriteHostFile(HostFile { path, text, .. }) => format!("write {path} ({} lines)", text.lines().count()),
            Self::ChangeDisc { guest, drive, disc, before, device, .. } => {
                let when = if device.is_some() { "" } else { " at its next reboot" };
                match (disc, before) {
                    (Some(disc), Some(before)) => format!("replace {before} in the drive cd{drive} of {guest} by {disc}{when}"),
                    (Some(disc), None) => format!("insert {disc} into the drive cd{drive} of {guest}{when}"),
                    (None, Some(before)) => format!("eject {before} from the drive cd{drive} of {guest}{when}"),
                    (None, None) => format!("leave the drive cd{drive} of {guest} empty{when}"),
                }
            }
            Self::WriteSeed(disc) => format!("create the cloud-init seed {} for the instance {}", disc.path, disc.seed.instance_id),
            Self::MakeDisk { path, size } => format!("create the disk {path} of {size}"),
            Self::GrowDisk { path, from, to } => format!("grow the disk {path} from {from} to {to}"),
            Self::GrowLive { guest, path, from, to, .. } => format!("grow the disk {path} of the running {guest} from {from} to {to}"),
            Self::ShrinkDisk { path, from, to } => format!("shrink the disk {path} from {from} to {to}, losing what is beyond"),
            Self::CopyDisk { from, format, to, size } => {
                let size = size.map(|s| format!(" of {s}")).unwrap_or_default();
                // The actual command line refers to descriptors that only this process has; the one that is shown has the
                // same effect.
                let how = match format {
                    DiskFormat::Qcow2 => "; qemu-img runs confined, without backing files, and gets both as NBD connections, not by name",
                    DiskFormat::Raw => "",
                };
                format!("write {from} ({}) to the disk {to}{size}{how}", format.word())
            }
            Self::RenameFile { from, to } => format!("rename the file {from} to {to}"),
            Self::RemoveFile { path, copy } => format!("remove {path}, which is now {copy}"),
            Self::CopyVariables { from, to, .. } => format!("copy {from} to {to} unless it exists"),
            Self::SetAside { from, to } => format!("keep {from} as {to}, if it exists"),
            Self::RestoreFiles { from, to, .. } => format!("restore the files in {to} from {from}, where they differ"),
            Self::CheckFiles { files } => {
                let names: Vec<_> = files.iter().map(|file| format!("{} ({})", file.what, file.path)).collect();
                format!("check that these exist: {}", names.join(", "))
            }
            Self::KeepPart { part, there: false, .. } => format!("create {part}, which keeps a partial download"),
            Self::KeepPart { part, there: true, .. } => format!("resume the partial download in {part}"),
            Self::DropPart { part } => format!("destroy {part}, which is no longer needed"),
            Self::ImportImage { order, folder, .. } => {
                format!("read {} into {folder}: hash, detect, decompress, convert, write", order.source.shown())
            }
            Self::VerifyImage { image, path, .. } => format!("read {path} again to verify {image}"),
            Self::Send { sending } => sent(sending),
            Self::Receive { into, .. } => format!("receive {into} from standard input"),
            Self::Host(intent) => intent.describe(),
            Self::ProveNetwork { proofs } => {
                let each: Vec<String> = proofs.iter().map(Proof::describe).collect();
                format!("make sure that {}", each.join(", "))
            }
            Self::Launch(launch) => format!("run {} under a supervisor{}", launch.guest, launch.descriptors_shown()),
            Self::Stop { guest, timeout, force, .. } => {
                let then = if *force { "power off forcibly" } else { "give up" };
                format!("ask {guest} by ACPI to power off, repeatedly for at most {timeout} s, then {then}")
            }
            Self::Reset { guest, .. } => format!("reset {guest}: the guest operating system cannot write anything first"),
        }
    }
}

fn sent(sending: &Sending) -> String {
    match sending {
        Sending::Snapshot { snapshot, .. } => format!("send {snapshot} to standard output"),
        Sending::Standalone { snapshot, volumes, .. } => {
            let below: Vec<_> = volumes.iter().map(|(v, _)| v.leaf()).collect();
            format!("send {snapshot} and its {} to standard output, each by itself, in the envelope of the first command", below.join(", "))
        }
        Sending::Rest(_) => "send the rest of a stream to standard output".to_owned(),
    }
}
