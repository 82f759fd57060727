// timeout: 240
/**
 * Inside another container: coracle in coracle, and in what util-linux's `unshare` builds after docker's pattern. What is
 * safe falls back (binds, one id, copies) and says what is lost; what is not is refused, with cause and remedy.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suite } from "uvu";
import { equal, is, match, not, ok } from "uvu/assert";
import { checkout, dir, makeLayout, Place, type Result, reasonAgainstRuns, symlink } from "../../cli/test/harness.ts";

const place = new Place();
const noRun = reasonAgainstRuns();
const test = suite("nested");
const testHere = (name: string, body: () => void | Promise<void>): void => {
  if (noRun === null) test(name, body);
  else console.log(`skip: ${name}: ${noRun}`);
};
if (noRun !== null) test("nothing could be run", () => console.log(`skip: nested: ${noRun}`));

const note = (stderr: string, words: RegExp): void => match(stderr, new RegExp(`^note: .*${words.source}`, "m"));
const says = (stdout: string, label: string, words: RegExp): void => match(stdout, new RegExp(`^ +${label} .*${words.source}`, "m"));
const hello = (result: Result): void => {
  is(result.status, 0, result.stderr);
  match(result.stdout, /Hello from a coracle/);
};
/** Refused, with a cause and a remedy. */
const refused = (result: Result, code: string, why: RegExp, hint: RegExp): void => {
  is(result.status, 125, result.stdout);
  match(result.stderr, new RegExp(`^error ${code}: `, "m"));
  match(result.stderr, new RegExp(`^  why:  .*${why.source}`, "m"));
  match(result.stderr, new RegExp(`^  try:  .*${hint.source}`, "m"));
};

// ---- coracle in coracle: a root of our own, the host's programs and the checkout bound into it

