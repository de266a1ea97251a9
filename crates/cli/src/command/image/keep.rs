//! Operations on existing images: showing, verifying, renaming and deleting them.

use crate::session::{Report, Session};
use chyves_core::error::{Problem, Result};
use chyves_core::image::{Image, ImageKind};
use chyves_core::plan::{self, image::of_kind};
use chyves_core::pool::Role;
use chyves_core::property::settings::OwnValues;
use chyves_core::value::{Dataset, GuestName, ImageName, Size};
use chyves_core::world::World;
use chyves_engine::answer;
use chyves_engine::op::{ImageFacts, ImageInfo};
use chyves_host::observe::snapshots::Origins;
use chyves_host::observe::{self, Look, Which};
use chyves_host::shared_mounts;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// All images and guests.
fn all() -> Look {
    Look { guests: Which::All, images: Which::All, ..Look::default() }
}

pub(super) fn info(session: &Session, kind: Option<ImageKind>, names: &[ImageName]) -> Result<()> {
    let outcome = session.run(&ImageInfo { images: names.to_vec(), kind: kind.map(Into::into) })?;
    let all = outcome.answer.unwrap_or_default();
    if session.ui.json {
        session.ui.answer_json(json!(all));
    } else {
        let mut text = String::new();
        for image in &all {
            if !text.is_empty() {
                text.push('\n');
            }
            crate::command::info::lines(&mut text, &shown(image), 0);
        }
        session.ui.answer(&text);
    }
    outcome.problem.map_or(Ok(()), Err)
}

/// An image in the words that are shown, in their order.
fn shown(facts: &ImageFacts) -> Value {
    let image = &facts.image;
    let human = |bytes: u64| Size::bytes(bytes).human();
    let mut value = json!({
        "name": image.name, "kind": image.kind, "size": human(image.size), "used": human(image.used), "sha256": image.sha256,
        "source": image.source, "file": image.file, "format": image.format, "checked": image.checked, "added": image.added,
        "dataset": facts.dataset, "label": facts.label, "variables": facts.variables.map(human),
    });
    let Some(fields) = value.as_object_mut() else { return value };
    if facts.damaged {
        fields.insert("damaged".into(), json!("it has no snapshot to make guests from: delete it and import it again"));
    }
    let running = if image.kind == answer::ImageKind::Firmware { "running" } else { "in-drives-of" };
    let wants: Vec<String> = facts.wants.iter().map(|(key, value)| format!("{key}={value}")).collect();
    for (key, items) in
        [("wants", &wants), ("clones", &facts.clones), (running, &facts.running), ("boots", &facts.boots), ("named-by", &facts.named_by)]
    {
        if !items.is_empty() {
            fields.insert(key.to_owned(), json!(items.join(" ")));
        }
    }
    value
}

pub(super) fn verify(session: &Session, kind: Option<ImageKind>, names: &[ImageName]) -> Result<()> {
    let world = session.look(&Look { images: Which::All, ..Look::default() })?;
    world.primary()?;
    let mut failures = Vec::new();
    let images: Vec<&Image> = match names {
        [] => world.images.iter().filter(|i| kind.is_none_or(|k| k == i.kind)).collect(),
        names => names.iter().filter_map(|name| of_kind(&world, name, kind).map_err(|problem| failures.push(problem)).ok()).collect(),
    };
    if images.is_empty() && failures.is_empty() {
        session.ui.say("there are no images to be read");
    }
    let mut reports = Vec::new();
    for image in images {
        let plan = plan::image::verify(&world, image);
        // Other guests may start with it meanwhile; unmounting it has to wait.
        let hold = if session.dry_run { None } else { Some(shared_mounts::hold(&session.runtime, &image.dataset, &session.typed)?) };
        let result = plan.and_then(|plan| session.carry_out(&world, &plan, image.name.as_str()));
        drop(hold);
        if !session.dry_run
            && let Err(problem) = shared_mounts::let_go(&session.runtime, &image.dataset, &session.typed)
        {
            session.ui.warn(&format!("{} stays mounted: {problem}", image.dataset));
        }
        match result {
            Ok(Some(_)) => reports.push(Report::new(&image.name, "is what was imported").with(json!({ "sha256": image.sha256 }))),
            Ok(None) => {}
            Err(problem) => failures.push(problem),
        }
    }
    session.tell(&reports);
    // Some of the named images are intact.
    if names.len() > 1 && !reports.is_empty() {
        let lost = failures.into_iter().map(|problem| (problem.object.clone().unwrap_or_default(), problem)).collect();
        return Session::sum_up_lost("images are not there or not what was imported", names.len(), lost);
    }
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.remove(0)),
        n => {
            let mut problem = Problem::failed(format!("{n} images are not what was imported"));
            for failure in failures {
                problem = problem.because(&failure).hint_if(failure.hints.first().filter(|_| n == 1).cloned());
            }
            Err(problem.hint("`zpool status -v` shows whether the pool is damaged"))
        }
    }
}

