//! `create`: a new guest, from an image or with an empty disk.
//!
//! * `wishes`: the settings that follow from the operating system, the image and the request

mod wishes;

use super::{Moment, Plan, copy_path, values};
use crate::action::{Action, Checked};
use crate::cloudinit::Text;
use crate::cloudinit::reader::Reader;
use crate::error::{Code, Problem, Result};
use crate::guest::{DiskKind, disk_name, settings_copy};
use crate::image::{Image, ImageKind};
use crate::pool::Root;
use crate::property::keys::{self, DiskKey, NetKey};
use crate::property::settings::OwnValues;
use crate::value::{Dataset, FilePath, GuestName, ImageName, Size};
use crate::world::World;
use crate::zfs::args::Pair;
use std::sync::Arc;

/// The request of a creation.
#[derive(Debug, Clone)]
pub struct Request {
    /// The new guest.
    pub name: GuestName,
    /// The pool [default: the primary one].
    pub pool: Option<String>,
    /// The image of its first disk.
    pub image: Option<ImageName>,
    /// Whether that disk is a full copy, which does not depend on the image.
    pub full: bool,
    /// The size of its first disk.
    pub size: Option<Size>,
    /// The disk's kind [default: chosen by the ZFS in use].
    pub disk: Option<DiskKind>,
    /// Number of NICs.
    pub nets: u16,
    /// Settings as they were typed, keys and values.
    pub set: Vec<Pair>,
    /// User-supplied cloud-init texts.
    pub texts: Vec<(Text, String)>,
    /// The defaults that the guest inherits.
    pub defaults: OwnValues,
}

/// Plans the creation of a guest. The world must hold the guest of the same name, if one exists.
///
/// # Errors
/// The name is taken, a setting is invalid, or the image is unknown or larger than the requested size.
pub fn create(world: &World, request: &Request, moment: &Moment) -> Result<Plan> {
    let root = home(world, request)?;
    let dataset = dataset(world, request)?;
    super::free(world, &request.name, &dataset, None)?;
    let folder = format!("{}/{}", guests_folder(root)?, request.name);
    let image = request.image.as_ref().map(|name| disk_image(world, name, request)).transpose()?;
    let mut first = FirstDisk { kind: None, size: None };
    let mut steps = match image {
        Some(image) => from_image(image, request, &dataset, &folder, &mut first)?,
        None => from_nothing(world, request, &dataset, &folder, &mut first)?,
    };
    let mut own = identity(world, root, moment, 0)?;
    own.extend(request.image.iter().map(|name| (keys::IMAGE.to_owned(), name.to_string())));
    if let (Some(kind), Some(size)) = (first.kind, first.size) {
        own.push((keys::disk(0, DiskKey::Kind), kind.word().into()));
        own.push((keys::disk(0, DiskKey::Size), size.to_string()));
    }
    for n in 0..request.nets {
        own.push((keys::net(n, NetKey::Backend), "auto".into()));
    }
    let mut notes = Vec::new();
    let wishes = wishes::settings(request, image, first.kind.is_some(), &world.host, &mut notes)?;
    super::absent::check(request.name.as_str(), &values(&own), &wishes)
        .map_err(|problem| Problem { hints: Vec::new(), ..problem }.hint("--size 8G creates disk0, --nets 2 creates net0 and net1"))?;
    own.retain(|(k, _)| !wishes.iter().any(|(wished, _)| wished == k));
    own.extend(wishes);
    let guest = super::whole::new_guest(world, &dataset, &own, vec![(root.guests(), Arc::new(request.defaults.clone()))])?;
    let given = |key: &str| own.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
    super::cloud_init::check_for(Reader::derived(given(keys::CI_READER), given(keys::OS))?, &request.texts)?;
    notes.extend(super::cloud_init::remark(&guest, &request.texts));
    // The settings are set by the same `zfs` call that creates the dataset, so that no reader sees a guest without them. A
    // full copy gets them once it is complete.
    match steps.first_mut() {
        Some(Action::CloneDataset { own: slot, .. } | Action::CreateDataset { own: slot, .. }) => slot.clone_from(&own),
        _ => {
            let at = steps.iter().take_while(|s| matches!(s, Action::SendReceive { .. } | Action::SetNative { .. })).count();
            steps.insert(at, super::clone::settle(world, &dataset, own.clone()));
        }
    }
    steps.extend(super::cloud_init::texts_in(&folder, &request.texts));
    steps.push(Action::MakeFolder { path: FilePath::below(folder.as_str(), "logs") });
    steps.push(Action::WriteFile { path: copy_path(&folder), text: settings_copy(&values(&own)) });
    steps.push(Action::Unmount { dataset: dataset.clone() });
    if let (Some(image), true) = (image, matches!(steps.first(), Some(Action::SendReceive { .. }))) {
        steps.push(Action::DropSnapshot { snapshot: dataset.at(&image.snapshot()?.name) });
    }
    steps.extend(super::lock_template(&dataset, &own));
    Ok(Plan { steps, notes })
}

