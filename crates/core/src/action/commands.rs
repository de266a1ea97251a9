//! The shell commands that correspond to an action.

use super::{Action, Growth, is_device};
use crate::cmd::Cmd;
use crate::guest::DiskFormat;
use crate::network::Proof;
use crate::os::{Os, freebsd::ngctl};
use crate::property::keys;
use crate::value::Size;
use crate::zfs::args::Pair;
use crate::zfs::{Dialect, args, guard, stream};

impl Action {
    /// The commands that a user would type for it; work that chyves does itself is shown as the closest command.
    pub fn commands(&self, os: Os) -> Vec<Cmd> {
        match self {
            Self::Verify { objects } => {
                let names: Vec<&str> = objects.iter().map(|(name, _)| name.as_str()).collect();
                vec![args::read_guids(&names)]
            }
            Self::CreateDataset { dataset, native, own } => vec![args::create(dataset, &refs(native), own)],
            Self::CreateVolume { dataset, size, block, reserved } => vec![args::create_volume(dataset, *size, *block, *reserved)],
            Self::ResizeVolume { dataset, to, .. } => vec![args::resize_volume(dataset, *to)],
            Self::CloneDataset { from, to, native, own } => vec![args::clone(from, to, &refs(native), own)],
            Self::Change { dialect, on, set, clear, .. } => args::change(*dialect, on.as_str(), set, clear),
            Self::Snapshot { snapshot, own } => vec![args::snapshot(snapshot, own)],
            Self::MarkSnapshot { dialect, snapshot, own } => args::change(*dialect, &snapshot.to_string(), own, &[]),
            Self::Rollback { snapshot } => vec![args::rollback(snapshot)],
            Self::Rename { dialect, from, to } => vec![args::rename(*dialect, from, to)],
            Self::RenameVolume { from, to } => vec![args::rename_volume(from, to)],
            Self::DestroySnapshot { snapshot } | Self::DropSnapshot { snapshot } => vec![args::destroy_snapshot(snapshot)],
            Self::LeaveToClones { snapshot } => vec![args::leave_to_clones(snapshot)],
            Self::DestroyDataset { dataset } => vec![args::destroy(dataset)],
            Self::DestroyTree { dataset, .. } => vec![args::destroy_tree(dataset)],
            Self::Promote { clone, .. } => vec![args::promote(clone)],
            Self::Mount { dataset } | Self::Borrow { dataset } => vec![args::mount(dataset)],
            Self::Unmount { dataset } | Self::LetGo { dataset } => vec![args::unmount(dataset)],
            Self::SetReadonly { dataset, on } => vec![args::set_readonly(dataset, *on)],
            Self::SetNative { dataset, native } => args::set_native(dataset, native),
            Self::Tame { dialect, dataset, is, came } => guard::tame(dataset, *is, *dialect, came),
            Self::SendReceive { from, to, .. } => vec![args::send(from), args::receive(to)],
            Self::MakeFolder { path } => vec![Cmd::new("mkdir", ["-m", "0700", "-p", &path.to_string()])],
            Self::DropFolder { path, .. } => vec![Cmd::new("rm", ["-r", path])],
            Self::MakeDisk { path, size } => vec![Cmd::new("truncate", ["-s", &size.get().to_string(), &path.to_string()])],
            Self::GrowDisk { path, to, .. } | Self::ShrinkDisk { path, to, .. } => {
                vec![Cmd::new("truncate", ["-s", &to.get().to_string(), &path.to_string()])]
            }
            Self::GrowLive { path, by, to, .. } => match by {
                Growth::Asked => Vec::new(),
                Growth::OfFile => vec![Cmd::new("truncate", ["-s", &to.get().to_string(), &path.to_string()])],
                Growth::OfVolume(volume) => vec![args::resize_volume(volume, *to)],
            },
            Self::CopyDisk { from, format, to, size } => copy_disk(&from.to_string(), *format, &to.to_string(), *size),
            Self::RenameFile { from, to } | Self::SetAside { from, to } => vec![Cmd::new("mv", ["-n", &from.to_string(), &to.to_string()])],
            Self::RemoveFile { path, .. } => vec![Cmd::new("rm", [path.to_string()])],
            Self::CopyVariables { from, to, .. } => vec![Cmd::new("cp", ["-n", &from.to_string(), &to.to_string()])],
            Self::CheckFiles { files } => files.iter().map(|file| Cmd::new("test", ["-w", &file.path.to_string()])).collect(),
            Self::RestoreFiles { from, to, .. } => {
                vec![Cmd::new(
                    "rsync",
                    ["-rt", "--inplace", "--no-whole-file", "--delete", "--exclude=/logs", &format!("{from}/"), &format!("{to}/")],
                )]
            }
            Self::Send { sending } => sending.envelope().into_iter().chain(sending.cmds()).collect(),
            Self::Receive { dialect, into, resumable, .. } => {
                let plain = *dialect == Dialect::Fuse;
                let mut cmds = vec![stream::receive(into, plain, *resumable)];
                cmds.extend(guard::tame(into, guard::Type::FileSystem, *dialect, &[]));
                cmds
            }
            Self::ReadFile { path } => vec![Cmd::new("cat", [path.to_string()])],
            Self::WriteFile { .. } | Self::WriteHostFile(_) => Vec::new(),
            Self::KeepPart { part, there, address, now } => {
                let native = [("canmount", "noauto")];
                let own = [(keys::IMAGE_PARTIAL.to_owned(), address.clone()), (keys::IMAGE_ADDED.to_owned(), now.clone())];
                // Using it again restarts its expiry.
                let mut cmds = match there {
                    true => args::change(Dialect::Fuse, part.as_str(), &own[1..], &[]),
                    false => vec![args::create(part, &native, &own)],
                };
                cmds.push(args::mount(part));
                cmds
            }
            Self::DropPart { part } => vec![args::unmount(part), args::destroy(part)],
            Self::ImportImage { .. }
            | Self::VerifyImage { .. }
            | Self::WriteSeed(_)
            | Self::ChangeDisc { .. }
            | Self::Stop { .. }
            | Self::Reset { .. }
            | Self::Forget { .. } => Vec::new(),
            Self::Host(intent) => intent.commands(os),
            Self::ProveNetwork { proofs } => {
                let nodes = proofs.iter().any(Proof::is_of_netgraph).then(ngctl::list);
                [crate::network::observe::question(os)].into_iter().chain(nodes).collect()
            }
            Self::Launch(launch) => launch.before.iter().map(|p| p.cmd.clone()).chain([launch.hypervisor.clone()]).collect(),
        }
    }
}

/// Converts a qcow2 file to a raw disk. An existing volume is written bypassing the host's page cache: otherwise data that
/// does not fit into a full pool would be lost after qemu-img had exited successfully.
pub fn from_qcow2(from: &str, to: &str) -> Cmd {
    if is_device(to) {
        Cmd::new("qemu-img", ["convert", "-n", "-t", "none", "-f", "qcow2", "-O", "raw", from, to])
    } else {
        Cmd::new("qemu-img", ["convert", "-f", "qcow2", "-O", "raw", "-S", "64k", from, to])
    }
}

fn copy_disk(from: &str, format: DiskFormat, to: &str, size: Option<Size>) -> Vec<Cmd> {
    let mut cmds = vec![match (format, is_device(to)) {
        (DiskFormat::Raw, _) => Cmd::new("dd", [&format!("if={from}"), &format!("of={to}"), "bs=65536", "conv=sparse"]),
        (DiskFormat::Qcow2, _) => from_qcow2(from, to),
    }];
    if let (false, Some(size)) = (is_device(to), size) {
        cmds.push(Cmd::new("truncate", ["-s", &size.get().to_string(), to]));
    }
    cmds
}

fn refs(pairs: &[Pair]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect()
}
