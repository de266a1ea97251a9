//! The runtime folder: the state that lasts until the host reboots. Locks, sockets and records of running VMs.
//!
//! Whether something runs is proved, never recorded: a supervisor holds `supervisor.lock`, and every process of a VM inherits
//! `machine.lock`, whose file also names the hypervisor with its start time, since the hypervisor is not trusted to keep the
//! lock for as long as it lives. The record beside them only adds details.
//!
//! * [`life`]: whether an untrusted process lives
//! * [`lock`]: locks that name their holder
//! * [`record`]: what a supervisor records about its VM
//! * [`search`]: the processes of a VM whose locks and record are lost
//! * [`observe`]: the current state of guests
//!
//! Not here: running a VM (`supervise`) and communicating with its supervisor (`control`).

pub(crate) mod life;
pub mod lock;
pub mod observe;
pub mod record;
mod search;

pub use crate::platform::{LASTING_VARIABLE, ROOT_VARIABLE};
pub use lock::Lock;
pub use observe::{GuestState, Observed};
pub use record::{Phase, Record};

use crate::hostfs::{named, own};
use crate::platform;
use crate::proc::{self, Proc};
use chyves_core::error::{Problem, Result};
use chyves_core::launch::SECRET_FILE;
use chyves_core::os::Os;
use search::{Found, Role};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use uuid::Uuid;

/// Maximum length in bytes of a UNIX socket's path, without its NUL: the smallest limit of all supported systems.
pub const SOCKET_PATH_LIMIT: usize = 103;

/// The lock that a supervisor holds.
const SUPERVISOR_LOCK: &str = "supervisor.lock";
/// The lock that a hypervisor holds.
const MACHINE_LOCK: &str = "machine.lock";

/// The default runtime folder of each system.
const fn root(os: Os) -> &'static str {
    match os {
        Os::Linux => "/run/chyves",
        Os::FreeBsd => "/var/run/chyves",
    }
}

/// The default state folder of each system, for what survives a host crash, including the mount points of pools.
const fn lasting(os: Os) -> &'static str {
    match os {
        Os::Linux => "/var/lib/chyves",
        Os::FreeBsd => "/var/db/chyves",
    }
}

/// The paths of the runtime folder and the state folder.
#[derive(Debug, Clone)]
pub struct Runtime {
    root: PathBuf,
    lasting: PathBuf,
    /// Set once the runtime folder was found to be safe.
    safe: OnceLock<()>,
    /// Set where guests without a folder are searched for among the processes of this host.
    thorough: Arc<OnceLock<()>>,
    /// The processes that were found without the folder, once they were searched for.
    found: Arc<OnceLock<Vec<Found>>>,
}

/// The runtime files of one guest.
#[derive(Debug, Clone)]
pub(crate) struct GuestDir {
    path: PathBuf,
    uuid: Uuid,
    root: PathBuf,
    thorough: bool,
    found: Arc<OnceLock<Vec<Found>>>,
}

/// Absolute, because supervisors change to `/`.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

impl Runtime {
    /// This host's runtime folder, or the one that `CHYVES_RUNDIR` names. The state folder is the one that `CHYVES_STATEDIR`
    /// names, else the overridden runtime folder, else the host's default. Creates nothing.
    pub fn from_env() -> Self {
        let chosen = |variable| std::env::var_os(variable).filter(|v| !v.is_empty()).map(PathBuf::from);
        let os = platform::here().os();
        let (run, state) = (chosen(ROOT_VARIABLE), chosen(LASTING_VARIABLE));
        let state = state.or_else(|| run.clone()).unwrap_or_else(|| PathBuf::from(lasting(os)));
        Self { lasting: absolute(state), ..Self::at(run.unwrap_or_else(|| PathBuf::from(root(os)))) }
    }

