//! `image import`, `fetch`, `verify`, `rename` and `delete`. An image appears under its name only once it is complete.
//!
//! Not here: what an image may be and where it comes from ([`crate::image`]).

use super::delete::Doomed;
use super::set::change;
use super::{Plan, keep_copy};
use crate::action::Action;
use crate::error::{Code, Problem, Result};
use crate::guest::Guest;
use crate::guest::written::Change;
use crate::image::{IMAGE_SNAPSHOT, Image, ImageKind, Order, Source, WORKING};
use crate::property::keys;
use crate::property::kind::AUTO;
use crate::property::settings::{Own, OwnValues};
use crate::value::{Dataset, FilePath, ImageName, printable};
use crate::world::World;
use crate::zfs::args::Pair;
use crate::zfs::guard;

/// The request of an import.
#[derive(Debug, Clone)]
pub struct Import {
    /// The source, and what is expected of the image.
    pub order: Order,
    /// The image's name.
    pub name: ImageName,
    /// A random word for the name of the temporary dataset.
    pub token: String,
    /// For a download: the word derived from the URL that names the partial download, and whether one from an earlier
    /// attempt exists.
    pub part: Option<(String, bool)>,
    /// The time, UTC.
    pub now: String,
}

/// The dataset of a partial download; `word` is derived from its URL.
///
/// # Errors
/// No pool is primary.
pub fn part(world: &World, word: &str) -> Result<Dataset> {
    Ok(world.primary()?.images().child(format!("{}{word}", WORKING[1])))
}

fn free(world: &World, name: &ImageName, hint: impl FnOnce() -> String) -> Result<()> {
    if let Some(start) = WORKING.iter().find(|w| name.as_str().starts_with(**w)) {
        return Err(Problem::usage(format!("an image cannot be called `{name}`"))
            .on(name)
            .because(format!("names that begin with `{start}` are reserved for incomplete images"))
            .hint("choose another name"));
    }
    if name.as_str() == AUTO {
        return Err(Problem::usage(format!("an image cannot be called `{name}`"))
            .on(name)
            .because(format!("{}={AUTO} is the firmware of the host's packages", keys::FIRMWARE))
            .hint("choose another name"));
    }
    if let Some(odd) = world.odd_image(name) {
        return Err(odd.clone().hint("or choose another name"));
    }
    match world.images.iter().find(|i| i.name == *name) {
        None => Ok(()),
        Some(there) => Err(Code::ImageExists.problem(format!("an image is called `{}` already", there.name)).on(&there.name).hint(hint())),
    }
}

/// The directory in which images' file systems are mounted.
fn folder(world: &World) -> Result<String> {
    Ok(format!("{}/images", super::create::mountpoint(world.primary()?)?))
}

/// Plans an import.
///
/// # Errors
/// The name is taken, there is no primary pool, or the options contradict each other.
pub fn import(world: &World, request: &Import) -> Result<Plan> {
    let root = world.primary()?;
    request.order.check()?;
    free(world, &request.name, || format!("give another name with --name, or `chyves image delete {}` first", request.name))?;
    let work = root.images().child(format!("{}{}", WORKING[0], request.token));
    let last = root.images().child(&request.name);
    let folder = folder(world)?;
    let mut plan = Plan::default();
    let mut kept = None;
    if let (Some((word, there)), Source::Address(_)) = (&request.part, &request.order.source) {
        let dataset = part(world, word)?;
        kept = Some((dataset.clone(), format!("{folder}/{}", dataset.leaf())));
        let (address, now) = (request.order.source.shown(), request.now.clone());
        plan.push(Action::KeepPart { part: dataset, there: *there, address, now });
    }
    plan.push(Action::CreateDataset { dataset: work.clone(), native: super::of_disks(), own: Vec::new() });
    plan.push(Action::Mount { dataset: work.clone() });
    plan.push(Action::ImportImage {
        order: Box::new(request.order.clone()),
        folder: format!("{folder}/{}", work.leaf()),
        dataset: work.clone(),
        part: kept.clone(),
        now: request.now.clone(),
        dialect: world.host.dialect,
    });
    plan.push(Action::Unmount { dataset: work.clone() });
    plan.push(Action::Snapshot { snapshot: work.at(&IMAGE_SNAPSHOT.parse()?), own: Vec::new() });
    plan.push(Action::Rename { dialect: world.host.dialect, from: work, to: last });
    if let Some((part, _)) = kept {
        plan.push(Action::DropPart { part });
    }
    Ok(plan)
}

