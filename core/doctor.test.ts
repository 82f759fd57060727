import { readdirSync, readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import * as z from "zod/mini";
import { buildDoctor, type DoctorCheck, type DoctorReport, DoctorReportSchema, renderDoctor } from "#core/doctor";
import { type Facts, parseFacts } from "#core/facts";

const folder = new URL("./test/hosts/", import.meta.url);
const names = readdirSync(folder).map((name) => name.replace(".json", ""));
const host = (name: string): Facts => parseFacts(JSON.parse(readFileSync(new URL(`${name}.json`, folder), "utf8")), name);
const checksOf = (report: DoctorReport): readonly DoctorCheck[] => report.sections.flatMap(({ checks }) => checks);
const check = (name: string, id: string): DoctorCheck => {
  const found = checksOf(buildDoctor(host(name))).find((one) => one.id === id);
  if (found === undefined) throw new Error(`${name} has no check ${id}`);
  return found;
};

/** What each host gets: whether anything runs, ids, snapshotter, cgroup, network. */
const expected: Readonly<Record<string, readonly [runs: boolean, ids: string, snapshotter: string, cgroup: string, network: string]>> = {
  "cgroup-v1-undelegated": [true, "newuidmap", "overlay", "none", "slirp4netns"],
  debian12: [true, "newuidmap", "overlay", "v1", "slirp4netns"],
  "debian12-systemd": [true, "newuidmap", "overlay", "v2", "slirp4netns"],
  docker: [false, "direct", "copy", "none", "none"],
  nested: [true, "single", "copy", "none", "none"],
  "nfs-home": [true, "newuidmap", "fuse-overlayfs", "v2", "slirp4netns"],
  "no-subuid": [true, "single", "overlay", "v2", "slirp4netns"],
  rhel9: [true, "newuidmap", "overlay", "systemd", "slirp4netns"],
  root: [true, "direct", "overlay", "v2", "slirp4netns"],
  "root-in-userns": [true, "direct", "overlay", "v2", "slirp4netns"],
  "ubuntu2404-apparmor": [false, "newuidmap", "overlay", "systemd", "none"],
  "v2-undelegated": [true, "newuidmap", "overlay", "systemd", "slirp4netns"],
};

test("every fact set has its expectation", () => assert.equal(names.toSorted(), Object.keys(expected).toSorted()));

for (const name of names) {
  test(`${name}: choices`, () => {
    const { runs, choices } = buildDoctor(host(name));
    assert.equal([runs, choices.ids, choices.snapshotter, choices.cgroup, choices.network], expected[name]);
  });

  test(`${name}: report and text are whole`, () => {
    const report = buildDoctor(host(name));
    assert.equal(z.parse(DoctorReportSchema, report), report);
    assert.equal(
      report.sections.map(({ title }) => title),
      ["Namespaces", "Ids", "File systems", "Limits", "Network", "Security", "Storage"],
    );
    const ids = checksOf(report).map(({ id }) => id);
    assert.is(new Set(ids).size, ids.length, "ids are unique");
    const text = renderDoctor(report);
    for (const { title, status, detail, why, remedy } of checksOf(report)) {
      assert.ok(text.includes(title));
      assert.ok(detail.length > 0);
      if (status === "ok") assert.equal([why, remedy], [null, null]);
      if (remedy !== null) assert.ok(text.includes(remedy), "a command stays on one line");
    }
    assert.not.match(text, /undefined|null|\[object|\u001b/);
    assert.ok(text.endsWith("\n") && !text.endsWith("\n\n"));
  });
}

test("what is missing is said with cause and remedy", () => {
  const apparmor = check("ubuntu2404-apparmor", "namespaces.user");
  assert.is(apparmor.status, "missing");
  assert.match(apparmor.why ?? "", /apparmor_restrict_unprivileged_userns/);
  assert.match(apparmor.remedy ?? "", /apparmor_parser -r/);
  const single = check("no-subuid", "ids.map");
  assert.is(single.status, "degraded");
  assert.match(single.detail, /single-id fallback/);
  assert.match(single.remedy ?? "", /usermod --add-subuids .* user/);
  assert.match(check("nfs-home", "storage.snapshotter").why ?? "", /NFS/);
  assert.match(check("nested", "filesystems.proc").detail, /bound instead/);
  const limits = check("cgroup-v1-undelegated", "limits.driver");
  assert.is(limits.status, "missing");
  assert.match(limits.detail, /--memory.*refused; --limits best-effort/);
  assert.match(limits.remedy ?? "", /coracle\/1000/);
});

test("limits that do not hold are named one by one", () => {
  const partial = check("debian12-systemd", "limits.controllers");
  assert.is(partial.status, "degraded");
  assert.match(partial.detail, /^--memory, --pids-limit, --cpus; refused: --cpuset-cpus, --device-read-bps$/);
  assert.match(partial.remedy ?? "", /Delegate=cpu cpuset io memory pids/);
  assert.is(check("debian12", "limits.controllers").status, "ok");
});

test("an old kernel stops everything", () => {
  const facts: Facts = { ...host("debian12"), kernel: { release: "5.10.0-32-amd64", major: 5, minor: 10 } };
  assert.not.ok(buildDoctor(facts).runs);
});

test("a quick probe's report claims no failure that was not seen", () => {
  const untried = { works: false, errno: null, cause: "not-tried" };
  const facts = host("debian12-systemd");
  const quick: Facts = {
    ...facts,
    depth: "quick",
    userns: untried,
    subids: { ...facts.subids, mapping: untried },
    namespaces: { mount: untried, pid: untried, network: untried, ipc: untried, uts: untried, cgroup: untried, time: untried },
    mounts: { proc: untried, sysfs: untried, mqueue: untried, devpts: untried, tmpfs: untried, overlay: untried, fuse: untried },
    dirs: { ...facts.dirs, data: { ...facts.dirs.data, overlay: untried } },
  };
  const report = buildDoctor(quick);
  assert.ok(report.runs);
  assert.equal(report.choices, buildDoctor(facts).choices);
  assert.not.ok(checksOf(report).some(({ status }) => status === "missing"));
});

test("colour only when asked for, and prose wraps at the width", () => {
  const report = buildDoctor(host("nested"));
  assert.match(renderDoctor(report, { colour: true }), "\u001b[33m!\u001b[0m");
  for (const line of renderDoctor(report, { width: 72 }).split("\n")) {
    if (!/^ {6}try:/.test(line)) assert.ok(line.length <= 72 || !/^ {4}/.test(line), line);
  }
});

test.run();
