/* SPDX-License-Identifier: MIT */
/*
 * Memory runs out at the Nth allocation while answers of a fleet's database are read: those of the fuzz
 * target's seeds.  What that target requires holds then too: no crash, and words for every failure.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>

#include "../../fuzz/fleet_rows_fuzz.c" // NOLINT(bugprone-suspicious-include): the target, as it is
#include "../fault.h"
#include "base/file.h"

#define FOLDER   "tests/fuzz/corpus/fleet_rows"
#define SEED_MAX 65536
#define N_MAX    10000

static unsigned try_all(const struct strbuf *seed, enum fault_mode mode)
{
    unsigned nth = 0;

    for (;; nth++) {
        fault_arm(nth, mode);
        (void)LLVMFuzzerTestOneInput((const uint8_t *)seed->data, seed->len);
        if (!fault_disarm())
            return nth;
        assert_true(nth < N_MAX);
    }
}

static void test_memory_runs_out(void **state)
{
    DIR *folder = opendir(FOLDER);
    unsigned tried = 0;

    (void)state;
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[512];
        struct strbuf seed;
        struct err err;

        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", FOLDER, entry->d_name);
        strbuf_init(&seed, SEED_MAX);
        assert_int_equal(file_read(path, &seed, &err), ST_OK);
        for (int mode = FAULT_ONCE; mode <= FAULT_FOREVER; mode++)
            tried += try_all(&seed, (enum fault_mode)mode);
        strbuf_done(&seed);
    }
    (void)closedir(folder);
    print_message("# a fleet's answers: %u times without memory\n", tried);
}

static int begin(void **state)
{
    (void)state;
    fault_install();
    is_memory_short = true;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_memory_runs_out)};

    return cmocka_run_group_tests(tests, begin, NULL);
}
