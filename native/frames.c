#define _GNU_SOURCE
#include "frames.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

_Static_assert(sizeof(struct frame_head) == FRAME_HEAD, "the head of a frame is 8 bytes");

union control {
    struct cmsghdr head;
    char space[CMSG_SPACE(sizeof(int) * FRAME_FDS)];
};

ssize_t frame_sendmsg(int sock, const struct iovec *parts, int count, const int *fds, int nfds, int flags)
{
    union control control;
    struct msghdr msg = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (unsigned)count};

    if (nfds > 0) {
        size_t bytes = sizeof(int) * (size_t)nfds;

        memset(&control, 0, sizeof(control));
        msg.msg_control = &control;
        msg.msg_controllen = (socklen_t)CMSG_SPACE(bytes);
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = (socklen_t)CMSG_LEN(bytes);
        memcpy(CMSG_DATA(&control.head), fds, bytes);
    }
    for (;;) {
        ssize_t sent = sendmsg(sock, &msg, flags | MSG_NOSIGNAL);

        if (sent >= 0)
            return sent;
        if (errno != EINTR)
            return -errno;
    }
}

void frame_close_fds(int *fds, int *nfds)
{
    for (int i = 0; i < *nfds; i++)
        close(fds[i]);
    *nfds = 0;
}

ssize_t frame_recvmsg(int sock, void *buf, size_t len, int fds[FRAME_FDS], int *nfds, int flags)
{
    union control control;
    struct iovec part = {.iov_base = buf, .iov_len = len};
    struct msghdr msg = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t got;
    int refused = 0;

    do {
        got = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0)
        return -errno;
    refused = (msg.msg_flags & MSG_CTRUNC) != 0;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(&msg); head != NULL; head = CMSG_NXTHDR(&msg, head)) {
        int came[FRAME_FDS];
        int count;

        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        count = (int)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(came, CMSG_DATA(head), sizeof(int) * (size_t)count);
        if (refused || *nfds + count > FRAME_FDS) {
            frame_close_fds(came, &count);
            refused = 1;
            continue;
        }
        memcpy(fds + *nfds, came, sizeof(int) * (size_t)count);
        *nfds += count;
    }
    return refused ? -EPROTO : got;
}

int frame_send(int sock, uint16_t type, const struct iovec *parts, int count, const int *fds, int nfds)
{
    struct frame_head head = {.type = type};
    struct iovec all[4] = {{.iov_base = &head, .iov_len = sizeof(head)}};
    struct iovec *next = all;

    for (int i = 0; i < count; i++) {
        head.length += (uint32_t)parts[i].iov_len;
        all[i + 1] = parts[i];
    }
    count++;
    for (;;) {
        ssize_t sent = frame_sendmsg(sock, next, count, fds, nfds, 0);

        if (sent < 0)
            return (int)sent;
        nfds = 0; /* they went with the first byte */
        while (count > 0 && (size_t)sent >= next->iov_len) {
            sent -= (ssize_t)next->iov_len;
            next++;
            count--;
        }
        if (count == 0)
            return 0;
        next->iov_base = (char *)next->iov_base + sent;
        next->iov_len -= (size_t)sent;
    }
}

/* Errors that a process gets when the one at the other end of a pipe, socket or wait is gone, or its
 * directory in /proc. */
static int follows_a_child(int32_t error)
{
    return error == ISLP_SHORT || error >= ISLP_STATUS || error == EPIPE || error == ECONNRESET ||
           error == ESRCH || error == ECHILD || error == ENOENT;
}

struct islp_record frame_cause(int report, const struct islp_record *own)
{
    struct islp_record found;

    if (!follows_a_child(own->error))
        return *own;
    while (read(report, &found, sizeof(found)) == (ssize_t)sizeof(found)) {
        if (found.magic == ISLP_RECORD_MAGIC && found.depth > 0)
            return found;
    }
    return *own;
}

int frame_has_report(int report)
{
    struct pollfd ready = {.fd = report, .events = POLLIN};

    return poll(&ready, 1, 0) == 1 && (ready.revents & POLLIN) != 0;
}

int write_all(int fd, const void *bytes, size_t len)
{
    const char *next = bytes;

    while (len > 0) {
        ssize_t wrote = write(fd, next, len);

        if (wrote >= 0) {
            next += wrote;
            len -= (size_t)wrote;
        } else if (errno == EAGAIN) {
            struct pollfd ready = {.fd = fd, .events = POLLOUT};

            poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

void say(const char *first, ...)
{
    struct iovec parts[12];
    int count = 0;
    va_list more;

    va_start(more, first);
    for (const char *text = first; text != NULL && count < (int)LENGTH(parts) - 1;
         text = va_arg(more, const char *))
        parts[count++] = (struct iovec){.iov_base = (char *)text, .iov_len = strlen(text)};
    va_end(more);
    parts[count++] = (struct iovec){.iov_base = (char *)"\n", .iov_len = 1};
    if (writev(2, parts, count) < 0)
        return; /* nowhere left to complain */
}

int pty_peer(int master)
{
    int fd = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}
