//! `chyves image catalogue`: the images that can be fetched by name, and installing a newer, signed catalogue.

use crate::command::get::show;
use crate::session::Session;
use crate::table::{Cell, ListArgs, Table};
use chyves_core::error::Result;
use chyves_core::image::{self, ImageKind};
use chyves_core::value::printable;
use chyves_engine::op::{CatalogueFacts, CatalogueList, CatalogueStatus, CatalogueUpdate, CatalogueWord};
use serde_json::json;

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
        Some(Verb::Undo) => change(session, &CatalogueUpdate::Undo),
    }
}

const COLUMNS: [&str; 10] =
    ["name", "kind", "title", "address", "checksums", "signature", "signed-by", "unsigned", "unverified", "settings"];

/// Lists the catalogue's entries for this host.
fn list(session: &Session, kind: Option<ImageKind>, args: &ListArgs) -> Result<()> {
    let answer = session.run(&CatalogueList { kind: kind.map(Into::into) })?.answer.unwrap_or_default();
    let table = Table::of(&COLUMNS, &answer, |one| {
        let settings: Vec<String> = one.settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        vec![
            Cell::text(&one.name),
            Cell::text(one.kind.word()),
            Cell::text(&one.title),
            Cell::maybe(one.address.clone()),
            Cell::maybe(one.checksums.clone()),
            Cell::maybe(one.signature.clone()),
            Cell::maybe(Some(one.signed_by.join(" ")).filter(|names| !names.is_empty())),
            Cell::maybe(one.unsigned.clone()),
            Cell::maybe(one.unverified.clone()),
            Cell::text(settings.join(" ")),
        ]
    });
    show(session, table, &args.or_columns(session, &COLUMNS[..3]))?;
    if args.bare || session.ui.json {
        return Ok(());
    }
    if let Some(state) = session.run(&CatalogueStatus {})?.answer {
        let origin = state.from.map_or_else(|| "comes with chyves".to_owned(), |from| format!("from {from}"));
        session.ui.say(&format!("catalogue {}, {origin}", named(&state.catalogue)));
    }
    Ok(())
}

/// A catalogue in words: its number, its date, its age.
fn named(catalogue: &CatalogueFacts) -> String {
    let age = catalogue.age_days.map(|days| format!(" ({days} days old)")).unwrap_or_default();
    format!("{} of {}{age}", catalogue.serial, catalogue.issued)
}

fn status(session: &Session) -> Result<()> {
    let Some(state) = session.run(&CatalogueStatus {})?.answer else { return Ok(()) };
    if session.ui.json {
        session.ui.answer_json(json!(state));
        return Ok(());
    }
    let value = json!({
        "serial": state.catalogue.serial, "issued": state.catalogue.issued, "age-days": state.catalogue.age_days,
        "systems": state.catalogue.systems, "advisories": state.catalogue.advisories, "own-systems": state.own_systems,
        "from": state.from.as_deref().unwrap_or("chyves itself"), "signed-by": state.signed_by, "installed": state.installed,
        "before": state.before.map(|before| format!("{} of {}", before.serial, before.issued)),
        "key": state.key.map(|key| format!("{} from {}", key.identity, key.file)), "file": state.file,
    });
    let mut text = String::new();
    crate::command::info::lines(&mut text, &value, 0);
    session.ui.answer(&text);
    Ok(())
}

fn install(session: &Session, args: &UpdateArgs) -> Result<()> {
    change(
        session,
        &CatalogueUpdate::Install {
            from: args.from.clone(),
            key: args.key.clone(),
            replace_key: args.replace_key,
            signature: args.signature.clone(),
            timeout: args.timeout,
        },
    )
}

fn change(session: &Session, request: &CatalogueUpdate) -> Result<()> {
    let outcome = session.run(request)?;
    session.show_all(outcome, |changed| {
        let name = named(&changed.catalogue);
        let said = match changed.done {
            CatalogueWord::RolledBack => format!("{name} is in force"),
            CatalogueWord::Installed => {
                let by = changed.signed_by.as_deref().unwrap_or("-");
                let pins = changed.pinned.as_deref().map(|key| format!("; pinned the key {}", printable(key, 200)));
                format!("{name} installed, signed by {by}{}", pins.unwrap_or_default())
            }
        };
        Some(("catalogue".to_owned(), said))
    })
}
