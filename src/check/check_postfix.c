/* SPDX-License-Identifier: MIT */
/*
 * Postfix's version decides: from 3.10 on it can report by itself, and its main.cf and its socket are checked;
 * an older one must have its log followed, which the lock files of tlsrpt-gen-log show.
 */
#include <dirent.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/postconf.h"
#include "base/file.h"
#include "check_mta_sts.h"
#include "check_socket.h"
#include "checkup.h"

struct postfix_facts {
    char version[64];
    uint64_t number; /* POSTFIX_VERSION(); 0: not understood */
    char enable[64]; /* "": this Postfix does not know the setting */
    char socket_name[PATH_MAX / 4];
    char skip_reused[64];
    char queue_directory[PATH_MAX / 4];
    char mail_owner[64];
    char policy_maps[1024];
    char security_level[64];
    char sender_maps[1024]; /* sender_dependent_default_transport_maps */
    char relayhost[256];
};

static enum status read_postfix(struct postfix_facts *postfix, struct err *err)
{
    const struct {
        const char *name;
        char *value;
        size_t size;
    } ROWS[] = {
        {"mail_version", postfix->version, sizeof postfix->version},
        {"smtp_tlsrpt_enable", postfix->enable, sizeof postfix->enable},
        {"smtp_tlsrpt_socket_name", postfix->socket_name, sizeof postfix->socket_name},
        {"smtp_tlsrpt_skip_reused_handshakes", postfix->skip_reused, sizeof postfix->skip_reused},
        {"queue_directory", postfix->queue_directory, sizeof postfix->queue_directory},
        {"mail_owner", postfix->mail_owner, sizeof postfix->mail_owner},
        {"smtp_tls_policy_maps", postfix->policy_maps, sizeof postfix->policy_maps},
        {"smtp_tls_security_level", postfix->security_level, sizeof postfix->security_level},
        {"sender_dependent_default_transport_maps", postfix->sender_maps, sizeof postfix->sender_maps},
        {"relayhost", postfix->relayhost, sizeof postfix->relayhost},
    };
    enum status status = ST_OK;

    for (size_t i = 0; status == ST_OK && i < ARRAY_COUNT(ROWS); i++)
        status = postconf_get(ROWS[i].name, ROWS[i].value, ROWS[i].size, err);
    return status;
}

/* ---- the way over its log ---- */

enum log_reader_state {
    LOG_READER_NONE,  /* nobody ever followed Postfix's log */
    LOG_READER_GONE,  /* somebody did */
    LOG_READER_BLIND, /* somebody does, but there is no such file */
    LOG_READER_FOUND, /* somebody does */
};

/* The lock file names the log that is followed. */
static enum log_reader_state judge_lock(const char *path, char log_out[PATH_MAX])
{
    struct strbuf text;

    if (!file_lock_is_held(path))
        return LOG_READER_GONE;
    strbuf_init(&text, PATH_MAX);
    if (file_read(path, &text, NULL) == ST_OK)
        (void)snprintf(log_out, PATH_MAX, "%.*s", (int)strcspn(text.data, "\n"), text.data);
    strbuf_done(&text);
    return *log_out != '\0' && access(log_out, F_OK) != 0 ? LOG_READER_BLIND : LOG_READER_FOUND;
}

/* tlsrpt-gen-log holds STATE_DIR/log-postfix-HASH.place.lock while it follows a log. */
static enum log_reader_state find_log_reader(const char *state_dir, char log_out[PATH_MAX])
{
    static const char BEGIN[] = "log-postfix-", END[] = ".place.lock";
    enum log_reader_state found = LOG_READER_NONE;
    DIR *folder = opendir(state_dir);
    const struct dirent *entry;

    while (folder != NULL && found != LOG_READER_FOUND && (entry = readdir(folder)) != NULL) {
        size_t len = strlen(entry->d_name);
        char path[PATH_MAX];
        enum log_reader_state state;

        if (len < strlen(END) || strncmp(entry->d_name, BEGIN, strlen(BEGIN)) != 0 ||
            strcmp(entry->d_name + len - strlen(END), END) != 0)
            continue;
        (void)snprintf(path, sizeof path, "%s/%s", state_dir, entry->d_name);
        state = judge_lock(path, log_out);
        found = state > found ? state : found;
    }
    if (folder != NULL)
        (void)closedir(folder);
    return found;
}

