/* An init for tests of what a guest finds. Writes what PID 1 got to /report, one "name value" a line, then
 * lives by the word in /mode:
 *
 *   handler   acts in handlers: SIGPWR powers off, SIGINT restarts (what sysvinit and the like do)
 *   blocked   blocks SIGRTMIN+3 and SIGINT and takes them from a signalfd (what systemd does)
 *   deaf      does nothing about either
 *   off, halt, reboot, exit   ends so at once
 *
 * Every signal that it gets is a line of /signals. Statically linked: images have no libraries. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* glibc's SIGRTMIN+3, which is what systemd means: musl's SIGRTMIN is another. */
#define HALT_SIGNAL 37

struct kernel_sigaction {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)(void);
    unsigned long mask;
};

static void report_process(FILE *out, int argc, char **argv, char **envp)
{
    char cwd[4096] = "?";
    gid_t groups[64];
    struct rlimit files = {0, 0};
    unsigned long blocked = 0;
    mode_t mask = umask(022);

    fprintf(out, "argc %d\nargv0 %s\n", argc, argv[0]);
    for (char **entry = envp; *entry != NULL; entry++)
        fprintf(out, "env %s\n", *entry);
    if (getcwd(cwd, sizeof(cwd)) != NULL)
        fprintf(out, "cwd %s\n", cwd);
    fprintf(out, "umask %03o\n", (unsigned int)mask);
    fprintf(out, "ids %d %d %d %d\n", getuid(), geteuid(), getgid(), getegid());
    fprintf(out, "groups %d\n", getgroups(64, groups));
    fprintf(out, "pids %d %d %d %d\n", getpid(), getppid(), getsid(0), getpgrp());
    fprintf(out, "foreground %s\n", tcgetpgrp(0) < 0 ? strerror(errno) : "a process group");
    getrlimit(RLIMIT_NOFILE, &files);
    fprintf(out, "nofile %lu\n", (unsigned long)files.rlim_cur);
    fprintf(out, "no_new_privs %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    fprintf(out, "seccomp %d\n", prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
    for (int number = 1; number <= 64; number++) {
        struct kernel_sigaction old = {0};
        if (syscall(SYS_rt_sigaction, number, NULL, &old, 8) == 0 && old.handler != SIG_DFL)
            fprintf(out, "disposition %d\n", number);
    }
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &blocked, 8);
    fprintf(out, "blocked %lx\n", blocked);
}

static void report_descriptors(FILE *out)
{
    DIR *directory = opendir("/proc/self/fd");
    if (directory == NULL)
        return;
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        char path[64], target[4096];
        int number = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || number == dirfd(directory) || number == fileno(out))
            continue;
        snprintf(path, sizeof(path), "/proc/self/fd/%d", number);
        ssize_t length = readlink(path, target, sizeof(target) - 1);
        target[length < 0 ? 0 : length] = 0;
        fprintf(out, "descriptor %d %s %s\n", number, target,
                (fcntl(number, F_GETFL) & O_ACCMODE) == O_RDWR ? "read-write" : "one way");
    }
    closedir(directory);
}

static void report_call(FILE *out, const char *name, long result)
{
    fprintf(out, "call %s %d\n", name, result < 0 ? errno : 0);
}

static void report_calls(FILE *out)
{
    report_call(out, "kexec_load", syscall(SYS_kexec_load, 0, 0, NULL, 0));
    report_call(out, "open_by_handle_at", syscall(SYS_open_by_handle_at, -1, NULL, 0));
    report_call(out, "init_module", syscall(SYS_init_module, NULL, 0, ""));
    report_call(out, "finit_module", syscall(SYS_finit_module, -1, "", 0));
    report_call(out, "delete_module", syscall(SYS_delete_module, "islt", 0));
    report_call(out, "umount-force", syscall(SYS_umount2, "/nowhere", MNT_FORCE));
    report_call(out, "umount-lazy", syscall(SYS_umount2, "/nowhere", MNT_DETACH));
    report_call(out, "umount-both", syscall(SYS_umount2, "/nowhere", MNT_FORCE | MNT_DETACH));
}

static void log_signal(int number)
{
    char line[16];
    int fd = open("/signals", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int length = snprintf(line, sizeof(line), "%d\n", number);
    if (fd < 0)
        return;
    if (write(fd, line, (size_t)length) != length)
        _exit(3);
    close(fd);
}

static int is_deaf;

static void obey(int number)
{
    log_signal(number);
    if (is_deaf)
        return;
    if (number == SIGPWR || number == HALT_SIGNAL)
        reboot(RB_POWER_OFF);
    if (number == SIGINT)
        reboot(RB_AUTOBOOT);
}

static void live(const char *mode)
{
    sigset_t set;
    sigemptyset(&set);
    is_deaf = strcmp(mode, "deaf") == 0;
    if (strcmp(mode, "blocked") == 0) {
        sigaddset(&set, HALT_SIGNAL);
        sigaddset(&set, SIGPWR);
        sigaddset(&set, SIGINT);
        sigprocmask(SIG_BLOCK, &set, NULL);
    } else {
        struct sigaction act = {.sa_handler = obey};
        sigaction(SIGPWR, &act, NULL);
        sigaction(SIGINT, &act, NULL);
        sigaction(HALT_SIGNAL, &act, NULL);
    }
    int fd = signalfd(-1, &set, SFD_CLOEXEC);
    for (;;) {
        struct pollfd event = {.fd = fd, .events = POLLIN};
        struct signalfd_siginfo info;
        if (poll(&event, 1, 100) > 0 && read(fd, &info, sizeof(info)) == sizeof(info))
            obey((int)info.ssi_signo);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
}

int main(int argc, char **argv, char **envp)
{
    char mode[32] = "handler";
    FILE *out = fopen("/report.new", "we");
    if (out == NULL)
        return 2;
    report_process(out, argc, argv, envp);
    report_descriptors(out);
    report_calls(out);
    fclose(out);
    rename("/report.new", "/report");
    FILE *in = fopen("/mode", "re");
    if (in != NULL) {
        if (fscanf(in, "%31s", mode) != 1)
            return 2;
        fclose(in);
    }
    if (strcmp(mode, "off") == 0)
        reboot(RB_POWER_OFF);
    if (strcmp(mode, "halt") == 0)
        reboot(RB_HALT_SYSTEM);
    if (strcmp(mode, "reboot") == 0) {
        /* Once: the next one lives. */
        unlink("/mode");
        reboot(RB_AUTOBOOT);
    }
    if (strcmp(mode, "exit") == 0)
        return 7;
    live(mode);
    return 1;
}
