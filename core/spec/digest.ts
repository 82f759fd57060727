/** Digests of content: `algorithm:encoded` (image-spec, descriptor.md#digests). */

/** The algorithms that the specification registers, and the length of their lower-case hexadecimal. */
const HEX_LENGTH: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };

/** The grammar of any digest, registered or not. */
const DIGEST = /^([a-z0-9]+(?:[+._-][a-z0-9]+)*):([a-zA-Z0-9=_-]+)$/;

export type Digest = { readonly algorithm: string; readonly encoded: string };

/** The two parts of a digest; `null` where the text is not one, or a registered algorithm's part is not its hexadecimal. Unknown algorithms pass: a descriptor that nobody fetches may have one. */
export const parseDigest = (text: string): Digest | null => {
  const [, algorithm, encoded] = DIGEST.exec(text) ?? [];
  if (algorithm === undefined || encoded === undefined) return null;
  if (Object.hasOwn(HEX_LENGTH, algorithm) && !(encoded.length === HEX_LENGTH[algorithm] && /^[a-f0-9]+$/.test(encoded))) return null;
  return { algorithm, encoded };
};

export const isDigest = (text: string): boolean => parseDigest(text) !== null;

/** Whether content of this digest can be verified here. */
export const isSupportedDigest = (text: string): boolean => {
  const digest = parseDigest(text);
  return digest !== null && (digest.algorithm === "sha256" || digest.algorithm === "sha512");
};
