//! jail(8), jexec(8) and jls(8): jails that a jail.conf describes. `-f FILE -c NAME`, `-f FILE -r NAME`, `jexec NAME COMMAND …`,
//! `jls -j NAME`. A single file is mounted for real, so that what a jail shows is what was there when it was made; folders are
//! found by their paths.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::exit::{Done, Or, broken, exit};
use crate::getopt::{Met, walk};
use crate::jail::{self, Jail, Mount};
use crate::place::Place;
use crate::release::since;

/// Folders of FreeBSD's own that a Linux machine need not have.
const SYSTEM: &[&str] = &["/boot", "/lib", "/libexec", "/usr/lib", "/usr/local/lib", "/usr/local/sbin", "/usr/sbin", "/usr/share/bhyve"];

pub(crate) fn run(place: &Place, args: &[String]) -> Done {
    let (options, rest) = walk("crqvf:", &[], args);
    let (mut create, mut remove, mut file) = (false, false, None);
    for option in options {
        match option {
            Met::Short('c', _) => create = true,
            Met::Short('r', _) => remove = true,
            Met::Short('f', path) => file = Some(path),
            Met::Short(..) | Met::Long(..) => {}
            Met::Unknown(_) => return usage(),
        }
    }
    let [name] = rest else { return usage() };
    if place.host.jailed {
        return exit(1, format!("jail: {name}: jail_set: Operation not permitted"));
    }
    // Whatever is done, a file that is named is read first; only without one /etc/jail.conf may be missing.
    let text = match file {
        Some(path) => match std::fs::read_to_string(path) {
            Ok(text) => Some((path, text)),
            Err(_) => return exit(1, format!("jail: {path}: No such file or directory")),
        },
        None => None,
    };
    match (create, remove) {
        (true, false) => {
            let Some((file, text)) = text else { return usage() };
            make(place, name, file, &text)
        }
        // What its file mounted is unmounted by its file alone.
        (false, true) => end(place, name, text.is_some_and(|(_, text)| text.contains(&format!("{name} {{")))),
        _ => usage(),
    }
}

/// Makes the jail that a file describes.
fn make(place: &Place, name: &str, file: &str, text: &str) -> Done {
    let fail = |what: &str| exit(1, format!("jail: {name}: {what}"));
    if jail::find(place, name)?.is_some() {
        return fail(&format!("jail \"{name}\" already exists"));
    }
    let Some(body) = text.split_once(&format!("{name} {{")).and_then(|(_, rest)| rest.split_once('}')).map(|(body, _)| body) else {
        return exit(1, format!("jail: \"{name}\" not found in {file}"));
    };
    let (mut root, mut fstab, mut ruleset, mut devfs, mut vmm, mut ppt, mut persist) = (None, None, None, false, false, false, false);
    for setting in body.split(';').map(str::trim).filter(|setting| !setting.is_empty()) {
        let (key, value) = setting.split_once('=').map_or((setting, ""), |(key, value)| (key.trim(), value.trim().trim_matches('"')));
        match key {
            "path" => root = Some(value.to_owned()),
            "mount.fstab" => fstab = Some(value.to_owned()),
            "mount.devfs" => devfs = true,
            "devfs_ruleset" => ruleset = value.parse::<u32>().ok().filter(|set| (1..=65_535).contains(set)),
            // The parameter is the module's.
            "allow.vmm" if place.has_module("vmm")? => vmm = true,
            "allow.vmm_ppt" if place.has_module("vmm")? && place.host.release >= since(15, 1) => ppt = true,
            "persist" => persist = true,
            "host" | "ip4" | "ip6" | "enforce_statfs" | "children.max" => {}
            other => return fail(&format!("unknown parameter: {other}")),
        }
    }
    let Some(root) = root.filter(|root| Path::new(root).is_dir()) else { return fail("jail path: No such file or directory") };
    if !persist {
        return fail("a jail without a process needs persist");
    }
    let mut mounts = Vec::new();
    if let Some(fstab) = fstab {
        let Ok(lines) = std::fs::read_to_string(&fstab) else { return fail(&format!("{fstab}: No such file or directory")) };
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            match mount(place, name, line) {
                Ok(mounted) => mounts.push(mounted),
                // A creation that fails undoes what it did.
                Err(error) => {
                    jail::unmount(&mounts);
                    return Err(error);
                }
            }
        }
    }
    if devfs && !Path::new(&root).join("dev").is_dir() {
        return fail("mount: dev: No such file or directory");
    }
    let ruleset = if devfs { Some(ruleset.unwrap_or(4)) } else { None };
    let rules = ruleset.map(|set| jail::rules(place, set)).transpose()?.unwrap_or_default();
    jail::keep(place, &Jail { name: name.to_owned(), root, vmm, ppt, ruleset, mounts, rules })
}

