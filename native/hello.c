/*
 * hello: the payload of the embedded image. It prints where it runs and what it may do, so that one look proves (or
 * disproves) that a container is one. Every fact is read from the kernel by the process itself: nothing is taken from
 * the environment that a runtime could have written there. A missing /proc costs facts, never the run.
 *
 * Sub-commands (for tests, see usage()) are kept to what a test of a runtime needs and a shell would otherwise give.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/*
 * The C library's allocator is 7 KB of code, a tenth of this program, for what lives until exit anyway. These take its
 * place, also for the library's own opendir and strdup: blocks are handed out in a row and never taken back.
 */
static _Alignas(16) char heap[512 * 1024];
static size_t heap_used;

void *malloc(size_t size) {
	size_t whole = (size + 31) & ~(size_t)15; /* 16 bytes before the block keep its size for realloc */
	if (size > sizeof heap || whole > sizeof heap - heap_used) {
		errno = ENOMEM;
		return NULL;
	}
	char *block = heap + heap_used + 16;
	memcpy(block - 16, &size, sizeof size);
	heap_used += whole;
	return block;
}

void free(void *block) {
	(void)block;
}

void *calloc(size_t count, size_t size) {
	/* The heap starts as zeros and nothing is handed out twice. */
	return size && count > SIZE_MAX / size ? NULL : malloc(count * size);
}

void *realloc(void *block, size_t size) {
	void *grown = malloc(size);
	size_t old = 0;
	if (block) memcpy(&old, (char *)block - 16, sizeof old);
	if (grown && block) memcpy(grown, block, old < size ? old : size);
	return grown;
}

/* ---- facts ------------------------------------------------------------------------------------------------------- */

struct id_range {
	unsigned long inside, outside, count;
};

struct mount_line {
	char *target, *type, *source, *options;
};

struct fd_line {
	int fd;
	char *target; /* null where /proc is missing */
};

static const char *const ns_names[] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"};

static const struct {
	const char *name;
	int resource;
} rlimit_names[] = {
    {"nofile", RLIMIT_NOFILE}, {"nproc", RLIMIT_NPROC}, {"stack", RLIMIT_STACK}, {"core", RLIMIT_CORE}, {"memlock", RLIMIT_MEMLOCK},
};

/* Index is the capability's number (linux/capability.h). */
static const char *const cap_names[] = {
    "CHOWN",       "DAC_OVERRIDE", "DAC_READ_SEARCH",    "FOWNER",        "FSETID",         "KILL",       "SETGID",
    "SETUID",      "SETPCAP",      "LINUX_IMMUTABLE",    "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
    "IPC_LOCK",    "IPC_OWNER",    "SYS_MODULE",         "SYS_RAWIO",     "SYS_CHROOT",     "SYS_PTRACE", "SYS_PACCT",
    "SYS_ADMIN",   "SYS_BOOT",     "SYS_NICE",           "SYS_RESOURCE",  "SYS_TIME",       "SYS_TTY_CONFIG", "MKNOD",
    "LEASE",       "AUDIT_WRITE",  "AUDIT_CONTROL",      "SETFCAP",       "MAC_OVERRIDE",   "MAC_ADMIN",  "SYSLOG",
    "WAKE_ALARM",  "BLOCK_SUSPEND", "AUDIT_READ",        "PERFMON",       "BPF",            "CHECKPOINT_RESTORE",
};

enum { CAP_EFFECTIVE, CAP_PERMITTED, CAP_INHERITABLE, CAP_BOUNDING, CAP_AMBIENT, CAP_SETS };
static const char *const cap_set_names[CAP_SETS] = {"effective", "permitted", "inheritable", "bounding", "ambient"};

#define MAX_RANGES 16
#define MAX_MOUNTS 256
#define MAX_FDS 256
#define MAX_GROUPS 64

static struct {
	struct id_range uid_map[MAX_RANGES], gid_map[MAX_RANGES];
	size_t uid_ranges, gid_ranges;
	gid_t groups[MAX_GROUPS];
	int group_count;
	struct utsname uts;
	ino_t ns[COUNT(ns_names)]; /* 0: unknown */
	struct mount_line mounts[MAX_MOUNTS];
	size_t mount_count; /* of all, also those beyond MAX_MOUNTS */
	const char *root_type;
	bool root_read_only;
	uint64_t caps[CAP_SETS];
	int cap_last;
	int no_new_privs, seccomp, seccomp_filters; /* -1: unknown */
	char *cgroup;                               /* /proc/self/cgroup as it is; null where unreadable */
	long long memory_max, pids_max;             /* -1: none seen */
	long long milli_cpus;                       /* -1: none seen */
	struct fd_line fds[MAX_FDS];
	size_t fd_count;
} f;

