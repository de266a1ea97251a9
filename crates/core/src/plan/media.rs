//! `insert` and `eject`: change the medium in a drive of a running guest.
//!
//! The medium is state of the run ([`super::drives`]). QEMU changes it immediately. bhyve cannot, so the change is recorded
//! for the guest's next reboot, as it is for a drive that the running VM does not have. Not here: the media that a guest
//! starts with.

use super::drives::{self, Drive};
use super::{Plan, own_guest};
use crate::action::Action;
use crate::device::{DeviceClass, DeviceKey};
use crate::error::{Code, Problem, Result};
use crate::guest::{Guest, RunState, paused};
use crate::launch::Launch;
use crate::value::{Dataset, ImageName};
use crate::vmm::{Vmm, qemu};
use crate::world::World;

/// Maximum number of drives of a guest: the functions of their PCI slot.
pub const MOST: usize = 8;

/// The request of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The drive's number, if the user named one.
    pub drive: Option<usize>,
    /// The ISO to insert; `None` ejects the current one.
    pub disc: Option<ImageName>,
    /// Whether to change the medium without the guest's consent, although it may be reading it.
    pub force: bool,
    /// The number of reboots since the guest's start.
    pub reboots: u32,
}

/// Plans a change of the media of a guest that was started by this launch.
///
/// # Errors
/// The guest is not running, has no such drive, or there is no such ISO.
pub fn change(world: &World, guest: &Guest, launch: &Launch, request: &Request) -> Result<Plan> {
    own_guest(guest)?;
    match &guest.state {
        RunState::Running => {}
        RunState::Stopped | RunState::Crashed { .. } => {
            let name = request.disc.as_ref().map_or("IMAGE", |disc| disc.as_str());
            return Err(Code::GuestNotRunning
                .problem(format!("`{}` is {}: only a running guest has an ISO in a drive", guest.name, guest.state.word()))
                .on(&guest.name)
                .hint(format!("`chyves start {} --iso {name}` starts it with one", guest.name)));
        }
        RunState::Paused { reason } => return Err(paused(&guest.name, &guest.dataset, reason)),
        RunState::Starting | RunState::Stopping | RunState::Orphaned => {
            return Err(Problem::not_now(format!("`{}` is {}", guest.name, guest.state.word()))
                .on(&guest.name)
                .hint("try again in a moment"));
        }
    }
    let mut now = drives::kept(&launch.again);
    let images = world.primary()?.images();
    let discs: Vec<Dataset> = now.iter().filter_map(Drive::image).map(|image| images.child(image)).collect();
    // An unknown ISO is reported first: otherwise the user would be asked to name a drive and see this error only
    // afterwards.
    let loaded = request.disc.as_ref().map(|disc| drives::loaded(world, drives::disc(world, disc)?)).transpose()?;
    let Some(number) = which(guest, &now, request)? else {
        return Ok(Plan::nothing(format!("no drive of {} holds an ISO", guest.name)));
    };
    let device = match launch.vmm {
        Vmm::Qemu => {
            let place = DeviceKey::new(DeviceClass::Optical, u32::try_from(number).unwrap_or(u32::MAX)).preferred();
            qemu::drive_of(&launch.hypervisor, place)
        }
        Vmm::Bhyve => None,
    };
    let mut plan = Plan::default();
    if device.is_none() {
        plan.notes.push(match launch.vmm {
            Vmm::Bhyve => format!("bhyve cannot change an ISO while a guest runs: {} sees it at its next reboot", guest.name),
            Vmm::Qemu => format!("the machine of {} has no drive cd{number}: it sees it at its next reboot", guest.name),
        });
    }
    let since = if device.is_some() { request.reboots } else { request.reboots.saturating_add(1) };
    while now.len() <= number {
        now.push(Drive::Empty);
    }
    let before = std::mem::replace(
        &mut now[number],
        match &request.disc {
            Some(disc) => Drive::Holds { image: disc.clone(), since },
            None => Drive::Empty,
        },
    );
    // Images that the VM has open stay mounted until it releases them: media that are not changed immediately, and its
    // firmware.
    let mut borrows: Vec<Dataset> = launch.borrows.iter().filter(|b| device.is_none() || !discs.contains(b)).cloned().collect();
    for image in now.iter().filter_map(Drive::image) {
        let dataset = images.child(image);
        if !borrows.contains(&dataset) {
            borrows.push(dataset);
        }
    }
    plan.steps.extend(loaded.as_ref().map(|l| Action::Borrow { dataset: l.dataset.clone() }));
    plan.push(Action::ChangeDisc {
        guest: guest.name.clone(),
        uuid: guest.uuid,
        dataset: guest.dataset.clone(),
        drive: number,
        device,
        disc: request.disc.clone(),
        before: before.image().cloned(),
        path: loaded.map(|l| l.path),
        force: request.force,
        again: now.iter().flat_map(Drive::again).collect(),
        borrows,
    });
    Ok(plan)
}

