.mode list
CREATE TABLE numbers(id INTEGER PRIMARY KEY, square INTEGER, name TEXT);
BEGIN;
WITH RECURSIVE counting(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counting WHERE n < 1000000)
INSERT INTO numbers SELECT n, n * n, printf('row %07d', n) FROM counting;
COMMIT;
CREATE INDEX by_name ON numbers(name);
SELECT count(*), sum(square), min(name), max(name) FROM numbers;
SELECT id, square FROM numbers WHERE name = 'row 0777777';
SELECT id % 7 AS rest, count(*), sum(id) FROM numbers GROUP BY rest ORDER BY rest;
CREATE VIRTUAL TABLE texts USING fts5(body);
INSERT INTO texts VALUES ('the quick brown fox'), ('jumps over the lazy dog'), ('nothing of the sort');
SELECT rowid, highlight(texts, 0, '[', ']') FROM texts WHERE texts MATCH 'lazy OR quick' ORDER BY rowid;
CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1, y0, y1);
INSERT INTO boxes SELECT id, id % 100, id % 100 + 1, id / 100, id / 100 + 1 FROM numbers WHERE id <= 10000;
SELECT count(*) FROM boxes WHERE x0 >= 10 AND x1 <= 20 AND y0 >= 5 AND y1 <= 15;
SELECT json_group_array(json_object('id', id, 'square', square)) FROM numbers WHERE id BETWEEN 3 AND 5;
SELECT round(sqrt(2), 6), typeof(1.0), hex(zeroblob(4)), strftime('%Y', '2024-02-29', '+1 year');
SELECT * FROM no_such_table;
.mode box
SELECT a.id, b.name FROM numbers a JOIN numbers b ON b.id = a.square WHERE a.id BETWEEN 998 AND 1000;
PRAGMA integrity_check;
