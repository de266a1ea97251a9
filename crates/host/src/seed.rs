//! A guest's cloud-init seed: reading the user's own documents, writing the seed ISO.
//!
//! Not here: the content of the ISO (chyves-core `cloudinit`).

use crate::datasets;
use crate::mounts::mount_to_read;
use crate::safe::{self, Access, Folder, Rule};
use crate::settled::settled;
use crate::small_files::write_private_bytes;
use chyves_core::cloudinit::documents::{self, Documents};
use chyves_core::cloudinit::{Seed, SeedDisc, Sources, TEXT_LIMIT, Text};
use chyves_core::error::{Code, Problem, Result};
use chyves_core::guest::Guest;
use chyves_core::value::{FilePath, printable};
use chyves_core::zfs::args;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Writes the ISO, readable by its owner only.
///
/// # Errors
/// A file of the user cannot be read, or has invalid content.
pub fn write(disc: &SeedDisc) -> Result<()> {
    let sources = sources(&disc.seed, &disc.folder)?;
    let documents = documents::documents(&disc.seed, &sources)?;
    write_private_bytes(&disc.path, &documents.image())
}

/// The documents of a seed as they would be written now, with secrets masked. `folder` contains the user's own documents;
/// `decoded`: decode them for display.
///
/// # Errors
/// As [`write()`].
pub fn shown(seed: &Seed, folder: &FilePath, decoded: bool) -> Result<Documents> {
    documents::shown(seed, &sources(seed, folder)?, decoded)
}

/// Reads a guest's own documents into a seed for a dry run. The caller holds the guest's lock.
///
/// # Errors
/// The guest's file system cannot be mounted, or a document cannot be read.
pub fn read_texts(guest: &Guest, disc: &mut SeedDisc) -> Result<()> {
    disc.read = Some(visit(guest, |_| sources(&disc.seed, &disc.folder))?);
    Ok(())
}

/// The ISO as it would be written now.
///
/// # Errors
/// As [`write()`].
pub fn image(seed: &Seed, folder: &FilePath) -> Result<Vec<u8>> {
    Ok(documents::documents(seed, &sources(seed, folder)?)?.image())
}

/// Runs `work` with the guest's file system mounted, and restores the previous mount state. The caller holds the guest's lock.
///
/// # Errors
/// The file system is that of a foreign guest or cannot be mounted, or `work` fails.
pub fn visit<T>(guest: &Guest, work: impl FnOnce(&str) -> Result<T>) -> Result<T> {
    let folder = guest.folder()?;
    let is_mounted = || Ok::<_, Problem>(datasets::dataset(&guest.dataset)?.is_some_and(|row| row.native("mounted") == Some("yes")));
    if is_mounted()? {
        return work(folder);
    }
    let is_own = mount_to_read(guest)?;
    let result = work(folder);
    if !is_own {
        return result;
    }
    let unmounted = settled(&args::unmount(&guest.dataset));
    result.and_then(|value| unmounted.map(|()| value))
}

/// The user's own documents that are not empty. `folder` contains them, in a mounted file system.
///
/// # Errors
/// One cannot be read, or is not text.
pub fn texts(folder: &FilePath) -> Result<Vec<(Text, String)>> {
    let mut texts = Vec::new();
    let Some((mount, folder)) = Folder::of_if_there(folder)? else { return Ok(texts) };
    for text in Text::ALL {
        let content = text_in(&mount, &folder.join(text.file()))?.filter(|content| !content.trim().is_empty());
        texts.extend(content.map(|content| (text, content)));
    }
    Ok(texts)
}

fn sources(seed: &Seed, folder: &FilePath) -> Result<Sources> {
    let mut sources = Sources::default();
    // An empty file counts as absent, so emptying a document is enough to unset it.
    for (text, content) in texts(folder)? {
        *sources.slot(text) = Some(content);
    }
    sources.password = seed.password_file.as_ref().map(|file| secret(file, folder)).transpose()?;
    Ok(sources)
}

/// The content of a text file below a mount point; none if it is missing.
fn text_in(mount: &Folder, path: &Path) -> Result<Option<String>> {
    let file = mount.file_if_there(path, Access::Read, Rule::DISK)?;
    file.map(|file| read(file, &mount.shown(path))).transpose()
}

