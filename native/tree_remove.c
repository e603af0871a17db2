/* `islet tree remove`: a name and everything below it, of one file system. What is gone already is fine. */
#define _GNU_SOURCE
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { BTRFS_MAGIC = 0x9123683e, BTRFS_TOP_INODE = 256, MOST_TRIES = 20 };

/* linux/btrfs.h */
struct btrfs_name {
    int64_t fd;
    char name[4088];
};
#define BTRFS_DESTROY _IOW(0x94, 15, struct btrfs_name)
#define BTRFS_GET_SUBVOLUME_FLAGS _IOR(0x94, 25, uint64_t)
#define BTRFS_SET_SUBVOLUME_FLAGS _IOW(0x94, 26, uint64_t)
#define BTRFS_READ_ONLY (1ull << 1)

static const char mounted[] = "something is mounted there";

static void fail_remove(struct tree_job *job, const struct tree_node *n, const char *name, int error)
{
    if (error == EBUSY || error == EXDEV)
        tree_fail_words(job, n, name, "remove", mounted, EBUSY);
    else
        tree_fail(job, n, name, "remove", error);
}

static void clear_flags(struct tree_job *job, int dir, const char *name)
{
    int path = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), fd = -1;
    struct tree_stat stat;
    char number[16];

    if (path < 0)
        return;
    /* Others have no flags, and devices must not be opened. */
    if (tree_stat(path, "", &stat) == 0 && (S_ISREG(stat.mode) || S_ISDIR(stat.mode))) {
        snprintf(number, sizeof(number), "%d", path);
        fd = openat(job->proc, number, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    }
    if (fd >= 0) {
        tree_flags(fd, 0, TREE_IMMUTABLE | TREE_APPEND);
        close(fd);
    }
    close(path);
}

/* 0 or -errno. The directory's own flags, or the file's, may be in the way. */
static int unlink_it(struct tree_job *job, int dir, const char *name, int flags)
{
    int error;

    if (unlinkat(dir, name, flags) == 0 || errno == ENOENT)
        return 0;
    error = -errno;
    if (error != -EPERM && error != -EACCES)
        return error;
    tree_flags(dir, 0, TREE_IMMUTABLE | TREE_APPEND);
    clear_flags(job, dir, name);
    return unlinkat(dir, name, flags) == 0 || errno == ENOENT ? 0 : -errno;
}

static int btrfs_destroy(int dir, const char *name)
{
    struct btrfs_name *what = calloc(1, sizeof(*what));
    int error = -ENOMEM;

    if (what != NULL && strlen(name) < sizeof(what->name)) {
        memcpy(what->name, name, strlen(name) + 1);
        error = ioctl(dir, BTRFS_DESTROY, what) < 0 ? -errno : 0;
    }
    free(what);
    return error;
}

static bool is_subvolume(int fd, const struct tree_stat *stat)
{
    struct statfs kind;

    return stat->inode == BTRFS_TOP_INODE && fstatfs(fd, &kind) == 0 &&
           (unsigned long)kind.f_type == BTRFS_MAGIC;
}

static void add_directory(struct tree_job *job, struct tree_node *n, const char *name)
{
    struct tree_node *child = tree_child(job, n, name);

    if (child != NULL)
        tree_push(job, child);
}

static void remove_entry(struct tree_worker *w, struct tree_node *n, const char *name, unsigned type)
{
    struct tree_job *job = w->job;
    int error = type == DT_DIR ? -EISDIR : unlink_it(job, n->fds[0], name, 0);

    atomic_fetch_add_explicit(&job->files, 1, memory_order_relaxed);
    if (error == -EISDIR)
        add_directory(job, n, name);
    else if (error < 0)
        fail_remove(job, n, name, -error);
}