/// The number of the drive to change; `None` if there is nothing to eject.
fn which(guest: &Guest, drives: &[Drive], request: &Request) -> Result<Option<usize>> {
    let told = || {
        let each = drives.iter().enumerate().map(|(n, d)| format!("cd{n} ({})", d.image().map_or("empty", |i| i.as_str())));
        each.collect::<Vec<_>>().join(", ")
    };
    let holding: Vec<usize> = drives.iter().enumerate().filter(|(_, d)| d.image().is_some()).map(|(n, _)| n).collect();
    match (&request.disc, request.drive) {
        (None, Some(n)) if n >= drives.len() => {
            let has = if drives.is_empty() { "it has none".to_owned() } else { format!("it has {}", told()) };
            Err(Code::NoSuchDrive.problem(format!("`{}` has no drive cd{n}", guest.name)).on(&guest.name).hint(has))
        }
        (None, Some(n)) => Ok(holding.contains(&n).then_some(n)),
        (None, None) => match holding[..] {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            _ => Err(Problem::usage(format!("several drives of `{}` hold an ISO", guest.name)).on(&guest.name).hint(format!(
                "name one of {}: `chyves eject {} cd{}`",
                told(),
                guest.name,
                holding[0]
            ))),
        },
        (Some(_), Some(n)) if n > drives.len() || n >= MOST => Err(Problem::usage(format!("`{}` can have no drive cd{n} yet", guest.name))
            .on(&guest.name)
            .hint(format!("drives are numbered from cd0 on without gaps, to cd{}; it has {}", MOST - 1, drives.len()))),
        (Some(_), Some(n)) => Ok(Some(n)),
        (Some(disc), None) => {
            if let Some(n) = drives.iter().position(|d| *d == Drive::Empty) {
                return Ok(Some(n));
            }
            if drives.is_empty() {
                return Ok(Some(0));
            }
            Err(Problem::not_now(format!("no drive of `{}` is empty", guest.name))
                .on(&guest.name)
                .because(format!("it has {}", told()))
                .hint(format!("replace one: `chyves insert {} {disc} cd0`", guest.name)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Image, ImageKind};
    use crate::os::Os;
    use crate::plan::start::{Occasion, Request as Start, launch};
    use crate::plan::testing;

    fn scene(os: Os, discs: &[&str]) -> (World, Guest, Launch) {
        let mut guest = testing::guest("web01", &[("disk0.kind", "raw")]);
        let mut world = testing::world(vec![guest.clone()]);
        if os == Os::FreeBsd {
            world.host = testing::freebsd();
        }
        for name in ["deb", "drivers"] {
            let dataset = format!("tank/chyves/images/{name}").parse().unwrap();
            world.images.push(Image { name: name.parse().unwrap(), dataset, kind: ImageKind::Iso, ..world.images[0].clone() });
        }
        let drives = discs.iter().map(|d| if d.is_empty() { Drive::Empty } else { Drive::with(d.parse().unwrap()) }).collect();
        let launch = launch(&world, &guest, &Start { drives, occasion: Occasion::Start, ..Start::default() }).unwrap().launch;
        guest.state = RunState::Running;
        (world, guest, launch)
    }

    fn request(disc: Option<&str>, drive: Option<usize>) -> Request {
        Request { drive, disc: disc.map(|d| d.parse().unwrap()), force: false, reboots: 2 }
    }

    fn changed(plan: &Plan) -> (Option<String>, String, usize) {
        let Some(Action::ChangeDisc { device, again, borrows, .. }) = plan.steps.last() else { panic!("{plan:?}") };
        (device.clone(), again.join(" "), borrows.len())
    }

    #[test]
    fn qemu_changes_a_disc_at_once() {
        let (world, guest, launch) = scene(Os::Linux, &["deb", ""]);
        let out = change(&world, &guest, &launch, &request(None, None)).unwrap();
        assert_eq!(changed(&out), (Some("cd-3.0-drive0".into()), "--drive @ --drive @".into(), 0));
        let into = change(&world, &guest, &launch, &request(Some("drivers"), None)).unwrap();
        assert_eq!(changed(&into), (Some("cd-3.1-drive0".into()), "--drive deb@0 --drive drivers@2".into(), 2));
        insta::assert_snapshot!(into.script(Os::Linux));
        let other = change(&world, &guest, &launch, &request(Some("drivers"), Some(0))).unwrap();
        assert_eq!(changed(&other).1, "--drive drivers@2 --drive @");
    }

    #[test]
    fn bhyve_and_a_machine_without_a_drive_change_it_at_the_next_reboot() {
        let (world, guest, launch) = scene(Os::FreeBsd, &["deb"]);
        let out = change(&world, &guest, &launch, &request(None, None)).unwrap();
        assert_eq!(changed(&out), (None, "--drive @".into(), 1));
        assert!(out.notes[0].contains("next reboot"), "{:?}", out.notes);
        let (world, guest, launch) = scene(Os::Linux, &[]);
        let into = change(&world, &guest, &launch, &request(Some("deb"), None)).unwrap();
        assert_eq!(changed(&into), (None, "--drive deb@3".into(), 1));
    }

    #[test]
    fn the_drive_that_is_meant_is_plain_or_asked_for() {
        let (world, guest, launch) = scene(Os::Linux, &["deb", "drivers"]);
        let why = |r: &Request| change(&world, &guest, &launch, r).unwrap_err();
        assert!(why(&request(None, None)).hints[0].contains("cd0 (deb), cd1 (drivers)"));
        assert!(why(&request(Some("deb"), None)).message.contains("no drive of `web01` is empty"));
        assert_eq!(why(&request(None, Some(5))).code.exit_code(), 3);
        assert!(why(&request(Some("deb"), Some(3))).hints[0].contains("without gaps"));
        assert!(why(&request(Some("tiny"), Some(0))).message.contains("not an ISO"));
        // Without an empty drive, an unusable ISO is still the error that is reported first.
        assert!(why(&request(Some("tiny"), None)).message.contains("not an ISO"));
        assert!(why(&request(Some("nowhere"), None)).message.contains("no image is called `nowhere`"));
        let (_, mut guest, launch) = scene(Os::Linux, &[""]);
        assert!(change(&world, &guest, &launch, &request(None, None)).unwrap().steps.is_empty());
        guest.state = RunState::Stopped;
        assert!(change(&world, &guest, &launch, &request(Some("deb"), None)).unwrap_err().hints[0].contains("--iso deb"));
    }
}