    /// The runtime folder at a path, which is also the state folder. Creates nothing.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        let root = absolute(root.into());
        Self { lasting: root.clone(), root, safe: OnceLock::new(), thorough: Arc::default(), found: Arc::default() }
    }

    /// Path of the runtime folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Path of the state folder, which survives a host crash.
    pub fn lasting(&self) -> &Path {
        &self.lasting
    }

    /// The folder of one guest, whether or not it exists.
    pub fn guest_dir(&self, uuid: Uuid) -> PathBuf {
        self.guest(uuid).path
    }

    /// The file that holds the password of a guest's VNC display; none if chyves set none, for example because the display is a
    /// device that the user configured.
    pub fn screen_secret(&self, uuid: Uuid) -> Option<PathBuf> {
        Some(self.guest_dir(uuid).join(SECRET_FILE)).filter(|file| own::is_there(file))
    }

    /// The path of a socket in a guest's folder, such as `qmp` or `serial`.
    ///
    /// # Errors
    /// The path is too long for a socket.
    pub fn socket(&self, uuid: Uuid, name: &str) -> Result<String> {
        let path = self.guest_dir(uuid).join(name);
        check_socket(&path)?;
        path.to_str()
            .map(str::to_owned)
            .ok_or_else(|| Problem::usage(format!("the runtime folder `{}` is not UTF-8 text", self.root.display())).hint(root_hint()))
    }

    pub(crate) fn guest(&self, uuid: Uuid) -> GuestDir {
        let path = self.root.join(uuid.hyphenated().to_string());
        GuestDir { path, uuid, root: self.root.clone(), thorough: self.thorough.get().is_some(), found: Arc::clone(&self.found) }
    }

    /// Where a guest has no folder, its processes are searched for from now on, so that one that lives is seen, too. For commands that
    /// change guests: the search is done once, and takes longer than anything else of a command that only reads.
    pub fn be_thorough(&self) {
        let _ = self.thorough.set(());
    }

    /// The VMs of which living processes are found.
    fn found(&self) -> Result<Vec<Uuid>> {
        let lives = |found: &&Found| found.process.is_alive() == Ok(true);
        Ok(found(&self.found, &self.root)?.iter().filter(lives).map(|found| found.uuid).collect())
    }

    /// Why the folder cannot be written; none if it can. Creates the folder if it is missing.
    pub fn refusal(&self) -> Option<String> {
        let tried = self.create().map_err(|problem| problem.to_string());
        let writable = || own::can_write(&self.root).map_err(|e| e.to_string());
        tried.and_then(|()| writable()).err()
    }

    /// Refuses a runtime folder that others own or may write to. Every reader asks first, since what is in it is believed: records,
    /// locks, journals. A missing folder is safe.
    ///
    /// # Errors
    /// It is not safe to use.
    pub fn check(&self) -> Result<()> {
        if self.safe.get().is_none() && check_private(&self.root, ROOT_VARIABLE)? {
            // One that is found safe stays so: only its owner may replace it.
            let _ = self.safe.set(());
        }
        Ok(())
    }

    /// Creates the runtime folder, or checks that an existing one belongs to this user.
    pub(crate) fn create(&self) -> Result<()> {
        make_private(&self.root)
    }
}

fn root_hint() -> String {
    format!("name a shorter absolute path in {ROOT_VARIABLE}")
}

/// Refuses a path that is too long for a socket on any supported system.
pub(crate) fn check_socket(path: &Path) -> Result<()> {
    let length = path.as_os_str().len();
    if length <= SOCKET_PATH_LIMIT {
        return Ok(());
    }
    Err(Problem::host_cant(format!("the path of the socket `{}` is too long", path.display()))
        .on(path.display())
        .because(format!("it has {length} bytes, and a socket's path may have {SOCKET_PATH_LIMIT}"))
        .hint(root_hint()))
}

/// Creates a folder of mode 0700 that this user owns. An existing folder of another user is refused: its owner could place
/// sockets in it.
pub(crate) fn make_private(path: &Path) -> Result<()> {
    let failed = |e: std::io::Error| {
        let problem = if e.kind() == std::io::ErrorKind::PermissionDenied { Problem::host_cant } else { Problem::failed };
        problem(format!("cannot create the folder `{}`", path.display())).on(path.display()).because(e)
    };
    own::make_folder(path, 0o700).map_err(failed)?;
    check_private(path, ROOT_VARIABLE).map(drop)
}

