//! A guest's cloud-init seed: the user's own texts read, the disc written.
//!
//! Not here: what the disc says (chyves-core `cloudinit`).

use crate::apply::{self, write_private_bytes};
use crate::observe;
use chyves_core::cloudinit::documents::{self, Documents};
use chyves_core::cloudinit::{Seed, SeedDisc, Sources, TEXT_LIMIT, Text};
use chyves_core::error::{Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::value::printable;
use chyves_core::zfs::args;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Writes the disc, which its owner alone may read.
///
/// # Errors
/// A file of the user's can't be read, or holds something else than it should.
pub fn write(disc: &SeedDisc) -> Result<()> {
    let sources = sources(&disc.seed, Path::new(&disc.folder))?;
    let documents = documents::documents(&disc.seed, &sources)?;
    write_private_bytes(&disc.path, &documents.image())
}

/// What a seed would say now, its secret hidden. `folder` is that of the user's own texts.
///
/// # Errors
/// As [`write()`].
pub fn shown(seed: &Seed, folder: &Path) -> Result<Documents> {
    documents::shown(seed, &sources(seed, folder)?)
}

/// The disc as it would be written now.
///
/// # Errors
/// As [`write()`].
pub fn image(seed: &Seed, folder: &Path) -> Result<Vec<u8>> {
    Ok(documents::documents(seed, &sources(seed, folder)?)?.image())
}

/// Does something with a guest's file system mounted, and leaves it as it was. The caller holds the guest's lock.
///
/// # Errors
/// It can't be mounted, or what is done fails.
pub fn visit<T>(guest: &Guest, work: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let folder = PathBuf::from(guest.folder()?);
    let is_mounted = || Ok::<_, Problem>(observe::dataset(&guest.dataset)?.is_some_and(|row| row.native("mounted") == Some("yes")));
    if is_mounted()? {
        return work(&folder);
    }
    apply::settled(&args::mount(&guest.dataset))?;
    let result = work(&folder);
    let unmounted = apply::settled(&args::unmount(&guest.dataset));
    result.and_then(|value| unmounted.map(|()| value))
}

fn sources(seed: &Seed, folder: &Path) -> Result<Sources> {
    let mut sources = Sources::default();
    for text in Text::ALL {
        // An empty file is none: so a text is taken away without removing anything.
        *sources.slot(text) = optional(&folder.join(text.file()))?.filter(|content| !content.trim().is_empty());
    }
    // An absolute path stays one.
    sources.password = seed.password_file.as_ref().map(|file| secret(&folder.join(file))).transpose()?;
    Ok(sources)
}

/// The content of a text file that may be missing.
fn optional(path: &Path) -> Result<Option<String>> {
    match File::open(path) {
        Ok(file) => read(file, path).map(Some),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(cant(path, &e)),
    }
}

/// The content of a file that its owner alone may read.
fn secret(path: &Path) -> Result<String> {
    let shown = printable(&path.display().to_string(), 300);
    let file =
        File::open(path).map_err(|e| cant(path, &e).hint(format!("`openssl passwd -6 >{shown}` makes it; then chmod 600 {shown}")))?;
    let meta = file.metadata().map_err(|e| cant(path, &e))?;
    if meta.mode() & 0o077 != 0 {
        return Err(Problem::not_now(format!("the password file `{shown}` can be read by others"))
            .on(&shown)
            .because(format!("its mode is {:o}", meta.mode() & 0o777))
            .hint(format!("chmod 600 {shown}")));
    }
    read(file, path)
}

fn read(file: File, path: &Path) -> Result<String> {
    let shown = printable(&path.display().to_string(), 300);
    if !file.metadata().map_err(|e| cant(path, &e))?.is_file() {
        return Err(Problem::usage(format!("`{shown}` is no file")).on(&shown));
    }
    let mut bytes = Vec::new();
    file.take(TEXT_LIMIT + 1).read_to_end(&mut bytes).map_err(|e| cant(path, &e))?;
    if bytes.len() as u64 > TEXT_LIMIT {
        return Err(Problem::usage(format!("`{shown}` is too large for cloud-init"))
            .on(&shown)
            .because(format!("a text has at most {TEXT_LIMIT} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| Problem::usage(format!("`{shown}` is no text")).on(&shown).because("it is not UTF-8"))
}

fn cant(path: &Path, e: &std::io::Error) -> Problem {
    let shown = printable(&path.display().to_string(), 300);
    match e.kind() {
        ErrorKind::NotFound => Problem::not_found(format!("there is no file `{shown}`")).on(&shown),
        _ => Problem::failed(format!("can't read `{shown}`")).on(&shown).because(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chyves_core::cloudinit::reader::Reader;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn seed(password_file: Option<&str>) -> Seed {
        Seed {
            reader: Reader::CloudInit,
            instance_id: "i-1".into(),
            hostname: "web01".parse().unwrap(),
            user: Some("ann".parse().unwrap()),
            keys: Vec::new(),
            password_file: password_file.map(str::to_owned),
            dns: Vec::new(),
            search: Vec::new(),
            cards: Vec::new(),
        }
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_disc_is_private_and_the_same_for_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("cloud-init");
        let path = dir.path().join("cidata.iso");
        let disc = SeedDisc { seed: seed(None), folder: folder.display().to_string(), path: path.display().to_string() };
        write(&disc).unwrap();
        let first = fs::read(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("user-data"), "\n").unwrap();
        write(&disc).unwrap();
        assert_eq!(fs::read(&path).unwrap(), first, "an empty text is none");
        fs::write(folder.join("user-data"), "#!/bin/sh\n").unwrap();
        write(&disc).unwrap();
        assert_ne!(fs::read(&path).unwrap(), first);
    }

    #[test]
    fn a_secret_is_read_where_it_is_one_and_shown_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hash");
        let seed = seed(Some("hash"));
        assert_eq!(image(&seed, dir.path()).unwrap_err().code.exit_code(), 3);
        fs::write(&file, "$6$salt$hash\n").unwrap();
        chmod(&file, 0o640);
        let open = image(&seed, dir.path()).unwrap_err();
        assert!(open.hints[0].starts_with("chmod 600"), "{open:?}");
        chmod(&file, 0o600);
        let text = String::from_utf8_lossy(&image(&seed, dir.path()).unwrap()).into_owned();
        assert!(text.contains("$6$salt$hash"));
        assert!(!shown(&seed, dir.path()).unwrap().user_data.contains("$6$"));
        let absolute = Seed { password_file: Some(file.display().to_string()), ..seed };
        assert!(image(&absolute, Path::new("/nowhere")).is_ok());
    }
}
