/* SPDX-License-Identifier: MIT */
/*
 * How it works.  Everything that can be wrong with the settings is found first, before the lock is taken and
 * any store is opened.  Then come the lock (a real run only), the fleet, the two stores, the resolver and the
 * compressor.
 */
#include "generator.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "app/host_settings.h"
#include "app/last_run.h"
#include "app/stores.h"
#include "base/clock.h"
#include "base/file.h"

volatile sig_atomic_t generator_is_stopping;

static enum status take_lock(struct generator *generator, struct err *err)
{
    char path[PATH_MAX];
    enum status status = stores_path(generator->config, LAST_RUN_FILE, path, err);

    return status == ST_OK ? file_lock(path, &generator->lock_fd, err) : status;
}

/* A store that does not exist yet is not an error: there is nothing to report. */
static enum status open_sessions(struct generator *generator, enum generator_mode mode, struct err *err)
{
    if (generator->fleet != NULL)
        return fleet_open_sessions(generator->fleet, &generator->sessions, err);
    return stores_open_sessions(generator->config, mode == GENERATOR_RUN ? SESSION_MAINTAIN : SESSION_READ,
                                &generator->sessions, err);
}

/* For our caller ST_BUSY means that another run is in progress, and nothing else. */
static enum status open_stores(struct generator *generator, enum generator_mode mode, struct err *err)
{
    enum status status = stores_open_fleet(generator->config, &generator->fleet, err);

    if (status == ST_OK)
        status = open_sessions(generator, mode, err);
    if (status == ST_OK)
        status = stores_open_ledger(generator->config, generator->fleet,
                                    mode == GENERATOR_RUN ? LEDGER_WRITE : LEDGER_READ, &generator->ledger,
                                    &generator->is_first_run, err);
    if (status == ST_BUSY)
        err->code = status = ST_TEMPORARY;
    return status;
}

/* R44: an unusable key is found now, not when the first mail is due. */
static enum status load_keys(struct generator *generator, struct err *err)
{
    const struct option_list *list = &generator->config->dkim_key;
    struct dkim_key_setting settings[DKIM_KEYS_MAX];
    enum status status = ST_OK;
    struct arena arena;

    if (list->count == 0)
        return ST_OK;
    arena_init(&arena, 65536);
    for (size_t i = 0; i < list->count && status == ST_OK; i++) /* config.c: not more than DKIM_KEYS_MAX */
        status = dkim_key_parse(list->items[i], &arena, &settings[i], err);
    if (status == ST_OK)
        status = dkim_keys_load(settings, list->count, generator->config->dkim_domain, &generator->keys, err);
    arena_done(&arena);
    return status;
}

/* What is wrong with the file that a setting names starts with the setting: "FILE:LINE: NAME: ...". */
static enum status name_setting(const struct generator *generator, const char *setting, enum status status,
                                struct err *err)
{
    char origin[256];

    if (status != ST_CONFIG)
        return status;
    options_origin_format(&generator->config->options, setting, origin, sizeof origin);
    return err_wrap(err, "%s: %s", origin, setting);
}

static enum status load_suppressed(struct generator *generator, struct err *err)
{
    const char *path = generator->config->suppress;
    struct strbuf text;
    enum status status;

    if (*path == '\0')
        return ST_OK;
    strbuf_init(&text, SUPPRESS_LIST_MAX);
    status = file_read(path, &text, err);
    if (status == ST_OK)
        status = suppress_list_read(&generator->suppressed, path, text.data, text.len, err);
    else if (status != ST_NOMEM)
        err->code = status = ST_CONFIG;
    strbuf_done(&text);
    return status;
}

static enum status load_settings(struct generator *generator, enum generator_mode mode, struct err *err)
{
    enum status status = host_settings_check(
        generator->config, mode == GENERATOR_RUN ? HOST_SETTINGS_RUN : HOST_SETTINGS_DRY_RUN, err);

    if (status == ST_OK)
        status = address_policy_init(&generator->https_policy, ADDRESS_POLICY_HTTPS_PORT,
                                     generator->config->https_allow.items,
                                     generator->config->https_allow.count, err);
    if (status == ST_OK)
        status = name_setting(generator, "suppress", load_suppressed(generator, err), err);
    if (status == ST_OK)
        status = name_setting(generator, "dkim_key", load_keys(generator, err), err);
    return status;
}

static enum status open_all(struct generator *generator, enum generator_mode mode, struct err *err)
{
    const struct option_list *servers = &generator->config->resolver;
    enum status status = load_settings(generator, mode, err);

    if (status == ST_OK && mode == GENERATOR_RUN)
        status = take_lock(generator, err);
    if (status == ST_OK)
        status = open_stores(generator, mode, err);
    if (status != ST_OK)
        return status;
    status = resolve_open(servers->items, servers->count, NULL, &generator->resolver, err);
    return status == ST_OK ? gzip_open(&generator->gzip, err) : status;
}

enum status generator_open(struct generator *generator, const struct config *config, enum generator_mode mode,
                           struct err *err)
{
    enum status status;

    *generator = (struct generator){.config = config, .lock_fd = -1, .now_s = clock_utc_s()};
    suppress_list_init(&generator->suppressed);
    status = open_all(generator, mode, err);
    if (status != ST_OK)
        generator_close(generator);
    return status;
}

void generator_close(struct generator *generator)
{
    suppress_list_done(&generator->suppressed);
    dkim_keys_free(&generator->keys);
    gzip_close(&generator->gzip);
    resolve_close(&generator->resolver);
    ledger_close(&generator->ledger);
    session_reader_close(&generator->sessions);
    fleet_close(&generator->fleet);
    if (generator->lock_fd >= 0)
        (void)close(generator->lock_fd);
    generator->lock_fd = -1;
}
