//! `create`: a new guest, from an image or with an empty disk.

use super::{Moment, Plan, copy_path, values};
use crate::action::Action;
use crate::error::{Problem, Result};
use crate::guest::{DiskKind, disk_name, settings_copy};
use crate::property;
use crate::property::keys::{self, DiskKey, NetKey};
use crate::value::{GuestName, ImageName, Size};
use crate::world::{ImageKind, Root, World};
use crate::zfs::args::Pair;

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Request {
    /// The new guest.
    pub name: GuestName,
    /// The pool, where not the primary one.
    pub pool: Option<String>,
    /// The image of its first disk.
    pub image: Option<ImageName>,
    /// The size of its first disk.
    pub size: Option<Size>,
    /// The disk's kind, where not what suits.
    pub disk: Option<DiskKind>,
    /// How many network cards.
    pub nets: u16,
    /// Settings, keys and values as they were typed.
    pub set: Vec<Pair>,
}

/// Plans a guest. The world must hold a guest of the same name, if there is one.
///
/// # Errors
/// The name is taken, a setting is wrong, the image is unknown or larger than the size.
pub fn create(world: &World, request: &Request, moment: &Moment) -> Result<Plan> {
    let root = match &request.pool {
        Some(pool) => world.root_on(pool)?,
        None => world.primary()?,
    };
    let dataset = root.guests().child(&request.name);
    super::free(world, &request.name, &dataset, None)?;
    let folder = guests_folder(root)?;
    let folder = format!("{folder}/{}", request.name);
    let mut own = identity(world, root, moment, 0)?;
    let mut steps = Vec::new();
    let mut native: Vec<Pair> = vec![("canmount".into(), "noauto".into())];
    let has_volumes = world.host.dialect.has_volumes();
    match &request.image {
        Some(name) => {
            let image = world.image(name)?;
            if image.kind != ImageKind::Disk {
                return Err(Problem::usage(format!("the image `{name}` is no disk, it is {}", image.kind.word()))
                    .on(name)
                    .hint("`chyves image list` shows what each image is"));
            }
            let size = request.size.unwrap_or(image.size);
            if size < image.size {
                return Err(Problem::usage(format!("a disk of {size} can't hold the image `{name}` of {}", image.size))
                    .on(name)
                    .hint(format!("leave --size away, or give at least {}", image.size)));
            }
            if request.disk == Some(DiskKind::Zvol) {
                return Err(Problem::usage("a disk made from an image is a file: `--disk zvol` does not go with `--image`")
                    .hint("leave `--disk` away"));
            }
            own.push((keys::IMAGE.into(), name.to_string()));
            disk(&mut own, DiskKind::Raw, size);
            let file = format!("{folder}/{}", disk_name(0, DiskKind::Raw));
            if image.dataset.pool() == dataset.pool() {
                // The image's file is called as disk 0 is: the clone is the guest's file system as it stands.
                steps.push(Action::CloneDataset { from: image.snapshot()?, to: dataset.clone(), native, own: Vec::new() });
                steps.push(Action::Mount { dataset: dataset.clone() });
            } else {
                let primary = world.primary()?;
                let from = format!("{}/images/{name}/{}", mountpoint(primary)?, ImageKind::Disk.file());
                steps.push(Action::CreateDataset { dataset: dataset.clone(), native, own: Vec::new() });
                steps.push(Action::Mount { dataset: dataset.clone() });
                steps.push(Action::Mount { dataset: image.dataset.clone() });
                steps.push(Action::CopyFile { from, to: file.clone() });
                steps.push(Action::Unmount { dataset: image.dataset.clone() });
            }
            if size > image.size {
                steps.push(Action::GrowDisk { path: file, from: image.size, to: size });
            }
        }
        None => {
            let wanted = request.disk.unwrap_or(if has_volumes { DiskKind::Zvol } else { DiskKind::Raw });
            if wanted == DiskKind::Zvol && !has_volumes {
                return Err(Problem::host_cant("the ZFS of this host has no volumes")
                    .hint("leave `--disk` away: the disk is then a file in the guest's file system"));
            }
            native.push(("recordsize".into(), "64K".into()));
            steps.push(Action::CreateDataset { dataset: dataset.clone(), native, own: Vec::new() });
            if let Some(size) = request.size {
                disk(&mut own, wanted, size);
                if wanted == DiskKind::Zvol {
                    steps.push(Action::CreateVolume { dataset: dataset.child(disk_name(0, wanted)), size, block: None, reserved: false });
                }
            }
            steps.push(Action::Mount { dataset: dataset.clone() });
            if let (Some(size), DiskKind::Raw) = (request.size, wanted) {
                steps.push(Action::MakeDisk { path: format!("{folder}/{}", disk_name(0, wanted)), size });
            }
        }
    }
    for n in 0..request.nets {
        own.push((keys::net(n, NetKey::Backend), "auto".into()));
    }
    typed(&mut own, &request.set)?;
    // The settings come with the dataset itself, in the same call: a guest is never seen without them.
    for step in &mut steps {
        if let Action::CloneDataset { own: slot, .. } | Action::CreateDataset { own: slot, .. } = step {
            slot.clone_from(&own);
        }
    }
    steps.push(Action::MakeFolder { path: format!("{folder}/logs") });
    steps.push(Action::WriteFile { path: copy_path(&folder), text: settings_copy(&values(&own)) });
    steps.push(Action::Unmount { dataset: dataset.clone() });
    steps.extend(super::lock_template(&dataset, &own));
    Ok(Plan { steps, notes: Vec::new() })
}