static bool remove_open(struct tree_worker *w, struct tree_node *n)
{
    struct tree_job *job = w->job;
    const int above = n->parent->fds[0];
    const int fd = tree_open_below(above, n->name, O_RDONLY | O_DIRECTORY);
    uint64_t flags = 0;

    if (fd == -ENOTDIR || fd == -ELOOP) {
        int error = unlink_it(job, above, n->name, 0);

        if (error < 0)
            fail_remove(job, n, NULL, -error);
        return false;
    }
    if (fd < 0) {
        if (!tree_is_gone(-fd))
            fail_remove(job, n, NULL, -fd);
        return false;
    }
    n->fds[0] = fd;
    if (tree_stat(fd, "", &n->stat) < 0 || !is_subvolume(fd, &n->stat))
        return true;
    /* At once, unless there are others in it. */
    n->is_dealt_with = btrfs_destroy(above, n->name) == 0;
    if (!n->is_dealt_with && ioctl(fd, BTRFS_GET_SUBVOLUME_FLAGS, &flags) == 0 && (flags & BTRFS_READ_ONLY)) {
        flags &= ~BTRFS_READ_ONLY;
        ioctl(fd, BTRFS_SET_SUBVOLUME_FLAGS, &flags);
    }
    return !n->is_dealt_with;
}

static bool remove_done(struct tree_worker *w, struct tree_node *n)
{
    struct tree_job *job = w->job;
    int error;

    if (n->is_dealt_with || n->parent == NULL)
        return false;
    error = tree_acquire(job, n->parent);
    if (error == 0) {
        error = unlink_it(job, n->parent->fds[0], n->name, AT_REMOVEDIR);
        if (error < 0 && error != -ENOTEMPTY && error != -EBUSY && n->stat.inode == BTRFS_TOP_INODE &&
            btrfs_destroy(n->parent->fds[0], n->name) == 0)
            error = 0;
        tree_release(job, n->parent);
    }
    /* Somebody adds to it, or the listing left something out. */
    if (error == -ENOTEMPTY && n->tries++ < MOST_TRIES)
        return true;
    if (error < 0 && !tree_is_gone(-error))
        fail_remove(job, n, NULL, -error);
    return false;
}

static const struct tree_verb remove_verb = {1, true, remove_open, remove_entry, remove_done};

/* One line of /proc/self/mountinfo: the mount point, its escapes undone in place. */
static char *mount_point(char *line)
{
    char *at = line, *to, *point;

    for (int field = 0; field < 4 && at != NULL; field++) {
        at = strchr(at, ' ');
        at = at != NULL ? at + 1 : NULL;
    }
    if (at == NULL)
        return NULL;
    for (point = to = at; *at != ' ' && *at != '\0'; to++) {
        unsigned code;

        if (at[0] == '\\' && sscanf(at + 1, "%3o", &code) == 1) {
            *to = (char)code;
            at += 4;
        } else {
            *to = *at++;
        }
    }
    *to = '\0';
    return point;
}

/* Before anything is touched: what is mounted below the name says so. */
static void refuse_mounts(struct tree_job *job, const char *name)
{
    char top[8192], number[16], *line = NULL;
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    size_t size = 0, length;
    ssize_t got;

    snprintf(number, sizeof(number), "%d", TREE_FROM);
    got = readlinkat(job->proc, number, top, sizeof(top) - 1);
    if (mounts == NULL || got < 0 || (size_t)got + strlen(name) + 2 > sizeof(top))
        return;
    top[got] = '\0';
    length =
        (size_t)snprintf(top + got, sizeof(top) - (size_t)got, got == 1 ? "%s" : "/%s", name) + (size_t)got;
    while (getline(&line, &size, mounts) > 0) {
        const char *point = mount_point(line);

        if (point != NULL && strncmp(point, top, length) == 0 &&
            (point[length] == '/' || point[length] == '\0'))
            tree_fail_words(job, NULL, point + (got == 1 ? 1 : got + 1), "remove", mounted, EBUSY);
    }
    free(line);
    fclose(mounts);
}

void tree_remove(struct tree_job *job)
{
    struct tree_node *top = tree_child(job, NULL, "");
    int error;

    if (top == NULL)
        return;
    job->verb = &remove_verb;
    top->fds[0] = openat(TREE_FROM, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top->fds[0] < 0) {
        tree_fail(job, NULL, NULL, "open the directory above", errno);
        return;
    }
    refuse_mounts(job, job->name);
    error = unlink_it(job, top->fds[0], job->name, 0);
    if (error == -EISDIR) {
        struct tree_node *first = tree_child(job, top, job->name);

        if (first != NULL)
            tree_walk(job, top, first);
    } else if (error < 0) {
        fail_remove(job, NULL, job->name, -error);
    }
}
