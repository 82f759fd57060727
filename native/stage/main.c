/*
 * stage PLAN_FD REPORT_FD [SLOT=VALUE]...
 *
 * Exits 0 when every step of the parent side was done, 1 when one failed (the report says which) after what had been
 * done was undone, and 2 when the plan itself is unsound: then nothing was done.
 */
#include <fcntl.h>
#include <linux/memfd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include "inject.h"
#include "stage.h"

void report(struct stage *s, enum frame_kind kind, int error, uint64_t aux)
{
	struct frame f = {kind, s->step, s->step < s->plan.steps ? s->plan.records[s->step].op : 0, error, (uint32_t)s->call, s->side, aux};
	if (kind == FRAME_ERROR || kind == FRAME_VANISHED)
		s->shared->reported = 1;
	if (s->report_fd >= 0)
		(void)write_all(s->report_fd, &f, sizeof f);
}

int write_all(int fd, const void *data, size_t length)
{
	const char *at = data;
	while (length > 0) {
		ssize_t n = write(fd, at, length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		at += n;
		length -= (size_t)n;
	}
	return 0;
}

uint32_t strv_count(const struct stage *s, struct blob b)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < b.length; i++)
		n += bytes_of(s, b)[i] == 0;
	return n;
}

void strv_fill(const struct stage *s, struct blob b, char **out)
{
	/* execve's prototype lacks const for historical reasons only: the texts are not written to. */
	union { const char *in; char *out; } at = {text_of(s, b)};
	const char *end = at.in + b.length;
	while (at.in < end) {
		*out++ = at.out;
		at.in += strlen(at.in) + 1;
	}
	*out = NULL;
}

static const char *const status_words[] = {"stopped", "created", "running", "paused"};

int render(struct stage *s, struct blob template, int fd)
{
	const unsigned char *t = bytes_of(s, template), *end = t + template.length;
	char number[24];
	while (t < end) {
		if (*t == 0) {
			uint32_t n;
			memcpy(&n, t + 1, 4);
			if (write_all(fd, t + 5, n) < 0)
				return failed(s, SYS_write);
			t += 5 + n;
			continue;
		}
		uint64_t value = 0; /* a slot that is not known reads as zero: the pid of what is gone */
		if (s->slots_set & 1u << t[1])
			value = s->slots[t[1]];
		/* What has stopped has no pid: the number may be another's by now. */
		if (t[1] == SLOT_PID && s->slots_set & 1u << SLOT_STATUS && s->slots[SLOT_STATUS] == 0)
			value = 0;
		const char *out = number + sizeof number;
		size_t length = 0;
		if (*t == 1) {
			char *digit = number + sizeof number;
			do
				*--digit = (char)('0' + value % 10), length++;
			while (value /= 10);
			out = digit;
		} else if (*t == 2) {
			out = status_words[value & 3];
			length = strlen(out);
		} else {
			uint32_t word = (uint32_t)value;
			memcpy(number, &word, 4);
			out = number;
			length = 4;
		}
		if (write_all(fd, out, length) < 0)
			return failed(s, SYS_write);
		t += 2;
	}
	return 0;
}

/* What names a process outlives this one; descriptors do not. */
static bool slot_lasts(unsigned slot) { return slot == SLOT_PID || slot == SLOT_START_TIME || slot == SLOT_FUSE_PID || slot == SLOT_FUSE_START_TIME; }

void set_slot(struct stage *s, unsigned slot, uint64_t value)
{
	s->slots[slot] = value;
	s->slots_set |= 1u << slot;
	if (s->log_fd >= 0 && slot_lasts(slot)) {
		uint64_t entry[2] = {slot, value};
		(void)write_all(s->log_fd, entry, sizeof entry);
	}
}

int get_slot(struct stage *s, uint64_t slot, uint64_t *value)
{
	if (slot == WIRE_NO_SLOT || !(s->slots_set & 1u << slot))
		return failed_as(s, 0, ENODATA);
	*value = s->slots[slot];
	return 0;
}

