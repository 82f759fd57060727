/*
 * facts: the one prober. Prints what this host can do as one JSON document (core/facts.ts is its schema) and exits 0; what
 * it cannot find out it reports as such. It reads, and tries in children of its own (facts_trial.c); it changes nothing.
 *
 *   facts [--quick] [--data DIR] [--runtime DIR]
 *
 * --quick leaves out the trials, which take most of the time. --data and --runtime name Coracle's own directories instead
 * of $XDG_DATA_HOME/coracle and $XDG_RUNTIME_DIR/coracle.
 *
 * Everything works, with less to tell, where /proc is hidden or masked, inside containers, and as any user: identity
 * comes from system calls, and euid 0 proves nothing by itself.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "facts_json.h"
#include "facts_trial.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { PATH_SIZE = 4096, MAX_MOUNTS = 128, MAX_RANGES = 64, MAX_EXTENTS = 340 };

/* ---- text ---- */

/* A whole file, 0-terminated, on the heap (never freed: this process is short); NULL where it cannot be read. */
static char *read_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	size_t size = 0, room = 4096;
	char *text = malloc(room + 1);
	while (text) {
		ssize_t n = read(fd, text + size, room - size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			free(text);
			text = NULL;
		}
		if (n <= 0)
			break;
		size += (size_t)n;
		if (size == room) {
			char *more = realloc(text, (room *= 2) + 1);
			if (!more)
				free(text);
			text = more;
		}
	}
	close(fd);
	if (text)
		text[size] = 0;
	return text;
}

/* First line of a file, or "". */
static const char *read_line(const char *path)
{
	char *text = read_file(path);
	if (!text)
		return "";
	text[strcspn(text, "\n")] = 0;
	return text;
}

/* A number in a file such as a sysctl's, or `absent`. */
static long read_number(const char *path, long absent)
{
	const char *line = read_line(path);
	char *end;
	long number = strtol(line, &end, 10);
	return end == line ? absent : number;
}