/* Whole file, NUL-terminated, or null. Never freed: this program lives for milliseconds. */
static char *slurp(const char *path) {
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return NULL;
	size_t size = 0, room = 4096;
	char *text = malloc(room);
	while (text) {
		ssize_t n = read(fd, text + size, room - size - 1);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) break;
		size += (size_t)n;
		if (size + 1 < room) continue;
		char *more = realloc(text, room *= 2);
		if (!more) break;
		text = more;
	}
	close(fd);
	if (!text) return NULL;
	text[size] = 0;
	return text;
}

/* The next word of *at, cut out in place; null at the end of the text. */
static char *word(char **at, const char *separators) {
	*at += strspn(*at, separators);
	if (!**at) return NULL;
	char *start = *at;
	*at += strcspn(*at, separators);
	if (**at) *(*at)++ = 0;
	return start;
}

static size_t read_id_map(const char *path, struct id_range *out) {
	char *text = slurp(path), *at = text, *inside, *outside, *count;
	size_t n = 0;
	while (text && n < MAX_RANGES && (inside = word(&at, " \n")) && (outside = word(&at, " \n")) && (count = word(&at, " \n")))
		out[n++] = (struct id_range){strtoul(inside, NULL, 10), strtoul(outside, NULL, 10), strtoul(count, NULL, 10)};
	return n;
}

/* What `id` is in the parent user namespace; -1 where it is not mapped or the map cannot be read. */
static long outside_id(const struct id_range *map, size_t n, unsigned long id) {
	for (size_t i = 0; i < n; i++)
		if (id >= map[i].inside && id - map[i].inside < map[i].count) return (long)(map[i].outside + (id - map[i].inside));
	return -1;
}

/*
 * A user namespace's map leads only to its parent. Where that is the user-wide one, whoever starts this image says how it
 * maps on, in CORACLE_OUTER_UIDS and CORACLE_OUTER_GIDS ("inside outside count,…"): then "outside" is the host. A range
 * that the outer map cuts is named by its first id.
 */
static void compose(struct id_range *map, size_t n, const char *variable) {
	struct id_range outer[MAX_RANGES];
	char *said = getenv(variable), *at = said ? strdup(said) : NULL, *inside, *outside, *count;
	size_t ranges = 0;
	while (at && ranges < MAX_RANGES && (inside = word(&at, " ,")) && (outside = word(&at, " ,")) && (count = word(&at, " ,")))
		outer[ranges++] = (struct id_range){strtoul(inside, NULL, 10), strtoul(outside, NULL, 10), strtoul(count, NULL, 10)};
	for (size_t i = 0; ranges && i < n; i++) {
		long id = outside_id(outer, ranges, map[i].outside);
		if (id >= 0) map[i].outside = (unsigned long)id;
	}
}

/* mountinfo writes space, tab, newline and backslash as three octal digits. */
static void unescape_octal(char *s) {
	char *to = s;
	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 3;
		} else *to++ = *s;
	}
	*to = 0;
}

/* Proc(5): id parent major:minor root target options [optional…] - type source super-options */
static void read_mounts(void) {
	char *text = slurp("/proc/self/mountinfo"), *at = text, *line;
	while (text && (line = word(&at, "\n"))) {
		char *p = line, *field = NULL;
		for (int i = 0; i < 4; i++) field = word(&p, " ");
		char *target = word(&p, " "), *options = word(&p, " ");
		while ((field = word(&p, " ")) && strcmp(field, "-") != 0) continue;
		char *type = word(&p, " "), *source = word(&p, " ");
		if (!target || !options || !type || !source) continue;
		unescape_octal(target);
		unescape_octal(source);
		if (strcmp(target, "/") == 0) f.root_type = type;
		if (f.mount_count < MAX_MOUNTS) f.mounts[f.mount_count] = (struct mount_line){target, type, source, options};
		f.mount_count++;
	}
}

/* Without /proc, the super block's magic number still tells. */
static const char *type_of_magic(unsigned long magic) {
	static const struct {
		unsigned long magic;
		const char *name;
	} known[] = {{0x794c7630, "overlay"}, {0x01021994, "tmpfs"}, {0xef53, "ext4"}, {0x58465342, "xfs"}, {0x9123683e, "btrfs"},
	             {0x65735546, "fuse"},    {0x6969, "nfs"},       {0xe0f5e1e2, "erofs"}, {0x73717368, "squashfs"}, {0x858458f6, "ramfs"}};
	for (size_t i = 0; i < COUNT(known); i++)
		if (known[i].magic == magic) return known[i].name;
	return "unknown";
}

