/* The life of a monitor: START, run, serve, unwind, perhaps run again. */
#define _GNU_SOURCE
#include "monitor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

#define DAEMON_FD 3
#define NO_STATUS 0xffffffffu
#define PAGE 4096u
#define LATE_NS 1000000000u
#define SIGNALS 64

enum tell_code {
    TELL_STATE = 1,
    TELL_MAIN,
    TELL_CONSOLE,
    TELL_TTY,
    TELL_LISTENER,
    TELL_LOG,
    TELL_RING,
    TELL_LOG_LIMIT,
    TELL_PID,
    TELL_RESTART_SLOT,
    TELL_STATUS_SLOT,
    TELL_PIPE,
    TELL_REFUSER,
    TELL_NOTIFY,
    TELL_HALT,
    TELL_OUTER,
};

enum outcome { OUTCOME_END, OUTCOME_FAILED, OUTCOME_RESTART };

struct monitor mon;

static struct islp_run run;
static int64_t slots[ISLP_MAX_SLOTS];
static int report[2];

/* ---- START ---- */

/* Exactly len bytes from the daemon: 0, or -errno; -EPIPE at the end of the stream. */
static int take(void *to, size_t len)
{
    unsigned char *next = to;

    while (len > 0) {
        ssize_t got = frame_recvmsg(DAEMON_FD, next, len, mon.preset, &mon.preset_count, 0);

        if (got == -EAGAIN) {
            struct pollfd wait = {.fd = DAEMON_FD, .events = POLLIN};

            poll(&wait, 1, -1);
            continue;
        }
        if (got <= 0)
            return got == 0 ? -EPIPE : (int)got;
        next += got;
        len -= (size_t)got;
    }
    return 0;
}

/* len payload bytes into the memory file at offset `at`, which is the start of a page. */
static int take_to_file(size_t at, size_t len)
{
    void *bytes;
    int error;

    if (len == 0)
        return 0;
    if (ftruncate(mon.file, (off_t)(at + len)) < 0)
        return -errno;
    bytes = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, mon.file, (off_t)at);
    if (bytes == MAP_FAILED)
        return -errno;
    error = take(bytes, len);
    munmap(bytes, len);
    return error;
}

/* A string's or byte array's length, within what is left of the payload. */
static int take_len(uint32_t *left, uint32_t *len)
{
    int error = *left < sizeof(*len) ? -EPROTO : take(len, sizeof(*len));

    if (error < 0)
        return error;
    *left -= (uint32_t)sizeof(*len);
    if (*len > *left)
        return -EPROTO;
    *left -= *len;
    return 0;
}

static int take_title(char *title, size_t room, uint32_t len)
{
    while (len >= room) { /* what is too long is cut */
        int error = take(title, 1);

        if (error < 0)
            return error;
        len--;
    }
    title[len] = '\0';
    return take(title, len);
}

static int take_start(char *title, size_t room)
{
    struct frame_head head;
    uint32_t words[3];
    uint32_t left, len;
    int error = take(&head, sizeof(head));

    if (error < 0)
        return error;
    if (head.type != FRAME_START || head.zero != 0 || head.length < sizeof(words) ||
        head.length > FRAME_LIMIT)
        return -EPROTO;
    left = head.length - (uint32_t)sizeof(words);
    error = take(words, sizeof(words));
    if (error < 0)
        return error;
    mon.fail_op = words[1];
    mon.fail_errno = words[2];
    error = take_len(&left, &len);
    if (error == 0)
        error = take_title(title, room, len);
    if (error == 0)
        error = take_len(&left, &len);
    if (error < 0)
        return error;
    mon.file = memfd_create("islet-program", MFD_CLOEXEC);
    if (mon.file < 0)
        return -errno;
    mon.meta_len = len;
    error = take_to_file(0, len);
    if (error == 0)
        error = take_len(&left, &len);
    if (error < 0)
        return error;
    mon.image_at = (mon.meta_len + PAGE - 1) & ~(size_t)(PAGE - 1);
    mon.image_len = len;
    error = take_to_file(mon.image_at, len);
    return error == 0 && left != 0 ? -EPROTO : error;
}

/* The numbers of /proc/self/stat from the 26th on, which no text comes between: 0 or -errno. */
static int read_layout(uint64_t numbers[26])
{
    char text[1024];
    char *next;
    ssize_t len;
    AUTO_FD int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    len = read(fd, text, sizeof(text) - 1);
    if (len <= 0)
        return -EIO;
    text[len] = '\0';
    next = strrchr(text, ')'); /* the end of the second */
    for (int field = 3; next != NULL && field < 26; field++)
        next = strchr(next + 1, ' ');
    for (int i = 0; i < 26; i++) {
        next = next == NULL ? NULL : strchr(next + 1, ' ');
        if (next == NULL)
            return -EPROTO;
        numbers[i] = strtoull(next, NULL, 10);
    }
    return 0;
}

