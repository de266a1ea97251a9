//! `chyves image catalogue`: the images that can be fetched by name, and installing a newer, signed catalogue.

use super::import::{file, place};
use crate::command::get::show;
use crate::session::{Report, Session};
use crate::table::{Cell, ListArgs, Table};
use chyves_core::catalogue::installed::State;
use chyves_core::catalogue::{self, Catalogue};
use chyves_core::error::{Problem, Result};
use chyves_core::image::ImageKind;
use chyves_core::value::printable;
use chyves_core::{image, plan};
use chyves_engine::op::catalogue_age;
use chyves_host::catalogue::update::{self, Update};
use chyves_host::{catalogue as host_catalogue, facts, observe};
use serde_json::{Value, json};

/// List the systems that can be fetched by name, or install a newer list of them
///
/// Your own tables are in /etc/chyves/catalogue.d (/usr/local/etc/chyves/catalogue.d on FreeBSD) and come first;
/// chyves-image(8) describes their form. The rest comes with chyves, or with a newer catalogue that was installed.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List the systems that can be fetched by name
    List(ListArgs),
    /// Show which catalogue is in force, how old it is, who signed it, and which key the next one must be signed with
    Status,
    /// Install a newer catalogue from a file or an address, signed by the pinned key
    ///
    /// It has known systems, their vendors' keys and security advisories. The key that --key names is pinned: later updates
    /// must be signed by it, and need not name it. An older catalogue than the one in force is refused. Nothing is fetched
    /// by itself; chyves knows no address.
    ///
    /// Example: `chyves image catalogue update https://images.example.org/catalogue.json --key catalogue.pub`
    Update(UpdateArgs),
    /// Roll back to the catalogue before; the same again goes forth
    Undo,
}

#[derive(Debug, clap::Args)]
struct UpdateArgs {
    /// The catalogue: a file or an address
    #[arg(value_name = "FILE|ADDRESS")]
    from: String,
    /// The public key to pin: minisign, signify or OpenPGP
    #[arg(long, value_name = "FILE")]
    key: Option<String>,
    /// Let the key take the place of another one that is pinned
    #[arg(long, requires = "key")]
    replace_key: bool,
    /// The signature, where neither in the catalogue nor beside it (.minisig, .sig, .asc, .gpg, .sign)
    #[arg(long, value_name = "FILE|ADDRESS")]
    signature: Option<String>,
    /// Timeout of a server in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = image::SILENCE, value_parser = clap::value_parser!(u32).range(1..=86400))]
    timeout: u32,
}

pub(super) fn run(session: &Session, kind: Option<ImageKind>, args: &Args) -> Result<()> {
    match &args.verb {
        None => list(session, kind, &args.list),
        Some(Verb::List(args)) => list(session, kind, args),
        Some(Verb::Status) => status(session),
        Some(Verb::Update(args)) => install(session, args),
        Some(Verb::Undo) => undo(session),
    }
}

/// Lists the catalogue's entries for this host.
fn list(session: &Session, kind: Option<ImageKind>, args: &ListArgs) -> Result<()> {
    let mut table =
        Table::new(["name", "kind", "title", "address", "checksums", "signature", "signed-by", "unsigned", "unverified", "settings"]);
    for found in catalogue::list(&host_catalogue::all()?.systems, &facts::arch())? {
        if kind.is_some_and(|k| k != found.kind) {
            continue;
        }
        let settings: Vec<String> = found.settings.iter().map(|(k, v)| format!("{k}={v}")).collect();
        table.rows.push(vec![
            Cell::text(found.name.as_str()),
            Cell::text(found.kind.word()),
            Cell::text(found.title),
            Cell::maybe(found.address),
            Cell::maybe(found.checksums),
            Cell::maybe(found.signature.or(found.image_signature)),
            Cell::maybe(Some(found.signed_by.join(" ")).filter(|names| !names.is_empty())),
            Cell::maybe(found.unsigned),
            Cell::maybe(found.unverified),
            Cell::text(settings.join(" ")),
        ]);
    }
    let mut args = args.clone();
    if args.columns.is_empty() && !session.ui.json {
        args.columns = ["name", "kind", "title"].map(str::to_owned).to_vec();
    }
    show(session, table, &args)?;
    if !args.bare && !session.ui.json {
        let state = host_catalogue::state(&session.runtime)?;
        let (found, installed) = state.in_force()?;
        let origin = installed.map_or_else(|| "comes with chyves".to_owned(), |i| format!("from {}", i.from));
        session.ui.say(&format!("catalogue {} of {}{}, {origin}", found.serial, found.issued, aged(&found)));
    }
    Ok(())
}

