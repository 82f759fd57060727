/**
 * Image references: the text that a person types for an image, and the name that a registry knows it by.
 *
 *     reference  = name [ ":" tag ] [ "@" digest ]
 *     name       = [ domain "/" ] path
 *     domain     = host [ ":" port ]           host = dns labels | IPv4 | "[" IPv6 "]"
 *     path       = component { "/" component } component = [a-z0-9]+ { ( "." | "_" | "__" | "-"+ ) [a-z0-9]+ }
 *     tag        = [A-Za-z0-9_] [A-Za-z0-9_.-]{0,127}
 *     digest     = algorithm ":" hex{32,}
 *
 * The grammar is that of distribution/reference (the `reference` package of the CNCF Distribution project), and so is
 * the normalisation of familiar names: `busybox` is `docker.io/library/busybox`. Local transports come in front of it:
 * `oci:DIR[:tag]`, `oci-archive:FILE[:tag]`, `docker-archive:FILE[:reference]` (containers-transports(5)).
 */
import { Fault } from "#core/fault";

/** A registry's image. `domain` and `path` are normalised; at most one of `tag` and `digest` may be null after `withDefaultTag`. */
export type Named = {
  readonly kind: "registry";
  /** `docker.io`, `localhost:5000`, `[::1]:5000`. */
  readonly domain: string;
  /** `library/busybox`; at most 255 bytes. */
  readonly path: string;
  readonly tag: string | null;
  /** `sha256:…`, lower-case hexadecimal of the algorithm's length. */
  readonly digest: string | null;
};

/** An image that lies in a local directory or archive. */
export type Local = {
  readonly kind: "oci" | "oci-archive" | "docker-archive";
  readonly path: string;
  /** The tag (`org.opencontainers.image.ref.name`) for OCI, a whole reference for docker-archive; null: the only image there. */
  readonly name: string | null;
};

export type ImageSource = Named | Local;

const MAX_PATH = 255;
/** No valid reference is longer: domain names end at 253, then port, path, tag and digest. A regular expression sees no more. */
const MAX_TEXT = 4096;

const component = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const label = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
const domainText = `(?:${label}(?:\\.${label})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`;
const pathText = `${component}(?:/${component})*`;
const tagText = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}";
const digestText = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";
const referencePattern = new RegExp(`^((?:${domainText}/)?${pathText})(?::(${tagText}))?(?:@(${digestText}))?$`);
const namePattern = new RegExp(`^(?:(${domainText})/)?(${pathText})$`);
const domainPattern = new RegExp(`^${domainText}$`);
const componentPattern = new RegExp(`^${component}$`);
const tagPattern = new RegExp(`^${tagText}$`);
const identifierPattern = /^[a-f0-9]{64}$/;

/** Hexadecimal digits of the digest algorithms that the image specification registers (descriptor.md). */
const digestLengths: ReadonlyMap<string, number> = new Map([
  ["sha256", 64],
  ["sha384", 96],
  ["sha512", 128],
]);

const bad = (text: string, what: string, hint?: string): Fault =>
  new Fault("E_USAGE", {
    message: `invalid image reference "${text.length > 200 ? `${text.slice(0, 200)}…` : text}": ${what}`,
    ...(hint === undefined ? {} : { hint }),
  });

/** What is wrong with a digest, or null. Algorithms: sha256, sha384, sha512; the encoded part is lower-case (image-spec, descriptor.md). */
export const digestProblem = (digest: string): string | null => {
  const colon = digest.indexOf(":");
  if (colon < 1) return `the digest "${digest}" has no algorithm; write sha256:<64 hexadecimal digits>`;
  const algorithm = digest.slice(0, colon);
  const encoded = digest.slice(colon + 1);
  const length = digestLengths.get(algorithm);
  if (length === undefined) return `the digest algorithm "${algorithm}" is not supported (known: ${[...digestLengths.keys()].join(", ")})`;
  if (encoded.length !== length) return `a ${algorithm} digest has ${length} hexadecimal digits, this one ${encoded.length}`;
  if (!/^[a-f0-9]+$/.test(encoded)) return "a digest is written in lower-case hexadecimal digits";
  return null;
};

