/* The Node addon: the interpreter in the daemon's own process, and what every file of the addon needs. */
#define _GNU_SOURCE
#include "addon.h"
#include "interp.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- shared helpers ---- */

napi_value addon_throw(napi_env env, const char *format, ...)
{
    char text[256];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    napi_throw_type_error(env, NULL, text);
    return NULL;
}

void addon_close(const int *fd)
{
    int saved = errno;
    if (*fd >= 0)
        close(*fd);
    errno = saved;
}

int addon_args(napi_env env, napi_callback_info info, size_t count, napi_value argv[])
{
    size_t given = count;
    if (napi_get_cb_info(env, info, &given, argv, NULL, NULL) != napi_ok || given < count) {
        addon_throw(env, "%zu arguments expected", count);
        return -1;
    }
    return 0;
}

int addon_int32(napi_env env, napi_value value, int32_t *out)
{
    double number = 0;
    if (napi_get_value_double(env, value, &number) != napi_ok ||
        !(number >= INT32_MIN && number <= INT32_MAX) || number != (double)(int32_t)number) {
        addon_throw(env, "a 32-bit integer expected");
        return -1;
    }
    *out = (int32_t)number;
    return 0;
}

int addon_bytes(napi_env env, napi_value value, struct addon_bytes *out)
{
    bool is = false;
    napi_typedarray_type type;
    void *data = NULL;
    size_t size = 0;
    if (napi_is_typedarray(env, value, &is) != napi_ok || !is ||
        napi_get_typedarray_info(env, value, &type, &size, &data, NULL, NULL) != napi_ok ||
        type != napi_uint8_array) {
        addon_throw(env, "a Uint8Array expected");
        return -1;
    }
    *out = (struct addon_bytes){data, size};
    return 0;
}

int addon_length(napi_env env, napi_value array, uint32_t max, uint32_t *out)
{
    bool is = false;
    if (napi_is_array(env, array, &is) != napi_ok || !is ||
        napi_get_array_length(env, array, out) != napi_ok) {
        addon_throw(env, "an array expected");
        return -1;
    }
    if (*out > max) {
        addon_throw(env, "an array of at most %u elements expected", max);
        return -1;
    }
    return 0;
}

int addon_numbers(napi_env env, napi_value array, int *room, uint32_t max, uint32_t *count)
{
    if (addon_length(env, array, max, count) != 0)
        return -1;
    for (uint32_t i = 0; i < *count; i++) {
        napi_value element;
        if (napi_get_element(env, array, i, &element) != napi_ok || addon_int32(env, element, &room[i]) != 0)
            return -1;
    }
    return 0;
}

int addon_string(napi_env env, napi_value value, char **out)
{
    size_t length = 0;
    if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) {
        addon_throw(env, "a string expected");
        return -1;
    }
    char *text = malloc(length + 1);
    if (text == NULL) {
        addon_throw(env, "out of memory");
        return -1;
    }
    if (napi_get_value_string_utf8(env, value, text, length + 1, &length) != napi_ok ||
        strlen(text) != length) {
        free(text);
        addon_throw(env, "a string without NUL expected");
        return -1;
    }
    *out = text;
    return 0;
}

napi_value addon_number(napi_env env, double value)
{
    napi_value out = NULL;
    napi_create_double(env, value, &out);
    return out;
}

void addon_set(napi_env env, napi_value object, const char *name, napi_value value)
{
    napi_set_named_property(env, object, name, value);
}

/* ---- system calls ---- */

/* A number, a bigint, or an array: its address. */
static int syscall_arg(napi_env env, napi_value value, int64_t *out)
{
    napi_valuetype type = napi_undefined;
    napi_typeof(env, value, &type);
    if (type == napi_bigint) {
        uint64_t word = 0;
        bool lossless = false;
        if (napi_get_value_bigint_int64(env, value, out, &lossless) == napi_ok && lossless)
            return 0;
        if (napi_get_value_bigint_uint64(env, value, &word, &lossless) == napi_ok && lossless) {
            *out = (int64_t)word;
            return 0;
        }
        addon_throw(env, "a bigint of at most 64 bits expected");
        return -1;
    }
    if (type == napi_number) {
        double number = 0;
        napi_get_value_double(env, value, &number);
        if (number >= -9007199254740991.0 && number <= 9007199254740991.0 &&
            number == (double)(int64_t)number) {
            *out = (int64_t)number;
            return 0;
        }
        addon_throw(env, "a safe integer expected; use a bigint");
        return -1;
    }
    struct addon_bytes bytes;
    if (addon_bytes(env, value, &bytes) != 0)
        return -1;
    *out = (int64_t)(intptr_t)bytes.data;
    return 0;
}

/* syscall(nr, args) */
static napi_value addon_syscall(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    int32_t nr = 0;
    uint32_t count = 0;
    int64_t args[6] = {0};
    if (addon_args(env, info, 2, argv) != 0 || addon_int32(env, argv[0], &nr) != 0 ||
        addon_length(env, argv[1], 6, &count) != 0)
        return NULL;
    for (uint32_t i = 0; i < count; i++) {
        napi_value element;
        if (napi_get_element(env, argv[1], i, &element) != napi_ok ||
            syscall_arg(env, element, &args[i]) != 0)
            return NULL;
    }
    return addon_number(env, (double)islp_call((uint32_t)nr, args));
}

