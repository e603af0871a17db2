/* `islet tree`: whole trees of files copied, removed and given to other owners, by several threads. tree.c
 * has the words and the protocol, tree_walk.c what all three have in common, the other files one part each.
 * Trees are taken for hostile and for changing all the time: nothing is opened but from a descriptor and
 * never through a link, no device and no fifo is opened at all, and neither depth nor number needs stack or
 * more descriptors than there are. */
#ifndef ISLET_TREE_H
#define ISLET_TREE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

int tree_main(int argc, char **argv);

enum { TREE_FROM = 3, TREE_TO = 4, TREE_PROGRESS = 5 };
enum { TREE_MAX_THREADS = 8, TREE_XATTR = 65536, TREE_DATA = 256 * 1024, TREE_NAMES = 16 * 1024 };

/* struct statx of the kernel, which not every libc has. */
struct tree_time {
    int64_t seconds;
    uint32_t nanoseconds;
    int32_t pad;
};

struct tree_stat {
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, uid, gid;
    uint16_t mode, pad;
    uint64_t inode, size, blocks, attributes_mask;
    struct tree_time accessed, born, changed, modified;
    uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
    uint64_t mount;
    uint64_t rest[13];
};

enum {
    TREE_IMMUTABLE = 0x10,
    TREE_APPEND = 0x20,
    TREE_NODUMP = 0x40,
    TREE_KEPT_FLAGS = TREE_IMMUTABLE | TREE_APPEND | TREE_NODUMP, /* as FS_IOC_SETFLAGS has them, too */
    TREE_MOUNT_ROOT = 0x2000
};

/* Ids: tree_ids.c */
enum { TREE_MAX_RANGES = 340 };

struct tree_range {
    uint32_t inside, outside, count;
};

struct tree_map {
    uint32_t count; /* 0: ids stay as they are */
    struct tree_range ranges[TREE_MAX_RANGES];
};

enum tree_kind { TREE_UID, TREE_GID };

struct tree_maps {
    struct tree_map kinds[2];
};

/* One directory. */
struct tree_node {
    struct tree_node *parent;
    struct tree_node *next;                   /* of those to be listed */
    struct tree_node *older, *newer;          /* of those whose descriptors nobody uses right now */
    unsigned refs, users, uses, parts, depth; /* guarded by the lock */
    int fds[2];                               /* of the source and of the target; -1: closed */
    int64_t offset;                           /* in the listing */
    bool is_idle, was_opened, has_skips, is_dealt_with;
    uint8_t tries;
    struct tree_stat stat;
    char name[];
};

struct tree_worker;

struct tree_verb {
    int sides;  /* how many trees there are: 2 for a copy */
    bool whole; /* a directory is done when all of those below it are */
    /* Opens n->fds for the first time, from its parent's; the walk closes them. False: it is not there any
     * more, or there is nothing to list in it. */
    bool (*open)(struct tree_worker *w, struct tree_node *n);
    void (*entry)(struct tree_worker *w, struct tree_node *n, const char *name, unsigned type);
    /* All entries are done. True: it has to be listed once more. */
    bool (*done)(struct tree_worker *w, struct tree_node *n);
};

struct tree_links;
struct tree_late;

struct tree_job {
    const struct tree_verb *verb;
    int threads;
    int proc; /* /proc/self/fd, which is also the working directory */
    struct tree_node *top;
    struct tree_maps from, to;
    bool keeps_ids, syncs, is_shift;
    bool is_undone; /* what fails is not the end: somebody makes it undone */
    pid_t parent;
    const char *name;
    const char **skips;
    int skip_count;
    uid_t uid; /* who makes files */
    gid_t gid;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct tree_node *stack;           /* to be listed, the last one first */
    struct tree_node *oldest, *newest; /* idle */
    unsigned idle, idle_limit;
    int running, waiting, active;
    pthread_t helpers[TREE_MAX_THREADS];

    struct tree_links *links;
    struct tree_late *late;
    atomic_bool stopped, no_clone, no_range;
    atomic_ullong files, bytes, reported;
    char error[2048];
    int error_number;
};

