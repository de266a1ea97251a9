//! An action in words.

use super::Action;
use crate::network::Proof;
use crate::vmm::HostFile;
use crate::zfs::sending::Sending;

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
            Self::Rename { from, to, .. } | Self::RenameVolume { from, to } => format!("rename {from} to {to}"),
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
            Self::Tame { dataset, .. } => format!("keep {dataset} from acting on this host by its properties"),
            Self::SetNative { dataset, native } => {
                let each: Vec<String> = native.iter().map(|(k, v)| format!("{k}={v}")).collect();
                format!("give {dataset} {}", each.join(" "))
            }
            Self::LeaveToClones { snapshot } => format!("let the snapshot {snapshot} go with its last clone"),
            Self::DropSnapshot { snapshot } => format!("destroy the working snapshot {snapshot}"),
            Self::SendReceive { from, to, size } => format!("send {from} ({}) into the new {to}", size.human()),
            Self::ReadFile { path } => format!("read {path}"),
            Self::DropFolder { path, .. } => format!("remove the folder {path}"),
            Self::MakeFolder { path } => format!("make the folder {path}"),
            Self::WriteFile { path, text } => format!("write {path} ({} lines)", text.lines().count()),
            Self::WriteHostFile(HostFile { path, text, .. }) => format!("write {path} ({} lines)", text.lines().count()),
            Self::ChangeDisc { guest, drive, disc, before, device, .. } => {
                let when = if device.is_some() { "" } else { " at its next reboot" };
                match (disc, before) {
                    (Some(disc), Some(before)) => format!("change {before} in the drive cd{drive} of {guest} for {disc}{when}"),
                    (Some(disc), None) => format!("put {disc} into the drive cd{drive} of {guest}{when}"),
                    (None, Some(before)) => format!("take {before} out of the drive cd{drive} of {guest}{when}"),
                    (None, None) => format!("leave the drive cd{drive} of {guest} empty{when}"),
                }
            }
            Self::WriteSeed(disc) => format!("make the cloud-init seed {} for the instance {}", disc.path, disc.seed.instance_id),
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
            Self::CopyVariables { from, to, .. } => format!("copy {from} to {to} unless it is there"),
            Self::SetAside { from, to } => format!("keep {from} as {to}, if it is there"),
            Self::RestoreFiles { from, to, .. } => format!("make the files in {to} what they are in {from}, where they differ"),
            Self::CheckFiles { files } => {
                let names: Vec<_> = files.iter().map(|file| format!("{} ({})", file.what, file.path)).collect();
                format!("make sure that these are there: {}", names.join(", "))
            }
            Self::KeepPart { part, there: false, .. } => format!("make {part}, where what comes is kept for another try"),
            Self::KeepPart { part, there: true, .. } => format!("go on with what {part} kept of an earlier try"),
            Self::DropPart { part } => format!("destroy {part}, which is of no use any more"),
            Self::ImportImage { order, folder, .. } => {
                format!("read {} into {folder}: hash, recognise, unpack, convert, write", order.source.shown())
            }
            Self::VerifyImage { image, path, .. } => format!("read {path} again: is {image} what was imported?"),
            Self::Send { sending } => match sending {
                Sending::Snapshot { snapshot, .. } => format!("send {snapshot} to standard output"),
                Sending::Standalone { snapshot, volumes, .. } => {
                    let below: Vec<_> = volumes.iter().map(|(v, _)| v.leaf()).collect();
                    format!(
                        "send {snapshot} and its {} to standard output, each by itself, in the envelope of the first command",
                        below.join(", ")
                    )
                }
                Sending::Rest(_) => "send the rest of a stream to standard output".to_owned(),
            },
            Self::Receive { into, .. } => format!("receive {into} from standard input"),
            Self::Host(intent) => intent.describe(),
            Self::ProveNetwork { proofs } => {
                let each: Vec<String> = proofs.iter().map(Proof::describe).collect();
                format!("make sure that {}", each.join(", "))
            }
            Self::Launch(launch) => format!("run {} under a supervisor of its own{}", launch.guest, launch.descriptors_shown()),
            Self::Stop { guest, timeout, force, .. } => {
                let then = if *force { "power off forcibly" } else { "give up" };
                format!("ask {guest} by ACPI to power off, again and again for at most {timeout} s, then {then}")
            }
            Self::Reset { guest, .. } => format!("reset {guest}, as by its button: its system has no chance to write anything first"),
        }
    }
}