/* ---- programs ---- */

static void free_pointer(void *pointer)
{
    free(*(void **)pointer);
}
#define ADDON_FREE __attribute__((cleanup(free_pointer)))

/* A private, aligned copy of the image, which V8 may have placed anywhere: for free(). NULL: exception
 * pending. */
static void *decoded_copy(napi_env env, napi_value value, struct islp_program *prog)
{
    struct addon_bytes bytes;
    if (addon_bytes(env, value, &bytes) != 0)
        return NULL;
    if (bytes.size > ISLP_MAX_SIZE)
        return addon_throw(env, "bad program: larger than 16 MiB");
    void *copy = aligned_alloc(16, (bytes.size + 31) / 16 * 16);
    if (copy == NULL)
        return addon_throw(env, "out of memory");
    if (bytes.size > 0)
        memcpy(copy, bytes.data, bytes.size);
    if (islp_decode(copy, bytes.size, prog) == 0)
        return copy;
    free(copy);
    if (prog->where == ISLP_NONE)
        return addon_throw(env, "bad program: %s", prog->why);
    return addon_throw(env, "bad program: %s (index %u)", prog->why, prog->where);
}

/* check(image) */
static napi_value addon_check(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    struct islp_program prog;
    if (addon_args(env, info, 1, argv) != 0)
        return NULL;
    free(decoded_copy(env, argv[0], &prog));
    return NULL;
}

static napi_value ok_result(napi_env env, int64_t result, const int64_t *slots, uint32_t count)
{
    napi_value object;
    napi_value kind;
    napi_value list;
    napi_create_object(env, &object);
    napi_create_string_utf8(env, "ok", NAPI_AUTO_LENGTH, &kind);
    napi_create_array_with_length(env, count, &list);
    for (uint32_t i = 0; i < count; i++)
        napi_set_element(env, list, i, addon_number(env, (double)slots[i]));
    addon_set(env, object, "kind", kind);
    addon_set(env, object, "result", addon_number(env, (double)result));
    addon_set(env, object, "slots", list);
    return object;
}

static napi_value failed_result(napi_env env, const struct islp_record *rec)
{
    napi_value object;
    napi_value kind;
    napi_value buffer;
    napi_value bytes;
    void *data = NULL;
    if (napi_create_arraybuffer(env, sizeof *rec, &data, &buffer) != napi_ok || data == NULL)
        return addon_throw(env, "out of memory");
    memcpy(data, rec, sizeof *rec);
    napi_create_typedarray(env, napi_uint8_array, sizeof *rec, buffer, 0, &bytes);
    napi_create_object(env, &object);
    napi_create_string_utf8(env, "failed", NAPI_AUTO_LENGTH, &kind);
    addon_set(env, object, "kind", kind);
    addon_set(env, object, "record", bytes);
    return object;
}

/* run(image, fds) */
static napi_value addon_run(napi_env env, napi_callback_info info)
{
    napi_value argv[2];
    struct islp_program prog;
    struct islp_run run;
    struct islp_record rec;
    int fds[ADDON_MAX_FDS];
    uint32_t nfds = 0;
    int64_t result = 0;
    if (addon_args(env, info, 2, argv) != 0 || addon_numbers(env, argv[1], fds, ADDON_MAX_FDS, &nfds) != 0)
        return NULL;
    ADDON_FREE void *image = decoded_copy(env, argv[0], &prog);
    if (image == NULL)
        return NULL;
    if (nfds != prog.preset)
        return addon_throw(env, "the program wants %u descriptors, not %u", prog.preset, nfds);
    ADDON_FREE int64_t *slots = calloc(prog.slot_count + 1, sizeof *slots);
    if (slots == NULL)
        return addon_throw(env, "out of memory");
    islp_relocate(&prog);
    islp_begin(&run, &prog, slots, fds, nfds);
    if (islp_exec(&run, &result, &rec) != 0)
        return failed_result(env, &rec);
    islp_unwind(&run);
    return ok_result(env, result, slots, prog.slot_count);
}

/* ---- the module ---- */

NAPI_MODULE_INIT()
{
    const struct {
        const char *name;
        napi_callback call;
    } functions[] = {
        {"syscall", addon_syscall},
        {"run", addon_run},
        {"check", addon_check},
        {"spawn", addon_spawn},
        {"sendMessage", addon_send_message},
        {"receiveMessage", addon_receive_message},
        {"peerCredentials", addon_peer_credentials},
        {"closeFd", addon_close_fd},
        {"memfd", addon_memfd},
        {"watch", addon_watch},
        {"watchUpdate", addon_watch_update},
        {"watchRef", addon_watch_ref},
        {"watchClose", addon_watch_close},
    };
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        napi_value function;
        if (napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].call, NULL,
                                 &function) != napi_ok)
            return addon_throw(env, "cannot make the function %s", functions[i].name);
        addon_set(env, exports, functions[i].name, function);
    }
    return exports;
}
