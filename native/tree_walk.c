/* How several threads go through a tree: a stack of directories to be listed, the last one found first, so
 * that there are never many; each listed in parts, so that several share a large one. The descriptors of
 * directories that nobody uses right now stay open only up to a number; beyond it they are closed, and opened
 * again by the names that lead there. */
#define _GNU_SOURCE
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { RESOLVE_BENEATH_ETC = 0x01 | 0x02 | 0x04 | 0x08 }; /* NO_XDEV, NO_MAGICLINKS, NO_SYMLINKS, BENEATH */
enum { MOST_IDLE = 1024, MOST_PATH = 4000, OWN_FDS = 128 };

struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t length;
    uint8_t type;
    char name[];
};

struct how {
    uint64_t flags, mode, resolve;
};

int tree_open_below(int dir, const char *path, uint64_t flags)
{
    struct how how = {.flags = flags | O_CLOEXEC | O_NOFOLLOW, .resolve = RESOLVE_BENEATH_ETC};
    int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));

    /* Only an owner may leave the time of access as it is. */
    if (fd < 0 && errno == EPERM && (flags & O_NOATIME)) {
        how.flags &= ~(uint64_t)O_NOATIME;
        fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
    }
    for (int tries = 0; fd < 0 && errno == EAGAIN && tries < 100; tries++)
        fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
    return fd < 0 ? -errno : fd;
}

int tree_stat(int dir, const char *name, struct tree_stat *out)
{
    enum { BASIC = 0x7ff, BORN = 0x800, NO_AUTOMOUNT = 0x800, EMPTY = 0x1000 };
    int flags = AT_SYMLINK_NOFOLLOW | NO_AUTOMOUNT | (name[0] == '\0' ? EMPTY : 0);

    return syscall(SYS_statx, dir, name, flags, BASIC | BORN, out) < 0 ? -errno : 0;
}

/* Somebody was quicker: it is not there any more, or is something else now. */
bool tree_is_gone(int error)
{
    return error == ENOENT || error == ENOTDIR || error == ELOOP || error == ESTALE;
}

static const uint64_t side_flags[2] = {O_RDONLY | O_DIRECTORY | O_NOATIME, O_RDONLY | O_DIRECTORY};

static void forget_idle(struct tree_job *job, struct tree_node *n)
{
    if (!n->is_idle)
        return;
    *(n->older != NULL ? &n->older->newer : &job->oldest) = n->newer;
    *(n->newer != NULL ? &n->newer->older : &job->newest) = n->older;
    n->older = n->newer = NULL;
    n->is_idle = false;
    job->idle--;
}

static void close_node(struct tree_node *n)
{
    for (int side = 0; side < 2; side++) {
        if (n->fds[side] >= 0)
            close(n->fds[side]);
        n->fds[side] = -1;
    }
}

static void make_idle(struct tree_job *job, struct tree_node *n)
{
    n->older = job->newest;
    *(job->newest != NULL ? &job->newest->newer : &job->oldest) = n;
    job->newest = n;
    n->is_idle = true;
    job->idle++;
    while (job->idle > job->idle_limit) {
        struct tree_node *oldest = job->oldest;

        forget_idle(job, oldest);
        close_node(oldest);
    }
}

static bool is_open(const struct tree_job *job, const struct tree_node *n)
{
    for (int side = 0; side < job->verb->sides; side++) {
        if (n->fds[side] < 0)
            return false;
    }
    return true;
}

/* One step, or as many as one call takes, down from `at` towards chain[0]; the descriptors of where that
 * ends. */
static int step_down(struct tree_job *job, struct tree_node *const *chain, unsigned *left, unsigned stay,
                     const int at[2], int out[2])
{
    char path[MOST_PATH + 256];
    size_t length = 0;

    do {
        const char *name = chain[--*left]->name;
        size_t size = strlen(name);

        if (length > 0)
            path[length++] = '/';
        memcpy(path + length, name, size + 1);
        length += size;
    } while (*left > stay && length + 2 < MOST_PATH);
    for (int side = 0; side < job->verb->sides; side++) {
        out[side] = tree_open_below(at[side], path, side_flags[side]);
        if (out[side] < 0) {
            int error = out[side];

            out[side] = -1;
            if (side == 1)
                close(out[0]);
            out[0] = -1;
            return error;
        }
    }
    return 0;
}

/* With the lock. Those above it that will be wanted next stay open, too. */
static int reopen(struct tree_job *job, struct tree_node *n)
{
    unsigned count = 0, left, stay = job->idle_limit / 2;
    struct tree_node *from = n;
    struct tree_node **chain;
    int at[2], is_passing = 0, error = 0;

    for (; !is_open(job, from); from = from->parent)
        count++;
    chain = malloc(count * sizeof(struct tree_node *));
    if (chain == NULL)
        return -ENOMEM;
    from = n;
    for (unsigned i = 0; i < count; i++, from = from->parent)
        chain[i] = from;
    memcpy(at, from->fds, sizeof(at));
    for (left = count; left > 0 && error == 0;) {
        int next[2] = {-1, -1};

        error = step_down(job, chain, &left, left > stay ? stay : left - 1, at, next);
        for (int side = 0; is_passing && side < job->verb->sides; side++)
            close(at[side]);
        if (error < 0)
            break;
        memcpy(at, next, sizeof(at));
        is_passing = left > stay;
        if (!is_passing) {
            struct tree_node *here = chain[left];

            memcpy(here->fds, next, sizeof(next));
            if (left > 0)
                make_idle(job, here);
        }
    }
    if (error == 0 && n->offset > 0)
        lseek(n->fds[0], n->offset, SEEK_SET);
    free((void *)chain);
    return error;
}

