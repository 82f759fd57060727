/*
 * A payload that asks for more than it may have, and says what it got: the program of the limit tests' containers.
 *
 *     eat memory MIB   a child touches that much; then how it ended, and how often the OOM killer came
 *     eat self MIB     this process touches that much
 *     eat bomb         forks, and so do its children, until the kernel says no; then how many there are
 *     eat cpu          computes in two processes until it has been throttled; gives up after 20 s
 *     eat cpus         how many CPUs it may run on
 *     eat cat FILE...  each file in a line of its own, "FILE: content", "FILE: missing" where there is none
 *     eat wait         until SIGTERM
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A file of ours, on version 2 or in version 1's hierarchy of that controller. NULL: there is none. */
static const char *read_knob(const char *controller, const char *file)
{
	static char text[4096];
	char path[256];
	const char *const forms[] = {"/sys/fs/cgroup/%.0s%s", "/sys/fs/cgroup/%s/%s"};
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof path, forms[i], controller, file);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		ssize_t n = read(fd, text, sizeof text - 1);
		close(fd);
		if (n < 0)
			return NULL;
		text[n] = 0;
		return text;
	}
	return NULL;
}

/* The number behind a key, "KEY N"; -1: there is none. */
static long number_of(const char *text, const char *key)
{
	size_t length = strlen(key);
	for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (strncmp(line, key, length) == 0 && line[length] == ' ')
			return atol(line + length);
	return -1;
}

static void touch(long mib)
{
	size_t size = (size_t)mib << 20;
	volatile char *all = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (all == MAP_FAILED)
		_exit(3);
	for (size_t at = 0; at < size; at += 4096)
		all[at] = 1;
}

static int eat_memory(long mib)
{
	int status;
	pid_t child = fork();
	if (child == 0) {
		touch(mib);
		_exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return 2;
	const char *events = read_knob("memory", "memory.events");
	if (!events)
		events = read_knob("memory", "memory.oom_control");
	printf("ended %s %d\noom_kill %ld\n", WIFSIGNALED(status) ? "signal" : "exit", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
	       number_of(events, "oom_kill"));
	return 0;
}

static void breed(void)
{
	/* Whoever forked goes on forking, so that it is 2^n and not n; whoever is refused waits to be killed. */
	while (fork() >= 0)
		;
	for (;;)
		pause();
}

static int eat_bomb(void)
{
	struct timespec moment = {0, 50000000};
	long now = 0;
	if (fork() == 0)
		breed();
	/* Until one was refused. */
	for (int tries = 0; tries < 400; tries++) {
		const char *events = read_knob("pids", "pids.events");
		now = events ? number_of(events, "max") : -1;
		if (now != 0)
			break;
		nanosleep(&moment, NULL);
	}
	printf("refused %ld\n", now);
	const char *current = read_knob("pids", "pids.current");
	printf("processes %ld\n", current ? atol(current) : -1);
	return 0;
}

static int eat_cpu(void)
{
	if (fork() == 0)
		for (;;)
			;
	time_t start = time(NULL);
	long throttled = -1;
	while (time(NULL) - start < 20) {
		for (volatile long i = 0; i < 1000000; i++)
			;
		const char *stat = read_knob("cpu", "cpu.stat");
		throttled = stat ? number_of(stat, "nr_throttled") : -1;
		if (throttled > 0)
			break;
	}
	printf("throttled %s\n", throttled > 0 ? "yes" : throttled == 0 ? "no" : "unknown");
	return 0;
}

static int eat_cpus(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof set, &set) < 0)
		return 2;
	printf("cpus %d\n", CPU_COUNT(&set));
	return 0;
}

static int eat_cat(char **paths)
{
	for (; *paths; paths++) {
		char text[4096];
		int fd = open(*paths, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
		if (n < 0)
			n = snprintf(text, sizeof text, "%s", fd < 0 && errno == ENOENT ? "missing" : strerror(errno));
		if (fd >= 0)
			close(fd);
		text[n] = 0;
		while (n > 0 && text[n - 1] == '\n')
			text[--n] = 0;
		for (char *at = text; *at; at++)
			if (*at == '\n')
				*at = '|';
		printf("%s: %s\n", *paths, text);
	}
	return 0;
}

static void leave(int number)
{
	(void)number;
	_exit(0);
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	if (strcmp(verb, "memory") == 0 && argc == 3)
		return eat_memory(atol(argv[2]));
	if (strcmp(verb, "self") == 0 && argc == 3) {
		touch(atol(argv[2]));
		return 0;
	}
	if (strcmp(verb, "bomb") == 0)
		return eat_bomb();
	if (strcmp(verb, "cpu") == 0)
		return eat_cpu();
	if (strcmp(verb, "cpus") == 0)
		return eat_cpus();
	if (strcmp(verb, "cat") == 0)
		return eat_cat(argv + 2);
	if (strcmp(verb, "wait") == 0) {
		signal(SIGTERM, leave); /* init gets only what it has a handler for */
		for (;;)
			pause();
	}
	fprintf(stderr, "eat: memory MIB | self MIB | bomb | cpu | cpus | cat FILE... | wait\n");
	return 2;
}
