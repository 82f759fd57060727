import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseFacts } from "#core/facts";
import { Fault } from "#core/fault";
import { decodePlan } from "#core/plan/decode";
import { encodePlan } from "#core/plan/encode";
import { EXEC_FILE, type ExecInput, parseExecContext, parseProcess, planExec } from "#core/plan/exec";
import type { Step } from "#core/plan/ops";
import { cases, placeOn, planOf } from "./test/configs.ts";

const facts = (host: string) => parseFacts(JSON.parse(readFileSync(new URL(`../test/hosts/${host}.json`, import.meta.url), "utf8")), host);

/** What `create` of a golden case stores for exec. */
const contextOf = (name: string, host: string) => {
  const one = cases.find((known) => known.name === name);
  if (one === undefined) throw new Error(`no case ${name}`);
  const start = planOf(one, placeOn(facts(host)));
  if (start instanceof Fault) throw start;
  const step = start.plan.steps.find((candidate) => candidate.op === "store_file" && candidate.args.name === EXEC_FILE);
  if (step?.op !== "store_file") throw new Error("nothing is stored for exec");
  return { context: parseExecContext(step.args.content.join("")), start };
};

const input = (name: string, host: string, change: Partial<ExecInput> = {}): ExecInput => {
  const { context } = contextOf(name, host);
  return {
    context,
    process: { ...context.process, args: ["/bin/hello"] },
    stateDir: "/run/user/1000/coracle-oci/box",
    pidFile: null,
    consoleSocket: null,
    preserveFds: 0,
    detach: false,
    ignorePaused: false,
    ...change,
  };
};
const stepsOf = (given: ExecInput): readonly Step[] => planExec(given).plan.steps;
const ops = (steps: readonly Step[], side: Step["side"]): readonly string[] =>
  steps.filter((step) => step.side === side).map(({ op }) => op);
const faultOf = (run: () => unknown): Fault => {
  try {
    run();
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
};

for (const { name, hosts } of cases.filter((one) => one.notHere === undefined))
  for (const host of hosts) {
    const one = cases.find((known) => known.name === name);
    if (one === undefined || planOf(one, placeOn(facts(host))) instanceof Fault) continue;
    test(`${name}@${host}: the child of an exec is told what the container's process is`, () => {
      const { context, start } = contextOf(name, host);
      if (context.process.terminal === true) return;
      const steps = stepsOf(input(name, host));
      for (const op of ["bounding", "ids", "capabilities", "seccomp", "no_new_privs", "rlimit"] as const)
        assert.equal(
          steps.filter((step) => step.op === op).map(({ args }) => args),
          start.plan.steps.filter((step) => step.op === op).map(({ args }) => args),
          op,
        );
      // On the wire, too: every slot is known and every text is one.
      assert.is(decodePlan(encodePlan({ version: 1, steps })).steps.length, steps.length);
    });
  }

test("what means the host's files comes before the namespaces are entered, all else after", () => {
  const { context } = contextOf("minimal", "debian12");
  const process = { ...context.process, args: ["a"], oomScoreAdj: 5, terminal: true };
  const inside = ops(stepsOf(input("minimal", "debian12", { process, consoleSocket: "/run/console.sock" })), "child");
  const at = (op: string): number => {
    assert.ok(inside.includes(op), op);
    return inside.indexOf(op);
  };
  assert.ok(at("oom_score") < at("enter") && at("console_connect") < at("enter"));
  assert.equal(inside.slice(at("enter"), at("enter") + 2), ["enter", "refork"]);
  for (const op of ["setsid", "terminal", "workdir", "ids", "resolve", "exec"]) assert.ok(at(op) > at("refork"), op);
  assert.not.ok(inside.includes("cwd"), "a missing directory is not made");
  assert.not.ok(inside.includes("console"), "/dev/console stays init's");
});

test("the lock is given up before anything can wait for the container", () => {
  const outside = ops(stepsOf(input("minimal", "debian12", { pidFile: "/tmp/pid" })), "parent");
  assert.ok(outside.indexOf("unlock_state") < outside.indexOf("spawn"));
  assert.ok(outside.indexOf("pid_file") < outside.indexOf("await_exec"));
  assert.is(outside.at(-1), "wait_exit");
  assert.is(ops(stepsOf(input("minimal", "debian12", { detach: true })), "parent").at(-1), "await_exec");
});

test("a paused container is entered only where that is asked for", () => {
  const allowed = (ignorePaused: boolean): number => {
    const step = stepsOf(input("minimal", "debian12", { ignorePaused })).find(({ op }) => op === "require_status");
    return step?.op === "require_status" ? Number(step.args.allowed) : -1;
  };
  assert.is(allowed(false), 2 | 4);
  assert.is(allowed(true), 2 | 4 | 8);
});

test("it goes into the container's cgroup: cloned into it on version 2, moved by the parent on version 1", () => {
  let [v1, v2] = [0, 0];
  for (const { name, hosts } of cases)
    for (const host of hosts) {
      const one = cases.find((known) => known.name === name);
      if (one === undefined || planOf(one, placeOn(facts(host))) instanceof Fault) continue;
      const { context, start } = contextOf(name, host);
      if (context.process.terminal === true) continue;
      const steps = stepsOf(input(name, host));
      if (start.cgroup === "v2" || start.cgroup === "systemd") {
        v2++;
        assert.ok(steps.some((step) => step.op === "cgroup_open" && step.args.dir === context.cgroup.v2));
        assert.ok(steps.some((step) => step.op === "spawn" && step.args.cgroup === "cgroupFd"));
      } else if (start.cgroup === "v1") {
        v1++;
        const made = start.plan.steps.flatMap((step) => (step.op === "cgroup_attach" ? step.args.dirs : []));
        assert.ok(
          steps.some((step) => step.op === "cgroup_attach" && step.args.pid === "execPid" && step.args.dirs.join() === made.join()),
        );
        assert.is(ops(steps, "child")[0], "await", "before it enters");
      }
    }
  assert.ok(v1 > 0 && v2 > 0);
});

test("what cannot be enforced is refused, all of it at once", () => {
  const { context } = contextOf("minimal", "debian12");
  const process = { ...context.process, apparmorProfile: "x", execCPUAffinity: { initial: "0" }, terminal: true };
  const fault = faultOf(() => planExec(input("minimal", "debian12", { process })));
  assert.is(fault.code, "E_UNSUPPORTED");
  assert.equal(fault.issues.map(({ pointer }) => pointer).sort(), [
    "/process/apparmorProfile",
    "/process/execCPUAffinity",
    "/process/terminal",
  ]);
});

test("a process of --process is checked as config.json's is", () => {
  assert.equal(parseProcess('{"cwd":"/","args":["a"]}').process, { cwd: "/", args: ["a"] });
  const fault = faultOf(() => parseProcess('{"cwd":7,"args":[]}'));
  assert.is(fault.code, "E_CONFIG");
  assert.ok(fault.issues.some(({ pointer }) => pointer === "/cwd"));
});

test("a damaged exec.json is said to be", () => {
  assert.is(faultOf(() => parseExecContext('{"version":1}')).code, "E_INTERNAL");
});

test.run();
