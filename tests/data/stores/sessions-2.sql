-- SPDX-License-Identifier: MIT
BEGIN TRANSACTION;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "counter" VALUES('received',14);
INSERT INTO "counter" VALUES('ring_high_water',4744);
INSERT INTO "counter" VALUES('stored',14);
CREATE TABLE day (utc_day INTEGER PRIMARY KEY, closed_at_s INTEGER NOT NULL) STRICT;
INSERT INTO "day" VALUES(20526,1773533100);
CREATE TABLE detail (domain_id INTEGER, result_type TEXT, sending_mta_ip TEXT,  receiving_mx_hostname TEXT, receiving_mx_helo TEXT, receiving_ip TEXT, additional_information TEXT,  failure_reason_code TEXT, id INTEGER NOT NULL,  PRIMARY KEY (domain_id, result_type, sending_mta_ip, receiving_mx_hostname, receiving_mx_helo,    receiving_ip, additional_information, failure_reason_code)) STRICT, WITHOUT ROWID;
INSERT INTO "detail" VALUES(1,'certificate-expired','192.0.2.10','mx1.lantern.example','mx1.lantern.example','198.51.100.25','','',5);
INSERT INTO "detail" VALUES(1,'validation-failure','2001:db8::10','mx1.lantern.example','mx1.lantern.example','2001:db8:77::25','','self-signed_certificate',3);
INSERT INTO "detail" VALUES(9,'certificate-host-mismatch','192.0.2.10','mx2.quay.example','mx2.quay.example','198.51.100.80','','',14);
INSERT INTO "detail" VALUES(9,'starttls-not-supported','192.0.2.10','mx9.quay.example','mx9.quay.example','198.51.100.89','','',11);
CREATE TABLE detail_tally (domain_id INTEGER, utc_day INTEGER, policy_id INTEGER, detail_id INTEGER,  sessions INTEGER NOT NULL,  PRIMARY KEY (domain_id, utc_day, policy_id, detail_id)) STRICT, WITHOUT ROWID;
INSERT INTO "detail_tally" VALUES(1,20526,2,3,1);
INSERT INTO "detail_tally" VALUES(1,20526,2,5,2);
INSERT INTO "detail_tally" VALUES(9,20527,10,11,1);
INSERT INTO "detail_tally" VALUES(9,20527,13,14,1);
CREATE TABLE domain (name TEXT PRIMARY KEY, id INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "domain" VALUES('harbour.example',6);
INSERT INTO "domain" VALUES('lantern.example',1);
INSERT INTO "domain" VALUES('quay.example',9);
CREATE TABLE mark (only INTEGER PRIMARY KEY CHECK (only = 1), store_id TEXT NOT NULL,  next_id INTEGER NOT NULL, counted_through_s INTEGER NOT NULL, ring_sequence INTEGER NOT NULL,  ring_dropped INTEGER NOT NULL) STRICT;
INSERT INTO "mark" VALUES(1,'5481140b826f74f0ea17a4f3380ec1ef',16,1773533100,6024,0);
CREATE TABLE note (name TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "note" VALUES('instance','b625d34b7c23f294f40e322c5890ffbd');
INSERT INTO "note" VALUES('max_dgram_qlen','10');
INSERT INTO "note" VALUES('pid_namespace','pid:[4026531836]');
INSERT INTO "note" VALUES('started_s','1773533100');
CREATE TABLE organization (utc_day INTEGER, name TEXT, subdomains INTEGER NOT NULL,  over_budget INTEGER NOT NULL, PRIMARY KEY (utc_day, name)) STRICT, WITHOUT ROWID;
CREATE TABLE policy (domain_id INTEGER, type INTEGER, policy_domain TEXT, strings TEXT, mx_hosts TEXT,  id INTEGER NOT NULL,  PRIMARY KEY (domain_id, type, policy_domain, strings, mx_hosts)) STRICT, WITHOUT ROWID;
INSERT INTO "policy" VALUES(1,0,'mx1.lantern.example','3 1 1 0F1E2D3C4B5A69788796A5B4C3D2E1F00112233445566778899AABBCCDDEEFF0
3 1 1 A1B2C3D4E5F60718293A4B5C6D7E8F90FEDCBA98765432100123456789ABCDEF','',2);
INSERT INTO "policy" VALUES(6,1,'harbour.example','version: STSv1
mode: enforce
mx: mx1.harbour.example
mx: *.backup.harbour.example
max_age: 1209600','mx1.harbour.example
*.backup.harbour.example',7);
INSERT INTO "policy" VALUES(9,0,'mx2.quay.example','3 1 1 0F1E2D3C4B5A69788796A5B4C3D2E1F00112233445566778899AABBCCDDEEFF0','',15);
INSERT INTO "policy" VALUES(9,1,'quay.example','version: STSv1
mode: testing
mx: *.quay.example
max_age: 86400','*.quay.example',13);
INSERT INTO "policy" VALUES(9,2,'quay.example','','',10);
CREATE TABLE record (domain_id INTEGER, utc_day INTEGER, id INTEGER, last_seen_s INTEGER NOT NULL,  text TEXT NOT NULL, PRIMARY KEY (domain_id, utc_day, id)) STRICT, WITHOUT ROWID;
INSERT INTO "record" VALUES(1,20526,4,1773489600,'v=TLSRPTv1;rua=https://collector.lantern.example/in,mailto:tls@lantern.example;');
INSERT INTO "record" VALUES(6,20526,8,1773489600,'v=TLSRPTv1; rua=mailto:tls@harbour.example');
INSERT INTO "record" VALUES(9,20527,12,1773533100,'v=TLSRPTv1; rua=mailto:tls@quay.example');
CREATE TABLE refused (uid INTEGER PRIMARY KEY, count INTEGER NOT NULL) STRICT;
CREATE TABLE tally (domain_id INTEGER, utc_day INTEGER, policy_id INTEGER, success INTEGER NOT NULL,  failure INTEGER NOT NULL, PRIMARY KEY (domain_id, utc_day, policy_id)) STRICT, WITHOUT ROWID;
INSERT INTO "tally" VALUES(1,20526,2,4,3);
INSERT INTO "tally" VALUES(6,20526,7,3,0);
INSERT INTO "tally" VALUES(9,20527,10,2,1);
INSERT INTO "tally" VALUES(9,20527,13,0,1);
INSERT INTO "tally" VALUES(9,20527,15,1,0);
COMMIT;
PRAGMA user_version = 2;
