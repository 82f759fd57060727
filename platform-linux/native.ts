/** Where the native helpers lie: built in the repository, or shipped beside the bundled file. */
import { accessSync, constants } from "node:fs";
import { fileURLToPath } from "node:url";
import { Fault } from "#core/fault";

// This module is either platform-linux/native.ts in a checkout, or part of one bundled file in dist/.
const folders = ["./native/", "../native/build/"] as const;

/**
 * Absolute path of a native helper.
 * @param name its file name, e.g. `facts`.
 * @throws Fault E_NATIVE_MISSING where it was not built, or may not be executed.
 */
export const nativePath = (name: string): string => {
  const paths = folders.map((folder) => fileURLToPath(new URL(folder + name, import.meta.url)));
  for (const path of paths) {
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // The next place, or the fault that names them all.
    }
  }
  throw new Fault("E_NATIVE_MISSING", {
    message: `cannot find an executable ${name} in ${paths.join(" or ")}`,
    hint: "npm run build:native",
  });
};
