/*
 * Test helper: builds a policy with libseccomp and exports its BPF, for comparison with ours.
 *
 *   libseccomp < POLICY > FILTER
 *
 * One line each, numbers as C reads them; an action is a SECCOMP_RET_* value:
 *   default ACTION
 *   arch TOKEN                       SCMP_ARCH_* name in libseccomp's short form (x86, aarch64, ...)
 *   optimize LEVEL
 *   rule ACTION NAME [ARG OP A B]... OP is NE LT LE EQ GE GT MASKED_EQ
 * A rule that libseccomp refuses is reported on standard error, and ends the program with 3.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum scmp_compare operator_of(const char *name) {
  static const char *const names[] = {"NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"};
  for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(names[i], name) == 0) return (enum scmp_compare)(SCMP_CMP_NE + i);
  fprintf(stderr, "unknown operator %s\n", name);
  exit(2);
}

static int add_rule(scmp_filter_ctx filter, char *rest) {
  struct scmp_arg_cmp args[6];
  unsigned count = 0;
  uint32_t action = (uint32_t)strtoul(strsep(&rest, " "), NULL, 0);
  const char *name = strsep(&rest, " ");
  int nr = seccomp_syscall_resolve_name(name);
  if (nr == __NR_SCMP_ERROR) return 0; // as runc: unknown here, ignored
  while (rest != NULL && count < 6) {
    char *arg = strsep(&rest, " "), *op = strsep(&rest, " "), *a = strsep(&rest, " "), *b = strsep(&rest, " ");
    if (b == NULL) exit(2);
    args[count++] = (struct scmp_arg_cmp){(unsigned)atoi(arg), operator_of(op), strtoull(a, NULL, 0), strtoull(b, NULL, 0)};
  }
  return seccomp_rule_add_array(filter, action, nr, count, args);
}

int main(void) {
  static char line[8192];
  scmp_filter_ctx filter = NULL;
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = 0;
    char *rest = line, *word = strsep(&rest, " ");
    int error = 0;
    if (rest == NULL) continue;
    if (strcmp(word, "default") == 0) filter = seccomp_init((uint32_t)strtoul(rest, NULL, 0));
    else if (filter == NULL) return 2;
    else if (strcmp(word, "arch") == 0) {
      error = seccomp_arch_add(filter, seccomp_arch_resolve_name(rest));
      if (error == -EEXIST) error = 0;
    } else if (strcmp(word, "optimize") == 0) error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, (uint32_t)atoi(rest));
    else if (strcmp(word, "rule") == 0) error = add_rule(filter, rest);
    if (error != 0) {
      fprintf(stderr, "%s: %s\n", word, strerror(-error));
      return 3;
    }
  }
  if (filter == NULL) return 2;
  return seccomp_export_bpf(filter, STDOUT_FILENO) == 0 ? 0 : 1;
}
