/* The monitor's connections and its one wait: everything that happens, happens in mon_serve(). */
#define _GNU_SOURCE
#include "monitor.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#ifndef TIOCSWINSZ
#include <termios.h>
#endif

static void end_peer(struct peer *peer)
{
    close_fd(&peer->kept); /* before the other side can notice the end */
    close_fd(&peer->fd);
    queue_drop(&peer->out);
    tty_release_all((int)(peer - mon.peers));
}

/* Send a frame to one peer, keeping what does not fit: 0, or -errno when the connection cannot go on.
 * Replies are never refused for their size: no request is read before the last reply is written. */
static int post(struct peer *peer, uint16_t type, const struct iovec *parts, int count, int fd, size_t limit)
{
    struct frame_head head = {.type = type};
    struct iovec all[6] = {{.iov_base = &head, .iov_len = sizeof(head)}};
    size_t total = sizeof(head);
    size_t waiting = peer->out.end - peer->out.at;
    ssize_t sent = 0;

    for (int i = 0; i < count; i++) {
        all[i + 1] = parts[i];
        total += parts[i].iov_len;
    }
    head.length = (uint32_t)(total - sizeof(head));
    if (limit == 0)
        limit = waiting + total;
    if (waiting + total > limit && waiting > 0)
        return -ENOBUFS;
    if (waiting == 0) {
        sent = frame_sendmsg(peer->fd, all, count + 1, &fd, fd >= 0 ? 1 : 0, MSG_DONTWAIT);
        if (sent == -EAGAIN && fd < 0)
            sent = 0;
        if (sent < 0)
            return (int)sent;
    }
    for (int i = 0; i <= count; i++) {
        size_t skip = (size_t)sent < all[i].iov_len ? (size_t)sent : all[i].iov_len;
        int error;

        sent -= (ssize_t)skip;
        if (skip == all[i].iov_len)
            continue;
        error = queue_put(&peer->out, (char *)all[i].iov_base + skip, all[i].iov_len - skip,
                          limit > MON_PENDING ? limit : MON_PENDING);
        if (error < 0)
            return error;
    }
    return 0;
}

void mon_publish(uint16_t type, const void *bytes, size_t len)
{
    const struct iovec part = {.iov_base = (void *)bytes, .iov_len = len};

    for (struct peer *peer = mon.peers; peer < mon.peers + MON_PEERS; peer++) {
        int error;

        if (peer->fd < 0 || !peer->is_subscribed)
            continue;
        error = post(peer, type, &part, 1, -1, MON_PENDING);
        if (error < 0 && !(type == FRAME_LOG && error == -ENOBUFS))
            end_peer(peer);
    }
}

void mon_kill(int sig)
{
    if (mon.is_starting) {
        mon.is_aborted = 1;
        sig = SIGKILL;
    }
    if (mon.main_fd >= 0)
        syscall(SYS_pidfd_send_signal, mon.main_fd, sig, NULL, 0);
}

/* ---- requests ---- */

static int reply_info(struct peer *peer)
{
    struct {
        uint32_t state;
        int32_t pid;
        uint32_t exit;
    } __attribute__((packed)) first = {mon.state, mon.main_pid, mon.status};
    uint32_t meta_len = (uint32_t)mon.meta_len;
    struct iovec parts[5] = {
        {.iov_base = &first, .iov_len = sizeof(first)},
        {.iov_base = &mon.start_time, .iov_len = sizeof(mon.start_time)},
        {.iov_base = &mon.reboots, .iov_len = sizeof(mon.reboots)},
        {.iov_base = &meta_len, .iov_len = sizeof(meta_len)},
    };
    int count = 4;
    int error;

    if (meta_len > 0) {
        void *meta = mmap(NULL, mon.meta_len, PROT_READ, MAP_SHARED, mon.file, 0);

        if (meta == MAP_FAILED)
            return -ENOMEM;
        parts[count++] = (struct iovec){.iov_base = meta, .iov_len = meta_len};
    }
    error = post(peer, FRAME_INFO, parts, count, mon.main_fd, 0);
    if (count == 5)
        munmap(parts[4].iov_base, meta_len);
    return error < 0 || !mon.is_ready ? error : post(peer, FRAME_READY, NULL, 0, -1, MON_PENDING);
}

