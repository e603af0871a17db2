/* Reaching the daemon, and starting it when nobody has. */
#define _GNU_SOURCE
#include "client.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#define SAFE_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define START_SECONDS 10
#define READY_FD 3
/* MB, of each half of the heap for young objects: Node's own choice costs memory and saves no time here. */
#define SMALL_HEAP "--max-semi-space-size=4"

struct paths {
    char socket[PATH_MAX], users[PATH_MAX], lock[PATH_MAX], log[PATH_MAX];
    char node[PATH_MAX], script[PATH_MAX];
};

/* dir + "/" + name; 0 or -ENAMETOOLONG. */
static int join(char to[PATH_MAX], const char *dir, size_t dir_len, const char *name)
{
    size_t len = strlen(name);

    if (dir_len + 1 + len >= PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(to, dir, dir_len);
    to[dir_len] = '/';
    memcpy(to + dir_len + 1, name, len + 1);
    return 0;
}

_Noreturn static void cannot_start(const char *tool, const char *what, const char *why)
{
    say(tool, ": cannot start the islet daemon: ", what, why != NULL ? ": " : "", why != NULL ? why : "",
        NULL);
    _exit(1);
}

/* A connected socket, or -errno. */
static int try_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    int fd;

    if (len >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, len);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    while (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int error = errno;

        if (error == EINTR)
            continue;
        close(fd);
        return -error;
    }
    return fd;
}

/* Where Node and the daemon's program are: beside this binary, else Node from the usual places. */
static void find_program(const char *tool, struct paths *paths)
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    size_t dir;

    if (len <= 0)
        cannot_start(tool, "/proc/self/exe", "cannot be read; is /proc mounted?");
    self[len] = '\0';
    dir = (size_t)(strrchr(self, '/') - self);
    if (join(paths->script, self, dir, "../dist/src/daemon/main.js") < 0 ||
        join(paths->node, self, dir, "node") < 0)
        cannot_start(tool, self, "the path is too long");
    if (access(paths->script, R_OK) < 0)
        cannot_start(tool, paths->script, "not there; build islet first (npm run build)");
    if (access(paths->node, X_OK) == 0)
        return;
    for (const char *place = SAFE_PATH; *place != '\0';) {
        size_t len_place = strcspn(place, ":");

        if (join(paths->node, place, len_place, "node") == 0 && access(paths->node, X_OK) == 0)
            return;
        place += len_place;
        place += *place == ':';
    }
    cannot_start(tool, "node is not installed (looked beside this program and in " SAFE_PATH ")", NULL);
}

/* Descriptor `from` becomes `to` and stays open over exec. */
static int place_fd(int from, int to)
{
    if (from == to)
        return fcntl(to, F_SETFD, 0);
    return dup2(from, to);
}

/* Containers begin with what the daemon has, and must not get the limits of whoever happened to start it:
 * those of init, every processor, and nothing special. What cannot be had stays as it is. */
static void forget_caller(void)
{
    unsigned char all[128];
    struct sched_param usual = {0};
    AUTO_FD int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    for (int resource = 0; resource < RLIM_NLIMITS; resource++) {
        struct rlimit wanted, own;

        if (prlimit(1, resource, NULL, &wanted) < 0 || getrlimit(resource, &own) < 0)
            continue;
        if (setrlimit(resource, &wanted) == 0)
            continue;
        /* Without CAP_SYS_RESOURCE no limit can be raised above what the caller may have. */
        own.rlim_cur = wanted.rlim_cur < own.rlim_max ? wanted.rlim_cur : own.rlim_max;
        setrlimit(resource, &own);
    }
    syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &usual); /* musl's own functions only say ENOSYS */
    memset(all, 0xff, sizeof(all));
    syscall(SYS_sched_setaffinity, 0, sizeof(all), all);
    syscall(SYS_ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, 0);
    if (oom >= 0 && write(oom, "0", 1) < 0)
        return;
}

