/* The interpreter of launch programs. interp.h says how it is used, docs/protocol/program.md what it does. */
#define _GNU_SOURCE
#include "interp.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

_Static_assert(sizeof(struct islp_header) == 64, "header layout");
_Static_assert(sizeof(struct islp_op) == 80, "operation layout");
_Static_assert(sizeof(struct islp_rule) == 8 && sizeof(struct islp_reloc) == 8, "table layouts");
_Static_assert(sizeof(struct islp_record) == 72, "record layout");

/* ---- system calls ---- */

/* By hand, since libc's syscall() writes errno, which after clone3 belongs to a thread that libc has not set
 * up. */
int64_t islp_syscall(long nr, const int64_t args[6])
{
#if defined(__x86_64__)
    register int64_t r10 __asm__("r10") = args[3];
    register int64_t r8 __asm__("r8") = args[4];
    register int64_t r9 __asm__("r9") = args[5];
    int64_t ret;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(args[0]), "S"(args[1]), "d"(args[2]), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
#else
    register int64_t x8 __asm__("x8") = nr;
    register int64_t x0 __asm__("x0") = args[0];
    register int64_t x1 __asm__("x1") = args[1];
    register int64_t x2 __asm__("x2") = args[2];
    register int64_t x3 __asm__("x3") = args[3];
    register int64_t x4 __asm__("x4") = args[4];
    register int64_t x5 __asm__("x5") = args[5];
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory", "cc");
    return x0;
#endif
}

static int is_error(int64_t result)
{
    return result < 0 && result >= -4095;
}

static int64_t pointer_value(const void *pointer)
{
    return (int64_t)(intptr_t)pointer;
}

/* close frees the descriptor before it can be interrupted: a second try could close somebody else's. */
static int64_t restarted_syscall(long nr, const int64_t args[6])
{
    for (;;) {
        int64_t result = islp_syscall(nr, args);
        if (result != -EINTR)
            return result;
        if (nr == SYS_close)
            return 0;
    }
}

/* A process made behind the interpreter's back would go on as if it were its parent. */
static int makes_process(uint32_t nr)
{
    switch (nr) {
#ifdef SYS_fork
    case SYS_fork:
    case SYS_vfork:
#endif
    case SYS_clone:
    case SYS_clone3:
        return 1;
    default:
        return 0;
    }
}

int64_t islp_call(uint32_t nr, const int64_t args[6])
{
    return makes_process(nr) ? -EPERM : restarted_syscall((long)nr, args);
}

static _Noreturn void exit_process(int64_t code)
{
    const int64_t args[6] = {code};
    for (;;)
        islp_syscall(SYS_exit_group, args);
}

/* ---- decoder ---- */

static int refuse(struct islp_program *prog, int error, const char *why, uint32_t where)
{
    prog->why = why;
    prog->where = where;
    return -error;
}

/* Tables lie in the order of the format, so that none can be written through another. *end moves behind this
 * one. */
static int table_fits(uint32_t off, uint32_t count, uint32_t record, uint32_t align, uint32_t size,
                      uint64_t *end)
{
    uint64_t last = (uint64_t)off + (uint64_t)count * record;
    if (off % align != 0 || last > size)
        return 0;
    if (count == 0)
        return 1;
    if (off < *end)
        return 0;
    *end = last;
    return 1;
}

struct shape {
    uint8_t args;  /* how many arguments it uses */
    uint8_t flags; /* the flags it knows */
    uint8_t jumps; /* 1: target is an operation */
};

static const struct shape shapes[] = {
    [ISLP_CALL] = {6, ISLP_WAIT_IN | ISLP_FULL, 0},
    [ISLP_CLONE] = {2, 0, 1},
    [ISLP_WAIT] = {2, 0, 0},
    [ISLP_JUMP] = {2, 0, 1},
    [ISLP_SET] = {2, 0, 0},
    [ISLP_STORE] = {2, 0, 0},
    [ISLP_LOAD] = {1, ISLP_SIGNED, 0},
    [ISLP_FORMAT] = {6, 0, 0},
    [ISLP_DEFER] = {0, 0, 1},
    [ISLP_END] = {1, 0, 0},
    [ISLP_TELL] = {3, 0, 0},
    [ISLP_CHECK] = {1, 0, 0},
    [ISLP_FAIL] = {1, 0, 0},
};

