

CREATE TABLE aliases (
  pk BIGSERIAL NOT NULL, 
  name TEXT NOT NULL, 
  model TEXT NOT NULL, 
  by TEXT NOT NULL, 
  reason TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  PRIMARY KEY (pk)
);
CREATE INDEX aliases_name ON aliases (name, pk);
CREATE TABLE annotators (
  pk BIGSERIAL NOT NULL, 
  id TEXT NOT NULL, 
  role TEXT NOT NULL, 
  kind TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  skills TEXT DEFAULT '[]' NOT NULL, 
  daily_limit INTEGER, 
  paused BOOLEAN DEFAULT false NOT NULL, 
  PRIMARY KEY (pk), 
  UNIQUE (id)
);
CREATE TABLE attempts (
  pk BIGSERIAL NOT NULL, 
  subject TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  PRIMARY KEY (pk)
);
CREATE INDEX attempts_subject ON attempts (subject, created);
CREATE TABLE cycles (
  pk BIGSERIAL NOT NULL, 
  id TEXT NOT NULL, 
  status TEXT NOT NULL, 
  document TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  finished FLOAT, 
  PRIMARY KEY (pk), 
  UNIQUE (id)
);
CREATE TABLE documents (
  pk BIGSERIAL NOT NULL, 
  name TEXT NOT NULL, 
  version INTEGER NOT NULL, 
  digest TEXT NOT NULL, 
  media TEXT NOT NULL, 
  title TEXT NOT NULL, 
  metadata TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  superseded FLOAT, 
  erased FLOAT, 
  PRIMARY KEY (pk), 
  UNIQUE (name, version)
);
CREATE INDEX documents_digest ON documents (digest);
CREATE TABLE erasures (
  pk BIGSERIAL NOT NULL, 
  kind TEXT NOT NULL, 
  name TEXT NOT NULL, 
  by TEXT NOT NULL, 
  reason TEXT NOT NULL, 
  document TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  PRIMARY KEY (pk)
);
CREATE INDEX erasures_name ON erasures (name);
CREATE TABLE events (
  seq BIGSERIAL NOT NULL, 
  kind TEXT NOT NULL, 
  actor TEXT NOT NULL, 
  payload TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  previous TEXT NOT NULL, 
  hash TEXT NOT NULL, 
  PRIMARY KEY (seq)
);
CREATE TABLE files (
  pk BIGSERIAL NOT NULL, 
  id TEXT NOT NULL, 
  digest TEXT NOT NULL, 
  bytes BIGINT NOT NULL, 
  filename TEXT NOT NULL, 
  purpose TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  expires FLOAT, 
  PRIMARY KEY (pk), 
  UNIQUE (id)
);
CREATE INDEX files_digest ON files (digest);
CREATE TABLE items (
  pk BIGSERIAL NOT NULL, 
  id TEXT NOT NULL, 
  content TEXT NOT NULL, 
  digest TEXT NOT NULL, 
  "group" TEXT NOT NULL, 
  metadata TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  purpose TEXT DEFAULT '' NOT NULL, 
  PRIMARY KEY (pk), 
  UNIQUE (id)
);
CREATE TABLE models (
  id TEXT NOT NULL, 
  run TEXT NOT NULL, 
  snapshot TEXT NOT NULL, 
  manifest TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  PRIMARY KEY (id)
);
CREATE TABLE questions (
  pk BIGSERIAL NOT NULL, 
  name TEXT NOT NULL, 
  version INTEGER NOT NULL, 
  kind TEXT NOT NULL, 
  spec TEXT NOT NULL, 
  active BOOLEAN NOT NULL, 
  PRIMARY KEY (pk), 
  UNIQUE (name, version)
);
CREATE TABLE releases (
  pk BIGSERIAL NOT NULL, 
  model TEXT NOT NULL, 
  by TEXT NOT NULL, 
  decision TEXT NOT NULL, 
  document TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  PRIMARY KEY (pk)
);
CREATE TABLE reports (
  digest TEXT NOT NULL, 
  model TEXT NOT NULL, 
  snapshot TEXT NOT NULL, 
  split TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  PRIMARY KEY (digest)
);
CREATE TABLE runs (
  id TEXT NOT NULL, 
  recipe TEXT NOT NULL, 
  snapshot TEXT NOT NULL, 
  document TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  PRIMARY KEY (id)
);
CREATE TABLE schema_version (
  version INTEGER NOT NULL
);
CREATE TABLE settings (
  name TEXT NOT NULL, 
  value TEXT NOT NULL, 
  PRIMARY KEY (name)
);
CREATE TABLE snapshots (
  pk BIGSERIAL NOT NULL, 
  digest TEXT NOT NULL, 
  name TEXT, 
  question TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  PRIMARY KEY (pk), 
  UNIQUE (name)
);
CREATE TABLE asides (
  pk BIGSERIAL NOT NULL, 
  item BIGINT NOT NULL, 
  question BIGINT NOT NULL, 
  kind TEXT NOT NULL, 
  by TEXT NOT NULL, 
  document TEXT NOT NULL, 
  key TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  PRIMARY KEY (pk), 
  FOREIGN KEY(item) REFERENCES items (pk), 
  FOREIGN KEY(question) REFERENCES questions (pk), 
  UNIQUE (key)
);
CREATE INDEX asides_item ON asides (item, question);
CREATE TABLE chunks (
  pk BIGSERIAL NOT NULL, 
  document BIGINT NOT NULL, 
  number INTEGER NOT NULL, 
  start INTEGER NOT NULL, 
  "end" INTEGER NOT NULL, 
  heading TEXT NOT NULL, 
  PRIMARY KEY (pk), 
  UNIQUE (document, number), 
  FOREIGN KEY(document) REFERENCES documents (pk)
);
CREATE TABLE consensus (
  pk BIGSERIAL NOT NULL, 
  question BIGINT NOT NULL, 
  method TEXT NOT NULL, 
  until BIGINT NOT NULL, 
  digest TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  PRIMARY KEY (pk), 
  FOREIGN KEY(question) REFERENCES questions (pk)
);
CREATE TABLE credentials (
  pk BIGSERIAL NOT NULL, 
  annotator BIGINT NOT NULL, 
  kind TEXT NOT NULL, 
  hash TEXT NOT NULL, 
  scopes TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  expires FLOAT, 
  bound TEXT, 
  revoked FLOAT, 
  PRIMARY KEY (pk), 
  FOREIGN KEY(annotator) REFERENCES annotators (pk), 
  UNIQUE (hash)
);
CREATE INDEX credentials_annotator ON credentials (annotator, kind);
CREATE TABLE curations (
  pk BIGSERIAL NOT NULL, 
  item BIGINT NOT NULL, 
  question BIGINT NOT NULL, 
  action TEXT NOT NULL, 
  document TEXT NOT NULL, 
  reason TEXT NOT NULL, 
  example BOOLEAN NOT NULL, 
  by TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  PRIMARY KEY (pk), 
  FOREIGN KEY(item) REFERENCES items (pk), 
  FOREIGN KEY(question) REFERENCES questions (pk)
);
CREATE INDEX curations_item ON curations (question, item);
CREATE TABLE feedback (
  pk BIGSERIAL NOT NULL, 
  id TEXT NOT NULL, 
  answer TEXT NOT NULL, 
  kind TEXT NOT NULL, 
  document TEXT NOT NULL, 
  by TEXT NOT NULL, 
  key TEXT, 
  item BIGINT, 
  created FLOAT NOT NULL, 
  PRIMARY KEY (pk), 
  UNIQUE (id), 
  UNIQUE (key), 
  FOREIGN KEY(item) REFERENCES items (pk)
);
CREATE INDEX feedback_answer ON feedback (answer);
CREATE TABLE gold (
  item BIGINT NOT NULL, 
  question BIGINT NOT NULL, 
  answer TEXT NOT NULL, 
  explanation TEXT NOT NULL, 
  PRIMARY KEY (item, question), 
  FOREIGN KEY(item) REFERENCES items (pk), 
  FOREIGN KEY(question) REFERENCES questions (pk)
);
CREATE TABLE judgments (
  pk BIGSERIAL NOT NULL, 
  item BIGINT NOT NULL, 
  question BIGINT NOT NULL, 
  annotator BIGINT NOT NULL, 
  answer TEXT NOT NULL, 
  seconds FLOAT, 
  source TEXT NOT NULL, 
  key TEXT, 
  created FLOAT NOT NULL, 
  context TEXT, 
  PRIMARY KEY (pk), 
  FOREIGN KEY(item) REFERENCES items (pk), 
  FOREIGN KEY(question) REFERENCES questions (pk), 
  FOREIGN KEY(annotator) REFERENCES annotators (pk), 
  UNIQUE (key)
);
CREATE INDEX judgments_annotator ON judgments (annotator, question, pk);
CREATE INDEX judgments_item ON judgments (item, question, annotator);
CREATE TABLE qualifications (
  pk BIGSERIAL NOT NULL, 
  annotator BIGINT NOT NULL, 
  question TEXT NOT NULL, 
  outcome TEXT NOT NULL, 
  evidence TEXT NOT NULL, 
  by TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  PRIMARY KEY (pk), 
  FOREIGN KEY(annotator) REFERENCES annotators (pk)
);
CREATE INDEX qualifications_annotator ON qualifications (annotator, question);
CREATE TABLE retractions (
  pk BIGSERIAL NOT NULL, 
  annotator BIGINT NOT NULL, 
  until BIGINT NOT NULL, 
  by TEXT NOT NULL, 
  reason TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  PRIMARY KEY (pk), 
  FOREIGN KEY(annotator) REFERENCES annotators (pk)
);
CREATE INDEX retractions_annotator ON retractions (annotator);
CREATE TABLE slots (
  pk BIGSERIAL NOT NULL, 
  item BIGINT NOT NULL, 
  question BIGINT NOT NULL, 
  wanted INTEGER NOT NULL, 
  given INTEGER NOT NULL, 
  leased INTEGER NOT NULL, 
  priority INTEGER NOT NULL, 
  tier INTEGER DEFAULT '0' NOT NULL, 
  position BIGINT NOT NULL, 
  open BOOLEAN NOT NULL, 
  PRIMARY KEY (pk), 
  UNIQUE (item, question), 
  FOREIGN KEY(item) REFERENCES items (pk), 
  FOREIGN KEY(question) REFERENCES questions (pk)
);
CREATE INDEX slots_open ON slots (question, tier, priority, position) WHERE open;
CREATE TABLE suspects (
  pk BIGSERIAL NOT NULL, 
  item BIGINT NOT NULL, 
  question BIGINT NOT NULL, 
  snapshot TEXT NOT NULL, 
  "check" TEXT NOT NULL, 
  reason TEXT NOT NULL, 
  score FLOAT NOT NULL, 
  document TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  PRIMARY KEY (pk), 
  UNIQUE (item, question, "check"), 
  FOREIGN KEY(item) REFERENCES items (pk), 
  FOREIGN KEY(question) REFERENCES questions (pk)
);
CREATE INDEX suspects_queue ON suspects (question, score);
CREATE TABLE answers (
  pk BIGSERIAL NOT NULL, 
  id TEXT NOT NULL, 
  model TEXT NOT NULL, 
  alias TEXT NOT NULL, 
  credential BIGINT, 
  document TEXT NOT NULL, 
  confidence FLOAT, 
  inclusion FLOAT NOT NULL, 
  created FLOAT NOT NULL, 
  expires FLOAT, 
  PRIMARY KEY (pk), 
  UNIQUE (id), 
  FOREIGN KEY(credential) REFERENCES credentials (pk)
);
CREATE INDEX answers_created ON answers (created);
CREATE INDEX answers_expires ON answers (expires);
CREATE TABLE deferrals (
  pk BIGSERIAL NOT NULL, 
  id TEXT NOT NULL, 
  answer TEXT NOT NULL, 
  item BIGINT NOT NULL, 
  question BIGINT NOT NULL, 
  credential BIGINT NOT NULL, 
  status TEXT NOT NULL, 
  document TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  deadline FLOAT NOT NULL, 
  answered FLOAT, 
  PRIMARY KEY (pk), 
  UNIQUE (id), 
  FOREIGN KEY(item) REFERENCES items (pk), 
  FOREIGN KEY(question) REFERENCES questions (pk), 
  FOREIGN KEY(credential) REFERENCES credentials (pk)
);
CREATE INDEX deferrals_item ON deferrals (item);
CREATE INDEX deferrals_status ON deferrals (status, pk);
CREATE TABLE jobs (
  pk BIGSERIAL NOT NULL, 
  id TEXT NOT NULL, 
  status TEXT NOT NULL, 
  credential BIGINT NOT NULL, 
  training_file TEXT NOT NULL, 
  validation_file TEXT, 
  document TEXT NOT NULL, 
  model TEXT, 
  created FLOAT NOT NULL, 
  finished FLOAT, 
  PRIMARY KEY (pk), 
  UNIQUE (id), 
  FOREIGN KEY(credential) REFERENCES credentials (pk)
);
CREATE INDEX jobs_status ON jobs (status, pk);
CREATE TABLE leases (
  pk BIGSERIAL NOT NULL, 
  slot BIGINT NOT NULL, 
  annotator BIGINT NOT NULL, 
  expires FLOAT NOT NULL, 
  released BOOLEAN DEFAULT false NOT NULL, 
  PRIMARY KEY (pk), 
  UNIQUE (slot, annotator), 
  FOREIGN KEY(slot) REFERENCES slots (pk), 
  FOREIGN KEY(annotator) REFERENCES annotators (pk)
);
CREATE INDEX leases_annotator ON leases (annotator);
CREATE INDEX leases_live ON leases (expires) WHERE NOT released;
CREATE TABLE passes (
  slot BIGINT NOT NULL, 
  annotator BIGINT NOT NULL, 
  kind TEXT NOT NULL, 
  reason TEXT NOT NULL, 
  created FLOAT NOT NULL, 
  PRIMARY KEY (slot, annotator), 
  FOREIGN KEY(slot) REFERENCES slots (pk), 
  FOREIGN KEY(annotator) REFERENCES annotators (pk)
);
CREATE INDEX passes_kind ON passes (kind, created);
CREATE TABLE withdrawals (
  judgment BIGINT NOT NULL, 
  created FLOAT NOT NULL, 
  PRIMARY KEY (judgment), 
  FOREIGN KEY(judgment) REFERENCES judgments (pk)
);
CREATE TABLE job_events (
  pk BIGSERIAL NOT NULL, 
  job BIGINT NOT NULL, 
  level TEXT NOT NULL, 
  message TEXT NOT NULL, 
  data TEXT, 
  created FLOAT NOT NULL, 
  PRIMARY KEY (pk), 
  FOREIGN KEY(job) REFERENCES jobs (pk)
);
CREATE INDEX job_events_job ON job_events (job, pk);
INSERT INTO schema_version (version) VALUES (6);
