/** What several verbs read from their command line. */
import { Fault } from "#core/fault";
import type { Line } from "./verb.ts";

/** runc's rule: letters, digits, `_ + - .`, and neither `.` nor `..`; so that an id is a file name. */
export const readId = (line: Line, verb: string): string => {
  const [first, ...more] = line.rest;
  const id = checkId(first, verb);
  if (more.length > 0 && verb !== "kill")
    throw new Fault("E_USAGE", {
      message: `${verb} takes one container id, and was given ${line.rest.length} arguments: ${line.rest.join(" ")}`,
      hint: `coracle-oci ${verb} --help`,
    });
  return id;
};

/** An id that other arguments may follow. */
export const checkId = (id: string | undefined, verb: string): string => {
  if (id === undefined || id === "")
    throw new Fault("E_USAGE", { message: `${verb} needs a container id`, hint: `coracle-oci ${verb} ID` });
  if (!/^[\w+\-.]+$/.test(id) || id === "." || id === ".." || id.length > 200)
    throw new Fault("E_USAGE", { message: `${JSON.stringify(id)} is no container id`, hint: "use letters, digits, and _ + - ." });
  return id;
};

/** An absolute path, cleaned as text. */
export const absolute = (path: string, cwd: string): string => {
  const parts: string[] = [];
  for (const part of (path.startsWith("/") ? path : `${cwd}/${path}`).split("/"))
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  return `/${parts.join("/")}`;
};
