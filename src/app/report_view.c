/* SPDX-License-Identifier: MIT */
/*
 * Printed from top to bottom: head, each policy with a bar and its failures, departures from RFC 8460.  Failure
 * details are sorted by result type and grouped; the most frequent type comes first, with advice for the
 * domain's owner.  Every list has a limit, because the report may be anybody's.
 */
#include "app/report_view.h"

#include <stdlib.h>
#include <string.h>

#include "app/table.h"
#include "base/cursor.h"
#include "model/utc_day.h"

#define BAR_COLUMNS     30
#define HOSTS_SHOWN     10 /* details of one result type that are listed */
#define STRINGS_SHOWN   12 /* lines of one policy that are listed */
#define GROUPS_SHOWN    22
#define POLICIES_SHOWN  100
#define LABEL_COLUMNS   12
#define DETAIL_TEXT_MAX 4096

/* What the owner of the policy's domain should look at. */
static const char *const ADVICE[RESULT_TYPE_COUNT] = {
    [RESULT_STARTTLS_NOT_SUPPORTED] =
        "does this mail server offer STARTTLS to everybody, also through the firewall in front of it?",
    [RESULT_CERTIFICATE_HOST_MISMATCH] =
        "get a certificate that names the MX host, or let the policy's mx lines name the host that answers",
    [RESULT_CERTIFICATE_EXPIRED] =
        "renew the certificate, and reload the mail server that still shows the old one",
    [RESULT_CERTIFICATE_NOT_TRUSTED] =
        "let the server send the intermediate certificates too, and use an authority that senders know",
    [RESULT_VALIDATION_FAILURE] = "the reason says what failed; try it with: openssl s_client -starttls smtp",
    [RESULT_TLSA_INVALID] =
        "publish TLSA records that match the present certificate, with usage 3 or 2, before it is replaced",
    [RESULT_DNSSEC_INVALID] = "check the zone's DNSSEC signatures and the DS record at its parent",
    [RESULT_DANE_REQUIRED] = "the sender insists on DANE here: publish TLSA records in a signed zone",
    [RESULT_STS_POLICY_FETCH_ERROR] =
        "https://mta-sts.DOMAIN/.well-known/mta-sts.txt must answer with 200 and no redirect",
    [RESULT_STS_POLICY_INVALID] =
        "check the text of the MTA-STS policy, and its id in DNS (RFC 8461 section 3)",
    [RESULT_STS_WEBPKI_INVALID] = "check the web server's certificate for mta-sts.DOMAIN",
};

/* What all printing functions need. */
struct report_screen {
    const struct terminal *terminal;
    FILE *out;
    bool is_brief; /* leave out the policies' own texts */
};

static void print_text(const struct report_screen *screen, enum terminal_style style, const char *text)
{
    table_print_text(screen->terminal, style, text, screen->out);
}

/* "  label       text", wrapped. */
static void print_label(const struct report_screen *screen, const char *label, const char *text)
{
    (void)fprintf(screen->out, "  %-*s", LABEL_COLUMNS, label);
    table_print_wrapped(screen->terminal, LABEL_COLUMNS + 2, LABEL_COLUMNS + 2, text, screen->out);
}

/* ---- head ---- */

static void format_period(const struct report_document *document, char *text_out, size_t size)
{
    char begin[UTC_STAMP_TEXT_SIZE], end[UTC_STAMP_TEXT_SIZE];
    int32_t utc_day = utc_day_of(document->begin_s);

    if (!document->has_period) {
        (void)snprintf(text_out, size, "from \"%.40s\" to \"%.40s\"", document->start, document->end);
        return;
    }
    utc_stamp_format(document->begin_s, begin);
    utc_stamp_format(document->end_s, end);
    if (document->begin_s == utc_day_begin_s(utc_day) && document->end_s == utc_day_last_s(utc_day))
        (void)snprintf(text_out, size, "%.10s, the whole UTC day", begin);
    else
        (void)snprintf(text_out, size, "%s to %s", begin, end);
}

/* The domain that the report is about, as the envelope or the first policy says. */
static struct span domain_of(const struct report_document *document, const struct report_envelope *envelope)
{
    struct cursor cursor;
    struct span domain;

    if (envelope->is_mail && *envelope->tls_report_domain != '\0')
        return (struct span){envelope->tls_report_domain, strlen(envelope->tls_report_domain)};
    cursor_init(&cursor, envelope->file_name, strlen(envelope->file_name));
    (void)cursor_take_until(&cursor, "!");
    cursor_expect(&cursor, "!");
    domain = cursor_take_until(&cursor, "!");
    if (!cursor.is_failed && domain.len > 0)
        return domain;
    if (document->policy_count > 0)
        return (struct span){document->policies[0].domain, strlen(document->policies[0].domain)};
    return (struct span){"", 0};
}