/// The dataset that the guest will have.
///
/// # Errors
/// The pool is unknown, or there is no pool.
pub fn dataset(world: &World, request: &Request) -> Result<Dataset> {
    Ok(home(world, request)?.guests().child(&request.name))
}

fn home<'w>(world: &'w World, request: &Request) -> Result<&'w Root> {
    world.place(request.pool.as_deref())
}

/// The result of planning the first disk.
struct FirstDisk {
    kind: Option<DiskKind>,
    size: Option<Size>,
}

/// The image, if the requested disk can be made from it.
fn disk_image<'w>(world: &'w World, name: &ImageName, request: &Request) -> Result<&'w Image> {
    let image = world.image(name)?;
    if image.kind != ImageKind::Disk {
        let problem = Problem::usage(format!("the image `{name}` is not a disk, it is {}", image.kind.word())).on(name);
        return Err(match image.kind {
            ImageKind::Iso => problem.hint(format!(
                "install from it: `chyves create {} --size 20G`, then `chyves start {} --iso {name}`",
                request.name, request.name
            )),
            ImageKind::Disk | ImageKind::Firmware => problem.hint("`chyves image list` shows what each image is"),
        });
    }
    if let Some(size) = request.size.filter(|size| *size < image.size) {
        return Err(Problem::usage(format!("a disk of {size} cannot hold the image `{name}` of {}", image.size))
            .on(name)
            .hint(format!("omit --size, or give at least {}", image.size)));
    }
    if request.disk == Some(DiskKind::Zvol) {
        return Err(
            Problem::usage("a disk created from an image is a file: `--disk zvol` does not go with `--image`").hint("omit `--disk`")
        );
    }
    Ok(image)
}

/// The first disk from an image. The image's file has the name of disk 0, so a clone or copy of the image's dataset serves
/// as the guest's file system unchanged.
fn from_image(image: &Image, request: &Request, dataset: &Dataset, folder: &str, first: &mut FirstDisk) -> Result<Vec<Action>> {
    let size = request.size.unwrap_or(image.size);
    *first = FirstDisk { kind: Some(DiskKind::Raw), size: Some(size) };
    let native = super::of_disks();
    let mut steps = if request.full || image.dataset.pool() != dataset.pool() {
        vec![
            Action::SendReceive { from: image.snapshot()?, to: dataset.clone(), size: image.used },
            Action::SetNative { dataset: dataset.clone(), native },
        ]
    } else {
        vec![Action::CloneDataset { from: image.snapshot()?, to: dataset.clone(), native, own: Vec::new() }]
    };
    steps.push(Action::Mount { dataset: dataset.clone() });
    let path = FilePath::below(folder, disk_name(0, DiskKind::Raw));
    if size > image.size {
        steps.push(Action::GrowDisk { path, from: image.size, to: size });
    } else {
        // Others may have changed the image, or what is recorded of it.
        let recorded = Some((image.size, format!("chyves disk sync {} disk0", request.name)));
        steps.push(Action::CheckFiles {
            files: vec![Checked { path, what: format!("disk 0 of `{}`", request.name), recorded, most: None }],
        });
    }
    Ok(steps)
}

