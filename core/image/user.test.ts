import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Fault } from "#core/fault";
import { MAX_ID, MAX_USER_FILE, resolveUser } from "./user.ts";

const passwd = `root:x:0:0:root:/root:/bin/sh
# comment:x:9:9::/:
adm:x:42:43:adm:/var/adm:/bin/false
adm:x:77:77:second:/second:

111:x:222:333::/var/garbage:
odd:x:111:112::/home/odd:/bin/false
empty:x:50:50:::
broken:x:zero:0::/root:
short
user7456:x:7456:100:Vasya:/home/user7456:/bin/sh
`;
const group = `root:x:0:root
adm:x:43:
grp:x:1234:root,adm,user1234
adm:x:4343:root,adm-duplicate
odd:x:444:
222:x:999:
this is just some garbage data
bad:x:nope:adm
user7456:x:7456:adm
`;
const files = { passwd, group };

const refusal = (spec: string, add: readonly string[] = [], from: { passwd: string | null; group: string | null } = files): Fault => {
  try {
    resolveUser(spec, add, from);
  } catch (error) {
    if (error instanceof Fault && error.code === "E_USER") return error;
    throw error;
  }
  throw new Error(`accepted: ${spec}`);
};

test("who is who", () => {
  // spec, groups to add: uid, gids, home, name
  const table: readonly (readonly [string, readonly string[], number, readonly number[], string, string])[] = [
    ["", [], 0, [0, 1234, 4343], "/root", "root"],
    ["root", [], 0, [0, 1234, 4343], "/root", "root"],
    ["0", [], 0, [0, 1234, 4343], "/root", "root"],
    ["adm", [], 42, [43, 1234, 7456], "/var/adm", "adm"],
    ["adm:", [], 42, [43, 1234, 7456], "/var/adm", "adm"],
    ["42", [], 42, [43, 1234, 7456], "/var/adm", "adm"],
    ["adm:root", [], 42, [0], "/var/adm", "adm"],
    ["adm:9999", [], 42, [9999], "/var/adm", "adm"],
    ["root:adm", [], 0, [43], "/root", "root"],
    [":grp", [], 0, [1234], "/root", "root"],
    ["1337:1338", [], 1337, [1338], "/", ""],
    ["1337", [], 1337, [0], "/", ""],
    // A number is an id, never a name: user "111" has uid 222, and group "222" has gid 999.
    ["111", [], 111, [112], "/home/odd", "odd"],
    ["111:222", [], 111, [222], "/home/odd", "odd"],
    ["222", [], 222, [333], "/var/garbage", "111"],
    ["empty", [], 50, [50], "/", "empty"],
    ["adm", ["odd", "adm", "777", "1234"], 42, [43, 1234, 7456, 444, 777], "/var/adm", "adm"],
    ["1337:1338", ["grp"], 1337, [1338, 1234], "/", ""],
    [String(MAX_ID), [], MAX_ID, [0], "/", ""],
  ];
  for (const [spec, add, uid, gids, home, username] of table) {
    assert.equal(resolveUser(spec, add, files), { uid, gid: gids[0], additionalGids: gids, home, username }, spec);
  }
});

test("an image without the files has numbers only", () => {
  const none = { passwd: null, group: null };
  assert.equal(resolveUser("", [], none), { uid: 0, gid: 0, additionalGids: [0], home: "/", username: "" });
  assert.equal(resolveUser("5:6", ["7"], none), { uid: 5, gid: 6, additionalGids: [6, 7], home: "/", username: "" });
  const fault = refusal("root", [], none);
  assert.is(fault.message, "unable to find user root: no matching entries in passwd file");
  assert.match(fault.why ?? "", /has no \/etc\/passwd/);
  assert.match(fault.hint ?? "", /numeric id/);
});

test("refusals", () => {
  assert.match(refusal("nobody").message, /^unable to find user nobody: no matching entries in passwd file$/);
  assert.match(refusal("root:nogroup").message, /^unable to find group nogroup: no matching entries in group file$/);
  assert.match(refusal("root", ["nope"]).message, /unable to find group nope/);
  assert.match(refusal("root", [""]).message, /--group-add/);
  assert.match(refusal(String(MAX_ID + 1)).message, /out of range/);
  assert.match(refusal("-1").message, /out of range/);
  assert.match(refusal("0:99999999999999999999").message, /out of range/);
  assert.match(refusal("root", ["2147483648"]).message, /out of range/);
  // A malformed uid must not read as 0.
  assert.match(refusal("broken").message, /unable to find user broken/);
  assert.match(refusal("root\n").message, /unable to find|line break/);
  assert.match(refusal("root", [], { passwd: "x".repeat(MAX_USER_FILE + 1), group: null }).message, /bytes/);
  const many = Array.from({ length: 65_540 }, (_, i) => `g${i}:x:${i + 1}:root`).join("\n");
  assert.match(refusal("root", [], { passwd, group: many }).message, /groups, the kernel allows/);
});

test("property: hostile files neither crash nor make root of a named user", () => {
  const cell = fc.oneof(fc.constantFrom("root", "eve", "0", "-1", "", "1e3", "0x0", " 0", "99999999999"), fc.string({ maxLength: 6 }));
  const file = fc
    .array(
      fc.array(cell, { maxLength: 8 }).map((c) => c.join(":")),
      { maxLength: 12 },
    )
    .map((l) => l.join("\n"));
  fc.assert(
    fc.property(file, file, fc.constantFrom("eve", "eve:root", "7", ""), (p, g, spec) => {
      let user: ReturnType<typeof resolveUser>;
      try {
        user = resolveUser(spec, [], { passwd: p, group: g });
      } catch (error) {
        assert.instance(error, Fault);
        return;
      }
      assert.ok(Number.isInteger(user.uid) && user.uid >= 0 && user.uid <= MAX_ID);
      assert.ok(user.additionalGids.every((id) => Number.isInteger(id) && id >= 0 && id <= MAX_ID));
      assert.is(user.additionalGids[0], user.gid);
      // Root by name only where a well-formed line says so.
      if (spec.startsWith("eve") && user.uid === 0) assert.match(p, /^\s*eve:[^:\n]*:0+:/m);
    }),
    { numRuns: 500 },
  );
});

test.run();
