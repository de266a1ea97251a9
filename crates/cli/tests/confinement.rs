//! What a hypervisor is started with and what it can reach: a probe in its place reports what it sees.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic is the failure report

mod common;

use common::{Host, PROGRAM, With};

/// A cron job that holds a lock and a token starts a guest.
const CRON: &str =
    "exec 9>cron.lock; flock -n 9 || exit 1; API_TOKEN=t0ken-of-the-job; export API_TOKEN; umask 000; exec \"$0\" start web01";

#[test]
fn nothing_of_the_caller_is_passed_to_the_hypervisor() {
    let Some(host) = Host::new("confinement::clean", With::Tiny) else { return };
    host.ok("create web01 --image tiny --ram 32M loader=bios");
    host.sh("sh", &["-c", CRON, PROGRAM]);
    // The job has ended and its lock is free, though the guest runs.
    host.sh("flock", &["-n", "cron.lock", "true"]);
    let (machine, supervisor) = host.pids("web01");
    for pid in [machine, supervisor] {
        let open = host.sh("ls", &["-l", &format!("/proc/{pid}/fd")]);
        assert!(!open.contains("cron.lock"), "{open}");
        let environment = host.sh("cat", &[&format!("/proc/{pid}/environ")]);
        assert!(!environment.contains("t0ken") && !environment.contains("TERM="), "{environment}");
        let status = host.sh("cat", &[&format!("/proc/{pid}/status")]);
        assert!(status.contains("Umask:\t0077"), "{status}");
        assert_eq!(host.sh("readlink", &[&format!("/proc/{pid}/cwd")]), "/\n");
    }
    let environment = host.sh("cat", &[&format!("/proc/{machine}/environ")]);
    let names: Vec<&str> = environment.split('\0').filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    assert!(names.iter().all(|name| ["PATH", "LC_ALL"].contains(name)), "{names:?}");
    host.ok("stop web01");
    host.nothing_is_left();
}
