/*
 * What the measured containers run: it says when it began, on CLOCK_MONOTONIC, and ends.
 * With SHOW it says where it is instead: that the floor builds the container that stage builds is checked, not claimed.
 */
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#ifdef SHOW
static int show(const char *path)
{
	char text[65536];
	ssize_t n;
	int fd = open(path, O_RDONLY);
	if (fd < 0)
		return 1;
	while ((n = read(fd, text, sizeof text)) > 0)
		if (write(STDOUT_FILENO, text, (size_t)n) != n)
			return 1;
	return close(fd) < 0 || n < 0;
}

int main(void) { return show("/proc/self/mountinfo") || show("/proc/self/status") || show("/proc/self/limits"); }
#else
int main(void)
{
	struct timespec now;
	if (clock_gettime(CLOCK_MONOTONIC, &now) < 0)
		return 1;
	return write(STDOUT_FILENO, &now, sizeof now) == sizeof now ? 0 : 1;
}
#endif
