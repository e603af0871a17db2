/*
 * What a guest's process does at the other end of its API's socket: a static program that tests put into a guest.
 *
 *   guest-client SOCKET [as UID] [orphan|newpid|newuser|pidanduser] raw MILLISECONDS   stdin is sent, what comes back printed
 *   guest-client SOCKET time COUNT PATH    COUNT requests, each on a connection of its own: median and slowest, microseconds
 *   guest-client SOCKET twice MILLISECONDS PATH    one connection, two requests with a pause between them: their statuses
 *   guest-client SOCKET flood COUNT MILLISECONDS    so many connections at once, as long as they are let, requests that nobody reads the answers of
 *   guest-client SOCKET linger SECONDS    sends connections of TCP that whoever closes them last waits for that long; prints what sendmsg says
 *   guest-client SOCKET idle COUNT MILLISECONDS     so many connections that say nothing; prints how many were not ended at once
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *path;

static void die(const char *what) {
    printf("%s: %s\n", what, strerror(errno));
    exit(1);
}

static long long now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000LL + at.tv_nsec / 1000;
}

static int dial(void) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strncpy(to.sun_path, path, sizeof to.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

static void raw(int wait) {
    static char buffer[1 << 20];
    size_t length = 0;
    for (ssize_t got; length < sizeof buffer && (got = read(0, buffer + length, sizeof buffer - length)) > 0;) length += got;
    int fd = dial();
    if (fd < 0) die("connect");
    size_t sent = 0;
    while (sent < length) {
        ssize_t n = send(fd, buffer + sent, length - sent, MSG_NOSIGNAL);
        if (n < 0) break;
        sent += n;
    }
    long long until = now() + wait * 1000LL;
    for (;;) {
        long long left = (until - now()) / 1000;
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        if (left <= 0 || poll(&poller, 1, left) <= 0) break;
        ssize_t got = read(fd, buffer, sizeof buffer);
        if (got <= 0) break;
        fwrite(buffer, 1, got, stdout);
        fflush(stdout);
    }
    exit(0);
}

static int ascending(const void *a, const void *b) {
    long long x = *(const long long *)a, y = *(const long long *)b;
    return (x > y) - (x < y);
}

static void measure(int count, const char *what) {
    long long *taken = calloc(count, sizeof *taken);
    char request[256], answer[4096];
    int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: lxd\r\nConnection: close\r\n\r\n", what);
    for (int i = 0; i < count; i++) {
        long long began = now();
        int fd = dial();
        if (fd < 0) die("connect");
        if (write(fd, request, length) != length) die("write");
        ssize_t total = 0, got;
        while ((got = read(fd, answer + total, sizeof answer - 1 - total)) > 0) total += got;
        answer[total] = 0;
        if (strncmp(answer, "HTTP/1.1 200", 12) != 0) {
            printf("not answered: %s\n", answer);
            exit(1);
        }
        close(fd);
        taken[i] = now() - began;
    }
    qsort(taken, count, sizeof *taken, ascending);
    printf("%lld %lld\n", taken[count / 2], taken[count - 1]);
    exit(0);
}

static int ask(int fd, const char *what) {
    char request[256], answer[4096];
    int status = 0;
    int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: lxd\r\n\r\n", what);
    if (write(fd, request, length) != length) return -1;
    ssize_t got = read(fd, answer, sizeof answer - 1);
    if (got <= 0) return -1;
    answer[got] = 0;
    sscanf(answer, "HTTP/1.1 %d", &status);
    return status;
}

static void twice(int wait, const char *what) {
    int fd = dial();
    if (fd < 0) die("connect");
    int first = ask(fd, what);
    usleep(wait * 1000);
    printf("%d %d\n", first, ask(fd, what));
    exit(0);
}

static void flood(int count, int wait, int talks) {
    struct rlimit limit = {4096, 4096};
    setrlimit(RLIMIT_NOFILE, &limit);
    signal(SIGPIPE, SIG_IGN);
    static const char request[] = "GET /1.0/meta-data HTTP/1.1\r\nHost: lxd\r\n\r\nGET /1.0/devices HTTP/1.1\r\nHost: lxd\r\n\r\n";
    int *fds = malloc(count * sizeof *fds);
    for (int i = 0; i < count; i++) fds[i] = -1;
    long long until = now() + wait * 1000LL;
    printf("begun\n");
    fflush(stdout);
    int alive = 0;
    do {
        alive = 0;
        for (int i = 0; i < count; i++) {
            if (fds[i] < 0) {
                fds[i] = dial();
                if (fds[i] >= 0) fcntl(fds[i], F_SETFL, O_NONBLOCK);
            }
            if (fds[i] < 0) continue;
            if (talks && send(fds[i], request, sizeof request - 1, MSG_NOSIGNAL) < 0 && errno != EAGAIN) {
                close(fds[i]);
                fds[i] = -1;
            }
            char byte;
            if (!talks && recv(fds[i], &byte, 1, MSG_PEEK) != -1) continue;
            alive++;
        }
        if (!talks) usleep(100000);
    } while (now() < until);
    printf("%d\n", alive);
    exit(0);
}

static void write_text(const char *file, const char *text) {
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) die(file);
    close(fd);
}

static void enter(int flags) {
    char map[64];
    uid_t uid = getuid();
    gid_t gid = getgid();
    if (unshare(flags) < 0) die("unshare");
    if (flags & CLONE_NEWUSER) {
        write_text("/proc/self/setgroups", "deny");
        snprintf(map, sizeof map, "0 %d 1", (int)uid);
        write_text("/proc/self/uid_map", map);
        snprintf(map, sizeof map, "0 %d 1", (int)gid);
        write_text("/proc/self/gid_map", map);
    }
    if (!(flags & CLONE_NEWPID)) return;
    pid_t pid = fork();
    if (pid < 0) die("fork");
    if (pid == 0) return;
    int status = 0;
    waitpid(pid, &status, 0);
    exit(WEXITSTATUS(status));
}

/* Whoever started it waits for the end of its output. */
static void orphan(void) {
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        if (pid < 0) die("fork");
        if (pid > 0) _exit(0);
        setsid();
    }
    while (getppid() != 1) usleep(1000);
}

