//! `import` and `fetch`: from the command line to an import order.

use crate::session::{Report, Session};
use chyves_core::action::Action;
use chyves_core::catalogue::{self, Found};
use chyves_core::error::{Code, Kind, Problem, Result};
use chyves_core::image::{self, Hash, ImageKind, Order, Source, VendorKey};
use chyves_core::plan::{self, Plan};
use chyves_core::value::{Dataset, ImageName, Size, printable};
use chyves_core::world::World;
use chyves_host::hostfs::named;
use chyves_host::import::{name, part};
use chyves_host::observe::{self, Look, Which};
use chyves_host::{catalogue as host_catalogue, facts};
use serde_json::json;

/// Days for which a partial download is kept.
const KEPT_DAYS: i64 = 7;

/// What a file is taken as, whatever it looks like.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum TakenAs {
    /// A raw disk.
    Raw,
}

/// Where an image comes from, and what it must be.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A file, a URL (http:, https:, ftp:, file:), - for standard input, or with fetch a name from the catalogue
    #[arg(value_name = "FILE|ADDRESS|NAME|-")]
    from: String,
    /// The image's name [default: from the file's name]
    #[arg(long)]
    name: Option<ImageName>,
    /// The expected hash of the file as downloaded: sha256:…, or md5, sha1, sha512
    #[arg(long)]
    hash: Option<Hash>,
    /// A list of checksums with the file's: a file or a URL
    #[arg(long, value_name = "FILE|ADDRESS")]
    checksums: Option<String>,
    /// The keys, one of which must have signed the list, or without --checksums the file itself: OpenPGP, minisign, signify
    #[arg(long, value_name = "FILE")]
    key: Option<String>,
    /// The signature, where neither in the list nor beside what it signs (.minisig, .sig, .asc, .gpg, .sign)
    #[arg(long, value_name = "FILE|ADDRESS")]
    signature: Option<String>,
    /// The template of the variables of UEFI firmware, if it is a separate file
    #[arg(long, value_name = "FILE")]
    vars: Option<String>,
    /// The catalogue entry whose settings guests of this image get
    #[arg(long, value_name = "NAME")]
    like: Option<String>,
    /// Import it as a raw disk without detection
    #[arg(long)]
    kind: Option<TakenAs>,
    /// The file to take from an archive with several: the second disk of an OVA, for example
    #[arg(long, value_name = "FILE")]
    member: Option<String>,
    /// The largest size after decompression
    #[arg(long, value_name = "SIZE", default_value = "256G")]
    max_size: Size,
    /// Timeout of a server in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = image::SILENCE, value_parser = clap::value_parser!(u32).range(1..=86400))]
    timeout: u32,
    /// How often to retry without progress
    #[arg(long, value_name = "TIMES", default_value_t = image::RETRIES, value_parser = clap::value_parser!(u32).range(..=100))]
    retries: u32,
}

