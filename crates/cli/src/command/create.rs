//! `chyves create`: a new guest, optionally up to its first boot in one command.

use super::cloud_init::Texts;
use super::ssh_keys::keys_in;
use super::start;
use crate::session::{Report, Session};
use crate::targets::Targets;
use chyves_core::cloudinit::Text;
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::guest::DiskKind;
use chyves_core::plan;
use chyves_core::property::settings::OwnValues;
use chyves_core::property::{VALUE_LIMIT, keys};
use chyves_core::value::{DiskSize, GuestName, ImageName};
use chyves_core::world::World;
use chyves_host::observe::{self, Look, Which};
use serde_json::json;

/// Create guests, from an image or with an empty disk
///
/// With --image the first disk is a clone of the image: created at once, taking no space. With --size alone it is empty.
/// Settings that the image and the operating system (--os) need are set, unless given. With a key, a user or the like,
/// cloud-init is enabled. Any setting can be given as KEY=VALUE; `chyves list properties`
/// shows them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guests' names, and settings as KEY=VALUE
    #[arg(required = true, value_name = "NAME|KEY=VALUE")]
    words: Vec<String>,
    /// Create the first disk from this image
    #[arg(short, long)]
    image: Option<ImageName>,
    /// Copy the image instead of cloning it: slower, takes its space, and does not depend on the image
    #[arg(long, requires = "image")]
    full: bool,
    /// The size of the first disk [default: the image's]
    #[arg(short = 'z', long)]
    size: Option<DiskSize>,
    /// The kind of an empty disk: a file (raw) or a volume (zvol)
    #[arg(long, value_name = "KIND", value_parser = disk_kind)]
    disk: Option<DiskKind>,
    /// Virtual processors
    #[arg(long)]
    cpu: Option<String>,
    /// Memory
    #[arg(long)]
    ram: Option<String>,
    /// The boot loader: uefi, bios, bhyveload or grub-bhyve
    #[arg(long)]
    loader: Option<String>,
    /// The guest operating system, which selects suitable settings: freebsd, linux, windows, openbsd, netbsd, illumos, other
    #[arg(long, value_name = "OS")]
    os: Option<String>,
    /// A description
    #[arg(long)]
    description: Option<String>,
    /// How many NICs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=64))]
    nets: u16,
    /// The pool [default: the primary one]
    #[arg(long)]
    pool: Option<String>,
    /// Start it after creating it
    #[arg(long)]
    start: bool,
    #[command(flatten, next_help_heading = "Set up by cloud-init")]
    setup: Setup,
}

/// What cloud-init is to do.
#[derive(Debug, clap::Args)]
struct Setup {
    /// Add this public key for SSH logins: a file .pub, - for standard input, or the key itself; may be given several times
    #[arg(short = 'k', long, value_name = "FILE")]
    ssh_key: Vec<String>,
    /// The user's name [default: the image's]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The host name [default: the guest's name]
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// The file that holds the hash of the user's password, as `openssl passwd -6` prints it
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<String>,
    #[command(flatten)]
    texts: Texts,
}

/// Settings, and texts that are stored with the guest.
type Told = (Vec<(String, String)>, Vec<(Text, String)>);

impl Setup {
    /// Reads the settings and the texts.
    fn read(&self) -> Result<Told> {
        let mut settings = Vec::new();
        let mut texts = self.texts.read()?;
        let mut long = String::new();
        let mut number = 0;
        for word in &self.ssh_key {
            for key in keys_in(word)? {
                // Not every ZFS stores longer values; a file in the guest's file system is used instead.
                if key.as_str().len() > VALUE_LIMIT {
                    long.push_str(&format!("{key}\n"));
                } else {
                    settings.push((keys::ci_key(number), key.to_string()));
                    number += 1;
                }
            }
        }
        if !long.is_empty() {
            texts.push((Text::AuthorizedKeys, long));
            // Texts are not settings, which alone would enable cloud-init.
            settings.push((keys::CI_ENABLED.to_owned(), "yes".to_owned()));
        }
        for (key, value) in [(keys::CI_USER, &self.user), (keys::CI_HOSTNAME, &self.hostname)] {
            settings.extend(value.as_ref().map(|v| (key.to_owned(), v.clone())));
        }
        if let Some(file) = &self.password_file {
            let path = std::path::absolute(file).map_err(|e| Problem::usage(format!("`{file}` is not a path")).because(e))?;
            settings.push((keys::CI_PASSWORD_FILE.to_owned(), path.display().to_string()));
        }
        Ok((settings, texts))
    }
}

fn disk_kind(word: &str) -> Result<DiskKind, String> {
    [DiskKind::Raw, DiskKind::Zvol].into_iter().find(|k| k.word() == word).ok_or_else(|| "one of: raw, zvol".into())
}