static void read_caps(void) {
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}};
	if (syscall(SYS_capget, &header, data) == 0) {
		f.caps[CAP_EFFECTIVE] = data[0].effective | (uint64_t)data[1].effective << 32;
		f.caps[CAP_PERMITTED] = data[0].permitted | (uint64_t)data[1].permitted << 32;
		f.caps[CAP_INHERITABLE] = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
	}
	for (int cap = 0; cap < 64; cap++) {
		int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
		if (has < 0) break;
		f.cap_last = cap;
		if (has) f.caps[CAP_BOUNDING] |= 1ULL << cap;
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1) f.caps[CAP_AMBIENT] |= 1ULL << cap;
	}
}

static void read_seccomp(void) {
	f.seccomp = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);
	f.seccomp_filters = -1;
	char *status = slurp("/proc/self/status");
	char *line = status ? strstr(status, "\nSeccomp_filters:") : NULL;
	if (line) f.seccomp_filters = atoi(line + strlen("\nSeccomp_filters:"));
}

/* A number of a cgroup file, tried below every place where a runtime may have mounted it; -1 for "max", none or absent. */
static long long cgroup_number(const char *v2, const char *v1, char **rest) {
	const char *const bases[] = {"/sys/fs/cgroup/", "/sys/fs/cgroup/unified/"};
	char path[512], *text = NULL;
	for (size_t i = 0; i < COUNT(bases) && !text; i++) {
		snprintf(path, sizeof path, "%s%s", bases[i], v2);
		text = slurp(path);
	}
	if (!text) {
		snprintf(path, sizeof path, "%s%s", bases[0], v1);
		text = slurp(path);
	}
	if (!text || text[0] < '0' || text[0] > '9') return -1;
	long long n = strtoll(text, rest, 10);
	return n > LLONG_MAX / 2 ? -1 : n; /* v1 writes "no limit" as the largest page-aligned number */
}

static void read_cgroup(void) {
	f.cgroup = slurp("/proc/self/cgroup");
	f.memory_max = cgroup_number("memory.max", "memory/memory.limit_in_bytes", NULL);
	f.pids_max = cgroup_number("pids.max", "pids/pids.max", NULL);
	char *rest = NULL;
	long long quota = cgroup_number("cpu.max", "cpu/cpu.cfs_quota_us", &rest);
	long long period = rest && *rest == ' ' ? strtoll(rest, NULL, 10) : cgroup_number("cpu.max", "cpu/cpu.cfs_period_us", NULL);
	f.milli_cpus = quota > 0 && period > 0 ? quota * 1000 / period : -1;
}

static void add_fd(int fd, const char *target) {
	if (f.fd_count == MAX_FDS) return;
	f.fds[f.fd_count++] = (struct fd_line){fd, target ? strdup(target) : NULL};
}

static int by_fd(const void *a, const void *b) {
	return ((const struct fd_line *)a)->fd - ((const struct fd_line *)b)->fd;
}

static void read_fds(void) {
	DIR *dir = opendir("/proc/self/fd");
	if (!dir) {
		for (int fd = 0; fd < 4096; fd++)
			if (fcntl(fd, F_GETFD) >= 0) add_fd(fd, NULL);
		return;
	}
	for (struct dirent *e; (e = readdir(dir));) {
		char target[512];
		if (e->d_name[0] == '.' || atoi(e->d_name) == dirfd(dir)) continue;
		ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof target - 1);
		if (n >= 0) target[n] = 0;
		add_fd(atoi(e->d_name), n < 0 ? NULL : target);
	}
	closedir(dir);
	qsort(f.fds, f.fd_count, sizeof *f.fds, by_fd);
}

