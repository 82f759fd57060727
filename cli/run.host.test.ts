// timeout: 300
/** `coracle run` as people use it: what is asked for holds inside, exit codes are docker's, and nothing stays behind. */
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { suite } from "uvu";
import { equal, is, match, not, ok } from "uvu/assert";
import { readFacts } from "#linux/facts";
import {
  busyboxEntries,
  checkout,
  eventually,
  file,
  findBusybox,
  makeLayout,
  Place,
  program,
  type Result,
  reasonAgainstRuns,
} from "./test/harness.ts";

const place = new Place();
const busybox = findBusybox();
const noRun = reasonAgainstRuns() ?? (busybox === null ? "no static busybox (apt-get install busybox-static)" : null);
const facts = readFacts({ dataDir: place.storage });
const ids = facts.subids.mapping.works;
const layout = join(place.dir, "image");
const image =
  noRun === null && busybox !== null
    ? await makeLayout(layout, [busyboxEntries(busybox)], { Env: ["PATH=/bin", "COLOUR=red"], Cmd: ["sh"], WorkingDir: "/home" })
    : "";

const test = suite("run");
const here = (name: string, body: () => void | Promise<void>, reason: string | null = null): void => {
  const why = noRun ?? reason;
  if (why !== null) console.log(`skip: ${name}: ${why}`);
  else
    test(name, async () => {
      await body();
      equal(await place.leftovers(), [], "nothing is left behind");
    });
};
if (noRun !== null) test("nothing could be run", () => console.log(`skip: run: ${noRun}`));
const needsIds = ids ? null : "no subordinate ids";

/** A shell line in a container. */
const sh = (flags: readonly string[], line: string, more: Parameters<Place["run"]>[1] = {}): Result =>
  place.run([...flags, image, "sh", "-c", line], more);
const said = (flags: readonly string[], line: string): string => {
  const { status, stdout, stderr } = sh(flags, line);
  is(status, 0, stderr);
  return stdout.trim();
};
const refused = (result: Result, code: string, words: RegExp, status = 125): void => {
  is(result.status, status, `${result.stdout}${result.stderr}`);
  match(result.stderr, new RegExp(`^error ${code}: `, "m"));
  match(result.stderr, words);
};
const statusField = (flags: readonly string[], field: string): string =>
  said(flags, `grep ^${field}: /proc/self/status`).split(/\s+/)[1] ?? "";

here("the embedded image", () => {
  const result = place.run(["hello"]);
  is(result.status, 0, result.stderr);
  match(result.stdout, /Hello from a coracle/);
  match(result.stdout, new RegExp(`uid 0 inside is ${process.getuid?.() ?? 0} outside`));
});

here("exit codes are docker's", async () => {
  is(sh([], "exit 7").status, 7);
  is(sh([], "exit 0").status, 0);
  refused(place.run([image, "no-such-program"]), "E_EXEC_NOT_FOUND", /no-such-program/, 127);
  refused(place.run([image, "/no/such"]), "E_EXEC_NO_FILE", /\/no\/such/, 127);
  refused(place.run([image, "/etc/passwd"]), "E_EXEC_DENIED", /EACCES/, 126);
  refused(place.run([image, "/etc"]), "E_EXEC_DENIED", /EISDIR/, 126);
  const run = place.start(["-i", image, "cat"]);
  const init = await eventually(() => place.processes().find((line) => line.endsWith(" cat")) ?? null);
  process.kill(Number(init?.split(" ")[0]), "SIGKILL");
  is(await new Promise((resolve) => run.once("exit", resolve)), 128 + 9);
});

here("environment: the image's, -e over it, from here, removed", () => {
  const { stdout } = place.run(["-e", "COLOUR=blue", "-e", "FROM_HERE", "-e", "HOSTNAME", image, "/bin/env"], {
    env: { FROM_HERE: "yes" },
  });
  const env = stdout.trim().split("\n");
  for (const line of ["COLOUR=blue", "FROM_HERE=yes", "HOME=/root"]) ok(env.includes(line), line);
  not.ok(
    env.some((line) => /^(XDG_|NODE_|HOSTNAME=)/.test(line)),
    "nothing else of the caller's",
  );
});