/// An empty file system, with an empty disk if a size was requested.
fn from_nothing(world: &World, request: &Request, dataset: &Dataset, folder: &str, first: &mut FirstDisk) -> Result<Vec<Action>> {
    if request.full {
        return Err(Problem::usage("`--full` is about the image that a disk is copied from").hint("name it: `--image NAME`"));
    }
    let has_volumes = world.host.dialect.has_volumes();
    let wanted = request.disk.unwrap_or(if has_volumes { DiskKind::Zvol } else { DiskKind::Raw });
    if wanted == DiskKind::Zvol && !has_volumes {
        return Err(Code::NoVolumes
            .problem("the ZFS of this host has no volumes")
            .hint("omit `--disk`: the disk is then a file in the guest's file system"));
    }
    let native = super::of_disks();
    let mut steps = vec![Action::CreateDataset { dataset: dataset.clone(), native, own: Vec::new() }];
    if let Some(size) = request.size {
        *first = FirstDisk { kind: Some(wanted), size: Some(size) };
        if wanted == DiskKind::Zvol {
            steps.push(Action::CreateVolume { dataset: dataset.child(disk_name(0, wanted)), size, block: None, reserved: false });
        }
    }
    steps.push(Action::Mount { dataset: dataset.clone() });
    if let (Some(size), DiskKind::Raw) = (request.size, wanted) {
        steps.push(Action::MakeDisk { path: FilePath::below(folder, disk_name(0, wanted)), size });
    }
    Ok(steps)
}

/// The mount point of a root's file system.
pub(super) fn mountpoint(root: &Root) -> Result<&str> {
    root.mountpoint.as_deref().filter(|p| p.starts_with('/')).ok_or_else(|| {
        Problem::not_now(format!("`{}` has no mount point", root.dataset))
            .on(&root.dataset)
            .hint(format!("give it one: zfs set mountpoint=/path {}", root.dataset))
    })
}

/// The directory in which guests' file systems are mounted.
pub(super) fn guests_folder(root: &Root) -> Result<String> {
    Ok(format!("{}/guests", mountpoint(root)?))
}

/// The error for a pool without a host id.
pub(super) fn no_host(root: &Root) -> Problem {
    Problem::not_now(format!("the pool `{}` belongs to no host", root.dataset.pool()))
        .on(&root.dataset)
        .because("its root has no host id, which is what a guest's owner is known by")
        .hint(format!("give it one: zfs set chyves:host=$(uuidgen) {}", root.dataset))
}

