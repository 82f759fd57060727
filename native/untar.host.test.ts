import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import * as z from "zod/mini";
import {
  broken,
  CAP_NET_RAW_V2,
  dir,
  escapes,
  good,
  item,
  link,
  longName,
  pax,
  sparseContent,
  sparseFiles,
  symlink,
  tar,
} from "./corpus.ts";

const build = join(import.meta.dirname, "build");
const untar = join(build, "untar");
const hello = join(build, "hello");

/** How a program gets the ids that it works with: none of a namespace's, one, or a whole range. */
const spaces = {
  plain: [],
  single: ["unshare", "--user", "--map-root-user"],
  full: ["unshare", "--user", "--map-root-user", "--map-auto"],
} as const;
type Space = keyof typeof spaces;

const run = (space: Space, argv: readonly string[], input: Buffer = Buffer.alloc(0)) => {
  const [program = "", ...args] = [...spaces[space], ...argv];
  const { status, stdout, stderr, error } = spawnSync(program, args, { input, encoding: "buffer", maxBuffer: 1 << 26 });
  // EPIPE is no failure: a program that refuses its input need not read it to the end.
  if (error !== undefined && !String(error).includes("EPIPE")) return { code: status, stdout: "", stderr: String(error) };
  return { code: status, stdout: stdout.toString(), stderr: stderr.toString() };
};

const work = mkdtempSync(join(tmpdir(), "untar-test-"));
let count = 0;
const place = (name = "target"): string => {
  const path = join(work, String(count++));
  mkdirSync(join(path, name), { recursive: true });
  return join(path, name);
};

const Summary = z.object({
  entries: z.int(),
  bytes: z.int(),
  skipped: z.int(),
  noteCount: z.int(),
  notes: z.array(z.object({ entry: z.string(), note: z.string(), errno: z.optional(z.string()) })),
  sha256: z.string(),
});
const Stat = z.object({
  path: z.string(),
  mode: z.int(),
  uid: z.int(),
  gid: z.int(),
  size: z.int(),
  blocks: z.int(),
  links: z.int(),
  inode: z.int(),
  device: z.int(),
  mtime: z.int(),
  mtimeNanos: z.int(),
  target: z.nullable(z.string()),
  xattrs: z.record(z.string(), z.string()),
});
const Failure = z.object({ entry: z.string(), op: z.string(), errno: z.string() });

/** Extracts, and demands that it works and that the digest is the stream's. */
const extract = (space: Space, archive: Buffer, args: readonly string[] = [], target = place()) => {
  const single = space === "full" ? [] : ["--single-id"];
  const { code, stdout, stderr } = run(space, [untar, ...single, ...args, target], archive);
  is(stderr, "");
  is(code, 0);
  const summary = Summary.parse(JSON.parse(stdout));
  is(summary.sha256, createHash("sha256").update(archive).digest("hex"));
  const stat = (path: string) => {
    const { stdout: text, stderr: why } = run(space, [hello, "stat", join(target, path)]);
    ok(text !== "", why);
    return Stat.parse(JSON.parse(text));
  };
  const read = (path: string): string => run(space, [hello, "read", join(target, path)]).stdout;
  return { target, summary, stat, read };
};

const failure = (archive: Buffer, args: readonly string[] = [], target = place(), space: Space = "single") => {
  const { code, stderr } = run(space, [untar, "--single-id", ...args, target], archive);
  is(code, 1);
  is(stderr.split("\n").length, 2, "one line");
  return Failure.parse(JSON.parse(stderr));
};

/** Every file below a directory, with what it is: two trees are equal where these are. */
const listing = (space: Space, root: string): readonly string[] => {
  const script = 'cd "$1" && find . -printf "%P %M %U:%G %s %T@ %l\\n" | sort';
  return run(space, ["sh", "-c", script, "sh", root]).stdout.split("\n");
};

