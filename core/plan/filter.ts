/** linux.seccomp of config.json → the filter that a plan carries. */

import type { Facts } from "#core/facts";
import { Fault } from "#core/fault";
import { compileSeccomp } from "#core/seccomp/compile";
import type { Config } from "#core/spec/config";
import type { Filter } from "./payload.ts";

/**
 * The filter of a config; null where it has none.
 * @param note takes what the user should know: a rule that this kernel or architecture makes void.
 * @throws Fault E_CONFIG where the policy cannot be compiled; E_UNSUPPORTED where this kernel or version cannot enforce it.
 */
export const buildFilter = (config: Config, facts: Facts, note: (text: string) => void): Filter => {
  const policy = config.linux?.seccomp;
  if (policy === undefined) return null;
  if (!facts.seccomp.filter)
    throw new Fault("E_UNSUPPORTED", {
      message: "this kernel has no seccomp filters",
      issues: [{ pointer: "/linux/seccomp", message: "cannot be enforced here" }],
      hint: "leave linux.seccomp out, and know that no system call is then refused",
    });
  const compiled = compileSeccomp(policy, { arch: facts.arch, kernel: facts.kernel });
  if ("issues" in compiled) throw new Fault("E_CONFIG", { message: "the seccomp policy cannot be compiled", issues: compiled.issues });
  if (compiled.listener)
    throw new Fault("E_UNSUPPORTED", {
      message: "seccomp notification is not supported yet",
      issues: [{ pointer: "/linux/seccomp", message: "has SCMP_ACT_NOTIFY" }],
      hint: "use another action",
    });
  for (const text of compiled.notes) note(text);
  return { filter: compiled.filter, flags: compiled.flags };
};
