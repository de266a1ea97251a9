//! Imports an image from a file or standard input, or fetches it from an address or by its name in the catalogue.

use super::Image;
use crate::answer::ImageKind;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::{Engine, places};
use chyves_core::action::Action;
use chyves_core::catalogue::{self, Found};
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::image::{self, Hash, Order, Source, VendorKey};
use chyves_core::plan::{self, Plan};
use chyves_core::value::{Dataset, ImageName, Size, printable};
use chyves_core::world::World;
use chyves_host::hostfs::named;
use chyves_host::import::{name, part};
use chyves_host::observe::{self, Look, Which};
use chyves_host::{catalogue as host_catalogue, facts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Days for which a partial download is kept.
const KEPT_DAYS: i64 = 7;

/// Imports or fetches an image.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageImport {
    /// A file, an address, or `-` for standard input; with `fetch` also a name from the catalogue.
    pub from: String,
    /// Whether it is fetched: text that is not an address is then a name from the catalogue.
    #[serde(default)]
    pub fetch: bool,
    /// The name of the image; from the name of the file if it is missing.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub name: Option<ImageName>,
    /// Refuses images of another kind.
    #[serde(default)]
    pub kind: Option<ImageKind>,
    /// The hash of the file as downloaded: `sha256:…`, or md5, sha1, sha512.
    #[serde(default)]
    pub hash: Option<String>,
    /// A file or address with a list of checksums.
    #[serde(default)]
    pub checksums: Option<String>,
    /// A file with keys, one of which must have signed the list, or without a list the file itself.
    #[serde(default)]
    pub key: Option<String>,
    /// A file or address with the signature, where neither in the list nor beside what it signs.
    #[serde(default)]
    pub signature: Option<String>,
    /// The file with the template of a firmware's variables.
    #[serde(default)]
    pub vars: Option<String>,
    /// The entry of the catalogue whose settings guests of this image get.
    #[serde(default)]
    pub like: Option<String>,
    /// Whether it is a raw disk, whatever it looks like.
    #[serde(default)]
    pub raw: bool,
    /// The file to take from an archive with several.
    #[serde(default)]
    pub member: Option<String>,
    /// The largest size after decompression, in bytes.
    #[serde(default = "max_size")]
    pub max_size: u64,
    /// Timeout of a server in seconds.
    #[serde(default = "timeout")]
    pub timeout: u32,
    /// How often a transfer is resumed without progress.
    #[serde(default = "retries")]
    pub retries: u32,
}

const fn max_size() -> u64 {
    image::MAX_SIZE.get()
}

const fn timeout() -> u32 {
    image::SILENCE
}

const fn retries() -> u32 {
    image::RETRIES
}

/// An image that was imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Imported {
    /// The image.
    pub object: String,
    /// What was done.
    pub done: ImportedWord,
    /// The recorded facts about it.
    pub image: Image,
    /// The size in bytes of a firmware's template of variables.
    pub variables: Option<u64>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImportedWord {
    /// It was imported.
    Imported,
}

impl Operation for ImageImport {
    const NAME: &'static str = "image-import";
    type Answer = Vec<Imported>;

    fn needs(&self) -> Needs {
        // Its name, and with it what is locked, may have to be asked of a server.
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let known = if self.fetch { known(&self.from)? } else { None };
        let (known, vendor_keys) = known.unzip();
        let source = match known.as_ref().and_then(|known| known.address.clone()) {
            Some(address) => Source::Address(address),
            None => places::source(&self.from)?,
        };
        let (name, named) = self.names(known.as_ref(), &source)?;
        for why in known.iter().flat_map(|known| &known.unverified) {
            engine.events.note(&format!("{}: could not be verified when the catalogue was made: {why}", self.from));
        }
        let shown = source.shown();
        let order = self.order(source, known.as_ref(), vendor_keys.unwrap_or_default(), named)?;
        let imported = bring(engine, &order, &name).map_err(|problem| match &known {
            Some(_) => by_its_name(problem, &self.from, &shown),
            None => problem,
        })?;
        Ok(Outcome { answer: imported.map(|one| vec![one]), problem: None })
    }
}

impl ImageImport {
    /// The name of the image, and the name of the file that a server states.
    fn names(&self, known: Option<&Found>, source: &Source) -> Result<(ImageName, Option<String>)> {
        // An address such as /download?id=7 contains no file name; the server may state one.
        let unnamed = self.name.is_none() && known.is_none() && !source.file_name().is_some_and(|file| image::is_of_an_image(&file));
        let named = if unnamed { name::of(source, self.timeout)?.into_iter().find(|name| image::is_of_an_image(name)) } else { None };
        let name = match (&self.name, known, named.clone().or_else(|| source.file_name())) {
            (Some(name), ..) => name.clone(),
            (None, Some(known), _) => known.name.clone(),
            (None, None, Some(file)) => image::name_of(&file)?,
            (None, None, None) => return Err(Problem::usage("standard input has no name").hint("name the image with --name")),
        };
        Ok((name, named))
    }