struct tree_worker {
    struct tree_job *job;
    char names[TREE_NAMES];
    char list[TREE_XATTR];
    char value[TREE_XATTR];
    char data[TREE_DATA];
};

/* tree.c */
/* "cannot WHAT PATH: errno in words". Ends the process, or, for what has to be undone, the walk. */
void tree_fail(struct tree_job *job, const struct tree_node *n, const char *name, const char *what,
               int error);
void tree_fail_words(struct tree_job *job, const struct tree_node *n, const char *name, const char *what,
                     const char *why, int error);
/* The end, after an undoing: with what else went wrong, if it did. */
_Noreturn void tree_end(const char *error, const char *more, int number);
void tree_tick(struct tree_job *job);
/* The path below the top, not printable; the last part of it if it is too long. */
void tree_path(const struct tree_node *n, const char *name, char *path, size_t size);

/* tree_walk.c */
/* From the directory that all names lead from; or only what is in it by the name of `first`. */
void tree_walk(struct tree_job *job, struct tree_node *top, struct tree_node *first);
void tree_walk_begin(struct tree_job *job);
struct tree_worker *tree_worker(struct tree_job *job);
struct tree_node *tree_child(struct tree_job *job, struct tree_node *parent, const char *name);
void tree_push(struct tree_job *job, struct tree_node *n);
/* Its descriptors are open until the release. 0 or -errno. */
int tree_acquire(struct tree_job *job, struct tree_node *n);
void tree_release(struct tree_job *job, struct tree_node *n);
void tree_hold(struct tree_job *job, struct tree_node *n);
void tree_drop(struct tree_job *job, struct tree_node *n);
/* A directory, or a name to look at, below a descriptor: through no link and into no other mount (EXDEV). */
int tree_open_below(int dir, const char *path, uint64_t flags);
int tree_stat(int dir, const char *name, struct tree_stat *out);
bool tree_is_gone(int error);

/* tree_ids.c */
/* 0, or -1: these are not words of a map. */
int tree_maps_read(const char *words, struct tree_maps *maps);
bool tree_maps_any(const struct tree_job *job);
/* Is there an id that the change would give to, and would take again the next time? */
bool tree_maps_clash(const struct tree_job *job);
/* False: the id is not mapped. */
bool tree_id(const struct tree_job *job, enum tree_kind kind, uint32_t id, uint32_t *out);
/* Ids in the value of an extended attribute; the new size, 0: there is nothing to set, or -1 and *bad. */
ssize_t tree_value_ids(const struct tree_job *job, const char *name, char *value, size_t size, uint32_t *bad);

/* tree_attr.c */
void tree_stat_ids(struct tree_job *job, struct tree_node *n, const char *name, const struct tree_stat *stat,
                   uint32_t *uid, uint32_t *gid);
/* All extended attributes; `from`: readable, or to be looked at through /proc; `to` likewise. */
void tree_attributes(struct tree_worker *w, struct tree_node *n, const char *name, int from, bool is_path,
                     int to, bool to_is_path);
void tree_fail_id(struct tree_job *job, struct tree_node *n, const char *name, const char *kind, uint32_t id);
int tree_flags(int fd, unsigned set, unsigned clear);

/* The verbs */
void tree_copy(struct tree_job *job);
void tree_remove(struct tree_job *job);
void tree_shift(struct tree_job *job);
/* The rest of a file's making, tree_file.c. */
void tree_copy_data(struct tree_worker *w, struct tree_node *n, const char *name, int from, int to,
                    const struct tree_stat *stat);

/* tree_links.c: what has several names. */
struct tree_links *tree_links_new(void);
/* The first to ask gets NULL and says `made` when the name is there; others get where that is (held). */
struct tree_link;
struct tree_link *tree_links_find(struct tree_job *job, const struct tree_stat *stat, bool *is_first);
void tree_links_made(struct tree_job *job, struct tree_link *link, struct tree_node *n, const char *name);
struct tree_node *tree_link_node(const struct tree_link *link, const char **name);
void tree_links_done(struct tree_job *job, struct tree_link *link);

#endif
