/** Drivers and knobs, where the golden plans say too little: what is refused, what is noted, and how cgroups are named. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Facts, parseFacts } from "#core/facts";
import { Fault } from "#core/fault";
import type { Resources } from "#core/spec/config";
import { planCgroup } from "./cgroups.ts";

const host = (name: string): Facts =>
  parseFacts(JSON.parse(readFileSync(join(import.meta.dirname, `../test/hosts/${name}.json`), "utf8")), name);
const debian = host("debian12-systemd");
/** A plain login: a session scope, which is root's, beside a user manager with what Debian 12 gives it. */
const login: Facts = {
  ...debian,
  cgroup: {
    ...debian.cgroup,
    v2: debian.cgroup.v2 && { ...debian.cgroup.v2, path: "/user.slice/user-1000.slice/session-9.scope", delegated: null, occupied: true },
    systemdUser: { socket: "/run/user/1000/systemd/private", version: "", controllers: ["cpu", "memory", "pids"] },
  },
};
const without = (facts: Facts): Facts => ({ ...facts, cgroup: { ...facts.cgroup, swap: false } });

const plan = (
  facts: Facts,
  resources: Resources,
  more: { id?: string; stateDir?: string; limits?: "enforce" | "best-effort"; cgroupsPath?: string } = {},
) => {
  const notes: string[] = [];
  const issues: string[] = [];
  const cgroup = planCgroup({
    id: "box",
    stateDir: "/run/user/1000/coracle-oci/box",
    cgroupsPath: undefined,
    manager: "auto",
    limits: "enforce",
    ...more,
    facts,
    resources,
    report: { note: (text) => notes.push(text), issue: (pointer) => issues.push(pointer) },
  });
  const steps = [...cgroup.before, ...(cgroup.scope?.set ?? [])];
  const sets = steps.flatMap((step) => (step.op === "cgroup_set" ? [`${step.args.file}=${step.args.value}`] : []));
  return { driver: cgroup.driver, dir: cgroup.dir, sets, notes, issues };
};
const faultOf = (body: () => unknown): Fault => {
  try {
    body();
  } catch (cause) {
    if (cause instanceof Fault) return cause;
    throw cause;
  }
  throw new Error("no fault");
};

test("a plain login gets a scope, with the controllers that the user manager was given", () => {
  const { driver, sets, dir } = plan(login, { memory: { limit: 1024 }, pids: { limit: 20 } });
  assert.is(driver, "systemd");
  assert.equal(sets, ["memory.max=1024", "pids.max=20"]);
  assert.match(dir ?? "", /\/user@1000\.service\/app\.slice\/coracle-box-[0-9a-f]{8}\.scope\/container$/);
});

test("what the user manager was not given is refused before the start, with the remedy; best effort keeps the rest", () => {
  const resources: Resources = { cpu: { cpus: "0" }, blockIO: { weight: 100 }, pids: { limit: 20 } };
  const fault = faultOf(() => plan(login, resources));
  assert.is(fault.code, "E_LIMITS");
  assert.equal(
    fault.issues.map(({ pointer }) => pointer),
    ["/linux/resources/cpu/cpus", "/linux/resources/blockIO/weight"],
  );
  assert.match(fault.hint ?? "", "Delegate=cpu cpuset io memory pids");
  const { sets, notes } = plan(login, resources, { limits: "best-effort" });
  assert.equal(sets, ["pids.max=20"]);
  assert.is(notes.length, 2);
  for (const note of notes) assert.match(note, "does not hold");
});

test("swap that the kernel does not account is noted, and the memory limit is set", () => {
  const resources: Resources = { memory: { limit: 1024, swap: 2048 } };
  assert.equal(plan(debian, resources).sets, ["memory.max=1024", "memory.swap.max=1024"]);
  const { sets, notes } = plan(without(debian), resources);
  assert.equal(sets, ["memory.max=1024"]);
  assert.match(notes.join(), "/linux/resources/memory/swap: this kernel does not account swap");
});

test("an id under another --root is another cgroup", () => {
  const [one, two] = ["/run/a/box", "/run/b/box"].map((stateDir) => plan(debian, { pids: { limit: 1 } }, { stateDir }).dir);
  assert.match(one ?? "", /\/coracle-box-[0-9a-f]{8}$/);
  assert.is.not(one, two);
  assert.match(plan(debian, { pids: { limit: 1 } }, { cgroupsPath: "/a/b" }).dir ?? "", /\/a\/b$/);
});

test.run();
