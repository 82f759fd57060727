/**
 * What a host can and cannot do for Coracle, why, and the remedy: pure, from facts to a report, and from a report to text.
 */

import * as z from "zod/mini";
import { type Facts, type Tried, wasTried } from "#core/facts";
import { causes, cgroupRemedy, hintForCause, isConfined } from "#core/hints";

const StatusSchema = z.enum(["ok", "degraded", "missing"]);

const CheckSchema = z.object({
  /** Stable, for scripts: `limits.driver`. */
  id: z.string(),
  title: z.string(),
  /** `degraded`: containers run, with less; the detail says with what less. */
  status: StatusSchema,
  detail: z.string(),
  /** The proven cause; null where nothing is amiss, or none is known. */
  why: z.nullable(z.string()),
  /** What an administrator (or the user) would type; null where there is nothing to do. */
  remedy: z.nullable(z.string()),
});

export const DoctorReportSchema = z.object({
  version: z.literal(1),
  host: z.object({
    name: z.string(),
    kernel: z.string(),
    arch: z.string(),
    user: z.string(),
    uid: z.int(),
    insideContainer: z.nullable(z.string()),
  }),
  /** True where a container can run at all. */
  runs: z.boolean(),
  /** What Coracle will use here, unless told otherwise. */
  choices: z.object({
    ids: z.enum(["direct", "newuidmap", "single"]),
    snapshotter: z.enum(["overlay", "fuse-overlayfs", "copy"]),
    cgroup: z.enum(["v2", "systemd", "v1", "none"]),
    network: z.enum(["pasta", "slirp4netns", "none"]),
  }),
  sections: z.array(z.object({ title: z.string(), checks: z.array(CheckSchema) })),
});

export type DoctorReport = z.infer<typeof DoctorReportSchema>;
export type DoctorCheck = z.infer<typeof CheckSchema>;
type Status = z.infer<typeof StatusSchema>;
type Choices = DoctorReport["choices"];
export type Snapshotter = Choices["snapshotter"];

/** Works, or was not tried by a quick probe: then the best is assumed, as a planner does. */
const usable = (tried: Tried): boolean => tried.works || tried.cause === "not-tried";

const hasCapability = (facts: Facts, bit: number): boolean => {
  const digit = facts.self.capEffective.at(-1 - Math.floor(bit / 4)) ?? "0";
  return ((Number.parseInt(digit, 16) >> (bit % 4)) & 1) === 1;
};

/** Ids that the user namespace around us can give away. */
const mappedIds = (facts: Facts): number => facts.self.uidMap.reduce((sum, { count }) => sum + count, 0);

/** How ids get mapped: by ourselves (CAP_SETUID and CAP_SETGID over more than one id), by the setuid helpers, or our own id alone. */
export const chooseIds = (facts: Facts): Choices["ids"] => {
  if (hasCapability(facts, 6) && hasCapability(facts, 7) && mappedIds(facts) > 1) return "direct";
  return facts.subids.cause === null && usable(facts.subids.mapping) ? "newuidmap" : "single";
};

const fuseWorks = (facts: Facts): boolean => facts.tools.fuseOverlayfs !== null && facts.devices.fuse.works && usable(facts.mounts.fuse);

/** How layers become a root file system: the kernel's overlay, else fuse-overlayfs, else a copy. */
export const chooseSnapshotter = (facts: Facts): Choices["snapshotter"] => {
  const { overlay, userXattr, fs } = facts.dirs.data;
  // Where it was not tried, what overlay asks of an upper file system says as much as can be said.
  if (wasTried(overlay) ? overlay.works : userXattr && fs !== "overlayfs") return "overlay";
  return fuseWorks(facts) ? "fuse-overlayfs" : "copy";
};

/** Who makes cgroups: we in a delegated v2 subtree, systemd's user manager, we in delegated v1 directories, or nobody. */
export const chooseCgroup = (facts: Facts): Choices["cgroup"] => {
  const { cgroup } = facts;
  // A hybrid host's v2 tree has no controllers to speak of: they are taken by v1.
  if (cgroup.mode === "v2" && cgroup.v2 !== null && cgroup.v2.delegated !== null && !cgroup.v2.occupied) return "v2";
  if (cgroup.v1.some(({ delegated, controllers }) => delegated !== null && controllers.includes("memory"))) return "v1";
  if (cgroup.v1.some(({ delegated, controllers }) => delegated !== null && controllers.includes("pids"))) return "v1";
  return cgroup.mode === "v2" && cgroup.systemdUser !== null ? "systemd" : "none";
};

