//! A host that goes down in the middle of something: what a restart would leave of it is all that there is then.

use super::answer::words;
use super::{Host, PROGRAM};
use std::path::PathBuf;
use std::process::Stdio;

impl Host {
    /// Runs a command that is killed where that fault says.
    #[track_caller]
    pub fn killed(&self, line: &str, fault: &str) {
        let output = self.command(PROGRAM).args(words(line)).env("CHYVES_FAULT", fault).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), None, "{line}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Goes down and comes up again, with nothing running: nothing is mounted, the runtime folder is empty, and it is another
    /// boot, so that what was written down tells of an earlier one.
    pub fn goes_down(&self) {
        let here = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        for journal in self.journals() {
            let text = std::fs::read_to_string(&journal).unwrap();
            let earlier = text.replace(here.trim(), "00000000-0000-0000-0000-000000000000");
            assert_ne!(text, earlier, "{} does not say in which boot it was written", journal.display());
            std::fs::write(&journal, earlier).unwrap();
        }
        let listed = self.sh("zfs", &["list", "-H", "-o", "mounted,canmount,name", "-t", "filesystem"]);
        let mine = |words: &Vec<&str>| words[2].split('/').next().is_some_and(|pool| pool.starts_with(&self.pool));
        let mut all: Vec<Vec<&str>> = listed.lines().map(|l| l.split('\t').collect()).filter(mine).collect();
        all.sort_unstable_by_key(|words| words[2]);
        // What every host mounts when it comes up stays.
        for words in all.iter().rev().filter(|words| words[0] == "yes" && words[1] != "on") {
            self.sh("zfs", &["unmount", words[2]]);
        }
        if self.cell.has_networks() {
            let shown = self.sh("ip", &["-o", "link", "show"]);
            let name = |line: &str| Some(line.split(": ").nth(1)?.split('@').next()?.to_owned());
            // The other end of a pair may have gone with the one before.
            for link in shown.lines().filter_map(name).filter(|name| name != "lo") {
                drop(self.command("ip").args(["link", "delete", &link]).output().unwrap());
            }
        }
        self.sh("find", &[self.run_dir().to_str().unwrap(), "-mindepth", "1", "-delete"]);
    }

    /// What commands under way have written down, and those that were killed.
    pub fn journals(&self) -> Vec<PathBuf> {
        let of = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
        of(self.state_dir().join(".journal")).chain(of(self.run_dir().join("journal"))).collect()
    }

    /// What survives a host crash.
    pub fn state_dir(&self) -> PathBuf {
        self.work().join("state")
    }
}
