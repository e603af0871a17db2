/* `islet tree copy`: everything below one directory into another, with all that files have. */
#define _GNU_SOURCE
#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Flags that would keep other names of the same file from being made: set at the end. */
struct tree_late {
    struct tree_late *next;
    struct tree_node *node;
    unsigned flags;
    char name[];
};

static bool is_skipped(struct tree_job *job, const struct tree_node *n, const char *name)
{
    char path[4352];

    tree_path(n, name, path, sizeof(path));
    for (int i = 0; i < job->skip_count; i++) {
        if (strcmp(job->skips[i], path) == 0)
            return true;
    }
    return false;
}

/* Is anything below it left out? */
static bool leads_to_skip(struct tree_job *job, const struct tree_node *n)
{
    char path[4352];
    size_t length;

    tree_path(n, NULL, path, sizeof(path));
    length = strlen(path);
    for (int i = 0; i < job->skip_count; i++) {
        if (strncmp(job->skips[i], path, length) == 0 && job->skips[i][length] == '/')
            return true;
    }
    return false;
}

static void set_times(struct tree_worker *w, struct tree_node *n, const char *name, int fd,
                      const char *at_name, const struct tree_stat *stat)
{
    const struct timespec times[2] = {{stat->accessed.seconds, stat->accessed.nanoseconds},
                                      {stat->modified.seconds, stat->modified.nanoseconds}};

    if ((at_name != NULL ? utimensat(fd, at_name, times, AT_SYMLINK_NOFOLLOW) : futimens(fd, times)) < 0)
        tree_fail(w->job, n, name, "set the times of", errno);
}

static void flags_later(struct tree_worker *w, struct tree_node *n, const char *name, unsigned flags)
{
    struct tree_job *job = w->job;
    struct tree_late *late = malloc(sizeof(*late) + strlen(name) + 1);

    if (late == NULL) {
        tree_fail(job, n, name, "take note of", ENOMEM);
        return;
    }
    late->node = n;
    late->flags = flags;
    memcpy(late->name, name, strlen(name) + 1);
    tree_hold(job, n);
    pthread_mutex_lock(&job->lock);
    late->next = job->late;
    job->late = late;
    pthread_mutex_unlock(&job->lock);
}

static void set_flags(struct tree_job *job, struct tree_node *n, const char *name, int fd, unsigned flags)
{
    int error = tree_flags(fd, flags, 0);

    if (error < 0 && error != -EOPNOTSUPP && error != -ENOTTY)
        tree_fail(job, n, name, "set the flags of", -error);
}

static void copy_directory(struct tree_worker *w, struct tree_node *n, const char *name)
{
    struct tree_job *job = w->job;
    struct tree_node *child;

    if (mkdirat(n->fds[1], name, 0700) < 0) {
        /* Listed twice, while it changes; or a new file system's own. */
        if (errno != EEXIST)
            tree_fail(job, n, name, "make the directory", errno);
        if (errno != EEXIST || n->parent != NULL || strcmp(name, "lost+found") != 0)
            return;
    }
    child = tree_child(job, n, name);
    if (child == NULL)
        return;
    child->has_skips = n->has_skips && leads_to_skip(job, child);
    tree_push(job, child);
}

static void copy_regular(struct tree_worker *w, struct tree_node *n, const char *name, int path,
                         const struct tree_stat *stat, struct tree_link *link)
{
    struct tree_job *job = w->job;
    const bool is_mount = (stat->attributes & TREE_MOUNT_ROOT) != 0;
    const uint64_t size = is_mount ? 0 : stat->size;
    const unsigned mode = stat->mode & 07777, flags = (unsigned)stat->attributes & TREE_KEPT_FLAGS;
    uint32_t uid = 0, gid = 0;
    char number[16];
    int from = -1, to;

    tree_stat_ids(job, n, name, stat, &uid, &gid);
    to = openat(n->fds[1], name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_LARGEFILE,
                mode & 0777);
    if (to < 0 && errno != EEXIST)
        tree_fail(job, n, name, "make", errno);
    if (link != NULL)
        tree_links_made(job, link, to < 0 ? NULL : n, to < 0 ? NULL : name);
    if (to < 0)
        return;
    snprintf(number, sizeof(number), "%d", path);
    if (size > 0) {
        /* What `path` leads to is a file: it has been looked at. */
        from = openat(job->proc, number, O_RDONLY | O_NOATIME | O_NONBLOCK | O_CLOEXEC | O_LARGEFILE);
        if (from < 0 && errno == EPERM)
            from = openat(job->proc, number, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_LARGEFILE);
        if (from < 0)
            tree_fail(job, n, name, "open", errno);
        else
            tree_copy_data(w, n, name, from, to, stat);
    }
    if ((uid != job->uid || gid != job->gid) && fchown(to, uid, gid) < 0)
        tree_fail(job, n, name, "give an owner to", errno);
    if ((mode & ~0777u) != 0 && fchmod(to, mode) < 0)
        tree_fail(job, n, name, "set the mode of", errno);
    if (!is_mount)
        tree_attributes(w, n, name, from < 0 ? path : from, from < 0, to, false);
    set_times(w, n, name, to, NULL, stat);
    if (flags != 0 && !is_mount) {
        if (stat->links > 1)
            flags_later(w, n, name, flags);
        else
            set_flags(job, n, name, to, flags);
    }
    close(to);
    if (from >= 0)
        close(from);
}