/** Names the first part of a malformed reference that breaks the grammar. Only called when the whole has failed to match. */
const explainMismatch = (text: string): { what: string; hint?: string } => {
  let rest = text;
  const at = rest.indexOf("@");
  if (at >= 0) {
    const digest = rest.slice(at + 1);
    if (!new RegExp(`^${digestText}$`).test(digest))
      return { what: `"${digest}" after "@" is not a digest`, hint: "write @sha256: and 64 hexadecimal digits" };
    rest = rest.slice(0, at);
  }
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(rest)?.[1];
  if (scheme !== undefined) return { what: `a reference has no URL scheme ("${scheme}://")`, hint: `leave out ${scheme}://` };
  const colon = rest.lastIndexOf(":");
  if (colon >= 0 && colon > rest.lastIndexOf("/") && !rest.endsWith("]")) {
    const tag = rest.slice(colon + 1);
    if (tag === "") return { what: 'the tag after ":" is empty', hint: 'name a tag, or leave the ":" out' };
    if (!tagPattern.test(tag)) {
      return tag.length > 128
        ? { what: `the tag has ${tag.length} characters, at most 128 are allowed` }
        : { what: `"${tag}" is not a tag`, hint: "a tag has letters, digits, _, . and -, and starts with a letter, a digit or _" };
    }
    rest = rest.slice(0, colon);
  }
  if (rest === "") return { what: "the repository name is missing" };
  const parts = rest.split("/");
  const first = parts[0] ?? "";
  const hasDomain = parts.length > 1 && (/[.:[\]]/.test(first) || first === "localhost" || first !== first.toLowerCase());
  if (hasDomain && !domainPattern.test(first)) return { what: `"${first}" is not a registry host with an optional port` };
  if (!hasDomain && first.startsWith("["))
    return { what: "a registry host alone is not an image", hint: `append the repository: ${first}/name` };
  for (const part of hasDomain ? parts.slice(1) : parts) {
    if (part === "") return { what: "a component of the repository name is empty", hint: 'remove the extra "/"' };
    if (componentPattern.test(part)) continue;
    if (componentPattern.test(part.toLowerCase()))
      return { what: `the repository name must be lower-case, and "${part}" is not`, hint: `did you mean ${part.toLowerCase()}?` };
    return {
      what: `"${part}" is not a component of a repository name`,
      hint: "components are lower-case letters and digits, joined by one . or by _, __ or dashes",
    };
  }
  return { what: "it does not follow [domain/]path[:tag][@digest]" };
};

const split = (text: string, original: string): { domain: string; path: string; tag: string | null; digest: string | null } => {
  if (text === "") throw bad(original, "it is empty");
  if (text.length > MAX_TEXT) throw bad(original, `it has ${text.length} characters, at most ${MAX_TEXT} are looked at`);
  const match = referencePattern.exec(text);
  if (match === null) {
    const { what, hint } = explainMismatch(original);
    throw bad(original, what, hint);
  }
  const name = namePattern.exec(match[1] ?? "");
  const path = name?.[2] ?? "";
  if (path.length > MAX_PATH) throw bad(original, `the repository name has ${path.length} characters, at most ${MAX_PATH} are allowed`);
  const digest = match[3] ?? null;
  const problem = digest === null ? null : digestProblem(digest);
  if (problem !== null) throw bad(original, problem);
  return { domain: name?.[1] ?? "", path, tag: match[2] ?? null, digest };
};

/**
 * Splits a reference as it stands, without normalising: `busybox` has the domain "" (distribution's `Parse`).
 * @throws Fault E_USAGE, which names the part that breaks the grammar.
 */
export const parseReference = (text: string): Named => ({ kind: "registry", ...split(text, text) });

/**
 * Parses what a person types, and completes it as Docker does: no domain means docker.io, no namespace there means
 * `library/` (distribution's `ParseNormalizedNamed`). The tag is not defaulted: see `withDefaultTag`.
 * @throws Fault E_USAGE, which names the part that breaks the grammar.
 */
