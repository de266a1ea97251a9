//! `pool init`: creates the datasets of chyves on a pool.

use super::Plan;
use crate::action::Action;
use crate::error::{Code, Problem, Result};
use crate::os::Os;
use crate::pool::Role;
use crate::property::keys;
use crate::value::Dataset;
use crate::world::World;
use crate::world::inventory::LAYOUT;
use crate::zfs::guard::guards;
use uuid::Uuid;

/// The datasets below a root that hold file systems of unknown origin.
pub const PARTS: [&str; 3] = ["guests", "images", "trash"];

/// The request, with what is known of the dataset.
#[derive(Debug, Clone)]
pub struct Request {
    /// A pool, or the dataset to use as the root.
    pub place: Dataset,
    /// Whether that dataset exists.
    pub exists: bool,
    /// The mount point of the pool's own file system; can be `none` or `legacy`.
    pub mountpoint: Option<String>,
    /// The mount point for the root, if the user chose one.
    pub wanted_mountpoint: Option<String>,
    /// A new host id, used if no other pool of this host has one.
    pub host: Uuid,
}

/// Plans the root dataset and the datasets below it.
///
/// # Errors
/// The dataset is in use, its name is too long, or the pool has a root already.
pub fn init(world: &World, request: &Request) -> Result<Plan> {
    let root = if request.place.parent().is_none() { request.place.child("chyves") } else { request.place.clone() };
    if let Some(there) = world.roots.iter().find(|r| r.dataset.pool() == root.pool()) {
        if there.dataset == root {
            return Ok(Plan::nothing(format!("{root} is set up already, as {} pool", there.role.word())));
        }
        return Err(Code::PoolExists
            .problem(format!("the pool `{}` carries chyves already", root.pool()))
            .on(root.pool())
            .because(format!("its root is {}", there.dataset))
            .hint("one root a pool is enough; `chyves pool list` shows them"));
    }
    if root.as_str().matches('/').count() != 1 {
        return Err(Problem::usage(format!("`{root}` lies too deep to be found"))
            .on(&root)
            .hint(format!("the root lies directly below its pool, as {}/chyves", root.pool())));
    }
    if request.exists {
        return Err(Problem::not_now(format!("`{root}` exists and is not chyves'"))
            .on(&root)
            .hint(format!("name another place: `chyves pool init {}/NAME`", root.pool())));
    }
    let first = !world.roots.iter().any(|r| r.role == Role::Primary);
    let role = if first { Role::Primary } else { Role::Secondary };
    let host = world.this_host().unwrap_or(request.host);
    let mountpoint = match (&request.wanted_mountpoint, request.mountpoint.as_deref()) {
        (Some(wanted), _) if !wanted.starts_with('/') || wanted.contains(['\n', '\t']) => {
            return Err(Problem::usage(format!("`{wanted}` is not an absolute path")).on(wanted).hint("write --mountpoint /path"));
        }
        (Some(wanted), _) => Some(wanted.clone()),
        // The children of a file system without a mount point have none either, but guests need one for firmware variables
        // and logs.
        (None, Some(p)) if p.starts_with('/') => None,
        (None, _) => Some(match world.host.os {
            Os::FreeBsd => format!("/var/db/chyves/{}", root.pool()),
            Os::Linux => format!("/var/lib/chyves/{}", root.pool()),
        }),
    };
    let pair = |k: &str, v: String| (k.to_owned(), v);
    // These datasets are not mounted: they contain only other datasets, and mounting them would slow down booting.
    let off = || vec![pair("canmount", "off".into())];
    let mut native = off();
    native.extend(mountpoint.map(|p| pair("mountpoint", p)));
    let mut plan = Plan::default();
    plan.push(Action::CreateDataset {
        dataset: root.clone(),
        native,
        own: vec![pair(keys::LAYOUT, LAYOUT.to_string()), pair(keys::ROLE, role.word().into()), pair(keys::HOST, host.to_string())],
    });
    for part in PARTS {
        let native = off().into_iter().chain(guards()).collect();
        plan.push(Action::CreateDataset { dataset: root.child(part), native, own: Vec::new() });
    }
    plan.notes.push(format!("{} becomes a {} pool", root.pool(), role.word()));
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing;

    fn request(place: &str) -> Request {
        Request {
            place: place.parse().unwrap(),
            exists: false,
            mountpoint: Some("/other".into()),
            wanted_mountpoint: None,
            host: Uuid::from_u128(1),
        }
    }

    #[test]
    fn the_first_pool_is_primary_the_next_secondary() {
        let mut world = testing::world(Vec::new());
        insta::assert_snapshot!(init(&world, &request("other")).unwrap().script(Os::Linux), @r"
        # note: other becomes a secondary pool
        # create the file system other/chyves
        zfs create -o canmount=off -o chyves:layout=1 -o chyves:role=secondary -o chyves:host=11111111-1111-4111-8111-111111111111 other/chyves
        # create the file system other/chyves/guests
        zfs create -o canmount=off -o setuid=off -o devices=off -o exec=off other/chyves/guests
        # create the file system other/chyves/images
        zfs create -o canmount=off -o setuid=off -o devices=off -o exec=off other/chyves/images
        # create the file system other/chyves/trash
        zfs create -o canmount=off -o setuid=off -o devices=off -o exec=off other/chyves/trash
        ");
        world.roots.clear();
        world.host = testing::freebsd();
        let mut homeless = request("other/vm");
        homeless.mountpoint = Some("none".into());
        let text = init(&world, &homeless).unwrap().script(Os::FreeBsd);
        assert!(text.contains("mountpoint=/var/db/chyves/other") && text.contains("role=primary"), "{text}");
    }

    #[test]
    fn a_pool_has_one_root_and_nothing_is_taken_over() {
        let world = testing::world(Vec::new());
        assert!(init(&world, &request("tank")).unwrap().steps.is_empty());
        assert!(init(&world, &request("tank/vm")).is_err());
        assert!(init(&world, &request("other/a/b")).is_err());
        let mut taken = request("other");
        taken.exists = true;
        assert!(init(&world, &taken).is_err());
    }
}
