// Runs commands of several sides in turn and prints how long each took, so that neither Node's nor a shell's
// own time is in the numbers. Every timed run: unlink the stamp, `before` (untimed), pause, the command
// (timed), `after` (untimed), rmdir.
//
//   timer [-r RUNS] [-w WARMUP] [-t TIMEOUT_MS] [-g GAP_MS] SIDE...
//   SIDE: --side NAME [--before CMD... ;;] --timed CMD... ;; [--after CMD... ;;] [--stamp FILE] [--sweep
//   GLOB]...
//
// --stamp: the command makes something write CLOCK_MONOTONIC (ns, decimal) to FILE; the time printed is until
// then.
// --sweep: empty directories that match are removed after each run (LXC leaves cgroups, and searches past
// them at each start). One line per timed run: SIDE NANOSECONDS STATUS; status 124 is a timeout, 125 a failed
// `before`, 126 a missing stamp. A side that fails three times in a row is left out from then on.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { MAX_SIDES = 8, MAX_SWEEPS = 4, FAILURES = 3 };

struct side {
    const char *name;
    char **before;
    char **timed;
    char **after;
    const char *stamp;
    const char *sweep[MAX_SWEEPS];
    int sweeps;
    int failures;
};

static long timeout_ms = 20000;
static volatile sig_atomic_t alarmed;

static void on_alarm(int number)
{
    (void)number;
    alarmed = 1;
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void set_alarm(long ms)
{
    struct itimerval timer = {.it_value = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000}};
    alarmed = 0;
    setitimer(ITIMER_REAL, &timer, NULL);
}

// Runs a command with its three descriptors on /dev/null. Gives its exit status; *began and *ended are
// CLOCK_MONOTONIC.
static int run(char **argv, int64_t *began, int64_t *ended)
{
    posix_spawn_file_actions_t actions;
    pid_t pid = -1;
    int status = 0;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    set_alarm(timeout_ms);
    *began = now();
    int error = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
    if (error == 0) {
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR && !alarmed)
            continue;
    }
    *ended = now();
    posix_spawn_file_actions_destroy(&actions);
    if (error == 0 && alarmed) {
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        status = 124 << 8;
    }
    set_alarm(0);
    if (error != 0)
        return 127;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void pause_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

// Waits for the stamp for as long as a command may take; 0 if it does not come.
static int64_t read_stamp(const char *path)
{
    for (int64_t end = now() + timeout_ms * 1000000; now() < end;) {
        char text[32] = "";
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
        if (fd >= 0)
            close(fd);
        if (length > 0 && text[length - 1] == '\n')
            return strtoll(text, NULL, 10);
        pause_ms(1);
    }
    return 0;
}

static void sweep(const struct side *side)
{
    for (int i = 0; i < side->sweeps; i++) {
        glob_t found;
        if (glob(side->sweep[i], GLOB_NOSORT, NULL, &found) == 0) {
            for (size_t j = 0; j < found.gl_pathc; j++)
                rmdir(found.gl_pathv[j]);
        }
        globfree(&found);
    }
}

static void measure(struct side *side, long gap, int warm)
{
    int64_t began = 0, ended = 0, ignored = 0;
    int status = 0;

    if (side->stamp != NULL)
        unlink(side->stamp);
    if (side->before != NULL && run(side->before, &ignored, &ignored) != 0)
        status = 125;
    pause_ms(gap);
    if (status == 0) {
        status = run(side->timed, &began, &ended);
        if (status == 0 && side->stamp != NULL) {
            ended = read_stamp(side->stamp);
            status = ended == 0 ? 126 : 0;
        }
    }
    if (side->after != NULL)
        run(side->after, &ignored, &ignored);
    sweep(side);
    side->failures = status == 0 ? 0 : side->failures + 1;
    if (!warm || status != 0)
        printf("%s %lld %d\n", side->name, (long long)(ended - began), status);
    fflush(stdout);
}

// Cuts argv at the next ";;" and gives the command; *at moves past it.
static char **command(char **argv, int *at)
{
    char **first = argv + *at;
    while (argv[*at] != NULL && strcmp(argv[*at], ";;") != 0)
        (*at)++;
    if (argv[*at] == NULL || first == argv + *at) {
        fprintf(stderr, "timer: a command needs words and a ;; at its end\n");
        exit(2);
    }
    argv[(*at)++] = NULL;
    return first;
}

int main(int argc, char **argv)
{
    static struct side sides[MAX_SIDES];
    int count = 0;
    long runs = 40, warmup = 5, gap = 30;
    struct sigaction action = {.sa_handler = on_alarm};

    sigaction(SIGALRM, &action, NULL);
    for (int i = 1; i < argc;) {
        const char *word = argv[i++];
        struct side *side = count > 0 ? &sides[count - 1] : NULL;
        const char *value = i < argc ? argv[i] : "";
        if (strcmp(word, "-r") == 0 && ++i)
            runs = atol(value);
        else if (strcmp(word, "-w") == 0 && ++i)
            warmup = atol(value);
        else if (strcmp(word, "-t") == 0 && ++i)
            timeout_ms = atol(value);
        else if (strcmp(word, "-g") == 0 && ++i)
            gap = atol(value);
        else if (strcmp(word, "--side") == 0 && count < MAX_SIDES && ++i)
            sides[count++].name = value;
        else if (strcmp(word, "--before") == 0 && side != NULL)
            side->before = command(argv, &i);
        else if (strcmp(word, "--timed") == 0 && side != NULL)
            side->timed = command(argv, &i);
        else if (strcmp(word, "--after") == 0 && side != NULL)
            side->after = command(argv, &i);
        else if (strcmp(word, "--stamp") == 0 && side != NULL && ++i)
            side->stamp = value;
        else if (strcmp(word, "--sweep") == 0 && side != NULL && side->sweeps < MAX_SWEEPS && ++i)
            side->sweep[side->sweeps++] = value;
        else {
            fprintf(stderr, "timer: what is %s?\n", word);
            return 2;
        }
    }
    for (int i = 0; i < count; i++) {
        if (sides[i].timed == NULL) {
            fprintf(stderr, "timer: %s has no --timed\n", sides[i].name);
            return 2;
        }
    }
    for (long round = 0; round < warmup + runs; round++) {
        for (int i = 0; i < count; i++) {
            if (sides[i].failures < FAILURES)
                measure(&sides[i], gap, round < warmup);
        }
    }
    return 0;
}
