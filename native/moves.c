/* Keeps moves between cgroups quick. The kernel's lock on all forks, which a move through cgroup.procs takes,
 * makes its first taker wait for an RCU grace period, and stays quick for about as long after each use
 * (kernel/rcu/sync.c). */
#define _GNU_SOURCE
#include "moves.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Less than a grace period of a machine with little to do. */
enum { PAUSE_MS = 5 };

static long long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

int moves_main(int argc, char **argv)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    long long window;
    long long end;
    int procs;

    if (argc != 3)
        return 1;
    window = strtoll(argv[2], NULL, 10);
    procs = open(argv[1], O_WRONLY | O_CLOEXEC);
    if (procs < 0)
        return 1;
    for (end = now_ms() + window; now_ms() < end;) {
        char bytes[64];
        int ready;

        if (write(procs, "0", 1) != 1)
            return 1;
        ready = poll(&input, 1, PAUSE_MS);
        if (ready < 0 && errno != EINTR)
            return 1;
        if (ready > 0 && read(STDIN_FILENO, bytes, sizeof(bytes)) <= 0)
            return 0;
        if (ready > 0)
            end = now_ms() + window;
    }
    return 0;
}
