//! Operations on existing images: showing, verifying, renaming and deleting them.

use crate::session::Session;
use chyves_core::error::Result;
use chyves_core::image::ImageKind;
use chyves_core::value::{ImageName, Size};
use chyves_engine::answer;
use chyves_engine::op::{ImageDelete, ImageFacts, ImageInfo, ImageRename, ImageVerify};
use serde_json::{Value, json};

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
    fields.insert("problems".into(), crate::command::info::problem_rows(&facts.problems));
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
    let outcome = session.run(&ImageVerify { images: names.to_vec(), kind: kind.map(Into::into) })?;
    session.show_all(outcome, |verified| Some((verified.object.clone(), "is what was imported".to_owned())))
}

pub(super) fn rename(session: &Session, kind: Option<ImageKind>, from: &ImageName, to: &ImageName) -> Result<()> {
    let outcome = session.run(&ImageRename { image: from.clone(), name: to.clone(), kind: kind.map(Into::into) })?;
    session.show_all(outcome, |renamed| Some((renamed.object.clone(), format!("renamed to {}", renamed.name))))
}

/// Destroys images, each separately.
pub(super) fn delete(session: &Session, kind: Option<ImageKind>, names: &[ImageName]) -> Result<()> {
    let outcome = session.run(&ImageDelete { images: names.to_vec(), kind: kind.map(Into::into) })?;
    session.show_each(outcome, |_| "destroyed".to_owned())
}
