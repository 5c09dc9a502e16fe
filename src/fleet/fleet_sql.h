/* SPDX-License-Identifier: MIT */
/*
 * fleet_sql.h - every statement that is ever sent to a fleet's database, besides BEGIN, COMMIT and ROLLBACK.
 *
 * Kept to what PostgreSQL 15, CockroachDB, YugabyteDB and Citus all document: no advisory locks, LISTEN,
 * SERIAL, SKIP LOCKED, locking clauses, triggers, functions of our own or collations; every statement may be
 * run under SERIALIZABLE, and is retried when it fails for that.  The domain is first in the key of every
 * table that has one, so that such engines can spread them by it.  A change that is done twice has the effect
 * of one.
 *
 * utc_day        days since 1970-01-01
 * *_s            seconds since then
 * lists of texts a newline between; an unknown text is ''
 * bucket         fleet_bucket of the domain
 * state          numbers of enum delivery_state
 */
#ifndef FLEET_FLEET_SQL_H
#define FLEET_FLEET_SQL_H

// clang-format off
#define REPORT_COLUMNS \
    "utc_day, domain, report_id, created_at_s, organization_name, contact_info, from_address, envelope_from," \
    " file_name, inflated_bytes, success, failure, note"

#define DELIVERY_COLUMNS \
    "d.number, d.utc_day, d.domain, r.report_id, d.kind, d.rua, d.host, d.message_id, d.state, d.tries, d.first_at_s," \
    " d.next_at_s, d.last_at_s, d.last_code, d.last_text, d.owner, d.destination, d.due_at_s, d.turn, d.is_known"

#define DELIVERY_FROM \
    " FROM tlsrpt_gen.delivery AS d JOIN tlsrpt_gen.report AS r ON r.domain = d.domain AND r.utc_day = d.utc_day "

/* $n::integer < 0: of all days. */
#define OF_DAY(column, parameter) "(" parameter "::integer < 0 OR " column " = " parameter "::integer)"

