/* The words of `islet tree VERB NAME=VALUE...`, what it says on the way, and how it ends. Descriptor 3 is the
 * directory to take from (to remove from, to change), 4 the one to copy to, 5 takes lines of how far it is:
 * "at FILES BYTES", at the end "done FILES BYTES", or "error ERRNO" after one line on standard error. */
#define _GNU_SOURCE
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum { PROC_MAGIC = 0x9fa0, PAUSE_MS = 100 };

static void put(int fd, const char *text)
{
    ssize_t unused = write(fd, text, strlen(text));

    (void)unused;
}

static void put_progress(struct tree_job *job, const char *word)
{
    char line[96];

    snprintf(line, sizeof(line), "%s %llu %llu\n", word, atomic_load(&job->files), atomic_load(&job->bytes));
    put(TREE_PROGRESS, line);
}

void tree_tick(struct tree_job *job)
{
    struct timespec now;
    unsigned long long ms, last = atomic_load_explicit(&job->reported, memory_order_relaxed);

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    ms = (unsigned long long)now.tv_sec * 1000 + (unsigned long long)now.tv_nsec / 1000000;
    if (ms - last >= PAUSE_MS && atomic_compare_exchange_strong(&job->reported, &last, ms) && last != 0)
        put_progress(job, "at");
}

void tree_path(const struct tree_node *n, const char *name, char *path, size_t size)
{
    size_t at = size - 1;

    path[at] = '\0';
    for (; name != NULL || (n != NULL && n->parent != NULL); name = NULL) {
        const char *part = name;
        size_t length;

        if (part == NULL) {
            part = n->name;
            n = n->parent;
        }
        length = strlen(part);
        if (length + 1 > at)
            break;
        if (path[at] != '\0')
            path[--at] = '/';
        at -= length;
        memcpy(path + at, part, length);
    }
    memmove(path, path + at, size - at);
}

/* One character, UTF-8 or not, made fit to be shown; how many bytes it was. */
static size_t show_character(const unsigned char *from, char *to, size_t room)
{
    const unsigned char c = from[0];
    size_t length = c < 0x80                ? 1
                    : c >= 0xc2 && c < 0xe0 ? 2
                    : c >= 0xe0 && c < 0xf0 ? 3
                    : c >= 0xf0 && c < 0xf5 ? 4
                                            : 0;

    for (size_t i = 1; i < length; i++) {
        if ((from[i] & 0xc0) != 0x80)
            length = 0;
    }
    /* C1, too long ones, surrogates, beyond the end. */
    if ((c == 0xc2 && length == 2 && from[1] < 0xa0) || (c == 0xe0 && length == 3 && from[1] < 0xa0) ||
        (c == 0xed && length == 3 && from[1] >= 0xa0) || (c == 0xf0 && length == 4 && from[1] < 0x90) ||
        (c == 0xf4 && length == 4 && from[1] >= 0x90))
        length = 0;
    if (length == 0 || c < 0x20 || c == 0x7f || c == '\\') {
        snprintf(to, room, "\\x%02x", c);
        return 1;
    }
    memcpy(to, from, length);
    to[length] = '\0';
    return length;
}

static void show_path(const char *path, char *out, size_t size)
{
    size_t at = 0;

    for (const unsigned char *next = (const unsigned char *)path; *next != '\0' && at + 8 < size;) {
        next += show_character(next, out + at, 8);
        at += strlen(out + at);
    }
    out[at] = '\0';
}

_Noreturn void tree_end(const char *error, const char *more, int number)
{
    char line[4400];

    /* One line. */
    snprintf(line, sizeof(line), "%.*s%s%s\n", (int)strcspn(error, "\n"), error,
             more != NULL ? "; giving everything back failed as well: " : "", more != NULL ? more : "");
    put(STDERR_FILENO, line);
    snprintf(line, sizeof(line), "error %d\n", number);
    put(TREE_PROGRESS, line);
    _exit(1);
}

