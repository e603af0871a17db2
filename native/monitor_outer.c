/* Ptys of the host's for the console and the ttys: programs of the host open their slaves by path, as many as
 * like to and whenever they like, and the guest notices nothing of it. */
#define _GNU_SOURCE
#include "monitor.h"

#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>

#define CHUNK 4096
/* Milliseconds that whoever looks has to make room, before he is taken for nobody. Once a reader has been
 * seen, nothing is lost for him while he reads at least that often. */
#define PATIENCE 100

static void let_go(struct outer *outer)
{
    close_fd(&outer->hold);
    close_fd(&outer->master);
    queue_drop(&outer->shown);
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
    *outer = (struct outer){.master = master, .hold = hold, .is_blind = 1};
    mon.outer_count++;
    return 0;
}

void outer_end(void)
{
    for (int i = 0; i < mon.outer_count; i++)
        let_go(&mon.outers[i]);
    mon.outer_count = 0;
}

static uint64_t milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Somebody has read all of it, some time after what was lost last. */
static int is_read(const struct outer *outer)
{
    int left;

    return milliseconds() - outer->since > PATIENCE && ioctl(outer->hold, FIONREAD, &left) == 0 && left == 0;
}

/* The oldest goes, so that there is room for what is newest. */
static void make_room(struct outer *outer)
{
    outer->is_blind = 1;
    outer->since = milliseconds();
    if (tcflush(outer->hold, TCIFLUSH) < 0)
        hold_again(outer);
}

/* Bytes that it took at once. */
static size_t show_now(const struct outer *outer, const void *bytes, size_t len)
{
    ssize_t shown = outer->master < 0 ? 0 : write(outer->master, bytes, len);

    return shown < 0 ? 0 : (size_t)shown;
}

void outer_show(int number, const void *bytes, size_t len)
{
    struct outer *outer = &mon.outers[number];
    size_t shown;

    if (number >= mon.outer_count || outer->master < 0)
        return;
    keep_quiet(outer->master);
    if (outer->is_blind && is_read(outer))
        outer->is_blind = 0;
    shown = queue_waits(&outer->shown) ? 0 : show_now(outer, bytes, len);
    if (shown == len)
        return;
    if (!outer->is_blind) {
        if (!queue_waits(&outer->shown))
            outer->since = milliseconds();
        if (queue_put(&outer->shown, (const char *)bytes + shown, len - shown, CHUNK) == 0)
            return;
        queue_drop(&outer->shown); /* the guest has ended, and this is its last */
    }
    make_room(outer);
    (void)show_now(outer, (const char *)bytes + shown, len - shown);
}

int outer_waits(int number)
{
    return number < mon.outer_count && queue_waits(&mon.outers[number].shown);
}

int outer_patience(void)
{
    int least = -1;

    for (int i = 0; i < mon.outer_count; i++) {
        uint64_t waited;
        int left;

        if (!outer_waits(i))
            continue;
        waited = milliseconds() - mon.outers[i].since;
        left = waited >= PATIENCE ? 0 : (int)(PATIENCE - waited);
        if (least < 0 || left < least)
            least = left;
    }
    return least;
}

/* What waits, as far as there is room; after some patience in any case. */
static void show_waiting(struct outer *outer)
{
    size_t before = outer->shown.at;

    if (!queue_waits(&outer->shown))
        return;
    keep_quiet(outer->master);
    if (queue_write(&outer->shown, outer->master) < 0)
        queue_drop(&outer->shown);
    if (outer->shown.at != before)
        outer->since = milliseconds();
    if (!queue_waits(&outer->shown) || milliseconds() - outer->since < PATIENCE)
        return;
    make_room(outer);
    if (outer->master >= 0)
        (void)queue_write(&outer->shown, outer->master);
    queue_drop(&outer->shown);
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

/* The tty that an outer pty stands for, while it is ours to read; NULL: it is taken, or gone. */
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
        int takes = i == 0 ? console_takes() : tty != NULL && !queue_waits(&outer->typed);
        int waits = outer_waits(i);

        *at++ = (struct pollfd){.fd = takes || waits ? outer->master : -1,
                                .events = (short)((takes ? POLLIN : 0) | (waits ? POLLOUT : 0))};
        *at++ = (struct pollfd){
            .fd = tty == NULL ? -1 : tty->master,
            .events = (short)((waits ? 0 : POLLIN) | (queue_waits(&outer->typed) ? POLLOUT : 0))};
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

        if (at[0].fd >= 0 && (at[0].revents & ~POLLOUT) != 0 && outer->master == at[0].fd)
            read_typed(i, outer);
        if (outer->master >= 0)
            show_waiting(outer);
        if (tty == NULL || outer->master < 0)
            continue;
        if (at[1].fd == tty->master && (at[1].revents & ~POLLOUT) != 0)
            read_tty(i, outer, tty);
        if (queue_waits(&outer->typed) && queue_write(&outer->typed, tty->master) < 0)
            queue_drop(&outer->typed);
    }
}
