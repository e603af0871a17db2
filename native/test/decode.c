/* The decoder: what it refuses, and that it touches nothing. With --seeds DIR: writes the images, for the
 * fuzzer. */
#define _GNU_SOURCE
#include "build.h"

#include <errno.h>

/* One of everything: operations 0..13 in the order of their codes (0 and 1 are calls), so that op i has code
 * i, i > 0. */
static void sample(struct build *b)
{
    begin(b);
    uint32_t buffer = room(b, 64);
    uint32_t clone_args = room(b, 88);
    uint32_t template = text(b, "a % b %");
    b->slot_count = 100;
    b->preset = 2;
    into(b, CALL(b, 39, imm(0)), 3);
    on(b, EPERM, 2);
    on(b, 0, 3);
    CALL(b, 0, slot(0), ptr(buffer), imm(64));
    ADD(b, ISLP_CLONE, 0, ptr(clone_args), imm(88));
    b->ops[2].target = 10;
    ADD(b, ISLP_WAIT, 0, slot(1), imm(1));
    ADD(b, ISLP_JUMP, 1, slot(3), imm(0));
    b->ops[4].target = 6;
    into(b, ADD(b, ISLP_SET, 1, slot(3), imm(5)), 4);
    ADD(b, ISLP_STORE, 8, slot(3), ptr(buffer));
    into(b, ADD(b, ISLP_LOAD, 4, ptr(buffer)), 5);
    b->ops[7].flags = ISLP_SIGNED;
    ADD(b, ISLP_FORMAT, 0, ptr(buffer), imm(64), ptr(template), slot(3), imm(-1), imm(0));
    add(b, ISLP_DEFER, 0, 0, NULL);
    b->ops[9].target = 10;
    end(b, 0);
    ADD(b, ISLP_TELL, 7, imm(1), ptr(buffer), imm(8));
    ADD(b, ISLP_CHECK, 0, slot(3));
    ADD(b, ISLP_FAIL, 0, imm(EIO));
    point(b, buffer, template);
}

/* Decodes and makes sure that neither the image changed nor a refusal went unexplained. */
static int decode(unsigned char *image, size_t size, struct islp_program *prog)
{
    unsigned char *before = malloc(size + 1);
    if (before == NULL)
        abort();
    memcpy(before, image, size);
    int error = islp_decode(image, size, prog);
    EXPECT(memcmp(before, image, size) == 0);
    EXPECT((error == 0) == (prog->why == NULL));
    free(before);
    return error;
}

/* ---- the table of malformed images ---- */

struct spoiled {
    const char *name;
    int error;
    const char *why; /* how the reason begins */
    uint32_t where;  /* the operation, rule or relocation it names */
    int op;          /* operation to spoil, or -1: the header, or the tables by `tables` */
    size_t field;    /* offset in the header or operation */
    unsigned width;  /* of the field: 1, 2, 4 or 8 */
    uint64_t value;  /* what it becomes */
    void (*tables)(struct build *);
};

static void bad_rule_target(struct build *b)
{
    b->rules[1].target = b->op_count;
}
static void negative_rule(struct build *b)
{
    b->rules[0].err = -1;
}
static void crooked_relocation(struct build *b)
{
    b->relocs[0].where = 12;
}
static void relocation_of_the_end(struct build *b)
{
    b->relocs[0].where = b->data_size / 8 * 8;
}
static void far_relocation_source(struct build *b)
{
    b->relocs[0].where = 0xfffffff8u;
}
static void far_relocation_target(struct build *b)
{
    b->relocs[0].what = b->data_size + 1;
}
static void endless_note(struct build *b)
{
    b->ops[12].note = b->data_size;
    memset(b->data + b->data_size, 'x', 5);
    b->data_size += 5;
}
static void endless_template(struct build *b)
{
    b->ops[8].arg[2] = b->data_size;
    memset(b->data + b->data_size, 'x', 5);
    b->data_size += 5;
}
static void without_operations(struct build *b)
{
    b->op_count = 0;
}

#define H(field) -1, offsetof(struct islp_header, field), 4
#define O(op, field) op, offsetof(struct islp_op, field), sizeof(((struct islp_op *)0)->field)
#define A(op, n) op, offsetof(struct islp_op, arg) + 8 * (n), 8
#define T(op, n) op, offsetof(struct islp_op, tag) + (n), 1
#define NONE ISLP_NONE

