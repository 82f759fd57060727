import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseJson, stringifyJson } from "#core/json";
import { isDigest, isSupportedDigest, parseDigest } from "./digest.ts";
import {
  ImageConfigSchema,
  IndexSchema,
  LayoutSchema,
  ManifestSchema,
  MEDIA_TYPES,
  parseImageConfig,
  parseIndex,
  parseLayout,
  parseManifest,
} from "./image.ts";
import { parseDocument } from "./issues.ts";
import { compile, errorPointers, isAbsent, type Json } from "./test/data.ts";
import { fullImageConfig, fullIndex, fullLayout, fullManifest } from "./test/full.ts";
import { mutated } from "./test/mutate.ts";

const SCHEMAS = "image-spec";
const HEX = "0123456789abcdef".repeat(4);

test("documents with every member are valid, and nothing of them is lost", () => {
  assert.equal(parseIndex(stringifyJson(fullIndex)), { index: fullIndex, issues: [], notes: [] });
  assert.equal(parseManifest(stringifyJson(fullManifest)), { manifest: fullManifest, issues: [], notes: [] });
  assert.equal(parseImageConfig(stringifyJson(fullImageConfig)), { config: fullImageConfig, issues: [], notes: [] });
  assert.equal(parseLayout(stringifyJson(fullLayout)), { layout: fullLayout, issues: [], notes: [] });
});

test("Docker's schema 2 manifest and manifest list", () => {
  const descriptor = (mediaType: string) => ({ mediaType, size: 1, digest: `sha256:${HEX}` });
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.dockerManifest,
    config: descriptor(MEDIA_TYPES.dockerConfig),
    layers: [descriptor(MEDIA_TYPES.dockerLayerGzip)],
  };
  assert.equal(parseManifest(stringifyJson(manifest)).manifest, manifest);
  const platform = { architecture: "arm", os: "linux", variant: "v7", features: ["sse4"] };
  const list = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.dockerManifestList,
    manifests: [{ ...descriptor(MEDIA_TYPES.dockerManifest), platform }],
  };
  assert.equal(parseIndex(stringifyJson(list)).issues, []);
  assert.is(parseIndex(stringifyJson(list)).index?.manifests[0]?.platform?.variant, "v7");
});

test("an image of Docker's, with null for what is absent", () => {
  const config = {
    architecture: "amd64",
    os: "linux",
    config: { Env: null, Cmd: ["sh"], Labels: null, OnBuild: null, ExposedPorts: null },
    history: null,
    rootfs: { type: "layers", diff_ids: [`sha256:${HEX}`] },
  };
  assert.equal(parseImageConfig(stringifyJson(config)).issues, []);
});

type Row = readonly [
  title: string,
  parse: (text: string) => { issues: readonly { pointer: string; message: string; hint?: string }[] },
  document: object,
  at: string,
  message: RegExp,
];
const layer = fullManifest.layers[0];

const ISSUES: readonly Row[] = [
  ["an index that is a manifest too", parseIndex, { ...fullIndex, layers: [] }, "/layers", /either an index or a manifest/],
  ["a manifest that is an index too", parseManifest, { ...fullManifest, manifests: [] }, "/manifests", /either an index or a manifest/],
  [
    "another kind's media type",
    parseManifest,
    { ...fullManifest, mediaType: MEDIA_TYPES.ociIndex },
    "/mediaType",
    /media type of a manifest, found "application/,
  ],
  ["schema 1", parseManifest, { ...fullManifest, schemaVersion: 1 }, "/schemaVersion", /the number 2, found the number 1/],
  [
    "a short digest",
    parseManifest,
    { ...fullManifest, layers: [{ ...layer, digest: "sha256:ab" }] },
    "/layers/0/digest",
    /64 lower-case hexadecimal digits, found "sha256:ab"/,
  ],
  ["a negative size", parseManifest, { ...fullManifest, layers: [{ ...layer, size: -1 }] }, "/layers/0/size", /an integer from 0/],
  ["no config", parseManifest, { schemaVersion: 2, layers: [] }, "/config", /required and missing/],
  [
    "another root file system",
    parseImageConfig,
    { ...fullImageConfig, rootfs: { type: "disk", diff_ids: [] } },
    "/rootfs/type",
    /expected "layers", found "disk"/,
  ],
  ["another layout", parseLayout, { imageLayoutVersion: "2.0.0" }, "/imageLayoutVersion", /the version "1\.0\.0"/],
];

for (const [title, parse, document, at, message] of ISSUES) {
  test(`issue: ${title}`, () => {
    const { issues } = parse(stringifyJson(document));
    assert.equal(
      issues.map(({ pointer }) => pointer),
      [at],
    );
    assert.match(issues[0]?.message ?? "", message);
  });
}