here("-w", () => {
  is(said([], "pwd"), "/home");
  is(said(["-w", "/tmp"], "pwd"), "/tmp");
  is(said(["-w", "/made/for/it"], "pwd; ls -d /made/for/it"), "/made/for/it\n/made/for/it");
});

here(
  "-u: by name, by number, with groups; unknown ones are refused",
  () => {
    is(said(["-u", "app"], "id -u; id -g; id -G; echo $HOME"), "1000\n1000\n1000 2000\n/home/app");
    is(said(["-u", "1000:2000", "--group-add", "app"], "id -u; id -G"), "1000\n2000 1000");
    is(said(["-u", "4321"], "id -u; id -g"), "4321\n0");
    refused(sh(["-u", "nobody-here"], "id"), "E_USER", /nobody-here/);
    refused(sh(["-u", "1000:no-group"], "id"), "E_USER", /no-group/);
    refused(sh(["-u", "7000000"], "id"), "E_SUBID", /7000000[\s\S]*mapped: 0/);
  },
  needsIds,
);

here("-v: read-write, read-only, a file, a source that is missing", () => {
  const source = join(place.dir, "bound");
  mkdirSync(source, { recursive: true });
  writeFileSync(join(source, "in"), "from outside");
  is(said(["-v", `${source}:/b`], "cat /b/in; echo inside > /b/out"), "from outside");
  const { uid } = statSync(join(source, "out"));
  is(uid, process.getuid?.());
  match(sh(["-v", `${source}:/b:ro`], "echo x > /b/out").stderr, /Read-only file system/);
  is(said(["-v", `${source}/in:/etc/inside`], "cat /etc/inside"), "from outside");
  is(said(["-v", `${source}/new/dir:/b`], "ls -A /b"), "");
  ok(statSync(join(source, "new/dir")).isDirectory(), "-v makes it");
  refused(sh(["--mount", `type=bind,src=${source}/none,dst=/b`], "true"), "E_USAGE", /none does not exist/);
  ok(!existsSync(join(source, "none")));
});

here("--read-only, --tmpfs", () => {
  match(sh(["--read-only"], "echo > /x").stderr, /Read-only file system/);
  is(
    said(
      ["--read-only", "--tmpfs", "/t:size=1m,mode=1777"],
      "echo x > /t/x; echo y > /dev/shm/y; cat /t/x /dev/shm/y; grep ' /t ' /proc/mounts | cut -d' ' -f3; stat -c %a /t",
    ),
    "x\ny\ntmpfs\n1777",
  );
  is(sh(["--tmpfs", "/t:size=64k"], "dd if=/dev/zero of=/t/x bs=1k count=200 2>/dev/null").status, 1);
});

here(
  "capabilities",
  () => {
    is(statusField(["--cap-drop", "ALL"], "CapEff"), "0000000000000000");
    is(statusField(["--cap-drop", "ALL"], "CapBnd"), "0000000000000000");
    is(statusField(["--cap-drop", "ALL", "--cap-add", "NET_ADMIN"], "CapEff"), "0000000000001000");
    is(statusField([], "CapEff"), "00000000a80425fb");
    is(statusField(["-u", "4321"], "CapEff"), "0000000000000000");
  },
  needsIds,
);

here("--security-opt", () => {
  is(statusField([], "NoNewPrivs"), "0");
  is(statusField(["--security-opt", "no-new-privileges"], "NoNewPrivs"), "1");
  is(statusField([], "Seccomp"), "2");
  is(statusField(["--security-opt", "seccomp=unconfined"], "Seccomp"), "0");
  const profile = join(place.dir, "profile.json");
  writeFileSync(
    profile,
    JSON.stringify({
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28 }],
    }),
  );
  match(sh(["--security-opt", `seccomp=${profile}`], "mkdir /tmp/x").stderr, /No space left on device/);
  writeFileSync(profile, "{");
  is(sh(["--security-opt", `seccomp=${profile}`], "true").status, 125);
  is(sh(["--security-opt", `seccomp=${profile}.none`], "true").status, 125);
});

