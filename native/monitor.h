/* The monitor: runs a launch program, holds what must outlive the daemon, and answers frames.
 *
 * It is a process per container, so its memory counts: no allocator, no stdio; buffers are mapped when they
 * are needed and unmapped when they are empty. */
#ifndef ISLET_MONITOR_H
#define ISLET_MONITOR_H

#include <stddef.h>
#include <stdint.h>

#include "frames.h"

#define MON_PEERS 33   /* the daemon's descriptor 3 and 32 accepted connections */
#define MON_RESERVED 8 /* of them, those that cannot take terminals: a later daemon must find room */
#define MON_TTYS 64
#define MON_LOGS 4        /* pipes of host commands' output at a time */
#define MON_REQUEST 64    /* largest request but START */
#define MON_PENDING 65536 /* bytes that may wait for a slow reader */
#define MON_RING_LIMIT (4u * 1024 * 1024)
#define MON_REFUSED 8  /* callers of the refuser that are kept at a time */
#define MON_REFUSAL 64 /* longest answer of the refuser */
#define MON_OUTERS 16  /* the console and 15 ttys: each takes room in every monitor */
#define MON_VIEWERS 8  /* of the console, at a time */
#define MON_POLL (MON_PEERS + MON_LOGS + 6 + MON_VIEWERS + 2 * MON_OUTERS)

enum mon_state { MON_STOPPED, MON_STARTING, MON_RUNNING, MON_STOPPING, MON_ABORTING };

/* A mapped queue of bytes; nothing is mapped while it is empty. */
struct queue {
    unsigned char *bytes;
    size_t size, at, end;
};

struct peer {
    int fd;   /* -1: free */
    int kept; /* the descriptor of a CONSOLE frame that is not whole yet, or -1 */
    int is_subscribed;
    uint32_t have;
    unsigned char request[MON_REQUEST];
    struct queue out;
};

/* The newest bytes of the console. */
struct ring {
    unsigned char *bytes;
    size_t size, mapped, at; /* at: where the next byte goes */
    int is_full;
};

/* Somebody who is joined with the console. */
struct viewer {
    int fd;          /* the CONSOLE socket, or -1 */
    int has_left;    /* but not all that was typed has been taken yet */
    uint32_t number; /* the how-manieth it is */
    struct queue shown;
};

struct console {
    int master, hold; /* hold: a slave kept open, so that the master never hangs up */
    int log;
    uint64_t log_limit;
    struct ring ring;
    struct viewer viewers[MON_VIEWERS]; /* each sees all that is printed; what each types is typed */
    uint32_t joined;                    /* how many there have been */
    struct queue to_master;
};

struct tty {
    int master, hold;
    int owner; /* index of the peer that has taken it, or -1 */
};

/* A pty of the host's that stands for the console, or for a tty: what the guest prints can be read from its
 * slave, what is written there the guest reads. */
struct outer {
    int master, hold;
    int is_blind;       /* nobody has read for a while: what there is no room for does not wait */
    uint64_t since;     /* milliseconds: when it began to wait, or when a blind one has lost something last */
    struct queue shown; /* what waits for room */
    struct queue typed; /* for a tty that does not take it yet */
};

struct monitor {
    struct peer peers[MON_PEERS]; /* the first is the daemon that started us */
    int listener, signals;
    int refuser; /* listening socket whose callers get the refusal and nothing else, or -1 */
    int refused[MON_REFUSED];
    int refused_next;
    uint32_t refusal_len;
    unsigned char refusal[MON_REFUSAL];
    int logs[MON_LOGS];
    int notify; /* socket of what the main process says of itself (sd_notify(3)), or -1 */
    struct console console;
    struct tty ttys[MON_TTYS];
    int tty_count;
    int outer_count;

    /* the program, as it arrived: meta at 0, image at image_at of the memory file */
    int file;
    size_t image_at, image_len, meta_len;
    uint32_t fail_op, fail_errno;
    int preset[FRAME_FDS];
    int preset_count;

