/* RELAY: the user's terminal joined with a descriptor that the daemon passed. */
#define _GNU_SOURCE
#include "client.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

enum {
    END_ON_ESCAPE = 1,
    PASS_SIGNALS = 2,
    LEAVE_QUIETLY = 4,
    END_WITH_INPUT = 8,
    HAS_LEASE = 16,
    ALTERNATE = 32
};
enum { HUNGUP_CLOSED = 0, HUNGUP_LEFT = 1 };

static struct relay relay;
static int is_active;

void relay_finish(void)
{
    if (is_active)
        relay_drain(&relay);
}

static void send_size(struct client *client)
{
    struct winsize size;
    int fd = tty_any(client->ttys);

    if (fd >= 0 && ioctl(fd, TIOCGWINSZ, &size) == 0) {
        uint16_t both[2] = {size.ws_row, size.ws_col};

        if (relay.peer >= 0)
            ioctl(relay.peer, TIOCSWINSZ, &size); /* a terminal follows even without the daemon */
        client_send(client, FRAME_WINCH, both, sizeof(both));
    }
}

static void on_signals(struct client *client, int signals, uint32_t flags)
{
    struct signalfd_siginfo info;

    while (read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        uint32_t sig = info.ssi_signo;

        if (sig == SIGWINCH)
            send_size(client);
        else if ((flags & PASS_SIGNALS) != 0 && client->daemon >= 0)
            client_send(client, FRAME_SIGNAL, &sig, sizeof(sig));
        else
            tty_die((int)sig);
    }
}

/* The peer may live on without the daemon: its end is no reason to leave. */
static void on_daemon(struct client *client, struct reader *in)
{
    char byte;

    if (recv(client->daemon, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
        close_fd(&client->daemon);
        return;
    }
    do {
        client_frame(client, in);
    } while (in->at < in->end);
}

/* Whoever lent the peer has taken it back: what it still has to say is read, then the relay is over. */
static void on_lease(void)
{
    relay_drain(&relay);
    relay.peer_closed = 1;
}

static void join(struct client *client, struct reader *in, uint32_t flags, int signals)
{
    while (in->at < in->end)
        client_frame(client, in);
    for (;;) {
        struct pollfd ready[6];

        relay_poll(&relay, ready);
        ready[3] = (struct pollfd){.fd = client->daemon, .events = POLLIN};
        ready[4] = (struct pollfd){.fd = signals, .events = POLLIN};
        ready[5] = (struct pollfd){.fd = relay.lease, .events = POLLIN};
        if (poll(ready, LENGTH(ready), -1) < 0)
            continue;
        relay_step(&relay, ready);
        if (ready[4].revents != 0)
            on_signals(client, signals, flags);
        if (ready[3].fd >= 0 && ready[3].revents != 0)
            on_daemon(client, in);
        if (relay.in < 0 && (flags & END_WITH_INPUT) != 0 && relay.to_peer_at == relay.to_peer_end)
            relay.left = 1;
        else if (ready[5].fd >= 0 && ready[5].revents != 0)
            on_lease();
        if (relay.left || (relay.peer_closed && relay.to_out_at == relay.to_out_end))
            return;
    }
}

/* The next descriptor that came, or -1. */
static int take_fd(struct reader *in)
{
    int fd;

    if (in->nfds < 1)
        return -1;
    fd = in->fds[0];
    in->nfds--;
    memmove(in->fds, in->fds + 1, sizeof(in->fds[0]) * (size_t)in->nfds);
    return fd;
}

static int take_peer(struct client *client, struct reader *in)
{
    int peer = take_fd(in);
    int flags;

    if (peer < 0)
        client_garbage(client, "a relay without a descriptor");
    flags = fcntl(peer, F_GETFL);
    if (flags >= 0)
        fcntl(peer, F_SETFL, flags | O_NONBLOCK);
    return peer;
}

void client_relay(struct client *client, struct reader *in, uint32_t len)
{
    static const int caught[] = {SIGWINCH, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction pipe_before;
    sigset_t mask, mask_before;
    uint32_t words[2];
    uint32_t reason;
    AUTO_FD int peer = -1;
    AUTO_FD int lease = -1;
    AUTO_FD int signals = -1;

    if (len != sizeof(words) || is_active)
        client_garbage(client, "a relay that makes no sense");
    client_take(client, in, words, sizeof(words));
    peer = take_peer(client, in);
    if ((words[0] & HAS_LEASE) != 0) {
        lease = take_fd(in);
        if (lease < 0)
            client_garbage(client, "a relay without its lease");
    }

    relay = (struct relay){.peer = peer, .in = 0, .out = 1, .log = -1, .hold = -1, .lease = lease};
    relay.has_escape = (words[0] & END_ON_ESCAPE) != 0;
    relay.escape = (int)(words[1] & 0xff);
    is_active = 1;
    sigemptyset(&mask);
    for (size_t i = 0; i < LENGTH(caught); i++)
        sigaddset(&mask, caught[i]);
    sigaction(SIGPIPE, &ignore, &pipe_before);
    sigprocmask(SIG_BLOCK, &mask, &mask_before);
    signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    tty_raw(client->ttys);
    if ((words[0] & ALTERNATE) != 0)
        tty_alternate();
    tty_copy_size(client->ttys, peer);

    join(client, in, words[0], signals);
    reason = relay.left ? HUNGUP_LEFT : HUNGUP_CLOSED;
    client->has_left = relay.left;
    is_active = 0;
    if (relay.left)
        relay_last_keys(&relay);
    close_fd(&relay.hold);
    close_fd(&lease);
    tty_restore();
    sigprocmask(SIG_SETMASK, &mask_before, NULL);
    sigaction(SIGPIPE, &pipe_before, NULL);
    client_send(client, FRAME_HUNGUP, &reason, sizeof(reason));
    if (client->daemon < 0 && (relay.left || (words[0] & LEAVE_QUIETLY) != 0))
        _exit(0);
}