static void print_head(const struct report_screen *screen, const struct report_document *document,
                       const struct report_envelope *envelope, const char *origin)
{
    struct span domain = domain_of(document, envelope);
    char text[512];

    print_text(screen, STYLE_BOLD, "TLS report");
    (void)snprintf(text, sizeof text, " about %.*s", domain.len > 0 ? (int)domain.len : 1,
                   domain.len > 0 ? domain.at : "?");
    print_text(screen, STYLE_BOLD, text);
    (void)fputc('\n', screen->out);
    print_label(screen, "from", *document->organization_name != '\0' ? document->organization_name : "?");
    print_label(screen, "contact", *document->contact_info != '\0' ? document->contact_info : "?");
    format_period(document, text, sizeof text);
    print_label(screen, "period", text);
    print_label(screen, "report-id", *document->report_id != '\0' ? document->report_id : "?");
    print_label(screen, "read from", origin);
}

/* ---- counts and lists ---- */

static void print_share(const struct report_screen *screen, uint64_t success, uint64_t failure)
{
    char ok_text[TABLE_NUMBER_SIZE], failed_text[TABLE_NUMBER_SIZE];
    double percent = success + failure > 0 ? 100.0 * (double)success / (double)(success + failure) : 100.0;

    /* Never round a failure away. */
    if (failure > 0 && percent > 99.9)
        percent = 99.9;
    (void)fprintf(screen->out, "  %s ok, ", table_number(success, ok_text));
    (void)fprintf(screen->out, "%s%s failed%s",
                  terminal_begin(screen->terminal, failure > 0 ? STYLE_BAD : STYLE_PLAIN),
                  table_number(failure, failed_text),
                  terminal_end(screen->terminal, failure > 0 ? STYLE_BAD : STYLE_PLAIN));
    if (success + failure > 0)
        (void)fprintf(screen->out, " (%.1f %% ok)", percent);
    (void)fputc('\n', screen->out);
}

/* A heading, then each line below it. */
static void print_list(const struct report_screen *screen, const char *label, const struct text_list *list)
{
    if (list->count > 0)
        (void)fprintf(screen->out, "  %s\n", label);
    for (size_t i = 0; i < list->count && i < STRINGS_SHOWN; i++) {
        (void)fputs("    ", screen->out);
        table_print_wrapped(screen->terminal, 4, 6, list->items[i], screen->out);
    }
    if (list->count > STRINGS_SHOWN)
        (void)fprintf(screen->out, "    (%zu more)\n", list->count - STRINGS_SHOWN);
}

/* ---- failures of one policy ---- */

/* One detail to be sorted. */
struct item {
    const struct report_read_detail *detail;
};

/* Details of one result type: items[0..count), those with most sessions first. */
struct group {
    const struct item *items;
    size_t count;
    uint64_t sessions;
};

/* "mx1.example [192.0.2.1], which calls itself x, from 198.51.100.1; reason: ..." */
static void format_detail(const struct report_read_detail *detail, struct strbuf *text)
{
    const char *host =
        *detail->receiving_mx_hostname != '\0' ? detail->receiving_mx_hostname : detail->receiving_mx_helo;
    bool has_other_helo = *detail->receiving_mx_helo != '\0' && strcmp(host, detail->receiving_mx_helo) != 0;

    strbuf_addf(text, "%.255s", *host != '\0' ? host : "(no host named)");
    if (*detail->receiving_ip != '\0')
        strbuf_addf(text, " [%.60s]", detail->receiving_ip);
    if (has_other_helo)
        strbuf_addf(text, ", which calls itself %.255s", detail->receiving_mx_helo);
    if (*detail->sending_mta_ip != '\0')
        strbuf_addf(text, ", from %.60s", detail->sending_mta_ip);
    if (*detail->failure_reason_code != '\0')
        strbuf_addf(text, "; reason: %.300s", detail->failure_reason_code);
    if (*detail->additional_information != '\0')
        strbuf_addf(text, "; more: %.300s", detail->additional_information);
}

static void print_detail(const struct report_screen *screen, const struct report_read_detail *detail)
{
    char number[TABLE_NUMBER_SIZE];
    struct strbuf text;

    strbuf_init(&text, DETAIL_TEXT_MAX);
    format_detail(detail, &text);
    (void)fprintf(screen->out, "    %6s  ", table_number(detail->sessions, number));
    table_print_wrapped(screen->terminal, 12, 12, text.data, screen->out);
    strbuf_done(&text);
}

