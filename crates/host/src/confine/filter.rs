//! What a confined process can reach on Linux: Landlock for files, seccomp for system calls.
//!
//! A filter lists what is denied, as QEMU's own `-sandbox` does: a list of what is allowed would break with each release of the
//! C library. Denied are new processes, other processes, namespaces, mounts, modules and keys, `io_uring`, and sockets of other kinds
//! than UNIX, TCP, UDP and ICMP; for a tool that converts files all sockets.

use chyves_core::confinement::Sandbox;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, Scope,
    path_beneath_rules,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch};
use std::collections::BTreeMap;
use std::path::Path;

/// The directories of programs and their libraries.
const SYSTEM: [&str; 12] = [
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/bin",
    "/sbin",
    "/nix/store",
    "/gnu/store",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/dev/null",
    "/dev/urandom",
];
/// The flag of `clone` that creates a thread instead of a process.
const THREAD: u64 = 0x1_0000;

/// Allows reading only what starting `program` needs, and writing nothing. A kernel without Landlock is no error.
pub(super) fn files(program: &Path) -> Result<(), String> {
    let abi = ABI::V5;
    let own = program.parent().filter(|folder| *folder != Path::new("/"));
    let readable = SYSTEM.iter().map(Path::new).chain(own);
    let all = AccessFs::from_all(abi);
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)
        .and_then(|r| r.handle_access(AccessNet::from_all(abi)))
        .and_then(|r| r.scope(Scope::from_all(ABI::V6)))
        .and_then(landlock::Ruleset::create)
        .map_err(|e| e.to_string())?;
    ruleset
        .add_rules(path_beneath_rules(readable, AccessFs::from_read(abi)))
        .and_then(landlock::RulesetCreated::restrict_self)
        .map(drop)
        .map_err(|e| e.to_string())
}

/// Denies the system calls that no converter needs.
pub(super) fn tool() -> Result<(), String> {
    deny(OF_NOBODY.iter().chain(&OF_RINGS).chain(&OF_NO_TOOL), BTreeMap::new())
}

/// Denies the system calls that this hypervisor does not need. A process that it forked could live on after the hypervisor's end
/// was detected.
pub(super) fn hypervisor(sandbox: &Sandbox) -> Result<(), String> {
    let rings = if sandbox.io_uring { &[][..] } else { &OF_RINGS };
    if !sandbox.listens {
        // QEMU calls it for the sockets that it gets, which listen already: the call succeeds and does nothing. No other socket
        // can be made to listen: not even one without a port, for which the kernel would choose one.
        apply([(libc::SYS_listen, Vec::new())].into(), 0)?;
    }
    let sockets = odd_sockets()?;
    let mut limited = fast_open()?;
    limited.insert(libc::SYS_socketpair, sockets.clone());
    limited.insert(libc::SYS_socket, sockets);
    deny(OF_NOBODY.iter().chain(rings), limited)
}

/// The arguments of `socket` for other sockets than those of UNIX, TCP, UDP and ICMP. Landlock limits TCP alone, not what is beside it,
/// such as MPTCP or SCTP, and no namespace limits VSOCK.
fn odd_sockets() -> Result<Vec<SeccompRule>, String> {
    let none_of = |argument: u8, allowed: &[i32]| -> Result<SeccompRule, String> {
        let differs = |value: &i32| {
            let value = u64::from(value.unsigned_abs());
            SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, value).map_err(|e| e.to_string())
        };
        let conditions = allowed.iter().map(differs).collect::<Result<Vec<_>, _>>()?;
        SeccompRule::new(conditions).map_err(|e| e.to_string())
    };
    let of_kind = |kind: i32| -> Result<SeccompRule, String> {
        let is = SeccompCmpOp::MaskedEq(KIND);
        let condition = SeccompCondition::new(1, SeccompCmpArgLen::Dword, is, u64::from(kind.unsigned_abs())).map_err(|e| e.to_string())?;
        SeccompRule::new(vec![condition]).map_err(|e| e.to_string())
    };
    let mut rules = vec![
        none_of(0, &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6])?,
        none_of(2, &[0, libc::IPPROTO_TCP, libc::IPPROTO_UDP, libc::IPPROTO_ICMP, libc::IPPROTO_ICMPV6])?,
    ];
    // The protocol 0 is SCTP for a sequence of packets.
    for kind in [libc::SOCK_RAW, libc::SOCK_RDM, libc::SOCK_SEQPACKET, libc::SOCK_DCCP, SOCK_PACKET] {
        rules.push(of_kind(kind)?);
    }
    Ok(rules)
}