/* Bytes from argv[0] to the end of the environment, which lies behind the arguments (proc_pid_cmdline(5): ps
 * reads on there). Nobody here asks for a variable. */
static size_t title_room(int argc, char **argv)
{
    char *end = argv[argc - 1] + strlen(argv[argc - 1]) + 1;

    for (char **each = environ; *each == end; each++)
        end += strlen(end) + 1;
    return (size_t)(end - argv[0]);
}

/* What ps shows. The kernel is told where the text is; failing that, what fits over the arguments and the
 * environment. */
static void set_title(int argc, char **argv, char *title)
{
    size_t len = strlen(title) + 1;
    size_t room = title_room(argc, argv);
    uint64_t now[26];

    if (len == 1)
        return;
    prctl(PR_SET_NAME, title, 0, 0, 0);
    if (read_layout(now) == 0) {
        struct prctl_mm_map map = {
            .start_code = now[0],
            .end_code = now[1],
            .start_stack = now[2],
            .start_data = now[19],
            .end_data = now[20],
            .start_brk = now[21],
            .brk = (uint64_t)syscall(SYS_brk, 0),
            .arg_start = (uintptr_t)title,
            .arg_end = (uintptr_t)title + len,
            .env_start = now[24],
            .env_end = now[25],
            .exe_fd = (uint32_t)-1,
        };

        if (prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0) == 0)
            return;
    }
    if (len > room)
        len = room;
    memset(argv[0], 0, room);
    memcpy(argv[0], title, len - 1);
    environ = &argv[argc]; /* NULL: there is none any more */
}

/* ---- what the program tells and waits for ---- */

static void publish_state(uint32_t state)
{
    uint32_t words[2] = {state, mon.status};

    mon.state = state;
    /* Whoever hears that it runs wants to know who does. */
    if (state == MON_RUNNING)
        mon_publish_info();
    mon_publish(FRAME_STATE, words, sizeof(words));
}

static uint64_t boot_time(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int tell_main(int fd)
{
    close_fd(&mon.main_fd);
    mon.main_fd = fd;
    mon.start_time = boot_time();
    return 0;
}

static int tell_listener(int *place, int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        close_fd(&fd);
        return -EBADF;
    }
    close_fd(place);
    *place = fd;
    return 0;
}

static int tell_pipe(int fd)
{
    for (int i = 0; i < MON_LOGS; i++) {
        if (mon.logs[i] < 0) {
            mon.logs[i] = fd;
            return 0;
        }
    }
    close_fd(&fd);
    return -ENOSPC;
}

/* Codes whose value is a descriptor. We keep one of our own, so the program may close its own at any time. */
static int tell_fd(uint32_t code, int64_t value)
{
    int fd = value < 0 || value > INT32_MAX ? -1 : fcntl((int)value, F_DUPFD_CLOEXEC, 0);

    if (code == TELL_LOG && value == -1) {
        close_fd(&mon.console.log);
        return 0;
    }
    if (fd < 0)
        return -EBADF;
    switch (code) {
    case TELL_MAIN:
        return tell_main(fd);
    case TELL_CONSOLE:
        return console_set(fd);
    case TELL_TTY:
        return tty_add(fd);
    case TELL_LISTENER:
        return tell_listener(&mon.listener, fd);
    case TELL_REFUSER:
        return tell_listener(&mon.refuser, fd);
    case TELL_LOG:
        close_fd(&mon.console.log);
        mon.console.log = fd;
        return 0;
    case TELL_NOTIFY:
        close_fd(&mon.notify);
        mon.notify = fd;
        return 0;
    case TELL_OUTER:
        return outer_add(fd);
    default:
        return tell_pipe(fd);
    }
}

static int tell_slot(int *slot, int64_t value)
{
    if (value < 0 || value >= run.prog->slot_count)
        return -EINVAL;
    *slot = (int)value;
    return 0;
}

/* What the refuser says; its socket is told with it. */
static int take_refusal(const void *data, uint32_t len)
{
    if (data == NULL || len == 0 || len > sizeof(mon.refusal))
        return -EINVAL;
    memcpy(mon.refusal, data, len);
    mon.refusal_len = len;
    return 0;
}

