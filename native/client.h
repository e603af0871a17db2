/* The client: passes a command on to the daemon and does what it is told until it is given an exit code. */
#ifndef ISLET_CLIENT_H
#define ISLET_CLIENT_H

#include <poll.h>
#include <stdint.h>

#include "frames.h"

/* Everything that the parts of the client share; one per process. */
struct client {
    const char *tool; /* the name it was called by, for messages */
    int daemon;       /* the socket; -1 once the daemon is gone */
    unsigned ttys;    /* bit n: descriptor n is a terminal */
    int has_left;     /* the user has left a relay: there is nothing more to be told */
    int tries;        /* how often HELLO may be said again; 0 once the daemon has answered */
    int is_user;      /* the daemon's door for users who are not root: it takes our words and nothing else */
    int is_runner;    /* a program that uses the library is in the daemon's place */
};

/* What arrived and is not yet consumed. */
struct reader {
    size_t at, end;
    int fds[FRAME_FDS];
    int nfds;
    unsigned char bytes[64 * 1024];
};

int client_main(const char *tool, int argc, char **argv);
/* `islet runner`: runs what comes on descriptor 3, for a program that cannot be a single-threaded parent
 * itself; ends with the socket. */
int runner_main(void);

/* client_daemon.c: a connected socket, starting the daemon if there is none; exits with a message if that
 * is impossible. *is_user tells whether it is that of users who are not root. */
int daemon_connect(const char *tool, int *is_user);
/* `islet daemon`: becomes the daemon, in the foreground, with what a service manager has given to it. */
int daemon_main(int argc);

/* client.c */

/* Take exactly len bytes of the frame under way; exits when the daemon goes away. */
void client_take(struct client *client, struct reader *in, void *to, size_t len);
/* Handle the next frame, blocking until all of it is here. Does not return from EXIT. */
void client_frame(struct client *client, struct reader *in);
/* Send a frame to the daemon if it is still there. */
void client_send(struct client *client, uint16_t type, const void *bytes, size_t len);
/* End with the message that the daemon is gone, or that it broke the protocol. */
_Noreturn void client_lost(struct client *client);
_Noreturn void client_garbage(struct client *client, const char *what);

/* client_run.c: the frame RUN, of which len payload bytes are still to be taken. */
void client_run(struct client *client, struct reader *in, uint32_t len);

/* client_relay.c: the frame RELAY; returns when the relay is over and HUNGUP was sent. */
void client_relay(struct client *client, struct reader *in, uint32_t len);
/* Write out what the relay's peer has sent so far. For EXIT in the middle of a relay. */
void relay_finish(void);

/* client_tty.c: the user's terminal, and bytes between it and a descriptor. */

struct relay {
    int peer;               /* pty master or socket, non-blocking; -1 none */
    int in, out;            /* -1: nothing to read, nowhere to write */
    int log;                /* gets a copy of the peer's output, -1 none */
    int hold;               /* a slave kept open so that the master sees no hang-up, or -1 */
    int lease;              /* the peer is a lent pty: as long as the other side of this socket is open, its
                               hang-ups are passing; -1 none */
    int is_pty_of_ours;     /* the peer's hang-ups are passing: hold the slave and go on */
    int has_escape, escape; /* the byte that, followed by q, leaves */
    int after_escape;       /* the last byte was the escape byte */
    int left, peer_closed;  /* how it ended */
    size_t to_peer_at, to_peer_end, to_out_at, to_out_end;
    unsigned char to_peer[4096], to_out[16384];
};

/* The first terminal of descriptors 0-2, or -1. */
int tty_any(unsigned ttys);
/* Raw mode on the terminal of descriptor 0; back to what it was. Both do nothing when there is nothing to do.
 */
void tty_raw(unsigned ttys);
/* Until tty_restore the raw terminal shows its alternate screen. */
void tty_alternate(void);
void tty_restore(void);
/* Give the master the size of the user's terminal. */
void tty_copy_size(unsigned ttys, int master);
/* Restore the terminal and die of the signal as if it had never been caught. */
_Noreturn void tty_die(int sig);

/* Fill three pollfds with what the relay waits for; carry out what came. */
void relay_poll(const struct relay *relay, struct pollfd ready[3]);
void relay_step(struct relay *relay, const struct pollfd ready[3]);
/* Write out what is to be had without waiting for more; bounded. */
void relay_drain(struct relay *relay);
/* Pass on what was typed before the keys that leave, as far as the peer takes it at once. */
void relay_last_keys(struct relay *relay);

#endif