static const struct spoiled table[] = {
    {"another magic", EINVAL, "wrong magic", NONE, H(magic), 0x504c5348, NULL},
    {"another version", EINVAL, "unknown version", NONE, H(version), 2, NULL},
    {"another architecture", EINVAL, "made for another", NONE, H(arch), 3 - ISLP_ARCH, NULL},
    {"a size one less", EINVAL, "size is not", NONE, H(size), 1, NULL},
    {"a size of 4 GiB", EINVAL, "size is not", NONE, H(size), 0xffffffff, NULL},
    {"reserved word 0", EINVAL, "reserved", NONE, H(reserved[0]), 1, NULL},
    {"reserved word 1", EINVAL, "reserved", NONE, H(reserved[1]), 1, NULL},
    {"16385 operations", E2BIG, "too many operations", NONE, H(op_count), 16385, NULL},
    {"operations that overflow", E2BIG, "too many operations", NONE, H(op_count), 0xffffffff, NULL},
    {"no operation", EINVAL, "no operation", NONE, -1, 0, 0, 0, without_operations},
    {"1025 slots", E2BIG, "too many slots", NONE, H(slot_count), 1025, NULL},
    {"more preset slots than slots", EINVAL, "more preset", NONE, H(preset), 101, NULL},
    {"operations over the header", EINVAL, "operations do not fit", NONE, H(op_off), 56, NULL},
    {"misaligned operations", EINVAL, "operations do not fit", NONE, H(op_off), 68, NULL},
    {"operations beyond the end", EINVAL, "operations do not fit", NONE, H(op_off), 0xfffffff8, NULL},
    {"more operations than fit", EINVAL, "operations do not fit", NONE, H(op_count), 16384, NULL},
    {"rules over operations", EINVAL, "rules do not fit", NONE, H(rule_off), 64, NULL},
    {"misaligned rules", EINVAL, "rules do not fit", NONE, H(rule_off), 64 + 80 * 14 + 4, NULL},
    {"rules beyond the end", EINVAL, "rules do not fit", NONE, H(rule_off), 0xfffffff8, NULL},
    {"rules that overflow", EINVAL, "rules do not fit", NONE, H(rule_count), 0xffffffff, NULL},
    {"relocations over rules", EINVAL, "relocations do not fit", NONE, H(reloc_off), 64 + 80 * 14, NULL},
    {"relocations beyond the end", EINVAL, "relocations do not fit", NONE, H(reloc_off), 0xfffffff8, NULL},
    {"relocations that overflow", EINVAL, "relocations do not fit", NONE, H(reloc_count), 0x20000001, NULL},
    {"data over operations", EINVAL, "data does not fit", NONE, H(data_off), 64, NULL},
    {"misaligned data", EINVAL, "data does not fit", NONE, H(data_off), 64 + 80 * 14 + 8 * 3, NULL},
    {"data beyond the end", EINVAL, "data does not fit", NONE, H(data_off), 0xfffffff0, NULL},
    {"data that overflows", EINVAL, "data does not fit", NONE, H(data_size), 0xffffffff, NULL},
    {"data one byte too long", EINVAL, "data does not fit", NONE, H(data_size), 0, NULL},
    {"code 0", EINVAL, "unknown operation", 1, O(1, code), 0, NULL},
    {"code 14", EINVAL, "unknown operation", 1, O(1, code), 14, NULL},
    {"code 65535", EINVAL, "unknown operation", 1, O(1, code), 0xffff, NULL},
    {"a flag that a call does not know", EINVAL, "unknown flag", 1, O(1, flags), 4, NULL},
    {"a flag that a load does not know", EINVAL, "unknown flag", 7, O(7, flags), 1, NULL},
    {"a flag where there is none", EINVAL, "unknown flag", 5, O(5, flags), 0x8000, NULL},
    {"a reserved field", EINVAL, "reserved", 3, O(3, reserved), 1, NULL},
    {"tag 3", EINVAL, "unknown argument tag", 1, T(1, 0), 3, NULL},
    {"tag 255", EINVAL, "unknown argument tag", 1, T(1, 5), 255, NULL},
    {"a value in an unused argument", EINVAL, "unused argument", 12, A(12, 1), 1, NULL},
    {"a tag in an unused argument", EINVAL, "unused argument", 10, T(10, 5), 1, NULL},
    {"a slot argument one too high", EINVAL, "an argument's slot", 1, A(1, 0), 100, NULL},
    {"a slot argument of 2^32", EINVAL, "an argument's slot", 1, A(1, 0), 1ull << 32, NULL},
    {"a pointer behind the data", EINVAL, "a pointer", 1, A(1, 1), 0x10000, NULL},
    {"a pointer of 2^32", EINVAL, "a pointer", 1, A(1, 1), 1ull << 32, NULL},
    {"a negative pointer", EINVAL, "a pointer", 1, A(1, 1), UINT64_MAX, NULL},
    {"a result slot one too high", EINVAL, "result slot", 0, O(0, out), 100, NULL},
    {"a result slot of 65534", EINVAL, "result slot", 5, O(5, out), 0xfffe, NULL},
    {"a clone target one too high", EINVAL, "target", 2, O(2, target), 14, NULL},
    {"a jump target one too high", EINVAL, "target", 4, O(4, target), 14, NULL},
    {"a deferred block that is none", EINVAL, "target", 9, O(9, target), 0xffffffff, NULL},
    {"one rule too many", EINVAL, "rules do not exist", 0, O(0, rule_count), 3, NULL},
    {"a first rule too high", EINVAL, "rules do not exist", 0, O(0, rule), 0xffffffff, NULL},
    {"a rule's target too high", EINVAL, "rule:", 1, -1, 0, 0, 0, bad_rule_target},
    {"a rule for a negative error", EINVAL, "rule:", 0, -1, 0, 0, 0, negative_rule},
    {"a note behind the data", EINVAL, "note", 3, O(3, note), 0x10000, NULL},
    {"a note of 2^32 - 1", EINVAL, "note", 3, O(3, note), 0xffffffff, NULL},
    {"a note without NUL", EINVAL, "note", 12, -1, 0, 0, 0, endless_note},
    {"a misaligned relocation", EINVAL, "relocation", 0, -1, 0, 0, 0, crooked_relocation},
    {"a relocation over the end", EINVAL, "relocation", 0, -1, 0, 0, 0, relocation_of_the_end},
    {"a relocation that overflows", EINVAL, "relocation", 0, -1, 0, 0, 0, far_relocation_source},
    {"a relocation to behind the data", EINVAL, "relocation", 0, -1, 0, 0, 0, far_relocation_target},
    {"a clone's size as a slot", EINVAL, "CLONE", 2, T(2, 1), 2, NULL},
    {"clone_args that leave the data", EINVAL, "CLONE", 2, A(2, 1), 0x10000, NULL},
    {"clone_args of less than 64 bytes", EINVAL, "CLONE", 2, A(2, 1), 56, NULL},
    {"clone_args that are no data", EINVAL, "CLONE", 2, T(2, 0), 0, NULL},
    {"jump condition 5", EINVAL, "JUMP", 4, O(4, nr), 5, NULL},
    {"operator 6", EINVAL, "SET", 5, O(5, nr), 6, NULL},
    {"a store of width 3", EINVAL, "STORE", 6, O(6, nr), 3, NULL},
    {"a store of width 0", EINVAL, "STORE", 6, O(6, nr), 0, NULL},
    {"a store to a computed address", EINVAL, "STORE", 6, T(6, 1), 0, NULL},
    {"a load of width 16", EINVAL, "LOAD", 7, O(7, nr), 16, NULL},
    {"a load from a slot", EINVAL, "LOAD", 7, T(7, 0), 2, NULL},
    {"a format into nothing", EINVAL, "FORMAT: dest", 8, A(8, 1), 0, NULL},
    {"a format's room that leaves the data", EINVAL, "FORMAT: dest", 8, A(8, 1), 0x10000, NULL},
    {"a format's room that overflows", EINVAL, "FORMAT: dest", 8, A(8, 1), UINT64_MAX, NULL},
    {"a format's room in a slot", EINVAL, "FORMAT: dest", 8, T(8, 1), 2, NULL},
    {"a format's destination that is no data", EINVAL, "FORMAT: dest", 8, T(8, 0), 0, NULL},
    {"a format's template that is no data", EINVAL, "FORMAT: templ", 8, T(8, 2), 0, NULL},
    {"a format's template without NUL", EINVAL, "FORMAT: templ", 8, -1, 0, 0, 0, endless_template},
    {"data to tell in a slot", EINVAL, "TELL: neither", 11, T(11, 1), 2, NULL},
    {"data to tell at an absolute address", EINVAL, "TELL: neither", 11, T(11, 1), 0, NULL},
    {"data to tell that leaves the data", EINVAL, "TELL: length", 11, A(11, 2), 0x10000, NULL},
};

