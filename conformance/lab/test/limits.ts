/**
 * Limits that bite, whatever driver makes the cgroup: each case starts a container of `eat.c` that asks for more than it
 * may have, through the commands that users and engines call.
 */
import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { arch, tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import * as z from "zod/mini";
import { type ImageConfig, type Index, type Manifest, MEDIA_TYPES } from "#core/spec/image";
import { newBlob, REF_NAME, writeLayout } from "#store/layout";
import { buildTar } from "#store/tar";

const checkout = join(import.meta.dirname, "../../..");

/** What the cases stand on: the driver that is expected here, its controllers, and a directory with `eat` and `image`. */
export type Ground = {
  readonly driver: "v2" | "systemd" | "v1";
  readonly controllers: readonly string[];
  /** The kernel accounts swap. */
  readonly swap: boolean;
  readonly larder: string;
};

/** Compiles `eat`; null: there is no compiler for it. */
export const buildEat = (directory: string): string | null => {
  const target = join(directory, "eat");
  const kernel = ["-idirafter", "/usr/include", "-idirafter", `/usr/include/${arch() === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`];
  const flags = ["-std=c11", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-s", ...kernel, "-o", target];
  const { error, status, stderr } = spawnSync("musl-gcc", [...flags, join(import.meta.dirname, "../eat.c")], { encoding: "utf8" });
  if (error !== undefined) return null;
  if (status !== 0) throw new Error(`eat.c does not compile:\n${stderr}`);
  return target;
};

/** An OCI layout, `image`, tag `eat`, of that one program. */
export const stockLarder = async (directory: string): Promise<void> => {
  const architecture = arch() === "x64" ? "amd64" : arch();
  const directories = ["dev", "proc", "sys", "tmp"].map((path) => ({ path, type: "directory", mode: 0o755 }) as const);
  const tar = buildTar([{ path: "eat", type: "file", mode: 0o755, content: readFileSync(join(directory, "eat")) }, ...directories], 0);
  const layer = newBlob(MEDIA_TYPES.ociLayerTar, tar);
  const blob = (type: string, document: ImageConfig | Manifest) => newBlob(type, Buffer.from(JSON.stringify(document)));
  const config = blob(MEDIA_TYPES.ociConfig, {
    architecture,
    os: "linux",
    config: { Entrypoint: ["/eat"] },
    rootfs: { type: "layers", diff_ids: [layer.descriptor.digest] },
  });
  const manifest = blob(MEDIA_TYPES.ociManifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: config.descriptor,
    layers: [layer.descriptor],
  });
  const index: Index = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociIndex,
    manifests: [{ ...manifest.descriptor, annotations: { [REF_NAME]: "eat" } }],
  };
  await writeLayout(join(directory, "image"), index, [layer, config, manifest]);
};

const list = (path: string): readonly string[] => {
  try {
    return readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [join(path, entry.name)] : []));
  } catch {
    return []; // gone meanwhile
  }
};
/** Every cgroup on this machine whose path holds a text. */
export const cgroupsWith = (text: string, at = "/sys/fs/cgroup"): readonly string[] =>
  list(at).flatMap((path) => (path.includes(text) ? [path] : cgroupsWith(text, path)));

type Ended = { readonly status: number | null; readonly out: string; readonly err: string; readonly id: string };

/** `coracle run --rm FLAGS eat ARGS`; whatever came of it, nothing of the container may be left. */
export const runEat = (larder: string, flags: readonly string[], args: readonly string[]): Ended => {
  const room = mkdtempSync(join(tmpdir(), "coracle-eat-"));
  const cidfile = join(room, "id");
  const line = ["run", "--rm", "--cidfile", cidfile, ...flags, `oci:${join(larder, "image")}:eat`, ...args];
  const { status, stdout, stderr, error } = spawnSync(join(checkout, "bin/coracle"), line, { encoding: "utf8", timeout: 120_000 });
  if (error !== undefined) throw error;
  const id = existsSync(cidfile) ? readFileSync(cidfile, "utf8") : "";
  rmSync(room, { recursive: true });
  if (id !== "") assert.equal(cgroupsWith(id.slice(0, 32)), [], "a cgroup is left");
  return { status, out: stdout, err: stderr, id };
};

/** The container's own view of a knob, by file name. */
const inside = (driver: Ground["driver"], controller: string, file: string): string =>
  driver === "v1" ? `/sys/fs/cgroup/${controller}/${file}` : `/sys/fs/cgroup/${file}`;

