/**
 * The user-wide user namespace: its start, and programs that run in it.
 *
 * Containers of one user nest in it: their ids are mapped without newuidmap, and what belongs to subordinate ids can be
 * unpacked and removed by its owner.
 */

import type { Facts } from "#core/facts";
import type { Config } from "#core/spec/config";
import { checkUserns, hasCapability, type PinnedUserns, planIdMaps } from "./ids.ts";
import { CLONE } from "./linux.ts";
import { type Plan, points } from "./ops.ts";
import { BY_CORACLE, child, parent } from "./step.ts";

type Range = Facts["self"]["uidMap"][number];
export type UserMaps = { readonly uid: readonly Range[]; readonly gid: readonly Range[]; readonly setgroups: boolean };

/** Root is the user; from 1 on, the subordinate ranges one after the other. Without ranges or helpers: the user alone. */
export const userMaps = (facts: Facts): UserMaps => {
  const { self, subids } = facts;
  const usable =
    subids.newuidmap !== null &&
    subids.newgidmap !== null &&
    subids.uid.length > 0 &&
    subids.gid.length > 0 &&
    (subids.mapping.works || subids.mapping.errno === null);
  const map = (own: number, ranges: readonly { readonly start: number; readonly count: number }[]): readonly Range[] => {
    const rows: Range[] = [{ inside: 0, outside: own, count: 1 }];
    let next = 1;
    for (const { start, count } of usable ? ranges : []) {
      rows.push({ inside: next, outside: start, count });
      next += count;
    }
    return rows;
  };
  // With privilege over a whole map (root, or root of an outer container), the ids are those of outside.
  if (hasCapability(facts, "setuid") && hasCapability(facts, "setgid")) {
    const same = (rows: readonly Range[]): readonly Range[] => rows.map(({ inside, count }) => ({ inside, outside: inside, count }));
    return { uid: same(self.uidMap), gid: same(self.gidMap), setgroups: self.setgroups === "allow" };
  }
  // Without a helper a map is written by the user, who must give up setgroups(2) for it (CVE-2014-8989).
  return { uid: map(self.uid, subids.uid), gid: map(self.gid, subids.gid), setgroups: usable };
};

/** As config.json writes mappings: the container's ids are those of the user-wide namespace. */
const mappings = (rows: readonly Range[]) =>
  rows.map(({ inside, outside, count }) => ({ containerID: inside, hostID: outside, size: count }));

/**
 * Starts the holder: a process of a few kB in a new user namespace.
 * @param stateDir `.userns` in the runtime root; its record holds pid and start time.
 * @throws Fault E_USERNS, E_SUBID.
 */
export const buildHolder = (facts: Facts, stateDir: string, holder: string, root: string): Plan => {
  checkUserns(facts);
  const maps = userMaps(facts);
  const config: Config = { ociVersion: "1.3.0", linux: { uidMappings: mappings(maps.uid), gidMappings: mappings(maps.gid) } };
  const undo: Plan = {
    version: 1,
    steps: [parent("kill_wait", { pid: "pid", startTime: "startTime" }, BY_CORACLE), parent("remove_state", {}, BY_CORACLE)],
  };
  return {
    version: 1,
    steps: [
      parent("lock_state", { dir: stateDir, create: true }, BY_CORACLE),
      parent("undo_log", { undo }, BY_CORACLE),
      parent("spawn", { flags: CLONE.user, cgroup: null, pid: "pid", startTime: "startTime" }, BY_CORACLE),
      planIdMaps(config, facts, null).step,
      parent("notify", { point: points.mapped }, BY_CORACLE),
      parent("await", { point: points.ready }, BY_CORACLE),
      parent(
        "store_file",
        {
          name: "record.json",
          content: ['{"version":1,"pid":', { slot: "pid", as: "decimal" }, ',"startTime":', { slot: "startTime", as: "decimal" }, "}"],
        },
        BY_CORACLE,
      ),
      parent("notify", { point: points.recorded }, BY_CORACLE),
      child("await", { point: points.mapped }, BY_CORACLE),
      child("setsid", {}, BY_CORACLE),
      child("resolve", { file: holder, search: "" }, BY_CORACLE),
      child("notify", { point: points.ready }, BY_CORACLE),
      child("await", { point: points.recorded }, BY_CORACLE),
      child("exec", { argv: ["coracle-userns", root], env: [], preserveFds: 0 }, BY_CORACLE),
    ],
  };
};

/** A program of ours in the user-wide namespace, as its root: unpacking, removing. It ends with its caller. */
export const buildRunInUserns = (pinned: PinnedUserns, program: string, args: readonly string[]): Plan => ({
  version: 1,
  steps: [
    parent("spawn", { flags: 0, cgroup: null, pid: "pid", startTime: "startTime" }, BY_CORACLE),
    parent("wait_exit", { exit: "exit" }, BY_CORACLE),
    child("join_user", { path: pinned.path, inode: pinned.inode }, BY_CORACLE),
    child("become", { uid: 0, gid: 0, setgroups: pinned.setgroups }, BY_CORACLE),
    child("parent_death", { signal: 9 }, BY_CORACLE),
    child("resolve", { file: program, search: "" }, BY_CORACLE),
    child("exec", { argv: [program, ...args], env: [], preserveFds: 0 }, BY_CORACLE),
  ],
});
