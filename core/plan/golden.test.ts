/** Golden plans: each configuration on each host. `UPDATE_GOLDEN=1` rewrites them; read the difference before it is committed. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseFacts } from "#core/facts";
import { Fault } from "#core/fault";
import { stringifyJson } from "#core/json";
import { explainData } from "#core/plan/explain";
import { cases, HOSTS, placeOn, planOf } from "./test/configs.ts";

const folder = new URL("./golden/", import.meta.url);
const update = process.env["UPDATE_GOLDEN"] === "1";
const facts = new Map(
  HOSTS.map((host) => [host, parseFacts(JSON.parse(readFileSync(new URL(`../test/hosts/${host}.json`, import.meta.url), "utf8")), host)]),
);

const render = (result: ReturnType<typeof planOf>): string => {
  if (!(result instanceof Fault)) return stringifyJson({ cgroup: result.cgroup, plan: explainData(result.plan, result.notes) }, 1);
  const { code, message, issues, why, hint, errno } = result;
  return stringifyJson(
    {
      fault: {
        code,
        message,
        ...(errno === undefined ? {} : { errno }),
        issues,
        ...(why === undefined ? {} : { why }),
        ...(hint === undefined ? {} : { hint }),
      },
    },
    1,
  );
};

if (update) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
}

const used = new Set<string>();
for (const one of cases)
  for (const host of one.hosts) {
    const name = `${one.name}@${host}.json`;
    used.add(name);
    test(name, () => {
      const on = facts.get(host);
      if (on === undefined) throw new Error(`no facts of ${host}`);
      const text = `${render(planOf(one, placeOn(on)))}\n`;
      const file = new URL(name, folder);
      if (update) writeFileSync(file, text);
      assert.ok(existsSync(file), "there is no golden file; UPDATE_GOLDEN=1 writes it");
      assert.fixture(text, readFileSync(file, "utf8"));
    });
  }

test("every golden file is used, and no name is used twice", () => {
  assert.equal(readdirSync(folder).sort(), [...used].sort());
  assert.is(
    used.size,
    cases.reduce((sum, { hosts }) => sum + hosts.length, 0),
  );
});

test("there are forty and more, on every host", () => {
  assert.ok(used.size >= 40);
  for (const host of HOSTS)
    assert.ok(
      [...used].some((name) => name.endsWith(`@${host}.json`)),
      host,
    );
});

test.run();
