/* Descriptors: messages that carry them, credentials of a peer, memory files. */
#define _GNU_SOURCE
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* closeFd(fd): 0 or -errno. An interrupted close has closed. */
napi_value addon_close_fd(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    int32_t fd = -1;
    if (addon_args(env, info, 1, argv) != 0 || addon_int32(env, argv[0], &fd) != 0)
        return NULL;
    return addon_number(env, close(fd) == 0 || errno == EINTR ? 0 : -errno);
}

static int fill(int fd, const struct addon_bytes *bytes)
{
    for (size_t done = 0; done < bytes->size;) {
        ssize_t count = write(fd, bytes->data + done, bytes->size - done);
        if (count < 0 && errno != EINTR)
            return -errno;
        if (count > 0)
            done += (size_t)count;
    }
    return lseek(fd, 0, SEEK_SET) < 0 ? -errno : 0;
}

/* memfd(name, data, seal): the descriptor, or -errno */
napi_value addon_memfd(napi_env env, napi_callback_info info)
{
    napi_value argv[3];
    char *name = NULL;
    struct addon_bytes bytes;
    bool seal = false;
    if (addon_args(env, info, 3, argv) != 0 || addon_bytes(env, argv[1], &bytes) != 0)
        return NULL;
    if (napi_get_value_bool(env, argv[2], &seal) != napi_ok)
        return addon_throw(env, "a boolean expected");
    if (addon_string(env, argv[0], &name) != 0)
        return NULL;
    int fd = memfd_create(name, MFD_CLOEXEC | (seal ? MFD_ALLOW_SEALING : 0));
    int error = fd < 0 ? -errno : 0;
    free(name);
    if (error == 0)
        error = fill(fd, &bytes);
    if (error == 0 && seal &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0)
        error = -errno;
    if (error != 0) {
        addon_close(&fd);
        return addon_number(env, error);
    }
    return addon_number(env, fd);
}

/* peerCredentials(fd): {pid, uid, gid}, or -errno */
napi_value addon_peer_credentials(napi_env env, napi_callback_info info)
{
    napi_value argv[1];
    napi_value object;
    int32_t fd = -1;
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (addon_args(env, info, 1, argv) != 0 || addon_int32(env, argv[0], &fd) != 0)
        return NULL;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return addon_number(env, -errno);
    napi_create_object(env, &object);
    addon_set(env, object, "pid", addon_number(env, peer.pid));
    addon_set(env, object, "uid", addon_number(env, peer.uid));
    addon_set(env, object, "gid", addon_number(env, peer.gid));
    return object;
}

union control {
    struct cmsghdr header; /* for its alignment */
    unsigned char room[CMSG_SPACE(sizeof(int) * ADDON_MAX_FDS)];
};

/* sendMessage(fd, data, fds): bytes sent, or -errno */
napi_value addon_send_message(napi_env env, napi_callback_info info)
{
    napi_value argv[3];
    int32_t fd = -1;
    struct addon_bytes bytes;
    int fds[ADDON_MAX_FDS];
    uint32_t count = 0;
    union control control;
    if (addon_args(env, info, 3, argv) != 0 || addon_int32(env, argv[0], &fd) != 0 ||
        addon_bytes(env, argv[1], &bytes) != 0 ||
        addon_numbers(env, argv[2], fds, ADDON_MAX_FDS, &count) != 0)
        return NULL;
    struct iovec vector = {bytes.data, bytes.size};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * count);
    }
    ssize_t sent;
    do
        sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return addon_number(env, sent < 0 ? -errno : (double)sent);
}

/* The descriptors of a message: the first max into room, the others closed. How many were kept; *excess: some
 * were not. */
static uint32_t take_descriptors(struct msghdr *message, int *room, uint32_t max, bool *excess)
{
    uint32_t kept = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int received;
            memcpy(&received, CMSG_DATA(header) + i * sizeof received, sizeof received);
            if (kept < max) {
                room[kept++] = received;
            } else {
                close(received);
                *excess = true;
            }
        }
    }
    return kept;
}

/* receiveMessage(fd, buffer, maxFds): {bytes, fds, truncated} */
napi_value addon_receive_message(napi_env env, napi_callback_info info)
{
    napi_value argv[3];
    int32_t fd = -1;
    int32_t max = 0;
    struct addon_bytes bytes;
    int fds[ADDON_MAX_FDS];
    union control control; /* always room for all, so that what is too much can be closed and told */
    if (addon_args(env, info, 3, argv) != 0 || addon_int32(env, argv[0], &fd) != 0 ||
        addon_bytes(env, argv[1], &bytes) != 0 || addon_int32(env, argv[2], &max) != 0)
        return NULL;
    if (max < 0 || (uint32_t)max > ADDON_MAX_FDS)
        return addon_throw(env, "between 0 and %u descriptors can be received", ADDON_MAX_FDS);
    napi_value object;
    napi_value list;
    napi_value truncated;
    if (napi_create_object(env, &object) != napi_ok || napi_create_array(env, &list) != napi_ok)
        return NULL;
    struct iovec vector = {bytes.data, bytes.size};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t received;
    do
        received = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (received < 0 && errno == EINTR);
    int error = received < 0 ? -errno : 0;
    bool excess = false;
    uint32_t kept = error == 0 ? take_descriptors(&message, fds, (uint32_t)max, &excess) : 0;
    if (error == 0 && (message.msg_flags & (MSG_CTRUNC | MSG_TRUNC)) != 0)
        excess = true;
    for (uint32_t i = 0; i < kept; i++)
        napi_set_element(env, list, i, addon_number(env, fds[i]));
    napi_get_boolean(env, excess, &truncated);
    addon_set(env, object, "bytes", addon_number(env, error != 0 ? error : (double)received));
    addon_set(env, object, "fds", list);
    addon_set(env, object, "truncated", truncated);
    return object;
}
