/*
 * Fault injection, for tests (conformance/faults): `make build/stage-inject`, never shipped.
 *
 *     fail=STEP:ERRNO         the step is not run, and fails
 *     fail-after=STEP:ERRNO   the step is run, and then fails
 *     kill=STEP               the side whose step it is kills itself before it,
 *     kill-after=STEP         or after it
 *
 *     tag=TEXT                nothing; it tells the processes of this run from others
 *
 * STEP counts the plan's steps from 0. Undo is not injected into: it is what is tested.
 */
#ifndef CORACLE_INJECT_H
#define CORACLE_INJECT_H
#ifdef CORACLE_INJECT
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "stage.h"

static struct { bool kill, after; long step; int error; } injected = {.step = -1};

static bool parse_injection(const char *argument)
{
	if (!strncmp(argument, "tag=", 4))
		return true;
	const char *equals = strchr(argument, '=');
	if (!equals || (strncmp(argument, "fail", 4) && strncmp(argument, "kill", 4)))
		return false;
	char *rest;
	injected.kill = argument[0] == 'k';
	injected.after = strstr(argument, "-after=");
	injected.step = strtol(equals + 1, &rest, 10);
	injected.error = *rest == ':' ? atoi(rest + 1) : 0;
	return true;
}

static int inject(uint32_t step, bool after, int r)
{
	if (injected.step != (long)step || injected.after != after || r < 0)
		return r;
	if (injected.kill) {
		(void)kill(getpid(), SIGKILL); /* raise(3) may remember the thread of before the clone */
		__builtin_trap(); /* from inside, the kernel shields init of a pid namespace from signals, but not from faults */
	}
	return -injected.error;
}
#else
#define parse_injection(argument) ((void)(argument), false)
#define inject(step, after, r) (r)
#endif
#endif