static bool starts(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* True where `path` is `above` or lies below it. */
static bool is_below(const char *path, const char *above)
{
	size_t size = strlen(above);
	if (size == 1)
		return path[0] == '/';
	return strncmp(path, above, size) == 0 && (path[size] == 0 || path[size] == '/');
}

static bool list_holds(const char *list, const char *separators, const char *word)
{
	size_t size = strlen(word);
	while (*list) {
		size_t n = strcspn(list, separators);
		if (n == size && strncmp(list, word, n) == 0)
			return true;
		list += n;
		list += strspn(list, separators);
	}
	return false;
}

static void json_words(const char *key, const char *text, const char *separators)
{
	json_open(key, '[');
	char *copy = strdup(text), *rest = NULL;
	for (char *word = copy ? strtok_r(copy, separators, &rest) : NULL; word; word = strtok_r(NULL, separators, &rest))
		json_string(NULL, word);
	free(copy);
	json_close(']');
}

static const char *environment(const char *name)
{
	const char *value = getenv(name);
	return value ? value : "";
}

static const char *errno_name(int error)
{
	static const struct {
		int number;
		const char *name;
	} names[] = {
		{E2BIG, "E2BIG"},   {EACCES, "EACCES"},	  {EAGAIN, "EAGAIN"},	{EBADF, "EBADF"},     {EBUSY, "EBUSY"},	      {ECONNREFUSED, "ECONNREFUSED"},
		{EDQUOT, "EDQUOT"}, {EEXIST, "EEXIST"},	  {EFAULT, "EFAULT"},	{EINTR, "EINTR"},     {EINVAL, "EINVAL"},     {EIO, "EIO"},
		{EISDIR, "EISDIR"}, {ELOOP, "ELOOP"},	  {EMFILE, "EMFILE"},	{ENAMETOOLONG, "ENAMETOOLONG"}, {ENFILE, "ENFILE"}, {ENODEV, "ENODEV"},
		{ENOENT, "ENOENT"}, {ENOMEM, "ENOMEM"},	  {ENOSPC, "ENOSPC"},	{ENOSYS, "ENOSYS"},   {ENOTDIR, "ENOTDIR"},   {ENOTEMPTY, "ENOTEMPTY"},
		{ENOTTY, "ENOTTY"}, {ENXIO, "ENXIO"},	  {EOPNOTSUPP, "EOPNOTSUPP"}, {EOVERFLOW, "EOVERFLOW"}, {EPERM, "EPERM"}, {EROFS, "EROFS"},
		{ESRCH, "ESRCH"},   {ESTALE, "ESTALE"},	  {ETIMEDOUT, "ETIMEDOUT"}, {EUSERS, "EUSERS"}, {EXDEV, "EXDEV"},
	};
	static char other[16];
	for (size_t i = 0; i < COUNT(names); i++)
		if (names[i].number == error)
			return names[i].name;
	snprintf(other, sizeof other, "errno %d", error);
	return other;
}

static void json_tried(const char *key, struct tried tried)
{
	json_open(key, '{');
	json_bool("works", tried.outcome == WORKS);
	json_string("errno", tried.outcome == FAILED ? errno_name(tried.error) : NULL);
	json_string("cause", tried.outcome == WORKS ? NULL : tried.cause);
	json_close('}');
}

/* ---- who we are ---- */

struct map {
	struct {
		unsigned inside, outside, count;
	} extents[MAX_EXTENTS]; /* the kernel's own limit, user_namespaces(7) */
	size_t count;
	bool known; /* false: /proc is hidden. An empty map is one too: of a namespace that nobody has mapped yet */
};

static void read_map(struct map *map, const char *path)
{
	const char *at = read_file(path);
	map->known = at != NULL;
	for (int used; at && map->count < MAX_EXTENTS && sscanf(at, "%u %u %u%n", &map->extents[map->count].inside, &map->extents[map->count].outside, &map->extents[map->count].count, &used) == 3; at += used)
		map->count++;
}

static void json_map(const char *key, const struct map *map)
{
	json_open(key, '[');
	for (size_t i = 0; i < map->count; i++) {
		json_open(NULL, '{');
		json_int("inside", map->extents[i].inside);
		json_int("outside", map->extents[i].outside);
		json_int("count", map->extents[i].count);
		json_close('}');
	}
	json_close(']');
}

static bool map_holds(const struct map *map, unsigned long start, unsigned long count)
{
	for (size_t i = 0; i < map->count; i++)
		if (start >= map->extents[i].inside && start - map->extents[i].inside + count <= map->extents[i].count)
			return true;
	return !map->known;
}

struct self {
	uid_t uid;
	gid_t gid;
	const char *user, *home;
	bool no_new_privs;
	int seccomp_mode;
	bool has_proc, initial_userns;
	struct map uids, gids;
};

/* getpwuid would ask name services over sockets, and a static program cannot load their modules. */
static void read_passwd(struct self *self)
{
	char *rest = read_file("/etc/passwd");
	for (char *line; rest && (line = strsep(&rest, "\n"));) {
		char *name = strsep(&line, ":");
		strsep(&line, ":");
		char *uid = strsep(&line, ":");
		strsep(&line, ":");
		strsep(&line, ":");
		char *home = strsep(&line, ":"), *end;
		if (!uid || !*uid || strtoul(uid, &end, 10) != self->uid || *end)
			continue;
		self->user = name;
		if (!*self->home && home)
			self->home = home;
		return;
	}
}

static void read_self(struct self *self)
{
	self->uid = geteuid();
	self->gid = getegid();
	self->home = environment("HOME");
	read_passwd(self);
	self->no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
	int mode = prctl(PR_GET_SECCOMP);
	self->seccomp_mode = mode < 0 ? 0 : mode;
	struct stat ns;
	self->has_proc = stat("/proc/self/ns/user", &ns) == 0;
	/* PROC_USER_INIT_INO, include/linux/proc_ns.h: a full uid_map proves nothing, root may write one for any namespace. */
	self->initial_userns = self->has_proc && ns.st_ino == 0xEFFFFFFDU;
	read_map(&self->uids, "/proc/self/uid_map");
	read_map(&self->gids, "/proc/self/gid_map");
}

static void json_hex(const char *key, unsigned long long value)
{
	char hex[17];
	snprintf(hex, sizeof hex, "%016llx", value);
	json_string(key, hex);
}

static void json_capabilities(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {0};
	syscall(SYS_capget, &header, data);
	json_hex("capEffective", (unsigned long long)data[1].effective << 32 | data[0].effective);
	unsigned long long bounding = 0;
	for (unsigned long cap = 0; cap < 64; cap++) {
		int present = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
		if (present < 0)
			break; /* beyond the kernel's last */
		if (present)
			bounding |= 1ULL << cap;
	}
	json_hex("capBounding", bounding);
}

static void json_rlimits(void)
{
	static const struct {
		int resource;
		const char *name;
	} limits[] = {
		{RLIMIT_AS, "RLIMIT_AS"},	  {RLIMIT_CORE, "RLIMIT_CORE"},	      {RLIMIT_CPU, "RLIMIT_CPU"},	    {RLIMIT_DATA, "RLIMIT_DATA"},
		{RLIMIT_FSIZE, "RLIMIT_FSIZE"},	  {RLIMIT_LOCKS, "RLIMIT_LOCKS"},     {RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK"},   {RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE"},
		{RLIMIT_NICE, "RLIMIT_NICE"},	  {RLIMIT_NOFILE, "RLIMIT_NOFILE"},   {RLIMIT_NPROC, "RLIMIT_NPROC"},	    {RLIMIT_RSS, "RLIMIT_RSS"},
		{RLIMIT_RTPRIO, "RLIMIT_RTPRIO"}, {RLIMIT_RTTIME, "RLIMIT_RTTIME"},   {RLIMIT_SIGPENDING, "RLIMIT_SIGPENDING"}, {RLIMIT_STACK, "RLIMIT_STACK"},
	};
	json_open("rlimits", '{');
	for (size_t i = 0; i < COUNT(limits); i++) {
		struct rlimit limit;
		char text[24];
		if (getrlimit(limits[i].resource, &limit) < 0)
			continue;
		json_open(limits[i].name, '{');
		snprintf(text, sizeof text, "%llu", (unsigned long long)limit.rlim_cur);
		json_string("soft", text);
		snprintf(text, sizeof text, "%llu", (unsigned long long)limit.rlim_max);
		json_string("hard", text);
		json_close('}');
	}
	json_close('}');
}

static void json_self(const struct self *self)
{
	json_open("self", '{');
	json_int("uid", self->uid);
	json_int("gid", self->gid);
	static gid_t groups[65536]; /* NGROUPS_MAX */
	int count = getgroups(COUNT(groups), groups);
	json_open("groups", '[');
	for (int i = 0; i < count; i++)
		json_int(NULL, groups[i]);
	json_close(']');
	json_string("user", self->user);
	json_string("home", self->home);
	json_capabilities();
	json_map("uidMap", &self->uids);
	json_map("gidMap", &self->gids);
	json_string("setgroups", strcmp(read_line("/proc/self/setgroups"), "deny") == 0 ? "deny" : "allow");
	json_bool("initialUserns", self->initial_userns);
	json_bool("noNewPrivs", self->no_new_privs);
	json_int("seccompMode", self->seccomp_mode);
	json_rlimits();
	json_close('}');
}

/* ---- executables ---- */

/* An executable regular file from PATH, then from where systems keep them; NULL: none. */
static const char *find_tool(const char *name)
{
	char *search, *rest;
	if (asprintf(&search, "%s:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin", environment("PATH")) < 0)
		return NULL;
	rest = search;
	for (char *dir; (dir = strsep(&rest, ":"));) {
		char path[PATH_SIZE];
		struct stat st;
		/* A relative entry means another file in another directory. */
		if (dir[0] != '/' || snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
			continue;
		if (access(path, X_OK) == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
			free(search);
			return strdup(path);
		}
	}
	free(search);
	return NULL;
}

/* What keeps a helper from the capability that it needs; NULL: nothing. */
static const char *helper_defect(const struct self *self, const char *path, int capability)
{
	if (!path)
		return "newuidmap-missing";
	struct stat st;
	struct statvfs fs;
	struct vfs_cap_data caps = {0};
	if (stat(path, &st) < 0)
		return "newuidmap-missing";
	bool setuid = (st.st_mode & S_ISUID) && st.st_uid == 0;
	/* Debian and Ubuntu make it setuid; Fedora and openSUSE give it file capabilities instead (capabilities(7)). */
	ssize_t size = getxattr(path, "security.capability", &caps, sizeof caps);
	bool filecap = size >= (ssize_t)XATTR_CAPS_SZ_1 && (caps.data[0].permitted >> capability & 1);
	if (!setuid && !filecap)
		return "newuidmap-unprivileged";
	if (self->no_new_privs)
		return "no-new-privs";
	return statvfs(path, &fs) == 0 && (fs.f_flag & ST_NOSUID) ? "nosuid" : NULL;
}

/* Rows `owner:start:count` that belong to this user, by name or by number (subuid(5)). */
static size_t read_ranges(const char *path, const struct self *self, struct range *ranges)
{
	char number[16];
	snprintf(number, sizeof number, "%u", self->uid);
	/* Where users come from a directory service, passwd has none: the helper, which can ask, decides in the end. */
	const char *name = self->user ? self->user : environment("USER");
	size_t count = 0;
	char *rest = read_file(path);
	for (char *line; rest && count < MAX_RANGES && (line = strsep(&rest, "\n"));) {
		char *owner = strsep(&line, ":"), *start = strsep(&line, ":"), *end1, *end2;
		if (!start || !line || (strcmp(owner, number) != 0 && (!*name || strcmp(owner, name) != 0)))
			continue;
		struct range range = {strtoul(start, &end1, 10), strtoul(line, &end2, 10)};
		if (end1 != start && end2 != line && !*end1 && !*end2 && range.count > 0 && range.start + range.count <= 0xffffffffUL)
			ranges[count++] = range;
	}
	return count;
}

struct subids {
	struct range uid[MAX_RANGES], gid[MAX_RANGES];
	size_t uids, gids;
	const char *newuidmap, *newgidmap, *cause;
};

static void read_subids(struct subids *subids, const struct self *self)
{
	subids->uids = read_ranges("/etc/subuid", self, subids->uid);
	subids->gids = read_ranges("/etc/subgid", self, subids->gid);
	subids->newuidmap = find_tool("newuidmap");
	subids->newgidmap = find_tool("newgidmap");
	const char *uid_defect = helper_defect(self, subids->newuidmap, CAP_SETUID);
	const char *gid_defect = helper_defect(self, subids->newgidmap, CAP_SETGID);
	if (uid_defect)
		subids->newuidmap = NULL;
	if (gid_defect)
		subids->newgidmap = NULL;
	subids->cause = uid_defect ? uid_defect : gid_defect ? gid_defect : subids->uids == 0 ? "no-subuid" : subids->gids == 0 ? "no-subgid" : NULL;
}

static void json_ranges(const char *key, const struct range *ranges, size_t count)
{
	json_open(key, '[');
	for (size_t i = 0; i < count; i++) {
		json_open(NULL, '{');
		json_int("start", (long long)ranges[i].start);
		json_int("count", (long long)ranges[i].count);
		json_close('}');
	}
	json_close(']');
}

static void json_subids(const struct subids *subids, struct tried mapping)
{
	json_open("subids", '{');
	json_ranges("uid", subids->uid, subids->uids);
	json_ranges("gid", subids->gid, subids->gids);
	json_string("newuidmap", subids->newuidmap);
	json_string("newgidmap", subids->newgidmap);
	json_string("cause", subids->cause);
	json_tried("mapping", mapping);
	json_close('}');
}

/* ---- mounts ---- */

struct mount {
	const char *root, *point, *fs, *super;
	bool v2;
};

struct mounts {
	struct mount cgroups[MAX_MOUNTS];
	size_t cgroup_count;
	const char *masked[MAX_MOUNTS];
	size_t masked_count;
};

/* Undoes the octal escapes of proc_pid_mountinfo(5), in place. */
static char *unescape(char *text)
{
	char *out = text;
	for (const char *in = text; *in; out++) {
		if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] >= '0' && in[2] <= '7' && in[3] >= '0' && in[3] <= '7') {
			*out = (char)((in[1] - '0') << 6 | (in[2] - '0') << 3 | (in[3] - '0'));
			in += 4;
		} else {
			*out = *in++;
		}
	}
	*out = 0;
	return text;
}