/** What carries a container's traffic without root: pasta, else slirp4netns; both open /dev/net/tun. */
export const chooseNetwork = (facts: Facts): Choices["network"] => {
  if (!facts.devices.tun.works || !usable(facts.namespaces.network)) return "none";
  if (facts.tools.pasta !== null) return "pasta";
  return facts.tools.slirp4netns === null ? "none" : "slirp4netns";
};

const ok = (id: string, title: string, detail: string): DoctorCheck => ({ id, title, status: "ok", detail, why: null, remedy: null });

const bad = (
  id: string,
  title: string,
  status: Exclude<Status, "ok">,
  detail: string,
  why: string | null = null,
  remedy: string | null = null,
): DoctorCheck => ({
  id,
  title,
  status,
  detail,
  why,
  remedy,
});

/** A failed trial, with what its cause is known to mean. */
const badTried = (id: string, title: string, status: Exclude<Status, "ok">, tried: Tried, detail: string, facts: Facts): DoctorCheck => {
  if (!wasTried(tried)) {
    const reason =
      tried.cause === "no-userns"
        ? "not tried: it takes a user namespace"
        : tried.cause === "not-tried"
          ? "not tried by a quick probe"
          : null;
    return bad(id, title, tried.cause === "not-tried" ? "degraded" : status, reason ?? `not tried (${tried.cause ?? "no reason given"})`);
  }
  const advice = hintForCause(tried.cause, facts);
  return bad(id, title, status, `${detail}${tried.errno === null ? "" : ` (${tried.errno})`}`, advice?.why ?? null, advice?.try ?? null);
};

const list = (words: readonly string[]): string => (words.length === 0 ? "none" : words.join(", "));

// ---- sections

const namespaceChecks = (facts: Facts): DoctorCheck[] => {
  const { kernel, namespaces } = facts;
  const failed = Object.entries(namespaces).filter(([, tried]) => !tried.works);
  const first = failed.find(([, tried]) => wasTried(tried)) ?? failed[0];
  const vital = !namespaces.mount.works || !namespaces.pid.works;
  const title = "Other namespaces";
  return [
    // openat2, mount_setattr, overlay with userxattr.
    kernel.major > 5 || (kernel.major === 5 && kernel.minor >= 13)
      ? ok("namespaces.kernel", "Kernel", `Linux ${kernel.release}`)
      : bad(
          "namespaces.kernel",
          "Kernel",
          "missing",
          `Linux ${kernel.release}`,
          "Coracle needs Linux 5.13: mount_setattr, and overlay without root",
          "boot a newer kernel",
        ),
    facts.userns.works
      ? ok("namespaces.user", "User namespace", "works for this user")
      : badTried("namespaces.user", "User namespace", "missing", facts.userns, "refused", facts),
    first === undefined
      ? ok("namespaces.other", title, list(Object.keys(namespaces)))
      : badTried(
          "namespaces.other",
          title,
          vital ? "missing" : "degraded",
          first[1],
          `without ${list(failed.map(([name]) => name))}`,
          facts,
        ),
  ];
};

const idChecks = (facts: Facts, ids: Choices["ids"]): DoctorCheck[] => {
  const id = "ids.map";
  const title = "Ids in a container";
  if (ids === "direct") return [ok(id, title, `mapped by ourselves, out of ${mappedIds(facts)}`)];
  if (ids === "newuidmap") {
    const count = facts.subids.uid.reduce((sum, range) => sum + range.count, 0);
    const rest = wasTried(facts.subids.mapping) ? "" : ", not tried by a quick probe";
    return [ok(id, title, `${count + 1}: our own and ${count} of /etc/subuid, by newuidmap${rest}`)];
  }
  const advice = hintForCause(facts.subids.cause, facts) ?? hintForCause(facts.subids.mapping.cause, facts);
  return [
    bad(
      id,
      title,
      "degraded",
      "one: root in the container is you, and there is nobody else (single-id fallback). Images whose files belong to others lose those owners; apt and the like cannot switch users",
      advice?.why ?? null,
      advice?.try ?? null,
    ),
  ];
};