/* NULL, or what is wrong with the argument. */
static const char *check_arg(const struct islp_program *prog, uint64_t value, unsigned tag)
{
    switch (tag) {
    case ISLP_VALUE:
        return NULL;
    case ISLP_DATA: /* one past the end is the address of an empty buffer */
        return value <= prog->data_size ? NULL : "a pointer lies outside the data";
    case ISLP_SLOT:
        return value < prog->slot_count ? NULL : "an argument's slot does not exist";
    default:
        return "unknown argument tag";
    }
}

/* arg[at] points at size bytes of the data. */
static int spans(const struct islp_program *prog, const struct islp_op *op, unsigned at, uint64_t size)
{
    return op->tag[at] == ISLP_DATA && op->arg[at] <= prog->data_size &&
           size <= prog->data_size - op->arg[at];
}

static int is_width(uint32_t nr)
{
    return nr == 1 || nr == 2 || nr == 4 || nr == 8;
}

static int has_text(const struct islp_program *prog, uint64_t off)
{
    return off < prog->data_size && memchr(prog->data + off, 0, prog->data_size - off) != NULL;
}

/* What the single operations ask beyond their shape. */
static const char *check_code(const struct islp_program *prog, const struct islp_op *op)
{
    switch (op->code) {
    case ISLP_CLONE:
        if (op->tag[1] != ISLP_VALUE || op->arg[1] < 64 || !spans(prog, op, 0, op->arg[1]))
            return "CLONE: clone_args outside the data";
        return NULL;
    case ISLP_JUMP:
        return op->nr <= 4 ? NULL : "JUMP: unknown condition";
    case ISLP_SET:
        return op->nr <= 5 ? NULL : "SET: unknown operator";
    case ISLP_STORE:
        return is_width(op->nr) && spans(prog, op, 1, op->nr) ? NULL
                                                              : "STORE: width or place outside the data";
    case ISLP_LOAD:
        return is_width(op->nr) && spans(prog, op, 0, op->nr) ? NULL
                                                              : "LOAD: width or place outside the data";
    case ISLP_FORMAT:
        if (op->tag[1] != ISLP_VALUE || op->arg[1] == 0 || !spans(prog, op, 0, op->arg[1]))
            return "FORMAT: destination outside the data";
        if (op->tag[2] != ISLP_DATA || !has_text(prog, op->arg[2]))
            return "FORMAT: template outside the data or without NUL";
        return NULL;
    case ISLP_TELL:
        if (op->tag[1] != ISLP_DATA && (op->tag[1] != ISLP_VALUE || op->arg[1] != 0))
            return "TELL: neither data nor none";
        if (op->tag[1] == ISLP_DATA && op->tag[2] == ISLP_VALUE && !spans(prog, op, 1, op->arg[2]))
            return "TELL: length leaves the data";
        return NULL;
    default:
        return NULL;
    }
}

static const char *check_op(const struct islp_program *prog, const struct islp_op *op)
{
    if (op->code == 0 || op->code >= sizeof shapes / sizeof shapes[0])
        return "unknown operation code";
    const struct shape *shape = &shapes[op->code];
    if ((op->flags & ~(unsigned)shape->flags) != 0)
        return "unknown flag";
    if (op->reserved != 0)
        return "reserved field is not zero";
    for (unsigned i = 0; i < 6; i++) {
        if (i >= shape->args && (op->tag[i] != ISLP_VALUE || op->arg[i] != 0))
            return "unused argument is not zero";
        const char *why = check_arg(prog, op->arg[i], op->tag[i]);
        if (why != NULL)
            return why;
    }
    if (op->out != ISLP_NO_SLOT && op->out >= prog->slot_count)
        return "result slot does not exist";
    if (shape->jumps && op->target >= prog->op_count)
        return "target does not exist";
    if ((uint64_t)op->rule + op->rule_count > prog->rule_count)
        return "rules do not exist";
    if (!has_text(prog, op->note))
        return "note outside the data or without NUL";
    return check_code(prog, op);
}

