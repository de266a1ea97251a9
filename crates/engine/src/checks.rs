//! Checks of settings that need more than the guest: other guests, images, files and devices of the host.

use crate::Engine;
use chyves_core::check::files;
use chyves_core::device::{SerialEnd, parse_serial_end};
use chyves_core::error::{Kind, Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::plan;
use chyves_core::plan::network::nics;
use chyves_core::property::kind::{self, AUTO};
use chyves_core::property::{self, keys};
use chyves_core::value::{ImageName, Mac, printable};
use chyves_host::facts;
use chyves_host::observe::{self, Look, Which};

/// Refuses settings that no start could use with the files, devices and images that this host has.
///
/// # Errors
/// One could not, or the images cannot be read.
pub(crate) fn usable_here(engine: &Engine, settings: &[(String, String)]) -> Result<()> {
    firmware_is_there(engine, settings)?;
    password_file_is_usable(engine, settings)?;
    terminals_are_ones(engine, settings)
}

/// Refuses settings that name missing firmware.
///
/// # Errors
/// One does, or the images cannot be read.
fn firmware_is_there(engine: &Engine, settings: &[(String, String)]) -> Result<()> {
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

/// Reports a password file that no start could use, among new settings: refused if others can read it, a warning if it is
/// missing, because it may be written later. A plain name is a file in a guest's folder, which the start reads.
///
/// # Errors
/// It is there, and is refused.
fn password_file_is_usable(engine: &Engine, settings: &[(String, String)]) -> Result<()> {
    let is_key = |key: &str| key.eq_ignore_ascii_case(keys::CI_PASSWORD_FILE);
    let Some((_, file)) = settings.iter().rev().find(|(key, file)| is_key(key) && file.starts_with('/')) else { return Ok(()) };
    match chyves_host::seed::password_file(file) {
        Err(problem) if problem.code == Kind::NotFound => {
            let hint = problem.hints.first().map(|hint| format!("; {hint}")).unwrap_or_default();
            engine.events.warning(&format!("{}: {problem}{hint}", keys::CI_PASSWORD_FILE));
            Ok(())
        }
        checked => checked.map_err(|problem| Problem { code: Kind::Usage, ..problem }),
    }
}

/// Checks the far ends of serial ports among new settings: a device that is there and is no terminal would be refused by every
/// start. One that is missing may be connected later.
///
/// # Errors
/// A device is no terminal.
fn terminals_are_ones(engine: &Engine, settings: &[(String, String)]) -> Result<()> {
    if engine.facts.is_some() {
        return Ok(());
    }
    let is_port = |key: &str| property::find(key).is_ok_and(|known| known.property.kind == kind::Kind::SerialEnd);
    for (key, value) in settings.iter().filter(|(key, _)| is_port(key)) {
        if let Ok(SerialEnd::Device(path)) = parse_serial_end(value)
            && !facts::is_terminal(&path)
        {
            return Err(Problem::usage(format!("cannot set {key} to {}: it is no terminal", printable(&path, 120)))
                .on(key)
                .hint(files::no_terminal("")));
        }
    }
    Ok(())
}
