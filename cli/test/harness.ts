/** For tests of `coracle` as people use it: runs of the command in a place of their own, images, and what a run left behind. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { type ImageConfig, type Manifest, MEDIA_TYPES, type RunConfig } from "#core/spec/image";
import { readFacts } from "#linux/facts";
import { type NewBlob, newBlob, REF_NAME, writeLayout } from "#store/layout";
import { buildTar, type TarEntry } from "#store/tar";

export const checkout = join(import.meta.dirname, "../..");
export const program = join(checkout, "bin/coracle");

/** Why no container can run here, or null. */
export const reasonAgainstRuns = (): string | null => {
  if (!existsSync(join(checkout, "dist/coracle.js"))) return "dist/coracle.js is not built";
  const { userns } = readFacts();
  return userns.works ? null : `no user namespaces here (${userns.errno ?? userns.cause ?? ""})`;
};

export type Result = { readonly status: number | null; readonly stdout: string; readonly stderr: string };

/** A directory with runtime and data directories of its own; removed by the user namespace's own root, at the end. */
export class Place {
  readonly dir: string;
  readonly env: Record<string, string>;
  readonly tag: string;

  constructor() {
    this.dir = mkdtempSync(join(tmpdir(), "coracle-cli-"));
    this.tag = this.dir.slice(-6);
    for (const name of ["run", "data", "home"]) mkdirSync(join(this.dir, name), { mode: 0o700 });
    this.env = {
      PATH: process.env["PATH"] ?? "/usr/bin:/bin",
      HOME: join(this.dir, "home"),
      XDG_RUNTIME_DIR: join(this.dir, "run"),
      XDG_DATA_HOME: join(this.dir, "data"),
      ...(process.env["HOME"] === undefined ? {} : { NODE_COMPILE_CACHE: join(process.env["HOME"], ".cache/coracle-node") }),
    };
  }

  get root(): string {
    return join(this.dir, "run/coracle");
  }

  get storage(): string {
    return join(this.dir, "data/coracle");
  }

  /** `coracle ARGS`, to its end. */
  coracle(
    args: readonly string[],
    more: { readonly input?: string; readonly env?: Record<string, string>; readonly cwd?: string } = {},
  ): Result {
    const { status, stdout, stderr, error } = spawnSync(program, args, {
      encoding: "utf8",
      timeout: 60_000,
      killSignal: "SIGKILL",
      maxBuffer: 64 << 20,
      stdio: [more.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
      env: { ...this.env, ...more.env },
      ...(more.input === undefined ? {} : { input: more.input }),
      ...(more.cwd === undefined ? {} : { cwd: more.cwd }),
    });
    if (error !== undefined) throw error;
    return { status, stdout, stderr };
  }

  /** `coracle run --rm ARGS`, its processes tagged. */
  run(args: readonly string[], more: Parameters<Place["coracle"]>[1] = {}): Result {
    return this.coracle(["run", "--rm", "-e", `CORACLE_TAG=${this.tag}`, ...args], more);
  }

  /** The same, in the background. */
  start(args: readonly string[], detached = false): ChildProcess {
    return spawn(program, ["run", "--rm", "-e", `CORACLE_TAG=${this.tag}`, ...args], {
      stdio: ["pipe", "pipe", "pipe"],
      env: this.env,
      detached,
    });
  }

  /** The user-wide namespace's holder, or null. */
  holder(): number | null {
    try {
      const { pid }: { pid: number } = JSON.parse(readFileSync(join(this.root, ".userns/record.json"), "utf8"));
      return pid;
    } catch {
      return null;
    }
  }

  /** Processes of this place's containers: by their environment, or by being in the user-wide namespace, its holder not counted. */
  processes(): readonly string[] {
    const holder = this.holder();
    const namespace = holder === null ? null : link(`/proc/${holder}/ns/user`);
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name) && name !== String(holder))
      .filter((pid) => {
        const environment = text(`/proc/${pid}/environ`).split("\0");
        return environment.includes(`CORACLE_TAG=${this.tag}`) || (namespace !== null && link(`/proc/${pid}/ns/user`) === namespace);
      })
      .map((pid) => `${pid} ${text(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim()}`);
  }

  /** States of containers, and whatever else should not be in the runtime root. */
  states(): readonly string[] {
    return list(this.root).filter((name) => ![".userns", ".facts.json"].includes(name));
  }

  /** All that a run may not leave: processes, states, directories of containers. What is about to end is waited for. */
  async leftovers(): Promise<readonly string[]> {
    const look = (): readonly string[] => [
      ...this.processes().map((line) => `process ${line}`),
      ...this.states().map((name) => `state ${name}`),
      ...list(join(this.storage, "containers")).map((name) => `container ${name}`),
    ];
    for (let tries = 0; tries < 60 && look().length > 0; tries++) await sleep(50);
    return look();
  }

  /** Ends the holder, and removes all. */
  async remove(): Promise<void> {
    const holder = this.holder();
    if (holder !== null) {
      // What belongs to subordinate ids, their root removes.
      spawnSync("nsenter", ["-U", "--preserve-credentials", "-t", String(holder), "rm", "-rf", "--one-file-system", this.storage]);
      process.kill(holder, "SIGKILL");
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}

const text = (path: string): string => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
};
const link = (path: string): string => {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
};
const list = (path: string): readonly string[] => (existsSync(path) ? readdirSync(path) : []);

