/** What config.json's schema cannot say. */
import type { Config } from "./config.ts";
import type { Report } from "./issues.ts";

/** Semantic checks of config.json. */
export const checkConfig = (config: Config, report: Report): void => {
  if (config.process !== undefined && !config.process.cwd.startsWith("/")) report.issue("/process/cwd", "expected an absolute path");
};
