/* Frames of the control protocols (docs/protocol/control.md) and the few helpers that client, monitor and
 * init share. Nothing here allocates memory or keeps state. */
#ifndef ISLET_FRAMES_H
#define ISLET_FRAMES_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include "interp.h"

#define FRAME_HEAD 8u
#define FRAME_LIMIT (1024u * 1024) /* largest payload that a client or a monitor takes */
#define FRAME_DAEMON_LIMIT (8u * 1024 * 1024)
/* Descriptors of a frame that a client or a monitor takes; START carries those of 32 sockets. */
#define FRAME_FDS 64

struct frame_head {
    uint32_t length; /* of the payload */
    uint16_t type, zero;
};

/* Client and daemon. Frozen; only appended to. */
enum client_frame {
    FRAME_HELLO = 1,
    FRAME_OUT,
    FRAME_EXIT,
    FRAME_RUN,
    FRAME_RESULT,
    FRAME_RELAY,
    FRAME_WINCH,
    FRAME_SIGNAL,
    FRAME_HUNGUP,
    FRAME_CALL,
    FRAME_ANSWER,
    FRAME_EVENT,
    FRAME_DESCRIPTOR,
    FRAME_STARTED,
    FRAME_VISITOR,
};

/* Daemon and monitor. Frozen; only appended to. */
enum monitor_frame {
    FRAME_START = 1,
    FRAME_INFO_ASK,
    FRAME_INFO,
    FRAME_STATE,
    FRAME_FAILED,
    FRAME_KILL,
    FRAME_CONSOLE,
    FRAME_TTY_ASK,
    FRAME_TTY,
    FRAME_RELEASE,
    FRAME_RESIZE,
    FRAME_BUFFER_ASK,
    FRAME_BUFFER,
    FRAME_SUBSCRIBE,
    FRAME_LOG,
    FRAME_READY,
    FRAME_PTYS_ASK,
    FRAME_PTYS,
};

/* One sendmsg of the parts, with descriptors if nfds > 0: bytes sent, or -errno. Never raises SIGPIPE. */
ssize_t frame_sendmsg(int sock, const struct iovec *parts, int count, const int *fds, int nfds, int flags);

/* One recvmsg into buf. Descriptors that came are close-on-exec and are appended to fds, which holds *nfds
 * of FRAME_FDS. Bytes received, 0 at the end of the stream, or -errno; -EPROTO: more descriptors than there
 * is room for (all that came are closed). */
ssize_t frame_recvmsg(int sock, void *buf, size_t len, int fds[FRAME_FDS], int *nfds, int flags);

/* Write a whole frame to a blocking socket: 0 or -errno. At most 3 parts. */
int frame_send(int sock, uint16_t type, const struct iovec *parts, int count, const int *fds, int nfds);

/* Close *nfds descriptors and set the count to 0. */
void frame_close_fds(int *fds, int *nfds);

/* The cause of a program's failure: what the first process says (own) unless it fails only because a child
 * is gone; then the first record that a child left in the (non-blocking) report pipe. */
struct islp_record frame_cause(int report, const struct islp_record *own);

/* Whether a child has left a report. */
int frame_has_report(int report);

/* Read a little-endian word from bytes of any alignment. */
static inline uint32_t frame_u32(const void *bytes)
{
    uint32_t word;

    __builtin_memcpy(&word, bytes, sizeof(word));
    return word;
}

/* Write all to a descriptor, waiting where it does not block by itself: 0 or -errno. */
int write_all(int fd, const void *bytes, size_t len);

/* Write "a: b" style text as one line on descriptor 2; NULL ends the list of strings. */
void say(const char *first, ...) __attribute__((sentinel));

/* Open the other end of a pty master, so that the master sees no hang-up while nobody else holds the
 * slave: descriptor or -errno. */
int pty_peer(int master);

static inline void close_fd(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;

        close(*fd);
        errno = saved;
        *fd = -1;
    }
}
#define AUTO_FD __attribute__((cleanup(close_fd)))

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#endif
