//! Checks of settings that need more than the guest: other guests, images.

use crate::Engine;
use chyves_core::error::Result;
use chyves_core::guest::Guest;
use chyves_core::plan;
use chyves_core::plan::network::nics;
use chyves_core::property::kind::AUTO;
use chyves_core::property::{self, keys};
use chyves_core::value::{ImageName, Mac};
use chyves_host::observe::{self, Look, Which};

/// Refuses settings that name missing firmware.
///
/// # Errors
/// One does, or the images cannot be read.
pub(crate) fn firmware_is_there(engine: &Engine, settings: &[(String, String)]) -> Result<()> {
    let wanted = settings.iter().filter(|(key, _)| property::find(key).is_ok_and(|known| known.key == keys::FIRMWARE));
    let names: Vec<ImageName> = wanted.filter(|(_, value)| !value.eq_ignore_ascii_case(AUTO)).filter_map(|(_, v)| v.parse().ok()).collect();
    if names.is_empty() {
        return Ok(());
    }
    let world = engine.look(&Look { images: Which::All, ..Look::default() })?;
    names.iter().try_for_each(|name| plan::firmware::usable(&world, name).map(drop))
}

/// Refuses MAC addresses that another network interface has.
///
/// # Errors
/// One is taken, or the guests cannot be read.
pub(crate) fn mac_is_free(engine: &Engine, guest: &Guest, settings: &[(String, String)]) -> Result<()> {
    let wanted = settings.iter().filter_map(|(k, v)| {
        let (number, part) = k.strip_prefix("net")?.split_once('.')?;
        Some((number.parse::<u16>().ok()?, v.to_ascii_lowercase().parse::<Mac>().ok()?)).filter(|_| part == "mac")
    });
    let wanted: Vec<(u16, Mac)> = wanted.collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let all = observe::world(&engine.runtime, &Look { guests: Which::All, ..Look::default() })?.guests;
    wanted.into_iter().try_for_each(|(number, mac)| nics::free_mac(&all, Some((guest, number)), mac))
}
