/* The bytes of a file: shared where the file system can, else copied, holes left out. */
#define _GNU_SOURCE
#include "tree.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CLONE_FILE _IOW(0x94, 9, int) /* FICLONE, linux/fs.h */

enum { LARGE = 1 << 20 };

/* In the kernel, for as long as that works; where it has come to, or -1. */
static int64_t copy_inside(struct tree_job *job, int from, int to, int64_t at, int64_t end)
{
    while (at < end && !atomic_load_explicit(&job->stopped, memory_order_relaxed)) {
        int64_t in = at, out = at;
        size_t most = end - at < (16 << 20) ? (size_t)(end - at) : 16 << 20;
        ssize_t got = syscall(SYS_copy_file_range, from, &in, to, &out, most, 0u);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == ENOSPC || errno == EIO || errno == EDQUOT || errno == EFBIG))
            return -1;
        if (got < 0)
            atomic_store(&job->no_range, true);
        if (got <= 0)
            break;
        at += got;
        atomic_fetch_add_explicit(&job->bytes, (unsigned long long)got, memory_order_relaxed);
        tree_tick(job);
    }
    return at;
}

/* False: it has failed. A file that is shorter than it was ends there. */
static bool copy_part(struct tree_worker *w, int from, int to, int64_t at, int64_t end)
{
    struct tree_job *job = w->job;

    if (end - at >= LARGE && !atomic_load_explicit(&job->no_range, memory_order_relaxed))
        at = copy_inside(job, from, to, at, end);
    while (at >= 0 && at < end) {
        size_t most = end - at < TREE_DATA ? (size_t)(end - at) : TREE_DATA;
        ssize_t got = pread(from, w->data, most, at);

        if (got == 0 || atomic_load_explicit(&job->stopped, memory_order_relaxed))
            return true;
        if (got < 0)
            return false;
        for (ssize_t done = 0; done < got;) {
            ssize_t put = pwrite(to, w->data + done, (size_t)(got - done), at + done);

            if (put < 0)
                return false;
            done += put;
        }
        at += got;
        atomic_fetch_add_explicit(&job->bytes, (unsigned long long)got, memory_order_relaxed);
        if (got == TREE_DATA)
            tree_tick(job);
    }
    return at >= 0;
}

static bool copy_between_holes(struct tree_worker *w, int from, int to, int64_t size)
{
    for (int64_t at = 0; at < size;) {
        off_t data = lseek(from, at, SEEK_DATA), hole;

        if (data < 0 && errno == ENXIO)
            break;
        /* Not every file system knows. */
        hole = data < 0 ? size : lseek(from, data, SEEK_HOLE);
        data = data < 0 ? at : data;
        if (hole < 0 || hole > size)
            hole = size;
        if (data >= size)
            break;
        if (!copy_part(w, from, to, data, hole))
            return false;
        if (hole <= at)
            break;
        at = hole;
    }
    return ftruncate(to, size) == 0;
}

static bool share(struct tree_job *job, int from, int to, uint64_t size)
{
    if (atomic_load_explicit(&job->no_clone, memory_order_relaxed))
        return false;
    if (ioctl(to, CLONE_FILE, from) == 0) {
        atomic_fetch_add_explicit(&job->bytes, size, memory_order_relaxed);
        return true;
    }
    if (errno == EOPNOTSUPP || errno == ENOTTY || errno == EXDEV)
        atomic_store(&job->no_clone, true);
    return false;
}

void tree_copy_data(struct tree_worker *w, struct tree_node *n, const char *name, int from, int to,
                    const struct tree_stat *stat)
{
    const int64_t size = (int64_t)stat->size;
    bool is_copied = share(w->job, from, to, stat->size);

    if (!is_copied && (stat->blocks * 512 < stat->size || stat->size >= LARGE))
        is_copied = copy_between_holes(w, from, to, size);
    else if (!is_copied)
        is_copied = copy_part(w, from, to, 0, size);
    if (!is_copied)
        tree_fail(w->job, n, name, "copy", errno);
}