#define FLEET_STATEMENTS(X) \
    /* first on each connection: a client that hangs in a transaction must not keep others from its leases, nor may */ \
    /* anybody wait for a lock for ever */ \
    X(SESSION,          "SELECT set_config('idle_in_transaction_session_timeout', '10000', false)," \
                        " set_config('lock_timeout', '30000', false)") \
    /* the schema */ \
    X(VERSION,          "SELECT version, content_key FROM tlsrpt_gen.schema_version WHERE only_row = 1") \
    X(SET_VERSION,      "INSERT INTO tlsrpt_gen.schema_version AS v (only_row, version, content_key) VALUES (1, $1, $2)" \
                        " ON CONFLICT (only_row) DO UPDATE SET version = GREATEST(v.version, excluded.version)") \
    X(ADD_LEASES,       "INSERT INTO tlsrpt_gen.lease (bucket, host, epoch, expires_at)" \
                        " SELECT b, '', 0, now() FROM unnest($1::integer[]) AS l (b) ON CONFLICT (bucket) DO NOTHING") \
    /* push: absolute totals; the greatest wins.  An instance that pushes after its end (of a host that was copied, */ \
    /* or forgotten) is alive: waited for again */ \
    X(PUSH_POLICIES,    "INSERT INTO tlsrpt_gen.policy (domain, utc_day, policy_id, type, policy_domain, strings, mx_hosts)" \
                        " SELECT a, b, c, d, e, f, g FROM unnest($1::text[], $2::integer[], $3::uuid[], $4::integer[]," \
                        " $5::text[], $6::text[], $7::text[]) AS l (a, b, c, d, e, f, g) ORDER BY a, b, c" \
                        " ON CONFLICT (domain, utc_day, policy_id) DO NOTHING") \
    X(PUSH_DETAILS,     "INSERT INTO tlsrpt_gen.detail (domain, utc_day, detail_id, result_type, sending_mta_ip," \
                        " receiving_mx_hostname, receiving_mx_helo, receiving_ip, additional_information, failure_reason_code)" \
                        " SELECT a, b, c, d, e, f, g, h, i, j FROM unnest($1::text[], $2::integer[], $3::uuid[], $4::text[]," \
                        " $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[])" \
                        " AS l (a, b, c, d, e, f, g, h, i, j) ORDER BY a, b, c ON CONFLICT (domain, utc_day, detail_id) DO NOTHING") \
    X(PUSH_TALLIES,     "INSERT INTO tlsrpt_gen.tally AS t (domain, utc_day, policy_id, instance, bucket, success, failure)" \
                        " SELECT a, b, c, d, e, f, g FROM unnest($1::text[], $2::integer[], $3::uuid[], $4::uuid[]," \
                        " $5::integer[], $6::bigint[], $7::bigint[]) AS l (a, b, c, d, e, f, g)" \
                        " ON CONFLICT (domain, utc_day, policy_id, instance) DO UPDATE SET" \
                        " success = GREATEST(t.success, excluded.success), failure = GREATEST(t.failure, excluded.failure)") \
    X(PUSH_DETAIL_TALLIES, "INSERT INTO tlsrpt_gen.detail_tally AS t" \
                        " (domain, utc_day, policy_id, detail_id, instance, sessions)" \
                        " SELECT a, b, c, d, e, f FROM unnest($1::text[], $2::integer[], $3::uuid[], $4::uuid[], $5::uuid[]," \
                        " $6::bigint[]) AS l (a, b, c, d, e, f)" \
                        " ON CONFLICT (domain, utc_day, policy_id, detail_id, instance) DO UPDATE SET" \
                        " sessions = GREATEST(t.sessions, excluded.sessions)") \
    X(PUSH_RECORDS,     "INSERT INTO tlsrpt_gen.record AS t (domain, utc_day, record_id, last_seen_s, text)" \
                        " SELECT a, b, c, d, e FROM unnest($1::text[], $2::integer[], $3::uuid[], $4::bigint[], $5::text[])" \
                        " AS l (a, b, c, d, e) ORDER BY a, b, c ON CONFLICT (domain, utc_day, record_id) DO UPDATE SET" \
                        " last_seen_s = GREATEST(t.last_seen_s, excluded.last_seen_s)") \
    X(PUSH_INSTANCE,    "INSERT INTO tlsrpt_gen.instance AS t (instance, host, started_s, last_seen_s, complete_through_s," \
                        " received, stored, dropped, late, ended) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0)" \
                        " ON CONFLICT (instance) DO UPDATE SET host = excluded.host," \
                        " last_seen_s = GREATEST(t.last_seen_s, excluded.last_seen_s)," \
                        " complete_through_s = GREATEST(t.complete_through_s, excluded.complete_through_s)," \
                        " received = GREATEST(t.received, excluded.received), stored = GREATEST(t.stored, excluded.stored)," \
                        " dropped = GREATEST(t.dropped, excluded.dropped), late = GREATEST(t.late, excluded.late)," \
                        " ended = CASE WHEN excluded.last_seen_s > t.last_seen_s THEN 0 ELSE t.ended END") \
    X(END_INSTANCE,     "UPDATE tlsrpt_gen.instance SET ended = 1, last_seen_s = GREATEST(last_seen_s, $2)" \
                        " WHERE instance = $1") \
    /* the hosts */ \
    X(FORGET_HOST,      "UPDATE tlsrpt_gen.instance SET ended = 1, last_seen_s = GREATEST(last_seen_s, $2)" \
                        " WHERE host = $1 AND ended = 0") \
    X(COMPLETE_THROUGH, "SELECT min(complete_through_s) FROM tlsrpt_gen.instance WHERE ended = 0 AND last_seen_s >= $1") \
    X(LIST_INSTANCES,   "SELECT instance, host, started_s, last_seen_s, complete_through_s, received, stored, dropped, late" \
                        " FROM tlsrpt_gen.instance WHERE ended = 0 AND last_seen_s >= $1 ORDER BY host, started_s, instance") \
    X(ADD_MISSED,       "INSERT INTO tlsrpt_gen.missed (utc_day, instance, host, complete_through_s) VALUES ($1, $2, $3, $4)" \
                        " ON CONFLICT (utc_day, instance) DO NOTHING") \
    X(LIST_MISSED,      "SELECT utc_day, host, complete_through_s FROM tlsrpt_gen.missed" \
                        " WHERE utc_day >= $1 ORDER BY utc_day, host") \
    X(LATE,             "SELECT t.utc_day, sum(t.sessions - coalesce(r.success + r.failure, 0)) FROM" \
                        " (SELECT domain, utc_day, max(bucket) AS bucket, sum(success + failure) AS sessions" \
                        "  FROM tlsrpt_gen.tally WHERE utc_day >= $1 GROUP BY domain, utc_day) AS t" \
                        " JOIN tlsrpt_gen.closed_day AS c ON c.bucket = t.bucket AND c.utc_day = t.utc_day" \
                        " LEFT JOIN tlsrpt_gen.report AS r ON r.domain = t.domain AND r.utc_day = t.utc_day" \
                        " LEFT JOIN tlsrpt_gen.skipped AS s ON s.domain = t.domain AND s.utc_day = t.utc_day" \
                        " WHERE s.domain IS NULL GROUP BY t.utc_day ORDER BY t.utc_day") \
    /* what was counted; the generator sums over the instances */ \
    X(LIST_DAYS,        "SELECT utc_day, count(*), sum(success), sum(failure) FROM" \
                        " (SELECT domain, utc_day, sum(success) AS success, sum(failure) AS failure" \
                        "  FROM tlsrpt_gen.tally GROUP BY domain, utc_day) AS t GROUP BY utc_day ORDER BY utc_day") \
    X(LIST_DOMAINS,     "SELECT domain, sum(success), sum(failure) FROM tlsrpt_gen.tally" \
                        " WHERE utc_day = $1 AND bucket = ANY($2::integer[]) AND domain > $3" \
                        " GROUP BY domain ORDER BY domain LIMIT $4") \
    X(READ_POLICIES,    "SELECT t.domain, p.policy_id, p.type, p.policy_domain, p.strings, p.mx_hosts, t.success, t.failure" \
                        " FROM (SELECT domain, policy_id, sum(success) AS success, sum(failure) AS failure" \
                        "  FROM tlsrpt_gen.tally WHERE domain = ANY($1::text[]) AND utc_day = $2 GROUP BY domain, policy_id) AS t" \
                        " JOIN tlsrpt_gen.policy AS p" \
                        " ON p.domain = t.domain AND p.utc_day = $2 AND p.policy_id = t.policy_id") \
    X(READ_DETAILS,     "SELECT t.domain, t.policy_id, d.result_type, d.sending_mta_ip, d.receiving_mx_hostname," \
                        " d.receiving_mx_helo, d.receiving_ip, d.additional_information, d.failure_reason_code, t.sessions" \
                        " FROM (SELECT domain, policy_id, detail_id, sum(sessions) AS sessions FROM tlsrpt_gen.detail_tally" \
                        "  WHERE domain = ANY($1::text[]) AND utc_day = $2 GROUP BY domain, policy_id, detail_id) AS t" \
                        " JOIN tlsrpt_gen.detail AS d" \
                        " ON d.domain = t.domain AND d.utc_day = $2 AND d.detail_id = t.detail_id") \
    X(READ_RECORDS,     "SELECT text, last_seen_s FROM tlsrpt_gen.record WHERE domain = $1 AND utc_day = $2" \
                        " ORDER BY last_seen_s DESC, text LIMIT 10") \
    /* the work's shares */ \
    X(SEEN_GENERATOR,   "INSERT INTO tlsrpt_gen.generator (owner, host, seen_at) VALUES ($1, $2, now())" \
                        " ON CONFLICT (owner) DO UPDATE SET host = excluded.host, seen_at = excluded.seen_at") \
    X(COUNT_GENERATORS, "SELECT count(*) FROM tlsrpt_gen.generator WHERE seen_at > now() - INTERVAL '1 hour'") \
    X(LIST_LEASES,      "SELECT bucket, host, CASE WHEN expires_at <= now() OR (owner = $1 AND host = $2) THEN 1 ELSE 0 END" \
                        " FROM tlsrpt_gen.lease ORDER BY bucket") \
    X(TAKE_LEASES,      "UPDATE tlsrpt_gen.lease SET owner = $1, host = $2, epoch = epoch + 1," \
                        " expires_at = now() + $3::integer * INTERVAL '1 second'" \
                        " WHERE bucket = ANY($4::integer[]) AND (expires_at <= now() OR (owner = $1 AND host = $2))" \
                        " RETURNING bucket, epoch") \
    X(FENCE,            "UPDATE tlsrpt_gen.lease AS t SET expires_at = now() + $3::integer * INTERVAL '1 second'" \
                        " FROM unnest($1::integer[], $2::bigint[]) AS l (b, e) WHERE t.bucket = l.b AND t.epoch = l.e") \
    X(RELEASE,          "UPDATE tlsrpt_gen.lease AS t SET expires_at = now(), epoch = t.epoch + 1" \
                        " FROM unnest($1::integer[], $2::bigint[]) AS l (b, e) WHERE t.bucket = l.b AND t.epoch = l.e") \
    /* the ledger */ \
    X(FIND,             "SELECT domain, 1, created_at_s, 0 FROM tlsrpt_gen.report WHERE domain = ANY($1::text[]) AND utc_day = $2" \
                        " UNION ALL SELECT domain, 2, since_s, 0 FROM tlsrpt_gen.skipped" \
                        " WHERE domain = ANY($1::text[]) AND utc_day = $2" \
                        " UNION ALL SELECT domain, 3, since_s, next_at_s FROM tlsrpt_gen.waiting" \
                        " WHERE domain = ANY($1::text[]) AND utc_day = $2") \
    X(ADD_REPORT,       "INSERT INTO tlsrpt_gen.report AS t (" REPORT_COLUMNS ", bucket, gzip)" \
                        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)" \
                        " ON CONFLICT (domain, utc_day) DO UPDATE SET report_id = excluded.report_id" \
                        " WHERE t.report_id = excluded.report_id AND t.created_at_s = excluded.created_at_s") \
    X(ADD_DELIVERY,     "INSERT INTO tlsrpt_gen.delivery (domain, utc_day, number, bucket, rua, kind, host, message_id, state," \
                        " tries, first_at_s, next_at_s, last_at_s, last_code, last_text, owner, destination, due_at_s, turn," \
                        " place, is_known) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, $10, 0, 0, $11, $12, $13, $14, $15," \
                        " floor(random() * 1000000000)," \
                        " (SELECT count(*) FROM tlsrpt_gen.known AS k WHERE k.kind = $6 AND k.destination = $13))" \
                        " ON CONFLICT (domain, utc_day, number) DO NOTHING") \
    X(SKIP,             "INSERT INTO tlsrpt_gen.skipped (domain, utc_day, bucket, reason, since_s)" \
                        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT (domain, utc_day) DO NOTHING") \
    X(UNSKIP,           "DELETE FROM tlsrpt_gen.skipped WHERE domain = $1 AND utc_day = $2") \
    X(WAIT,             "INSERT INTO tlsrpt_gen.waiting (domain, utc_day, bucket, reason, since_s, next_at_s)" \
                        " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (domain, utc_day)" \
                        " DO UPDATE SET reason = excluded.reason, next_at_s = excluded.next_at_s") \
    X(UNWAIT,           "DELETE FROM tlsrpt_gen.waiting WHERE domain = $1 AND utc_day = $2") \
    X(EACH_SKIPPED,     "SELECT utc_day, domain, reason, since_s FROM tlsrpt_gen.skipped" \
                        " WHERE " OF_DAY("utc_day", "$1") " ORDER BY utc_day, domain") \
    X(EACH_WAITING,     "SELECT utc_day, domain, reason, since_s FROM tlsrpt_gen.waiting" \
                        " WHERE " OF_DAY("utc_day", "$1") " ORDER BY utc_day, domain") \
    X(CLOSE_DAY,        "INSERT INTO tlsrpt_gen.closed_day (bucket, utc_day, closed_at_s)" \
                        " SELECT b, $2, $3 FROM unnest($1::integer[]) AS l (b) ON CONFLICT (bucket, utc_day) DO NOTHING") \
    X(CLOSED_BUCKETS,   "SELECT count(*) FROM tlsrpt_gen.closed_day WHERE bucket = ANY($1::integer[]) AND utc_day = $2") \
    X(EACH_CLOSED_DAY,  "SELECT utc_day, max(closed_at_s) FROM tlsrpt_gen.closed_day" \
                        " GROUP BY utc_day HAVING count(*) = $1 ORDER BY utc_day") \
    X(EACH_REPORT,      "SELECT " REPORT_COLUMNS ", length(gzip) FROM tlsrpt_gen.report" \
                        " WHERE " OF_DAY("utc_day", "$1") " ORDER BY utc_day DESC, domain") \
    X(READ_REPORT,      "SELECT " REPORT_COLUMNS ", gzip FROM tlsrpt_gen.report WHERE domain = $1 AND utc_day = $2") \
    X(EACH_OPEN,        "SELECT " DELIVERY_COLUMNS DELIVERY_FROM "WHERE d.state < 2 ORDER BY d.kind, d.host, d.utc_day, d.domain, d.number") \
    X(MAKE_DUE,         "UPDATE tlsrpt_gen.delivery SET next_at_s = $1 WHERE state = 0 AND next_at_s > $1" \
                        " AND bucket = ANY($2::integer[])") \
    X(NEXT_TURN,        "SELECT min(turn) FROM tlsrpt_gen.delivery WHERE state = 0 AND kind = $1 AND is_known = $2" \
                        " AND turn >= $3 AND bucket = ANY($4::integer[])") \
    X(READ_PAGE,        "SELECT " DELIVERY_COLUMNS ", coalesce(a.count, 0), coalesce(o.count, 0)" DELIVERY_FROM \
                        "LEFT JOIN tlsrpt_gen.started AS a ON a.destination = d.destination AND a.utc_day = $6 AND a.owner = ''" \
                        " LEFT JOIN tlsrpt_gen.started AS o ON o.destination = d.destination AND o.utc_day = $6" \
                        " AND o.owner = d.owner " \
                        "WHERE d.state = 0 AND d.kind = $1 AND d.is_known = $2 AND d.turn = $3" \
                        " AND d.next_at_s / 900 <= $4::bigint / 900 AND d.next_at_s <= $4::bigint AND d.bucket = ANY($7::integer[])" \
                        " ORDER BY d.next_at_s / 900, d.place LIMIT $5") \
    /* sent again after a lost answer it counts a delivery twice, which takes one from the budget of that day */ \
    X(ADD_STARTED,      "INSERT INTO tlsrpt_gen.started AS s (destination, utc_day, owner, count)" \
                        " VALUES ($1, $2, '', 1), ($1, $2, $3, 1) ON CONFLICT (destination, utc_day, owner)" \
                        " DO UPDATE SET count = s.count + 1") \
    X(TAKE_STARTED,     "UPDATE tlsrpt_gen.started SET count = GREATEST(0, count - 1)" \
                        " WHERE destination = $1 AND utc_day = $2 AND (owner = '' OR owner = $3)") \
    X(EACH_BUDGET,      "SELECT destination, owner, count FROM tlsrpt_gen.started WHERE utc_day = $1" \
                        " AND count >= CASE owner WHEN '' THEN $2::bigint ELSE $3::bigint END" \
                        " ORDER BY CASE owner WHEN '' THEN 0 ELSE 1 END, count DESC, destination, owner LIMIT $4") \
    X(ADD_KNOWN,        "INSERT INTO tlsrpt_gen.known AS k (kind, destination, accepted_at_s) VALUES ($1, $2, $3)" \
                        " ON CONFLICT (kind, destination) DO UPDATE SET accepted_at_s = excluded.accepted_at_s" \
                        " WHERE k.accepted_at_s < excluded.accepted_at_s - 43200") \
    X(EACH_DELIVERY,    "SELECT " DELIVERY_COLUMNS DELIVERY_FROM "WHERE " OF_DAY("d.utc_day", "$1") " ORDER BY d.utc_day, d.domain, d.rua") \
    X(EACH_DELIVERY_OF, "SELECT " DELIVERY_COLUMNS DELIVERY_FROM "WHERE d.domain = $1 AND d.utc_day = $2 ORDER BY d.rua") \
    X(NEXT_DUE,         "SELECT min(next_at_s) FROM tlsrpt_gen.delivery WHERE state < 2") \
    X(MARK_SENDING,     "UPDATE tlsrpt_gen.delivery SET state = 1, tries = tries + 1, last_at_s = $4::bigint," \
                        " first_at_s = CASE first_at_s WHEN 0 THEN $4::bigint ELSE first_at_s END" \
                        " WHERE domain = $1 AND utc_day = $2 AND number = $3 AND state = 0") \
    X(PUT_BACK,         "UPDATE tlsrpt_gen.delivery SET state = 0, tries = tries - 1, last_text = $4," \
                        " first_at_s = CASE first_at_s WHEN last_at_s THEN 0 ELSE first_at_s END" \
                        " WHERE domain = $1 AND utc_day = $2 AND number = $3 AND state = 1") \
    X(RECORD_RESULT,   "UPDATE tlsrpt_gen.delivery SET" \
                        " tries = tries + CASE WHEN state = 0 AND $4::integer = 0 THEN 1 ELSE 0 END, state = $4::integer, next_at_s = $5, last_at_s = $6, last_code = $7," \
                        " last_text = $8, turn = LEAST(turn + 1, 255), is_known = (SELECT count(*) FROM tlsrpt_gen.known AS k" \
                        "  WHERE k.kind = delivery.kind AND k.destination = delivery.destination)" \
                        " WHERE domain = $1 AND utc_day = $2 AND number = $3") \
    X(RECOVER,          "UPDATE tlsrpt_gen.delivery SET state = 0, last_code = 0, turn = LEAST(turn + 1, 255)," \
                        " next_at_s = $1 + (450 << LEAST(tries, 7)::integer)," \
                        " last_text = 'the program ended while sending; it may have arrived'" \
                        " WHERE state = 1 AND bucket = ANY($2::integer[])") \
    X(RECOGNISE,        "UPDATE tlsrpt_gen.delivery AS d SET is_known = 1 FROM tlsrpt_gen.known AS k WHERE d.state = 0" \
                        " AND d.is_known = 0 AND k.kind = d.kind AND k.destination = d.destination AND d.bucket = ANY($1::integer[])") \
    X(COUNT_STATES,     "SELECT utc_day, state, count(*) FROM tlsrpt_gen.delivery GROUP BY utc_day, state") \
    X(COUNT_ENTRIES,    "SELECT utc_day, 1, count(*) FROM tlsrpt_gen.report GROUP BY utc_day" \
                        " UNION ALL SELECT utc_day, 2, count(*) FROM tlsrpt_gen.skipped GROUP BY utc_day" \
                        " UNION ALL SELECT utc_day, 3, count(*) FROM tlsrpt_gen.waiting GROUP BY utc_day") \
    X(SUPPRESSION,      "SELECT until_s, strikes FROM tlsrpt_gen.suppression WHERE address = $1") \
    X(SUPPRESS,         "INSERT INTO tlsrpt_gen.suppression (address, until_s, strikes, reason) VALUES ($1, $2, $3, $4)" \
                        " ON CONFLICT (address) DO UPDATE SET until_s = excluded.until_s, strikes = excluded.strikes," \
                        " reason = excluded.reason") \
    X(UNSUPPRESS,       "DELETE FROM tlsrpt_gen.suppression WHERE address = $1") \
    X(EACH_SUPPRESSION, "SELECT address, until_s, strikes, reason FROM tlsrpt_gen.suppression WHERE until_s > $1" \
                        " ORDER BY address") \
    /* what is old goes; at most once a day */ \
    X(BEGIN_CLEANUP,    "INSERT INTO tlsrpt_gen.cleanup AS t (kind, before_day) VALUES ($1, $2) ON CONFLICT (kind)" \
                        " DO UPDATE SET before_day = excluded.before_day WHERE t.before_day < excluded.before_day") \
    X(DELETE_TALLIES,   "DELETE FROM tlsrpt_gen.tally WHERE utc_day < $1") \
    X(DELETE_DETAIL_TALLIES, "DELETE FROM tlsrpt_gen.detail_tally WHERE utc_day < $1") \
    X(DELETE_POLICIES,  "DELETE FROM tlsrpt_gen.policy WHERE utc_day < $1") \
    X(DELETE_DETAILS,   "DELETE FROM tlsrpt_gen.detail WHERE utc_day < $1") \
    X(DELETE_RECORDS,   "DELETE FROM tlsrpt_gen.record WHERE utc_day < $1") \
    X(DELETE_INSTANCES, "DELETE FROM tlsrpt_gen.instance WHERE last_seen_s < $1") \
    X(DELETE_GENERATORS, "DELETE FROM tlsrpt_gen.generator WHERE seen_at < now() - INTERVAL '30 days'") \
    X(DELETE_DELIVERIES, "DELETE FROM tlsrpt_gen.delivery WHERE utc_day < $1 AND (domain, utc_day) NOT IN" \
                        " (SELECT domain, utc_day FROM tlsrpt_gen.delivery WHERE utc_day < $1 AND state < 2)") \
    X(DELETE_REPORTS,   "DELETE FROM tlsrpt_gen.report WHERE utc_day < $1 AND (domain, utc_day) NOT IN" \
                        " (SELECT domain, utc_day FROM tlsrpt_gen.delivery WHERE utc_day < $1)") \
    X(DELETE_SKIPPED,   "DELETE FROM tlsrpt_gen.skipped WHERE utc_day < $1") \
    X(DELETE_WAITING,   "DELETE FROM tlsrpt_gen.waiting WHERE utc_day < $1") \
    X(DELETE_KNOWN,     "DELETE FROM tlsrpt_gen.known WHERE accepted_at_s < $1::bigint * 86400") \
    X(DELETE_STARTED,   "DELETE FROM tlsrpt_gen.started WHERE utc_day < $1") \
    X(DELETE_CLOSED,    "DELETE FROM tlsrpt_gen.closed_day WHERE utc_day < $1") \
    X(DELETE_MISSED,    "DELETE FROM tlsrpt_gen.missed WHERE utc_day < $1") \
    X(DELETE_SUPPRESSIONS, "DELETE FROM tlsrpt_gen.suppression WHERE until_s < $1")

