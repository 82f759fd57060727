import { readdirSync, readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseFacts, wasTried } from "#core/facts";
import { Fault } from "#core/fault";

const folder = new URL("./test/hosts/", import.meta.url);
const names = readdirSync(folder).filter((name) => name.endsWith(".json"));
const read = (name: string): unknown => JSON.parse(readFileSync(new URL(name, folder), "utf8"));

const faultOf = (run: () => unknown): Fault => {
  try {
    run();
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
};

for (const name of names) {
  test(`${name} fits the schema and loses nothing through it`, () => {
    assert.equal(parseFacts(read(name), name), read(name));
  });

  test(`${name} is consistent in itself`, () => {
    const facts = parseFacts(read(name), name);
    const trials = [
      facts.userns,
      facts.subids.mapping,
      ...Object.values(facts.namespaces),
      ...Object.values(facts.mounts),
      ...Object.values(facts.devices),
    ];
    for (const tried of [...trials, facts.dirs.data.overlay]) {
      if (tried.works) assert.equal(tried, { works: true, errno: null, cause: null });
      else assert.ok(tried.errno !== null || tried.cause !== null, "a failure has an errno, an omission a reason");
    }
    if (!facts.userns.works) assert.not.ok(Object.values(facts.mounts).some(wasTried), "nothing is mounted without a user namespace");
    if (facts.self.initialUserns) assert.equal(facts.self.uidMap, [{ inside: 0, outside: 0, count: 4294967295 }]);
    const { v2 } = facts.cgroup;
    if (v2 !== null && v2.delegated !== null)
      assert.ok(`${v2.mount}${v2.path}`.startsWith(v2.delegated), "what is delegated lies above us");
    assert.equal(facts.cgroup.mode === "none", v2 === null && facts.cgroup.v1.length === 0);
  });
}

test("a document that does not fit names every field", () => {
  const broken = { ...parseFacts(read("debian12.json"), "x"), arch: 7, userns: { works: "yes", errno: null } };
  const fault = faultOf(() => parseFacts(broken, "the file"));
  assert.is(fault.code, "E_FACTS");
  assert.match(fault.message, "/arch");
  assert.match(fault.message, "/userns/works");
  assert.equal(fault.issues.map((issue) => issue.pointer).sort(), ["/arch", "/userns/cause", "/userns/works"]);
});

test("what is no object is refused too", () => {
  for (const document of [null, [], "text", 1]) assert.is(faultOf(() => parseFacts(document, "x")).code, "E_FACTS");
});

test("not tried is not a failure", () => {
  assert.not.ok(wasTried({ works: false, errno: null, cause: "not-tried" }));
  assert.ok(wasTried({ works: false, errno: "EPERM", cause: null }));
  assert.ok(wasTried({ works: true, errno: null, cause: null }));
});

test.run();
