/**
 * UTF-8 without the host's TextEncoder, which QuickJS lacks. Both directions follow the WHATWG Encoding standard:
 * what cannot be represented becomes U+FFFD, and a byte order mark is kept, so that a parser can name it.
 */

const REPLACEMENT = 0xfffd;

const isHighSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff;
const isLowSurrogate = (unit: number): boolean => unit >= 0xdc00 && unit <= 0xdfff;

/** The UTF-8 bytes of a string; a lone surrogate becomes U+FFFD. */
export const encodeUtf8 = (text: string): Uint8Array => {
  // One UTF-16 unit takes at most three bytes (a pair takes four).
  const bytes = new Uint8Array(text.length * 3);
  let at = 0;
  for (let i = 0; i < text.length; i++) {
    let code = text.charCodeAt(i);
    if (code < 0x80) {
      bytes[at++] = code;
      continue;
    }
    if (code < 0x800) {
      bytes[at++] = 0xc0 | (code >> 6);
      bytes[at++] = 0x80 | (code & 0x3f);
      continue;
    }
    if (isHighSurrogate(code) && isLowSurrogate(text.charCodeAt(i + 1))) {
      code = 0x10000 + ((code - 0xd800) << 10) + (text.charCodeAt(++i) - 0xdc00);
      bytes[at++] = 0xf0 | (code >> 18);
      bytes[at++] = 0x80 | ((code >> 12) & 0x3f);
    } else {
      if (isHighSurrogate(code) || isLowSurrogate(code)) code = REPLACEMENT;
      bytes[at++] = 0xe0 | (code >> 12);
    }
    bytes[at++] = 0x80 | ((code >> 6) & 0x3f);
    bytes[at++] = 0x80 | (code & 0x3f);
  }
  return bytes.slice(0, at);
};

/** How a lead byte goes on: continuation bytes, and the range of the first of them (which rules out overlong forms, surrogates and what lies above U+10FFFF). */
const lead = (byte: number): { more: number; low: number; high: number } | null => {
  if (byte >= 0xc2 && byte <= 0xdf) return { more: 1, low: 0x80, high: 0xbf };
  if (byte >= 0xe0 && byte <= 0xef) return { more: 2, low: byte === 0xe0 ? 0xa0 : 0x80, high: byte === 0xed ? 0x9f : 0xbf };
  if (byte >= 0xf0 && byte <= 0xf4) return { more: 3, low: byte === 0xf0 ? 0x90 : 0x80, high: byte === 0xf4 ? 0x8f : 0xbf };
  return null;
};

/** The string that UTF-8 bytes stand for; each maximal part of an ill-formed sequence becomes one U+FFFD. */
export const decodeUtf8 = (bytes: Uint8Array): string => {
  let text = "";
  let units: number[] = [];
  for (let i = 0; i < bytes.length; ) {
    if (units.length >= 4096) {
      text += String.fromCharCode(...units);
      units = [];
    }
    const first = bytes[i++] ?? 0;
    if (first < 0x80) {
      units.push(first);
      continue;
    }
    const form = lead(first);
    if (form === null) {
      units.push(REPLACEMENT);
      continue;
    }
    let { more, low, high } = form;
    let code = first & (0x3f >> more);
    for (; more > 0; more--) {
      const next = bytes[i] ?? 0;
      if (next < low || next > high) break;
      code = (code << 6) | (next & 0x3f);
      [low, high] = [0x80, 0xbf];
      i++;
    }
    if (more > 0) units.push(REPLACEMENT);
    else if (code < 0x10000) units.push(code);
    else units.push(0xd800 + ((code - 0x10000) >> 10), 0xdc00 + ((code - 0x10000) & 0x3ff));
  }
  return text + String.fromCharCode(...units);
};