pub(super) fn rename(session: &Session, kind: Option<ImageKind>, from: &ImageName, to: &ImageName) -> Result<()> {
    let _lock = session.lock("image", &[from, to])?;
    let named = |world: &World| plan::image::changed_by_name(world, from).into_iter().map(|g| g.name.clone()).collect::<Vec<_>>();
    let guests = named(&session.look(&all())?);
    let _guests = session.lock("guest", &guests)?;
    let _settings = session.lock("pool", &["settings"])?;
    // The state may have changed before the guests were locked.
    let seen = session.look(&all())?;
    if !named(&seen).iter().all(|name| guests.contains(name)) {
        return Err(Problem::not_now(format!("a guest has begun to use `{from}` meanwhile")).on(from).hint("try again"));
    }
    // An observation of all guests does not include their folders.
    let world = session.look(&Look { guests: Which::Named(guests), images: Which::All, ..Look::default() })?;
    let image = of_kind(&world, from, kind)?;
    not_running(session, image)?;
    let guids = observe::guids(&[image.dataset.to_string()])?;
    let above = above(&seen)?;
    let plan = plan::image::rename(&world, &plan::image::Rename { from: from.clone(), to: to.clone(), guids, above })?;
    if session.carry_out(&world, &plan, from.as_str())?.is_some() {
        session.tell(&[Report::new(from, format!("renamed to {to}")).with(json!({ "name": to }))]);
    }
    Ok(())
}

/// Destroys images, each separately.
pub(super) fn delete(session: &Session, kind: Option<ImageKind>, names: &[ImageName]) -> Result<()> {
    let results = names.iter().map(|name| delete_one(session, kind, name)).collect();
    session.sum_up("images could not be destroyed", names, results)
}

fn delete_one(session: &Session, kind: Option<ImageKind>, name: &ImageName) -> Result<Option<Report>> {
    let _lock = session.lock("image", &[name])?;
    let world = session.look(&all())?;
    let image = of_kind(&world, name, kind)?;
    not_running(session, image)?;
    let doomed = observe::snapshots::doomed(&image.dataset, &Origins::default())?;
    let plan = plan::image::delete(&world, name, &above(&world)?, &doomed)?;
    if !session.dry_run {
        for taken in doomed.all(&[]) {
            session.ui.say(&format!("{name}: destroys {taken}"));
        }
        session.ui.confirm(&format!("destroy the image {name} ({})", image.used.human()), session.yes)?;
    }
    let done = session.carry_out(&world, &plan, name.as_str()).map_err(|p| session.goes_on(p))?;
    Ok(done.map(|_| Report::new(name, "destroyed")))
}

/// The datasets from which guests inherit settings, with their local settings.
fn above(world: &World) -> Result<Vec<(Dataset, OwnValues)>> {
    let groups = world.guests.iter().flat_map(|guest| guest.settings.above()).map(|(on, values)| (on.clone(), values.clone()));
    let mut all: BTreeMap<Dataset, OwnValues> = groups.collect();
    // The dataset of a pool without guests is not among them.
    for root in world.roots.iter().filter(|root| root.role != Role::Offline && !all.contains_key(&root.guests())).collect::<Vec<_>>() {
        all.insert(root.guests(), observe::dataset(&root.guests())?.map(|row| row.own).unwrap_or_default());
    }
    Ok(all.into_iter().collect())
}

fn not_running(session: &Session, image: &Image) -> Result<()> {
    let running = shared_mounts::users(&session.runtime, &image.dataset)?;
    if running.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = running.iter().map(GuestName::as_str).collect();
    let names = names.join(", ");
    Err(if image.kind == ImageKind::Firmware {
        Problem::not_now(format!("the firmware `{}` is in use", image.name))
            .because(format!("guests that run with it: {names}"))
            .hint(format!("`chyves stop {}` first", names.replace(", ", ",")))
    } else {
        Problem::not_now(format!("the image `{}` is in an optical drive", image.name))
            .because(format!("of {names}"))
            .hint("it is ejected when the guest is off, or at the reboot set by iso_eject_after_reboots")
    }
    .on(&image.name))
}