void mon_publish_info(void)
{
    /* What must not stand in the way of the states behind it: whoever needs that one asks for it. */
    if (mon.meta_len > MON_PENDING / 4)
        return;
    for (struct peer *peer = mon.peers; peer < mon.peers + MON_PEERS; peer++) {
        if (peer->fd >= 0 && peer->is_subscribed && !queue_waits(&peer->out))
            if (reply_info(peer) < 0)
                end_peer(peer);
    }
}

enum { CONSOLE_REPLAY = 1, CONSOLE_IF_FREE = 2 };

/* CONSOLE: takes the descriptor unless the console is asked for only if it is free, and it is not. */
static int join_console(struct peer *peer, uint32_t flags, int *fd)
{
    int32_t answer = (flags & CONSOLE_IF_FREE) != 0 ? console_free() : 0;
    const struct iovec part = {.iov_base = &answer, .iov_len = sizeof(answer)};

    if (*fd < 0)
        return -EINVAL;
    if (answer < 0) {
        close_fd(fd);
    } else {
        console_join(*fd, (flags & CONSOLE_REPLAY) != 0);
        *fd = -1;
    }
    return (flags & CONSOLE_IF_FREE) != 0 ? post(peer, FRAME_TTY, &part, 1, -1, 0) : 0;
}

static int reply_tty(struct peer *peer, int32_t number)
{
    int owner = (int)(peer - mon.peers);
    int32_t answer = owner < MON_PEERS - MON_RESERVED ? tty_take(number, owner) : -EUSERS;
    const struct iovec part = {.iov_base = &answer, .iov_len = sizeof(answer)};

    return post(peer, FRAME_TTY, &part, 1, answer > 0 ? mon.ttys[answer - 1].master : -1, 0);
}

static int reply_buffer(struct peer *peer, int clear)
{
    struct iovec parts[2];
    int count = ring_parts(&mon.console.ring, parts);
    int error = post(peer, FRAME_BUFFER, parts, count, -1, 0);

    if (clear)
        ring_clear(&mon.console.ring);
    return error;
}

static int reply_ptys(struct peer *peer)
{
    int32_t numbers[MON_OUTERS];
    const struct iovec part = {.iov_base = numbers,
                               .iov_len = (size_t)outer_numbers(numbers) * sizeof(*numbers)};

    return post(peer, FRAME_PTYS, &part, 1, -1, 0);
}

static void resize(const unsigned char *payload)
{
    struct winsize size = {.ws_row = 0};

    memcpy(&size.ws_row, payload, 2);
    memcpy(&size.ws_col, payload + 2, 2);
    if (mon.console.master >= 0)
        ioctl(mon.console.master, TIOCSWINSZ, &size);
}

/* The payload's size for each request, -1 for what nobody may send to us. */
static int payload_size(uint16_t type)
{
    switch (type) {
    case FRAME_INFO_ASK:
    case FRAME_SUBSCRIBE:
    case FRAME_PTYS_ASK:
        return 0;
    case FRAME_KILL:
    case FRAME_CONSOLE:
    case FRAME_TTY_ASK:
    case FRAME_RELEASE:
    case FRAME_RESIZE:
    case FRAME_BUFFER_ASK:
        return 4;
    default:
        return -1;
    }
}

