//! What a process gets from its caller besides environment and descriptors: limits of resources, priority, signals that are
//! ignored, and how soon the kernel kills it when memory is short. A cron job's or batch system's are not those of a supervisor
//! and a hypervisor, which run for months; with a limit of processor time of two seconds they would end after two.
//!
//! A guest in the foreground keeps them: there a service manager has set them for it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// So many descriptors a hypervisor may have: some for each disk, queue and connection.
const FILES: u64 = 65_536;
/// What threads without a size of their own take as stack, as usual.
const STACK: u64 = 8 << 20;
/// Limits that a machine which is run for months has none of.
const UNLIMITED: [Resource; 6] = [Resource::Cpu, Resource::Fsize, Resource::Data, Resource::As, Resource::Nproc, Resource::Rss];

/// Makes them what they are for a service of the system. What only root may raise stays as it is for others.
pub(crate) fn reset() {
    for resource in UNLIMITED {
        let unlimited = Rlimit { current: None, maximum: None };
        if setrlimit(resource, unlimited).is_err() {
            let most = getrlimit(resource).maximum;
            let _ = setrlimit(resource, Rlimit { current: most, maximum: most });
        }
    }
    raise(Resource::Nofile, FILES);
    raise(Resource::Stack, STACK);
    let _ = rustix::process::setpriority_process(None, 0);
    #[cfg(target_os = "linux")]
    let _ = memory_is_short();
    signals();
}

/// Makes room for the descriptors that a hypervisor is given, also in the foreground.
pub(crate) fn enough_files() {
    raise(Resource::Nofile, FILES);
}

/// Raises a limit that is lower.
fn raise(resource: Resource, least: u64) {
    let now = getrlimit(resource);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= least);
    if enough(now.current) {
        return;
    }
    let maximum = if enough(now.maximum) { now.maximum } else { Some(least) };
    if setrlimit(resource, Rlimit { current: Some(least), maximum }).is_err() {
        let _ = setrlimit(resource, Rlimit { current: now.maximum, maximum: now.maximum });
    }
}

#[cfg(target_os = "linux")]
fn memory_is_short() -> std::io::Result<()> {
    crate::hostfs::kernel::set("/proc/self/oom_score_adj", "0")
}

/// A file of a user's limit is an error of a write, not the end of the process that writes it.
pub(crate) fn survive_limits() {
    // SAFETY: the disposition is one of the two that need no handler.
    #[allow(unsafe_code)]
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Signals that the caller ignored are not ignored. That of a broken pipe is Rust's own.
fn signals() {
    for signal in (1..=31).filter(|signal| ![libc::SIGPIPE, libc::SIGKILL, libc::SIGSTOP].contains(signal)) {
        // SAFETY: the structure is one of integers, which the call fills; the disposition that is set needs no handler.
        #[allow(unsafe_code)]
        unsafe {
            let mut now: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(signal, std::ptr::null(), &raw mut now) == 0 && now.sa_sigaction == libc::SIG_IGN {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
    }
}
