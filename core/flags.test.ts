import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Fault } from "#core/fault";
import { didYouMean, editDistance, type Flag, flagList, flagOn, flagText, formatHelp, formatMan, parseFlags } from "./flags.ts";

const table: readonly Flag[] = [
  { name: "interactive", short: "i", kind: "switch", help: "Keep standard input open" },
  { name: "tty", short: "t", kind: "switch", help: "Terminal" },
  { name: "volume", short: "v", kind: "list", value: "A:B", help: "Bind" },
  { name: "publish", short: "p", kind: "list", help: "Publish" },
  { name: "memory", short: "m", kind: "text", help: "Memory" },
  { name: "network", aliases: ["net"], kind: "text", help: "Network" },
  { name: "oom-score-adj", kind: "int", help: "Score", group: "Limits" },
  { name: "gpus", kind: "text", help: "GPUs", unsupported: "" },
  { name: "isolation", kind: "text", help: "Windows", unsupported: "it is for Windows containers" },
];
const command = "coracle run";
const run = (...argv: string[]): { values: Record<string, readonly string[]>; rest: readonly string[] } => {
  const { values, rest } = parseFlags(table, argv, { command });
  return { values: Object.fromEntries(values), rest };
};
const refusal = (argv: readonly string[], options = {}): Fault => {
  try {
    parseFlags(table, argv, { command, ...options });
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Error(`accepted: ${argv.join(" ")}`);
};

test("every way to write a flag", () => {
  const cases: readonly (readonly [readonly string[], Record<string, readonly string[]>, readonly string[]])[] = [
    [[], {}, []],
    [["img"], {}, ["img"]],
    [["--memory=1g", "img"], { memory: ["1g"] }, ["img"]],
    [["--memory", "1g", "img"], { memory: ["1g"] }, ["img"]],
    [["--memory=", "img"], { memory: [""] }, ["img"]],
    [["--memory=a=b"], { memory: ["a=b"] }, []],
    [["-m1g"], { memory: ["1g"] }, []],
    [["-m=1g"], { memory: ["1g"] }, []],
    [["-m", "1g"], { memory: ["1g"] }, []],
    [["-it", "img", "sh", "-c", "x"], { interactive: ["true"], tty: ["true"] }, ["img", "sh", "-c", "x"]],
    [["-itv/a:/b", "img"], { interactive: ["true"], tty: ["true"], volume: ["/a:/b"] }, ["img"]],
    [["-itv", "/a:/b", "img"], { interactive: ["true"], tty: ["true"], volume: ["/a:/b"] }, ["img"]],
    [["-p8080", "-p", "80:80"], { publish: ["8080", "80:80"] }, []],
    [["--tty=false", "-i=0"], { tty: ["false"], interactive: ["false"] }, []],
    [["--oom-score-adj", "-500"], { "oom-score-adj": ["-500"] }, []],
    [["--net", "none", "--network=host"], { network: ["none", "host"] }, []],
    [["--", "-it", "img"], {}, ["-it", "img"]],
    [["-i", "--", "img", "--"], { interactive: ["true"] }, ["img", "--"]],
    [["-", "-i"], {}, ["-", "-i"]],
    [["img", "--memory", "x"], {}, ["img", "--memory", "x"]],
    [["--memory", "--", "img"], { memory: ["--"] }, ["img"]],
    [["", "-i"], {}, ["", "-i"]],
  ];
  for (const [argv, values, rest] of cases) assert.equal(run(...argv), { values, rest }, argv.join(" "));
});

test("accessors", () => {
  const { values } = parseFlags(table, ["--net=a", "--net=b", "-t", "-i=false"], { command });
  assert.is(flagText(values, "network"), "b");
  assert.equal(flagList(values, "network"), ["a", "b"]);
  assert.equal(flagList(values, "volume"), []);
  assert.is(flagText(values, "memory"), null);
  assert.ok(flagOn(values, "tty"));
  assert.not.ok(flagOn(values, "interactive", true));
  assert.ok(flagOn(values, "absent", true));
});

test("refusals", () => {
  const table: readonly (readonly [readonly string[], string, RegExp, RegExp])[] = [
    [["--memroy", "1g"], "E_USAGE", /^unknown flag: --memroy$/, /did you mean --memory\?/],
    [["--inter"], "E_USAGE", /unknown flag: --inter$/, /--interactive/],
    [["--zzzzzz"], "E_USAGE", /unknown flag/, /coracle run --help/],
    [["-x"], "E_USAGE", /^unknown flag: -x$/, /--help/],
    [["-itx"], "E_USAGE", /unknown flag: -x in -itx/, /--help/],
    [["-memory", "1"], "E_USAGE|ok", /./, /./],
    [["-network"], "E_USAGE", /unknown flag: -n in -network/, /did you mean --network\?/],
    [["--memory"], "E_USAGE", /--memory needs a value/, /--memory VALUE/],
    [["-v"], "E_USAGE", /-v needs a value/, /-v A:B/],
    [["--tty=maybe"], "E_USAGE", /neither true nor false/, /./],
    [["--oom-score-adj=1.5"], "E_USAGE", /not a whole number/, /./],
    [["---memory"], "E_USAGE", /bad flag syntax/, /./],
    [["--=x"], "E_USAGE", /bad flag syntax/, /./],
    [["--gpus", "all"], "E_UNSUPPORTED", /^--gpus is not supported yet$/, /leave it out/],
    [["--gpus"], "E_UNSUPPORTED", /not supported yet/, /./],
    [["--isolation=hyperv"], "E_UNSUPPORTED", /not supported: it is for Windows/, /./],
  ];
  for (const [argv, code, message, hint] of table) {
    if (code.includes("|")) continue;
    const fault = refusal(argv);
    assert.is(fault.code, code, argv.join(" "));
    assert.match(fault.message, message);
    assert.match(fault.hint ?? "", hint);
  }
  assert.equal(run("-memory", "1").values, { memory: ["emory"] }, "as pflag: -m with the value emory");
});

test("runc's shape: flags around a verb, behind arguments, with one dash", () => {
  const global: readonly Flag[] = [
    { name: "root", kind: "text", help: "State" },
    { name: "debug", kind: "switch", help: "Debug" },
  ];
  const create: readonly Flag[] = [
    { name: "bundle", short: "b", kind: "text", help: "Bundle" },
    { name: "pid-file", kind: "text", help: "Pid file" },
    { name: "force", short: "f", kind: "switch", help: "Force" },
  ];
  const options = { command: "coracle-oci", singleDash: true };
  const first = parseFlags(
    global,
    ["--root", "/r", "-debug", "create", "id1", "-b", "/x", "--pid-file=/p", "-bundle=/y", "--force"],
    options,
  );
  assert.equal(Object.fromEntries(first.values), { root: ["/r"], debug: ["true"] });
  const [verb, ...argv] = first.rest;
  assert.is(verb, "create");
  const second = parseFlags(create, argv, { ...options, interspersed: true });
  assert.equal(Object.fromEntries(second.values), { bundle: ["/x", "/y"], "pid-file": ["/p"], force: ["true"] });
  assert.equal(second.rest, ["id1"]);
  assert.throws(() => parseFlags(create, ["-fb", "x"], options), /unknown flag: -fb/);
});

test("nearest words", () => {
  assert.is(editDistance("memroy", "memory"), 1);
  assert.is(editDistance("", "abc"), 3);
  assert.is(editDistance("kitten", "sitting"), 3);
  assert.is(didYouMean("detatch", ["detach", "device"]), "detach");
  assert.is(didYouMean("x", ["y"]), null);
  assert.is(didYouMean("completely-else", ["detach"]), null);
});

test("help and man page come from the table", () => {
  const help = formatHelp(table);
  assert.match(help, /^Options:\n {2}-i, --interactive {2,}Keep standard input open\n/);
  assert.match(help, /-v, --volume A:B +Bind \(repeatable\)/);
  assert.match(help, /\nLimits:\n {6}--oom-score-adj N +Score\n/);
  assert.not.match(help, /gpus/);
  const man = formatMan([{ name: "x-y", kind: "text", value: "A-B", help: ".dot \\ -v", differs: "Less" }, ...table]);
  assert.match(man, /\.TP\n\\fB\\-\\-x\\-y\\fR \\fIA\\-B\\fR\n\\&\.dot \\e \\-v\.\nLess\.\n/);
  assert.match(formatMan([{ name: "x", kind: "text", value: "A=…", help: "… b" }]), /A=\.\.\.\\fR\n\\&\.\.\. b\.\n/);
  assert.match(man, /Not supported yet\n.*\\-\\-gpus/);
});

test("property: what is written in any style is read back", () => {
  const value = fc.string({ maxLength: 8 });
  const piece = fc.oneof(
    value.map((v) => ({ argv: [`--memory=${v}`], flag: ["memory", v] })),
    value.map((v) => ({ argv: ["--memory", v], flag: ["memory", v] })),
    value.map((v) => ({ argv: [`-m=${v}`], flag: ["memory", v] })),
    value.map((v) => ({ argv: ["-v", v], flag: ["volume", v] })),
    value.filter((v) => v !== "" && !v.startsWith("=")).map((v) => ({ argv: [`-iv${v}`], flag: ["volume", v] })),
    fc.constant({ argv: ["-t"], flag: ["tty", "true"] }),
  );
  fc.assert(
    fc.property(fc.array(piece), fc.array(fc.string()), (pieces, rest) => {
      const parsed = parseFlags(table, [...pieces.flatMap((p) => p.argv), "--", ...rest], { command });
      assert.equal(parsed.rest, rest);
      for (const name of ["memory", "volume", "tty"]) {
        assert.equal(
          flagList(parsed.values, name),
          pieces.filter((p) => p.flag[0] === name).map((p) => p.flag[1] ?? ""),
        );
      }
    }),
  );
});

test("property: any command line is read, or refused with a Fault", () => {
  const word = fc.oneof(fc.string(), fc.constantFrom("-i", "--", "--memory", "-itv", "--net=x", "img", "--tty=x"));
  fc.assert(
    fc.property(fc.array(word), (argv) => {
      try {
        parseFlags(table, argv, { command });
      } catch (error) {
        assert.instance(error, Fault);
      }
    }),
  );
});

test.run();
