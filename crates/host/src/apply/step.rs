//! Executing one step of a plan.
//!
//! Not here: the order of steps and rolling back ([`super`], [`undo`]), and how a step is named and shown (chyves-core
//! `action`).

use super::{Applied, Done, Event, Place, copy, disk, files, image, machine, receive, remedy, restore, send, settings, undo, volume_users};
use crate::mounts::mount;
use crate::settled::command;
use crate::{control, network, observe};
use chyves_core::action::{Action, Growth};
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::network::nat;
use chyves_core::os::Intent;
use chyves_core::value::{FilePath, printable};
use chyves_core::zfs::args;

/// Executes one step. Its effect is added to `done` as soon as it exists, even if a later part of the step fails. With `flush`,
/// small files that it writes are synced to disk.
#[allow(clippy::too_many_lines)] // one arm per step
pub(super) fn perform(
    step: &Action,
    flush: bool,
    began: u64,
    place: &mut Place<'_>,
    applied: &mut Applied,
    done: &mut Vec<Done>,
) -> Result<()> {
    let mut made = |before: Option<Vec<u8>>| done.push(Done { undo: step.undo(), before, words: step.describe() });
    match step {
        Action::Verify { objects } => verify(objects),
        Action::CreateDataset { .. }
        | Action::CreateVolume { .. }
        | Action::ResizeVolume { .. }
        | Action::CloneDataset { .. }
        | Action::Snapshot { .. }
        | Action::MarkSnapshot { .. }
        | Action::Rollback { .. }
        | Action::Rename { .. }
        | Action::RenameVolume { .. }
        | Action::DestroySnapshot { .. }
        | Action::DestroyDataset { .. }
        | Action::DestroyTree { .. }
        | Action::SetReadonly { .. }
        | Action::SetNative { .. }
        | Action::Tame { .. }
        | Action::DropSnapshot { .. }
        | Action::LeaveToClones { .. }
        | Action::Promote { .. } => {
            if let Action::DestroyTree { takes, .. } = step {
                volume_users::check(takes)?;
                nothing_more(takes)?;
            }
            if let Action::ResizeVolume { dataset, from, to } = step {
                disk::volume_has(dataset, *from, *to)?;
            }
            for cmd in step.commands(place.os) {
                if let Err(problem) = command(&cmd, place) {
                    // `zfs` may have created what it then failed to mount; that has to be rolled back.
                    if undo::is_half_made(step, began) {
                        made(None);
                    }
                    return Err(problem);
                }
            }
            made(None);
            Ok(())
        }
        Action::Host(Intent::StopDhcp { file }) => {
            network::end_server(file);
            made(None);
            Ok(())
        }
        Action::Host(_) | Action::Change { .. } => {
            if let Action::Host(Intent::StartDhcp { file }) = step {
                network::end_server(file);
            }
            let cmds = step.commands(place.os);
            for (index, cmd) in cmds.iter().enumerate() {
                let result = command(cmd, place).or_else(|problem| remedy::with_next_unit(cmd, problem, place));
                // After the first command there is an effect, even if the rest fails.
                if index == 0 && result.is_ok() {
                    made(None);
                }
                result?;
            }
            if let Action::Host(Intent::DestroyVm { vm }) = step {
                machine::object_is_gone(vm)?;
            }
            if let Action::Host(intent) = step {
                if cmds.is_empty() && intent.is_of_netgraph() {
                    made(None);
                }
                network::graph::note(intent, place.runtime)?;
            }
            Ok(())
        }
        Action::Mount { dataset } => mount(dataset, place).map(|new| {
            if new {
                made(None)
            }
        }),
        Action::LetGo { dataset } => crate::shared_mounts::let_go(place.runtime, dataset, place.command).map(drop),
        Action::Forget { uuid, .. } => place.runtime.forget(*uuid),
        Action::Borrow { dataset } => mount(dataset, place).map(drop),
        Action::Unmount { dataset } => {
            match command(&args::unmount(dataset), place) {
                Ok(()) => made(None),
                // A file system that stays mounted does no harm; a step that needs it unmounted will fail.
                Err(problem) => (place.report)(Event::Warning(format!("{dataset} stays mounted: {problem}"))),
            }
            Ok(())
        }
        Action::SendReceive { from, to, size } => {
            copy::is_free(to)?;
            // A partial dataset may exist as soon as the reception has begun.
            made(None);
            copy::copy(from, to, *size, place)
        }
        Action::ReadFile { path } => settings::read(path).map(|text| applied.read = text),
        Action::MakeFolder { path } => files::make_folder(path).map(|new| {
            if new {
                made(None)
            }
        }),
        Action::DropFolder { path, files } => {
            made(None);
            for name in files.iter().map(|(name, _)| name.as_str()).chain([nat::PROCESS]) {
                files::remove(&FilePath::host(format!("{path}/{name}")))?;
            }
            files::remove_folder(&FilePath::host(path.as_str()))
        }
        Action::WriteFile { path, text } => files::write(path, text, flush).map(made),
        Action::WriteHostFile(file) => files::write(&FilePath::host(file.path.as_str()), &file.text, flush).map(made),
        Action::ChangeDisc { guest, uuid, dataset, device, path, force, again, borrows, .. } => {
            let target = control::Target { uuid: *uuid, name: guest, dataset };
            let disc = control::Disc { drive: device.as_deref(), path: path.as_deref(), force: *force, again, borrows };
            control::disc(place.runtime, target, disc)
        }
        Action::WriteSeed(disc) => crate::seed::write(disc).map(|()| made(None)),
        Action::MakeDisk { path, size } => files::make_disk(path, *size).map(|()| made(None)),
        Action::GrowDisk { path, from, to } => files::grow(path, *from, *to).map(|()| made(None)),
        Action::GrowLive { by, .. } => {
            let grown = machine::grow_live(step, place);
            // A refusal changes nothing; after any other failure the guest may have noticed the change.
            if grown.as_ref().map_or_else(|p| p.code != Kind::NotNow && *by == Growth::Asked, |()| true) {
                made(None);
            }
            grown
        }
        Action::ShrinkDisk { path, from, to } => {
            files::cut(path, *from, *to)?;
            made(None);
            Ok(())
        }
        Action::CopyDisk { from, format, to, size } => {
            disk::copy(from, *format, to, *size, place)?;
            made(None);
            Ok(())
        }
        Action::RenameFile { from, to } => files::rename(from, to).map(|()| made(None)),
        Action::RemoveFile { path, .. } => {
            files::remove(path)?;
            made(None);
            Ok(())
        }
        Action::CopyVariables { guest, from, to } => files::copy_variables(guest, from, to, place).map(|new| {
            if new {
                made(None)
            }
        }),
        Action::SetAside { from, to } => {
            if files::set_aside(from, to)? {
                made(None);
                applied.said.push(to.to_string());
            }
            Ok(())
        }
        Action::RestoreFiles { from, to, .. } => {
            // From the first block on there is an effect.
            made(None);
            let report = &mut *place.report;
            let mut progress = |done, total| report(Event::Progress(done, total));
            restore::restore(from.as_ref(), to.as_ref(), &mut restore::Watch { interrupted: place.interrupted, progress: &mut progress })
        }
        Action::CheckFiles { files } => files::check(files, place.report),
        Action::KeepPart { .. } | Action::DropPart { .. } | Action::ImportImage { .. } | Action::VerifyImage { .. } => {
            image::perform(step, place)?;
            // Once the partial download is gone, the image is kept.
            if matches!(step, Action::DropPart { .. }) {
                made(None);
            }
            Ok(())
        }
        Action::Send { sending } => send::send(sending, place),
        Action::Receive { .. } => {
            let arrived = receive::receive(step, place)?;
            applied.said.extend(arrived.said);
            applied.disarmed.extend(arrived.disarmed);
            made(None);
            Ok(())
        }
        Action::ProveNetwork { proofs } => {
            step.commands(place.os).iter().for_each(|cmd| (place.report)(Event::Command(cmd.to_string())));
            network::prove_it(place.os, place.runtime, proofs)
        }
        // The lock of the networks is released: starting a VM takes long.
        Action::Launch(_) if place.lent.network.take().is_some() => perform(step, flush, began, place, applied, done),
        Action::Launch(what) => machine::launch(what, place).map(|pids| applied.started = Some(pids)),
        Action::Stop { guest, uuid, dataset, timeout, force } => {
            let target = control::Target { uuid: *uuid, name: guest, dataset };
            applied.said.push(machine::stop(&target, *timeout, *force, place)?);
            Ok(())
        }
        Action::Reset { guest, uuid, dataset } => control::reset(place.runtime, control::Target { uuid: *uuid, name: guest, dataset }),
    }
}

