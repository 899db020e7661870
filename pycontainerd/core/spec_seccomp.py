"""The default system call filter, and how a profile in Docker's form becomes a filter of the OCI spec.

A profile is a JSON document: ``defaultAction``, ``archMap`` and a list of rules ``syscalls``, each with ``names``,
``action``, ``args`` and conditions ``includes``/``excludes`` on capabilities, architectures (Go's names) and the
kernel's version. ``resolve`` weighs the conditions for one container; the OCI runtime gets what is left. The default
profile allows what Docker's does (moby/profiles, seccomp, as of 2026): an allow list, with the calls that a capability
opens tied to it.

Pure: the architecture, the kernel's version and the capabilities are arguments.
"""

from __future__ import annotations

from pycontainerd.core.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from typing import Any

    Json = dict[str, Any]

ALLOW, DENY = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
EPERM, ENOSYS = 1, 38

# By theme: extended attributes; clocks and timers; waiting; sockets; System V and POSIX queues; signals; identity and
# limits; processes; memory; paths; descriptors. The runtimes drop names that the host's libseccomp does not know.
_ALWAYS = """
fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr
lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat

adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep pause setitimer time timer_create
timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times

_newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old
eventfd eventfd2 fanotify_mark futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake inotify_add_watch
inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64
io_setup io_submit poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4

accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg
send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair

ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64
mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget

kill pidfd_open pidfd_send_signal restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask
sigreturn tgkill tkill

capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpriority getresgid
getresgid32 getresuid getresuid32 getrlimit getrusage getuid getuid32 ioprio_get ioprio_set landlock_add_rule
landlock_create_ruleset landlock_restrict_self prctl prlimit64 seccomp setfsgid setfsgid32 setfsuid setfsuid32
setgid setgid32 setgroups setgroups32 setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32
setreuid setreuid32 setrlimit setuid setuid32 ugetrlimit umask

execve execveat exit exit_group fork get_robust_list get_thread_area getcpu getpgid getpgrp getpid getppid getrandom
getsid gettid membarrier process_mrelease riscv_hwprobe rseq sched_get_priority_max sched_get_priority_min
sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield set_robust_list set_thread_area
set_tid_address setpgid setsid sysinfo uname uretprobe vfork wait4 waitid waitpid

brk madvise map_shadow_stack memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap
mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages

access cachestat chdir chmod chown chown32 creat faccessat faccessat2 fchdir fchmod fchmodat fchmodat2 fchown
fchown32 fchownat fstat fstat64 fstatat64 fstatfs fstatfs64 futimesat getcwd getdents getdents64 lchown lchown32
link linkat listmount lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2
readlink readlinkat rename renameat renameat2 rmdir stat stat64 statfs statfs64 statmount statx symlink symlinkat
sync syncfs truncate truncate64 unlink unlinkat utime utimensat utimensat_time64 utimes

_llseek close close_range copy_file_range dup dup2 dup3 fadvise64 fadvise64_64 fallocate fcntl fcntl64 fdatasync
flock fsync ftruncate ftruncate64 ioctl lseek pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read
readahead readv sendfile sendfile64 splice sync_file_range tee vmsplice write writev

"""

