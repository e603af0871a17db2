/* The interpreter at work: every operation, every way an error goes, in this process, its children and
 * theirs. */
#define _GNU_SOURCE
#include "build.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- running what was built ---- */

static struct build b;

struct ran {
    struct islp_program prog;
    struct islp_run run;
    struct islp_record rec;
    int64_t slots[ISLP_MAX_SLOTS];
    int64_t result;
    unsigned char *image;
    int report[2]; /* what came through it is read by take_record() */
};
static struct ran r;

static void ready_with(const int *fds, uint32_t count)
{
    size_t size;
    memset(&r, 0, sizeof r);
    r.image = assemble(&b, &size);
    if (islp_decode(r.image, size, &r.prog) != 0) {
        fprintf(stderr, "the test's program is refused: %s (%u)\n", r.prog.why, r.prog.where);
        exit(1);
    }
    islp_relocate(&r.prog);
    EXPECT_NUMBER(islp_begin(&r.run, &r.prog, r.slots, fds, count), count == b.preset ? 0 : -EINVAL);
    if (pipe2(r.report, O_CLOEXEC | O_NONBLOCK) != 0)
        abort();
    r.run.report_fd = r.report[1];
    r.run.allow_clone = 1;
}

static void ready(void)
{
    ready_with(NULL, 0);
}

static int execute(void)
{
    return islp_exec(&r.run, &r.result, &r.rec);
}

