//! A minimal program around this crate, for its own tests: the hidden commands of a supervisor, and the console, without the
//! command line of chyves. It is built with the crate's tests and is never installed.

#![allow(clippy::disallowed_methods)] // a program for tests

#[cfg(target_os = "linux")]
#[path = "../../tests/probe/mod.rs"]
mod probe;

use chyves_core::value::json;
use chyves_core::value::{Dataset, GuestName};
use chyves_host::console;
use chyves_host::control::Target;
use chyves_host::runtime::Runtime;
use chyves_host::supervise::{self, Outcome, Progress, Spawner};
use std::io::Read;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        // The first argument is the file with the answer of `_launch-spec`.
        [.., "_confine"] => ExitCode::from(chyves_host::confine::main()),
        [_, "_supervise"] => ExitCode::from(supervise::main_detached()),
        [spec, "_launch-spec", "--dataset", dataset, ..] => launch_spec(spec, dataset),
        #[cfg(target_os = "linux")]
        ["probe", ref targets @ ..] => {
            probe::report(targets);
            ExitCode::SUCCESS
        }
        #[cfg(target_os = "linux")]
        ["let-go", program, ref args @ ..] => fail(probe::let_go(program, args)),
        // Takes the place of the QEMU that tests whether KVM works.
        #[cfg(target_os = "linux")]
        ["-nodefaults", ..] => probe::is_confined().map_or_else(fail, |()| ExitCode::from(85)),
        ["foreground"] => foreground(),
        ["console", uuid, name, dataset] => sit(uuid, name, dataset, false),
        ["watch", uuid, name, dataset] => sit(uuid, name, dataset, true),
        _ => fail("what?"),
    }
}

fn fail(why: impl std::fmt::Display) -> ExitCode {
    eprintln!("{why}");
    ExitCode::FAILURE
}

fn launch_spec(path: &str, dataset: &str) -> ExitCode {
    match std::fs::read_to_string(path) {
        Ok(text) if text.contains(dataset) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Ok(_) => fail(format!("another dataset than {dataset} was wanted")),
        Err(e) => fail(format!("there is no such guest any more: {e}")),
    }
}

fn foreground() -> ExitCode {
    let mut text = String::new();
    let read = std::io::stdin().read_to_string(&mut text);
    let (Ok(_), Ok(launch), Ok(spawner)) = (read, json::from_str(&text), Spawner::this_program()) else {
        return fail("no launch");
    };
    let mut on = |progress: Progress| match progress {
        Progress::Run(text) => println!("+ {text}"),
        Progress::Running => println!("running"),
    };
    match supervise::run_foreground(&Runtime::from_env(), launch, spawner, &mut on) {
        Ok(Outcome::Off(how)) => {
            println!("off: {how}");
            ExitCode::SUCCESS
        }
        Ok(other) => fail(format!("{other:?}")),
        Err(problem) => fail(problem),
    }
}

fn sit(uuid: &str, name: &str, dataset: &str, read_only: bool) -> ExitCode {
    let (Ok(uuid), Ok(name), Ok(dataset)) = (uuid.parse(), name.parse::<GuestName>(), dataset.parse::<Dataset>()) else {
        return fail("which guest?");
    };
    match console::attach(
        &Runtime::from_env(),
        Target { uuid, name: &name, dataset: &dataset },
        console::Options { read_only, no_replay: false },
    ) {
        Ok(left) => {
            eprintln!("left: {left:?}");
            ExitCode::SUCCESS
        }
        Err(problem) => fail(problem),
    }
}