/// Plans to destroy an image with all its snapshots. `above`: the datasets that guests inherit settings from, with their
/// own values.
///
/// # Errors
/// There is no image of that name, or guests depend on it.
pub fn delete(world: &World, name: &ImageName, above: &[(Dataset, OwnValues)], doomed: &Doomed) -> Result<Plan> {
    let image = world.image(name)?;
    if !doomed.clones.is_empty() {
        return Err(Code::ImageInUse
            .problem(format!("the image `{}` is in use", image.name))
            .on(&image.name)
            .because(format!("clones of it: {}", doomed.clones.join(", ")))
            .hint("delete those guests first and empty the trash; the image takes little space of its own while they exist"));
    }
    let names = |values: &OwnValues| boots_by(values, &image.name);
    let on: Vec<String> = above.iter().filter(|(_, values)| names(values)).map(|(on, _)| format!("all guests below {on}")).collect();
    let boots: Vec<String> = booted_by(world, &image.name).iter().map(|g| g.name.to_string()).chain(on).collect();
    if !boots.is_empty() {
        return Err(Code::ImageInUse
            .problem(format!("the firmware `{}` is in use", image.name))
            .on(&image.name)
            .because(format!("so boot {}", boots.join(", ")))
            .hint("let them boot with another one: `chyves set GUEST firmware=auto`, or `chyves set defaults …`"));
    }
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: vec![(image.dataset.to_string(), doomed.guid)] });
    plan.push(Action::DestroyTree { dataset: image.dataset.clone(), takes: doomed.takes.clone() });
    Ok(plan)
}

/// The guests that record the image as the one they were made from.
pub fn named_by<'w>(world: &'w World, name: &ImageName) -> Vec<&'w Guest> {
    world.guests.iter().filter(|g| g.settings.own(keys::IMAGE) == Some(name.as_str())).collect()
}

/// The guests that use an image as their firmware, by their own or inherited settings.
pub fn booted_by<'w>(world: &'w World, name: &ImageName) -> Vec<&'w Guest> {
    world.guests.iter().filter(|g| g.settings.value(keys::FIRMWARE).as_deref() == Some(name.as_str())).collect()
}

/// Whether a dataset's own values select an image as firmware.
fn boots_by(values: &OwnValues, name: &ImageName) -> bool {
    values.get(keys::FIRMWARE).is_some_and(|own| own.value == name.as_str())
}

/// The guests whose own settings name an image; a rename of the image changes these settings.
pub fn changed_by_name<'w>(world: &'w World, name: &ImageName) -> Vec<&'w Guest> {
    let names = |key: &str, g: &Guest| g.settings.own(key) == Some(name.as_str());
    world.guests.iter().filter(|g| names(keys::IMAGE, g) || names(keys::FIRMWARE, g)).collect()
}

/// The request of a rename, with the facts it needs.
#[derive(Debug, Clone)]
pub struct Rename {
    /// The image.
    pub from: ImageName,
    /// Its new name.
    pub to: ImageName,
    /// The GUID of its dataset.
    pub guids: Vec<(String, u64)>,
    /// The datasets that guests inherit settings from, with their own values.
    pub above: Vec<(Dataset, OwnValues)>,
}

