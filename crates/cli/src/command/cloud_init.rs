//! `chyves cloud-init`: the cloud-init documents of guests, and a new instance id for them.

use super::ssh_keys::keys_in;
use crate::session::{Pace, Report, Session};
use crate::targets::Targets;
use chyves_core::check::trust;
use chyves_core::cloudinit::{FOLDER, Seed, Text, settings};
use chyves_core::error::{Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::plan;
use chyves_core::property::keys;
use chyves_core::value::{FilePath, GuestName, PublicKey};
use chyves_core::world::World;
use chyves_host::hostfs::own;
use chyves_host::observe::{self, Look};
use chyves_host::{given_text, seed};
use serde_json::json;
use std::path::PathBuf;

/// Size limit of a seed, in bytes.
const SEED_LIMIT: u64 = 64 << 20;

/// See and change the cloud-init configuration of guests
///
/// The settings ci.… define it (`chyves-properties(7)`); each start and each reboot rebuilds the seed from them. A guest applies
/// most of it once per instance ID, which only `reinit` and cloning change. See chyves-cloud-init(8).
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Show whether guests are set up by cloud-init, as which instance, and whether they have seen the present settings
    Status {
        /// The guests
        #[arg(required = true, value_name = "GUEST")]
        guests: Vec<String>,
    },
    /// Print the cloud-init documents of a guest's next start; secrets are not shown
    Show {
        /// The guest
        guest: String,
        /// One of meta-data, user-data, network-config, vendor-data; all if none is given
        document: Option<String>,
        /// Decode the parts of user-data that are base64
        #[arg(long)]
        decoded: bool,
    },
    /// Add SSH keys to a guest, or keep the user's own texts with it
    ///
    /// Keys are added to those that the guest has, as settings ci.key0, ci.key1 and so on; a guest without cloud-init is set up by it
    /// from then on.
    ///
    /// Your own user-data is merged after that of the settings and takes precedence. Your own network-config replaces that of the
    /// settings. Both are stored in the folder cloud-init of the guest's file system, and are part of its snapshots, clones and
    /// streams. A malformed text, or one that the program which reads the seed in the guest (property ci.reader) would ignore, is
    /// refused.
    Set {
        /// The guest
        guest: String,
        /// Add this public key for SSH logins: a file .pub, - for standard input, or the key itself; may be given several times
        #[arg(short = 'k', long, value_name = "FILE")]
        ssh_key: Vec<String>,
        #[command(flatten)]
        texts: Texts,
        /// Remove the user's user-data
        #[arg(long, conflicts_with = "user_data")]
        no_user_data: bool,
        /// Remove the user's vendor-data
        #[arg(long, conflicts_with = "vendor_data")]
        no_vendor_data: bool,
        /// Remove the user's network configuration
        #[arg(long, conflicts_with = "network_config")]
        no_network_config: bool,
    },
    /// Let cloud-init treat guests as new instances at their next start: host keys, users, first-boot scripts, once more
    Reinit {
        /// The guests
        #[arg(required = true, value_name = "GUEST")]
        guests: Vec<String>,
    },
}

/// Files of the user's own, as options of several commands.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Texts {
    /// Your own user-data: a file, or - for standard input, that begins with #cloud-config, #!/bin/sh or the like
    #[arg(long, value_name = "FILE")]
    user_data: Option<PathBuf>,
    /// Your own vendor-data; user-data takes precedence
    #[arg(long, value_name = "FILE")]
    vendor_data: Option<PathBuf>,
    /// Your own network configuration
    #[arg(long, value_name = "FILE")]
    network_config: Option<PathBuf>,
}

impl Texts {
    /// Reads and checks the documents.
    pub(crate) fn read(&self) -> Result<Vec<(Text, String)>> {
        let files = [(Text::UserData, &self.user_data), (Text::VendorData, &self.vendor_data), (Text::NetworkConfig, &self.network_config)];
        let mut texts = Vec::new();
        for (text, file) in files {
            let Some(file) = file else { continue };
            let content = given_text::read(file)?;
            plan::cloud_init::check_text(text, &content, &file.display().to_string())?;
            texts.push((text, content));
        }
        Ok(texts)
    }
}

pub(crate) fn run(session: &Session, verb: &Verb) -> Result<()> {
    match verb {
        Verb::Status { guests } => status(session, guests),
        Verb::Show { guest, document, decoded } => show(session, guest, document.as_deref(), *decoded),
        Verb::Set { guest, ssh_key, texts, no_user_data, no_vendor_data, no_network_config } => {
            let gone = [(Text::UserData, no_user_data), (Text::VendorData, no_vendor_data), (Text::NetworkConfig, no_network_config)];
            let mut all = texts.read()?;
            all.extend(gone.into_iter().filter(|(_, gone)| **gone).map(|(text, _)| (text, String::new())));
            let mut keys = Vec::new();
            for word in ssh_key {
                keys.extend(keys_in(word)?);
            }
            if !keys.is_empty() {
                add_keys(session, guest, &keys)?;
            }
            if keys.is_empty() || !all.is_empty() { set(session, guest, &all) } else { Ok(()) }
        }
        Verb::Reinit { guests } => session.each(&Targets::parse(guests)?, Pace::InTurn, |world, guest| {
            let plan = plan::cloud_init::reinit(world, guest)?;
            let done = session.carry_out(world, &plan, guest.name.as_str())?;
            let next = settings::generation(guest)?.saturating_add(1);
            Ok(done.map(|_| Report::new(&guest.name, format!("its next start is the first boot of instance {}-{next}", guest.uuid))))
        }),
    }
}

