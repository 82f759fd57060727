/*
 * timer ROUNDS WARMUP PAUSE_US SEED ::: [N<FILE | N>FILE]... COMMAND [ARGUMENT]... ::: ...
 *
 * Runs every command once a round, in an order that is shuffled for each (so that none always follows the same other,
 * whose namespaces the kernel may still be taking down), and prints JSON: for each command its exit statuses that were
 * not 0, and per round the microseconds from before the spawn to the end of the wait (`wall`), and to the moment that
 * the payload (payload.c) wrote to its standard output (`exec`; empty where nothing did).
 *
 * It is C, for Node's spawn takes longer than what is measured, and varies by more.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_COMMANDS = 64, MAX_FILES = 4 };

struct command {
	char **argv;
	struct { int fd, flags; char *path; } files[MAX_FILES];
	int file_count, failures, last_status, execs;
	double *wall, *exec;
};

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static _Noreturn void die(const char *what)
{
	perror(what);
	exit(2);
}

/* xorshift: the order is the same in every run. */
static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static void run(struct command *c, int output[2], int round)
{
	posix_spawn_file_actions_t actions;
	struct timespec began[2];
	pid_t pid;
	int status;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, output[1], 1);
	for (int i = 0; i < c->file_count; i++)
		posix_spawn_file_actions_addopen(&actions, c->files[i].fd, c->files[i].path, c->files[i].flags, 0600);
	double start = now_us();
	int error = posix_spawnp(&pid, c->argv[0], &actions, NULL, c->argv, environ);
	if (error) {
		fprintf(stderr, "timer: %s: %s\n", c->argv[0], strerror(error));
		exit(2);
	}
	while (waitpid(pid, &status, 0) < 0)
		;
	double end = now_us();
	posix_spawn_file_actions_destroy(&actions);
	/* One write of one time is the payload's; all else that was printed is drained and forgotten. */
	char text[4096];
	ssize_t total = 0, n;
	while ((n = read(output[0], text, sizeof text)) > 0) {
		if (total == 0 && n == sizeof began[0])
			memcpy(began, text, sizeof began[0]);
		total += n;
	}
	if (status != 0) {
		c->failures++;
		c->last_status = status;
	}
	if (round < 0)
		return;
	c->wall[round] = end - start;
	if (total == sizeof began[0])
		c->exec[c->execs++] = (double)began[0].tv_sec * 1e6 + (double)began[0].tv_nsec / 1e3 - start;
}

static void print_times(const char *name, const double *times, int count)
{
	printf("\"%s\":[", name);
	for (int i = 0; i < count; i++)
		printf("%s%.1f", i ? "," : "", times[i]);
	printf("]");
}

int main(int argc, char **argv)
{
	static struct command commands[MAX_COMMANDS];
	int count = 0, output[2], order[MAX_COMMANDS];
	if (argc < 7)
		return 2;
	int rounds = atoi(argv[1]), warmup = atoi(argv[2]);
	useconds_t pause = (useconds_t)atoi(argv[3]);
	uint32_t seed = (uint32_t)atoi(argv[4]) | 1;
	for (int i = 5; i < argc && count < MAX_COMMANDS; i++) {
		if (strcmp(argv[i], ":::") != 0)
			continue;
		argv[i++] = NULL; /* ends the command before */
		struct command *c = &commands[count];
		order[count] = count;
		count++;
		for (; i < argc && c->file_count < MAX_FILES && argv[i][0] >= '0' && argv[i][0] <= '9' && (argv[i][1] == '<' || argv[i][1] == '>'); i++) {
			c->files[c->file_count].fd = argv[i][0] - '0';
			c->files[c->file_count].flags = argv[i][1] == '<' ? O_RDONLY : O_RDWR | O_CREAT | O_TRUNC;
			c->files[c->file_count++].path = argv[i] + 2;
		}
		c->argv = argv + i;
		c->wall = calloc((size_t)rounds + 1, sizeof *c->wall);
		c->exec = calloc((size_t)rounds + 1, sizeof *c->exec);
		if (!c->wall || !c->exec)
			die("timer");
		i--;
	}
	/* Above the descriptors that commands are given. */
	int pair[2];
	if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0 || (output[0] = fcntl(pair[0], F_DUPFD_CLOEXEC, 64)) < 0 ||
	    (output[1] = fcntl(pair[1], F_DUPFD_CLOEXEC, 64)) < 0)
		die("timer: pipe");
	close(pair[0]);
	close(pair[1]);
	for (int round = -warmup; round < rounds; round++) {
		for (int i = count - 1; i > 0; i--) {
			int j = (int)(next_random(&seed) % (uint32_t)(i + 1)), swap = order[i];
			order[i] = order[j];
			order[j] = swap;
		}
		for (int i = 0; i < count; i++) {
			usleep(pause);
			run(&commands[order[i]], output, round);
		}
	}
	printf("[");
	for (int i = 0; i < count; i++) {
		printf("%s{\"failures\":%d,\"status\":%d,", i ? ",\n" : "", commands[i].failures, commands[i].last_status);
		print_times("wall", commands[i].wall, rounds);
		printf(",");
		print_times("exec", commands[i].exec, commands[i].execs);
		printf("}");
	}
	printf("]\n");
	return 0;
}
