// timeout: 240
/** The lifecycle through the real command line: `node runtime/main.ts`, as a user without privilege. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readFacts } from "#linux/facts";
import { isRunning, processesWith, settled, writeRootfs } from "../conformance/faults/test/machine.ts";

const main = join(import.meta.dirname, "main.ts");
const facts = readFacts();
const room = mkdtempSync(join(tmpdir(), "coracle-oci-test-"));
const root = join(room, "state");
mkdirSync(root, { mode: 0o700 });
process.on("exit", () => rmSync(room, { recursive: true, force: true }));
const { uid, gid } = facts.self;

/** State directories; what begins with a dot is a cache. */
const containers = (at = root): readonly string[] => readdirSync(at).filter((name) => !name.startsWith("."));

type Result = { readonly status: number | null; readonly stdout: string; readonly stderr: string };
/** Output goes to files: a container that was created holds what it was given, and a pipe would not end before it. */
const node = (
  args: readonly string[],
  options: { readonly stdio?: readonly ("ignore" | number)[]; readonly wrap?: readonly string[] } = {},
): Result => {
  const [program = "", ...rest] = [...(options.wrap ?? []), process.execPath, main, ...args];
  const [out, error] = [join(room, "stdout"), join(room, "stderr")];
  const [outFd, errorFd] = [openSync(out, "w"), openSync(error, "w")];
  const done = spawnSync(program, rest, { timeout: 60_000, stdio: ["ignore", outFd, errorFd, ...(options.stdio ?? [])] });
  for (const fd of [outFd, errorFd]) closeSync(fd);
  return { status: done.status, stdout: readFileSync(out, "utf8"), stderr: readFileSync(error, "utf8") };
};
const oci = (...args: readonly string[]): Result => node(["--root", root, ...args]);
const good = (result: Result): string => {
  assert.is(result.status, 0, result.stderr);
  return result.stdout;
};
/** One line for engines, the canonical phrase first; nothing left. */
const bad = (result: Result, phrase: string): string => {
  assert.is(result.status, 1, result.stdout);
  assert.is(result.stderr.trim().split("\n").length, 1, result.stderr);
  assert.match(result.stderr, `msg="${phrase}`);
  return result.stderr;
};

