/* The user's terminal: raw mode, size, and bytes between it and a descriptor. */
#define _GNU_SOURCE
#include "client.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

/* A background job may write to the terminal for ever: what is drained at the end is what fits in a pty. */
#define DRAIN_LIMIT (128 * 1024)

static struct termios saved;
static int is_raw;
static int is_alternate;

int tty_any(unsigned ttys)
{
    for (int fd = 0; fd < 3; fd++) {
        if ((ttys & (1u << fd)) != 0)
            return fd;
    }
    return -1;
}

void tty_raw(unsigned ttys)
{
    struct termios raw;

    if (is_raw || (ttys & 1) == 0 || tcgetattr(0, &saved) < 0)
        return;
    raw = saved;
    cfmakeraw(&raw);
    /* Never the flushing kind: what the user typed early is meant for the other side. */
    if (tcsetattr(0, TCSANOW, &raw) == 0)
        is_raw = 1;
}

void tty_alternate(void)
{
    /* The alternate screen, no cursor: xterm's control sequences, which every terminal of today knows. */
    static const char enter[] = "\033[?1049h\033[?25l\033[H";

    if (!is_raw || is_alternate)
        return;
    is_alternate = 1;
    write_all(1, enter, sizeof(enter) - 1);
}

void tty_restore(void)
{
    static const char leave[] = "\033[?25h\033[?1049l";

    if (!is_raw)
        return;
    is_raw = 0;
    if (is_alternate)
        write_all(1, leave, sizeof(leave) - 1);
    is_alternate = 0;
    tcsetattr(0, TCSANOW, &saved);
}

void tty_copy_size(unsigned ttys, int master)
{
    struct winsize size;
    int fd = tty_any(ttys);

    if (fd >= 0 && ioctl(fd, TIOCGWINSZ, &size) == 0)
        ioctl(master, TIOCSWINSZ, &size);
}

_Noreturn void tty_die(int sig)
{
    sigset_t only;

    tty_restore();
    signal(sig, SIG_DFL);
    sigemptyset(&only);
    sigaddset(&only, sig);
    raise(sig);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    _exit(128 + sig);
}

void relay_poll(const struct relay *relay, struct pollfd ready[3])
{
    int has_input = relay->to_peer_end > relay->to_peer_at;
    int has_output = relay->to_out_end > relay->to_out_at;

    ready[0] = (struct pollfd){.fd = relay->in, .events = POLLIN};
    ready[1] = (struct pollfd){.fd = relay->peer};
    ready[2] = (struct pollfd){.fd = -1, .events = POLLOUT};
    if (has_input) {
        ready[0].fd = -1;
        ready[1].events |= POLLOUT;
    }
    if (has_output) {
        ready[2].fd = relay->out;
        if (!has_input)
            ready[1].fd = -1; /* or its hang-up would wake us up until the output is written */
    } else {
        ready[1].events |= POLLIN;
    }
}

/* The keys that leave: taken out of what the user typed. */
static void type(struct relay *relay, const unsigned char *keys, size_t len)
{
    relay->to_peer_at = relay->to_peer_end = 0;
    for (size_t i = 0; i < len && !relay->left; i++) {
        if (relay->after_escape) {
            relay->after_escape = 0;
            if (keys[i] == 'q') {
                relay->left = 1;
            } else {
                relay->to_peer[relay->to_peer_end++] = (unsigned char)relay->escape;
                if (keys[i] != relay->escape)
                    relay->to_peer[relay->to_peer_end++] = keys[i];
            }
        } else if (relay->has_escape && keys[i] == relay->escape) {
            relay->after_escape = 1;
        } else {
            relay->to_peer[relay->to_peer_end++] = keys[i];
        }
    }
}

static void read_keys(struct relay *relay)
{
    unsigned char keys[sizeof(relay->to_peer) / 2]; /* an escape byte held back may double the first key */
    ssize_t got = read(relay->in, keys, sizeof(keys));

    if (got > 0)
        type(relay, keys, (size_t)got);
    else if (got == 0 || (errno != EINTR && errno != EAGAIN))
        relay->in = -1; /* output goes on */
}

static void write_peer(struct relay *relay)
{
    ssize_t wrote =
        write(relay->peer, relay->to_peer + relay->to_peer_at, relay->to_peer_end - relay->to_peer_at);

    if (wrote > 0)
        relay->to_peer_at += (size_t)wrote;
    else if (wrote < 0 && errno != EAGAIN && errno != EINTR)
        relay->to_peer_at =
            relay->to_peer_end; /* nobody will read it; the end of the peer is seen by reading */
}

/* The peer's stream is over, or only the last slave of our own pty was closed for now. A lent one may be hung
 * up again and again (vhangup(2) between two logins), which takes our slave along. */
static void peer_hung_up(struct relay *relay)
{
    if (relay->lease >= 0)
        close_fd(&relay->hold);
    if ((relay->is_pty_of_ours || relay->lease >= 0) && relay->hold < 0) {
        relay->hold = pty_peer(relay->peer);
        if (relay->hold >= 0)
            return;
    }
    relay->peer_closed = 1;
    relay->peer = -1;
}

/* 1: something came. */
static int read_peer(struct relay *relay)
{
    ssize_t got = read(relay->peer, relay->to_out, sizeof(relay->to_out));

    relay->to_out_at = relay->to_out_end = 0;
    if (got > 0 && relay->log >= 0 && write_all(relay->log, relay->to_out, (size_t)got) < 0)
        relay->log = -1; /* a full disk must not stop the session */
    if (got > 0)
        relay->to_out_end = relay->out >= 0 ? (size_t)got : 0;
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        peer_hung_up(relay);
    return got > 0;
}

static void write_out(struct relay *relay)
{
    ssize_t wrote = write(relay->out, relay->to_out + relay->to_out_at, relay->to_out_end - relay->to_out_at);

    if (wrote >= 0) {
        relay->to_out_at += (size_t)wrote;
    } else if (errno == EPIPE) {
        tty_die(SIGPIPE);
    } else if (errno != EAGAIN && errno != EINTR) {
        relay->to_out_at = relay->to_out_end; /* the terminal is gone; the work goes on */
        relay->out = -1;
    }
}

void relay_step(struct relay *relay, const struct pollfd ready[3])
{
    if (ready[2].fd >= 0 && ready[2].revents != 0)
        write_out(relay);
    if (ready[1].fd >= 0 && (ready[1].revents & POLLOUT) != 0)
        write_peer(relay);
    if (ready[1].fd >= 0 && (ready[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0 &&
        relay->to_out_at == relay->to_out_end)
        read_peer(relay);
    if (ready[0].fd >= 0 && ready[0].revents != 0)
        read_keys(relay);
}

void relay_last_keys(struct relay *relay)
{
    if (relay->peer >= 0 && relay->to_peer_at < relay->to_peer_end)
        write_peer(relay);
}

void relay_drain(struct relay *relay)
{
    size_t left = DRAIN_LIMIT;

    while (relay->peer >= 0 || relay->to_out_at < relay->to_out_end) {
        struct pollfd wait = {.fd = relay->out, .events = POLLOUT};

        if (relay->to_out_at < relay->to_out_end) {
            poll(&wait, 1, -1);
            write_out(relay);
            continue;
        }
        if (left == 0 || relay->peer < 0)
            return;
        if (!read_peer(relay)) {
            if (relay->hold < 0 || relay->peer < 0)
                return;
            if (!read_peer(relay)) /* once more: what was written before the hang-up */
                return;
        }
        left -= relay->to_out_end < left ? relay->to_out_end : left;
    }
}
