//! Converts rows of `zfs get` into roots, guests, images and trash. They are identified by their marks, never by their
//! names.

use crate::error::{Kind, Problem};
use crate::guest::{DiskKind, Guest, RunState, Trashed, TrashedDisk, trust};
use crate::image::{Image, ImageKind, Stored, Template, WORKING};
use crate::pool::{Role, Root, this_host};
use crate::property::keys::{self, DiskKey};
use crate::property::settings::{OwnValues, Settings};
use crate::value::{Dataset, Size};
use crate::zfs::rows::Row;
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// The layout version that this program reads and writes.
pub const LAYOUT: u32 = 1;

/// The content of a tree.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Guests, in name order.
    pub guests: Vec<Guest>,
    /// Images.
    pub images: Vec<Image>,
    /// Deleted guests.
    pub trash: Vec<Trashed>,
    /// Datasets with a mark that are invalid.
    pub oddities: Vec<Problem>,
    /// Datasets in the place of guests that are not guests: a group deeper than `group_levels`, or a guest that is being
    /// created.
    pub strays: Vec<Dataset>,
}

fn own<'a>(values: &'a OwnValues, key: &str) -> Option<&'a str> {
    values.get(key).map(|o| o.value.as_str())
}

/// The roots among the rows of `find_roots`.
pub fn roots(rows: &[Row]) -> (Vec<Root>, Vec<Problem>) {
    let mut found = Vec::new();
    let mut odd = Vec::new();
    for row in rows.iter().filter(|r| r.own.contains_key(keys::LAYOUT) && !r.name.contains('@')) {
        match root(row) {
            Ok(root) => found.push(root),
            Err(problem) => odd.push(problem),
        }
    }
    // The setting is the host's: that of the primary pool applies to all pools.
    if let [levels] = found.iter().filter(|r: &&Root| r.role == Role::Primary).map(|r| r.group_levels).collect::<Vec<_>>()[..] {
        for root in &mut found {
            root.group_levels = levels;
        }
    }
    (found, odd)
}

fn root(row: &Row) -> Result<Root, Problem> {
    let wrong = |why: String| Problem::not_now(format!("`{}` cannot be used", row.name)).on(&row.name).because(why);
    let layout = own(&row.own, keys::LAYOUT).unwrap_or_default();
    match layout.parse::<u32>() {
        Ok(n) if n == LAYOUT => {}
        Ok(n) if n < LAYOUT => {
            let pool = row.name.split('/').next().unwrap_or_default();
            let why = format!("its layout is {n}, and this program uses {LAYOUT}");
            return Err(wrong(why).hint(format!("bring it to the present layout: chyves pool upgrade {pool} (it can be undone)")));
        }
        Ok(n) if n > LAYOUT => {
            return Err(wrong(format!("its layout is {n}, and this program knows {LAYOUT}")).hint("use a newer chyves for this pool"));
        }
        _ => return Err(wrong(format!("its layout `{}` is none", crate::value::printable(layout, 20)))),
    }
    let role = match row.own.get(keys::ROLE) {
        // A received role has no effect: the copy of a root is left alone until it gets a role on this host.
        Some(role) if role.received => Role::Offline,
        Some(role) => role.value.parse::<Role>().map_err(|_| wrong("its role is not one".into()))?,
        None => return Err(wrong("it has no role".into()).hint(format!("give it one: zfs set chyves:role=secondary {}", row.name))),
    };
    Ok(Root {
        dataset: row.name.parse()?,
        role,
        host: own(&row.own, keys::HOST).and_then(|h| h.parse().ok()),
        group_levels: own(&row.own, keys::GROUP_LEVELS).and_then(|n| n.parse().ok()).unwrap_or(0).min(8),
        mountpoint: row.native("mountpoint").map(str::to_owned),
        own: Arc::new(row.own.clone()),
    })
}

