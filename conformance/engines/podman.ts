/**
 * podman drives the runtime, rootless: what engines do with it is what it is for. Ends with `N passed, N failed`.
 *
 *     node conformance/engines/podman.ts [--runtime PATH] [FILTER…]
 *
 * As root it runs as `coracle-test`. Everything lives in a directory of its own under /tmp: storage, runtime directory and
 * home; no registry is asked: the image is busybox. What podman itself refuses on this host is a skip, with its words.
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
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
import { join } from "node:path";
import { parseArgs } from "node:util";

const checkout = join(import.meta.dirname, "../..");
const { values, positionals } = parseArgs({ options: { runtime: { type: "string" } }, allowPositionals: true });

if (process.getuid?.() === 0) {
  const asUser = join(checkout, "scripts/as-user.sh");
  const tree = spawnSync("sh", [asUser, "tree", "all", "/tmp/coracle-engines-tree"], { encoding: "utf8" }).stdout.trim();
  const self = join(tree, "conformance/engines/podman.ts");
  const { status } = spawnSync("sh", [asUser, "run", tree, process.execPath, self, ...process.argv.slice(2)], { stdio: "inherit" });
  process.exit(status ?? 1);
}

const runtime = values.runtime ?? join(checkout, "bin/coracle-oci");
// Sockets below it must fit into 108 bytes.
const home = mkdtempSync("/tmp/cpod-");
const runtimeDir = join(home, "r");
mkdirSync(runtimeDir, { mode: 0o700 });
const env = {
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  HOME: home,
  XDG_RUNTIME_DIR: runtimeDir,
  LANG: "C.UTF-8",
  TERM: "dumb",
};
const base = ["--runtime", runtime, "--cgroup-manager", "cgroupfs", "--events-backend", "file", "--log-level", "error"];

type Result = { readonly status: number | null; readonly out: string; readonly err: string };
type Options = { readonly input?: string; readonly fd3?: number };

const podman = (args: readonly string[], { input, fd3 }: Options = {}): Result => {
  const { status, stdout, stderr } = spawnSync("podman", [...base, ...args], {
    env,
    cwd: home,
    encoding: "utf8",
    timeout: 60_000,
    maxBuffer: 1 << 26,
    stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe", ...(fd3 === undefined ? [] : [fd3])],
    ...(input === undefined ? {} : { input }),
  });
  return { status, out: stdout, err: stderr };
};

/** With a terminal: script(1) gives podman one, and the exit status. */
const onTerminal = (args: readonly string[]): Result => {
  const line = ["podman", ...base, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
  const { status, stdout, stderr } = spawnSync("script", ["-qec", line, "/dev/null"], {
    env,
    cwd: home,
    encoding: "utf8",
    timeout: 60_000,
  });
  return { status, out: stdout.replaceAll("\r\n", "\n"), err: stderr };
};

let passed = 0;
let failed = 0;
const skip = (name: string, why: string): void => console.log(`skip: ${name}: ${why.replaceAll("\n", " ").trim()}`);

type Expected = { readonly status?: number; readonly out?: string | RegExp; readonly err?: RegExp };
/** What is wrong with a result; null where it is as expected. */
const wrong = (result: Result, expected: Expected): string | null => {
  const { status = 0, out, err } = expected;
  const fits = (text: string, wanted: string | RegExp | undefined): boolean =>
    wanted === undefined || (typeof wanted === "string" ? text.trim() === wanted : wanted.test(text));
  if (result.status === status && fits(result.out, out) && fits(result.err, err)) return null;
  return `expected status ${status}${out === undefined ? "" : `, output ${out}`}${err === undefined ? "" : `, error ${err}`}\nfound status ${result.status}\n${result.out}${result.err}`;
};

const check = (name: string, run: () => string | null): void => {
  if (positionals.length > 0 && !positionals.some((word) => name.includes(word))) return;
  const found = run();
  console.log(`${found === null ? "ok  " : "FAIL"} ${name}`);
  if (found === null) passed++;
  else {
    failed++;
    console.log(found.trimEnd().replaceAll(/^/gm, "     | "));
  }
};
/** The first that is wrong. */
const all = (...checks: readonly (() => string | null)[]): string | null => {
  for (const one of checks) {
    const found = one();
    if (found !== null) return found;
  }
  return null;
};
const expects = (name: string, args: readonly string[], expected: Expected, options: Options = {}): void =>
  check(name, () => wrong(podman(args, options), expected));
const run = ["run", "--rm", "--network", "none"] as const;

const importImage = (): string | null => {
  const root = join(home, "image");
  for (const dir of ["bin", "etc", "tmp", "root", "home/boat", "vol"]) mkdirSync(join(root, dir), { recursive: true });
  chmodSync(join(root, "tmp"), 0o1777);
  cpSync("/bin/busybox", join(root, "bin/busybox"));
  for (const applet of spawnSync("/bin/busybox", ["--list"], { encoding: "utf8" }).stdout.split("\n"))
    if (applet !== "" && applet !== "busybox") symlinkSync("busybox", join(root, "bin", applet));
  writeFileSync(join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nboat:x:1000:1000::/home/boat:/bin/sh\n");
  writeFileSync(join(root, "etc/group"), "root:x:0:\nboat:x:1000:\nwheel:x:10:boat\n");
  writeFileSync(join(root, "vol/from-image"), "seed\n");
  mkdirSync(join(root, "vol/dir"));
  symlinkSync("dir/own", join(root, "vol/link"));
  writeFileSync(join(root, "vol/dir/own"), "of boat\n");
  chmodSync(join(root, "vol/dir/own"), 0o4751);
  const tar = join(home, "image.tar");
  spawnSync("tar", ["-C", root, "--owner=0", "--group=0", "--exclude=./vol/dir/own", "-cf", tar, "."]);
  spawnSync("tar", ["-C", root, "--owner=1000", "--group=1000", "-rf", tar, "./vol/dir/own"]);
  rmSync(root, { recursive: true });
  return wrong(podman(["import", "--change", "CMD=/bin/sh", tar, "boat"]), {});
};

const until = (name: string, args: readonly string[], expected: Expected): string | null => {
  let found: string | null = null;
  for (let tries = 0; tries < 50; tries++) {
    found = wrong(podman(args), expected);
    if (found === null) return null;
    spawnSync("sleep", ["0.1"]);
  }
  return `${name}: ${found}`;
};

const theRun = (): void => {
  expects("run prints", [...run, "boat", "echo", "hello"], { out: "hello" });
  expects("run passes the exit status on", [...run, "boat", "sh", "-c", "exit 7"], { status: 7 });
  expects("run keeps standard error apart", [...run, "boat", "sh", "-c", "echo out; echo err >&2"], { out: "out", err: /^err$/m });
  expects("run -i passes standard input on", [...run, "-i", "boat", "cat"], { out: "some text" }, { input: "some text" });
  expects("run -i passes a megabyte on", [...run, "-i", "boat", "wc", "-c"], { out: "1048576" }, { input: "x".repeat(1 << 20) });
  check("run -t has a terminal", () =>
    wrong(onTerminal([...run, "-t", "boat", "sh", "-c", "test -t 0 && test -t 1 && tty; exit 3"]), {
      status: 3,
      out: /\/dev\/(pts\/0|console)/,
    }),
  );
  expects(
    "-e, -w, --hostname",
    [...run, "-e", "A=b c", "-w", "/etc", "--hostname", "korb", "boat", "sh", "-c", "echo $A $PWD $(hostname)"],
    {
      out: "b c /etc korb",
    },
  );
  expects("-u by number", [...run, "-u", "1234:2345", "boat", "sh", "-c", "echo $(id -u) $(id -g)"], { out: "1234 2345" });
  expects("-u by name, with its groups and home", [...run, "-u", "boat", "boat", "sh", "-c", "echo $(id -u) $(id -G) $HOME"], {
    out: /^1000 1000 10 \/home\/boat$/m,
  });
  expects("--group-add", [...run, "--group-add", "77", "boat", "id", "-G"], { out: /\b77\b/ });
  expects("--umask", [...run, "--umask", "0077", "boat", "sh", "-c", "umask"], { out: "0077" });
  expects("no capability with --cap-drop all", [...run, "--cap-drop", "all", "boat", "grep", "CapEff", "/proc/self/status"], {
    out: /0{16}$/m,
  });
  expects("--cap-add", [...run, "--cap-drop", "all", "--cap-add", "net_admin", "boat", "grep", "CapBnd", "/proc/self/status"], {
    out: /0{12}1000$/m,
  });
  expects("--privileged has all capabilities", [...run, "--privileged", "boat", "grep", "CapEff", "/proc/self/status"], {
    out: /[137]f{8,}$/m,
  });
  expects("no-new-privileges", [...run, "--security-opt", "no-new-privileges", "boat", "grep", "NoNewPrivs", "/proc/self/status"], {
    out: /1$/m,
  });
  expects("podman's seccomp policy is loaded", [...run, "boat", "grep", "Seccomp:", "/proc/self/status"], { out: /2$/m });
  expects("seccomp=unconfined", [...run, "--security-opt", "seccomp=unconfined", "boat", "grep", "Seccomp:", "/proc/self/status"], {
    out: /0$/m,
  });
  expects("--ulimit", [...run, "--ulimit", "nofile=100:200", "boat", "sh", "-c", "ulimit -Sn; ulimit -Hn"], { out: "100\n200" });
  expects(
    "--sysctl",
    [...run, "--sysctl", "net.ipv4.ip_unprivileged_port_start=81", "boat", "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"],
    { out: "81" },
  );
  expects("--oom-score-adj", [...run, "--oom-score-adj", "700", "boat", "cat", "/proc/self/oom_score_adj"], { out: "700" });
  expects("--shm-size", [...run, "--shm-size", "1m", "boat", "grep", "/dev/shm", "/proc/mounts"], { out: /size=1024k/ });
  expects("--device", [...run, "--device", "/dev/fuse", "boat", "sh", "-c", "test -c /dev/fuse && echo there"], { out: "there" });
  expects(
    "masked and read-only paths",
    [...run, "boat", "sh", "-c", "cat /proc/keys | wc -c; echo x > /proc/sys/kernel/domainname || echo no"],
    { out: /^0\nno$/m },
  );
  check("--preserve-fds", () => {
    const file = join(home, "handed");
    writeFileSync(file, "handed over\n");
    return wrong(podman([...run, "--preserve-fds", "1", "boat", "cat", "/proc/self/fd/3"], { fd3: openSync(file, "r") }), {
      out: "handed over",
    });
  });
  expects("--rm leaves nothing", ["ps", "-aq"], { out: "" });
};

const theMounts = (): void => {
  const data = join(home, "data");
  mkdirSync(data);
  writeFileSync(join(data, "file"), "of the host\n");
  check("-v is written through", () =>
    all(
      () =>
        wrong(podman([...run, "-v", `${data}:/data`, "boat", "sh", "-c", "cat /data/file; echo back > /data/new"]), { out: "of the host" }),
      () => (readFileSync(join(data, "new"), "utf8") === "back\n" ? null : "the host does not see it"),
    ),
  );
  expects("-v …:ro", [...run, "-v", `${data}:/data:ro`, "boat", "sh", "-c", "echo x > /data/y"], {
    status: 1,
    err: /Read-only file system/,
  });
  expects("-v of one file", [...run, "-v", `${join(data, "file")}:/etc/one`, "boat", "cat", "/etc/one"], { out: "of the host" });
  expects("a named volume takes the image's files", [...run, "-v", "named:/vol", "boat", "cat", "/vol/from-image"], { out: "seed" });
  expects("--read-only", [...run, "--read-only", "boat", "sh", "-c", "echo x > /x || echo no; echo x > /tmp/x && echo yes"], {
    out: "no\nyes",
  });
  expects("--tmpfs", [...run, "--tmpfs", "/t:size=1m", "boat", "sh", "-c", "echo x > /t/x; grep ' /t ' /proc/mounts"], {
    out: /size=1024k/,
  });
  expects(
    "--mount type=bind with propagation",
    [...run, "--mount", `type=bind,src=${data},dst=/data,ro,bind-propagation=rslave`, "boat", "cat", "/data/file"],
    {
      out: "of the host",
    },
  );
  expects(
    "--tmpfs over the image's files has a copy of them",
    [...run, "--tmpfs", "/vol", "boat", "sh", "-c", "cat /vol/from-image; readlink /vol/link; stat -c '%u %a' /vol/dir/own"],
    { out: "seed\ndir/own\n1000 4751" },
  );
  check("--rootfs", () => {
    const root = join(home, "rootfs");
    mkdirSync(join(root, "bin"), { recursive: true });
    cpSync("/bin/busybox", join(root, "bin/busybox"));
    return wrong(podman([...run, "--rootfs", root, "/bin/busybox", "echo", "no image"]), { out: "no image" });
  });
};

const theErrors = (): void => {
  expects("127: no such command", [...run, "boat", "nonesuch"], { status: 127, err: /executable file.*not found in \$PATH/ });
  expects("127: no such file", [...run, "boat", "/none/such"], { status: 127, err: /no such file or directory/ });
  expects("126: not executable", [...run, "boat", "/etc/passwd"], { status: 126, err: /permission denied/ });
  expects("126: a directory", [...run, "boat", "/etc"], { status: 126 });
  expects("126: created, and cannot be started again", ["run", "--name", "e", "--network", "none", "boat", "/etc/passwd"], { status: 126 });
  expects("what failed can be removed", ["rm", "e"], {});
};

const theLife = (): void => {
  const loop = "trap 'echo bye; exit 5' TERM; trap 'echo usr1' USR1; echo up; while :; do sleep 0.05; done";
  check("run -d, logs, ps, top, inspect", () =>
    all(
      () => wrong(podman(["run", "-d", "--name", "c", "--network", "none", "boat", "sh", "-c", loop]), { out: /^[0-9a-f]{64}$/m }),
      () => until("logs", ["logs", "c"], { out: "up" }),
      () => wrong(podman(["ps", "--format", "{{.Names}} {{.Status}}"]), { out: /^c Up/m }),
      () => wrong(podman(["top", "c", "args"]), { out: /trap/ }),
      () => wrong(podman(["inspect", "--format", "{{.State.Status}} {{.OCIRuntime}}", "c"]), { out: `running ${runtime}` }),
    ),
  );
  check("kill -s USR1", () =>
    all(
      () => wrong(podman(["kill", "-s", "USR1", "c"]), {}),
      () => until("logs", ["logs", "c"], { out: /usr1/ }),
    ),
  );
  check("stop, wait, logs", () =>
    all(
      () => wrong(podman(["stop", "-t", "5", "c"]), {}),
      () => wrong(podman(["wait", "c"]), { out: "5" }),
      () => wrong(podman(["logs", "c"]), { out: /bye/ }),
    ),
  );
  check("start again, restart, kill", () =>
    all(
      () => wrong(podman(["start", "c"]), {}),
      () => wrong(podman(["restart", "-t", "1", "c"]), {}),
      () => wrong(podman(["kill", "c"]), {}),
      () => wrong(podman(["wait", "c"]), { out: "137" }),
    ),
  );
  check("rm, and rm -f of what runs", () =>
    all(
      () => wrong(podman(["rm", "c"]), {}),
      () => wrong(podman(["run", "-d", "--name", "c", "--network", "none", "boat", "sleep", "1000"]), {}),
      () => wrong(podman(["rm", "c"]), { status: 2 }),
      () => wrong(podman(["rm", "-f", "-t", "0", "c"]), {}),
      () => wrong(podman(["ps", "-aq"]), { out: "" }),
    ),
  );
  check("create, start -a", () =>
    all(
      () => wrong(podman(["create", "--name", "c", "--network", "none", "boat", "sh", "-c", "echo attached; exit 4"]), {}),
      () => wrong(podman(["start", "-a", "c"]), { status: 4, out: "attached" }),
      () => wrong(podman(["rm", "c"]), {}),
    ),
  );
  check("cp, diff, commit", () =>
    all(
      () => wrong(podman(["run", "-d", "--name", "c", "--network", "none", "boat", "sleep", "1000"]), {}),
      () => wrong(podman(["cp", join(home, "data/file"), "c:/etc/copied"]), {}),
      () => wrong(podman(["exec", "c", "cat", "/etc/copied"]), { out: "of the host" }),
      () => wrong(podman(["diff", "c"]), { out: /A \/etc\/copied/ }),
      () => wrong(podman(["commit", "-q", "c", "changed"]), {}),
      () => wrong(podman([...run, "changed", "cat", "/etc/copied"]), { out: "of the host" }),
      () => wrong(podman(["rm", "-f", "-t", "0", "c"]), {}),
    ),
  );
  check("six at once", () => {
    const script = `for i in 1 2 3 4 5 6; do podman "$@" ${run.join(" ")} boat echo "n$i" & done; wait`;
    const { stdout, stderr } = spawnSync("sh", ["-c", script, "-", ...base], { env, cwd: home, encoding: "utf8", timeout: 60_000 });
    const lines = stdout.trim().split("\n").sort().join(" ");
    return lines === "n1 n2 n3 n4 n5 n6" ? null : `${stdout}${stderr}`;
  });
};

const theExec = (): void => {
  check("a container to exec in", () =>
    wrong(podman(["run", "-d", "--name", "x", "--network", "none", "-e", "A=1", "boat", "sleep", "1000"]), {}),
  );
  expects("exec", ["exec", "x", "echo", "hello"], { out: "hello" });
  expects("exec passes the exit status on", ["exec", "x", "sh", "-c", "exit 9"], { status: 9 });
  expects("exec -i", ["exec", "-i", "x", "cat"], { out: "some text" }, { input: "some text" });
  expects("exec -e -w -u", ["exec", "-e", "B=2", "-w", "/etc", "-u", "boat", "x", "sh", "-c", "echo $A $B $PWD $(id -u)"], {
    out: "1 2 /etc 1000",
  });
  expects(
    "exec is in the container's namespaces",
    [
      "exec",
      "x",
      "sh",
      "-c",
      "for n in pid mnt net ipc uts cgroup user; do [ $(readlink /proc/1/ns/$n) = $(readlink /proc/self/ns/$n) ] || echo $n; done",
    ],
    { out: "" },
  );
  expects(
    "exec has the container's capabilities",
    ["exec", "x", "sh", "-c", "grep -h Cap /proc/1/status /proc/self/status | sort | uniq -c | grep -vc ' 2 '"],
    { status: 1, out: "0" },
  );
  expects("exec has the container's seccomp policy", ["exec", "x", "grep", "Seccomp:", "/proc/self/status"], { out: /2$/m });
  expects("exec hands down no descriptor", ["exec", "x", "sh", "-c", "ls /proc/self/fd | tr '\\n' ' '"], { out: "0 1 2 3" });
  expects("exec --privileged", ["exec", "--privileged", "x", "grep", "CapEff", "/proc/self/status"], { out: /[137]f{8,}$/m });
  check("exec -t", () =>
    wrong(onTerminal(["exec", "-it", "x", "sh", "-c", "test -t 0 && tty; exit 3"]), { status: 3, out: /\/dev\/pts\/0/ }),
  );
  check("exec -d", () =>
    all(
      () => wrong(podman(["exec", "-d", "x", "sleep", "77"]), { out: /^[0-9a-f]{64}$/m }),
      () => until("ps", ["exec", "x", "ps"], { out: /sleep 77/ }),
    ),
  );
  expects("exec 127: no such command", ["exec", "x", "nonesuch"], { status: 127, err: /executable file.*not found in \$PATH/ });
  expects("exec 127: no such directory", ["exec", "-w", "/none", "x", "true"], { status: 127, err: /no such file or directory/ });
  expects("exec 126: not executable", ["exec", "x", "/etc/passwd"], { status: 126, err: /permission denied/ });
  check("health checks", () =>
    all(
      () =>
        wrong(
          podman([
            "run",
            "-d",
            "--name",
            "h",
            "--network",
            "none",
            "--health-interval",
            "disable",
            "--health-cmd",
            "test -e /tmp/ill && exit 1 || exit 0",
            "boat",
            "sleep",
            "1000",
          ]),
          {},
        ),
      () => wrong(podman(["healthcheck", "run", "h"]), {}),
      () => wrong(podman(["exec", "h", "touch", "/tmp/ill"]), {}),
      () => wrong(podman(["healthcheck", "run", "h"]), { status: 1 }),
      () => wrong(podman(["rm", "-f", "-t", "0", "h"]), {}),
    ),
  );
  check("exec in what has stopped", () =>
    all(
      () => wrong(podman(["kill", "x"]), {}),
      () => wrong(podman(["wait", "x"]), {}),
      () => wrong(podman(["exec", "x", "true"]), { status: 255, err: /running/ }),
      () => wrong(podman(["rm", "x"]), {}),
    ),
  );
};

const theNamespaces = (): void => {
  const uid = process.getuid?.() ?? 0;
  expects("--userns keep-id", [...run, "--userns", "keep-id", "boat", "id", "-u"], { out: String(uid) });
  check("--userns keep-id, exec and files", () =>
    all(
      () =>
        wrong(
          podman([
            "run",
            "-d",
            "--name",
            "k",
            "--userns",
            "keep-id",
            "--network",
            "none",
            "-v",
            `${home}/data:/data`,
            "boat",
            "sleep",
            "1000",
          ]),
          {},
        ),
      () => wrong(podman(["exec", "k", "sh", "-c", "id -u; stat -c %u /data/file; touch /data/kept"]), { out: `${uid}\n${uid}` }),
      () => wrong(podman(["exec", "-u", "0", "k", "id", "-u"]), { out: "0" }),
      () => wrong(podman(["rm", "-f", "-t", "0", "k"]), {}),
    ),
  );
  expects("--uidmap", [...run, "--uidmap", "0:1:1000", "boat", "cat", "/proc/self/uid_map"], { out: /^\s*0\s+1\s+1000\s*$/m });
  expects("--init", [...run, "--init", "boat", "cat", "/proc/1/comm"], { out: "podman-init" });
  expects("--network none", [...run, "boat", "ls", "/sys/class/net"], { out: "lo" });
  check("--network host", () => {
    const inside = podman(["run", "--rm", "--network", "host", "boat", "readlink", "/proc/self/ns/net"]);
    const outside = spawnSync("readlink", ["/proc/self/ns/net"], { encoding: "utf8" }).stdout.trim();
    return wrong(inside, { out: outside });
  });
  if (existsSync("/usr/bin/slirp4netns") && existsSync("/dev/net/tun")) {
    expects("--network slirp4netns", ["run", "--rm", "--network", "slirp4netns", "boat", "ls", "/sys/class/net"], { out: /tap0/ });
    check("-p publishes a port", () => {
      const port = freePort();
      return all(
        () =>
          wrong(podman(["run", "-d", "--name", "w", "-p", `127.0.0.1:${port}:80`, "boat", "httpd", "-f", "-p", "80", "-h", "/etc"]), {}),
        () => {
          let found = "";
          for (let tries = 0; tries < 50; tries++) {
            found = fetched(`http://127.0.0.1:${port}/passwd`);
            if (found.includes("boat")) return null;
            spawnSync("sleep", ["0.1"]);
          }
          return `the page was not served: ${found}`;
        },
        () => wrong(podman(["rm", "-f", "-t", "0", "w"]), {}),
      );
    });
  } else skip("--network slirp4netns", "slirp4netns or /dev/net/tun is missing");
  check("--net, --ipc and --pid of another container", () =>
    all(
      () => wrong(podman(["run", "-d", "--name", "o", "--network", "none", "--ipc", "shareable", "boat", "sleep", "1000"]), {}),
      () =>
        wrong(podman(["run", "--rm", "--network", "container:o", "--ipc", "container:o", "--pid", "container:o", "boat", "ps"]), {
          out: /1 root .*sleep 1000/,
        }),
      () => wrong(podman(["rm", "-f", "-t", "0", "o"]), {}),
    ),
  );
  check("--pid host", () => {
    const outside = spawnSync("readlink", ["/proc/self/ns/pid"], { encoding: "utf8" }).stdout.trim();
    return wrong(podman([...run, "--pid", "host", "boat", "readlink", "/proc/self/ns/pid"]), { out: outside });
  });
};

const fetched = (url: string): string => {
  const script = "fetch(process.argv[1],{signal:AbortSignal.timeout(2000)}).then(r=>r.text()).then(t=>process.stdout.write(t),()=>{})";
  return spawnSync(process.execPath, ["-e", script, url], { encoding: "utf8" }).stdout;
};

const freePort = (): number => {
  // Asked of the kernel in a process of its own: this file has no event loop to wait in.
  const script = "const s=require('net').createServer().listen(0,'127.0.0.1',()=>{console.log(s.address().port);s.close()})";
  return Number(spawnSync(process.execPath, ["-e", script], { encoding: "utf8" }).stdout);
};

const thePods = (): void => {
  check("a pod: shared network and ipc, each its own pids", () => {
    const made = podman(["pod", "create", "--name", "p", "--network", "none"]);
    return all(
      () => wrong(made, {}),
      () => wrong(podman(["run", "-d", "--pod", "p", "--name", "p1", "boat", "nc", "-ll", "-p", "4000", "-e", "echo", "from p1"]), {}),
      () => until("the other's port", ["run", "--rm", "--pod", "p", "boat", "nc", "127.0.0.1", "4000"], { out: "from p1" }),
      () => wrong(podman(["exec", "p1", "ps"]), { out: /1 root .*nc/ }),
      () => wrong(podman(["pod", "ps", "--format", "{{.Name}} {{.Status}}"]), { out: /^p (Running|Degraded)/m }),
      () => wrong(podman(["pod", "stop", "-t", "0", "p"]), {}),
      () => wrong(podman(["pod", "start", "p"]), {}),
      () => wrong(podman(["exec", "p1", "true"]), {}),
      () => wrong(podman(["pod", "rm", "-f", "-t", "0", "p"]), {}),
    );
  });
  check("play kube", () => {
    const file = join(home, "pod.yaml");
    writeFileSync(
      file,
      [
        "apiVersion: v1",
        "kind: Pod",
        "metadata: {name: kube}",
        "spec:",
        "  restartPolicy: Never",
        "  containers:",
        "  - name: one",
        "    image: localhost/boat:latest",
        "    imagePullPolicy: Never",
        '    command: ["sh", "-c", "echo $WORD; exec sleep 1000"]',
        "    env: [{name: WORD, value: played}]",
        "",
      ].join("\n"),
    );
    return all(
      () => wrong(podman(["play", "kube", file]), {}),
      () => until("logs", ["logs", "kube-one"], { out: "played" }),
      () => wrong(podman(["play", "kube", "--down", file]), {}),
    );
  });
};

const theBuild = (): void => {
  check("build: RUN", () => {
    const dir = join(home, "build");
    mkdirSync(dir);
    writeFileSync(join(dir, "Dockerfile"), "FROM localhost/boat\nRUN echo built > /etc/built && id -u >> /etc/built\nCMD cat /etc/built\n");
    return all(
      () => wrong(podman(["build", "--isolation", "oci", "--network", "none", "-q", "-t", "built", dir]), {}),
      () => wrong(podman([...run, "built"]), { out: "built\n0" }),
    );
  });
};

/** What podman itself refuses a rootless user on this host. */
const theLimits = (): void => {
  const version = podman(["info", "--format", "{{.Host.CgroupsVersion}}"]).out.trim();
  if (version === "v1") {
    for (const name of ["--memory", "pause and unpause", "stats", "update"]) skip(name, "podman does none of it rootless on cgroup v1");
    return;
  }
  expects("--memory", [...run, "--memory", "64m", "boat", "cat", "/sys/fs/cgroup/memory.max"], { out: "67108864" });
  check("pause and unpause", () =>
    all(
      () => wrong(podman(["run", "-d", "--name", "f", "--network", "none", "boat", "sleep", "1000"]), {}),
      () => wrong(podman(["pause", "f"]), {}),
      () => wrong(podman(["ps", "--format", "{{.Status}}"]), { out: /Paused/ }),
      () => wrong(podman(["unpause", "f"]), {}),
      () => wrong(podman(["stats", "--no-stream", "f"]), {}),
      () => wrong(podman(["rm", "-f", "-t", "0", "f"]), {}),
    ),
  );
};

const cleanUp = (): void => {
  podman(["pod", "rm", "-fa", "-t", "0"]);
  podman(["rm", "-fa", "-t", "0"]);
  // Files of subordinate ids can be removed only in podman's namespace, whose holder `system migrate` ends.
  podman(["unshare", "rm", "-rf", join(home, ".local/share/containers")]);
  podman(["system", "migrate"]);
  rmSync(home, { recursive: true, force: true });
};

const missing = ["podman", "conmon", "script"].filter((name) => spawnSync("sh", ["-c", `command -v ${name}`]).status !== 0);
if (missing.length > 0 || !existsSync("/bin/busybox")) {
  skip("podman", `${missing.join(", ") || "/bin/busybox"} is not installed: npm run setup installs it`);
  rmSync(home, { recursive: true });
  console.log("0 passed, 0 failed");
  process.exit(0);
}
try {
  const imported = importImage();
  if (imported !== null) throw new Error(`podman cannot import an image here: ${imported}`);
  expects("podman knows the runtime", ["info", "--format", "{{.Host.OCIRuntime.Path}}"], { out: runtime });
  theRun();
  theMounts();
  theErrors();
  theLife();
  theExec();
  theNamespaces();
  thePods();
  theBuild();
  theLimits();
  check("nothing is left in the state directory", () => {
    const left = existsSync(join(runtimeDir, "coracle-oci"))
      ? readdirSync(join(runtimeDir, "coracle-oci")).filter((name) => !name.startsWith(".") && !name.endsWith(".json"))
      : [];
    return left.length === 0 ? null : left.join(" ");
  });
} finally {
  cleanUp();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