/* Advice for a policy's domain: DOMAIN in it becomes its name. */
static void print_advice(const struct report_screen *screen, const char *advice, const char *domain)
{
    const char *gap = strstr(advice, "DOMAIN");
    struct strbuf text;

    strbuf_init(&text, DETAIL_TEXT_MAX);
    if (gap != NULL && *domain != '\0')
        strbuf_addf(&text, "%.*s%.255s%s", (int)(gap - advice), advice, domain, gap + strlen("DOMAIN"));
    else
        strbuf_add_text(&text, advice);
    (void)fputs("          look at: ", screen->out);
    table_print_wrapped(screen->terminal, 19, 19, text.data, screen->out);
    strbuf_done(&text);
}

static void print_group(const struct report_screen *screen, const struct group *group, const char *domain)
{
    const struct report_read_detail *first = group->items[0].detail;
    const char *name = *first->result_type != '\0' ? first->result_type : "(no result-type)";
    char number[TABLE_NUMBER_SIZE];

    (void)fprintf(screen->out, "  %6s  ", table_number(group->sessions, number));
    print_text(screen, STYLE_BAD, name);
    if (first->is_registered) {
        (void)fputs(": ", screen->out);
        table_print_wrapped(screen->terminal, 12 + strlen(name), 10, result_type_words(first->type),
                            screen->out);
    } else {
        (void)fputc('\n', screen->out);
    }
    for (size_t i = 0; i < group->count && i < HOSTS_SHOWN; i++)
        print_detail(screen, group->items[i].detail);
    if (group->count > HOSTS_SHOWN)
        (void)fprintf(screen->out, "            (%zu more; --format json shows all)\n",
                      group->count - HOSTS_SHOWN);
    if (first->is_registered)
        print_advice(screen, ADVICE[first->type], domain);
}

static int compare_details(const void *a_pointer, const void *b_pointer)
{
    const struct report_read_detail *a = ((const struct item *)a_pointer)->detail;
    const struct report_read_detail *b = ((const struct item *)b_pointer)->detail;
    int order = strcmp(a->result_type, b->result_type);

    if (order != 0)
        return order;
    return a->sessions != b->sessions ? (a->sessions < b->sessions ? 1 : -1) : (a < b ? -1 : a > b);
}

static int compare_groups(const void *a_pointer, const void *b_pointer)
{
    const struct group *a = a_pointer, *b = b_pointer;

    if (a->sessions != b->sessions)
        return a->sessions < b->sessions ? 1 : -1;
    return strcmp(a->items[0].detail->result_type, b->items[0].detail->result_type);
}

/* Sorted details cut into groups of one type each; how many. */
static size_t make_groups(const struct item *items, size_t count, struct group *groups)
{
    size_t made = 0;

    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(items[i - 1].detail->result_type, items[i].detail->result_type) != 0)
            groups[made++] = (struct group){.items = &items[i]};
        groups[made - 1].count++;
        groups[made - 1].sessions += items[i].detail->sessions;
    }
    return made;
}

/* One block for each result type, the most frequent first. */
static void print_failures(const struct report_screen *screen, const struct report_read_policy *policy)
{
    size_t count = policy->detail_count, made;
    struct item *items = calloc(count > 0 ? count : 1, sizeof *items);
    struct group *groups = calloc(count > 0 ? count : 1, sizeof *groups);

    if (items == NULL || groups == NULL) {
        (void)fputs("  (no memory to list the failures)\n", screen->out);
        goto out;
    }
    for (size_t i = 0; i < count; i++)
        items[i].detail = &policy->details[i];
    qsort(items, count, sizeof *items, compare_details);
    made = make_groups(items, count, groups);
    qsort(groups, made, sizeof *groups, compare_groups);
    for (size_t i = 0; i < made && i < GROUPS_SHOWN; i++)
        print_group(screen, &groups[i], policy->domain);
    if (made > GROUPS_SHOWN)
        (void)fprintf(screen->out, "  (%zu more result types)\n", made - GROUPS_SHOWN);
out:
    free(items);
    free(groups);
}

/* ---- one policy ---- */

/* "mode: testing" of an MTA-STS policy; "" if there is none. */
static const char *sts_mode(const struct report_read_policy *policy)
{
    for (size_t i = 0; i < policy->strings.count; i++)
        if (strncmp(policy->strings.items[i], "mode:", 5) == 0)
            return policy->strings.items[i] + 5 + strspn(policy->strings.items[i] + 5, " ");
    return "";
}

static const char *policy_words(const struct report_read_policy *policy)
{
    static const char *const WORDS[POLICY_TYPE_COUNT] = {
        [POLICY_TLSA] = "DANE (tlsa)",
        [POLICY_STS] = "MTA-STS (sts)",
        [POLICY_NO_POLICY_FOUND] = "no policy found",
    };

    if (policy->is_known_type)
        return WORDS[policy->known_type];
    return *policy->type != '\0' ? policy->type : "(no policy-type)";
}

