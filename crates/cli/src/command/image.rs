//! `chyves image`: what guests are made from.

use super::get::show;
use crate::session::{Report, Session};
use crate::table::{Cell, ListArgs, Table};
use chyves_core::error::{Problem, Result};
use chyves_core::plan;
use chyves_core::value::ImageName;
use chyves_host::borrow;
use chyves_host::observe::{self, Look, Which};
use serde_json::json;

/// Manage images: disks, ISOs, firmware
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Keep a copy of a file as an image: a raw or qcow2 disk, an ISO, UEFI firmware
    ///
    /// Its content is recognised, not its name. The image is seen under its name only when it is whole.
    Import {
        /// The file
        file: String,
        /// The image's name, where not the file's
        #[arg(long)]
        name: Option<ImageName>,
    },
    /// List images
    List(ListArgs),
    /// Destroy an image that no guest stands on
    Delete {
        /// The image
        image: ImageName,
    },
}

pub(crate) fn run(session: &Session, verb: &Verb) -> Result<()> {
    match verb {
        Verb::Import { file, name } => import(session, file, name.as_ref()),
        Verb::List(args) => list(session, None, args),
        Verb::Delete { image } => delete(session, image),
    }
}

/// The name that a file gives its image: its own, without the endings that say how it is packed.
fn name_of(file: &str) -> Result<ImageName> {
    let base = file.rsplit('/').next().unwrap_or(file);
    let mut name = base;
    for ending in [".gz", ".xz", ".zst", ".bz2", ".img", ".raw", ".qcow2", ".iso", ".fd"] {
        name = name.strip_suffix(ending).unwrap_or(name);
    }
    name.parse().map_err(|e| {
        Problem::from(e)
            .within(format!("`{}` gives no good name for an image", chyves_core::value::printable(base, 60)))
            .hint("give one with --name")
    })
}

fn import(session: &Session, file: &str, name: Option<&ImageName>) -> Result<()> {
    let name = match name {
        Some(name) => name.clone(),
        None => name_of(file)?,
    };
    let source = std::fs::canonicalize(file).map_err(|e| {
        let shown = chyves_core::value::printable(file, 200);
        Problem::not_found(format!("there is no file `{shown}`")).on(&shown).because(e)
    })?;
    let source = source.to_str().ok_or_else(|| Problem::usage("the file's path is no UTF-8 text"))?.to_owned();
    let _lock = session.lock("image", &[&name])?;
    let world = session.look(&Look { images: Which::Named(vec![name.clone()]), ..Look::default() })?;
    let token = chyves_host::identity::new().simple().to_string()[..8].to_owned();
    let request = plan::image::Import { source, name: name.clone(), token, now: crate::session::now() };
    let plan = plan::image::import(&world, &request)?;
    if session.carry_out(&world, &plan, name.as_str())?.is_some() {
        let world = session.look(&Look { images: Which::Named(vec![name.clone()]), ..Look::default() })?;
        let image = world.image(&name)?;
        let said = format!("imported: {} of {}, SHA-256 {}", image.kind.word(), image.size.human(), image.sha256.as_deref().unwrap_or("-"));
        session.tell(&[Report::new(&name, said).with(json!({ "image": image }))]);
    }
    Ok(())
}

/// Lists images, of one kind where it is given.
pub(super) fn list(session: &Session, kind: Option<&str>, args: &ListArgs) -> Result<()> {
    let world = session.look(&Look { images: Which::All, ..Look::default() })?;
    world.primary()?;
    let mut table = Table::new(["name", "kind", "size", "used", "added", "sha256", "source"]);
    for image in world.images.iter().filter(|i| kind.is_none_or(|k| k == i.kind.word())) {
        table.rows.push(vec![
            Cell::text(image.name.as_str()),
            Cell::text(image.kind.word()),
            Cell::number(image.size.human(), image.size.get()),
            Cell::number(image.used.human(), image.used.get()),
            Cell::maybe(image.added.clone()),
            Cell::maybe(image.sha256.clone()),
            Cell::maybe(image.source.clone()),
        ]);
    }
    if table.rows.is_empty() && !session.ui.json && !args.bare {
        session.ui.say("there are no images; `chyves image import FILE` adds one");
    }
    let mut args = args.clone();
    if args.columns.is_empty() && !session.ui.json {
        args.columns = ["name", "kind", "size", "used", "added"].map(str::to_owned).to_vec();
    }
    show(session, table, &args)
}

fn delete(session: &Session, name: &ImageName) -> Result<()> {
    let _lock = session.lock("image", &[name])?;
    let world = session.look(&Look { images: Which::All, ..Look::default() })?;
    let image = world.image(name)?;
    let snapshot = image.snapshot()?;
    let running = borrow::users(&session.runtime, &image.dataset)?;
    if !running.is_empty() {
        let names: Vec<&str> = running.iter().map(chyves_core::value::GuestName::as_str).collect();
        return Err(Problem::not_now(format!("the image `{name}` lies in a drive"))
            .on(name)
            .because(format!("of {}", names.join(", ")))
            .hint("it is taken out when the guest is off, or at the reboot that eject_iso_on_n_reboot says"));
    }
    let users = observe::snapshots::clones(&snapshot)?;
    let guids = observe::guids(&[image.dataset.to_string(), snapshot.to_string()])?;
    let plan = plan::image::delete(&world, &plan::image::Delete { name: name.clone(), users, guids })?;
    if !session.dry_run {
        session.ui.confirm(&format!("destroy the image {name} ({})", image.used.human()), session.yes)?;
    }
    if session.carry_out(&world, &plan, name.as_str())?.is_some() {
        session.tell(&[Report::new(name, "destroyed")]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_its_image() {
        assert_eq!(name_of("./a/debian-12.qcow2").unwrap().as_str(), "debian-12");
        assert_eq!(name_of("tiny.img").unwrap().as_str(), "tiny");
        assert!(name_of("a b.img").is_err());
    }
}
