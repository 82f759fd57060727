/**
 * The advice behind errors: `(op, system call, errno, facts) → why and what to try`, as a pure table.
 *
 * A cause is claimed only where the facts prove it, or where that errno of that step has no other; else nothing is said.
 * Advice stands beside the canonical phrase of an error and never repeats one ("permission denied", "no such file or
 * directory", …), for engines match on text, line by line.
 */
import { type Facts, type Tried, wasTried } from "#core/facts";
import type { OpName } from "#core/plan/ops";

export type Hint = {
  /** The cause on this host, in a clause without a full stop. */
  readonly why: string;
  /** What to type or to change, on one line; `as root:` in front where it takes an administrator. */
  readonly try: string;
};

/** What the step was about, where that tells more than its op: arguments of the plan's step. */
export type About = {
  /** The file system's type, of `mount_fs`. */
  readonly type?: string;
};

/** A container really is around us; a marker file alone may be left over from how a machine's image was made. */
export const isConfined = (facts: Facts): boolean => facts.procMasked.length > 0;

type Advice = (facts: Facts) => Hint;

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** The account as administrators' tools take it. */
const account = (facts: Facts): string => facts.self.user ?? String(facts.self.uid);

/** Loads a profile that lets exactly our helpers make user namespaces (Ubuntu 23.10 and later; AppArmor 4 `userns` rule). */
const apparmorProfile = (facts: Facts): string => {
  const programs = `"${facts.nativeDir === "" ? "/path/to/coracle/dist/native" : facts.nativeDir}/*"`;
  const lines = ["abi <abi/4.0>,", "include <tunables/global>", `profile coracle ${programs} flags=(unconfined) {`, "  userns,", "}"];
  return `as root: printf '%s\\n' ${lines.map(quote).join(" ")} > /etc/apparmor.d/coracle && apparmor_parser -r /etc/apparmor.d/coracle`;
};

const copyOrElsewhere = "--snapshotter fuse-overlayfs (or copy), or --storage DIR on a local disk";
const fixedByContainer =
  "start the outer container with more rights (podman: --security-opt unmask=ALL; docker: --security-opt systempaths=unconfined)";
const grantIds = (facts: Facts): string =>
  `as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${account(facts)} (a range that no other user has)`;

/**
 * Every cause that `native/facts` can report, and the advice for it. The doctor prints the same.
 */