here("--hostname, --network, --ulimit", () => {
  match(said([], "hostname"), /^[0-9a-f]{12}$/);
  is(said(["--hostname", "box"], "hostname"), "box");
  is(said(["--uts", "host"], "hostname"), hostname());
  is(said(["--network", "none"], "ls /sys/class/net; cat /sys/class/net/lo/operstate"), "lo\nunknown");
  is(said(["--network", "host"], "ls /sys/class/net").split(/\s+/).join(), readdirSync("/sys/class/net").sort().join());
  is(said(["--ulimit", "nofile=64:128"], "ulimit -n; ulimit -Hn"), "64\n128");
  refused(sh(["--ulimit", "nofile=x"], "true"), "E_USAGE", /--ulimit/);
});

here("-i gives standard input, else there is none", () => {
  is(sh(["-i"], "cat", { input: "a line\n" }).stdout, "a line\n");
  is(sh([], "cat", { input: "a line\n" }).stdout, "");
  const much = "x".repeat(3_000_000);
  is(sh(["-i"], "cat", { input: much }).stdout.length, much.length);
});

here("signals reach the container, and its end is the command's", async () => {
  for (const signal of ["SIGTERM", "SIGINT", "SIGUSR1"] as const) {
    const run = place.start([image, "sh", "-c", `trap 'echo got; exit 9' ${signal.slice(3)}; echo up; while :; do sleep 0.05; done`]);
    const out = text(run.stdout ?? process.stdin);
    await eventually(() => (place.processes().some((line) => line.includes("while :")) ? true : null));
    const end = new Promise((resolve) => run.once("exit", resolve));
    const timer = setInterval(() => run.kill(signal), 300); // the trap may not be set yet
    is(await end, 9);
    clearInterval(timer);
    match(await out, /^up\ngot\n$/);
  }
});

here("--cidfile, and one that is there", () => {
  const path = join(place.dir, "cid");
  is(sh(["--cidfile", path], "true").status, 0);
  match(readFileSync(path, "utf8"), /^[0-9a-f]{64}$/);
  refused(sh(["--cidfile", path], "true"), "E_USAGE", /--cidfile/);
});

here("what is not supported is refused by name", () => {
  const flags: readonly (readonly string[])[] = [
    ["--detach"],
    ["-t"],
    ["--name", "box"],
    ["--init"],
    ["-p", "80:80"],
    ["--network", "mine"],
    ["--restart", "always"],
    ["--dns", "1.1.1.1"],
    ["--stop-timeout", "3"],
    ["--label", "a=b"],
    ["--sig-proxy=false"],
  ];
  for (const flag of flags) refused(sh(flag, "true"), "E_UNSUPPORTED", /try: /);
  refused(place.coracle(["run", image, "true"]), "E_UNSUPPORTED", /--rm/);
  refused(sh(["--no-such-flag"], "true"), "E_USAGE", /no-such-flag/);
  refused(place.coracle(["run", "--rm"]), "E_USAGE", /image/);
  refused(place.coracle(["fly"]), "E_USAGE", /run, explain, doctor/);
});

here("images that are not there, or not sound", async () => {
  refused(place.run(["nginx", "true"]), "E_NO_IMAGE", /try: /);
  is(place.run([`oci:${place.dir}/none`, "true"]).status, 125);
  refused(place.run([`oci:${layout}:other`, "true"]), "E_NO_IMAGE", /other[\s\S]*latest/);
  refused(place.run(["--platform", "linux/s390x", image, "true"]), "E_IMAGE", /s390x/);
  const broken = async (name: string, damage: (dir: string) => void): Promise<Result> => {
    const at = join(place.dir, name);
    // A layer of its own: one that is unpacked already needs no blob.
    const source = await makeLayout(at, [[...busyboxEntries(busybox ?? ""), file(name)]]);
    damage(at);
    return place.run([source, "true"]);
  };
  const blobs = (at: string): string[] => readdirSync(join(at, "blobs/sha256")).map((name) => join(at, "blobs/sha256", name));
  const largest = (at: string): string => blobs(at).sort((a, b) => statSync(b).size - statSync(a).size)[0] ?? "";
  refused(await broken("no-json", (at) => writeFileSync(join(at, "index.json"), "{")), "E_(IMAGE|JSON)", /index\.json/);
  refused(await broken("no-version", (at) => rmSync(join(at, "oci-layout"))), "E_(IMAGE|NO_IMAGE)", /oci-layout/);
  refused(await broken("no-blob", (at) => rmSync(largest(at))), "E_IMAGE", /sha256/);
  refused(
    await broken("cut-blob", (at) => writeFileSync(largest(at), readFileSync(largest(at)).subarray(0, 1000))),
    "E_IMAGE",
    /size|bytes|digest/,
  );
  refused(
    await broken("changed-blob", (at) => {
      const bytes = readFileSync(largest(at));
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
      writeFileSync(largest(at), bytes);
    }),
    "E_IMAGE",
    /does not match its descriptor/,
  );
});