/* 0, or -errno: the connection ends. Descriptors that are taken are set to -1. */
static int answer(struct peer *peer, uint16_t type, const unsigned char *payload, int *fd)
{
    uint32_t word = payload_size(type) == 4 ? frame_u32(payload) : 0;

    switch (type) {
    case FRAME_INFO_ASK:
        return reply_info(peer);
    case FRAME_KILL:
        if (word == 0 || word > 64)
            return -EINVAL;
        mon_kill((int)word);
        return 0;
    case FRAME_CONSOLE:
        return join_console(peer, word, fd);
    case FRAME_TTY_ASK:
        return reply_tty(peer, (int32_t)word);
    case FRAME_RELEASE:
        tty_release((int)word, (int)(peer - mon.peers));
        return 0;
    case FRAME_RESIZE:
        resize(payload);
        return 0;
    case FRAME_BUFFER_ASK:
        return reply_buffer(peer, (word & 1) != 0);
    case FRAME_SUBSCRIBE:
        peer->is_subscribed = 1;
        return 0;
    case FRAME_PTYS_ASK:
        return reply_ptys(peer);
    default:
        return -EPROTO;
    }
}

/* Receive towards one request and answer it when it is whole: 0, or -errno; -EPIPE at the end. */
static int receive(struct peer *peer)
{
    uint32_t want = FRAME_HEAD;
    int fds[FRAME_FDS];
    int nfds = 0;
    struct frame_head head;
    ssize_t got;

    if (peer->have >= FRAME_HEAD)
        want += frame_u32(peer->request);
    got = frame_recvmsg(peer->fd, peer->request + peer->have, want - peer->have, fds, &nfds, MSG_DONTWAIT);
    if (nfds > 0 && peer->have == 0 && peer->kept < 0)
        peer->kept = fds[--nfds];
    if (nfds > 0) {
        frame_close_fds(fds, &nfds);
        return -EPROTO;
    }
    if (got == -EAGAIN)
        return 0;
    if (got <= 0)
        return got == 0 ? -EPIPE : (int)got;
    peer->have += (uint32_t)got;
    if (peer->have < FRAME_HEAD)
        return 0;
    memcpy(&head, peer->request, sizeof(head));
    if (head.zero != 0 || payload_size(head.type) != (int)head.length ||
        (peer->kept >= 0 && head.type != FRAME_CONSOLE))
        return -EPROTO;
    if (peer->have < FRAME_HEAD + head.length)
        return 0;
    peer->have = 0;
    return answer(peer, head.type, peer->request + FRAME_HEAD, &peer->kept);
}

static void serve_peer(struct peer *peer, short events)
{
    int error = 0;

    if ((events & POLLOUT) != 0)
        error = queue_write(&peer->out, peer->fd);
    if (error == 0 && (events & (POLLIN | POLLHUP | POLLERR)) != 0)
        error = receive(peer);
    if (error < 0)
        end_peer(peer);
}

static int accept_from(int *listener)
{
    int fd = accept4(*listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            poll(NULL, 0, 50); /* it stays readable: do not spin */
        else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            close_fd(listener); /* it is no listening socket */
    }
    return fd;
}

/* The answer is there before the question, which is never read. The caller is let go much later: a close with
 * unread bytes would take the answer along (ECONNRESET). */
