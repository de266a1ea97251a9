//! Disks from files and to files: inspecting a file or device that becomes a disk, and copying its content into a new one.
//!
//! Not here: images, which are described by properties of a dataset (`image`).

use super::{Event, Place, files};
use crate::fault;
use crate::hostfs::{kernel, named};
use crate::import::content::{self, Content, Format, Seen};
use crate::import::convert::{Image, Target};
use crate::import::open::{is_private, regular};
use crate::import::source::same;
use crate::media::{length, media_size};
use crate::run;
use crate::safe::{self, Access, Folder, Rule};
use chyves_core::action::from_qcow2;
use chyves_core::error::{Code, Kind, Problem, Result};
use chyves_core::guest::{DiskFile, DiskFormat};
use chyves_core::value::{Dataset, FilePath, Size, printable};
use chyves_core::zfs::{args, devices};
use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for the device of a new volume.
const APPEARS: Duration = Duration::from_secs(15);

fn fail(what: &str, path: &str) -> impl FnOnce(std::io::Error) -> Problem {
    let (what, path) = (what.to_owned(), path.to_owned());
    move |e| {
        let problem = Problem::failed(format!("cannot {what} `{}`", printable(&path, 300))).on(&path).because(&e);
        match e.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => problem.hint(
                "free space: `chyves trash list` shows what is deleted and not yet destroyed, `zfs list -o space` what uses the space",
            ),
            _ => problem,
        }
    }
}

/// Inspects a file whose content is to become a disk: raw or qcow2, detected from its content.
///
/// # Errors
/// It does not exist, is not a disk, or has a backing file.
pub fn look(path: &str) -> Result<DiskFile> {
    // Programs that read it run in another folder.
    let absolute = std::path::absolute(path).ok().and_then(|p| p.to_str().map(str::to_owned));
    let path = absolute.as_deref().unwrap_or(path);
    let shown = printable(path, 300);
    let (file, meta, whole) = regular(path)?;
    // From here on no link of this path is followed again.
    let path = whole.to_str().ok_or_else(|| Problem::usage("the path of the disk is not UTF-8 text"))?;
    let refuse = |what: &str, hint: &str| Err(Problem::usage(format!("`{shown}` is {what}, no disk")).on(path).hint(hint));
    match content::of_file(&file, path)? {
        Seen::Plain(Content::Raw) => Ok(DiskFile { path: path.to_owned(), format: DiskFormat::Raw, size: Size::bytes(meta.len()) }),
        Seen::Plain(Content::Format(Format::Qcow2)) => {
            Ok(DiskFile { path: path.to_owned(), format: DiskFormat::Qcow2, size: qcow2(&file, path).inspect(&AtomicBool::new(false))? })
        }
        Seen::Plain(Content::Format(other)) => refuse(&format!("a {}", other.word()), "`chyves image import` makes an image of it"),
        Seen::Packed(packing) => refuse(&format!("packed ({})", packing.word()), "`chyves image import` unpacks it"),
        Seen::Plain(Content::Iso) => refuse("an ISO", "`chyves image import` keeps it as an image"),
        Seen::Plain(Content::Firmware) => refuse("UEFI firmware", "`chyves image import` keeps it as an image"),
    }
}

