//! Running a guest: one small process a guest, one thread, one `poll`.
//!
//! * `order`: what a supervisor is told at birth, and what it answers
//! * `spawn`: the caller's side: a detached supervisor is started and listened to
//! * `engine`: the life: waits for whatever happens, tells `core::lifecycle`, does what it says (`birth`, `deeds`,
//!   `ends`, `requests`); `peers`: who is connected
//! * `machine`, `job`: the hypervisor's process; commands that run to their end
//! * `opened`: that bhyve has open what was checked
//! * `hold`: a machine that is paused because a disk can't be written
//! * `qmp`, `serial`: talking to the machine, reading its serial port
//! * `log`, `ring`: bounded logs; the last bytes of a stream; `messages`: what the hypervisor prints
//! * `signals`: signals as something to poll; `slim`: memory that only the start needed
//!
//! What follows an end is decided in `core::lifecycle`; what is run is decided by the planner and comes as a `Launch`.
//! Nothing here knows a property.

mod actions;
mod clients;
mod ends;
mod engine;
mod job;
mod log;
mod log_backlog;
mod machine;
mod memory;
pub(crate) mod messages;
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

pub use order::{Outcome, Progress};
pub(crate) use spawn::adopt;
pub use spawn::{Spawner, Started, spawn, take_over};

use crate::runtime::Runtime;
use chyves_core::error::{Problem, Result};
use chyves_core::launch::Launch;
use order::{LIMIT, Order, Word};
use std::io::{Read, Write};

/// The body of the hidden command `_supervise`: leaves the caller's session, reads its order on standard input, answers on
/// standard output until the machine runs or not, and then lives as long as its guest. Answers the exit status.
///
/// Call it before the command line is parsed: a supervisor is to stay small.
pub fn main_detached() -> u8 {
    crate::inherited::reset();
    // Fails only for one who leads its group already, who then has no terminal of the caller's to lose.
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
    // What stood before our own word stands before the next one's too.
    spawner.args = std::env::args().skip(1).take_while(|arg| arg != spawn::WORD).collect();
    // No folder of the host is to be kept busy by a supervisor that was started in it.
    let _ = rustix::process::chdir("/");
    let mut text = String::new();
    std::io::stdin().take(LIMIT).read_to_string(&mut text).map_err(|e| Problem::bug("a supervisor cannot read its order").because(e))?;
    let order: Order = serde_json::from_str(&text).map_err(|e| Problem::bug("a supervisor cannot read its order").because(e))?;
    drop(text);
    let mut report = |word: Word| {
        let last = matches!(word, Word::Running { .. } | Word::Failed(_));
        *told |= last;
        if last {
            // Before the answer: whoever looks then sees what it will be.
            memory::forget_the_start();
        }
        say(&word);
        if last {
            hang_up();
        }
    };
    engine::run(&Runtime::from_env(), order, spawner, false, &mut report)
}

/// A caller that has gone away does not matter.
fn say(word: &Word) {
    if let Ok(mut line) = serde_json::to_vec(word) {
        line.push(b'\n');
        let mut out = std::io::stdout().lock();
        drop(out.write_all(&line).and_then(|()| out.flush()));
    }
}

/// The caller has its answer: nothing of it is held open any longer.
fn hang_up() {
    if let Ok(null) = crate::hostfs::kernel::null() {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}

/// The same life in the calling process, for daemon(8), systemd and the like: returns when the guest is off for good.
/// SIGTERM, SIGINT and SIGHUP stop the guest in order, within its own `stop_timeout`.
///
/// # Errors
/// It did not come up.
pub fn run_foreground(rt: &Runtime, launch: Launch, spawner: Spawner, on: &mut dyn FnMut(Progress)) -> Result<Outcome> {
    let mut report = |word: Word| match word {
        Word::Run(text) => on(Progress::Run(text)),
        Word::Running { .. } => on(Progress::Running),
        Word::Failed(_) => {}
    };
    engine::run(rt, Order::Start(Box::new(launch)), spawner, true, &mut report)
}