static void gather(void) {
	read_fds(); /* first, before this program opens anything */
	f.uid_ranges = read_id_map("/proc/self/uid_map", f.uid_map);
	f.gid_ranges = read_id_map("/proc/self/gid_map", f.gid_map);
	compose(f.uid_map, f.uid_ranges, "CORACLE_OUTER_UIDS");
	compose(f.gid_map, f.gid_ranges, "CORACLE_OUTER_GIDS");
	f.group_count = getgroups(MAX_GROUPS, f.groups);
	if (f.group_count < 0) f.group_count = 0;
	uname(&f.uts);
	for (size_t i = 0; i < COUNT(ns_names); i++) {
		char path[32];
		struct stat st;
		snprintf(path, sizeof path, "/proc/self/ns/%s", ns_names[i]);
		f.ns[i] = stat(path, &st) == 0 ? st.st_ino : 0;
	}
	struct statfs fs;
	if (statfs("/", &fs) == 0) {
		f.root_type = type_of_magic((unsigned long)fs.f_type);
		f.root_read_only = fs.f_flags & ST_RDONLY;
	}
	read_mounts();
	read_caps();
	f.no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	read_seccomp();
	read_cgroup();
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

#define LABEL_WIDTH 14
#define TEXT_WIDTH 100

static int column;

static void label(const char *name) {
	printf("  %-*s", LABEL_WIDTH, name);
	column = LABEL_WIDTH + 2;
}

static void end_line(void) {
	putchar('\n');
	column = 0;
}

/* One item of a list that wraps under its label. */
static void item(const char *format, ...) {
	char text[512];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (column > LABEL_WIDTH + 2 && column + n + 2 > TEXT_WIDTH) {
		end_line();
		label("");
	}
	if (column > LABEL_WIDTH + 2) {
		fputs("  ", stdout);
		column += 2;
	}
	fputs(text, stdout);
	column += n;
}

static void print_id(const char *name, unsigned long id, const struct id_range *map, size_t n) {
	long outside = outside_id(map, n, id);
	if (outside < 0) item("%s %lu", name, id);
	else item("%s %lu inside is %ld outside", name, id, outside);
}

static void print_map(const char *name, const struct id_range *map, size_t n) {
	for (size_t i = 0; i < n; i++) item("%s %lu+%lu from %lu", name, map[i].inside, map[i].count, map[i].outside);
}

static void print_bytes(const char *name, long long n) {
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	size_t unit = 0;
	while (unit + 1 < COUNT(units) && n >= 1024 && n % 1024 == 0) n /= 1024, unit++;
	item("%s %lld %s", name, n, units[unit]);
}

static void print_limit(const char *name, rlim_t soft, rlim_t hard) {
	char a[24] = "unlimited", b[24] = "unlimited";
	if (soft != RLIM_INFINITY) snprintf(a, sizeof a, "%llu", (unsigned long long)soft);
	if (hard != RLIM_INFINITY) snprintf(b, sizeof b, "%llu", (unsigned long long)hard);
	if (strcmp(a, b) == 0) item("%s %s", name, a);
	else item("%s %s/%s", name, a, b);
}

static int count_bits(uint64_t set) {
	int n = 0;
	for (; set; set &= set - 1) n++;
	return n;
}

static void print_cap_set(int which) {
	label(which == CAP_EFFECTIVE ? "capabilities" : "");
	item("%-9s %d of %d", cap_set_names[which], count_bits(f.caps[which]), f.cap_last + 1);
	if (which == CAP_BOUNDING && f.caps[CAP_BOUNDING] == f.caps[CAP_EFFECTIVE]) item("(the same)");
	else if (count_bits(f.caps[which]) == f.cap_last + 1) item("(all)");
	else
		for (size_t cap = 0; cap < COUNT(cap_names); cap++)
			if (f.caps[which] >> cap & 1) item("%s", cap_names[cap]);
	end_line();
}

static void print_mounts(void) {
	size_t shown = f.mount_count < MAX_MOUNTS ? f.mount_count : MAX_MOUNTS, wide = 0;
	for (size_t i = 0; i < shown; i++) {
		size_t n = strlen(f.mounts[i].target);
		if (n > wide && n <= 40) wide = n;
	}
	for (size_t i = 0; i < shown; i++) {
		label(i ? "" : "mounts");
		printf("%-*s  %-8s  %s\n", (int)wide, f.mounts[i].target, f.mounts[i].type, f.mounts[i].options);
	}
	if (shown < f.mount_count) printf("  %-*s… and %zu more\n", LABEL_WIDTH, "", f.mount_count - shown);
}

static void print_cgroup(void) {
	label("cgroup");
	char *copy = f.cgroup ? strdup(f.cgroup) : NULL, *at = copy, *line;
	while (copy && (line = word(&at, "\n"))) {
		/* hierarchy:controllers:path; only v2 has no controllers. */
		char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!path) continue;
		*path++ = 0;
		if (controllers[1]) item("%s %s", controllers + 1, path);
		else item("%s", path);
	}
	if (!copy) item("unknown");
	end_line();
	label("");
	if (f.memory_max >= 0) print_bytes("memory", f.memory_max);
	if (f.pids_max >= 0) item("pids %lld", f.pids_max);
	if (f.milli_cpus >= 0) item("cpus %lld.%02lld", f.milli_cpus / 1000, f.milli_cpus % 1000 / 10);
	if (f.memory_max < 0 && f.pids_max < 0 && f.milli_cpus < 0) item("no limit to be seen");
	end_line();
}