    /* the run under way */
    int is_starting; /* until the program has ended with success */
    int is_aborted;
    int main_fd; /* pidfd of the main process, -1 none */
    int32_t main_pid;
    int is_ready;           /* it has said READY=1 */
    int halt_signal;        /* what SIGURG means for it, 0: nothing */
    uint32_t state, status; /* wait status, ~0 none */
    uint64_t start_time;
    uint32_t reboots;
    int restart_slot, status_slot; /* -1 none */

    struct outer outers[MON_OUTERS]; /* the console's, then the ttys'; last: most monitors have none */
};

extern struct monitor mon;

int monitor_main(int argc, char **argv);

/* monitor_peer.c */

/* Serve everybody until `fd` is readable, hung up or in error. 0; -ECANCELED: the start was aborted and
 * may_abort is set; -EBADF: fd is not open. With fd < 0: one round without waiting. */
int mon_serve(int fd, int may_abort);
/* Nobody is refused any more: the socket and those who called are let go. */
void mon_end_refuser(void);
/* Tell the subscribers; a peer that is too slow loses its connection, or just LOG frames. */
void mon_publish(uint16_t type, const void *bytes, size_t len);
/* INFO, unless it is large, for every subscriber that has taken all before it. */
void mon_publish_info(void);
/* Give slow readers up to a second for what is still to be written. */
void mon_flush(void);
/* Signal the main process; while starting, abort. */
void mon_kill(int sig);

/* monitor_console.c */

void queue_drop(struct queue *queue);
/* There is something in it. */
int queue_waits(const struct queue *queue);
/* Append to a queue that may hold limit bytes; 0 or -ENOBUFS (nothing was appended). */
int queue_put(struct queue *queue, const void *bytes, size_t len, size_t limit);
/* Write what a descriptor takes without waiting: 0, or -errno when it is broken. */
int queue_write(struct queue *queue, int fd);

/* 0 or -errno. */
int set_nonblocking(int fd);

int console_set(int master);
void console_set_ring(uint64_t size);
/* Is there a console, and nobody joined with it? 0, -ENOENT or -EBUSY. */
int console_free(void);
/* Join with a socket (owned from here on), replaying the ring first if asked to. Where there is no room, who
 * has been there longest leaves. */
void console_join(int fd, int replay);
/* Everything that is to be had without waiting; bounded. */
void console_drain(void);
/* One chunk from the master; 0 when there was nothing. */
int console_read(void);
/* What a CONSOLE socket sent. is_over: nobody has its other end any more. */
void console_input(struct viewer *viewer, int is_over);
/* Try again to write what is waiting. */
void console_output(void);
/* The container is over: forget master, log and terminals, keep ring and viewers. The connections that have
 * taken terminals end. */
void console_end(void);
/* The ring's content in order, as two parts. */
int ring_parts(const struct ring *ring, struct iovec parts[2]);
void ring_clear(struct ring *ring);

/* Room for what is typed to the console: nobody else's is waiting. */
int console_takes(void);
/* Up to a chunk of that. */
void console_type(const void *bytes, size_t len);

int tty_add(int master);
/* Number of a taken tty, or -errno. number -1: any free one. */
int tty_take(int number, int owner);
void tty_release(int number, int owner);
void tty_release_all(int owner);

/* monitor_outer.c */

struct pollfd;

int outer_add(int master);
void outer_end(void);
/* What the console (0) or a tty has printed, to its outer pty if there is one. */
void outer_show(int number, const void *bytes, size_t len);
/* Is there something that waits for whoever looks? He has a moment for it, in which the guest is not read. */
int outer_waits(int number);
/* Milliseconds until the first of those moments is over; -1: nothing waits. */
int outer_patience(void);
/* The events to wait for; what is behind them. */
struct pollfd *outer_events(struct pollfd *at);
void outer_serve(const struct pollfd *at);
/* The number of each in the host's devpts, -1 for one that is gone. At most MON_OUTERS; how many. */
int outer_numbers(int32_t *numbers);

#endif
