/* SPDX-License-Identifier: MIT */
/*
 * 1. Ask postconf for the version and for three settings; a Postfix that cannot report gets advice instead.
 * 2. Compare them, and the drop-in of the collector's socket unit, with what is needed.
 * 3. Show the difference; with --apply, make it.
 */
#include "setup/setup.h"

#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/policy_maps.h"
#include "app/postconf.h"
#include "app/program.h"
#include "app/sts_counts.h"
#include "base/file.h"
#include "base/strbuf.h"
#include "report_transport.h"

#define DROP_IN_MAX  8192         /* bytes of a drop-in */
#define FRAGMENT_MAX (256 * 1024) /* bytes of the Exim fragment */
#define UNIT_DIR     TLSRPT_GEN_SYSCONFDIR "/systemd/system"
#define MAIL_LOG     "/var/log/mail.log" /* what tlsrpt-gen-log@postfix.service follows */
#define SOCKET_UNIT  "tlsrpt-gen-collect.socket"

struct setting {
    const char *name;
    const char *wanted;
    const char *why;
};

static const struct setting SETTINGS[] = {
    {"smtp_tlsrpt_enable", "yes", "report the outcome of each TLS session"},
    {"smtp_tlsrpt_socket_name", POSTFIX_SOCKET_NAME, "to this socket, below the queue directory"},
    {"smtp_tlsrpt_skip_reused_handshakes", "no", "resumed sessions count too; else successes are too few"},
};

struct postfix_setup {
    char version[64];
    uint64_t number; /* POSTFIX_VERSION() */
    char queue_directory[PATH_MAX];
    char group[64]; /* of the mail owner */
    bool is_set[ARRAY_COUNT(SETTINGS)];
    char now[ARRAY_COUNT(SETTINGS)][256];
};

struct setup_arguments {
    bool is_apply;
    const char *unit_dir;
};

/* ---- Postfix as it is ---- */

/* Group of the user that Postfix's programs run as. */
static void find_group(const char *owner, char *group_out, size_t size)
{
    const struct passwd *user = getpwnam(owner);
    const struct group *group = user != NULL ? getgrgid(user->pw_gid) : NULL;

    (void)snprintf(group_out, size, "%s", group != NULL ? group->gr_name : "postfix");
}

static enum status postfix_read(struct postfix_setup *postfix, struct err *err)
{
    char owner[64] = "";
    enum status status = postconf_get("mail_version", postfix->version, sizeof(postfix->version), err);

    postfix->number = postfix_version_parse(postfix->version);
    if (status == ST_OK && postfix->number == 0)
        return err_set(err, ST_UNSUPPORTED, "Postfix's version \"%s\" is not a number", postfix->version);
    if (status == ST_OK)
        status =
            postconf_get("queue_directory", postfix->queue_directory, sizeof(postfix->queue_directory), err);
    if (status == ST_OK)
        status = postconf_get("mail_owner", owner, sizeof(owner), err);
    find_group(owner, postfix->group, sizeof(postfix->group));
    for (size_t i = 0; status == ST_OK && i < ARRAY_COUNT(SETTINGS); i++) {
        status = postconf_get(SETTINGS[i].name, postfix->now[i], sizeof(postfix->now[i]), err);
        postfix->is_set[i] = strcmp(postfix->now[i], SETTINGS[i].wanted) == 0;
    }
    return status;
}

/* TLSRPT came with 3.10, and only when Postfix was built with libtlsrpt. */
static bool can_report(const struct postfix_setup *postfix)
{
    return postfix->number >= POSTFIX_VERSION(3, 10, 0) && postfix->now[0][0] != '\0';
}

static int refuse(const struct postfix_setup *postfix)
{
    (void)fprintf(
        stderr,
        "tlsrpt-gen: Postfix %s cannot report TLS sessions: it takes Postfix 3.10 or newer, built with "
        "libtlsrpt.\n"
        "Its log tells most of it instead:\n"
        "    postconf -e 'smtp_tls_loglevel = 1' && postfix reload\n"
        "    systemctl enable --now tlsrpt-gen-log@postfix.service\n"
        "See tlsrpt-gen-log(8).\n",
        postfix->version);
    if (access(MAIL_LOG, F_OK) != 0)
        (void)fputs("There is no " MAIL_LOG
                    " here: let syslog write it first (Debian: apt install rsyslog).\n",
                    stderr);
    return EXIT_UNAVAILABLE;
}

/* ---- the drop-in of the collector's socket ---- */

struct drop_in {
    char folder[PATH_MAX];
    char path[PATH_MAX];
    struct strbuf text;
    bool has_systemd; /* the folder of units is there */
    bool is_there;    /* with exactly this text */
};

static enum status drop_in_state(struct drop_in *drop_in, const char *unit_dir, const char *name,
                                 struct err *err)
{
    struct stat info;
    struct strbuf old;
    enum status status = ST_OK;
    int len = snprintf(drop_in->folder, sizeof(drop_in->folder), "%s/" SOCKET_UNIT ".d", unit_dir);

