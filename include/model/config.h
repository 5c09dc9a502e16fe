/* SPDX-License-Identifier: MIT */
/*
 * config.h - every setting, as the programs use it.  The rows of the options table in config.c are the single
 * truth for names, defaults, bounds, help and `--show-config`; this struct only holds the values.
 *
 * Source: one file of "name = value" lines (see base/options.h), and variables TLSRPT_GEN_NAME of the environment;
 * the manual is tlsrpt-gen.conf(5).
 */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/options.h"
#include "model/send_rules.h"

#define CONFIG_DEFAULT_FILE TLSRPT_GEN_SYSCONFDIR "/tlsrpt-gen/tlsrpt-gen.conf"

enum config_log_to {
    CONFIG_LOG_TO_STDERR,
    CONFIG_LOG_TO_SYSLOG,
};

enum config_smtp_mode {
    CONFIG_SMTP_RELAY,
    CONFIG_SMTP_DIRECT,
};

/* Texts are never NULL: an unset one is "".  All live until config_done. */
struct config {
    /* who we are */
    const char *organization_name;
    const char *contact_info;    /* addr-spec; its domain, canonical, is the submitter (R42) */
    const char *instance;        /* "": one host reports; see report_meta.h */
    const char *submitter;       /* derived: contact_info's domain, canonical */
    const char *from;            /* default: contact_info */
    const char *mta_sts_domain;  /* one that enforces MTA-STS */
    const char *envelope_from;   /* default: from */
    const char *dkim_domain;     /* d= of our signatures; default: submitter; aligned with it and with from */
    struct option_list dkim_key; /* dkim_key_parse takes each; empty: the relay must sign */

    /* collector */
    struct option_list socket;      /* paths */
    struct option_list exim_socket; /* paths of stream sockets; empty: none */
    int64_t socket_mode;            /* permission bits */
    const char *socket_group;       /* "" : leave as it is */
    struct option_list allow_uid;   /* user names or numbers; empty: who may write may report */
    const char *state_dir;
    int64_t ring_size;
    int64_t ring_sync_s;  /* 0: the system decides */
    int64_t max_policies; /* per domain and day */
    int64_t max_details;
    int64_t max_subdomains;     /* per organization and day */
    const char *sending_mta_ip; /* "": as the MTA says (R73) */

    /* schedule */
    int64_t min_delay_s;
    int64_t spread_s;
    int64_t max_age_days;
    int64_t max_report_size; /* bytes of JSON */

    /* who gets a report */
    struct send_rules rules;
    const char *suppress; /* file of suppress_list.h; "": none */

    /* delivery */
    const char *bcc;                /* gets a copy of each mail; "": nobody */
    struct option_list resolver;    /* "host:port" or "[v6]:port"; empty: the system's */
    const char *relay;              /* "host:port" */
    const char *https_ca_file;      /* "": the system's */
    struct option_list https_allow; /* networks and ":port"s that the address policy allows besides */
    int https_verify;               /* enum https_verify */
    int64_t https_redirects;
    int64_t run_limit_s;
    int64_t max_per_destination;           /* reports of one UTC day; 0: no limit */
    int64_t max_per_owner_and_destination; /* of these, about domains of one owner; 0: no limit */
    int smtp_mode;                         /* enum config_smtp_mode */
    const char *ehlo_name;                 /* "": this host's name */
    int relay_tls;                         /* enum smtp_tls */
    const char *relay_ca_file;             /* "": the system's */
    const char *relay_auth;                /* file with USER:PASSWORD; "": none */
    int64_t smtp_port;                     /* smtp_mode = direct */
    struct option_list smtp_allow;         /* networks that the address policy allows besides */
    const char *archive_dir;               /* "": none */

    /* several hosts, one report */
    const char *fleet;               /* libpq's connection string; "": this host is alone */
    const char *fleet_password_file; /* "": none */
    const char *fleet_host;          /* "": the system's name */
    int64_t fleet_window_s;
    int64_t fleet_wait_s;
    int64_t fleet_lease_s;

    int log_to; /* enum config_log_to */

    /* where the values came from */
    const char *file; /* the settings file, or where it would be; the caller's, or CONFIG_DEFAULT_FILE */
    struct options options;
};

/*
 * Read path ("" : no file), then the environment, then overrides ("name=value", count of them), check every value
 * and fill config_out.  If needs_identity, organization_name and contact_info must be set.  Free with config_done, also
 * after a failure.
 * ST_CONFIG     a line or variable is wrong; err names file and line or the variable, key and fix
 * ST_NOT_FOUND  there is no such file
 * ST_IO         the file cannot be read
 * ST_NOMEM
 */
MUST_CHECK enum status config_load(const char *path, const char *const *overrides, size_t override_count,
                                   bool needs_identity, struct config *config_out, struct err *err);
void config_done(struct config *config);

/* organization_name or contact_info, whichever is not set and without which nothing is sent; else NULL. */
const char *config_missing_identity(const struct config *config);

/* Every setting with its value and where it came from. */
void config_show(const struct config *config, FILE *out);

/* The table as text for --help: name, default, one sentence. */
void config_help(FILE *out);

#endif
