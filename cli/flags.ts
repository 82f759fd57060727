/**
 * The flags of `coracle`'s own commands: one table each for the parser, `--help` and the man page. Names and meanings
 * are docker's. A flag that docker has and Coracle lacks stands here too, marked `unsupported`: it is refused with a
 * clear word, never ignored.
 */
import type { Flag } from "#core/flags";

export { formatMan } from "#core/flags";

const windows = "it is for Windows containers";

/** Before the command: `coracle --log-format json run …`. */
export const globalFlags: readonly Flag[] = [
  { name: "help", kind: "switch", help: "Show help, and exit" },
  { name: "version", kind: "switch", help: "Show the version, and exit" },
  { name: "root", kind: "text", value: "DIR", help: "Keep the state of running containers in DIR (default: $XDG_RUNTIME_DIR/coracle)" },
  { name: "storage", kind: "text", value: "DIR", help: "Keep images and layers in DIR (default: $XDG_DATA_HOME/coracle)" },
  { name: "log-format", kind: "text", value: "text|json", help: "Write errors as text, or as one JSON object" },
];

const container = "Container";
const process = "Process";
const files = "Files";
const security = "Security";
const limits = "Limits";
const namespaces = "Namespaces and network";

/** `coracle run [FLAGS] IMAGE [COMMAND [ARG…]]`: flags end at the image. `-h` is the host name, as docker has it. */
export const runFlags: readonly Flag[] = [
  { name: "help", kind: "switch", group: container, help: "Show this help, and exit" },
  { name: "name", kind: "text", value: "NAME", group: container, help: "Name the container (not supported yet)" },
  { name: "rm", kind: "switch", group: container, help: "Remove the container when it exits; for now it must be given" },
  {
    name: "detach",
    short: "d",
    kind: "switch",
    group: container,
    help: "Run in the background, and print the container's id (not supported yet)",
  },
  { name: "cidfile", kind: "text", value: "FILE", group: container, help: "Write the container's id to FILE" },
  { name: "platform", kind: "text", value: "OS/ARCH[/VARIANT]", group: container, help: "Choose this platform from an image for many" },
  { name: "pull", kind: "text", value: "always|missing|never", group: container, help: "When to pull the image (default: missing)" },
  { name: "quiet", short: "q", kind: "switch", group: container, help: "Show no progress of a pull" },
  { name: "label", short: "l", kind: "list", value: "KEY=VALUE", group: container, help: "Set a label (not supported yet)" },
  { name: "label-file", kind: "list", value: "FILE", group: container, help: "Read labels from FILE, one per line (not supported yet)" },
  { name: "annotation", kind: "list", value: "KEY=VALUE", group: container, help: "Set an annotation in config.json" },
  {
    name: "snapshotter",
    kind: "text",
    value: "NAME",
    group: container,
    help: "How layers become a root file system: overlay, fuse-overlayfs or copy (default: the first that works)",
  },
  { name: "storage", kind: "text", value: "DIR", group: container, help: "Keep images and layers in DIR" },

  { name: "interactive", short: "i", kind: "switch", group: process, help: "Keep standard input open" },
  { name: "tty", short: "t", kind: "switch", group: process, help: "Give the container a terminal (not supported yet)" },
  { name: "attach", short: "a", kind: "list", unsupported: "", help: "Attach to stdin, stdout or stderr" },
  { name: "sig-proxy", kind: "switch", group: process, help: "Pass signals on to the container (default: true)" },
  { name: "detach-keys", kind: "text", unsupported: "", help: "Keys that detach" },
  {
    name: "entrypoint",
    kind: "text",
    value: "PROGRAM",
    group: process,
    help: "Run PROGRAM in place of the image's entry point; an empty one removes it",
  },
  {
    name: "env",
    short: "e",
    kind: "list",
    value: "NAME[=VALUE]",
    group: process,
    help: "Set a variable; without a value it is taken from here, or removed if it is not set here",
  },
  { name: "env-file", kind: "list", value: "FILE", group: process, help: "Read variables from FILE, one per line" },
  {
    name: "user",
    short: "u",
    kind: "text",
    value: "USER[:GROUP]",
    group: process,
    help: "Run as this user: names of the image, or numbers",
  },
  { name: "group-add", kind: "list", value: "GROUP", group: process, help: "Join a further group" },
  { name: "workdir", short: "w", kind: "text", value: "DIR", group: process, help: "Working directory in the container" },
  {
    name: "init",
    kind: "switch",
    group: process,
    help: "Run an init as process 1, which forwards signals and reaps children (not supported yet)",
  },
  { name: "stop-signal", kind: "text", value: "SIGNAL", group: process, help: "Signal that stops the container" },
  { name: "stop-timeout", kind: "int", value: "SECONDS", group: process, help: "Time to stop before it is killed (not supported yet)" },
  { name: "ulimit", kind: "list", value: "NAME=SOFT[:HARD]", group: process, help: "Set a resource limit of the process; -1 is unlimited" },
  {
    name: "oom-score-adj",
    kind: "int",
    group: process,
    help: "Preference of the out-of-memory killer, -1000 to 1000",
    differs: "An unprivileged user can raise the value, not lower it",
  },

  {
    name: "volume",
    short: "v",
    kind: "list",
    value: "SOURCE:TARGET[:OPTIONS]",
    group: files,
    help: "Bind a host path into the container; options: ro, rw, rprivate, rslave, …",
    differs:
      "Named and anonymous volumes are not supported yet; [r]shared is refused, because the kernel lets no mount leave a user namespace",
  },
  { name: "mount", kind: "list", value: "type=…,src=…,dst=…", group: files, help: "Mount: type bind or tmpfs" },
  { name: "tmpfs", kind: "list", value: "TARGET[:OPTIONS]", group: files, help: "Mount a tmpfs" },
  { name: "read-only", kind: "switch", group: files, help: "Make the root file system read-only" },
  { name: "shm-size", kind: "text", value: "BYTES", group: files, help: "Size of /dev/shm (default: 64m)" },
  {
    name: "device",
    kind: "list",
    value: "SOURCE[:TARGET][:rwm]",
    group: files,
    help: "Give a host device to the container",
    differs:
      "The node is bound in with the rights that you have on the host; access narrower than rw is refused, since no device cgroup can be had without root",
  },

  {
    name: "privileged",
    kind: "switch",
    group: security,
    help: "Lift the restrictions inside the container's own user namespace",
    differs:
      "All capabilities, no seccomp filter, no masked paths, writable /sys and cgroup; yet no right on the host that you do not have, and no host devices but those named by --device",
  },
  { name: "cap-add", kind: "list", value: "CAP", group: security, help: "Add a capability, or ALL" },
  { name: "cap-drop", kind: "list", value: "CAP", group: security, help: "Drop a capability, or ALL" },
  {
    name: "security-opt",
    kind: "list",
    value: "OPTION",
    group: security,
    help: "no-new-privileges, seccomp=unconfined|FILE, mask=PATHS, unmask=PATHS|ALL, systempaths=unconfined, apparmor=PROFILE, label=disable",
  },

  { name: "memory", short: "m", kind: "text", value: "BYTES", group: limits, help: "Memory limit, e.g. 64m or 1g" },
  {
    name: "memory-swap",
    kind: "text",
    value: "BYTES",
    group: limits,
    help: "Memory and swap together; -1 for unlimited swap (default: twice the memory)",
  },
  { name: "memory-reservation", kind: "text", value: "BYTES", group: limits, help: "Soft memory limit" },
  { name: "memory-swappiness", kind: "int", group: limits, help: "Swappiness, 0 to 100 (cgroup v1)" },
  { name: "oom-kill-disable", kind: "switch", group: limits, help: "Switch the out-of-memory killer off (cgroup v1)" },
  { name: "cpus", kind: "text", value: "NUMBER", group: limits, help: "Number of CPUs, e.g. 1.5" },
  { name: "cpu-shares", short: "c", kind: "int", group: limits, help: "Relative CPU weight" },
  { name: "cpu-period", kind: "int", value: "MICROSECONDS", group: limits, help: "Period of the CPU limit" },
  { name: "cpu-quota", kind: "int", value: "MICROSECONDS", group: limits, help: "CPU time per period" },
  { name: "cpu-rt-period", kind: "int", value: "MICROSECONDS", group: limits, help: "Real-time period (cgroup v1)" },
  { name: "cpu-rt-runtime", kind: "int", value: "MICROSECONDS", group: limits, help: "Real-time runtime (cgroup v1)" },
  { name: "cpuset-cpus", kind: "text", value: "LIST", group: limits, help: "CPUs to run on, e.g. 0-3,7" },
  { name: "cpuset-mems", kind: "text", value: "LIST", group: limits, help: "Memory nodes to use, e.g. 0-1" },
  { name: "pids-limit", kind: "int", group: limits, help: "Most processes; -1 for unlimited" },
  { name: "blkio-weight", kind: "int", group: limits, help: "Relative weight of disk access, 10 to 1000" },
  { name: "blkio-weight-device", kind: "list", value: "DEVICE:WEIGHT", group: limits, help: "Weight for one device" },
  { name: "device-read-bps", kind: "list", value: "DEVICE:BYTES", group: limits, help: "Most bytes per second read from a device" },
  { name: "device-write-bps", kind: "list", value: "DEVICE:BYTES", group: limits, help: "Most bytes per second written to a device" },
  { name: "device-read-iops", kind: "list", value: "DEVICE:N", group: limits, help: "Most reads per second from a device" },
  { name: "device-write-iops", kind: "list", value: "DEVICE:N", group: limits, help: "Most writes per second to a device" },
  {
    name: "limits",
    kind: "text",
    value: "enforce|best-effort",
    group: limits,
    help: "Where limits cannot be enforced: refuse to run (default), or run and say what does not hold",
  },
  { name: "cgroup-parent", kind: "text", unsupported: "", help: "Parent of the container's cgroup" },

  {
    name: "network",
    aliases: ["net"],
    kind: "text",
    value: "MODE",
    group: namespaces,
    help: "none (the default for now), or host; networks are not supported yet",
  },
  { name: "hostname", short: "h", kind: "text", value: "NAME", group: namespaces, help: "Host name of the container" },
  { name: "domainname", kind: "text", value: "NAME", group: namespaces, help: "NIS domain name of the container" },
  { name: "ipc", kind: "text", value: "private|host|none", group: namespaces, help: "IPC namespace; none has no /dev/shm" },
  { name: "pid", kind: "text", value: "private|host", group: namespaces, help: "Process namespace" },
  { name: "uts", kind: "text", value: "private|host", group: namespaces, help: "Host name namespace" },
  {
    name: "cgroupns",
    kind: "text",
    value: "private|host",
    group: namespaces,
    help: "Cgroup namespace",
    differs: "Private by default on cgroup v1, too",
  },
  { name: "sysctl", kind: "list", value: "NAME=VALUE", group: namespaces, help: "Set a kernel parameter of the container's namespaces" },

  { name: "publish", short: "p", kind: "list", unsupported: "", help: "Publish a port" },
  { name: "publish-all", short: "P", kind: "switch", unsupported: "", help: "Publish all exposed ports" },
  { name: "expose", kind: "list", unsupported: "", help: "Expose a port" },
  { name: "add-host", kind: "list", unsupported: "", help: "Add a line to /etc/hosts" },
  { name: "dns", kind: "list", unsupported: "", help: "Set a DNS server" },
  { name: "dns-option", aliases: ["dns-opt"], kind: "list", unsupported: "", help: "Set a DNS option" },
  { name: "dns-search", kind: "list", unsupported: "", help: "Set a DNS search domain" },
  { name: "ip", kind: "text", unsupported: "", help: "IPv4 address" },
  { name: "ip6", kind: "text", unsupported: "", help: "IPv6 address" },
  { name: "link", kind: "list", unsupported: "", help: "Link to a container" },
  { name: "link-local-ip", kind: "list", unsupported: "", help: "Link-local address" },
  { name: "mac-address", kind: "text", unsupported: "", help: "MAC address" },
  { name: "network-alias", aliases: ["net-alias"], kind: "list", unsupported: "", help: "Alias in a network" },
  { name: "restart", kind: "text", unsupported: "", help: "Restart policy" },
  { name: "health-cmd", kind: "text", unsupported: "", help: "Health check" },
  { name: "health-interval", kind: "text", unsupported: "", help: "Health check" },
  { name: "health-retries", kind: "text", unsupported: "", help: "Health check" },
  { name: "health-timeout", kind: "text", unsupported: "", help: "Health check" },
  { name: "health-start-period", kind: "text", unsupported: "", help: "Health check" },
  { name: "health-start-interval", kind: "text", unsupported: "", help: "Health check" },
  { name: "no-healthcheck", kind: "switch", unsupported: "", help: "No health check" },
  { name: "log-driver", kind: "text", unsupported: "", help: "Log driver" },
  { name: "log-opt", kind: "list", unsupported: "", help: "Log driver option" },
  { name: "storage-opt", kind: "list", unsupported: "", help: "Storage driver option" },
  { name: "volume-driver", kind: "text", unsupported: "", help: "Volume driver" },
  { name: "volumes-from", kind: "list", unsupported: "", help: "Volumes of another container" },
  { name: "gpus", kind: "text", unsupported: "", help: "GPUs" },
  { name: "userns", kind: "text", unsupported: "every container has a user namespace of its own here", help: "User namespace" },
  { name: "device-cgroup-rule", kind: "list", unsupported: "a device cgroup cannot be had without root", help: "Device rule" },
  { name: "runtime", kind: "text", unsupported: "containers are run by Coracle itself", help: "Runtime" },
  { name: "use-api-socket", kind: "switch", unsupported: "", help: "Bind the API socket" },
  { name: "disable-content-trust", kind: "switch", unsupported: "content trust was removed from docker, too", help: "Content trust" },
  { name: "kernel-memory", kind: "text", unsupported: "the kernel has no such limit any more", help: "Kernel memory limit" },
  { name: "isolation", kind: "text", unsupported: windows, help: "Isolation" },
  { name: "cpu-count", kind: "int", unsupported: windows, help: "CPU count" },
  { name: "cpu-percent", kind: "int", unsupported: windows, help: "CPU percent" },
  { name: "io-maxbandwidth", kind: "text", unsupported: windows, help: "I/O bandwidth" },
  { name: "io-maxiops", kind: "int", unsupported: windows, help: "I/O operations" },
];