/// All guests, images and deleted guests below `roots`. The rows must include the ancestors of each guest up to its root.
pub fn inventory(rows: &[Row], roots: &[Root]) -> Inventory {
    let mut values: BTreeMap<&str, Arc<OwnValues>> = BTreeMap::new();
    for row in rows {
        values.insert(row.name.as_str(), Arc::new(row.own.clone()));
    }
    let mut found = Inventory::default();
    let host = this_host(roots);
    for row in rows.iter().filter(|r| !r.name.contains('@')) {
        let Ok(dataset) = row.name.parse::<Dataset>() else {
            if row.own.contains_key(keys::UUID) {
                let name = crate::value::printable(&row.name, 120);
                found.oddities.push(Problem::not_now(format!("`{name}` has a name that chyves cannot use")).on(&name));
            }
            continue;
        };
        let Some(root) = roots.iter().find(|r| dataset.is_within(&r.dataset)) else { continue };
        let deleted = row.own.contains_key(keys::DELETED) && row.own.contains_key(keys::NAME);
        if dataset.is_within(&root.guests()) && row.own.contains_key(keys::UUID) && deleted {
            // Marked as deleted in its original place, because it could not be moved.
            found.trash.extend(trashed(row, &dataset).map_err(|p| found.oddities.push(p)).ok());
        } else if dataset.is_within(&root.guests()) && row.own.contains_key(keys::UUID) {
            match guest(row, &dataset, (root, host), &values) {
                Ok(guest) => found.guests.push(guest),
                Err(problem) => found.oddities.push(problem),
            }
        } else if dataset.is_within(&root.guests()) && row.own.contains_key(keys::OWNER) {
            found.oddities.push(nameless(row, &dataset));
        } else if is_stray(&dataset, root) {
            found.strays.push(dataset);
        } else if dataset.parent().as_ref() == Some(&root.images()) && root.role == Role::Primary {
            match image(row, &dataset, root) {
                Ok(image) => found.images.extend(image),
                Err(problem) => found.oddities.push(problem),
            }
        } else if dataset.parent().as_ref() == Some(&root.trash()) && !is_working(row, &dataset) {
            match trashed(row, &dataset) {
                Ok(guest) => found.trash.push(guest),
                Err(problem) => found.oddities.push(problem),
            }
        }
    }
    for guest in found.guests.iter_mut().filter(|g| g.mountpoint.is_none()) {
        guest.mountpoint = inherited_mountpoint(rows, roots, &guest.dataset);
    }
    found.guests.sort_by(|a, b| a.name.cmp(&b.name));
    found.images.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// The problem of a dataset that was a guest: chyves sets an owner only together with a UUID.
fn nameless(row: &Row, dataset: &Dataset) -> Problem {
    let problem = Problem::not_now(format!("`{dataset}` has an owner as guests have, but no UUID, and cannot be used"))
        .on(dataset)
        .because("its property chyves:uuid was removed, or never arrived");
    if row.own.get(keys::OWNER).is_some_and(|owner| owner.received) {
        return problem
            .hint(format!("it came with a stream: have it sent again by `chyves send`; to remove this copy: zfs destroy -r {dataset}"));
    }
    problem
        .hint(format!("its snapshots may have the former one: `zfs get -r -t snapshot chyves:uuid {dataset}`; set it: `zfs set chyves:uuid=UUID {dataset}`"))
        .hint(format!("or a new one, which changes MAC addresses and disk serials: `zfs set chyves:uuid=$(uuidgen) {dataset}`"))
}

/// The mount point of a dataset that inherits it, if only local values were read: it is derived from the nearest ancestor
/// that sets one, as ZFS derives it.
fn inherited_mountpoint(rows: &[Row], roots: &[Root], dataset: &Dataset) -> Option<String> {
    let mut at = dataset.parent();
    while let Some(above) = at {
        let local = rows.iter().find(|row| row.name == above.as_str()).and_then(|row| row.native("mountpoint"));
        let of_root = || roots.iter().find(|root| root.dataset == above).and_then(|root| root.mountpoint.as_deref());
        if let Some(folder) = local.or_else(of_root) {
            let rest = dataset.as_str().strip_prefix(above.as_str())?;
            return folder.starts_with('/').then(|| format!("{}{rest}", folder.trim_end_matches('/')));
        }
        at = above.parent();
    }
    None
}

fn used(row: &Row) -> Size {
    Size::bytes(row.number("used").unwrap_or(0))
}

fn guest(
    row: &Row,
    dataset: &Dataset,
    (root, host): (&Root, Option<Uuid>),
    values: &BTreeMap<&str, Arc<OwnValues>>,
) -> Result<Guest, Problem> {
    let odd =
        |p: Problem| Problem { code: Kind::NotNow, ..p.within(format!("`{dataset}` is marked as a guest and cannot be used")).on(dataset) };
    if let Some(property) = &row.doubtful {
        return Err(odd(crate::zfs::rows::pretender(&row.name, property)));
    }
    let name = dataset.leaf().parse().map_err(|e| odd(Problem::from(e)).hint("rename it with `zfs rename`"))?;
    let text = own(&row.own, keys::UUID).unwrap_or_default();
    let uuid: Uuid = text.parse().map_err(|_| {
        odd(Problem::not_now(format!("its uuid `{}` is none", crate::value::printable(text, 40)))).hint(
            if row.own.get(keys::UUID).is_some_and(|uuid| uuid.received) {
                // With only some of its marks local, it would be neither a foreign guest nor one of this host.
                format!("it came with a stream: have it sent again by `chyves send`; to remove this copy: zfs destroy -r {dataset}")
            } else {
                format!("give it one: zfs set chyves:uuid=$(uuidgen) {dataset}")
            },
        )
    })?;
    let mut above = Vec::new();
    let mut at = dataset.parent();
    while let Some(ancestor) = at.filter(|a| a.is_within(&root.guests())) {
        if let Some(own) = values.get(ancestor.as_str()) {
            above.push((ancestor.clone(), own.clone()));
        }
        at = ancestor.parent();
    }
    let settings = Settings::new(row.own.clone(), above);
    let foreign = foreign(&settings, host, root.host);
    Ok(Guest {
        name,
        dataset: dataset.clone(),
        root: root.dataset.clone(),
        uuid,
        foreign,
        used: used(row),
        origin: row.native("origin").map(str::to_owned),
        mounted: row.native("mounted") == Some("yes"),
        mountpoint: row.native("mountpoint").map(str::to_owned),
        canmount: row.native("canmount").map(str::to_owned),
        readonly: row.native("readonly") == Some("on"),
        guid: row.number("guid"),
        home: root.mountpoint.as_deref().and_then(|at| crate::zfs::guard::home(&root.dataset, at, dataset)),
        settings,
        state: RunState::Stopped,
    })
}

/// The reason why `host` must not start the guest, if there is one; `of_pool` is the host that its pool belongs to.
fn foreign(settings: &Settings, host: Option<Uuid>, of_pool: Option<Uuid>) -> Option<String> {
    let came = || Some("it was received with a stream".to_owned());
    // A received owner could name this host because the sender chose so.
    if settings.is_received(keys::UUID) || settings.is_received(keys::OWNER) {
        return came();
    }
    let Some(host) = host else {
        return Some("the pools disagree about which host this is; `chyves pool promote POOL` settles it".into());
    };
    match settings.own(keys::OWNER) {
        Some(NOBODY) => came(),
        // Who prepares a pool can name any host as the owner of a guest: the id of this one is in every stream that it sends.
        Some(owner) if owner == host.to_string() && of_pool != Some(host) => Some(match of_pool {
            Some(other) => format!("its pool belongs to the host {other}"),
            None => "its pool belongs to no host".to_owned(),
        }),
        Some(owner) if owner == host.to_string() => None,
        Some(owner) => Some(format!("the host {} owns it", crate::value::printable(owner, 40))),
        None => Some("no host owns it".to_owned()),
    }
}

/// The owner of a guest with settings from a received file: no host, until the guest is adopted.
pub const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// A dataset below `images` is an image if it records facts of one and is not the temporary dataset of an import.
fn image(row: &Row, dataset: &Dataset, root: &Root) -> Result<Option<Image>, Problem> {
    let text = |key| own(&row.own, key).map(str::to_owned);
    let is_working = WORKING.iter().any(|w| dataset.leaf().starts_with(w));
    let Some(name) = dataset.leaf().parse().ok().filter(|_| !is_working && row.own.keys().any(|key| key.starts_with("image."))) else {
        return Ok(None);
    };
    if let Some(property) = &row.doubtful {
        return Err(crate::zfs::rows::pretender(&row.name, property));
    }
    let odd = |key: &str, values: &str| {
        let is = own(&row.own, key).map_or_else(|| "not set".to_owned(), |is| format!("`{}`", crate::value::printable(is, 40)));
        Problem::not_now(format!("`{dataset}` is marked as an image and cannot be used"))
            .on(dataset)
            .because(format!("its chyves:{key} is {is}"))
            .hint(format!("record what it is: `zfs set chyves:{key}={values} {dataset}`"))
    };
    Ok(Some(Image {
        name,
        dataset: dataset.clone(),
        kind: own(&row.own, keys::IMAGE_KIND)
            .and_then(|kind| kind.parse::<ImageKind>().ok())
            .ok_or_else(|| odd(keys::IMAGE_KIND, "disk|iso|firmware"))?,
        size: own(&row.own, keys::IMAGE_SIZE).and_then(|size| size.parse().ok()).ok_or_else(|| odd(keys::IMAGE_SIZE, "BYTES"))?,
        used: used(row),
        sha256: text(keys::IMAGE_SHA256),
        source: text(keys::IMAGE_SOURCE),
        added: text(keys::IMAGE_ADDED),
        original: text(keys::IMAGE_NAME),
        format: text(keys::IMAGE_FORMAT),
        checked: text(keys::IMAGE_CHECKED),
        label: text(keys::IMAGE_LABEL),
        vars: own(&row.own, keys::IMAGE_VARS_SIZE)
            .and_then(|size| size.parse().ok())
            .zip(text(keys::IMAGE_VARS))
            .map(|(size, sha256)| Template { size, sha256 }),
        wants: row.own.iter().filter_map(|(k, o)| Some((k.strip_prefix(keys::WANTS)?.to_owned(), o.value.clone()))).collect(),
        stored: Stored {
            origin: row.native("origin").map(str::to_owned),
            ready: None,
            mountpoint: row.native("mountpoint").map(str::to_owned),
            home: root.mountpoint.as_deref().and_then(|at| crate::zfs::guard::home(&root.dataset, at, dataset)),
            canmount: row.native("canmount").map(str::to_owned),
        },
    }))
}

/// Whether a dataset that is not a guest is at the deepest level, where only guests can be.
fn is_stray(dataset: &Dataset, root: &Root) -> bool {
    let below = dataset.as_str().strip_prefix(root.guests().as_str()).and_then(|rest| rest.strip_prefix('/'));
    below.is_some_and(|below| below.split('/').count() == root.group_levels + 1)
}

/// Whether a dataset in the trash is a temporary one of a running command and not a deleted guest.
fn is_working(row: &Row, dataset: &Dataset) -> bool {
    !row.own.contains_key(keys::NAME) && ["reading-", "receiving-", "revert-", "rollback-"].iter().any(|w| dataset.leaf().starts_with(w))
}

fn trashed(row: &Row, dataset: &Dataset) -> Result<Trashed, Problem> {
    let name = own(&row.own, keys::NAME).unwrap_or_default();
    Ok(Trashed {
        name: name.parse().map_err(|e| Problem::from(e).within(format!("`{dataset}` in the trash has no good name")).on(dataset))?,
        dataset: dataset.clone(),
        uuid: own(&row.own, keys::UUID).and_then(|u| u.parse().ok()),
        deleted: own(&row.own, keys::DELETED).unwrap_or("-").to_owned(),
        used: used(row),
        group: own(&row.own, keys::GROUP).map(str::to_owned),
        disk: own(&row.own, keys::REMOVED_FROM).map(|of| trashed_disk(row, dataset, of)).transpose()?,
    })
}

/// A dataset in the trash that records the guest its disk belonged to stores the settings of that disk only.
fn trashed_disk(row: &Row, dataset: &Dataset, of: &str) -> Result<TrashedDisk, Problem> {
    let odd =
        |why: &str| Problem::not_now(format!("`{dataset}` in the trash is not a disk that can be brought back")).on(dataset).because(why);
    let of = of.parse().map_err(|_| odd("the identity of its guest is none"))?;
    let settings = Settings::new(row.own.clone(), Vec::new());
    let [number] = settings.numbers("disk")[..] else { return Err(odd("it has the settings of no disk, or of several")) };
    let prefix = format!("disk{number}.");
    let kind = match row.native("type") {
        Some("volume") => DiskKind::Zvol,
        _ => DiskKind::Raw,
    };
    // The dataset itself shows what the disk is, and nothing in it reaches the host: no record proves where these values come from.
    let harmless = |key: &str, value: &str| trust::reach(key, value).is_none() && key != keys::disk(number, DiskKey::Kind);
    let stored = row.own.iter().filter(|(key, own)| harmless(key, &own.value));
    let mut settings: Vec<_> = stored.filter_map(|(k, o)| Some((k.strip_prefix(&prefix)?.to_owned(), o.value.clone()))).collect();
    settings.push((DiskKey::Kind.word().to_owned(), kind.word().to_owned()));
    Ok(TrashedDisk { of, number, kind, settings })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::property::find;
    use crate::zfs::rows::parse;

    fn rows() -> Vec<Row> {
        let mut text = String::new();
        let mut add = |name: &str, own: &[(&str, &str, &str)]| {
            text.push_str(&format!("{name}\ttype\t-\tfilesystem\n{name}\tused\t-\t1024\n{name}\tmounted\t-\tno\n"));
            for (k, s, v) in own {
                text.push_str(&format!("{name}\tchyves:{k}\t{s}\t{v}\n"));
            }
        };
        let host = "11111111-1111-4111-8111-111111111111";
        let other = "22222222-2222-4222-8222-222222222222";
        add(
            "tank/chyves",
            &[("layout", "local", "1"), ("role", "local", "primary"), ("host", "local", host), ("group_levels", "local", "1")],
        );
        add("tank/chyves/guests", &[("cpu", "local", "2")]);
        add("tank/chyves/guests/prod", &[("ram", "local", "4G")]);
        add("tank/chyves/guests/prod/db", &[("uuid", "local", other), ("owner", "local", host)]);
        add("tank/chyves/guests/web", &[("uuid", "local", host), ("owner", "local", other)]);
        add("tank/chyves/guests/web-1", &[("uuid", "received", host)]);
        add("tank/chyves/guests/start", &[("uuid", "local", other)]);
        add("tank/chyves/guests/odd", &[("uuid", "local", "x")]);
        add("tank/chyves/guests/stray", &[]);
        add("tank/chyves/images/tiny", &[("image.kind", "local", "disk"), ("image.size", "local", "1M")]);
        add("tank/chyves/images/importing-1", &[]);
        add("tank/chyves/trash/t1", &[("uuid", "local", other), ("name", "local", "old"), ("deleted", "local", "2026-01-01T00:00:00Z")]);
        parse(&text, true).unwrap()
    }

    #[test]
    fn a_tree_becomes_guests_images_and_trash() {
        let rows = rows();
        let (roots, odd) = roots(&rows);
        assert_eq!((roots.len(), odd.len()), (1, 0));
        let inv = inventory(&rows, &roots);
        let names: Vec<_> = inv.guests.iter().map(|g| g.name.as_str()).collect();
        assert_eq!(names, ["db", "web", "web-1"]);
        let db = &inv.guests[0];
        assert_eq!(db.group(), Some("prod"));
        assert_eq!(db.settings.get(&find("ram").unwrap()).source.to_string(), "inherited from tank/chyves/guests/prod");
        assert_eq!(db.settings.value("cpu").as_deref(), Some("2"));
        assert_eq!(inv.images.len(), 1);
        assert_eq!(inv.trash[0].name.as_str(), "old");
        // Marked as guests but invalid: reported, not skipped.
        assert_eq!(inv.oddities.len(), 2, "{:?}", inv.oddities);
    }

    #[test]
    fn guests_of_other_hosts_and_received_ones_are_foreign() {
        let rows = rows();
        let inv = inventory(&rows, &roots(&rows).0);
        let foreign = |n: &str| inv.guests.iter().find(|g| g.name.as_str() == n).unwrap().foreign.is_some();
        assert_eq!((foreign("db"), foreign("web"), foreign("web-1")), (false, true, true));
    }

    /// Two pools, each with a guest of its own host: whether the guest on each is foreign, and the id of this host.
    fn two_pools(roles: [&str; 2], hosts: [&str; 2]) -> ([bool; 2], Option<Uuid>) {
        let mut text = String::new();
        for (index, pool) in ["ta", "tb"].iter().enumerate() {
            let (role, host) = (roles[index], hosts[index]);
            let (role, source) = role.strip_prefix("received ").map_or((role, "local"), |r| (r, "received"));
            text.push_str(&format!(
                "{pool}/c\ttype\t-\tfilesystem\n{pool}/c\tchyves:layout\t{source}\t1\n{pool}/c\tchyves:role\t{source}\t{role}\n"
            ));
            text.push_str(&format!("{pool}/c\tchyves:host\tlocal\t{host}\n{pool}/c/guests\ttype\t-\tfilesystem\n"));
            text.push_str(&format!(
                "{pool}/c/guests/g{index}\ttype\t-\tfilesystem\n{pool}/c/guests/g{index}\tchyves:uuid\tlocal\t{host}\n"
            ));
            text.push_str(&format!("{pool}/c/guests/g{index}\tchyves:owner\tlocal\t{host}\n"));
        }
        let rows = parse(&text, true).unwrap();
        let (roots, odd) = roots(&rows);
        assert_eq!(odd, []);
        let inv = inventory(&rows, &roots);
        let foreign = |n: &str| inv.guests.iter().find(|g| g.name.as_str() == n).unwrap().foreign.is_some();
        ([foreign("g0"), foreign("g1")], this_host(&roots))
    }

    #[test]
    fn this_host_is_whose_the_primary_pool_is() {
        let (a, b) = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222");
        let is = |h: &str| Some(h.parse::<Uuid>().unwrap());
        assert_eq!(two_pools(["primary", "secondary"], [a, a]), ([false, false], is(a)));
        // A secondary pool from elsewhere names another host, which has no effect here.
        assert_eq!(two_pools(["primary", "secondary"], [a, b]), ([false, true], is(a)));
        assert_eq!(two_pools(["secondary", "primary"], [a, b]), ([true, false], is(b)));
        // Two pools claim to be primary: no guest starts until the user decides which host id applies.
        assert_eq!(two_pools(["primary", "primary"], [a, b]), ([true, true], None));
        assert_eq!(two_pools(["primary", "primary"], [a, a]), ([false, false], is(a)));
        // Without a primary pool, the secondary ones determine the host id if they agree.
        assert_eq!(two_pools(["secondary", "secondary"], [a, a]), ([false, false], is(a)));
        assert_eq!(two_pools(["secondary", "secondary"], [a, b]), ([true, true], None));
        // The received copy of a root has no role here.
        assert_eq!(two_pools(["primary", "received primary"], [a, b]).1, is(a));
    }

    #[test]
    fn a_newer_layout_is_told_apart() {
        let rows = parse("tank/c\tchyves:layout\tlocal\t9\ntank/c\tchyves:role\tlocal\tprimary\n", false).unwrap();
        let (found, odd) = roots(&rows);
        assert!(found.is_empty());
        assert!(odd[0].hints[0].contains("newer chyves"), "{odd:?}");
    }
}
