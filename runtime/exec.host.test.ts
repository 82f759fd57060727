// timeout: 180
/** exec, list, ps, pause and resume through the real command line, as a user without privilege. */
import { spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  constants,
  cpSync,
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
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readFacts } from "#linux/facts";

const main = join(import.meta.dirname, "main.ts");
const facts = readFacts();
// A cgroup is named by the container's id alone, and other tests have containers, too.
const [box, cold] = [`box${process.pid}`, `cold${process.pid}`];
const room = mkdtempSync(join(tmpdir(), "coracle-exec-test-"));
const root = join(room, "state");
mkdirSync(root, { mode: 0o700 });
process.on("exit", () => rmSync(room, { recursive: true, force: true }));

type Result = { readonly status: number | null; readonly stdout: string; readonly stderr: string };
const oci = (args: readonly string[], input?: string): Result => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, "--root", root, ...args], {
    encoding: "utf8",
    timeout: 30_000,
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    ...(input === undefined ? {} : { input }),
  });
  return { status, stdout, stderr };
};
/** Without pipes that init would hold open. */
const quietly = (...args: readonly string[]): void => {
  const log = join(room, "log");
  const { status } = spawnSync(process.execPath, [main, "--root", root, "--log", log, ...args], { stdio: "ignore", timeout: 30_000 });
  assert.is(status, 0, existsSync(log) ? readFileSync(log, "utf8") : args.join(" "));
};
const good = (...args: readonly string[]): string => {
  const result = oci(args);
  assert.is(result.status, 0, result.stderr);
  return result.stdout.trim();
};
const bad = (args: readonly string[], status: number, phrase: string): void => {
  const result = oci(args);
  assert.is(result.status, status, `${result.stdout}${result.stderr}`);
  assert.match(result.stderr, `msg="${phrase}`);
};

const capabilities = ["CAP_SYS_PTRACE", "CAP_KILL", "CAP_SYS_ADMIN"];
const bundle = (name: string, change: object = {}): string => {
  const directory = join(room, name);
  for (const path of ["bin", "proc", "dev", "tmp", "etc"]) mkdirSync(join(directory, "rootfs", path), { recursive: true });
  cpSync("/bin/busybox", join(directory, "rootfs/bin/busybox"));
  for (const applet of ["sh", "cat", "id", "ls", "readlink", "sleep", "true", "grep", "wc", "ps", "tty"])
    symlinkSync("busybox", join(directory, "rootfs/bin", applet));
  const config = {
    ociVersion: "1.3.0",
    root: { path: "rootfs" },
    process: {
      cwd: "/",
      args: ["sleep", "1000"],
      env: ["PATH=/bin", "A=1"],
      user: { uid: 0, gid: 0 },
      capabilities: { bounding: capabilities, permitted: capabilities, effective: capabilities },
      rlimits: [{ type: "RLIMIT_NOFILE", soft: 100, hard: 200 }],
      ...change,
    },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
      { destination: "/dev/pts", type: "devpts", source: "devpts", options: ["newinstance", "ptmxmode=0666", "mode=0620"] },
    ],
    linux: {
      namespaces: ["pid", "network", "ipc", "uts", "mount", "user", "cgroup"].map((type) => ({ type })),
      uidMappings: [{ containerID: 0, hostID: facts.self.uid, size: 1 }],
      gidMappings: [{ containerID: 0, hostID: facts.self.gid, size: 1 }],
    },
  };
  writeFileSync(join(directory, "config.json"), JSON.stringify(config));
  return directory;
};
const stateOf = (id: string): { readonly status: string; readonly pid: number } => JSON.parse(good("state", id));

const missing = !facts.userns.works ? "no user namespace can be made" : existsSync("/bin/busybox") ? null : "no /bin/busybox";
const hostTest = (name: string, lacks: string | null, body: () => void | Promise<void>): void => {
  if (lacks === null) test(name, body);
  else {
    console.log(`skip: ${name}: ${lacks}`);
    test.skip(name);
  }
};

test.before(() => {
  if (missing !== null) return;
  try {
    quietly("create", "--bundle", bundle(box), box);
    quietly("start", box);
  } catch (cause) {
    console.log(cause); // uvu does not say why a hook failed
    throw cause;
  }
});
test.after(() => {
  // A writer that waits for a reader would keep this process.
  const fifo = join(room, "held.tmp");
  if (existsSync(fifo)) closeSync(openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK));
  for (const id of readdirSync(root).filter((name) => !name.startsWith("."))) oci(["delete", "--force", id]);
});