static int check_header(const struct islp_header *head, size_t len, struct islp_program *prog)
{
    if (head->magic != ISLP_MAGIC)
        return refuse(prog, EINVAL, "wrong magic", ISLP_NONE);
    if (head->version != ISLP_VERSION)
        return refuse(prog, EINVAL, "unknown version", ISLP_NONE);
    if (head->arch != ISLP_ARCH)
        return refuse(prog, EINVAL, "made for another architecture", ISLP_NONE);
    if (head->size != len)
        return refuse(prog, EINVAL, "size is not the image's", ISLP_NONE);
    if (head->reserved[0] != 0 || head->reserved[1] != 0)
        return refuse(prog, EINVAL, "reserved field is not zero", ISLP_NONE);
    if (head->op_count > ISLP_MAX_OPS)
        return refuse(prog, E2BIG, "too many operations", ISLP_NONE);
    if (head->slot_count > ISLP_MAX_SLOTS)
        return refuse(prog, E2BIG, "too many slots", ISLP_NONE);
    if (head->preset > head->slot_count)
        return refuse(prog, EINVAL, "more preset slots than slots", ISLP_NONE);
    if (head->op_count == 0)
        return refuse(prog, EINVAL, "no operation", ISLP_NONE);
    uint64_t end = sizeof *head;
    if (!table_fits(head->op_off, head->op_count, sizeof(struct islp_op), 8, head->size, &end))
        return refuse(prog, EINVAL, "operations do not fit", ISLP_NONE);
    if (!table_fits(head->rule_off, head->rule_count, sizeof(struct islp_rule), 8, head->size, &end))
        return refuse(prog, EINVAL, "rules do not fit", ISLP_NONE);
    if (!table_fits(head->reloc_off, head->reloc_count, sizeof(struct islp_reloc), 8, head->size, &end))
        return refuse(prog, EINVAL, "relocations do not fit", ISLP_NONE);
    if (!table_fits(head->data_off, head->data_size, 1, 16, head->size, &end))
        return refuse(prog, EINVAL, "data does not fit", ISLP_NONE);
    return 0;
}

int islp_decode(void *image, size_t len, struct islp_program *out)
{
    struct islp_header head;
    memset(out, 0, sizeof *out);
    if (len < sizeof head)
        return refuse(out, EINVAL, "shorter than a header", ISLP_NONE);
    if (len > ISLP_MAX_SIZE)
        return refuse(out, E2BIG, "larger than 16 MiB", ISLP_NONE);
    if ((uintptr_t)image % 16 != 0)
        return refuse(out, EINVAL, "image is not 16-byte aligned in memory", ISLP_NONE);
    memcpy(&head, image, sizeof head);
    int error = check_header(&head, len, out);
    if (error != 0)
        return error;

    unsigned char *base = image;
    struct islp_program prog = {
        .ops = (const struct islp_op *)(const void *)(base + head.op_off),
        .rules = (const struct islp_rule *)(const void *)(base + head.rule_off),
        .relocs = (const struct islp_reloc *)(const void *)(base + head.reloc_off),
        .data = base + head.data_off,
        .op_count = head.op_count,
        .rule_count = head.rule_count,
        .reloc_count = head.reloc_count,
        .data_size = head.data_size,
        .slot_count = head.slot_count,
        .preset = head.preset,
        .where = ISLP_NONE,
    };
    for (uint32_t i = 0; i < prog.rule_count; i++) {
        if (prog.rules[i].err < 0 || prog.rules[i].target >= prog.op_count)
            return refuse(out, EINVAL, "rule: negative error, or target does not exist", i);
    }
    for (uint32_t i = 0; i < prog.reloc_count; i++) {
        const struct islp_reloc *reloc = &prog.relocs[i];
        if (reloc->where % 8 != 0 || (uint64_t)reloc->where + 8 > prog.data_size ||
            reloc->what > prog.data_size)
            return refuse(out, EINVAL, "relocation misaligned or outside the data", i);
    }
    for (uint32_t i = 0; i < prog.op_count; i++) {
        const char *why = check_op(&prog, &prog.ops[i]);
        if (why != NULL)
            return refuse(out, EINVAL, why, i);
    }
    *out = prog;
    return 0;
}