    drop_in->has_systemd = stat(unit_dir, &info) == 0 && S_ISDIR(info.st_mode);
    drop_in->is_there = false;
    if (len < 0 || len + 64 > PATH_MAX)
        return err_set(err, ST_RANGE, "--unit-dir: the path is too long");
    (void)snprintf(drop_in->path, sizeof(drop_in->path), "%.*s/%s", len, drop_in->folder, name);
    strbuf_init(&old, FRAGMENT_MAX);
    status = file_read(drop_in->path, &old, err);
    if (status == ST_OK)
        drop_in->is_there = old.data != NULL && old.len == drop_in->text.len &&
                            memcmp(old.data, drop_in->text.data, old.len) == 0;
    strbuf_done(&old);
    return status == ST_NOT_FOUND ? ST_OK : status;
}

static enum status drop_in_write(const struct drop_in *drop_in, struct err *err)
{
    enum status status = file_make_folders(drop_in->folder, 0755, err);

    if (status == ST_OK)
        status = file_replace(drop_in->path, drop_in->text.data, drop_in->text.len, 0644, err);
    return status;
}

static void print_indented(const char *text)
{
    while (*text != '\0') {
        size_t len = strcspn(text, "\n");

        (void)printf("    %.*s\n", (int)len, text);
        text += len + (text[len] == '\n');
    }
}

static void drop_in_show(const struct drop_in *drop_in)
{
    if (drop_in->is_there) {
        (void)printf("\nThe collector's socket is set up in %s\n", drop_in->path);
        return;
    }
    (void)printf("\nThe collector's socket, in %s:\n", drop_in->path);
    print_indented(drop_in->text.data);
}

static void print_restart(void)
{
    (void)puts("    systemctl daemon-reload\n"
               "    systemctl restart " SOCKET_UNIT " tlsrpt-gen-collect.service");
}

/* ---- setup-postfix ---- */

static bool is_main_cf_done(const struct postfix_setup *postfix)
{
    for (size_t i = 0; i < ARRAY_COUNT(SETTINGS); i++)
        if (!postfix->is_set[i])
            return false;
    return true;
}

static void show_postfix(const struct postfix_setup *postfix, const struct drop_in *drop_in)
{
    (void)printf("Postfix %s\n\nmain.cf:\n", postfix->version);
    for (size_t i = 0; i < ARRAY_COUNT(SETTINGS); i++) {
        (void)printf("    %s = %s\n", SETTINGS[i].name, SETTINGS[i].wanted);
        if (postfix->is_set[i])
            (void)puts("        is so");
        else
            (void)printf("        now \"%s\"; %s\n", postfix->now[i], SETTINGS[i].why);
    }
    if (drop_in->has_systemd)
        drop_in_show(drop_in);
    else
        (void)printf(
            "\nNo systemd here; let the collector make the socket, in tlsrpt-gen.conf:\n"
            "    socket = %s/" POSTFIX_SOCKET_NAME "\n    socket_group = %s\n"
            "Make its folder first, let the collector give its socket to that group, and start it again:\n"
            "    install -d -o tlsrpt-gen -g %s -m 0750 %s/" POSTFIX_SOCKET_FOLDER "\n"
            "    usermod -a -G %s tlsrpt-gen\n",
            postfix->queue_directory, postfix->group, postfix->group, postfix->queue_directory,
            postfix->group);
    if (postfix->number < POSTFIX_VERSION(3, 10, 6))
        (void)puts(
            "\nNote: Postfix before 3.10.6 does not always keep silent about the delivery of reports;\n"
            "upgrade to 3.10.6, 3.11.0 or newer.");
}

/* ---- policy plug-ins ---- */

static void show_policy_map(void *context, const struct policy_map_finding *finding)
{
    static const char *const WORDS[] = {
        [POLICY_MAP_REPORTED] = "passes MTA-STS policies with TLSRPT attributes.",
        [POLICY_MAP_NOT_REPORTED] = "passes MTA-STS policies without TLSRPT attributes: they are reported as "
                                    "no-policy-found.",
        [POLICY_MAP_DEFERS] =
            "passes TLSRPT attributes, which need Postfix 3.10: mail to domains with MTA-STS is "
            "deferred.",
        [POLICY_MAP_HIDES_DANE] = "wins over DANE: broken DANE is reported as success under MTA-STS.",
    };
    bool *has_plugin = context;

    *has_plugin = true;
    (void)printf("\nPolicy table %s\n    %s\n", finding->table, WORDS[finding->state]);
    if (finding->fix[0] != '\0')
        (void)printf("    fix: %s\n", finding->fix);
}

