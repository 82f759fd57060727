/**
 * The walls between the rooms (docs/ARCHITECTURE.md). Each row: a room, and the rooms that it may import beside itself.
 * Tests may import any room's `test/` folder, uvu, fast-check, and what their own room may import.
 */
const rooms = {
  core: [],
  store: ["core"],
  registry: ["core"],
  builder: ["core"],
  api: ["core"],
  "platform-linux": ["core"],
  "platform-wasi": ["core"],
  runtime: ["core"],
  engine: ["core", "api", "store", "registry", "builder", "runtime"],
  cli: ["core", "api"],
  conformance: ["core"],
  bench: [],
};
const platforms = ["platform-linux", "platform-wasi", "store"];
/** Composition roots alone choose implementations; a file that is named `*.main.ts` is a part of one. */
const roots = "(^|/)(main|[a-z-]+\\.main)\\.ts$";
const tests = "(\\.test\\.ts$|/test/)";
const all = Object.keys(rooms);
const under = (names) => (names.length === 0 ? "^$" : `^(${names.join("|")})/`);

const wall = (room) => {
  const allowed = [room, ...rooms[room]];
  return [
    {
      name: `wall-${room}`,
      comment: `${room}/ may import ${rooms[room].join(", ") || "no other room"}`,
      severity: "error",
      from: { path: `^${room}/`, pathNot: [roots, tests] },
      to: { path: under(all.filter((name) => !allowed.includes(name))) },
    },
    {
      name: `wall-${room}-roots`,
      comment: `a composition root or a test of ${room}/ may also import the platforms and runtime`,
      severity: "error",
      from: { path: `^${room}/.*${roots.replace("(^|/)", "(|/)")}|^${room}/.*${tests}` },
      to: { path: under(all.filter((name) => ![...allowed, ...platforms, "runtime", "core"].includes(name))), pathNot: "/test/" },
    },
  ];
};

module.exports = {
  forbidden: [
    ...all.flatMap(wall),
    {
      name: "core-is-pure",
      comment: "core/ imports zod and itself: no module of Node's, no other package",
      severity: "error",
      from: { path: "^core/", pathNot: tests },
      to: { pathNot: ["^core/", "^node_modules/zod/"] },
    },
    {
      name: "no-tests-in-products",
      severity: "error",
      from: { pathNot: [tests, "^scripts/", "^conformance/", "^bench/"] },
      to: { path: tests },
    },
    {
      name: "no-scripts-in-products",
      severity: "error",
      from: { path: `^(${all.join("|")})/`, pathNot: tests },
      to: { path: "^scripts/" },
    },
    {
      name: "no-circular",
      severity: "error",
      from: { pathNot: "^node_modules" },
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    { name: "not-to-unresolvable", severity: "error", from: {}, to: { couldNotResolve: true } },
    {
      name: "no-development-package-in-products",
      severity: "error",
      from: { path: `^(${all.join("|")})/`, pathNot: [tests, "^bench/", "^conformance/"] },
      to: { dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"], dependencyTypesNot: ["type-only"] },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "^(dist|native/build)/" },
    parser: "swc",
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default"], extensions: [".ts", ".js"] },
  },
};
