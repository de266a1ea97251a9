//! Partial downloads: what interrupted transfers left, to be resumed.
//!
//! Not here: resuming them (`import/part`).

use crate::run;
use chyves_core::error::Result;
use chyves_core::pool::Root;
use chyves_core::property::keys::{IMAGE_ADDED, IMAGE_PARTIAL};
use chyves_core::value::Dataset;
use chyves_core::zfs::{args, rows};

/// A partial download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The dataset that contains it.
    pub dataset: Dataset,
    /// The source address, in the form that is shown.
    pub address: String,
    /// Time of the last use, as recorded.
    pub used: Option<String>,
}

/// All partial downloads.
///
/// # Errors
/// ZFS does not answer.
pub fn parts(root: &Root) -> Result<Vec<Part>> {
    let keys = [IMAGE_PARTIAL, IMAGE_ADDED].map(str::to_owned);
    let rows = rows::parse(&run::must(&args::read_tree(&[root.images()], 1, Some(&keys)))?, true)?;
    let mut found = Vec::new();
    for row in rows {
        if let Some(address) = row.own.get(IMAGE_PARTIAL) {
            let used = row.own.get(IMAGE_ADDED).map(|o| o.value.clone());
            found.push(Part { dataset: row.name.parse()?, address: address.value.clone(), used });
        }
    }
    Ok(found)
}
