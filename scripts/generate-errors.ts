/** Generates docs/errors.md from the table of failures. Run by `npm run generate`; CI fails on a diff. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Fault, type FaultClass, type FaultSpec, faults } from "#core/fault";
import { engineLine, renderFault } from "#core/render-fault";

/** Every class of the table, in the page's order. */
const classes: Readonly<Record<FaultClass, string>> = {
  invalid: "The input is wrong",
  "not-found": "Something is missing",
  exists: "Something is there already",
  state: "The container is in another state",
  denied: "A policy or a permission forbids it",
  unsupported: "This host or this version cannot do it",
  unavailable: "It may work later",
  executor: "The start failed",
  internal: "The installation or Coracle itself is at fault",
};

const entries: readonly (readonly [string, FaultSpec])[] = Object.entries(faults);
const section = ([code, { exit, phrase, doc }]: readonly [string, FaultSpec]): string =>
  `### ${code}\n\n${doc}\n\nExit status ${exit}; engines read “${phrase}”.\n`;

const example = new Fault("E_STEP", {
  message: "mount overlay on /: EPERM (operation not permitted)",
  errno: "EPERM",
  step: { index: 12, of: 31, side: "inside", op: "mount", origin: "/mounts/0" },
  why: "the upper directory is on NFS, which has no user.* xattrs",
  hint: "coracle run --snapshotter fuse-overlayfs …, or --storage DIR on a local disk",
});

const page = `# Errors

Generated from \`core/fault.ts\` by \`npm run generate\`. Do not edit.

Every failure has a code. \`coracle\` says what failed, which step of the plan, which line of config.json asked for it, why on
this host, and what to try; what is not known is left out:

\`\`\`
${renderFault(example)}
\`\`\`

\`coracle --log-format json\` writes the same as one object. \`coracle-oci\` writes one line for the engine above it, the
phrase that engines look for first; causes and remedies go into the log that \`--log\` names:

\`\`\`
${engineLine(example)}
\`\`\`

Exit statuses of \`coracle\` are docker's: 125 the container could not be started, 126 its program cannot be executed, 127 there
is no such program, 128 + *n* it was ended by signal *n*, else the program's own. \`coracle-oci\` exits with 1 whatever failed.

${Object.entries(classes)
  .map(([name, title]): readonly [string, string, readonly (readonly [string, FaultSpec])[]] => [
    name,
    title,
    entries.filter(([, spec]) => spec.class === name),
  ])
  .filter(([, , members]) => members.length > 0)
  .map(([name, title, members]) => `## ${title} (\`${name}\`)\n\n${members.map(section).join("\n")}`)
  .join("\n")}`;

writeFileSync(join(import.meta.dirname, "../docs/errors.md"), page);