/// One line of an fstab(5): source, target, nullfs, options. Single files since 14.0.
fn mount(place: &Place, name: &str, line: &str) -> Done<Mount> {
    let plain = |text: &str| text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\");
    let words: Vec<&str> = line.split_whitespace().collect();
    let [source, target, "nullfs", options, ..] = words[..] else { return exit(1, format!("jail: {name}: mount: {line}: not known here")) };
    let (source, target) = (plain(source), plain(target));
    let outside = place.outside(&source);
    let folder = SYSTEM.contains(&source.as_str()) || outside.is_dir();
    if !folder && !outside.exists() {
        return exit(1, format!("mount_nullfs: {source}: No such file or directory"));
    }
    if !folder && place.host.release < since(14, 0) {
        return exit(1, format!("mount_nullfs: {source}: Not a directory"));
    }
    let point = Path::new(&target);
    if !point.exists() || point.is_dir() != folder {
        return exit(1, format!("mount_nullfs: {target}: No such file or directory"));
    }
    let readonly = options.split(',').any(|option| option == "ro");
    let file = !folder && outside.is_file();
    if file && let Err(error) = rustix::mount::mount_bind(&outside, &target) {
        return exit(1, format!("mount_nullfs: {target}: {error}"));
    }
    Ok(Mount { source, target, readonly, file })
}

/// Removes a jail and ends what runs in it.
fn end(place: &Place, name: &str, described: bool) -> Done {
    let Some(jail) = jail::find(place, name)? else { return exit(1, format!("jail: \"{name}\" not found")) };
    let mark = format!("{}={name}", jail::VARIABLE);
    let lab = format!("CHYVES_LAB={}", place.dir.display());
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let has = |wanted: &str| environment.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes());
        if has(&mark)
            && has(&lab)
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    if described {
        // What was killed lets go of its files a moment later.
        for _ in 0..100 {
            if jail::unmount(&jail.mounts) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
    std::fs::remove_file(place.path(&format!("jails/{name}"))).or_broken("a jail")
}

/// jexec(8): the same process goes on in the jail.
pub(crate) fn jexec(place: &Place, args: &[String]) -> Done {
    let (options, rest) = walk("lu:U:d:", &[], args);
    if options.iter().any(|option| matches!(option, Met::Unknown(_))) {
        return exit(1, "usage: jexec [-l] [-d working-directory] [-u username | -U username] jail [command ...]");
    }
    let [name, program, arguments @ ..] = rest else { return exit(1, "jexec: a shell is not run in the lab") };
    if jail::find(place, name)?.is_none() {
        return exit(1, format!("jexec: jail \"{name}\" not found"));
    }
    let file = place.path("bin").join(program);
    if !file.exists() {
        return exit(1, format!("jexec: execvp: {program}: No such file or directory"));
    }
    let error = Command::new(&file).args(arguments).env(jail::VARIABLE, name).exec();
    Err(broken(format_args!("{}: {error}", file.display())))
}

/// jls(8): the names of all jails, or of one.
pub(crate) fn jls(place: &Place, args: &[String]) -> Done {
    let (options, _) = walk("j:qnNshv", &[], args);
    for option in options {
        if let Met::Short('j', name) = option {
            return match jail::find(place, name)? {
                Some(jail) => {
                    println!("{}", jail.name);
                    Ok(())
                }
                None => exit(1, format!("jls: jail \"{name}\" not found")),
            };
        }
    }
    for entry in std::fs::read_dir(place.path("jails")).into_iter().flatten().flatten() {
        println!("{}", entry.file_name().to_string_lossy());
    }
    Ok(())
}

fn usage() -> Done {
    exit(1, "usage: jail [-dhilqv] [-f file] -[cmr] jail")
}