const image =
  noRun === null
    ? await makeLayout(
        join(place.dir, "image"),
        [
          [
            ...["usr", "etc", "root", "home", "dev", "proc", "sys", "run"].map((name) => dir(name)),
            dir("tmp", 0o1777),
            ...["bin", "sbin", "lib", "lib64"].map((name) => symlink(name, `usr/${name}`)),
          ],
        ],
        { Env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"] },
      )
    : "";
const binds = ["/usr", "/etc", checkout].flatMap((path) => ["-v", `${path}:${path}:ro`]);
const open = ["--security-opt", "seccomp=unconfined"];
const inCoracle = (outer: readonly string[], ...inner: readonly string[]): Result =>
  place.run([...outer, ...binds, "-w", checkout, image, "bin/coracle", ...inner]);

testHere("in coracle: binds for proc and sysfs, a copy for an overlay on an overlay, all ids", async () => {
  const result = inCoracle(open, "run", "--rm", "hello");
  hello(result);
  note(result.stderr, /\/proc: this host lets no new proc be mounted, so the host's is bound/);
  note(result.stderr, /\/sys: this host lets no new sysfs be mounted/);
  note(result.stderr, /ports below 1024/);
  not.match(result.stderr, /one id is mapped/);
  says(result.stdout, "/sys", /sysfs +ro/);
  says(result.stdout, "id maps", /uid 0\+1 from 0 /);
  equal(await place.leftovers(), []);
});

testHere("in coracle, what is masked outside stays masked, and what is read-only stays so", async () => {
  const result = inCoracle(
    open,
    "run",
    "--rm",
    "--security-opt",
    "unmask=ALL",
    "-v",
    "/usr:/usr:ro",
    "--entrypoint",
    "/usr/bin/sh",
    "-e",
    "PATH=/usr/bin",
    "-v",
    "/usr/lib:/lib:ro",
    "-v",
    "/usr/lib64:/lib64:ro",
    "hello",
    "-c",
    "cat /proc/keys | wc -c; ls /sys/firmware | wc -l; echo 1 > /proc/sys/kernel/pid_max; echo x > /proc/sysrq-trigger; echo done",
  );
  is(result.status, 0, result.stderr);
  match(result.stdout, /^0\n0\ndone\n$/);
  match(result.stderr, /pid_max: Read-only file system/);
  match(result.stderr, /sysrq-trigger: (Permission denied|Read-only file system|Directory nonexistent)/);
  equal(await place.leftovers(), []);
});

testHere("in coracle with --privileged: a proc and a sysfs of its own", async () => {
  const result = inCoracle([...open, "--privileged"], "run", "--rm", "hello");
  hello(result);
  not.match(result.stderr, /note: \/(proc|sys)/);
  equal(await place.leftovers(), []);
});

testHere("in coracle on a tmpfs: the kernel's overlay again", async () => {
  const result = inCoracle([...open, "--tmpfs", "/store"], "run", "--rm", "--storage", "/store/coracle", "hello");
  hello(result);
  says(result.stdout, "root", /overlay/);
  equal(await place.leftovers(), []);
});

testHere("in coracle as a user without subordinate ids: one id, and it says so", async () => {
  const user = [...open, "-u", "1234:1234", "-e", "HOME=/tmp/home"];
  const result = inCoracle(user, "run", "--rm", "hello");
  hello(result);
  note(result.stderr, /one id is mapped/);
  says(result.stdout, "id maps", /uid 0\+1 from 1234 /);
  refused(inCoracle(user, "run", "--rm", "--user", "5", "hello"), "E_SUBID", /mapped: 0/, /--user 0:0/);
  equal(await place.leftovers(), []);
});

testHere("in coracle with no_new_privs, and with a root that cannot be written but for /tmp", async () => {
  hello(inCoracle([...open, "--security-opt", "no-new-privileges"], "run", "--rm", "hello"));
  hello(inCoracle([...open, "--read-only", "--tmpfs", "/tmp", "-e", "HOME=/tmp"], "run", "--rm", "hello"));
  equal(await place.leftovers(), []);
});

testHere("in coracle: what cannot work is refused, with its cause and a remedy", async () => {
  refused(inCoracle([], "run", "--rm", "hello"), "E_USERNS", /seccomp filter around us/, /seccomp=unconfined/);
  refused(inCoracle([...open, "--cap-drop", "ALL"], "run", "--rm", "hello"), "E_USERNS", /CAP_SETFCAP/, /--cap-add SETFCAP/);
  refused(inCoracle([...open, "--read-only"], "run", "--rm", "hello"), "E_RUNTIME_DIR", /read-only file system/, /XDG_RUNTIME_DIR/);
  refused(
    inCoracle([...open, "--read-only", "--tmpfs", "/tmp"], "run", "--rm", "hello"),
    "E_STORAGE",
    /read-only file system/,
    /--storage DIR/,
  );
  refused(
    inCoracle(open, "run", "--rm", "--snapshotter", "overlay", "hello"),
    "E_UNSUPPORTED",
    /on an overlay itself/,
    /--snapshotter copy/,
  );
  refused(inCoracle(open, "run", "--rm", "--snapshotter", "fuse-overlayfs", "hello"), "E_UNSUPPORTED", /./, /this host takes copy/);
  refused(inCoracle(open, "run", "--rm", "--memory", "64m", "hello"), "E_LIMITS", /./, /best-effort/);
  refused(inCoracle(open, "run", "--rm", "--sysctl", "net.ipv4.ip_forward=1", "hello"), "E_STEP", /./, /./);
  equal(await place.leftovers(), []);
});

testHere("coracle in coracle in coracle: with a /proc of its own at each level, or refused", async () => {
  const layout = `${place.dir}/image`;
  const three = (...outer: readonly string[]): Result =>
    place.run([
      ...outer,
      ...binds,
      "-v",
      `${layout}:${layout}:ro`,
      "-w",
      checkout,
      image,
      "bin/coracle",
      "run",
      "--rm",
      ...outer,
      ...binds,
      "-w",
      checkout,
      image,
      "bin/coracle",
      "run",
      "--rm",
      "hello",
    ]);
  const result = three(...open, "--privileged");
  hello(result);
  says(result.stdout, "id maps", /uid 0\+1 from 0 /);
  refused(three(...open), "E_UNSUPPORTED", /\/proc is that of a container around us/, /one level up/);
  equal(await place.leftovers(), []);
});

testHere("the doctor's report from inside names what is missing", () => {
  const result = inCoracle(open, "doctor", "--json");
  const report: { runs: boolean; choices: Record<string, string> } = JSON.parse(result.stdout);
  ok(report.runs);
  equal([report.choices["ids"], report.choices["snapshotter"]], ["direct", "copy"]);
});

// ---- docker's pattern, by unshare: masks, a /dev without fuse and tun, a read-only /sys and /proc/sys

/** Runs as root of a new user namespace, before the command; `$1` is a directory of its own. */
const docker = [
  "set -e",
  "mount --make-rprivate /",
  "mount -t tmpfs -o ro,size=0 none /proc/acpi; mount --bind /dev/null /proc/keys; mount --bind /dev/null /proc/timer_list",
  "mount -o bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys",
  'mount -t tmpfs none "$1/dev"',
  'for d in null zero full random urandom tty; do : > "$1/dev/$d"; mount -n --bind "/dev/$d" "$1/dev/$d"; done',
  'mkdir "$1/dev/pts" "$1/dev/shm"; ln -s /proc/self/fd "$1/dev/fd"',
  'mount -n --move "$1/dev" /dev',
  "mount --rbind /sys /sys; mount -n -o remount,bind,ro /sys; mount -n -t tmpfs -o ro none /sys/firmware",
  'shift; exec "$@"',
].join("\n");

let rooms = 0;
/** @param ids unshare's flags for the user namespace */
const inDocker = (ids: readonly string[], command: readonly string[], script = docker): Result & { readonly room: string } => {
  const room = join(place.dir, `docker-${rooms++}`);
  mkdirSync(room, { mode: 0o777 });
  for (const name of ["dev", "run", "data"]) mkdirSync(join(room, name));
  // Other ids than ours may run there, and make directories of their own.
  spawnSync("chmod", ["0755", place.dir]);
  spawnSync("chmod", ["-R", "0777", room]);
  const { status, stdout, stderr } = spawnSync(
    "unshare",
    [...ids, "--mount", "--net", "--ipc", "--uts", "sh", "-c", script, "sh", room, ...command],
    {
      encoding: "utf8",
      timeout: 60_000,
      env: { PATH: place.env["PATH"] ?? "", HOME: room, XDG_RUNTIME_DIR: join(room, "run"), XDG_DATA_HOME: join(room, "data") },
    },
  );
  return { status, stdout, stderr, room };
};
const canUnshare = (...ids: readonly string[]): string | null => {
  const tried = spawnSync("unshare", [...ids, "true"], { encoding: "utf8" });
  return tried.status === 0 ? null : tried.stderr.trim() || "unshare failed";
};
const root = ["--user", "--map-root-user"];
const fullMap = [...root, "--map-auto"];
/** As docker's userns-remap: root is a subordinate id, and there are 65,536. */
const granted = noRun === null ? (readSubid("/etc/subuid") ?? 0) : 0;
const remapped = ["--user", `--map-users=${granted},0,65536`, `--map-groups=${granted},0,65536`, "--setuid", "0", "--setgid", "0"];

function readSubid(path: string): number | null {
  const name = spawnSync("id", ["-un"], { encoding: "utf8" }).stdout.trim();
  const line = existsSync(path)
    ? readFileSync(path, "utf8")
        .split("\n")
        .find((entry) => entry.startsWith(`${name}:`))
    : undefined;
  return line === undefined ? null : Number(line.split(":")[1]);
}

const shapes: readonly (readonly [name: string, flags: readonly string[], singles: boolean])[] = [
  ["a single id", root, true],
  ["65,536 ids", remapped, false],
  ["root and 65,536 ids", fullMap, false],
];
for (const [name, flags, single] of shapes) {
  const reason = noRun ?? canUnshare(...flags);
  if (reason !== null) {
    console.log(`skip: docker's pattern with ${name}: ${reason}`);
    continue;
  }
  test(`docker's pattern with ${name}: hello`, () => {
    const result = inDocker(flags, [join(checkout, "bin/coracle"), "run", "--rm", "hello"]);
    hello(result);
    note(result.stderr, /\/proc: this host lets no new proc be mounted/);
    note(result.stderr, /\/sys: this host lets no new sysfs be mounted/);
    note(result.stderr, /ports below 1024/);
    is(/one id is mapped/.test(result.stderr), single);
    says(result.stdout, "id maps", single ? /uid 0\+1 from 0 / : /uid 0\+/);
  });

  test(`docker's pattern with ${name}: an engine's bundle`, () => {
    const bundle = join(place.dir, `bundle-${rooms}`);
    mkdirSync(join(bundle, "rootfs"), { recursive: true });
    for (const path of ["proc", "sys", "dev"]) mkdirSync(join(bundle, "rootfs", path));
    copyFileSync(join(checkout, "native/build/hello"), join(bundle, "rootfs/hello"));
    const made = spawnSync(join(checkout, "bin/coracle-oci"), ["spec", "--bundle", bundle], { encoding: "utf8", env: place.env });
    is(made.status, 0, made.stderr);
    const config: { process: { args: string[]; terminal: boolean }; root: { readonly: boolean } } = JSON.parse(
      readFileSync(join(bundle, "config.json"), "utf8"),
    );
    config.process.args = ["/hello"];
    config.process.terminal = false;
    writeFileSync(join(bundle, "config.json"), JSON.stringify(config));
    spawnSync("chmod", ["-R", "a+rX", bundle]);
    const result = inDocker(flags, [
      join(checkout, "bin/coracle-oci"),
      "--log",
      join(place.dir, `docker-${rooms}/log`),
      "run",
      "--bundle",
      bundle,
      "box",
    ]);
    hello(result);
    equal(
      spawnSync("unshare", [...flags, "ls", join(result.room, "run/coracle-oci")], { encoding: "utf8" }).stdout,
      "",
      "no state is left",
    );
  });
}

// ---- root without privilege: podman's user namespace, without any masks

for (const [name, flags, single] of shapes.filter(([, , one]) => !one)) {
  const reason = noRun ?? canUnshare(...flags);
  if (reason !== null) console.log(`skip: root in a user namespace with ${name}: ${reason}`);
  else
    test(`root in a user namespace with ${name} maps ids itself`, () => {
      const result = inDocker(flags, [join(checkout, "bin/coracle"), "run", "--rm", "hello"], 'shift; exec "$@"');
      hello(result);
      not.match(result.stderr, /one id|no new/);
      is(single, false);
    });
}

test.after(async () => {
  spawnSync("unshare", [...fullMap, "sh", "-c", `rm -rf --one-file-system ${place.dir}/docker-*`]);
  await place.remove();
});
test.run();