static void done(void)
{
    close(r.report[0]);
    close(r.report[1]);
    free(r.image);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

/* The next record in the report pipe; one of zeros when there is none. */
static struct islp_record take_record(void)
{
    struct islp_record rec;
    memset(&rec, 0, sizeof rec);
    ssize_t count = read(r.report[0], &rec, sizeof rec);
    EXPECT(count == (ssize_t)sizeof rec || count == -1);
    return rec;
}

/* The program must fail at op with error, and say so in both places. */
static void expect_failure(uint32_t op, int error)
{
    EXPECT_NUMBER(execute(), -1);
    EXPECT_NUMBER(r.rec.magic, ISLP_RECORD_MAGIC);
    EXPECT_NUMBER(r.rec.op, op);
    EXPECT_NUMBER(r.rec.error, error);
    EXPECT_NUMBER(r.rec.depth, 0);
    EXPECT_NUMBER(r.rec.zero, 0);
    struct islp_record told = take_record();
    EXPECT(memcmp(&told, &r.rec, sizeof told) == 0);
}

static void expect_success(int64_t result)
{
    EXPECT_NUMBER(execute(), 0);
    EXPECT_NUMBER(r.result, result);
    EXPECT_NUMBER(take_record().magic, 0);
}

/* ---- pieces of programs ---- */

struct child_place {
    uint32_t args, pidfd;
};

/* CLONE with a pidfd into slots pid and pid + 1; the child's target is to be set. Its index. */
static uint32_t add_clone(uint16_t pid)
{
    uint64_t fields[8] = {CLONE_PIDFD, 0, 0, 0, SIGCHLD};
    uint32_t args = bytes(&b, fields, sizeof fields);
    uint32_t pidfd = room(&b, 8);
    point(&b, args + 8, pidfd);
    uint32_t op = into(&b, ADD(&b, ISLP_CLONE, 0, ptr(args), imm(sizeof fields)), pid);
    into(&b, ADD(&b, ISLP_LOAD, 4, ptr(pidfd)), (uint16_t)(pid + 1));
    return op;
}

static void target(uint32_t op, uint32_t at)
{
    b.ops[op].target = at;
}

static uint32_t add_defer(void)
{
    return add(&b, ISLP_DEFER, 0, 0, NULL);
}

/* Appends a letter to the text in the data: how tests see the order of things. */

/* Adds a letter to those packed into slot 15: how tests see the order of things. */
static uint32_t add_letter(char letter)
{
    uint32_t first = into(&b, ADD(&b, ISLP_SET, 5, slot(15), imm(8)), 15);
    into(&b, ADD(&b, ISLP_SET, 1, slot(15), imm(letter)), 15);
    return first;
}

/* The letters of slot 15, in the order in which they came. */
static const char *letters(void)
{
    static char text_of[9];
    unsigned length = 0;
    for (int shift = 56; shift >= 0; shift -= 8) {
        char letter = (char)((uint64_t)r.slots[15] >> shift & 0xff);
        if (letter != 0)
            text_of[length++] = letter;
    }
    text_of[length] = 0;
    return text_of;
}

/* A deferred block that notes a letter; fills in the DEFER. */
static void add_block(uint32_t defer, char letter)
{
    target(defer, add_letter(letter));
    end(&b, 0);
}

/* ---- values ---- */

static void computes(void)
{
    static const struct {
        uint32_t nr;
        int64_t a, b, result;
    } cases[] = {
        {0, 7, 0, 7},          {0, -1, 0, -1},        {1, 5, -7, -2}, {1, INT64_MAX, 1, INT64_MIN},
        {2, 0x0f, 0xf0, 0xff}, {3, 0xff, 0x0f, 0x0f}, {4, 5, 7, -2},  {4, INT64_MIN, 1, INT64_MAX},
        {5, 1, 63, INT64_MIN}, {5, -1, 4, -16},       {5, 3, 0, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin(&b);
        into(&b, ADD(&b, ISLP_SET, 0, imm(cases[i].a)), 0);
        into(&b, ADD(&b, ISLP_SET, cases[i].nr, slot(0), imm(cases[i].b)), 1);
        end(&b, 3);
        ready();
        expect_success(3);
        EXPECT_NUMBER(r.slots[1], cases[i].result);
        done();
    }
}

static void refuses_a_senseless_shift(void)
{
    static const int64_t counts[] = {64, -1, INT64_MAX};
    for (size_t i = 0; i < 3; i++) {
        begin(&b);
        ADD(&b, ISLP_SET, 5, imm(1), imm(counts[i]));
        end(&b, 0);
        ready();
        expect_failure(0, EINVAL);
        EXPECT_NUMBER(r.rec.args[1], counts[i]);
        done();
    }
}

static void stores_and_loads_every_width(void)
{
    static const struct {
        uint32_t width;
        uint16_t flags;
        int64_t value, loaded;
    } cases[] = {
        {1, 0, -1, 0xff},         {1, ISLP_SIGNED, -1, -1},         {1, ISLP_SIGNED, 0x7f, 0x7f},
        {2, 0, -2, 0xfffe},       {2, ISLP_SIGNED, 0x8000, -32768}, {4, 0, -1, 0xffffffffll},
        {4, ISLP_SIGNED, -5, -5}, {8, 0, INT64_MIN, INT64_MIN},     {8, ISLP_SIGNED, -1, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin(&b);
        uint32_t at = room(&b, 16);
        ADD(&b, ISLP_STORE, cases[i].width, imm(cases[i].value), ptr(at + 3)); /* misaligned, too */
        uint32_t load = into(&b, ADD(&b, ISLP_LOAD, cases[i].width, ptr(at + 3)), 1);
        b.ops[load].flags = cases[i].flags;
        into(&b, ADD(&b, ISLP_LOAD, 1, ptr(at + 3 + cases[i].width)), 2);
        end(&b, 0);
        ready();
        expect_success(0);
        EXPECT_NUMBER(r.slots[1], cases[i].loaded);
        EXPECT_NUMBER(r.slots[2], 0);
        done();
    }
}

/* FORMAT with a template and a room; 0, or the error. The text is in r.image until done(). */
static int format_of(const char *template, uint32_t size, int64_t x, int64_t y, int64_t z, uint32_t *to)
{
    begin(&b);
    *to = room(&b, 64);
    memset(b.data + *to, '#', 64);
    uint32_t from = text(&b, template);
    into(&b, ADD(&b, ISLP_FORMAT, 0, ptr(*to), imm(size), ptr(from), imm(x), imm(y), imm(z)), 1);
    end(&b, 0);
    ready();
    return execute() == 0 ? 0 : r.rec.error;
}

static void formats_decimal_numbers(void)
{
    static const struct {
        const char *template;
        int64_t x, y, z;
        const char *text;
    } cases[] = {
        {"/p/%/fd/%", 1234, 0, 0, "/p/1234/fd/0"},
        {"%%%", 1, -2, 30, "1-230"},
        {"", 0, 0, 0, ""},
        {"none", 0, 0, 0, "none"},
        {"%", INT64_MIN, 0, 0, "-9223372036854775808"},
        {"%", INT64_MAX, 0, 0, "9223372036854775807"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t to;
        uint32_t exact = (uint32_t)strlen(cases[i].text) + 1;
        EXPECT_NUMBER(format_of(cases[i].template, exact, cases[i].x, cases[i].y, cases[i].z, &to), 0);
        EXPECT(strcmp((char *)r.prog.data + to, cases[i].text) == 0);
        EXPECT(r.prog.data[to + exact] == '#');
        EXPECT_NUMBER(r.slots[1], exact - 1);
        done();
        if (exact > 1) {
            EXPECT_NUMBER(format_of(cases[i].template, exact - 1, cases[i].x, cases[i].y, cases[i].z, &to),
                          ENAMETOOLONG);
            EXPECT(r.prog.data[to + exact - 1] == '#');
            done();
        }
    }
}

static void refuses_a_fourth_number(void)
{
    uint32_t to;
    EXPECT_NUMBER(format_of("% % % %", 64, 1, 2, 3, &to), EINVAL);
    done();
}

static void jumps_on_every_condition(void)
{
    static const struct {
        uint32_t nr;
        int64_t a, b;
        int taken;
    } cases[] = {
        {0, 0, 0, 1},
        {1, 4, 4, 1},
        {1, 4, 5, 0},
        {2, 4, 5, 1},
        {2, 4, 4, 0},
        {3, -1, 0, 1},
        {3, 0, 0, 0},
        {3, 1, 0, 0},
        {4, 0, 0, 1},
        {4, 1, 0, 1},
        {4, -1, 0, 0},
        {3, INT64_MIN, INT64_MAX, 1},
        {4, INT64_MIN, INT64_MAX, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        begin(&b);
        target(ADD(&b, ISLP_JUMP, cases[i].nr, imm(cases[i].a), imm(cases[i].b)), 2);
        end(&b, 0);
        end(&b, 1);
        ready();
        expect_success(cases[i].taken);
        done();
    }
}

static void loops(void)
{
    begin(&b);
    into(&b, ADD(&b, ISLP_SET, 1, slot(0), imm(1)), 0);
    target(ADD(&b, ISLP_JUMP, 3, slot(0), imm(1000)), 0);
    end(&b, 0);
    ready();
    expect_success(0);
    EXPECT_NUMBER(r.slots[0], 1000);
    done();
}

static void end_keeps_its_argument(void)
{
    begin(&b);
    into(&b, CALL(&b, SYS_getpid, imm(0)), 2);
    ADD(&b, ISLP_END, 0, slot(2));
    ready();
    expect_success(getpid());
    done();
}

static void running_off_the_end_is_an_error(void)
{
    begin(&b);
    ADD(&b, ISLP_SET, 0, imm(1));
    ready();
    expect_failure(0, EPROTO);
    done();
}

static void fills_preset_slots(void)
{
    const int fds[] = {7, 9};
    begin(&b);
    b.preset = 2;
    end(&b, 0);
    ready_with(fds, 2);
    EXPECT_NUMBER(r.slots[0], 7);
    EXPECT_NUMBER(r.slots[1], 9);
    EXPECT_NUMBER(r.slots[2], 0);
    done();
    ready_with(fds, 1);
    EXPECT_NUMBER(r.slots[1], -1);
    done();
}

/* ---- calls and errors ---- */

static void a_call_gives_its_result(void)
{
    int fds[2];
    begin(&b);
    uint32_t words = text(&b, "words");
    uint32_t vector = room(&b, 16);
    uint64_t length = 5;
    memcpy(b.data + vector + 8, &length, 8);
    point(&b, vector, words);
    b.preset = 2;
    into(&b, CALL(&b, SYS_writev, slot(1), ptr(vector), imm(1)), 2);
    end(&b, 0);
    if (pipe2(fds, O_CLOEXEC) != 0)
        abort();
    ready_with(fds, 2);
    expect_success(0);
    EXPECT_NUMBER(r.slots[2], 5);
    char got[8] = {0};
    EXPECT_NUMBER(read(fds[0], got, sizeof got), 5);
    EXPECT(strcmp(got, "words") == 0);
    close(fds[0]);
    close(fds[1]);
    done();
}

static void an_error_leaves_a_record_with_the_values_used(void)
{
    begin(&b);
    uint32_t path = text(&b, "/nonexistent/islt");
    into(&b, ADD(&b, ISLP_SET, 0, imm(O_CLOEXEC)), 4);
    into(&b, CALL(&b, SYS_openat, imm(AT_FDCWD), ptr(path), slot(4), imm(5), imm(6), imm(7)), 3);
    end(&b, 0);
    ready();
    expect_failure(1, ENOENT);
    EXPECT_NUMBER(r.rec.args[0], AT_FDCWD);
    EXPECT_NUMBER(r.rec.args[1], (intptr_t)(r.prog.data + path));
    EXPECT_NUMBER(r.rec.args[2], O_CLOEXEC);
    EXPECT_NUMBER(r.rec.args[3], 5);
    EXPECT_NUMBER(r.rec.args[4], 6);
    EXPECT_NUMBER(r.rec.args[5], 7);
    EXPECT_NUMBER(r.rec.executed, 2);
    EXPECT_NUMBER(r.slots[3], 0);
    done();
}

static void the_first_matching_rule_wins(void)
{
    static const struct {
        int32_t first, second;
        int64_t result;
    } cases[] = {{EBADF, 0, 1}, {EPERM, EBADF, 2}, {EPERM, 0, 2}, {0, EBADF, 1}};
    for (size_t i = 0; i < 4; i++) {
        begin(&b);
        into(&b, CALL(&b, SYS_close, imm(-1)), 5);
        on(&b, cases[i].first, 2);
        on(&b, cases[i].second, 3);
        end(&b, 0);
        end(&b, 1);
        end(&b, 2);
        ready();
        expect_success(cases[i].result);
        EXPECT_NUMBER(r.slots[5], -EBADF);
        done();
    }
}

static void an_error_that_no_rule_names_is_fatal(void)
{
    begin(&b);
    CALL(&b, SYS_close, imm(-1));
    on(&b, EPERM, 1);
    end(&b, 0);
    ready();
    expect_failure(0, EBADF);
    done();
}

static void rules_serve_operations_that_are_no_calls(void)
{
    begin(&b);
    into(&b, ADD(&b, ISLP_FAIL, 0, imm(ENODEV)), 1);
    on(&b, ENODEV, 2);
    end(&b, 0);
    ADD(&b, ISLP_TELL, 1, imm(0), imm(0), imm(0));
    on(&b, ENOSYS, 3);
    end(&b, 4);
    ready();
    expect_success(4);
    EXPECT_NUMBER(r.slots[1], -ENODEV);
    done();
}

static void a_full_call_must_move_all(void)
{
    int fds[2];
    for (int wanted = 3; wanted <= 4; wanted++) {
        begin(&b);
        uint32_t buffer = room(&b, 8);
        b.preset = 2;
        uint32_t op = into(&b, CALL(&b, SYS_read, slot(0), ptr(buffer), imm(wanted)), 2);
        b.ops[op].flags = ISLP_FULL;
        end(&b, 0);
        if (pipe2(fds, O_CLOEXEC) != 0 || write(fds[1], "abc", 3) != 3)
            abort();
        ready_with(fds, 2);
        if (wanted == 3)
            expect_success(0);
        else
            expect_failure(0, ISLP_SHORT);
        close(fds[0]);
        close(fds[1]);
        done();
    }
}

static void a_rule_can_take_a_short_call(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    begin(&b);
    uint32_t buffer = room(&b, 8);
    b.preset = 1;
    uint32_t op = into(&b, CALL(&b, SYS_read, slot(0), ptr(buffer), imm(8)), 2);
    on(&b, ISLP_SHORT, 2);
    b.ops[op].flags = ISLP_FULL;
    end(&b, 0);
    end(&b, 1);
    ready_with(&fd, 1);
    expect_success(1);
    EXPECT_NUMBER(r.slots[2], -ISLP_SHORT);
    close(fd);
    done();
}

static void check_and_fail(void)
{
    static const int64_t errors[] = {-1, -EACCES, -4095};
    static const int64_t fine[] = {0, 1, -4096, INT64_MIN};
    static const int64_t senseless[] = {0, -5, (int64_t)INT_MAX + 1};
    for (size_t i = 0; i < 3; i++) {
        begin(&b);
        ADD(&b, ISLP_CHECK, 0, imm(errors[i]));
        end(&b, 0);
        ready();
        expect_failure(0, (int)-errors[i]);
        done();
    }
    for (size_t i = 0; i < 4; i++) {
        begin(&b);
        into(&b, ADD(&b, ISLP_CHECK, 0, imm(fine[i])), 1);
        end(&b, 0);
        ready();
        expect_success(0);
        EXPECT_NUMBER(r.slots[1], fine[i]);
        done();
    }
    begin(&b);
    ADD(&b, ISLP_FAIL, 0, imm(EXDEV));
    ready();
    expect_failure(0, EXDEV);
    done();
    for (size_t i = 0; i < 3; i++) {
        begin(&b);
        ADD(&b, ISLP_FAIL, 0, imm(senseless[i]));
        ready();
        expect_failure(0, EINVAL);
        done();
    }
}

/* ---- waiting ---- */

static int waited_for;
static int wait_answer;
static pid_t runner; /* who may wait */

static int note_wait(struct islp_run *run, int fd)
{
    EXPECT(run == &r.run);
    waited_for = fd;
    return getpid() == runner ? wait_answer : -EIO;
}

static void the_runner_waits_for_the_first_process(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    begin(&b);
    uint32_t buffer = room(&b, 8);
    b.preset = 1;
    uint32_t op = CALL(&b, SYS_read, slot(0), ptr(buffer), imm(8));
    b.ops[op].flags = ISLP_WAIT_IN;
    end(&b, 0);
    ready_with(&fd, 1);
    waited_for = -1;
    wait_answer = 0;
    r.run.wait_in = note_wait;
    expect_success(0);
    EXPECT_NUMBER(waited_for, fd);
    done();
    ready_with(&fd, 1);
    wait_answer = -ECANCELED;
    r.run.wait_in = note_wait;
    expect_failure(0, ECANCELED);
    close(fd);
    done();
}

static void waiting_for_no_descriptor_is_an_error(void)
{
    static const int64_t fds[] = {-1, 1000000, (int64_t)INT_MAX + 1, INT64_MIN};
    for (size_t i = 0; i < 4; i++) {
        for (int wait = 0; wait <= 1; wait++) {
            begin(&b);
            if (wait) {
                ADD(&b, ISLP_WAIT, 0, imm(fds[i]), imm(0));
            } else {
                CALL(&b, SYS_read, imm(fds[i]), imm(0), imm(0));
                b.ops[0].flags = ISLP_WAIT_IN;
            }
            end(&b, 0);
            ready();
            expect_failure(0, EBADF);
            done();
        }
    }
}

static void polls_until_readable(void)
{
    int fds[2];
    begin(&b);
    uint32_t buffer = room(&b, 8);
    const struct timespec moment = {.tv_nsec = 30 * 1000 * 1000};
    uint32_t time = bytes(&b, &moment, sizeof moment);
    b.preset = 2;
    uint32_t child = add_clone(2);
    uint32_t read_op = into(&b, CALL(&b, SYS_read, slot(0), ptr(buffer), imm(8)), 4);
    b.ops[read_op].flags = ISLP_WAIT_IN;
    ADD(&b, ISLP_WAIT, 0, slot(3), imm(1));
    CALL(&b, SYS_close, slot(3));
    end(&b, 0);
    target(child, CALL(&b, SYS_nanosleep, ptr(time), imm(0)));
    CALL(&b, SYS_write, slot(1), ptr(buffer), imm(2));
    end(&b, 0);
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) /* without the wait: EAGAIN */
        abort();
    ready_with(fds, 2);
    expect_success(0);
    EXPECT_NUMBER(r.slots[4], 2);
    close(fds[0]);
    close(fds[1]);
    done();
}

static volatile sig_atomic_t alarms;

static void count_alarm(int signal)
{
    (void)signal;
    alarms++;
}

static void signals_interrupt_nothing(void)
{
    struct sigaction action = {.sa_handler = count_alarm}; /* without SA_RESTART */
    struct sigaction old;
    const struct itimerval often = {{0, 5000}, {0, 5000}};
    const struct itimerval never = {{0, 0}, {0, 0}};
    const struct timespec moment = {.tv_nsec = 60 * 1000 * 1000};
    int fds[2];
    begin(&b);
    uint32_t buffer = room(&b, 8);
    uint32_t time = bytes(&b, &moment, sizeof moment);
    b.preset = 2;
    uint32_t child = add_clone(2);
    into(&b, CALL(&b, SYS_read, slot(0), ptr(buffer), imm(8)), 4);
    into(&b, ADD(&b, ISLP_WAIT, 0, slot(3), imm(0)), 5);
    CALL(&b, SYS_close, slot(3));
    end(&b, 0);
    target(child, CALL(&b, SYS_nanosleep, ptr(time), imm(0)));
    CALL(&b, SYS_write, slot(1), ptr(buffer), imm(2));
    CALL(&b, SYS_nanosleep, ptr(time), imm(0));
    end(&b, 9);
    if (pipe2(fds, O_CLOEXEC) != 0)
        abort();
    ready_with(fds, 2);
    alarms = 0;
    sigaction(SIGALRM, &action, &old);
    setitimer(ITIMER_REAL, &often, NULL); /* children do not inherit it */
    expect_success(0);
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &old, NULL);
    EXPECT(alarms >= 5);
    EXPECT_NUMBER(r.slots[4], 2);
    EXPECT_NUMBER(r.slots[5], 9);
    close(fds[0]);
    close(fds[1]);
    done();
}

/* ---- processes ---- */

/* A program that clones, waits (strictly or not) into slot 4, and whose child follows. */
static void begin_family(int strict)
{
    begin(&b);
    uint32_t child = add_clone(2);
    into(&b, ADD(&b, ISLP_WAIT, 0, slot(3), imm(strict)), 4); /* operation 2 */
    CALL(&b, SYS_close, slot(3));
    end(&b, 0);
    target(child, b.op_count);
}

static void a_child_waits_by_itself(void)
{
    begin_family(0);
    uint32_t buffer = room(&b, 8);
    uint32_t path = text(&b, "/dev/zero");
    into(&b, CALL(&b, SYS_openat, imm(AT_FDCWD), ptr(path), imm(O_CLOEXEC)), 6);
    uint32_t op = into(&b, CALL(&b, SYS_read, slot(6), ptr(buffer), imm(8)), 7);
    b.ops[op].flags = ISLP_WAIT_IN;
    ADD(&b, ISLP_END, 0, slot(7));
    ready();
    waited_for = -1;
    wait_answer = 0;
    r.run.wait_in = note_wait;
    expect_success(0);
    EXPECT_NUMBER(r.slots[4], 8);
    EXPECT_NUMBER(waited_for, r.slots[3]);
    done();
}

static void a_child_goes_on_with_a_copy(void)
{
    begin(&b);
    uint32_t word = room(&b, 8);
    into(&b, ADD(&b, ISLP_SET, 0, imm(40)), 1);
    ADD(&b, ISLP_STORE, 8, imm(1), ptr(word));
    uint32_t child = add_clone(2);
    into(&b, ADD(&b, ISLP_WAIT, 0, slot(3), imm(0)), 4);
    CALL(&b, SYS_close, slot(3));
    into(&b, ADD(&b, ISLP_LOAD, 8, ptr(word)), 5);
    end(&b, 0);
    target(child, into(&b, ADD(&b, ISLP_LOAD, 8, ptr(word)), 6));
    into(&b, ADD(&b, ISLP_SET, 1, slot(1), slot(6)), 1);
    into(&b, ADD(&b, ISLP_SET, 1, slot(1), slot(2)), 1); /* the child's own clone gave it 0 */
    ADD(&b, ISLP_STORE, 8, imm(99), ptr(word));
    ADD(&b, ISLP_END, 0, slot(1));
    ready();
    expect_success(0);
    EXPECT(r.slots[2] > 0);
    EXPECT_NUMBER(r.slots[4], 41);
    EXPECT_NUMBER(r.slots[1], 40);
    EXPECT_NUMBER(r.slots[5], 1);
    done();
}

static void waiting_tells_code_or_signal(void)
{
    begin_family(0);
    end(&b, 77);
    ready();
    expect_success(0);
    EXPECT_NUMBER(r.slots[4], 77);
    done();

    begin_family(0);
    into(&b, CALL(&b, SYS_getpid, imm(0)), 6);
    CALL(&b, SYS_kill, slot(6), imm(SIGTERM));
    end(&b, 0);
    ready();
    expect_success(0);
    EXPECT_NUMBER(r.slots[4], 128 + SIGTERM);
    done();
}

static void a_strict_wait_makes_a_status_an_error(void)
{
    begin_family(1);
    end(&b, 0);
    ready();
    expect_success(0);
    done();

    begin_family(1);
    end(&b, 3);
    ready();
    expect_failure(2, ISLP_STATUS + 3);
    close((int)r.slots[3]);
    done();

    begin_family(1);
    end(&b, 3);
    b.rules[0] = (struct islp_rule){ISLP_STATUS + 3, 3};
    b.rule_count = 1;
    b.ops[2].rule_count = 1;
    ready();
    expect_success(0);
    EXPECT_NUMBER(r.slots[4], -(ISLP_STATUS + 3));
    done();
}

static void the_runner_waits_for_processes_too(void)
{
    begin_family(1);
    end(&b, 0);
    ready();
    waited_for = -1;
    wait_answer = 0;
    r.run.wait_in = note_wait;
    expect_success(0);
    EXPECT_NUMBER(waited_for, r.slots[3]);
    done();
}

static void a_child_executes_a_program(void)
{
    begin_family(0);
    uint32_t shell = text(&b, "/bin/sh");
    uint32_t option = text(&b, "-c");
    uint32_t script = text(&b, "exit 42");
    uint32_t array = room(&b, 32);
    point(&b, array, shell);
    point(&b, array + 8, option);
    point(&b, array + 16, script);
    CALL(&b, SYS_execve, ptr(shell), ptr(array), ptr(array + 24));
    ready();
    expect_success(0);
    EXPECT_NUMBER(r.slots[4], 42);
    done();
}

static void a_failed_child_reports_and_exits_126(void)
{
    begin_family(1);
    uint32_t bad = CALL(&b, SYS_close, imm(-7));
    end(&b, 0);
    ready();
    EXPECT_NUMBER(execute(), -1);
    EXPECT_NUMBER(r.rec.op, 2);
    EXPECT_NUMBER(r.rec.error, ISLP_STATUS + 126);
    struct islp_record first = take_record();
    EXPECT_NUMBER(first.op, bad);
    EXPECT_NUMBER(first.error, EBADF);
    EXPECT_NUMBER(first.depth, 1);
    EXPECT_NUMBER(first.args[0], -7);
    struct islp_record second = take_record();
    EXPECT(memcmp(&second, &r.rec, sizeof second) == 0);
    close((int)r.slots[3]);
    done();
}

static void a_grandchild_reports_first(void)
{
    begin_family(1);
    uint32_t grandchild = add_clone(8);
    uint32_t wait = ADD(&b, ISLP_WAIT, 0, slot(9), imm(1));
    end(&b, 0);
    uint32_t bad = CALL(&b, SYS_fchdir, imm(-3));
    target(grandchild, bad);
    end(&b, 0);
    ready();
    EXPECT_NUMBER(execute(), -1);
    struct islp_record first = take_record();
    EXPECT_NUMBER(first.op, bad);
    EXPECT_NUMBER(first.depth, 2);
    EXPECT_NUMBER(first.error, EBADF);
    struct islp_record second = take_record();
    EXPECT_NUMBER(second.op, wait);
    EXPECT_NUMBER(second.depth, 1);
    EXPECT_NUMBER(second.error, ISLP_STATUS + 126);
    struct islp_record third = take_record();
    EXPECT_NUMBER(third.op, 2);
    EXPECT_NUMBER(third.depth, 0);
    EXPECT_NUMBER(take_record().magic, 0);
    close((int)r.slots[3]);
    done();
}

static void a_process_with_threads_clones_nothing(void)
{
    begin_family(1);
    end(&b, 0);
    ready();
    r.run.allow_clone = 0;
    expect_failure(0, EPERM);
    done();
}

static void a_child_that_shares_memory_is_refused(void)
{
    static const uint64_t flags[] = {CLONE_VM, CLONE_VM | CLONE_VFORK, CLONE_SETTLS};
    for (size_t i = 0; i < 4; i++) {
        uint64_t fields[8] = {i < 3 ? flags[i] : 0, 0, 0, 0, SIGCHLD, i < 3 ? 0 : 4096};
        begin(&b);
        uint32_t args = bytes(&b, fields, sizeof fields);
        ADD(&b, ISLP_CLONE, 0, ptr(args), imm(sizeof fields));
        end(&b, 0);
        ready();
        expect_failure(0, EINVAL);
        done();
    }
}

static void a_call_makes_no_process(void)
{
    static const uint32_t calls[] = {
        SYS_clone,
        SYS_clone3,
#ifdef SYS_fork
        SYS_fork,
        SYS_vfork,
#endif
    };
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        begin(&b);
        CALL(&b, calls[i], imm(SIGCHLD));
        end(&b, 0);
        ready();
        expect_failure(0, EPERM);
        done();
    }
}

/* ---- deferred blocks ---- */

static void blocks_run_last_first_on_failure(void)
{
    begin(&b);
    uint32_t first = add_defer();
    uint32_t second = add_defer();
    ADD(&b, ISLP_FAIL, 0, imm(EIO));
    uint32_t third = add_defer(); /* not reached */
    add_block(first, 'a');
    add_block(second, 'b');
    add_block(third, 'c');
    ready();
    expect_failure(2, EIO);
    EXPECT(strcmp(letters(), "ba") == 0);
    islp_unwind(&r.run);
    EXPECT(strcmp(letters(), "ba") == 0);
    done();
}

static void blocks_wait_for_the_runner_on_success(void)
{
    begin(&b);
    uint32_t first = add_defer();
    uint32_t second = add_defer();
    end(&b, 5);
    add_block(first, 'a');
    add_block(second, 'b');
    ready();
    expect_success(5);
    EXPECT(strcmp(letters(), "") == 0);
    islp_unwind(&r.run);
    EXPECT(strcmp(letters(), "ba") == 0);
    islp_unwind(&r.run);
    EXPECT(strcmp(letters(), "ba") == 0);
    EXPECT_NUMBER(r.result, 5);
    done();
}

static void an_error_in_a_block_abandons_that_block(void)
{
    begin(&b);
    uint32_t first = add_defer();
    uint32_t second = add_defer();
    uint32_t third = add_defer();
    ADD(&b, ISLP_FAIL, 0, imm(EIO));
    add_block(first, 'a');
    target(second, add_letter('b'));
    CALL(&b, SYS_close, imm(-1));
    add_letter('x');
    end(&b, 0);
    add_block(third, 'c');
    ready();
    expect_failure(3, EIO);
    EXPECT(strcmp(letters(), "cba") == 0);
    EXPECT_NUMBER(take_record().magic, 0);
    done();
}

static void rules_and_jumps_work_inside_a_block(void)
{
    begin(&b);
    uint32_t defer = add_defer();
    end(&b, 0);
    target(defer, CALL(&b, SYS_close, imm(-1)));
    on(&b, EBADF, b.op_count + 1);
    end(&b, 0);
    add_letter('r');
    end(&b, 0);
    ready();
    expect_success(0);
    islp_unwind(&r.run);
    EXPECT(strcmp(letters(), "r") == 0);
    done();
}

static void a_block_cannot_defer(void)
{
    begin(&b);
    uint32_t defer = add_defer();
    end(&b, 0);
    target(defer, add_letter('a'));
    uint32_t again = add_defer();
    target(again, b.ops[defer].target);
    add_letter('b');
    end(&b, 0);
    ready();
    expect_success(0);
    islp_unwind(&r.run);
    EXPECT(strcmp(letters(), "a") == 0);
    done();
}

static void the_257th_block_is_an_error(void)
{
    for (uint32_t count = 256; count <= 257; count++) {
        begin(&b);
        for (uint32_t i = 0; i < count; i++)
            target(add_defer(), 0);
        uint32_t last = end(&b, 0);
        for (uint32_t i = 0; i < count; i++)
            target(i, last);
        ready();
        if (count == 256)
            expect_success(0);
        else
            expect_failure(256, ENOSPC);
        done();
    }
}

/* The blocks write letters into a pipe, so that those of a child show. */
static void a_child_has_no_block_but_its_own(void)
{
    int fds[2];
    begin(&b);
    uint32_t letter = text(&b, "pc");
    b.preset = 2;
    uint32_t parents = add_defer();
    uint32_t child = add_clone(2);
    into(&b, ADD(&b, ISLP_WAIT, 0, slot(3), imm(0)), 4);
    end(&b, 0);
    uint32_t childs = add_defer();
    target(child, childs);
    ADD(&b, ISLP_FAIL, 0, imm(EIO));
    target(parents, CALL(&b, SYS_write, slot(1), ptr(letter), imm(1)));
    end(&b, 0);
    target(childs, CALL(&b, SYS_write, slot(1), ptr(letter + 1), imm(1)));
    end(&b, 0);
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
        abort();
    ready_with(fds, 2);
    EXPECT_NUMBER(execute(), 0);
    EXPECT_NUMBER(take_record().depth, 1);
    EXPECT_NUMBER(r.slots[4], 126);
    char got[8] = {0};
    EXPECT_NUMBER(read(fds[0], got, sizeof got), 1);
    EXPECT(got[0] == 'c');
    islp_unwind(&r.run);
    EXPECT_NUMBER(read(fds[0], got, sizeof got), 1);
    EXPECT(got[0] == 'p');
    close((int)r.slots[3]);
    close(fds[0]);
    close(fds[1]);
    done();
}

static void a_block_can_clone_and_its_child_is_not_reported(void)
{
    begin(&b);
    uint32_t defer = add_defer();
    end(&b, 0);
    uint32_t child = add_clone(2);
    target(defer, child);
    into(&b, ADD(&b, ISLP_WAIT, 0, slot(3), imm(0)), 4);
    CALL(&b, SYS_close, slot(3));
    add_letter('k');
    end(&b, 0);
    target(child, CALL(&b, SYS_close, imm(-1)));
    end(&b, 0);
    ready();
    expect_success(0);
    islp_unwind(&r.run);
    EXPECT_NUMBER(r.slots[4], 126);
    EXPECT(strcmp(letters(), "k") == 0);
    EXPECT_NUMBER(take_record().magic, 0);
    EXPECT_NUMBER(waitpid(-1, NULL, WNOHANG), -1); /* nobody went on beside this process */
    done();
}

/* ---- telling ---- */

static struct {
    uint32_t code, len;
    int64_t value;
    char data[16];
    int null;
} told;
static int tell_answer;

static int note_tell(struct islp_run *run, uint32_t code, int64_t value, const void *data, uint32_t len)
{
    EXPECT(run == &r.run);
    told.code = code;
    told.value = value;
    told.len = len;
    told.null = data == NULL;
    if (data != NULL && len < sizeof told.data)
        memcpy(told.data, data, len);
    return tell_answer;
}

static void telling_reaches_the_runner(void)
{
    begin(&b);
    uint32_t words = text(&b, "news");
    into(&b, ADD(&b, ISLP_SET, 0, imm(4)), 1);
    ADD(&b, ISLP_TELL, 12, imm(-9), ptr(words), slot(1));
    end(&b, 0);
    ready();
    memset(&told, 0, sizeof told);
    tell_answer = 0;
    r.run.tell = note_tell;
    expect_success(0);
    EXPECT_NUMBER(told.code, 12);
    EXPECT_NUMBER(told.value, -9);
    EXPECT_NUMBER(told.len, 4);
    EXPECT(strcmp(told.data, "news") == 0);
    done();
    ready();
    tell_answer = -ENOMEM;
    r.run.tell = note_tell;
    expect_failure(1, ENOMEM);
    done();
    ready();
    expect_failure(1, ENOSYS);
    done();
}

static void telling_without_data(void)
{
    begin(&b);
    ADD(&b, ISLP_TELL, 1, imm(2), imm(0), imm(0));
    end(&b, 0);
    ready();
    memset(&told, 0, sizeof told);
    tell_answer = 0;
    r.run.tell = note_tell;
    expect_success(0);
    EXPECT_NUMBER(told.null, 1);
    EXPECT_NUMBER(told.value, 2);
    done();
}

static void telling_more_than_there_is_is_an_error(void)
{
    static const int64_t lengths[] = {1000, -1, INT64_MIN, 1ll << 32};
    for (size_t i = 0; i < 8; i++) {
        begin(&b);
        uint32_t words = text(&b, "news");
        into(&b, ADD(&b, ISLP_SET, 0, imm(lengths[i % 4])), 1);
        ADD(&b, ISLP_TELL, 1, imm(0), i < 4 ? ptr(words) : imm(0), slot(1));
        end(&b, 0);
        ready();
        told.code = 0;
        r.run.tell = note_tell;
        expect_failure(1, EFAULT);
        EXPECT_NUMBER(told.code, 0);
        done();
    }
}

static void a_child_cannot_tell(void)
{
    begin_family(0);
    ADD(&b, ISLP_TELL, 1, imm(0), imm(0), imm(0));
    on(&b, EPERM, b.op_count + 1);
    end(&b, 1);
    end(&b, 55);
    ready();
    told.code = 0;
    r.run.tell = note_tell;
    expect_success(0);
    EXPECT_NUMBER(r.slots[4], 55);
    EXPECT_NUMBER(told.code, 0);
    done();
}

/* ---- injected failures ---- */

static void an_operation_can_be_made_to_fail_by_index(void)
{
    int fds[2];
    begin(&b);
    uint32_t buffer = room(&b, 8);
    b.preset = 2;
    uint32_t defer = add_defer();
    CALL(&b, SYS_write, slot(1), ptr(buffer), imm(1));
    end(&b, 0);
    add_block(defer, 'd');
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
        abort();
    ready_with(fds, 2);
    r.run.fail_op = 1;
    r.run.fail_errno = EDQUOT;
    expect_failure(1, EDQUOT);
    EXPECT_NUMBER(r.rec.args[0], fds[1]);
    EXPECT(strcmp(letters(), "d") == 0);
    char byte;
    EXPECT_NUMBER(read(fds[0], &byte, 1), -1); /* it was not executed */
    close(fds[0]);
    close(fds[1]);
    done();
}

static void an_operation_can_be_made_to_fail_by_count(void)
{
    for (uint32_t number = 0; number < 8; number++) { /* 0 SET, 1 JUMP, 2 SET, 3 JUMP, 4 SET, 5 JUMP, 6 END */
        begin(&b);
        into(&b, ADD(&b, ISLP_SET, 1, slot(0), imm(1)), 0);
        target(ADD(&b, ISLP_JUMP, 3, slot(0), imm(3)), 0);
        end(&b, 0);
        ready();
        r.run.fail_count = number;
        r.run.fail_errno = EIO;
        if (number == 7) {
            expect_success(0);
        } else {
            expect_failure(number == 6 ? 2 : number % 2, EIO);
            EXPECT_NUMBER(r.rec.executed, number + 1);
            EXPECT_NUMBER(r.slots[0], (number + 1) / 2);
        }
        done();
    }
}

static void an_injected_failure_obeys_rules(void)
{
    begin(&b);
    into(&b, CALL(&b, SYS_getpid, imm(0)), 1);
    on(&b, ENOMEM, 2);
    end(&b, 0);
    end(&b, 1);
    ready();
    r.run.fail_op = 0;
    r.run.fail_errno = ENOMEM;
    expect_success(1);
    EXPECT_NUMBER(r.slots[1], -ENOMEM);
    done();
}

static void a_child_counts_on_from_its_parent(void)
{
    begin_family(1);                               /* CLONE is number 0 */
    uint32_t first = ADD(&b, ISLP_SET, 0, imm(1)); /* 1, as is the parent's LOAD */
    ADD(&b, ISLP_SET, 0, imm(1));
    ADD(&b, ISLP_SET, 0, imm(1));
    ADD(&b, ISLP_SET, 0, imm(1));
    ADD(&b, ISLP_SET, 0, imm(1)); /* 5: the parent fails at its WAIT, number 2, and has none */
    end(&b, 0);
    ready();
    r.run.fail_count = 5;
    r.run.fail_errno = ENFILE;
    EXPECT_NUMBER(execute(), -1);
    struct islp_record rec = take_record();
    EXPECT_NUMBER(rec.depth, 1);
    EXPECT_NUMBER(rec.op, first + 4);
    EXPECT_NUMBER(rec.error, ENFILE);
    EXPECT_NUMBER(rec.executed, 6);
    EXPECT_NUMBER(r.rec.error, ISLP_STATUS + 126);
    close((int)r.slots[3]);
    done();
}

static void every_step_can_fail_and_no_descriptor_stays(void)
{
    for (uint32_t op = 0; op < 5; op++) {
        begin(&b);
        uint32_t path = text(&b, "/dev/null");
        uint32_t defer = add_defer();
        into(&b, CALL(&b, SYS_openat, imm(AT_FDCWD), ptr(path), imm(O_CLOEXEC)), 1);
        on(&b, 0, 3); /* would be fine */
        into(&b, CALL(&b, SYS_fcntl, slot(1), imm(F_GETFD)), 2);
        ADD(&b, ISLP_CHECK, 0, slot(2));
        end(&b, 0);
        target(defer, CALL(&b, SYS_close, slot(1)));
        end(&b, 0);
        int before = dup(0);
        close(before);
        ready();
        r.run.fail_op = op;
        EXPECT_NUMBER(execute(), op == 1 ? 0 : -1);
        islp_unwind(&r.run);
        done();
        int after = dup(0);
        close(after);
        EXPECT_NUMBER(after, before);
    }
}

static void a_program_runs_again_from_a_pristine_copy(void)
{
    begin(&b);
    uint32_t word = room(&b, 8);
    into(&b, ADD(&b, ISLP_LOAD, 8, ptr(word)), 1);
    into(&b, ADD(&b, ISLP_SET, 1, slot(1), slot(2)), 1);
    into(&b, ADD(&b, ISLP_SET, 0, imm(7)), 2);
    ADD(&b, ISLP_STORE, 8, imm(1), ptr(word));
    ADD(&b, ISLP_END, 0, slot(1));
    for (int i = 0; i < 2; i++) {
        ready();
        expect_success(0);
        done();
    }
}

static void a_raw_call_returns_its_error(void)
{
    const int64_t bad[6] = {-1};
    const int64_t none[6] = {0};
    EXPECT_NUMBER(islp_syscall(SYS_close, bad), -EBADF);
    EXPECT_NUMBER(islp_syscall(SYS_getpid, none), getpid());
    EXPECT_NUMBER(islp_call(SYS_close, bad), -EBADF);
    EXPECT_NUMBER(islp_call(SYS_clone3, none), -EPERM);
    const int64_t six[6] = {0, 4096, 0, 0x22, -1, 0}; /* mmap: all six arguments matter */
    int64_t address = islp_syscall(SYS_mmap, six);
    EXPECT(address > 0);
    const int64_t unmap[6] = {address, 4096};
    EXPECT_NUMBER(islp_syscall(SYS_munmap, unmap), 0);
}

int main(void)
{
    runner = getpid();
    static const struct test tests[] = {
        {"a raw system call returns its result or -errno", a_raw_call_returns_its_error},
        {"SET computes with wrap-around", computes},
        {"SET refuses a shift of 64 and more", refuses_a_senseless_shift},
        {"STORE and LOAD move every width, signed and not, and nothing beside it",
         stores_and_loads_every_width},
        {"FORMAT writes decimal numbers, and not a byte beyond its room", formats_decimal_numbers},
        {"FORMAT refuses a fourth number", refuses_a_fourth_number},
        {"JUMP compares signed numbers", jumps_on_every_condition},
        {"JUMP can go back", loops},
        {"END keeps its argument as the result", end_keeps_its_argument},
        {"running off the end of the operations is an error", running_off_the_end_is_an_error},
        {"preset slots hold the descriptors, missing ones -1", fills_preset_slots},
        {"CALL gives the result, with relocated pointers", a_call_gives_its_result},
        {"an error leaves a record with the values used", an_error_leaves_a_record_with_the_values_used},
        {"the first matching rule wins", the_first_matching_rule_wins},
        {"an error that no rule names ends the program", an_error_that_no_rule_names_is_fatal},
        {"rules serve operations that are no calls", rules_serve_operations_that_are_no_calls},
        {"a FULL call that moves less is SHORT", a_full_call_must_move_all},
        {"a rule can take SHORT", a_rule_can_take_a_short_call},
        {"CHECK and FAIL make errors of numbers", check_and_fail},
        {"in the first process the runner waits", the_runner_waits_for_the_first_process},
        {"a child waits without the runner", a_child_waits_by_itself},
        {"waiting for no descriptor is EBADF, not for ever", waiting_for_no_descriptor_is_an_error},
        {"without a runner's wait it polls", polls_until_readable},
        {"signals interrupt neither calls nor waits", signals_interrupt_nothing},
        {"a child goes on at the target with a copy of slots and data", a_child_goes_on_with_a_copy},
        {"WAIT gives the exit code, or 128 and the signal", waiting_tells_code_or_signal},
        {"a strict WAIT makes STATUS of a result", a_strict_wait_makes_a_status_an_error},
        {"WAIT asks the runner to wait for the pidfd", the_runner_waits_for_processes_too},
        {"a child executes another program", a_child_executes_a_program},
        {"a child that fails reports and exits with 126", a_failed_child_reports_and_exits_126},
        {"the record of a grandchild comes before those of its parents", a_grandchild_reports_first},
        {"CLONE is EPERM where the runner forbids it", a_process_with_threads_clones_nothing},
        {"CLONE of a child that shares memory is refused", a_child_that_shares_memory_is_refused},
        {"CALL cannot make a process", a_call_makes_no_process},
        {"deferred blocks run last first when the program fails", blocks_run_last_first_on_failure},
        {"deferred blocks wait for the runner when it succeeds", blocks_wait_for_the_runner_on_success},
        {"an error in a block abandons that block only", an_error_in_a_block_abandons_that_block},
        {"rules work inside a block", rules_and_jumps_work_inside_a_block},
        {"a block cannot register another", a_block_cannot_defer},
        {"256 blocks are the most", the_257th_block_is_an_error},
        {"a child has no deferred block but its own", a_child_has_no_block_but_its_own},
        {"a block can clone, and its children do not report",
         a_block_can_clone_and_its_child_is_not_reported},
        {"TELL reaches the runner", telling_reaches_the_runner},
        {"TELL needs no data", telling_without_data},
        {"TELL of more than the data holds is EFAULT", telling_more_than_there_is_is_an_error},
        {"a child cannot tell", a_child_cannot_tell},
        {"an operation can be made to fail by its index", an_operation_can_be_made_to_fail_by_index},
        {"an operation can be made to fail by the count of operations",
         an_operation_can_be_made_to_fail_by_count},
        {"an injected failure obeys the rules", an_injected_failure_obeys_rules},
        {"a child counts on from its parent's number", a_child_counts_on_from_its_parent},
        {"every step can fail, and no descriptor stays", every_step_can_fail_and_no_descriptor_stays},
        {"a program runs again from a pristine copy", a_program_runs_again_from_a_pristine_copy},
    };
    return run_tests("run", tests, sizeof tests / sizeof tests[0]);
}
