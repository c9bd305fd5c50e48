/**
 * `reading` is written at its end and cleared from its front, never updated: rows of all meters in
 * time order cost one page a tick instead of one page a meter. Rows with a number at or below their
 * meter's `accounted` are dead, whether removed yet or not.
 */
export const migrations: readonly string[] = [
  `
  CREATE TABLE meter (
    id INTEGER PRIMARY KEY,
    device TEXT NOT NULL UNIQUE,
    head BLOB,
    accounted INTEGER NOT NULL DEFAULT 0,
    next INTEGER NOT NULL DEFAULT 1
  ) STRICT;
  CREATE TABLE reading (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    meter INTEGER NOT NULL REFERENCES meter(id),
    number INTEGER NOT NULL,
    record BLOB NOT NULL
  ) STRICT;
  CREATE TABLE block (
    meter INTEGER NOT NULL REFERENCES meter(id),
    last INTEGER NOT NULL,
    first INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (meter, last)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE refused (
    id INTEGER PRIMARY KEY,
    meter INTEGER NOT NULL REFERENCES meter(id),
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    code TEXT NOT NULL,
    body BLOB NOT NULL
  ) STRICT;
  CREATE TABLE note (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  // 1 when the body is a statement without its readings.
  'ALTER TABLE block ADD COLUMN thin INTEGER NOT NULL DEFAULT 0',
]