void tree_fail_words(struct tree_job *job, const struct tree_node *n, const char *name, const char *what,
                     const char *why, int error)
{
    static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER;
    char path[640], shown[1600], line[32];

    pthread_mutex_lock(&first);
    if (atomic_load(&job->stopped)) {
        pthread_mutex_unlock(&first);
        return;
    }
    tree_path(n, name, path, sizeof(path));
    show_path(path, shown, sizeof(shown));
    snprintf(job->error, sizeof(job->error), "cannot %s%s%s: %s\n", what, shown[0] != '\0' ? " " : "", shown,
             why);
    job->error_number = error;
    if (!job->is_undone) {
        /* Nobody else says anything: the lock stays. */
        put(STDERR_FILENO, job->error);
        snprintf(line, sizeof(line), "error %d\n", error);
        put(TREE_PROGRESS, line);
        _exit(1);
    }
    atomic_store(&job->stopped, true);
    pthread_mutex_unlock(&first);
    pthread_mutex_lock(&job->lock);
    pthread_cond_broadcast(&job->changed);
    pthread_mutex_unlock(&job->lock);
}

void tree_fail(struct tree_job *job, const struct tree_node *n, const char *name, const char *what, int error)
{
    tree_fail_words(job, n, name, what, strerror(error), error);
}

/* The value of the word if it has that name. */
static const char *value_of(const char *word, const char *name)
{
    size_t length = strlen(name);

    return strncmp(word, name, length) == 0 && word[length] == '=' ? word + length + 1 : NULL;
}

static int take_word(struct tree_job *job, const char *word)
{
    const char *value;

    if ((value = value_of(word, "parent")) != NULL)
        return (job->parent = (pid_t)strtol(value, NULL, 10)) > 0 ? 0 : -1;
    if ((value = value_of(word, "threads")) != NULL)
        return (job->threads = (int)strtol(value, NULL, 10)) > 0 && job->threads <= TREE_MAX_THREADS ? 0 : -1;
    if ((value = value_of(word, "from")) != NULL)
        return tree_maps_read(value, &job->from);
    if ((value = value_of(word, "to")) != NULL)
        return tree_maps_read(value, &job->to);
    if ((value = value_of(word, "leave-out")) != NULL) {
        job->skips[job->skip_count++] = value;
        return 0;
    }
    if ((value = value_of(word, "name")) != NULL) {
        job->name = value;
        return value[0] != '\0' && strchr(value, '/') == NULL && strcmp(value, ".") != 0 &&
                       strcmp(value, "..") != 0
                   ? 0
                   : -1;
    }
    if (strcmp(word, "unmapped=keep") == 0) {
        job->keeps_ids = true;
        return 0;
    }
    if (strcmp(word, "sync=yes") == 0) {
        job->syncs = true;
        return 0;
    }
    return -1;
}

static int usage(const char *word)
{
    put(STDERR_FILENO, "islet: tree is for islet's own use: it does not know ");
    put(STDERR_FILENO, word);
    put(STDERR_FILENO, "\n");
    return 2;
}

/* Ends with whoever started it. */
static void follow_parent(pid_t parent)
{
    if (parent == 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
}

int tree_main(int argc, char **argv)
{
    static struct tree_job job;
    struct statfs kind;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    int is_copy;

    job.threads = online < 1 ? 1 : online > TREE_MAX_THREADS ? TREE_MAX_THREADS : (int)online;
    job.skips = calloc((size_t)argc, sizeof(char *));
    job.links = tree_links_new();
    if (argc < 2 || job.skips == NULL || job.links == NULL)
        return usage("what to do");
    for (int i = 2; i < argc; i++) {
        if (take_word(&job, argv[i]) < 0)
            return usage(argv[i]);
    }
    is_copy = strcmp(argv[1], "copy") == 0;
    signal(SIGPIPE, SIG_IGN);
    follow_parent(job.parent);
    for (int fd = TREE_FROM; fd <= TREE_PROGRESS; fd++) {
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 && (fd != TREE_TO || is_copy))
            return usage("what it is about: it needs descriptors 3 to 5");
    }
    pthread_mutex_init(&job.lock, NULL);
    pthread_cond_init(&job.changed, NULL);
    tree_walk_begin(&job);
    job.proc = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (job.proc < 0 || fstatfs(job.proc, &kind) < 0 || kind.f_type != PROC_MAGIC || fchdir(job.proc) < 0)
        tree_fail_words(&job, NULL, NULL, "use /proc", "it is not mounted", ENOENT);
    if (is_copy)
        tree_copy(&job);
    else if (strcmp(argv[1], "remove") == 0 && job.name != NULL)
        tree_remove(&job);
    else if (strcmp(argv[1], "shift") == 0)
        tree_shift(&job);
    else
        return usage(argv[1]);
    put_progress(&job, "done");
    /* Nothing is given back one by one. */
    _exit(0);
}