const has = (space: Space): string | null => {
  const { code, stderr } = run(space, ["true"]);
  return code === 0 ? null : stderr.trim() || `code ${code}`;
};
const lacks = { single: has("single"), full: has("full") };

const test = suite("untar");
const testIn = (space: "single" | "full", name: string, body: () => void): void => {
  const reason = lacks[space];
  if (reason === null) test(name, body);
  else console.log(`skip: ${name}: ${reason}`);
};

test("is built", () => {
  for (const program of [untar, hello]) ok(existsSync(program), `${program}: make -C native`);
  ok(readFileSync(untar).length <= 100 * 1024);
});

test("the digest is right at every block boundary", () => {
  for (const size of [0, 1, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 1000, 100_000, 3_000_000]) {
    extract("plain", tar(item({ name: "f", content: Buffer.alloc(size, size & 255) })));
  }
});

test("headers of v7, ustar, PAX and GNU", () => {
  const v7 = extract("plain", good["v7 header"] ?? tar());
  is(v7.read("file"), "x");
  is(v7.stat("old").mode, 0o040644);
  is(extract("plain", good["ustar prefix"] ?? tar()).read("a/b/c"), "x");
  is(extract("plain", good["no end blocks"] ?? tar()).read("file"), "x");
  is(extract("plain", good["pax size"] ?? tar()).read("file"), "hello");
  for (const format of ["pax names", "gnu names"]) {
    const { read, stat } = extract("plain", good[format] ?? tar());
    is(read(longName), "long");
    is(stat("link").target, `/${"t".repeat(300)}`);
  }
  const { mtime, mtimeNanos } = extract("plain", good["pax names"] ?? tar()).stat(longName);
  equal([mtime, mtimeNanos], [1234567890, 123456789]);
  is(extract("plain", good["base 256"] ?? tar()).stat("file").mtime, -5);
});

test("PAX: the last value holds, an empty one takes back, a second header replaces the first", () => {
  const { target } = extract(
    "plain",
    tar(
      pax([
        ["path", "a"],
        ["path", "b"],
      ]),
      item({ name: "x" }),
      pax([
        ["path", "c"],
        ["path", ""],
      ]),
      item({ name: "d" }),
      pax([["path", "e"]]),
      pax([["mtime", "1.5"]]),
      item({ name: "f" }),
    ),
  );
  equal(readdirSync(target).sort(), ["b", "d", "f"]);
});

test("links, directories and FIFOs have no content, whatever their size says", () => {
  const { target } = extract(
    "plain",
    tar(
      dir("d", 0o755, { size: 1024 }),
      item({ name: "s", type: "2", link: "x", size: 512 }),
      item({ name: "p", type: "6", size: 3 }),
      item({ name: "end" }),
    ),
  );
  equal(readdirSync(target).sort(), ["d", "end", "p", "s"]);
});

test("a global header changes nothing", () => {
  const { target, summary } = extract("plain", good["global header"] ?? tar());
  equal(readdirSync(target), ["file"]);
  equal(summary.notes, [{ entry: "", note: "global PAX header ignored" }]);
});

test("sparse files of four formats", () => {
  for (const [name, file] of Object.entries(sparseFiles)) {
    const { target, stat, summary } = extract("plain", tar(file));
    equal(readdirSync(target), ["sparse"], name);
    ok(readFileSync(join(target, "sparse")).equals(sparseContent()), name);
    ok(stat("sparse").blocks * 512 < 100_000, `${name}: holes`);
    is(summary.bytes, 11, name);
  }
  const many = extract("plain", good["sparse of many"] ?? tar());
  const content = readFileSync(join(many.target, "many"));
  is(content.length, 100_000);
  is(content.filter((byte) => byte !== 0).length, 50);
  is(content[98_000], "y".charCodeAt(0));
});

test("names are made clean", () => {
  const { read, summary, stat } = extract("plain", good["odd names"] ?? tar());
  is(read("a/b/c"), "x");
  is(read("abs"), "x");
  is(read("p/r"), "x");
  is(stat(".").mode, 0o040711);
  is(summary.entries, 5);
});

