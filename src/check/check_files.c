/* SPDX-License-Identifier: MIT */
/*
 * Folders, files and sockets on this host, and the stores behind them: owners, modes, free space, the kind of
 * file system, listeners, the collector's state.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "app/collector_state.h"
#include "app/named_file.h"
#include "app/stores.h"
#include "app/table.h"
#include "base/clock.h"
#include "base/file.h"
#include "check_socket.h"
#include "checkup.h"

#define SPACE_NEEDED   (100UL << 20) /* below that collecting is about to stop */
#define SPACE_WANTED   (500UL << 20)
#define QLEN_FILE      "/proc/sys/net/unix/max_dgram_qlen"
#define QLEN_WANTED    512
#define OWNER_SIZE     64
#define MEBIBYTE       (1UL << 20)
#define SYSTEMD_FOLDER "/run/systemd/system" /* is there when systemd runs the host */

/* File systems on which SQLite's locks cannot be relied on, and those that a reboot empties (statfs(2)). */
static const struct {
    long type;
    enum verdict verdict;
    const char *words;
} FILE_SYSTEMS[] = {
    {0x6969, VERDICT_FAIL, "NFS"},
    {0x517B, VERDICT_FAIL, "SMB"},
    {(long)0xFF534D42, VERDICT_FAIL, "CIFS"},
    {(long)0xFE534D42, VERDICT_FAIL, "SMB2"},
    {0x01021997, VERDICT_FAIL, "9P"},
    {0x00C36400, VERDICT_FAIL, "Ceph"},
    {0x01021994, VERDICT_WARN, "tmpfs"},
    {(long)0x858458F6, VERDICT_WARN, "ramfs"},
};

static const char *user_name(uid_t uid, char text_out[OWNER_SIZE])
{
    const struct passwd *user = getpwuid(uid);

    if (user != NULL)
        (void)snprintf(text_out, OWNER_SIZE, "%s", user->pw_name);
    else
        (void)snprintf(text_out, OWNER_SIZE, "%lu", (unsigned long)uid);
    return text_out;
}

/* Who ought to own the state: the service's account, if there is one. */
static uid_t wanted_owner(uid_t fallback)
{
    const struct passwd *user = getpwnam(CHECKUP_SERVICE_USER);

    if (user != NULL)
        return user->pw_uid;
    return geteuid() != 0 ? geteuid() : fallback;
}

/* ---- state_dir ---- */

static void check_space(struct checkup *checkup, const char *path)
{
    struct statvfs space;
    char text[TABLE_NUMBER_SIZE];
    unsigned long free_bytes;

    if (statvfs(path, &space) != 0)
        return;
    free_bytes = (unsigned long)space.f_bavail * (unsigned long)space.f_frsize;
    if (free_bytes < SPACE_NEEDED)
        checkup_say(checkup, VERDICT_FAIL, "state_dir",
                    checkup_format(checkup, "free at least %lu MiB on the file system of %s",
                                   SPACE_NEEDED / MEBIBYTE, path),
                    "%s has only %s MiB free", path, table_number(free_bytes / MEBIBYTE, text));
    else if (free_bytes < SPACE_WANTED)
        checkup_say(checkup, VERDICT_WARN, "state_dir",
                    checkup_format(checkup, "free %lu MiB or more on the file system of %s",
                                   SPACE_WANTED / MEBIBYTE, path),
                    "%s has %s MiB free", path, table_number(free_bytes / MEBIBYTE, text));
    else
        checkup_say(checkup, VERDICT_OK, "state_dir", NULL, "%s has %s MiB free", path,
                    table_number(free_bytes / MEBIBYTE, text));
}

static void check_file_system(struct checkup *checkup, const char *path)
{
    struct statfs found;

    if (statfs(path, &found) != 0)
        return;
    for (size_t i = 0; i < ARRAY_COUNT(FILE_SYSTEMS); i++) {
        if ((long)found.f_type != FILE_SYSTEMS[i].type)
            continue;
        checkup_say(checkup, FILE_SYSTEMS[i].verdict, "state_dir", "set state_dir = a folder on a local disk",
                    "%s lies on %s: %s", path, FILE_SYSTEMS[i].words,
                    FILE_SYSTEMS[i].verdict == VERDICT_FAIL
                        ? "databases break there, it is no local file system"
                        : "a reboot empties it");
        return;
    }
    checkup_say(checkup, VERDICT_OK, "state_dir", NULL, "%s lies on a local file system", path);
}