/// Inspects a disk to be attached: the path of a file or device, or the name of a volume.
///
/// # Errors
/// It does not exist, is of another type, is in use by the host, or has another format than raw.
pub fn look_at_source(wanted: &str) -> Result<DiskFile> {
    // If a volume and a file in the current folder have the same name, the volume is meant: `./NAME` is the file.
    let path = if wanted.starts_with(['/', '.']) {
        wanted.to_owned()
    } else {
        match volume(wanted) {
            Err(problem) if !named::is_there(wanted) => {
                return Err(problem.because(format!("and there is no file `{}` in the current folder", printable(wanted, 300))));
            }
            Err(_) => wanted.to_owned(),
            Ok(path) => path,
        }
    };
    let shown = printable(&path, 300);
    let real = named::real(&path).map_err(|e| Code::NoSuchFile.problem(format!("cannot find `{shown}`")).on(&path).because(e))?;
    let meta = named::stat(&real).map_err(fail("inspect", &path))?;
    let device = meta.file_type().is_block_device() || meta.file_type().is_char_device();
    if !device && !meta.is_file() {
        return Err(Problem::usage(format!("`{shown}` is neither a file nor a device")).on(&path));
    }
    if meta.file_type().is_block_device() && kernel::is_in_use(&real) {
        return Err(Problem::not_now(format!("`{shown}` is in use by this host")).on(&path).hint("`mount` shows whether it is mounted"));
    }
    if let Some(pool) = pool_on(&meta)? {
        return Err(Problem::not_now(format!("cannot attach `{shown}`: it is a device of the pool `{pool}`"))
            .on(&path)
            .because("a guest that writes to it would destroy the pool")
            .hint(format!("`zpool status {pool}` shows its devices")));
    }
    let mut file = safe::attached(&real, false)?;
    let size = match file.seek(SeekFrom::End(0)).map_err(fail("inspect", &path))? {
        // FreeBSD's disk devices do not support seeking to the end.
        0 if meta.file_type().is_char_device() => media_size(&path)?,
        size => size,
    };
    if meta.is_file() && content::of_file(&file, &path)? == Seen::Plain(Content::Format(Format::Qcow2)) {
        return Err(Problem::usage(format!("`{shown}` is qcow2, and only raw disks can be attached"))
            .on(&path)
            .hint("`--import` takes its content"));
    }
    if size == 0 || size % 512 != 0 {
        return Err(Problem::usage(format!("`{shown}` cannot be a disk"))
            .on(&path)
            .because(format!("it has {size} bytes, not a multiple of 512 bytes")));
    }
    // A volume's name remains valid when its device node changes after a boot; a relative path does not.
    let path = if device { path } else { real.into_os_string().into_string().map_err(|_| Problem::usage("the path is not text"))? };
    Ok(DiskFile { path, format: DiskFormat::Raw, size: Size::bytes(size) })
}

/// The imported pool that has this file as one of its devices. The kernel protects disks, but not files.
fn pool_on(meta: &std::fs::Metadata) -> Result<Option<String>> {
    if !meta.is_file() {
        return Ok(None);
    }
    let output = run::must(&devices::read())?;
    let is_it = |path: &str| named::stat(path).is_ok_and(|device| (device.dev(), device.ino()) == (meta.dev(), meta.ino()));
    Ok(devices::paths(&output).into_iter().find(|(_, path)| is_it(path)).map(|(pool, _)| pool.to_owned()))
}

/// Verifies that a volume has one of two sizes: the one at planning, or the desired one.
pub(super) fn volume_has(volume: &Dataset, from: Size, to: Size) -> Result<()> {
    let row =
        crate::observe::dataset(volume)?.ok_or_else(|| Code::NoSuchVolume.problem(format!("no volume is called `{volume}`")).on(volume))?;
    match row.number("volsize").map(Size::bytes) {
        Some(size) if size == from || size == to => Ok(()),
        Some(size) => Err(Problem::not_now(format!("the volume `{volume}` has {size}, not {from}"))
            .on(volume)
            .because("its size was changed meanwhile")
            .hint("try again")),
        None => Err(Problem::not_now(format!("`{volume}` is not a volume")).on(volume)),
    }
}

/// Verifies that a disk is not larger than its new size.
pub(super) fn no_larger(path: &FilePath, to: Size) -> Result<()> {
    let is = length(path)?;
    if is <= to {
        return Ok(());
    }
    Err(Problem::not_now(format!("the disk `{}` has {is}, more than {to}", printable(&path.to_string(), 300)))
        .on(path)
        .because("its size was changed meanwhile, and the data beyond the new size would be lost")
        .hint("try again"))
}

/// The device of a volume.
fn volume(name: &str) -> Result<String> {
    let wrong = |p: Problem| p.hint("write a path with `/` or `./` before it, or the full name of a volume");
    let dataset: Dataset = name.parse().map_err(|e| wrong(Problem::from(e)))?;
    match crate::observe::dataset(&dataset)? {
        Some(row) if row.native("type") == Some("volume") => Ok(format!("/dev/zvol/{dataset}")),
        Some(_) => Err(wrong(Problem::usage(format!("`{dataset}` is not a volume")).on(&dataset))),
        None => Err(wrong(Code::NoSuchVolume.problem(format!("no volume is called `{dataset}`")).on(&dataset))),
    }
}