/// Where a root's file system will be mounted.
pub(super) fn mountpoint(root: &Root) -> Result<&str> {
    root.mountpoint.as_deref().filter(|p| p.starts_with('/')).ok_or_else(|| {
        Problem::not_now(format!("`{}` has no mount point", root.dataset))
            .on(&root.dataset)
            .hint(format!("give it one: zfs set mountpoint=/path {}", root.dataset))
    })
}

/// Where guests' file systems will be mounted.
pub(super) fn guests_folder(root: &Root) -> Result<String> {
    Ok(format!("{}/guests", mountpoint(root)?))
}

/// What makes a guest a guest of this host; the `index`th of the moment's identities.
pub(super) fn identity(world: &World, root: &Root, moment: &Moment, index: usize) -> Result<Vec<Pair>> {
    let uuid = moment.uuids.get(index).ok_or_else(|| Problem::bug("a plan was asked for more guests than it has identities"))?;
    let mut own = vec![(keys::UUID.to_owned(), uuid.to_string()), (keys::CREATED.to_owned(), moment.now.clone())];
    if let Some(host) = world.this_host().or(root.host) {
        own.push((keys::OWNER.into(), host.to_string()));
        own.push((keys::EPOCH.into(), "1".into()));
    }
    Ok(own)
}

fn disk(own: &mut Vec<Pair>, kind: DiskKind, size: Size) {
    own.push((keys::disk(0, DiskKey::Kind), kind.word().into()));
    own.push((keys::disk(0, DiskKey::Size), size.to_string()));
}

/// Adds settings as they were typed, each checked; a key that is there already is replaced.
fn typed(own: &mut Vec<Pair>, set: &[Pair]) -> Result<()> {
    for (key, value) in set {
        let (key, value) = super::set::checked(key, value, &[property::Scope::Guest, property::Scope::GuestOnly])?;
        own.retain(|(k, _)| *k != key);
        own.push((key, value));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::Os;
    use crate::plan::testing::{self, moment};
    use crate::zfs::Dialect;

    fn request() -> Request {
        Request { name: "web01".parse().unwrap(), pool: None, image: None, size: None, disk: None, nets: 1, set: Vec::new() }
    }

    #[test]
    fn a_guest_from_an_image_is_a_clone() {
        let mut r = request();
        r.image = Some("tiny".parse().unwrap());
        r.size = Some(Size::mib(128));
        r.set = vec![("cpus".into(), "2".into()), ("ram".into(), "256m".into())];
        insta::assert_snapshot!(create(&testing::world(Vec::new()), &r, &moment(1)).unwrap().script(Os::Linux), @r"
        # clone tank/chyves/images/tiny@ready to tank/chyves/guests/web01
        zfs clone -o canmount=noauto -o chyves:uuid=00000000-0000-0000-0000-000000000001 -o chyves:created=2026-01-31T12:00:00Z -o chyves:owner=11111111-1111-4111-8111-111111111111 -o chyves:epoch=1 -o chyves:image=tiny -o chyves:disk0.kind=raw -o chyves:disk0.size=128M -o chyves:net0.backend=auto -o chyves:cpu=2 -o chyves:ram=256M tank/chyves/images/tiny@ready tank/chyves/guests/web01
        # mount tank/chyves/guests/web01
        zfs mount tank/chyves/guests/web01
        # grow the disk /tank/chyves/guests/web01/disk0.raw from 64M to 128M
        truncate -s 134217728 /tank/chyves/guests/web01/disk0.raw
        # make the folder /tank/chyves/guests/web01/logs
        mkdir -m 0700 -p /tank/chyves/guests/web01/logs
        # write /tank/chyves/guests/web01/config.toml (11 lines)
        # unmount tank/chyves/guests/web01
        zfs unmount tank/chyves/guests/web01
        ");
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
}