/* A mount on /proc or /sys that hides or freezes something, and not one of the file systems whose place is there. */
static bool is_mask(const char *point, const char *options, const char *fs)
{
	static const char at_home[] = "cgroup cgroup2 securityfs debugfs tracefs pstore bpf efivarfs configfs fusectl selinuxfs binfmt_misc nfsd rpc_pipefs resctrl autofs smackfs";
	if (strcmp(point, "/proc") == 0 || strcmp(point, "/sys") == 0)
		return list_holds(options, ",", "ro");
	if (!is_below(point, "/proc") && !is_below(point, "/sys"))
		return false;
	return strcmp(point, "/sys/fs/cgroup") != 0 && !list_holds(at_home, " ", fs);
}

static void read_mounts(struct mounts *mounts)
{
	char *rest = read_file("/proc/self/mountinfo");
	for (char *line; rest && (line = strsep(&rest, "\n"));) {
		/* id parent major:minor root point options [optional …] - type source super */
		char *field[6];
		for (size_t i = 0; i < COUNT(field); i++)
			field[i] = strsep(&line, " ");
		char *tail = line ? starts(line, "- ") ? line : strstr(line, " - ") : NULL;
		if (!tail)
			continue;
		tail += *tail == '-' ? 2 : 3;
		const char *fs = strsep(&tail, " ");
		strsep(&tail, " ");
		if (!tail)
			continue;
		char *point = unescape(field[4]);
		bool v2 = strcmp(fs, "cgroup2") == 0;
		if ((v2 || strcmp(fs, "cgroup") == 0) && mounts->cgroup_count < MAX_MOUNTS)
			mounts->cgroups[mounts->cgroup_count++] = (struct mount){unescape(field[3]), point, fs, tail, v2};
		if (is_mask(point, field[5], fs) && mounts->masked_count < MAX_MOUNTS)
			mounts->masked[mounts->masked_count++] = point;
	}
}

