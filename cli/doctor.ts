/** `coracle doctor`: what this host can and cannot do, why, and the remedy. */
import { buildDoctor, renderDoctor } from "#core/doctor";
import type { Facts } from "#core/facts";
import { Fault } from "#core/fault";
import { type Flag, flagOn, flagText, formatHelp, parseFlags } from "#core/flags";

export const doctorFlags: readonly Flag[] = [
  { name: "help", kind: "switch", help: "Show this help, and exit" },
  { name: "json", kind: "switch", help: "Write the report as one JSON document" },
  { name: "facts-only", kind: "switch", help: "Write the facts themselves as JSON, for --facts or a bug report" },
  { name: "facts", kind: "text", value: "FILE", help: "Report on another host, from a file of its facts" },
  { name: "storage", kind: "text", value: "DIR", help: "Examine DIR as the place of images and layers" },
  { name: "root", kind: "text", value: "DIR", help: "Examine DIR as the place of containers' state" },
  { name: "color", kind: "switch", help: "Colour the text" },
];

/** Where facts come from: this host's prober, or a file. */
export type Prober = {
  readonly readFacts: (options: { readonly dataDir?: string; readonly runtimeDir?: string }) => Facts;
  readonly readFactsFile: (path: string) => Facts;
};

/**
 * Prints the report, and answers 0 where a container can run here, else 1.
 * @throws Fault E_USAGE on a wrong command line, E_FACTS and E_NATIVE_MISSING as `readFacts` does.
 */
export function doctor(args: readonly string[], host: Prober): number {
  const { values, rest } = parseFlags(doctorFlags, args, { command: "coracle doctor", interspersed: true });
  if (rest.length > 0)
    throw new Fault("E_USAGE", { message: `coracle doctor takes no argument: ${rest[0]}`, hint: "coracle doctor --help" });
  if (flagOn(values, "help")) {
    process.stdout.write(
      `Usage: coracle doctor [FLAGS]\n\nSays what this host can and cannot do, why, and the remedy.\n\n${formatHelp(doctorFlags)}`,
    );
    return 0;
  }
  const [file, dataDir, runtimeDir] = [flagText(values, "facts"), flagText(values, "storage"), flagText(values, "root")];
  const options = { ...(dataDir === null ? {} : { dataDir }), ...(runtimeDir === null ? {} : { runtimeDir }) };
  const facts = file === null ? host.readFacts(options) : host.readFactsFile(file);
  const report = buildDoctor(facts);
  const { columns } = process.stdout; // undefined where it is no terminal
  process.stdout.write(
    flagOn(values, "facts-only")
      ? `${JSON.stringify(facts, null, 2)}\n`
      : flagOn(values, "json")
        ? `${JSON.stringify(report, null, 2)}\n`
        : renderDoctor(report, { colour: flagOn(values, "color"), width: Math.min(columns ?? 100, 100) }),
  );
  return report.runs ? 0 : 1;
}