static int tell(struct islp_run *unused, uint32_t code, int64_t value, const void *data, uint32_t len)
{
    (void)unused;
    if (code == TELL_REFUSER && take_refusal(data, len) < 0)
        return -EINVAL;
    switch (code) {
    case TELL_STATE:
        publish_state((uint32_t)value);
        return 0;
    case TELL_MAIN:
    case TELL_CONSOLE:
    case TELL_TTY:
    case TELL_LISTENER:
    case TELL_LOG:
    case TELL_PIPE:
    case TELL_REFUSER:
    case TELL_NOTIFY:
    case TELL_OUTER:
        return tell_fd(code, value);
    case TELL_RING:
        console_set_ring(value < 0 ? 0 : (uint64_t)value);
        return 0;
    case TELL_LOG_LIMIT:
        mon.console.log_limit = value < 0 ? 0 : (uint64_t)value;
        return 0;
    case TELL_PID:
        mon.main_pid = (int32_t)value;
        return 0;
    case TELL_RESTART_SLOT:
        return tell_slot(&mon.restart_slot, value);
    case TELL_STATUS_SLOT:
        return tell_slot(&mon.status_slot, value);
    case TELL_HALT:
        if (value < 1 || value > SIGNALS)
            return -EINVAL;
        mon.halt_signal = (int)value;
        return 0;
    default:
        return -ENOSYS;
    }
}

/* A child that failed has written its report before it vanished: what waits for it fails, whatever it waited
 * for. */
static int wait_in(struct islp_run *of, int fd)
{
    int error = mon_serve(fd, !of->in_block);

    return error == 0 && !of->in_block && frame_has_report(report[0]) ? -ECHILD : error;
}

/* ---- a run ---- */

/* Wait status of the main process, which has ended; reaped if it is our child. */
static uint32_t reap_main(void)
{
    siginfo_t info;

    memset(&info, 0, sizeof(info));
    while (waitid((idtype_t)P_PIDFD, (id_t)mon.main_fd, &info, WEXITED) < 0) {
        if (errno != EINTR)
            return NO_STATUS;
    }
    switch (info.si_code) {
    case CLD_EXITED:
        return ((uint32_t)info.si_status & 0xff) << 8;
    case CLD_DUMPED:
        return (uint32_t)info.si_status | 0x80;
    default:
        return (uint32_t)info.si_status;
    }
}

/* Pages that only the start needed. They come back from the memory file if they are wanted. */
static void forget_pages(unsigned char *image, const struct islp_program *program)
{
    size_t before = (size_t)(program->data - image) & ~(size_t)(PAGE - 1);

    if (before > 0)
        madvise(image, before, MADV_DONTNEED);
}

static void prepare(void)
{
    mon.is_starting = 1;
    mon.is_aborted = 0;
    mon.main_pid = -1;
    mon.is_ready = 0;
    mon.halt_signal = 0;
    mon.status = NO_STATUS;
    mon.restart_slot = mon.status_slot = -1;
    mon.start_time = boot_time();
}

/* After a run: nothing of it stays but the ring, the connections and the socket they came through. */
static void finish(void)
{
    mon_end_refuser();
    console_end();
    mon_serve(-1, 0);
    for (int i = 0; i < MON_LOGS; i++)
        close_fd(&mon.logs[i]);
    close_fd(&mon.notify);
    close_fd(&mon.main_fd);
}

static void publish_failure(const struct islp_record *record)
{
    if (mon.state != MON_STOPPED)
        publish_state(MON_STOPPED);
    mon_publish(FRAME_FAILED, record, sizeof(*record));
}

/* What children reported while the program ended with success: most of it failures that the program took in
 * its stride, but the last may be the main process's. 1: there was one. */
static int read_early(struct islp_record *record)
{
    int found = 0;

    while (read(report[0], record, sizeof(*record)) == (ssize_t)sizeof(*record))
        found = 1;
    return found;
}

/* The main process was a child of the program's to its end: it failed before it became the guest. A report
 * from before the program's end counts only if the main process ended at once. */
static int failed_late(struct islp_record *record, int is_early, uint64_t success)
{
    if (mon.status != (uint32_t)ISLP_EXIT_FAIL << 8)
        return 0;
    if (is_early && boot_time() - success < LATE_NS)
        return 1;
    return read(report[0], record, sizeof(*record)) == (ssize_t)sizeof(*record);
}

static enum outcome end_main(void)
{
    struct islp_record record;
    int is_early = read_early(&record);
    uint64_t success = boot_time();
    int is_failure;

