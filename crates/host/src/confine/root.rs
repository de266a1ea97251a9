//! The hypervisor's own root: a small file system in memory with its program, libraries and data bound read-only, its own
//! device nodes, and the paths that the launch shows. Nothing else of the host exists in it, not even /proc.

use super::Order;
use crate::hostfs::{kernel, named};
use chyves_core::confinement::{How, Network, Sandbox, Show};
use rustix::fs::{CWD, FileType, Mode};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, mount_remount, unmount};
use rustix::thread::UnshareFlags;
use std::fs;
use std::io::{Error, Read, Result};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Directories with libraries and data of programs, where they exist. None contains shells or tools.
const PUBLIC: [&str; 7] = ["/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/share", "/nix/store", "/gnu/store"];
/// Directories of the root, or links into /usr.
const LIBRARIES: [&str; 3] = ["/lib", "/lib32", "/lib64"];
/// Files for the dynamic linker, the local time zone and data files.
const SETTINGS: [&str; 3] = ["/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives"];
/// Where QEMU's user-mode network finds name servers.
const RESOLVER: &str = "/etc/resolv.conf";
/// Devices that everybody may use.
const HARMLESS: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
const KVM: &str = "/dev/kvm";
/// Size limit in bytes of a ROM or a firmware item.
const COPY_LIMIT: u64 = 16 << 20;
const SIZE: &str = "size=64m,mode=0755";

/// Who may use KVM according to the host's device node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum KvmUsers {
    /// Everybody; or nobody, since the node does not exist.
    All,
    /// The members of a group.
    Group(u32),
    /// Only root.
    Root,
}

/// Who may use KVM on this host.
pub(super) fn kvm_is_for() -> KvmUsers {
    match kernel::stat(KVM) {
        Ok(node) if node.mode() & 0o006 == 0o006 => KvmUsers::All,
        Ok(node) if node.mode() & 0o060 == 0o060 && node.gid() != 0 => KvmUsers::Group(node.gid()),
        Ok(_) => KvmUsers::Root,
        Err(_) => KvmUsers::All,
    }
}

/// Replaces /dev/kvm by a node that the user owns, for this process only. The node is created in a file system in memory over
/// the guest's folder, since /run usually allows no devices; that file system is unmounted once the node is bound in its place.
///
/// # Errors
/// The step that failed.
pub(super) fn own_kvm(guest: &Path, user: u32) -> std::result::Result<(), String> {
    part(UnshareFlags::NEWNS)?;
    let root = Root { at: guest, user };
    let put = || {
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        mount("tmpfs", guest, "tmpfs", MountFlags::NOSUID | MountFlags::NOEXEC, Some(&*std::ffi::CString::new(SIZE)?))?;
        root.node(Path::new(KVM), user, 0o600)?;
        mount_bind(root.inside(Path::new(KVM)), KVM)?;
        Ok::<_, Error>(unmount(guest, UnmountFlags::DETACH)?)
    };
    put().map_err(|e| format!("no node of its own for {KVM}: {e}"))
}

/// Moves this process into new namespaces.
fn part(kinds: UnshareFlags) -> std::result::Result<(), String> {
    // SAFETY: no namespace is shared with another thread, since there is none; descriptors are not affected.
    #[allow(unsafe_code)]
    let parted = unsafe { rustix::thread::unshare_unsafe(kinds) };
    parted.map_err(|e| format!("namespaces cannot be made: {e}"))
}

/// Moves this process into new namespaces, and into the hypervisor's own root.
///
/// # Errors
/// The step that failed.
pub(super) fn enter(order: &Order, sandbox: &Sandbox, user: u32) -> std::result::Result<(), String> {
    let mut kinds = UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    if sandbox.network == Network::Private {
        kinds |= UnshareFlags::NEWNET;
    }
    part(kinds)?;
    let root = Root { at: &order.place.guest, user };
    root.furnish(&order.cmd.program, sandbox).map_err(|e| format!("a root of its own cannot be made: {e}"))?;
    root.enter().map_err(|e| format!("its own root cannot be entered: {e}"))
}

struct Root<'a> {
    at: &'a Path,
    user: u32,
}

