/* The first process of an application container: starts one command, passes signals on to it, reaps what is
 * left to it, and ends with the command's exit code. What lxc-init does, in the order lxc-init does it. */
#define _GNU_SOURCE
#include "init.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>

#include "frames.h"

#define TOOL "islet init"
#define NOT_EXECUTABLE 255
#define PATIENCE_MS 1000 /* between SIGTERM and SIGKILL, counted anew whenever a process ends */

/* ---- file systems ---- */

/* Only where the directory exists and nothing is mounted on it yet; the container works without, too. */
static void mount_if_absent(const char *type, const char *dir, unsigned long flags, const char *options)
{
    struct stat here, parent;
    char up[32];

    strcpy(up, dir);
    strcpy(strrchr(up, '/') + 1, ".");
    if (stat(dir, &here) < 0 || stat(up, &parent) < 0 || !S_ISDIR(here.st_mode) ||
        here.st_dev != parent.st_dev)
        return;
    if (mount(type, dir, type, flags, options) < 0)
        return;
}

static void mount_all(void)
{
    if (access("/proc/self", F_OK) < 0)
        mount_if_absent("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount_if_absent("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777");
    mount_if_absent("mqueue", "/dev/mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

/* ---- the command ---- */

struct init {
    pid_t command;
    int shares_terminal; /* the command is in our process group: the keyboard's signals reach it directly */
    int is_ending;       /* SIGTERM was sent to everybody */
    int code;            /* exit code, -1 while the command runs */
};

/* lxc-init gives the command a session of its own. Its terminal has to go along: if we lead the session that
 * has it, we let go of it first; if somebody else does, the command stays in that session. */
static int let_go_of_terminal(void)
{
    pid_t session = tcgetsid(0);

    if (session <= 0 || session != getsid(0))
        return session < 0 && errno == ENOTTY; /* 1: no terminal at all */
    if (session != getpid())
        return 0;
    return ioctl(0, TIOCNOTTY) == 0; /* sends SIGHUP, which is blocked and passed on to nobody */
}

_Noreturn static void become_command(char **argv, int has_own_session, const sigset_t *mask)
{
    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    if (has_own_session) {
        setsid();
        ioctl(0, TIOCSCTTY, 0);
    }
    sigprocmask(SIG_SETMASK, mask, NULL);
    execvp(argv[0], argv);
    say(TOOL ": cannot execute ", argv[0], ": ", strerror(errno), NULL);
    _exit(NOT_EXECUTABLE);
}

static void end_all(struct init *init, int sig)
{
    init->is_ending = 1;
    if (getpid() == 1)
        kill(-1, sig);
    else if (init->code < 0)
        kill(init->command, sig);
}

/* Reap whatever has ended. 1: nobody is left. */
static int reap(struct init *init)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);

        if (pid == 0)
            return 0;
        if (pid < 0 && errno != EINTR)
            return 1;
        if (pid == init->command) {
            init->code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            end_all(init, SIGTERM);
        }
    }
}

static void on_signal(struct init *init, const struct signalfd_siginfo *info)
{
    int sig = (int)info->ssi_signo;

    switch (sig) {
    case SIGCHLD:
    case SIGHUP: /* as lxc-init: it was meant for an init that reloads its configuration */
        return;
    case SIGTERM:
    case SIGPWR:
        if (!init->is_ending)
            end_all(init, SIGTERM);
        return;
    default:
        if (init->shares_terminal && info->ssi_code == SI_KERNEL)
            return;
        if (init->code < 0)
            kill(init->command, sig);
    }
}

static long milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int serve(struct init *init, int signals)
{
    long last = 0;

    while (!reap(init)) {
        struct pollfd wait = {.fd = signals, .events = POLLIN};
        struct signalfd_siginfo info;
        int timeout = -1;

        if (init->is_ending) {
            if (last == 0)
                last = milliseconds();
            timeout = (int)(last + PATIENCE_MS - milliseconds());
            if (timeout <= 0) {
                end_all(init, SIGKILL);
                last = milliseconds();
                timeout = PATIENCE_MS;
            }
        }
        if (poll(&wait, 1, timeout) <= 0)
            continue;
        while (read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
            if (info.ssi_signo == SIGCHLD)
                last = 0;
            on_signal(init, &info);
        }
    }
    return init->code < 0 ? 1 : init->code;
}

/* Index of the command in argv, 0 if the call makes no sense. */
static int parse(int argc, char **argv)
{
    int i = 1;

    for (; i < argc && argv[i][0] == '-'; i++) {
        const char *option = argv[i];

        if (strcmp(option, "--") == 0)
            return i + 1 < argc ? i + 1 : 0;
        if (strcmp(option, "-q") == 0 || strcmp(option, "--quiet") == 0 || strncmp(option, "--name=", 7) == 0)
            continue;
        if (strcmp(option, "-n") == 0 || strcmp(option, "--name") == 0)
            i++;
        else if (strncmp(option, "-n", 2) != 0)
            return 0;
    }
    return i < argc ? i : 0;
}

int init_main(int argc, char **argv)
{
    struct init init = {.code = -1};
    sigset_t all, before;
    int first = parse(argc, argv);
    int signals, has_own_session;

    if (first == 0) {
        say("usage: islet init [-n NAME] [-q] [--] COMMAND [ARGUMENTS...]", NULL);
        return 1;
    }
    /* Faults of our own must end us; the rest is passed on. */
    sigfillset(&all);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigprocmask(SIG_SETMASK, &all, &before);
    signal(SIGCHLD, SIG_DFL);
    signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0) {
        say(TOOL ": signalfd: ", strerror(errno), NULL);
        return 1;
    }
    mount_all();
    prctl(PR_SET_NAME, "init", 0, 0, 0);
    has_own_session = let_go_of_terminal();
    init.shares_terminal = !has_own_session;
    init.command = fork();
    if (init.command < 0) {
        say(TOOL ": fork: ", strerror(errno), NULL);
        return 1;
    }
    if (init.command == 0)
        become_command(argv + first, has_own_session, &before);
    /* What the command was given is not ours to keep open. */
    if (signals != 3)
        signals = dup3(signals, 3, O_CLOEXEC);
    syscall(SYS_close_range, 4U, ~0U, 0);
    return serve(&init, signals);
}
