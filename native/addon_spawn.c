/* Starting a program without copying Node's address space: posix_spawn shares it until the exec. */
#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_STRINGS 65536u
#define MAX_CHILD_FD 1023
#define CLOSE_RANGE_CLOEXEC_FLAG 4u /* linux/close_range.h */

/* Everything a spawn holds, so that one function lets go of it on every path. */
struct request {
    char *path, *cwd;
    char **argv, **envp;
    int numbers[2 * ADDON_MAX_FDS]; /* child's number, ours, ... */
    int copies[ADDON_MAX_FDS];      /* ours again, above all child's numbers */
    uint32_t fd_count, copy_count;
    int cgroups[ADDON_MAX_FDS];
    uint32_t cgroup_count;
    bool setsid;
};

static void free_strings(char **strings)
{
    for (char **each = strings; each != NULL && *each != NULL; each++)
        free(*each);
    free((void *)strings);
}

static void release(const struct request *request)
{
    for (uint32_t i = 0; i < request->copy_count; i++)
        close(request->copies[i]);
    free_strings(request->argv);
    free_strings(request->envp);
    free(request->path);
    free(request->cwd);
}

static int take_strings(napi_env env, napi_value array, char ***out)
{
    uint32_t count = 0;
    if (addon_length(env, array, MAX_STRINGS, &count) != 0)
        return -1;
    *out = (char **)calloc((size_t)count + 1, sizeof(char *));
    if (*out == NULL) {
        addon_throw(env, "out of memory");
        return -1;
    }
    for (uint32_t i = 0; i < count; i++) {
        napi_value element;
        if (napi_get_element(env, array, i, &element) != napi_ok ||
            addon_string(env, element, &(*out)[i]) != 0)
            return -1;
    }
    return 0;
}

static int take_request(napi_env env, const napi_value argv[7], struct request *request)
{
    napi_valuetype type = napi_undefined;
    if (addon_string(env, argv[0], &request->path) != 0 || take_strings(env, argv[1], &request->argv) != 0 ||
        take_strings(env, argv[2], &request->envp) != 0 ||
        addon_numbers(env, argv[3], request->numbers, 2 * ADDON_MAX_FDS, &request->fd_count) != 0)
        return -1;
    request->fd_count /= 2;
    for (uint32_t i = 0; i < request->fd_count; i++) {
        if (request->numbers[2 * i] < 0 || request->numbers[2 * i] > MAX_CHILD_FD) {
            addon_throw(env, "a child's descriptor is between 0 and %d", MAX_CHILD_FD);
            return -1;
        }
    }
    napi_typeof(env, argv[4], &type);
    if (type != napi_undefined && addon_string(env, argv[4], &request->cwd) != 0)
        return -1;
    if (napi_get_value_bool(env, argv[5], &request->setsid) != napi_ok) {
        addon_throw(env, "a boolean expected");
        return -1;
    }
    return addon_numbers(env, argv[6], request->cgroups, ADDON_MAX_FDS, &request->cgroup_count);
}

static bool gives(const struct request *request, int fd)
{
    for (uint32_t i = 0; i < request->fd_count; i++) {
        if (request->numbers[2 * i] == fd)
            return true;
    }
    return false;
}

/* Node marks its own 0-2 close-on-exec; dup2 onto itself takes the mark away in the child. A child that began
 * without one of them would take the next file it opens for it. */
static int pass_own(posix_spawn_file_actions_t *actions, int fd)
{
    if (fcntl(fd, F_GETFD) >= 0)
        return -posix_spawn_file_actions_adddup2(actions, fd, fd);
    return -posix_spawn_file_actions_addopen(actions, fd, "/dev/null", O_RDWR, 0);
}

/* All sources move above all targets first, so that no dup2 in the child overwrites a source still to come.
 */