int write_file_at(int dir, const char *path, const char *text, size_t length)
{
	int fd = openat(dir, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -1;
	/* One write: the kernel takes a knob's value or refuses it as a whole. */
	ssize_t n = write(fd, text, length);
	int error = errno;
	close(fd);
	errno = error;
	return n < 0 ? -1 : 0;
}

static int run_step(struct stage *s, const struct record *r)
{
	switch (r->op) {
#define X(name, code, ...)                                                                                                     \
	case code:                                                                                                             \
		return op_##name(s, (const struct name##_args *)r->cells);
		OPS(X)
#undef X
	}
	return failed_as(s, 0, ENOSYS);
}

/* Runs this side's steps up to the first that fails. @returns 0; 1 where a step found that there is
 * nothing left to do; -errno; or -ENDED where the failure was reported already. */
int run_steps(struct stage *s)
{
	for (uint32_t i = 0; i < s->plan.steps; i++) {
		if (s->plan.records[i].side != s->side)
			continue;
		s->step = i;
		s->call = 0;
		s->shared->progress[s->side] = i + 1;
		int r = inject(i, false, 0);
		if (r == 0)
			r = inject(i, true, run_step(s, &s->plan.records[i]));
		if (r != 0)
			return r;
	}
	return 0;
}

/* Takes back what was done. Every undo op is idempotent, and none keeps the next from running. */
void run_undo(struct stage *s, struct plan undo)
{
	s->plan = undo;
	s->undoing = true;
	for (uint32_t i = 0; i < undo.steps; i++) {
		s->step = i;
		s->call = 0;
		int r = run_step(s, &undo.records[i]);
		if (r < 0)
			report(s, FRAME_WARN, -r, 0);
	}
}

static struct plan undo_of(const struct stage *s)
{
	struct plan undo = {0};
	for (uint32_t i = 0; i <= s->step && i < s->plan.steps; i++)
		if (s->plan.records[i].op == OP_UNDO_LOG) {
			const struct undo_log_args *a = (const void *)s->plan.records[i].cells;
			(void)plan_check(&undo, bytes_of(s, a->undo), a->undo.length, 1);
		}
	return undo;
}

/* Hooks inside read init's pid as it is in their pid namespace, as runc's do; the parent knows the other one. */
void know_self(struct stage *s)
{
	s->slots[SLOT_PID] = (uint64_t)getpid();
	s->slots_set |= 1u << SLOT_PID;
}

_Noreturn void child_main(struct stage *s)
{
	know_self(s);
	int r = run_steps(s);
	if (r < 0 && r != -ENDED)
		report(s, FRAME_ERROR, -r, 0);
	_exit(r < 0 ? 127 : 0);
}

/*
 * What enters a container must not be a file that the container could reach and overwrite through /proc/PID/exe
 * (CVE-2019-5736): so stage runs from a sealed copy of itself. argv[0] tells the copy that it is one.
 */
static const char sealed_name[] = "coracle-stage (sealed)";
static int seal_self(char **argv)
{
	if (strcmp(argv[0], sealed_name) == 0)
		return 0;
	unsigned long path = getauxval(AT_EXECFN);
	struct stat st;
	int self = open((const char *)path, O_RDONLY | O_CLOEXEC);
	if (self < 0 || fstat(self, &st) < 0)
		return -1;
	int copy = memfd_create("coracle-stage", MFD_CLOEXEC | MFD_ALLOW_SEALING | 0x10u /* MFD_EXEC, Linux 6.3 */);
	if (copy < 0 && errno == EINVAL)
		copy = memfd_create("coracle-stage", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (copy < 0 || sendfile(copy, self, NULL, (size_t)st.st_size) != st.st_size)
		return -1;
	close(self);
	if (fcntl(copy, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return -1;
	union { const char *in; char *out; } name = {sealed_name};
	argv[0] = name.out;
	char *none[] = {NULL};
	syscall(SYS_execveat, copy, "", argv, none, AT_EMPTY_PATH);
	return -1;
}

/* Descriptors 3 and up may be the payload's (--preserve-fds): ours go above them, and never reach it. */
static int take_fd(const char *text)
{
	int fd = atoi(text), high = fcntl(fd, F_DUPFD_CLOEXEC, 64);
	if (high < 0)
		high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	close(fd);
	return high;
}

#ifndef CORACLE_FUZZ
int main(int argc, char **argv)
{
	static struct stage stage = {.side = SIDE_PARENT, .report_fd = -1, .sync_fd = -1, .state_fd = -1, .log_fd = -1, .listen_fd = -1,
				     .root_fd = -1, .pidfd = -1, .null_fd = -1, .empty_fd = -1};
	struct stage *s = &stage;
	struct stat st;
	if (argc < 3 || seal_self(argv) < 0)
		return 2;
	int plan_fd = take_fd(argv[1]);
	s->report_fd = take_fd(argv[2]);
	s->shared = mmap(NULL, sizeof *s->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->shared == MAP_FAILED || fstat(plan_fd, &st) < 0 || st.st_size > WIRE_MAX_SIZE || st.st_size < 1)
		return 2;
	/* Copied, so that nobody can change it between check and use; inherited by the child, copy on write. */
	unsigned char *copy = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (copy == MAP_FAILED || pread(plan_fd, copy, (size_t)st.st_size, 0) != st.st_size)
		return 2;
	close(plan_fd);
	if (plan_check(&s->plan, copy, (size_t)st.st_size, 0) < 0)
		return 2;
	for (int i = 3; i < argc; i++) {
		if (parse_injection(argv[i]))
			continue;
		char *equals = strchr(argv[i], '=');
		int slot = atoi(argv[i]);
		if (!equals || slot <= 0 || slot >= SLOTS)
			return 2;
		set_slot(s, (unsigned)slot, strtoull(equals + 1, NULL, 10));
	}
	int r = run_steps(s);
	if (r >= 0)
		return 0;
	/* Where the child died on its own, what this side ran into (no such process) is not the cause. */
	if (r != -ENDED && !child_vanished(s, r))
		report(s, FRAME_ERROR, -r, 0);
	struct plan undo = undo_of(s);
	if (undo.steps)
		run_undo(s, undo);
	else if (s->created)
		(void)op_remove_state(s, NULL); /* nothing was done yet but this */
	return 1;
}
#endif
