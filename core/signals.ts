/** Signals by name (signal(7)); the numbers of x86, arm, riscv and most others. */
import { Fault } from "./fault.ts";

const names =
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS".split(
    " ",
  );
const others: Readonly<Record<string, number>> = { IOT: 6, POLL: 29, CLD: 17 };
// glibc's and musl's first real-time signal; the two below it are the C library's own.
const RTMIN = 34;
const RTMAX = 64;

/** `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3` → the number; 0 is the test for existence. @throws Fault E_USAGE. */
export const signalNumber = (given: string): number => {
  const name = given.toUpperCase().replace(/^SIG/, "");
  if (/^[0-9]{1,2}$/.test(name) && Number(name) <= RTMAX) return Number(name);
  const known = names.indexOf(name);
  if (known >= 0) return known + 1;
  const other = others[name];
  if (other !== undefined) return other;
  const realtime = /^RT(MIN|MAX)(?:([+-])([0-9]+))?$/.exec(name);
  const number = realtime === null ? -1 : (realtime[1] === "MIN" ? RTMIN : RTMAX) + Number(`${realtime[2] ?? ""}${realtime[3] ?? 0}`);
  if (number >= RTMIN && number <= RTMAX) return number;
  throw new Fault("E_USAGE", {
    message: `${JSON.stringify(given)} is no signal`,
    hint: "write a name such as SIGTERM, or a number from 0 to 64",
  });
};