void islp_relocate(struct islp_program *prog)
{
    for (uint32_t i = 0; i < prog->reloc_count; i++) {
        int64_t address = pointer_value(prog->data + prog->relocs[i].what);
        memcpy(prog->data + prog->relocs[i].where, &address, sizeof address);
    }
}

/* ---- operations: each returns 0, with the result in *out, or the (positive) error ---- */

static int poll_in(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    const int64_t args[6] = {pointer_value(&entry), 1, 0, 0, 8, 0};
    int64_t result = restarted_syscall(SYS_ppoll, args);
    if (result < 0)
        return (int)result;
    return (entry.revents & POLLNVAL) != 0 ? -EBADF : 0;
}

static int wait_readable(struct islp_run *run, int64_t fd)
{
    if (fd < 0 || fd > INT_MAX) /* poll would ignore it, and wait for ever */
        return EBADF;
    int error = run->wait_in != NULL && run->depth == 0 ? run->wait_in(run, (int)fd) : poll_in((int)fd);
    return -error;
}

static int do_call(struct islp_run *run, const struct islp_op *op, const int64_t args[6], int64_t *out)
{
    if ((op->flags & ISLP_WAIT_IN) != 0) {
        int error = wait_readable(run, args[0]);
        if (error != 0)
            return error;
    }
    int64_t result = islp_call(op->nr, args);
    if (is_error(result))
        return (int)-result;
    *out = result;
    return (op->flags & ISLP_FULL) != 0 && result != args[2] ? ISLP_SHORT : 0;
}

static int do_clone(struct islp_run *run, const struct islp_op *op, const int64_t args[6], uint32_t *next,
                    int64_t *out)
{
    uint64_t fields[8]; /* flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls */
    if (!run->allow_clone)
        return EPERM;
    memcpy(fields, run->prog->data + op->arg[0], sizeof fields);
    /* The child goes on with a copy of this stack and this thread's storage, or it could not go on here. */
    if ((fields[0] & (CLONE_VM | CLONE_SETTLS)) != 0 || fields[5] != 0)
        return EINVAL;
    int64_t pid = restarted_syscall(SYS_clone3, args);
    if (is_error(pid))
        return (int)-pid;
    if (pid == 0) {
        run->depth++;
        run->quiet |= run->in_block;
        run->in_block = 0;
        run->deferred_count = 0;
        *next = op->target;
    }
    *out = pid;
    return 0;
}

static int do_wait(struct islp_run *run, const int64_t args[6], int64_t *out)
{
    int error = wait_readable(run, args[0]);
    if (error != 0)
        return error;
    siginfo_t info;
    memset(&info, 0, sizeof info);
    const int p_pidfd = 3; /* P_PIDFD, which older libc headers lack */
    const int64_t call[6] = {p_pidfd, args[0], pointer_value(&info), WEXITED | (int64_t)__WALL, 0, 0};
    int64_t result = restarted_syscall(SYS_waitid, call);
    if (is_error(result))
        return (int)-result;
    *out = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    return args[1] == 1 && *out != 0 ? ISLP_STATUS + (int)*out : 0;
}

static int jumps(uint32_t nr, const int64_t args[6])
{
    switch (nr) {
    case 1:
        return args[0] == args[1];
    case 2:
        return args[0] != args[1];
    case 3:
        return args[0] < args[1];
    case 4:
        return args[0] >= args[1];
    default:
        return 1;
    }
}

static int do_set(uint32_t nr, const int64_t args[6], int64_t *out)
{
    uint64_t a = (uint64_t)args[0];
    uint64_t b = (uint64_t)args[1];
    if (nr == 5 && b > 63)
        return EINVAL;
    switch (nr) {
    case 1:
        a += b;
        break;
    case 2:
        a |= b;
        break;
    case 3:
        a &= b;
        break;
    case 4:
        a -= b;
        break;
    case 5:
        a <<= b;
        break;
    default:
        break;
    }
    *out = (int64_t)a;
    return 0;
}