/// Refuses a folder that others own or may write to: its contents are trusted and acted on. Whether the folder exists;
/// `variable` names the variable that overrides it.
pub(crate) fn check_private(path: &Path, variable: &str) -> Result<bool> {
    let meta = match own::stat(path) {
        Ok(meta) => meta,
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => return Ok(false),
        Err(e) => return Err(Problem::host_cant(format!("cannot inspect the folder `{}`", path.display())).on(path.display()).because(e)),
    };
    let me = rustix::process::geteuid().as_raw();
    if meta.is_dir() && meta.uid() == 0 && me != 0 {
        return Err(Problem::host_cant(format!("the folder `{}` is root's", path.display()))
            .on(path.display())
            .hint("you are not root: try again with sudo or doas"));
    }
    if !meta.is_dir() || meta.uid() != me || meta.mode() & 0o022 != 0 {
        let unsafe_now = Problem::host_cant(format!("the folder `{}` is not safe to use", path.display()))
            .on(path.display())
            .because("it is not a folder, belongs to another user, or others may write to it");
        // The folder itself can be elsewhere; those in it cannot.
        let elsewhere = format!("name another folder in {variable}");
        return Err(if meta.is_dir() && meta.uid() == me {
            unsafe_now
                .hint(format!("if nobody has put anything there: chmod go-w {0}; `ls -lA {0}` shows it; or {elsewhere}", path.display()))
        } else {
            unsafe_now.hint(format!("remove it: `ls -ld {}` shows what it is; or {elsewhere}", path.display()))
        });
    }
    if let Some(open) = open_above(path, me) {
        return Err(Problem::host_cant(format!("the folder `{}` is not safe to use", path.display()))
            .on(path.display())
            .because(format!("others may write to `{}`, and put another folder in its place", open.display()))
            .hint(format!("chmod go-w {}; or name another folder in {variable}", open.display())));
    }
    Ok(true)
}

/// Refuses a path that is another user's link, or one that others may replace: they would choose the folder.
pub(crate) fn check_link(path: &Path, variable: &str) -> Result<()> {
    let Some(meta) = own::stat(path).ok().filter(Metadata::is_symlink) else { return Ok(()) };
    let me = rustix::process::geteuid().as_raw();
    let refused = |why: String| {
        Problem::host_cant(format!("the folder `{}` is not safe to use", path.display()))
            .on(path.display())
            .because(why)
            .hint(format!("name the folder itself in {variable}: `ls -l {}` shows it", path.display()))
    };
    if ![0, me].contains(&meta.uid()) {
        return Err(refused(format!("it is a link of the user {}", meta.uid())));
    }
    let real = path.parent().and_then(|parent| named::real(parent).ok());
    match real.and_then(|parent| open_among(parent.ancestors(), me)) {
        Some(open) => Err(refused(format!("others may write to `{}`, and put another link in its place", open.display()))),
        None => Ok(()),
    }
}

/// A parent folder whose entries others may rename: it is not sticky, and writable by everybody, or, for root, by a group.
fn open_above(path: &Path, me: u32) -> Option<PathBuf> {
    open_among(named::real(path).ok()?.ancestors().skip(1), me)
}

fn open_among<'f>(mut folders: impl Iterator<Item = &'f Path>, me: u32) -> Option<PathBuf> {
    let open = |folder: &&Path| {
        named::stat(folder).is_ok_and(|meta| {
            let by_group = me == 0 && meta.gid() != 0 && meta.mode() & 0o020 != 0;
            (by_group || meta.mode() & 0o002 != 0) && meta.mode() & 0o1000 == 0
        })
    };
    folders.find(open).map(Path::to_path_buf)
}

/// The processes that are found without a runtime folder, which are searched for once.
fn found<'f>(found: &'f OnceLock<Vec<Found>>, root: &Path) -> Result<&'f [Found]> {
    match found.get() {
        Some(found) => Ok(found),
        None => search::search(root).map(|new| found.get_or_init(|| new).as_slice()),
    }
}

/// The process, if it lives.
fn living(process: Option<Proc>) -> Result<Option<Proc>> {
    Ok(match process {
        Some(process) if process.is_alive()? => Some(process),
        Some(_) | None => None,
    })
}