/// The ways to connect with the first data (TCP Fast Open), which Landlock does not see.
fn fast_open() -> Result<BTreeMap<i64, Vec<SeccompRule>>, String> {
    let with = |argument: u8, mask: u64| -> Result<SeccompRule, String> {
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask), mask);
        SeccompRule::new(vec![condition.map_err(|e| e.to_string())?]).map_err(|e| e.to_string())
    };
    let flag = u64::from(libc::MSG_FASTOPEN.unsigned_abs());
    let is = |argument: u8, value: i32| {
        let value = u64::from(value.unsigned_abs());
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value).map_err(|e| e.to_string())
    };
    let option = vec![is(1, libc::IPPROTO_TCP)?, is(2, TCP_FASTOPEN_CONNECT)?];
    let option = SeccompRule::new(option).map_err(|e| e.to_string())?;
    Ok([
        (libc::SYS_sendto, vec![with(3, flag)?]),
        (libc::SYS_sendmsg, vec![with(2, flag)?]),
        (libc::SYS_sendmmsg, vec![with(3, flag)?]),
        (libc::SYS_setsockopt, vec![option]),
    ]
    .into())
}

/// The socket option of `linux/tcp.h` by which a connection waits for its first data.
const TCP_FASTOPEN_CONNECT: i32 = 30;

/// An obsolete kind of raw socket, whose name in the bindings is deprecated.
const SOCK_PACKET: i32 = 10;

/// The bits of a socket's type without its flags.
const KIND: u64 = 0xf;

/// The x32 calls are those of x86-64 with this bit in their number; a list of denied numbers would not match them.
#[cfg(target_arch = "x86_64")]
const X32: u32 = 0x4000_0000;

/// Denies the x32 calls, if the kernel has them.
#[cfg(target_arch = "x86_64")]
fn no_x32() -> Result<(), String> {
    use seccompiler::sock_filter;
    let (load, at_least, answer) = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, libc::BPF_RET);
    let line = |code: u32, jf: u8, k: u32| Ok(sock_filter { code: u16::try_from(code).map_err(|e| e.to_string())?, jt: 0, jf, k });
    let program: Result<BpfProgram, String> = [
        // The number is the first field that a filter sees.
        line(load, 0, 0),
        line(at_least, 1, X32),
        line(answer, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs()),
        line(answer, 0, libc::SECCOMP_RET_ALLOW),
    ]
    .into_iter()
    .collect();
    seccompiler::apply_filter(&program?).map_err(|e| e.to_string())
}

/// Denies `calls`, and those of `limited` with certain arguments.
fn deny<'a>(calls: impl Iterator<Item = &'a i64>, limited: BTreeMap<i64, Vec<SeccompRule>>) -> Result<(), String> {
    #[cfg(target_arch = "x86_64")]
    no_x32()?;
    // With ENOSYS the C library falls back to `clone`, whose flags a filter can see.
    apply([(libc::SYS_clone3, Vec::new())].into(), libc::ENOSYS)?;
    let no_thread = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(THREAD), 0).map_err(|e| e.to_string())?;
    let no_thread = SeccompRule::new(vec![no_thread]).map_err(|e| e.to_string())?;
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = calls.map(|call| (*call, Vec::new())).collect();
    #[cfg(target_arch = "x86_64")]
    rules.extend([libc::SYS_fork, libc::SYS_vfork, libc::SYS_iopl, libc::SYS_ioperm].map(|call| (call, Vec::new())));
    rules.insert(libc::SYS_clone, vec![no_thread]);
    // Limits of other processes: a CPU time of 0 kills them. The C library names itself by 0.
    let of_others = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, 0).map_err(|e| e.to_string())?;
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(vec![of_others]).map_err(|e| e.to_string())?]);
    rules.extend(limited);
    apply(rules, libc::EPERM)
}

fn apply(rules: BTreeMap<i64, Vec<SeccompRule>>, error: i32) -> Result<(), String> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|e| e.to_string())?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(error.unsigned_abs()), arch);
    let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(|e| e.to_string())?;
    seccompiler::apply_filter(&program).map_err(|e| e.to_string())
}

/// Calls that a tool that works on inherited files does not need either.
const OF_NO_TOOL: [i64; 8] = [
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_kill,
];

/// `io_uring`, whose operations no filter sees.
const OF_RINGS: [i64; 3] = [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

// Calls that the bindings of the C library do not name. New ones have the same number on every architecture.
const SYS_STATMOUNT: i64 = 457;
const SYS_LISTMOUNT: i64 = 458;
const SYS_OPEN_TREE_ATTR: i64 = 467;

const OF_NOBODY: [i64; 53] = [
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pidfd_send_signal,
    libc::SYS_process_mrelease,
    libc::SYS_kcmp,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    SYS_OPEN_TREE_ATTR,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    SYS_STATMOUNT,
    SYS_LISTMOUNT,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_userfaultfd,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_acct,
    libc::SYS_vhangup,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    libc::SYS_personality,
];

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn calls_of_x32_are_denied() {
        // A filter applies to the thread that sets it.
        let errno = std::thread::spawn(|| {
            rustix::thread::set_no_new_privs(true).unwrap();
            no_x32().unwrap();
            // SAFETY: a call without arguments, which the filter refuses.
            #[allow(unsafe_code)]
            let answer = unsafe { libc::syscall(libc::SYS_getpid | i64::from(X32)) };
            let errno = std::io::Error::last_os_error().raw_os_error();
            (answer, errno, std::fs::metadata("/").is_ok())
        });
        assert_eq!(errno.join().unwrap(), (-1, Some(libc::EPERM), true));
    }
}
