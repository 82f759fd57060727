// timeout: 240
/**
 * The three snapshotters: one image of several layers, with whiteouts, looks and behaves the same under each; each is
 * taken down with its container, and after its processes were killed.
 */
import { accessSync, constants, existsSync, readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { suite } from "uvu";
import { equal, is, match, not, ok } from "uvu/assert";
import { readFacts } from "#linux/facts";
import {
  busyboxEntries,
  childrenOf,
  dir,
  eventually,
  file,
  findBusybox,
  makeLayout,
  Place,
  reasonAgainstRuns,
  symlink,
} from "./test/harness.ts";

const place = new Place();
const busybox = findBusybox();
const noRun = reasonAgainstRuns() ?? (busybox === null ? "no static busybox (apt-get install busybox-static)" : null);
const facts = readFacts({ dataDir: place.storage });

const canOpen = (path: string): boolean => {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
};
const against: Readonly<Record<string, string | null>> = {
  overlay: facts.dirs.data.overlay.works ? null : `the kernel mounts no overlay in ${place.storage}`,
  "fuse-overlayfs":
    facts.tools.fuseOverlayfs === null
      ? "fuse-overlayfs is not installed"
      : canOpen("/dev/fuse")
        ? null
        : "/dev/fuse is not accessible (npm run setup:host)",
  copy: null,
};
const snapshotters = Object.keys(against);
const working = snapshotters.filter((name) => against[name] === null);

const image =
  noRun === null && busybox !== null
    ? await makeLayout(join(place.dir, "image"), [
        [
          ...busyboxEntries(busybox),
          dir("d"),
          ...["a", "b", "c"].flatMap((name) => [dir(`d/${name}`), file(`d/${name}/in`, `first ${name}`)]),
          dir("keep"),
          file("keep/file"),
          file("gone", "first"),
          file("away", "first"),
          dir("opaque"),
          file("opaque/x"),
          file("opaque/y"),
          dir("tree"),
          dir("tree/deep"),
          file("tree/deep/leaf"),
          file("was-file"),
          dir("was-dir"),
          file("was-dir/in"),
          symlink("link", "/d/a/in"),
          { path: "linked", type: "link", target: "keep/file", mode: 0o644 },
          file("suid", "#!/bin/sh\n", { mode: 0o4755 }),
          file("owned", "app's", { uid: 1000, gid: 2000, mode: 0o640 }),
          dir("sticky", 0o1777),
          dir("closed", 0o700, { uid: 1000, gid: 1000 }),
          file("closed/secret", "x", { uid: 1000, gid: 1000, mode: 0o600 }),
        ],
        [
          file(".wh.gone", ""),
          file(".wh.away", ""),
          dir("d"),
          file("d/.wh.b", ""),
          file("d/a/in", "second a"),
          dir("opaque", 0o750),
          file("opaque/.wh..wh..opq", ""),
          file("opaque/z"),
          file(".wh.tree", ""),
          dir("was-file"),
          file("was-file/in"),
          file("was-dir", "a file now"),
        ],
        [file("gone", "third"), dir("d/b"), file("d/b/new"), dir("tree"), file("tree/other"), file("d/c/.wh.in", "")],
      ])
    : "";

/** Everything but what is mounted, and the root itself, which mount points were made in. */
const listing = [
  "cd /; find . -xdev \\( -path ./proc -o -path ./dev -o -path ./sys -o -path ./bin -o -path ./. \\) -prune -o -print | sort | while read -r f; do",
  '[ "$f" = . ] && continue',
  'if [ -L "$f" ]; then echo "$f -> $(readlink "$f")"',
  'elif [ -f "$f" ]; then echo "$f $(stat -c "%a %u %g %h %s %Y" "$f") $(md5sum < "$f")"',
  'else echo "$f $(stat -c "%F %a %u %g" "$f")"; fi; done',
].join("\n");

/** What overlays are known to differ in: copying up, whiteouts of their own, renames of directories, opaque directories. */
const changes = [
  "set -e; cd /",
  "rm keep/file; echo more >> owned; chown 1000:1000 linked",
  "mv d/a d/renamed; rm -r opaque; mkdir opaque; echo fresh > opaque/fresh",
  "rm gone; mkdir gone; touch -d @5 gone/in; ln gone/in gone/hard; ln -s in gone/soft",
  "mkdir -m 700 new; mkfifo new/pipe; echo x > new/x; mv new/x new/y; chmod 4755 new/y; rm was-dir",
  "mv was-file/in tree/; rmdir was-file; [ ! -e was-file ]",
].join("\n");

const test = suite("snapshotters");
const testOn = (name: string, snapshotter: string, body: () => Promise<void>): void => {
  const reason = noRun ?? against[snapshotter] ?? null;
  if (reason === null) test(`${name}: ${snapshotter}`, body);
  else console.log(`skip: ${name} with ${snapshotter}: ${reason}`);
};
const listings = new Map<string, string>();
const changed = new Map<string, string>();

for (const name of snapshotters) {
  testOn("the image as it is", name, async () => {
    const { status, stdout, stderr } = place.run(["--snapshotter", name, image, "sh", "-c", listing]);
    is(status, 0, stderr);
    listings.set(name, stdout);
    const lines = stdout.split("\n");
    const has = (start: string): boolean => lines.some((line) => line.startsWith(start));
    const md5 = (path: string): string => lines.find((line) => line.startsWith(`${path} `))?.split(" ")[7] ?? "";
    for (const path of [
      "./gone ",
      "./d/b/new ",
      "./opaque/z ",
      "./tree/other ",
      "./was-file/in ",
      "./keep/file 644 0 0 2 ",
      "./link -> /d/a/in",
    ])
      ok(has(path), path);
    for (const path of ["./away", "./d/b/in", "./d/c/in", "./opaque/x", "./tree/deep", "./was-dir/in"]) not.ok(has(path), path);
    ok(!stdout.includes(".wh."), "no whiteout shows");
    ok(has("./suid 4755 0 0 1 "));
    ok(has("./sticky directory 1777 0 0"));
    ok(has("./opaque directory 750 0 0"));
    if (facts.subids.mapping.works) ok(has("./owned 640 1000 2000 1 5 1000000000 "));
    is(md5("./gone"), "dd5c8bf51558ffcbe5007071908e9524", "third");
    equal(await place.leftovers(), []);
  });

  testOn("the image after changes", name, async () => {
    const { status, stdout, stderr } = place.run([
      "--snapshotter",
      name,
      image,
      "sh",
      "-c",
      `${changes}\nsync\n${listing.replace(" %Y", "")}`,
    ]);
    is(status, 0, stderr);
    changed.set(name, stdout);
    match(stdout, /^\.\/d\/renamed\/in /m);
    not.match(stdout, /^\.\/(keep\/file|was-dir|was-file|opaque\/z)/m);
    match(stdout, /^\.\/gone\/in .*\n\.\/gone\/soft -> in$/m);
    equal(await place.leftovers(), []);
    is(place.run(["--snapshotter", name, image, "sh", "-c", listing]).stdout, listings.get(name), "the image itself has not changed");
  });

  testOn("another user, and a root that cannot be written", name, async () => {
    const asUser = place.run([
      "--snapshotter",
      name,
      "-u",
      "app",
      image,
      "sh",
      "-c",
      "id -u; cat owned; cat closed/secret; echo hi > sticky/mine; ls -ln sticky; echo no > keep/file",
    ]);
    if (facts.subids.mapping.works) {
      match(asUser.stdout, /^1000\napp'sx.*1000 +1000 .* mine/s);
      match(asUser.stderr, /can't create keep\/file: Permission denied/);
    }
    const readOnly = place.run(["--snapshotter", name, "--read-only", image, "sh", "-c", "cat keep/file; echo > x"]);
    is(readOnly.stdout, "keep/file");
    match(readOnly.stderr, /can't create x: Read-only file system/);
    is(readOnly.status, 1);
    equal(await place.leftovers(), []);
  });

  testOn("a command that is not there leaves nothing", name, async () => {
    is(place.run(["--snapshotter", name, image, "no-such"]).status, 127);
    is(place.run(["--snapshotter", name, image, "/etc/passwd"]).status, 126);
    equal(await place.leftovers(), []);
  });

  testOn("launcher and executor killed: the next start cleans up", name, async () => {
    const run = place.start(["-i", "--snapshotter", name, image, "sh", "-c", "echo up; cat"]);
    is(await eventually(() => (place.processes().some((line) => line.endsWith(" cat")) ? true : null)), true, "it runs");
    const children = childrenOf(run.pid ?? 0);
    run.kill("SIGKILL");
    for (const pid of children) process.kill(pid, "SIGKILL");
    run.stdin?.destroy(); // the container's cat reads end of file
    is(await eventually(() => (place.processes().length === 0 ? true : null)), true, `${place.processes().join("\n")} is left`);
    ok(readdirSync(join(place.storage, "containers")).length > 0, "its directory waits for the next start");
    is(place.run(["--snapshotter", name, image, "true"]).status, 0);
    equal(await place.leftovers(), []);
  });

  testOn("a killed launcher that had not started anything", name, async () => {
    const run = place.start(["--snapshotter", name, image, "true"]);
    // From its claim on; wherever the kill hits, nothing may stay for good.
    await eventually(() =>
      existsSync(join(place.storage, "containers")) && readdirSync(join(place.storage, "containers")).length > 0 ? true : null,
    );
    run.kill("SIGKILL");
    // Had it started something, that goes on to its end, and its claim is the sweep's.
    await eventually(() => (place.processes().length === 0 && place.states().length === 0 ? true : null));
    is(place.run(["--snapshotter", name, image, "true"]).status, 0);
    equal(await place.leftovers(), []);
  });
}

if (noRun === null)
  test("all look the same, before changes and after", () => {
    ok(working.length >= 2, "there is something to compare");
    for (const name of working) {
      is(listings.get(name), listings.get("copy"), `${name} before`);
      is(changed.get(name), changed.get("copy"), `${name} after`);
    }
  });

testOn("the server is out of the container's sight and reach", "fuse-overlayfs", async () => {
  const run = place.start([
    "-i",
    "--snapshotter",
    "fuse-overlayfs",
    image,
    "sh",
    "-c",
    "ps -o args; kill -9 -1; umount / 2>/dev/null; cat /keep/file; cat",
  ]);
  const server = await eventually(() => place.processes().find((line) => /fuse-overlayfs -f/.test(line)) ?? null);
  ok(server !== null, "the server is in the user-wide namespace");
  const pid = server?.split(" ")[0];
  const namespaces = (of: string): string[] => ["user", "pid", "mnt"].map((type) => readlinkSync(`/proc/${of}/ns/${type}`));
  const init = (await eventually(() => place.processes().find((line) => line.endsWith(" cat")) ?? null))?.split(" ")[0];
  ok(init !== undefined && pid !== undefined);
  const [server_, inside] = [namespaces(pid ?? ""), namespaces(init ?? "")];
  for (const i of [0, 1, 2]) is.not(server_[i], inside[i]);
  run.stdin?.end();
  const said = await text(run.stdout ?? process.stdin);
  not.match(said, /fuse-overlayfs/);
  match(said, /keep\/file/, "it still serves");
  equal(await place.leftovers(), []);
});

testOn("the caller's whole process group killed: the server ends with the container", "fuse-overlayfs", async () => {
  const run = place.start(["-i", "--snapshotter", "fuse-overlayfs", image, "cat"], true);
  ok(await eventually(() => (place.processes().some((line) => line.endsWith(" cat")) ? true : null)));
  process.kill(-(run.pid ?? 0), "SIGKILL");
  run.stdin?.destroy();
  is(await eventually(() => (place.processes().length === 0 ? true : null)), true, place.processes().join("\n"));
  is(place.run([image, "true"]).status, 0);
  equal(await place.leftovers(), []);
});

testOn("an executor killed alone: the server ends with the container", "fuse-overlayfs", async () => {
  const run = place.start(["-i", "--snapshotter", "fuse-overlayfs", image, "sh", "-c", "cat; cat /keep/file; sleep 0.2"]);
  await eventually(() => (place.processes().some((line) => line.endsWith(" cat")) ? true : null));
  const stages = childrenOf(run.pid ?? 0);
  is(stages.length, 1);
  for (const pid of stages) process.kill(pid, "SIGKILL");
  const stderr = text(run.stderr ?? process.stdin);
  const served = text(run.stdout ?? process.stdin);
  run.stdin?.end();
  is(await served, "keep/file", "the container goes on, and so does its root");
  match(await stderr, /E_EXECUTOR_VANISHED/);
  is(await eventually(() => (place.processes().length === 0 ? true : null)), true, "no server, no guardian");
  is(place.run([image, "true"]).status, 0);
  equal(await place.leftovers(), []);
});

if (noRun === null) {
  test("what cannot work is refused before anything is made", async () => {
    const closed = new Place();
    const { status, stderr } = closed.run(["--snapshotter", "zfs", image, "true"]);
    is(status, 125);
    match(stderr, /--snapshotter: "zfs"/);
    if (against["fuse-overlayfs"] !== null) {
      const fuse = closed.run(["--snapshotter", "fuse-overlayfs", image, "true"]);
      is(fuse.status, 125);
      match(fuse.stderr, /E_UNSUPPORTED.*fuse-overlayfs does not work here[\s\S]*try: /);
    }
    ok(!existsSync(closed.storage));
    await closed.remove();
  });
} else test("nothing could be run", () => console.log(`skip: snapshotters: ${noRun}`));

test.after(() => place.remove());
test.run();
