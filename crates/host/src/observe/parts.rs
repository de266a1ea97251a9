//! What came of transfers that were cut and is kept to go on with.
//!
//! Not here: going on with it (`import/part`).

use crate::run;
use chyves_core::error::Result;
use chyves_core::property::keys::{IMAGE_ADDED, IMAGE_PARTIAL};
use chyves_core::value::Dataset;
use chyves_core::world::Root;
use chyves_core::zfs::args;
use chyves_core::zfs::rows;

/// What came of a transfer that was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Where it lies.
    pub dataset: Dataset,
    /// The address that it is of, as it is shown.
    pub address: String,
    /// When it was last used, as that is recorded.
    pub used: Option<String>,
}

/// What came of transfers that were cut.
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
