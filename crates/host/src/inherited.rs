//! What a process inherits from its caller besides environment and descriptors: resource limits, priority, ignored signals and
//! the OOM score. Those of a cron job or a batch system do not suit a supervisor and a hypervisor, which run for months: a CPU
//! limit of two seconds would kill them after two seconds.
//!
//! A guest in the foreground keeps them: a service manager has set them for it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Minimum limit of open files for a hypervisor: several for each disk, queue and connection.
const FILES: u64 = 65_536;
/// Stack size in bytes of threads that set none; the usual default.
const STACK: u64 = 8 << 20;
/// Resources that must not be limited for a process that runs for months.
const UNLIMITED: [Resource; 6] = [Resource::Cpu, Resource::Fsize, Resource::Data, Resource::As, Resource::Nproc, Resource::Rss];

/// Resets everything inherited to what a system service has. Without root, limits that only root may raise keep their value.
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

/// Raises the limit of open files to what a hypervisor needs, also in the foreground.
pub(crate) fn enough_files() {
    raise(Resource::Nofile, FILES);
}

/// Raises a limit that is lower than `least`.
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

/// Makes exceeding a user's file size limit an error of the write, instead of a signal that ends the process.
pub(crate) fn survive_limits() {
    // SAFETY: the disposition is one of the two that need no handler.
    #[allow(unsafe_code)]
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Resets signals that the caller ignored to their default. Rust's runtime itself ignores SIGPIPE.
fn signals() {
    for signal in (1..=31).filter(|signal| ![libc::SIGPIPE, libc::SIGKILL, libc::SIGSTOP].contains(signal)) {
        // SAFETY: the structure consists of integers, which the call fills; the disposition that is set needs no handler.
        #[allow(unsafe_code)]
        unsafe {
            let mut now: libc::sigaction = std::mem::zeroed();
            if libc::sigaction(signal, std::ptr::null(), &raw mut now) == 0 && now.sa_sigaction == libc::SIG_IGN {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
    }
}
