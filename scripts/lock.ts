/**
 * Completes package-lock.json after `npm install`.
 *
 * npm leaves optional packages of other platforms out of the lockfile when the registry at hand (a partial mirror) does
 * not carry them, and `npm ci` then refuses that lockfile as out of sync, on every machine. The entries that are added
 * here name what the parents pin; `os` keeps npm from ever fetching them on Linux with glibc, which is all that we run on.
 *
 *     npm install … && npm run lock
 */
import { readFileSync, writeFileSync } from "node:fs";
import * as z from "zod/mini";

const EntrySchema = z.looseObject({
  version: z.optional(z.string()),
  dev: z.optional(z.boolean()),
  optionalDependencies: z.optional(z.record(z.string(), z.string())),
});
const LockSchema = z.looseObject({ packages: z.record(z.string(), EntrySchema) });

const file = new URL("../package-lock.json", import.meta.url);
const lock = LockSchema.parse(JSON.parse(readFileSync(file, "utf8")));

/** Node's resolution: the entry for `name` that a package installed at `from` finds. */
const resolve = (from: string, name: string): string | null => {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf("/node_modules/")))) {
    const path = at === "" ? `node_modules/${name}` : `${at}/node_modules/${name}`;
    if (path in lock.packages) return path;
    if (at === "") return null;
  }
};

/** What a platform package says of itself in its name: `…-linux-x64-musl`, `…-darwin-arm64`, `…-win32-x64-msvc`. */
const platformOf = (name: string): Readonly<Record<string, readonly string[]>> => {
  const [os, cpu] = [
    /android|darwin|freebsd|netbsd|openbsd|openharmony|sunos|aix|win32|wasm32|linux/,
    /arm64|x64|ia32|arm|riscv64|s390x|ppc64|loong64|mips64el/,
  ].map((pattern) => pattern.exec(name)?.[0]);
  if (os === undefined) throw new Error(`${name}: cannot tell the platform of a package that the registry does not have`);
  return {
    os: [os === "wasm32" ? "wasm" : os],
    ...(cpu === undefined ? {} : { cpu: [cpu] }),
    ...(os === "linux" && name.includes("musl") ? { libc: ["musl"] } : {}),
  };
};

let added = 0;
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, range] of Object.entries(entry.optionalDependencies ?? {})) {
    const version = range.replace(/^[\^~]/, "");
    const found = resolve(path, name);
    if (found !== null && (lock.packages[found]?.version === version || range !== version)) continue;
    // At the top, as npm would hoist it; below the parent where another version already sits there.
    const place = found === null ? `node_modules/${name}` : `${path}/node_modules/${name}`;
    lock.packages[place] = { version, ...(entry.dev ? { dev: true } : {}), license: "MIT", optional: true, ...platformOf(name) };
    added++;
  }
}
const sorted = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(file, `${JSON.stringify({ ...lock, packages: sorted }, null, 2)}\n`);
console.log(`package-lock.json: ${added} entries added`);