static bool is_state_file(const char *name)
{
    static const char *const BEGINNINGS[] = {"sessions.db", "reports.db", "ring", "tlsrpt-gen"};

    for (size_t i = 0; i < ARRAY_COUNT(BEGINNINGS); i++)
        if (strncmp(name, BEGINNINGS[i], strlen(BEGINNINGS[i])) == 0)
            return true;
    return false;
}

/* A file that somebody else made, say root by hand, cannot be written by the service. */
static void check_file_owners(struct checkup *checkup, const char *path, uid_t owner)
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    char name[OWNER_SIZE], other[OWNER_SIZE];

    if (folder == NULL)
        return;
    while ((entry = readdir(folder)) != NULL) {
        struct stat found;

        if (!is_state_file(entry->d_name) ||
            fstatat(dirfd(folder), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) != 0 || found.st_uid == owner)
            continue;
        checkup_say(checkup, VERDICT_FAIL, "state_dir",
                    checkup_format(checkup, "run chown -R %s: %s", user_name(owner, name), path),
                    "%s/%s belongs to %s, not to %s", path, entry->d_name, user_name(found.st_uid, other),
                    user_name(owner, name));
        break;
    }
    (void)closedir(folder);
}

static void check_owner(struct checkup *checkup, const char *path, const struct stat *found)
{
    uid_t wanted = wanted_owner(found->st_uid);
    char name[OWNER_SIZE], other[OWNER_SIZE];

    if (found->st_uid != wanted)
        checkup_say(checkup, VERDICT_FAIL, "state_dir",
                    checkup_format(checkup, "run chown -R %s: %s", user_name(wanted, name), path),
                    "%s belongs to %s, but %s writes there", path, user_name(found->st_uid, other),
                    user_name(wanted, name));
    else if ((found->st_mode & 022) != 0)
        checkup_say(checkup, VERDICT_FAIL, "state_dir", checkup_format(checkup, "run chmod 0700 %s", path),
                    "%s has mode %04o: others may write there", path, (unsigned)found->st_mode & 07777);
    else if ((found->st_mode & 005) != 0)
        checkup_say(checkup, VERDICT_WARN, "state_dir", checkup_format(checkup, "run chmod 0700 %s", path),
                    "%s has mode %04o: everybody may read whom you mail", path,
                    (unsigned)found->st_mode & 07777);
    else
        checkup_say(checkup, VERDICT_OK, "state_dir", NULL, "%s belongs to %s, mode %04o", path,
                    user_name(found->st_uid, other), (unsigned)found->st_mode & 07777);
}

static void check_state_dir(struct checkup *checkup)
{
    const char *path = checkup->config->state_dir;
    char owner[OWNER_SIZE];
    struct stat found;

    if (stat(path, &found) != 0 && errno == ENOENT) {
        checkup_say(checkup, VERDICT_FAIL, "state_dir",
                    checkup_format(checkup, "run install -d -m 0700 -o %s %s",
                                   user_name(wanted_owner(geteuid()), owner), path),
                    "%s does not exist", path);
        return;
    }
    if (stat(path, &found) != 0 || !S_ISDIR(found.st_mode)) {
        checkup_say(checkup, VERDICT_FAIL, "state_dir", "set state_dir = a folder",
                    "%s is not a folder that can be looked at", path);
        return;
    }
    check_owner(checkup, path, &found);
    check_file_owners(checkup, path, found.st_uid);
    check_file_system(checkup, path);
    check_space(checkup, path);
}

/* ---- other folders and files ---- */

static void check_archive(struct checkup *checkup)
{
    const char *path = checkup->config->archive_dir;
    char owner[OWNER_SIZE];
    struct stat state, found;
    uid_t uid = stat(checkup->config->state_dir, &state) == 0 ? state.st_uid : geteuid();

    if (*path == '\0')
        return;
    if (stat(path, &found) != 0 || !S_ISDIR(found.st_mode))
        checkup_say(checkup, VERDICT_FAIL, "archive",
                    checkup_format(checkup, "run install -d -m 0700 -o %s %s", user_name(uid, owner), path),
                    "archive_dir %s is no folder", path);
    else if (found.st_uid != uid)
        checkup_say(checkup, VERDICT_FAIL, "archive",
                    checkup_format(checkup, "run chown %s: %s", user_name(uid, owner), path),
                    "archive_dir %s does not belong to %s, who owns state_dir", path, user_name(uid, owner));
    else
        checkup_say(checkup, VERDICT_OK, "archive", NULL, "reports are kept in %s", path);
}