/* The image of table[i], for free(). */
static unsigned char *spoil(const struct spoiled *s, size_t *size)
{
    static struct build b;
    sample(&b);
    if (s->tables != NULL)
        s->tables(&b);
    unsigned char *image = assemble(&b, size);
    struct islp_header *head = (struct islp_header *)(void *)image;
    if (s->width > 0) {
        uint64_t value = s->value;
        unsigned char *base =
            s->op < 0 ? image : image + head->op_off + (size_t)s->op * sizeof(struct islp_op);
        if (s->op < 0 && s->field == offsetof(struct islp_header, size) && value == 1)
            value = *size - 1;
        if (s->op < 0 && s->field == offsetof(struct islp_header, data_size) && value == 0)
            value = head->data_size + 1;
        memcpy(base + s->field, &value, s->width);
    }
    return image;
}

static void refuses_every_malformed_image(void)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const struct spoiled *s = &table[i];
        struct islp_program prog;
        size_t size;
        unsigned before = failures;
        unsigned char *image = spoil(s, &size);
        EXPECT_NUMBER(decode(image, size, &prog), -s->error);
        EXPECT(prog.why != NULL && strncmp(prog.why, s->why, strlen(s->why)) == 0);
        EXPECT_NUMBER(prog.where, s->where);
        if (failures != before)
            fprintf(stderr, "  ... for %s: %s\n", s->name, prog.why != NULL ? prog.why : "accepted");
        free(image);
    }
}

