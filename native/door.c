/* Stands between strangers and the daemon. Descriptors that somebody sends to a socket have to be closed by
 * whoever reads or closes it, and closing a stranger's may take as long as the stranger likes (SO_LINGER,
 * socket(7)): so each connection has a process of its own, which passes bytes on and never a descriptor, and
 * of which the daemon gets the other end with what the kernel says of the stranger. */
#define _GNU_SOURCE
#include "door.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "frames.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

enum { LISTEN_FD = 3, DAEMON_FD = 4 };

enum {
    MOST = 64, /* visitors at a time */
    LOOK = 200 /* milliseconds between two looks whether one has left */
};

/* Whom a door is for. */
struct policy {
    int most_of_user;  /* visitors of one user */
    int pause;         /* milliseconds between two of them */
    unsigned stay;     /* seconds that one may stay, 0: as long as it likes */
    size_t most_words; /* bytes that it may say, 0: as many as it likes */
    bool root;         /* root may come in as well */
};

/* One question of a user of the host's, who is not root: root has a door of its own. */
static const struct policy for_users = {16, 6, 30, 8192 + FRAME_HEAD, false};
/* Everybody in one guest, for as long as they like: it is their own places that they take. */
static const struct policy for_guest = {MOST, 1, 0, 0, true};

struct visitor {
    pid_t process; /* 0: none */
    uid_t user;
};

static struct visitor visitors[MOST];

static void take_leave(void)
{
    pid_t gone;

    while ((gone = waitpid(-1, NULL, WNOHANG)) > 0) {
        for (int i = 0; i < MOST; i++) {
            if (visitors[i].process == gone)
                visitors[i].process = 0;
        }
    }
}

/* A free place, or -1; how many there are, and of that user. */
static int count(uid_t user, int *all, int *own)
{
    int place = -1;

    *all = *own = 0;
    for (int i = 0; i < MOST; i++) {
        if (visitors[i].process == 0) {
            place = i;
            continue;
        }
        ++*all;
        *own += visitors[i].user == user;
    }
    return place;
}

/* The process that connected, -1 where the kernel cannot tell (before 6.5), or -2: it has gone. */
static int peer_pidfd(int visitor)
{
    int fd = -1;
    socklen_t len = sizeof(fd);

    if (getsockopt(visitor, SOL_SOCKET, SO_PEERPIDFD, &fd, &len) == 0)
        return fd;
    return errno == ENOPROTOOPT ? -1 : -2;
}

/* Plain reads: the kernel drops what descriptors come. */
static void pass_on(int visitor, int daemon, const struct policy *policy)
{
    struct pollfd ready[] = {{.fd = visitor, .events = POLLIN}, {.fd = daemon, .events = POLLIN}};
    char bytes[4096];
    size_t said = 0;

    for (;;) {
        ssize_t got;

        if (poll(ready, 2, -1) < 0)
            return;
        if (ready[1].revents != 0) {
            got = read(daemon, bytes, sizeof(bytes));
            if (got <= 0 || write_all(visitor, bytes, (size_t)got) < 0)
                return;
            continue;
        }
        got = read(visitor, bytes, sizeof(bytes));
        said += got > 0 ? (size_t)got : 0;
        if (got < 0 || (policy->most_words > 0 && said > policy->most_words))
            return;
        if (got > 0) {
            if (write_all(daemon, bytes, (size_t)got) < 0)
                return;
            continue;
        }
        /* It has said all, and may still be waiting for the answer. */
        if (shutdown(daemon, SHUT_WR) < 0)
            return;
        ready[0].fd = -1;
    }
}

/* In the process of a visitor, which ends here whatever happens: a process that exits lingers for nobody. */
_Noreturn static void serve(int visitor, const struct ucred *who, const struct policy *policy)
{
    uint32_t words[3] = {(uint32_t)who->pid, who->uid, who->gid};
    struct iovec part = {.iov_base = words, .iov_len = sizeof(words)};
    int ends[2], fds[2];

    alarm(policy->stay);
    fds[1] = peer_pidfd(visitor);
    if (fds[1] == -2 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        _exit(0);
    fds[0] = ends[1];
    if (frame_send(DAEMON_FD, FRAME_VISITOR, &part, 1, fds, fds[1] < 0 ? 1 : 2) < 0)
        _exit(0);
    close(ends[1]);
    close(DAEMON_FD);
    pass_on(visitor, ends[0], policy);
    _exit(0);
}

static void let_in(int visitor, const struct policy *policy, pid_t door)
{
    struct ucred who = {0};
    socklen_t len = sizeof(who);
    int all, own, place, turn[2];
    pid_t process;

    if (getsockopt(visitor, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
        who.uid = 0;
    place = count(who.uid, &all, &own);
    if (pipe2(turn, O_CLOEXEC) < 0) {
        close(visitor);
        return;
    }
    process = fork();
    if (process == 0) {
        char none;
        ssize_t unused;

        /* Not before the parent has closed it: whoever closes it last must be a process that exits. */
        close(turn[1]);
        unused = read(turn[0], &none, 1);
        (void)unused;
        close(LISTEN_FD);
        if ((who.uid == 0 && !policy->root) || who.pid == 0 || own >= policy->most_of_user)
            _exit(0);
        /* Whoever does not take what is written to it keeps nobody here when the door is shut. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != door)
            _exit(0);
        serve(visitor, &who, policy);
    }
    if (process > 0)
        visitors[place] = (struct visitor){process, who.uid};
    close(visitor);
    close(turn[0]);
    close(turn[1]);
}

/* Ends with the daemon. */
int door_main(int argc, char **argv)
{
    const struct policy *policy = argc == 3 && strcmp(argv[2], "guest") == 0 ? &for_guest : &for_users;
    const pid_t door = getpid();
    struct pollfd ready[] = {{.fd = DAEMON_FD}, {.fd = LISTEN_FD, .events = POLLIN}};

    if ((argc > 2 && policy == &for_users) || fcntl(DAEMON_FD, F_SETFD, FD_CLOEXEC) < 0 ||
        fcntl(LISTEN_FD, F_SETFD, FD_CLOEXEC) < 0) {
        say("islet: door is for islet's own use: it needs sockets on descriptors 3 and 4", NULL);
        return 1;
    }
    for (;;) {
        const struct timespec pause = {.tv_nsec = policy->pause * 1000000L};
        int all, own, visitor;

        take_leave();
        count(0, &all, &own);
        if (poll(ready, all < MOST ? 2 : 1, all > 0 ? LOOK : -1) < 0 && errno != EINTR)
            return 1;
        if (ready[0].revents != 0)
            return 0;
        if (all == MOST || ready[1].revents == 0)
            continue;
        visitor = accept4(LISTEN_FD, NULL, NULL, SOCK_CLOEXEC);
        if (visitor >= 0)
            let_in(visitor, policy, door);
        /* However fast they come, there is time for everything else; and what keeps us from letting one in
         * will not have changed at once. */
        nanosleep(&pause, NULL);
    }
}