/// Verifies that a tree contains nothing beyond these names; the first one is the tree itself.
fn nothing_more(takes: &[String]) -> Result<()> {
    let Some(tree) = takes.first().and_then(|name| name.parse().ok()) else { return Ok(()) };
    let listed = crate::run::must(&args::list_everything(&tree))?;
    let more = listed.lines().map(|l| l.split('\t').next().unwrap_or(l)).find(|name| !takes.iter().any(|t| t == name));
    match more {
        None => Ok(()),
        Some(more) => Err(Problem::not_now(format!("cannot destroy {tree}: it holds {}", printable(more, 200)))
            .on(&tree)
            .because("that came since it was shown what would be destroyed")
            .hint("repeat the command to see all of it")),
    }
}

/// Verifies that each name still has the GUID that it had when it was looked up.
fn verify(objects: &[(String, u64)]) -> Result<()> {
    let names: Vec<String> = objects.iter().map(|(n, _)| n.clone()).collect();
    for ((name, was), (_, is)) in objects.iter().zip(observe::guids(&names)?) {
        if *was != is {
            return Err(Problem::not_now(format!("`{}` is not what it was a moment ago", printable(name, 120)))
                .on(name)
                .because(format!("its GUID was {was} and is {is}: something else has taken its name"))
                .hint("check it with `chyves list` and try again"));
        }
    }
    Ok(())
}
