/* `islet tree shift`: other owners for everything in a tree, in place. An error undoes what was done; whoever
 * was killed half way does the rest when it runs again, since what has been changed already is known by its
 * ids. */
#define _GNU_SOURCE
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

/* The attributes that have ids in them: the first is lost with a change of owner. */
static const char *const attributes[] = {"security.capability", "system.posix_acl_access",
                                         "system.posix_acl_default"};
enum { ATTRIBUTES = sizeof(attributes) / sizeof(attributes[0]), ROOM = TREE_DATA / ATTRIBUTES };

/* What becomes of them, in w->data: sizes, 0 where there is none. False: it has failed. */
static bool read_values(struct tree_worker *w, struct tree_node *n, const char *name, const char *number,
                        size_t sizes[ATTRIBUTES])
{
    struct tree_job *job = w->job;
    ssize_t size = listxattr(number, w->list, TREE_XATTR);

    memset(sizes, 0, ATTRIBUTES * sizeof(sizes[0]));
    if (size < 0 && errno != EOPNOTSUPP) {
        tree_fail(job, n, name, "list the attributes of", errno);
        return false;
    }
    for (const char *each = w->list; each < w->list + size; each += strlen(each) + 1) {
        for (int i = 0; i < ATTRIBUTES; i++) {
            char *value = w->data + (size_t)i * ROOM;
            ssize_t length = strcmp(each, attributes[i]) == 0 ? getxattr(number, each, value, TREE_XATTR) : 0;
            uint32_t bad = 0;

            if (length > 0)
                length = tree_value_ids(job, each, value, (size_t)length, &bad);
            if (length < 0) {
                tree_fail_id(job, n, name, "an id in an attribute:", bad);
                return false;
            }
            sizes[i] = (size_t)length + (size_t)(length == 0 ? sizes[i] : 0);
        }
    }
    return true;
}

/* 0 or -errno. */
static int change_owner(struct tree_worker *w, int fd, const struct tree_stat *stat, uint32_t uid,
                        uint32_t gid, const char *number, const size_t sizes[ATTRIBUTES])
{
    if (fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0)
        return -errno;
    if (!S_ISLNK(stat->mode) && (stat->mode & 06000) != 0 && chmod(number, stat->mode & 07777) < 0)
        return -errno;
    for (int i = 0; i < ATTRIBUTES; i++) {
        if (sizes[i] > 0 && setxattr(number, attributes[i], w->data + (size_t)i * ROOM, sizes[i], 0) < 0)
            return -errno;
    }
    return 0;
}