/*
 * Migrations: version that the statement belongs to, and the statement.  Each can be run again: a schema is brought
 * from any version to the newest by running all, in order.
 */
#define FLEET_MIGRATIONS(X) \
    X(1, "CREATE SCHEMA IF NOT EXISTS tlsrpt_gen") \
    X(1, "CREATE TABLE IF NOT EXISTS tlsrpt_gen.schema_version (only_row INTEGER PRIMARY KEY, version INTEGER NOT NULL," \
         " content_key TEXT NOT NULL)") \
    X(1, "CREATE TABLE IF NOT EXISTS tlsrpt_gen.instance (instance UUID PRIMARY KEY, host TEXT NOT NULL," \
         " started_s BIGINT NOT NULL, last_seen_s BIGINT NOT NULL, complete_through_s BIGINT NOT NULL," \
         " received BIGINT NOT NULL, stored BIGINT NOT NULL, dropped BIGINT NOT NULL, late BIGINT NOT NULL," \
         " ended INTEGER NOT NULL)") \
    X(1, "CREATE TABLE IF NOT EXISTS tlsrpt_gen.missed (utc_day INTEGER, instance UUID, host TEXT NOT NULL," \
         " complete_through_s BIGINT NOT NULL, PRIMARY KEY (utc_day, instance))") \
    X(1, "CREATE TABLE IF NOT EXISTS tlsrpt_gen.policy (domain TEXT, utc_day INTEGER, policy_id UUID," \
         " type INTEGER NOT NULL, policy_domain TEXT NOT NULL, strings TEXT NOT NULL, mx_hosts TEXT NOT NULL," \
         " PRIMARY KEY (domain, utc_day, policy_id))") \
    X(1, "CREATE TABLE IF NOT EXISTS tlsrpt_gen.detail (domain TEXT, utc_day INTEGER, detail_id UUID," \
         " result_type TEXT NOT NULL, sending_mta_ip TEXT NOT NULL, receiving_mx_hostname TEXT NOT NULL," \
         " receiving_mx_helo TEXT NOT NULL, receiving_ip TEXT NOT NULL, additional_information TEXT NOT NULL," \
         " failure_reason_code TEXT NOT NULL, PRIMARY KEY (domain, utc_day, detail_id))") \
    X(1, "CREATE TABLE IF NOT EXISTS tlsrpt_gen.tally (domain TEXT, utc_day INTEGER, policy_id UUID, instance UUID," \
         " bucket INTEGER NOT NULL, success BIGINT NOT NULL, failure BIGINT NOT NULL," \
         " PRIMARY KEY (domain, utc_day, policy_id, instance))") \
    X(1, "CREATE TABLE IF NOT EXISTS tlsrpt_gen.detail_tally (domain TEXT, utc_day INTEGER, policy_id UUID," \
         " detail_id UUID, instance UUID, sessions BIGINT NOT NULL," \
         " PRIMARY KEY (domain, utc_day, policy_id, detail_id, instance))") \
    X(1, "CREATE TABLE IF NOT EXISTS tlsrpt_gen.record (domain TEXT, utc_day INTEGER, record_id UUID," \
         " last_seen_s BIGINT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (domain, utc_day, record_id))") \
    X(1, "CREATE TABLE IF NOT EXISTS tlsrpt_gen.generator (owner UUID PRIMARY KEY, host TEXT NOT NULL," \
         " seen_at TIMESTAMP WITH TIME ZONE NOT NULL)") \
    X(1, "CREATE TABLE IF NOT EXISTS tlsrpt_gen.lease (bucket INTEGER PRIMARY KEY, owner UUID, host TEXT NOT NULL," \
         " epoch BIGINT NOT NULL, expires_at TIMESTAMP WITH TIME ZONE NOT NULL)") \
    X(1, "CREATE TABLE IF NOT EXISTS tlsrpt_gen.report (domain TEXT, utc_day INTEGER, bucket INTEGER NOT NULL," \
         " report_id TEXT NOT NULL, created_at_s BIGINT NOT NULL, organization_name TEXT NOT NULL," \
         " contact_info TEXT NOT NULL, from_address TEXT NOT NULL, envelope_from TEXT NOT NULL," \
         " file_name TEXT NOT NULL, gzip BYTEA NOT NULL, inflated_bytes BIGINT NOT NULL, success BIGINT NOT NULL," \
         " failure BIGINT NOT NULL, note TEXT NOT NULL, PRIMARY KEY (domain, utc_day))") \
    X(1, "CREATE TABLE IF NOT EXISTS tlsrpt_gen.delivery (domain TEXT, utc_day INTEGER, number INTEGER," \
         " bucket INTEGER NOT NULL, rua TEXT NOT NULL, kind INTEGER NOT NULL, host TEXT NOT NULL," \
         " message_id TEXT NOT NULL, state INTEGER NOT NULL, tries BIGINT NOT NULL, first_at_s BIGINT NOT NULL," \
         " next_at_s BIGINT NOT NULL, last_at_s BIGINT NOT NULL, last_code BIGINT NOT NULL, last_text TEXT NOT NULL," \
         " PRIMARY KEY (domain, utc_day, number))") \
    X(1, "CREATE INDEX IF NOT EXISTS delivery_open ON tlsrpt_gen.delivery (domain, utc_day, number) WHERE state < 2") \
    X(1, "CREATE TABLE IF NOT EXISTS tlsrpt_gen.skipped (domain TEXT, utc_day INTEGER, bucket INTEGER NOT NULL," \
         " reason TEXT NOT NULL, since_s BIGINT NOT NULL, PRIMARY KEY (domain, utc_day))") \
    X(1, "CREATE TABLE IF NOT EXISTS tlsrpt_gen.waiting (domain TEXT, utc_day INTEGER, bucket INTEGER NOT NULL," \
         " reason TEXT NOT NULL, since_s BIGINT NOT NULL, PRIMARY KEY (domain, utc_day))") \
    X(1, "CREATE TABLE IF NOT EXISTS tlsrpt_gen.closed_day (bucket INTEGER, utc_day INTEGER," \
         " closed_at_s BIGINT NOT NULL, PRIMARY KEY (bucket, utc_day))") \
    X(1, "CREATE TABLE IF NOT EXISTS tlsrpt_gen.suppression (address TEXT PRIMARY KEY, until_s BIGINT NOT NULL," \
         " strikes BIGINT NOT NULL, reason TEXT NOT NULL)") \
    X(1, "CREATE TABLE IF NOT EXISTS tlsrpt_gen.mailed (mailbox_domain TEXT, utc_day INTEGER, mark BIGINT," \
         " count BIGINT NOT NULL, PRIMARY KEY (mailbox_domain, utc_day, mark))") \
    X(1, "CREATE TABLE IF NOT EXISTS tlsrpt_gen.cleanup (kind TEXT PRIMARY KEY, before_day INTEGER NOT NULL)") \
    /* for the scheduler */ \
    X(2, "ALTER TABLE tlsrpt_gen.delivery ADD COLUMN IF NOT EXISTS owner TEXT NOT NULL DEFAULT ''") \
    X(2, "ALTER TABLE tlsrpt_gen.delivery ADD COLUMN IF NOT EXISTS destination TEXT NOT NULL DEFAULT ''") \
    X(2, "ALTER TABLE tlsrpt_gen.delivery ADD COLUMN IF NOT EXISTS due_at_s BIGINT NOT NULL DEFAULT 0") \
    X(2, "ALTER TABLE tlsrpt_gen.delivery ADD COLUMN IF NOT EXISTS turn INTEGER NOT NULL DEFAULT 0") \
    X(2, "ALTER TABLE tlsrpt_gen.delivery ADD COLUMN IF NOT EXISTS is_known BIGINT NOT NULL DEFAULT 0") \
    X(2, "ALTER TABLE tlsrpt_gen.delivery ADD COLUMN IF NOT EXISTS place BIGINT NOT NULL DEFAULT 0") \
    X(2, "UPDATE tlsrpt_gen.delivery SET owner = domain," \
         " destination = CASE kind WHEN 0 THEN host ELSE host || ':443' END," \
         " due_at_s = CASE first_at_s WHEN 0 THEN next_at_s ELSE first_at_s END," \
         " place = floor(random() * 1000000000) WHERE state < 2 AND owner = ''") \
    X(2, "CREATE INDEX IF NOT EXISTS delivery_page ON tlsrpt_gen.delivery (kind, is_known, turn, (next_at_s / 900), place)" \
         " WHERE state = 0") \
    X(2, "CREATE TABLE IF NOT EXISTS tlsrpt_gen.known (kind INTEGER, destination TEXT, accepted_at_s BIGINT NOT NULL," \
         " PRIMARY KEY (kind, destination))") \
    X(2, "CREATE TABLE IF NOT EXISTS tlsrpt_gen.started (destination TEXT, utc_day INTEGER, owner TEXT," \
         " count BIGINT NOT NULL, PRIMARY KEY (destination, utc_day, owner))") \
    X(2, "ALTER TABLE tlsrpt_gen.waiting ADD COLUMN IF NOT EXISTS next_at_s BIGINT NOT NULL DEFAULT 0") \
    X(2, "DROP TABLE IF EXISTS tlsrpt_gen.mailed")

