/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as the settings file, and its lines as overrides of the command line.  A refusal says why; what
 * is accepted keeps the promises of config.h.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cursor.h"
#include "base/file.h"
#include "model/config.h"

#define OVERRIDES_MAX 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_true)
{
    if (!is_true)
        abort();
}

static void check_accepted(const struct config *config)
{
    FILE *nowhere = fopen("/dev/null", "w");

    require(config->organization_name[0] != '\0' && strchr(config->contact_info, '@') != NULL);
    require(config->submitter[0] != '\0' && config->from[0] != '\0' && config->relay[0] != '\0');
    require(config->max_age_days > 0 && config->max_report_size > 0 && config->spread_s >= 0);
    require(nowhere != NULL);
    config_show(config, nowhere);
    (void)fclose(nowhere);
}

static void check_load(const char *path, const char *const *overrides, size_t count)
{
    struct config config;
    struct err err = {0};

    if (config_load(path, overrides, count, true, &config, &err) == ST_OK)
        check_accepted(&config);
    else
        require(err.text[0] != '\0');
    config_done(&config);
}

/* Each line as one override. */
static void check_overrides(const char *text, size_t size)
{
    const char *overrides[OVERRIDES_MAX];
    struct cursor cursor;
    struct arena arena;
    size_t count = 0;

    arena_init(&arena, size + 4096);
    cursor_init(&cursor, text, size);
    while (count < OVERRIDES_MAX && !cursor_at_end(&cursor)) {
        struct span line = cursor_take_until(&cursor, "\n");

        overrides[count] = arena_copy_text(&arena, line.at, line.len);
        count += overrides[count] != NULL;
        (void)cursor_skip_word(&cursor, "\n");
    }
    check_load("", overrides, count);
    arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int fd = memfd_create("settings", MFD_CLOEXEC);

    require(fd >= 0 && file_write_all(fd, data, size) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    check_load(path, NULL, 0);
    check_overrides((const char *)data, size);
    require(close(fd) == 0);
    return 0;
}