test("a name that is no UTF-8 is told apart in messages", () => {
  is(failure(tar(item({ name: Buffer.from([0x66, 0xff, 0x22, 0x0a]), type: "Z" })), [], place(), "plain").entry, 'f\udcff"\n');
});

test("hard links", () => {
  const { stat, read } = extract("plain", good["hard links"] ?? tar());
  is(stat("b").inode, stat("a/file").inode);
  is(stat("c").inode, stat("a/file").inode);
  is(stat("a/file").links, 3);
  is(stat("t").target, "a/file");
  is(stat("t").inode, stat("s").inode);
  is(read("b"), "x");
});

test("metadata of directories comes last", () => {
  const { stat, read } = extract("plain", good["order of parents"] ?? tar());
  equal([stat("a").mode, stat("a").mtime], [0o040500, 5]);
  equal([stat("a/b").mode, stat("a/b").mtime], [0o040700, 6]);
  is(read("a/b/c"), "x");
});

test("directories that nobody listed are 0755 and of time 0", () => {
  const { stat } = extract("plain", tar(item({ name: "x/y/z" })));
  for (const path of [".", "x", "x/y"]) equal([stat(path).mode, stat(path).mtime], [0o040755, 0]);
});

test("modes do not depend on the umask", () => {
  const before = process.umask(0o077);
  try {
    const { stat } = extract("plain", tar(item({ name: "f", mode: 0o666 }), dir("d", 0o777), item({ name: "p", type: "6", mode: 0o622 })));
    equal([stat("f").mode, stat("d").mode, stat("p").mode], [0o100666, 0o040777, 0o010622]);
  } finally {
    process.umask(before);
  }
});

test("entries replace what is there, directories merge", () => {
  const { read, stat } = extract("plain", good["replaced"] ?? tar());
  is(read("a"), "file");
  is(stat("f").mode, 0o040755);
  is(stat("f/y").mode, 0o100644);
  is(read("l"), "own");
  const merged = extract("plain", tar(dir("d", 0o700), item({ name: "d/a" }), dir("d", 0o711), item({ name: "d/b" })));
  equal(readdirSync(join(merged.target, "d")).sort(), ["a", "b"]);
  is(merged.stat("d").mode, 0o040711);
});

test("links inside the layer are followed inside the layer", () => {
  const { target, read } = extract("plain", good["links inside"] ?? tar());
  is(read("usr/lib/x"), "1");
  is(read("usr/lib/y"), "2");
  is(read("usr/z"), "3");
  equal(readdirSync(target).sort(), ["abs", "lib", "up", "usr"]);
  is(extract("plain", good["dangling parent"] ?? tar()).read("usr/lib/x"), "1");
});

test("no way out", () => {
  for (const mode of [[], ["--apply"]]) {
    for (const [name, { tar: make, refused }] of Object.entries(escapes)) {
      const target = place();
      const outside = join(target, "../outside");
      mkdirSync(outside, { mode: 0o700 });
      writeFileSync(join(outside, "victim"), "untouched", { mode: 0o600 });
      const before = listing("plain", outside);
      const { code, stderr } = run("plain", [untar, "--single-id", ...mode, target], make(outside));
      equal(listing("plain", outside), before, name);
      is(readFileSync(join(outside, "victim"), "utf8"), "untouched", name);
      equal(readdirSync(join(target, "..")).sort(), ["outside", "target"], name);
      is(code, refused === null ? 0 : 1, `${name}: ${stderr}`);
      if (refused !== null) is(Failure.parse(JSON.parse(stderr)).errno, refused, name);
    }
  }
});

