//! Running a guest: one small process per guest, with one thread and one `poll`.
//!
//! * `order`: what a supervisor is ordered to do, and its reports to the process that starts it
//! * `spawn`: the caller's side: starts a detached supervisor and reads its reports
//! * `stop`: the caller's side of stopping a guest
//! * `startup`: how a supervisor starts a VM or takes one over
//! * `engine`: the main loop: waits for events, passes them to `core::lifecycle`, executes its actions (`actions`, `ends`,
//!   `requests`)
//! * `clients`: connections to the supervisor's socket
//! * `machine`, `job`: the hypervisor process; commands that run to their end
//! * `opened`: verifies that bhyve has opened the files that were checked
//! * `pause`: a VM that is paused because a disk cannot be written
//! * `qmp`, `serial`: QEMU's monitor; the guest's serial port
//! * `log`, `log_backlog`, `ring`: bounded logs; the last bytes of a stream; `messages`: the hypervisor's output
//! * `signals`: signals as a descriptor to poll; `memory`: releases memory that only the startup needed
//!
//! What follows an end is decided in `core::lifecycle`; what is run is decided by the planner and arrives as a `Launch`.
//! Nothing here reads a property.

mod actions;
mod clients;
mod ends;
mod engine;
mod job;
mod log;
mod log_backlog;
mod machine;
mod memory;
mod messages;
mod opened;
mod order;
mod pause;
mod qmp;
mod requests;
mod ring;
mod serial;
mod signals;
mod spawn;
mod startup;
mod stop;

pub use crate::spawner::Spawner;
pub use order::{Outcome, Progress};
pub use spawn::{Started, spawn, take_over};
pub use stop::{How, StopProgress, Stopped, stop};

use crate::runtime::Runtime;
use chyves_core::error::{Problem, Result};
use chyves_core::launch::Launch;
use chyves_core::value::json;
use order::{LIMIT, Order, Word};
use std::io::{Read, Write};

/// The hidden command `_supervise`: leaves the caller's session, reads its order from standard input, reports on standard
/// output until the VM runs or has failed, and then lives as long as its guest. Returns the exit status.
///
/// Called before the command line is parsed, to keep a supervisor small.
pub fn main_detached() -> u8 {
    crate::inherited::reset();
    // Fails only for a process group leader, which then has no terminal of the caller to lose.
    let _ = rustix::process::setsid();
    let mut told = false;
    let result = detached(&mut told);
    match result {
        Ok(_) => 0,
        Err(problem) => {
            if !told {
                say(&Word::Failed(problem.clone()));
            }
            problem.code.exit_code()
        }
    }
}

fn detached(told: &mut bool) -> Result<Outcome> {
    let mut spawner = Spawner::this_program()?;
    // Arguments before our own hidden command precede the next hidden command too.
    spawner.args = std::env::args().skip(1).take_while(|arg| arg != spawn::WORD).collect();
    // A supervisor must not keep the folder busy in which it was started.
    let _ = rustix::process::chdir("/");
    let mut text = String::new();
    std::io::stdin().take(LIMIT).read_to_string(&mut text).map_err(|e| Problem::bug("a supervisor cannot read its order").because(e))?;
    let order: Order = json::from_str(&text).map_err(|e| Problem::bug("a supervisor cannot read its order").because(e))?;
    drop(text);
    let mut report = |word: Word| {
        let last = matches!(word, Word::Running { .. } | Word::Failed(_));
        *told |= last;
        if last {
            // Before the report, so that its receiver sees the final memory use.
            memory::forget_the_start();
        }
        say(&word);
        if last {
            hang_up();
        }
    };
    engine::run(&Runtime::from_env(), order, spawner, false, &mut report)
}

/// Writes a report; a caller that has gone away is ignored.
fn say(word: &Word) {
    if let Ok(mut line) = serde_json::to_vec(word) {
        line.push(b'\n');
        let mut out = std::io::stdout().lock();
        drop(out.write_all(&line).and_then(|()| out.flush()));
    }
}

/// Closes the streams to the caller, which has its answer.
fn hang_up() {
    if let Ok(null) = crate::hostfs::kernel::null() {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}

/// Runs the supervisor in the calling process, for daemon(8), systemd and the like: returns when the guest is off permanently.
/// SIGTERM, SIGINT and SIGHUP request a power-off, within the guest's `stop_timeout`.
///
/// # Errors
/// The guest did not start.
pub fn run_foreground(rt: &Runtime, launch: Launch, spawner: Spawner, on: &mut dyn FnMut(Progress)) -> Result<Outcome> {
    let mut report = |word: Word| match word {
        Word::Run(text) => on(Progress::Run(text)),
        Word::Running { .. } => on(Progress::Running),
        Word::Failed(_) => {}
    };
    engine::run(rt, Order::Start(Box::new(launch)), spawner, true, &mut report)
}
