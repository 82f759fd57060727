/*
 * stage: runs a plan.
 *
 * A plan is data that `core` compiled (core/plan/ops.ts). stage copies it, checks all of it, and then does its steps in
 * order: those of the parent side in this process, those of the child side in the process that `spawn` clones, which
 * becomes the container's init. No allocation after validation, no configuration, no JSON, and one exit path that
 * reports.
 *
 * An op is one function: it returns 0, or -errno with `call` set to the system call that failed.
 */
#ifndef CORACLE_STAGE_H
#define CORACLE_STAGE_H
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "../ops.h"

/*
 * What stage tells its caller: fixed-size frames, appended to the report file (or sent to the `start` that is connected).
 *
 *     stage ──> caller   ERROR     the step that failed, the system call, the errno
 *                        WARN      likewise, but the plan goes on
 *                        VANISHED  the other side died without a word; `step` is what it had reached
 *                        EXIT      aux is init's wait status
 *                        SLOT      aux is the value of slot `call`
 *                        EXEC      the next system call is the payload's exec
 */
enum frame_kind { FRAME_ERROR = 1, FRAME_WARN, FRAME_VANISHED, FRAME_EXIT, FRAME_SLOT, FRAME_EXEC };
struct frame {
	uint32_t kind, step, op;
	int32_t error; /* errno, positive */
	uint32_t call; /* number of the system call on this architecture */
	uint32_t side;
	uint64_t aux;
};

struct record {
	uint16_t op;
	uint8_t side, argc;
	uint32_t reserved;
	uint64_t cells[WIRE_CELLS];
};
_Static_assert(sizeof(struct record) == WIRE_RECORD, "the record is the wire's");

/* One validated plan. */
struct plan {
	const struct record *records;
	const unsigned char *blobs;
	const unsigned char *bytes; /* the whole, as it came */
	uint32_t steps, length;
};

/* What both sides see, also after one of them was killed. */
struct shared {
	_Atomic uint32_t progress[3]; /* by side: the step that it is in, plus one */
	_Atomic uint32_t reported;    /* a side wrote an error frame */
	_Atomic uint32_t executed;    /* the child's next system call is the payload's exec */
	_Atomic int32_t forked;       /* the pid that `refork` made */
};

struct stage {
	struct plan plan;
	struct shared *shared;
	uint32_t step;
	uint8_t side;
	bool undoing;
	bool keeps_groups; /* the user namespace that was joined denies setgroups(2) */
	bool created; /* the state directory is of this start's making */
	int call; /* the system call that failed, for the frame */
	uint64_t slots[SLOTS];
	uint32_t slots_set; /* a bit per slot */

	int report_fd;
	int sync_fd;   /* to the other side: one byte a point */
	int state_fd;  /* the state directory, locked */
	int log_fd;    /* the undo list, where slots are appended */
	int listen_fd; /* start.sock */
	int root_fd;   /* the container's root: every path inside is resolved below it */
	int pidfd;
	int null_fd;  /* a detached bind of the host's /dev/null, for masks */
	int empty_fd; /* a detached empty tmpfs, for masks */
	const char *state_path;
	char executable[PATH_MAX];
};

/* Steps were ended by what another process did and reported; there is nothing more to say. */
#define ENDED 4095

/* decode.c */
int plan_check(struct plan *out, const unsigned char *bytes, size_t length, int depth);
const char *op_name(uint16_t op);

/* main.c */
int run_steps(struct stage *s);
void run_undo(struct stage *s, struct plan undo);
_Noreturn void child_main(struct stage *s);
void know_self(struct stage *s);
void report(struct stage *s, enum frame_kind kind, int error, uint64_t aux);

static inline const unsigned char *bytes_of(const struct stage *s, struct blob b) { return s->plan.blobs + b.offset; }
static inline const char *text_of(const struct stage *s, struct blob b) { return (const char *)s->plan.blobs + b.offset; }
static inline int failed(struct stage *s, long call)
{
	s->call = (int)call;
	return -errno;
}
static inline int failed_as(struct stage *s, long call, int error)
{
	s->call = (int)call;
	return -error;
}
/* The texts of a list, as pointers; `out` has room for count + 1. */
uint32_t strv_count(const struct stage *s, struct blob b);
void strv_fill(const struct stage *s, struct blob b, char **out);
int write_all(int fd, const void *data, size_t length);
int render(struct stage *s, struct blob template, int fd);
void set_slot(struct stage *s, unsigned slot, uint64_t value);
int get_slot(struct stage *s, uint64_t slot, uint64_t *value);
int write_file_at(int dir, const char *path, const char *text, size_t length);

/* Facilities that more than one file of ops uses. */
bool child_vanished(struct stage *s, int error);                         /* process.c: and reports it */
int start_time_of(int pid, uint64_t *ticks);                             /* process.c */
int pidfd_of(uint64_t pid, uint64_t start_time);                         /* process.c: -1 with ESRCH if it is another */
int put_identity(struct stage *s, int pid, uint64_t pid_slot, uint64_t start_slot); /* process.c */
int kill_and_wait(struct stage *s, int pidfd);                           /* process.c: reaps it, where it is ours */
int open_in_root(struct stage *s, const char *path, int flags, int extra_resolve); /* path.c */
int make_in_root(struct stage *s, const char *path, bool directory, unsigned mode); /* path.c */
int run_program(struct stage *s, const char *path, char *const argv[], char *const env[], int stdin_fd, const char *cwd,
		uint64_t timeout_ms, int *status); /* hook.c */

/* Every op, by name: `op_NAME`, in the file of its facility. */
#define X(name, ...) int op_##name(struct stage *s, const struct name##_args *a);
OPS(X)
#undef X

/* Not in every libc. */
static inline int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct { uint64_t flags, mode, resolve; } how = {flags, mode, resolve};
	return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}
#endif