fn is_file(lock: &Path) -> bool {
    own::is_there(lock) && own::oddity(lock).is_none()
}

impl GuestDir {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn create(&self) -> Result<()> {
        make_private(&self.path)
    }

    pub(crate) fn supervisor_lock(&self) -> PathBuf {
        self.path.join(SUPERVISOR_LOCK)
    }

    pub(crate) fn machine_lock(&self) -> PathBuf {
        self.path.join(MACHINE_LOCK)
    }

    /// Whether the supervisor's lock is a file, so that it can be checked and taken.
    pub(crate) fn has_supervisor_lock(&self) -> bool {
        is_file(&self.supervisor_lock())
    }

    /// Whether its supervisor lives.
    pub(crate) fn is_supervised(&self) -> Result<bool> {
        let lock = self.supervisor_lock();
        if self.has_supervisor_lock() { lock::is_held(&lock) } else { self.supervisor_lives() }
    }

    /// Whether a process of the VM lives.
    pub(crate) fn machine_lives(&self) -> Result<bool> {
        let lock = self.machine_lock();
        if is_file(&lock) { life::lives(&lock) } else { Ok(self.machine_process()?.is_some()) }
    }

    /// The living hypervisor process, if its lock names it.
    pub(crate) fn machine_process(&self) -> Result<Option<Proc>> {
        let lock = self.machine_lock();
        if is_file(&lock) {
            return life::named(&lock);
        }
        match self.recorded()? {
            Some(record) => living(record.machine),
            None => self.search(Role::Machine),
        }
    }

    /// Whether the supervisor lives whose lock is missing, or is not a regular file.
    fn supervisor_lives(&self) -> Result<bool> {
        match self.recorded()? {
            Some(record) => Ok(living(Some(record.supervisor))?.is_some()),
            None => Ok(self.listens() || self.search(Role::Supervisor)?.is_some()),
        }
    }

    /// Whether a process accepts connections at the control socket, as only a supervisor does. The folder is private, so nobody else can
    /// have put a socket there.
    pub(crate) fn listens(&self) -> bool {
        own::is_socket(self.control()) && std::os::unix::net::UnixStream::connect(self.control()).is_ok()
    }

    /// Whether a living process of this VM is found, where that is searched for.
    fn is_found(&self) -> Result<bool> {
        Ok(self.thorough && (self.search(Role::Supervisor)?.is_some() || self.search(Role::Machine)?.is_some()))
    }

    /// A process of this VM that is found without the folder, if it lives.
    fn search(&self, role: Role) -> Result<Option<Proc>> {
        let of = |found: &&Found| found.uuid == self.uuid && found.role == role;
        living(found(&self.found, &self.root)?.iter().find(of).map(|found| found.process.clone()))
    }

    /// The supervisor's process, if it lives.
    pub(crate) fn supervisor_process(&self) -> Result<Option<Proc>> {
        match self.recorded()? {
            Some(record) => living(Some(record.supervisor)),
            None => self.search(Role::Supervisor),
        }
    }

    /// The record, if it is one of this boot: the second proof, where the file of a lock is lost. What is damaged proves nothing.
    fn recorded(&self) -> Result<Option<Record>> {
        let record = Record::read(&self.record()).ok().flatten();
        let boot = proc::boot_id()?;
        Ok(record.filter(|record| record.boot == boot))
    }

    /// Why nothing of its own in the folder shows a VM that lives: its record and a lock are missing; none otherwise.
    pub(crate) fn loss(&self, supervisor: bool, machine: bool) -> Option<String> {
        let lost = |lives, lock: PathBuf| lives && !own::is_there(lock);
        let is_lost = lost(supervisor, self.supervisor_lock()) || lost(machine, self.machine_lock());
        (is_lost && !own::is_there(self.record())).then(|| format!("its record and its locks in `{}` are missing", self.path.display()))
    }

