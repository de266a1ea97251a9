//! `chyves create`: a new guest, optionally up to its first boot in one command.

use super::cloud_init::Texts;
use super::ssh_keys::keys_in;
use super::start;
use crate::session::Session;
use crate::targets::Targets;
use chyves_core::cloudinit::Text;
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::guest::DiskKind;
use chyves_core::property::{VALUE_LIMIT, keys};
use chyves_core::value::{DiskSize, GuestName, ImageName, printable};
use chyves_engine::answer::{Assignment, Each, Single};
use chyves_engine::op::{Created, Document, GuestCreate};

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
    no_sizes(args, &names)?;
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
    let request = GuestCreate {
        names,
        pool: args.pool.clone(),
        image: args.image.clone(),
        full: args.full,
        size: args.size.map(|size| size.get().get()),
        disk: args.disk.map(Into::into),
        nets: args.nets,
        set: settings.into_iter().map(|(key, value)| Assignment { key, value }).collect(),
        texts: texts.into_iter().map(|(kind, text)| Document { kind, text }).collect(),
        start: args.start,
    };
    let outcome = session.run(&request)?;
    let is_made = |each: &Each<Created>| matches!(each.result, Single::Done(_)).then(|| each.object.parse::<GuestName>());
    let made: Vec<GuestName> = outcome.answer.iter().flatten().filter_map(is_made).collect::<std::result::Result<_, _>>()?;
    let all = session.show_each(outcome, |created| format!("created as {}", created.dataset));
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

/// Refuses a size in the place of another guest's name: `create web01 20G` means a disk of that size.
fn no_sizes(args: &Args, words: &[&String]) -> Result<()> {
    let names: Vec<&str> = words.iter().flat_map(|word| word.split(',')).filter(|name| !name.is_empty()).collect();
    let is_size = |name: &&&str| {
        name.starts_with(|c: char| c.is_ascii_digit()) && name.ends_with(char::is_alphabetic) && name.parse::<DiskSize>().is_ok()
    };
    let Some(size) = names.iter().find(is_size) else { return Ok(()) };
    let others: Vec<&str> = names.iter().filter(|name| !is_size(name)).copied().collect();
    let guests = if others.is_empty() { "NAME".to_owned() } else { printable(&others.join(" "), 120) };
    let image = args.image.as_ref().map(|image| format!(" --image {image}")).unwrap_or_default();
    let hint = match args.size {
        None => format!("for a disk of this size: `chyves create {guests} --size {size}{image}`"),
        Some(_) => "a size is given already; choose a name that is not one".to_owned(),
    };
    Err(Problem::usage(format!("cannot create a guest called `{size}`: that is a size")).on(*size).hint(hint))
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