static void change_flags(struct tree_job *job, const char *number, const struct tree_stat *stat, bool set)
{
    const unsigned flags = (unsigned)stat->attributes & (TREE_IMMUTABLE | TREE_APPEND);
    int fd = S_ISREG(stat->mode) || S_ISDIR(stat->mode)
                 ? openat(job->proc, number, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
                 : -1;

    if (fd < 0)
        return;
    tree_flags(fd, set ? flags : 0, set ? 0 : flags);
    close(fd);
}

static void shift_one(struct tree_worker *w, struct tree_node *n, const char *name, int fd,
                      const struct tree_stat *stat)
{
    struct tree_job *job = w->job;
    size_t sizes[ATTRIBUTES];
    uint32_t uid = stat->uid, gid = stat->gid;
    char number[16];
    int error;

    snprintf(number, sizeof(number), "%d", fd);
    tree_stat_ids(job, n, name, stat, &uid, &gid);
    if (atomic_load(&job->stopped) || !read_values(w, n, name, number, sizes))
        return;
    if (uid == stat->uid && gid == stat->gid && sizes[0] + sizes[1] + sizes[2] == 0)
        return;
    error = change_owner(w, fd, stat, uid, gid, number, sizes);
    if (error == -EPERM && (stat->attributes & (TREE_IMMUTABLE | TREE_APPEND)) != 0) {
        change_flags(job, number, stat, false);
        error = change_owner(w, fd, stat, uid, gid, number, sizes);
        change_flags(job, number, stat, true);
    }
    if (error < 0)
        tree_fail(job, n, name, "give an owner to", -error);
}

static void shift_entry(struct tree_worker *w, struct tree_node *n, const char *name, unsigned type)
{
    struct tree_job *job = w->job;
    struct tree_link *link = NULL;
    struct tree_stat stat;
    bool is_first = true;
    int fd = type == DT_DIR ? -1 : openat(n->fds[0], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    int error = fd < 0 ? -errno : tree_stat(fd, "", &stat);

    atomic_fetch_add_explicit(&job->files, 1, memory_order_relaxed);
    if (type == DT_DIR || (error == 0 && S_ISDIR(stat.mode))) {
        struct tree_node *child = tree_child(job, n, name);

        if (child != NULL)
            tree_push(job, child);
    } else if (error < 0) {
        if (!tree_is_gone(-error))
            tree_fail(job, n, name, "look at", -error);
    } else if (!(stat.attributes & TREE_MOUNT_ROOT)) {
        if (stat.links > 1) {
            link = tree_links_find(job, &stat, &is_first);
            if (link == NULL)
                tree_fail(job, n, name, "take note of", ENOMEM);
        }
        if (is_first)
            shift_one(w, n, name, fd, &stat);
        if (link != NULL && is_first)
            tree_links_made(job, link, NULL, NULL);
        else if (link != NULL)
            tree_links_done(job, link);
    }
    if (fd >= 0)
        close(fd);
}

static bool shift_open(struct tree_worker *w, struct tree_node *n)
{
    const int fd = tree_open_below(n->parent->fds[0], n->name, O_RDONLY | O_DIRECTORY | O_NOATIME);

    if (fd < 0 && fd != -EXDEV && !tree_is_gone(-fd))
        tree_fail(w->job, n, NULL, "open", -fd);
    n->fds[0] = fd < 0 ? -1 : fd;
    n->is_dealt_with = fd < 0;
    return fd >= 0;
}

static bool shift_done(struct tree_worker *w, struct tree_node *n)
{
    struct tree_stat stat;
    int error;

    if (n->is_dealt_with)
        return false;
    error = tree_acquire(w->job, n);
    if (error == 0) {
        error = tree_stat(n->fds[0], "", &stat);
        if (error == 0)
            shift_one(w, n, NULL, n->fds[0], &stat);
        tree_release(w->job, n);
    }
    if (error < 0 && !tree_is_gone(-error))
        tree_fail(w->job, n, NULL, "look at", -error);
    return false;
}

static const struct tree_verb shift_verb = {1, false, shift_open, shift_entry, shift_done};

static void walk(struct tree_job *job)
{
    struct tree_node *top = tree_child(job, NULL, "");

    if (top == NULL)
        return;
    top->fds[0] = openat(TREE_FROM, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top->fds[0] < 0) {
        tree_fail(job, NULL, NULL, "open the directory", errno);
        return;
    }
    tree_walk(job, top, NULL);
}

/* Everything as it was; what is as it was already stays. */
static void undo(struct tree_job *job)
{
    char *error = strdup(job->error);
    const int number = job->error_number;
    struct tree_maps from = job->from;

    job->from = job->to;
    job->to = from;
    job->keeps_ids = true;
    job->error[0] = '\0';
    job->links = tree_links_new();
    atomic_store(&job->stopped, false);
    if (job->links != NULL)
        walk(job);
    job->error[strcspn(job->error, "\n")] = '\0';
    tree_end(error != NULL ? error : "cannot change the owners",
             job->links == NULL || atomic_load(&job->stopped) ? job->error : NULL, number);
}

void tree_shift(struct tree_job *job)
{
    job->verb = &shift_verb;
    job->is_shift = true;
    if (tree_maps_clash(job)) {
        tree_fail_words(job, NULL, NULL, "change the owners of files",
                        "ids of one map are ids of the other, too", EINVAL);
        return;
    }
    job->is_undone = true;
    walk(job);
    if (atomic_load(&job->stopped))
        undo(job);
    if (job->syncs && syncfs(TREE_FROM) < 0)
        tree_fail(job, NULL, NULL, "write to the disk", errno);
}