static void print_text(void) {
	static const char *const seccomp_modes[] = {"off", "strict", "filter"};
	char cwd[PATH_MAX];

	puts("\n       .-\"\"\"-.\n    ~~ \\_____/ ~~    Hello from a coracle: a boat for one.\n");
	label("user");
	print_id("uid", getuid(), f.uid_map, f.uid_ranges);
	print_id("gid", getgid(), f.gid_map, f.gid_ranges);
	for (int i = 0; i < f.group_count; i++) item(i ? "%u" : "groups %u", f.groups[i]);
	end_line();
	if (f.uid_ranges || f.gid_ranges) {
		label("id maps");
		print_map("uid", f.uid_map, f.uid_ranges);
		print_map("gid", f.gid_map, f.gid_ranges);
		end_line();
	}
	label("process");
	item("pid %d", getpid());
	item("ppid %d", getppid());
	item("session %d", getsid(0));
	item("in %s", getcwd(cwd, sizeof cwd) ? cwd : "?");
	end_line();
	label("host");
	item("%s", f.uts.nodename);
	item("%s %s %s", f.uts.sysname, f.uts.release, f.uts.machine);
	end_line();
	label("namespaces");
	for (size_t i = 0; i < COUNT(ns_names); i++) {
		if (i == 4) end_line(), label("");
		if (f.ns[i]) item("%-6s %-10lu", ns_names[i], (unsigned long)f.ns[i]);
		else item("%-6s %-10s", ns_names[i], "unknown");
	}
	end_line();
	label("root");
	item("%s, %s", f.root_type ? f.root_type : "unknown", f.root_read_only ? "read-only" : "read-write");
	if (f.mount_count) item("%zu mounts", f.mount_count);
	end_line();
	print_mounts();
	label("limits");
	for (size_t i = 0; i < COUNT(rlimit_names); i++) {
		struct rlimit limit;
		if (getrlimit(rlimit_names[i].resource, &limit) == 0) print_limit(rlimit_names[i].name, limit.rlim_cur, limit.rlim_max);
	}
	end_line();
	print_cgroup();
	print_cap_set(CAP_EFFECTIVE);
	print_cap_set(CAP_BOUNDING);
	label("privileges");
	item("no_new_privs %s", f.no_new_privs < 0 ? "unknown" : f.no_new_privs ? "on" : "off");
	item("seccomp %s", f.seccomp < 0 || f.seccomp > 2 ? "unknown" : seccomp_modes[f.seccomp]);
	if (f.seccomp_filters > 0) item("(%d filter%s)", f.seccomp_filters, f.seccomp_filters == 1 ? "" : "s");
	end_line();
	size_t variables = 0;
	while (environ && environ[variables]) variables++;
	label("environment");
	item("%zu variables:", variables);
	for (size_t i = 0; i < variables; i++) item("%.*s", (int)strcspn(environ[i], "="), environ[i]);
	end_line();
	label("open fds");
	for (size_t i = 0; i < f.fd_count; i++)
		if (f.fds[i].target) item("%d %s", f.fds[i].fd, f.fds[i].target);
		else item("%d", f.fds[i].fd);
	end_line();
	end_line();
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static bool need_comma;

/* A key before every value of an object; null inside an array. */
static void json_key(const char *key) {
	if (need_comma) putchar(',');
	need_comma = true;
	if (key) printf("\"%s\":", key);
}

static void json_open(const char *key, char bracket) {
	json_key(key);
	putchar(bracket);
	need_comma = false;
}

static void json_close(char bracket) {
	putchar(bracket);
	need_comma = true;
}

static void json_number(const char *key, long long n) {
	json_key(key);
	printf("%lld", n);
}

/* -1 stands for "unknown" everywhere in this program. */
static void json_known(const char *key, long long n) {
	if (n >= 0) json_number(key, n);
	else json_key(key), fputs("null", stdout);
}

static void json_bool(const char *key, bool b) {
	json_key(key);
	fputs(b ? "true" : "false", stdout);
}

static void json_string(const char *key, const char *s) {
	json_key(key);
	if (!s) {
		fputs("null", stdout);
		return;
	}
	putchar('"');
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		if (c == '"' || c == '\\') printf("\\%c", c);
		else if (c < 0x20) printf("\\u%04x", c);
		else putchar(c);
	}
	putchar('"');
}

static void json_map(const char *key, const struct id_range *map, size_t n) {
	json_open(key, '[');
	for (size_t i = 0; i < n; i++) {
		json_open(NULL, '{');
		json_number("inside", (long long)map[i].inside);
		json_number("outside", (long long)map[i].outside);
		json_number("count", (long long)map[i].count);
		json_close('}');
	}
	json_close(']');
}

/* 64 bits wide, and JSON readers are not: text, "unlimited" for infinity. */
static void json_limit(const char *key, rlim_t value) {
	char text[24] = "unlimited";
	if (value != RLIM_INFINITY) snprintf(text, sizeof text, "%llu", (unsigned long long)value);
	json_string(key, text);
}