static void do_load(const struct islp_program *prog, const struct islp_op *op, int64_t *out)
{
    uint64_t value = 0;
    memcpy(&value, prog->data + op->arg[0], op->nr);
    if ((op->flags & ISLP_SIGNED) != 0 && op->nr < 8) {
        uint64_t sign = (uint64_t)1 << (op->nr * 8 - 1);
        value = (value ^ sign) - sign;
    }
    *out = (int64_t)value;
}

/* Digits of value, not terminated; their number. */
static unsigned decimal(int64_t value, char text[20])
{
    char backwards[20];
    unsigned digits = 0;
    unsigned length = 0;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        backwards[digits++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest != 0);
    if (value < 0)
        text[length++] = '-';
    while (digits > 0)
        text[length++] = backwards[--digits];
    return length;
}

static int do_format(const struct islp_program *prog, const struct islp_op *op, const int64_t args[6],
                     int64_t *out)
{
    unsigned char *to = prog->data + op->arg[0];
    uint64_t room = op->arg[1];
    const unsigned char *from = prog->data + op->arg[2];
    const unsigned char *end = prog->data + prog->data_size; /* a program may have overwritten the NUL */
    uint64_t length = 0;
    unsigned next_arg = 3;

    for (; from < end && *from != 0; from++) {
        char text[20] = {(char)*from};
        unsigned count = 1;
        if (*from == '%') {
            if (next_arg > 5)
                return EINVAL;
            count = decimal(args[next_arg++], text);
        }
        if (room - length <= count) /* the NUL needs a place too */
            return ENAMETOOLONG;
        memcpy(to + length, text, count);
        length += count;
    }
    to[length] = 0;
    *out = (int64_t)length;
    return 0;
}

static int do_defer(struct islp_run *run, uint32_t target)
{
    if (run->in_block)
        return EPERM;
    if (run->deferred_count == ISLP_MAX_DEFERRED)
        return ENOSPC;
    run->deferred[run->deferred_count++] = target;
    return 0;
}

static int do_tell(struct islp_run *run, const struct islp_op *op, const int64_t args[6], int64_t *out)
{
    if (run->depth > 0)
        return EPERM;
    if (run->tell == NULL)
        return ENOSYS;
    const void *data = op->tag[1] == ISLP_DATA ? run->prog->data + op->arg[1] : NULL;
    uint64_t most = data != NULL ? run->prog->data_size - op->arg[1] : 0;
    if ((uint64_t)args[2] > most)
        return EFAULT;
    int result = run->tell(run, op->nr, args[0], data, (uint32_t)args[2]);
    *out = result;
    return result < 0 ? -result : 0;
}

static int do_op(struct islp_run *run, const struct islp_op *op, const int64_t args[6], uint32_t *next,
                 int64_t *out)
{
    switch (op->code) {
    case ISLP_CALL:
        return do_call(run, op, args, out);
    case ISLP_CLONE:
        return do_clone(run, op, args, next, out);
    case ISLP_WAIT:
        return do_wait(run, args, out);
    case ISLP_JUMP:
        if (jumps(op->nr, args))
            *next = op->target;
        return 0;
    case ISLP_SET:
        return do_set(op->nr, args, out);
    case ISLP_STORE:
        memcpy(run->prog->data + op->arg[1], &args[0], op->nr);
        return 0;
    case ISLP_LOAD:
        do_load(run->prog, op, out);
        return 0;
    case ISLP_FORMAT:
        return do_format(run->prog, op, args, out);
    case ISLP_DEFER:
        return do_defer(run, op->target);
    case ISLP_TELL:
        return do_tell(run, op, args, out);
    case ISLP_CHECK:
        *out = args[0];
        return is_error(args[0]) ? (int)-args[0] : 0;
    case ISLP_FAIL:
        return args[0] > 0 && args[0] <= INT_MAX ? (int)args[0] : EINVAL;
    default: /* END is the loop's; the decoder lets nothing else through */
        return EPROTO;
    }
}

/* ---- the loop ---- */

