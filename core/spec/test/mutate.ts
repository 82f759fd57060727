/** Documents with a few values replaced, removed or added: what the schemas are compared on. */
import fc from "fast-check";
import type { Json } from "./data.ts";

const words = [
  "",
  "x",
  "/abs",
  "SCMP_ACT_ALLOW",
  "SCHED_FIFO",
  "RLIMIT_CPU",
  "RLIMIT_cpu",
  "64kB",
  "1GB",
  "mount",
  "MB:1",
  "0-3",
  "0;",
  "c",
  "cc",
  "layers",
  "2",
  "a/b",
  "application/",
];

/** 2^53 and 2^64 and their like: the limits of the specification's integer types, on both sides. */
const integers: Json[] = [
  -1, 0, 1, 2, 7, 511, 512, 65535, 65536, 2147483647, 2147483648, -2147483648, -2147483649, 4294967295, 4294967296, 9007199254740991, 1.5,
  -0.5,
];
const wide: Json[] = [
  9007199254740993n,
  9223372036854775807n,
  -9223372036854775808n,
  18446744073709551615n,
  36893488147419103232n,
  -36893488147419103232n,
];

const leaf: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>(null, true, false),
  fc.constantFrom(...integers),
  fc.constantFrom(...wide),
  fc.constantFrom(...words),
);
const value: fc.Arbitrary<Json> = fc.oneof(
  { weight: 4, arbitrary: leaf },
  { weight: 1, arbitrary: fc.array(leaf, { maxLength: 2 }) },
  { weight: 1, arbitrary: fc.dictionary(fc.constantFrom("path", "type", "size", "x"), leaf, { maxKeys: 2, noNullPrototype: true }) },
);

type Mutation = { readonly where: number; readonly how: "replace" | "remove" | "add"; readonly value: Json };

const keysOf = (document: Json): (readonly string[])[] => {
  if (typeof document !== "object" || document === null) return [[]];
  return [[], ...Object.entries(document).flatMap(([key, child]) => keysOf(child).map((rest) => [key, ...rest]))];
};

const edit = (document: Json, keys: readonly string[], { how, value }: Mutation): Json => {
  const [key, ...rest] = keys;
  if (key === undefined) {
    if (how === "replace" || typeof document !== "object" || document === null) return value;
    return Array.isArray(document) ? [...document, value] : { ...document, unknown: value };
  }
  const remove = how === "remove" && rest.length === 0;
  if (Array.isArray(document))
    return document.flatMap((child, i) => (String(i) !== key ? [child] : remove ? [] : [edit(child, rest, { where: 0, how, value })]));
  if (typeof document !== "object" || document === null) return document;
  return Object.fromEntries(
    Object.entries(document).flatMap(([name, child]) =>
      name !== key ? [[name, child]] : remove ? [] : [[name, edit(child, rest, { where: 0, how, value })]],
    ),
  );
};

/** One of the documents, with one to three mutations. */
export const mutated = (documents: readonly Json[]): fc.Arbitrary<Json> =>
  fc
    .tuple(
      fc.constantFrom(...documents),
      fc.array(fc.record({ where: fc.nat(), how: fc.constantFrom("replace", "replace", "remove", "add"), value }), {
        minLength: 1,
        maxLength: 3,
      }),
    )
    .map(([document, mutations]) =>
      mutations.reduce((current, mutation) => {
        const places = keysOf(current);
        return edit(current, places[mutation.where % places.length] ?? [], mutation);
      }, document),
    );