/// Plans to rename an image. Guests that were made from it or that use it as firmware are updated; the world must hold
/// those that name it in their own settings.
///
/// # Errors
/// There is no image of that name, or the new name is taken.
pub fn rename(world: &World, request: &Rename) -> Result<Plan> {
    let image = world.image(&request.from)?;
    if request.from == request.to {
        return Ok(Plan::nothing(format!("it is called {} already", request.to)));
    }
    free(world, &request.to, || format!("choose another name, or `chyves image delete {}` first", request.to))?;
    let mut plan = Plan::default();
    plan.push(Action::Verify { objects: request.guids.clone() });
    let to = world.primary()?.images().child(&request.to);
    plan.push(Action::Rename { dialect: world.host.dialect, from: image.dataset.clone(), to });
    for (on, values) in request.above.iter().filter(|(_, values)| boots_by(values, &request.from)) {
        plan.push(change(world, on, values, &Change::kept([(keys::FIRMWARE.into(), request.to.to_string())], Vec::new())));
    }
    for guest in changed_by_name(world, &request.from) {
        let own = guest.settings.own_values();
        let mut after = own.clone();
        let named = [keys::IMAGE, keys::FIRMWARE].into_iter().filter(|key| guest.settings.own(key) == Some(request.from.as_str()));
        let set: Vec<Pair> = named.map(|key| (key.to_owned(), request.to.to_string())).collect();
        after.extend(set.iter().map(|(key, value)| (key.clone(), Own { value: value.clone(), received: false })));
        plan.push(change(world, &guest.dataset, own, &Change::kept(set, Vec::new())));
        plan.steps.extend(keep_copy(guest, &after)?);
    }
    Ok(plan)
}

/// The problem of an image without the snapshot that guests are made from.
pub fn not_ready(image: &Image) -> Problem {
    let dataset = &image.dataset;
    let problem = Problem::not_now(format!("the image `{}` has no snapshot @{IMAGE_SNAPSHOT}, from which guests are made", image.name))
        .on(&image.name);
    match &image.stored.origin {
        Some(origin) => problem
            .because(format!("a clone of it was promoted, and the snapshot is now {origin}"))
            .hint(format!("`zfs promote {dataset}` moves it back")),
        None => problem.because(format!("{dataset}@{IMAGE_SNAPSHOT} was renamed or destroyed")).hint(format!(
            "if `chyves image verify {}` finds no difference: `zfs snapshot {dataset}@{IMAGE_SNAPSHOT}`; else import it again under another name",
            image.name
        )),
    }
}