static void resolve(const struct islp_run *run, const struct islp_op *op, int64_t args[6])
{
    for (unsigned i = 0; i < 6; i++) {
        switch (op->tag[i]) {
        case ISLP_DATA:
            args[i] = pointer_value(run->prog->data + op->arg[i]);
            break;
        case ISLP_SLOT:
            args[i] = run->slots[op->arg[i]];
            break;
        default:
            args[i] = (int64_t)op->arg[i];
            break;
        }
    }
}

static const struct islp_rule *find_rule(const struct islp_program *prog, const struct islp_op *op, int error)
{
    for (uint32_t i = 0; i < op->rule_count; i++) {
        const struct islp_rule *rule = &prog->rules[op->rule + i];
        if (rule->err == 0 || rule->err == error)
            return rule;
    }
    return NULL;
}

/* A child cannot return to the runner: it reports, undoes its own and is gone. */
static void fail(struct islp_run *run, const struct islp_record *rec)
{
    if (run->in_block)
        return;
    if (run->report_fd >= 0 && !run->quiet) {
        const int64_t args[6] = {run->report_fd, pointer_value(rec), sizeof *rec, 0, 0, 0};
        restarted_syscall(SYS_write, args);
    }
    islp_unwind(run);
    if (run->depth > 0)
        exit_process(ISLP_EXIT_FAIL);
}

/* Run from an operation until END (0) or an error that no rule takes (-1). Returns in the process that called
 * it only. */
static int run_from(struct islp_run *run, uint32_t at, int64_t *result, struct islp_record *rec)
{
    const struct islp_program *prog = run->prog;
    for (;;) {
        const struct islp_op *op = &prog->ops[at];
        int64_t args[6];
        int64_t out = 0;
        uint32_t next = at + 1;
        uint32_t number = run->executed++;
        int error;

        resolve(run, op, args);
        if (run->fail_op == at || (run->fail_count == number && number != ISLP_NONE)) {
            error = run->fail_errno;
        } else if (op->code == ISLP_END) {
            if (run->depth > 0 && !run->in_block)
                exit_process(args[0]);
            *result = args[0];
            return 0;
        } else {
            error = do_op(run, op, args, &next, &out);
        }
        if (error != 0) {
            const struct islp_rule *rule = find_rule(prog, op, error);
            out = -(int64_t)error;
            if (rule != NULL)
                next = rule->target;
            else
                next = ISLP_NONE;
        } else if (next >= prog->op_count) {
            error = EPROTO; /* ran off the end of the operations */
        }
        if (next >= prog->op_count) {
            *rec = (struct islp_record){.magic = ISLP_RECORD_MAGIC,
                                        .op = at,
                                        .error = error,
                                        .depth = run->depth,
                                        .executed = run->executed};
            memcpy(rec->args, args, sizeof args);
            fail(run, rec);
            return -1;
        }
        if (op->out != ISLP_NO_SLOT)
            run->slots[op->out] = out;
        at = next;
    }
}

int islp_begin(struct islp_run *run, const struct islp_program *prog, int64_t *slots, const int *fds,
               uint32_t nfds)
{
    memset(run, 0, sizeof *run);
    run->prog = prog;
    run->slots = slots;
    run->report_fd = -1;
    run->fail_op = ISLP_NONE;
    run->fail_count = ISLP_NONE;
    run->fail_errno = EIO;
    for (uint32_t i = 0; i < prog->slot_count; i++)
        slots[i] = 0;
    for (uint32_t i = 0; i < prog->preset; i++)
        slots[i] = i < nfds ? fds[i] : -1;
    return nfds == prog->preset ? 0 : -EINVAL;
}

int islp_exec(struct islp_run *run, int64_t *result, struct islp_record *rec)
{
    return run_from(run, 0, result, rec);
}

void islp_unwind(struct islp_run *run)
{
    while (run->deferred_count > 0) {
        int64_t result;
        struct islp_record rec;
        uint32_t target = run->deferred[--run->deferred_count];
        run->in_block = 1;
        run_from(run, target, &result, &rec);
        run->in_block = 0;
    }
}
