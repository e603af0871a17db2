/* Files with several names: where the first one was made. */
#define _GNU_SOURCE
#include "tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 16384 };

struct tree_link {
    struct tree_link *next;
    uint64_t device, inode, born;
    unsigned left, users; /* names still to come, threads that look at it */
    bool is_made;
    struct tree_node *node;
    char *name;
};

struct tree_links {
    pthread_mutex_t lock;
    pthread_cond_t made;
    struct tree_link *slots[SLOTS];
};

struct tree_links *tree_links_new(void)
{
    struct tree_links *links = calloc(1, sizeof(*links));

    if (links != NULL) {
        pthread_mutex_init(&links->lock, NULL);
        pthread_cond_init(&links->made, NULL);
    }
    return links;
}

static struct tree_link **slot_of(struct tree_links *links, uint64_t inode)
{
    return &links->slots[(inode * 0x9e3779b97f4a7c15u) >> 50];
}

/* A number of an inode may be given again while we look; the time of birth tells. */
struct tree_link *tree_links_find(struct tree_job *job, const struct tree_stat *stat, bool *is_first)
{
    struct tree_links *links = job->links;
    const uint64_t device = (uint64_t)stat->dev_major << 32 | stat->dev_minor;
    const uint64_t born = (uint64_t)stat->born.seconds * 1000000000u + stat->born.nanoseconds;
    struct tree_link **slot = slot_of(links, stat->inode);
    struct tree_link *link;

    pthread_mutex_lock(&links->lock);
    for (link = *slot; link != NULL; link = link->next) {
        if (link->inode == stat->inode && link->device == device && link->born == born)
            break;
    }
    *is_first = link == NULL;
    if (link == NULL) {
        link = calloc(1, sizeof(*link));
        if (link != NULL) {
            *link = (struct tree_link){*slot, device, stat->inode, born, stat->links, 0, false, NULL, NULL};
            *slot = link;
        }
    } else {
        link->users++;
        while (!link->is_made && !atomic_load(&job->stopped))
            pthread_cond_wait(&links->made, &links->lock);
    }
    pthread_mutex_unlock(&links->lock);
    return link;
}

void tree_links_made(struct tree_job *job, struct tree_link *link, struct tree_node *n, const char *name)
{
    struct tree_links *links = job->links;

    if (n != NULL)
        tree_hold(job, n);
    pthread_mutex_lock(&links->lock);
    link->node = n;
    link->name = name != NULL ? strdup(name) : NULL;
    link->is_made = true;
    pthread_cond_broadcast(&links->made);
    pthread_mutex_unlock(&links->lock);
    if (name != NULL && link->name == NULL)
        tree_fail(job, n, name, "take note of", ENOMEM);
    tree_links_done(job, link);
}

struct tree_node *tree_link_node(const struct tree_link *link, const char **name)
{
    *name = link->name;
    return link->node;
}

/* Forgotten with the last name. */
void tree_links_done(struct tree_job *job, struct tree_link *link)
{
    struct tree_links *links = job->links;
    struct tree_link **at;

    pthread_mutex_lock(&links->lock);
    if (link->users > 0)
        link->users--;
    if (link->left > 0)
        link->left--;
    if (link->left > 0 || link->users > 0) {
        pthread_mutex_unlock(&links->lock);
        return;
    }
    for (at = slot_of(links, link->inode); *at != link; at = &(*at)->next)
        ;
    *at = link->next;
    pthread_mutex_unlock(&links->lock);
    if (link->node != NULL)
        tree_drop(job, link->node);
    free(link->name);
    free(link);
}