here("--log-format json: the same as an object", () => {
  const result = place.coracle(["--log-format", "json", "run", "--rm", image, "no-such-program"]);
  is(result.status, 127);
  const error: Record<string, unknown> = JSON.parse(result.stderr.trim().split("\n").at(-1) ?? "");
  is(error["code"], "E_EXEC_NOT_FOUND");
  ok(String(JSON.stringify(error)).includes("no-such-program"));
  is(place.coracle(["--log-format", "xml", "doctor"]).status, 125);
});

// ---- hosts that lack something: what `unshare` can take away

const unshare = (flags: readonly string[], script: string, env: Record<string, string> = {}): Result => {
  const { status, stdout, stderr } = spawnSync("unshare", [...flags, "sh", "-c", script, "sh", program], {
    encoding: "utf8",
    timeout: 60_000,
    env: { ...place.env, ...env },
  });
  return { status, stdout, stderr };
};
const alone = ["--user", "--map-root-user", "--mount"];
const noUnshare = noRun === null && unshare(alone, "true").status !== 0 ? "unshare cannot make a user and mount namespace" : null;

here(
  "user namespaces off: said before anything is made",
  () => {
    const fresh = join(place.dir, "fresh");
    mkdirSync(fresh);
    const result = unshare(
      ["--user", "--map-root-user"],
      `echo 0 > /proc/sys/user/max_user_namespaces && exec "$1" --storage ${fresh}/s --root ${fresh}/r run --rm hello`,
    );
    refused(result, "E_USERNS", /why: .*max_user_namespaces|why: .*switched[\s\S]*try: /);
    ok(!existsSync(join(fresh, "s")));
  },
  noUnshare,
);

here(
  "the fall-back under /tmp: ours, private and no link, or not at all",
  () => {
    // The checkout itself may lie below /tmp: it is bound aside before that is covered.
    const run = "/mnt/bin/coracle --storage /tmp/s run --rm hello";
    const tmp = `mount -n --rbind "${checkout}" /mnt; mount -n -t tmpfs none /tmp; mkdir /tmp/s; chmod 700 /tmp/s; `;
    const env = { XDG_RUNTIME_DIR: "", NODE_COMPILE_CACHE: "" };
    const fine = unshare(alone, `${tmp}${run} && stat -c %a /tmp/coracle-0`, env);
    is(fine.status, 0, fine.stderr);
    match(fine.stdout, /\n700\n$/);
    for (const [made, words] of [
      ["mkdir /tmp/x; ln -s /tmp/x /tmp/coracle-0", /not a directory/],
      ["mkdir -m 777 /tmp/coracle-0", /can be written by others/],
      ["echo > /tmp/coracle-0", /not a directory|EEXIST/],
    ] as const)
      refused(unshare(alone, `${tmp}${made}; ${run}`, env), "E_RUNTIME_DIR", words);
    // A runtime directory that is named and not there, and one that cannot be written: the fall-back again.
    is(unshare(alone, `${tmp}${run}`, { ...env, XDG_RUNTIME_DIR: "/no/such" }).status, 0);
    is(unshare(alone, `${tmp}mkdir -m 500 /tmp/r; mount -n -t tmpfs -o ro none /tmp/r; XDG_RUNTIME_DIR=/tmp/r ${run}`, env).status, 0);
    is(unshare(alone, `${tmp}${run}`, { ...env, XDG_RUNTIME_DIR: "relative" }).status, 0);
  },
  noUnshare,
);