export const causes = {
  // -- user namespaces
  "max-user-namespaces": () => ({
    why: "user.max_user_namespaces is 0: the administrator switched user namespaces off",
    try: "as root: sysctl -w user.max_user_namespaces=15000, and in /etc/sysctl.d/ to keep it",
  }),
  "userns-limit": () => ({
    why: "no user namespace is left: user.max_user_namespaces is used up, or they are nested 32 deep",
    try: "as root: sysctl -w user.max_user_namespaces=15000, or end containers that are not needed",
  }),
  "apparmor-restrict": (facts) => ({
    why: "AppArmor lets only programs with a profile of their own use user namespaces (kernel.apparmor_restrict_unprivileged_userns = 1, the default since Ubuntu 23.10)",
    try: apparmorProfile(facts),
  }),
  "unprivileged-userns-clone": () => ({
    why: "kernel.unprivileged_userns_clone is 0: only root may make user namespaces",
    try: "as root: sysctl -w kernel.unprivileged_userns_clone=1, and in /etc/sysctl.d/ to keep it",
  }),
  chroot: () => ({
    why: "this process is in a chroot, in which the kernel makes no user namespaces",
    try: "enter the directory with pivot_root instead of chroot (e.g. with unshare and pivot_root, or systemd-nspawn)",
  }),
  "own-id-unmapped": (facts) => ({
    why: `our own id (uid ${facts.self.uid}, gid ${facts.self.gid}) is not mapped in the user namespace around us`,
    try: "run as an id that /proc/self/uid_map and gid_map list, or map more ids into the outer container",
  }),
  seccomp: () => ({
    why: "a seccomp filter around us forbids it, as docker's default one does",
    try: "start the outer container with --security-opt seccomp=unconfined, or with a profile that allows clone, unshare, mount and setns",
  }),
  selinux: () => ({
    why: "SELinux forbids it to this domain",
    try: "as root: ausearch -m avc -ts recent shows the rule; in a container: --security-opt label=disable",
  }),
  apparmor: () => ({
    why: "the AppArmor profile that confines us forbids it, as docker's default one forbids mounts",
    try: "start the outer container with --security-opt apparmor=unconfined",
  }),
  "no-kernel-support": () => ({
    why: "this kernel was built without it, or its module is not loaded",
    try: "as root: modprobe it (overlay, fuse, tun), or boot a kernel that has it",
  }),
  "proc-hidden": () => ({
    why: "/proc is not mounted or is hidden, and ids are mapped through it",
    try: "mount proc on /proc (as root: mount -t proc proc /proc)",
  }),
  "max-namespaces": () => ({
    why: "a sysctl user.max_*_namespaces is 0: the administrator switched that kind of namespace off",
    try: "as root: sysctl user | grep namespaces shows which; raise it with sysctl -w",
  }),

  // -- mounts
  "proc-masked": (facts) => ({
    why: `parts of /proc are masked (${
      facts.procMasked
        .filter((path) => path.startsWith("/proc"))
        .slice(0, 3)
        .join(", ") || "or it is hidden"
    }): the kernel shows no new one that would uncover them`,
    try: fixedByContainer,
  }),
  "sys-masked": (facts) => ({
    why: `parts of /sys are masked (${facts.procMasked
      .filter((path) => path.startsWith("/sys"))
      .slice(0, 3)
      .join(", ")}): the kernel shows no new one that would uncover them`,
    try: fixedByContainer,
  }),
  "no-pid-namespace": () => ({
    why: "proc can be mounted only for a pid namespace that the container owns",
    try: "give the container a pid namespace of its own, or bind the host's /proc",
  }),
  "no-network-namespace": () => ({
    why: "sysfs can be mounted only where the container owns its network namespace",
    try: "give the container a network namespace of its own, or bind the host's /sys",
  }),
  "no-user-xattr": (facts) => ({
    why: `the file system of the storage directory (${facts.dirs.data.fs}) has no user.* extended attributes, which overlay needs without root`,
    try: copyOrElsewhere,
  }),
  "remote-fs": (facts) => ({
    why: `the storage directory ${facts.dirs.data.path} is on ${facts.dirs.data.fs.toUpperCase()}, which cannot hold the upper directory of an overlay`,
    try: copyOrElsewhere,
  }),
  "overlay-on-overlay": () => ({
    why: "the storage directory is on an overlay itself (a container's own root), which cannot hold the upper directory of another",
    try: "--storage DIR on a volume of the outer container, or --snapshotter copy",
  }),
  "not-writable": (facts) => ({
    why: `the storage directory ${facts.dirs.data.path} is not writable by us`,
    try: "--storage DIR in a directory of yours, or set XDG_DATA_HOME",
  }),
  "read-only": (facts) => ({
    why: `the file system of ${facts.dirs.data.path} is mounted read-only`,
    try: "--storage DIR on a writable file system",
  }),

  // -- devices
  "device-missing": (facts) => ({
    why: !isConfined(facts) ? "the device node is missing" : "the outer container has no such device",
    try: !isConfined(facts)
      ? "as root: modprobe fuse; modprobe tun"
      : "start the outer container with --device /dev/fuse --device /dev/net/tun",
  }),
  "device-mode": () => ({
    why: "the device's mode keeps us out",
    try: "as root: chmod 0666 /dev/fuse /dev/net/tun (npm run setup:host does it; udev's default is 0666)",
  }),
  "device-cgroup": () => ({
    why: "the devices controller of the outer container forbids the device",
    try: "start the outer container with --device /dev/fuse --device /dev/net/tun",
  }),

  // -- subordinate ids
  "no-subuid": (facts) => ({ why: `/etc/subuid grants no ids to ${account(facts)}`, try: grantIds(facts) }),
  "no-subgid": (facts) => ({ why: `/etc/subgid grants no ids to ${account(facts)}`, try: grantIds(facts) }),
  "newuidmap-missing": () => ({
    why: "newuidmap or newgidmap is not installed",
    try: "as root: apt-get install uidmap (Fedora, RHEL: dnf install shadow-utils)",
  }),
  "newuidmap-unprivileged": (facts) => ({
    why: facts.self.initialUserns
      ? "newuidmap or newgidmap is neither setuid root nor has file capabilities"
      : "newuidmap or newgidmap has no privilege in the user namespace around us",
    try: facts.self.initialUserns
      ? "as root: chmod u+s /usr/bin/newuidmap /usr/bin/newgidmap, or reinstall their package"
      : "map more ids into the outer container (podman: --userns, --uidmap), or start from the host",
  }),
  nosuid: () => ({
    why: "newuidmap lies on a file system that is mounted nosuid, so its privilege has no effect",
    try: "as root: mount -o remount,suid that file system, or install uidmap on one without nosuid",
  }),
  "no-new-privs": () => ({
    why: "no_new_privs is set on this process, so newuidmap cannot gain its privilege",
    try: "start from a session without it (systemd: NoNewPrivileges=no; docker, podman: without --security-opt no-new-privileges)",
  }),
  "newuidmap-refused": (facts) => ({
    why: "newuidmap refused the range that /etc/subuid lists",
    try: `newuidmap's own words: unshare --user --map-users=auto true; then compare ${account(facts)}'s line in /etc/subuid`,
  }),
  "newgidmap-refused": (facts) => ({
    why: "newgidmap refused the range that /etc/subgid lists",
    try: `compare ${account(facts)}'s line in /etc/subgid with the one in /etc/subuid`,
  }),
  "range-unmapped": () => ({
    why: "the range of /etc/subuid lies outside of the ids that the user namespace around us has",
    try: "grant a range that /proc/self/uid_map covers, or map more ids into the outer container",
  }),

  // -- the probe itself
  "timed-out": () => ({
    why: "the attempt did not come back within seconds: a file system hangs",
    try: "df and dmesg show which server does not answer; --storage DIR elsewhere",
  }),
  "no-fork": () => ({ why: "no process could be started to try it", try: "ulimit -u, and pids.max of the cgroup, show the limit" }),
  "no-memory": () => ({ why: "no memory was left to try it", try: "free -m" }),
} as const satisfies Readonly<Record<string, Advice>>;

const isCause = (cause: string): cause is keyof typeof causes => Object.hasOwn(causes, cause);

