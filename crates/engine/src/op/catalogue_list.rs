//! Lists the systems that can be fetched by name on this host.

use crate::Engine;
use crate::answer::ImageKind;
use crate::needs::{Needs, Observed};
use crate::operation::{Operation, Outcome};
use chyves_core::catalogue::{self, Found};
use chyves_core::error::Result;
use chyves_host::{catalogue as host_catalogue, facts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Lists the catalogue.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogueList {
    /// Only images of this kind.
    pub kind: Option<ImageKind>,
}

/// One version of a system, for the architecture of this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CatalogueRow {
    /// The name by which it is fetched.
    pub name: String,
    /// The kind of image.
    pub kind: ImageKind,
    /// What it is, for people.
    pub title: String,
    /// Its address; null if the vendor has none that stays.
    pub address: Option<String>,
    /// The address of a list with its checksum.
    pub checksums: Option<String>,
    /// The address of the signature of that list, or of the image itself.
    pub signature: Option<String>,
    /// The names of the keys that sign it.
    pub signed_by: Vec<String>,
    /// Why nothing is signed.
    pub unsigned: Option<String>,
    /// What could not be verified when the catalogue was made.
    pub unverified: Option<String>,
    /// The settings that guests made from it get.
    pub settings: BTreeMap<String, String>,
}

impl From<Found> for CatalogueRow {
    fn from(found: Found) -> Self {
        Self {
            name: found.name.to_string(),
            kind: found.kind.into(),
            title: found.title,
            address: found.address,
            checksums: found.checksums,
            signature: found.signature.or(found.image_signature),
            signed_by: found.signed_by,
            unsigned: found.unsigned,
            unverified: found.unverified,
            settings: found.settings.into_iter().collect(),
        }
    }
}

impl Operation for CatalogueList {
    const NAME: &'static str = "catalogue-list";
    type Answer = Vec<CatalogueRow>;

    fn needs(&self) -> Needs {
        Needs { nothing: true, ..Needs::default() }
    }

    fn run(&self, _: &Engine, _: &Observed) -> Result<Outcome<Self::Answer>> {
        let all = catalogue::list(&host_catalogue::all()?.systems, &facts::arch())?.into_iter().map(CatalogueRow::from);
        Ok(all.filter(|row| self.kind.is_none_or(|kind| kind == row.kind)).collect::<Vec<_>>().into())
    }
}
