/* SPDX-License-Identifier: MIT */
/*
 * How it works.  A page is read from the session store after the last name of the page before; domains that the ledger
 * has settled are dropped.
 */
#include "day_domains.h"

#include <string.h>

#define NAME_BYTES_MAX 65536 /* DNS has 255; a fleet's database may hold anything */
#define ARENA_MAX      ((size_t)DAY_DOMAINS_PAGE * (NAME_BYTES_MAX + sizeof(struct day_domain)))

void day_domains_open(struct day_domains *domains, struct generator *generator, int32_t utc_day,
                      enum day_domains_scope scope, const char *only)
{
    *domains = (struct day_domains){.generator = generator, .utc_day = utc_day, .scope = scope, .only = only};
    arena_init(&domains->arena, ARENA_MAX);
    strbuf_init(&domains->last, NAME_BYTES_MAX);
}

void day_domains_close(struct day_domains *domains)
{
    arena_done(&domains->arena);
    strbuf_done(&domains->last);
}

static enum status no_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "list of domains: out of memory");
}

static enum status take_name(void *context, const char *domain, const struct session_counts *sessions,
                             struct err *err)
{
    struct day_domains *domains = context;
    const char *copy = arena_copy_text(&domains->arena, domain, strlen(domain));

    if (copy == NULL)
        return no_memory(err);
    if (domains->count == DAY_DOMAINS_PAGE)
        return err_set(err, ST_INTERNAL, "the session store gave more domains than it was asked for");
    domains->items[domains->count++] = (struct day_domain){.name = copy, .sessions = *sessions};
    return ST_OK;
}

/* All names after the last one, at most DAY_DOMAINS_PAGE. */
static enum status read_page(struct day_domains *domains, struct err *err)
{
    enum status status;

    arena_reset(&domains->arena);
    domains->count = 0;
    domains->items = arena_alloc_array(&domains->arena, DAY_DOMAINS_PAGE, sizeof *domains->items);
    if (domains->items == NULL)
        return no_memory(err);
    if (domains->names_read >= DAY_DOMAINS_MAX)
        return err_set(err, ST_RANGE, "more than %u domains on one day", DAY_DOMAINS_MAX);
    status = session_reader_each_domain(domains->generator->sessions, domains->utc_day, domains->last.data,
                                        DAY_DOMAINS_PAGE, take_name, domains, err);
    if (status != ST_OK)
        return status;
    domains->names_read += domains->count;
    domains->is_at_end = domains->count < DAY_DOMAINS_PAGE;
    if (domains->is_at_end)
        return ST_OK;
    strbuf_reset(&domains->last);
    strbuf_add_text(&domains->last, domains->items[domains->count - 1].name);
    return strbuf_is_failed(&domains->last) ? no_memory(err) : ST_OK;
}

static enum status is_in_scope(struct day_domains *domains, struct day_domain *item, bool *is_in_scope_out,
                               struct err *err)
{
    const char *domain = item->name;
    struct ledger *ledger = domains->generator->ledger;
    struct ledger_found found = {LEDGER_NOTHING, 0, 0};
    enum status status = ST_OK;
    bool is_later;

    *is_in_scope_out = false;
    if (domains->only != NULL && strcmp(domain, domains->only) != 0)
        return ST_OK;
    if (domains->scope != DAY_DOMAINS_ALL && ledger != NULL)
        status = ledger_find(ledger, domains->utc_day, domain, &found, err);
    is_later = domains->scope == DAY_DOMAINS_DUE && found.entry == LEDGER_WAITING &&
               found.next_at_s > domains->generator->now_s;
    item->since_s = found.entry == LEDGER_WAITING ? found.since_s : 0;
    domains->waiting += is_later;
    *is_in_scope_out = found.entry == LEDGER_NOTHING || (found.entry == LEDGER_WAITING && !is_later);
    return status;
}

/* A ledger that is far away answers for the whole page at once. */
static enum status prefetch(const struct day_domains *domains, struct err *err)
{
    struct ledger *ledger = domains->generator->ledger;
    const char *names[DAY_DOMAINS_PAGE];

    if (ledger == NULL || domains->count == 0)
        return ST_OK;
    for (size_t i = 0; i < domains->count; i++)
        names[i] = domains->items[i].name;
    return ledger_prefetch(ledger, domains->utc_day, names, domains->count, err);
}

static enum status keep_in_scope(struct day_domains *domains, struct err *err)
{
    enum status status = prefetch(domains, err);
    size_t kept = 0;

    for (size_t i = 0; status == ST_OK && i < domains->count; i++) {
        bool is_kept;

        status = is_in_scope(domains, &domains->items[i], &is_kept, err);
        if (status == ST_OK && is_kept)
            domains->items[kept++] = domains->items[i];
    }
    domains->count = kept;
    return status;
}

enum status day_domains_next(struct day_domains *domains, struct err *err)
{
    enum status status = ST_OK;

    domains->count = 0;
    while (status == ST_OK && domains->count == 0 && !domains->is_at_end) {
        status = read_page(domains, err);
        if (status == ST_OK)
            status = keep_in_scope(domains, err);
    }
    return status;
}