export const parseNormalized = (text: string): Named => {
  if (identifierPattern.test(text)) {
    throw bad(text, "64 hexadecimal digits are an image id, not a repository name", `for an image by digest write name@sha256:${text}`);
  }
  const slash = text.indexOf("/");
  const first = slash < 0 ? "" : text.slice(0, slash);
  let domain = "docker.io";
  let rest = text;
  if (first === "index.docker.io") rest = text.slice(slash + 1);
  else if (first === "localhost" || /[.:]/.test(first) || first !== first.toLowerCase()) {
    domain = first;
    rest = text.slice(slash + 1);
  }
  if (domain === "docker.io" && !rest.includes("/")) rest = `library/${rest}`;
  return { kind: "registry", ...split(text === "" ? "" : `${domain}/${rest}`, text) };
};

/** Adds the tag `latest` to a reference with neither tag nor digest. */
export const withDefaultTag = (reference: Named): Named =>
  reference.tag === null && reference.digest === null ? { ...reference, tag: "latest" } : reference;

/** `domain/path` without tag and digest. */
export const repositoryName = (reference: Named): string =>
  reference.domain === "" ? reference.path : `${reference.domain}/${reference.path}`;

const suffix = (reference: Named): string =>
  (reference.tag === null ? "" : `:${reference.tag}`) + (reference.digest === null ? "" : `@${reference.digest}`);

/** The canonical text: `docker.io/library/busybox:latest`. Parses back to the same reference. */
export const formatReference = (reference: Named): string => repositoryName(reference) + suffix(reference);

/** The short text that Docker shows: docker.io and its `library/` are left out. */
export const formatFamiliar = (reference: Named): string => {
  if (reference.domain !== "docker.io") return formatReference(reference);
  const official = /^library\/([^/]+)$/.exec(reference.path)?.[1];
  return (official ?? reference.path) + suffix(reference);
};

/**
 * The host to speak to, which differs from the name for Docker Hub alone: images of docker.io are served by
 * registry-1.docker.io.
 */
export const registryHost = (reference: Named): string => (reference.domain === "docker.io" ? "registry-1.docker.io" : reference.domain);

const parseLocal = (kind: Local["kind"], text: string, rest: string): Local => {
  // A colon ends the path, so a path with a colon cannot be named; skopeo and podman have the same rule.
  const colon = rest.indexOf(":");
  const path = colon < 0 ? rest : rest.slice(0, colon);
  const name = colon < 0 ? null : rest.slice(colon + 1);
  if (path === "") throw bad(text, `the path after "${kind}:" is missing`, `write ${kind}:${kind === "oci" ? "DIR" : "FILE"}[:tag]`);
  if (path.includes("\0")) throw bad(text, "the path contains a NUL character");
  if (name === "") throw bad(text, 'the name after the second ":" is empty', 'leave the ":" out to take the only image there');
  if (name !== null && kind === "docker-archive") return { kind, path, name: formatReference(withDefaultTag(parseNormalized(name))) };
  // org.opencontainers.image.ref.name, image-spec annotations.md: alphanumerics joined by one of -._:@/+ or by "--".
  if (name !== null && !/^[A-Za-z0-9]+(?:(?:[-._:@/+]|--)[A-Za-z0-9]+)*$/.test(name)) {
    throw bad(text, `"${name}" is not a name for an image in an OCI layout`, "letters and digits, joined by one of - . _ : @ / +");
  }
  return { kind, path, name };
};

/**
 * Parses an image argument: a local transport, or a registry reference with `latest` for its missing tag. A registry
 * named `oci` with a numeric port (`oci:5000/x`) can be written `docker://oci:5000/x`.
 * @throws Fault E_USAGE, which names the part that is wrong.
 */
export const parseImageSource = (text: string): ImageSource => {
  const transport = /^(oci|oci-archive|docker-archive):/.exec(text)?.[1];
  if (transport === "oci" || transport === "oci-archive" || transport === "docker-archive") {
    return parseLocal(transport, text, text.slice(transport.length + 1));
  }
  return withDefaultTag(parseNormalized(text.startsWith("docker://") ? text.slice("docker://".length) : text));
};

/** The text that `parseImageSource` reads back to the same value. */
export const formatImageSource = (source: ImageSource): string =>
  source.kind === "registry" ? formatReference(source) : `${source.kind}:${source.path}${source.name === null ? "" : `:${source.name}`}`;
