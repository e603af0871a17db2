// The floor of a start: the bare system calls that bring up the benchmark's busybox container, without a
// configuration, a daemon, a monitor or a check of anything that cannot be left out. What it does is what the
// configuration of that container asks for: proc mixed, sys read-only, a /dev of its own with console and
// five ttys, the host's libraries bound, shm and mqueue, four capabilities dropped, a cgroup in every
// hierarchy.
//
//   floor NAME ROOTFS [INIT]     prints the nanoseconds from its first instruction to the exec of INIT
//                                (default /sbin/init), kills the container and removes its cgroups
//   floor -s NAME ROOTFS INIT    the same, but ends with the exec and leaves the container running
//   floor -k NAME                kills such a container and removes its cgroups
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

enum { TTYS = 5, MAX_HIERARCHIES = 32 };

static char cgroup_dirs[MAX_HIERARCHIES][256];
static int cgroup_is_v2[MAX_HIERARCHIES];
static int cgroup_has_cpuset[MAX_HIERARCHIES];
static int cgroup_count;

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static void need(long result, const char *what)
{
    if (result < 0)
        die(what);
}

static void write_file(const char *dir, const char *file, const char *text)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    need(fd, path);
    need(write(fd, text, strlen(text)), path);
    close(fd);
}

static void copy_file(const char *dir, const char *file)
{
    char path[512], text[256];
    snprintf(path, sizeof(path), "%s/../%s", dir, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    need(fd, path);
    ssize_t length = read(fd, text, sizeof(text) - 1);
    need(length, path);
    close(fd);
    text[length] = '\0';
    write_file(dir, file, text);
}

// Where the hierarchies are does not change between two starts, so a manager may know it: this is before the
// clock starts.
static void find_cgroups(const char *name)
{
    FILE *mounts = fopen("/proc/self/mounts", "re");
    char line[1024], source[256], where[256], type[64], options[512];
    if (mounts == NULL)
        die("/proc/self/mounts");
    while (fgets(line, sizeof(line), mounts) != NULL && cgroup_count < MAX_HIERARCHIES) {
        if (sscanf(line, "%255s %255s %63s %511s", source, where, type, options) != 4)
            continue;
        if (strcmp(type, "cgroup") != 0 && strcmp(type, "cgroup2") != 0)
            continue;
        cgroup_is_v2[cgroup_count] = strcmp(type, "cgroup2") == 0;
        int length =
            snprintf(cgroup_dirs[cgroup_count], sizeof(cgroup_dirs[0]), "%s/lxc.payload.%s", where, name);
        if (length >= (int)sizeof(cgroup_dirs[0]))
            continue;
        snprintf(line, sizeof(line), "%s/cpuset.cpus", where);
        cgroup_has_cpuset[cgroup_count] = !cgroup_is_v2[cgroup_count] && access(line, F_OK) == 0;
        cgroup_count++;
    }
    fclose(mounts);
}

// The v2 directory's descriptor, for CLONE_INTO_CGROUP, or -1.
static int make_cgroups(void)
{
    int unified = -1;
    for (int i = 0; i < cgroup_count; i++) {
        if (mkdir(cgroup_dirs[i], 0755) < 0 && errno != EEXIST)
            die(cgroup_dirs[i]);
        if (cgroup_is_v2[i]) {
            unified = open(cgroup_dirs[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            need(unified, cgroup_dirs[i]);
        } else if (cgroup_has_cpuset[i]) {
            copy_file(cgroup_dirs[i], "cpuset.cpus");
            copy_file(cgroup_dirs[i], "cpuset.mems");
        }
    }
    return unified;
}

// A process of one thread that moves itself through `tasks` does without the kernel's lock over all forks and
// exits, whose first taker waits for a grace period, 5 to 10 ms; a write of a pid to cgroup.procs takes it
// (kernel/cgroup/cgroup.c, cgroup_procs_write_start).
static void enter_cgroups(void)
{
    for (int i = 0; i < cgroup_count; i++) {
        if (!cgroup_is_v2[i])
            write_file(cgroup_dirs[i], "tasks", "0");
    }
}

static void bind(const char *source, const char *target, int readonly)
{
    need(mount(source, target, NULL, MS_BIND, NULL), target);
    if (readonly)
        need(mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), target);
}

static void touch(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    need(fd, path);
    close(fd);
}

static void make_dev(unsigned console_number)
{
    static const struct {
        const char *name;
        unsigned minor, major;
    } nodes[] = {{"dev/full", 7, 1}, {"dev/null", 3, 1},    {"dev/random", 8, 1},
                 {"dev/tty", 0, 5},  {"dev/urandom", 9, 1}, {"dev/zero", 5, 1}};
    static const char *const links[][2] = {{"/proc/self/fd", "dev/fd"},
                                           {"/proc/self/fd/0", "dev/stdin"},
                                           {"/proc/self/fd/1", "dev/stdout"},
                                           {"/proc/self/fd/2", "dev/stderr"}};
    char path[64], source[64];
    unsigned number = 0;

    need(mount("none", "dev", "tmpfs", 0, "size=500000,mode=755"), "dev");
    umask(0);
    for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
        need(mknod(nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)), nodes[i].name);
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
        need(symlink(links[i][0], links[i][1]), links[i][1]);
    umask(022);
    need(mkdir("dev/shm", 0755), "dev/shm");
    need(mount("shm", "dev/shm", "tmpfs", 0, NULL), "dev/shm");
    need(mkdir("dev/mqueue", 0755), "dev/mqueue");
    need(mount("mqueue", "dev/mqueue", "mqueue", 0, NULL), "dev/mqueue");
    need(mkdir("dev/pts", 0755), "dev/pts");
    need(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
               "newinstance,gid=5,mode=0620,ptmxmode=0666,max=6"),
         "dev/pts");
    touch("dev/ptmx");
    bind("dev/pts/ptmx", "dev/ptmx", 0);
    touch("dev/console");
    snprintf(source, sizeof(source), "/dev/pts/%u", console_number);
    bind(source, "dev/console", 0);
    for (int i = 1; i <= TTYS; i++) {
        int zero = 0;
        int master = open("dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
        need(master, "dev/pts/ptmx");
        need(ioctl(master, TIOCSPTLCK, &zero), "TIOCSPTLCK");
        need(ioctl(master, TIOCGPTN, &number), "TIOCGPTN");
        snprintf(path, sizeof(path), "dev/tty%d", i);
        touch(path);
        snprintf(source, sizeof(source), "dev/pts/%u", number);
        bind(source, path, 0);
        // The masters go to the monitor in a real start; here they end with the exec.
    }
}

static void make_root(const char *name, const char *rootfs, unsigned console_number)
{
    static const char *const libraries[] = {"lib", "usr/lib", "lib64", "usr/lib64"};
    char source[32];

    need(sethostname(name, strlen(name)), "sethostname");
    need(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL), "make / a slave");
    need(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL), rootfs);
    need(chdir(rootfs), rootfs);
    need(mount("proc", "proc", "proc", MS_NODEV | MS_NOEXEC | MS_NOSUID, NULL), "proc");
    bind("proc/sys/net", "proc/tty", 0);
    need(mount("proc/sys", "proc/sys", NULL, MS_BIND, NULL), "proc/sys");
    need(mount("proc/tty", "proc/sys/net", NULL, MS_MOVE, NULL), "proc/sys/net");
    need(mount(NULL, "proc/sys", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), "proc/sys");
    if (access("proc/sysrq-trigger", F_OK) == 0)
        bind("proc/sysrq-trigger", "proc/sysrq-trigger", 1);
    need(mount("sysfs", "sys", "sysfs", MS_RDONLY, NULL), "sys");
    make_dev(console_number);
    for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++) {
        snprintf(source, sizeof(source), "/%s", libraries[i]);
        if (access(source, F_OK) == 0 && access(libraries[i], F_OK) == 0)
            bind(source, libraries[i], 1);
    }
    if (access("/sys/kernel/security", F_OK) == 0)
        bind("/sys/kernel/security", "sys/kernel/security", 1);
    need(syscall(SYS_pivot_root, ".", "."), "pivot_root");
    need(umount2(".", MNT_DETACH), "detach the old root");
    need(chdir("/"), "chdir /");
}

