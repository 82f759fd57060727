/** `features`: what this runtime knows (features.md), from the tables that it runs by. */
import { stringifyJson } from "#core/json";
import { MOUNT_OPTIONS } from "#core/plan/mounts";
import { CAPABILITIES } from "#core/spec/check";
import { HOOK_NAMES, NAMESPACE_TYPES, OCI_VERSION, SECCOMP_ARCHS, SECCOMP_FLAGS, SECCOMP_OPERATORS } from "#core/spec/config";
import type { Features } from "#core/spec/features";
import type { Verb } from "../verb.ts";

const features = {
  ociVersionMin: "1.0.0",
  ociVersionMax: OCI_VERSION,
  hooks: [...HOOK_NAMES],
  mountOptions: [...MOUNT_OPTIONS],
  linux: {
    namespaces: [...NAMESPACE_TYPES],
    capabilities: [...CAPABILITIES],
    cgroup: { v1: true, v2: true, systemd: false, systemdUser: true, rdma: true },
    seccomp: {
      enabled: true,
      actions: [
        "SCMP_ACT_ALLOW",
        "SCMP_ACT_ERRNO",
        "SCMP_ACT_KILL",
        "SCMP_ACT_KILL_PROCESS",
        "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_LOG",
        "SCMP_ACT_TRACE",
        "SCMP_ACT_TRAP",
      ],
      operators: [...SECCOMP_OPERATORS],
      archs: [...SECCOMP_ARCHS],
      knownFlags: [...SECCOMP_FLAGS],
    },
    apparmor: { enabled: false },
    selinux: { enabled: false },
    intelRdt: { enabled: false },
    mountExtensions: { idmap: { enabled: false } },
  },
  annotations: {},
} satisfies Features;

export const featuresVerb: Verb = {
  name: "features",
  usage: "features",
  help: "Print what this runtime supports, as JSON",
  flags: [],
  ask: () => ({}),
  act: () => ({ kind: "print", text: `${stringifyJson(features, 2)}\n` }),
};
