/*
 * holder ROOT: keeps the user-wide user namespace there while containers come and go.
 *
 * A user namespace lives as long as a process is in it, or in one below it. This process is in it, and does nothing; its
 * /proc/PID/ns/user is the door for starts. It ends by itself when the runtime directory ROOT holds no container and has
 * not changed for a minute: whoever comes later makes a new one, for the price of newuidmap (3 ms).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { IDLE_SECONDS = 60, LOOK_SECONDS = 15 };
static const char own[] = ".userns";

static bool in_use(int root)
{
	bool used = false;
	int copy = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir)
		return false; /* the directory is gone: logout, or a purge */
	for (struct dirent *e; (e = readdir(dir));)
		used |= e->d_name[0] != '.';
	closedir(dir);
	return used;
}

int main(int argc, char **argv)
{
	struct stat st;
	struct timespec now, pause = {.tv_sec = LOOK_SECONDS};
	if (argc != 2)
		return 2;
	/* The caller's terminal and pipes are not ours to keep open. */
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd < 3; fd++)
		if (null >= 0)
			dup2(null, fd);
	if (null > 2)
		close(null);
	int root = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || chdir("/") < 0)
		return 1;
	(void)prctl(PR_SET_NAME, "coracle-userns", 0, 0, 0);
	do {
		nanosleep(&pause, NULL);
		clock_gettime(CLOCK_REALTIME, &now);
	} while (fstat(root, &st) == 0 && st.st_nlink > 0 && (in_use(root) || now.tv_sec - st.st_mtim.tv_sec < IDLE_SECONDS));
	/* Renamed first: a start that finds the record finds a holder that lives, or none. */
	if (renameat(root, own, root, ".userns.old") == 0) {
		int dir = openat(root, ".userns.old", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir >= 0) {
			(void)unlinkat(dir, "record.json", 0);
			(void)unlinkat(dir, "undo", 0);
			close(dir);
		}
		(void)unlinkat(root, ".userns.old", AT_REMOVEDIR);
	}
	return 0;
}
