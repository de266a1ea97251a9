//! What stands still: a test that takes far too long tells, before it is ended, what its host's processes wait for.

use super::patience;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};

/// Ended with the host.
pub(super) struct Watch {
    _life: Sender<()>,
}

impl Watch {
    /// Begins; `root` is the host's root folder.
    pub(super) fn begin(test: &str, root: PathBuf) -> Self {
        let (life, ended) = channel();
        let test = test.to_owned();
        std::thread::spawn(move || {
            // A test is ended after three times that.
            if ended.recv_timeout(patience() * 5 / 2) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{test} takes long; its host's processes:\n{}", processes(&root.join("proc")));
            }
        });
        Self { _life: life }
    }
}

/// Each process with its command line, and each of its threads with its state and where it is in the kernel.
fn processes(proc: &Path) -> String {
    let read = |path: PathBuf| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).trim().replace(['\0', '\n'], " ");
    let numbered = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut numbers: Vec<u32> = entries.filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers
    };
    let mut text = String::new();
    for pid in numbered(proc) {
        let process = proc.join(pid.to_string());
        let _ = writeln!(text, "{pid} {}", read(process.join("cmdline")));
        for task in numbered(&process.join("task")) {
            let task = process.join("task").join(task.to_string());
            let stat = read(task.join("stat"));
            let state = stat.rsplit_once(") ").map_or("?", |(_, rest)| rest.get(..1).unwrap_or("?"));
            let _ = writeln!(text, "    {state} {} {}", read(task.join("wchan")), read(task.join("stack")));
        }
    }
    text
}
