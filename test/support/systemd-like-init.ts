import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { testDir } from "./paths.js";

/**
 * An init that understands what systemd understands: SIGRTMIN+3 to stop (signal 37) once it blocks it, a socket handed down, the manager's notify socket.
 * Static, so that it runs in an empty root file system. /slow: it does not listen for the first 1.2 s.
 */
const source = `
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <poll.h>
#include <unistd.h>
#include <fcntl.h>

static void say(const char *words)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    if (path == NULL || fd < 0)
        return;
    strncpy(to.sun_path, path, sizeof(to.sun_path) - 1);
    sendto(fd, words, strlen(words), 0, (struct sockaddr *)&to, sizeof(to));
    close(fd);
}

static void mark(const char *path)
{
    close(open(path, O_CREAT | O_WRONLY, 0644));
}

int main(void)
{
    const char *sockets = getenv("LISTEN_FDS");
    struct pollfd wait[2];
    sigset_t mask;
    int is_alone = fcntl(4, F_GETFD) < 0;

    if (access("/slow", F_OK) == 0)
        usleep(1200000);
    sigemptyset(&mask);
    for (int sig = 1; sig < 65; sig++)
        if (sig == 37 || sig == 30 || sig == SIGINT || sig == SIGUSR1 || sig == SIGUSR2)
            sigaddset(&mask, sig);
    /* glibc's own signals are none of these. */
    sigprocmask(SIG_BLOCK, &mask, NULL);
    wait[0] = (struct pollfd){.fd = signalfd(-1, &mask, SFD_CLOEXEC), .events = POLLIN};
    wait[1] = (struct pollfd){.fd = sockets != NULL ? 3 : -1, .events = POLLIN};
    mark("/listens");
    for (;;) {
        struct signalfd_siginfo info;

        poll(wait, 2, -1);
        if (wait[1].revents & POLLIN) {
            char text[256];
            int client = accept(3, NULL, NULL);
            int len = snprintf(text, sizeof(text), "pid %d of %s, named %s, %s\\n", (int)getpid(), getenv("LISTEN_PID"),
                               getenv("LISTEN_FDNAMES"), is_alone ? "alone" : "with others");

            write(client, text, len);
            close(client);
        }
        if ((wait[0].revents & POLLIN) == 0 || read(wait[0].fd, &info, sizeof(info)) != sizeof(info))
            continue;
        switch (info.ssi_signo) {
        case SIGUSR1: /* another process claims that init is ready, more often than a queue is long */
            if (fork() == 0) {
                for (int i = 0; i < 300; i++)
                    say("READY=1\\n");
                mark("/claimed");
                _exit(0);
            }
            break;
        case SIGUSR2:
            say("STATUS=half of it\\nREADY=10\\n");
            say("READY=1\\nSTATUS=Ready.");
            break;
        case 37:
            mark("/stopped-well");
            reboot(RB_POWER_OFF);
            break;
        case SIGINT:
            reboot(RB_AUTOBOOT);
            break;
        default: /* SIGPWR means nothing to it */
            break;
        }
    }
}
`;

/** Compiles it to the path. */
export function compileGuestInit(to: string): void {
  const directory = mkdtempSync(join(testDir, "islt-init-"));
  try {
    const file = join(directory, "init.c");
    writeFileSync(file, source);
    execFileSync("cc", ["-w", "-static", "-O1", "-o", to, file], { timeout: 60_000 });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