static bool is_masked(const struct mounts *mounts, const char *below)
{
	for (size_t i = 0; i < mounts->masked_count; i++)
		if (is_below(mounts->masked[i], below))
			return true;
	return false;
}

/* ---- cgroups ---- */

static bool can_write_in(const char *dir, const char *file)
{
	char path[PATH_SIZE];
	return snprintf(path, sizeof path, "%s/%s", dir, file) < (int)sizeof path && access(path, W_OK) == 0;
}

static bool exists_in(const char *dir, const char *file)
{
	char path[PATH_SIZE];
	return snprintf(path, sizeof path, "%s/%s", dir, file) < (int)sizeof path && access(path, F_OK) == 0;
}

static const char *read_line_in(const char *dir, const char *file)
{
	char path[PATH_SIZE];
	return snprintf(path, sizeof path, "%s/%s", dir, file) < (int)sizeof path ? read_line(path) : "";
}

/* Where a cgroup path is seen under a mount, written into `dir`; false: outside of what that mount shows. */
static bool locate(const struct mount *mount, const char *path, char dir[PATH_SIZE])
{
	/* A cgroup namespace shows what is above its root as /.. */
	if (starts(path, "/..") || !is_below(path, mount->root))
		return false;
	const char *below = strcmp(mount->root, "/") == 0 ? path : path + strlen(mount->root);
	return snprintf(dir, PATH_SIZE, "%s%s", mount->point, strcmp(below, "/") == 0 ? "" : below) < PATH_SIZE;
}

/* cgroups(7), "cgroups delegation: delegating a hierarchy": these three belong to a delegate. */
static bool is_delegated(const char *dir)
{
	return access(dir, W_OK | X_OK) == 0 && can_write_in(dir, "cgroup.procs") && can_write_in(dir, "cgroup.subtree_control");
}

static void json_v2(const struct mount *mount, const char *path)
{
	char dir[PATH_SIZE], top[PATH_SIZE] = "", at[PATH_SIZE];
	if (!mount || !path || !locate(mount, path, dir)) {
		json_null("v2");
		return;
	}
	bool own = access(dir, W_OK | X_OK) == 0 && can_write_in(dir, "cgroup.procs");
	/* Upwards while it stays ours. The first that is not ends it: what lies between must be writable to move through. */
	strcpy(at, dir);
	while (is_delegated(at)) {
		strcpy(top, at);
		char *slash = strrchr(at, '/');
		if (strcmp(at, mount->point) == 0 || !slash || slash == at)
			break;
		*slash = 0;
	}
	const char *base = *top ? top : dir;
	bool is_root = !exists_in(base, "cgroup.type"); /* every cgroup but the root has it */
	json_open("v2", '{');
	json_string("mount", mount->point);
	json_string("path", path);
	json_bool("writable", own);
	json_string("delegated", *top ? top : NULL);
	json_words("controllers", read_line_in(base, "cgroup.controllers"), " ");
	json_words("enabled", read_line_in(base, "cgroup.subtree_control"), " ");
	json_bool("occupied", !is_root && *read_line_in(base, "cgroup.procs") != 0);
	json_bool("kill", exists_in(dir, "cgroup.kill") || exists_in(base, "cgroup.kill"));
	json_close('}');
}

static void json_v1(const struct mounts *mounts, const char *controllers, const char *path, uid_t uid)
{
	char first[64], dir[PATH_SIZE], delegated[PATH_SIZE] = "";
	snprintf(first, sizeof first, "%.*s", (int)strcspn(controllers, ","), controllers);
	const struct mount *mount = NULL;
	for (size_t i = 0; i < mounts->cgroup_count && !mount; i++)
		if (!mounts->cgroups[i].v2 && list_holds(mounts->cgroups[i].super, ",", first))
			mount = &mounts->cgroups[i];
	if (!mount)
		return;
	/* The convention of set-up: a directory for each user, made by root and given to him. v1 asks no write access to a
	 * common ancestor, so a process can be moved there from anywhere. */
	if (snprintf(dir, sizeof dir, "%s/coracle/%u", mount->point, uid) < PATH_SIZE && access(dir, W_OK | X_OK) == 0 && can_write_in(dir, "cgroup.procs"))
		strcpy(delegated, dir);
	else if (locate(mount, path, dir) && access(dir, W_OK | X_OK) == 0 && can_write_in(dir, "cgroup.procs"))
		strcpy(delegated, dir);
	json_open(NULL, '{');
	json_words("controllers", controllers, ",");
	json_string("mount", mount->point);
	json_string("path", path);
	json_string("delegated", *delegated ? delegated : NULL);
	json_close('}');
}

