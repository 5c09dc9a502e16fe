/* SPDX-License-Identifier: MIT */
#include "fault.h"

#include <ares.h>
#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_BYTES                                                                                           \
    16 /* in front of SQLite's memory, which asks for the size of a block; keeps the alignment */

static unsigned left = UINT_MAX; /* allocations until one fails */
static enum fault_mode how;
static bool has_failed, is_armed;

/* What the linker's --wrap makes of malloc and its kin. */
void *__real_malloc(size_t size);               // NOLINT
void *__real_calloc(size_t count, size_t size); // NOLINT
void *__real_realloc(void *old, size_t size);   // NOLINT
void *__wrap_malloc(size_t size);               // NOLINT
void *__wrap_calloc(size_t count, size_t size); // NOLINT
void *__wrap_realloc(void *old, size_t size);   // NOLINT
char *__wrap_strdup(const char *text);          // NOLINT

static bool is_refused(void)
{
    if (!is_armed || (left > 0 && left-- > 0))
        return false;
    has_failed = true;
    errno = ENOMEM;
    if (how == FAULT_ONCE)
        is_armed = false;
    return true;
}

void *__wrap_malloc(size_t size) // NOLINT
{
    return is_refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) // NOLINT
{
    return is_refused() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size) // NOLINT
{
    return is_refused() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text) // NOLINT
{
    size_t size = strlen(text) + 1;
    char *copy = __wrap_malloc(size);

    return copy != NULL ? memcpy(copy, text, size) : NULL;
}

/* ---- SQLite ---- */

static void *sqlite_malloc(int size)
{
    char *block = __wrap_malloc((size_t)size + SIZE_BYTES);

    if (block == NULL)
        return NULL;
    *(int *)(void *)block = size;
    return block + SIZE_BYTES;
}

static void sqlite_free(void *memory)
{
    if (memory != NULL)
        free((char *)memory - SIZE_BYTES);
}

static void *sqlite_realloc(void *memory, int size)
{
    char *block = __wrap_realloc((char *)memory - SIZE_BYTES, (size_t)size + SIZE_BYTES);

    if (block == NULL)
        return NULL;
    *(int *)(void *)block = size;
    return block + SIZE_BYTES;
}

static int sqlite_size(void *memory)
{
    return memory != NULL ? *(int *)(void *)((char *)memory - SIZE_BYTES) : 0;
}

static int sqlite_round_up(int size)
{
    return (size + 7) & ~7;
}

static int sqlite_init(void *context)
{
    (void)context;
    return SQLITE_OK;
}

static void sqlite_shutdown(void *context)
{
    (void)context;
}

/* ---- OpenSSL ---- */

static void *openssl_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return __wrap_malloc(size);
}

static void *openssl_realloc(void *old, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return __wrap_realloc(old, size);
}

static void openssl_free(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    free(memory);
}

void fault_install(void)
{
    static const sqlite3_mem_methods METHODS = {sqlite_malloc,   sqlite_free, sqlite_realloc,  sqlite_size,
                                                sqlite_round_up, sqlite_init, sqlite_shutdown, NULL};

    if (CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) != 1 ||
        sqlite3_config(SQLITE_CONFIG_MALLOC, &METHODS) != SQLITE_OK ||
        sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) != SQLITE_OK ||
        curl_global_init_mem(CURL_GLOBAL_DEFAULT, __wrap_malloc, free, __wrap_realloc, __wrap_strdup,
                             __wrap_calloc) != CURLE_OK ||
        ares_library_init_mem(ARES_LIB_INIT_ALL, __wrap_malloc, free, __wrap_realloc) != ARES_SUCCESS)
        abort();
    json_set_alloc_funcs(__wrap_malloc, free);
}

void fault_arm(unsigned nth, enum fault_mode mode)
{
    left = nth;
    how = mode;
    has_failed = false;
    is_armed = true;
}

bool fault_disarm(void)
{
    is_armed = false;
    return has_failed;
}
