//! Keeping one test's host apart: a mount and a process namespace, and where ZFS is zfs-fuse, a daemon of its own in
//! them. The kernel ends every process of it with the test, even when the test is killed.
//!
//! chyves finds its pools by their mark, so two tests on one ZFS would see each other's. A ZFS in the kernel can't be had
//! twice: there the tests go one after the other, on a host without pools of chyves.

use super::patience;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Instant;

/// The first process: hides the machine's ZFS, starts another, says so, and waits until the test is gone. Being first it
/// also inherits, and lets go of, every process whose parent has ended.
const FIRST: &str = r#"
mount -t proc proc /proc || exit 1
if [ "$1" = own ]; then
    for folder in /var/lib/zfs /var/run/zfs /var/lock/zfs; do
        mkdir -p "$folder" && mount -t tmpfs tmpfs "$folder" || exit 1
    done
    zfs-fuse --no-daemon --no-kstat-mount -m 256 --pidfile /var/run/zfs/pid </dev/null >&2 &
    tries=0
    until zfs list >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -lt 600 ] || exit 1
        sleep 0.05
    done
fi
if [ "$2" = net ]; then
    # Names of more namespaces: a second host's.
    mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns || exit 1
    ip link set lo up || exit 1
fi
echo ready
cat >/dev/null
"#;

/// The namespaces of one host.
pub(super) struct Cell {
    first: Child,
    /// Closed, it ends everything.
    life: Option<ChildStdin>,
    /// Held where the machine's only ZFS is used.
    turn: Option<File>,
    pool: String,
    /// Whether it has interfaces of its own.
    networks: bool,
    /// The folder that the files of this host's pools lie in.
    dir: PathBuf,
    /// What its first process and its ZFS said.
    log: PathBuf,
}

impl Cell {
    /// Whether it has interfaces of its own.
    pub(super) fn has_networks(&self) -> bool {
        self.networks
    }

    /// Makes them; `networks`: with interfaces of their own, of which there is only the loopback. The reason why not, where
    /// the machine does not let us.
    pub(super) fn open(dir: &Path, networks: bool) -> Result<Self, String> {
        let own = find("zfs-fuse").is_some() && !Path::new("/dev/zfs").exists();
        let turn = if own { None } else { Some(take_turn()?) };
        let log = dir.join("cell.log");
        let mut first = Command::new("unshare")
            .args(if networks { &["--net"][..] } else { &[] })
            .args(["--mount", "--pid", "--fork", "--propagation", "private", "sh", "-c", FIRST, "sh"])
            .arg(if own { "own" } else { "host" })
            .arg(if networks { "net" } else { "shared" })
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .map_err(|e| format!("unshare: {e}"))?;
        let life = first.stdin.take();
        let mut said = [0; 6];
        let heard = first.stdout.take().unwrap().read_exact(&mut said);
        let pool = if own { "tank".to_owned() } else { format!("it{}", std::process::id()) };
        let cell = Self { first, life, turn, pool, networks, dir: dir.to_owned(), log: log.clone() };
        match heard {
            Ok(()) if &said == b"ready\n" => Ok(cell),
            _ => {
                drop(cell);
                let log = std::fs::read_to_string(log).unwrap_or_default();
                Err(format!("no namespaces with a ZFS of their own can be made here: {}", log.trim().replace('\n', "; ")))
            }
        }
    }

    pub(super) fn pool_name(&self) -> String {
        self.pool.clone()
    }

    /// The host's root folder as this test can open it.
    pub(super) fn root(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.first.id()))
    }

    /// The beginning of a command line of the host: the program follows.
    pub(super) fn command(&self, work: &Path) -> Command {
        let namespace = |kind: &str| format!("/proc/{}/ns/{kind}", self.first.id());
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount={}", namespace("mnt"))).arg(format!("--pid={}", namespace("pid_for_children")));
        if self.networks {
            command.arg(format!("--net={}", namespace("net")));
        }
        command.args(["--", "env", "-C"]).arg(work);
        command
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A ZFS that ended itself says why in its last line.
            let said = std::fs::read_to_string(&self.log).unwrap_or_default();
            let said: Vec<&str> = said.lines().filter(|line| !line.starts_with("detected: ")).collect();
            eprintln!("the host's first process and its ZFS said: {}", said.join("; "));
        }
        drop(self.life.take());
        let deadline = Instant::now() + patience();
        while matches!(self.first.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                // Its processes are beyond our reach; its parent at least need not stay.
                let _ = self.first.kill();
            }
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
        if self.turn.is_some() {
            // The kernel's ZFS outlives the namespaces.
            for pool in pools_in(&self.dir) {
                let _ = Command::new("zpool").args(["destroy", "-f", &pool]).output();
            }
        }
    }
}

/// The pools whose files lie in a folder, and no others.
fn pools_in(dir: &Path) -> Vec<String> {
    let list = |args: &[&str]| {
        let output = Command::new("zpool").arg("list").args(args).output();
        output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
    };
    let within = |pool: &&str| list(&["-H", "-P", "-v", pool]).split_whitespace().any(|word| Path::new(word).starts_with(dir));
    list(&["-H", "-o", "name"]).lines().filter(within).map(str::to_owned).collect()
}

/// Where a program is.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    path.split(':').map(|folder| Path::new(folder).join(program)).find(|p| p.is_file())
}

/// Waits for this test's turn on the machine's only ZFS.
fn take_turn() -> Result<File, String> {
    let zfs = find("zfs").ok_or("there is no `zfs`")?;
    let turn = File::open(zfs).and_then(|file| file.lock().map(|()| file)).map_err(|e| format!("no turn on this host's ZFS: {e}"))?;
    let roots =
        Command::new("zfs").args(["get", "-H", "-s", "local", "-o", "name", "chyves:layout"]).output().map_err(|e| format!("zfs: {e}"))?;
    if roots.status.success() && roots.stdout.is_empty() {
        Ok(turn)
    } else {
        Err(format!("this host's only ZFS does not answer or carries chyves already: {}", String::from_utf8_lossy(&roots.stdout).trim()))
    }
}