test("what is mounted below is not entered", () => {
  const target = place();
  mkdirSync(join(target, "m"));
  const script = 'mount -t tmpfs none "$1/m" && exec "$2" --single-id --apply "$1"';
  const reason = has("single");
  if (reason !== null) return console.log(`skip: what is mounted below is not entered: ${reason}`);
  const { stderr } = run(
    "single",
    ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", target, untar],
    tar(item({ name: "m/x" })),
  );
  is(Failure.parse(JSON.parse(stderr)).errno, "EXDEV");
});

test("broken archives are refused, each with its reason", () => {
  for (const [name, { tar: archive, op }] of Object.entries(broken)) is(failure(archive, [], place(), "plain").op, op, name);
});

test("every truncation of a rich archive is refused or ends between entries", () => {
  const archive = Buffer.concat([good["pax names"] ?? tar(), Buffer.alloc(0)]).subarray(0, -1024);
  const extracted = new Set<number>();
  for (let size = 0; size <= archive.length; size += 128) {
    const { code } = run("plain", [untar, "--single-id", place()], archive.subarray(0, size));
    if (code === 0) extracted.add(size);
  }
  // Nothing, one file, both: after the file's content and after the link.
  is(extracted.size, 3);
});

test("limits", () => {
  const two = tar(item({ name: "a", content: "12345" }), item({ name: "b/c", content: "12345" }));
  is(failure(two, ["--max-entries", "1"], place(), "plain").op, "limit-entries");
  is(failure(two, ["--max-bytes", "9"], place(), "plain").op, "limit-bytes");
  is(failure(two, ["--max-path", "2"], place(), "plain").op, "limit-path");
  is(failure(two, ["--max-depth", "1"], place(), "plain").op, "limit-depth");
  extract("plain", two, ["--max-entries", "2", "--max-bytes", "10", "--max-path", "3", "--max-depth", "2"]);
  is(failure(tar(sparseFiles["old GNU"] ?? tar()), ["--max-bytes", "1000"], place(), "plain").op, "limit-bytes", "a hole counts");
});

test("usage errors and missing places", () => {
  for (const args of [
    [],
    ["a", "b"],
    ["--max-path", "x", "a"],
    ["--max-path", "5000", "a"],
    ["--nonsense"],
    ["--remove", "/"],
    ["--remove", ".."],
  ])
    is(run("plain", [untar, ...args]).code, 2, args.join(" "));
  equal(Failure.parse(JSON.parse(run("plain", [untar, join(work, "absent")]).stderr)), {
    entry: join(work, "absent"),
    op: "open",
    errno: "ENOENT",
  });
});

test("a full disk is named", () => {
  const reason = has("single");
  if (reason !== null) return console.log(`skip: a full disk is named: ${reason}`);
  const target = place();
  const script = 'mount -t tmpfs -o size=64k none "$1" && exec "$2" "$1"';
  const { code, stderr } = run(
    "single",
    ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", target, untar],
    tar(item({ name: "f", content: Buffer.alloc(1 << 20) })),
  );
  is(code, 1);
  equal(Failure.parse(JSON.parse(stderr)), { entry: "f", op: "write", errno: "ENOSPC" });
});

testIn("single", "single id: owners are recorded, set-uid of others is not kept", () => {
  const { stat } = extract(
    "single",
    tar(
      item({ name: "root", mode: 0o4755 }),
      item({ name: "other", mode: 0o6755, uid: 33, gid: 34 }),
      dir("d", 0o2750, { uid: 1000, gid: 5 }),
      item({ name: "s", type: "2", link: "x", uid: 9 }),
    ),
  );
  equal([stat("root").mode, stat("root").xattrs], [0o104755, {}]);
  equal([stat("other").mode, Buffer.from(stat("other").xattrs["user.coracle.owner"] ?? "", "hex").toString()], [0o100755, "33:34:6755"]);
  is(Buffer.from(stat("d").xattrs["user.coracle.owner"] ?? "", "hex").toString(), "1000:5:2750");
  is(stat("other").uid, 0);
});