    /// Why its folder or one of its locks cannot be one; none if all are in order or missing.
    pub(crate) fn damage(&self) -> Option<String> {
        if own::stat(&self.path).is_ok_and(|meta| !meta.is_dir()) {
            return Some(format!("`{}` is not a folder", self.path.display()));
        }
        let odd = |lock: PathBuf| own::oddity(&lock).map(|why| format!("the lock `{}`: {why}", lock.display()));
        odd(self.supervisor_lock()).or_else(|| odd(self.machine_lock()))
    }

    /// Removes what stands in the place of its folder or of a lock, where no process of the VM lives.
    pub(crate) fn clear_damage(&self) -> Result<()> {
        let turn = self.path.with_file_name("repair.lock");
        if own::stat(&self.path).is_ok_and(|meta| !meta.is_dir()) {
            return lock::clear_folder(&self.path, &turn);
        }
        lock::clear(&self.supervisor_lock(), &turn)?;
        lock::clear(&self.machine_lock(), &turn)
    }

    pub(crate) fn record(&self) -> PathBuf {
        self.path.join("record.json")
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.path.join("control")
    }

    /// The pipe to which the hypervisor prints.
    pub(crate) fn messages(&self) -> PathBuf {
        self.path.join("messages")
    }

    /// The fallback for the hypervisor's messages if its log folder cannot be written.
    pub(crate) fn spare_log(&self) -> PathBuf {
        self.path.join("hypervisor.log")
    }

    /// The log of a supervisor's own failures.
    pub(crate) fn supervisor_log(&self) -> PathBuf {
        self.path.join("supervisor.log")
    }

    /// Removes what a dead supervisor left of its own. Files that a plan has just created for the next VM are kept.
    pub(crate) fn clean_leftovers(&self) -> std::io::Result<()> {
        for path in [self.record(), self.control(), self.spare_log()] {
            own::remove_all(path)?;
        }
        Ok(())
    }

    /// Removes what a dead VM left, except the supervisor's lock. Only for the holder of that lock.
    pub(crate) fn clean(&self) -> std::io::Result<()> {
        let lock = self.supervisor_lock();
        for path in own::names(&self.path)?.into_iter().map(|name| self.path.join(name)).filter(|path| *path != lock) {
            own::remove_all(path)?;
        }
        Ok(())
    }

    /// Removes the folder with its contents. Only for the holder of the supervisor's lock, when no VM process lives. The lock's
    /// file is removed last: from then on another process may create and lock a new one.
    pub(crate) fn remove(&self) -> std::io::Result<()> {
        self.clean()?;
        own::remove(self.supervisor_lock())?;
        own::remove_folder(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_root_is_refused_with_the_way_out() {
        let uuid = Uuid::nil();
        assert_eq!(Runtime::at("/run/chyves").socket(uuid, "qmp").unwrap(), "/run/chyves/00000000-0000-0000-0000-000000000000/qmp");
        let refusal = Runtime::at(format!("/{}", "x".repeat(62))).socket(uuid, "qmp").unwrap_err();
        assert!(refusal.causes[0].starts_with("it has 104 bytes"), "{refusal:?}");
        assert!(refusal.hints[0].contains("CHYVES_RUNDIR"));
        assert!(Runtime::at(format!("/{}", "x".repeat(61))).socket(uuid, "qmp").is_ok());
    }

    #[test]
    fn the_folder_is_private_and_a_strangers_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let temp = tempfile::tempdir().unwrap();
        let rt = Runtime::at(temp.path().join("deep/run"));
        rt.create().unwrap();
        assert_eq!(std::fs::metadata(rt.root()).unwrap().mode() & 0o777, 0o700);
        std::fs::set_permissions(rt.root(), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(rt.create().unwrap_err().message.contains("not safe"));
        // Anyone who may write to a parent folder can replace this one, unless the parent is sticky as /tmp is.
        std::fs::set_permissions(rt.root(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let above = temp.path().join("deep");
        for (mode, is_safe) in [(0o777, false), (0o1777, true), (0o755, true)] {
            std::fs::set_permissions(&above, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(rt.create().is_ok(), is_safe, "{mode:o}");
        }
        let link = temp.path().join("link");
        std::os::unix::fs::symlink(temp.path().join("deep"), &link).unwrap();
        assert!(Runtime::at(link).create().is_err());
    }
}
