/** The cases of distribution/reference's own tests, as facts, in our layout; and properties of the round trip. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Fault } from "#core/fault";
import {
  digestProblem,
  formatFamiliar,
  formatImageSource,
  formatReference,
  parseImageSource,
  parseNormalized,
  parseReference,
  registryHost,
  repositoryName,
  withDefaultTag,
} from "./reference.ts";

const f64 = "f".repeat(64);
const sha = `sha256:${f64}`;

const refusal = (parse: (text: string) => unknown, text: string): string => {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof Fault && error.code === "E_USAGE") return error.message;
    throw error;
  }
  throw new Error(`accepted: ${text}`);
};

// text: [domain, path, tag, digest]
const raw: Readonly<Record<string, readonly [string, string, string | null, string | null]>> = {
  test_com: ["", "test_com", null, null],
  "test.com:tag": ["", "test.com", "tag", null],
  "test.com:5000": ["", "test.com", "5000", null],
  "test.com/repo:tag": ["test.com", "repo", "tag", null],
  "test:5000/repo": ["test:5000", "repo", null, null],
  "test:5000/repo:tag": ["test:5000", "repo", "tag", null],
  [`test:5000/repo@${sha}`]: ["test:5000", "repo", null, sha],
  [`test:5000/repo:tag@${sha}`]: ["test:5000", "repo", "tag", sha],
  "lowercase:Uppercase": ["", "lowercase", "Uppercase", null],
  "Uppercase/lowercase:tag": ["Uppercase", "lowercase", "tag", null],
  [`${"a/".repeat(127)}a:tag-puts-this-over-max`]: ["a", `${"a/".repeat(126)}a`, "tag-puts-this-over-max", null],
  "sub-dom1.foo.com/bar/baz/quux": ["sub-dom1.foo.com", "bar/baz/quux", null, null],
  "sub-dom1.foo.com/bar/baz/quux:some-long-tag": ["sub-dom1.foo.com", "bar/baz/quux", "some-long-tag", null],
  "b.gcr.io/test.example.com/my-app:test.example.com": ["b.gcr.io", "test.example.com/my-app", "test.example.com", null],
  "xn--n3h.com/myimage:xn--n3h.com": ["xn--n3h.com", "myimage", "xn--n3h.com", null],
  [`xn--7o8h.com/myimage:xn--7o8h.com@${sha}`]: ["xn--7o8h.com", "myimage", "xn--7o8h.com", sha],
  "foo_bar.com:8080": ["", "foo_bar.com", "8080", null],
  "foo/foo_bar.com:8080": ["foo", "foo_bar.com", "8080", null],
  "192.168.1.1": ["", "192.168.1.1", null, null],
  "192.168.1.1:tag": ["", "192.168.1.1", "tag", null],
  "192.168.1.1:5000": ["", "192.168.1.1", "5000", null],
  "192.168.1.1/repo": ["192.168.1.1", "repo", null, null],
  "192.168.1.1:5000/repo": ["192.168.1.1:5000", "repo", null, null],
  "192.168.1.1:5000/repo:5050": ["192.168.1.1:5000", "repo", "5050", null],
  "[2001:db8::1]/repo": ["[2001:db8::1]", "repo", null, null],
  "[2001:db8:1:2:3:4:5:6]/repo:tag": ["[2001:db8:1:2:3:4:5:6]", "repo", "tag", null],
  "[2001:db8::1]:5000/repo": ["[2001:db8::1]:5000", "repo", null, null],
  "[2001:db8::1]:5000/repo:tag": ["[2001:db8::1]:5000", "repo", "tag", null],
  [`[2001:db8::1]:5000/repo:tag@${sha}`]: ["[2001:db8::1]:5000", "repo", "tag", sha],
  "[2001:db8::]:5000/repo": ["[2001:db8::]:5000", "repo", null, null],
  "[::1]:5000/repo": ["[::1]:5000", "repo", null, null],
  [`example.com/${"a".repeat(255)}:tag`]: ["example.com", "a".repeat(255), "tag", null],
  "a/aa/a": ["a", "aa/a", null, null],
  "aa-a/a": ["aa-a", "a", null, null],
  "foo.com/xn--n3h": ["foo.com", "xn--n3h", null, null],
  "example.com/some_separator__underscore/myimage": ["example.com", "some_separator__underscore/myimage", null, null],
};

test("references as they stand", () => {
  for (const [text, [domain, path, tag, digest]] of Object.entries(raw)) {
    const parsed = parseReference(text);
    assert.equal(parsed, { kind: "registry", domain, path, tag, digest }, text);
    assert.is(formatReference(parsed), text);
  }
});

// What upstream refuses, with the words by which our refusal names the part.
const malformed: Readonly<Record<string, RegExp>> = {
  "": /empty/,
  ":justtag": /name is missing/,
  [`@${sha}`]: /name is missing/,
  "repo@sha256:ffffffffffffffffffffffffffffffffff": /64 hexadecimal digits, this one 34/,
  [`validname@invaliddigest:${"f".repeat(128)}`]: /algorithm "invaliddigest" is not supported/,
  [`repo@sha256:${"F".repeat(64)}`]: /lower-case/,
  "repo@sha256:xyz": /"sha256:xyz" after "@" is not a digest/,
  "Uppercase:tag": /lower-case, and "Uppercase"/,
  "test:5000/Uppercase/lowercase:tag": /lower-case, and "Uppercase"/,
  [`domain/${"a".repeat(256)}:tag`]: /256 characters, at most 255/,
  "aa/asdf$$^/aa": /"asdf\$\$\^" is not a component/,
  "[2001:db8::1]": /host/,
  "[2001:db8::1]:5000": /host/,
  "[2001:db8::1]:tag": /host/,
  "[fe80::1%eth0]:5000/repo": /not a registry host/,
  "[fe80::1%@invalidzone]:5000/repo": /./,
  "foo.com:http/bar": /not a registry host/,
  "foo.com/": /empty/,
  "a//a/a": /empty/,
  "a/a/a/a/": /empty/,
  "____/____": /not a component/,
  "_docker/_docker": /not a component/,
  "docker_/docker_": /not a component/,
  "foo/bar-": /not a component/,
  "-foo/bar": /not a component/,
  "foo:": /tag after ":" is empty/,
  [`foo:${"a".repeat(129)}`]: /129 characters, at most 128/,
  "foo:-tag": /"-tag" is not a tag/,
  "foo:tag\n": /not a tag/,
  [`a${"-a".repeat(3000)}`]: /4096/,
};

test("refusals name the part", () => {
  for (const [text, words] of Object.entries(malformed)) assert.match(refusal(parseReference, text), words, text);
});

test("familiar names are completed", () => {
  // [what was typed, domain, path, familiar]
  const table: readonly (readonly [string, string, string, string])[] = [
    ["fooo", "docker.io", "library/fooo", "fooo"],
    ["localhost/fooo", "localhost", "fooo", "localhost/fooo"],
    ["localhost/fooo/bar", "localhost", "fooo/bar", "localhost/fooo/bar"],
    ["LOCALDOMAIN/fooo", "LOCALDOMAIN", "fooo", "LOCALDOMAIN/fooo"],
    ["fooo/bar", "docker.io", "fooo/bar", "fooo/bar"],
    ["index.docker.io/fooo/bar", "docker.io", "fooo/bar", "fooo/bar"],
    ["library/ubuntu", "docker.io", "library/ubuntu", "ubuntu"],
    ["index.docker.io/debian", "docker.io", "library/debian", "debian"],
    ["nonlibrary/ubuntu", "docker.io", "nonlibrary/ubuntu", "nonlibrary/ubuntu"],
    ["other/library", "docker.io", "other/library", "other/library"],
    ["127.0.0.1:8000/private/moonbase", "127.0.0.1:8000", "private/moonbase", "127.0.0.1:8000/private/moonbase"],
    ["example.com/privatebase", "example.com", "privatebase", "example.com/privatebase"],
    ["index.docker.io/ubuntu-12.04-base", "docker.io", "library/ubuntu-12.04-base", "ubuntu-12.04-base"],
    ["docker.io/foo", "docker.io", "library/foo", "foo"],
    ["library/foo/bar", "docker.io", "library/foo/bar", "library/foo/bar"],
    ["Foo/bar", "Foo", "bar", "Foo/bar"],
    ["192.168.0.1", "docker.io", "library/192.168.0.1", "192.168.0.1"],
    ["[fc00::1]:5000/docker", "[fc00::1]:5000", "docker", "[fc00::1]:5000/docker"],
    [`docker.io/${"1a3f5e7d".repeat(8)}`, "docker.io", `library/${"1a3f5e7d".repeat(8)}`, "1a3f5e7d".repeat(8)],
    ["docker---rules/docker", "docker.io", "docker---rules/docker", "docker---rules/docker"],
    ["dock__er/docker", "docker.io", "dock__er/docker", "dock__er/docker"],
    ["d/docker", "docker.io", "d/docker", "d/docker"],
  ];
  for (const [text, domain, path, familiar] of table) {
    const parsed = parseNormalized(text);
    assert.equal([parsed.domain, parsed.path, formatFamiliar(parsed)], [domain, path, familiar], text);
    assert.is(repositoryName(parsed), `${domain}/${path}`);
  }
  const both = parseNormalized(`busybox:latest@${sha}`);
  assert.is(formatReference(both), `docker.io/library/busybox:latest@${sha}`);
  assert.is(formatFamiliar(both), `busybox:latest@${sha}`);
});

test("familiar names that are refused", () => {
  for (const text of [
    "https://github.com/docker/docker",
    "docker/Docker",
    "-docker",
    "-docker/docker",
    "-docker.io/docker/docker",
    "docker///docker",
    "docker.io/docker/Docker",
    "[fc00::1]",
    "[fc00::1]:5000",
    "fc00::1:5000/debian",
    "[2001:db8:3:4::192.0.2.33]:5000/debian",
    "1a3f5e7d".repeat(8),
    "docker-/docker",
    "dock..er/docker",
    "dock_.er/docker",
    "dock-.er/docker",
    "docker/",
    `${"this_is_too_long_".repeat(16)}x/docker`,
    " busybox",
    "busybox ",
  ]) {
    refusal(parseNormalized, text);
  }
  assert.match(refusal(parseNormalized, "https://ghcr.io/a/b"), /no URL scheme/);
  assert.match(refusal(parseNormalized, "1a3f5e7d".repeat(8)), /image id/);
});

test("the default tag stands in for a missing tag only", () => {
  assert.is(formatReference(withDefaultTag(parseNormalized("busybox"))), "docker.io/library/busybox:latest");
  assert.is(formatReference(withDefaultTag(parseNormalized(`busybox@${sha}`))), `docker.io/library/busybox@${sha}`);
});

test("digests", () => {
  assert.is(digestProblem(sha), null);
  assert.is(digestProblem(`sha512:${"a".repeat(128)}`), null);
  assert.is(digestProblem(`sha384:${"a".repeat(96)}`), null);
  for (const bad of ["", ":abc", "sha256", "sha256:", `md5:${"a".repeat(32)}`, `sha256:${"g".repeat(64)}`, `sha256:${"a".repeat(63)}`]) {
    assert.type(digestProblem(bad), "string", bad);
  }
});

test("Docker Hub is spoken to under another name", () => {
  assert.is(registryHost(parseNormalized("busybox")), "registry-1.docker.io");
  assert.is(registryHost(parseNormalized("ghcr.io/a/b")), "ghcr.io");
});

test("transports", () => {
  assert.equal(parseImageSource("oci:dir"), { kind: "oci", path: "dir", name: null });
  assert.equal(parseImageSource("oci:/a/b:v1.2"), { kind: "oci", path: "/a/b", name: "v1.2" });
  assert.equal(parseImageSource("oci:dir:docker.io/library/x:1"), { kind: "oci", path: "dir", name: "docker.io/library/x:1" });
  assert.equal(parseImageSource("oci-archive:x.tar:a"), { kind: "oci-archive", path: "x.tar", name: "a" });
  assert.equal(parseImageSource("docker-archive:x.tar:busybox"), {
    kind: "docker-archive",
    path: "x.tar",
    name: "docker.io/library/busybox:latest",
  });
  assert.is(formatImageSource(parseImageSource("hello")), "docker.io/library/hello:latest");
  assert.is(formatImageSource(parseImageSource("docker://oci:5000/x")), "oci:5000/x:latest");
  assert.match(refusal(parseImageSource, "oci:"), /path after "oci:" is missing/);
  assert.match(refusal(parseImageSource, "oci::tag"), /path after "oci:" is missing/);
  assert.match(refusal(parseImageSource, "oci:dir:"), /name after the second ":" is empty/);
  assert.match(refusal(parseImageSource, "oci:dir:a b"), /not a name/);
  assert.match(refusal(parseImageSource, "docker-archive:x.tar:A/B:"), /tag/);
});

const chars = (set: string, min: number, max: number) =>
  fc.array(fc.constantFrom(...set), { minLength: min, maxLength: max }).map((a) => a.join(""));
const lower = "abcz019";
const componentArb = fc
  .tuple(chars(lower, 1, 6), fc.array(fc.tuple(fc.constantFrom(".", "_", "__", "-", "---"), chars(lower, 1, 4)), { maxLength: 3 }))
  .map(([a, b]) => a + b.flat().join(""));
const pathArb = fc.array(componentArb, { minLength: 1, maxLength: 4 }).map((c) => c.join("/"));
const domainArb = fc
  .tuple(fc.constantFrom("a.b", "localhost", "Host.example", "[::1]", "10.0.0.1", "x-y.z"), fc.option(fc.nat({ max: 65535 })))
  .map(([h, p]) => (p === null ? h : `${h}:${p}`));
const tagArb = fc.option(fc.tuple(chars("aZ0_", 1, 1), chars("aZ0_.-", 0, 10)).map((t) => t.join("")));
const digestArb = fc.option(chars("0123456789abcdef", 64, 64).map((h) => `sha256:${h}`));

test("property: what is built by the grammar parses into its parts, and back", () => {
  fc.assert(
    fc.property(domainArb, pathArb, tagArb, digestArb, (domain, path, tag, digest) => {
      const text = `${domain}/${path}${tag === null ? "" : `:${tag}`}${digest === null ? "" : `@${digest}`}`;
      assert.equal(parseReference(text), { kind: "registry", domain, path, tag, digest });
      const parsed = parseNormalized(text);
      assert.is(formatReference(parsed), text);
      assert.equal(parseNormalized(formatFamiliar(parsed)), parsed);
    }),
  );
});

test("property: familiar names survive a round trip; a local name keeps its parts", () => {
  fc.assert(
    fc.property(pathArb, tagArb, (path, tag) => {
      fc.pre(!/^[a-f0-9]{64}$/.test(path));
      const text = path + (tag === null ? "" : `:${tag}`);
      const parsed = parseNormalized(text);
      assert.equal(parseNormalized(formatReference(parsed)), parsed);
      assert.equal(parseNormalized(formatFamiliar(parsed)), parsed);
    }),
  );
});

test("property: any text is parsed or refused with E_USAGE, and what parses is stable", () => {
  const noise = fc.oneof(fc.string(), chars("a/:.@[]-_A0", 0, 20), fc.string({ unit: "binary" }));
  fc.assert(
    fc.property(noise, (text) => {
      let parsed: ReturnType<typeof parseImageSource>;
      try {
        parsed = parseImageSource(text);
      } catch (error) {
        assert.instance(error, Fault);
        return;
      }
      assert.equal(
        parseImageSource(parsed.kind === "registry" ? `docker://${formatImageSource(parsed)}` : formatImageSource(parsed)),
        parsed,
      );
    }),
    { numRuns: 1000 },
  );
});

test.run();
