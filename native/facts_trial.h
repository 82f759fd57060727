/*
 * What can be known only by trying, tried in children that nobody sees: each works in namespaces of its own, and what it
 * mounted dies with it. The machine is left as it was.
 */
#ifndef CORACLE_FACTS_TRIAL_H
#define CORACLE_FACTS_TRIAL_H

#include <stdbool.h>
#include <sys/types.h>

enum outcome { NOT_TRIED, WORKS, FAILED };

struct tried {
	enum outcome outcome;
	int error;	   /* errno of a failure */
	const char *cause; /* a token of core/hints.ts, or NULL; points into this program's text, so it survives a fork */
};

enum { NS_MOUNT, NS_PID, NS_NETWORK, NS_IPC, NS_UTS, NS_CGROUP, NS_TIME, NS_COUNT };
enum { FS_PROC, FS_SYSFS, FS_MQUEUE, FS_DEVPTS, FS_TMPFS, FS_OVERLAY, FS_FUSE, FS_COUNT };

struct trials {
	struct tried userns;
	bool userns_made; /* unshare passed: a failure is one of mapping */
	struct tried mapping;
	struct tried ns[NS_COUNT];
	struct tried fs[FS_COUNT];
	struct tried data_overlay;
};

struct range {
	unsigned long start, count;
};

struct trial_input {
	uid_t uid;
	gid_t gid;
	/* Helpers and the ranges to map with them; a NULL helper or an empty range: not tried. */
	const char *newuidmap, *newgidmap;
	struct range subuid, subgid;
	/* An existing directory on the file system where images will live; NULL: not tried. */
	const char *data;
};

/* Marks everything as not tried, for `cause`. */
void trials_skip(struct trials *trials, const char *cause);
/* Tries everything; ends within seconds whatever a file system does. */
void trials_run(struct trials *trials, const struct trial_input *input);

#endif
