//! The users' own documents of guests, read when a change of settings selects another reader (program) for them.

use super::Session;
use chyves_core::cloudinit::FOLDER;
use chyves_core::error::Result;
use chyves_core::guest::Guest;
use chyves_core::plan;
use chyves_core::value::FilePath;
use chyves_core::world::World;
use chyves_host::seed;

impl Session {
    /// The world with the own documents of a guest, whose lock the caller holds. Without the key of an encrypted dataset they
    /// are unknown.
    pub(crate) fn with_texts(world: &World, guest: &Guest) -> Result<World> {
        let mut world = world.clone();
        if plan::locked::guest(&world, guest).is_ok() {
            let texts = seed::visit(guest, |folder| seed::texts(&FilePath::below(folder, FOLDER)))?;
            world.texts.insert(guest.dataset.clone(), texts);
        }
        Ok(world)
    }

    /// Warns if a guest that was received or restored unchanged could not be started with its settings.
    pub(crate) fn warn_if_unstartable(&self, world: &World, guest: &Guest) {
        if let Some(warning) = plan::whole::warning(world, guest, guest.settings.own_values()) {
            self.ui.warn(&warning);
        }
    }
}