/// Copies the content of a file into a new disk: a file that must not exist, or a volume that this plan created.
pub(super) fn copy(from: &FilePath, format: DiskFormat, to: &FilePath, size: Option<Size>, place: &mut Place<'_>) -> Result<()> {
    // One descriptor from here on: what is inspected is what is copied, even if the name changes meanwhile.
    let (source, others) = match from {
        FilePath::Host(path) => {
            let (file, meta, _) = regular(path).map_err(|problem| Problem { code: Kind::Failed, ..problem })?;
            (file, (!is_private(&meta)).then_some((path.clone(), meta)))
        }
        FilePath::Below { mount, path } => (Folder::open(mount)?.file(path, Access::Read, Rule::DISK)?, None),
    };
    let unchanged = |source: &File| others.as_ref().map_or(Ok(()), |(path, meta)| same(path, meta, source));
    let (name, shown) = (from.to_string(), to.to_string());
    // The content of a guest's own disk is not interpreted.
    let is_raw = |file: &File| matches!(content::of_file(file, &name), Ok(Seen::Plain(Content::Raw)));
    if matches!(from, FilePath::Host(_)) && format == DiskFormat::Raw && !is_raw(&source) {
        return Err(Problem::failed(format!("`{}` changed after it was inspected", printable(&name, 300))).on(&name));
    }
    let fill = |source: &File, target: &File, place: &mut Place<'_>| match format {
        DiskFormat::Raw => write(source, &name, &shown, target, size, place),
        DiskFormat::Qcow2 => convert(source, (&name, &shown), to.is_device(), target, size, place),
    };
    if to.is_device() {
        appears(&shown, place.interrupted)?;
        fill(&source, &safe::attached(&shown, true)?, place)?;
        return unchanged(&source);
    }
    let (folder, leaf) = Folder::of(to)?;
    // A qcow2 image is read twice, to check it and to convert it. If others can write to it, it is copied first, so that both
    // passes read the same content.
    let own = match (format, &others) {
        (DiskFormat::Qcow2, Some(_)) => Some(private_copy(&source, &folder, &name, place)?),
        (DiskFormat::Qcow2 | DiskFormat::Raw, _) => None,
    };
    let target = folder.create(&leaf)?;
    let filled = fill(own.as_ref().unwrap_or(&source), &target, place);
    let result = filled.and_then(|()| if own.is_some() { Ok(()) } else { unchanged(&source) });
    if result.is_err() {
        let _ = folder.remove_file(&leaf);
    }
    result
}

/// Copies a file into a file without a name. If the source is written meanwhile, the copy mixes several states.
fn private_copy(source: &File, folder: &Folder, name: &str, place: &mut Place<'_>) -> Result<File> {
    let working = format!("importing-{}", crate::identity::new());
    let copy = folder.create(&working)?;
    folder.remove_file(&working)?;
    let mut from = source;
    files::sparse(&mut from, &copy, name, &mut |_| !place.interrupted.load(Ordering::SeqCst)).map(|_| copy)
}

fn qcow2<'f>(file: &'f File, path: &'f str) -> Image<'f> {
    Image { file, format: Format::Qcow2, name: path }
}

fn convert(
    source: &File,
    (from, to): (&str, &str),
    is_device: bool,
    target: &File,
    size: Option<Size>,
    place: &mut Place<'_>,
) -> Result<()> {
    let image = qcow2(source, from);
    let own = image.inspect(place.interrupted)?;
    (place.report)(Event::Command(from_qcow2(from, to).to_string()));
    image.convert(own, &Target { file: target, holes: !is_device }, place.interrupted)?;
    if !is_device {
        // Zeros at the end are not written.
        target.set_len(own.get().next_multiple_of(512)).map_err(fail("write", to))?;
    }
    lengthen(to, target, size)
}

fn write(mut source: &File, from: &str, to: &str, target: &File, size: Option<Size>, place: &mut Place<'_>) -> Result<()> {
    let total = source.metadata().map_err(fail("inspect", from))?.len();
    let mut at = 0;
    let length = files::sparse(&mut source, target, to, &mut |n| {
        at += n;
        (place.report)(Event::Progress(at, total));
        fault::flowing();
        !place.interrupted.load(Ordering::SeqCst)
    })?;
    if length != total {
        return Err(Problem::failed(format!("`{}` changed while it was read", printable(from, 300)))
            .on(from)
            .because(format!("{length} of {total} bytes arrived")));
    }
    lengthen(to, target, size)
}

/// Extends a disk file to its size, and syncs it to disk.
fn lengthen(to: &str, target: &File, size: Option<Size>) -> Result<()> {
    if let (false, Some(size)) = (to.starts_with("/dev/"), size) {
        let is = target.metadata().map_err(fail("inspect", to))?.len();
        if is > size.get() {
            return Err(Problem::failed(format!("the content has {is} bytes, more than the disk's {}", size.get()))
                .on(to)
                .hint("did the file grow meanwhile?"));
        }
        target.set_len(size.get()).map_err(fail("write", to))?;
    }
    target.sync_all().map_err(fail("write", to))
}