const StateSchema = z.object({ pid: z.int(), status: z.string() });

/** A bundle of `eat`, and coracle-oci on it. */
export const openBundle = (larder: string, resources: object | undefined, args: readonly string[], extra: object = {}) => {
  const room = mkdtempSync(join(tmpdir(), "coracle-eat-"));
  const [bundle, root] = [join(room, "bundle"), join(room, "state")];
  for (const name of ["dev", "proc", "sys", "tmp"]) mkdirSync(join(bundle, "rootfs", name), { recursive: true });
  copyFileSync(join(larder, "eat"), join(bundle, "rootfs/eat"));
  chmodSync(join(bundle, "rootfs/eat"), 0o755);
  const oci = (...line: readonly string[]) => {
    // Into files: what is created holds its output, and a pipe would be waited for as long as it lives.
    const [out, err] = [join(room, "out"), join(room, "err")];
    const fds = [openSync(out, "w"), openSync(err, "w")] as const;
    const { status, error } = spawnSync(join(checkout, "bin/coracle-oci"), ["--root", root, ...line], {
      timeout: 120_000,
      cwd: bundle,
      stdio: ["ignore", ...fds],
    });
    for (const fd of fds) closeSync(fd);
    if (error !== undefined) throw error;
    return { status, out: readFileSync(out, "utf8"), err: readFileSync(err, "utf8") };
  };
  const must = (...line: readonly string[]): string => {
    const { status, out, err } = oci(...line);
    assert.is(status, 0, `coracle-oci ${line.join(" ")}: ${err}`);
    return out;
  };
  const ids = (id: number) => [{ containerID: 0, hostID: id, size: 1 }];
  writeFileSync(
    join(bundle, "config.json"),
    JSON.stringify({
      ociVersion: "1.3.0",
      root: { path: "rootfs" },
      process: { cwd: "/", args: ["/eat", ...args], env: [], user: { uid: 0, gid: 0 } },
      mounts: [
        { destination: "/proc", type: "proc", source: "proc" },
        { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro", "nosuid", "noexec", "nodev"] },
      ],
      linux: {
        namespaces: ["user", "pid", "mount", "ipc", "uts", "cgroup"].map((type) => ({ type })),
        uidMappings: ids(process.getuid?.() ?? 0),
        gidMappings: ids(process.getgid?.() ?? 0),
        ...(resources === undefined ? {} : { resources }),
        ...extra,
      },
    }),
  );
  const id = `eat${process.pid}x${room.slice(-6)}`;
  const state = () => z.parse(StateSchema, JSON.parse(must("state", id)));
  const driver = (): unknown =>
    z.parse(z.object({ cgroup: z.string() }), JSON.parse(readFileSync(join(root, id, "record.json"), "utf8"))).cgroup;
  /** Where it is, as an absolute directory: of that controller's hierarchy on version 1. */
  const directory = (controller: string): string => {
    const rows = readFileSync(`/proc/${state().pid}/cgroup`, "utf8")
      .trimEnd()
      .split("\n")
      .map((row) => row.split(":"));
    const row = rows.find(([, names = ""]) => names.split(",").includes(controller)) ?? rows.find(([number]) => number === "0");
    return `/sys/fs/cgroup${row?.[1] === "" ? "" : `/${row?.[1]}`}${row?.[2]}`;
  };
  const close = (): void => {
    oci("delete", "--force", id);
    rmSync(room, { recursive: true, force: true });
  };
  return { id, root, bundle, oci, must, state, driver, directory, close };
};
export type Bundle = ReturnType<typeof openBundle>;

/** Polls; for what ends soon by itself. */
export const eventually = async (what: string, holds: () => boolean): Promise<void> => {
  for (let waited = 0; !holds(); waited += 20) {
    assert.ok(waited < 20_000, `never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

const MIB = 2 ** 20;

/** Every case as a test of one suite. @returns the suite, to run. */
export const limitCases = (name: string, ground: Ground) => {
  const { driver, controllers, larder } = ground;
  const test = suite(name);
  const caseOf = (title: string, controller: string, body: () => void | Promise<void>): void => {
    if (controllers.includes(controller)) test(title, body);
    else console.log(`skip: ${name}: ${title}: the ${controller} controller is not delegated here`);
  };
  const run = (flags: readonly string[], ...args: readonly string[]): Ended => {
    const ended = runEat(larder, flags, args);
    assert.not.match(ended.err, "does not hold");
    return ended;
  };
  const withBundle = async (
    resources: object | undefined,
    args: readonly string[],
    body: (bundle: Bundle) => void | Promise<void>,
    extra = {},
  ): Promise<void> => {
    const bundle = openBundle(larder, resources, args, extra);
    try {
      await body(bundle);
    } finally {
      bundle.close();
    }
    assert.equal(cgroupsWith(bundle.id), [], "a cgroup is left");
  };

  caseOf("memory: who takes more is killed, who takes less is not", "memory", () => {
    const { status, out, err } = run(["--memory", "64m"], "memory", "200");
    assert.is(status, 0, err);
    assert.match(out, "ended signal 9");
    assert.match(out, /oom_kill [1-9]/);
    assert.match(run(["--memory", "64m"], "memory", "16").out, "ended exit 0\noom_kill 0");
  });
  caseOf("memory: a killed init is 137", "memory", () => {
    assert.is(run(["--memory", "32m"], "self", "200").status, 137);
    assert.is(run(["--memory", "64m"], "self", "4").status, 0);
  });
  caseOf("pids: a fork bomb is stopped, and all of it removed", "pids", () => {
    const { status, out, err } = run(["--pids-limit", "20"], "bomb");
    assert.is(status, 0, err);
    assert.match(out, /refused [1-9]/);
    assert.match(out, "processes 20\n");
  });
  caseOf("cpu: two busy processes are throttled at half a CPU", "cpu", () => {
    const { out, err } = run(["--cpus", "0.5"], "cpu");
    assert.match(out, "throttled yes", err);
  });
  caseOf("cpuset: one CPU", "cpuset", () => {
    assert.is(run(["--cpuset-cpus", "0"], "cpus").out, "cpus 1\n");
  });
  caseOf("/sys/fs/cgroup is the container's own, and says what was asked for", "memory", () => {
    const asked: readonly (readonly [controller: string, file: string, value: string])[] =
      driver === "v1"
        ? [
            ["memory", "memory.limit_in_bytes", String(64 * MIB)],
            ["memory", "memory.soft_limit_in_bytes", String(48 * MIB)],
            ...(ground.swap ? [["memory", "memory.memsw.limit_in_bytes", String(96 * MIB)] as const] : []),
            ["pids", "pids.max", "20"],
            ["cpu", "cpu.cfs_quota_us", "50000"],
            ["cpu", "cpu.cfs_period_us", "100000"],
            ["cpu", "cpu.shares", "512"],
          ]
        : [
            ["memory", "memory.max", String(64 * MIB)],
            ["memory", "memory.low", String(48 * MIB)],
            ...(ground.swap ? [["memory", "memory.swap.max", String(32 * MIB)] as const] : []),
            ["pids", "pids.max", "20"],
            ["cpu", "cpu.max", "50000 100000"],
            ["cpu", "cpu.weight", "59"],
          ];
    const files = asked.map(([controller, file]) => inside(driver, controller, file));
    const own = inside(driver, "memory", "cgroup.procs");
    const flags = ["-m", "64m", "--memory-reservation", "48m", "--memory-swap", "96m", "--pids-limit", "20", "--cpus", "0.5", "-c", "512"];
    const { status, out, err } = run(flags, "cat", ...files, own, "/proc/self/cgroup");
    assert.is(status, 0, err);
    const lines = out.split("\n");
    for (const [controller, file, value] of asked)
      assert.ok(lines.includes(`${inside(driver, controller, file)}: ${value}`), `${file} is not ${value}: ${out}`);
    assert.ok(lines.includes(`${own}: 1`), `init is not alone: ${out}`);
    assert.match(out, driver === "v1" ? /:memory:\/(\||$)/m : /0::\/$/m);
  });
  caseOf("memory alone: as much swap again, as docker", "memory", () => {
    if (!ground.swap) return;
    const file = driver === "v1" ? inside("v1", "memory", "memory.memsw.limit_in_bytes") : inside(driver, "memory", "memory.swap.max");
    assert.is(run(["-m", "64m"], "cat", file).out, `${file}: ${(driver === "v1" ? 128 : 64) * MIB}\n`);
    assert.is(run(["-m", "64m", "--memory-swap", "64m"], "cat", file).out, `${file}: ${driver === "v1" ? 64 * MIB : 0}\n`);
  });

  test("a bundle: by the driver that is expected, its knobs as seen from outside, its cgroup removed", () =>
    withBundle({ memory: { limit: 64 * MIB }, pids: { limit: 20 }, cpu: { quota: 50_000, period: 100_000 } }, ["wait"], async (bundle) => {
      bundle.must("create", bundle.id);
      assert.is(bundle.driver(), driver);
      const knobs =
        driver === "v1"
          ? { "memory.limit_in_bytes": "memory", "pids.max": "pids", "cpu.cfs_quota_us": "cpu" }
          : { "memory.max": "memory", "pids.max": "pids", "cpu.max": "cpu" };
      const seen = Object.entries(knobs).map(([file, controller]) => readFileSync(join(bundle.directory(controller), file), "utf8").trim());
      assert.equal(seen, [String(64 * MIB), "20", driver === "v1" ? "50000" : "50000 100000"]);
      bundle.must("start", bundle.id);
      assert.is(bundle.state().status, "running");
      await eventually("the handler is set", () => /^SigCgt:.*[^0\s]/m.test(readFileSync(`/proc/${bundle.state().pid}/status`, "utf8")));
      const directory = bundle.directory("memory");
      bundle.must("kill", bundle.id, "TERM");
      await eventually("it has stopped", () => bundle.state().status === "stopped");
      bundle.must("delete", bundle.id);
      assert.not.ok(existsSync(directory));
    }));
  test("a bundle: frozen is paused, thawed is running", () =>
    withBundle({ pids: { limit: 20 } }, ["wait"], async (bundle) => {
      bundle.must("create", bundle.id);
      bundle.must("start", bundle.id);
      const directory = bundle.directory("freezer");
      const [file, frozen, thawed] = driver === "v1" ? ["freezer.state", "FROZEN", "THAWED"] : ["cgroup.freeze", "1", "0"];
      writeFileSync(join(directory, file), frozen);
      await eventually("it is paused", () => bundle.state().status === "paused");
      writeFileSync(join(directory, file), thawed);
      assert.is(bundle.state().status, "running");
      // Who is frozen can be killed all the same.
      writeFileSync(join(directory, file), frozen);
      bundle.must("delete", "--force", bundle.id);
      assert.not.ok(existsSync(directory));
    }));
  test("a bundle: cgroupsPath names the cgroup", () =>
    withBundle(
      { pids: { limit: 20 } },
      ["wait"],
      (bundle) => {
        bundle.must("create", bundle.id);
        assert.match(bundle.directory("pids"), driver === "systemd" ? bundle.id : /\/eat-pods\/eat-named$/);
        bundle.must("delete", "--force", bundle.id);
        // Its parent may be an engine's, with limits of its own: it stays.
        for (const parent of cgroupsWith("eat-pods")) rmdirSync(parent);
      },
      { cgroupsPath: "/eat-pods/eat-named" },
    ));
  test("a cgroup that another container lives in is refused, and left as it is", () =>
    withBundle(
      { pids: { limit: 20 } },
      ["wait"],
      (first) => {
        first.must("create", first.id);
        const second = openBundle(larder, { pids: { limit: 20 } }, ["wait"], {
          cgroupsPath: driver === "systemd" ? "app.slice:eat:shared" : "/eat-shared",
        });
        const { status, err } = second.oci("create", second.id);
        second.close();
        assert.is(status, 1);
        assert.match(err, /EEXIST|[Ff]ile exists/);
        assert.is(first.state().status, "created");
      },
      { cgroupsPath: driver === "systemd" ? "app.slice:eat:shared" : "/eat-shared" },
    ));
  test("kill -9 of the launcher and the executor, at any moment: delete --force leaves no cgroup and no process", async () => {
    for (const delay of [150, 400, 800, 1_200, 1_800, 2_600]) {
      const bundle = openBundle(larder, { memory: { limit: 64 * MIB }, pids: { limit: 20 } }, ["wait"]);
      const launcher = spawn(join(checkout, "bin/coracle-oci"), ["--root", bundle.root, "run", bundle.id], {
        cwd: bundle.bundle,
        stdio: "ignore",
        detached: true,
      });
      const ended = new Promise((resolve) => launcher.on("exit", resolve));
      await new Promise((resolve) => setTimeout(resolve, delay));
      // The launcher's group holds the executor, not the container: that has a session of its own.
      if (launcher.pid !== undefined && launcher.exitCode === null) process.kill(-launcher.pid, "SIGKILL");
      await ended;
      if (existsSync(join(bundle.root, bundle.id))) bundle.must("delete", "--force", bundle.id);
      await eventually("the cgroup is gone", () => cgroupsWith(bundle.id).length === 0);
      bundle.close();
    }
  });
  return test;
};