/* Swap's knobs are missing where the kernel was built without swap, or started with swapaccount=0. The root cgroup has none in any case. */
static bool accounts_swap(const struct mounts *mounts, const struct mount *v2, const char *v2_path)
{
	char dir[PATH_SIZE];
	for (size_t i = 0; i < mounts->cgroup_count; i++)
		if (!mounts->cgroups[i].v2 && list_holds(mounts->cgroups[i].super, ",", "memory"))
			return exists_in(mounts->cgroups[i].point, "memory.memsw.limit_in_bytes");
	if (!v2 || !v2_path || !locate(v2, v2_path, dir))
		return true;
	/* Upwards, to the first that has the memory controller. */
	for (char *slash; strcmp(dir, v2->point) != 0 && (slash = strrchr(dir, '/')) && slash != dir; *slash = 0)
		if (exists_in(dir, "memory.max"))
			return exists_in(dir, "memory.swap.max");
	return true;
}

/* Connects and hangs up: that somebody listens is all that is asked. `abstract` names have no file. */
static bool answers(const char *path, bool abstract)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t size = strlen(path);
	if (size == 0 || size + abstract >= sizeof address.sun_path)
		return false;
	memcpy(address.sun_path + abstract, path, size);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	int result = connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size + abstract));
	close(fd);
	return result == 0;
}

static void json_systemd_user(uid_t uid, const struct mount *v2)
{
	char runtime[PATH_SIZE / 2], path[PATH_SIZE];
	const char *set = environment("XDG_RUNTIME_DIR");
	if (*set == '/')
		snprintf(runtime, sizeof runtime, "%s", set);
	else
		snprintf(runtime, sizeof runtime, "/run/user/%u", uid); /* pam_systemd's place, which su and sudo forget to set */
	snprintf(path, sizeof path, "%s/systemd", runtime);
	const char *found = NULL;
	bool manager = access(path, F_OK) == 0; /* else a bus is only a bus, without anybody to make a scope */
	snprintf(path, sizeof path, "%s/systemd/private", runtime);
	if (manager && answers(path, false))
		found = path;
	char *address = strdup(environment("DBUS_SESSION_BUS_ADDRESS"));
	if (manager && !found && address && starts(address, "unix:")) {
		address[strcspn(address, ",;")] = 0;
		bool abstract = starts(address, "unix:abstract=");
		const char *name = strchr(address, '=');
		if (name && (abstract || starts(address, "unix:path=")) && answers(name + 1, abstract)) {
			snprintf(path, sizeof path, "%s%s", abstract ? "@" : "", name + 1);
			found = path;
		}
	}
	if (manager && !found) {
		snprintf(path, sizeof path, "%s/bus", runtime);
		if (answers(path, false))
			found = path;
	}
	free(address);
	if (!found) {
		json_null("systemdUser");
		return;
	}
	json_open("systemdUser", '{');
	json_string("socket", found);
	json_string("version", "");
	/* user@.service is delegated (Delegate=): what it has, the scopes that it makes can have. */
	if (v2) {
		snprintf(path, sizeof path, "%s/user.slice/user-%u.slice/user@%u.service/cgroup.controllers", v2->point, uid, uid);
		json_words("controllers", read_line(path), " ");
	}
	json_close('}');
}

static void json_cgroup(const struct mounts *mounts, uid_t uid)
{
	const struct mount *v2 = NULL;
	bool v1 = false;
	for (size_t i = 0; i < mounts->cgroup_count; i++) {
		v1 |= !mounts->cgroups[i].v2;
		if (mounts->cgroups[i].v2 && !v2)
			v2 = &mounts->cgroups[i];
	}
	json_open("cgroup", '{');
	json_string("mode", v2 && v1 ? "hybrid" : v2 ? "v2" : v1 ? "v1" : "none");
	const char *v2_path = NULL;
	char *own = read_file("/proc/self/cgroup"), *rest = own ? strdup(own) : NULL;
	for (char *line; rest && (line = strsep(&rest, "\n"));)
		if (starts(line, "0::"))
			v2_path = line + 3;
	json_v2(v2, v2_path);
	json_open("v1", '[');
	rest = own;
	for (char *line; rest && (line = strsep(&rest, "\n"));) {
		strsep(&line, ":");
		const char *controllers = strsep(&line, ":");
		if (controllers && *controllers && line)
			json_v1(mounts, controllers, line, uid);
	}
	json_close(']');
	json_bool("swap", accounts_swap(mounts, v2, v2_path));
	json_systemd_user(uid, v2);
	json_bool("systemdSystem", access("/run/systemd/system", F_OK) == 0); /* sd_booted(3) */
	json_close('}');
}

/* ---- directories ---- */