fn aged(catalogue: &Catalogue) -> String {
    catalogue_age(catalogue).map(|days| format!(" ({days} days old)")).unwrap_or_default()
}

fn status(session: &Session) -> Result<()> {
    let state = host_catalogue::state(&session.runtime)?;
    let (found, installed) = state.in_force()?;
    let own = host_catalogue::own()?.len();
    let previous = state.previous.as_ref().and_then(|before| before.catalogue().ok());
    let value = json!({
        "serial": found.serial, "issued": found.issued, "age-days": catalogue_age(&found), "systems": found.systems.len(),
        "advisories": found.advisories.len(), "own-systems": own,
        "from": installed.map_or("chyves itself", |i| i.from.as_str()),
        "signed-by": installed.map(|i| i.signed_by.clone()), "installed": installed.map(|i| i.at.clone()),
        "before": previous.map(|before| format!("{} of {}", before.serial, before.issued)),
        "key": state.pinned.as_ref().map(|pinned| format!("{} from {}", pinned.identity, pinned.file)),
        "file": host_catalogue::state_file(&session.runtime),
    });
    if session.ui.json {
        session.ui.answer_json(value);
        return Ok(());
    }
    let mut text = String::new();
    crate::command::info::lines(&mut text, &value, 0);
    session.ui.answer(&text);
    Ok(())
}

fn path(session: &Session) -> Result<String> {
    let path = host_catalogue::state_file(&session.runtime);
    path.to_str().map(str::to_owned).ok_or_else(|| Problem::usage("the path of the state folder is not UTF-8 text"))
}

fn install(session: &Session, args: &UpdateArgs) -> Result<()> {
    let _lock = session.lock("image", &["catalogue"])?;
    let update = Update {
        from: place(&args.from)?,
        signature: args.signature.as_deref().map(place).transpose()?,
        key: args.key.as_deref().map(file).transpose()?,
        replace_key: args.replace_key,
        silence: args.timeout,
        now: chyves_engine::now(),
    };
    let state = host_catalogue::state(&session.runtime)?;
    let (new, pinned, found) = update::read(&session.runtime, &state, &update)?;
    let by = new.signed_by.clone();
    let key = state.pinned.as_ref().is_none_or(|before| before.identity != pinned.identity).then(|| pinned.identity.clone());
    let plan = plan::catalogue::install(&path(session)?, &state, new, pinned)?;
    let is_new = !plan.steps.is_empty();
    let done = session.carry_out(&observe::without_pools(&session.runtime), &plan, "catalogue")?;
    if done.is_some() && is_new {
        let pins = key.map(|key| format!("; pinned the key {}", printable(&key, 200))).unwrap_or_default();
        let said = format!("{} of {}{} installed, signed by {by}{pins}", found.serial, found.issued, aged(&found));
        session.tell(&[Report::new("catalogue", said).with(told(&found))]);
    }
    Ok(())
}

fn told(found: &Catalogue) -> Value {
    json!({ "serial": found.serial, "issued": found.issued, "systems": found.systems.len(), "advisories": found.advisories.len() })
}

fn undo(session: &Session) -> Result<()> {
    let _lock = session.lock("image", &["catalogue"])?;
    let state = host_catalogue::state(&session.runtime)?;
    let plan = plan::catalogue::undo(&path(session)?, &state)?;
    if session.carry_out(&observe::without_pools(&session.runtime), &plan, "catalogue")?.is_some() {
        let after = State { current: state.previous.clone(), previous: state.current.clone(), pinned: state.pinned };
        let (found, _) = after.in_force()?;
        session.tell(&[
            Report::new("catalogue", format!("{} of {}{} is in force", found.serial, found.issued, aged(&found))).with(told(&found))
        ]);
    }
    Ok(())
}
