/* SPDX-License-Identifier: MIT */
/*
 * replay.c - runs a fuzz target over files instead of under libFuzzer, so that `make check` replays the
 * corpus and every old crasher with any compiler.
 *
 * Usage: X_fuzz FILE...   Prints one TAP line per file; a crash leaves the plan unfulfilled, and that is how
 * tests/run notices it.  Exit code 1 if a file cannot be read.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define INPUT_MAX (4L * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The whole file in memory of exactly its size, so that a sanitizer sees a read past its end; NULL if
 * unreadable. */
static uint8_t *read_input(const char *path, size_t *size_out)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    long size;

    if (file == NULL)
        return NULL;
    if (fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0 || size > INPUT_MAX)
        goto out;
    rewind(file);
    data = malloc(size > 0 ? (size_t)size : 1);
    if (data != NULL && fread(data, 1, (size_t)size, file) != (size_t)size) {
        free(data);
        data = NULL;
    }
    *size_out = (size_t)size;
out:
    (void)fclose(file);
    return data;
}

int main(int argc, char **argv)
{
    int unreadable = 0;

    printf("1..%d\n", argc - 1);
    for (int i = 1; i < argc; i++) {
        size_t size = 0;
        uint8_t *data = read_input(argv[i], &size);

        if (data != NULL)
            (void)LLVMFuzzerTestOneInput(data, size);
        else
            unreadable++;
        printf("%sok %d - %s\n", data != NULL ? "" : "not ", i, argv[i]);
        (void)fflush(stdout);
        free(data);
    }
    return unreadable > 0;
}