static const char *fs_name(long type)
{
	static const struct {
		unsigned long magic;
		const char *name;
	} names[] = {
		{0xef53, "ext4"},	 {0x58465342, "xfs"},	  {0x9123683e, "btrfs"},  {0x01021994, "tmpfs"},     {0x6969, "nfs"},	       {0x794c7630, "overlayfs"},
		{0x65735546, "fuse"},	 {0xff534d42, "cifs"},	  {0xfe534d42, "smb2"},	  {0x2fc12fc1, "zfs"},	     {0xf2f52010, "f2fs"},     {0xca451a4e, "bcachefs"},
		{0x01021997, "9p"},	 {0x00c36400, "ceph"},	  {0x0bd00bd0, "lustre"}, {0x47504653, "gpfs"},	     {0x5346414f, "afs"},      {0x73717368, "squashfs"},
		{0xe0f5e1e2, "erofs"},	 {0x858458f6, "ramfs"},	  {0xf15f, "ecryptfs"},	  {0x4d44, "msdos"},	     {0x2011bab0, "exfat"},    {0x9660, "iso9660"},
		{0x01161970, "gfs2"},	 {0x7461636f, "ocfs2"},	  {0x19830326, "beegfs"}, {0x3153464a, "jfs"},	     {0x52654973, "reiserfs"}, {0x9fa0, "proc"},
	};
	static char other[24];
	for (size_t i = 0; i < COUNT(names); i++)
		if (names[i].magic == ((unsigned long)type & 0xffffffff))
			return names[i].name;
	snprintf(other, sizeof other, "0x%lx", (unsigned long)type & 0xffffffff);
	return other;
}

struct dir {
	char path[PATH_SIZE], existing[PATH_SIZE]; /* the nearest ancestor that exists, or the directory itself */
	const char *fs;
	bool writable, user_xattr;
};

static void read_dir(struct dir *dir)
{
	dir->fs = "";
	if (dir->path[0] != '/') {
		dir->path[0] = 0; /* the XDG specification: a relative path is to be ignored */
		return;
	}
	strcpy(dir->existing, dir->path);
	struct stat st = {0};
	while (stat(dir->existing, &st) < 0 && dir->existing[1]) {
		char *slash = strrchr(dir->existing, '/');
		slash[slash == dir->existing] = 0;
	}
	struct statfs fs;
	if (statfs(dir->existing, &fs) == 0)
		dir->fs = strdup(fs_name((long)fs.f_type));
	dir->writable = S_ISDIR(st.st_mode) && access(dir->existing, W_OK | X_OK) == 0;
	/* Asking for one that is not there tells whether there could be, and writes nothing: ENODATA or EOPNOTSUPP. */
	dir->user_xattr = getxattr(dir->existing, "user.coracle", NULL, 0) >= 0 || errno == ENODATA;
}

static void json_dir(const char *key, const struct dir *dir, const struct tried *overlay)
{
	json_open(key, '{');
	json_string("path", dir->path);
	json_bool("writable", dir->writable);
	json_string("fs", dir->fs);
	if (overlay) {
		json_bool("userXattr", dir->user_xattr);
		json_tried("overlay", *overlay);
	}
	json_close('}');
}

/* ---- causes: why a trial failed, as far as the host itself says so ---- */

struct policy {
	long apparmor_restrict; /* -1: the kernel has no such switch */
	const char *lsm;
	bool chrooted;
};

/* A root directory that is no mount's root: a chroot, in which the kernel makes no user namespace (user_namespaces(7)). */
static bool is_chrooted(void)
{
	/* statx(2) by its ABI: musl 1.2.3 has no wrapper, and linux/stat.h clashes with sys/stat.h. Of its 256 bytes,
	 * stx_attributes is the second word of eight bytes, stx_attributes_mask the eighth. Since Linux 5.8. */
	const uint64_t mount_root = 0x2000;
	uint64_t words[32] = {0};
	return syscall(SYS_statx, AT_FDCWD, "/", AT_NO_AUTOMOUNT, 0, words) == 0 && (words[7] & mount_root) && !(words[1] & mount_root);
}

static void read_policy(struct policy *policy)
{
	policy->apparmor_restrict = read_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", -1);
	policy->lsm = read_line("/sys/kernel/security/lsm");
	if (!*policy->lsm) {
		/* securityfs is not mounted in containers; these two show themselves elsewhere. */
		bool apparmor = starts(read_line("/sys/module/apparmor/parameters/enabled"), "Y");
		bool selinux = access("/sys/fs/selinux/enforce", F_OK) == 0;
		policy->lsm = apparmor && selinux ? "apparmor,selinux" : apparmor ? "apparmor" : selinux ? "selinux" : "";
	}
	policy->chrooted = is_chrooted();
}

static const char *userns_cause(const struct trials *trials, const struct self *self, const struct policy *policy)
{
	int error = trials->userns.error;
	bool denied = error == EPERM || error == EACCES;
	if (error == ENOSPC || error == EUSERS)
		return read_number("/proc/sys/user/max_user_namespaces", -1) == 0 ? "max-user-namespaces" : "userns-limit";
	if (error == EINVAL && !trials->userns_made)
		return "no-kernel-support";
	if (trials->userns_made && error == ENOENT)
		return "proc-hidden";
	if (denied && policy->apparmor_restrict == 1)
		return "apparmor-restrict";
	if (denied && read_number("/proc/sys/kernel/unprivileged_userns_clone", -1) == 0)
		return "unprivileged-userns-clone";
	if (denied && policy->chrooted)
		return "chroot";
	if (denied && (!map_holds(&self->uids, self->uid, 1) || !map_holds(&self->gids, self->gid, 1)))
		return "own-id-unmapped";
	if ((denied || error == ENOSYS) && self->seccomp_mode == 2)
		return "seccomp";
	return error == EACCES && list_holds(policy->lsm, ",", "selinux") ? "selinux" : NULL;
}

