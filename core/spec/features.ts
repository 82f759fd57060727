/** What `features` prints: the properties that this runtime knows, whether or not this host can do them (runtime-spec, features.md). */
import * as z from "zod/mini";
import { NAMESPACE_TYPES, SECCOMP_ACTIONS, SECCOMP_ARCHS, SECCOMP_FLAGS, SECCOMP_OPERATORS } from "./config.ts";
import { flag, matching, text, textMap, texts } from "./fields.ts";

const maybe = z.optional;
export const FeaturesSchema = z.lazy(() => {
  const enabled = maybe(z.object({ enabled: maybe(flag) }));
  return z.object({
    ociVersionMin: text,
    ociVersionMax: text,
    hooks: maybe(texts),
    mountOptions: maybe(texts),
    annotations: maybe(textMap),
    potentiallyUnsafeConfigAnnotations: maybe(texts),
    linux: maybe(
      z.object({
        namespaces: maybe(z.array(z.enum(NAMESPACE_TYPES))),
        capabilities: maybe(z.array(matching(/^CAP_[A-Z_]+$/, 'a name such as "CAP_CHOWN"'))),
        cgroup: maybe(z.object({ v1: maybe(flag), v2: maybe(flag), systemd: maybe(flag), systemdUser: maybe(flag), rdma: maybe(flag) })),
        seccomp: maybe(
          z.object({
            enabled: maybe(flag),
            actions: maybe(z.array(z.enum(SECCOMP_ACTIONS))),
            operators: maybe(z.array(z.enum(SECCOMP_OPERATORS))),
            archs: maybe(z.array(z.enum(SECCOMP_ARCHS))),
            knownFlags: maybe(z.array(z.enum(SECCOMP_FLAGS))),
            supportedFlags: maybe(z.array(z.enum(SECCOMP_FLAGS))),
          }),
        ),
        apparmor: enabled,
        selinux: enabled,
        intelRdt: maybe(z.object({ enabled: maybe(flag), schemata: maybe(flag), monitoring: maybe(flag) })),
        memoryPolicy: maybe(z.object({ modes: maybe(texts), flags: maybe(texts) })),
        mountExtensions: maybe(z.object({ idmap: enabled })),
        netDevices: enabled,
      }),
    ),
  });
});

export type Features = z.infer<typeof FeaturesSchema>;
