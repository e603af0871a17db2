/* What files have beside their data: owners, extended attributes, flags of the inode. */
#define _GNU_SOURCE
#include "tree.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

/* linux/fs.h */
#define GET_FLAGS _IOR('f', 1, long)
#define SET_FLAGS _IOW('f', 2, long)

void tree_fail_id(struct tree_job *job, struct tree_node *n, const char *name, const char *kind, uint32_t id)
{
    char why[64];

    snprintf(why, sizeof(why), "%s %lu is not mapped", kind, (unsigned long)id);
    tree_fail_words(job, n, name, "give an owner to", why, EOVERFLOW);
}

void tree_stat_ids(struct tree_job *job, struct tree_node *n, const char *name, const struct tree_stat *stat,
                   uint32_t *uid, uint32_t *gid)
{
    if (!tree_id(job, TREE_UID, stat->uid, uid))
        tree_fail_id(job, n, name, "the user id", stat->uid);
    if (!tree_id(job, TREE_GID, stat->gid, gid))
        tree_fail_id(job, n, name, "the group id", stat->gid);
}

static ssize_t list_of(int fd, const char *path, char *list)
{
    return path != NULL ? listxattr(path, list, TREE_XATTR) : flistxattr(fd, list, TREE_XATTR);
}

static ssize_t get(int fd, const char *path, const char *name, char *value)
{
    return path != NULL ? getxattr(path, name, value, TREE_XATTR) : fgetxattr(fd, name, value, TREE_XATTR);
}

/* What only means something where it comes from, and what the kernel makes of other things. */
static bool is_local(const char *name)
{
    return strncmp(name, "btrfs.", 6) == 0 ||
           (strncmp(name, "system.", 7) == 0 && strncmp(name, "system.posix_acl_", 17) != 0);
}

void tree_attributes(struct tree_worker *w, struct tree_node *n, const char *name, int from, bool is_path,
                     int to, bool to_is_path)
{
    char from_number[16], to_number[16];
    const char *from_path = is_path ? from_number : NULL, *to_path = to_is_path ? to_number : NULL;
    ssize_t size;

    snprintf(from_number, sizeof(from_number), "%d", from);
    size = list_of(from, from_path, w->list);
    if (size == 0 || (size < 0 && (errno == EOPNOTSUPP || tree_is_gone(errno))))
        return;
    if (size < 0) {
        tree_fail(w->job, n, name, "list the attributes of", errno);
        return;
    }
    snprintf(to_number, sizeof(to_number), "%d", to);
    for (const char *each = w->list; each < w->list + size; each += strlen(each) + 1) {
        ssize_t length = is_local(each) ? -1 : get(from, from_path, each, w->value);
        uint32_t bad = 0;

        if (is_local(each) || (length < 0 && errno == ENODATA))
            continue;
        if (length < 0) {
            tree_fail_words(w->job, n, name, "read an attribute of", each, errno);
            return;
        }
        length = tree_value_ids(w->job, each, w->value, (size_t)length, &bad);
        if (length < 0) {
            tree_fail_id(w->job, n, name, "an id in an attribute:", bad);
            return;
        }
        if ((to_path != NULL ? setxattr(to_path, each, w->value, (size_t)length, 0)
                             : fsetxattr(to, each, w->value, (size_t)length, 0)) < 0) {
            tree_fail_words(w->job, n, name, "set an attribute of", each, errno);
            return;
        }
    }
}

int tree_flags(int fd, unsigned set, unsigned clear)
{
    int flags = 0;

    if (ioctl(fd, GET_FLAGS, &flags) < 0)
        return -errno;
    flags = (int)(((unsigned)flags & ~clear) | set);
    return ioctl(fd, SET_FLAGS, &flags) < 0 ? -errno : 0;
}