/* A file that a setting names. */
static void check_named_file(struct checkup *checkup, const char *setting, enum named_file_kind kind,
                             const char *path)
{
    struct named_file_fault fault;

    if (*path == '\0')
        return;
    if (named_file_is_good(kind, path, &fault))
        checkup_say(checkup, VERDICT_OK, "settings", NULL, "%s = %s can be read", setting, path);
    else if (fault.what == NULL)
        checkup_say(checkup, VERDICT_FAIL, "settings",
                    checkup_format(checkup, "set %s = a file that is there, or remove the line", setting),
                    "%s = %s: %s", setting, path, strerror(errno));
    else
        checkup_say(
            checkup, VERDICT_FAIL, "settings",
            checkup_format(checkup, "%s%s%s", fault.fix, fault.is_mode ? " " : "", fault.is_mode ? path : ""),
            "%s: %s %s", setting, path, fault.what);
}

void check_folders(struct checkup *checkup)
{
    check_state_dir(checkup);
    check_archive(checkup);
    check_named_file(checkup, "https_ca_file", NAMED_FILE_CERTIFICATES, checkup->config->https_ca_file);
    check_named_file(checkup, "relay_ca_file", NAMED_FILE_CERTIFICATES, checkup->config->relay_ca_file);
    check_named_file(checkup, "relay_auth", NAMED_FILE_SECRET, checkup->config->relay_auth);
    check_named_file(checkup, "fleet_password_file", NAMED_FILE_PASSWORD,
                     checkup->config->fleet_password_file);
}

/* ---- sockets ---- */

enum socket_state check_socket_state(const char *path, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat found;
    enum socket_state state = SOCKET_LISTENING;
    int fd;

    if (lstat(path, &found) != 0)
        return SOCKET_MISSING;
    if (!S_ISSOCK(found.st_mode) || strlen(path) >= sizeof address.sun_path)
        return SOCKET_OTHER;
    fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return SOCKET_UNKNOWN;
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        state = errno == ECONNREFUSED ? SOCKET_DEAF : errno == EPROTOTYPE ? SOCKET_OTHER : SOCKET_UNKNOWN;
    (void)close(fd);
    return state;
}

bool check_has_systemd(void)
{
    return access(SYSTEMD_FOLDER, F_OK) == 0;
}

const char *check_start_command(void)
{
    return check_has_systemd() ? "run systemctl restart tlsrpt-gen-collect.socket tlsrpt-gen-collect.service"
                               : "start tlsrpt-gen-collect";
}

static const char *exim_command(void)
{
    return check_has_systemd()
               ? "run systemctl enable tlsrpt-gen-exim.socket && systemctl restart tlsrpt-gen-collect.socket "
                 "tlsrpt-gen-exim.socket tlsrpt-gen-collect.service"
               : "start tlsrpt-gen-collect";
}

static void check_mode(struct checkup *checkup, const char *path)
{
    unsigned wanted = (unsigned)checkup->config->socket_mode;
    struct stat found;

    if (stat(path, &found) != 0)
        return;
    if ((found.st_mode & 0777) != wanted)
        checkup_say(checkup, VERDICT_FAIL, "socket",
                    checkup_format(checkup, "run chmod %04o %s", wanted, path),
                    "%s has mode %04o, socket_mode says %04o", path, (unsigned)found.st_mode & 0777, wanted);
    else
        checkup_say(checkup, VERDICT_OK, "socket", NULL, "somebody listens on %s, mode %04o", path, wanted);
}

static void check_socket(struct checkup *checkup, const char *path, int type)
{
    const char *start = type == SOCK_STREAM ? exim_command() : check_start_command();

    checkup->sockets_asked++;
    switch (check_socket_state(path, type)) {
    case SOCKET_MISSING:
        checkup_say(checkup, VERDICT_FAIL, "socket", start, "%s does not exist", path);
        return;
    case SOCKET_OTHER:
        checkup_say(checkup, VERDICT_FAIL, "socket",
                    checkup_format(checkup, "run rm %s, then %s", path, start), "%s is not a %s socket", path,
                    type == SOCK_STREAM ? "stream" : "datagram");
        return;
    case SOCKET_DEAF:
        checkup_say(checkup, VERDICT_FAIL, "socket", start, "nobody listens on %s", path);
        return;
    case SOCKET_UNKNOWN:
        checkup->sockets_heard++; /* for all we know */
        checkup_say(checkup, VERDICT_WARN, "socket", "do this check as root, or as who may write there",
                    "%s cannot be tried: %s", path, strerror(errno));
        return;
    case SOCKET_LISTENING:
        checkup->sockets_heard++;
        break;
    }
    check_mode(checkup, path);
}

