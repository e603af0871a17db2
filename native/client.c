/* Connect, say who calls, then do what the daemon says: print, run, relay, exit. */
#define _GNU_SOURCE
#include "client.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <limits.h>

extern char **environ;

#define LISTEN_FIRST 3
#define LISTEN_MOST 16

struct caller {
    uint32_t ttys, mask;
    int listening; /* how many sockets from LISTEN_FIRST on were handed to us (sd_listen_fds(3)) */
    struct winsize size;
    char cwd[PATH_MAX];
    char **argv;
};

static struct reader input;
static struct caller us;

static void say_hello_again(struct client *client);

_Noreturn void client_lost(struct client *client)
{
    if (client->is_runner)
        _exit(0);
    tty_restore();
    if (client->has_left)
        _exit(0);
    say(client->tool, ": the islet daemon went away", NULL);
    _exit(1);
}

_Noreturn void client_garbage(struct client *client, const char *what)
{
    tty_restore();
    say(client->tool, ": the islet daemon sent ", what, ": are client and daemon of the same release?", NULL);
    _exit(1);
}

/* Make room and receive once, blocking. */
static void fill(struct client *client, struct reader *in)
{
    ssize_t got;

    if (in->at == in->end) {
        in->at = in->end = 0;
    } else if (in->at > 0) {
        memmove(in->bytes, in->bytes + in->at, in->end - in->at);
        in->end -= in->at;
        in->at = 0;
    }
    got = client->daemon < 0 ? 0
                             : frame_recvmsg(client->daemon, in->bytes + in->end, sizeof(in->bytes) - in->end,
                                             in->fds, &in->nfds, 0);
    if (got == -EPROTO)
        client_garbage(client, "too many descriptors");
    if (got == -ECONNRESET && client->tries > 0) {
        say_hello_again(client);
        return;
    }
    if (got <= 0)
        client_lost(client);
    client->tries = 0;
    in->end += (size_t)got;
}

void client_take(struct client *client, struct reader *in, void *to, size_t len)
{
    unsigned char *next = to;

    while (len > 0) {
        size_t ready = in->end - in->at;

        if (ready == 0) {
            fill(client, in);
            continue;
        }
        if (ready > len)
            ready = len;
        memcpy(next, in->bytes + in->at, ready);
        in->at += ready;
        next += ready;
        len -= ready;
    }
}

void client_send(struct client *client, uint16_t type, const void *bytes, size_t len)
{
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = len};

    /* One that does not listen any more may have said why: that is read next, and then its end. */
    if (client->daemon >= 0)
        (void)frame_send(client->daemon, type, &part, 1, NULL, 0);
}

/* OUT: straight from the buffer to the descriptor. */
static void print(struct client *client, struct reader *in, uint32_t len)
{
    uint32_t fd;

    if (len < sizeof(fd))
        client_garbage(client, "a short frame");
    client_take(client, in, &fd, sizeof(fd));
    if (fd != 1 && fd != 2)
        client_garbage(client, "output for an unknown descriptor");
    len -= (uint32_t)sizeof(fd);
    while (len > 0) {
        size_t ready = in->end - in->at;
        int error;

        if (ready == 0) {
            fill(client, in);
            continue;
        }
        if (ready > len)
            ready = len;
        error = write_all((int)fd, in->bytes + in->at, ready);
        /* A socket whose reader left with bytes unread while we waited for room says ECONNRESET. */
        if (error == -EPIPE || error == -ECONNRESET)
            tty_die(SIGPIPE);
        if (error < 0) {
            tty_restore();
            say(client->tool, ": cannot write the output: ", strerror(-error), NULL);
            _exit(1);
        }
        in->at += ready;
        len -= (uint32_t)ready;
    }
}

_Noreturn static void leave(struct client *client, struct reader *in, uint32_t len)
{
    uint32_t code;

    if (len != sizeof(code))
        client_garbage(client, "a frame of the wrong size");
    client_take(client, in, &code, sizeof(code));
    relay_finish();
    tty_restore();
    _exit((int)code);
}

void client_frame(struct client *client, struct reader *in)
{
    struct frame_head head;

    client_take(client, in, &head, sizeof(head));
    if (head.length > FRAME_LIMIT || head.zero != 0)
        client_garbage(client, "a frame that is too large");
    switch (head.type) {
    case FRAME_OUT:
        print(client, in, head.length);
        return;
    case FRAME_EXIT:
        leave(client, in, head.length);
    case FRAME_RUN:
        client_run(client, in, head.length);
        return;
    case FRAME_RELAY:
        client_relay(client, in, head.length);
        return;
    case FRAME_SIGNAL: {
        uint32_t late;

        /* What it was for has ended meanwhile. */
        if (!client->is_runner || head.length != sizeof(late))
            client_garbage(client, "a frame that has no place here");
        client_take(client, in, &late, sizeof(late));
        return;
    }
    default:
        client_garbage(client, "a frame of an unknown type");
    }
}

/* Strings are u32 length + bytes; lists begin with u32 count. */
struct writer {
    unsigned char *next;
    size_t len; /* counted even while next is NULL */
};

static void put(struct writer *to, const void *bytes, size_t len)
{
    if (to->next != NULL)
        memcpy(to->next + to->len, bytes, len);
    to->len += len;
}

static void put_u32(struct writer *to, uint32_t word)
{
    put(to, &word, sizeof(word));
}

static void put_string(struct writer *to, const char *text)
{
    size_t len = strlen(text);

    put_u32(to, (uint32_t)len);
    put(to, text, len);
}