static int make_actions(struct request *request, posix_spawn_file_actions_t *actions)
{
    int above = 3;
    for (uint32_t i = 0; i < request->fd_count; i++) {
        if (request->numbers[2 * i] >= above)
            above = request->numbers[2 * i] + 1;
    }
    for (uint32_t i = 0; i < request->fd_count; i++) {
        int copy = fcntl(request->numbers[2 * i + 1], F_DUPFD_CLOEXEC, above);
        if (copy < 0)
            return -errno;
        request->copies[request->copy_count++] = copy;
        int error = posix_spawn_file_actions_adddup2(actions, copy, request->numbers[2 * i]);
        if (error != 0)
            return -error;
    }
    for (int fd = 0; fd <= 2; fd++) {
        int error = gives(request, fd) ? 0 : pass_own(actions, fd);
        if (error != 0)
            return error;
    }
    return request->cwd != NULL ? -posix_spawn_file_actions_addchdir_np(actions, request->cwd) : 0;
}

static int make_attributes(const struct request *request, posix_spawnattr_t *attributes)
{
    sigset_t none;
    sigset_t all;
    int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | (request->setsid ? POSIX_SPAWN_SETSID : 0);
    sigemptyset(&none);
    /* Not sigfillset: it leaves out the two signals of glibc's threads, which would go on ignored. */
    memset(&all, 0xff, sizeof all);
    int error = posix_spawnattr_setflags(attributes, (short)flags);
    if (error == 0)
        error = posix_spawnattr_setsigmask(attributes, &none);
    if (error == 0)
        error = posix_spawnattr_setsigdefault(attributes, &all);
    return -error;
}

static int spawn_process(struct request *request, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return -ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return -ENOMEM;
    }
    int error = make_actions(request, &actions);
    if (error == 0)
        error = make_attributes(request, &attributes);
    /* What Node inherited without the flag would go on to the child; what it opens itself has the flag. */
    if (error == 0 && syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC_FLAG) != 0)
        error = -errno;
    if (error == 0)
        error = -posix_spawn(pid, request->path, &actions, &attributes, request->argv, request->envp);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static int enter_cgroups(const struct request *request, pid_t pid)
{
    char text[16];
    int length = snprintf(text, sizeof text, "%d", (int)pid);
    for (uint32_t i = 0; i < request->cgroup_count; i++) {
        ssize_t count;
        do
            count = write(request->cgroups[i], text, (size_t)length);
        while (count < 0 && errno == EINTR);
        if (count < 0)
            return -errno;
    }
    return 0;
}

/* The process, its pidfd in *pidfd and itself in its cgroups; or -errno, and no process. */
static int spawn_complete(struct request *request, pid_t *pid, int *pidfd)
{
    int error = spawn_process(request, pid);
    if (error != 0)
        return error;
    *pidfd = (int)syscall(SYS_pidfd_open, *pid, 0u);
    error = *pidfd < 0 ? -errno : enter_cgroups(request, *pid);
    if (error == 0)
        return 0;
    addon_close(pidfd);
    kill(*pid, SIGKILL);
    while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return error;
}

/* spawn(path, argv, envp, [child fd, fd, ...], cwd or undefined, setsid, cgroup.procs fds): {pid, pidfd}, or
 * -errno */
napi_value addon_spawn(napi_env env, napi_callback_info info)
{
    napi_value argv[7];
    napi_value object;
    __attribute__((cleanup(release))) struct request request = {.fd_count = 0};
    pid_t pid = 0;
    int pidfd = -1;
    if (addon_args(env, info, 7, argv) != 0 || take_request(env, argv, &request) != 0)
        return NULL;
    if (napi_create_object(env, &object) != napi_ok)
        return NULL;
    int error = spawn_complete(&request, &pid, &pidfd);
    if (error != 0)
        return addon_number(env, error);
    addon_set(env, object, "pid", addon_number(env, pid));
    addon_set(env, object, "pidfd", addon_number(env, pidfd));
    return object;
}