/* An MX host that a policy refuses makes a line in the log and no datagram. */
static void show_policy_maps(const struct config *config, bool knows_attributes)
{
    char maps[1024] = "", level[64] = "";
    struct sts_counts counts;
    struct policy_maps_question question = {.maps = maps,
                                            .security_level = level,
                                            .counted = counts.enforced,
                                            .domain = config->mta_sts_domain,
                                            .knows_attributes = knows_attributes};
    bool has_plugin = false;
    struct err err;

    if (postconf_get("smtp_tls_policy_maps", maps, sizeof maps, &err) != ST_OK ||
        postconf_get("smtp_tls_security_level", level, sizeof level, &err) != ST_OK)
        return;
    sts_counts_read(config, &counts);
    if (policy_maps_look(&question, show_policy_map, &has_plugin, &err) != ST_OK)
        (void)printf("\nPostfix's policy tables cannot be asked: %s\n", err.text);
    if (has_plugin && knows_attributes)
        (void)puts("\nPostfix logs an MX host that an MTA-STS policy refuses, but sends nothing about it.  "
                   "To report it:\n"
                   "    systemctl enable --now tlsrpt-gen-log@postfix-sts.service");
}

static enum status apply_postfix(const struct postfix_setup *postfix, const struct drop_in *drop_in,
                                 struct err *err)
{
    enum status status = ST_OK;

    for (size_t i = 0; status == ST_OK && i < ARRAY_COUNT(SETTINGS); i++)
        if (!postfix->is_set[i])
            status = postconf_set(SETTINGS[i].name, SETTINGS[i].wanted, err);
    if (status == ST_OK && drop_in->has_systemd && !drop_in->is_there)
        status = drop_in_write(drop_in, err);
    if (status != ST_OK)
        return status;
    (void)puts("\nDone.  What is left to run:");
    if (drop_in->has_systemd)
        print_restart();
    (void)puts("    postfix reload");
    return ST_OK;
}

static enum status take_setup_arguments(int argc, char **argv, bool can_apply,
                                        struct setup_arguments *arguments_out, struct err *err)
{
    static const struct option OPTIONS[] = {
        {"apply", no_argument, NULL, 'a'}, {"unit-dir", required_argument, NULL, 'u'}, {NULL, 0, NULL, 0}};
    struct setup_arguments arguments = {.unit_dir = UNIT_DIR};
    int option;

    optind = 0; /* begin anew behind the command's name */
    while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (option == 'a' && can_apply)
            arguments.is_apply = true;
        else if (option == 'u')
            arguments.unit_dir = optarg;
        else
            return err_set(err, ST_SYNTAX, "usage: tlsrpt-gen %s %s[--unit-dir DIR]", argv[0],
                           can_apply ? "[--apply] " : "");
    }
    if (optind < argc)
        return err_set(err, ST_SYNTAX, "%s: \"%.40s\" is one word too many", argv[0], argv[optind]);
    *arguments_out = arguments;
    return ST_OK;
}

static int fail(const struct err *err)
{
    (void)fprintf(stderr, "tlsrpt-gen: %s\n", err->text);
    return err->code == ST_SYNTAX ? EXIT_USAGE : program_exit_code(err->code);
}

static enum status setup_postfix(const struct postfix_setup *postfix, const struct setup_arguments *arguments,
                                 struct err *err)
{
    struct drop_in drop_in;
    enum status status;

    strbuf_init(&drop_in.text, DROP_IN_MAX);
    strbuf_addf(&drop_in.text,
                "# Written by tlsrpt-gen setup-postfix.\n[Socket]\nListenDatagram=%s/" POSTFIX_SOCKET_NAME
                "\nSocketGroup=%s\n",
                postfix->queue_directory, postfix->group);
    status = strbuf_is_failed(&drop_in.text)
                 ? err_set(err, ST_NOMEM, "out of memory")
                 : drop_in_state(&drop_in, arguments->unit_dir, "postfix.conf", err);
    if (status != ST_OK)
        goto out;
    show_postfix(postfix, &drop_in);
    if (is_main_cf_done(postfix) && (drop_in.is_there || !drop_in.has_systemd))
        (void)puts("\nNothing is left to do.");
    else if (arguments->is_apply)
        status = apply_postfix(postfix, &drop_in, err);
    else
        (void)puts("\nNothing was changed.  To make these changes: tlsrpt-gen setup-postfix --apply");
out:
    strbuf_done(&drop_in.text);
    return status;
}

int cmd_setup_postfix(const struct config *config, int argc, char **argv)
{
    struct setup_arguments arguments = {.unit_dir = UNIT_DIR};
    struct postfix_setup postfix = {0};
    enum status status;
    struct err err;

    if (take_setup_arguments(argc, argv, true, &arguments, &err) != ST_OK)
        return fail(&err);
    status = postfix_read(&postfix, &err);
    if (status == ST_NOT_FOUND) {
        (void)fputs("tlsrpt-gen: no postconf here: Postfix is not installed, or not in PATH\n", stderr);
        return EXIT_UNAVAILABLE;
    }
    if (status != ST_OK)
        return fail(&err);
    if (!can_report(&postfix)) {
        bool knows_attributes = postfix.number >= POSTFIX_VERSION(3, 10, 0);

        show_policy_maps(config, knows_attributes);
        if (!knows_attributes)
            status = report_transport_set_up(config, arguments.is_apply, &err);
        return status == ST_OK ? refuse(&postfix) : fail(&err);
    }
    status = setup_postfix(&postfix, &arguments, &err);
    if (status != ST_OK)
        return fail(&err);
    show_policy_maps(config, true);
    return 0;
}
