/* What the files of the Node addon share. N-API in plain C; src/host/addon.ts is the typed face.
 *
 * Convention: a function returns its result, or -errno as a number, for src/host/addon.ts to make an error
 * of. Wrong types throw, since they are the caller's mistake. */
#ifndef ISLET_ADDON_H
#define ISLET_ADDON_H

#define NAPI_VERSION 8
#include <node_api.h>

#include <stddef.h>
#include <stdint.h>

#define ADDON_MAX_FDS 253u /* SCM_MAX_FD */

struct addon_bytes {
    unsigned char *data; /* the array's own memory; may be NULL when size is 0 */
    size_t size;
};

/* These return 0, or -1 with an exception pending. */
int addon_args(napi_env env, napi_callback_info info, size_t count, napi_value argv[]);
int addon_int32(napi_env env, napi_value value, int32_t *out);
int addon_bytes(napi_env env, napi_value value, struct addon_bytes *out);
int addon_length(napi_env env, napi_value array, uint32_t max, uint32_t *out);
/* An array of numbers into room[max]. */
int addon_numbers(napi_env env, napi_value array, int *room, uint32_t max, uint32_t *count);
/* A new string, for free(). A NUL inside is refused: it would cut the text. */
int addon_string(napi_env env, napi_value value, char **out);

napi_value addon_number(napi_env env, double value);
void addon_set(napi_env env, napi_value object, const char *name, napi_value value);
__attribute__((format(printf, 2, 3))) napi_value addon_throw(napi_env env, const char *format, ...);

/* Cleanup handler for descriptors: accepts -1, keeps errno. */
void addon_close(const int *fd);
#define ADDON_FD __attribute__((cleanup(addon_close))) int

/* addon_fd.c */
napi_value addon_close_fd(napi_env env, napi_callback_info info);
napi_value addon_memfd(napi_env env, napi_callback_info info);
napi_value addon_peer_credentials(napi_env env, napi_callback_info info);
napi_value addon_send_message(napi_env env, napi_callback_info info);
napi_value addon_receive_message(napi_env env, napi_callback_info info);
/* addon_spawn.c */
napi_value addon_spawn(napi_env env, napi_callback_info info);
/* addon_watch.c */
napi_value addon_watch(napi_env env, napi_callback_info info);
napi_value addon_watch_update(napi_env env, napi_callback_info info);
napi_value addon_watch_ref(napi_env env, napi_callback_info info);
napi_value addon_watch_close(napi_env env, napi_callback_info info);

#endif
