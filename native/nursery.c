/* Makes monitors for the daemon: a copy of this small process costs a tenth of what it costs Node to execute
 * a program, and Node's event loop does not stand still for it. */
#define _GNU_SOURCE
#include "nursery.h"

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frames.h"
#include "monitor.h"

enum { DAEMON_FD = 3 };

enum { TELL_PID = 1 };

/* The monitor's pid is the first that arrives at the other end of its socket: it says nothing before START.
 */
static void tell_pid(int sock, pid_t pid)
{
    int32_t word = (int32_t)pid;
    ssize_t unused = send(sock, &word, sizeof(word), MSG_NOSIGNAL | MSG_DONTWAIT);

    (void)unused;
}

/* For each byte with a descriptor one monitor that has that as its socket; ends with the daemon. Nobody waits
 * for monitors: the kernel takes their status. A byte 1 asks for the pid. */
int nursery_main(int argc, char **argv)
{
    if (fcntl(DAEMON_FD, F_SETFD, FD_CLOEXEC) < 0) {
        say("islet nursery: descriptor 3 is not the daemon's socket; the daemon starts it", NULL);
        return 1;
    }
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int fds[FRAME_FDS];
        int nfds = 0;
        char byte;
        ssize_t got = frame_recvmsg(DAEMON_FD, &byte, 1, fds, &nfds, 0);

        if (got == 0)
            return 0;
        if (got < 0) {
            say("islet nursery: the daemon's socket: ", strerror(-(int)got), NULL);
            return 1;
        }
        if (nfds == 1) {
            pid_t child = fork();

            if (child == 0) {
                signal(SIGCHLD, SIG_DFL);
                if (dup2(fds[0], DAEMON_FD) < 0)
                    _exit(1);
                memcpy(argv[1], "monitor", strlen(argv[1])); /* what ps shows: as long as "nursery" */
                return monitor_main(argc, argv);
            }
            if (child > 0 && byte == TELL_PID)
                tell_pid(fds[0], child);
        }
        /* A monitor that could not be made: the daemon sees the end of its socket. */
        frame_close_fds(fds, &nfds);
    }
}