const mountChecks = (facts: Facts): DoctorCheck[] => {
  const { mounts } = facts;
  const bound = (id: string, title: string, tried: Tried, host: string): DoctorCheck =>
    tried.works
      ? ok(id, title, "a new one for each container")
      : badTried(id, title, wasTried(tried) ? "degraded" : "missing", tried, `no new one: ${host} is bound instead`, facts);
  const small = Object.entries({ tmpfs: mounts.tmpfs, devpts: mounts.devpts, mqueue: mounts.mqueue });
  const failed = small.filter(([, tried]) => !tried.works);
  const first = failed[0];
  const title = "tmpfs, devpts, mqueue";
  return [
    bound("filesystems.proc", "proc", mounts.proc, "the /proc around us"),
    bound("filesystems.sysfs", "sysfs", mounts.sysfs, "the /sys around us"),
    first === undefined
      ? ok("filesystems.small", title, "work")
      : badTried(
          "filesystems.small",
          title,
          first[0] === "mqueue" ? "degraded" : "missing",
          first[1],
          `without ${list(failed.map(([name]) => name))}`,
          facts,
        ),
    facts.devices.fuse.works && mounts.fuse.works
      ? ok("filesystems.fuse", "FUSE", "works inside a user namespace")
      : badTried(
          "filesystems.fuse",
          "FUSE",
          "degraded",
          facts.devices.fuse.works ? mounts.fuse : facts.devices.fuse,
          "no fuse-overlayfs, no lazy layers",
          facts,
        ),
  ];
};

/** Controllers that hold the limits of `run`, by the flags that need them. */
const limitFlags: Readonly<Record<string, string>> = {
  memory: "--memory",
  pids: "--pids-limit",
  cpu: "--cpus",
  cpuset: "--cpuset-cpus",
  io: "--device-read-bps",
};

const controllersOf = (facts: Facts, driver: Choices["cgroup"]): readonly string[] => {
  if (driver === "v2") return facts.cgroup.v2?.controllers ?? [];
  if (driver === "systemd") return facts.cgroup.systemdUser?.controllers ?? [];
  if (driver === "none") return [];
  return facts.cgroup.v1
    .filter(({ delegated }) => delegated !== null)
    .flatMap(({ controllers }) => controllers.map((name) => (name === "blkio" ? "io" : name)));
};

const limitChecks = (facts: Facts, driver: Choices["cgroup"]): DoctorCheck[] => {
  const has = controllersOf(facts, driver);
  const without = Object.entries(limitFlags).filter(([name]) => !has.includes(name));
  const id = "limits.driver";
  const title = "Control groups";
  const names = {
    v2: () => ok(id, title, `version 2, delegated at ${facts.cgroup.v2?.delegated ?? ""}`),
    systemd: () => ok(id, title, "version 2, each container in a scope that systemd's user manager makes"),
    v1: () =>
      ok(
        id,
        title,
        `version 1, delegated at ${facts.cgroup.v1.find(({ delegated }) => delegated !== null)?.delegated ?? ""} and beside it`,
      ),
    none: () =>
      bad(
        id,
        title,
        "missing",
        `a run with limits (${Object.values(limitFlags).join(", ")}) is refused; --limits best-effort runs it without them. pause does not work either`,
        facts.cgroup.mode === "none"
          ? "no cgroup file system is mounted"
          : facts.cgroup.mode === "v2"
            ? "no cgroup is delegated to us, and systemd's user manager does not answer"
            : "no cgroup is delegated to us",
        !isConfined(facts)
          ? cgroupRemedy(facts)
          : "start the outer container with a writable cgroup (podman: --cgroupns=private --security-opt unmask=/sys/fs/cgroup)",
      ),
  } as const;
  if (driver === "none") return [names.none()];
  const v2Remedy =
    "as root: mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' > /etc/systemd/system/user@.service.d/delegate.conf && systemctl daemon-reload; then log in again";
  return [
    names[driver](),
    without.length === 0
      ? ok("limits.controllers", "Limits that hold", Object.values(limitFlags).join(", "))
      : bad(
          "limits.controllers",
          "Limits that hold",
          "degraded",
          `${list(Object.entries(limitFlags).flatMap(([name, flag]) => (has.includes(name) ? [flag] : [])))}; refused: ${without.map(([, flag]) => flag).join(", ")}`,
          `not delegated: ${without.map(([name]) => name).join(", ")}`,
          driver === "v1" ? cgroupRemedy(facts) : facts.cgroup.systemdSystem ? v2Remedy : null,
        ),
  ];
};