    fn order(&self, source: Source, known: Option<&Found>, keys: Vec<VendorKey>, named: Option<String>) -> Result<Order> {
        let like = match &self.like {
            Some(like) => Some(catalogue::find(&host_catalogue::all()?.systems, like, &facts::arch())?.settings),
            None => known.map(|known| known.settings.clone()),
        };
        let vendor = Vendor::new(self, known, keys);
        let checksums = match &self.checksums {
            Some(list) => Some(places::source(list)?),
            None => vendor.checksums,
        };
        let signature = match &self.signature {
            Some(signature) => Some(places::source(signature)?),
            None => vendor.signature,
        };
        let is_word = |name: &&str| !name.is_empty() && !self.from.contains("://");
        Ok(Order {
            expect: self.kind.map(Into::into),
            raw: self.raw,
            member: self.member.clone(),
            alias: self.from.rsplit('/').next().filter(is_word).map(str::to_owned),
            named,
            hash: self.hash.as_deref().map(str::parse::<Hash>).transpose()?,
            checksums,
            wants: like.unwrap_or_default(),
            signature,
            signs_image: vendor.signs_image,
            keys: vendor.keys,
            key: self.key.as_deref().map(places::file).transpose()?,
            vars: self.vars.as_deref().map(places::file).transpose()?,
            max_size: Size::bytes(self.max_size),
            silence: self.timeout,
            retries: self.retries,
            ..Order::new(source)
        })
    }
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
    fn new(request: &ImageImport, known: Option<&Found>, keys: Vec<VendorKey>) -> Self {
        // A hash or a list from the user takes precedence.
        let Some(known) = known.filter(|_| request.hash.is_none() && request.checksums.is_none()) else { return Self::default() };
        let address = |text: &Option<String>| text.clone().map(Source::Address);
        let signs_image = known.image_signature.is_some() && known.signature.is_none();
        // A signature without a known key is not fetched.
        let checked = request.key.is_some() || keys.iter().any(|key| key.block.is_some());
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

/// Imports one image; none if the plan was only shown.
fn bring(engine: &Engine, order: &Order, name: &ImageName) -> Result<Option<Imported>> {
    let _lock = engine.lock("image", &[name])?;
    let look = || engine.look(&Look { images: Which::Named(vec![name.clone()]), ..Look::default() });
    let world = look()?;
    let part = match &order.source {
        Source::Address(address) => {
            let word = part::word(address);
            let there = observe::dataset(&plan::image::part(&world, &word)?)?.is_some();
            Some((word, there))
        }
        Source::File(_) | Source::Input => None,
    };
    let own = part.as_ref().map(|(word, _)| plan::image::part(&world, word)).transpose()?;
    age_out(engine, &world, own.as_ref());
    let token = chyves_host::identity::new().simple().to_string()[..8].to_owned();
    let request = plan::image::Import { order: order.clone(), name: name.clone(), token, part, now: crate::now() };
    let plan = plan::image::import(&world, &request)?;
    if engine.carry_out(&world, &plan, name.as_str())?.is_none() {
        return Ok(None);
    }
    let world = look()?;
    let image = world.image(name)?;
    Ok(Some(Imported {
        object: name.to_string(),
        done: ImportedWord::Imported,
        variables: image.vars.as_ref().map(|vars| vars.size.get()),
        image: Image::of(image),
    }))
}

/// Deletes partial downloads that have not been used for a week, except that of this import. A failure does not matter.
fn age_out(engine: &Engine, world: &World, own: Option<&Dataset>) {
    if engine.dry_run {
        return;
    }
    let Some(parts) = world.primary().ok().and_then(|root| Some((root, observe::parts(root).ok()?))) else { return };
    let (root, parts) = parts;
    let day = |time: &str| time.parse::<jiff::Timestamp>().ok().map(|t| t.as_second() / 86_400);
    let Some(today) = day(&crate::now()) else { return };
    for observe::Part { dataset, address, used } in parts {
        let Some(age) = used.as_deref().and_then(day).map(|d| today - d).filter(|age| *age > KEPT_DAYS) else { continue };
        let folder = root.mountpoint.as_deref().map(|m| format!("{m}/images/{}", dataset.leaf()));
        if own == Some(&dataset) || folder.is_some_and(|f| part::is_held(&f)) {
            continue;
        }
        let plan = Plan { steps: vec![Action::DropPart { part: dataset.clone() }], notes: Vec::new() };
        let gone = engine.carry_out(world, &plan, dataset.leaf()).is_ok() && observe::dataset(&dataset).is_ok_and(|d| d.is_none());
        if gone {
            let address = printable(&address, 300);
            engine.events.note(&format!("the partial download of {address} was deleted: it was not resumed for {age} days"));
        }
    }
}