pub(crate) fn run(session: &Session, args: &Args) -> Result<()> {
    let (set, names): (Vec<&String>, Vec<&String>) = args.words.iter().partition(|w| w.contains('='));
    let Targets::Named(names) = Targets::parse(&names)? else {
        return Err(Problem::usage("`all` cannot name a new guest").hint("choose a name"));
    };
    let mut settings: Vec<(String, String)> = Vec::new();
    for (key, value) in [
        (keys::CPU, &args.cpu),
        (keys::RAM, &args.ram),
        (keys::LOADER, &args.loader),
        (keys::OS, &args.os),
        (keys::DESCRIPTION, &args.description),
    ] {
        settings.extend(value.as_ref().map(|v| (key.to_owned(), v.clone())));
    }
    let (setup, texts) = args.setup.read()?;
    settings.extend(setup);
    settings.extend(set.iter().filter_map(|w| w.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())));
    super::image::firmware_is_there(session, &settings)?;
    let locks = session.lock("guest", &names)?;
    let look = |images| session.look(&Look { images, unborn: true, ..Look::at(&names) });
    let world = match &args.image {
        None => look(Which::None)?,
        Some(image) => {
            let world = look(Which::Named(vec![image.clone()]))?;
            // All images are needed only to suggest a name.
            if world.images.is_empty() { look(Which::All)? } else { world }
        }
    };
    what_is_made(session, args, &names, &settings)?;
    let moment = chyves_engine::Engine::moment(names.len());
    let mut results: Vec<Result<Option<Report>>> = Vec::new();
    let mut made = Vec::new();
    // Each separately: if one cannot be created, the others still are.
    for (index, name) in names.iter().enumerate() {
        let mut request = request(args, name, &settings, &texts);
        // Inherited settings also affect whether it could start.
        let above = plan::create::dataset(&world, &request)?.parent();
        let row = above.map(|above| observe::dataset(&above)).transpose()?.flatten();
        request.defaults = row.map(|row| row.own).unwrap_or_default();
        let own = plan::Moment { now: moment.now.clone(), uuids: moment.uuids[index..=index].to_vec() };
        let result = one(session, &world, args, &request, &own);
        if matches!(result, Ok(Some(_))) {
            made.push(name.clone());
        }
        results.push(result);
    }
    let all = session.sum_up("guests could not be created", &names, results);
    drop(locks);
    if args.start && !session.dry_run && !made.is_empty() {
        // The created guests are started, even if others could not be created.
        return match (started(session, made), all) {
            (Ok(()), all) => all,
            (started, Ok(())) => started,
            (Err(later), Err(first)) => Err(later.hints.iter().fold(first.because(&later), |problem, hint| problem.hint(hint.clone()))),
        };
    }
    all
}

/// Creates one guest, or shows the plan.
fn one(session: &Session, world: &World, args: &Args, request: &plan::create::Request, moment: &plan::Moment) -> Result<Option<Report>> {
    let name = &request.name;
    let mut plan = plan::create::create(world, request, moment)?;
    if args.start && session.dry_run {
        plan.notes.push(format!("then {name} is started: `chyves start {name} -n` shows the commands once it is created"));
    }
    let dataset = plan::create::dataset(world, request)?;
    if session.dry_run {
        observe::is_no_group(&dataset)?;
    }
    let uuid = moment.uuids.first();
    // Checked only after a failure: a group in this place is rare, and each query of ZFS costs time.
    let why = |problem| observe::is_no_group(&dataset).err().unwrap_or(problem);
    if session.carry_out(world, &plan, name.as_str()).map_err(why)?.is_none() {
        return Ok(None);
    }
    Ok(Some(Report::new(name, format!("created as {dataset}")).with(json!({ "dataset": dataset, "uuid": uuid }))))
}

/// Points out something that may not be intended: on a terminal the user decides, elsewhere it is a warning.
fn what_is_made(session: &Session, args: &Args, names: &[GuestName], settings: &[(String, String)]) -> Result<()> {
    if args.image.is_some() {
        return Ok(());
    }
    if let [_, others @ ..] = names
        && !others.is_empty()
    {
        let images = session.look(&Look { images: Which::All, ..Look::default() })?.images;
        if let Some(image) = others.iter().find(|name| images.iter().any(|image| image.name.as_str() == name.as_str())) {
            session.doubt(
                &format!("make {} guests, one of them called {image}", names.len()),
                &format!("{image} is also an image; to create a guest from it: `chyves create {} --image {image}`", names[0]),
            )?;
        }
    }
    let has_disk = args.size.is_some() || settings.iter().any(|(key, _)| key.starts_with("disk") || key.starts_with("pcidev"));
    if !has_disk {
        let listed: Vec<&str> = names.iter().map(GuestName::as_str).collect();
        let listed = listed.join(", ");
        session.doubt(
            &format!("make {listed} without a disk"),
            &format!(
                "{listed}: no disk is created; --size 20G creates an empty one, --image IMAGE one from an image, `chyves image list` shows them"
            ),
        )?;
    }
    Ok(())
}

/// Starts the created guests. They are kept if that fails.
fn started(session: &Session, names: Vec<GuestName>) -> Result<()> {
    let listed = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    start::usual(session, &Targets::Named(names)).map_err(|problem| {
        let said = format!("`{listed}` was created, and did not start");
        Problem { code: Kind::Partial, ..problem.within(said) }
            .hint(format!("`chyves start {listed}` tries again; `chyves delete {listed}` removes it"))
    })
}

fn request(args: &Args, name: &GuestName, settings: &[(String, String)], texts: &[(Text, String)]) -> plan::create::Request {
    plan::create::Request {
        name: name.clone(),
        pool: args.pool.clone(),
        image: args.image.clone(),
        full: args.full,
        size: args.size.map(DiskSize::get),
        disk: args.disk,
        nets: args.nets,
        set: settings.to_vec(),
        texts: texts.to_vec(),
        defaults: OwnValues::new(),
    }
}
