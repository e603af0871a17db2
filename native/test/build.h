/* Building images and checking results, for the tests. One translation unit each, so everything is static. */
#ifndef ISLET_TEST_BUILD_H
#define ISLET_TEST_BUILD_H

#include "interp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNUSED __attribute__((unused))

static unsigned failures;

#define EXPECT(condition)                                                                                    \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #condition);                         \
            failures++;                                                                                      \
        }                                                                                                    \
    } while (0)

#define EXPECT_NUMBER(actual, expected)                                                                      \
    do {                                                                                                     \
        long long actual_number = (long long)(actual);                                                       \
        long long expected_number = (long long)(expected);                                                   \
        if (actual_number != expected_number) {                                                              \
            fprintf(stderr, "%s:%d: %s is %lld, expected %lld\n", __FILE__, __LINE__, #actual,               \
                    actual_number, expected_number);                                                         \
            failures++;                                                                                      \
        }                                                                                                    \
    } while (0)

struct test {
    const char *name; /* a sentence of behaviour */
    void (*run)(void);
};

static int run_tests(const char *suite, const struct test *tests, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        unsigned before = failures;
        tests[i].run();
        if (failures != before)
            fprintf(stderr, "not ok: %s\n", tests[i].name);
    }
    printf("%s: %zu tests, %u failures\n", suite, count, failures);
    return failures == 0 ? 0 : 1;
}

/* ---- a program under construction ---- */

struct build {
    struct islp_op ops[400];
    struct islp_rule rules[64];
    struct islp_reloc relocs[16];
    unsigned char data[16384];
    uint32_t op_count, rule_count, reloc_count, data_size, slot_count, preset;
};

struct arg {
    uint64_t value;
    uint8_t tag;
};

static inline struct arg imm(int64_t value)
{
    return (struct arg){(uint64_t)value, ISLP_VALUE};
}
static inline struct arg ptr(uint32_t off)
{
    return (struct arg){off, ISLP_DATA};
}
static inline struct arg slot(uint32_t number)
{
    return (struct arg){number, ISLP_SLOT};
}

/* Zeroed room in the data, 8-aligned; its offset. */
static inline uint32_t room(struct build *b, uint32_t size)
{
    uint32_t off = (b->data_size + 7) / 8 * 8;
    b->data_size = off + size;
    if (b->data_size > sizeof b->data)
        abort();
    return off;
}

static inline uint32_t bytes(struct build *b, const void *from, uint32_t size)
{
    uint32_t off = room(b, size);
    memcpy(b->data + off, from, size);
    return off;
}

static inline uint32_t text(struct build *b, const char *from)
{
    return bytes(b, from, (uint32_t)strlen(from) + 1);
}

/* An empty program: 16 slots, and an empty note at offset 0. */
static inline void begin(struct build *b)
{
    memset(b, 0, sizeof *b);
    b->slot_count = 16;
    text(b, "");
}

/* Appends an operation with no result; its index. The argument list ends at count. */
static inline uint32_t add(struct build *b, uint16_t code, uint32_t nr, unsigned count,
                           const struct arg *args)
{
    struct islp_op *op = &b->ops[b->op_count];
    op->code = code;
    op->nr = nr;
    op->out = ISLP_NO_SLOT;
    for (unsigned i = 0; i < count; i++) {
        op->arg[i] = args[i].value;
        op->tag[i] = args[i].tag;
    }
    return b->op_count++;
}
#define ADD(b, code, nr, ...)                                                                                \
    add(b, code, nr, sizeof((struct arg[]){__VA_ARGS__}) / sizeof(struct arg), (struct arg[]){__VA_ARGS__})
#define CALL(b, nr, ...) ADD(b, ISLP_CALL, nr, __VA_ARGS__)

static inline uint32_t into(struct build *b, uint32_t op, uint16_t out)
{
    b->ops[op].out = out;
    return op;
}

/* A rule of the operation that was added last. */
static inline void on(struct build *b, int32_t err, uint32_t target)
{
    struct islp_op *op = &b->ops[b->op_count - 1];
    if (op->rule_count++ == 0)
        op->rule = b->rule_count;
    b->rules[b->rule_count++] = (struct islp_rule){err, target};
}

static inline uint32_t end(struct build *b, int64_t result)
{
    return ADD(b, ISLP_END, 0, imm(result));
}

static inline void point(struct build *b, uint32_t where, uint32_t what)
{
    b->relocs[b->reloc_count++] = (struct islp_reloc){where, what};
}

/* The image, in memory of exactly its size so that the sanitizer sees a byte too far: for free(). */
static inline unsigned char *assemble(const struct build *b, size_t *size)
{
    struct islp_header head = {.magic = ISLP_MAGIC,
                               .version = ISLP_VERSION,
                               .op_off = 64,
                               .op_count = b->op_count,
                               .rule_count = b->rule_count,
                               .reloc_count = b->reloc_count,
                               .data_size = b->data_size,
                               .slot_count = b->slot_count,
                               .preset = b->preset,
                               .arch = ISLP_ARCH};
    head.rule_off = head.op_off + head.op_count * 80;
    head.reloc_off = head.rule_off + head.rule_count * 8;
    head.data_off = (head.reloc_off + head.reloc_count * 8 + 15) / 16 * 16;
    head.size = head.data_off + head.data_size;
    void *image = NULL;
    if (posix_memalign(&image, 16, head.size) != 0)
        abort();
    unsigned char *at = image;
    memset(at, 0, head.size);
    memcpy(at, &head, sizeof head);
    memcpy(at + head.op_off, b->ops, head.op_count * sizeof(struct islp_op));
    memcpy(at + head.rule_off, b->rules, head.rule_count * sizeof(struct islp_rule));
    memcpy(at + head.reloc_off, b->relocs, head.reloc_count * sizeof(struct islp_reloc));
    memcpy(at + head.data_off, b->data, head.data_size);
    *size = head.size;
    return at;
}

#endif