static void put_list(struct writer *to, char *const *list)
{
    uint32_t count = 0;

    while (list[count] != NULL)
        count++;
    put_u32(to, count);
    for (uint32_t i = 0; i < count; i++)
        put_string(to, list[i]);
}

/* What a user who is not root says: words. */
static void put_user_hello(struct writer *to, const struct caller *caller)
{
    static const unsigned char nothing[12];

    put_u32(to, 1);
    put(to, nothing, sizeof(nothing)); /* terminals, size, umask */
    put_u32(to, 0);                    /* no directory */
    put_list(to, caller->argv);
    put_u32(to, 0); /* no environment */
}

static void put_hello(struct writer *to, const struct caller *caller, int is_user)
{
    if (is_user) {
        put_user_hello(to, caller);
        return;
    }
    put_u32(to, 1);
    put_u32(to, caller->ttys);
    put(to, &caller->size.ws_row, 2);
    put(to, &caller->size.ws_col, 2);
    put_u32(to, caller->mask);
    put_string(to, caller->cwd);
    put_list(to, caller->argv);
    put_list(to, environ);
}

/* Which of 0-2 are terminals, and the size of the first. A closed one becomes /dev/null, so that nothing
 * opened later takes its number. */
static void look_at_stdio(const char *tool, struct caller *caller)
{
    for (int fd = 0; fd < 3; fd++) {
        struct winsize size;

        if (ioctl(fd, TIOCGWINSZ, &size) == 0) {
            if (caller->ttys == 0)
                caller->size = size;
            caller->ttys |= 1u << fd;
        } else if (errno == EBADF && open("/dev/null", O_RDWR) != fd) {
            say(tool, ": cannot open /dev/null: ", strerror(errno), NULL);
            _exit(1);
        }
    }
}

/* A number without anything around it, or -1. */
static long number_of(const char *name)
{
    const char *text = getenv(name);
    long number = 0;

    if (text == NULL || *text == '\0')
        return -1;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || number > INT_MAX / 10)
            return -1;
        number = number * 10 + (*text - '0');
    }
    return number;
}

/* Sockets that whoever started us hands to a service, by name of us: they are for the container. What we run
 * ourselves does not get them. */
static void look_at_sockets(const char *tool, struct caller *caller)
{
    long count = number_of("LISTEN_FDS");

    if (count <= 0 || number_of("LISTEN_PID") != (long)getpid())
        return;
    if (count > LISTEN_MOST) {
        say(tool, ": LISTEN_FDS is larger than 16, the most sockets that a container can be started with",
            NULL);
        _exit(1);
    }
    for (int fd = LISTEN_FIRST; fd < LISTEN_FIRST + count; fd++) {
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
            say(tool, ": LISTEN_FDS names descriptors that are not open", NULL);
            _exit(1);
        }
    }
    caller->listening = (int)count;
}

static int say_hello(struct client *client)
{
    int fds[LISTEN_FIRST + LISTEN_MOST];
    static unsigned char small[32 * 1024];
    struct writer count = {.next = NULL};
    struct writer to = {.next = small};
    struct iovec part;
    int error;

    put_hello(&count, &us, client->is_user);
    if (count.len > FRAME_DAEMON_LIMIT) {
        say(client->tool, ": arguments and environment are too large (8 MiB at most)", NULL);
        _exit(1);
    }
    if (count.len > sizeof(small)) {
        to.next = mmap(NULL, count.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (to.next == MAP_FAILED) {
            say(client->tool, ": out of memory", NULL);
            _exit(1);
        }
    }
    put_hello(&to, &us, client->is_user);
    part = (struct iovec){.iov_base = to.next, .iov_len = to.len};
    for (int fd = 0; fd < LISTEN_FIRST + us.listening; fd++)
        fds[fd] = fd;
    error = frame_send(client->daemon, FRAME_HELLO, &part, 1, fds,
                       client->is_user ? 0 : LISTEN_FIRST + us.listening);
    if (to.next != small)
        munmap(to.next, count.len);
    return error;
}

/* A daemon that ended before it read what we said: the kernel tells so (ECONNRESET), and nothing has been
 * done yet. One that has read it ends the stream quietly, and is not asked twice. */
static void say_hello_again(struct client *client)
{
    int error = -ECONNRESET;

    while (error < 0 && client->tries-- > 0) {
        close_fd(&client->daemon);
        client->daemon = daemon_connect(client->tool, &client->is_user);
        error = say_hello(client);
    }
    if (error < 0)
        client_lost(client);
}

int client_main(const char *tool, int argc, char **argv)
{
    static struct client client;

    (void)argc;
    client.tool = argv[0] = (char *)tool;
    us.argv = argv;
    look_at_stdio(tool, &us);
    look_at_sockets(tool, &us);
    client.ttys = us.ttys;
    client.daemon = daemon_connect(tool, &client.is_user);
    us.mask = (uint32_t)umask(0);
    umask((mode_t)us.mask);
    if (getcwd(us.cwd, sizeof(us.cwd)) == NULL)
        us.cwd[0] = '\0';
    client.tries = 5;
    if (say_hello(&client) < 0)
        say_hello_again(&client);
    for (;;)
        client_frame(&client, &input);
}

int runner_main(void)
{
    static struct client client = {.tool = "islet", .daemon = 3, .is_runner = 1};

    look_at_stdio(client.tool, &us);
    if (fcntl(client.daemon, F_SETFD, FD_CLOEXEC) < 0) {
        say("islet: runner is for islet's own use: it needs a socket on descriptor 3", NULL);
        return 1;
    }
    for (;;)
        client_frame(&client, &input);
}
