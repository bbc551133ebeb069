/* Runs the SQL on standard input in an in-memory database and prints each row with its columns separated by bars. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sqlite3.h"

static int print_row(void *rows, int columns, char **values, char **names)
{
    (void)names;
    for (int column = 0; column < columns; column++)
        printf("%s%s", column ? "|" : "", values[column] ? values[column] : "NULL");
    putchar('\n');
    ++*(long *)rows;
    return 0;
}

int main(void)
{
    size_t length = 0, capacity = 1 << 16;
    char *script = malloc(capacity);
    for (size_t got; script && (got = fread(script + length, 1, capacity - length - 1, stdin)) > 0;) {
        length += got;
        if (capacity - length < 2)
            script = realloc(script, capacity *= 2);
    }
    if (!script)
        return 1;
    script[length] = 0;

    sqlite3 *database;
    char *message = NULL;
    long rows = 0;
    if (sqlite3_open(":memory:", &database) != SQLITE_OK)
        return 1;
    if (sqlite3_exec(database, script, print_row, &rows, &message) != SQLITE_OK) {
        fprintf(stderr, "%s\n", message);
        return 1;
    }
    printf("%ld rows\n", rows);
    sqlite3_close(database);
    free(script);
    return 0;
}