/* In the new process: become nobody's child of ours, take nothing along, exec Node. */
_Noreturn static void become_daemon(const struct paths *paths, const char *runtime, int ready)
{
    static char runtime_env[PATH_MAX + sizeof("ISLET_RUNTIME_DIR=")];
    const char *env[] = {"PATH=" SAFE_PATH, "LANG=C.UTF-8", "ISLET_READY_FD=3", NULL, NULL};
    const char *argv[] = {paths->node, SMALL_HEAP, paths->script, NULL};
    sigset_t none;
    int null, log;

    setsid();
    if (fork() != 0)
        _exit(0);
    /* Above every number that is given a meaning below. */
    ready = fcntl(ready, F_DUPFD_CLOEXEC, READY_FD + 1);
    log = open(paths->log, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (ready < 0 || log < 0 || null < 0 || place_fd(null, 0) < 0 || place_fd(log, 1) < 0 ||
        place_fd(log, 2) < 0 || place_fd(ready, READY_FD) < 0)
        _exit(1);
    syscall(SYS_close_range, READY_FD + 1, ~0U, 0);
    if (chdir("/") < 0)
        _exit(1);
    umask(022);
    forget_caller();
    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (getenv("ISLET_RUNTIME_DIR") != NULL) {
        strcpy(runtime_env, "ISLET_RUNTIME_DIR=");
        strncat(runtime_env, runtime, PATH_MAX - 1);
        env[3] = runtime_env;
    }
    execve(paths->node, (char *const *)argv, (char *const *)env);
    say("cannot execute ", paths->node, ": ", strerror(errno), NULL);
    _exit(127);
}

/* What a service manager tells the daemon, and where its sockets are; nothing else of the environment counts.
 */
static int is_for_daemon(const char *entry)
{
    static const char *const names[] = {
        "ISLET_RUNTIME_DIR=", "LISTEN_PID=", "LISTEN_FDS=", "LISTEN_FDNAMES=", "NOTIFY_SOCKET="};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strncmp(entry, names[i], strlen(names[i])) == 0)
            return 1;
    }
    return 0;
}

int daemon_main(int argc)
{
    static struct paths paths;
    const char *env[16] = {"PATH=" SAFE_PATH, "LANG=C.UTF-8"};
    const char *argv[] = {paths.node, SMALL_HEAP, paths.script, NULL};
    size_t count = 2;

    if (argc > 2) {
        say("islet: daemon takes no arguments", NULL);
        return 1;
    }
    find_program("islet", &paths);
    for (char **entry = environ; *entry != NULL && count < sizeof(env) / sizeof(env[0]) - 1; entry++) {
        if (is_for_daemon(*entry))
            env[count++] = *entry;
    }
    if (chdir("/") < 0)
        cannot_start("islet", "/", strerror(errno));
    execve(paths.node, (char *const *)argv, (char *const *)env);
    cannot_start("islet", paths.node, strerror(errno));
}

/* The line of the log, from offset on, that says most: the last one that is no part of a stack trace. */
static const char *last_words(const char *log, off_t from)
{
    static char text[4096];
    char *best = NULL;
    struct stat now;
    ssize_t len;
    AUTO_FD int fd = open(log, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &now) < 0)
        return NULL;
    if (now.st_size - from > (off_t)sizeof(text) - 1)
        from = now.st_size - ((off_t)sizeof(text) - 1);
    len = pread(fd, text, sizeof(text) - 1, from);
    if (len <= 0)
        return NULL;
    text[len] = '\0';
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strchr(" \t^}", line[0]) == NULL && strncmp(line, "Node.js v", 9) != 0)
            best = line;
    }
    return best;
}