const mounts = [
  { destination: "/proc", type: "proc", source: "proc" },
  { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
  { destination: "/dev/pts", type: "devpts", source: "devpts", options: ["newinstance", "ptmxmode=0666", "mode=0620"] },
];
type Change = { readonly [key: string]: unknown };
let made = 0;
/** A bundle whose payload is `hello ARGS`; members of process, linux and the whole are replaced. */
const bundle = (
  args: readonly string[],
  change: { readonly process?: Change; readonly linux?: Change; readonly rest?: Change } = {},
): string => {
  const directory = join(room, `bundle${made++}`);
  writeRootfs(join(directory, "rootfs"));
  const config = {
    ociVersion: "1.3.0",
    root: { path: "rootfs" },
    process: { cwd: "/", args, env: ["PATH=/bin"], user: { uid: 0, gid: 0 }, ...change.process },
    mounts,
    linux: {
      namespaces: ["pid", "network", "ipc", "uts", "mount", "user"].map((type) => ({ type })),
      uidMappings: [{ containerID: 0, hostID: uid, size: 1 }],
      gidMappings: [{ containerID: 0, hostID: gid, size: 1 }],
      ...change.linux,
    },
    ...change.rest,
  };
  writeFileSync(join(directory, "config.json"), JSON.stringify(config, null, 1));
  return directory;
};
const run = (directory: string, ...flags: readonly string[]): Result => oci("run", "--bundle", directory, ...flags, `run${made}`);
const hello = (change: Parameters<typeof bundle>[1]): Record<string, unknown> => {
  const parsed: unknown = JSON.parse(good(run(bundle(["hello", "json"], change))));
  if (typeof parsed !== "object" || parsed === null) throw new Error("hello says nothing");
  return { ...parsed };
};
const stateOf = (id: string): Record<string, unknown> => ({ ...JSON.parse(good(oci("state", id))) });
const until = async (id: string, status: string): Promise<void> =>
  assert.equal(await settled(() => (stateOf(id)["status"] === status ? [] : [stateOf(id)["status"]])), [], `becomes ${status}`);

const hostTest = (name: string, missing: string | null, body: () => void | Promise<void>): void => {
  if (missing === null) {
    test(name, body);
    return;
  }
  console.log(`skip: ${name}: ${missing}`);
  test.skip(name);
};
const noUserns = facts.userns.works ? null : "no user namespace can be made";
const noRange = facts.subids.mapping.works ? noUserns : "no subordinate ids can be mapped";
const noBusybox = existsSync("/bin/busybox") || existsSync("/usr/bin/busybox") ? noUserns : "no busybox";
const noPython =
  spawnSync("python3", ["-c", "import socket; socket.recv_fds"]).status === 0 ? noUserns : "no python3 that receives descriptors";

const long = join(room, "x".repeat(120), "y".repeat(120));
test.after.each(() => {
  for (const at of [root, long]) for (const id of existsSync(at) ? containers(at) : []) node(["--root", at, "delete", "--force", id]);
});

// ---- run

hostTest("run: exit codes and signals", noUserns, () => {
  for (const code of [0, 1, 42, 255]) {
    const { status, stderr } = run(bundle(["hello", "exit", String(code)]));
    assert.is(status, code, stderr);
  }
  assert.is(containers().length, 0);
});

hostTest("run: a signal is 128 and its number, and reaches the payload through the launcher", noBusybox, async () => {
  const directory = bundle(["sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done"]);
  const launcher = spawn(process.execPath, [main, "--root", root, "run", "--bundle", directory, "signalled"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await new Promise((resolve) => launcher.stdout?.once("data", resolve));
  launcher.kill("SIGTERM");
  assert.is(await new Promise((resolve) => launcher.once("exit", resolve)), 7);
  assert.is(run(bundle(["sh", "-c", "sh -c 'kill -9 $$'; exit $?"])).status, 137);
  const killed = spawn(process.execPath, [main, "--root", root, "run", "--bundle", bundle(["hello", "sleep", "60"]), "killed"], {
    stdio: "ignore",
  });
  await settled(() => (existsSync(join(root, "killed/record.json")) && stateOf("killed")["status"] === "running" ? [] : [1]), 10_000);
  good(oci("kill", "killed", "KILL"));
  assert.is(await new Promise((resolve) => killed.once("exit", resolve)), 137);
});

hostTest("run: what is wrong with the executable has its phrase, and nothing stays", noUserns, () => {
  bad(run(bundle(["absent"])), "executable file not found in $PATH");
  bad(run(bundle(["/bin/absent"])), "no such file or directory");
  bad(run(bundle(["/etc"])), "permission denied");
  const directory = bundle(["/etc/plain"]);
  writeFileSync(join(directory, "rootfs/etc/plain"), "no program", { mode: 0o644 });
  bad(run(directory), "permission denied");
  chmodSync(join(directory, "rootfs/etc/plain"), 0o755);
  bad(run(directory), "permission denied"); // ENOEXEC
  writeFileSync(join(directory, "rootfs/etc/plain"), "#!/no/interpreter\n");
  bad(run(directory), "no such file or directory");
  assert.equal(containers(), []);
});

// ---- create, start, state, kill, delete

hostTest("the lifecycle, and every verb in the wrong state", noUserns, async () => {
  const pidFile = join(room, "pid");
  good(oci("create", "--bundle", bundle(["hello", "sleep", "60"], { rest: { annotations: { a: "b" } } }), "--pid-file", pidFile, "box"));
  const created = stateOf("box");
  assert.equal([created["ociVersion"], created["id"], created["status"], created["annotations"]], ["1.3.0", "box", "created", { a: "b" }]);
  assert.is(String(created["pid"]), readFileSync(pidFile, "utf8"));
  assert.match(readFileSync(`/proc/${created["pid"]}/cmdline`, "utf8"), "coracle-stage");
  bad(oci("delete", "box"), "container is running");
  bad(oci("create", "--bundle", bundle(["hello"]), "box"), "container already exists");
  good(oci("start", "box"));
  assert.is(stateOf("box")["status"], "running");
  bad(oci("start", "box"), "container is running");
  bad(oci("delete", "box"), "container is running");
  good(oci("kill", "box", "0"));
  good(oci("kill", "box", "SIGKILL"));
  await until("box", "stopped");
  bad(oci("kill", "box"), "container not running");
  bad(oci("start", "box"), "container not running");
  assert.is(stateOf("box")["pid"], 0, "a stopped container has no pid");
  good(oci("delete", "box"));
  for (const verb of ["state", "start", "kill", "delete"]) bad(oci(verb, "box"), "container does not exist");
  good(oci("delete", "--force", "box"));
  assert.equal(containers(), []);
});

hostTest("delete --force ends what runs", noUserns, () => {
  good(oci("create", "--bundle", bundle(["hello", "sleep", "60"]), "box"));
  good(oci("start", "box"));
  const pid = Number(stateOf("box")["pid"]);
  good(oci("delete", "--force", "box"));
  assert.not.ok(isRunning(pid));
  assert.equal(containers(), []);
});

hostTest("an error after create reaches start; the container is stopped then", noUserns, async () => {
  const directory = bundle(["/bin/late"]);
  writeFileSync(join(directory, "rootfs/bin/late"), "#!/bin/hello exit\n", { mode: 0o755 });
  good(oci("create", "--bundle", directory, "late"));
  writeFileSync(join(directory, "rootfs/bin/late"), "#!/gone\n");
  bad(oci("start", "late"), "no such file or directory");
  await until("late", "stopped");
  good(oci("delete", "late"));
});

hostTest("init that died before start: start says so at once", noUserns, async () => {
  good(oci("create", "--bundle", bundle(["hello"]), "dead"));
  process.kill(Number(stateOf("dead")["pid"]), "SIGKILL");
  await until("dead", "stopped");
  bad(oci("start", "dead"), "container not running");
  good(oci("delete", "dead"));
});

test("ids and command lines that are none", () => {
  for (const id of ["a/b", "..", ".", "", "a b", "x".repeat(300)]) bad(oci("state", id), "invalid command line");
  bad(oci("frobnicate"), "invalid command line");
  bad(oci("kill", "box", "SIGNOTHING"), oci("state", "box").status === 1 ? "container does not exist" : "invalid command line");
  bad(oci("create", "--no-such-flag", "box"), "invalid command line");
});

hostTest("concurrent creates of one id: one wins, the others are told that it exists", noUserns, async () => {
  const directory = bundle(["hello"]);
  const ends = await Promise.all(
    Array.from({ length: 6 }, () => {
      const child: ChildProcess = spawn(process.execPath, [main, "--root", root, "create", "--bundle", directory, "one"], {
        stdio: ["ignore", "ignore", "pipe"],
      });
      let text = "";
      child.stderr?.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      return new Promise<readonly [number | null, string]>((resolve) =>
        child.once("exit", (status) => setTimeout(() => resolve([status, text]), 50)),
      );
    }),
  );
  assert.is(ends.filter(([status]) => status === 0).length, 1);
  for (const [status, text] of ends) if (status !== 0) assert.match(text, 'msg="container already exists');
  assert.is(stateOf("one")["status"], "created");
});

hostTest("--preserve-fds hands descriptors on, and no other reaches the payload", noUserns, () => {
  const file = join(room, "preserved");
  writeFileSync(file, "through descriptor 3");
  const fd = openSync(file, "r");
  const directory = bundle(["hello", "json"]);
  const fds = (flags: readonly string[]): unknown => {
    const done = node(["--root", root, "run", "--bundle", directory, ...flags, "fds"], { stdio: [fd, fd] });
    return { ...JSON.parse(good(done)) }["fds"];
  };
  const numbers = (value: unknown): readonly number[] =>
    Array.isArray(value)
      ? value.map((entry: unknown) => (typeof entry === "object" && entry !== null && "fd" in entry ? Number(entry.fd) : Number(entry)))
      : [];
  assert.equal(numbers(fds([])), [0, 1, 2]);
  assert.equal(numbers(fds(["--preserve-fds", "1"])), [0, 1, 2, 3]);
  assert.equal(numbers(fds(["--preserve-fds", "2"])), [0, 1, 2, 3, 4]);
});

// ---- hooks

const hookLog = (name: string): { readonly script: (line: string, then?: string) => string; readonly lines: () => readonly string[] } => {
  const log = join(room, `${name}.log`);
  return {
    script: (line, then = "") => {
      const path = join(room, `${name}-${line}.sh`);
      writeFileSync(path, `#!/bin/sh\nread -r state\nprintf '%s %s\\n' ${line} "$state" >> ${log}\n${then}\n`, { mode: 0o755 });
      return path;
    },
    lines: () => (existsSync(log) ? readFileSync(log, "utf8").trim().split("\n") : []),
  };
};

hostTest("hooks: in order, each with the state on standard input", noUserns, () => {
  const { script, lines } = hookLog("order");
  // What runs inside has the host's file system before the pivot; a startContainer hook has the container's.
  const hooks = Object.fromEntries(
    ["prestart", "createRuntime", "createContainer", "poststart", "poststop"].map((name) => [name, [{ path: script(name) }]]),
  );
  assert.is(run(bundle(["hello", "exit", "3"], { rest: { hooks } })).status, 3);
  const seen = lines().map((line) => {
    const [name = "", ...rest] = line.split(" ");
    const state: { readonly status: string; readonly pid: number; readonly id: string } = JSON.parse(rest.join(" "));
    return [name, state.status, state.pid > 0 || name === "poststop"] as const;
  });
  assert.equal(
    seen.map(([name, status]) => `${name} ${status}`),
    ["prestart created", "createRuntime creating", "createContainer creating", "poststart running", "poststop stopped"],
  );
  assert.ok(
    seen.every(([, , hasPid]) => hasPid),
    "a container that is there has a pid",
  );
});

hostTest("hooks: one that fails, or takes too long, undoes everything", noUserns, () => {
  const { script } = hookLog("failing");
  for (const name of ["prestart", "createRuntime", "createContainer", "poststart"]) {
    const directory = bundle(["hello", "sleep", "30"], { rest: { hooks: { [name]: [{ path: script(name, "exit 1") }] } } });
    assert.is(run(directory).status, 1, name);
    assert.equal(containers(), [], name);
  }
  const slow = script("slow", "exec sleep 60");
  const line = run(bundle(["hello"], { rest: { hooks: { createRuntime: [{ path: slow, timeout: 1 }] } } }));
  assert.is(line.status, 1);
  assert.match(line.stderr, "ETIMEDOUT");
  assert.equal(containers(), []);
  assert.equal(processesWith(slow), []);
});

// ---- bad input

test("a broken config: every issue, with its place", () => {
  const directory = bundle(["hello"]);
  const config = join(directory, "config.json");
  writeFileSync(config, '{"ociVersion": "1.3.0",\n "process": {"cwd": "relative", "args": [1]},\n "root": {"path": "rootfs"},\n}');
  bad(oci("create", "--bundle", directory, "broken"), "invalid JSON");
  writeFileSync(config, '{"ociVersion": "1.3.0",\n "process": {"cwd": "relative", "args": [1]},\n "root": {}\n}');
  const log = join(room, "log.json");
  const line = bad(
    oci("--log", log, "--log-format", "json", "create", "--bundle", directory, "broken").status === 1
      ? oci("create", "--bundle", directory, "broken")
      : oci("state", "x"),
    "invalid config.json",
  );
  for (const pointer of ["/process/cwd", "/process/args/0", "/root/path"]) assert.match(line, pointer);
  const entry: {
    readonly detail: { readonly issues: readonly { readonly pointer: string; readonly line: number; readonly column: number }[] };
  } = JSON.parse(readFileSync(log, "utf8").trim().split("\n").at(-1) ?? "");
  assert.equal(
    entry.detail.issues.filter(({ pointer }) => pointer.startsWith("/process")).map(({ line: at }) => at),
    [2, 2],
  );
});

hostTest("a bundle or a rootfs that is missing", noUserns, () => {
  bad(oci("create", "--bundle", join(room, "nowhere"), "x"), "no such file or directory");
  const directory = bundle(["hello"]);
  rmSync(join(directory, "rootfs"), { recursive: true });
  bad(oci("create", "--bundle", directory, "x"), "no such file or directory");
  assert.equal(containers(), []);
});

// ---- what the payload sees

hostTest("ids, capabilities, limits, umask, no_new_privs, as the process sees them", noUserns, () => {
  const caps = ["CAP_CHOWN", "CAP_KILL"];
  const seen = hello({
    process: {
      noNewPrivileges: true,
      // Of another id than root's, whose sets the kernel would fill again at exec.
      user: { uid: 1000, gid: 1000 },
      capabilities: { bounding: caps, effective: caps, permitted: caps, inheritable: ["CAP_CHOWN"], ambient: ["CAP_CHOWN"] },
      rlimits: [{ type: "RLIMIT_NOFILE", soft: 40, hard: 50 }],
    },
    linux: {
      uidMappings: [{ containerID: 1000, hostID: uid, size: 1 }],
      gidMappings: [{ containerID: 1000, hostID: gid, size: 1 }],
    },
    rest: { hostname: "a-host" },
  });
  const text = JSON.stringify(seen);
  assert.match(text, '"effective":["CAP_CHOWN"]');
  assert.match(text, '"bounding":["CAP_CHOWN","CAP_KILL"]');
  assert.match(text, "a-host");
  assert.match(text, '"nofile":{"soft":"40","hard":"50"}');
  assert.match(text, '"noNewPrivs":1');
});

hostTest("groups, user and umask with a full map", noRange, () => {
  const [uids, gids] = [facts.subids.uid[0], facts.subids.gid[0]];
  const linux = {
    uidMappings: [
      { containerID: 0, hostID: uid, size: 1 },
      { containerID: 1, hostID: uids?.start ?? 0, size: 2000 },
    ],
    gidMappings: [
      { containerID: 0, hostID: gid, size: 1 },
      { containerID: 1, hostID: gids?.start ?? 0, size: 2000 },
    ],
  };
  const out = good(
    run(
      bundle(["sh", "-c", "umask; while read -r k v; do case $k in Uid:|Gid:|Groups:) echo $k $v;; esac; done < /proc/self/status"], {
        process: { user: { uid: 1000, gid: 1001, umask: 0o027, additionalGids: [5, 1001] } },
        linux,
      }),
    ),
  );
  assert.equal(out.trim().split("\n"), ["0027", "Uid: 1000 1000 1000 1000", "Gid: 1001 1001 1001 1001", "Groups: 5 1001"]);
});

hostTest("seccomp refuses what the policy refuses", noUserns, () => {
  const seccomp = { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["uname"], action: "SCMP_ACT_ERRNO", errnoRet: 1 }] };
  const text = good(run(bundle(["hello", "json"], { process: { noNewPrivileges: true }, linux: { seccomp } })));
  assert.match(text, '"seccomp":{"mode":2');
});

hostTest("masked and read-only paths are", noBusybox, () => {
  const script =
    "cat /secret/file; cat /etc/hidden | wc -c; echo x > /locked/file; echo y > /secret/new; test -e /proc/sys && echo z > /proc/sys/kernel/domainname; echo done";
  const directory = bundle(["sh", "-c", `exec 2>&1; ${script.replace("| wc -c", "")}`], {
    linux: { maskedPaths: ["/secret", "/etc/hidden", "/absent"], readonlyPaths: ["/locked", "/proc/sys"] },
  });
  for (const name of ["secret", "locked"]) mkdirSync(join(directory, "rootfs", name));
  writeFileSync(join(directory, "rootfs/secret/file"), "the secret");
  writeFileSync(join(directory, "rootfs/etc/hidden"), "hidden text");
  writeFileSync(join(directory, "rootfs/locked/file"), "as it was");
  const out = good(run(directory));
  assert.not.match(out, "the secret");
  assert.not.match(out, "hidden text");
  assert.match(out, /locked\/file: Read-only/);
  assert.match(out, /secret\/new: Read-only/);
  assert.match(out, /domainname: Read-only/);
  assert.is(readFileSync(join(directory, "rootfs/locked/file"), "utf8"), "as it was");
});

// ---- a hostile root file system

hostTest("mount targets through links stay inside the root", noBusybox, () => {
  const outside = join(room, "outside");
  mkdirSync(outside, { recursive: true });
  const directory = bundle(["sh", "-c", "cat /link/sub/in /dangling/in /up/in"], {
    rest: {
      mounts: [
        ...mounts,
        ...["/link/sub", "/dangling", "/up"].map((destination) => ({
          destination,
          type: "bind",
          source: join(room, "source"),
          options: ["bind", "ro"],
        })),
      ],
    },
  });
  mkdirSync(join(room, "source"), { recursive: true });
  writeFileSync(join(room, "source/in"), "inside\n");
  const rootfs = join(directory, "rootfs");
  symlinkSync(outside, join(rootfs, "link")); // absolute: the host's directory, were it followed outside
  symlinkSync("/made/by/us", join(rootfs, "dangling"));
  symlinkSync("../../../../../../etc/up", join(rootfs, "up"));
  assert.is(good(run(directory)), "inside\ninside\ninside\n");
  assert.equal(readdirSync(outside), [], "nothing was made outside");
  assert.ok(existsSync(join(rootfs, outside, "sub")) && existsSync(join(rootfs, "made/by/us")) && existsSync(join(rootfs, "etc/up")));
  assert.not.ok(existsSync("/made/by/us"));
});

hostTest("a /proc or /dev that is a link does not lead outside", noBusybox, () => {
  const directory = bundle(["sh", "-c", "test -d /elsewhere/self && echo here; ls /elsewhere/self/ns | cat"]);
  const rootfs = join(directory, "rootfs");
  rmSync(join(rootfs, "proc"), { recursive: true });
  symlinkSync("/elsewhere", join(rootfs, "proc"));
  const { status, stdout, stderr } = run(directory);
  assert.ok(status === 0 ? stdout.startsWith("here") : /msg="/.test(stderr), `${status} ${stderr}`);
  assert.not.ok(existsSync("/elsewhere"));
  symlinkSync("/proc/self/root", join(rootfs, "trick"));
  const trick = bundle(["hello", "exit", "0"], {
    rest: { mounts: [...mounts, { destination: "/trick/etc/coracle-oci-test", type: "tmpfs", source: "tmpfs" }] },
  });
  symlinkSync("/proc/self/root", join(trick, "rootfs/trick"));
  const tricked = run(trick);
  assert.ok(tricked.status === 1, "a magic link is not followed");
  assert.not.ok(existsSync("/etc/coracle-oci-test"));
});

// ---- the terminal

hostTest("the console socket gets the terminal's master", noPython, async () => {
  const socket = join(room, "console.sock");
  const receiver = spawn(
    "python3",
    [
      "-c",
      `import os,socket,sys
s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print("listening",flush=True)
c,_=s.accept(); m,f,_,_=socket.recv_fds(c,64,1); print("name",m.decode(),flush=True)
o=b""
while True:
  try: d=os.read(f[0],4096)
  except OSError: break
  if not d: break
  o+=d
print(o.decode(),flush=True)`,
      socket,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let said = "";
  receiver.stdout.setEncoding("utf8").on("data", (chunk: string) => (said += chunk));
  await settled(() => (said.includes("listening") ? [] : [1]), 10_000);
  const done = run(
    bundle(["hello", "json"], { process: { terminal: true, consoleSize: { height: 31, width: 97 } } }),
    "--console-socket",
    socket,
  );
  assert.is(done.status, 0, done.stderr);
  await new Promise((resolve) => receiver.once("close", resolve));
  assert.match(said, "name /dev/ptmx");
  assert.match(said, /"rows":31|31/);
  assert.match(said, /97/);
});

// ---- where the state lives

hostTest("a long --root: start.sock is reached all the same", noUserns, () => {
  mkdirSync(long, { recursive: true, mode: 0o700 });
  const at = (...args: readonly string[]): Result => node(["--root", long, ...args]);
  good(at("create", "--bundle", bundle(["hello", "exit", "0"]), "deep"));
  good(at("start", "deep"));
  good(at("delete", "--force", "deep"));
  assert.equal(containers(long), []);
});

test("a root that cannot be written", () => {
  const directory = bundle(["hello"]);
  bad(node(["--root", "/proc/coracle", "create", "--bundle", directory, "x"]), "no usable runtime directory");
  if (uid !== 0) bad(node(["--root", "/usr/lib", "create", "--bundle", directory, "x"]), "no usable runtime directory");
});

hostTest("a full disk: a clear error, and nothing left", noUserns, () => {
  const small = join(room, "small");
  mkdirSync(small);
  // In the namespace that `unshare` makes, we are root, and no other id is there to map.
  const own = [{ containerID: 0, hostID: 0, size: 1 }];
  const directory = bundle(["hello", "exit", "0"], { linux: { uidMappings: own, gidMappings: own } });
  const inside = (size: string): Result => {
    const script = `mount -t tmpfs -o size=${size},mode=700 none ${small} && TMPDIR=${small} "$@"; status=$?; ls ${small} >&2; exit $status`;
    // `run`, not `create`: where the disk suffices, nothing must be left waiting in a namespace that nobody can enter.
    return node(["--root", small, "run", "--bundle", directory, "full"], { wrap: ["unshare", "-Urm", "sh", "-c", script, "sh"] });
  };
  let refused = 0;
  for (const size of ["4k", "8k", "16k", "24k", "32k", "40k", "48k", "64k"]) {
    const done = inside(size);
    if (done.status === 0) continue;
    refused++;
    assert.is(done.status, 1);
    assert.match(done.stderr, /No space left|no space left|ENOSPC|E_STORAGE|storage failed|runtime directory/i, size);
    assert.is(done.stderr.trim().split("\n").length, 1, `${size}: nothing is left: ${done.stderr}`);
  }
  assert.ok(refused > 0, "4 KiB hold no container's state");
});

hostTest("a host whose /proc is hidden: a container, or a clear error", noUserns, () => {
  const own = [{ containerID: 0, hostID: 0, size: 1 }];
  const directory = bundle(["hello", "exit", "5"], { linux: { uidMappings: own, gidMappings: own } });
  const hidden = node(["--root", root, "run", "--bundle", directory, "hidden"], {
    wrap: ["unshare", "-Urm", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"],
  });
  assert.ok(hidden.status === 5 || (hidden.status === 1 && /msg="/.test(hidden.stderr)), `${hidden.status}: ${hidden.stderr}`);
  assert.equal(containers(), []);
});

test.run();