const networkChecks = (facts: Facts, driver: Choices["network"]): DoctorCheck[] => {
  const id = "network.driver";
  const title = "Network";
  if (driver !== "none") return [ok(id, title, `${facts.tools[driver] ?? driver}`)];
  const detail = "none of its own: only --network none and --network host";
  if (!usable(facts.namespaces.network)) return [badTried(id, title, "degraded", facts.namespaces.network, detail, facts)];
  if (facts.tools.pasta === null && facts.tools.slirp4netns === null) {
    return [
      bad(
        id,
        title,
        "degraded",
        detail,
        "neither pasta nor slirp4netns is installed",
        "as root: apt-get install slirp4netns (or passt, for pasta)",
      ),
    ];
  }
  return [badTried(id, title, "degraded", facts.devices.tun, detail, facts)];
};

const securityChecks = (facts: Facts): DoctorCheck[] => {
  const { seccomp, lsm, self } = facts;
  const mac = lsm.active.filter((name) => ["apparmor", "selinux", "smack", "tomoyo"].includes(name));
  return [
    seccomp.filter
      ? ok("security.seccomp", "System call filter", seccomp.userNotif ? "seccomp, with notification" : "seccomp, without notification")
      : bad(
          "security.seccomp",
          "System call filter",
          "missing",
          "none",
          "this kernel has no seccomp filters",
          "boot a kernel with CONFIG_SECCOMP_FILTER",
        ),
    ...(lsm.landlockAbi > 0
      ? [ok("security.landlock", "Landlock", `ABI ${lsm.landlockAbi}`)]
      : [
          bad(
            "security.landlock",
            "Landlock",
            "degraded",
            "none: helpers run without this second wall",
            "it is not built into this kernel, not in its lsm= list, or a filter around us hides it",
          ),
        ]),
    ...(mac.length > 0 ? [ok("security.mac", "Mandatory access control", list(mac))] : []),
    ...(self.noNewPrivs
      ? [
          bad(
            "security.no-new-privs",
            "no_new_privs",
            "degraded",
            "set on this process: setuid helpers have no effect",
            ...advise("no-new-privs", facts),
          ),
        ]
      : []),
    ...(facts.insideContainer === null && facts.procMasked.length === 0
      ? []
      : [
          facts.procMasked.length === 0
            ? ok(
                "security.nested",
                "Inside a container",
                `${facts.insideContainer ?? "some kind"}, by its marker; but nothing of /proc and /sys is masked`,
              )
            : bad(
                "security.nested",
                "Inside a container",
                "degraded",
                `${facts.insideContainer ?? "unknown kind"}: ${facts.procMasked.length} paths of /proc and /sys are masked or read-only`,
                ...advise("proc-masked", facts),
              ),
        ]),
  ];
};

const advise = (cause: keyof typeof causes, facts: Facts): [why: string, remedy: string] => {
  const advice = causes[cause];
  const { why, try: remedy } = advice(facts);
  return [why, remedy];
};

const storageChecks = (facts: Facts, snapshotter: Choices["snapshotter"]): DoctorCheck[] => {
  const { data, runtime } = facts.dirs;
  const where = (dir: { path: string; fs: string }): string => `${dir.path} (${dir.fs})`;
  const title = "Root file systems";
  const id = "storage.snapshotter";
  const advice = hintForCause(data.overlay.cause, facts);
  return [
    data.writable
      ? ok("storage.data", "Images and layers", where(data))
      : bad(
          "storage.data",
          "Images and layers",
          "missing",
          data.path === "" ? "no directory: HOME and XDG_DATA_HOME are unset" : `${where(data)} cannot be written`,
          ...(data.path === ""
            ? (["neither variable names a directory", "set HOME, or use --storage DIR"] as const)
            : advise("not-writable", facts)),
        ),
    snapshotter === "overlay"
      ? data.overlay.works
        ? ok(id, title, "overlay, in the kernel")
        : badTried(id, title, "degraded", data.overlay, "", facts)
      : bad(
          id,
          title,
          "degraded",
          snapshotter === "fuse-overlayfs"
            ? "fuse-overlayfs: files are 2 to 17 times slower than with the kernel's overlay"
            : "copy: every container copies its image, in time and in space",
          advice?.why ?? null,
          advice?.try ?? null,
        ),
    runtime.writable
      ? ok("storage.runtime", "State of containers", where(runtime))
      : bad(
          "storage.runtime",
          "State of containers",
          "degraded",
          "in a private directory under /tmp",
          runtime.path === ""
            ? "XDG_RUNTIME_DIR is unset: no session manager made one for this login"
            : `${where(runtime)} cannot be written`,
          `log in through a session that sets it (ssh, not su), or export XDG_RUNTIME_DIR=/run/user/${facts.self.uid} where that exists`,
        ),
  ];
};

/** Without these nothing runs; all else only costs something. */
const vital = ["namespaces.kernel", "namespaces.user", "namespaces.other", "filesystems.small", "storage.data"];

