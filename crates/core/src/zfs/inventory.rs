//! Rows of `zfs get` become roots, guests, images and trash: found by their marks, never by guessing at names.

use super::rows::Row;
use crate::error::Problem;
use crate::guest::{Guest, RunState};
use crate::property::keys;
use crate::property::settings::{OwnValues, Settings};
use crate::value::{Dataset, Size};
use crate::world::{Image, ImageKind, Role, Root, Trashed};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// The layout that this program reads and writes.
pub const LAYOUT: u32 = 1;

/// What a tree held.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Guests, in name order.
    pub guests: Vec<Guest>,
    /// Images.
    pub images: Vec<Image>,
    /// Deleted guests.
    pub trash: Vec<Trashed>,
    /// What bears a mark and can't be understood.
    pub oddities: Vec<Problem>,
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
    (found, odd)
}

fn root(row: &Row) -> Result<Root, Problem> {
    let wrong = |why: String| Problem::not_now(format!("`{}` can't be used", row.name)).on(&row.name).because(why);
    let layout = own(&row.own, keys::LAYOUT).unwrap_or_default();
    match layout.parse::<u32>() {
        Ok(n) if n == LAYOUT => {}
        Ok(n) if n > LAYOUT => {
            return Err(wrong(format!("its layout is {n}, and this program knows {LAYOUT}")).hint("use a newer chyves for this pool"));
        }
        _ => return Err(wrong(format!("its layout `{}` is none", crate::value::printable(layout, 20)))),
    }
    let role = own(&row.own, keys::ROLE).and_then(Role::read).ok_or_else(|| wrong("its role is not one".into()))?;
    Ok(Root {
        dataset: row.name.parse()?,
        role,
        host: own(&row.own, keys::HOST).and_then(|h| h.parse().ok()),
        group_levels: own(&row.own, keys::GROUP_LEVELS).and_then(|n| n.parse().ok()).unwrap_or(0).min(8),
        mountpoint: row.native("mountpoint").map(str::to_owned),
        own: Arc::new(row.own.clone()),
    })
}

/// Everything below `roots` among `rows`. Rows must hold each guest's ancestors up to its root.
pub fn inventory(rows: &[Row], roots: &[Root]) -> Inventory {
    let mut values: BTreeMap<&str, Arc<OwnValues>> = BTreeMap::new();
    for row in rows {
        values.insert(row.name.as_str(), Arc::new(row.own.clone()));
    }
    let mut found = Inventory::default();
    for row in rows.iter().filter(|r| !r.name.contains('@')) {
        let Ok(dataset) = row.name.parse::<Dataset>() else {
            if row.own.contains_key(keys::UUID) {
                let name = crate::value::printable(&row.name, 120);
                found.oddities.push(Problem::not_now(format!("`{name}` has a name that chyves can't use")).on(&name));
            }
            continue;
        };
        let Some(root) = roots.iter().find(|r| dataset.is_within(&r.dataset)) else { continue };
        let deleted = row.own.contains_key(keys::DELETED) && row.own.contains_key(keys::NAME);
        if dataset.is_within(&root.guests()) && row.own.contains_key(keys::UUID) && deleted {
            // Marked where it stood: it could not be moved.
            found.trash.extend(trashed(row, &dataset).map_err(|p| found.oddities.push(p)).ok());
        } else if dataset.is_within(&root.guests()) && row.own.contains_key(keys::UUID) {
            match guest(row, &dataset, root, &values) {
                Ok(guest) => found.guests.push(guest),
                Err(problem) => found.oddities.push(problem),
            }
        } else if dataset.parent().as_ref() == Some(&root.images()) && root.role == Role::Primary {
            found.images.extend(image(row, &dataset));
        } else if dataset.parent().as_ref() == Some(&root.trash()) {
            match trashed(row, &dataset) {
                Ok(guest) => found.trash.push(guest),
                Err(problem) => found.oddities.push(problem),
            }
        }
    }
    found.guests.sort_by(|a, b| a.name.cmp(&b.name));
    found.images.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn used(row: &Row) -> Size {
    Size::bytes(row.number("used").unwrap_or(0))
}

fn guest(row: &Row, dataset: &Dataset, root: &Root, values: &BTreeMap<&str, Arc<OwnValues>>) -> Result<Guest, Problem> {
    let odd = |p: Problem| p.within(format!("`{dataset}` is marked as a guest and can't be used")).on(dataset);
    let name = dataset.leaf().parse().map_err(|e| odd(Problem::from(e)).hint("rename it with `zfs rename`"))?;
    let text = own(&row.own, keys::UUID).unwrap_or_default();
    let uuid: Uuid = text.parse().map_err(|_| {
        odd(Problem::not_now(format!("its uuid `{}` is none", crate::value::printable(text, 40))))
            .hint(format!("give it one: zfs set chyves:uuid=$(uuidgen) {dataset}"))
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
    let foreign = foreign(&settings, root);
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
        guid: row.number("guid"),
        settings,
        state: RunState::Stopped,
    })
}

/// Why this host may not start the guest, if so.
fn foreign(settings: &Settings, root: &Root) -> Option<String> {
    if settings.is_received(keys::UUID) {
        return Some("it was received with a stream".into());
    }
    let owner = settings.own(keys::OWNER)?;
    match root.host {
        Some(host) if host.to_string() == owner => None,
        Some(_) | None => Some(format!("the host {} owns it", crate::value::printable(owner, 40))),
    }
}

/// A dataset below `images` is an image once its kind is written, which an import does last.
fn image(row: &Row, dataset: &Dataset) -> Option<Image> {
    let text = |key| own(&row.own, key).map(str::to_owned);
    Some(Image {
        name: dataset.leaf().parse().ok().filter(|_| !dataset.leaf().starts_with("importing-"))?,
        dataset: dataset.clone(),
        kind: ImageKind::read(own(&row.own, keys::IMAGE_KIND)?)?,
        size: own(&row.own, keys::IMAGE_SIZE)?.parse().ok()?,
        used: used(row),
        sha256: text(keys::IMAGE_SHA256),
        source: text(keys::IMAGE_SOURCE),
        added: text(keys::IMAGE_ADDED),
    })
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
    })
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
        add("tank/chyves", &[("layout", "local", "1"), ("role", "local", "primary"), ("host", "local", host), ("group_levels", "local", "1")]);
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
        // Marked as guests and not usable: told, not skipped.
        assert_eq!(inv.oddities.len(), 2, "{:?}", inv.oddities);
    }

    #[test]
    fn guests_of_other_hosts_and_received_ones_are_foreign() {
        let rows = rows();
        let inv = inventory(&rows, &roots(&rows).0);
        let foreign = |n: &str| inv.guests.iter().find(|g| g.name.as_str() == n).unwrap().foreign.is_some();
        assert_eq!((foreign("db"), foreign("web"), foreign("web-1")), (false, true, true));
    }

    #[test]
    fn a_newer_layout_is_told_apart() {
        let rows = parse("tank/c\tchyves:layout\tlocal\t9\ntank/c\tchyves:role\tlocal\tprimary\n", false).unwrap();
        let (found, odd) = roots(&rows);
        assert!(found.is_empty());
        assert!(odd[0].hints[0].contains("newer chyves"), "{odd:?}");
    }
}
