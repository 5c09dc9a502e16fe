/* SPDX-License-Identifier: MIT */
/*
 * session_sqlite.h - sessions.db, shared by its files: session_sqlite.c (open, days, marks, counters),
 * session_sqlite_read.c (reading a day), session_sqlite_write.c (the collector's counting) and the fleet's
 * session_sqlite_push.c.
 */
#ifndef STORE_SESSION_SQLITE_H
#define STORE_SESSION_SQLITE_H

#include "store/db.h"
#include "store/session_reader.h"

/* Every statement, compiled when first used. */
// clang-format off
#define SESSION_STATEMENTS(X) \
    X(FIND_DOMAIN,    "SELECT id FROM domain WHERE name = ?1") \
    X(ADD_DOMAIN,     "INSERT INTO domain (name, id) VALUES (?1, ?2) ON CONFLICT DO NOTHING") \
    X(DELETE_DOMAIN,  "DELETE FROM domain WHERE name = ?1") \
    X(TAKE_SUBDOMAIN, "INSERT INTO organization (utc_day, name, subdomains, over_budget) VALUES (?1, ?2, 1, 0)" \
                      " ON CONFLICT (utc_day, name) DO UPDATE SET subdomains = subdomains + 1" \
                      " WHERE subdomains < ?3") \
    X(COUNT_OVER_BUDGET, "UPDATE organization SET over_budget = over_budget + ?3" \
                      " WHERE utc_day = ?1 AND name = ?2 RETURNING over_budget") \
    X(LIST_OVER_BUDGET, "SELECT utc_day, name, subdomains, over_budget FROM organization" \
                      " WHERE over_budget > 0 ORDER BY utc_day DESC, over_budget DESC, name LIMIT ?1") \
    X(FIND_POLICY,    "SELECT id FROM policy WHERE domain_id = ?1 AND type = ?2 AND policy_domain = ?3" \
                      " AND strings = ?4 AND mx_hosts = ?5") \
    X(ADD_POLICY,     "INSERT INTO policy (domain_id, type, policy_domain, strings, mx_hosts, id)" \
                      " VALUES (?1, ?2, ?3, ?4, ?5, ?6)") \
    X(COUNT_TALLIES,  "SELECT count(*) FROM (SELECT 1 FROM tally WHERE domain_id = ?1 AND utc_day = ?2 LIMIT ?3)") \
    X(ADD_TALLY,      "INSERT INTO tally (domain_id, utc_day, policy_id, success, failure)" \
                      " VALUES (?1, ?2, ?3, ?4, ?5)") \
    X(COUNT_SUCCESS,  "UPDATE tally SET success = success + ?4" \
                      " WHERE domain_id = ?1 AND utc_day = ?2 AND policy_id = ?3") \
    X(COUNT_FAILURE,  "UPDATE tally SET failure = failure + ?4" \
                      " WHERE domain_id = ?1 AND utc_day = ?2 AND policy_id = ?3") \
    X(FIND_DETAIL,    "SELECT id FROM detail WHERE domain_id = ?1 AND result_type = ?2" \
                      " AND sending_mta_ip = ?3 AND receiving_mx_hostname = ?4 AND receiving_mx_helo = ?5" \
                      " AND receiving_ip = ?6 AND additional_information = ?7 AND failure_reason_code = ?8") \
    X(ADD_DETAIL,     "INSERT INTO detail (domain_id, result_type, sending_mta_ip, receiving_mx_hostname," \
                      " receiving_mx_helo, receiving_ip, additional_information, failure_reason_code, id)" \
                      " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)") \
    X(COUNT_DETAIL_TALLIES, "SELECT count(*) FROM" \
                      " (SELECT 1 FROM detail_tally WHERE domain_id = ?1 AND utc_day = ?2 LIMIT ?3)") \
    X(ADD_DETAIL_TALLY, "INSERT INTO detail_tally (domain_id, utc_day, policy_id, detail_id, sessions)" \
                      " VALUES (?1, ?2, ?3, ?4, ?5)") \
    X(COUNT_DETAIL,   "UPDATE detail_tally SET sessions = sessions + ?5" \
                      " WHERE domain_id = ?1 AND utc_day = ?2 AND policy_id = ?3 AND detail_id = ?4") \
    X(LIST_RECORDS,   "SELECT id, last_seen_s, text FROM record WHERE domain_id = ?1 AND utc_day = ?2") \
    X(ADD_RECORD,     "INSERT INTO record (domain_id, utc_day, id, last_seen_s, text)" \
                      " VALUES (?1, ?2, ?3, ?4, ?5)") \
    X(TOUCH_RECORD,   "UPDATE record SET last_seen_s = max(last_seen_s, ?4)" \
                      " WHERE domain_id = ?1 AND utc_day = ?2 AND id = ?3") \
    X(DELETE_RECORD,  "DELETE FROM record WHERE domain_id = ?1 AND utc_day = ?2 AND id = ?3") \
    X(GET_IDENTITY,   "SELECT store_id, next_id FROM mark") \
    X(SET_NEXT_ID,    "UPDATE mark SET next_id = ?1") \
    X(IS_CLOSED,      "SELECT 1 FROM day WHERE utc_day = ?1") \
    X(CLOSE_DAY,      "INSERT INTO day (utc_day, closed_at_s) VALUES (?1, ?2) ON CONFLICT DO NOTHING") \
    X(SET_MARK,       "UPDATE mark SET counted_through_s = ?1, ring_sequence = ?2, ring_dropped = ?3") \
    X(GET_MARK,       "SELECT counted_through_s, ring_sequence, ring_dropped FROM mark") \
    X(ADD_COUNTER,    "INSERT INTO counter (name, value) VALUES (?1, max(?2, ?3)) ON CONFLICT (name)" \
                      " DO UPDATE SET value = max(value + ?2, ?3)") \
    X(LIST_COUNTERS,  "SELECT name, value FROM counter") \
    X(ADD_REFUSED,    "INSERT INTO refused (uid, count) VALUES (?1, ?2) ON CONFLICT (uid)" \
                      " DO UPDATE SET count = count + ?2") \
    X(LIST_REFUSED,   "SELECT uid, count FROM refused ORDER BY uid") \
    X(SET_NOTE,       "INSERT INTO note (name, text) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET text = ?2") \
    X(LIST_NOTES,     "SELECT name, text FROM note ORDER BY name") \
    X(LIST_DAYS,      "SELECT utc_day, max(closed_at_s), sum(domains), sum(success), sum(failure) FROM" \
                      " (SELECT utc_day, 0 AS closed_at_s, count(DISTINCT domain_id) AS domains," \
                      "   sum(success) AS success, sum(failure) AS failure FROM tally GROUP BY utc_day" \
                      "  UNION ALL SELECT utc_day, closed_at_s, 0, 0, 0 FROM day)" \
                      " GROUP BY utc_day ORDER BY utc_day") \
    X(LIST_DOMAINS,   "SELECT d.name, sum(t.success), sum(t.failure) FROM domain AS d" \
                      " CROSS JOIN tally AS t WHERE t.domain_id = d.id AND t.utc_day = ?1" \
                      " AND d.name > ?2 GROUP BY d.name ORDER BY d.name LIMIT ?3") \
    X(LIST_POLICIES,  "SELECT p.id, p.type, p.policy_domain, p.strings, p.mx_hosts, t.success, t.failure" \
                      " FROM policy AS p CROSS JOIN tally AS t" \
                      " WHERE p.domain_id = ?1 AND t.domain_id = ?1 AND t.utc_day = ?2 AND t.policy_id = p.id" \
                      " ORDER BY p.type, p.policy_domain, p.strings, p.mx_hosts") \
    X(LIST_DETAILS,   "SELECT d.result_type, d.sending_mta_ip, d.receiving_mx_hostname, d.receiving_mx_helo," \
                      "  d.receiving_ip, d.additional_information, d.failure_reason_code, t.sessions" \
                      " FROM detail AS d CROSS JOIN detail_tally AS t" \
                      " WHERE d.domain_id = ?1 AND t.domain_id = ?1 AND t.utc_day = ?2" \
                      "  AND t.policy_id = ?3 AND t.detail_id = d.id" \
                      " ORDER BY t.sessions DESC, d.result_type, d.sending_mta_ip, d.receiving_mx_hostname," \
                      "  d.receiving_mx_helo, d.receiving_ip, d.additional_information," \
                      "  d.failure_reason_code") \
    X(PUSH_TALLIES,   "SELECT d.name, t.domain_id, t.utc_day, t.policy_id, 0, t.success, t.failure" \
                      " FROM domain AS d CROSS JOIN tally AS t WHERE t.domain_id = d.id AND t.utc_day >= ?1" \
                      " ORDER BY d.name") \
    X(PUSH_DETAILS,   "SELECT d.name, t.domain_id, t.utc_day, t.policy_id, t.detail_id, t.sessions, 0" \
                      " FROM domain AS d CROSS JOIN detail_tally AS t" \
                      " WHERE t.domain_id = d.id AND t.utc_day >= ?1 ORDER BY d.name") \
    X(PUSH_RECORDS,   "SELECT d.name, t.domain_id, t.utc_day, 0, t.id, t.last_seen_s, 0" \
                      " FROM domain AS d CROSS JOIN record AS t WHERE t.domain_id = d.id AND t.utc_day >= ?1" \
                      " ORDER BY d.name") \
    X(PUSH_POLICY,    "SELECT type, policy_domain, strings, mx_hosts FROM policy WHERE domain_id = ?1 AND id = ?2") \
    X(PUSH_DETAIL,    "SELECT result_type, sending_mta_ip, receiving_mx_hostname, receiving_mx_helo, receiving_ip," \
                      " additional_information, failure_reason_code FROM detail WHERE domain_id = ?1 AND id = ?2") \
    X(PUSH_RECORD,    "SELECT text FROM record WHERE domain_id = ?1 AND utc_day = ?2 AND id = ?3") \
    X(HAS_DAYS_BEFORE, "SELECT 1 FROM tally WHERE utc_day < ?1 UNION ALL SELECT 1 FROM record WHERE utc_day < ?1" \
                      " UNION ALL SELECT 1 FROM day WHERE utc_day < ?1 LIMIT 1") \
    /* a step of a clean-up: first and last domain id, first day to keep */ \
    X(DELETE_TALLIES, "DELETE FROM tally WHERE domain_id BETWEEN ?1 AND ?2 AND utc_day < ?3") \
    X(DELETE_DETAIL_TALLIES, "DELETE FROM detail_tally WHERE domain_id BETWEEN ?1 AND ?2 AND utc_day < ?3") \
    X(DELETE_RECORDS, "DELETE FROM record WHERE domain_id BETWEEN ?1 AND ?2 AND utc_day < ?3") \
    X(DELETE_POLICIES, "DELETE FROM policy WHERE domain_id BETWEEN ?1 AND ?2 AND id NOT IN" \
                      " (SELECT policy_id FROM tally WHERE domain_id BETWEEN ?1 AND ?2) AND ?3 IS NOT NULL") \
    X(DELETE_DETAILS, "DELETE FROM detail WHERE domain_id BETWEEN ?1 AND ?2 AND id NOT IN" \
                      " (SELECT detail_id FROM detail_tally WHERE domain_id BETWEEN ?1 AND ?2) AND ?3 IS NOT NULL") \
    X(DELETE_DOMAINS, "DELETE FROM domain WHERE id NOT IN (SELECT domain_id FROM tally)") \
    X(DELETE_DAYS,    "DELETE FROM day WHERE utc_day < ?1") \
    X(DELETE_ORGANIZATIONS, "DELETE FROM organization WHERE utc_day < ?1") \
    /* Policies have no index by type: at most ?3 of them are read, in one pass, and at most 1,000 are of type sts.  The \
     * rest is found by primary keys. */ \
    X(LIST_STS,       "SELECT d.name, coalesce((SELECT max(replace(strings, ' ', '') LIKE '%mode:enforce%') FROM policy" \
                      "  WHERE domain_id = d.id AND type = 1), 0)," \
                      " (SELECT coalesce(sum(t.sessions), 0)" \
                      "  FROM detail AS f CROSS JOIN policy AS p CROSS JOIN detail_tally AS t" \
                      "  WHERE f.domain_id = d.id AND f.result_type IN ('certificate-expired'," \
                      "   'certificate-host-mismatch', 'certificate-not-trusted')" \
                      "  AND p.domain_id = d.id AND p.type = 2 AND t.domain_id = d.id" \
                      "  AND t.utc_day IN (?1, ?1 + 1) AND t.policy_id = p.id AND t.detail_id = f.id" \
                      "  AND +t.utc_day >= coalesce((SELECT min(s.utc_day) FROM tally AS s WHERE s.domain_id = d.id" \
                      "   AND s.policy_id IN (SELECT id FROM policy WHERE domain_id = d.id AND type = 1)), 0))" \
                      " FROM domain AS d WHERE d.name = ?2 OR d.id IN (SELECT domain_id FROM" \
                      "  (SELECT domain_id, type FROM policy LIMIT ?3) WHERE type = 1 LIMIT 1000) ORDER BY d.name") \
    X(READ_RECORDS,   "SELECT r.text, r.last_seen_s FROM domain AS d JOIN record AS r" \
                      " ON r.domain_id = d.id AND r.utc_day = ?1 WHERE d.name = ?2" \
                      " ORDER BY r.last_seen_s DESC, r.text")