const shell = (script: string, ...flags: readonly string[]): string => good("exec", ...flags, box, "sh", "-c", script);

hostTest("exec is in every namespace of init, under its pid namespace", missing, () => {
  const names = "for n in user mnt pid net ipc uts cgroup; do readlink /proc/$p/ns/$n; done";
  assert.is(shell(`p=1; ${names}`), shell(`p=self; ${names}`));
  assert.match(shell("cat /proc/self/stat"), /^\d{1,3} \(cat\)/);
});

hostTest("exec has the capabilities, limits and environment of the container's process, and no descriptor", missing, () => {
  const [init = "", own = ""] = ["1", "self"].map((p) => shell(`grep -E '^(Cap|NoNewPrivs|Seccomp)' /proc/${p}/status`));
  assert.is(own, init);
  assert.is(shell("ulimit -Sn; ulimit -Hn; echo $A"), "100\n200\n1");
  // The fourth is the directory that ls reads.
  assert.is(shell("ls /proc/self/fd").split("\n").length, 4);
});

hostTest("exec's flags: environment, directory, capabilities, no_new_privs", missing, () => {
  assert.is(shell("echo $A $B $PWD", "-e", "B=2", "--env=A=3", "--cwd", "/proc"), "3 2 /proc");
  const bits = (status: string, set: string): bigint => BigInt(`0x${new RegExp(`${set}:\\s*(\\w+)`).exec(status)?.[1] ?? "0"}`);
  const status = shell("cat /proc/self/status", "--cap", "CAP_NET_ADMIN", "--no-new-privs");
  assert.is((bits(status, "CapEff") >> 12n) & 1n, 1n);
  // CVE-2022-29162: what exec adds is not inheritable.
  assert.is(bits(status, "CapInh"), 0n);
  assert.match(status, /NoNewPrivs:\s*1/);
});

hostTest("exec --process, standard input, exit status, signals", missing, () => {
  const file = join(room, "process.json");
  writeFileSync(file, JSON.stringify({ cwd: "/etc", args: ["sh", "-c", "cat; echo $PWD $X; exit 9"], env: ["PATH=/bin", "X=y"] }));
  const result = oci(["exec", "--process", file, box], "words\n");
  assert.equal([result.status, result.stdout], [9, "words\n/etc y\n"]);
  assert.is(oci(["exec", box, "sh", "-c", "kill -TERM $$"]).status, 143);
});

hostTest("what exec cannot run is told in the engines' words, with status 255", missing, () => {
  bad(["exec", box, "nonesuch"], 255, "executable file not found in $PATH");
  bad(["exec", box, "/none/such"], 255, "no such file or directory");
  bad(["exec", box, "/proc/1/status"], 255, "permission denied");
  bad(["exec", "--cwd", "/none", box, "true"], 255, "no such file or directory");
  bad(["exec", "nobody", "true"], 255, "container does not exist");
  bad(["exec", "--apparmor", "x", box, "true"], 255, "not supported");
  bad(["exec", "--user", "root", box, "true"], 255, "invalid command line");
  bad(["exec", box], 255, "invalid command line");
});

/** CVE-2024-21626: a working directory that leads out of the container by a descriptor of ours. */
hostTest("no descriptor of ours is a way out", missing, () => {
  for (let fd = 3; fd < 72; fd += fd === 7 ? 57 : 1) {
    const { status, stdout, stderr } = oci(["exec", "--cwd", `/proc/self/fd/${fd}`, box, "sh", "-c", "readlink /proc/self/cwd; ls"]);
    if (status === 0) assert.match(stdout, /^\/\nbin\ndev\n/, "the container's own root is no way out");
    else assert.is(status, 255, stderr);
  }
});