static void print_policy(const struct report_screen *screen, const struct report_read_policy *policy)
{
    const char *mode = sts_mode(policy);
    struct strbuf title;

    strbuf_init(&title, DETAIL_TEXT_MAX);
    strbuf_addf(&title, "%.80s for %.300s%s%.40s", policy_words(policy),
                *policy->domain != '\0' ? policy->domain : "(no policy-domain)",
                *mode != '\0' ? ", mode " : "", mode);
    (void)fputs(terminal_begin(screen->terminal, STYLE_BOLD), screen->out);
    table_print_wrapped(screen->terminal, 0, 2, title.data, screen->out);
    (void)fprintf(screen->out, "%s  ", terminal_end(screen->terminal, STYLE_BOLD));
    strbuf_done(&title);
    table_print_bar(screen->terminal, policy->success, policy->failure, BAR_COLUMNS, screen->out);
    print_share(screen, policy->success, policy->failure);
    if (!screen->is_brief) {
        print_list(screen, "policy", &policy->strings);
        print_list(screen, "mx-host", &policy->mx_hosts);
    }
    if (policy->detail_count > 0) {
        (void)fputs("  failures\n", screen->out);
        print_failures(screen, policy);
    }
}

/* ---- departures ---- */

static void print_finding(const struct report_screen *screen, const struct finding *finding)
{
    static const enum terminal_style STYLES[FINDING_LEVEL_COUNT] = {
        [FINDING_MUST] = STYLE_BAD, [FINDING_SHOULD] = STYLE_WARN, [FINDING_NOTE] = STYLE_PLAIN};
    struct strbuf text;

    strbuf_init(&text, DETAIL_TEXT_MAX);
    strbuf_addf(&text, "%s: %s", finding->where, finding->text);
    if (finding->count > 1)
        strbuf_addf(&text, ", and %zu more like it", finding->count - 1);
    strbuf_addf(&text, " (%s)", finding->rule);
    (void)fprintf(screen->out, "  %s%-6s%s  ", terminal_begin(screen->terminal, STYLES[finding->level]),
                  finding_level_name(finding->level), terminal_end(screen->terminal, STYLES[finding->level]));
    table_print_wrapped(screen->terminal, 10, 10, text.data, screen->out);
    strbuf_done(&text);
}

static void print_findings(const struct report_screen *screen, const struct finding_list *findings)
{
    (void)fputc('\n', screen->out);
    if (findings->count == 0) {
        (void)fputs("No departure from RFC 8460.\n", screen->out);
        return;
    }
    (void)fprintf(screen->out, "Departures from RFC 8460: %zu\n", findings->count + findings->left_out);
    for (enum finding_level level = FINDING_MUST; level < FINDING_LEVEL_COUNT; level++)
        for (size_t i = 0; i < findings->count; i++)
            if (findings->items[i].level == level)
                print_finding(screen, &findings->items[i]);
    if (findings->left_out > 0)
        (void)fprintf(screen->out, "  (%zu more are not listed)\n", findings->left_out);
}

static void print_all_policies(const struct report_screen *screen, const struct report_document *document)
{
    for (size_t i = 0; i < document->policy_count && i < POLICIES_SHOWN; i++) {
        if (i > 0)
            (void)fputc('\n', screen->out);
        print_policy(screen, &document->policies[i]);
    }
    if (document->policy_count > POLICIES_SHOWN)
        (void)fprintf(screen->out, "\n(%zu more policies; --format json shows all)\n",
                      document->policy_count - POLICIES_SHOWN);
    if (document->policy_count < 2)
        return;
    (void)fprintf(screen->out, "\n%sAll %zu policies%s\n  ", terminal_begin(screen->terminal, STYLE_BOLD),
                  document->policy_count, terminal_end(screen->terminal, STYLE_BOLD));
    table_print_bar(screen->terminal, document->success, document->failure, BAR_COLUMNS, screen->out);
    print_share(screen, document->success, document->failure);
}

void show_report_print_policies(const struct terminal *terminal, const struct report_document *document,
                                FILE *out)
{
    const struct report_screen screen = {.terminal = terminal, .out = out, .is_brief = true};

    print_all_policies(&screen, document);
}

void show_report_print(const struct terminal *terminal, const struct report_document *document,
                       const struct report_envelope *envelope, const struct finding_list *findings,
                       const char *origin, FILE *out)
{
    const struct report_screen screen = {.terminal = terminal, .out = out};

    print_head(&screen, document, envelope, origin);
    (void)fputc('\n', out);
    print_all_policies(&screen, document);
    print_findings(&screen, findings);
}
