-- A state file of version 3, as the release before the one with scopes has written it: of a database
-- that is deployed, `loom`, and of one that still collects its baseline, `shop`.
BEGIN TRANSACTION;
CREATE TABLE document (
    database TEXT NOT NULL,
    topic    TEXT NOT NULL,
    name     TEXT NOT NULL,
    content  TEXT NOT NULL,  -- JSON, of which only its owner knows what it means
    PRIMARY KEY (database, topic, name)
) WITHOUT ROWID, STRICT;
INSERT INTO "document" VALUES('loom','baseline','orders','{"backtest":{"pages":0,"windows":0},"classes":[{"calls":10,"class":"invoices","hour_log_stddev":0.1,"relative_error":0.08027729719194864,"role":"anon","seconds":2.5}],"created_at":"2026-11-28T04:22:30.591815Z","deployment":"orders","gauges":[],"identity":{"classes_sha256":"9839830db35716ea23ce229f2de8c54d1fdef99e58434e4f2e010fe328d44b88","database_name":"loom","database_oid":5,"extension_schema":"extensions","extension_version":"1.10","id_algorithm":"tok-1","planner_sha256":"a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1","postmaster_start":"2025-10-01T00:00:00Z","server_version_num":150018,"settings":{"pg_stat_statements.max":"5000","pg_stat_statements.track":"top"},"system_identifier":"7000"},"left_out":0,"schema":"loom-exporter.baseline/1","sha256":"dced064ae43e10be81f20587d85dab6445b17fe104652512e001a33f91b06c0b","source":"automatic","statements":[{"calls":10,"class":"invoices","hours_of_day":{},"hours_of_week":{},"id":"addfccab44f439bfb4674cdebf9b32dc99d778ec97b10b7341885e77f0813969","role":"anon","seconds":2.5,"squared_deviation":0.024999999999999988,"text":"select * from invoices","variance":0.0027777777777777766}],"tool_version":"0.1.0","window":{"bucket_seconds":3600.0,"buckets":5,"end":"2025-10-13T05:00:00Z","evictions":0,"excluded":[],"start":"2025-10-13T00:00:00Z"}}
');
INSERT INTO "document" VALUES('loom','baseline hours','owner','["loom", 5, "7000"]');
INSERT INTO "document" VALUES('loom','comparison','orders','{"baseline": "a01cca177c052315f21af5b5d14839f454efc471cc7755073040eec6e16117ca", "counted_at": 1760338830.0, "taken_at": 1795839750.5989664, "matched": [["invoices", "anon", 2, 0.4, 0.5, 0.125, 0.005555555555555553, 0.024999999999999994]], "since": 1760338800.0, "watched_seconds": 30.0, "since_matched": [["invoices", "anon", 2, 0.4, 0.5, 0.125, 0.005555555555555553, 0.024999999999999994]], "seconds": {"invoices": 0.4}}');
INSERT INTO "document" VALUES('loom','deployment','orders','{"owner": ["loom", 5, "7000"], "first_seen": {"1": 1795839750.586897}, "missing": [], "rewritten_at": null}');
INSERT INTO "document" VALUES('loom','first week of orders','numbers_day_1','{"outcome":"pass","evidence":"loom_orders is 7","at":1760344200.0}');
INSERT INTO "document" VALUES('loom','rollout','orders','1760337030.0');
INSERT INTO "document" VALUES('loom','sign-offs of orders','boss','{"name":"boss","approved":false,"by":"Ada","note":"not yet","at":1760337060.0}');
INSERT INTO "document" VALUES('loom','statements','entry 10 1','[[4,0.5,0.0,8,4,0,"2025-10-13T00:00:00+00:00",null,null],["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","invoices","anon","select ?","parsed"]]');
INSERT INTO "document" VALUES('loom','statements','entry 11 -2','[[7,0.875,0.0,14,7,0,"2025-10-13T00:00:00+00:00",null,null],null]');
INSERT INTO "document" VALUES('loom','statements','tally','{"owner": ["loom", 5, "7000"], "rules": "936e247dcaad37748c3f9fb004ff52145749c0e651941e04e14a2a6d01aae71c", "poll": ["2025-10-13T07:00:30+00:00", "2025-10-13T07:00:30+00:00", "2025-10-13T00:00:00+00:00", 0], "totals": [["invoices", "anon", 3, 0.375, 6, 3, 0]], "pending": [["entry 11 -2", [7, 0.875, 0.0, 14, 7, 0]]], "users": [[10, "anon"]], "resets": 0, "evictions": 0}');
INSERT INTO "document" VALUES('shop','baseline hours','1760313600.000','[30.0,null,0,[["addfccab44f439bfb4674cdebf9b32dc99d778ec97b10b7341885e77f0813969","anon","invoices",2,0.5,0.0049999999999999975]]]');
INSERT INTO "document" VALUES('shop','baseline hours','1760317200.000','[30.0,null,0,[["addfccab44f439bfb4674cdebf9b32dc99d778ec97b10b7341885e77f0813969","anon","invoices",2,0.5,0.0049999999999999975]]]');
INSERT INTO "document" VALUES('shop','baseline hours','1760320800.000','[30.0,null,0,[["addfccab44f439bfb4674cdebf9b32dc99d778ec97b10b7341885e77f0813969","anon","invoices",2,0.5,0.0049999999999999975]]]');
INSERT INTO "document" VALUES('shop','baseline hours','1760324400.000','[30.0,null,0,[["addfccab44f439bfb4674cdebf9b32dc99d778ec97b10b7341885e77f0813969","anon","invoices",2,0.5,0.0049999999999999975]]]');
INSERT INTO "document" VALUES('shop','baseline hours','1760328000.000','[30.0,null,0,[["addfccab44f439bfb4674cdebf9b32dc99d778ec97b10b7341885e77f0813969","anon","invoices",2,0.5,0.0049999999999999975]]]');
INSERT INTO "document" VALUES('shop','baseline hours','1760331600.000','[30.0,null,0,[["addfccab44f439bfb4674cdebf9b32dc99d778ec97b10b7341885e77f0813969","anon","invoices",2,0.5,0.0049999999999999975]]]');
INSERT INTO "document" VALUES('shop','baseline hours','owner','["loom", 5, "7000"]');
INSERT INTO "document" VALUES('shop','deployment','orders','{"owner": ["loom", 5, "7000"], "first_seen": {}, "missing": [], "rewritten_at": null}');
INSERT INTO "document" VALUES('shop','statements','entry 10 1','[[4,0.5,0.0,8,4,0,"2025-10-13T00:00:00+00:00",null,null],["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","invoices","anon","select ?","parsed"]]');
INSERT INTO "document" VALUES('shop','statements','entry 11 -2','[[7,0.875,0.0,14,7,0,"2025-10-13T00:00:00+00:00",null,null],null]');
INSERT INTO "document" VALUES('shop','statements','tally','{"owner": ["loom", 5, "7000"], "rules": "936e247dcaad37748c3f9fb004ff52145749c0e651941e04e14a2a6d01aae71c", "poll": ["2025-10-13T07:00:30+00:00", "2025-10-13T07:00:30+00:00", "2025-10-13T00:00:00+00:00", 0], "totals": [["invoices", "anon", 3, 0.375, 6, 3, 0]], "pending": [["entry 11 -2", [7, 0.875, 0.0, 14, 7, 0]]], "users": [[10, "anon"]], "resets": 0, "evictions": 0}');
CREATE TABLE token (
    database   TEXT NOT NULL,
    metric     TEXT NOT NULL,
    labels     TEXT NOT NULL,  -- JSON array of the label values
    token      TEXT NOT NULL,
    changed_at REAL,           -- Unix time; NULL: before anybody looked
    PRIMARY KEY (database, metric, labels)
) WITHOUT ROWID, STRICT;
INSERT INTO "token" VALUES('loom','loom_things_timestamp_seconds','["a"]','t1',1000.5);
INSERT INTO "token" VALUES('loom','loom_things_timestamp_seconds','["b"]','t2',1.79583975065483903883e+09);
CREATE TABLE topic (
    database TEXT NOT NULL,
    topic    TEXT NOT NULL,
    version  INTEGER NOT NULL,  -- grows with each save
    PRIMARY KEY (database, topic)
) WITHOUT ROWID, STRICT;
INSERT INTO "topic" VALUES('loom','baseline',1795839750592380);
INSERT INTO "topic" VALUES('loom','baseline hours',1795839750594879);
INSERT INTO "topic" VALUES('loom','comparison',1795839750599036);
INSERT INTO "topic" VALUES('loom','deployment',1795839750587186);
INSERT INTO "topic" VALUES('loom','first week of orders',1795839750646897);
INSERT INTO "topic" VALUES('loom','rollout',1795839750648765);
INSERT INTO "topic" VALUES('loom','sign-offs of orders',1795839750643003);
INSERT INTO "topic" VALUES('loom','statements',1795839750603090);
INSERT INTO "topic" VALUES('shop','baseline hours',1795839750634995);
INSERT INTO "topic" VALUES('shop','deployment',1795839750607053);
INSERT INTO "topic" VALUES('shop','statements',1795839750639070);
CREATE TABLE watched (  -- metrics that were looked at, be it that nothing was there
    database TEXT NOT NULL,
    metric   TEXT NOT NULL,
    PRIMARY KEY (database, metric)
) WITHOUT ROWID, STRICT;
INSERT INTO "watched" VALUES('loom','loom_things_timestamp_seconds');
COMMIT;
PRAGMA user_version = 3;
