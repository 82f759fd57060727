/** The specifications' own schemas and fixtures, outside of the repository, and their compilation with ajv. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Ajv, type ValidateFunction } from "ajv";
import formats from "ajv-formats";

export const DATA = process.env["CORACLE_DATA"] ?? resolve(import.meta.dirname, "../../../../shared/data");

export type Json = null | boolean | number | bigint | string | Json[] | { [key: string]: Json };

/** Prints the reason and answers true where a folder of the shared data is absent. */
export const isAbsent = (suite: string, folder: string): boolean => {
  const path = join(DATA, folder);
  if (existsSync(path)) return false;
  console.log(`skip: ${suite}: ${path} is absent (set CORACLE_DATA)`);
  return true;
};

export const readText = (path: string): string => readFileSync(join(DATA, path), "utf8");

export const list = (folder: string): string[] =>
  readdirSync(join(DATA, folder))
    .filter((name) => name.endsWith(".json"))
    .map((name) => join(folder, name));

/** Draft 4 says `id` where ajv's drafts say `$id`; references go by file name here, so both are dropped. */
const withoutIds = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(withoutIds);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, child]) => !((key === "id" || key === "$schema") && typeof child === "string"))
      .map(([key, child]) => [key, withoutIds(child)]),
  );
};

export const schemasOf = (folder: string): Map<string, object> =>
  new Map(list(folder).map((path) => [path.slice(folder.length + 1), Object(withoutIds(JSON.parse(readText(path))))]));

/** The validator of one schema of a folder, which reports all errors. */
export const compile = (folder: string, main: string): ValidateFunction => {
  const ajv = new Ajv({ strict: false, allErrors: true, verbose: true });
  formats.default(ajv);
  for (const [name, schema] of schemasOf(folder)) ajv.addSchema(schema, name);
  const validate = ajv.getSchema(main);
  if (validate === undefined) throw new Error(`no schema ${main}`);
  return validate;
};

/** What ajv can judge: bigints become doubles. */
export const asDoubles = (value: Json): unknown => {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(asDoubles);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, asDoubles(child)]));
};

/** The pointers of a validator's errors; a missing member is named itself, as in our issues. */
export const errorPointers = (validate: ValidateFunction, value: Json): Set<string> => {
  if (validate(asDoubles(value))) return new Set();
  const pointers = new Set<string>();
  for (const { instancePath, keyword, params } of validate.errors ?? []) {
    if (keyword === "required") pointers.add(`${instancePath}/${params["missingProperty"]}`);
    // The verdict of a combination is the sum of its parts, which stand beside it; "or null" is none of its own.
    else if (keyword !== "anyOf" && keyword !== "oneOf" && params["type"] !== "null") pointers.add(instancePath);
  }
  return pointers;
};