/* Start the daemon and wait until it says that it listens. */
static void start_daemon(const char *tool, struct paths *paths, const char *runtime)
{
    struct stat before = {.st_size = 0};
    struct timespec now, end;
    struct pollfd wait = {.events = POLLIN};
    int ends[2];
    pid_t child;
    char byte;

    find_program(tool, paths);
    if (stat(paths->log, &before) < 0)
        before.st_size = 0;
    if (pipe2(ends, O_CLOEXEC) < 0)
        cannot_start(tool, "pipe", strerror(errno));
    child = fork();
    if (child < 0)
        cannot_start(tool, "fork", strerror(errno));
    if (child == 0)
        become_daemon(paths, runtime, ends[1]);
    close(ends[1]);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += START_SECONDS;
    wait.fd = ends[0];
    for (;;) {
        long left;

        clock_gettime(CLOCK_MONOTONIC, &now);
        left = (end.tv_sec - now.tv_sec) * 1000 + (end.tv_nsec - now.tv_nsec) / 1000000;
        if (left <= 0)
            cannot_start(tool, "it is not ready after 10 seconds; see ", paths->log);
        if (poll(&wait, 1, (int)left) > 0)
            break;
    }
    if (read(ends[0], &byte, 1) != 1) {
        const char *words = last_words(paths->log, before.st_size);

        if (words == NULL)
            cannot_start(tool, "it ended without a word; see ", paths->log);
        cannot_start(tool, words, NULL);
    }
    close(ends[0]);
}

/* The one command that the daemon serves to users who are not root. */
static int is_for_users(const char *tool)
{
    return strcmp(tool, "lxc-user-nic") == 0 && geteuid() != 0;
}

static int connect_as_user(const char *tool, const struct paths *paths)
{
    int fd = try_connect(paths->users);

    if (fd >= 0)
        return fd;
    if (fd == -ENOENT || fd == -ECONNREFUSED)
        say(tool, ": nobody serves users at ", paths->users,
            ": /etc/lxc/lxc-usernet grants no nic, or the islet daemon does not run"
            " (as root: systemctl start islet.socket, or any islet command)",
            NULL);
    else
        say(tool, ": cannot reach the islet daemon at ", paths->users, ": ", strerror(-fd), NULL);
    _exit(1);
}

int daemon_connect(const char *tool, int *is_user)
{
    static struct paths paths;
    const char *runtime = getenv("ISLET_RUNTIME_DIR");
    AUTO_FD int lock = -1;
    size_t len;
    int fd;

    if (runtime == NULL || runtime[0] == '\0')
        runtime = "/run/islet";
    len = strlen(runtime);
    if (join(paths.socket, runtime, len, "socket") < 0 || join(paths.users, runtime, len, "user") < 0 ||
        join(paths.lock, runtime, len, "start.lock") < 0 || join(paths.log, runtime, len, "daemon.log") < 0)
        cannot_start(tool, "ISLET_RUNTIME_DIR", "the path is too long");
    fd = try_connect(paths.socket);
    if (fd >= 0)
        return fd;
    if (is_for_users(tool) && (fd == -EACCES || fd == -EPERM || fd == -ENOENT || fd == -ECONNREFUSED)) {
        *is_user = 1;
        return connect_as_user(tool, &paths);
    }
    if (fd == -EACCES || fd == -EPERM) {
        say(tool, ": the islet daemon listens to root only (", paths.socket, "): ", strerror(-fd),
            "; use sudo", NULL);
        _exit(1);
    }
    if (fd != -ENOENT && fd != -ECONNREFUSED) {
        say(tool, ": cannot reach the islet daemon at ", paths.socket, ": ", strerror(-fd), NULL);
        _exit(1);
    }

    if (mkdir(runtime, 0711) < 0 && errno != EEXIST)
        cannot_start(tool, runtime, strerror(errno));
    lock = open(paths.lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (lock < 0)
        cannot_start(tool, paths.lock, strerror(errno));
    while (flock(lock, LOCK_EX) < 0) {
        if (errno != EINTR)
            cannot_start(tool, paths.lock, strerror(errno));
    }
    fd = try_connect(paths.socket); /* another client may have been faster */
    if (fd == -ENOENT || fd == -ECONNREFUSED) {
        start_daemon(tool, &paths, runtime);
        fd = try_connect(paths.socket);
    }
    if (fd < 0)
        cannot_start(tool, paths.socket, strerror(-fd));
    return fd;
}
