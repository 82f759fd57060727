/** The oldest kernel that a start is planned for. */
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseFacts } from "#core/facts";
import { Fault } from "#core/fault";
import { cases, placeOn, planOf } from "./test/configs.ts";

const host = (major: number, minor: number) => {
  const facts = parseFacts(JSON.parse(readFileSync(new URL("../test/hosts/debian12.json", import.meta.url), "utf8")), "debian12");
  return { ...facts, kernel: { release: `${major}.${minor}.0`, major, minor } };
};

for (const [major, minor, taken] of [
  [4, 19, false],
  [5, 12, false],
  [5, 13, true],
  [6, 0, true],
] as const)
  test(`Linux ${major}.${minor} is ${taken ? "taken" : "refused"}`, () => {
    const one = cases[0];
    assert.ok(one !== undefined);
    const start = planOf(one, placeOn(host(major, minor)));
    if (taken) assert.not(start instanceof Fault);
    else assert.ok(start instanceof Fault && start.code === "E_UNSUPPORTED" && start.message.includes(`${major}.${minor}`));
  });

test.run();
