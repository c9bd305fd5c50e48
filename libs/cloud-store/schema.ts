/**
 * Tables of the cloud, step by step (see #sqlite: never edit a step that shipped).
 *
 * All quantities are integers in the unit their column names (a fog's sums as decimal text, because
 * they know no bound); times are seconds since 1970. Devices
 * have a small key of their own, so that names are stored once. `id` columns only grow, which makes
 * them the cursors of `watch`.
 */
export const migrations: readonly string[] = [
  `
  CREATE TABLE fog (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    first_seen_s INTEGER NOT NULL,
    last_seen_s INTEGER NOT NULL,
    durable INTEGER NOT NULL,        -- outbox numbers up to this one are dealt with
    next INTEGER NOT NULL,           -- the fog's own next number, as it last said
    summaries INTEGER NOT NULL,      -- exact sums over the latest revisions, kept with each change
    readings INTEGER NOT NULL,
    power_sum_w INTEGER NOT NULL,
    voltage_sum_dv INTEGER NOT NULL,
    voltage_count INTEGER NOT NULL,
    import_wh INTEGER NOT NULL,
    export_wh INTEGER NOT NULL,
    status TEXT                      -- the fog's last own status, JSON
  ) STRICT;

  CREATE TABLE summary (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    fog INTEGER NOT NULL REFERENCES fog,
    number INTEGER NOT NULL,
    received_s INTEGER NOT NULL,
    latest INTEGER NOT NULL,
    start_s INTEGER NOT NULL,
    end_s INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    meters INTEGER NOT NULL,
    readings INTEGER NOT NULL,
    power_sum_w INTEGER NOT NULL,
    power_min_w INTEGER NOT NULL,
    power_max_w INTEGER NOT NULL,
    voltage_sum_dv INTEGER NOT NULL,
    voltage_count INTEGER NOT NULL,
    voltage_min_dv INTEGER,
    voltage_max_dv INTEGER,
    import_wh INTEGER NOT NULL,
    export_wh INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    unknown_time INTEGER NOT NULL,
    substitute INTEGER NOT NULL,
    first_received_s INTEGER,
    UNIQUE (fog, start_s, revision)
  ) STRICT;
  CREATE UNIQUE INDEX summary_number ON summary (fog, number);
  CREATE UNIQUE INDEX summary_of_fog ON summary (fog, start_s) WHERE latest = 1;
  CREATE INDEX summary_by_time ON summary (start_s, fog) WHERE latest = 1;
  CREATE VIEW latest_summary AS SELECT * FROM summary WHERE latest = 1;

  CREATE TABLE credential (
    id INTEGER PRIMARY KEY,
    device TEXT NOT NULL,
    not_before_s INTEGER NOT NULL,
    received_s INTEGER NOT NULL,
    encoded BLOB NOT NULL UNIQUE
  ) STRICT;
  CREATE INDEX credential_of_device ON credential (device, not_before_s, id);

  CREATE TABLE meter (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    fog INTEGER NOT NULL REFERENCES fog,   -- the one that delivered last
    first_seen_s INTEGER NOT NULL,
    last_seen_s INTEGER NOT NULL,
    newest INTEGER REFERENCES register     -- its register with the highest reading number
  ) STRICT;
  CREATE INDEX meter_of_fog ON meter (fog, id);

  CREATE TABLE register (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    meter INTEGER NOT NULL REFERENCES meter,
    fog INTEGER NOT NULL REFERENCES fog,
    number INTEGER NOT NULL,
    received_s INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    start_s INTEGER NOT NULL,
    end_s INTEGER NOT NULL,
    start_import_wh INTEGER NOT NULL,
    start_export_wh INTEGER NOT NULL,
    end_import_wh INTEGER NOT NULL,
    end_export_wh INTEGER NOT NULL,
    status INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    credential INTEGER NOT NULL REFERENCES credential,
    digest BLOB NOT NULL,
    envelope BLOB NOT NULL,
    UNIQUE (meter, last, digest)
  ) STRICT;
  CREATE INDEX register_of_meter ON register (meter, id);
  CREATE INDEX register_of_fog ON register (fog, id);
  CREATE INDEX register_flagged ON register (id) WHERE flags <> 0;

  CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL,
    fog INTEGER NOT NULL REFERENCES fog,
    received_s INTEGER NOT NULL,
    time_s INTEGER NOT NULL,
    code TEXT NOT NULL,
    device TEXT,
    detail TEXT NOT NULL
  ) STRICT;
  CREATE INDEX event_of_fog ON event (fog, id);

  CREATE TABLE refused (
    fog INTEGER NOT NULL REFERENCES fog,
    number INTEGER NOT NULL,
    received_s INTEGER NOT NULL,
    kind TEXT NOT NULL,
    code TEXT NOT NULL,
    PRIMARY KEY (fog, number)
  ) STRICT, WITHOUT ROWID;
  `,
  // A fog's sums outgrow SQLite's integers: decimal text, which #cloud adds up.
  `
  ALTER TABLE fog RENAME COLUMN readings TO old_readings;
  ALTER TABLE fog ADD COLUMN readings TEXT NOT NULL DEFAULT '0';
  ALTER TABLE fog RENAME COLUMN power_sum_w TO old_power_sum_w;
  ALTER TABLE fog ADD COLUMN power_sum_w TEXT NOT NULL DEFAULT '0';
  ALTER TABLE fog RENAME COLUMN voltage_sum_dv TO old_voltage_sum_dv;
  ALTER TABLE fog ADD COLUMN voltage_sum_dv TEXT NOT NULL DEFAULT '0';
  ALTER TABLE fog RENAME COLUMN voltage_count TO old_voltage_count;
  ALTER TABLE fog ADD COLUMN voltage_count TEXT NOT NULL DEFAULT '0';
  ALTER TABLE fog RENAME COLUMN import_wh TO old_import_wh;
  ALTER TABLE fog ADD COLUMN import_wh TEXT NOT NULL DEFAULT '0';
  ALTER TABLE fog RENAME COLUMN export_wh TO old_export_wh;
  ALTER TABLE fog ADD COLUMN export_wh TEXT NOT NULL DEFAULT '0';
  UPDATE fog SET readings = old_readings,
    power_sum_w = old_power_sum_w,
    voltage_sum_dv = old_voltage_sum_dv,
    voltage_count = old_voltage_count,
    import_wh = old_import_wh,
    export_wh = old_export_wh;
  ALTER TABLE fog DROP COLUMN old_readings;
  ALTER TABLE fog DROP COLUMN old_power_sum_w;
  ALTER TABLE fog DROP COLUMN old_voltage_sum_dv;
  ALTER TABLE fog DROP COLUMN old_voltage_count;
  ALTER TABLE fog DROP COLUMN old_import_wh;
  ALTER TABLE fog DROP COLUMN old_export_wh;
  `,
  `
  ALTER TABLE fog ADD COLUMN store INTEGER;              -- id of its store, as it last said
  ALTER TABLE fog ADD COLUMN number_offset INTEGER NOT NULL DEFAULT 0; -- its numbers here begin above this

  -- Reading numbers that one store of a fog counts without a hole.
  CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    device TEXT NOT NULL,
    fog INTEGER NOT NULL REFERENCES fog,
    store INTEGER NOT NULL,          -- number_offset of the fog at that time
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    doubled INTEGER NOT NULL,        -- numbers up to here are counted by another run too
    withdrawn INTEGER NOT NULL,      -- numbers up to here the fog counts no more
    asked_s INTEGER NOT NULL,
    UNIQUE (device, fog, store, first)
  ) STRICT;
  CREATE INDEX run_doubled ON run (fog, store) WHERE doubled > withdrawn;
  `,
  `
  CREATE TABLE gap (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    fog INTEGER NOT NULL REFERENCES fog,
    device TEXT NOT NULL,
    kind TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    start_s INTEGER,
    end_s INTEGER,
    readings INTEGER NOT NULL,
    import_wh INTEGER,
    export_wh INTEGER,
    received_s INTEGER NOT NULL,
    UNIQUE (device, fog, kind, first)
  ) STRICT;
  CREATE INDEX gap_of_fog ON gap (fog, id);
  `,
  `
  -- What an operator allowed: a token's key, or the fingerprint of a device's own.
  CREATE TABLE approval (
    id BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    expires_s INTEGER NOT NULL,
    replaces INTEGER NOT NULL,
    used_by BLOB
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX approval_of_name ON approval (name) WHERE used_by IS NULL;

  CREATE TABLE enrolment (
    public_key BLOB PRIMARY KEY,
    name TEXT NOT NULL,
    replaces INTEGER NOT NULL,
    accepted_s INTEGER NOT NULL,
    credential BLOB
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX enrolment_by_time ON enrolment (accepted_s);
  `,
  `
  -- What tells this database, and copies of it, from every other.
  CREATE TABLE identity (id BLOB NOT NULL) STRICT;
  INSERT INTO identity VALUES (randomblob(8));
  ALTER TABLE fog ADD COLUMN newest BLOB NOT NULL DEFAULT x''; -- mark of the item under number durable
  `,
  `
  -- Windows of which a fog, since it was set back, has another history than what is stored.
  CREATE TABLE fork (
    fog INTEGER NOT NULL REFERENCES fog,
    start_s INTEGER NOT NULL,
    PRIMARY KEY (fog, start_s)
  ) STRICT, WITHOUT ROWID;
  `,
]
