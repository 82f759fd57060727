/*
 * Test helper: loads a filter as an unprivileged process would, tries system calls under it, and reports JSON.
 *
 *   load FILTER FLAGS NR[:ARG0[:ARG1]] ...   {"load":0,"mode":2,"calls":[{"nr":41,"ret":-1,"errno":1},...]}
 *   load FILTER FLAGS --time N               {"load":0,"ns":[median,min]}: N children, each loads once
 *   load FILTER FLAGS --notify               {"load":0,"fd":3}: the listener that the kernel returned
 *
 * FILTER holds struct sock_filter records, native. Each call runs in a child of its own, for an action may kill:
 * then "signal" takes the place of ret.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct sock_filter code[4096];
static struct sock_fprog program = {.filter = code};

static int read_filter(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t size = read(fd, code, sizeof code);
  close(fd);
  if (size <= 0 || size % (ssize_t)sizeof *code != 0) return -1;
  program.len = (unsigned short)(size / (ssize_t)sizeof *code);
  return 0;
}

static long load(unsigned long flags) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static void try_call(unsigned long flags, const char *text) {
  char *end;
  unsigned long nr = strtoul(text, &end, 0), args[2] = {0, 0};
  for (int i = 0; i < 2 && *end == ':'; i++) args[i] = strtoul(end + 1, &end, 0);
  long out[2] = {0, 0};
  int pipes[2];
  if (pipe(pipes) != 0) exit(1);
  pid_t pid = fork();
  if (pid == 0) {
    if (load(flags) < 0) _exit(99);
    long ret = syscall((long)nr, args[0], args[1], 0, 0, 0, 0);
    out[0] = ret;
    out[1] = ret < 0 ? errno : 0;
    // A raw write: the policy under test has to allow write and exit_group.
    _exit(write(pipes[1], out, sizeof out) == (ssize_t)sizeof out ? 0 : 98);
  }
  close(pipes[1]);
  int status = 0;
  waitpid(pid, &status, 0);
  ssize_t got = read(pipes[0], out, sizeof out);
  close(pipes[0]);
  if (WIFSIGNALED(status)) printf("{\"nr\":%lu,\"signal\":%d}", nr, WTERMSIG(status));
  else if (got == (ssize_t)sizeof out) printf("{\"nr\":%lu,\"ret\":%ld,\"errno\":%ld}", nr, out[0], out[1]);
  else printf("{\"nr\":%lu,\"status\":%d}", nr, WEXITSTATUS(status));
}

static int compare(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static void time_load(unsigned long flags, int runs) {
  int64_t *ns = calloc((size_t)runs, sizeof *ns);
  if (ns == NULL) exit(1);
  for (int i = 0; i < runs; i++) {
    int pipes[2];
    if (pipe(pipes) != 0) exit(1);
    pid_t pid = fork();
    if (pid == 0) {
      struct timespec a, b;
      prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
      clock_gettime(CLOCK_MONOTONIC, &a);
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
      clock_gettime(CLOCK_MONOTONIC, &b);
      int64_t took = (b.tv_sec - a.tv_sec) * 1000000000LL + (b.tv_nsec - a.tv_nsec);
      _exit(write(pipes[1], &took, sizeof took) == (ssize_t)sizeof took ? 0 : 1);
    }
    close(pipes[1]);
    if (read(pipes[0], &ns[i], sizeof *ns) != (ssize_t)sizeof *ns) exit(1);
    close(pipes[0]);
    waitpid(pid, NULL, 0);
  }
  qsort(ns, (size_t)runs, sizeof *ns, compare);
  printf("{\"load\":0,\"ns\":[%lld,%lld]}\n", (long long)ns[runs / 2], (long long)ns[0]);
  free(ns);
}

int main(int argc, char **argv) {
  if (argc < 4 || read_filter(argv[1]) != 0) {
    fprintf(stderr, "usage: load FILTER FLAGS NR... | --time N | --notify\n");
    return 2;
  }
  unsigned long flags = strtoul(argv[2], NULL, 0);
  if (setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) != 0) return 1; // KILL_PROCESS would dump core
  if (strcmp(argv[3], "--time") == 0 && argc == 5) {
    time_load(flags, atoi(argv[4]));
    return 0;
  }
  if (strcmp(argv[3], "--notify") == 0) {
    long fd = load(flags);
    printf("{\"load\":%d,\"fd\":%ld}\n", fd < 0 ? errno : 0, fd);
    return 0;
  }
  // Probed in a child, for the parent goes on to fork and wait without a filter.
  pid_t pid = fork();
  if (pid == 0) _exit(load(flags) < 0 ? errno : 0);
  int status = 0;
  waitpid(pid, &status, 0);
  printf("{\"load\":%d,\"calls\":[", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
  fflush(stdout);
  for (int i = 3; i < argc; i++) {
    if (i > 3) printf(",");
    try_call(flags, argv[i]);
    fflush(stdout);
  }
  printf("]}\n");
  return 0;
}
