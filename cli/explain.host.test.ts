/** `coracle explain`: what it shows is what run executes, on this host and on others; it makes nothing, and needs no privilege. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite } from "uvu";
import { equal, is, match, not, ok } from "uvu/assert";
import { parseFlags } from "#core/flags";
import { stringifyJson } from "#core/json";
import { encodePlan } from "#core/plan/encode";
import { explainData } from "#core/plan/explain";
import { buildRunOptions } from "#core/run-options";
import { readFacts } from "#linux/facts";
import { runFlags } from "./flags.ts";
import { explainRun, prepareRun } from "./launch.main.ts";
import { busyboxEntries, checkout, file, findBusybox, makeLayout, Place, program, reasonAgainstRuns } from "./test/harness.ts";

const place = new Place();
const test = suite("explain");
const noRun = reasonAgainstRuns();
const facts = readFacts({ dataDir: place.storage });

/** What two starts of one line differ in: ids, times, and where the namespace's door is. */
const normal = (text: string, id: string): string =>
  text
    .replaceAll(id, "ID")
    .replaceAll(id.slice(0, 12), "ID")
    .replaceAll(/coracle-ID-[0-9a-f]{8}/g, "coracle-ID-HASH") // of the state directory, which has the id in its name
    .replaceAll(/\/proc\/(\d+|HOLDER)\/ns\/user/g, "DOOR")
    .replaceAll(/"inode": ?\d+/g, '"inode":0')
    .replaceAll(/"created\\?":\\?"[^"\\]*\\?"/g, '"created":"NOW"');

const busybox = findBusybox();
const image = busybox === null ? null : await makeLayout(join(place.dir, "image"), [busyboxEntries(busybox), [file("top")]]);
const lines: readonly (readonly string[])[] = [
  ["hello"],
  ["--read-only", "--cap-drop", "ALL", "--tmpfs", "/t", "--hostname", "box", "hello", "a b"],
  ["--network", "host", "--ulimit", "nofile=64", "--security-opt", "no-new-privileges", "-e", "A=1", "hello"],
  ["--snapshotter", "copy", "hello"],
  ["--snapshotter", "fuse-overlayfs", "hello"],
  ...(image === null ? [] : [["-w", "/tmp", "-v", "/usr:/u:ro", image, "sh", "-c", "exit"]]),
];

for (const args of lines) {
  const name = `the plan is the one that runs: ${args.join(" ").replace(place.dir, "")}`;
  const fuse = args.includes("fuse-overlayfs") && !(facts.tools.fuseOverlayfs !== null && facts.mounts.fuse.works);
  const reason = noRun ?? (fuse ? "fuse-overlayfs does not work here" : null);
  if (reason !== null) console.log(`skip: ${name}: ${reason}`);
  else
    test(name, async () => {
      const { values, rest } = parseFlags(runFlags, ["--rm", ...args], { command: "coracle run" });
      const options = buildRunOptions(values, rest, { cwd: place.dir, env: {}, readText: () => "" });
      const dirs = { root: place.root, storage: place.storage };
      const explained = (await explainRun(options, dirs, place.dir, null)).start;
      const launch = await prepareRun(options, dirs, place.dir);
      await launch.finish();
      const id = /containers\/([0-9a-f]{12})/.exec(stringifyJson(explainData(launch.start.plan, [])))?.[1] ?? "";
      const full = new RegExp(`${id}[0-9a-f]{52}`).exec(stringifyJson(explainData(launch.start.plan, [])))?.[0] ?? id;
      const show = (start: typeof explained, of: string): string => normal(stringifyJson(explainData(start.plan, []), 1), of);
      is(show(explained, "0".repeat(64)), show(launch.start, full));
      is(encodePlan(explained.plan).length > 0, true);
      equal(
        explained.notes.filter((note) => !launch.start.notes.includes(note)),
        [],
      );
    });
}

