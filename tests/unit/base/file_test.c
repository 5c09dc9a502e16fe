/* SPDX-License-Identifier: MIT */
/* Whole files: replaced as a whole, folders that are created, and flushing a folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/file.h"
#include "base/strbuf.h"

static char folder[64];
static struct err err;

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/file_test.XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command); // NOLINT(cert-env33-c): a name of our own
}

static const char *below(const char *name)
{
    static char path[PATH_MAX];

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void must_contain(const char *path, const char *wanted)
{
    struct strbuf text;

    strbuf_init(&text, 1000);
    assert_int_equal(file_read(path, &text, &err), ST_OK);
    assert_string_equal(text.data, wanted);
    strbuf_done(&text);
}

static void test_a_file_is_replaced(void **state)
{
    (void)state;
    assert_int_equal(file_replace(below("a"), "one", 3, 0600, &err), ST_OK);
    must_contain(below("a"), "one");
    assert_int_equal(file_replace(below("a"), "three", 5, 0600, &err), ST_OK);
    must_contain(below("a"), "three");
    assert_int_equal(file_replace(below("missing/a"), "x", 1, 0600, &err), ST_IO);
}

static void test_a_folder_is_flushed(void **state)
{
    static char long_path[PATH_MAX + 10];
    const struct {
        const char *says;
        const char *path;
        enum status want;
    } ROWS[] = {
        {"a file in an absolute folder", below("a"), ST_OK},
        {"a file that does not exist", "/tmp/nothing-here", ST_OK},
        {"a file in the root folder", "/a", ST_OK},
        {"a file in the current folder", "a", ST_OK},
        {"a folder that does not exist", "/nonexistent/a", ST_IO},
        {"a path that is too long", long_path, ST_RANGE},
    };

    (void)state;
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[0] = long_path[PATH_MAX + 5] = '/';
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        enum status got = file_sync_folder(ROWS[i].path, &err);

        if (got != ROWS[i].want)
            fail_msg("%s: got status %d", ROWS[i].says, (int)got);
    }
}

static void test_folders_are_created(void **state)
{
    struct stat info;

    (void)state;
    assert_int_equal(file_make_folders(below("x/y/z"), 0700, &err), ST_OK);
    assert_int_equal(file_make_folders(below("x/y/z"), 0700, &err), ST_OK);
    assert_int_equal(stat(below("x/y/z"), &info), 0);
    assert_true(S_ISDIR(info.st_mode));
}

static void test_a_file_system_that_always_overwrites_in_place_is_left_alone(void **state)
{
    int fd = open(below("a"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    (void)state;
    assert_true(fd >= 0);
    file_set_in_place(fd);
    assert_int_equal(write(fd, "x", 1), 1);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_file_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_folder_is_flushed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_folders_are_created, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_system_that_always_overwrites_in_place_is_left_alone,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