#define FLEET_SCHEMA_VERSION 2

/* Printed by fleet-init for the administrator to run; roles that can do no more than they must. */
#define FLEET_GRANTS(X) \
    X("-- hosts that only push (tlsrpt-gen push)") \
    X("CREATE ROLE tlsrpt_push;") \
    X("GRANT USAGE ON SCHEMA tlsrpt_gen TO tlsrpt_push;") \
    X("GRANT SELECT ON tlsrpt_gen.schema_version TO tlsrpt_push;") \
    X("GRANT SELECT, INSERT ON tlsrpt_gen.policy, tlsrpt_gen.detail TO tlsrpt_push;") \
    X("GRANT SELECT, INSERT, UPDATE ON tlsrpt_gen.tally, tlsrpt_gen.detail_tally, tlsrpt_gen.record," \
      " tlsrpt_gen.instance TO tlsrpt_push;") \
    X("-- hosts that also build and deliver (tlsrpt-gen)") \
    X("CREATE ROLE tlsrpt_generate;") \
    X("GRANT tlsrpt_push TO tlsrpt_generate;") \
    X("GRANT USAGE ON SCHEMA tlsrpt_gen TO tlsrpt_generate;") \
    X("GRANT SELECT, DELETE ON tlsrpt_gen.policy, tlsrpt_gen.detail, tlsrpt_gen.tally, tlsrpt_gen.detail_tally," \
      " tlsrpt_gen.record, tlsrpt_gen.instance TO tlsrpt_generate;") \
    X("GRANT SELECT, INSERT, UPDATE, DELETE ON tlsrpt_gen.generator TO tlsrpt_generate;") \
    X("GRANT SELECT, INSERT, UPDATE ON tlsrpt_gen.cleanup TO tlsrpt_generate;") \
    X("GRANT SELECT, UPDATE ON tlsrpt_gen.lease TO tlsrpt_generate;") \
    X("GRANT SELECT, INSERT, UPDATE, DELETE ON tlsrpt_gen.report, tlsrpt_gen.delivery, tlsrpt_gen.waiting," \
      " tlsrpt_gen.suppression, tlsrpt_gen.known, tlsrpt_gen.started TO tlsrpt_generate;") \
    X("GRANT SELECT, INSERT, DELETE ON tlsrpt_gen.skipped, tlsrpt_gen.closed_day," \
      " tlsrpt_gen.missed TO tlsrpt_generate;") \
    X("-- people who look (tlsrpt-gen status, show, --dry-run)") \
    X("CREATE ROLE tlsrpt_read;") \
    X("GRANT USAGE ON SCHEMA tlsrpt_gen TO tlsrpt_read;") \
    X("GRANT SELECT ON ALL TABLES IN SCHEMA tlsrpt_gen TO tlsrpt_read;") \
    X("-- then, for each login role: GRANT tlsrpt_generate TO mx1;")
// clang-format on

enum fleet_statement {
#define FLEET_STATEMENT_ID(id, sql) FLEET_##id,
    FLEET_STATEMENTS(FLEET_STATEMENT_ID)
#undef FLEET_STATEMENT_ID
    FLEET_STATEMENT_COUNT,
};

#endif