/* The administrator's limit on a kind of namespace (namespaces(7)), or -1. */
static long ns_limit(int ns)
{
	static const char *const names[NS_COUNT] = {"mnt", "pid", "net", "ipc", "uts", "cgroup", "time"};
	char path[64];
	snprintf(path, sizeof path, "/proc/sys/user/max_%s_namespaces", names[ns]);
	return read_number(path, -1);
}

static const char *denied_cause(int error, const struct self *self, const struct policy *policy)
{
	if (error == ENODEV)
		return "no-kernel-support";
	if (error != EPERM && error != EACCES)
		return NULL;
	if (policy->apparmor_restrict == 1 && self->initial_userns)
		return "apparmor-restrict";
	if (self->seccomp_mode == 2 && error == EPERM)
		return "seccomp";
	if (error == EACCES && *policy->lsm)
		return list_holds(policy->lsm, ",", "apparmor") ? "apparmor" : list_holds(policy->lsm, ",", "selinux") ? "selinux" : NULL;
	return NULL;
}

static const char *device_cause(int error)
{
	switch (error) {
	case ENOENT:
		return "device-missing";
	case EACCES:
		return "device-mode";
	case EPERM:
		return "device-cgroup"; /* the devices controller's answer; modes give EACCES */
	case ENXIO:
	case ENODEV:
		return "no-kernel-support";
	default:
		return NULL;
	}
}

static struct tried try_device(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return (struct tried){FAILED, errno, device_cause(errno)};
	close(fd);
	return (struct tried){WORKS, 0, NULL};
}

static void set_cause(struct tried *tried, const char *cause)
{
	if (tried->outcome == FAILED && !tried->cause)
		tried->cause = cause;
}

static const char *data_overlay_cause(const struct dir *data, int error)
{
	static const char remote[] = "nfs cifs smb2 9p ceph lustre gpfs afs beegfs gfs2 ocfs2";
	if (list_holds(remote, " ", data->fs))
		return "remote-fs";
	if (strcmp(data->fs, "overlayfs") == 0)
		return "overlay-on-overlay";
	if (!data->user_xattr)
		return "no-user-xattr";
	return error == EACCES && !data->writable ? "not-writable" : error == EROFS ? "read-only" : NULL;
}

static void explain_trials(struct trials *trials, const struct self *self, const struct policy *policy, const struct mounts *mounts, const struct dir *data,
			   const struct subids *subids)
{
	if (trials->userns.outcome == FAILED)
		set_cause(&trials->userns, userns_cause(trials, self, policy));
	for (int i = 0; i < NS_COUNT; i++) {
		int error = trials->ns[i].error;
		set_cause(&trials->ns[i], error == EINVAL ? "no-kernel-support" : error == ENOSPC && ns_limit(i) == 0 ? "max-namespaces" : denied_cause(error, self, policy));
	}
	/* fs/namespace.c, mount_too_revealing(): a new proc or sysfs must not show what a mask hides. */
	struct tried *proc = &trials->fs[FS_PROC], *sysfs = &trials->fs[FS_SYSFS], *fuse = &trials->fs[FS_FUSE];
	if (proc->error == EPERM && (is_masked(mounts, "/proc") || !self->has_proc))
		set_cause(proc, "proc-masked");
	if (proc->error == EPERM && trials->ns[NS_PID].outcome != WORKS)
		set_cause(proc, "no-pid-namespace");
	if (sysfs->error == EPERM && is_masked(mounts, "/sys"))
		set_cause(sysfs, "sys-masked");
	if (sysfs->error == EPERM && trials->ns[NS_NETWORK].outcome != WORKS)
		set_cause(sysfs, "no-network-namespace");
	struct tried device = try_device("/dev/fuse");
	if (device.outcome == FAILED && device.error == fuse->error)
		set_cause(fuse, device.cause);
	for (int i = 0; i < FS_COUNT; i++)
		set_cause(&trials->fs[i], denied_cause(trials->fs[i].error, self, policy));
	set_cause(&trials->data_overlay, data_overlay_cause(data, trials->data_overlay.error));
	set_cause(&trials->data_overlay, denied_cause(trials->data_overlay.error, self, policy));
	/* A file's grant is of no use where the namespace around us lacks the ids. */
	if (trials->mapping.outcome == FAILED && (!map_holds(&self->uids, subids->uid[0].start, subids->uid[0].count) || !map_holds(&self->gids, subids->gid[0].start, subids->gid[0].count)))
		trials->mapping.cause = "range-unmapped";
}

/* ---- the document ---- */

static const char *architecture(void)
{
#if defined __x86_64__
	return "amd64";
#elif defined __aarch64__
	return "arm64";
#elif defined __arm__
	return "arm";
#elif defined __i386__
	return "386";
#elif defined __riscv && __riscv_xlen == 64
	return "riscv64";
#elif defined __powerpc64__ && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return "ppc64le";
#elif defined __s390x__
	return "s390x";
#elif defined __loongarch64
	return "loong64";
#elif defined __mips64 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return "mips64le";
#else
#error "name this architecture as Go does"
#endif
}

static const char *container_kind(void)
{
	if (*environment("KUBERNETES_SERVICE_HOST"))
		return "kubernetes";
	if (access("/run/.containerenv", F_OK) == 0)
		return "podman";
	if (access("/.dockerenv", F_OK) == 0)
		return "docker";
	const char *systemd = read_line("/run/systemd/container"); /* systemd, CONTAINER_INTERFACE */
	if (*systemd)
		return systemd;
	return *environment("container") ? environment("container") : NULL;
}

