/* Ptys of the host's for the console and the ttys: programs of the host open their slaves by path, as many as
 * like to and whenever they like, and the guest notices nothing of it. */
#define _GNU_SOURCE
#include "monitor.h"

#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

#define CHUNK 4096

static int is_waiting(const struct queue *queue)
{
    return queue->end > queue->at;
}

static void let_go(struct outer *outer)
{
    close_fd(&outer->hold);
    close_fd(&outer->master);
    queue_drop(&outer->typed);
}

/* The other end, held open, or the master would hang up whenever nobody looks. Raw: an echo would type to the
 * guest what it prints. Root's alone: whoever writes there types to the guest. Descriptor or -errno. */
static int hold_of(int master)
{
    struct termios mode;
    int hold = pty_peer(master);

    if (hold < 0)
        return hold;
    if (tcgetattr(hold, &mode) == 0) {
        cfmakeraw(&mode);
        if (tcsetattr(hold, TCSANOW, &mode) == 0 && fchmod(hold, 0600) == 0)
            return hold;
    }
    close_fd(&hold);
    return -errno;
}

/* What was held has been hung up (vhangup(2)), by somebody on the host. */
static void hold_again(struct outer *outer)
{
    close_fd(&outer->hold);
    outer->hold = hold_of(outer->master);
    if (outer->hold < 0)
        let_go(outer);
}

/* Whoever looks may set the terminal as he likes, but for what would type the guest's own words to it. A
 * master's mode is its slave's. */
static void keep_quiet(int master)
{
    struct termios mode;

    if (tcgetattr(master, &mode) < 0 || (mode.c_lflag & (ECHO | ECHONL)) == 0)
        return;
    mode.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
    (void)tcsetattr(master, TCSANOW, &mode);
}

int outer_add(int master)
{
    struct outer *outer = &mon.outers[mon.outer_count];
    int error = mon.outer_count == MON_OUTERS ? -ENOSPC : set_nonblocking(master);
    int hold = error < 0 ? error : hold_of(master);

    if (hold < 0) {
        close_fd(&master);
        return hold;
    }
    *outer = (struct outer){.master = master, .hold = hold};
    mon.outer_count++;
    return 0;
}

void outer_end(void)
{
    for (int i = 0; i < mon.outer_count; i++)
        let_go(&mon.outers[i]);
    mon.outer_count = 0;
}

void outer_show(int number, const void *bytes, size_t len)
{
    struct outer *outer = &mon.outers[number];
    ssize_t shown;

    if (number >= mon.outer_count || outer->master < 0)
        return;
    keep_quiet(outer->master);
    shown = write(outer->master, bytes, len);
    if (shown == (ssize_t)len)
        return;
    if (shown < 0)
        shown = 0;
    if (tcflush(outer->hold, TCIFLUSH) < 0)
        hold_again(outer);
    if (outer->master < 0)
        return;
    /* There is room for it now, unless somebody else is flushing or filling it: then it is lost. */
    if (write(outer->master, (const char *)bytes + shown, len - (size_t)shown) < 0)
        return;
}

int outer_numbers(int32_t *numbers)
{
    for (int i = 0; i < mon.outer_count; i++) {
        unsigned int number;

        numbers[i] = mon.outers[i].master >= 0 && ioctl(mon.outers[i].master, TIOCGPTN, &number) == 0
                         ? (int32_t)number
                         : -1;
    }
    return mon.outer_count;
}

/* The tty that an outer pty stands for, while it is ours to read; NULL: somebody has taken it, or it is gone. */
static struct tty *tty_of(int number)
{
    struct tty *tty = &mon.ttys[number - 1];

    return number > mon.tty_count || tty->owner >= 0 || tty->master < 0 ? NULL : tty;
}

struct pollfd *outer_events(struct pollfd *at)
{
    for (int i = 0; i < mon.outer_count; i++) {
        const struct outer *outer = &mon.outers[i];
        const struct tty *tty = i == 0 || outer->master < 0 ? NULL : tty_of(i);
        int takes = i == 0 ? console_takes() : tty != NULL && !is_waiting(&outer->typed);

        *at++ = (struct pollfd){.fd = takes ? outer->master : -1, .events = POLLIN};
        *at++ = (struct pollfd){.fd = tty == NULL ? -1 : tty->master,
                                .events = (short)(POLLIN | (is_waiting(&outer->typed) ? POLLOUT : 0))};
    }
    return at;
}

/* What was typed to an outer pty. */
static void read_typed(int number, struct outer *outer)
{
    unsigned char bytes[CHUNK];
    ssize_t got = read(outer->master, bytes, sizeof(bytes));

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        hold_again(outer);
        return;
    }
    if (number == 0)
        console_type(bytes, (size_t)got);
    else
        (void)queue_put(&outer->typed, bytes, (size_t)got, CHUNK);
}

static void read_tty(int number, struct outer *outer, struct tty *tty)
{
    unsigned char bytes[CHUNK];
    ssize_t got = read(tty->master, bytes, sizeof(bytes));

    if (got > 0) {
        outer_show(number, bytes, (size_t)got);
        return;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    /* The guest has hung it up. */
    close_fd(&tty->hold);
    tty->hold = pty_peer(tty->master);
    if (tty->hold < 0)
        let_go(outer);
}

void outer_serve(const struct pollfd *at)
{
    int count = mon.outer_count;

    for (int i = 0; i < count; i++, at += 2) {
        struct outer *outer = &mon.outers[i];
        struct tty *tty = i == 0 ? NULL : tty_of(i);

        if (at[0].fd >= 0 && at[0].revents != 0 && outer->master == at[0].fd)
            read_typed(i, outer);
        if (tty == NULL || outer->master < 0)
            continue;
        if (at[1].fd == tty->master && (at[1].revents & ~POLLOUT) != 0)
            read_tty(i, outer, tty);
        if (is_waiting(&outer->typed) && queue_write(&outer->typed, tty->master) < 0)
            queue_drop(&outer->typed);
    }
}
