/**
 * The default policy: what Docker's default allows (moby/profiles, August 2026), as a table of our own.
 *
 * An allow-list: what is not here fails with EPERM. Left out on purpose are calls that reach outside a container (clocks, modules,
 * reboot, swap, keys), that build namespaces or mounts without CAP_SYS_ADMIN, and io_uring, which runs operations behind seccomp's back.
 */
import type { Seccomp } from "#core/spec/config";

/** For everyone, by subject. */
// biome-ignore format: a table
const always = {
  files: "open openat openat2 creat close close_range read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek _llseek " +
    "truncate truncate64 ftruncate ftruncate64 fallocate fadvise64 fadvise64_64 readahead sendfile sendfile64 copy_file_range splice tee vmsplice " +
    "sync syncfs fsync fdatasync sync_file_range dup dup2 dup3 fcntl fcntl64 flock ioctl pipe pipe2 memfd_create memfd_secret cachestat",
  names: "access faccessat faccessat2 stat stat64 lstat lstat64 fstat fstat64 newfstatat fstatat64 statx statfs statfs64 fstatfs fstatfs64 statmount listmount " +
    "link linkat symlink symlinkat unlink unlinkat rename renameat renameat2 readlink readlinkat mkdir mkdirat rmdir mknod mknodat " +
    "chmod fchmod fchmodat fchmodat2 chown chown32 fchown fchown32 lchown lchown32 fchownat umask utime utimes futimesat utimensat utimensat_time64 " +
    "chdir fchdir getcwd getdents getdents64 name_to_handle_at inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark",
  xattrs: "getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat listxattr llistxattr flistxattr listxattrat " +
    "removexattr lremovexattr fremovexattr removexattrat",
  memory: "brk mmap mmap2 munmap mremap mprotect madvise mincore msync mlock mlock2 mlockall munlock munlockall mseal remap_file_pages membarrier " +
    "map_shadow_stack pkey_alloc pkey_free pkey_mprotect process_mrelease",
  processes: "fork vfork execve execveat exit exit_group wait4 waitid waitpid getpid getppid gettid getpgid getpgrp setpgid getsid setsid pidfd_open pidfd_send_signal " +
    "prctl seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self capget capset rseq set_tid_address set_robust_list get_robust_list " +
    "get_thread_area set_thread_area restart_syscall getcpu getrandom uname sysinfo getrusage times riscv_hwprobe uretprobe",
  limits: "getrlimit ugetrlimit setrlimit prlimit64 getpriority setpriority ioprio_get ioprio_set sched_yield sched_getaffinity sched_setaffinity sched_getattr " +
    "sched_setattr sched_getparam sched_setparam sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval " +
    "sched_rr_get_interval_time64",
  ids: "getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid getresuid32 getresgid getresgid32 getgroups getgroups32 " +
    "setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32 setresuid setresuid32 setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 " +
    "setgroups setgroups32",
  signals: "kill tkill tgkill pause alarm signalfd signalfd4 sigaltstack sigprocmask sigreturn rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo " +
    "rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo",
  time: "time gettimeofday adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 " +
    "nanosleep getitimer setitimer timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 " +
    "timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64",
  waiting: "poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old " +
    "epoll_pwait epoll_pwait2 eventfd eventfd2 futex futex_time64 futex_wait futex_waitv futex_wake futex_requeue " +
    "io_setup io_submit io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64",
  sockets: "socketcall socketpair bind listen accept accept4 connect shutdown getsockname getpeername getsockopt setsockopt " +
    "send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64",
  ipc: "ipc msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget " +
    "mq_open mq_unlink mq_notify mq_getsetattr mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64",
} as const;

/** Added by a capability in the bounding set. */
const byCapability: Readonly<Record<string, string>> = {
  CAP_BPF: "bpf",
  CAP_DAC_READ_SEARCH: "open_by_handle_at",
  CAP_PERFMON: "perf_event_open",
  CAP_SYSLOG: "syslog",
  CAP_SYS_ADMIN:
    "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree " +
    "perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
  CAP_SYS_BOOT: "reboot",
  CAP_SYS_CHROOT: "chroot",
  CAP_SYS_MODULE: "init_module finit_module delete_module",
  CAP_SYS_NICE: "get_mempolicy set_mempolicy set_mempolicy_home_node mbind",
  CAP_SYS_PACCT: "acct",
  CAP_SYS_PTRACE: "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
  CAP_SYS_RAWIO: "iopl ioperm",
  CAP_SYS_TIME: "settimeofday stime clock_settime clock_settime64",
  CAP_SYS_TTY_CONFIG: "vhangup",
};

