/* Ids of files, and ids within access control lists and capabilities, taken back by one map and given by
 * another. */
#define _GNU_SOURCE
#include "tree.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* "u:INSIDE:OUTSIDE:COUNT", "g:..." or, for both, "b:...", with commas between. */
static int read_number(const char **words, char end, uint32_t *out)
{
    char *after;
    unsigned long long value;

    if (**words < '0' || **words > '9')
        return -1;
    errno = 0;
    value = strtoull(*words, &after, 10);
    if (errno != 0 || value > UINT32_MAX || (*after != end && !(end == ',' && *after == '\0')))
        return -1;
    *out = (uint32_t)value;
    *words = *after == '\0' ? after : after + 1;
    return 0;
}

static int add(struct tree_map *map, const struct tree_range *range)
{
    if (map->count == TREE_MAX_RANGES)
        return -1;
    map->ranges[map->count++] = *range;
    return 0;
}

int tree_maps_read(const char *words, struct tree_maps *maps)
{
    memset(maps, 0, sizeof(*maps));
    while (*words != '\0') {
        char kind = words[0];
        struct tree_range range;

        if ((kind != 'u' && kind != 'g' && kind != 'b') || words[1] != ':')
            return -1;
        words += 2;
        if (read_number(&words, ':', &range.inside) < 0 || read_number(&words, ':', &range.outside) < 0 ||
            read_number(&words, ',', &range.count) < 0 || range.count == 0 ||
            range.inside > UINT32_MAX - range.count || range.outside > UINT32_MAX - range.count)
            return -1;
        if ((kind != 'g' && add(&maps->kinds[TREE_UID], &range) < 0) ||
            (kind != 'u' && add(&maps->kinds[TREE_GID], &range) < 0))
            return -1;
    }
    return 0;
}

bool tree_maps_any(const struct tree_job *job)
{
    for (int kind = 0; kind < 2; kind++) {
        if (job->from.kinds[kind].count > 0 || job->to.kinds[kind].count > 0)
            return true;
    }
    return false;
}

static bool back(const struct tree_map *map, uint32_t id, uint32_t *out)
{
    *out = id;
    for (uint32_t i = 0; i < map->count; i++) {
        const struct tree_range *range = &map->ranges[i];

        if (id >= range->outside && id - range->outside < range->count) {
            *out = range->inside + (id - range->outside);
            return true;
        }
    }
    return map->count == 0;
}

static bool give(const struct tree_map *map, uint32_t id, uint32_t *out)
{
    *out = id;
    for (uint32_t i = 0; i < map->count; i++) {
        const struct tree_range *range = &map->ranges[i];

        if (id >= range->inside && id - range->inside < range->count) {
            *out = range->outside + (id - range->inside);
            return true;
        }
    }
    return map->count == 0;
}

/* Is it what some other id becomes? */
static bool was_changed(const struct tree_map *from, const struct tree_map *to, uint32_t id)
{
    uint32_t inside, unused;

    return back(to, id, &inside) && give(from, inside, &unused);
}

bool tree_id(const struct tree_job *job, enum tree_kind kind, uint32_t id, uint32_t *out)
{
    const struct tree_map *from = &job->from.kinds[kind], *to = &job->to.kinds[kind];
    uint32_t inside;

    if (back(from, id, &inside) && give(to, inside, out))
        return true;
    *out = id;
    return job->keeps_ids || (job->is_shift && was_changed(from, to, id));
}

/* Of every range of ids that are changed in one go: its first, how many, and what becomes of the first. */
static uint32_t changes(const struct tree_job *job, enum tree_kind kind, struct tree_range *out,
                        uint32_t room)
{
    const struct tree_map *from = &job->from.kinds[kind], *to = &job->to.kinds[kind];
    static const struct tree_range all = {0, 0, UINT32_MAX};
    uint32_t count = 0;

    for (uint32_t i = 0; i < (from->count > 0 ? from->count : 1); i++) {
        const struct tree_range *a = from->count > 0 ? &from->ranges[i] : &all;

        for (uint32_t j = 0; j < (to->count > 0 ? to->count : 1) && count < room; j++) {
            const struct tree_range *b = to->count > 0 ? &to->ranges[j] : &all;
            uint64_t begin = a->inside > b->inside ? a->inside : b->inside;
            uint64_t a_end = (uint64_t)a->inside + a->count, b_end = (uint64_t)b->inside + b->count;
            uint64_t end = a_end < b_end ? a_end : b_end;

            if (begin < end)
                out[count++] = (struct tree_range){(uint32_t)(a->outside + (begin - a->inside)),
                                                   (uint32_t)(b->outside + (begin - b->inside)),
                                                   (uint32_t)(end - begin)};
        }
    }
    return count;
}