static void describes_a_good_image(void)
{
    static struct build b;
    struct islp_program prog;
    size_t size;
    sample(&b);
    unsigned char *image = assemble(&b, &size);
    EXPECT_NUMBER(decode(image, size, &prog), 0);
    EXPECT_NUMBER(prog.op_count, 14);
    EXPECT_NUMBER(prog.rule_count, 2);
    EXPECT_NUMBER(prog.reloc_count, 1);
    EXPECT_NUMBER(prog.slot_count, 100);
    EXPECT_NUMBER(prog.preset, 2);
    EXPECT_NUMBER(prog.data_size, b.data_size);
    EXPECT(memcmp(prog.ops, b.ops, 14 * sizeof(struct islp_op)) == 0);
    EXPECT(memcmp(prog.data, b.data, b.data_size) == 0);
    free(image);
}

static void relocation_writes_the_address(void)
{
    static struct build b;
    struct islp_program prog;
    size_t size;
    uint64_t word;
    sample(&b);
    unsigned char *image = assemble(&b, &size);
    EXPECT_NUMBER(decode(image, size, &prog), 0);
    islp_relocate(&prog);
    memcpy(&word, prog.data + b.relocs[0].where, sizeof word);
    EXPECT(word == (uint64_t)(uintptr_t)(prog.data + b.relocs[0].what));
    free(image);
}

static void refuses_memory_that_is_not_aligned(void)
{
    static struct build b;
    struct islp_program prog;
    size_t size;
    void *memory = NULL;
    sample(&b);
    unsigned char *image = assemble(&b, &size);
    if (posix_memalign(&memory, 16, size + 8) != 0)
        abort();
    memcpy((unsigned char *)memory + 8, image, size);
    EXPECT_NUMBER(islp_decode((unsigned char *)memory + 8, size, &prog), -EINVAL);
    free(memory);
    free(image);
}

static void refuses_more_than_16_mebibytes(void)
{
    struct islp_program prog;
    _Alignas(16) unsigned char byte[16] = {0};
    EXPECT_NUMBER(islp_decode(byte, (size_t)ISLP_MAX_SIZE + 1, &prog), -E2BIG);
    EXPECT_NUMBER(islp_decode(byte, SIZE_MAX, &prog), -E2BIG);
    EXPECT_NUMBER(islp_decode(byte, 0, &prog), -EINVAL);
    EXPECT_NUMBER(islp_decode(byte, 16, &prog), -EINVAL);
}