static void json_kernel(void)
{
	struct utsname name;
	int major = 0, minor = 0;
	uname(&name);
	sscanf(name.release, "%d.%d", &major, &minor);
	json_open("kernel", '{');
	json_string("release", name.release);
	json_int("major", major);
	json_int("minor", minor);
	json_close('}');
	json_string("arch", architecture());
	json_string("hostname", name.nodename);
	json_string("bootId", read_line("/proc/sys/kernel/random/boot_id"));
}

/* The directory that this program lies in. */
static const char *native_dir(void)
{
	static char path[PATH_SIZE];
	ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
	path[size < 0 ? 0 : size] = 0;
	char *slash = strrchr(path, '/');
	if (slash)
		*slash = 0;
	return path;
}

static bool seccomp_action(unsigned action)
{
	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

static void json_security(const struct policy *policy)
{
	json_open("seccomp", '{');
	json_bool("filter", seccomp_action(SECCOMP_RET_ERRNO));
	json_bool("userNotif", seccomp_action(SECCOMP_RET_USER_NOTIF));
	json_close('}');
	json_open("lsm", '{');
	json_words("active", policy->lsm, ",");
	if (policy->apparmor_restrict < 0)
		json_null("apparmorRestrictUserns");
	else
		json_bool("apparmorRestrictUserns", policy->apparmor_restrict != 0);
	/* landlock_create_ruleset(2) with this flag answers the ABI's number and makes nothing. */
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1U << 0);
	json_int("landlockAbi", abi < 0 ? 0 : abi);
	json_close('}');
}

static void json_trials(const char *key, const char *const *names, const struct tried *tried, int count)
{
	json_open(key, '{');
	for (int i = 0; i < count; i++)
		json_tried(names[i], tried[i]);
	json_close('}');
}

static const char *const ns_names[NS_COUNT] = {"mount", "pid", "network", "ipc", "uts", "cgroup", "time"};
static const char *const fs_names[FS_COUNT] = {"proc", "sysfs", "mqueue", "devpts", "tmpfs", "overlay", "fuse"};

static struct self self;
static struct subids subids;
static struct mounts mounts;
static struct policy policy;
static struct trials trials;
static struct dir runtime, data;

static void set_dirs(const char *data_dir, const char *runtime_dir)
{
	const char *base = environment("XDG_DATA_HOME");
	if (data_dir)
		snprintf(data.path, sizeof data.path, "%s", data_dir);
	else if (*base == '/')
		snprintf(data.path, sizeof data.path, "%s/coracle", base);
	else if (*self.home == '/')
		snprintf(data.path, sizeof data.path, "%s/.local/share/coracle", strcmp(self.home, "/") == 0 ? "" : self.home);
	base = environment("XDG_RUNTIME_DIR");
	if (runtime_dir)
		snprintf(runtime.path, sizeof runtime.path, "%s", runtime_dir);
	else if (*base == '/')
		snprintf(runtime.path, sizeof runtime.path, "%s/coracle", base);
	read_dir(&data);
	read_dir(&runtime);
}

static void run_trials(void)
{
	struct trial_input input = {.uid = self.uid, .gid = self.gid, .newuidmap = subids.newuidmap, .newgidmap = subids.newgidmap, .data = data.writable ? data.existing : NULL};
	if (subids.uids > 0)
		input.subuid = subids.uid[0];
	if (subids.gids > 0)
		input.subgid = subids.gid[0];
	trials_run(&trials, &input);
	explain_trials(&trials, &self, &policy, &mounts, &data, &subids);
}

int main(int argc, char **argv)
{
	bool quick = false;
	const char *data_dir = NULL, *runtime_dir = NULL;
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0)
			quick = true;
		else if (strcmp(argv[i], "--full") == 0)
			quick = false;
		else if (strcmp(argv[i], "--data") == 0 && i + 1 < argc)
			data_dir = argv[++i];
		else if (strcmp(argv[i], "--runtime") == 0 && i + 1 < argc)
			runtime_dir = argv[++i];
		else {
			fprintf(stderr, "usage: facts [--quick|--full] [--data DIR] [--runtime DIR]\n");
			return 2;
		}
	}
	read_self(&self);
	read_subids(&subids, &self);
	read_mounts(&mounts);
	read_policy(&policy);
	set_dirs(data_dir, runtime_dir);
	if (quick)
		trials_skip(&trials, "not-tried");
	else
		run_trials();

	json_open(NULL, '{');
	json_int("version", 1);
	json_string("depth", quick ? "quick" : "full");
	json_string("nativeDir", native_dir());
	json_kernel();
	json_self(&self);
	json_tried("userns", trials.userns);
	json_subids(&subids, trials.mapping);
	json_trials("namespaces", ns_names, trials.ns, NS_COUNT);
	json_trials("mounts", fs_names, trials.fs, FS_COUNT);
	json_open("procMasked", '[');
	for (size_t i = 0; i < mounts.masked_count; i++)
		json_string(NULL, mounts.masked[i]);
	json_close(']');
	json_cgroup(&mounts, self.uid);
	json_open("tools", '{');
	json_string("slirp4netns", find_tool("slirp4netns"));
	json_string("pasta", find_tool("pasta"));
	json_string("fuseOverlayfs", find_tool("fuse-overlayfs"));
	json_close('}');
	json_open("devices", '{');
	json_tried("fuse", try_device("/dev/fuse"));
	json_tried("tun", try_device("/dev/net/tun"));
	json_close('}');
	json_security(&policy);
	json_open("dirs", '{');
	json_dir("runtime", &runtime, NULL);
	json_dir("data", &data, &trials.data_overlay);
	json_close('}');
	json_string("insideContainer", container_kind());
	json_close('}');
	return json_flush() ? 0 : 1;
}