/** Advice for a cause that the facts carry; null for none, for an unknown one, and for a reason why nothing was tried. */
export const hintForCause = (cause: string | null, facts: Facts): Hint | null =>
  cause !== null && isCause(cause) ? causes[cause](facts) : null;

/** Advice for something that the prober tried in vain. */
const hintForTried = (tried: Tried, facts: Facts): Hint | null =>
  wasTried(tried) && !tried.works ? hintForCause(tried.cause, facts) : null;

type Rule = {
  /** The steps that it holds for; absent: any, and also what is no step. */
  readonly ops?: readonly OpName[];
  /** System calls; absent: any. */
  readonly calls?: readonly string[];
  readonly errnos: readonly string[];
  /** File system types of `mount_fs`. */
  readonly types?: readonly string[];
  readonly when?: (facts: Facts) => boolean;
  /** null: not proven here; the next rule is asked. */
  readonly advice: (facts: Facts) => Hint | null;
};

const say =
  (why: string, remedy: string): Advice =>
  () => ({ why, try: remedy });

const because =
  (cause: keyof typeof causes) =>
  (facts: Facts): Hint | null =>
    hintForCause(cause, facts);

const denied = ["EPERM", "EACCES"] as const;
const clones = ["clone3", "clone", "unshare", "setns"] as const;
const hasOneId = (facts: Facts): boolean => facts.subids.cause !== null || (wasTried(facts.subids.mapping) && !facts.subids.mapping.works);

/** How a cgroup gets delegated on a host of this layout. */
export const cgroupRemedy = (facts: Facts): string => {
  if (facts.cgroup.mode === "v1" || facts.cgroup.mode === "hybrid") {
    const { uid } = facts.self;
    return `as root: npm run setup:host, or: for c in memory pids cpu freezer; do d=/sys/fs/cgroup/$c/coracle/${uid}; mkdir -p $d; chown ${uid} $d $d/cgroup.procs $d/tasks; done`;
  }
  return facts.cgroup.systemdUser === null
    ? "log in through a session that systemd manages (ssh, machinectl shell; not su or sudo)"
    : "let systemd's user manager make the cgroup (the default), or start from: systemd-run --user --scope -p Delegate=yes";
};

/** How a delegated cgroup of version 2 gets more controllers. */
export const delegateRemedy = ({ cgroup }: Facts): string =>
  cgroup.systemdSystem || cgroup.systemdUser !== null
    ? "as root: systemctl edit user@.service, [Service] Delegate=cpu cpuset io memory pids, then log in again"
    : "as root: write the controller, with a + before it, to cgroup.subtree_control of every cgroup above yours";