/* How many datagrams the kernel queues for us; 0: unknown. */
static long queue_length(void)
{
    struct strbuf text;
    long length = 0;

    strbuf_init(&text, 64);
    if (file_read(QLEN_FILE, &text, NULL) == ST_OK)
        length = strtol(text.data, NULL, 10);
    strbuf_done(&text);
    return length;
}

void check_sockets(struct checkup *checkup)
{
    long length = queue_length();

    for (size_t i = 0; i < checkup->config->socket.count; i++)
        check_socket(checkup, checkup->config->socket.items[i], SOCK_DGRAM);
    for (size_t i = 0; i < checkup->config->exim_socket.count; i++)
        check_socket(checkup, checkup->config->exim_socket.items[i], SOCK_STREAM);
    if (length > 0 && length < QLEN_WANTED)
        checkup_say(checkup, VERDICT_WARN, "socket",
                    checkup_format(checkup, "run sysctl -w net.unix.max_dgram_qlen=%d && %s", QLEN_WANTED,
                                   "echo net.unix.max_dgram_qlen=512 >/etc/sysctl.d/60-tlsrpt-gen.conf"),
                    "net.unix.max_dgram_qlen is %ld: bursts of outcomes are lost (a socket keeps the length "
                    "it was made with: restart the collector afterwards)",
                    length);
    else if (length > 0)
        checkup_say(checkup, VERDICT_OK, "socket", NULL, "net.unix.max_dgram_qlen is %ld", length);
}

/* ---- the collector and its stores ---- */

static void judge_collector(struct checkup *checkup, const struct collector_state *state, int64_t now_s)
{
    char age[TABLE_NUMBER_SIZE];

    table_duration(now_s - state->alive_s, age);
    if (state->liveness == COLLECTOR_UP && checkup->sockets_asked > 0 && checkup->sockets_heard == 0)
        checkup_say(checkup, VERDICT_FAIL, "collector", check_start_command(),
                    "it listens on none of its sockets");
    else if (state->liveness == COLLECTOR_UP)
        checkup_say(checkup, VERDICT_OK, "collector", NULL, "it runs and counts");
    else if (state->liveness == COLLECTOR_STUCK)
        checkup_say(checkup, VERDICT_FAIL, "collector", "look for event=store_failed in its log",
                    "it runs, but has counted nothing for %s", age);
    else if (state->liveness == COLLECTOR_SILENT)
        checkup_say(checkup, VERDICT_FAIL, "collector", check_start_command(),
                    "it is not running; it last counted %s ago", age);
    else
        checkup_say(checkup, VERDICT_FAIL, "collector", check_start_command(), "it has never run here");
    if (state->counters[COUNTER_DROPPED] > 0)
        checkup_say(checkup, VERDICT_WARN, "collector", "set ring_size = 64M",
                    "%llu outcomes were lost because the ring was full",
                    (unsigned long long)state->counters[COUNTER_DROPPED]);
}

void check_collector(struct checkup *checkup)
{
    const int64_t now_s = clock_utc_s();
    struct session_reader *sessions = NULL;
    struct collector_state state;
    struct err err;
    enum status status = stores_open_sessions(checkup->config, SESSION_READ, &sessions, &err);

    if (status == ST_OK)
        status = collector_state_read(checkup->config, sessions, now_s, &checkup->arena, &state, &err);
    if (status == ST_OK)
        judge_collector(checkup, &state, now_s);
    else
        checkup_say(checkup, VERDICT_FAIL, "collector", "see what the message says", "%s", err.text);
    session_reader_close(&sessions);
}

/* reports.db, or the fleet's ledger in its place: prints nothing if it can be read. */
void check_ledger(struct checkup *checkup)
{
    struct ledger_counts counts;
    struct ledger *ledger = NULL;
    struct fleet *fleet = NULL;
    struct err err;
    enum status status = stores_open_fleet(checkup->config, &fleet, &err);

    if (status != ST_OK) /* check_fleet reports it */
        return;
    status = stores_open_ledger(checkup->config, fleet, LEDGER_READ, &ledger, NULL, &err);
    if (status == ST_OK && ledger != NULL)
        status = ledger_count(ledger, -1, &counts, &err);
    if (status != ST_OK)
        checkup_say(checkup, VERDICT_FAIL, "ledger",
                    status == ST_DENIED && fleet != NULL
                        ? "grant this host's role tlsrpt_read or tlsrpt_generate (tlsrpt-gen-fleet(7))"
                        : "see what the message says",
                    "%s", err.text);
    ledger_close(&ledger);
    fleet_close(&fleet);
}