/** Processes whose parent is `pid`. */
export const childrenOf = (pid: number): readonly number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      const stat = text(`/proc/${name}/stat`);
      return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === pid;
    })
    .map(Number);

/** Waits for something to be there; null where it never is. */
export const eventually = async <T>(look: () => T | null, seconds = 10): Promise<T | null> => {
  for (let tries = 0; tries < seconds * 20; tries++) {
    const found = look();
    if (found !== null) return found;
    await sleep(50);
  }
  return look();
};

// ---- images

export const file = (path: string, content: string | Uint8Array = path, more: Partial<TarEntry> = {}): TarEntry => ({
  path,
  mode: 0o644,
  type: "file",
  content: typeof content === "string" ? Buffer.from(content) : content,
  ...(more.mode === undefined ? {} : { mode: more.mode }),
  ...(more.uid === undefined ? {} : { uid: more.uid }),
  ...(more.gid === undefined ? {} : { gid: more.gid }),
});
export const dir = (path: string, mode = 0o755, ids: { readonly uid?: number; readonly gid?: number } = {}): TarEntry => ({
  path,
  type: "directory",
  mode,
  ...ids,
});
export const symlink = (path: string, target: string): TarEntry => ({ path, type: "symlink", target, mode: 0o777 });

const busyboxPaths = ["/bin/busybox", "/usr/bin/busybox"];
/** A busybox that needs no library, or null. */
export const findBusybox = (): string | null =>
  busyboxPaths.find((path) => existsSync(path) && spawnSync("ldd", [path], { encoding: "utf8" }).status !== 0) ?? null;

/** A small system: busybox with its applets, users, the usual directories. */
export const busyboxEntries = (path: string): readonly TarEntry[] => {
  const applets = spawnSync(path, ["--list"], { encoding: "utf8" }).stdout.trim().split("\n");
  return [
    ...["bin", "etc", "root", "home", "dev", "proc", "sys"].map((name) => dir(name)),
    dir("tmp", 0o1777),
    dir("home/app", 0o755, { uid: 1000, gid: 1000 }),
    file("bin/busybox", readFileSync(path), { mode: 0o755 }),
    ...applets.filter((name) => name !== "busybox").map((name) => symlink(`bin/${name}`, "busybox")),
    file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n"),
    file("etc/group", "root:x:0:\napp:x:1000:\nextra:x:2000:app\n"),
  ];
};

const digestOf = (blob: NewBlob): string => blob.descriptor.digest;
const architecture = readFacts().arch;

/** Writes an OCI layout of one image, under the tag `latest`. */
export const makeLayout = async (at: string, layers: readonly (readonly TarEntry[])[], config: RunConfig = {}): Promise<string> => {
  const tars = layers.map((entries) => buildTar(entries, 1_000_000_000));
  const blobs = tars.map((tar) => newBlob(MEDIA_TYPES.ociLayerGzip, gzipSync(tar)));
  const imageConfig: ImageConfig = {
    architecture,
    os: "linux",
    config,
    rootfs: { type: "layers", diff_ids: tars.map((tar) => digestOf(newBlob(MEDIA_TYPES.ociLayerTar, tar))) },
  };
  const configBlob = newBlob(MEDIA_TYPES.ociConfig, Buffer.from(JSON.stringify(imageConfig)));
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: configBlob.descriptor,
    layers: blobs.map((b) => b.descriptor),
  };
  const manifestBlob = newBlob(MEDIA_TYPES.ociManifest, Buffer.from(JSON.stringify(manifest)));
  await writeLayout(
    at,
    {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociIndex,
      manifests: [{ ...manifestBlob.descriptor, annotations: { [REF_NAME]: "latest" } }],
    },
    [...blobs, configBlob, manifestBlob],
  );
  return `oci:${at}:latest`;
};