int tree_acquire(struct tree_job *job, struct tree_node *n)
{
    int error = 0;

    pthread_mutex_lock(&job->lock);
    forget_idle(job, n);
    n->users++;
    if (!is_open(job, n)) {
        error = reopen(job, n);
        if (error < 0)
            n->users--;
    }
    pthread_mutex_unlock(&job->lock);
    return error;
}

/* With the lock. */
static void settle(struct tree_job *job, struct tree_node *n)
{
    if (n->users > 0)
        return;
    if (n->uses > 0) {
        if (!n->is_idle && is_open(job, n))
            make_idle(job, n);
        return;
    }
    forget_idle(job, n);
    close_node(n);
}

void tree_release(struct tree_job *job, struct tree_node *n)
{
    pthread_mutex_lock(&job->lock);
    n->users--;
    settle(job, n);
    pthread_mutex_unlock(&job->lock);
}

/* With the lock. */
static void unref(struct tree_job *job, struct tree_node *n)
{
    while (n != NULL && --n->refs == 0) {
        struct tree_node *parent = n->parent;

        forget_idle(job, n);
        close_node(n);
        free(n);
        n = parent;
    }
}

void tree_hold(struct tree_job *job, struct tree_node *n)
{
    pthread_mutex_lock(&job->lock);
    n->refs++;
    pthread_mutex_unlock(&job->lock);
}

void tree_drop(struct tree_job *job, struct tree_node *n)
{
    pthread_mutex_lock(&job->lock);
    unref(job, n);
    pthread_mutex_unlock(&job->lock);
}

struct tree_node *tree_child(struct tree_job *job, struct tree_node *parent, const char *name)
{
    size_t size = strlen(name) + 1;
    struct tree_node *n = calloc(1, sizeof(*n) + size);

    if (n == NULL) {
        tree_fail(job, parent, name, "take note of", ENOMEM);
        return NULL;
    }
    memcpy(n->name, name, size);
    n->parent = parent;
    n->fds[0] = n->fds[1] = -1;
    n->refs = 1;
    n->uses = 1;
    n->parts = 1;
    if (parent != NULL) {
        n->depth = parent->depth + 1;
        pthread_mutex_lock(&job->lock);
        parent->refs++;
        parent->uses++;
        if (job->verb->whole)
            parent->parts++;
        pthread_mutex_unlock(&job->lock);
    }
    return n;
}

static void *help(void *data);

struct tree_worker *tree_worker(struct tree_job *job)
{
    struct tree_worker *w = malloc(sizeof(*w));

    if (w != NULL)
        w->job = job;
    return w;
}

void tree_push(struct tree_job *job, struct tree_node *n)
{
    pthread_mutex_lock(&job->lock);
    n->next = job->stack;
    job->stack = n;
    if (job->waiting > 0) {
        pthread_cond_signal(&job->changed);
    } else if (job->running < job->threads) {
        /* Without help it takes longer, that is all. */
        struct tree_worker *w = tree_worker(job);

        if (w != NULL && pthread_create(&job->helpers[job->running], NULL, help, w) == 0)
            job->running++;
        else
            free(w);
    }
    pthread_mutex_unlock(&job->lock);
}

/* A part of a directory is done; with the last one the directory is, and with it perhaps those above. */
static void part_done(struct tree_worker *w, struct tree_node *n)
{
    struct tree_job *job = w->job;

    while (n != NULL) {
        struct tree_node *parent = n->parent;
        unsigned left;

        pthread_mutex_lock(&job->lock);
        left = --n->parts;
        pthread_mutex_unlock(&job->lock);
        if (left > 0 || atomic_load(&job->stopped))
            return;
        if (job->verb->done(w, n)) {
            n->parts = 1;
            n->offset = 0;
            tree_push(job, n);
            return;
        }
        if (!job->verb->whole)
            parent = NULL;
        pthread_mutex_lock(&job->lock);
        n->uses--;
        settle(job, n);
        if (parent != NULL) {
            parent->uses--;
            settle(job, parent);
        }
        unref(job, n);
        pthread_mutex_unlock(&job->lock);
        n = parent;
    }
}

static int by_inode(const void *one, const void *other)
{
    const struct entry *a = *(const struct entry *const *)one, *b = *(const struct entry *const *)other;

    return a->inode < b->inode ? -1 : a->inode > b->inode;
}