static void print_json(int argc, char **argv) {
	char cwd[PATH_MAX], name[32];
	struct winsize size;

	json_open(NULL, '{');
	json_number("uid", getuid());
	json_number("gid", getgid());
	json_number("euid", geteuid());
	json_number("egid", getegid());
	json_known("uidOutside", outside_id(f.uid_map, f.uid_ranges, getuid()));
	json_known("gidOutside", outside_id(f.gid_map, f.gid_ranges, getgid()));
	json_open("groups", '[');
	for (int i = 0; i < f.group_count; i++) json_number(NULL, f.groups[i]);
	json_close(']');
	json_map("uidMap", f.uid_map, f.uid_ranges);
	json_map("gidMap", f.gid_map, f.gid_ranges);
	json_number("pid", getpid());
	json_number("ppid", getppid());
	json_number("sid", getsid(0));
	json_string("hostname", f.uts.nodename);
	json_string("domainname", f.uts.domainname);
	json_string("kernel", f.uts.release);
	json_string("machine", f.uts.machine);
	json_string("cwd", getcwd(cwd, sizeof cwd));
	json_open("args", '[');
	for (int i = 0; i < argc; i++) json_string(NULL, argv[i]);
	json_close(']');
	json_open("namespaces", '{');
	for (size_t i = 0; i < COUNT(ns_names); i++) json_known(ns_names[i], f.ns[i] ? (long long)f.ns[i] : -1);
	json_close('}');
	json_open("root", '{');
	json_string("type", f.root_type);
	json_bool("readOnly", f.root_read_only);
	json_close('}');
	json_number("mountCount", (long long)f.mount_count);
	json_open("mounts", '[');
	for (size_t i = 0; i < f.mount_count && i < MAX_MOUNTS; i++) {
		json_open(NULL, '{');
		json_string("target", f.mounts[i].target);
		json_string("type", f.mounts[i].type);
		json_string("source", f.mounts[i].source);
		json_string("options", f.mounts[i].options);
		json_close('}');
	}
	json_close(']');
	json_open("rlimits", '{');
	for (size_t i = 0; i < COUNT(rlimit_names); i++) {
		struct rlimit limit;
		if (getrlimit(rlimit_names[i].resource, &limit) < 0) continue;
		json_open(rlimit_names[i].name, '{');
		json_limit("soft", limit.rlim_cur);
		json_limit("hard", limit.rlim_max);
		json_close('}');
	}
	json_close('}');
	json_open("cgroup", '{');
	json_open("paths", '[');
	char *copy = f.cgroup ? strdup(f.cgroup) : NULL, *at = copy, *line;
	while (copy && (line = word(&at, "\n"))) json_string(NULL, line);
	json_close(']');
	json_known("memory", f.memory_max);
	json_known("pids", f.pids_max);
	json_known("milliCpus", f.milli_cpus);
	json_close('}');
	json_open("capabilities", '{');
	for (int set = 0; set < CAP_SETS; set++) {
		json_open(cap_set_names[set], '[');
		for (int cap = 0; cap <= f.cap_last; cap++) {
			if (!(f.caps[set] >> cap & 1)) continue;
			if ((size_t)cap < COUNT(cap_names)) snprintf(name, sizeof name, "CAP_%s", cap_names[cap]);
			else snprintf(name, sizeof name, "CAP_%d", cap);
			json_string(NULL, name);
		}
		json_close(']');
	}
	json_close('}');
	json_known("noNewPrivs", f.no_new_privs);
	json_open("seccomp", '{');
	json_known("mode", f.seccomp);
	json_known("filters", f.seccomp_filters);
	json_close('}');
	json_open("env", '[');
	for (char **e = environ; e && *e; e++) json_string(NULL, *e);
	json_close(']');
	json_open("fds", '[');
	for (size_t i = 0; i < f.fd_count; i++) {
		json_open(NULL, '{');
		json_number("fd", f.fds[i].fd);
		json_string("target", f.fds[i].target);
		json_close('}');
	}
	json_close(']');
	bool tty = ioctl(0, TIOCGWINSZ, &size) == 0;
	json_bool("tty", tty);
	json_known("rows", tty ? size.ws_row : -1);
	json_known("columns", tty ? size.ws_col : -1);
	json_number("umask", (long long)({ mode_t m = umask(0); umask(m); m; }));
	json_close('}');
	putchar('\n');
}

/* ---- sub-commands for tests -------------------------------------------------------------------------------------- */

static int fail(const char *what) {
	fprintf(stderr, "hello: %s: %s\n", what, strerror(errno));
	return 1;
}

static bool write_all(int fd, const char *data, size_t size) {
	while (size) {
		ssize_t n = write(fd, data, size);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return false;
		data += n;
		size -= (size_t)n;
	}
	return true;
}

static int copy_to_stdout(int fd, const char *name) {
	char buffer[16384];
	for (;;) {
		ssize_t n = read(fd, buffer, sizeof buffer);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return fail(name);
		if (n == 0) return 0;
		if (!write_all(1, buffer, (size_t)n)) return fail("stdout");
	}
}