pub(super) fn run(session: &Session, kind: Option<ImageKind>, args: &Args, is_fetch: bool) -> Result<()> {
    let known = if is_fetch { known(&args.from)? } else { None };
    let (known, vendor_keys) = known.unzip();
    let by_name = known.as_ref().map(|_| args.from.clone());
    let source = match known.as_ref().and_then(|k| k.address.clone()) {
        Some(address) => Source::Address(address),
        None => place(&args.from)?,
    };
    // An address such as /download?id=7 contains no file name; the server may state one.
    let unnamed = args.name.is_none() && known.is_none() && !source.file_name().is_some_and(|file| image::is_of_an_image(&file));
    let named = if unnamed { name::of(&source, args.timeout)?.into_iter().find(|name| image::is_of_an_image(name)) } else { None };
    let name = match (&args.name, &known, named.clone().or_else(|| source.file_name())) {
        (Some(name), ..) => name.clone(),
        (None, Some(known), _) => known.name.clone(),
        (None, None, Some(file)) => image::name_of(&file)?,
        (None, None, None) => return Err(Problem::usage("standard input has no name").hint("name the image with --name")),
    };
    let like = match &args.like {
        Some(like) => Some(catalogue::find(&host_catalogue::all()?.systems, like, &facts::arch())?),
        None => known.clone(),
    };
    let vendor = Vendor::new(args, known.as_ref(), vendor_keys.unwrap_or_default());
    for told in
        known.iter().flat_map(|k| k.unverified.iter().map(|why| format!("could not be verified when the catalogue was made: {why}")))
    {
        session.ui.say(&format!("{}: {told}", args.from));
    }
    let checksums = match &args.checksums {
        Some(list) => Some(place(list)?),
        None => vendor.checksums,
    };
    let order = Order {
        expect: kind,
        raw: args.kind.is_some(),
        member: args.member.clone(),
        alias: args.from.rsplit('/').next().filter(|name| !name.is_empty() && !args.from.contains("://")).map(str::to_owned),
        named,
        hash: args.hash.clone(),
        checksums,
        wants: like.map(|l| l.settings).unwrap_or_default(),
        signature: args.signature.as_deref().map(place).transpose()?.or(vendor.signature),
        signs_image: vendor.signs_image,
        keys: vendor.keys,
        key: args.key.as_deref().map(file).transpose()?,
        vars: args.vars.as_deref().map(file).transpose()?,
        max_size: args.max_size,
        silence: args.timeout,
        retries: args.retries,
        ..Order::new(source)
    };
    let shown = order.source.shown();
    bring(session, &order, &name).map_err(|problem| match &by_name {
        Some(word) => by_its_name(problem, word, &shown),
        None => problem,
    })
}

/// Adjusts the hints after a failure to fetch a catalogue entry: fetched by its address alone, it would come without its
/// checksums and signature, so no hint may propose that.
fn by_its_name(mut problem: Problem, word: &str, address: &str) -> Problem {
    let again = format!("chyves image fetch {word}");
    // The address may be in shell quotes.
    for typed in [format!("chyves image fetch '{address}'"), format!("chyves image fetch {address}")] {
        problem.hints.iter_mut().for_each(|hint| *hint = hint.replace(&typed, &again));
    }
    let of_address = |hint: &String| hint.contains("chyves image fetch ADDRESS") || hint.contains("is the address spelt right");
    let before = problem.hints.len();
    problem.hints.retain(|hint| !of_address(hint));
    if problem.hints.len() == before && problem.code != Kind::NotFound {
        return problem;
    }
    problem
        .hint("the vendor may have moved or replaced the file since the catalogue was made: `chyves image catalogue` lists other releases")
        .hint("`chyves image catalogue update FILE|ADDRESS` installs a newer catalogue")
}

/// The checks that the catalogue requires of a file.
#[derive(Default)]
struct Vendor {
    checksums: Option<Source>,
    signature: Option<Source>,
    signs_image: bool,
    keys: Vec<VendorKey>,
}

impl Vendor {
    fn new(args: &Args, known: Option<&Found>, keys: Vec<VendorKey>) -> Self {
        // A hash or a list from the user takes precedence.
        let Some(known) = known.filter(|_| args.hash.is_none() && args.checksums.is_none()) else { return Self::default() };
        let address = |text: &Option<String>| text.clone().map(Source::Address);
        let signs_image = known.image_signature.is_some() && known.signature.is_none();
        // A signature without a known key is not fetched.
        let checked = args.key.is_some() || keys.iter().any(|key| key.block.is_some());
        let signature = if signs_image { address(&known.image_signature) } else { address(&known.signature) };
        Self { checksums: address(&known.checksums), signature: signature.filter(|_| checked), signs_image, keys }
    }
}

/// The catalogue's entry for a word, with the keys that sign it; none if the word is an address.
fn known(word: &str) -> Result<Option<(Found, Vec<VendorKey>)>> {
    if !matches!(Source::parse(word)?, Source::File(_)) || word.starts_with("file:") {
        return Ok(None);
    }
    if word.contains('/') || named::is_there(word) {
        let shown = printable(word, 200);
        return Err(Problem::usage(format!("`{shown}` is not an address"))
            .on(&shown)
            .hint(format!("a file of this host is imported: `chyves image import {shown}`")));
    }
    let all = host_catalogue::all()?;
    let found = catalogue::find(&all.systems, word, &facts::arch())?;
    let keys = all.keys(&found.signed_by);
    match (&found.address, &found.note) {
        (None, Some(note)) => Err(Problem::usage(format!("`{}` cannot be fetched", found.name))
            .on(&found.name)
            .because("the catalogue has no address of it")
            .hint(note)),
        _ => Ok(Some((found, keys))),
    }
}