testIn("full", "all ids: owners, set-uid and capabilities", () => {
  const archive = tar(
    item({ name: "f", mode: 0o4755, uid: 33, gid: 34, content: "x" }),
    dir("d", 0o2750, { uid: 1000, gid: 5 }),
    item({ name: "s", type: "2", link: "x", uid: 9, gid: 8 }),
    item({ name: "p", type: "6", uid: 7 }),
  );
  const { stat } = extract("full", archive);
  equal([stat("f").mode, stat("f").uid, stat("f").gid], [0o104755, 33, 34]);
  equal([stat("d").mode, stat("d").uid, stat("d").gid], [0o042750, 1000, 5]);
  equal([stat("s").uid, stat("s").gid, stat("p").uid], [9, 8, 7]);
  equal(stat("f").xattrs, {});
});

testIn("full", "an owner that is not mapped is named", () => {
  const { stderr } = run("full", [untar, place()], tar(item({ name: "f", uid: 2_000_000 })));
  equal(Failure.parse(JSON.parse(stderr)), { entry: "f", op: "chown", errno: "EINVAL" });
});

for (const space of ["single", "full"] as const) {
  testIn(space, `${space}: xattrs and file capabilities`, () => {
    const xattrs = extract(space, good["xattrs"] ?? tar());
    equal(xattrs.stat("file").xattrs, { "user.a": Buffer.from("one").toString("hex"), "user.b": "000a3dff" });
    equal(xattrs.summary.notes, [{ entry: "file", note: "reserved xattr ignored" }]);
    // Seen from inside, the kernel gives the version 2 back that it stored as version 3 with the namespace's root.
    equal(extract(space, good["capability"] ?? tar()).stat("file").xattrs, { "security.capability": CAP_NET_RAW_V2.toString("hex") });
    const trusted = extract(space, tar(pax([["SCHILY.xattr.trusted.x", "1"]]), item({ name: "f" })));
    equal(trusted.summary.notes, [{ entry: "f", note: "xattr trusted.x not set", errno: "EPERM" }]);
  });

  testIn(space, `${space}: device nodes are skipped, FIFOs are made`, () => {
    const { summary, target } = extract(space, good["devices"] ?? tar());
    equal(readdirSync(target), []);
    is(summary.skipped, 2);
    is(summary.notes[0]?.note, "device node skipped");
    is(extract(space, good["fifo"] ?? tar()).stat("fifo").mode, 0o010620);
  });

  testIn(space, `${space}: whiteouts in overlayfs's form`, () => {
    const { stat, target } = extract(space, good["whiteouts"] ?? tar());
    for (const path of ["gone", "d/gone"]) equal([stat(path).mode & 0o170000, stat(path).device], [0o020000, 0], path);
    equal(stat("o").xattrs, { "user.overlay.opaque": "79" });
    equal(readdirSync(target).sort(), ["d", "gone", "o"]);
    const own = extract(space, good["whiteouts of own"] ?? tar());
    for (const path of ["a", "b", "e"]) equal(own.stat(path).xattrs, { "user.overlay.opaque": "79" }, path);
    is(own.read("c"), "own");
  });

  testIn(space, `${space}: the kernel's overlay of layers is what the layers mean, and apply mode agrees`, () => {
    const base = tar(
      dir("keep"),
      item({ name: "keep/file", content: "base" }),
      item({ name: "gone" }),
      dir("tmp", 0o1777, { mtime: 77 }),
      dir("o"),
      item({ name: "o/old" }),
      dir("o/sub"),
      item({ name: "o/sub/old" }),
      dir("a"),
      item({ name: "a/old" }),
      dir("tree"),
      dir("tree/deep"),
      item({ name: "tree/deep/x" }),
      dir("turns"),
      item({ name: "turns/x" }),
      item({ name: "becomes" }),
    );
    const top = tar(
      item({ name: ".wh.gone" }),
      item({ name: ".wh.tree" }),
      item({ name: ".wh.absent" }),
      item({ name: "tmp/x", content: "x" }),
      item({ name: "o/new", content: "new" }),
      item({ name: "o/.wh..wh..opq" }),
      item({ name: "o/sub/new" }),
      dir("a"),
      item({ name: "a/new" }),
      item({ name: ".wh.a" }),
      item({ name: "turns", content: "file" }),
      dir("becomes"),
      item({ name: "becomes/y" }),
    );
    const lower = extract(space, base).target;
    const upper = extract(space, top, ["--lower", lower]).target;
    const applied = extract(space, base, ["--apply"]).target;
    extract(space, top, ["--apply"], applied);
    const merged = place();
    const script =
      'mount -t overlay -o "userxattr,lowerdir=$1:$2" none "$3" && cd "$3" && find . -mindepth 1 -printf "%P %M %U:%G %l\\n" | sort';
    const { stdout, stderr } = run(space, [
      "unshare",
      "--mount",
      "--propagation",
      "private",
      "sh",
      "-c",
      script,
      "sh",
      upper,
      lower,
      merged,
    ]);
    is(stderr, "");
    const files = stdout.trim().split("\n");
    equal(
      files.map((line) => line.split(" ")[0]),
      ["a", "a/new", "becomes", "becomes/y", "keep", "keep/file", "o", "o/new", "o/sub", "o/sub/new", "tmp", "tmp/x", "turns"],
    );
    ok(files.includes("tmp drwxrwxrwt 0:0 "), "the layer that does not list /tmp leaves its mode");
    const plain = run(space, ["sh", "-c", 'cd "$1" && find . -mindepth 1 -printf "%P %M %U:%G %l\\n" | sort', "sh", applied]).stdout;
    equal(plain.trim().split("\n"), files, "apply mode gives the same tree");
  });
}

