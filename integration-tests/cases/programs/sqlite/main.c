// SQLite's shell from its two objects runs a script with a million rows.
//#Inputs: main.c @sqlite3-src/source/sqlite3.c
//#Include: @sqlite3-src/source
//#CompileFlags: -DSQLITE_THREADSAFE=1 -DSQLITE_ENABLE_FTS5 -DSQLITE_ENABLE_RTREE -DSQLITE_ENABLE_MATH_FUNCTIONS -w
//#Flags: -O1
//#Pic: pic nopic
//#Only: gcc pic | clang nopic
//#Libs: -lm -ldl -lpthread
//#StdinFile: script.sql
//#Timeout: 300
//#Exit: 1
#include "shell.c"