static int run_read(const char *path) {
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? fail(path) : copy_to_stdout(fd, path);
}

static int run_write(const char *path, const char *text) {
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0 || !write_all(fd, text, strlen(text)) || close(fd) < 0) return fail(path);
	return 0;
}

/* One line per entry: mode in octal, uid, gid, size, name. */
static int run_ls(const char *path) {
	struct dirent **entries;
	int n = scandir(path, &entries, NULL, alphasort);
	if (n < 0) return fail(path);
	for (int i = 0; i < n; i++) {
		struct stat st;
		char full[PATH_MAX];
		snprintf(full, sizeof full, "%s/%s", path, entries[i]->d_name);
		if (lstat(full, &st) == 0) printf("%06o %u %u %lld %s\n", st.st_mode, st.st_uid, st.st_gid, (long long)st.st_size, entries[i]->d_name);
	}
	return 0;
}

/* One JSON object per path: all that a file system says of it, xattrs in hexadecimal. Links are not followed. */
static int run_stat(int count, char **paths) {
	for (int i = 0; i < count; i++) {
		struct stat st;
		char target[PATH_MAX], names[4096], value[4096];
		if (lstat(paths[i], &st) < 0) return fail(paths[i]);
		ssize_t n = S_ISLNK(st.st_mode) ? readlink(paths[i], target, sizeof target - 1) : -1;
		if (n >= 0) target[n] = 0;
		need_comma = false;
		json_open(NULL, '{');
		json_string("path", paths[i]);
		json_number("mode", st.st_mode);
		json_number("uid", st.st_uid);
		json_number("gid", st.st_gid);
		json_number("size", st.st_size);
		json_number("blocks", st.st_blocks);
		json_number("links", (long long)st.st_nlink);
		json_number("inode", (long long)st.st_ino);
		json_number("device", (long long)st.st_rdev);
		json_number("mtime", st.st_mtim.tv_sec);
		json_number("mtimeNanos", st.st_mtim.tv_nsec);
		json_string("target", n < 0 ? NULL : target);
		json_open("xattrs", '{');
		ssize_t size = llistxattr(paths[i], names, sizeof names);
		for (char *name = names; name < names + size; name += strlen(name) + 1) {
			char hex[2 * sizeof value + 1] = "";
			ssize_t length = lgetxattr(paths[i], name, value, sizeof value);
			for (ssize_t at = 0; at < length; at++) snprintf(hex + 2 * at, 3, "%02x", (unsigned char)value[at]);
			json_string(name, hex);
		}
		json_close('}');
		json_close('}');
		putchar('\n');
	}
	return 0;
}

static void end_by_signal(int number) {
	_exit(128 + number);
}

/* Pid 1 ignores signals that it has no handler for, so a sleeper that can be stopped needs two. */
static int run_sleep(const char *seconds) {
	signal(SIGTERM, end_by_signal);
	signal(SIGINT, end_by_signal);
	char *fraction = NULL;
	struct timespec left = {strtol(seconds, &fraction, 10), 0};
	/* No strtod: it alone is 10 KB. */
	if (*fraction == '.')
		for (long scale = 100000000; *++fraction >= '0' && *fraction <= '9' && scale; scale /= 10) left.tv_nsec += (*fraction - '0') * scale;
	while (nanosleep(&left, &left) < 0 && errno == EINTR) continue;
	return 0;
}

/* Says "ready", then one line for each signal, until TERM. Synchronous faults keep their default. */
static int run_signal(void) {
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int number = 0;
		if (sigwait(&all, &number) != 0) continue;
		printf("signal %d %s\n", number, strsignal(number));
		fflush(stdout);
		if (number == SIGTERM) return 0;
	}
}

/* Touches N MiB, so that a memory limit shows. */
static int run_alloc(const char *mebibytes) {
	size_t size = (size_t)atol(mebibytes) << 20;
	volatile char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) return fail("mmap");
	for (size_t i = 0; i < size; i += 4096) memory[i] = 1;
	puts("touched");
	return 0;
}

/* Starts up to N children that wait, and says how many there were room for: for limits on pids. */
static int run_fork(const char *count) {
	long wanted = atol(count), started = 0;
	pid_t *children = calloc((size_t)wanted + 1, sizeof *children);
	for (; children && started < wanted; started++) {
		pid_t pid = fork();
		if (pid < 0) break;
		if (pid == 0) {
			pause();
			_exit(0);
		}
		children[started] = pid;
	}
	for (long i = 0; i < started; i++) kill(children[i], SIGKILL), waitpid(children[i], NULL, 0);
	printf("forked %ld\n", started);
	return 0;
}

