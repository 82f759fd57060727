/* What init becomes: limits, ids, capabilities, filter, executable. The last steps of the child side. */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include "stage.h"

/*
 * Through the host's /proc, before the pivot: the container's could be anything (CVE-2025-52881). What is written is the
 * container's all the same: namespaced parameters are looked up by the namespaces of the writer.
 */
int op_sysctl(struct stage *s, const struct sysctl_args *a)
{
	struct statfs fs;
	int proc = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0)
		return failed(s, SYS_open);
	int r = 0, fd = -1;
	if (fstatfs(proc, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
		r = failed_as(s, SYS_fstatfs, ENODEV);
	else if ((fd = sys_openat2(proc, text_of(s, a->path), O_WRONLY | O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV)) < 0)
		r = failed(s, SYS_openat2);
	else if (write(fd, text_of(s, a->value), a->value.length) < 0)
		r = failed(s, SYS_write);
	if (fd >= 0)
		close(fd);
	close(proc);
	return r;
}

int op_rlimit(struct stage *s, const struct rlimit_args *a)
{
	uint64_t limit[2] = {a->soft, a->hard};
	return syscall(SYS_prlimit64, 0, (int)a->resource, limit, NULL) < 0 ? failed(s, SYS_prlimit64) : 0;
}

int op_oom_score(struct stage *s, const struct oom_score_args *a)
{
	char text[24];
	int length = snprintf(text, sizeof text, "%lld", (long long)a->value);
	return write_file_at(AT_FDCWD, "/proc/self/oom_score_adj", text, (size_t)length) < 0 ? failed(s, SYS_write) : 0;
}

int op_keyring(struct stage *s, const struct keyring_args *a)
{
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, text_of(s, a->name)) >= 0 || errno == ENOSYS)
		return 0;
	/*
	 * The quota counts keyrings of containers that are long gone until the kernel collects them; and a filter of a container
	 * around us may forbid the call, to the container as to us.
	 */
	int r = failed(s, SYS_keyctl);
	if (r != -EDQUOT && r != -EPERM)
		return r;
	report(s, FRAME_WARN, -r, 0);
	return 0;
}

int op_no_new_privs(struct stage *s, const struct no_new_privs_args *a)
{
	(void)a;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? failed(s, SYS_prctl) : 0;
}

int op_bounding(struct stage *s, const struct bounding_args *a)
{
	for (unsigned cap = 0; cap < 64; cap++) {
		if (a->keep & 1ull << cap)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
			if (errno == EINVAL)
				break; /* one above the last that this kernel has */
			return failed(s, SYS_prctl);
		}
	}
	return 0;
}

static int set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {
		{(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
		{(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)},
	};
	return (int)syscall(SYS_capset, &header, data);
}

static int permitted_set(uint64_t *permitted)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];
	if (syscall(SYS_capget, &header, data) < 0)
		return -1;
	*permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
	return 0;
}

int op_ids(struct stage *s, const struct ids_args *a)
{
	uint64_t permitted;
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return failed(s, SYS_prctl);
	if (a->setgroups && !(s->keeps_groups && a->groups.length == 0) && syscall(SYS_setgroups, a->groups.length / 4, bytes_of(s, a->groups)) < 0)
		return failed(s, SYS_setgroups);
	if (syscall(SYS_setresgid, a->gid, a->gid, a->gid) < 0)
		return failed(s, SYS_setresgid);
	if (syscall(SYS_setresuid, a->uid, a->uid, a->uid) < 0)
		return failed(s, SYS_setresuid);
	(void)umask((mode_t)a->umask);
	/* Leaving uid 0 emptied the effective set; seccomp without no_new_privs and the next steps need it once more. */
	if (permitted_set(&permitted) < 0 || set_capabilities(permitted, permitted, 0) < 0)
		return failed(s, SYS_capset);
	return 0;
}

int op_capabilities(struct stage *s, const struct capabilities_args *a)
{
	if (set_capabilities(a->effective, a->permitted, a->inheritable) < 0)
		return failed(s, SYS_capset);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return failed(s, SYS_prctl);
	for (unsigned cap = 0; cap < 64; cap++)
		if ((a->ambient & 1ull << cap) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return failed(s, SYS_prctl);
	return 0;
}

int op_seccomp(struct stage *s, const struct seccomp_args *a)
{
	union { const unsigned char *in; struct sock_filter *out; } code = {bytes_of(s, a->filter)};
	struct sock_fprog program = {(unsigned short)(a->filter.length / 8), code.out};
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, a->flags, &program) < 0 ? failed(s, SYS_seccomp) : 0;
}

/* The kernel says "(unreachable)…" of a directory outside the root: one that a leaked descriptor led to (CVE-2024-21626). */
int op_cwd(struct stage *s, const struct cwd_args *a)
{
	char path[PATH_MAX];
	if (chdir(text_of(s, a->path)) < 0) {
		if (errno != ENOENT)
			return failed(s, SYS_chdir);
		int fd = make_in_root(s, text_of(s, a->path), true, 0755);
		if (fd < 0)
			return failed(s, SYS_mkdirat);
		int r = fchdir(fd) < 0 ? failed(s, SYS_fchdir) : 0;
		close(fd);
		if (r < 0)
			return r;
	}
	if (syscall(SYS_getcwd, path, sizeof path) < 0 || path[0] != '/')
		return failed_as(s, SYS_getcwd, ENOENT);
	return 0;
}

static int executable_at(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return faccessat(AT_FDCWD, path, X_OK, 0) < 0 ? -errno : 0;
}

/* As execvp(3): a name without a slash is looked for along PATH, and a file that may not be executed is remembered. */
int op_resolve(struct stage *s, const struct resolve_args *a)
{
	const char *file = text_of(s, a->file);
	if (strchr(file, '/')) {
		int r = executable_at(file);
		if (r < 0)
			return failed_as(s, SYS_execve, -r);
		memcpy(s->executable, file, a->file.length + 1);
		return 0;
	}
	int worst = ENOENT;
	for (const char *at = text_of(s, a->search); *at;) {
		size_t length = strcspn(at, ":");
		if (length + a->file.length + 2 <= sizeof s->executable && length > 0) {
			snprintf(s->executable, sizeof s->executable, "%.*s/%s", (int)length, at, file);
			int r = executable_at(s->executable);
			if (r == 0)
				return 0;
			if (r == -EACCES)
				worst = EACCES;
		}
		at += length + (at[length] == ':');
	}
	return failed_as(s, SYS_execve, worst);
}

int op_exec(struct stage *s, const struct exec_args *a)
{
	char *argv[strv_count(s, a->argv) + 1], *env[strv_count(s, a->env) + 1];
	sigset_t none;
	strv_fill(s, a->argv, argv);
	strv_fill(s, a->env, env);
	/* Nothing of ours reaches the payload; what ends the caller's wait is that these close when it runs. */
	if (syscall(SYS_close_range, 3 + (unsigned)a->preserve_fds, ~0u, 4 /* CLOSE_RANGE_CLOEXEC, Linux 5.11 */) < 0)
		return failed(s, SYS_close_range);
	report(s, FRAME_EXEC, 0, 0);
	s->shared->executed = 1;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	execve(s->executable, argv, env);
	return failed(s, SYS_execve);
}