/** The report on a host, from its facts: those of this one, or of another. */
export const buildDoctor = (facts: Facts): DoctorReport => {
  const choices: Choices = {
    ids: chooseIds(facts),
    snapshotter: chooseSnapshotter(facts),
    cgroup: chooseCgroup(facts),
    network: chooseNetwork(facts),
  };
  const sections = [
    { title: "Namespaces", checks: namespaceChecks(facts) },
    { title: "Ids", checks: idChecks(facts, choices.ids) },
    { title: "File systems", checks: mountChecks(facts) },
    { title: "Limits", checks: limitChecks(facts, choices.cgroup) },
    { title: "Network", checks: networkChecks(facts, choices.network) },
    { title: "Security", checks: securityChecks(facts) },
    { title: "Storage", checks: storageChecks(facts, choices.snapshotter) },
  ];
  return {
    version: 1,
    host: {
      name: facts.hostname,
      kernel: facts.kernel.release,
      arch: facts.arch,
      user: facts.self.user ?? String(facts.self.uid),
      uid: facts.self.uid,
      insideContainer: facts.insideContainer,
    },
    runs: !sections.some(({ checks }) => checks.some(({ id, status }) => status === "missing" && vital.includes(id))),
    choices,
    sections,
  };
};

// ---- text

export type RenderOptions = {
  /** ANSI colours; default none. */
  readonly colour?: boolean;
  /** Columns to wrap prose at; default 100. Commands are never wrapped, so that they can be copied. */
  readonly width?: number;
};

const marks: Readonly<Record<Status, { readonly sign: string; readonly colour: string }>> = {
  ok: { sign: "✓", colour: "32" },
  degraded: { sign: "!", colour: "33" },
  missing: { sign: "✗", colour: "31" },
};

const wrap = (text: string, width: number): string[] => {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
};

const idWords: Readonly<Record<Choices["ids"], string>> = {
  direct: "all that this namespace has",
  newuidmap: "the full range, by newuidmap",
  single: "one only",
};
const cgroupWords: Readonly<Record<Choices["cgroup"], string>> = {
  v2: "cgroup v2, delegated",
  systemd: "cgroup v2, by systemd scopes",
  v1: "cgroup v1, delegated",
  none: "none",
};

/** The report as text for a terminal; ends with a line feed. */
export const renderDoctor = (report: DoctorReport, options: RenderOptions = {}): string => {
  const width = Math.max(options.width ?? 100, 60);
  const paint = (text: string, colour: string): string => (options.colour === true ? `\u001b[${colour}m${text}\u001b[0m` : text);
  const { host, choices } = report;
  const checks = report.sections.flatMap((section) => section.checks);
  const column = Math.max(...checks.map(({ title }) => title.length)) + 2;
  const out: string[] = [];
  /** `head` stands before the first line, and the rest is indented as far. */
  const put = (head: string, headWidth: number, text: string): void => {
    for (const [index, line] of wrap(text, width - headWidth).entries()) out.push(`${index === 0 ? head : " ".repeat(headWidth)}${line}`);
  };

  out.push(
    paint(`Coracle on ${host.name}`, "1"),
    `Linux ${host.kernel}, ${host.arch}, user ${host.user} (${host.uid})${host.insideContainer === null ? "" : `, inside ${host.insideContainer}`}`,
    "",
  );
  const less = checks.filter(({ status }) => status !== "ok").length;
  const verdict = report.runs
    ? less === 0
      ? "Containers run here, and nothing is missing."
      : `Containers run here; ${less} of ${checks.length} checks could be better.`
    : "Containers cannot run here yet.";
  out.push(paint(verdict, report.runs ? (less === 0 ? "32" : "33") : "31"));
  if (report.runs) {
    out.push(
      `  ids ${idWords[choices.ids]} · root file system ${choices.snapshotter} · limits ${cgroupWords[choices.cgroup]} · network ${choices.network}`,
    );
  }
  for (const section of report.sections) {
    out.push("", paint(section.title, "1"));
    for (const { title, status, detail, why, remedy } of section.checks) {
      const { sign, colour } = marks[status];
      put(`  ${paint(sign, colour)} ${title.padEnd(column)}`, 4 + column, detail);
      if (why !== null) put(`      ${paint("why:", "2")}  `, 12, why);
      if (remedy !== null) out.push(`      ${paint("try:", "2")}  ${remedy}`);
    }
  }
  return `${out.join("\n")}\n`;
};
