/* SPDX-License-Identifier: MIT */
/*
 * One table with a row for each setting: name, kind, place in the struct, default, limits, check and help.  After
 * the file, the environment and the -o overrides are read, settings that depend on others are derived and checked
 * together.
 */
#include "model/config.h"

#include <string.h>
#include <unistd.h>

#include "base/cursor.h"
#include "identity.h"
#include "model/address.h"
#include "model/dkim_key.h"
#include "model/domain.h"
#include "model/report_meta.h"

/* ---- checks of single values: NULL if fine, else what is wrong and how to fix it ---- */

static const char *why_not(enum status status, const char *wrong)
{
    if (status == ST_OK)
        return NULL;
    return status == ST_NOMEM ? OPTION_NO_MEMORY : wrong;
}

static bool is_printable(const char *text)
{
    for (const char *at = text; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            return false;
    return true;
}

static const char *check_text(const char *value)
{
    return is_printable(value) ? NULL : "has a control character; remove it";
}

static const char *check_address(const char *value)
{
    const char *mailbox, *domain;
    struct arena arena;
    enum status status;

    arena_init(&arena, 8192);
    status = identity_mailbox_normalise(value, &arena, &mailbox, &domain, NULL);
    arena_done(&arena);
    return why_not(status, "not a mail address; use local@example.org without display name or brackets");
}

static const char *check_domain(const char *value)
{
    struct arena arena;
    const char *domain;
    enum status status;

    arena_init(&arena, 8192);
    status = domain_normalise(value, strlen(value), &arena, &domain, NULL);
    arena_done(&arena);
    return why_not(status, "not a domain name; use one such as reports.example.org");
}

static const char *check_dkim_key(const char *value)
{
    struct dkim_key_setting setting;
    struct arena arena;
    enum status status;

    arena_init(&arena, 16384);
    status = dkim_key_parse(value, &arena, &setting, NULL);
    arena_done(&arena);
    return why_not(status, "not a DKIM key; use SELECTOR:ALGORITHM:/FILE with rsa-sha256 or ed25519-sha256");
}

static const char *check_ip(const char *value)
{
    struct address address;

    return address_parse(value, strlen(value), &address)
               ? NULL
               : "not an IP address; use one such as 192.0.2.1 or 2001:db8::1";
}

static const char *check_path(const char *value)
{
    if (value[0] != '/')
        return "not an absolute path; begin it with a /";
    return check_text(value);
}

static const char *check_socket(const char *value)
{
    if (strlen(value) > 107)
        return "longer than the 107 bytes that a socket path may have; use a shorter one";
    return check_path(value);
}

/* Step over ":PORT", 1 to 65535. */
static void take_port(struct cursor *cursor)
{
    cursor_expect(cursor, ":");
    if (cursor_take_number(cursor, 65535) == 0)
        cursor_fail(cursor);
}

static const char *check_resolver(const char *value)
{
    struct cursor cursor;
    struct address address;
    struct span host;
    bool is_bracketed;

    cursor_init(&cursor, value, strlen(value));
    is_bracketed = cursor_skip_word(&cursor, "[");
    host = cursor_take_until(&cursor, is_bracketed ? "]" : ":");
    if (is_bracketed)
        cursor_expect(&cursor, "]");
    if (!cursor_at_end(&cursor))
        take_port(&cursor);
    if (cursor.is_failed || !cursor_at_end(&cursor) || !address_parse(host.at, host.len, &address))
        return "not a resolver; use ADDRESS, ADDRESS:PORT or [IPV6]:PORT";
    return NULL;
}

static const char *check_relay(const char *value)
{
    struct address address;
    struct arena arena;
    struct cursor cursor;
    struct span host;
    const char *name;
    enum status status;

    cursor_init(&cursor, value, strlen(value));
    if (cursor_peek(&cursor) == '[' ||
        (strchr(value, ':') != NULL && strchr(value, ':') != strrchr(value, ':')))
        return "an IPv6 address cannot be used here; use a host name, as in localhost:25";
    host = cursor_take_until(&cursor, ":");
    if (!cursor_at_end(&cursor))
        take_port(&cursor);
    if (cursor.is_failed || !cursor_at_end(&cursor))
        return "not a relay; use HOST or HOST:PORT, as in localhost:25";
    if (address_parse(host.at, host.len, &address))
        return NULL;
    arena_init(&arena, 8192);
    status = domain_normalise(host.at, host.len, &arena, &name, NULL);
    arena_done(&arena);
    return why_not(status, "not a host name; use HOST or HOST:PORT, as in localhost:25");
}

static const char *check_allow(const char *value)
{
    struct network network;
    struct cursor cursor;

    if (network_parse(value, strlen(value),
                      &network)) /* first: an IPv6 address may begin with a colon, too */
        return NULL;
    cursor_init(&cursor, value, strlen(value));
    take_port(&cursor);
    return cursor.is_failed || !cursor_at_end(&cursor)
               ? "not a network or port; use 192.0.2.0/24 (host bits zero), 2001:db8::/32 or :8443"
               : NULL;
}

static const char *check_network(const char *value)
{
    struct network network;

    return network_parse(value, strlen(value), &network)
               ? NULL
               : "not a network; use 192.0.2.0/24 (host bits zero) or 2001:db8::/32";
}

/* "postgresql://user:password@host"; also where libpq would not take it for one, because of a '/', '?' or '@'
 * in it: it would be shown. */
static bool has_password_in_url(const char *value)
{
    const char *user = strstr(value, "://");
    const char *host = user != NULL ? strrchr(user, '@') : NULL;

    return host != NULL && memchr(user + 3, ':', (size_t)(host - user) - 3) != NULL;
}

/* postgresql://..., or NAME=VALUE ...: libpq would repeat anything else in its error, password included. */
static bool is_conninfo(const char *value)
{
    size_t len;

    if (strncmp(value, "postgresql://", 13) == 0 || strncmp(value, "postgres://", 11) == 0)
        return true;
    len = strspn(value, "abcdefghijklmnopqrstuvwxyz_");
    return len > 0 && value[len + strspn(value + len, " \t")] == '=';
}

static const char *const LOG_TARGETS[] = {"stderr", "syslog", NULL};
static const char *const SMTP_MODES[] = {"relay", "direct", NULL};
static const char *const TLS_MODES[] = {"opportunistic", "require", "off", NULL};
static const char *const VERIFY_MODES[] = {"fallback", "strict", "off", NULL};

/* ---- the table ---- */

#define FIELD(name) offsetof(struct config, name)
#define MINUTE      60
#define HOUR        (60 * MINUTE)
#define DAY         (24 * HOUR)

// clang-format off
static const struct option_row TABLE[] = {
    {.name = "organization_name", .kind = OPTION_TEXT, .offset = FIELD(organization_name), .default_value = "",
     .check = check_text, .help = "Name of the organisation that sends the reports; required."},
    {.name = "contact_info", .kind = OPTION_TEXT, .offset = FIELD(contact_info), .default_value = "",
     .check = check_address,
     .help = "Mail address that answers questions about the reports; its domain is the submitter; required."},
    {.name = "instance", .kind = OPTION_TEXT, .offset = FIELD(instance), .default_value = "",
     .check = report_instance_check,
     .help = "Tag that tells this host's reports from those of others with the same submitter, as in mx1."},
    {.name = "from", .kind = OPTION_TEXT, .offset = FIELD(from), .default_value = "", .check = check_address,
     .help = "Mail address in the From field of the reports; contact_info if unset."},
    {.name = "envelope_from", .kind = OPTION_TEXT, .offset = FIELD(envelope_from), .default_value = "",
     .check = check_address, .help = "Mail address that gets the bounces; from if unset."},
    {.name = "mta_sts_domain", .kind = OPTION_TEXT, .offset = FIELD(mta_sts_domain), .default_value = "gmail.com",
     .check = check_domain,
     .help = "Domain with an enforced MTA-STS policy, which check asks Postfix's policy tables about."},
    {.name = "dkim_key", .kind = OPTION_LIST, .offset = FIELD(dkim_key), .default_value = "",
     .check = check_dkim_key,
     .help = "Up to two keys that sign the mails, SELECTOR:ALGORITHM:/FILE; if unset the relay must sign."},
    {.name = "dkim_domain", .kind = OPTION_TEXT, .offset = FIELD(dkim_domain), .default_value = "",
     .check = check_domain, .help = "Domain that the signatures name; the submitter if unset."},

    {.name = "socket", .kind = OPTION_LIST, .offset = FIELD(socket),
     .default_value = TLSRPT_GEN_RUNDIR "/tlsrpt.sock", .check = check_socket,
     .help = "Paths of the datagram sockets on which the collector listens."},
    {.name = "exim_socket", .kind = OPTION_LIST, .offset = FIELD(exim_socket), .default_value = "",
     .check = check_socket,
     .help = "Paths of the stream sockets on which Exim's event action leaves its lines."},
    {.name = "socket_mode", .kind = OPTION_MODE, .offset = FIELD(socket_mode), .default_value = "0660",
     .min = 0200, .max = 0777, .help = "Permissions of the sockets; who may write can report."},
    {.name = "socket_group", .kind = OPTION_TEXT, .offset = FIELD(socket_group), .default_value = "",
     .check = check_text, .help = "Group of the sockets, as in postfix; left as it is if unset."},
    {.name = "allow_uid", .kind = OPTION_LIST, .offset = FIELD(allow_uid), .default_value = "",
     .check = check_text,
     .help = "Users whose datagrams count, by name or number, as in postfix; everybody who may write if unset."},
    {.name = "state_dir", .kind = OPTION_TEXT, .offset = FIELD(state_dir), .default_value = TLSRPT_GEN_STATEDIR,
     .check = check_path, .help = "Folder that holds sessions.db and reports.db."},
    {.name = "ring_size", .kind = OPTION_SIZE, .offset = FIELD(ring_size), .default_value = "16M",
     .min = 1024 * 1024, .max = 1024 * 1024 * 1024,
     .help = "Size of the file that holds datagrams until they are counted."},
    {.name = "ring_sync", .kind = OPTION_DURATION, .offset = FIELD(ring_sync_s), .default_value = "1s",
     .min = 0, .max = HOUR,
     .help = "After so long what arrived survives a power cut; 0 leaves it to the system."},
    {.name = "max_policies", .kind = OPTION_NUMBER, .offset = FIELD(max_policies), .default_value = "100",
     .min = 1, .max = 100000,
     .help = "Most policies of one domain and day; more are summed up without their strings."},
    {.name = "max_details", .kind = OPTION_NUMBER, .offset = FIELD(max_details), .default_value = "1000",
     .min = 1, .max = 1000000,
     .help = "Most different failure details of one domain and day; more are summed up by result type."},
    {.name = "max_subdomains", .kind = OPTION_NUMBER, .offset = FIELD(max_subdomains), .default_value = "1000",
     .min = 1, .max = 1000000000,
     .help = "Most subdomains of one organization and day; sessions of others get no report."},
    {.name = "sending_mta_ip", .kind = OPTION_TEXT, .offset = FIELD(sending_mta_ip), .default_value = "",
     .check = check_ip, .help = "Address that reports name as the sending one, behind NAT; the real ones if unset."},

    {.name = "min_delay", .kind = OPTION_DURATION, .offset = FIELD(min_delay_s), .default_value = "10min",
     .min = 0, .max = DAY, .help = "How long after midnight UTC the first report may go out."},
    {.name = "spread", .kind = OPTION_DURATION, .offset = FIELD(spread_s), .default_value = "4h",
     .min = 0, .max = DAY, .help = "Over how long the reports of a day are spread, by a hash of the domain."},
    {.name = "max_age_days", .kind = OPTION_NUMBER, .offset = FIELD(max_age_days), .default_value = "3",
     .min = 1, .max = 30, .help = "How many days back a day that was missed is still reported."},
    {.name = "max_report_size", .kind = OPTION_SIZE, .offset = FIELD(max_report_size), .default_value = "5M",
     .min = 64 * 1024, .max = 100 * 1024 * 1024,
     .help = "Largest report before compression; above it the rarest failure details are summed up."},

    {.name = "only", .kind = OPTION_LIST, .offset = FIELD(rules.only), .default_value = "",
     .check = send_rules_check_pattern,
     .help = "Policy domains that get reports, DOMAIN or *.DOMAIN; every domain if unset."},
    {.name = "never", .kind = OPTION_LIST, .offset = FIELD(rules.never), .default_value = "",
     .check = send_rules_check_pattern, .help = "Policy domains that get none, DOMAIN or *.DOMAIN."},
    {.name = "send", .kind = OPTION_CHOICE, .offset = FIELD(rules.what), .default_value = "all",
     .choices = SEND_WORDS, .help = "all: every day is reported; failures: days with a failed session; off: none."},
    {.name = "send_except", .kind = OPTION_LIST, .offset = FIELD(rules.except), .default_value = "",
     .check = send_rules_check_exception,
     .help = "Policy domains for which something else is to be sent, as in example.org:failures."},
    {.name = "min_sessions", .kind = OPTION_NUMBER, .offset = FIELD(rules.min_sessions), .default_value = "0",
     .min = 0, .max = 1000000000, .help = "A domain with fewer sessions than this on a day gets no report."},
    {.name = "suppress", .kind = OPTION_TEXT, .offset = FIELD(suppress), .default_value = "",
     .check = check_path,
     .help = "File of destinations that get nothing: addresses, domains, URL hosts, *.DOMAIN; one a line."},

    {.name = "bcc", .kind = OPTION_TEXT, .offset = FIELD(bcc), .default_value = "", .check = check_address,
     .help = "Mail address that gets a copy of each mail through the relay."},
    {.name = "resolver", .kind = OPTION_LIST, .offset = FIELD(resolver), .default_value = "",
     .check = check_resolver, .help = "DNS resolvers, ADDRESS or ADDRESS:PORT; the system's if unset."},
    {.name = "relay", .kind = OPTION_TEXT, .offset = FIELD(relay), .default_value = "localhost:25",
     .check = check_relay, .help = "Mail server that takes the reports, HOST or HOST:PORT."},
    {.name = "relay_tls", .kind = OPTION_CHOICE, .offset = FIELD(relay_tls), .default_value = "opportunistic",
     .choices = TLS_MODES,
     .help = "TLS to the relay: opportunistic (unverified, plain if it fails), require (verified) or off."},
    {.name = "relay_ca_file", .kind = OPTION_TEXT, .offset = FIELD(relay_ca_file), .default_value = "",
     .check = check_path, .help = "PEM file of the authorities trusted for relay_tls = require; the system's if unset."},
    {.name = "relay_auth", .kind = OPTION_TEXT, .offset = FIELD(relay_auth), .default_value = "",
     .check = check_path, .help = "File with one line USER:PASSWORD for the relay; wants relay_tls = require."},
    {.name = "ehlo_name", .kind = OPTION_TEXT, .offset = FIELD(ehlo_name), .default_value = "",
     .check = check_domain, .help = "Name of this host in SMTP; the system's host name if unset."},
    {.name = "smtp_mode", .kind = OPTION_CHOICE, .offset = FIELD(smtp_mode), .default_value = "relay",
     .choices = SMTP_MODES, .help = "relay: all mail goes to the relay; direct: to each domain's mail hosts."},
    {.name = "smtp_port", .kind = OPTION_NUMBER, .offset = FIELD(smtp_port), .default_value = "25",
     .min = 1, .max = 65535, .help = "Port of the mail hosts for smtp_mode = direct."},
    {.name = "smtp_allow", .kind = OPTION_LIST, .offset = FIELD(smtp_allow), .default_value = "",
     .check = check_network,
     .help = "Networks allowed for smtp_mode = direct besides public addresses."},
    {.name = "https_verify", .kind = OPTION_CHOICE, .offset = FIELD(https_verify), .default_value = "fallback",
     .choices = VERIFY_MODES,
     .help = "A bad certificate: fallback sends all the same and says so, strict tries later, off ignores it."},
    {.name = "https_redirects", .kind = OPTION_NUMBER, .offset = FIELD(https_redirects), .default_value = "0",
     .min = 0, .max = 3, .help = "How many redirects 307 and 308 to https are followed."},
    {.name = "https_ca_file", .kind = OPTION_TEXT, .offset = FIELD(https_ca_file), .default_value = "",
     .check = check_path, .help = "PEM file of the authorities trusted for HTTPS; the system's if unset."},
    {.name = "https_allow", .kind = OPTION_LIST, .offset = FIELD(https_allow), .default_value = "",
     .check = check_allow,
     .help = "Networks and :PORTs allowed for HTTPS besides public addresses and port 443."},
    {.name = "run_limit", .kind = OPTION_DURATION, .offset = FIELD(run_limit_s), .default_value = "10min",
     .min = 1, .max = DAY, .help = "After so long a run begins no further delivery."},
    {.name = "max_per_destination", .kind = OPTION_NUMBER, .offset = FIELD(max_per_destination),
     .default_value = "10000", .min = 0, .max = 1000000000,
     .help = "Most reports of one UTC day to one mailbox domain or URL host; 0 means no limit."},
    {.name = "max_per_owner_and_destination", .kind = OPTION_NUMBER, .offset = FIELD(max_per_owner_and_destination),
     .default_value = "100", .min = 0, .max = 1000000000,
     .help = "Most of them about domains of one owner (organizational domain); 0 means no limit."},
    {.name = "max_per_host", .kind = OPTION_OBSOLETE, .default_value = "",
     .help = "no longer used, see max_per_destination"},
    {.name = "max_per_run", .kind = OPTION_OBSOLETE, .default_value = "",
     .help = "no longer used, see max_per_destination"},
    {.name = "archive_dir", .kind = OPTION_TEXT, .offset = FIELD(archive_dir), .default_value = "",
     .check = check_path, .help = "Folder that keeps a copy of each report sent, DAY/FILENAME.json.gz."},

    {.name = "fleet", .kind = OPTION_TEXT, .offset = FIELD(fleet), .default_value = "",
     .help = "Database that several hosts share, postgresql://HOST/DB or a libpq connection string; none if unset."},
    {.name = "fleet_password_file", .kind = OPTION_TEXT, .offset = FIELD(fleet_password_file), .default_value = "",
     .check = check_path, .help = "File whose first line is the password for the fleet's database."},
    {.name = "fleet_host", .kind = OPTION_TEXT, .offset = FIELD(fleet_host), .default_value = "",
     .check = check_text, .help = "Name of this host among those of the fleet; the system's host name if unset."},
    {.name = "fleet_window", .kind = OPTION_DURATION, .offset = FIELD(fleet_window_s), .default_value = "2d",
     .min = HOUR, .max = 30 * DAY, .help = "A host that has not pushed for so long is not waited for any more."},
    {.name = "fleet_wait", .kind = OPTION_DURATION, .offset = FIELD(fleet_wait_s), .default_value = "2h",
     .min = 0, .max = 2 * DAY, .help = "How long after a day's end hosts that have not pushed all of it are waited for."},
    {.name = "fleet_lease", .kind = OPTION_DURATION, .offset = FIELD(fleet_lease_s), .default_value = "10min",
     .min = 1, .max = DAY, .help = "After so long without a sign a generator is taken for dead, and others go on."},

    {.name = "log_to", .kind = OPTION_CHOICE, .offset = FIELD(log_to), .default_value = "stderr",
     .choices = LOG_TARGETS,
     .help = "Where the log goes: stderr, with priorities if that is the journal, or syslog (facility mail)."},
};
// clang-format on

/* ---- the whole ---- */

#define VARIABLE_PREFIX "TLSRPT_GEN_"

/* Variables with our prefix that are no settings: base/clock.h, app/clock_guard.h. */
static const char *const OTHER_VARIABLES[] = {"TLSRPT_GEN_CLOCK", "TLSRPT_GEN_BOOT_ID", NULL};

static enum status missing(const char *path, const char *name, const char *example, struct err *err)
{
    return err_set(err, ST_CONFIG, "%s: %s is not set; add a line such as: %s = %s",
                   *path != '\0' ? path : "-o", name, name, example);
}

/* One mailbox in canonical form; an unset one takes fallback. */
static enum status take_mailbox(struct config *config, const char **mailbox, const char *fallback,
                                const char **domain_out, struct err *err)
{
    return identity_mailbox_normalise(**mailbox != '\0' ? *mailbox : fallback, &config->options.arena,
                                      mailbox, domain_out, err);
}

/* R42: mail is accepted only if DMARC finds the domains of From, submitter and signature aligned. */
static enum status check_alignment(const struct config *config, const char *option, const char *domain,
                                   const char *other_name, const char *other, struct err *err)
{
    char origin[ERR_TEXT_MAX / 2];

    if (identity_is_aligned(domain, other))
        return ST_OK;
    options_origin_format(&config->options, option, origin, sizeof origin);
    return err_set(err, ST_CONFIG,
                   "%s: %s: DMARC would not align its domain %s with the %s %s; use one domain for both, or "
                   "one below the other",
                   origin, option, domain, other_name, other);
}

static enum status refuse_third_key(const struct config *config, struct err *err)
{
    char origin[ERR_TEXT_MAX / 2];

    options_origin_format(&config->options, "dkim_key", origin, sizeof origin);
    return err_set(err, ST_CONFIG, "%s: dkim_key: %zu keys, at most %d can be used; remove the others",
                   origin, config->dkim_key.count, DKIM_KEYS_MAX);
}

static enum status derive_dkim(struct config *config, const char *from_domain, struct err *err)
{
    enum status status;

    if (*config->dkim_domain == '\0')
        config->dkim_domain = config->submitter;
    status = domain_normalise(config->dkim_domain, strlen(config->dkim_domain), &config->options.arena,
                              &config->dkim_domain, err);
    if (status == ST_OK && config->dkim_key.count > DKIM_KEYS_MAX)
        status = refuse_third_key(config, err);
    if (status == ST_OK)
        status =
            check_alignment(config, "dkim_domain", config->dkim_domain, "domain of from,", from_domain, err);
    if (status == ST_OK)
        status =
            check_alignment(config, "dkim_domain", config->dkim_domain, "submitter", config->submitter, err);
    return status;
}

/* A password goes to nobody but the host that it was made for. */
static enum status check_relay_auth(const struct config *config, struct err *err)
{
    char origin[ERR_TEXT_MAX / 2];

    if (*config->relay_auth == '\0' || strcmp(TLS_MODES[config->relay_tls], "require") == 0)
        return ST_OK;
    options_origin_format(&config->options, "relay_auth", origin, sizeof origin);
    return err_set(err, ST_CONFIG,
                   "%s: relay_auth: a password is sent over verified TLS only; set relay_tls = require",
                   origin);
}

/* Settings are shown, logged and copied: no password may be among them, nor in our messages about them. */
static enum status check_fleet(const struct config *config, struct err *err)
{
    char origin[ERR_TEXT_MAX / 2];
    const char *wrong = NULL;

    if (*config->fleet == '\0')
        return ST_OK;
    if (has_password_in_url(config->fleet) || strcasestr(config->fleet, "passw") != NULL)
        wrong = "has a password in it; put it into a file and name that in fleet_password_file";
    else if (!is_printable(config->fleet))
        wrong = "has a control character; remove it";
    else if (!is_conninfo(config->fleet))
        wrong =
            "is no connection string; use postgresql://HOST/DATABASE, and fleet_password_file for a password";
    if (wrong == NULL)
        return ST_OK;
    options_origin_format(&config->options, "fleet", origin, sizeof origin);
    return err_set(err, ST_CONFIG, "%s: fleet: %s", origin, wrong);
}

static enum status derive_rules(struct config *config, struct err *err)
{
    const char *domain;
    enum status status = send_rules_normalise(&config->rules, &config->options.arena, err);

    if (status != ST_OK || *config->bcc == '\0')
        return status;
    if (config->smtp_mode == CONFIG_SMTP_DIRECT)
        return err_set(err, ST_CONFIG, "bcc: the copies go through a relay; unset it or smtp_mode = direct");
    return take_mailbox(config, &config->bcc, "", &domain, err);
}

/* Values that follow from others, and the two that nothing can follow from. */
static enum status derive(struct config *config, const char *path, bool needs_identity, struct err *err)
{
    const char *from_domain, *any;
    enum status status;

    config->submitter = "";
    if (needs_identity && *config->organization_name == '\0')
        return missing(path, "organization_name", "Example Ltd", err);
    if (needs_identity && *config->contact_info == '\0')
        return missing(path, "contact_info", "tls-reports@example.org", err);
    if (*config->contact_info == '\0')
        return ST_OK;
    status = take_mailbox(config, &config->contact_info, "", &config->submitter, err);
    if (status == ST_OK)
        status = take_mailbox(config, &config->from, config->contact_info, &from_domain, err);
    if (status == ST_OK)
        status = take_mailbox(config, &config->envelope_from, config->from, &any, err);
    if (status == ST_OK)
        status = check_alignment(config, "from", from_domain, "submitter, contact_info's domain,",
                                 config->submitter, err);
    return status == ST_OK ? derive_dkim(config, from_domain, err) : status;
}

enum status config_load(const char *path, const char *const *overrides, size_t override_count,
                        bool needs_identity, struct config *config_out, struct err *err)
{
    enum status status = options_init(&config_out->options, TABLE, ARRAY_COUNT(TABLE), config_out, err);

    config_out->file = *path != '\0' ? path : CONFIG_DEFAULT_FILE;
    if (status == ST_OK && *path != '\0')
        status = options_read_file(&config_out->options, path, err);
    if (status == ST_OK)
        status =
            options_read_environment(&config_out->options, VARIABLE_PREFIX, OTHER_VARIABLES, environ, err);
    for (size_t i = 0; status == ST_OK && i < override_count; i++)
        status = options_override(&config_out->options, overrides[i], err);
    if (status == ST_OK)
        status = check_relay_auth(config_out, err);
    if (status == ST_OK)
        status = check_fleet(config_out, err);
    if (status == ST_OK)
        status = derive_rules(config_out, err);
    if (status == ST_OK)
        status = derive(config_out, path, needs_identity, err);
    return status;
}

const char *config_missing_identity(const struct config *config)
{
    if (*config->organization_name == '\0')
        return "organization_name";
    return *config->contact_info == '\0' ? "contact_info" : NULL;
}

void config_done(struct config *config)
{
    options_done(&config->options);
}

void config_show(const struct config *config, FILE *out)
{
    options_show(&config->options, out);
}

void config_help(FILE *out)
{
    options_help(TABLE, ARRAY_COUNT(TABLE), out);
}