testIn("full", "implied directories take owner, mode and time from the nearest layer that has them", () => {
  const deep = extract(
    "full",
    tar(dir("srv", 0o750, { uid: 5, gid: 6, mtime: 99 }), dir("srv/app", 0o700, { uid: 7, mtime: 98 }), dir("cut", 0o700)),
  );
  const near = extract("full", tar(dir("srv", 0o751, { uid: 8, gid: 9, mtime: 97 }), item({ name: ".wh.cut" })));
  const { stat } = extract("full", tar(item({ name: "srv/app/x" }), item({ name: "cut/x" })), [
    "--lower",
    near.target,
    "--lower",
    deep.target,
  ]);
  equal([stat("srv").mode, stat("srv").uid, stat("srv").gid, stat("srv").mtime], [0o040751, 8, 9, 97]);
  equal([stat("srv/app").mode, stat("srv/app").uid, stat("srv/app").mtime], [0o040700, 7, 98]);
  equal([stat("cut").mode, stat("cut").mtime], [0o040755, 0]);
});

testIn("single", "implied directories take a recorded owner along", () => {
  const lower = extract("single", tar(dir("srv", 0o2750, { uid: 5, gid: 6 }))).target;
  const { stat } = extract("single", tar(item({ name: "srv/x" })), ["--lower", lower]);
  equal([stat("srv").mode, Buffer.from(stat("srv").xattrs["user.coracle.owner"] ?? "", "hex").toString()], [0o040750, "5:6:2750"]);
});

