/** `spec`: a config.json to start from, as `runc spec` writes one. */
import { Fault } from "#core/fault";
import { flagOn, flagText } from "#core/flags";
import { DEFAULT_MASKED_PATHS, DEFAULT_READONLY_PATHS } from "#core/image/build-config";
import { stringifyJson } from "#core/json";
import { type Config, OCI_VERSION } from "#core/spec/config";
import { absolute } from "../arguments.ts";
import type { Verb } from "../verb.ts";

const capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

/** The container of the specification's example: a shell, read-only root, few capabilities. */
const buildSpec = (rootless: { readonly uid: number; readonly gid: number } | null): Config => ({
  ociVersion: OCI_VERSION,
  process: {
    terminal: true,
    user: { uid: 0, gid: 0 },
    args: ["sh"],
    env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
    cwd: "/",
    capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
    rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
    noNewPrivileges: true,
  },
  root: { path: "rootfs", readonly: true },
  hostname: "coracle",
  mounts: [
    { destination: "/proc", type: "proc", source: "proc" },
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"] },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", ...(rootless === null ? ["gid=5"] : [])],
    },
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
    ...(rootless === null
      ? [{ destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid", "noexec", "nodev", "relatime", "ro"] }]
      : []),
  ],
  linux: {
    ...(rootless === null
      ? { resources: { devices: [{ allow: false, access: "rwm" }] } }
      : {
          uidMappings: [{ containerID: 0, hostID: rootless.uid, size: 1 }],
          gidMappings: [{ containerID: 0, hostID: rootless.gid, size: 1 }],
        }),
    namespaces: [
      { type: "pid" },
      { type: "network" },
      { type: "ipc" },
      { type: "uts" },
      { type: "cgroup" },
      { type: "mount" },
      ...(rootless === null ? [] : [{ type: "user" as const }]),
    ],
    maskedPaths: [...DEFAULT_MASKED_PATHS],
    readonlyPaths: [...DEFAULT_READONLY_PATHS],
  },
});

export const spec: Verb = {
  name: "spec",
  usage: "spec [FLAGS]",
  help: "Write a config.json to start from",
  flags: [
    { name: "bundle", short: "b", kind: "text", value: "DIR", help: "Where to write it (default: the working directory)" },
    { name: "rootless", kind: "switch", help: "For an unprivileged user: with a user namespace that maps your own id" },
  ],
  ask: () => ({ facts: "quick" }),
  act: (line, { facts }) => {
    if (line.rest.length > 0)
      throw new Fault("E_USAGE", {
        message: `spec takes no arguments, and was given ${line.rest.join(" ")}`,
        hint: "coracle-oci spec --bundle DIR",
      });
    const rootless = flagOn(line.values, "rootless") && facts !== null ? { uid: facts.self.uid, gid: facts.self.gid } : null;
    const directory = absolute(flagText(line.values, "bundle") ?? ".", line.cwd);
    return { kind: "write", path: `${directory}/config.json`, text: `${stringifyJson(buildSpec(rootless), 2)}\n` };
  },
};
