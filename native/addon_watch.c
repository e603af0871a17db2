/* Readiness of a descriptor on Node's event loop.
 *
 * libuv does not watch the descriptor itself but a private epoll descriptor that holds it. libuv would make
 * it non-blocking, which everybody who shares the open file would feel (a user's terminal); it would refuse a
 * second watch of it; and a descriptor closed before its watch would confuse it. */
#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <uv.h>

struct watch {
    uv_poll_t poll;
    napi_env env;
    napi_ref callback;
    napi_async_context async;
    napi_async_cleanup_hook_handle hook;
    int epoll, fd;
    int owners; /* the loop and the JavaScript value; the last one to go frees */
    int closing;
};

static void disown(struct watch *watch)
{
    if (--watch->owners == 0)
        free(watch);
}

static void finalize(napi_env env, void *data, void *hint)
{
    (void)env;
    (void)hint;
    disown(data);
}

static void on_closed(uv_handle_t *handle)
{
    struct watch *watch = handle->data;
    close(watch->epoll);
    napi_async_destroy(watch->env, watch->async);
    if (watch->hook != NULL)
        napi_remove_async_cleanup_hook(watch->hook);
    disown(watch);
}

static void begin_close(struct watch *watch)
{
    if (watch->closing)
        return;
    watch->closing = 1;
    napi_delete_reference(watch->env, watch->callback);
    uv_close((uv_handle_t *)&watch->poll, on_closed);
}

/* The environment ends: it waits until on_closed has removed the hook. */
static void on_teardown(napi_async_cleanup_hook_handle hook, void *data)
{
    (void)hook;
    begin_close(data);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    napi_env env = watch->env;
    napi_handle_scope scope;
    napi_value callback;
    napi_value global;
    struct epoll_event ready;
    (void)status;
    (void)events;
    if (watch->closing || epoll_wait(watch->epoll, &ready, 1, 0) != 1)
        return;
    if (napi_open_handle_scope(env, &scope) != napi_ok)
        return;
    napi_value revents = addon_number(env, ready.events);
    if (napi_get_reference_value(env, watch->callback, &callback) == napi_ok &&
        napi_get_global(env, &global) == napi_ok &&
        napi_make_callback(env, watch->async, global, callback, 1, &revents, NULL) ==
            napi_pending_exception) {
        napi_value error;
        if (napi_get_and_clear_last_exception(env, &error) == napi_ok)
            napi_fatal_exception(env, error);
    }
    napi_close_handle_scope(env, scope);
}

/* The parts of a new watch that JavaScript needs. */
static int attach(napi_env env, napi_value callback, struct watch *watch)
{
    napi_value name;
    if (napi_create_string_utf8(env, "isletWatch", NAPI_AUTO_LENGTH, &name) != napi_ok ||
        napi_async_init(env, NULL, name, &watch->async) != napi_ok)
        return -ENOMEM;
    if (napi_create_reference(env, callback, 1, &watch->callback) != napi_ok) {
        napi_async_destroy(env, watch->async);
        return -ENOMEM;
    }
    return 0;
}

/* The private epoll descriptor, or -errno. */
static int open_epoll(int fd, uint32_t events)
{
    struct epoll_event event = {.events = events};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        return -errno;
    if (epoll != fd && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0)
        return epoll;
    int error = epoll == fd ? -EBADF : -errno; /* the caller's number was free until a line ago */
    close(epoll);
    return error;
}

static int start(napi_env env, struct watch *watch, napi_value callback, uint32_t events)
{
    uv_loop_t *loop = NULL;
    if (napi_get_uv_event_loop(env, &loop) != napi_ok)
        return -ENOSYS;
    watch->epoll = open_epoll(watch->fd, events);
    if (watch->epoll < 0)
        return watch->epoll;
    int error = attach(env, callback, watch);
    if (error == 0) {
        error = uv_poll_init(loop, &watch->poll, watch->epoll);
        if (error != 0) {
            napi_delete_reference(env, watch->callback);
            napi_async_destroy(env, watch->async);
        }
    }
    if (error != 0) {
        close(watch->epoll);
        return error;
    }
    watch->poll.data = watch;
    watch->owners = 1;
    error = uv_poll_start(&watch->poll, UV_READABLE, on_ready);
    if (error == 0 && napi_add_async_cleanup_hook(env, on_teardown, watch, &watch->hook) != napi_ok)
        error = -ENOMEM;
    if (error != 0)
        begin_close(watch);
    return error;
}

/* watch(fd, epoll events, callback): an opaque value, or -errno */
napi_value addon_watch(napi_env env, napi_callback_info info)
{
    napi_value argv[3];
    napi_value external;
    int32_t fd = -1;
    int32_t events = 0;
    napi_valuetype type = napi_undefined;
    if (addon_args(env, info, 3, argv) != 0 || addon_int32(env, argv[0], &fd) != 0 ||
        addon_int32(env, argv[1], &events) != 0)
        return NULL;
    napi_typeof(env, argv[2], &type);
    if (type != napi_function)
        return addon_throw(env, "a function expected");
    struct watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL)
        return addon_number(env, -ENOMEM);
    watch->env = env;
    watch->fd = fd;
    int error = start(env, watch, argv[2], (uint32_t)events);
    if (error != 0) {
        if (watch->owners == 0)
            free(watch);
        return addon_number(env, error);
    }
    if (napi_create_external(env, watch, finalize, NULL, &external) != napi_ok) {
        begin_close(watch);
        return addon_number(env, -ENOMEM);
    }
    watch->owners++;
    return external;
}

static struct watch *take_watch(napi_env env, napi_value value)
{
    void *data = NULL;
    if (napi_get_value_external(env, value, &data) != napi_ok)
        addon_throw(env, "a watch expected");
    return data;
}

/* watchUpdate(watch, epoll events): 0 or -errno */
napi_value addon_watch_update(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    int32_t events = 0;
    if (addon_args(env, info, 2, argv) != 0 || addon_int32(env, argv[1], &events) != 0)
        return NULL;
    struct watch *watch = take_watch(env, argv[0]);
    if (watch == NULL)
        return NULL;
    struct epoll_event event = {.events = (uint32_t)events};
    if (watch->closing)
        return addon_number(env, -EBADF);
    return addon_number(env, epoll_ctl(watch->epoll, EPOLL_CTL_MOD, watch->fd, &event) == 0 ? 0 : -errno);
}

/* watchRef(watch, keep): whether it keeps the event loop alive */
napi_value addon_watch_ref(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    bool keep = false;
    if (addon_args(env, info, 2, argv) != 0)
        return NULL;
    struct watch *watch = take_watch(env, argv[0]);
    if (watch == NULL)
        return NULL;
    if (napi_get_value_bool(env, argv[1], &keep) != napi_ok)
        return addon_throw(env, "a boolean expected");
    if (watch->closing)
        return NULL;
    if (keep)
        uv_ref((uv_handle_t *)&watch->poll);
    else
        uv_unref((uv_handle_t *)&watch->poll);
    return NULL;
}

/* watchClose(watch): no callback after this; a second time does nothing */
napi_value addon_watch_close(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    if (addon_args(env, info, 1, argv) != 0)
        return NULL;
    struct watch *watch = take_watch(env, argv[0]);
    if (watch != NULL)
        begin_close(watch);
    return NULL;
}