test("text and JSON tell the same steps", () => {
  const text = place.coracle(["explain", "hello"]);
  const json = place.coracle(["explain", "--json", "hello"]);
  is(text.status, 0, text.stderr);
  const data: { steps: { step: number; op: string; origin: string }[] } = JSON.parse(json.stdout);
  equal(
    data.steps.map(({ step }) => step),
    data.steps.map((_, i) => i + 1),
  );
  for (const { step, op } of data.steps) match(text.stdout, new RegExp(`^ *${step}  ${op} `, "m"));
  match(text.stdout, /config\.json#\/mounts\/0/);
  const config = place.coracle(["explain", "--config", "hello"]);
  is(JSON.parse(config.stdout).ociVersion, "1.3.0");
});

/** Hosts on which the plain line is refused, and why. */
const refusals: Readonly<Record<string, RegExp>> = { docker: /E_USERNS/, "ubuntu2404-apparmor": /E_USERNS/ };
const hosts = join(checkout, "core/test/hosts");
for (const host of readdirSync(hosts))
  test(`for another host: ${host}`, () => {
    const { status, stdout, stderr } = place.coracle(["explain", "--json", "--facts", join(hosts, host), "hello"]);
    const refusal = refusals[host.replace(".json", "")];
    if (refusal !== undefined) {
      is(status, 125);
      match(stderr, refusal);
      match(stderr, /why: .*[\s\S]*try: /);
      return;
    }
    is(status, 0, stderr);
    const { steps, notes }: { steps: { op: string; args: Record<string, unknown> }[]; notes: string[] } = JSON.parse(stdout);
    const ops = steps.map(({ op }) => op);
    const roots = ops.filter((op) => ["root_overlay", "root_open", "root_bind"].includes(op));
    const expected = host === "nfs-home.json" ? "root_open" : host === "nested.json" ? "root_bind" : "root_overlay";
    equal(roots, [expected]);
    is(ops.includes("fuse_root"), expected === "root_open");
    is(
      notes.some((note) => /one id is mapped/.test(note)),
      ["nested.json", "no-subuid.json"].includes(host),
    );
  });

test("facts that do not fit, or are not there", () => {
  const path = join(place.dir, "facts.json");
  for (const text of ["{", "{}", "[]"]) {
    writeFileSync(path, text);
    const { status, stderr } = place.coracle(["explain", "--facts", path, "hello"]);
    is(status, 125);
    match(stderr, /^error E_FACTS: .*facts\.json/);
  }
  is(place.coracle(["explain", "--facts", `${path}.none`, "hello"]).status, 125);
});

test("it makes nothing, and needs no privilege", () => {
  const fresh = join(place.dir, "fresh");
  mkdirSync(fresh, { mode: 0o500 });
  const env = { HOME: fresh, XDG_RUNTIME_DIR: join(fresh, "run"), XDG_DATA_HOME: join(fresh, "data"), NODE_COMPILE_CACHE: "" };
  const { status, stderr } = place.coracle(["explain", "-v", `${fresh}/new:/new`, "hello"], { env });
  is(status, 0, stderr);
  equal(readdirSync(fresh), []);
  // Not even user namespaces, where the facts come from elsewhere.
  const off = spawnSync(
    "unshare",
    [
      "-Ur",
      "sh",
      "-c",
      'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"',
      "sh",
      program,
      "explain",
      "--facts",
      join(hosts, "debian12.json"),
      "hello",
    ],
    { encoding: "utf8", env: { ...place.env, ...env } },
  );
  if (/unshare/.test(off.stderr)) console.log(`skip: explain without user namespaces: ${off.stderr.trim()}`);
  else is(off.status, 0, off.stderr);
  equal(readdirSync(fresh), []);
  not.ok(existsSync(join(fresh, "run")));
  rmSync(fresh, { recursive: true });
});

test("a bundle", () => {
  const bundle = join(place.dir, "bundle");
  mkdirSync(bundle);
  is(spawnSync(join(checkout, "bin/coracle-oci"), ["spec", "--bundle", bundle], { env: place.env }).status, 0);
  const config = JSON.parse(spawnSync("cat", [join(bundle, "config.json")], { encoding: "utf8" }).stdout);
  config.process.terminal = false;
  writeFileSync(join(bundle, "config.json"), JSON.stringify(config));
  const { status, stdout, stderr } = place.coracle(["explain", "--bundle", bundle]);
  is(status, 0, stderr);
  ok(stdout.includes(`bind root ${bundle}/rootfs`));
  is(place.coracle(["explain", "--bundle", `${bundle}/none`]).status, 125);
});

test.after(() => place.remove());
test.run();
