import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Fault } from "#core/fault";
import { cleanPath, parseMount, parseTmpfs, parseVolume } from "./run-mounts.ts";

const cwd = "/home/me/work";
const refusal = (run: () => unknown): Fault => {
  try {
    run();
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Error("accepted");
};

const bind = (source: string, destination: string, more = {}) => ({
  type: "bind",
  source,
  destination,
  readOnly: false,
  submounts: "all",
  propagation: "rprivate",
  createSource: true,
  relabel: false,
  ...more,
});

test("-v", () => {
  const table: Readonly<Record<string, object>> = {
    "/a:/b": bind("/a", "/b"),
    "/a:/b:ro": bind("/a", "/b", { readOnly: true }),
    "/a:/b:rw": bind("/a", "/b"),
    "/a:/b:": bind("/a", "/b"),
    "/a:/b:ro,rslave": bind("/a", "/b", { readOnly: true, propagation: "rslave" }),
    "/a:/b:rslave,ro,z": bind("/a", "/b", { readOnly: true, propagation: "rslave", relabel: true }),
    "/a:/b:cached": bind("/a", "/b"),
    "/a/../x//y/:/b/./c/": bind("/x/y", "/b/c"),
    ".:/b": bind(cwd, "/b"),
    "./sub:/b": bind(`${cwd}/sub`, "/b"),
    "..:/b": bind("/home/me", "/b"),
    "/:/host:ro": bind("/", "/host", { readOnly: true }),
  };
  for (const [text, mount] of Object.entries(table)) assert.equal(parseVolume(text, cwd), mount, text);
});

test("-v refused", () => {
  const table: readonly (readonly [string, string, RegExp])[] = [
    ["", "E_USAGE", /not SOURCE:TARGET/],
    [":/b", "E_USAGE", /not SOURCE:TARGET/],
    ["/a:", "E_USAGE", /not SOURCE:TARGET/],
    ["/a:/b:ro:x", "E_USAGE", /not SOURCE:TARGET/],
    ["/a:b", "E_USAGE", /must be absolute/],
    ["/a:/", "E_USAGE", /cannot be "\/"/],
    ["/a:/b/..", "E_USAGE", /cannot be "\/"/],
    ["/a:/b:rox", "E_USAGE", /"rox" is not an option/],
    ["/a:/b:ro,rw", "E_USAGE", /exclude each other/],
    ["/a:/b:ro,ro", "E_USAGE", /exclude each other/],
    ["/a:/b:rslave,rprivate", "E_USAGE", /exclude each other/],
    ["/a:/b:nocopy", "E_USAGE", /for volumes/],
    ["~/a:/b", "E_USAGE", /shell expands/],
    ["/a:/b:rshared", "E_UNSUPPORTED", /no mount leave a user namespace/],
    ["name:/b", "E_UNSUPPORTED", /volumes are not supported yet/],
    ["/data", "E_UNSUPPORTED", /volumes are not supported yet/],
    ["data", "E_USAGE", /must be absolute/],
  ];
  for (const [text, code, words] of table) {
    const fault = refusal(() => parseVolume(text, cwd));
    assert.is(fault.code, code, text);
    assert.match(fault.message, words, text);
    assert.match(fault.message, /^--volume /);
  }
});

test("--mount", () => {
  const plain = { createSource: false };
  const table: Readonly<Record<string, object>> = {
    "type=bind,source=/a,target=/b": bind("/a", "/b", plain),
    "type=bind,src=/a,dst=/b,ro": bind("/a", "/b", { ...plain, readOnly: true }),
    "TYPE=bind,src=./a,destination=/b,readonly=false": bind(`${cwd}/a`, "/b", plain),
    'type=bind,"src=/a,b",dst=/b': bind("/a,b", "/b", plain),
    'type=bind,"src=/a""b",dst=/b': bind('/a"b', "/b", plain),
    "type=bind,src=/a,dst=/b,bind-propagation=slave": bind("/a", "/b", { ...plain, propagation: "slave" }),
    "type=bind,src=/a,dst=/b,bind-recursive=disabled": bind("/a", "/b", { ...plain, submounts: "none" }),
    "type=bind,src=/a,dst=/b,readonly,bind-recursive=writable": bind("/a", "/b", { ...plain, readOnly: true, submounts: "writable" }),
    "type=bind,src=/a,dst=/b,readonly,bind-recursive=readonly,bind-propagation=rprivate": bind("/a", "/b", { ...plain, readOnly: true }),
    "type=bind,src=/a,dst=/b,bind-create-src": bind("/a", "/b"),
    "type=tmpfs,dst=/b": { type: "tmpfs", destination: "/b", options: ["noexec", "nosuid", "nodev", "rprivate"] },
    "type=tmpfs,dst=/b,ro,tmpfs-size=64m,tmpfs-mode=1770": {
      type: "tmpfs",
      destination: "/b",
      options: ["noexec", "nosuid", "nodev", "rprivate", "ro", "mode=1770", "size=67108864"],
    },
  };
  for (const [text, mount] of Object.entries(table)) assert.equal(parseMount(text, cwd), mount, text);
  const refused: readonly (readonly [string, string, RegExp])[] = [
    ["", "E_USAGE", /key=value/],
    ["type=bind", "E_USAGE", /target is missing/],
    ["type=bind,dst=/b", "E_USAGE", /source is missing/],
    ["type=bind,src=a,dst=/b", "E_USAGE", /must be an absolute path/],
    ["type=bind,src=/a,dst=b", "E_USAGE", /must be absolute/],
    ["type=bind,src=/a,dst=/b,constructor=bar", "E_USAGE", /"constructor" is not an option of a bind/],
    ["type=bind,src=/a,dst=/b,foo=bar", "E_USAGE", /"foo" is not an option of a bind/],
    ["type=bind,src=/a,dst=/b,tmpfs-size=1m", "E_USAGE", /"tmpfs-size" is not an option of a bind/],
    ["type=tmpfs,src=/a,dst=/b", "E_USAGE", /"source" is not an option of a tmpfs/],
    ["type=bind,src=/a,dst=/b,foo", "E_USAGE", /not key=value/],
    ["type=bind,src=/a,dst=/b,ro=maybe", "E_USAGE", /neither true nor false/],
    ["type=bind, src=/a,dst=/b", "E_USAGE", /not key=value/],
    ["type=bind,src=,dst=/b", "E_USAGE", /empty/],
    ["type=bind,src=/a,dst=/b,bind-recursive=readonly,ro", "E_USAGE", /needs bind-propagation=rprivate/],
    ["type=bind,src=/a,dst=/b,bind-recursive=writable", "E_USAGE", /needs readonly/],
    ["type=bind,src=/a,dst=/b,bind-recursive=x", "E_USAGE", /unknown/],
    ["type=bind,src=/a,dst=/b,bind-nonrecursive", "E_USAGE", /bind-nonrecursive is gone/],
    ["type=bind,src=/a,dst=/b,bind-propagation=shared", "E_UNSUPPORTED", /user namespace/],
    ["type=tmpfs,dst=/b,tmpfs-mode=9", "E_USAGE", /octal/],
    ["type=tmpfs,dst=/b,tmpfs-size=x", "E_USAGE", /--mount tmpfs-size/],
    ['type=bind,"src=/a,dst=/b', "E_USAGE", /quote is misplaced/],
    ["src=/a,dst=/b", "E_UNSUPPORTED", /"volume" is not supported yet/],
    ["type=image,src=a,dst=/b", "E_UNSUPPORTED", /"image" is not supported yet/],
    ["type=foo,dst=/b", "E_USAGE", /"foo" is unknown/],
  ];
  for (const [text, code, words] of refused) {
    const fault = refusal(() => parseMount(text, cwd));
    assert.is(fault.code, code, text);
    assert.match(fault.message, words, text);
  }
});

test("--tmpfs", () => {
  const options = (text: string): readonly string[] => {
    const mount = parseTmpfs(text);
    return mount.type === "tmpfs" ? mount.options : [];
  };
  assert.equal(options("/run"), ["noexec", "nosuid", "nodev", "rprivate"]);
  assert.equal(options("/run:"), ["noexec", "nosuid", "nodev", "rprivate"]);
  assert.equal(options("/run:exec,size=64m,mode=755"), ["nosuid", "nodev", "rprivate", "exec", "size=64m", "mode=755"]);
  assert.equal(options("/run:size=1m,size=2m,defaults"), ["noexec", "nosuid", "nodev", "rprivate", "size=2m"]);
  assert.equal(options("/run:rslave"), ["noexec", "nosuid", "nodev", "rslave"]);
  assert.match(refusal(() => parseTmpfs("run")).message, /must be absolute/);
  assert.match(refusal(() => parseTmpfs("/")).message, /cannot be/);
  assert.match(refusal(() => parseTmpfs("/run:bogus")).message, /"bogus" is not an option/);
  assert.match(refusal(() => parseTmpfs("/run:constructor")).message, /"constructor" is not an option/);
  assert.match(refusal(() => parseTmpfs("/run:foo=1")).message, /"foo=1" is not an option/);
});

test("property: cleaning is idempotent, and leaves nothing that climbs", () => {
  const path = fc.array(fc.constantFrom("", ".", "..", "a", "b.c", "..."), { maxLength: 10 }).map((p) => p.join("/"));
  fc.assert(
    fc.property(path, (p) => {
      const clean = cleanPath(`/${p}`);
      assert.is(cleanPath(clean), clean);
      assert.match(clean, /^\//);
      assert.not.match(clean, /\/\.{0,2}(\/|$)(?<!^\/)/);
      assert.is(cleanPath(cleanPath(p)), cleanPath(p));
    }),
  );
});

test.run();
