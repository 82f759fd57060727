/**
 * The limit tests inside the lab's guest, as its user: `node conformance/lab/guest.main.ts GROUND LARDER`, by guest.sh,
 * which says what the grounds are.
 */
import { spawnSync } from "node:child_process";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { readFacts } from "#linux/facts";
import { cgroupsWith, limitCases, openBundle, runEat } from "./test/limits.ts";

const [ground = "", larder = ""] = process.argv.slice(2);
const facts = readFacts();
const { v2, systemdUser } = facts.cgroup;
type Suite = ReturnType<typeof suite>;

/** Controllers that are not there are refused before anything is made, with the remedy. */
const refusals = (test: Suite, flags: readonly (readonly [controller: string, line: readonly string[]])[], remedy: RegExp): void => {
  for (const [controller, line] of flags)
    test(`${line[0]} is refused without the ${controller} controller; best effort runs, and says so`, () => {
      const refused = runEat(larder, line, ["cpus"]);
      assert.is(refused.status, 125);
      assert.match(refused.err, /error E_LIMITS: .* cannot be enforced here/);
      assert.match(refused.err, `needs the ${controller} controller`);
      assert.match(refused.err.replaceAll(/\s+/g, " "), remedy);
      const ran = runEat(larder, [...line, "--limits", "best-effort"], ["cpus"]);
      assert.is(ran.status, 0, ran.err);
      assert.match(ran.out, /^cpus \d+\n$/);
      assert.match(ran.err, "does not hold");
    });
};

const scopes = (): string =>
  spawnSync("systemctl", ["--user", "list-units", "--all", "--plain", "--no-legend", "coracle-*", "eat*"], { encoding: "utf8" }).stdout;

const grounds: Readonly<Record<string, () => void>> = {
  v2: () => {
    const test = limitCases("limits on a delegated version 2", {
      driver: "v2",
      controllers: v2?.controllers ?? [],
      swap: facts.cgroup.swap,
      larder,
    });
    test("the ground is as it says", () => {
      assert.ok(v2?.delegated);
      assert.is(systemdUser, null);
      for (const controller of ["cpu", "cpuset", "io", "memory", "pids"]) assert.ok(v2.controllers.includes(controller), controller);
    });
    test.run();
  },

  none: () => {
    const test = suite("limits where nothing is delegated");
    test("the ground is as it says", () => {
      assert.is(v2?.delegated, null);
      assert.is(systemdUser, null);
    });
    refusals(
      test,
      [
        ["memory", ["--memory", "64m"]],
        ["pids", ["--pids-limit", "20"]],
        ["cpu", ["--cpus", "0.5"]],
      ],
      /log in through a session that systemd manages.*--limits best-effort/,
    );
    test("without limits it runs", () => {
      assert.is(runEat(larder, [], ["cpus"]).status, 0);
    });
    test("a bundle with limits is refused, in one line", () => {
      const bundle = openBundle(larder, { memory: { limit: 2 ** 26 } }, ["cpus"]);
      const { status, err } = bundle.oci("run", bundle.id);
      bundle.close();
      assert.is(status, 1);
      assert.match(err, /^[^\n]*resource limits cannot be enforced[^\n]*\n$/);
    });
    test.run();
  },

  systemd: () => {
    const controllers = systemdUser?.controllers ?? [];
    const test = limitCases("limits from a plain login, by systemd", { driver: "systemd", controllers, swap: facts.cgroup.swap, larder });
    test("the ground is as it says: a session scope, and a user manager with Debian's controllers", () => {
      assert.match(v2?.path ?? "", /\/session-systemd\.scope$/);
      assert.is(v2?.delegated, null);
      assert.match(systemdUser?.socket ?? "", /\/systemd\/private$/);
      assert.equal([...controllers].sort(), ["cpu", "memory", "pids"]);
    });
    refusals(
      test,
      [
        ["cpuset", ["--cpuset-cpus", "0"]],
        ["io", ["--blkio-weight", "100"]],
      ],
      /systemctl edit user@\.service.*Delegate=.*--limits best-effort/,
    );
    test("a scope that is there already is an error with its cause", () => {
      const bundle = openBundle(larder, { pids: { limit: 20 } }, ["wait"], { cgroupsPath: "app.slice:eat:there" });
      spawnSync("systemd-run", [
        "--user",
        "--quiet",
        "--unit=eat-there.scope",
        "--scope",
        "--",
        "sh",
        "-c",
        "sleep 1000 >/dev/null 2>&1 &",
      ]);
      const { status, err } = bundle.oci("create", bundle.id);
      assert.is(cgroupsWith("eat-there.scope").length, 1, "the other's scope still is");
      spawnSync("systemctl", ["--user", "stop", "eat-there.scope"]);
      bundle.close();
      assert.is(status, 1);
      assert.match(err, /EEXIST|[Ff]ile exists/);
    });
    test("cgroupsPath names slice and scope", () => {
      const bundle = openBundle(larder, { pids: { limit: 20 } }, ["wait"], { cgroupsPath: "app-eat.slice:eat:named" });
      try {
        bundle.must("create", bundle.id);
        assert.match(bundle.directory("pids"), /\/app\.slice\/app-eat\.slice\/eat-named\.scope\//);
        assert.match(scopes(), "eat-named.scope");
        bundle.must("delete", "--force", bundle.id);
      } finally {
        bundle.close();
      }
    });
    test("no scope is left", () => {
      assert.is(scopes(), "");
    });
    test.run();
  },

  bus: () => {
    const test = suite("limits from a plain login, over the session bus");
    test("the ground is as it says", () => {
      assert.match(systemdUser?.socket ?? "", /\/bus$/);
    });
    test("memory", () => {
      const { out, err } = runEat(larder, ["--memory", "64m"], ["memory", "200"]);
      assert.match(out, "ended signal 9", err);
    });
    test("a fork bomb", () => {
      assert.match(runEat(larder, ["--pids-limit", "20"], ["bomb"]).out, "processes 20\n");
    });
    test("no scope is left", () => {
      assert.is(scopes(), "");
    });
    test.run();
  },
};

const here = grounds[ground];
if (here === undefined) throw new Error(`no such ground: ${ground}`);
here();