bool tree_maps_clash(const struct tree_job *job)
{
    static struct tree_range ranges[4 * TREE_MAX_RANGES];

    for (int kind = 0; kind < 2; kind++) {
        uint32_t count = changes(job, (enum tree_kind)kind, ranges, 4 * TREE_MAX_RANGES);

        for (uint32_t i = 0; i < count; i++) {
            uint64_t begin = ranges[i].outside, end = begin + ranges[i].count;

            for (uint32_t j = 0; j < count; j++) {
                uint64_t other = ranges[j].inside, other_end = other + ranges[j].count;

                if (ranges[j].inside != ranges[j].outside && begin < other_end && other < end)
                    return true;
            }
        }
    }
    return false;
}

/* POSIX access control lists, acl(5): a word with the version, then entries of tag, permissions and id. */
static ssize_t acl_ids(const struct tree_job *job, char *value, size_t size, uint32_t *bad)
{
    enum { USER = 0x02, GROUP = 0x08 };

    for (size_t at = 4; at + 8 <= size; at += 8) {
        uint16_t tag;
        uint32_t id;

        memcpy(&tag, value + at, sizeof(tag));
        memcpy(&id, value + at + 4, sizeof(id));
        tag = le16toh(tag);
        if (tag != USER && tag != GROUP)
            continue;
        *bad = le32toh(id);
        if (!tree_id(job, tag == USER ? TREE_UID : TREE_GID, *bad, &id))
            return -1;
        id = htole32(id);
        memcpy(value + at + 4, &id, sizeof(id));
    }
    return (ssize_t)size;
}

/* Capabilities of a file, capabilities(7): of the host's root (version 2), or of a user namespace's (3). */
static ssize_t capability_ids(const struct tree_job *job, char *value, size_t size, uint32_t *bad)
{
    enum { SIZE_2 = 20, SIZE_3 = 24 };
    const uint32_t mask = 0xff000000u, v2 = 0x02000000u, v3 = 0x03000000u;
    const struct tree_map *from = &job->from.kinds[TREE_UID], *to = &job->to.kinds[TREE_UID];
    uint32_t magic, root = 0;

    if (size != SIZE_2 && size != SIZE_3)
        return (ssize_t)size;
    memcpy(&magic, value, sizeof(magic));
    magic = le32toh(magic);
    if (size == SIZE_3 && (magic & mask) == v3) {
        memcpy(&root, value + SIZE_2, sizeof(root));
        *bad = le32toh(root);
        if (!tree_id(job, TREE_UID, *bad, &root))
            return -1;
    } else if (size == SIZE_2 && (magic & mask) == v2) {
        /* They count for every root, inside as well: such of a mapped tree stay. */
        *bad = 0;
        if (from->count == 0 && !give(to, 0, &root)) {
            if (!job->keeps_ids)
                return -1;
            root = 0;
        }
    } else {
        return (ssize_t)size;
    }
    magic = htole32((magic & ~mask) | (root == 0 ? v2 : v3));
    memcpy(value, &magic, sizeof(magic));
    root = htole32(root);
    memcpy(value + SIZE_2, &root, sizeof(root));
    return root == 0 ? SIZE_2 : SIZE_3;
}

ssize_t tree_value_ids(const struct tree_job *job, const char *name, char *value, size_t size, uint32_t *bad)
{
    if (!tree_maps_any(job))
        return (ssize_t)size;
    if (strcmp(name, "security.capability") == 0)
        return capability_ids(job, value, size, bad);
    if (strcmp(name, "system.posix_acl_access") == 0 || strcmp(name, "system.posix_acl_default") == 0)
        return acl_ids(job, value, size, bad);
    return (ssize_t)size;
}
