/* libFuzzer: whatever the decoder lets through must be safe to relocate and, as far as it makes no calls, to
 * run. */
#define _GNU_SOURCE
#include "interp.h"

#include <stdlib.h>
#include <string.h>

static unsigned char sink;

static int listen_to(struct islp_run *run, uint32_t code, int64_t value, const void *data, uint32_t len)
{
    (void)run;
    (void)code;
    (void)value;
    for (uint32_t i = 0; i < len; i++)
        sink ^= ((const unsigned char *)data)[i];
    return 0;
}

/* Only what cannot reach outside, and ends: without rules and blocks the injected failure is the last thing.
 */
static int harmless(const struct islp_program *prog)
{
    for (uint32_t i = 0; i < prog->op_count; i++) {
        switch (prog->ops[i].code) {
        case ISLP_CALL:
        case ISLP_CLONE:
        case ISLP_WAIT:
        case ISLP_DEFER:
            return 0;
        default:
            if (prog->ops[i].rule_count > 0)
                return 0;
        }
    }
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    static int64_t slots[ISLP_MAX_SLOTS];
    struct islp_program prog;
    struct islp_run run;
    struct islp_record rec;
    int64_t result;
    void *image = NULL;
    if (posix_memalign(&image, 16, size) != 0)
        return 0;
    memcpy(image, input, size);
    if (islp_decode(image, size, &prog) != 0) {
        if (prog.why == NULL || memcmp(image, input, size) != 0)
            abort();
    } else {
        islp_relocate(&prog);
        if (harmless(&prog)) {
            islp_begin(&run, &prog, slots, NULL, 0);
            run.tell = listen_to;
            run.fail_count = 200;
            islp_exec(&run, &result, &rec);
        }
    }
    free(image);
    return 0;
}
