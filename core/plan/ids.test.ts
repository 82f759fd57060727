/** Id maps cut by the parent's map, and cpu.shares as cpu.weight. */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { weightOfShares } from "./cgroups.ts";
import { splitByParent } from "./ids.ts";

type Extent = { readonly inside: number; readonly outside: number; readonly count: number };

/** A parent's map: extents that do not overlap, not always adjacent. */
const parentMap = fc.array(fc.tuple(fc.nat(5), fc.integer({ min: 1, max: 50 })), { minLength: 1, maxLength: 8 }).map((rows) => {
  let next = 0;
  return rows.map(([gap, count]): Extent => {
    const inside = next + gap;
    next = inside + count;
    return { inside, outside: 100000 + inside * 3, count };
  });
});
const mapping = fc.record({ containerID: fc.nat(100), hostID: fc.nat(200), size: fc.integer({ min: 1, max: 200 }) });
const pairs = (mappings: readonly { readonly containerID: number; readonly hostID: number; readonly size: number }[]): readonly string[] =>
  mappings.flatMap(({ containerID, hostID, size }) => Array.from({ length: size }, (_, i) => `${containerID + i}=${hostID + i}`));

test("cutting maps the same ids, and each piece lies in one extent of the parent's map, as far as the parent has it", () => {
  fc.assert(
    fc.property(parentMap, fc.array(mapping, { maxLength: 4 }), (extents, mappings) => {
      const pieces = splitByParent(mappings, extents);
      assert.equal(pairs(pieces), pairs(mappings));
      for (const { hostID, size } of pieces) {
        assert.ok(size > 0);
        const extent = extents.find(({ inside, count }) => hostID >= inside && hostID < inside + count);
        if (extent !== undefined) assert.ok(hostID + size <= extent.inside + extent.count, "a piece crosses the end of an extent");
      }
    }),
  );
});

test("what need not be cut is not, and what is adjacent in the parent's map is", () => {
  const whole = [{ inside: 0, outside: 0, count: 4294967295 }];
  assert.equal(splitByParent([{ containerID: 0, hostID: 100000, size: 65536 }], whole), [{ containerID: 0, hostID: 100000, size: 65536 }]);
  const rootless = [
    { inside: 0, outside: 1000, count: 1 },
    { inside: 1, outside: 100000, count: 65536 },
  ];
  assert.equal(splitByParent([{ containerID: 0, hostID: 0, size: 65537 }], rootless), [
    { containerID: 0, hostID: 0, size: 1 },
    { containerID: 1, hostID: 1, size: 65536 },
  ]);
  assert.equal(splitByParent([], rootless), []);
});

test("cpu.shares as cpu.weight: the points that define it, its ends, and that it never falls", () => {
  const table = [
    [0, 1],
    [2, 1],
    [3, 2],
    [10, 4],
    [100, 17],
    [512, 59],
    [1024, 100],
    [2048, 174],
    [262144, 10000],
    [18446744073709551615n, 10000],
  ] as const;
  for (const [shares, weight] of table) assert.is(weightOfShares(shares), weight, String(shares));
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 262144 }), fc.integer({ min: 2, max: 262144 }), (a, b) => {
      const [low, high] = [weightOfShares(Math.min(a, b)), weightOfShares(Math.max(a, b))];
      assert.ok(low <= high && low >= 1 && high <= 10000 && Number.isInteger(low));
    }),
  );
});

test.run();