fn add_keys(session: &Session, guest: &str, keys: &[PublicKey]) -> Result<()> {
    session.each(&Targets::parse(&[guest])?, Pace::InTurn, |world, guest| {
        let world = chyves_engine::Engine::with_texts(world, guest)?;
        let plan = plan::cloud_init::add_keys(&world, guest, keys)?;
        let done = session.carry_out(&world, &plan, guest.name.as_str())?;
        Ok(done.filter(|_| !plan.steps.is_empty()).map(|_| Report::new(&guest.name, "SSH keys added")))
    })
}

fn set(session: &Session, guest: &str, texts: &[(Text, String)]) -> Result<()> {
    if texts.is_empty() {
        return Err(Problem::usage("nothing is to be set")
            .hint("give a file: `chyves cloud-init set web01 --user-data FILE`, `--ssh-key FILE`; settings are changed by `chyves set web01 ci.…`"));
    }
    session.each(&Targets::parse(&[guest])?, Pace::InTurn, |world, guest| {
        let plan = plan::cloud_init::texts(guest, texts)?;
        let names: Vec<&str> = texts.iter().map(|(text, _)| text.file()).collect();
        Ok(session.carry_out(world, &plan, guest.name.as_str())?.map(|_| Report::new(&guest.name, format!("set {}", names.join(", ")))))
    })
}

/// Processes one guest after the other under its lock, since a file system may have to be mounted for reading.
fn with_each(session: &Session, guests: &[String], mut work: impl FnMut(&World, &Guest) -> Result<()>) -> Result<()> {
    let targets = Targets::parse(guests)?;
    let world = session.look(&targets.look())?;
    let (found, lost) = session.found(&targets, &world)?;
    let names: Vec<GuestName> = found.into_iter().map(|guest| guest.name.clone()).collect();
    for name in &names {
        let _lock = session.lock("guest", &[name])?;
        let world: World = session.look(&Look::at(std::slice::from_ref(name)))?;
        work(&world, observe::guest(&world, name)?)?;
    }
    Session::lacking(names.len(), lost)
}

fn seed_of(guest: &Guest) -> Result<Seed> {
    settings::of(guest)?.ok_or_else(|| {
        Problem::not_now(format!("`{}` is not set up by cloud-init", guest.name))
            .on(&guest.name)
            .hint(format!("`chyves set {} ci.enabled=yes` enables it", guest.name))
    })
}

fn show(session: &Session, guest: &str, document: Option<&str>, decoded: bool) -> Result<()> {
    with_each(session, &[guest.to_owned()], |world, guest| {
        let seed = seed_of(guest)?;
        plan::locked::guest(world, guest)?;
        trust::check_key(world, guest, keys::CI_PASSWORD_FILE, "show the seed of")?;
        let documents = seed::visit(guest, |folder| seed::shown(&seed, &FilePath::below(folder, FOLDER), decoded))?;
        let all = documents.each();
        let chosen: Vec<_> = all.iter().filter(|(name, _)| document.is_none_or(|wanted| wanted == *name)).collect();
        if chosen.is_empty() {
            let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
            return Err(Problem::not_found(format!("the seed of `{}` has no `{}`", guest.name, document.unwrap_or_default()))
                .on(&guest.name)
                .hint(format!("it has {}", names.join(", "))));
        }
        if !session.ui.json && chosen.iter().any(|(_, text)| text.contains("\nContent-Transfer-Encoding: base64\n")) {
            session.ui.say(&format!(
                "user-data has parts in base64: `chyves cloud-init show {} user-data --decoded` shows them as text",
                guest.name
            ));
        }
        if session.ui.json {
            let pairs = chosen.iter().map(|(name, text)| ((*name).to_owned(), json!(text))).collect();
            session.ui.answer_json(serde_json::Value::Object(pairs));
        } else if let [(_, text)] = chosen[..] {
            session.ui.answer(text);
        } else {
            let text: Vec<String> = chosen.iter().map(|(name, text)| format!("# ---- {name}\n{text}")).collect();
            session.ui.answer(&text.join("\n"));
        }
        Ok(())
    })
}

fn status(session: &Session, guests: &[String]) -> Result<()> {
    let mut all = Vec::new();
    let mut text = String::new();
    let read = with_each(session, guests, |world, guest| {
        let Some(seed) = settings::of(guest)? else {
            all.push(json!({ "guest": guest.name, "enabled": false }));
            text.push_str(&format!("{}: not set up by cloud-init; `chyves set {} ci.enabled=yes` enables it\n", guest.name, guest.name));
            return Ok(());
        };
        plan::locked::guest(world, guest)?;
        let now = seed::visit(guest, |folder| seed::image(&seed, &FilePath::below(folder, FOLDER)))?;
        let disc = session.runtime.guest_dir(guest.uuid).join("cidata.iso");
        let had = if guest.state.is_alive() { own::read(disc, SEED_LIMIT).ok() } else { None };
        let current = had.map(|had| had == now);
        all.push(json!({
            "guest": guest.name, "enabled": true, "instance-id": seed.instance_id, "hostname": seed.hostname,
            "state": guest.shown_state(), "current": current,
        }));
        let seen = match current {
            Some(true) => "it runs with the seed of the present settings",
            Some(false) => "it runs with an older seed; its next start or reboot rebuilds it",
            None if guest.state.is_alive() => "it runs without a seed; its next start or reboot creates one",
            None => "its next start makes the seed",
        };
        text.push_str(&format!(
            "{}: instance {}, host name {}\n  {seen}\n  what is done once an instance (host keys, users, scripts) is done again after \
             `chyves cloud-init reinit {}`, and in a clone\n",
            guest.name, seed.instance_id, seed.hostname, guest.name
        ));
        Ok(())
    });
    if session.ui.json {
        session.ui.answer_json(serde_json::Value::Array(all));
    } else {
        session.ui.answer(&text);
    }
    read
}
