/* SPDX-License-Identifier: MIT */
/*
 * 1. Get the TXT records, from the DNS or from --record.
 * 2. Choose and read the one that counts (tlsrpt_record_choose); it lists what was skipped and what is odd.
 * 3. Without a usable record, look for likely mistakes in the text, and with --nearby at other names.
 * 4. Write all of it as text or JSON.
 */
#include "inspect/explain.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "app/json_out.h"
#include "app/program.h"
#include "base/strbuf.h"
#include "deliver/address_policy.h"
#include "model/domain.h"
#include "model/tlsrpt_record.h"
#include "model/tlsrpt_typo.h"
#include "resolve/resolve.h"

#define RRS_MAX        64
#define ARENA_MAX      (4 * 1024 * 1024)
#define OUTPUT_MAX     (4 * 1024 * 1024)
#define TLSRPT_PREFIX  "_smtp._tls."
#define NEARBY_NAMES   5
#define LINE_BYTES_MAX 1024 /* of a record shown */

static const char USAGE[] =
    "usage: tlsrpt-gen explain [--format text|json] [--nearby] DOMAIN\n"
    "       tlsrpt-gen explain [--format text|json] --record TXT [--record TXT ...]\n"
    "\n"
    "Say what a domain's TLSRPT record means: which destinations are kept, what is\n"
    "skipped and why, and which slip it looks like.\n"
    "\n"
    "  --record TXT   read this text instead of the DNS; once for each TXT record of\n"
    "                 the name, each with its strings joined\n"
    "  --nearby       also look where the record is put by mistake\n"
    "  --format FORM  text (default) or json\n"
    "\n"
    "exit code: 0 reports can be sent, 1 they cannot, 75 the DNS did not say\n";

static const char *const VERDICTS[TLSRPT_RECORD_RESULT_COUNT] = {
    [TLSRPT_OK] = "Reports are wanted, and can be sent to:",
    [TLSRPT_NO_RECORD] = "There is no TLSRPT record: reports are not wanted.",
    [TLSRPT_MULTIPLE] = "There is more than one TLSRPT record, which counts as none (RFC 8460 section 3).\n"
                        "Remove all but one.",
    [TLSRPT_NO_RUA] = "The record names no destination: it has no \"rua=\" field.\n"
                      "Add one, as in: v=TLSRPTv1; rua=mailto:tlsrpt@example.org",
    [TLSRPT_NO_USABLE_RUA] = "Reports are wanted, but none of the record's destinations can be used.",
};

/* What was asked for, and what was found out. */
struct explain {
    bool is_json;
    bool is_nearby_wanted;
    const char *domain; /* as given, or NULL: --record */
    const char *name;   /* that was looked up */
    struct span rrs[RRS_MAX];
    size_t rr_count;
    const char *temporary; /* the DNS did not say: why; else NULL */
    struct tlsrpt_record record;
    struct arena arena;
    struct strbuf nearby;  /* one hint a line */
    struct strbuf refused; /* one URL a line, with the reason: its port */
    struct strbuf out;
};

/* ---- what the command line says ---- */

static int usage_error(const char *why)
{
    (void)fprintf(stderr, "tlsrpt-gen explain: %s; see tlsrpt-gen explain --help\n", why);
    return EXIT_USAGE;
}

static int take_option(struct explain *explain, int option, char *const *argv)
{
    switch (option) {
    case 'r':
        if (explain->rr_count == RRS_MAX)
            return usage_error("too many records");
        explain->rrs[explain->rr_count++] = (struct span){.at = optarg, .len = strlen(optarg)};
        return 0;
    case 'f':
        explain->is_json = strcmp(optarg, "json") == 0;
        return explain->is_json || strcmp(optarg, "text") == 0 ? 0 : usage_error("--format is text or json");
    case 'n':
        explain->is_nearby_wanted = true;
        return 0;
    default:
        return program_refuse_option("tlsrpt-gen explain", argv);
    }
}

