/** Who maps the container's ids, and whether this host grants them (user_namespaces(7), newuidmap(1)). */

import type { Facts } from "#core/facts";
import { Fault, type Issue } from "#core/fault";
import { hintForCause } from "#core/hints";
import type { Config, IdMapping } from "#core/spec/config";
import type { Step } from "./ops.ts";
import { parent } from "./step.ts";

/** A line of a user namespace's map: `inside outside count`. */
export type IdRow = Facts["self"]["uidMap"][number];

/** A user namespace that is there already, in which containers of one user nest. */
export type PinnedUserns = {
  readonly path: string;
  readonly inode: number;
  readonly setgroups: boolean;
  readonly uidMap: readonly IdRow[];
  readonly gidMap: readonly IdRow[];
};

/** CAP_* as bits, for the capability sets of facts. */
const CAP = { setgid: 6, setuid: 7, sysAdmin: 21, setfcap: 31 } as const;
export const hasCapability = (facts: Facts, capability: keyof typeof CAP): boolean =>
  ((BigInt(`0x${facts.self.capEffective || "0"}`) >> BigInt(CAP[capability])) & 1n) === 1n;

const mapText = (mappings: readonly IdMapping[]): string => mappings.map((m) => `${m.containerID} ${m.hostID} ${m.size}\n`).join("");
const ranges = (mappings: readonly IdMapping[]): readonly string[] =>
  mappings.flatMap((m) => [String(m.containerID), String(m.hostID), String(m.size)]);

/**
 * A map extent must lie within one extent of the parent namespace's map: `0 0 65537` is refused where the parent has
 * `0 0 1` and `1 1 65536`. So each mapping is cut where the parent's map is.
 */
export const splitByParent = (mappings: readonly IdMapping[], parentMap: readonly IdRow[]): readonly IdMapping[] =>
  mappings.flatMap((mapping) => {
    const pieces: IdMapping[] = [];
    let done = 0;
    while (done < mapping.size) {
      const id = mapping.hostID + done;
      const extent = parentMap.find(({ inside, count }) => id >= inside && id < inside + count);
      const size = extent === undefined ? mapping.size - done : Math.min(mapping.size - done, extent.inside + extent.count - id);
      pieces.push({ containerID: mapping.containerID + done, hostID: id, size });
      done += size;
    }
    return pieces;
  });

/** Is every id of the mapping granted: our own, or of a subordinate range? */
const ungranted = (
  mappings: readonly IdMapping[],
  own: number,
  granted: readonly { readonly start: number; readonly count: number }[],
  pointer: string,
): readonly Issue[] =>
  mappings.flatMap((mapping, i) => {
    const inside =
      (mapping.size === 1 && mapping.hostID === own) ||
      granted.some(({ start, count }) => mapping.hostID >= start && mapping.hostID + mapping.size <= start + count);
    return inside
      ? []
      : [
          {
            pointer: `${pointer}/${i}`,
            message: `ids ${mapping.hostID} to ${mapping.hostID + mapping.size - 1} are not granted to this user`,
          },
        ];
  });

const first = (mappings: readonly IdMapping[]): IdMapping => mappings[0] ?? { containerID: 0, hostID: 0, size: 1 };

/**
 * The step that writes both maps.
 * @throws Fault E_SUBID where the mappings name ids that this user has not.
 */
export const planIdMaps = (
  config: Config,
  facts: Facts,
  pinned: PinnedUserns | null,
): { readonly step: Step; readonly setgroups: boolean } => {
  const uid = config.linux?.uidMappings ?? [];
  const gid = config.linux?.gidMappings ?? [];
  const { self, subids } = facts;
  const origin = "/linux/uidMappings";
  if (uid.length === 0 || gid.length === 0)
    throw new Fault("E_CONFIG", {
      message: "the user namespace has no id mappings",
      issues: [
        {
          pointer: uid.length === 0 ? origin : "/linux/gidMappings",
          message: "is empty",
          hint: "map at least your own id: containerID 0, hostID your uid, size 1",
        },
      ],
    });
  if (pinned !== null || (hasCapability(facts, "setuid") && hasCapability(facts, "setgid"))) {
    const uidMap = mapText(splitByParent(uid, pinned?.uidMap ?? self.uidMap));
    const gidMap = mapText(splitByParent(gid, pinned?.gidMap ?? self.gidMap));
    return {
      step: parent("map_write", { uid: uidMap, gid: gidMap, denySetgroups: false, pid: "pid" }, origin),
      setgroups: pinned?.setgroups ?? self.setgroups === "allow",
    };
  }
  const single =
    uid.length === 1 &&
    gid.length === 1 &&
    first(uid).size === 1 &&
    first(gid).size === 1 &&
    first(uid).hostID === self.uid &&
    first(gid).hostID === self.gid;
  if (single)
    return {
      step: parent("map_write", { uid: mapText(uid), gid: mapText(gid), denySetgroups: true, pid: "pid" }, origin),
      setgroups: false,
    };
  const issues = [
    ...ungranted(uid, self.uid, subids.uid, "/linux/uidMappings"),
    ...ungranted(gid, self.gid, subids.gid, "/linux/gidMappings"),
  ];
  if (subids.newuidmap === null || subids.newgidmap === null || issues.length > 0)
    throw new Fault("E_SUBID", {
      message: "the container maps ids that this user may not use",
      issues,
      why:
        subids.newuidmap === null || subids.newgidmap === null
          ? "newuidmap and newgidmap are missing, or not privileged"
          : `/etc/subuid and /etc/subgid grant ${subids.uid.map((r) => `${r.start} to ${r.start + r.count - 1}`).join(", ") || "nothing"}`,
      hint:
        subids.newuidmap === null
          ? "as root: apt-get install uidmap"
          : `as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${self.user ?? self.uid}; or map your own id alone: containerID 0, hostID ${self.uid}, size 1`,
    });
  return {
    step: parent(
      "map_helper",
      { newuidmap: subids.newuidmap, newgidmap: subids.newgidmap, uid: ranges(uid), gid: ranges(gid), pid: "pid" },
      origin,
    ),
    setgroups: true,
  };
};

/** Linux 5.12: who maps the id 0 of the namespace around must hold CAP_SETFCAP there, lest files get capabilities by a detour. */
const rootWithoutSetfcap = (facts: Facts): { readonly why: string; readonly try: string } | null =>
  facts.self.uid === 0 && facts.userns.errno === "EPERM" && !hasCapability(facts, "setfcap")
    ? {
        why: "root here lacks CAP_SETFCAP, without which it cannot be mapped into a user namespace",
        try: "start the outer container with --cap-add SETFCAP, or run as another user than root in it",
      }
    : null;

/** @throws Fault E_USERNS where a user namespace was tried and refused. */
export const checkUserns = (facts: Facts): void => {
  if (facts.userns.works || facts.userns.errno === null) return;
  const advice = hintForCause(facts.userns.cause, facts) ?? rootWithoutSetfcap(facts);
  throw new Fault("E_USERNS", {
    message: "a user namespace cannot be made",
    errno: facts.userns.errno,
    ...(advice === null ? {} : { why: advice.why }),
    hint: advice?.try ?? "coracle doctor names what forbids it, and the remedy",
  });
};