here(
  "storage that is full, read-only, open to others, or a file",
  () => {
    const run = (at: string): string => `"$1" --storage ${at} run --rm hello`;
    const dir = join(place.dir, "s");
    mkdirSync(dir);
    // The embedded image's layer does not fit.
    const full = unshare(
      alone,
      `mount -n -t tmpfs -o size=48k,mode=700 none ${dir}; ${run(dir)}; status=$?; find ${dir} -type f; ls -A ${dir}/containers; exit $status`,
    );
    refused(full, "E_STORAGE", /ENOSPC[\s\S]*try: .*free some space/);
    is(full.stdout, "", "nothing of the layer is left");
    refused(unshare(alone, `mount -n -t tmpfs -o ro,mode=700 none ${dir}; ${run(dir)}`), "E_STORAGE", /EROFS|read-only/);
    refused(unshare(alone, `mount -n -t tmpfs -o mode=777 none ${dir}; ${run(dir)}`), "E_STORAGE", /can be written by others/);
    refused(unshare(alone, run("/dev/null")), "E_STORAGE", /./);
    const runtime = unshare(
      alone,
      `mount -n -t tmpfs -o size=4k,mode=700 none ${dir}; dd if=/dev/zero of=${dir}/fill bs=4k count=1 2>/dev/null; TMPDIR=${dir} "$1" --root ${dir} run --rm hello`,
    );
    is(runtime.status, 125, runtime.stderr);
    match(runtime.stderr, /ENOSPC|no space/i);
  },
  noUnshare,
);

here(
  "a hidden /proc",
  () => {
    refused(
      unshare(alone, 'mount -n -t tmpfs none /proc; exec "$1" run --rm hello'),
      "E_UNSUPPORTED",
      /\/proc is not mounted or is hidden[\s\S]*try: +mount proc/,
    );
  },
  noUnshare,
);

here(
  "no subordinate ids: one id, and what that costs",
  () => {
    const result = unshare(["--user", "--map-root-user"], '"$1" --storage "$XDG_DATA_HOME/single" run --rm hello');
    is(result.status, 0, result.stderr);
    match(result.stderr, /^note: one id is mapped/m);
  },
  noUnshare,
);

// ---- layouts that others made

const has = (tool: string): string | null => (spawnSync("which", [tool]).status === 0 ? null : `${tool} is not installed`);

here(
  "a layout that skopeo copied",
  () => {
    const to = join(place.dir, "skopeo");
    for (const format of [[], ["--dest-compress-format", "zstd", "--dest-compress"]]) {
      const made = spawnSync(
        "skopeo",
        ["--insecure-policy", "--tmpdir", place.dir, "copy", "--quiet", ...format, image, `oci:${to}${format.length}:v1`],
        { encoding: "utf8", env: place.env },
      );
      is(made.status, 0, made.stderr);
      const result = place.run([`oci:${to}${format.length}:v1`, "cat", "/etc/group"]);
      is(result.status, 0, result.stderr);
      match(result.stdout, /extra:x:2000:app/);
    }
  },
  has("skopeo"),
);

here(
  "a layout that umoci made",
  () => {
    const to = join(place.dir, "umoci");
    const umoci = (...args: readonly string[]): void => {
      const { status, stderr } = spawnSync("umoci", args, { encoding: "utf8", env: place.env });
      is(status, 0, stderr);
    };
    umoci("init", "--layout", to);
    umoci("new", "--image", `${to}:v1`);
    // Not `umoci insert` of a file: 0.4.7 leaves the archive's end out.
    umoci("unpack", "--rootless", "--image", `${to}:v1`, `${to}-bundle`);
    mkdirSync(`${to}-bundle/rootfs/bin`);
    copyFileSync(busybox ?? "", `${to}-bundle/rootfs/bin/busybox`);
    chmodSync(`${to}-bundle/rootfs/bin/busybox`, 0o755);
    umoci("repack", "--image", `${to}:v1`, `${to}-bundle`);
    umoci("config", "--image", `${to}:v1`, "--config.entrypoint", "/bin/busybox", "--config.cmd", "echo", "--config.cmd", "from umoci");
    const result = place.run([`oci:${to}:v1`]);
    is(result.status, 0, result.stderr);
    is(result.stdout, "from umoci\n");
  },
  has("umoci"),
);

test.after(async () => {
  spawnSync("chmod", ["-R", "u+rwX", place.dir]);
  await place.remove();
});
test.run();
