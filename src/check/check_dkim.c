/* SPDX-License-Identifier: MIT */
/*
 * Each DKIM key against its DNS record: is it published, is it the same key, does a signed sample verify, and
 * what its s= and t= say (RFC 6376 section 3.6.1, RFC 8460 section 3).
 */
#include <string.h>

#include "base/cursor.h"
#include "checkup.h"

#define RECORD_MAX     8192
#define TXT_STRING_MAX 255

/* Is word one of those between colons? */
static bool has_word(struct span list, const char *word)
{
    struct cursor cursor;

    cursor_init(&cursor, list.at, list.len);
    while (!cursor_at_end(&cursor)) {
        (void)cursor_skip_any(&cursor, ": \t");
        if (span_is(cursor_take_until(&cursor, ": \t"), word))
            return true;
    }
    return false;
}

/* What is to be published for one key, and where. */
struct wanted {
    size_t index;
    struct strbuf name, record;
    const char *fix;
};

static void say_missing(struct checkup *checkup, const struct wanted *wanted, const char *what)
{
    checkup_say(checkup, VERDICT_FAIL, "dkim", wanted->fix, "%s %s", wanted->name.data, what);
}

/*
 * s=tlsrpt alone makes ordinary verifiers refuse the mail; together with another service nobody takes it.
 * Without tlsrpt and '*' receivers that follow RFC 8460 section 3 refuse the report.
 */
static void check_tags(struct checkup *checkup, const struct wanted *wanted, struct span record)
{
    struct span service = dkim_tag_find(record, "s"), flags = dkim_tag_find(record, "t");
    bool is_for_tlsrpt = service.at != NULL && has_word(service, "tlsrpt");
    bool is_for_all = service.at == NULL || has_word(service, "*");
    bool is_for_mail = is_for_all || has_word(service, "email");

    if (is_for_tlsrpt && is_for_mail)
        checkup_say(checkup, VERDICT_WARN, "dkim", wanted->fix,
                    "%s has s=%.*s, which some verifiers refuse in every case; leave s= out",
                    wanted->name.data, (int)service.len, service.at);
    else if (is_for_tlsrpt && wanted->index == 0)
        checkup_say(
            checkup, VERDICT_WARN, "dkim", wanted->fix,
            "%s has s=tlsrpt: ordinary verifiers, and so DMARC, refuse such mail; leave s= out, or put a key "
            "without it in front",
            wanted->name.data);
    else if (!is_for_tlsrpt && is_for_mail && !is_for_all)
        checkup_say(
            checkup, VERDICT_WARN, "dkim", wanted->fix,
            "%s has s=%.*s, which leaves out tlsrpt: a receiver that follows RFC 8460 section 3 drops the "
            "report; leave s= out",
            wanted->name.data, (int)service.len, service.at);
    else if (!is_for_tlsrpt && !is_for_mail)
        checkup_say(checkup, VERDICT_FAIL, "dkim", wanted->fix,
                    "%s has s=%.*s: it is for another service than mail", wanted->name.data, (int)service.len,
                    service.at);
    if (flags.at != NULL && has_word(flags, "y"))
        checkup_say(checkup, VERDICT_WARN, "dkim", wanted->fix,
                    "%s has t=y: verifiers treat such mail as not signed; leave t=y out", wanted->name.data);
}

static void check_record(struct checkup *checkup, const struct wanted *wanted, struct span record)
{
    struct err err;
    enum status status = dkim_check_record(checkup->keys, wanted->index, record.at, record.len, &err);

    if (status != ST_OK) {
        checkup_say(checkup, VERDICT_FAIL, "dkim", wanted->fix, "%s: %s", wanted->name.data, err.text);
        return;
    }
    checkup_say(checkup, VERDICT_OK, "dkim", NULL, "a signed sample verifies with the key at %s",
                wanted->name.data);
    check_tags(checkup, wanted, record);
}

