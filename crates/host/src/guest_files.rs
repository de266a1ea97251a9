//! Operations on a guest's files between two runs of its hypervisor, as hidden commands of chyves: a supervisor runs them with
//! a deadline, like programs of the host. Programs such as cp(1) would follow a symbolic link in the guest's folder.
//!
//! Not here: when they run (chyves-core `plan::revert` and `vmm::grub`).

use crate::safe::{self, Access, Folder, Rule};
use chyves_core::error::{Problem, Result};
use chyves_core::launch::guest_files::{LOADER_LIMIT, Order, VARIABLES_FILE};
use std::ffi::OsString;
use std::io::Write;

pub use chyves_core::launch::guest_files::WORD;

/// Size limit of the copy of the settings, in bytes.
const SETTINGS_LIMIT: u64 = 16 << 20;
/// Size limit of UEFI variables, in bytes: a template is a few hundred KiB, on arm64 up to 64 MiB.
const VARIABLES_LIMIT: u64 = 64 << 20;

/// The hidden command; returns its exit status.
pub fn main(args: impl Iterator<Item = OsString>) -> u8 {
    let words: Option<Vec<String>> = args.map(|word| word.into_string().ok()).collect();
    let order = words.as_deref().and_then(Order::read);
    let done = order.ok_or_else(|| Problem::bug("a hidden command was given other arguments")).and_then(|order| perform(&order));
    match done {
        Ok(()) => 0,
        Err(problem) => {
            let words: Vec<&str> = std::iter::once(&problem.message).chain(&problem.causes).map(String::as_str).collect();
            let _ = writeln!(std::io::stderr(), "{}", words.join(": "));
            1
        }
    }
}

fn perform(order: &Order) -> Result<()> {
    match order {
        Order::Refill { folder, settings, variables } => {
            let guest = Folder::open(folder)?;
            guest.make_private()?;
            guest.make_folder("logs")?;
            if let Some(template) = variables
                && !guest.has(VARIABLES_FILE)?
            {
                copy(safe::named(template)?, template, &guest, VARIABLES_FILE, VARIABLES_LIMIT)?;
            }
            let (run, name) = Folder::of(&chyves_core::value::FilePath::host(settings.as_str()))?;
            let text = run.read(&name, Rule::up_to(SETTINGS_LIMIT).own())?;
            let text = text.ok_or_else(|| Problem::failed("the copy of the settings is missing").on(settings))?;
            guest.replace("config.toml", &text, true)
        }
        Order::Loader { folder, run, files } => {
            let (guest, run) = (Folder::open(folder)?, Folder::open(run)?);
            files.iter().try_for_each(|name| {
                let file = guest.file(name, Access::Read, Rule::up_to(LOADER_LIMIT))?;
                copy(file, &guest.shown(name).to_string_lossy(), &run, name, LOADER_LIMIT)
            })
        }
    }
}

/// Copies an open file completely or not at all.
fn copy(from: std::fs::File, shown: &str, to: &Folder, name: &str, limit: u64) -> Result<()> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let cant = |e: &dyn std::fmt::Display| Problem::failed(format!("cannot read {shown}")).on(shown).because(e);
    from.take(limit + 1).read_to_end(&mut bytes).map_err(|e| cant(&e))?;
    if bytes.len() as u64 > limit {
        return Err(cant(&format!("it has more than {limit} bytes")));
    }
    to.replace(name, &bytes, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    fn ground() -> (tempfile::TempDir, String, String) {
        let temp = tempfile::tempdir().unwrap();
        for name in ["guest", "run", "host"] {
            fs::create_dir(temp.path().join(name)).unwrap();
        }
        fs::write(temp.path().join("host/secret"), "secret").unwrap();
        fs::write(temp.path().join("run/settings"), "settings").unwrap();
        fs::write(temp.path().join("host/template"), "variables").unwrap();
        let at = |name: &str| temp.path().join(name).to_str().unwrap().to_owned();
        let (guest, run) = (at("guest"), at("run"));
        (temp, guest, run)
    }

    fn refill(guest: &str, run: &str) -> Result<()> {
        let variables = Some(Path::new(guest).with_file_name("host/template").to_str().unwrap().to_owned());
        perform(&Order::Refill { folder: guest.to_owned(), settings: format!("{run}/settings"), variables })
    }

    #[test]
    fn a_folder_that_a_snapshot_brought_back_is_filled_again_and_what_it_has_stays() {
        let (_temp, guest, run) = ground();
        fs::write(format!("{guest}/config.toml"), "old").unwrap();
        for _ in 0..2 {
            refill(&guest, &run).unwrap();
            let read = |name: &str| fs::read_to_string(format!("{guest}/{name}")).unwrap();
            assert_eq!((read("config.toml"), read(VARIABLES_FILE)), ("settings".into(), "variables".into()));
            assert!(Path::new(&guest).join("logs").is_dir());
        }
        fs::write(format!("{guest}/{VARIABLES_FILE}"), "its own").unwrap();
        refill(&guest, &run).unwrap();
        assert_eq!(fs::read_to_string(format!("{guest}/{VARIABLES_FILE}")).unwrap(), "its own");
    }

    #[test]
    fn no_link_of_the_snapshot_is_followed() {
        for name in ["config.toml", VARIABLES_FILE, "logs"] {
            let (temp, guest, run) = ground();
            // The second target does not exist: cp(1) would create it through the link.
            for target in ["host/secret", "host/new"] {
                let link = format!("{guest}/{name}");
                let _ = fs::remove_file(&link);
                symlink(temp.path().join(target), &link).unwrap();
                let done = refill(&guest, &run);
                assert!(done.is_ok() || name == "logs", "{name}: {done:?}");
                assert_eq!(fs::read_to_string(temp.path().join("host/secret")).unwrap(), "secret");
                assert!(!temp.path().join("host/new").exists());
            }
        }
    }

    #[test]
    fn files_for_a_loader_are_copies_of_what_was_checked() {
        let (temp, guest, run) = ground();
        let files = vec!["grub.cfg".to_owned(), "device.map".to_owned()];
        let order = Order::Loader { folder: guest.clone(), run: run.clone(), files };
        assert!(perform(&order).is_err(), "they are missing");
        fs::write(format!("{guest}/grub.cfg"), "boot").unwrap();
        symlink(temp.path().join("host/secret"), format!("{guest}/device.map")).unwrap();
        assert!(perform(&order).unwrap_err().message.contains("symbolic link"));
        assert!(!Path::new(&run).join("device.map").exists());
        fs::remove_file(format!("{guest}/device.map")).unwrap();
        fs::write(format!("{guest}/device.map"), "(hd0) disk").unwrap();
        perform(&order).unwrap();
        assert_eq!(fs::read_to_string(format!("{run}/device.map")).unwrap(), "(hd0) disk");
    }
}
