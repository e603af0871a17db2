/* The interpreter of launch programs: system calls as data. docs/protocol/program.md is the contract.
 *
 * Order of use: islp_decode() a private, writable, 16-byte aligned copy of an image; islp_relocate() it once;
 * islp_begin() a run and then set the run's options; islp_exec(); and, when the runner has had enough of
 * a program that succeeded, islp_unwind(). To run a program again, start over from a pristine copy.
 *
 * The interpreter allocates nothing, keeps no state of its own, changes no signal and calls no libc function
 * that touches the state of a thread, so it may go on in a child of clone3. */
#ifndef ISLET_INTERP_H
#define ISLET_INTERP_H

#include <stddef.h>
#include <stdint.h>

#if !defined(__LP64__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "64-bit little-endian only"
#endif

#define ISLP_MAGIC 0x504c5349u        /* "ISLP" */
#define ISLP_RECORD_MAGIC 0x46504c49u /* "ILPF" */
#define ISLP_VERSION 1u
#define ISLP_MAX_SIZE (16u * 1024 * 1024)
#define ISLP_MAX_OPS 16384u
#define ISLP_MAX_SLOTS 1024u
#define ISLP_MAX_DEFERRED 256u
#define ISLP_NO_SLOT 0xffffu
#define ISLP_NONE 0xffffffffu
#define ISLP_SHORT 4096    /* pseudo-errno: a FULL call moved another number of bytes */
#define ISLP_STATUS 8192   /* pseudo-errno: 8192 + what WAIT saw the process end with */
#define ISLP_EXIT_FAIL 126 /* exit code of a child whose part failed */

#if defined(__x86_64__)
#define ISLP_ARCH 1u
#elif defined(__aarch64__)
#define ISLP_ARCH 2u
#else
#error "x86_64 and aarch64 only"
#endif

enum islp_code {
    ISLP_CALL = 1,
    ISLP_CLONE,
    ISLP_WAIT,
    ISLP_JUMP,
    ISLP_SET,
    ISLP_STORE,
    ISLP_LOAD,
    ISLP_FORMAT,
    ISLP_DEFER,
    ISLP_END,
    ISLP_TELL,
    ISLP_CHECK,
    ISLP_FAIL,
};

enum islp_flag { ISLP_WAIT_IN = 1, ISLP_FULL = 2, ISLP_SIGNED = 4 };
enum islp_tag { ISLP_VALUE = 0, ISLP_DATA = 1, ISLP_SLOT = 2 };

struct islp_header { /* 64 bytes */
    uint32_t magic, version, size;
    uint32_t op_off, op_count, rule_off, rule_count, reloc_off, reloc_count;
    uint32_t data_off, data_size, slot_count, preset, arch;
    uint32_t reserved[2];
};

struct islp_op { /* 80 bytes */
    uint16_t code, flags;
    uint32_t nr, note, target;
    uint16_t out, rule_count;
    uint32_t rule;
    uint64_t arg[6];
    uint8_t tag[6];
    uint16_t reserved;
};

struct islp_rule { /* 8 bytes */
    int32_t err;
    uint32_t target;
};

struct islp_reloc { /* 8 bytes */
    uint32_t where, what;
};

/* Decoded view of an image: pointers into it, so the image must outlive it. */
struct islp_program {
    const struct islp_op *ops;
    const struct islp_rule *rules;
    const struct islp_reloc *relocs;
    unsigned char *data;
    uint32_t op_count, rule_count, reloc_count, data_size, slot_count;
    uint32_t preset; /* the first slots, filled by islp_begin() */
    const char *why; /* after a refusal: what is wrong, static text; else NULL */
    uint32_t where;  /* after a refusal: index of the operation, rule or relocation, or ISLP_NONE */
};

/* What a failed part of a program leaves behind; the same bytes go through the report pipe. */
struct islp_record { /* 72 bytes */
    uint32_t magic, op;
    int32_t error;  /* errno, ISLP_SHORT, or ISLP_STATUS + n */
    uint32_t depth; /* 0 the first process, 1 its child, ... */
    int64_t args[6];
    uint32_t executed, zero;
};

/* One execution. islp_begin() fills all of it; set the options after that call and before islp_exec(). */
struct islp_run {
    const struct islp_program *prog;
    int64_t *slots; /* prog->slot_count entries, the caller's memory, zeroed by islp_begin() */

    /* options */
    int report_fd;   /* write end of the report pipe, or -1 (initial) */
    int allow_clone; /* 0 (initial): CLONE is EPERM, for a process with threads */
    /* Block until fd is readable, hung up or in error: 0, or -errno, which is the operation's error. Called
     * in the first process only; NULL (initial) and children poll. */
    int (*wait_in)(struct islp_run *, int fd);
    /* TELL: 0 or -errno. data is NULL or lies inside the program's data with all its len bytes. First process
     * only; NULL (initial): ENOSYS. */
    int (*tell)(struct islp_run *, uint32_t code, int64_t value, const void *data, uint32_t len);
    void *user;
    uint32_t fail_op;    /* operation index to fail each time it is reached; ISLP_NONE (initial) */
    uint32_t fail_count; /* number of the executed operation to fail, from 0, a child counting on from its
                          * parent's number; ISLP_NONE (initial) */
    int32_t fail_errno;  /* positive */

    /* private */
    uint32_t depth, executed, deferred_count;
    int quiet;    /* born in a deferred block: no reports */
    int in_block; /* a deferred block is running: no reports, END ends the block, DEFER is EPERM */
    uint32_t deferred[ISLP_MAX_DEFERRED];
};

/* Check an image of len bytes at a 16-byte aligned address and describe it in *out. 0; -E2BIG: over a limit;
 * -EINVAL: anything else that program.md lists. Then out->why says what. Changes nothing in the image. */
int islp_decode(void *image, size_t len, struct islp_program *out);

/* Write the addresses that the relocations ask for. Once per copy, before the first run. */
void islp_relocate(struct islp_program *prog);

/* Prepare a run: all slots zero, then the first prog->preset of them from fds. With nfds != prog->preset the
 * missing ones are -1 and the answer is -EINVAL (the run may still be made); else 0. */
int islp_begin(struct islp_run *run, const struct islp_program *prog, int64_t *slots, const int *fds,
               uint32_t nfds);

/* Run from operation 0 until END in this process: 0, *result = its argument, the deferred blocks stay
 * registered. -1: failed; *rec (also written to report_fd) says where, and the deferred blocks have run.
 * Never returns in a child. */
int islp_exec(struct islp_run *run, int64_t *result, struct islp_record *rec);

/* Run the deferred blocks, last first, and forget them. Errors inside a block abandon that block. */
void islp_unwind(struct islp_run *run);

/* A raw system call: its result, or -errno. */
int64_t islp_syscall(long nr, const int64_t args[6]);

/* A system call as CALL makes it: restarted when a signal interrupts it (but for close, which has then done
 * its work: 0), and EPERM for one that would make a process. Its result, or -errno. */
int64_t islp_call(uint32_t nr, const int64_t args[6]);

#endif
