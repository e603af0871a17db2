/* RUN: a launch program in this very process, so that what it starts is the user's own child. */
#define _GNU_SOURCE
#include "client.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>

enum { RUN_EXIT = 1, RUN_RESULT = 2, RUN_HAND_OVER = 4 };
enum { TELL_MASTER = 1, TELL_IGNORE = 2, TELL_TARGET = 3, TELL_LOG = 4, TELL_DESCRIPTOR = 5 };
enum { RESULT_ENDED = 0, RESULT_FAILED = 1 };

struct state {
    int report; /* read end of the report pipe */
    struct client *client;
    struct reader *in;
    int hands_over; /* descriptors go to whoever sent the program, and signals come from there */
    struct relay relay;
    int has_relay, has_ignored;
    int log;      /* of the relay to come, or -1 */
    pid_t target; /* gets the signals that end, 0 none */
    int signals;  /* signalfd, or -1 while nothing is caught */
    sigset_t caught, before;
    struct sigaction int_before, quit_before;
};

static struct state state;
static struct islp_run run;
static int64_t slots[ISLP_MAX_SLOTS];

/* What a relay or a target needs to see is blocked from then on; before that, signals do what they always do.
 * Late, because a child takes the mask along. */
static void catch_signals(const int *which, size_t count)
{
    if (state.signals < 0) {
        sigemptyset(&state.caught);
        sigprocmask(SIG_BLOCK, NULL, &state.before);
    }
    for (size_t i = 0; i < count; i++)
        sigaddset(&state.caught, which[i]);
    if (state.has_ignored) {
        sigdelset(&state.caught, SIGINT);
        sigdelset(&state.caught, SIGQUIT);
    }
    sigprocmask(SIG_BLOCK, &state.caught, NULL);
    state.signals = signalfd(state.signals, &state.caught, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void on_signals(void)
{
    struct signalfd_siginfo info;

    while (read(state.signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        int sig = (int)info.ssi_signo;

        if (sig == SIGWINCH)
            tty_copy_size(state.client->ttys, state.relay.peer);
        else if (state.has_ignored && (sig == SIGINT || sig == SIGQUIT))
            continue;
        else if (state.target > 0 && sig != SIGINT && sig != SIGQUIT)
            kill(state.target, sig);
        else
            tty_die(sig);
    }
}

static int hand_over(int fd, uint32_t code)
{
    struct iovec part = {.iov_base = &code, .iov_len = sizeof(code)};

    if (state.client->daemon < 0)
        return -EPIPE;
    return frame_send(state.client->daemon, FRAME_DESCRIPTOR, &part, 1, &fd, 1);
}

static int tell_master(int master)
{
    static const int caught[] = {SIGWINCH, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
    unsigned ttys = state.client->ttys;
    int flags = fcntl(master, F_GETFL);

    if (flags < 0)
        return -errno;
    if (state.hands_over)
        return hand_over(master, TELL_MASTER);
    if (state.has_relay)
        return -EBUSY;
    fcntl(master, F_SETFL, flags | O_NONBLOCK);
    state.relay = (struct relay){
        .peer = master, .in = -1, .out = -1, .log = state.log, .hold = -1, .lease = -1, .is_pty_of_ours = 1};
    if ((ttys & 1) != 0)
        state.relay.in = 0;
    if ((ttys & 6) != 0)
        state.relay.out = (ttys & 2) != 0 ? 1 : 2;
    else if (ttys != 0)
        state.relay.out = 0;
    state.has_relay = 1;
    catch_signals(caught, LENGTH(caught));
    tty_copy_size(ttys, master);
    tty_raw(ttys);
    return 0;
}

static int tell_target(pid_t pid)
{
    static const int caught[] = {SIGTERM, SIGHUP, SIGUSR1, SIGUSR2};

    if (pid <= 0)
        return -EINVAL;
    state.target = pid;
    catch_signals(caught, LENGTH(caught));
    if (state.hands_over) {
        uint32_t told = (uint32_t)pid;

        client_send(state.client, FRAME_STARTED, &told, sizeof(told));
    }
    return 0;
}

static int tell_ignore(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};

    if (state.has_ignored)
        return 0;
    state.has_ignored = 1;
    sigaction(SIGINT, &ignore, &state.int_before);
    sigaction(SIGQUIT, &ignore, &state.quit_before);
    return 0;
}

static int tell(struct islp_run *unused, uint32_t code, int64_t value, const void *data, uint32_t len)
{
    (void)unused;
    (void)data;
    (void)len;
    if (value < INT32_MIN || value > INT32_MAX)
        return -EINVAL;
    switch (code) {
    case TELL_MASTER:
        return tell_master((int)value);
    case TELL_IGNORE:
        return value == 1 ? tell_ignore() : -EINVAL;
    case TELL_TARGET:
        return tell_target((pid_t)value);
    case TELL_LOG:
        state.log = (int)value;
        return 0;
    case TELL_DESCRIPTOR:
        return state.hands_over ? hand_over((int)value, TELL_DESCRIPTOR) : -EINVAL;
    default:
        return -ENOSYS;
    }
}

/* Whoever sent the program sends signals for what it started. When it is gone, that gets a hang-up, as from a
 * terminal that closes. */
static void on_sender(void)
{
    struct client *client = state.client;
    struct reader *in = state.in;
    char byte;

    if (in->at == in->end && recv(client->daemon, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
        close_fd(&client->daemon);
        if (state.target > 0)
            kill(state.target, SIGHUP);
        return;
    }
    do {
        struct frame_head head;
        uint32_t sig;

        client_take(client, in, &head, sizeof(head));
        if (head.type != FRAME_SIGNAL || head.length != sizeof(sig))
            client_garbage(client, "a frame that has no place here");
        client_take(client, in, &sig, sizeof(sig));
        if (state.target > 0 && sig > 0 && sig < NSIG)
            kill(state.target, (int)sig);
    } while (in->at < in->end);
}

/* As in the monitor: waiting ends with an error when a child has reported one. */
static int wait_in(struct islp_run *of, int fd)
{
    for (;;) {
        struct pollfd ready[6] = {{.fd = fd, .events = POLLIN},
                                  {.fd = state.signals, .events = POLLIN},
                                  {.fd = state.hands_over ? state.client->daemon : -1, .events = POLLIN}};
        nfds_t count = 3;

        if (state.has_relay) {
            relay_poll(&state.relay, ready + 3);
            count = 6;
        }
        if (poll(ready, count, -1) < 0)
            continue;
        if (ready[1].fd >= 0 && ready[1].revents != 0)
            on_signals();
        if (ready[2].fd >= 0 && ready[2].revents != 0)
            on_sender();
        if (state.has_relay)
            relay_step(&state.relay, ready + 3);
        if ((ready[0].revents & POLLNVAL) != 0)
            return -EBADF;
        if (ready[0].revents != 0) {
            if (state.has_relay)
                relay_drain(&state.relay);
            return of->in_block || !frame_has_report(state.report) ? 0 : -ECHILD;
        }
    }
}

/* The process is as it was before the program. */
static void reset(void)
{
    tty_restore();
    if (state.has_ignored) {
        sigaction(SIGINT, &state.int_before, NULL);
        sigaction(SIGQUIT, &state.quit_before, NULL);
    }
    if (state.signals >= 0) {
        sigprocmask(SIG_SETMASK, &state.before, NULL);
        close_fd(&state.signals);
    }
    if (state.has_relay)
        close_fd(&state.relay.hold);
}

/* What a failed program made has been killed. A container whose process nobody takes the status of does not
 * end, and this process may live on. */
static void reap_remains(void)
{
    const struct timespec moment = {.tv_nsec = 1000 * 1000};

    for (int round = 0; round < 1000; round++) {
        pid_t pid = waitpid(-1, NULL, WNOHANG | __WALL);

        if (pid < 0 && errno != EINTR)
            return;
        if (pid == 0)
            nanosleep(&moment, NULL);
    }
}

/* The image, from the socket into memory of its own. */
static void *take_image(struct client *client, struct reader *in, uint32_t len)
{
    void *image = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (image == MAP_FAILED) {
        say(client->tool, ": out of memory", NULL);
        _exit(1);
    }
    client_take(client, in, image, len);
    return image;
}

void client_run(struct client *client, struct reader *in, uint32_t len)
{
    struct islp_program program;
    struct islp_record record;
    uint32_t flags;
    uint32_t answer[2] = {RESULT_ENDED, 0};
    int64_t result = 0;
    int report[2];
    int failed;
    int presets;
    void *image;

    if (len <= sizeof(flags))
        client_garbage(client, "an empty program");
    client_take(client, in, &flags, sizeof(flags));
    len -= (uint32_t)sizeof(flags);
    image = take_image(client, in, len);
    if (islp_decode(image, len, &program) < 0)
        client_garbage(client, program.why != NULL ? program.why : "a program that is refused");
    if (program.preset > (uint32_t)in->nfds)
        client_garbage(client, "a program without its descriptors");
    presets = (int)program.preset;
    if (pipe2(report, O_CLOEXEC | O_NONBLOCK) < 0) {
        say(client->tool, ": cannot make a pipe: ", strerror(errno), NULL);
        _exit(1);
    }

    memset(&state, 0, sizeof(state));
    state.client = client;
    state.in = in;
    state.hands_over = (flags & RUN_HAND_OVER) != 0;
    state.signals = -1;
    state.log = -1;
    islp_relocate(&program);
    islp_begin(&run, &program, slots, in->fds, program.preset);
    state.report = report[0];
    run.report_fd = report[1];
    run.allow_clone = 1;
    run.wait_in = wait_in;
    run.tell = tell;
    failed = islp_exec(&run, &result, &record) < 0;
    if (!failed)
        islp_unwind(&run);
    reset();
    in->nfds -= presets;
    for (int i = 0; i < presets; i++)
        close(in->fds[i]);
    memmove(in->fds, in->fds + presets, sizeof(in->fds[0]) * (size_t)in->nfds);

    if (failed) {
        struct {
            uint32_t kind;
            unsigned char bytes[sizeof(struct islp_record)];
        } failure = {.kind = RESULT_FAILED};

        reap_remains();
        record = frame_cause(report[0], &record);
        memcpy(failure.bytes, &record, sizeof(record));
        client_send(client, FRAME_RESULT, &failure, sizeof(failure));
    } else if ((flags & RUN_EXIT) != 0) {
        _exit((int)result);
    } else {
        answer[1] = (uint32_t)result;
        client_send(client, FRAME_RESULT, answer, sizeof(answer));
    }
    close(report[0]);
    close(report[1]);
    munmap(image, len);
}
