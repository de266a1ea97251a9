//! Creates guests: empty ones, or from an image.

use crate::answer::{Assignment, DiskKind, Each};
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use crate::{Engine, checks};
use chyves_core::cloudinit;
use chyves_core::error::Result;
use chyves_core::plan::{self, Moment};
use chyves_core::property::settings::OwnValues;
use chyves_core::value::{DiskSize, GuestName, ImageName, Size};
use chyves_core::world::World;
use chyves_host::observe::names::Names;
use chyves_host::observe::{self, Look, Which};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Creates guests.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GuestCreate {
    /// Their names.
    #[schemars(with = "Vec<String>")]
    pub names: Vec<GuestName>,
    /// The pool; the primary one if it is missing.
    #[serde(default)]
    pub pool: Option<String>,
    /// The image of their first disk.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub image: Option<ImageName>,
    /// Whether that disk is a full copy, which does not depend on the image.
    #[serde(default)]
    pub full: bool,
    /// The size of their first disk in bytes.
    #[serde(default)]
    pub size: Option<u64>,
    /// The kind of their first disk; chosen by the pool's ZFS if it is missing.
    #[serde(default)]
    pub disk: Option<DiskKind>,
    /// The number of their network interfaces.
    #[serde(default = "one")]
    pub nets: u16,
    /// Their settings.
    #[serde(default)]
    pub set: Vec<Assignment>,
    /// Documents for cloud-init that are stored with them.
    #[serde(default)]
    pub texts: Vec<Document>,
    /// Whether they are about to be started, which a shown plan mentions.
    #[serde(default)]
    pub start: bool,
}

const fn one() -> u16 {
    1
}

/// A document for cloud-init.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// What it is: `authorized-keys`, `user-data`, `vendor-data`, `network-config`.
    #[schemars(with = "String")]
    pub kind: cloudinit::Text,
    /// Its text.
    pub text: String,
}

/// A guest that was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Created {
    /// What was done.
    pub done: CreatedWord,
    /// Its dataset.
    pub dataset: String,
    /// Its UUID.
    pub uuid: Option<String>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CreatedWord {
    /// It was created.
    Created,
}

impl Operation for GuestCreate {
    const NAME: &'static str = "guest-create";
    type Answer = Vec<Each<Created>>;

    fn needs(&self) -> Needs {
        // What settings name is looked for before anything is locked.
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, engine: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let set = Assignment::pairs(&self.set);
        checks::usable_here(engine, &set)?;
        let _locks = engine.lock("guest", &self.names)?;
        let look = |images| engine.look(&Look { images, unborn: true, ..Look::at(&self.names) });
        let world = match &self.image {
            None => look(Which::None)?,
            Some(image) => {
                let world = look(Which::Named(vec![image.clone()]))?;
                // All images are needed only to suggest a name.
                if world.images.is_empty() { look(Which::All)? } else { world }
            }
        };
        self.doubts(engine)?;
        let names = Names::read(&world)?;
        let moment = Engine::moment(self.names.len());
        let mut results = Vec::new();
        // Each separately: if one cannot be created, the others still are.
        for (name, uuid) in self.names.iter().zip(&moment.uuids) {
            let mut request = self.request(name, &set)?;
            // Inherited settings also affect whether it could start.
            let above = plan::create::dataset(&world, &request)?.parent();
            let row = above.map(|above| observe::dataset(&above)).transpose()?.flatten();
            request.defaults = row.map(|row| row.own).unwrap_or_default();
            let own = Moment { now: moment.now.clone(), uuids: vec![*uuid] };
            let created = names.free(name).and_then(|()| self.create(engine, &world, &request, &own));
            results.push((name.to_string(), created));
        }
        Ok(Outcome::each_of(engine, results, "guests could not be created"))
    }
}

impl GuestCreate {
    fn request(&self, name: &GuestName, set: &[(String, String)]) -> Result<plan::create::Request> {
        // Read as text is, so that the same sizes are refused.
        let size = self.size.map(|bytes| Size::bytes(bytes).to_string().parse::<DiskSize>()).transpose()?;
        Ok(plan::create::Request {
            name: name.clone(),
            pool: self.pool.clone(),
            image: self.image.clone(),
            full: self.full,
            size: size.map(DiskSize::get),
            disk: self.disk.map(Into::into),
            nets: self.nets,
            set: set.to_vec(),
            texts: self.texts.iter().map(|document| (document.kind, document.text.clone())).collect(),
            defaults: OwnValues::new(),
        })
    }

    /// Creates one guest, or shows the plan.
    fn create(&self, engine: &Engine, world: &World, request: &plan::create::Request, moment: &Moment) -> Result<Option<Created>> {
        let name = &request.name;
        let mut plan = plan::create::create(world, request, moment)?;
        if self.start && engine.dry_run {
            plan.notes.push(format!("then {name} is started: `chyves start {name} -n` shows the commands once it is created"));
        }
        let dataset = plan::create::dataset(world, request)?;
        if engine.dry_run {
            image_is_ready(world, request)?;
        }
        // Checked only after a failure: it is rare, and each query of ZFS costs time.
        let why = |problem| image_is_ready(world, request).err().unwrap_or(problem);
        let done = engine.carry_out(world, &plan, name.as_str()).map_err(why)?;
        let uuid = moment.uuids.first().map(ToString::to_string);
        Ok(done.map(|_| Created { done: CreatedWord::Created, dataset: dataset.to_string(), uuid }))
    }

    /// Points out something that may not be intended: whoever can be asked decides, elsewhere it is a warning.
    fn doubts(&self, engine: &Engine) -> Result<()> {
        if self.image.is_some() {
            return Ok(());
        }
        if let [_, others @ ..] = &self.names[..]
            && !others.is_empty()
        {
            let images = engine.look(&Look { images: Which::All, ..Look::default() })?.images;
            if let Some(image) = others.iter().find(|name| images.iter().any(|image| image.name.as_str() == name.as_str())) {
                engine.doubt(
                    &format!("make {} guests, one of them called {image}", self.names.len()),
                    &format!("{image} is also an image; to create a guest from it: `chyves create {} --image {image}`", self.names[0]),
                )?;
            }
        }
        let has_disk = self.size.is_some() || self.set.iter().any(|one| one.key.starts_with("disk") || one.key.starts_with("pcidev"));
        if !has_disk {
            let listed = self.names.iter().map(GuestName::as_str).collect::<Vec<_>>().join(", ");
            engine.doubt(
                &format!("make {listed} without a disk"),
                &format!(
                    "{listed}: no disk is created; --size 20G creates an empty one, --image IMAGE one from an image, `chyves image list` shows them"
                ),
            )?;
        }
        Ok(())
    }
}

/// Checks that the image has the snapshot from which the guest is made.
fn image_is_ready(world: &World, request: &plan::create::Request) -> Result<()> {
    let Some(image) = request.image.as_ref().and_then(|name| world.image(name).ok()) else { return Ok(()) };
    if observe::exists(&image.snapshot()?.to_string())? {
        return Ok(());
    }
    Err(plan::image::not_ready(image).within(format!("cannot create {} from the image `{}`", request.name, image.name)))
}
