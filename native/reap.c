/* Clears cgroup trees that a plain rmdir could not: cgroups that were made below, processes that were moved
 * in from outside, whatever is frozen. Works on both cgroup versions, needs nobody else, and touches nothing
 * but control files and directories below the ones it is given. */
#define _GNU_SOURCE
#include "reap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_DEPTH = 64, PAUSE_NS = 2000000, ROUNDS = 5000 };

static void write_word(int dir, const char *file, const char *word)
{
    int fd = openat(dir, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t unused;

    if (fd < 0)
        return;
    unused = write(fd, word, strlen(word));
    (void)unused;
    close(fd);
}

/* Ends every process that the file lists. A list longer than the buffer is taken in the next round. */
static void kill_listed(int dir)
{
    char text[65536];
    int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t got;
    char *next = text;

    if (fd < 0)
        return;
    got = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (got <= 0)
        return;
    text[got] = '\0';
    while (*next != '\0') {
        char *end;
        long pid = strtol(next, &end, 10);

        if (end == next || *end != '\n')
            break;
        if (pid > 1 && pid != getpid() && pid != getppid())
            kill((pid_t)pid, SIGKILL);
        next = end + 1;
    }
}

/* Takes over the descriptor. */
static void clear_below(int dir, int depth)
{
    DIR *listing;
    const struct dirent *entry;

    write_word(dir, "freezer.state", "THAWED");
    write_word(dir, "cgroup.freeze", "0");
    write_word(dir, "cgroup.kill", "1");
    kill_listed(dir);
    listing = depth < MAX_DEPTH ? fdopendir(dir) : NULL;
    if (listing == NULL) {
        close(dir);
        return;
    }
    while ((entry = readdir(listing)) != NULL) {
        int child;

        if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        child = openat(dirfd(listing), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (child < 0)
            continue;
        clear_below(child, depth + 1);
        unlinkat(dirfd(listing), entry->d_name, AT_REMOVEDIR);
    }
    closedir(listing);
}

/* 1: it is gone. */
static int reap_once(const char *path)
{
    int dir;

    if (rmdir(path) == 0 || errno == ENOENT)
        return 1;
    dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return errno == ENOENT;
    clear_below(dir, 0);
    return rmdir(path) == 0 || errno == ENOENT;
}

int reap_main(int argc, char **argv)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};

    for (int round = 0; round < ROUNDS; round++) {
        int left = 0;

        for (int i = 1; i < argc; i++)
            left += !reap_once(argv[i]);
        if (left == 0)
            return 0;
        nanosleep(&pause, NULL);
    }
    return 1;
}
