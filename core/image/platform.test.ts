/** containerd/platforms' own cases, as facts, in our layout; the choice from an index; properties. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Fault } from "#core/fault";
import {
  choosePlatform,
  formatPlatform,
  isAttestation,
  linuxPlatform,
  normalizePlatform,
  type Platform,
  type PlatformDescriptor,
  parsePlatform,
  platformMatches,
  platformPreference,
} from "./platform.ts";

const host: Platform = linuxPlatform("amd64");
const parse = (text: string): Platform => parsePlatform(text, host);

test("specifiers", () => {
  // text: how it is formatted once parsed on linux/amd64
  const table: Readonly<Record<string, string>> = {
    "linux/arm64": "linux/arm64",
    "linux/arm64/v8": "linux/arm64/v8",
    "linux/arm": "linux/arm",
    "linux/arm/v6": "linux/arm/v6",
    "linux/arm/v7": "linux/arm/v7",
    "linux/arm/7": "linux/arm/v7",
    arm: "linux/arm",
    armel: "linux/arm/v6",
    armhf: "linux/arm",
    Aarch64: "linux/arm64",
    x86_64: "linux/amd64",
    "Linux/x86_64": "linux/amd64",
    i386: "linux/386",
    linux: "linux/amd64",
    s390x: "linux/s390x",
    macOS: "darwin/amd64",
    windows: "windows/amd64",
    "windows()": "windows/amd64",
    "windows(10.0.17763)": "windows(10.0.17763)/amd64",
    "windows(10.0.17763+win32k)": "windows(10.0.17763+win32k)/amd64",
    "linux(+gpu)": "linux(+gpu)/amd64",
    "linux(+unsorted+erofs)": "linux(+erofs+unsorted)/amd64",
    "windows(10.0.17763%2Bbuild.42+win32k)": "windows(10.0.17763%2Bbuild.42+win32k)/amd64",
    "windows(50%25done)": "windows(50%25done)/amd64",
    wasm: "wasip1/wasm",
    wasip1: "wasip1/wasm",
    "wasip2/wasm": "wasip2/wasm",
    "wasi/wasm32": "wasi/wasm32",
    "unknown/unknown": "unknown/unknown",
  };
  for (const [text, formatted] of Object.entries(table)) {
    assert.is(formatPlatform(parse(text)), formatted, text);
    assert.is(formatPlatform(parse(formatted)), formatted);
  }
  for (const bad of [
    "",
    "intel",
    "linux/&arm",
    "linux/arm/foo/bar",
    "linux/",
    "/amd64",
    "*",
    "linux/*",
    "linux(%zz)/amd64",
    "linux(x/amd64",
  ]) {
    assert.throws(
      () => parse(bad),
      (error: unknown) => error instanceof Fault && error.code === "E_USAGE",
      bad,
    );
  }
  assert.is(formatPlatform({ ...host, os: "" }), "unknown");
});

test("what a machine runs", () => {
  const arm = ["linux/arm", "linux/arm/v5", "linux/arm/v6", "linux/arm/v7", "linux/arm/v8"];
  const v8 = (top: number): string[] => Array.from({ length: top + 1 }, (_, i) => `linux/arm64/v8.${i}`);
  const table: Readonly<Record<string, readonly [yes: readonly string[], no: readonly string[]]>> = {
    "linux/amd64": [
      ["linux/amd64", "linux/amd64/v1", "linux/386"],
      ["linux/amd64/v2", "linux/arm64", "windows/amd64"],
    ],
    "linux/amd64/v2": [
      ["linux/amd64", "linux/amd64/v1", "linux/amd64/v2", "linux/386"],
      ["linux/amd64/v3", "linux/amd64/v4"],
    ],
    "linux/386": [["linux/386", "linux/i386"], ["linux/amd64"]],
    "windows/amd64": [
      ["windows/amd64", "windows(10.0.17763)/amd64", "windows(+win32k)/amd64"],
      ["linux/amd64", "windows/arm"],
    ],
    "windows(10.0.17763.1)/amd64": [["windows/amd64", "windows(10.0.17763.99)/amd64"], ["windows(10.0.17764)/amd64"]],
    "linux/arm/v8": [arm, ["linux/arm/v4", "linux/arm64", "linux/amd64"]],
    "linux/arm/v7": [
      ["linux/arm", "linux/arm/v5", "linux/arm/v6", "linux/arm/v7"],
      ["linux/arm/v4", "linux/arm/v8"],
    ],
    "linux/arm/v6": [
      ["linux/arm/v5", "linux/arm/v6"],
      ["linux/arm", "linux/arm/v7"],
    ],
    "linux/arm/v5": [["linux/arm/v5"], ["linux/arm/v6", "linux/arm/v4"]],
    "linux/arm/v4": [["linux/arm/v4"], ["linux/arm/v5"]],
    "linux/arm64/v9.6": [
      [...arm, "linux/arm64", "linux/arm64/v8", ...v8(9), "linux/arm64/v9", "linux/arm64/v9.0", "linux/arm64/v9.6"],
      ["linux/arm64/v8.10", "linux/arm64/v9.7", "linux/arm/v4"],
    ],
    "linux/arm64/v9": [
      [...arm, "linux/arm64", ...v8(5), "linux/arm64/v9.0"],
      ["linux/arm64/v8.6", "linux/arm64/v9.1"],
    ],
    "linux/arm64/v8.1": [
      [...arm, "linux/arm64", "linux/arm64/v8.1"],
      ["linux/arm/v9", "linux/arm64/v9", "linux/arm64/v8.2"],
    ],
    "linux/arm64": [
      [...arm, "linux/arm64", "linux/arm64/v8"],
      ["linux/arm64/v8.1", "linux/arm64/v9", "linux/amd64"],
    ],
    "linux(+gpu)/amd64": [["linux/amd64", "linux(+gpu)/amd64"], ["linux(+gpu+simd)/amd64"]],
    "linux/riscv64": [["linux/riscv64"], ["linux/riscv"]],
  };
  for (const [machine, [yes, no]] of Object.entries(table)) {
    for (const image of yes) assert.ok(platformMatches(parse(machine), parse(image)), `${machine} runs ${image}`);
    for (const image of no) assert.not.ok(platformMatches(parse(machine), parse(image)), `${machine} does not run ${image}`);
  }
});

const entry = (platform: string | null, digest: string, annotations?: Record<string, string>): PlatformDescriptor => {
  if (platform === null) return { digest, ...(annotations === undefined ? {} : { annotations }) };
  const p = parse(platform);
  return {
    digest,
    platform: { os: p.os, architecture: p.architecture, variant: p.variant, "os.features": p.osFeatures },
    ...(annotations === undefined ? {} : { annotations }),
  };
};

test("the best manifest of an index", () => {
  const index = [
    entry("linux/386", "i386"),
    entry("linux/arm/v7", "armv7"),
    entry("linux/amd64", "amd64"),
    entry("linux/amd64/v3", "amd64v3"),
    entry("linux/arm64/v8", "arm64"),
    entry("unknown/unknown", "provenance", { "vnd.docker.reference.type": "attestation-manifest" }),
    entry("linux/amd64", "second"),
    entry("linux(+gpu)/amd64", "gpu"),
    entry("wasip1/wasm", "wasm"),
  ];
  const chosen = (machine: string): string => choosePlatform(parse(machine), index).digest;
  assert.is(chosen("linux/amd64"), "amd64");
  assert.is(chosen("linux/amd64/v2"), "amd64");
  assert.is(chosen("linux/amd64/v4"), "amd64v3");
  assert.is(chosen("linux(+gpu)/amd64"), "gpu");
  assert.is(chosen("linux/arm64"), "arm64");
  assert.is(chosen("linux/arm64/v9.1"), "arm64");
  assert.is(chosen("linux/arm/v8"), "armv7");
  assert.is(chosen("linux/386"), "i386");
  assert.is(chosen("wasip1/wasm"), "wasm");
  try {
    chosen("linux/s390x");
    assert.unreachable();
  } catch (error) {
    assert.instance(error, Fault);
    if (!(error instanceof Fault)) return;
    assert.is(error.code, "E_IMAGE");
    assert.is(error.message, "the image has no manifest for linux/s390x");
    assert.is(error.why, "it offers linux/386, linux/arm/v7, linux/amd64, linux/amd64/v3, linux/arm64/v8, linux(+gpu)/amd64, wasip1/wasm");
  }
  assert.is(choosePlatform(host, [entry(null, "plain")]).digest, "plain");
  assert.is(choosePlatform(host, [entry(null, "plain"), entry("linux/386", "i386")]).digest, "i386");
  assert.throws(() => choosePlatform(host, []), /no manifest/);
  assert.throws(() => choosePlatform(host, [entry("unknown/unknown", "x")]), /no manifest/);
  assert.ok(isAttestation(entry("unknown/unknown", "x")));
});

const platformArb = fc.record({
  os: fc.constantFrom("linux", "windows", "wasip1"),
  architecture: fc.constantFrom("amd64", "386", "arm", "arm64", "wasm", "x86_64", "aarch64", "armhf", "riscv64"),
  variant: fc.constantFrom("", "v1", "v2", "v3", "v5", "v6", "v7", "v8", "v8.4", "v9", "v9.2", "8"),
  osVersion: fc.constantFrom("", "10.0.17763", "a+b(c)%/d"),
  osFeatures: fc.subarray(["a", "b+c", "z"]),
});

test("property: normalising is idempotent; a machine runs itself, and likes that best", () => {
  fc.assert(
    fc.property(platformArb, (p) => {
      const normal = normalizePlatform(p);
      assert.equal(normalizePlatform(normal), normal);
      assert.equal(platformPreference(p)[0], normal);
      assert.ok(platformMatches(p, p));
      assert.equal(normalizePlatform(parse(formatPlatform(normal))), normal);
    }),
  );
});

test("property: what runs on what is transitive", () => {
  fc.assert(
    fc.property(platformArb, platformArb, platformArb, (a, b, c) => {
      const plain = (p: Platform): Platform => ({ ...p, osVersion: "" });
      if (platformMatches(plain(a), plain(b)) && platformMatches(plain(b), plain(c))) assert.ok(platformMatches(plain(a), plain(c)));
    }),
    { numRuns: 2000 },
  );
});

test.run();
