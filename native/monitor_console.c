/* The console and the further terminals of a container, and the queues of bytes for slow readers. */
#define _GNU_SOURCE
#include "monitor.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define CHUNK 4096
#define DRAIN_LIMIT (256 * 1024)

/* ---- queues ---- */

static void *map(size_t size)
{
    void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return bytes == MAP_FAILED ? NULL : bytes;
}

void queue_drop(struct queue *queue)
{
    if (queue->bytes != NULL)
        munmap(queue->bytes, queue->size);
    *queue = (struct queue){.bytes = NULL};
}

int queue_waits(const struct queue *queue)
{
    return queue->end > queue->at;
}

int queue_put(struct queue *queue, const void *bytes, size_t len, size_t limit)
{
    size_t have = queue->end - queue->at;

    if (len > limit || have > limit - len)
        return -ENOBUFS;
    if (queue->size < have + len) {
        /* At once as large as it may get: pages that are never touched cost nothing. */
        unsigned char *larger = map(limit);

        if (larger == NULL)
            return -ENOMEM;
        if (have > 0)
            memcpy(larger, queue->bytes + queue->at, have);
        queue_drop(queue);
        *queue = (struct queue){.bytes = larger, .size = limit, .end = have};
    } else if (queue->size - queue->end < len) {
        memmove(queue->bytes, queue->bytes + queue->at, have);
        queue->at = 0;
        queue->end = have;
    }
    memcpy(queue->bytes + queue->end, bytes, len);
    queue->end += len;
    return 0;
}

/* Works for sockets and terminals alike; SIGPIPE is blocked in the monitor. */
int queue_write(struct queue *queue, int fd)
{
    while (queue->at < queue->end) {
        ssize_t wrote =
            send(fd, queue->bytes + queue->at, queue->end - queue->at, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (wrote < 0 && errno == ENOTSOCK)
            wrote = write(fd, queue->bytes + queue->at, queue->end - queue->at);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return errno == EAGAIN ? 0 : -errno;
        queue->at += (size_t)wrote;
    }
    queue_drop(queue);
    return 0;
}

/* ---- ring ---- */

void console_set_ring(uint64_t size)
{
    struct ring *ring = &mon.console.ring;

    if (size > MON_RING_LIMIT)
        size = MON_RING_LIMIT;
    if (size == ring->size)
        return; /* a restart: what the last run printed is still worth reading */
    if (ring->bytes != NULL)
        munmap(ring->bytes, ring->mapped);
    *ring = (struct ring){.size = (size_t)size};
}

void ring_clear(struct ring *ring)
{
    if (ring->bytes != NULL)
        munmap(ring->bytes, ring->mapped);
    *ring = (struct ring){.size = ring->size};
}

static void ring_put(struct ring *ring, const unsigned char *bytes, size_t len)
{
    if (ring->size == 0)
        return;
    if (ring->bytes == NULL) {
        ring->bytes = map(ring->size);
        ring->mapped = ring->size;
        if (ring->bytes == NULL)
            return;
    }
    if (len > ring->size) {
        bytes += len - ring->size;
        len = ring->size;
    }
    while (len > 0) {
        size_t part = ring->size - ring->at < len ? ring->size - ring->at : len;

        memcpy(ring->bytes + ring->at, bytes, part);
        bytes += part;
        len -= part;
        ring->at += part;
        if (ring->at == ring->size) {
            ring->at = 0;
            ring->is_full = 1;
        }
    }
}

int ring_parts(const struct ring *ring, struct iovec parts[2])
{
    int count = 0;

    if (ring->bytes == NULL)
        return 0;
    if (ring->is_full && ring->at < ring->size)
        parts[count++] = (struct iovec){.iov_base = ring->bytes + ring->at, .iov_len = ring->size - ring->at};
    if (ring->at > 0)
        parts[count++] = (struct iovec){.iov_base = ring->bytes, .iov_len = ring->at};
    return count;
}

/* ---- console ---- */

int set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return 0;
}

int console_set(int master)
{
    struct console *console = &mon.console;
    int error;

    close_fd(&console->master);
    close_fd(&console->hold);
    queue_drop(&console->to_master);
    if (master < 0)
        return 0;
    error = set_nonblocking(master);
    if (error < 0) {
        close_fd(&master);
        return error;
    }
    console->master = master;
    console->hold = pty_peer(master);
    return 0;
}

static void leave(struct viewer *viewer)
{
    close_fd(&viewer->fd);
    queue_drop(&viewer->shown);
}

/* Nobody is there any more to whom anything could be shown; what was typed is still there. */
static void turn_away(struct viewer *viewer)
{
    viewer->has_left = 1;
    queue_drop(&viewer->shown);
}

/* To the socket at once, the rest to the queue; a full queue loses its oldest bytes, not the guest's time. */
static void show(struct viewer *viewer, const unsigned char *bytes, size_t len)
{
    struct queue *queue = &viewer->shown;
    size_t have = queue->end - queue->at;

    if (viewer->fd < 0 || viewer->has_left)
        return;
    if (have == 0) {
        ssize_t sent = send(viewer->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            turn_away(viewer);
            return;
        }
        if (sent > 0) {
            bytes += sent;
            len -= (size_t)sent;
        }
        if (len == 0)
            return;
    }
    if (len > MON_PENDING) {
        bytes += len - MON_PENDING;
        len = MON_PENDING;
    }
    if (have + len > MON_PENDING)
        queue->at += have + len - MON_PENDING;
    (void)queue_put(queue, bytes, len, MON_PENDING);
}