static void drop_capabilities(void)
{
    static const int dropped[] = {CAP_SYS_MODULE, CAP_MAC_ADMIN, CAP_MAC_OVERRIDE, CAP_SYS_TIME};
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    need(syscall(SYS_capget, &header, data), "capget");
    for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++) {
        need(prctl(PR_CAPBSET_DROP, dropped[i], 0, 0, 0), "drop a capability");
        data[dropped[i] / 32].inheritable &= ~(1U << dropped[i] % 32);
        data[dropped[i] / 32].permitted &= ~(1U << dropped[i] % 32);
        data[dropped[i] / 32].effective &= ~(1U << dropped[i] % 32);
    }
    need(syscall(SYS_capset, &header, data), "capset");
}

static void child(const char *name, const char *rootfs, const char *init, int console,
                  unsigned console_number)
{
    char *argv[] = {(char *)init, NULL};
    char *env[] = {"container=lxc", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                   NULL};

    enter_cgroups();
    make_root(name, rootfs, console_number);
    need(unshare(CLONE_NEWCGROUP), "unshare the cgroup namespace");
    drop_capabilities();
    need(setsid(), "setsid");
    need(ioctl(console, TIOCSCTTY, 0), "TIOCSCTTY");
    for (int fd = 0; fd < 3; fd++)
        need(dup2(console, fd), "dup2");
    execve(init, argv, env);
    die(init);
}

