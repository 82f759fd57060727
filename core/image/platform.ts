/**
 * Platforms: which manifest of an image index fits a machine.
 *
 *     specifier = os [ "(" [ version ] { "+" feature } ")" ] [ "/" architecture [ "/" variant ] ] | architecture
 *
 * Normalisation and the order of preference are those of containerd's `platforms` package: an arm64 v8 machine also
 * runs arm v8, v7, v6 and v5, an amd64 v3 machine v2, v1 and 386. Names are Go's GOOS and GOARCH (image-spec,
 * image-index.md), with WASI's `wasip1` and `wasip2` beside them.
 */
import { Fault } from "#core/fault";

export type Platform = {
  readonly os: string;
  readonly architecture: string;
  /** "" where there is none. */
  readonly variant: string;
  /** `os.version`; "" where there is none. */
  readonly osVersion: string;
  /** `os.features`: what the image demands of a host, or what a host offers. Sorted, without repeats. */
  readonly osFeatures: readonly string[];
};

/** The image-spec's `platform` object, as an index or a config writes it. */
export type SpecPlatform = {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | null | undefined;
  readonly "os.version"?: string | null | undefined;
  readonly "os.features"?: readonly string[] | null | undefined;
};

const knownOs: ReadonlySet<string> = new Set(
  "aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris wasip1 wasip2 windows zos".split(" "),
);
const knownArchitectures: ReadonlySet<string> = new Set(
  "386 amd64 amd64p32 arm armbe arm64 arm64be loong64 mips mipsle mips64 mips64le mips64p32 mips64p32le ppc ppc64 ppc64le riscv riscv64 s390 s390x sparc sparc64 wasm wasm32".split(
    " ",
  ),
);

const normalizeArchitecture = (architecture: string, variant: string): { architecture: string; variant: string } => {
  const a = architecture.toLowerCase();
  const v = variant.toLowerCase();
  switch (a) {
    case "i386":
      return { architecture: "386", variant: "" };
    case "x86_64":
    case "x86-64":
    case "amd64":
      return { architecture: "amd64", variant: v === "v1" ? "" : v };
    case "aarch64":
    case "arm64":
      if (v === "8" || v === "v8" || v === "v8.0") return { architecture: "arm64", variant: "" };
      if (v === "9" || v === "9.0" || v === "v9.0") return { architecture: "arm64", variant: "v9" };
      return { architecture: "arm64", variant: v };
    case "armhf":
      return { architecture: "arm", variant: "v7" };
    case "armel":
      return { architecture: "arm", variant: "v6" };
    case "arm":
      return { architecture: "arm", variant: v === "" ? "v7" : /^[5-8]$/.test(v) ? `v${v}` : v };
    default:
      return { architecture: a, variant: v };
  }
};

const normalizeOs = (os: string): string => (os.toLowerCase() === "macos" ? "darwin" : os.toLowerCase());

const sortedUnique = (features: readonly string[]): readonly string[] => [...new Set(features)].sort();

/** The canonical spelling: `aarch64` is `arm64`, its `v8` is written "", `armhf` is `arm` `v7`, `macos` is `darwin`. */
export const normalizePlatform = (platform: Platform): Platform => ({
  ...platform,
  ...normalizeArchitecture(platform.architecture, platform.variant),
  os: normalizeOs(platform.os),
  osFeatures: sortedUnique(platform.osFeatures),
});

/** This machine, of which the facts know Go's word for the architecture: its oldest variant, but v7 for arm. */
export const linuxPlatform = (architecture: string): Platform =>
  normalizePlatform({ os: "linux", architecture, variant: "", osVersion: "", osFeatures: [] });

/** From an index's or a config's fields. Not yet normalised: a message should show what the image says. */
export const platformFromSpec = (spec: SpecPlatform): Platform => ({
  os: spec.os,
  architecture: spec.architecture,
  variant: spec.variant ?? "",
  osVersion: spec["os.version"] ?? "",
  osFeatures: spec["os.features"] ?? [],
});

const encodeOption = (value: string): string =>
  value.replace(/[%+()/]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
/** Undoes `encodeOption`, for ASCII only: versions and features have no other characters. Null where a `%` is malformed. */
const decodeOption = (value: string): string | null =>
  /%(?![0-7][0-9A-Fa-f])/.test(value)
    ? null
    : value.replace(/%([0-7][0-9A-Fa-f])/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));