/* Names until the room is nearly full or the listing is over: its bytes, *is_over; or -errno. */
static ssize_t read_names(struct tree_worker *w, struct tree_node *n, bool *is_over)
{
    enum { LONGEST = 280 };
    size_t size = 0;

    *is_over = false;
    while (!*is_over && sizeof(w->names) - size >= LONGEST) {
        long got = syscall(SYS_getdents64, n->fds[0], w->names + size, sizeof(w->names) - size);

        if (got < 0)
            return -errno;
        *is_over = got == 0;
        for (long at = 0; at < got;) {
            const struct entry *each = (const struct entry *)(const void *)(w->names + size + at);

            n->offset = each->offset;
            at += each->length;
        }
        size += (size_t)got;
    }
    return (ssize_t)size;
}

static void do_entries(struct tree_worker *w, struct tree_node *n, size_t size)
{
    enum { SHORTEST = 24 };
    struct entry *entries[TREE_NAMES / SHORTEST];
    size_t count = 0;

    for (size_t at = 0; at < size;) {
        struct entry *each = (struct entry *)(void *)(w->names + at);

        at += each->length;
        if (strcmp(each->name, ".") != 0 && strcmp(each->name, "..") != 0)
            entries[count++] = each;
    }
    /* As they lie on the disk. */
    qsort((void *)entries, count, sizeof(entries[0]), by_inode);
    for (size_t i = 0; i < count && !atomic_load_explicit(&w->job->stopped, memory_order_relaxed); i++) {
        w->job->verb->entry(w, n, entries[i]->name, entries[i]->type);
        tree_tick(w->job);
    }
}

/* The first descriptors of a directory, from those of the one above, which may not be wanted any more then.
 * False: there is nothing to list. */
static bool open_first(struct tree_worker *w, struct tree_node *n)
{
    struct tree_job *job = w->job;
    struct tree_node *parent = n->parent;
    int error = tree_acquire(job, parent);
    bool is_open_now = false;

    n->was_opened = true;
    if (error == 0) {
        is_open_now = job->verb->open(w, n);
        tree_release(job, parent);
    } else if (!tree_is_gone(-error)) {
        tree_fail(job, parent, NULL, "open", -error);
    }
    if (!job->verb->whole) {
        pthread_mutex_lock(&job->lock);
        parent->uses--;
        settle(job, parent);
        pthread_mutex_unlock(&job->lock);
    }
    return is_open_now;
}

static void list(struct tree_worker *w, struct tree_node *n)
{
    struct tree_job *job = w->job;
    bool is_over = true;
    ssize_t size;

    if (!n->was_opened && !open_first(w, n)) {
        part_done(w, n);
        return;
    }
    size = tree_acquire(job, n);
    if (size == 0) {
        size = read_names(w, n, &is_over);
        if (!is_over && size > 0) {
            pthread_mutex_lock(&job->lock);
            n->parts++;
            pthread_mutex_unlock(&job->lock);
            tree_push(job, n);
        }
        if (size > 0)
            do_entries(w, n, (size_t)size);
        tree_release(job, n);
    }
    if (size < 0 && !tree_is_gone((int)-size))
        tree_fail(job, n, NULL, "list", (int)-size);
    part_done(w, n);
}

static void work(struct tree_worker *w)
{
    struct tree_job *job = w->job;

    pthread_mutex_lock(&job->lock);
    for (;;) {
        struct tree_node *n;

        while (job->stack == NULL && job->active > 0 && !atomic_load(&job->stopped)) {
            job->waiting++;
            pthread_cond_wait(&job->changed, &job->lock);
            job->waiting--;
        }
        n = job->stack;
        if (n == NULL || atomic_load(&job->stopped))
            break;
        job->stack = n->next;
        job->active++;
        pthread_mutex_unlock(&job->lock);
        list(w, n);
        pthread_mutex_lock(&job->lock);
        job->active--;
    }
    pthread_cond_broadcast(&job->changed);
    pthread_mutex_unlock(&job->lock);
}

static void *help(void *data)
{
    work(data);
    free(data);
    return NULL;
}

void tree_walk_begin(struct tree_job *job)
{
    struct rlimit limit;

    job->idle_limit = 64;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    if (limit.rlim_cur < 4096 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur > 2 * (MOST_IDLE + OWN_FDS))
        job->idle_limit = MOST_IDLE;
    else if (limit.rlim_cur > 2 * (64 + OWN_FDS))
        job->idle_limit = (unsigned)limit.rlim_cur / 2 - OWN_FDS;
}

void tree_walk(struct tree_job *job, struct tree_node *top, struct tree_node *first)
{
    struct tree_worker *w = tree_worker(job);

    if (w == NULL) {
        tree_fail(job, top, NULL, "begin with", ENOMEM);
        return;
    }
    job->top = top;
    top->was_opened = true;
    /* What all names lead from. */
    top->refs++;
    top->users++;
    job->running = 1;
    job->stack = first != NULL ? first : top;
    work(w);
    free(w);
    for (int i = 1; i < job->running; i++)
        pthread_join(job->helpers[i], NULL);
    job->running = 0;
    job->stack = NULL;
    while (job->oldest != NULL) {
        struct tree_node *oldest = job->oldest;

        forget_idle(job, oldest);
        close_node(oldest);
    }
}