test("a history that does not fit is only noted", () => {
  const { config, notes } = parseImageConfig(stringifyJson({ ...fullImageConfig, history: [{ created_by: "x" }] }));
  assert.ok(config !== null);
  assert.equal(notes, ["/history: tells of 1 layers, where rootfs has 2"]);
});

test("digests", () => {
  assert.equal(parseDigest(`sha256:${HEX}`), { algorithm: "sha256", encoded: HEX });
  assert.equal(parseDigest("multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8"), {
    algorithm: "multihash+base58",
    encoded: "QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8",
  });
  assert.ok(isDigest(`sha512:${HEX}${HEX}`));
  for (const bad of [
    "",
    "sha256",
    "sha256:",
    `sha256:${HEX.toUpperCase()}`,
    `sha256:${HEX}0`,
    `SHA256:${HEX}`,
    `sha512:${HEX}`,
    `sha256:${HEX}\n`,
    `sha256:${HEX}/../x`,
    "a..b:c",
    ":x",
  ]) {
    assert.is(parseDigest(bad), null, bad);
  }
  assert.ok(isSupportedDigest(`sha256:${HEX}`));
  assert.not(isSupportedDigest("unknown:x"));
  assert.not(isSupportedDigest("constructor:x"));
});

if (!isAbsent("image-spec schemas", SCHEMAS)) {
  const at = (document: Json, pointer: string): unknown =>
    pointer
      .split("/")
      .slice(1)
      .reduce((value: unknown, key) => (typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined), document);

  /** What we take and the specification's schema does not, and the other way round, with the reason. */
  const takesMore = (document: Json, pointer: string): boolean =>
    // Go's encoder writes null for an absent member.
    (at(document, pointer) === null && !/^\/(schemaVersion|architecture|os|rootfs|layers|manifests)$/.test(pointer)) ||
    // Scratch images have no layers: the specification says SHOULD, its schema says MUST.
    (pointer === "/layers" && stringifyJson(at(document, pointer)) === "[]") ||
    // Nothing here opens the URLs of foreign layers.
    /\/urls\/\d+$/.test(pointer);

  const takesLess = (document: Json, pointer: string): boolean => {
    const found = at(document, pointer);
    // A registered algorithm's digest has its length: descriptor.md, which the schema's pattern cannot say. diff_ids are digests (config.md).
    if (/\/(digest|diff_ids\/\d+)$/.test(pointer)) return typeof found === "string";
    // A size above 2^53 − 1 bytes is no blob's; below zero, the index's schema forgot to forbid it.
    if (pointer.endsWith("/size")) return typeof found === "bigint" || (typeof found === "number" && found < 0);
    // The members that the schema of the descriptor has, and the index's copy of it forgot; a manifest's platform is in descriptor.md.
    if (/\/(data|artifactType|platform)(\/|$)/.test(pointer)) return true;
    // Docker's own.
    return /^\/config\/(Shell|OnBuild|StopTimeout|Healthcheck)(\/|$)/.test(pointer);
  };

  const cases: readonly (readonly [
    main: string,
    schema: typeof IndexSchema | typeof ManifestSchema | typeof ImageConfigSchema | typeof LayoutSchema,
    full: Json,
  ])[] = [
    ["image-index-schema.json", IndexSchema, fullIndex],
    ["image-manifest-schema.json", ManifestSchema, fullManifest],
    ["config-schema.json", ImageConfigSchema, fullImageConfig],
    ["image-layout-schema.json", LayoutSchema, fullLayout],
  ];
  for (const [main, schema, full] of cases) {
    const validate = compile(SCHEMAS, main);
    test(`${main}: refuses and accepts what the specification's schema does, at the same places`, () => {
      assert.equal([...errorPointers(validate, full)], []);
      let refused = 0;
      fc.assert(
        fc.property(mutated([full]), (document) => {
          const theirs = errorPointers(validate, document);
          const ours = new Set(parseDocument(stringifyJson(document), schema).issues.map(({ pointer }) => pointer));
          if (theirs.size > 0) refused++;
          for (const pointer of theirs)
            assert.ok(ours.has(pointer) || takesMore(document, pointer), `only the specification's schema refuses ${pointer}`);
          for (const pointer of ours) assert.ok(theirs.has(pointer) || takesLess(document, pointer), `only ours refuses ${pointer}`);
        }),
        { numRuns: 1000 },
      );
      assert.ok(refused > 150, `${refused} documents were refused`);
    });
  }
}

test("never fails otherwise, whatever the document", () => {
  fc.assert(
    fc.property(mutated([fullIndex, fullManifest, fullImageConfig, fullLayout]), (document) => {
      for (const parse of [parseIndex, parseManifest, parseImageConfig, parseLayout]) {
        const text = stringifyJson(document);
        assert.equal(parseJson(text), document);
        for (const { line, message } of parse(text).issues)
          assert.ok(line !== undefined && !/something else|undefined|Invalid/.test(message), message);
      }
    }),
    { numRuns: 200 },
  );
});

test.run();