const rules: readonly Rule[] = [
  // ---- namespaces and processes
  {
    ops: ["spawn", "unshare", "refork"],
    errnos: ["EPERM", "EACCES", "ENOSPC", "EUSERS", "EINVAL", "ENOSYS"],
    advice: (facts) => hintForTried(facts.userns, facts),
  },
  {
    ops: ["spawn", "unshare", "refork"],
    errnos: ["EPERM", "EACCES", "ENOSPC", "EINVAL"],
    advice: (facts) =>
      Object.values(facts.namespaces)
        .map((tried) => hintForTried(tried, facts))
        .find((hint) => hint !== null) ?? null,
  },
  {
    ops: ["spawn", "refork"],
    errnos: ["EACCES"],
    advice: (facts) => ({
      why: "the kernel lets a process into a cgroup only if we may write to the common ancestor of the two",
      try: cgroupRemedy(facts),
    }),
  },
  {
    ops: ["spawn", "refork", "cgroup_attach"],
    errnos: ["EBUSY", "EOPNOTSUPP"],
    advice: say(
      "the cgroup has controllers on for its children, so it may hold no process itself (cgroup v2: no internal processes)",
      "start from a cgroup of its own: systemd-run --user --scope -p Delegate=yes",
    ),
  },
  {
    calls: clones,
    errnos: ["ENOSPC", "EUSERS"],
    advice: say(
      "a limit on namespaces is used up: user.max_*_namespaces, or 32 levels of nesting",
      "as root: sysctl user | grep namespaces; end containers that are not needed, or raise it",
    ),
  },
  {
    calls: [...clones, "fork", "vfork"],
    errnos: ["EAGAIN"],
    advice: (facts) => ({
      why: `no further process is allowed: RLIMIT_NPROC (${facts.self.rlimits["RLIMIT_NPROC"]?.soft ?? "unknown"} for this user) or pids.max of a cgroup is reached`,
      try: "end processes, or raise the limit: ulimit -u, and pids.max of the cgroup in /proc/self/cgroup",
    }),
  },
  {
    calls: clones,
    errnos: ["ENOMEM"],
    advice: say(
      "memory ran out, or process 1 of the pid namespace to be entered has ended",
      "free -m; if the container has stopped, delete it and start anew",
    ),
  },
  {
    ops: ["setns", "join_user"],
    errnos: denied,
    advice: say(
      "the namespace is owned by a user namespace in which we have no privilege",
      "join the user namespace that owns it too, or start the other container as the same user",
    ),
  },
  {
    ops: ["join_user"],
    errnos: ["ESTALE"],
    advice: say("the path names another user namespace than the one on record", "start again: the holder of the old one has ended"),
  },
  {
    ops: ["setns", "join_user"],
    errnos: ["EINVAL"],
    advice: say(
      "the path is no namespace of the kind that was asked for, or we are in it already",
      "compare the type and the path in linux.namespaces with ls -l /proc/PID/ns",
    ),
  },
  {
    ops: ["time_offsets"],
    errnos: ["EACCES"],
    advice: say(
      "clocks can be set only before the first process enters the time namespace",
      "leave linux.timeOffsets out when a time namespace is joined",
    ),
  },
  {
    ops: ["time_offsets"],
    errnos: ["ERANGE"],
    advice: say("the offset would put the clock before zero or too far into the future", "use a smaller offset in linux.timeOffsets"),
  },

  // ---- ids
  {
    ops: ["map_helper"],
    errnos: [...denied, "EINVAL", "ENOENT"],
    advice: (facts) => hintForCause(facts.subids.cause, facts) ?? hintForTried(facts.subids.mapping, facts),
  },
  {
    ops: ["map_helper"],
    errnos: [...denied, "EINVAL"],
    advice: (facts) => ({ why: "the maps ask for ids that /etc/subuid and /etc/subgid do not grant to us", try: grantIds(facts) }),
  },
  {
    ops: ["map_write"],
    errnos: denied,
    when: (facts) => facts.lsm.apparmorRestrictUserns === true && facts.self.initialUserns,
    advice: because("apparmor-restrict"),
  },
  { ops: ["map_write"], errnos: denied, advice: (facts) => hintForTried(facts.userns, facts) },
  {
    ops: ["map_write"],
    errnos: denied,
    advice: say(
      "without privilege only our own id can be mapped, and groups only once setgroups is denied",
      "leave linux.uidMappings out for one id, or have ids granted in /etc/subuid and newuidmap installed",
    ),
  },
  {
    ops: ["map_write", "map_helper"],
    errnos: ["EINVAL"],
    advice: say(
      "the maps overlap, or an extent spans two extents of the map around us",
      "split linux.uidMappings at the borders that /proc/self/uid_map shows",
    ),
  },
  {
    ops: ["ids"],
    calls: ["setgroups"],
    errnos: ["EPERM"],
    advice: (facts) => ({
      why: "setgroups is denied in a user namespace whose groups were mapped without privilege",
      try: hasOneId(facts)
        ? (hintForCause(facts.subids.cause, facts)?.try ?? "leave additional groups out")
        : "leave process.user.additionalGids out",
    }),
  },
  {
    ops: ["ids", "become", "directory", "device"],
    errnos: ["EINVAL"],
    advice: (facts) => ({
      why: "the user or group is not mapped into the container's user namespace",
      try: hasOneId(facts)
        ? `${hintForCause(facts.subids.cause, facts)?.try ?? grantIds(facts)}; or run as uid 0, the only id that is mapped`
        : "choose an id below 65536, or map it in linux.uidMappings and gidMappings",
    }),
  },
  {
    calls: ["chown", "lchown", "fchown", "fchownat"],
    errnos: ["EINVAL"],
    advice: say("the owner is not mapped into this user namespace", "map the id, or grant more subordinate ids"),
  },

  // ---- the root file system
  {
    ops: ["fuse_root"],
    errnos: ["ECONNABORTED", "ETIMEDOUT"],
    advice: (facts) =>
      hintForTried(facts.devices.fuse, facts) ??
      hintForTried(facts.mounts.fuse, facts) ?? {
        why: "fuse-overlayfs ended, or did not mount in 10 s",
        try: "coracle run --snapshotter copy …; what it says when it is started by hand tells why",
      },
  },
  {
    ops: ["root_overlay"],
    errnos: ["EPERM", "EACCES", "EINVAL", "EOPNOTSUPP", "ENODEV", "EROFS"],
    advice: (facts) => hintForTried(facts.dirs.data.overlay, facts) ?? hintForTried(facts.mounts.overlay, facts),
  },
  {
    ops: ["root_overlay"],
    errnos: ["EPERM", "EINVAL", "EOPNOTSUPP"],
    when: (facts) => facts.dirs.data.fs === "overlayfs",
    advice: because("overlay-on-overlay"),
  },
  {
    ops: ["root_overlay"],
    errnos: ["EPERM", "EINVAL", "EOPNOTSUPP"],
    when: (facts) => /^(nfs|cifs|smb2|9p|ceph|lustre|gpfs|afs|beegfs)$/.test(facts.dirs.data.fs),
    advice: because("remote-fs"),
  },
  {
    ops: ["root_overlay"],
    errnos: ["EPERM", "EINVAL", "EOPNOTSUPP"],
    when: (facts) => !facts.dirs.data.userXattr,
    advice: because("no-user-xattr"),
  },
  {
    ops: ["root_overlay"],
    errnos: ["EBUSY"],
    advice: say(
      "another overlay uses the same upper or work directory",
      "stop the container that runs from this snapshot, or start from a snapshot of its own",
    ),
  },
  {
    ops: ["root_overlay"],
    errnos: ["ESTALE"],
    advice: say("the upper directory was used with other lower layers before", "remove the container, and create it anew"),
  },
  {
    ops: ["root_overlay"],
    errnos: ["ENODEV"],
    advice: say(
      "the kernel has no overlay file system, or its module is not loaded",
      "as root: modprobe overlay; or --snapshotter fuse-overlayfs (or copy)",
    ),
  },
  {
    ops: ["root_overlay"],
    errnos: ["ENOENT"],
    advice: say("a layer or the work directory of the snapshot is missing", "remove the image, and fetch it again"),
  },
  {
    ops: ["pivot"],
    errnos: ["EINVAL"],
    advice: say(
      "the present root is no mount that can be pivoted away: an initramfs, or a chroot",
      "run from a root that pivot_root made; in an initramfs switch_root first",
    ),
  },
  {
    ops: ["root_bind"],
    errnos: ["EINVAL"],
    advice: say(
      "the root file system lies in a mount that this namespace may not bind, or has mounts of others below it",
      "use a root.path on a file system of this mount namespace",
    ),
  },

  // ---- mounts below it
  { ops: ["mount_fs"], types: ["proc"], errnos: ["EPERM"], advice: (facts) => hintForTried(facts.mounts.proc, facts) },
  {
    ops: ["mount_fs"],
    types: ["proc"],
    errnos: ["EPERM"],
    when: (facts) => facts.procMasked.some((path) => path.startsWith("/proc")),
    advice: because("proc-masked"),
  },
  { ops: ["mount_fs"], types: ["proc"], errnos: ["EPERM"], advice: because("no-pid-namespace") },
  { ops: ["mount_fs"], types: ["sysfs"], errnos: ["EPERM"], advice: (facts) => hintForTried(facts.mounts.sysfs, facts) },
  {
    ops: ["mount_fs"],
    types: ["sysfs"],
    errnos: ["EPERM"],
    when: (facts) => facts.procMasked.some((path) => path.startsWith("/sys")),
    advice: because("sys-masked"),
  },
  { ops: ["mount_fs"], types: ["sysfs"], errnos: ["EPERM"], advice: because("no-network-namespace") },
  {
    ops: ["mount_fs"],
    types: ["mqueue"],
    errnos: ["EPERM"],
    advice: say(
      "mqueue can be mounted only where the container owns its ipc namespace",
      "give the container an ipc namespace of its own, or bind the host's /dev/mqueue",
    ),
  },
  {
    ops: ["mount_fs"],
    types: ["devpts"],
    errnos: ["EINVAL"],
    advice: say(
      "an option names a group that is not mapped (usually gid=5)",
      "leave gid=5 out of the options of /dev/pts, or have subordinate ids granted",
    ),
  },
  {
    ops: ["mount_fs"],
    types: ["cgroup", "cgroup2"],
    errnos: denied,
    advice: say(
      "cgroups can be mounted only where the container owns its cgroup namespace",
      "give the container a cgroup namespace of its own, or leave the mount out",
    ),
  },
  {
    ops: ["mount_fs"],
    types: ["overlay"],
    errnos: ["EPERM", "EINVAL", "EOPNOTSUPP"],
    advice: (facts) => hintForTried(facts.mounts.overlay, facts),
  },
  {
    ops: ["mount_fs"],
    errnos: ["ENODEV"],
    advice: say(
      "this kernel does not know that file system, or its module is not loaded",
      "check the mount's type in config.json; /proc/filesystems lists what there is",
    ),
  },
  {
    ops: ["mount_fs"],
    errnos: ["EPERM"],
    when: (facts) => wasTried(facts.mounts.tmpfs) && !facts.mounts.tmpfs.works,
    advice: (facts) => hintForTried(facts.mounts.tmpfs, facts),
  },
  {
    ops: ["mount_fs"],
    errnos: ["EPERM"],
    types: ["ext2", "ext3", "ext4", "xfs", "btrfs", "squashfs", "erofs", "nfs", "nfs4", "cifs", "vfat", "iso9660", "f2fs"],
    advice: say(
      "the kernel lets only root of the initial user namespace mount that file system",
      "have root mount it on the host, and bind it into the container",
    ),
  },
  {
    ops: ["mount_fs", "mount_bind"],
    errnos: ["EINVAL"],
    advice: say(
      "an option is unknown to the file system, or a bind would uncover what is mounted below its source",
      "check the mount's options in config.json; bind with rbind where the source has mounts below it",
    ),
  },
  {
    ops: ["mount_bind"],
    calls: ["open_tree", "openat", "open", "stat", "newfstatat"],
    errnos: ["ENOENT"],
    advice: say("the source of the bind is missing on the host", "create it first, or use --volume, which creates it"),
  },
  {
    ops: ["mount_bind", "mount_fs"],
    errnos: ["ENOTDIR"],
    advice: say("one side is a file and the other a directory", "bind a file to a file, a directory to a directory"),
  },
  {
    ops: ["mount_bind", "remount", "readonly", "root_readonly", "mask"],
    calls: ["mount_setattr", "mount"],
    errnos: ["EPERM"],
    advice: say(
      "the source is mounted read-only, nosuid, nodev or noexec, which a user namespace may not take back",
      "keep those options in the mount (findmnt shows them)",
    ),
  },
  {
    ops: ["mount_fs", "mount_bind", "mask", "readonly"],
    errnos: ["EACCES"],
    when: (facts) => facts.lsm.active.includes("apparmor") && isConfined(facts),
    advice: because("apparmor"),
  },
  {
    ops: ["mount_fs", "mount_bind", "mask", "readonly"],
    errnos: ["EACCES"],
    when: (facts) => facts.lsm.active.includes("selinux"),
    advice: say(
      "SELinux's label of the source forbids it",
      "as root: ausearch -m avc -ts recent; relabel the source with :z, or chcon -t container_file_t",
    ),
  },
  {
    calls: ["mount", "move_mount", "umount2"],
    errnos: ["EBUSY"],
    advice: say(
      "something is mounted there already, or a process has it open",
      "findmnt and fuser -m show what; leave the second mount of the same file system out",
    ),
  },
  {
    calls: ["openat2"],
    errnos: ["ELOOP", "EXDEV"],
    advice: say(
      "a symbolic link in the root file system leads out of it, or in a circle",
      "look at the path's links in the image (ls -l); paths are resolved below the container's root, and links are not followed out of it",
    ),
  },
  {
    ops: ["device"],
    errnos: ["EPERM"],
    advice: say(
      "device nodes can be made only by root of the initial user namespace",
      "bind the host's device instead (--device), which a user may",
    ),
  },

  // ---- cgroups
  {
    ops: ["cgroup_create", "cgroup_set", "cgroup_attach"],
    errnos: denied,
    advice: (facts) => ({
      why:
        facts.cgroup.v2?.delegated == null && facts.cgroup.v1.every((row) => row.delegated === null)
          ? "no cgroup is delegated to us"
          : "that cgroup is not delegated to us",
      try: cgroupRemedy(facts),
    }),
  },
  {
    ops: ["cgroup_create", "cgroup_set"],
    errnos: ["EROFS"],
    advice: say(
      "/sys/fs/cgroup is mounted read-only: a container around us",
      "podman, docker: mount it writable (podman --security-opt unmask=/sys/fs/cgroup), or run with --limits best-effort",
    ),
  },
  {
    ops: ["cgroup_create"],
    errnos: ["EBUSY"],
    advice: say(
      "processes live in the cgroup whose controllers are to be switched on (cgroup v2: no internal processes)",
      "start from a cgroup of its own: systemd-run --user --scope -p Delegate=yes",
    ),
  },
  {
    ops: ["cgroup_create"],
    errnos: ["EEXIST"],
    advice: say(
      "a cgroup of that name has processes in it: another container lives there",
      "choose another id, or another linux.cgroupsPath",
    ),
  },
  {
    ops: ["cgroup_create"],
    errnos: ["EAGAIN"],
    advice: say("cgroup.max.descendants or cgroup.max.depth of an ancestor is reached", "remove stopped containers, or have it raised"),
  },
  {
    ops: ["cgroup_attach"],
    errnos: ["ENOSPC"],
    advice: say(
      "cpuset.cpus or cpuset.mems of the cgroup is empty (cgroup v1)",
      "set linux.resources.cpu.cpus and mems, or fill them in the delegated directory",
    ),
  },
  {
    ops: ["cgroup_create", "cgroup_set"],
    errnos: ["ENOENT"],
    advice: (facts) => ({
      why: `the cgroup lacks that controller (there are: ${[...(facts.cgroup.v2?.controllers ?? []), ...facts.cgroup.v1.filter((row) => row.delegated !== null).flatMap((row) => row.controllers)].join(" ") || "none"})`,
      try: facts.cgroup.mode === "v2" ? delegateRemedy(facts) : cgroupRemedy(facts),
    }),
  },
  {
    ops: ["cgroup_set"],
    errnos: ["EINVAL", "ERANGE"],
    advice: say("the kernel does not take that value for this limit", "check the limit's unit and range in linux.resources"),
  },
  {
    ops: ["cgroup_set"],
    errnos: ["EBUSY"],
    advice: say(
      "more is in use than the new limit allows, and it could not be freed",
      "use a higher limit, or stop processes of the container first",
    ),
  },
  {
    ops: ["systemd_scope"],
    errnos: ["ECONNREFUSED", "ENOENT", "EPIPE", "ECONNRESET"],
    advice: say(
      "systemd's user manager does not answer",
      "as root: loginctl enable-linger USER; or log in through ssh instead of su; or --limits best-effort",
    ),
  },
  {
    ops: ["systemd_scope"],
    errnos: [...denied, "EPROTO"],
    advice: say("systemd's user manager refused the scope", "journalctl --user -e shows its reason; or run with --limits best-effort"),
  },
  {
    ops: ["systemd_scope"],
    errnos: ["EEXIST"],
    advice: say(
      "a scope of that name is there already",
      "delete that container, or choose another id: systemctl --user list-units '*.scope'",
    ),
  },
  {
    ops: ["systemd_scope"],
    errnos: ["ETIMEDOUT"],
    advice: say("systemd's user manager took too long to make the scope", "systemctl --user list-jobs shows what it waits for"),
  },

  // ---- the process
  {
    ops: ["rlimit"],
    errnos: ["EPERM"],
    advice: say(
      "a hard limit can be raised only with CAP_SYS_RESOURCE in the initial user namespace",
      "use a value up to the present hard limit (ulimit -Hn and the like), or have it raised in /etc/security/limits.conf",
    ),
  },
  {
    ops: ["rlimit"],
    errnos: ["EINVAL"],
    advice: say("the soft limit lies above the hard one", "raise hard or lower soft in process.rlimits"),
  },
  {
    ops: ["oom_score"],
    errnos: denied,
    advice: say(
      "without privilege oom_score_adj can be raised, not lowered",
      "use a value that is not below that of the calling process (/proc/self/oom_score_adj)",
    ),
  },
  {
    ops: ["sysctl"],
    errnos: ["EPERM", "EACCES", "EROFS"],
    advice: say(
      "that parameter belongs to the host, or to a namespace that the container does not own",
      "leave it out of linux.sysctl, or give the container the namespace (net.* network, kernel.msg* ipc)",
    ),
  },
  {
    ops: ["sysctl"],
    errnos: ["ENOENT"],
    advice: say("this kernel has no such parameter, or not in this namespace", "check its spelling in linux.sysctl against /proc/sys"),
  },
  {
    ops: ["sysctl"],
    errnos: ["EINVAL", "ERANGE"],
    advice: say("the kernel does not take that value", "check the value's range in linux.sysctl"),
  },
  {
    ops: ["keyring"],
    errnos: ["EDQUOT"],
    advice: say(
      "this user's quota of kernel keys is used up; the container keeps the caller's keyring",
      "cat /proc/key-users; as root: sysctl -w kernel.keys.maxkeys=2000",
    ),
  },
  {
    ops: ["keyring"],
    errnos: ["EPERM", "ENOSYS"],
    advice: say("a seccomp filter around us forbids keyrings, or the kernel has none", "run with --no-new-keyring"),
  },
  {
    ops: ["seccomp"],
    errnos: ["EACCES"],
    advice: say(
      "a filter can be loaded only with no_new_privs, or with CAP_SYS_ADMIN in the container",
      "set process.noNewPrivileges (--security-opt no-new-privileges)",
    ),
  },
  {
    ops: ["seccomp"],
    errnos: ["EINVAL"],
    advice: say(
      "the kernel refuses the filter: a flag that it does not know, or too many instructions",
      "leave linux.seccomp.flags out, or shorten the profile",
    ),
  },
  {
    ops: ["seccomp"],
    errnos: ["EBUSY"],
    advice: say(
      "a filter around us has a listener for notifications already, and there can be one only",
      "leave SCMP_ACT_NOTIFY out of the profile",
    ),
  },
  {
    ops: ["capabilities", "bounding"],
    errnos: ["EPERM"],
    advice: say(
      "a capability was asked for that the bounding or permitted set no longer holds",
      "add it to the bounding set too, or drop it from the others in process.capabilities",
    ),
  },
  {
    ops: ["hostname", "domainname"],
    errnos: ["EINVAL", "ENAMETOOLONG"],
    advice: say("the kernel takes names of at most 64 bytes", "use a shorter name"),
  },
  {
    ops: ["console"],
    errnos: ["ENOSPC"],
    advice: say("no pseudo terminal is left (kernel.pty.max)", "end sessions that are not needed; as root: sysctl -w kernel.pty.max=8192"),
  },
  {
    ops: ["console"],
    errnos: ["ECONNREFUSED"],
    advice: say("nobody listens on the console socket", "start the receiver before the runtime, and check --console-socket"),
  },
  {
    ops: ["console"],
    calls: ["openat2", "openat", "open"],
    errnos: ["ENOENT"],
    advice: say("the container has no devpts on /dev/pts", "mount devpts on /dev/pts, or set process.terminal to false"),
  },
  {
    ops: ["cwd"],
    errnos: ["ENOENT", "ENOTDIR"],
    advice: say("the working directory is missing in the container", "create it in the image, or choose another: --workdir DIR"),
  },
  {
    ops: ["cwd"],
    errnos: ["EACCES"],
    advice: say("the user of the container may not enter the working directory", "choose another: --workdir DIR, or another --user"),
  },
  {
    ops: ["hook"],
    errnos: ["ETIMEDOUT"],
    advice: say(
      "the hook did not end within its timeout, and was killed",
      "raise its timeout in hooks, or run it by hand with the state on standard input",
    ),
  },
  {
    ops: ["hook"],
    errnos: ["ENOENT"],
    advice: say(
      "the hook's program, or its interpreter, is missing",
      "check the hook's path in hooks: it is absolute, and not searched for",
    ),
  },

  // ---- exec
  {
    ops: ["resolve"],
    errnos: ["ENOENT"],
    advice: say(
      "no directory of the container's PATH has that program",
      "check its spelling, its PATH (--env PATH=…), and that the image has it",
    ),
  },
  {
    ops: ["exec"],
    errnos: ["ENOENT"],
    advice: say(
      "the file is there, but the interpreter of its first line, or its ELF loader, is missing in the container (a program for glibc in an image with musl, say)",
      "readelf -l PROGRAM or head -1 SCRIPT names what it needs; add it to the image, or link statically",
    ),
  },
  {
    ops: ["exec", "resolve"],
    errnos: ["EACCES"],
    advice: say(
      "the file is a directory, lacks the execute bit, or lies on a noexec mount",
      "chmod +x it in the image, or remove noexec from its mount",
    ),
  },
  {
    ops: ["exec"],
    errnos: ["ENOEXEC"],
    advice: (facts) => ({
      why: `the program is built for another architecture than ${facts.arch}, or is a script without #! in its first line`,
      try: `use an image for linux/${facts.arch} (--platform), or put #!/bin/sh into the script's first line`,
    }),
  },
  {
    ops: ["exec"],
    errnos: ["ETXTBSY"],
    advice: say("the program is open for writing", "wait until its writer has closed it, then start again"),
  },
  {
    ops: ["exec"],
    errnos: ["E2BIG"],
    advice: say(
      "arguments and environment together are too long (a quarter of the stack limit; 128 KiB each)",
      "pass less, or by file; raise the limit with --ulimit stack",
    ),
  },
  {
    ops: ["exec"],
    errnos: ["ELOOP"],
    advice: say("the program's symbolic links, or its interpreters, lead in a circle", "look at them in the image with ls -l"),
  },
  {
    ops: ["exec"],
    errnos: ["EAGAIN"],
    advice: say(
      "the user of the container has more processes than RLIMIT_NPROC allows",
      "raise it (--ulimit nproc), or end processes of that user",
    ),
  },
  {
    ops: ["exec"],
    errnos: ["EPERM"],
    advice: say(
      "the file has capabilities or a setuid bit that this container may not grant",
      "remove them from the file (setcap -r), or add the capability",
    ),
  },
  {
    ops: ["exec"],
    errnos: ["ENOMEM"],
    advice: say("memory ran out, or the container's memory limit is too small to load the program", "raise --memory"),
  },

  // ---- state and storage
  { ops: ["lock_state"], errnos: ["EAGAIN", "EWOULDBLOCK"], advice: say("another command works on this container", "wait for it to end") },
  {
    ops: ["lock_state", "undo_log", "store_plan", "store_file", "pid_file"],
    errnos: ["EACCES", "EPERM", "EROFS"],
    advice: say("the state directory or the pid file's is not ours to write", "--root DIR in a directory of yours, or set XDG_RUNTIME_DIR"),
  },
  {
    ops: ["lock_state", "undo_log", "store_plan", "store_file"],
    errnos: ["ENOSPC", "EDQUOT"],
    advice: (facts) => ({
      why: "the file system of the state directory is full",
      try: `df ${quote(facts.dirs.runtime.path === "" ? "/tmp" : facts.dirs.runtime.path)}; remove stopped containers, or --root DIR elsewhere`,
    }),
  },

  // ---- whatever the step was
  {
    errnos: ["ENOSPC"],
    advice: (facts) => ({
      why: "the file system is full, or out of inodes",
      try: `df -h ${quote(facts.dirs.data.path || "/")}; df -i; remove images and containers that are not needed`,
    }),
  },
  { errnos: ["EDQUOT"], advice: say("this user's quota on the file system is used up", "quota -s shows it; remove what is not needed") },
  { errnos: ["EROFS"], advice: say("the file system is mounted read-only", "findmnt -T PATH shows it; use a writable directory") },
  {
    errnos: ["EMFILE"],
    advice: (facts) => ({
      why: `this process has as many open files as it may (RLIMIT_NOFILE ${facts.self.rlimits["RLIMIT_NOFILE"]?.soft ?? "unknown"})`,
      try: "ulimit -n 65536",
    }),
  },
  { errnos: ["ENFILE"], advice: say("the whole system has as many open files as it may", "as root: sysctl -w fs.file-max=1000000") },
  { errnos: ["ENOSYS"], when: (facts) => facts.self.seccompMode === 2, advice: because("seccomp") },
  {
    errnos: ["ENOSYS"],
    advice: (facts) => ({
      why: `this kernel (${facts.kernel.release}) lacks the system call; Coracle needs Linux 5.13`,
      try: "boot a newer kernel",
    }),
  },
  { errnos: ["EPERM"], when: (facts) => facts.self.seccompMode === 2, advice: because("seccomp") },
  {
    errnos: ["ENAMETOOLONG"],
    advice: say(
      "a path is longer than the kernel takes (4096 bytes, 255 each name)",
      "use shorter names, or a shorter --root or --storage",
    ),
  },
  {
    errnos: ["ESTALE"],
    advice: say("the file's server forgot it, or it was replaced meanwhile", "try again; remount the network file system if it stays so"),
  },
  { errnos: ["EIO"], advice: say("the disk or the server behind the file system failed", "as root: dmesg | tail shows the error") },
];