/** `linux/arm64/v8`, `windows(10.0.17763+win32k)/amd64`; `unknown` where there is no os. */
export const formatPlatform = (platform: Platform): string => {
  if (platform.os === "") return "unknown";
  const options = [
    encodeOption(platform.osVersion),
    ...sortedUnique(platform.osFeatures)
      .filter((f) => f !== "")
      .map(encodeOption),
  ].join("+");
  return [options === "" ? platform.os : `${platform.os}(${options})`, platform.architecture, platform.variant]
    .filter((part) => part !== "")
    .join("/");
};

/**
 * Parses `--platform`. A lone operating system takes `host`'s architecture, a lone architecture `host`'s system.
 * @throws Fault E_USAGE, which names the malformed part.
 */
export const parsePlatform = (specifier: string, host: Platform): Platform => {
  const bad = (what: string): Fault =>
    new Fault("E_USAGE", {
      message: `invalid platform "${specifier}": ${what}`,
      hint: "write os/architecture[/variant], e.g. linux/amd64 or linux/arm64/v8",
    });
  const parts = specifier.split("/");
  const [first = "", architecture, variant] = parts;
  if (parts.length > 3) throw bad(`it has ${parts.length} parts, at most 3 are allowed`);
  if (specifier.includes("*")) throw bad("wildcards are not supported");
  const match = /^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?$/.exec(first);
  if (match === null) throw bad(first === "" ? "the operating system is missing" : `"${first}" is not an operating system or architecture`);
  for (const part of parts.slice(1)) {
    if (!/^[A-Za-z0-9_.-]+$/.test(part))
      throw bad(part === "" ? "a part is empty" : `"${part}" has characters other than letters, digits, _, . and -`);
  }
  const decode = (text: string): string => {
    const decoded = decodeOption(text);
    if (decoded === null) throw bad(`"${text}" has a malformed %-escape`);
    return decoded;
  };
  const os = normalizeOs(match[1] ?? "");
  const osVersion = decode(match[2] ?? "");
  const osFeatures = sortedUnique((match[3] ?? "").split("+").slice(1).map(decode));
  if (architecture !== undefined) {
    const normal = normalizeArchitecture(architecture, variant ?? "");
    // What was left out stays out, and what was written stays written: `linux/arm` and `linux/arm64/v8` survive a round trip.
    const shown = variant === undefined && normal.architecture === "arm" && normal.variant === "v7" ? "" : normal.variant;
    return {
      os,
      osVersion,
      osFeatures,
      architecture: normal.architecture,
      variant: variant !== undefined && normal.architecture === "arm64" && shown === "" ? "v8" : shown,
    };
  }
  if (knownOs.has(os)) {
    if (os.startsWith("wasip")) return { os, osVersion, osFeatures, architecture: "wasm", variant: "" };
    return {
      os,
      osVersion,
      osFeatures,
      architecture: host.architecture,
      variant: host.architecture === "arm" && host.variant !== "v7" ? host.variant : "",
    };
  }
  const normal = normalizeArchitecture(first, "");
  if (!knownArchitectures.has(normal.architecture)) throw bad(`"${first}" is neither a known operating system nor a known architecture`);
  return {
    os: normal.architecture.startsWith("wasm") ? "wasip1" : host.os,
    osVersion: "",
    osFeatures: [],
    architecture: normal.architecture,
    variant: normal.architecture === "arm" && normal.variant === "v7" ? "" : normal.variant,
  };
};

const armVariants = (from: number): readonly string[] => Array.from({ length: Math.max(0, from - 4) }, (_, i) => `v${from - i}`);

/** ARMv9.n includes v8.(n+5), up to v8.9, the last of its line (Arm ARM, "Armv9-A"). */
const arm64Variants = (variant: string): readonly string[] | null => {
  const match = /^v(8|9)(?:\.([0-9]))?$/.exec(variant);
  if (match === null) return null;
  const minor = Number(match[2] ?? 0);
  if (match[1] === "9" && minor > 7) return null;
  const down = (major: number, top: number): string[] =>
    Array.from({ length: top + 1 }, (_, i) => (top === i ? `v${major}` : `v${major}.${top - i}`));
  return match[1] === "8" ? down(8, minor) : [...down(9, minor), ...down(8, Math.min(minor + 5, 9))];
};