/// Checks that a password file of the host can be used, as a start does.
///
/// # Errors
/// It is missing, can be read by others, or is not text.
pub fn password_file(path: &str) -> Result<()> {
    secret(path, &FilePath::host(path)).map(drop)
}

/// The content of a file that only its owner may read: an absolute path is the administrator's, a relative one is in the
/// folder.
fn secret(file: &str, folder: &FilePath) -> Result<String> {
    let path = if file.starts_with('/') { FilePath::host(file) } else { folder.join(file) };
    let path_shown = printable(&path.to_string(), 300);
    let missing = || {
        Code::NoSuchFile
            .problem(format!("there is no file `{path_shown}`"))
            .on(&path_shown)
            .hint(format!("`openssl passwd -6 >{path_shown}` makes it; then chmod 600 {path_shown}"))
    };
    let opened = match &path {
        FilePath::Host(path) if !crate::hostfs::named::is_there(path) => None,
        FilePath::Host(path) => Some(safe::named(path)?),
        FilePath::Below { .. } => match Folder::of_if_there(&path)? {
            Some((mount, path)) => mount.file_if_there(path, Access::Read, Rule::DISK.own())?,
            None => None,
        },
    };
    let file = opened.ok_or_else(missing)?;
    let (path, shown) = (PathBuf::from(path.to_string()), path_shown.as_str());
    let meta = file.metadata().map_err(|e| cant(&path, &e))?;
    if meta.mode() & 0o077 != 0 {
        return Err(Problem::not_now(format!("the password file `{shown}` can be read by others"))
            .on(shown)
            .because(format!("its mode is {:o}", meta.mode() & 0o777))
            .hint(format!("chmod 600 {shown}")));
    }
    read(file, &path)
}

fn read(file: File, path: &Path) -> Result<String> {
    let shown = printable(&path.display().to_string(), 300);
    let mut bytes = Vec::new();
    file.take(TEXT_LIMIT + 1).read_to_end(&mut bytes).map_err(|e| cant(path, &e))?;
    if bytes.len() as u64 > TEXT_LIMIT {
        return Err(Problem::usage(format!("`{shown}` is too large for cloud-init"))
            .on(&shown)
            .because(format!("a text has at most {TEXT_LIMIT} bytes"))
            .hint(format!("inspect it with `ls -ls {shown}`, and replace or remove it")));
    }
    String::from_utf8(bytes).map_err(|_| {
        Problem::usage(format!("`{shown}` is not text"))
            .on(&shown)
            .because("it is not UTF-8")
            .hint(format!("inspect it with `file {shown}`, and replace or remove it"))
    })
}

fn cant(path: &Path, e: &std::io::Error) -> Problem {
    let shown = printable(&path.display().to_string(), 300);
    match e.kind() {
        ErrorKind::NotFound => Code::NoSuchFile.problem(format!("there is no file `{shown}`")).on(&shown),
        _ => Problem::failed(format!("cannot read `{shown}`")).on(&shown).because(e),
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
            nics: Vec::new(),
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
        let disc = SeedDisc {
            seed: seed(None),
            folder: FilePath::below(dir.path().to_str().unwrap(), "cloud-init"),
            path: path.display().to_string(),
            read: None,
        };
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
        std::fs::create_dir(dir.path().join("cloud-init")).unwrap();
        let file = dir.path().join("cloud-init/hash");
        let folder = FilePath::below(dir.path().to_str().unwrap(), "cloud-init");
        let seed = seed(Some("hash"));
        assert_eq!(image(&seed, &folder).unwrap_err().code.exit_code(), 3);
        fs::write(&file, "$6$salt$hash\n").unwrap();
        chmod(&file, 0o640);
        let open = image(&seed, &folder).unwrap_err();
        assert!(open.hints[0].starts_with("chmod 600"), "{open:?}");
        chmod(&file, 0o600);
        let text = String::from_utf8_lossy(&image(&seed, &folder).unwrap()).into_owned();
        assert!(text.contains("$6$salt$hash"));
        assert!(!shown(&seed, &folder, true).unwrap().user_data.contains("$6$"));
        let absolute = Seed { password_file: Some(file.display().to_string()), ..seed };
        assert!(image(&absolute, &FilePath::below("/nowhere", "cloud-init")).is_ok());
    }
}