/// The settings that make a dataset a guest of this host: UUID, owner, name and epoch. `index` selects one of the moment's
/// UUIDs.
pub(super) fn identity(world: &World, root: &Root, moment: &Moment, index: usize) -> Result<Vec<Pair>> {
    let uuid = moment.uuids.get(index).ok_or_else(|| Problem::bug("internal error: more guests than identities"))?;
    let mut own = vec![(keys::UUID.to_owned(), uuid.to_string()), (keys::CREATED.to_owned(), moment.now.clone())];
    // A guest without an owner would be foreign.
    let host = world.this_host().or(root.host).ok_or_else(|| no_host(root))?;
    own.push((keys::OWNER.into(), host.to_string()));
    own.push((keys::EPOCH.into(), "1".into()));
    Ok(own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::Os;
    use crate::plan::testing::{self, moment};
    use crate::zfs::Dialect;

    fn request() -> Request {
        Request {
            name: "web01".parse().unwrap(),
            pool: None,
            image: None,
            full: false,
            size: None,
            disk: None,
            nets: 1,
            set: Vec::new(),
            texts: Vec::new(),
            defaults: OwnValues::new(),
        }
    }

    #[test]
    fn a_guest_from_an_image_is_a_clone() {
        let mut r = request();
        r.image = Some("tiny".parse().unwrap());
        r.size = Some(Size::mib(128));
        r.set = vec![("cpus".into(), "2".into()), ("ram".into(), "256m".into())];
        insta::assert_snapshot!(create(&testing::world(Vec::new()), &r, &moment(1)).unwrap().script(Os::Linux), @r"
        # clone tank/chyves/images/tiny@ready to tank/chyves/guests/web01
        zfs clone -o canmount=noauto -o recordsize=64K -o chyves:uuid=00000000-0000-0000-0000-000000000001 -o chyves:created=2026-01-31T12:00:00Z -o chyves:owner=11111111-1111-4111-8111-111111111111 -o chyves:epoch=1 -o chyves:image=tiny -o chyves:disk0.kind=raw -o chyves:disk0.size=128M -o chyves:net0.backend=auto -o chyves:cpu=2 -o chyves:ram=256M tank/chyves/images/tiny@ready tank/chyves/guests/web01
        # mount tank/chyves/guests/web01
        zfs mount tank/chyves/guests/web01
        # grow the disk /tank/chyves/guests/web01/disk0.raw from 64M to 128M
        truncate -s 134217728 /tank/chyves/guests/web01/disk0.raw
        # create the folder /tank/chyves/guests/web01/logs
        mkdir -m 0700 -p /tank/chyves/guests/web01/logs
        # write /tank/chyves/guests/web01/config.toml (11 lines)
        # unmount tank/chyves/guests/web01
        zfs unmount tank/chyves/guests/web01
        ");
    }

    #[test]
    fn what_the_unmounting_of_a_new_file_system_brings_to_the_disk_is_known() {
        let mut plan = create(&testing::world(Vec::new()), &request(), &moment(1)).unwrap();
        let mounted = plan.steps.iter().position(|s| matches!(s, Action::Mount { .. })).unwrap();
        let writes = plan.steps.len() - 2;
        assert!(matches!(plan.steps[writes], Action::WriteFile { .. }));
        assert!(plan.is_settled_by_unmount(writes) && !plan.is_settled_by_unmount(mounted));
        // A file system that existed before, or that stays mounted, has to be synced.
        let made = plan.steps.remove(0);
        assert!(!plan.is_settled_by_unmount(writes - 1));
        plan.steps.insert(0, made);
        plan.steps.pop();
        assert!(!plan.is_settled_by_unmount(writes));
        plan.steps.push(Action::Unmount { dataset: "tank/chyves/guests/other".parse().unwrap() });
        assert!(!plan.is_settled_by_unmount(writes));
    }

    #[test]
    fn an_empty_disk_is_what_the_zfs_can_do() {
        let mut r = request();
        r.size = Some(Size::mib(8192));
        let mut world = testing::world(Vec::new());
        let text = create(&world, &r, &moment(1)).unwrap().script(Os::Linux);
        assert!(text.contains("truncate -s 8589934592 /tank/chyves/guests/web01/disk0.raw"), "{text}");
        world.host.dialect = Dialect::OpenZfs;
        let text = create(&world, &r, &moment(1)).unwrap().script(Os::FreeBsd);
        assert!(text.contains("zfs create -s -V 8589934592 -o volmode=dev tank/chyves/guests/web01/disk0"), "{text}");
    }

    #[test]
    fn what_is_wrong_is_refused_before_anything_is_done() {
        let world = testing::world(vec![testing::guest("web01", &[])]);
        assert!(create(&world, &request(), &moment(1)).unwrap_err().message.contains("already"));
        let world = testing::world(Vec::new());
        let mut r = request();
        r.set = vec![("ram".into(), "8".into())];
        assert!(create(&world, &r, &moment(1)).is_err());
        let mut r = request();
        r.image = Some("tniy".parse().unwrap());
        assert!(create(&world, &r, &moment(1)).unwrap_err().hints[0].contains("`tiny`"));
        let mut r = request();
        r.image = Some("tiny".parse().unwrap());
        r.size = Some(Size::mib(1));
        assert!(create(&world, &r, &moment(1)).is_err());
        let mut r = request();
        r.pool = Some("tnak".into());
        assert!(create(&world, &r, &moment(1)).unwrap_err().hints[0].contains("`tank`"));
    }

    #[test]
    fn a_full_copy_stands_on_nothing_and_is_a_guest_only_when_it_is_whole() {
        let mut r = request();
        r.image = Some("tiny".parse().unwrap());
        r.full = true;
        r.size = Some(Size::mib(128));
        insta::assert_snapshot!(create(&testing::world(Vec::new()), &r, &moment(1)).unwrap().script(Os::Linux));
        r.image = None;
        assert!(create(&testing::world(Vec::new()), &r, &moment(1)).unwrap_err().hints[0].contains("--image"));
    }

    #[test]
    fn what_the_image_and_the_system_want_holds_unless_something_else_is_given() {
        let mut world = testing::world(Vec::new());
        world.images[0].wants = [("os", "debian"), ("ram", "1G"), ("net0.model", "e1000"), ("net3.model", "e1000"), ("flux", "1")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .to_vec();
        let mut r = request();
        r.image = Some("tiny".parse().unwrap());
        let settings = |r: &Request| {
            let plan = create(&world, r, &moment(1)).unwrap();
            let Some(Action::CloneDataset { own, .. }) = plan.steps.first() else { panic!("{:?}", plan.steps) };
            let shown = own.iter().skip(5).map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ");
            (shown, plan.notes)
        };
        let (all, notes) = settings(&r);
        assert_eq!(
            all,
            "disk0.kind=raw disk0.size=64M net0.backend=auto os=debian ram=1G net0.model=e1000 loader=uefi rtc=utc disk0.bus=virtio-blk"
        );
        assert_eq!(notes, ["the image wants flux=1, which this chyves does not know"]);
        r.set = vec![
            ("ram".into(), "300M".into()),
            ("net0.backend".into(), "user".into()),
            ("net0.model".into(), "virtio-net".into()),
            ("loader".into(), "bios".into()),
        ];
        let (all, notes) = settings(&r);
        assert!(all.contains("net0.backend=user") && !all.contains("net0.backend=auto"), "{all}");
        assert!(all.contains("ram=300M") && all.contains("net0.model=virtio-net") && all.contains("loader=bios"), "{all}");
        assert!(!all.contains("uefi") && notes[1].contains("512M"), "{all} {notes:?}");
    }

    #[test]
    fn a_profile_is_for_all_devices_and_raises_the_memory() {
        let mut r = request();
        r.nets = 2;
        r.size = Some(Size::mib(64));
        r.set = vec![("os".into(), "Windows".into()), ("ci.user".into(), "ann".into())];
        let plan = create(&testing::world(Vec::new()), &r, &moment(1)).unwrap();
        let Some(Action::CreateDataset { own, .. }) = plan.steps.first() else { panic!("{:?}", plan.steps) };
        let has = |key: &str, value: &str| own.iter().any(|(k, v)| k == key && v == value);
        for (key, value) in [("disk0.bus", "nvme"), ("net0.model", "e1000"), ("net1.model", "e1000"), ("ram", "4G"), ("rtc", "localtime")] {
            assert!(has(key, value), "{key}: {own:?}");
        }
        assert!(has("ci.enabled", "yes"));
        r.set = vec![("os".into(), "beos".into())];
        assert!(create(&testing::world(Vec::new()), &r, &moment(1)).is_err());
    }
}