test("--remove: any tree, and never anything outside of it", () => {
  const target = place();
  const outside = join(target, "../outside");
  mkdirSync(outside);
  writeFileSync(join(outside, "victim"), "untouched");
  symlinkSync(outside, join(target, "link"));
  mkdirSync(join(target, "locked/inner"), { recursive: true });
  writeFileSync(join(target, "locked/inner/file"), "");
  chmodSync(join(target, "locked/inner"), 0);
  chmodSync(join(target, "locked"), 0o500);
  // Deeper than descriptors go, and longer than any path.
  const deep =
    'i=0; cd "$1"; while [ $i -lt 1500 ]; do mkdir d && cd d && : > f; i=$((i+1)); done; mkdir "$1/.coracle-doomed-0" && : > "$1/.coracle-doomed-0/x"';
  is(run("plain", ["sh", "-c", deep, "sh", target]).code, 0);
  const { code, stdout, stderr } = run("plain", ["sh", "-c", 'ulimit -n 100; exec "$@"', "sh", untar, "--remove", `${target}/`]);
  is(stderr, "");
  is(code, 0);
  match(stdout, /"removed":300[0-9]/);
  equal(readdirSync(join(target, "..")), ["outside"]);
  is(readFileSync(join(outside, "victim"), "utf8"), "untouched");
  is(run("plain", [untar, "--remove", target]).code, 0, "gone is success");
  is(run("plain", [untar, "--remove", join(target, "no/where")]).code, 0);
  symlinkSync(outside, target);
  is(run("plain", [untar, "--remove", target]).code, 0, "a link goes, not what it points to");
  equal(readdirSync(outside), ["victim"]);
});

test("--remove waits for an extraction that is under way, and two do not share a directory", () => {
  const target = place();
  // The first one's input ends only once the second was refused and the removal has begun.
  const script = [
    'mkfifo "$3/in"; "$1" --single-id "$2" <"$3/in" >"$3/first" & exec 9>"$3/in"',
    'cat "$4" >&9; until [ -e "$2/began" ]; do kill -0 $! || exit 1; sleep 0.01; done',
    '"$1" --single-id "$2" </dev/null 2>"$3/second" 9>&-',
    '"$1" --remove "$2" >"$3/removed" 9>&- &',
    'exec 9>&-; wait; cat "$3/removed" "$3/first" "$3/second"',
  ].join("\n");
  const began = join(place(), "began.tar");
  writeFileSync(began, item({ name: "began" }));
  const { stdout } = run("plain", ["sh", "-c", script, "sh", untar, target, place(), began]);
  const [removed = "", first = "", second = ""] = stdout.trim().split("\n");
  match(removed, /"removed":2,/);
  match(first, /"entries":1,/);
  equal(Failure.parse(JSON.parse(second)), { entry: target, op: "lock", errno: "EAGAIN" });
  ok(!existsSync(target));
});

testIn("single", "--remove stops at what is mounted", () => {
  const target = place();
  mkdirSync(join(target, "m"));
  const script = 'mount --bind "$3" "$1/m" && exec "$2" --remove "$1"';
  const outside = place("outside");
  writeFileSync(join(outside, "victim"), "");
  const { code, stderr } = run("single", [
    "unshare",
    "--mount",
    "--propagation",
    "private",
    "sh",
    "-c",
    script,
    "sh",
    target,
    untar,
    outside,
  ]);
  is(code, 1);
  is(Failure.parse(JSON.parse(stderr)).errno, "EXDEV");
  equal(readdirSync(outside), ["victim"]);
});

testIn("full", "--remove in the namespace takes what the user alone could not", () => {
  const { target } = extract("full", tar(dir("d", 0o700, { uid: 1000 }), item({ name: "d/f", uid: 1000 })));
  is(run("full", [untar, "--remove", target]).code, 0);
  ok(!existsSync(target));
});

test("stdin from a file, in large reads, gives the same", () => {
  const archive = tar(
    ...Array.from({ length: 300 }, (_, i) => item({ name: `d${i % 70}/f${i}`, content: Buffer.alloc(i * 37, i) })),
    link("l", "d1/f1"),
    symlink("s", "d2"),
  );
  const file = join(place(), "layer.tar");
  writeFileSync(file, archive);
  const [a, b] = [place(), place()];
  extract("plain", archive, [], a);
  is(run("plain", ["sh", "-c", 'exec "$1" --single-id "$2" < "$3"', "sh", untar, b, file]).code, 0);
  equal(listing("plain", b), listing("plain", a));
});

test.after(() => {
  run(lacks.full === null ? "full" : "plain", [untar, "--remove", work]);
});

test.run();