/* 0, or an exit code; *is_done_out if there is nothing left to do. */
static int read_command_line(struct explain *explain, int argc, char **argv, bool *is_done_out)
{
    static const struct option OPTIONS[] = {
        {"record", required_argument, NULL, 'r'},
        {"format", required_argument, NULL, 'f'},
        {"nearby", no_argument, NULL, 'n'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;

    optind = 0; /* the program's own options were read by the same getopt */
    opterr = 0;
    while ((option = getopt_long(argc, argv, "r:f:nh", OPTIONS, NULL)) != -1) {
        int code = option == 'h' ? 0 : take_option(explain, option, argv);

        *is_done_out = option == 'h' || code != 0;
        if (option == 'h')
            (void)fputs(USAGE, stdout);
        if (*is_done_out)
            return code;
    }
    *is_done_out = true;
    if (explain->rr_count > 0 ? argc != optind : argc != optind + 1)
        return usage_error("give one domain, or --record");
    if (explain->rr_count > 0 && explain->is_nearby_wanted)
        return usage_error("--nearby needs a domain");
    *is_done_out = false;
    explain->domain = explain->rr_count > 0 ? NULL : argv[optind];
    return 0;
}

/* ---- what the DNS says ---- */

/* Somebody who pastes the record's own name means its domain. */
static const char *without_prefix(const char *domain)
{
    size_t len = strlen(TLSRPT_PREFIX);

    return strncmp(domain, TLSRPT_PREFIX, len) == 0 ? domain + len : domain;
}

static enum status resolve_record(struct explain *explain, struct resolver *resolver, struct err *err)
{
    struct resolve_answer answer;
    enum status status;

    status =
        resolve_one(resolver, RESOLVE_TLSRPT, without_prefix(explain->domain), &explain->arena, &answer, err);
    if (status != ST_OK)
        return err_wrap(err, "%.80s", explain->domain);
    explain->name = answer.name;
    if (answer.result == RESOLVE_TEMPORARY)
        explain->temporary = answer.reason;
    for (size_t i = 0; i < answer.txt_count && i < RRS_MAX; i++)
        explain->rrs[explain->rr_count++] = answer.txts[i];
    if (answer.txt_count > RRS_MAX)
        return err_set(err, ST_RANGE, "%s has more than %d TXT records", answer.name, RRS_MAX);
    return ST_OK;
}

/* A TXT record near the right name that looks like TLSRPT: a hint where it should be. */
static void check_nearby(struct explain *explain, struct resolver *resolver, const char *name)
{
    struct resolve_answer answer;
    struct tlsrpt_record record;

    if (name == NULL || resolve_one(resolver, RESOLVE_TXT, name, &explain->arena, &answer, NULL) != ST_OK ||
        tlsrpt_record_choose(answer.txts, answer.txt_count, &explain->arena, &record, NULL) != ST_OK ||
        record.result == TLSRPT_NO_RECORD)
        return;
    strbuf_addf(&explain->nearby, "a TLSRPT record stands at %s; it must stand at %s.\n", answer.name,
                explain->name);
}

/* Where people put the record by mistake. */
static void find_typo_nearby(struct explain *explain, struct resolver *resolver)
{
    static const char *const PREFIXES[NEARBY_NAMES] = {"", "_tls.", "_smtp.", "_smtp-tlsrpt.", "_tlsrpt."};
    const char *domain = explain->name + strlen(TLSRPT_PREFIX);
    struct arena *arena = &explain->arena;

    for (size_t i = 0; i < NEARBY_NAMES; i++)
        check_nearby(explain, resolver, arena_format(arena, "%s%s", PREFIXES[i], domain));
    /* a zone file without the final dot */
    check_nearby(explain, resolver, arena_format(arena, "%s.%s", explain->name, domain));
}

static enum status ask_dns(struct explain *explain, const struct config *config, struct err *err)
{
    struct resolver *resolver = NULL;
    enum status status;

    status = resolve_open(config != NULL ? config->resolver.items : NULL,
                          config != NULL ? config->resolver.count : 0, NULL, &resolver, err);
    if (status != ST_OK)
        return status;
    status = resolve_record(explain, resolver, err);
    if (status == ST_OK && explain->is_nearby_wanted)
        find_typo_nearby(explain, resolver);
    resolve_close(&resolver);
    return status;
}

/* ---- what we say ---- */

/* A hint about an RR that is no TLSRPT record, into out without the line's end; false if there is none. */
static bool add_typo(const struct explain *explain, size_t rr, struct strbuf *out)
{
    enum tlsrpt_typo typo = tlsrpt_typo_find(explain->rrs[rr]);

    if (explain->record.result != TLSRPT_NO_RECORD || typo == TLSRPT_TYPO_NONE)
        return false;
    if (explain->rr_count > 1)
        strbuf_addf(out, "record %zu: ", rr + 1);
    strbuf_addf(out, "%s.", tlsrpt_typo_words(typo));
    return true;
}

/* One sentence at a time goes through words to add. */
typedef void add_sentence_fn(struct explain *explain, struct json_out *json, const char *sentence);

static void add_findings(struct explain *explain, struct json_out *json, bool is_skip, add_sentence_fn *add)
{
    struct strbuf words;

    strbuf_init(&words, OUTPUT_MAX);
    for (const struct tlsrpt_finding *at = explain->record.findings; at != NULL; at = at->next) {
        if (tlsrpt_finding_is_skip(at) != is_skip)
            continue;
        strbuf_reset(&words);
        if (is_skip)
            strbuf_add_text(&words, "skipped ");
        tlsrpt_finding_describe(at, &words);
        add(explain, json, words.data);
    }
    strbuf_done(&words);
}

static void add_lines(struct explain *explain, struct json_out *json, const struct strbuf *lines,
                      add_sentence_fn *add)
{
    char *line, *rest = lines->data;

    while ((line = strsep(&rest, "\n")) != NULL)
        if (line[0] != '\0')
            add(explain, json, line);
}

static void add_skipped(struct explain *explain, struct json_out *json, add_sentence_fn *add)
{
    add_findings(explain, json, true, add);
    add_lines(explain, json, &explain->refused, add);
}

static void add_hints(struct explain *explain, struct json_out *json, add_sentence_fn *add)
{
    struct strbuf words;

    add_findings(explain, json, false, add);
    strbuf_init(&words, OUTPUT_MAX);
    for (size_t i = 0; i < explain->rr_count; i++) {
        strbuf_reset(&words);
        if (add_typo(explain, i, &words))
            add(explain, json, words.data);
    }
    strbuf_done(&words);
    add_lines(explain, json, &explain->nearby, add);
}

static void add_json_sentence(struct explain *explain, struct json_out *json, const char *sentence)
{
    (void)explain;
    json_out_text(json, NULL, sentence);
}

static void write_json(struct explain *explain)
{
    const struct tlsrpt_record *record = &explain->record;
    const char *error = record->result == TLSRPT_OK ? NULL : tlsrpt_record_result_name(record->result);
    struct json_out json;

    json_out_init(&json, &explain->out, 0);
    json_out_begin_object(&json, NULL);
    if (explain->name != NULL)
        json_out_text(&json, "name", explain->name);
    json_out_begin_array(&json, "rua");
    for (size_t i = 0; i < record->rua_count; i++)
        json_out_text(&json, NULL, record->ruas[i].uri);
    json_out_end_array(&json);
    json_out_text(&json, "error", explain->temporary != NULL ? "TEMPORARY" : error);
    json_out_begin_array(&json, "warnings");
    add_skipped(explain, &json, add_json_sentence);
    json_out_end_array(&json);
    json_out_begin_array(&json, "hints");
    add_hints(explain, &json, add_json_sentence);
    json_out_end_array(&json);
    json_out_end_object(&json);
    strbuf_add_char(&explain->out, '\n');
}

static void add_skipped_line(struct explain *explain, struct json_out *json, const char *sentence)
{
    (void)json;
    strbuf_addf(&explain->out, "  %s\n", sentence);
}

static void add_hint_line(struct explain *explain, struct json_out *json, const char *sentence)
{
    (void)json;
    strbuf_addf(&explain->out, "  hint    %s\n", sentence);
}

static void write_records(struct explain *explain)
{
    struct strbuf *out = &explain->out;

    if (explain->name != NULL)
        strbuf_addf(out, "%s: %zu TXT record%s\n", explain->name, explain->rr_count,
                    explain->rr_count == 1 ? "" : "s");
    for (size_t i = 0; i < explain->rr_count; i++) {
        struct span rr = explain->rrs[i];
        size_t shown = rr.len < LINE_BYTES_MAX ? rr.len : LINE_BYTES_MAX;

        strbuf_add_text(out, "  \"");
        strbuf_add_printable(out, rr.at, shown);
        strbuf_add_text(out, shown < rr.len ? "...\"\n" : "\"\n");
    }
    strbuf_add_char(out, '\n');
}

static void write_text(struct explain *explain)
{
    const struct tlsrpt_record *record = &explain->record;
    struct strbuf *out = &explain->out;

    if (explain->temporary != NULL) {
        strbuf_addf(out,
                    "%s: the DNS did not say: %s.\nNothing can be concluded from this; try again later.\n",
                    explain->name, explain->temporary);
        return;
    }
    write_records(explain);
    strbuf_addf(out, "%s\n", VERDICTS[record->result]);
    for (size_t i = 0; i < record->rua_count; i++)
        strbuf_addf(out, "  kept    %s\n", record->ruas[i].uri);
    add_skipped(explain, NULL, add_skipped_line);
    add_hints(explain, NULL, add_hint_line);
}

static int write_answer(struct explain *explain)
{
    if (explain->is_json)
        write_json(explain);
    else
        write_text(explain);
    if (strbuf_is_failed(&explain->out)) {
        (void)fputs("tlsrpt-gen explain: out of memory\n", stderr);
        return EXIT_SYSTEM;
    }
    if (fwrite(explain->out.data, 1, explain->out.len, stdout) != explain->out.len || fflush(stdout) != 0) {
        perror("tlsrpt-gen explain: write");
        return EXIT_IO;
    }
    if (explain->temporary != NULL)
        return EXIT_TEMPORARY;
    return explain->record.result == TLSRPT_OK ? 0 : EXIT_NEGATIVE;
}

/* URLs that a delivery would refuse because of their port. */
static enum status drop_refused_ports(struct explain *explain, const struct config *config, struct err *err)
{
    struct tlsrpt_record *record = &explain->record;
    struct address_policy policy;
    enum status status = address_policy_init(&policy, ADDRESS_POLICY_HTTPS_PORT,
                                             config != NULL ? config->https_allow.items : NULL,
                                             config != NULL ? config->https_allow.count : 0, err);
    size_t kept = 0;

    for (size_t i = 0; status == ST_OK && i < record->rua_count; i++) {
        const struct rua *rua = &record->ruas[i];

        if (rua->kind != RUA_HTTPS || address_policy_allows_port(&policy, rua->port))
            record->ruas[kept++] = *rua;
        else
            strbuf_addf(&explain->refused, "skipped %s: its port %u is neither 443 nor in https_allow\n",
                        rua->uri, (unsigned)rua->port);
    }
    if (status == ST_OK && kept == 0 && record->rua_count > 0)
        record->result = TLSRPT_NO_USABLE_RUA;
    if (status == ST_OK)
        record->rua_count = kept;
    return status;
}

static int find_out(struct explain *explain, const struct config *config)
{
    enum status status = ST_OK;
    struct err err;

    if (explain->domain != NULL)
        status = ask_dns(explain, config, &err);
    if (status == ST_OK)
        status =
            tlsrpt_record_choose(explain->rrs, explain->rr_count, &explain->arena, &explain->record, &err);
    if (status == ST_OK)
        status = drop_refused_ports(explain, config, &err);
    if (status == ST_OK)
        return write_answer(explain);
    (void)fprintf(stderr, "tlsrpt-gen explain: %s\n", err.text);
    return program_exit_code(status);
}

int cmd_explain(const struct config *config, int argc, char **argv)
{
    struct explain explain = {0};
    bool is_done = false;
    int code;

    arena_init(&explain.arena, ARENA_MAX);
    strbuf_init(&explain.nearby, OUTPUT_MAX);
    strbuf_init(&explain.refused, OUTPUT_MAX);
    strbuf_init(&explain.out, OUTPUT_MAX);
    code = read_command_line(&explain, argc, argv, &is_done);
    if (!is_done)
        code = find_out(&explain, config);
    strbuf_done(&explain.out);
    strbuf_done(&explain.nearby);
    strbuf_done(&explain.refused);
    arena_done(&explain.arena);
    return code;
}
