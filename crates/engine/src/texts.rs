//! The users' own documents of guests, read when a change of settings selects another reader (program) for them.

use crate::Engine;
use chyves_core::cloudinit::FOLDER;
use chyves_core::error::Result;
use chyves_core::guest::Guest;
use chyves_core::plan;
use chyves_core::value::FilePath;
use chyves_core::world::World;
use chyves_host::seed;

impl Engine {
    /// The world with the own documents of a guest, whose lock the caller holds. Without the key of an encrypted dataset they
    /// are unknown, and so are those of a foreign guest, whose file system is not mounted to read them.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn with_texts(world: &World, guest: &Guest) -> Result<World> {
        let mut world = world.clone();
        if plan::locked::guest(&world, guest).is_ok() && (guest.mounted || guest.foreign.is_none()) {
            let texts = seed::visit(guest, |folder| seed::texts(&FilePath::below(folder, FOLDER)))?;
            world.texts.insert(guest.dataset.clone(), texts);
        }
        Ok(world)
    }
}