/* Every cut of an image, with and without a header that admits it: none may be read beyond its end. */
static void survives_every_truncation(void)
{
    static struct build b;
    struct islp_program prog;
    size_t size;
    sample(&b);
    unsigned char *image = assemble(&b, &size);
    for (uint32_t cut = 0; cut < size; cut++) {
        void *part = NULL;
        if (posix_memalign(&part, 16, cut + 1) != 0)
            abort();
        part = realloc(part, cut + 1); /* may move, but by no less than malloc's alignment of 16 */
        memcpy(part, image, cut);
        EXPECT_NUMBER(decode(part, cut, &prog), -EINVAL);
        if (cut >= 64) {
            memcpy((unsigned char *)part + offsetof(struct islp_header, size), &cut, sizeof cut);
            EXPECT_NUMBER(decode(part, cut, &prog), -EINVAL);
        }
        free(part);
    }
    free(image);
}

/* Every byte set to every one of some awkward values: refused or accepted, and nothing outside touched. */
static void survives_every_changed_byte(void)
{
    static struct build b;
    static const unsigned char values[] = {0, 1, 2, 3, 8, 15, 16, 0x7f, 0x80, 0xff};
    struct islp_program prog;
    size_t size;
    unsigned accepted = 0;
    sample(&b);
    unsigned char *image = assemble(&b, &size);
    unsigned char *copy = assemble(&b, &size);
    for (size_t at = 0; at < size; at++) {
        for (size_t i = 0; i < sizeof values; i++) {
            memcpy(copy, image, size);
            copy[at] = values[i];
            if (islp_decode(copy, size, &prog) == 0) {
                accepted++;
                islp_relocate(&prog);
            }
        }
    }
    EXPECT(accepted > 0);
    free(image);
    free(copy);
}

static void write_file(const char *directory, const char *name, size_t number, const unsigned char *from,
                       size_t size)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s-%zu", directory, name, number);
    FILE *file = fopen(path, "we");
    if (file == NULL || fwrite(from, 1, size, file) != size || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static void write_seeds(const char *directory)
{
    static struct build b;
    size_t size;
    sample(&b);
    unsigned char *image = assemble(&b, &size);
    write_file(directory, "good", 0, image, size);
    free(image);
    begin(&b);
    end(&b, 0);
    image = assemble(&b, &size);
    write_file(directory, "good", 1, image, size);
    free(image);
    /* Without calls, clones, rules and blocks: the fuzzer runs these. */
    begin(&b);
    uint32_t buffer = room(&b, 32);
    uint32_t template = text(&b, "%-%/%");
    into(&b, ADD(&b, ISLP_SET, 5, imm(3), imm(60)), 1);
    ADD(&b, ISLP_STORE, 4, slot(1), ptr(buffer));
    into(&b, ADD(&b, ISLP_LOAD, 2, ptr(buffer)), 2);
    into(&b, ADD(&b, ISLP_FORMAT, 0, ptr(buffer), imm(32), ptr(template), slot(1), imm(-7), slot(2)), 3);
    ADD(&b, ISLP_TELL, 1, slot(1), ptr(buffer), slot(3));
    ADD(&b, ISLP_CHECK, 0, slot(2));
    end(&b, 0);
    image = assemble(&b, &size);
    write_file(directory, "good", 2, image, size);
    free(image);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        image = spoil(&table[i], &size);
        write_file(directory, "bad", i, image, size);
        free(image);
    }
}

int main(int argc, char **argv)
{
    static const struct test tests[] = {
        {"a good image is described as it is", describes_a_good_image},
        {"every class of malformed image is refused with its reason", refuses_every_malformed_image},
        {"a relocation writes an address into the data", relocation_writes_the_address},
        {"an image at a misaligned address is refused", refuses_memory_that_is_not_aligned},
        {"an image of more than 16 MiB or less than a header is refused", refuses_more_than_16_mebibytes},
        {"no truncated image is read beyond its end", survives_every_truncation},
        {"no changed byte makes the decoder leave the image", survives_every_changed_byte},
    };
    if (argc == 3 && strcmp(argv[1], "--seeds") == 0) {
        write_seeds(argv[2]);
        return 0;
    }
    return run_tests("decode", tests, sizeof tests / sizeof tests[0]);
}