/* Links, devices, fifos, sockets. */
static void copy_special(struct tree_worker *w, struct tree_node *n, const char *name, int path,
                         const struct tree_stat *stat, struct tree_link *link)
{
    struct tree_job *job = w->job;
    const int dir = n->fds[1];
    uint32_t uid = 0, gid = 0;
    ssize_t length;
    int made;

    tree_stat_ids(job, n, name, stat, &uid, &gid);
    if (S_ISLNK(stat->mode)) {
        length = readlinkat(path, "", w->data, TREE_DATA - 1);
        if (length < 0) {
            tree_fail(job, n, name, "read the link", errno);
            return;
        }
        w->data[length] = '\0';
        made = symlinkat(w->data, dir, name);
    } else {
        made = mknodat(dir, name, stat->mode, makedev(stat->rdev_major, stat->rdev_minor));
    }
    if (made < 0 && errno != EEXIST)
        tree_fail(job, n, name, "make", errno);
    if (link != NULL)
        tree_links_made(job, link, made < 0 ? NULL : n, made < 0 ? NULL : name);
    if (made < 0)
        return;
    if ((uid != job->uid || gid != job->gid) && fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
        tree_fail(job, n, name, "give an owner to", errno);
    if (!S_ISLNK(stat->mode) && (stat->mode & 07000) != 0 && fchmodat(dir, name, stat->mode & 07777, 0) < 0)
        tree_fail(job, n, name, "set the mode of", errno);
    snprintf(w->data, 16, "%d", path);
    if (!(stat->attributes & TREE_MOUNT_ROOT) && listxattr(w->data, w->list, TREE_XATTR) > 0) {
        int to = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

        if (to < 0)
            tree_fail(job, n, name, "open", errno);
        else
            tree_attributes(w, n, name, path, true, to, true);
        close(to);
    }
    set_times(w, n, name, dir, name, stat);
}

/* True: it is another name of what is there already. */
static bool copy_link(struct tree_worker *w, struct tree_node *n, const char *name, struct tree_link *link)
{
    struct tree_job *job = w->job;
    const char *other;
    struct tree_node *where = tree_link_node(link, &other);
    int error;

    if (where == NULL)
        return false;
    error = where != n ? tree_acquire(job, where) : 0;
    if (error == 0 && linkat(where->fds[1], other, n->fds[1], name, 0) < 0 && errno != EEXIST)
        error = -errno;
    if (error < 0)
        tree_fail(job, n, name, "link", -error);
    else if (where != n)
        tree_release(job, where);
    return true;
}

static void copy_entry(struct tree_worker *w, struct tree_node *n, const char *name, unsigned type)
{
    struct tree_job *job = w->job;
    struct tree_stat stat;
    struct tree_link *link = NULL;
    bool is_first = true, is_linked = false;
    int path, error;

    if (n->has_skips && is_skipped(job, n, name))
        return;
    atomic_fetch_add_explicit(&job->files, 1, memory_order_relaxed);
    if (type == DT_DIR) {
        copy_directory(w, n, name);
        return;
    }
    path = openat(n->fds[0], name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    error = path < 0 ? -errno : tree_stat(path, "", &stat);
    if (error < 0) {
        if (!tree_is_gone(-error))
            tree_fail(job, n, name, "look at", -error);
    } else if (S_ISDIR(stat.mode)) {
        copy_directory(w, n, name);
    } else {
        if (stat.links > 1 && !(stat.attributes & TREE_MOUNT_ROOT)) {
            link = tree_links_find(job, &stat, &is_first);
            if (link == NULL)
                tree_fail(job, n, name, "take note of", ENOMEM);
            else if (!is_first)
                is_linked = copy_link(w, n, name, link);
        }
        if (is_linked)
            ;
        else if (S_ISREG(stat.mode))
            copy_regular(w, n, name, path, &stat, is_first ? link : NULL);
        else
            copy_special(w, n, name, path, &stat, is_first ? link : NULL);
        if (!is_first)
            tree_links_done(job, link);
    }
    if (path >= 0)
        close(path);
}

static void finish_directory(struct tree_worker *w, struct tree_node *n, bool is_mount)
{
    struct tree_job *job = w->job;
    const struct tree_stat *stat = &n->stat;
    const int to = n->fds[1];
    const unsigned flags = (unsigned)stat->attributes & TREE_KEPT_FLAGS;
    uint32_t uid = 0, gid = 0;

    if (is_mount) {
        /* Whose it was is not to be seen; what is mounted there may belong to anybody. */
        tree_id(job, TREE_UID, 0, &uid);
        tree_id(job, TREE_GID, 0, &gid);
    } else {
        tree_stat_ids(job, n, NULL, stat, &uid, &gid);
    }
    if ((n->parent == NULL || uid != job->uid || gid != job->gid) && fchown(to, uid, gid) < 0)
        tree_fail(job, n, NULL, "give an owner to", errno);
    if (fchmod(to, stat->mode & 07777) < 0)
        tree_fail(job, n, NULL, "set the mode of", errno);
    if (!is_mount)
        tree_attributes(w, n, NULL, n->fds[0], false, to, false);
    set_times(w, n, NULL, to, NULL, stat);
    if (flags != 0 && !is_mount)
        set_flags(job, n, NULL, to, flags);
}

static bool copy_open(struct tree_worker *w, struct tree_node *n)
{
    struct tree_job *job = w->job;
    const int *above = n->parent->fds;
    const int from = tree_open_below(above[0], n->name, O_RDONLY | O_DIRECTORY | O_NOATIME);
    int error;

    if (from < 0 && tree_is_gone(-from)) {
        unlinkat(above[1], n->name, AT_REMOVEDIR);
        return false;
    }
    if (from < 0 && from != -EXDEV) {
        tree_fail(job, n, NULL, "open", -from);
        return false;
    }
    n->fds[1] = tree_open_below(above[1], n->name, O_RDONLY | O_DIRECTORY);
    error = n->fds[1];
    if (error >= 0)
        error = from >= 0 ? tree_stat(from, "", &n->stat) : tree_stat(above[0], n->name, &n->stat);
    n->fds[0] = from >= 0 ? from : -1;
    if (error < 0) {
        tree_fail(job, n, NULL, "open", -error);
        return false;
    }
    if (from >= 0)
        return true;
    finish_directory(w, n, true);
    n->stat.mask = 0;
    return false;
}

static bool copy_done(struct tree_worker *w, struct tree_node *n)
{
    int error;

    /* There was nothing to list, and nothing more is to be done; or it stays shut until everything is. */
    if (n->stat.mask == 0 || n->parent == NULL)
        return false;
    error = tree_acquire(w->job, n);
    if (error < 0) {
        if (!tree_is_gone(-error))
            tree_fail(w->job, n, NULL, "open", -error);
        return false;
    }
    finish_directory(w, n, false);
    tree_release(w->job, n);
    return false;
}

/* Nobody looks into it while it is made, and nothing in it gets an owner or rights from it. */
static void prepare_target(struct tree_job *job, struct tree_node *top)
{
    DIR *listing = fdopendir(fcntl(top->fds[1], F_DUPFD_CLOEXEC, 0));
    const struct dirent *each;

    while (listing != NULL && (each = readdir(listing)) != NULL) {
        if (strcmp(each->d_name, ".") != 0 && strcmp(each->d_name, "..") != 0 &&
            strcmp(each->d_name, "lost+found") != 0) {
            tree_fail_words(job, NULL, NULL, "copy into the directory", "it is not empty", ENOTEMPTY);
            return;
        }
    }
    if (listing == NULL) {
        tree_fail(job, NULL, NULL, "list the target", errno);
        return;
    }
    closedir(listing);
    if (fchown(top->fds[1], job->uid, job->gid) < 0 || fchmod(top->fds[1], 0700) < 0)
        tree_fail(job, NULL, NULL, "write into the target", errno);
    fremovexattr(top->fds[1], "system.posix_acl_default");
    fremovexattr(top->fds[1], "system.posix_acl_access");
}

static void set_late_flags(struct tree_job *job)
{
    for (struct tree_late *late = job->late; late != NULL; late = late->next) {
        int error = tree_acquire(job, late->node), fd;

        if (error == 0) {
            fd = openat(late->node->fds[1], late->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
            if (fd >= 0)
                set_flags(job, late->node, late->name, fd, late->flags);
            error = fd < 0 ? -errno : 0;
            close(fd);
            tree_release(job, late->node);
        }
        if (error < 0)
            tree_fail(job, late->node, late->name, "set the flags of", -error);
    }
}

static const struct tree_verb copy_verb = {2, false, copy_open, copy_entry, copy_done};

void tree_copy(struct tree_job *job)
{
    struct tree_node *top = tree_child(job, NULL, "");
    struct tree_worker *w;
    int error;

    if (top == NULL)
        return;
    job->verb = &copy_verb;
    umask(0);
    job->uid = geteuid();
    job->gid = getegid();
    top->fds[0] = openat(TREE_FROM, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC);
    if (top->fds[0] < 0 && errno == EPERM)
        top->fds[0] = openat(TREE_FROM, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    error = top->fds[0] < 0 ? -errno : tree_stat(top->fds[0], "", &top->stat);
    if (error < 0)
        tree_fail(job, NULL, NULL, "open the source", -error);
    top->fds[1] = openat(TREE_TO, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (top->fds[1] < 0)
        tree_fail(job, NULL, NULL, "open the target", errno);
    prepare_target(job, top);
    top->has_skips = job->skip_count > 0;
    tree_walk(job, top, NULL);
    set_late_flags(job);
    w = tree_worker(job);
    if (w == NULL)
        tree_fail(job, NULL, NULL, "finish with", ENOMEM);
    else
        finish_directory(w, top, false);
    if (job->syncs && syncfs(top->fds[1]) < 0)
        tree_fail(job, NULL, NULL, "write to the disk", errno);
}
