//! What the tests of hostile files share: a file of the host that nobody may reach, the attacks, and the commands that are
//! attacked.
//!
//! * [`attack`]: what is put in the place of a file, and what must become of a command then
//! * [`canary`]: a file of the host and a file of the guest that must stay as they are
//! * [`storm`]: every attack on every file under every command of its row
//! * [`rows`]: the rows; a new file, or a new command, is covered by one more
//! * [`verbs`]: that no verb of chyves is missing there

#![allow(dead_code, unreachable_pub)] // no test file needs all of it

pub mod attack;
pub mod canary;
pub mod rows;
pub mod storm;
pub mod verbs;

use crate::common::{Answer, Host, PROGRAM};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

/// What a command may use of the processor, seconds. It bounds what is read of a file without end whatever the machine's speed: no
/// command here needs a tenth of it.
const CPU_LIMIT: u32 = 20;

/// Runs chyves with the words of a line, within [`CPU_LIMIT`]. `stdout` and `stdin` name files of the working folder.
pub fn run(host: &Host, line: &str, stdin: Option<&str>, stdout: Option<&str>) -> Answer {
    let script = format!("ulimit -t {CPU_LIMIT}; exec \"$0\" \"$@\"");
    let mut command = host.command("sh");
    command.args(["-c", &script, PROGRAM]).args(line.split(' '));
    command.stdin(stdin.map_or_else(Stdio::null, |file| File::open(host.work().join(file)).unwrap().into()));
    command.stdout(stdout.map_or_else(Stdio::piped, |file| File::create(host.work().join(file)).unwrap().into()));
    let output = command.stderr(Stdio::piped()).spawn().and_then(std::process::Child::wait_with_output).unwrap();
    Answer {
        line: line.to_owned(),
        code: output.status.code().unwrap_or(128),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Whether nobody holds a lock.
pub fn is_free(host: &Host, lock: &str) -> bool {
    // The file of a lock that nobody holds is removed.
    File::open(host.run_dir().join("locks").join(lock)).map_or(true, |file| file.try_lock().is_ok())
}

/// Mounts a file system again where a command has unmounted it, as that of an image that nobody uses. `root` is its folder.
pub fn remount(host: &Host, dataset: &str, root: &Path) {
    let device = |path: &Path| std::fs::metadata(path).unwrap().dev();
    if device(root) == device(root.parent().unwrap()) {
        host.sh("zfs", &["mount", dataset]);
    }
}
