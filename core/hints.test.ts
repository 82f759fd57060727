import { readdirSync, readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Facts, parseFacts } from "#core/facts";
import { causes, type Hint, hint, hintForCause, hintRules } from "#core/hints";
import { ops } from "#core/plan/ops";

const folder = new URL("./test/hosts/", import.meta.url);
const host = (name: string): Facts => parseFacts(JSON.parse(readFileSync(new URL(`${name}.json`, folder), "utf8")), name);
const hosts = readdirSync(folder).map((name) => host(name.replace(".json", "")));

const of = (found: Hint | null): Hint => {
  if (found === null) throw new Error("no hint");
  return found;
};

/** A row: what failed, where, and words that cause and remedy must have. */
const rows: readonly (readonly [
  op: string | null,
  call: string,
  errno: string,
  hostName: string,
  why: RegExp,
  remedy: RegExp,
  type?: string,
])[] = [
  ["root_overlay", "mount", "EPERM", "nfs-home", /NFS/, /--snapshotter fuse-overlayfs/],
  ["root_overlay", "mount", "EINVAL", "nested", /overlay itself/, /--storage DIR on a volume/],
  ["root_overlay", "mount", "EBUSY", "debian12", /same upper or work/, /stop the container/],
  ["spawn", "clone3", "EPERM", "ubuntu2404-apparmor", /AppArmor/, /\/etc\/apparmor\.d\/coracle && apparmor_parser -r/],
  ["map_write", "write", "EPERM", "ubuntu2404-apparmor", /AppArmor/, /userns,/],
  ["spawn", "clone3", "EPERM", "docker", /seccomp/, /seccomp=unconfined/],
  ["spawn", "clone3", "ENOSPC", "debian12", /limit on namespaces/, /user \| grep namespaces/],
  ["spawn", "clone3", "EAGAIN", "debian12", /RLIMIT_NPROC \(96365/, /ulimit -u/],
  ["spawn", "clone3", "EACCES", "v2-undelegated", /common ancestor/, /systemd's user manager/],
  ["mount_fs", "fsmount", "EPERM", "nested", /\/proc\/acpi/, /unmask=ALL/, "proc"],
  ["mount_fs", "mount", "EPERM", "nested", /parts of \/sys/, /unmask/, "sysfs"],
  ["mount_fs", "mount", "EPERM", "debian12", /network namespace/, /network namespace of its own/, "sysfs"],
  ["mount_fs", "mount", "EPERM", "debian12", /pid namespace/, /pid namespace of its own/, "proc"],
  ["mount_fs", "mount", "EINVAL", "no-subuid", /gid=5/, /leave gid=5 out/, "devpts"],
  ["mount_fs", "mount", "EBUSY", "debian12", /mounted there already/, /findmnt/, "tmpfs"],
  ["map_helper", "execve", "EPERM", "no-subuid", /\/etc\/subuid grants no ids to user/, /usermod --add-subuids/],
  ["map_helper", "execve", "ENOENT", "nested", /not installed/, /apt-get install uidmap/],
  ["map_helper", "write", "EPERM", "debian12", /ids that \/etc\/subuid/, /--add-subuids .* user /],
  ["ids", "setgroups", "EPERM", "no-subuid", /setgroups is denied/, /usermod/],
  ["ids", "setresuid", "EINVAL", "debian12", /not mapped/, /below 65536/],
  ["cgroup_create", "mkdirat", "EACCES", "cgroup-v1-undelegated", /no cgroup is delegated/, /\/sys\/fs\/cgroup\/\$c\/coracle\/1000;/],
  ["cgroup_create", "mkdirat", "EROFS", "nested", /read-only/, /best-effort/],
  ["cgroup_create", "write", "EBUSY", "debian12-systemd", /no internal processes/, /systemd-run --user/],
  ["cgroup_set", "openat", "ENOENT", "debian12-systemd", /there are: cpu memory pids/, /Delegate=cpu cpuset io memory pids/],
  ["exec", "execve", "ENOENT", "debian12", /interpreter/, /readelf/],
  ["exec", "execve", "ENOEXEC", "debian12", /than amd64/, /linux\/amd64/],
  ["exec", "execve", "ETXTBSY", "debian12", /open for writing/, /writer/],
  ["exec", "execve", "E2BIG", "debian12", /too long/, /by file/],
  ["exec", "execve", "EACCES", "debian12", /execute bit/, /chmod \+x/],
  ["keyring", "keyctl", "EDQUOT", "debian12", /quota of kernel keys/, /maxkeys/],
  ["rlimit", "prlimit64", "EPERM", "root", /CAP_SYS_RESOURCE/, /ulimit -Hn/],
  ["device", "mknodat", "EPERM", "debian12", /initial user namespace/, /--device/],
  ["mask", "openat2", "ELOOP", "debian12", /symbolic link/, /below the container's root/],
  [null, "openat2", "EXDEV", "debian12", /symbolic link/, /ls -l/],
  [null, "write", "ENOSPC", "nfs-home", /full/, /df -h '\/net\/home\/mira/],
  [null, "open", "EROFS", "debian12", /read-only/, /findmnt/],
  [null, "openat2", "ENOSYS", "docker", /seccomp/, /unconfined/],
  [null, "openat2", "ENOSYS", "debian12", /6\.18\.44/, /newer kernel/],
];

for (const [op, call, errno, name, why, remedy, type] of rows) {
  test(`${op ?? "no step"}: ${call}${type === undefined ? "" : ` of ${type}`} gives ${errno} on ${name}`, () => {
    const found = of(hint(op, call, errno, host(name), type === undefined ? {} : { type }));
    assert.match(found.why, why);
    assert.match(found.try, remedy);
  });
}

test("a cause that the facts do not prove is not claimed", () => {
  assert.is(hint("spawn", "clone3", "EPERM", host("debian12")), null);
  assert.is(hint("root_overlay", "mount", "EPERM", host("debian12")), null);
  assert.is(hint(null, "read", "EPERM", host("debian12")), null);
  assert.is(hint("print", "write", "EPIPE", host("debian12")), null);
});

test("each cause of a fact set has advice, but for reasons why nothing was tried", () => {
  const reasons = ["not-tried", "no-userns", "no-mount-namespace", "no-tmpfs", "no-data-dir", "no-subids"];
  for (const facts of hosts) {
    const tried = [
      facts.userns,
      facts.subids.mapping,
      facts.dirs.data.overlay,
      ...[facts.namespaces, facts.mounts, facts.devices].flatMap((group) => Object.values(group)),
    ];
    for (const { cause } of [...tried, { cause: facts.subids.cause }]) {
      if (cause !== null) assert.is(hintForCause(cause, facts) === null, reasons.includes(cause), `${cause} of ${facts.hostname}`);
    }
  }
  assert.is(hintForCause(null, host("root")), null);
  assert.is(hintForCause("toString", host("root")), null);
});

test("every cause that the prober can report has advice", () => {
  const source = ["facts.c", "facts_trial.c"].map((name) => readFileSync(new URL(`../native/${name}`, import.meta.url), "utf8")).join("");
  const known: readonly string[] = Object.keys(causes);
  // Read off the C source, so that a new token cannot be forgotten here; and none here that C cannot say.
  for (const cause of known) assert.ok(source.includes(`"${cause}"`), `facts.c never says ${cause}`);
  const reported = [...source.matchAll(/(?:return|\?|:|cause =|, errno, |, error, |ETIMEDOUT, )\s*"([a-z]+(?:-[a-z]+)+)"/g)].map(
    (match) => match[1] ?? "",
  );
  const others = ["fuse-overlayfs", "not-tried", "no-userns", "no-mount-namespace", "no-tmpfs", "no-data-dir", "no-subids"];
  assert.ok(reported.length > 20, `${reported.length} causes found in the source`);
  for (const cause of reported) assert.ok(known.includes(cause) || others.includes(cause), `no advice for ${cause}`);
});

test("advice never repeats a phrase that engines match on, whatever the step, and fits on one line", () => {
  const phrases =
    /permission denied|operation not permitted|no such file|executable file not found|not running|no such process|does not exist|already exists/i;
  const check = (found: Hint | null): void => {
    if (found === null) return;
    for (const text of [found.why, found.try]) {
      assert.not.match(text, phrases);
      assert.not.match(text, /\n|\.$|undefined/);
      assert.ok(text.length > 3);
    }
  };
  for (const facts of hosts) {
    for (const cause of Object.keys(causes)) check(hintForCause(cause, facts));
    for (const rule of hintRules) {
      for (const op of rule.ops ?? [null])
        for (const call of rule.calls ?? [""]) for (const errno of rule.errnos) check(hint(op, call, errno, facts));
    }
  }
});

test("rules name ops of the table, and errnos as errno.h spells them", () => {
  for (const rule of hintRules) {
    for (const op of rule.ops ?? []) assert.ok(Object.hasOwn(ops, op), op);
    for (const errno of rule.errnos) assert.match(errno, /^E[A-Z0-9]+$/);
    assert.ok(rule.errnos.length > 0);
  }
});

test("a quick probe proves nothing: the step's own rules speak", () => {
  const facts = { ...host("nfs-home") };
  const untried = { works: false, errno: null, cause: "not-tried" };
  const quick: Facts = {
    ...facts,
    depth: "quick",
    dirs: { ...facts.dirs, data: { ...facts.dirs.data, overlay: untried } },
    mounts: { ...facts.mounts, overlay: untried },
  };
  assert.match(of(hint("root_overlay", "mount", "EINVAL", quick)).why, /NFS/);
});

test("names in a remedy are quoted for a shell", () => {
  const facts: Facts = { ...host("ubuntu2404-apparmor"), nativeDir: "/opt/it's here/native" };
  assert.match(of(hintForCause("apparmor-restrict", facts)).try, "'profile coracle \"/opt/it'\\''s here/native/*\" flags=(unconfined) {'");
});

test.run();