const holds = (names: readonly string[] | undefined, name: string | null | undefined): boolean =>
  names === undefined || (name !== null && name !== undefined && names.includes(name));

/**
 * Why a step failed on this host, and what to try; null where nothing certain can be said.
 * @param op the step's op (core/plan/ops.ts); null for what is no step of a plan.
 * @param syscall the system call's name, e.g. `mount`; empty where it is unknown.
 * @param errno its errno's name, e.g. `EPERM`.
 */
export const hint = (op: string | null, syscall: string, errno: string, facts: Facts, about: About = {}): Hint | null => {
  for (const rule of rules) {
    if (!rule.errnos.includes(errno) || !holds(rule.ops, op) || !holds(rule.calls, syscall) || !holds(rule.types, about.type)) continue;
    if (rule.when !== undefined && !rule.when(facts)) continue;
    const advice = rule.advice(facts);
    if (advice !== null) return advice;
  }
  return null;
};

/** The rules' keys, for tests and for docs: which steps, calls and errnos are advised on. */
export const hintRules: readonly {
  readonly ops: readonly string[] | null;
  readonly calls: readonly string[] | null;
  readonly errnos: readonly string[];
}[] = rules.map(({ ops, calls, errnos }) => ({ ops: ops ?? null, calls: calls ?? null, errnos }));