_SOCKET_FAMILIES_BELOW = 12
"""AF_UNIX to AF_ROSE, all of them; the first hole is AF_DECnet."""
_SOCKET_FAMILIES = (13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 39, 41, 42, 43, 44, 45)
"""Further address families a container may open. Left out: those the kernel dropped, AF_ALG (38, a way into the
kernel's crypto code that nobody misses) and AF_VSOCK (40, which does not respect network namespaces)."""
_PERSONALITIES = (0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""PER_LINUX, PER_LINUX32, UNAME26 with either, and the question which one is set."""
_NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET together."""

_BY_CAPABILITY = (
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr "
        "lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl "
        "quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module finit_module init_module"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
    ("CAP_SYS_RAWIO", "ioperm iopl"),
    ("CAP_SYS_TIME", "clock_settime clock_settime64 settimeofday stime"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("CAP_SYSLOG", "syslog"),
    ("CAP_BPF", "bpf"),
    ("CAP_PERFMON", "perf_event_open"),
)
_BY_ARCHITECTURE = (
    (("ppc64le",), "swapcontext sync_file_range2"),
    (("arm", "arm64"), "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2"),
    (("amd64", "x32"), "arch_prctl"),
    (("amd64", "x32", "x86"), "modify_ldt"),
    (("s390", "s390x"), "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr"),
    (("riscv64",), "riscv_flush_icache"),
)
_S390 = ("s390", "s390x")

_ARCHITECTURES = {
    "amd64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "arm64": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
    "mips64": ("SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64N32"),
    "mips64le": ("SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64N32"),
    "s390x": ("SCMP_ARCH_S390X", "SCMP_ARCH_S390"),
    "riscv64": ("SCMP_ARCH_RISCV64",),
    "loong64": ("SCMP_ARCH_LOONGARCH64",),
    "ppc64le": ("SCMP_ARCH_PPC64LE",),
    "arm": ("SCMP_ARCH_ARM",),
    "386": ("SCMP_ARCH_X86",),
}
"""Go's name of an architecture to libseccomp's, the secondary ones behind it."""


def default_profile() -> Json:
    """The default profile as a document in Docker's form."""
    return {
        "defaultAction": DENY,
        "defaultErrnoRet": EPERM,
        "archMap": [
            {"architecture": names[0], "subArchitectures": list(names[1:])} for names in _ARCHITECTURES.values()
        ],
        "syscalls": list(_default_rules()),
    }


def _default_rules() -> Iterator[Json]:
    yield _allow(_ALWAYS)
    yield _allow("process_vm_readv process_vm_writev ptrace", includes={"minKernel": "4.8"})
    yield _allow("socket", args=[_arg(0, _SOCKET_FAMILIES_BELOW, "SCMP_CMP_LT")])
    for family in _SOCKET_FAMILIES:
        yield _allow("socket", args=[_arg(0, family, "SCMP_CMP_EQ")])
    for personality in _PERSONALITIES:
        yield _allow("personality", args=[_arg(0, personality, "SCMP_CMP_EQ")])
    for arches, names in _BY_ARCHITECTURE:
        yield _allow(names, includes={"arches": list(arches)})
    for capability, names in _BY_CAPABILITY:
        yield _allow(names, includes={"caps": [capability]})
    # clone may not make namespaces without CAP_SYS_ADMIN; its flags are the second argument on s390. clone3 hides them
    # in memory, so it answers ENOSYS and C libraries fall back to clone.
    plain = [_arg(0, _NEW_NAMESPACES, "SCMP_CMP_MASKED_EQ")]
    swapped = [_arg(1, _NEW_NAMESPACES, "SCMP_CMP_MASKED_EQ")]
    yield _allow("clone", args=plain, excludes={"caps": ["CAP_SYS_ADMIN"], "arches": list(_S390)})
    yield _allow("clone", args=swapped, includes={"arches": list(_S390)}, excludes={"caps": ["CAP_SYS_ADMIN"]})
    yield {"names": ["clone3"], "action": DENY, "errnoRet": ENOSYS, "excludes": {"caps": ["CAP_SYS_ADMIN"]}}


def _allow(names: str, **conditions: Any) -> Json:
    return {"names": names.split(), "action": ALLOW, **conditions}


def _arg(index: int, value: int, op: str) -> Json:
    return {"index": index, "value": value, "op": op}


def resolve(profile: Json, *, architecture: str, capabilities: Collection[str], kernel: tuple[int, int]) -> Json:
    """Turn a profile into the spec's ``linux.seccomp`` for one container.

    ``architecture`` is Go's name of it, ``capabilities`` the bounding set, ``kernel`` (major, minor). Raises
    InvalidArgument, naming the rule, for a document that is not a profile.
    """
    if not isinstance(profile, dict) or not isinstance(profile.get("defaultAction"), str):
        raise InvalidArgument(
            "seccomp profile has no defaultAction", hint="see docs.docker.com/engine/security/seccomp"
        )
    rules = []
    for number, rule in enumerate(profile.get("syscalls") or []):
        try:
            if _applies(rule, architecture, capabilities, kernel):
                rules.append(_plain(rule))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InvalidArgument(f"seccomp profile: rule {number + 1} is malformed ({error})") from error
    result = {key: profile[key] for key in _PASSED_ON if profile.get(key) is not None}
    return {**result, "architectures": _architectures(profile, architecture), "syscalls": rules}


_PASSED_ON = ("defaultAction", "defaultErrnoRet", "flags", "listenerPath", "listenerMetadata")


def _architectures(profile: Json, architecture: str) -> list[str]:
    if profile.get("architectures"):
        return list(profile["architectures"])
    native = _ARCHITECTURES.get(architecture, ("",))[0]
    for entry in profile.get("archMap") or []:
        if entry.get("architecture") == native:
            return [native, *(entry.get("subArchitectures") or [])]
    return [native] if native else []


def _applies(rule: Json, architecture: str, capabilities: Collection[str], kernel: tuple[int, int]) -> bool:
    wanted, unwanted = rule.get("includes") or {}, rule.get("excludes") or {}
    if wanted.get("arches") and architecture not in wanted["arches"]:
        return False
    if not all(capability in capabilities for capability in wanted.get("caps") or ()):
        return False
    if wanted.get("minKernel") and kernel < _version(wanted["minKernel"]):
        return False
    if architecture in (unwanted.get("arches") or ()):
        return False
    if any(capability in capabilities for capability in unwanted.get("caps") or ()):
        return False
    return not (unwanted.get("minKernel") and kernel >= _version(unwanted["minKernel"]))


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def _plain(rule: Json) -> Json:
    names = list(rule.get("names") or ())
    if rule.get("name"):
        names.append(rule["name"])
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError("it names no system call")
    result: Json = {"names": names, "action": rule["action"]}
    if rule.get("errnoRet") is not None:
        result["errnoRet"] = int(rule["errnoRet"])
    if rule.get("args"):
        result["args"] = [
            {key: arg[key] for key in ("index", "value", "valueTwo", "op") if key in arg} for arg in rule["args"]
        ]
    return result
