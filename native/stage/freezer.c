/* The freezer: version 2's cgroup.freeze, version 1's freezer.state. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include "stage.h"

/* A line of a file; version 1's freezer.state is one word, version 2's cgroup.events has one fact a line. */
static bool has_line(const char *path, const char *line)
{
	char text[512], *rest = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return false;
	text[n] = 0;
	for (char *at = strtok_r(text, "\n", &rest); at; at = strtok_r(NULL, "\n", &rest))
		if (strcmp(at, line) == 0)
			return true;
	return false;
}

/*
 * The kernel freezes each process when it gets to it, and version 1 may be stuck at FREEZING while processes fork: written
 * again, it starts over. 0.1 ms at first, ten seconds in all.
 */
int op_cgroup_freeze(struct stage *s, const struct cgroup_freeze_args *a)
{
	struct timespec pause = {0, 100000};
	for (int tries = 0; tries < 210; tries++) {
		if (write_file_at(AT_FDCWD, text_of(s, a->file), text_of(s, a->value), a->value.length) < 0)
			return errno == ENOENT && a->gone ? 0 : failed(s, SYS_write);
		if (has_line(text_of(s, a->events), text_of(s, a->settled)))
			return 0;
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < 50000000)
			pause.tv_nsec *= 2;
	}
	return failed_as(s, SYS_write, ETIMEDOUT);
}

int op_cgroup_thaw_killed(struct stage *s, const struct cgroup_thaw_killed_args *a)
{
	uint64_t number;
	int r = get_slot(s, a->signal, &number);
	if (r < 0 || number != SIGKILL)
		return r;
	r = write_file_at(AT_FDCWD, text_of(s, a->file), text_of(s, a->value), a->value.length);
	return r < 0 && errno != ENOENT ? failed(s, SYS_write) : 0;
}
