//! `chyves create`: a new guest.

use crate::session::{Report, Session};
use crate::targets::Targets;
use chyves_core::error::{Problem, Result};
use chyves_core::guest::DiskKind;
use chyves_core::plan;
use chyves_core::property::keys;
use chyves_core::value::{DiskSize, GuestName, ImageName};
use chyves_host::observe::{self, Look, Which};
use serde_json::json;

/// Make guests, from an image or with an empty disk
///
/// With --image the first disk is a clone of the image: made at once, taking no space. With --size alone it is empty.
/// Any setting can be given as KEY=VALUE; `chyves list properties` shows them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guests' names, and settings as KEY=VALUE
    #[arg(required = true, value_name = "NAME|KEY=VALUE")]
    words: Vec<String>,
    /// Make the first disk from this image
    #[arg(short, long)]
    image: Option<ImageName>,
    /// The size of the first disk
    #[arg(short = 'z', long)]
    size: Option<DiskSize>,
    /// What an empty disk is: a file (raw) or a volume (zvol)
    #[arg(long, value_name = "KIND", value_parser = disk_kind)]
    disk: Option<DiskKind>,
    /// Virtual processors
    #[arg(long)]
    cpu: Option<String>,
    /// Memory
    #[arg(long)]
    ram: Option<String>,
    /// How it boots: uefi, bios, bhyveload or grub-bhyve
    #[arg(long)]
    loader: Option<String>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// How many network cards
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=64))]
    nets: u16,
    /// The pool, where not the primary one
    #[arg(long)]
    pool: Option<String>,
}

fn disk_kind(word: &str) -> Result<DiskKind, String> {
    [DiskKind::Raw, DiskKind::Zvol].into_iter().find(|k| k.word() == word).ok_or_else(|| "it takes raw or zvol".into())
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    let (set, names): (Vec<&String>, Vec<&String>) = args.words.iter().partition(|w| w.contains('='));
    let Targets::Named(names) = Targets::parse(&names)? else {
        return Err(Problem::usage("`all` can't name a new guest").hint("choose a name"));
    };
    let mut settings: Vec<(String, String)> = Vec::new();
    for (key, value) in
        [(keys::CPU, &args.cpu), (keys::RAM, &args.ram), (keys::LOADER, &args.loader), (keys::DESCRIPTION, &args.description)]
    {
        settings.extend(value.as_ref().map(|v| (key.to_owned(), v.clone())));
    }
    settings.extend(set.iter().filter_map(|w| w.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())));
    // Every name is checked before the first guest is made.
    let _locks = session.lock("guest", &names)?;
    let images = if args.image.is_some() { Which::All } else { Which::None };
    let world = session.look(&Look { guests: Which::Named(names.clone()), images, ..Look::default() })?;
    let moment = Session::moment(names.len());
    let mut plans = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let request = request(args, name, &settings);
        let own = plan::Moment { now: moment.now.clone(), uuids: moment.uuids[index..=index].to_vec() };
        plans.push((name, own.uuids[0], plan::create::create(&world, &request, &own)?));
    }
    let results = plans.iter().map(|(name, uuid, plan)| {
        if session.carry_out(&world, plan, name.as_str())?.is_none() {
            return Ok(None);
        }
        let made = observe::world(&session.runtime, &Look::at(std::slice::from_ref(*name)))?;
        let guest = observe::guest(&made, name)?;
        Ok(Some(Report::new(name, format!("made as {}", guest.dataset)).with(json!({ "dataset": guest.dataset, "uuid": uuid }))))
    });
    session.sum_up(&names, results.collect())
}

fn request(args: &Args, name: &GuestName, settings: &[(String, String)]) -> plan::create::Request {
    plan::create::Request {
        name: name.clone(),
        pool: args.pool.clone(),
        image: args.image.clone(),
        size: args.size.map(DiskSize::get),
        disk: args.disk,
        nets: args.nets,
        set: settings.to_vec(),
    }
}
