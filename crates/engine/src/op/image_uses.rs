//! Who uses images, for the operations that change them.

use crate::Engine;
use chyves_core::error::{Code, Result};
use chyves_core::image::{Image, ImageKind};
use chyves_core::pool::Role;
use chyves_core::property::settings::OwnValues;
use chyves_core::value::{Dataset, GuestName};
use chyves_core::world::World;
use chyves_host::{observe, shared_mounts};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The datasets from which guests inherit settings, with their local settings.
pub(super) fn above(world: &World) -> Result<Vec<(Dataset, OwnValues)>> {
    let groups = world.guests.iter().flat_map(|guest| guest.settings.above()).map(|(on, values)| (on.clone(), values.clone()));
    let mut all: BTreeMap<Dataset, OwnValues> = groups.collect();
    // The dataset of a pool without guests is not among them.
    for root in world.roots.iter().filter(|root| root.role != Role::Offline) {
        if let Entry::Vacant(new) = all.entry(root.guests()) {
            let own = observe::dataset(new.key())?.map(|row| row.own).unwrap_or_default();
            new.insert(own);
        }
    }
    Ok(all.into_iter().collect())
}

/// Refuses an image that a running guest uses.
pub(super) fn not_running(engine: &Engine, image: &Image) -> Result<()> {
    let running = shared_mounts::users(&engine.runtime, &image.dataset)?;
    if running.is_empty() {
        return Ok(());
    }
    let names = running.iter().map(GuestName::as_str).collect::<Vec<_>>().join(", ");
    Err(if image.kind == ImageKind::Firmware {
        Code::ImageInUse
            .problem(format!("the firmware `{}` is in use", image.name))
            .because(format!("guests that run with it: {names}"))
            .hint(format!("`chyves stop {}` first", names.replace(", ", ",")))
    } else {
        Code::ImageInUse
            .problem(format!("the image `{}` is in an optical drive", image.name))
            .because(format!("of {names}"))
            .hint("it is ejected when the guest is off, or at the reboot set by iso_eject_after_reboots")
    }
    .on(&image.name))
}
