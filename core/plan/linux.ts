/** Numbers of the Linux ABI that plans carry. They are the same on every architecture that Coracle runs on. */

/** clone(2), unshare(2), setns(2): include/uapi/linux/sched.h. */
export const CLONE = {
  mount: 0x00020000,
  cgroup: 0x02000000,
  uts: 0x04000000,
  ipc: 0x08000000,
  user: 0x10000000,
  pid: 0x20000000,
  network: 0x40000000,
  time: 0x00000080,
} as const;

/** mount_setattr(2): include/uapi/linux/mount.h. The access time modes share one field. */
export const ATTR = {
  ro: 0x1,
  nosuid: 0x2,
  nodev: 0x4,
  noexec: 0x8,
  atimeMask: 0x70,
  relatime: 0x0,
  noatime: 0x10,
  strictatime: 0x20,
  nodiratime: 0x80,
  nosymfollow: 0x200000,
} as const;

/** mount(2)'s propagation types. */
export const MS = { rec: 0x4000, unbindable: 0x20000, private: 0x40000, slave: 0x80000, shared: 0x100000 } as const;

const flagNames: Readonly<Record<string, readonly (readonly [number, string])[]>> = {
  clone: [
    [CLONE.user, "CLONE_NEWUSER"],
    [CLONE.mount, "CLONE_NEWNS"],
    [CLONE.pid, "CLONE_NEWPID"],
    [CLONE.network, "CLONE_NEWNET"],
    [CLONE.ipc, "CLONE_NEWIPC"],
    [CLONE.uts, "CLONE_NEWUTS"],
    [CLONE.cgroup, "CLONE_NEWCGROUP"],
    [CLONE.time, "CLONE_NEWTIME"],
  ],
  attr: [
    [ATTR.ro, "ro"],
    [ATTR.nosuid, "nosuid"],
    [ATTR.nodev, "nodev"],
    [ATTR.noexec, "noexec"],
    [ATTR.noatime, "noatime"],
    [ATTR.strictatime, "strictatime"],
    [ATTR.nodiratime, "nodiratime"],
    [ATTR.nosymfollow, "nosymfollow"],
  ],
  ms: [
    [MS.rec, "rec"],
    [MS.unbindable, "unbindable"],
    [MS.private, "private"],
    [MS.slave, "slave"],
    [MS.shared, "shared"],
  ],
};

/** The names of the bits that are set, joined by `|`; what has no name stays a number. */
export const formatFlags = (family: "clone" | "attr" | "ms", value: number): string => {
  const names = [];
  let rest = value;
  for (const [bit, name] of flagNames[family] ?? [])
    if ((value & bit) === bit) {
      names.push(name);
      rest -= bit;
    }
  if (rest !== 0) names.push(`0x${rest.toString(16)}`);
  return names.length === 0 ? "0" : names.join("|");
};