/** CVE-2016-9962, CVE-2019-5736: held between its entry and its exec by a pid file that nobody reads yet. */
hostTest("nobody in the container can trace what enters it, nor read its descriptors or its executable", missing, async () => {
  const pidFile = join(room, "held");
  assert.is(spawnSync("mkfifo", [`${pidFile}.tmp`]).status, 0);
  const entering = spawn(process.execPath, [main, "--root", root, "exec", "--pid-file", pidFile, box, "sleep", "33"], {
    stdio: "ignore",
  });
  // Processes of the look itself come and go: what is gone at the end of its line is not shown.
  const look =
    'for p in /proc/[0-9]*; do case $p in /proc/1|/proc/$$) continue;; esac; l="$(readlink $p/exe || echo hidden) ' +
    '$(ls $p/fd 2>/dev/null | wc -l) $(cat $p/environ 2>/dev/null | wc -c)"; [ -e $p/stat ] && echo "$l"; done; true';
  const others = (): readonly string[] =>
    shell(look)
      .split("\n")
      .filter((line) => line !== "" && !/busybox/.test(line));
  let held: readonly string[] = [];
  for (let tries = 0; tries < 50 && held.length === 0; tries++) {
    await sleep(50);
    held = others().filter((line) => line.startsWith("hidden"));
  }
  // One process, or for a moment two: the one that joined forks the one that stays.
  assert.ok(held.length > 0 && held.every((line) => line === "hidden 0 0"), held.join("\n"));
  assert.ok(!others().some((line) => /memfd|stage/.test(line)));
  // Let go, it becomes the container's own, and can be read as such: the look was able to see.
  readFileSync(`${pidFile}.tmp`);
  let seen = "";
  for (let tries = 0; tries < 50 && !/busybox 3 [1-9]/.test(seen); tries++) {
    await sleep(50);
    seen = shell(look);
  }
  assert.match(seen, /\/bin\/busybox 3 [1-9]/);
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's braces
  shell("for p in /proc/[0-9]*; do grep -q 33 $p/cmdline 2>/dev/null && [ $p != /proc/$$ ] && kill -9 ${p#/proc/}; done; true");
  await new Promise((resolve) =>
    entering.exitCode === null && entering.signalCode === null ? entering.once("exit", resolve) : resolve(null),
  );
});

hostTest("exec --detach leaves the process, and its pid in the pid file", missing, () => {
  const pidFile = join(room, "pid");
  quietly("exec", "--detach", "--pid-file", pidFile, box, "sleep", "44");
  const pid = Number(readFileSync(pidFile, "utf8"));
  assert.match(readFileSync(`/proc/${pid}/cmdline`, "utf8"), "sleep");
  const cgroups = (of: number): string => readFileSync(`/proc/${of}/cgroup`, "utf8");
  assert.is(cgroups(pid), cgroups(stateOf(box).pid), "it is in the container's cgroups");
  assert.ok(JSON.parse(good("ps", "--format", "json", box)).includes(pid));
  assert.match(good("ps", box, "-o", "pid,args"), new RegExp(`^\\s*PID COMMAND\\n[^]*^\\s*${pid} sleep 44$`, "m"));
  process.kill(pid, "SIGKILL");
});

hostTest("list: table, ids, JSON", missing, () => {
  const [row] = JSON.parse(good("list", "--format", "json"));
  const { created, ...rest } = row;
  assert.equal(rest, {
    ociVersion: "1.3.0",
    id: box,
    pid: stateOf(box).pid,
    status: "running",
    bundle: join(room, box),
    rootfs: join(room, box, "rootfs"),
    owner: facts.self.user ?? `#${facts.self.uid}`,
  });
  assert.ok(Number.isFinite(Date.parse(created)));
  assert.is(good("list", "-q"), box);
  assert.match(good("list"), /^ID +PID +STATUS +BUNDLE +CREATED +OWNER\nbox\d+ +\d+ +running +/);
  bad(["list", "--format", "xml"], 1, "invalid command line");
});

hostTest("pause, resume; what is paused is not entered, and can be killed; without a freezer it is refused", missing, () => {
  quietly("create", "--bundle", bundle(cold), cold);
  quietly("start", cold);
  if (!existsSync(join(root, cold, "pause.plan"))) {
    bad(["pause", cold], 1, "not supported");
    console.log("skip: pause and resume: no cgroup with a freezer is delegated");
    return;
  }
  good("pause", cold);
  assert.is(stateOf(cold).status, "paused");
  bad(["pause", cold], 1, "container not running");
  bad(["exec", cold, "true"], 255, "container not running");
  good("resume", cold);
  assert.is(stateOf(cold).status, "running");
  good("exec", cold, "true");
  good("pause", cold);
  good("kill", cold, "KILL");
  for (let tries = 0; tries < 50 && stateOf(cold).status !== "stopped"; tries++) spawnSync("sleep", ["0.05"]);
  assert.is(stateOf(cold).status, "stopped");
  good("delete", cold);
});

test.run();