    if (mon.main_fd >= 0) {
        mon_serve(mon.main_fd, 0);
        mon.status = reap_main();
        close_fd(&mon.main_fd);
    }
    mon.main_pid = -1;
    console_drain();
    is_failure = failed_late(&record, is_early, success);
    if (mon.status_slot >= 0)
        slots[mon.status_slot] = mon.status;
    if (mon.restart_slot >= 0)
        slots[mon.restart_slot] = mon.status == SIGHUP;
    console_end();
    islp_unwind(&run);
    if (is_failure) {
        publish_failure(&record);
        return OUTCOME_FAILED;
    }
    return mon.restart_slot >= 0 && slots[mon.restart_slot] == 1 ? OUTCOME_RESTART : OUTCOME_END;
}

static enum outcome run_program(unsigned char *image)
{
    static struct islp_program program;
    struct islp_record record = {.magic = ISLP_RECORD_MAGIC, .op = ISLP_NONE, .error = EINVAL};
    int64_t result;

    prepare();
    if (islp_decode(image, mon.image_len, &program) < 0 ||
        (islp_relocate(&program),
         islp_begin(&run, &program, slots, mon.preset, (uint32_t)mon.preset_count) < 0)) {
        publish_failure(&record);
        return OUTCOME_FAILED;
    }
    run.report_fd = report[1];
    run.allow_clone = 1;
    run.wait_in = wait_in;
    run.tell = tell;
    run.fail_op = mon.fail_op;
    run.fail_errno = (int32_t)mon.fail_errno;
    if (islp_exec(&run, &result, &record) < 0) {
        record = frame_cause(report[0], &record);
        publish_failure(&record);
        return OUTCOME_FAILED;
    }
    mon.is_starting = 0;
    forget_pages(image, &program);
    return end_main();
}

/* ---- the process ---- */

static void catch_signals(void)
{
    static const int left_alone[] = {SIGILL,  SIGTRAP, SIGABRT, SIGBUS,  SIGFPE,  SIGSEGV, SIGSYS,  SIGKILL,
                                     SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT, SIGCHLD, SIGWINCH};
    sigset_t mask;

    sigfillset(&mask);
    for (size_t i = 0; i < LENGTH(left_alone); i++)
        sigdelset(&mask, left_alone[i]);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    signal(SIGCHLD, SIG_DFL);
    mon.signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void forget_descriptors(void)
{
    for (int i = 0; i < MON_PEERS; i++)
        mon.peers[i].fd = mon.peers[i].kept = -1;
    for (int i = 0; i < MON_LOGS; i++)
        mon.logs[i] = -1;
    for (int i = 0; i < MON_REFUSED; i++)
        mon.refused[i] = -1;
    mon.listener = mon.refuser = mon.notify = mon.signals = mon.file = mon.main_fd = -1;
    for (int i = 0; i < MON_VIEWERS; i++)
        mon.console.viewers[i].fd = -1;
    mon.console.master = mon.console.hold = mon.console.log = -1;
}

int monitor_main(int argc, char **argv)
{
    static char title[256];
    enum outcome outcome;
    int error;

    forget_descriptors();
    if (fcntl(DAEMON_FD, F_SETFD, FD_CLOEXEC) < 0) {
        say("islet monitor: descriptor 3 is not the daemon's socket; the daemon starts monitors", NULL);
        return 1;
    }
    syscall(SYS_close_range, DAEMON_FD + 1, ~0U, 0); /* whatever else the daemon forgot */
    error = take_start(title, sizeof(title));
    if (error == -EPIPE && mon.file < 0)
        return 0; /* a spare that was never needed */
    if (error < 0) {
        say("islet monitor: START: ", strerror(-error), NULL);
        return 1;
    }
    setsid();
    set_title(argc, argv, title);
    catch_signals();
    mon.peers[0].fd = DAEMON_FD;
    mon.peers[0].is_subscribed = 1;
    if (pipe2(report, O_CLOEXEC | O_NONBLOCK) < 0)
        return 1;

    do {
        unsigned char *image =
            mmap(NULL, mon.image_len, PROT_READ | PROT_WRITE, MAP_PRIVATE, mon.file, (off_t)mon.image_at);

        if (image == MAP_FAILED)
            return 1;
        outcome = run_program(image);
        finish();
        munmap(image, mon.image_len);
        if (outcome == OUTCOME_RESTART)
            mon.reboots++;
    } while (outcome == OUTCOME_RESTART);
    if (mon.state != MON_STOPPED)
        publish_state(MON_STOPPED);
    mon_flush();
    return outcome == OUTCOME_FAILED;
}