/*
 * Calls what a default seccomp policy forbids, each with arguments that cannot do harm where it is allowed: a denied
 * call answers EPERM (or ENOSYS) before its arguments are looked at, an allowed one complains of them or works.
 */
static int run_fail_syscalls(void) {
	static const struct {
		const char *name;
		long number, a, b, c, d, e;
	} calls[] = {
	    {"unshare(NEWUSER)", SYS_unshare, CLONE_NEWUSER, 0, 0, 0, 0},
	    {"mount", SYS_mount, 0, 0, 0, 0, 0},
	    {"umount2", SYS_umount2, 0, 0, 0, 0, 0},
	    {"pivot_root", SYS_pivot_root, 0, 0, 0, 0, 0},
	    {"setns", SYS_setns, -1, 0, 0, 0, 0},
	    {"keyctl", SYS_keyctl, -1, 0, 0, 0, 0},
	    {"add_key", SYS_add_key, 0, 0, 0, 0, 0},
	    {"request_key", SYS_request_key, 0, 0, 0, 0, 0},
	    {"bpf", SYS_bpf, -1, 0, 0, 0, 0},
	    {"perf_event_open", SYS_perf_event_open, 0, 0, 0, 0, 0},
	    {"kexec_load", SYS_kexec_load, 0, 0, 0, -1, 0},
	    {"init_module", SYS_init_module, 0, 0, 0, 0, 0},
	    {"delete_module", SYS_delete_module, 0, 0, 0, 0, 0},
	    {"reboot", SYS_reboot, 0, 0, 0, 0, 0},
	    {"swapon", SYS_swapon, 0, 0, 0, 0, 0},
	    {"acct", SYS_acct, -1, 0, 0, 0, 0},
	    {"settimeofday", SYS_settimeofday, -1, 0, 0, 0, 0},
	    {"open_by_handle_at", SYS_open_by_handle_at, -1, 0, 0, 0, 0},
	    {"userfaultfd", SYS_userfaultfd, -1, 0, 0, 0, 0},
	    {"io_uring_setup", SYS_io_uring_setup, 0, 0, 0, 0, 0},
	    {"personality", SYS_personality, 0x0400000, 0, 0, 0, 0},
	};
	for (size_t i = 0; i < COUNT(calls); i++) {
		errno = 0;
		long result = syscall((long)calls[i].number, calls[i].a, calls[i].b, calls[i].c, calls[i].d, calls[i].e);
		printf("%-18s %s\n", calls[i].name, result >= 0 ? "allowed" : errno == EPERM ? "EPERM" : errno == ENOSYS ? "ENOSYS" : strerror(errno));
		fflush(stdout);
	}
	return 0;
}

static int usage(void) {
	fputs("usage: hello [json | exit N | echo ARGS | env | sleep SECONDS | cat | signal | fail-syscalls\n"
	      "              | read PATH | write PATH TEXT | ls PATH | stat PATHS | alloc MIB | fork N]\n",
	      stderr);
	return 2;
}

int main(int argc, char **argv) {
	const char *verb = argc > 1 ? argv[1] : "";
	const char *arg = argc > 2 ? argv[2] : NULL;
	int code = 0;

	if (!*verb) {
		gather();
		print_text();
	} else if (strcmp(verb, "json") == 0) {
		gather();
		print_json(argc, argv);
	} else if (strcmp(verb, "exit") == 0 && arg) code = atoi(arg) & 255;
	else if (strcmp(verb, "echo") == 0)
		for (int i = 2; i <= argc; i++) fputs(i == argc ? "\n" : argv[i], stdout), fputs(i + 1 < argc ? " " : "", stdout);
	else if (strcmp(verb, "env") == 0)
		for (char **e = environ; e && *e; e++) puts(*e);
	else if (strcmp(verb, "sleep") == 0 && arg) code = run_sleep(arg);
	else if (strcmp(verb, "cat") == 0) code = copy_to_stdout(0, "stdin");
	else if (strcmp(verb, "signal") == 0) code = run_signal();
	else if (strcmp(verb, "fail-syscalls") == 0) code = run_fail_syscalls();
	else if (strcmp(verb, "read") == 0 && arg) code = run_read(arg);
	else if (strcmp(verb, "write") == 0 && argc > 3) code = run_write(arg, argv[3]);
	else if (strcmp(verb, "ls") == 0 && arg) code = run_ls(arg);
	else if (strcmp(verb, "stat") == 0 && arg) code = run_stat(argc - 2, argv + 2);
	else if (strcmp(verb, "alloc") == 0 && arg) code = run_alloc(arg);
	else if (strcmp(verb, "fork") == 0 && arg) code = run_fork(arg);
	else code = usage();
	/* A full disk or a closed pipe behind stdout is an error that a test must see. */
	if (fflush(stdout) != 0 && code == 0) code = fail("stdout");
	return code;
}