/// Imports one image.
pub(super) fn bring(session: &Session, order: &Order, name: &ImageName) -> Result<()> {
    let _lock = session.lock("image", &[name])?;
    let world = session.look(&Look { images: Which::Named(vec![name.clone()]), ..Look::default() })?;
    let part = match &order.source {
        Source::Address(address) => {
            let word = part::word(address);
            let there = observe::dataset(&plan::image::part(&world, &word)?)?.is_some();
            Some((word, there))
        }
        Source::File(_) | Source::Input => None,
    };
    let own = part.as_ref().map(|(word, _)| plan::image::part(&world, word)).transpose()?;
    age_out(session, &world, own.as_ref());
    let token = chyves_host::identity::new().simple().to_string()[..8].to_owned();
    let request = plan::image::Import { order: order.clone(), name: name.clone(), token, part, now: chyves_engine::now() };
    let plan = plan::image::import(&world, &request)?;
    if session.carry_out(&world, &plan, name.as_str())?.is_some() {
        let world = session.look(&Look { images: Which::Named(vec![name.clone()]), ..Look::default() })?;
        let image = world.image(name)?;
        let checked = match image.checked.as_deref() {
            None | Some("no") => "not checked against any hash".to_owned(),
            Some(against) => format!("checked: {}", printable(against, 300)),
        };
        let sha256 = image.sha256.as_deref().unwrap_or("-");
        let vars = image.vars.as_ref().map(|vars| format!(" with {} of variables", vars.size.human())).unwrap_or_default();
        let said = format!("imported: {} of {}{vars}, SHA-256 {sha256}; {checked}", image.kind.word(), image.size.human());
        session.tell(&[Report::new(name, said).with(json!({ "image": image }))]);
    }
    Ok(())
}

/// Deletes partial downloads that have not been used for a week, except that of this import. A failure does not matter.
fn age_out(session: &Session, world: &World, own: Option<&Dataset>) {
    if session.dry_run {
        return;
    }
    let Some(parts) = world.primary().ok().and_then(|root| Some((root, observe::parts(root).ok()?))) else { return };
    let (root, parts) = parts;
    let day = |time: &str| time.parse::<jiff::Timestamp>().ok().map(|t| t.as_second() / 86_400);
    let Some(today) = day(&chyves_engine::now()) else { return };
    for observe::Part { dataset, address, used } in parts {
        let Some(age) = used.as_deref().and_then(day).map(|d| today - d).filter(|age| *age > KEPT_DAYS) else { continue };
        let folder = root.mountpoint.as_deref().map(|m| format!("{m}/images/{}", dataset.leaf()));
        if own == Some(&dataset) || folder.is_some_and(|f| part::is_held(&f)) {
            continue;
        }
        let plan = Plan { steps: vec![Action::DropPart { part: dataset.clone() }], notes: Vec::new() };
        let gone = session.carry_out(world, &plan, dataset.leaf()).is_ok() && observe::dataset(&dataset).is_ok_and(|d| d.is_none());
        if gone {
            session.ui.say(&format!("the partial download of {} was deleted: it was not resumed for {age} days", printable(&address, 300)));
        }
    }
}

/// Parses a source as typed; a path becomes absolute.
pub(super) fn place(text: &str) -> Result<Source> {
    match Source::parse(text)? {
        Source::File(path) => file(&path).map(Source::File),
        other => Ok(other),
    }
}

/// The absolute path of a file that exists. Links in it are followed when it is opened, once ([`chyves_host::import`]).
pub(super) fn file(path: &str) -> Result<String> {
    let found = named::stat(path).and_then(|_| std::path::absolute(path)).map_err(|e| {
        let shown = printable(path, 200);
        Code::NoSuchFile
            .problem(format!("there is no file `{shown}`"))
            .on(&shown)
            .because(e)
            .hint("check the path; to download a file: `chyves image fetch ADDRESS`")
    })?;
    found.to_str().map(str::to_owned).ok_or_else(|| Problem::usage("the file's path is not UTF-8 text"))
}