/* A Postfix that cannot report logs most of it. */
static void check_log_reader(struct checkup *checkup, const struct postfix_facts *postfix, const char *why)
{
    bool has_systemd = check_has_systemd();
    char log[PATH_MAX] = "";

    switch (find_log_reader(checkup->config->state_dir, log)) {
    case LOG_READER_FOUND:
        checkup_say(checkup, VERDICT_OK, "postfix", NULL, "version %s %s; tlsrpt-gen-log follows its log",
                    postfix->version, why);
        return;
    case LOG_READER_BLIND:
        checkup_say(checkup, VERDICT_FAIL, "postfix",
                    "let syslog write it (Debian: run apt install rsyslog), or let tlsrpt-gen-log follow "
                    "another file",
                    "tlsrpt-gen-log waits for %s, which is not there", log);
        return;
    case LOG_READER_GONE:
        checkup_say(checkup, VERDICT_WARN, "postfix",
                    has_systemd ? "run systemctl restart tlsrpt-gen-log@postfix.service"
                                : "start tlsrpt-gen-log again, if cron does not start it with --once",
                    "version %s %s, and tlsrpt-gen-log does not follow its log any more", postfix->version,
                    why);
        return;
    case LOG_READER_NONE:
        break;
    }
    checkup_say(checkup, VERDICT_WARN, "postfix",
                has_systemd
                    ? "run postconf -e 'smtp_tls_loglevel = 1' && postfix reload && systemctl enable --now "
                      "tlsrpt-gen-log@postfix.service"
                    : "run postconf -e 'smtp_tls_loglevel = 1' && postfix reload, then start tlsrpt-gen-log "
                      "--mta postfix --follow /var/log/mail.log",
                "version %s %s, and nobody follows its log", postfix->version, why);
}

/* ---- the direct way ---- */

/* True if this Postfix can report at all. */
static bool check_version(struct checkup *checkup, const struct postfix_facts *postfix)
{
    static const char UPGRADE[] = "upgrade Postfix to 3.10.6, 3.11.0 or newer";

    if (postfix->number < POSTFIX_VERSION(3, 10, 0) || *postfix->enable == '\0') {
        check_log_reader(checkup, postfix,
                         postfix->number < POSTFIX_VERSION(3, 10, 0) ? "cannot report TLS sessions by itself"
                                                                     : "was built without libtlsrpt");
        return false;
    }
    if (postfix->number < POSTFIX_VERSION(3, 10, 4))
        checkup_say(checkup, VERDICT_FAIL, "postfix", UPGRADE,
                    "version %s reports about the delivery of reports, which makes reports for ever",
                    postfix->version);
    else if (postfix->number < POSTFIX_VERSION(3, 10, 6))
        checkup_say(checkup, VERDICT_WARN, "postfix", UPGRADE,
                    "version %s leaves out facts that 3.10.6 reports", postfix->version);
    else
        checkup_say(checkup, VERDICT_OK, "postfix", NULL, "version %s", postfix->version);
    return true;
}

/* May Postfix's account write to the file?  Its groups are those of the account database. */
static bool may_write(const struct stat *found, const struct passwd *user)
{
    gid_t groups[64];
    int count = ARRAY_COUNT(groups);

    if (user == NULL || (found->st_mode & S_IWOTH) != 0)
        return true;
    if (found->st_uid == user->pw_uid)
        return (found->st_mode & S_IWUSR) != 0;
    if (getgrouplist(user->pw_name, user->pw_gid, groups, &count) < 0)
        return true;
    for (int i = 0; i < count; i++)
        if (groups[i] == found->st_gid)
            return (found->st_mode & S_IWGRP) != 0;
    return false;
}

static void check_access(struct checkup *checkup, const struct postfix_facts *postfix, const char *path)
{
    const struct passwd *user = getpwnam(postfix->mail_owner);
    const struct group *group = user != NULL ? getgrgid(user->pw_gid) : NULL;
    struct stat found;

    if (stat(path, &found) == 0 && !may_write(&found, user))
        checkup_say(checkup, VERDICT_FAIL, "postfix",
                    checkup_format(checkup,
                                   "run chgrp %s %s && chmod g+w %s; for good, set socket_group = %s",
                                   group != NULL ? group->gr_name : "postfix", path, path,
                                   group != NULL ? group->gr_name : "postfix"),
                    "%s may not write to %s", postfix->mail_owner, path);
    else
        checkup_say(checkup, VERDICT_OK, "postfix", NULL, "it reports to %s", path);
}