static void check_published(struct checkup *checkup, const struct wanted *wanted)
{
    struct resolve_answer answer;
    struct err err;

    if (resolve_one(checkup->resolver, RESOLVE_TXT, wanted->name.data, &checkup->arena, &answer, &err) !=
        ST_OK)
        checkup_say(checkup, VERDICT_FAIL, "dkim", wanted->fix, "%s", err.text);
    else if (answer.result == RESOLVE_TEMPORARY)
        checkup_say(checkup, VERDICT_WARN, "dkim", "try again later", "%s cannot be looked up: %s",
                    wanted->name.data, answer.reason);
    else if (answer.result == RESOLVE_NONE)
        say_missing(checkup, wanted, "has no key record");
    else if (answer.txt_count != 1)
        say_missing(checkup, wanted, "has more than one TXT record; only one may be there");
    else
        check_record(checkup, wanted, answer.txts[0]);
}

/* The record as a zone file has it: strings of at most 255 bytes (RFC 1035 section 3.3). */
static const char *format_fix(struct checkup *checkup, const struct wanted *wanted)
{
    struct strbuf text;
    const char *copy;

    strbuf_init(&text, (size_t)RECORD_MAX * 2);
    strbuf_addf(&text, "publish %s. TXT", wanted->name.data);
    for (size_t at = 0; at < wanted->record.len; at += TXT_STRING_MAX)
        strbuf_addf(&text, " \"%.*s\"", TXT_STRING_MAX, wanted->record.data + at);
    copy = checkup_format(checkup, "%s", text.data);
    strbuf_done(&text);
    return copy;
}

static void check_key(struct checkup *checkup, size_t index)
{
    struct wanted wanted = {.index = index};
    struct err err;

    strbuf_init(&wanted.name, 512);
    strbuf_init(&wanted.record, RECORD_MAX);
    if (dkim_key_record(checkup->keys, index, &wanted.name, &wanted.record, &err) != ST_OK) {
        checkup_say(checkup, VERDICT_FAIL, "dkim", NULL, "%s", err.text);
    } else {
        wanted.fix = format_fix(checkup, &wanted);
        check_published(checkup, &wanted);
    }
    strbuf_done(&wanted.name);
    strbuf_done(&wanted.record);
}

static enum status load_keys(struct checkup *checkup, struct err *err)
{
    const struct option_list *list = &checkup->config->dkim_key;
    struct dkim_key_setting settings[DKIM_KEYS_MAX];
    enum status status = ST_OK;

    for (size_t i = 0; status == ST_OK && i < list->count && i < DKIM_KEYS_MAX; i++)
        status = dkim_key_parse(list->items[i], &checkup->arena, &settings[i], err);
    if (status == ST_OK)
        status = dkim_keys_load(settings, list->count, checkup->config->dkim_domain, &checkup->keys, err);
    return status;
}

void check_dkim(struct checkup *checkup)
{
    const struct config *config = checkup->config;
    struct err err;

    if (config->dkim_key.count == 0 && config->smtp_mode == CONFIG_SMTP_DIRECT) {
        checkup_say(checkup, VERDICT_FAIL, "dkim",
                    "set dkim_key = SELECTOR:rsa-sha256:/FILE (how: tlsrpt-gen.conf(5), DKIM), or smtp_mode "
                    "= relay to one that signs",
                    "nobody signs the mails on their way to the mail hosts; RFC 8460 demands it");
        return;
    }
    if (config->dkim_key.count == 0) {
        checkup_say(checkup, VERDICT_WARN, "dkim",
                    "let the relay sign them, or set dkim_key = SELECTOR:rsa-sha256:/FILE (how: "
                    "tlsrpt-gen.conf(5), DKIM)",
                    "mails are not signed here; RFC 8460 wants them signed for %s",
                    *config->submitter != '\0' ? config->submitter : "the submitter");
        return;
    }
    if (load_keys(checkup, &err) != ST_OK) {
        checkup_say(checkup, VERDICT_FAIL, "dkim", NULL, "%s", err.text);
        return;
    }
    for (size_t i = 0; checkup->has_resolver && i < dkim_keys_count(checkup->keys); i++)
        check_key(checkup, i);
}