static void remove_cgroups(void)
{
    for (int i = 0; i < cgroup_count; i++)
        rmdir(cgroup_dirs[i]);
}

// The first process of what `floor -s` has left: the lowest pid, for a guest that starts nothing.
static int end_left(const char *name)
{
    struct timespec moment = {.tv_nsec = 1000000};
    char path[512];
    long pid;

    find_cgroups(name);
    if (cgroup_count == 0)
        return 1;
    snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup_dirs[0]);
    for (int round = 0; round < 1000; round++) {
        FILE *procs = fopen(path, "re");

        if (procs == NULL)
            return 0;
        if (fscanf(procs, "%ld", &pid) == 1)
            kill((pid_t)pid, SIGKILL);
        fclose(procs);
        remove_cgroups();
        nanosleep(&moment, NULL);
    }
    fprintf(stderr, "floor: %s does not end\n", name);
    return 1;
}

int main(int argc, char **argv)
{
    int is_left = argc > 1 && strcmp(argv[1], "-s") == 0;

    if (argc == 3 && strcmp(argv[1], "-k") == 0)
        return end_left(argv[2]);
    if (is_left) {
        argv++;
        argc--;
    }
    if (argc < 3) {
        fprintf(stderr, "usage: floor [-s] NAME ROOTFS [INIT]\n       floor -k NAME\n");
        return 2;
    }
    const char *init = argc > 3 ? argv[3] : "/sbin/init";
    int executed[2], pidfd = -1, zero = 0, status = 0;
    unsigned console_number = 0;
    char byte = 0;

    find_cgroups(argv[1]);
    int64_t began = now();
    int unified = make_cgroups();
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    need(master, "/dev/ptmx");
    need(ioctl(master, TIOCSPTLCK, &zero), "TIOCSPTLCK");
    int console = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    need(console, "TIOCGPTPEER");
    need(ioctl(master, TIOCGPTN, &console_number), "TIOCGPTN");
    need(pipe2(executed, O_CLOEXEC), "pipe2");
    struct clone_args args = {
        .flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_PIDFD,
        .pidfd = (uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
    };
    if (unified >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)unified;
    }
    long pid = syscall(SYS_clone3, &args, sizeof(args));
    need(pid, "clone3");
    if (pid == 0) {
        child(argv[1], argv[2], init, console, console_number);
        _exit(1);
    }
    close(executed[1]);
    while (read(executed[0], &byte, 1) < 0 && errno == EINTR)
        continue;
    int64_t ended = now();
    if (is_left)
        return 0;

    // The stamp, if the init writes one, comes a moment after the exec.
    struct timespec moment = {.tv_nsec = 20000000};
    nanosleep(&moment, NULL);
    int early = waitpid((pid_t)pid, &status, WNOHANG) == (pid_t)pid;
    if (!early) {
        syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        waitpid((pid_t)pid, &status, 0);
    }
    remove_cgroups();
    if (early && WIFEXITED(status) && WEXITSTATUS(status) == 1)
        return 1;
    printf("%lld\n", (long long)(ended - began));
    return 0;
}