// clang-format on

enum session_statement {
#define STATEMENT_ID(id, sql) SQL_##id,
    SESSION_STATEMENTS(STATEMENT_ID)
#undef STATEMENT_ID
    SQL_COUNT,
};

struct session_sqlite {
    struct session_reader base;
    struct db db;
    bool has_small_cache; /* read_domain was called */
};

static inline struct db *session_sqlite_db(struct session_reader *reader)
{
    return &((struct session_sqlite *)reader)->db;
}

/* Open sessions.db into *sqlite; *next_id_out: the next id for a text.  Statuses of db_open. */
MUST_CHECK enum status session_sqlite_open(struct session_sqlite *sqlite, const char *path, enum db_mode mode,
                                           int64_t *next_id_out, struct err *err);

/* session_sqlite_read.c */
enum status session_sqlite_each_day(struct session_reader *reader, session_day_fn *fn, void *context,
                                    struct err *err);
enum status session_sqlite_each_domain(struct session_reader *reader, int32_t utc_day, const char *after,
                                       int64_t max, session_domain_fn *fn, void *context, struct err *err);
enum status session_sqlite_read_domain(struct session_reader *reader, int32_t utc_day, const char *domain,
                                       const struct report_visitor *visitor, struct err *err);
enum status session_sqlite_each_record(struct session_reader *reader, int32_t utc_day, const char *domain,
                                       session_record_fn *fn, void *context, struct err *err);
enum status session_sqlite_each_sts(struct session_reader *reader, int32_t since_day, const char *domain,
                                    session_sts_fn *fn, void *context, struct err *err);

#endif
