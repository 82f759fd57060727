/** A fault as a person reads it, as a program reads it, and as an engine reads it. */
import { errnoText } from "./errno.ts";
import { type Fault, faults, type Issue } from "./fault.ts";
import { stringifyJson } from "./json.ts";

const place = ({ line, column }: Issue): string =>
  line === undefined ? "" : ` (line ${line}${column === undefined ? "" : `, column ${column}`})`;
const origin = (text: string): string => (text.startsWith("/") ? `config.json#${text}` : text);

/**
 *     error E_STEP: mount overlay on /: EPERM (operation not permitted) from mount
 *       step 12 of 31, inside             from config.json#/mounts/0
 *       why:  …
 *       try:  …
 */
export const renderFault = (fault: Fault): string => {
  const { step } = fault;
  return [
    `error ${fault.code}: ${fault.message}`,
    ...(step === undefined
      ? []
      : [
          `  ${`step ${step.index} of ${step.of}, ${step.side}`.padEnd(34)}${step.origin === "" ? "" : `from ${origin(step.origin)}`}`.trimEnd(),
        ]),
    ...fault.issues.flatMap((issue) => [
      `  ${issue.pointer === "" ? "the document" : issue.pointer}${place(issue)}: ${issue.message}`,
      ...(issue.hint === undefined ? [] : [`      try: ${issue.hint}`]),
    ]),
    ...(fault.why === undefined ? [] : [`  why:  ${fault.why}`]),
    ...(fault.hint === undefined ? [] : [`  try:  ${fault.hint}`]),
    ...fault.suppressed.map((text) => `  also: ${String(text)}`),
  ].join("\n");
};

/** The same as one object. */
export const faultData = (fault: Fault): unknown => ({
  code: fault.code,
  class: faults[fault.code].class,
  message: fault.message,
  ...(fault.step === undefined ? {} : { step: fault.step }),
  ...(fault.errno === undefined ? {} : { errno: fault.errno }),
  ...(fault.issues.length === 0 ? {} : { issues: fault.issues }),
  ...(fault.why === undefined ? {} : { why: fault.why }),
  ...(fault.hint === undefined ? {} : { try: fault.hint }),
  ...(fault.suppressed.length === 0 ? {} : { suppressed: fault.suppressed.map(String) }),
});

/**
 * One line, the field's canonical phrase first: podman keeps the line that matches, containerd the last that is of level
 * error. What went wrong follows; causes and remedies are left to the log's other keys, for they may hold another phrase.
 */
export const engineLine = (fault: Fault): string => {
  const text = (fault.errno === undefined ? null : errnoText(fault.errno)) ?? faults[fault.code].phrase;
  const phrase = fault.code === "E_STEP" ? text : faults[fault.code].phrase;
  const issues = fault.issues.map((issue) => `${issue.pointer}: ${issue.message}`).join("; ");
  const detail = `${fault.message}${issues === "" ? "" : `: ${issues}`}`.replaceAll("\n", " ");
  return `${phrase}: ${detail}`;
};

/** A line of `--log` (runc's format: logrus' JSON or text). `time` comes in, for the core has no clock. */
export const logLine = (
  level: "error" | "warning",
  message: string,
  time: string,
  json: boolean,
  more: Readonly<Record<string, unknown>> = {},
): string =>
  json ? `${stringifyJson({ level, msg: message, time, ...more })}\n` : `time="${time}" level=${level} msg=${stringifyJson(message)}\n`;
