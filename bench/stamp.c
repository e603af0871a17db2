// The main process of the container whose start is measured: writes the time at which it runs to /islt-stamp
// and waits to be killed. SIGTERM ends it, too: libvirt begins an end by force with that one, and an init
// that ignores it would make libvirt wait.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static void on_term(int number)
{
    (void)number;
    _exit(0);
}

int main(void)
{
    struct sigaction end = {.sa_handler = on_term};
    struct timespec t;
    char text[32];

    clock_gettime(CLOCK_MONOTONIC, &t);
    int length = snprintf(text, sizeof(text), "%lld\n", (long long)t.tv_sec * 1000000000 + t.tv_nsec);
    int fd = open("/islt-stamp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, (size_t)length) != length)
        return 1;
    close(fd);
    sigaction(SIGTERM, &end, NULL);
    for (;;)
        pause();
}