/* The log has no name that we know, so it is cut to nothing where others rename. */
static void to_log(const unsigned char *bytes, size_t len)
{
    struct console *console = &mon.console;

    if (console->log < 0)
        return;
    if (console->log_limit > 0) {
        struct stat now;

        if (fstat(console->log, &now) == 0 && S_ISREG(now.st_mode) &&
            (uint64_t)now.st_size + len > console->log_limit && ftruncate(console->log, 0) < 0)
            return;
    }
    if (write_all(console->log, bytes, len) < 0)
        return; /* a full disk must not stop the guest */
}

int console_read(void)
{
    struct console *console = &mon.console;
    unsigned char bytes[CHUNK];
    ssize_t got = read(console->master, bytes, sizeof(bytes));

    if (got > 0) {
        ring_put(&console->ring, bytes, (size_t)got);
        to_log(bytes, (size_t)got);
        for (int i = 0; i < MON_VIEWERS; i++)
            show(&console->viewers[i], bytes, (size_t)got);
        outer_show(0, bytes, (size_t)got);
        return 1;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    /* Hung up: nobody has the slave open. Hold it ourselves from now on; without, forget the master, for it
     * would wake us up for ever. */
    if (console->hold < 0)
        console->hold = pty_peer(console->master);
    else
        close_fd(&console->master);
    if (console->hold < 0)
        close_fd(&console->master);
    return 0;
}

void console_drain(void)
{
    for (size_t left = DRAIN_LIMIT; left >= CHUNK && mon.console.master >= 0; left -= CHUNK) {
        if (!console_read())
            return;
    }
}

int console_free(void)
{
    if (mon.console.master < 0)
        return -ENOENT;
    for (int i = 0; i < MON_VIEWERS; i++) {
        if (mon.console.viewers[i].fd >= 0 && !mon.console.viewers[i].has_left)
            return -EBUSY;
    }
    return 0;
}

/* A place that nobody has, or that of the viewer who came first. */
static struct viewer *room(void)
{
    struct viewer *oldest = mon.console.viewers;

    for (int i = 0; i < MON_VIEWERS; i++) {
        struct viewer *viewer = &mon.console.viewers[i];

        if (viewer->fd < 0)
            return viewer;
        if (viewer->number < oldest->number)
            oldest = viewer;
    }
    leave(oldest);
    return oldest;
}

void console_join(int fd, int replay)
{
    struct viewer *viewer = room();
    struct iovec parts[2];
    int count = replay ? ring_parts(&mon.console.ring, parts) : 0;

    viewer->fd = fd;
    viewer->has_left = 0;
    viewer->number = mon.console.joined++;
    for (int i = 0; i < count; i++)
        show(viewer, parts[i].iov_base, parts[i].iov_len);
}

void console_input(struct viewer *viewer, int is_over)
{
    unsigned char bytes[CHUNK];
    int takes = mon.console.master < 0 || console_takes();
    /* While something that was typed before is waiting, this waits where it is. */
    ssize_t got = recv(viewer->fd, bytes, sizeof(bytes), MSG_DONTWAIT | (takes ? 0 : MSG_PEEK));

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        leave(viewer);
    else if (takes)
        console_type(bytes, (size_t)got);
    else if (is_over)
        turn_away(viewer);
}

int console_takes(void)
{
    return mon.console.master >= 0 && !queue_waits(&mon.console.to_master);
}

void console_type(const void *bytes, size_t len)
{
    if (mon.console.master < 0)
        return;
    (void)queue_put(&mon.console.to_master, bytes, len, CHUNK);
    console_output();
}

void console_output(void)
{
    struct console *console = &mon.console;

    if (console->master >= 0 && queue_write(&console->to_master, console->master) < 0)
        queue_drop(&console->to_master);
    for (int i = 0; i < MON_VIEWERS; i++) {
        struct viewer *viewer = &console->viewers[i];

        if (viewer->fd >= 0 && queue_write(&viewer->shown, viewer->fd) < 0)
            turn_away(viewer);
    }
}

void console_end(void)
{
    (void)console_set(-1);
    close_fd(&mon.console.log);
    for (int i = 0; i < mon.tty_count; i++) {
        int owner = mon.ttys[i].owner;

        if (owner >= 0 && mon.peers[owner].fd >= 0)
            shutdown(mon.peers[owner].fd, SHUT_RDWR);
        close_fd(&mon.ttys[i].master);
        close_fd(&mon.ttys[i].hold);
    }
    mon.tty_count = 0;
    outer_end();
}

/* ---- further terminals ---- */

int tty_add(int master)
{
    struct tty *tty = &mon.ttys[mon.tty_count];

    if (mon.tty_count == MON_TTYS) {
        close_fd(&master);
        return -ENOSPC;
    }
    /* Held open like a real line: it does not hang up between two logins. */
    *tty = (struct tty){.master = master, .hold = pty_peer(master), .owner = -1};
    mon.tty_count++;
    /* We read it ourselves while nobody has taken it. */
    if (mon.tty_count < mon.outer_count)
        (void)set_nonblocking(master);
    return 0;
}

int tty_take(int number, int owner)
{
    int first = number > 0 ? number : 1;
    int last = number > 0 ? number : mon.tty_count;

    if (number == 0 || number < -1 || number > mon.tty_count)
        return -ENOENT;
    for (int i = first; i <= last; i++) {
        if (mon.ttys[i - 1].owner < 0) {
            mon.ttys[i - 1].owner = owner;
            return i;
        }
    }
    return mon.tty_count == 0 ? -ENOENT : -EBUSY;
}

void tty_release(int number, int owner)
{
    if (number > 0 && number <= mon.tty_count && mon.ttys[number - 1].owner == owner)
        mon.ttys[number - 1].owner = -1;
}

void tty_release_all(int owner)
{
    for (int i = 1; i <= mon.tty_count; i++)
        tty_release(i, owner);
}