/* The socket that Postfix writes to must be one that is listened on. */
static void check_reporting_socket(struct checkup *checkup, const struct postfix_facts *postfix)
{
    char path[PATH_MAX];
    enum socket_state state;

    if (postfix->socket_name[0] == '/')
        (void)snprintf(path, sizeof path, "%s", postfix->socket_name);
    else
        (void)snprintf(path, sizeof path, "%s/%s", postfix->queue_directory, postfix->socket_name);
    state = check_socket_state(path, SOCK_DGRAM);
    if (state == SOCKET_LISTENING) {
        check_access(checkup, postfix, path);
        return;
    }
    for (size_t i = 0; i < checkup->config->socket.count; i++)
        if (strcmp(checkup->config->socket.items[i], path) == 0) {
            checkup_say(checkup, VERDICT_FAIL, "postfix", check_start_command(),
                        "nobody listens on %s, where it reports to", path);
            return;
        }
    checkup_say(
        checkup, VERDICT_FAIL, "postfix",
        checkup_format(checkup,
                       "run tlsrpt-gen setup-postfix --apply, or set socket = %s and restart the collector",
                       path),
        "it reports to %s, where nobody listens", path);
}

static void check_main_cf(struct checkup *checkup, const struct postfix_facts *postfix)
{
    if (strcmp(postfix->enable, "yes") != 0)
        checkup_say(checkup, VERDICT_FAIL, "postfix",
                    "run postconf -e 'smtp_tlsrpt_enable = yes' && postfix reload",
                    "smtp_tlsrpt_enable = %s: it reports nothing", postfix->enable);
    if (*postfix->socket_name == '\0')
        checkup_say(checkup, VERDICT_FAIL, "postfix",
                    "run postconf -e 'smtp_tlsrpt_socket_name = " POSTFIX_SOCKET_NAME "' && postfix reload",
                    "smtp_tlsrpt_socket_name is empty: it knows no socket to report to");
    else
        check_reporting_socket(checkup, postfix);
    if (strcmp(postfix->skip_reused, "yes") == 0)
        checkup_say(checkup, VERDICT_WARN, "postfix",
                    "run postconf -e 'smtp_tlsrpt_skip_reused_handshakes = no' && postfix reload",
                    "smtp_tlsrpt_skip_reused_handshakes = yes: resumed sessions are not counted, successes "
                    "are too few");
}

/* Postfix before 3.10 ignores TLS-Required: No: reports about broken domains need a transport without TLS policy. */
static void check_report_transport(struct checkup *checkup, const struct postfix_facts *postfix)
{
    const struct config *config = checkup->config;
    bool has_policy = strstr(postfix->security_level, "dane") != NULL || *postfix->policy_maps != '\0';

    if (postfix->number == 0 || postfix->number >= POSTFIX_VERSION(3, 10, 0) || !has_policy ||
        config->smtp_mode == CONFIG_SMTP_DIRECT || *postfix->relayhost != '\0' ||
        *config->envelope_from == '\0' || strstr(postfix->sender_maps, config->envelope_from) != NULL)
        return;
    checkup_say(checkup, VERDICT_WARN, "postfix", "run tlsrpt-gen setup-postfix --apply",
                "version %s ignores TLS-Required: No: reports about domains with broken TLS are held back",
                postfix->version);
}

void check_postfix(struct checkup *checkup)
{
    struct postfix_facts postfix = {0};
    struct err err;
    enum status status = read_postfix(&postfix, &err);

    if (status == ST_NOT_FOUND) {
        checkup_say(checkup, VERDICT_OK, "postfix", NULL,
                    "not installed here (no postconf): nothing to look at");
        check_mta_sts(checkup, "", "", true);
        return;
    }
    if (status != ST_OK) {
        checkup_say(checkup, VERDICT_WARN, "postfix", "run postconf mail_version, and see what it says", "%s",
                    err.text);
        return;
    }
    postfix.number = postfix_version_parse(postfix.version);
    if (check_version(checkup, &postfix))
        check_main_cf(checkup, &postfix);
    check_mta_sts(checkup, postfix.policy_maps, postfix.security_level,
                  postfix.number >= POSTFIX_VERSION(3, 10, 0));
    check_report_transport(checkup, &postfix);
}