static void refuse(void)
{
    int fd = accept_from(&mon.refuser);
    int *place = &mon.refused[mon.refused_next];

    if (fd < 0)
        return;
    close_fd(place);
    *place = fd;
    mon.refused_next = (mon.refused_next + 1) % MON_REFUSED;
    if (send(fd, mon.refusal, mon.refusal_len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        close_fd(place);
}

void mon_end_refuser(void)
{
    close_fd(&mon.refuser);
    for (int i = 0; i < MON_REFUSED; i++)
        close_fd(&mon.refused[i]);
}

static void accept_peer(void)
{
    struct ucred who;
    socklen_t len = sizeof(who);
    int fd = accept_from(&mon.listener);

    if (fd < 0)
        return;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && (who.uid == 0 || who.uid == geteuid())) {
        for (int i = 1; i < MON_PEERS; i++) {
            struct peer *peer = &mon.peers[i];

            if (peer->fd >= 0)
                continue;
            peer->fd = fd;
            peer->have = 0;
            peer->is_subscribed = 0;
            return;
        }
    }
    close(fd);
}

/* ---- signals and the output of host commands ---- */

/* What a signal to the monitor means for the main process. A start is ended by those that end a terminal's
 * work; the others find nobody yet. SIGURG is for whoever ends the whole control group, guest and all, and
 * means its stop in good order: to all others in there it means nothing. */
static void on_signals(void)
{
    struct signalfd_siginfo info;

    while (read(mon.signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        int sig = (int)info.ssi_signo;
        int ends = sig == SIGHUP || sig == SIGINT || sig == SIGQUIT || sig == SIGTERM || sig == SIGURG;

        if (sig == SIGURG) {
            if (mon.halt_signal == 0)
                continue;
            sig = mon.halt_signal;
        }
        if (sig != SIGPIPE && (ends || !mon.is_starting))
            mon_kill(sig == SIGHUP ? SIGTERM : sig);
    }
}

static void read_log(int *pipe_fd)
{
    unsigned char bytes[4096];
    ssize_t got = read(*pipe_fd, bytes, sizeof(bytes));

    if (got > 0)
        mon_publish(FRAME_LOG, bytes, (size_t)got);
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        close_fd(pipe_fd);
}

/* ---- what the main process says of itself ---- */

#define NOTIFY_ROUNDS 8
#define NOTIFY_ROOM 4096

/* Is there a line READY=1? */
static int says_ready(const char *text, size_t len)
{
    static const char wanted[] = "READY=1";
    const size_t size = sizeof(wanted) - 1;

    for (const char *end = text + len; text < end;) {
        const char *line_end = memchr(text, '\n', (size_t)(end - text));
        size_t line = (size_t)((line_end == NULL ? end : line_end) - text);

        if (line == size && memcmp(text, wanted, size) == 0)
            return 1;
        text += line + 1;
    }
    return 0;
}

/* Everything is read, or the guest's init would wait for room; only what init itself says counts. There is no
 * room for descriptors, so none arrives. */
static void read_notify(void)
{
    for (int round = 0; round < NOTIFY_ROUNDS; round++) {
        char text[NOTIFY_ROOM];
        union {
            struct cmsghdr head;
            char space[CMSG_SPACE(sizeof(struct ucred))];
        } control;
        struct iovec part = {.iov_base = text, .iov_len = sizeof(text)};
        struct msghdr msg = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        ssize_t got = recvmsg(mon.notify, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        struct cmsghdr *head;
        struct ucred sender;

        if (got < 0) {
            if (errno != EAGAIN && errno != EINTR)
                close_fd(&mon.notify);
            return;
        }
        head = CMSG_FIRSTHDR(&msg);
        if (head == NULL || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_CREDENTIALS)
            continue;
        memcpy(&sender, CMSG_DATA(head), sizeof(sender));
        if (mon.is_ready || sender.pid <= 0 || sender.pid != mon.main_pid || !says_ready(text, (size_t)got))
            continue;
        mon.is_ready = 1;
        mon_publish(FRAME_READY, NULL, 0);
    }
}

/* ---- the wait ---- */

static short peer_events(const struct peer *peer)
{
    return queue_waits(&peer->out) ? POLLOUT : POLLIN;
}

/* The console's master, then its viewers. Gives back what is behind them. */
static struct pollfd *console_events(struct pollfd *at)
{
    const struct console *console = &mon.console;
    int waits = queue_waits(&console->to_master);

    *at++ = (struct pollfd){.fd = console->master,
                            .events = (short)((outer_waits(0) ? 0 : POLLIN) | (waits ? POLLOUT : 0))};
    for (int i = 0; i < MON_VIEWERS; i++) {
        const struct viewer *viewer = &console->viewers[i];
        int shows = queue_waits(&viewer->shown);

        *at++ = (struct pollfd){.fd = waits && viewer->has_left ? -1 : viewer->fd,
                                .events = (short)((waits ? 0 : POLLIN) | (shows ? POLLOUT : 0))};
    }
    return at;
}

static void console_serve(const struct pollfd *master)
{
    const struct pollfd *viewers = master + 1;
    short ready = master->revents;

    if (master->fd >= 0 && (master->revents & (outer_waits(0) ? POLLHUP | POLLERR : ~0)) != 0)
        console_read();
    for (int i = 0; i < MON_VIEWERS; i++) {
        int is_over = (viewers[i].revents & (POLLHUP | POLLERR)) != 0;

        ready |= viewers[i].revents;
        if (viewers[i].fd >= 0 && (is_over || (viewers[i].revents & POLLIN) != 0) &&
            mon.console.viewers[i].fd == viewers[i].fd)
            console_input(&mon.console.viewers[i], is_over);
    }
    if ((ready & POLLOUT) != 0)
        console_output();
}

int mon_serve(int fd, int may_abort)
{
    int timeout = fd < 0 ? 0 : -1;

    for (;;) {
        struct pollfd wait[MON_POLL];
        struct pollfd *at = wait;
        struct pollfd *wanted = at++;
        struct pollfd *signals = at++;
        struct pollfd *listener = at++;
        struct pollfd *refuser = at++;
        struct pollfd *notify = at++;
        struct pollfd *console = at;
        struct pollfd *logs;
        struct pollfd *outers;
        struct pollfd *peers;

        if (may_abort && mon.is_aborted)
            return -ECANCELED;
        *wanted = (struct pollfd){.fd = fd, .events = POLLIN};
        *signals = (struct pollfd){.fd = mon.signals, .events = POLLIN};
        *listener = (struct pollfd){.fd = mon.listener, .events = POLLIN};
        *refuser = (struct pollfd){.fd = mon.refuser, .events = POLLIN};
        *notify = (struct pollfd){.fd = mon.notify, .events = POLLIN};
        at = console_events(at);
        logs = at;
        for (int i = 0; i < MON_LOGS; i++)
            *at++ = (struct pollfd){.fd = mon.logs[i], .events = POLLIN};
        outers = at;
        at = outer_events(at);
        peers = at;
        for (int i = 0; i < MON_PEERS; i++)
            *at++ = (struct pollfd){.fd = mon.peers[i].fd, .events = peer_events(&mon.peers[i])};

        if (poll(wait, (nfds_t)(at - wait), timeout < 0 ? outer_patience() : timeout) < 0)
            continue;
        /* Output first, so that a reader sees it before it sees the end. */
        for (int i = 0; i < MON_LOGS; i++) {
            if (mon.logs[i] >= 0 && logs[i].revents != 0)
                read_log(&mon.logs[i]);
        }
        console_serve(console);
        outer_serve(outers);
        if (notify->fd >= 0 && notify->revents != 0)
            read_notify();
        if (signals->revents != 0)
            on_signals();
        for (int i = 0; i < MON_PEERS; i++) {
            if (peers[i].fd >= 0 && peers[i].revents != 0 && mon.peers[i].fd == peers[i].fd)
                serve_peer(&mon.peers[i], peers[i].revents);
        }
        if (listener->fd >= 0 && listener->revents != 0)
            accept_peer();
        if (refuser->fd >= 0 && refuser->revents != 0)
            refuse();
        if (fd < 0)
            return 0;
        if ((wanted->revents & POLLNVAL) != 0)
            return -EBADF;
        if (wanted->revents != 0)
            return 0;
    }
}

void mon_flush(void)
{
    for (int rounds = 0; rounds < 20; rounds++) {
        struct pollfd wait[MON_PEERS];
        nfds_t count = 0;

        for (int i = 0; i < MON_PEERS; i++) {
            struct peer *peer = &mon.peers[i];

            if (peer->fd < 0 || !queue_waits(&peer->out))
                continue;
            if (queue_write(&peer->out, peer->fd) < 0)
                end_peer(peer);
            else if (queue_waits(&peer->out))
                wait[count++] = (struct pollfd){.fd = peer->fd, .events = POLLOUT};
        }
        if (count == 0)
            return;
        poll(wait, count, 50);
    }
}
