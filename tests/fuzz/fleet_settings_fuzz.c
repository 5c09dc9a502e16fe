/* SPDX-License-Identifier: MIT */
/*
 * Any text as the setting fleet, up to the point where a connection would be made; nothing is looked up, and
 * no socket opened.  What holds whatever the text is: a password in it is refused and not repeated; and a
 * server that is not on this host is only spoken to with its certificate verified, unless the text says
 * otherwise.
 */
#include <dlfcn.h>
#include <errno.h>
#include <libpq-fe.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "fleet/pg.h"
#include "model/config.h"

#define PASSWORD "hush-hush-hush"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_true)
{
    if (!is_true)
        abort();
}

static bool was_attempted;

/* What libpq made of the last attempt's settings; it adds defaults of its own: since libpq 16
 * sslrootcert=system means sslmode=verify-full. */
static struct {
    char host[1024], hostaddr[1024], sslmode[64];
} last;

/* The C library's own names of the parameters are not ours. */
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)

/* libpq finds these before the C library's. */
__attribute__((visibility("default"))) int socket(int domain, int type, int protocol)
{
    (void)domain;
    (void)type;
    (void)protocol;
    errno = EACCES;
    return -1;
}

__attribute__((visibility("default"))) int getaddrinfo(const char *node, const char *service,
                                                       const struct addrinfo *hints, struct addrinfo **found)
{
    (void)node;
    (void)service;
    (void)hints;
    *found = NULL;
    return EAI_NONAME;
}

// NOLINTEND(readability-inconsistent-declaration-parameter-name)

static void copy(char *out, size_t size, const char *value)
{
    (void)snprintf(out, size, "%s", value != NULL ? value : "");
}

static void copy_live_values(PGconn *handle)
{
    PQconninfoOption *live = PQconninfo(handle);

    memset(&last, 0, sizeof last);
    for (const PQconninfoOption *at = live; at != NULL && at->keyword != NULL; at++) {
        if (strcmp(at->keyword, "host") == 0)
            copy(last.host, sizeof last.host, at->val);
        if (strcmp(at->keyword, "hostaddr") == 0)
            copy(last.hostaddr, sizeof last.hostaddr, at->val);
        if (strcmp(at->keyword, "sslmode") == 0)
            copy(last.sslmode, sizeof last.sslmode, at->val);
    }
    PQconninfoFree(live);
}

PGconn *PQconnectStartParams(const char *const *keywords, const char *const *values, int expand_dbname)
{
    static __typeof__(PQconnectStartParams) *next;
    PGconn *handle;

    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "PQconnectStartParams");
    was_attempted = true;
    for (size_t i = 0; keywords[i] != NULL; i++)
        require(strcmp(keywords[i], "password") != 0);
    handle = next(keywords, values, expand_dbname);
    copy_live_values(handle);
    return handle;
}

/* A name or number of this host, or a folder of sockets. */
static bool is_here(const char *host)
{
    return *host == '\0' || *host == '/' || *host == '@' || strcmp(host, "localhost") == 0 ||
           strcmp(host, "::1") == 0 || strncmp(host, "127.", 4) == 0;
}

static bool are_here(const char *hosts)
{
    char list[1024];
    char *at = list, *host;

    copy(list, sizeof list, hosts);
    while ((host = strsep(&at, ",")) != NULL)
        if (!is_here(host))
            return false;
    return true;
}

/* Does the text itself name this keyword? */
static bool names(const char *text, const char *keyword)
{
    PQconninfoOption *options = PQconninfoParse(text, NULL);
    bool is_named = false;

    for (const PQconninfoOption *at = options; at != NULL && at->keyword != NULL; at++)
        is_named = is_named || (at->val != NULL && strcmp(at->keyword, keyword) == 0);
    PQconninfoFree(options);
    return is_named;
}

static void check_attempt(const char *text)
{
    bool is_remote = !are_here(*last.hostaddr != '\0' ? last.hostaddr : last.host);

    require(!names(text, "password"));
    if (is_remote && !names(text, "sslmode") && !names(text, "service"))
        require(strcmp(last.sslmode, "verify-full") == 0);
}

__attribute__((constructor)) static void without_surroundings(void)
{
    static const char *const NAMES[] = {"PGHOST",    "PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE",
                                        "PGSSLMODE", "PGPASSWORD", "PGPASSFILE"};

    for (size_t i = 0; i < ARRAY_COUNT(NAMES); i++)
        (void)unsetenv(NAMES[i]);
    (void)setenv("PGSYSCONFDIR", "/nonexistent", 1);
    (void)setenv("HOME", "/nonexistent", 1);
}

/* Does it hold the password of our seeds, where a password stands? */
static bool holds_password(const char *text)
{
    const char *authority = strstr(text, "://");
    const char *found = strstr(text, ":" PASSWORD "@");

    if (strstr(text, "password") != NULL)
        return true;
    return authority != NULL && found != NULL && found > authority;
}

/* As the programs do it. */
static enum status open_fleet(const struct config *config, struct err *err)
{
    static const char *const STATEMENTS[] = {"SELECT 1"};
    const struct pg_settings settings = {.conninfo = config->fleet,
                                         .password_file = config->fleet_password_file,
                                         .statements = STATEMENTS,
                                         .statement_count = ARRAY_COUNT(STATEMENTS)};
    struct pg *pg = NULL;
    enum status status = pg_open(&settings, &pg, err);

    require(pg == NULL);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + sizeof "fleet=");
    const char *overrides[] = {text};
    struct config config;
    struct err err = {0};
    enum status status;

    require(text != NULL);
    memcpy(text, "fleet=", 6);
    memcpy(text + 6, data, size);
    text[6 + size] = '\0';
    was_attempted = false;
    status = config_load("", overrides, 1, false, &config, &err);
    if (status == ST_OK)
        status = open_fleet(&config, &err);
    require(status != ST_OK && err.text[0] != '\0');
    if (was_attempted)
        check_attempt(config.fleet);
    if (holds_password(text + 6))
        require(!was_attempted && status == ST_CONFIG && strstr(err.text, PASSWORD) == NULL);
    config_done(&config);
    free(text);
    return 0;
}
