// Times round trips of one byte over TCP between two network namespaces.
//
//   round-trip serve ADDRESS PORT          answers one peer until it goes
//   round-trip ask ADDRESS PORT COUNT      prints the median, nanoseconds
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int serve(int fd, const struct sockaddr_in *address)
{
    const int one = 1;
    char byte;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (const struct sockaddr *)address, sizeof *address) != 0 || listen(fd, 1) != 0)
        return 1;
    int peer = accept(fd, NULL, NULL);
    if (peer < 0)
        return 1;
    setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    while (read(peer, &byte, 1) == 1)
        if (write(peer, &byte, 1) != 1)
            return 1;
    return 0;
}

static int ask(int fd, const struct sockaddr_in *address, int count)
{
    const int one = 1;
    char byte = 0;
    int64_t *times = calloc((size_t)count, sizeof *times);
    if (times == NULL || connect(fd, (const struct sockaddr *)address, sizeof *address) != 0)
        return 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (int i = 0; i < count; i++) {
        int64_t began = now();
        if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
            return 1;
        times[i] = now() - began;
    }
    qsort(times, (size_t)count, sizeof *times, ascending);
    printf("%lld\n", (long long)times[count / 2]);
    free(times);
    return 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (argc < 4 || inet_pton(AF_INET, argv[2], &address.sin_addr) != 1)
        return 2;
    address.sin_port = htons((uint16_t)atoi(argv[3]));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 1;
    if (argc == 4 && strcmp(argv[1], "serve") == 0)
        return serve(fd, &address);
    int count = argc == 5 && strcmp(argv[1], "ask") == 0 ? atoi(argv[4]) : 0;
    return count > 0 ? ask(fd, &address, count) : 2;
}