/** Every platform that a machine of this kind runs, best first (containerd's `platforms.Only`). Normalised. */
export const platformPreference = (machine: Platform): readonly Platform[] => {
  const best = normalizePlatform(machine);
  const as = (architecture: string, variant: string): Platform => normalizePlatform({ ...best, architecture, variant });
  switch (best.architecture) {
    case "amd64": {
      const level = /^v([0-9]+)$/.exec(best.variant)?.[1];
      const lower =
        level === undefined
          ? []
          : Array.from({ length: Math.max(0, Number(level) - 1) }, (_, i) => as("amd64", `v${Number(level) - 1 - i}`));
      return [best, ...lower, as("386", "")];
    }
    case "arm": {
      const level = /^v([0-9]+)$/.exec(best.variant)?.[1];
      return level === undefined || Number(level) <= 5 ? [best] : armVariants(Number(level)).map((v) => as("arm", v));
    }
    case "arm64": {
      const variants = arm64Variants(best.variant === "" ? "v8" : best.variant);
      // A variant that nobody knows says nothing about what else the machine runs.
      return variants === null ? [best] : [...variants.map((v) => as("arm64", v)), ...armVariants(8).map((v) => as("arm", v))];
    }
    default:
      return [best];
  }
};

/** Windows demands the same build, and accepts any revision of it: `10.0.17763.x` (Windows containers' version rule). */
const osVersionFits = (wanted: string, offered: string): boolean => {
  if (wanted === "" || offered === "") return true;
  const build = (version: string): string => version.split(".").slice(0, 3).join(".");
  return build(wanted) === build(offered);
};

const fits = (wanted: Platform, offered: Platform): boolean =>
  wanted.os === offered.os &&
  wanted.architecture === offered.architecture &&
  wanted.variant === offered.variant &&
  (wanted.os !== "windows" || osVersionFits(wanted.osVersion, offered.osVersion)) &&
  // win32k was long ignored by everyone, and so images are marked with it that need no match.
  offered.osFeatures.every((f) => wanted.osFeatures.includes(f) || (wanted.os === "windows" && f === "win32k"));

/** How well an image's platform suits a machine: 0 is best, null is not at all. */
export const platformRank = (machine: Platform, image: Platform): number | null => {
  const offered = normalizePlatform(image);
  const rank = platformPreference(machine).findIndex((wanted) => fits(wanted, offered));
  return rank < 0 ? null : rank;
};

/** True where a machine can run an image of this platform. */
export const platformMatches = (machine: Platform, image: Platform): boolean => platformRank(machine, image) !== null;

/** The parts of an index's descriptor that the choice looks at. */
export type PlatformDescriptor = {
  readonly digest: string;
  readonly platform?: SpecPlatform | null | undefined;
  readonly annotations?: Readonly<Record<string, string>> | null | undefined;
};

/** BuildKit puts provenance and SBOM manifests into an index as `unknown/unknown`, marked by this annotation: they are no images. */
export const isAttestation = (descriptor: PlatformDescriptor): boolean =>
  descriptor.annotations?.["vnd.docker.reference.type"] === "attestation-manifest" ||
  (descriptor.platform?.os === "unknown" && descriptor.platform?.architecture === "unknown");

/**
 * Chooses the manifest that suits `machine` best; the first wins among equals, then the one that uses more of the
 * host's features. A descriptor without platform fits any machine, but is the last resort (its config decides).
 * @throws Fault E_IMAGE where none fits: the message lists what the index offers.
 */
export const choosePlatform = <D extends PlatformDescriptor>(machine: Platform, descriptors: readonly D[], what = "the image"): D => {
  let best: { readonly descriptor: D; readonly rank: number; readonly features: number } | null = null;
  const images = descriptors.filter((d) => !isAttestation(d));
  for (const descriptor of images) {
    const platform = descriptor.platform ? platformFromSpec(descriptor.platform) : null;
    const rank = platform === null ? Number.MAX_SAFE_INTEGER : platformRank(machine, platform);
    if (rank === null) continue;
    const features = platform?.osFeatures.length ?? 0;
    if (best === null || rank < best.rank || (rank === best.rank && features > best.features)) best = { descriptor, rank, features };
  }
  if (best !== null) return best.descriptor;
  const offers = [...new Set(images.map((d) => (d.platform ? formatPlatform(platformFromSpec(d.platform)) : "(no platform)")))];
  throw new Fault("E_IMAGE", {
    message: `${what} has no manifest for ${formatPlatform(machine)}`,
    why: offers.length === 0 ? "its index lists no image" : `it offers ${offers.join(", ")}`,
    ...(offers.length === 0 ? {} : { hint: "choose one of these with --platform, where the machine can run it" }),
  });
};
