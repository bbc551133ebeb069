CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, price REAL, shelf INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
INSERT INTO item SELECT i, printf('item-%05d', (i * 7919) % 6000), (i * 37 % 1000) / 10.0, i % 40 FROM n;
CREATE INDEX by_shelf ON item(shelf, price);
SELECT count(*), sum(price), min(name), max(name) FROM item;
SELECT shelf, count(*), round(avg(price), 3) FROM item GROUP BY shelf HAVING avg(price) > 49.9 ORDER BY 3 DESC, 1 LIMIT 5;
SELECT a.name, b.name FROM item a JOIN item b ON a.shelf = b.shelf AND a.price < b.price WHERE a.id < 4 ORDER BY a.name, b.price DESC, b.id LIMIT 4;
CREATE VIRTUAL TABLE note USING fts5(body);
INSERT INTO note VALUES ('a linker copies bytes'), ('a loader runs initializers'), ('relocations patch bytes');
SELECT rowid, body FROM note WHERE note MATCH 'bytes' ORDER BY rowid;
SELECT json_extract('{"a":[1,2,{"b":"deep"}]}', '$.a[2].b'), sqrt(2.0), upper('orc');