/// Waits for the device of a new volume: some hosts create it only a moment later.
pub(super) fn appears(path: &str, interrupted: &AtomicBool) -> Result<()> {
    let deadline = Instant::now() + APPEARS;
    while !kernel::is_there(path) {
        if interrupted.load(Ordering::SeqCst) {
            return Err(Problem::interrupted().on(path));
        }
        if Instant::now() > deadline {
            return Err(Problem::failed(format!("the volume's device `{path}` does not appear"))
                .on(path)
                .hint("is udev (Linux) or devfs (FreeBSD) at work?"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The space that a disk file uses on the pool, if that can be read.
pub fn taken(path: &FilePath) -> Option<u64> {
    files::seen(path).map(|entry| entry.taken)
}

/// The `used` and `referenced` properties of the datasets that exist, by name.
///
/// # Errors
/// ZFS cannot be queried, or its output cannot be parsed.
pub fn space(names: &[String]) -> Result<std::collections::BTreeMap<String, (u64, u64)>> {
    if names.is_empty() {
        return Ok(std::collections::BTreeMap::new());
    }
    // For missing names `zfs` exits with 1 after printing the others.
    let output = run::run(&args::read_space(names))?;
    let rows = chyves_core::zfs::rows::parse(&output.stdout, false)?;
    Ok(rows.into_iter().filter_map(|r| Some((r.name.clone(), (r.number("used")?, r.number("referenced")?)))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Runtime;
    use chyves_core::os::Os;
    use std::fs;
    use std::path::Path;

    fn with<T>(work: impl FnOnce(&Path, &mut Place<'_>) -> T) -> T {
        let dir = tempfile::tempdir().unwrap();
        let (interrupted, runtime) = (AtomicBool::new(false), Runtime::at(dir.path()));
        let mut place = Place {
            os: Os::Linux,
            runtime: &runtime,
            command: "",
            locks: &[],
            interrupted: &interrupted,
            report: &mut |_| {},
            lent: crate::apply::Lent::default(),
        };
        work(dir.path(), &mut place)
    }

    fn below(dir: &Path, name: &str) -> FilePath {
        FilePath::below(dir.to_str().unwrap(), name)
    }

    #[test]
    fn a_copy_is_whole_sparse_private_and_as_large_as_wanted() {
        use std::os::unix::fs::MetadataExt;
        with(|dir, place| {
            let (from, to) = (below(dir, "from"), below(dir, "to"));
            let mut content = vec![0u8; 3 << 20];
            content[2 << 20] = 7;
            fs::write(from.to_string(), &content).unwrap();
            copy(&from, DiskFormat::Raw, &to, Some(Size::mib(4)), place).unwrap();
            content.resize(4 << 20, 0);
            assert_eq!(fs::read(to.to_string()).unwrap(), content);
            let meta = fs::metadata(to.to_string()).unwrap();
            assert!(meta.blocks() * 512 < 1 << 20 && meta.mode() & 0o777 == 0o600);
        });
    }

    #[test]
    fn what_is_there_is_never_overwritten_and_a_copy_that_fails_leaves_nothing() {
        with(|dir, place| {
            let (from, to) = (below(dir, "from"), below(dir, "to"));
            fs::write(from.to_string(), vec![1; 4096]).unwrap();
            fs::write(to.to_string(), "precious").unwrap();
            assert!(copy(&from, DiskFormat::Raw, &to, None, place).is_err());
            assert_eq!(fs::read(to.to_string()).unwrap(), b"precious");
            fs::remove_file(to.to_string()).unwrap();
            assert!(copy(&from, DiskFormat::Raw, &to, Some(Size::bytes(512)), place).is_err());
            assert!(!Path::new(&to.to_string()).exists());
        });
    }

    #[test]
    fn what_is_no_disk_is_refused_by_name() {
        with(|dir, _| {
            let file = |name: &str, bytes: &[u8]| {
                let path = dir.join(name).display().to_string();
                fs::write(&path, bytes).unwrap();
                path
            };
            assert_eq!(look(&file("raw", &[1; 1000])).unwrap().size, Size::bytes(1000));
            let mut firmware = vec![0u8; 64];
            firmware[40..44].copy_from_slice(b"_FVH");
            assert_eq!(look(&file("fd", &firmware)).unwrap_err().code, Kind::Usage);
            assert_eq!(look(&dir.join("none").display().to_string()).unwrap_err().code, Kind::NotFound);
            assert_eq!(look_at_source(&file("odd", &[1; 1000])).unwrap_err().code, Kind::Usage);
            assert_eq!(look_at_source(&file("a.qcow2", &[&b"QFI\xfb"[..], &[0; 508]].concat())).unwrap_err().code, Kind::Usage);
            assert_eq!(look_at_source(&file("good", &[1; 1024])).unwrap().size, Size::bytes(1024));
        });
    }
}