/// What of an image's dataset differs from how chyves stores it.
pub fn drifted(image: &Image) -> Vec<Problem> {
    let stored = &image.stored;
    let mut all = Vec::new();
    if let (Some(is), Some(home)) = (&stored.mountpoint, &stored.home)
        && is != home
    {
        let own = format!("`zfs inherit mountpoint {}` gives it chyves' own place", image.dataset);
        all.push(guard::misplaced(&image.dataset, is, home).hint(own));
    }
    if stored.canmount.as_deref() == Some("off") {
        all.push(guard::unmountable(&image.dataset));
    }
    if stored.ready == Some(false) {
        all.push(not_ready(image));
    }
    if !image.sha256.as_deref().is_some_and(is_hash) {
        all.push(no_hash(image));
    }
    all
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The problem of an image that cannot be compared with what was imported.
fn no_hash(image: &Image) -> Problem {
    let problem = Problem::not_now(format!("the image `{}` cannot be verified", image.name)).on(&image.name);
    match &image.sha256 {
        None => problem.because("its dataset records no SHA-256"),
        Some(is) => problem.because(format!("what its dataset records as SHA-256 is none: `{}`", printable(is, 80))),
    }
    .hint("import it again to have one")
}

/// Plans to check that an image is unchanged since its import.
///
/// # Errors
/// No checksum was recorded.
pub fn verify(world: &World, image: &Image) -> Result<Plan> {
    let Some(sha256) = image.sha256.clone().filter(|hash| is_hash(hash)) else { return Err(no_hash(image)) };
    let folder = format!("{}/{}", folder(world)?, image.name);
    let mut plan = Plan::default();
    plan.push(Action::Borrow { dataset: image.dataset.clone() });
    let vars = image.vars.as_ref().map(|vars| Action::VerifyImage {
        image: image.name.clone(),
        path: FilePath::below(folder.as_str(), ImageKind::VARS_FILE),
        sha256: vars.sha256.clone(),
        size: vars.size,
    });
    plan.push(Action::VerifyImage {
        image: image.name.clone(),
        path: FilePath::below(folder.as_str(), image.kind.file()),
        sha256,
        size: image.size,
    });
    plan.steps.extend(vars);
    Ok(plan)
}

/// The image of that name, which must be of the kind that the command handles.
///
/// # Errors
/// There is no such image, or it is of another kind.
pub fn of_kind<'w>(world: &'w World, name: &ImageName, kind: Option<ImageKind>) -> Result<&'w Image> {
    let image = world.image(name)?;
    match kind {
        Some(kind) if kind != image.kind => Err(Code::NoSuchImage
            .problem(format!("the image `{name}` is not of the kind {}", kind.noun()))
            .on(name)
            .because(format!("it is {}", image.kind.phrase()))
            .hint(format!("`chyves image` is about all of them: `chyves image info {name}`"))),
        _ => Ok(image),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::Os;
    use crate::plan::testing;

    fn request(source: Source) -> Import {
        Import {
            order: Order::new(source),
            name: "debian".parse().unwrap(),
            token: "k3".into(),
            part: Some(("a1".into(), false)),
            now: "2026-01-31T12:00:00Z".into(),
        }
    }

    #[test]
    fn an_import_becomes_visible_last() {
        let request = request(Source::File("/a/debian.qcow2".into()));
        insta::assert_snapshot!(import(&testing::world(Vec::new()), &request).unwrap().script(Os::Linux), @r"
        # create the file system tank/chyves/images/importing-k3
        zfs create -o canmount=noauto -o recordsize=64K tank/chyves/images/importing-k3
        # mount tank/chyves/images/importing-k3
        zfs mount tank/chyves/images/importing-k3
        # read /a/debian.qcow2 into /tank/chyves/images/importing-k3: hash, detect, decompress, convert, write
        # unmount tank/chyves/images/importing-k3
        zfs unmount tank/chyves/images/importing-k3
        # take the snapshot tank/chyves/images/importing-k3@ready
        zfs snapshot -r tank/chyves/images/importing-k3@ready
        # rename tank/chyves/images/importing-k3 to tank/chyves/images/debian
        zfs rename tank/chyves/images/importing-k3 tank/chyves/images/debian
        ");
    }

    #[test]
    fn what_comes_from_an_address_is_kept_until_the_image_is_whole() {
        let request = request(Source::Address("https://me:secret@h/debian.qcow2".into()));
        let script = import(&testing::world(Vec::new()), &request).unwrap().script(Os::Linux);
        assert!(!script.contains("secret"), "{script}");
        insta::assert_snapshot!(script, @r"
        # create tank/chyves/images/fetching-a1, which keeps a partial download
        zfs create -o canmount=noauto -o chyves:image.partial=https://h/debian.qcow2 -o chyves:image.added=2026-01-31T12:00:00Z tank/chyves/images/fetching-a1
        zfs mount tank/chyves/images/fetching-a1
        # create the file system tank/chyves/images/importing-k3
        zfs create -o canmount=noauto -o recordsize=64K tank/chyves/images/importing-k3
        # mount tank/chyves/images/importing-k3
        zfs mount tank/chyves/images/importing-k3
        # read https://h/debian.qcow2 into /tank/chyves/images/importing-k3: hash, detect, decompress, convert, write
        # unmount tank/chyves/images/importing-k3
        zfs unmount tank/chyves/images/importing-k3
        # take the snapshot tank/chyves/images/importing-k3@ready
        zfs snapshot -r tank/chyves/images/importing-k3@ready
        # rename tank/chyves/images/importing-k3 to tank/chyves/images/debian
        zfs rename tank/chyves/images/importing-k3 tank/chyves/images/debian
        # destroy tank/chyves/images/fetching-a1, which is no longer needed
        zfs unmount tank/chyves/images/fetching-a1
        zfs destroy tank/chyves/images/fetching-a1
        ");
    }

    #[test]
    fn a_taken_name_and_a_used_image_are_refused() {
        let world = testing::world(Vec::new());
        let named = |name: &str| Import { name: name.parse().unwrap(), ..request(Source::Input) };
        assert!(import(&world, &named("tiny")).unwrap_err().message.contains("`tiny` already"));
        assert_eq!(import(&world, &named("importing-x")).unwrap_err().code.exit_code(), 2);
        assert_eq!(import(&world, &named("fetching-x")).unwrap_err().code.exit_code(), 2);
        // `auto` is reserved: it selects the packaged firmware.
        assert_eq!(import(&world, &named("auto")).unwrap_err().code.exit_code(), 2);
        let used = Doomed { clones: vec!["tank/chyves/guests/web".into()], ..Doomed::default() };
        assert!(delete(&world, &"tiny".parse().unwrap(), &[], &used).unwrap_err().causes[0].contains("guests/web"));
    }

    #[test]
    fn guests_go_on_naming_a_renamed_image() {
        let world = testing::world(vec![testing::guest("web", &[("image", "tiny")]), testing::guest("other", &[])]);
        let rename = |to: &str| {
            let request = Rename { from: "tiny".parse().unwrap(), to: to.parse().unwrap(), guids: Vec::new(), above: Vec::new() };
            super::rename(&world, &request)
        };
        let script = rename("small").unwrap().script(Os::Linux);
        assert!(script.contains("zfs rename tank/chyves/images/tiny tank/chyves/images/small"), "{script}");
        assert!(script.contains("chyves:image=small tank/chyves/guests/web"), "{script}");
        assert!(!script.contains("other"), "{script}");
        assert!(rename("tiny").unwrap().steps.is_empty());
        assert_eq!(rename("fetching-1").unwrap_err().code.exit_code(), 2);
    }

    #[test]
    fn firmware_is_kept_while_somebody_boots_with_it_and_its_name_follows() {
        let mut group = testing::guest("grouped", &[]);
        let on: Dataset = "tank/chyves/guests".parse().unwrap();
        let defaults = testing::own(&[("firmware", "tiny")]);
        group.settings = crate::property::Settings::new(testing::own(&[]), vec![(on.clone(), std::sync::Arc::new(defaults.clone()))]);
        let own = testing::guest("own", &[("firmware", "tiny")]);
        let other = testing::guest("other", &[("firmware", "auto")]);
        let world = testing::world(vec![own, group, other]);
        let refused = |world: &World, above: &[(Dataset, OwnValues)]| {
            delete(world, &"tiny".parse().unwrap(), above, &Doomed::default()).unwrap_err().causes.concat()
        };
        assert_eq!(refused(&world, &[]), "so boot own, grouped");
        let above = [(on.clone(), defaults.clone())];
        assert_eq!(refused(&testing::world(Vec::new()), &above), "so boot all guests below tank/chyves/guests");
        let request =
            Rename { from: "tiny".parse().unwrap(), to: "small".parse().unwrap(), guids: Vec::new(), above: vec![(on, defaults)] };
        let script = rename(&world, &request).unwrap().script(Os::Linux);
        let changed: Vec<&str> = script.lines().filter(|l| l.starts_with("zfs set")).collect();
        assert_eq!(
            changed,
            ["zfs set chyves:uefi_firmware=small tank/chyves/guests", "zfs set chyves:uefi_firmware=small tank/chyves/guests/own"]
        );
        assert!(script.contains("write /tank/chyves/guests/own/config.toml"), "{script}");
    }

    #[test]
    fn a_kind_that_it_is_not_is_told() {
        let world = testing::world(Vec::new());
        let name = "tiny".parse().unwrap();
        assert!(of_kind(&world, &name, None).is_ok());
        let problem = of_kind(&world, &name, Some(ImageKind::Iso)).unwrap_err();
        assert_eq!((problem.message.as_str(), problem.causes[0].as_str()), ("the image `tiny` is not of the kind ISO", "it is a disk"));
    }
}