/* One that has more to send than its other end takes. */
static int lingering(int seconds) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof at;
    struct linger linger = {.l_onoff = 1, .l_linger = seconds};
    char much[65536] = {0};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&at, length) < 0 || listen(listener, 1) < 0) die("listen");
    getsockname(listener, (struct sockaddr *)&at, &length);
    if (connect(fd, (struct sockaddr *)&at, length) < 0) die("connect by TCP");
    while (send(fd, much, sizeof much, MSG_DONTWAIT) > 0);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    return fd;
}

static void hand_over(int seconds) {
    int fd = lingering(seconds);
    union {
        char bytes[CMSG_SPACE(sizeof fd)];
        struct cmsghdr head;
    } control = {0};
    struct iovec part = {"G", 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    control.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    int to = dial();
    if (to < 0) die("connect");
    printf("%s\n", sendmsg(to, &message, 0) < 0 ? strerror(errno) : "sent");
    fflush(stdout);
    /* The last to close it waits: that shall be the other side, so this one goes only after a while, and at once. */
    close(fd);
    sleep(seconds);
    _exit(0);
}

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    path = argv[1];
    for (int i = 2; i < argc; i++) {
        const char *word = argv[i];
        if (strcmp(word, "as") == 0) {
            int uid = atoi(argv[++i]);
            setgroups(0, NULL);
            if (setgid(uid) < 0 || setuid(uid) < 0) die("setuid");
            prctl(PR_SET_DUMPABLE, 1);
        } else if (strcmp(word, "orphan") == 0) orphan();
        else if (strcmp(word, "newpid") == 0) enter(CLONE_NEWPID);
        else if (strcmp(word, "newuser") == 0) enter(CLONE_NEWUSER);
        else if (strcmp(word, "pidanduser") == 0) enter(CLONE_NEWUSER | CLONE_NEWPID);
        else if (strcmp(word, "raw") == 0) raw(atoi(argv[i + 1]));
        else if (strcmp(word, "time") == 0) measure(atoi(argv[i + 1]), argv[i + 2]);
        else if (strcmp(word, "twice") == 0) twice(atoi(argv[i + 1]), argv[i + 2]);
        else if (strcmp(word, "flood") == 0) flood(atoi(argv[i + 1]), atoi(argv[i + 2]), 1);
        else if (strcmp(word, "linger") == 0) hand_over(atoi(argv[i + 1]));
        else if (strcmp(word, "idle") == 0) flood(atoi(argv[i + 1]), atoi(argv[i + 2]), 0);
        else return 2;
    }
    return 2;
}