#[expect(
    clippy::disallowed_methods,
    reason = "builds a root in a new tmpfs of a private mount namespace, from folders of the host's packages"
)]
impl Root<'_> {
    /// The current path of a path in the new root.
    fn inside(&self, path: &Path) -> PathBuf {
        self.at.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn furnish(&self, program: &str, sandbox: &Sandbox) -> Result<()> {
        // No mount below is visible outside, and no later mount outside becomes visible here.
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        // Files to be copied or shown may be in the folder over which the root is mounted.
        let copies = sandbox.shows.iter().filter(|show| show.how == How::Copy);
        let copies = copies.map(|show| Ok((Path::new(&show.path), read(&show.path)?))).collect::<Result<Vec<_>>>()?;
        mount("tmpfs", self.at, "tmpfs", MountFlags::NOSUID | MountFlags::NOEXEC, Some(&*std::ffi::CString::new(SIZE)?))?;
        for path in PUBLIC.into_iter().chain(SETTINGS).map(Path::new).filter(|path| path.exists()) {
            self.show(path, false)?;
        }
        if let Network::Host { connects: true, .. } = sandbox.network
            && Path::new(RESOLVER).exists()
        {
            self.show(Path::new(RESOLVER), false)?;
        }
        for path in LIBRARIES.map(Path::new) {
            match fs::symlink_metadata(path) {
                Ok(meta) if meta.is_symlink() => std::os::unix::fs::symlink(fs::read_link(path)?, self.inside(path))?,
                Ok(meta) if meta.is_dir() => self.show(path, false)?,
                Ok(_) | Err(_) => {}
            }
        }
        self.program(Path::new(program))?;
        for path in HARMLESS.map(Path::new) {
            self.node(path, 0, 0o666)?;
        }
        if sandbox.kvm {
            self.node(Path::new(KVM), self.user, 0o600)?;
        }
        for (path, bytes) in copies {
            let to = self.inside(path);
            self.folders(&to)?;
            fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o400)
                .open(&to)
                .and_then(|mut f| std::io::Write::write_all(&mut f, &bytes))?;
            std::os::unix::fs::chown(&to, Some(self.user), Some(self.user))?;
        }
        for Show { path, how } in &sandbox.shows {
            let path = Path::new(path);
            match how {
                How::Copy => {}
                How::Passthrough => self.passthrough(path)?,
                How::Node => self.node(path, self.user, 0o600)?,
                How::Folder => self.show(path, false)?,
                How::WritableFolder => self.show(path, true)?,
            }
        }
        Ok(())
    }

    /// Shows the program, and the libraries and data of one that is installed under another prefix.
    fn program(&self, program: &Path) -> Result<()> {
        if !self.inside(program).exists() {
            self.show(program, false)?;
        }
        let apart = program.parent().and_then(Path::parent).filter(|prefix| *prefix != Path::new("/usr") && *prefix != Path::new("/"));
        for part in apart.into_iter().flat_map(|prefix| ["lib", "lib64", "libexec", "share"].map(|part| prefix.join(part))) {
            if part.is_dir() && !self.inside(&part).exists() {
                self.show(&part, false)?;
            }
        }
        Ok(())
    }

    /// Creates the parent folders of a path in the new root.
    fn folders(&self, inside: &Path) -> Result<()> {
        let Some(above) = inside.parent() else { return Ok(()) };
        fs::create_dir_all(above)?;
        // This process's umask would deny access to the hypervisor's user.
        for folder in above.ancestors().take_while(|folder| *folder != self.at && folder.starts_with(self.at)) {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    /// Binds a file or folder of the host at the same path.
    fn show(&self, path: &Path, writable: bool) -> Result<()> {
        let inside = self.inside(path);
        self.folders(&inside)?;
        let meta = fs::metadata(path).map_err(|e| Error::other(format!("{}: {e}", path.display())))?;
        if meta.is_dir() {
            fs::create_dir_all(&inside)?;
        } else {
            fs::File::create(&inside)?;
        }
        mount_bind(path, &inside)?;
        let mut flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV;
        if !writable {
            flags |= MountFlags::RDONLY;
        }
        Ok(mount_remount(&inside, flags, "")?)
    }

    /// Creates a separate node for a device of the host, so that the host's node keeps its owner.
    fn node(&self, path: &Path, user: u32, mode: u32) -> Result<()> {
        let host = fs::metadata(path).map_err(|e| Error::other(format!("{}: {e}", path.display())))?;
        let kind = FileType::from_raw_mode(host.mode());
        if !matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
            return Err(Error::other(format!("{} is not a device", path.display())));
        }
        let inside = self.inside(path);
        self.folders(&inside)?;
        rustix::fs::mknodat(CWD, &inside, kind, Mode::RUSR | Mode::WUSR, host.rdev())?;
        fs::set_permissions(&inside, fs::Permissions::from_mode(mode))?;
        std::os::unix::fs::chown(&inside, Some(user), Some(user))
    }

    /// Shows a PCI device of the host: the nodes of VFIO and of its group, and /sys, which describes it.
    fn passthrough(&self, device: &Path) -> Result<()> {
        let group = fs::read_link(device.join("iommu_group"))
            .map_err(|e| Error::other(format!("{} belongs to no IOMMU group: {e}", device.display())))?;
        let group = group.file_name().ok_or_else(|| Error::other("an IOMMU group without a number"))?.to_owned();
        for node in [Path::new("/dev/vfio/vfio").to_owned(), Path::new("/dev/vfio").join(group)] {
            if !self.inside(&node).exists() {
                self.node(&node, self.user, 0o600)?;
            }
        }
        if self.inside(Path::new("/sys/bus")).exists() { Ok(()) } else { self.show(Path::new("/sys"), false) }
    }

    /// Makes it this process's root and detaches the old one.
    fn enter(&self) -> Result<()> {
        rustix::process::chdir(self.at)?;
        rustix::process::pivot_root(".", ".")?;
        unmount(".", UnmountFlags::DETACH)?;
        rustix::process::chdir("/")?;
        Ok(mount_remount("/", MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NOEXEC, "")?)
    }
}

/// The content of a small regular file.
fn read(path: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = named::open_as_seen(path).map_err(|e| Error::other(format!("{path}: {e}")))?;
    if !file.metadata()?.is_file() {
        return Err(Error::other(format!("{path} is not a regular file")));
    }
    file.take(COPY_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > COPY_LIMIT { Err(Error::other(format!("{path} is larger than 16 MiB"))) } else { Ok(bytes) }
}
