//! `chyves-lab` itself: makes labs, enters them, ends them. Not its job: FreeBSD's tools; see `tool`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bhyve::write_rom;
use crate::daemon;
use crate::exit::{Done, Or, exit};
use crate::harness::{self, Lab};
use crate::place::Place;

const HELP: &str = "\
usage: chyves-lab run [key=value ...] -- COMMAND ...   a lab for one command; its exit status is the command's
       chyves-lab up DIR [key=value ...]               a lab that stays, in DIR
       chyves-lab exec DIR COMMAND ...                 a command inside
       chyves-lab set DIR key=value ...                other settings, from the next command on
       chyves-lab down DIR                             ends all that runs in it, and removes it
       chyves-lab install DIR                          the stand-ins, as links, without a lab
       chyves-lab firmware DIR                         a boot ROM that boots by SeaBIOS, and its variables

settings: release=14.3 cpu=intel|amd|arm64|none ncpu=8 physmem=16G maxcpu=N patch=N ug=on|off iommu=on|off amdvi=on|off
          netmap=on|off jailed=on|off securelevel=N acpi=guest|on|off nics=em0,em1";

pub(crate) fn run(args: &[String]) -> Done {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run", rest @ ..] => one_command(rest),
        ["up", dir, settings @ ..] => up(Path::new(dir), settings),
        ["exec", dir, command, rest @ ..] => {
            let dir = absolute(dir)?;
            status(Lab::command_in(&dir, command).map_err(crate::exit::broken)?.args(rest))
        }
        ["set", dir, settings @ ..] => {
            let mut place = Place::open(Path::new(dir))?;
            settings.iter().try_for_each(|setting| place.host.set(setting))?;
            place.host.check()?;
            place.write("host", &place.host.text())
        }
        ["down", dir] => down(&absolute(dir)?),
        ["install", dir] => harness::install(&own_program()?, Path::new(dir)).or_broken(dir),
        ["firmware", dir] => write_rom(Path::new(dir)).map(|file| println!("{}", file.display())),
        ["daemon", dir, rest @ ..] => daemon::serve(Path::new(dir), rest.contains(&"temporary"), rest.contains(&"lifetime")),
        ["-h" | "--help" | "help"] => {
            println!("{HELP}");
            Ok(())
        }
        _ => exit(2, HELP),
    }
}

fn one_command(words: &[&str]) -> Done {
    let Some(at) = words.iter().position(|word| *word == "--") else { return exit(2, HELP) };
    let (settings, command) = (&words[..at], &words[at + 1..]);
    let [program, rest @ ..] = command else { return exit(2, HELP) };
    let lab = Lab::up(&own_program()?, settings).or_broken("a lab")?;
    let ended = status(lab.command(program).args(rest));
    drop(lab);
    ended
}

fn up(dir: &Path, settings: &[&str]) -> Done {
    if dir.join("host").exists() {
        return exit(1, format!("{}: a lab is there already", dir.display()));
    }
    std::fs::create_dir_all(dir).or_broken(dir.display())?;
    let dir = absolute(&dir.to_string_lossy())?;
    harness::furnish(&own_program()?, &dir, settings)?;
    harness::spawn(&own_program()?, &dir, false).or_broken("the lab's process")?;
    println!("{}", dir.display());
    Ok(())
}

fn down(dir: &Path) -> Done {
    let place = Place::open(dir)?;
    if let Ok(pid) = place.read("run/daemon")?.trim().parse::<i32>()
        && let Some(pid) = rustix::process::Pid::from_raw(pid)
        && rustix::process::kill_process(pid, rustix::process::Signal::TERM).is_ok()
    {
        // It is not our child: its file system going away is what shows its end.
        while rustix::process::test_kill_process(pid).is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
    std::fs::remove_dir_all(dir).or_broken(dir.display())
}

/// Runs a command and ends as it ended; a signal is 128 and its number, as a shell says it.
fn status(command: &mut Command) -> Done {
    use std::os::unix::process::ExitStatusExt as _;
    let ended = command.status().or_broken(command.get_program().display())?;
    let code = ended.code().or_else(|| ended.signal().map(|signal| 128 + signal)).unwrap_or(1);
    if code == 0 { Ok(()) } else { exit(u8::try_from(code).unwrap_or(1), "") }
}

fn own_program() -> Done<PathBuf> {
    std::env::current_exe().or_broken("this program")
}

fn absolute(dir: &str) -> Done<PathBuf> {
    std::fs::canonicalize(dir).or_broken(dir)
}