const arm = "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls";

/** Added by the native architecture (GOARCH), also for its sub-architectures. */
const byArch: Readonly<Record<string, string>> = {
  amd64: "arch_prctl modify_ldt",
  "386": "modify_ldt",
  arm,
  arm64: arm,
  ppc64le: "sync_file_range2 swapcontext",
  riscv64: "riscv_flush_icache",
  s390: "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr",
  s390x: "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr",
};

/** What the kernel of an architecture runs; where nothing is named, the native one is implied. */
const subArchitectures: Readonly<Record<string, readonly NonNullable<Seccomp["architectures"]>[number][]>> = {
  amd64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  arm64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
  loong64: ["SCMP_ARCH_LOONGARCH64"],
  mips64: ["SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64N32"],
  mips64le: ["SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64N32"],
  mips64p32: ["SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64"],
  mips64p32le: ["SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64"],
  riscv64: ["SCMP_ARCH_RISCV64"],
  s390x: ["SCMP_ARCH_S390X", "SCMP_ARCH_S390"],
};

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
const NAMESPACE_FLAGS = 0x7e020000;
const EPERM = 1;
const ENOSYS = 38;

/** personality(2) values that change nothing that matters: Linux, Linux 32-bit, both with UNAME26, and the query. */
const personalities = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff];

/**
 * The default policy as a `linux.seccomp` object.
 *
 * @param caps the bounding set, names as in config.json
 * @param arch GOARCH's word
 */
export const buildDefaultSeccomp = (
  caps: readonly string[],
  arch: string,
  kernel: { readonly major: number; readonly minor: number },
): Seccomp => {
  const has = new Set(caps);
  const names = new Set(
    [
      ...Object.values(always),
      ...Object.entries(byCapability).flatMap(([cap, calls]) => (has.has(cap) ? [calls] : [])),
      Object.hasOwn(byArch, arch) ? (byArch[arch] ?? "") : "",
      // Since 4.8 a tracer can no longer change a call behind seccomp's check.
      kernel.major * 1000 + kernel.minor >= 4008 ? "ptrace process_vm_readv process_vm_writev" : "",
    ].flatMap((calls) => calls.split(" ").filter((call) => call !== "")),
  );
  const allow = "SCMP_ACT_ALLOW";
  const syscalls: NonNullable<Seccomp["syscalls"]> = [
    { names: [...names].sort(), action: allow },
    // Address families but AF_ALG (38: the kernel's crypto, much attacked) and AF_VSOCK (40: reaches the hypervisor, past network namespaces).
    { names: ["socket"], action: allow, args: [{ index: 0, value: 38, op: "SCMP_CMP_LT" }] },
    { names: ["socket"], action: allow, args: [{ index: 0, value: 39, op: "SCMP_CMP_EQ" }] },
    { names: ["socket"], action: allow, args: [{ index: 0, value: 40, op: "SCMP_CMP_GT" }] },
    ...personalities.map((value) => ({
      names: ["personality"],
      action: "SCMP_ACT_ALLOW" as const,
      args: [{ index: 0, value, op: "SCMP_CMP_EQ" as const }],
    })),
  ];
  if (!has.has("CAP_SYS_ADMIN")) {
    // No new namespaces. s390 has clone's flags second. clone3's are in memory, where seccomp cannot look: ENOSYS makes libc fall back to clone.
    syscalls.push({
      names: ["clone"],
      action: allow,
      args: [{ index: arch === "s390x" || arch === "s390" ? 1 : 0, value: NAMESPACE_FLAGS, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
    });
    syscalls.push({ names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS });
  }
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: EPERM,
    architectures: [...(subArchitectures[arch] ?? [])],
    syscalls,
  };
};
